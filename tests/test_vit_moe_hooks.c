/* test_vit_moe_hooks.c - routers that are not in the table yet fit without touching moe.c:
 * one that joins the stream itself (MomentumSMoE, routing.md 6), one that also chooses
 * where the layer reads it (the robust momentum method), one that looks at the attention
 * (routing.md 7), one that shows the experts a second view of the tokens (S2MoE, routing.md
 * 8). Each is a router of this file, run in place of softmax, whose parameters it
 * shares. */
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "vit/routers/router_pass_internal.h"
#include "vit/run_internal.h"

/* Sums of a few hundred products in fp32, in another order. */
static const double rounding = 2e-4;

/* ---- heavy ball: m' = mu m + gamma y, h' = h + m' ------------------------------------ */

typedef struct ball {
    float mu, gamma;
} ball;

static const ball heavy = {0.7f,
                           0.9f}; /* 0.7: the authors' scripts; 0.9: not 1 by chance */
static const ball plain = {0.0f, 1.0f}; /* the residual of every other router */

static void ball_forward(float *h_next, float *carry_out, const float *h, const float *y,
                         const float *carry_in, size_t floats, ball b)
{
    for (size_t i = 0; i < floats; i++) {
        carry_out[i] = b.mu * carry_in[i] + b.gamma * y[i];
        h_next[i] = h[i] + carry_out[i];
    }
}

static void ball_backward(float *d_h, float *d_y, float *d_carry_in, const float *d_h_next,
                          const float *d_carry_out, size_t floats, ball b)
{
    for (size_t i = 0; i < floats; i++) {
        const float d_m = d_carry_out[i] + d_h_next[i];
        d_h[i] = d_h_next[i]; /* may be the same, as below */
        d_y[i] = b.gamma * d_m;
        d_carry_in[i] = b.mu * d_m;
    }
}

static void heavy_forward(float *h_next, float *carry_out, const float *h, const float *y,
                          const float *carry_in, size_t floats, int moe_index,
                          const vit_router_config *config)
{
    (void)moe_index, (void)config;
    ball_forward(h_next, carry_out, h, y, carry_in, floats, heavy);
}

static void heavy_backward(float *d_h, float *d_y, float *d_carry_in, const float *d_h_next,
                           const float *d_carry_out, const float *h, const float *y,
                           const float *carry_in, const float *carry_out, size_t floats,
                           int moe_index, const vit_router_config *config)
{
    (void)h, (void)y, (void)carry_in, (void)carry_out, (void)moe_index, (void)config;
    ball_backward(d_h, d_y, d_carry_in, d_h_next, d_carry_out, floats, heavy);
}

static void plain_forward(float *h_next, float *carry_out, const float *h, const float *y,
                          const float *carry_in, size_t floats, int moe_index,
                          const vit_router_config *config)
{
    (void)moe_index, (void)config;
    ball_forward(h_next, carry_out, h, y, carry_in, floats, plain);
}

static void plain_backward(float *d_h, float *d_y, float *d_carry_in, const float *d_h_next,
                           const float *d_carry_out, const float *h, const float *y,
                           const float *carry_in, const float *carry_out, size_t floats,
                           int moe_index, const vit_router_config *config)
{
    (void)h, (void)y, (void)carry_in, (void)carry_out, (void)moe_index, (void)config;
    ball_backward(d_h, d_y, d_carry_in, d_h_next, d_carry_out, floats, plain);
}

static const vit_router_join heavy_join = {
    .carry_width = 1, .forward = heavy_forward, .backward = heavy_backward};
static const vit_router_join plain_join = {
    .carry_width = 1, .forward = plain_forward, .backward = plain_backward};

/* ---- robust momentum: in = h + eta (h - before), h' = h + beta (h - before) + step y */

static const float robust_step = 0.7f, robust_beta = 0.5f, robust_eta = 0.6f;

/* The carry is the stream at the MoE layer before; before the first one nothing has
 * moved. */
static float moved(const float *h, const float *carry_in, size_t i, int moe_index)
{
    return moe_index > 0 ? h[i] - carry_in[i] : 0.0f;
}

static void robust_enter(float *in, const float *h, const float *carry_in, size_t floats,
                         int moe_index, const vit_router_config *config)
{
    (void)config;
    for (size_t i = 0; i < floats; i++)
        in[i] = h[i] + robust_eta * moved(h, carry_in, i, moe_index);
}

