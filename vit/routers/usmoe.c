/* usmoe.c - router "usmoe": the N * k best pairs of an image, whichever tokens and experts
 * they join. Follows the code released with USMoE (giangdip2410/USMoE, arXiv 2503.22996),
 * which was read (routing.md 9): a score between token choice (softmax) and expert choice
 * (sigmoid), the largest of the flattened token x expert matrix, the score itself as the
 * gate, no auxiliary loss, the same in training and evaluation. A token may get any number
 * of experts, none too. The options select = token and eval_k serve comparisons and cheaper
 * evaluation. */
#include "vit/routers/router_onnx_internal.h"

#include <math.h>
#include <string.h>

enum { SELECT_IMAGE, SELECT_TOKEN }; /* choices of "select" */
enum { DIVIDE_NONE, DIVIDE_ROW };    /* choices of "divide" */

typedef struct usmoe_options {
    double alpha;
    int select, divide;
    double eval_k;
} usmoe_options;

#define BASE_STRUCT usmoe_options
static const base_field options[] = {
    BASE_REAL(
        "alpha", alpha, 0, 1.0,
        "score = (1 - alpha) * softmax + alpha * (2 / E) * sigmoid (USMoE code: 0.5)"),
    BASE_CHOICE(
        "select", select, "image|token",
        "the N * k best pairs of an image of N tokens (USMoE), or the k best experts "
        "of each token (ours, to compare)"),
    BASE_CHOICE("divide", divide, "none|row",
                "gates: the score itself, or over the token's sum of scores of all experts "
                "(USMoE code: none, row as its option)"),
    BASE_REAL("eval_k", eval_k, 0, VIT_EXPERTS_MAX,
              "pairs a token in evaluation, on average: round(N * eval_k) an image (auto: "
              "router.k; USMoE lowers it to save work)",
              .automatic = true),
    {0},
};
#undef BASE_STRUCT
static const usmoe_options defaults = {
    .alpha = 0.5, .select = SELECT_IMAGE, .divide = DIVIDE_NONE, .eval_k = NAN};

typedef struct usmoe_settings {
    double alpha, eval_k;
    bool by_token, divide;
} usmoe_settings;

static usmoe_settings settings_of(const vit_router_shape *shape)
{
    const usmoe_options *o = vit_router_settings(shape->config);

    return (usmoe_settings){
        .alpha = o->alpha,
        .eval_k = isnan(o->eval_k) ? (double)shape->k : o->eval_k,
        .by_token = o->select == SELECT_TOKEN,
        .divide = o->divide == DIVIDE_ROW,
    };
}

static base_status check(const vit_config *config, base_error *err)
{
    const vit_moe_config *moe = &config->moe;
    const usmoe_options *o = vit_router_settings(&moe->router);
    const double eval_k = o->eval_k;
    const base_status status = vit_route_check(config, err);

    if (status != BASE_OK)
        return status;
    if (!isnan(eval_k) && eval_k > moe->experts)
        return base_fail(
            err, BASE_USAGE,
            "'router.eval_k' is %g, expected at most the number of experts (%d)", eval_k,
            moe->experts);
    if (!isnan(eval_k) && eval_k != floor(eval_k) && o->select == SELECT_TOKEN)
        return base_fail(err, BASE_USAGE,
                         "'router.eval_k' is %g with router.select token, expected a whole "
                         "number",
                         eval_k);
    return BASE_OK;
}

/* Pairs of a block of tokens for k a token. */
static size_t pairs_of(size_t tokens, double k)
{
    return (size_t)floor((double)tokens * k + 0.5);
}

/* Tokens that compete: of an image, or one alone. */
static size_t block_tokens(const vit_router_shape *shape, const usmoe_settings *set)
{
    const size_t n = set->by_token ? 1 : shape->tokens_per_image;

    return n < shape->tokens ? n : shape->tokens;
}

static size_t assignments(const vit_router_shape *shape)
{
    const usmoe_settings set = settings_of(shape);
    const size_t n = block_tokens(shape, &set), images = shape->tokens / n;
    const double k = fmax((double)shape->k, set.eval_k);

    return images * pairs_of(n, k) + pairs_of(shape->tokens - images * n, k);
}

static double pairs(const vit_router_shape *shape)
{
    const usmoe_settings set = settings_of(shape);

    return (double)pairs_of(shape->tokens, set.eval_k);
}

static double sigmoid(double z)
{
    return 1.0 / (1.0 + exp(-z));
}

