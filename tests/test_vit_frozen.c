/* test_vit_frozen.c - training runs whose first layers are frozen: they compute what they
 * do in evaluation, leave no gradient, and the gradients of all other layers are the same
 * to the bit as without. */
#include <check.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "tests/test_says.h"
#include "vit/vit.h"

typedef struct frozen_case {
    const char *name, *layers, *router;
    vit_pool pool;
    int prelogits, registers;
    bool fc_norm, pre_norm;
} frozen_case;

/* The routers here do in training what they do in evaluation. */
static const frozen_case cases[] = {
    {.name = "dense", .layers = "none", .router = "softmax"},
    {.name = "a layer before the head",
     .layers = "none",
     .router = "softmax",
     .prelogits = 10,
     .pre_norm = true},
    {.name = "mean over the patches",
     .layers = "1",
     .router = "softmax",
     .pool = VIT_POOL_GAP,
     .registers = 2},
    {.name = "a norm after the mean",
     .layers = "2",
     .router = "softmax",
     .pool = VIT_POOL_GAP,
     .fc_norm = true},
    {.name = "momentum from layer to layer", .layers = "0,1,2", .router = "momentum"},
    {.name = "soft", .layers = "0,2", .router = "soft"},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static vit_model *model_of(const frozen_case *c, double drop)
{
    base_error err = {0};
    vit_config config = slope_config();

    config.pool = c->pool;
    config.prelogits = c->prelogits;
    config.registers = c->registers;
    config.fc_norm = c->fc_norm;
    config.pre_norm = c->pre_norm;
    config.dropout = config.moe.dropout = config.drop_path = drop;
    config.moe.k = 2;
    ck_assert_msg(vit_config_layers_set(&config, c->layers, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_msg(vit_router_select(&config.moe.router, c->router, &err) == BASE_OK, "%s",
                  err.text);
    if (strcmp(c->router, "soft") == 0)
        config.moe.k = 1;
    return slope_model(&config);
}

static const vit_step step = {.seed = 5, .step = 2, .first_sample = 7, .loss_scale = 0.5};

/* Gradients of a step (NULL: none wanted), logits and auxiliary losses. */
static vit_run *step_of(float *logits, const vit_model *model, vit_run_options options)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float d_logits[SLOPE_BATCH * SLOPE_CLASSES];
    base_error err = {0};
    vit_run *run = NULL;

    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(d_logits, SLOPE_BATCH * SLOPE_CLASSES, 2);
    ck_assert_msg(vit_run_create_options(&run, model, SLOPE_BATCH, &options, &err) ==
                      BASE_OK,
                  "%s", err.text);
    vit_run_gradients_zero(run);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_msg(vit_run_forward(run, logits, images, SLOPE_BATCH, &step, &err) ==
                          BASE_OK,
                      "%s", err.text);
        if (options.mode == VIT_MODE_TRAIN)
            ck_assert_msg(vit_run_backward(run, NULL, d_logits, &err) == BASE_OK, "%s",
                          err.text);
    }
    return run;
}

START_TEST(gradients_of_the_rest_are_the_same_to_the_bit)
{
    static const vit_recompute ways[] = {VIT_RECOMPUTE_NONE, VIT_RECOMPUTE_ATTENTION,
                                         VIT_RECOMPUTE_BLOCK};
    vit_model *model = model_of(&cases[_i], 0);
    const int depth = vit_model_config(model)->depth;
    float logits[2][SLOPE_BATCH * SLOPE_CLASSES];
    vit_run *all = step_of(logits[0], model, (vit_run_options){.mode = VIT_MODE_TRAIN});
    const float *expected = vit_run_gradients(all);

    for (int frozen = 1; frozen <= depth + 1; frozen++) {
        vit_run *run = step_of(logits[1], model,
                               (vit_run_options){.mode = VIT_MODE_TRAIN,
                                                 .recompute = ways[frozen % 3],
                                                 .frozen = frozen});
        const float *found = vit_run_gradients(run);
        ck_assert_mem_eq(logits[0], logits[1], sizeof logits[0]);
        for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
            const vit_parameter *p = vit_model_parameter(model, i);
            if (p->layer >= frozen)
                ck_assert_msg(memcmp(found + p->offset, expected + p->offset,
                                     p->count * sizeof *found) == 0,
                              "%s: %s with %d frozen", cases[_i].name, p->name, frozen);
            for (size_t j = 0; p->layer < frozen && j < p->count; j++)
                ck_assert_msg(found[p->offset + j] == 0, "%s: %s with %d frozen",
                              cases[_i].name, p->name, frozen);
        }
        vit_run_destroy(run);
    }
    vit_run_destroy(all);
    vit_model_destroy(model);
}
END_TEST

