/* test_app_convert.c - vmoe convert: upcycling keeps the logits, bf16 and other sizes
 * work. */
#include <math.h>

#include "tests/test_program.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

static char *dir, *in, *out;

static void setup(void)
{
    const vit_config config = sample_config(false);

    dir = test_folder_make();
    in = test_path(dir, "in.safetensors");
    out = test_path(dir, "out.safetensors");
    sample_model_save(in, &config, sample_labels);
}

static void teardown(void)
{
    base_free(in);
    base_free(out);
    test_folder_remove(dir);
}

static vit_model *loaded(const char *path)
{
    base_error err = {0};
    vit_model *model = NULL;

    ck_assert_msg(vit_model_load(&model, path, NULL, &err) == BASE_OK, "%s", err.text);
    return model;
}

/* Logits of two images of noise. */
static void logits_of(float out_logits[2 * SAMPLE_CLASSES], const vit_model *model)
{
    float images[2 * 3 * SAMPLE_SIDE * SAMPLE_SIDE];
    base_error err = {0};
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
    vit_run *run = NULL;

    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        images[i] = (float)base_rng_normal(&rng);
    ck_assert_msg(
        vit_run_create(&run, model, 2, VIT_MODE_INFER, VIT_PRECISION_FP32, &err) == BASE_OK,
        "%s", err.text);
    ck_assert_int_eq(vit_run_forward(run, out_logits, images, 2, &(vit_step){0}, &err),
                     BASE_OK);
    vit_run_destroy(run);
}

START_TEST(equal_experts_answer_like_the_mlp)
{
    /* Komatsuzaki et al. 2023: with gates that sum to 1 (ssr renormalises) a fresh
     * upcycled network is the dense one. */
    float before[2 * SAMPLE_CLASSES], after[2 * SAMPLE_CLASSES];
    vit_model *dense = loaded(in);

    program_result r = program_run(dir, "convert", in, out, "--upcycle", "every:2",
                                   "--experts", "4", NULL);
    ck_assert_msg(r.code == 0 && strstr(r.err, "answers: as before"), "%s", r.err);
    program_result_free(&r);
    r = program_run(dir, "convert", in, out, "--upcycle", "every:2", "--experts", "4",
                    "--router", "loss-free", "--shared", "1", NULL);
    ck_assert_msg(r.code == 0 && strstr(r.err, "answers: as before"), "%s", r.err);
    program_result_free(&r);
    /* gates of one expert of two are no longer 1 */
    r = program_run(dir, "convert", in, out, "--upcycle", "every:2", "--experts", "4",
                    "--router", "vmoe", "--k", "1", "--json", "-", NULL);
    ck_assert_msg(r.code == 0 && strstr(r.err, "answers: they change: of 16 pictures"),
                  "%s", r.err);
    json_t *json = json_loads(r.out, 0, NULL);
    ck_assert_double_gt(json_number_of(json_object_get(json, "answers"), "largest_change"),
                        0);
    json_decref(json);
    program_result_free(&r);
    program_done(program_run(dir, "convert", in, out, "--upcycle", "every:2", "--experts",
                             "4", NULL));
    vit_model *sparse = loaded(out);
    ck_assert(!vit_model_config(sparse)->moe.layer[0]);
    ck_assert(vit_model_config(sparse)->moe.layer[1]);
    ck_assert_int_eq(vit_model_config(sparse)->moe.experts, 4);
    ck_assert_str_eq(vit_model_config(sparse)->moe.router.name, "ssr");
    logits_of(before, dense);
    logits_of(after, sparse);
    for (size_t i = 0; i < 2 * SAMPLE_CLASSES; i++)
        ck_assert_double_eq_tol((double)before[i], (double)after[i], 1e-4);
    ck_assert_str_eq(vit_model_label(sparse, 2), "red");
    vit_model_destroy(dense);
    vit_model_destroy(sparse);
}
END_TEST

