/* test_vit_router_momentum.c - the routers that join the stream with what earlier MoE
 * layers carried: the numbers of routing.md 6, the cases in which nothing is left of them,
 * refusals, and whole networks against finite differences. Their numbers against PyTorch
 * are in test_vit_golden.c. */
#include "tests/test_leaks.h"
#include "tests/test_slope.h"
#include "tests/test_vit_router_rig.h"

enum { LOGITS = SLOPE_BATCH * SLOPE_CLASSES, SET_MAX = 4096 };

/* Sums of a few hundred products in fp32, in another order. */
static const double rounding = 2e-5;
static const double same = 1e-6; /* of numbers below 10 */

static vit_model *model_of(const char *router, const char *options, const char *layers)
{
    vit_config config = slope_config();
    rig r;

    configure(&r, router, options);
    config.moe.k = 2;
    config.moe.router = r.config;
    ck_assert_int_eq(vit_config_layers_set(&config, layers, NULL), BASE_OK);
    return slope_model(&config);
}

static vit_run *run_of(const vit_model *model, vit_mode mode)
{
    vit_run *run = NULL;

    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, NULL), BASE_OK);
    return run;
}

/* Logits, and the experts that were chosen, of a network with this router. */
static size_t pass_of(float *logits, uint16_t *sets, const char *router,
                      const char *options, vit_mode mode)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    vit_model *model = model_of(router, options, "0,1,2");
    vit_run *run = run_of(model, mode);
    const size_t count = SLOPE_BATCH * vit_run_set_count(run);

    ck_assert_uint_le(count, SET_MAX);
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){0}, NULL), BASE_OK);
    vit_run_routing_sets(run, sets);
    vit_run_destroy(run);
    vit_model_destroy(model);
    return count;
}

