/* test_vit_profile.c - the profile of a run: names, what is counted and when, and that the
 * parts add up to the time that the passes took. */
#include <check.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "vit/vit.h"

/* Of the caller's time around passes, how much must be theirs: a busy machine may take the
 * processor away between the two clocks. */
static const double most = 0.5;

static vit_model *model_make(const char *layers)
{
    base_error err = {0};
    vit_config config = slope_config();
    ck_assert_msg(vit_config_layers_set(&config, layers, &err) == BASE_OK, "%s", err.text);
    return slope_model(&config);
}

static vit_run *run_make(const vit_model *model, vit_mode mode)
{
    base_error err = {0};
    vit_run *run = NULL;
    ck_assert_msg(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, &err) == BASE_OK,
        "%s", err.text);
    return run;
}

/* One forward pass, and backward unless in inference; logits stay in out. Returns its
 * seconds. */
static double pass(vit_run *run, const vit_model *model, float *out)
{
    const vit_config *c = vit_model_config(model);
    const size_t pixels = (size_t)(c->channels * c->image * c->image);
    float *images = base_alloc(SLOPE_BATCH * pixels, sizeof *images);
    float d_logits[SLOPE_BATCH * 16];
    base_error err = {0};

    for (size_t i = 0; i < SLOPE_BATCH * pixels; i++)
        images[i] = sinf((float)i);
    for (size_t i = 0; i < SLOPE_BATCH * (size_t)c->classes; i++)
        d_logits[i] = cosf((float)i);
    const double start = base_seconds();
    ck_assert_msg(vit_run_forward(run, out, images, SLOPE_BATCH, &(vit_step){.seed = 7},
                                  &err) == BASE_OK,
                  "%s", err.text);
    if (vit_run_gradients(run))
        ck_assert_msg(vit_run_backward(run, NULL, d_logits, &err) == BASE_OK, "%s",
                      err.text);
    const double seconds = base_seconds() - start;
    base_free(images);
    return seconds;
}

static double sum(const double seconds[VIT_PART_COUNT])
{
    double all = 0;
    for (int part = 0; part < VIT_PART_COUNT; part++)
        all += seconds[part];
    return all;
}

START_TEST(parts_have_their_names)
{
    static const struct {
        vit_part part;
        const char *name;
    } parts[] = {{VIT_PART_PATCH, "patch"},
                 {VIT_PART_NORM, "norm"},
                 {VIT_PART_PROJECTION, "projection"},
                 {VIT_PART_ATTENTION, "attention"},
                 {VIT_PART_SOFTMAX, "softmax"},
                 {VIT_PART_MLP, "mlp"},
                 {VIT_PART_ROUTER, "router"},
                 {VIT_PART_DISPATCH, "dispatch"},
                 {VIT_PART_EXPERTS, "experts"},
                 {VIT_PART_COMBINE, "combine"},
                 {VIT_PART_HEAD, "head"},
                 {VIT_PART_OTHER, "other"}};

    ck_assert_int_eq(VIT_PART_COUNT, sizeof parts / sizeof parts[0]);
    for (int i = 0; i < VIT_PART_COUNT; i++)
        ck_assert_str_eq(vit_part_name(parts[i].part), parts[i].name);
    ck_assert_ptr_null(vit_part_name((vit_part)-1));
    ck_assert_ptr_null(vit_part_name(VIT_PART_COUNT));
}
END_TEST

