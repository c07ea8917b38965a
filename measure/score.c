/* score.c - counting how right a classifier is. Follows Guo, Pleiss, Sun, Weinberger
 * 2017, "On Calibration of Modern Neural Networks", section 2, for the expected
 * calibration error. Relied on elsewhere: ties go to the lower class number; a bad
 * sample is a wrong answer that has no loss and no confidence. */
#include "measure/measure.h"

#include <assert.h>
#include <math.h>
#include <string.h>

size_t measure_arg_max(const float *row, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

/* log of the sum of exp of the logits, taken out of the largest one: never overflows. */
static double log_sum_exp(const float *logits, size_t classes, double largest)
{
    double sum = 0; /* 1 or more in the end: the largest itself */

    assert(classes > 0);
    for (size_t c = 0; c < classes; c++)
        sum += exp((double)logits[c] - largest);
    return largest + log(sum);
}

measure_verdict measure_verdict_make(const float *logits, size_t classes, int32_t label)
{
    measure_verdict out = {.finite = true};

    for (size_t c = 0; c < classes; c++) {
        if (!isfinite(logits[c]))
            return (measure_verdict){0};
        if (logits[c] > logits[out.predicted])
            out.predicted = c;
    }
    const double largest = (double)logits[out.predicted];
    const double whole = log_sum_exp(logits, classes, largest);

    out.confidence = exp(largest - whole);
    if (label < 0)
        return out;
    const size_t target = (size_t)label;
    for (size_t c = 0; c < classes; c++)
        if (logits[c] > logits[target] || (c < target && logits[c] == logits[target]))
            out.rank++;
    out.loss = whole - (double)logits[target];
    return out;
}

void measure_verdict_top(size_t *classes_out, double *probabilities, size_t count,
                         const float *logits, size_t classes)
{
    size_t have = 0;

    for (size_t c = 0; c < classes; c++) {
        size_t at = have;

        while (at > 0 && logits[c] > logits[classes_out[at - 1]])
            at--;
        if (at >= count)
            continue;
        if (have < count)
            have++;
        memmove(classes_out + at + 1, classes_out + at,
                (have - 1 - at) * sizeof *classes_out);
        classes_out[at] = c;
    }
    if (have == 0)
        return;
    const double whole = log_sum_exp(logits, classes, (double)logits[classes_out[0]]);
    for (size_t i = 0; i < have; i++)
        probabilities[i] = exp((double)logits[classes_out[i]] - whole);
}

static base_status create(measure_score *score, size_t classes, bool whole, base_error *err)
{
    measure_score made = {.classes = classes};

    made.class_total = base_alloc(classes, sizeof *made.class_total);
    made.class_right = base_alloc(classes, sizeof *made.class_right);
    made.predicted = base_alloc(classes, sizeof *made.predicted);
    if (whole)
        made.confusion = base_alloc(classes * classes, sizeof *made.confusion);
    if (!made.class_total || !made.class_right || !made.predicted ||
        (whole && !made.confusion)) {
        measure_score_destroy(&made);
        return base_fail(err, BASE_NO_MEMORY, "no memory to count %zu classes", classes);
    }
    *score = made;
    return BASE_OK;
}

base_status measure_score_create(measure_score *score, size_t classes, base_error *err)
{
    return create(score, classes, classes <= MEASURE_SCORE_CONFUSION_MAX, err);
}

base_status measure_score_create_small(measure_score *score, size_t classes,
                                       base_error *err)
{
    return create(score, classes, false, err);
}

void measure_score_destroy(measure_score *score)
{
    base_free(score->class_total);
    base_free(score->class_right);
    base_free(score->predicted);
    base_free(score->confusion);
    *score = (measure_score){0};
}

/* Bin b holds the confidences in (b / 15, (b + 1) / 15]; 0 belongs to the first. */
static size_t bin_of(double confidence)
{
    const double at = ceil(confidence * MEASURE_SCORE_BINS) - 1;

    return at <= 0 ? 0 : at >= MEASURE_SCORE_BINS ? MEASURE_SCORE_BINS - 1 : (size_t)at;
}

void measure_score_add(measure_score *score, int32_t label, const measure_verdict *verdict)
{
    const size_t target = (size_t)label;

    score->samples++;
    if (label >= 0)
        score->class_total[target]++;
    if (!verdict) {
        score->bad++;
        return;
    }
    const bool right = verdict->rank == 0;
    const size_t bin = bin_of(verdict->confidence);

    score->top1 += right;
    score->top5 += verdict->rank < MEASURE_SCORE_TOP;
    score->loss += verdict->loss;
    score->bin_total[bin]++;
    score->bin_right[bin] += right;
    score->bin_confidence[bin] += verdict->confidence;
    score->class_right[target] += right;
    score->predicted[verdict->predicted]++;
    if (score->confusion)
        score->confusion[target * score->classes + verdict->predicted]++;
}

double measure_score_top1(const measure_score *score)
{
    return score->samples ? (double)score->top1 / (double)score->samples : 0;
}

double measure_score_top5(const measure_score *score)
{
    return score->samples ? (double)score->top5 / (double)score->samples : 0;
}

double measure_score_loss(const measure_score *score)
{
    const uint64_t usable = score->samples - score->bad;

    return usable ? score->loss / (double)usable : (double)NAN;
}

double measure_score_ece(const measure_score *score)
{
    const uint64_t usable = score->samples - score->bad;
    double sum = 0;

    for (size_t b = 0; b < MEASURE_SCORE_BINS; b++)
        sum += fabs((double)score->bin_right[b] - score->bin_confidence[b]);
    return usable ? sum / (double)usable : (double)NAN;
}

size_t measure_score_confused(measure_confused *out, size_t room,
                              const measure_score *score)
{
    size_t have = 0;

    if (!score->confusion || room == 0)
        return 0;
    for (size_t i = 0; i < score->classes * score->classes; i++) {
        const measure_confused pair = {i / score->classes, i % score->classes,
                                       score->confusion[i]};
        size_t at = have;

        if (pair.count == 0 || pair.label == pair.answer)
            continue;
        while (at > 0 && pair.count > out[at - 1].count)
            at--;
        if (at >= room)
            continue;
        if (have < room)
            have++;
        memmove(out + at + 1, out + at, (have - 1 - at) * sizeof *out);
        out[at] = pair;
    }
    return have;
}

size_t measure_rank_among(const float *logits, const bool *among, size_t classes,
                          size_t label)
{
    size_t rank = 0;

    for (size_t c = 0; c < classes; c++)
        rank += among[c] &&
                (logits[c] > logits[label] || (c < label && logits[c] == logits[label]));
    return rank;
}

double measure_confidence_among(const float *logits, const bool *among, size_t classes)
{
    double largest = -INFINITY, sum = 0;

    for (size_t c = 0; c < classes; c++)
        if (among[c])
            largest = fmax(largest, (double)logits[c]);
    for (size_t c = 0; c < classes; c++)
        if (among[c])
            sum += exp((double)logits[c] - largest);
    return 1 / sum;
}
