/* test_vit_run_settings.c - what a run shows and changes besides its passes: the input of
 * its routers, the capacity that it goes by. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"

static float images[SLOPE_BATCH * SLOPE_FLOATS];
static float logits[3][SLOPE_BATCH * SLOPE_CLASSES];

/* Two MoE layers, routed by softmax. */
static vit_model *model_make(double capacity, bool bpr)
{
    vit_config config = slope_config();

    config.moe.k = 2;
    config.moe.eval_capacity = capacity;
    config.moe.eval_bpr = bpr;
    ck_assert_int_eq(vit_config_layers_set(&config, "0,2", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_select(&config.moe.router, "softmax", NULL), BASE_OK);
    return slope_model(&config);
}

static vit_run *run_make(const vit_model *model, vit_mode mode)
{
    vit_run *run = NULL;

    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, NULL), BASE_OK);
    return run;
}

static void forward(vit_run *run, float *out)
{
    ck_assert_int_eq(vit_run_forward(run, out, images, SLOPE_BATCH, &(vit_step){0}, NULL),
                     BASE_OK);
}

static void setup(void)
{
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 3);
}

/* The router is linear: its logits are the products of what it saw. */
START_TEST(logits_are_products_of_the_router_input)
{
    vit_model *model = model_make(0, false);
    vit_run *run = run_make(model, VIT_MODE_INPUT_GRADIENT);
    const size_t d = (size_t)vit_model_config(model)->width;

    forward(run, logits[0]);
    for (size_t i = 0; i < 2; i++) {
        const vit_routing r = vit_run_routing(run, i);
        const float *x = vit_run_router_input(run, i);
        const vit_parameter *p = vit_model_parameter_find(
            model, i == 0 ? "blocks.0.moe.router.weight" : "blocks.2.moe.router.weight");

        ck_assert_ptr_nonnull(p);
        const float *w = vit_model_weights_const(model) + p->offset;
        for (size_t t = 0; t < r.tokens; t++) {
            for (size_t e = 0; e < r.experts; e++) {
                double sum = 0;

                for (size_t c = 0; c < d; c++)
                    sum += (double)x[t * d + c] * (double)w[e * d + c];
                ck_assert_double_eq_tol(sum, r.logits[t * r.experts + e], 1e-5);
            }
        }
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(an_inference_run_shows_no_router_input)
{
    vit_model *model = model_make(0, false);
    vit_run *run = run_make(model, VIT_MODE_INFER);

    forward(run, logits[0]);
    ck_assert_ptr_null(vit_run_router_input(run, 0));
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_set_capacity_is_that_of_a_model_made_with_it)
{
    vit_model *model = model_make(0, false), *other = model_make(0.5, true);
    vit_run *run = run_make(model, VIT_MODE_INFER);
    vit_run *made = run_make(other, VIT_MODE_INFER);
    size_t dropped = 0;

    forward(run, logits[0]);
    ck_assert_int_eq(vit_run_capacity_set(run, 0.5, true, NULL), BASE_OK);
    forward(run, logits[1]);
    forward(made, logits[2]);
    ck_assert_mem_eq(logits[1], logits[2], sizeof logits[1]);
    ck_assert_mem_ne(logits[1], logits[0], sizeof logits[0]);
    const vit_routing r = vit_run_routing(run, 0);
    for (size_t a = 0; a < r.count; a++)
        dropped += !r.kept[a];
    ck_assert_uint_gt(dropped, 0);
    ck_assert_int_eq(vit_run_capacity_set(run, 0, false, NULL), BASE_OK);
    forward(run, logits[1]);
    ck_assert_mem_eq(logits[1], logits[0], sizeof logits[0]);
    vit_run_destroy(made);
    vit_run_destroy(run);
    vit_model_destroy(other);
    vit_model_destroy(model);
}
END_TEST

/* Bytes are those of what is kept: more with every image, of every mode and precision;
 * asking again gives the same; a run of inference computes nothing again. */
START_TEST(memory_follows_batch_mode_and_precision)
{
    vit_model *model = model_make(0, false);
    size_t before[3] = {0};

    for (size_t batch = 1; batch < 6; batch++) {
        for (vit_mode mode = VIT_MODE_INFER; mode <= VIT_MODE_TRAIN; mode++) {
            const vit_run_options bf16 = {.mode = mode, .precision = VIT_PRECISION_BF16};
            const vit_run_options again = {.mode = mode, .recompute = VIT_RECOMPUTE_BLOCK};
            const size_t bytes = vit_run_bytes(model, batch, mode);
            ck_assert_uint_eq(bytes, vit_run_bytes_options(
                                         model, batch, &(vit_run_options){.mode = mode}));
            ck_assert_uint_gt(bytes, before[mode]);
            /* activations of a block, at least: x, qkv and attention */
            ck_assert_uint_ge(bytes, batch * 10 * 24 * 5 * sizeof(float));
            ck_assert_uint_lt(vit_run_bytes_options(model, batch, &bf16), bytes);
            if (mode == VIT_MODE_INFER)
                ck_assert_uint_eq(vit_run_bytes_options(model, batch, &again), bytes);
            else
                ck_assert_uint_lt(vit_run_bytes_options(model, batch, &again), bytes);
            before[mode] = bytes;
        }
        ck_assert_uint_lt(before[VIT_MODE_INFER], before[VIT_MODE_INPUT_GRADIENT]);
        /* gradients of all parameters come on top */
        ck_assert_uint_ge(before[VIT_MODE_TRAIN],
                          before[VIT_MODE_INPUT_GRADIENT] +
                              vit_model_floats(model) * sizeof(float));
    }
    vit_model_destroy(model);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(wrong_capacities_are_refused_and_change_nothing)
{
    vit_model *model = model_make(0, false);
    vit_run *run = run_make(model, VIT_MODE_INFER);
    vit_run *training = run_make(model, VIT_MODE_TRAIN);

    forward(run, logits[0]);
    ck_assert_int_eq(vit_run_capacity_set(run, -1, false, NULL), BASE_USAGE);
    ck_assert_int_eq(vit_run_capacity_set(run, (double)NAN, false, NULL), BASE_USAGE);
    ck_assert_int_eq(vit_run_capacity_set(run, 0, true, NULL), BASE_USAGE);
    ck_assert_int_eq(vit_run_capacity_set(training, 1, false, NULL), BASE_USAGE);
    forward(run, logits[1]);
    ck_assert_mem_eq(logits[1], logits[0], sizeof logits[0]);
    vit_run_destroy(training);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_run_settings");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, NULL);
    tcase_add_checked_fixture(limits, setup, NULL);
    tcase_add_test(core, logits_are_products_of_the_router_input);
    tcase_add_test(core, an_inference_run_shows_no_router_input);
    tcase_add_test(core, a_set_capacity_is_that_of_a_model_made_with_it);
    tcase_add_test(core, memory_follows_batch_mode_and_precision);
    tcase_add_test(limits, wrong_capacities_are_refused_and_change_nothing);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
