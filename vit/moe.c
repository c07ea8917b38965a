/* moe.c - the sparse block's second half: x_next = x1 + sum_e gate_e * expert_e(norm2(x1)).
 * Follows Riquelme et al. 2021, "Scaling Vision with Sparse Mixture of Experts", section 2;
 * which token meets which expert is the router's business (routers/), who is dropped is
 * dispatch.c's.
 *
 * Assignments are sorted by expert, so an expert's tokens are contiguous rows. A task is
 * one block of rows of one expert: gather, fc1, GELU, fc2 in the cache of one thread. Small
 * experts and large ones share the threads evenly; an expert's last block is padded to
 * VIT_ROWS_MULTIPLE. A router with another view of the tokens (S2MoE in training, Soft MoE)
 * has T + others of them here: the rows of the view follow the norm's in `routed`. Experts
 * that every token shares are E, E + 1, ... here; they see the T tokens and are added to
 * whatever the router makes of the others (Dai et al. 2024, DeepSeekMoE). Relied on
 * elsewhere: dropped assignments have gate gradient 0 and touch no expert. */
#include <string.h>

#include "vit/moe_tasks_internal.h"

/* Zeroes the rows behind a block's, [.., D]. */
static void padding_clear(const vit_run *run, const vit_expert_block *b, void *rows)
{
    const size_t d = (size_t)run->config.width;
    memset(vit_at(run, rows, b->rows * d), 0,
           (b->padded - b->rows) * d * run->operand_bytes);
}

static uint64_t expert_site(size_t i, uint64_t site, size_t e)
{
    return 8 * i + site + 1024 * (1 + (uint64_t)e);
}

/* Dropout of rows of one expert; the mask belongs to the token, wherever its row lies. */
static void expert_dropout(void *y, const vit_run *run, size_t i, uint64_t site,
                           const vit_expert_block *b, size_t n)
{
    const vit_block_state *s = &run->block[i];
    for (size_t r = 0; r < b->rows; r++) {
        const size_t token = s->pass.out.token[s->dispatch.assignment[b->assignment + r]];
        const uint64_t view = token >= run->tokens; /* a mask of its own */
        const uint64_t first =
            view ? run->step.first_sample * s->pass.plan.shape.others / run->batch
                 : run->step.first_sample * run->tokens_per_image;
        vit_dropout(run->operand, vit_at(run, y, r * n), run->operand_bytes, 1, n,
                    run->config.moe.dropout, &run->step,
                    expert_site(i, site, b->expert) + (view << 32),
                    first + token - view * run->tokens);
    }
}

static bool is_shared(const vit_run *run, size_t expert)
{
    return expert >= (size_t)run->config.moe.experts;
}

/* All experts of a layer, shared ones behind. */
static size_t experts_all(const vit_run *run)
{
    return (size_t)(run->config.moe.experts + run->config.moe.shared);
}

/* Stochastic depth of a token's result; what a router mixes of two views is scaled after
 * that. */
static float token_scale(const vit_run *run, const vit_block_state *s, size_t expert,
                         size_t t)
{
    return s->pass.plan.shape.others > 0 && !is_shared(run, expert)
               ? 1.0f
               : s->branch_scale[1][t / run->tokens_per_image];
}

/* in [padded, D] = what the router read of the rows' tokens. */
static void gather(const vit_run *run, const vit_block_state *s, const vit_expert_block *b,
                   void *in)
{
    const size_t d = (size_t)run->config.width;

    for (size_t r = 0; r < b->rows; r++)
        run->operand->round(
            vit_at(run, in, r * d), 1.0f,
            s->routed + s->pass.out.token[s->dispatch.assignment[b->assignment + r]] * d,
            d);
    padding_clear(run, b, in);
}

