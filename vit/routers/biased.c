/* biased.c - top-k of a score and one number an expert; see biased_internal.h. The number
 * decides who is chosen and nothing else: it is in no gate, and no gradient reaches it.
 * differs: with score = logits the gates are those of a softmax, because a logit is no
 * weight (our choice). */
#include "vit/routers/biased_internal.h"

#include <math.h>
#include <string.h>

base_status vit_biased_check(const vit_config *config, base_error *err)
{
    return vit_route_check(config, err);
}

size_t vit_biased_parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    const size_t count = vit_route_parameters(shape, out);

    out[count] = (vit_router_parameter){
        .name = "bias", .shape = {shape->experts}, .rank = 1, .state = true};
    return count + 1;
}

bool vit_biased_init(float *out, size_t i, const vit_router_shape *shape, base_rng *rng)
{
    (void)rng;
    if (i != VIT_BIASED_PARAMETER)
        return false;
    memset(out, 0, shape->experts * sizeof *out);
    return true;
}

static const vit_biased_options *options_of(const vit_router_shape *shape)
{
    return vit_router_settings(shape->config);
}

/* A renormalised gate of one expert is always 1: the score itself then. */
static vit_route_gate gate_of(const vit_router_shape *shape)
{
    const bool renorm = shape->k > 1 && options_of(shape)->gate == VIT_BIASED_GATE_RENORM;

    if (options_of(shape)->score == VIT_BIASED_SIGMOID)
        return renorm ? VIT_ROUTE_GATE_SIGMOID_RENORM : VIT_ROUTE_GATE_SIGMOID;
    return renorm ? VIT_ROUTE_GATE_RENORM : VIT_ROUTE_GATE_PROB;
}

void vit_biased_scores(vit_router_pass *pass, const vit_route_state *state)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t count = s.tokens * s.experts;
    const int score = options_of(&pass->plan.shape)->score;

    vit_route_logits(pass, state);
    if (score != VIT_BIASED_SIGMOID) {
        memcpy(state->p, score == VIT_BIASED_SOFTMAX ? pass->out.probs : state->z,
               count * sizeof *state->p);
        return;
    }
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t i = 0; i < count; i++)
        state->p[i] = 1.0 / (1.0 + exp(-state->z[i]));
}

void vit_biased_forward(vit_router_pass *pass, vit_biased_sign sign)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const vit_route_state state = vit_route_state_of(pass);
    const float *bias = pass->in.param[VIT_BIASED_PARAMETER];
    const size_t n = s.experts;

    vit_biased_scores(pass, &state);
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t t = 0; t < s.tokens; t++)
        for (size_t e = 0; e < n; e++)
            state.score[t * n + e] = state.p[t * n + e] + sign * (double)bias[e];
    vit_route_choose(pass, state.score);
    vit_route_gate_forward(pass, &state, gate_of(&pass->plan.shape), state.z,
                           pass->out.probs);
    vit_route_publish(pass, &state);
}

void vit_biased_backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_gate_backward(pass, &state, gate_of(&pass->plan.shape), pass->out.probs,
                            d_gate);
    vit_route_logits_backward(pass, &state);
}

const char *vit_biased_onnx_scores(const vit_onnx_layer *layer, const char *z)
{
    const int score = options_of(&layer->shape)->score;

    return score == VIT_BIASED_LOGITS    ? z
           : score == VIT_BIASED_SIGMOID ? vit_onnx_op(layer->graph, "Sigmoid", z)
                                         : vit_onnx_softmax(layer->graph, z, 1);
}

const char *vit_biased_onnx(vit_onnx_layer *layer, vit_biased_sign sign)
{
    vit_onnx *g = layer->graph;
    const char *z = vit_onnx_logits(layer);
    const char *s = vit_biased_onnx_scores(layer, z);
    const vit_route_gate gate = gate_of(&layer->shape);

    return vit_onnx_top(layer,
                        vit_onnx_op(g, sign == VIT_BIASED_PLUS ? "Add" : "Sub", s,
                                    vit_onnx_router_parameter(layer, "bias")),
                        z, gate == VIT_ROUTE_GATE_PROB ? vit_onnx_softmax(g, z, 1) : NULL,
                        gate);
}
