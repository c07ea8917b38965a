/* config_json.c - the `config` of a checkpoint: vit_config and class names as JSON and
 * back. The keys are a contract with everyone who reads our files (model.md, last
 * section): add, never rename. Reading is strict: a key that is not known here may
 * change the network, so it is refused. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "vit/model_internal.h"

typedef enum field_kind {
    FIELD_INT,
    FIELD_REAL,
    FIELD_BOOL,
    FIELD_TEXT,
    FIELD_CHOICE
} field_kind;

/* One key and where its value lies in vit_config. */
typedef struct field {
    const char *key;
    size_t at;
    size_t bytes;           /* FIELD_TEXT: room with the final 0 */
    const char *choices[4]; /* FIELD_CHOICE: words of an enum's values, NULL ends */
    field_kind kind;
    bool required;
} field;

_Static_assert(sizeof(vit_pool) == sizeof(int), "FIELD_CHOICE reads enums as int");

#define AT(member) offsetof(vit_config, member)

static const field top_fields[] = {
    {"name", AT(name), sizeof(((vit_config *)0)->name), {NULL}, FIELD_TEXT, false},
    {"image", AT(image), 0, {NULL}, FIELD_INT, true},
    {"channels", AT(channels), 0, {NULL}, FIELD_INT, true},
    {"patch", AT(patch), 0, {NULL}, FIELD_INT, true},
    {"width", AT(width), 0, {NULL}, FIELD_INT, true},
    {"depth", AT(depth), 0, {NULL}, FIELD_INT, true},
    {"heads", AT(heads), 0, {NULL}, FIELD_INT, true},
    {"mlp", AT(mlp), 0, {NULL}, FIELD_INT, true},
    {"classes", AT(classes), 0, {NULL}, FIELD_INT, true},
    {"pool", AT(pool), 0, {"token", "gap", "patches"}, FIELD_CHOICE, false},
    {"gelu", AT(gelu), 0, {"erf", "tanh"}, FIELD_CHOICE, false},
    {"position", AT(position), 0, {"learned", "sincos"}, FIELD_CHOICE, false},
    {"init", AT(init), 0, {"timm", "vmoe"}, FIELD_CHOICE, false},
    {"dropout", AT(dropout), 0, {NULL}, FIELD_REAL, false},
    {"drop_path", AT(drop_path), 0, {NULL}, FIELD_REAL, false},
    {"interpolation",
     AT(interpolation),
     sizeof(((vit_config *)0)->interpolation),
     {NULL},
     FIELD_TEXT,
     false},
    {"resize", AT(resize), 0, {NULL}, FIELD_INT, false},
    {"crop", AT(crop), 0, {NULL}, FIELD_INT, false},
    {"crop_mode", AT(crop_mode), 0, {"center", "squash"}, FIELD_CHOICE, false},
};
static const field moe_fields[] = {
    {"experts", AT(moe.experts), 0, {NULL}, FIELD_INT, false},
    {"k", AT(moe.k), 0, {NULL}, FIELD_INT, false},
    {"capacity", AT(moe.capacity), 0, {NULL}, FIELD_REAL, false},
    {"eval_capacity", AT(moe.eval_capacity), 0, {NULL}, FIELD_REAL, false},
    {"capacity_multiple", AT(moe.capacity_multiple), 0, {NULL}, FIELD_INT, false},
    {"bpr", AT(moe.bpr), 0, {NULL}, FIELD_BOOL, false},
    {"eval_bpr", AT(moe.eval_bpr), 0, {NULL}, FIELD_BOOL, false},
    {"group_images", AT(moe.group_images), 0, {NULL}, FIELD_INT, false},
    {"dropout", AT(moe.dropout), 0, {NULL}, FIELD_REAL, false},
};
enum {
    TOP_COUNT = sizeof top_fields / sizeof top_fields[0],
    MOE_COUNT = sizeof moe_fields / sizeof moe_fields[0]
};
/* Keys that are no single value of vit_config. */
static const char *const top_others[] = {"moe", "mean", "std", "labels", NULL};
static const char *const moe_others[] = {"layers", "router", NULL};

/* ---- writing ------------------------------------------------------------------------- */

