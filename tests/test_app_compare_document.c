/* test_app_compare_document.c - what vmoe compare says of results that are known: nine runs
 * whose files are written here, every figure of every run, means, differences and verdicts
 * against sums of this file, and all else that the document, the table and the CSV files
 * say. */
#include "apps/compare/table_internal.h"
#include "tests/test_alike.h"
#include "tests/test_folder.h"
#include "tests/test_run.h"
#include "tests/test_words.h"

enum { ENTRIES = 3, SEEDS = 3, RUNS = ENTRIES * SEEDS, KINDS = CORRUPT_BENCH_COUNT };
/* Student's t at 97.5 %, 2 and 1 degrees of freedom. */
static const double student[] = {0, 0, 12.7062, 4.3027};

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
static double error_of(size_t r, size_t k)
{
    static const double slope[ENTRIES] = {.01, .02, .004},
                        own[RUNS] = {.3, .31, .34, .32, .3, .31, .35, .3, .34};

    return own[r] + slope[r / SEEDS] * (double)k;
}

static double given_of(const char *key, size_t r)
{
    for (size_t i = 0; i < GIVEN; i++)
        if (strcmp(given[i].key, key) == 0)
            return given[i].of[r];
    ck_abort_msg("no figure '%s'", key);
    return 0;
}

static json_t *layers_of(const char *key, double value)
{
    return json_pack("[{s:f}, {s:f}]", key, 0.75 * value, key, 1.25 * value);
}

static json_t *clean_make(size_t r)
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
static json_t *corrupt_make(size_t r)
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

static json_t *attack_make(size_t r)
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

static double line_at(size_t r, int line, int column)
{
    return trained[line][column] * (1 + .01 * (double)(r * r));
}

static void metrics_write(const char *folder, size_t r)
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

static void setup(void)
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

static void teardown(void)
{
    json_decref(json);
    json_decref(timing);
    app_table_destroy(&table);
    app_compare_close(&compare);
    test_folder_remove(dir);
}

static void document_make(void)
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

static double errors_mean(size_t r, bool against_plain)
{
    double sum = 0;

    for (size_t k = 0; k < KINDS; k++)
        sum += error_of(r, k) / (against_plain ? error_of(SEEDS + r % SEEDS, k) : 1);
    return sum / KINDS;
}

/* Of run r as the page should have it. */
static double expected_of(const char *key, size_t r)
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
static void spread_of(double *mean, double *std, const char *key, size_t e, size_t other)
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

/* -1: e is clearly below other, 1: above, 0: the seeds do not say. */
static int side_of(const char *key, size_t e, size_t other)
{
    double mean, std;

    spread_of(&mean, &std, key, e, other);
    const double half = student[SEEDS] * std / sqrt(SEEDS);
    return mean > half + 1e-12 ? 1 : mean < -half - 1e-12 ? -1 : 0;
}

/* Whether e is not clearly worse than the best mean, and another is. */
static bool leads(size_t f, size_t e)
{
    const char *key = figures[f].key;
    const int better = figures[f].once ? 0 : figures[f].better;
    size_t best = 0, worse = 0;
    double mean, std, top = 0;

    for (size_t i = 0; i < ENTRIES; i++) {
        spread_of(&mean, &std, key, i, ENTRIES);
        if (i == 0 || better * mean > better * top + 1e-12) {
            best = i;
            top = mean;
        }
    }
    for (size_t i = 0; i < ENTRIES; i++)
        worse += i != best && better != 0 && side_of(key, i, best) == -better;
    return worse > 0 && (e == best || side_of(key, e, best) != -better);
}

static void close_to(const json_t *object, const char *path, double value)
{
    const double found = show_json_number(object, path);

    ck_assert_msg(fabs(found - value) <= 1e-9 * (1 + fabs(value)),
                  "%s is %.12g, expected %.12g", path, found, value);
}

static const char *now = "";
static void null_at(const json_t *object, const char *key)
{
    ck_assert_msg(json_is_null(json_object_get(object, key)), "%s: %s is not null", now,
                  key);
}

