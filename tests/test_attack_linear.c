/* test_attack_linear.c - attacks on models where the answer is known: two classes apart by
 * a plane, where a sample breaks when its margin is below eps times the dual norm of the
 * difference of the weights. */
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

/* Every attack breaks exactly the samples whose ratio is below eps; slack: how much of it
 * may be missed. */
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

/* Two weights count, 3 and 2; the pixel of the larger stands at the face where it is of no
 * use. With the bias the margin is 1, so the other pixel must move by 1 / (2 * 2) =
 * 0.25. */
START_TEST(l1_steps_pass_by_coordinates_at_the_face)
{
    memset(net.w2, 0, 2 * INPUTS * sizeof *net.w2);
    net.w2[0] = 3;
    net.w2[1] = 2;
    net.w2[INPUTS] = -3;
    net.w2[INPUTS + 1] = -2;
    net.bias[1] = 4; /* z0 - z1 = 6 * 0.5 - 4 = -1 at (1, 0.5) */
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < INPUTS; j++)
            images[i * INPUTS + j] = j == 0 ? 1 : 0.5f;
        labels[i] = 1;
    }
    for (int turn = 0; turn < 2; turn++) {
        attack_run *run =
            search(ATTACK_NORM_L1, turn == 0 ? 0.26 : 0.24, "pgd:start=none,sparsity=0.01");
        ck_assert_uint_eq(attack_run_clean(run), N);
        ck_assert_uint_eq(attack_run_robust(run), turn == 0 ? 0 : N);
        attack_run_destroy(run);
    }
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
    tcase_add_test(core, l1_steps_pass_by_coordinates_at_the_face);
    tcase_add_test(core, pgd_ends_at_the_corner);
    tcase_add_test(core, noise_is_weaker_than_gradients);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
