/* test_vit_router_pass.c - whole routers as the network runs them, single precision at the
 * border: central differences of gates and losses, golden numbers, and what training and
 * evaluation promise (routing.md 0.4, 3, 4.4, 4.9, 4.11). */
#include "tests/test_vit_router.h"

enum { CANARY = 0x5A, CANARY_BYTES = 256 };

static void expect_close(float got, float want, double tolerance)
{
    ck_assert_double_eq_tol((double)got, (double)want, tolerance);
}

/* A router with all that a pass needs. loss = sum of gate * weight + auxiliary loss. */
typedef struct rig {
    const vit_router *router;
    vit_router_config config;
    vit_exec exec;
    vit_router_pass pass;
    float *x, *w, *d_x, *d_w, *weight;
    unsigned char *state;
    size_t state_bytes;
} rig;

static void configure(rig *r, const char *name, const char *options)
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

static void *take(size_t count, size_t bytes)
{
    void *at = base_alloc(count, bytes);

    ck_assert_ptr_nonnull(at);
    return at;
}

/* Normal tokens, weights and gradients of test stream number stream. */
static void rig_fill(rig *r, uint64_t stream)
{
    const vit_router_shape *s = &r->pass.shape;
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, stream, 0, 0);

    for (size_t i = 0; i < s->tokens * s->width; i++)
        r->x[i] = (float)base_rng_normal(&rng);
    for (size_t i = 0; i < s->experts * s->width; i++)
        r->w[i] = (float)(1.2 * base_rng_normal(&rng) / sqrt((double)s->width));
    for (size_t i = 0; i < r->router->assignments(s); i++)
        r->weight[i] = (float)base_rng_normal(&rng);
}

static void rig_open(rig *r, const char *name, const char *options, vit_router_shape shape)
{
    memset(r, 0, sizeof *r);
    configure(r, name, options);
    shape.config = &r->config;
    vit_router_pass *p = &r->pass;
    *p = (vit_router_pass){.shape = shape,
                           .exec = &r->exec,
                           .training = true,
                           .seed = 7,
                           .step = 3,
                           .layer = 1,
                           .loss_scale = 1.0};
    const size_t t = shape.tokens, count = r->router->assignments(&shape);
    r->state_bytes = r->router->state_bytes(&shape);
    r->state = take(r->state_bytes + CANARY_BYTES, 1);
    memset(r->state + r->state_bytes, CANARY, CANARY_BYTES);
    r->x = take(t * shape.width, sizeof(float));
    r->w = take(shape.experts * shape.width, sizeof(float));
    r->d_x = take(t * shape.width, sizeof(float));
    r->d_w = take(shape.experts * shape.width, sizeof(float));
    r->weight = take(count, sizeof(float));
    p->state = r->state;
    p->x = r->x;
    p->param[0] = r->w;
    p->d_x = r->d_x;
    p->d_param[0] = r->d_w;
    p->probs = take(t * shape.experts, sizeof(double));
    p->start = take(t + 1, sizeof(uint32_t));
    p->token = take(count, sizeof(uint32_t));
    p->expert = take(count, sizeof(uint16_t));
    p->gate = take(count, sizeof(float));
    rig_fill(r, 0);
}

static void rig_close(rig *r)
{
    for (size_t i = 0; i < CANARY_BYTES; i++)
        ck_assert_uint_eq(r->state[r->state_bytes + i], CANARY);
    ck_assert(!atomic_load(&r->exec.failed));
    base_free(r->state);
    base_free(r->x);
    base_free(r->w);
    base_free(r->d_x);
    base_free(r->d_w);
    base_free(r->weight);
    base_free(r->pass.probs);
    base_free(r->pass.start);
    base_free(r->pass.token);
    base_free(r->pass.expert);
    base_free(r->pass.gate);
}

static double rig_loss(rig *r)
{
    double sum = 0.0;

    r->router->forward(&r->pass);
    for (size_t a = 0; a < r->pass.count; a++)
        sum += (double)r->pass.gate[a] * (double)r->weight[a];
    return sum + r->pass.loss_scale * r->pass.aux_loss;
}

