/* test_app_compare_unknown.c - what vmoe compare says where results are missing, and under
 * options that leave some out. */
#include "tests/test_compare_document.h"
#include "tests/test_run.h"

/* ---- what is missing ----------------------------------------------------------------- */

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
    Suite *suite = suite_create("app_compare_unknown");
    TCase *limits = tcase_create("Limits");

    tcase_add_checked_fixture(limits, setup, teardown);
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
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
