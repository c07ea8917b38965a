/* test_attack_apgd.c - APGD against a second writing of its pseudo-code (attacks.md 6) in
 * doubles, and its schedule by hand. */
#include "attacks/attacks_internal.h"
#include "test_attack_rig.h"

enum { STEPS = 60 };
/* Float32 points against double ones over 60 steps of a smooth network, Linf: signs agree,
 * so what is left is rounding of the points. */
static const double TOLERANCE = 1e-5;

static double loss_at(const double *x, double *gradient, int32_t label)
{
    float point[INPUTS], z[CLASSES], d[CLASSES], g[INPUTS];

    for (size_t i = 0; i < INPUTS; i++)
        point[i] = (float)x[i];
    test_net_forward(&net, z, point, 1, NULL);
    const double loss = attack_loss_compute(d, ATTACK_LOSS_CE, z, CLASSES, label, -1);
    test_net_gradient(&net, g, d, NULL);
    for (size_t i = 0; i < INPUTS; i++)
        gradient[i] = (double)g[i];
    return loss;
}

static void clip(double *v, const float *x, double eps)
{
    for (size_t i = 0; i < INPUTS; i++) {
        v[i] = fmin(fmax(v[i], (double)x[i] - eps), (double)x[i] + eps);
        v[i] = fmin(fmax(v[i], 0), 1);
    }
}

static int sign(double g)
{
    return (g > 0) - (g < 0);
}

/* The best point of APGD-CE, Linf, from the start that the library draws; adds its loss so
 * far, step by step, to curve [STEPS + 1]. */
static void second_apgd(double *best, double *curve, const float *x, int32_t label,
                        uint32_t sample, double eps)
{
    const attack_spec spec = {.method = attack_method_find("apgd-ce")};
    const attack_task task = {.spec = &spec};
    const attack_lane lane = {.task = &task, .sample = sample};
    double cur[INPUTS], prev[INPUTS], ahead[INPUTS], g[INPUTS], gb[INPUTS],
        history[STEPS + 1];
    base_rng rng = attack_lane_rng(&lane, 0);
    double most = 0, eta = 2 * eps;

    for (size_t i = 0; i < INPUTS; i++) {
        cur[i] = (double)(float)(2 * base_rng_uniform(&rng) - 1);
        most = fmax(most, fabs(cur[i]));
    }
    for (size_t i = 0; i < INPUTS; i++)
        cur[i] = (double)x[i] + eps * cur[i] / most;
    clip(cur, x, eps);
    double lb = history[0] = loss_at(cur, g, label), check = lb;
    memcpy(best, cur, sizeof cur);
    memcpy(prev, cur, sizeof cur);
    memcpy(gb, g, sizeof g);
    curve[0] += lb;
    int k = STEPS * 22 / 100, since = 0;
    bool reduced = true;
    for (int i = 0; i < STEPS; i++) {
        const double a = i == 0 ? 1 : 0.75;
        for (size_t j = 0; j < INPUTS; j++)
            ahead[j] = cur[j] + eta * sign(g[j]);
        clip(ahead, x, eps);
        for (size_t j = 0; j < INPUTS; j++) {
            const double inertia = cur[j] - prev[j];
            prev[j] = cur[j];
            cur[j] += a * (ahead[j] - cur[j]) + (1 - a) * inertia;
        }
        clip(cur, x, eps);
        history[i + 1] = loss_at(cur, g, label);
        if (history[i + 1] > lb) {
            lb = history[i + 1];
            memcpy(best, cur, sizeof cur);
            memcpy(gb, g, sizeof g);
        }
        curve[i + 1] += lb;
        if (++since < k)
            continue;
        int rises = 0;
        for (int j = i + 2 - k; j <= i + 1; j++)
            rises += history[j] > history[j - 1];
        const bool halve = rises <= 0.75 * k || (!reduced && check >= lb);
        if (halve) {
            eta /= 2;
            memcpy(cur, best, sizeof cur);
            memcpy(g, gb, sizeof g);
        }
        reduced = halve;
        check = lb;
        since = 0;
        k = (int)fmax(k - STEPS * 3 / 100, STEPS * 6 / 100);
    }
}

/* At a small budget the best points agree; at a large one, where steps are halved on the
 * way, the mean of the best losses does at every step. */
START_TEST(apgd_follows_its_pseudo_code)
{
    static const double budgets[] = {0.004, 0.08};
    attack_config config = attack_config_defaults();
    double best[INPUTS];

    config.early_stop = false;
    for (int turn = 0; turn < 2; turn++) {
        double curve[STEPS + 1] = {0};
        config.eps = budgets[turn];
        attack_run *run = search(&config, 8, "apgd-ce:steps=60");
        for (size_t i = 0; i < N; i++) {
            second_apgd(best, curve, images + i * INPUTS, labels[i], (uint32_t)i,
                        config.eps);
            for (size_t j = 0; j < INPUTS && turn == 0; j++)
                if (!attack_run_sample(run, i).broken)
                    ck_assert_double_eq_tol(
                        (double)attack_run_adversarial(run)[i * INPUTS + j], best[j],
                        TOLERANCE);
        }
        const attack_result *result = attack_run_result(run, 0);
        ck_assert_uint_eq(result->curve_count, STEPS + 1);
        for (size_t step = 0; step <= STEPS; step++)
            ck_assert_double_eq_tol(result->curve[step], curve[step] / N, 1e-4);
        attack_run_destroy(run);
    }
}
END_TEST

