/* field.c - tables of named, typed, ranged members of plain structs: text in and out,
 * ranges, the nearest name. Whoever refuses a value words the refusal; what was expected is
 * said here. Relied on elsewhere: texts that read back to the same bits, and the texts of
 * what was expected. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/base.h"

/* ---- words --------------------------------------------------------------------------- */

bool base_choice_word(char *out, size_t out_bytes, const char *choices, size_t i)
{
    const char *at = choices;

    for (; i > 0 && at; i--) {
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    snprintf(out, out_bytes, "%.*s", at ? (int)strcspn(at, "|") : 0, at ? at : "");
    return at != NULL;
}

int base_choice_find(const char *choices, const char *word)
{
    const size_t length = strlen(word);

    for (int i = 0;; i++) {
        const size_t here = strcspn(choices, "|");
        if (here == length && strncmp(choices, word, length) == 0)
            return i;
        if (!choices[here])
            return -1;
        choices += here + 1;
    }
}

const base_field *base_field_find(const base_field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

const base_field *base_field_nearest(const base_field *fields, const char *word)
{
    const base_field *best = NULL;
    size_t fewest = SIZE_MAX;

    for (; fields->name; fields++) {
        const size_t edits = base_edit_distance(word, fields->name);
        if (edits < fewest) {
            fewest = edits;
            best = fields;
        }
    }
    return best;
}

/* ---- a member and its value ---------------------------------------------------------- */

/* A member of 4 or 8 bytes. */
static int64_t load_whole(const char *at, size_t bytes)
{
    int32_t narrow = 0;
    int64_t wide = 0;

    if (bytes == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    assert(bytes == sizeof narrow);
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

static void store_whole(char *at, size_t bytes, int64_t value)
{
    const int32_t narrow = (int32_t)value;

    memcpy(at, bytes == sizeof value ? (const void *)&value : &narrow, bytes);
}

static bool is_choice(const base_field *f, int64_t index)
{
    char word[2];

    return index >= 0 && base_choice_word(word, sizeof word, f->choices, (size_t)index);
}

static bool in_range(const base_field *f, double value)
{
    return f->low == f->high || (value >= f->low && value <= f->high);
}

/* low and high are rounded when they do not fit a double: the upper one is compared as it
 * is. */
static bool whole_allowed(const base_field *f, int64_t value)
{
    if (f->bytes < sizeof value && (value < INT32_MIN || value > INT32_MAX))
        return false;
    return in_range(f, (double)value) &&
           (f->low == f->high || f->high >= 9.2e18 || value <= (int64_t)f->high);
}

static bool real_allowed(const base_field *f, double value)
{
    if (isnan(value))
        return f->automatic;
    return in_range(f, value) && (!f->whole || value == floor(value));
}

base_value base_field_get(const void *settings, const base_field *field, char *room,
                          size_t room_bytes)
{
    const char *at = (const char *)settings + field->at;
    base_value v = {.kind = BASE_VALUE_NONE};

    switch (field->kind) {
    case BASE_KIND_INT:
        v.kind = BASE_VALUE_INT;
        v.whole = load_whole(at, field->bytes);
        break;
    case BASE_KIND_REAL:
        memcpy(&v.real, at, sizeof v.real);
        v.kind = field->automatic && isnan(v.real) ? BASE_VALUE_NONE : BASE_VALUE_REAL;
        break;
    case BASE_KIND_BOOL:
        v.kind = BASE_VALUE_BOOL;
        memcpy(&v.flag, at, sizeof v.flag);
        break;
    case BASE_KIND_CHOICE:
        if (is_choice(field, load_whole(at, field->bytes))) {
            v.kind = BASE_VALUE_TEXT;
            base_choice_word(room, room_bytes, field->choices,
                             (size_t)load_whole(at, field->bytes));
            v.text = room;
        }
        break;
    case BASE_KIND_TEXT:
        v.kind = BASE_VALUE_TEXT;
        v.text = at;
        break;
    case BASE_KIND_WORD:
        memcpy(&v.text, at, sizeof v.text);
        v.kind = v.text ? BASE_VALUE_TEXT : BASE_VALUE_NONE;
        break;
    case BASE_KIND_LIST: break;
    }
    return v;
}

static bool put_text(char *at, const base_field *f, const char *text)
{
    base_list *list = (base_list *)(void *)at;
    int index;

    switch (f->kind) {
    case BASE_KIND_CHOICE:
        index = base_choice_find(f->choices, text);
        if (index >= 0)
            store_whole(at, f->bytes, index);
        return index >= 0;
    case BASE_KIND_TEXT:
        if (strlen(text) >= f->bytes)
            return false;
        memcpy(at, text, strlen(text) + 1);
        return true;
    case BASE_KIND_WORD:
        if (!text[0])
            return false;
        memcpy(at, &text, sizeof text);
        return true;
    case BASE_KIND_LIST:
        if (list->count == BASE_LIST_MAX)
            return false;
        list->at[list->count++] = text;
        return true;
    case BASE_KIND_INT:
    case BASE_KIND_REAL:
    case BASE_KIND_BOOL: break;
    }
    return false;
}

bool base_field_put(void *settings, const base_field *field, base_value value)
{
    char *at = (char *)settings + field->at;
    bool good = false;

    if (field->kind == BASE_KIND_REAL && value.kind == BASE_VALUE_INT)
        value = (base_value){.kind = BASE_VALUE_REAL, .real = (double)value.whole};
    if (field->kind == BASE_KIND_INT && value.kind == BASE_VALUE_REAL &&
        fabs(value.real) < 9.2e18 && value.real == floor(value.real))
        value = (base_value){.kind = BASE_VALUE_INT, .whole = (int64_t)value.real};
    if (field->kind == BASE_KIND_INT && value.kind == BASE_VALUE_INT) {
        good = whole_allowed(field, value.whole);
        if (good)
            store_whole(at, field->bytes, value.whole);
    } else if (field->kind == BASE_KIND_REAL && value.kind == BASE_VALUE_REAL) {
        good = real_allowed(field, value.real);
        if (good)
            memcpy(at, &value.real, sizeof value.real);
    } else if (field->kind == BASE_KIND_BOOL && value.kind == BASE_VALUE_BOOL) {
        good = true;
        memcpy(at, &value.flag, sizeof value.flag);
    } else if (value.kind == BASE_VALUE_TEXT) {
        good = put_text(at, field, value.text);
    }
    if (good && field->given)
        memcpy((char *)settings + field->given, &good, sizeof good);
    return good;
}

/* ---- text ---------------------------------------------------------------------------- */

bool base_parse_share(double *out, const char *text)
{
    char top[32];
    double numerator, denominator;
    const char *slash = strchr(text, '/');

    if (!slash)
        return base_parse_real(out, text);
    snprintf(top, sizeof top, "%.*s", slash - text < 32 ? (int)(slash - text) : 0, text);
    if (!base_parse_real(&numerator, top) || !base_parse_real(&denominator, slash + 1) ||
        !(denominator > 0) || !isfinite(numerator / denominator))
        return false;
    *out = numerator / denominator;
    return true;
}

static bool parse_bool(bool *out, const char *text)
{
    const int i = base_choice_find("false|true|no|yes|off|on|0|1", text);

    *out = i % 2 == 1;
    return i >= 0;
}

bool base_field_set(void *settings, const base_field *field, const char *text)
{
    base_value v = {.kind = BASE_VALUE_TEXT, .text = text};
    bool good = true;

    if (field->kind == BASE_KIND_INT) {
        v.kind = BASE_VALUE_INT;
        good = base_parse_int(&v.whole, text);
    } else if (field->kind == BASE_KIND_REAL) {
        v.kind = BASE_VALUE_REAL;
        if (field->automatic && strcmp(text, "auto") == 0)
            v.real = NAN;
        else
            good = base_parse_share(&v.real, text);
    } else if (field->kind == BASE_KIND_BOOL) {
        v.kind = BASE_VALUE_BOOL;
        good = parse_bool(&v.flag, text);
    }
    return good && base_field_put(settings, field, v);
}

bool base_field_good(const void *settings, const base_field *field)
{
    const char *at = (const char *)settings + field->at;
    double real = 0;

    switch (field->kind) {
    case BASE_KIND_INT: return whole_allowed(field, load_whole(at, field->bytes));
    case BASE_KIND_REAL: memcpy(&real, at, sizeof real); return real_allowed(field, real);
    case BASE_KIND_CHOICE: return is_choice(field, load_whole(at, field->bytes));
    case BASE_KIND_BOOL:
    case BASE_KIND_TEXT:
    case BASE_KIND_WORD:
    case BASE_KIND_LIST: break;
    }
    return true;
}

const char *base_value_text(char *out, size_t out_bytes, base_value value)
{
    switch (value.kind) {
    case BASE_VALUE_NONE: snprintf(out, out_bytes, "auto"); break;
    case BASE_VALUE_INT: snprintf(out, out_bytes, "%lld", (long long)value.whole); break;
    case BASE_VALUE_REAL: base_real_text(out, out_bytes, value.real); break;
    case BASE_VALUE_BOOL:
        snprintf(out, out_bytes, "%s", value.flag ? "true" : "false");
        break;
    case BASE_VALUE_TEXT:
        if (value.text != out)
            snprintf(out, out_bytes, "%s", value.text);
        break;
    }
    return out;
}

const char *base_field_text(char *out, size_t out_bytes, const void *settings,
                            const base_field *field)
{
    const char *at = (const char *)settings + field->at;
    const base_list *list = (const base_list *)(const void *)at;
    const base_value v = base_field_get(settings, field, out, out_bytes);
    size_t used = 0;

    if (v.kind != BASE_VALUE_NONE || field->kind == BASE_KIND_REAL)
        return base_value_text(out, out_bytes, v);
    out[0] = '\0';
    if (field->kind == BASE_KIND_CHOICE) /* of no word */
        snprintf(out, out_bytes, "%lld", (long long)load_whole(at, field->bytes));
    for (size_t i = 0; field->kind == BASE_KIND_LIST && i < list->count; i++)
        if (used < out_bytes)
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", i ? " " : "",
                                     list->at[i]);
    return out;
}

/* 2^53 in full as a whole number, 0.1 as it is as another. */
static int digits_of(const base_field *f)
{
    return f->kind == BASE_KIND_INT ? 16 : 15;
}

const char *base_field_expected(char *out, size_t out_bytes, const base_field *field)
{
    const char *what =
        field->kind == BASE_KIND_INT || field->whole ? "a whole number" : "a number";
    const int digits = digits_of(field);
    char range[64] = "";

    switch (field->kind) {
    case BASE_KIND_INT:
    case BASE_KIND_REAL:
        if (field->low != field->high)
            snprintf(range, sizeof range, " from %.*g to %.*g", digits, field->low, digits,
                     field->high);
        snprintf(out, out_bytes, "%s%s%s", what, range, field->automatic ? " or auto" : "");
        break;
    case BASE_KIND_BOOL: snprintf(out, out_bytes, "true or false"); break;
    case BASE_KIND_CHOICE: snprintf(out, out_bytes, "one of %s", field->choices); break;
    case BASE_KIND_TEXT:
        snprintf(out, out_bytes, "at most %zu characters", field->bytes - 1);
        break;
    case BASE_KIND_WORD:
        snprintf(out, out_bytes, "%s", field->value ? field->value : "a text");
        break;
    case BASE_KIND_LIST:
        snprintf(out, out_bytes, "at most %d values", (int)BASE_LIST_MAX);
        break;
    }
    return out;
}

const char *base_field_range(char *out, size_t out_bytes, const base_field *field)
{
    const int digits = digits_of(field);

    if (field->choices)
        snprintf(out, out_bytes, "%s", field->choices);
    else if (field->low != field->high)
        snprintf(out, out_bytes, "%.*g .. %.*g", digits, field->low, digits, field->high);
    else
        out[0] = '\0';
    return out;
}
