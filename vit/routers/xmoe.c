/* xmoe.c - router "xmoe": experts by cosine on a low-dimensional hypersphere. Follows Chi
 * et al. 2022, "On the representation collapse of sparse mixture of experts" (X-MoE, arXiv
 * 2204.09179, known from the published paper, not read again) and the code in torchscale
 * and MomentumSMoE, which was read (routing.md 5). variant = paper: Z_te = cos(W_r x_t,
 * v_e) / tau, tau learned; variant = code: Z_te = <W_r x_t, v_e / |v_e|>, the token not
 * normalised and no temperature. Then top-k softmax with a balance loss at a fixed
 * temperature. Training and evaluation differ only by that loss. differs: torchscale's
 * second expert is drawn, not the next likely one: its top2gating adds Gumbel noise to the
 * logits before it looks for the largest of the others (second_expert_policy 'sampling',
 * its default). */
#include "vit/routers/router_onnx_internal.h"

#include <math.h>
#include <string.h>

enum { VARIANT_PAPER, VARIANT_CODE };                     /* choices of "variant" */
enum { GATE_AUTO, GATE_PROB, GATE_RENORM, GATE_SIGMOID }; /* choices of "gate" */
enum { COUNT_FIRST, COUNT_ALL };                          /* choices of "balance_count" */
enum { WEIGHT, PROJECTION, TEMPERATURE };                 /* parameters */

/* Lengths below this count as this, temperatures too (torchscale). */
static const double length_floor = 1e-4;
static const double temperature_floor = 1e-4;
/* First values of v: orthogonal with this gain; in the code each then has this length. */
static const double orthogonal_gain = 0.32;
static const double code_length = 1.5;

typedef struct xmoe_options {
    int variant;
    double dim;
    int gate;
    double temperature, balance, balance_temperature;
    int balance_count;
} xmoe_options;

#define BASE_STRUCT xmoe_options
static const base_field options[] = {
    BASE_CHOICE(
        "variant", variant, "paper|code",
        "paper: cosine over a learned temperature (X-MoE, from the published paper, not "
        "read again); code: the token not normalised, no temperature (torchscale, which "
        "also rescales the experts' vectors before every pass, here once, at the start, and "
        "with k = 2 draws the second expert by Gumbel noise, here the next likely one)"),
    BASE_REAL(
        "dim", dim, 1, 1024,
        "numbers a token is projected to (auto: E / 2 as X-MoE, 2 at least, for on a line "
        "cosines are constant; torchscale: 16, MomentumSMoE: 8)",
        .automatic = true, .whole = true),
    BASE_CHOICE(
        "gate", gate, "auto|prob|renorm|sigmoid",
        "weight of a chosen expert: its probability, renormalised over the chosen "
        "ones, or the sigmoid of its logit (auto: prob for k = 1, renorm for k >= 2)"),
    BASE_REAL(
        "temperature", temperature, 1e-4, 1e4,
        "first temperature of variant paper (auto: 0.3, or 0.07 with gate sigmoid, as "
        "X-MoE)",
        .automatic = true),
    BASE_REAL("balance", balance, 0, 1e3, "weight of the balance loss (X-MoE: 0.01)"),
    BASE_REAL(
        "balance_temperature", balance_temperature, 1e-4, 1e4,
        "fixed temperature of the balance loss's softmax (auto: 0.3 for variant paper, "
        "torchscale's constant is 0.07; 1 for variant code)",
        .automatic = true),
    BASE_CHOICE("balance_count", balance_count, "first|all",
                "choices that the balance loss counts: first ones (torchscale) or all k"),
    {0},
};
#undef BASE_STRUCT
static const xmoe_options defaults = {.variant = VARIANT_PAPER,
                                      .dim = NAN,
                                      .gate = GATE_AUTO,
                                      .temperature = NAN,
                                      .balance = 0.01,
                                      .balance_temperature = NAN,
                                      .balance_count = COUNT_FIRST};

