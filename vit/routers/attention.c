/* attention.c - router "attention": every token's scores are averaged over the tokens that
 * it attends to, by the mean of the heads of the attention of the same block. GoT-inspired:
 * follows routing.md 7, a reconstruction of the attention-aware routing of arXiv 2505.00792
 * (graph of tokens), not the authors' method. The mixing is in graph.c. Relied on
 * elsewhere: attention is read as the block computed it, rows summing to 1, before any
 * dropout. */
#include <string.h>

#include "vit/routers/graph_internal.h"

#define BASE_STRUCT vit_graph_options
static const base_field options[] = {
    VIT_GRAPH_OPTIONS,
    VIT_SOFTMAX_OPTIONS,
    {0},
};
#undef BASE_STRUCT
static const vit_graph_options defaults = VIT_GRAPH_DEFAULTS;

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    vit_graph_state unused;

    vit_graph_state_plan(&unused, &arena, shape);
    return arena.used;
}

/* Mixing, and the mean over heads. */
static double operations(const vit_router_shape *shape)
{
    return vit_graph_operations(shape) +
           (double)shape->tokens * (double)shape->tokens_per_image * (double)shape->heads;
}

static vit_graph_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    vit_graph_state state;

    vit_graph_state_plan(&state, &arena, &pass->plan.shape);
    return state;
}

/* A head's attention as rows that can be added in one go: all of a whole image is one. */
typedef struct head_rows {
    size_t rows, floats;
} head_rows;

static head_rows head_rows_of(vit_graph_image g, size_t n)
{
    return g.count == n ? (head_rows){1, n * n} : (head_rows){g.count, g.count};
}

static void forward(vit_router_pass *pass)
{
    const vit_graph_state state = state_of(pass);
    const size_t n = pass->plan.shape.tokens_per_image, heads = pass->plan.shape.heads;
    const size_t images = vit_graph_images(&pass->plan.shape);
    const vit_operand_kernels *kernels = vit_kernels_fp32();

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < images; i++) {
        const vit_graph_image g = vit_graph_image_at(&pass->plan.shape, i);
        const float *probs = pass->in.attention + i * heads * n * n;
        const head_rows r = head_rows_of(g, n);
        float *sim = state.sim + g.at;
        memset(sim, 0, g.count * g.count * sizeof *sim);
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < r.rows; t++)
                kernels->axpy(sim + t * r.floats, 1.0f / (float)heads,
                              probs + (h * n + t) * n, r.floats);
    }
    vit_graph_forward(pass, &state);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_graph_state state = state_of(pass);
    const size_t n = pass->plan.shape.tokens_per_image, heads = pass->plan.shape.heads;
    const size_t images = vit_graph_images(&pass->plan.shape);
    const vit_operand_kernels *kernels = vit_kernels_fp32();

    vit_graph_backward(pass, &state, d_gate);
    if (!pass->gradient.attention || !vit_graph_learns(pass))
        return;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < images; i++) {
        const vit_graph_image g = vit_graph_image_at(&pass->plan.shape, i);
        const head_rows r = head_rows_of(g, n);
        float *d_probs = pass->gradient.attention + i * heads * n * n;
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < r.rows; t++)
                kernels->axpy(d_probs + (h * n + t) * n, 1.0f / (float)heads,
                              state.d_sim + g.at + t * r.floats, r.floats);
    }
}

static const char *onnx(vit_onnx_layer *layer)
{
    vit_onnx *g = layer->graph;

    return vit_graph_onnx(
        layer,
        vit_onnx_with(g, "ReduceMean",
                      VIT_ONNX_IN(layer->attention, vit_onnx_ints(g, &(int64_t){1}, 1)),
                      VIT_ONNX_INT("keepdims", 0)));
}

const vit_router vit_router_attention = {
    .name = "attention",
    .summary = "softmax routing, scores averaged over attended tokens (GoT-inspired, a "
               "reconstruction of arXiv 2505.00792)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .wants_attention = true,
    .replays = true,
    .check = vit_softmax_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = state_bytes,
    .operations = operations,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
