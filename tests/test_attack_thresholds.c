/* test_attack_thresholds.c - checks of whole runs just below and just above where they
 * turn; those that stand on counts alone: test_attack_verdicts.c. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/test_attack_checked.h"
#include "tests/test_run.h"

/* C20 of n images of which the report broke `reported`, the checks those and `missed`
 * more. */
static attack_verdict reported_verdict(size_t n, size_t reported, size_t missed,
                                       size_t best)
{
    uint8_t found[128] = {0}, broken[128] = {0};
    const attack_config config = attack_config_defaults();
    const attack_check_options options = attack_check_options_defaults();
    base_error err = {0};

    attack_run *run = toy_attack(&model, "fgsm", &config);
    attack_bench bench = {.run = run,
                          .options = &options,
                          .checks = checks,
                          .n = n,
                          .found = found,
                          .reported = broken,
                          .best = best,
                          .best_spec = "pgd:steps=9"};
    for (size_t i = 0; i < reported + missed; i++) {
        found[i] = 1;
        broken[i] = i < reported;
    }
    ck_assert_int_eq(attack_checks_reported(&bench, &err), BASE_OK);
    attack_run_destroy(run);
    return verdict(20);
}

/* 6 % of the samples, at least 2; two thirds of all that is known to break, at least 1; a
 * warning from the second on. */
START_TEST(what_the_report_may_miss)
{
    toy_make(&model, 10, 1);
    static const struct {
        size_t n, reported, missed;
        attack_verdict want;
    } cases[] = {
        {64, 40, 0, ATTACK_VERDICT_PASS},  {64, 40, 1, ATTACK_VERDICT_PASS},
        {64, 40, 2, ATTACK_VERDICT_WARN},  {64, 40, 3, ATTACK_VERDICT_WARN},
        {64, 40, 4, ATTACK_VERDICT_FAIL},  {100, 40, 6, ATTACK_VERDICT_WARN},
        {100, 40, 7, ATTACK_VERDICT_FAIL}, {13, 8, 2, ATTACK_VERDICT_WARN},
        {13, 8, 3, ATTACK_VERDICT_FAIL},   {64, 0, 1, ATTACK_VERDICT_PASS},
        {64, 0, 2, ATTACK_VERDICT_FAIL},   {64, 1, 2, ATTACK_VERDICT_WARN},
        {64, 0, 3, ATTACK_VERDICT_FAIL},   {64, 1, 3, ATTACK_VERDICT_FAIL},
        {1, 0, 1, ATTACK_VERDICT_PASS},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(reported_verdict(cases[i].n, cases[i].reported, cases[i].missed, 1) ==
                          cases[i].want,
                      "%zu of %zu, %zu missed: %s", cases[i].reported, cases[i].n,
                      cases[i].missed, checks[19].text);
}
END_TEST

/* From the first broken image on the strongest attack has a name. */
START_TEST(the_best_attack_is_named)
{
    static const char *const told[] = {
        "of 13 images the reported attacks break 9, those of the checks 9 (the best alone "
        "0), 0 of them missed by the report",
        "of 13 images the reported attacks break 9, those of the checks 10 (pgd:steps=9 "
        "alone 1), 1 of them missed by the report",
        "of 13 images the reported attacks break 9, those of the checks 11 (pgd:steps=9 "
        "alone 2), 2 of them missed by the report: a stronger attack lowers the figure",
        "of 13 images the reported attacks break 9, those of the checks 12 (pgd:steps=9 "
        "alone 3), 3 of them missed by the report: what is reported is no worst case"};

    toy_make(&model, 10, 1);
    for (size_t missed = 0; missed < 4; missed++) {
        reported_verdict(13, 9, missed, missed);
        ck_assert_str_eq(checks[19].text, told[missed]);
        ck_assert_double_eq(checks[19].value, (double)missed);
        ck_assert_double_eq(checks[19].limit, 2);
    }
    reported_verdict(100, 50, 0, 0);
    ck_assert_double_eq(checks[19].limit, 6); /* of 100 */
    reported_verdict(64, 0, 2, 2);
    ck_assert_double_eq(checks[19].limit, 2 * (2.0 / 3)); /* of two that break */
}
END_TEST

START_TEST(useless_attacks_are_no_worst_case)
{
    static const char *const useless[] = {"pgd:alpha=0.0001,start=none",
                                          "pgd:steps=1,relative=0.01",
                                          "pgd:aim=least,steps=2",
                                          "square:queries=1",
                                          "noise:draws=1",
                                          "noise",
                                          "spsa:steps=1,pairs=1",
                                          "noise:draws=1 square:queries=2"};

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    for (size_t i = 0; i < sizeof useless / sizeof useless[0]; i++) {
        check_attack(&model, useless[i], &config, TOY_IMAGES);
        ck_assert_msg(verdict(20) == ATTACK_VERDICT_FAIL, "%s: %s", useless[i],
                      checks[19].text);
    }
}
END_TEST

START_TEST(sound_attacks_fail_no_check)
{
    static const char *const sound[] = {"noise fgsm pgd apgd-ce:steps=50",
                                        "apgd-ce apgd-t fab-t square:queries=300"};

    toy_make(&model, _i % 2 ? 4 : 10, _i % 2 ? 2 : 1);
    attack_config config = half_broken(&model);
    config.mode = (attack_mode)(_i / 2);
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        check_attack(&model, sound[i], &config, TOY_IMAGES);
        for (int c = 1; c <= ATTACK_CHECK_COUNT; c++)
            ck_assert_msg(verdict(c) != ATTACK_VERDICT_FAIL, "%s: C%d: %s", sound[i], c,
                          checks[c - 1].text);
    }
}
END_TEST

