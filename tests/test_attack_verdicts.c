/* test_attack_verdicts.c - each check just below and just above its limit (attacks.md 11).
 * C11, C16, C17, C19 and C20 are moved across theirs in test_attack_checks.c. */
#include "attacks/checks/checks_internal.h"

#include <float.h>
#include <math.h>

#include "tests/test_attack_toy.h"
#include "tests/test_run.h"

enum { PASS = ATTACK_VERDICT_PASS, WARN = ATTACK_VERDICT_WARN, FAIL = ATTACK_VERDICT_FAIL };

static attack_check checks[ATTACK_CHECK_COUNT];
static attack_check_options options;
static toy model;

/* The verdict on counts, of a bench of n images and ten classes. */
static attack_bench bench_of(size_t n)
{
    options = attack_check_options_defaults();
    return (attack_bench){.options = &options, .checks = checks, .n = n, .classes = 10};
}

static void is(int number, int want, const char *words)
{
    const attack_check *c = &checks[number - 1];

    ck_assert_msg((int)c->verdict == want, "C%d is %d, not %d: %s", number, (int)c->verdict,
                  want, c->text);
    ck_assert_msg(strstr(c->text, words) != NULL, "'%s' does not say '%s'", c->text, words);
}

/* One sample or 0.2 %: 1 of 64, 2 of 1000, 4 of 2000. */
static const struct {
    size_t n, slack;
} slacks[] = {{64, 1}, {1000, 2}, {2000, 4}};
enum { SLACKS = sizeof slacks / sizeof slacks[0] };

START_TEST(c1_accuracy_may_rise_by_the_slack)
{
    const size_t n = slacks[_i].n, s = slacks[_i].slack;
    attack_bench b = bench_of(n);

    for (size_t over = 0; over < 2; over++) {
        attack_verdict_budgets(&b,
                               &(attack_budget_counts){0, 20 + s + over, 20, 30, n, 0.5});
        is(1, over ? FAIL : PASS, "PGD leaves");
        ck_assert_double_eq(checks[0].value, (double)(s + over));
        attack_verdict_budgets(&b,
                               &(attack_budget_counts){0, 10, 20, 20 - s - over, n, 0.5});
        is(1, over ? FAIL : PASS, "PGD leaves");
    }
    attack_verdict_budgets(&b, &(attack_budget_counts){1, 10, 20, 30, n, 0.5});
    is(1, FAIL, "PGD leaves");
    attack_verdict_budgets(&b, &(attack_budget_counts){0, 3, 4, 5, n, 0.5});
    is(1, PASS, "");
    char want[64];
    snprintf(want, sizeof want, "leaves %zu, %zu, %zu, %zu of %zu", n, n - 3, n - 4, n - 5,
             n);
    is(1, PASS, want);
}
END_TEST

/* 10 % of ten classes, 1 % of a thousand. */
START_TEST(c2_a_large_budget_leaves_no_more_than_chance)
{
    attack_bench b = bench_of(1000);

    for (size_t over = 0; over < 2; over++) {
        b.classes = 10;
        attack_verdict_budgets(&b,
                               &(attack_budget_counts){0, 1, 2, 3, 1000 - 100 - over, 0.5});
        is(2, over ? FAIL : PASS, over ? "gradients are masked" : "at eps 0.5");
        b.classes = 1000;
        attack_verdict_budgets(&b,
                               &(attack_budget_counts){0, 1, 2, 3, 1000 - 10 - over, 64});
        is(2, over ? FAIL : PASS, "at eps 64");
    }
}
END_TEST

