/* similarity.c - router "similarity": every token's scores are averaged over the tokens of
 * its image that are like it, Sim = softmax of the rows of X X^T / (sqrt(D) tau), or of X W
 * X^T with a learned W that starts as the identity. GoT-inspired: follows routing.md 7, a
 * reconstruction of the similarity-aware routing of arXiv 2505.00792 (graph of tokens), not
 * the authors' method. The mixing is in graph.c. Free to change: the order of products. */
#include <math.h>
#include <string.h>

#include "vit/routers/graph_internal.h"

#define BASE_STRUCT vit_graph_options
static const base_field options[] = {
    BASE_REAL("tau", tau, 1e-3, 1e6,
              "temperature of the similarities, over sqrt(width) (GoT-inspired "
              "reconstruction, our choice; large: all tokens of an image weigh the same)"),
    BASE_CHOICE("bilinear", bilinear, "off|on",
                "on: a learned matrix between the tokens, which starts as the identity "
                "(GoT-inspired reconstruction)"),
    VIT_GRAPH_OPTIONS,
    VIT_SOFTMAX_OPTIONS,
    {0},
};
#undef BASE_STRUCT
static const vit_graph_options defaults = VIT_GRAPH_DEFAULTS;

static bool is_bilinear(const vit_router_config *config)
{
    const vit_graph_options *o = vit_router_settings(config);

    return o->bilinear != 0;
}

static base_status check(const vit_config *config, base_error *err)
{
    const vit_graph_options *o = vit_router_settings(&config->moe.router);
    const base_status status = vit_softmax_check(config, err);

    if (status != BASE_OK)
        return status;
    if (o->bilinear != 0 && o->detach_sim != 0)
        return base_fail(err, BASE_USAGE,
                         "'router.bilinear' is on with router.detach_sim on (the matrix "
                         "would never learn), expected one of them off");
    return BASE_OK;
}

static size_t parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    const size_t count = vit_route_parameters(shape, out);

    if (!is_bilinear(shape->config))
        return count;
    out[count] = (vit_router_parameter){.name = "similarity.weight",
                                        .shape = {shape->width, shape->width},
                                        .rank = 2,
                                        .decay = true};
    return count + 1;
}

/* The matrix starts as the identity. */
static bool init(float *out, size_t i, const vit_router_shape *shape, base_rng *rng)
{
    const size_t d = shape->width;

    (void)rng;
    if (i == 0)
        return false;
    memset(out, 0, d * d * sizeof *out);
    for (size_t j = 0; j < d; j++)
        out[j * d + j] = 1.0f;
    return true;
}

typedef struct similarity_state {
    vit_graph_state graph;
    float *y, *d_y; /* [T, D] X W, bilinear only */
} similarity_state;

static void plan_state(similarity_state *out, base_arena *arena,
                       const vit_router_shape *shape)
{
    const size_t floats = is_bilinear(shape->config) ? shape->tokens * shape->width : 0;

    vit_graph_state_plan(&out->graph, arena, shape);
    out->y = base_arena_take(arena, floats, sizeof(float));
    out->d_y = base_arena_take(arena, floats, sizeof(float));
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    similarity_state unused;

    plan_state(&unused, &arena, shape);
    return arena.used;
}

/* Mixing, X X^T, and X W. */
static double operations(const vit_router_shape *shape)
{
    const double t = (double)shape->tokens, d = (double)shape->width;

    return vit_graph_operations(shape) + t * (double)shape->tokens_per_image * d +
           (is_bilinear(shape->config) ? t * d * d : 0);
}

static similarity_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    similarity_state state;

    plan_state(&state, &arena, &pass->plan.shape);
    return state;
}

static float scale_of(const vit_router_pass *pass)
{
    const vit_graph_options *o = vit_router_settings(pass->plan.shape.config);

    return (float)(1.0 / (sqrt((double)pass->plan.shape.width) * o->tau));
}

