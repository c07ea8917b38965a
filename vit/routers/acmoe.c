/* acmoe.c - router "acmoe": adaptive clustering. Follows arXiv 2502.15315 by the authors'
 * vision code (routing-newer.md 19). The experts that tokens chose first in the MoE layer
 * before are clusters: of each cluster e and feature d the mean absolute deviation MAD_ed
 * gives a weight
 *     W_ed = 1 / (MAD_ed + 1e-4), m = mean of W over clusters with tokens and all d, W = min(W, 1.5 m) / m,
 * and the layer's input becomes x_t = W_{a(t)} x_t, for router and experts. No parameters;
 * W is a constant of the backward pass. The first MoE layer is plain noisy top-k. A cluster
 * of one token has MAD 0 and so W = 1e4, which moves m: the source's behaviour in training,
 * kept. differs: in evaluation each image's own tokens make the clusters (scope = image; a
 * cluster with fewer than two tokens there has W = 1); scope = batch is the source's, where
 * an image depends on its neighbours. Load and importance losses are those of section 2,
 * half their sum, as Tutel's code has it. */
#include "vit/routers/router_onnx_internal.h"

#include <math.h>
#include <string.h>

enum { SCOPE_IMAGE, SCOPE_BATCH }; /* choices of "scope" */
static const double deviation_floor = 1e-4, weight_ceiling = 1.5;

typedef struct acmoe_options {
    vit_softmax_options
        soft; /* first: gates are softmax's, balance and noise in its places */
    int scope;
} acmoe_options;

#define BASE_STRUCT acmoe_options
static const base_field options[] = {
    BASE_CHOICE("gate", soft.gate, "auto|prob|renorm",
                "weight of a chosen expert, as router softmax"),
    BASE_REAL("balance", soft.balance, 0, 1e3,
              "weight of half the sum of importance and load loss (ACMoE: 0.01)"),
    BASE_REAL("noise", soft.noise, 0, 1e3,
              "normal noise on the logits in training, standard deviation times the number "
              "of experts (1; without it the load loss is left out)"),
    BASE_CHOICE(
        "scope", scope, "image|batch",
        "tokens that make the clusters in evaluation: an image's own (our choice), or "
        "the batch's as in training (ACMoE; results depend on the batch)"),
    {0},
};
#undef BASE_STRUCT
static const acmoe_options defaults = {
    .soft = {.gate = VIT_SOFTMAX_GATE_AUTO, .balance = 0.01, .noise = 1.0},
    .scope = SCOPE_IMAGE};

static const acmoe_options *options_of(const vit_router_config *config)
{
    return vit_router_settings(config);
}

typedef struct acmoe_state {
    vit_route_state base;
    float *scale; /* [blocks, E, D] W; blocks: images, or 1 */
} acmoe_state;

/* Blocks of tokens that make clusters of their own. */
static bool by_image(const vit_router_pass *pass)
{
    return !pass->in.training && options_of(pass->plan.shape.config)->scope == SCOPE_IMAGE;
}

static size_t images_of(const vit_router_shape *shape)
{
    return (shape->tokens + shape->tokens_per_image - 1) / shape->tokens_per_image;
}

static void plan_state(acmoe_state *out, base_arena *arena, const vit_router_shape *shape)
{
    vit_route_state_plan(&out->base, arena, shape);
    out->scale = base_arena_take(arena, images_of(shape) * shape->experts * shape->width,
                                 sizeof(float));
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    acmoe_state unused;

    plan_state(&unused, &arena, shape);
    return arena.used;
}

static acmoe_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    acmoe_state state;

    plan_state(&state, &arena, &pass->plan.shape);
    return state;
}

static bool mixes_images(const vit_config *config)
{
    return options_of(&config->moe.router)->scope == SCOPE_BATCH;
}

/* ---- clusters ------------------------------------------------------------------------ */

/* The cluster of token t. */
static size_t cluster_of(const vit_router_pass *pass, size_t t)
{
    return pass->in.before->out.expert[pass->in.before->out.start[t]];
}

/* scale [E, D] of the clusters that tokens first .. end - 1 make; sums in double, one
 * feature at a time. least: tokens below which a cluster has W = 1 and no part in m. */
