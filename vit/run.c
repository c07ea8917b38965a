/* run.c - the plan of a pass, which pass.c makes: sizes all memory once.
 *
 * plan() is walked twice over the same arena, first to measure, then to hand out; so the
 * size cannot disagree with the use. A training run keeps every block's state; an inference
 * run lets all blocks share one. Relied on elsewhere: no allocation after create. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "vit/run_internal.h"

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

float *vit_scratch(const vit_run *run)
{
    return run->scratch + (size_t)omp_get_thread_num() * run->scratch_floats;
}

void vit_partial_add(float *sum, const vit_run *run, size_t blocks, size_t at, size_t n)
{
    for (size_t b = 0; b < blocks; b++)
        run->fp32->axpy(sum, 1.0f, run->partial + b * run->partial_width + at, n);
}

/* ---- planning ------------------------------------------------------------------------ */

static float *floats(vit_run *run, size_t count)
{
    return base_arena_take(&run->arena, count, sizeof(float));
}

static void *operands(vit_run *run, size_t count)
{
    return base_arena_take(&run->arena, count, run->operand_bytes);
}

/* What a router's own way to join the stream and its second view of the tokens need:
 * outputs of the layer, of which only carry is read by other blocks. */
static void plan_joined(vit_run *run, vit_block_state *s)
{
    const size_t t = run->tokens, d = (size_t)run->config.width;

    if (s->pass.plan.shape.others > 0)
        s->both = floats(run, (t + s->pass.plan.shape.others) * d);
    if (s->router && s->router->join) {
        s->joined = floats(run, t * d);
        s->entered = s->router->join->enter ? floats(run, t * d) : NULL;
    }
}

/* Where tokens went must outlive the pass in every mode: metrics read it. */
static void plan_routing(vit_run *run, vit_block_state *s)
{
    const vit_router_shape *shape = &s->pass.plan.shape;
    const size_t t = shape->tokens, e = shape->experts;
    const size_t count = s->router->assignments(shape) + (size_t)run->config.moe.shared * t;
    base_arena *arena = &run->arena;
    s->pass.out.probs = base_arena_take(arena, t * e, sizeof(double));
    s->pass.out.start = base_arena_take(arena, t + shape->others + 1, sizeof(uint32_t));
    s->pass.out.token = base_arena_take(arena, count, sizeof(uint32_t));
    s->pass.out.expert = base_arena_take(arena, count, sizeof(uint16_t));
    s->pass.out.gate = base_arena_take(arena, count, sizeof(float));
    s->pass.plan.state = base_arena_take(arena, s->router->state_bytes(shape), 1);
    s->pass.plan.exec = &run->exec;
    s->dispatch.row = base_arena_take(arena, count, sizeof(uint32_t));
    s->dispatch.kept = base_arena_take(arena, count, sizeof(bool));
    s->dispatch.assignment = base_arena_take(arena, count, sizeof(uint32_t));
    s->dispatch.scratch =
        base_arena_take(arena, 2 * (t + shape->others) + 2 * e + 2, sizeof(uint32_t));
    if (s->router->join)
        s->carry =
            floats(run, t * (size_t)run->config.width * s->router->join->carry_width);
    if (run->mode == VIT_MODE_INFER)
        plan_joined(run, s);
}

/* Rows that the experts of a layer work on at most: 0 in a dense network. */
static size_t rows_max(const vit_run *run)
{
    size_t rows = 0;
    for (size_t i = 0; i < (size_t)run->config.depth; i++)
        if (run->config.moe.layer[i])
            rows = run->block[i].router->assignments(&run->block[i].pass.plan.shape) +
                   (size_t)run->config.moe.shared * run->tokens +
                   VIT_ROWS_MULTIPLE *
                       (size_t)(run->config.moe.experts + run->config.moe.shared);
    return rows;
}

/* Tokens of another view in the MoE layers, 0 without any. The last layer has most: frozen
 * ones, which come first, have none. */
static size_t others_max(const vit_run *run)
{
    return run->moe_count > 0
               ? run->block[run->moe_block[run->moe_count - 1]].pass.plan.shape.others
               : 0;
}

/* Where a layer's input lies that only the gradient of the layer's weight reads. */
static void *weight_input(vit_run *run, void *shared, size_t count)
{
    if (run->mode != VIT_MODE_TRAIN)
        return NULL;
    return run->recompute == VIT_RECOMPUTE_ATTENTION ? shared : operands(run, count);
}

