/* test_attack_minimal.c - FAB, FAB-T and CW find the smallest change, against the known
 * distance of linear models. */
#include <float.h>

#include "attacks/parts_internal.h"
#include "tests/test_attack_toy.h"
#include "tests/test_run.h"

static const attack_norm norms[] = {ATTACK_NORM_LINF, ATTACK_NORM_L2, ATTACK_NORM_L1};

enum { STARTS = 2 * 2 * TOY_IMAGES };

static toy model;

/* Runs spec with a budget that no sample needs and compares every norm with the
 * distance. */
static void compare_norms(const char *spec, attack_norm norm, double tolerance)
{
    attack_config config = attack_config_defaults();

    config.norm = norm;
    config.eps = norm == ATTACK_NORM_LINF ? 1 : norm == ATTACK_NORM_L2 ? 8 : TOY_FLOATS;
    config.early_stop = false;
    attack_run *run = toy_attack(&model, spec, &config);
    size_t compared = 0;
    for (size_t i = 0; i < TOY_IMAGES; i++) {
        const attack_sample s = attack_run_sample(run, i);
        const double expected = toy_distance(&model, i, norm);
        ck_assert(s.right && s.broken);
        ck_assert_double_ge((double)s.norm, expected * (1 - 1e-4));
        /* L1 moves a few coordinates far: the box may lengthen the way */
        if (norm == ATTACK_NORM_L1 && expected > 0.25)
            continue;
        /* 1e-4: the length of CW's last steps */
        ck_assert_double_le((double)s.norm, expected * (1 + tolerance) + 1e-4);
        compared++;
    }
    ck_assert_uint_gt(compared, TOY_IMAGES / 4);
    attack_run_destroy(run);
}

START_TEST(fab_finds_the_nearest_class)
{
    toy_make(&model, 5, 1);
    compare_norms("fab", norms[_i], 0.02);
}
END_TEST

START_TEST(fab_t_finds_the_nearest_of_its_targets)
{
    toy_make(&model, 5, 1);
    compare_norms("fab-t:targets=4", norms[_i], 0.02);
}
END_TEST

/* Two classes: with more CW may settle on the boundary of the class that was second at
 * first. */
START_TEST(cw_finds_the_nearest_point_of_the_other_class)
{
    toy_make(&model, 2, 1);
    compare_norms(_i == 0 ? "cw:steps=400,rounds=9,lr=0.001"
                          : "cw:steps=400,rounds=9,lr=0.001,aim=next",
                  ATTACK_NORM_L2, 0.02);
}
END_TEST

/* With two classes the broken set is known to the last sample. */
START_TEST(success_means_a_norm_within_eps)
{
    attack_config config = attack_config_defaults();
    const char *const spec = _i < 3   ? "fab-t"
                             : _i < 6 ? "fab"
                                      : "cw:steps=400,rounds=9,lr=0.001";
    double distances[TOY_IMAGES], middle = 0;

    toy_make(&model, 2, 1);
    config.norm = _i < 6 ? norms[_i % 3] : ATTACK_NORM_L2;
    for (size_t i = 0; i < TOY_IMAGES; i++) {
        distances[i] = toy_distance(&model, i, config.norm);
        middle += distances[i] / TOY_IMAGES;
    }
    config.eps = middle;
    attack_run *run = toy_attack(&model, spec, &config);
    size_t broken = 0;
    for (size_t i = 0; i < TOY_IMAGES; i++) {
        const attack_sample s = attack_run_sample(run, i);
        broken += s.broken;
        if (s.broken)
            ck_assert_double_le((double)s.norm, config.eps + 1e-6);
        if (distances[i] > config.eps * 1.0001)
            ck_assert(!s.broken);
        if (distances[i] < config.eps * 0.98 && config.norm != ATTACK_NORM_L1)
            ck_assert(s.broken);
    }
    ck_assert_uint_gt(broken, 0);
    ck_assert_uint_lt(broken, TOY_IMAGES);
    attack_run_destroy(run);
}
END_TEST

