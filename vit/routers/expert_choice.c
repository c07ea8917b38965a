/* expert_choice.c - router "expert-choice": every expert takes the tokens that want it
 * most. Follows Zhou et al. 2022, "Mixture-of-experts with expert choice routing" (arXiv
 * 2202.09368, known from the published paper, not read again), and the top-items-per-expert
 * router of the V-MoE code, which was read (routing.md 10): softmax over the experts of the
 * noisy logits, each expert's C largest of the tokens routed together, probabilities as
 * gates, no auxiliary loss, the same rule in evaluation. A token may get none. Differs:
 * each image is routed on its own unless router.scope says otherwise. */
#include "vit/routers/router_onnx_internal.h"

#include <math.h>
#include <string.h>

enum { SCOPE_GROUP, SCOPE_IMAGE }; /* choices of "scope" */

typedef struct expert_choice_options {
    double cf, multiple, noise;
    int scope;
} expert_choice_options;

#define BASE_STRUCT expert_choice_options
static const base_field options[] = {
    BASE_REAL("cf", cf, 1e-3, VIT_EXPERTS_MAX,
              "experts a token gets on average: an expert takes T * cf / E of T tokens "
              "(auto: router.k, the same work as routers that choose k; V-MoE code: no k)",
              .automatic = true),
    BASE_REAL("multiple", multiple, 1, 4096,
              "that number is rounded up to a multiple of this (auto: 4 for scope group as "
              "the V-MoE code, 1 for scope image, where 4 would add many, our choice)",
              .automatic = true, .whole = true),
    BASE_REAL("noise", noise, 0, 1e3,
              "normal noise on the logits in training, standard deviation times the number "
              "of experts (V-MoE: 1)"),
    BASE_CHOICE(
        "scope", scope, "group|image",
        "tokens that an expert chooses among, in evaluation too: those of a routing "
        "group as in the source (moe.group_images; results depend on the batch), or of "
        "one image (our choice)"),
    {0},
};
#undef BASE_STRUCT
static const expert_choice_options defaults = {
    .cf = NAN, .multiple = NAN, .noise = 1.0, .scope = SCOPE_IMAGE};

typedef struct choice_settings {
    double cf, sigma;
    vit_route_scope scope;
    int multiple;
} choice_settings;

static choice_settings settings_of(const vit_router_shape *shape)
{
    const expert_choice_options *o = vit_router_settings(shape->config);
    const bool by_image = o->scope == SCOPE_IMAGE;

    return (choice_settings){
        .cf = isnan(o->cf) ? (double)shape->k : o->cf,
        .sigma = o->noise / (double)shape->experts,
        .scope = by_image ? VIT_ROUTE_SCOPE_IMAGE : VIT_ROUTE_SCOPE_GROUP,
        .multiple = !isnan(o->multiple) ? (int)o->multiple
                    : by_image          ? 1
                                        : 4,
    };
}

/* C of an expert for a block of tokens. */
static size_t capacity_of(const choice_settings *set, const vit_route_size *s)
{
    const size_t c = vit_capacity(s->tokens, s->experts, 1, set->cf, set->multiple);

    return c < s->tokens ? c : s->tokens;
}

static base_status check(const vit_config *config, base_error *err)
{
    const vit_moe_config *moe = &config->moe;
    const expert_choice_options *o = vit_router_settings(&moe->router);
    const base_status status = vit_route_check(config, err);

    if (status != BASE_OK)
        return status;
    if (moe->capacity > 0.0 || moe->eval_capacity > 0.0)
        return base_fail(err, BASE_USAGE,
                         "'moe.%s' is %g with router expert-choice, expected 0 (an expert "
                         "takes as many tokens as router.cf says)",
                         moe->capacity > 0.0 ? "capacity" : "eval_capacity",
                         moe->capacity > 0.0 ? moe->capacity : moe->eval_capacity);
    const double cf = o->cf;
    if (!isnan(cf) && cf > moe->experts)
        return base_fail(err, BASE_USAGE,
                         "'router.cf' is %g, expected at most the number of experts (%d)",
                         cf, moe->experts);
    const double least = (double)moe->experts / (double)vit_config_tokens(config);
    if ((isnan(cf) ? moe->k : cf) < least)
        return base_fail(err, BASE_USAGE,
                         "'router.cf' gives an expert less than one token of an image of "
                         "%zu, expected %.3g or more, or fewer experts than %d",
                         vit_config_tokens(config), least, moe->experts);
    return BASE_OK;
}

