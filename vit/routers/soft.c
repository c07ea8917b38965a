/* soft.c - router "soft": Soft MoE, in which no token is sent anywhere. Follows Puigcerver
 * et al. 2023, "From sparse to soft mixtures of experts" (arXiv 2308.00951), and
 * google-research/vmoe (routing-newer.md 18). Each expert has p slots; a slot's input is a
 * mixture of the tokens of an image, a token's output one of the slots' results:
 *     L = n(X) (scale n(Phi))^T, D = softmax of L over tokens, C = softmax of L over slots,
 *     U = D^T X, Y = C f(U), n(x) = x / sqrt(sum x^2 + 1e-6).
 * Every image is on its own, in training and evaluation alike; nothing is chosen, nothing
 * dropped, nothing balanced; gradients are exact. Experts see the slots as another view of
 * the tokens (vit_router_views), and the tokens themselves have no assignments. */
#include "vit/routers/router_onnx_internal.h"

#include <math.h>
#include <string.h>

enum { PARAMETER_PHI, PARAMETER_SCALE, PARAMETER_COUNT };
static const double norm_eps = 1e-6; /* of the sum of squares, as the source */

typedef struct soft_options {
    double slots, cf;
} soft_options;

#define BASE_STRUCT soft_options
static const base_field options[] = {
    BASE_REAL("slots", slots, 1, 65536,
              "slots of an expert for an image (auto: tokens * cf / experts, at least 1)",
              .automatic = true, .whole = true),
    BASE_REAL("cf", cf, 1e-3, 1e3, "slots of all experts for a token (Soft MoE: 1)"),
    {0},
};
#undef BASE_STRUCT
static const soft_options defaults = {.slots = NAN, .cf = 1.0};

static size_t slots_of(const vit_router_config *config, size_t tokens, size_t experts)
{
    const soft_options *o = vit_router_settings(config);

    if (!isnan(o->slots))
        return (size_t)o->slots;
    return (size_t)fmax(1.0, round((double)tokens * o->cf / (double)experts));
}

/* What an image is cut into: N tokens, S slots of E experts, p each. */
typedef struct soft_size {
    size_t n, s, p, d, images;
} soft_size;

static soft_size size_of(const vit_router_shape *shape)
{
    const size_t p = slots_of(shape->config, shape->tokens_per_image, shape->experts);

    return (soft_size){.n = shape->tokens_per_image,
                       .s = shape->experts * p,
                       .p = p,
                       .d = shape->width,
                       .images = shape->tokens / shape->tokens_per_image};
}

static size_t others(const vit_router_shape *shape)
{
    const soft_size z = size_of(shape);

    return z.images * z.s;
}

typedef struct soft_state {
    float *x_norm, *x_scale;     /* [T, D] n(X), [T] 1 / length */
    float *phi_norm, *phi_scale; /* [S, D] scale n(Phi), [S] 1 / length */
    float *dispatch, *combine;   /* [T, S] D and C */
    float *d_logits, *d_combine; /* [T, S] */
    float *d_x_norm;             /* [T, D] */
    float *d_phi;                /* [S, D] */
} soft_state;

static void plan_state(soft_state *out, base_arena *arena, const vit_router_shape *shape)
{
    const soft_size z = size_of(shape);
    const size_t t = shape->tokens;

    out->x_norm = base_arena_take(arena, t * z.d, sizeof(float));
    out->x_scale = base_arena_take(arena, t, sizeof(float));
    out->phi_norm = base_arena_take(arena, z.s * z.d, sizeof(float));
    out->phi_scale = base_arena_take(arena, z.s, sizeof(float));
    out->dispatch = base_arena_take(arena, t * z.s, sizeof(float));
    out->combine = base_arena_take(arena, t * z.s, sizeof(float));
    out->d_logits = base_arena_take(arena, t * z.s, sizeof(float));
    out->d_combine = base_arena_take(arena, t * z.s, sizeof(float));
    out->d_x_norm = base_arena_take(arena, t * z.d, sizeof(float));
    out->d_phi = base_arena_take(arena, z.s * z.d, sizeof(float));
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    soft_state unused;

    plan_state(&unused, &arena, shape);
    return arena.used;
}

