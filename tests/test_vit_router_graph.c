/* test_vit_router_graph.c - the routers that mix scores over the tokens of an image
 * (routing.md 7, a reconstruction): what holds for every similarity, the cases in which
 * nothing is mixed, refusals, and whole networks against finite differences. Their numbers
 * against PyTorch are in test_vit_golden.c. */
#include "tests/test_leaks.h"
#include "tests/test_slope.h"
#include "tests/test_vit_router_rig.h"
#include "vit/routers/graph_internal.h"

static const double rounding = 2e-6; /* sums of up to 7 numbers up to 1 in fp32 */

static vit_graph_state graph_of(const rig *r)
{
    base_arena arena = {.at = r->pass.plan.state, .bytes = SIZE_MAX};
    vit_graph_state state;

    vit_graph_state_plan(&state, &arena, &r->pass.plan.shape);
    return state;
}

/* Images of 7 tokens. */
static vit_router_shape sevens(void)
{
    vit_router_shape shape = usual;

    shape.tokens_per_image = 7;
    shape.group_tokens = 14;
    shape.heads = 2;
    return shape;
}

static double entropy(const double *p, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum -= p[i] > 0 ? p[i] * log(p[i]) : 0;
    return sum;
}

/* ---- Core ---------------------------------------------------------------------------- */

static const char *const routers[] = {"similarity", "attention"};

START_TEST(rows_of_similarities_and_of_mixed_scores_sum_to_one)
{
    const vit_router_shape shape = sevens();
    const char *const mixes[] = {"tau=0.7", "mix=logit"};
    rig r;

    for (size_t j = 0; j < 2; j++) {
        rig_open(&r, routers[_i], _i == 1 && j == 0 ? "" : mixes[j], shape);
        vit_router_forward(r.router, &r.pass);
        const vit_graph_state g = graph_of(&r);
        for (size_t t = 0; t < shape.tokens; t++) {
            double row = 0, mixed = 0;
            for (size_t u = 0; u < 7; u++) {
                ck_assert(g.sim[t * 7 + u] >= 0.0f);
                row += (double)g.sim[t * 7 + u];
            }
            for (size_t e = 0; e < shape.experts; e++)
                mixed += (j ? g.q : g.mixed)[t * shape.experts + e];
            ck_assert_double_eq_tol(row, 1.0, rounding);
            ck_assert_double_eq_tol(mixed, 1.0, rounding);
        }
        rig_close(&r);
    }
}
END_TEST

/* Entropy is concave: a mean of rows has at least the mean of their entropies. */
START_TEST(mixing_probabilities_does_not_lower_the_entropy)
{
    const vit_router_shape shape = sevens();
    const size_t e = shape.experts;
    double mixed = 0, mean = 0;
    rig r;

    rig_open(&r, routers[_i], "", shape);
    vit_router_forward(r.router, &r.pass);
    const vit_graph_state g = graph_of(&r);
    for (size_t t = 0; t < shape.tokens; t++) {
        mixed += entropy(g.mixed + t * e, e);
        for (size_t u = 0; u < 7; u++)
            mean += (double)g.sim[t * 7 + u] *
                    entropy(r.pass.out.probs + (t / 7 * 7 + u) * e, e);
    }
    ck_assert_double_ge(mixed, mean - rounding);
    ck_assert_double_ge(mixed - mean, 1e-3); /* something was mixed */
    rig_close(&r);
}
END_TEST

/* By hand: Sim of two tokens x = (2, 0), (0, 2) with sqrt(D) tau = 4: rows softmax(1,
 * 0). */
