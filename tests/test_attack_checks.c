/* test_attack_checks.c - an honest model passes the checks; each planted fault is caught
 * by the check that is there for it (attacks.md 13.6). Where they
 * turn: test_attack_thresholds.c, test_attack_verdicts.c. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/test_attack_checked.h"
#include "tests/test_run.h"

static toy other;

START_TEST(honest_models_pass)
{
    toy_make(&model, _i == 0 ? 10 : 4, _i == 0 ? 1 : 2);
    const attack_config config = half_broken(&model);
    check_attack(&model, "apgd-ce apgd-t", &config, TOY_IMAGES);
    for (int c = 1; c <= ATTACK_CHECK_COUNT; c++) {
        ck_assert_str_ne(checks[c - 1].text, "");
        ck_assert_msg(verdict(c) == (c == 8 ? ATTACK_VERDICT_SKIPPED : ATTACK_VERDICT_PASS),
                      "C%d is %d: %s", c, (int)verdict(c), checks[c - 1].text);
    }
}
END_TEST

START_TEST(honest_models_pass_in_other_norms)
{
    toy_make(&model, _i == 0 ? 8 : 10, 1); /* arrays of 8 end where their memory does */
    attack_config config = attack_config_defaults();
    config.norm = _i == 0 ? ATTACK_NORM_L2 : ATTACK_NORM_L1;
    config.eps = 0;
    for (size_t i = 0; i < TOY_IMAGES; i++)
        config.eps += toy_distance(&model, i, config.norm) / TOY_IMAGES;
    check_model(&model, &config, TOY_IMAGES);
    for (int c = 1; c <= ATTACK_CHECK_COUNT; c++)
        ck_assert_msg(verdict(c) != ATTACK_VERDICT_FAIL, "C%d: %s", c, checks[c - 1].text);
    ck_assert_int_eq(verdict(7), _i == 0 ? ATTACK_VERDICT_PASS : ATTACK_VERDICT_SKIPPED);
    if (_i == 1)
        ck_assert_str_eq(checks[6].text, "no black-box attack works in this norm");
}
END_TEST

/* The 8-bit column judges examples as a file would hold them: each pixel at the nearest of
 * 255 steps. Examples that barely cross the boundary tell it from any other rounding. */
START_TEST(the_8_bit_column_judges_rounded_examples)
{
    size_t broken = 0, kept = 0;

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "fab:steps=20", &config);
    for (size_t i = 0; i < TOY_IMAGES; i++) {
        const float *v = attack_run_adversarial(run) + i * TOY_FLOATS;
        const attack_sample s = attack_run_sample(run, i);
        float rounded[TOY_FLOATS], logits[TOY_CLASSES_MAX];

        for (size_t p = 0; p < TOY_FLOATS; p++)
            rounded[p] = floorf(255 * v[p] + 0.5f) / 255;
        toy_logits(&model, logits, rounded, 1, NULL);
        const bool wrong = attack_predict(logits, 10) != model.labels[i];
        ck_assert_int_eq(s.broken_u8, s.broken && wrong);
        broken += s.broken;
        kept += s.broken && wrong;
    }
    ck_assert_uint_gt(kept, 2);
    ck_assert_uint_gt(broken, kept); /* else any rounding, or none, would do */
    ck_assert_uint_eq(attack_run_result(run, 0)->robust, TOY_IMAGES - broken);
    ck_assert_uint_eq(attack_run_result(run, 0)->robust_u8, TOY_IMAGES - kept);
    attack_run_destroy(run);
}
END_TEST

START_TEST(a_hidden_gradient_is_caught)
{
    toy_make(&model, 10, 1);
    model.gradient = 0;
    const attack_config config = half_broken(&model);
    check_model(&model, &config, TOY_IMAGES);
    ck_assert_int_eq(verdict(10), ATTACK_VERDICT_WARN);
    ck_assert_int_eq(verdict(7), ATTACK_VERDICT_FAIL);
    ck_assert_int_eq(verdict(19), ATTACK_VERDICT_FAIL);
}
END_TEST

/* Softmax saturates, its gradient is 0 in float32; the difference of logits ratio does
 * not care. */
