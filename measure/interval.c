/* interval.c - how far a figure can be trusted: the interval of a fraction, mean and
 * standard deviation over seeds, whether a difference is more than chance makes likely.
 * Wilson 1927; Student's paired t test; McNemar 1947. Cannot fail. Relied on elsewhere:
 * values that are not finite are left out. */
#include "measure/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void measure_interval(double *low, double *high, uint64_t right, uint64_t samples)
{
    const double z = 1.959964; /* 97.5 % point of the normal distribution */
    const double n = (double)samples;
    const double p = (double)right / n;
    const double q = z * z / n;
    const double centre = (p + q / 2) / (1 + q);
    const double half = z * sqrt(p * (1 - p) / n + q / (4 * n)) / (1 + q);

    *low = fmax(centre - half, 0);
    *high = fmin(centre + half, 1);
}

/* Of every step-th of a, or of a - b, count of them; NaN are left out. */
static measure_mean mean_of(const double *a, const double *b, size_t step, size_t count)
{
    measure_mean s = {.mean = (double)NAN, .std = (double)NAN};
    double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;

    for (size_t i = 0; i < count; i++) {
        const double value = b ? a[i * step] - b[i * step] : a[i * step];

        if (isfinite(value)) {
            sum += value;
            low = fmin(low, value);
            high = fmax(high, value);
            s.count++;
        }
    }
    if (s.count == 0)
        return s;
    s.mean =
        low == high ? low : sum / (double)s.count; /* equal ones have no spread at all */
    for (size_t i = 0; i < count; i++) {
        const double value = b ? a[i * step] - b[i * step] : a[i * step];

        if (isfinite(value))
            squares += (value - s.mean) * (value - s.mean);
    }
    if (s.count > 1)
        s.std = sqrt(squares / (double)(s.count - 1));
    return s;
}

measure_mean measure_mean_of(const double *values, size_t count)
{
    return mean_of(values, NULL, 1, count);
}

double measure_t_limit(size_t df)
{
    static const double table[] = {
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
        2.2010,  2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
        2.0796,  2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423};
    enum { ROWS = sizeof table / sizeof table[0] };
    const double z = 1.959963985, n = (double)df;

    if (df == 0)
        return INFINITY;
    if (df <= ROWS)
        return table[df - 1];
    /* Cornish and Fisher's expansion about the normal quantile (Abramowitz and Stegun
     * 26.7.5). */
    return z + (pow(z, 3) + z) / (4 * n) +
           (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * n * n);
}

static measure_difference difference_of(const double *a, const double *b, size_t step,
                                        size_t count)
{
    const measure_mean s = mean_of(a, b, step, count);
    measure_difference d = {.count = s.count,
                            .points = s.mean,
                            .spread = s.std,
                            .spreads = (double)NAN,
                            .limit = (double)NAN};
    if (s.count > 1)
        d.limit = measure_t_limit(s.count - 1) / sqrt((double)s.count);
    if (d.spread > 0) {
        d.spreads = d.points / d.spread;
        d.clear = fabs(d.spreads) > d.limit;
    }
    return d;
}

measure_difference measure_difference_of(const double *a, const double *b, size_t count)
{
    return difference_of(a, b, 1, count);
}

/* Differences without any spread over seeds are what they are: numbers of parameters. */
static bool is_clear(const measure_difference *d)
{
    return d->count > 1 && (d->clear || (d->spread == 0 && d->points != 0));
}

const char *measure_difference_word(const measure_difference *d, int better)
{
    if (d->count < 2 || !isfinite(d->points))
        return NULL;
    if (!is_clear(d))
        return "not to be told apart";
    if (better == 0)
        return d->points > 0 ? "more" : "less";
    return (d->points > 0) == (better > 0) ? "better" : "worse";
}

void measure_difference_interval(double *low, double *high, const measure_difference *d)
{
    const double half = d->count < 2    ? (double)NAN
                        : d->spread > 0 ? d->limit * d->spread
                                        : 0.0;

    *low = d->points - half;
    *high = d->points + half;
}

/* Whether row a is clearly worse than row b. */
static bool is_worse(const double *a, const double *b, size_t step, size_t seeds,
                     int better)
{
    const measure_difference d = difference_of(a, b, step, seeds);

    return is_clear(&d) && (d.points > 0) != (better > 0);
}

size_t measure_leaders(bool *lead, const double *values, size_t step, size_t rows,
                       size_t seeds, int better)
{
    size_t best = SIZE_MAX, known = 0, worse = 0;
    double top = (double)NAN;

    memset(lead, 0, rows * sizeof *lead);
    for (size_t r = 0; r < rows && better != 0; r++) {
        const double mean = mean_of(values + r * seeds * step, NULL, step, seeds).mean;

        lead[r] = isfinite(mean);
        known += lead[r];
        if (lead[r] && (best == SIZE_MAX || better * mean > better * top)) {
            best = r;
            top = mean;
        }
    }
    for (size_t r = 0; r < rows; r++) {
        if (!lead[r] || r == best ||
            !is_worse(values + r * seeds * step, values + best * seeds * step, step, seeds,
                      better))
            continue;
        lead[r] = false;
        worse++;
    }
    if (worse == 0) /* nothing tells any of them from the best */
        memset(lead, 0, rows * sizeof *lead);
    return worse > 0 ? known - worse : 0;
}

double measure_exact_test(size_t b, size_t c)
{
    const size_t n = b + c, low = b < c ? b : c;
    double sum = 0;

    if (n == 0)
        return 1;
    for (size_t i = 0; i <= low; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) -
                   lgamma((double)(n - i) + 1) - (double)n * log(2));
    return fmin(2 * sum, 1);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void measure_sort(double *values, size_t count)
{
    if (count > 0)
        qsort(values, count, sizeof *values, by_value);
}

double measure_quantile(const double *sorted, size_t count, double place)
{
    const double at = place * (double)(count - 1);
    const size_t below = (size_t)at;

    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}
