/* test_vit_router_steps.c - whole routers on the golden tokens of the design, and the steps
 * on which they balance: which are drawn, what they change, over which tokens (routing.md
 * 0.4, 3, 4). */
#include "tests/test_leaks.h"
#include "tests/test_vit_router_rig.h"

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

    for (size_t i = 0; i < r->pass.out.count; i++)
        load[r->pass.out.expert[i]]++;
    ck_assert_uint_eq(load[0], a);
    ck_assert_uint_eq(load[1], b);
    ck_assert_uint_eq(load[2], c);
}

START_TEST(sinkhorn_balances_in_training_only)
{
    rig r;

    rig_open_golden(&r, "sinkhorn", "xi=0.5");
    vit_router_forward(r.router, &r.pass);
    expect_loads(&r, 3, 3, 2);
    ck_assert(r.pass.report.used_sinkhorn && r.pass.report.sinkhorn_converged);
    ck_assert_int_gt(r.pass.report.sinkhorn_iterations, 5);
    ck_assert_double_lt(r.pass.report.sinkhorn_residual, 1e-4 * 4 / 3);
    r.pass.in.training = false;
    vit_router_forward(r.router, &r.pass);
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
    vit_router_forward(r.router, &r.pass);
    ck_assert(r.pass.report.used_sinkhorn);
    for (size_t a = 0; a < 8; a++) {
        ck_assert_double_eq_tol((double)r.pass.out.gate[a], cases[_i].gate[a], 2e-6);
        r.weight[a] = (float)golden_d_a[a / 2 * 3 + r.pass.out.expert[a]];
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
    r.pass.in.loss_scale = 0.5;
    vit_router_forward(r.router, &r.pass);
    ck_assert_double_eq_tol(r.pass.report.aux_loss, 0.2 * 1.5305250, 2e-7);
    r.router->backward(&r.pass, nothing);
    for (size_t i = 0; i < 24; i++)
        ck_assert_double_eq_tol((double)r.d_x[i], 0.5 * 0.2 / 2 * balance[i % 12], 1e-7);
    rig_close(&r);
}
END_TEST

/* ---- auxiliary losses, straight from the papers -------------------------------------- */

typedef struct loss_case {
    const char *router, *options;
    double balance, z, importance, load;
    size_t k;
    bool all; /* every choice counts, not the first alone */
} loss_case;

/* Groups of 9, 9 and 3 tokens. */
static const loss_case loss_cases[] = {
    {"softmax", "balance=0.5 z=0.1", .balance = 0.5, .z = 0.1, .k = 2},
    {"softmax", "balance=0 z=0.25 noise=0.5", .z = 0.25, .k = 1},
    {"softmax", "balance=0.5 balance_count=all noise=0.5", .balance = 0.5, .k = 2,
     .all = true},
    {"momentum", "balance=0.3 z=0.1", .balance = 0.3, .z = 0.1, .k = 2},
    {"adam", "balance=0.3 z=0.1", .balance = 0.3, .z = 0.1, .k = 2},
    {"robust-momentum", "balance=0.3 balance_count=all", .balance = 0.3, .k = 3,
     .all = true},
    {"similarity", "balance=0.3 z=0.1 noise=0.4", .balance = 0.3, .z = 0.1, .k = 2},
    {"attention", "balance=0.3 z=0.1 mix=logit", .balance = 0.3, .z = 0.1, .k = 2},
    {"s2moe", "balance=0.3 z=0.1 uncertainty=0", .balance = 0.3, .z = 0.1, .k = 2},
    {"vmoe", "importance=0.7 load=0.6", .importance = 0.7, .load = 0.6, .k = 2},
    {"vmoe", "importance=0 load=0.6 noise=2", .load = 0.6, .k = 1},
    {"vmoe", "importance=0.7 load=0.6 noise=0", .importance = 0.7, .k = 2},
    {"acmoe", "balance=0.8", .importance = 0.4, .load = 0.4, .k = 2},
    {"acmoe", "balance=0.8 noise=0", .importance = 0.4, .k = 1},
};
enum { LOSS_CASES = sizeof loss_cases / sizeof loss_cases[0] };

/* (standard deviation / mean)^2 of n numbers. */
static double squared_variation(const double *x, size_t n)
{
    double mean = 0, squares = 0;

    for (size_t e = 0; e < n; e++)
        mean += x[e] / (double)n;
    for (size_t e = 0; e < n; e++)
        squares += (x[e] - mean) * (x[e] - mean) / (double)n;
    return squares / (mean * mean);
}

/* Of tokens first .. end - 1. */
static double group_loss(const rig *r, const loss_case *c, size_t first, size_t end,
                         double sigma)
{
    enum { E = 5, D = 6 };
    const vit_route_state state = vit_route_state_of(&r->pass);
    const size_t k = c->k;
    const double tokens = (double)(end - first);
    double chosen[E] = {0}, p[E] = {0}, chance[E] = {0}, roots = 0, balance = 0;

    for (size_t t = first; t < end; t++) {
        double z[E] = {0}, sum = 0;
        const uint16_t *expert = r->pass.out.expert + t * k;
        for (size_t e = 0; e < E; e++) {
            for (size_t i = 0; i < D; i++)
                z[e] += (double)r->x[t * D + i] * (double)r->w[e * D + i];
            sum += exp(z[e]);
        }
        for (size_t j = 0; j < (c->all ? k : 1); j++)
            chosen[expert[j]] += 1 / (tokens * (c->all ? (double)k : 1));
        for (size_t e = 0; e < E; e++) {
            p[e] += exp(z[e]) / sum / tokens;
            if (sigma > 0) /* from the noisy score of the last that was chosen */
                chance[e] += 0.5 * erfc((state.score[t * E + expert[k - 1]] - z[e]) /
                                        sigma / sqrt(2));
        }
        roots += log(sum) * log(sum) / tokens;
    }
    for (size_t e = 0; e < E; e++)
        balance += E * chosen[e] * p[e];
    return c->balance * balance + c->z * roots + c->importance * squared_variation(p, E) +
           (c->load > 0 ? c->load * squared_variation(chance, E) : 0);
}

START_TEST(auxiliary_losses_are_those_of_the_papers)
{
    const loss_case *c = &loss_cases[_i];
    vit_router_shape shape = usual;
    char noise[32] = "0";
    rig r;

    shape.k = c->k;
    rig_open(&r, c->router, c->options, shape);
    r.pass.in.loss_scale = 0.25; /* of the gradient alone */
    vit_router_forward(r.router, &r.pass);
    vit_router_get(&r.config, "noise", noise, sizeof noise);
    const double sigma = strtod(noise, NULL) / 5;
    const double expected =
        (group_loss(&r, c, 0, 9, sigma) + group_loss(&r, c, 9, 18, sigma) +
         group_loss(&r, c, 18, 21, sigma)) /
        3;
    ck_assert_double_gt(expected, 0.01);
    ck_assert_double_eq_tol(r.pass.report.aux_loss, expected, 1e-5 * expected);
    r.pass.in.training = false;
    vit_router_forward(r.router, &r.pass);
    ck_assert(r.pass.report.aux_loss == 0);
    rig_close(&r);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------- */

static void pass_over(rig *r)
{
    const vit_router_shape *s = &r->pass.plan.shape;

    memset(r->d_x, 0, s->tokens * s->width * sizeof *r->d_x);
    for (size_t p = 0; p < r->params; p++)
        memset(r->d_param[p], 0, r->count[p] * sizeof(float));
    if (r->d_attention)
        memset(r->d_attention, 0, rig_pairs(s) * sizeof *r->d_attention);
    vit_router_forward(r->router, &r->pass);
    r->router->backward(&r->pass, r->weight);
}

/* Numbers that are none in the memory that a router is given, then a pass over other
 * tokens: the next pass has the same bits as a first one; and all stays in that memory. */
START_TEST(what_the_state_held_before_is_forgotten)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        vit_router_shape shape = usual;
        rig fresh, old;
        shape.k = v->k;
        rig_open(&fresh, v->router, v->options, shape);
        rig_open(&old, v->router, v->options, shape);
        ck_assert_uint_gt(old.state_bytes, 0);
        memset(old.state, 0xff, old.state_bytes);
        rig_fill(&old, 5);
        pass_over(&old);
        rig_fill(&old, 0);
        pass_over(&old);
        pass_over(&fresh);
        const vit_router_pass *a = &fresh.pass, *b = &old.pass;
        ck_assert_uint_eq(a->out.count, b->out.count);
        ck_assert_mem_eq(a->out.expert, b->out.expert, a->out.count * sizeof(uint16_t));
        ck_assert_mem_eq(a->out.token, b->out.token, a->out.count * sizeof(uint32_t));
        ck_assert_mem_eq(a->out.gate, b->out.gate, a->out.count * sizeof(float));
        ck_assert_mem_eq(a->out.probs, b->out.probs,
                         shape.tokens * shape.experts * sizeof(double));
        ck_assert_mem_eq(fresh.d_x, old.d_x, shape.tokens * shape.width * sizeof(float));
        for (size_t p = 0; p < fresh.params; p++)
            ck_assert_msg(memcmp(fresh.d_param[p], old.d_param[p],
                                 fresh.count[p] * sizeof(float)) == 0,
                          "%s %s", v->router, v->options);
        if (fresh.d_attention)
            ck_assert_mem_eq(fresh.d_attention, old.d_attention,
                             rig_pairs(&shape) * sizeof(float));
        ck_assert(a->report.aux_loss == b->report.aux_loss);
        ck_assert_int_eq(a->report.sinkhorn_iterations, b->report.sinkhorn_iterations);
        ck_assert(a->report.sinkhorn_residual == b->report.sinkhorn_residual);
        rig_close(&fresh);
        rig_close(&old);
    }
}
END_TEST

