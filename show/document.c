/* document.c - a command's result as one JSON document with its pictures beside it, and the
 * paths that views find values by. Relied on elsewhere: what is null is as if it were not
 * there. */
#include "show/document_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct show_document {
    json_t *json;
    struct show_picture *picture;
    size_t pictures, room;
    json_t *places; /* number of each picture by its name */
};

show_document *show_document_create(json_t *json)
{
    show_document *made = json ? base_alloc(1, sizeof *made) : NULL;

    if (made) {
        made->json = json;
        made->places = json_object();
    } else {
        json_decref(json);
    }
    return made;
}

void show_document_destroy(show_document *document)
{
    if (!document)
        return;
    for (size_t i = 0; i < document->pictures; i++) {
        base_free(document->picture[i].key);
        base_free(document->picture[i].png);
    }
    base_free(document->picture);
    json_decref(document->places);
    json_decref(document->json);
    base_free(document);
}

json_t *show_document_json(const show_document *document)
{
    return document->json;
}

base_status show_document_picture(show_document *document, const char *key,
                                  const data_image *image, base_error *err)
{
    struct show_picture made = {.width = image->width, .height = image->height};

    if (document->pictures == document->room) {
        const size_t room = 2 * document->room + 16;
        struct show_picture *more = base_alloc(room, sizeof *more);

        if (!more)
            return base_fail(err, BASE_NO_MEMORY, "no memory for picture '%s'", key);
        if (document->pictures > 0)
            memcpy(more, document->picture, document->pictures * sizeof *more);
        base_free(document->picture);
        document->picture = more;
        document->room = room;
    }
    const base_status status = data_png_encode(&made.png, &made.bytes, image, err);
    if (status != BASE_OK)
        return status;
    made.key = base_text("%s", key);
    if (!made.key) {
        base_free(made.png);
        return base_fail(err, BASE_NO_MEMORY, "no memory for picture '%s'", key);
    }
    document->picture[document->pictures++] = made;
    if (json_object_get(document->places, key))
        return BASE_OK; /* the first one of a name counts */
    return json_object_set_new(document->places, key,
                               json_integer((json_int_t)document->pictures - 1)) == 0
               ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY, "no memory for picture '%s'", key);
}

const struct show_picture *show_picture_of(const show_document *document, const char *key)
{
    const json_t *place = key ? json_object_get(document->places, key) : NULL;

    return place ? &document->picture[json_integer_value(place)] : NULL;
}

/* ---- memory of a rendering ----------------------------------------------------------- */

void *show_take(show_render *r, size_t count, size_t bytes_each)
{
    enum { HEAD = 64 }; /* what follows is aligned as base_alloc's own */
    size_t bytes = 0;
    struct show_chunk *chunk = NULL;

    if (base_mul_size(&bytes, count, bytes_each) && base_add_size(&bytes, bytes, HEAD))
        chunk = base_alloc(1, bytes);
    if (!chunk) {
        if (r->status == BASE_OK)
            r->status = base_fail(r->err, BASE_NO_MEMORY, "no memory for the results");
        return NULL;
    }
    chunk->next = r->chunks;
    r->chunks = chunk;
    return (unsigned char *)chunk + HEAD;
}

const char *show_print(show_render *r, const char *format, ...)
{
    va_list list, again;

    va_start(list, format);
    va_copy(again, list);
    const int length = vsnprintf(NULL, 0, format, list);
    char *text = length >= 0 ? show_take(r, (size_t)length + 1, 1) : NULL;
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(list);
    return text ? text : "";
}

void show_render_end(show_render *r)
{
    while (r->chunks) {
        struct show_chunk *next = r->chunks->next;

        base_free(r->chunks);
        r->chunks = next;
    }
}

/* ---- paths --------------------------------------------------------------------------- */

static show_at place(const show_at *up, const json_t *value, const char *key, size_t index)
{
    show_at at = {.number = (double)NAN,
                  .up = up,
                  .root = up ? up->root : value,
                  .key = key,
                  .index = index};

    if (!value || json_is_null(value))
        return at;
    at.value = value;
    at.text = json_string_value(value);
    if (json_is_number(value))
        at.number = json_number_value(value);
    else if (json_is_boolean(value))
        at.number = json_is_true(value);
    return at;
}

show_at show_root(const show_document *document)
{
    return place(NULL, document->json, NULL, 0);
}

/* One step of a path: a name, [3], [#], [name of an index at the top], [] or what is left
 * of it. */
typedef struct step {
    char name[64];
    bool all, bracket;
} step;

/* Takes a step from the front of *path. False: the path is at its end. */
static bool step_take(step *out, const char **path)
{
    const char *at = *path + (**path == '.');
    size_t length;

    if (!*at)
        return false;
    out->bracket = *at == '[';
    at += out->bracket;
    length = strcspn(at, out->bracket ? "]" : ".[");
    out->all = out->bracket && at[0] == ']';
    snprintf(out->name, sizeof out->name, "%.*s", (int)length, at);
    *path = at + length + (out->bracket && at[length] == ']');
    return true;
}

