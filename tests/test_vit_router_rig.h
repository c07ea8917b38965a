/* test_vit_router_rig.h - a router with all its buffers, run as the network runs it, and
 * the variants of routers that every test of a whole pass goes through. */
#ifndef TESTS_TEST_VIT_ROUTER_RIG_H
#define TESTS_TEST_VIT_ROUTER_RIG_H

#include "tests/test_vit_router.h"

enum { CANARY = 0x5A, CANARY_BYTES = 256 };

static inline void expect_close(float got, float want, double tolerance)
{
    ck_assert_double_eq_tol((double)got, (double)want, tolerance);
}

/* A router with all that a pass needs. loss = sum of gate * weight + auxiliary loss. */
typedef struct rig {
    const vit_router *router;
    vit_router_config config;
    vit_exec exec;
    vit_router_pass pass;
    float *attention, *d_attention; /* of routers that want it */
    float *x, *d_x, *weight;
    size_t params, count[VIT_ROUTER_PARAMETERS_MAX]; /* floats of each */
    bool is_state[VIT_ROUTER_PARAMETERS_MAX];
    float *param[VIT_ROUTER_PARAMETERS_MAX], *d_param[VIT_ROUTER_PARAMETERS_MAX];
    float *w, *d_w; /* the first of them */
    unsigned char *state;
    size_t state_bytes, tokens, others, assignments; /* as planned */
} rig;

static inline void configure(rig *r, const char *name, const char *options)
{
    char text[256], *rest = text;

    ck_assert_int_eq(vit_router_select(&r->config, name, NULL), BASE_OK);
    r->router = vit_router_find(name);
    snprintf(text, sizeof text, "%s", options);
    while (*rest) {
        base_error err = {0};
        char *key = rest, *value = strchr(key, '=') + 1;
        rest = value + strcspn(value, " ");
        if (*rest)
            *rest++ = 0;
        value[-1] = 0;
        ck_assert_msg(vit_router_set(&r->config, key, value, &err) == BASE_OK, "%s",
                      err.text);
    }
}

static inline void *take(size_t count, size_t bytes)
{
    void *at = base_alloc(count, bytes);

    ck_assert_ptr_nonnull(at);
    return at;
}

/* Number of attention weights; images may be smaller than planned, so that all are
 * there. */
static inline size_t rig_pairs(const vit_router_shape *s)
{
    const size_t images = (s->tokens + s->tokens_per_image - 1) / s->tokens_per_image;

    return images * s->heads * s->tokens_per_image * s->tokens_per_image;
}

/* Attention of tokens and heads that differ; rows sum to 1. */
static inline void rig_attention_open(rig *r)
{
    const size_t n = r->pass.plan.shape.tokens_per_image,
                 count = rig_pairs(&r->pass.plan.shape);
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, 77, 0, 0);

    r->attention = take(count, sizeof(float));
    r->d_attention = take(count, sizeof(float));
    for (size_t i = 0; i < count; i++)
        r->attention[i] = (float)base_rng_normal(&rng);
    vit_kernels_fp32()->softmax(r->attention, r->attention, count / n, n, 1.0f);
    r->pass.in.attention = r->attention;
    r->pass.gradient.attention = r->d_attention;
}

/* Normal tokens, weights and gradients of test stream number stream. */
static inline void rig_fill(rig *r, uint64_t stream)
{
    const vit_router_shape *s = &r->pass.plan.shape;
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, stream, 0, 0);

    for (size_t i = 0; i < s->tokens * s->width; i++)
        r->x[i] = (float)base_rng_normal(&rng);
    for (size_t i = 0; i < r->count[0]; i++)
        r->w[i] = (float)(1.2 * base_rng_normal(&rng) / sqrt((double)s->width));
    for (size_t i = 0; i < r->router->assignments(s); i++)
        r->weight[i] = (float)base_rng_normal(&rng);
    for (size_t p = 1; p < r->params; p++)
        for (size_t i = 0; i < r->count[p]; i++) /* a single one is a temperature */
            r->param[p][i] = r->count[p] == 1 ? 0.7f : (float)base_rng_normal(&rng);
    for (size_t p = 1; p < r->params; p++)
        for (size_t i = 0; r->is_state[p] && i < r->count[p]; i++) /* a bias: of scores */
            r->param[p][i] = 0.3f + 0.05f * r->param[p][i];
}

