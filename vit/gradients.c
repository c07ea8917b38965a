/* gradients.c - gradients of weights, dW = dY^T X over all rows of a sweep, shared by the
 * threads in pieces of the result.
 *
 * The first pass of a step writes in place of adding to zeros: a weight's gradient is
 * written here alone and by every backward pass. Free to change: how results are cut.
 * Relied on elsewhere: to a caller, gradients are zero after vit_run_gradients_zero. */
#include <string.h>

#include "vit/run_internal.h"

/* One weight's gradient, all experts' together. */
typedef struct gradient_range {
    float *at;
    size_t floats;
} gradient_range;
enum { RANGES_MAX = 3 + 6 * VIT_DEPTH_MAX };

/* Pieces of a gradient are cut along its longer side. Enough of them for even loads; none
 * under MIN_PIECE wide, where the product itself becomes slow. */
enum { MIN_PIECE = 96, PIECES_PER_THREAD = 4 };

void vit_gradients_add(vit_run *run, const vit_gradient *list, size_t count)
{
    const size_t wanted = (PIECES_PER_THREAD * (size_t)run->threads + count - 1) / count;
    const size_t pieces = wanted < 2 ? 2 : wanted;
    const bool adds = !run->fresh;

#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t task = 0; task < count * pieces; task++) {
        const vit_gradient *g = &list[task / pieces];
        const bool tall = g->m > g->n;
        const size_t longer = tall ? g->m : g->n, part = task % pieces;
        const size_t even = ((longer + pieces - 1) / pieces + 15) / 16 * 16;
        const size_t width = even < MIN_PIECE ? MIN_PIECE : even, first = part * width;
        if (first >= longer)
            continue;
        const size_t size = vit_min(width, longer - first);
        if (tall)
            vit_product_gradient(&run->exec, size, g->n, g->k, vit_at(run, g->a, first),
                                 g->m, g->b, g->n, g->c + first * g->n, g->n, adds);
        else
            vit_product_gradient(&run->exec, g->m, size, g->k, g->a, g->m,
                                 vit_at(run, g->b, first), g->n, g->c + first, g->n, adds);
    }
}

/* ---- zeros --------------------------------------------------------------------------- */

/* The weights whose gradients vit_gradients_add writes, in the order in which they lie in
 * memory. */
static size_t written(gradient_range out[], const vit_run *run)
{
    const vit_config *c = &run->config;
    const vit_parameters *g = &run->gradients;
    const size_t d = (size_t)c->width, m = (size_t)c->mlp;
    size_t count = 0;

    out[count++] =
        (gradient_range){g->patch_weight, d * (size_t)(c->channels * c->patch * c->patch)};
    out[count++] =
        (gradient_range){g->head_weight, vit_config_features(c) * (size_t)c->classes};
    if (c->prelogits > 0)
        out[count++] = (gradient_range){g->hidden_weight, d * (size_t)c->prelogits};
    for (size_t i = 0; i < (size_t)c->depth; i++) {
        const vit_block_parameters *b = &g->block[i];
        const size_t experts = c->moe.layer[i] ? (size_t)c->moe.experts : 1;

        out[count++] = (gradient_range){b->qkv_weight, 3 * d * d};
        out[count++] = (gradient_range){b->proj_weight, d * d};
        out[count++] = (gradient_range){b->fc1_weight, experts * m * d};
        out[count++] = (gradient_range){b->fc2_weight, experts * m * d};
        if (!b->shared_fc1_weight)
            continue;
        out[count++] =
            (gradient_range){b->shared_fc1_weight, (size_t)c->moe.shared * m * d};
        out[count++] =
            (gradient_range){b->shared_fc2_weight, (size_t)c->moe.shared * m * d};
    }
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && out[j].at < out[j - 1].at; j--) {
            const gradient_range swap = out[j];
            out[j] = out[j - 1];
            out[j - 1] = swap;
        }
    return count;
}

void vit_run_gradients_zero(vit_run *run)
{
    gradient_range range[RANGES_MAX];

    if (run->mode != VIT_MODE_TRAIN)
        return;
    const size_t count = written(range, run);
    float *at = run->gradient_block;
    for (size_t i = 0; i < count; i++) {
        memset(at, 0, (size_t)(range[i].at - at) * sizeof *at);
        at = range[i].at + range[i].floats;
    }
    const size_t rest = (size_t)(run->gradient_block + vit_model_floats(run->model) - at);
    memset(at, 0, rest * sizeof *at);
    memset(run->tally, 0, run->moe_count * run->tally_count * sizeof *run->tally);
    run->fresh = true;
}

void vit_run_gradients_swap(vit_run *run, float **block)
{
    float *before = run->gradient_block;

    run->gradient_block = *block;
    run->gradients = vit_parameters_at(run->model, *block);
    *block = before;
}

void vit_run_hand_over_to(vit_run *run, void (*handed)(void *user, vit_run *, size_t first),
                          void *user)
{
    run->handed = handed;
    run->handed_user = user;
}

float *vit_run_gradients(vit_run *run)
{
    gradient_range range[RANGES_MAX];

    if (run->mode != VIT_MODE_TRAIN)
        return NULL;
    for (size_t i = 0, count = run->fresh ? written(range, run) : 0; i < count; i++)
        memset(range[i].at, 0, range[i].floats * sizeof *range[i].at);
    run->fresh = false;
    return run->gradient_block;
}
