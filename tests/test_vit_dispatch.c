/* test_vit_dispatch.c - capacity, the position rule, batch-prioritised routing and the rows
 * of experts (routing.md 0.3, 0.4 and 2). */
#include <omp.h>

#include "tests/test_leaks.h"
#include "tests/test_vit_router.h"

enum { ROOM = 4096 };

typedef struct board {
    vit_dispatch d;
    uint32_t row[ROOM], assignment[ROOM], scratch[2 * ROOM + 2 * VIT_EXPERTS_MAX + 2];
    bool kept[ROOM];
    uint32_t start[ROOM + 1];
    uint16_t expert[ROOM];
    float gate[ROOM];
    size_t tokens;
} board;
static board at;

static void build(const vit_dispatch_rule *rule)
{
    at.d = (vit_dispatch){
        .row = at.row, .kept = at.kept, .assignment = at.assignment, .scratch = at.scratch};
    memset(at.row, 0xAB, sizeof at.row);
    memset(at.kept, 0, sizeof at.kept);
    vit_dispatch_build(&at.d, at.start, at.expert, at.gate, at.tokens, rule);
}

/* Every kept assignment has its row of its expert, rows in token order, no row twice. */
static void expect_consistent(size_t experts)
{
    size_t rows = 0;

    for (size_t a = 0; a < at.start[at.tokens]; a++) {
        if (!at.kept[a]) {
            ck_assert_uint_eq(at.row[a], VIT_ROW_DROPPED);
            continue;
        }
        rows++;
        const size_t e = at.expert[a];
        ck_assert_uint_ge(at.row[a], at.d.offset[e]);
        ck_assert_uint_lt(at.row[a], at.d.offset[e + 1]);
        ck_assert_uint_eq(at.assignment[at.row[a]], a);
    }
    ck_assert_uint_eq(rows, at.d.rows);
    ck_assert_uint_eq(at.d.offset[0], 0);
    ck_assert_uint_eq(at.d.offset[experts], rows);
    for (size_t e = 0; e < experts; e++)
        for (size_t r = at.d.offset[e] + 1; r < at.d.offset[e + 1]; r++)
            ck_assert_uint_lt(at.assignment[r - 1], at.assignment[r]);
}

/* tokens of k random different experts, gates falling with the choice. */
static void fill_random(size_t tokens, size_t experts, size_t k, uint64_t stream)
{
    base_rng rng = base_rng_make(2, BASE_PURPOSE_TEST, stream, 0, 0);
    uint32_t order[VIT_EXPERTS_MAX];

    at.tokens = tokens;
    for (size_t t = 0; t < tokens; t++) {
        at.start[t] = (uint32_t)(t * k);
        base_rng_permutation(&rng, order, experts);
        float gate = 1.0f;
        for (size_t j = 0; j < k; j++) {
            at.expert[t * k + j] = (uint16_t)(order[j] * order[j] / experts); /* skewed */
            for (size_t i = 0; i < j; i++)
                if (at.expert[t * k + i] == at.expert[t * k + j])
                    at.expert[t * k + j] = (uint16_t)order[j], i = j;
            gate *= (float)base_rng_uniform(&rng);
            at.gate[t * k + j] = gate;
        }
    }
    at.start[tokens] = (uint32_t)(tokens * k);
}

START_TEST(capacity_is_that_of_the_examples)
{
    ck_assert_uint_eq(vit_capacity(400, 8, 2, 1.05, 4), 108);
    ck_assert_uint_eq(vit_capacity(400, 8, 2, 1.05, 1), 105);
    ck_assert_uint_eq(vit_capacity(400, 8, 2, 1.05, 2), 106);
    ck_assert_uint_eq(vit_capacity(400, 8, 2, 4.0, 4), 400);
    ck_assert_uint_eq(vit_capacity(1576, 8, 2, 1.05, 4), 416);
    ck_assert_uint_eq(vit_capacity(1576, 8, 2, 1.05, 1), 414);
    ck_assert_uint_eq(vit_capacity(400, 8, 2, 1.0, 1), 100); /* whole: no more */
    ck_assert_uint_eq(vit_capacity(400, 8, 2, 1.0, 4), 100);
    ck_assert_uint_eq(vit_capacity(401, 8, 2, 1.0, 1), 101);
    ck_assert_uint_eq(vit_capacity(401, 8, 2, 1.0, 4), 104);
    ck_assert_uint_eq(vit_capacity(400, 8, 1, 1.0, 3), 51);
    ck_assert_uint_eq(vit_capacity(400, 7, 1, 1.0, 1), 58);
}
END_TEST

