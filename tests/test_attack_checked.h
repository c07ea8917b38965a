/* test_attack_checked.h - the checks after an attack on a toy. */
#ifndef TESTS_TEST_ATTACK_CHECKED_H
#define TESTS_TEST_ATTACK_CHECKED_H

#include "attacks/checks/checks_internal.h"
#include "tests/test_attack_toy.h"

static toy model;
static attack_check checks[ATTACK_CHECK_COUNT];

/* The checks after a run of these attacks; C16 compares with `ordinary`. */
static inline void check_attack(toy *t, const char *specs, const attack_config *config,
                                size_t ordinary)
{
    base_error err = {0};
    attack_check_options options = attack_check_options_defaults();

    options.ordinary_right = ordinary;
    attack_run *run = toy_attack(t, specs, config);
    ck_assert_msg(attack_checks(checks, run, &options, &err) == BASE_OK, "%s", err.text);
    attack_run_destroy(run);
}

static inline void check_model(toy *t, const attack_config *config, size_t ordinary)
{
    check_attack(t, "pgd", config, ordinary);
}

static inline attack_verdict verdict(int number)
{
    return checks[number - 1].verdict;
}

/* A budget that breaks about half of an honest model's images. */
static inline attack_config half_broken(const toy *t)
{
    attack_config config = attack_config_defaults();
    double sum = 0;

    for (size_t i = 0; i < TOY_IMAGES; i++)
        sum += toy_distance(t, i, ATTACK_NORM_LINF) / TOY_IMAGES;
    config.eps = sum;
    return config;
}

#endif