static soft_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    soft_state state;

    plan_state(&state, &arena, &pass->plan.shape);
    return state;
}

static base_status check(const vit_config *config, base_error *err)
{
    const vit_moe_config *moe = &config->moe;
    const base_status status = vit_route_check(config, err);

    if (status != BASE_OK)
        return status;
    if (moe->capacity > 0.0 || moe->eval_capacity > 0.0)
        return base_fail(
            err, BASE_USAGE,
            "'moe.%s' is %g with router soft, expected 0 (slots are never over)",
            moe->capacity > 0.0 ? "capacity" : "eval_capacity",
            moe->capacity > 0.0 ? moe->capacity : moe->eval_capacity);
    const size_t tokens = vit_config_tokens(config);
    const double slots =
        (double)moe->experts * (double)slots_of(&moe->router, tokens, (size_t)moe->experts);
    if (slots > 1e6)
        return base_fail(err, BASE_USAGE,
                         "router soft has %.0f slots, expected 1 to 1000000", slots);
    return BASE_OK;
}

/* ---- tensors ------------------------------------------------------------------------- */

static size_t parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    const soft_size z = size_of(shape);

    out[PARAMETER_PHI] = (vit_router_parameter){
        .name = "phi", .shape = {shape->experts, z.p, z.d}, .rank = 3, .decay = true};
    out[PARAMETER_SCALE] = (vit_router_parameter){.name = "scale", .shape = {1}, .rank = 1};
    return PARAMETER_COUNT;
}

/* Phi: LeCun normal, the usual law. */
static bool init(float *out, size_t i, const vit_router_shape *shape, base_rng *rng)
{
    (void)shape;
    (void)rng;
    if (i != PARAMETER_SCALE)
        return false;
    out[0] = 1.0f;
    return true;
}

/* Another picture size keeps its tensors: the number of slots is written down. */
static void settle(vit_config *config)
{
    vit_router_config *router = &config->moe.router;
    char text[32];

    snprintf(text, sizeof text, "%zu",
             slots_of(router, vit_config_tokens(config), (size_t)config->moe.experts));
    vit_router_set(router, "slots", text, NULL);
}

/* Every expert works for every token. */
static size_t eval_k(const vit_config *config)
{
    return (size_t)config->moe.experts;
}

/* Slots of an image: so often an expert runs. */
static double pairs(const vit_router_shape *shape)
{
    return (double)size_of(shape).s;
}

/* Logits, the slots' inputs, the tokens' outputs. */
static double operations(const vit_router_shape *shape)
{
    const soft_size z = size_of(shape);

    return 3.0 * (double)shape->tokens * (double)z.s * (double)z.d;
}

static size_t assignments(const vit_router_shape *shape)
{
    return others(shape);
}

/* ---- lengths ------------------------------------------------------------------------- */

/* out [rows, d] = factor * x / sqrt(sum x^2 + eps), scale [rows] the reciprocal roots. */
static void normalise(float *out, float *scale, const float *x, size_t rows, size_t d,
                      double factor)
{
#pragma omp parallel for schedule(static) if (rows * d > 4096)
    for (size_t t = 0; t < rows; t++) {
        double sum = norm_eps;
        for (size_t i = 0; i < d; i++)
            sum += (double)x[t * d + i] * (double)x[t * d + i];
        scale[t] = (float)(1.0 / sqrt(sum));
        for (size_t i = 0; i < d; i++)
            out[t * d + i] = (float)(factor / sqrt(sum) * (double)x[t * d + i]);
    }
}

/* d_x [rows, d] += the gradient of x, d [rows, d] that of x times scale. */
static void normalise_backward(float *d_x, const float *d, const float *x,
                               const float *scale, size_t rows, size_t d_count)
{
#pragma omp parallel for schedule(static) if (rows * d_count > 4096)
    for (size_t t = 0; t < rows; t++) {
        const double r = (double)scale[t];
        double along = 0.0;
        for (size_t i = 0; i < d_count; i++)
            along += (double)x[t * d_count + i] * (double)d[t * d_count + i];
        for (size_t i = 0; i < d_count; i++)
            d_x[t * d_count + i] += (float)(r * (double)d[t * d_count + i] -
                                            r * r * r * along * (double)x[t * d_count + i]);
    }
}

