/* test_measure_differences.c - means over seeds, differences and their tests, detection. */
#include <math.h>
#include <string.h>

#include "measure/measure.h"
#include "tests/test_run.h"

static const double exact = 1e-12; /* of sums */

START_TEST(mean_and_spread_of_three_seeds)
{
    /* 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, over n - 1 = 2: 7 */
    const double values[] = {1, 2, 6}, holes[] = {NAN, 5, NAN};
    measure_mean s = measure_mean_of(values, 3);

    ck_assert_uint_eq(s.count, 3);
    ck_assert_double_eq_tol(s.mean, 3, exact);
    ck_assert_double_eq_tol(s.std, sqrt(7), exact);
    const double equal[] = {0.1, 0.1, 0.1}; /* their sum / 3 is not 0.1 */
    s = measure_mean_of(equal, 3);
    ck_assert_double_eq(s.mean, 0.1);
    ck_assert_double_eq(s.std, 0);
    s = measure_mean_of(holes, 3);
    ck_assert_uint_eq(s.count, 1);
    ck_assert_double_eq(s.mean, 5);
    ck_assert(isnan(s.std));
    s = measure_mean_of(holes, 1);
    ck_assert_uint_eq(s.count, 0);
    ck_assert(isnan(s.mean));
}
END_TEST

START_TEST(a_difference_is_told_by_seed_and_in_spreads)
{
    /* Differences 1, 2, 6: mean 3, standard deviation sqrt(7); limit 4.3027 / sqrt(3). */
    const double a[] = {11, 22, 36}, b[] = {10, 20, 30}, near[] = {10.9, 21, 31.1};
    const double one[] = {NAN, 22, NAN}, none[] = {NAN, NAN, NAN};
    measure_difference d = measure_difference_of(a, b, 3);

    ck_assert_uint_eq(d.count, 3);
    ck_assert_double_eq_tol(d.points, 3, exact);
    ck_assert_double_eq_tol(d.spread, sqrt(7), exact);
    ck_assert_double_eq_tol(d.spreads, 3 / sqrt(7), exact);
    ck_assert_double_eq_tol(d.limit, 4.3027 / sqrt(3), 1e-4);
    ck_assert(!d.clear);
    /* 0.9, 1, 1.1: ten spreads, whatever the seeds themselves spread. */
    d = measure_difference_of(b, near, 3);
    ck_assert_double_eq_tol(d.spreads, -10, 1e-9);
    ck_assert(d.clear);
    d = measure_difference_of(one, b, 3); /* one seed: a difference, no spread */
    ck_assert_uint_eq(d.count, 1);
    ck_assert_double_eq(d.points, 2);
    ck_assert(isnan(d.spread) && !d.clear);
    ck_assert(isnan(measure_difference_of(a, none, 3).points));
    const double on[] = {13, 23, 33}; /* by 3 from b, each time: no spread */
    d = measure_difference_of(on, b, 3);
    ck_assert_double_eq(d.points, 3);
    ck_assert_double_eq(d.spread, 0);
    ck_assert(isnan(d.spreads) && !d.clear);
    ck_assert_str_eq(measure_difference_word(&d, -1), "worse");
    d = measure_difference_of(a, b, 2); /* two seeds have a word, one has none */
    ck_assert_str_eq(measure_difference_word(&d, 1), "not to be told apart");
    d = measure_difference_of(a, b, 1);
    ck_assert_ptr_null(measure_difference_word(&d, 1));
    d = measure_difference_of(a, a, 3); /* itself */
    ck_assert_double_eq(d.points, 0);
    ck_assert(isnan(d.spreads) && !d.clear);
}
END_TEST

/* Four rows of three seeds in the second of two columns: the last but one is worse than the
 * first by 1, 2, 1.5, the second by nothing that the seeds tell; the last is unknown. */
START_TEST(leaders_are_those_that_the_test_leaves)
{
    double v[2 * 12] = {0};
    static const double rows[12] = {10, 20, 30, 10.5, 19, 29, 9, 18.0, 28.5, NAN, NAN, NAN};
    bool lead[4];
    double low, high;

    for (size_t i = 0; i < 12; i++)
        v[2 * i + 1] = rows[i];
    ck_assert_uint_eq(measure_leaders(lead, v + 1, 2, 4, 3, 1), 2);
    ck_assert(lead[0] && lead[1] && !lead[2] && !lead[3]);
    ck_assert_uint_eq(measure_leaders(lead, v + 1, 2, 4, 3, -1), 2);
    ck_assert(!lead[0] && lead[1] && lead[2]);
    ck_assert_uint_eq(measure_leaders(lead, v + 1, 2, 2, 3, 1), 0); /* nobody is worse */
    ck_assert_uint_eq(measure_leaders(lead, v + 1, 2, 4, 1, 1), 0); /* one seed */
    measure_difference d = measure_difference_of(rows, rows + 6, 3);
    ck_assert_str_eq(measure_difference_word(&d, 1), "better");
    ck_assert_str_eq(measure_difference_word(&d, -1), "worse");
    ck_assert_str_eq(measure_difference_word(&d, 0), "more");
    measure_difference_interval(&low, &high, &d); /* 1.5 -+ 4.3027 * 0.5 / sqrt(3) */
    ck_assert_double_eq_tol(low, 1.5 - 1.2421, 1e-4);
    ck_assert_double_eq_tol(high, 1.5 + 1.2421, 1e-4);
    d = measure_difference_of(rows, rows + 3, 3);
    ck_assert_str_eq(measure_difference_word(&d, 1), "not to be told apart");
    d = measure_difference_of(rows, rows + 9, 3);
    ck_assert_ptr_null(measure_difference_word(&d, 1));
    d = (measure_difference){.count = 3, .points = -2}; /* without any spread */
    ck_assert_str_eq(measure_difference_word(&d, 0), "less");
    measure_difference_interval(&low, &high, &d);
    ck_assert_double_eq(low, -2);
    ck_assert_double_eq(high, -2);
}
END_TEST

