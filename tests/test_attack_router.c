/* test_attack_router.c - the attack 'router' on a model of one token and two experts whose
 * router is linear, so that the largest loss inside the budget is known. */
#include "attacks/attacks.h"
#include "test_attack_rig.h"

/* Differences of the two router logits are steer . x - level; expert 1 above 0. */
static float steer[INPUTS];
static double level;
static double sign_of[N + 1]; /* ended by 0 */

static double margin(const float *x)
{
    double sum = -level;

    for (size_t i = 0; i < INPUTS; i++)
        sum += (double)steer[i] * (double)x[i];
    return sum;
}

static base_status route_forward(void *user, float *logits, double *loss, const float *x,
                                 const float *clean, size_t count, base_error *err)
{
    for (size_t i = 0; i < count; i++) {
        sign_of[i] = margin(clean + i * INPUTS) > 0 ? -1 : 1;
        loss[i] = sign_of[i] * margin(x + i * INPUTS);
    }
    sign_of[count] = 0;
    return test_net_forward(user, logits, x, count, err);
}

static size_t gradients;

static base_status route_gradient(void *user, float *d_images, base_error *err)
{
    (void)user;
    (void)err;
    for (size_t row = 0; sign_of[row] != 0; row++, gradients++)
        for (size_t i = 0; i < INPUTS; i++)
            d_images[row * INPUTS + i] = (float)(sign_of[row] * (double)steer[i]);
    return BASE_OK;
}

static attack_target target_of(size_t batch)
{
    attack_target target = test_net_target(&net, 1, SIDE, batch);

    target.route_forward = route_forward;
    target.route_gradient = route_gradient;
    return target;
}

static void setup_steer(void)
{
    base_rng rng = base_rng_make(9, BASE_PURPOSE_TEST, 0, 0, 0);

    setup();
    level = 0;
    for (size_t i = 0; i < INPUTS; i++) {
        steer[i] = (float)base_rng_normal(&rng);
        level += (double)steer[i] / 2;
    }
}

static attack_config config_of(attack_norm norm, double eps)
{
    attack_config config = attack_config_defaults();

    config.norm = norm;
    config.eps = eps;
    return config;
}