typedef struct xmoe_settings {
    bool code, count_all;
    size_t dim;
    vit_route_gate gate;
    double temperature, balance, balance_temperature;
} xmoe_settings;

static double value_or(double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

static xmoe_settings settings_of(const vit_router_shape *shape)
{
    const xmoe_options *o = vit_router_settings(shape->config);
    const bool code = o->variant == VARIANT_CODE;
    const int gate = o->gate;
    const size_t half = shape->experts > 4 ? shape->experts / 2 : 2;

    return (xmoe_settings){
        .code = code,
        .count_all = o->balance_count == COUNT_ALL,
        .dim = (size_t)value_or(o->dim, (double)half),
        .gate = gate == GATE_SIGMOID ? VIT_ROUTE_GATE_SIGMOID
                : gate == GATE_RENORM || (gate == GATE_AUTO && shape->k >= 2)
                    ? VIT_ROUTE_GATE_RENORM
                    : VIT_ROUTE_GATE_PROB,
        .temperature = value_or(o->temperature, gate == GATE_SIGMOID ? 0.07 : 0.3),
        .balance = o->balance,
        .balance_temperature = value_or(o->balance_temperature, code ? 1.0 : 0.3),
    };
}

static base_status check(const vit_config *config, base_error *err)
{
    const base_status status = vit_route_check(config, err);
    const xmoe_options *o = vit_router_settings(&config->moe.router);

    if (status != BASE_OK)
        return status;
    if (config->moe.k == 1 && o->gate == GATE_RENORM)
        return base_fail(
            err, BASE_USAGE,
            "'router.gate' is renorm with router.k 1 (every gate would be 1 and the "
            "router would learn nothing), expected auto, prob or sigmoid, or router.k 2 or "
            "more");
    if (o->variant == VARIANT_CODE && !isnan(o->temperature))
        return base_fail(err, BASE_USAGE,
                         "'router.temperature' is %g with router.variant code, which has "
                         "none, expected auto",
                         o->temperature);
    return BASE_OK;
}

static size_t parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    const xmoe_settings set = settings_of(shape);

    out[WEIGHT] = (vit_router_parameter){
        .name = "weight", .shape = {shape->experts, set.dim}, .rank = 2, .decay = true};
    out[PROJECTION] = (vit_router_parameter){
        .name = "projection", .shape = {set.dim, shape->width}, .rank = 2, .decay = true};
    if (set.code)
        return 2;
    out[TEMPERATURE] =
        (vit_router_parameter){.name = "temperature", .shape = {1}, .rank = 1};
    return 3;
}

/* The logits cost the projection and the cosines, not a row of the width for each
 * expert. */
static double operations(const vit_router_shape *shape)
{
    const double dim = (double)settings_of(shape).dim, e = (double)shape->experts;
    const double width = (double)shape->width;

    return (double)shape->tokens * (dim * (width + e) - width * e);
}

/* ---- first values -------------------------------------------------------------------- */

/* out [lines x length], lines <= length, strides between lines and inside them: normal
 * numbers made orthonormal by Gram and Schmidt, twice, so that single precision is
 * orthonormal to rounding. */
static void orthonormal(float *out, size_t lines, size_t length, size_t line, size_t step,
                        base_rng *rng)
{
    for (size_t i = 0; i < lines; i++) {
        float *own = out + i * line;
        double squares = 0.0;

        for (size_t j = 0; j < length; j++)
            own[j * step] = (float)base_rng_normal(rng);
        for (int again = 0; again < 2; again++)
            for (size_t before = 0; before < i; before++) {
                const float *other = out + before * line;
                double dot = 0.0;
                for (size_t j = 0; j < length; j++)
                    dot += (double)own[j * step] * (double)other[j * step];
                for (size_t j = 0; j < length; j++)
                    own[j * step] =
                        (float)((double)own[j * step] - dot * (double)other[j * step]);
            }
        for (size_t j = 0; j < length; j++)
            squares += (double)own[j * step] * (double)own[j * step];
        for (size_t j = 0; j < length; j++)
            own[j * step] = (float)((double)own[j * step] / sqrt(squares));
    }
}

