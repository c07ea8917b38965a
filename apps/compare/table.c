/* table.c - the table of a comparison: which figures there are, where each comes from, the
 * order of the rows. Relied on elsewhere: the keys (columns of the CSV files,
 * docs/compare.md). */
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

#define FIGURE(...)                                                                        \
    {                                                                                      \
        __VA_ARGS__                                                                        \
    }
static const app_figure figures[] = {APP_FIGURES(FIGURE)};
_Static_assert(sizeof figures == APP_FIGURES_OWN * sizeof figures[0], "a table has room");

size_t app_table_figure(const app_table *table, const char *key)
{
    size_t f = 0;

    while (f < table->figures && strcmp(table->figure[f].key, key) != 0)
        f++;
    return f;
}

/* ---- values of one run --------------------------------------------------------------- */

/* Mean over a list of layers of what is under a key, or of 1 - it; NaN: there are none. */
static double layers_mean(const json_t *layers, const char *key, bool less)
{
    double sum = 0;
    json_t *layer;
    size_t i;

    json_array_foreach(layers, i, layer)
    {
        const double value = show_json_number(layer, key);

        sum += less ? 1 - value : value;
    }
    return sum / (double)json_array_size(layers);
}

/* Mean error over severities of each corruption of the benchmark; NaN: not all five are
 * there. */
static void kind_errors(double out[CORRUPT_BENCH_COUNT], const json_t *cells)
{
    size_t seen[CORRUPT_BENCH_COUNT] = {0};
    json_t *cell;
    size_t i;

    json_array_foreach(cells, i, cell)
    {
        const char *name = show_json_string(cell, "corruption");
        corrupt_kind kind;

        if (!name || !corrupt_kind_find(&kind, name) || (int)kind >= CORRUPT_BENCH_COUNT)
            continue;
        out[kind] += show_json_number(cell, "error") / CORRUPT_SEVERITY_MAX;
        seen[kind]++;
    }
    for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++)
        if (seen[k] != CORRUPT_SEVERITY_MAX)
            out[k] = (double)NAN;
}

/* Mean over the corruptions of errors, divided by those of another (NULL: 1). */
static double errors_mean(const double *errors, const double *others)
{
    double sum = 0;

    for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++)
        sum += others ? errors[k] / others[k] : errors[k];
    return sum / CORRUPT_BENCH_COUNT;
}

/* 1 - IoU of clean and corrupted routing: mean over cells and layers. */
static double moved_corrupted(const json_t *cells)
{
    double sum = 0, count = 0;
    json_t *cell, *layer;
    size_t i, l;

    json_array_foreach(cells, i, cell)
    {
        json_array_foreach(json_object_get(cell, "moe"), l, layer)
        {
            sum += 1 - show_json_number(layer, "agreement.overlap");
            count++;
        }
    }
    return sum / count;
}

/* What all attacks left at a budget. */
static double robust_at(const json_t *attack, const char *budget)
{
    double left = (double)NAN;
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(attack, "sweep"), i, one)
    {
        const char *name = show_json_string(one, "attack");
        const char *eps = show_json_string(one, "eps_text");
        if (name && eps && strcmp(name, "worst_case") == 0 && strcmp(eps, budget) == 0)
            left = show_json_number(one, "robust_acc");
    }
    return left;
}

static void value_put(app_table *t, size_t run, const char *key, double value)
{
    t->value[run * t->figures + app_table_figure(t, key)] = value;
}

/* From the lines of the training; the steps' time is that of steps alone, for trainings ran
 * beside others. */
static void training_fill(app_table *t, size_t run)
{
    const train_lines *lines = &t->train[run];
    const double steps = train_lines_last(lines, TRAIN_LINE_STEP);
    const double own = t->step_ms[run / (size_t)t->compare->args->seeds];
    const double plans = train_lines_sum(lines, TRAIN_LINE_SINKHORN);
    double fastest = INFINITY;

    for (size_t e = 0; e < t->compare->entries.count; e++)
        fastest = fmin(fastest, t->step_ms[e]); /* fmin leaves NaN out */
    value_put(t, run, "train_loss", train_lines_last(lines, TRAIN_LINE_LOSS));
    value_put(t, run, "train_loss_equal_seconds",
              isfinite(own) ? train_lines_at(lines, TRAIN_LINE_LOSS,
                                             (double)t->compare->total * fastest / own)
                            : (double)NAN);
    value_put(t, run, "train_load_cv", train_lines_sum(lines, TRAIN_LINE_CV) / steps);
    value_put(t, run, "train_dead", train_lines_sum(lines, TRAIN_LINE_DEAD) / steps);
    value_put(t, run, "train_dropped", train_lines_sum(lines, TRAIN_LINE_DROPPED) / steps);
    value_put(t, run, "sinkhorn_share", plans / steps);
    value_put(t, run, "sinkhorn_steps", plans);
}

