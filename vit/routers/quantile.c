/* quantile.c - router "quantile": one threshold an expert, set by the exact dual of
 * balanced assignment. Follows Su 2026 (kexue.fm 11619 and 11626, read in an English
 * translation; routing-newer.md 17). With alpha_t the (k+1)-th largest of s_t - beta, the
 * new beta_e is the (floor(k T / E) + 1)-th largest of column e of s - alpha: exactly so
 * many tokens are above it. Nothing is tuned. Of three solvers of one problem (see
 * loss_free.c) this is the exact one.
 *
 * form = dynamic: an expert takes every token above its threshold, k on average, none or
 * all of them too; the thresholds are fading means of the columns' quantiles. It is expert
 * choice turned into a threshold, so that evaluation does not look at the batch. Before the
 * first step there is no threshold (all are 0): then the batch's own quantiles choose, and
 * are where the means begin (our choice). With several passes a step, or ranks, each sets a
 * beta of its own and their mean is taken: the source's compromise. Every order statistic
 * is found by selection, linear in T E. */
#include "vit/routers/biased_internal.h"

#include <string.h>

enum { FORM_TOP, FORM_DYNAMIC }; /* choices of "form" */

typedef struct quantile_options {
    vit_biased_options biased; /* first */
    int form;
    double lambda;
} quantile_options;

#define BASE_STRUCT quantile_options
static const base_field options[] = {
    BASE_CHOICE(
        "score", biased.score, "sigmoid|softmax|logits",
        "what the thresholds are taken from (any range will do; gates of logits are "
        "those of their softmax)"),
    VIT_BIASED_GATE,
    BASE_CHOICE(
        "form", form, "top|dynamic",
        "top: k experts a token; dynamic: an expert takes whatever lies above its "
        "threshold, k on average, with the score as the gate (memory for all experts "
        "a token)"),
    BASE_REAL(
        "lambda", lambda, 0, 0.999999,
        "form = dynamic: what the thresholds keep of their former value a step (0.9)"),
    {0},
};
#undef BASE_STRUCT
static const quantile_options defaults = {
    .biased = {.score = VIT_BIASED_SOFTMAX, .gate = VIT_BIASED_GATE_RENORM},
    .form = FORM_TOP,
    .lambda = 0.9};

static const quantile_options *options_of(const vit_router_config *config)
{
    return vit_router_settings(config);
}

typedef struct quantile_state {
    vit_route_state base; /* p: the scores */
    double *alpha;        /* [T] */
    uint8_t *mark;        /* [T, E], dynamic */
    uint64_t *key;        /* [T, E] scratch of the selection, a column's in a row */
} quantile_state;

static bool pairs_freely(const vit_router_config *config)
{
    return options_of(config)->form == FORM_DYNAMIC;
}

static bool is_dynamic(const vit_router_shape *shape)
{
    return pairs_freely(shape->config);
}

static void plan_state(quantile_state *out, base_arena *arena,
                       const vit_router_shape *shape)
{
    const size_t all = shape->tokens * shape->experts;

    vit_route_state_plan(&out->base, arena, shape);
    out->alpha = base_arena_take(arena, shape->tokens, sizeof *out->alpha);
    out->mark = is_dynamic(shape) ? base_arena_take(arena, all, 1) : NULL;
    out->key = base_arena_take(arena, all, sizeof *out->key);
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    quantile_state unused;

    plan_state(&unused, &arena, shape);
    return arena.used;
}

static quantile_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    quantile_state state;

    plan_state(&state, &arena, &pass->plan.shape);
    return state;
}

static base_status check(const vit_config *config, base_error *err)
{
    const vit_router_config *router = &config->moe.router;
    const base_status status = vit_biased_check(config, err);

    if (status != BASE_OK)
        return status;
    if (config->moe.k == config->moe.experts)
        return base_fail(
            err, BASE_USAGE,
            "'router.k' is %d with router quantile, expected less than the "
            "number of experts (%d): there is no threshold between all of them",
            config->moe.k, config->moe.experts);
    if (pairs_freely(router) && options_of(router)->biased.score == VIT_BIASED_LOGITS)
        return base_fail(err, BASE_USAGE,
                         "'router.score' is logits with router.form dynamic, whose gates "
                         "are the scores, expected sigmoid or softmax");
    return BASE_OK;
}

static size_t assignments(const vit_router_shape *shape)
{
    return shape->tokens * (is_dynamic(shape) ? shape->experts : shape->k);
}

/* ---- order statistics ---------------------------------------------------------------- */

/* The m-th largest of row [n] - beta, m <= n <= VIT_EXPERTS_MAX. */
static double row_statistic(const double *row, const float *beta, size_t n, size_t m)
{
    double best[VIT_EXPERTS_MAX];
    size_t count = 0;

    for (size_t e = 0; e < n; e++) {
        const double own = row[e] - (double)beta[e];
        if (count == m && !(own > best[m - 1]))
            continue;
        size_t at = count < m ? count++ : m - 1;
        for (; at > 0 && own > best[at - 1]; at--)
            best[at] = best[at - 1];
        best[at] = own;
    }
    return best[m - 1];
}

/* out [E]: of each column of the scores minus alpha [T] (NULL: 0) the (floor(k T / E) +
 * 1)-th largest. */
