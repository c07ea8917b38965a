/* attention.c - x1 = x + proj(softmax(q k^T / sqrt(D / H)) v), q, k, v from norm1(x)
 * (Vaswani et al. 2017, section 3.2.2; pre-norm as Dosovitskiy et al. 2021, equation 2).
 *
 * Three sweeps: norm and qkv per block of rows; the products of some heads of one image per task, read
 * straight out of qkv [T, 3D] by their row distance, so that nothing is permuted; projection and
 * residual per block of rows. Backward walks the same sweeps in reverse. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "vit/run_internal.h"

/* What the tasks of the middle sweep have in common. */
typedef struct heads_plan {
    size_t d, heads, n, per_head, group, tasks;
    float scale;
} heads_plan;

static heads_plan heads_of(const vit_run *run)
{
    const size_t d = (size_t)run->config.width, heads = (size_t)run->config.heads;

    return (heads_plan){
        .d = d,
        .heads = heads,
        .n = run->tokens_per_image,
        .per_head = d / heads,
        .group = run->heads_group,
        .tasks = run->batch * heads / run->heads_group,
        .scale = 1.0f / sqrtf((float)(d / heads)),
    };
}

/* First number of a task's heads in a tensor [T, ld] whose heads lie side by side. */
static size_t heads_at(const heads_plan *h, size_t task, size_t ld)
{
    const size_t head = task * h->group;

    return head / h->heads * h->n * ld + head % h->heads * h->per_head;
}

/* s [group, N, N] fp32 = a b^T of heads, a and b with lda and ldb numbers between tokens */
static void scores(vit_run *run, const heads_plan *h, const void *a, size_t lda,
                   const void *b, size_t ldb, float *s)
{
    const vit_product_shape shape = {.batch = h->group,
                                     .m = h->n,
                                     .n = h->n,
                                     .k = h->per_head,
                                     .tb = true,
                                     .lda = lda,
                                     .ldb = ldb,
                                     .ldc = h->n,
                                     .step_a = h->per_head,
                                     .step_b = h->per_head,
                                     .step_c = h->n * h->n,
                                     .c_fp32 = true};
    vit_multiply(&run->exec, &shape, a, b, s);
}

/* c = p b or p^T b of heads, p [group, N, N] */
static void mixtures(vit_run *run, const heads_plan *h, const void *p, bool transposed,
                     const void *b, size_t ldb, void *c, size_t ldc)
{
    const vit_product_shape shape = {.batch = h->group,
                                     .m = h->n,
                                     .n = h->per_head,
                                     .k = h->n,
                                     .ta = transposed,
                                     .lda = h->n,
                                     .ldb = ldb,
                                     .ldc = ldc,
                                     .step_a = h->n * h->n,
                                     .step_b = h->per_head,
                                     .step_c = h->per_head};
    vit_multiply(&run->exec, &shape, p, b, c);
}

/* Probabilities and outputs of a task's heads. */
static void heads_forward(vit_run *run, const vit_block_state *s, const heads_plan *h,
                          size_t task)
{
    const size_t d = h->d, n = h->n, floats = h->group * n * n;
    const void *q = vit_at(run, s->qkv, heads_at(h, task, 3 * d));
    float *logits = vit_scratch(run);
    void *p = vit_at_or(run, s->probs, task * floats, logits + floats);
    double mark = vit_lap_start(run);

    scores(run, h, q, 3 * d, vit_at(run, q, d), 3 * d, logits);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
    run->operand->softmax(p, logits, h->group * n, n, h->scale);
    if (s->probs_fp32 && s->probs_fp32 != s->probs) {
        float *kept = s->probs_fp32 + task * floats;
        memset(kept, 0, floats * sizeof *kept);
        run->operand->axpy(kept, 1.0f, p, floats);
    }
    vit_lap(run, &mark, VIT_PART_SOFTMAX);
    mixtures(run, h, p, false, vit_at(run, q, 2 * d), 3 * d,
             vit_at(run, s->attention, heads_at(h, task, d)), d);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
}

void vit_attention_forward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const heads_plan heads = heads_of(run);
    const size_t d = heads.d, step = run->block_rows;

