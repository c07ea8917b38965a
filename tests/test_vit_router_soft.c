/* test_vit_router_soft.c - Soft MoE and adaptive clustering: golden numbers of
 * routing-newer.md 18 and 19, identities, whole networks against finite differences. */
#include "tests/test_leaks.h"
#include "tests/test_slope.h"
#include "tests/test_vit_router_rig.h"
#include "vit/run_internal.h"

/* ---- soft: T 4, d 3, E 2, p 1, f_0(x) = 2 x, f_1(x) = -x ----------------------------- */

enum { TOKENS = 4, WIDTH = 3, SLOTS = 2 };

static const float soft_x[12] = {1, .5f, -.5f, .2f, -1, .3f, 0, .8f, .6f, -.7f, .1f, .9f};
static const float soft_phi[6] = {.5f, -.3f, .8f, .2f, .9f, -.1f}; /* [E, p, D] */
static const float jacobian[SLOTS] = {2, -1};

typedef struct soft_rig {
    vit_router_config config;
    vit_exec exec;
    vit_router_pass pass;
    float view[6], d_view[6], both[18], d_both[18], y[12], d_x[12], d_phi[6], d_scale;
    float phi[6], scale;
    double probs[8];
    uint32_t start[TOKENS + SLOTS + 1], token[SLOTS];
    uint16_t expert[SLOTS];
    float gate[SLOTS];
    _Alignas(64) unsigned char state[1 << 14];
} soft_rig;

static soft_rig s;

static void soft_open(const char *options)
{
    rig chosen;

    memset(&s, 0, sizeof s);
    configure(&chosen, "soft", options);
    s.config = chosen.config;
    memcpy(s.phi, soft_phi, sizeof s.phi);
    s.scale = 1.5f;
    s.pass = (vit_router_pass){.plan.shape = {.config = &s.config,
                                              .tokens = TOKENS,
                                              .tokens_per_image = TOKENS,
                                              .group_tokens = TOKENS,
                                              .width = WIDTH,
                                              .heads = 1,
                                              .experts = 2,
                                              .k = 2},
                               .plan.exec = &s.exec,
                               .in.x = soft_x,
                               .out.view = s.view,
                               .in.param = {s.phi, &s.scale},
                               .in.loss_scale = 1,
                               .plan.state = s.state,
                               .out.probs = s.probs,
                               .out.start = s.start,
                               .out.token = s.token,
                               .out.expert = s.expert,
                               .out.gate = s.gate,
                               .gradient.x = s.d_x,
                               .gradient.view = s.d_view,
                               .gradient.param = {s.d_phi, &s.d_scale}};
    s.pass.plan.shape.others = vit_router_soft.views->others(&s.pass.plan.shape);
    ck_assert_uint_le(vit_router_soft.state_bytes(&s.pass.plan.shape), sizeof s.state);
}

/* The experts' results follow those of the tokens. */
static void soft_forward(void)
{
    vit_router_soft.forward(&s.pass);
    for (size_t i = 0; i < 6; i++)
        s.both[12 + i] = jacobian[i / 3] * s.view[i];
    vit_router_soft.views->mix(&s.pass, s.y, s.both);
}

static void expect_floats(const float *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)got[i] - want[i]) <= 2e-6 * fmax(1, fabs(want[i])),
                      "entry %zu is %.9g, expected %.9g", i, (double)got[i], want[i]);
}

START_TEST(soft_has_the_golden_slots_outputs_and_gradients)
{
    static const double u[6] = {.052829075, -.11064502, .39641939,
                                .30700754,  .52413425,  .19985764};
    static const double y[12] = {-.19491215, -.44187047,  .069795716, .066893755,
                                 -.24973819, .69958829,   -.17043558, -.42390777,
                                 .12867584,  -.036071483, -.32530159, .45189815};
    static const float w[12] = {.1f,  -.2f, .3f, .4f, 0,   -.1f,
                                -.3f, .2f,  .1f, .2f, .1f, -.4f};
    static const double d_x[12] = {.29922787,  -.083147036, .11495646, .33433561,
                                   .065104014, -.17490342,  .19160629, -.0044317301,
                                   -.12991528, -.026014068, .21594594, -.33604997};
    static const double d_phi[6] = {.62148753,   .065650528, -.36381091,
                                    -.053649175, .014765168, .025588803};

    soft_open("slots=1");
    soft_forward();
    expect_floats(s.view, u, 6);
    expect_floats(s.y, y, 12);
    vit_router_soft.views->mix_backward(&s.pass, s.d_both, w, s.both);
    for (size_t i = 0; i < 6; i++)
        s.d_view[i] = jacobian[i / 3] * s.d_both[12 + i];
    vit_router_soft.backward(&s.pass, NULL);
    expect_floats(s.d_x, d_x, 12);
    expect_floats(s.d_phi, d_phi, 6);
    expect_floats(&s.d_scale, &(double){-.11489833}, 1);
}
END_TEST

