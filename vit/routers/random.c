/* random.c - router "random": softmax top-k of a weight that stays as it was drawn. A
 * control (routing-newer.md 20): a router that does not beat it has learned nothing.
 * Gradients pass through its gates to the tokens, as they do through "softmax" without
 * losses. */
#include "vit/routers/router_onnx_internal.h"

typedef struct random_options {
    vit_softmax_options soft; /* first: the check is softmax's */
} random_options;

#define BASE_STRUCT random_options
static const base_field options[] = {
    BASE_CHOICE("gate", soft.gate, "auto|prob|renorm",
                "weight of a chosen expert, as router softmax"),
    {0},
};
#undef BASE_STRUCT
static const random_options defaults = {.soft = {.gate = VIT_SOFTMAX_GATE_AUTO}};

static size_t parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    const size_t count = vit_route_parameters(shape, out);

    out[0].decay = false;
    out[0].state = true;
    return count;
}

static void forward(vit_router_pass *pass)
{
    const vit_route_state state = vit_route_state_of(pass);

    vit_route_top_forward(pass, &state, 0.0, vit_softmax_settings_of(pass).gate);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_state state = vit_route_state_of(pass);

    pass->gradient.param[0] = NULL;
    vit_route_top_backward(pass, &state, 0.0, vit_softmax_settings_of(pass).gate, d_gate);
    vit_route_logits_backward(pass, &state);
}

const vit_router vit_router_random = {
    .name = "random",
    .summary = "control: softmax top-k of a weight that is never trained",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .check = vit_softmax_check,
    .assignments = vit_route_assignments,
    .parameters = parameters,
    .state_bytes = vit_route_state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = vit_softmax_onnx,
};
