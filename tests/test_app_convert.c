/* test_app_convert.c - vmoe convert: upcycling keeps the logits, bf16 and other sizes
 * work. */
#include <math.h>
#include <unistd.h>

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
                             "--labels", labels, "--interpolation", "area", NULL));
    vit_model *model = loaded(out);
    ck_assert_int_eq(vit_model_config(model)->image, 16);
    ck_assert_int_eq(vit_model_config(model)->crop, 16);
    ck_assert_int_eq(vit_model_config(model)->resize, 18);
    ck_assert_str_eq(vit_model_config(model)->interpolation, "area");
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

/* A run's folder with that checkpoint, a recipe, a log, and results: of an evaluation, of
 * an attack on another file. */
static char *run_make(void)
{
    static const char recipe[] = "; made by a test\n\n[data]\ntrain = "
                                 "/home/me/pets/train.tar\nval = \n\n[train]\nseed = 17\n";
    static const char log[] =
        "{\"kind\":\"eval\",\"step\":2,\"epoch\":1,\"accuracy\":0.5,\"loss\":1,\"images\":8,"
        "\"best\":true}\n{\"kind\":\"eval\",\"step\":4,\"epoch\":2,\"accuracy\":0.25,"
        "\"loss\":2,\"images\":8,\"best\":false}\n";
    static const char eval[] =
        "{\"command\":\"eval\",\"model\":\"x/best/model.safetensors\",\"data\":"
        "\"/home/me/pets/val\",\"samples\":8,\"seed\":5,\"top1\":0.625,\"top1_interval\":"
        "[0.5,0.75],\"top5\":1,\"loss\":0.75,\"ece\":null}";
    static const char attack[] =
        "{\"command\":\"attack\",\"model\":{\"path\":\"x/best/model.safetensors\","
        "\"sha256\":\"00\"},\"data\":{\"name\":\"pets\",\"n\":4},\"seed\":3,\"threat\":"
        "{\"norm\":\"linf\"},\"attacks\":[{\"spec\":\"pgd\"}],\"budgets\":[{\"eps_text\":"
        "\"4/255\",\"robust_acc\":0.25,\"ci95\":[0.1,0.5]}]}";
    const vit_config config = sample_config(false);
    char *run = test_path(dir, "run"), *best = test_path(run, "best");
    char *path[5] = {test_path(best, "model.safetensors"), test_path(run, "recipe.ini"),
                     test_path(run, "metrics.jsonl"), test_path(run, "eval.json"),
                     test_path(run, "attack.json")};

    ck_assert_int_eq(base_folder_make(best, NULL), BASE_OK);
    sample_model_save(path[0], &config, sample_labels);
    test_write(path[1], recipe, sizeof recipe - 1);
    test_write(path[2], log, sizeof log - 1);
    test_write(path[3], eval, sizeof eval - 1);
    test_write(path[4], attack, sizeof attack - 1);
    for (size_t i = 0; i < 5; i++)
        base_free(path[i]);
    base_free(best);
    return run;
}

/* README.md of the folder (base_free). */
static char *card_of(const char *folder)
{
    char *path = test_path(folder, "README.md"), *text = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
    base_free(path);
    return text;
}

static void card_has(const char *card, const char *text)
{
    ck_assert_msg(strstr(card, text) != NULL, "no '%s' in %s", text, card);
}

START_TEST(a_folder_has_a_card_of_what_is_known)
{
    char *run = run_make(), *hub = test_path(dir, "my-net"), *slash = test_path(hub, "");

    program_result r = program_run(dir, "convert", run, slash, "--json", "-", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    lines_fit(r.err);
    json_t *json = json_loads(r.out, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(json, "form")), "hub");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "documents")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "not_measured")), 2);
    ck_assert_int_eq((int)json_integer_value(json_object_get(json, "other_documents")), 1);
    json_decref(json);
    program_result_free(&r);
    char *card = card_of(hub);
    ck_assert(strncmp(card, "---\nlibrary_name: timm\n", 23) == 0);
    card_has(card, "\ndatasets:\n- \"pets\"\nmetrics:\n- accuracy\n---\n");
    card_has(card, "\n# my-net\n");
    card_has(card, "hf-hub:USER/my-net");
    card_has(card, "| seed | 17 |");
    card_has(card,
             "| best evaluation | step 2, epoch 1: top-1 50.00 %, loss 1 (8 images) |");
    card_has(card,
             "| last evaluation | step 4, epoch 2: top-1 25.00 %, loss 2 (8 images) |");
    card_has(card, "    [data]\n    train = train.tar\n    [train]\n    seed = 17\n");
    card_has(card,
             "| data | images | top-1 (95 %) | top-5 | loss | calibration error | seed |\n"
             "|---|---|---|---|---|---|---|\n"
             "| pets | 8 | 62.50 % (50.0 to 75.0) | 100.00 % | 0.75 | not measured | 5 |");
    card_has(card, "## Accuracy under corruption\n\nNot measured.\n");
    card_has(card, "## Accuracy under attack\n\nNot measured.\n");
    card_has(card, "Not stated.");
    ck_assert_ptr_null(strstr(card, "/home"));
    ck_assert_ptr_null(strstr(card, "\nlicense:"));
    base_free(card);
    /* the folder is a MODEL */
    program_done(program_run(dir, "inspect", hub, NULL));
    base_free(slash);
    base_free(hub);
    base_free(run);
}
END_TEST

