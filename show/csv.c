/* csv.c - reads back what programs of ours have written as CSV: whole numbers of columns
 * that are known by name. */
#include "show/show.h"

#include <string.h>

static const size_t csv_max_bytes = (size_t)1 << 30;

/* The column called name in a line, SIZE_MAX: none. */
static size_t column_of(const char *line, const char *name)
{
    const size_t length = strlen(name);
    size_t column = 0;

    for (const char *at = line;; at++, column++) {
        const size_t word = strcspn(at, ",\n");

        if (word == length && strncmp(at, name, length) == 0)
            return column;
        at += word;
        if (*at != ',')
            return SIZE_MAX;
    }
}

/* A whole number in a column of the line; false: there is none. */
static bool cell_read(int64_t *out, const char *line, size_t column)
{
    char text[24];

    for (; column > 0; column--) {
        line += strcspn(line, ",\n");
        if (*line != ',')
            return false;
        line++;
    }
    snprintf(text, sizeof text, "%.*s", (int)strcspn(line, ",\n"), line);
    return base_parse_int(out, text);
}

base_status show_csv_read(int64_t **cells, size_t *rows, const char *path,
                          const char *const *names, size_t columns, base_error *err)
{
    size_t at[SHOW_CSV_COLUMNS_MAX], bytes = 0, lines = 0, made = 0;
    char *text = NULL;
    bool whole = true;
    base_status status = base_file_read(&text, &bytes, path, csv_max_bytes, err);

    *cells = NULL;
    *rows = 0;
    if (status != BASE_OK)
        return status;
    for (size_t c = 0; c < columns; c++) {
        at[c] = column_of(text, names[c]);
        whole = whole && at[c] != SIZE_MAX;
    }
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    int64_t *list = base_alloc(lines, columns * sizeof *list);
    if (!list)
        status = base_fail(err, BASE_NO_MEMORY, "no memory for the rows of '%s'", path);
    const char *line = strchr(text, '\n');
    while (status == BASE_OK && whole && line && line[1]) {
        line++;
        for (size_t c = 0; c < columns && status == BASE_OK; c++)
            if (!cell_read(&list[made * columns + c], line, at[c]))
                status = base_fail(err, BASE_FORMAT, "'%s': line %zu is damaged", path,
                                   made + 2);
        made++;
        line = strchr(line, '\n');
    }
    base_free(text);
    if (status != BASE_OK) {
        base_free(list);
        return status;
    }
    *cells = list;
    *rows = made;
    return BASE_OK;
}
