/* vit_internal.h - what the files of vit/ share: the execution context, kernels, layers,
 * the router table and the dispatch of tokens to experts. Private to vit/ and to its tests.
 * Every pair keeps one rule: forward overwrites its outputs, backward overwrites gradients
 * of activations (d_x ...) unless it says "adds", and always adds into gradients of
 * parameters. */
#ifndef VIT_VIT_INTERNAL_H
#define VIT_VIT_INTERNAL_H

#include <stdatomic.h>

#include "vit/vit.h"

/* ---- execution ----------------------------------------------------------------------- */

/* One per run: where failures of the library below are collected, so that kernels return
 * void. */
typedef struct vit_products vit_products;
typedef struct vit_exec {
    atomic_bool failed; /* a oneDNN call refused: the pass reports BASE_INTERNAL */
    vit_products *products;
} vit_exec;

/* C [m, n] = alpha * op(A) * op(B) + beta * C in fp32 through oneDNN. op(A) is [m, k],
 * op(B) is [k, n]; ta: A is stored [k, m]; ld*: floats between rows as stored. Threads: all
 * of them when called outside a parallel region, the calling one inside. Deterministic for
 * a fixed number of threads. */
void vit_gemm(vit_exec *exec, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
              const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
              size_t ldc);

/* ---- products of the run's precision: operands fp32 or bf16, fp32 sums (onednn/) --------
 * Operands are void: numbers of 4 or 2 bytes. All of them run on the calling thread, which
 * is one of a region of at most plan.threads. */

/* A layer y = x W^T + bias with W [out, in], bias [out] (NULL: none). */
typedef struct vit_linear {
    const float *weight, *bias;
    size_t out, in;
} vit_linear;

typedef struct vit_products_plan {
    vit_precision precision;
    int threads;
    bool backward; /* vit_linear_backward too */
    const vit_linear
        *linears; /* [count], copied; weights and biases must outlive the products */
    size_t count;
    size_t paired_from; /* from this layer on gradients take paired operands, if they can */
    size_t result_floats; /* of the largest result, for scratch */
} vit_products_plan;
base_status vit_products_create(vit_products **out, const vit_products_plan *plan,
                                base_error *err);
void vit_products_destroy(vit_products *products);
/* Packs the weights of layers first .. end - 1 (or the last one), but for those of which
 * this version is packed. Uses all threads. */
void vit_products_refresh(vit_exec *exec, size_t first, size_t end, uint64_t version);
/* y [rows, out] from x [rows, in], by the index of the layer; y in fp32 or as operands
 * are. */
void vit_linear_forward(vit_exec *exec, size_t linear, size_t rows, const void *x, void *y,
                        bool fp32);
/* d_x [rows, in] = d_y [rows, out] W */
void vit_linear_backward(vit_exec *exec, size_t linear, size_t rows, const void *d_y,
                         void *d_x, bool fp32);

/* C [batch, m, n] = A [batch, m, k] op(B), B [batch, k, n], or [batch, n, k] with tb. All
 * of them dense, for strided or transposed operands get slow products (oneDNN 2.6: half the
 * speed). */
typedef struct vit_product_shape {
    size_t batch, m, n, k;
    bool tb;
    bool c_fp32; /* else C as operands are */
} vit_product_shape;
void vit_multiply(vit_exec *exec, const vit_product_shape *shape, const void *a,
                  const void *b, void *c);
/* C [m, n] = A^T B with A [k, m], B [k, n], or += : the gradient of a weight from k rows. C
 * is fp32. */
void vit_product_gradient(vit_exec *exec, size_t m, size_t n, size_t k, const void *a,
                          size_t lda, const void *b, size_t ldb, float *c, size_t ldc,
                          bool adds);

/* ---- kernels: plain loops compiled for several instruction sets (kernels.c) ---------- */

/* Loops whose results are operands of the next product: void pointers are numbers of 4 or 2
 * bytes, fp32 or bf16 rounded to nearest even; the arithmetic is fp32. Numbers below 2^-126
 * may become 0 in bf16: the processor's own conversion does that. */