/* With all that draws on: frozen layers draw nothing. */
START_TEST(a_frozen_trunk_computes_what_it_does_in_evaluation)
{
    for (size_t i = 0; vit_router_name(i); i++) {
        frozen_case c = {
            .name = vit_router_name(i), .layers = "0,1,2", .router = vit_router_name(i)};
        vit_model *model = model_of(&c, 0.3);
        const int depth = vit_model_config(model)->depth;
        float logits[2][SLOPE_BATCH * SLOPE_CLASSES];
        vit_run *infer =
            step_of(logits[0], model, (vit_run_options){.mode = VIT_MODE_INFER});
        vit_run *probe =
            step_of(logits[1], model,
                    (vit_run_options){.mode = VIT_MODE_TRAIN, .frozen = depth + 1});
        for (size_t j = 0; j < SLOPE_BATCH * SLOPE_CLASSES; j++)
            ck_assert_msg(fabs((double)logits[0][j] - (double)logits[1][j]) < 1e-4,
                          "%s: logit %zu is %g, expected %g", c.name, j,
                          (double)logits[1][j], (double)logits[0][j]);
        ck_assert_double_eq(vit_run_aux_loss(probe), vit_run_aux_loss(infer));
        vit_run_destroy(probe);
        vit_run_destroy(infer);
        vit_model_destroy(model);
    }
}
END_TEST

/* Biases of routers that loads move, not gradients. */
START_TEST(state_of_frozen_layers_stays)
{
    const frozen_case c = {.layers = "0,2", .router = "loss-free"};
    vit_model *model = model_of(&c, 0);
    const size_t n = vit_model_floats(model);
    float *before = base_alloc(n, sizeof *before);
    float logits[SLOPE_BATCH * SLOPE_CLASSES];
    const vit_optimizer_config settings = {.kind = VIT_OPTIMIZER_SGD, .frozen = 2};
    vit_optimizer *o = NULL;

    memcpy(before, vit_model_weights(model), n * sizeof *before);
    vit_run *run =
        step_of(logits, model, (vit_run_options){.mode = VIT_MODE_TRAIN, .frozen = 2});
    ck_assert_int_eq(vit_optimizer_create(&o, model, &settings, NULL), BASE_OK);
    vit_optimizer_state_step(o, model, run, &step);
    const vit_parameter *first =
        vit_model_parameter_find(model, "blocks.0.moe.router.bias");
    const vit_parameter *last = vit_model_parameter_find(model, "blocks.2.moe.router.bias");
    const float *after = vit_model_weights_const(model);
    ck_assert_mem_eq(after + first->offset, before + first->offset,
                     first->count * sizeof *after);
    ck_assert_int_ne(
        memcmp(after + last->offset, before + last->offset, last->count * sizeof *after),
        0);
    base_free(before);
    vit_optimizer_destroy(o);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(less_is_kept_and_images_have_no_gradient)
{
    base_error err = {0};
    vit_model *model = model_of(&cases[0], 0);
    float logits[SLOPE_BATCH * SLOPE_CLASSES], d_images[SLOPE_BATCH * SLOPE_FLOATS];
    const vit_run_options options = {.mode = VIT_MODE_TRAIN, .frozen = 3};
    vit_run *run = step_of(logits, model, options);

    ck_assert_int_eq(vit_run_backward(run, d_images, logits, &err), BASE_USAGE);
    test_says(err.text, "a run with frozen layers has no gradient of the images");
    ck_assert_uint_lt(vit_run_bytes_options(model, 64, &options),
                      vit_run_bytes(model, 64, VIT_MODE_TRAIN));
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_frozen");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_loop_test(core, gradients_of_the_rest_are_the_same_to_the_bit, 0, CASES);
    tcase_add_test(core, a_frozen_trunk_computes_what_it_does_in_evaluation);
    tcase_add_test(core, state_of_frozen_layers_stays);
    tcase_add_test(limits, less_is_kept_and_images_have_no_gradient);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
