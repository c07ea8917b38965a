/* test_attack_methods.c - noise, steps along the gradient, SPSA and L1-APGD, point by point
 * against their rules written a second time. APGD in Linf and L2: test_attack_apgd.c,
 * test_attack_referees.c; FAB, CW and Square: test_attack_methods_nearest.c. */
#include "tests/test_attack_points.h"

/* ---- noise --------------------------------------------------------------------------- */

START_TEST(noise_is_drawn_as_it_is_said)
{
    enum { DRAWS = 6 };
    const attack_norm norm = (attack_norm)_i;
    static const double budgets[] = {0.2, 1.5, 2};
    const double eps = budgets[norm];

    for (size_t at = 0; at < 4; at++) {
        const float *x = images + at * INPUTS;
        const attack_result r = watch(norm, eps, "noise:draws=6", at);

        ck_assert_double_eq(r.forward_evals, DRAWS);
        for (uint64_t step = 0; step < DRAWS; step++) {
            base_rng rng = stream("noise", at, 0, 0, step);
            double v[INPUTS], d[INPUTS];
            uint32_t bits = 0;

            for (size_t i = 0; i < INPUTS; i++)
                v[i] = (double)x[i];
            if (norm == ATTACK_NORM_L2) { /* on the sphere */
                for (size_t i = 0; i < INPUTS; i++)
                    d[i] = base_rng_normal(&rng);
                for (size_t i = 0; i < INPUTS; i++)
                    v[i] += eps * d[i] / size_of(d, INPUTS);
                confine(v, x, norm, eps);
            } else if (step % 2 == 0) {
                random_start(v, x, norm, eps, &rng);
            } else if (norm == ATTACK_NORM_LINF) { /* a corner */
                for (size_t i = 0; i < INPUTS; i++) {
                    bits = i % 32 ? bits >> 1 : base_rng_u32(&rng);
                    v[i] = box(v[i] + (bits & 1 ? eps : -eps));
                }
            } else { /* one coordinate */
                const size_t one = (size_t)base_rng_below(&rng, INPUTS);
                v[one] = box(v[one] + (base_rng_u32(&rng) & 1 ? eps : -eps));
            }
            near("noise", 1 + step, v);
        }
    }
}
END_TEST

/* ---- steps along the gradient -------------------------------------------------------- */

typedef struct ascent {
    const char *name, *spec;
    attack_norm norm;
    attack_loss loss;
    int aim; /* 0 none, 1 random, 2 least, 3 second, 4 next, 5 ranks */
    size_t steps, rounds;
    double alpha;           /* of eps where negative */
    bool start;             /* at random */
    double sparsity, decay; /* decay NAN: no momentum */
} ascent;

static const ascent ascents[] = {
    {"fgsm", "fgsm", LINF, LOSS(CE), 0, 1, 1, -1, false, 1, NAN},
    {"fgsm", "fgsm:loss=margin", L2, LOSS(MARGIN), 0, 1, 1, -1, false, 1, NAN},
    {"fgsm", "fgsm:loss=dlr", L2, LOSS(DLR), 0, 1, 1, -1, false, 1, NAN},
    {"pgd", "pgd:steps=5", LINF, LOSS(CE), 0, 5, 1, -0.5, true, 1, NAN},
    {"pgd", "pgd:steps=4,relative=1,restarts=3", L2, LOSS(CE), 0, 4, 3, -0.25, true, 1,
     NAN},
    {"pgd", "pgd:steps=4,alpha=1/510,start=none,loss=margin", LINF, LOSS(MARGIN), 0, 4, 1,
     1.0 / 510, false, 1, NAN},
    {"pgd", "pgd:steps=3,loss=dlr", L2, LOSS(DLR), 0, 3, 1, -2.5 / 3, true, 1, NAN},
    {"pgd", "pgd:steps=3,aim=random", LINF, LOSS(CE_TARGET), 1, 3, 1, -2.5 / 3, true, 1,
     NAN},
    {"pgd", "pgd:steps=3,aim=least,loss=margin", L2, LOSS(MARGIN_TARGET), 2, 3, 1, -2.5 / 3,
     true, 1, NAN},
    {"pgd", "pgd:steps=3,aim=second,loss=dlr", LINF, LOSS(DLR_TARGET), 3, 3, 1, -2.5 / 3,
     true, 1, NAN},
    {"pgd", "pgd:steps=3,aim=next,start=none", LINF, LOSS(CE_TARGET), 4, 3, 1, -2.5 / 3,
     false, 1, NAN},
    {"pgd", "pgd:steps=2,targets=3,loss=margin", LINF, LOSS(MARGIN_TARGET), 5, 2, 3, -1.25,
     true, 1, NAN},
    {"pgd", "pgd:steps=5", L1, LOSS(CE), 0, 5, 1, -0.5, true, 0.01, NAN},
    {"pgd", "pgd:steps=6,sparsity=0.2,relative=3", L1, LOSS(CE), 0, 6, 1, -0.5, true, 0.2,
     NAN},
    {"mi-fgsm", "mi-fgsm", LINF, LOSS(CE), 0, 10, 1, -0.1, false, 1, 1},
    {"mi-fgsm", "mi-fgsm:steps=4,decay=0.5,loss=margin", L2, LOSS(MARGIN), 0, 4, 1, -0.25,
     false, 1, 0.5},
    {"mi-fgsm", "mi-fgsm:steps=3,decay=0,loss=dlr", LINF, LOSS(DLR), 0, 3, 1, -1.0 / 3,
     false, 1, 0},
};

