/* stats.c - means and differences as text: few seeds are the rule, so the spread stands
 * beside the mean and a difference is coloured only where measure_difference calls it
 * clear. Cannot fail. */
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

static double unit_of(const app_figure *figure)
{
    return figure->kind == APP_KIND_SHARE ? 100 : figure->kind == APP_KIND_FLOPS ? 1e-6 : 1;
}

const char *app_figure_text(char *out, size_t out_bytes, const measure_mean *s,
                            const app_figure *figure)
{
    const double unit = unit_of(figure);

    if (s->count == 0)
        snprintf(out, out_bytes, "\xe2\x80\x93"); /* an en dash */
    else if (figure->kind == APP_KIND_COUNT && s->mean >= 0 && s->mean < 0x1p63)
        show_thousands(out, out_bytes, (uint64_t)(s->mean + 0.5));
    else if (isfinite(s->std) && s->std > 0)
        snprintf(out, out_bytes, "%.*f \xc2\xb1 %.*f", figure->digits, unit * s->mean,
                 figure->digits, unit * s->std);
    else
        snprintf(out, out_bytes, "%.*f", figure->digits, unit * s->mean);
    return out;
}

const char *app_difference_text(char *out, size_t out_bytes, const measure_difference *d,
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

const char *app_difference_class(const measure_difference *d, const app_figure *figure)
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