static json_t *field_value(const field *f, const vit_config *config)
{
    const char *at = (const char *)config + f->at;
    int number = 0;
    double real = 0;
    bool flag = false;

    switch (f->kind) {
    case FIELD_INT: memcpy(&number, at, sizeof number); return json_integer(number);
    case FIELD_REAL: memcpy(&real, at, sizeof real); return json_real(real);
    case FIELD_BOOL: memcpy(&flag, at, sizeof flag); return json_boolean(flag);
    case FIELD_CHOICE:
        memcpy(&number, at, sizeof number);
        return json_string(f->choices[number]);
    case FIELD_TEXT: break;
    }
    return json_string(at);
}

static json_t *channel_values(const float *value, int channels)
{
    json_t *out = json_array();

    for (int i = 0; i < channels; i++) {
        /* The shortest decimal that is this float: 0.485, not 0.48500001430511475. */
        double real = (double)value[i];
        for (int digits = 1; digits <= 9; digits++) {
            char text[32];
            snprintf(text, sizeof text, "%.*g", digits, (double)value[i]);
            if (base_parse_real(&real, text) && (float)real == value[i])
                break;
        }
        json_array_append_new(out, json_real(real));
    }
    return out;
}

/* An option that decides itself (NaN) is left out: reading gives it its default, NaN
 * again. */
static json_t *router_value(const vit_router_config *router)
{
    json_t *out = json_object();
    const vit_router_option *option = vit_router_options(router->name);

    json_object_set_new(out, "name", json_string(router->name));
    for (size_t i = 0; option && option[i].name; i++) {
        const double value = router->option[i];
        char word[64];
        json_t *json = NULL;
        if (isnan(value))
            continue;
        if (option[i].choices)
            json = json_string(vit_router_get(router, option[i].name, word, sizeof word));
        else if (option[i].integer)
            json = json_integer((json_int_t)value);
        else
            json = json_real(value);
        json_object_set_new(out, option[i].name, json);
    }
    return out;
}

static json_t *moe_value(const vit_config *config)
{
    json_t *out = json_object();
    json_t *layers = json_array();

    for (int i = 0; i < config->depth; i++)
        if (config->moe.layer[i])
            json_array_append_new(layers, json_integer(i));
    json_object_set_new(out, "layers", layers);
    for (size_t i = 0; i < MOE_COUNT; i++)
        json_object_set_new(out, moe_fields[i].key, field_value(&moe_fields[i], config));
    json_object_set_new(out, "router", router_value(&config->moe.router));
    return out;
}

/* Names of folders need not be UTF-8: then the odd bytes are spelled \xNN. */
static json_t *label_value(const char *label)
{
    json_t *out = json_string(label);

    if (!out) {
        char quoted[512];
        out = json_string(base_quote(quoted, sizeof quoted, label));
    }
    return out;
}

/* With as few digits as give every number back. NULL: no memory. */
static char *shortest_text(const json_t *value)
{
    for (size_t digits = 6; digits <= 17; digits++) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(digits));
        json_t *back = text ? json_loads(text, 0, NULL) : NULL;
        const bool same = digits == 17 || (back && json_equal(value, back));
        json_decref(back);
        if (same || !text) {
            char *out = text ? base_text("%s", text) : NULL;
            free(text); /* jansson's, from malloc */
            return out;
        }
        free(text);
    }
    return NULL;
}

char *vit_model_config_json(const vit_model *model)
{
    const vit_config *c = &model->config;
    json_t *out = json_object();
    json_t *labels = json_array();

    for (size_t i = 0; i < TOP_COUNT; i++)
        json_object_set_new(out, top_fields[i].key, field_value(&top_fields[i], c));
    json_object_set_new(out, "mean", channel_values(c->mean, c->channels));
    json_object_set_new(out, "std", channel_values(c->std, c->channels));
    json_object_set_new(out, "moe", moe_value(c));
    for (size_t i = 0; model->label && i < (size_t)c->classes; i++)
        json_array_append_new(labels, label_value(model->label[i]));
    json_object_set_new(out, "labels", labels);
    char *text = out ? shortest_text(out) : NULL;
    json_decref(out);
    return text;
}

/* ---- reading ------------------------------------------------------------------------- */

static const char *kind_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a text";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_NULL: return "null";
    case JSON_TRUE:
    case JSON_FALSE: break;
    }
    return "true or false";
}

static base_status wrong_kind(const char *prefix, const char *key, const json_t *value,
                              const char *expected, base_error *err)
{
    return base_fail(err, BASE_FORMAT, "config '%s%s' is %s, expected %s", prefix, key,
                     value ? kind_text(value) : "missing", expected);
}

