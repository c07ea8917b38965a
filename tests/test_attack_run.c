/* test_attack_run.c - the driver: the same samples broken whatever the batch, the threads
 * and the order; counts that add up; what a stop leaves. */
#include "attacks/attacks_internal.h"
#include "test_attack_rig.h"

#include <omp.h>

START_TEST(broken_samples_do_not_depend_on_batch_or_threads)
{
    static const size_t batches[] = {1, 7, 32};

    for (int norm = 0; norm < 3; norm++) {
        for (int early = 0; early < 2; early++) {
            attack_config config = attack_config_defaults();
            config.norm = (attack_norm)norm;
            config.eps = BUDGETS[norm];
            config.early_stop = early;
            omp_set_num_threads(1);
            attack_run *first = search(&config, batches[0], LISTS[norm]);
            ck_assert_uint_gt(attack_run_clean(first) - attack_run_robust(first), 4);
            ck_assert_uint_gt(attack_run_robust(first), 4);
            for (size_t b = 1; b < 3; b++) {
                omp_set_num_threads(b == 1 ? 1 : 4);
                attack_run *other = search(&config, batches[b], LISTS[norm]);
                check_same(first, other);
                attack_run_destroy(other);
            }
            attack_run_destroy(first);
        }
    }
}
END_TEST

START_TEST(cascade_breaks_the_union_of_individual_attacks)
{
    static const char *const list =
        "pgd:restarts=2,steps=8 apgd-ce:steps=15 apgd-dlr:steps=15";
    attack_config config = attack_config_defaults();

    config.eps = BUDGETS[0];
    const double began = base_seconds();
    attack_run *cascade = search(&config, 8, list);
    const double took = base_seconds() - began;
    config.mode = ATTACK_MODE_INDIVIDUAL;
    attack_run *each = search(&config, 8, list);
    double seconds = 0;
    for (size_t a = 0; a < 3; a++)
        seconds += attack_run_result(cascade, a)->seconds;
    ck_assert(seconds > 0 && seconds <= took);
    for (size_t i = 0; i < N; i++) {
        bool any = false, before = false;
        for (size_t a = 0; a < 3; a++) {
            any = any || attack_run_broke(each, a, i);
            ck_assert_int_eq(attack_run_broke(cascade, a, i),
                             !before && attack_run_broke(each, a, i));
            before = any;
        }
        ck_assert_int_eq(attack_run_sample(cascade, i).broken, any);
        ck_assert_int_eq(attack_run_sample(each, i).broken, any);
    }
    ck_assert_uint_eq(attack_run_robust(cascade), attack_run_robust(each));
    ck_assert_uint_eq(attack_run_result(each, 1)->evaluated, N);
    ck_assert_uint_eq(attack_run_result(cascade, 1)->evaluated,
                      attack_run_result(cascade, 0)->robust_after);
    attack_run_destroy(cascade);
    attack_run_destroy(each);
}
END_TEST

START_TEST(early_stop_breaks_the_same_samples)
{
    static const char *const list =
        "pgd:restarts=2,steps=8 apgd-ce:steps=25 square:queries=200";
    attack_config config = attack_config_defaults();

    config.eps = BUDGETS[0];
    config.mode = ATTACK_MODE_INDIVIDUAL;
    attack_run *early = search(&config, 8, list);
    config.early_stop = false;
    attack_run *late = search(&config, 8, list);
    for (size_t i = 0; i < N; i++)
        for (size_t a = 0; a < 3; a++)
            ck_assert_int_eq(attack_run_broke(early, a, i), attack_run_broke(late, a, i));
    /* 40 samples, 1 evaluation of the start and 25 steps */
    ck_assert_double_eq(attack_run_result(late, 1)->forward_evals, N * 26);
    ck_assert_double_eq(attack_run_result(late, 1)->grad_evals, N * 25);
    ck_assert_double_lt(attack_run_result(early, 1)->forward_evals, N * 26);
    for (size_t c = 1; c < attack_run_result(late, 1)->curve_count; c++)
        ck_assert_double_ge(attack_run_result(late, 1)->curve[c],
                            attack_run_result(late, 1)->curve[c - 1]);
    attack_run_destroy(early);
    attack_run_destroy(late);
}
END_TEST

START_TEST(examples_keep_their_budget_and_are_misclassified)
{
    for (int norm = 0; norm < 3; norm++) {
        attack_config config = attack_config_defaults();
        config.norm = (attack_norm)norm;
        config.eps = BUDGETS[norm];
        attack_run *run = search(&config, 16, LISTS[norm]);
        const float *adversarial = attack_run_adversarial(run);
        float z[CLASSES], h[16];
        for (size_t i = 0; i < N; i++) {
            const attack_sample sample = attack_run_sample(run, i);
            const float *a = adversarial + i * INPUTS;
            const double size =
                attack_distance(a, images + i * INPUTS, INPUTS, config.norm);
            ck_assert_double_le(size, config.eps + 1e-6);
            ck_assert_double_eq_tol(size, (double)sample.norm, 1e-6);
            test_net_raw(&net, z, h, a);
            ck_assert_int_eq(attack_predict(z, CLASSES) != labels[i], sample.broken);
            ck_assert_int_eq(attack_predict(z, CLASSES), sample.prediction);
        }
        attack_run_destroy(run);
    }
}
END_TEST

