/* test_app_space.c - attacks on normalised numbers: the protocol of ACMoE's code
 * (attacks.md 8, S5) beside a loop of its own. */
#include <math.h>

#include "measure/measure.h"
#include "tests/test_fragile.h"
#include "tests/test_run.h"

enum { HEADER = 128, PLANE = SAMPLE_SIDE * SAMPLE_SIDE, FLOATS = 3 * PLANE, STEPS = 20 };

static const double eps = 16.0 / 255;
static char *dir, *data, *model, *out;

static void setup(void)
{
    dir = test_folder_make();
    data = test_path(dir, "data");
    model = test_path(dir, "model.safetensors");
    out = test_path(dir, "out");
    sample_folder_make(data);
    fragile_model_save(dir, data, model);
}

static void teardown(void)
{
    base_free(data);
    base_free(model);
    base_free(out);
    test_folder_remove(dir);
}

/* An array of the report, base_free. */
static float *array_of(const char *name)
{
    char *path = test_path(out, name), *text = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 22, NULL), BASE_OK);
    ck_assert_uint_eq(bytes, HEADER + 4 * SAMPLE_COUNT * FLOATS);
    memmove(text, text + HEADER, bytes - HEADER);
    base_free(path);
    return (float *)(void *)text;
}

/* z moved as the protocol says until the answer is another; whether it became one. */
static bool search(float *z, vit_run *run)
{
    float start[FLOATS], slope[FLOATS], logits[SAMPLE_CLASSES], d[SAMPLE_CLASSES];
    size_t label = 0;

    memcpy(start, z, sizeof start);
    for (size_t step = 0;; step++) {
        double sum = 0;
        ck_assert_int_eq(vit_run_forward(run, logits, z, 1, &(vit_step){0}, NULL), BASE_OK);
        const size_t answer = measure_arg_max(logits, SAMPLE_CLASSES);
        if (step == 0)
            label = answer;
        if (answer != label || step == STEPS)
            return answer != label;
        for (size_t k = 0; k < SAMPLE_CLASSES; k++)
            sum += exp((double)logits[k] - (double)logits[answer]);
        for (size_t k = 0; k < SAMPLE_CLASSES; k++)
            d[k] = (float)(exp((double)logits[k] - (double)logits[answer]) / sum) -
                   (k == label ? 1.0f : 0.0f);
        ck_assert_int_eq(vit_run_backward(run, slope, d, NULL), BASE_OK);
        for (size_t i = 0; i < FLOATS; i++) {
            const double sign = slope[i] > 0 ? 1 : slope[i] < 0 ? -1 : 0;
            const double moved = (double)z[i] + 0.15 * eps * sign - (double)start[i];
            z[i] = (float)((double)start[i] + fmin(fmax(moved, -eps), eps));
        }
    }
}

START_TEST(the_protocol_is_that_of_its_source)
{
    vit_model *loaded = NULL;
    vit_run *run = NULL;
    size_t broken = 0, apart = 0;
    double widest = 0;

    program_done(program_run(dir, "attack", model, "--data", data, "--attack",
                             "acmoe-pgd20", "--eps", "16/255", "--out", out, NULL));
    char *path = test_path(out, "report.json");
    json_t *json = program_json(path);
    base_free(path);
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(json, "threat"), "space")),
        "normalized");
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(json, "data"), "labels")),
        "predicted");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "checks")), 0);
    float *clean = array_of("clean.npy"), *adv = array_of("adv.npy");
    ck_assert_int_eq(vit_model_load(&loaded, model, NULL, NULL), BASE_OK);
    const vit_config *c = vit_model_config(loaded);
    ck_assert_int_eq(
        vit_run_create(&run, loaded, 1, VIT_MODE_INPUT_GRADIENT, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    for (size_t n = 0; n < SAMPLE_COUNT; n++) {
        float z[FLOATS], found[FLOATS];
        for (size_t i = 0; i < FLOATS; i++) {
            const float mean = c->mean[i / PLANE], std = c->std[i / PLANE];
            z[i] = (clean[n * FLOATS + i] - mean) / std;
            found[i] = (adv[n * FLOATS + i] - mean) / std;
            widest = fmax(widest, (double)fabsf(found[i] - z[i]));
        }
        const bool other = search(z, run);
        broken += other;
        for (size_t i = 0; i < FLOATS && other; i++)
            apart += (double)fabsf(found[i] - z[i]) > 0.02 * eps;
    }
    ck_assert_double_le(widest, eps * (1 + 1e-3));
    ck_assert_uint_gt(broken, 0);
    ck_assert_uint_le(apart, broken * FLOATS / 100); /* a slope near zero may turn */
    const json_t *worst = json_object_get(json, "worst_case");
    ck_assert_double_eq_tol(json_number_of(worst, "robust_acc"),
                            1 - (double)broken / SAMPLE_COUNT, 1e-9);
    vit_run_destroy(run);
    vit_model_destroy(loaded);
    base_free(clean);
    base_free(adv);
    json_decref(json);
}
END_TEST

START_TEST(pixels_have_no_limits)
{
    size_t outside = 0;

    program_done(program_run(dir, "attack", model, "--data", data, "--attack",
                             "acmoe-pgd20", "--all-steps", "--eps", "1", "--out", out,
                             NULL));
    float *adv = array_of("adv.npy");
    for (size_t i = 0; i < (size_t)SAMPLE_COUNT * FLOATS; i++)
        outside += adv[i] < 0 || adv[i] > 1;
    ck_assert_uint_gt(outside, 0);
    base_free(adv);
}
END_TEST

START_TEST(its_checks_are_not_there)
{
    program_refused(program_run(dir, "attack", model, "--data", data, "--space",
                                "normalized", "--transfer", model, "--eps", "1/255",
                                "--out", out, NULL),
                    2, "--transfer is for the checks");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_space");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, the_protocol_is_that_of_its_source);
    tcase_add_test(core, pixels_have_no_limits);
    tcase_add_test(core, its_checks_are_not_there);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
