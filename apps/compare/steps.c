/* steps.c - what the timing of a comparison says (time.c made it): medians and
 * quartiles of steps, and of their ratios round by round, in which drifts of the machine
 * cancel. Free to change: the table. */
#include <math.h>

#include "apps/compare/table_internal.h"

/* The rounds of an entry under a key, NULL: not timed. */
static const json_t *rounds_of(const app_table *t, size_t entry, const char *key)
{
    const json_t *entries = json_object_get(t->timing, "entries");

    return json_object_get(
        json_object_get(entries, t->compare->entries.variant[entry].label), key);
}

/* Of rounds, each divided by the same round of other (NULL: 1). */
static app_step step_of(const json_t *rounds, const json_t *other)
{
    const size_t n = json_array_size(rounds);
    double *values;

    if (n == 0 || (other && json_array_size(other) != n))
        return (app_step){(double)NAN, (double)NAN, (double)NAN};
    values = app_take(NULL, n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = json_number_value(json_array_get(rounds, i)) /
                    (other ? json_number_value(json_array_get(other, i)) : 1);
    measure_sort(values, n);
    return (app_step){.median = measure_quantile(values, n, 0.5),
                      .low = measure_quantile(values, n, 0.25),
                      .high = measure_quantile(values, n, 0.75)};
}

app_step app_step_of(const app_table *table, size_t entry, size_t other)
{
    const json_t *rounds = rounds_of(table, entry, "rounds_ms");
    const json_t *against = other != SIZE_MAX ? rounds_of(table, other, "rounds_ms") : NULL;

    return step_of(other == SIZE_MAX || against ? rounds : NULL, against);
}

size_t app_step_reference(const app_table *table)
{
    return table->softmax != SIZE_MAX ? table->softmax : table->baseline;
}

/* median and quartiles into row, null where nothing is known. */
static void step_put(json_t *row, const char *key, app_step step)
{
    char name[64];

    show_put_real(row, key, step.median);
    snprintf(name, sizeof name, "%s_quartiles", key);
    show_put(row, name,
             isfinite(step.median) ? json_pack("[f, f]", step.low, step.high)
                                   : json_null());
}

json_t *app_steps_json(const app_table *table)
{
    const app_compare *c = table->compare;
    const size_t plain = app_step_reference(table);
    const char *machine = show_json_string(table->timing, "machine");
    const double threads = show_json_number(table->timing, "threads");
    json_t *rows = json_array();
    char text[512];

    for (size_t i = 0; i < c->entries.count; i++) {
        const size_t e = table->order[i];
        if (!rounds_of(table, e, "rounds_ms"))
            continue;
        json_t *row = json_pack("{s:s}", "label", c->entries.variant[e].label);
        step_put(row, "ms", app_step_of(table, e, SIZE_MAX));
        step_put(row, "ratio", app_step_of(table, e, plain));
        step_put(row, "with_plan_ms",
                 step_of(rounds_of(table, e, "sinkhorn_rounds_ms"), NULL));
        json_array_append_new(rows, row);
    }
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return json_null();
    }
    snprintf(text, sizeof text,
             "Median and quartiles of %.0f rounds; in a round every trained network makes "
             "one step in turn, on the same batch of %.0f images, %.0f thread%s, %s. "
             "Ratios are of the same round. A router that plans by chance p makes both "
             "kinds of step, which count by p; the last column is the one with the plan.",
             show_json_number(table->timing, "rounds"),
             show_json_number(table->timing, "batch"), threads, threads > 1 ? "s" : "",
             machine ? machine : "");
    return json_pack("{s:o, s:s, s:o}", "text", show_json_text(text), "reference",
                     c->entries.variant[plain].label, "rows", rows);
}