/* ---- forward ------------------------------------------------------------------------- */

/* dispatch [N, S] = softmax over tokens of l [N, S]; combine [N, S] = softmax over
 * slots. */
static void softmaxes(float *dispatch, float *combine, const float *l, const soft_size *z)
{
    for (size_t j = 0; j < z->s; j++) {
        double top = -INFINITY, sum = 0.0;
        for (size_t t = 0; t < z->n; t++)
            top = fmax(top, (double)l[t * z->s + j]);
        for (size_t t = 0; t < z->n; t++)
            sum += exp((double)l[t * z->s + j] - top);
        for (size_t t = 0; t < z->n; t++)
            dispatch[t * z->s + j] = (float)(exp((double)l[t * z->s + j] - top) / sum);
    }
    for (size_t t = 0; t < z->n; t++) {
        const float *row = l + t * z->s;
        double top = -INFINITY, sum = 0.0;
        for (size_t j = 0; j < z->s; j++)
            top = fmax(top, (double)row[j]);
        for (size_t j = 0; j < z->s; j++)
            sum += exp((double)row[j] - top);
        for (size_t j = 0; j < z->s; j++)
            combine[t * z->s + j] = (float)(exp((double)row[j] - top) / sum);
    }
}

/* What is reported: probabilities of experts, extremes and entropy of the weights. */
static void report(vit_router_pass *pass, const soft_state *state, const soft_size *z)
{
    const size_t n = pass->plan.shape.experts;

    pass->report.soft = (vit_soft_report){.is_soft = true};
    for (size_t t = 0; t < pass->plan.shape.tokens; t++) {
        const float *c = state->combine + t * z->s, *d = state->dispatch + t * z->s;
        memset(pass->out.probs + t * n, 0, n * sizeof *pass->out.probs);
        for (size_t j = 0; j < z->s; j++) {
            const double own = (double)c[j];
            pass->out.probs[t * n + j / z->p] += own;
            pass->report.soft.combine_max = fmax(pass->report.soft.combine_max, own);
            pass->report.soft.dispatch_max =
                fmax(pass->report.soft.dispatch_max, (double)d[j]);
            if (own > 0.0)
                pass->report.soft.combine_entropy -= own * log(own);
        }
    }
    pass->report.soft.combine_entropy /= (double)pass->plan.shape.tokens;
}

static void publish(vit_router_pass *pass, const soft_size *z)
{
    const size_t t = pass->plan.shape.tokens, count = z->images * z->s;

    memset(pass->out.start, 0, (t + 1) * sizeof *pass->out.start);
    for (size_t i = 0; i < count; i++) {
        pass->out.start[t + i + 1] = (uint32_t)(i + 1);
        pass->out.token[i] = (uint32_t)(t + i);
        pass->out.expert[i] = (uint16_t)(i % z->s / z->p);
        pass->out.gate[i] = 1.0f;
    }
    pass->out.count = count;
}

static void forward(vit_router_pass *pass)
{
    const soft_size z = size_of(&pass->plan.shape);
    const soft_state state = state_of(pass);
    const size_t t = pass->plan.shape.tokens;
    float *l = state.d_logits; /* not needed yet */

    normalise(state.x_norm, state.x_scale, pass->in.x, t, z.d, 1.0);
    normalise(state.phi_norm, state.phi_scale, pass->in.param[PARAMETER_PHI], z.s, z.d,
              (double)pass->in.param[PARAMETER_SCALE][0]);
    vit_route_product(pass->plan.exec, false, true, t, z.s, z.d, state.x_norm, z.d,
                      state.phi_norm, z.d, 0.0f, l);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < z.images; i++) {
        const size_t at = i * z.n * z.s;
        softmaxes(state.dispatch + at, state.combine + at, l + at, &z);
        vit_route_product(pass->plan.exec, true, false, z.s, z.d, z.n, state.dispatch + at,
                          z.s, pass->in.x + i * z.n * z.d, z.d, 0.0f,
                          pass->out.view + i * z.s * z.d);
    }
    report(pass, &state, &z);
    publish(pass, &z);
}

