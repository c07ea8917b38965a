/* test_attack_methods_nearest.c - FAB and Square in L2, point by point against their
 * algorithms written a second time; which point a search for the smallest norm keeps. CW,
 * and Square in Linf: test_attack_reference.c. */
#include "tests/test_attack_points.h"

/* ---- FAB ----------------------------------------------------------------------------- */

typedef struct boundary {
    const char *spec;
    attack_norm norm;
    bool targeted;
    size_t steps;
    double alpha, eta, back;
} boundary;

static const boundary boundaries[] = {
    {"fab:steps=6", LINF, false, 6, 0.1, 1.05, 0.9},
    {"fab:steps=5,alpha=0.3,overshoot=1.3,back=0.6", L2, false, 5, 0.3, 1.3, 0.6},
    {"fab:steps=4,alpha=0.4", L1, false, 4, 0.4, 1.05, 0.9},
    {"fab-t:steps=6,targets=1", L2, true, 6, 0.1, 1.05, 0.9},
    {"fab-t:steps=5,targets=1,alpha=0.6,overshoot=1.2,back=0.5", LINF, true, 5, 0.6, 1.2,
     0.5},
    {"fab-t:steps=4,targets=1", L1, true, 4, 0.1, 1.05, 0.9},
};

/* From seen[point] past the nearest plane, pulled towards the image. */
static void cross(double *v, const boundary *b, size_t at, size_t point)
{
    const float *x = images + at * INPUTS, *p = seen[point];
    float w[INPUTS], plane[INPUTS], there[INPUTS], home[INPUTS];
    double least = -1, gap = 0, along = 0;

    for (int32_t c = 0; c < CLASSES; c++) {
        if (c == labels[at] || (b->targeted && c != ranked(x, labels[at], 0)))
            continue;
        const double value = loss_at(w, p, LOSS(MARGIN_TARGET), labels[at], c);
        const double far = fabs(value) / attack_dual_norm_of(w, INPUTS, b->norm);
        if (least >= 0 && far >= least)
            continue;
        least = far;
        gap = -value;
        memcpy(plane, w, sizeof plane);
    }
    for (size_t i = 0; i < INPUTS; i++)
        along += (double)plane[i] * ((double)p[i] - (double)x[i]);
    attack_plane_move(there, p, plane, gap, INPUTS, b->norm); /* test_attack_plane.c */
    attack_plane_move(home, x, plane, gap + along, INPUTS, b->norm);
    const double n1 = fmax(attack_norm_of(there, INPUTS, b->norm), 1e-8),
                 n0 = fmax(attack_norm_of(home, INPUTS, b->norm), 1e-8);
    const double a = fmin(n1 / (n1 + n0), b->alpha);
    for (size_t i = 0; i < INPUTS; i++)
        v[i] = box((1 - a) * ((double)p[i] + b->eta * (double)there[i]) +
                   a * ((double)x[i] + b->eta * (double)home[i]));
}

/* Planes are looked at class by class, the first of them together with the new point while
 * the search is on the right side; after a success it turns back. */
START_TEST(fab_follows_its_algorithm)
{
    const boundary *b = &boundaries[_i];
    const size_t classes = b->targeted ? 1 : CLASSES - 1;

    for (size_t at = 0; at < 5; at++) {
        const float *x = images + at * INPUTS;
        double v[INPUTS];
        size_t point = 1, fresh = classes;
        bool crossed = false;

        watch(b->norm, 1e-9, b->spec, at);
        for (size_t i = 0; i < INPUTS; i++)
            v[i] = (double)x[i];
        for (size_t step = 1; step <= b->steps; step++) {
            float z[CLASSES], h[12];

            for (size_t look = 0; look < fresh; look++)
                near(b->spec, point++, v);
            cross(v, b, at, point - 1);
            near(b->spec, point, v);
            test_net_raw(&net, z, h, seen[point]);
            const bool wrong = attack_predict(z, CLASSES) != labels[at];
            for (size_t i = 0; i < INPUTS; i++)
                v[i] = (double)x[i] +
                       (wrong ? b->back : 1) * ((double)seen[point][i] - (double)x[i]);
            point++;
            fresh = wrong || crossed ? classes : classes - 1;
            crossed = wrong;
        }
        ck_assert_uint_eq(point, seen_count);
    }
}
END_TEST