/* ---- gradients ----------------------------------------------------------------------- */

/* The loss along direction from at [count], h to both sides, over 2 h. False: somebody
 * chooses otherwise on the way. */
static bool slope_along(double *slope, rig *r, float *at, const double *direction,
                        size_t count, uint64_t chosen)
{
    const double h = 4e-3;
    float kept[256];
    double loss[2];
    bool same = true;

    ck_assert_uint_le(count, 256);
    memcpy(kept, at, count * sizeof *at);
    for (int side = 0; side < 2 && same; side++) {
        for (size_t i = 0; i < count; i++)
            at[i] = (float)((double)kept[i] + (side ? h : -h) * direction[i]);
        loss[side] = rig_loss(r);
        same = rig_choice(r) == chosen;
    }
    memcpy(at, kept, count * sizeof *at);
    *slope = same ? (loss[1] - loss[0]) / (2 * h) : 0;
    return same;
}

/* Along the gradient and away from it by half as much. */
static bool agrees(rig *r, float *at, const float *gradient, size_t count, uint64_t chosen,
                   const char *what)
{
    base_rng rng = base_rng_make(8, BASE_PURPOSE_TEST, count, 0, 0);
    double direction[256], length = 0, away = 0, expected = 0, found;

    for (size_t i = 0; i < count; i++) {
        direction[i] = base_rng_normal(&rng);
        length += (double)gradient[i] * (double)gradient[i];
        away += direction[i] * direction[i];
    }
    length = sqrt(length);
    ck_assert_msg(length > 1e-4, "%s: a gradient of 0", what);
    for (size_t i = 0; i < count; i++) {
        direction[i] = 0.5 * direction[i] / sqrt(away) + (double)gradient[i] / length;
        expected += direction[i] * (double)gradient[i];
    }
    if (!slope_along(&found, r, at, direction, count, chosen))
        return false;
    ck_assert_msg(fabs(found - expected) < 0.02 * length + 1e-3, "%s: %g, expected %g",
                  what, expected, found);
    return true;
}