/* Two streams are equal only when all of their key is. */
START_TEST(draws_are_keyed_by_everything)
{
    const attack_spec pgd = {.method = attack_method_find("pgd")};
    const attack_spec apgd = {.method = attack_method_find("apgd-ce")};
    attack_task task = {.spec = &pgd, .seed = 1};
    attack_lane lane = {.task = &task, .sample = 5, .rank = 2, .restart = 3};
    uint32_t drawn[7];

    for (int i = 0; i < 7; i++) {
        attack_task t = task;
        attack_lane l = lane;
        l.task = &t;
        t.seed += i == 1;
        t.spec = i == 2 ? &apgd : &pgd;
        l.sample += i == 3;
        l.rank += i == 4;
        l.restart += i == 5;
        base_rng rng = attack_lane_rng(&l, i == 6 ? 1 : 0);
        drawn[i] = base_rng_u32(&rng);
    }
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(drawn[i], drawn[j]);
    lane.rank = 3;
    lane.restart = 2; /* not the same as rank 2, restart 3 */
    base_rng rng = attack_lane_rng(&lane, 0);
    ck_assert_uint_ne(base_rng_u32(&rng), drawn[0]);
}
END_TEST

/* States and published results hang on these numbers: they never change. */
START_TEST(streams_stay_what_they_are)
{
    static const struct {
        const char *attack;
        uint64_t seed, step;
        uint32_t sample;
        size_t rank, restart;
        uint32_t first;
    } cases[] = {{"pgd", 0, 0, 0, 0, 0, 2449310433},
                 {"pgd", 1, 2, 3, 4, 5, 2088140112},
                 {"square", 1, 2, 3, 4, 5, 2055550332},
                 {"apgd-l1-dlr", 7, 0, 12, 0, 1, 2420991359},
                 {"noise", 7, 19, 12, 0, 0, 4014957479}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const attack_spec spec = {.method = attack_method_find(cases[i].attack)};
        const attack_task task = {.spec = &spec, .seed = cases[i].seed};
        const attack_lane lane = {.task = &task,
                                  .sample = cases[i].sample,
                                  .rank = cases[i].rank,
                                  .restart = cases[i].restart};
        base_rng rng = attack_lane_rng(&lane, cases[i].step);

        ck_assert_uint_eq(base_rng_u32(&rng), cases[i].first);
    }
}
END_TEST

/* ---- APGD's schedule ----------------------------------------------------------------- */

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

/* From a run of the public code's loop in Python: k = max(int(.22 N), 1), and after each
 * review k = max(k - max(int(.03 N), 1), max(int(.06 N), 1)). */
START_TEST(reviews_are_where_the_paper_puts_them)
{
    static const size_t hundred[] = {22, 41, 57, 70, 80, 87, 93, 99};
    static const size_t fifty[] = {11, 21, 30, 38, 45};
    static const size_t twenty[] = {4, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    static const size_t ten[] = {2, 3, 4, 5, 6, 7, 8, 9, 10}, four[] = {1, 2, 3, 4};

    check_reviews(100, hundred, 8);
    check_reviews(50, fifty, 5);
    check_reviews(20, twenty, 14);
    check_reviews(10, ten, 9);
    check_reviews(4, four, 4);
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
    /* a best that is new at the first review is the one to beat at the next */
    clock = attack_apgd_clock_make(20, 0);
    for (int i = 1; i <= 7; i++)
        ck_assert_int_eq(attack_apgd_clock_step(&clock, i, best), i == 4 ? ATTACK_APGD_KEEP
                                                                  : i == 7
                                                                      ? ATTACK_APGD_HALVE
                                                                      : ATTACK_APGD_ON);
    /* three rises of four are not enough */
    clock = attack_apgd_clock_make(20, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(attack_apgd_clock_step(&clock, i == 1 ? 1 : i + 2, 5),
                         i < 3 ? ATTACK_APGD_ON : ATTACK_APGD_HALVE);
    /* rises without a new best: kept right after a halving, halved at the review after
     * that */
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
    /* before the first review nothing counts as kept: a dip, then rises that reach no new
     * best */
    clock = attack_apgd_clock_make(100, 10);
    for (int i = 1; i <= 22; i++)
        ck_assert_int_eq(attack_apgd_clock_step(&clock, 0.1 * i, 10),
                         i < 22 ? ATTACK_APGD_ON : ATTACK_APGD_KEEP);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_apgd");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, apgd_follows_its_pseudo_code);
    tcase_add_test(core, draws_are_keyed_by_everything);
    tcase_add_test(core, streams_stay_what_they_are);
    tcase_add_test(core, reviews_are_where_the_paper_puts_them);
    tcase_add_test(core, steps_are_halved_by_two_rules);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