START_TEST(capacity_is_at_least_one)
{
    ck_assert_uint_eq(vit_capacity(1, 256, 1, 0.01, 1), 1);
    ck_assert_uint_eq(vit_capacity(1, 256, 1, 0.01, 4), 4);
    ck_assert_uint_eq(vit_capacity(1, 1, 1, 1e-300, 0), 1);
    ck_assert_uint_ge(vit_capacity(1000, 1, 1, 1e300, 4), 1000); /* no overflow */
}
END_TEST

/* The golden tokens: choices (0,1), (0,1), (0,2), (1,0), gates by probability. */
static void fill_golden(void)
{
    double p[GOLDEN_COUNT], gate[8];

    vit_route_softmax(p, golden_z, &golden_size);
    vit_route_top(at.expert, golden_z, &golden_size);
    vit_route_gates(gate, p, at.expert, &golden_size);
    at.tokens = GOLDEN_TOKENS;
    for (uint32_t t = 0; t <= GOLDEN_TOKENS; t++)
        at.start[t] = t * 2;
    for (size_t a = 0; a < 8; a++)
        at.gate[a] = (float)gate[a];
}

START_TEST(golden_tokens_are_kept_in_vanilla_order)
{
    /* C = 2: t0 {0,1}, t1 {0}, t2 {2}, t3 {1} */
    const bool want[] = {true, true, true, false, false, true, true, false};
    const vit_dispatch_rule rule = {.experts = 3, .capacity = 0.75, .multiple = 1, .k = 2};

    fill_golden();
    ck_assert_uint_eq(vit_capacity(4, 3, 2, 0.75, 1), 2);
    build(&rule);
    ck_assert_mem_eq(at.kept, want, sizeof want);
    expect_consistent(3);
}
END_TEST

START_TEST(golden_tokens_are_kept_in_order_of_priority)
{
    /* order 0,2,1,3: t0 {0,1}, t1 {}, t2 {0,2}, t3 {1} */
    const bool want[] = {true, true, false, false, true, true, true, false};
    const vit_dispatch_rule rule = {
        .experts = 3, .capacity = 0.75, .multiple = 1, .k = 2, .bpr = true};

    fill_golden();
    build(&rule);
    ck_assert_mem_eq(at.kept, want, sizeof want);
    expect_consistent(3);
}
END_TEST

START_TEST(dropless_keeps_all_in_token_order)
{
    const vit_dispatch_rule rule = {.experts = 16, .k = 3, .bpr = true};

    fill_random(500, 16, 3, 1);
    build(&rule);
    ck_assert_uint_eq(at.d.rows, 1500);
    expect_consistent(16);
}
END_TEST

START_TEST(enough_capacity_is_dropless)
{
    const vit_dispatch_rule dropless = {.experts = 16, .k = 3};
    const vit_dispatch_rule ample = {.experts = 16, .k = 3, .capacity = 16.0, .bpr = true};
    static uint32_t row[ROOM];

    fill_random(500, 16, 3, 2);
    build(&dropless);
    memcpy(row, at.row, sizeof row);
    build(&ample);
    ck_assert_mem_eq(at.row, row, 1500 * sizeof *row);
    ck_assert_uint_eq(at.d.rows, 1500);
}
END_TEST

START_TEST(many_tokens_are_placed_alike_by_any_number_of_threads)
{
    static const size_t experts[] = {8, VIT_EXPERTS_MAX};
    static uint32_t row[ROOM];

    for (size_t i = 0; i < 4; i++) {
        const vit_dispatch_rule rule = {.experts = experts[i / 2],
                                        .k = 2,
                                        .capacity = i % 2 ? 0.5 : 0.0,
                                        .multiple = 1};
        fill_random(2045, rule.experts, 2, 8 + i);
        for (int threads = 1; threads <= 3; threads++) {
            omp_set_num_threads(threads);
            build(&rule);
            expect_consistent(rule.experts);
            if (threads > 1)
                ck_assert_mem_eq(at.row, row, at.start[at.tokens] * sizeof *row);
            memcpy(row, at.row, sizeof row);
        }
        if (rule.capacity > 0.0)
            ck_assert_uint_lt(at.d.rows, at.start[at.tokens]);
        else
            ck_assert_uint_eq(at.d.rows, at.start[at.tokens]);
    }
}
END_TEST

START_TEST(no_expert_is_over_capacity_and_none_is_left_idle)
{
    const vit_dispatch_rule rule = {
        .experts = 16, .k = 2, .capacity = 0.8, .multiple = 4, .bpr = _i == 1};
    const size_t capacity = vit_capacity(600, 16, 2, 0.8, 4);
    size_t wanted[16] = {0};

    fill_random(600, 16, 2, 3);
    build(&rule);
    expect_consistent(16);
    for (size_t a = 0; a < 1200; a++)
        wanted[at.expert[a]]++;
    for (size_t e = 0; e < 16; e++)
        ck_assert_uint_eq(at.d.offset[e + 1] - at.d.offset[e],
                          wanted[e] < capacity ? wanted[e] : capacity);
}
END_TEST

