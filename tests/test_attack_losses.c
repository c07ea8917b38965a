/* test_attack_losses.c - what an attacker maximises: by hand, by finite differences, on
 * ties, with too few classes. */
#include "attacks/attacks_internal.h"
#include "test_run.h"

#include <math.h>
#include <string.h>

/* Central differences with h = 1e-3 of a smooth function of float32 logits near 1. */
static const double SLOPE_TOLERANCE = 2e-3;

static void check_slope(attack_loss loss, const float *z, size_t classes, int32_t y,
                        int32_t t)
{
    float d[8], moved[8];
    const float h = 1e-3f;

    attack_loss_compute(d, loss, z, classes, y, t);
    for (size_t c = 0; c < classes; c++) {
        memcpy(moved, z, classes * sizeof *z);
        moved[c] = z[c] + h;
        const double up = attack_loss_compute(NULL, loss, moved, classes, y, t);
        const double high = (double)moved[c];
        moved[c] = z[c] - h;
        const double down = attack_loss_compute(NULL, loss, moved, classes, y, t);
        const double slope = (up - down) / (high - (double)moved[c]);
        ck_assert_msg(fabs(slope - (double)d[c]) < SLOPE_TOLERANCE * (1 + fabs(slope)),
                      "%s, y %d, t %d, class %zu: %g, expected %g", attack_loss_name(loss),
                      (int)y, (int)t, c, (double)d[c], slope);
    }
}

START_TEST(values_by_hand)
{
    const float z[4] = {1, 3, 2, 0};

    /* log(e + e^3 + e^2 + 1) = 3.440190 */
    ck_assert_double_eq_tol(attack_loss_compute(NULL, ATTACK_LOSS_CE, z, 4, 0, -1),
                            2.440190, 1e-5);
    ck_assert_double_eq_tol(attack_loss_compute(NULL, ATTACK_LOSS_CE_TARGET, z, 4, 0, 2),
                            -1.440190, 1e-5);
    ck_assert_double_eq(attack_loss_compute(NULL, ATTACK_LOSS_MARGIN, z, 4, 1, -1), -1);
    ck_assert_double_eq(attack_loss_compute(NULL, ATTACK_LOSS_MARGIN_TARGET, z, 4, 1, 3),
                        -3);
    ck_assert_double_eq(attack_loss_compute(NULL, ATTACK_LOSS_REACH_TARGET, z, 4, 0, 2),
                        -1);
    /* (2 - 3) / (3 - 1) */
    ck_assert_double_eq_tol(attack_loss_compute(NULL, ATTACK_LOSS_DLR, z, 4, 1, -1), -0.5,
                            1e-9);
    /* (0 - 3) / (3 - (1 + 0) / 2) */
    ck_assert_double_eq_tol(attack_loss_compute(NULL, ATTACK_LOSS_DLR_TARGET, z, 4, 1, 3),
                            -1.2, 1e-9);
}
END_TEST

START_TEST(gradients_match_finite_differences)
{
    const float z[6] = {0.3f, 2.1f, -1.2f, 1.4f, 0.9f, -0.4f}; /* order: 1 3 4 0 5 2 */
    const attack_loss losses[] = {ATTACK_LOSS_CE,          ATTACK_LOSS_CE_TARGET,
                                  ATTACK_LOSS_MARGIN,      ATTACK_LOSS_MARGIN_TARGET,
                                  ATTACK_LOSS_DLR,         ATTACK_LOSS_DLR_TARGET,
                                  ATTACK_LOSS_REACH_TARGET};

    for (size_t l = 0; l < 7; l++)
        for (int32_t y = 0; y < 6; y++)
            for (int32_t t = 0; t < 6; t++)
                if (t != y)
                    check_slope(losses[l], z, 6, y, t);
}
END_TEST

START_TEST(ratio_ignores_shift_and_scale)
{
    const float z[5] = {0.3f, 2.1f, -1.2f, 1.4f, 0.9f};
    float far[5];

    for (size_t c = 0; c < 5; c++)
        far[c] = 1000 * z[c] + 50;
    for (int32_t y = 0; y < 5; y++) {
        const int32_t t = (y + 1) % 5;
        ck_assert_double_eq_tol(attack_loss_compute(NULL, ATTACK_LOSS_DLR, z, 5, y, -1),
                                attack_loss_compute(NULL, ATTACK_LOSS_DLR, far, 5, y, -1),
                                1e-5);
        ck_assert_double_eq_tol(
            attack_loss_compute(NULL, ATTACK_LOSS_DLR_TARGET, z, 5, y, t),
            attack_loss_compute(NULL, ATTACK_LOSS_DLR_TARGET, far, 5, y, t), 1e-5);
    }
}
END_TEST

START_TEST(prediction_takes_the_lowest_class_on_ties)
{
    const float z[4] = {1, 2, 2, 0}, same[3] = {5, 5, 5};

    ck_assert_int_eq(attack_predict(z, 4), 1);
    ck_assert_int_eq(attack_predict(same, 3), 0);
    ck_assert_double_eq(attack_margin(z, 4, 1), 0);
    ck_assert_double_eq(attack_loss_compute(NULL, ATTACK_LOSS_DLR, same, 3, 1, -1), 0);
}
END_TEST