static int32_t target_of(const ascent *a, size_t at, size_t round)
{
    const float *x = images + at * INPUTS;
    const int32_t y = labels[at];
    base_rng rng = stream(a->name, at, 0, 0, UINT64_MAX);

    return a->aim == 1   ? (y + 1 + (int32_t)base_rng_below(&rng, CLASSES - 1)) % CLASSES
           : a->aim == 2 ? ranked(x, y, CLASSES - 2)
           : a->aim == 3 ? ranked(x, y, 0)
           : a->aim == 4 ? (y + 1) % CLASSES
           : a->aim == 5 ? ranked(x, y, round)
                         : -1;
}

/* v + alpha towards g: its signs, its direction, or the signs of its largest numbers that
 * can still move. */
static void climb(double *v, const float *from, const double *g, const ascent *a,
                  double alpha)
{
    const double length = fmax(size_of(g, INPUTS), 1e-12);
    size_t most = (size_t)ceil(a->sparsity * INPUTS), moved = 0;
    bool taken[INPUTS] = {false};

    for (; a->norm == L1 && moved < most; moved++) {
        size_t best = INPUTS;
        for (size_t i = 0; i < INPUTS; i++) {
            const bool free = g[i] > 0 ? from[i] < 1 : g[i] < 0 && from[i] > 0;
            if (free && !taken[i] && (best == INPUTS || fabs(g[i]) > fabs(g[best])))
                best = i;
        }
        if (best == INPUTS)
            break;
        taken[best] = true;
    }
    for (size_t i = 0; i < INPUTS; i++) {
        const double sign = (g[i] > 0) - (g[i] < 0);
        v[i] = (double)from[i] + (a->norm == LINF ? alpha * sign
                                  : a->norm == L2 ? alpha * g[i] / length
                                  : taken[i]      ? alpha / (double)moved * sign
                                                  : 0);
    }
}

/* One round of an ascent, from seen[point] on. */
static void follow(const ascent *a, size_t at, size_t round, size_t point, double eps)
{
    const float *x = images + at * INPUTS;
    const int32_t target = target_of(a, at, round);
    const double alpha = a->alpha < 0 ? -a->alpha * eps : a->alpha;
    const bool ranks = a->aim == 5;
    double v[INPUTS], momentum[INPUTS] = {0};
    float g[INPUTS];

    for (size_t i = 0; i < INPUTS; i++)
        v[i] = (double)x[i];
    if (a->start) {
        base_rng rng = stream(a->name, at, ranks ? round : 0, ranks ? 0 : round, 0);
        random_start(v, x, a->norm, eps, &rng);
    }
    near(a->spec, point, v);
    for (size_t step = 0; step < a->steps; step++, point++) {
        double sum = 0;

        loss_at(g, seen[point], a->loss, labels[at], target);
        for (size_t i = 0; i < INPUTS; i++)
            sum += fabs((double)g[i]);
        for (size_t i = 0; i < INPUTS; i++)
            momentum[i] = isnan(a->decay) ? (double)g[i]
                                          : a->decay * momentum[i] + (double)g[i] / sum;
        climb(v, seen[point], momentum, a, alpha);
        confine(v, x, a->norm, eps);
        near(a->spec, point + 1, v);
    }
}

