/* test_vit_router_gradient.c - router logits are shown, and a loss of them reaches the
 * pixels: against central finite differences, with the choice of experts held and with it
 * free. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "tests/test_says.h"

enum { ROUTED_LAYERS = 2, ROUTED_TOKENS = SLOPE_BATCH * 10, ROUTED_K = 2 };
enum { EXPERTS = 4, ROUTED = ROUTED_LAYERS * ROUTED_TOKENS * EXPERTS };
enum { FLOATS = SLOPE_BATCH * SLOPE_FLOATS, LOGITS = SLOPE_BATCH * SLOPE_CLASSES };

static float images[FLOATS], slope[2][FLOATS], direction[FLOATS], moved[FLOATS];
static float weight[LOGITS], routed_weight[ROUTED], logits[LOGITS];
static uint16_t sets[SLOPE_BATCH * ROUTED_LAYERS * 10 * ROUTED_K];

/* Without adam, whose step is a jump to differences, and similarity, whose choices change
 * too soon: see test_vit_router_momentum.c and test_vit_router_graph.c. */
static const char *const routers[] = {"softmax",     "vmoe",      "sinkhorn",
                                      "ssr",         "momentum",  "robust-momentum",
                                      "sinkhorn-ot", "attention", "s2moe"};
enum { ROUTERS = sizeof routers / sizeof routers[0] };

static vit_model *model;
static vit_run *run;
static base_error err;

/* Experts in the first and the second of three blocks: a dense one comes behind. */
static void open_with(const char *router, const char *layers, vit_mode mode)
{
    vit_config config = slope_config();

    config.moe.k = ROUTED_K;
    ck_assert_int_eq(vit_config_layers_set(&config, layers, NULL), BASE_OK);
    ck_assert_int_eq(vit_router_select(&config.moe.router, router, NULL), BASE_OK);
    model = slope_model(&config);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, NULL), BASE_OK);
    slope_fill(images, FLOATS, 20);
    slope_fill(weight, LOGITS, 21);
    slope_fill(routed_weight, ROUTED, 22);
}

static void close_all(void)
{
    vit_run_destroy(run);
    vit_model_destroy(model);
}

/* share * weight . logits + routed_weight . router logits. */
static double phi(const float *in, double share)
{
    double sum = 0;

    ck_assert_int_eq(vit_run_forward(run, logits, in, SLOPE_BATCH, &(vit_step){0}, NULL),
                     BASE_OK);
    for (size_t i = 0; i < LOGITS; i++)
        sum += share * (double)weight[i] * (double)logits[i];
    for (size_t l = 0; l < ROUTED_LAYERS; l++) {
        const vit_routing r = vit_run_routing(run, l);
        const float *w = routed_weight + l * ROUTED_TOKENS * EXPERTS;

        ck_assert_uint_eq(r.tokens * r.experts, ROUTED_TOKENS * EXPERTS);
        ck_assert_ptr_nonnull(r.logits);
        for (size_t i = 0; i < r.tokens * r.experts; i++)
            sum += (double)w[i] * r.logits[i];
    }
    return sum;
}

static void backward(float *out, const float *d_logits, const float *d_routing)
{
    ck_assert_msg(vit_run_backward_routing(run, out, d_logits, d_routing, &err) == BASE_OK,
                  "%s", err.text);
}

