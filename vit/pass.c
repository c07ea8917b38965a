/* pass.c - forward and backward over the blocks of a planned run, and what a pass shows of
 * its routing. Free to change: the order of work inside a block. Relied on elsewhere:
 * nothing is allocated; a refused call changes nothing; backward runs in reverse block
 * order over what the last forward kept. */
#include <string.h>

#include "vit/run_internal.h"

static base_status exec_status(vit_run *run, const char *what, base_error *err)
{
    if (!atomic_exchange(&run->exec.failed, false))
        return BASE_OK;
    return base_fail(err, BASE_INTERNAL, "oneDNN refused a matrix product in the %s pass",
                     what);
}

static void pass_end(vit_run *run, double start)
{
    if (run->profile.on)
        run->profile.passes += base_seconds() - start;
}

/* How work is cut: even blocks of at most VIT_ROWS rows, as many for one thread as for
 * another. */
static void blocks_size(vit_run *run)
{
    const size_t threads = (size_t)run->threads;
    const size_t blocks = (vit_row_blocks(run->tokens) + threads - 1) / threads * threads;

    vit_heads_cut(run);
    run->block_rows = (run->tokens + blocks - 1) / blocks;
}

void vit_block_forward(vit_run *run, size_t i)
{
    float *next = i + 1 < (size_t)run->config.depth ? run->block[i + 1].x : run->last;

    run->training = run->mode == VIT_MODE_TRAIN && !vit_block_frozen(run, i);
    vit_attention_forward(run, i);
    if (run->config.moe.layer[i])
        vit_moe_forward(run, i, next);
    else
        vit_mlp_forward(run, i, next);
    run->held = i;
}

/* The weights of a stage (0: the embedding, 1 + i: block i, then the head) have come from
 * other ranks, and are packed. */
static base_status weights_ready(vit_run *run, size_t stage, base_error *err)
{
    const size_t depth = (size_t)run->config.depth;
    const float *until = NULL;
    size_t first = VIT_LINEAR_HEAD, end = SIZE_MAX;

    if (stage <= depth) {
        first = stage == 0 ? VIT_LINEAR_PATCH : run->block[stage - 1].linear;
        end = stage == 0      ? VIT_LINEAR_HEAD
              : stage < depth ? run->block[stage].linear
                              : run->hidden_linear;
        until = stage < depth ? run->weights.block[stage].norm1_weight
                              : run->weights.norm_weight;
    }
    const base_status status = vit_model_await(run->model, until, err);
    if (status == BASE_OK)
        vit_products_refresh(&run->exec, first, end, vit_model_version(run->model));
    return status;
}

base_status vit_run_forward(vit_run *run, float *logits, const float *images, size_t batch,
                            const vit_step *step, base_error *err)
{
    if (batch == 0 || batch > run->batch_max)
        return base_fail(err, BASE_USAGE, "batch of %zu images, expected 1 to %zu", batch,
                         run->batch_max);
    if (run->fixed && batch > run->fixed_images)
        return base_fail(err, BASE_USAGE, "batch of %zu images, routing is fixed for %zu",
                         batch, run->fixed_images);
    run->batch = batch;
    run->tokens = batch * run->tokens_per_image;
    blocks_size(run);
    run->training = run->mode == VIT_MODE_TRAIN && run->frozen == 0; /* of embedding */
    run->step = *step;
    if (run->step.loss_scale <= 0)
        run->step.loss_scale = 1.0;
    const double start = vit_lap_start(run);

    vit_branch_scales_draw(run);
    base_status status = weights_ready(run, 0, err);
    if (status == BASE_OK)
        vit_embed_forward(run, run->block[0].x, images);
    for (size_t i = 0; i < (size_t)run->config.depth && status == BASE_OK; i++) {
        status = weights_ready(run, 1 + i, err);
        if (status == BASE_OK)
            vit_block_forward(run, i);
    }
    if (status == BASE_OK)
        status = weights_ready(run, 1 + (size_t)run->config.depth, err);
    if (status != BASE_OK)
        return status;
    double mark = vit_lap_start(run);
    vit_head_forward(run, logits);
    vit_lap_alone(run, &mark, VIT_PART_HEAD);
    pass_end(run, start);
    return exec_status(run, "forward", err);
}

