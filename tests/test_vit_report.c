/* test_vit_report.c - what a run says of its routing: tokens, probabilities and losses of
 * every router in training and in evaluation; who is kept by the capacity, the order and
 * the groups of the mode; and calls that make no sense, refused in words. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "tests/test_vit_router.h"

enum { TOKENS = 10, EXPERTS = 4, LAYERS = 2 }; /* of an image, of slope_config */

static float images[SLOPE_BATCH * SLOPE_FLOATS];
static float logits[SLOPE_BATCH * SLOPE_CLASSES];

static void setup(void)
{
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 3);
}

/* Experts in blocks 0 and 2. */
static vit_config config_of(const char *router, const char *key, const char *value)
{
    base_error err = {0};
    vit_config config = slope_config();

    ck_assert_int_eq(vit_config_layers_set(&config, "0,2", &err), BASE_OK);
    ck_assert_int_eq(vit_router_select(&config.moe.router, router, &err), BASE_OK);
    if (key)
        ck_assert_msg(vit_router_set(&config.moe.router, key, value, &err) == BASE_OK, "%s",
                      err.text);
    config.moe.k = 2;
    return config;
}

static vit_run *run_of(const vit_model *model, vit_mode mode)
{
    base_error err = {0};
    vit_run *run = NULL;

    ck_assert_msg(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, &err) == BASE_OK,
        "%s", err.text);
    return run;
}

static void forward(vit_run *run, size_t count)
{
    base_error err = {0};

    ck_assert_msg(vit_run_forward(run, logits, images, count, &(vit_step){.steps = 9},
                                  &err) == BASE_OK,
                  "%s", err.text);
}

/* Which routers make a plan: never, in training, always; show logits; are soft. */
static const struct {
    const char *router, *key, *value;
    bool plans_training, plans_always, without_logits, soft, loses;
} reports[] = {
    {"softmax", .loses = true},
    {"vmoe", .loses = true},
    {"sinkhorn", .plans_training = true},
    {"ssr", "p", "1", .plans_training = true},
    {"ssr", "p", .value = "0"},
    {"momentum", .loses = true},
    {"adam", .loses = true},
    {"robust-momentum", .loses = true},
    {"sinkhorn-ot", .plans_always = true},
    {.router = "usmoe"},
    {.router = "expert-choice"},
    {"similarity", .loses = true},
    {"attention", .loses = true},
    {"s2moe", .loses = true},
    {"xmoe", .loses = true},
    {.router = "loss-free"},
    {.router = "quantile"},
    {.router = "random"},
    {"hash", .without_logits = true},
    {"soft", .without_logits = true, .soft = true},
    {"acmoe", .loses = true},
};
enum { REPORTS = sizeof reports / sizeof reports[0] };