/* Weights C of L = [[-.0619, .9245], ...], by hand: sigmoids of differences. */
START_TEST(soft_reports_its_weights)
{
    static const double l[8] = {-.061858905, .92447261, .91225985, -1.3542298,
                                .36365455,   1.0675433, .45011253, -.19784907};
    double combine = 0, dispatch = 0, entropy = 0;

    soft_open("slots=1");
    soft_forward();
    ck_assert(s.pass.report.soft.is_soft);
    ck_assert_uint_eq(s.start[TOKENS], 0); /* no token is assigned */
    ck_assert_uint_eq(s.pass.out.count, SLOTS);
    for (size_t t = 0; t < 4; t++) {
        const double c = 1 / (1 + exp(l[2 * t + 1] - l[2 * t]));
        combine = fmax(combine, fmax(c, 1 - c));
        entropy -= (c * log(c) + (1 - c) * log(1 - c)) / 4;
        ck_assert_double_eq_tol(s.probs[2 * t], c, 1e-6);
        for (size_t j = 0; j < 2; j++) {
            double sum = 0;
            for (size_t other = 0; other < 4; other++)
                sum += exp(l[2 * other + j] - l[2 * t + j]);
            dispatch = fmax(dispatch, 1 / sum);
        }
    }
    ck_assert_double_eq_tol(s.pass.report.soft.combine_max, combine, 1e-6);
    ck_assert_double_eq_tol(s.pass.report.soft.dispatch_max, dispatch, 1e-6);
    ck_assert_double_eq_tol(s.pass.report.soft.combine_entropy, entropy, 1e-6);
}
END_TEST

START_TEST(equal_columns_give_every_slot_the_same_token)
{
    soft_open("slots=1");
    memcpy(s.phi + 3, s.phi, 3 * sizeof *s.phi);
    soft_forward();
    for (size_t i = 0; i < 3; i++) {
        ck_assert(s.view[i] == s.view[3 + i]);
        for (size_t t = 0; t < 4; t++) /* C is 1 / 2: half of 2 u - u */
            ck_assert_double_eq_tol((double)s.y[3 * t + i], 0.5 * (double)s.view[i], 1e-6);
    }
    memset(s.phi, 0, sizeof s.phi); /* no direction at all: the mean token */
    soft_forward();
    for (size_t i = 0; i < 3; i++) {
        double mean = 0;
        for (size_t t = 0; t < 4; t++)
            mean += (double)soft_x[3 * t + i] / 4;
        ck_assert_double_eq_tol((double)s.view[i], mean, 1e-6);
        ck_assert_double_eq_tol((double)s.view[3 + i], mean, 1e-6);
    }
}
END_TEST

START_TEST(permuting_tokens_permutes_results)
{
    static const size_t order[4] = {2, 0, 3, 1};
    float straight[12], x[12];

    soft_open("slots=1");
    soft_forward();
    memcpy(straight, s.y, sizeof straight);
    for (size_t i = 0; i < 12; i++)
        x[i] = soft_x[3 * order[i / 3] + i % 3];
    s.pass.in.x = x;
    soft_forward();
    for (size_t i = 0; i < 12; i++)
        ck_assert_double_eq_tol((double)s.y[i], (double)straight[3 * order[i / 3] + i % 3],
                                1e-6);
}
END_TEST

/* ---- whole networks ------------------------------------------------------------------ */

typedef struct net {
    const char *router, *options, *layers;
    int shared, k;
    double dropout, drop_path, capacity;
    vit_mode mode;
} net;