/* Means and deviations of queries and keys. */
static void plan_qk(vit_run *run, vit_block_state *s)
{
    const size_t count = run->tokens * 2 * (size_t)run->config.heads;

    if (!run->config.qk_norm)
        return;
    s->qk_mean = floats(run, count);
    s->qk_rstd = floats(run, count);
}

static void plan_block(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const size_t t = run->tokens, d = (size_t)run->config.width,
                 m = (size_t)run->config.mlp;
    const size_t n = run->tokens_per_image;
    const size_t probs = run->batch * (size_t)run->config.heads * n * n;
    const bool moe = run->config.moe.layer[i];
    const size_t rows = moe ? rows_max(run) : 0;
    const bool again = run->recompute == VIT_RECOMPUTE_ATTENTION;
    const bool keeps_probs = !again || (s->router && s->router->wants_attention);

    s->mean1 = floats(run, t);
    s->rstd1 = floats(run, t);
    s->norm1 = weight_input(run, run->normed, t * d);
    s->qkv = operands(run, t * 3 * d);
    if (run->config.qk_norm)
        s->qk = floats(run, t * 2 * d);
    plan_qk(run, s);
    s->probs = keeps_probs ? operands(run, probs) : NULL;
    if (s->router && s->router->wants_attention)
        s->probs_fp32 =
            run->precision == VIT_PRECISION_FP32 ? s->probs : floats(run, probs);
    s->attention = operands(run, t * d);
    s->x1 = floats(run, t * d);
    s->mean2 = floats(run, t);
    s->rstd2 = floats(run, t);
    s->norm2 = moe ? NULL : weight_input(run, run->normed, t * d);
    if (moe)
        s->routed = again && s->pass.plan.shape.others == 0
                        ? run->routed
                        : floats(run, (t + s->pass.plan.shape.others) * d);
    s->hidden = operands(run, (moe ? rows : t) * m);
    s->rows_in = weight_input(run, run->rows_in, rows * d);
    s->rows_out = operands(run, rows * d);
    plan_joined(run, s);
}

/* Every block's input, and what it keeps beside it: each on its own, or all in one place;
 * frozen ones, whose backward never comes, where the first other block lies. */
static void plan_blocks(vit_run *run)
{
    const size_t t = run->tokens, d = (size_t)run->config.width;
    const size_t depth = (size_t)run->config.depth, rows = rows_max(run);
    size_t most = 0;

    if (run->recompute == VIT_RECOMPUTE_ATTENTION) {
        run->routed = rows > 0 ? floats(run, t * d) : NULL;
        run->normed = run->mode == VIT_MODE_TRAIN ? operands(run, t * d) : NULL;
        run->rows_in = run->mode == VIT_MODE_TRAIN ? operands(run, rows * d) : NULL;
    }
    for (size_t i = 0; i < depth; i++)
        run->block[i].x = floats(run, t * d);
    run->last = floats(run, t * d);
    const size_t mark = run->arena.used;
    for (size_t i = 0; i < depth; i++) {
        plan_block(run, i);
        if (run->recompute != VIT_RECOMPUTE_BLOCK && !vit_block_frozen(run, i))
            continue;
        most = max_size(most, run->arena.used - mark);
        base_arena_rewind(&run->arena, mark);
    }
    if (run->arena.used < mark + most)
        base_arena_take(&run->arena, mark + most - run->arena.used, 1);
}

/* One set of buffers for all blocks of an inference run; what is used up within a block of
 * rows lives in the threads' scratch. */
static void plan_shared(vit_run *run)
{
    const size_t t = run->tokens, d = (size_t)run->config.width;
    const size_t rows = rows_max(run), n = run->tokens_per_image;
    float *x = floats(run, t * d), *mean = floats(run, t), *rstd = floats(run, t);
    float *routed = rows > 0 ? floats(run, (t + others_max(run)) * d) : NULL, *probs = NULL;
    void *qkv = operands(run, t * 3 * d), *attention = operands(run, t * d);
    void *rows_out = operands(run, rows * d);
    vit_block_state *first = &run->block[0];

    plan_qk(run, first);
    for (size_t i = 0; i < (size_t)run->config.depth; i++) {
        vit_block_state *s = &run->block[i];
        s->x = s->x1 = x;
        s->mean1 = s->mean2 = mean;
        s->rstd1 = s->rstd2 = rstd;
        s->qkv = qkv;
        s->attention = attention;
        s->qk_mean = first->qk_mean;
        s->qk_rstd = first->qk_rstd;
        s->routed = routed;
        s->rows_out = rows_out;
        if (s->router && s->router->wants_attention) {
            if (!probs)
                probs = floats(run, run->batch * (size_t)run->config.heads * n * n);
            s->probs_fp32 = probs;
        }
    }
    run->last = x;
}

