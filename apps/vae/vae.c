/* vae.c - vmoe vae: from options to a recipe, from a recipe to a run, from a run to its
 * measures. Relied on elsewhere: files in the run's folder, keys of result.json
 * (docs/json.md), exit status. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "apps/vae/internal.h"

typedef struct vae_args {
    app_common common;
    const char *data, *val, *recipe, *out, *routing;
    int64_t experts;
    base_list set;
    bool resume, keys, experts_given;
} vae_args;

#define BASE_STRUCT vae_args
static const base_field vae_options[] = {
    APP_WORD(
        "data", "DATA", data,
        "labelled images to train on (default: the recipe's data.train); labels are used "
        "by --routing label and by the measures only"),
    APP_WORD("val", "DATA", val, "images to measure on (default: the recipe's data.val)"),
    APP_WORD("recipe", "NAME", recipe,
             "recipe by name or INI file (default: plain settings; with --resume the run's "
             "own)"),
    APP_WORD("routing", "HOW", routing,
             "vae.routing: learned or label (default: the recipe's)"),
    APP_INT("experts", "N", experts, 1, VIT_EXPERTS_MAX,
            "vae.experts (default: the recipe's)", BASE_GIVEN(experts_given)),
    APP_LIST("set", "KEY=VALUE", set,
             "override keys of the recipe: --set vae.latent=8 train.epochs=5"),
    APP_WORD("out", "DIR", out,
             "folder of the run: model.safetensors, result.json, page.html, metrics.jsonl, "
             "last/ (needed)"),
    BASE_BOOL("resume", resume,
              "go on with the run in --out; begin it where there is no checkpoint yet"),
    BASE_BOOL("keys", keys,
              "list every key of a recipe with its range and default, and leave"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax vae_syntax = {
    .command = "vae",
    .usage =
        "--data DATA --val DATA [--recipe smoe-vae] [--routing learned or label] --out DIR "
        "[--resume]",
    .about =
        "Trains an autoencoder whose decoders are experts, without labels or by them, and "
        "shows what the\nexperts became. After SMoE-VAE (arXiv 2509.10025), of which "
        "summaries were read: the layout is\ntheirs, sizes and weights of losses are our "
        "reconstruction. Ctrl-C writes a checkpoint and leaves.",
    .options = vae_options,
    .without = "precision",
    .of_recipe = true,
};

/* One layer of settings that was read, or could not be; frees the list. */
static base_status apply(app_vae_recipe *recipe, base_status status, train_assignment *list,
                         size_t count, base_error *err)
{
    if (status == BASE_OK)
        status = app_vae_recipe_apply(recipe, list, count, err);
    base_free(list);
    return status;
}

static base_status apply_options(app_vae_recipe *recipe, const vae_args *args,
                                 base_error *err)
{
    const app_common *c = &args->common;
    train_assignment *list = NULL;
    size_t made = 0;
    const char *const texts[][2] = {{"data.train", args->data},
                                    {"data.val", args->val},
                                    {"vae.routing", args->routing}};
    base_status status = BASE_OK;

    if (c->given.seed)
        recipe->seed = c->seed;
    if (c->given.batch)
        recipe->batch = (int)c->batch;
    if (c->given.limit)
        recipe->limit = c->limit;
    if (args->experts_given)
        recipe->config.experts = (int)args->experts;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && status == BASE_OK; i++)
        if (texts[i][1])
            status = app_vae_recipe_set(recipe, texts[i][0], texts[i][1], err);
    if (status == BASE_OK)
        status = train_assignments_words(&list, &made, args->set.at, args->set.count, err);
    return apply(recipe, status, list, made, err);
}

