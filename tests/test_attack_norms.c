/* test_attack_norms.c - nearest feasible points: feasible, idempotent, and as near as a
 * search by hand finds. */
#include "attacks/attacks_internal.h"
#include "test_run.h"

#include <math.h>
#include <string.h>

enum { CASES = 300, MOST = 40 };

static void draw(float *v, float *x, size_t count, base_rng *rng)
{
    for (size_t i = 0; i < count; i++) {
        const double u = base_rng_uniform(rng);
        x[i] = (float)(u < 0.1 ? 0 : u > 0.9 ? 1 : base_rng_uniform(rng)); /* faces too */
        v[i] = (float)((double)x[i] + base_rng_normal(rng));
    }
}

static void check_feasible(const float *v, const float *x, size_t count, attack_norm norm,
                           double eps)
{
    for (size_t i = 0; i < count; i++)
        ck_assert(v[i] >= 0 && v[i] <= 1);
    ck_assert_double_le(attack_distance(v, x, count, norm), eps + 1e-6 + 1e-6 * eps);
}

START_TEST(projections_are_feasible_and_idempotent)
{
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
    float v[MOST], x[MOST], again[MOST];

    for (int n = 0; n < CASES; n++) {
        const size_t count = 1 + base_rng_below(&rng, MOST);
        for (int norm = 0; norm < 3; norm++) {
            const double eps = base_rng_uniform(&rng) * (norm == 2 ? 5 : 1);
            draw(v, x, count, &rng);
            attack_project(v, x, count, (attack_norm)norm, eps);
            check_feasible(v, x, count, (attack_norm)norm, eps);
            memcpy(again, v, sizeof v);
            attack_project(again, x, count, (attack_norm)norm, eps);
            for (size_t i = 0; i < count; i++)
                ck_assert_double_eq_tol((double)again[i], (double)v[i], 1e-6);
        }
    }
}
END_TEST

START_TEST(feasible_points_stay)
{
    const float x[3] = {0.5f, 0.2f, 0.9f}, inside[3] = {0.55f, 0.2f, 0.85f};
    float v[3];

    for (int norm = 0; norm < 3; norm++) {
        memcpy(v, inside, sizeof v);
        attack_project(v, x, 3, (attack_norm)norm, 0.2);
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq_tol((double)v[i], (double)inside[i], 1e-7);
        memcpy(v, inside, sizeof v);
        attack_project(v, x, 3, (attack_norm)norm, 0);
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq((double)v[i], (double)x[i]);
    }
}
END_TEST

/* The squared distance from v to the nearest point on the ball and in the box by descent
 * from many feasible points: moves between pairs of coordinates and single ones, ever
 * smaller. */
static double nearest_by_search(const float *v, const float *x, size_t count, double eps)
{
    double p[6], best = 0;

    for (size_t i = 0; i < count; i++) {
        p[i] = (double)x[i];
        best += ((double)v[i] - p[i]) * ((double)v[i] - p[i]);
    }
    for (double step = 0.5; step > 1e-7;) {
        bool moved = false;
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < count; j++)
                for (int signs = 0; signs < 6; signs++) {
                    double q[6], norm = 0, far = 0;
                    memcpy(q, p, sizeof q);
                    q[i] += (signs & 1) ? step : -step;
                    if (signs < 4 && i != j)
                        q[j] += (signs & 2) ? step : -step;
                    for (size_t c = 0; c < count; c++) {
                        q[c] = fmin(1, fmax(0, q[c]));
                        norm += fabs(q[c] - (double)x[c]);
                        far += ((double)v[c] - q[c]) * ((double)v[c] - q[c]);
                    }
                    if (norm <= eps && far < best - 1e-15) {
                        memcpy(p, q, sizeof p);
                        best = far;
                        moved = true;
                    }
                }
        if (!moved)
            step /= 2;
    }
    return sqrt(best);
}

START_TEST(l1_projection_is_the_nearest_point)
{
    base_rng rng = base_rng_make(2, BASE_PURPOSE_TEST, 0, 0, 0);
    float v[6], x[6], p[6];

    for (int n = 0; n < 60; n++) {
        const size_t count = 1 + base_rng_below(&rng, 6);
        const double eps = 0.05 + 1.5 * base_rng_uniform(&rng);
        draw(v, x, count, &rng);
        memcpy(p, v, sizeof p);
        attack_project(p, x, count, ATTACK_NORM_L1, eps);
        check_feasible(p, x, count, ATTACK_NORM_L1, eps);
        const double ours = attack_distance(p, v, count, ATTACK_NORM_L2);
        ck_assert_double_le(ours, nearest_by_search(v, x, count, eps) + 1e-5);
    }
}
END_TEST

/* eps 1, x = 0.5: d = (0.9, 0.4, -0.3) has norm 1.6; room 0.5 cuts the first to 0.5, sum
 * 1.2; lam = 0.1: 0.5 + 0.3 + 0.2 = 1. */
START_TEST(l1_projection_by_hand)
{
    const float x[3] = {0.5f, 0.5f, 0.5f};
    float v[3] = {1.4f, 0.9f, 0.2f};

    attack_project(v, x, 3, ATTACK_NORM_L1, 1);
    ck_assert_double_eq_tol((double)v[0], 1, 1e-6);
    ck_assert_double_eq_tol((double)v[1], (double)0.8f, 1e-6);
    ck_assert_double_eq_tol((double)v[2], (double)0.3f, 1e-6);
}
END_TEST