static bool mixes_images(const vit_config *config)
{
    const expert_choice_options *o = vit_router_settings(&config->moe.router);

    return o->scope == SCOPE_GROUP && config->moe.group_images != 1;
}

static size_t assignments(const vit_router_shape *shape)
{
    const choice_settings set = settings_of(shape);
    const size_t blocks = vit_route_blocks(shape, set.scope);
    size_t first, sum = 0;
    const vit_route_size one = vit_route_block(&first, shape, set.scope, 0);
    const vit_route_size last = vit_route_block(&first, shape, set.scope, blocks - 1);

    sum = (blocks - 1) * capacity_of(&set, &one) + capacity_of(&set, &last);
    return sum * shape->experts;
}

/* A group's share is without the rounding, which is small in a large one. */
static double pairs(const vit_router_shape *shape)
{
    const choice_settings set = settings_of(shape);

    return set.scope == VIT_ROUTE_SCOPE_IMAGE ? (double)assignments(shape)
                                              : (double)shape->tokens * set.cf;
}

/* Whether state.base.p is that of the noisy logits. */
static bool is_noisy(const vit_router_pass *pass, const choice_settings *set)
{
    return pass->in.training && set->sigma > 0.0;
}

static void forward(vit_router_pass *pass)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const choice_settings set = settings_of(&pass->plan.shape);
    const vit_route_pairs_state state = vit_route_pairs_state_of(pass);
    const size_t n = s.experts, blocks = vit_route_blocks(&pass->plan.shape, set.scope);
    const double *p = pass->out.probs;

    vit_route_logits(pass, &state.base);
    if (is_noisy(pass, &set)) {
        memcpy(state.base.score, state.base.z, s.tokens * n * sizeof *state.base.score);
        vit_route_noise_add(state.base.score, set.sigma, pass);
        vit_route_softmax(state.base.p, state.base.score, &s);
        p = state.base.p;
    }
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t job = 0; job < blocks * n; job++) {
        const size_t e = job % n;
        size_t first;
        const vit_route_size b =
            vit_route_block(&first, &pass->plan.shape, set.scope, job / n);
        vit_route_mark_largest(state.mark + first * n + e, p + first * n + e, b.tokens, n,
                               capacity_of(&set, &b), state.key + first * n + e * b.tokens);
    }
    vit_route_pairs_publish(pass, state.mark, p);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const choice_settings set = settings_of(&pass->plan.shape);
    const vit_route_pairs_state state = vit_route_pairs_state_of(pass);

    vit_route_pairs_backward(state.base.d_z, pass, d_gate);
    vit_route_softmax_backward(state.base.d_z,
                               is_noisy(pass, &set) ? state.base.p : pass->out.probs, &s);
    vit_route_logits_backward(pass, &state.base);
}

static const char *onnx(vit_onnx_layer *layer)
{
    const choice_settings set = settings_of(&layer->shape);
    const size_t n = layer->shape.experts;
    const vit_route_size s = {
        .tokens = layer->shape.tokens_per_image, .experts = n, .k = layer->shape.k};
    vit_onnx *g = layer->graph;
    const char *p =
        vit_onnx_by_image(layer, vit_onnx_softmax(g, vit_onnx_logits(layer), 1), n);
    const char *place, *value = vit_onnx_largest(g, &place, p, capacity_of(&set, &s), 1);

    return vit_onnx_by_token(layer, vit_onnx_marks(g, p, place, value, 1), n);
}

const vit_router vit_router_expert_choice = {
    .name = "expert-choice",
    .summary =
        "every expert takes its best tokens (V-MoE code; Zhou et al. 2022, paper not "
        "read again)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .pairs = pairs,
    .mixes_images = mixes_images,
    .check = check,
    .assignments = assignments,
    .parameters = vit_route_parameters,
    .state_bytes = vit_route_pairs_state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