/* The run's own figures, moved across the thresholds. */
START_TEST(a_loss_that_still_rises_is_told)
{
    base_error err = {0};
    const attack_check_options options = attack_check_options_defaults();

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "fgsm pgd apgd-ce", &config);
    for (int above = 0; above < 2; above++) {
        run->entries[0].result.late_rise = NAN;
        run->entries[1].result.late_rise = 0.5;
        run->entries[2].result.late_rise = above ? 0.101 : 0.099;
        ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
        ck_assert_int_eq(verdict(11), above ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS);
        ck_assert_ptr_nonnull(strstr(checks[10].text, "apgd-ce rises"));
    }
    attack_run_destroy(run);
    check_attack(&model, "pgd:alpha=0.0001,start=none", &config, TOY_IMAGES);
    ck_assert_int_eq(verdict(11), ATTACK_VERDICT_WARN);
    ck_assert_int_eq(verdict(17), ATTACK_VERDICT_WARN);
}
END_TEST

START_TEST(budget_that_is_left_over_is_told)
{
    base_error err = {0};
    const attack_check_options options = attack_check_options_defaults();

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "apgd-ce", &config);
    for (int above = 0; above < 2; above++) {
        for (size_t i = 0; i < TOY_IMAGES; i++)
            if (!run->samples[i].broken)
                run->samples[i].norm = (float)((above ? 0.901 : 0.899) * config.eps);
        ck_assert_double_eq_tol(attack_run_budget_used(run), above ? 0.901 : 0.899, 1e-6);
        ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
        ck_assert_int_eq(verdict(17), above ? ATTACK_VERDICT_PASS : ATTACK_VERDICT_WARN);
    }
    attack_run_destroy(run);
}
END_TEST

/* 32 images of 4 classes: chance has 8 of them right. */
START_TEST(clean_accuracy_of_chance_is_told)
{
    toy_make(&model, 4, 1);
    const attack_config config = half_broken(&model);
    for (size_t right = 9; right >= 8; right--) {
        for (size_t i = right; i < TOY_IMAGES; i++)
            if (model.labels[i] == toy_answer(&model, i))
                model.labels[i] = (model.labels[i] + 1) % 4;
        check_attack(&model, "fgsm", &config, right);
        ck_assert_int_eq(verdict(16),
                         right == 9 ? ATTACK_VERDICT_PASS : ATTACK_VERDICT_WARN);
        check_attack(&model, "fgsm", &config, right + 1);
        ck_assert_int_eq(verdict(16), ATTACK_VERDICT_FAIL);
    }
}
END_TEST

/* P(at least k of n), each with probability 0.01, by the sum. */
START_TEST(misses_are_weighed_by_their_number)
{
    ck_assert_double_eq_tol(attack_binomial_tail(1, 36, 0.01), 0.303587, 1e-6);
    ck_assert_double_eq_tol(attack_binomial_tail(3, 36, 0.01), 0.005581, 1e-6);
    ck_assert_double_eq_tol(attack_binomial_tail(4, 36, 0.01), 0.000456, 1e-6);
    ck_assert_double_eq_tol(attack_binomial_tail(4, 48, 0.01), 0.001370, 1e-6);
    ck_assert_double_eq_tol(attack_binomial_tail(2, 2, 0.01), 1e-4, 1e-12);
    ck_assert_double_eq_tol(attack_binomial_tail(0, 5, 0.01), 1, 1e-12);
}
END_TEST