static void check_routing(const vit_routing *r, size_t count, bool training, size_t which)
{
    ck_assert_uint_eq(r->tokens, count * TOKENS);
    ck_assert_uint_eq(r->tokens_per_image, TOKENS);
    ck_assert_uint_eq(r->experts, EXPERTS);
    ck_assert_uint_eq(r->start[0], 0);
    ck_assert_uint_eq(r->start[r->tokens], r->count);
    ck_assert_double_gt(r->seconds, 0);
    ck_assert(r->soft.is_soft == reports[which].soft);
    ck_assert((r->logits == NULL) == reports[which].without_logits);
    ck_assert_msg((r->aux_loss > 0) == (training && reports[which].loses), "%s: %g",
                  reports[which].router, r->aux_loss);
    ck_assert(r->used_sinkhorn ==
              ((training && reports[which].plans_training) || reports[which].plans_always));
    ck_assert((r->sinkhorn_iterations > 0) == r->used_sinkhorn);
    ck_assert(r->sinkhorn_residual >= 0 && (r->used_sinkhorn || r->sinkhorn_residual == 0));
    ck_assert(!r->sinkhorn_converged || r->used_sinkhorn);
    for (size_t t = 0; t < r->tokens; t++) {
        double sum = 0, most = -INFINITY, powers = 0;
        ck_assert_uint_le(r->start[t], r->start[t + 1]);
        for (size_t a = r->start[t]; a < r->start[t + 1]; a++) {
            ck_assert_uint_eq(r->token[a], t);
            ck_assert_uint_lt(r->expert[a], EXPERTS);
            ck_assert(r->gate[a] >= 0 && r->gate[a] <= 1.0001f && r->kept[a]);
            ck_assert(a == r->start[t] || r->expert[a] != r->expert[a - 1]);
        }
        for (size_t e = 0; e < EXPERTS; e++) {
            sum += r->probs[t * EXPERTS + e];
            most = r->logits ? fmax(most, r->logits[t * EXPERTS + e]) : 0;
        }
        ck_assert_double_eq_tol(sum, 1, 1e-5);
        for (size_t e = 0; r->logits && e < EXPERTS; e++)
            powers += exp(r->logits[t * EXPERTS + e] - most);
        for (size_t e = 0; r->logits && e < EXPERTS; e++)
            if (strcmp(reports[which].router, "loss-free") != 0) /* a share of sigmoids */
                ck_assert_double_eq_tol(r->probs[t * EXPERTS + e],
                                        exp(r->logits[t * EXPERTS + e] - most) / powers,
                                        1e-9);
    }
}

START_TEST(every_router_reports_its_pass)
{
    const vit_config config =
        config_of(reports[_i].router, reports[_i].key, reports[_i].value);
    vit_model *model = slope_model(&config);

    for (int training = 0; training < 2; training++) {
        vit_run *run = run_of(model, training ? VIT_MODE_TRAIN : VIT_MODE_INFER);
        ck_assert_uint_eq(vit_run_moe_count(run), LAYERS);
        for (size_t count = SLOPE_BATCH; count > 0; count -= SLOPE_BATCH / 2) {
            double sum = 0;
            forward(run, count);
            for (size_t i = 0; i < LAYERS; i++) {
                const vit_routing r = vit_run_routing(run, i);
                check_routing(&r, count, training == 1, (size_t)_i);
                sum += r.aux_loss;
            }
            ck_assert_double_eq(vit_run_aux_loss(run), sum);
        }
        vit_run_destroy(run);
    }
    vit_model_destroy(model);
}
END_TEST

/* ---- capacity ------------------------------------------------------------------------ */

static const struct {
    const char *router;
    double capacity, eval_capacity;
    bool bpr, eval_bpr;
    int group_images, multiple, shared;
} limits[] = {
    {"softmax", 0.5, 0, false, false, 0, 4, 0},
    {"softmax", 0, 0.5, false, false, 0, 4, 0},
    {"softmax", 0.5, 0.8, true, false, 0, 1, 0},
    {"softmax", 0.8, 0.5, false, true, 0, 1, 2},
    {"softmax", 0.6, 0.9, true, true, 2, 1, 0},
    {"softmax", 0.6, 0.9, true, true, 4, 3, 1},
    {"softmax", 0.7, 0.7, false, false, 9, 1, 0}, /* more than there are: all */
    {"vmoe", 0.6, 0.5, false, true, 1, 2, 0},
    {"s2moe", 0.6, 0.5, false, false, 0, 1, 0}, /* groups of each view */
    {"s2moe", 0.6, 0.5, true, true, 4, 1, 1},
};
enum { LIMITS = sizeof limits / sizeof limits[0] };

