/* stats.c - mean and spread over seeds, and whether a difference of two means is more than the spread
 * makes likely. Few seeds are the rule: n - 1 in the spread, Student's t in the verdict. Cannot fail. */
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

app_mean_std app_mean_std_of(const double *values, size_t count)
{
    app_mean_std s = {.mean = (double)NAN, .std = (double)NAN};
    double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;

    for (size_t i = 0; i < count; i++) {
        if (isfinite(values[i])) {
            sum += values[i];
            low = fmin(low, values[i]);
            high = fmax(high, values[i]);
            s.count++;
        }
    }
    if (s.count == 0)
        return s;
    s.mean =
        low == high ? low : sum / (double)s.count; /* equal ones have no spread at all */
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            squares += (values[i] - s.mean) * (values[i] - s.mean);
    if (s.count > 1)
        s.std = sqrt(squares / (double)(s.count - 1));
    return s;
}

double app_t_limit(size_t df)
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
    /* Cornish and Fisher's expansion about the normal quantile (Abramowitz and Stegun 26.7.5). */
    return z + (pow(z, 3) + z) / (4 * n) +
           (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * n * n);
}

app_difference app_difference_of(const double *a, const double *b, size_t count)
{
    double by_seed[APP_SEEDS_MAX];

    for (size_t i = 0; i < count; i++)
        by_seed[i] = a[i] - b[i];
    const app_mean_std s = app_mean_std_of(by_seed, count);
    app_difference d = {.count = s.count,
                        .points = s.mean,
                        .spread = s.std,
                        .spreads = (double)NAN,
                        .limit = (double)NAN};
    if (s.count > 1)
        d.limit = app_t_limit(s.count - 1) / sqrt((double)s.count);
    if (d.spread > 0) {
        d.spreads = d.points / d.spread;
        d.clear = fabs(d.spreads) > d.limit;
    }
    return d;
}

/* ---- as text ------------------------------------------------------------------------------------- */

static double unit_of(const app_figure *figure)
{
    return figure->kind == APP_KIND_SHARE ? 100 : figure->kind == APP_KIND_FLOPS ? 1e-6 : 1;
}

const char *app_figure_text(char *out, size_t out_bytes, const app_mean_std *s,
                            const app_figure *figure)
{
    const double unit = unit_of(figure);

    if (s->count == 0)
        snprintf(out, out_bytes, "\xe2\x80\x93"); /* an en dash */
    else if (figure->kind == APP_KIND_COUNT && s->mean >= 0 && s->mean < 0x1p63)
        app_thousands(out, out_bytes, (uint64_t)(s->mean + 0.5));
    else if (isfinite(s->std) && s->std > 0)
        snprintf(out, out_bytes, "%.*f \xc2\xb1 %.*f", figure->digits, unit * s->mean,
                 figure->digits, unit * s->std);
    else
        snprintf(out, out_bytes, "%.*f", figure->digits, unit * s->mean);
    return out;
}

const char *app_difference_text(char *out, size_t out_bytes, const app_difference *d,
                                const app_figure *figure, const char *word)
{
    const double points = unit_of(figure) * d->points;

    if (!isfinite(d->points))
        out[0] = '\0';
    else if (isfinite(d->spreads))
        snprintf(out, out_bytes, "%+.*f \xc2\xb1 %.*f (%.1f%s)", figure->digits, points,
                 figure->digits, unit_of(figure) * d->spread, fabs(d->spreads), word);
    else
        snprintf(out, out_bytes, "%+.*f", figure->digits, points);
    return out;
}

const char *app_difference_class(const app_difference *d, const app_figure *figure)
{
    if (!d->clear || figure->better == 0)
        return "";
    return (d->points > 0) == (figure->better > 0) ? "right" : "wrong";
}

bool app_entry_reconstructed(const app_entry *entry)
{
    const char *summary = vit_router_summary(entry->router);

    return summary && strstr(summary, "reconstruct") != NULL;
}
