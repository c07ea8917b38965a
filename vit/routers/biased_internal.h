/* biased_internal.h - top-k of a score and one number an expert, gates from the scores
 * alone: what the routers "loss-free" and "quantile" do alike (routing-newer.md 16, 17).
 * Private to vit/. */
#ifndef VIT_ROUTERS_BIASED_INTERNAL_H
#define VIT_ROUTERS_BIASED_INTERNAL_H

#include "vit/routers/router_onnx_internal.h"

/* Choices of "score"; loss-free has the first two. */
enum { VIT_BIASED_SIGMOID, VIT_BIASED_SOFTMAX, VIT_BIASED_LOGITS };
enum { VIT_BIASED_GATE_RENORM, VIT_BIASED_GATE_PROB }; /* choices of "gate" */
enum { VIT_BIASED_PARAMETER = 1 }; /* place of the numbers, [E], behind the weight */

/* Options of both. First in their structs, named biased. */
typedef struct vit_biased_options {
    int score, gate; /* score: VIT_BIASED_SIGMOID and the like */
} vit_biased_options;

/* Entry of a table of fields. */
#define VIT_BIASED_GATE                                                                    \
    BASE_CHOICE("gate", biased.gate, "renorm|prob",                                        \
                "weight of a chosen expert: its score without the bias over the sum of "   \
                "the chosen ones, or the score itself (as always with k = 1)")

typedef enum vit_biased_sign { VIT_BIASED_MINUS = -1, VIT_BIASED_PLUS = 1 } vit_biased_sign;

/* Members of vit_router. */
base_status vit_biased_check(const vit_config *config, base_error *err);
size_t vit_biased_parameters(const vit_router_shape *shape, vit_router_parameter *out);
bool vit_biased_init(float *out, size_t i, const vit_router_shape *shape, base_rng *rng);
void vit_biased_backward(vit_router_pass *pass, const float *d_gate);

/* Logits and scores s [T, E] (option "score") to state->p. */
void vit_biased_scores(vit_router_pass *pass, const vit_route_state *state);
/* The scores [T, E] from the logits z; the gates of vit_biased_forward. */
const char *vit_biased_onnx_scores(const vit_onnx_layer *layer, const char *z);
const char *vit_biased_onnx(vit_onnx_layer *layer, vit_biased_sign sign);
/* The whole of a forward pass: state->p = s, the k best of s plus or minus the parameter,
 * gates from s. */
void vit_biased_forward(vit_router_pass *pass, vit_biased_sign sign);

#endif
