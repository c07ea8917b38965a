/* softmax.c - router "softmax": the k largest probabilities of a linear map, kept busy by a
 * balance loss and, if asked for, a z-loss. Follows Shazeer et al. 2017 (sparsely gated
 * experts), Fedus et al. 2022 (Switch: one expert, its probability as the gate), the SMoE
 * baseline of Teo and Nguyen 2024 (k >= 2: gates renormalised), routing.md 1. Training and
 * evaluation differ only by the losses and the optional noise. */
#include "vit/routers/router_pass_internal.h"

enum { GATE_AUTO, GATE_PROB, GATE_RENORM }; /* choices of "gate" */
enum { COUNT_FIRST, COUNT_ALL };            /* choices of "balance_count" */

static const vit_router_option options[] = {
    {.name = "gate",
     .choices = "auto|prob|renorm",
     .initial = GATE_AUTO,
     .help = "weight of a chosen expert: its probability, or renormalised over the "
             "chosen ones (auto: prob for k = 1 as Switch, renorm for k >= 2 as the "
             "SMoE baseline)"},
    {.name = "balance",
     .initial = 0.01,
     .high = 1e3,
     .help = "weight of the balance loss (Switch Transformers: 0.01)"},
    {.name = "balance_count",
     .choices = "first|all",
     .initial = COUNT_FIRST,
     .help = "choices that the balance loss counts: first ones (GShard, V-MoE code) "
             "or all k"},
    {.name = "z",
     .high = 1e3,
     .help = "weight of the router z-loss (ST-MoE: 0.001; 0: off)"},
    {.name = "noise",
     .high = 1e3,
     .help = "standard deviation of normal noise on the logits in training (not in "
             "the sources; with SSR's value it is SSR without Sinkhorn steps)"},
    {.name = NULL},
};

typedef struct softmax_settings {
    vit_route_gate gate;
    double balance, z, sigma;
    bool count_all;
} softmax_settings;

static softmax_settings settings_of(const vit_router_pass *pass)
{
    const vit_router_config *c = pass->shape.config;
    const double gate = vit_router_option_value(c, "gate");
    const bool renorm = gate == GATE_RENORM || (gate == GATE_AUTO && pass->shape.k >= 2);

    return (softmax_settings){
        .gate = renorm ? VIT_ROUTE_GATE_RENORM : VIT_ROUTE_GATE_PROB,
        .balance = vit_router_option_value(c, "balance"),
        .z = vit_router_option_value(c, "z"),
        .sigma = pass->training ? vit_router_option_value(c, "noise") : 0.0,
        .count_all = vit_router_option_value(c, "balance_count") == COUNT_ALL,
    };
}

static base_status check(const vit_config *config, base_error *err)
{
    const base_status status = vit_route_check(config, err);

    if (status != BASE_OK)
        return status;
    if (config->moe.k == 1 &&
        vit_router_option_value(&config->moe.router, "gate") == GATE_RENORM)
        return base_fail(
            err, BASE_USAGE,
            "'router.gate' is renorm with router.k 1 (every gate would be 1 and the "
            "router would learn nothing), expected auto or prob, or router.k 2 or more");
    return BASE_OK;
}

/* Mean over groups of the weighted losses; with d_z, loss_scale times the gradient is
 * added. */
static double losses(vit_router_pass *pass, const softmax_settings *set,
                     const vit_route_state *state, double *d_z)
{
    const size_t groups = vit_route_groups(&pass->shape), n = pass->shape.experts;
    const double scale = pass->loss_scale / (double)groups;
    double sum = 0.0;

    for (size_t i = 0; i < groups; i++) {
        size_t first;
        const vit_route_size s = vit_route_group(&first, &pass->shape, i);
        double *d = d_z ? d_z + first * n : NULL;
        if (set->balance > 0.0)
            sum += set->balance * vit_route_balance(d, scale * set->balance,
                                                    pass->probs + first * n,
                                                    pass->expert + first * s.k,
                                                    set->count_all, &s, state->work);
        if (set->z > 0.0)
            sum += set->z * vit_route_z_loss(d, scale * set->z, state->z + first * n,
                                             pass->probs + first * n, &s, state->work);
    }
    return sum / (double)groups;
}

static void forward(vit_router_pass *pass)
{
    const softmax_settings set = settings_of(pass);
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_top_forward(pass, &state, set.sigma, set.gate);
    pass->aux_loss = pass->training ? losses(pass, &set, &state, NULL) : 0.0;
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const softmax_settings set = settings_of(pass);
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_top_backward(pass, &state, set.sigma, set.gate, d_gate);
    if (pass->training)
        losses(pass, &set, &state, state.d_z);
    vit_route_logits_backward(pass, &state);
}

const vit_router vit_router_softmax = {
    .name = "softmax",
    .summary = "top-k softmax with a balance loss (Shazeer et al. 2017, Fedus et al. 2022)",
    .options = options,
    .replays = true,
    .check = check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = vit_route_state_bytes,
    .forward = forward,
    .backward = backward,
};
