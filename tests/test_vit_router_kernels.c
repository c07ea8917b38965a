/* test_vit_router_kernels.c - the vectorised loops of routing against plain sums and the C
 * library's exp, in the build for any processor and in the one chosen here, at sizes that
 * fill no block. */
#include "tests/test_leaks.h"
#include "tests/test_vit_router.h"
#include "vit/routers/router_kernels_internal.h"

extern const vit_route_kernels vit_route_kernels_base;

enum { ROWS_MOST = 200, EXPERTS_MOST = 40, MOST = ROWS_MOST * EXPERTS_MOST };
static const size_t rows_of[] = {1, 7, 31, 32, 33, 64, 97, ROWS_MOST};
static const size_t experts_of[] = {1, 2, 3, 8, 13, 32, EXPERTS_MOST};
enum {
    ROWS_COUNT = sizeof rows_of / sizeof rows_of[0],
    EXPERTS_COUNT = sizeof experts_of / sizeof experts_of[0]
};
/* A dozen roundings of a double, and sums of 200 numbers. */
static const double close_enough = 1e-14;

static double l[MOST], out[MOST], kernel[MOST], g[EXPERTS_MOST], v[EXPERTS_MOST];
static const vit_route_kernels *k;

static void set_of(int i)
{
    k = i == 0 ? &vit_route_kernels_base : vit_route_kernels_get();
    fill_normal(l, MOST, 4.0, 60);
    fill_normal(g, EXPERTS_MOST, 2.0, 61);
    fill_normal(v, EXPERTS_MOST, 0.5, 62);
    for (size_t e = 0; e < EXPERTS_MOST; e++)
        v[e] = exp(v[e]);
}

static void check_near(double found, double expected, const char *what, size_t i)
{
    ck_assert_msg(fabs(found - expected) <= close_enough * fmax(1.0, fabs(expected)),
                  "%s at %zu: %.17g, expected %.17g", what, i, found, expected);
}

/* exp(l + g - maximum) of row t of a matrix with n columns. */
static void plain_row(double *row, const double *shift, size_t t, size_t n)
{
    double top = -INFINITY;

    for (size_t e = 0; e < n; e++)
        top = fmax(top, l[t * n + e] + (shift ? shift[e] : 0.0));
    for (size_t e = 0; e < n; e++)
        row[e] = exp(l[t * n + e] + (shift ? shift[e] : 0.0) - top);
}

START_TEST(softmax_equals_the_formula)
{
    set_of(_i);
    for (size_t j = 0; j < EXPERTS_COUNT; j++) {
        const size_t n = experts_of[j];
        for (int shifted = 0; shifted < 2; shifted++) {
            memcpy(out, l, sizeof out);
            k->softmax(out, shifted ? l : out, shifted ? g : NULL, 50, n);
            for (size_t t = 0; t < 50; t++) {
                double row[EXPERTS_MOST], sum = 0;
                plain_row(row, shifted ? g : NULL, t, n);
                for (size_t e = 0; e < n; e++)
                    sum += row[e];
                for (size_t e = 0; e < n; e++)
                    check_near(out[t * n + e] / (row[e] / sum), 1.0, "softmax", t);
            }
        }
    }
}
END_TEST

START_TEST(columns_of_the_plan_equal_plain_sums)
{
    set_of(_i);
    for (size_t i = 0; i < ROWS_COUNT; i++) {
        for (size_t j = 0; j < EXPERTS_COUNT; j++) {
            const size_t rows = rows_of[i], n = experts_of[j];
            double expected[EXPERTS_MOST] = {0}, found[EXPERTS_MOST];
            k->plan_kernel(kernel, l, g, rows, n);
            k->plan_columns(found, kernel, v, rows, n);
            for (size_t t = 0; t < rows; t++) {
                double row[EXPERTS_MOST], sum = 0;
                plain_row(row, g, t, n);
                for (size_t e = 0; e < n; e++)
                    sum += row[e] * v[e];
                for (size_t e = 0; e < n; e++)
                    expected[e] += row[e] / sum;
            }
            for (size_t e = 0; e < n; e++)
                check_near(found[e] / expected[e], 1.0, "column", e);
        }
    }
}
END_TEST

