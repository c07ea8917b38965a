/* router_math_internal.h - the arithmetic that routers share, in double precision: softmax,
 * top-k, gates, balance losses, the Sinkhorn plan and its gradient. Plain arrays in, plain
 * arrays out, so that the tests can hold every function against the golden numbers of the
 * design (routing.md). Private to vit/ and its tests. Nothing here fails, allocates or
 * draws random numbers.
 *
 * T tokens, E experts, k experts per token; all tensors row-major. Loops over tokens run in
 * OpenMP threads; sums over tokens are made in chunks of VIT_ROUTE_CHUNK tokens that are
 * added in order, so that they depend on the shape alone and not on the number of threads.
 */
#ifndef VIT_ROUTERS_ROUTER_MATH_INTERNAL_H
#define VIT_ROUTERS_ROUTER_MATH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VIT_ROUTE_CHUNK = 256 }; /* tokens; part of every sum's value */

typedef struct vit_route_size {
    size_t tokens;  /* T >= 1 */
    size_t experts; /* E, 1..VIT_EXPERTS_MAX */
    size_t k;       /* 1..E */
} vit_route_size;

/* Chunks of T tokens. */
static inline size_t vit_route_chunks(size_t tokens)
{
    return (tokens + VIT_ROUTE_CHUNK - 1) / VIT_ROUTE_CHUNK;
}

/* Worth waking threads for: about 50 microseconds of exponentials. */
static inline bool vit_route_is_large(const vit_route_size *s)
{
    return s->tokens > VIT_ROUTE_CHUNK && s->tokens * s->experts >= 4096;
}

/* ---- softmax and gates (router_math.c) ----------------------------------------------- */

/* p [T, E] = softmax of each row of z [T, E]; p may be z. */
void vit_route_softmax(double *p, const double *z, const vit_route_size *s);
/* In place: d [T, E] holds the gradient of p and gets that of z, p * (d - <d, p>). */
void vit_route_softmax_backward(double *d, const double *p, const vit_route_size *s);
/* expert [T, k]: the k largest of each row of score [T, E], best first, ties to the lower
 * index. NaN scores still give k different experts. */
void vit_route_top(uint16_t *expert, const double *score, const vit_route_size *s);
/* gate [T, k] = p [T, E] at the chosen experts (routing.md 0.2, prob). */
void vit_route_gates(double *gate, const double *p, const uint16_t *expert,
                     const vit_route_size *s);
/* d_p [T, E] overwritten: d_gate [T, k] at the chosen experts, 0 elsewhere. */
void vit_route_gates_backward(double *d_p, const double *d_gate, const uint16_t *expert,
                              const vit_route_size *s);
/* gate [T, k] = softmax over the chosen experts of score [T, E] (routing.md 0.2, renorm).
 */
void vit_route_gates_renorm(double *gate, const double *score, const uint16_t *expert,
                            const vit_route_size *s);
/* d_score [T, E] overwritten: gate * (d_gate - <gate, d_gate>) at the chosen experts, 0
 * elsewhere. */
void vit_route_gates_renorm_backward(double *d_score, const double *gate,
                                     const double *d_gate, const uint16_t *expert,
                                     const vit_route_size *s);
/* gate [T, k] = 1 / (1 + exp(-z)) at the chosen experts, and its gradient in z, 0
 * elsewhere. */
void vit_route_gates_sigmoid(double *gate, const double *z, const uint16_t *expert,
                             const vit_route_size *s);
void vit_route_gates_sigmoid_backward(double *d_z, const double *gate, const double *d_gate,
                                      const uint16_t *expert, const vit_route_size *s);
/* gate [T, k] = those divided by their sum over the chosen experts (routing-newer.md 16);
 * equal shares where all of them are 0. */
void vit_route_gates_sigmoid_renorm(double *gate, const double *z, const uint16_t *expert,
                                    const vit_route_size *s);
void vit_route_gates_sigmoid_renorm_backward(double *d_z, const double *z,
                                             const double *gate, const double *d_gate,
                                             const uint16_t *expert,
                                             const vit_route_size *s);

/* Doubles of scratch for the sums below. */
static inline size_t vit_route_work(const vit_route_size *s)
{
    return (vit_route_chunks(s->tokens) + 2) * s->experts;
}

/* sum [E] = the columns of a [T, E]. work: [vit_route_work], sum may be its last E. */
void vit_route_column_sum(double *sum, const double *a, const vit_route_size *s,
                          double *work);