/* y = C f(U) */
static void mix(vit_router_pass *pass, float *y, const float *both)
{
    const soft_size z = size_of(&pass->plan.shape);
    const soft_state state = state_of(pass);
    const float *f = both + pass->plan.shape.tokens * z.d;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < z.images; i++)
        vit_route_product(pass->plan.exec, false, false, z.n, z.d, z.s,
                          state.combine + i * z.n * z.s, z.s, f + i * z.s * z.d, z.d, 0.0f,
                          y + i * z.n * z.d);
}

/* ---- backward ------------------------------------------------------------------------ */

static void mix_backward(vit_router_pass *pass, float *d_both, const float *d_y,
                         const float *both)
{
    const soft_size z = size_of(&pass->plan.shape);
    const soft_state state = state_of(pass);
    const size_t t = pass->plan.shape.tokens;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < z.images; i++) {
        const size_t at = i * z.n * z.s;
        const float *d = d_y + i * z.n * z.d;
        vit_route_product(pass->plan.exec, true, false, z.s, z.d, z.n, state.combine + at,
                          z.s, d, z.d, 0.0f, d_both + (t + i * z.s) * z.d);
        vit_route_product(pass->plan.exec, false, true, z.n, z.s, z.d, d, z.d,
                          both + (t + i * z.s) * z.d, z.d, 0.0f, state.d_combine + at);
    }
}

/* d [N, S]: the gradient of dispatch on entry, that of the logits by both softmaxes on
 * return. */
static void softmaxes_backward(float *d, const float *d_combine, const float *dispatch,
                               const float *combine, const soft_size *z)
{
    for (size_t j = 0; j < z->s; j++) {
        double mean = 0.0;
        for (size_t t = 0; t < z->n; t++)
            mean += (double)dispatch[t * z->s + j] * (double)d[t * z->s + j];
        for (size_t t = 0; t < z->n; t++) {
            const size_t at = t * z->s + j;
            d[at] = (float)((double)dispatch[at] * ((double)d[at] - mean));
        }
    }
    for (size_t t = 0; t < z->n; t++) {
        const float *c = combine + t * z->s, *d_c = d_combine + t * z->s;
        double mean = 0.0;
        for (size_t j = 0; j < z->s; j++)
            mean += (double)c[j] * (double)d_c[j];
        for (size_t j = 0; j < z->s; j++)
            d[t * z->s + j] += (float)((double)c[j] * ((double)d_c[j] - mean));
    }
}

/* The gradients of Phi and of its scale, from that of scale n(Phi) in state->d_phi. */
static void phi_backward(vit_router_pass *pass, const soft_state *state, const soft_size *z)
{
    const float *phi = pass->in.param[PARAMETER_PHI];
    const double scale = (double)pass->in.param[PARAMETER_SCALE][0];
    double d_scale = 0.0;

    for (size_t j = 0; j < z->s; j++)
        for (size_t i = 0; i < z->d; i++) {
            const size_t at = j * z->d + i;
            d_scale +=
                (double)state->d_phi[at] * (double)state->phi_scale[j] * (double)phi[at];
            state->d_phi[at] = (float)(scale * (double)state->d_phi[at]);
        }
    if (pass->gradient.param[PARAMETER_SCALE])
        pass->gradient.param[PARAMETER_SCALE][0] += (float)d_scale;
    if (pass->gradient.param[PARAMETER_PHI])
        normalise_backward(pass->gradient.param[PARAMETER_PHI], state->d_phi, phi,
                           state->phi_scale, z->s, z->d);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const soft_size z = size_of(&pass->plan.shape);
    const soft_state state = state_of(pass);
    const size_t t = pass->plan.shape.tokens;

    (void)d_gate; /* the slots' gates are 1 */
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < z.images; i++) {
        const size_t at = i * z.n * z.s;
        const float *d_u = pass->gradient.view + i * z.s * z.d;
        vit_route_product(pass->plan.exec, false, true, z.n, z.s, z.d,
                          pass->in.x + i * z.n * z.d, z.d, d_u, z.d, 0.0f,
                          state.d_logits + at);
        softmaxes_backward(state.d_logits + at, state.d_combine + at, state.dispatch + at,
                           state.combine + at, &z);
        vit_route_product(pass->plan.exec, false, false, z.n, z.d, z.s, state.dispatch + at,
                          z.s, d_u, z.d, 1.0f, pass->gradient.x + i * z.n * z.d);
    }
    vit_route_product(pass->plan.exec, false, false, t, z.d, z.s, state.d_logits, z.s,
                      state.phi_norm, z.d, 0.0f, state.d_x_norm);
    normalise_backward(pass->gradient.x, state.d_x_norm, pass->in.x, state.x_scale, t, z.d);
    if (!pass->gradient.param[PARAMETER_PHI] && !pass->gradient.param[PARAMETER_SCALE])
        return;
    vit_route_product(pass->plan.exec, true, false, z.s, z.d, t, state.d_logits, z.s,
                      state.x_norm, z.d, 0.0f, state.d_phi);
    phi_backward(pass, &state, &z);
}

