/* config_json.c - the `config` of a checkpoint: vit_config and class names as JSON and
 * back. The keys are a contract with everyone who reads our files (model.md, last
 * section): add, never rename. Reading is strict: a key that is not known here may
 * change the network, so it is refused. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "vit/model_internal.h"

_Static_assert(sizeof(vit_pool) == sizeof(int32_t), "a choice is stored as an int");

/* Ranges are those of vit_config_check. */
#define BASE_STRUCT vit_config
static const base_field top_fields[] = {
    BASE_TEXT("name", name, NULL),
    BASE_INT("image", image, 0, 0, NULL, .required = true),
    BASE_INT("channels", channels, 0, 0, NULL, .required = true),
    BASE_INT("patch", patch, 0, 0, NULL, .required = true),
    BASE_INT("width", width, 0, 0, NULL, .required = true),
    BASE_INT("depth", depth, 0, 0, NULL, .required = true),
    BASE_INT("heads", heads, 0, 0, NULL, .required = true),
    BASE_INT("mlp", mlp, 0, 0, NULL, .required = true),
    BASE_INT("classes", classes, 0, 0, NULL, .required = true),
    BASE_CHOICE("pool", pool, "token|gap|patches", NULL),
    BASE_CHOICE("gelu", gelu, "erf|tanh", NULL),
    BASE_CHOICE("position", position, "learned|sincos", NULL),
    BASE_CHOICE("init", init, "timm|vmoe", NULL),
    BASE_REAL("dropout", dropout, 0, 0, NULL),
    BASE_REAL("drop_path", drop_path, 0, 0, NULL),
    BASE_REAL("eps", eps, 0, 0, NULL),
    BASE_INT("registers", registers, 0, 0, NULL),
    BASE_INT("prelogits", prelogits, 0, 0, NULL),
    BASE_BOOL("fc_norm", fc_norm, NULL),
    BASE_BOOL("pre_norm", pre_norm, NULL),
    BASE_BOOL("qk_norm", qk_norm, NULL),
    BASE_TEXT("interpolation", interpolation, NULL),
    BASE_INT("resize", resize, 0, 0, NULL),
    BASE_INT("crop", crop, 0, 0, NULL),
    BASE_CHOICE("crop_mode", crop_mode, "center|squash", NULL),
    {0},
};
static const base_field moe_fields[] = {
    BASE_INT("experts", moe.experts, 0, 0, NULL),
    BASE_INT("k", moe.k, 0, 0, NULL),
    BASE_REAL("capacity", moe.capacity, 0, 0, NULL),
    BASE_REAL("eval_capacity", moe.eval_capacity, 0, 0, NULL),
    BASE_INT("capacity_multiple", moe.capacity_multiple, 0, 0, NULL),
    BASE_BOOL("bpr", moe.bpr, NULL),
    BASE_BOOL("eval_bpr", moe.eval_bpr, NULL),
    BASE_INT("group_images", moe.group_images, 0, 0, NULL),
    BASE_REAL("dropout", moe.dropout, 0, 0, NULL),
    BASE_INT("shared", moe.shared, 0, 0, NULL),
    {0},
};
#undef BASE_STRUCT
/* Keys that are no single value of vit_config. */
static const char *const top_others[] = {"moe", "mean", "std", "labels", NULL};
static const char *const moe_others[] = {"layers", "router", NULL};

/* ---- writing ------------------------------------------------------------------------- */

/* Every member into out; one that decides itself ("auto") is left out: reading gives it its
 * default, "auto" again. */
static void write_fields(json_t *out, const base_field *fields, const void *settings)
{
    char room[64];

    for (const base_field *f = fields; f->name; f++) {
        const base_value v = base_field_get(settings, f, room, sizeof room);
        json_t *json = NULL;
        switch (v.kind) {
        case BASE_VALUE_INT: json = json_integer(v.whole); break;
        case BASE_VALUE_REAL:
            json = f->whole ? json_integer((json_int_t)v.real) : json_real(v.real);
            break;
        case BASE_VALUE_BOOL: json = json_boolean(v.flag); break;
        case BASE_VALUE_TEXT: json = json_string(v.text); break;
        case BASE_VALUE_NONE: continue;
        }
        json_object_set_new(out, f->name, json);
    }
}

const char *vit_float_text(char *out, size_t out_bytes, float value)
{
    double real;

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, out_bytes, "%.*g", digits, (double)value);
        if (base_parse_real(&real, out) && (float)real == value)
            break;
    }
    return out;
}

static json_t *channel_values(const float *value, int channels)
{
    json_t *out = json_array();

    for (int i = 0; i < channels; i++) {
        double real = (double)value[i];
        char text[32];

        base_parse_real(&real, vit_float_text(text, sizeof text, value[i]));
        json_array_append_new(out, json_real(real));
    }
    return out;
}