/* Every tensor's gradient in one look each; number by number: test_vit_router_pass.c. */
START_TEST(gradients_are_slopes)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        vit_router_shape shape = usual;
        bool done = false;
        char what[160];
        rig r;
        shape.k = v->k;
        rig_open(&r, v->router, v->options, shape);
        r.pass.in.loss_scale = 1.5;
        for (uint64_t stream = 0; !done; stream++) {
            ck_assert_uint_lt(stream, 300);
            rig_fill(&r, stream);
            pass_over(&r);
            const uint64_t chosen = rig_choice(&r);
            snprintf(what, sizeof what, "%s %s, tokens", v->router, v->options);
            done = agrees(&r, r.x, r.d_x, shape.tokens * shape.width, chosen, what);
            for (size_t p = 0; done && p < r.params; p++) {
                snprintf(what, sizeof what, "%s %s, %zu", v->router, v->options, p);
                done = r.is_state[p] ||
                       agrees(&r, r.param[p], r.d_param[p], r.count[p], chosen, what);
            }
            snprintf(what, sizeof what, "%s %s, attention", v->router, v->options);
            if (done && r.d_attention)
                done =
                    agrees(&r, r.attention, r.d_attention, rig_pairs(&shape), chosen, what);
        }
        rig_close(&r);
    }
}
END_TEST

static void expect_twice(const float *at, const float *once, size_t count, const variant *v)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(
            fabs((double)at[i] - 2 * (double)once[i]) < 1e-5 + 1e-4 * fabs((double)once[i]),
            "%s %s: %g, once %g", v->router, v->options, (double)at[i], (double)once[i]);
}