static void column_statistics(double *out, const quantile_state *state, const double *alpha,
                              const vit_route_size *s)
{
    /* with k = E, which check refuses, the least of all */
    const size_t share = s->k * s->tokens / s->experts,
                 m = share < s->tokens ? share + 1 : share;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t e = 0; e < s->experts; e++)
        out[e] = vit_route_kth_largest(state->base.p + e, alpha, s->tokens, s->experts, m,
                                       state->key + e * s->tokens);
}

/* ---- a pass -------------------------------------------------------------------------- */

/* The thresholds of form = dynamic. */
static void thresholds(double *out, const vit_router_pass *pass,
                       const quantile_state *state)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    bool begun = !pass->in.training;

    for (size_t e = 0; e < s.experts; e++) {
        out[e] = (double)pass->in.param[VIT_BIASED_PARAMETER][e];
        begun = begun || out[e] != 0.0;
    }
    if (!begun)
        column_statistics(out, state, NULL, &s);
}

static void dynamic_forward(vit_router_pass *pass, const quantile_state *state)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t n = s.experts;
    double beta[VIT_EXPERTS_MAX];

    vit_biased_scores(pass, &state->base);
    thresholds(beta, pass, state);
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t t = 0; t < s.tokens; t++)
        for (size_t e = 0; e < n; e++)
            state->mark[t * n + e] = state->base.p[t * n + e] > beta[e];
    vit_route_pairs_publish(pass, state->mark, state->base.p);
}

static void dynamic_backward(vit_router_pass *pass, const quantile_state *state,
                             const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    double *d = state->base.d_z;
    const double *p = state->base.p;

    vit_route_pairs_backward(d, pass, d_gate);
    if (options_of(pass->plan.shape.config)->biased.score == VIT_BIASED_SOFTMAX) {
        vit_route_softmax_backward(d, p, &s);
    } else {
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
        for (size_t i = 0; i < s.tokens * s.experts; i++)
            d[i] *= p[i] * (1.0 - p[i]);
    }
    vit_route_logits_backward(pass, &state->base);
}

static void forward(vit_router_pass *pass)
{
    if (is_dynamic(&pass->plan.shape)) {
        const quantile_state state = state_of(pass);
        dynamic_forward(pass, &state);
    } else {
        vit_biased_forward(pass, VIT_BIASED_MINUS);
    }
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    if (is_dynamic(&pass->plan.shape)) {
        const quantile_state state = state_of(pass);
        dynamic_backward(pass, &state, d_gate);
    } else {
        vit_biased_backward(pass, d_gate);
    }
}

/* ---- what it leaves behind ----------------------------------------------------------- */

/* Numbers an expert, and how many passes they are the sum of. */
static size_t tally_count(const vit_router_shape *shape)
{
    return shape->experts + 1;
}

static void tally(double *sum, const vit_router_pass *pass)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const quantile_state state = state_of(pass);
    const bool dynamic = is_dynamic(&pass->plan.shape);
    double own[VIT_EXPERTS_MAX];

    if (!dynamic) {
        const float *beta = pass->in.param[VIT_BIASED_PARAMETER];
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
        for (size_t t = 0; t < s.tokens; t++)
            state.alpha[t] = row_statistic(state.base.p + t * s.experts, beta, s.experts,
                                           s.k + 1); /* check: k < E */
    }
    column_statistics(own, &state, dynamic ? NULL : state.alpha, &s);
    for (size_t e = 0; e < s.experts; e++)
        sum[e] += own[e];
    sum[s.experts] += 1.0;
}

static void move(float *const *param, const double *sum, const vit_router_shape *shape,
                 uint64_t step, uint64_t steps)
{
    const size_t n = shape->experts;
    float *beta = param[VIT_BIASED_PARAMETER];
    double keep = 0.0;

    (void)step;
    (void)steps;
    if (sum[n] == 0.0)
        return;
    if (is_dynamic(shape))
        for (size_t e = 0; e < n; e++)
            if (beta[e] != 0.0f)
                keep = options_of(shape->config)->lambda;
    for (size_t e = 0; e < n; e++)
        beta[e] = (float)(keep * (double)beta[e] + (1.0 - keep) * sum[e] / sum[n]);
}

static const vit_router_motion motion = {
    .count = tally_count, .tally = tally, .move = move};

static const char *onnx(vit_onnx_layer *layer)
{
    vit_onnx *g = layer->graph;

    if (!is_dynamic(&layer->shape))
        return vit_biased_onnx(layer, VIT_BIASED_MINUS);
    const char *s = vit_biased_onnx_scores(layer, vit_onnx_logits(layer));
    return vit_onnx_where(
        g, vit_onnx_op(g, "Greater", s, vit_onnx_router_parameter(layer, "bias")), s);
}

const vit_router vit_router_quantile = {
    .name = "quantile",
    .summary = "top-k of softmax minus a threshold an expert that evens the loads exactly "
               "(Su 2026, kexue.fm 11619)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .pairs_freely = pairs_freely,
    .motion = &motion,
    .check = check,
    .assignments = assignments,
    .parameters = vit_biased_parameters,
    .init = vit_biased_init,
    .state_bytes = state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
