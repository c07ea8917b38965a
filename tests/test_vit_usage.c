/* test_vit_usage.c - load metrics of an MoE layer (routing.md 12). */
#include "tests/test_leaks.h"
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

START_TEST(images_that_are_left_out_do_not_count)
{
    vit_usage rest = {0}, first = {0}, none = {0};
    const bool second[2] = {false, true}, both[2] = {true, true};
    vit_routing r = golden_routing(even, all_kept);

    r.left_out = second;
    vit_usage_add(&rest, &r);
    r.left_out = both;
    vit_usage_add(&none, &r);
    r.left_out = NULL;
    r.tokens = 2;
    r.count = 4;
    vit_usage_add(&first, &r);
    ck_assert_double_eq(rest.tokens, 2);
    ck_assert_double_eq(rest.assignments, 4);
    ck_assert_mem_eq(&rest, &first, sizeof rest);
    ck_assert_double_eq(none.passes, 0);
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

/* A router that chooses nothing: loads say nothing, probabilities are counted, entropies
 * are of tokens, extremes of all passes. */
START_TEST(soft_passes_have_extremes_and_an_entropy_of_tokens)
{
    static const double uneven[TOKENS * EXPERTS] = {.5, .25, .25, 1,   0, 0,
                                                    .5, .5,  0,   .25, 0, .75};
    static const uint32_t none[TOKENS + 1] = {0};
    vit_usage load = {0};
    vit_routing r = golden_routing(uneven, all_kept);

    r.count = 0;
    r.start = none;
    r.soft = (vit_soft_report){
        .is_soft = true, .combine_max = 0.75, .dispatch_max = 0.5, .combine_entropy = 1.5};
    vit_usage_add(&load, &r);
    r.soft.combine_max = 0.625;
    r.soft.dispatch_max = 0.875;
    r.soft.combine_entropy = 0.5;
    r.tokens = 2; /* a smaller pass weighs less */
    vit_usage_add(&load, &r);
    ck_assert_double_eq(load.soft_passes, 2);
    ck_assert_double_eq(load.passes, 2);
    ck_assert_double_eq(load.tokens, 6);
    ck_assert_double_eq(load.combine_entropy, 4 * 1.5 + 2 * 0.5);
    expect_golden(load.importance, (const double[]){2.25 + 1.5, .75 + .25, 1 + .25}, 3);
    const vit_usage_metrics m = vit_usage_summary(&load);
    ck_assert(m.soft.is_soft);
    ck_assert_double_eq(m.soft.combine_max, 0.75);
    ck_assert_double_eq(m.soft.dispatch_max, 0.875);
    ck_assert_double_eq(m.soft.combine_entropy, 7. / 6);
    ck_assert_double_eq_tol(
        m.prob_entropy,
        (1.5 * log(2) + log(2) - .25 * log(.25) - .75 * log(.75) + 1.5 * log(2)) / 6,
        0x1p-23);
    ck_assert_double_eq_tol(m.importance_cv, sqrt((1.75 * 1.75 + 1 + .75 * .75) / 3) / 2,
                            1e-12);
    ck_assert_double_eq(m.seconds, 0.5);
    /* nothing is assigned, kept, dropped or left without an expert */
    ck_assert(m.orphans == 0 && m.dropped == 0 && m.kept == 0 && m.fewest == 0);
    ck_assert(m.most == 0 && m.gate_max == 0 && m.gate_lost == 0 && m.at_least[0] == 0);
    ck_assert(m.entropy == 0 && m.max_violation == 0 && m.min_ratio == 0 && m.cv == 0);
    const vit_routing hard = golden_routing(even, all_kept);
    load = (vit_usage){0};
    vit_usage_add(&load, &hard);
    ck_assert(!vit_usage_summary(&load).soft.is_soft);
}
END_TEST

/* Every figure of its own kind: sums, extremes, the fewest of those that have passes. */
START_TEST(merging_adds_what_is_a_sum_and_keeps_what_is_an_extreme)
{
    const vit_usage a = {.experts = 2,
                         .tokens = 1,
                         .assignments = 2,
                         .dropped = 3,
                         .orphans = 4,
                         .load = {5, 6},
                         .importance = {7, 8},
                         .gate_max = 9,
                         .entropy = 10,
                         .gate_lost = 11,
                         .passes = 12,
                         .sinkhorn_passes = 13,
                         .sinkhorn_iterations = 14,
                         .sinkhorn_residual = 15,
                         .sinkhorn_failed = 16,
                         .soft_passes = 17,
                         .combine_max = .5,
                         .dispatch_max = .25,
                         .combine_entropy = 18,
                         .seconds = 19,
                         .fewest = 20,
                         .most = 21,
                         .at_least = {22, 23, 24, 25}};
    vit_usage b = a, sum = {0};

    b.combine_max = .25;
    b.dispatch_max = .5;
    b.fewest = 10;
    b.most = 31;
    vit_usage_merge(&sum, &a);
    ck_assert_mem_eq(&sum, &a, sizeof sum);
    vit_usage_merge(&sum, &b);
    const vit_usage expected = {.experts = 2,
                                .tokens = 2,
                                .assignments = 4,
                                .dropped = 6,
                                .orphans = 8,
                                .load = {10, 12},
                                .importance = {14, 16},
                                .gate_max = 18,
                                .entropy = 20,
                                .gate_lost = 22,
                                .passes = 24,
                                .sinkhorn_passes = 26,
                                .sinkhorn_iterations = 28,
                                .sinkhorn_residual = 30,
                                .sinkhorn_failed = 32,
                                .soft_passes = 34,
                                .combine_max = .5,
                                .dispatch_max = .5,
                                .combine_entropy = 36,
                                .seconds = 38,
                                .fewest = 10,
                                .most = 31,
                                .at_least = {44, 46, 48, 50}};
    ck_assert_mem_eq(&sum, &expected, sizeof sum);
    b.passes = 0; /* nothing at all, whatever else stands there */
    vit_usage_merge(&sum, &b);
    ck_assert_mem_eq(&sum, &expected, sizeof sum);
}
END_TEST

START_TEST(dead_experts_are_those_below_a_hundredth_of_the_mean)
{
    vit_usage load = {.experts = 4, .tokens = 4000, .assignments = 4000};

    memcpy(load.load, (const double[]){3981, 10, 9, 0}, 4 * sizeof(double));
    const vit_usage_metrics m = vit_usage_summary(&load);
    ck_assert_double_eq(m.dead, 2); /* mean 1000: 9 and 0 are below 10 */
    ck_assert_double_eq(m.min_ratio, 0);
    ck_assert_double_eq_tol(m.max_violation, 2.981, 1e-12);
    ck_assert_double_eq_tol(
        m.entropy,
        -(.99525 * log(.99525) + .0025 * log(.0025) + .00225 * log(.00225)) / log(4),
        1e-12);
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
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, golden_loads_have_the_golden_metrics);
    tcase_add_test(core, dropped_assignments_orphans_and_lost_gates_are_counted);
    tcase_add_test(core, tokens_may_have_any_number_of_experts);
    tcase_add_test(core, images_that_are_left_out_do_not_count);
    tcase_add_test(core, passes_add_up);
    tcase_add_test(core, loads_merge_to_the_same_bits);
    tcase_add_test(core, soft_passes_have_extremes_and_an_entropy_of_tokens);
    tcase_add_test(core, merging_adds_what_is_a_sum_and_keeps_what_is_an_extreme);
    tcase_add_test(core, dead_experts_are_those_below_a_hundredth_of_the_mean);
    tcase_add_test(limits, nothing_counted_gives_zeros);
    tcase_add_test(limits, probabilities_of_zero_and_tokens_without_experts_are_harmless);
    tcase_add_test(limits, one_expert_is_balanced);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
