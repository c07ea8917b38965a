/* router_pass.c - the border between a pass of the network (single precision, whole batch)
 * and the routers' arithmetic (double precision, group by group). Relied on elsewhere:
 * token t draws its noise from the stream of first_token + t, expert after expert, so that
 * it does not depend on the batch it came in; groups follow one another in token order and
 * only the last may be smaller. */
#include "vit/routers/router_pass_internal.h"

#include <string.h>

size_t vit_route_assignments(const vit_router_shape *shape)
{
    return (shape->tokens + shape->others) * shape->k;
}

size_t vit_route_parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    out[0] = (vit_router_parameter){.name = "weight",
                                    .shape = {shape->experts, shape->width},
                                    .rank = 2,
                                    .decay = true};
    return 1;
}

vit_route_size vit_route_size_of(const vit_router_shape *shape)
{
    return (vit_route_size){
        .tokens = shape->tokens, .experts = shape->experts, .k = shape->k};
}

static size_t group_tokens(const vit_router_shape *shape)
{
    const size_t g = shape->group_tokens;

    return g == 0 || g > shape->tokens ? shape->tokens : g;
}

size_t vit_route_groups(const vit_router_shape *shape)
{
    const size_t g = group_tokens(shape);

    return (shape->tokens + g - 1) / g;
}

vit_route_size vit_route_group(size_t *first, const vit_router_shape *shape, size_t i)
{
    const size_t g = group_tokens(shape);
    vit_route_size s = vit_route_size_of(shape);

    *first = i * g;
    s.tokens = shape->tokens - *first < g ? shape->tokens - *first : g;
    return s;
}

void vit_route_product(vit_exec *exec, bool ta, bool tb, size_t m, size_t n, size_t k,
                       const float *a, size_t lda, const float *b, size_t ldb, float beta,
                       float *c)
{
    vit_exec plain = {0};

    vit_gemm(&plain, ta, tb, m, n, k, 1.0f, a, lda, b, ldb, beta, c, n);
    if (atomic_load(&plain.failed))
        atomic_store(&exec->failed, true);
}

void vit_route_state_plan(vit_route_state *out, base_arena *arena,
                          const vit_router_shape *shape)
{
    const vit_route_size s = vit_route_size_of(shape);
    const size_t all = s.tokens * s.experts, chosen = s.tokens * s.k;

    out->narrow = base_arena_take(arena, all, sizeof(float));
    out->z = base_arena_take(arena, all, sizeof(double));
    out->score = base_arena_take(arena, all, sizeof(double));
    out->p = base_arena_take(arena, all, sizeof(double));
    out->d_z = base_arena_take(arena, all, sizeof(double));
    out->gate = base_arena_take(arena, chosen, sizeof(double));
    out->d_gate = base_arena_take(arena, chosen, sizeof(double));
    out->work = base_arena_take(arena, vit_route_work(&s), sizeof(double));
}

size_t vit_route_state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    vit_route_state unused;

    vit_route_state_plan(&unused, &arena, shape);
    return arena.used;
}

vit_route_state vit_route_state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    vit_route_state state;

    vit_route_state_plan(&state, &arena, &pass->plan.shape);
    return state;
}

void vit_router_forward(const vit_router *router, vit_router_pass *pass)
{
    pass->report = (vit_router_report){0};
    pass->out.logits = NULL;
    router->forward(pass);
}

void vit_route_logits(vit_router_pass *pass, const vit_route_state *state)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t d = pass->plan.shape.width, count = s.tokens * s.experts;

    vit_route_product(pass->plan.exec, false, true, s.tokens, s.experts, d, pass->in.x, d,
                      pass->in.param[0], d, 0.0f, state->narrow);
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t i = 0; i < count; i++)
        state->z[i] = (double)state->narrow[i];
    vit_route_softmax(pass->out.probs, state->z, &s);
    pass->out.logits = state->z;
}

