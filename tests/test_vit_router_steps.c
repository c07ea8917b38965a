/* test_vit_router_steps.c - whole routers on the golden tokens of the design, and the steps
 * on which they balance: which are drawn, what they change, over which tokens (routing.md
 * 0.4, 3, 4). */
#include "tests/test_vit_router_rig.h"

/* ---- the golden tokens through the pass: width 3, the weight an identity ------------- */

static void rig_open_golden(rig *r, const char *router, const char *options)
{
    const vit_router_shape shape = {.tokens = 4,
                                    .tokens_per_image = 4,
                                    .group_tokens = 4,
                                    .width = 3,
                                    .heads = 1,
                                    .experts = 3,
                                    .k = 2};

    rig_open(r, router, options, shape);
    for (size_t i = 0; i < 12; i++)
        r->x[i] = (float)golden_z[i];
    for (size_t i = 0; i < 9; i++)
        r->w[i] = i % 4 == 0;
}

static void expect_loads(const rig *r, size_t a, size_t b, size_t c)
{
    size_t load[3] = {0};

    for (size_t i = 0; i < r->pass.out.count; i++)
        load[r->pass.out.expert[i]]++;
    ck_assert_uint_eq(load[0], a);
    ck_assert_uint_eq(load[1], b);
    ck_assert_uint_eq(load[2], c);
}

START_TEST(sinkhorn_balances_in_training_only)
{
    rig r;

    rig_open_golden(&r, "sinkhorn", "xi=0.5");
    vit_router_forward(r.router, &r.pass);
    expect_loads(&r, 3, 3, 2);
    ck_assert(r.pass.report.used_sinkhorn && r.pass.report.sinkhorn_converged);
    ck_assert_int_gt(r.pass.report.sinkhorn_iterations, 5);
    ck_assert_double_lt(r.pass.report.sinkhorn_residual, 1e-4 * 4 / 3);
    r.pass.in.training = false;
    vit_router_forward(r.router, &r.pass);
    expect_loads(&r, 4, 3, 1);
    rig_close(&r);
}
END_TEST

/* Gates and d_z of 4.12; single precision at the border: 2e-6. */
START_TEST(ssr_step_has_the_golden_gates_and_gradients)
{
    static const struct {
        const char *options;
        double gate[8], d_z[12];
    } cases[] = {
        {"cost=linear gradient=exact",
         {.76366234, .23633766, .69574897, .30425103, .65533484, .34466516, .50385920,
          .49614080},
         {.14595040, -.17277147, .026821068, -.62855143, .63058498, -.0020335523, .50074564,
          .019049766, -.51979541, -.018144618, -.47686327, .49500789}},
        {"cost=linear gradient=frozen",
         {.76366234, .23633766, .69574897, .30425103, .65533484, .34466516, .50385920,
          .49614080},
         {.36096434, -.36096434, 0, -.42336468, .42336468, 0, .67761326, 0, -.67761326, 0,
          -.57496574, .57496574}},
        {"cost=linear gradient=none",
         {.76366234, .23633766, .69574897, .30425103, .65533484, .34466516, .50385920,
          .49614080},
         {0}},
        {"cost=softmax gradient=exact",
         {.62397743, .37602257, .54911002, .45088998, .52849784, .47150216, .55683514,
          .44316486},
         {-.011519533, .0098931596, .0016263736, -.24550223, .23031134, .015190897,
          .21720425, -.030537531, -.18666672, .029820119, -.20788672, .17806660}},
        {"cost=softmax gradient=frozen",
         {.62397743, .37602257, .54911002, .45088998, .52849784, .47150216, .55683514,
          .44316486},
         {.0093458156, -.0061403295, -.0032054862, -.22006356, .21137291, .0086906533,
          .24555090, -.036797333, -.20875356, .040988165, -.20913287, .16814471}},
    };
    char options[128];
    rig r;

    snprintf(options, sizeof options, EXACT "xi=0.5 noise=0 %s", cases[_i].options);
    rig_open_golden(&r, "ssr", options);
    vit_router_forward(r.router, &r.pass);
    ck_assert(r.pass.report.used_sinkhorn);
    for (size_t a = 0; a < 8; a++) {
        ck_assert_double_eq_tol((double)r.pass.out.gate[a], cases[_i].gate[a], 2e-6);
        r.weight[a] = (float)golden_d_a[a / 2 * 3 + r.pass.out.expert[a]];
    }
    r.router->backward(&r.pass, r.weight);
    for (size_t i = 0; i < 12; i++) /* the weight is an identity: d_x = d_z */
        ck_assert_double_eq_tol((double)r.d_x[i], cases[_i].d_z[i], 2e-6);
    rig_close(&r);
}
END_TEST

