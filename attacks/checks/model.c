/* model.c - checks of the model itself, without an attack: C10 gradients at the
 * start, C13 repeatable and independent of neighbours, C14 logits. */
#include "attacks/checks/checks_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKED_AT = 64, /* images of C13, right or not */
    TURNS = 5,      /* evaluations of one batch (attacks.md 9.3) */
    CROWD = 8,      /* an image and its neighbours' copies */
    CROWDED = 16    /* images of C13 that are put beside copies */
};

static const double AGREE = 1e-4; /* of logits (attacks.md 9.3, 9.4) */

/* ---- C10 ----------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Counts clean images whose gradient of the loss is zero to the last number; norms [n]
 * may be NULL. */
static base_status zero_gradients(size_t *zero, double *norms, const attack_bench *bench,
                                  attack_loss loss, float *logits, float *d_logits,
                                  float *gradients, base_error *err)
{
    const attack_target *target = &bench->run->target;
    const size_t batch = target->batch, classes = bench->classes;

    *zero = 0;
    for (size_t first = 0; first < bench->n; first += batch) {
        const size_t count = bench->n - first < batch ? bench->n - first : batch;
        base_status status = target->forward(
            target->user, logits, bench->images + first * bench->count, count, err);
        for (size_t i = 0; i < count && status == BASE_OK; i++)
            attack_loss_compute(d_logits + i * classes, loss, logits + i * classes, classes,
                                bench->labels[first + i], -1);
        if (status == BASE_OK)
            status = target->gradient(target->user, gradients, d_logits, err);
        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < count; i++) {
            const double norm = attack_norm2(gradients + i * bench->count, bench->count);
            *zero += norm == 0;
            if (norms)
                norms[first + i] = norm;
        }
    }
    return BASE_OK;
}

static base_status gradients(attack_bench *bench, base_error *err)
{
    attack_check *check = attack_bench_check(bench, 10);
    const size_t batch = bench->run->target.batch, n = bench->n;
    size_t ce = 0, margin = 0, dlr = 0;

    if (n == 0) {
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         "no image is classified rightly");
        return BASE_OK;
    }
    float *logits = base_alloc(batch, 2 * bench->classes * sizeof(float));
    float *pixels = base_alloc(batch, bench->count * sizeof(float));
    double *norms = base_alloc(n, sizeof *norms);
    if (!logits || !pixels || !norms) {
        base_free(logits);
        base_free(pixels);
        base_free(norms);
        return base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    }
    float *d_logits = logits + batch * bench->classes;
    base_status status =
        zero_gradients(&ce, norms, bench, ATTACK_LOSS_CE, logits, d_logits, pixels, err);
    if (status == BASE_OK)
        status = zero_gradients(&margin, NULL, bench, ATTACK_LOSS_MARGIN, logits, d_logits,
                                pixels, err);
    if (status == BASE_OK && bench->classes >= 3)
        status = zero_gradients(&dlr, NULL, bench, ATTACK_LOSS_DLR, logits, d_logits,
                                pixels, err);
    if (status == BASE_OK) {
        qsort(norms, n, sizeof *norms, by_value);
        attack_verdict_gradients(bench, ce, margin, dlr, norms[n / 2]);
    }
    base_free(logits);
    base_free(pixels);
    base_free(norms);
    return status;
}

/* ---- C13 ----------------------------------------------------------------------------- */

typedef struct difference {
    double largest; /* of logits over the scale of the image's */
    size_t flipped; /* predictions */
    size_t unknown; /* images with a logit that is not finite */
} difference;

/* scaled: over the image's L2 norm (9.3); else over max(1, largest magnitude) (9.4). */
static void compare(difference *d, const float *a, const float *b, size_t classes,
                    bool scaled)
{
    const int32_t p = attack_predict(a, classes), q = attack_predict(b, classes);
    double na = 1, nb = 1;

    if (p < 0 || q < 0) {
        d->unknown++;
        d->flipped += (p < 0) != (q < 0);
        return;
    }
    if (scaled) {
        na = fmax(attack_norm2(a, classes), 1e-12);
        nb = fmax(attack_norm2(b, classes), 1e-12);
    } else {
        for (size_t j = 0; j < classes; j++)
            na = fmax(na, fabs((double)a[j]));
        nb = na;
    }
    for (size_t j = 0; j < classes; j++)
        d->largest = fmax(d->largest, fabs((double)a[j] / na - (double)b[j] / nb));
    d->flipped += p != q;
}