START_TEST(c3_c7_c8_c9_may_be_beaten_by_the_slack)
{
    const size_t n = slacks[_i].n, s = slacks[_i].slack;
    attack_bench b = bench_of(n);

    for (size_t over = 0; over < 2; over++) {
        attack_verdict_one_step(&b, 20, 20 + s + over);
        is(3, over ? FAIL : PASS, "PGD breaks 20, FGSM 2");
        attack_verdict_black_box(&b, 20 + s + over, 20);
        is(7, over ? FAIL : PASS, over ? "gradients are masked" : "attacks 20 of");
        attack_verdict_transfer(&b, 20 + s + over, 20);
        is(8, over ? FAIL : PASS, over ? "gradients are masked" : "own 20 of");
        attack_verdict_targets(&b, 9, 20 + s + over, 20);
        is(9, over ? WARN : PASS, "towards the 9 likeliest 20");
    }
    attack_verdict_one_step(&b, 30, 20); /* the right order */
    is(3, PASS, "PGD breaks 30, FGSM 20");
    attack_verdict_one_step(&b, 30, SIZE_MAX);
    is(3, ATTACK_VERDICT_SKIPPED, "not defined");
}
END_TEST

START_TEST(c4_more_steps_gain_little_and_lose_less)
{
    const size_t n = slacks[_i].n, s = slacks[_i].slack, gain = n > 100 ? n / 100 : 1;
    attack_bench b = bench_of(n);

    for (size_t over = 0; over < 2; over++) {
        attack_verdict_steps(&b, 20, 20 + gain + over, 64);
        is(4, over ? WARN : PASS, over ? "not converged" : "with 20, 40, 100 steps");
        attack_verdict_steps(&b, 20, 20 - s - over, 64);
        is(4, over ? WARN : PASS, over ? "weaker with more" : "PGD breaks 20");
        attack_verdict_steps(&b, 20, 20, 20 - s - over);
        is(4, over ? WARN : PASS, over ? "weaker with more" : "PGD breaks 20");
    }
}
END_TEST

START_TEST(c5_more_starts_gain_little)
{
    for (size_t over = 0; over < 2; over++) {
        attack_bench b = bench_of(300); /* 1 %: 3 */
        attack_result r = {.broken = 23 + over, .by_restart_count = 3};
        size_t by_restart[] = {20, 21, 23 + over};
        memcpy(r.by_restart, by_restart, sizeof by_restart);
        attack_verdict_restarts(&b, &r);
        is(5, over ? WARN : PASS, over ? "broken 20, 21, 24 of 300" : "20, 21, 23 of 300");
        b.n = 50; /* 1 */
        r.broken = 21 + over;
        attack_verdict_restarts(&b, &r);
        is(5, over ? WARN : PASS, "after 1 to 3 starts");
    }
}
END_TEST

START_TEST(c6_noise_is_weaker_and_leaves_95_percent)
{
    const size_t n = slacks[_i].n, s = slacks[_i].slack;
    attack_bench b = bench_of(n);

    for (size_t over = 0; over < 2; over++) {
        attack_verdict_noise(&b, 30, 20, 20 + s + over, 1);
        is(6, over ? WARN : PASS, over ? "leads nowhere" : "FGSM 20, PGD 30");
        attack_verdict_noise(&b, 20, 30, 20 + s + over, 1);
        is(6, over ? WARN : PASS, over ? "leads nowhere" : "FGSM 30, PGD 20");
        attack_verdict_noise(&b, 20, SIZE_MAX, 20 + s + over, 1);
        is(6, over ? WARN : PASS, ", PGD 20 of");
        attack_verdict_noise(&b, 30, 20, 3, over ? 0.949 : 0.951);
        is(6, over ? WARN : PASS, over ? "94.9 % right: a large budget" : "95.1 % right");
    }
}
END_TEST

START_TEST(c10_one_percent_may_have_no_gradient_of_the_cross_entropy)
{
    attack_bench b = bench_of(200);

    attack_verdict_gradients(&b, 2, 0, 0, 0.25);
    is(10, PASS, "of the first 0.25");
    attack_verdict_gradients(&b, 3, 0, 0, 0.25);
    is(10, WARN, "3 have no gradient of the cross-entropy");
    ck_assert_double_eq(checks[9].value, 0.015);
    attack_verdict_gradients(&b, 0, 1, 0, 0.25);
    is(10, WARN, "1 of the margin");
    attack_verdict_gradients(&b, 0, 0, 1, 0.25);
    is(10, WARN, "1 of dlr");
    b.n = 99;
    attack_verdict_gradients(&b, 1, 0, 0, 0.25);
    is(10, WARN, "of 99 images 1");
}
END_TEST