START_TEST(draws_follow_the_samples_own_numbers)
{
    uint32_t numbers[N];
    attack_config config = attack_config_defaults();

    config.eps = BUDGETS[0];
    attack_run *plain = search(&config, 8, "pgd:steps=8");
    for (size_t i = 0; i < N; i++)
        numbers[i] = (uint32_t)i;
    config.samples = numbers;
    attack_run *same = search(&config, 8, "pgd:steps=8");
    check_same(plain, same);
    for (size_t i = 0; i < N; i++)
        numbers[i] = (uint32_t)i + 1000;
    attack_run *other = search(&config, 8, "pgd:steps=8");
    ck_assert(memcmp(attack_run_adversarial(plain), attack_run_adversarial(other),
                     sizeof images) != 0);
    attack_run_destroy(plain);
    attack_run_destroy(same);
    attack_run_destroy(other);
}
END_TEST

typedef struct stopper {
    size_t asked, limit, told;
} stopper;

static bool stop_at(void *user)
{
    stopper *s = user;

    return s->asked++ >= s->limit;
}

static void count_told(void *user, const attack_progress *progress)
{
    stopper *s = user;

    s->told++;
    ck_assert_uint_le(progress->done, progress->total);
    ck_assert_uint_lt(progress->restart, progress->restarts);
    ck_assert_uint_lt(progress->index, progress->count);
    ck_assert_uint_le(progress->robust, N);
}

START_TEST(a_stopped_run_goes_on_to_the_same_end)
{
    attack_config config = attack_config_defaults();
    base_error err = {0};

    config.eps = BUDGETS[0];
    attack_run *whole = search(&config, 7, LISTS[0]);
    for (size_t limit = 0; limit < 60; limit += 9) {
        stopper s = {.limit = limit};
        config.stop = stop_at;
        config.progress = count_told;
        config.user = &s;
        attack_run *run = make(&config, 7, LISTS[0]);
        ck_assert_int_eq(attack_run_go(run, &err), BASE_INTERRUPTED);
        s.limit = SIZE_MAX;
        ck_assert_int_eq(attack_run_go(run, &err), BASE_OK);
        ck_assert_uint_gt(s.told, 0);
        check_same(whole, run);
        attack_run_destroy(run);
    }
    attack_run_destroy(whole);
}
END_TEST

START_TEST(attacks_may_be_added_after_a_run)
{
    attack_config config = attack_config_defaults();
    base_error err = {0};

    config.eps = BUDGETS[0];
    attack_run *run = search(&config, 7, "fgsm");
    ck_assert_int_eq(attack_run_add(run, "apgd-t:steps=12,targets=3", &err), BASE_OK);
    ck_assert_int_eq(attack_run_go(run, &err), BASE_OK);
    attack_run *whole = search(&config, 7, "fgsm apgd-t:steps=12,targets=3");
    check_same(whole, run);
    attack_run_destroy(run);
    attack_run_destroy(whole);
}
END_TEST

START_TEST(a_run_allocates_nothing)
{
    attack_config config = attack_config_defaults();
    base_error err = {0};

    config.eps = BUDGETS[0];
    attack_run *run = make(&config, 7, LISTS[0]);
    const uint64_t before = base_alloc_count();
    ck_assert_int_eq(attack_run_go(run, &err), BASE_OK);
    ck_assert_uint_eq(base_alloc_count(), before);
    attack_run_destroy(run);
}
END_TEST

/* Three samples and a batch of eight: one batch for the clean pass, then each start and
 * step one. A model that sees at most `batch` images, and whose last look of PGD needs no
 * gradient. */
START_TEST(batches_stay_full_and_the_last_look_needs_no_gradient)
{
    attack_config config = attack_config_defaults();

    config.eps = 1e-6; /* nothing breaks */
    attack_run *run = search(&config, 8, "pgd:steps=4");
    ck_assert_uint_eq(net.largest, 8);
    ck_assert_uint_eq(net.gradients, N * 4);
    ck_assert_uint_eq(net.forwards, N + N * 5);
    ck_assert_uint_eq(net.calls, N / 8 + N / 8 * 5);
    attack_run_destroy(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_run");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, broken_samples_do_not_depend_on_batch_or_threads);
    tcase_add_test(core, cascade_breaks_the_union_of_individual_attacks);
    tcase_add_test(core, early_stop_breaks_the_same_samples);
    tcase_add_test(core, examples_keep_their_budget_and_are_misclassified);
    tcase_add_test(core, draws_follow_the_samples_own_numbers);
    tcase_add_test(core, a_stopped_run_goes_on_to_the_same_end);
    tcase_add_test(core, attacks_may_be_added_after_a_run);
    tcase_add_test(core, a_run_allocates_nothing);
    tcase_add_test(core, batches_stay_full_and_the_last_look_needs_no_gradient);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
