/* test_app_compare_document.c - what the document of vmoe compare says of results that are
 * known: every figure of every run, means, differences and verdicts against sums of the
 * test's own, and all else. */
#include "tests/test_compare_document.h"
#include "tests/test_run.h"
#include "tests/test_words.h"

/* Student's t at 97.5 %, 2 and 1 degrees of freedom. */
static const double student[] = {0, 0, 12.7062, 4.3027};

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

int main(void)
{
    Suite *suite = suite_create("app_compare_document");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, every_figure_is_that_of_its_run);
    tcase_add_test(core, every_figure_has_its_verdict);
    tcase_add_test(core, all_else_is_told);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
