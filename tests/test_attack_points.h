/* test_attack_points.h - every point that an attack looks at, one image at a time, and what
 * its next one is made of, in doubles: from the library's last points to its next one, so
 * that nothing adds up. */
#ifndef TESTS_TEST_ATTACK_POINTS_H
#define TESTS_TEST_ATTACK_POINTS_H

#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"
#include "test_attack_rig.h"

#define LINF ATTACK_NORM_LINF
#define L2 ATTACK_NORM_L2
#define L1 ATTACK_NORM_L1
#define LOSS(name) ATTACK_LOSS_##name

enum { POINTS = 220, MOST = 600 };
/* Float32 points near 1, a few operations from one to the next. */
static const double CLOSE = 2e-6;

static float seen[POINTS][MOST];
static size_t seen_count, width;

static inline base_status see(void *user, float *logits, const float *x, size_t count,
                              base_error *err)
{
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_lt(seen_count, POINTS);
    memcpy(seen[seen_count++], x, width * sizeof *x);
    return test_net_forward(user, logits, x, count, err);
}

/* Image `at` alone, all steps; seen[0] is the image, what follows the attack's points. */
static inline attack_result watch(attack_norm norm, double eps, const char *spec, size_t at)
{
    const uint32_t number = (uint32_t)at + 3;
    attack_target target = test_net_target(&net, 1, SIDE, 1);
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    base_error err = {0};

    target.logits = target.forward = see;
    config.norm = norm;
    config.eps = eps;
    config.seed = 11;
    config.early_stop = false;
    config.samples = &number;
    seen_count = 0;
    width = INPUTS;
    ck_assert_msg(attack_run_create(&run, &target, &config, images + at * INPUTS,
                                    labels + at, 1, &err) == BASE_OK &&
                      attack_run_add(run, spec, &err) == BASE_OK &&
                      attack_run_go(run, &err) == BASE_OK,
                  "%s", err.text);
    const attack_result result = *attack_run_result(run, 0);
    ck_assert_mem_eq(seen[0], images + at * INPUTS, INPUTS * sizeof(float));
    attack_run_destroy(run);
    return result;
}

/* The attack's stream of this image. */
static inline base_rng stream(const char *attack, size_t at, size_t rank, size_t restart,
                              uint64_t step)
{
    const attack_spec spec = {.method = attack_method_find(attack)};
    const attack_task task = {.spec = &spec, .seed = 11};
    const attack_lane lane = {
        .task = &task, .sample = (uint32_t)at + 3, .rank = rank, .restart = restart};

    return attack_lane_rng(&lane, step);
}

/* Some pixels at the ends of their range, so that the box is met. */
static inline void edges(void)
{
    float z[CLASSES], h[12];

    setup();
    for (size_t i = 0; i < (size_t)N * INPUTS; i += 5)
        images[i] = i % 2 ? 1.0f : 0.0f;
    for (size_t i = 0; i < N; i++) {
        test_net_raw(&net, z, h, images + i * INPUTS);
        labels[i] = attack_predict(z, CLASSES);
    }
}

static inline double box(double v)
{
    return fmin(fmax(v, 0), 1);
}

static inline double size_of(const double *d, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += d[i] * d[i];
    return sqrt(sum);
}

/* v to the ball and the box around x. */
static inline void confine(double *v, const float *x, attack_norm norm, double eps)
{
    double d[INPUTS];
    float in[INPUTS];

    for (size_t i = 0; i < INPUTS; i++) {
        d[i] = v[i] - (double)x[i];
        in[i] = (float)v[i];
    }
    const double size = size_of(d, INPUTS), scale = size > eps ? eps / size : 1;
    attack_project(in, x, INPUTS, ATTACK_NORM_L1, eps); /* test_attack_norms.c */
    for (size_t i = 0; i < INPUTS; i++)
        v[i] = norm == ATTACK_NORM_LINF ? box((double)x[i] + fmin(fmax(d[i], -eps), eps))
               : norm == ATTACK_NORM_L2 ? box((double)x[i] + scale * d[i])
                                        : (double)in[i];
}

static inline void random_start(double *v, const float *x, attack_norm norm, double eps,
                                base_rng *rng)
{
    double d[INPUTS];

    for (size_t i = 0; i < INPUTS; i++)
        d[i] = norm == ATTACK_NORM_LINF ? eps * (2 * base_rng_uniform(rng) - 1)
                                        : base_rng_normal(rng);
    const double scale =
        norm == ATTACK_NORM_L2
            ? eps * pow(base_rng_uniform(rng), 1.0 / INPUTS) / size_of(d, INPUTS)
            : 1;
    for (size_t i = 0; i < INPUTS; i++)
        v[i] = (double)x[i] + scale * d[i];
    confine(v, x, norm, eps);
}

static inline void near(const char *what, size_t point, const double *want)
{
    ck_assert_uint_lt(point, seen_count);
    for (size_t i = 0; i < width; i++)
        ck_assert_msg(fabs((double)seen[point][i] - want[i]) < CLOSE,
                      "%s: point %zu, number %zu is %.8f, not %.8f", what, point, i,
                      (double)seen[point][i], want[i]);
}

/* Loss and gradient (may be NULL) at a point. */
static inline double loss_at(float *gradient, const float *point, attack_loss loss,
                             int32_t label, int32_t target)
{
    float z[CLASSES], d[CLASSES];

    test_net_forward(&net, z, point, 1, NULL);
    const double value = attack_loss_compute(d, loss, z, CLASSES, label, target);
    if (gradient)
        test_net_gradient(&net, gradient, d, NULL);
    return value;
}

/* The wrong class of that rank at the image. */
static int32_t ranked(const float *x, int32_t label, size_t rank)
{
    float z[CLASSES], h[12];
    int32_t best = -1;

    test_net_raw(&net, z, h, x);
    for (size_t turn = 0; turn <= rank; turn++) {
        if (best >= 0)
            z[best] = -INFINITY;
        best = -1;
        for (int32_t c = 0; c < CLASSES; c++)
            if (c != label && (best < 0 || z[c] > z[best]))
                best = c;
    }
    return best;
}

#endif