/* The object of figure f of entry e. */
static void figure_check(const json_t *figure, size_t f, size_t e)
{
    const char *key = figures[f].key;
    const json_t *d = json_object_get(figure, "against_baseline");

    const int side = side_of(key, e, 0), better = figures[f].better;
    double mean, std;

    now = key;
    ck_assert_uint_eq(json_object_size(figure), 6);
    ck_assert_uint_eq(json_object_size(d), 9);
    spread_of(&mean, &std, key, e, ENTRIES);
    close_to(figure, "count", SEEDS);
    close_to(figure, "mean", mean);
    close_to(figure, "std", std);
    ck_assert_uint_eq(json_array_size(json_object_get(figure, "values")), SEEDS);
    for (size_t s = 0; s < SEEDS; s++)
        ck_assert_double_eq_tol(
            json_number_value(json_array_get(json_object_get(figure, "values"), s)),
            expected_of(key, e * SEEDS + s), 1e-9 * (1 + fabs(mean)));
    ck_assert_msg(json_is_true(json_object_get(figure, "lead")) == leads(f, e),
                  "%s: lead of %zu", key, e);
    spread_of(&mean, &std, key, e, 0);
    const double half = student[SEEDS] * std / sqrt(SEEDS);
    close_to(d, "count", SEEDS);
    close_to(d, "difference", mean);
    close_to(d, "spread", std);
    close_to(d, "limit", student[SEEDS] / sqrt(SEEDS));
    if (std > 0)
        close_to(d, "spreads", mean / std);
    else
        null_at(d, "spreads");
    ck_assert_int_eq(json_is_true(json_object_get(d, "clear")), std > 0 && side != 0);
    if (figures[f].once) {
        ck_assert_str_eq(show_json_string(d, "verdict"), "one measurement");
        ck_assert_ptr_null(show_json_find(d, "ci95[0]"));
        ck_assert_ptr_null(show_json_find(d, "ci95[1]"));
    } else {
        close_to(d, "ci95[0]", mean - half);
        close_to(d, "ci95[1]", mean + half);
        ck_assert_str_eq(show_json_string(d, "verdict"), side == 0 ? "not to be told apart"
                                                         : better == 0
                                                             ? side > 0 ? "more" : "less"
                                                         : side == better ? "better"
                                                                          : "worse");
    }
    if (std > 0 && side != 0 && better != 0 && !figures[f].once)
        ck_assert(json_is_true(json_object_get(d, "better")) == (side == better));
    else
        null_at(d, "better");
}

/* Rows are in the order of their clean accuracy: plain, near, ssr. */
static const size_t order[ENTRIES] = {1, 2, 0};

START_TEST(every_figure_is_that_of_its_run)
{
    document_make();
    ck_assert_uint_eq(json_array_size(json_object_get(json, "entries")), ENTRIES);
    for (size_t i = 0; i < ENTRIES; i++) {
        const json_t *entry = json_array_get(json_object_get(json, "entries"), i);
        const json_t *all = json_object_get(entry, "figures"), *kinds;
        const size_t e = order[i];

        ck_assert_uint_eq(json_object_size(all), FIGURES);
        for (size_t f = 0; f < FIGURES; f++)
            figure_check(json_object_get(all, figures[f].key), f, e);
        kinds = json_object_get(entry, "corruption_errors");
        ck_assert_uint_eq(json_object_size(kinds), KINDS);
        for (size_t k = 0; k < KINDS; k++)
            close_to(kinds, corrupt_kind_name((corrupt_kind)k),
                     (error_of(e * SEEDS, k) + error_of(e * SEEDS + 1, k) +
                      error_of(e * SEEDS + 2, k)) /
                         SEEDS);
        ck_assert_uint_eq(json_array_size(json_object_get(entry, "robust")), 2);
        for (size_t s = 0; s < SEEDS; s++) {
            const size_t r = e * SEEDS + s;
            const json_t *run = json_array_get(json_object_get(entry, "runs"), s);
            const json_t *own = json_object_get(run, "figures");
            ck_assert_uint_eq(json_object_size(own), FIGURES);
            for (size_t f = 0; f < FIGURES; f++)
                ck_assert_double_eq_tol(
                    json_number_value(json_object_get(own, figures[f].key)),
                    expected_of(figures[f].key, r),
                    1e-8 * (1 + fabs(expected_of(figures[f].key, r))));
            ck_assert_uint_eq(json_array_size(json_object_get(run, "robust")), 2);
            close_to(run, "robust[0]", given_of("robust_1/255", r));
            close_to(run, "robust[1]", given_of("robust_4/255", r));
        }
    }
}
END_TEST

/* As told of each figure that has a better side: labels of those that the baseline is
 * better than, worse than, tied with, of which nothing is known, and of those who lead. */
