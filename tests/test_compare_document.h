/* test_compare_document.h - results of vmoe compare that are known: nine runs, files of
 * them, their comparison, and each run's figures as the document should have them. */
#ifndef TESTS_TEST_COMPARE_DOCUMENT_H
#define TESTS_TEST_COMPARE_DOCUMENT_H

#include "apps/compare/table_internal.h"
#include "tests/test_alike.h"
#include "tests/test_folder.h"

enum { ENTRIES = 3, SEEDS = 3, RUNS = ENTRIES * SEEDS, KINDS = CORRUPT_BENCH_COUNT };

static char *dir;
static app_compare_args args;
static app_compare compare;
static app_table table;
static json_t *timing, *json;

/* ---- what is given ------------------------------------------------------------------- */

/* Figures by run: ssr, plain (softmax), near (similarity) with three seeds each. */
static const struct {
    const char *key, *path; /* path: in eval.json */
    double of[RUNS];
} given[] = {
    {"top1", "top1", {.500, .520, .510, .600, .640, .620, .550, .500, .570}},
    {"loss", "loss", {1.5, 1.625, 1.375, 1.25, 1.375, 1.125, 1.75, 1.5, 1.25}},
    {"ece", "ece", {.05, .06, .07, .04, .05, .05, .09, .07, .08}},
    {"load_cv", "moe_mean.load_cv", {.2, .3, .25, .5, .6, .5, .2, .4, .3}},
    {"load_entropy", "moe_mean.entropy", {.9, .91, .92, .8, .82, .8, .9, .9, .9}},
    {"max_violation", "moe_mean.max_violation", {1, 2, 1.5, 3, 4, 5, 1, 2, 3}},
    {"dead", "moe_mean.dead", {0, 0, 0, 1, 2, 1, 0, 1, 0}},
    {"dropped", "moe_mean.dropped", {.01, .02, .03, 0, 0, 0, .1, .2, .3}},
    {"parameters", "parameters", {1000, 1000, 1000, 1200, 1200, 1200, 1000, 1000, 1000}},
    {"active_parameters",
     "active_parameters",
     {400, 400, 400, 400, 400, 400, 800, 800, 800}},
    {"flops", "flops_spent", {2e6, 2e6, 2e6, 3e6, 3e6, 3e6, 4e6, 4e6, 4e6}},
    /* layers of 3/4 and 5/4 of it */
    {"orphans", NULL, {.01, .02, .01, .04, .08, .04, .02, .04, .08}},
    {"routing_change_attacked", NULL, {.4, .5, .6, .7, .6, .5, .2, .35, .4}},
    {"routing_change_noise", NULL, {.04, .05, .06, .07, .06, .05, .02, .03, .05}},
    {"routing_change_corrupted", NULL, {.3, .35, .4, .2, .26, .29, .1, .12, .2}},
    {"robust_1/255", NULL, {.25, .26, .24, .30, .32, .31, .1, .2, .3}},
    {"robust_4/255", NULL, {.15, .16, .17, .05, .06, .08, .1, .125, .15}},
};
enum { GIVEN = sizeof given / sizeof given[0] };

/* Error of run r under corruption k, mean over severities: each router has its own. */
static inline double error_of(size_t r, size_t k)
{
    static const double slope[ENTRIES] = {.01, .02, .004},
                        own[RUNS] = {.3, .31, .34, .32, .3, .31, .35, .3, .34};

    return own[r] + slope[r / SEEDS] * (double)k;
}

static inline double given_of(const char *key, size_t r)
{
    for (size_t i = 0; i < GIVEN; i++)
        if (strcmp(given[i].key, key) == 0)
            return given[i].of[r];
    ck_abort_msg("no figure '%s'", key);
    return 0;
}

static inline json_t *layers_of(const char *key, double value)
{
    return json_pack("[{s:f}, {s:f}]", key, 0.75 * value, key, 1.25 * value);
}

static inline json_t *clean_make(size_t r)
{
    json_t *clean = json_object(), *moe = json_object();

    for (size_t i = 0; i < GIVEN; i++) {
        const char *path = given[i].path;
        const bool inner = path && strncmp(path, "moe_mean.", 9) == 0;
        if (path)
            json_object_set_new(inner ? moe : clean, path + (inner ? 9 : 0),
                                json_real(given[i].of[r]));
    }
    json_object_set_new(clean, "moe_mean", moe);
    json_object_set_new(clean, "moe", layers_of("orphans", given_of("orphans", r)));
    return clean;
}