/* The second start of FAB: at half the budget, drawn from the restart's own stream. */
START_TEST(fab_starts_again_at_half_the_budget)
{
    static const double budgets[] = {1e-3, 5e-3, 0.02};
    const attack_norm norm = (attack_norm)(_i % 3);
    const bool targeted = _i >= 3;
    const double eps = budgets[norm];
    size_t followed = 0;

    for (size_t at = 0; at < 4; at++) {
        const float *x = images + at * INPUTS;
        const attack_result r = watch(
            norm, eps,
            targeted ? "fab-t:steps=1,targets=1,restarts=2" : "fab:steps=1,restarts=2", at);
        base_rng rng = stream(targeted ? "fab-t" : "fab", at, 0, 1, 0);
        double d[INPUTS], v[INPUTS], most = 0, sum = 0;

        if (r.broken > 0)
            continue;
        followed++;
        for (size_t i = 0; i < INPUTS; i++) {
            d[i] = norm == ATTACK_NORM_LINF ? 2 * base_rng_uniform(&rng) - 1
                                            : base_rng_normal(&rng);
            most = fmax(most, fabs(d[i]));
            sum += fabs(d[i]);
        }
        const double size = norm == ATTACK_NORM_LINF ? most
                            : norm == ATTACK_NORM_L2 ? size_of(d, INPUTS)
                                                     : sum;
        for (size_t i = 0; i < INPUTS; i++)
            v[i] = box((double)x[i] + eps / 2 / size * d[i]);
        /* the planes of each class at the image and the new point first */
        near("fab", targeted ? 3 : CLASSES + 1, v);
        near("fab", targeted ? 3 : 2 * CLASSES - 1, v); /* and there again */
    }
    ck_assert_uint_ge(followed, 2);
}
END_TEST

/* ---- searches for the smallest norm -------------------------------------------------- */

static const struct {
    const char *spec;
    attack_norm norm;
    size_t points;
} nearest[] = {
    {"fab:steps=6,restarts=2", LINF, 0},
    {"fab:steps=6", L1, 0},
    {"fab-t:steps=6,targets=3", L2, 0},
    {"cw:steps=40,rounds=3,lr=0.02,c=0.1", L2, 3 * 41},
    {"cw:steps=40,rounds=3,lr=0.02,c=0.1,aim=second", L2, 3 * 41},
};

/* Of all the points that were looked at the nearest one that is wrong counts, whatever the
 * budget; the sample is broken by it when the budget reaches so far. */
START_TEST(the_nearest_wrong_point_counts)
{
    const attack_norm norm = nearest[_i].norm;
    size_t with = 0;

    for (size_t at = 0; at < 5; at++) {
        const float *x = images + at * INPUTS;
        double least = INFINITY;
        float z[CLASSES], h[12];

        attack_result r = watch(norm, 1e-9, nearest[_i].spec, at);
        ck_assert_uint_eq(r.broken, 0);
        if (nearest[_i].points > 0)
            ck_assert_uint_eq(seen_count, 1 + nearest[_i].points);
        for (size_t point = 1; point < seen_count; point++) {
            test_net_raw(&net, z, h, seen[point]);
            if (attack_predict(z, CLASSES) != labels[at])
                least = fmin(least, attack_distance(seen[point], x, INPUTS, norm));
        }
        ck_assert_uint_eq(r.minimal_count, isfinite(least));
        if (!isfinite(least))
            continue;
        with++;
        ck_assert_double_eq_tol(r.minimal_norm, least, 1e-6 * least);
        r = watch(norm, 0.999 * least, nearest[_i].spec, at);
        ck_assert(r.broken == 0 || r.minimal_norm < 0.999 * least); /* other starts */
        r = watch(norm, 1.001 * least, nearest[_i].spec, at);
        ck_assert_uint_eq(r.broken, 1);
        ck_assert_double_le(r.median_norm, 1.001 * least);
        ck_assert_double_eq(r.median_norm, r.minimal_norm);
        ck_assert_double_eq(r.max_norm, r.minimal_norm);
    }
    ck_assert_uint_ge(with, 3);
}
END_TEST

/* ---- Square in L2 -------------------------------------------------------------------- */

/* Not square, and of sides that tiles of three do not fill: a row is left over above. */
enum { PLANES = 2, HIGH = 17, WIDE = 16, FLAT = HIGH * WIDE, PIXELS = PLANES * FLAT };

/* x + eps d / |d| in the box. */
static void place(double *v, const float *x, const double *d, double eps)
{
    for (size_t i = 0; i < PIXELS; i++)
        v[i] = box((double)x[i] + eps * d[i] / size_of(d, PIXELS));
}

static void tiles(double *d, base_rng *rng)
{
    enum { TILE = HIGH / 5 };
    float pattern[TILE * TILE];

    memset(d, 0, PIXELS * sizeof *d);
    for (size_t top = HIGH % TILE / 2; top + TILE <= HIGH; top += TILE)
        for (size_t left = WIDE % TILE / 2; left + TILE <= WIDE; left += TILE) {
            attack_square_pattern(pattern, TILE, base_rng_u32(rng) & 1);
            for (size_t c = 0; c < PLANES; c++) {
                const double sign = base_rng_u32(rng) & 1 ? 1 : -1;
                for (size_t i = 0; i < TILE * TILE; i++)
                    d[c * FLAT + (top + i / TILE) * WIDE + left + i % TILE] =
                        sign * (double)pattern[i];
            }
        }
}