START_TEST(the_router_and_its_options_are_set)
{
    char value[32];

    program_done(program_run(dir, "convert", in, out, "--upcycle", "1", "--k", "1",
                             "--router", "ssr", "--set", "p=0.25", "router.cost=linear",
                             NULL));
    vit_model *model = loaded(out);
    const vit_moe_config *moe = &vit_model_config(model)->moe;
    ck_assert_int_eq(moe->k, 1);
    ck_assert_int_eq(moe->experts, 8);
    ck_assert_str_eq(vit_router_get(&moe->router, "p", value, sizeof value), "0.25");
    ck_assert_str_eq(vit_router_get(&moe->router, "cost", value, sizeof value), "linear");
    vit_model_destroy(model);
}
END_TEST

START_TEST(bf16_halves_the_file_and_keeps_the_logits)
{
    float before[2 * SAMPLE_CLASSES], after[2 * SAMPLE_CLASSES];
    vit_model *dense = loaded(in);

    program_done(program_run(dir, "convert", in, out, "--precision", "bf16", NULL));
    vit_model *small = loaded(out);
    logits_of(before, dense);
    logits_of(after, small);
    for (size_t i = 0; i < 2 * SAMPLE_CLASSES; i++) /* 8 bits of a weight, logits near 1 */
        ck_assert_double_eq_tol((double)before[i], (double)after[i], 0.1);
    vit_model_destroy(dense);
    vit_model_destroy(small);
}
END_TEST

START_TEST(size_classes_and_labels_change)
{
    char *labels = test_path(dir, "labels.txt");

    test_write(labels, "a\r\nb c\nd\n\xc3\xa9", 11);
    program_done(program_run(dir, "convert", in, out, "--image", "16", "--classes", "4",
                             "--labels", labels, NULL));
    vit_model *model = loaded(out);
    ck_assert_int_eq(vit_model_config(model)->image, 16);
    ck_assert_int_eq(vit_model_config(model)->crop, 16);
    ck_assert_int_eq(vit_model_config(model)->resize, 18);
    ck_assert_int_eq(vit_model_config(model)->classes, 4);
    ck_assert_str_eq(vit_model_label(model, 0), "a");
    ck_assert_str_eq(vit_model_label(model, 1), "b c");
    ck_assert_str_eq(vit_model_label(model, 3), "\xc3\xa9");
    vit_model_destroy(model);
    base_free(labels);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_bytes)
{
    char *bytes[3];
    size_t count[3];

    for (int i = 0; i < 3; i++) {
        program_done(program_run(dir, "convert", in, out, "--upcycle", "1", "--seed",
                                 i < 2 ? "5" : "6", NULL));
        ck_assert_int_eq(base_file_read(&bytes[i], &count[i], out, 1 << 24, NULL), BASE_OK);
    }
    ck_assert_uint_eq(count[0], count[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], count[0]);
    ck_assert(count[0] != count[2] || memcmp(bytes[0], bytes[2], count[0]) != 0);
    for (int i = 0; i < 3; i++)
        base_free(bytes[i]);
}
END_TEST

/* Every line at most 80 columns wide, but those that are a path. */
static void lines_fit(const char *text)
{
    for (const char *at = text; *at; at += strcspn(at, "\n") + 1)
        ck_assert_msg(strcspn(at, "\n") <= 80 || *at == '/', "%s", at);
}

