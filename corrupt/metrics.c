/* metrics.c - from errors to the figures of the paper: CE, mCE and their relative forms.
 * Hendrycks and Dietterich 2019, section 4.3. Free to change: nothing; the figures are
 * compared with published ones. */
#include "corrupt/corrupt_internal.h"

#include <math.h>

/* Sum over the severities of error less clean: the numerator of CE with clean 0. */
static double sum_above(const corrupt_errors *errors, corrupt_kind kind, double clean)
{
    double sum = 0.0;

    for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++)
        sum += errors->error[kind][s] - clean;
    return sum;
}

static double alexnet_above(corrupt_kind kind, double clean)
{
    double sum = 0.0;

    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
        sum += corrupt_alexnet_error(kind, s) - clean;
    return sum;
}

double corrupt_ce(const corrupt_errors *errors, corrupt_kind kind)
{
    return sum_above(errors, kind, 0.0) / alexnet_above(kind, 0.0);
}

double corrupt_relative_ce(const corrupt_errors *errors, corrupt_kind kind,
                           double alexnet_clean)
{
    return sum_above(errors, kind, errors->clean) / alexnet_above(kind, alexnet_clean);
}

double corrupt_mce(const corrupt_errors *errors)
{
    double sum = 0.0;

    for (int kind = 0; kind < CORRUPT_BENCH_COUNT; kind++)
        sum += corrupt_ce(errors, (corrupt_kind)kind);
    return sum / CORRUPT_BENCH_COUNT;
}

double corrupt_relative_mce(const corrupt_errors *errors, double alexnet_clean)
{
    double sum = 0.0;

    for (int kind = 0; kind < CORRUPT_BENCH_COUNT; kind++)
        sum += corrupt_relative_ce(errors, (corrupt_kind)kind, alexnet_clean);
    return sum / CORRUPT_BENCH_COUNT;
}

double corrupt_mean_error(const corrupt_errors *errors, corrupt_kind kind)
{
    double sum = 0.0;
    int measured = 0;

    for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++) {
        if (isnan(errors->error[kind][s]))
            continue;
        sum += errors->error[kind][s];
        measured++;
    }
    return measured ? sum / measured : (double)NAN;
}

double corrupt_bench_error(const corrupt_errors *errors)
{
    double sum = 0.0;

    for (int kind = 0; kind < CORRUPT_BENCH_COUNT; kind++)
        sum += corrupt_mean_error(errors, (corrupt_kind)kind);
    return sum / CORRUPT_BENCH_COUNT;
}
