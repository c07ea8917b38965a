/* verdict.c - what the paired test says of each figure, in words: better, worse, or not to
 * be told apart. Nobody is called best whom the seeds do not tell from the others. Relied
 * on elsewhere: the words (docs/json.md). */
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

const char *app_verdict_word(const measure_difference *d, const app_figure *figure)
{
    const char *word = measure_difference_word(d, figure->better);

    return word && figure->once ? "one measurement" : word;
}

void app_verdict_interval(double *low, double *high, const measure_difference *d,
                          const app_figure *figure)
{
    measure_difference_interval(low, high, d);
    if (figure->once)
        *low = *high = (double)NAN;
}

size_t app_table_leaders(bool *lead, const app_table *table, size_t figure)
{
    const size_t entries = table->compare->entries.count;
    const app_figure *f = &table->figure[figure];
    const double *values = table->value + figure;

    return measure_leaders(lead, values, table->figures, entries,
                           (size_t)table->compare->args->seeds, f->once ? 0 : f->better);
}

/* ---- as words ------------------------------------------------------------------------ */

static double unit_of(const app_figure *f)
{
    return f->kind == APP_KIND_SHARE ? 100 : f->kind == APP_KIND_FLOPS ? 1e-6 : 1;
}

/* text, and behind it what the baseline is against others: "better than A (+0.42, +0.10 to
 * +0.74), B (...)". */
static const char *list_add(const char *text, const app_table *t, size_t figure,
                            const char *word, const char *lead)
{
    const app_figure *f = &t->figure[figure];
    const char *name = t->compare->entries.variant[t->baseline].label;
    const double unit = unit_of(f);
    const char *comma = text == name ? " is " : "; ";
    double low, high;

    for (size_t e = 0; e < t->compare->entries.count; e++) {
        const measure_difference d = app_table_difference(t, t->baseline, e, figure);
        const char *own = e == t->baseline ? NULL : app_verdict_word(&d, f);

        if (!own || strcmp(own, word) != 0)
            continue;
        app_verdict_interval(&low, &high, &d, f);
        text = app_text("%s%s%s%s (%+.*f, %+.*f to %+.*f)", text, comma, lead,
                        t->compare->entries.variant[e].label, f->digits, unit * d.points,
                        f->digits, unit * low, f->digits, unit * high);
        comma = ", ";
        lead = "";
    }
    return text;
}

const char *app_verdict_text(const app_table *table, size_t figure)
{
    const app_figure *f = &table->figure[figure];
    const char *name = table->compare->entries.variant[table->baseline].label, *text = name;

    if (f->better == 0 || app_table_spread(table, table->baseline, figure)->count == 0 ||
        table->compare->entries.count < 2)
        return NULL;
    text = list_add(text, table, figure, "better", "better than ");
    text = list_add(text, table, figure, "worse", "worse than ");
    text =
        list_add(text, table, figure, "not to be told apart", "not to be told apart from ");
    if (text != name)
        return text;
    return f->once ? "one measurement for all seeds tells no difference from chance"
                   : "one seed tells no difference from chance";
}

/* ---- JSON ---------------------------------------------------------------------------- */

static json_t *labels_json(const app_table *t, size_t figure, const char *word)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->compare->entries.count; i++) {
        const size_t e = t->order[i];
        const measure_difference d = app_table_difference(t, t->baseline, e, figure);
        const char *own =
            t->figure[figure].once ? NULL : app_verdict_word(&d, &t->figure[figure]);
        const bool fits =
            e != t->baseline && (own ? word && strcmp(own, word) == 0 : !word);
        if (fits)
            json_array_append_new(list, json_string(t->compare->entries.variant[e].label));
    }
    return list;
}

json_t *app_verdicts_json(const app_table *table)
{
    const app_table *t = table;
    json_t *list = json_array();
    bool lead[TRAIN_VARIANTS_MAX];

    for (size_t f = 0; f < t->figures; f++) {
        const char *text = app_verdict_text(t, f);
        if (!text)
            continue;
        json_t *json = json_object(), *leaders = json_array();
        show_put_text(json, "figure", t->figure[f].key);
        show_put_text(json, "title", t->figure[f].title);
        show_put_text(json, "baseline", t->compare->entries.variant[t->baseline].label);
        /* as the baseline is against them */
        show_put(json, "better", labels_json(t, f, "better"));
        show_put(json, "worse", labels_json(t, f, "worse"));
        show_put(json, "tied", labels_json(t, f, "not to be told apart"));
        show_put(json, "unknown", labels_json(t, f, NULL));
        app_table_leaders(lead, t, f);
        for (size_t i = 0; i < t->compare->entries.count; i++)
            if (lead[t->order[i]])
                json_array_append_new(
                    leaders, json_string(t->compare->entries.variant[t->order[i]].label));
        show_put(json, "leaders", leaders);
        show_put_text(json, "text", text);
        json_array_append_new(list, json);
    }
    return list;
}