typedef struct vit_operand_kernels {
    /* y = (x - mean) / sqrt(var + eps) * gamma + beta for each row of n; mean and rstd
     * [rows] */
    void (*norm)(void *y, float *mean, float *rstd, const float *x, const float *gamma,
                 const float *beta, size_t rows, size_t n, float eps);
    /* a = gelu(h); a may be h */
    void (*gelu)(void *a, const void *h, size_t n, int tanh_form);
    /* d *= gelu'(h), a = gelu(h) */
    void (*gelu_backward)(void *d, void *a, const void *h, size_t n, int tanh_form);
    /* sum [n] += the sum over rows of d [rows, n] */
    void (*column_sum)(float *sum, const void *d, size_t rows, size_t n);
    /* p = softmax(scale * s) for each row of n, scale > 0; s is overwritten, by
     * p if they are the same */
    void (*softmax)(void *p, float *s, size_t rows, size_t n, float scale);
    /* out = scale * p * (d - <d, p>); fp32: out may be d */
    void (*softmax_backward)(void *out, const float *d, const void *p, size_t rows,
                             size_t n, float scale);
    /* y = a * x */
    void (*round)(void *y, float a, const float *x, size_t n);
    /* y *= factor */
    void (*multiply)(void *y, const float *factor, size_t n);
    /* y += a * x */
    void (*axpy)(float *y, float a, const void *x, size_t n);
    float (*dot)(const float *a, const void *b, size_t n);
    /* 32 rows of W [out, in] from row `first`, where they belong in W^T and, bf16 alone, in
     * W laid out in blocks (kernels_layout.h) of so many columns, multiples of 16 that
     * divide 256; NULL: not wanted. All rows up to a multiple of the width must be asked
     * for. */
    void (*pack_rows)(void *forward, void *backward, const float *w, size_t first,
                      size_t out, size_t in, size_t width_forward, size_t width_backward);
    /* to [rows, n] <- from [rows, n], to [n, rows] <- from^T, with ld_* numbers from row to
     * row */
    void (*copy)(void *to, size_t ld_to, const void *from, size_t ld_from, size_t rows,
                 size_t n);
    void (*transpose)(void *to, size_t ld_to, const void *from, size_t ld_from, size_t rows,
                      size_t n);
} vit_operand_kernels;

typedef struct vit_kernels {
    const char *isa;
    vit_operand_kernels operand[2]; /* by vit_precision */
    /* y [n] = x + branch; y may be x */
    void (*add)(float *y, const float *x, const float *branch, size_t n);
    /* d_x += ... ; d_gamma, d_beta += (NULL: not wanted) */
    void (*norm_backward)(float *d_x, float *d_gamma, float *d_beta, const float *d_y,
                          const float *x, const float *mean, const float *rstd,
                          const float *gamma, size_t rows, size_t n);
    /* AdamW on n floats: decay is lr * weight_decay (0: none); c1, c2 the bias
     * corrections */
    void (*adamw)(float *w, float *m, float *v, const float *g, size_t n, float scale,
                  float lr, float beta1, float beta2, float eps, float decay, float c1,
                  float c2);
    /* mean = keep * mean + (1 - keep) * w */
    void (*average)(float *mean, const float *w, size_t n, float keep);
    double (*sum_squares)(const float *x, size_t n);
    /* fp32 to bf16, nearest even, for files: the same on every processor; NaN stays NaN */
    void (*to_bf16)(uint16_t *out, const float *x, size_t n);
    /* out [rows, n] standard normals: number j of row r is number j % 4 of the
     * Philox4x32-10 block with counter {first + r (two words), j / 4, 0}, words (0, 1) and
     * (2, 3) by Box-Muller on their upper 24 bits: sqrt(-2 log(1 - u)) times cos and sin of
     * 2 pi v. */
    void (*normals)(float *out, size_t rows, size_t n, const uint32_t key[2],
                    uint64_t first);
} vit_kernels;

/* Set i of those that run on this processor, from the plain one to the best; NULL: no
 * more. */
const vit_kernels *vit_kernels_at(size_t i);
/* The best set for this processor. */
const vit_kernels *vit_kernels_get(void);
/* Its loops on fp32 operands. */
const vit_operand_kernels *vit_kernels_fp32(void);

/* ---- routers (vit/routers/, one file each) ------------------------------------------- */

enum { VIT_ROUTER_PARAMETERS_MAX = 6 };
struct vit_onnx_layer; /* vit/onnx/onnx_internal.h */