START_TEST(similarities_are_softmaxes_of_products)
{
    vit_router_shape shape = {.tokens = 2,
                              .tokens_per_image = 2,
                              .group_tokens = 2,
                              .width = 4,
                              .heads = 1,
                              .experts = 2,
                              .k = 1};
    const double near = exp(1.0) / (exp(1.0) + 1.0);
    rig r;

    rig_open(&r, "similarity", "tau=2", shape);
    memset(r.x, 0, 8 * sizeof *r.x);
    r.x[0] = r.x[5] = 2.0f;
    vit_router_forward(r.router, &r.pass);
    const vit_graph_state g = graph_of(&r);
    for (size_t i = 0; i < 4; i++)
        expect_close(g.sim[i], (float)(i % 3 ? 1.0 - near : near), rounding);
    for (size_t t = 0; t < 2; t++)
        for (size_t e = 0; e < 2; e++)
            ck_assert_double_eq_tol(g.mixed[t * 2 + e],
                                    near * r.pass.out.probs[t * 2 + e] +
                                        (1.0 - near) * r.pass.out.probs[(1 - t) * 2 + e],
                                    rounding);
    rig_close(&r);
}
END_TEST

START_TEST(identical_tokens_get_identical_experts)
{
    const vit_router_shape shape = sevens();
    const char *const options[] = {"", "mix=logit"};
    rig r;

    for (size_t j = 0; j < 2; j++) {
        rig_open(&r, "similarity", options[j], shape);
        for (size_t t = 0; t < shape.tokens; t += 7)
            for (size_t u = 2; u < 7; u += 2) /* tokens 0, 2, 4, 6 of an image */
                memcpy(r.x + (t + u) * shape.width, r.x + t * shape.width,
                       shape.width * sizeof *r.x);
        vit_router_forward(r.router, &r.pass);
        for (size_t t = 0; t < shape.tokens; t += 7)
            for (size_t u = 2; u < 7; u += 2)
                for (size_t a = 0; a < shape.k; a++) {
                    ck_assert_uint_eq(r.pass.out.expert[(t + u) * shape.k + a],
                                      r.pass.out.expert[t * shape.k + a]);
                    expect_close(r.pass.out.gate[(t + u) * shape.k + a],
                                 r.pass.out.gate[t * shape.k + a], rounding);
                }
        rig_close(&r);
    }
}
END_TEST

/* Nothing is mixed: lambda = 0, similarities of a cold softmax, attention of each token to
 * itself. */
typedef struct identity {
    const char *router, *options, *softmax;
    bool to_itself;
} identity;

static const identity unmixed[] = {
    {"similarity", "lambda=0 balance=0.3", "balance=0.3", false},
    {"similarity", "lambda=0 mix=logit z=0.1 noise=0.4", "z=0.1 noise=0.4", false},
    {"similarity", "lambda=0 gate=prob", "gate=prob", false},
    {"attention", "lambda=0", "", false},
    {"attention", "mix=prob", "", true},
    {"attention", "mix=logit noise=0.4 gate=prob", "noise=0.4 gate=prob", true},
};
enum { UNMIXED = sizeof unmixed / sizeof unmixed[0] };

START_TEST(without_mixing_it_is_softmax)
{
    const identity *c = &unmixed[_i];
    const vit_router_shape shape = sevens();
    rig a, b;

    rig_open(&a, c->router, c->options, shape);
    rig_open(&b, "softmax", c->softmax, shape);
    for (size_t i = 0; c->to_itself && i < rig_pairs(&shape); i++)
        a.attention[i] = i % 7 == i / 7 % 7 ? 1.0f : 0.0f;
    ck_assert_double_eq_tol(rig_loss(&a), rig_loss(&b), 1e-5);
    ck_assert_mem_eq(a.pass.out.expert, b.pass.out.expert,
                     a.pass.out.count * sizeof *a.pass.out.expert);
    for (size_t i = 0; i < a.pass.out.count; i++)
        expect_close(a.pass.out.gate[i], b.pass.out.gate[i], rounding);
    a.router->backward(&a.pass, a.weight);
    b.router->backward(&b.pass, b.weight);
    for (size_t i = 0; i < shape.tokens * shape.width; i++)
        if (!c->to_itself) /* the similarities themselves still have a slope */
            expect_close(a.d_x[i], b.d_x[i], 1e-5);
    for (size_t i = 0; i < shape.experts * shape.width; i++)
        expect_close(a.d_w[i], b.d_w[i], 1e-5);
    rig_close(&a);
    rig_close(&b);
}
END_TEST

