/* test_vit_router_biased.c - routers that keep one number an expert: golden numbers of
 * routing-newer.md 16 and 17, when and by what the numbers move; and the controls of its
 * section 20. Whole networks of them: test_vit_state.c. */
#include "tests/test_leaks.h"
#include "tests/test_slope.h"
#include "tests/test_vit_router_rig.h"
#include "tests/test_says.h"

/* Z0 of routing.md 0.4 with two rows more. */
static const double z6[18] = {2,  .5, -1, 1.5, 1,  -.5, 1.8, -.3, .4,
                              .2, .9, .1, 1.1, .7, -.2, .6,  -.4, .3};

/* A golden case of T tokens, E 3, through the pass: width 3, the weight an identity. */
static void open_golden(rig *r, const char *router, const char *options, const double *z,
                        size_t tokens, size_t k, const double bias[3])
{
    const vit_router_shape shape = {.tokens = tokens,
                                    .tokens_per_image = tokens,
                                    .group_tokens = tokens,
                                    .width = 3,
                                    .heads = 1,
                                    .experts = 3,
                                    .k = k};

    rig_open(r, router, options, shape);
    for (size_t i = 0; i < 3 * tokens; i++)
        r->x[i] = (float)z[i];
    for (size_t i = 0; i < 9; i++)
        r->w[i] = i % 4 == 0;
    for (size_t e = 0; e < 3; e++)
        r->param[1][e] = (float)bias[e];
}

static void expect_experts(const rig *r, const uint16_t *want, size_t count)
{
    ck_assert_uint_eq(r->pass.out.count, count);
    for (size_t a = 0; a < count; a++)
        ck_assert_msg(r->pass.out.expert[a] == want[a], "assignment %zu: expert %d", a,
                      r->pass.out.expert[a]);
}

/* One backward pass and what it moves. */
static void move_once(rig *r, uint64_t step, uint64_t steps)
{
    const vit_router_motion *motion = r->router->motion;
    double sum[8] = {0};

    ck_assert_uint_le(motion->count(&r->pass.plan.shape), 8);
    r->router->backward(&r->pass, r->weight);
    motion->tally(sum, &r->pass);
    motion->move(r->param, sum, &r->pass.plan.shape, step, steps);
}

static void expect_bias(const rig *r, double a, double b, double c, double tolerance)
{
    ck_assert_double_eq_tol((double)r->param[1][0], a, tolerance);
    ck_assert_double_eq_tol((double)r->param[1][1], b, tolerance);
    ck_assert_double_eq_tol((double)r->param[1][2], c, tolerance);
}

/* ---- loss-free ----------------------------------------------------------------------- */

static const double lf_bias[3] = {-.3, .1, .2};
static const uint16_t lf_expert[8] = {1, 0, 1, 2, 2, 0, 1, 2};
static const double lf_gate[8] = {.41407396, .58592604, .65944351, .34055649,
                                  .41095045, .58904955, .57523505, .42476495};
static const double lf_d_z[12] = {-.014460311, .045798838, 0,           0,
                                  .060398264,  -.13979053, -.051506869, 0,
                                  .14571862,   0,          .14125302,   -.23213287};

/* dA of a token and a place among its choices. */
static double lf_d_gate(size_t a)
{
    return (double)(a / 2 + 1) * (a % 2 ? -.2 : .3);
}

START_TEST(loss_free_has_the_golden_gates_and_gradient)
{
    double score[12], gate[8], d_gate[8], d_z[12];
    uint16_t expert[8];

    for (size_t i = 0; i < 12; i++)
        score[i] = 1 / (1 + exp(-golden_z[i])) + lf_bias[i % 3];
    vit_route_top(expert, score, &golden_size);
    ck_assert_mem_eq(expert, lf_expert, sizeof expert);
    vit_route_gates_sigmoid_renorm(gate, golden_z, expert, &golden_size);
    expect_golden(gate, lf_gate, 8);
    for (size_t a = 0; a < 8; a++)
        d_gate[a] = lf_d_gate(a);
    vit_route_gates_sigmoid_renorm_backward(d_z, golden_z, gate, d_gate, expert,
                                            &golden_size);
    expect_golden(d_z, lf_d_z, 12);
}
END_TEST

