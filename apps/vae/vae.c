/* vae.c - vmoe vae: from options to a recipe, from a recipe to a run, from a run to its
 * measures. Relied on elsewhere: files in the run's folder, keys of result.json
 * (docs/json.md), exit status. */
#include <signal.h>
#include <unistd.h>

#include "apps/network_internal.h"
#include "apps/train/internal.h"
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

/* ---- the recipe ---------------------------------------------------------------------- */

static base_status apply_options(train_vae_recipe *recipe, const vae_args *args,
                                 base_error *err)
{
    const app_common *c = &args->common;
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
            status = train_vae_key_set(recipe, texts[i][0], texts[i][1], err);
    return status == BASE_OK
               ? train_vae_recipe_set(recipe, args->set.at, args->set.count, err)
               : status;
}

static base_status build_recipe(train_vae_recipe *recipe, const vae_args *args,
                                base_error *err)
{
    const char *own = app_text("%s/recipe.ini", args->out);
    base_status status = BASE_OK;

    *recipe = train_vae_recipe_defaults();
    const char *name = args->recipe                             ? args->recipe
                       : args->resume && access(own, F_OK) == 0 ? own
                                                                : NULL;
    if (name)
        status = train_vae_recipe_load(recipe, name, err);
    if (status == BASE_OK)
        status = apply_options(recipe, args, err);
    if (status == BASE_OK && !recipe->train[0])
        status = base_fail(err, BASE_USAGE, "--data DATA is missing");
    if (status == BASE_OK && !recipe->val[0])
        status = base_fail(err, BASE_USAGE, "--val DATA is missing");
    return status;
}

/* ---- who listens --------------------------------------------------------------------- */

static void loaders(void *user, data_loader_config *config)
{
    const app_watch *w = user;

    app_loader_threads(config, w->common, -1);
}

static void begun(void *user, const train_vae *v)
{
    app_watch *w = user;

    app_progress_start(&w->progress, w->common, "vae", "steps", v->total, v->step);
}

static void stepped(void *user, const train_vae *v, const vit_vae_losses *l)
{
    const vit_vae_config *c = &v->recipe.config;
    app_watch *w = user;

    app_progress_update(&w->progress, v->step, "error %.4f  kl %.2f",
                        l->squares / ((double)c->channels * c->image * c->image), l->kl);
}

static void evaluated(void *user, const train_vae *v, const train_vae_measures *m)
{
    app_watch *w = user;

    app_progress_line(&w->progress,
                      "epoch %-4llu error %.5f (all decoders %.5f)  kl %.2f  gate entropy "
                      "%.3f  load entropy %.3f  NMI %.3f",
                      (unsigned long long)(v->step / v->steps_in_epoch), m->best, m->all,
                      m->kl, m->entropy, m->load_entropy, m->found.normalised);
}

/* ---- the command --------------------------------------------------------------------- */

/* Everything that a finished run leaves. */
static base_status finish(train_vae *v, const app_common *common, base_error *err)
{
    train_vae_measures m = {0};
    show_document *document = NULL;
    const char *model = app_text("%s/model.safetensors", v->options.folder),
               *page = app_text("%s/page.html", v->options.folder);
    const vit_pair routing = {"routing",
                              v->recipe.routing == TRAIN_VAE_LABEL ? "label" : "learned"};
    base_status status = train_vae_measure(&m, v, true, err);

    if (status == BASE_OK)
        status = vit_vae_save(v->vae, model, &routing, 1, err);
    if (status == BASE_OK)
        status = app_vae_document(&document, v, common, &m, err);
    if (status == BASE_OK)
        status = app_json_save(app_text("%s/result.json", v->options.folder),
                               json_incref(show_document_json(document)), err);
    if (status == BASE_OK)
        status = app_document_write(common, document, &app_vae_view, page, err);
    if (status == BASE_OK)
        app_note(common, "model in '%s', page in '%s'", model, page);
    show_document_destroy(document);
    train_vae_measures_free(&m);
    return status;
}

static base_status vae(vae_args *args, base_error *err)
{
    app_watch watch = {.common = &args->common, .progress.on = !args->common.quiet};
    train_vae_options options = {.folder = args->out,
                                 .resume = args->resume,
                                 .watch = {.user = &watch,
                                           .loaders = loaders,
                                           .note = app_watch_note,
                                           .begun = begun,
                                           .stepped = stepped,
                                           .evaluated = evaluated,
                                           .stop = app_watch_stop}};
    train_vae_recipe recipe;
    train_vae v = {0};
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
    options.watch.indexing = args->common.quiet ? NULL : app_data_indexing;
    app_common_apply(&args->common, "vae");
    app_waiting_tell(&args->common);
    status = app_outputs_check(&args->common, NULL, NULL, err);
    app_threads_share(&args->common);
    if (status == BASE_OK)
        status = train_vae_open(&v, &recipe, &options, err);
    if (v.val)
        app_data_pair_told(&args->common, "vae", v.train, v.val);
    if (status == BASE_OK)
        app_note(&args->common,
                 "%-12s%zu images of %zu classes, %d experts, %zu parameters, %d epochs of "
                 "%llu steps",
                 "vae", data_loader_samples(v.train_loader), v.classes,
                 v.recipe.config.experts, vit_vae_floats(v.vae), v.recipe.epochs,
                 (unsigned long long)v.steps_in_epoch);
    if (status == BASE_OK)
        status = train_vae_run(&v, err);
    app_progress_end(&watch.progress);
    if (status == BASE_OK)
        status = finish(&v, &args->common, err);
    train_vae_close(&v);
    return status;
}

static void keys_print(void)
{
    const train_vae_recipe defaults = train_vae_recipe_defaults();

    printf("keys of a recipe of vmoe vae and of --set, with their defaults\n");
    app_keys_print(train_vae_recipe_keys(&defaults).keys, &defaults);
}

int app_vae_command(int argc, char **argv)
{
    vae_args args = {0};
    base_error err = {0};
    int exit_status = APP_DONE;

    if (!app_parse(&exit_status, &args, NULL, NULL, &vae_syntax, argc, argv))
        return exit_status;
    if (args.keys) {
        keys_print();
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