/* The logits of some calls are 5 % too large: as many slopes miss. 8 images, 6 directions
 * each: a sound gradient misses 5 of 48 less than once in a thousand runs, 4 more often. */
START_TEST(one_slope_warns_and_five_fail)
{
    static const struct {
        uint64_t spoilt;
        attack_verdict want;
    } cases[] = {{0, ATTACK_VERDICT_PASS},
                 {1, ATTACK_VERDICT_WARN},
                 {4, ATTACK_VERDICT_WARN},
                 {5, ATTACK_VERDICT_FAIL}};
    base_error err = {0};
    const attack_check_options options = attack_check_options_defaults();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        toy_make(&model, 10, 1);
        const attack_config config = half_broken(&model);
        attack_run *run = toy_attack(&model, "fgsm", &config);
        attack_bench bench = {.run = run,
                              .options = &options,
                              .checks = checks,
                              .n = TOY_IMAGES,
                              .count = run->count,
                              .classes = 10,
                              .images = model.images,
                              .samples = calloc(TOY_IMAGES, sizeof(uint32_t))};
        /* the image itself first, then four calls a direction */
        model.spoil_first = model.calls + 2;
        model.spoil_last = model.calls + 1 + 4 * cases[i].spoilt;
        ck_assert_int_eq(attack_checks_slope(&bench, &err), BASE_OK);
        ck_assert_msg(verdict(19) == cases[i].want, "%s", checks[18].text);
        free(bench.samples);
        attack_run_destroy(run);
    }
}
END_TEST

/* A gradient that is 0.9 % off agrees, one that is 1.1 % off does not. */
START_TEST(slopes_agree_to_a_hundredth)
{
    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    for (int above = 0; above < 2; above++) {
        model.gradient = above ? 0.989 : 0.991;
        check_attack(&model, "fgsm", &config, TOY_IMAGES);
        ck_assert_int_eq(verdict(19), above ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS);
    }
}
END_TEST

/* Central differences of a cubic miss its slope by a square of the step: two of them tell
 * it. */
START_TEST(slopes_of_a_cubic_are_extrapolated)
{
    double worst = 1;

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    model.bend = 0.03;
    check_attack(&model, "fgsm", &config, TOY_IMAGES);
    const char *at = strstr(checks[18].text, "(worst ");
    ck_assert_msg(at && sscanf(at, "(worst %lf", &worst) == 1, "%s", checks[18].text);
    ck_assert_msg(worst < 5e-5, "%s", checks[18].text);
}
END_TEST

/* Points that a slope is taken from, as they are asked for. */
enum { ASKED = 8 * (1 + 4 * 6) };
static float asked[ASKED][TOY_FLOATS];
static size_t asked_count;

static base_status ask(void *user, float *z, const float *x, size_t count, base_error *err)
{
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_lt(asked_count, ASKED);
    memcpy(asked[asked_count++], x, sizeof asked[0]);
    return toy_logits(user, z, x, count, err);
}

/* Along half the gradient and half a random direction, both of length 1: as far as the
 * function changes by a tenth of its scale, or 0.05 a pixel, and half of that. */
static void directions_are(size_t image, const float *at, uint64_t seed, uint32_t number)
{
    const float *x = model.images + image * TOY_FLOATS;
    base_rng rng = base_rng_make(seed, BASE_PURPOSE_ATTACK, 0xc19, number, 0);
    double w[TOY_CLASSES_MAX], g[TOY_FLOATS] = {0}, length = 0, scale = 0;
    float z[TOY_CLASSES_MAX];

    ck_assert_mem_eq(at, x, TOY_FLOATS * sizeof *x);
    toy_logits(&model, z, x, 1, NULL);
    for (size_t j = 0; j < 10; j++) {
        w[j] = (double)(float)base_rng_normal(&rng);
        scale += fabs(w[j] * (double)z[j]);
        for (size_t i = 0; i < TOY_FLOATS; i++)
            g[i] += w[j] * (double)model.weight[0][j][i];
    }
    for (size_t i = 0; i < TOY_FLOATS; i++)
        length += g[i] * g[i];
    for (size_t turn = 0; turn < 6; turn++) {
        const float *points = at + (1 + 4 * turn) * TOY_FLOATS;
        double u[TOY_FLOATS], size = 0, norm = 0, slope = 0;

        for (size_t i = 0; i < TOY_FLOATS; i++) {
            u[i] = base_rng_normal(&rng);
            size += u[i] * u[i];
        }
        for (size_t i = 0; i < TOY_FLOATS; i++) {
            u[i] = u[i] / sqrt(size) + g[i] / sqrt(length);
            norm += u[i] * u[i];
        }
        for (size_t i = 0; i < TOY_FLOATS; i++)
            slope += g[i] * u[i] / sqrt(norm);
        const double h = fmin(0.1 * scale / fabs(slope), 0.05 * sqrt(TOY_FLOATS));
        static const double part[4] = {1, -1, 0.5, -0.5};
        for (size_t p = 0; p < 4; p++)
            for (size_t i = 0; i < TOY_FLOATS; i++)
                ck_assert_double_eq_tol((double)points[p * TOY_FLOATS + i],
                                        (double)x[i] + part[p] * h * u[i] / sqrt(norm),
                                        1e-6);
    }
}