/* score = s, p = s or s over its row sum. */
static void scores_fill(const vit_route_pairs_state *state, const double *probs,
                        const vit_route_size *s, const usmoe_settings *set)
{
    const size_t n = s->experts;
    const double of_sigmoid = set->alpha * 2.0 / (double)n;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        const double *z = state->base.z + t * n, *p = probs + t * n;
        double *score = state->base.score + t * n, *gate = state->base.p + t * n;
        double sum = 0.0;
        for (size_t e = 0; e < n; e++) {
            score[e] = (1.0 - set->alpha) * p[e] + of_sigmoid * sigmoid(z[e]);
            sum += score[e];
        }
        for (size_t e = 0; e < n; e++)
            gate[e] = set->divide ? score[e] / sum : score[e];
    }
}

static void forward(vit_router_pass *pass)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const usmoe_settings set = settings_of(&pass->plan.shape);
    const vit_route_pairs_state state = vit_route_pairs_state_of(pass);
    const size_t n = s.experts, block = block_tokens(&pass->plan.shape, &set);
    const double k = pass->in.training ? (double)s.k : set.eval_k;

    vit_route_logits(pass, &state.base);
    scores_fill(&state, pass->out.probs, &s, &set);
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t first = 0; first < s.tokens; first += block) {
        const size_t tokens = s.tokens - first < block ? s.tokens - first : block;
        vit_route_mark_largest(state.mark + first * n, state.base.score + first * n,
                               tokens * n, 1, pairs_of(tokens, k), state.key + first * n);
    }
    vit_route_pairs_publish(pass, state.mark, state.base.p);
}

/* base.d_z: from the gradient of the gates to that of the logits. */
static void scores_backward(const vit_route_pairs_state *state, const double *probs,
                            const vit_route_size *s, const usmoe_settings *set)
{
    const size_t n = s->experts;
    const double of_sigmoid = set->alpha * 2.0 / (double)n;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        const double *z = state->base.z + t * n, *p = probs + t * n;
        const double *score = state->base.score + t * n, *gate = state->base.p + t * n;
        double *d = state->base.d_z + t * n;
        double sum = 0.0, through = 0.0, mean = 0.0;
        for (size_t e = 0; e < n; e++) {
            sum += score[e];
            through += d[e] * gate[e];
        }
        for (size_t e = 0; e < n; e++) {
            if (set->divide)
                d[e] = (d[e] - through) / sum;
            mean += p[e] * d[e];
        }
        for (size_t e = 0; e < n; e++) {
            const double g = sigmoid(z[e]);
            d[e] = (1.0 - set->alpha) * p[e] * (d[e] - mean) +
                   of_sigmoid * g * (1.0 - g) * d[e];
        }
    }
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const usmoe_settings set = settings_of(&pass->plan.shape);
    const vit_route_pairs_state state = vit_route_pairs_state_of(pass);

    vit_route_pairs_backward(state.base.d_z, pass, d_gate);
    scores_backward(&state, pass->out.probs, &s, &set);
    vit_route_logits_backward(pass, &state.base);
}

static const char *onnx(vit_onnx_layer *layer)
{
    const vit_router_shape *s = &layer->shape;
    const usmoe_settings set = settings_of(s);
    vit_onnx *g = layer->graph;
    const size_t tokens = set.by_token ? 1 : s->tokens_per_image;
    const size_t m = pairs_of(tokens, set.eval_k);
    const int64_t row = (int64_t)(tokens * s->experts);
    const char *z = vit_onnx_logits(layer), *place;
    const char *score = vit_onnx_op(
        g, "Add", vit_onnx_scaled(g, vit_onnx_softmax(g, z, 1), 1.0 - set.alpha),
        vit_onnx_scaled(g, vit_onnx_op(g, "Sigmoid", z),
                        set.alpha * 2.0 / (double)s->experts));
    const char *gate = score;

    if (m == 0)
        return vit_onnx_full_like(g, z, 0);
    if (set.divide)
        gate = vit_onnx_op(g, "Div", score, vit_onnx_reduce(g, "ReduceSum", score, 1));
    score = vit_onnx_shaped(g, score, -1, row);
    gate = vit_onnx_shaped(g, gate, -1, row);
    vit_onnx_largest(g, &place, score, m, 1);
    const char *value = vit_onnx_with(g, "GatherElements", VIT_ONNX_IN(gate, place),
                                      VIT_ONNX_INT("axis", 1));
    return vit_onnx_by_token(layer, vit_onnx_marks(g, score, place, value, 1), s->experts);
}

const vit_router vit_router_usmoe = {
    .name = "usmoe",
    .summary = "the best token-expert pairs of an image (USMoE code, arXiv 2503.22996)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .pairs = pairs,
    .check = check,
    .assignments = assignments,
    .parameters = vit_route_parameters,
    .state_bytes = vit_route_pairs_state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
