/* test_app_compare_table.c - what vmoe compare measures and writes: columns of the CSV
 * files, what is kept and what is measured again. */
#include "apps/compare/table_internal.h"
#include "tests/test_run.h"
#include "tests/test_train.h"

/* Sums of a handful of numbers near 1, in double. */
#define CLOSE 1e-12

#define COMPARE                                                                            \
    "compare", "--data", data, "--val", data, "--recipe", recipe, "--threads", "1",        \
        "--rounds", "3", "--eval-limit", "6", "--steps", "2", "--set", "train.epochs=1",   \
        "optimizer.lr=0", "optimizer.ema=0", "data.image=16", "--out"

/* ---- files --------------------------------------------------------------------------- */

/* Field `column` of row `row` of a CSV without quotes, base_free. */
static char *csv_field(const char *text, size_t row, size_t column)
{
    for (; row > 0; row--) {
        text = strchr(text, '\n');
        ck_assert_ptr_nonnull(text);
        text++;
    }
    for (; column > 0; column--) {
        text += strcspn(text, ",\n");
        ck_assert_int_eq(*text, ',');
        text++;
    }
    return base_text("%.*s", (int)strcspn(text, ",\n"), text);
}

static size_t csv_column(const char *text, const char *name)
{
    for (size_t i = 0;; i++) {
        char *field = csv_field(text, 0, i);
        const bool found = strcmp(field, name) == 0;
        base_free(field);
        if (found)
            return i;
    }
}

static double csv_number(const char *text, size_t row, const char *name)
{
    char *field = csv_field(text, row, csv_column(text, name));
    double value = (double)NAN;

    base_parse_real(&value, field);
    base_free(field);
    return value;
}

static char *out_text(const char *out, const char *name)
{
    char *path = test_path(out, name), *text = program_text(path);

    base_free(path);
    return text;
}

/* Three entries with four seeds on one figure: the paired differences from the first are -1
 * +- 0.1, in all seeds nearly the same though the seeds themselves spread widely, and 0.05
 * +- 0.24. */
START_TEST(nobody_is_crowned_whom_the_seeds_do_not_tell_apart)
{
    static const double values[12] = {10, 14, 12,   16,   9.1,  12.9,
                                      11, 15, 10.3, 13.9, 12.2, 15.8};
    app_compare_args args = {.seeds = 4};
    app_compare compare = {.args = &args, .entries = {.count = 3}, .runs = 12};
    app_figure *f = NULL;
    double value[12], low, high;
    measure_mean spread[3];
    size_t order[3] = {2, 0, 1};
    app_table t = {.compare = &compare,
                   .figures = 1,
                   .value = value,
                   .spread = spread,
                   .order = order};
    bool lead[TRAIN_VARIANTS_MAX];

    f = &t.figure[0];
    *f = (app_figure){"top", "top", 1, 1, 2};
    memcpy(value, values, sizeof value);
    for (size_t e = 0; e < 3; e++) {
        snprintf(compare.entries.variant[e].label, TRAIN_LABEL_BYTES, "%c", 'a' + (char)e);
        spread[e] = measure_mean_of(values + 4 * e, 4);
    }
    ck_assert_uint_eq(app_table_leaders(lead, &t, 0), 2);
    ck_assert(lead[0] && !lead[1] && lead[2]);
    measure_difference d = app_table_difference(&t, 0, 1, 0);
    ck_assert_str_eq(app_verdict_word(&d, f), "better");
    app_verdict_interval(&low, &high, &d, f); /* 1 -+ 3.1824 * 0.0816 / 2 */
    ck_assert_double_eq_tol(low, 1 - 0.1299, 1e-3);
    ck_assert_double_eq_tol(high, 1 + 0.1299, 1e-3);
    d = app_table_difference(&t, 0, 2, 0);
    ck_assert_str_eq(app_verdict_word(&d, f), "not to be told apart");
    ck_assert_str_eq(app_verdict_text(&t, 0),
                     "a is better than b (+1.00, +0.87 to +1.13); not to be told apart "
                     "from c (-0.05, -0.43 to +0.33)");
    json_t *json = app_verdicts_json(&t);
    const json_t *one = json_array_get(json, 0);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one, "leaders"), 0)),
                     "c");
    ck_assert_uint_eq(json_array_size(json_object_get(one, "leaders")), 2);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one, "better"), 0)),
                     "b");
    json_decref(json);
    f->better = -1; /* the other way round: less is better */
    ck_assert_uint_eq(app_table_leaders(lead, &t, 0), 1);
    ck_assert(lead[1]);
    f->once = true; /* a step that was timed once, whatever the seeds */
    ck_assert_uint_eq(app_table_leaders(lead, &t, 0), 0);
    ck_assert_str_eq(app_verdict_word(&d, f), "one measurement");
    app_verdict_interval(&low, &high, &d, f);
    ck_assert(isnan(low) && isnan(high));
    ck_assert_str_eq(app_verdict_text(&t, 0),
                     "one measurement for all seeds tells no difference from chance");
    f->once = false;
    args.seeds = 1; /* one seed tells nothing */
    for (size_t e = 0; e < 3; e++)
        spread[e] = measure_mean_of(values + 4 * e, 1);
    ck_assert_uint_eq(app_table_leaders(lead, &t, 0), 0);
    d = app_table_difference(&t, 0, 1, 0);
    ck_assert_ptr_null(app_verdict_word(&d, f));
}
END_TEST