START_TEST(losses_are_weighted_and_averaged_over_groups)
{
    /* two groups of the golden tokens have the loss of one, in value and gradient */
    const vit_router_shape twice = {.tokens = 8,
                                    .tokens_per_image = 4,
                                    .group_tokens = 4,
                                    .width = 3,
                                    .heads = 1,
                                    .experts = 3,
                                    .k = 2};
    const double balance[12] = {.068924136,  -.050354844, -.018569292, .10005451,
                                -.069891656, -.030162857, .098506773,  -.021479484,
                                -.077027289, .082324951,  -.026929378, -.055395572};
    const float nothing[16] = {0};
    rig r;

    rig_open(&r, "softmax", "balance=0.2 z=0", twice);
    for (size_t i = 0; i < 24; i++)
        r.x[i] = (float)golden_z[i % 12];
    for (size_t i = 0; i < 9; i++)
        r.w[i] = i % 4 == 0;
    r.pass.in.loss_scale = 0.5;
    vit_router_forward(r.router, &r.pass);
    ck_assert_double_eq_tol(r.pass.report.aux_loss, 0.2 * 1.5305250, 2e-7);
    r.router->backward(&r.pass, nothing);
    for (size_t i = 0; i < 24; i++)
        ck_assert_double_eq_tol((double)r.d_x[i], 0.5 * 0.2 / 2 * balance[i % 12], 1e-7);
    rig_close(&r);
}
END_TEST

/* ---- selection of Sinkhorn steps ----------------------------------------------------- */

START_TEST(sinkhorn_steps_are_drawn_by_step_and_layer)
{
    enum { STEPS = 4000 };
    size_t hits[2] = {0}, both = 0;
    rig r;

    rig_open(&r, "ssr", "p=0.1 max_iter=1", usual);
    for (uint64_t step = 0; step < STEPS; step++) {
        bool drawn[2];
        for (uint64_t layer = 0; layer < 2; layer++) {
            r.pass.in.step = step;
            r.pass.in.layer = layer;
            vit_router_forward(r.router, &r.pass);
            drawn[layer] = r.pass.report.used_sinkhorn;
            hits[layer] += drawn[layer];
            r.pass.in.first_token =
                1000; /* another rank, or a recomputed pass: the same draw */
            vit_router_forward(r.router, &r.pass);
            ck_assert_int_eq(r.pass.report.used_sinkhorn, drawn[layer]);
            r.pass.in.first_token = 0;
        }
        both += drawn[0] && drawn[1];
    }
    for (int layer = 0; layer < 2; layer++) /* mean 400, standard deviation 19 */
        ck_assert(hits[layer] > 310 && hits[layer] < 490);
    ck_assert(both > 12 && both < 76); /* mean 40, standard deviation 6.3 */
    rig_close(&r);
}
END_TEST