START_TEST(chances_and_densities_equal_the_formula)
{
    set_of(_i);
    for (size_t j = 0; j < EXPERTS_COUNT; j++) {
        const size_t n = experts_of[j];
        for (size_t t = 0; t < 50; t++) {
            double sum[EXPERTS_MOST] = {0}, d[EXPERTS_MOST], expected = 0;
            const double tau = v[t % EXPERTS_MOST], sigma = 0.4; /* u to 40 */
            for (size_t e = 0; e < n; e++)
                d[e] = 1.0;
            k->chance_add(sum, l + t * n, tau, 1 / sigma, n);
            const double total = k->density_add(d, g, l + t * n, tau, 1 / sigma, n);
            for (size_t e = 0; e < n; e++) {
                const double u = (l[t * n + e] - tau) / sigma;
                const double chance = 0.5 * erfc(-u / M_SQRT2);
                const double part = g[e] * exp(-0.5 * u * u);
                check_near(sum[e], chance, "chance", e);
                ck_assert_double_le(fabs(sum[e] - chance), 4e-6 * chance);
                check_near(d[e], 1.0 + part, "density", e);
                expected += part;
            }
            check_near(total, expected, "sum", n);
        }
    }
}
END_TEST

START_TEST(chances_without_limits)
{
    const double z[] = {INFINITY, -INFINITY, NAN, 0.0};
    double sum[] = {0, 0, 0, 0}, d[] = {0, 0, 0, 0}, one[] = {1, 1, 1, 1};

    set_of(_i);
    k->chance_add(sum, z, 0.0, 1.0, 4);
    ck_assert_double_eq(sum[0], 1.0);
    ck_assert_double_lt(sum[1], 1e-290);
    ck_assert(isnan(sum[2]));
    check_near(sum[3], 0.5, "chance", 3);
    ck_assert(isnan(k->density_add(d, one, z, 0.0, 1.0, 4)));
    ck_assert_double_eq(d[0], 0.0);
    ck_assert_double_eq(d[1], 0.0);
    ck_assert(isnan(d[2]));
    check_near(d[3], 1.0, "density", 3);
}
END_TEST

START_TEST(what_is_far_below_the_maximum_is_zero)
{
    set_of(_i);
    memset(l, 0, sizeof l);
    l[1] = -707.9;
    l[2] = -708.1;
    l[3] = -INFINITY;
    l[4] = -1e300;
    k->softmax(out, l, NULL, 1, 9);
    check_near(out[0], 1.0 / 5, "softmax", 0);
    ck_assert_double_gt(out[1], 0.0);
    check_near(out[1] / (exp(-707.9) / 5), 1.0, "softmax", 1);
    for (size_t e = 2; e < 5; e++)
        ck_assert_double_eq(out[e], 0.0);
}
END_TEST

START_TEST(nan_and_infinity_fill_their_row_and_column_sums)
{
    const double bad[] = {NAN, INFINITY};

    for (size_t b = 0; b < 2; b++) {
        for (size_t rows = 32; rows <= 33; rows++) { /* in a block, and behind it */
            double column[5];
            set_of(_i);
            l[(rows - 1) * 5 + 2] = bad[b];
            k->softmax(out, l, NULL, rows, 5);
            ck_assert(isfinite(out[(rows - 2) * 5]));
            for (size_t e = 0; e < 5; e++)
                ck_assert(isnan(out[(rows - 1) * 5 + e]));
            k->plan_kernel(kernel, l, g, rows, 5);
            k->plan_columns(column, kernel, v, rows, 5);
            for (size_t e = 0; e < 5; e++)
                ck_assert(isnan(column[e]));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_kernels");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_loop_test(core, softmax_equals_the_formula, 0, 2);
    tcase_add_loop_test(core, columns_of_the_plan_equal_plain_sums, 0, 2);
    tcase_add_loop_test(core, chances_and_densities_equal_the_formula, 0, 2);
    tcase_add_loop_test(limits, chances_without_limits, 0, 2);
    tcase_add_loop_test(limits, what_is_far_below_the_maximum_is_zero, 0, 2);
    tcase_add_loop_test(limits, nan_and_infinity_fill_their_row_and_column_sums, 0, 2);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