/* The rule of dispatch.c, built anew from what the run says, keeps the same. */
static size_t check_kept(const vit_run *run, size_t layer, size_t count, size_t which,
                         bool training)
{
    enum { MOST = 2 * SLOPE_BATCH * TOKENS * 4 };
    static uint32_t row[MOST], assignment[MOST], scratch[2 * MOST];
    static bool kept[MOST];
    const vit_routing r = vit_run_routing(run, layer);
    const bool views = training && strcmp(limits[which].router, "s2moe") == 0;
    const size_t tokens = (views ? 2 : 1) * count * TOKENS;
    const size_t group = (size_t)limits[which].group_images;
    const vit_dispatch_rule rule = {
        .view_tokens = count * TOKENS,
        .group_tokens = (group > 0 && group < SLOPE_BATCH ? group : SLOPE_BATCH) * TOKENS,
        .experts = EXPERTS,
        .capacity = training ? limits[which].capacity : limits[which].eval_capacity,
        .multiple = limits[which].multiple,
        .k = 2,
        .bpr = training ? limits[which].bpr : limits[which].eval_bpr};
    vit_dispatch d = {
        .row = row, .kept = kept, .assignment = assignment, .scratch = scratch};
    size_t dropped = 0;

    memset(kept, 0, sizeof kept);
    vit_dispatch_build(&d, r.start, r.expert, r.gate, tokens, &rule);
    ck_assert_mem_eq(r.kept, kept, r.start[tokens] * sizeof *kept);
    for (size_t a = 0; a < r.start[tokens]; a++)
        dropped += !r.kept[a];
    ck_assert((dropped > 0) == (rule.capacity > 0));
    return dropped;
}