static double distance(const float *a, const float *b)
{
    double most = 0;

    for (size_t i = 0; i < LOGITS; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* ---- Core ---------------------------------------------------------------------------- */

typedef struct identity {
    const char *router, *options;
} identity;

static const identity nothing_left[] = {
    {"momentum", "mu=0 gamma=1"},
    {"robust-momentum", "step=1 beta=0 eta=0"},
};

START_TEST(without_momentum_the_network_is_that_of_softmax)
{
    const identity *c = &nothing_left[_i];
    static const vit_mode modes[] = {VIT_MODE_INFER, VIT_MODE_TRAIN};
    static uint16_t sets[2][SET_MAX];
    float logits[2][LOGITS];

    for (size_t i = 0; i < 2; i++) {
        const size_t count = pass_of(logits[0], sets[0], c->router, c->options, modes[i]);
        pass_of(logits[1], sets[1], "softmax", "", modes[i]);
        ck_assert_double_le(distance(logits[0], logits[1]), rounding);
        ck_assert_mem_eq(sets[0], sets[1], count * sizeof sets[0][0]);
        pass_of(logits[0], sets[0], c->router, "",
                modes[i]); /* with its defaults it is not */
        ck_assert_double_ge(distance(logits[0], logits[1]), 1000 * rounding);
    }
}
END_TEST

/* mu .5, gamma 2: m1 = .5 * 0 + 2 * 3 = 6, h1 = 1 + 6 = 7; m2 = .5 * 6 + 2 * -1 = 1, h2 =
 * 8. */
START_TEST(heavy_ball_carries_its_momentum)
{
    const float first = 3.0f, second = -1.0f, before = 0.0f;
    float h = 1.0f, m = 0.0f;
    rig r;

    configure(&r, "momentum", "mu=0.5 gamma=2");
    r.router->join->forward(&h, &m, &h, &first, &before, 1, 0, &r.config);
    expect_close(m, 6.0f, same);
    expect_close(h, 7.0f, same);
    r.router->join->forward(&h, &m, &h, &second, &m, 1, 1, &r.config);
    expect_close(m, 1.0f, same);
    expect_close(h, 8.0f, same);
}
END_TEST

/* routing.md 6: .1 y / sqrt(.001 y^2 + 1e-8) at y = 1e-3, 1e-2, .1: .953, 3.015, 3.161, and
 * its derivative 1e-9 / (.001 y^2 + 1e-8)^1.5. */
START_TEST(adam_saturates_as_the_design_says)
{
    enum { COUNT = 4 };
    const float y[COUNT] = {1e-3f, 1e-2f, 0.1f, -0.1f}, h[COUNT] = {0}, zero[COUNT] = {0};
    const float one[COUNT] = {1, 1, 1, 1};
    const double want[COUNT] = {0.953, 3.015, 3.161, -3.161};
    float next[COUNT], carry[COUNT], d_h[COUNT], d_y[COUNT], d_carry[COUNT];
    rig r;

    configure(&r, "adam", "");
    r.router->join->forward(next, carry, h, y, zero, COUNT, 0, &r.config);
    r.router->join->backward(d_h, d_y, d_carry, one, zero, h, y, zero, carry, COUNT, 0,
                             &r.config);
    for (size_t i = 0; i < COUNT; i++) {
        const double v = 0.001 * (double)y[i] * (double)y[i] + 1e-8;
        expect_close(next[i], (float)want[i], 6e-4);
        expect_close(carry[i], y[i], 1e-9);
        expect_close(d_h[i], 1.0f, same);
        ck_assert_double_eq_tol((double)d_y[i] / (1e-9 / pow(v, 1.5)), 1.0, 1e-5);
    }
}
END_TEST

/* Only the first layer steps as Adam; with kappa = 1 nothing of the stream is left
 * there. */
START_TEST(adam_is_a_heavy_ball_from_the_second_layer_on)
{
    const float h = 5.0f, y = 0.5f, m = 2.0f;
    float next[2], carry[2];
    rig adam, ball;

    configure(&adam, "adam", "mu=0.3 gamma=0.7 kappa=1");
    configure(&ball, "momentum", "mu=0.3 gamma=0.7");
    adam.router->join->forward(&next[0], &carry[0], &h, &y, &m, 1, 1, &adam.config);
    ball.router->join->forward(&next[1], &carry[1], &h, &y, &m, 1, 1, &ball.config);
    expect_close(next[0], next[1], same);
    expect_close(carry[0], carry[1], same);
    adam.router->join->forward(&next[0], &carry[0], &h, &y, &m, 1, 0, &adam.config);
    expect_close(next[0], 3.162f, 1e-3);
    expect_close(carry[0], 0.35f, 1e-6);
}
END_TEST

/* routing.md 6: L = 10, m = 1, rho = .8 give step .072, beta .56888889, eta .79012346. */
START_TEST(robust_momentum_has_the_numbers_of_the_design)
{
    const float h = 0.0f, before = -1.0f, none = 0.0f, y = 1.0f;
    float in, next, carry;
    rig r;

    configure(&r, "robust-momentum", "L=10 m=1 rho=0.8");
    const vit_router_join *join = r.router->join;
    join->enter(&in, &h, &before, 1, 1, &r.config);
    expect_close(in, 0.79012346f, 2e-6);
    join->forward(&next, &carry, &h, &none, &before, 1, 1, &r.config);
    expect_close(next, 0.56888889f, 2e-6);
    expect_close(carry, 0.0f, same);
    join->forward(&next, &carry, &h, &y, &h, 1, 1, &r.config);
    expect_close(next, 0.072f, 2e-6);
    /* nothing has moved before the first layer */
    join->enter(&in, &h, &before, 1, 0, &r.config);
    expect_close(in, 0.0f, same);
    join->forward(&next, &carry, &h, &none, &before, 1, 0, &r.config);
    expect_close(next, 0.0f, same);
    /* the defaults: L 1, L / m 1.25, rho 0.2 give step 0.96, beta 0.04, eta 0.041666667 */
    configure(&r, "robust-momentum", "");
    join->enter(&in, &h, &before, 1, 1, &r.config);
    expect_close(in, 0.041666667f, 2e-6);
    join->forward(&next, &carry, &h, &none, &before, 1, 1, &r.config);
    expect_close(next, 0.04f, 2e-6);
    join->forward(&next, &carry, &h, &y, &h, 1, 1, &r.config);
    expect_close(next, 0.96f, 2e-6);
    /* what is given is not computed */
    configure(&r, "robust-momentum", "L=10 m=1 rho=0.8 eta=0.25");
    join->enter(&in, &h, &before, 1, 1, &r.config);
    expect_close(in, 0.25f, same);
}
END_TEST

/* ---- Gradient ------------------------------------------------------------------------ */

typedef struct network {
    const char *router, *options, *layers;
} network;

/* eps of adam: with the authors' 1e-8 the step is a jump, which differences cannot
 * follow. */
static const network networks[] = {
    {"momentum", "gamma=0.9 balance=0.5", "0,1,2"},
    {"momentum", "mu=0.9 balance=0.5 z=0.1 noise=0.3", "0,2"},
    {"momentum", "norm=post mu=0.8 balance=0.5", "0,2"},
    {"adam", "eps=0.001 kappa=0.25 balance=0.5", "0,1,2"},
    {"adam", "eps=0.001 adam_gamma=0.5 gamma=0.8", "1,2"},
    {"robust-momentum", "balance=0.5", "0,1,2"},
    {"robust-momentum", "L=10 m=1 rho=0.8 step=0.7", "0,2"},
};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

static void check_slopes(const network *n, vit_mode mode)
{
    vit_model *model = model_of(n->router, n->options, n->layers);
    vit_run *run = run_of(model, mode);

    slope_check_all(run, model, n->router);
    vit_run_destroy(run);
    vit_model_destroy(model);
}

START_TEST(backward_equals_finite_differences)
{
    check_slopes(&networks[_i], VIT_MODE_TRAIN);
}
END_TEST

START_TEST(input_gradient_mode_equals_finite_differences)
{
    check_slopes(&networks[_i], VIT_MODE_INPUT_GRADIENT);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(robust_momentum_refuses_rates_that_do_not_converge)
{
    static const struct {
        const char *options, *words;
    } bad[] = {
        {"L=1 m=1", "'router.m' is 1, expected less than router.L (1)"},
        {"L=1 m=2 step=1", "'router.m' is 2, expected less than router.L (1)"},
        {"L=10 m=1 rho=0.95",
         "'router.rho' is 0.95, expected 0.683772 to 0.9 for router.L 10 and router.m 1"},
        {"L=10 m=1 rho=0.5 eta=0 beta=0",
         "'router.rho' is 0.5, expected 0.683772 to 0.9 for router.L 10 and router.m 1"},
    };
    static const char *const good[] = {"", "L=10 m=1 rho=0.9",
                                       "L=1 m=1 step=1 beta=0 eta=0"};
    vit_config c = {.moe = {.experts = 4, .k = 2}};
    rig r;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        configure(&r, "robust-momentum", bad[i].options);
        c.moe.router = r.config;
        ck_assert_int_eq(r.router->check(&c, &err), BASE_USAGE);
        ck_assert_str_eq(err.text, bad[i].words);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        configure(&r, "robust-momentum", good[i]);
        c.moe.router = r.config;
        ck_assert_int_eq(r.router->check(&c, NULL), BASE_OK);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_momentum");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_loop_test(core, without_momentum_the_network_is_that_of_softmax, 0, 2);
    tcase_add_test(core, heavy_ball_carries_its_momentum);
    tcase_add_test(core, adam_saturates_as_the_design_says);
    tcase_add_test(core, adam_is_a_heavy_ball_from_the_second_layer_on);
    tcase_add_test(core, robust_momentum_has_the_numbers_of_the_design);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, NETWORKS);
    tcase_add_loop_test(gradient, input_gradient_mode_equals_finite_differences, 0,
                        NETWORKS);
    tcase_add_test(limits, robust_momentum_refuses_rates_that_do_not_converge);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
