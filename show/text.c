/* text.c - values as people read them: counts, shares, times, intervals, sentences with
 * values in them. Free to change: the forms. Relied on elsewhere: a text with a value that
 * is not there is no text. */
#include "show/document_internal.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

json_t *show_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *show_json_counts(const uint64_t *values, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer((json_int_t)values[i]));
    return list;
}

json_t *show_json_table(const uint64_t *values, size_t rows, size_t columns)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rows; i++)
        json_array_append_new(list, show_json_counts(values + i * columns, columns));
    return list;
}

json_t *show_json_reals(const double *values, size_t count, double over)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, show_json_real(values[i] / over));
    return list;
}

json_t *show_json_floats(const float *values, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, show_json_real((double)values[i]));
    return list;
}

json_t *show_json_fields(const base_field *fields, const void *settings)
{
    json_t *json = json_object();
    char room[64];

    for (const base_field *f = fields; f && f->name; f++) {
        const base_value v = base_field_get(settings, f, room, sizeof room);
        json_t *value = NULL;
        switch (v.kind) {
        case BASE_VALUE_NONE: value = json_null(); break;
        case BASE_VALUE_INT: value = json_integer(v.whole); break;
        case BASE_VALUE_REAL: value = json_real(v.real); break;
        case BASE_VALUE_BOOL: value = json_boolean(v.flag); break;
        case BASE_VALUE_TEXT: value = show_json_text(v.text); break;
        }
        json_object_set_new(json, f->name, value);
    }
    return json;
}

json_t *show_json_text(const char *text)
{
    json_t *json = json_string(text); /* NULL for what is no UTF-8 */

    if (!json) {
        char quoted[4096];
        json = json_string(base_quote(quoted, sizeof quoted, text));
    }
    return json;
}

void show_put(json_t *json, const char *key, json_t *value)
{
    json_object_set_new(json, key, value);
}

void show_put_int(json_t *json, const char *key, int64_t value)
{
    show_put(json, key, json_integer(value));
}

void show_put_count(json_t *json, const char *key, uint64_t value)
{
    show_put(json, key, json_integer((json_int_t)value));
}

void show_put_real(json_t *json, const char *key, double value)
{
    show_put(json, key, show_json_real(value));
}

void show_put_bool(json_t *json, const char *key, bool value)
{
    show_put(json, key, json_boolean(value));
}

void show_put_text(json_t *json, const char *key, const char *text)
{
    show_put(json, key, text ? show_json_text(text) : json_null());
}

void show_row(json_t *list, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    json_array_append_new(list, json_vpack_ex(NULL, 0, format, values));
    va_end(values);
}

void show_fact(json_t *facts, const char *format, ...)
{
    char text[2048];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    json_array_append_new(facts, show_json_text(text));
}

/* ---- numbers ------------------------------------------------------------------------- */

