/* test_vit_usage.c - load metrics of an MoE layer (routing.md 12). */
#include "tests/test_vit_router.h"

enum { TOKENS = 4, EXPERTS = 3 };

static const uint32_t start[TOKENS + 1] = {0, 2, 4, 6, 8};
static const uint32_t token[8] = {0, 0, 1, 1, 2, 2, 3, 3};
static const uint16_t expert[8] = {0, 1, 0, 1, 0, 2, 1, 0};
static const float gate[8] = {.75f, .25f, .5f, .5f, .75f, .25f, .625f, .25f};

/* The golden choices: loads (4, 3, 1). */
static vit_routing golden_routing(const double *probs, const bool *kept)
{
    return (vit_routing){.tokens = TOKENS,
                         .tokens_per_image = 2,
                         .experts = EXPERTS,
                         .count = 8,
                         .start = start,
                         .token = token,
                         .expert = expert,
                         .gate = gate,
                         .kept = kept,
                         .probs = probs,
                         .seconds = 0.25};
}

static const bool all_kept[8] = {true, true, true, true, true, true, true, true};
static const bool none_kept[8] = {false};
static const double even[TOKENS * EXPERTS] = {1. / 3, 1. / 3, 1. / 3, 1. / 3,
                                              1. / 3, 1. / 3, 1. / 3, 1. / 3,
                                              1. / 3, 1. / 3, 1. / 3, 1. / 3};

START_TEST(golden_loads_have_the_golden_metrics)
{
    vit_usage load = {0};
    const vit_routing r = golden_routing(even, all_kept);

    vit_usage_add(&load, &r);
    const vit_usage_metrics m = vit_usage_summary(&load);
    expect_golden(load.load, (const double[]){4, 3, 1}, 3);
    expect_golden(&m.entropy, &(double){.88685951}, 1);
    expect_golden(&m.max_violation, &(double){.5}, 1);
    expect_golden(&m.cv, &(double){.46770717}, 1);
    expect_golden(&m.min_ratio, &(double){.375}, 1);
    ck_assert_double_eq_tol(m.importance_cv, 0.0, 1e-15);
    ck_assert_double_eq_tol(m.prob_entropy, log(3.0), 0x1p-24); /* as passes are added */
    ck_assert_double_eq(m.gate_max, (.75 + .5 + .75 + .625) / 4);
    ck_assert_double_eq(m.dropped, 0);
    ck_assert_double_eq(m.dead, 0);
    ck_assert_double_eq(m.seconds, .25);
    ck_assert_double_eq(m.fewest, 2);
    ck_assert_double_eq(m.most, 2);
    expect_golden(m.at_least, (const double[]){1, 1, 0, 0}, VIT_USAGE_LEVELS);
    ck_assert_double_eq(m.sinkhorn_share, 0);
    ck_assert_double_eq(m.sinkhorn_iterations, 0);
}
END_TEST

START_TEST(dropped_assignments_orphans_and_lost_gates_are_counted)
{
    const bool kept[8] = {true, true, false, false, false, true, true, false};
    vit_usage load = {0};
    const vit_routing r = golden_routing(even, kept);

    vit_usage_add(&load, &r);
    const vit_usage_metrics m = vit_usage_summary(&load);
    ck_assert_double_eq(m.dropped, 4. / 8);
    ck_assert_double_eq(m.orphans, 1. / 4);
    ck_assert_double_eq(m.gate_lost, (.5 + .5 + .75 + .25) / 4);
    ck_assert_double_eq(m.fewest, 0); /* kept: 2, 0, 1, 1 */
    ck_assert_double_eq(m.most, 2);
    ck_assert_double_eq(m.kept, 1);
    expect_golden(m.at_least, (const double[]){.75, .25, 0, 0}, VIT_USAGE_LEVELS);
    expect_golden(load.load, (const double[]){4, 3, 1}, 3); /* before dropping */
}
END_TEST

/* Routers whose tokens have any number of experts: 0, 4, 1, 3. */
START_TEST(tokens_may_have_any_number_of_experts)
{
    const uint32_t from[TOKENS + 1] = {0, 0, 4, 5, 8};
    const uint16_t to[8] = {0, 1, 2, 0, 1, 0, 1, 2};
    vit_usage load = {0};
    vit_routing r = golden_routing(even, all_kept);

    r.start = from;
    r.expert = to;
    vit_usage_add(&load, &r);
    vit_usage_metrics m = vit_usage_summary(&load);
    ck_assert_double_eq(m.orphans, 1. / 4);
    ck_assert_double_eq(m.fewest, 0);
    ck_assert_double_eq(m.most, 4);
    ck_assert_double_eq(m.kept, 2);
    expect_golden(m.at_least, (const double[]){.75, .5, .25, 0}, VIT_USAGE_LEVELS);
    r.start = start;
    r.expert = expert;
    vit_usage_add(&load, &r); /* two each */
    m = vit_usage_summary(&load);
    ck_assert_double_eq(m.fewest, 0);
    expect_golden(m.at_least, (const double[]){.875, .75, .125, 0}, VIT_USAGE_LEVELS);
}
END_TEST