START_TEST(the_csv_files_agree_with_one_another)
{
    static const char *const names[] = {"top1",
                                        "loss",
                                        "corrupted_error",
                                        "mce_softmax",
                                        "robust_2/255",
                                        "load_cv",
                                        "routing_change_corrupted",
                                        "routing_change_attacked",
                                        "train_load_cv",
                                        "parameters",
                                        "flops"};
    char *out = test_path(dir, "cmp");

    /* of the last entry two networks are timed: Sinkhorn never and always */
    program_done(program_run(dir, COMPARE, out, "--routers", "softmax,ssr=ssr:p=0.5",
                             "--seeds", "2", NULL));
    char *runs = out_text(out, "runs.csv"), *summary = out_text(out, "summary.csv");
    char *label = csv_field(summary, 1, 0);
    const size_t first = strcmp(label, "ssr") == 0 ? 3 : 1; /* rows of the best entry */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *mean = base_text("%s_mean", names[i]), *std = base_text("%s_std", names[i]);
        const double a = csv_number(runs, first, names[i]),
                     b = csv_number(runs, first + 1, names[i]);
        ck_assert_msg(isfinite(a) && isfinite(b), "%s is not known", names[i]);
        ck_assert_double_eq_tol(csv_number(summary, 1, mean), (a + b) / 2,
                                1e-6 * (fabs(a) + 1));
        ck_assert_double_eq_tol(csv_number(summary, 1, std), fabs(a - b) / sqrt(2),
                                1e-6 * (fabs(a) + 1));
        base_free(mean);
        base_free(std);
    }
    /* softmax against itself, and the steps, which are timed once a router */
    for (size_t r = 1; r <= 2; r++)
        ck_assert_double_eq_tol(csv_number(runs, r, "mce_softmax"), 1, CLOSE);
    ck_assert_double_gt(csv_number(runs, 3, "step_ms"), 0);
    ck_assert_double_eq(csv_number(runs, 3, "step_ms"), csv_number(runs, 4, "step_ms"));
    ck_assert_double_eq(csv_number(runs, 1, "step_ratio"), 1);
    char *path = test_path(out, "timing.json");
    json_t *timing = program_json(path), *ms;
    const json_t *ssr = show_json_find(timing, "entries.ssr");
    size_t round;
    ck_assert_double_eq_tol(json_number_of(ssr, "p"), 0.5, CLOSE);
    json_array_foreach(json_object_get(ssr, "sinkhorn_rounds_ms"), round, ms)
    {
        ck_assert_double_gt(json_number_value(ms), 0);
    }
    ck_assert_uint_eq(round, 3);
    json_decref(timing);
    base_free(path);
    char *status = csv_field(runs, 1, csv_column(runs, "status"));
    ck_assert_str_eq(status, "finished");
    base_free(status);
    base_free(label);
    base_free(runs);
    base_free(summary);
    base_free(out);
}
END_TEST

