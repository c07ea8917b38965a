/* loss.c - cross-entropy of soft targets in its softmax and its sigmoid form, and the
 * targets of mixed, smoothed labels. Sums run in double precision and in sample order,
 * whatever the threads.
 *   softmax: loss_i = -sum_k t_ik log p_ik, gradient sum(t_i) p_ik - t_ik
 *   sigmoid: loss_i = sum_k log(1 + exp(z_ik)) - t_ik z_ik, gradient sigmoid(z_ik) - t_ik
 *            (Beyer et al. 2020, "Are we done with ImageNet?"; V-MoE trains with it)
 * Label smoothing after Szegedy et al. 2016, mixup after Zhang et al. 2018. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "vit/vit.h"

enum { BLOCK = 64 }; /* samples whose losses wait for their turn in the sum */

/* d [classes] may be NULL; factor is of the gradient. */
static double softmax_sample(float *d, const float *z, const float *t, size_t classes,
                             double factor)
{
    double top = z[0];
    double sum = 0;
    double mass = 0; /* of the targets: 1 but for odd mixtures */
    double loss = 0;

    assert(classes > 0);
    for (size_t k = 1; k < classes; k++)
        if ((double)z[k] > top)
            top = (double)z[k];
    for (size_t k = 0; k < classes; k++) {
        sum += exp((double)z[k] - top);
        mass += (double)t[k];
    }
    const double log_sum = log(sum);
    for (size_t k = 0; k < classes; k++)
        if (t[k] != 0.0f)
            loss -= (double)t[k] * ((double)z[k] - top - log_sum);
    for (size_t k = 0; d && k < classes; k++)
        d[k] = (float)(factor * (mass * exp((double)z[k] - top - log_sum) - (double)t[k]));
    return loss;
}

static double sigmoid_sample(float *d, const float *z, const float *t, size_t classes,
                             double factor)
{
    double loss = 0;

    for (size_t k = 0; k < classes; k++) {
        const double x = (double)z[k];
        const double small = exp(-fabs(x)); /* in (0, 1]: neither branch overflows */
        loss += fmax(x, 0) - (double)t[k] * x + log1p(small);
        if (d)
            d[k] = (float)(factor * ((x >= 0 ? 1 / (1 + small) : small / (1 + small)) -
                                     (double)t[k]));
    }
    return loss;
}

double vit_loss_compute(vit_loss kind, float *d_logits, float *per_sample,
                        const float *logits, const float *targets, size_t batch,
                        size_t classes, double scale)
{
    const double factor = scale / (double)batch;
    double total = 0;

    for (size_t first = 0; first < batch; first += BLOCK) {
        const size_t count = batch - first < BLOCK ? batch - first : BLOCK;
        double loss[BLOCK];
#pragma omp parallel for if (count * classes > 4096)
        for (size_t i = 0; i < count; i++) {
            const size_t at = (first + i) * classes;
            float *d = d_logits ? d_logits + at : NULL;
            loss[i] = kind == VIT_LOSS_SOFTMAX
                          ? softmax_sample(d, logits + at, targets + at, classes, factor)
                          : sigmoid_sample(d, logits + at, targets + at, classes, factor);
        }
        for (size_t i = 0; i < count; i++) {
            total += loss[i];
            if (per_sample) /* the largest float, not infinity, for logits near it */
                per_sample[first + i] =
                    loss[i] > (double)FLT_MAX ? FLT_MAX : (float)loss[i];
        }
    }
    return total / (double)batch;
}

void vit_targets_fill(float *targets, const int32_t *a, const int32_t *b,
                      const float *weight_a, size_t batch, size_t classes, double smoothing)
{
    const float low = (float)(smoothing / (double)classes);

    for (size_t i = 0; i < batch; i++) {
        float *t = targets + i * classes;
        const double share = weight_a && b ? (double)weight_a[i] : 1;
        assert(a[i] >= 0 && (size_t)a[i] < classes);
        for (size_t k = 0; k < classes; k++)
            t[k] = low;
        t[a[i]] = (float)((double)t[a[i]] + (1 - smoothing) * share);
        if (b && share != 1) {
            assert(b[i] >= 0 && (size_t)b[i] < classes);
            t[b[i]] = (float)((double)t[b[i]] + (1 - smoothing) * (1 - share));
        }
    }
}
