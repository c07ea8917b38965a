/* vmoe.c - router "vmoe": noisy top-k with importance and load losses.
 * Follows Riquelme et al. 2021, "Scaling Vision with Sparse Mixture of Experts", section 2
 * and appendix A, and the code released with it (routing.md 2): softmax over all experts
 * first, gates are its probabilities and never renormalised, noise of standard deviation
 * noise / E in training only. Batch-prioritised routing belongs to the dispatch and serves
 * every router. */
#include "vit/routers/router_onnx_internal.h"

typedef struct vmoe_options {
    double noise, importance, load;
} vmoe_options;

#define BASE_STRUCT vmoe_options
static const base_field options[] = {
    BASE_REAL("noise", noise, 0, 1e3,
              "normal noise on the logits in training, standard deviation times the "
              "number of experts (V-MoE: 1)"),
    BASE_REAL("importance", importance, 0, 1e3,
              "weight of the importance loss (V-MoE: 0.005)"),
    BASE_REAL("load", load, 0, 1e3,
              "weight of the load loss (V-MoE: 0.005); needs noise, without it it is "
              "left out as in the authors' code"),
    {0},
};
#undef BASE_STRUCT
static const vmoe_options defaults = {.noise = 1.0, .importance = 0.005, .load = 0.005};

typedef struct vmoe_settings {
    double sigma, importance, load;
} vmoe_settings;

static vmoe_settings settings_of(const vit_router_pass *pass)
{
    const vmoe_options *o = vit_router_settings(pass->plan.shape.config);

    return (vmoe_settings){
        .sigma = pass->in.training ? o->noise / (double)pass->plan.shape.experts : 0.0,
        .importance = o->importance,
        .load = o->load,
    };
}

/* Mean over groups of the weighted losses; with d_z, loss_scale times the gradient is
 * added. */
static double losses(vit_router_pass *pass, const vmoe_settings *set,
                     const vit_route_state *state, double *d_z)
{
    const size_t groups = vit_route_groups(&pass->plan.shape), n = pass->plan.shape.experts;
    const double scale = pass->in.loss_scale / (double)groups;
    double sum = 0.0;

    for (size_t i = 0; i < groups; i++) {
        size_t first;
        const vit_route_size s = vit_route_group(&first, &pass->plan.shape, i);
        double *d = d_z ? d_z + first * n : NULL;
        if (set->importance > 0.0)
            sum += set->importance * vit_route_importance(d, scale * set->importance,
                                                          pass->out.probs + first * n, &s,
                                                          state->work);
        if (set->load > 0.0 && set->sigma > 0.0)
            sum +=
                set->load * vit_route_load(d, scale * set->load, state->z + first * n,
                                           state->score + first * n, set->sigma,
                                           pass->out.expert + first * s.k, &s, state->work);
    }
    return sum / (double)groups;
}

static void forward(vit_router_pass *pass)
{
    const vmoe_settings set = settings_of(pass);
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_top_forward(pass, &state, set.sigma, VIT_ROUTE_GATE_PROB);
    pass->report.aux_loss = pass->in.training ? losses(pass, &set, &state, NULL) : 0.0;
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vmoe_settings set = settings_of(pass);
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_top_backward(pass, &state, set.sigma, VIT_ROUTE_GATE_PROB, d_gate);
    if (pass->in.training)
        losses(pass, &set, &state, state.d_z);
    vit_route_logits_backward(pass, &state);
}

static const char *onnx(vit_onnx_layer *layer)
{
    return vit_onnx_top_logits(layer, VIT_ROUTE_GATE_PROB);
}

const vit_router vit_router_vmoe = {
    .name = "vmoe",
    .summary = "noisy top-k with importance and load losses (Riquelme et al. 2021)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .check = vit_route_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = vit_route_state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
