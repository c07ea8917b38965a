/* graph_internal.h - expert choice that looks at the other tokens of an image, shared by
 * "similarity" and "attention" (graph.c): scores are mixed with a matrix of similarities
 * before the choice. GoT-inspired: a reconstruction of arXiv 2505.00792 (graph of tokens),
 * of which the abstract and summaries were read (routing.md 7). Private to vit/ and its
 * tests. */
#ifndef VIT_ROUTERS_GRAPH_INTERNAL_H
#define VIT_ROUTERS_GRAPH_INTERNAL_H

#include "vit/routers/router_onnx_internal.h"

enum { VIT_GRAPH_MIX_PROB, VIT_GRAPH_MIX_LOGIT }; /* choices of "mix" */

/* Options of both routers; "attention" has neither tau nor bilinear. */
typedef struct vit_graph_options {
    vit_softmax_options soft; /* first */
    double lambda;
    int mix, detach_sim;
    double tau;
    int bilinear;
} vit_graph_options;

#define VIT_GRAPH_DEFAULTS                                                                 \
    {                                                                                      \
        .soft = VIT_SOFTMAX_DEFAULTS, .lambda = 1.0, .mix = VIT_GRAPH_MIX_PROB, .tau = 1.0 \
    }
/* Entries of a table of fields. */
#define VIT_GRAPH_OPTIONS                                                                  \
    BASE_REAL("lambda", lambda, 0, 1.0,                                                    \
              "share of the other tokens in a token's scores (GoT-inspired "               \
              "reconstruction, our choice; 0: plain softmax routing)"),                    \
        BASE_CHOICE(                                                                       \
            "mix", mix, "prob|logit",                                                      \
            "what is mixed: probabilities, or logits before the softmax (both "            \
            "reconstructions; prob can only raise the mean entropy of the choice, "        \
            "which the paper is said to lower)"),                                          \
        BASE_CHOICE("detach_sim", detach_sim, "off|on",                                    \
                    "on: similarities are constants to the gradient (our option)")

typedef struct vit_graph_state {
    vit_route_state base; /* score: noisy logits, p: their softmax, both only with noise */
    double *mixed;        /* [T, E] probabilities or logits after mixing: what is ranked */
    double *q;            /* [T, E] softmax of mixed logits */
    float *source, *seen; /* [T, E] what is mixed, and its mean over similar tokens */
    float *sim;   /* [T, N] row t: weights of the tokens of t's image; rows sum to 1 */
    float *d_sim; /* [T, N] */
} vit_graph_state;

/* One image of a pass: tokens first .. first + count - 1; its similarities are the [count,
 * count] floats from sim + first * N on. The last image is smaller when tokens are
 * missing. */
typedef struct vit_graph_image {
    size_t first, count, at;
} vit_graph_image;

static inline size_t vit_graph_images(const vit_router_shape *s)
{
    return (s->tokens + s->tokens_per_image - 1) / s->tokens_per_image;
}
static inline vit_graph_image vit_graph_image_at(const vit_router_shape *s, size_t i)
{
    const size_t first = i * s->tokens_per_image, left = s->tokens - first;

    return (vit_graph_image){first, left < s->tokens_per_image ? left : s->tokens_per_image,
                             first * s->tokens_per_image};
}

/* Lays the state over the arena, or measures it when the arena has no block. */
void vit_graph_state_plan(vit_graph_state *out, base_arena *arena,
                          const vit_router_shape *shape);
/* Routing with state->sim, which is filled: Q = (1 - lambda) P + lambda Sim P with P =
 * softmax(Z), or Q = softmax((1 - lambda) Z + lambda Sim Z); the k best of Q, gates as
 * "softmax" from Q, its losses. */
void vit_graph_forward(vit_router_pass *pass, const vit_graph_state *state);
/* Adds to pass->gradient.x and pass->gradient.param[0]; overwrites state->d_sim. */
void vit_graph_backward(vit_router_pass *pass, const vit_graph_state *state,
                        const float *d_gate);
/* The gates of vit_graph_forward from sim [B, N, N]. */
const char *vit_graph_onnx(vit_onnx_layer *layer, const char *sim);
/* Multiply-adds of mixing (member of vit_router). */
double vit_graph_operations(const vit_router_shape *shape);
/* Whether similarities take gradients. */
bool vit_graph_learns(const vit_router_pass *pass);

#endif
