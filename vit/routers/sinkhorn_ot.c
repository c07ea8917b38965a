/* sinkhorn_ot.c - router "sinkhorn-ot": a balanced plan chooses in training and in
 * evaluation. Follows the KL router of the code released with Liu et al. 2023,
 * "Sparsity-constrained optimal transport" (google-research/vmoe,
 * projects/sparsity_constrained_ot), which it is the comparison of; routing.md 3, second
 * variant: rows sum to 1, columns to T / E, entropy weight 1, exactly 20 iterations from u
 * = 1, top-k of the plan of the noisy logits, weights from the softmax of the clean ones,
 * no auxiliary loss. Differs: tokens are balanced image by image unless router.scope says
 * otherwise, so that evaluation does not depend on the batch. */
#include "vit/routers/router_onnx_internal.h"

#include <math.h>
#include <string.h>

enum { COMBINE_SOFTMAX, COMBINE_PLAN }; /* choices of "combine" */

typedef struct sinkhorn_ot_options {
    int combine;
    double xi;
    int iterations;
    double noise;
    int scope;
} sinkhorn_ot_options;

#define BASE_STRUCT sinkhorn_ot_options
static const base_field options[] = {
    BASE_CHOICE(
        "combine", combine, "softmax|plan",
        "weight of a chosen expert: its probability without noise, or its entry of "
        "the plan, learned by implicit differentiation (sparsity-constrained OT code: "
        "softmax, plan as its option)"),
    BASE_REAL("xi", xi, 1e-4, 1e4,
              "entropy weight of the plan (sparsity-constrained OT code: 1)"),
    BASE_INT("iterations", iterations, 1, 100000,
             "Sinkhorn iterations, always all of them (sparsity-constrained OT code: 20)"),
    BASE_REAL(
        "noise", noise, 0, 1e3,
        "normal noise on the logits of the plan in training, standard deviation times "
        "the number of experts (V-MoE: 1)"),
    BASE_CHOICE(
        "scope", scope, "global|group|image",
        "tokens balanced together, in evaluation too: all of the batch, each routing "
        "group as in the source, or each image (our choice: evaluation then does not "
        "depend on the batch)"),
    {0},
};
#undef BASE_STRUCT
static const sinkhorn_ot_options defaults = {.combine = COMBINE_SOFTMAX,
                                             .xi = 1.0,
                                             .iterations = 20,
                                             .noise = 1.0,
                                             .scope = VIT_ROUTE_SCOPE_IMAGE};

typedef struct ot_settings {
    double sigma;
    bool by_plan;
    vit_route_sinkhorn_rule rule;
} ot_settings;

static ot_settings settings_of(const vit_router_shape *shape)
{
    const sinkhorn_ot_options *o = vit_router_settings(shape->config);

    return (ot_settings){
        .sigma = o->noise / (double)shape->experts,
        .by_plan = o->combine == COMBINE_PLAN,
        /* delta 0 is never reached; the source's first half-step is the columns' */
        .rule = {.xi = o->xi,
                 .scope = (vit_route_scope)o->scope,
                 .plan = {.max_iter = o->iterations, .delta = 0.0, .paper_init = true}},
    };
}

/* Returns Sinkhorn's scratch behind the usual state. */
static double *plan_state(vit_route_state *out, base_arena *arena,
                          const vit_router_shape *shape)
{
    vit_route_state_plan(out, arena, shape);
    return vit_route_sinkhorn_take(arena, shape, settings_of(shape).rule.scope);
}

static bool mixes_images(const vit_config *config)
{
    const sinkhorn_ot_options *o = vit_router_settings(&config->moe.router);

    return o->scope == VIT_ROUTE_SCOPE_GLOBAL ||
           (o->scope == VIT_ROUTE_SCOPE_GROUP && config->moe.group_images != 1);
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    vit_route_state unused;

    plan_state(&unused, &arena, shape);
    return arena.used;
}

static void forward(vit_router_pass *pass)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const ot_settings set = settings_of(&pass->plan.shape);
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    vit_route_state state;
    double *work = plan_state(&state, &arena, &pass->plan.shape);

    vit_route_logits(pass, &state);
    memcpy(state.score, state.z, s.tokens * s.experts * sizeof *state.score);
    if (pass->in.training && set.sigma > 0.0)
        vit_route_noise_add(state.score, set.sigma, pass);
    vit_route_sinkhorn_forward(pass, &state, &set.rule, work);
    pass->report.sinkhorn_converged =
        true; /* a fixed number of iterations is what was asked for */
    vit_route_choose(pass, state.score);
    vit_route_gate_forward(pass, &state, VIT_ROUTE_GATE_PROB, state.z,
                           set.by_plan ? state.p : pass->out.probs);
    vit_route_publish(pass, &state);
}

/* By plan: the gradient of the plan that the iterations tend to, at the one they reached,
 * as the source's implicit differentiation. */
static void backward(vit_router_pass *pass, const float *d_gate)
{
    const ot_settings set = settings_of(&pass->plan.shape);
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    vit_route_state state;
    double *work = plan_state(&state, &arena, &pass->plan.shape);

    vit_route_gate_backward(pass, &state, VIT_ROUTE_GATE_PROB,
                            set.by_plan ? state.p : pass->out.probs, d_gate);
    if (set.by_plan)
        vit_route_sinkhorn_backward(pass, &state, &set.rule, true, work);
    vit_route_logits_backward(pass, &state);
}

static double every_step(const vit_router_config *config, uint64_t run_steps)
{
    (void)config;
    (void)run_steps;
    return 1.0;
}

/* The iterations of vit_route_plan one after the other, on logarithms: g += log(T / E) -
 * log of the plan's column sums. */
static const char *onnx(vit_onnx_layer *layer)
{
    enum { ITERATIONS_MOST = 1000 };
    const ot_settings set = settings_of(&layer->shape);
    const size_t n = layer->shape.experts;
    vit_onnx *g = layer->graph;
    const char *z = vit_onnx_logits(layer);
    const char *l = vit_onnx_by_image(layer, vit_onnx_scaled(g, z, 1.0 / set.rule.xi), n);
    const char *target =
        vit_onnx_real(g, log((double)layer->shape.tokens_per_image / (double)n));
    const char *score = l;

    if (set.rule.plan.max_iter > ITERATIONS_MOST)
        return NULL;
    for (int i = 0; i < set.rule.plan.max_iter; i++) {
        const char *row = i == 0 ? l
                                 : vit_onnx_with(g, "LogSoftmax", VIT_ONNX_IN(score),
                                                 VIT_ONNX_INT("axis", 2));
        const char *column = vit_onnx_reduce(g, "ReduceLogSumExp", row, 1);
        score = vit_onnx_op(g, "Add", score, vit_onnx_op(g, "Sub", target, column));
    }
    score = vit_onnx_by_token(layer, score, n);
    return vit_onnx_top(layer, score, z, vit_onnx_softmax(g, set.by_plan ? score : z, 1),
                        VIT_ROUTE_GATE_PROB);
}

const vit_router vit_router_sinkhorn_ot = {
    .name = "sinkhorn-ot",
    .summary =
        "balanced plan in training and evaluation (code of Liu et al. 2023, KL router)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .mixes_images = mixes_images,
    .check = vit_route_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = state_bytes,
    .sinkhorn_share = every_step,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
