/* sinkhorn.c - router "sinkhorn": experts chosen by a balanced plan on every training step
 * (S-BASE). Follows Clark et al. 2022, "Unified scaling laws for routed language models"
 * (arXiv 2202.01169) and the base layer of Megatron-LM: the plan is detached and only
 * chooses, gates come from the logits; evaluation takes the k largest logits (routing.md 3,
 * first variant). */
#include "vit/routers/router_onnx_internal.h"

#include <string.h>

enum { GATE_AUTO, GATE_PROB, GATE_SIGMOID }; /* choices of "gate" */

typedef struct sinkhorn_options {
    int gate;
    double xi;
    int max_iter;
    double delta;
    int scope;
} sinkhorn_options;

#define BASE_STRUCT sinkhorn_options
static const base_field options[] = {
    BASE_CHOICE("gate", gate, "auto|prob|sigmoid",
                "weight of a chosen expert (auto: sigmoid of its logit for k = 1 as "
                "Megatron-LM; its probability for k >= 2, our reconstruction)"),
    BASE_REAL("xi", xi, 1e-4, 1e4, "entropy weight of the plan (S-BASE: 1)"),
    BASE_INT("max_iter", max_iter, 1, 100000, "most Sinkhorn iterations a step"),
    BASE_REAL("delta", delta, 0, 1,
              "stop when the L2 error of the column sums is below delta * max(1, T / "
              "E) (our scale; Megatron-LM watches the change of the scaling instead)"),
    BASE_CHOICE("scope", scope, "global|group",
                "tokens balanced together: all of the batch, or each routing group"),
    {0},
};
#undef BASE_STRUCT
static const sinkhorn_options defaults = {.gate = GATE_AUTO,
                                          .xi = 1.0,
                                          .max_iter = 100,
                                          .delta = 1e-4,
                                          .scope = VIT_ROUTE_SCOPE_GLOBAL};

static vit_route_gate gate_of(const vit_router_shape *shape)
{
    const sinkhorn_options *o = vit_router_settings(shape->config);

    return o->gate == GATE_SIGMOID || (o->gate == GATE_AUTO && shape->k == 1)
               ? VIT_ROUTE_GATE_SIGMOID
               : VIT_ROUTE_GATE_PROB;
}

static vit_route_sinkhorn_rule rule_of(const vit_router_config *c)
{
    const sinkhorn_options *o = vit_router_settings(c);

    return (vit_route_sinkhorn_rule){
        .xi = o->xi,
        .scope = (vit_route_scope)o->scope,
        .plan = {.max_iter = o->max_iter, .delta = o->delta},
    };
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    vit_route_state unused;

    vit_route_state_plan(&unused, &arena, shape);
    vit_route_sinkhorn_take(&arena, shape, rule_of(shape->config).scope);
    return arena.used;
}

static void forward(vit_router_pass *pass)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    vit_route_state state;

    vit_route_state_plan(&state, &arena, &pass->plan.shape);
    const vit_route_sinkhorn_rule rule = rule_of(pass->plan.shape.config);
    double *work = vit_route_sinkhorn_take(&arena, &pass->plan.shape, rule.scope);
    if (!pass->in.training) {
        vit_route_top_forward(pass, &state, 0.0, gate_of(&pass->plan.shape));
        return;
    }
    vit_route_logits(pass, &state);
    memcpy(state.score, state.z, s.tokens * s.experts * sizeof *state.score);
    vit_route_sinkhorn_forward(pass, &state, &rule, work);
    vit_route_top(pass->out.expert, state.score, &s);
    vit_route_gate_forward(pass, &state, gate_of(&pass->plan.shape), state.z,
                           pass->out.probs);
    vit_route_publish(pass, &state);
}

/* The plan is detached: the gates' own gradient is all. */
static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_gate_backward(pass, &state, gate_of(&pass->plan.shape), pass->out.probs,
                            d_gate);
    vit_route_logits_backward(pass, &state);
}

static double every_step(const vit_router_config *config, uint64_t run_steps)
{
    (void)config;
    (void)run_steps;
    return 1.0;
}

static const char *onnx(vit_onnx_layer *layer)
{
    return vit_onnx_top_logits(layer, gate_of(&layer->shape));
}

const vit_router vit_router_sinkhorn = {
    .name = "sinkhorn",
    .summary = "balanced plan on every training step, detached (Clark et al. 2022, S-BASE)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .check = vit_route_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = state_bytes,
    .sinkhorn_share = every_step,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