START_TEST(steps_follow_the_norm)
{
    const float x[2] = {0.5f, 0.5f}, g[2] = {3, -4}, faint[2] = {3e-9f, -4e-9f},
                none[2] = {0, 0};
    float p[2];

    attack_ascend(p, x, g, 0.1, x, 2, ATTACK_NORM_LINF, 1);
    ck_assert_double_eq_tol((double)p[0], (double)0.6f, 1e-6);
    ck_assert_double_eq_tol((double)p[1], (double)0.4f, 1e-6);
    attack_ascend(p, x, g, 0.1, x, 2, ATTACK_NORM_L2, 1);
    ck_assert_double_eq_tol((double)p[0], (double)0.56f, 1e-6);
    ck_assert_double_eq_tol((double)p[1], (double)0.42f, 1e-6);
    attack_ascend(p, x, faint, 0.1, x, 2, ATTACK_NORM_L2, 1); /* as far */
    ck_assert_double_eq_tol((double)p[0], (double)0.56f, 1e-6);
    ck_assert_double_eq_tol((double)p[1], (double)0.42f, 1e-6);
    for (int norm = 0; norm < 2; norm++) {
        attack_ascend(p, x, none, 0.1, x, 2, (attack_norm)norm, 1);
        ck_assert_double_eq((double)p[0], (double)x[0]);
        ck_assert_double_eq((double)p[1], (double)x[1]);
    }
}
END_TEST

START_TEST(largest_are_kept_with_ties_by_index)
{
    const float g[6] = {1, -1, 5, 1, 0, -7};
    float mask[6] = {1, 1, 1, 1, 1, 1}, scratch[6];
    const float three[6] = {1, 0, 1, 0, 0, 1};

    ck_assert_uint_eq(attack_keep_largest(mask, scratch, g, 6, 3), 3);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq((double)mask[i], (double)three[i]);
    float some[6] = {1, 1, 0, 0, 0, 0};
    ck_assert_uint_eq(attack_keep_largest(some, scratch, g, 6, 4), 2);
    ck_assert_uint_eq(attack_keep_largest(some, scratch, g, 6, 0), 0);
    ck_assert_double_eq((double)some[0], 0);
}
END_TEST

/* Against sorting by repeated maximum, many ties. */
START_TEST(largest_agree_with_a_slow_search)
{
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, 0, 0, 0);
    float g[MOST], mask[MOST], scratch[MOST];

    for (int n = 0; n < CASES; n++) {
        const size_t count = 1 + base_rng_below(&rng, MOST),
                     k = base_rng_below(&rng, count + 1);
        bool taken[MOST] = {false};
        for (size_t i = 0; i < count; i++) {
            g[i] = (float)base_rng_below(&rng, 9) - 4;
            mask[i] = 1;
        }
        for (size_t turn = 0; turn < k; turn++) {
            size_t best = MOST;
            for (size_t i = 0; i < count; i++)
                if (!taken[i] && (best == MOST || fabsf(g[i]) > fabsf(g[best])))
                    best = i;
            taken[best] = true;
        }
        ck_assert_uint_eq(attack_keep_largest(mask, scratch, g, count, k), k);
        for (size_t i = 0; i < count; i++)
            ck_assert_int_eq(mask[i] != 0, taken[i]);
    }
}
END_TEST

/* Mean radius of a uniform point of the ball in D dimensions: D / (D + 1) of eps. */
START_TEST(random_starts_fill_the_ball)
{
    const attack_method method = {.name = "pgd"};
    const attack_spec spec = {.method = &method};
    float x[4] = {0.5f, 0.5f, 0.5f, 0.5f}, p[4];
    double radius = 0, size = 0;

    for (uint32_t i = 0; i < 4000; i++) {
        attack_task task = {.count = 4, .norm = ATTACK_NORM_L2, .eps = 0.4, .spec = &spec};
        const attack_lane lane = {.task = &task, .x = x, .sample = i};
        base_rng rng = attack_lane_rng(&lane, 0);
        attack_random_start(p, &lane, &rng);
        radius += attack_distance(p, x, 4, ATTACK_NORM_L2) / 4000;
        task.norm = ATTACK_NORM_LINF;
        attack_random_start(p, &lane, &rng);
        size += fabs((double)p[0] - 0.5) / 4000;
        check_feasible(p, x, 4, ATTACK_NORM_LINF, 0.4);
        task.norm = ATTACK_NORM_L1;
        attack_random_start(p, &lane, &rng);
        check_feasible(p, x, 4, ATTACK_NORM_L1, 0.4);
    }
    ck_assert_double_eq_tol(radius, 0.4 * 4 / 5, 0.005);
    ck_assert_double_eq_tol(size, 0.2, 0.01);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_norms");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_test(core, projections_are_feasible_and_idempotent);
    tcase_add_test(core, l1_projection_is_the_nearest_point);
    tcase_add_test(core, l1_projection_by_hand);
    tcase_add_test(core, steps_follow_the_norm);
    tcase_add_test(core, largest_are_kept_with_ties_by_index);
    tcase_add_test(core, largest_agree_with_a_slow_search);
    tcase_add_test(core, random_starts_fill_the_ball);
    tcase_add_test(limits, feasible_points_stay);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