static const struct {
    const char *figure, *title, *better, *worse, *tied, *unknown, *leaders, *text;
} verdicts[] = {
    {"top1", "clean top-1", "", "plain", "near", "", "plain, near",
     "ssr is worse than plain (-11.00, -13.48 to -8.52); not to be told apart from "
     "near (-3.00, -13.83 to +7.83)"},
    {"loss", "loss", "", "plain", "near", "", "plain, near",
     "ssr is worse than plain (+0.250, +0.250 to +0.250); not to be told apart "
     "from near (+0.000, -0.538 to +0.538)"},
    {"ece", "calibration error", "", "", "plain, near", "", "",
     "ssr is not to be told apart from plain (+1.3, -0.1 to +2.8), near (-2.0, "
     "-6.3 to +2.3)"},
    {"corrupted_error", "corrupted error", "plain", "", "near", "", "near, ssr",
     "ssr is better than plain (-6.33, -12.59 to -0.08); not to be told apart from "
     "near (+2.87, -5.12 to +10.85)"},
    {"mce_softmax", "mCE (softmax 100)", "", "", "plain, near", "", "near, ssr",
     "ssr is not to be told apart from plain (-12.6, -26.5 to +1.3), near (+5.5, "
     "-13.0 to +24.1)"},
    {"load_cv", "load CV", "plain", "", "near", "", "near, ssr",
     "ssr is better than plain (-0.283, -0.355 to -0.212); not to be told apart "
     "from near (-0.050, -0.174 to +0.074)"},
    {"load_entropy", "load entropy", "plain", "", "near", "", "near, ssr",
     "ssr is better than plain (+0.103, +0.065 to +0.141); not to be told apart "
     "from near (+0.010, -0.015 to +0.035)"},
    {"max_violation", "max violation", "plain", "", "near", "", "near, ssr",
     "ssr is better than plain (-2.500, -4.651 to -0.349); not to be told apart "
     "from near (-0.500, -2.651 to +1.651)"},
    {"dead", "dead experts", "", "", "plain, near", "", "",
     "ssr is not to be told apart from plain (-1.3, -2.8 to +0.1), near (-0.3, "
     "-1.8 to +1.1)"},
    {"dropped", "dropped", "", "", "plain, near", "", "",
     "ssr is not to be told apart from plain (+2.00, -0.48 to +4.48), near "
     "(-18.00, -40.36 to +4.36)"},
    {"orphans", "orphans", "", "", "plain, near", "", "",
     "ssr is not to be told apart from plain (-4.00, -8.30 to +0.30), near (-3.33, "
     "-11.32 to +4.65)"},
    {"train_loss", "training loss", "plain, near", "", "", "", "ssr",
     "ssr is better than plain (-0.150, -0.299 to -0.001), near (-0.480, -0.778 to "
     "-0.182)"},
    {"train_loss_equal_seconds", "training loss at equal seconds", "near", "plain", "", "",
     "plain",
     "ssr is better than near (-1.169, -1.721 to -0.617); worse than plain "
     "(+0.358, +0.234 to +0.483)"},
    {"train_load_cv", "load CV in training", "plain, near", "", "", "", "ssr",
     "ssr is better than plain (-0.045, -0.090 to -0.000), near (-0.144, -0.233 to "
     "-0.055)"},
    {"train_dead", "dead experts in training", "plain, near", "", "", "", "ssr",
     "ssr is better than plain (-0.1, -0.2 to -0.0), near (-0.4, -0.6 to -0.1)"},
    {"train_dropped", "dropped in training", "plain, near", "", "", "", "ssr",
     "ssr is better than plain (-0.24, -0.48 to -0.00), near (-0.77, -1.24 to "
     "-0.29)"},
    {"step_ms", "ms a step", "", "", "", "plain, near", "",
     "one measurement for all seeds tells no difference from chance"},
    {"step_ratio", "step (plain 100)", "", "", "", "plain, near", "",
     "one measurement for all seeds tells no difference from chance"},
    {"flops", "FLOPs an image", "plain, near", "", "", "", "ssr",
     "ssr is better than plain (-1.00, -1.00 to -1.00), near (-2.00, -2.00 to "
     "-2.00)"},
    {"robust_1/255", "PGD 1/255", "", "plain", "near", "", "plain, near",
     "ssr is worse than plain (-6.00, -8.48 to -3.52); not to be told apart from "
     "near (+5.00, -21.17 to +31.17)"},
    {"robust_4/255", "PGD 4/255", "plain", "", "near", "", "near, ssr",
     "ssr is better than plain (+9.67, +8.23 to +11.10); not to be told apart from "
     "near (+3.50, -0.23 to +7.23)"},
};
enum { VERDICTS = sizeof verdicts / sizeof verdicts[0] };

/* want: labels with ", " between. */
static void labels_check(const json_t *verdict, const char *key, const char *want)
{
    char *found = show_text(json_object_get(verdict, key), "{.}");

    ck_assert_msg(json_is_array(json_object_get(verdict, key)), "no %s", key);
    ck_assert_msg(strcmp(found ? found : "", want) == 0, "%s %s: '%s', expected '%s'",
                  show_json_string(verdict, "figure"), key, found ? found : "", want);
    base_free(found);
}