START_TEST(c18_seeds_differ_by_two_or_five_percent)
{
    attack_bench b = bench_of(64);

    for (size_t over = 0; over < 2; over++) {
        b.n = 64; /* 3.2 */
        attack_verdict_seeds(&b, 0, (size_t[]){20, 23 + over, 21});
        is(18, over ? WARN : PASS,
           over ? "three seeds break 20, 24" : "three seeds break 20, 23");
        for (b.n = 20; b.n <= 40; b.n += 20) { /* 2 at least */
            attack_verdict_seeds(&b, 0, (size_t[]){12 + over, 11, 10});
            is(18, over ? WARN : PASS, "seeds break 1");
        }
        attack_verdict_seeds(&b, over, (size_t[]){20, 20, 20});
        is(18, over ? WARN : PASS, "same seed again differs on");
    }
}
END_TEST

/* ---- on a model ---------------------------------------------------------------------- */

static attack_config half_broken(void)
{
    attack_config config = attack_config_defaults();

    config.eps = 0;
    for (size_t i = 0; i < TOY_IMAGES; i++)
        config.eps += toy_distance(&model, i, ATTACK_NORM_LINF) / TOY_IMAGES;
    return config;
}

/* The checks of one group on a run; the bench holds all images. */
static void look(base_status (*group)(attack_bench *, base_error *), const attack_run *run)
{
    base_error err = {0};
    attack_bench b = bench_of(TOY_IMAGES);

    b.run = run;
    b.count = run->count;
    b.classes = run->target.classes;
    b.images = run->images ? (float *)(uintptr_t)run->images : NULL;
    b.labels = (int32_t *)(uintptr_t)run->labels;
    ck_assert_msg(group(&b, &err) == BASE_OK, "%s", err.text);
}

/* The least that a point which is evaluated lies beside its image, Linf. */
static double nearest;

static base_status nearest_seen(void *user, float *logits, const float *images,
                                size_t count, base_error *err)
{
    for (size_t i = 0; i < count; i++) {
        double least = 1;
        for (size_t j = 0; j < TOY_IMAGES; j++) {
            double d = 0;
            for (size_t p = 0; p < TOY_FLOATS; p++)
                d = fmax(d, fabs((double)images[i * TOY_FLOATS + p] -
                                 (double)model.images[j * TOY_FLOATS + p]));
            least = fmin(least, d);
        }
        nearest = least > 0 ? fmin(nearest, least) : nearest;
    }
    return toy_logits(user, logits, images, count, err);
}

/* 20 steps of 2.5 eps / 20 from the clean image, whatever the driver does. */
START_TEST(c11_walks_by_an_eighth_of_the_budget)
{
    uint8_t white[TOY_IMAGES] = {0};
    base_error err = {0};

    toy_make(&model, 10, 1);
    const attack_config config = half_broken();
    attack_run *run = toy_attack(&model, "fgsm", &config);
    attack_bench b = bench_of(TOY_IMAGES);
    b.run = run;
    b.count = run->count;
    b.images = model.images;
    b.labels = model.labels;
    b.white = white;
    run->target.forward = nearest_seen;
    nearest = 1;
    ck_assert_msg(attack_checks_curve(&b, &err) == BASE_OK, "%s", err.text);
    ck_assert_double_eq_tol(nearest / config.eps, 0.125, 1e-4);
    attack_run_destroy(run);
}
END_TEST