static const vit_router_shape usual = {.tokens = 21,
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

#define EXACT "p=1 max_iter=10000 delta=0.000000000001 "
static const variant variants[] = {
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
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* Central differences of the loss by at [count] into out. False when the choice of experts
 * changes on the way: there the loss is not differentiable. */
static bool differences(double *out, rig *r, float *at, size_t count,
                        const uint16_t *expert)
{
    const float h = 2e-3f;
    const size_t bytes = r->pass.count * sizeof *expert;
    bool same = true;

    for (size_t i = 0; same && i < count; i++) {
        const float kept = at[i], high = kept + h, low = kept - h;
        at[i] = high;
        const double up = rig_loss(r);
        same = memcmp(r->pass.expert, expert, bytes) == 0;
        at[i] = low;
        const double down = rig_loss(r);
        same = same && memcmp(r->pass.expert, expert, bytes) == 0;
        at[i] = kept;
        out[i] = (up - down) / ((double)high - (double)low);
    }
    return same;
}

/* Relative, over the whole tensor. */
static void expect_gradient(const float *gradient, const double *want, size_t count)
{
    double squares = 0.0, errors = 0.0;

    for (size_t i = 0; i < count; i++) {
        squares += want[i] * want[i];
        errors += pow((double)gradient[i] - want[i], 2);
    }
    ck_assert_double_gt(squares, 1e-6);
    ck_assert_msg(sqrt(errors / squares) < 1e-3, "relative error %g",
                  sqrt(errors / squares));
}

START_TEST(gradients_are_those_of_central_differences)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    double by_x[21 * 6], by_w[5 * 6];
    uint16_t expert[21 * 5];
    bool done = false;
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    r.pass.loss_scale = 1.5;
    for (uint64_t stream = 0; !done;
         stream++) { /* most are too near to a change of experts */
        ck_assert_uint_lt(stream, 500);
        rig_fill(&r, stream);
        rig_loss(&r);
        memcpy(expert, r.pass.expert, r.pass.count * sizeof *expert);
        done = differences(by_x, &r, r.x, shape.tokens * shape.width, expert) &&
               differences(by_w, &r, r.w, shape.experts * shape.width, expert);
    }
    rig_loss(&r);
    r.router->backward(&r.pass, r.weight);
    expect_gradient(r.d_x, by_x, shape.tokens * shape.width);
    expect_gradient(r.d_w, by_w, shape.experts * shape.width);
    rig_close(&r);
}
END_TEST

START_TEST(gradients_are_added_and_those_not_wanted_left_out)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    float once[21 * 6];
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    rig_loss(&r);
    r.router->backward(&r.pass, r.weight);
    memcpy(once, r.d_x, sizeof once);
    r.pass.d_param[0] = NULL;
    r.router->backward(&r.pass, r.weight); /* a second backward of the same forward */
    for (size_t i = 0; i < shape.tokens * shape.width; i++)
        expect_close(r.d_x[i], 2.0f * once[i], 1e-5);
    rig_close(&r);
}
END_TEST

START_TEST(evaluation_sees_every_token_alone)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual, part = usual;
    rig whole, alone;

    shape.k = part.k = v->k;
    shape.tokens = 63;
    part.tokens = 9;
    rig_open(&whole, v->router, v->options, shape);
    rig_open(&alone, v->router, v->options, part);
    whole.pass.training = alone.pass.training = false;
    alone.pass.seed = 99; /* nothing is drawn */
    alone.pass.step = 12;
    memcpy(alone.w, whole.w, part.experts * part.width * sizeof(float));
    whole.router->forward(&whole.pass);
    ck_assert_double_eq(whole.pass.aux_loss, 0.0);
    ck_assert(!whole.pass.used_sinkhorn);
    for (size_t first = 0; first < 63; first += 9) {
        const size_t a = first * v->k;
        memcpy(alone.x, whole.x + first * part.width, 9 * part.width * sizeof(float));
        alone.router->forward(&alone.pass);
        ck_assert_uint_eq(alone.pass.count, 9 * v->k);
        ck_assert_mem_eq(alone.pass.expert, whole.pass.expert + a,
                         9 * v->k * sizeof *alone.pass.expert);
        for (size_t i = 0; i < 9 * v->k; i++)
            expect_close(alone.pass.gate[i], whole.pass.gate[a + i], 1e-6);
    }
    rig_close(&whole);
    rig_close(&alone);
}
END_TEST