START_TEST(logits_times_a_thousand_are_caught_and_dlr_still_works)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *honest = toy_attack(&model, "apgd-dlr", &config);
    model.scale = 1000;
    check_model(&model, &config, TOY_IMAGES);
    ck_assert_int_eq(verdict(10), ATTACK_VERDICT_WARN);
    attack_run *scaled = toy_attack(&model, "apgd-dlr", &config);
    ck_assert_uint_eq(attack_run_result(scaled, 0)->broken,
                      attack_run_result(honest, 0)->broken);
    ck_assert_uint_gt(attack_run_result(scaled, 0)->broken, TOY_IMAGES / 4);
    attack_run_destroy(honest);
    attack_run_destroy(scaled);
}
END_TEST

/* Logits 3, 2, 1 times one pixel: the ratio of their differences stands still, whatever the
 * pixel does, so that dlr alone has no gradient. */
START_TEST(a_ratio_that_stands_still_is_caught)
{
    toy_make(&model, 3, 1);
    model.shift = -0.5f;
    for (size_t j = 0; j < 3; j++)
        for (size_t p = 0; p < TOY_FLOATS; p++)
            model.weight[0][j][p] = p == 0 ? (float)(3 - j) : 0;
    for (size_t p = 0; p < TOY_IMAGES * TOY_FLOATS; p++)
        model.images[p] = 0.5f; /* 1 / (4 * 0.5) and its like are exact */
    for (size_t i = 0; i < TOY_IMAGES; i++)
        model.labels[i] = 0;
    attack_config config = attack_config_defaults();
    config.eps = 0.1;
    check_model(&model, &config, TOY_IMAGES);
    ck_assert_int_eq(verdict(10), ATTACK_VERDICT_WARN);
    ck_assert_msg(strstr(checks[9].text,
                         "of 32 images 0 have no gradient of the "
                         "cross-entropy, 0 of the margin, 32 of dlr;") != NULL,
                  "%s", checks[9].text);
}
END_TEST

START_TEST(noise_in_the_router_is_caught)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    model.noise = 0.05;
    check_model(&model, &config, SIZE_MAX);
    ck_assert_int_eq(verdict(13), ATTACK_VERDICT_FAIL);
    ck_assert_ptr_nonnull(strstr(checks[12].text, "F-RANDOM"));
}
END_TEST

START_TEST(routing_with_capacity_is_caught)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    model.crowded = true;
    check_model(&model, &config, SIZE_MAX);
    ck_assert_int_eq(verdict(13), ATTACK_VERDICT_FAIL);
    ck_assert_ptr_nonnull(strstr(checks[12].text, "F-BATCH"));
}
END_TEST

START_TEST(forgotten_normalisation_is_caught)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    model.shift = 0.2f; /* the ordinary evaluation had none and found all right */
    check_model(&model, &config, TOY_IMAGES);
    ck_assert_int_eq(verdict(16), ATTACK_VERDICT_FAIL);
}
END_TEST

START_TEST(eps_in_units_of_255_is_refused_with_a_hint)
{
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    base_error err = {0};

    toy_make(&model, 10, 1);
    const attack_target target = toy_target(&model);
    config.eps = 8;
    ck_assert_int_eq(attack_run_create(&run, &target, &config, model.images, model.labels,
                                       TOY_IMAGES, &err),
                     BASE_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "8/255"));
}
END_TEST

/* Examples made with 255 times less or more than what the report says. */
START_TEST(examples_outside_their_budget_are_caught)
{
    base_error err = {0};
    const attack_check_options options = attack_check_options_defaults();

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "pgd", &config);
    run->config.eps /= 255;
    ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
    ck_assert_int_eq(verdict(12), ATTACK_VERDICT_FAIL);
    attack_run_destroy(run);
}
END_TEST

START_TEST(a_gradient_of_the_wrong_sign_is_caught)
{
    toy_make(&model, 10, 1);
    model.gradient = -1;
    const attack_config config = half_broken(&model);
    check_model(&model, &config, TOY_IMAGES);
    ck_assert_int_eq(verdict(6), ATTACK_VERDICT_WARN);
    ck_assert_int_eq(verdict(7), ATTACK_VERDICT_FAIL);
    ck_assert_int_eq(verdict(11), ATTACK_VERDICT_WARN);
    ck_assert_int_eq(verdict(19), ATTACK_VERDICT_FAIL);
}
END_TEST