#pragma omp parallel num_threads(run->threads)
    {
        float *scratch = vit_scratch(run);

#pragma omp for schedule(dynamic, 1)
        for (size_t first = 0; first < run->tokens; first += step) {
            const size_t rows = vit_min(step, run->tokens - first);
            void *normed = vit_at_or(run, s->norm1, first * d, scratch);
            double mark = vit_lap_start(run);
            run->operand->norm(normed, s->mean1 + first, s->rstd1 + first, s->x + first * d,
                               w->norm1_weight, w->norm1_bias, rows, d, VIT_NORM_EPS);
            vit_lap(run, &mark, VIT_PART_NORM);
            vit_linear_forward(&run->exec, s->linear + VIT_LINEAR_QKV, rows, normed,
                               vit_at(run, s->qkv, first * 3 * d), false);
            vit_lap(run, &mark, VIT_PART_PROJECTION);
        }

#pragma omp for schedule(dynamic, 1)
        for (size_t task = 0; task < heads.tasks; task++)
            heads_forward(run, s, &heads, task);

#pragma omp for schedule(dynamic, 1)
        for (size_t first = 0; first < run->tokens; first += step) {
            const size_t rows = vit_min(step, run->tokens - first);
            double mark = vit_lap_start(run);
            vit_linear_forward(&run->exec, s->linear + VIT_LINEAR_PROJ, rows,
                               vit_at(run, s->attention, first * d), scratch, true);
            vit_branch_regularise(scratch, run, i, VIT_SITE_ATTENTION, first, rows);
            run->kernels->add(s->x1 + first * d, s->x + first * d, scratch, rows * d);
            vit_lap(run, &mark, VIT_PART_PROJECTION);
        }
    }
}

/* The probabilities of heads whose own were not kept, behind what else heads_backward has in scratch. */
static const void *probs_again(vit_run *run, const heads_plan *h, const void *q)
{
    const size_t floats = h->group * h->n * h->n;
    float *logits = vit_scratch(run);
    void *p = logits + 2 * floats;
    double mark = vit_lap_start(run);

    scores(run, h, q, 3 * h->d, vit_at(run, q, h->d), 3 * h->d, logits);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
    run->operand->softmax(p, logits, h->group * h->n, h->n, h->scale);
    vit_lap(run, &mark, VIT_PART_SOFTMAX);
    return p;
}

/* Gradients of q, k, v of a task's heads. */
static void heads_backward(vit_run *run, const vit_block_state *s, const heads_plan *h,
                           size_t task, bool extra)
{
    const size_t d = h->d, n = h->n, floats = h->group * n * n;
    const void *q = vit_at(run, s->qkv, heads_at(h, task, 3 * d));
    const void *p =
        s->probs ? vit_at(run, s->probs, task * floats) : probs_again(run, h, q);
    const void *d_o = vit_at(run, run->d_heads, heads_at(h, task, d));
    void *d_q = vit_at(run, run->d_qkv, heads_at(h, task, 3 * d));
    float *d_p = vit_scratch(run);
    void *d_s = d_p + floats;
    double mark = vit_lap_start(run);

    scores(run, h, d_o, d, vit_at(run, q, 2 * d), 3 * d, d_p);
    if (extra)
        run->kernels->add(d_p, d_p, run->d_attention + task * floats, floats);
    mixtures(run, h, p, true, d_o, d, vit_at(run, d_q, 2 * d), 3 * d);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
    run->operand->softmax_backward(d_s, d_p, p, h->group * n, n, h->scale);
    vit_lap(run, &mark, VIT_PART_SOFTMAX);
    mixtures(run, h, d_s, false, vit_at(run, q, d), 3 * d, d_q, 3 * d);
    mixtures(run, h, d_s, true, q, 3 * d, vit_at(run, d_q, d), 3 * d);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
}

/* Where the gradient of the branch lies: in the stream's itself when it is an operand as it is. */
static void *branch_gradient(const vit_run *run, size_t i)
{
    const bool same =
        run->precision == VIT_PRECISION_FP32 && !vit_branch_regularised(run, i);

    return same ? run->d_x : run->d_branch;
}

