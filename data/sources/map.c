/* map.c - a class map: a file that says which label a class folder has, for data
 * sets whose folders follow no rule (data.md 1). TSV lines "folder<TAB>label", or JSON: an
 * object {"folder": label}, a list of folders in the order of labels, or the widespread
 * imagenet_class_index.json, {"0": ["n01440764", "tench"], ...}. Several folders may share
 * a label. Free to change: the texts. */
#include "data/data_internal.h"
#include "data/sources/labels_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MOST = 32 << 20 };

typedef struct mapping {
    char *folder;
    int32_t label;
} mapping;

typedef struct map {
    const char *path;
    mapping *at;
    size_t room, count;
} map;

static void map_destroy(map *m)
{
    for (size_t i = 0; i < m->count; i++)
        base_free(m->at[i].folder);
    base_free(m->at);
    *m = (map){0};
}

static base_status map_add(map *m, const char *folder, int64_t label, base_error *err)
{
    char shown[160];

    if (label < 0 || label >= DATA_CLASSES_MAX)
        return base_fail(err, BASE_FORMAT,
                         "'%s': '%s' has the label %lld, expected 0 to %d", m->path,
                         base_quote(shown, sizeof shown, folder), (long long)label,
                         DATA_CLASSES_MAX - 1);
    char *copy = base_text("%s", folder);
    if (!copy || !data_grow(&m->at, &m->room, m->count + 1, sizeof *m->at)) {
        base_free(copy);
        return base_fail(err, BASE_NO_MEMORY, "no memory for the class map '%s'", m->path);
    }
    m->at[m->count++] = (mapping){copy, (int32_t)label};
    return BASE_OK;
}

static base_status read_lines(map *m, char *text, base_error *err)
{
    base_status status = BASE_OK;
    size_t number = 0;
    char shown[160];

    for (char *line = text, *next; *line && status == BASE_OK; line = next) {
        char *end = line + strcspn(line, "\n");
        next = *end ? end + 1 : end;
        while (end > line && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
            end--;
        *end = '\0';
        number++;
        if (!*line || *line == '#')
            continue;
        char *tab = strchr(line, '\t');
        const int32_t label = tab ? data_label_number(tab + 1 + strspn(tab + 1, " ")) : -1;
        if (label == -1 && number == 1)
            continue; /* names of the columns */
        if (label < 0)
            return base_fail(err, BASE_FORMAT,
                             "'%s' line %zu: '%s', expected a folder, a tab and a label",
                             m->path, number, base_quote(shown, sizeof shown, line));
        *tab = '\0';
        status = map_add(m, line, label, err);
    }
    return status;
}

/* {"folder": 3} or {"3": ["folder", ...]} or {"3": "folder"}. */
static base_status take_pair(map *m, const char *key, const json_t *value, base_error *err)
{
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;
    char shown[160];

    if (json_is_integer(value))
        return map_add(m, key, json_integer_value(value), err);
    if (json_is_string(first) && data_class_number(key) >= 0)
        return map_add(m, json_string_value(first), data_class_number(key), err);
    return base_fail(err, BASE_FORMAT,
                     "'%s': the value of '%s' is neither a label nor, under a number, a "
                     "folder",
                     m->path, base_quote(shown, sizeof shown, key));
}

static base_status read_json(map *m, const char *text, size_t bytes, base_error *err)
{
    base_status status = BASE_OK;
    json_error_t why;
    const char *key;
    json_t *value;
    char shown[2 * JSON_ERROR_TEXT_LENGTH];
    size_t i;

    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!json) /* its text cites the file */
        return base_fail(err, BASE_FORMAT, "'%s' line %d: %s", m->path, why.line,
                         base_quote(shown, sizeof shown, why.text));
    if (json_is_object(json)) {
        json_object_foreach(json, key, value)
        {
            status = take_pair(m, key, value, err);
            if (status != BASE_OK)
                break;
        }
    } else {
        json_array_foreach(json, i, value)
        {
            status =
                json_is_string(value)
                    ? map_add(m, json_string_value(value), (int64_t)i, err)
                    : base_fail(err, BASE_FORMAT,
                                "'%s': entry %zu of the list is no folder", m->path, i);
            if (status != BASE_OK)
                break;
        }
    }
    json_decref(json);
    return status;
}

