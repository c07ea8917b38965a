/* slope.c - C19: the model's input gradient against central differences of its
 * logits, along directions in which no token changes its experts (attacks.md 9.2). A
 * linear function of the logits with random weights is differentiated, so that no loss
 * can saturate; two step lengths are extrapolated to none (Richardson), and directions
 * on which they disagree, or that cross a change of experts, are skipped and counted. */
#include "attacks/checks/checks_internal.h"

#include <math.h>
#include <string.h>

enum { IMAGES = 8, DIRECTIONS = 6, SHRINKS = 6 };

static const double AGREE = 1e-2; /* relative, attacks.md 9.2 */
/* A sound gradient misses AGREE in one of a hundred directions at most (attacks.md 9.2).
 * What is missed is told; a failure is what such a gradient would show less than once in a
 * thousand runs: of 48 slopes from 5 misses on, of 36 from 4 on, of 2 from 2 on. */
static const double STRAY = 0.01, UNLIKELY = 1e-3;
static const double SMOOTH = 5e-3;      /* the two step lengths must agree to this */
static const double FIRST_CHANGE = 0.1; /* of the function, over the logits' scale */
static const double LONGEST = 0.05;     /* root mean square of a step, in pixels */
/* Least change of the function, over the logits' scale. float32 leaves some 3e-7 of that
 * scale in every value: the error of a slope was 1e-4, 2e-4, 1e-3 and 3e-3 at changes of
 * 6e-3, 2e-3, 4e-4 and 1e-4 (540 slopes of the quickstart's network). Single slopes that
 * missed AGREE came from there: shorter steps are not taken. */
static const double SEEN = 2e-4;

typedef struct slopes {
    const attack_bench *bench;
    float *image, *direction, *gradient; /* [D] */
    float *logits, *weight;              /* [classes] */
    uint64_t signature;                  /* of the image itself */
    size_t tested, agreed, skipped;
    double worst; /* relative difference of the tested */
} slopes;

/* sum_j weight_j z_j at x + h direction; *same becomes false when experts changed. */
static base_status value_at(double *value, bool *same, slopes *s, const float *x, double h,
                            base_error *err)
{
    const attack_target *target = &s->bench->run->target;

    for (size_t i = 0; i < s->bench->count; i++)
        s->image[i] = (float)((double)x[i] + h * (double)s->direction[i]);
    const base_status status = target->forward(target->user, s->logits, s->image, 1, err);
    if (status != BASE_OK)
        return status;
    *value = 0;
    for (size_t j = 0; j < s->bench->classes; j++)
        *value += (double)s->weight[j] * (double)s->logits[j];
    if (target->signature) {
        uint64_t signature;
        target->signature(target->user, &signature);
        *same &= signature == s->signature;
    }
    return BASE_OK;
}

/* (f(x + h v) - f(x - h v)) / 2h */
static base_status central(double *slope, bool *same, slopes *s, const float *x, double h,
                           base_error *err)
{
    double plus = 0, minus = 0;
    base_status status = value_at(&plus, same, s, x, h, err);

    if (status == BASE_OK)
        status = value_at(&minus, same, s, x, -h, err);
    *slope = (plus - minus) / (2 * h);
    return status;
}

/* One direction, from the longest step down until experts stay and the slope is smooth. */
static base_status try_direction(slopes *s, const float *x, double expected, double scale,
                                 base_error *err)
{
    const double longest = LONGEST * sqrt((double)s->bench->count);
    double h = fabs(expected) > 0 ? FIRST_CHANGE * scale / fabs(expected) : longest;

    h = fmin(h, longest);
    for (int turn = 0; turn < SHRINKS; turn++, h /= 4) {
        double wide, narrow;
        bool same = true;
        base_status status = central(&wide, &same, s, x, h, err);
        if (status == BASE_OK)
            status = central(&narrow, &same, s, x, h / 2, err);
        if (status != BASE_OK)
            return status;
        if (fabs(narrow) * h < SEEN * scale && fabs(expected) * h < SEEN * scale)
            break;
        if (!same || !(fabs(wide - narrow) <= SMOOTH * fabs(narrow)))
            continue;
        const double measured = (4 * narrow - wide) / 3;
        const double larger = fmax(fabs(measured), fabs(expected));
        const double error = larger > 0 ? fabs(measured - expected) / larger : 0;
        s->tested++;
        s->agreed += error <= AGREE;
        s->worst = fmax(s->worst, error);
        return BASE_OK;
    }
    s->skipped++;
    return BASE_OK;
}