/* What a page shows of two routers, ssr the baseline and a reconstruction of similarity. */
static void document_check(const json_t *json)
{
    static const struct {
        const char *list;
        size_t count;
    } counts[] = {{"attacked", 2},
                  {"attacked[0].rows", 2},
                  {"attack.budgets", 2},
                  {"corrupted", 2},
                  {"corrupted[1].errors", 15},
                  {"corruption_names", 15},
                  {"entries[0].robust", 2},
                  {"entries[0].figures.top1.values", 2},
                  {"entries[1].runs[1].robust", 2},
                  {"steps_timed.rows", 2},
                  {"conclusions", 4}};
    size_t baselines = 0;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const size_t count = json_array_size(show_json_find(json, counts[i].list));
        ck_assert_msg(count == counts[i].count, "%s has %zu", counts[i].list, count);
    }
    for (size_t e = 0; e < 2; e++) {
        const json_t *entry = json_array_get(json_object_get(json, "entries"), e);
        const bool base = json_is_true(json_object_get(entry, "is_baseline"));
        ck_assert_str_eq(show_json_string(entry, "mark"),
                         base ? "baseline" : "a reconstruction");
        ck_assert_double_eq(show_json_number(entry, "place"), base ? 0 : 1);
        ck_assert(
            json_equal(show_json_find(entry, "robust[1]"),
                       json_object_get(json_object_get(entry, "figures"), "robust_2/255")));
        /* optimizer.lr is 0: nothing tells anybody apart */
        ck_assert(json_is_false(show_json_find(entry, "figures.top1.lead")));
        baselines += base;
    }
    ck_assert_uint_eq(baselines, 1);
    ck_assert_str_eq(show_json_string(json, "best.attacked.title"), "PGD 2/255");
    ck_assert_ptr_null(show_json_find(json, "missing"));
    ck_assert(json_is_true(show_json_find(json, "parts.routing")));
    ck_assert_ptr_nonnull(strstr(show_json_string(json, "corruptions.text"), "; frost "));
}

