/* ssr.c - router "ssr": Selective Sinkhorn Routing. A plain top-k softmax router that, on a
 * few training steps drawn at random, balances its experts with a Sinkhorn plan and learns
 * through it; there is no auxiliary loss. Follows arXiv 2511.08972 as far as it could be
 * read; what is marked [R] in the design (routing.md 4) is our reconstruction. The gradient
 * is exact by default, by the implicit function theorem. Evaluation: top-k softmax, no
 * noise, no Sinkhorn, every token on its own. The exact gradient of a Sinkhorn step has
 * zero column sums: it never tells the router to prefer a starved expert, but trains the
 * starved experts; uneven loads in evaluation are no fault. Which scaling comes first,
 * columns or rows, differs from text to text: only g's last half step does. */
#include "vit/routers/router_onnx_internal.h"

#include <math.h>
#include <string.h>

enum { COST_LINEAR, COST_SOFTMAX };                      /* choices of "cost" */
enum { INIT_ZERO, INIT_PAPER };                          /* choices of "init" */
enum { NOISE_OT_COST, NOISE_OT_LOGITS, NOISE_OT_NONE };  /* choices of "noise_ot" */
enum { GRADIENT_EXACT, GRADIENT_FROZEN, GRADIENT_NONE }; /* choices of "gradient" */

typedef struct ssr_options {
    double p, steps;
    int cost;
    double xi;
    int max_iter;
    double delta;
    int init;
    double noise;
    int noise_ot, gradient, scope;
} ssr_options;

#define BASE_STRUCT ssr_options
static const base_field options[] = {
    BASE_REAL("p", p, 0, 1.0,
              "chance that a training step routes by the Sinkhorn plan, drawn for "
              "each MoE layer (SSR: 0.001 to 0.01)"),
    BASE_REAL("steps", steps, 0, 1e9,
              "Sinkhorn steps of a layer in the whole run, expected: p is this over the "
              "steps of the run (published runs have 46 to 6,000; 0: by p)"),
    BASE_CHOICE("cost", cost, "linear|softmax",
                "what the plan maximises: the logits (SSR-L) or their softmax (SSR-S)"),
    BASE_REAL("xi", xi, 1e-4, 1e4,
              "entropy weight of the plan (auto: 1 for linear, 0.5 for softmax, our "
              "choice from the 0.5 to 1 of the sources)",
              .automatic = true),
    BASE_INT("max_iter", max_iter, 1, 100000, "most Sinkhorn iterations a step (SSR: 100)"),
    BASE_REAL("delta", delta, 0, 1,
              "stop when the L2 error of the column sums is below delta * max(1, T / "
              "E) (SSR: 1e-4 to 1e-6, absolute; the scale by T / E is ours)"),
    BASE_CHOICE("init", init, "zero|paper",
                "first potentials: 0, or those of the paper's first update"),
    BASE_REAL("noise", noise, 0, 1e3,
              "standard deviation of normal noise in training (SSR: 0.1 to 4; the "
              "default is our choice)"),
    BASE_CHOICE("noise_ot", noise_ot, "cost|logits|none",
                "where the noise goes on Sinkhorn steps: on the cost (Algorithm 2 as "
                "quoted), on the logits before it, nowhere"),
    BASE_CHOICE("gradient", gradient, "exact|frozen|none",
                "on Sinkhorn steps: exact through the plan, potentials held constant, "
                "or plan detached (the sources do not say; exact is our choice)"),
    BASE_CHOICE("scope", scope, "global|group",
                "tokens balanced together: all of the batch, or each routing group"),
    {0},
};
#undef BASE_STRUCT
static const ssr_options defaults = {.p = 0.001,
                                     .cost = COST_LINEAR,
                                     .xi = NAN,
                                     .max_iter = 100,
                                     .delta = 1e-4,
                                     .init = INIT_ZERO,
                                     .noise = 0.1,
                                     .noise_ot = NOISE_OT_COST,
                                     .gradient = GRADIENT_EXACT,
                                     .scope = VIT_ROUTE_SCOPE_GLOBAL};

typedef struct ssr_settings {
    double p, noise;
    bool softmax_cost;
    int noise_ot, gradient;
    vit_route_sinkhorn_rule rule;
    vit_route_gate gate;
} ssr_settings;

/* The chance of a Sinkhorn step in a run of so many (0: unknown, router.steps has no
 * meaning). */
static double chance_of(const vit_router_config *config, uint64_t run_steps)
{
    const ssr_options *o = vit_router_settings(config);

    return o->steps > 0.0 && run_steps > 0 ? fmin(1.0, o->steps / (double)run_steps) : o->p;
}

/* A renormalised gate of one expert is always 1: its softmax or plan entry instead [R]. */
static vit_route_gate gate_of(size_t k)
{
    return k == 1 ? VIT_ROUTE_GATE_PROB : VIT_ROUTE_GATE_RENORM;
}