START_TEST(every_figure_has_its_verdict)
{
    document_make();
    const json_t *list = json_object_get(json, "verdicts");
    ck_assert_uint_eq(json_array_size(list), VERDICTS);
    for (size_t i = 0; i < VERDICTS; i++) {
        const json_t *one = json_array_get(list, i);

        ck_assert_uint_eq(json_object_size(one), 9);
        ck_assert_str_eq(show_json_string(one, "figure"), verdicts[i].figure);
        ck_assert_str_eq(show_json_string(one, "title"), verdicts[i].title);
        ck_assert_str_eq(show_json_string(one, "baseline"), "ssr");
        ck_assert_str_eq(show_json_string(one, "text"), verdicts[i].text);
        labels_check(one, "better", verdicts[i].better);
        labels_check(one, "worse", verdicts[i].worse);
        labels_check(one, "tied", verdicts[i].tied);
        labels_check(one, "unknown", verdicts[i].unknown);
        labels_check(one, "leaders", verdicts[i].leaders);
    }
}
END_TEST

/* Rows of the attacks are figures of the entries with a label. */
static void attacked_check(void)
{
    static const char *const titles[] = {"PGD 1/255", "PGD 4/255"};
    const json_t *attacked = json_object_get(json, "attacked");

    ck_assert_uint_eq(json_array_size(attacked), 2);
    for (size_t b = 0; b < 2; b++) {
        const json_t *one = json_array_get(attacked, b);
        ck_assert_uint_eq(json_object_size(one), 2);
        ck_assert_str_eq(show_json_string(one, "title"), titles[b]);
        ck_assert_uint_eq(json_array_size(json_object_get(one, "rows")), ENTRIES);
        for (size_t i = 0; i < ENTRIES; i++) {
            json_t *row = json_array_get(json_object_get(one, "rows"), i);
            const json_t *entry = json_array_get(json_object_get(json, "entries"), i);
            const json_t *figure = json_object_get(json_object_get(entry, "figures"),
                                                   figures[FIGURES - 2 + b].key);
            ck_assert_str_eq(show_json_string(row, "label"),
                             show_json_string(entry, "label"));
            ck_assert(json_is_true(json_object_get(row, "is_baseline")) == (i == 2));
            ck_assert(
                json_equal(json_array_get(json_object_get(entry, "robust"), b), figure));
            json_object_del(row, "label");
            json_object_del(row, "is_baseline");
            ck_assert(json_equal(row, figure));
        }
    }
}

START_TEST(all_else_is_told)
{
    static const char *const seen[] = {"figures", "robust", "corruption_errors"};
    json_t *entry, *run;
    size_t i, r;

    document_make();
    attacked_check();
    ck_assert(json_equal(json_object_get(json, "timing"), timing));
    json_object_del(json, "timing");
    json_object_del(json, "verdicts");
    json_array_foreach(json_object_get(json, "entries"), i, entry)
    {
        json_array_foreach(json_object_get(entry, "runs"), r, run)
        {
            json_object_del(run, "figures");
            json_object_del(run, "robust");
        }
        for (size_t k = 0; k < 3; k++)
            json_object_del(entry, seen[k]);
    }
    char *rest = words_document("compare.json");
    alike(json, rest);
    base_free(rest);
}
END_TEST

/* ---- table, page, CSV ---------------------------------------------------------------- */

static show_document *shown_make(void)
{
    document_make();
    return show_document_create(json_incref(json));
}

START_TEST(table_and_page_say_the_same)
{
    show_document *document = shown_make();
    char *path = test_path(dir, "page.html"), *page = NULL;
    size_t bytes = 0;
    char *out = NULL;
    FILE *file = open_memstream(&out, &bytes);

    ck_assert_int_eq(show_print_terminal(file, document, &app_compare_view, NULL), BASE_OK);
    ck_assert_int_eq(fclose(file), 0);
    char *table_text = words_document("compare.table");
    words_are(out, table_text);
    base_free(table_text);
    free(out);
    ck_assert_int_eq(show_page_write(document, &app_compare_view, path, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&page, &bytes, path, 1 << 24, NULL), BASE_OK);
    char *words = words_of(page);
    char *page_text = words_document("compare.page");
    words_are(words, page_text);
    base_free(page_text);
    base_free(words);
    base_free(page);
    base_free(path);
    show_document_destroy(document);
}
END_TEST

/* The next field of a line without quotes, up to , or its end; *at moves behind it. */
static char *field_next(const char **at)
{
    char *field = base_text("%.*s", (int)strcspn(*at, ",\n"), *at);

    *at += strlen(field);
    *at += **at != '\0';
    return field;
}

static void field_is(const char **at, const char *want)
{
    char *field = field_next(at);

    ck_assert_str_eq(field, want);
    base_free(field);
}

