/* run_internal.h - one planned pass over the network: what each block keeps for its
 * backward pass, the buffers that blocks share, and the layers themselves (embed.c,
 * attention.c, mlp.c, moe.c). Private to vit/. Memory is planned once in run.c; nothing
 * here allocates. */
#ifndef VIT_RUN_INTERNAL_H
#define VIT_RUN_INTERNAL_H

#include "vit/vit_internal.h"

/* Rows that one thread takes through a chain of products at a time: large enough for oneDNN
 * to run at full speed, small enough for the block's results to stay in the second-level
 * cache. Rows of an expert are padded to VIT_ROWS_MULTIPLE, so that primitives are made for
 * few numbers of rows. */
enum { VIT_ROWS = 128, VIT_ROWS_MULTIPLE = 16 };

/* Where dropout and stochastic depth draw: site = 8 * block + one of these. */
enum {
    VIT_SITE_ATTENTION = 0,
    VIT_SITE_HIDDEN = 1,
    VIT_SITE_MLP = 2,
    VIT_SITE_EXPERT_HIDDEN = 3, /* 8 * block + 3 + 1024 * (1 + expert) */
    VIT_SITE_EXPERT = 4,
    VIT_SITE_EMBED = 5
};

/* What one block keeps from forward to backward. T tokens. In inference all blocks share
 * one. void: operands of products, fp32 or bf16 (vit_at); NULL where they live in a
 * thread's scratch alone. */
typedef struct vit_block_state {
    float *x;                      /* [T, D] input of the block */
    float *mean1, *rstd1;          /* [T] */
    void *norm1;                   /* [T, D] */
    void *qkv;                     /* q, k, v: [3, B, H, N, D / H] */
    float *qk, *qk_mean, *qk_rstd; /* before their norm [T, 2D]; [T, 2H]; qk_norm only */
    void *probs;                   /* [B, H, N, N] */
    float *probs_fp32;             /* the same for a router that wants it */
    void *attention;               /* [T, D] heads side by side */
    float *x1;                     /* [T, D] after the attention's residual */
    float *mean2, *rstd2;
    void *norm2;  /* [T, D], dense blocks */
    void *hidden; /* [T, M] before GELU, experts [rows, M] */
    size_t
        linear; /* first of the block's layers: qkv, proj, then fc1, fc2 (of each expert) */
    /* MoE blocks only */
    vit_router_pass pass;
    vit_dispatch dispatch;
    const vit_router *router;
    float *both;   /* [T + others, D] the experts' results, only with another view */
    float *routed; /* [T + others, D] the norm's output, which routers read in fp32 */
    size_t place[VIT_EXPERTS_MAX + 1]; /* first row of each expert in the rows below */
    void *rows_in, *rows_out;          /* [rows, D] */
    float *joined;  /* [T, D] the layer's output, only when the router joins itself */
    float *entered; /* [T, D] what it is computed from, only when join->enter is there */
    const float *carry_in; /* [T, carry_width * D] before this layer, zero at the first */
    float *carry;          /* the same after it */
    size_t moe_index;
    double seconds;         /* of routing and dispatch in the last forward pass */
    float *branch_scale[2]; /* [B] stochastic depth: of attention, of MLP or experts */
} vit_block_state;

/* One thread's seconds in each part, on cache lines of its own. */
typedef struct vit_profile_thread {
    _Alignas(64) double seconds[VIT_PART_COUNT];
} vit_profile_thread;

typedef struct vit_profile {
    bool on;
    double passes;              /* seconds of whole passes */
    vit_profile_thread *thread; /* [threads + 1]: of regions, then of what runs outside */
} vit_profile;

/* What is left of a thread's part of a sweep; on a line of its own. */
typedef struct vit_share {
    _Alignas(64) atomic_size_t next;
    size_t end;
} vit_share;
enum { VIT_SHARES = 3 }; /* sweeps of one parallel region at most */