START_TEST(priority_keeps_the_largest_of_each_choice)
{
    const vit_dispatch_rule rule = {
        .experts = 8, .k = 2, .capacity = 0.6, .multiple = 1, .bpr = true};

    fill_random(600, 8, 2, 4);
    build(&rule);
    for (size_t e = 0; e < 8; e++) {
        for (size_t j = 0; j < 2; j++) {
            float kept = INFINITY, dropped = -INFINITY;
            for (size_t t = 0; t < 600; t++) {
                const size_t a = t * 2 + j;
                if (at.expert[a] != e)
                    continue;
                if (at.kept[a])
                    kept = fminf(kept, at.gate[t * 2]);
                else
                    dropped = fmaxf(dropped, at.gate[t * 2]);
            }
            ck_assert(kept >= dropped);
        }
    }
}
END_TEST

START_TEST(equal_priorities_keep_the_earlier_token)
{
    const vit_dispatch_rule rule = {
        .experts = 1, .k = 1, .capacity = 0.5, .multiple = 1, .bpr = true};

    at.tokens = 101;
    for (uint32_t t = 0; t <= at.tokens; t++)
        at.start[t] = t;
    memset(at.expert, 0, sizeof at.expert);
    for (size_t t = 0; t < at.tokens; t++)
        at.gate[t] = 0.5f;
    build(&rule);
    for (size_t t = 0; t < at.tokens; t++)
        ck_assert_int_eq(at.kept[t], t < 51);
}
END_TEST

START_TEST(first_choices_outrank_second_choices)
{
    /* two experts of one row each: token 0 (0,1), token 1 (1,0) */
    const vit_dispatch_rule rule = {.experts = 2, .k = 2, .capacity = 0.5, .multiple = 1};
    const bool want[] = {true, false, true, false};

    at.tokens = 2;
    memcpy(at.start, (const uint32_t[]){0, 2, 4}, 3 * sizeof(uint32_t));
    memcpy(at.expert, (const uint16_t[]){0, 1, 1, 0}, 4 * sizeof(uint16_t));
    memcpy(at.gate, (const float[]){.6f, .4f, .6f, .4f}, 4 * sizeof(float));
    build(&rule);
    ck_assert_mem_eq(at.kept, want, sizeof want);
}
END_TEST

START_TEST(groups_are_limited_each_on_its_own)
{
    /* groups of 4, 4 and 2 tokens that all want expert 1; C = 2, 2, 1 */
    const vit_dispatch_rule rule = {
        .group_tokens = 4, .experts = 2, .k = 1, .capacity = 1.0, .multiple = 1};
    const bool want[] = {true, true, false, false, true, true, false, false, true, false};

    at.tokens = 10;
    for (uint32_t t = 0; t <= 10; t++) {
        at.start[t] = t;
        at.expert[t] = 1;
        at.gate[t] = 0.1f * (float)t;
    }
    build(&rule);
    ck_assert_mem_eq(at.kept, want, sizeof want);
    expect_consistent(2);
}
END_TEST

/* Two views of five tokens: groups of three and two in each, none across. All want expert
 * 1; C = 2 of three, 1 of two; by priority the larger gates. */
START_TEST(groups_begin_anew_with_each_view)
{
    const vit_dispatch_rule rule = {.view_tokens = 5,
                                    .group_tokens = 3,
                                    .experts = 2,
                                    .k = 1,
                                    .capacity = 1.0,
                                    .multiple = 1,
                                    .bpr = _i == 1};
    const bool want[2][10] = {{1, 1, 0, 1, 0, 1, 1, 0, 1, 0},
                              {0, 1, 1, 0, 1, 0, 1, 1, 0, 1}};

    at.tokens = 10;
    for (uint32_t t = 0; t <= 10; t++) {
        at.start[t] = t;
        at.expert[t] = 1;
        at.gate[t] = 0.05f * (float)(1 + t);
    }
    build(&rule);
    ck_assert_mem_eq(at.kept, want[_i], sizeof want[_i]);
    expect_consistent(2);
    /* groups of the view's size or more are the view */
    for (size_t group = 0; group < 12; group += group == 0 ? 5 : 1) {
        vit_dispatch_rule whole = rule;
        const bool each[2][5] = {{1, 1, 1, 0, 0}, {0, 0, 1, 1, 1}};
        whole.group_tokens = group;
        build(&whole);
        ck_assert_mem_eq(at.kept, each[_i], sizeof each[_i]);
        ck_assert_mem_eq(at.kept + 5, each[_i], sizeof each[_i]);
    }
}
END_TEST

