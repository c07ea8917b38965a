/* inspect.c - vmoe inspect: what a checkpoint is: network, layers, parameters, cost,
 * router, classes; with --experts what its experts do (experts.c). Free to change: the
 * table. Relied on elsewhere: the keys of the JSON (docs/json.md), where "config" is the
 * checkpoint's own. */
#include <string.h>

#include "apps/experts/internal.h"

typedef struct inspect_args {
    app_common common;
    bool tensors;
    app_view view;
    app_study_args study;
} inspect_args;

enum { STUDY_TOKENS = 8000, STUDY_POINTS = 1500 };

#define BASE_STRUCT inspect_args
static const base_field options[] = {
    BASE_BOOL("tensors", tensors, "every tensor with its shape"),
    BASE_BOOL("experts", study.experts,
              "what the experts have specialised in, on --data: classes by experts, mutual "
              "information, linear probes, embeddings, pictures"),
    APP_WORD("data", "DATA", study.data,
             "with --experts: labelled images, a path or LAYOUT:PATH"),
    APP_WORD("html", "FILE", study.html,
             "with --experts: a page with tables, plots and pictures"),
    APP_WORD("csv", "DIR", study.csv,
             "with --experts: measures.csv, usage.csv, experts.csv, embedding.csv, "
             "patches.csv in this folder"),
    APP_WORD("against", "MODEL", study.against,
             "with --experts: another checkpoint of the same run: the share of tokens that "
             "it sends elsewhere (flip rate)"),
    APP_CHOICE(
        "bad-samples", "WHAT", study.bad_samples, "fail|skip",
        "with --experts: skip: images that cannot be used count as wrong, as in vmoe eval"),
    APP_INT(
        "tokens", "N", study.tokens, 16, 1000000,
        "with --experts: patches that the probes of a layer are fitted to and tested on"),
    APP_INT("points", "N", study.points, 3, 20000,
            "with --experts: patches that are embedded; t-SNE takes time by its square"),
    APP_VIEW_OPTIONS,
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "inspect",
    .usage = "MODEL [options]",
    .about =
        "Layers, parameters, active parameters, cost of one image, router and classes; with\n"
        "--experts --data DATA what its experts have specialised in.\n"
        "MODEL is a checkpoint or the folder of a run (its best checkpoint).",
    .options = options,
    .words = "MODEL",
    .words_low = 1,
    .words_high = 1,
};

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

/* Floats of the parameters whose names begin with prefix. */
static size_t floats_of(const vit_model *model, const char *prefix)
{
    size_t sum = 0;

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);

        if (strncmp(p->name, prefix, strlen(prefix)) == 0)
            sum += p->count;
    }
    return sum;
}

static size_t block_floats(const vit_model *model, int block, const char *part)
{
    char prefix[64];

    snprintf(prefix, sizeof prefix, "blocks.%d.%s", block, part);
    return floats_of(model, prefix);
}

/* Parameters of the block that one token meets: k of E experts. */
static size_t block_active(const vit_model *model, int block)
{
    const vit_moe_config *moe = &vit_model_config(model)->moe;
    const size_t experts = block_floats(model, block, "moe.experts.");

    return block_floats(model, block, "") - experts +
           experts / (size_t)moe->experts *
               (size_t)vit_config_eval_k(vit_model_config(model));
}

static void layer_print(const char *name, const char *what, size_t floats, size_t active)
{
    char a[32], b[32];

    printf("%-11s %-44s %11s %11s\n", name, what, show_thousands(a, sizeof a, floats),
           show_thousands(b, sizeof b, active));
}