static vit_model *similarity_model(const char *bilinear)
{
    vit_config config = slope_config();
    vit_model *model = NULL;

    config.moe.k = 2;
    ck_assert_int_eq(vit_config_layers_set(&config, "1", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_select(&config.moe.router, "similarity", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_set(&config.moe.router, "bilinear", bilinear, NULL),
                     BASE_OK);
    ck_assert_int_eq(vit_model_create(&model, &config, NULL), BASE_OK);
    vit_model_init(model, 7);
    return model;
}

static void logits_of(float *logits, const vit_model *model)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    vit_run *run = NULL;

    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_INFER, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    ck_assert_int_eq(
        vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){0}, NULL), BASE_OK);
    vit_run_destroy(run);
}

START_TEST(a_bilinear_matrix_starts_as_the_identity)
{
    float logits[2][SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *plain = similarity_model("off"), *bilinear = similarity_model("on");
    size_t more = 0;

    for (size_t i = 0; i < vit_model_parameter_count(bilinear); i++) {
        const vit_parameter *p = vit_model_parameter(bilinear, i);
        float *w = vit_model_weights(bilinear) + p->offset;
        if (strstr(p->name, "similarity.weight")) {
            for (size_t j = 0; j < p->count; j++)
                expect_close(w[j], j % 25 == 0 ? 1.0f : 0.0f, 1e-9);
            more = 1;
            continue;
        }
        const vit_parameter *q = vit_model_parameter(plain, i - more);
        ck_assert_str_eq(p->name, q->name);
        slope_fill(w, p->count, i);
        memcpy(vit_model_weights(plain) + q->offset, w, p->count * sizeof *w);
    }
    ck_assert_uint_eq(more, 1);
    logits_of(logits[0], plain);
    logits_of(logits[1], bilinear);
    for (size_t i = 0; i < SLOPE_BATCH * SLOPE_CLASSES; i++)
        expect_close(logits[0][i] / 10.0f, logits[1][i] / 10.0f, 1e-4);
    vit_model_destroy(plain);
    vit_model_destroy(bilinear);
}
END_TEST

/* Ten tokens an image of width 24, four experts: X X^T and Sim P beside softmax's. */
START_TEST(operations_of_mixing_are_counted)
{
    vit_model *mixed = similarity_model("off"), *bilinear = similarity_model("on");
    vit_config config = *vit_model_config(mixed);
    vit_model *plain = NULL;

    ck_assert_int_eq(vit_router_select(&config.moe.router, "softmax", NULL), BASE_OK);
    ck_assert_int_eq(vit_model_create(&plain, &config, NULL), BASE_OK);
    ck_assert_double_eq(vit_model_flops(mixed) - vit_model_flops(plain),
                        2 * (10 * 10 * 24 + 10 * 10 * 4));
    ck_assert_double_eq(vit_model_flops(bilinear) - vit_model_flops(mixed),
                        2 * 10 * 24 * 24);
    vit_model_destroy(mixed);
    vit_model_destroy(bilinear);
    vit_model_destroy(plain);
}
END_TEST

/* ---- Gradient ------------------------------------------------------------------------ */

typedef struct network {
    const char *router, *options, *layers;
} network;

static const network networks[] = {
    {"similarity", "tau=2 balance=0.5", "0,2"},
    {"similarity", "lambda=0.6 tau=3 bilinear=on mix=logit noise=0.3", "1,2"},
    {"attention", "lambda=0.7 balance=0.5", "0,2"},
    {"attention", "mix=logit z=0.1", "1,2"},
};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

static void check_slopes(const network *n, vit_mode mode)
{
    vit_config config = slope_config();
    vit_run *run = NULL;
    rig r;

    configure(&r, n->router, n->options);
    config.moe.k = 2;
    config.moe.router = r.config;
    ck_assert_int_eq(vit_config_layers_set(&config, n->layers, NULL), BASE_OK);
    vit_model *model = slope_model(&config);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, NULL), BASE_OK);
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