typedef struct vit_router_shape {
    const vit_router_config *config;
    size_t tokens;           /* T, the largest batch when planning */
    size_t tokens_per_image; /* N */
    size_t group_tokens;     /* tokens routed together; the last group may be smaller */
    size_t width;            /* D */
    size_t heads;
    size_t experts; /* E */
    size_t k;
    size_t
        others; /* tokens of another view that experts run on too, behind the T; 0: none */
} vit_router_shape;

typedef struct vit_router_parameter {
    const char *name; /* "weight" gives blocks.I.moe.router.weight */
    size_t shape[3];
    int rank;
    bool decay;
    bool state; /* no gradient moves it: see vit_parameter */
} vit_router_parameter;

struct vit_router_pass;

/* What is laid out before the first pass. */
typedef struct vit_router_plan {
    vit_router_shape shape; /* tokens: of this batch */
    vit_exec *exec;
    void *state; /* state_bytes, 64-aligned, kept from forward to backward */
} vit_router_plan;

typedef struct vit_router_in {
    const float *x; /* [T, D] router input */
    /* Of the MoE layer before, its forward done; NULL: this is the first. */
    const struct vit_router_pass *before;
    const float *param[VIT_ROUTER_PARAMETERS_MAX]; /* in declared order */
    const float *attention;                        /* [B, H, N, N] if wanted, else NULL */
    bool training;              /* noise, Sinkhorn draw and losses apply */
    uint64_t seed, step, layer; /* keys of the draws, with token first_token + t */
    uint64_t steps;             /* of the whole run, 0: unknown */
    uint64_t first_token;
    double loss_scale; /* of the auxiliary losses */
    /* Replay (routers that say so): image i goes to fixed[i * fixed_step + ...] [N, k];
     * NULL: free. */
    const uint16_t *fixed;
    size_t fixed_step;
} vit_router_in;

/* What forward makes, in memory of the caller's; with another view of T + others tokens. */
typedef struct vit_router_out {
    float *view;          /* [others, D] the other view; NULL: one view only */
    double *probs;        /* [T, E] softmax of the clean logits */
    const double *logits; /* [T, E] those; NULL: a router that has none to show */
    uint32_t *start;      /* [T + 1] */
    uint32_t *token;      /* [count], token order; best first within a token */
    uint16_t *expert;     /* [count] */
    float *gate;          /* [count] */
    size_t count;
} vit_router_out;

/* What forward tells beside it; zeros before it (vit_router_forward). */
typedef struct vit_router_report {
    double aux_loss; /* weighted, mean over groups, not times loss_scale */
    bool used_sinkhorn, sinkhorn_converged;
    int sinkhorn_iterations;
    double sinkhorn_residual;
    vit_soft_report soft;
} vit_router_report;

typedef struct vit_router_gradient {
    /* Of a loss of the logits themselves, which backward adds to theirs; NULL: none. Only
     * for routers whose forward sets logits. */
    const float *logits; /* [T, E] */
    /* outputs of backward */
    float *x;    /* [T, D], adds */
    float *view; /* [others, D] of the view, from the experts; may be added to */
    float *param[VIT_ROUTER_PARAMETERS_MAX]; /* adds; NULL: not wanted */
    float *attention;                        /* adds; NULL: not wanted */
} vit_router_gradient;

/* One forward and backward pass of one router. */
typedef struct vit_router_pass {
    vit_router_plan plan;
    vit_router_in in;
    vit_router_out out;
    vit_router_report report;
    vit_router_gradient gradient;
} vit_router_pass;

/* How the layer meets the stream h [T, D]: it computes y from h and h_next = h + y, unless
 * the router brings its own (Teo and Nguyen 2024, MomentumSMoE). carry [T, carry_width * D]
 * goes from MoE layer to MoE layer of one pass and is zero before the first. Each function
 * is called from several threads at once, each on some tokens: floats is their number times
 * D; moe_index: 0, 1, ... */
