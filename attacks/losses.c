/* losses.c - what an attacker maximises: value and gradient over the logits of one image.
 * Cross-entropy, margin (Carlini and Wagner 2017) and the difference of logits ratio (Croce
 * and Hein 2020, "Reliable evaluation of adversarial robustness", section 4), each also
 * towards a target. Relied on elsewhere: ties go to the lowest class; too few classes fall
 * back, never fail. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

static const double TINY =
    1e-12; /* keeps the ratio of dlr finite when all its logits agree */

const char *attack_loss_name(attack_loss loss)
{
    static const char *const names[] = {"ce",  "ce-target",  "margin",      "margin-target",
                                        "dlr", "dlr-target", "reach-target"};

    return names[loss];
}

attack_loss attack_loss_fallback(attack_loss loss, size_t classes)
{
    if (loss == ATTACK_LOSS_DLR && classes < 3)
        return ATTACK_LOSS_MARGIN;
    if (loss == ATTACK_LOSS_DLR_TARGET && classes < 4)
        return ATTACK_LOSS_MARGIN_TARGET;
    return loss;
}

int32_t attack_predict(const float *logits, size_t classes)
{
    size_t best = 0;

    for (size_t c = 0; c < classes; c++) {
        if (!isfinite(logits[c]))
            return -1;
        if (logits[c] > logits[best])
            best = c;
    }
    return (int32_t)best;
}

/* The largest logit but that of `but`, lowest class on ties; classes >= 2. */
static size_t best_other(const float *logits, size_t classes, size_t but)
{
    size_t best = but == 0 ? 1 : 0;

    for (size_t c = best + 1; c < classes; c++)
        if (c != but && logits[c] > logits[best])
            best = c;
    return best;
}

double attack_margin(const float *logits, size_t classes, int32_t label)
{
    if (classes < 2 || attack_predict(logits, classes) < 0)
        return NAN;
    return (double)logits[label] -
           (double)logits[best_other(logits, classes, (size_t)label)];
}

/* Classes of the count <= 4 largest logits, lowest class first on ties. */
static void largest(size_t *order, size_t count, const float *logits, size_t classes)
{
    size_t have = 0;

    for (size_t c = 0; c < classes; c++) {
        size_t at = have;
        while (at > 0 && logits[c] > logits[order[at - 1]])
            at--;
        if (at >= count)
            continue;
        if (have < count)
            have++;
        for (size_t i = have - 1; i > at; i--)
            order[i] = order[i - 1];
        order[at] = c;
    }
}

/* log sum exp z - z_c for c = one, negated when towards a target; gradient +-(softmax -
 * e_one). */
static double cross_entropy(float *d, const float *z, size_t classes, size_t one,
                            double sign)
{
    double top = (double)z[0], sum = 0;

    for (size_t c = 1; c < classes; c++)
        if ((double)z[c] > top)
            top = (double)z[c];
    for (size_t c = 0; c < classes; c++)
        sum += exp((double)z[c] - top);
    for (size_t c = 0; d && c < classes; c++)
        d[c] = (float)(sign * (exp((double)z[c] - top) / sum - (c == one)));
    return sign * (log(sum) + top - (double)z[one]);
}

/* Adds value to the gradient of class c; d may be NULL. */
static void put(float *d, size_t c, double value)
{
    if (d)
        d[c] += (float)value;
}

/* (z_up - z_y) / (z_1 - z_3): up is the best wrong class. */
static double dlr(float *d, const float *z, size_t classes, size_t y)
{
    size_t order[3];
    const size_t up = best_other(z, classes, y);

    largest(order, 3, z, classes);
    const double q = (double)z[order[0]] - (double)z[order[2]] + TINY;
    const double value = ((double)z[up] - (double)z[y]) / q;
    put(d, up, 1 / q);
    put(d, y, -1 / q);
    put(d, order[0], -value / q);
    put(d, order[2], value / q);
    return value;
}

/* (z_t - z_y) / (z_1 - (z_3 + z_4) / 2). */
static double dlr_target(float *d, const float *z, size_t classes, size_t y, size_t t)
{
    size_t order[4];

    largest(order, 4, z, classes);
    const double q =
        (double)z[order[0]] - ((double)z[order[2]] + (double)z[order[3]]) / 2 + TINY;
    const double value = ((double)z[t] - (double)z[y]) / q;
    put(d, t, 1 / q);
    put(d, y, -1 / q);
    put(d, order[0], -value / q);
    put(d, order[2], value / (2 * q));
    put(d, order[3], value / (2 * q));
    return value;
}

double attack_loss_compute(float *d_logits, attack_loss loss, const float *logits,
                           size_t classes, int32_t label, int32_t target)
{
    const size_t y = (size_t)label, t = (size_t)target;

    loss = attack_loss_fallback(loss, classes);
    if (d_logits)
        memset(d_logits, 0, classes * sizeof *d_logits);
    if (classes < 2) /* nothing else to become */
        return 0;
    switch (loss) {
    case ATTACK_LOSS_CE: return cross_entropy(d_logits, logits, classes, y, 1);
    case ATTACK_LOSS_CE_TARGET: return cross_entropy(d_logits, logits, classes, t, -1);
    case ATTACK_LOSS_DLR: return dlr(d_logits, logits, classes, y);
    case ATTACK_LOSS_DLR_TARGET: return dlr_target(d_logits, logits, classes, y, t);
    case ATTACK_LOSS_MARGIN:
    case ATTACK_LOSS_MARGIN_TARGET:
    case ATTACK_LOSS_REACH_TARGET: break;
    }
    const size_t up = loss == ATTACK_LOSS_MARGIN ? best_other(logits, classes, y) : t;
    const size_t down =
        loss == ATTACK_LOSS_REACH_TARGET ? best_other(logits, classes, t) : y;
    put(d_logits, up, 1);
    put(d_logits, down, -1);
    return (double)logits[up] - (double)logits[down];
}