static void block_forward(vit_run *run, size_t i, const vit_expert_block *b)
{
    const vit_block_state *s = &run->block[i];
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    const size_t linear = s->linear + 2 * b->expert;
    const bool drop = run->training && run->config.moe.dropout > 0;
    float *scratch = vit_scratch(run);
    void *active = scratch + VIT_ROWS * d;
    void *in = vit_at_or(run, s->rows_in, b->first * d, scratch);
    void *hidden = vit_at_or(run, s->hidden, b->first * m, active);
    void *out = vit_at(run, s->rows_out, b->first * d);
    double mark = vit_lap_start(run);

    gather(run, s, b, in);
    vit_lap(run, &mark, VIT_PART_DISPATCH);
    vit_linear_forward(&run->exec, linear + VIT_LINEAR_FC1, b->padded, in, hidden, false);
    run->operand->gelu(active, hidden, b->padded * m, run->config.gelu == VIT_GELU_TANH);
    if (drop)
        expert_dropout(active, run, i, VIT_SITE_EXPERT_HIDDEN, b, m);
    vit_linear_forward(&run->exec, linear + VIT_LINEAR_FC2, b->padded, active, out, false);
    if (drop)
        expert_dropout(out, run, i, VIT_SITE_EXPERT, b, d);
    vit_lap(run, &mark, VIT_PART_EXPERTS);
}

static void experts_forward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    vit_expert_tasks tasks = {0};
    vit_expert_tasks_plan(&tasks, &s->dispatch, experts_all(run));
    vit_expert_places_plan(s, tasks.experts);

    vit_share_cut(run, 0, tasks.first[tasks.experts]);
#pragma omp parallel num_threads(run->threads)
    for (size_t index; vit_share_take(run, 0, &index);) {
        const vit_expert_block b = vit_expert_task_block(
            &tasks, s, vit_expert_task_at(&tasks, &s->dispatch, index));
        block_forward(run, i, &b);
    }
}

/* row [D] = base (NULL: 0; may be row) */
static void row_start(float *row, const float *base, size_t d)
{
    if (!base)
        memset(row, 0, d * sizeof *row);
    else if (base != row)
        memcpy(row, base, d * sizeof *row);
}

/* row [D] += scale times a token's results, weighted by its gates. */
static void token_add(const vit_run *run, const vit_block_state *s, float *row, size_t t,
                      float scale)
{
    const size_t d = (size_t)run->config.width;
    for (size_t a = s->pass.out.start[t]; a < s->pass.out.start[t + 1]; a++)
        if (s->dispatch.kept[a])
            run->operand->axpy(row, scale * s->pass.out.gate[a],
                               vit_at(run, s->rows_out, vit_expert_row(s, a) * d), d);
}

/* row [D] += scale times what the shared experts made of token t. */
static void shared_add(const vit_run *run, const vit_block_state *s, float *row, size_t t,
                       float scale)
{
    const size_t d = (size_t)run->config.width;
    for (size_t j = 0; j < (size_t)run->config.moe.shared; j++)
        run->operand->axpy(
            row, scale,
            vit_at(run, s->rows_out,
                   vit_expert_row(s, s->pass.out.count + j * run->tokens + t) * d),
            d);
}

/* The results of both views, and what the router mixes of them. */
static void views_forward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const size_t d = (size_t)run->config.width;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t t = 0; t < run->tokens + s->pass.plan.shape.others; t++) {
        row_start(s->both + t * d, NULL, d);
        token_add(run, s, s->both + t * d, t, 1.0f);
    }
    s->router->views->mix(&s->pass, run->mixed, s->both);
}

static bool is_normed(const vit_run *run, const vit_router_join *join)
{
    return join && join->normed && join->normed(&run->config.moe.router);
}

/* Adds each token's results, weighted by its gates, to the stream: x_next = x1 + scale *
 * sum, or what the router makes of both. */