static void weights_make(float *scale, const vit_router_pass *pass, const float *x,
                         size_t first, size_t end, size_t least)
{
    const size_t n = pass->plan.shape.experts, d = pass->plan.shape.width;
    size_t count[VIT_EXPERTS_MAX] = {0}, clusters = 0;
    double sum = 0.0;

    for (size_t t = first; t < end; t++)
        count[cluster_of(pass, t)]++;
    for (size_t e = 0; e < n; e++)
        clusters += count[e] >= least;
    for (size_t i = 0; i < d; i++) {
        double mean[VIT_EXPERTS_MAX] = {0}, deviation[VIT_EXPERTS_MAX] = {0};
        for (size_t t = first; t < end; t++)
            mean[cluster_of(pass, t)] += (double)x[t * d + i];
        for (size_t e = 0; e < n; e++)
            mean[e] /= (double)(count[e] ? count[e] : 1);
        for (size_t t = first; t < end; t++)
            deviation[cluster_of(pass, t)] +=
                fabs((double)x[t * d + i] - mean[cluster_of(pass, t)]);
        for (size_t e = 0; e < n; e++) {
            if (count[e] < least)
                continue;
            const double w = 1.0 / (deviation[e] / (double)count[e] + deviation_floor);
            scale[e * d + i] = (float)w;
            sum += w;
        }
    }
    const double m = sum / (double)(clusters * d);
    for (size_t e = 0; e < n; e++)
        for (size_t i = 0; i < d; i++)
            scale[e * d + i] =
                count[e] < least
                    ? 1.0f
                    : (float)(fmin((double)scale[e * d + i], weight_ceiling * m) / m);
}

/* x_t *= W of its cluster. */
static void weights_apply(float *x, const vit_router_pass *pass, const float *scale)
{
    const vit_router_shape *s = &pass->plan.shape;
    const size_t n = s->experts, d = s->width;
    const bool images = by_image(pass);

#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < s->tokens; t++) {
        const size_t block = images ? t / s->tokens_per_image : 0;
        const float *w = scale + (block * n + cluster_of(pass, t)) * d;
        for (size_t i = 0; i < d; i++)
            x[t * d + i] *= w[i];
    }
}

static void alter(vit_router_pass *pass, float *x)
{
    const vit_router_shape *s = &pass->plan.shape;
    const acmoe_state state = state_of(pass);
    const size_t block = by_image(pass) ? s->tokens_per_image : s->tokens;

    if (!pass->in.before)
        return;
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < s->tokens; first += block) {
        const size_t end = first + block < s->tokens ? first + block : s->tokens;
        weights_make(state.scale + first / block * s->experts * s->width, pass, x, first,
                     end, by_image(pass) ? 2 : 1);
    }
    weights_apply(x, pass, state.scale);
}

static void alter_backward(vit_router_pass *pass, float *d_x)
{
    if (pass->in.before)
        weights_apply(d_x, pass, state_of(pass).scale);
}

/* ---- the router ---------------------------------------------------------------------- */

static double sigma_of(const vit_router_pass *pass)
{
    return pass->in.training ? options_of(pass->plan.shape.config)->soft.noise /
                                   (double)pass->plan.shape.experts
                             : 0.0;
}

/* Half the sum of importance and load loss, weighted, mean over groups; with d_z,
 * loss_scale times the gradient is added. */
static double losses(vit_router_pass *pass, const vit_route_state *state, double *d_z)
{
    const size_t groups = vit_route_groups(&pass->plan.shape), n = pass->plan.shape.experts;
    const double weight = 0.5 * options_of(pass->plan.shape.config)->soft.balance;
    const double sigma = sigma_of(pass),
                 scale = pass->in.loss_scale * weight / (double)groups;
    double sum = 0.0;

    for (size_t i = 0; i < groups && weight > 0.0; i++) {
        size_t first;
        const vit_route_size s = vit_route_group(&first, &pass->plan.shape, i);
        double *d = d_z ? d_z + first * n : NULL;
        sum += vit_route_importance(d, scale, pass->out.probs + first * n, &s, state->work);
        if (sigma > 0.0)
            sum += vit_route_load(d, scale, state->z + first * n, state->score + first * n,
                                  sigma, pass->out.expert + first * s.k, &s, state->work);
    }
    return weight * sum / (double)groups;
}

