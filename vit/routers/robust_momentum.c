/* robust_momentum.c - router "robust-momentum": the routing of "softmax" in layers that
 * meet the stream by the robust momentum method of Cyrus, Hu, Van Scoy and Lessard 2018, "A
 * robust accelerated optimization algorithm for strongly convex functions", whose step,
 * beta and eta these are. Teo and Nguyen 2024 (arXiv 2410.14574) use the method in a V-MoE;
 * L = 1, L / m = 1.25 and rho = 0.2 are those of their V-MoE fork (step 0.96, momentum
 * 0.04, nothing has moved at the start, dense blocks leave it alone; routing-newer.md 21).
 * How the look-ahead is laid over layers is our reading (routing.md 6): with h the stream
 * at this MoE layer and h_before that at the one before (nothing has moved at the first),
 *     in = h + eta (h - h_before), h' = h + beta (h - h_before) + step y(in). */
#include <math.h>

#include "vit/routers/router_onnx_internal.h"

typedef struct robust_momentum_options {
    vit_softmax_options soft; /* first */
    double L, m, rho, step, beta, eta;
} robust_momentum_options;

#define BASE_STRUCT robust_momentum_options
static const base_field options[] = {
    BASE_REAL("L", L, 1e-6, 1e6,
              "largest curvature that the step is made for (the authors' V-MoE fork: 1)"),
    BASE_REAL("m", m, 1e-6, 1e6, "least curvature, below L (the same: L / m = 1.25)"),
    BASE_REAL(
        "rho", rho, 0, 1.0,
        "rate of convergence, from 1 - sqrt(m / L), fast, to 1 - m / L, robust (the same: "
        "0.2)"),
    BASE_REAL("step", step, -1e3, 1e3,
              "weight of the experts' output (auto: from L, m and rho; a reconstruction)",
              .automatic = true),
    BASE_REAL("beta", beta, 0, 1e3,
              "weight of the last movement of the stream in the next one (auto: from L, m "
              "and rho; a reconstruction)",
              .automatic = true),
    BASE_REAL("eta", eta, 0, 1e3,
              "how far along the last movement the layer looks ahead (auto: from L, m and "
              "rho; a reconstruction)",
              .automatic = true),
    VIT_SOFTMAX_OPTIONS,
    {0},
};
#undef BASE_STRUCT
static const robust_momentum_options defaults = {.soft = VIT_SOFTMAX_DEFAULTS,
                                                 .L = 1.0,
                                                 .m = 0.8,
                                                 .rho = 0.2,
                                                 .step = NAN,
                                                 .beta = NAN,
                                                 .eta = NAN};

typedef struct robust_numbers {
    double step, beta, eta;
} robust_numbers;

/* Value of an option, or that number if it is auto. */
static double value_or(double value, double number)
{
    return isnan(value) ? number : value;
}

/* Cyrus et al. 2018, as routing.md 6 quotes them. */
static robust_numbers numbers_of(const vit_router_config *c)
{
    const robust_momentum_options *o = vit_router_settings(c);
    const double l = o->L, m = o->m;
    const double rho = o->rho, kappa = l / m;
    const double slack = (1.0 - rho) * (1.0 - rho) * (1.0 + rho), cube = rho * rho * rho;

    return (robust_numbers){
        .step = value_or(o->step, kappa * slack / l),
        .beta = value_or(o->beta, kappa * cube / (kappa - 1.0)),
        .eta = value_or(o->eta, cube / ((kappa - 1.0) * slack)),
    };
}

static base_status check(const vit_config *config, base_error *err)
{
    const robust_momentum_options *o = vit_router_settings(&config->moe.router);
    const base_status status = vit_softmax_check(config, err);

    if (status != BASE_OK)
        return status;
    if (!isnan(o->step) && !isnan(o->beta) && !isnan(o->eta))
        return BASE_OK; /* nothing is computed from the others */
    const double l = o->L, m = o->m;
    const double rho = o->rho, rounding = 1e-12;
    if (!(m < l))
        return base_fail(err, BASE_USAGE,
                         "'router.m' is %g, expected less than router.L (%g)", m, l);
    const double low = 1.0 - sqrt(m / l), high = 1.0 - m / l;
    if (!(rho >= low - rounding && rho <= high + rounding))
        return base_fail(err, BASE_USAGE,
                         "'router.rho' is %g, expected %.6g to %.6g for router.L %g and "
                         "router.m %g",
                         rho, low, high, l, m);
    return BASE_OK;
}

