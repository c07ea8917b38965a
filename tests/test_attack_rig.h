/* test_attack_rig.h - forty samples of a small network, runs over them, and what must agree
 * between two. */
#ifndef TESTS_TEST_ATTACK_RIG_H
#define TESTS_TEST_ATTACK_RIG_H

#include "test_attack_net.h"
#include "test_run.h"

enum { N = 40, SIDE = 8, INPUTS = SIDE * SIDE, CLASSES = 5 };

static test_net net;
static float images[N * INPUTS];
static int32_t labels[N];

static inline void setup(void)
{
    net = test_net_make(INPUTS, 12, CLASSES, 1);
    test_net_samples(&net, images, labels, N, 0.1, 0.9, 1);
}

static inline void teardown(void)
{
    test_net_free(&net);
}

static inline attack_run *make(const attack_config *config, size_t batch,
                               const char *attacks)
{
    const attack_target target = test_net_target(&net, 1, SIDE, batch);
    attack_run *run = NULL;
    base_error err = {0};

    ck_assert_msg(attack_run_create(&run, &target, config, images, labels, N, &err) ==
                      BASE_OK,
                  "%s", err.text);
    ck_assert_msg(attack_run_add(run, attacks, &err) == BASE_OK, "%s", err.text);
    return run;
}

static inline attack_run *search(const attack_config *config, size_t batch,
                                 const char *attacks)
{
    attack_run *run = make(config, batch, attacks);
    base_error err = {0};

    ck_assert_msg(attack_run_go(run, &err) == BASE_OK, "%s", err.text);
    return run;
}

static inline bool same_number(double x, double y)
{
    return x == y || (isnan(x) && isnan(y));
}

static inline void check_same_sample(const attack_sample *x, const attack_sample *y)
{
    ck_assert_int_eq(x->label, y->label);
    ck_assert_int_eq(x->clean_prediction, y->clean_prediction);
    ck_assert_int_eq(x->prediction, y->prediction);
    ck_assert_int_eq(x->right, y->right);
    ck_assert_int_eq(x->broken, y->broken);
    ck_assert_int_eq(x->broken_u8, y->broken_u8);
    ck_assert_int_eq(x->invalid, y->invalid);
    ck_assert_int_eq(x->attack, y->attack);
    ck_assert_int_eq(x->restart, y->restart);
    ck_assert_int_eq(x->step, y->step);
    ck_assert(same_number((double)x->clean_margin, (double)y->clean_margin));
    ck_assert(same_number((double)x->margin, (double)y->margin));
    ck_assert(memcmp(&x->norm, &y->norm, sizeof x->norm) == 0);
}

/* All but the time. */
static inline void check_same_result(const attack_result *x, const attack_result *y)
{
    ck_assert_str_eq(x->spec, y->spec);
    ck_assert_int_eq(x->complete, y->complete);
    ck_assert_uint_eq(x->evaluated, y->evaluated);
    ck_assert_uint_eq(x->broken, y->broken);
    ck_assert_uint_eq(x->robust, y->robust);
    ck_assert_uint_eq(x->robust_after, y->robust_after);
    ck_assert_uint_eq(x->robust_u8, y->robust_u8);
    ck_assert_uint_eq(x->robust_after_u8, y->robust_after_u8);
    ck_assert_uint_eq(x->invalid, y->invalid);
    ck_assert_uint_eq(x->zero_grad, y->zero_grad);
    ck_assert_uint_eq(x->unconfirmed, y->unconfirmed);
    ck_assert_uint_eq(x->targeted, y->targeted);
    ck_assert_uint_eq(x->minimal_count, y->minimal_count);
    ck_assert(same_number(x->median_norm, y->median_norm));
    ck_assert(same_number(x->max_norm, y->max_norm));
    ck_assert(same_number(x->minimal_norm, y->minimal_norm));
    ck_assert_double_eq(x->grad_evals, y->grad_evals);
    ck_assert_double_eq(x->forward_evals, y->forward_evals);
    ck_assert(same_number(x->queries_median, y->queries_median));
    ck_assert(same_number(x->draw_accuracy, y->draw_accuracy));
    ck_assert(same_number(x->late_rise, y->late_rise));
    ck_assert_uint_eq(x->curve_count, y->curve_count);
    for (size_t c = 0; c < x->curve_count; c++)
        ck_assert(same_number(x->curve[c], y->curve[c]));
    ck_assert_uint_eq(x->by_restart_count, y->by_restart_count);
    for (size_t r = 0; r < x->by_restart_count; r++)
        ck_assert_uint_eq(x->by_restart[r], y->by_restart[r]);
}

/* Every sample and every figure but the time. */
static inline void check_same(const attack_run *a, const attack_run *b)
{
    ck_assert_uint_eq(attack_run_count(a), attack_run_count(b));
    for (size_t i = 0; i < N; i++) {
        const attack_sample x = attack_run_sample(a, i), y = attack_run_sample(b, i);

        check_same_sample(&x, &y);
        for (size_t e = 0; e < attack_run_count(a); e++)
            ck_assert_int_eq(attack_run_broke(a, e, i), attack_run_broke(b, e, i));
    }
    for (size_t i = 0; i < attack_run_count(a); i++)
        check_same_result(attack_run_result(a, i), attack_run_result(b, i));
    ck_assert(memcmp(attack_run_adversarial(a), attack_run_adversarial(b), sizeof images) ==
              0);
}

static const char *const LISTS[3] = {
    "noise spsa:steps=2,pairs=3 fgsm pgd:restarts=3,steps=8 mi-fgsm apgd-ce:steps=20 "
    "apgd-t:steps=12,targets=3",
    "noise cw:steps=8,rounds=2,c=1 square:queries=12 fgsm pgd:restarts=3,steps=8 "
    "apgd-dlr:steps=20 pgd:targets=3,loss=margin,steps=6",
    "noise pgd:restarts=2,steps=8 apgd-ce:steps=20 fab-t:steps=10"};
static const double BUDGETS[3] = {0.012, 0.12, 0.5};

#endif
