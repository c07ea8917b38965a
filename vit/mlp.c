/* mlp.c - the dense block's second half: x_next = x1 + fc2(gelu(fc1(norm2(x1)))).
 *
 * One sweep forward and one backward: a block of rows goes through the norm, both products,
 * GELU and the residual while it is in the cache. Of the hidden layer only the values
 * before GELU are kept; the backward sweep, which needs their normal distribution function
 * anyway, makes those behind it again. Dropout after GELU and after fc2, as timm's Mlp. */
#include <string.h>

#include "vit/run_internal.h"

static void hidden_dropout(const vit_run *run, size_t i, void *y, size_t first, size_t rows)
{
    if (run->training && run->config.dropout > 0)
        vit_dropout(run->operand, y, run->operand_bytes, rows, (size_t)run->config.mlp,
                    run->config.dropout, &run->step, 8 * i + VIT_SITE_HIDDEN,
                    run->step.first_sample * run->tokens_per_image + first);
}

void vit_mlp_forward(vit_run *run, size_t i, float *x_next)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    const size_t step = run->block_rows;
    const int tanh_form = run->config.gelu == VIT_GELU_TANH;

    vit_share_cut(run, 0, vit_blocks(run));
#pragma omp parallel num_threads(run->threads)
    for (size_t block; vit_share_take(run, 0, &block);) {
        const size_t first = block * step, rows = vit_min(step, run->tokens - first);
        float *scratch = vit_scratch(run), *normed_here = scratch + VIT_ROWS * d;
        void *active = normed_here + VIT_ROWS * d;
        void *normed = vit_at_or(run, s->norm2, first * d, normed_here);
        void *hidden = vit_at_or(run, s->hidden, first * m, active);
        double mark = vit_lap_start(run);
        run->operand->norm(normed, s->mean2 + first, s->rstd2 + first, s->x1 + first * d,
                           w->norm2_weight, w->norm2_bias, rows, d, (float)run->config.eps);
        vit_lap(run, &mark, VIT_PART_NORM);
        vit_linear_forward(&run->exec, s->linear + VIT_LINEAR_FC1, rows, normed, hidden,
                           false);
        if (run->again) { /* backward has no use for the rest */
            vit_lap(run, &mark, VIT_PART_MLP);
            continue;
        }
        run->operand->gelu(active, hidden, rows * m, tanh_form);
        hidden_dropout(run, i, active, first, rows);
        vit_linear_forward(&run->exec, s->linear + VIT_LINEAR_FC2, rows, active, scratch,
                           true);
        vit_branch_regularise(scratch, run, i, VIT_SITE_MLP, first, rows);
        run->kernels->add(x_next + first * d, s->x1 + first * d, scratch, rows * d);
        vit_lap(run, &mark, VIT_PART_MLP);
    }
}

/* One block of rows: d_branch, d_hidden, active and the sums of the biases' and the norm's
 * gradients. Without gradients of weights nobody reads d_hidden and active afterwards. */
static void rows_backward(vit_run *run, size_t i, size_t first, size_t rows)
{
    const vit_block_state *s = &run->block[i];
    const bool train = run->mode == VIT_MODE_TRAIN;
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    float *scratch = vit_scratch(run), *spare = scratch + VIT_ROWS * d;
    float *sums = run->partial + first / run->block_rows * run->partial_width;
    void *d_y = vit_at(run, run->d_branch, first * d);
    void *d_hidden = vit_at_or(run, run->d_hidden, first * m, spare);
    void *active = vit_at_or(run, run->active, first * m, vit_at(run, spare, VIT_ROWS * m));
    double mark = vit_lap_start(run);

    if (vit_branch_regularised(run, i)) {
        memcpy(scratch, run->d_x + first * d, rows * d * sizeof *scratch);
        vit_branch_regularise(scratch, run, i, VIT_SITE_MLP, first, rows);
        run->operand->round(d_y, 1.0f, scratch, rows * d);
    } else {
        run->operand->round(d_y, 1.0f, run->d_x + first * d, rows * d);
    }
    vit_linear_backward(&run->exec, s->linear + VIT_LINEAR_FC2, rows, d_y, d_hidden, false);
    hidden_dropout(run, i, d_hidden, first, rows);
    run->operand->gelu_backward(d_hidden, active, vit_at(run, s->hidden, first * m),
                                rows * m, run->config.gelu == VIT_GELU_TANH);
    if (train)
        hidden_dropout(run, i, active, first, rows);
    vit_linear_backward(&run->exec, s->linear + VIT_LINEAR_FC1, rows, d_hidden, scratch,
                        true);
    if (train) {
        memset(sums, 0, (m + 3 * d) * sizeof *sums);
        run->operand->column_sum(sums, d_hidden, rows, m);
        run->operand->column_sum(sums + m, d_y, rows, d);
    }
    vit_lap(run, &mark, VIT_PART_MLP);
    run->kernels->norm_backward(run->d_x + first * d, train ? sums + m + d : NULL,
                                sums + m + 2 * d, scratch, s->x1 + first * d,
                                s->mean2 + first, s->rstd2 + first,
                                run->weights.block[i].norm2_weight, rows, d);
    vit_lap(run, &mark, VIT_PART_NORM);
}

void vit_mlp_backward(vit_run *run, size_t i)
{
    const vit_block_state *s = &run->block[i];
    const vit_block_parameters *g = &run->gradients.block[i];
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    const size_t t = run->tokens, step = run->block_rows, blocks = vit_blocks(run);

    vit_share_cut(run, 0, blocks);
#pragma omp parallel num_threads(run->threads)
    for (size_t block; vit_share_take(run, 0, &block);)
        rows_backward(run, i, block * step, vit_min(step, t - block * step));
    if (run->mode != VIT_MODE_TRAIN)
        return;
    double alone = vit_lap_start(run);
    vit_gradients_add(run,
                      (const vit_gradient[]){
                          {d, m, t, run->d_branch, run->active, g->fc2_weight},
                          {m, d, t, run->d_hidden, s->norm2, g->fc1_weight},
                      },
                      2);
    vit_partial_add(g->fc1_bias, run, blocks, 0, m);
    vit_partial_add(g->fc2_bias, run, blocks, m, d);
    vit_lap_alone(run, &alone, VIT_PART_MLP);
    vit_partial_add(g->norm2_weight, run, blocks, m + d, d);
    vit_partial_add(g->norm2_bias, run, blocks, m + 2 * d, d);
    vit_lap_alone(run, &alone, VIT_PART_NORM);
}