static void layers_print(const vit_model *model)
{
    const vit_config *c = vit_model_config(model);
    const size_t patches = (size_t)(c->image / c->patch) * (size_t)(c->image / c->patch);
    char name[32], what[128], count[16];

    printf("\n%-11s %-44s %11s %11s\n", "layer", "", "parameters", "active");
    size_t floats = floats_of(model, "patch_embed.");
    snprintf(what, sizeof what, "%d x %d x %d pixels to %d, %zu patches", c->patch,
             c->patch, c->channels, c->width, patches);
    layer_print("patch_embed", what, floats, floats);
    floats = floats_of(model, "pos_embed") + floats_of(model, "cls_token");
    snprintf(what, sizeof what, "%zu tokens, %s%s", vit_config_tokens(c),
             c->position == VIT_POSITION_LEARNED ? "learned" : "sincos",
             vit_config_prefix(c) ? ", class token" : "");
    layer_print("position", what, floats, floats);
    for (int i = 0; i < c->depth; i++) {
        const bool sparse = c->moe.layer[i];

        snprintf(name, sizeof name, "block %d", i);
        if (sparse)
            snprintf(what, sizeof what, "attention %d heads, %d of %d experts of %d%s%s",
                     c->heads, vit_config_eval_k(c), c->moe.experts, c->mlp,
                     c->moe.shared > 0 ? ", shared " : "",
                     c->moe.shared > 0
                         ? show_thousands(count, sizeof count, (uint64_t)c->moe.shared)
                         : "");
        else
            snprintf(what, sizeof what, "attention %d heads, MLP %d", c->heads, c->mlp);
        floats = block_floats(model, i, "");
        layer_print(name, what, floats, sparse ? block_active(model, i) : floats);
    }
    floats = floats_of(model, "norm.");
    layer_print("norm", "", floats, floats);
    floats = floats_of(model, "head.");
    snprintf(what, sizeof what, "%s to %d classes",
             c->pool == VIT_POOL_TOKEN ? "class token" : "mean of patches", c->classes);
    layer_print("head", what, floats, floats);
    layer_print("total", "", vit_model_floats(model), vit_model_active_floats(model));
}

static void router_print(const vit_config *c)
{
    const vit_moe_config *moe = &c->moe;
    const base_field *f = vit_router_options(moe->router.name);
    char value[64];

    if (!vit_config_is_sparse(c))
        return;
    printf("\nrouter      %s: %s\n", moe->router.name,
           vit_router_summary(moe->router.name));
    for (; f && f->name; f++)
        printf("  %-18s %-10s %s\n", f->name,
               base_field_text(value, sizeof value, moe->router.settings, f), f->help);
    if (moe->capacity > 0)
        printf("  %-18s %-10g training%s\n", "capacity", moe->capacity,
               moe->bpr ? ", surest tokens first" : "");
    if (moe->eval_capacity > 0)
        printf("  %-18s %-10g evaluation%s\n", "capacity", moe->eval_capacity,
               moe->eval_bpr ? ", surest tokens first" : "");
    if (moe->capacity <= 0 && moe->eval_capacity <= 0)
        printf("  %-18s %-10s no token is dropped\n", "capacity", "0");
}

static void numbers_print(const char *name, const float *values, int count)
{
    printf("%s", name);
    for (int i = 0; i < count; i++)
        printf(" %.4g", (double)values[i]);
}

static void labels_print(const app_network *network)
{
    enum { SHOWN = 12 };
    char name[128];

    printf("classes     %zu", network->classes);
    if (network->labels) {
        printf(": ");
        for (size_t i = 0; i < network->classes && i < SHOWN; i++)
            printf("%s%s", i ? ", " : "",
                   base_quote(name, sizeof name, network->labels[i]));
        if (network->classes > SHOWN)
            printf(", ...");
    } else {
        printf(", without names");
    }
    putchar('\n');
}

static void tensors_print(const vit_model *model)
{
    printf("\n%-44s %s\n", "tensor", "shape");
    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);

        printf("%-44s [", p->name);
        for (int d = 0; d < p->rank; d++)
            printf("%s%zu", d ? ", " : "", p->shape[d]);
        printf("]\n");
    }
}