/* Ranks add their passes in any order and grouping. */
START_TEST(loads_merge_to_the_same_bits)
{
    enum { PASSES = 7 };
    vit_usage each[PASSES], row = {0}, back = {0}, halves[2], all = {0};
    double probs[3 * 4];

    memset(each, 0, sizeof each);
    memset(halves, 0, sizeof halves);
    for (size_t i = 0; i < PASSES; i++) {
        vit_routing r = golden_routing(probs, i % 2 ? all_kept : none_kept);
        for (size_t k = 0; k < 12; k++)
            probs[k] = 0.1 + 0.3 / (double)(1 + i + k); /* no short fractions */
        r.used_sinkhorn = i % 3 == 0;
        r.sinkhorn_residual = 1e-5 / (double)(3 + i);
        r.seconds = 0;
        vit_usage_add(&each[i], &r);
        vit_usage_add(&row, &r);
        vit_usage_add(&halves[i % 2], &r);
    }
    for (size_t i = PASSES; i-- > 0;)
        vit_usage_merge(&back, &each[i]);
    ck_assert_mem_eq(&row, &back, sizeof row);
    vit_usage_merge(&all, &halves[1]);
    vit_usage_merge(&all, &(vit_usage){0}); /* a rank without passes */
    vit_usage_merge(&all, &halves[0]);
    ck_assert_mem_eq(&row, &all, sizeof row);
    ck_assert_double_gt(row.sinkhorn_residual, 0);
}
END_TEST

START_TEST(passes_add_up)
{
    vit_usage load = {0};
    vit_routing r = golden_routing(even, all_kept);

    vit_usage_add(&load, &r);
    r.used_sinkhorn = true;
    r.sinkhorn_iterations = 10;
    r.sinkhorn_residual = 1e-5;
    r.sinkhorn_converged = true;
    vit_usage_add(&load, &r);
    r.sinkhorn_iterations = 100;
    r.sinkhorn_residual = 3e-5;
    r.sinkhorn_converged = false;
    vit_usage_add(&load, &r);
    r.used_sinkhorn = false;
    vit_usage_add(&load, &r);
    const vit_usage_metrics m = vit_usage_summary(&load);
    expect_golden(&m.cv, &(double){.46770717}, 1);
    ck_assert_double_eq(m.sinkhorn_share, 0.5);
    ck_assert_double_eq(m.sinkhorn_iterations, 55);
    ck_assert_double_eq_tol(m.sinkhorn_residual, 2e-5, 0x1p-40); /* as passes are added */
    ck_assert_double_eq(m.sinkhorn_failed, 1);
    ck_assert_double_eq(m.seconds, 1.0);
    ck_assert_double_eq_tol(m.gate_max, (.75 + .5 + .75 + .625) / 4, 1e-15);
}
END_TEST

START_TEST(dead_experts_are_those_below_a_hundredth_of_the_mean)
{
    vit_usage load = {.experts = 4, .tokens = 4000, .assignments = 4000};

    memcpy(load.load, (const double[]){3981, 10, 9, 0}, 4 * sizeof(double));
    const vit_usage_metrics m = vit_usage_summary(&load);
    ck_assert_double_eq(m.dead, 2); /* mean 1000: 9 and 0 are below 10 */
    ck_assert_double_eq(m.min_ratio, 0);
    ck_assert(isfinite(m.entropy));
}
END_TEST

START_TEST(nothing_counted_gives_zeros)
{
    const vit_usage empty = {0};
    const vit_usage idle = {.experts = 8, .passes = 1};
    const vit_usage_metrics zero = {0};
    const vit_usage_metrics a = vit_usage_summary(&empty), b = vit_usage_summary(&idle);

    ck_assert_mem_eq(&a, &zero, sizeof zero);
    ck_assert_mem_eq(&b, &zero, sizeof zero);
}
END_TEST

START_TEST(probabilities_of_zero_and_tokens_without_experts_are_harmless)
{
    const double hard[TOKENS * EXPERTS] = {1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    const uint32_t none[TOKENS + 1] = {0};
    vit_routing r = golden_routing(hard, all_kept);
    vit_usage load = {0};

    r.start = none;
    r.count = 0;
    vit_usage_add(&load, &r);
    const vit_usage_metrics m = vit_usage_summary(&load);
    ck_assert_double_eq(m.prob_entropy, 0);
    ck_assert_double_eq(m.orphans, 1);
    ck_assert_double_eq(m.dropped, 0);
    ck_assert_double_eq_tol(m.importance_cv, sqrt(2. / 9) / (4. / 3), 1e-15);
}
END_TEST

START_TEST(one_expert_is_balanced)
{
    vit_usage load = {.experts = 1, .tokens = 7, .assignments = 7, .load = {7}};
    const vit_usage_metrics m = vit_usage_summary(&load);

    ck_assert_double_eq(m.entropy, 1);
    ck_assert_double_eq(m.max_violation, 0);
    ck_assert_double_eq(m.cv, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_usage");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_test(core, golden_loads_have_the_golden_metrics);
    tcase_add_test(core, dropped_assignments_orphans_and_lost_gates_are_counted);
    tcase_add_test(core, tokens_may_have_any_number_of_experts);
    tcase_add_test(core, passes_add_up);
    tcase_add_test(core, loads_merge_to_the_same_bits);
    tcase_add_test(core, dead_experts_are_those_below_a_hundredth_of_the_mean);
    tcase_add_test(limits, nothing_counted_gives_zeros);
    tcase_add_test(limits, probabilities_of_zero_and_tokens_without_experts_are_harmless);
    tcase_add_test(limits, one_expert_is_balanced);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