static void field_near(const char **at, const char *key, double want)
{
    char *field = field_next(at);
    double value = (double)NAN;

    ck_assert_msg(base_parse_real(&value, field) &&
                      fabs(value - want) <= 1e-8 * (1 + fabs(want)),
                  "%s is '%s', expected %.12g", key, field, want);
    base_free(field);
}

static char *csv_of(const show_document *document, const char *block)
{
    char *path = test_path(dir, "out.csv"), *text = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(show_csv_write(document, &app_compare_view, block, path, NULL),
                     BASE_OK);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 24, NULL), BASE_OK);
    base_free(path);
    return text;
}

static const char *const labels[] = {"ssr", "plain", "near"},
                         *const routers[] = {"ssr", "softmax", "similarity"},
                         *const settings[] = {"p=0.25 optimizer.lr=1", "", ""};

/* runs.csv in the order of the plan. */
START_TEST(each_training_is_a_row_of_the_runs)
{
    static const char *const first[] = {"label", "router", "settings", "seed", "status"};
    show_document *document = shown_make();
    char *text = csv_of(document, "entries[].runs[]");
    const char *at = text;

    for (size_t i = 0; i < 5; i++)
        field_is(&at, first[i]);
    for (size_t f = 0; f < FIGURES; f++)
        field_is(&at, figures[f].key);
    field_is(&at, "reason");
    for (size_t r = 0; r < RUNS; r++) {
        field_is(&at, labels[r / SEEDS]);
        field_is(&at, routers[r / SEEDS]);
        field_is(&at, settings[r / SEEDS]);
        field_near(&at, "seed", (double)(r % SEEDS + 1));
        field_is(&at, "finished");
        for (size_t f = 0; f < FIGURES; f++)
            field_near(&at, figures[f].key, expected_of(figures[f].key, r));
        field_is(&at, "");
    }
    ck_assert_str_eq(at, "");
    base_free(text);
    show_document_destroy(document);
}
END_TEST

START_TEST(each_router_is_a_row_of_the_summary)
{
    static const char *const first[] = {"label", "router", "settings", "seeds"},
                             *const ends[] = {"mean", "std"};
    show_document *document = shown_make();
    char *text = csv_of(document, "entries[]");
    const char *at = text;

    for (size_t i = 0; i < 4; i++)
        field_is(&at, first[i]);
    for (size_t f = 0; f < 2 * FIGURES; f++) {
        char *name = base_text("%s_%s", figures[f / 2].key, ends[f % 2]);
        field_is(&at, name);
        base_free(name);
    }
    for (size_t i = 0; i < ENTRIES; i++) {
        field_is(&at, labels[order[i]]);
        field_is(&at, routers[order[i]]);
        field_is(&at, settings[order[i]]);
        field_near(&at, "seeds", SEEDS);
        for (size_t f = 0; f < FIGURES; f++) {
            double mean, std;
            spread_of(&mean, &std, figures[f].key, order[i], ENTRIES);
            field_near(&at, figures[f].key, mean);
            field_near(&at, figures[f].key, std);
        }
    }
    ck_assert_str_eq(at, "");
    base_free(text);
    show_document_destroy(document);
}
END_TEST

/* ---- what is not known --------------------------------------------------------------- */

static void forget(size_t r, app_measure measure)
{
    json_decref(compare.run[r].result[measure]);
    compare.run[r].result[measure] = NULL;
}

static void forget_all(size_t r, app_run_state state)
{
    for (app_measure m = 0; m < APP_MEASURE_COUNT; m++)
        forget(r, m);
    compare.run[r].state = state;
}

static const json_t *entry_of(const char *label)
{
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(json, "entries"), i, entry)
    {
        if (strcmp(show_json_string(entry, "label"), label) == 0)
            return entry;
    }
    ck_abort_msg("no entry '%s'", label);
    return NULL;
}