static void combine(vit_run *run, size_t i, float *x_next)
{
    const vit_block_state *s = &run->block[i];
    const vit_router_join *join = s->router->join;
    const size_t d = (size_t)run->config.width;
    const float *base = join ? NULL : s->x1;
    float *out = join ? s->joined : x_next;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += run->block_rows) {
        const size_t end = vit_min(run->tokens, first + run->block_rows);
        double mark = vit_lap_start(run);
        for (size_t t = first; t < end; t++) {
            const float scale = s->branch_scale[1][t / run->tokens_per_image];
            float *row = out + t * d;
            row_start(row, base ? base + t * d : NULL, d);
            if (s->pass.plan.shape.others > 0)
                run->fp32->axpy(row, scale, run->mixed + t * d, d);
            else
                token_add(run, s, row, t, scale);
            shared_add(run, s, row, t, scale);
        }
        if (join) {
            const size_t at = first * d, carried = at * join->carry_width;
            join->forward(x_next + at, s->carry + carried, s->x1 + at, s->joined + at,
                          s->carry_in + carried, (end - first) * d, (int)s->moe_index,
                          &run->config.moe.router);
            if (is_normed(run, join)) {
                float *mean = vit_scratch(run);
                run->fp32->norm(x_next + at, mean, mean + run->block_rows, x_next + at,
                                s->pass.in.param[join->norm_weight],
                                s->pass.in.param[join->norm_weight + 1], end - first, d,
                                (float)run->config.eps);
            }
        }
        vit_lap(run, &mark, VIT_PART_COMBINE);
    }
}

/* What the layer's norm reads: the stream, unless the router enters it elsewhere. */
const float *vit_moe_entry(const vit_block_state *s)
{
    return s->router->join && s->router->join->enter ? s->entered : s->x1;
}

/* What the router's pass over this batch is given. */
static void pass_begin(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_moe_config *moe = &run->config.moe;
    const size_t d = (size_t)run->config.width;
    vit_router_pass *pass = &s->pass;
    pass->plan.shape.tokens = run->tokens;
    if (moe->group_images == 0)
        pass->plan.shape.group_tokens = run->tokens;
    pass->in.x = s->routed;
    if (pass->plan.shape.others > 0) /* by the plan; of this batch */
        pass->plan.shape.others = s->router->views->others(&pass->plan.shape);
    pass->out.view = pass->plan.shape.others > 0 ? s->routed + run->tokens * d : NULL;
    pass->in.attention = s->probs_fp32;
    pass->in.training = run->training;
    pass->in.seed = run->step.seed;
    pass->in.step = run->step.step;
    pass->in.steps = run->step.steps;
    pass->in.layer = i;
    pass->in.first_token = run->step.first_sample * run->tokens_per_image;
    pass->in.loss_scale = run->step.loss_scale;
    pass->in.fixed_step = vit_run_set_count(run);
    pass->in.fixed =
        run->fixed ? run->fixed + s->moe_index * run->tokens_per_image * (size_t)moe->k
                   : NULL;
    for (size_t p = 0; p < VIT_ROUTER_PARAMETERS_MAX; p++)
        pass->in.param[p] = run->weights.block[i].router[p];
}

/* What experts are given: the stream, or what a router makes of it, normalised. */
static void enter(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const vit_moe_config *moe = &run->config.moe;
    const vit_router_join *join = s->router->join;
    const size_t d = (size_t)run->config.width;
    const float *in = vit_moe_entry(s);

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += run->block_rows) {
        const size_t rows = vit_min(run->block_rows, run->tokens - first), at = first * d;
        double mark = vit_lap_start(run);
        if (join && join->enter)
            join->enter(s->entered + at, s->x1 + at, s->carry_in + at * join->carry_width,
                        rows * d, (int)s->moe_index, &moe->router);
        vit_lap(run, &mark, VIT_PART_COMBINE);
        run->fp32->norm(s->routed + at, s->mean2 + first, s->rstd2 + first, in + at,
                        w->norm2_weight, w->norm2_bias, rows, d, (float)run->config.eps);
        vit_lap(run, &mark, VIT_PART_NORM);
    }
}