/* Scores that are 0 in f64 share a token evenly, with the gradient of the limit. */
START_TEST(loss_free_gates_of_scores_that_vanish_are_equal)
{
    const vit_route_size size = {.tokens = 1, .experts = 3, .k = 2};
    const double z[3] = {-1e4, -1e4, -1e4}, d_gate[2] = {1, 2}, want[3] = {0.25, 0, -0.25};
    const uint16_t expert[2] = {2, 0};
    double gate[2], d_z[3];

    vit_route_gates_sigmoid_renorm(gate, z, expert, &size);
    vit_route_gates_sigmoid_renorm_backward(d_z, z, gate, d_gate, expert, &size);
    for (size_t i = 0; i < 2; i++)
        ck_assert_double_eq(gate[i], 0.5);
    for (size_t i = 0; i < 3; i++)
        ck_assert_double_eq(d_z[i], want[i]);
}
END_TEST

START_TEST(the_loss_free_pass_is_golden_and_moves_against_the_load)
{
    rig r;

    open_golden(&r, "loss-free", "", golden_z, 4, 2, lf_bias);
    vit_router_forward(r.router, &r.pass);
    expect_experts(&r, lf_expert, 8);
    for (size_t a = 0; a < 8; a++) {
        ck_assert_double_eq_tol((double)r.pass.out.gate[a], lf_gate[a], 2e-6);
        r.weight[a] = (float)lf_d_gate(a);
    }
    move_once(&r, 0, 0);
    for (size_t i = 0; i < 12; i++)
        ck_assert_double_eq_tol((double)r.d_x[i], lf_d_z[i], 2e-6);
    expect_bias(&r, -.299, .099, .199, 1e-7);
    rig_close(&r);
}
END_TEST

START_TEST(the_bias_stands_still_at_the_end)
{
    rig r;

    open_golden(&r, "loss-free", "freeze=0.03", golden_z, 4, 2, lf_bias);
    vit_router_forward(r.router, &r.pass);
    move_once(&r, 96, 100);
    expect_bias(&r, -.299, .099, .199, 1e-7);
    move_once(&r, 97, 100);
    expect_bias(&r, -.299, .099, .199, 1e-7);
    rig_close(&r);
    open_golden(&r, "loss-free", "freeze=1", golden_z, 4, 2, lf_bias); /* of one step */
    vit_router_forward(r.router, &r.pass);
    move_once(&r, 0, 1);
    expect_bias(&r, -.3, .1, .2, 1e-7);
    rig_close(&r);
}
END_TEST

START_TEST(without_step_and_bias_it_is_plain_top_k)
{
    static const double none[3] = {0};
    rig plain, biased;

    open_golden(&biased, "loss-free", "score=softmax u=0", golden_z, 4, 2, none);
    rig_open(&plain, "softmax", "balance=0", biased.pass.plan.shape);
    memcpy(plain.x, biased.x, 12 * sizeof(float));
    memcpy(plain.w, biased.w, 9 * sizeof(float));
    memcpy(plain.weight, biased.weight, 8 * sizeof(float));
    ck_assert_double_eq(rig_loss(&plain), rig_loss(&biased));
    ck_assert_mem_eq(plain.pass.out.expert, biased.pass.out.expert, 8 * sizeof(uint16_t));
    ck_assert_mem_eq(plain.pass.out.gate, biased.pass.out.gate, 8 * sizeof(float));
    plain.router->backward(&plain.pass, plain.weight);
    move_once(&biased, 0, 0);
    ck_assert_mem_eq(plain.d_x, biased.d_x, 12 * sizeof(float));
    expect_bias(&biased, 0, 0, 0, 1e-30);
    rig_close(&plain);
    rig_close(&biased);
}
END_TEST

/* ---- quantile ------------------------------------------------------------------------ */