/* Once more over the same tokens: all gradients are twice what they were. */
START_TEST(gradients_are_added)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        vit_router_shape shape = usual;
        rig r, twice;
        shape.k = v->k;
        rig_open(&r, v->router, v->options, shape);
        rig_open(&twice, v->router, v->options, shape);
        pass_over(&r);
        pass_over(&twice);
        vit_router_forward(twice.router, &twice.pass);
        twice.router->backward(&twice.pass, twice.weight);
        expect_twice(twice.d_x, r.d_x, shape.tokens * shape.width, v);
        for (size_t p = 0; p < r.params; p++)
            expect_twice(twice.d_param[p], r.d_param[p], r.count[p], v);
        if (r.d_attention)
            expect_twice(twice.d_attention, r.d_attention, rig_pairs(&shape), v);
        rig_close(&r);
        rig_close(&twice);
    }
}
END_TEST

/* Parameters that are frozen: what is left has the same bits. */
START_TEST(frozen_parameters_change_no_other_gradient)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        vit_router_shape shape = usual;
        rig r, frozen;
        shape.k = v->k;
        rig_open(&r, v->router, v->options, shape);
        rig_open(&frozen, v->router, v->options, shape);
        pass_over(&r);
        for (size_t still = 0; still < r.params; still++) {
            frozen.pass.gradient.param[still] = NULL;
            pass_over(&frozen);
            ck_assert_mem_eq(frozen.d_x, r.d_x, shape.tokens * shape.width * sizeof(float));
            for (size_t p = 0; p < r.params; p++)
                for (size_t at = 0; at < r.count[p]; at++)
                    ck_assert_msg(
                        frozen.d_param[p][at] == (p == still ? 0 : r.d_param[p][at]),
                        "%s %s, %zu without %zu", v->router, v->options, p, still);
            frozen.pass.gradient.param[still] = frozen.d_param[still];
        }
        rig_close(&r);
        rig_close(&frozen);
    }
}
END_TEST

/* ---- what is not said ---------------------------------------------------------------- */

/* A router that decides itself does what another says; a third one says something else.
 * Gates and losses of a pass. */
static const struct {
    const char *router, *silent, *said, *other;
    size_t k;
} settings_left[] = {
    {"softmax", "", "gate=renorm", "gate=prob", 2},
    {"softmax", "", "gate=prob", "balance=0", 1},
    {"acmoe", "noise=0", "noise=0 gate=renorm", "noise=0 gate=prob", 2},
    {"random", "", "gate=renorm", "gate=prob", 2},
    {"sinkhorn", "", "gate=prob", "gate=sigmoid", 2},
    {"sinkhorn", "", "gate=sigmoid", "gate=prob", 1},
    {"xmoe", "", "gate=renorm", "gate=prob", 2},
    {"xmoe", "", "gate=prob", "gate=sigmoid", 1},
    {"xmoe", "balance=1", "balance=1 balance_temperature=0.3",
     "balance=1 balance_temperature=1", 2},
    {"xmoe", "variant=code balance=1", "variant=code balance=1 balance_temperature=1",
     "variant=code balance=1 balance_temperature=0.3", 2},
    {"xmoe", "", "dim=2", "dim=3", 2}, /* of five experts */
    {"usmoe", "", "eval_k=2", "eval_k=1", 2},
    {"expert-choice", "", "cf=2", "cf=1", 2},
    {"expert-choice", "cf=1.1", "cf=1.1 multiple=1", "cf=1.1 multiple=3", 2},
    {"expert-choice", "scope=group", "scope=group multiple=4", "scope=group multiple=1", 2},
    {"ssr", "p=1 noise=0", "p=1 noise=0 xi=1", "p=1 noise=0 xi=0.5", 2},
    {"ssr", "p=1 noise=0 cost=softmax", "p=1 noise=0 cost=softmax xi=0.5",
     "p=1 noise=0 cost=softmax xi=1", 2},
};

START_TEST(routers_that_decide_themselves_do_as_documented)
{
    for (size_t i = 0; i < sizeof settings_left / sizeof settings_left[0]; i++) {
        const char *options[3] = {settings_left[i].silent, settings_left[i].said,
                                  settings_left[i].other};
        vit_router_shape shape = usual;
        double told[3];
        shape.k = settings_left[i].k;
        for (size_t j = 0; j < 3; j++) {
            rig r;
            rig_open(&r, settings_left[i].router, options[j], shape);
            r.pass.in.training = strcmp(settings_left[i].router, "usmoe") != 0;
            told[j] = rig_loss(&r) + (double)r.pass.out.count;
            rig_close(&r);
        }
        ck_assert_msg(told[0] == told[1], "%s %s is not %s", settings_left[i].router,
                      options[0], options[1]);
        ck_assert_msg(told[0] != told[2], "%s %s is %s", settings_left[i].router,
                      options[0], options[2]);
    }
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
            r.pass.in.step = step;
            r.pass.in.layer = layer;
            vit_router_forward(r.router, &r.pass);
            drawn[layer] = r.pass.report.used_sinkhorn;
            hits[layer] += drawn[layer];
            r.pass.in.first_token =
                1000; /* another rank, or a recomputed pass: the same draw */
            vit_router_forward(r.router, &r.pass);
            ck_assert_int_eq(r.pass.report.used_sinkhorn, drawn[layer]);
            r.pass.in.first_token = 0;
        }
        both += drawn[0] && drawn[1];
    }
    for (int layer = 0; layer < 2; layer++) /* mean 400, standard deviation 19 */
        ck_assert(hits[layer] > 310 && hits[layer] < 490);
    ck_assert(both > 12 && both < 76); /* mean 40, standard deviation 6.3 */
    rig_close(&r);
}
END_TEST