START_TEST(draws_follow_the_token_not_the_batch)
{
    vit_router_shape part = usual;
    rig whole, back;

    part.tokens = 9;
    rig_open(&whole, "vmoe", "noise=5", usual);
    rig_open(&back, "vmoe", "noise=5", part);
    memcpy(back.w, whole.w, part.experts * part.width * sizeof(float));
    memcpy(back.x, whole.x + 12 * part.width, 9 * part.width * sizeof(float));
    back.pass.first_token = 12; /* accumulation: the second part of the batch */
    whole.router->forward(&whole.pass);
    back.router->forward(&back.pass);
    ck_assert_mem_eq(back.pass.expert, whole.pass.expert + 24, 18 * sizeof(uint16_t));
    for (size_t i = 0; i < 18; i++)
        expect_close(back.pass.gate[i], whole.pass.gate[24 + i], 1e-6);
    back.pass.step++;
    back.router->forward(&back.pass);
    float change = 0.0f;
    for (size_t i = 0; i < 18; i++)
        change += fabsf(back.pass.gate[i] - whole.pass.gate[24 + i]);
    ck_assert(change > 0.1f);
    rig_close(&whole);
    rig_close(&back);
}
END_TEST

START_TEST(ssr_without_sinkhorn_steps_is_softmax)
{
    const char *const noise[2] = {"0", "0.4"};
    char ssr[64], softmax[64];
    vit_router_shape shape = usual;
    rig a, b;

    shape.k = 1 + (size_t)_i / 2; /* k = 1: probabilities as gates */
    snprintf(ssr, sizeof ssr, "p=0 noise=%s", noise[_i % 2]);
    snprintf(softmax, sizeof softmax, "balance=0 noise=%s", noise[_i % 2]);
    rig_open(&a, "ssr", ssr, shape);
    rig_open(&b, "softmax", softmax, shape);
    ck_assert_double_eq(rig_loss(&a), rig_loss(&b));
    ck_assert_mem_eq(a.pass.expert, b.pass.expert, a.pass.count * sizeof *a.pass.expert);
    ck_assert_mem_eq(a.pass.gate, b.pass.gate, a.pass.count * sizeof *a.pass.gate);
    ck_assert(!a.pass.used_sinkhorn);
    a.router->backward(&a.pass, a.weight);
    b.router->backward(&b.pass, b.weight);
    ck_assert_mem_eq(a.d_x, b.d_x, shape.tokens * shape.width * sizeof *a.d_x);
    rig_close(&a);
    rig_close(&b);
}
END_TEST

/* ---- the golden tokens through the pass: width 3, the weight an identity ------------- */

static void rig_open_golden(rig *r, const char *router, const char *options)
{
    const vit_router_shape shape = {.tokens = 4,
                                    .tokens_per_image = 4,
                                    .group_tokens = 4,
                                    .width = 3,
                                    .heads = 1,
                                    .experts = 3,
                                    .k = 2};

    rig_open(r, router, options, shape);
    for (size_t i = 0; i < 12; i++)
        r->x[i] = (float)golden_z[i];
    for (size_t i = 0; i < 9; i++)
        r->w[i] = i % 4 == 0;
}

static void expect_loads(const rig *r, size_t a, size_t b, size_t c)
{
    size_t load[3] = {0};

    for (size_t i = 0; i < r->pass.count; i++)
        load[r->pass.expert[i]]++;
    ck_assert_uint_eq(load[0], a);
    ck_assert_uint_eq(load[1], b);
    ck_assert_uint_eq(load[2], c);
}

START_TEST(sinkhorn_balances_in_training_only)
{
    rig r;

    rig_open_golden(&r, "sinkhorn", "xi=0.5");
    r.router->forward(&r.pass);
    expect_loads(&r, 3, 3, 2);
    ck_assert(r.pass.used_sinkhorn && r.pass.sinkhorn_converged);
    ck_assert_int_gt(r.pass.sinkhorn_iterations, 5);
    ck_assert_double_lt(r.pass.sinkhorn_residual, 1e-4 * 4 / 3);
    r.pass.training = false;
    r.router->forward(&r.pass);
    expect_loads(&r, 4, 3, 1);
    rig_close(&r);
}
END_TEST