/* router.steps of a run of known length in place of p; the same number is foretold. */
START_TEST(so_many_sinkhorn_steps_a_run_may_be_asked_for)
{
    enum { STEPS = 4000, ASKED = 400 };
    size_t hits = 0;
    rig r;

    rig_open(&r, "ssr", "p=0.9 steps=400 max_iter=1", usual);
    r.pass.in.steps = STEPS;
    for (uint64_t step = 0; step < STEPS; step++) {
        r.pass.in.step = step;
        vit_router_forward(r.router, &r.pass);
        hits += r.pass.report.used_sinkhorn;
    }
    ck_assert(hits > 310 && hits < 490); /* mean 400, standard deviation 19 */
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, STEPS), ASKED, 1e-9);
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, 100), 100, 1e-9);
    r.pass.in.steps = 0; /* of unknown length: by p */
    for (uint64_t step = hits = 0; step < 100; step++) {
        r.pass.in.step = step;
        vit_router_forward(r.router, &r.pass);
        hits += r.pass.report.used_sinkhorn;
    }
    ck_assert_uint_gt(hits, 70);
    rig_close(&r);
    configure(&r, "ssr", "p=0.001");
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, 3124), 3.124, 1e-9);
    configure(&r, "sinkhorn", "");
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, 3124), 3124, 1e-9);
    configure(&r, "softmax", "");
    ck_assert(vit_router_sinkhorn_steps(&r.config, 3124) == 0);
}
END_TEST

START_TEST(sinkhorn_steps_spread_skewed_tokens)
{
    vit_router_shape shape = usual;
    size_t load[2][5] = {{0}};
    rig r[2];

    shape.tokens = shape.group_tokens = 500;
    rig_open(&r[0], "ssr", "p=0 noise=0", shape);
    rig_open(&r[1], "ssr", "p=1 noise=0 xi=0.5", shape);
    for (int i = 0; i < 2; i++) {
        for (size_t t = 0; t < shape.tokens; t++)
            r[i].x[t * shape.width] += 5.0f; /* all tokens share a direction */
        vit_router_forward(r[i].router, &r[i].pass);
        for (size_t a = 0; a < r[i].pass.out.count; a++)
            load[i][r[i].pass.out.expert[a]]++;
    }
    size_t low[2] = {1000, 1000}, high[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        for (size_t e = 0; e < 5; e++) {
            low[i] = load[i][e] < low[i] ? load[i][e] : low[i];
            high[i] = load[i][e] > high[i] ? load[i][e] : high[i];
        }
        rig_close(&r[i]);
    }
    ck_assert_uint_gt(high[0], 4 * low[0]); /* ideal 200 */
    ck_assert_uint_lt(high[1], 240);
    ck_assert_uint_gt(low[1], 160);
}
END_TEST

START_TEST(scope_group_balances_each_group_alone)
{
    vit_router_shape part = usual;
    rig whole, alone;

    rig_open(&whole, "ssr", "p=1 noise=0 scope=group", usual); /* groups of 9, 9 and 3 */
    vit_router_forward(whole.router, &whole.pass);
    for (size_t first = 0; first < 21; first += 9) {
        part.tokens = first < 18 ? 9 : 3;
        part.group_tokens = part.tokens;
        rig_open(&alone, "ssr", "p=1 noise=0", part);
        memcpy(alone.w, whole.w, part.experts * part.width * sizeof(float));
        memcpy(alone.x, whole.x + first * part.width,
               part.tokens * part.width * sizeof(float));
        vit_router_forward(alone.router, &alone.pass);
        ck_assert_mem_eq(alone.pass.out.expert, whole.pass.out.expert + first * 2,
                         alone.pass.out.count * sizeof(uint16_t));
        for (size_t a = 0; a < alone.pass.out.count; a++)
            expect_close(alone.pass.out.gate[a], whole.pass.out.gate[first * 2 + a], 1e-6);
        rig_close(&alone);
    }
    rig_close(&whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_steps");
    TCase *core = tcase_create("Core");

    tcase_add_test(core, sinkhorn_balances_in_training_only);
    tcase_add_loop_test(core, ssr_step_has_the_golden_gates_and_gradients, 0, 5);
    tcase_add_test(core, losses_are_weighted_and_averaged_over_groups);
    tcase_add_test(core, sinkhorn_steps_are_drawn_by_step_and_layer);
    tcase_add_test(core, so_many_sinkhorn_steps_a_run_may_be_asked_for);
    tcase_add_test(core, sinkhorn_steps_spread_skewed_tokens);
    tcase_add_test(core, scope_group_balances_each_group_alone);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