/* Examples of an honest twin beat a model that hides its gradient. */
START_TEST(transfer_beats_a_hidden_gradient)
{
    base_error err = {0};
    attack_check_options options = attack_check_options_defaults();

    for (int hidden = 0; hidden < 2; hidden++) {
        toy_make(&model, 10, 1);
        toy_make(&other, 10, 1);
        model.gradient = hidden ? 0 : 1;
        const attack_target twin = toy_target(&other);
        options.transfer = &twin;
        const attack_config config = half_broken(&model);
        attack_run *run = toy_attack(&model, "pgd", &config);
        ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
        ck_assert_int_eq(verdict(8), hidden ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS);
        attack_run_destroy(run);
    }
}
END_TEST

/* With room for every image, those of the twin break nearly all, and that is said. */
START_TEST(transferred_examples_are_counted)
{
    base_error err = {0};
    attack_check_options options = attack_check_options_defaults();
    size_t wrong = 0, white = 0, of = 0;

    toy_make(&model, 10, 1);
    toy_make(&other, 10, 1);
    const attack_target twin = toy_target(&other);
    options.transfer = &twin;
    attack_config config = attack_config_defaults();
    config.eps = 0.5;
    attack_run *run = toy_attack(&model, "pgd", &config);
    ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
    ck_assert_int_eq(sscanf(checks[7].text,
                            "examples made for the other model break %zu, the gradient's "
                            "own %zu of %zu",
                            &wrong, &white, &of),
                     3);
    ck_assert_uint_gt(4 * wrong, 3 * of);
    ck_assert_uint_le(wrong, of);
    ck_assert_uint_gt(4 * white, 3 * of);
    attack_run_destroy(run);
}
END_TEST

/* What only the other model's examples break is known to break: C20 counts it, once. */
START_TEST(transferred_examples_are_found)
{
    base_error err = {0};
    attack_check_options options = attack_check_options_defaults();
    size_t wrong = 0, found = 0;

    toy_make(&model, 10, 1);
    toy_make(&other, 10, 1);
    model.gradient = 0;
    const attack_target twin = toy_target(&other);
    options.transfer = &twin;
    options.queries = 1;
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "pgd", &config);
    ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
    ck_assert_int_eq(
        sscanf(checks[7].text, "examples made for the other model break %zu", &wrong), 1);
    const char *all = strstr(checks[19].text, "those of the checks ");
    ck_assert_msg(all && sscanf(all, "those of the checks %zu", &found) == 1, "%s",
                  checks[19].text);
    ck_assert_uint_gt(wrong, 8);
    ck_assert_msg(found >= wrong && found < wrong + 4, "%zu: %s", wrong, checks[19].text);
    attack_run_destroy(run);
}
END_TEST

/* Pixel 0 chooses the expert. Next to the border every difference would cross it: none
 * is taken. A little away from it shorter steps do. */
START_TEST(slopes_are_not_taken_across_experts)
{
    base_error err = {0};
    const attack_check_options options = attack_check_options_defaults();

    for (int away = 0; away < 2; away++) {
        toy_make(&model, 4, 2);
        for (size_t i = 0; i < TOY_IMAGES; i++) {
            float logits[TOY_CLASSES_MAX];
            model.images[i * TOY_FLOATS] = away ? 0.501f : nextafterf(0.5f, 1);
            toy_logits(&model, logits, model.images + i * TOY_FLOATS, 1, NULL);
            model.labels[i] = attack_predict(logits, 4);
        }
        const attack_config config = attack_config_defaults();
        attack_run *run = toy_attack(&model, "fgsm", &config);
        ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
        size_t skipped = 0;
        const char *tail = strchr(checks[18].text, ';');
        ck_assert(verdict(19) == ATTACK_VERDICT_SKIPPED ||
                  (tail && sscanf(tail, "; %zu", &skipped) == 1));
        if (away)
            ck_assert_msg(verdict(19) == ATTACK_VERDICT_PASS, "%s", checks[18].text);
        else /* some steps are too short to be seen in float32 */
            ck_assert_msg(!tail || skipped > 40, "%s", checks[18].text);
        attack_run_destroy(run);
    }
}
END_TEST