static int compare_mappings(const void *a, const void *b)
{
    return strcmp(((const mapping *)a)->folder, ((const mapping *)b)->folder);
}

static base_status map_load(map *m, base_error *err)
{
    char *text = NULL, shown[160];
    size_t bytes = 0;

    base_status status = base_file_read(&text, &bytes, m->path, TEXT_MOST, err);
    if (status != BASE_OK)
        return status;
    char *start = text + (strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0);
    const size_t blanks = strspn(start, " \t\r\n");
    if (strlen(text) != bytes)
        status = base_fail(err, BASE_FORMAT, "'%s' is no text: it has a byte 0", m->path);
    else if (start[blanks] == '{' || start[blanks] == '[')
        status = read_json(m, start, strlen(start), err);
    else
        status = read_lines(m, start, err);
    base_free(text);
    if (status == BASE_OK && m->count == 0)
        status = base_fail(err, BASE_FORMAT, "'%s' maps no class", m->path);
    if (status != BASE_OK)
        return status;
    qsort(m->at, m->count, sizeof *m->at, compare_mappings);
    for (size_t i = 1; i < m->count; i++) {
        if (strcmp(m->at[i - 1].folder, m->at[i].folder) == 0)
            return base_fail(err, BASE_FORMAT, "'%s' maps '%s' twice", m->path,
                             base_quote(shown, sizeof shown, m->at[i].folder));
    }
    return BASE_OK;
}

/* Names for the labels: the list's; else the first folder of each, else the number. */
static base_status name_classes(data_source *source, const map *m, size_t count,
                                const data_source_options *options, base_error *err)
{
    const bool listed = options->class_list && options->class_list_count > 0;
    base_status status = data_classes_number(source, count - 1, options, err);

    for (size_t i = m->count; i-- > 0 && status == BASE_OK && !listed;) {
        char **name = &source->classes[m->at[i].label];
        base_free(*name);
        *name = base_text("%s", m->at[i].folder);
        if (!*name)
            status = base_fail(err, BASE_NO_MEMORY, "no memory for class names");
    }
    return status;
}

base_status data_classes_map(data_source *source, int32_t *label_of,
                             const data_class_table *table,
                             const data_source_options *options, base_error *err)
{
    const size_t known = options->class_list && options->class_list_count > 0
                             ? options->class_list_count
                             : options->classes_of_model;
    map m = {.path = options->class_map};
    char shown[160];
    size_t count = 0;

    base_status status = map_load(&m, err);
    for (size_t i = 0; i < m.count; i++)
        count = (size_t)m.at[i].label >= count ? (size_t)m.at[i].label + 1 : count;
    if (status == BASE_OK && known > 0 && count > known)
        status = base_fail(err, BASE_MISMATCH,
                           "'%s' has the label %zu, expected 0 to %zu: there are %zu "
                           "classes",
                           m.path, count - 1, known - 1, known);
    for (size_t i = 0; i < table->count && status == BASE_OK; i++) {
        const mapping key = {.folder = table->name[table->sorted[i]]};
        const mapping *at = bsearch(&key, m.at, m.count, sizeof key, compare_mappings);
        if (at)
            label_of[table->sorted[i]] = at->label;
        else
            status = base_fail(
                err, BASE_MISMATCH, "'%s' has the class '%s', which is not in '%s'",
                source->path, base_quote(shown, sizeof shown, key.folder), m.path);
    }
    if (status == BASE_OK)
        status = name_classes(source, &m, count, options, err);
    map_destroy(&m);
    return status;
}