static void forward(vit_router_pass *pass)
{
    const acmoe_state state = state_of(pass);

    vit_route_top_forward(pass, &state.base, sigma_of(pass),
                          vit_softmax_settings_of(pass).gate);
    pass->report.aux_loss = pass->in.training ? losses(pass, &state.base, NULL) : 0.0;
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const acmoe_state state = state_of(pass);

    vit_route_top_backward(pass, &state.base, sigma_of(pass),
                           vit_softmax_settings_of(pass).gate, d_gate);
    if (pass->in.training)
        losses(pass, &state.base, state.base.d_z);
    vit_route_logits_backward(pass, &state.base);
}

static const char *caution(const vit_router_config *config)
{
    return options_of(config)->scope == SCOPE_BATCH
               ? "Adaptive clustering holds its scales constant in the gradient, and an image's scales depend on "
                 "its neighbours (router.scope = batch)."
               : "Adaptive clustering holds its scales constant in the gradient: attacks do not see how they move "
                 "them.";
}

/* layer->x = the tokens times W of their clusters, as alter does. */
static void alter_onnx(vit_onnx_layer *layer)
{
    const size_t n = layer->shape.experts, d = layer->shape.width;
    vit_onnx *g = layer->graph;
    const char *one = vit_onnx_real(g, 1);
    const char *x = vit_onnx_by_image(layer, layer->x, d);
    const char *of = vit_onnx_with(
        g, "OneHot",
        VIT_ONNX_IN(layer->first, vit_onnx_int(g, (int64_t)n),
                    vit_onnx_floats(g, "off_on", (const float[]){0, 1}, &(size_t){2}, 1)),
        VIT_ONNX_INT("axis", -1));
    of = vit_onnx_by_image(layer, of, n);                  /* [B, N, E] */
    const char *members = vit_onnx_turned(g, of, 0, 2, 1); /* [B, E, N] */
    const char *count = vit_onnx_reduce(g, "ReduceSum", members, 2);
    const char *share = vit_onnx_op(g, "Max", count, one);
    const char *mean = vit_onnx_op(g, "Div", vit_onnx_op(g, "MatMul", members, x), share);
    const char *away =
        vit_onnx_op(g, "Abs", vit_onnx_op(g, "Sub", x, vit_onnx_op(g, "MatMul", of, mean)));
    const char *deviation =
        vit_onnx_op(g, "Div", vit_onnx_op(g, "MatMul", members, away), share);
    const char *w =
        vit_onnx_op(g, "Reciprocal",
                    vit_onnx_op(g, "Add", deviation, vit_onnx_real(g, deviation_floor)));
    const char *used = vit_onnx_op(g, "Greater", count, vit_onnx_real(g, 1.5));
    const char *clusters = vit_onnx_reduce(g, "ReduceSum", vit_onnx_where(g, used, one), 1);
    const char *m = vit_onnx_reduce(
        g, "ReduceSum", vit_onnx_reduce(g, "ReduceSum", vit_onnx_where(g, used, w), 1), 2);
    m = vit_onnx_op(g, "Div", m, vit_onnx_scaled(g, clusters, (double)d));
    w = vit_onnx_op(g, "Min", w, vit_onnx_scaled(g, m, weight_ceiling));
    w = vit_onnx_op(g, "Where", used, vit_onnx_op(g, "Div", w, m), one);
    layer->x = vit_onnx_by_token(
        layer, vit_onnx_op(g, "Mul", x, vit_onnx_op(g, "MatMul", of, w)), d);
}

static const char *onnx(vit_onnx_layer *layer)
{
    if (layer->first)
        alter_onnx(layer);
    return vit_softmax_onnx(layer);
}

const vit_router vit_router_acmoe = {
    .name = "acmoe",
    .summary =
        "noisy top-k of tokens scaled by the spread of their cluster (arXiv 2502.15315, "
        "the authors' code)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .caution = caution,
    .mixes_images = mixes_images,
    .check = vit_softmax_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = state_bytes,
    .alter = alter,
    .alter_backward = alter_backward,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