static inline void rig_parameters_copy(rig *to, const rig *from)
{
    for (size_t p = 0; p < to->params; p++)
        memcpy(to->param[p], from->param[p], to->count[p] * sizeof(float));
}

/* So many bytes of zeros with a canary behind them. */
static inline void *rig_guarded(size_t bytes)
{
    unsigned char *at = take(bytes + CANARY_BYTES, 1);

    memset(at + bytes, CANARY, CANARY_BYTES);
    return at;
}

static inline void rig_unguarded(void *block, size_t bytes)
{
    const unsigned char *at = block;

    for (size_t i = 0; i < CANARY_BYTES; i++)
        if (at[bytes + i] != CANARY)
            ck_abort_msg("a byte behind %zu bytes was written", bytes);
    base_free(block);
}

static inline void rig_open(rig *r, const char *name, const char *options,
                            vit_router_shape shape)
{
    memset(r, 0, sizeof *r);
    configure(r, name, options);
    shape.config = &r->config;
    vit_router_pass *p = &r->pass;
    *p = (vit_router_pass){.plan.shape = shape,
                           .plan.exec = &r->exec,
                           .in.training = true,
                           .in.seed = 7,
                           .in.step = 3,
                           .in.layer = 1,
                           .in.loss_scale = 1.0};
    const size_t t = shape.tokens, count = r->router->assignments(&shape);
    r->state_bytes = r->router->state_bytes(&shape);
    r->tokens = t;
    r->others = shape.others;
    r->assignments = count;
    r->state = rig_guarded(r->state_bytes);
    r->x = take(t * shape.width, sizeof(float));
    r->d_x = take(t * shape.width, sizeof(float));
    r->weight = take(count, sizeof(float));
    p->plan.state = r->state;
    p->in.x = r->x;
    p->gradient.x = r->d_x;
    vit_router_parameter declared[VIT_ROUTER_PARAMETERS_MAX];
    r->params = r->router->parameters(&shape, declared);
    for (size_t i = 0; i < r->params; i++) {
        r->count[i] = declared[i].shape[0] *
                      (declared[i].rank > 1 ? declared[i].shape[1] : 1) *
                      (declared[i].rank > 2 ? declared[i].shape[2] : 1);
        r->is_state[i] = declared[i].state;
        p->in.param[i] = r->param[i] = take(r->count[i], sizeof(float));
        p->gradient.param[i] = r->d_param[i] = take(r->count[i], sizeof(float));
    }
    r->w = r->param[0];
    r->d_w = r->d_param[0];
    p->out.probs = rig_guarded(t * shape.experts * sizeof(double));
    p->out.start = rig_guarded((t + shape.others + 1) * sizeof(uint32_t));
    p->out.token = rig_guarded(count * sizeof(uint32_t));
    p->out.expert = rig_guarded(count * sizeof(uint16_t));
    p->out.gate = rig_guarded(count * sizeof(float));
    if (r->router->wants_attention)
        rig_attention_open(r);
    rig_fill(r, 0);
}

static inline void rig_close(rig *r)
{
    ck_assert(!atomic_load(&r->exec.failed));
    rig_unguarded(r->state, r->state_bytes);
    base_free(r->x);
    base_free(r->d_x);
    for (size_t i = 0; i < r->params; i++) {
        base_free(r->param[i]);
        base_free(r->d_param[i]);
    }
    base_free(r->weight);
    base_free(r->attention);
    base_free(r->d_attention);
    rig_unguarded(r->pass.out.probs,
                  r->tokens * r->pass.plan.shape.experts * sizeof(double));
    rig_unguarded(r->pass.out.start, (r->tokens + r->others + 1) * sizeof(uint32_t));
    rig_unguarded(r->pass.out.token, r->assignments * sizeof(uint32_t));
    rig_unguarded(r->pass.out.expert, r->assignments * sizeof(uint16_t));
    rig_unguarded(r->pass.out.gate, r->assignments * sizeof(float));
}

static inline double rig_loss(rig *r)
{
    double sum = 0.0;

    vit_router_forward(r->router, &r->pass);
    for (size_t a = 0; a < r->pass.out.count; a++)
        sum += (double)r->pass.out.gate[a] * (double)r->weight[a];
    return sum + r->pass.in.loss_scale * r->pass.report.aux_loss;
}

__attribute__((unused)) static const vit_router_shape usual = {.tokens = 21,
                                                               .tokens_per_image = 3,
                                                               .group_tokens = 9,
                                                               .width = 6,
                                                               .heads = 1,
                                                               .experts = 5,
                                                               .k = 2};

