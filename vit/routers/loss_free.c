/* loss_free.c - router "loss-free": one bias an expert decides who is chosen, never how
 * much an expert counts, and moves by a fixed step against the load. Follows Wang et al.
 * 2024, "Auxiliary-loss-free load balancing strategy for mixture-of-experts" (arXiv
 * 2408.15664), and DeepSeek-V3 as they are described (routing-newer.md 16). One of three
 * solvers of one problem, even loads by one number an expert: SSR finds it on a few steps
 * and forgets it, quantile sets it. The bias is state (vit/state.c): it is read in
 * evaluation too, where a token's result depends on nothing but itself. */
#include "vit/routers/biased_internal.h"

typedef struct loss_free_options {
    vit_biased_options biased; /* first */
    double u, freeze;
} loss_free_options;

#define BASE_STRUCT loss_free_options
static const base_field options[] = {
    BASE_CHOICE("score", biased.score, "sigmoid|softmax",
                "what the bias is added to (DeepSeek-V3: sigmoid; the paper: both)"),
    VIT_BIASED_GATE,
    BASE_REAL("u", u, 0, 1.0,
              "step of the bias against the load, after each optimiser step (0.001)"),
    BASE_REAL("freeze", freeze, 0, 1.0,
              "share of the run at its end in which the bias stands still (DeepSeek-V3: "
              "0.03)"),
    {0},
};
#undef BASE_STRUCT
static const loss_free_options defaults = {
    .biased = {.score = VIT_BIASED_SIGMOID, .gate = VIT_BIASED_GATE_RENORM}, .u = 0.001};

static void forward(vit_router_pass *pass)
{
    vit_biased_forward(pass, VIT_BIASED_PLUS);
}

static size_t tally_count(const vit_router_shape *shape)
{
    return shape->experts;
}

/* The loads. */
static void tally(double *loads, const vit_router_pass *pass)
{
    for (size_t a = 0; a < pass->out.count; a++)
        loads[pass->out.expert[a]] += 1.0;
}

static void move(float *const *param, const double *loads, const vit_router_shape *shape,
                 uint64_t step, uint64_t steps)
{
    const loss_free_options *o = vit_router_settings(shape->config);
    float *bias = param[VIT_BIASED_PARAMETER];
    double mean = 0.0;

    if (steps > 0 && (double)step >= (1.0 - o->freeze) * (double)steps)
        return;
    for (size_t e = 0; e < shape->experts; e++)
        mean += loads[e] / (double)shape->experts;
    for (size_t e = 0; e < shape->experts; e++)
        bias[e] = (float)((double)bias[e] +
                          o->u * (double)((loads[e] < mean) - (loads[e] > mean)));
}

static const vit_router_motion motion = {
    .count = tally_count, .tally = tally, .move = move};

static const char *onnx(vit_onnx_layer *layer)
{
    return vit_biased_onnx(layer, VIT_BIASED_PLUS);
}

const vit_router vit_router_loss_free = {
    .name = "loss-free",
    .summary =
        "top-k of sigmoid plus a bias that moves against the load (Wang et al. 2024; "
        "DeepSeek-V3)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .motion = &motion,
    .check = vit_biased_check,
    .assignments = vit_route_assignments,
    .parameters = vit_biased_parameters,
    .init = vit_biased_init,
    .state_bytes = vit_route_state_bytes,
    .forward = forward,
    .backward = vit_biased_backward,
    .onnx = onnx,
};