START_TEST(the_page_stands_alone_and_names_all)
{
    static const char *const words[] = {
        "Routers compared",    "2 routers with 2 seeds each", "Against ssr",
        ">baseline<",          "a reconstruction of arXiv",   "Corruption by corruption",
        "A training step",     "Load of the experts",         "training loss",
        "vmoe compare --data "};
    char *out = test_path(dir, "cmp");

    program_result r = program_run(dir, COMPARE, out, "--routers", "ssr,near=similarity",
                                   "--seeds", "2", "--json", "-", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    json_t *json = json_loads(r.out, 0, NULL), *entry;
    size_t i;
    ck_assert_msg(json != NULL, "%s", r.out);
    ck_assert_str_eq(json_string_value(json_object_get(json, "baseline")), "ssr");
    json_array_foreach(json_object_get(json, "entries"), i, entry)
    {
        ck_assert_uint_eq(json_array_size(json_object_get(entry, "runs")), 2);
        ck_assert_uint_gt(json_array_size(json_object_get(entry, "evaluations")), 0);
    }
    ck_assert_uint_eq(i, 2);
    document_check(json);
    json_decref(json);
    char *page = out_text(out, "compare.html");
    for (i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_msg(strstr(page, words[i]) != NULL, "'%s' is not on the page", words[i]);
    ck_assert_ptr_null(strstr(page, "http"));
    ck_assert_ptr_null(strstr(page, "nan"));
    /* Its runs are runs like others to vmoe report. */
    char *first = test_path(out, "runs/ssr/seed-1"),
         *second = test_path(out, "runs/near/seed-2");
    char *both = test_path(dir, "both.html");
    program_done(program_run(dir, "report", first, second, "--out", both, NULL));
    char *text = program_text(both);
    ck_assert_ptr_nonnull(strstr(text, ">ssr/seed-1<"));
    ck_assert_ptr_nonnull(strstr(text, ">near/seed-2<"));
    base_free(text);
    base_free(both);
    base_free(second);
    base_free(first);
    base_free(page);
    program_result_free(&r);
    base_free(out);
}
END_TEST

static struct timespec changed(const char *out, const char *name)
{
    char *path = test_path(out, name);
    struct stat info;

    ck_assert_msg(stat(path, &info) == 0, "%s is missing", path);
    base_free(path);
    return info.st_mtim;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

START_TEST(only_what_changed_is_measured_again)
{
    static const char *const files[] = {"runs/softmax/seed-1/eval.json",
                                        "runs/softmax/seed-1/corrupt.json",
                                        "runs/softmax/seed-1/attack.json", "timing.json"};
    char *out = test_path(dir, "cmp");
    struct timespec before[4];

    program_done(
        program_run(dir, COMPARE, out, "--routers", "softmax", "--seeds", "1", NULL));
    for (size_t i = 0; i < 4; i++)
        before[i] = changed(out, files[i]);
    char *first = out_text(out, "summary.csv");
    program_done(
        program_run(dir, COMPARE, out, "--routers", "softmax", "--seeds", "1", NULL));
    for (size_t i = 0; i < 4; i++)
        ck_assert_msg(same_time(before[i], changed(out, files[i])), "%s", files[i]);
    char *second = out_text(out, "summary.csv");
    ck_assert_str_eq(first, second);
    program_done(program_run(dir, COMPARE, out, "--routers", "softmax", "--seeds", "1",
                             "--eps", "4/255", "--no-timing", NULL));
    for (size_t i = 0; i < 4; i++)
        ck_assert_msg(same_time(before[i], changed(out, files[i])) == (i != 2), "%s",
                      files[i]);
    base_free(first);
    base_free(second);
    base_free(out);
}
END_TEST

START_TEST(a_failed_training_stands_in_the_table)
{
    char *out = test_path(dir, "cmp"), *block;

    block = test_path(out, "runs/ssr/seed-1/metrics.jsonl");
    ck_assert_int_eq(base_folder_make(block, NULL), BASE_OK);
    program_result r =
        program_run(dir, COMPARE, out, "--routers", "ssr,softmax", "--seeds", "1", NULL);
    ck_assert_int_eq(r.code, 1);
    program_result_free(&r);
    char *path = test_path(out, "compare.json");
    json_t *json = program_json(path);
    ck_assert_str_eq(show_json_string(json, "missing.text"),
                     "1 of 2 runs are not in all of these figures");
    ck_assert_int_eq(strncmp(show_json_string(json, "missing.facts[0]"),
                             "ssr seed 1 failed: cannot write '", 33),
                     0);
    json_decref(json);
    base_free(path);
    char *runs = out_text(out, "runs.csv");
    char *status = csv_field(runs, 1, csv_column(runs, "status"));
    ck_assert_str_eq(status, "failed");
    ck_assert(isnan(csv_number(runs, 1, "top1")));
    ck_assert(isfinite(csv_number(runs, 2, "top1")));
    base_free(status);
    base_free(runs);
    base_free(block);
    base_free(out);
}
END_TEST

START_TEST(what_cannot_be_measured_is_refused_at_once)
{
    char *out = test_path(dir, "cmp");

    program_refused(program_run(dir, COMPARE, out, "--routers", "ssr", "--eps", "8", NULL),
                    2, "'8'");
    program_refused(
        program_run(dir, COMPARE, out, "--routers", "ssr", "--baseline", "softmax", NULL),
        2, "--baseline 'softmax' is none of the labels compared");
    program_refused(program_run(dir, COMPARE, out, "--routers", "ssr", "--set",
                                "optimizer.ema=0.9", NULL),
                    2, "only best/ holds");
    ck_assert(!test_exists(out));
    base_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_compare_table");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 240);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, nobody_is_crowned_whom_the_seeds_do_not_tell_apart);
    tcase_add_test(core, the_csv_files_agree_with_one_another);
    tcase_add_test(core, the_page_stands_alone_and_names_all);
    tcase_add_test(core, only_what_changed_is_measured_again);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 240);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, a_failed_training_stands_in_the_table);
    tcase_add_test(limits, what_cannot_be_measured_is_refused_at_once);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