START_TEST(quantile_has_the_golden_thresholds)
{
    static const double beta[3] = {.2, 0, -.1};
    static const uint16_t first[6] = {0, 0, 0, 1, 0, 2}, second[6] = {0, 0, 0, 1, 1, 2};
    static const double alpha[6] = {.5, 1, .5, .2, .7, .4};
    const vit_route_size size = {6, 3, 1};
    double score[18];
    uint16_t expert[6];
    uint64_t key[6];
    rig r;

    for (size_t i = 0; i < 18; i++)
        score[i] = z6[i] - beta[i % 3];
    vit_route_top(expert, score, &size);
    ck_assert_mem_eq(expert, first, sizeof first);
    for (size_t t = 0; t < 6; t++) {
        double row[3];
        for (size_t e = 0; e < 3; e++)
            row[e] = z6[3 * t + e] - beta[e];
        ck_assert_double_eq_tol(vit_route_kth_largest(row, NULL, 3, 1, 2, key), alpha[t],
                                1e-15);
    }
    ck_assert_double_eq_tol(vit_route_kth_largest(z6, alpha, 6, 3, 3, key), .5, 1e-15);
    ck_assert_double_eq_tol(vit_route_kth_largest(z6 + 1, alpha, 6, 3, 3, key), 0, 1e-15);
    ck_assert_double_eq_tol(vit_route_kth_largest(z6 + 2, alpha, 6, 3, 3, key), -.1, 1e-15);

    open_golden(&r, "quantile", "score=logits", z6, 6, 1, beta);
    vit_router_forward(r.router, &r.pass);
    ck_assert_mem_eq(r.pass.out.expert, first,
                     5 * sizeof *first); /* in fp32 the last is a tie */
    move_once(&r, 0, 0);
    expect_bias(&r, .5, 0, -.1, 1e-7);
    vit_router_forward(r.router, &r.pass);
    expect_experts(&r, second, 6);
    rig_close(&r);
}
END_TEST

START_TEST(the_dynamic_form_has_the_golden_pairs)
{
    static const double beta[3] = {.6, .55, .5};
    static const uint16_t pairs[12] = {0, 1, 0, 1, 0, 2, 1, 2, 0, 1, 0, 2};
    static const double q[3] = {.81757448, .66818777, .52497919};
    double score[18], got[3];
    uint64_t key[6];
    rig r;

    for (size_t i = 0; i < 18; i++)
        score[i] = 1 / (1 + exp(-z6[i]));
    for (size_t e = 0; e < 3; e++)
        got[e] = vit_route_kth_largest(score + e, NULL, 6, 3, 3, key);
    expect_golden(got, q, 3);

    open_golden(&r, "quantile", "form=dynamic score=sigmoid lambda=0.9", z6, 6, 1, beta);
    vit_router_forward(r.router, &r.pass);
    ck_assert_uint_eq(r.pass.out.count, 12);
    for (size_t a = 0; a < 12; a++) { /* best first: sort the two of a token */
        const uint16_t *two = r.pass.out.expert + a / 2 * 2;
        const uint16_t low = two[0] < two[1] ? two[0] : two[1];
        ck_assert_uint_eq(a % 2 ? two[0] + two[1] - low : low, pairs[a]);
        ck_assert_double_eq_tol((double)r.pass.out.gate[a],
                                score[r.pass.out.token[a] * 3 + r.pass.out.expert[a]],
                                1e-6);
    }
    move_once(&r, 0, 0);
    expect_bias(&r, .62175745, .56181878, .50249792, 1e-7);
    rig_close(&r);
}
END_TEST

/* Every expert takes its share of the first batch, and that is where the means begin. */
START_TEST(without_thresholds_the_batch_sets_them)
{
    static const double none[3] = {0};
    rig r;

    open_golden(&r, "quantile", "form=dynamic score=sigmoid", z6, 6, 1, none);
    vit_router_forward(r.router, &r.pass);
    ck_assert_uint_eq(r.pass.out.count, 6);
    move_once(&r, 0, 0);
    expect_bias(&r, .81757448, .66818777, .52497919, 1e-7);
    rig_close(&r);
}
END_TEST

/* Of several passes a step the mean; of none nothing moves. One threshold that is not 0 is
 * enough for fading means. */
START_TEST(several_passes_share_a_step)
{
    static const char *const forms[] = {"score=logits",
                                        "form=dynamic score=sigmoid lambda=0.7"};
    static const double begun[3] = {0, .6, 0};

    for (size_t form = 0; form < 2; form++) {
        const double keep = form == 1 ? 0.7 : 0.0;
        double sum[8] = {0}, alone[2][8] = {{0}};
        float other[18];
        rig r;
        open_golden(&r, "quantile", forms[form], z6, 6, 1, begun);
        const vit_router_motion *motion = r.router->motion;
        ck_assert_uint_eq(motion->count(&r.pass.plan.shape), 4);
        motion->move(r.param, sum, &r.pass.plan.shape, 0, 0);
        expect_bias(&r, 0, .6, 0, 1e-7);
        for (size_t i = 0; i < 18; i++)
            other[i] = r.x[17 - i];
        for (size_t pass = 0; pass < 2; pass++) {
            if (pass == 1)
                memcpy(r.x, other, sizeof other);
            vit_router_forward(r.router, &r.pass);
            motion->tally(sum, &r.pass);
            motion->tally(alone[pass], &r.pass);
            ck_assert(alone[pass][3] == 1.0);
        }
        ck_assert(sum[3] == 2.0);
        ck_assert_double_gt(fabs(alone[0][0] - alone[1][0]), 0.01);
        for (size_t e = 0; e < 3; e++)
            ck_assert_double_eq_tol(sum[e], alone[0][e] + alone[1][e], 1e-12);
        motion->move(r.param, sum, &r.pass.plan.shape, 0, 0);
        expect_bias(&r, (1 - keep) * sum[0] / 2, keep * .6 + (1 - keep) * sum[1] / 2,
                    (1 - keep) * sum[2] / 2, 1e-6);
        rig_close(&r);
    }
}
END_TEST

