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

/* text, and behind it what the baseline is against others: "better than A (+0.42, +0.10 to
 * +0.74), B (...)". */
static const char *list_add(const char *text, const app_table *t, size_t figure,
                            const char *word, const char *lead)
{
    const app_figure *f = &t->figure[figure];
    const char *name = t->compare->entries.variant[t->baseline].label;
    const char *comma = text == name ? " is " : "; ";
    double low, high;

    for (size_t e = 0; e < t->compare->entries.count; e++) {
        const measure_difference d = app_table_difference(t, t->baseline, e, figure);
        const char *own = e == t->baseline ? NULL : app_verdict_word(&d, f);

        if (!own || strcmp(own, word) != 0)
            continue;
        app_verdict_interval(&low, &high, &d, f);
        text = app_text("%s%s%s%s (%+.*f, %+.*f to %+.*f)", text, comma, lead,
                        t->compare->entries.variant[e].label, f->digits, f->unit * d.points,
                        f->digits, f->unit * low, f->digits, f->unit * high);
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

/* The labels of the others by what the baseline is against them, and of those who lead. */
static void labels_put(json_t *json, const app_table *t, size_t figure)
{
    static const char *const keys[] = {"better", "worse", "tied", "unknown", "leaders"};
    enum { BETTER, WORSE, TIED, UNKNOWN, LEADERS, LISTS };
    const app_figure *f = &t->figure[figure];
    json_t *list[LISTS];
    bool lead[TRAIN_VARIANTS_MAX];

    for (int i = 0; i < LISTS; i++)
        show_put(json, keys[i], list[i] = json_array());
    app_table_leaders(lead, t, figure);
    for (size_t i = 0; i < t->compare->entries.count; i++) {
        const size_t e = t->order[i];
        const char *label = t->compare->entries.variant[e].label;
        const measure_difference d = app_table_difference(t, t->baseline, e, figure);
        const char *word = f->once ? NULL : app_verdict_word(&d, f);
        const int which =
            word ? base_choice_find("better|worse|not to be told apart", word) : UNKNOWN;

        if (e != t->baseline && which >= 0)
            json_array_append_new(list[which], json_string(label));
        if (lead[e])
            json_array_append_new(list[LEADERS], json_string(label));
    }
}

json_t *app_verdicts_json(const app_table *table)
{
    const app_table *t = table;
    json_t *list = json_array();

    for (size_t f = 0; f < t->figures; f++) {
        const char *text = app_verdict_text(t, f);
        if (!text)
            continue;
        json_t *json = json_object();
        show_put_text(json, "figure", t->figure[f].key);
        show_put_text(json, "title", t->figure[f].title);
        show_put_text(json, "baseline", t->compare->entries.variant[t->baseline].label);
        labels_put(json, t, f);
        show_put_text(json, "text", text);
        json_array_append_new(list, json);
    }
    return list;
}