START_TEST(a_name_that_ends_in_onnx_is_written_as_that)
{
    char *onnx = test_path(dir, "out.onnx"), *bytes = NULL;
    size_t count = 0;

    program_result r = program_run(dir, "convert", in, onnx, "--upcycle", "1", "--router",
                                   "vmoe", "--k", "1", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    lines_fit(r.err);
    program_result_free(&r);
    /* field 1, IR version 9; field 2, the producer */
    ck_assert_int_eq(base_file_read(&bytes, &count, onnx, 1 << 24, NULL), BASE_OK);
    ck_assert_mem_eq(bytes, "\x08\x09\x12\x04vmoe", 8);
    base_free(bytes);
    program_refused(program_run(dir, "convert", in, onnx, "--precision", "bf16", NULL), 2,
                    "fp32");
    ck_assert_int_eq(remove(onnx), 0);
    program_refused(program_run(dir, "convert", in, onnx, "--upcycle", "1",
                                "--eval-capacity", "1.25", "--quiet", NULL),
                    1, "capacity factor 1.25");
    ck_assert(!test_exists(onnx));
    base_free(onnx);
}
END_TEST

START_TEST(impossible_changes_are_refused)
{
    char *labels = test_path(dir, "labels.txt");

    test_write(labels, "a\nb\n", 4);
    program_refused(program_run(dir, "convert", in, out, "--experts", "4", NULL), 2,
                    "--upcycle");
    program_refused(program_run(dir, "convert", in, out, "--upcycle", "1", "--experts", "2",
                                "--k", "3", NULL),
                    2, "k");
    program_refused(program_run(dir, "convert", in, out, "--k", "1", NULL), 2,
                    "the network has no experts, --k means nothing");
    program_refused(program_run(dir, "convert", in, out, "--router", "softmax", NULL), 2,
                    "--router means nothing");
    program_refused(program_run(dir, "convert", in, out, "--shared", "1", NULL), 2,
                    "--shared means nothing");
    program_refused(program_run(dir, "convert", in, out, "--upcycle", "1", "--router",
                                "soft", "--k", "1", NULL),
                    2, "--k says nothing to the router 'soft'");
    program_refused(program_run(dir, "convert", in, out, "--upcycle", "9", NULL), 2, "9");
    program_refused(
        program_run(dir, "convert", in, out, "--upcycle", "1", "--router", "sssr", NULL), 2,
        "ssr");
    program_refused(
        program_run(dir, "convert", in, out, "--upcycle", "1", "--set", "p", NULL), 2,
        "KEY=VALUE");
    program_refused(
        program_run(dir, "convert", in, out, "--upcycle", "1", "--set", "p=7", NULL), 2,
        "p");
    program_refused(program_run(dir, "convert", in, out, "--labels", labels, NULL), 1,
                    "2 class names");
    program_refused(program_run(dir, "convert", in, "/no/folder/x", NULL), 1,
                    "/no/folder/x");
    ck_assert(!test_exists(out));
    program_done(program_run(dir, "convert", in, out, "--upcycle", "1", NULL));
    program_refused(program_run(dir, "convert", out, in, "--upcycle", "1", NULL), 1,
                    "experts already");
    base_free(labels);
}
END_TEST

START_TEST(labels_with_gaps_are_refused)
{
    char *labels = test_path(dir, "labels.txt");

    test_write(labels, "a\n\nb\n", 5);
    program_refused(program_run(dir, "convert", in, out, "--labels", labels, NULL), 1,
                    "line 2");
    test_write(labels, "a\0b\nc\nd\n", 8);
    program_refused(program_run(dir, "convert", in, out, "--labels", labels, NULL), 1,
                    "zero byte");
    test_write(labels, "", 0);
    program_refused(program_run(dir, "convert", in, out, "--labels", labels, NULL), 1,
                    "0 class names");
    base_free(labels);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_convert");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, equal_experts_answer_like_the_mlp);
    tcase_add_test(core, the_router_and_its_options_are_set);
    tcase_add_test(core, bf16_halves_the_file_and_keeps_the_logits);
    tcase_add_test(core, size_classes_and_labels_change);
    tcase_add_test(core, the_same_seed_gives_the_same_bytes);
    tcase_add_test(core, a_name_that_ends_in_onnx_is_written_as_that);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, impossible_changes_are_refused);
    tcase_add_test(limits, labels_with_gaps_are_refused);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