void vit_route_logits_backward(vit_router_pass *pass, const vit_route_state *state)
{
    const size_t t = pass->plan.shape.tokens, e = pass->plan.shape.experts,
                 d = pass->plan.shape.width;
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    float *d_z = state->narrow;

#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t i = 0; i < t * e; i++)
        d_z[i] = (float)(state->d_z[i] +
                         (pass->gradient.logits ? (double)pass->gradient.logits[i] : 0));
    if (pass->gradient.param[0])
        vit_route_product(pass->plan.exec, true, false, e, d, t, d_z, e, pass->in.x, d,
                          1.0f, pass->gradient.param[0]);
    vit_route_product(pass->plan.exec, false, false, t, d, e, d_z, e, pass->in.param[0], d,
                      1.0f, pass->gradient.x);
}

void vit_route_noise_add(double *out, double scale, const vit_router_pass *pass)
{
    enum { CHUNK = 64 };
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const vit_kernels *kernels = vit_kernels_get();
    const uint64_t key =
        base_key((const uint64_t[]){pass->in.seed, BASE_PURPOSE_ROUTER_NOISE, pass->in.step,
                                    pass->in.layer},
                 4);
    const uint32_t words[2] = {(uint32_t)key, (uint32_t)(key >> 32)};

#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t t = 0; t < s.tokens; t += CHUNK) {
        float eps[CHUNK * VIT_EXPERTS_MAX];
        const size_t rows = s.tokens - t < CHUNK ? s.tokens - t : CHUNK;
        kernels->normals(eps, rows, s.experts, words, pass->in.first_token + t);
        for (size_t i = 0; i < rows * s.experts; i++)
            out[t * s.experts + i] += scale * (double)eps[i];
    }
}

void vit_route_gate_forward(const vit_router_pass *pass, const vit_route_state *state,
                            vit_route_gate kind, const double *z, const double *p)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);

    if (kind == VIT_ROUTE_GATE_PROB)
        vit_route_gates(state->gate, p, pass->out.expert, &s);
    else if (kind == VIT_ROUTE_GATE_RENORM)
        vit_route_gates_renorm(state->gate, z, pass->out.expert, &s);
    else if (kind == VIT_ROUTE_GATE_SIGMOID)
        vit_route_gates_sigmoid(state->gate, z, pass->out.expert, &s);
    else
        vit_route_gates_sigmoid_renorm(state->gate, z, pass->out.expert, &s);
}

void vit_route_gate_backward(const vit_router_pass *pass, const vit_route_state *state,
                             vit_route_gate kind, const double *p, const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);

#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t a = 0; a < s.tokens * s.k; a++)
        state->d_gate[a] = (double)d_gate[a];
    if (kind == VIT_ROUTE_GATE_PROB) {
        vit_route_gates_backward(state->d_z, state->d_gate, pass->out.expert, &s);
        vit_route_softmax_backward(state->d_z, p, &s);
    } else if (kind == VIT_ROUTE_GATE_RENORM) {
        vit_route_gates_renorm_backward(state->d_z, state->gate, state->d_gate,
                                        pass->out.expert, &s);
    } else if (kind == VIT_ROUTE_GATE_SIGMOID) {
        vit_route_gates_sigmoid_backward(state->d_z, state->gate, state->d_gate,
                                         pass->out.expert, &s);
    } else {
        vit_route_gates_sigmoid_renorm_backward(state->d_z, state->z, state->gate,
                                                state->d_gate, pass->out.expert, &s);
    }
}

void vit_route_publish(vit_router_pass *pass, const vit_route_state *state)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);

    pass->out.count = s.tokens * s.k;
    pass->out.start[s.tokens] = (uint32_t)pass->out.count;
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t t = 0; t < s.tokens; t++) {
        pass->out.start[t] = (uint32_t)(t * s.k);
        for (size_t a = t * s.k; a < (t + 1) * s.k; a++) {
            pass->out.token[a] = (uint32_t)t;
            pass->out.gate[a] = (float)state->gate[a];
        }
    }
}