static base_status build_recipe(app_vae_recipe *recipe, const vae_args *args,
                                base_error *err)
{
    const char *own = app_text("%s/recipe.ini", args->out);
    train_assignment *list = NULL;
    size_t count = 0;
    base_status status = BASE_OK;

    *recipe = app_vae_recipe_defaults();
    const char *name = args->recipe                             ? args->recipe
                       : args->resume && access(own, F_OK) == 0 ? own
                                                                : NULL;
    if (name) {
        status = train_assignments_load(&list, &count, name, err);
        status = apply(recipe, status, list, count, err);
        snprintf(recipe->name, sizeof recipe->name, "%.127s", name);
    }
    if (status == BASE_OK)
        status = apply_options(recipe, args, err);
    if (status == BASE_OK && !recipe->train[0])
        status = base_fail(err, BASE_USAGE, "--data DATA is missing");
    if (status == BASE_OK && !recipe->val[0])
        status = base_fail(err, BASE_USAGE, "--val DATA is missing");
    return status;
}

/* Everything that a finished run leaves. */
static base_status finish(app_vae *v, base_error *err)
{
    app_vae_measures m = {0};
    show_document *document = NULL;
    app_common files = *v->common;
    const char *model = app_text("%s/model.safetensors", v->out),
               *result = app_text("%s/result.json", v->out),
               *page = app_text("%s/page.html", v->out);
    const vit_pair routing = {"routing",
                              v->recipe.routing == APP_VAE_LABEL ? "label" : "learned"};
    base_status status = app_vae_measure(&m, v, true, err);

    if (status == BASE_OK)
        status = vit_vae_save(v->vae, model, &routing, 1, err);
    files.json = result;
    if (status == BASE_OK)
        status = app_vae_document(&document, v, &m, err);
    if (status == BASE_OK)
        status = app_json_write(&files, json_incref(show_document_json(document)), err);
    if (status == BASE_OK)
        status = app_document_write(v->common, document, &app_vae_view, page, err);
    if (status == BASE_OK)
        app_note(v->common, "model in '%s', page in '%s'", model, page);
    show_document_destroy(document);
    app_vae_measures_free(&m);
    return status;
}

static base_status vae(vae_args *args, base_error *err)
{
    app_vae_recipe recipe;
    app_vae v = {0};
    const char *trace = app_text("%s/metrics.jsonl", args->out);
    base_status status = build_recipe(&recipe, args, err);

    if (status == BASE_OK && !args->resume && access(trace, F_OK) == 0)
        status = base_fail(err, BASE_MISMATCH,
                           "'%s' holds a run already, go on with --resume or name another "
                           "folder",
                           args->out);
    if (status != BASE_OK)
        return status;
    args->common.seed = recipe.seed;
    args->common.precision = VIT_PRECISION_FP32;
    app_common_apply(&args->common, "vae");
    app_waiting_tell(&args->common);
    status = app_outputs_check(&args->common, NULL, NULL, err);
    if (status == BASE_OK)
        status = app_vae_open(&v, &args->common, &recipe, args->out, err);
    if (status == BASE_OK)
        app_note(&args->common,
                 "%-12s%zu images of %zu classes, %d experts, %zu parameters, %d epochs of "
                 "%llu steps",
                 "vae", data_loader_samples(v.train_loader), v.classes,
                 v.recipe.config.experts, vit_vae_floats(v.vae), v.recipe.epochs,
                 (unsigned long long)v.steps_in_epoch);
    if (status == BASE_OK)
        status = app_vae_take_up(&v, args->resume, err);
    if (status == BASE_OK)
        status = app_vae_train(&v, err);
    if (status == BASE_OK)
        status = finish(&v, err);
    app_vae_close(&v);
    return status;
}

int app_vae_command(int argc, char **argv)
{
    vae_args args = {0};
    base_error err = {0};
    int exit_status = APP_DONE;

    if (!app_parse(&exit_status, &args, NULL, NULL, &vae_syntax, argc, argv))
        return exit_status;
    if (args.keys) {
        app_vae_recipe_print_keys();
        return APP_DONE;
    }
    if (!args.out) {
        base_fail(&err, BASE_USAGE, "--out DIR is missing");
        return app_fail("vae", &err);
    }
    app_stop_install();
    signal(SIGPIPE, SIG_IGN); /* a run goes on when nobody reads its lines any more */
    return vae(&args, &err) == BASE_OK ? APP_DONE : app_fail("vae", &err);
}