/* Of near one run failed and one has only begun; one of ssr was not attacked. */
START_TEST(what_is_missing_is_told_and_left_out)
{
    forget_all(8, APP_RUN_FAILED);
    snprintf(compare.run[8].reason, sizeof compare.run[8].reason, "it broke");
    forget_all(7, APP_RUN_BEGUN);
    compare.run[7].step = 10;
    forget(1, APP_MEASURE_ATTACK);
    document_make();
    alike(json_object_get(json, "missing"),
          "{`verdict`: `WARN`, `text`: `3 of 9 runs are not in all of these figures`, "
          "`facts`: [`near seed 3 failed: it broke`, `1 not trained to the end yet`, `1 "
          "trained, but not measured in full yet`]}");
    const json_t *near_it = entry_of("near"), *ssr = entry_of("ssr");
    json_t *runs = json_object_get(near_it, "runs"), *run;
    size_t i;
    json_array_foreach(runs, i, run)
    {
        if (i > 0) { /* all unknown */
            const char *key;
            json_t *value;
            json_object_foreach(json_object_get(run, "figures"), key, value)
                ck_assert_msg(json_is_null(value), "%s is known", key);
            alike(json_object_get(run, "robust"), "[null, null]");
        }
        json_object_del(run, "figures");
        json_object_del(run, "robust");
    }
    alike(runs,
          "[{`seed`: 1, `folder`: `*`, `status`: `finished`, `step`: 20, `reason`: "
          "null}, {`seed`: 2, `folder`: `*`, `status`: `begun`, `step`: 10, `reason`: "
          "null}, {`seed`: 3, `folder`: `*`, `status`: `failed`, `step`: 20, "
          "`reason`: `it broke`}]");
    alike(
        show_json_find(near_it, "figures.top1"),
        "{`count`: 1, `mean`: 0.55, `std`: null, `values`: [0.55, null, null], `lead`: "
        "true, `against_baseline`: {`count`: 1, `difference`: 0.05, `spread`: null, "
        "`spreads`: null, `limit`: null, `clear`: false, `ci95`: [null, null], `verdict`: "
        "null, `better`: null}}");
    /* two of three seeds: t of one degree of freedom */
    alike(
        json_array_get(json_object_get(ssr, "robust"), 0),
        "{`count`: 2, `mean`: 0.245, `std`: 0.00707106781, `values`: [0.25, null, 0.24], "
        "`lead`: false, `against_baseline`: {`count`: 2, `difference`: 0, `spread`: 0, "
        "`spreads`: null, `limit`: 8.98464019, `clear`: false, `ci95`: [0, 0], `verdict`: "
        "`not to be told apart`, `better`: null}}");
    const json_t *verdict = json_array_get(json_object_get(json, "verdicts"), 0);
    labels_check(verdict, "worse", "plain");
    labels_check(verdict, "unknown", "near");
    labels_check(verdict, "leaders", "plain, near");
    /* the curve of near is that of its one training */
    alike(json_object_get(near_it, "training"),
          "[[10, 2.72, 0.06, 0.544, 0.5], [20, 1.36, 0.06, 0.272, 1]]");
}
END_TEST

/* One thread, a machine without a name; a router that was not timed has no row, and one
 * with other rounds than softmax no ratio. */
START_TEST(a_timing_may_know_less)
{
    json_t *entries = json_object_get(timing, "entries");

    json_object_set_new(timing, "threads", json_integer(1));
    json_object_del(timing, "machine");
    json_object_del(entries, "near");
    json_array_remove(json_object_get(json_object_get(entries, "ssr"), "rounds_ms"), 3);
    document_make();
    const char *text = show_json_string(json, "steps_timed.text");
    ck_assert_msg(strstr(text, "batch of 8 images, 1 thread, . Ratios") != NULL, "%s",
                  text);
    alike(show_json_find(json, "steps_timed.rows"),
          "[{`label`: `plain`, `ms`: 30, `ms_quartiles`: [27, 39], `ratio`: 1, "
          "`ratio_quartiles`: [1, 1], `with_plan_ms`: null, `with_plan_ms_quartiles`: "
          "null}, {`label`: `ssr`, `ms`: 38, `ms_quartiles`: [37, 40], `ratio`: null, "
          "`ratio_quartiles`: null, `with_plan_ms`: 105, `with_plan_ms_quartiles`: [97.5, "
          "112.5]}]");
    ck_assert_ptr_null(show_json_find(entry_of("near"), "figures.step_ms.values"));
    /* whose seconds are not known has no loss at equal ones */
    ck_assert_ptr_null(
        show_json_find(entry_of("near"), "figures.train_loss_equal_seconds.values"));
}
END_TEST

START_TEST(a_corruption_without_all_severities_is_unknown)
{
    json_t *cells = json_object_get(
        json_object_get(compare.run[0].result[APP_MEASURE_CORRUPT], "robust"), "cells");

    json_array_remove(cells, 0);
    document_make();
    const json_t *ssr = entry_of("ssr");
    ck_assert(json_is_null(show_json_find(ssr, "runs[0].figures.corrupted_error")) ||
              !show_json_find(ssr, "runs[0].figures.corrupted_error"));
    close_to(ssr, "figures.corrupted_error.count", 2);
    close_to(ssr, "figures.routing_change_corrupted.count", 3);
    /* its other corruptions, and the other seeds, count */
    close_to(ssr, "corruption_errors.gaussian_noise",
             (error_of(1, 0) + error_of(2, 0)) / 2);
    close_to(ssr, "corruption_errors.shot_noise",
             (error_of(0, 1) + error_of(1, 1) + error_of(2, 1)) / 3);
}
END_TEST

