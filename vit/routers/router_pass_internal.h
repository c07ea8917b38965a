/* router_pass_internal.h - what the router files do alike around their formulas: logits
 * from the token rows and back, noise, groups, filling the pass's outputs. Private to vit/.
 * Nothing here allocates; nothing fails but the check. */
#ifndef VIT_ROUTERS_ROUTER_PASS_INTERNAL_H
#define VIT_ROUTERS_ROUTER_PASS_INTERNAL_H

#include "vit/routers/router_math_internal.h"
#include "vit/vit_internal.h"

/* For routers with one linear map and k experts for every token (members of vit_router). */
base_status vit_route_check(const vit_config *config, base_error *err);
size_t vit_route_assignments(const vit_router_shape *shape);
size_t vit_route_parameters(const vit_router_shape *shape, vit_router_parameter *out);

vit_route_size vit_route_size_of(const vit_router_shape *shape);
/* Number of groups, >= 1; tokens first .. first + size.tokens - 1 of group i. */
size_t vit_route_groups(const vit_router_shape *shape);
vit_route_size vit_route_group(size_t *first, const vit_router_shape *shape, size_t i);

/* What a router keeps from forward to backward; a router may take more after it. */
typedef struct vit_route_state {
    float *narrow; /* [T, E] the single-precision side of the products with the weight */
    double *z;     /* [T, E] clean logits */
    double *score; /* [T, E] what was ranked, when not z: noisy logits, potentials added */
    double *p;     /* [T, E] softmax of score, when it was not z */
    double *d_z;   /* [T, E] */
    double *gate;  /* [T, k] */
    double *d_gate;
    double *work; /* [vit_route_work] */
} vit_route_state;

/* Lays the state over the arena, or measures it when the arena has no block. */
void vit_route_state_plan(vit_route_state *out, base_arena *arena,
                          const vit_router_shape *shape);
/* Member of vit_router for routers that keep just this. */
size_t vit_route_state_bytes(const vit_router_shape *shape);
/* The state of a pass that keeps just this. */
vit_route_state vit_route_state_of(const vit_router_pass *pass);

/* How the weight of a chosen expert comes from the logits (routing.md 0.2, 3). */
typedef enum vit_route_gate {
    VIT_ROUTE_GATE_PROB,   /* softmax over all experts */
    VIT_ROUTE_GATE_RENORM, /* softmax over the chosen ones; not with k = 1 */
    VIT_ROUTE_GATE_SIGMOID,
    VIT_ROUTE_GATE_SIGMOID_RENORM
} vit_route_gate;

/* C [m, n] = op(A) op(B) + beta C as vit_gemm, C's rows dense; single precision whatever
 * the experts run in (routing.md 14.7). */
void vit_route_product(vit_exec *exec, bool ta, bool tb, size_t m, size_t n, size_t k,
                       const float *a, size_t lda, const float *b, size_t ldb, float beta,
                       float *c);
/* state->z = x weight^T in single precision, which the pass's out.logits shows, out.probs =
 * softmax(z) in double. */
void vit_route_logits(vit_router_pass *pass, const vit_route_state *state);
/* Adds to the pass's gradient.x and gradient.param[0] from state->d_z plus
 * gradient.logits. */
void vit_route_logits_backward(vit_router_pass *pass, const vit_route_state *state);
/* out [T, E] += scale * eps, eps standard normal, keyed by the token's place in the global
 * batch. */
void vit_route_noise_add(double *out, double scale, const vit_router_pass *pass);
/* pass->out.expert [T, k]: the k best of score [T, E], or the sets of a replay. */
void vit_route_choose(vit_router_pass *pass, const double *score);
/* state->gate from the logits z [T, E], p = softmax(z) and pass->out.expert. */
void vit_route_gate_forward(const vit_router_pass *pass, const vit_route_state *state,
                            vit_route_gate kind, const double *z, const double *p);
/* state->d_z overwritten with the gradient of those logits, from d_gate [T, k]. */
void vit_route_gate_backward(const vit_router_pass *pass, const vit_route_state *state,
                             vit_route_gate kind, const double *p, const float *d_gate);