/* Of equal logits the lowest class is meant, in each place of each loss. */
START_TEST(gradients_take_the_lowest_class_on_ties)
{
    static const struct {
        attack_loss loss;
        float z[5];
        int32_t y, t;
        double value, d[5];
    } cases[] = {
        {ATTACK_LOSS_MARGIN, {1, 2, 2, 0, 2}, 3, -1, 2, {0, 1, 0, -1, 0}},
        {ATTACK_LOSS_MARGIN, {1, 2, 2, 0, 2}, 1, -1, 0, {0, -1, 1, 0, 0}},
        {ATTACK_LOSS_MARGIN, {2, 1, 2, 2, 0}, 0, -1, 0, {-1, 0, 1, 0, 0}},
        {ATTACK_LOSS_REACH_TARGET, {2, 1, 2, 2, 0}, 0, 1, -1, {-1, 1, 0, 0, 0}},
        {ATTACK_LOSS_MARGIN_TARGET, {2, 1, 2, 2, 0}, 3, 2, 0, {0, 0, 1, -1, 0}},
        /* order 0, 2, 1: (3 - 0) / (3 - 1) */
        {ATTACK_LOSS_DLR, {3, 1, 3, 1, 0}, 4, -1, 1.5, {-0.25, 0.75, 0, 0, -0.5}},
        /* order 0, 2, 1, 3: (1 - 0) / (3 - (1 + 1) / 2) */
        {ATTACK_LOSS_DLR_TARGET,
         {3, 1, 3, 1, 0},
         4,
         1,
         0.5,
         {-0.25, 0.625, 0, 0.125, -0.5}},
        /* nothing but equals: a difference of 1e-12 is taken */
        {ATTACK_LOSS_DLR, {5, 5, 5, 5, 5}, 1, -1, 0, {1e12, -1e12, 0, 0, 0}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float d[5] = {7, 7, 7, 7, 7};
        const double value =
            attack_loss_compute(d, cases[i].loss, cases[i].z, 5, cases[i].y, cases[i].t);

        ck_assert_double_eq_tol(value, cases[i].value, 1e-9);
        for (size_t c = 0; c < 5; c++)
            ck_assert_msg(fabs((double)d[c] - cases[i].d[c]) <=
                              1e-6 * (1 + fabs(cases[i].d[c])),
                          "case %zu, class %zu: %g", i, c, (double)d[c]);
    }
}
END_TEST

START_TEST(too_few_classes_fall_back)
{
    const float z[3] = {1, 2.5f, 0};
    float d[3];

    ck_assert_int_eq(attack_loss_fallback(ATTACK_LOSS_DLR, 2), ATTACK_LOSS_MARGIN);
    ck_assert_int_eq(attack_loss_fallback(ATTACK_LOSS_DLR, 3), ATTACK_LOSS_DLR);
    ck_assert_int_eq(attack_loss_fallback(ATTACK_LOSS_DLR_TARGET, 3),
                     ATTACK_LOSS_MARGIN_TARGET);
    ck_assert_int_eq(attack_loss_fallback(ATTACK_LOSS_DLR_TARGET, 4),
                     ATTACK_LOSS_DLR_TARGET);
    ck_assert_double_eq(attack_loss_compute(d, ATTACK_LOSS_DLR, z, 2, 1, -1), -1.5);
    ck_assert_double_eq((double)d[0], 1);
    ck_assert_double_eq((double)d[1], -1);
    ck_assert_double_eq(attack_loss_compute(d, ATTACK_LOSS_DLR_TARGET, z, 3, 1, 2), -2.5);
    ck_assert_double_eq(attack_loss_compute(d, ATTACK_LOSS_CE, z, 1, 0, -1), 0);
    ck_assert_double_eq((double)d[0], 0);
}
END_TEST

START_TEST(logits_that_are_no_numbers_have_no_class)
{
    const float nan[2] = {1, NAN}, inf[2] = {INFINITY, 0}, low[2] = {-INFINITY, 0};

    ck_assert_int_eq(attack_predict(nan, 2), -1);
    ck_assert_int_eq(attack_predict(inf, 2), -1);
    ck_assert_int_eq(attack_predict(low, 2), -1);
    ck_assert(isnan(attack_margin(nan, 2, 0)));
}
END_TEST

/* Softmax of logits 2,000 apart: no overflow, and a gradient that is exactly 0. */
START_TEST(huge_logits_stay_finite)
{
    const float z[3] = {1000, -1000, 0};
    float d[3];

    ck_assert_double_eq(attack_loss_compute(d, ATTACK_LOSS_CE, z, 3, 0, -1), 0);
    ck_assert_double_eq((double)d[0], 0);
    ck_assert_double_eq(attack_loss_compute(d, ATTACK_LOSS_CE, z, 3, 1, -1), 2000);
    ck_assert_double_eq((double)d[1], -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_losses");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_test(core, values_by_hand);
    tcase_add_test(core, gradients_match_finite_differences);
    tcase_add_test(core, ratio_ignores_shift_and_scale);
    tcase_add_test(core, prediction_takes_the_lowest_class_on_ties);
    tcase_add_test(limits, gradients_take_the_lowest_class_on_ties);
    tcase_add_test(limits, too_few_classes_fall_back);
    tcase_add_test(limits, logits_that_are_no_numbers_have_no_class);
    tcase_add_test(limits, huge_logits_stay_finite);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
