/* test_attack_linear.c - attacks on models where the answer is known: two classes apart by a plane, where a sample
 * breaks when its margin is below eps times the dual norm of the difference of the weights. */
#include "attacks/attacks_internal.h"
#include "test_attack_net.h"
#include "test_run.h"

enum { N = 60, SIDE = 4, INPUTS = SIDE * SIDE };
static const double APART = 1e-6; /* samples this near to the threshold may go either way */

static test_net net;
static float images[N * INPUTS];
static int32_t labels[N];
static double ratio[N]; /* margin over the dual norm: the smallest norm that breaks */

static void setup(void)
{
    net = test_net_make(INPUTS, 0, 2, 5);
    test_net_samples(&net, images, labels, N, 0.45, 0.55, 5);
}

static void teardown(void)
{
    test_net_free(&net);
}

static double dual_norm(attack_norm norm)
{
    double sum = 0, most = 0;

    for (size_t i = 0; i < INPUTS; i++) {
        const double w = fabs((double)net.w2[i] - (double)net.w2[INPUTS + i]);
        sum += norm == ATTACK_NORM_L2 ? w * w : w;
        most = fmax(most, w);
    }
    return norm == ATTACK_NORM_L1 ? most : norm == ATTACK_NORM_L2 ? sqrt(sum) : sum;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Fills ratio; returns the median. */
static double prepare(attack_norm norm)
{
    double sorted[N];
    float z[2], h[1];

    for (size_t i = 0; i < N; i++) {
        test_net_raw(&net, z, h, images + i * INPUTS);
        ratio[i] = attack_margin(z, 2, labels[i]) / dual_norm(norm);
    }
    memcpy(sorted, ratio, sizeof ratio);
    qsort(sorted, N, sizeof *sorted, by_value);
    return sorted[N / 2] + 1e-5;
}

static attack_run *search(attack_norm norm, double eps, const char *attacks)
{
    const attack_target target = test_net_target(&net, 1, SIDE, 16);
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    base_error err = {0};

    config.norm = norm;
    config.eps = eps;
    config.mode = ATTACK_MODE_INDIVIDUAL;
    ck_assert_msg(attack_run_create(&run, &target, &config, images, labels, N, &err) ==
                      BASE_OK,
                  "%s", err.text);
    ck_assert_msg(attack_run_add(run, attacks, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(attack_run_go(run, &err) == BASE_OK, "%s", err.text);
    return run;
}

/* Every attack breaks exactly the samples whose ratio is below eps; slack: how much of it may be missed. */
static void check_exact(attack_norm norm, const char *attacks, double slack)
{
    const double eps = prepare(norm);
    attack_run *run = search(norm, eps, attacks);

    for (size_t a = 0; a < attack_run_count(run); a++) {
        for (size_t i = 0; i < N; i++) {
            const bool broke = attack_run_broke(run, a, i);
            if (ratio[i] > eps + APART)
                ck_assert_msg(!broke, "%s broke %zu of ratio %g at %g",
                              attack_run_result(run, a)->spec, i, ratio[i], eps);
            else if (ratio[i] < eps * (1 - slack) - APART)
                ck_assert_msg(broke, "%s left %zu of ratio %g at %g",
                              attack_run_result(run, a)->spec, i, ratio[i], eps);
        }
        ck_assert_uint_ge(attack_run_result(run, a)->broken, N / 4);
    }
    attack_run_destroy(run);
}

START_TEST(linf_breaks_what_the_plane_says)
{
    check_exact(
        ATTACK_NORM_LINF,
        "fgsm fgsm:loss=margin pgd pgd:start=none,loss=margin mi-fgsm apgd-ce apgd-dlr "
        "apgd-t pgd:aim=second pgd:targets=3 vmoe-pgd40",
        0);
}
END_TEST

START_TEST(l2_breaks_what_the_plane_says)
{
    check_exact(ATTACK_NORM_L2, "fgsm pgd:start=none pgd:start=none,loss=margin mi-fgsm",
                0);
    /* a random start leaves some of its part across the gradient */
    check_exact(ATTACK_NORM_L2, "pgd:steps=100,relative=10 apgd-ce apgd-dlr apgd-t", 1e-3);
}
END_TEST

/* All of the budget on the coordinate of the largest weight. */
START_TEST(l1_breaks_what_the_plane_says)
{
    check_exact(ATTACK_NORM_L1, "pgd:start=none,sparsity=0.01", 0);
    /* changes three coordinates and more: a tenth of the budget goes to smaller weights */
    check_exact(ATTACK_NORM_L1, "apgd-ce:steps=100 apgd-dlr:steps=100", 0.1);
}
END_TEST

/* From an image well inside the box, PGD ends where FGSM does: x + eps * sign(w). */
START_TEST(pgd_ends_at_the_corner)
{
    attack_run *a = search(ATTACK_NORM_LINF, 0.001, "fgsm");
    attack_run *b = search(ATTACK_NORM_LINF, 0.001, "pgd:loss=margin");

    for (size_t i = 0; i < (size_t)N * INPUTS; i++)
        if (!attack_run_sample(a, i / INPUTS).broken) /* of these the best try is kept */
            ck_assert_double_eq_tol((double)attack_run_adversarial(a)[i],
                                    (double)attack_run_adversarial(b)[i], 1e-7);
    ck_assert_uint_gt(attack_run_robust(a), N / 4);
    attack_run_destroy(a);
    attack_run_destroy(b);
}
END_TEST

/* Noise goes nowhere near as far as the gradient: its draws are counted one by one. */
START_TEST(noise_is_weaker_than_gradients)
{
    const double eps = prepare(ATTACK_NORM_LINF);
    attack_run *run = search(ATTACK_NORM_LINF, eps, "noise:draws=50 fgsm");
    const attack_result *noise = attack_run_result(run, 0),
                        *fgsm = attack_run_result(run, 1);

    ck_assert_uint_lt(noise->broken, fgsm->broken);
    ck_assert_double_eq(noise->forward_evals, N * 50);
    ck_assert_double_gt(noise->draw_accuracy, (double)noise->robust / N);
    ck_assert_double_lt(noise->draw_accuracy, 1);
    ck_assert(isnan(fgsm->draw_accuracy));
    ck_assert_double_eq(noise->grad_evals, 0);
    attack_run_destroy(run);
}
END_TEST

/* ---- APGD's schedule ----------------------------------------------------------------------- */

static void check_reviews(size_t n, const size_t *expected, size_t count)
{
    attack_apgd_clock clock = attack_apgd_clock_make(n, 0);
    size_t found = 0;

    for (size_t step = 1; step <= n; step++) {
        if (attack_apgd_clock_step(&clock, 0, 0) == ATTACK_APGD_ON)
            continue;
        ck_assert_uint_lt(found, count);
        ck_assert_uint_eq(step, expected[found]);
        found++;
    }
    ck_assert_uint_eq(found, count);
}

/* From a run of the public code's loop in Python: k = max(int(.22 N), 1), and after each review
 * k = max(k - max(int(.03 N), 1), max(int(.06 N), 1)). */
START_TEST(reviews_are_where_the_paper_puts_them)
{
    static const size_t hundred[] = {22, 41, 57, 70, 80, 87, 93, 99};
    static const size_t fifty[] = {11, 21, 30, 38, 45};
    static const size_t twenty[] = {4, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    static const size_t ten[] = {2, 3, 4, 5, 6, 7, 8, 9, 10};

    check_reviews(100, hundred, 8);
    check_reviews(50, fifty, 5);
    check_reviews(20, twenty, 14);
    check_reviews(10, ten, 9);
}
END_TEST

/* N = 20: the first review after 4 steps, the second after 3 more. */
START_TEST(steps_are_halved_by_two_rules)
{
    /* four rises of four, 4 > 0.75 * 4: kept; no rise at all: halved */
    const double rising[7] = {1, 2, 3, 4, 4, 4, 4}, best = 4;
    attack_apgd_clock clock = attack_apgd_clock_make(20, 0);
    double top = 0;

    for (int i = 0; i < 7; i++) {
        top = fmax(top, rising[i]);
        const attack_apgd_tick tick = attack_apgd_clock_step(&clock, rising[i], top);
        ck_assert_int_eq(tick, i == 3   ? ATTACK_APGD_KEEP
                               : i == 6 ? ATTACK_APGD_HALVE
                                        : ATTACK_APGD_ON);
    }
    /* three rises of four are not enough */
    clock = attack_apgd_clock_make(20, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(attack_apgd_clock_step(&clock, i == 1 ? 1 : i + 2, 5),
                         i < 3 ? ATTACK_APGD_ON : ATTACK_APGD_HALVE);
    /* rises without a new best: kept right after a halving, halved at the review after that */
    clock = attack_apgd_clock_make(100, best);
    for (int i = 0; i < 22; i++)
        attack_apgd_clock_step(&clock, 0, best); /* never rises: halved */
    ck_assert(clock.halved);
    for (int i = 1; i <= 19; i++)
        ck_assert_int_eq(attack_apgd_clock_step(&clock, 0.1 * i, best),
                         i < 19 ? ATTACK_APGD_ON : ATTACK_APGD_KEEP);
    for (int i = 20; i <= 35; i++)
        ck_assert_int_eq(attack_apgd_clock_step(&clock, 0.1 * i, best),
                         i < 35 ? ATTACK_APGD_ON : ATTACK_APGD_HALVE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_linear");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, linf_breaks_what_the_plane_says);
    tcase_add_test(core, l2_breaks_what_the_plane_says);
    tcase_add_test(core, l1_breaks_what_the_plane_says);
    tcase_add_test(core, pgd_ends_at_the_corner);
    tcase_add_test(core, noise_is_weaker_than_gradients);
    tcase_add_test(core, reviews_are_where_the_paper_puts_them);
    tcase_add_test(core, steps_are_halved_by_two_rules);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
