/* score_internal.h - counting how right a classifier is: top-1, top-5, loss,
 * calibration, confusion.
 *
 *     app_score score;
 *     app_score_create(&score, classes, &err);
 *     app_verdict v = app_verdict_make(logits, classes, label);
 *     app_score_add(&score, label, &v);          in the order of the samples
 *     printf("%.2f %%\n", 100 * app_score_top1(&score));
 *     app_score_destroy(&score);
 * Counts are whole numbers and the loss is added in double in the order of the calls:
 * the result does not depend on batches or threads. */
#ifndef APPS_SCORE_INTERNAL_H
#define APPS_SCORE_INTERNAL_H

#include "base/base.h"

enum {
    APP_SCORE_BINS = 15, /* of equal width (Guo et al. 2017, section 2) */
    APP_SCORE_CONFUSION_MAX =
        2048, /* classes up to which the whole table is kept: 32 MiB */
    APP_SCORE_TOP = 5
};

/* What the logits of one image say. */
typedef struct app_verdict {
    bool finite;       /* false: a logit is NaN or infinite, and nothing else is set */
    size_t predicted;  /* largest logit, the first of equal ones */
    double confidence; /* its softmax probability */
    size_t rank;       /* place of the label, 0: first; equal logits by class number */
    double loss;       /* softmax cross-entropy, nats */
} app_verdict;

/* logits [classes]; label 0..classes - 1, or -1 when unknown (rank and loss are 0 then).
 * In double. Cannot fail. */
app_verdict app_verdict_make(const float *logits, size_t classes, int32_t label);
/* The `count` most probable classes, best first, with their softmax probabilities; count
 * <= classes. */
void app_verdict_top(size_t *classes_out, double *probabilities, size_t count,
                     const float *logits, size_t classes);

typedef struct app_score {
    size_t classes;
    uint64_t samples; /* all, unusable ones included: those count as wrong */
    uint64_t bad;
    uint64_t top1, top5;
    double loss; /* sum over usable samples */
    uint64_t bin_total[APP_SCORE_BINS], bin_right[APP_SCORE_BINS];
    double bin_confidence[APP_SCORE_BINS]; /* sums */
    uint64_t *class_total, *class_right;   /* [classes] by label */
    uint64_t *predicted;                   /* [classes] how often it was the answer */
    uint64_t *confusion; /* [classes, classes] label by answer; NULL when too large */
} app_score;

base_status app_score_create(app_score *score, size_t classes, base_error *err);
/* The same without the table of confusion: some kilobytes for a thousand classes. */
base_status app_score_create_small(app_score *score, size_t classes, base_error *err);
void app_score_destroy(app_score *score);
/* verdict NULL: the sample could not be used. label 0..classes - 1, without a verdict also
 * -1: unknown. */
void app_score_add(app_score *score, int32_t label, const app_verdict *verdict);
/* Fractions 0..1 of all samples; 0 without samples. */
double app_score_top1(const app_score *score);
double app_score_top5(const app_score *score);
/* Mean over usable samples, nats; NaN without any. */
double app_score_loss(const app_score *score);
/* Expected calibration error 0..1: sum over bins of |right - confidence| / usable samples; NaN
 * without any. */
double app_score_ece(const app_score *score);

/* 95 % interval of a fraction right / samples (Wilson 1927): low, high in 0..1. samples
 * >= 1. */
void app_score_interval(double *low, double *high, uint64_t right, uint64_t samples);

/* Two classes that are taken for one another. */
typedef struct app_confused {
    size_t label, answer;
    uint64_t count;
} app_confused;
/* The most frequent mistakes, most frequent first; how many there are, at most room. */
size_t app_score_confused(app_confused *out, size_t room, const app_score *score);

#endif
