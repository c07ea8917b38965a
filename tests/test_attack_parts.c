/* test_attack_parts.c - Square's schedule, windows and patterns; phases of L1-APGD;
 * Adam. */
#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"

#include <math.h>

#include "tests/test_run.h"

/* The values that AutoAttack's square.py gives for p_init = .8. */
START_TEST(shares_halve_after_each_break)
{
    static const struct {
        size_t at;
        double p;
    } cases[] = {{0, .8},         {10, .8},        {11, .4},      {50, .4},
                 {51, .2},        {200, .2},       {201, .1},     {501, .05},
                 {1000, .05},     {1001, .025},    {2001, .0125}, {4001, .00625},
                 {6001, .003125}, {8001, .0015625}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_double_eq(attack_square_share(.8, cases[i].at, 5000, false), cases[i].p);
    /* stretched: the 100th of 5000 stands for the 200th of 10,000 */
    ck_assert_double_eq(attack_square_share(.8, 100, 5000, true), .2);
    ck_assert_double_eq(attack_square_share(.8, 101, 5000, true), .1);
}
END_TEST

START_TEST(sides_are_rounded_odd_and_inside)
{
    ck_assert_uint_eq(attack_square_side(.8, 28, 28, ATTACK_NORM_LINF), 25); /* 25.04 */
    ck_assert_uint_eq(attack_square_side(.1, 28, 28, ATTACK_NORM_LINF), 9);  /* 8.85 */
    ck_assert_uint_eq(attack_square_side(1e-6, 28, 28, ATTACK_NORM_LINF), 1);
    ck_assert_uint_eq(attack_square_side(.8, 4, 40, ATTACK_NORM_LINF), 4);
    ck_assert_uint_eq(attack_square_side(1e-6, 28, 28, ATTACK_NORM_L2), 3);
    ck_assert_uint_eq(attack_square_side(.05, 28, 28, ATTACK_NORM_L2),
                      7); /* 6.26 -> 6 -> 7 */
    ck_assert_uint_eq(attack_square_side(.8, 2, 2, ATTACK_NORM_L2), 2);
}
END_TEST

/* By hand for side 3: R(1, 3) is one row (1/4, 1 + 1/4, 1/4); R(2, 3), centre row 1, is
 * (1/4, 1/4, 1/4) over (1/4, 5/4, 1/4). Each of unit norm, then both over sqrt 2. */
START_TEST(pattern_of_side_three_is_as_by_hand)
{
    const double n1 = sqrt(2 * .0625 + 1.5625), n2 = sqrt(5 * .0625 + 1.5625);
    const double expected[9] = {.25 / n1,  1.25 / n1, .25 / n1,   -.25 / n2, -.25 / n2,
                                -.25 / n2, -.25 / n2, -1.25 / n2, -.25 / n2};
    float e[9];

    attack_square_pattern(e, 3, false);
    for (size_t i = 0; i < 9; i++)
        ck_assert_double_eq_tol((double)e[i], expected[i] / sqrt(2), 1e-6);
    attack_square_pattern(e, 3, true);
    for (size_t i = 0; i < 9; i++)
        ck_assert_double_eq_tol((double)e[i % 3 * 3 + i / 3], expected[i] / sqrt(2), 1e-6);
}
END_TEST

START_TEST(patterns_have_unit_norm)
{
    for (size_t side = 2; side < 40; side++) {
        float e[40 * 40];
        attack_square_pattern(e, side, side % 2 == 0);
        ck_assert_double_eq_tol(attack_norm_of(e, side * side, ATTACK_NORM_L2), 1, 1e-5);
        for (size_t i = 0; i < side * side; i++)
            ck_assert(e[i] != 0);
    }
}
END_TEST

/* In L2 Square begins with tiles of a fifth of the height, two pixels at least, in the
 * middle of images of any shape: all of these pixels move, by the whole budget together. */
START_TEST(tiles_lie_in_the_middle)
{
    enum { CHANNELS = 2, MOST = CHANNELS * 26 * 26 };
    static const struct {
        size_t height, width, side;
    } cases[] = {{25, 25, 5}, {17, 26, 3}, {26, 17, 5}, {11, 7, 2}, {9, 9, 2},
                 {4, 40, 2},  {40, 4, 4},  {40, 5, 5},  {1, 9, 1},  {9, 1, 1}};
    static float x[MOST], point[MOST], delta[MOST], best[MOST];
    const attack_spec spec = {.method = &attack_method_square};

    for (size_t i = 0; i < MOST; i++)
        x[i] = 0.5f;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const size_t h = cases[c].height, w = cases[c].width, s = cases[c].side;
        const attack_task task = {.channels = CHANNELS,
                                  .height = h,
                                  .width = w,
                                  .count = CHANNELS * h * w,
                                  .norm = ATTACK_NORM_L2,
                                  .eps = 0.3,
                                  .spec = &spec};
        attack_lane lane = {.task = &task, .x = x, .point = point, .array = {best, delta}};

        ck_assert_uint_le(task.count, MOST);
        ck_assert_int_eq(attack_method_square.begin(&lane), ATTACK_WANT_LOGITS);
        for (size_t i = 0; i < task.count; i++) {
            const size_t row = i / w % h, column = i % w;
            const bool inside = row - h % s / 2 < h / s * s && row >= h % s / 2 &&
                                column - w % s / 2 < w / s * s && column >= w % s / 2;
            ck_assert_msg((point[i] != 0.5f) == inside, "%zu x %zu at %zu, %zu", h, w, row,
                          column);
        }
        ck_assert_double_eq_tol(attack_distance(point, x, task.count, ATTACK_NORM_L2), 0.3,
                                1e-5);
    }
}
END_TEST

START_TEST(phases_add_up)
{
    size_t steps[3];

    attack_l1_phases(steps, 100);
    ck_assert(steps[0] == 30 && steps[1] == 30 && steps[2] == 40);
    attack_l1_phases(steps, 11);
    ck_assert(steps[0] == 4 && steps[1] == 4 && steps[2] == 3);
    attack_l1_phases(steps, 1);
    ck_assert(steps[0] == 1 && steps[1] == 0 && steps[2] == 0);
}
END_TEST

/* First step of Adam: m / (1 - b1) = g, v / (1 - b2) = g^2, so every weight moves by lr
 * against g's sign. */
START_TEST(adam_first_moves_by_lr)
{
    float w[3] = {1, 1, 1}, m[3] = {0}, v[3] = {0};
    const float g[3] = {2, -0.01f, 0};

    attack_adam(w, m, v, g, 3, .01, 1);
    ck_assert_double_eq_tol((double)w[0], 0.99, 1e-6);
    ck_assert_double_eq_tol((double)w[1], 1.01, 1e-6);
    ck_assert(w[2] == 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_parts");
    TCase *core = tcase_create("Core");
    tcase_add_test(core, shares_halve_after_each_break);
    tcase_add_test(core, sides_are_rounded_odd_and_inside);
    tcase_add_test(core, pattern_of_side_three_is_as_by_hand);
    tcase_add_test(core, patterns_have_unit_norm);
    tcase_add_test(core, tiles_lie_in_the_middle);
    tcase_add_test(core, phases_add_up);
    tcase_add_test(core, adam_first_moves_by_lr);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