static const net nets[] = {
    {"soft", "", "every:2", 0, 2, 0, 0, 0, VIT_MODE_TRAIN},
    {"soft", "slots=3", "0,1,2", 0, 2, .2, .4, 0, VIT_MODE_TRAIN},
    {"soft", "cf=0.5", "0,2", 2, 2, 0, 0, 0, VIT_MODE_INPUT_GRADIENT},
    {"soft", "slots=1", "0,1", 1, 2, .2, 0, 0, VIT_MODE_TRAIN},
    {"softmax", "", "every:2", 1, 2, .2, .3, 0, VIT_MODE_TRAIN},
    {"softmax", "gate=prob", "0,2", 2, 2, 0, 0, 0.5, VIT_MODE_INPUT_GRADIENT},
    {"softmax", "gate=prob", "0,2", 2, 1, 0, 0, 0.8, VIT_MODE_TRAIN},
    {"s2moe", "statistics=none sd=0.1 mu=0.1", "every:2", 1, 2, 0, .3, 0, VIT_MODE_TRAIN},
    {"momentum", "", "0,2", 1, 2, 0, 0, 0, VIT_MODE_TRAIN},
    {"hash", "", "every:2", 1, 1, 0, 0, 0, VIT_MODE_TRAIN},
};
enum { NETS = sizeof nets / sizeof nets[0] };

static vit_config net_config(const net *n)
{
    vit_config config = slope_config();
    rig r;

    configure(&r, n->router, n->options);
    config.moe.router = r.config;
    config.moe.shared = n->shared;
    config.moe.k = n->k;
    config.moe.dropout = n->dropout;
    config.drop_path = n->drop_path;
    config.moe.capacity = config.moe.eval_capacity = n->capacity;
    config.moe.capacity_multiple = 1;
    ck_assert_int_eq(vit_config_layers_set(&config, n->layers, NULL), BASE_OK);
    return config;
}