static base_status read_choice(char *at, const field *f, const json_t *value,
                               const char *prefix, base_error *err)
{
    const char *word = json_string_value(value);

    for (int i = 0; word && f->choices[i]; i++)
        if (strcmp(word, f->choices[i]) == 0) {
            memcpy(at, &i, sizeof i);
            return BASE_OK;
        }
    char quoted[40];
    return base_fail(err, BASE_FORMAT, "config '%s%s' is '%s', expected %s%s%s or %s",
                     prefix, f->key,
                     word ? base_quote(quoted, sizeof quoted, word) : kind_text(value),
                     f->choices[0], f->choices[2] ? ", " : "",
                     f->choices[2] ? f->choices[1] : "", f->choices[f->choices[2] ? 2 : 1]);
}

static base_status read_field(vit_config *config, const field *f, const json_t *value,
                              const char *prefix, base_error *err)
{
    char *at = (char *)config + f->at;

    switch (f->kind) {
    case FIELD_INT: {
        const json_int_t wide = json_integer_value(value);
        const int number = (int)wide;
        if (!json_is_integer(value) || wide < INT_MIN || wide > INT_MAX)
            return wrong_kind(prefix, f->key, value, "a small integer", err);
        memcpy(at, &number, sizeof number);
        return BASE_OK;
    }
    case FIELD_REAL: {
        const double real = json_number_value(value);
        if (!json_is_number(value))
            return wrong_kind(prefix, f->key, value, "a number", err);
        memcpy(at, &real, sizeof real);
        return BASE_OK;
    }
    case FIELD_BOOL: {
        const bool flag = json_is_true(value);
        if (!json_is_boolean(value))
            return wrong_kind(prefix, f->key, value, "true or false", err);
        memcpy(at, &flag, sizeof flag);
        return BASE_OK;
    }
    case FIELD_TEXT:
        if (!json_is_string(value) || json_string_length(value) >= f->bytes)
            return wrong_kind(prefix, f->key, value, "a short text", err);
        memcpy(at, json_string_value(value), json_string_length(value) + 1);
        return BASE_OK;
    case FIELD_CHOICE: break;
    }
    return read_choice(at, f, value, prefix, err);
}

/* The single values of object; refuses keys that are neither in fields nor in others. */
static base_status read_fields(vit_config *config, const field *fields, size_t count,
                               const char *const *others, const json_t *object,
                               const char *prefix, base_error *err)
{
    const char *key;
    json_t *value;

    for (size_t i = 0; i < count; i++)
        if (fields[i].required && !json_object_get(object, fields[i].key))
            return wrong_kind(prefix, fields[i].key, NULL, "an integer", err);
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        size_t o = 0;
        while (i < count && strcmp(fields[i].key, key) != 0)
            i++;
        while (others[o] && strcmp(others[o], key) != 0)
            o++;
        if (i == count && !others[o]) {
            char quoted[64];
            return base_fail(err, BASE_FORMAT, "config has an unknown key '%s%s'", prefix,
                             base_quote(quoted, sizeof quoted, key));
        }
        if (i < count) {
            const base_status status = read_field(config, &fields[i], value, prefix, err);
            if (status != BASE_OK)
                return status;
        }
    }
    return BASE_OK;
}

/* mean or std; an absent list leaves what is there. */
static base_status read_channels(float *out, const char *key, const vit_config *config,
                                 const json_t *list, base_error *err)
{
    if (!list)
        return BASE_OK;
    if (!json_is_array(list) || json_array_size(list) != (size_t)config->channels ||
        config->channels > 3)
        return wrong_kind("", key, list, "a list of one number per channel", err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_number(json_array_get(list, i)))
            return wrong_kind("", key, json_array_get(list, i), "a list of numbers", err);
        out[i] = (float)json_number_value(json_array_get(list, i));
    }
    return BASE_OK;
}

static base_status read_layers(vit_config *config, const json_t *list, base_error *err)
{
    if (list && !json_is_array(list))
        return wrong_kind("moe.", "layers", list, "a list of blocks", err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        const json_int_t block = json_integer_value(value);
        if (!json_is_integer(value) || block < 0 || block >= config->depth ||
            block >= VIT_DEPTH_MAX || config->moe.layer[block])
            return base_fail(
                err, BASE_FORMAT,
                "config 'moe.layers' has an entry that is no block from 0 to %d, or "
                "one twice",
                config->depth - 1);
        config->moe.layer[block] = true;
    }
    return BASE_OK;
}