static void inspect_print(const app_network *network, const file_facts *facts, bool tensors)
{
    const vit_config *c = network->config;
    const vit_model *model = network->model;
    char name[1024], a[32], b[32];

    printf("file        %s\n", base_quote(name, sizeof name, network->path));
    printf("            %s bytes, %s, %s\n", show_thousands(a, sizeof a, network->bytes),
           facts->type, facts->format);
    printf("network     %s\n", app_network_name(name, sizeof name, c));
    printf("input       %d x %d, %d channel%s, resize %d, crop %d, %s", c->image, c->image,
           c->channels, c->channels == 1 ? "" : "s", c->resize, c->crop, c->interpolation);
    numbers_print(", mean", c->mean, c->channels);
    numbers_print(", std", c->std, c->channels);
    printf("\ngelu        %s\n", c->gelu == VIT_GELU_TANH ? "tanh" : "erf");
    labels_print(network);
    printf("parameters  %s, of which a token meets %s\n",
           show_thousands(a, sizeof a, vit_model_floats(model)),
           show_thousands(b, sizeof b, vit_model_active_floats(model)));
    printf("cost        %.4g GFLOP an image forward (a multiply and an add are two)\n",
           vit_model_flops(model) / 1e9);
    layers_print(model);
    router_print(c);
    if (tensors)
        tensors_print(model);
}

static json_t *inspect_json(const app_network *network, const file_facts *facts,
                            const app_common *common)
{
    json_t *json = app_json_begin(common, "inspect", network->path, NULL);
    char *text = vit_model_config_json(network->model);
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    json_t *blocks = json_array();

    base_free(text);
    for (int i = 0; i < network->config->depth; i++) {
        const bool sparse = network->config->moe.layer[i];
        const size_t floats = block_floats(network->model, i, "");
        const size_t active = sparse ? block_active(network->model, i) : floats;

        json_array_append_new(blocks, json_pack("{s:i, s:b, s:I, s:I}", "block", i, "moe",
                                                sparse, "parameters", (json_int_t)floats,
                                                "active_parameters", (json_int_t)active));
    }
    app_network_json(json, network);
    json_object_set_new(json, "bytes", json_integer((json_int_t)network->bytes));
    json_object_set_new(json, "stored_as", json_string(facts->type));
    json_object_set_new(json, "format", json_string(facts->format));
    json_object_set_new(json, "parameters",
                        json_integer((json_int_t)vit_model_floats(network->model)));
    json_object_set_new(json, "active_parameters",
                        json_integer((json_int_t)vit_model_active_floats(network->model)));
    json_object_set_new(json, "flops", json_real(vit_model_flops(network->model)));
    json_object_set_new(json, "tokens",
                        json_integer((json_int_t)vit_config_tokens(network->config)));
    json_object_set_new(json, "blocks", blocks);
    json_object_set_new(json, "config", config ? config : json_null());
    return json;
}

int app_inspect(int argc, char **argv)
{
    inspect_args args = {.common = app_common_defaults(),
                         .view = app_view_defaults(),
                         .study = {.tokens = STUDY_TOKENS, .points = STUDY_POINTS}};
    app_network network = {0};
    file_facts facts = {0};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "inspect");
    args.study.view = &args.view;
    base_status status = app_study_check(&args.study, &err);
    if (status == BASE_OK && args.study.experts) {
        app_waiting_tell(&args.common);
        status = app_study_command(words[0], &args.study, &args.common, &err);
        return status == BASE_OK ? APP_DONE : app_fail("inspect", &err);
    }
    if (status == BASE_OK)
        status = app_network_open(&network, words[0], &args.view, &args.common, &err);
    if (status == BASE_OK)
        status = file_facts_read(&facts, network.path, &err);
    if (status == BASE_OK) {
        if (!args.common.json || strcmp(args.common.json, "-") != 0)
            inspect_print(&network, &facts, args.tensors);
        if (args.common.json)
            status = app_json_write(&args.common,
                                    inspect_json(&network, &facts, &args.common), &err);
    }
    app_network_close(&network);
    return status == BASE_OK ? APP_DONE : app_fail("inspect", &err);
}