static vit_run *run_of(const vit_model *model, vit_mode mode)
{
    base_error err = {0};
    vit_run *run = NULL;

    ck_assert_msg(vit_run_create(&run, model, SLOPE_BATCH + 1, mode, VIT_PRECISION_FP32,
                                 &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

START_TEST(gradients_of_networks_are_those_of_finite_differences)
{
    const vit_config config = net_config(&nets[_i]);
    vit_model *model = slope_model(&config);
    vit_run *run = run_of(model, nets[_i].mode);

    slope_check_all(run, model, nets[_i].router);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

static void logits_of(float *out, const vit_model *model, vit_mode mode, size_t images)
{
    static float pixels[SLOPE_BATCH * SLOPE_FLOATS];
    vit_run *run = run_of(model, mode);

    slope_fill(pixels, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_forward(run, out, pixels, images, &(vit_step){.seed = 1}, NULL), BASE_OK);
    vit_run_destroy(run);
}

/* Inference shares its buffers; an image's logits do not depend on the images beside it. */
START_TEST(inference_equals_the_pass_that_keeps_everything)
{
    float lean[SLOPE_BATCH * SLOPE_CLASSES], kept[SLOPE_BATCH * SLOPE_CLASSES],
        one[SLOPE_BATCH * SLOPE_CLASSES];
    const vit_config config = net_config(&nets[_i]);
    vit_model *model = slope_model(&config);

    logits_of(lean, model, VIT_MODE_INFER, SLOPE_BATCH);
    logits_of(kept, model, VIT_MODE_INPUT_GRADIENT, SLOPE_BATCH);
    for (size_t i = 0; i < SLOPE_BATCH * SLOPE_CLASSES; i++)
        ck_assert_double_eq_tol((double)lean[i], (double)kept[i], 2e-4);
    logits_of(one, model, VIT_MODE_INFER, 1);
    for (size_t i = 0; i < SLOPE_CLASSES && !vit_config_mixes_images(&config); i++)
        ck_assert_double_eq_tol((double)lean[i], (double)one[i], 2e-4);
    vit_model_destroy(model);
}
END_TEST

/* Everything of `from` that `to` has too. */
static void weights_copy(vit_model *to, const vit_model *from)
{
    for (size_t i = 0; i < vit_model_parameter_count(from); i++) {
        const vit_parameter *p = vit_model_parameter(from, i);
        const vit_parameter *q = vit_model_parameter_find(to, p->name);
        if (q)
            memcpy(vit_model_weights(to) + q->offset,
                   vit_model_weights_const(from) + p->offset, p->count * sizeof(float));
    }
}

START_TEST(a_shared_expert_that_says_nothing_changes_nothing)
{
    static const vit_mode modes[] = {VIT_MODE_INFER, VIT_MODE_TRAIN};
    const net with = {.router = _i ? "soft" : "softmax",
                      .options = "",
                      .layers = "0,2",
                      .shared = 2,
                      .k = 2,
                      .drop_path = 0.4};
    net without = with;
    without.shared = 0;
    const vit_config configs[2] = {net_config(&with), net_config(&without)};
    vit_model *shared = slope_model(&configs[0]), *plain = slope_model(&configs[1]);
    float one[SLOPE_BATCH * SLOPE_CLASSES], two[SLOPE_BATCH * SLOPE_CLASSES];

    weights_copy(shared, plain);
    logits_of(one, plain, VIT_MODE_INFER, SLOPE_BATCH);
    logits_of(two, shared, VIT_MODE_INFER, SLOPE_BATCH);
    ck_assert_mem_ne(one, two, sizeof one);
    for (size_t i = 0; i < vit_model_parameter_count(shared); i++) {
        const vit_parameter *p = vit_model_parameter(shared, i);
        if (strstr(p->name, ".moe.shared.fc2."))
            memset(vit_model_weights(shared) + p->offset, 0, p->count * sizeof(float));
    }
    for (size_t mode = 0; mode < 2; mode++) {
        logits_of(one, plain, modes[mode], SLOPE_BATCH);
        logits_of(two, shared, modes[mode], SLOPE_BATCH);
        ck_assert_mem_eq(one, two, sizeof one);
    }
    /* two more MLPs of every token and layer, and nothing of a router */
    const double mlp = 2.0 * 24 * 40 * 2 * 10;
    ck_assert_double_eq_tol(vit_model_flops(shared) - vit_model_flops(plain), 2 * 2 * mlp,
                            1e-6);
    ck_assert_uint_eq(vit_model_active_floats(shared) - vit_model_active_floats(plain),
                      2 * 2 * (2 * 24 * 40 + 24 + 40));
    vit_model_destroy(shared);
    vit_model_destroy(plain);
}
END_TEST

/* E p slots through an MLP, and three products of N x E p x D; no logits of E columns. */
START_TEST(operations_of_slots_are_counted)
{
    const net n = {.router = "soft", .options = "slots=3", .layers = "1", .k = 2};
    const net dense = {.router = "soft", .options = "", .layers = "none", .k = 2};
    const vit_config configs[2] = {net_config(&n), net_config(&dense)};
    vit_model *soft = slope_model(&configs[0]), *plain = slope_model(&configs[1]);
    const double tokens = 10, slots = 12, mlp = 2.0 * 24 * 40;

    ck_assert_double_eq_tol(vit_model_flops(soft) - vit_model_flops(plain),
                            2 * ((slots - tokens) * mlp + 3 * tokens * slots * 24), 1e-6);
    ck_assert_uint_eq(vit_model_active_floats(soft), vit_model_floats(soft));
    vit_model_destroy(soft);
    vit_model_destroy(plain);
}
END_TEST

START_TEST(another_input_size_keeps_the_slots)
{
    const net n = {.router = "soft", .options = "", .layers = "1", .k = 2};
    const vit_config config = net_config(&n);
    vit_model *model = slope_model(&config), *larger = NULL;
    base_error err = {0};
    char text[32];

    ck_assert_msg(vit_model_resize(&larger, model, 20, &err) == BASE_OK, "%s", err.text);
    const vit_parameter *p = vit_model_parameter_find(model, "blocks.1.moe.router.phi"),
                        *q = vit_model_parameter_find(larger, "blocks.1.moe.router.phi");
    ck_assert_int_eq(p->rank, 3);
    ck_assert_uint_eq(p->shape[0], 4);
    ck_assert_uint_eq(p->shape[1], 3); /* round(10 / 4) by halves away from zero */
    ck_assert_uint_eq(p->shape[2], 24);
    ck_assert_mem_eq(p->shape, q->shape, sizeof p->shape);
    ck_assert_str_eq(
        vit_router_get(&vit_model_config(larger)->moe.router, "slots", text, sizeof text),
        "3");
    ck_assert(vit_model_parameter_find(model, "blocks.1.moe.router.scale")->rank == 1);
    vit_model_destroy(larger);
    vit_model_destroy(model);
}
END_TEST

/* ---- acmoe --------------------------------------------------------------------------- */

static const float ac_x[10] = {1, .2f, 1.2f, .9f, .8f, -.4f, -.5f, .1f, -.6f, 1.1f};

START_TEST(acmoe_scales_by_the_golden_weights)
{
    static const double want[10] = {.94555701, .056763199, 1.1346684,  .2554344, .75644561,
                                    -.1135264, -.75,       .025228719, -.9,      .27751591};
    static const uint16_t choice[5] = {0, 0, 0, 1, 1};
    static const uint32_t start[6] = {0, 1, 2, 3, 4, 5};
    const vit_router_pass before = {.out.expert = (uint16_t *)(uintptr_t)choice,
                                    .out.start = (uint32_t *)(uintptr_t)start};
    const vit_router_shape shape = {.tokens = 5,
                                    .tokens_per_image = 5,
                                    .group_tokens = 5,
                                    .width = 2,
                                    .heads = 1,
                                    .experts = 2,
                                    .k = 1};
    float x[10], ones[10];
    rig r;

    rig_open(&r, "acmoe", "", shape);
    memcpy(x, ac_x, sizeof x);
    vit_router_acmoe.alter(&r.pass, x); /* the first layer: nothing to go by */
    ck_assert_mem_eq(x, ac_x, sizeof x);
    r.pass.in.before = &before;
    for (int training = 0; training < 2; training++) { /* one image: the same clusters */
        r.pass.in.training = training;
        memcpy(x, ac_x, sizeof x);
        vit_router_acmoe.alter(&r.pass, x);
        expect_floats(x, want, 10);
        for (size_t i = 0; i < 10; i++)
            ones[i] = 1;
        vit_router_acmoe.alter_backward(&r.pass, ones);
        for (size_t i = 0; i < 10; i++)
            ck_assert_double_eq_tol((double)(ones[i] * ac_x[i]), want[i], 2e-6);
    }
    rig_close(&r);
}
END_TEST

/* A token alone in its cluster: as it is in evaluation, one of a very narrow cluster in
 * training. */
START_TEST(clusters_of_one_token_are_left_alone_in_evaluation)
{
    static const uint16_t choice[5] = {0, 0, 1, 0, 0};
    static const uint32_t start[6] = {0, 1, 2, 3, 4, 5};
    const vit_router_pass before = {.out.expert = (uint16_t *)(uintptr_t)choice,
                                    .out.start = (uint32_t *)(uintptr_t)start};
    const vit_router_shape shape = {.tokens = 5,
                                    .tokens_per_image = 5,
                                    .group_tokens = 5,
                                    .width = 2,
                                    .heads = 1,
                                    .experts = 2,
                                    .k = 1};
    float x[10];
    rig r;

    rig_open(&r, "acmoe", "", shape);
    r.pass.in.before = &before;
    r.pass.in.training = false;
    memcpy(x, ac_x, sizeof x);
    vit_router_acmoe.alter(&r.pass, x);
    ck_assert(x[4] == ac_x[4] && x[5] == ac_x[5] && x[0] != ac_x[0]);
    r.pass.in.training = true;
    memcpy(x, ac_x, sizeof x);
    vit_router_acmoe.alter(&r.pass, x);
    ck_assert_double_gt(fabs((double)(x[4] / ac_x[4])), 1.4);
    rig_close(&r);
}
END_TEST

START_TEST(acmoe_alone_is_softmax)
{
    const net ac = {
        .router = "acmoe", .options = "noise=0 balance=0", .layers = "1", .k = 2};
    net plain = ac;
    plain.router = "softmax";
    plain.options = "balance=0";
    const vit_config configs[2] = {net_config(&ac), net_config(&plain)};
    vit_model *one = slope_model(&configs[0]), *two = slope_model(&configs[1]);
    float a[SLOPE_BATCH * SLOPE_CLASSES], b[SLOPE_BATCH * SLOPE_CLASSES];

    logits_of(a, one, VIT_MODE_TRAIN, SLOPE_BATCH);
    logits_of(b, two, VIT_MODE_TRAIN, SLOPE_BATCH);
    ck_assert_mem_eq(a, b, sizeof a);
    vit_model_destroy(one);
    vit_model_destroy(two);
}
END_TEST

/* In evaluation an image is on its own; with scope = batch it is not, and the config says
 * so. */
START_TEST(acmoe_says_whether_images_meet)
{
    const net ac = {
        .router = "acmoe", .options = _i ? "scope=batch" : "", .layers = "0,1,2", .k = 2};
    const vit_config config = net_config(&ac);
    vit_model *model = slope_model(&config);
    float all[SLOPE_BATCH * SLOPE_CLASSES], one[SLOPE_BATCH * SLOPE_CLASSES];
    double apart = 0;

    logits_of(all, model, VIT_MODE_INFER, SLOPE_BATCH);
    logits_of(one, model, VIT_MODE_INFER, 1);
    for (size_t i = 0; i < SLOPE_CLASSES; i++)
        apart = fmax(apart, fabs((double)all[i] - (double)one[i]));
    ck_assert(vit_config_mixes_images(&config) == (_i == 1));
    if (_i)
        ck_assert_double_gt(apart, 1e-2);
    else
        ck_assert_double_lt(apart, 2e-4);
    vit_model_destroy(model);
}
END_TEST

/* W is a constant of backward: finite differences hold it. Weights of a layer, as alter
 * made them first. */
static float held[VIT_DEPTH_MAX][SLOPE_BATCH * 10 * 24];
static bool is_held[VIT_DEPTH_MAX];

static void held_apply(vit_router_pass *pass, float *x)
{
    for (size_t i = 0; i < pass->plan.shape.tokens * pass->plan.shape.width; i++)
        x[i] *= held[pass->in.layer][i];
}

static void held_alter(vit_router_pass *pass, float *x)
{
    float *w = held[pass->in.layer];

    if (!is_held[pass->in.layer]) {
        vit_router_acmoe.alter(pass, x);
        for (size_t i = 0; i < pass->plan.shape.tokens * pass->plan.shape.width; i++)
            w[i] = 1;
        vit_router_acmoe.alter_backward(pass, w);
        is_held[pass->in.layer] = true;
    } else {
        held_apply(pass, x);
    }
}

START_TEST(acmoe_gradients_hold_the_weights)
{
    static const vit_mode modes[] = {VIT_MODE_TRAIN, VIT_MODE_INPUT_GRADIENT};
    const net ac = {.router = "acmoe", .options = "noise=0.5", .layers = "0,1,2", .k = 2};
    const vit_config config = net_config(&ac);
    vit_model *model = slope_model(&config);
    vit_router router = vit_router_acmoe;
    vit_run *run = NULL;

    router.alter = held_alter;
    router.alter_backward = held_apply;
    ck_assert_int_eq(vit_run_create_with(&run, model, &router, SLOPE_BATCH,
                                         &(vit_run_options){.mode = modes[_i]}, NULL),
                     BASE_OK);
    slope_check_all(run, model, "acmoe");
    ck_assert(is_held[2]);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_soft");
    TCase *core = test_case_of_threads("Core"),
          *gradient = test_case_of_threads("Gradient");

    tcase_add_test(core, soft_has_the_golden_slots_outputs_and_gradients);
    tcase_add_test(core, soft_reports_its_weights);
    tcase_add_test(core, equal_columns_give_every_slot_the_same_token);
    tcase_add_test(core, permuting_tokens_permutes_results);
    tcase_add_loop_test(core, inference_equals_the_pass_that_keeps_everything, 0, NETS);
    tcase_add_loop_test(core, a_shared_expert_that_says_nothing_changes_nothing, 0, 2);
    tcase_add_test(core, operations_of_slots_are_counted);
    tcase_add_test(core, another_input_size_keeps_the_slots);
    tcase_add_test(core, acmoe_scales_by_the_golden_weights);
    tcase_add_test(core, clusters_of_one_token_are_left_alone_in_evaluation);
    tcase_add_test(core, acmoe_alone_is_softmax);
    tcase_add_loop_test(core, acmoe_says_whether_images_meet, 0, 2);
    tcase_add_loop_test(gradient, gradients_of_networks_are_those_of_finite_differences, 0,
                        NETS);
    tcase_add_loop_test(gradient, acmoe_gradients_hold_the_weights, 0, 2);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