/* ---- limits -------------------------------------------------------------------------- */

START_TEST(two_and_three_classes_are_told)
{
    toy_make(&model, (size_t)_i, 1);
    const attack_config config = half_broken(&model);
    check_model(&model, &config, TOY_IMAGES);
    ck_assert_int_eq(verdict(15), ATTACK_VERDICT_WARN);
    for (int c = 1; c <= ATTACK_CHECK_COUNT; c++)
        ck_assert_msg(verdict(c) != ATTACK_VERDICT_FAIL, "C%d: %s", c, checks[c - 1].text);
}
END_TEST

/* Skipped, for this reason. */
static void skipped(int number, const char *reason)
{
    const attack_check *c = &checks[number - 1];

    ck_assert_msg(c->verdict == ATTACK_VERDICT_SKIPPED && strcmp(c->text, reason) == 0,
                  "C%d, '%s': %d, '%s'", number, reason, (int)c->verdict, c->text);
    ck_assert(isnan(c->value));
    ck_assert(isnan(c->limit) || number == 19);
}

static size_t last_begun;

static void begun_is(void *user, size_t begun, const char *id, const char *title)
{
    (void)user, (void)title;
    last_begun = strcmp(id, "C20") == 0 ? begun : 0;
}

START_TEST(a_model_that_is_wrong_on_everything_is_skipped_over)
{
    static const int of_images[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 18, 20};
    attack_check_options options = attack_check_options_defaults();
    base_error err = {0};

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    for (size_t i = 0; i < TOY_IMAGES; i++)
        model.labels[i] = (model.labels[i] + 1) % 10;
    options.progress = begun_is;
    attack_run *run = toy_attack(&model, "pgd", &config);
    ck_assert_int_eq(attack_checks(checks, run, &options, &err), BASE_OK);
    ck_assert_uint_eq(last_begun, 19);
    skipped(16, "no count of an ordinary evaluation was given");
    attack_run_destroy(run);
    check_model(&model, &config, 0);
    ck_assert_int_eq(verdict(16), ATTACK_VERDICT_WARN); /* below chance */
    ck_assert_str_eq(
        checks[15].text,
        "0 of 32 clean images are right here, 0 in the ordinary evaluation: no "
        "more than by chance, are labels and preprocessing those of the "
        "network?");
    ck_assert_int_eq(verdict(13), ATTACK_VERDICT_PASS);
    for (size_t i = 0; i < sizeof of_images / sizeof of_images[0]; i++)
        skipped(of_images[i], "no image is classified rightly");
    skipped(19, "no direction of 0 keeps every expert and is smooth");
}
END_TEST

/* Another model of other classes, channels, height or width is none. */
START_TEST(what_another_model_must_be)
{
    base_error err = {0};
    attack_check_options options = attack_check_options_defaults();

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "fgsm", &config);
    ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
    skipped(8, "no other model was given");
    for (int way = 0; way <= 4; way++) {
        attack_target twin = toy_target(&model);

        twin.classes += way == 1;
        twin.channels += way == 2;
        twin.height += way == 3;
        twin.width += way == 4;
        options.transfer = &twin;
        options.samples = 2;
        ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
        if (way > 0)
            skipped(8, "the other model takes other images or classes");
        else
            ck_assert_int_ne(verdict(8), ATTACK_VERDICT_SKIPPED);
    }
    attack_run_destroy(run);
}
END_TEST

START_TEST(logits_that_are_not_numbers_are_told)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    model.nan = true;
    check_model(&model, &config, SIZE_MAX);
    ck_assert_int_eq(verdict(13), ATTACK_VERDICT_WARN);
    for (int c = 1; c <= ATTACK_CHECK_COUNT; c++)
        ck_assert_str_ne(checks[c - 1].text, "");
}
END_TEST

START_TEST(without_a_budget_strength_is_skipped)
{
    static const int of_budgets[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 17, 18, 20};

    toy_make(&model, 10, 1);
    attack_config config = attack_config_defaults();
    config.eps = 0;
    check_model(&model, &config, TOY_IMAGES);
    for (size_t i = 0; i < sizeof of_budgets / sizeof of_budgets[0]; i++)
        skipped(of_budgets[i], "eps is 0");
    ck_assert_int_eq(verdict(12), ATTACK_VERDICT_PASS);
    ck_assert_int_eq(verdict(19), ATTACK_VERDICT_PASS);
}
END_TEST