const char *show_thousands(char *out, size_t out_bytes, uint64_t value)
{
    char digits[32];
    size_t used = 0;

    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    for (int i = 0; i < length && used + 2 < out_bytes; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

const char *show_duration(char *out, size_t out_bytes, double seconds)
{
    const uint64_t s = seconds > 0 ? (uint64_t)(seconds + 0.5) : 0;

    if (seconds < 9.95)
        snprintf(out, out_bytes, "%.1f s", seconds > 0 ? seconds : 0.0);
    else if (s < 60)
        snprintf(out, out_bytes, "%llu s", (unsigned long long)s);
    else if (s < 3600)
        snprintf(out, out_bytes, "%llu:%02llu", (unsigned long long)(s / 60),
                 (unsigned long long)(s % 60));
    else
        snprintf(out, out_bytes, "%llu:%02llu:%02llu", (unsigned long long)(s / 3600),
                 (unsigned long long)(s / 60 % 60), (unsigned long long)(s % 60));
    return out;
}

const char *show_bytes(char *out, size_t out_bytes, double bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    size_t unit = 0;

    for (; bytes >= 1000 && unit < 4; unit++)
        bytes /= 1000;
    snprintf(out, out_bytes, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return out;
}

static void amount_text(char *out, size_t out_bytes, double value, int digits)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P"};
    size_t unit = 0;

    for (; fabs(value) >= 1000 && unit < 5; unit++)
        value /= 1000;
    if (digits > 0)
        snprintf(out, out_bytes, "%.*f%s", digits, value, units[unit]);
    else
        snprintf(out, out_bytes, "%.4g%s", value, units[unit]);
}

/* A finite number in the form of its kind; unit: with the sign of per cent. */
static const char *number_text(char out[64], double value, show_kind kind, int digits,
                               bool unit)
{
    const int places = digits < 0 ? 0 : digits;

    if (kind == SHOW_COUNT && value >= 0 && value < 0x1p63)
        show_thousands(out, 64, (uint64_t)(value + 0.5));
    else if (kind == SHOW_PERCENT)
        snprintf(out, 64, unit ? "%.*f %%" : "%.*f", digits == 0 ? 2 : places, 100 * value);
    else if (kind == SHOW_DURATION)
        show_duration(out, 64, value);
    else if (kind == SHOW_BYTES)
        show_bytes(out, 64, value);
    else if (kind == SHOW_AMOUNT)
        amount_text(out, 64, value, digits);
    else if (digits != 0)
        snprintf(out, 64, "%.*f", places, value);
    else
        snprintf(out, 64, kind == SHOW_NUMBER ? "%.4g" : "%.6g", value);
    return out;
}

/* One value, no list. */
static const char *single_text(show_render *r, const show_at *at, show_kind kind,
                               int digits, bool unit)
{
    char text[64];

    if (at->text)
        return at->text;
    if (json_is_boolean(at->value))
        return json_is_true(at->value) ? "yes" : "no";
    if (!isfinite(at->number))
        return "";
    return show_print(r, "%s", number_text(text, at->number, kind, digits, unit));
}

static const char *list_text(show_render *r, const show_at *list, show_kind kind,
                             int digits, const char *join)
{
    const char *all = "";

    for (size_t i = 0; i < json_array_size(list->value); i++) {
        const json_t *one = json_array_get(list->value, i);
        const show_at at = {.value = one,
                            .text = json_string_value(one),
                            .number =
                                json_is_number(one) ? json_number_value(one) : (double)NAN};
        const char *text = single_text(r, &at, kind, digits, false);

        all = show_print(r, "%s%s%s", all, i ? join : "", *text ? text : "-");
    }
    return all;
}

/* The column's own text of the value, or of each one of a list. */
static const char *own_text(show_render *r, const show_at *at, const show_column *c)
{
    const show_rows rows = show_all(r, at, json_is_array(at->value) ? "[]" : ".");
    const char *all = "";

    for (size_t i = 0; i < rows.count; i++) {
        const char *text = show_fill(r, &rows.at[i], c->fill);

        all = show_print(r, "%s%s%s", all, i ? c->join ? c->join : ", " : "",
                         text ? text : "-");
    }
    return all;
}

const char *show_value_text(show_render *r, const show_at *row, const show_column *c)
{
    const show_at at = show_find(row, c->path);
    char text[64];

    if (c->fill)
        return own_text(r, &at, c);
    if (json_is_array(at.value) && !at.text && !isfinite(at.number))
        return list_text(r, &at, c->kind, c->digits, c->join ? c->join : ", ");
    const char *value = single_text(r, &at, c->kind, c->digits, !c->bare);
    const show_at of = show_find(row, c->of), spread = show_find(row, c->spread);
    if (*value && c->of && isfinite(of.number))
        value = show_print(r, "%s of %s", value,
                           number_text(text, of.number, SHOW_COUNT, 0, true));
    if (*value && c->spread && isfinite(spread.number))
        value = show_print(r, "%s %s %s", value, r->where == SHOW_PAGE ? "\u00b1" : "+-",
                           number_text(text, spread.number, c->kind, c->digits, false));
    return value;
}

const char *show_interval_text(show_render *r, const show_at *row, const show_column *c)
{
    const show_at at = show_find(row, c->low_high);

    if (!c->low_high || !isfinite(json_number_value(json_array_get(at.value, 0))) ||
        json_array_size(at.value) != 2)
        return "";
    return list_text(r, &at, c->kind, c->digits, " to ");
}

/* ---- texts --------------------------------------------------------------------------- */

/* {path}, {path:kind} or either with |otherwise, without its braces; NULL: not there. */
static const char *filled(show_render *r, const show_at *at, const char *inside)
{
    static const char letters[] = "%pndba.";
    static const show_kind kinds[] = {SHOW_PERCENT, SHOW_PERCENT, SHOW_COUNT, SHOW_DURATION,
                                      SHOW_BYTES,   SHOW_AMOUNT,  SHOW_NUMBER};
    const size_t path = strcspn(inside, ":|");
    const char *mark = inside + path;
    const char *letter = *mark == ':' && mark[1] ? strchr(letters, mark[1]) : NULL;
    show_column c = {.path = show_print(r, "%.*s", (int)path, inside)};

    if (letter) {
        c.kind = kinds[letter - letters];
        c.bare = *letter == 'p';
        if (mark[2] >= '0' && mark[2] <= '9')
            c.digits = mark[2] == '0' ? SHOW_WHOLE : mark[2] - '0';
    }
    const char *text = show_value_text(r, at, &c);
    const char *otherwise = strchr(mark, '|');
    return *text ? text : otherwise ? otherwise + 1 : NULL;
}

const char *show_fill(show_render *r, const show_at *at, const char *text)
{
    const char *all = "";

    while (text && *text) {
        const size_t plain = strcspn(text, "{");
        const size_t inside = strcspn(text + plain, "}");

        if (!text[plain])
            return show_print(r, "%s%s", all, text);
        const char *value =
            filled(r, at, show_print(r, "%.*s", (int)inside - 1, text + plain + 1));
        if (!value)
            return NULL;
        all = show_print(r, "%s%.*s%s", all, (int)plain, text, value);
        text += plain + inside + (text[plain + inside] == '}');
    }
    return text ? all : NULL;
}

bool show_is(const show_at *row, const char *path)
{
    return path && json_is_true(show_find(row, path).value);
}

const char *show_verdict_class(const show_at *row, const char *path)
{
    static const char *const words[] = {"PASS", "WARN", "FAIL", "SKIPPED"};
    static const char *const classes[] = {"pass", "warn", "fail", "skipped"};
    const show_at at = show_find(row, path);

    for (size_t i = 0; path && at.text && i < 4; i++)
        if (strcmp(at.text, words[i]) == 0)
            return classes[i];
    if (path && json_is_boolean(at.value))
        return json_is_true(at.value) ? "right" : "wrong";
    return "";
}

bool show_is_number(const show_column *column)
{
    return column->kind != SHOW_TEXT && column->kind != SHOW_VERDICT;
}

size_t show_letters(const char *text)
{
    size_t letters = 0;

    for (; *text; text++)
        letters += ((unsigned char)*text & 0xc0) != 0x80;
    return letters;
}

/* ---- CSV ----------------------------------------------------------------------------- */

/* A spreadsheet would reckon with what begins so. A number that happens to is a number. */
static bool is_formula(const char *text)
{
    double number;

    return *text && strchr("=+-@", *text) && !base_parse_real(&number, text);
}

void show_csv_text(FILE *out, const char *text)
{
    const char *const mark = is_formula(text) ? "'" : "";

    if (!strpbrk(text, ",\"\r\n\t")) {
        fprintf(out, "%s%s", mark, text);
        return;
    }
    fprintf(out, "\"%s", mark);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(strchr("\r\n\t", *text) ? ' ' : *text, out);
    }
    fputc('"', out);
}

void show_csv_number(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "%.9g", value);
}