static void robust_enter_backward(float *d_h, float *d_carry_in, const float *d_in,
                                  size_t floats, int moe_index,
                                  const vit_router_config *config)
{
    const float eta = moe_index > 0 ? robust_eta : 0.0f;
    (void)config;
    for (size_t i = 0; i < floats; i++) {
        d_h[i] += (1.0f + eta) * d_in[i];
        d_carry_in[i] -= eta * d_in[i];
    }
}

static void robust_forward(float *h_next, float *carry_out, const float *h, const float *y,
                           const float *carry_in, size_t floats, int moe_index,
                           const vit_router_config *config)
{
    (void)config;
    for (size_t i = 0; i < floats; i++) {
        const float here = h[i]; /* h_next may be h */
        h_next[i] =
            here + robust_beta * moved(h, carry_in, i, moe_index) + robust_step * y[i];
        carry_out[i] = here;
    }
}

static void robust_backward(float *d_h, float *d_y, float *d_carry_in,
                            const float *d_h_next, const float *d_carry_out, const float *h,
                            const float *y, const float *carry_in, const float *carry_out,
                            size_t floats, int moe_index, const vit_router_config *config)
{
    const float beta = moe_index > 0 ? robust_beta : 0.0f;
    (void)h, (void)y, (void)carry_in, (void)carry_out, (void)config;
    for (size_t i = 0; i < floats; i++) {
        const float d_next = d_h_next[i];
        d_h[i] = (1.0f + beta) * d_next + d_carry_out[i];
        d_y[i] = robust_step * d_next;
        d_carry_in[i] = -beta * d_next;
    }
}

static const vit_router_join robust_join = {.carry_width = 1,
                                            .enter = robust_enter,
                                            .enter_backward = robust_enter_backward,
                                            .forward = robust_forward,
                                            .backward = robust_backward};

/* ---- attention: Q = (1 - lambda) P + lambda S P, S the mean of the heads' attention */

static const double lambda = 0.6;

/* S_tu of image b, t and u tokens of the image. */
static double similarity(const vit_router_pass *pass, size_t b, size_t t, size_t u)
{
    const size_t n = pass->plan.shape.tokens_per_image, heads = pass->plan.shape.heads;
    double sum = 0;
    for (size_t h = 0; h < heads; h++)
        sum += (double)pass->in.attention[((b * heads + h) * n + t) * n + u];
    return sum / (double)heads;
}

static void attention_forward(vit_router_pass *pass)
{
    const vit_route_state state = vit_route_state_of(pass);
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t n = pass->plan.shape.tokens_per_image, e = s.experts;

    vit_route_logits(pass, &state);
    for (size_t i = 0; i < s.tokens * e; i++) {
        const size_t t = i / e, first = t / n * n;
        state.score[i] = (1 - lambda) * pass->out.probs[i];
        for (size_t u = 0; u < n; u++)
            state.score[i] += lambda * similarity(pass, t / n, t - first, u) *
                              pass->out.probs[(first + u) * e + i % e];
    }
    vit_route_top(pass->out.expert, state.score, &s);
    vit_route_gates(state.gate, state.score, pass->out.expert, &s);
    for (size_t t = 0; t < s.tokens; t++) {
        double sum = 0;
        for (size_t j = 0; j < s.k; j++)
            sum += state.gate[t * s.k + j];
        for (size_t j = 0; j < s.k; j++)
            state.gate[t * s.k + j] /= sum;
    }
    vit_route_publish(pass, &state);
}

/* d_q [T, E] into state.d_gate's place: score is not needed any more, so it is
 * overwritten. */
static void attention_backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_state state = vit_route_state_of(pass);
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t n = pass->plan.shape.tokens_per_image, e = s.experts,
                 heads = pass->plan.shape.heads;

    /* gates are Q over the sum of the chosen Q: d_Q = (d_A - sum A d_A) / sum Q */
    for (size_t t = 0; t < s.tokens; t++) {
        double sum = 0, mean = 0;
        for (size_t a = t * s.k; a < (t + 1) * s.k; a++) {
            sum += state.score[t * e + pass->out.expert[a]];
            mean += state.gate[a] * (double)d_gate[a];
        }
        memset(state.score + t * e, 0, e * sizeof *state.score);
        for (size_t a = t * s.k; a < (t + 1) * s.k; a++)
            state.score[t * e + pass->out.expert[a]] = ((double)d_gate[a] - mean) / sum;
    }
    /* d_P = (1 - lambda) d_Q + lambda S^T d_Q, d_S = lambda d_Q P^T */
    for (size_t i = 0; i < s.tokens * e; i++)
        state.d_z[i] = (1 - lambda) * state.score[i];
    for (size_t t = 0; t < s.tokens; t++)
        for (size_t u = 0; u < n; u++) {
            const size_t b = t / n, other = b * n + u;
            const double weight = lambda * similarity(pass, b, t % n, u);
            double d_s = 0;
            for (size_t f = 0; f < e; f++) {
                state.d_z[other * e + f] += weight * state.score[t * e + f];
                d_s += lambda * state.score[t * e + f] * pass->out.probs[other * e + f];
            }
            for (size_t h = 0; h < heads; h++)
                pass->gradient.attention[((b * heads + h) * n + t % n) * n + u] +=
                    (float)(d_s / (double)heads);
        }
    vit_route_softmax_backward(state.d_z, pass->out.probs, &s);
    vit_route_logits_backward(pass, &state);
}

