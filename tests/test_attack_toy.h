/* test_attack_toy.h - small models of known geometry to attack, with faults that can be
 * planted. z = scale * W_e (x - 1/2 - shift): linear, or of two linear experts of which
 * pixel 0 chooses one. For a linear model the distance to the boundary with class j is
 * (z_y - z_j) / dual norm of (w_y - w_j). */
#ifndef TESTS_TEST_ATTACK_TOY_H
#define TESTS_TEST_ATTACK_TOY_H

#include <check.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "attacks/attacks_internal.h"

enum {
    TOY_CHANNELS = 2,
    TOY_SIDE = 8,
    TOY_CLASSES_MAX = 10,
    TOY_IMAGES = 32,
    TOY_BATCH = 16
};
enum { TOY_FLOATS = TOY_CHANNELS * TOY_SIDE * TOY_SIDE };

typedef struct toy {
    size_t classes, experts;
    float weight[2][TOY_CLASSES_MAX][TOY_FLOATS];
    /* Faults: 1, 1, 0, false and 0 are an honest model. */
    double scale;    /* of the logits: 1000 saturates softmax */
    double gradient; /* factor of the gradient: 0 hides it, -1 turns it round */
    double noise;    /* deviation of what is added to every logit, new at every call */
    /* Experts have a capacity of one image: who comes later loses half the pixels. */
    bool crowded;
    double bend; /* z + bend z^3, the gradient accordingly */
    float shift; /* subtracted from pixels: another one than the model was made for */
    /* Calls of logits, counted from 1, whose answers are too large by this factor, and
     * whose first logit is so many norms of them too large; 0: none. */
    uint64_t spoil_first, spoil_last;
    double spoil, nudge;
    bool nan; /* answers that are not numbers, for images whose pixel 0 is above a half */
    /* What a pass leaves for the gradient. */
    size_t count;
    uint64_t calls, gradient_calls;
    uint8_t chosen[TOY_BATCH];
    double tangent[TOY_BATCH][TOY_CLASSES_MAX]; /* of the bend */
    float images[TOY_IMAGES * TOY_FLOATS];
    int32_t labels[TOY_IMAGES];
} toy;

static inline base_status toy_logits(void *user, float *logits, const float *images,
                                     size_t count, base_error *err)
{
    toy *t = user;
    base_rng rng = base_rng_make(77, BASE_PURPOSE_TEST, ++t->calls, 0, 0);

    (void)err;
    ck_assert_uint_ge(count, 1);
    ck_assert_uint_le(count, TOY_BATCH);
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        const float *x = images + i * TOY_FLOATS;
        t->chosen[i] = t->experts > 1 && x[0] > 0.5f;
        for (size_t j = 0; j < t->classes; j++) {
            const float *w = t->weight[t->chosen[i]][j];
            double sum = 0;
            for (size_t p = 0; p < TOY_FLOATS; p++)
                if (!t->crowded || i == 0 || p % 2 == 0)
                    sum += (double)w[p] * ((double)x[p] - 0.5 - (double)t->shift);
            t->tangent[i][j] = 1 + 3 * t->bend * sum * sum;
            sum += t->bend * sum * sum * sum;
            if (t->noise > 0)
                sum += t->noise * base_rng_normal(&rng);
            if (t->nan && x[0] > 0.5f)
                sum = NAN;
            if (t->calls >= t->spoil_first && t->calls <= t->spoil_last)
                sum *= t->spoil;
            logits[i * t->classes + j] = (float)(t->scale * sum);
        }
        if (t->calls >= t->spoil_first && t->calls <= t->spoil_last && t->nudge > 0)
            logits[i * t->classes] +=
                (float)(t->nudge * attack_norm2(logits + i * t->classes, t->classes));
    }
    return BASE_OK;
}