static void run_fill(app_table *t, size_t run)
{
    const size_t seeds = (size_t)t->compare->args->seeds;
    json_t *const *result = t->compare->run[run].result;
    const json_t *clean = result[APP_MEASURE_CLEAN], *attack = result[APP_MEASURE_ATTACK];
    const json_t *cells = show_json_find(result[APP_MEASURE_CORRUPT], "robust.cells");
    const json_t *layers = show_json_find(attack, "routing.layers");
    const double *errors = t->run_error + run * CORRUPT_BENCH_COUNT;
    const double *softmax =
        t->softmax == SIZE_MAX
            ? NULL
            : t->run_error + (t->softmax * seeds + run % seeds) * CORRUPT_BENCH_COUNT;

    for (size_t f = 0; f < t->figures; f++) {
        const char *at = t->figure[f].at;

        t->value[run * t->figures + f] = f >= APP_FIGURES_OWN ? robust_at(attack, at)
                                         : at                 ? show_json_number(clean, at)
                                                              : (double)NAN;
    }
    value_put(t, run, "corrupted_error", errors_mean(errors, NULL));
    if (softmax)
        value_put(t, run, "mce_softmax", errors_mean(errors, softmax));
    value_put(t, run, "orphans",
              layers_mean(json_object_get(clean, "moe"), "orphans", false));
    value_put(t, run, "routing_change_corrupted", moved_corrupted(cells));
    value_put(t, run, "routing_change_attacked", layers_mean(layers, "iou", true));
    value_put(t, run, "routing_change_noise", layers_mean(layers, "control_iou", true));
    training_fill(t, run);
    value_put(t, run, "step_ms", clean ? t->step_ms[run / seeds] : (double)NAN);
    value_put(t, run, "step_ratio", clean ? t->step_ratio[run / seeds] : (double)NAN);
}

/* ---- the whole ----------------------------------------------------------------------- */

base_status app_table_baseline(size_t *out, const app_compare *compare, base_error *err)
{
    const char *label = compare->args->baseline;

    for (size_t i = 0; i < compare->entries.count; i++) {
        if (strcmp(compare->entries.variant[i].label, label ? label : "ssr") == 0) {
            *out = i;
            return BASE_OK;
        }
    }
    *out = 0;
    if (!label)
        return BASE_OK;
    return base_fail(err, BASE_USAGE, "--baseline '%.60s' is none of the labels compared",
                     label);
}

static size_t softmax_of(const app_compare *compare)
{
    size_t found = SIZE_MAX;

    for (size_t i = compare->entries.count; i-- > 0;) {
        const train_variant *e = &compare->entries.variant[i];

        if (strcmp(e->router, "softmax") != 0)
            continue;
        if (strcmp(e->label, "softmax") == 0)
            return i;
        found = i;
    }
    return found;
}

static base_status figures_make(app_table *t, base_error *err)
{
    const app_compare_args *args = t->compare->args;
    attack_budget budgets[ATTACK_BUDGETS_MAX];
    size_t count = 0;
    base_status status = BASE_OK;

    memcpy(t->figure, figures, sizeof figures);
    t->figures = t->first_budget = APP_FIGURES_OWN;
    if (!args->no_attack)
        status = attack_budgets_parse(budgets, &count, "--eps", args->eps, ATTACK_NORM_LINF,
                                      (size_t)1 << 20, err);
    for (size_t i = 0; i < count; i++) {
        app_figure *f = &t->figure[t->figures++];
        *f = (app_figure){.unit = 100, .better = 1, .digits = 2};
        snprintf(f->key, sizeof f->key, "robust_%s", budgets[i].text);
        snprintf(f->title, sizeof f->title, "PGD %s", budgets[i].text);
        f->at = strchr(f->key, '_') + 1;
    }
    return status;
}

/* What the files of the runs say, run by run and entry by entry. */
static base_status files_read(app_table *t, base_error *err)
{
    const app_compare *c = t->compare;
    const size_t plain = app_step_reference(t);
    base_status status = BASE_OK;

    for (size_t r = 0; r < c->runs && status == BASE_OK; r++) {
        kind_errors(t->run_error + r * CORRUPT_BENCH_COUNT,
                    show_json_find(c->run[r].result[APP_MEASURE_CORRUPT], "robust.cells"));
        if (c->run[r].state != APP_RUN_FINISHED)
            continue;
        const char *metrics = app_text("%s/metrics.jsonl", c->run[r].folder);
        status = train_lines_read(&t->train[r], metrics, "train", err);
        if (status == BASE_OK)
            status = train_lines_read(&t->eval[r], metrics, "eval", err);
    }
    for (size_t e = 0; e < c->entries.count; e++) {
        t->step_ms[e] = app_step_of(t, e, SIZE_MAX).median;
        t->step_ratio[e] = app_step_of(t, e, plain).median;
    }
    snprintf(t->figure[app_table_figure(t, "step_ratio")].title, sizeof t->figure[0].title,
             "step (%.24s 100)", c->entries.variant[plain].label);
    return status;
}

