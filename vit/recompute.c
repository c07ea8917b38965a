/* recompute.c - what a backward pass makes again (vit_recompute), by the code and in the
 * order in which forward made it: draws are functions of their keys, and every product has
 * its block of rows, so the numbers are the same to the bit. Where a layer needs only a
 * piece again (the probabilities of a head, the rows of an expert) it does so itself. */

#include "vit/run_internal.h"

/* out = norm(x) of all rows, by the kernels of fp32 or of the run's operands. */
static void norm_again(vit_run *run, const vit_operand_kernels *kernels, void *out,
                       size_t bytes, const float *x, float *mean, float *rstd,
                       const float *weight, const float *bias)
{
    const size_t d = (size_t)run->config.width, step = run->block_rows;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += step) {
        double mark = vit_lap_start(run);
        kernels->norm((unsigned char *)out + first * d * bytes, mean + first, rstd + first,
                      x + first * d, weight, bias, vit_min(step, run->tokens - first), d,
                      (float)run->config.eps);
        vit_lap(run, &mark, VIT_PART_NORM);
    }
}

static void recall_second_norm(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];

    if (s->routed && s->routed == run->routed) {
        norm_again(run, run->fp32, s->routed, sizeof(float), vit_moe_entry(s), s->mean2,
                   s->rstd2, w->norm2_weight, w->norm2_bias);
        if (s->router->alter)
            s->router->alter(&s->pass, s->routed);
    } else if (s->norm2 && run->mode == VIT_MODE_TRAIN) {
        norm_again(run, run->operand, s->norm2, run->operand_bytes, s->x1, s->mean2,
                   s->rstd2, w->norm2_weight, w->norm2_bias);
    }
}

void vit_recall_block(vit_run *run, size_t i)
{
    if (run->recompute == VIT_RECOMPUTE_ATTENTION)
        recall_second_norm(run, i);
    if (run->recompute != VIT_RECOMPUTE_BLOCK || run->held == i)
        return;
    run->again = true;
    vit_block_forward(run, i);
    run->again = false;
}

void vit_recall_attention(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];

    if (run->recompute == VIT_RECOMPUTE_ATTENTION && run->mode == VIT_MODE_TRAIN)
        norm_again(run, run->operand, s->norm1, run->operand_bytes, s->x, s->mean1,
                   s->rstd1, w->norm1_weight, w->norm1_bias);
}