static bool init(float *out, size_t i, const vit_router_shape *shape, base_rng *rng)
{
    const xmoe_settings set = settings_of(shape);
    const size_t e = shape->experts, d = set.dim;

    if (i == TEMPERATURE)
        out[0] = (float)set.temperature;
    if (i != WEIGHT)
        return i == TEMPERATURE;
    if (e < d)
        orthonormal(out, e, d, d, 1, rng);
    else
        orthonormal(out, d, e, 1, d, rng);
    for (size_t r = 0; r < e; r++) {
        double squares = 0.0;
        for (size_t j = 0; j < d; j++)
            squares += (double)out[r * d + j] * (double)out[r * d + j];
        /* The code brings every row to this length before every pass; here only at the
         * start. */
        const double scale = set.code ? code_length / sqrt(squares) : orthogonal_gain;
        for (size_t j = 0; j < d; j++)
            out[r * d + j] = (float)(scale * (double)out[r * d + j]);
    }
    return true;
}

/* ---- passes -------------------------------------------------------------------------- */

typedef struct xmoe_state {
    vit_route_state base; /* z: logits; p: softmax of the balance loss; score: its logits */
    float *token;         /* [T, d] projected, divided by its length (paper) */
    float *d_token;       /* [T, d] */
    double *token_length; /* [T], negative when below the floor, which then holds */
    float *vector;        /* [E, d] v over its length */
    float *d_vector;      /* [E, d] */
    double *vector_length; /* [E], likewise */
    float *s;              /* [T, E] */
} xmoe_state;

static void plan_state(xmoe_state *out, base_arena *arena, const vit_router_shape *shape)
{
    const xmoe_settings set = settings_of(shape);
    const size_t t = shape->tokens, e = shape->experts;

    vit_route_state_plan(&out->base, arena, shape);
    out->token = base_arena_take(arena, t * set.dim, sizeof(float));
    out->d_token = base_arena_take(arena, t * set.dim, sizeof(float));
    out->token_length = base_arena_take(arena, t, sizeof(double));
    out->vector = base_arena_take(arena, e * set.dim, sizeof(float));
    out->d_vector = base_arena_take(arena, e * set.dim, sizeof(float));
    out->vector_length = base_arena_take(arena, e, sizeof(double));
    out->s = base_arena_take(arena, t * e, sizeof(float));
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    xmoe_state unused;

    plan_state(&unused, &arena, shape);
    return arena.used;
}

static xmoe_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    xmoe_state state;

    plan_state(&state, &arena, &pass->plan.shape);
    return state;
}

/* unit [rows, n] = x over its length; unit may be x. */
static void rows_normalise(float *unit, double *length, const float *x, size_t rows,
                           size_t n)
{
#pragma omp parallel for schedule(static) if (rows * n >= 65536)
    for (size_t r = 0; r < rows; r++) {
        double squares = 0.0;
        for (size_t j = 0; j < n; j++)
            squares += (double)x[r * n + j] * (double)x[r * n + j];
        const double own = sqrt(squares), used = own > length_floor ? own : length_floor;
        length[r] = own > length_floor ? own : -length_floor;
        for (size_t j = 0; j < n; j++)
            unit[r * n + j] = (float)((double)x[r * n + j] / used);
    }
}