START_TEST(tokens_may_have_any_number_of_experts)
{
    /* token 0 none, token 1 three, token 2 one, token 3 none; one row per expert */
    const vit_dispatch_rule rule = {
        .experts = 3, .k = 1, .capacity = 0.5, .multiple = 1, .bpr = _i == 1};
    const bool want[2][4] = {{true, true, true, false}, {false, true, true, true}};

    at.tokens = 4;
    memcpy(at.start, (const uint32_t[]){0, 0, 3, 4, 4}, 5 * sizeof(uint32_t));
    memcpy(at.expert, (const uint16_t[]){2, 0, 1, 2}, 4 * sizeof(uint16_t));
    memcpy(at.gate, (const float[]){.5f, .3f, .1f, .9f}, 4 * sizeof(float));
    build(&rule);
    ck_assert_mem_eq(at.kept, want[_i], 4);
    expect_consistent(3);
}
END_TEST

START_TEST(one_token_and_nan_gates_are_harmless)
{
    const vit_dispatch_rule rule = {
        .experts = 4, .k = 1, .capacity = 1.0, .multiple = 1, .bpr = true};

    fill_random(300, 4, 1, 5);
    for (size_t a = 0; a < 300; a += 3)
        at.gate[a] = NAN;
    build(&rule);
    expect_consistent(4);
    fill_random(1, 4, 1, 6);
    build(&rule);
    ck_assert_uint_eq(at.d.rows, 1);
}
END_TEST

/* Two experts that all tokens pass, behind five assignments in four rows: they get rows of
 * their own, every token once each, with the gate 1. */
START_TEST(shared_experts_get_every_token)
{
    enum { EXPERTS = 3, COUNT = 5, TOKENS = 3, SHARED = 2 };
    static uint32_t token[COUNT + SHARED * TOKENS];

    at.d = (vit_dispatch){
        .row = at.row, .kept = at.kept, .assignment = at.assignment, .rows = 4};
    at.d.offset[EXPERTS] = 4;
    memset(token, 0xAB, sizeof token);
    memset(at.row, 0xAB, sizeof at.row);
    memset(at.kept, 0, sizeof at.kept);
    memset(at.gate, 0, sizeof at.gate);
    memset(at.expert, 0xAB, sizeof at.expert);
    memset(at.assignment, 0xAB, sizeof at.assignment);
    vit_dispatch_share(&at.d, token, at.expert, at.gate, COUNT, TOKENS, EXPERTS, SHARED);
    ck_assert_uint_eq(at.d.rows, 4 + SHARED * TOKENS);
    for (size_t j = 0; j < SHARED; j++) {
        ck_assert_uint_eq(at.d.offset[EXPERTS + j], 4 + j * TOKENS);
        ck_assert_uint_eq(at.d.offset[EXPERTS + j + 1], 4 + (j + 1) * TOKENS);
        for (size_t t = 0; t < TOKENS; t++) {
            const size_t a = COUNT + j * TOKENS + t, row = 4 + j * TOKENS + t;
            ck_assert_uint_eq(token[a], t);
            ck_assert_uint_eq(at.expert[a], EXPERTS + j);
            ck_assert(at.gate[a] == 1.0f && at.kept[a]);
            ck_assert_uint_eq(at.row[a], row);
            ck_assert_uint_eq(at.assignment[row], a);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_dispatch");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, capacity_is_that_of_the_examples);
    tcase_add_test(core, golden_tokens_are_kept_in_vanilla_order);
    tcase_add_test(core, golden_tokens_are_kept_in_order_of_priority);
    tcase_add_test(core, dropless_keeps_all_in_token_order);
    tcase_add_test(core, enough_capacity_is_dropless);
    tcase_add_test(core, many_tokens_are_placed_alike_by_any_number_of_threads);
    tcase_add_loop_test(core, no_expert_is_over_capacity_and_none_is_left_idle, 0, 2);
    tcase_add_test(core, priority_keeps_the_largest_of_each_choice);
    tcase_add_test(core, equal_priorities_keep_the_earlier_token);
    tcase_add_test(core, first_choices_outrank_second_choices);
    tcase_add_test(core, groups_are_limited_each_on_its_own);
    tcase_add_test(core, shared_experts_get_every_token);
    tcase_add_test(limits, capacity_is_at_least_one);
    tcase_add_loop_test(core, groups_begin_anew_with_each_view, 0, 2);
    tcase_add_loop_test(limits, tokens_may_have_any_number_of_experts, 0, 2);
    tcase_add_test(limits, one_token_and_nan_gates_are_harmless);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
