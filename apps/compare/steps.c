/* steps.c - what the timing of a comparison says (compare_time.c made it): medians and
 * quartiles of steps, and of their ratios round by round, in which drifts of the machine
 * cancel. Free to change: the table. */
#include <math.h>
#include <stdlib.h>

#include "apps/compare/table_internal.h"

/* The rounds of an entry under a key, NULL: not timed. */
static const json_t *rounds_of(const app_table *t, size_t entry, const char *key)
{
    const json_t *entries = json_object_get(t->timing, "entries");

    return json_object_get(json_object_get(entries, t->compare->entries.entry[entry].label),
                           key);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Between the two values about a place 0..1 of a sorted list. */
static double quantile(const double *sorted, size_t count, double place)
{
    const double at = place * (double)(count - 1);
    const size_t below = (size_t)at;

    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

/* Of rounds, each divided by the same round of other (NULL: 1). */
static app_step step_of(const json_t *rounds, const json_t *other)
{
    const size_t n = json_array_size(rounds);
    app_step step = {(double)NAN, (double)NAN, (double)NAN};
    double *values;

    if (n == 0 || (other && json_array_size(other) != n))
        return step;
    values = base_alloc(n, sizeof *values);
    if (!values)
        return step;
    for (size_t i = 0; i < n; i++)
        values[i] = json_number_value(json_array_get(rounds, i)) /
                    (other ? json_number_value(json_array_get(other, i)) : 1);
    qsort(values, n, sizeof *values, by_value);
    step = (app_step){.median = quantile(values, n, 0.5),
                      .low = quantile(values, n, 0.25),
                      .high = quantile(values, n, 0.75)};
    base_free(values);
    return step;
}

app_step app_step_of(const app_table *table, size_t entry, size_t other)
{
    const json_t *against = NULL;

    if (other != SIZE_MAX) {
        against = rounds_of(table, other, "rounds_ms");
        if (!against)
            return (app_step){(double)NAN, (double)NAN, (double)NAN};
    }
    return step_of(rounds_of(table, entry, "rounds_ms"), against);
}

size_t app_step_reference(const app_table *table)
{
    return table->softmax != SIZE_MAX ? table->softmax : table->baseline;
}

static void step_put(FILE *file, app_step step, double unit, int digits)
{
    if (isfinite(step.median))
        fprintf(file, "<td class=\"n\">%.*f</td><td class=\"n soft\">%.*f to %.*f</td>",
                digits, unit * step.median, digits, unit * step.low, digits,
                unit * step.high);
    else
        fputs("<td class=\"n\">&ndash;</td><td></td>", file);
}

void app_compare_steps(show_page *page, const app_table *table)
{
    const app_compare *c = table->compare;
    const size_t plain = app_step_reference(table);
    const char *machine = show_json_string(table->timing, "machine");
    const double threads = show_json_number(table->timing, "threads");
    FILE *file = page->out.file;

    show_page_section(page, "A training step", NULL);
    fprintf(
        file,
        "<p class=\"soft\">Median and quartiles of %.0f rounds; in a round every trained "
        "network makes one step in turn, on the same batch of %.0f images, %.0f thread%s, ",
        show_json_number(table->timing, "rounds"), show_json_number(table->timing, "batch"),
        threads, threads > 1 ? "s" : "");
    show_page_text(page, machine ? machine : "");
    fputs(
        ". Ratios are of the same round. A router that plans by chance p makes both kinds of "
        "step, which count by p; the last column is the one with the plan.</p>\n"
        "<div class=\"scroll\"><table class=\"fig\"><tr><th>router</th><th class=\"n\">ms"
        "</th><th class=\"n\">quartiles</th><th class=\"n\">",
        file);
    show_page_text(page, c->entries.entry[plain].label);
    fputs(
        " is 100</th><th class=\"n\">quartiles</th><th class=\"n\">with plan, ms</th></tr>\n",
        file);
    for (size_t i = 0; i < c->entries.count; i++) {
        const size_t e = table->order[i];
        const app_step with = step_of(rounds_of(table, e, "sinkhorn_rounds_ms"), NULL);

        if (!rounds_of(table, e, "rounds_ms"))
            continue;
        fprintf(file, "<tr%s><td>", e == table->baseline ? " class=\"base\"" : "");
        app_compare_label(page, &c->entries.entry[e]);
        fputs("</td>", file);
        step_put(file, app_step_of(table, e, SIZE_MAX), 1, 2);
        step_put(file, app_step_of(table, e, plain), 100, 1);
        if (isfinite(with.median))
            fprintf(file, "<td class=\"n\">%.2f</td></tr>\n", with.median);
        else
            fputs("<td></td></tr>\n", file);
    }
    fputs("</table></div>\n", file);
}