struct vit_run {
    const vit_model *model;
    vit_config config;
    vit_parameters weights;
    vit_parameters gradients; /* TRAIN only */
    float *gradient_block;
    vit_mode mode;
    vit_recompute recompute;
    size_t frozen; /* layers without a backward pass (vit_run_options) */
    size_t held;   /* block whose state its buffers hold, with VIT_RECOMPUTE_BLOCK */
    bool again;    /* a block's forward runs a second time, for its backward */
    vit_exec exec;
    const vit_kernels *kernels;
    const vit_operand_kernels *fp32, *operand; /* of kernels; operand: of this precision */
    vit_precision precision;
    size_t operand_bytes;
    int threads;
    size_t batch_max;
    /* sizes of the current batch */
    size_t batch, tokens_per_image, tokens;
    size_t block_rows;  /* rows that a thread takes at a time, at most VIT_ROWS */
    size_t heads_group; /* heads that a thread takes at a time */
    size_t
        heads_parts; /* parts of their queries, forward: more than 1 when heads are few */
    bool training;   /* this block draws noise and dropout */
    bool fresh;      /* gradients of weights are to be written, not added to */
    /* Told by the next backward pass which gradients it has done with; NULL: nobody. */
    void (*handed)(void *user, vit_run *run, size_t first);
    void *handed_user;
    vit_step step;
    base_arena arena;
    /* shared buffers */
    void *patches;                         /* [B * patches, C * P * P], room for fp32 */
    float *sincos;                         /* [N, D], NULL when positions are learned */
    float *embedded, *pre_mean, *pre_rstd; /* before norm_pre: [T, D], [T]; pre_norm only */
    vit_block_state block[VIT_DEPTH_MAX];
    /* VIT_RECOMPUTE_ATTENTION: one place for what every block makes again */
    void *normed;         /* [T, D] */
    float *routed;        /* [T, D] */
    void *rows_in;        /* [rows, D] */
    float *last;          /* [T, D] output of the last block */
    float *pooled_in;     /* [B, D] class tokens, token pooling only */
    float *mean, *rstd;   /* of the last norm: [B] or [T] */
    void *pooled;         /* [B, D] */
    float *hidden;        /* [B, R] the layer before the head, after tanh; prelogits only */
    void *features;       /* [B, R] the same as operands; else pooled */
    size_t hidden_linear; /* its number in the list of products, behind the blocks' */
    float *final_norm;    /* gap: [T, D] */
    void *d_logits;       /* [B, K] */
    float *d_pooled;      /* [B, D] */
    float *d_features;    /* [B, R] of hidden; else d_pooled */
    void *d_hidden_in;    /* [B, R] of what tanh was taken of */
    float *d_x;           /* [T, D] gradient of the stream */
    float *d_norm;        /* [T + others, D] of a norm's output */
    void *d_heads;        /* [B, H, N, D / H] of the heads' outputs, in d_norm's place */
    void *d_qkv;          /* [T, 3D] */
    /* Outside training the next three are kept for a block of rows alone, in the threads'
     * scratch: NULL. */
    void *d_hidden;     /* [max(T, rows), M] */
    void *active;       /* [max(T, rows), M] GELU once more, for fc2's gradient */
    void *d_rows_out;   /* [rows, D] */
    void *d_branch;     /* [T, D] gradient of a branch, after dropout if that is on */
    void *d_rows_in;    /* [rows, D] */
    float *d_gate;      /* [assignments] */
    float *d_attention; /* [B, H, N, N], only if a router wants it */
    float *d_carry, *d_joined, *d_entered; /* only when a router joins itself */
    float *d_both;                         /* [T + others, D], only with another view */
    float *mixed;   /* [T, D] the output mixed of them, then its gradient */
    float *partial; /* [blocks of rows, partial_width] sums of biases and norms */
    size_t partial_width;
    float *scratch; /* [threads, scratch_floats] */
    size_t scratch_floats;
    size_t moe_block[VIT_DEPTH_MAX]; /* block of the i-th MoE layer */
    size_t moe_count;
    /* [moe_count, tally_count] of routers whose state no gradient moves, TRAIN only */
    double *tally;
    size_t tally_count;
    const uint16_t *fixed; /* [fixed_images, set count] borrowed; NULL: routing is free */
    size_t fixed_images;
    vit_profile profile;
    vit_share *share; /* [VIT_SHARES, threads] */
};