/* Nothing is trained: no figures, no conclusions, no map, and the order is the plan's. */
START_TEST(before_the_first_training_nothing_is_known)
{
    static const char *const keys[] = {"corruptions", "steps_timed"};

    for (size_t r = 0; r < RUNS; r++)
        forget_all(r, APP_RUN_NEW);
    json_decref(timing);
    timing = NULL;
    document_make();
    alike(json_object_get(json, "missing"),
          "{`verdict`: `WARN`, `text`: `9 of 9 runs are not in all of these figures`, "
          "`facts`: [`9 not trained to the end yet`]}");
    for (size_t i = 0; i < 2; i++)
        null_at(json, keys[i]);
    null_at(json, "timing");
    alike(json_object_get(json, "best"),
          "{`clean`: null, `corrupted`: null, `attacked`: null}");
    alike(json_object_get(json, "corrupted"), "[]");
    alike(json_object_get(json, "verdicts"), "[]");
    alike(json_object_get(json, "conclusions"), "[]");
    alike(json_object_get(json, "attacked"),
          "[{`title`: `PGD 1/255`, `rows`: []}, {`title`: `PGD 4/255`, `rows`: []}]");
    alike(json_object_get(json, "parts"), "{`routing`: null}");
    for (size_t e = 0; e < ENTRIES; e++)
        ck_assert_str_eq(
            show_json_string(json_array_get(json_object_get(json, "entries"), e), "label"),
            labels[e]);
    alike(show_json_find(entry_of("ssr"), "figures.step_ms"),
          "{`count`: 0, `mean`: null, `std`: null, `values`: null, `lead`: false, "
          "`against_baseline`: {`count`: 0, `difference`: null, `spread`: null, `spreads`: "
          "null, `limit`: null, `clear`: false, `ci95`: [null, null], `verdict`: null, "
          "`better`: null}}");
    alike(json_object_get(entry_of("ssr"), "training"), "[]");
}
END_TEST

/* Routers that nothing is known of come last, the others by their accuracy. */
START_TEST(the_unknown_stand_last)
{
    for (size_t s = 0; s < SEEDS; s++)
        forget(SEEDS + s, APP_MEASURE_CLEAN); /* of plain */
    document_make();
    static const char *const want[] = {"near", "ssr", "plain"};
    for (size_t e = 0; e < ENTRIES; e++)
        ck_assert_str_eq(
            show_json_string(json_array_get(json_object_get(json, "entries"), e), "label"),
            want[e]);
    /* one that is not evaluated has no time either */
    ck_assert_ptr_null(show_json_find(entry_of("plain"), "figures.step_ms.values"));
    alike(show_json_find(entry_of("near"), "figures.step_ms.values"), "[50, 50, 50]");
}
END_TEST

/* ---- options ------------------------------------------------------------------------- */

static const char *method_line(size_t i)
{
    return json_string_value(json_array_get(json_object_get(json, "method"), i));
}

START_TEST(what_was_left_out_is_not_described)
{
    args.no_attack = args.no_corruptions = true;
    args.checkpoint = 1;
    args.eval_limit = 0;
    for (size_t r = 0; r < RUNS; r++) {
        forget(r, APP_MEASURE_ATTACK);
        forget(r, APP_MEASURE_CORRUPT);
    }
    compare.total = 12345;
    document_make();
    null_at(json, "missing");
    null_at(json, "attack");
    null_at(json, "corruptions");
    ck_assert_str_eq(show_json_string(json, "checkpoint"), "best");
    ck_assert_str_eq(
        show_json_string(json, "title"),
        "3 routers with 3 seeds each on vmoe-x (own), 12,345 steps of 8 images");
    alike(json_object_get(json, "attacked"), "[]");
    null_at(json_object_get(json, "best"), "attacked");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "method")), 5);
    ck_assert_str_eq(method_line(1),
                     "Trained for 12,345 steps of 8 images each; evaluated is the best "
                     "checkpoint by accuracy on the same images, which flatters all.");
    ck_assert_int_eq(strncmp(method_line(3), "Routing change: ", 16), 0);
    ck_assert_uint_eq(json_object_size(json_object_get(entry_of("ssr"), "figures")),
                      FIGURES - 2);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "conclusions")), 1);
    alike(json_object_get(json, "parts"), "{`routing`: null}");
}
END_TEST

START_TEST(all_images_are_called_that)
{
    args.eval_limit = 0;
    document_make();
    ck_assert_ptr_nonnull(
        strstr(method_line(3), "at 5 severities on all images, the same"));
    ck_assert_ptr_nonnull(
        strstr(method_line(4), "budgets 1/255,4/255, on all images. One"));
}
END_TEST