static void plan_backward(vit_run *run)
{
    const size_t t = run->tokens, d = (size_t)run->config.width,
                 m = (size_t)run->config.mlp;
    const size_t rows = rows_max(run), n = run->tokens_per_image;

    run->d_logits = operands(run, run->batch * (size_t)run->config.classes);
    run->d_pooled = run->d_features = floats(run, run->batch * d);
    if (run->config.prelogits > 0) {
        run->d_features = floats(run, run->batch * vit_config_features(&run->config));
        run->d_hidden_in = operands(run, run->batch * vit_config_features(&run->config));
    }
    run->d_x = floats(run, t * d);
    run->d_norm = floats(run, (t + others_max(run)) * d);
    run->d_heads = run->d_norm;
    run->d_qkv = operands(run, t * 3 * d);
    run->d_branch = operands(run, t * d);
    run->d_hidden = run->active = run->d_rows_out = NULL;
    if (run->mode == VIT_MODE_TRAIN) {
        run->d_hidden = operands(run, max_size(t, rows) * m);
        run->active = operands(run, max_size(t, rows) * m);
        run->d_rows_out = operands(run, rows * d);
    }
    run->d_rows_in = operands(run, rows * d);
    run->d_gate = floats(run, rows);
    run->partial_width = max_size(5 * d, m + 3 * d); /* 4 D / H of qk_norm are fewer */
    const size_t blocks = max_size(vit_row_blocks(t) + (size_t)run->threads, run->batch);
    const size_t tasks =
        vit_row_blocks(rows) +
        (size_t)(rows ? run->config.moe.experts + run->config.moe.shared : 0);
    run->partial = floats(run, max_size(blocks, tasks) * run->partial_width);
    run->d_both = others_max(run) > 0 ? floats(run, (t + others_max(run)) * d) : NULL;
    for (size_t i = 0; i < run->moe_count; i++) {
        const vit_router *router = run->block[run->moe_block[i]].router;
        if (router->wants_attention && !run->d_attention)
            run->d_attention = floats(run, run->batch * (size_t)run->config.heads * n * n);
        if (router->join && !run->d_joined) {
            run->d_joined = floats(run, t * d);
            run->d_entered = router->join->enter ? floats(run, t * d) : NULL;
            run->d_carry = floats(run, t * d * router->join->carry_width);
        }
    }
}

static void plan(vit_run *run)
{
    const vit_config *c = &run->config;
    const size_t t = run->tokens, d = (size_t)c->width, n = run->tokens_per_image;
    const size_t patches = (size_t)(c->image / c->patch) * (size_t)(c->image / c->patch);
    const size_t patch_floats = (size_t)c->channels * (size_t)c->patch * (size_t)c->patch;

    run->d_attention = run->d_joined = NULL;
    run->patches = floats(run, run->batch * patches * patch_floats);
    run->sincos = c->position == VIT_POSITION_SINCOS ? floats(run, n * d) : NULL;
    if (c->pre_norm) {
        run->embedded = run->mode == VIT_MODE_INFER ? NULL : floats(run, t * d);
        run->pre_mean = floats(run, t);
        run->pre_rstd = floats(run, t);
    }
    if (run->mode == VIT_MODE_INFER)
        plan_shared(run);
    else
        plan_blocks(run);
    for (size_t i = 0; i < (size_t)c->depth; i++)
        for (size_t j = 0; j < 2; j++)
            run->block[i].branch_scale[j] = floats(run, run->batch);
    run->mixed = others_max(run) > 0 ? floats(run, t * d) : NULL;
    const float *carry = NULL;
    for (size_t i = 0; i < run->moe_count; i++) {
        vit_block_state *s = &run->block[run->moe_block[i]];
        plan_routing(run, s);
        if (s->router->join && !carry)
            carry = floats(run, t * d * s->router->join->carry_width); /* stays zero */
        s->carry_in = carry;
        carry = s->carry;
    }
    const bool pooled_first = c->pool == VIT_POOL_TOKEN || c->fc_norm;
    const size_t normed = pooled_first ? run->batch : t;
    run->pooled_in = floats(run, run->batch * d);
    run->mean = floats(run, normed);
    run->rstd = floats(run, normed);
    run->pooled = run->features = operands(run, run->batch * d);
    run->final_norm = pooled_first ? NULL : floats(run, t * d);
    if (c->prelogits > 0) {
        run->hidden = floats(run, run->batch * (size_t)c->prelogits);
        run->features = operands(run, run->batch * (size_t)c->prelogits);
    }
    if (run->mode != VIT_MODE_INFER)
        plan_backward(run);
    if (run->mode == VIT_MODE_TRAIN) {
        run->gradient_block = floats(run, vit_model_floats(run->model));
        run->tally = base_arena_take(&run->arena, run->moe_count * run->tally_count,
                                     sizeof *run->tally);
    }
    /* a block's rows of every width that a layer needs */
    const size_t block =
        VIT_ROWS * ((c->qk_norm ? 4 : 2) * d + 2 * max_size((size_t)c->mlp, 2 * d));
    run->scratch_floats = (max_size(vit_heads_scratch(run), block) + 63) / 64 * 64 + 64;
    run->scratch = floats(run, run->scratch_floats * (size_t)run->threads);
    run->share =
        base_arena_take(&run->arena, VIT_SHARES * (size_t)run->threads, sizeof *run->share);
    vit_profile_plan(run);
}