/* Gates and d_z of 4.12; single precision at the border: 2e-6. */
START_TEST(ssr_step_has_the_golden_gates_and_gradients)
{
    static const struct {
        const char *options;
        double gate[8], d_z[12];
    } cases[] = {
        {"cost=linear gradient=exact",
         {.76366234, .23633766, .69574897, .30425103, .65533484, .34466516, .50385920,
          .49614080},
         {.14595040, -.17277147, .026821068, -.62855143, .63058498, -.0020335523, .50074564,
          .019049766, -.51979541, -.018144618, -.47686327, .49500789}},
        {"cost=linear gradient=frozen",
         {.76366234, .23633766, .69574897, .30425103, .65533484, .34466516, .50385920,
          .49614080},
         {.36096434, -.36096434, 0, -.42336468, .42336468, 0, .67761326, 0, -.67761326, 0,
          -.57496574, .57496574}},
        {"cost=linear gradient=none",
         {.76366234, .23633766, .69574897, .30425103, .65533484, .34466516, .50385920,
          .49614080},
         {0}},
        {"cost=softmax gradient=exact",
         {.62397743, .37602257, .54911002, .45088998, .52849784, .47150216, .55683514,
          .44316486},
         {-.011519533, .0098931596, .0016263736, -.24550223, .23031134, .015190897,
          .21720425, -.030537531, -.18666672, .029820119, -.20788672, .17806660}},
        {"cost=softmax gradient=frozen",
         {.62397743, .37602257, .54911002, .45088998, .52849784, .47150216, .55683514,
          .44316486},
         {.0093458156, -.0061403295, -.0032054862, -.22006356, .21137291, .0086906533,
          .24555090, -.036797333, -.20875356, .040988165, -.20913287, .16814471}},
    };
    char options[128];
    rig r;

    snprintf(options, sizeof options, EXACT "xi=0.5 noise=0 %s", cases[_i].options);
    rig_open_golden(&r, "ssr", options);
    r.router->forward(&r.pass);
    ck_assert(r.pass.used_sinkhorn);
    for (size_t a = 0; a < 8; a++) {
        ck_assert_double_eq_tol((double)r.pass.gate[a], cases[_i].gate[a], 2e-6);
        r.weight[a] = (float)golden_d_a[a / 2 * 3 + r.pass.expert[a]];
    }
    r.router->backward(&r.pass, r.weight);
    for (size_t i = 0; i < 12; i++) /* the weight is an identity: d_x = d_z */
        ck_assert_double_eq_tol((double)r.d_x[i], cases[_i].d_z[i], 2e-6);
    rig_close(&r);
}
END_TEST

START_TEST(losses_are_weighted_and_averaged_over_groups)
{
    /* two groups of the golden tokens have the loss of one, in value and gradient */
    const vit_router_shape twice = {.tokens = 8,
                                    .tokens_per_image = 4,
                                    .group_tokens = 4,
                                    .width = 3,
                                    .heads = 1,
                                    .experts = 3,
                                    .k = 2};
    const double balance[12] = {.068924136,  -.050354844, -.018569292, .10005451,
                                -.069891656, -.030162857, .098506773,  -.021479484,
                                -.077027289, .082324951,  -.026929378, -.055395572};
    const float nothing[16] = {0};
    rig r;

    rig_open(&r, "softmax", "balance=0.2 z=0", twice);
    for (size_t i = 0; i < 24; i++)
        r.x[i] = (float)golden_z[i % 12];
    for (size_t i = 0; i < 9; i++)
        r.w[i] = i % 4 == 0;
    r.pass.loss_scale = 0.5;
    r.router->forward(&r.pass);
    ck_assert_double_eq_tol(r.pass.aux_loss, 0.2 * 1.5305250, 2e-7);
    r.router->backward(&r.pass, nothing);
    for (size_t i = 0; i < 24; i++)
        ck_assert_double_eq_tol((double)r.d_x[i], 0.5 * 0.2 / 2 * balance[i % 12], 1e-7);
    rig_close(&r);
}
END_TEST

/* ---- selection of Sinkhorn steps ----------------------------------------------------- */