/* The rig's attention is free, so that its gradient can be told from differences
 * directly. */
START_TEST(every_head_takes_its_part_of_the_gradient)
{
    const vit_router_shape shape = sevens();
    rig r;

    rig_open(&r, "attention", "lambda=0.8", shape);
    rig_loss(&r);
    r.router->backward(&r.pass, r.weight);
    for (size_t i = 0; i < rig_pairs(&shape); i += 13) {
        const float kept = r.attention[i], h = 2e-3f;
        r.attention[i] = kept + h;
        const double up = rig_loss(&r);
        r.attention[i] = kept - h;
        const double down = rig_loss(&r);
        r.attention[i] = kept;
        expect_close(r.d_attention[i], (float)((up - down) / (2.0 * (double)h)), 1e-3);
    }
    rig_close(&r);
}
END_TEST

START_TEST(detached_similarities_take_no_gradient)
{
    const vit_router_shape shape = sevens();
    rig r;

    rig_open(&r, "attention", "detach_sim=on", shape);
    rig_loss(&r);
    r.router->backward(&r.pass, r.weight);
    for (size_t i = 0; i < rig_pairs(&shape); i++)
        ck_assert(r.d_attention[i] == 0.0f);
    rig_close(&r);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(a_matrix_that_would_not_learn_is_refused)
{
    vit_config c = {.moe = {.experts = 4, .k = 2}};
    base_error err = {0};
    rig r;

    configure(&r, "similarity", "bilinear=on detach_sim=on");
    c.moe.router = r.config;
    ck_assert_int_eq(r.router->check(&c, &err), BASE_USAGE);
    ck_assert_str_eq(err.text,
                     "'router.bilinear' is on with router.detach_sim on (the matrix would "
                     "never learn), expected one of them off");
}
END_TEST

/* A tiny temperature makes every token its own only neighbour. */
START_TEST(cold_similarities_are_the_identity)
{
    const vit_router_shape shape = sevens();
    rig a, b;

    rig_open(&a, "similarity", "tau=0.001", shape);
    rig_open(&b, "softmax", "", shape);
    for (size_t t = 0; t < shape.tokens; t++) { /* the same length: none prefers another */
        double squares = 0;
        for (size_t i = 0; i < shape.width; i++)
            squares += pow((double)a.x[t * shape.width + i], 2);
        for (size_t i = 0; i < shape.width; i++)
            a.x[t * shape.width + i] /= (float)sqrt(squares);
    }
    memcpy(b.x, a.x, shape.tokens * shape.width * sizeof *a.x);
    vit_router_forward(a.router, &a.pass);
    vit_router_forward(b.router, &b.pass);
    ck_assert_mem_eq(a.pass.out.expert, b.pass.out.expert,
                     a.pass.out.count * sizeof *a.pass.out.expert);
    for (size_t i = 0; i < a.pass.out.count; i++)
        expect_close(a.pass.out.gate[i], b.pass.out.gate[i], rounding);
    rig_close(&a);
    rig_close(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_graph");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_loop_test(core, rows_of_similarities_and_of_mixed_scores_sum_to_one, 0, 2);
    tcase_add_loop_test(core, mixing_probabilities_does_not_lower_the_entropy, 0, 2);
    tcase_add_test(core, similarities_are_softmaxes_of_products);
    tcase_add_test(core, identical_tokens_get_identical_experts);
    tcase_add_loop_test(core, without_mixing_it_is_softmax, 0, UNMIXED);
    tcase_add_test(core, a_bilinear_matrix_starts_as_the_identity);
    tcase_add_test(core, operations_of_mixing_are_counted);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, NETWORKS);
    tcase_add_loop_test(gradient, input_gradient_mode_equals_finite_differences, 0,
                        NETWORKS);
    tcase_add_test(gradient, every_head_takes_its_part_of_the_gradient);
    tcase_add_test(gradient, detached_similarities_take_no_gradient);
    tcase_add_test(limits, a_matrix_that_would_not_learn_is_refused);
    tcase_add_test(limits, cold_similarities_are_the_identity);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
