/* test_attack_plane.c - the plane-in-box move against brute force over which coordinates
 * are full. */
#include "attacks/parts_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "tests/test_run.h"

enum { DIM_MAX = 6, TRIALS = 400 };

static const attack_norm norms[] = {ATTACK_NORM_LINF, ATTACK_NORM_L2, ATTACK_NORM_L1};

/* The smallest norm of a move over all choices of full coordinates: the optimum of a
 * linear or convex quadratic problem in a box has such a form. Linf and L2: the others
 * share one level. L1: all others but one stay. DBL_MAX: out of reach. */
static double brute(const float *v, const float *w, double gap, size_t count,
                    attack_norm norm)
{
    double best = DBL_MAX;

    for (unsigned set = 0; set < 1u << count; set++) {
        double full = 0, slope = 0, room[DIM_MAX], a[DIM_MAX];
        for (size_t i = 0; i < count; i++) {
            a[i] = fabs((double)w[i]);
            const bool rises = (w[i] > 0) == (gap > 0);
            room[i] = w[i] == 0 ? 0 : rises ? 1 - (double)v[i] : (double)v[i];
            if (set >> i & 1)
                full += a[i] * room[i];
            else
                slope += norm == ATTACK_NORM_L2 ? a[i] * a[i] : a[i];
        }
        for (size_t one = 0; one < (norm == ATTACK_NORM_L1 ? count : 1); one++) {
            float d[DIM_MAX];
            bool fits = true;
            for (size_t i = 0; i < count; i++) {
                double move = room[i];
                if (norm == ATTACK_NORM_L1 && (set >> i & 1) == 0)
                    move = i == one ? (fabs(gap) - full) / a[i] : 0;
                else if ((set >> i & 1) == 0)
                    move = (fabs(gap) - full) / slope * (norm == ATTACK_NORM_L2 ? a[i] : 1);
                if (norm == ATTACK_NORM_LINF && w[i] == 0)
                    move = 0;
                if (!(move >= -1e-9 && move <= room[i] + 1e-9))
                    fits = false;
                d[i] = (float)move;
            }
            double sum = 0;
            for (size_t i = 0; i < count && fits; i++)
                sum += a[i] * (double)d[i];
            if (fits && fabs(sum - fabs(gap)) < 1e-6 * (1 + fabs(gap)))
                best = fmin(best, attack_norm_of(d, count, norm));
        }
    }
    return best;
}

START_TEST(moves_are_the_shortest_of_all)
{
    const attack_norm norm = norms[_i];
    size_t reached = 0;

    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        base_rng rng = base_rng_make(2, BASE_PURPOSE_TEST, trial, 0, 0);
        const size_t count = 1 + base_rng_below(&rng, DIM_MAX);
        float v[DIM_MAX], w[DIM_MAX], d[DIM_MAX];
        for (size_t i = 0; i < count; i++) {
            v[i] = (float)base_rng_uniform(&rng);
            if (base_rng_below(&rng, 8) == 0)
                v[i] = (float)base_rng_below(&rng, 2); /* on a face */
            w[i] = (float)base_rng_normal(&rng);
            if (base_rng_below(&rng, 8) == 0)
                w[i] = i > 0 ? w[i - 1] : 0; /* ties and zeros */
        }
        const double gap = base_rng_normal(&rng);
        const double expected = brute(v, w, gap, count, norm);
        const bool in_reach = attack_plane_move(d, v, w, gap, count, norm);

        ck_assert_int_eq(in_reach, expected < DBL_MAX);
        double got = 0;
        for (size_t i = 0; i < count; i++) {
            got += (double)w[i] * (double)d[i];
            ck_assert_double_ge((double)v[i] + (double)d[i], -1e-7);
            ck_assert_double_le((double)v[i] + (double)d[i], 1 + 1e-7);
        }
        if (in_reach) { /* f32 rounding of d */
            ck_assert_double_eq_tol(got, gap, 1e-6);
            ck_assert_double_eq_tol(attack_norm_of(d, count, norm), expected, 1e-6);
            reached++;
        } else {
            ck_assert_double_lt(got * (gap > 0 ? 1 : -1), fabs(gap));
        }
    }
    ck_assert_uint_gt(reached, TRIALS / 4);
    ck_assert_uint_lt(reached, TRIALS);
}
END_TEST

/* Inside the box with room on all sides the distance is |gap| / dual norm. */
START_TEST(far_from_the_faces_the_move_is_gap_over_dual_norm)
{
    enum { COUNT = 1000 };
    static float v[COUNT], w[COUNT], d[COUNT];
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, 0, 0, 0);

    for (size_t i = 0; i < COUNT; i++) {
        v[i] = 0.5f;
        w[i] = (float)base_rng_normal(&rng);
    }
    ck_assert(attack_plane_move(d, v, w, -0.4, COUNT, norms[_i]));
    const double expected = 0.4 / attack_dual_norm_of(w, COUNT, norms[_i]);
    ck_assert_double_eq_tol(attack_norm_of(d, COUNT, norms[_i]), expected, 1e-5 * expected);
}
END_TEST

START_TEST(out_of_reach_all_room_is_taken)
{
    const float v[3] = {0.25f, 0.5f, 1}, w[3] = {1, -2, 3};
    float d[3];

    ck_assert(!attack_plane_move(d, v, w, 10, 3, norms[_i]));
    ck_assert(d[0] == 0.75f);
    ck_assert(d[1] == -0.5f);
    ck_assert(d[2] == 0);
}
END_TEST

START_TEST(no_gap_or_no_slope_moves_nothing)
{
    const float v[2] = {0.5f, 0.5f}, w[2] = {1, 2}, zero[2] = {0, 0};
    float d[2] = {9, 9};

    ck_assert(attack_plane_move(d, v, w, 0, 2, norms[_i]));
    ck_assert(d[0] == 0 && d[1] == 0);
    ck_assert(!attack_plane_move(d, v, zero, 1, 2, norms[_i]));
    ck_assert(d[0] == 0 && d[1] == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_plane");
    TCase *core = tcase_create("Core");
    tcase_add_loop_test(core, moves_are_the_shortest_of_all, 0, 3);
    tcase_add_loop_test(core, far_from_the_faces_the_move_is_gap_over_dual_norm, 0, 3);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("Limits");
    tcase_add_loop_test(limits, out_of_reach_all_room_is_taken, 0, 3);
    tcase_add_loop_test(limits, no_gap_or_no_slope_moves_nothing, 0, 3);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