START_TEST(what_a_document_lacks_is_a_dash_in_its_row)
{
    char *run = run_make(), *hub = test_path(dir, "hub"),
         *path = test_path(run, "eval.json");
    json_t *eval = program_json(path);

    json_object_del(eval, "seed");
    ck_assert_int_eq(json_dump_file(eval, path, 0), 0);
    program_done(program_run(dir, "convert", run, hub, "--quiet", NULL));
    char *card = card_of(hub);
    card_has(card,
             "| pets | 8 | 62.50 % (50.0 to 75.0) | 100.00 % | 0.75 | not measured | - |");
    json_decref(eval);
    base_free(card);
    base_free(path);
    base_free(hub);
    base_free(run);
}
END_TEST

START_TEST(a_recipe_that_is_none_is_named)
{
    char *run = run_make(), *recipe = test_path(run, "recipe.ini"),
         *hub = test_path(dir, "hub");

    test_write(recipe, "[data]\ntrain pets\n", 18);
    program_refused(program_run(dir, "convert", run, hub, "--quiet", NULL), 2,
                    "recipe.ini' line 2 is neither");
    ck_assert_int_ne(access(hub, F_OK), 0);
    base_free(hub);
    base_free(recipe);
    base_free(run);
}
END_TEST

START_TEST(documents_are_taken_when_they_are_named)
{
    char *run = run_make(), *hub = test_path(dir, "hub");
    char *attack = test_path(run, "attack.json");

    program_done(program_run(dir, "convert", run, hub, "--document", attack, "--license",
                             "apache-2.0", "--precision", "bf16", NULL));
    char *card = card_of(hub);
    card_has(card, "\nlicense: \"apache-2.0\"\n");
    card_has(card,
             "| pets (of another checkpoint, best/model.safetensors) | 4 | linf 4/255 | "
             "pgd | 25.00 % (10.0 to 50.0) | 3 |");
    card_has(card, "rounded to bf16");
    base_free(card);
    /* another network than the one that was measured: with experts, in our own form */
    program_done(program_run(dir, "convert", run, hub, "--upcycle", "1", NULL));
    card = card_of(hub);
    card_has(card, "library_name: vmoe\n");
    card_has(card, "- mixture-of-experts\n");
    card_has(card, "## Accuracy\n\nNot measured.\n");
    card_has(card, "| changed | by options of `vmoe convert` after training");
    base_free(card);
    program_refused(program_run(dir, "convert", run, hub, "--document", in, NULL), 1, in);
    program_refused(program_run(dir, "convert", run, out, "--license", "mit", NULL), 2,
                    "--license without a folder");
    program_refused(program_run(dir, "convert", run, "model.pth", NULL), 2,
                    "'model.pth' is no file that is written");
    base_free(attack);
    base_free(hub);
    base_free(run);
}
END_TEST

START_TEST(a_checkpoint_alone_has_a_card_that_says_so)
{
    char *hub = test_path(dir, "hub"), *run = run_make();
    char *best = test_path(run, "best/model.safetensors");

    /* the run is the folder around best/, and nothing else is one */
    program_done(program_run(dir, "convert", best, hub, NULL));
    char *card = card_of(hub);
    card_has(card, "| seed | 17 |");
    base_free(card);
    base_free(best);
    char *stray = test_path(dir, "recipe.ini");
    test_write(stray, "[train]\nseed = 3\n", 17);
    base_free(stray);
    base_free(run);
    program_done(program_run(dir, "convert", in, hub, NULL));
    card = card_of(hub);
    card_has(card, "Not known: no recipe of a run lies beside the checkpoint.");
    card_has(card, "## Accuracy\n\nNot measured.\n");
    ck_assert_ptr_null(strstr(card, "datasets:"));
    base_free(card);
    base_free(hub);
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
    tcase_add_test(core, a_folder_has_a_card_of_what_is_known);
    tcase_add_test(core, documents_are_taken_when_they_are_named);
    tcase_add_test(core, what_a_document_lacks_is_a_dash_in_its_row);
    tcase_add_test(core, a_recipe_that_is_none_is_named);
    tcase_add_test(core, a_checkpoint_alone_has_a_card_that_says_so);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, impossible_changes_are_refused);
    tcase_add_test(limits, labels_with_gaps_are_refused);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