/* A budget so small that nothing breaks: all rounds are made. */
START_TEST(ascents_follow_their_rule)
{
    const ascent *a = &ascents[_i];
    static const double budgets[] = {1.5e-3, 5e-3, 1e-2};
    const double eps = budgets[a->norm];
    size_t followed = 0;

    for (size_t at = 0; at < 6; at++) {
        const attack_result r = watch(a->norm, eps, a->spec, at);

        if (r.broken > 0)
            continue; /* next to a boundary */
        followed++;
        ck_assert_uint_eq(r.restarts, a->rounds);
        ck_assert_uint_eq(seen_count, 1 + a->rounds * (a->steps + 1));
        ck_assert_double_eq(r.grad_evals, (double)(a->rounds * a->steps));
        for (size_t round = 0; round < a->rounds; round++)
            follow(a, at, round, 1 + round * (a->steps + 1), eps);
    }
    ck_assert_uint_ge(followed, 4);
}
END_TEST

/* Of 130 steps every second is told, or nearly; of 70 rounds the first 64. */
START_TEST(long_curves_are_thinned)
{
    const attack_result r = watch(LINF, 1e-3, "pgd:steps=130,relative=0.7", 1);
    double top = -INFINITY;
    size_t at = 0;

    ck_assert_uint_eq(r.broken, 0);
    ck_assert_uint_eq(r.curve_count, ATTACK_CURVE_MAX);
    for (size_t step = 0; step <= 130; step++) {
        top = fmax(top, loss_at(NULL, seen[1 + step], LOSS(CE), labels[1], -1));
        if (step != at * 130 / (ATTACK_CURVE_MAX - 1))
            continue;
        ck_assert_uint_eq(r.curve_step[at], step);
        ck_assert_double_eq_tol(r.curve[at], top, 2e-6);
        at++;
    }
    ck_assert_uint_eq(at, ATTACK_CURVE_MAX);
    const attack_result many = watch(LINF, 1e-3, "pgd:steps=1,restarts=70", 1);
    ck_assert_uint_eq(many.restarts, 70);
    ck_assert_uint_eq(many.by_restart_count, ATTACK_CURVE_MAX);
    ck_assert_double_eq(many.forward_evals, 140);
}
END_TEST

/* ---- SPSA ---------------------------------------------------------------------------- */