/* Slopes along random directions; those that change a choice are counted, and few. */
static void check_slopes(double share, const char *name)
{
    enum { DIRECTIONS = 8 };
    const double h = 2e-3;
    size_t compared = 0;

    phi(images, share);
    const uint64_t chosen = slope_choices(run);
    backward(slope[0], share > 0 ? weight : NULL, routed_weight);
    for (uint64_t d = 0; d < DIRECTIONS; d++) {
        double expected = 0, value[2], size = 0;
        bool same = true;

        slope_fill(direction, FLOATS, 100 + d);
        for (size_t i = 0; i < FLOATS; i++) {
            expected += (double)direction[i] * (double)slope[0][i];
            size += pow((double)slope[0][i], 2);
        }
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < FLOATS; i++)
                moved[i] =
                    (float)((double)images[i] + (side ? h : -h) * (double)direction[i]);
            value[side] = phi(moved, share);
            same = same && slope_choices(run) == chosen;
        }
        if (!same)
            continue;
        compared++;
        ck_assert_msg(fabs((value[1] - value[0]) / (2 * h) - expected) <= 0.01 * sqrt(size),
                      "%s: finite difference %.6f, backward %.6f (size %.4f)", name,
                      (value[1] - value[0]) / (2 * h), expected, sqrt(size));
    }
    ck_assert_msg(compared >= 2, "%s: %zu directions keep the choice", name, compared);
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(probabilities_are_the_softmax_of_the_logits)
{
    open_with(routers[_i], "0,1", VIT_MODE_INFER);
    phi(images, 0);
    for (size_t l = 0; l < ROUTED_LAYERS; l++) {
        const vit_routing r = vit_run_routing(run, l);

        for (size_t t = 0; t < r.tokens; t++) {
            double sum = 0;
            for (size_t e = 0; e < EXPERTS; e++)
                sum += exp(r.logits[t * EXPERTS + e]);
            for (size_t e = 0; e < EXPERTS; e++)
                ck_assert_double_eq_tol(r.probs[t * EXPERTS + e],
                                        exp(r.logits[t * EXPERTS + e]) / sum, 1e-12);
        }
    }
    close_all();
}
END_TEST

START_TEST(a_loss_of_the_routers_reaches_the_pixels)
{
    open_with(routers[_i / 2], "0,1", VIT_MODE_INPUT_GRADIENT);
    phi(images, 0);
    if (_i % 2) {
        vit_run_routing_sets(run, sets);
        ck_assert_int_eq(vit_run_routing_fix(run, sets, SLOPE_BATCH, NULL), BASE_OK);
    }
    check_slopes(0, routers[_i / 2]);
    check_slopes(1, routers[_i / 2]);
    close_all();
}
END_TEST

START_TEST(without_one_backward_is_the_ordinary_one)
{
    open_with("ssr", "0,1", VIT_MODE_INPUT_GRADIENT);
    phi(images, 1);
    backward(slope[0], weight, routed_weight);
    backward(slope[0], weight, NULL); /* nothing is left of the last call */
    ck_assert_int_eq(vit_run_backward(run, slope[1], weight, NULL), BASE_OK);
    ck_assert_mem_eq(slope[0], slope[1], sizeof slope[0]);
    close_all();
}
END_TEST

/* With no gradient at the head the blocks behind the last router are left out: the same
 * sum. */
START_TEST(the_head_may_be_left_out)
{
    open_with("vmoe", "0,1", VIT_MODE_INPUT_GRADIENT);
    phi(images, 0);
    memset(weight, 0, sizeof weight);
    backward(slope[0], weight, routed_weight);
    backward(slope[1], NULL, routed_weight);
    for (size_t i = 0; i < FLOATS; i++)
        ck_assert_double_eq_tol((double)slope[0][i], (double)slope[1][i], 1e-6);
    close_all();
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(only_input_gradients_take_one)
{
    open_with("ssr", "0,1", VIT_MODE_TRAIN);
    phi(images, 0);
    ck_assert_int_eq(vit_run_backward_routing(run, slope[0], weight, routed_weight, &err),
                     BASE_USAGE);
    close_all();
    open_with("ssr", "0,1", VIT_MODE_INFER);
    ck_assert_int_eq(vit_run_backward_routing(run, slope[0], weight, routed_weight, &err),
                     BASE_USAGE);
    close_all();
}
END_TEST

START_TEST(a_dense_network_takes_none)
{
    open_with("ssr", "none", VIT_MODE_INPUT_GRADIENT);
    ck_assert_int_eq(
        vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){0}, NULL), BASE_OK);
    ck_assert_int_eq(vit_run_backward_routing(run, slope[0], weight, routed_weight, &err),
                     BASE_USAGE);
    test_says(err.text,
              "router logits get a gradient in an input gradient run with experts only");
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_gradient");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_loop_test(core, probabilities_are_the_softmax_of_the_logits, 0, ROUTERS);
    tcase_add_loop_test(core, a_loss_of_the_routers_reaches_the_pixels, 0, 2 * ROUTERS);
    tcase_add_test(core, without_one_backward_is_the_ordinary_one);
    tcase_add_test(core, the_head_may_be_left_out);
    tcase_add_test(limits, only_input_gradients_take_one);
    tcase_add_test(limits, a_dense_network_takes_none);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