typedef struct vit_router_join {
    size_t carry_width;
    /* in: what the layer computes y from in place of h; NULL: h itself. */
    void (*enter)(float *in, const float *h, const float *carry_in, size_t floats,
                  int moe_index, const vit_router_config *config);
    /* Adds to d_h and d_carry_in, which backward has filled; NULL when enter is. */
    void (*enter_backward)(float *d_h, float *d_carry_in, const float *d_in, size_t floats,
                           int moe_index, const vit_router_config *config);
    /* h_next may be h, and nothing else overlaps: each float in its turn. */
    void (*forward)(float *h_next, float *carry_out, const float *h, const float *y,
                    const float *carry_in, size_t floats, int moe_index,
                    const vit_router_config *config);
    /* d_h, d_y, d_carry_in are overwritten from d_h_next and d_carry_out. d_h may be
     * d_h_next, d_carry_in may be d_carry_out, and nothing else overlaps: each float in its
     * turn. */
    void (*backward)(float *d_h, float *d_y, float *d_carry_in, const float *d_h_next,
                     const float *d_carry_out, const float *h, const float *y,
                     const float *carry_in, const float *carry_out, size_t floats,
                     int moe_index, const vit_router_config *config);
    /* Whether a LayerNorm follows h_next, with the router's parameters norm_weight and the
     * one behind it (weight and bias, both [D]); NULL: never. */
    bool (*normed)(const vit_router_config *config);
    size_t norm_weight;
    /* enter and forward as nodes of an ONNX graph: from h, or h and y, to in, or h_next;
     * layer->carry is what was carried here (NULL: this is the first) and becomes what is
     * carried on. onnx_enter is NULL when enter is. */
    const char *(*onnx_enter)(struct vit_onnx_layer *layer, const char *h);
    const char *(*onnx)(struct vit_onnx_layer *layer, const char *h, const char *y);
} vit_router_join;

/* Another view of the tokens: a second one of each in training (S2MoE, routing.md 8), or
 * mixtures of them in all passes (Soft MoE, routing-newer.md 18). The experts run on x [T,
 * D] and on view [others, D], as the assignments of token 0 .. T + others - 1 say, and the
 * layer's output is what the router mixes of the results. */
typedef struct vit_router_views {
    /* Tokens of the other view for shape->tokens. */
    size_t (*others)(const vit_router_shape *shape);
    bool always; /* in every pass, else in training alone */
    /* y [T, D] from both [T + others, D], the view's results behind those of x; may add to
     * aux_loss. */
    void (*mix)(vit_router_pass *pass, float *y, const float *both);
    /* d_both [T + others, D] overwritten (of tokens with assignments), losses of the
     * results included. Runs before backward, which folds pass->d_view and what mixing says
     * of x into d_x. */
    void (*mix_backward)(vit_router_pass *pass, float *d_both, const float *d_y,
                         const float *both);
} vit_router_views;

/* State that no gradient moves (routing-newer.md 15): numbers that a training pass leaves
 * behind are summed over the passes of a step, and over ranks; after the optimiser's step
 * the sums move the parameters that are declared as state. */
typedef struct vit_router_motion {
    /* Numbers that a pass of this router adds. */
    size_t (*count)(const vit_router_shape *shape);
    /* Adds them to tally [count]; runs once a pass, after backward. */
    void (*tally)(double *tally, const vit_router_pass *pass);
    /* param in declared order; step: the one just done, of steps (0: unknown). */
    void (*move)(float *const *param, const double *tally, const vit_router_shape *shape,
                 uint64_t step, uint64_t steps);
} vit_router_motion;

