/* test_base_exact.c - sums that no order changes, against integers and by hand. */
#include "base/base.h"

#include <math.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

static double sum_of(const double *x, size_t count)
{
    base_exact sum = {{0}, 0};

    for (size_t i = 0; i < count; i++)
        base_exact_add(&sum, x[i]);
    return base_exact_value(&sum);
}

START_TEST(small_sums_are_those_worked_by_hand)
{
    ck_assert_double_eq(sum_of(NULL, 0), 0);
    ck_assert_double_eq(sum_of((double[]){0.0, -0.0}, 2), 0);
    ck_assert_double_eq(sum_of((double[]){1.5, 2.25, -0.75}, 3), 3);
    ck_assert_double_eq(sum_of((double[]){1e16, 1, -1e16}, 3), 1); /* doubles give 0 */
    ck_assert_double_eq(sum_of((double[]){-1e16, -1, 1e16}, 3), -1);
    ck_assert_double_eq(sum_of((double[]){0.1}, 1), 0.1);
    ck_assert_double_eq(sum_of((double[]){-0x1p62, 0x1p62, -0x1p-96}, 3), -0x1p-96);
    ck_assert_double_eq(sum_of((double[]){0x1p62, 0x1p62, 0x1p62}, 3), 0x1.8p63);
}
END_TEST

START_TEST(values_round_to_nearest_and_ties_to_even)
{
    ck_assert_double_eq(sum_of((double[]){0x1p53, 1}, 2), 0x1p53);
    ck_assert_double_eq(sum_of((double[]){0x1p53, 2, 1}, 3), 0x1p53 + 4);
    ck_assert_double_eq(sum_of((double[]){0x1p53, 1, 0x1p-96}, 3), 0x1p53 + 2);
    ck_assert_double_eq(sum_of((double[]){-0x1p53, -1, -0x1p-96}, 3), -0x1p53 - 2);
    ck_assert_double_eq(sum_of((double[]){0x1p53, 1, -0x1p-96}, 3), 0x1p53);
    /* all ones: rounding makes one bit more */
    ck_assert_double_eq(sum_of((double[]){0x1p60, -0x1p-96}, 2), 0x1p60);
}
END_TEST

START_TEST(what_is_finer_than_the_unit_is_rounded_number_by_number)
{
    ck_assert_double_eq(sum_of((double[]){0x1p-97, 0x1p-97}, 2), 0); /* ties to even: 0 */
    ck_assert_double_eq(sum_of((double[]){0x1.8p-97}, 1), 0x1p-96);
    ck_assert_double_eq(sum_of((double[]){0x1.8p-96}, 1), 0x1p-95);
    ck_assert_double_eq(sum_of((double[]){-0x1.8p-97}, 1), -0x1p-96);
    ck_assert_double_eq(sum_of((double[]){0x1p-160, 5e-324, 0x1p-1022}, 3), 0);
    ck_assert_double_eq(sum_of((double[]){0x1.fffffffffffffp-44}, 1),
                        0x1.fffffffffffffp-44);
}
END_TEST

/* Whole multiples of 2^-40 below 2^20 in size, whose sum 128 bits hold exactly. */
START_TEST(random_sums_are_those_of_integers)
{
    enum { COUNT = 2000 };
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);

    for (int turn = 0; turn < 50; turn++) {
        base_exact sum = {{0}, 0};
        __extension__ __int128 whole = 0;
        for (int i = 0; i < COUNT; i++) {
            const int shift = (int)base_rng_below(&rng, 40);
            const int64_t n =
                (int64_t)(base_rng_u64(&rng) >> (12 + shift)) - (1LL << (51 - shift));
            whole += n;
            base_exact_add(&sum, ldexp((double)n, -40));
        }
        ck_assert_double_eq(base_exact_value(&sum), ldexp((double)whole, -40));
    }
}
END_TEST

START_TEST(orders_and_groups_give_the_same_bits)
{
    enum { COUNT = 1000, GROUPS = 7 };
    static double x[COUNT];
    uint32_t order[COUNT];
    base_exact first = {{0}, 0};
    base_rng rng = base_rng_make(2, BASE_PURPOSE_TEST, 0, 0, 0);

    for (size_t i = 0; i < COUNT; i++) {
        x[i] = ldexp(base_rng_normal(&rng), (int)base_rng_below(&rng, 150) - 100);
        base_exact_add(&first, x[i]);
    }
    for (int turn = 0; turn < 20; turn++) {
        base_exact groups[GROUPS], sum = {{0}, 0};
        memset(groups, 0, sizeof groups);
        base_rng_permutation(&rng, order, COUNT);
        for (size_t i = 0; i < COUNT; i++)
            base_exact_add(&groups[base_rng_below(&rng, GROUPS)], x[order[i]]);
        for (size_t i = 0; i < GROUPS; i++)
            base_exact_merge(&sum, &groups[(i * 3 + (size_t)turn) % GROUPS]);
        ck_assert_mem_eq(&sum, &first, sizeof sum);
    }
}
END_TEST

START_TEST(specials_stay_whatever_is_added)
{
    ck_assert(isnan(sum_of((double[]){1, NAN, 2}, 3)));
    ck_assert(isnan(sum_of((double[]){INFINITY, -INFINITY}, 2)));
    ck_assert_double_eq(sum_of((double[]){1, INFINITY, -5}, 3), INFINITY);
    ck_assert_double_eq(sum_of((double[]){-INFINITY, 1e18}, 2), -INFINITY);
    ck_assert_double_eq(sum_of((double[]){0x1p63}, 1), INFINITY); /* too large */
    ck_assert_double_eq(sum_of((double[]){-1e300, 1}, 2), -INFINITY);
    ck_assert_double_eq(sum_of((double[]){0x1.fffffffffffffp62}, 1), 0x1.fffffffffffffp62);

    base_exact left = {{0}, 0}, right = {{0}, 0};
    base_exact_add(&left, INFINITY);
    base_exact_add(&right, -INFINITY);
    base_exact_merge(&left, &right);
    ck_assert(isnan(base_exact_value(&left)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_exact");
    TCase *core = test_case("core"), *limits = test_case("limits");

    tcase_add_test(core, small_sums_are_those_worked_by_hand);
    tcase_add_test(core, values_round_to_nearest_and_ties_to_even);
    tcase_add_test(core, random_sums_are_those_of_integers);
    tcase_add_test(core, orders_and_groups_give_the_same_bits);
    tcase_add_test(limits, what_is_finer_than_the_unit_is_rounded_number_by_number);
    tcase_add_test(limits, specials_stay_whatever_is_added);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
