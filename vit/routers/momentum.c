/* momentum.c - router "momentum": the routing of "softmax" in layers that meet the stream
 * as a heavy ball. Follows Teo and Nguyen 2024, "MomentumSMoE" (arXiv 2410.14574) and the
 * code released with it, routing.md 6: an SMoE layer is a step of gradient descent, and a
 * momentum m with the stream's shape goes from MoE layer to MoE layer of one pass, is 0
 * before the first and takes gradients. differs: the authors' code takes the momentum away
 * from the stream (the same with experts of the other sign, and they start symmetric);
 * added, mu = 0 and gamma = 1 are the plain residual. Their blocks are post-norm, ours
 * pre-norm; norm = post adds the LayerNorm that their V-MoE fork has behind every block,
 * here behind every MoE layer (routing-newer.md 21). */
#include "vit/routers/momentum_internal.h"
#include "vit/routers/router_onnx_internal.h"

typedef struct momentum_options {
    vit_softmax_options soft; /* first */
    vit_heavy_ball_options ball;
    int norm;
} momentum_options;

enum { NORM_NONE, NORM_POST };                                  /* choices of "norm" */
enum { PARAMETER_WEIGHT, PARAMETER_NORM, PARAMETER_NORM_BIAS }; /* the last two with post */

#define BASE_STRUCT momentum_options
static const base_field options[] = {
    VIT_HEAVY_BALL_OPTIONS,
    BASE_CHOICE("norm", norm, "none|post",
                "post: a LayerNorm behind every MoE layer, with weights of its own (the "
                "authors' V-MoE fork, with mu 0.8, then 0.9)"),
    VIT_SOFTMAX_OPTIONS,
    {0},
};
#undef BASE_STRUCT
static const momentum_options defaults = {.ball = VIT_HEAVY_BALL_DEFAULTS,
                                          .soft = VIT_SOFTMAX_DEFAULTS};

void vit_heavy_ball_forward(float *h_next, float *m_next, const float *h, const float *y,
                            const float *m, size_t floats, vit_heavy_ball ball)
{
#pragma omp simd
    for (size_t i = 0; i < floats; i++) {
        const float moved = ball.mu * m[i] + ball.gamma * y[i];
        m_next[i] = moved;
        h_next[i] = h[i] + moved;
    }
}

void vit_heavy_ball_backward(float *d_h, float *d_y, float *d_m, const float *d_h_next,
                             const float *d_m_next, size_t floats, vit_heavy_ball ball)
{
#pragma omp simd
    for (size_t i = 0; i < floats; i++) {
        const float d_next = d_h_next[i], d_moved = d_m_next[i] + d_next;
        d_h[i] = d_next;
        d_y[i] = ball.gamma * d_moved;
        d_m[i] = ball.mu * d_moved;
    }
}

static vit_heavy_ball ball_of(const vit_router_config *config)
{
    const momentum_options *o = vit_router_settings(config);

    return (vit_heavy_ball){.mu = (float)o->ball.mu, .gamma = (float)o->ball.gamma};
}

static void forward(float *h_next, float *carry_out, const float *h, const float *y,
                    const float *carry_in, size_t floats, int moe_index,
                    const vit_router_config *config)
{
    (void)moe_index;
    vit_heavy_ball_forward(h_next, carry_out, h, y, carry_in, floats, ball_of(config));
}

static void backward(float *d_h, float *d_y, float *d_carry_in, const float *d_h_next,
                     const float *d_carry_out, const float *h, const float *y,
                     const float *carry_in, const float *carry_out, size_t floats,
                     int moe_index, const vit_router_config *config)
{
    (void)h, (void)y, (void)carry_in, (void)carry_out, (void)moe_index;
    vit_heavy_ball_backward(d_h, d_y, d_carry_in, d_h_next, d_carry_out, floats,
                            ball_of(config));
}

static bool normed(const vit_router_config *config)
{
    const momentum_options *o = vit_router_settings(config);

    return o->norm == NORM_POST;
}

static size_t parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    const size_t count = vit_route_parameters(shape, out);

    if (!normed(shape->config))
        return count;
    out[PARAMETER_NORM] =
        (vit_router_parameter){.name = "norm.weight", .shape = {shape->width}, .rank = 1};
    out[PARAMETER_NORM_BIAS] =
        (vit_router_parameter){.name = "norm.bias", .shape = {shape->width}, .rank = 1};
    return PARAMETER_NORM_BIAS + 1;
}

static bool init(float *out, size_t i, const vit_router_shape *shape, base_rng *rng)
{
    (void)rng;
    for (size_t j = 0; i != PARAMETER_WEIGHT && j < shape->width; j++)
        out[j] = i == PARAMETER_NORM ? 1.0f : 0.0f;
    return i != PARAMETER_WEIGHT;
}

const char *vit_heavy_ball_onnx(vit_onnx_layer *layer, const char *h, const char *y,
                                vit_heavy_ball ball)
{
    vit_onnx *g = layer->graph;
    const char *moved = vit_onnx_scaled(g, y, (double)ball.gamma);

    if (layer->carry)
        moved =
            vit_onnx_op(g, "Add", vit_onnx_scaled(g, layer->carry, (double)ball.mu), moved);
    layer->carry = moved;
    return vit_onnx_op(g, "Add", h, moved);
}

static const char *join_onnx(vit_onnx_layer *layer, const char *h, const char *y)
{
    return vit_heavy_ball_onnx(layer, h, y, ball_of(layer->shape.config));
}

static const vit_router_join join = {.carry_width = 1,
                                     .onnx = join_onnx,
                                     .forward = forward,
                                     .backward = backward,
                                     .normed = normed,
                                     .norm_weight = PARAMETER_NORM};

const vit_router vit_router_momentum = {
    .name = "momentum",
    .summary =
        "softmax routing, layers joined by heavy-ball momentum (Teo and Nguyen 2024, "
        "MomentumSMoE)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .join = &join,
    .check = vit_softmax_check,
    .assignments = vit_route_assignments,
    .parameters = parameters,
    .init = init,
    .state_bytes = vit_route_state_bytes,
    .forward = vit_softmax_forward,
    .backward = vit_softmax_backward,
    .onnx = vit_softmax_onnx,
};