/* router.steps of a run of known length in place of p; the same number is foretold. */
START_TEST(so_many_sinkhorn_steps_a_run_may_be_asked_for)
{
    enum { STEPS = 4000, ASKED = 400 };
    size_t hits = 0;
    rig r;

    rig_open(&r, "ssr", "p=0.9 steps=400 max_iter=1", usual);
    r.pass.in.steps = STEPS;
    for (uint64_t step = 0; step < STEPS; step++) {
        r.pass.in.step = step;
        vit_router_forward(r.router, &r.pass);
        hits += r.pass.report.used_sinkhorn;
    }
    ck_assert(hits > 310 && hits < 490); /* mean 400, standard deviation 19 */
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, STEPS), ASKED, 1e-9);
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, 100), 100, 1e-9);
    r.pass.in.steps = 0; /* of unknown length: by p */
    for (uint64_t step = hits = 0; step < 100; step++) {
        r.pass.in.step = step;
        vit_router_forward(r.router, &r.pass);
        hits += r.pass.report.used_sinkhorn;
    }
    ck_assert_uint_gt(hits, 70);
    rig_close(&r);
    configure(&r, "ssr", "p=0.001");
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, 3124), 3.124, 1e-9);
    configure(&r, "sinkhorn", "");
    ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&r.config, 3124), 3124, 1e-9);
    configure(&r, "softmax", "");
    ck_assert(vit_router_sinkhorn_steps(&r.config, 3124) == 0);
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
        vit_router_forward(r[i].router, &r[i].pass);
        for (size_t a = 0; a < r[i].pass.out.count; a++)
            load[i][r[i].pass.out.expert[a]]++;
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
    vit_router_forward(whole.router, &whole.pass);
    for (size_t first = 0; first < 21; first += 9) {
        part.tokens = first < 18 ? 9 : 3;
        part.group_tokens = part.tokens;
        rig_open(&alone, "ssr", "p=1 noise=0", part);
        memcpy(alone.w, whole.w, part.experts * part.width * sizeof(float));
        memcpy(alone.x, whole.x + first * part.width,
               part.tokens * part.width * sizeof(float));
        vit_router_forward(alone.router, &alone.pass);
        ck_assert_mem_eq(alone.pass.out.expert, whole.pass.out.expert + first * 2,
                         alone.pass.out.count * sizeof(uint16_t));
        for (size_t a = 0; a < alone.pass.out.count; a++)
            expect_close(alone.pass.out.gate[a], whole.pass.out.gate[first * 2 + a], 1e-6);
        rig_close(&alone);
    }
    rig_close(&whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_steps");
    TCase *core = test_case_of_threads("Core");

    tcase_add_test(core, sinkhorn_balances_in_training_only);
    tcase_add_loop_test(core, ssr_step_has_the_golden_gates_and_gradients, 0, 5);
    tcase_add_test(core, losses_are_weighted_and_averaged_over_groups);
    tcase_add_test(core, what_the_state_held_before_is_forgotten);
    tcase_add_test(core, routers_that_decide_themselves_do_as_documented);
    tcase_add_test(core, gradients_are_slopes);
    tcase_add_test(core, gradients_are_added);
    tcase_add_test(core, frozen_parameters_change_no_other_gradient);
    tcase_add_loop_test(core, auxiliary_losses_are_those_of_the_papers, 0, LOSS_CASES);
    tcase_add_test(core, sinkhorn_steps_are_drawn_by_step_and_layer);
    tcase_add_test(core, so_many_sinkhorn_steps_a_run_may_be_asked_for);
    tcase_add_test(core, sinkhorn_steps_spread_skewed_tokens);
    tcase_add_test(core, scope_group_balances_each_group_alone);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