/* ---- two views: y = 0.7 f(x) + 0.3 f(v), v = 0.5 x + 0.1, loss sum (f(x) - f(v))^2 / T */

static const float view_scale = 0.5f, view_shift = 0.1f, view_share = 0.3f;

static void views_forward(vit_router_pass *pass)
{
    const size_t t = pass->plan.shape.tokens;
    vit_router_softmax.forward(pass);
    if (!pass->out.view)
        return;
    for (size_t i = 0; i < t * pass->plan.shape.width; i++)
        pass->out.view[i] = view_scale * pass->in.x[i] + view_shift;
    for (size_t a = 0; a < pass->out.count; a++) {
        pass->out.token[pass->out.count + a] = (uint32_t)t + pass->out.token[a];
        pass->out.expert[pass->out.count + a] = pass->out.expert[a];
        pass->out.gate[pass->out.count + a] = pass->out.gate[a];
    }
    for (size_t i = 1; i <= t; i++)
        pass->out.start[t + i] = pass->out.start[t] + pass->out.start[i];
    pass->out.count *= 2;
}

static void views_mix(vit_router_pass *pass, float *y, const float *both)
{
    const size_t floats = pass->plan.shape.tokens * pass->plan.shape.width;
    double sum = 0;
    for (size_t i = 0; i < floats; i++) {
        y[i] = (1 - view_share) * both[i] + view_share * both[floats + i];
        sum += pow((double)both[i] - (double)both[floats + i], 2);
    }
    pass->report.aux_loss += sum / (double)pass->plan.shape.tokens;
}

static void views_mix_backward(vit_router_pass *pass, float *d_both, const float *d_y,
                               const float *both)
{
    const size_t floats = pass->plan.shape.tokens * pass->plan.shape.width;
    for (size_t i = 0; i < floats; i++) {
        const float d = 2 / (float)pass->plan.shape.tokens * (both[i] - both[floats + i]);
        d_both[i] = (1 - view_share) * d_y[i] + d;
        d_both[floats + i] = view_share * d_y[i] - d;
    }
}

static void views_backward(vit_router_pass *pass, const float *d_gate)
{
    float summed[1024];
    const size_t count = pass->plan.shape.tokens * pass->plan.shape.k;
    ck_assert_uint_le(count, 1024);
    for (size_t a = 0; a < count; a++)
        summed[a] = d_gate[a] + (pass->gradient.view ? d_gate[count + a] : 0);
    vit_router_softmax.backward(pass, summed);
    for (size_t i = 0;
         pass->gradient.view && i < pass->plan.shape.tokens * pass->plan.shape.width; i++)
        pass->gradient.x[i] += view_scale * pass->gradient.view[i];
}

static size_t views_others(const vit_router_shape *shape)
{
    return shape->tokens;
}

static const vit_router_views two_views = {
    .others = views_others, .mix = views_mix, .mix_backward = views_mix_backward};

/* ---- the networks -------------------------------------------------------------------- */

typedef struct hook_case {
    const char *name, *layers;
    const vit_router_join *join;
    bool attention, views;
    vit_pool pool;
    double dropout, drop_path, capacity;
    int group_images;
} hook_case;