typedef struct variant {
    const char *router, *options;
    size_t k;
} variant;

/* What was chosen, in one number. */
static inline uint64_t rig_choice(const rig *r)
{
    uint64_t key = base_key(&(uint64_t){r->pass.out.count}, 1);

    for (size_t a = 0; a < r->pass.out.count; a++)
        key = base_key((const uint64_t[]){key, r->pass.out.token[a], r->pass.out.expert[a]},
                       3);
    return key;
}

/* Whether tokens are routed with the help of other images', in evaluation too. */
static inline bool rig_sees_the_batch(const rig *r)
{
    const bool always = strcmp(r->router->name, "sinkhorn-ot") == 0 ||
                        strcmp(r->router->name, "expert-choice") == 0;
    char scope[64];

    vit_router_get(&r->config, "scope", scope, sizeof scope);
    return always && strcmp(scope, "image") != 0;
}

#define EXACT "p=1 max_iter=10000 delta=0.000000000001 "
__attribute__((unused)) static const variant variants[] = {
    {"softmax", "balance=0.5 z=0.1", 2},
    {"softmax", "balance=0.5 balance_count=all z=0.1 noise=0.3", 2},
    {"softmax", "gate=prob balance=0 noise=0.5", 3},
    {"softmax", "balance=0.5", 1},
    {"vmoe", "importance=0.7 load=0.6", 2},
    {"vmoe", "importance=0.7 load=0.6 noise=2", 1},
    {"vmoe", "importance=0.7 load=0.6 noise=0", 5},
    {"sinkhorn", "", 1},
    {"sinkhorn", "", 2},
    {"sinkhorn", "gate=sigmoid scope=group", 3},
    {"ssr", "p=0 noise=0.5", 2},
    {"ssr", "p=0 noise=0.5", 1},
    {"ssr", EXACT, 2},
    {"ssr", EXACT "scope=group init=paper xi=0.5", 2},
    {"ssr", EXACT "cost=softmax", 2},
    {"ssr", EXACT "cost=softmax noise_ot=logits noise=0.5", 3},
    {"ssr", EXACT "noise_ot=logits noise=0.5", 2},
    {"ssr", EXACT "noise_ot=none noise=0.5", 2},
    {"ssr", EXACT "cost=softmax scope=group", 1},
    {"ssr", EXACT, 1},
    {"sinkhorn-ot", "", 2},
    {"sinkhorn-ot", "scope=group noise=0", 1},
    {"sinkhorn-ot", "combine=plan iterations=400", 2},
    {"sinkhorn-ot", "combine=plan iterations=400 scope=global xi=0.7", 1},
    {"usmoe", "", 2},
    {"usmoe", "alpha=0 select=token", 2},
    {"usmoe", "alpha=0.3 divide=row eval_k=1.3", 3},
    {"usmoe", "alpha=1 divide=row eval_k=4", 1},
    {"expert-choice", "", 2},
    {"expert-choice", "scope=group cf=1.3 noise=0", 1},
    {"expert-choice", "scope=group multiple=1 cf=0.7", 3},
    /*A*/ {"similarity", "balance=0.5 z=0.1", 2},
    {"similarity", "lambda=0.6 tau=0.5 gate=prob noise=0.3", 3},
    {"similarity", "lambda=0.7 mix=logit balance=0.5 noise=0.3", 2},
    {"similarity", "mix=logit tau=2", 1},
    {"attention", "lambda=0.6 balance=0.5", 2},
    {"attention", "mix=logit", 1},
    /*B*/ {"xmoe", "balance=0.5 dim=3", 2},
    {"xmoe", "balance=0.5 balance_count=all gate=sigmoid balance_temperature=0.8 dim=4", 1},
    {"xmoe", "variant=code balance=0.5 gate=prob", 3},
    /*C*/ {"loss-free", "", 2},
    {"loss-free", "score=softmax gate=prob", 3},
    {"loss-free", "", 1},
    {"quantile", "", 2},
    {"quantile", "score=sigmoid", 3},
    {"quantile", "score=logits gate=prob", 2},
    {"quantile", "score=logits", 1},
    {"quantile", "form=dynamic score=sigmoid", 2},
    {"quantile", "form=dynamic", 1},
    {"random", "", 2},
    {"random", "gate=prob", 1},
    {"acmoe", "balance=0.8", 2},
    {"acmoe", "balance=0.8 noise=0 gate=prob", 1},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

#endif