static ssr_settings settings_of(const vit_router_pass *pass)
{
    const vit_router_shape *shape = &pass->plan.shape;
    const ssr_options *o = vit_router_settings(shape->config);
    const bool softmax_cost = o->cost == COST_SOFTMAX;
    const double xi = o->xi;

    return (ssr_settings){
        .p = chance_of(shape->config, pass->in.steps),
        .noise = o->noise,
        .softmax_cost = softmax_cost,
        .noise_ot = o->noise_ot,
        .gradient = o->gradient,
        .rule = {.xi = !isnan(xi)     ? xi
                       : softmax_cost ? 0.5
                                      : 1.0,
                 .scope = (vit_route_scope)o->scope,
                 .plan = {.max_iter = o->max_iter,
                          .delta = o->delta,
                          .paper_init = o->init == INIT_PAPER}},
        .gate = gate_of(shape->k),
    };
}

typedef struct ssr_state {
    vit_route_state base; /* score: noisy logits, or l + g; p: their softmax, or the plan */
    double *cost_softmax; /* [T, E] softmax of the noisy logits as cost, else NULL */
    double *work;
} ssr_state;

static void plan_state(ssr_state *out, base_arena *arena, const vit_router_shape *shape)
{
    const ssr_settings set = settings_of(&(vit_router_pass){.plan.shape = *shape});

    vit_route_state_plan(&out->base, arena, shape);
    out->work = vit_route_sinkhorn_take(arena, shape, set.rule.scope);
    out->cost_softmax = NULL;
    if (set.softmax_cost && set.noise_ot == NOISE_OT_LOGITS)
        out->cost_softmax =
            base_arena_take(arena, shape->tokens * shape->experts, sizeof(double));
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    ssr_state unused;

    plan_state(&unused, &arena, shape);
    return arena.used;
}

static ssr_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    ssr_state state;

    plan_state(&state, &arena, &pass->plan.shape);
    return state;
}

/* The Bernoulli draw of this step and layer: the same on every rank and in a recomputed
 * pass. */
static bool is_sinkhorn_step(const vit_router_pass *pass, double p)
{
    base_rng rng = base_rng_make(pass->in.seed, BASE_PURPOSE_ROUTER_SELECT, pass->in.step,
                                 pass->in.layer, 0);

    return pass->in.training && base_rng_uniform(&rng) < p;
}

/* The softmax that is the cost of SSR-S: of the clean logits unless noise comes before it.
 */
static const double *cost_softmax_of(const vit_router_pass *pass, const ssr_state *state)
{
    return state->cost_softmax ? state->cost_softmax : pass->out.probs;
}

/* state->base.score = the cost of the plan. */
static void cost_fill(vit_router_pass *pass, const ssr_state *state,
                      const ssr_settings *set)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t bytes = s.tokens * s.experts * sizeof(double);
    double *score = state->base.score;

    memcpy(score, state->base.z, bytes);
    if (set->noise_ot == NOISE_OT_LOGITS && set->noise > 0.0)
        vit_route_noise_add(score, set->noise, pass);
    if (state->cost_softmax)
        vit_route_softmax(state->cost_softmax, score, &s);
    if (set->softmax_cost)
        memcpy(score, cost_softmax_of(pass, state), bytes);
    if (set->noise_ot == NOISE_OT_COST && set->noise > 0.0)
        vit_route_noise_add(score, set->noise, pass);
}

static void forward(vit_router_pass *pass)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const ssr_settings set = settings_of(pass);
    const ssr_state state = state_of(pass);

    if (!is_sinkhorn_step(pass, set.p)) {
        vit_route_top_forward(pass, &state.base, pass->in.training ? set.noise : 0.0,
                              set.gate);
        return;
    }
    vit_route_logits(pass, &state.base);
    cost_fill(pass, &state, &set);
    vit_route_sinkhorn_forward(pass, &state.base, &set.rule, state.work);
    vit_route_top(pass->out.expert, state.base.score, &s);
    vit_route_gate_forward(pass, &state.base, set.gate, state.base.score, state.base.p);
    vit_route_publish(pass, &state.base);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const ssr_settings set = settings_of(pass);
    const ssr_state state = state_of(pass);

    if (!is_sinkhorn_step(pass, set.p)) {
        vit_route_top_backward(pass, &state.base, pass->in.training ? set.noise : 0.0,
                               set.gate, d_gate);
        vit_route_logits_backward(pass, &state.base);
        return;
    }
    if (set.gradient == GRADIENT_NONE)
        return;
    vit_route_gate_backward(pass, &state.base, set.gate, state.base.p, d_gate);
    vit_route_sinkhorn_backward(pass, &state.base, &set.rule,
                                set.gradient == GRADIENT_EXACT, state.work);
    if (set.softmax_cost)
        vit_route_softmax_backward(state.base.d_z, cost_softmax_of(pass, &state), &s);
    vit_route_logits_backward(pass, &state.base);
}

static const char *onnx(vit_onnx_layer *layer)
{
    return vit_onnx_top_logits(layer, gate_of(layer->shape.k));
}

const vit_router vit_router_ssr = {
    .name = "ssr",
    .summary =
        "Selective Sinkhorn Routing: top-k softmax, balanced on a few training steps "
        "(arXiv 2511.08972)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .sinkhorn_share = chance_of,
    .check = vit_route_check,
    .assignments = vit_route_assignments,
    .parameters = vit_route_parameters,
    .state_bytes = state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