base_status vit_run_backward(vit_run *run, float *d_images, const float *d_logits,
                             base_error *err)
{
    return vit_run_backward_routing(run, d_images, d_logits, NULL, err);
}

/* Every MoE layer's part of d_routing goes to its router; NULL: none of them has one. */
static base_status routing_gradients_set(vit_run *run, const float *d_routing,
                                         base_error *err)
{
    const size_t numbers = run->tokens * (size_t)run->config.moe.experts;

    if (d_routing && (run->mode != VIT_MODE_INPUT_GRADIENT || run->moe_count == 0))
        return base_fail(err, BASE_USAGE,
                         "router logits get a gradient in an input gradient run with "
                         "experts only");
    for (size_t i = 0; i < run->moe_count; i++) {
        vit_block_state *s = &run->block[run->moe_block[i]];

        if (d_routing && !s->pass.out.logits)
            return base_fail(err, BASE_UNSUPPORTED, "the router '%s' shows no logits",
                             s->router->name);
        s->pass.gradient.logits = d_routing ? d_routing + i * numbers : NULL;
    }
    return BASE_OK;
}

/* All gradients from that of the tensor `from` on are what this pass makes of them. */
static void hand_over(vit_run *run, const float *from)
{
    if (run->handed)
        run->handed(run->handed_user, run, (size_t)(from - run->gradient_block));
}

base_status vit_run_backward_routing(vit_run *run, float *d_images, const float *d_logits,
                                     const float *d_routing, base_error *err)
{
    size_t blocks = (size_t)run->config.depth;

    if (run->mode == VIT_MODE_INFER)
        return base_fail(err, BASE_USAGE, "an inference run has no backward pass");
    if (d_images && run->frozen > 0)
        return base_fail(err, BASE_USAGE,
                         "a run with frozen layers has no gradient of the images");
    const base_status status = routing_gradients_set(run, d_routing, err);
    if (status != BASE_OK)
        return status;
    const double start = vit_lap_start(run);
    if (run->d_joined)
        memset(run->d_carry, 0,
               run->tokens * (size_t)run->config.width *
                   run->block[run->moe_block[0]].router->join->carry_width * sizeof(float));
    if (d_logits || !d_routing) {
        double mark = vit_lap_start(run);
        vit_head_backward(run, run->d_x, d_logits);
        vit_lap_alone(run, &mark, VIT_PART_HEAD);
        hand_over(run, run->gradients.norm_weight);
    } else { /* nothing behind the last router matters */
        blocks = run->moe_block[run->moe_count - 1] + 1;
        memset(run->d_x, 0, run->tokens * (size_t)run->config.width * sizeof(float));
    }
    for (size_t i = blocks; i-- > 0 && !vit_block_frozen(run, i);) {
        vit_recall_block(run, i);
        if (run->config.moe.layer[i])
            vit_moe_backward(run, i);
        else
            vit_mlp_backward(run, i);
        vit_recall_attention(run, i);
        vit_attention_backward(run, i);
        if (i > 0) /* the embedding's come with it */
            hand_over(run, run->gradients.block[i].norm1_weight);
    }
    double mark = vit_lap_start(run);
    if (run->frozen == 0)
        vit_embed_backward(run, d_images, run->d_x);
    vit_lap_alone(run, &mark, VIT_PART_PATCH);
    run->fresh = false;
    hand_over(run, run->gradient_block);
    run->handed = NULL;
    pass_end(run, start);
    return exec_status(run, "backward", err);
}

