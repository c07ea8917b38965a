/* test_app_attack_limits.c - what vmoe attack refuses, and what it does with images and
 * networks at the edge. Stopping, going on, what is told: test_app_attack_reports.c. */
#include "apps/attack/internal.h"
#include "tests/test_attack_command.h"
#include "tests/test_run.h"

START_TEST(budgets_without_sense_are_refused)
{
    static const char *const bad[][2] = {
        {"8", "did you mean 8/255"},
        {"-1/255", "below 0"},
        {"abc", "is no budget"},
        {"1/0", "is no budget"},
        {"nan", "is no budget"},
        {"", "--eps"},
        {"300", "above 1"},
        {"1/255,0.1,1/255", "twice"},
        {"300/255", "is above 1, the largest distance in linf"}};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        program_refused(
            program_run(dir, ATTACK, out, "--eps", bad[i][0], "--attack", "fgsm", NULL), 2,
            bad[i][1]);
    program_refused(program_run(dir, ATTACK, out, "--eps", "300", "--norm", "l2",
                                "--attack", "fgsm", NULL),
                    2, "largest distance");
}
END_TEST

START_TEST(unknown_attacks_name_the_nearest)
{
    program_refused(
        program_run(dir, ATTACK, out, "--eps", "1/255", "--attack", "pdg", "--quiet", NULL),
        2, "'pgd'");
    program_refused(program_run(dir, ATTACK, out, "--eps", "1/255", "--attack",
                                "pgd:stepz=3", "--quiet", NULL),
                    2, "'steps'");
    program_refused(program_run(dir, ATTACK, out, "--eps", "1/255", "--attack", "fgsm",
                                "--steps", "5", NULL),
                    2, "--steps means nothing");
    program_refused(program_run(dir, ATTACK, out, "--eps", "1/255", "--attack", ",", NULL),
                    2, "names no attack");
}
END_TEST

START_TEST(a_router_attack_without_sense_is_refused)
{
    program_refused(program_run(dir, ATTACK, out, "--eps", "1/255", "--attack", "router",
                                "--quiet", NULL),
                    2, "name an attack beside it");
    program_refused(program_run(dir, ATTACK, out, "--eps", "1/255", "--attack",
                                "router,pgd,router:steps=2", "--quiet", NULL),
                    2, "2 times");
    program_refused(program_run(dir, ATTACK, out, "--eps", "1/255", "--attack",
                                "pgd,router", "--fixed-routing", "--quiet", NULL),
                    2, "--fixed-routing");
    program_refused(program_run(dir, ATTACK, out, "--eps", "5", "--norm", "l1", "--attack",
                                "pgd,router", "--quiet", NULL),
                    2, "not in l1");
    program_refused(program_run(dir, ATTACK, out, "--eps", "1/255", "--attack",
                                "pgd,router:stepz=3", "--quiet", NULL),
                    2, "'steps'");
}
END_TEST

START_TEST(the_list_needs_nothing)
{
    program_result r = program_run(dir, "attack", "--list", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "apgd-ce (linf, l2, l1)"));
    ck_assert_ptr_nonnull(strstr(r.out, "standard"));
    program_result_free(&r);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
    char *empty = test_path(dir, "empty");

    ck_assert_int_eq(base_folder_make(empty, NULL), BASE_OK);
    program_refused(program_run(dir, "attack", model, "--data", empty, "--eps", "1/255",
                                "--out", out, NULL),
                    1, "empty");
    program_refused(program_run(dir, "attack", "/no/model", "--data", data, "--eps",
                                "1/255", "--out", out, NULL),
                    1, "/no/model");
    program_refused(program_run(dir, "attack", model, "--data", data, "--out", out, NULL),
                    2, "--eps");
    base_free(empty);
}
END_TEST