/* Weight of the last movement: none at the first MoE layer. */
static float weight_at(int moe_index, double weight)
{
    return moe_index > 0 ? (float)weight : 0.0f;
}

static void enter(float *in, const float *h, const float *carry_in, size_t floats,
                  int moe_index, const vit_router_config *config)
{
    const float eta = weight_at(moe_index, numbers_of(config).eta);

#pragma omp simd
    for (size_t i = 0; i < floats; i++)
        in[i] = h[i] + eta * (h[i] - carry_in[i]);
}

static void enter_backward(float *d_h, float *d_carry_in, const float *d_in, size_t floats,
                           int moe_index, const vit_router_config *config)
{
    const float eta = weight_at(moe_index, numbers_of(config).eta);

#pragma omp simd
    for (size_t i = 0; i < floats; i++) {
        d_h[i] += (1.0f + eta) * d_in[i];
        d_carry_in[i] -= eta * d_in[i];
    }
}

static void forward(float *h_next, float *carry_out, const float *h, const float *y,
                    const float *carry_in, size_t floats, int moe_index,
                    const vit_router_config *config)
{
    const robust_numbers n = numbers_of(config);
    const float beta = weight_at(moe_index, n.beta), step = (float)n.step;

#pragma omp simd
    for (size_t i = 0; i < floats; i++) {
        const float here = h[i];
        h_next[i] = here + beta * (here - carry_in[i]) + step * y[i];
        carry_out[i] = here;
    }
}

static void backward(float *d_h, float *d_y, float *d_carry_in, const float *d_h_next,
                     const float *d_carry_out, const float *h, const float *y,
                     const float *carry_in, const float *carry_out, size_t floats,
                     int moe_index, const vit_router_config *config)
{
    const robust_numbers n = numbers_of(config);
    const float beta = weight_at(moe_index, n.beta), step = (float)n.step;

    (void)h, (void)y, (void)carry_in, (void)carry_out;
#pragma omp simd
    for (size_t i = 0; i < floats; i++) {
        const float d_next = d_h_next[i], d_here = d_carry_out[i];
        d_h[i] = (1.0f + beta) * d_next + d_here;
        d_y[i] = step * d_next;
        d_carry_in[i] = -beta * d_next;
    }
}

/* h and so much of its last movement. */
static const char *moved(const vit_onnx_layer *layer, const char *h, double weight)
{
    vit_onnx *g = layer->graph;

    if (!layer->carry)
        return h;
    return vit_onnx_op(g, "Add", h,
                       vit_onnx_scaled(g, vit_onnx_op(g, "Sub", h, layer->carry), weight));
}

static const char *enter_onnx(vit_onnx_layer *layer, const char *h)
{
    return moved(layer, h, numbers_of(layer->shape.config).eta);
}

static const char *join_onnx(vit_onnx_layer *layer, const char *h, const char *y)
{
    const robust_numbers n = numbers_of(layer->shape.config);
    const char *here = moved(layer, h, n.beta);

    layer->carry = h;
    return vit_onnx_op(layer->graph, "Add", here, vit_onnx_scaled(layer->graph, y, n.step));
}

static const vit_router_join join = {.carry_width = 1,
                                     .onnx_enter = enter_onnx,
                                     .onnx = join_onnx,
                                     .enter = enter,
                                     .enter_backward = enter_backward,
                                     .forward = forward,
                                     .backward = backward};

const vit_router vit_router_robust_momentum = {
    .name = "robust-momentum",
    .summary = "softmax routing, layers joined by the robust momentum method (Cyrus et al. "
               "2018; its use here is partly a reconstruction of Teo and Nguyen 2024)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .join = &join,
    .check = check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = vit_route_state_bytes,
    .forward = vit_softmax_forward,
    .backward = vit_softmax_backward,
    .onnx = vit_softmax_onnx,
};