/* One seed: the first of ssr, plain and near is the same run three times. */
START_TEST(one_seed_tells_no_difference)
{
    args.seeds = 1;
    for (size_t r = ENTRIES; r < RUNS; r++)
        forget_all(r, APP_RUN_NEW);
    compare.runs = ENTRIES;
    for (size_t e = 0; e < ENTRIES; e++)
        compare.run[e].entry = e;
    document_make();
    ck_assert_str_eq(show_json_string(json, "title"),
                     "3 routers with 1 seed each on vmoe-x (own), 20 steps of 8 images");
    ck_assert_str_eq(show_json_string(json, "conclusions[0]"),
                     "clean top-1, %: one seed tells no difference from chance");
    alike(show_json_find(json, "best.clean"),
          "{`title`: `clean top-1`, `who`: `nobody is told "
          "apart`, `note`: ``}");
}
END_TEST

/* near above all: alone, with its mean and deviation. */
START_TEST(who_leads_alone_is_named_with_a_figure)
{
    for (size_t s = 0; s < SEEDS; s++)
        json_object_set_new(compare.run[6 + s].result[APP_MEASURE_CLEAN], "top1",
                            json_real(.9 + .01 * (double)s));
    document_make();
    alike(show_json_find(json, "best.clean"),
          "{`title`: `clean top-1`, `who`: `near`, `note`: `91.00 \u00b1 1.00 %`}");
}
END_TEST

START_TEST(the_baseline_is_who_is_asked_for)
{
    base_error err = {0};
    size_t at = 9;

    ck_assert_int_eq(app_table_baseline(&at, &compare, NULL), BASE_OK);
    ck_assert_uint_eq(at, 0);
    args.baseline = "near";
    ck_assert_int_eq(app_table_baseline(&at, &compare, NULL), BASE_OK);
    ck_assert_uint_eq(at, 2);
    document_make();
    ck_assert_str_eq(show_json_string(json, "baseline"), "near");
    ck_assert_str_eq(show_json_string(entry_of("near"), "mark"),
                     "baseline, a reconstruction");
    null_at(entry_of("ssr"), "mark");
    ck_assert_str_eq(show_json_string(json, "steps_timed.reference"), "plain");
    args.baseline = "softmax"; /* a router, but no label */
    ck_assert_int_eq(app_table_baseline(&at, &compare, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "--baseline 'softmax' is none of the labels compared");
}
END_TEST

/* mCE and steps are against softmax by its label, else the first with that router, else
 * there is no mCE and steps are against the baseline: without ssr the first. */
START_TEST(softmax_is_found_by_its_router)
{
    train_variant *v = compare.entries.variant;

    snprintf(v[2].router, sizeof v[2].router, "softmax");
    document_make();
    ck_assert_str_eq(show_json_string(json, "mce_baseline"), "plain");
    json_decref(json);
    app_table_destroy(&table);
    snprintf(v[2].label, sizeof v[2].label, "softmax");
    document_make();
    ck_assert_str_eq(show_json_string(json, "mce_baseline"), "softmax");
    json_decref(json);
    app_table_destroy(&table);
    snprintf(v[1].router, sizeof v[1].router, "vmoe");
    snprintf(v[2].router, sizeof v[2].router, "vmoe");
    snprintf(v[0].label, sizeof v[0].label, "first");
    document_make();
    null_at(json, "mce_baseline");
    ck_assert_str_eq(show_json_string(json, "baseline"), "first");
    ck_assert_ptr_null(show_json_find(entry_of("first"), "figures.mce_softmax.values"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_compare_document");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, every_figure_is_that_of_its_run);
    tcase_add_test(core, every_figure_has_its_verdict);
    tcase_add_test(core, all_else_is_told);
    tcase_add_test(core, table_and_page_say_the_same);
    tcase_add_test(core, each_training_is_a_row_of_the_runs);
    tcase_add_test(core, each_router_is_a_row_of_the_summary);
    tcase_add_test(limits, what_is_missing_is_told_and_left_out);
    tcase_add_test(limits, a_timing_may_know_less);
    tcase_add_test(limits, a_corruption_without_all_severities_is_unknown);
    tcase_add_test(limits, before_the_first_training_nothing_is_known);
    tcase_add_test(limits, the_unknown_stand_last);
    tcase_add_test(limits, what_was_left_out_is_not_described);
    tcase_add_test(limits, all_images_are_called_that);
    tcase_add_test(limits, one_seed_tells_no_difference);
    tcase_add_test(limits, who_leads_alone_is_named_with_a_figure);
    tcase_add_test(limits, the_baseline_is_who_is_asked_for);
    tcase_add_test(limits, softmax_is_found_by_its_router);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