static json_t *moe_value(const vit_config *config)
{
    const base_field *options = vit_router_options(config->moe.router.name);
    json_t *out = json_object(), *layers = json_array(), *router = json_object();

    for (int i = 0; i < config->depth; i++)
        if (config->moe.layer[i])
            json_array_append_new(layers, json_integer(i));
    json_object_set_new(out, "layers", layers);
    write_fields(out, moe_fields, config);
    json_object_set_new(router, "name", json_string(config->moe.router.name));
    if (options)
        write_fields(router, options, config->moe.router.settings);
    json_object_set_new(out, "router", router);
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

char *vit_json_text(const json_t *value, size_t flags)
{
    for (size_t digits = 6; digits <= 17; digits++) {
        char *text = json_dumps(value, flags | JSON_REAL_PRECISION(digits));
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

    write_fields(out, top_fields, c);
    json_object_set_new(out, "mean", channel_values(c->mean, c->channels));
    json_object_set_new(out, "std", channel_values(c->std, c->channels));
    json_object_set_new(out, "moe", moe_value(c));
    for (size_t i = 0; model->label && i < (size_t)c->classes; i++)
        json_array_append_new(labels, label_value(model->label[i]));
    json_object_set_new(out, "labels", labels);
    char *text = out ? vit_json_text(out, JSON_COMPACT) : NULL;
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

/* NONE: an object, a list or null. */
static base_value value_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return (base_value){.kind = BASE_VALUE_TEXT, .text = json_string_value(value)};
    case JSON_INTEGER:
        return (base_value){.kind = BASE_VALUE_INT, .whole = json_integer_value(value)};
    case JSON_REAL:
        return (base_value){.kind = BASE_VALUE_REAL, .real = json_real_value(value)};
    case JSON_TRUE:
    case JSON_FALSE:
        return (base_value){.kind = BASE_VALUE_BOOL, .flag = json_is_true(value)};
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_NULL: break;
    }
    return (base_value){.kind = BASE_VALUE_NONE};
}

static base_status read_field(vit_config *config, const base_field *f, const json_t *value,
                              const char *prefix, base_error *err)
{
    static const char *const expected[] = {[BASE_KIND_INT] = "a small integer",
                                           [BASE_KIND_REAL] = "a number",
                                           [BASE_KIND_BOOL] = "true or false",
                                           [BASE_KIND_TEXT] = "a short text"};
    char one[64], quoted[40], word[48];

    if (!(f->kind == BASE_KIND_INT && json_is_real(value)) &&
        !(f->kind == BASE_KIND_TEXT && json_is_string(value) &&
          strlen(json_string_value(value)) != json_string_length(value)) &&
        base_field_put(config, f, value_of(value)))
        return BASE_OK;
    if (f->kind != BASE_KIND_CHOICE)
        return wrong_kind(prefix, f->name, value, expected[f->kind], err);
    if (json_is_string(value))
        snprintf(word, sizeof word, "'%s'",
                 base_quote(quoted, sizeof quoted, json_string_value(value)));
    else
        snprintf(word, sizeof word, "%s", kind_text(value));
    return base_fail(err, BASE_FORMAT, "config '%s%s' is %s, expected %s", prefix, f->name,
                     word, base_field_expected(one, sizeof one, f));
}

/* The single values of object; refuses keys that are neither in fields nor in others. */
static base_status read_fields(vit_config *config, const base_field *fields,
                               const char *const *others, const json_t *object,
                               const char *prefix, base_error *err)
{
    const char *key;
    json_t *value;

    for (const base_field *f = fields; f->name; f++)
        if (f->required && !json_object_get(object, f->name))
            return wrong_kind(prefix, f->name, NULL, "an integer", err);
    json_object_foreach((json_t *)object, key, value)
    {
        const base_field *f = base_field_find(fields, key);
        size_t o = 0;
        while (others[o] && strcmp(others[o], key) != 0)
            o++;
        if (!f && !others[o]) {
            char quoted[64];
            return base_fail(err, BASE_FORMAT, "config has an unknown key '%s%s'", prefix,
                             base_quote(quoted, sizeof quoted, key));
        }
        if (f) {
            const base_status status = read_field(config, f, value, prefix, err);
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
        if (status != BASE_OK || strcmp(key, "name") == 0)
            continue;
        if (!json_is_string(value) && !json_is_number(value))
            return wrong_kind("moe.router.", key, value, "a number or a text", err);
        status = vit_router_put(router, key, value_of(value), err);
    }
    return status;
}

static base_status read_moe(vit_config *config, const json_t *moe, base_error *err)
{
    if (!moe)
        return BASE_OK;
    if (!json_is_object(moe))
        return wrong_kind("", "moe", moe, "an object", err);
    base_status status = read_fields(config, moe_fields, moe_others, moe, "moe.", err);
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
    status = read_fields(&c, top_fields, top_others, top, "", err);
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