static const vit_router_views views = {
    .others = others, .always = true, .mix = mix, .mix_backward = mix_backward};

static const char *caution(const vit_router_config *config)
{
    (void)config;
    return "Soft MoE sends no token anywhere: no choice of experts masks a gradient, gradients are exact, and "
           "there is no change of routing to report.";
}

/* The layer's output: what the slots' results give every token. */
static const char *onnx(vit_onnx_layer *layer)
{
    const soft_size s = size_of(&layer->shape);
    const int64_t slots = (int64_t)s.s, p = (int64_t)s.p, d = (int64_t)s.d;
    const size_t experts = layer->shape.experts;
    vit_onnx *g = layer->graph;
    const char *results[VIT_EXPERTS_MAX + 1] = {NULL};
    const char *x = vit_onnx_by_image(layer, layer->x, s.d);
    const char *phi = vit_onnx_unit(
        g, vit_onnx_shaped(g, vit_onnx_router_parameter(layer, "phi"), slots, d), 0,
        norm_eps);
    phi = vit_onnx_op(g, "Mul", phi, vit_onnx_router_parameter(layer, "scale"));
    const char *l = vit_onnx_op(g, "MatMul", vit_onnx_unit(g, x, 0, norm_eps),
                                vit_onnx_turned(g, phi, 1, 0));
    const char *slot =
        vit_onnx_op(g, "MatMul", vit_onnx_turned(g, vit_onnx_softmax(g, l, 1), 0, 2, 1), x);
    slot = vit_onnx_shaped(g, slot, -1, (int64_t)experts, p, d);
    for (size_t e = 0; e < experts; e++) {
        const char *own =
            vit_onnx_with(g, "Gather", VIT_ONNX_IN(slot, vit_onnx_int(g, (int64_t)e)),
                          VIT_ONNX_INT("axis", 1));
        own = vit_onnx_expert(layer, "experts", e, vit_onnx_shaped(g, own, -1, d));
        results[e] = vit_onnx_shaped(g, own, -1, p, d);
    }
    const char *all = vit_onnx_with(g, "Concat", results, VIT_ONNX_INT("axis", 1));
    return vit_onnx_by_token(layer,
                             vit_onnx_op(g, "MatMul", vit_onnx_softmax(g, l, 2), all), s.d);
}

const vit_router vit_router_soft = {
    .name = "soft",
    .summary = "Soft MoE: experts work on mixtures of an image's tokens (Puigcerver et al. "
               "2023)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .views = &views,
    .caution = caution,
    .without_k = true,
    .own_logits = true,
    .eval_k = eval_k,
    .pairs = pairs,
    .check = check,
    .assignments = assignments,
    .parameters = parameters,
    .init = init,
    .settle = settle,
    .state_bytes = state_bytes,
    .operations = operations,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