/* Three classes: apgd-t's loss needs four and says what it does instead. */
START_TEST(too_few_classes_fall_back_and_say_so)
{
    program_done(program_run(dir, ATTACK, out, "--attack", "apgd-t:steps=5", "--eps",
                             "4/255", "--checks", "off", NULL));
    json_t *json = result(out);
    json_t *attack = json_array_get(json_object_get(json, "attacks"), 0);
    ck_assert(json_is_string(json_object_get(attack, "note")));
    json_decref(json);
}
END_TEST

/* The bias says blue, and there is nothing blue; of a picture that cannot be read any
 * answer is wrong, the first class too. */
START_TEST(a_network_that_is_wrong_on_everything_is_reported)
{
    const vit_config config = sample_config(true);
    char *blue = test_path(data, "blue"), *broken = test_path(data, "red/broken.png");
    vit_model *loaded = NULL;

    sample_model_save(model, &config, sample_labels);
    ck_assert_int_eq(vit_model_load(&loaded, model, NULL, NULL), BASE_OK);
    const vit_parameter *bias = vit_model_parameter_find(loaded, "head.bias");
    vit_model_weights(loaded)[bias->offset] = 1e4f;
    ck_assert_int_eq(vit_model_save(loaded, model, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(loaded);
    ck_assert_int_eq(base_folder_remove(blue, NULL), BASE_OK);
    test_write(broken, "", 0);
    program_done(program_run(dir, "attack", model, "--data", data, "--eps", "1/255,4/255",
                             "--out", out, "--attack", "fgsm,pgd:steps=3", "--bad-samples",
                             "skip", NULL));
    json_t *json = result(out);
    ck_assert_double_eq(number_at(json, "data", "bad"), 1);
    ck_assert_double_eq(number_at(json, "clean", "k"), 0);
    ck_assert_double_eq(number_at(json, "worst_case", "k"), 0);
    ck_assert(json_is_null(json_object_get(json_object_get(json, "worst_case"), "asr")));
    json_decref(json);
    base_free(broken);
    base_free(blue);
}
END_TEST

START_TEST(logits_that_are_not_finite_stop_it)
{
    const vit_config config = sample_config(true);
    vit_model *loaded = NULL;

    sample_model_save(model, &config, sample_labels);
    ck_assert_int_eq(vit_model_load(&loaded, model, NULL, NULL), BASE_OK);
    const vit_parameter *head = vit_model_parameter_find(loaded, "head.weight");
    for (size_t i = 0; i < head->count; i++)
        vit_model_weights(loaded)[head->offset + i] = 3e38f;
    ck_assert_int_eq(vit_model_save(loaded, model, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(loaded);
    program_refused(program_run(dir, "attack", model, "--data", data, "--eps", "1/255",
                                "--out", out, "--quiet", NULL),
                    1, "not finite");
}
END_TEST

/* What the loader cannot use counts as wrong, as in vmoe eval, and is never attacked. */
START_TEST(bad_images_are_skipped_as_in_eval)
{
    char *broken = test_path(data, "red/broken.png"), *json = test_path(dir, "eval.json");
    size_t bytes = 0;

    test_write(broken, "", 0);
    program_refused(program_run(dir, "attack", model, "--data", data, "--out", out,
                                "--attack", "fgsm", "--eps", "2/255", "--quiet", NULL),
                    1, "broken.png");
    program_done(program_run(dir, "eval", model, "--data", data, "--bad-samples", "skip",
                             "--json", json, NULL));
    for (int predicted = 0; predicted < 2; predicted++) {
        program_done(program_run(dir, "attack", model, "--data", data, "--out", out,
                                 "--attack", "fgsm", "--eps", "2/255", "--bad-samples",
                                 "skip", "--force", "--labels",
                                 predicted ? "predicted" : "true", NULL));
        json_t *e = program_json(json), *a = result(out);
        ck_assert_double_eq(number_at(a, "data", "bad"), 1);
        ck_assert_double_eq(number_at(a, "data", "n"), SAMPLE_COUNT + 1);
        if (predicted)
            ck_assert_double_eq(number_at(a, "clean", "k"), SAMPLE_COUNT);
        else
            ck_assert_double_eq(json_number_of(e, "top1"), number_at(a, "clean", "acc"));
        if (!predicted)
            ck_assert_double_eq_tol(json_number_of(e, "loss"),
                                    number_at(a, "clean", "loss"), 1e-9);
        size_t i, n = 0;
        json_t *one;
        json_array_foreach(json_object_get(a, "per_class"), i, one) n +=
            (size_t)json_number_of(one, "n");
        ck_assert_uint_eq(n, SAMPLE_COUNT + 1);
        json_decref(e);
        json_decref(a);
        char *labels = file_of(out, "labels.npy", &bytes);
        size_t minus = 0;
        for (i = 0; i < SAMPLE_COUNT + 1; i++) {
            int32_t label;

            memcpy(&label, labels + HEADER + 4 * i, sizeof label);
            minus += label == -1;
        }
        ck_assert_uint_eq(minus, 1);
        base_free(labels);
    }
    base_free(broken);
    base_free(json);
}
END_TEST

/* Experts that drop tokens for the sake of other images. */
START_TEST(capacity_routing_is_refused_or_fails_the_check)
{
    vit_config config = sample_config(true);

    config.moe.eval_capacity = 0.5;
    config.moe.capacity_multiple = 1;
    sample_model_save(model, &config, sample_labels);
    program_refused(program_run(dir, ATTACK, out, "--eps", "4/255", "--quiet", NULL), 2,
                    "--allow-batch-dependence");
    program_done(program_run(dir, ATTACK, other, "--eps", "4/255", "--attack", "fgsm",
                             "--capacity", "0", "--checks", "off", NULL));
    program_result r =
        program_run(dir, ATTACK, out, "--eps", "4/255", "--attack", "pgd:steps=3",
                    "--allow-batch-dependence", "--strict", "--quiet", NULL);
    ck_assert_msg(r.code == 3, "exit status %d: %s", r.code, r.err);
    program_result_free(&r);
    json_t *json = result(out);
    const json_t *named = json_object_get(json_object_get(json, "model"), "routing_mode");
    ck_assert_str_eq(json_string_value(named), "batch");
    json_decref(json);
}
END_TEST

/* Asked to stop while the images are read: no report. */
START_TEST(a_stop_before_the_first_attack_is_told)
{
    char *said = test_path(dir, "stderr.txt"), *report = test_path(out, "report.json");
    size_t bytes = 0;
    char *words[] = {"attack", model, "--data",   data,   "--eps",   "1/255",
                     "--out",  out,   "--attack", "fgsm", "--quiet", NULL};
    const int saved = dup(STDERR_FILENO), file = open(said, O_CREAT | O_WRONLY, 0600);

    ck_assert(saved >= 0 && file >= 0);
    base_stop_ask();
    dup2(file, STDERR_FILENO);
    const int code = app_attack_command(11, words);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    char *text = file_of(dir, "stderr.txt", &bytes);
    ck_assert_int_eq(code, 1);
    ck_assert_str_eq(text, "vmoe attack: stopped before the first attack\n");
    ck_assert(!test_exists(report));
    base_free(text);
    base_free(said);
    base_free(report);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_attack_limits");
    TCase *limits = tcase_create("Limits");

    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, bad_images_are_skipped_as_in_eval);
    tcase_add_test(limits, budgets_without_sense_are_refused);
    tcase_add_test(limits, unknown_attacks_name_the_nearest);
    tcase_add_test(limits, a_router_attack_without_sense_is_refused);
    tcase_add_test(limits, the_list_needs_nothing);
    tcase_add_test(limits, what_is_missing_is_named);
    tcase_add_test(limits, too_few_classes_fall_back_and_say_so);
    tcase_add_test(limits, a_network_that_is_wrong_on_everything_is_reported);
    tcase_add_test(limits, logits_that_are_not_finite_stop_it);
    tcase_add_test(limits, capacity_routing_is_refused_or_fails_the_check);
    tcase_add_test(limits, a_stop_before_the_first_attack_is_told); /* last */
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