/* The element of a list that [name] means; SIZE_MAX: none. */
static size_t index_of(const show_at *at, const json_t *list, const char *name)
{
    const json_t *top = json_object_get(at->root, name);
    double index = (double)NAN;

    if (strcmp(name, "#") == 0)
        index = (double)at->index;
    else if (json_is_number(top))
        index = json_number_value(top);
    else
        (void)base_parse_real(&index, name);
    if (index < 0)
        index += (double)json_array_size(list);
    return index >= 0 && index < (double)json_array_size(list) ? (size_t)index : SIZE_MAX;
}

/* Where a path begins: '/' at the top, '^' one level up, as often as it stands there. */
static const show_at *start_of(const show_at *at, const char **path, show_at *top)
{
    if (**path == '/') {
        (*path)++;
        *top = place(NULL, at->root, NULL, 0);
        return top;
    }
    for (; **path == '^' && at; (*path)++)
        at = at->up;
    return at;
}

show_at show_find(const show_at *at, const char *path)
{
    show_at top, nothing = {.number = (double)NAN, .up = at, .root = at->root};
    const show_at *from = path ? start_of(at, &path, &top) : NULL;
    step s;

    if (!from)
        return nothing;
    if (strcmp(path, "#") == 0 || strcmp(path, ".#") == 0) {
        nothing.number = (double)from->index;
        nothing.value = from->root; /* it is there */
        return nothing;
    }
    if (strcmp(path, "@") == 0) {
        nothing.text = from->key;
        nothing.value = from->key ? from->root : NULL;
        return nothing;
    }
    if (strcmp(path, ".") == 0 || !*path)
        return place(from->up, from->value, from->key, from->index);
    const json_t *value = from->value;
    size_t index = 0;
    while (value && step_take(&s, &path)) {
        if (s.bracket) {
            index = index_of(at, value, s.name);
            value = json_array_get(value, index);
        } else {
            value = json_object_get(value, s.name);
        }
    }
    return place(at, value, NULL, index);
}

json_t *show_json_find(const json_t *json, const char *path)
{
    const show_at root = place(NULL, json, NULL, 0);

    return json ? (json_t *)(uintptr_t)show_find(&root, path).value : NULL;
}

double show_json_number(const json_t *json, const char *path)
{
    const json_t *value = show_json_find(json, path);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *show_json_string(const json_t *json, const char *path)
{
    return json_string_value(show_json_find(json, path));
}

char *show_text(const json_t *json, const char *text)
{
    show_render r = {.where = SHOW_TERMINAL};
    const show_at root = place(NULL, json, NULL, 0);
    const char *filled = show_fill(&r, &root, text);
    char *out = filled && r.status == BASE_OK ? base_text("%s", filled) : NULL;

    show_render_end(&r);
    return out;
}

static size_t walk(show_render *r, show_at *out, const show_at *at, const char *path);

/* One element of a [] part: itself where the path ends, else what is below it. */
static size_t visit(show_render *r, show_at *out, const show_at *at, const json_t *one,
                    const char *key, size_t index, const char *path)
{
    const show_at element = place(at, one, key, index);

    if (*path) {
        show_at *kept = show_take(r, 1, sizeof *kept); /* rows point to it */

        if (!kept)
            return 0;
        *kept = element;
        return walk(r, out, kept, path);
    }
    if (out)
        *out = element;
    return 1;
}

/* Adds what is at the end of the path below `at`; out NULL: only counts. */
static size_t walk(show_render *r, show_at *out, const show_at *at, const char *path)
{
    const json_t *value = at->value;
    json_t *one;
    const char *key;
    size_t count = 0, i = 0;
    step s;

    while (value && step_take(&s, &path)) {
        if (s.all && json_is_object(value)) {
            json_object_foreach((json_t *)value, key, one)
            {
                count += visit(r, out ? out + count : NULL, at, one, key, i, path);
                i++;
            }
            return count;
        }
        if (s.all) {
            json_array_foreach(value, i, one) count +=
                visit(r, out ? out + count : NULL, at, one, NULL, i, path);
            return count;
        }
        i = s.bracket ? index_of(at, value, s.name) : 0;
        value = s.bracket ? json_array_get(value, i) : json_object_get(value, s.name);
    }
    if (!value || json_is_null(value))
        return 0;
    if (out)
        *out = place(at, value, NULL, 0);
    return 1;
}

show_rows show_all(show_render *r, const show_at *at, const char *path)
{
    show_at *top = show_take(r, 1, sizeof *top);
    show_rows rows = {0};
    const char *rest = path ? path : ".";

    if (!top)
        return rows;
    const show_at *from = start_of(at, &rest, top);
    if (!from)
        return rows;
    const bool itself = strcmp(rest, ".") == 0 || !*rest;
    rows.count = itself ? from->value != NULL : walk(r, NULL, from, rest);
    rows.at = show_take(r, rows.count, sizeof *rows.at);
    if (!rows.at)
        rows.count = 0;
    else if (itself)
        memcpy(rows.at, from, rows.count * sizeof *rows.at);
    else
        walk(r, rows.at, from, rest);
    return rows;
}

bool show_numbers(show_render *r, double **out, size_t *count, const show_at *list)
{
    const size_t n = json_array_size(list->value);
    double *numbers = json_is_array(list->value) ? show_take(r, n, sizeof *numbers) : NULL;

    if (!numbers)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list->value, i);

        numbers[i] = json_is_number(one) ? json_number_value(one) : (double)NAN;
    }
    *out = numbers;
    *count = n;
    return true;
}