/* The same images in another order, alone, or beside copies of the first one. */
static base_status neighbours(difference *d, const attack_run *run, const float *together,
                              size_t n, float *images, float *logits, base_error *err)
{
    const attack_target *target = &run->target;
    const size_t bytes = run->count * sizeof(float), classes = target->classes;
    const size_t batch = target->batch;
    base_status status = BASE_OK;

    for (size_t i = 0; i < n && status == BASE_OK; i++) {
        status = target->logits(target->user, logits, run->images + i * run->count, 1, err);
        if (status == BASE_OK)
            compare(d, together + i * classes, logits, classes, false);
    }
    for (size_t first = 0; first < n && status == BASE_OK; first += batch) { /* reversed */
        const size_t count = n - first < batch ? n - first : batch;
        for (size_t i = 0; i < count; i++)
            memcpy(images + i * run->count, run->images + (n - 1 - first - i) * run->count,
                   bytes);
        status = target->logits(target->user, logits, images, count, err);
        for (size_t i = 0; i < count && status == BASE_OK; i++)
            compare(d, together + (n - 1 - first - i) * classes, logits + i * classes,
                    classes, false);
    }
    const size_t crowd = CROWD < batch ? CROWD : batch;
    for (size_t i = 0; i < n && i < CROWDED && status == BASE_OK; i++) {
        for (size_t j = 0; j < crowd; j++)
            memcpy(images + j * run->count, run->images, bytes);
        memcpy(images + (crowd - 1) * run->count, run->images + i * run->count, bytes);
        status = target->logits(target->user, logits, images, crowd, err);
        if (status == BASE_OK)
            compare(d, together + i * classes, logits + (crowd - 1) * classes, classes,
                    false);
    }
    return status;
}

static base_status repeatable(attack_bench *bench, base_error *err)
{
    const attack_run *run = bench->run;
    const size_t n = run->n < LOOKED_AT ? run->n : LOOKED_AT, classes = bench->classes;
    const size_t batch = run->target.batch;
    difference again = {0}, beside = {0};
    float *first = base_alloc(n, 2 * classes * sizeof(float));
    float *images = base_alloc(batch, run->count * sizeof(float));
    float *logits = base_alloc(batch, classes * sizeof(float));

    if (!first || !images || !logits) {
        base_free(first);
        base_free(images);
        base_free(logits);
        return base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    }
    base_status status =
        attack_bench_logits(&run->target, first, run->images, n, batch, err);
    for (int turn = 1; turn < TURNS && status == BASE_OK; turn++) {
        float *second = first + n * classes;
        status = attack_bench_logits(&run->target, second, run->images, n, batch, err);
        for (size_t i = 0; i < n && status == BASE_OK; i++)
            compare(&again, first + i * classes, second + i * classes, classes, true);
    }
    if (status == BASE_OK)
        status = neighbours(&beside, run, first, n, images, logits, err);
    if (status == BASE_OK) {
        const bool random = again.flipped > 0 || again.largest > AGREE;
        const bool depends = beside.flipped > 0 || beside.largest > AGREE;
        const bool unknown = again.unknown > 0 && !random && !depends;
        attack_check_set(
            attack_bench_check(bench, 13),
            random || depends ? ATTACK_VERDICT_FAIL
            : unknown         ? ATTACK_VERDICT_WARN
                              : ATTACK_VERDICT_PASS,
            fmax(again.largest, beside.largest), AGREE,
            "%zu images: %d evaluations differ by %.2g, %zu flips%s; alone, reordered or "
            "beside copies by %.2g, %zu flips%s%s",
            n, TURNS, again.largest, again.flipped,
            random ? " (F-RANDOM: use preset rand)" : "", beside.largest, beside.flipped,
            depends && !random ? " (F-BATCH: route without capacity)" : "",
            unknown ? "; some logits are not finite" : "");
    }
    base_free(first);
    base_free(images);
    base_free(logits);
    return status;
}

/* ---- C14 ----------------------------------------------------------------------------- */

/* Probabilities: none below 0, sum 1. */
static bool is_distribution(const float *z, size_t classes)
{
    double sum = 0;
    bool inside = true;

    for (size_t j = 0; j < classes; j++) {
        inside &= z[j] >= 0;
        sum += (double)z[j];
    }
    return inside && fabs(sum - 1) <= 1e-5;
}

static void outputs(attack_bench *bench)
{
    const attack_run *run = bench->run;
    size_t distributions = 0;

    for (size_t i = 0; i < run->n; i++)
        distributions +=
            is_distribution(run->clean_logits + i * bench->classes, bench->classes);
    attack_check_set(
        attack_bench_check(bench, 14),
        distributions == run->n ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS,
        (double)distributions, (double)run->n,
        "%zu of %zu outputs lie in 0..1 and sum to 1: the model gives %s", distributions,
        run->n, distributions == run->n ? "probabilities, which hide gradients" : "logits");
}

base_status attack_checks_model(attack_bench *bench, base_error *err)
{
    attack_bench_begin(bench, 14);
    outputs(bench);
    attack_bench_begin(bench, 13);
    const base_status status = repeatable(bench, err);
    attack_bench_begin(bench, 10);
    return status == BASE_OK ? gradients(bench, err) : status;
}