/* 75 cells, severities from -2 to 2 hundredths about the mean, and one that is none of the
 * benchmark's. */
static inline json_t *corrupt_make(size_t r)
{
    const double moved = given_of("routing_change_corrupted", r);
    json_t *cells = json_array();

    for (size_t k = 0; k < KINDS; k++)
        for (int s = 1; s <= 5; s++)
            json_array_append_new(
                cells,
                json_pack("{s:s, s:i, s:f, s:[{s:{s:f}}, {s:{s:f}}]}", "corruption",
                          corrupt_kind_name((corrupt_kind)k), "severity", s, "error",
                          error_of(r, k) + .01 * (s - 3), "moe", "agreement", "overlap",
                          1 - .9 * moved, "agreement", "overlap", 1 - 1.1 * moved));
    json_array_append_new(cells, json_pack("{s:s, s:i, s:f}", "corruption", "speckle_noise",
                                           "severity", 1, "error", .99));
    return json_pack("{s:{s:s, s:i, s:s, s:o}}", "robust", "preset", "32",
                     "preset_nearest_to", 40, "frost_textures", "procedural v1", "cells",
                     cells);
}

static inline json_t *attack_make(size_t r)
{
    const double changed = given_of("routing_change_attacked", r),
                 noise = given_of("routing_change_noise", r);
    json_t *layers = json_array(), *sweep = json_array();

    for (int l = 0; l < 2; l++)
        json_array_append_new(layers,
                              json_pack("{s:f, s:f}", "iou", 1 - changed * (.75 + .5 * l),
                                        "control_iou", 1 - noise * (.75 + .5 * l)));
    for (int b = 0; b < 2; b++)
        for (int own = 0; own < 2; own++) /* pgd alone, and what all attacks left */
            json_array_append_new(
                sweep,
                json_pack("{s:s, s:s, s:f}", "attack", own ? "worst_case" : "pgd",
                          "eps_text", b ? "4/255" : "1/255", "robust_acc",
                          own ? given_of(b ? "robust_4/255" : "robust_1/255", r) : .9));
    return json_pack("{s:o, s:{s:o}}", "sweep", sweep, "routing", "layers", layers);
}

/* Two lines of a training and two of its evaluations, ten steps apart: [loss, CV, dead,
 * dropped, share of plans]; the second line has other values. */
static const double trained[2][5] = {{2, .4, 1, .021, .3}, {1, .2, .5, .011, .1}};

static inline double line_at(size_t r, int line, int column)
{
    return trained[line][column] * (1 + .01 * (double)(r * r));
}

static inline void metrics_write(const char *folder, size_t r)
{
    char *path = test_path(folder, "metrics.jsonl");
    FILE *file;

    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    file = fopen(path, "w");
    for (int i = 0; i < 2; i++) {
        const double cv = line_at(r, i, 1), dead = line_at(r, i, 2),
                     dropped = line_at(r, i, 3);
        fprintf(file,
                "{\"kind\":\"train\",\"step\":%d,\"loss\":%.17g,\"accuracy\":%.17g,"
                "\"sinkhorn_share\":%.17g,\"moe\":[{\"layer\":1,\"load_cv\":%.17g,\"dead\":"
                "%.17g,\"dropped\":%.17g},{\"layer\":3,\"load_cv\":%.17g,\"dead\":%.17g,"
                "\"dropped\":%.17g}]}\n",
                10 * (i + 1), line_at(r, i, 0), .01 * (double)r, line_at(r, i, 4), .5 * cv,
                .5 * dead, .5 * dropped, 1.5 * cv, 1.5 * dead, 1.5 * dropped);
        fprintf(file, "{\"kind\":\"eval\",\"step\":%d,\"loss\":%.17g,\"accuracy\":%.17g}\n",
                10 * (i + 1), 3 * line_at(r, i, 0), .1 * (i + 1) + .01 * (double)r);
    }
    fclose(file);
    base_free(path);
}