/* The branch's gradient from the stream's; d_heads <- that of the heads' outputs. */
static void projection_backward(vit_run *run, size_t i, size_t first, size_t rows)
{
    const size_t d = (size_t)run->config.width;
    void *d_y = vit_at(run, branch_gradient(run, i), first * d);
    double mark = vit_lap_start(run);

    if (vit_branch_regularised(run, i)) {
        float *scratch = vit_scratch(run);
        memcpy(scratch, run->d_x + first * d, rows * d * sizeof *scratch);
        vit_branch_regularise(scratch, run, i, VIT_SITE_ATTENTION, first, rows);
        run->operand->round(d_y, 1.0f, scratch, rows * d);
    } else if (run->precision == VIT_PRECISION_BF16) {
        run->operand->round(d_y, 1.0f, run->d_x + first * d, rows * d);
    }
    vit_linear_backward(&run->exec, run->block[i].linear + VIT_LINEAR_PROJ, rows, d_y,
                        vit_at(run, run->d_heads, first * d), false);
    if (run->mode == VIT_MODE_TRAIN) {
        float *sums = run->partial + first / run->block_rows * run->partial_width;
        memset(sums, 0, d * sizeof *sums);
        run->operand->column_sum(sums, d_y, rows, d);
    }
    vit_lap(run, &mark, VIT_PART_PROJECTION);
}

void vit_attention_backward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const vit_block_parameters *g = &run->gradients.block[i];
    const bool train = run->mode == VIT_MODE_TRAIN;
    const heads_plan heads = heads_of(run);
    const size_t d = heads.d, step = run->block_rows, t = run->tokens;
    const size_t blocks = (t + step - 1) / step;
    const bool extra = s->router && s->router->wants_attention;

#pragma omp parallel num_threads(run->threads)
    {
#pragma omp for schedule(dynamic, 1)
        for (size_t first = 0; first < t; first += step)
            projection_backward(run, i, first, vit_min(step, t - first));

#pragma omp for schedule(dynamic, 1)
        for (size_t task = 0; task < heads.tasks; task++)
            heads_backward(run, s, &heads, task, extra);
    }

    if (train) {
        double alone = vit_lap_start(run);
        vit_partial_add(g->proj_bias, run, blocks, 0, d);
        vit_gradients_add(
            run,
            (const vit_gradient[]){
                {3 * d, d, t, run->d_qkv, s->norm1, g->qkv_weight},
                {d, d, t, branch_gradient(run, i), s->attention, g->proj_weight},
            },
            2);
        vit_lap_alone(run, &alone, VIT_PART_PROJECTION);
    }

#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t first = 0; first < t; first += step) {
        const size_t rows = vit_min(step, t - first);
        const void *d_qkv = vit_at(run, run->d_qkv, first * 3 * d);
        float *sums = run->partial + first / step * run->partial_width;
        float *scratch = vit_scratch(run);
        double mark = vit_lap_start(run);
        vit_linear_backward(&run->exec, s->linear + VIT_LINEAR_QKV, rows, d_qkv, scratch,
                            true);
        if (train) {
            memset(sums, 0, 5 * d * sizeof *sums);
            run->operand->column_sum(sums, d_qkv, rows, 3 * d);
        }
        vit_lap(run, &mark, VIT_PART_PROJECTION);
        run->kernels->norm_backward(
            run->d_x + first * d, train ? sums + 3 * d : NULL, sums + 4 * d, scratch,
            s->x + first * d, s->mean1 + first, s->rstd1 + first, w->norm1_weight, rows, d);
        vit_lap(run, &mark, VIT_PART_NORM);
    }
    if (train) {
        double alone = vit_lap_start(run);
        vit_partial_add(g->qkv_bias, run, blocks, 0, 3 * d);
        vit_lap_alone(run, &alone, VIT_PART_PROJECTION);
        vit_partial_add(g->norm1_weight, run, blocks, 3 * d, d);
        vit_partial_add(g->norm1_bias, run, blocks, 4 * d, d);
        vit_lap_alone(run, &alone, VIT_PART_NORM);
    }
}
