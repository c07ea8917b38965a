/* run.c - the plan of a pass, which pass.c makes: sizes all memory once.
 *
 * plan() is walked twice over the same arena, first to measure, then to hand out; so the size cannot
 * disagree with the use. A training run keeps every block's state; an inference run lets all blocks
 * share one. Relied on elsewhere: no allocation after create. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "vit/run_internal.h"

float *vit_scratch(const vit_run *run)
{
    return run->scratch + (size_t)omp_get_thread_num() * run->scratch_floats;
}

void vit_partial_add(float *sum, const vit_run *run, size_t blocks, size_t at, size_t n)
{
    for (size_t b = 0; b < blocks; b++)
        run->kernels->axpy(sum, 1.0f, run->partial + b * run->partial_width + at, n);
}

/* ---- planning ---------------------------------------------------------------------------- */

static float *floats(vit_run *run, size_t count)
{
    return base_arena_take(&run->arena, count, sizeof(float));
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Where tokens went must outlive the pass in every mode: metrics read it. */
static void plan_routing(vit_run *run, vit_block_state *s)
{
    const vit_router_shape *shape = &s->pass.shape;
    const size_t count = s->pass.shape.views * s->router->assignments(shape),
                 t = shape->tokens, e = shape->experts;
    base_arena *arena = &run->arena;
    s->pass.probs = base_arena_take(arena, t * e, sizeof(double));
    s->pass.start = base_arena_take(arena, s->pass.shape.views * t + 1, sizeof(uint32_t));
    s->pass.token = base_arena_take(arena, count, sizeof(uint32_t));
    s->pass.expert = base_arena_take(arena, count, sizeof(uint16_t));
    s->pass.gate = base_arena_take(arena, count, sizeof(float));
    s->pass.state = base_arena_take(arena, s->router->state_bytes(shape), 1);
    s->pass.exec = &run->exec;
    s->dispatch.row = base_arena_take(arena, count, sizeof(uint32_t));
    s->dispatch.kept = base_arena_take(arena, count, sizeof(bool));
    s->dispatch.assignment = base_arena_take(arena, count, sizeof(uint32_t));
    s->dispatch.scratch = base_arena_take(arena, 2 * t + 2 * e + 2, sizeof(uint32_t));
    if (s->pass.shape.views > 1)
        s->both = floats(run, s->pass.shape.views * t * (size_t)run->config.width);
    if (s->router->join) {
        const size_t d = (size_t)run->config.width;
        s->joined = floats(run, t * d);
        s->entered = s->router->join->enter ? floats(run, t * d) : NULL;
        s->carry = floats(run, t * d * s->router->join->carry_width);
    }
}

/* Rows that the experts of a layer work on at most: 0 in a dense network. */
static size_t rows_max(const vit_run *run)
{
    size_t rows = 0;
    for (size_t i = 0; i < (size_t)run->config.depth; i++)
        if (run->config.moe.layer[i])
            rows = run->block[i].pass.shape.views *
                   run->block[i].router->assignments(&run->block[i].pass.shape);
    return rows;
}

/* Views of the tokens in the MoE layers, 1 without any. */
static size_t views_max(const vit_run *run)
{
    return run->moe_count > 0 ? run->block[run->moe_block[0]].pass.shape.views : 1;
}

static void plan_block(vit_run *run, size_t i, bool wants_probs)
{
    vit_block_state *s = &run->block[i];
    const size_t t = run->tokens, d = (size_t)run->config.width,
                 m = (size_t)run->config.mlp;
    const size_t n = run->tokens_per_image;
    const bool moe = run->config.moe.layer[i];
    const size_t rows = moe ? rows_max(run) : 0;

    s->mean1 = floats(run, t);
    s->rstd1 = floats(run, t);
    s->norm1 = floats(run, t * d);
    s->qkv = floats(run, t * 3 * d);
    s->probs =
        wants_probs ? floats(run, run->batch * (size_t)run->config.heads * n * n) : NULL;
    s->attention = floats(run, t * d);
    s->x1 = floats(run, t * d);
    s->mean2 = floats(run, t);
    s->rstd2 = floats(run, t);
    s->norm2 = floats(run, (moe ? s->pass.shape.views : 1) * t * d);
    s->hidden = floats(run, (moe ? rows : t) * m);
    s->active = floats(run, (moe ? rows : t) * m);
    s->rows_in = floats(run, rows * d);
    s->rows_out = floats(run, rows * d);
}

/* One set of buffers for all blocks of an inference run. */
static void plan_shared(vit_run *run)
{
    vit_block_state shared = {0};
    const size_t t = run->tokens, d = (size_t)run->config.width,
                 m = (size_t)run->config.mlp;
    const size_t rows = rows_max(run), n = run->tokens_per_image;
    float *x = floats(run, t * d), *mean = floats(run, t), *rstd = floats(run, t);
    float *normed = floats(run, t * d);

    shared.qkv = floats(run, t * 3 * d);
    shared.attention = floats(run, t * d);
    shared.hidden = floats(run, max_size(t, rows) * m);
    shared.rows_in = floats(run, rows * d);
    shared.rows_out = floats(run, rows * d);
    for (size_t i = 0; i < (size_t)run->config.depth; i++) {
        vit_block_state *s = &run->block[i];
        s->x = s->x1 = x;
        s->mean1 = s->mean2 = mean;
        s->rstd1 = s->rstd2 = rstd;
        s->norm1 = s->norm2 = normed;
        s->qkv = shared.qkv;
        s->attention = shared.attention;
        s->hidden = s->active = shared.hidden;
        s->rows_in = shared.rows_in;
        s->rows_out = shared.rows_out;
        if (s->router && s->router->wants_attention) {
            if (!shared.probs)
                shared.probs = floats(run, run->batch * (size_t)run->config.heads * n * n);
            s->probs = shared.probs;
        }
    }
    run->last = x;
}

static void plan_backward(vit_run *run)
{
    const size_t t = run->tokens, d = (size_t)run->config.width,
                 m = (size_t)run->config.mlp;
    const size_t rows = rows_max(run), n = run->tokens_per_image;

    run->d_pooled = floats(run, run->batch * d);
    run->d_x = floats(run, t * d);
    run->d_norm = floats(run, views_max(run) * t * d);
    run->d_qkv = floats(run, t * 3 * d);
    run->d_hidden = floats(run, max_size(t, rows) * m);
    run->d_branch = floats(run, t * d);
    run->d_rows_out = floats(run, rows * d);
    run->d_rows_in = floats(run, rows * d);
    run->d_gate = floats(run, rows);
    run->partial_width = max_size(5 * d, m + 3 * d);
    const size_t blocks = max_size(vit_row_blocks(t), run->batch);
    const size_t tasks =
        vit_row_blocks(rows) + (size_t)(rows ? run->config.moe.experts : 0);
    run->partial = floats(run, max_size(blocks, tasks) * run->partial_width);
    run->d_both = views_max(run) > 1 ? floats(run, 2 * t * d) : NULL;
    run->mixed = views_max(run) > 1 ? floats(run, t * d) : NULL;
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
    if (run->mode == VIT_MODE_INFER) {
        plan_shared(run);
    } else {
        run->block[0].x = floats(run, t * d);
        for (size_t i = 0; i < (size_t)c->depth; i++) {
            plan_block(run, i, true);
            float *next = floats(run, t * d);
            if (i + 1 < (size_t)c->depth)
                run->block[i + 1].x = next;
            else
                run->last = next;
        }
    }
    for (size_t i = 0; i < (size_t)c->depth; i++)
        for (size_t j = 0; j < 2; j++)
            run->block[i].branch_scale[j] = floats(run, run->batch);
    const float *carry = NULL;
    for (size_t i = 0; i < run->moe_count; i++) {
        vit_block_state *s = &run->block[run->moe_block[i]];
        plan_routing(run, s);
        if (s->router->join && !carry)
            carry = floats(run, t * d * s->router->join->carry_width); /* stays zero */
        s->carry_in = carry;
        carry = s->carry;
    }
    const size_t normed = c->pool == VIT_POOL_TOKEN ? run->batch : t;
    run->pooled_in = floats(run, run->batch * d);
    run->mean = floats(run, normed);
    run->rstd = floats(run, normed);
    run->pooled = floats(run, run->batch * d);
    run->final_norm = c->pool == VIT_POOL_GAP ? floats(run, t * d) : NULL;
    if (run->mode != VIT_MODE_INFER)
        plan_backward(run);
    if (run->mode == VIT_MODE_TRAIN)
        run->gradient_block = floats(run, vit_model_floats(run->model));
    run->scratch_floats = max_size(n * n, VIT_ROWS * d) + 16;
    run->scratch = floats(run, run->scratch_floats * (size_t)run->threads);
    vit_profile_plan(run);
}

/* A run whose sizes are known but whose memory is not there yet. */
static void prepare(vit_run *run, const vit_model *model, const vit_router *router,
                    size_t batch, vit_mode mode)
{
    memset(run, 0, sizeof *run);
    run->model = model;
    run->config = *vit_model_config(model);
    run->mode = mode;
    run->threads = omp_get_max_threads();
    run->batch = run->batch_max = batch;
    run->tokens_per_image = vit_config_tokens(&run->config);
    run->tokens = batch * run->tokens_per_image;
    run->kernels = vit_kernels_get();
    if (mode != VIT_MODE_TRAIN && router && router->eval_k &&
        vit_config_is_sparse(&run->config)) /* of this router, not of the named one */
        run->config.moe.k = (int)router->eval_k(&run->config);
    for (size_t i = 0; i < (size_t)run->config.depth; i++) {
        if (!run->config.moe.layer[i])
            continue;
        vit_block_state *s = &run->block[i];
        s->router = router;
        s->pass.shape = vit_model_router_shape(model, batch);
        s->pass.shape.config = &run->config.moe.router;
        s->pass.shape.k = (size_t)run->config.moe.k;
        s->pass.shape.views = mode == VIT_MODE_TRAIN && router->views ? 2 : 1;
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
    vit_run *run = base_alloc(1, sizeof *run);
    if (!run)
        return 0;
    prepare(run, model, router_of(model), batch, mode);
    plan(run);
    const size_t bytes = run->arena.used;
    base_free(run);
    return bytes;
}

static base_status bf16_create(vit_run *run, base_error *err)
{
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    const size_t n = run->tokens_per_image, classes = (size_t)run->config.classes;
    const size_t patch = (size_t)run->config.channels * (size_t)run->config.patch *
                         (size_t)run->config.patch;
    const size_t wide = max_size(max_size(3 * d, m), max_size(classes, patch));
    const size_t rows = max_size(run->tokens, rows_max(run)) + VIT_ROWS;
    const size_t images = run->batch + VIT_ROWS; /* rows of the head */
    return vit_bf16_create(
        &run->exec.bf16,
        &(vit_bf16_plan){
            .weights = vit_model_weights_const(run->model),
            .weight_floats = vit_model_floats(run->model),
            .threads = run->threads,
            .block_floats = max_size(n + VIT_ROWS, VIT_ROWS) * max_size(wide, n),
            .wide_floats = rows * wide,
            .result_floats = max_size(images * max_size(classes, d), wide * wide),
        },
        err);
}

base_status vit_run_create(vit_run **out, const vit_model *model, size_t batch,
                           vit_mode mode, vit_precision precision, base_error *err)
{
    return vit_run_create_with(out, model, router_of(model), batch, mode, precision, err);
}

base_status vit_run_create_with(vit_run **out, const vit_model *model,
                                const vit_router *router, size_t batch, vit_mode mode,
                                vit_precision precision, base_error *err)
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
    prepare(run, model, router, batch, mode);
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
        vit_parameters_at(model, vit_model_weights((vit_model *)(uintptr_t)model));
    if (mode == VIT_MODE_TRAIN)
        run->gradients = vit_parameters_at(model, run->gradient_block);
    if (run->sincos)
        vit_position_sincos(run->sincos, &run->config);
    const base_status status =
        precision == VIT_PRECISION_BF16 ? bf16_create(run, err) : BASE_OK;
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
    vit_bf16_destroy(run->exec.bf16);
    base_free(run->arena.at);
    base_free(run);
}
