/* detection.c - how well a score tells positives from negatives: average precision, area
 * under the ROC curve, false positives at 95 % recall. Equal scores share their place, as
 * in scikit-learn. */
#include "measure/measure.h"

#include <math.h>
#include <stdlib.h>

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

measure_detection measure_detection_of(double *positive, size_t p, double *negative,
                                       size_t n)
{
    measure_detection out = {0};
    size_t tp = 0, fp = 0;
    double nearest = 2;

    qsort(positive, p, sizeof *positive, descending);
    qsort(negative, n, sizeof *negative, descending);
    while (tp < p || fp < n) { /* one distinct score a round, from the largest */
        const size_t tp_before = tp, fp_before = fp;
        const double score = fp == n   ? positive[tp]
                             : tp == p ? negative[fp]
                                       : fmax(positive[tp], negative[fp]);
        while (tp < p && !(positive[tp] < score))
            tp++;
        while (fp < n && !(negative[fp] < score))
            fp++;
        const double taken = (double)(tp - tp_before), recall = (double)tp / (double)p;
        out.aupr += taken / (double)p * ((double)tp / (double)(tp + fp));
        out.auroc += taken * ((double)(n - fp) + (double)(fp - fp_before) / 2);
        /* The nearest to 95 %, of equally near ones the higher. */
        if (tp > tp_before && fabs(recall - 0.95) <= nearest) {
            nearest = fabs(recall - 0.95);
            out.fpr95 = (double)fp / (double)n;
        }
    }
    out.auroc /= (double)p * (double)n;
    return out;
}