static base_status read_router(vit_router_config *router, const json_t *object,
                               base_error *err)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    const char *key;
    json_t *value;

    if (!name)
        return wrong_kind("moe.router.", "name", json_object_get(object, "name"), "a text",
                          err);
    base_status status = vit_router_select(router, name, err);
    json_object_foreach((json_t *)object, key, value)
    {
        char number[40];
        if (status != BASE_OK || strcmp(key, "name") == 0)
            continue;
        if (!json_is_string(value) && !json_is_number(value))
            return wrong_kind("moe.router.", key, value, "a number or a text", err);
        snprintf(number, sizeof number, "%.17g", json_number_value(value));
        status = vit_router_set(
            router, key, json_is_string(value) ? json_string_value(value) : number, err);
    }
    return status;
}

static base_status read_moe(vit_config *config, const json_t *moe, base_error *err)
{
    if (!moe)
        return BASE_OK;
    if (!json_is_object(moe))
        return wrong_kind("", "moe", moe, "an object", err);
    base_status status =
        read_fields(config, moe_fields, MOE_COUNT, moe_others, moe, "moe.", err);
    if (status == BASE_OK)
        status = read_layers(config, json_object_get(moe, "layers"), err);
    if (status == BASE_OK && json_object_get(moe, "router"))
        status = read_router(&config->moe.router, json_object_get(moe, "router"), err);
    return status;
}

/* An absent or empty list: no names. */
static base_status read_labels(char ***out, const vit_config *config, const json_t *list,
                               base_error *err)
{
    const size_t count = json_array_size(list);

    if (list && !json_is_array(list))
        return wrong_kind("", "labels", list, "a list of class names", err);
    if (count == 0)
        return BASE_OK;
    if (count != (size_t)config->classes)
        return base_fail(err, BASE_FORMAT, "config 'labels' has %zu names, expected %d",
                         count, config->classes);
    char **label = base_alloc(count, sizeof *label);
    bool good = label != NULL;
    for (size_t i = 0; good && i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_string(value)) {
            vit_labels_free(label, count);
            return wrong_kind("", "labels", value, "a list of class names", err);
        }
        label[i] = base_text("%s", json_string_value(value));
        good = label[i] != NULL;
    }
    if (!good) {
        vit_labels_free(label, count);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", count);
    }
    *out = label;
    return BASE_OK;
}

/* What an old or foreign file may leave out. crop follows image, resize stays 0. */
static vit_config blank(void)
{
    vit_config config = vit_config_defaults();

    config.resize = 0;
    config.crop = -1;
    memset(config.moe.layer, 0, sizeof config.moe.layer);
    return config;
}

base_status vit_config_from_json(vit_config *config, char ***label, const char *text,
                                 base_error *err)
{
    json_error_t where;
    vit_config c = blank();
    char **names = NULL;
    json_t *top = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    base_status status = BASE_OK;

    if (!json_is_object(top)) {
        char quoted[JSON_ERROR_TEXT_LENGTH];
        base_fail(err, BASE_FORMAT, "config is %s, expected a JSON object",
                  top ? kind_text(top) : base_quote(quoted, sizeof quoted, where.text));
        json_decref(top);
        return BASE_FORMAT;
    }
    status = read_fields(&c, top_fields, TOP_COUNT, top_others, top, "", err);
    if (status == BASE_OK && c.crop == -1)
        c.crop = c.image;
    if (status == BASE_OK)
        status = read_channels(c.mean, "mean", &c, json_object_get(top, "mean"), err);
    if (status == BASE_OK)
        status = read_channels(c.std, "std", &c, json_object_get(top, "std"), err);
    if (status == BASE_OK)
        status = read_moe(&c, json_object_get(top, "moe"), err);
    if (status == BASE_OK)
        status = vit_config_check(&c, err);
    if (status == BASE_OK)
        status = read_labels(&names, &c, json_object_get(top, "labels"), err);
    json_decref(top);
    if (status == BASE_OK) {
        *config = c;
        *label = names;
    } else if (status == BASE_USAGE) { /* the user did not write this: the file did */
        status = BASE_FORMAT;
        if (err)
            err->status = status;
    }
    return status;
}
