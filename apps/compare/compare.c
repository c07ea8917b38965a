/* compare.c - vmoe compare: which router, and is it more robust? Trains every router with
 * every seed, evaluates, writes the table (docs/compare.md). Relied on elsewhere: the same
 * command goes on wherever it was stopped. */
#include "apps/compare/table_internal.h"

#define BASE_STRUCT app_compare_args
static const base_field options[] = {
    APP_LIST(
        "routers", "LIST", routers,
        "routers, separated by commas: [label=]router[:key=value ...] with keys of the "
        "recipe's [router]: ssr,softmax,fast=vmoe:capacity=1.05:eval_capacity=4"),
    APP_CHOICE(
        "preset", "NAME", preset, TRAIN_VARIANT_PRESETS,
        "all: every router without capacities, and V-MoE with its own; ssr-ablation: "
        "SSR's settings, one at a time; balancers: SSR, loss-free, quantile and what "
        "they are held against; ssr-grid: SSR's cost, noise and Sinkhorn steps"),
    APP_LIST("grid", "KEY=LIST", grid,
             "every router of --routers with each of these values of a key: --grid "
             "noise=0.1,1 steps=80,800"),
    APP_INT("seeds", "N", seeds, 1, APP_SEEDS_MAX,
            "trainings of each router: train.seed 1 to N"),
    APP_WORD("recipe", "NAME", recipe,
             "network and budget of all trainings: a recipe by name or INI file"),
    APP_WORD("data", "DATA", data, "images to train on (default: the recipe's data.train)"),
    APP_WORD("val", "DATA", val, "images to evaluate on (default: the recipe's data.val)"),
    APP_LIST("set", "KEY=VALUE", set, "override keys of the recipe for all routers"),
    APP_WORD("out", "DIR", out,
             "folder of the comparison: compare.html, compare.json, runs.csv, summary.csv, "
             "runs/LABEL/seed-N",
             .required = true),
    APP_INT("jobs", "N", jobs, 1, 64, "trainings at a time; they share --threads"),
    APP_INT("eval-limit", "N", eval_limit, 0, 4294967295.0,
            "images under corruptions and attack, the first of the seeded order, the same "
            "for all; 0: all"),
    APP_WORD(
        "eps", "LIST", eps,
        "budgets of PGD in Linf, pixels being 0 to 1; the routing is looked at under the "
        "last one"),
    APP_INT("steps", "N", steps, 1, 100000, "of PGD"),
    APP_CHOICE("checkpoint", "WHICH", checkpoint, "last|best",
               "last: of the end of the budget; best: chosen on --val, which flatters all"),
    APP_WORD("baseline", "LABEL", baseline,
             "what the others are held against (default: ssr, else the first)"),
    APP_INT("rounds", "N", rounds, 3, 1000,
            "training steps of each router that are timed, in turn"),
    BASE_BOOL("no-train", no_train, "only what is trained already"),
    BASE_BOOL("no-evaluation", no_evaluation, "train only"),
    APP_WORD(
        "frost-dir", "DIR", frost,
        "the original frost photographs, frost1.png ... frost5.jpg, in place of procedural "
        "ones"),
    BASE_BOOL("no-corruptions", no_corruptions, "leave them out"),
    BASE_BOOL("no-attack", no_attack, "leave it out"),
    BASE_BOOL("no-timing", no_timing, "do not time steps; an older timing stands"),
    BASE_BOOL("status", status, "say how far every run is, and leave"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "compare",
    .usage = "--routers LIST --recipe R --data DATA --val DATA --out DIR [options]",
    .about =
        "Trains each router with each seed on the same recipe, evaluates all of them and "
        "writes one page.\nStopped anywhere, the same command goes on; runs in DIR that are "
        "trained already are taken over.\n--seed (0), --batch and --precision are those of the "
        "evaluation and, precision, of training.",
    .options = options,
    .of_recipe = true,
};

static void plan_note(const app_compare *c)
{
    size_t finished = 0, begun = 0;
    const app_compare_args *args = c->args;

    for (size_t i = 0; i < c->runs; i++) {
        finished += c->run[i].state == APP_RUN_FINISHED;
        begun += c->run[i].state == APP_RUN_BEGUN;
    }
    app_note(
        &args->common,
        "%-12s%zu router%s, %lld seed%s, %llu step%s each: %zu of %zu runs are trained, "
        "%zu begun",
        "compare", c->entries.count, c->entries.count > 1 ? "s" : "",
        (long long)args->seeds, args->seeds > 1 ? "s" : "", (unsigned long long)c->total,
        c->total == 1 ? "" : "s", finished, c->runs, begun);
}

/* The table tells of them; the exit status, too. */
static base_status failures(const app_compare *c, base_error *err)
{
    size_t failed = 0, first = 0;
    char name[128];

    for (size_t i = c->runs; i-- > 0;) {
        if (c->run[i].reason[0]) {
            failed++;
            first = i;
        }
    }
    if (failed == 0)
        return BASE_OK;
    return base_fail(
        err, BASE_NUMERIC, "%zu of %zu runs failed, the first is %s: %s", failed, c->runs,
        app_compare_name(name, sizeof name, c, &c->run[first]), c->run[first].reason);
}

static base_status files_write(const app_compare_args *args, const show_document *document,
                               base_error *err)
{
    const char *page = app_text("%s/compare.html", args->out);
    base_status status = app_json_save(app_text("%s/compare.json", args->out),
                                       json_incref(show_document_json(document)), err);

    if (status == BASE_OK)
        status = show_csv_write(document, &app_compare_view, "entries[].runs[]",
                                app_text("%s/runs.csv", args->out), err);
    if (status == BASE_OK)
        status = show_csv_write(document, &app_compare_view, "entries[]",
                                app_text("%s/summary.csv", args->out), err);
    if (status == BASE_OK)
        status = app_document_write(&args->common, document, &app_compare_view, page, err);
    if (status == BASE_OK)
        app_note(&args->common, "%-12s%s", "page", page);
    return status;
}

/* The files and the table of what is known. */
static base_status results_write(const app_compare *c, json_t *timing, base_error *err)
{
    app_table table = {0};
    base_status status = app_table_create(&table, c, timing, err);
    show_document *document = NULL;

    if (status == BASE_OK)
        status = app_document_make(&document, app_compare_json(&table), err);
    if (status == BASE_OK)
        status = files_write(c->args, document, err);
    show_document_destroy(document);
    app_table_destroy(&table);
    return status;
}

/* After the trainings: what is left to measure, then the results, also of a comparison that
 * was stopped. */
static base_status measure_and_write(app_compare *c, base_status trained, base_error *err)
{
    const app_compare_args *args = c->args;
    base_error write_err = {0};
    json_t *timing = NULL;
    base_status status = trained;

    if (status == BASE_OK) {
        app_waiting_tell(&args->common);
        status = app_compare_measure(c, true, err);
    }
    if (status == BASE_INTERRUPTED)
        app_compare_measure(c, false, NULL);
    if (status == BASE_OK)
        status = app_compare_time(&timing, c, !args->no_timing, err);
    else if (status == BASE_INTERRUPTED)
        app_compare_time(&timing, c, false, NULL);
    if (status == BASE_OK || status == BASE_INTERRUPTED) {
        const base_status written = results_write(c, timing, &write_err);
        if (written != BASE_OK) {
            status = written;
            if (err)
                *err = write_err;
        }
    }
    json_decref(timing);
    return status == BASE_OK ? failures(c, err) : status;
}

/* What a person must know of the data, once the comparison has been found in order. */
static void about_note(const app_compare *c)
{
    static const char *const keys[] = {"notice", "left_out", "val_notice", "val_left_out"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = json_string_value(json_object_get(c->about, keys[i]));
        if (text && text[0])
            app_note(&c->args->common, "%-12s%s", i < 2 ? "data" : "validation", text);
    }
    if (json_is_true(json_object_get(c->about, "same_files")))
        app_note(
            &c->args->common,
            "%-12sthe same files as the training data: accuracy says nothing about other "
            "images",
            "warning");
}

static base_status compare_all(app_compare *c, const app_compare_args *args,
                               base_error *err)
{
    base_status status = app_compare_open(c, args, err);

    if (status != BASE_OK)
        return status;
    if (args->status) {
        status = app_compare_measure(c, false, err);
        app_compare_print(c);
        return status;
    }
    plan_note(c);
    about_note(c);
    if (!args->no_train)
        status = app_compare_train(c, err);
    if (args->no_evaluation)
        return status == BASE_OK ? failures(c, err) : status;
    return measure_and_write(c, status, err);
}

static base_status run(app_compare_args *args, base_error *err)
{
    if (args->common.given.limit)
        return base_fail(err, BASE_USAGE,
                         "--limit means nothing here, see --eval-limit and --set "
                         "data.limit=N");
    app_common_apply(&args->common, "compare");
    app_stop_install();
    app_compare *compare = app_take(NULL, 1, sizeof *compare);
    compare->lock = -1;
    base_status status = app_outputs_check(&args->common, NULL, NULL, err);
    if (status == BASE_OK)
        status = compare_all(compare, args, err);
    app_compare_close(compare);
    return status;
}

int app_compare_command(int argc, char **argv)
{
    app_compare_args args = {.common = app_common_defaults(),
                             .seeds = 3,
                             .jobs = 1,
                             .eval_limit = 1000,
                             .eps = "1/255,2/255",
                             .steps = 20,
                             .rounds = 30};
    base_error err = {0};
    int code = APP_USAGE;

    args.command_line = app_command_line(argc, argv);
    if (app_parse(&code, &args, NULL, NULL, &syntax, argc, argv))
        code = run(&args, &err) == BASE_OK ? APP_DONE : app_fail("compare", &err);
    return code;
}