START_TEST(sinkhorn_steps_are_drawn_by_step_and_layer)
{
    enum { STEPS = 4000 };
    size_t hits[2] = {0}, both = 0;
    rig r;

    rig_open(&r, "ssr", "p=0.1 max_iter=1", usual);
    for (uint64_t step = 0; step < STEPS; step++) {
        bool drawn[2];
        for (uint64_t layer = 0; layer < 2; layer++) {
            r.pass.step = step;
            r.pass.layer = layer;
            r.router->forward(&r.pass);
            drawn[layer] = r.pass.used_sinkhorn;
            hits[layer] += drawn[layer];
            r.pass.first_token =
                1000; /* another rank, or a recomputed pass: the same draw */
            r.router->forward(&r.pass);
            ck_assert_int_eq(r.pass.used_sinkhorn, drawn[layer]);
            r.pass.first_token = 0;
        }
        both += drawn[0] && drawn[1];
    }
    for (int layer = 0; layer < 2; layer++) /* mean 400, standard deviation 19 */
        ck_assert(hits[layer] > 310 && hits[layer] < 490);
    ck_assert(both > 12 && both < 76); /* mean 40, standard deviation 6.3 */
    rig_close(&r);
}
END_TEST

START_TEST(sinkhorn_steps_spread_skewed_tokens)
{
    vit_router_shape shape = usual;
    size_t load[2][5] = {{0}};
    rig r[2];

    shape.tokens = shape.group_tokens = 500;
    rig_open(&r[0], "ssr", "p=0 noise=0", shape);
    rig_open(&r[1], "ssr", "p=1 noise=0 xi=0.5", shape);
    for (int i = 0; i < 2; i++) {
        for (size_t t = 0; t < shape.tokens; t++)
            r[i].x[t * shape.width] += 5.0f; /* all tokens share a direction */
        r[i].router->forward(&r[i].pass);
        for (size_t a = 0; a < r[i].pass.count; a++)
            load[i][r[i].pass.expert[a]]++;
    }
    size_t low[2] = {1000, 1000}, high[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        for (size_t e = 0; e < 5; e++) {
            low[i] = load[i][e] < low[i] ? load[i][e] : low[i];
            high[i] = load[i][e] > high[i] ? load[i][e] : high[i];
        }
        rig_close(&r[i]);
    }
    ck_assert_uint_gt(high[0], 4 * low[0]); /* ideal 200 */
    ck_assert_uint_lt(high[1], 240);
    ck_assert_uint_gt(low[1], 160);
}
END_TEST

START_TEST(scope_group_balances_each_group_alone)
{
    vit_router_shape part = usual;
    rig whole, alone;

    rig_open(&whole, "ssr", "p=1 noise=0 scope=group", usual); /* groups of 9, 9 and 3 */
    whole.router->forward(&whole.pass);
    for (size_t first = 0; first < 21; first += 9) {
        part.tokens = first < 18 ? 9 : 3;
        part.group_tokens = part.tokens;
        rig_open(&alone, "ssr", "p=1 noise=0", part);
        memcpy(alone.w, whole.w, part.experts * part.width * sizeof(float));
        memcpy(alone.x, whole.x + first * part.width,
               part.tokens * part.width * sizeof(float));
        alone.router->forward(&alone.pass);
        ck_assert_mem_eq(alone.pass.expert, whole.pass.expert + first * 2,
                         alone.pass.count * sizeof(uint16_t));
        for (size_t a = 0; a < alone.pass.count; a++)
            expect_close(alone.pass.gate[a], whole.pass.gate[first * 2 + a], 1e-6);
        rig_close(&alone);
    }
    rig_close(&whole);
}
END_TEST

/* ---- what every pass keeps ----------------------------------------------------------- */