/* A run whose sizes are known but whose memory is not there yet. */
static void prepare(vit_run *run, const vit_model *model, const vit_router *router,
                    size_t batch, const vit_run_options *options)
{
    const vit_mode mode = options->mode;

    memset(run, 0, sizeof *run);
    run->model = model;
    run->config = *vit_model_config(model);
    run->mode = mode;
    run->recompute = mode == VIT_MODE_INFER ? VIT_RECOMPUTE_NONE : options->recompute;
    run->frozen = mode == VIT_MODE_TRAIN ? (size_t)options->frozen : 0;
    run->threads = omp_get_max_threads();
    run->batch = run->batch_max = batch;
    run->tokens_per_image = vit_config_tokens(&run->config);
    run->tokens = batch * run->tokens_per_image;
    run->kernels = vit_kernels_get();
    run->precision = options->precision;
    run->fp32 = &run->kernels->operand[VIT_PRECISION_FP32];
    run->operand = &run->kernels->operand[options->precision];
    run->operand_bytes =
        options->precision == VIT_PRECISION_BF16 ? sizeof(uint16_t) : sizeof(float);
    if (mode != VIT_MODE_TRAIN && router && router->eval_k &&
        vit_config_is_sparse(&run->config)) /* of this router, not of the named one */
        run->config.moe.k = (int)router->eval_k(&run->config);
    for (size_t i = 0; i < (size_t)run->config.depth; i++) {
        if (!run->config.moe.layer[i])
            continue;
        vit_block_state *s = &run->block[i];
        s->router = router;
        s->pass.plan.shape = vit_model_router_shape(model, batch);
        s->pass.plan.shape.config = &run->config.moe.router;
        s->pass.plan.shape.k = (size_t)run->config.moe.k;
        const bool training = mode == VIT_MODE_TRAIN && !vit_block_frozen(run, i);
        if (mode == VIT_MODE_TRAIN && !training && router->eval_k)
            s->pass.plan.shape.k = router->eval_k(&run->config);
        if (router->views && (training || router->views->always))
            s->pass.plan.shape.others = router->views->others(&s->pass.plan.shape);
        if (router->motion)
            run->tally_count = router->motion->count(&s->pass.plan.shape);
        if (run->moe_count > 0)
            s->pass.in.before = &run->block[run->moe_block[run->moe_count - 1]].pass;
        s->moe_index = run->moe_count;
        run->moe_block[run->moe_count++] = i;
    }
}

/* NULL for a dense model, whose config may name anything. */
static const vit_router *router_of(const vit_model *model)
{
    return vit_router_find(vit_model_config(model)->moe.router.name);
}

size_t vit_run_bytes(const vit_model *model, size_t batch, vit_mode mode)
{
    return vit_run_bytes_options(model, batch, &(vit_run_options){.mode = mode});
}

size_t vit_run_bytes_options(const vit_model *model, size_t batch,
                             const vit_run_options *options)
{
    vit_run *run = base_alloc(1, sizeof *run);
    if (!run)
        return 0;
    prepare(run, model, router_of(model), batch, options);
    plan(run);
    const size_t bytes = run->arena.used;
    base_free(run);
    return bytes;
}

