/* test_attack_checks_told.c - what each check says, figure by figure, against the same
 * attacks made one by one on the same images. */
#include "attacks/checks/checks_internal.h"

#include <stdio.h>

#include "test_attack_rig.h"

enum { SAMPLES = 24, STEPS = 5, QUERIES = 60, SEED = 5, BATCH = 18, WALKERS = 16 };

static attack_check checks[ATTACK_CHECK_COUNT];
static test_net twin;
static attack_norm norm;
static uint32_t numbers[N], some_numbers[SAMPLES];
static float some_images[SAMPLES * INPUTS];
static int32_t some_labels[SAMPLES];
static uint8_t found[SAMPLES], white[SAMPLES];
static char best_spec[64];
static size_t best;

/* ---- the attacks again --------------------------------------------------------------- */

/* One attack on the chosen images; the caller destroys it. */
static attack_run *again(test_net *of, const char *spec, double eps, uint64_t seed,
                         bool all_steps)
{
    const attack_target target = test_net_target(of, 1, SIDE, BATCH);
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    base_error err = {0};

    config.norm = norm;
    config.eps = eps;
    config.seed = seed;
    config.mode = ATTACK_MODE_INDIVIDUAL;
    config.early_stop = !all_steps;
    config.samples = some_numbers;
    ck_assert_msg(attack_run_create(&run, &target, &config, some_images, some_labels,
                                    SAMPLES, &err) == BASE_OK &&
                      attack_run_add(run, spec, &err) == BASE_OK &&
                      attack_run_go(run, &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

/* How many it breaks within the budget, which is known from then on; to a white-box attack
 * if it is one. */
static size_t count(const char *spec, double eps, uint64_t seed, bool is_white)
{
    attack_run *run = again(&net, spec, eps, seed, false);
    const size_t broken = attack_run_result(run, 0)->broken;

    for (size_t i = 0; i < SAMPLES; i++) {
        found[i] |= attack_run_broke(run, 0, i);
        white[i] |= is_white && attack_run_broke(run, 0, i);
    }
    if (broken > best) {
        best = broken;
        snprintf(best_spec, sizeof best_spec, "%s", spec);
    }
    attack_run_destroy(run);
    return broken;
}

/* The same beyond the budget. */
static size_t count_at(double eps)
{
    attack_run *run = again(&net, "pgd:steps=5", eps, SEED, false);
    const size_t broken = attack_run_result(run, 0)->broken;

    attack_run_destroy(run);
    return broken;
}

static size_t sum(const uint8_t *marks)
{
    size_t total = 0;

    for (size_t i = 0; i < SAMPLES; i++)
        total += marks[i];
    return total;
}

static void told(int number, double value, double limit, const char *text)
{
    const attack_check *c = &checks[number - 1];

    ck_assert_msg(strcmp(c->text, text) == 0, "C%d: '%s', expected '%s'", number, c->text,
                  text);
    ck_assert_msg(same_number(c->value, value) ||
                      fabs(c->value - value) < 1e-6 * fabs(value),
                  "C%d: value %.9g, expected %.9g", number, c->value, value);
    ck_assert_msg(same_number(c->limit, limit), "C%d: limit %.9g, expected %.9g", number,
                  c->limit, limit);
}

static double larger_eps(double eps)
{
    return fmin(2 * eps, norm == ATTACK_NORM_LINF ? 1 : norm == ATTACK_NORM_L2 ? 8 : 64);
}

static base_status holds_nothing(void *user, const float *x, size_t n, base_error *err)
{
    (void)user, (void)x, (void)n, (void)err;
    return BASE_OK;
}

/* With experts held, of which there are none; the other model could not even be asked to.
 * Images 3, 6, 9 ... are wrong: those that are looked at are others than the first. */
static attack_run *attack(double eps, const char *specs)
{
    attack_target target = test_net_target(&net, 1, SIDE, BATCH);
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    size_t some = 0;
    base_error err = {0};

    for (size_t i = 0; i < N; i++) {
        numbers[i] = 100 + (uint32_t)i;
        if (i % 3 == 0 || some == SAMPLES)
            continue;
        memcpy(some_images + some * INPUTS, images + i * INPUTS, INPUTS * sizeof(float));
        some_labels[some] = labels[i];
        some_numbers[some++] = numbers[i];
    }
    ck_assert_uint_eq(some, SAMPLES);
    for (size_t i = 0; i < N; i += 3)
        labels[i] = (labels[i] + 1) % CLASSES;
    target.freeze = holds_nothing;
    config.fixed_routing = true;
    config.norm = norm;
    config.eps = eps;
    config.seed = SEED;
    config.samples = numbers;
    ck_assert_msg(attack_run_create(&run, &target, &config, images, labels, N, &err) ==
                          BASE_OK &&
                      attack_run_add(run, specs, &err) == BASE_OK &&
                      attack_run_go(run, &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

/* ---- in the order of the checks ------------------------------------------------------ */

typedef struct order {
    size_t count;
    const char *id[ATTACK_CHECK_COUNT];
} order;

static void begun(void *user, size_t before, const char *id, const char *title)
{
    order *o = user;

    ck_assert_uint_eq(before, o->count);
    ck_assert_str_eq(title, checks[strtoul(id + 1, NULL, 10) - 1].title);
    o->id[o->count++] = id;
}

static void look(attack_run *run, const attack_target *other)
{
    static const char *const ids[] = {"C15", "C16", "C12", "C14", "C13", "C10", "C19",
                                      "C17", "C18", "C1",  "C2",  "C3",  "C6",  "C4",
                                      "C5",  "C9",  "C11", "C7",  "C8",  "C20"};
    attack_check_options options = attack_check_options_defaults();
    order o = {0};
    base_error err = {0};

    ck_assert_uint_eq(options.samples, 64);
    ck_assert_uint_eq(options.steps, 20);
    ck_assert_uint_eq(options.queries, 500);
    ck_assert_uint_eq(options.ordinary_right, SIZE_MAX);
    options.samples = SAMPLES;
    options.steps = STEPS;
    options.queries = QUERIES;
    options.transfer = other;
    options.ordinary_right = attack_run_clean(run);
    options.progress = begun;
    options.user = &o;
    ck_assert_msg(attack_checks(checks, run, &options, &err) == BASE_OK, "%s", err.text);
    ck_assert_uint_eq(o.count, ATTACK_CHECK_COUNT);
    for (size_t i = 0; i < ATTACK_CHECK_COUNT; i++)
        ck_assert_str_eq(o.id[i], ids[i]);
    memset(found, 0, sizeof found);
    memset(white, 0, sizeof white);
    best = 0;
}

static void check_strength(const attack_run *run)
{
    const double eps = run->config.eps, n = SAMPLES;
    char text[400], curve[100] = "", fgsm_told[40] = "";
    double used[2];

    const size_t base = count("pgd:steps=5", eps, SEED, true);
    attack_run *pgd = again(&net, "pgd:steps=5", eps, SEED, false);
    used[0] = attack_run_budget_used(pgd);
    used[1] = attack_run_budget_used(run);
    attack_run_destroy(pgd);
    const double least = fmin(used[0], used[1]);
    snprintf(text, sizeof text,
             "PGD's best tries at what it left use %.1f %%, those of the reported attacks "
             "%.1f %% of eps in the median%s",
             100 * used[0], 100 * used[1], least < 0.9 ? ": budget is left over" : "");
    told(17, least, 0.9, text);

    const size_t one = count("pgd:steps=5", eps, SEED + 1, false);
    const size_t two = count("pgd:steps=5", eps, SEED + 2, false);
    const size_t most = one > two ? (one > base ? one : base) : two > base ? two : base;
    const size_t fewest = one < two ? (one < base ? one : base) : two < base ? two : base;
    snprintf(text, sizeof text,
             "the same seed again differs on 0 samples; three seeds break %zu, %zu, %zu of "
             "24",
             base, one, two);
    told(18, (double)(most - fewest), 2, text);

    const size_t none = count("pgd:steps=5", 0, SEED, false);
    const size_t half = count("pgd:steps=5", eps / 2, SEED, false);
    const size_t twice = count_at(larger_eps(eps));
    snprintf(text, sizeof text,
             "PGD leaves %zu, %zu, %zu, %zu of 24 at 0, 1/2, 1, 2 times eps",
             SAMPLES - none, SAMPLES - half, SAMPLES - base, SAMPLES - twice);
    told(1, fmax((double)half - (double)base, (double)base - (double)twice), 1, text);
    const double large = norm == ATTACK_NORM_LINF ? 0.5 : norm == ATTACK_NORM_L2 ? 4 : 32;
    const size_t all = count_at(large);
    const double left = (double)(SAMPLES - all) / n;
    snprintf(text, sizeof text, "PGD leaves %zu of 24 at eps %.4g%s", SAMPLES - all, large,
             left > 0.2 ? ": gradients are masked, or the attack is wrong" : "");
    told(2, left, 0.2, text);

    size_t fgsm = SIZE_MAX;
    if (norm == ATTACK_NORM_L1) {
        told(3, NAN, NAN, "FGSM is not defined in this norm");
    } else {
        fgsm = count("fgsm", eps, SEED, true);
        snprintf(text, sizeof text, "PGD breaks %zu, FGSM %zu of 24", base, fgsm);
        told(3, (double)fgsm - (double)base, 1, text);
        snprintf(fgsm_told, sizeof fgsm_told, ", FGSM %zu", fgsm);
    }
    attack_run *draws = again(&net, "noise", eps, SEED, false);
    const double one_draw = attack_run_result(draws, 0)->draw_accuracy;
    attack_run_destroy(draws);
    const size_t noise = count("noise", eps, SEED, false);
    const double over = (double)noise - (double)(fgsm < base ? fgsm : base);
    snprintf(text, sizeof text,
             "the worst of 20 noises breaks %zu%s, PGD %zu of 24; one noise leaves %.1f %% "
             "right%s",
             noise, fgsm_told, base, 100 * one_draw,
             over > 1          ? ": the gradient leads nowhere"
             : one_draw < 0.95 ? ": a large budget for this model"
                               : "");
    told(6, over, 1, text);

    const size_t more = count("pgd:steps=10", eps, SEED, true);
    const size_t five = count("pgd:steps=25", eps, SEED, true);
    const double gain = (double)more - (double)base;
    snprintf(text, sizeof text, "PGD breaks %zu, %zu, %zu of 24 with 5, 10, 25 steps%s",
             base, more, five,
             gain < -1 || (double)more - (double)five > 1 ? ": weaker with more"
             : gain > 1 ? ": not converged, raise the steps"
                        : "");
    told(4, gain, 1, text);

    attack_run *starts = again(&net, "pgd:steps=5,restarts=5", eps, SEED, false);
    const attack_result *r = attack_run_result(starts, 0);
    for (size_t i = 0; i < 5; i++)
        snprintf(curve + strlen(curve), 20, "%s%zu", i > 0 ? ", " : "", r->by_restart[i]);
    snprintf(text, sizeof text, "after 1 to 5 starts PGD has broken %s of 24", curve);
    told(5, (double)r->broken - (double)r->by_restart[0], 1, text);
    attack_run_destroy(starts);
    count("pgd:steps=5,restarts=5", eps, SEED, true);

    const size_t random = count("pgd:steps=3,loss=margin,aim=random", eps, SEED, true);
    const size_t likely = count("pgd:steps=3,loss=margin,targets=4", eps, SEED, true);
    snprintf(text, sizeof text,
             "towards one random class PGD breaks %zu, towards the 4 likeliest %zu of 24",
             random, likely);
    told(9, (double)random - (double)likely, 1, text);
}

/* Plain steps from the clean images, of the first that no white-box attack broke. */
static void check_curve(const attack_run *run)
{
    const double eps = run->config.eps, alpha = 2.5 * eps / STEPS;
    float v[WALKERS][INPUTS], g[INPUTS], z[CLASSES], d[CLASSES];
    size_t walkers = 0, at[WALKERS];
    double top[WALKERS], last[WALKERS], mean[STEPS + 1] = {0}, falls = 0;
    char text[400];

    for (size_t i = 0; i < SAMPLES && walkers < WALKERS; i++)
        if (!white[i])
            at[walkers++] = i;
    ck_assert_uint_gt(walkers, 2);
    for (size_t w = 0; w < walkers; w++) {
        const float *x = some_images + at[w] * INPUTS;

        memcpy(v[w], x, sizeof v[w]);
        for (int step = 0; step <= STEPS; step++) {
            test_net_forward(&net, z, v[w], 1, NULL);
            const double loss =
                attack_loss_compute(d, ATTACK_LOSS_CE, z, CLASSES, some_labels[at[w]], -1);
            test_net_gradient(&net, g, d, NULL);
            falls += step > 0 && loss < last[w];
            top[w] = step > 0 ? fmax(top[w], loss) : loss;
            last[w] = loss;
            mean[step] += top[w] / (double)walkers;
            double length = 0;
            for (size_t i = 0; i < INPUTS; i++)
                length += (double)g[i] * (double)g[i];
            for (size_t i = 0; i < INPUTS; i++)
                v[w][i] =
                    (float)((double)v[w][i] + alpha * (norm == ATTACK_NORM_LINF
                                                           ? (g[i] > 0) - (g[i] < 0)
                                                           : (double)g[i] / sqrt(length)));
            if (norm == ATTACK_NORM_L1) /* a step of L2, then the ball */
                attack_project(v[w], x, INPUTS, ATTACK_NORM_L2, eps);
            attack_project(v[w], x, INPUTS, norm, eps);
        }
    }
    /* a quarter of five steps is one */
    const double rise = mean[STEPS] - mean[0];
    const double rest = rise > 0 ? (mean[STEPS] - mean[STEPS - STEPS / 4]) / rise : 1;
    const attack_result *a = attack_run_result(run, 0), *b = attack_run_result(run, 1);
    ck_assert(!isnan(a->late_rise) && !isnan(b->late_rise));
    const attack_result *least = b->late_rise < a->late_rise ? b : a;
    const bool open = least->late_rise > 0.1, well = rise > 0 && rest <= 0.1;
    snprintf(
        text, sizeof text,
        "on %zu unbroken samples the best loss goes from %.3g to %.3g, %.1f %% of it in "
        "the last quarter%s; %.1f %% of the steps lower it; of the reported attacks %s "
        "rises %.1f %% there%s",
        walkers, mean[0], mean[STEPS], 100 * rest,
        well       ? ""
        : rise > 0 ? " (it has not settled)"
                   : " (it does not rise)",
        100 * falls / (double)(walkers * STEPS), least->name, 100 * least->late_rise,
        open ? ": still rising, give it more steps" : "");
    told(11, open && well ? least->late_rise : rest, 0.1, text);
}

static void check_outside(const attack_run *run)
{
    const double eps = run->config.eps;
    float z[CLASSES], h[16];
    size_t wrong = 0, of_white = sum(white);
    char text[400];

    if (norm == ATTACK_NORM_L1) {
        told(7, NAN, NAN, "no black-box attack works in this norm");
    } else {
        const size_t black = count("square:queries=60", eps, SEED, false);
        const double over = (double)black - (double)of_white;
        snprintf(text, sizeof text,
                 "Square breaks %zu with 60 queries, the gradient's attacks %zu of 24%s",
                 black, of_white, over > 1 ? ": gradients are masked" : "");
        told(7, over, 1, text);
    }
    attack_run *other = again(&twin, "pgd:steps=5", eps, SEED, true);
    for (size_t i = 0; i < SAMPLES; i++) {
        test_net_raw(&net, z, h, attack_run_adversarial(other) + i * INPUTS);
        const bool broken = attack_predict(z, CLASSES) != some_labels[i];
        wrong += broken;
        found[i] |= broken;
    }
    attack_run_destroy(other);
    const double over = (double)wrong - (double)of_white;
    snprintf(text, sizeof text,
             "examples made for the other model break %zu, the gradient's own %zu of 24%s",
             wrong, of_white, over > 1 ? ": gradients are masked" : "");
    told(8, over, 1, text);
}

static void check_reported(const attack_run *run)
{
    size_t reported = 0, missed = 0, of = 0;
    char text[400];

    for (size_t i = 0; i < N && of < SAMPLES; i++) {
        if (i % 3 == 0)
            continue;
        reported += run->samples[i].broken;
        missed += found[of++] && !run->samples[i].broken;
    }
    const double limit =
        fmin(2, fmax(1, 2.0 / 3 * (double)(reported + missed))); /* 6 % of 24 is below 2 */
    snprintf(text, sizeof text,
             "of 24 images the reported attacks break %zu, those of the checks %zu (%s "
             "alone %zu), %zu of them missed by the report%s",
             reported, sum(found), best_spec, best, missed,
             (double)missed > limit ? ": what is reported is no worst case"
             : missed > 1           ? ": a stronger attack lowers the figure"
                                    : "");
    told(20, (double)missed, limit, text);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* What needs no attack. */
static void check_model(const attack_run *run)
{
    double norms[SAMPLES], furthest = 0;
    float z[CLASSES], d[CLASSES], g[INPUTS];
    size_t broken = 0, slopes = 0, tested = 0;
    char text[400];

    for (size_t i = 0; i < SAMPLES; i++) {
        test_net_forward(&net, z, some_images + i * INPUTS, 1, NULL);
        attack_loss_compute(d, ATTACK_LOSS_CE, z, CLASSES, some_labels[i], -1);
        test_net_gradient(&net, g, d, NULL);
        norms[i] = attack_norm2(g, INPUTS);
    }
    qsort(norms, SAMPLES, sizeof *norms, by_value);
    snprintf(text, sizeof text,
             "of 24 images 0 have no gradient of the cross-entropy, 0 of the margin, 0 of "
             "dlr; median L2 norm of the first %.3g",
             norms[SAMPLES / 2]);
    told(10, 0, 0.01, text);
    for (size_t i = 0; i < N; i++) {
        broken += run->samples[i].broken;
        furthest = fmax(furthest, attack_distance(run->adversarial + i * INPUTS,
                                                  images + i * INPUTS, INPUTS, norm));
    }
    snprintf(
        text, sizeof text,
        "of 40 stored images 0 exceed the budget (largest norm %.9g, eps %.9g) and 0 "
        "the range; of %zu broken 0 equal the clean image and 0 are classified rightly "
        "when looked at again",
        furthest, run->config.eps, broken);
    told(12, 0, 0, text);
    told(13, 0, 1e-4,
         "40 images: 5 evaluations differ by 0, 0 flips; alone, reordered or beside copies "
         "by 0, 0 flips");
    told(14, 0, 40, "0 of 40 outputs lie in 0..1 and sum to 1: the model gives logits");
    told(15, 5, 4, "5 classes: every loss is defined, up to 4 targets");
    told(16, 26, 26, "26 of 40 clean images are right here, 26 in the ordinary evaluation");
    if (net.gradient_scale < 0)
        return;
    ck_assert_int_eq(sscanf(checks[18].text, "%zu of %zu slopes agree within 0.01 (worst",
                            &slopes, &tested),
                     2);
    ck_assert_uint_eq(slopes, tested);
    ck_assert_uint_gt(tested, 40); /* 8 images, 6 directions */
    snprintf(text, sizeof text,
             "); %zu directions skipped where experts change or the slope is not smooth",
             48 - tested);
    ck_assert_str_eq(strchr(checks[18].text, ')'), text);
    ck_assert_double_eq(checks[18].value, 1); /* none missed */
    ck_assert_double_eq(checks[18].limit, 1e-3);
}

/* In each norm; then with a gradient of the wrong sign, which leaves images to those that
 * do without. */
START_TEST(checks_tell_what_their_attacks_find)
{
    static const double budgets[] = {0.02, 0.12, 0.5};

    setup();
    net.gradient_scale = _i == 3 ? -1 : 1;
    twin = test_net_make(INPUTS, 12, CLASSES, 1);
    for (size_t i = 0; i < CLASSES * 12; i++)
        twin.w2[i] += (i % 3 ? 0.3f : -0.3f); /* nearly the same */
    const attack_target other = test_net_target(&twin, 1, SIDE, BATCH);
    norm = (attack_norm)(_i % 3);
    attack_run *run =
        attack(budgets[norm], "apgd-ce:steps=30 pgd:steps=8,relative=0.7,start=none");
    look(run, &other);
    check_model(run);
    check_strength(run);
    check_curve(run);
    check_outside(run);
    check_reported(run);
    attack_run_destroy(run);
    test_net_free(&twin);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_checks_told");
    TCase *core = tcase_create("Core");

    tcase_add_loop_test(core, checks_tell_what_their_attacks_find, 0, 4);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
