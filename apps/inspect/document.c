/* document.c - what a checkpoint is, as one document (docs/json.md). Relied on elsewhere:
 * the keys; "config" is the checkpoint's own. */
#include "apps/inspect/internal.h"

#include <string.h>

/* What the file says about itself. */
typedef struct file_facts {
    char type[8];    /* of the tensors: "F32", "BF16" or "mixed" */
    char format[64]; /* "vmoe 0.1.0", or "timm names, no metadata" */
} file_facts;

static base_status file_facts_read(file_facts *out, const char *path, base_error *err)
{
    vit_tensor_file *file = NULL;
    const base_status status = vit_tensors_open(&file, path, err);

    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < vit_tensors_count(file); i++) {
        const char *type = vit_tensors_at(file, i)->type;

        if (i == 0)
            snprintf(out->type, sizeof out->type, "%s", type);
        else if (strcmp(out->type, type) != 0)
            snprintf(out->type, sizeof out->type, "mixed");
    }
    const char *format = vit_tensors_metadata(file, "format");
    const char *version = vit_tensors_metadata(file, "version");
    if (format && version) {
        char name[24], number[24];

        snprintf(out->format, sizeof out->format, "%s %s",
                 base_quote(name, sizeof name, format),
                 base_quote(number, sizeof number, version));
    } else {
        snprintf(out->format, sizeof out->format, "timm's names, no metadata of ours");
    }
    vit_tensors_close(file);
    return BASE_OK;
}

static app_parameters block_parameters(const vit_model *model, int block)
{
    char prefix[64];

    snprintf(prefix, sizeof prefix, "blocks.%d.", block);
    return app_network_parameters(model, prefix);
}

/* ---- layers -------------------------------------------------------------------------- */

static void layer_add(json_t *list, const char *name, json_t *what, app_parameters count)
{
    show_row(list, "{s:s, s:o, s:I, s:I}", "name", name, "what", what, "parameters",
             (json_int_t)count.all, "active_parameters", (json_int_t)count.active);
}

static json_t *block_told(const vit_config *c, bool sparse)
{
    if (!sparse)
        return json_sprintf("attention %d heads, MLP %d", c->heads, c->mlp);
    if (c->moe.shared == 0)
        return json_sprintf("attention %d heads, %d of %d experts of %d", c->heads,
                            vit_config_eval_k(c), c->moe.experts, c->mlp);
    return json_sprintf("attention %d heads, %d of %d experts of %d, shared %d", c->heads,
                        vit_config_eval_k(c), c->moe.experts, c->mlp, c->moe.shared);
}

static json_t *layers_json(const vit_model *model)
{
    const vit_config *c = vit_model_config(model);
    const int side = c->image / c->patch;
    json_t *list = json_array();
    char name[32];

    layer_add(list, "patch_embed",
              json_sprintf("%d x %d x %d pixels to %d, %d patches", c->patch, c->patch,
                           c->channels, c->width, side * side),
              app_network_parameters(model, "patch_embed."));
    layer_add(list, "position",
              json_sprintf("%zu tokens, %s%s", vit_config_tokens(c),
                           c->position == VIT_POSITION_LEARNED ? "learned" : "sincos",
                           vit_config_prefix(c) ? ", class token" : ""),
              app_network_parameters(model, "pos_embed|cls_token"));
    for (int i = 0; i < c->depth; i++) {
        snprintf(name, sizeof name, "block %d", i);
        layer_add(list, name, block_told(c, c->moe.layer[i]), block_parameters(model, i));
    }
    layer_add(list, "norm", json_string(""), app_network_parameters(model, "norm."));
    layer_add(list, "head",
              json_sprintf("%s to %d classes",
                           c->pool == VIT_POOL_TOKEN ? "class token" : "mean of patches",
                           c->classes),
              app_network_parameters(model, "head."));
    layer_add(list, "total", json_string(""),
              (app_parameters){vit_model_floats(model), vit_model_active_floats(model)});
    return list;
}