START_TEST(t_limits_are_those_of_the_tables)
{
    ck_assert_double_eq_tol(measure_t_limit(1), 12.7062, 1e-4);
    ck_assert_double_eq_tol(measure_t_limit(4), 2.7764, 1e-4);
    ck_assert_double_eq_tol(measure_t_limit(30), 2.0423, 1e-4);
    ck_assert_double_eq_tol(measure_t_limit(31), 2.0395,
                            1e-4); /* scipy.stats.t.ppf(.975, 31) */
    ck_assert_double_eq_tol(measure_t_limit(60), 2.0003, 1e-4);
    ck_assert_double_eq_tol(measure_t_limit(1000), 1.9623, 1e-4);
    ck_assert(isinf(measure_t_limit(0)));
}
END_TEST

/* The density of Student's t from 0 on (Simpson's rule) up to the limit: 47.5 %. The table
 * has four decimals. */
START_TEST(t_limits_leave_five_percent)
{
    enum { PARTS = 20000 };

    for (size_t df = 1; df <= 60; df++) {
        const double n = (double)df, h = measure_t_limit(df) / PARTS;
        const double scale =
            exp(lgamma((n + 1) / 2) - lgamma(n / 2)) / sqrt(n * 3.14159265358979);
        double sum = 0;

        for (int i = 0; i <= PARTS; i++)
            sum += (i == 0 || i == PARTS ? 1
                    : i % 2              ? 4
                                         : 2) *
                   pow(1 + i * h * (i * h) / n, -(n + 1) / 2);
        ck_assert_msg(fabs(sum * h / 3 * scale - 0.475) < 6e-6, "%zu: %.8f", df,
                      sum * h / 3 * scale);
        ck_assert_double_lt(measure_t_limit(df + 1), measure_t_limit(df));
    }
}
END_TEST

/* C(n, i) / 2^n summed up to the smaller count, twice. */
START_TEST(the_exact_test_is_that_of_the_binomial)
{
    ck_assert_double_eq(measure_exact_test(0, 0), 1);
    ck_assert_double_eq(measure_exact_test(5, 5), 1);
    ck_assert_double_eq_tol(measure_exact_test(0, 10), 2.0 / 1024, 1e-12);
    ck_assert_double_eq_tol(measure_exact_test(9, 1), 2.0 * 11 / 1024, 1e-12);
    ck_assert_double_eq_tol(measure_exact_test(3, 9), 2.0 * (1 + 12 + 66 + 220) / 4096,
                            1e-12);
    ck_assert_double_lt(measure_exact_test(100, 300), 1e-20);
}
END_TEST

static void check_detection(double *positive, size_t p, double *negative, size_t n,
                            double aupr, double auroc, double fpr95)
{
    const measure_detection d = measure_detection_of(positive, p, negative, n);

    ck_assert_double_eq_tol(d.aupr, aupr, 1e-12);
    ck_assert_double_eq_tol(d.auroc, auroc, 1e-12);
    ck_assert_double_eq_tol(d.fpr95, fpr95, 1e-12);
}

/* Reference values: scikit-learn 1.9 (average_precision_score, roc_auc_score) and the
 * fpr_and_fdr_at_recall of the authors of ImageNet-O. */
START_TEST(detection_is_measured_as_scikit_learn_does)
{
    double p[64], n[80];

    check_detection((double[]){3, 1, 2}, 3, (double[]){2, 0, 4}, 3, 0.533333333333333, 0.5,
                    0.666666666666667);
    for (int i = 0; i < 40; i++)
        p[i] = ((i * 7) % 23) / 8.0;
    for (int i = 0; i < 60; i++)
        n[i] = ((i * 5 + 3) % 19) / 8.0;
    check_detection(p, 40, n, 60, 0.576487512100795, 0.594166666666667, 0.95);
    for (int i = 0; i < 50; i++)
        p[i] = i * i % 97;
    for (int i = 0; i < 70; i++)
        n[i] = i * i % 89 - 20;
    check_detection(p, 50, n, 70, 0.689025251042803, 0.696142857142857, 0.714285714285714);
    check_detection((double[]){2, 2}, 2, (double[]){1}, 1, 1, 1, 0);
    check_detection((double[]){1}, 1, (double[]){1, 1}, 2, 1.0 / 3, 0.5, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_differences");
    TCase *core = tcase_create("Core");

    tcase_add_test(core, mean_and_spread_of_three_seeds);
    tcase_add_test(core, a_difference_is_told_by_seed_and_in_spreads);
    tcase_add_test(core, leaders_are_those_that_the_test_leaves);
    tcase_add_test(core, t_limits_are_those_of_the_tables);
    tcase_add_test(core, t_limits_leave_five_percent);
    tcase_add_test(core, the_exact_test_is_that_of_the_binomial);
    tcase_add_test(core, detection_is_measured_as_scikit_learn_does);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