/* sum [E] = the chunks' partial sums [chunks, E] in order. */
void vit_route_partial_sum(double *sum, const double *partial, size_t chunks,
                           size_t experts);

/* ---- auxiliary losses of one group (router_losses.c) --------------------------------- */

/* Each returns the unweighted loss. With d_z [T, E] not NULL, scale times its gradient with
 * respect to the logits is added there. */

/* E * sum_e f_e mean_t P_te, f the shares of the first choices (all: of all k choices);
 * constant f. Lepikhin et al. 2021, "GShard"; Fedus et al. 2022, "Switch Transformers",
 * equation 4. */
double vit_route_balance(double *d_z, double scale, const double *p, const uint16_t *expert,
                         bool all, const vit_route_size *s, double *work);
/* mean_t logsumexp(z_t)^2. Zoph et al. 2022, "ST-MoE", equation 5. p [T, E] is softmax(z).
 */
double vit_route_z_loss(double *d_z, double scale, const double *z, const double *p,
                        const vit_route_size *s, double *work);
/* Squared coefficient of variation of sum_t P_te. Riquelme et al. 2021, appendix A. */
double vit_route_importance(double *d_z, double scale, const double *p,
                            const vit_route_size *s, double *work);
/* Squared coefficient of variation of the experts' chance to be chosen again under fresh
 * noise; z clean, noisy = z + sigma * eps, sigma > 0, expert [T, k] the top k of noisy.
 * Riquelme et al. 2021, appendix A; the gradient runs through the threshold too (routing.md
 * 2). */
double vit_route_load(double *d_z, double scale, const double *z, const double *noisy,
                      double sigma, const uint16_t *expert, const vit_route_size *s,
                      double *work);

/* ---- the Sinkhorn plan (router_plan.c), routing.md section 4 ------------------------- */

typedef struct vit_route_plan_rule {
    int max_iter;    /* >= 1 */
    double delta;    /* stop when the columns' L2 error is below delta * max(1, T / E) */
    bool paper_init; /* start as the paper's first u, v update does, else from 0 */
} vit_route_plan_rule;

typedef struct vit_route_plan_result {
    int iterations;
    double residual; /* L2 error of the column sums */
    bool converged;
} vit_route_plan_result;

/* The balanced plan: plan [T, E] = softmax of the rows of l + g, with g [E], mean zero,
 * such that every column sums to T / E. l [T, E] is the cost over xi (a gain: larger is
 * chosen). Rows sum to 1 exactly, the error is in the columns. trace [max_iter] gets the
 * residual of each iteration, or is NULL. work: [vit_route_plan_work]. */
vit_route_plan_result vit_route_plan(double *plan, double *g, const double *l,
                                     const vit_route_size *s,
                                     const vit_route_plan_rule *rule, double *trace,
                                     double *work);
static inline size_t vit_route_plan_work(const vit_route_size *s)
{
    return (vit_route_chunks(s->tokens) + 4) * s->experts;
}

/* m [E, E] = diag(column sums) - plan^T plan, a graph Laplacian (routing.md 4.6 step 3).
 * work: [vit_route_work]. */
void vit_route_laplacian(double *m, const double *plan, const vit_route_size *s,
                         double *work);
/* Solves m q = w with q[E - 1] = 0 by Cholesky; m [E, E] is destroyed. Returns how many
 * pivots were lifted because experts are almost disconnected. */
size_t vit_route_laplacian_solve(double *q, double *m, const double *w, size_t experts);
/* The exact gradient through the plan, potentials included (4.6 and, for h whose rows do
 * not sum to 0, 4.7): d_c [T, E] overwritten from h [T, E], the gradient of l + g with g
 * held, as if d_c were that of the cost C = xi * l. Returns lifted pivots. work:
 * [vit_route_plan_backward_work]. */
size_t vit_route_plan_backward(double *d_c, const double *h, const double *plan, double xi,
                               const vit_route_size *s, double *work);
static inline size_t vit_route_plan_backward_work(const vit_route_size *s)
{
    return vit_route_work(s) + (s->experts + 2) * s->experts;
}
/* The same with the potentials g held constant: q = 0 (4.8, frozen). */
void vit_route_plan_frozen(double *d_c, const double *h, const double *plan, double xi,
                           const vit_route_size *s);

#endif
