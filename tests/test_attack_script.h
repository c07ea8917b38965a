/* test_attack_script.h - a model whose answers are written down, evaluation by evaluation:
 * eight images, what it says of them, and the target that it is. */
#ifndef TESTS_TEST_ATTACK_SCRIPT_H
#define TESTS_TEST_ATTACK_SCRIPT_H

#include "attacks/attacks.h"

#include <check.h>
#include <math.h>
#include <string.h>

enum { PIXELS = 6, SAMPLES = 8, EVALUATIONS = 20, KNOWN = 200 };
static const double EPS = 0.01;

/* What the model says of the evaluations of each image: z_0 - z_1, label 0; NAN: no number.
 * The first is of the image itself. An image that comes back gets the same answer. */
typedef struct script {
    double margin[SAMPLES][EVALUATIONS];
    size_t asked[SAMPLES];
    bool forgets[SAMPLES]; /* says 0.7 of what comes back */
    bool flat[SAMPLES];    /* has no gradient */
    bool rounds[SAMPLES];  /* wrong on 8 bits too */
    struct {
        float at[PIXELS];
        double margin;
    } known[KNOWN];
    size_t known_count, last[SAMPLES], last_count; /* of the last pass: images */
} script;

static script play;
static float images[SAMPLES * PIXELS];
static const int32_t labels[SAMPLES];

static inline double next_margin(const float *x)
{
    const size_t sample = (size_t)lround(10 * (double)x[0] - 1);
    bool whole = true;

    play.last[play.last_count++] = sample;
    for (size_t i = 0; i < play.known_count; i++)
        if (memcmp(play.known[i].at, x, sizeof play.known[i].at) == 0)
            return play.forgets[sample] && i >= SAMPLES ? 0.7 : play.known[i].margin;
    for (size_t i = 0; i < PIXELS; i++)
        whole = whole && x[i] == rintf(255 * x[i]) / 255;
    if (whole && play.known_count >= SAMPLES)
        return play.rounds[sample] ? -1 : 1;
    ck_assert_uint_lt(play.known_count, KNOWN);
    ck_assert_uint_lt(play.asked[sample], EVALUATIONS);
    memcpy(play.known[play.known_count].at, x, sizeof play.known[0].at);
    return play.known[play.known_count++].margin =
               play.margin[sample][play.asked[sample]++];
}

static size_t batch = 1;

static inline base_status answer(void *user, float *logits, const float *x, size_t count,
                                 base_error *err)
{
    (void)user, (void)err;
    ck_assert(count >= 1 && count <= batch);
    play.last_count = 0;
    for (size_t i = 0; i < count; i++) {
        const double margin = next_margin(x + i * PIXELS);

        logits[2 * i] = isnan(margin) ? NAN : (float)(margin > 0 ? margin : 0);
        logits[2 * i + 1] = (float)(margin > 0 ? 0 : -margin);
    }
    return BASE_OK;
}

static inline base_status slope(void *user, float *d_images, const float *d_logits,
                                base_error *err)
{
    (void)user, (void)err, (void)d_logits;
    for (size_t i = 0; i < play.last_count * PIXELS; i++)
        d_images[i] = play.flat[play.last[i / PIXELS]] ? 0 : i % 2 ? 1.0f : -1.0f;
    return BASE_OK;
}

/* 0: broken at step 3. 1: in the second round. 2: never. 3: no number on the way. 4: wrong
 * before. 5: wrong, but not when asked again. 6: no gradient. 7: at the start, not in 8
 * bits. */
static inline void write_script(void)
{
    static const script s = {.margin = {{4, 3, 2, 1, -1},
                                        {4, 3, 2, 4, 1, 2, 5, 4, -2},
                                        {4, 1, 2, 3, 4, 0.25, 9, 8, 7, 6, 0.5, 3, 3},
                                        {4, 2, 2, NAN, 1, 1, 1, 1, 1, 3, -6},
                                        {-3},
                                        {4, 2, -1, 3, -2, 1, 1},
                                        {4, 2, 3, 1, 1},
                                        {4, -2, 5, -4, 3}},
                             .forgets = {[5] = true},
                             .flat = {[6] = true},
                             .rounds = {true, true, true, true, true, true, true, false}};

    play = s;
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t j = 0; j < PIXELS; j++)
            images[i * PIXELS + j] = 0.1f * (float)(i + 1) + 0.001f * (float)j;
}

typedef base_status script_logits(void *user, float *logits, const float *x, size_t count,
                                  base_error *err);

/* Two classes, images of 2 x 3; rows: of a batch. */
static inline attack_target script_target(size_t rows, script_logits *logits)
{
    return (attack_target){.classes = 2,
                           .channels = 1,
                           .height = 2,
                           .width = 3,
                           .batch = rows,
                           .logits = logits,
                           .forward = logits,
                           .gradient = slope};
}

static inline attack_config script_config(void)
{
    attack_config config = attack_config_defaults();

    config.eps = EPS;
    return config;
}

#endif