typedef struct vit_router {
    const char *name;
    const char *summary;       /* one line, with the source */
    const base_field *options; /* of a struct of its own */
    const void *defaults;      /* that struct, at most VIT_ROUTER_BYTES */
    size_t option_bytes;       /* its size */
    bool wants_attention;
    bool replays; /* k experts a token, and outside training forward follows pass->fixed */
    /* Not so with these options: tokens get any number of experts; NULL: never. */
    bool (*pairs_freely)(const vit_router_config *config);
    const vit_router_join *join;     /* NULL: h + y */
    const vit_router_views *views;   /* NULL: one view of the tokens */
    const vit_router_motion *motion; /* NULL: nothing moves but by gradients */
    /* What a reader of its attacks must know of its gradients or choices; NULL: nothing. */
    const char *(*caution)(const vit_router_config *config);
    bool without_k; /* router.k says nothing */
    /* Chance that a training step of a layer runs Sinkhorn, in a run of so many steps (0:
     * unknown); NULL: it never does. */
    double (*sinkhorn_share)(const vit_router_config *config, uint64_t run_steps);
    /* Experts of a token outside training; NULL: k of the network. */
    size_t (*eval_k)(const vit_config *config);
    /* Assignments of one image outside training on average, shape: of one; NULL: experts of
     * a token times N. */
    double (*pairs)(const vit_router_shape *shape);
    /* Whether tokens of different images decide about one another in evaluation; NULL:
     * never. */
    bool (*mixes_images)(const vit_config *config);
    /* Refuses what this router cannot do (k = 1 with renormalised gates, ...). */
    base_status (*check)(const vit_config *config, base_error *err);
    /* Largest number of assignments for shape->tokens tokens and shape->others. */
    size_t (*assignments)(const vit_router_shape *shape);
    /* Fills out with the parameter tensors, returns how many, none too. The first is
     * "weight" [E, D] (xmoe: [E, its own width]). */
    size_t (*parameters)(const vit_router_shape *shape, vit_router_parameter *out);
    /* Draws parameter i, or leaves it (false) to the usual law; NULL: all to that. It is
     * the truncated normal of std D^-1/2 (model.md). */
    bool (*init)(float *out, size_t i, const vit_router_shape *shape, base_rng *rng);
    /* Writes into options what tensors' shapes follow from, so that they outlive another
     * input size; NULL: they do not depend on it. */
    void (*settle)(vit_config *config);
    size_t (*state_bytes)(const vit_router_shape *shape);
    bool own_logits; /* operations counts them too: there is no product with [E, D] */
    /* Multiply-adds for shape->tokens tokens beside those of the logits; NULL: none worth
     * counting. */
    double (*operations)(const vit_router_shape *shape);
    /* Changes what router and experts read, x [T, D], before forward; alter_backward
     * changes its gradient in the same way, after backward. Repeats to the bit on the same
     * x; NULL: x is what the norm gives. */
    void (*alter)(vit_router_pass *pass, float *x);
    void (*alter_backward)(vit_router_pass *pass, float *d_x);
    void (*forward)(vit_router_pass *pass);
    /* d_gate [count], 0 for dropped assignments. Adds the auxiliary losses' gradient times
     * loss_scale. */
    void (*backward)(vit_router_pass *pass, const float *d_gate);
    /* Forward outside training as nodes of an ONNX graph: the gates [T, E], 0 for an expert
     * that was not chosen; with views->always the layer's output [T, D] in their place.
     * NULL: it cannot be written as such. Never called for a network whose images decide
     * about one another, or that has a capacity. */
    const char *(*onnx)(struct vit_onnx_layer *layer);
} vit_router;

const vit_router *vit_router_find(const char *name); /* NULL: unknown */
/* The router's own struct of options. Borrowed from config. */
static inline const void *vit_router_settings(const vit_router_config *config)
{
    return config->settings;
}

extern const vit_router vit_router_softmax;
extern const vit_router vit_router_vmoe;
extern const vit_router vit_router_sinkhorn;
extern const vit_router vit_router_ssr;
extern const vit_router vit_router_momentum;
extern const vit_router vit_router_adam;
extern const vit_router vit_router_robust_momentum;
extern const vit_router vit_router_sinkhorn_ot;
extern const vit_router vit_router_usmoe;
extern const vit_router vit_router_expert_choice;
extern const vit_router vit_router_similarity;
extern const vit_router vit_router_attention;
extern const vit_router vit_router_s2moe;
extern const vit_router vit_router_xmoe;
extern const vit_router vit_router_loss_free;
extern const vit_router vit_router_quantile;
extern const vit_router vit_router_random;
extern const vit_router vit_router_hash;
extern const vit_router vit_router_soft;
extern const vit_router vit_router_acmoe;
/* Its forward, after what the pass shows and reports of the last one is cleared. */
void vit_router_forward(const vit_router *router, vit_router_pass *pass);

/* ---- dispatch: assignments to expert rows (dispatch.c) ------------------------------- */

enum { VIT_ROW_DROPPED = UINT32_MAX };