/* From the start: probes of each pair, then a step of Adam along what they tell. */
START_TEST(spsa_follows_its_rule)
{
    enum { STEPS = 3, PAIRS = 4 };
    const double eps = 0.004, delta = 0.02, lr = 0.003;

    for (size_t at = 0; at < 3; at++) {
        const float *x = images + at * INPUTS;
        double v[INPUTS], first[INPUTS] = {0}, second[INPUTS] = {0};
        base_rng rng = stream("spsa", at, 0, 0, 0);
        size_t point = 1;

        const attack_result r =
            watch(LINF, eps, "spsa:steps=3,pairs=4,delta=0.02,lr=0.003", at);
        ck_assert_uint_eq(r.broken, 0);
        ck_assert_uint_eq(seen_count, 2 + STEPS * (2 * PAIRS + 1));
        random_start(v, x, LINF, eps, &rng);
        near("spsa", point, v);
        for (uint64_t step = 0; step < STEPS; step++) {
            const float *here = seen[point];
            double g[INPUTS] = {0};

            for (uint64_t pair = 0; pair < PAIRS; pair++) {
                double up[INPUTS], down[INPUTS], sign[INPUTS];
                uint32_t bits = 0;

                rng = stream("spsa", at, 0, 0, 1 + step * PAIRS + pair);
                for (size_t i = 0; i < INPUTS; i++) {
                    bits = i % 32 ? bits >> 1 : base_rng_u32(&rng);
                    sign[i] = bits & 1 ? 1 : -1;
                    up[i] = (double)here[i] + delta * sign[i];
                    down[i] = (double)here[i] - delta * sign[i];
                }
                near("spsa, up", point + 1 + 2 * pair, up);
                near("spsa, down", point + 2 + 2 * pair, down);
                const double rise =
                    loss_at(NULL, seen[point + 1 + 2 * pair], LOSS(MARGIN), labels[at],
                            -1) -
                    loss_at(NULL, seen[point + 2 + 2 * pair], LOSS(MARGIN), labels[at], -1);
                for (size_t i = 0; i < INPUTS; i++)
                    g[i] -= rise / (2 * delta * PAIRS) * sign[i];
            }
            const double t = (double)step + 1;
            for (size_t i = 0; i < INPUTS; i++) {
                first[i] = 0.9 * first[i] + 0.1 * g[i];
                second[i] = 0.999 * second[i] + 0.001 * g[i] * g[i];
                v[i] = (double)here[i] - lr * first[i] / (1 - pow(0.9, t)) /
                                             (sqrt(second[i] / (1 - pow(0.999, t))) + 1e-8);
            }
            confine(v, x, LINF, eps);
            point += 2 * PAIRS + 1;
            near("spsa", point, v);
        }
    }
}
END_TEST

/* ---- L1-APGD ------------------------------------------------------------------------- */

typedef struct sparse {
    const char *name, *spec;
    attack_loss loss;
    size_t steps[3], rounds;
} sparse;

static const sparse sparses[] = {
    {"apgd-l1-ce", "apgd-ce:steps=31", LOSS(CE), {10, 10, 11}, 1},
    {"apgd-l1-dlr", "apgd-dlr:steps=60,restarts=2", LOSS(DLR), {18, 18, 24}, 2},
    {"apgd-l1-t", "apgd-t:steps=12,targets=3", LOSS(DLR_TARGET), {4, 4, 4}, 3},
    {"apgd-l1-ce", "apgd-ce:steps=170", LOSS(CE), {51, 51, 68}, 1}, /* reviews of 2 steps */
};

static size_t differing(const float *a, const float *b)
{
    size_t count = 0;

    for (size_t i = 0; i < INPUTS; i++)
        count += a[i] != b[i];
    return count;
}

/* The largest k numbers of g move by eta / k. */
static void sparse_step(double *v, const float *from, const float *g, double share,
                        double eta)
{
    const size_t most = INPUTS - (size_t)((1 - share) * INPUTS);
    bool taken[INPUTS] = {false};
    size_t moved = 0;

    for (; moved < most; moved++) {
        size_t best = INPUTS;
        for (size_t i = 0; i < INPUTS; i++)
            if (!taken[i] && g[i] != 0 && (best == INPUTS || fabsf(g[i]) > fabsf(g[best])))
                best = i;
        if (best == INPUTS)
            break;
        taken[best] = true;
    }
    for (size_t i = 0; i < INPUTS; i++)
        v[i] = (double)from[i] + (taken[i] ? (g[i] > 0 ? eta : -eta) / (double)moved : 0);
}

/* A phase from seen[point] on; returns its best point. */
static size_t phase_follow(const sparse *a, size_t at, int32_t target, size_t steps,
                           size_t point, double budget)
{
    const float *x = images + at * INPUTS;
    const size_t spacing = 0.04 * (double)steps >= 1 ? (size_t)(0.04 * (double)steps) : 1;
    float g[INPUTS];
    double v[INPUTS], eta = budget;
    size_t best = point, since = 0, changed = differing(seen[point], x);
    double share = (double)changed / INPUTS / 1.5;
    double top = loss_at(NULL, seen[best], a->loss, labels[at], target);

    for (size_t step = 0; step < steps; step++) {
        size_t from = point + step;
        const double here = loss_at(NULL, seen[from], a->loss, labels[at], target);

        if (step > 0 && here > top) {
            top = here;
            best = from;
        }
        if (step > 0 && ++since >= spacing) {
            const size_t now = differing(seen[best], x);
            const bool sparser = (double)now < 0.95 * (double)changed;

            eta = sparser ? budget : fmax(eta / 1.5, budget / 10);
            share = (double)now / INPUTS / 1.5;
            changed = now;
            since = 0;
            from = sparser ? best : from;
        }
        loss_at(g, seen[from], a->loss, labels[at], target);
        sparse_step(v, seen[from], g, share, eta);
        confine(v, x, L1, budget);
        near(a->spec, point + step + 1, v);
    }
    if (loss_at(NULL, seen[point + steps], a->loss, labels[at], target) > top)
        best = point + steps;
    return best;
}