/* vit_run_create with this router in place of the one that the model names, whose
 * parameters and options it shares (NULL: a dense model). A router is tried here before it
 * stands in the table. */
base_status vit_run_create_with(vit_run **out, const vit_model *model,
                                const vit_router *router, size_t batch,
                                const vit_run_options *options, base_error *err);
/* ---- share.c: the tasks of a sweep, to the threads ----------------------------------- */

/* Outside a parallel region: `count` tasks for sweep 0 .. VIT_SHARES - 1 of the next
 * one. */
void vit_share_cut(vit_run *run, size_t sweep, size_t count);
/* Inside: the calling thread's next task, its own first; false when none is left of
 * anybody's. Cut in the same way, a block of rows meets the same thread in every sweep,
 * whose caches have it. */
bool vit_share_take(vit_run *run, size_t sweep, size_t *task);

/* Whether block i computes what it does in evaluation, whatever the run is for. */
static inline bool vit_block_frozen(const vit_run *run, size_t i)
{
    return i + 1 < run->frozen;
}

/* This thread's scratch, inside a parallel region. */
float *vit_scratch(const vit_run *run);
/* Number index of operands. */
static inline void *vit_at(const vit_run *run, const void *operands, size_t index)
{
    return (unsigned char *)(uintptr_t)operands + index * run->operand_bytes;
}
/* The same, or spare where they are not kept. */
static inline void *vit_at_or(const vit_run *run, const void *operands, size_t index,
                              void *spare)
{
    return operands ? vit_at(run, operands, index) : spare;
}
/* Number of blocks of VIT_ROWS rows. */
static inline size_t vit_row_blocks(size_t rows)
{
    return (rows + VIT_ROWS - 1) / VIT_ROWS;
}
static inline size_t vit_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- attention_heads.c: the middle sweep of attention -------------------------------- */

/* Floats of a thread's scratch for the largest batch. */
size_t vit_heads_scratch(const vit_run *run);
/* Cuts the batch's heads into tasks: heads_group, heads_parts. */
void vit_heads_cut(vit_run *run);
size_t vit_heads_tasks(const vit_run *run, bool forward);
/* to [kinds, B, H, N, D / H] <- from [rows, kinds * D], rows first .. of the batch. */
void vit_heads_place(const vit_run *run, void *to, const void *from, size_t kinds,
                     size_t first, size_t rows);
/* Inside a parallel region: probabilities and outputs of a task's heads; gradients of their
 * q, k, v. extra: a router adds to the gradient of the probabilities. */
void vit_heads_forward(vit_run *run, const vit_block_state *s, size_t task);
void vit_heads_backward(vit_run *run, const vit_block_state *s, size_t task, bool extra);

/* Blocks of block_rows rows that the batch's tokens make. */
static inline size_t vit_blocks(const vit_run *run)
{
    return (run->tokens + run->block_rows - 1) / run->block_rows;
}

/* ---- gradients.c: of weights, from operands that a backward sweep left --------------- */

/* c [m, n] += a^T b with operands a [k, m] and b [k, n]. The first pass after
 * vit_run_gradients_zero writes c in place of adding. */
typedef struct vit_gradient {
    size_t m, n, k;
    const void *a, *b;
    float *c;
} vit_gradient;
/* All of them, cut into pieces that the threads share. */
void vit_gradients_add(vit_run *run, const vit_gradient *list, size_t count);

/* From now on the run's gradients lie in *block [floats], and *block is where they lay. */
void vit_run_gradients_swap(vit_run *run, float **block);
/* The next backward pass calls handed(user, run, first) as it goes: gradients from float
 * `first` of the block on are final. NULL: nobody is told. */
void vit_run_hand_over_to(vit_run *run, void (*handed)(void *user, vit_run *, size_t first),
                          void *user);

/* sum [n] += partial [blocks, ld] columns at, in block order: the same for any number of
 * threads. */
void vit_partial_add(float *sum, const vit_run *run, size_t blocks, size_t at, size_t n);

/* ---- profile.c: laps ----------------------------------------------------------------- */