static bool stop_after(void *user)
{
    size_t *left = user;

    return (*left)-- == 0;
}

/* At once; after the first group of checks, whose word stands. */
START_TEST(checks_that_are_stopped_say_so)
{
    attack_check_options options = attack_check_options_defaults();

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "fgsm", &config);
    for (size_t after = 0; after < 2; after++) {
        base_error err = {0};
        size_t left = after;

        options.stop = stop_after;
        options.user = &left;
        ck_assert_int_eq(attack_checks(checks, run, &options, &err), BASE_INTERRUPTED);
        ck_assert_str_eq(err.text, "stopped while checking");
        for (int c = 1; c <= ATTACK_CHECK_COUNT; c++)
            if (after == 0 || (c != 12 && c != 15 && c != 16))
                skipped(c, "the checks were stopped before this one");
        if (after > 0) {
            ck_assert_int_eq(verdict(12), ATTACK_VERDICT_PASS);
            ck_assert_int_eq(verdict(15), ATTACK_VERDICT_PASS);
        }
    }
    attack_run_destroy(run);
}
END_TEST

START_TEST(nothing_is_checked_before_a_run)
{
    const attack_check_options options = attack_check_options_defaults();
    attack_config config = attack_config_defaults();
    base_error err = {0};
    attack_run *run = NULL;

    toy_make(&model, 10, 1);
    const attack_target target = toy_target(&model);
    ck_assert(attack_run_create(&run, &target, &config, model.images, model.labels,
                                TOY_IMAGES, &err) == BASE_OK);
    ck_assert_int_eq(attack_checks(checks, run, &options, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "there is nothing to check before a run");
    ck_assert_int_eq(attack_run_go(run, &err), BASE_OK); /* without an attack */
    ck_assert_int_eq(attack_checks(checks, run, &options, &err), BASE_OK);
    skipped(20, "no attack was made");
    attack_run_destroy(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_checks");
    TCase *core = tcase_create("Core");
    tcase_add_loop_test(core, honest_models_pass, 0, 2);
    tcase_add_loop_test(core, honest_models_pass_in_other_norms, 0, 2);
    tcase_add_test(core, slopes_are_not_taken_across_experts);
    suite_add_tcase(suite, core);
    TCase *faults = tcase_create("Planted faults");
    tcase_add_test(faults, the_8_bit_column_judges_rounded_examples);
    tcase_add_test(faults, a_hidden_gradient_is_caught);
    tcase_add_test(faults, logits_times_a_thousand_are_caught_and_dlr_still_works);
    tcase_add_test(faults, a_ratio_that_stands_still_is_caught);
    tcase_add_test(faults, noise_in_the_router_is_caught);
    tcase_add_test(faults, routing_with_capacity_is_caught);
    tcase_add_test(faults, forgotten_normalisation_is_caught);
    tcase_add_test(faults, eps_in_units_of_255_is_refused_with_a_hint);
    tcase_add_test(faults, examples_outside_their_budget_are_caught);
    tcase_add_test(faults, a_gradient_of_the_wrong_sign_is_caught);
    tcase_add_test(faults, transfer_beats_a_hidden_gradient);
    tcase_add_test(faults, transferred_examples_are_counted);
    tcase_add_test(faults, transferred_examples_are_found);
    suite_add_tcase(suite, faults);
    TCase *limits = tcase_create("Limits");
    tcase_add_loop_test(limits, two_and_three_classes_are_told, 2, 4);
    tcase_add_test(limits, a_model_that_is_wrong_on_everything_is_skipped_over);
    tcase_add_test(limits, logits_that_are_not_numbers_are_told);
    tcase_add_test(limits, without_a_budget_strength_is_skipped);
    tcase_add_test(limits, what_another_model_must_be);
    tcase_add_test(limits, nothing_is_checked_before_a_run);
    tcase_add_test(limits, checks_that_are_stopped_say_so);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