static void forward(vit_router_pass *pass)
{
    const similarity_state state = state_of(pass);
    const size_t t = pass->plan.shape.tokens, d = pass->plan.shape.width;
    const size_t images = vit_graph_images(&pass->plan.shape);
    const bool bilinear = is_bilinear(pass->plan.shape.config);
    const float *left = bilinear ? state.y : pass->in.x, scale = scale_of(pass);
    const vit_operand_kernels *kernels = vit_kernels_fp32();

    if (bilinear)
        vit_route_product(pass->plan.exec, false, false, t, d, d, pass->in.x, d,
                          pass->in.param[1], d, 0.0f, state.y);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < images; i++) {
        const vit_graph_image g = vit_graph_image_at(&pass->plan.shape, i);
        float *sim = state.graph.sim + g.at;
        vit_route_product(pass->plan.exec, false, true, g.count, g.count, d,
                          left + g.first * d, d, pass->in.x + g.first * d, d, 0.0f, sim);
        for (size_t j = 0; j < g.count * g.count; j++)
            sim[j] *= scale;
        kernels->softmax(sim, sim, g.count, g.count, 1.0f);
    }
    vit_graph_forward(pass, &state.graph);
}

/* u [n, n] = (u + u^T) in place. */
static void symmetrise(float *u, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            u[i * n + j] = u[j * n + i] = u[i * n + j] + u[j * n + i];
}

/* Gradients of one image's tokens from d_sim, and of its rows of X W. */
static void image_backward(vit_router_pass *pass, const similarity_state *state,
                           vit_graph_image g, const vit_operand_kernels *kernels)
{
    const size_t d = pass->plan.shape.width, n = g.count;
    const float scale = scale_of(pass), *x = pass->in.x + g.first * d;
    float *u = state->graph.d_sim + g.at, *d_x = pass->gradient.x + g.first * d;

    kernels->softmax_backward(u, u, state->graph.sim + g.at, n, n, 1.0f);
    for (size_t j = 0; j < n * n; j++)
        u[j] *= scale;
    if (!is_bilinear(pass->plan.shape.config)) {
        symmetrise(u, n);
        vit_route_product(pass->plan.exec, false, false, n, d, n, u, n, x, d, 1.0f, d_x);
        return;
    }
    vit_route_product(pass->plan.exec, false, false, n, d, n, u, n, x, d, 0.0f,
                      state->d_y + g.first * d);
    vit_route_product(pass->plan.exec, true, false, n, d, n, u, n, state->y + g.first * d,
                      d, 1.0f, d_x);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const similarity_state state = state_of(pass);
    const size_t t = pass->plan.shape.tokens, d = pass->plan.shape.width;
    const size_t images = vit_graph_images(&pass->plan.shape);
    const vit_operand_kernels *kernels = vit_kernels_fp32();

    vit_graph_backward(pass, &state.graph, d_gate);
    if (!vit_graph_learns(pass))
        return;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < images; i++)
        image_backward(pass, &state, vit_graph_image_at(&pass->plan.shape, i), kernels);
    if (!is_bilinear(pass->plan.shape.config))
        return;
    vit_route_product(pass->plan.exec, false, true, t, d, d, state.d_y, d,
                      pass->in.param[1], d, 1.0f, pass->gradient.x);
    if (pass->gradient.param[1])
        vit_route_product(pass->plan.exec, true, false, d, d, t, pass->in.x, d, state.d_y,
                          d, 1.0f, pass->gradient.param[1]);
}

static const char *onnx(vit_onnx_layer *layer)
{
    const vit_graph_options *o = vit_router_settings(layer->shape.config);
    const size_t d = layer->shape.width;
    vit_onnx *g = layer->graph;
    const char *x = vit_onnx_by_image(layer, layer->x, d), *left = x;

    if (is_bilinear(layer->shape.config))
        left = vit_onnx_op(g, "MatMul", x,
                           vit_onnx_router_parameter(layer, "similarity.weight"));
    const char *sim = vit_onnx_op(g, "MatMul", left, vit_onnx_turned(g, x, 0, 2, 1));
    sim = vit_onnx_scaled(g, sim, 1.0 / (sqrt((double)d) * o->tau));
    return vit_graph_onnx(layer, vit_onnx_softmax(g, sim, 2));
}

const vit_router vit_router_similarity = {
    .name = "similarity",
    .summary = "softmax routing, scores averaged over similar tokens (GoT-inspired, a "
               "reconstruction of arXiv 2505.00792)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .check = check,
    .assignments = vit_route_assignments,
    .parameters = parameters,
    .init = init,
    .state_bytes = state_bytes,
    .operations = operations,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