/* The sets of another pass in place of a choice. */
static void replay(vit_router_pass *pass)
{
    const size_t numbers = pass->plan.shape.tokens_per_image * pass->plan.shape.k;

    for (size_t i = 0; i * numbers < pass->plan.shape.tokens * pass->plan.shape.k; i++)
        memcpy(pass->out.expert + i * numbers, pass->in.fixed + i * pass->in.fixed_step,
               numbers * sizeof *pass->out.expert);
}

void vit_route_choose(vit_router_pass *pass, const double *score)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);

    if (pass->in.fixed)
        replay(pass);
    else
        vit_route_top(pass->out.expert, score, &s);
}

void vit_route_top_forward(vit_router_pass *pass, const vit_route_state *state,
                           double sigma, vit_route_gate kind)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const double *score = state->z, *p = pass->out.probs;

    vit_route_logits(pass, state);
    if (sigma > 0.0) {
        memcpy(state->score, state->z, s.tokens * s.experts * sizeof *state->score);
        vit_route_noise_add(state->score, sigma, pass);
        vit_route_softmax(state->p, state->score, &s);
        score = state->score;
        p = state->p;
    }
    vit_route_choose(pass, score);
    vit_route_gate_forward(pass, state, kind, score, p);
    vit_route_publish(pass, state);
}

void vit_route_top_backward(vit_router_pass *pass, const vit_route_state *state,
                            double sigma, vit_route_gate kind, const float *d_gate)
{
    vit_route_gate_backward(pass, state, kind, sigma > 0.0 ? state->p : pass->out.probs,
                            d_gate);
}

/* ---- balanced scores ----------------------------------------------------------------- */

/* Small blocks are balanced side by side, each in its own scratch; as many at once: */
enum { SLICES_MAX = 32 };

static size_t block_tokens(const vit_router_shape *shape, vit_route_scope scope)
{
    size_t tokens = shape->tokens;

    if (scope == VIT_ROUTE_SCOPE_GROUP)
        tokens = group_tokens(shape);
    else if (scope == VIT_ROUTE_SCOPE_IMAGE && shape->tokens_per_image < tokens)
        tokens = shape->tokens_per_image;
    return tokens;
}

size_t vit_route_blocks(const vit_router_shape *shape, vit_route_scope scope)
{
    const size_t b = block_tokens(shape, scope);

    return (shape->tokens + b - 1) / b;
}

vit_route_size vit_route_block(size_t *first, const vit_router_shape *shape,
                               vit_route_scope scope, size_t i)
{
    const size_t b = block_tokens(shape, scope);
    vit_route_size s = vit_route_size_of(shape);

    *first = i * b;
    s.tokens = shape->tokens - *first < b ? shape->tokens - *first : b;
    return s;
}

static size_t slices_of(const vit_router_shape *shape, vit_route_scope scope)
{
    const size_t blocks = vit_route_blocks(shape, scope);

    return blocks < SLICES_MAX ? blocks : SLICES_MAX;
}

/* Doubles of scratch for one block; the first one is the largest. */
static size_t slice_doubles(const vit_router_shape *shape, vit_route_scope scope)
{
    size_t first;
    const vit_route_size s = vit_route_block(&first, shape, scope, 0);
    const size_t forward = vit_route_plan_work(&s) + s.experts;
    const size_t backward = vit_route_plan_backward_work(&s);

    return forward > backward ? forward : backward;
}

double *vit_route_sinkhorn_take(base_arena *arena, const vit_router_shape *shape,
                                vit_route_scope scope)
{
    return base_arena_take(arena, slices_of(shape, scope) * slice_doubles(shape, scope),
                           sizeof(double));
}

