/* convert.c - vmoe convert: another program's checkpoint, or one of ours, to a new
 * checkpoint: other input size, other classes, experts in place of MLPs, bf16 weights.
 * Relied on elsewhere: the order of the changes (load with size and classes, upcycle,
 * labels). */
#include <string.h>

#include "apps/convert/internal.h"
#include "apps/network_internal.h"
#include "measure/measure.h"

typedef struct convert_args {
    app_common common;
    const char *upcycle, *router, *labels, *license;
    base_list set, document;
    int64_t experts, k, shared;
    double eval_capacity;
    int64_t group_images, member;
    int64_t image, classes;
    int64_t crop, resize;
    int interpolation; /* index into "checkpoint|" DATA_FILTERS */
    app_reading reading;
    convert_kind kind; /* of OUT */
    struct {
        bool resize, eval_capacity, group_images; /* else as the network has them */
    } given;
} convert_args;

#define BASE_STRUCT convert_args
static const base_field options[] = {
    APP_WORD(
        "upcycle", "LAYERS", upcycle,
        "blocks whose MLP becomes experts, each a copy of it: every:2, last:2 or 1,3,5"),
    APP_INT("experts", "E", experts, 1, VIT_EXPERTS_MAX,
            "experts of such a block (default 8)"),
    APP_INT("k", "K", k, 1, VIT_EXPERTS_MAX, "experts that a token meets (default 2)"),
    APP_INT(
        "shared", "N", shared, 0, VIT_EXPERTS_MAX - 1,
        "with --upcycle: experts that every token passes too; at first they add nothing"),
    APP_REAL("eval-capacity", "C", eval_capacity, 0, APP_VIEW_CAPACITY_MOST,
             "capacity factor of its experts in evaluation, 0: nothing is dropped "
             "(default: the network's; of a V-MoE checkpoint 0)",
             BASE_GIVEN(given.eval_capacity)),
    APP_INT("group-images", "G", group_images, 0, 65536,
            "images routed together, 0: the whole batch (default: the network's; of a "
            "V-MoE checkpoint 8)",
            BASE_GIVEN(given.group_images)),
    APP_INT("member", "M", member, 0, 255, "of a V-MoE ensemble (E3), from 0 (default 0)"),
    APP_WORD("router", "NAME", router,
             "router of such a block; of a sparse network: its new router (default ssr)"),
    APP_LIST("set", "KEY=VALUE", set, "options of the router: p=0.1 cost=softmax"),
    APP_INT("image", "S", image, 1, 4096,
            "side of the input; position embeddings are resampled (default: as it is)"),
    APP_INT("classes", "K", classes, 1, 1000000,
            "a fresh head of so many classes when it has another number"),
    APP_INT("crop", "S", crop, 1, 4096, "side of the centre crop: another name of --image"),
    APP_INT("resize", "R", resize, 0, 16384,
            "shorter side before the centre crop, 0: image as it is (default: as it is)",
            BASE_GIVEN(given.resize)),
    APP_CHOICE("interpolation", "I", interpolation, "checkpoint|" DATA_FILTERS,
               "filter of the resize"),
    APP_READING_OPTIONS(reading),
    APP_WORD("labels", "FILE", labels,
             "class names, one a line, in the order of the logits"),
    APP_LIST("document", "FILE", document,
             "of a folder: results of eval and attack for its model card, JSON files or "
             "folders (default: those beside a run that are of this checkpoint)"),
    APP_WORD("license", "NAME", license,
             "of a folder: the licence in its model card, such as apache-2.0 (default: not "
             "stated)"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "convert",
    .usage = "IN OUT [options]",
    .about = "A checkpoint of timm's names, of V-MoE (X.index), of vision_transformer or\n"
             "big_vision (X.npz), a folder of the Hub, or one of ours, to one of ours.\n"
             "--precision bf16 stores the weights in bf16; --seed draws the routers.\n"
             "IN may be the folder of a run; OUT is a .safetensors file, an .onnx file of\n"
             "the network in evaluation, or a folder for the Hugging Face Hub.",
    .options = options,
    .without = "pin batch limit",
    .words = "IN and OUT",
    .words_low = 2,
    .words_high = 2,
};

/* Chosen router and its options on top of what moe has. */
static base_status router_set(vit_moe_config *moe, const convert_args *args,
                              base_error *err)
{
    base_status status = BASE_OK;

    if (args->router)
        status = vit_router_select(&moe->router, args->router, err);
    for (size_t i = 0; i < args->set.count && status == BASE_OK; i++) {
        const char *text = args->set.at[i];
        const char *equals = strchr(text, '=');
        char key[64];

        if (!equals || equals == text || (size_t)(equals - text) >= sizeof key)
            return base_fail(err, BASE_USAGE, "--set '%s', expected KEY=VALUE", text);
        if (strncmp(text, "router.", 7) == 0)
            text += 7;
        snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
        status = vit_router_set(&moe->router, key, equals + 1, err);
    }
    return status;
}

/* *model becomes sparse, or gets another router. */
static base_status experts_set(vit_model **model, measure_answers *answers,
                               const convert_args *args, base_error *err)
{
    vit_config config = *vit_model_config(*model);
    vit_moe_config *moe = &config.moe;
    vit_model *made = NULL;
    base_status status = BASE_OK;

    if (!args->upcycle && !vit_config_is_sparse(&config))
        return base_fail(err, BASE_USAGE,
                         "the network has no experts, --%s means nothing without --upcycle",
                         args->shared > 0 ? "shared"
                         : args->k > 0    ? "k"
                         : args->router   ? "router"
                                          : "set");
    if (!args->upcycle && args->shared > 0)
        return base_fail(err, BASE_USAGE, "--shared means nothing without --upcycle");
    if (args->upcycle && vit_config_is_sparse(&config))
        return base_fail(err, BASE_MISMATCH,
                         "the network has experts already, --upcycle expects a dense one");
    if (args->upcycle) {
        /* Without a number that of V-MoE's small networks (model.md, named sizes). */
        moe->experts = args->experts > 0 ? (int)args->experts : 8;
        moe->k = moe->experts > 1 ? 2 : 1;
        moe->shared = (int)args->shared;
        status = vit_router_select(&moe->router, "ssr", err);
        if (status == BASE_OK)
            status = vit_config_layers_set(&config, args->upcycle, err);
    }
    if (args->k > 0)
        moe->k = (int)args->k;
    if (status == BASE_OK)
        status = router_set(moe, args, err);
    if (status == BASE_OK && args->k > 0 && !vit_router_uses_k(moe->router.name))
        status =
            base_fail(err, BASE_USAGE,
                      "--k says nothing to the router '%s', in which every expert works "
                      "for every token",
                      moe->router.name);
    if (status == BASE_OK)
        status = vit_config_check(&config, err);
    if (status != BASE_OK)
        return status;
    if (!args->upcycle)
        return vit_model_config_set(*model, &config, err);
    status = vit_model_upcycle(&made, *model, moe, (uint64_t)args->common.seed, err);
    if (status == BASE_OK)
        status = measure_answers_compare(answers, *model, made, (uint64_t)args->common.seed,
                                         err);
    vit_model_destroy(status == BASE_OK ? *model : made);
    *model = status == BASE_OK ? made : *model;
    return status;
}

/* Splits text into lines in place; *count of them. Empty lines at the end are no names. */
static base_status lines_split(const char **lines, size_t room, size_t *count, char *text,
                               size_t bytes, const char *path, base_error *err)
{
    size_t have = 0;

    if (memchr(text, 0, bytes))
        return base_fail(err, BASE_FORMAT, "'%s' holds a zero byte, expected text", path);
    for (char *at = text; at < text + bytes;) {
        char *end = strchr(at, '\n');
        char *next = end ? end + 1 : text + bytes;

        if (!end)
            end = text + bytes;
        if (end > at && end[-1] == '\r')
            end--;
        *end = '\0';
        if (*at == '\0' && next == text + bytes)
            break;
        if (*at == '\0')
            return base_fail(err, BASE_FORMAT,
                             "'%s' line %zu is empty, expected a class name", path,
                             have + 1);
        if (have < room)
            lines[have] = at;
        have++;
        at = next;
    }
    *count = have;
    return BASE_OK;
}

static base_status labels_set(vit_model *model, const char *path, base_error *err)
{
    const size_t classes = (size_t)vit_model_config(model)->classes;
    const char **lines = app_take(NULL, classes, sizeof *lines);
    char *text = NULL;
    size_t bytes = 0, count = 0;

    base_status status = base_file_read(&text, &bytes, path, (size_t)64 << 20, err);
    if (status == BASE_OK)
        status = lines_split(lines, classes, &count, text, bytes, path, err);
    if (status == BASE_OK && count != classes)
        status = base_fail(err, BASE_MISMATCH,
                           "'%s' has %zu class names, expected the %zu of the network",
                           path, count, classes);
    if (status == BASE_OK)
        status = vit_model_labels_set(model, lines, count, err);
    base_free(text);
    return status;
}

static base_status args_check(convert_args *args, base_error *err)
{
    if (args->image > 0 && args->crop > 0 && args->image != args->crop)
        return base_fail(err, BASE_USAGE,
                         "--image %lld and --crop %lld, expected one side of the input",
                         (long long)args->image, (long long)args->crop);
    if (args->crop > 0)
        args->image = args->crop;
    if (!args->upcycle && args->experts > 0)
        return base_fail(err, BASE_USAGE,
                         "--experts without --upcycle, expected the blocks to change");
    if (args->kind != CONVERT_HUB && (args->document.count > 0 || args->license))
        return base_fail(err, BASE_USAGE,
                         "--%s without a folder as OUT, which alone has a model card",
                         args->license ? "license" : "document");
    return BASE_OK;
}

static void summary_print(const vit_model *model, const char *path,
                          const app_common *common)
{
    const vit_config *c = vit_model_config(model);
    char name[128], a[32], b[32];

    app_note(common, "%s", path);
    app_note(common, "  %s, %d x %d, %d classes, %s",
             app_network_name(name, sizeof name, c), c->image, c->image, c->classes,
             common->precision == VIT_PRECISION_BF16 ? "bf16" : "fp32");
    app_note(common, "  %s parameters, a token meets %s",
             show_thousands(a, sizeof a, vit_model_floats(model)),
             show_thousands(b, sizeof b, vit_model_active_floats(model)));
}

static void answers_note(const measure_answers *a, const app_common *common)
{
    /* Sums in fp32 in another order: below this share of the logits' deviation nothing has
     * changed. */
    static const double rounding = 1e-3;

    if (a->images == 0)
        return;
    if (a->largest <= rounding * a->deviation) {
        app_note(common, "answers: as before (pictures of noise: logits within %.1g)",
                 a->largest);
    } else {
        app_note(common,
                 "answers: they change: of %zu pictures of noise %zu get another class;",
                 a->images, a->other);
        app_note(common,
                 "         logits move by up to %.3g, their standard deviation is %.3g",
                 a->largest, a->deviation);
    }
}

static json_t *convert_json(const app_network *network, const measure_answers *answers,
                            const convert_documents *documents, const convert_args *args,
                            const char *out)
{
    static const char *const forms[] = {"safetensors", "onnx", "hub"};
    const vit_model *model = network->model;
    json_t *json = app_json_begin(&args->common, "convert", network->path, NULL);

    app_network_json(json, network);
    show_put_text(json, "out", out);
    show_put_count(json, "parameters", vit_model_floats(model));
    show_put_count(json, "active_parameters", vit_model_active_floats(model));
    show_put_text(json, "form", forms[args->kind]);
    if (args->kind == CONVERT_HUB)
        convert_documents_json(json, documents);
    if (answers->images > 0)
        show_put(json, "answers",
                 json_pack("{s:I, s:I, s:o, s:o}", "images", (json_int_t)answers->images,
                           "other_class", (json_int_t)answers->other, "largest_change",
                           show_json_real(answers->largest), "deviation",
                           show_json_real(answers->deviation)));
    return json;
}

/* What options say of the pixels. Pictures that were taken as they are had the old size:
 * with another they are brought to the new one. */
static base_status sight_set(app_network *network, const convert_args *args,
                             base_error *err)
{
    vit_config config = *vit_model_config(network->model);

    if (args->image > 0 && config.resize == 0)
        config.resize = config.image;
    if (args->given.resize)
        config.resize = (int)args->resize;
    if (args->given.resize || args->image > 0)
        network->origins.resize = VIT_ORIGIN_OPTION;
    if (args->interpolation > 0) {
        network->origins.interpolation = VIT_ORIGIN_OPTION;
        snprintf(config.interpolation, sizeof config.interpolation, "%s",
                 data_filter_name((data_filter)(args->interpolation - 1)));
    }
    return vit_model_config_set(network->model, &config, err);
}

/* Capacity and groups of a sparse network. */
static base_status routing_set(app_network *network, const convert_args *args,
                               base_error *err)
{
    vit_config config = *vit_model_config(network->model);

    if (!args->given.eval_capacity && !args->given.group_images)
        return BASE_OK;
    if (!vit_config_is_sparse(&config))
        return base_fail(err, BASE_USAGE, "the network has no experts, --%s means nothing",
                         !args->given.eval_capacity ? "group-images" : "eval-capacity");
    if (args->given.eval_capacity)
        config.moe.eval_capacity = args->eval_capacity;
    if (args->given.group_images)
        config.moe.group_images = (int)args->group_images;
    network->origins.routing = VIT_ORIGIN_OPTION;
    return vit_model_config_set(network->model, &config, err);
}

static base_status change(app_network *network, measure_answers *answers,
                          const convert_args *args, base_error *err)
{
    base_status status = sight_set(network, args, err);

    if (status == BASE_OK && (args->upcycle || args->k > 0 || args->shared > 0 ||
                              args->router || args->set.count))
        status = experts_set(&network->model, answers, args, err);
    if (status == BASE_OK)
        status = routing_set(network, args, err);
    if (args->k > 0 && network->origins.routing == VIT_ORIGIN_ASSUMED)
        network->origins.routing = VIT_ORIGIN_OPTION;
    return status;
}

/* The same, and whether it is another network than that of the file. */
static base_status change_noted(bool *changed, app_network *network,
                                measure_answers *answers, const convert_args *args,
                                base_error *err)
{
    const vit_config *c = vit_model_config(network->model);
    char *before = vit_model_config_json(network->model);

    *changed = (network->origins.image > 0 && network->origins.image != c->image) ||
               (network->origins.classes > 0 && network->origins.classes != c->classes);
    const base_status status = change(network, answers, args, err);
    char *after = status == BASE_OK ? vit_model_config_json(network->model) : NULL;
    *changed = *changed || !before || !after || strcmp(before, after) != 0;
    base_free(after);
    base_free(before);
    return status;
}

/* OUT as what its name says; a folder with what is known of the network. */
static base_status write_out(const app_network *network, bool changed,
                             const convert_args *args, const char *in, const char *out,
                             convert_documents *documents, base_error *err)
{
    const bool narrow = args->common.precision == VIT_PRECISION_BF16;
    const char *card = NULL;
    char name[128];
    base_status status = BASE_OK;

    if (args->kind == CONVERT_HUB) {
        status = convert_documents_read(documents, in, network->path, &args->document,
                                        changed, err);
        if (status == BASE_OK)
            status = convert_card(&card, network->model, documents,
                                  convert_out_name(name, sizeof name, out), args->license,
                                  narrow, err);
    }
    if (status == BASE_OK)
        status = convert_out(network->model, args->kind, out, card,
                             (vit_precision)args->common.precision, err);
    return status;
}

static base_status convert(const convert_args *args, const char *in, const char *out,
                           base_error *err)
{
    const vit_load_options load = {.image = (int)args->image,
                                   .classes = (int)args->classes,
                                   .member = (int)args->member};
    app_network network = {0};
    measure_answers answers = {0};
    convert_documents documents = {0};
    bool changed = false;
    base_status status = train_model_path(&network.path, in, err);

    if (status == BASE_OK)
        status = app_model_read(&network.model, &network.origins, network.path,
                                &args->reading, &load, err);
    if (status == BASE_OK)
        status = change_noted(&changed, &network, &answers, args, err);
    if (status == BASE_OK && args->labels)
        status = labels_set(network.model, args->labels, err);
    if (status == BASE_OK) {
        app_network_describe(&network);
        app_network_note(&network, &args->common);
        status = write_out(&network, changed, args, in, out, &documents, err);
    }
    if (status == BASE_OK) {
        summary_print(network.model, out, &args->common);
        if (args->kind == CONVERT_HUB)
            convert_documents_note(&documents, &args->common);
        answers_note(&answers, &args->common);
        if (args->common.json)
            status = app_json_write(&args->common,
                                    convert_json(&network, &answers, &documents, args, out),
                                    err);
    }
    convert_documents_free(&documents);
    app_network_close(&network);
    return status;
}

int app_convert(int argc, char **argv)
{
    convert_args args = {.common = app_common_defaults()};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    /* --precision is that of the file, which needs no instructions. */
    const int precision = args.common.precision;
    args.common.precision = VIT_PRECISION_FP32;
    app_common_apply(&args.common, "convert");
    args.common.precision = precision;
    base_status status = convert_kind_of(&args.kind, words[1], precision, &err);
    if (status == BASE_OK)
        status = args_check(&args, &err);
    if (status == BASE_OK)
        status = convert(&args, words[0], words[1], &err);
    return status == BASE_OK ? APP_DONE : app_fail("convert", &err);
}
