/* test_attack_groups.c - a model whose answer depends on the first image of its batch: with
 * fixed_batch it always sees whole groups, and what was broken is broken in its group. */
#include "attacks/attacks_internal.h"
#include "test_attack_rig.h"

enum { GROUP = 8 };
static const char *const LIST =
    "pgd:steps=8,restarts=2 apgd-ce:steps=20 apgd-t:steps=8,targets=2";

/* The smallest batch that the model has seen. */
static size_t smallest;

static base_status watched(void *user, float *logits, const float *x, size_t count,
                           base_error *err)
{
    smallest = count < smallest ? count : smallest;
    return test_net_forward(user, logits, x, count, err);
}

static attack_run *search_groups(const attack_config *config, const char *attacks)
{
    attack_target target = test_net_target(&net, 1, SIDE, GROUP);
    attack_run *run = NULL;
    base_error err = {0};

    target.logits = target.forward = watched;
    smallest = SIZE_MAX;
    ck_assert_int_eq(attack_run_create(&run, &target, config, images, labels, N, &err),
                     BASE_OK);
    ck_assert_int_eq(attack_run_add(run, attacks, &err), BASE_OK);
    ck_assert_msg(attack_run_go(run, &err) == BASE_OK, "%s", err.text);
    return run;
}

START_TEST(groups_stay_whole_and_judge_themselves)
{
    attack_config config = attack_config_defaults();
    float z[GROUP * CLASSES];

    config.eps = BUDGETS[0];
    config.fixed_batch = true;
    net.batch_effect = 0.5f;
    attack_run *run = search_groups(&config, "pgd:steps=8");
    ck_assert_uint_eq(smallest, GROUP);
    ck_assert_uint_gt(attack_run_clean(run) - attack_run_robust(run), 4);
    for (size_t i = 0; i < N; i++) {
        if (i % GROUP == 0)
            test_net_forward(&net, z, attack_run_adversarial(run) + i * INPUTS, GROUP,
                             NULL);
        const attack_sample sample = attack_run_sample(run, i);
        if (sample.broken)
            ck_assert_int_ne(attack_predict(z + i % GROUP * CLASSES, CLASSES), labels[i]);
    }
    attack_run_destroy(run);
    config.fixed_batch = false; /* compaction shows the model other batches */
    run = search_groups(&config, "pgd:steps=8");
    ck_assert_uint_lt(smallest, GROUP);
    attack_run_destroy(run);
}
END_TEST

START_TEST(groups_change_nothing_for_a_model_without_neighbours)
{
    attack_config config = attack_config_defaults();

    config.eps = BUDGETS[0];
    attack_run *free_run = search_groups(&config, LIST);
    config.fixed_batch = true;
    attack_run *fixed = search_groups(&config, LIST);
    check_same(free_run, fixed);
    attack_run_destroy(free_run);
    attack_run_destroy(fixed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_groups");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, groups_stay_whole_and_judge_themselves);
    tcase_add_test(core, groups_change_nothing_for_a_model_without_neighbours);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