START_TEST(the_mode_decides_who_is_kept)
{
    vit_config config = config_of(limits[_i].router, NULL, NULL);

    config.moe.capacity = limits[_i].capacity;
    config.moe.eval_capacity = limits[_i].eval_capacity;
    config.moe.bpr = limits[_i].bpr;
    config.moe.eval_bpr = limits[_i].eval_bpr;
    config.moe.group_images = limits[_i].group_images;
    config.moe.capacity_multiple = limits[_i].multiple;
    config.moe.shared = limits[_i].shared;
    vit_model *model = slope_model(&config);
    for (vit_mode mode = VIT_MODE_INFER; mode <= VIT_MODE_TRAIN; mode++) {
        vit_run *run = run_of(model, mode);
        for (size_t count = SLOPE_BATCH; count > 2; count -= 2) {
            forward(run, count);
            for (size_t i = 0; i < LAYERS; i++)
                check_kept(run, i, count, (size_t)_i, mode == VIT_MODE_TRAIN);
        }
        vit_run_destroy(run);
    }
    vit_model_destroy(model);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

static void refused(base_status status, base_status expected, base_error *err,
                    const char *words)
{
    ck_assert_str_eq(err->text, words);
    ck_assert_int_eq(status, expected);
    ck_assert_int_eq(err->status, expected);
    *err = (base_error){0};
}

START_TEST(calls_that_make_no_sense_are_refused_in_words)
{
    static float d_routing[LAYERS * SLOPE_BATCH * TOKENS * EXPERTS];
    static float d_images[SLOPE_BATCH * SLOPE_FLOATS];
    static uint16_t sets[SLOPE_BATCH * LAYERS * TOKENS * 2];
    static const char no_sense[] =
        "router logits get a gradient in an input gradient run with experts only";
    const vit_config sparse = config_of("softmax", NULL, NULL), dense = slope_config();
    const vit_config hash = config_of("hash", NULL, NULL),
                     usmoe = config_of("usmoe", NULL, NULL);
    vit_model *model = slope_model(&sparse), *plain = slope_model(&dense);
    vit_model *hashed = slope_model(&hash), *paired = slope_model(&usmoe);
    base_error err = {0};
    vit_run *none = NULL, *infer = run_of(model, VIT_MODE_INFER);
    vit_run *input = run_of(model, VIT_MODE_INPUT_GRADIENT),
            *train = run_of(model, VIT_MODE_TRAIN);
    char words[96];

    const size_t large = UINT32_MAX / VIT_EXPERTS_MAX / TOKENS + 1;
    for (size_t i = 0; i < 2; i++) {
        const size_t batch = i ? SIZE_MAX / 4 : large;
        snprintf(words, sizeof words, "batch %zu is too large", batch);
        refused(
            vit_run_create(&none, model, batch, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
            BASE_USAGE, &err, words);
    }
    refused(vit_run_create(&none, model, 0, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
            BASE_USAGE, &err, "batch is 0, expected at least 1 image");
    ck_assert_ptr_null(none);
    refused(vit_run_forward(infer, logits, images, 0, &(vit_step){0}, &err), BASE_USAGE,
            &err, "batch of 0 images, expected 1 to 6");
    refused(vit_run_forward(infer, logits, images, 7, &(vit_step){0}, &err), BASE_USAGE,
            &err, "batch of 7 images, expected 1 to 6");
    forward(infer, SLOPE_BATCH);
    forward(input, SLOPE_BATCH);
    forward(train, SLOPE_BATCH);
    refused(vit_run_backward(infer, NULL, logits, &err), BASE_USAGE, &err,
            "an inference run has no backward pass");
    refused(vit_run_backward_routing(train, NULL, logits, d_routing, &err), BASE_USAGE,
            &err, no_sense);
    vit_run *other = run_of(plain, VIT_MODE_INPUT_GRADIENT);
    forward(other, SLOPE_BATCH);
    refused(vit_run_backward_routing(other, d_images, logits, d_routing, &err), BASE_USAGE,
            &err, no_sense);
    vit_run_destroy(other);
    other = run_of(hashed, VIT_MODE_INPUT_GRADIENT);
    forward(other, SLOPE_BATCH);
    refused(vit_run_backward_routing(other, d_images, logits, d_routing, &err),
            BASE_UNSUPPORTED, &err, "the router 'hash' shows no logits");
    vit_run_destroy(other);
    other = run_of(paired, VIT_MODE_INFER);
    refused(vit_run_routing_fix(other, sets, 1, &err), BASE_UNSUPPORTED, &err,
            "the router 'usmoe' cannot replay choices");
    vit_run_destroy(other);
    refused(vit_run_routing_fix(train, sets, 1, &err), BASE_USAGE, &err,
            "a training run chooses its experts itself");
    sets[LAYERS * TOKENS * 2 - 1] = EXPERTS;
    refused(vit_run_routing_fix(infer, sets, 1, &err), BASE_USAGE, &err, "expert 4 of 4");
    sets[LAYERS * TOKENS * 2 - 1] = EXPERTS - 1;
    ck_assert_int_eq(vit_run_routing_fix(infer, sets, 2, &err), BASE_OK);
    refused(vit_run_forward(infer, logits, images, 3, &(vit_step){0}, &err), BASE_USAGE,
            &err, "batch of 3 images, routing is fixed for 2");
    refused(vit_run_capacity_set(train, 1, false, &err), BASE_USAGE, &err,
            "a training run goes by moe.capacity, not by another");
    refused(vit_run_capacity_set(infer, -1, false, &err), BASE_USAGE, &err,
            "'moe.eval_capacity' is -1, expected 0 to below 1e+06");
    refused(vit_run_capacity_set(infer, 0, true, &err), BASE_USAGE, &err,
            "'moe.eval_bpr' is on, expected a moe.eval_capacity above 0");
    ck_assert_ptr_nonnull(vit_run_gradients(train));
    ck_assert_ptr_null(vit_run_gradients(input));
    ck_assert_ptr_null(vit_run_gradients(infer));
    vit_run_destroy(train);
    vit_run_destroy(input);
    vit_run_destroy(infer);
    vit_model_destroy(paired);
    vit_model_destroy(hashed);
    vit_model_destroy(plain);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_report");
    TCase *core = test_case_of_threads("Core"), *limit = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, NULL);
    tcase_add_checked_fixture(limit, setup, NULL);
    tcase_add_loop_test(core, every_router_reports_its_pass, 0, REPORTS);
    tcase_add_loop_test(core, the_mode_decides_who_is_kept, 0, LIMITS);
    tcase_add_test(limit, calls_that_make_no_sense_are_refused_in_words);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limit);
    return test_run(suite);
}