/* Fills start, token, gate and count of a pass from state->gate; expert [T, k] is set. */
void vit_route_publish(vit_router_pass *pass, const vit_route_state *state);

/* Tokens that are routed with one another's help: blocks of tokens that follow one
 * another. */
typedef enum vit_route_scope {
    VIT_ROUTE_SCOPE_GLOBAL, /* all of the batch */
    VIT_ROUTE_SCOPE_GROUP,  /* each routing group */
    VIT_ROUTE_SCOPE_IMAGE
} vit_route_scope;

/* Number of blocks, >= 1; tokens first .. first + size.tokens - 1 of block i. Only the last
 * may be smaller. */
size_t vit_route_blocks(const vit_router_shape *shape, vit_route_scope scope);
vit_route_size vit_route_block(size_t *first, const vit_router_shape *shape,
                               vit_route_scope scope, size_t i);

/* How tokens are balanced (routing.md 4.1, 4.3). */
typedef struct vit_route_sinkhorn_rule {
    double xi; /* entropy weight, > 0 */
    vit_route_scope scope;
    vit_route_plan_rule plan;
} vit_route_sinkhorn_rule;

/* Scratch for the two functions below, after vit_route_state_plan. */
double *vit_route_sinkhorn_take(base_arena *arena, const vit_router_shape *shape,
                                vit_route_scope scope);
/* state->score [T, E]: the cost on entry, cost / xi plus potentials on return (its k
 * largest are the plan's); state->p = the plan. Sets what the pass reports about Sinkhorn:
 * the most iterations, the largest residual, and whether all groups converged. */
void vit_route_sinkhorn_forward(vit_router_pass *pass, const vit_route_state *state,
                                const vit_route_sinkhorn_rule *rule, double *work);
/* state->d_z [T, E]: the gradient of score on entry, that of the cost on return, potentials
 * included (exact) or held. Overwrites score. */
void vit_route_sinkhorn_backward(vit_router_pass *pass, const vit_route_state *state,
                                 const vit_route_sinkhorn_rule *rule, bool exact,
                                 double *work);

/* The whole of a noisy top-k router but its losses: logits, noise of standard deviation
 * sigma (0: none), the k best, gates; and backward to state->d_z, to which the caller adds
 * its losses. */
void vit_route_top_forward(vit_router_pass *pass, const vit_route_state *state,
                           double sigma, vit_route_gate kind);
void vit_route_top_backward(vit_router_pass *pass, const vit_route_state *state,
                            double sigma, vit_route_gate kind, const float *d_gate);

/* ---- sets of pairs of any size (router_pairs.c) -------------------------------------- */

/* mark [count * step], places 0, step, 2 step ...: 1 for the m largest scores, ties to the
 * lower place, else 0. m <= count. key [count]: scratch. Time is linear in count, whatever
 * the scores. */
void vit_route_mark_largest(uint8_t *mark, const double *score, size_t count, size_t step,
                            size_t m, uint64_t *key);
/* The m-th largest of score[i * step] - minus[i], i < count, 1 <= m <= count; minus NULL:
 * of the scores. key [count]: scratch. Linear in count. */
double vit_route_kth_largest(const double *score, const double *minus, size_t count,
                             size_t step, size_t m, uint64_t *key);
/* What a router of pairs keeps from forward to backward. */
typedef struct vit_route_pairs_state {
    vit_route_state base;
    uint8_t *mark; /* [T, E] the chosen pairs */
    uint64_t *key; /* [T, E] scratch of the selection */
} vit_route_pairs_state;
size_t vit_route_pairs_state_bytes(const vit_router_shape *shape);
vit_route_pairs_state vit_route_pairs_state_of(const vit_router_pass *pass);
/* Fills start, token, expert, gate and count of a pass from mark [T, E] and gate [T, E]:
 * pairs in token order, the largest gate of a token first, ties to the lower expert. */
void vit_route_pairs_publish(vit_router_pass *pass, const uint8_t *mark,
                             const double *gate);
/* d [T, E] overwritten: d_gate [count] at the pass's pairs, 0 elsewhere. */
void vit_route_pairs_backward(double *d, const vit_router_pass *pass, const float *d_gate);

#endif