START_TEST(slopes_are_taken_over_these_steps)
{
    base_error err = {0};
    const attack_check_options options = attack_check_options_defaults();
    uint32_t numbers[TOY_IMAGES];

    toy_make(&model, 10, 1);
    attack_config config = half_broken(&model);
    config.seed = 4;
    for (int flat = 0; flat < 2; flat++) {
        attack_run *run = toy_attack(&model, "fgsm", &config);
        attack_bench bench = {.run = run,
                              .options = &options,
                              .checks = checks,
                              .n = TOY_IMAGES,
                              .count = run->count,
                              .classes = 10,
                              .images = model.images,
                              .samples = numbers};

        for (uint32_t i = 0; i < TOY_IMAGES; i++)
            numbers[i] = 50 + i;
        run->target.forward = ask;
        asked_count = 0;
        ck_assert_int_eq(attack_checks_slope(&bench, &err), BASE_OK);
        ck_assert_uint_eq(asked_count, ASKED);
        for (size_t i = 0; i < 8; i++)
            directions_are(i, asked[25 * i], 4, numbers[i]);
        attack_run_destroy(run);
        for (size_t i = 0; i < TOY_IMAGES * TOY_FLOATS;
             i++) /* slopes against small scales */
            model.images[i] = 0.5f + 0.02f * (model.images[i] - 0.5f);
    }
}
END_TEST

typedef struct told {
    size_t count;
    char id[ATTACK_CHECK_COUNT][8];
} told;

static void tell(void *user, size_t begun, const char *id, const char *title)
{
    told *t = user;

    ck_assert_uint_eq(begun, t->count);
    ck_assert_uint_lt(t->count, ATTACK_CHECK_COUNT);
    ck_assert_str_ne(title, "");
    snprintf(t->id[t->count++], sizeof t->id[0], "%s", id);
}

START_TEST(every_check_is_told_once)
{
    base_error err = {0};
    attack_check_options options = attack_check_options_defaults();
    told t = {0};

    toy_make(&model, 10, 1);
    const attack_config config = half_broken(&model);
    attack_run *run = toy_attack(&model, "fgsm", &config);
    options.progress = tell;
    options.user = &t;
    ck_assert(attack_checks(checks, run, &options, &err) == BASE_OK);
    ck_assert_uint_eq(t.count, ATTACK_CHECK_COUNT);
    for (size_t i = 0; i < ATTACK_CHECK_COUNT; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(t.id[i], t.id[j]);
    attack_run_destroy(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_thresholds");
    TCase *edges = tcase_create("Thresholds");
    tcase_add_test(edges, what_the_report_may_miss);
    tcase_add_test(edges, the_best_attack_is_named);
    tcase_add_test(edges, useless_attacks_are_no_worst_case);
    tcase_add_loop_test(edges, sound_attacks_fail_no_check, 0, 4);
    tcase_add_test(edges, a_loss_that_still_rises_is_told);
    tcase_add_test(edges, budget_that_is_left_over_is_told);
    tcase_add_test(edges, clean_accuracy_of_chance_is_told);
    tcase_add_test(edges, misses_are_weighed_by_their_number);
    tcase_add_test(edges, one_slope_warns_and_five_fail);
    tcase_add_test(edges, slopes_agree_to_a_hundredth);
    tcase_add_test(edges, slopes_are_taken_over_these_steps);
    tcase_add_test(edges, slopes_of_a_cubic_are_extrapolated);
    tcase_add_test(edges, every_check_is_told_once);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