double vit_run_aux_loss(const vit_run *run)
{
    double sum = 0;
    for (size_t i = 0; i < run->moe_count; i++)
        sum += run->block[run->moe_block[i]].pass.report.aux_loss;
    return sum;
}

size_t vit_run_moe_count(const vit_run *run)
{
    return run->moe_count;
}

size_t vit_run_set_count(const vit_run *run)
{
    return run->moe_count * run->tokens_per_image * (size_t)run->config.moe.k;
}

void vit_run_routing_sets(const vit_run *run, uint16_t *sets)
{
    const size_t numbers = run->tokens_per_image * (size_t)run->config.moe.k;

    for (size_t image = 0; image < run->batch; image++)
        for (size_t i = 0; i < run->moe_count; i++, sets += numbers)
            memcpy(sets, run->block[run->moe_block[i]].pass.out.expert + image * numbers,
                   numbers * sizeof *sets);
}

base_status vit_run_routing_fix(vit_run *run, const uint16_t *sets, size_t images,
                                base_error *err)
{
    if (sets && run->mode == VIT_MODE_TRAIN)
        return base_fail(err, BASE_USAGE, "a training run chooses its experts itself");
    for (size_t i = 0; sets && i < run->moe_count; i++) {
        const vit_router *router = run->block[run->moe_block[i]].router;

        if (!vit_router_replays(&run->config.moe.router))
            return base_fail(err, BASE_UNSUPPORTED, "the router '%s' cannot replay choices",
                             router->name);
    }
    for (size_t i = 0; sets && i < images * vit_run_set_count(run); i++)
        if (sets[i] >= run->config.moe.experts)
            return base_fail(err, BASE_USAGE, "expert %d of %d", sets[i],
                             run->config.moe.experts);
    run->fixed = sets && run->moe_count > 0 ? sets : NULL;
    run->fixed_images = images;
    return BASE_OK;
}

vit_routing vit_run_routing(const vit_run *run, size_t i)
{
    const vit_block_state *s = &run->block[run->moe_block[i]];
    return (vit_routing){
        .tokens = run->tokens,
        .tokens_per_image = run->tokens_per_image,
        .experts = s->pass.plan.shape.experts,
        .count = s->pass.out.start[run->tokens], /* of the first view */
        .start = s->pass.out.start,
        .token = s->pass.out.token,
        .expert = s->pass.out.expert,
        .gate = s->pass.out.gate,
        .kept = s->dispatch.kept,
        .probs = s->pass.out.probs,
        .logits = s->pass.out.logits,
        .aux_loss = s->pass.report.aux_loss,
        .used_sinkhorn = s->pass.report.used_sinkhorn,
        .sinkhorn_iterations = s->pass.report.sinkhorn_iterations,
        .sinkhorn_residual = s->pass.report.sinkhorn_residual,
        .sinkhorn_converged = s->pass.report.sinkhorn_converged,
        .seconds = s->seconds,
        .soft = s->pass.report.soft,
    };
}

const float *vit_run_router_input(const vit_run *run, size_t i)
{
    const bool kept = run->mode != VIT_MODE_INFER && run->recompute == VIT_RECOMPUTE_NONE;

    return kept ? run->block[run->moe_block[i]].pass.in.x : NULL;
}

base_status vit_run_capacity_set(vit_run *run, double factor, bool bpr, base_error *err)
{
    vit_config config = *vit_model_config(run->model); /* its k, whatever evaluation uses */

    if (run->mode == VIT_MODE_TRAIN)
        return base_fail(err, BASE_USAGE,
                         "a training run goes by moe.capacity, not by another");
    config.moe.eval_capacity = factor;
    config.moe.eval_bpr = bpr;
    const base_status status = vit_config_check(&config, err);
    if (status != BASE_OK)
        return status;
    run->config.moe.eval_capacity = factor;
    run->config.moe.eval_bpr = bpr;
    return BASE_OK;
}