/* Which experts each token goes to, and where its rows lie. */
static void choose(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_moe_config *moe = &run->config.moe;
    const double start = base_seconds();
    double alone = vit_lap_start(run);
    vit_router_pass *pass = &s->pass;
    pass_begin(run, i);
    if (s->router->alter)
        s->router->alter(pass, s->routed);
    vit_router_forward(s->router, pass);
    vit_lap_alone(run, &alone, VIT_PART_ROUTER);
    vit_dispatch_build(&s->dispatch, pass->out.start, pass->out.expert, pass->out.gate,
                       run->tokens + pass->plan.shape.others,
                       &(vit_dispatch_rule){
                           .view_tokens = run->tokens,
                           .group_tokens = pass->plan.shape.group_tokens,
                           .experts = (size_t)moe->experts,
                           .capacity = run->training ? moe->capacity : moe->eval_capacity,
                           .multiple = moe->capacity_multiple,
                           .k = pass->plan.shape.k,
                           .bpr = run->training ? moe->bpr : moe->eval_bpr,
                       });
    vit_dispatch_share(&s->dispatch, pass->out.token, pass->out.expert, pass->out.gate,
                       pass->out.count, run->tokens, (size_t)moe->experts,
                       (size_t)moe->shared);
    if (!run->again)
        s->seconds = base_seconds() - start;
    vit_lap_alone(run, &alone, VIT_PART_DISPATCH);
}

void vit_moe_forward(vit_run *run, size_t i, float *x_next)
{
    const vit_block_state *s = &run->block[i];

    enter(run, i);
    choose(run, i);
    experts_forward(run, i);
    double alone = vit_lap_start(run);
    if (s->pass.plan.shape.others > 0)
        views_forward(run, i);
    vit_lap_alone(run, &alone, VIT_PART_COMBINE);
    if (!run->again ||
        s->router->join) /* backward reads what a router joins, and nothing else of this */
        combine(run, i, x_next);
}

/* Gradients of gates, rows and rows' inputs, and what the weight products need. */
static void block_backward(vit_run *run, size_t i, const vit_expert_block *b, float *sums,
                           const float *d_y)
{
    const vit_block_state *s = &run->block[i];
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    const size_t linear = s->linear + 2 * b->expert;
    const bool drop = run->training && run->config.moe.dropout > 0;
    const bool train = run->mode == VIT_MODE_TRAIN;
    float *scratch = vit_scratch(run);
    void *hidden_here = vit_at(run, scratch, VIT_ROWS * d);
    void *d_out = vit_at_or(run, run->d_rows_out, b->first * d, scratch);
    void *d_hidden = vit_at_or(run, run->d_hidden, b->first * m, hidden_here);
    void *active =
        vit_at_or(run, run->active, b->first * m, vit_at(run, hidden_here, VIT_ROWS * m));
    double mark = vit_lap_start(run);

    for (size_t r = 0; r < b->rows; r++) {
        const size_t a = s->dispatch.assignment[b->assignment + r],
                     t = s->pass.out.token[a];
        const float scale = token_scale(run, s, b->expert, t);
        run->d_gate[a] =
            scale *
            run->operand->dot(d_y + t * d, vit_at(run, s->rows_out, (b->first + r) * d), d);
        run->operand->round(vit_at(run, d_out, r * d), scale * s->pass.out.gate[a],
                            d_y + t * d, d);
    }
    padding_clear(run, b, d_out);
    vit_lap(run, &mark, VIT_PART_COMBINE);
    if (train && run->recompute == VIT_RECOMPUTE_ATTENTION)
        gather(run, s, b, vit_at(run, s->rows_in, b->first * d));
    vit_lap(run, &mark, VIT_PART_DISPATCH);
    if (drop)
        expert_dropout(d_out, run, i, VIT_SITE_EXPERT, b, d);
    vit_linear_backward(&run->exec, linear + VIT_LINEAR_FC2, b->padded, d_out, d_hidden,
                        false);
    if (drop)
        expert_dropout(d_hidden, run, i, VIT_SITE_EXPERT_HIDDEN, b, m);
    run->operand->gelu_backward(d_hidden, active, vit_at(run, s->hidden, b->first * m),
                                b->padded * m, run->config.gelu == VIT_GELU_TANH);
    if (drop && train)
        expert_dropout(active, run, i, VIT_SITE_EXPERT_HIDDEN, b, m);
    vit_linear_backward(&run->exec, linear + VIT_LINEAR_FC1, b->padded, d_hidden,
                        vit_at(run, run->d_rows_in, b->first * d), false);
    if (train) {
        memset(sums, 0, (m + d) * sizeof *sums);
        run->operand->column_sum(sums, d_hidden, b->rows, m);
        run->operand->column_sum(sums + m, d_out, b->rows, d);
    }
    vit_lap(run, &mark, VIT_PART_EXPERTS);
}