typedef struct vit_dispatch {
    /* [count]: row of the assignment, VIT_ROW_DROPPED when over capacity */
    uint32_t *row;
    bool *kept;           /* [count] */
    uint32_t *assignment; /* [rows]: which assignment a row serves */
    /* Rows of expert e: offset[e] .. offset[e + 1] - 1. */
    size_t offset[VIT_EXPERTS_MAX + 1];
    size_t rows;
    uint32_t *scratch; /* [2 * T + 2 * E + 2] */
} vit_dispatch;

typedef struct vit_dispatch_rule {
    size_t view_tokens; /* groups start anew after so many; 0: never */
    size_t group_tokens;
    size_t experts;
    double capacity; /* factor, 0: dropless */
    int multiple;
    size_t k; /* of the capacity formula */
    bool bpr;
} vit_dispatch_rule;

/* C of routing.md 0.3 for a group of tokens; at least 1. */
size_t vit_capacity(size_t tokens, size_t experts, size_t k, double factor, int multiple);
/* Position rule of routing.md 0.3 (choices outer, tokens inner, priority order with bpr),
 * then a stable counting sort by expert: rows of an expert are in token order. Cannot
 * fail. */
void vit_dispatch_build(vit_dispatch *out, const uint32_t *start, const uint16_t *expert,
                        const float *gate, size_t tokens, const vit_dispatch_rule *rule);
/* Experts `experts` .. experts + shared - 1 get every one of `tokens` tokens: assignment
 * count + j * tokens + t sends t to the j-th of them with gate 1. Fills token, expert and
 * gate there; the rows follow the others. Cannot fail. */
void vit_dispatch_share(vit_dispatch *out, uint32_t *token, uint16_t *expert, float *gate,
                        size_t count, size_t tokens, size_t experts, size_t shared);

/* ---- parameters of a block, by pointer ----------------------------------------------- */

typedef struct vit_block_parameters {
    float *norm1_weight, *norm1_bias, *qkv_weight, *qkv_bias, *proj_weight, *proj_bias;
    float *q_norm_weight, *q_norm_bias, *k_norm_weight, *k_norm_bias; /* [D / H], or NULL */
    float *norm2_weight, *norm2_bias;
    float *fc1_weight, *fc1_bias; /* dense [M, D], [M]; experts [E, M, D], [E, M] */
    float *fc2_weight, *fc2_bias; /* dense [D, M], [D]; experts [E, D, M], [E, D] */
    float *shared_fc1_weight, *shared_fc1_bias; /* as experts, shared of them; NULL: none */
    float *shared_fc2_weight, *shared_fc2_bias;
    float *router[VIT_ROUTER_PARAMETERS_MAX];
} vit_block_parameters;

typedef struct vit_parameters {
    float *cls_token, *reg_token, *pos_embed, *patch_weight, *patch_bias;
    float *pre_weight, *pre_bias; /* norm_pre, NULL without */
    vit_block_parameters block[VIT_DEPTH_MAX];
    float *norm_weight, *norm_bias, *head_weight, *head_bias;
    float *hidden_weight, *hidden_bias; /* pre_logits, NULL without */
} vit_parameters;

/* Width of what the head sees: D, or that of the layer before it. */
static inline size_t vit_config_features(const vit_config *config)
{
    return (size_t)(config->prelogits > 0 ? config->prelogits : config->width);
}
/* Points into any block of vit_model_floats floats: the weights, gradients, moments. */
vit_parameters vit_parameters_at(const vit_model *model, float *block);
/* The averages take up the parameters that are state (vit_optimizer_state_step). */
void vit_optimizer_state_average(vit_optimizer *optimizer, const vit_model *model);
/* The weights before `end` have come from the ranks that have new ones (reduce.c); NULL:
 * all of them. */
base_status vit_model_await(const vit_model *model, const float *end, base_error *err);
/* Another number after each change of the weights. */
uint64_t vit_model_version(const vit_model *model);
/* The router's shape for layer planning: tokens = batch * N. */
vit_router_shape vit_model_router_shape(const vit_model *model, size_t batch);
/* Fixed position embedding [N, D] of position = sincos, for which pos_embed is NULL:
 * nothing is stored or trained. The class token's row is zero. Cannot fail. */
void vit_position_sincos(float *out, const vit_config *config);

#endif