/* d [rows, n] in place: from the gradient of the unit rows to that of the rows. */
static void rows_normalise_backward(float *d, const float *unit, const double *length,
                                    size_t rows, size_t n)
{
#pragma omp parallel for schedule(static) if (rows * n >= 65536)
    for (size_t r = 0; r < rows; r++) {
        double along = 0.0;
        for (size_t j = 0; j < n && length[r] > 0.0; j++)
            along += (double)d[r * n + j] * (double)unit[r * n + j];
        for (size_t j = 0; j < n; j++)
            d[r * n + j] =
                (float)(((double)d[r * n + j] - along * (double)unit[r * n + j]) /
                        fabs(length[r]));
    }
}

/* The temperature in use; *held: it lies on its floor, where it has no gradient. */
static double temperature_of(bool *held, const vit_router_pass *pass,
                             const xmoe_settings *set)
{
    const double own = set->code ? 1.0 : (double)pass->in.param[TEMPERATURE][0];

    *held = !(own > temperature_floor);
    return *held ? temperature_floor : own;
}

/* The balance loss over groups; with d_s, loss_scale times its gradient is added. */
static double losses(vit_router_pass *pass, const xmoe_settings *set,
                     const xmoe_state *state, double *d_s)
{
    const size_t groups = vit_route_groups(&pass->plan.shape), n = pass->plan.shape.experts;
    const double scale =
        pass->in.loss_scale * set->balance / ((double)groups * set->balance_temperature);
    double sum = 0.0;

    for (size_t i = 0; i < groups && set->balance > 0.0; i++) {
        size_t first;
        const vit_route_size s = vit_route_group(&first, &pass->plan.shape, i);
        sum += set->balance * vit_route_balance(d_s ? d_s + first * n : NULL, scale,
                                                state->base.p + first * n,
                                                pass->out.expert + first * s.k,
                                                set->count_all, &s, state->base.work);
    }
    return sum / (double)groups;
}

static void forward(vit_router_pass *pass)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const xmoe_settings set = settings_of(&pass->plan.shape);
    const xmoe_state state = state_of(pass);
    const size_t width = pass->plan.shape.width, count = s.tokens * s.experts;
    bool held;
    const double tau = temperature_of(&held, pass, &set);

    vit_route_product(pass->plan.exec, false, true, s.tokens, set.dim, width, pass->in.x,
                      width, pass->in.param[PROJECTION], width, 0.0f, state.token);
    if (!set.code)
        rows_normalise(state.token, state.token_length, state.token, s.tokens, set.dim);
    rows_normalise(state.vector, state.vector_length, pass->in.param[WEIGHT], s.experts,
                   set.dim);
    vit_route_product(pass->plan.exec, false, true, s.tokens, s.experts, set.dim,
                      state.token, set.dim, state.vector, set.dim, 0.0f, state.s);
    for (size_t i = 0; i < count; i++)
        state.base.z[i] = (double)state.s[i] / tau;
    vit_route_softmax(pass->out.probs, state.base.z, &s);
    pass->out.logits = state.base.z;
    vit_route_choose(pass, state.base.z);
    vit_route_gate_forward(pass, &state.base, set.gate, state.base.z, pass->out.probs);
    vit_route_publish(pass, &state.base);
    if (!pass->in.training)
        return;
    for (size_t i = 0; i < count; i++)
        state.base.score[i] = (double)state.s[i] / set.balance_temperature;
    vit_route_softmax(state.base.p, state.base.score, &s);
    pass->report.aux_loss = losses(pass, &set, &state, NULL);
}

/* base.d_z, the gradient of the logits, becomes that of s; returns the temperature's. */
static double temperature_backward(const vit_router_pass *pass, const xmoe_state *state,
                                   double tau)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t n = s.experts, chunks = vit_route_chunks(s.tokens);
    double *partial = state->base.work, sum = 0.0;