static json_t *blocks_json(const vit_model *model)
{
    const vit_config *c = vit_model_config(model);
    json_t *blocks = json_array();

    for (int i = 0; i < c->depth; i++) {
        const app_parameters count = block_parameters(model, i);

        show_row(blocks, "{s:i, s:b, s:I, s:I}", "block", i, "moe", c->moe.layer[i],
                 "parameters", (json_int_t)count.all, "active_parameters",
                 (json_int_t)count.active);
    }
    return blocks;
}

/* ---- router, classes, tensors -------------------------------------------------------- */

static void setting_add(json_t *list, const char *name, const char *value,
                        const char *meaning)
{
    show_row(list, "{s:s, s:s, s:s}", "name", name, "value", value, "meaning", meaning);
}

static void capacity_add(json_t *list, double capacity, bool surest, const char *when)
{
    char value[32], meaning[80];

    if (capacity <= 0)
        return;
    snprintf(value, sizeof value, "%g", capacity);
    snprintf(meaning, sizeof meaning, "%s%s", when, surest ? ", surest tokens first" : "");
    setting_add(list, "capacity", value, meaning);
}

static json_t *routing_json(const vit_config *c)
{
    const vit_moe_config *moe = &c->moe;
    const base_field *f = vit_router_options(moe->router.name);
    json_t *settings = json_array();
    char value[64];

    if (!vit_config_is_sparse(c)) {
        json_decref(settings);
        return json_null();
    }
    for (; f && f->name; f++)
        setting_add(settings, f->name,
                    base_field_text(value, sizeof value, moe->router.settings, f), f->help);
    capacity_add(settings, moe->capacity, moe->bpr, "training");
    capacity_add(settings, moe->eval_capacity, moe->eval_bpr, "evaluation");
    if (moe->capacity <= 0 && moe->eval_capacity <= 0)
        setting_add(settings, "capacity", "0", "no token is dropped");
    return json_pack("{s:s, s:s, s:o}", "name", moe->router.name, "summary",
                     vit_router_summary(moe->router.name), "settings", settings);
}

/* The first names, as one sentence. */
static json_t *classes_note(const app_network *network)
{
    enum { SHOWN = 12 };
    char text[1024] = "without names", name[128];
    size_t used = 0;

    for (size_t i = 0; network->labels && i < network->classes && i < SHOWN; i++)
        if (used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "",
                                     base_quote(name, sizeof name, network->labels[i]));
    return json_sprintf("%s%s", text,
                        network->labels && network->classes > SHOWN ? ", ..." : "");
}

static json_t *tensors_json(const vit_model *model)
{
    json_t *list = json_array();

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        json_t *shape = json_array();

        for (int d = 0; d < p->rank; d++)
            json_array_append_new(shape, json_integer((json_int_t)p->shape[d]));
        show_row(list, "{s:s, s:o}", "name", p->name, "shape", shape);
    }
    return list;
}

/* ---- the whole ----------------------------------------------------------------------- */

base_status app_inspect_json(json_t **out, const app_network *network, bool tensors,
                             const app_common *common, base_error *err)
{
    file_facts facts = {0};
    const base_status status = file_facts_read(&facts, network->path, err);

    if (status != BASE_OK)
        return status;
    json_t *json = app_json_begin(common, "inspect", network->path, NULL);
    char *text = vit_model_config_json(network->model);
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    const vit_model *model = network->model;

    base_free(text);
    app_network_json(json, network);
    show_put_count(json, "bytes", network->bytes);
    show_put_text(json, "stored_as", facts.type);
    show_put_text(json, "format", facts.format);
    show_put_count(json, "parameters", vit_model_floats(model));
    show_put_count(json, "active_parameters", vit_model_active_floats(model));
    show_put_real(json, "flops", vit_model_flops(model));
    show_put_count(json, "tokens", vit_config_tokens(network->config));
    show_put(json, "classes_note", classes_note(network));
    show_put(json, "layers", layers_json(model));
    show_put(json, "blocks", blocks_json(model));
    show_put(json, "routing", routing_json(network->config));
    show_put(json, "tensors", tensors ? tensors_json(model) : json_null());
    show_put(json, "config", config ? config : json_null());
    *out = json;
    return BASE_OK;
}
