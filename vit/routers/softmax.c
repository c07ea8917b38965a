/* softmax.c - router "softmax": the k largest probabilities of a linear map, kept busy by a
 * balance loss and, if asked for, a z-loss. Follows Shazeer et al. 2017 (sparsely gated
 * experts), Fedus et al. 2022 (Switch: one expert, its probability as the gate), the SMoE
 * baseline of Teo and Nguyen 2024 (k >= 2: gates renormalised), routing.md 1. Training and
 * evaluation differ only by the losses and the optional noise. Others build upon it: see
 * softmax_internal.h. */
#include "vit/routers/router_onnx_internal.h"

typedef struct softmax_options {
    vit_softmax_options soft;
} softmax_options;

#define BASE_STRUCT softmax_options
static const base_field options[] = {VIT_SOFTMAX_OPTIONS, {0}};
#undef BASE_STRUCT
static const softmax_options defaults = {.soft = VIT_SOFTMAX_DEFAULTS};

vit_route_gate vit_softmax_gate_of(const vit_router_config *config, size_t k)
{
    const vit_softmax_options *o = vit_router_settings(config);
    const bool renorm =
        o->gate == VIT_SOFTMAX_GATE_RENORM || (o->gate == VIT_SOFTMAX_GATE_AUTO && k >= 2);

    return renorm ? VIT_ROUTE_GATE_RENORM : VIT_ROUTE_GATE_PROB;
}

vit_softmax_settings vit_softmax_settings_of(const vit_router_pass *pass)
{
    const vit_softmax_options *o = vit_router_settings(pass->plan.shape.config);

    return (vit_softmax_settings){
        .gate = vit_softmax_gate_of(pass->plan.shape.config, pass->plan.shape.k),
        .balance = o->balance,
        .z = o->z,
        .sigma = pass->in.training ? o->noise : 0.0,
        .count_all = o->balance_count == VIT_SOFTMAX_COUNT_ALL,
    };
}

base_status vit_softmax_check(const vit_config *config, base_error *err)
{
    const vit_softmax_options *o = vit_router_settings(&config->moe.router);
    const base_status status = vit_route_check(config, err);

    if (status != BASE_OK)
        return status;
    if (config->moe.k == 1 && o->gate == VIT_SOFTMAX_GATE_RENORM)
        return base_fail(
            err, BASE_USAGE,
            "'router.gate' is renorm with router.k 1 (every gate would be 1 and the "
            "router would learn nothing), expected auto or prob, or router.k 2 or more");
    return BASE_OK;
}

double vit_softmax_losses(vit_router_pass *pass, const vit_softmax_settings *set,
                          const vit_route_state *state, double *d_z)
{
    const size_t groups = vit_route_groups(&pass->plan.shape), n = pass->plan.shape.experts;
    const double scale = pass->in.loss_scale / (double)groups;
    double sum = 0.0;

    for (size_t i = 0; i < groups; i++) {
        size_t first;
        const vit_route_size s = vit_route_group(&first, &pass->plan.shape, i);
        double *d = d_z ? d_z + first * n : NULL;
        if (set->balance > 0.0)
            sum += set->balance * vit_route_balance(d, scale * set->balance,
                                                    pass->out.probs + first * n,
                                                    pass->out.expert + first * s.k,
                                                    set->count_all, &s, state->work);
        if (set->z > 0.0)
            sum += set->z * vit_route_z_loss(d, scale * set->z, state->z + first * n,
                                             pass->out.probs + first * n, &s, state->work);
    }
    return sum / (double)groups;
}

void vit_softmax_forward(vit_router_pass *pass)
{
    const vit_softmax_settings set = vit_softmax_settings_of(pass);
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_top_forward(pass, &state, set.sigma, set.gate);
    pass->report.aux_loss =
        pass->in.training ? vit_softmax_losses(pass, &set, &state, NULL) : 0.0;
}

void vit_softmax_backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_softmax_settings set = vit_softmax_settings_of(pass);
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_top_backward(pass, &state, set.sigma, set.gate, d_gate);
    if (pass->in.training)
        vit_softmax_losses(pass, &set, &state, state.d_z);
    vit_route_logits_backward(pass, &state);
}

const vit_router vit_router_softmax = {
    .name = "softmax",
    .summary = "top-k softmax with a balance loss (Shazeer et al. 2017, Fedus et al. 2022)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .check = vit_softmax_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = vit_route_state_bytes,
    .forward = vit_softmax_forward,
    .backward = vit_softmax_backward,
    .onnx = vit_softmax_onnx,
};