/* Balances block i; the pass's report of it into *r. */
static void block_forward(vit_route_plan_result *r, const vit_router_pass *pass,
                          const vit_route_state *state, const vit_route_sinkhorn_rule *rule,
                          size_t i, double *work)
{
    size_t first;
    const vit_route_size s = vit_route_block(&first, &pass->plan.shape, rule->scope, i);
    const size_t n = s.experts;
    double *score = state->score + first * n, *g = work + vit_route_plan_work(&s);

    for (size_t j = 0; j < s.tokens * n; j++)
        score[j] /= rule->xi;
    const vit_route_plan_result own =
        vit_route_plan(state->p + first * n, g, score, &s, &rule->plan, NULL, work);
    for (size_t t = 0; t < s.tokens; t++)
        for (size_t e = 0; e < n; e++)
            score[t * n + e] += g[e];
    if (r->iterations < own.iterations)
        r->iterations = own.iterations;
    if (!(r->residual >= own.residual))
        r->residual = own.residual;
    r->converged = r->converged && own.converged;
}

void vit_route_sinkhorn_forward(vit_router_pass *pass, const vit_route_state *state,
                                const vit_route_sinkhorn_rule *rule, double *work)
{
    const size_t blocks = vit_route_blocks(&pass->plan.shape, rule->scope);
    const size_t slices = slices_of(&pass->plan.shape, rule->scope);
    const size_t doubles = slice_doubles(&pass->plan.shape, rule->scope);
    vit_route_plan_result result[SLICES_MAX];
    size_t first;
    const vit_route_size whole = vit_route_size_of(&pass->plan.shape);
    const vit_route_size one = vit_route_block(&first, &pass->plan.shape, rule->scope, 0);

    pass->report.used_sinkhorn = pass->report.sinkhorn_converged = true;
#pragma omp parallel for schedule(static) if (slices > 1 && vit_route_is_large(&whole) &&  \
                                              !vit_route_is_large(&one))
    for (size_t j = 0; j < slices; j++) {
        result[j] = (vit_route_plan_result){.converged = true};
        for (size_t i = j; i < blocks; i += slices)
            block_forward(&result[j], pass, state, rule, i, work + j * doubles);
    }
    for (size_t j = 0; j < slices; j++) {
        if (pass->report.sinkhorn_iterations < result[j].iterations)
            pass->report.sinkhorn_iterations = result[j].iterations;
        if (!(pass->report.sinkhorn_residual >= result[j].residual))
            pass->report.sinkhorn_residual = result[j].residual;
        pass->report.sinkhorn_converged =
            pass->report.sinkhorn_converged && result[j].converged;
    }
}

void vit_route_sinkhorn_backward(vit_router_pass *pass, const vit_route_state *state,
                                 const vit_route_sinkhorn_rule *rule, bool exact,
                                 double *work)
{
    const size_t blocks = vit_route_blocks(&pass->plan.shape, rule->scope);
    const size_t slices = slices_of(&pass->plan.shape, rule->scope);
    const size_t doubles = slice_doubles(&pass->plan.shape, rule->scope);
    const size_t n = pass->plan.shape.experts;
    size_t unused;
    const vit_route_size whole = vit_route_size_of(&pass->plan.shape);
    const vit_route_size one = vit_route_block(&unused, &pass->plan.shape, rule->scope, 0);

#pragma omp parallel for schedule(static) if (slices > 1 && vit_route_is_large(&whole) &&  \
                                              !vit_route_is_large(&one))
    for (size_t j = 0; j < slices; j++) {
        for (size_t i = j; i < blocks; i += slices) {
            size_t first;
            const vit_route_size s =
                vit_route_block(&first, &pass->plan.shape, rule->scope, i);
            const double *h = state->d_z + first * n, *plan = state->p + first * n;
            double *d_c = state->score + first * n;
            if (exact)
                vit_route_plan_backward(d_c, h, plan, rule->xi, &s, work + j * doubles);
            else
                vit_route_plan_frozen(d_c, h, plan, rule->xi, &s);
        }
    }
    memcpy(state->d_z, state->score, pass->plan.shape.tokens * n * sizeof *state->d_z);
}