/* A fixed c far too small finds nothing; the search raises it until it does. */
/* A round that has stalled is given up, unless all steps are asked for: then each image is
 * looked at once more than there are steps, in every round. */
START_TEST(cw_makes_all_steps_when_asked)
{
    toy_make(&model, 4, 1);
    attack_config config = attack_config_defaults();
    config.norm = ATTACK_NORM_L2;
    config.eps = 5;
    for (int all = 0; all < 2; all++) {
        config.early_stop = !all;
        attack_run *run = toy_attack(&model, "cw:steps=60,rounds=3,c=1e-4", &config);
        const double evaluations = attack_run_result(run, 0)->forward_evals;
        if (all) {
            ck_assert_double_eq(evaluations, TOY_IMAGES * 3.0 * 61);
            ck_assert_double_eq(attack_run_result(run, 0)->grad_evals,
                                TOY_IMAGES * 3.0 * 60);
        } else
            ck_assert_double_lt(evaluations, TOY_IMAGES * 2.0 * 61);
        attack_run_destroy(run);
    }
}
END_TEST

START_TEST(cw_needs_its_search_over_c)
{
    attack_config config = attack_config_defaults();

    toy_make(&model, 5, 1);
    config.norm = ATTACK_NORM_L2;
    config.eps = 8;
    attack_run *fixed = toy_attack(&model, "cw:steps=200,rounds=1,c=1e-5", &config);
    attack_run *search = toy_attack(&model, "cw:steps=200,rounds=7,c=1e-5", &config);
    ck_assert_uint_lt(attack_run_result(fixed, 0)->broken, TOY_IMAGES / 2);
    ck_assert_uint_eq(attack_run_result(search, 0)->broken, TOY_IMAGES);
    attack_run_destroy(fixed);
    attack_run_destroy(search);
}
END_TEST

/* Points half a budget from the image that they belong to, and how their largest
 * difference compares with the mean of all: 2 for numbers spread evenly over -1 to 1, about
 * 3.4 for 128 normal ones. */
static struct {
    double eps, peak[STARTS];
    attack_norm norm;
    size_t count;
} starts;

static base_status starts_seen(void *user, float *logits, const float *images, size_t count,
                               base_error *err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < TOY_IMAGES; j++) {
            float d[TOY_FLOATS];
            double mean = 0, most = 0;
            for (size_t p = 0; p < TOY_FLOATS; p++) {
                d[p] = images[i * TOY_FLOATS + p] - model.images[j * TOY_FLOATS + p];
                mean += fabs((double)d[p]) / TOY_FLOATS;
                most = fmax(most, fabs((double)d[p]));
            }
            if (fabs(attack_norm_of(d, TOY_FLOATS, starts.norm) / starts.eps - 0.5) > 1e-3)
                continue;
            ck_assert_uint_lt(starts.count, STARTS);
            starts.peak[starts.count++] = most / mean;
        }
    return toy_logits(user, logits, images, count, err);
}

START_TEST(restarts_of_fab_begin_at_half_the_budget)
{
    attack_config config = attack_config_defaults();
    base_error err = {0};
    attack_run *run = NULL;
    double mean = 0;

    toy_make(&model, 3, 1);
    attack_target target = toy_target(&model);
    target.forward = starts_seen;
    starts.norm = config.norm = norms[_i];
    starts.eps = config.eps = (double[]){1e-3, 1e-2, 0.05}[_i];
    config.early_stop = false;
    starts.count = 0;
    ck_assert(attack_run_create(&run, &target, &config, model.images, model.labels,
                                TOY_IMAGES, &err) == BASE_OK);
    ck_assert(attack_run_add(run, "fab:steps=1,restarts=3", &err) == BASE_OK);
    ck_assert_msg(attack_run_go(run, &err) == BASE_OK, "%s", err.text);
    attack_run_destroy(run);
    /* the first start is the image; the others look there at the planes of two classes */
    ck_assert_uint_eq(starts.count, STARTS);
    for (size_t i = 0; i < starts.count; i++)
        mean += starts.peak[i] / (double)starts.count;
    ck_assert_double_eq_tol(mean, norms[_i] == ATTACK_NORM_LINF ? 2 : 3.4, 0.4);
}
END_TEST