/* 1e-6 above eps and 1e-7 outside of the range are rounding, more is not. */
START_TEST(c12_examples_keep_budget_and_range_to_the_rounding)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken();
    attack_run *run = toy_attack(&model, "pgd", &config);
    float *v = run->adversarial, saved = v[0];

    for (int over = 0; over < 2; over++) {
        v[0] = (float)((double)run->images[0] + config.eps + (over ? 1.2e-6 : 0.8e-6));
        look(attack_checks_outcome, run);
        is(12, over ? FAIL : PASS, over ? "images 1 exceed" : "images 0 exceed");
        v[0] = saved;
        const double eps = run->config.eps;
        run->config.eps = 1;
        v[0] = over ? -1.2e-7f : -0.8e-7f;
        look(attack_checks_outcome, run);
        is(12, over ? FAIL : PASS, over ? "and 1 the range" : "and 0 the range");
        v[0] = over ? 1 + 1.2e-7f : 1; /* the next number above 1 */
        look(attack_checks_outcome, run);
        is(12, over ? FAIL : PASS, over ? "and 1 the range" : "and 0 the range");
        run->config.eps = eps;
        v[0] = saved;
    }
    attack_run_destroy(run);
}
END_TEST

/* A sample that counts as broken and is the clean image, or is classified rightly. */
START_TEST(c12_broken_examples_are_changed_and_wrong)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken();
    attack_run *run = toy_attack(&model, "pgd", &config);
    size_t at = 0;

    while (run->samples[at].broken)
        at++;
    run->samples[at].broken = true;
    look(attack_checks_outcome, run);
    is(12, FAIL, "1 are classified rightly");
    memcpy(run->adversarial + at * run->count, run->images + at * run->count,
           run->count * sizeof(float));
    look(attack_checks_outcome, run);
    is(12, FAIL, "broken 1 equal the clean image and 1 are classified rightly");
    attack_run_destroy(run);
}
END_TEST

/* Logits of one call are larger by 0.8e-4 or 1.2e-4 of themselves: the largest of an image
 * moves by as much of its scale. */
START_TEST(c13_neighbours_change_answers_by_rounding_alone)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken();
    attack_run *run = toy_attack(&model, "fgsm", &config);

    for (int over = 0; over < 2; over++) {
        model.spoil = over ? 1 + 1.2e-4 : 1 + 0.8e-4;
        /* five evaluations of two batches, then each image alone */
        model.spoil_first = model.spoil_last = model.calls + 5 * 2 + 3;
        look(attack_checks_model, run);
        is(13, over ? FAIL : PASS, over ? "F-BATCH" : "evaluations differ by 0,");
        ck_assert_double_eq_tol(checks[12].value, over ? 1.2e-4 : 0.8e-4, 1e-6);
    }
    attack_run_destroy(run);
}
END_TEST

/* One logit of one evaluation moves by 0.8e-4 or 1.2e-4 of the image's norm. */
START_TEST(c13_an_evaluation_repeats_to_rounding)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken();
    attack_run *run = toy_attack(&model, "fgsm", &config);

    for (int over = 0; over < 2; over++) {
        model.nudge = over ? 1.2e-4 : 0.8e-4;
        model.spoil = 1;
        model.spoil_first = model.spoil_last = model.calls + 5 * 2; /* the last of five */
        look(attack_checks_model, run);
        is(13, over ? FAIL : PASS, over ? "F-RANDOM" : "0 flips");
    }
    attack_run_destroy(run);
}
END_TEST

/* One image of the second batch stands between two classes: a step far below the limit
 * turns its prediction, and a single one is told. */