/* Four rounds: medians 40, 30 and 50 ms; of the ratios 1.25, 1 and 1.75. */
static const char timing_text[] =
    "{`machine`: `a machine`, `threads`: 2, `rounds`: 4, `batch`: 8, `entries`: {"
    "`ssr`: {`rounds_ms`: [36, 38, 42, 60], `sinkhorn_rounds_ms`: [90, 100, 110, 120],"
    " `p`: 0.25},"
    "`plain`: {`rounds_ms`: [24, 32, 28, 60], `sinkhorn_rounds_ms`: [], `p`: null},"
    "`near`: {`rounds_ms`: [48, 56, 49, 51], `sinkhorn_rounds_ms`: [], `p`: null}}}";

/* ---- the comparison ------------------------------------------------------------------ */

static inline void setup(void)
{
    base_error err = {0};

    dir = test_folder_make();
    args = (app_compare_args){.common = app_common_defaults(),
                              .seeds = SEEDS,
                              .jobs = 1,
                              .eval_limit = 500,
                              .eps = "1/255,4/255",
                              .steps = 7,
                              .command_line = "vmoe compare --out x",
                              .out = dir};
    args.common.threads = 2;
    compare = (app_compare){.args = &args, .runs = RUNS, .total = 20, .lock = -1};
    compare.common = args.common;
    compare.common.batch = 16;
    compare.about = json_pack("{s:s}", "notice", "half of it");
    compare.recipe = train_recipe_defaults();
    snprintf(compare.recipe.name, sizeof compare.recipe.name, "own");
    snprintf(compare.network.name, sizeof compare.network.name, "vmoe-x");
    snprintf(compare.recipe.data.train, TRAIN_TEXT, "pictures");
    snprintf(compare.recipe.data.val, TRAIN_TEXT, "others");
    compare.recipe.train.batch = 8;
    ck_assert_msg(
        train_variants_add(&compare.entries, "--routers",
                           "ssr:p=0.25:optimizer.lr=1,plain=softmax,near=similarity",
                           &err) == BASE_OK,
        "%s", err.text);
    snprintf(compare.entries.variant[0].label, TRAIN_LABEL_BYTES, "ssr");
    compare.run = app_take(NULL, RUNS, sizeof *compare.run);
    for (size_t r = 0; r < RUNS; r++) {
        app_compare_run *run = &compare.run[r];
        const char *label = compare.entries.variant[r / SEEDS].label;
        run->entry = r / SEEDS;
        run->seed = (int64_t)(r % SEEDS) + 1;
        run->folder = app_text("%s/%s-%zu", dir, label, r % SEEDS);
        run->state = APP_RUN_FINISHED;
        run->step = 20;
        run->accuracy = .1 * (double)r;
        metrics_write(run->folder, r);
        run->result[APP_MEASURE_CLEAN] = clean_make(r);
        run->result[APP_MEASURE_CORRUPT] = corrupt_make(r);
        run->result[APP_MEASURE_ATTACK] = attack_make(r);
    }
    char *text = alike_text(timing_text);
    timing = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(timing);
    base_free(text);
}

static inline void teardown(void)
{
    json_decref(json);
    json_decref(timing);
    app_table_destroy(&table);
    app_compare_close(&compare);
    test_folder_remove(dir);
}

static inline void document_make(void)
{
    base_error err = {0};

    ck_assert_msg(app_table_create(&table, &compare, timing, &err) == BASE_OK, "%s",
                  err.text);
    json = app_compare_json(&table);
    ck_assert_ptr_nonnull(json);
}

/* ---- what is expected ---------------------------------------------------------------- */

/* Keys in the order of the CSV files; better: 1 more, -1 less, 0 neither; once: timed once
 * for all seeds. */
static const struct {
    const char *key;
    int better;
    bool once;
} figures[] = {{"top1", 1},
               {"loss", -1},
               {"ece", -1},
               {"corrupted_error", -1},
               {"mce_softmax", -1},
               {"load_cv", -1},
               {"load_entropy", 1},
               {"max_violation", -1},
               {"dead", -1},
               {"dropped", -1},
               {"orphans", -1},
               {"routing_change_corrupted", 0},
               {"routing_change_attacked", 0},
               {"routing_change_noise", 0},
               {"train_loss", -1},
               {"train_loss_equal_seconds", -1},
               {"train_load_cv", -1},
               {"train_dead", -1},
               {"train_dropped", -1},
               {"sinkhorn_share", 0},
               {"sinkhorn_steps", 0},
               {"step_ms", -1, true},
               {"step_ratio", -1, true},
               {"parameters", 0},
               {"active_parameters", 0},
               {"flops", -1},
               {"robust_1/255", 1},
               {"robust_4/255", 1}};
