/* csv.c - a cell of text in a CSV file. Relied on elsewhere: one line a row; spreadsheets see no formula. */
#include <string.h>

#include "apps/app_internal.h"

/* A spreadsheet would reckon with what begins so. A number that happens to is a number. */
static bool is_formula(const char *text)
{
    double number;

    return *text && strchr("=+-@", *text) && !base_parse_real(&number, text);
}

void app_csv_text(FILE *file, const char *text)
{
    const char *const mark = is_formula(text) ? "'" : "";

    if (!strpbrk(text, ",\"\r\n\t")) {
        fprintf(file, "%s%s", mark, text);
        return;
    }
    fprintf(file, "\"%s", mark);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(strchr("\r\n\t", *text) ? ' ' : *text, file);
    }
    fputc('"', file);
}