START_TEST(c13_one_prediction_may_not_flip)
{
    size_t of = 0, image = 0;

    for (int32_t y = 1; y < 10 && of != 1; y++) {
        toy_make(&model, 10, 1);
        for (size_t p = 0; p < TOY_FLOATS; p++)
            model.weight[0][0][p] = 0.999999f * model.weight[0][y][p];
        of = 0;
        for (size_t i = 0; i < TOY_IMAGES; i++) {
            model.labels[i] = toy_answer(&model, i);
            image = i >= TOY_BATCH && model.labels[i] == y ? i : image;
            of += i >= TOY_BATCH && model.labels[i] == y;
        }
    }
    ck_assert_uint_eq(of, 1);
    const attack_config config = attack_config_defaults();
    attack_run *run = toy_attack(&model, "fgsm", &config);

    model.nudge = 1e-5;
    model.spoil = 1;
    for (int alone = 0; alone < 2; alone++) {
        model.spoil_first = model.spoil_last =
            model.calls + 5 * 2 + (alone ? image + 1 : 0);
        look(attack_checks_model, run);
        is(13, FAIL, alone ? "by 0, 0 flips; alone" : "1 flips (F-RANDOM");
        is(13, FAIL, alone ? "1 flips (F-BATCH" : "by 0, 0 flips");
        ck_assert_double_lt(checks[12].value, 1e-4);
    }
    attack_run_destroy(run);
}
END_TEST

/* Sums of 1 to 1e-5 are probabilities, when all outputs are. */
START_TEST(c14_probabilities_are_told_from_logits)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken();
    attack_run *run = toy_attack(&model, "fgsm", &config);
    float *z = run->clean_logits;

    for (size_t i = 0; i < 10 * run->n; i++)
        z[i] = 0.1f;
    for (int over = 0; over < 2; over++) {
        z[0] = over ? 0.1f + 1.2e-5f : 0.1f + 0.8e-5f;
        look(attack_checks_model, run);
        is(14, over ? PASS : WARN, over ? "31 of 32" : "32 of 32");
    }
    z[0] = -0.1f; /* a sum of 1, and none below 0 */
    z[1] = 0.3f;
    look(attack_checks_model, run);
    is(14, PASS, "31 of 32");
    attack_run_destroy(run);
}
END_TEST

START_TEST(c15_losses_need_classes)
{
    for (size_t classes = 2; classes <= 4; classes++) {
        toy_make(&model, classes, 1);
        const attack_config config = half_broken();
        attack_run *run = toy_attack(&model, "fgsm", &config);
        look(attack_checks_outcome, run);
        is(15, classes < 4 ? WARN : PASS,
           classes == 2   ? "both dlr losses are replaced by the margin, 1 target"
           : classes == 3 ? "the targeted dlr loss is replaced by the margin, 2 targets"
                          : "up to 3 targets");
        attack_run_destroy(run);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_verdicts");
    TCase *counts = tcase_create("Counts"), *models = tcase_create("Models");

    tcase_add_loop_test(counts, c1_accuracy_may_rise_by_the_slack, 0, SLACKS);
    tcase_add_test(counts, c2_a_large_budget_leaves_no_more_than_chance);
    tcase_add_loop_test(counts, c3_c7_c8_c9_may_be_beaten_by_the_slack, 0, SLACKS);
    tcase_add_loop_test(counts, c4_more_steps_gain_little_and_lose_less, 0, SLACKS);
    tcase_add_test(counts, c5_more_starts_gain_little);
    tcase_add_loop_test(counts, c6_noise_is_weaker_and_leaves_95_percent, 0, SLACKS);
    tcase_add_test(counts, c10_one_percent_may_have_no_gradient_of_the_cross_entropy);
    tcase_add_test(counts, c18_seeds_differ_by_two_or_five_percent);
    tcase_add_test(models, c11_walks_by_an_eighth_of_the_budget);
    tcase_add_test(models, c12_examples_keep_budget_and_range_to_the_rounding);
    tcase_add_test(models, c12_broken_examples_are_changed_and_wrong);
    tcase_add_test(models, c13_neighbours_change_answers_by_rounding_alone);
    tcase_add_test(models, c13_an_evaluation_repeats_to_rounding);
    tcase_add_test(models, c13_one_prediction_may_not_flip);
    tcase_add_test(models, c14_probabilities_are_told_from_logits);
    tcase_add_test(models, c15_losses_need_classes);
    suite_add_tcase(suite, counts);
    suite_add_tcase(suite, models);
    return test_run(suite);
}