void vit_profile_plan(vit_run *run);
void vit_lap_add(const vit_run *run, double *mark, vit_part part);
void vit_lap_alone_add(const vit_run *run, double *mark, vit_part part);
/* The moment at which a thread begins to work on something. */
static inline double vit_lap_start(const vit_run *run)
{
    return run->profile.on ? base_seconds() : 0.0;
}
/* Inside a parallel region: this thread's time since *mark went to part; *mark is now. */
static inline void vit_lap(const vit_run *run, double *mark, vit_part part)
{
    if (run->profile.on)
        vit_lap_add(run, mark, part);
}
/* The same outside, where other threads wait or work for this one. */
static inline void vit_lap_alone(const vit_run *run, double *mark, vit_part part)
{
    if (run->profile.on)
        vit_lap_alone_add(run, mark, part);
}

/* ---- dropout.c: masks are functions of their keys, drawn again in backward ----------- */

/* y [rows, n] *= 0 or 1 / (1 - rate); row r belongs to token first_token + r of the global
 * batch. y: numbers of the kernels' kind, `bytes` each. */
void vit_dropout(const vit_operand_kernels *kernels, void *y, size_t bytes, size_t rows,
                 size_t n, double rate, const vit_step *step, uint64_t site,
                 uint64_t first_token);
/* 0 or 1 / (1 - rate) of one image at a site (Huang et al. 2016, "Deep networks with
 * stochastic depth", with the inverse scaling of timm). */
float vit_drop_path(double rate, const vit_step *step, uint64_t site, uint64_t image);
/* Stochastic depth rate of block i: linear from 0 to config->drop_path. */
double vit_drop_path_rate(const vit_config *config, size_t i);
/* Fills branch_scale of every block for this pass: 1 outside training. */
void vit_branch_scales_draw(vit_run *run);
/* y [rows, D], rows first .. of the batch: dropout, then stochastic depth of block i. */
void vit_branch_regularise(float *y, const vit_run *run, size_t i, uint64_t site,
                           size_t first, size_t rows);
/* Whether that does anything in this pass. */
bool vit_branch_regularised(const vit_run *run, size_t i);

/* ---- recompute.c: what backward reads of a block and nobody kept --------------------- */

/* Runs block i forward (pass.c). */
void vit_block_forward(vit_run *run, size_t i);
/* Before the backward pass of block i: the whole block, or its second norm. */
void vit_recall_block(vit_run *run, size_t i);
/* Before the backward pass of its attention: its first norm. */
void vit_recall_attention(vit_run *run, size_t i);

/* ---- layers -------------------------------------------------------------------------- */

/* images [B, C, S, S] to tokens in x [T, D]. */
void vit_embed_forward(vit_run *run, float *x, const float *images);
/* Parameter gradients from d_x [T, D] (TRAIN), d_images (may be NULL). */
void vit_embed_backward(vit_run *run, float *d_images, float *d_x);
/* The network's first layers in the list of products: patches and head, then the blocks',
 * then pre-logits. */
enum { VIT_LINEAR_PATCH, VIT_LINEAR_HEAD, VIT_LINEAR_BLOCKS };
enum { VIT_LINEAR_QKV, VIT_LINEAR_PROJ, VIT_LINEAR_FC1, VIT_LINEAR_FC2 };
/* Last norm, pooling and head: logits [B, K] from run->last. */
void vit_head_forward(vit_run *run, float *logits);
/* d_x [T, D] is overwritten. */
void vit_head_backward(vit_run *run, float *d_x, const float *d_logits);
/* x1 = x + attention(norm1(x)). */
void vit_attention_forward(vit_run *run, size_t i);
/* d_x [T, D] in place: from the gradient of x1 to that of x. */
void vit_attention_backward(vit_run *run, size_t i);
/* x_next = x1 + mlp(norm2(x1)). */
void vit_mlp_forward(vit_run *run, size_t i, float *x_next);
void vit_mlp_backward(vit_run *run, size_t i);
/* x_next = x1 + experts(norm2(x1)). */
void vit_moe_forward(vit_run *run, size_t i, float *x_next);
void vit_moe_backward(vit_run *run, size_t i);
/* What a MoE layer's norm reads: the stream, unless the router enters it elsewhere. */
const float *vit_moe_entry(const vit_block_state *s);

#endif