static inline base_status toy_gradient(void *user, float *d_images, const float *d_logits,
                                       base_error *err)
{
    toy *t = user;

    (void)err;
    t->gradient_calls++;
    for (size_t i = 0; i < t->count; i++)
        for (size_t p = 0; p < TOY_FLOATS; p++) {
            double sum = 0;
            for (size_t j = 0; j < t->classes; j++)
                sum += (double)d_logits[i * t->classes + j] * t->tangent[i][j] *
                       (double)t->weight[t->chosen[i]][j][p];
            d_images[i * TOY_FLOATS + p] = (float)(t->gradient * t->scale * sum);
        }
    return BASE_OK;
}

static inline void toy_signature(void *user, uint64_t *signature)
{
    const toy *t = user;

    for (size_t i = 0; i < t->count; i++)
        signature[i] = t->chosen[i];
}

/* Random weights, images around the middle of the box, labelled as the model sees them.
 * One thread: the model is too small for more. */
static inline void toy_make(toy *t, size_t classes, size_t experts)
{
    omp_set_num_threads(1);
    *t = (toy){
        .classes = classes, .experts = experts, .scale = 1, .gradient = 1, .spoil = 1.05};
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, classes, experts, 0);
    for (size_t e = 0; e < 2; e++)
        for (size_t j = 0; j < TOY_CLASSES_MAX; j++)
            for (size_t p = 0; p < TOY_FLOATS; p++)
                t->weight[e][j][p] = (float)base_rng_normal(&rng);
    for (size_t p = 0; p < TOY_IMAGES * TOY_FLOATS; p++)
        t->images[p] = (float)(0.3 + 0.4 * base_rng_uniform(&rng));
    for (size_t i = 0; i < TOY_IMAGES; i++) {
        float logits[TOY_CLASSES_MAX];
        toy_logits(t, logits, t->images + i * TOY_FLOATS, 1, NULL);
        t->labels[i] = attack_predict(logits, classes);
    }
}

static inline int32_t toy_answer(toy *t, size_t i)
{
    float logits[TOY_CLASSES_MAX];

    toy_logits(t, logits, t->images + i * TOY_FLOATS, 1, NULL);
    return attack_predict(logits, t->classes);
}

static inline attack_target toy_target(toy *t)
{
    return (attack_target){.user = t,
                           .classes = t->classes,
                           .channels = TOY_CHANNELS,
                           .height = TOY_SIDE,
                           .width = TOY_SIDE,
                           .batch = TOY_BATCH,
                           .logits = toy_logits,
                           .forward = toy_logits,
                           .gradient = toy_gradient,
                           .signature = t->experts > 1 ? toy_signature : NULL};
}

/* Norm of the smallest change of a linear toy's image i that reaches another class,
 * without the box. */
static inline double toy_distance(const toy *t, size_t i, attack_norm norm)
{
    const float *x = t->images + i * TOY_FLOATS;
    const size_t y = (size_t)t->labels[i];
    double smallest = INFINITY;

    for (size_t j = 0; j < t->classes; j++) {
        double margin = 0, dual = 0;
        for (size_t p = 0; p < TOY_FLOATS && j != y; p++) {
            const double w = (double)t->weight[0][y][p] - (double)t->weight[0][j][p];
            margin += w * ((double)x[p] - 0.5 - (double)t->shift);
            if (norm == ATTACK_NORM_LINF)
                dual += fabs(w);
            else if (norm == ATTACK_NORM_L2)
                dual += w * w;
            else
                dual = fmax(dual, fabs(w));
        }
        if (j != y)
            smallest =
                fmin(smallest, margin / (norm == ATTACK_NORM_L2 ? sqrt(dual) : dual));
    }
    return smallest;
}

/* A finished run of one spec; the caller destroys it. */
static inline attack_run *toy_attack(toy *t, const char *spec, const attack_config *config)
{
    const attack_target target = toy_target(t);
    attack_run *run = NULL;
    base_error err = {0};

    ck_assert_msg(attack_run_create(&run, &target, config, t->images, t->labels, TOY_IMAGES,
                                    &err) == BASE_OK,
                  "%s", err.text);
    ck_assert_msg(attack_run_add(run, spec, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(attack_run_go(run, &err) == BASE_OK, "%s", err.text);
    return run;
}

#endif