/* Over the seeds of an entry; rows [entries * seeds, width]. */
static measure_mean column_mean(const app_table *t, const double *rows, size_t width,
                                size_t entry, size_t column)
{
    const size_t seeds = (size_t)t->compare->args->seeds;
    double values[APP_SEEDS_MAX];

    for (size_t s = 0; s < seeds; s++)
        values[s] = rows[(entry * seeds + s) * width + column];
    return measure_mean_of(values, seeds);
}

/* Means over seeds, and which is best. */
static void entries_fill(app_table *t)
{
    const size_t kinds = CORRUPT_BENCH_COUNT, best = app_table_figure(t, "top1");

    for (size_t e = 0; e < t->compare->entries.count; e++) {
        for (size_t f = 0; f < t->figures; f++)
            t->spread[e * t->figures + f] = column_mean(t, t->value, t->figures, e, f);
        for (size_t k = 0; k < kinds; k++)
            t->kind_error[e * kinds + k] = column_mean(t, t->run_error, kinds, e, k).mean;
    }
    for (size_t e = 0; e < t->compare->entries.count; e++) { /* insertion: few rows */
        const double top = app_table_spread(t, e, best)->mean;
        size_t at = e;

        for (; at > 0; at--) {
            if (isnan(top) || app_table_spread(t, t->order[at - 1], best)->mean >= top)
                break;
            t->order[at] = t->order[at - 1];
        }
        t->order[at] = e;
    }
}

base_status app_table_create(app_table *out, const app_compare *compare, json_t *timing,
                             base_error *err)
{
    const size_t entries = compare->entries.count, runs = compare->runs;
    app_table *t = out;
    app_pool *pool = &t->pool;

    *t = (app_table){.compare = compare, .timing = timing};
    base_status status = figures_make(t, err);
    if (status == BASE_OK)
        status = app_table_baseline(&t->baseline, compare, err);
    if (status != BASE_OK)
        return status;
    t->softmax = softmax_of(compare);
    t->value = app_take(pool, runs * t->figures, sizeof *t->value);
    t->spread = app_take(pool, entries * t->figures, sizeof *t->spread);
    t->run_error = app_take(pool, runs * CORRUPT_BENCH_COUNT, sizeof *t->run_error);
    t->kind_error = app_take(pool, entries * CORRUPT_BENCH_COUNT, sizeof *t->kind_error);
    t->order = app_take(pool, entries, sizeof *t->order);
    t->train = app_take(pool, runs, sizeof *t->train);
    t->eval = app_take(pool, runs, sizeof *t->eval);
    t->step_ms = app_take(pool, entries, sizeof *t->step_ms);
    t->step_ratio = app_take(pool, entries, sizeof *t->step_ratio);
    status = files_read(t, err);
    if (status != BASE_OK)
        return status;
    for (size_t run = 0; run < runs; run++)
        run_fill(t, run);
    entries_fill(t);
    return BASE_OK;
}

void app_table_destroy(app_table *table)
{
    for (size_t r = 0; table->train && r < table->compare->runs; r++) {
        train_lines_destroy(&table->train[r]);
        train_lines_destroy(&table->eval[r]);
    }
    app_pool_end(&table->pool);
    *table = (app_table){0};
}

double app_table_value(const app_table *table, size_t run, size_t figure)
{
    return table->value[run * table->figures + figure];
}

measure_difference app_table_difference(const app_table *table, size_t entry, size_t other,
                                        size_t figure)
{
    const size_t seeds = (size_t)table->compare->args->seeds;
    double a[APP_SEEDS_MAX], b[APP_SEEDS_MAX];

    for (size_t s = 0; s < seeds; s++) {
        a[s] = app_table_value(table, entry * seeds + s, figure);
        b[s] = app_table_value(table, other * seeds + s, figure);
    }
    return measure_difference_of(a, b, seeds);
}

const measure_mean *app_table_spread(const app_table *table, size_t entry, size_t figure)
{
    return &table->spread[entry * table->figures + figure];
}

const char *app_entry_settings(const train_variant *entry)
{
    const char *all = "";

    for (size_t i = 0; i < entry->settings; i++)
        all = app_text("%s%s%s", all, i ? " " : "",
                       entry->setting[i] +
                           (strncmp(entry->setting[i], "router.", 7) ? 0 : 7));
    return all;
}