enum { FIGURES = sizeof figures / sizeof figures[0] };

static inline double errors_mean(size_t r, bool against_plain)
{
    double sum = 0;

    for (size_t k = 0; k < KINDS; k++)
        sum += error_of(r, k) / (against_plain ? error_of(SEEDS + r % SEEDS, k) : 1);
    return sum / KINDS;
}

/* Of run r as the page should have it. */
static inline double expected_of(const char *key, size_t r)
{
    static const double ms[ENTRIES] = {40, 30, 50}, ratio[ENTRIES] = {1.34375, 1, 1.75},
                        share[ENTRIES] = {0.5, 1, 0.2}; /* of the way to the last line */
    static const struct {
        const char *key;
        int column; /* mean of the two lines */
    } means[] = {{"train_load_cv", 1},
                 {"train_dead", 2},
                 {"train_dropped", 3},
                 {"sinkhorn_share", 4}};
    const double first = line_at(r, 0, 0), last = line_at(r, 1, 0);
    const size_t e = r / SEEDS;

    for (size_t i = 0; i < 4; i++)
        if (strcmp(key, means[i].key) == 0)
            return (line_at(r, 0, means[i].column) + line_at(r, 1, means[i].column)) / 2;
    if (strcmp(key, "sinkhorn_steps") == 0)
        return 10 * (line_at(r, 0, 4) + line_at(r, 1, 4));
    if (strcmp(key, "train_loss") == 0)
        return last;
    if (strcmp(key, "train_loss_equal_seconds") == 0)
        return first + (last - first) * share[e];
    if (strcmp(key, "corrupted_error") == 0 || strcmp(key, "mce_softmax") == 0)
        return errors_mean(r, key[0] == 'm');
    if (strcmp(key, "step_ms") == 0 || strcmp(key, "step_ratio") == 0)
        return (key[5] == 'm' ? ms : ratio)[e];
    return given_of(key, r);
}

/* Mean and standard deviation over the seeds of an entry, of its differences from other's
 * where there is one. */
static inline void spread_of(double *mean, double *std, const char *key, size_t e,
                             size_t other)
{
    double value[SEEDS], squares = 0;

    *mean = 0;
    for (size_t s = 0; s < SEEDS; s++) {
        value[s] = expected_of(key, e * SEEDS + s) -
                   (other < ENTRIES ? expected_of(key, other * SEEDS + s) : 0);
        *mean += value[s] / SEEDS;
    }
    for (size_t s = 0; s < SEEDS; s++)
        squares += (value[s] - *mean) * (value[s] - *mean);
    *std = squares < 1e-24 ? 0 : sqrt(squares / (SEEDS - 1));
}

static inline void close_to(const json_t *object, const char *path, double value)
{
    const double found = show_json_number(object, path);

    ck_assert_msg(fabs(found - value) <= 1e-9 * (1 + fabs(value)),
                  "%s is %.12g, expected %.12g", path, found, value);
}

static const char *now = "";

static inline void null_at(const json_t *object, const char *key)
{
    ck_assert_msg(json_is_null(json_object_get(object, key)), "%s: %s is not null", now,
                  key);
}

/* In the order of the plan. */
static const char *const labels[] = {"ssr", "plain", "near"};

/* Rows are in the order of their clean accuracy: plain, near, ssr. */
static const size_t order[ENTRIES] = {1, 2, 0};

/* want: labels with ", " between. */
static inline void labels_check(const json_t *verdict, const char *key, const char *want)
{
    char *found = show_text(json_object_get(verdict, key), "{.}");

    ck_assert_msg(json_is_array(json_object_get(verdict, key)), "no %s", key);
    ck_assert_msg(strcmp(found ? found : "", want) == 0, "%s %s: '%s', expected '%s'",
                  show_json_string(verdict, "figure"), key, found ? found : "", want);
    base_free(found);
}

#endif