/* Of the last phase alone: the best loss so far, from its first point on; and how much of
 * its rise came in the last quarter. */
static void curve_is(const attack_result *r, const sparse *a, size_t at)
{
    const size_t before = a->steps[0] + a->steps[1], all = before + a->steps[2];
    const int32_t target =
        a->loss == LOSS(DLR_TARGET) ? ranked(images + at * INPUTS, labels[at], 0) : -1;
    double top = -1e6, first = 0, late = 0;

    if (all >= ATTACK_CURVE_MAX)
        return;
    ck_assert_uint_eq(r->curve_count, all + 1);
    for (size_t step = 0; step <= all; step++) {
        if (step >= before) /* the two phases before have a first point more each */
            top = fmax(top, loss_at(NULL, seen[1 + step + 2], a->loss, labels[at], target));
        ck_assert_uint_eq(r->curve_step[step], step);
        ck_assert_double_eq_tol(r->curve[step], top, 2e-6);
        first = step == before ? top : first;
        late = step == all - a->steps[2] / 4 ? top : late;
    }
    if (top - first > 1e-3)
        ck_assert_double_eq_tol(r->late_rise, (top - late) / (top - first), 1e-2);
    else if (top == first)
        ck_assert_double_eq(r->late_rise, 1);
}

/* Uphill; and with a gradient that leads down, where the best point is not the last. */
START_TEST(l1_apgd_follows_its_pseudo_code)
{
    const sparse *a = &sparses[_i / 2];
    const double eps = _i % 2 ? 0.4 : 0.05;
    size_t followed = 0;

    net.gradient_scale = _i % 2 ? -1 : 1;

    for (size_t at = 0; at < 5; at++) {
        const float *x = images + at * INPUTS;
        const attack_result r = watch(L1, eps, a->spec, at);
        size_t point = 1;

        if (r.broken > 0)
            continue;
        followed++;
        curve_is(&r, a, at);
        for (size_t round = 0; round < a->rounds; round++) {
            const bool aims = a->loss == LOSS(DLR_TARGET);
            base_rng rng = stream(a->name, at, aims ? round : 0, aims ? 0 : round, 0);
            double v[INPUTS];

            for (size_t i = 0; i < INPUTS; i++)
                v[i] = (double)(x[i] + (float)base_rng_normal(&rng));
            for (int phase = 0; phase < 3; phase++) {
                const double budget = (3 - phase) * eps;

                confine(v, x, L1, budget);
                near(a->spec, point, v);
                const size_t best =
                    phase_follow(a, at, aims ? ranked(x, labels[at], round) : -1,
                                 a->steps[phase], point, budget);
                for (size_t i = 0; i < INPUTS; i++)
                    v[i] = (double)seen[best][i];
                point += a->steps[phase] + 1;
            }
        }
        ck_assert_uint_eq(point, seen_count);
    }
    ck_assert_uint_ge(followed, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_methods");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, edges, teardown);
    tcase_add_loop_test(core, noise_is_drawn_as_it_is_said, 0, 3);
    tcase_add_loop_test(core, ascents_follow_their_rule, 0,
                        sizeof ascents / sizeof ascents[0]);
    tcase_add_test(core, long_curves_are_thinned);
    tcase_add_test(core, spsa_follows_its_rule);
    tcase_add_loop_test(core, l1_apgd_follows_its_pseudo_code, 0,
                        2 * sizeof sparses / sizeof sparses[0]);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