#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t c = 0; c < chunks; c++) {
        const size_t end = c + 1 < chunks ? (c + 1) * VIT_ROUTE_CHUNK : s.tokens;
        partial[c] = 0.0;
        for (size_t i = c * VIT_ROUTE_CHUNK * n; i < end * n; i++) {
            double *d = &state->base.d_z[i];
            if (pass->gradient.logits)
                *d += (double)pass->gradient.logits[i];
            partial[c] += *d * (double)state->s[i];
            *d /= tau;
        }
    }
    for (size_t c = 0; c < chunks; c++)
        sum += partial[c];
    return -sum / (tau * tau);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const xmoe_settings set = settings_of(&pass->plan.shape);
    const xmoe_state state = state_of(pass);
    const size_t width = pass->plan.shape.width, dim = set.dim;
    float *d_s = state.base.narrow;
    bool held;
    const double tau = temperature_of(&held, pass, &set);

    vit_route_gate_backward(pass, &state.base, set.gate, pass->out.probs, d_gate);
    const double d_tau = temperature_backward(pass, &state, tau);
    if (!set.code && !held && pass->gradient.param[TEMPERATURE])
        pass->gradient.param[TEMPERATURE][0] += (float)d_tau;
    if (pass->in.training)
        losses(pass, &set, &state, state.base.d_z);
    for (size_t i = 0; i < s.tokens * s.experts; i++)
        d_s[i] = (float)state.base.d_z[i];
    vit_route_product(pass->plan.exec, false, false, s.tokens, dim, s.experts, d_s,
                      s.experts, state.vector, dim, 0.0f, state.d_token);
    if (!set.code)
        rows_normalise_backward(state.d_token, state.token, state.token_length, s.tokens,
                                dim);
    if (pass->gradient.param[WEIGHT]) {
        vit_route_product(pass->plan.exec, true, false, s.experts, dim, s.tokens, d_s,
                          s.experts, state.token, dim, 0.0f, state.d_vector);
        rows_normalise_backward(state.d_vector, state.vector, state.vector_length,
                                s.experts, dim);
        for (size_t i = 0; i < s.experts * dim; i++)
            pass->gradient.param[WEIGHT][i] += state.d_vector[i];
    }
    if (pass->gradient.param[PROJECTION])
        vit_route_product(pass->plan.exec, true, false, dim, width, s.tokens, state.d_token,
                          dim, pass->in.x, width, 1.0f, pass->gradient.param[PROJECTION]);
    vit_route_product(pass->plan.exec, false, false, s.tokens, width, dim, state.d_token,
                      dim, pass->in.param[PROJECTION], width, 1.0f, pass->gradient.x);
}

static const char *onnx(vit_onnx_layer *layer)
{
    const xmoe_settings set = settings_of(&layer->shape);
    vit_onnx *g = layer->graph;
    const char *token = vit_onnx_with(
        g, "Gemm", VIT_ONNX_IN(layer->x, vit_onnx_router_parameter(layer, "projection")),
        VIT_ONNX_INT("transB", 1));
    const char *vector =
        vit_onnx_unit(g, vit_onnx_router_parameter(layer, "weight"), length_floor, 0);

    if (!set.code)
        token = vit_onnx_unit(g, token, length_floor, 0);
    const char *z =
        vit_onnx_with(g, "Gemm", VIT_ONNX_IN(token, vector), VIT_ONNX_INT("transB", 1));
    if (!set.code)
        z = vit_onnx_op(g, "Div", z,
                        vit_onnx_op(g, "Max",
                                    vit_onnx_router_parameter(layer, "temperature"),
                                    vit_onnx_real(g, temperature_floor)));
    return vit_onnx_top(layer, z, z,
                        set.gate == VIT_ROUTE_GATE_PROB ? vit_onnx_softmax(g, z, 1) : NULL,
                        set.gate);
}

const vit_router vit_router_xmoe = {
    .name = "xmoe",
    .summary =
        "cosine of token and expert in few dimensions, learned temperature (Chi et al. "
        "2022, X-MoE, paper not read again)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .operations = operations,
    .check = check,
    .assignments = vit_route_assignments,
    .parameters = parameters,
    .init = init,
    .state_bytes = state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
