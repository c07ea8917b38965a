/* test_vit_schedule.c - learning rates by hand. */
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

static const double exact = 1e-15;

START_TEST(warm_up_is_linear_and_ends_at_the_peak)
{
    const vit_schedule s = {
        .kind = VIT_SCHEDULE_COSINE, .peak = 0.8, .warmup = 4, .total = 20};

    ck_assert_double_eq_tol(vit_schedule_lr(&s, 0), 0.2, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 1), 0.4, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 3), 0.8, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 4), 0.8, exact);
}
END_TEST

/* 4 + 8 of 16 steps: halfway, the mean of peak and final; at a quarter (2 + sqrt 2) / 4
 * of the way. */
START_TEST(cosine_passes_through_its_middle)
{
    const vit_schedule s = {
        .kind = VIT_SCHEDULE_COSINE, .peak = 1, .final = 0.2, .warmup = 4, .total = 20};

    ck_assert_double_eq_tol(vit_schedule_lr(&s, 12), 0.6, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 8), 0.2 + 0.8 * (2 + sqrt(2)) / 4, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 20), 0.2, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 1000), 0.2, exact);
}
END_TEST

START_TEST(linear_falls_evenly)
{
    const vit_schedule s = {
        .kind = VIT_SCHEDULE_LINEAR, .peak = 1, .final = 0.5, .warmup = 0, .total = 10};

    ck_assert_double_eq_tol(vit_schedule_lr(&s, 0), 1, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 5), 0.75, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 10), 0.5, exact);
}
END_TEST

/* timescale 9: 7 steps after the warm-up sqrt(9 / 16), 27 steps after it sqrt(9 / 36). */
START_TEST(reciprocal_root_follows_its_timescale)
{
    const vit_schedule s = {
        .kind = VIT_SCHEDULE_RSQRT, .peak = 2, .warmup = 3, .total = 100, .timescale = 9};

    ck_assert_double_eq_tol(vit_schedule_lr(&s, 3), 2, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 10), 1.5, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 30), 1, exact);
}
END_TEST

START_TEST(constant_stays)
{
    const vit_schedule s = {
        .kind = VIT_SCHEDULE_CONSTANT, .peak = 0.3, .warmup = 2, .total = 5};

    ck_assert_double_eq_tol(vit_schedule_lr(&s, 0), 0.15, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 2), 0.3, exact);
    ck_assert_double_eq_tol(vit_schedule_lr(&s, 500), 0.3, exact);
}
END_TEST

START_TEST(runs_without_room_for_a_curve_stay_finite)
{
    for (int kind = 0; kind < 4; kind++) {
        const vit_schedule none = {
            .kind = (vit_schedule_kind)kind, .peak = 1, .final = 0.5};
        const vit_schedule all_warm = {
            .kind = (vit_schedule_kind)kind, .peak = 1, .warmup = 10, .total = 10};
        for (uint64_t step = 0; step < 12; step++) {
            ck_assert(isfinite(vit_schedule_lr(&none, step)));
            ck_assert(isfinite(vit_schedule_lr(&all_warm, step)));
        }
        ck_assert_double_eq_tol(vit_schedule_lr(&all_warm, 4), 0.5, exact);
        ck_assert(isfinite(vit_schedule_lr(&none, UINT64_MAX)));
    }
}
END_TEST

/* What is left of a run when there is no way to go: the end of it; without a timescale
 * the shortest; a first and a last step that are also the end of the warm-up. */
START_TEST(edges_of_a_run_have_their_rates)
{
    static const struct {
        vit_schedule s;
        uint64_t step;
        double lr;
    } cases[] = {
        {{.kind = VIT_SCHEDULE_COSINE, .peak = 1, .final = 0.25}, 0, 0.25},
        {{.kind = VIT_SCHEDULE_LINEAR, .peak = 1, .final = 0.25}, 0, 0.25},
        {{.kind = VIT_SCHEDULE_COSINE, .peak = 1, .final = 0.25, .warmup = 5, .total = 5},
         5,
         0.25},
        {{.kind = VIT_SCHEDULE_COSINE, .peak = 1, .final = 0.25, .warmup = 9, .total = 5},
         7,
         8. / 9}, /* longer than the run */
        {{.kind = VIT_SCHEDULE_COSINE, .peak = 1, .final = 0.25, .warmup = 9, .total = 5},
         9,
         0.25},
        {{.kind = VIT_SCHEDULE_COSINE, .peak = 1, .final = 0.25, .total = 1}, 0, 1},
        {{.kind = VIT_SCHEDULE_LINEAR, .peak = 1, .final = 0.25, .total = 4}, 3, 0.4375},
        {{.kind = VIT_SCHEDULE_LINEAR, .peak = 1, .final = 0.25, .total = 4}, 4, 0.25},
        {{.kind = VIT_SCHEDULE_LINEAR, .peak = 1, .final = 0.25, .warmup = 2, .total = 6},
         3,
         0.8125},
        {{.kind = VIT_SCHEDULE_RSQRT, .peak = 1, .final = 0.25}, 0, 1},
        {{.kind = VIT_SCHEDULE_RSQRT, .peak = 1, .final = 0.25}, 3, 0.5},
        {{.kind = VIT_SCHEDULE_RSQRT, .peak = 1, .timescale = 1, .total = 2}, 8, 1. / 3},
        {{.kind = VIT_SCHEDULE_RSQRT, .peak = 1, .warmup = 4}, 3, 1},
        {{.kind = VIT_SCHEDULE_CONSTANT, .peak = 1, .final = 0.25}, 9, 1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(fabs(vit_schedule_lr(&cases[i].s, cases[i].step) - cases[i].lr) <=
                          exact,
                      "case %zu is %g", i, vit_schedule_lr(&cases[i].s, cases[i].step));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_schedule");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, warm_up_is_linear_and_ends_at_the_peak);
    tcase_add_test(core, cosine_passes_through_its_middle);
    tcase_add_test(core, linear_falls_evenly);
    tcase_add_test(core, reciprocal_root_follows_its_timescale);
    tcase_add_test(core, constant_stays);
    tcase_add_test(limits, runs_without_room_for_a_curve_stay_finite);
    tcase_add_test(limits, edges_of_a_run_have_their_rates);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
