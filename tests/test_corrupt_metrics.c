/* test_corrupt_metrics.c - CE, mCE and their relative forms, worked by hand; AlexNet's
 * errors. */
#include "corrupt/corrupt.h"

#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

#define NEAR 1e-12 /* sums of 75 numbers of f64 */

static corrupt_errors nothing_measured(void)
{
    corrupt_errors errors = {.clean = (double)NAN};

    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++)
            errors.error[kind][s] = (double)NAN;
    }
    return errors;
}

/* Every error is AlexNet's times factor plus more. */
static corrupt_errors like_alexnet(double factor, double more)
{
    corrupt_errors errors = nothing_measured();

    errors.clean = CORRUPT_ALEXNET_CLEAN * factor + more;
    for (int kind = 0; kind < CORRUPT_BENCH_COUNT; kind++) {
        for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++)
            errors.error[kind][s] =
                factor * corrupt_alexnet_error((corrupt_kind)kind, s + 1) + more;
    }
    return errors;
}

/* The published table; its last column, which most tools hard-code. */
START_TEST(alexnet_errors_are_the_published_ones)
{
    static const double mean[CORRUPT_BENCH_COUNT] = {
        .886428, .894468, .922640, .819880, .826268, .785948, .798360, .866816,
        .826572, .819324, .564592, .853204, .646056, .717840, .606500};
    static const int each[CORRUPT_BENCH_COUNT][CORRUPT_SEVERITY_MAX] = {
        {69528, 82542, 93554, 98138, 99452}, {71224, 85108, 93574, 98182, 99146},
        {78374, 89808, 94870, 98720, 99548}, {65624, 73202, 85036, 91364, 94714},
        {64308, 75054, 88806, 91622, 93344}, {58430, 70048, 82108, 89750, 92638},
        {70008, 76992, 80784, 84198, 87198}, {71726, 88392, 86468, 91870, 94952},
        {61390, 79734, 88790, 89942, 93430}, {67474, 76050, 84378, 87260, 94500},
        {45140, 48502, 54048, 62166, 72440}, {64548, 76150, 88874, 97760, 99270},
        {52596, 70116, 55686, 64076, 80554}, {52218, 54620, 73728, 87092, 91262},
        {51002, 54718, 57294, 65458, 74778}};

    ck_assert_double_eq(CORRUPT_ALEXNET_CLEAN, .4348);
    for (int kind = 0; kind < CORRUPT_BENCH_COUNT; kind++) {
        double sum = 0.0;
        for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
            sum += corrupt_alexnet_error((corrupt_kind)kind, s);
        ck_assert_double_eq_tol(sum / 5.0, mean[kind], 1e-9);
        for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
            ck_assert_double_eq_tol(corrupt_alexnet_error((corrupt_kind)kind, s),
                                    each[kind][s - 1] / 1e5, 1e-9);
    }
    for (int kind = CORRUPT_BENCH_COUNT; kind < CORRUPT_KIND_COUNT; kind++)
        ck_assert_double_nan(corrupt_alexnet_error((corrupt_kind)kind, 1));
}
END_TEST

/* Fog: (.2 + .25 + .3 + .35 + .4) / (.67474 + .7605 + .84378 + .8726 + .945) = 1.5 /
 * 4.09662 = .366155513...; above clean .1 the numerator is 1.0, AlexNet's above .4348 is
 * 4.09662 - 2.174. */
START_TEST(ce_is_the_quotient_of_two_sums)
{
    corrupt_errors errors = nothing_measured();

    errors.clean = 0.1;
    for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++)
        errors.error[CORRUPT_KIND_FOG][s] = 0.2 + 0.05 * s;
    ck_assert_double_eq_tol(corrupt_ce(&errors, CORRUPT_KIND_FOG), 1.5 / 4.09662, NEAR);
    ck_assert_double_eq_tol(
        corrupt_relative_ce(&errors, CORRUPT_KIND_FOG, CORRUPT_ALEXNET_CLEAN),
        1.0 / 1.92262, NEAR);
    ck_assert_double_eq_tol(corrupt_mean_error(&errors, CORRUPT_KIND_FOG), 0.3, NEAR);
    ck_assert_double_nan(corrupt_mce(&errors));
}
END_TEST

START_TEST(alexnet_itself_has_one)
{
    const corrupt_errors errors = like_alexnet(1.0, 0.0);

    ck_assert_double_eq_tol(corrupt_mce(&errors), 1.0, NEAR);
    ck_assert_double_eq_tol(corrupt_relative_mce(&errors, CORRUPT_ALEXNET_CLEAN), 1.0,
                            NEAR);
    /* the mean of the fifteen means above is .789 to three digits */
    ck_assert_double_eq_tol(corrupt_bench_error(&errors), 11.834896 / 15.0, NEAR);
}
END_TEST

START_TEST(relative_errors_ignore_what_clean_images_cost)
{
    const corrupt_errors errors = like_alexnet(0.5, 0.125);

    ck_assert_double_eq_tol(corrupt_relative_mce(&errors, CORRUPT_ALEXNET_CLEAN), 0.5,
                            NEAR);
    ck_assert_double_gt(corrupt_mce(&errors), 0.5);
}
END_TEST

START_TEST(what_was_not_measured_is_not_guessed)
{
    corrupt_errors errors = like_alexnet(1.0, 0.0);

    errors.error[CORRUPT_KIND_SNOW][4] = (double)NAN;
    ck_assert_double_nan(corrupt_ce(&errors, CORRUPT_KIND_SNOW));
    ck_assert_double_nan(corrupt_mce(&errors));
    ck_assert_double_nan(corrupt_relative_mce(&errors, CORRUPT_ALEXNET_CLEAN));
    ck_assert_double_eq_tol(corrupt_mean_error(&errors, CORRUPT_KIND_SNOW),
                            (.71726 + .88392 + .86468 + .91870) / 4.0, NEAR);
    ck_assert_double_nan(corrupt_mean_error(&errors, CORRUPT_KIND_SPATTER));
    ck_assert_double_nan(corrupt_ce(&errors, CORRUPT_KIND_SPATTER));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt metrics");
    TCase *core = test_case("Core");
    tcase_add_test(core, alexnet_errors_are_the_published_ones);
    tcase_add_test(core, ce_is_the_quotient_of_two_sums);
    tcase_add_test(core, alexnet_itself_has_one);
    tcase_add_test(core, relative_errors_ignore_what_clean_images_cost);
    suite_add_tcase(suite, core);
    TCase *limits = test_case("Limits");
    tcase_add_test(limits, what_was_not_measured_is_not_guessed);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