START_TEST(outputs_keep_the_invariants)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    const uint64_t allocations = base_alloc_count();
    r.router->forward(&r.pass);
    r.router->backward(&r.pass, r.weight);
    ck_assert_uint_eq(base_alloc_count(), allocations);
    ck_assert_uint_eq(r.pass.count, shape.tokens * v->k);
    ck_assert_uint_eq(r.pass.start[0], 0);
    for (size_t t = 0; t < shape.tokens; t++) {
        double gates = 0.0, row = 0.0;
        for (size_t a = r.pass.start[t]; a < r.pass.start[t + 1]; a++) {
            ck_assert_uint_eq(r.pass.token[a], t);
            ck_assert_uint_lt(r.pass.expert[a], shape.experts);
            for (size_t b = r.pass.start[t]; b < a; b++)
                ck_assert_uint_ne(r.pass.expert[a], r.pass.expert[b]);
            ck_assert(r.pass.gate[a] > 0.0f && r.pass.gate[a] <= 1.0f);
            gates += (double)r.pass.gate[a];
        }
        for (size_t e = 0; e < shape.experts; e++)
            row += r.pass.probs[t * shape.experts + e];
        ck_assert_double_eq_tol(row, 1.0, 1e-14);
        if (strcmp(v->router, "ssr") == 0 && v->k > 1)
            ck_assert_double_eq_tol(gates, 1.0, 1e-6);
        else if (!strstr(v->options, "sigmoid"))
            ck_assert_double_lt(gates, 1.0 + 1e-6);
    }
    rig_close(&r);
}
END_TEST

START_TEST(a_smaller_batch_fits_the_planned_state)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    rig r;

    shape.k = v->k;
    shape.tokens = 700; /* several chunks */
    shape.group_tokens = 300;
    rig_open(&r, v->router, v->options, shape);
    const size_t sizes[] = {700, 699, 513, 300, 3, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        r.pass.shape.tokens = sizes[i];
        ck_assert_uint_le(r.router->state_bytes(&r.pass.shape), r.state_bytes);
        r.router->forward(&r.pass);
        r.router->backward(&r.pass, r.weight);
        for (size_t j = 0; j < sizes[i] * shape.width; j++)
            ck_assert(isfinite((double)r.d_x[j]));
    }
    rig_close(&r);
}
END_TEST

START_TEST(one_expert_takes_every_token)
{
    vit_router_shape shape = usual;
    rig r;

    shape.experts = shape.k = 1;
    for (size_t i = 0; vit_router_name(i); i++) {
        rig_open(&r, vit_router_name(i), "", shape);
        for (int training = 0; training < 2; training++) {
            r.pass.training = training;
            r.router->forward(&r.pass);
            r.router->backward(&r.pass, r.weight);
            for (size_t a = 0; a < r.pass.count; a++)
                ck_assert_uint_eq(r.pass.expert[a], 0);
        }
        rig_close(&r);
    }
}
END_TEST

START_TEST(nan_tokens_stay_inside_the_arrays)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    r.x[5] = NAN;
    r.x[40] = INFINITY;
    r.router->forward(&r.pass);
    r.router->backward(&r.pass, r.weight);
    for (size_t a = 0; a < r.pass.count; a++)
        ck_assert_uint_lt(r.pass.expert[a], shape.experts);
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_pass");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");
    TCase *gradient = tcase_create("Gradient");

    tcase_add_loop_test(core, evaluation_sees_every_token_alone, 0, VARIANTS);
    tcase_add_test(core, draws_follow_the_token_not_the_batch);
    tcase_add_loop_test(core, ssr_without_sinkhorn_steps_is_softmax, 0, 4);
    tcase_add_test(core, sinkhorn_balances_in_training_only);
    tcase_add_loop_test(core, ssr_step_has_the_golden_gates_and_gradients, 0, 5);
    tcase_add_test(core, losses_are_weighted_and_averaged_over_groups);
    tcase_add_test(core, sinkhorn_steps_are_drawn_by_step_and_layer);
    tcase_add_test(core, sinkhorn_steps_spread_skewed_tokens);
    tcase_add_test(core, scope_group_balances_each_group_alone);
    tcase_add_loop_test(core, outputs_keep_the_invariants, 0, VARIANTS);
    tcase_add_loop_test(limits, a_smaller_batch_fits_the_planned_state, 0, VARIANTS);
    tcase_add_test(limits, one_expert_takes_every_token);
    tcase_add_loop_test(limits, nan_tokens_stay_inside_the_arrays, 0, VARIANTS);
    tcase_add_loop_test(gradient, gradients_are_those_of_central_differences, 0, VARIANTS);
    tcase_add_loop_test(gradient, gradients_are_added_and_those_not_wanted_left_out, 0,
                        VARIANTS);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