static attack_run *look_for(const attack_config *config, size_t batch, const char *spec)
{
    const attack_target target = target_of(batch);
    attack_run *run = NULL;
    base_error err = {0};

    ck_assert_msg(attack_run_create(&run, &target, config, images, labels, N, &err) ==
                          BASE_OK &&
                      attack_run_add(run, spec, &err) == BASE_OK &&
                      attack_run_go(run, &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

/* ---- Core ---------------------------------------------------------------------------- */

/* The largest loss: every pixel goes by eps towards the other expert, as far as the box
 * lets it. */
START_TEST(the_steepest_example_is_found)
{
    const attack_config config = config_of(ATTACK_NORM_LINF, 0.08);
    attack_run *run = look_for(&config, 16, "router:steps=10");
    const float *v = attack_run_adversarial(run);

    for (size_t i = 0; i < N; i++) {
        const float *x = images + i * INPUTS;
        const double side = margin(x) > 0 ? -1 : 1;
        double best = side * margin(x);

        for (size_t p = 0; p < INPUTS; p++) {
            const double to = side * (double)steer[p] > 0
                                  ? fmin((double)x[p] + config.eps, 1)
                                  : fmax((double)x[p] - config.eps, 0);
            best += side * (double)steer[p] * (to - (double)x[p]);
        }
        if (attack_run_sample(run, i).right)
            ck_assert_double_eq_tol(side * margin(v + i * INPUTS), best, 1e-4);
        else
            ck_assert_mem_eq(v + i * INPUTS, x, INPUTS * sizeof *x);
    }
    attack_run_destroy(run);
}
END_TEST

/* Mistakes are neither looked for nor a reason to stop, but counted. */
START_TEST(mistakes_are_by_the_way)
{
    const attack_config config = config_of(ATTACK_NORM_LINF, 0.3);
    attack_run *run = look_for(&config, 16, "router:steps=6");
    const attack_result *r = attack_run_result(run, 0);
    size_t wrong = 0, right = 0;
    float z[CLASSES];

    for (size_t i = 0; i < N; i++) {
        const attack_sample s = attack_run_sample(run, i);
        const float *v = attack_run_adversarial(run) + i * INPUTS;

        test_net_forward(&net, z, v, 1, NULL);
        if (!s.right)
            continue;
        right++;
        wrong += s.broken;
        ck_assert_int_eq(s.broken, attack_predict(z, CLASSES) != labels[i]);
        ck_assert_int_eq(s.prediction, attack_predict(z, CLASSES));
        ck_assert(attack_distance(v, images + i * INPUTS, INPUTS, config.norm) <=
                  config.eps + 1e-6);
    }
    ck_assert_uint_gt(wrong, 0);
    ck_assert_uint_lt(wrong, right);
    ck_assert_uint_eq(r->broken, wrong);
    ck_assert_uint_eq(r->robust, right - wrong);
    ck_assert_uint_eq(r->unconfirmed, 0);
    ck_assert_str_eq(r->loss, "routing");
    ck_assert_double_eq(r->grad_evals, 6.0 * (double)right);
    ck_assert_double_eq(r->forward_evals, 7.0 * (double)right);
    attack_run_destroy(run);
}
END_TEST

/* One step from a random place: more places find more. */
START_TEST(restarts_keep_the_strongest)
{
    const attack_config config = config_of(ATTACK_NORM_LINF, 0.08);
    const char *const spec = "router:steps=1,alpha=0.01,restarts=8";
    attack_run *one = look_for(&config, 16, "router:steps=1,alpha=0.01");
    attack_run *many = look_for(&config, 16, spec);
    const attack_result *r = attack_run_result(many, 0);
    size_t better = 0;

    for (size_t i = 0; i < N; i++) {
        const double side = margin(images + i * INPUTS) > 0 ? -1 : 1;
        const double a = side * margin(attack_run_adversarial(one) + i * INPUTS);
        const double b = side * margin(attack_run_adversarial(many) + i * INPUTS);

        ck_assert(b >= a); /* its first start is the same */
        better += b > a;
    }
    ck_assert_uint_gt(better, N / 2);
    ck_assert_uint_eq(r->restarts, 8);
    for (size_t i = 1; i < r->curve_count; i++)
        ck_assert(r->curve[i] >= r->curve[i - 1]);
    attack_run_destroy(one);
    attack_run_destroy(many);
}
END_TEST

START_TEST(batches_do_not_matter)
{
    const attack_config config = config_of(ATTACK_NORM_L2, 0.5);
    attack_run *runs[2];

    for (size_t i = 0; i < 2; i++)
        runs[i] = look_for(&config, i ? 7 : 32, "router:steps=4,restarts=2");
    check_same(runs[0], runs[1]);
    attack_run_destroy(runs[0]);
    attack_run_destroy(runs[1]);
}
END_TEST

START_TEST(groups_are_shown_whole)
{
    attack_config config = config_of(ATTACK_NORM_LINF, 0.08);
    attack_run *runs[2];

    for (size_t i = 0; i < 2; i++) {
        config.fixed_batch = i;
        runs[i] = look_for(&config, 8, "router:steps=4");
    }
    check_same(runs[0], runs[1]);
    attack_run_destroy(runs[0]);
    attack_run_destroy(runs[1]);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

static void refused(const attack_config *config, const attack_target *target,
                    const char *spec, const char *why)
{
    attack_run *run = NULL;
    base_error err = {0};

    ck_assert_msg(attack_run_create(&run, target, config, images, labels, N, &err) ==
                      BASE_OK,
                  "%s", err.text);
    if (strchr(spec, '+')) { /* in two calls */
        ck_assert_int_eq(attack_run_add(run, "router", &err), BASE_OK);
        spec = strchr(spec, '+') + 1;
    }
    ck_assert_int_eq(attack_run_add(run, spec, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, why);
    attack_run_destroy(run);
}

static base_status no_freeze(void *user, const float *x, size_t count, base_error *err)
{
    (void)user, (void)x, (void)count, (void)err;
    return BASE_OK;
}

START_TEST(it_needs_experts_and_a_run_of_its_own)
{
    static const char own[] = "attack 'router' needs a run of its own: it looks for other "
                              "experts, not for mistakes";
    attack_config config = config_of(ATTACK_NORM_LINF, 0.08);
    attack_target target = target_of(8), dense = test_net_target(&net, 1, SIDE, 8);

    refused(&config, &dense, "router",
            "attack 'router' needs a model with experts to choose from");
    refused(&config, &target, "pgd router", own);
    refused(&config, &target, "router + pgd", own);
    target.freeze = no_freeze;
    config.fixed_routing = true;
    refused(&config, &target, "router",
            "attack 'router' looks for other experts, but the routing is fixed");
    config = config_of(ATTACK_NORM_L1, 3);
    refused(&config, &target, "router", "attack 'router' works in linf, l2, not in l1");
}
END_TEST

START_TEST(without_a_budget_nothing_moves)
{
    const attack_config config = config_of(ATTACK_NORM_LINF, 0);
    attack_run *run = look_for(&config, 8, "router");

    ck_assert_mem_eq(attack_run_adversarial(run), images, sizeof images);
    ck_assert_uint_eq(attack_run_robust(run), attack_run_clean(run));
    attack_run_destroy(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_router");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup_steer, teardown);
    tcase_add_checked_fixture(limits, setup_steer, teardown);
    tcase_add_test(core, the_steepest_example_is_found);
    tcase_add_test(core, mistakes_are_by_the_way);
    tcase_add_test(core, restarts_keep_the_strongest);
    tcase_add_test(core, batches_do_not_matter);
    tcase_add_test(core, groups_are_shown_whole);
    tcase_add_test(limits, it_needs_experts_and_a_run_of_its_own);
    tcase_add_test(limits, without_a_budget_nothing_moves);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