START_TEST(parts_add_up_to_the_passes)
{
    vit_model *model = model_make("every:2");
    vit_run *run = run_make(model, VIT_MODE_TRAIN);
    float logits[SLOPE_BATCH * 16];
    double seconds[VIT_PART_COUNT], wall = 0;

    pass(run, model, logits);
    vit_run_profile(run, true);
    for (int i = 0; i < 20; i++)
        wall += pass(run, model, logits);
    vit_run_profile_read(run, seconds);
    for (int part = 0; part < VIT_PART_COUNT; part++)
        ck_assert_msg(seconds[part] > 0, "%s is empty", vit_part_name((vit_part)part));
    ck_assert_double_le(sum(seconds), wall);
    ck_assert_double_ge(sum(seconds), most * wall);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(dense_networks_spend_nothing_on_experts)
{
    vit_model *model = model_make("none");
    vit_run *run = run_make(model, VIT_MODE_INFER);
    float logits[SLOPE_BATCH * 16];
    double seconds[VIT_PART_COUNT];

    vit_run_profile(run, true);
    pass(run, model, logits);
    vit_run_profile_read(run, seconds);
    ck_assert_double_gt(seconds[VIT_PART_MLP], 0);
    for (int part = VIT_PART_ROUTER; part <= VIT_PART_COMBINE; part++)
        ck_assert_double_eq(seconds[part], 0);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* Parts of a pass forward and back whose blocks all have experts: no MLP; in inference
 * too. */
START_TEST(networks_of_experts_alone_spend_nothing_on_mlps)
{
    static const vit_part used[] = {
        VIT_PART_PATCH,   VIT_PART_NORM,   VIT_PART_PROJECTION, VIT_PART_ATTENTION,
        VIT_PART_SOFTMAX, VIT_PART_ROUTER, VIT_PART_DISPATCH,   VIT_PART_EXPERTS,
        VIT_PART_COMBINE, VIT_PART_HEAD};
    vit_model *model = model_make("0,1,2");
    float logits[SLOPE_BATCH * 16];
    double seconds[VIT_PART_COUNT];

    for (vit_mode mode = VIT_MODE_INFER; mode <= VIT_MODE_TRAIN; mode++) {
        vit_run *run = run_make(model, mode);
        vit_run_profile(run, true);
        pass(run, model, logits);
        vit_run_profile_read(run, seconds);
        ck_assert_double_eq(seconds[VIT_PART_MLP], 0);
        for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
            ck_assert_msg(seconds[used[i]] > 0, "%s is empty", vit_part_name(used[i]));
        vit_run_destroy(run);
    }
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_profile_counts_from_when_it_is_asked_for)
{
    vit_model *model = model_make("every:2");
    vit_run *run = run_make(model, VIT_MODE_TRAIN);
    float logits[SLOPE_BATCH * 16];
    double seconds[VIT_PART_COUNT];

    vit_run_profile_read(run, seconds);
    ck_assert_double_eq(sum(seconds), 0);
    pass(run, model, logits); /* off */
    vit_run_profile_read(run, seconds);
    ck_assert_double_eq(sum(seconds), 0);
    vit_run_profile(run, true);
    pass(run, model, logits);
    vit_run_profile_read(run, seconds);
    ck_assert_double_gt(sum(seconds), 0);
    vit_run_profile(run, true);
    vit_run_profile_read(run, seconds);
    ck_assert_double_eq(sum(seconds), 0);
    vit_run_profile(run, false);
    pass(run, model, logits);
    vit_run_profile_read(run, seconds);
    ck_assert_double_eq(sum(seconds), 0);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(measuring_changes_no_bit)
{
    vit_model *model = model_make("every:2");
    vit_run *run = run_make(model, VIT_MODE_TRAIN);
    const size_t floats = vit_model_floats(model);
    float plain[SLOPE_BATCH * 16] = {0}, measured[SLOPE_BATCH * 16] = {0};
    float *gradients = base_alloc(floats, sizeof *gradients);

    vit_run_gradients_zero(run);
    pass(run, model, plain);
    memcpy(gradients, vit_run_gradients(run), floats * sizeof *gradients);
    vit_run_profile(run, true);
    vit_run_gradients_zero(run);
    pass(run, model, measured);
    ck_assert_mem_eq(plain, measured, sizeof plain);
    ck_assert_mem_eq(gradients, vit_run_gradients(run), floats * sizeof *gradients);
    base_free(gradients);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* A caller in a region of his own: the run's regions are then one thread wide, whatever it
 * planned. */
START_TEST(a_profile_works_inside_a_callers_region)
{
    vit_model *model = model_make("every:2");
    vit_run *run = run_make(model, VIT_MODE_TRAIN);
    float logits[SLOPE_BATCH * 16];
    double seconds[VIT_PART_COUNT], wall = 0;

    vit_run_profile(run, true);
#pragma omp parallel num_threads(4)
    {
        if (omp_get_thread_num() == omp_get_num_threads() - 1)
            wall = pass(run, model, logits);
    }
    vit_run_profile_read(run, seconds);
    ck_assert_double_gt(seconds[VIT_PART_PROJECTION], 0);
    ck_assert_double_le(sum(seconds), wall);
    ck_assert_double_ge(sum(seconds), most * wall);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit profile");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");
    tcase_add_test(core, parts_have_their_names);
    tcase_add_test(core, parts_add_up_to_the_passes);
    tcase_add_test(core, dense_networks_spend_nothing_on_experts);
    tcase_add_test(core, networks_of_experts_alone_spend_nothing_on_mlps);
    tcase_add_test(core, a_profile_counts_from_when_it_is_asked_for);
    tcase_add_test(core, measuring_changes_no_bit);
    tcase_add_test(limits, a_profile_works_inside_a_callers_region);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