static const hook_case cases[] = {
    {.name = "heavy ball", .layers = "0,1,2", .join = &heavy_join},
    {.name = "heavy ball, a dense block between, dropout",
     .layers = "0,2",
     .join = &heavy_join,
     .pool = VIT_POOL_GAP,
     .dropout = 0.2,
     .drop_path = 0.4},
    {.name = "robust momentum", .layers = "0,1,2", .join = &robust_join},
    {.name = "robust momentum, a dense block between",
     .layers = "0,2",
     .join = &robust_join,
     .pool = VIT_POOL_GAP},
    {.name = "attention", .layers = "0,2", .attention = true},
    {.name = "attention and heavy ball",
     .layers = "0,1,2",
     .join = &heavy_join,
     .attention = true,
     .drop_path = 0.4},
    {.name = "two views", .layers = "0,2", .views = true},
    {.name = "two views, dropout, groups with capacity",
     .layers = "0,1,2",
     .views = true,
     .dropout = 0.2,
     .drop_path = 0.4,
     .capacity = 0.75,
     .group_images = 4},
    {.name = "two views and heavy ball",
     .layers = "0,2",
     .join = &heavy_join,
     .views = true,
     .drop_path = 0.4},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static vit_router router_of(const hook_case *c)
{
    vit_router router = vit_router_softmax;
    router.join = c->join;
    if (c->attention) {
        router.wants_attention = true;
        router.forward = attention_forward;
        router.backward = attention_backward;
    }
    if (c->views) {
        router.views = &two_views;
        router.forward = views_forward;
        router.backward = views_backward;
    }
    return router;
}

static vit_model *model_of(const hook_case *c)
{
    vit_config config = slope_config();
    config.pool = c->pool;
    config.dropout = config.moe.dropout = c->dropout;
    config.drop_path = c->drop_path;
    config.moe.k = 2;
    config.moe.capacity = config.moe.eval_capacity = c->capacity;
    config.moe.group_images = c->group_images;
    ck_assert_int_eq(vit_config_layers_set(&config, c->layers, NULL), BASE_OK);
    ck_assert_int_eq(vit_router_select(&config.moe.router, "softmax", NULL), BASE_OK);
    return slope_model(&config);
}

static vit_run *run_of(const vit_model *model, const vit_router *router, vit_mode mode)
{
    vit_run *run = NULL;
    base_error err = {0};
    ck_assert_msg(vit_run_create_with(&run, model, router, SLOPE_BATCH + 1,
                                      &(vit_run_options){.mode = mode}, &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

static void logits_of(float *out, const vit_model *model, const vit_router *router,
                      vit_mode mode)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    vit_run *run = run_of(model, router, mode);
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    for (int pass = 0; pass < 2;
         pass++) /* nothing of the first pass is left in the second */
        ck_assert_int_eq(
            vit_run_forward(run, out, images, SLOPE_BATCH, &(vit_step){0}, NULL), BASE_OK);
    vit_run_destroy(run);
}

static double distance(const float *a, const float *b)
{
    double most = 0;
    for (size_t i = 0; i < SLOPE_BATCH * SLOPE_CLASSES; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(a_join_without_momentum_is_the_residual)
{
    static const hook_case c = {.layers = "0,1,2", .join = &plain_join};
    static const vit_mode modes[] = {VIT_MODE_INFER, VIT_MODE_INPUT_GRADIENT};
    float joined[SLOPE_BATCH * SLOPE_CLASSES], wanted[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(&c);
    const vit_router router = router_of(&c);
    for (size_t i = 0; i < 2; i++) {
        logits_of(joined, model, &router, modes[i]);
        logits_of(wanted, model, &vit_router_softmax, modes[i]);
        ck_assert_double_le(distance(joined, wanted), rounding);
    }
    vit_model_destroy(model);
}
END_TEST

/* Two views are of training alone, and its metrics are of the first one. */
START_TEST(a_second_view_changes_nothing_outside_training)
{
    static const hook_case c = {.layers = "0,2", .views = true};
    float one[SLOPE_BATCH * SLOPE_CLASSES], two[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(&c);
    const vit_router router = router_of(&c);
    logits_of(two, model, &router, VIT_MODE_INFER);
    logits_of(one, model, &vit_router_softmax, VIT_MODE_INFER);
    ck_assert_mem_eq(one, two, sizeof one);
    logits_of(two, model, &router, VIT_MODE_INPUT_GRADIENT);
    logits_of(one, model, &vit_router_softmax, VIT_MODE_INPUT_GRADIENT);
    ck_assert_mem_eq(one, two, sizeof one);
    vit_model_destroy(model);
}
END_TEST

START_TEST(metrics_are_of_the_first_view)
{
    static const hook_case c = {.layers = "0,2", .views = true};
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float logits[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(&c);
    const vit_router router = router_of(&c);
    vit_run *run = run_of(model, &router, VIT_MODE_TRAIN);
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){0}, NULL), BASE_OK);
    for (size_t i = 0; i < 2; i++) {
        const vit_routing r = vit_run_routing(run, i);
        ck_assert_uint_eq(r.count, 2 * r.tokens);
        for (size_t a = 0; a < r.count; a++)
            ck_assert_uint_lt(r.token[a], r.tokens);
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

static size_t one_expert(const vit_config *config)
{
    ck_assert_int_eq(config->moe.k, 2);
    return 1;
}

START_TEST(a_router_may_want_fewer_experts_outside_training)
{
    static const hook_case c = {.layers = "0,2"};
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float logits[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(&c);
    vit_router router = router_of(&c);
    router.eval_k = one_expert;
    for (int mode = VIT_MODE_INFER; mode <= VIT_MODE_TRAIN; mode++) {
        vit_run *run = run_of(model, &router, (vit_mode)mode);
        slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
        ck_assert_int_eq(
            vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){0}, NULL),
            BASE_OK);
        const vit_routing r = vit_run_routing(run, 1);
        ck_assert_uint_eq(r.count, r.tokens * (mode == VIT_MODE_TRAIN ? 2 : 1));
        ck_assert_uint_eq(vit_run_set_count(run), 2 * r.count / SLOPE_BATCH);
        vit_run_destroy(run);
    }
    vit_model_destroy(model);
}
END_TEST

/* Inference lets blocks share buffers and overwrites the stream in place. */
START_TEST(inference_equals_the_pass_that_keeps_everything)
{
    float lean[SLOPE_BATCH * SLOPE_CLASSES], kept[SLOPE_BATCH * SLOPE_CLASSES];
    float usual[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(&cases[_i]);
    const vit_router router = router_of(&cases[_i]);
    logits_of(lean, model, &router, VIT_MODE_INFER);
    logits_of(kept, model, &router, VIT_MODE_INPUT_GRADIENT);
    logits_of(usual, model, &vit_router_softmax, VIT_MODE_INFER);
    ck_assert_double_le(distance(lean, kept), rounding);
    if (!cases[_i].views)
        ck_assert_double_ge(distance(lean, usual),
                            100 * rounding); /* the hook was at work */
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_router_by_name_and_by_hand_are_one)
{
    static const hook_case c = {.layers = "0,2"};
    float named[SLOPE_BATCH * SLOPE_CLASSES], given[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(&c);
    logits_of(given, model, &vit_router_softmax, VIT_MODE_INFER);
    vit_run *run = NULL;
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(vit_run_create(&run, model, SLOPE_BATCH + 1, VIT_MODE_INFER,
                                    VIT_PRECISION_FP32, NULL),
                     BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, named, images, SLOPE_BATCH, &(vit_step){0}, NULL),
                     BASE_OK);
    ck_assert_mem_eq(named, given, sizeof named);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* ---- Gradient ------------------------------------------------------------------------ */

static void check_slopes(const hook_case *c, vit_mode mode)
{
    vit_model *model = model_of(c);
    const vit_router router = router_of(c);
    vit_run *run = run_of(model, &router, mode);
    slope_check_all(run, model, c->name);
    vit_run_destroy(run);
    vit_model_destroy(model);
}

START_TEST(backward_equals_finite_differences)
{
    check_slopes(&cases[_i], VIT_MODE_TRAIN);
}
END_TEST

START_TEST(input_gradient_mode_equals_finite_differences)
{
    check_slopes(&cases[_i], VIT_MODE_INPUT_GRADIENT);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(a_dense_network_needs_no_router)
{
    static const hook_case c = {.layers = "none"};
    float logits[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(&c);
    logits_of(logits, model, NULL, VIT_MODE_INFER);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_moe_hooks");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_test(core, a_join_without_momentum_is_the_residual);
    tcase_add_loop_test(core, inference_equals_the_pass_that_keeps_everything, 0, CASES);
    tcase_add_test(core, a_second_view_changes_nothing_outside_training);
    tcase_add_test(core, metrics_are_of_the_first_view);
    tcase_add_test(core, a_router_may_want_fewer_experts_outside_training);
    tcase_add_test(core, a_router_by_name_and_by_hand_are_one);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, CASES);
    tcase_add_loop_test(gradient, input_gradient_mode_equals_finite_differences, 0, CASES);
    tcase_add_test(limits, a_dense_network_needs_no_router);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