static void experts_weights_backward(vit_run *run, size_t i, const vit_expert_tasks *tasks)
{
    const vit_block_state *s = &run->block[i];
    const vit_block_parameters *g = &run->gradients.block[i];
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    vit_gradient list[2 * VIT_EXPERTS_MAX];

    for (size_t e = 0; e < tasks->experts; e++) {
        const size_t own = is_shared(run, e) ? e - (size_t)run->config.moe.experts : e;
        float *const fc1 = is_shared(run, e) ? g->shared_fc1_weight : g->fc1_weight;
        float *const fc2 = is_shared(run, e) ? g->shared_fc2_weight : g->fc2_weight;
        float *const bias1 = is_shared(run, e) ? g->shared_fc1_bias : g->fc1_bias;
        float *const bias2 = is_shared(run, e) ? g->shared_fc2_bias : g->fc2_bias;
        const size_t first = s->place[e];
        const size_t rows = s->dispatch.offset[e + 1] - s->dispatch.offset[e];
        const void *d_out = vit_at(run, run->d_rows_out, first * d);
        const void *d_hidden = vit_at(run, run->d_hidden, first * m);
        list[2 * e] = (vit_gradient){
            d, m, rows, d_out, vit_at(run, run->active, first * m), fc2 + own * d * m};
        list[2 * e + 1] = (vit_gradient){
            m, d, rows, d_hidden, vit_at(run, s->rows_in, first * d), fc1 + own * m * d};
        for (size_t task = tasks->first[e]; task < tasks->first[e + 1]; task++) {
            const float *sums = run->partial + task * run->partial_width;
            run->fp32->axpy(bias1 + own * m, 1.0f, sums, m);
            run->fp32->axpy(bias2 + own * d, 1.0f, sums + m, d);
        }
    }
    vit_gradients_add(run, list, 2 * tasks->experts);
}

/* d_norm = the gradient of the norm's output from each token's rows, to which the router's
 * is added. */
static void rows_home(vit_run *run, size_t i)
{
    const vit_block_state *s = &run->block[i];
    const size_t d = (size_t)run->config.width,
                 tokens = run->tokens + s->pass.plan.shape.others;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < tokens; first += run->block_rows) {
        const size_t end = vit_min(tokens, first + run->block_rows);
        double mark = vit_lap_start(run);
        memset(run->d_norm + first * d, 0, (end - first) * d * sizeof *run->d_norm);
        for (size_t t = first; t < end; t++)
            for (size_t a = s->pass.out.start[t]; a < s->pass.out.start[t + 1]; a++)
                if (s->dispatch.kept[a])
                    run->operand->axpy(
                        run->d_norm + t * d, 1.0f,
                        vit_at(run, run->d_rows_in, vit_expert_row(s, a) * d), d);
        for (size_t t = first; t < vit_min(end, run->tokens); t++)
            for (size_t j = 0; j < (size_t)run->config.moe.shared; j++)
                run->operand->axpy(
                    run->d_norm + t * d, 1.0f,
                    vit_at(run, run->d_rows_in,
                           vit_expert_row(s, s->pass.out.count + j * run->tokens + t) * d),
                    d);
        vit_lap(run, &mark, VIT_PART_DISPATCH);
    }
}