/* Algorithm 3: the first window takes the mass of both, and its part of what is left of
 * the budget. */
static void move_mass(double *d, size_t side, base_rng *rng, double eps)
{
    size_t top[2], left[2];
    float pattern[FLAT];
    const double size = size_of(d, PIXELS);
    const double spare = fmax(eps * eps - size * size, 0) / PLANES;

    for (int w = 0; w < 2; w++) {
        top[w] = (size_t)base_rng_below(rng, HIGH - side + 1);
        left[w] = (size_t)base_rng_below(rng, WIDE - side + 1);
    }
    attack_square_pattern(pattern, side, base_rng_u32(rng) & 1);
    for (size_t c = 0; c < PLANES; c++) {
        const double sign = base_rng_u32(rng) & 1 ? 1 : -1;
        double own = 0, both = 0, h[FLAT], length = 0;

        for (size_t i = 0; i < FLAT; i++) {
            const size_t row = i / WIDE, column = i % WIDE;
            const double p = d[c * FLAT + i];
            bool in[2];
            for (int w = 0; w < 2; w++)
                in[w] = row >= top[w] && row < top[w] + side && column >= left[w] &&
                        column < left[w] + side;
            own += in[0] ? p * p : 0;
            both += in[0] || in[1] ? p * p : 0;
            if (in[1] && !in[0])
                d[c * FLAT + i] = 0;
        }
        for (size_t i = 0; i < side * side; i++) {
            const size_t pixel = c * FLAT + (top[0] + i / side) * WIDE + left[0] + i % side;
            h[i] = sign * (double)pattern[i] + d[pixel] / (sqrt(own) + 1e-12);
            length += h[i] * h[i];
        }
        for (size_t i = 0; i < side * side; i++)
            d[c * FLAT + (top[0] + i / side) * WIDE + left[0] + i % side] =
                h[i] * sqrt(both + spare) / sqrt(length);
    }
}

START_TEST(square_in_l2_follows_its_algorithm)
{
    enum { QUERIES = 60 };
    static float x[PIXELS];
    static double d[PIXELS], v[PIXELS];
    test_net wide = test_net_make(PIXELS, 12, 4, 9), usual = net;
    attack_target target = test_net_target(&wide, PLANES, HIGH, 1);
    const uint32_t number = 3;
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    int32_t label;
    float z[4], best_at[PIXELS];
    double best = -INFINITY;

    test_net_samples(&wide, x, &label, 1, 0, 1, 4);
    target.logits = target.forward = see;
    config.norm = L2;
    config.eps = 0.3;
    config.seed = 11;
    config.early_stop = false;
    config.samples = &number;
    seen_count = 0;
    width = PIXELS;
    net = wide; /* what see asks */
    target.user = &net;
    ck_assert_int_eq(attack_run_create(&run, &target, &config, x, &label, 1, NULL),
                     BASE_OK);
    ck_assert_int_eq(attack_run_add(run, "square:queries=60,p=0.5,rescale=yes", NULL),
                     BASE_OK);
    ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
    ck_assert_uint_eq(attack_run_result(run, 0)->broken, 0);
    ck_assert_uint_eq(seen_count, QUERIES + 2);
    for (uint64_t step = 0; step <= QUERIES; step++) {
        base_rng rng = stream("square", 0, 0, 0, step);
        const double share = attack_square_share(0.5, step - 1, QUERIES, true);

        for (size_t i = 0; i < PIXELS && step > 0; i++)
            d[i] = (double)best_at[i] - (double)x[i];
        if (step == 0)
            tiles(d, &rng);
        else
            move_mass(d, attack_square_side(share, HIGH, WIDE, L2), &rng, config.eps);
        place(v, x, d, config.eps);
        near("square", 1 + step, v);
        float h[TEST_NET_HIDDEN];
        test_net_raw(&wide, z, h, seen[1 + step]);
        const double loss = attack_loss_compute(NULL, LOSS(MARGIN), z, 4, label, -1);
        if (loss > best) {
            best = loss;
            memcpy(best_at, seen[1 + step], sizeof best_at);
        }
    }
    attack_run_destroy(run);
    test_net_free(&wide);
    net = usual;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_methods_nearest");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, edges, teardown);
    tcase_add_loop_test(core, the_nearest_wrong_point_counts, 0,
                        sizeof nearest / sizeof nearest[0]);
    tcase_add_loop_test(core, fab_follows_its_algorithm, 0,
                        sizeof boundaries / sizeof boundaries[0]);
    tcase_add_loop_test(core, fab_starts_again_at_half_the_budget, 0, 6);
    tcase_add_test(core, square_in_l2_follows_its_algorithm);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