/* Of many tokens with one expert in favour every expert gets its share but for ties. */
START_TEST(thresholds_even_the_loads_at_once)
{
    enum { TOKENS = 900, EXPERTS = 6, CHOSEN = 2 };
    const vit_router_shape shape = {.tokens = TOKENS,
                                    .tokens_per_image = 9,
                                    .group_tokens = TOKENS,
                                    .width = EXPERTS,
                                    .heads = 1,
                                    .experts = EXPERTS,
                                    .k = CHOSEN};
    size_t load[2][EXPERTS] = {{0}};
    rig r;

    rig_open(&r, "quantile", "", shape);
    memset(r.param[1], 0, EXPERTS * sizeof(float));
    for (size_t i = 0; i < EXPERTS * EXPERTS; i++)
        r.w[i] = i % (EXPERTS + 1) == 0;
    for (size_t t = 0; t < TOKENS; t++)
        r.x[t * EXPERTS] += 2;
    for (int round = 0; round < 12; round++) {
        vit_router_forward(r.router, &r.pass);
        for (size_t a = 0; a < r.pass.out.count && (round == 0 || round == 11); a++)
            load[round > 0][r.pass.out.expert[a]]++;
        move_once(&r, 0, 0);
    }
    ck_assert_uint_gt(load[0][0], 700);
    for (size_t e = 0; e < EXPERTS; e++)
        ck_assert_double_eq_tol((double)load[1][e], 300, 30);
    rig_close(&r);
}
END_TEST

START_TEST(with_equal_numbers_all_choose_alike)
{
    static const double equal[3] = {.25, .25, .25};
    rig free_, quantile, plain;

    open_golden(&free_, "loss-free", "score=softmax", z6, 6, 2, equal);
    open_golden(&quantile, "quantile", "", z6, 6, 2, equal);
    rig_open(&plain, "softmax", "", free_.pass.plan.shape);
    memcpy(plain.x, free_.x, 18 * sizeof(float));
    memcpy(plain.w, free_.w, 9 * sizeof(float));
    vit_router_forward(free_.router, &free_.pass);
    vit_router_forward(quantile.router, &quantile.pass);
    vit_router_forward(plain.router, &plain.pass);
    ck_assert_mem_eq(free_.pass.out.expert, plain.pass.out.expert, 12 * sizeof(uint16_t));
    ck_assert_mem_eq(quantile.pass.out.expert, plain.pass.out.expert,
                     12 * sizeof(uint16_t));
    ck_assert_mem_eq(quantile.pass.out.gate, free_.pass.out.gate, 12 * sizeof(float));
    rig_close(&free_);
    rig_close(&quantile);
    rig_close(&plain);
}
END_TEST

/* ---- order statistics ---------------------------------------------------------------- */

START_TEST(order_statistics_are_those_of_a_sort)
{
    enum { COUNT = 257 };
    double x[2 * COUNT], sorted[COUNT];
    uint64_t key[COUNT];

    fill_normal(x, 2 * COUNT, 1.0, 5);
    x[0] = x[2] = x[4] = 0.0; /* ties, and both zeros are one */
    x[6] = -INFINITY;
    x[8] = 1e300;
    for (size_t i = 0; i < COUNT; i++) {
        size_t at = i;
        for (; at > 0 && x[2 * i] > sorted[at - 1]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = x[2 * i];
    }
    for (size_t m = 1; m <= COUNT; m++)
        ck_assert(vit_route_kth_largest(x, NULL, COUNT, 2, m, key) == sorted[m - 1]);
}
END_TEST

/* Exactly: what is added to every score at first is nothing. */
START_TEST(the_numbers_begin_at_zero)
{
    static const char *const routers[] = {"loss-free", "quantile"};
    const vit_router_shape shape = {.tokens = 6, .width = 3, .experts = 3, .k = 1};
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);

    for (size_t i = 0; i < 2; i++) {
        const vit_router *router = vit_router_find(routers[i]);
        float out[3] = {1, 2, 3};
        ck_assert(!router->init(out, 0, &shape, &rng)); /* the weight: as any router's */
        ck_assert(out[0] == 1.0f);
        ck_assert(router->init(out, 1, &shape, &rng));
        for (size_t e = 0; e < 3; e++)
            ck_assert(out[e] == 0.0f);
    }
}
END_TEST