/* The gradient of what a join's norm was given, in place of that of its result: rows
 * first .. of run->d_x. The norm's input is made again. sums [2D]: adds to the gradients of
 * its weight and bias. */
static void leave_norm_backward(vit_run *run, size_t i, size_t first, size_t rows,
                                float *sums)
{
    const vit_block_state *s = &run->block[i];
    const vit_router_join *join = s->router->join;
    const size_t d = (size_t)run->config.width, at = first * d;
    const float *weight = s->pass.in.param[join->norm_weight];
    float *mean = vit_scratch(run), *rstd = mean + rows, *u = rstd + rows,
          *d_u = u + rows * d, *carry = d_u + rows * d;

    join->forward(u, carry, s->x1 + at, s->joined + at,
                  s->carry_in + at * join->carry_width, rows * d, (int)s->moe_index,
                  &run->config.moe.router);
    run->fp32->norm(d_u, mean, rstd, u, weight, weight, rows, d, (float)run->config.eps);
    memset(d_u, 0, rows * d * sizeof *d_u);
    run->kernels->norm_backward(d_u, sums, sums + d, run->d_x + at, u, mean, rstd, weight,
                                rows, d);
    memcpy(run->d_x + at, d_u, rows * d * sizeof *d_u);
}

/* The gradient of the stream behind a router's join, to those of the layer's output, of the
 * stream before it and of what is carried. */
static void leave_backward(vit_run *run, size_t i)
{
    const vit_block_state *s = &run->block[i];
    const vit_router_join *join = s->router->join;
    const size_t d = (size_t)run->config.width;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += run->block_rows) {
        const size_t at = first * d, carried = at * join->carry_width;
        float *sums = run->partial + first / run->block_rows * run->partial_width;
        double mark = vit_lap_start(run);
        memset(sums, 0, 2 * d * sizeof *sums);
        if (is_normed(run, join))
            leave_norm_backward(run, i, first,
                                vit_min(run->block_rows, run->tokens - first), sums);
        join->backward(run->d_x + at, run->d_joined + at, run->d_carry + carried,
                       run->d_x + at, run->d_carry + carried, s->x1 + at, s->joined + at,
                       s->carry_in + carried, s->carry + carried,
                       vit_min(run->block_rows, run->tokens - first) * d, (int)s->moe_index,
                       &run->config.moe.router);
        vit_lap(run, &mark, VIT_PART_COMBINE);
    }
    if (run->mode == VIT_MODE_TRAIN && is_normed(run, join)) {
        float *const *g = run->gradients.block[i].router;
        vit_partial_add(g[join->norm_weight], run, vit_blocks(run), 0, d);
        vit_partial_add(g[join->norm_weight + 1], run, vit_blocks(run), d, d);
    }
}

/* d_both [T + others, D] from the gradient d_y [T, D] of the layer's output. */
static void views_backward(vit_run *run, size_t i, const float *d_y)
{
    vit_block_state *s = &run->block[i];
    const size_t d = (size_t)run->config.width;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t t = 0; t < run->tokens; t++) {
        row_start(run->mixed + t * d, NULL, d);
        run->fp32->axpy(run->mixed + t * d, s->branch_scale[1][t / run->tokens_per_image],
                        d_y + t * d, d);
    }
    s->router->views->mix_backward(&s->pass, run->d_both, run->mixed, s->both);
}

/* The gradient of the norm's output, home to the stream or to where the router enters
 * it. */
