/* adam.c - router "adam": the routing of "softmax" in layers of which the first meets the
 * stream as a step of Adam, the later ones as a heavy ball. Follows Teo and Nguyen 2024,
 * "MomentumSMoE" (arXiv 2410.14574, AdamSMoE) as in the code released with it, routing.md
 * 6: p = (1 - beta1) y and v = (1 - beta2) y^2 start at 0 and serve the first MoE layer
 * only, without bias correction, so that h' = h + adam_gamma p / sqrt(v + eps) - kappa h;
 * the momentum that later layers carry starts as gamma y. differs: kappa, the decoupled
 * weight decay, is 0 here; the authors' 1 cancels the residual, which their post-norm
 * blocks add again outside and ours do not.
 *
 * The update saturates: with the authors' numbers it is 3.162 sign(y) for |y| far above
 * 3e-3, and the experts of that layer hardly learn through it (they do through the
 * momentum). */
#include <math.h>

#include "vit/routers/momentum_internal.h"
#include "vit/routers/softmax_internal.h"

typedef struct adam_options {
    vit_softmax_options soft; /* first */
    vit_heavy_ball_options ball;
    double adam_gamma, beta1, beta2, eps, kappa;
} adam_options;

#define BASE_STRUCT adam_options
static const base_field options[] = {
    VIT_HEAVY_BALL_OPTIONS,
    BASE_REAL("adam_gamma", adam_gamma, -1e3, 1e3,
              "weight of the Adam step of the first MoE layer (AdamSMoE: 1)"),
    BASE_REAL("beta1", beta1, 0, 1.0,
              "decay of Adam's mean in the first MoE layer, which starts at 0 (AdamSMoE: "
              "0.9)"),
    BASE_REAL("beta2", beta2, 0, 1.0,
              "decay of Adam's mean square in the first MoE layer, which starts at 0 "
              "(AdamSMoE: 0.999)"),
    BASE_REAL("eps", eps, 1e-12, 1.0,
              "added to Adam's mean square under the root (AdamSMoE: 1e-8)"),
    BASE_REAL(
        "kappa", kappa, 0, 1.0,
        "decoupled weight decay of the stream in the first MoE layer (AdamSMoE's code: "
        "1, which cancels the residual and suits its post-norm blocks; 0 is our "
        "choice for pre-norm)"),
    VIT_SOFTMAX_OPTIONS,
    {0},
};
#undef BASE_STRUCT
static const adam_options defaults = {.ball = VIT_HEAVY_BALL_DEFAULTS,
                                      .soft = VIT_SOFTMAX_DEFAULTS,
                                      .adam_gamma = 1.0,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8};

typedef struct adam_numbers {
    vit_heavy_ball ball;
    float first;  /* adam_gamma (1 - beta1): the step is first * y / sqrt(v) */
    float second; /* 1 - beta2 */
    float eps, kept;
} adam_numbers;

static adam_numbers numbers_of(const vit_router_config *c)
{
    const adam_options *o = vit_router_settings(c);

    return (adam_numbers){
        .ball = {.mu = (float)o->ball.mu, .gamma = (float)o->ball.gamma},
        .first = (float)(o->adam_gamma * (1.0 - o->beta1)),
        .second = (float)(1.0 - o->beta2),
        .eps = (float)o->eps,
        .kept = (float)(1.0 - o->kappa),
    };
}

static void forward(float *h_next, float *carry_out, const float *h, const float *y,
                    const float *carry_in, size_t floats, int moe_index,
                    const vit_router_config *config)
{
    const adam_numbers a = numbers_of(config);

    if (moe_index > 0) {
        vit_heavy_ball_forward(h_next, carry_out, h, y, carry_in, floats, a.ball);
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < floats; i++) {
        carry_out[i] = a.ball.gamma * y[i];
        h_next[i] = a.kept * h[i] + a.first * y[i] / sqrtf(a.second * y[i] * y[i] + a.eps);
    }
}

/* The step's derivative is first * eps / v^1.5 with v = second y^2 + eps: what p and what v
 * give, added in closed form, so that nothing cancels where it saturates. */
static void backward(float *d_h, float *d_y, float *d_carry_in, const float *d_h_next,
                     const float *d_carry_out, const float *h, const float *y,
                     const float *carry_in, const float *carry_out, size_t floats,
                     int moe_index, const vit_router_config *config)
{
    const adam_numbers a = numbers_of(config);

    (void)h, (void)carry_in, (void)carry_out;
    if (moe_index > 0) {
        vit_heavy_ball_backward(d_h, d_y, d_carry_in, d_h_next, d_carry_out, floats,
                                a.ball);
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < floats; i++) {
        const float v = a.second * y[i] * y[i] + a.eps;
        const float d_next = d_h_next[i], d_moved = d_carry_out[i];
        d_h[i] = a.kept * d_next;
        d_y[i] = a.first * (a.eps / v) / sqrtf(v) * d_next + a.ball.gamma * d_moved;
        d_carry_in[i] = 0.0f; /* nothing comes before */
    }
}

static const char *join_onnx(vit_onnx_layer *layer, const char *h, const char *y)
{
    const adam_numbers a = numbers_of(layer->shape.config);
    vit_onnx *g = layer->graph;

    if (layer->moe_index > 0)
        return vit_heavy_ball_onnx(layer, h, y, a.ball);
    layer->carry = vit_onnx_scaled(g, y, (double)a.ball.gamma);
    const char *v = vit_onnx_op(
        g, "Add", vit_onnx_scaled(g, vit_onnx_op(g, "Mul", y, y), (double)a.second),
        vit_onnx_real(g, (double)a.eps));
    const char *step = vit_onnx_op(g, "Div", vit_onnx_scaled(g, y, (double)a.first),
                                   vit_onnx_op(g, "Sqrt", v));
    return vit_onnx_op(g, "Add", vit_onnx_scaled(g, h, (double)a.kept), step);
}

static const vit_router_join join = {
    .carry_width = 1, .forward = forward, .backward = backward, .onnx = join_onnx};

const vit_router vit_router_adam = {
    .name = "adam",
    .summary = "softmax routing, an Adam step at the first MoE layer, then heavy-ball "
               "momentum (Teo and Nguyen 2024, AdamSMoE)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .join = &join,
    .check = vit_softmax_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = vit_route_state_bytes,
    .forward = vit_softmax_forward,
    .backward = vit_softmax_backward,
    .onnx = vit_softmax_onnx,
};