/* Every linear layer of the network, for packing: the list that VIT_LINEAR_* number. */
static size_t linears_list(vit_linear *out, vit_run *run)
{
    const vit_config *c = &run->config;
    const vit_parameters *w = &run->weights;
    const size_t d = (size_t)c->width, m = (size_t)c->mlp, classes = (size_t)c->classes;
    const size_t patch = (size_t)c->channels * (size_t)c->patch * (size_t)c->patch;
    size_t count = 0;

    out[count++] = (vit_linear){w->patch_weight, w->patch_bias, d, patch};
    out[count++] =
        (vit_linear){w->head_weight, w->head_bias, classes, vit_config_features(c)};
    for (size_t i = 0; i < (size_t)c->depth; i++) {
        const vit_block_parameters *b = &w->block[i];
        const size_t experts = c->moe.layer[i] ? (size_t)c->moe.experts : 1;

        run->block[i].linear = count;
        out[count++] = (vit_linear){b->qkv_weight, b->qkv_bias, 3 * d, d};
        out[count++] = (vit_linear){b->proj_weight, b->proj_bias, d, d};
        for (size_t e = 0; e < experts; e++) {
            out[count++] =
                (vit_linear){b->fc1_weight + e * m * d, b->fc1_bias + e * m, m, d};
            out[count++] =
                (vit_linear){b->fc2_weight + e * d * m, b->fc2_bias + e * d, d, m};
        }
        for (size_t e = 0; c->moe.layer[i] && e < (size_t)c->moe.shared; e++) {
            out[count++] = (vit_linear){b->shared_fc1_weight + e * m * d,
                                        b->shared_fc1_bias + e * m, m, d};
            out[count++] = (vit_linear){b->shared_fc2_weight + e * d * m,
                                        b->shared_fc2_bias + e * d, d, m};
        }
    }
    run->hidden_linear = count;
    if (c->prelogits > 0)
        out[count++] =
            (vit_linear){w->hidden_weight, w->hidden_bias, (size_t)c->prelogits, d};
    return count;
}

static base_status products_create(vit_run *run, base_error *err)
{
    const size_t most =
        VIT_LINEAR_BLOCKS + 1 +
        (size_t)run->config.depth * (2 + 2 * max_size(1, (size_t)(run->config.moe.experts +
                                                                  run->config.moe.shared)));
    vit_linear *list = base_alloc(most, sizeof *list);

    if (!list)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a run");
    const vit_products_plan plan = {.precision = run->precision,
                                    .threads = run->threads,
                                    .backward = run->mode != VIT_MODE_INFER,
                                    .count = linears_list(list, run),
                                    .linears = list,
                                    .result_floats = run->scratch_floats};
    const base_status status = vit_products_create(&run->exec.products, &plan, err);
    base_free(list);
    return status;
}

base_status vit_run_create(vit_run **out, const vit_model *model, size_t batch,
                           vit_mode mode, vit_precision precision, base_error *err)
{
    return vit_run_create_options(
        out, model, batch, &(vit_run_options){.mode = mode, .precision = precision}, err);
}

base_status vit_run_create_options(vit_run **out, const vit_model *model, size_t batch,
                                   const vit_run_options *options, base_error *err)
{
    return vit_run_create_with(out, model, router_of(model), batch, options, err);
}

base_status vit_run_create_with(vit_run **out, const vit_model *model,
                                const vit_router *router, size_t batch,
                                const vit_run_options *options, base_error *err)
{
    if (batch == 0)
        return base_fail(err, BASE_USAGE, "batch is 0, expected at least 1 image");
    size_t tokens;
    if (!base_mul_size(&tokens, batch, vit_config_tokens(vit_model_config(model))) ||
        tokens > UINT32_MAX / VIT_EXPERTS_MAX)
        return base_fail(err, BASE_USAGE, "batch %zu is too large", batch);
    vit_run *run = base_alloc(1, sizeof *run);
    if (!run)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a run");
    prepare(run, model, router, batch, options);
    plan(run);
    const size_t bytes = run->arena.used;
    run->arena = (base_arena){.at = base_alloc(bytes, 1), .bytes = bytes};
    if (!run->arena.at) {
        base_free(run);
        return base_fail(err, BASE_NO_MEMORY,
                         "no memory for a batch of %zu: %.1f GiB needed", batch,
                         (double)bytes / (double)(1 << 30));
    }
    plan(run);
    vit_run_profile(run, false);
    run->weights =
        vit_parameters_at(model, (float *)(uintptr_t)vit_model_weights_const(model));
    if (run->mode == VIT_MODE_TRAIN)
        run->gradients = vit_parameters_at(model, run->gradient_block);
    if (run->sincos)
        vit_position_sincos(run->sincos, &run->config);
    const base_status status = products_create(run, err);
    if (status != BASE_OK) {
        vit_run_destroy(run);
        return status;
    }
    *out = run;
    return BASE_OK;
}

void vit_run_destroy(vit_run *run)
{
    if (!run)
        return;
    vit_products_destroy(run->exec.products);
    base_free(run->arena.at);
    base_free(run);
}