static void norm_home(vit_run *run, size_t i)
{
    const vit_block_state *s = &run->block[i];
    const vit_router_join *join = s->router->join;
    const size_t d = (size_t)run->config.width;
    const bool train = run->mode == VIT_MODE_TRAIN, enters = join && join->enter;
    const float *weight = run->weights.block[i].norm2_weight, *in = vit_moe_entry(s);
    float *d_in =
        enters ? run->d_entered : run->d_x; /* the norm's gradient is added here */

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += run->block_rows) {
        const size_t rows = vit_min(run->block_rows, run->tokens - first), at = first * d;
        float *sums = run->partial + first / run->block_rows * run->partial_width;
        double mark = vit_lap_start(run);
        memset(sums, 0, 2 * d * sizeof *sums);
        if (enters)
            memset(d_in + at, 0, rows * d * sizeof *d_in);
        run->kernels->norm_backward(d_in + at, train ? sums : NULL, sums + d,
                                    run->d_norm + at, in + at, s->mean2 + first,
                                    s->rstd2 + first, weight, rows, d);
        vit_lap(run, &mark, VIT_PART_NORM);
        if (enters)
            join->enter_backward(run->d_x + at, run->d_carry + at * join->carry_width,
                                 d_in + at, rows * d, (int)s->moe_index,
                                 &run->config.moe.router);
        vit_lap(run, &mark, VIT_PART_COMBINE);
    }
    double alone = vit_lap_start(run);
    if (train) {
        const size_t blocks = vit_blocks(run);
        vit_partial_add(run->gradients.block[i].norm2_weight, run, blocks, 0, d);
        vit_partial_add(run->gradients.block[i].norm2_bias, run, blocks, d, d);
        vit_lap_alone(run, &alone, VIT_PART_NORM);
    }
}

void vit_moe_backward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const size_t d = (size_t)run->config.width;
    const bool train = run->mode == VIT_MODE_TRAIN;
    const vit_router_join *join = s->router->join;
    const float *const d_layer = join ? run->d_joined : run->d_x, *d_y = d_layer;

    if (join)
        leave_backward(run, i);

    for (size_t p = 0; p < VIT_ROUTER_PARAMETERS_MAX; p++)
        s->pass.gradient.param[p] = train ? run->gradients.block[i].router[p] : NULL;
    double alone = vit_lap_start(run);
    if (s->pass.plan.shape.others > 0) {
        views_backward(run, i, d_layer);
        d_y = run->d_both;
    }
    vit_lap_alone(run, &alone, VIT_PART_COMBINE);
    vit_expert_tasks tasks = {0};
    vit_expert_tasks_plan(&tasks, &s->dispatch, experts_all(run));
    memset(run->d_gate, 0, s->pass.out.count * sizeof *run->d_gate);
    vit_share_cut(run, 0, tasks.first[tasks.experts]);
#pragma omp parallel num_threads(run->threads)
    for (size_t index; vit_share_take(run, 0, &index);) {
        const size_t task = vit_expert_task_at(&tasks, &s->dispatch, index);
        const vit_expert_block b = vit_expert_task_block(&tasks, s, task);
        block_backward(run, i, &b, run->partial + task * run->partial_width,
                       is_shared(run, b.expert) ? d_layer : d_y);
    }
    alone = vit_lap_start(run);
    if (train)
        experts_weights_backward(run, i, &tasks);
    vit_lap_alone(run, &alone, VIT_PART_EXPERTS);
    rows_home(run, i);

    alone = vit_lap_start(run);
    s->pass.gradient.x = run->d_norm;
    s->pass.gradient.view =
        s->pass.plan.shape.others > 0 ? run->d_norm + run->tokens * d : NULL;
    s->pass.gradient.attention = s->router->wants_attention ? run->d_attention : NULL;
    if (s->pass.gradient.attention)
        memset(run->d_attention, 0,
               run->batch * (size_t)run->config.heads * run->tokens_per_image *
                   run->tokens_per_image * sizeof *run->d_attention);
    s->router->backward(&s->pass, run->d_gate);
    if (s->router->alter_backward)
        s->router->alter_backward(&s->pass, run->d_norm);
    if (train && s->router->motion)
        s->router->motion->tally(run->tally + s->moe_index * run->tally_count, &s->pass);
    vit_lap_alone(run, &alone, VIT_PART_ROUTER);
    norm_home(run, i);
}