/* Half along the gradient, half random, so that the slope stands out of float32's noise. */
static double choose_direction(slopes *s, base_rng *rng)
{
    const size_t count = s->bench->count;
    const double g = attack_norm2(s->gradient, count);
    double slope = 0;

    for (size_t i = 0; i < count; i++)
        s->direction[i] = (float)base_rng_normal(rng);
    const double u = attack_norm2(s->direction, count);
    for (size_t i = 0; i < count; i++)
        s->direction[i] =
            (float)((double)s->direction[i] / u + (g > 0 ? (double)s->gradient[i] / g : 0));
    const double norm = attack_norm2(s->direction, count);
    for (size_t i = 0; i < count; i++) {
        s->direction[i] = (float)((double)s->direction[i] / norm);
        slope += (double)s->gradient[i] * (double)s->direction[i];
    }
    return slope;
}

static base_status try_image(slopes *s, size_t i, base_error *err)
{
    const attack_bench *bench = s->bench;
    const attack_target *target = &bench->run->target;
    const float *x = bench->images + i * bench->count;
    double scale = 0;
    base_rng rng = base_rng_make(bench->run->config.seed, BASE_PURPOSE_ATTACK, 0xc19,
                                 bench->samples[i], 0);

    for (size_t j = 0; j < bench->classes; j++)
        s->weight[j] = (float)base_rng_normal(&rng);
    base_status status = target->forward(target->user, s->logits, x, 1, err);
    if (status == BASE_OK && target->signature)
        target->signature(target->user, &s->signature);
    if (status == BASE_OK)
        status = target->gradient(target->user, s->gradient, s->weight, err);
    for (size_t j = 0; j < bench->classes; j++)
        scale += fabs((double)s->weight[j] * (double)s->logits[j]);
    for (int turn = 0; turn < DIRECTIONS && status == BASE_OK; turn++) {
        const double expected = choose_direction(s, &rng);
        status = try_direction(s, x, expected, scale, err);
    }
    return status;
}

double attack_binomial_tail(size_t k, size_t n, double p)
{
    double term = pow(1 - p, (double)n), below = 0;

    for (size_t i = 0; i < k && i <= n; i++) {
        below += term;
        term *= (double)(n - i) / (double)(i + 1) * p / (1 - p);
    }
    return fmin(fmax(1 - below, 0), 1);
}

base_status attack_checks_slope(attack_bench *bench, base_error *err)
{
    attack_check *check = attack_bench_check(bench, 19);
    float *block = base_alloc(3 * bench->count + 2 * bench->classes, sizeof(float));
    slopes s = {.bench = bench};
    base_status status = BASE_OK;

    attack_bench_begin(bench, 19);
    if (!block)
        return base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    s.image = block;
    s.direction = s.image + bench->count;
    s.gradient = s.direction + bench->count;
    s.logits = s.gradient + bench->count;
    s.weight = s.logits + bench->classes;
    for (size_t i = 0; i < bench->n && i < IMAGES && status == BASE_OK; i++)
        status = try_image(&s, i, err);
    base_free(block);
    if (status != BASE_OK)
        return status;
    if (s.tested == 0) {
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, UNLIKELY,
                         "no direction of %zu keeps every expert and is smooth", s.skipped);
        return BASE_OK;
    }
    const size_t missed = s.tested - s.agreed;
    const double chance = attack_binomial_tail(missed, s.tested, STRAY);
    char odds[96] = "";
    if (missed > 0)
        snprintf(odds, sizeof odds, "; %g of all would miss so many with probability %.2g",
                 STRAY, chance);
    attack_check_set(check,
                     missed == 0         ? ATTACK_VERDICT_PASS
                     : chance < UNLIKELY ? ATTACK_VERDICT_FAIL
                                         : ATTACK_VERDICT_WARN,
                     chance, UNLIKELY,
                     "%zu of %zu slopes agree within %g (worst %.2g)%s; %zu directions "
                     "skipped where experts change or the slope is not smooth",
                     s.agreed, s.tested, AGREE, s.worst, odds, s.skipped);
    return BASE_OK;
}