START_TEST(restarts_of_fab_begin_elsewhere_and_do_no_harm)
{
    attack_config config = attack_config_defaults();

    toy_make(&model, 5, 2);
    config.norm = norms[_i];
    config.eps = norms[_i] == ATTACK_NORM_LINF ? 0.02
                 : norms[_i] == ATTACK_NORM_L2 ? 0.3
                                               : 1;
    attack_run *one = toy_attack(&model, "fab:steps=20", &config);
    attack_run *three = toy_attack(&model, "fab:steps=20,restarts=3", &config);
    for (size_t i = 0; i < TOY_IMAGES; i++)
        ck_assert(!attack_run_sample(one, i).broken || attack_run_sample(three, i).broken);
    attack_run_destroy(one);
    attack_run_destroy(three);
}
END_TEST

/* What is announced of an attack is what it does when nobody gives in, but for a last look
 * and planes that are looked at in vain. */
START_TEST(work_is_announced_of_each_attack)
{
    static const struct {
        const char *spec;
        attack_norm norm;
    } cases[] = {
        {"fgsm", ATTACK_NORM_LINF},
        {"pgd:steps=7,restarts=2", ATTACK_NORM_LINF},
        {"apgd-ce:steps=20,restarts=2", ATTACK_NORM_LINF},
        {"apgd-t:steps=20,targets=3", ATTACK_NORM_L2},
        {"fab:steps=6,restarts=2", ATTACK_NORM_LINF},
        {"fab-t:steps=6,targets=3", ATTACK_NORM_L2},
        {"cw:steps=12,rounds=2", ATTACK_NORM_L2},
        {"square:queries=40", ATTACK_NORM_LINF},
        {"spsa:steps=4,pairs=3", ATTACK_NORM_LINF},
    };

    toy_make(&model, 6, 1);
    const attack_target target = toy_target(&model);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        attack_config config = attack_config_defaults();
        config.norm = cases[i].norm;
        config.eps = 1e-4;
        config.early_stop = false;
        attack_run *run = toy_attack(&model, cases[i].spec, &config);
        const attack_result *r = attack_run_result(run, 0);
        const double most = attack_work(cases[i].spec, &target, config.norm);
        const double made = (r->forward_evals + 2 * r->grad_evals) / TOY_IMAGES;
        ck_assert_msg(fabs(made - most) <= 2 + 0.1 * most, "%s: %g, announced %g",
                      cases[i].spec, made, most);
        attack_run_destroy(run);
    }
    ck_assert(attack_work("nothing", &target, ATTACK_NORM_LINF) == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_minimal");
    TCase *core = tcase_create("Core");
    tcase_add_loop_test(core, fab_finds_the_nearest_class, 0, 3);
    tcase_add_loop_test(core, fab_t_finds_the_nearest_of_its_targets, 0, 3);
    tcase_add_loop_test(core, cw_finds_the_nearest_point_of_the_other_class, 0, 2);
    tcase_add_loop_test(core, success_means_a_norm_within_eps, 0, 7);
    tcase_add_test(core, cw_needs_its_search_over_c);
    tcase_add_test(core, cw_makes_all_steps_when_asked);
    tcase_add_loop_test(core, restarts_of_fab_begin_elsewhere_and_do_no_harm, 0, 3);
    tcase_add_loop_test(core, restarts_of_fab_begin_at_half_the_budget, 0, 3);
    tcase_add_test(core, work_is_announced_of_each_attack);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
