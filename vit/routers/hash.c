/* hash.c - router "hash": a token's place in the picture decides its experts. A control
 * (routing-newer.md 20): each layer deals the places of an image to the experts once,
 * evenly and by a seed; gates are 1 / k. Nothing is learned, nothing depends on what a
 * token says, no gradient runs through the choice. */
#include "vit/routers/router_onnx_internal.h"

typedef struct hash_options {
    int64_t seed;
} hash_options;

#define BASE_STRUCT hash_options
static const base_field options[] = {
    BASE_INT("seed", seed, 0, 4294967295.0, "deals places to experts, in each layer anew"),
    {0},
};
#undef BASE_STRUCT
static const hash_options defaults = {0};

static size_t parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    (void)shape;
    (void)out;
    return 0;
}

static size_t state_bytes(const vit_router_shape *shape)
{
    return shape->tokens_per_image * sizeof(uint32_t);
}

/* A permutation of 0 .. count - 1 (Fisher and Yates, as Durstenfeld 1964). */
static void shuffle(uint32_t *out, size_t count, base_rng *rng)
{
    for (size_t i = 0; i < count; i++) {
        size_t j = (size_t)(base_rng_uniform(rng) * (double)(i + 1));
        j = j < i ? j : i;
        out[i] = out[j];
        out[j] = (uint32_t)i;
    }
}

/* deal [N]: each place's rank. */
static void deal_make(uint32_t *deal, const vit_router_shape *s, uint64_t layer)
{
    const hash_options *o = vit_router_settings(s->config);
    base_rng rng = base_rng_make((uint64_t)o->seed, BASE_PURPOSE_ROUTER_SELECT, layer,
                                 s->tokens_per_image, 0);

    shuffle(deal, s->tokens_per_image, &rng);
}

/* The j-th expert of a place. */
static size_t dealt(const uint32_t *deal, const vit_router_shape *s, size_t place, size_t j)
{
    return (deal[place] * s->k + j) % s->experts;
}

static void forward(vit_router_pass *pass)
{
    const vit_router_shape *s = &pass->plan.shape;
    const size_t n = s->experts, k = s->k;
    uint32_t *deal = pass->plan.state; /* [N] */

    deal_make(deal, s, pass->in.layer);
    pass->out.count = s->tokens * k;
    pass->out.start[s->tokens] = (uint32_t)pass->out.count;
    for (size_t t = 0; t < s->tokens; t++) {
        const size_t image = t / s->tokens_per_image, place = t % s->tokens_per_image;
        pass->out.start[t] = (uint32_t)(t * k);
        for (size_t e = 0; e < n; e++)
            pass->out.probs[t * n + e] = 0.0;
        for (size_t j = 0; j < k; j++) {
            const size_t a = t * k + j;
            pass->out.expert[a] =
                pass->in.fixed ? pass->in.fixed[image * pass->in.fixed_step + place * k + j]
                               : (uint16_t)dealt(deal, s, place, j);
            pass->out.token[a] = (uint32_t)t;
            pass->out.gate[a] = 1.0f / (float)k;
            pass->out.probs[t * n + pass->out.expert[a]] += 1.0 / (double)k;
        }
    }
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    (void)pass;
    (void)d_gate;
}

static const char *caution(const vit_router_config *config)
{
    (void)config;
    return "Experts go by a token's place: no attack can change them.";
}

/* The deal is a constant of the file, the same for every image. */
static const char *onnx(vit_onnx_layer *layer)
{
    const vit_router_shape *s = &layer->shape;
    const size_t n = s->tokens_per_image, shape[3] = {1, n, s->experts};
    uint32_t *deal = base_alloc(n, sizeof *deal);
    float *gates = base_alloc(n * s->experts, sizeof *gates);
    char name[64];

    if (deal && gates) {
        deal_make(deal, s, layer->block);
        for (size_t place = 0; place < n; place++)
            for (size_t j = 0; j < s->k; j++)
                gates[place * s->experts + dealt(deal, s, place, j)] = 1.0f / (float)s->k;
    }
    snprintf(name, sizeof name, "blocks.%zu.moe.router.deal", layer->block);
    const char *one = vit_onnx_floats(layer->graph, name, deal ? gates : NULL, shape, 3);
    base_free(gates);
    base_free(deal);
    return vit_onnx_by_token(layer, vit_onnx_each_image(layer->graph, one, n, s->experts),
                             s->experts);
}

const vit_router vit_router_hash = {
    .name = "hash",
    .summary = "control: a token's place in the picture decides its experts, evenly",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .caution = caution,
    .own_logits = true,
    .check = vit_route_check,
    .assignments = vit_route_assignments,
    .parameters = parameters,
    .state_bytes = state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
