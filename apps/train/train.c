/* train.c - vmoe train: from options to a recipe, from a recipe to a run, and a run that
 * was stopped back to where it stood. docs/json.md describes its results. Relied on
 * elsewhere: files in the run's folder, --resume, exit status. */
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/network_internal.h"
#include "apps/ranks_internal.h"
#include "apps/train/internal.h"

typedef struct train_args {
    app_common common;
    const char *data, *val, *val_labels, *class_map, *from, *recipe, *out, *bad_list;
    app_view view; /* of --from */
    base_list set;
    bool resume, keys, strict;
    app_ranks_options ranks;
} train_args;

#define BASE_STRUCT train_args
static const base_field command_options[] = {
    APP_WORD(
        "data", "DATA", data,
        "images to train on: a folder or tar of class folders, or LAYOUT:PATH (default: the "
        "recipe's data.train)"),
    APP_WORD("val", "DATA", val, "images to validate on (default: the recipe's data.val)"),
    APP_WORD("val-labels", "FILE", val_labels,
             "labels of validation images in no class folders (default: the recipe's "
             "data.val_labels, or what lies beside them)"),
    APP_WORD("class-map", "FILE", class_map,
             "label of each class folder, TSV or JSON (default: the recipe's "
             "data.class_map, or by name)"),
    APP_WORD("from", "MODEL", from,
             "network to start from: its measures, pixels, routing and weights, which "
             "--recipe and --set change; the options below are about it"),
    APP_PICTURE_OPTIONS,
    APP_WORD(
        "recipe", "NAME", recipe,
        "recipe by name or INI file (default: vmoe-ti16 with plain settings; with --from "
        "finetune; with --resume the run's own)"),
    APP_LIST("set", "KEY=VALUE", set,
             "override keys of the recipe: --set router.name=ssr optimizer.lr=0.001"),
    APP_WORD(
        "out", "DIR", out,
        "folder of the run: recipe.ini, metrics.jsonl, curves.svg, last/, best/ (needed)"),
    BASE_BOOL("resume", resume,
              "go on with the run in --out; begin it where there is no checkpoint yet"),
    BASE_BOOL("strict", strict,
              "stop at the first damaged or unreadable image (data.strict = true)"),
    APP_WORD("bad-list", "FILE", bad_list,
             "samples that are odd, damaged or unreadable, as they are met: "
             "KIND<tab>NAME<tab>REASON; --resume adds to it"),
    APP_RANKS_OPTIONS(ranks),
    BASE_BOOL("keys", keys,
              "list every key of a recipe with its range and default, and leave"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax train_syntax = {
    .command = "train",
    .usage = "--data DATA --val DATA [--from MODEL] [--recipe NAME or FILE] "
             "[--set key=value ...] --out DIR [--resume]",
    .about =
        "Trains a network. --seed, --precision, --batch and --limit (of training images) are "
        "the recipe's\nunless given here. Evaluations and the result go to stdout. Ctrl-C "
        "writes a checkpoint and leaves.",
    .options = command_options,
    .of_recipe = true,
    .hint = train_hint,
};

/* ---- the recipe ---------------------------------------------------------------------- */

/* What the options of every command say, then --set, then --data, --val. */
static base_status apply_options(train_recipe *recipe, const train_args *args,
                                 base_error *err)
{
    const app_common *c = &args->common;

    if (c->given.seed)
        recipe->train.seed = c->seed;
    if (c->given.precision)
        recipe->train.precision = c->precision;
    if (c->given.batch)
        recipe->train.batch = (int)c->batch;
    if (c->given.limit)
        recipe->data.limit = c->limit;
    base_status status = train_recipe_set(recipe, args->set.at, args->set.count, err);
    const struct {
        const char *key, *text;
    } data[] = {{"data.train", args->data},
                {"data.val", args->val},
                {"data.val_labels", args->val_labels},
                {"data.class_map", args->class_map}};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++)
        if (status == BASE_OK && data[i].text)
            status =
                train_key_set(recipe, train_recipe_keys, data[i].key, data[i].text, err);
    if (status == BASE_OK && args->strict)
        recipe->data.strict = true;
    return status;
}

/* The network of --from and the options about it, which become keys of the recipe. */
static base_status take_network(train_recipe *recipe, const train_args *args,
                                base_error *err)
{
    app_network network = {0};
    const base_status status =
        app_network_open(&network, args->from, &args->view, &args->common, err);

    if (status != BASE_OK)
        return status;
    train_recipe_from(recipe, network.config, args->from);
    recipe->data.resize = (int)network.resize;
    recipe->data.interpolation = (int)network.filter;
    app_network_close(&network);
    return BASE_OK;
}

/* An option about the network of --from, which is not there; NULL: none was given. */
static const char *idle_option(const train_args *args)
{
    const app_view *v = &args->view;

    return args->from             ? NULL
           : v->reading.mean      ? "mean"
           : v->reading.std       ? "std"
           : v->reading.heads > 0 ? "heads"
           : v->reading.pool > 0  ? "pool"
           : v->size > 0          ? "size"
           : v->crop > 0          ? "crop"
           : v->given.resize      ? "resize"
           : v->interpolation > 0 ? "interpolation"
                                  : NULL;
}

/* A side that recipe or --set changed keeps the proportion of the network's resize. */
static void keep_proportion(train_recipe *recipe, int image, int resize)
{
    if (recipe->data.resize < 0 && image > 0 &&
        recipe->config.crop_mode != VIT_CROP_SQUASH) /* that has no margin */
        recipe->data.resize = (int)lround((double)recipe->config.image *
                                          (resize > 0 ? resize : image) / image);
}

/* From the bottom up: defaults, the network of --from, the recipe (of a run that goes on
 * its own, when the network is no more), options and --set. */
static base_status build_recipe(train_recipe *recipe, const train_args *args,
                                base_error *err)
{
    base_status status = BASE_OK;
    const char *own = app_text("%s/recipe.ini", args->out);
    char *path = NULL;
    const char *name = args->recipe ? args->recipe : args->from ? "finetune" : NULL;
    int image = 0, resize = 0;

    *recipe = train_recipe_defaults();
    const bool goes_on = args->resume && access(own, F_OK) == 0;
    const bool gone = args->from && train_model_path(&path, args->from, NULL) != BASE_OK;
    base_free(path);
    if (goes_on && (!name || gone)) {
        status = train_recipe_load(recipe, own, err);
    } else {
        if (args->from)
            status = take_network(recipe, args, err);
        image = args->from ? recipe->config.image : 0;
        resize = recipe->data.resize;
        if (status == BASE_OK && name)
            status = train_recipe_load(recipe, name, err);
    }
    if (status == BASE_OK)
        status = apply_options(recipe, args, err);
    if (status == BASE_OK && !recipe->data.train[0])
        status = base_fail(err, BASE_USAGE, "--data DATA is missing");
    if (status == BASE_OK && args->from && !recipe->data.val[0]) {
        app_note(&args->common,
                 "no --val: validated with '%s' too (its part for validation, if there is "
                 "one)",
                 recipe->data.train);
        memcpy(recipe->data.val, recipe->data.train, sizeof recipe->data.val);
    }
    keep_proportion(recipe, image, resize);
    if (status == BASE_OK && !recipe->data.val[0])
        status = base_fail(err, BASE_USAGE, "--val DATA is missing");
    return status;
}

/* A whole number that the run was begun with, where the recipe leaves it open; runs that do
 * not name it had 1. */
static void settle_number(int *value, const char *stored, const char *key)
{
    size_t length = 0;
    const char *text = train_recipe_stored(&length, stored, key);
    char number[32];
    int64_t whole = 1;

    if (*value != 0)
        return;
    snprintf(number, sizeof number, "%.*s", length < 31 ? (int)length : 31,
             text ? text : "");
    base_parse_int(&whole, number);
    *value = (int)whole;
}

/* What the recipe leaves to the run becomes what it has: precision (else it is measured),
 * parts and lanes. */
static base_status settle(train_recipe *recipe, const train_args *args, base_error *err)
{
    train_state_facts facts = {0};
    bool found = false;
    size_t length = 0;

    if (args->resume) {
        const base_status status = train_state_peek(&facts, &found, args->out, err);
        if (status != BASE_OK)
            return status;
    }
    if (found) {
        settle_number(&recipe->train.accumulate, facts.recipe, "train.accumulate");
        settle_number(&recipe->train.lanes, facts.recipe, "train.lanes");
    }
    const char *kept = found && recipe->train.precision == APP_PRECISION_AUTO
                           ? train_recipe_stored(&length, facts.recipe, "train.precision")
                           : NULL;
    if (kept && length == 4)
        recipe->train.precision =
            strncmp(kept, "bf16", 4) == 0 ? VIT_PRECISION_BF16 : VIT_PRECISION_FP32;
    base_free(facts.recipe);
    if (!kept)
        recipe->train.precision =
            (int)app_precision_pick(recipe->train.precision, "train", args->common.quiet);
    return BASE_OK;
}

/* ---- the folder ---------------------------------------------------------------------- */

/* The file or folder of a run that lies in out already, NULL when there is none. */
static const char *run_inside(const char *out)
{
    static const char *const traces[] = {"last", "last.old", "best", "metrics.jsonl",
                                         "recipe.ini"};

    for (size_t i = 0; i < sizeof traces / sizeof traces[0]; i++)
        if (access(app_text("%s/%s", out, traces[i]), F_OK) == 0)
            return traces[i];
    return NULL;
}

/* ---- the result ---------------------------------------------------------------------- */

/* Share of the time waiting for pictures above which a person should hear of it (data.md
 * 4). */
static const double wait_share = 0.2;

/* What the loaders of all ranks met. */
typedef struct pictures {
    double odd, damaged, bad;
} pictures;

static base_status pictures_count(pictures *out, const train_trainer *t, app_ranks *ranks,
                                  base_error *err)
{
    const data_counts counts = data_loader_counts(t->train_loader);
    double sum[] = {(double)counts.odd, (double)counts.damaged, (double)counts.bad};
    const base_status status = app_ranks_sum(ranks, sum, 3, err);

    *out = (pictures){sum[0], sum[1], sum[2]};
    return status;
}

/* What the loader met on its way; nothing when all was well. */
static void note_loader(const train_trainer *t, const pictures *all,
                        const app_common *common, double seconds)
{
    const data_counts counts = data_loader_counts(t->train_loader);

    if (all->odd + all->damaged + all->bad > 0)
        app_note(common,
                 "pictures: %.0f odd, %.0f damaged but used, %.0f unreadable and replaced",
                 all->odd, all->damaged, all->bad);
    if (counts.wait_seconds > wait_share * seconds)
        app_note(common, "the network waited %.0f %% of the time for pictures%s",
                 100 * counts.wait_seconds / seconds,
                 t->recipe.data.workers >= 0 ? ", a higher data.workers may help" : "");
}

/* How the run began with another network's weights; null: it did not, or in another
 * process. */
static json_t *start_json(const train_trainer *t)
{
    const train_start *s = &t->start;

    if (!s->done)
        return json_null();
    return json_pack("{s:o, s:I, s:I, s:I, s:i, s:b, s:i, s:b, s:i}", "model",
                     show_json_text(t->recipe.init_from), "tensors", (json_int_t)s->loaded,
                     "routers_drawn", (json_int_t)s->drawn, "left_out",
                     (json_int_t)s->left_out, "image", s->image, "positions_interpolated",
                     s->positions, "classes", s->classes, "head_new", s->head,
                     "experts_from_mlps", s->experts_from_mlps);
}

static base_status report(const train_trainer *t, const pictures *all,
                          const train_args *args, const char *curves, double seconds,
                          base_error *err)
{
    char duration[32], loss[32];
    json_t *json = NULL;

    fprintf(app_result_stream(&args->common),
            "best top-1 %.2f %% at step %" PRIu64 ", last top-1 %.2f %%, loss %s, %s\n",
            100 * t->at.best_accuracy, t->at.best_step, 100 * t->at.last_accuracy,
            app_loss_text(loss, sizeof loss, t->at.last_loss),
            show_duration(duration, sizeof duration, seconds));
    note_loader(t, all, &args->common, seconds);
    app_note(&args->common, "model in '%s/best/model.safetensors', curves in '%s'",
             args->out, curves);
    if (!args->common.json)
        return BASE_OK;
    app_network network = {.model = t->model};

    app_network_describe(&network);
    json = app_json_begin(&args->common, "train", args->out, t->recipe.data.train);
    app_network_json(json, &network);
    show_put_text(json, "val", t->recipe.data.val);
    app_data_pair_json(json, t->train, t->val);
    show_put_text(json, "recipe", t->recipe.name);
    show_put_count(json, "samples", data_loader_samples(t->train_loader));
    show_put_real(json, "seconds", seconds);
    json_t *corrupt = t->augment ? json_object() : json_null();
    if (t->augment)
        app_crew_json(corrupt, train_augment_crew(t->augment));
    show_put(json, "augment_corrupt", corrupt);
    show_put(json, "start", start_json(t));
    show_put_count(json, "trained_parameters", app_train_trained(t));
    show_put_count(json, "steps", t->at.step);
    show_put_count(json, "skipped", t->at.skipped);
    show_put_real(json, "sinkhorn_steps_expected", train_trainer_sinkhorn_steps(t));
    show_put_count(json, "best_step", t->at.best_step);
    show_put_real(json, "best_top1", t->at.best_accuracy);
    show_put_real(json, "top1", t->at.last_accuracy);
    show_put(json, "loss",
             t->at.last_loss < 0 ? json_null() : show_json_real(t->at.last_loss));
    if (t->ranks > 1)
        show_put_count(json, "ranks", t->ranks);
    show_put_count(json, "peak_bytes", base_peak_bytes());
    train_trainer_loads(json, t, t->eval_load);
    return app_json_write(&args->common, json, err);
}

/* The recipe of the run, which rank 0 makes for all; refused where another run lies. */
static base_status share_recipe(train_recipe *recipe, const train_args *args,
                                app_ranks *ranks, base_error *err)
{
    base_status status = BASE_OK;

    if (app_ranks_lead(ranks)) {
        const char *trace = args->resume ? NULL : run_inside(args->out);

        status = build_recipe(recipe, args, err);
        if (status == BASE_OK)
            status = settle(recipe, args, err);
        if (status == BASE_OK && trace)
            status = base_fail(
                err, BASE_MISMATCH,
                "'%s' holds a run already ('%s'), go on with --resume or name another "
                "folder",
                args->out, trace);
    }
    return status == BASE_OK ? app_ranks_share(ranks, recipe, sizeof *recipe, err) : status;
}

/* Before the first step: what there is, and who shares the work. */
static void print_plan(const train_trainer *t, const app_common *common,
                       const app_ranks *ranks)
{
    char who[192];

    app_train_print(t, common);
    if (common->quiet || !app_ranks_train(ranks))
        return;
    fprintf(stderr, "%-12s%s, %zu part%s of %zu images each, %d lanes\n", "ranks",
            app_ranks_text(who, sizeof who, ranks, common), t->parts,
            t->parts == 1 ? "" : "s", t->part, t->recipe.train.lanes);
    fprintf(stderr, "%-12s%.0f MiB a rank, of which optimiser, lanes and exchange %.0f\n",
            "memory", (double)train_trainer_memory(t) / (1 << 20),
            (double)vit_optimizer_taken(t->optimizer) / (1 << 20));
}

/* DIR/stopped is there when the run was asked to stop and has saved: a batch script asks
 * whether to start it again. */
static void mark_stopped(const train_args *args, bool stopped)
{
    const char *mark = app_text("%s/stopped", args->out);
    FILE *file = NULL;

    if (!stopped)
        unlink(mark);
    else if (access(app_text("%s/last", args->out), F_OK) == 0)
        file = fopen(mark, "w");
    if (file)
        fclose(file);
}

static base_status train(train_args *args, app_ranks *ranks, base_error *err)
{
    const double begin = base_seconds();
    const bool lead = app_ranks_lead(ranks);
    train_recipe recipe = {0};
    train_trainer trainer = {0};
    app_bad_list list = {0};

    base_status status = share_recipe(&recipe, args, ranks, err);
    if (status != BASE_OK)
        return status;
    args->common.precision = VIT_PRECISION_FP32; /* settled: nothing to measure again */
    app_common_apply(&args->common, "train");
    args->common.precision = recipe.train.precision;
    app_threads_share(&args->common);
    app_waiting_begin((size_t)omp_get_max_threads());
    app_watch watch = {.common = &args->common,
                       .bad_list = &list,
                       .curves = app_text("%s/curves.svg", args->out)};
    train_options options = app_train_options(&watch, args->out, args->resume);
    options.ranks = app_ranks_train(ranks);
    if (!lead) /* another speaks; it only looks whether to stop */
        options.watch = (train_watch){.user = &watch, .stop = options.watch.stop};
    status = app_bad_list_open(&list, args->bad_list, args->resume, err);
    if (status == BASE_OK)
        status = train_trainer_create(&trainer, &recipe, &options, err);
    if (status == BASE_OK && lead)
        mark_stopped(args, false);
    if (status == BASE_OK)
        print_plan(&trainer, &args->common, ranks);
    if (status == BASE_OK)
        status = train_trainer_run(&trainer, err);
    app_progress_end(&watch.progress);
    pictures all;
    if (status == BASE_OK)
        status = pictures_count(&all, &trainer, ranks, err);
    if (status == BASE_OK && lead) {
        args->common.seed = trainer.recipe.train.seed;
        status = report(&trainer, &all, args, watch.curves, base_seconds() - begin, err);
    }
    train_trainer_destroy(&trainer);
    return app_bad_list_close(&list, status, err);
}

/* The whole of it, between joining the other ranks and leaving them. The exit status. */
static int run(train_args *args, const char *command_line)
{
    app_ranks ranks;
    base_error err = {0};
    base_status status =
        app_ranks_open(&ranks, &args->ranks, &args->common, command_line, &err);
    const bool lead = app_ranks_lead(&ranks);

    args->common.quiet = args->common.quiet || !lead;
    if (status == BASE_OK && ranks.mesh && args->bad_list)
        status = base_fail(&err, BASE_USAGE, "--bad-list needs a run on one rank");
    if (status == BASE_OK)
        status = train(args, &ranks, &err);
    if (lead && status == BASE_INTERRUPTED)
        mark_stopped(args, true);
    /* Before leaving: a job that has lost a rank is ended by force. */
    const int exit_status =
        status == BASE_OK ? APP_DONE : app_ranks_fail(&ranks, "train", &err);
    app_ranks_close(&ranks, status, &err);
    return exit_status;
}

int app_train(int argc, char **argv)
{
    train_args args = {.ranks = {.patience = 60}};
    base_error err = {0};
    int exit_status = APP_DONE;
    const char *command_line = app_command_line(argc, argv);

    if (!app_parse(&exit_status, &args, NULL, NULL, &train_syntax, argc, argv))
        return exit_status;
    if (args.keys) {
        app_train_keys_print();
        return APP_DONE;
    }
    if (!args.out)
        base_fail(&err, BASE_USAGE, "--out DIR is missing");
    else if (idle_option(&args))
        base_fail(&err, BASE_USAGE, "--%s means nothing without --from MODEL",
                  idle_option(&args));
    if (err.text[0])
        return app_fail("train", &err);
    app_stop_install();
    signal(SIGPIPE, SIG_IGN); /* a run goes on when nobody reads its lines any more */
    return run(&args, command_line);
}