/* ---- hash ---------------------------------------------------------------------------- */

START_TEST(places_are_dealt_evenly_and_stay)
{
    const vit_router_shape shape = {.tokens = 3 * 17,
                                    .tokens_per_image = 17,
                                    .group_tokens = 51,
                                    .width = 4,
                                    .heads = 1,
                                    .experts = 5,
                                    .k = 2};
    size_t load[5] = {0}, moved = 0;
    uint16_t kept[3 * 17 * 2];
    rig r;

    rig_open(&r, "hash", "", shape);
    ck_assert_uint_eq(r.params, 0);
    vit_router_forward(r.router, &r.pass);
    memcpy(kept, r.pass.out.expert, sizeof kept);
    for (size_t a = 0; a < 34; a++) {
        load[kept[a]]++;
        ck_assert_uint_eq(kept[a], kept[a + 34]); /* of the next image */
        ck_assert(kept[a] != kept[a ^ 1]);
        ck_assert(r.pass.out.gate[a] == 0.5f);
    }
    for (size_t e = 0; e < 5; e++)
        ck_assert(load[e] == 6 || load[e] == 7);
    rig_fill(&r, 9); /* what tokens say is nothing to it, nor training */
    r.pass.in.training = false;
    r.pass.in.seed = 1234;
    vit_router_forward(r.router, &r.pass);
    ck_assert_mem_eq(kept, r.pass.out.expert, sizeof kept);
    r.pass.in.layer = 3;
    vit_router_forward(r.router, &r.pass);
    for (size_t a = 0; a < 34; a++)
        moved += kept[a] != r.pass.out.expert[a];
    ck_assert_uint_gt(moved, 10);
    rig_close(&r);
}
END_TEST

/* ---- limits -------------------------------------------------------------------------- */

START_TEST(impossible_settings_are_named)
{
    static const struct {
        const char *router, *options, *text;
        int k;
    } cases[] = {
        {"quantile", "",
         "'router.k' is 4 with router quantile, expected less than the number of experts "
         "(4): there is no threshold between all of them",
         4},
        {"quantile", "form=dynamic score=logits",
         "'router.score' is logits with router.form dynamic, whose gates are the scores, "
         "expected sigmoid or softmax",
         2},
        {"random", "gate=renorm",
         "'router.gate' is renorm with router.k 1 (every gate would be 1 and the router "
         "would learn nothing), expected auto or prob, or router.k 2 or more",
         1},
    };
    vit_config config = slope_config();
    base_error err = {0};
    rig r;

    configure(&r, cases[_i].router, cases[_i].options);
    config.moe.router = r.config;
    config.moe.k = cases[_i].k;
    ck_assert_int_eq(vit_config_layers_set(&config, "every:2", NULL), BASE_OK);
    ck_assert_int_eq(vit_config_check(&config, &err), BASE_USAGE);
    test_says(err.text, cases[_i].text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_biased");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_test(core, loss_free_has_the_golden_gates_and_gradient);
    tcase_add_test(core, loss_free_gates_of_scores_that_vanish_are_equal);
    tcase_add_test(core, the_loss_free_pass_is_golden_and_moves_against_the_load);
    tcase_add_test(core, the_bias_stands_still_at_the_end);
    tcase_add_test(core, without_step_and_bias_it_is_plain_top_k);
    tcase_add_test(core, quantile_has_the_golden_thresholds);
    tcase_add_test(core, the_dynamic_form_has_the_golden_pairs);
    tcase_add_test(core, without_thresholds_the_batch_sets_them);
    tcase_add_test(core, several_passes_share_a_step);
    tcase_add_test(core, thresholds_even_the_loads_at_once);
    tcase_add_test(core, with_equal_numbers_all_choose_alike);
    tcase_add_test(core, order_statistics_are_those_of_a_sort);
    tcase_add_test(core, the_numbers_begin_at_zero);
    tcase_add_test(core, places_are_dealt_evenly_and_stay);
    tcase_add_loop_test(limits, impossible_settings_are_named, 0, 3);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
