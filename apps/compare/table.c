/* table.c - the table of a comparison: which figures there are, where each comes from, the
 * order of the rows. Relied on elsewhere: the keys (columns of the CSV files,
 * docs/compare.md). */
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

static const app_figure figures[APP_FIGURE_COUNT] = {
    [APP_FIGURE_TOP1] = {"top1", "clean top-1", APP_KIND_SHARE, 1, 2},
    [APP_FIGURE_LOSS] = {"loss", "loss", APP_KIND_NUMBER, -1, 3},
    [APP_FIGURE_ECE] = {"ece", "calibration error", APP_KIND_SHARE, -1, 1},
    [APP_FIGURE_CORRUPTED] = {"corrupted_error", "corrupted error", APP_KIND_SHARE, -1, 2},
    [APP_FIGURE_MCE] = {"mce_softmax", "mCE (softmax 100)", APP_KIND_SHARE, -1, 1},
    [APP_FIGURE_LOAD_CV] = {"load_cv", "load CV", APP_KIND_NUMBER, -1, 3},
    [APP_FIGURE_LOAD_ENTROPY] = {"load_entropy", "load entropy", APP_KIND_NUMBER, 1, 3},
    [APP_FIGURE_VIOLATION] = {"max_violation", "max violation", APP_KIND_NUMBER, -1, 3},
    [APP_FIGURE_DEAD] = {"dead", "dead experts", APP_KIND_NUMBER, -1, 1},
    [APP_FIGURE_DROPPED] = {"dropped", "dropped", APP_KIND_SHARE, -1, 2},
    [APP_FIGURE_ORPHANS] = {"orphans", "orphans", APP_KIND_SHARE, -1, 2},
    [APP_FIGURE_MOVED_CORRUPTED] = {"routing_change_corrupted", "routing change, corrupted",
                                    APP_KIND_SHARE, 0, 1},
    [APP_FIGURE_MOVED_ATTACKED] = {"routing_change_attacked", "routing change, attacked",
                                   APP_KIND_SHARE, 0, 1},
    [APP_FIGURE_MOVED_NOISE] = {"routing_change_noise", "routing change, random noise",
                                APP_KIND_SHARE, 0, 1},
    [APP_FIGURE_TRAIN_LOSS] = {"train_loss", "training loss", APP_KIND_NUMBER, -1, 3},
    [APP_FIGURE_TRAIN_LOSS_TIME] = {"train_loss_equal_seconds",
                                    "training loss at equal seconds", APP_KIND_NUMBER, -1,
                                    3},
    [APP_FIGURE_TRAIN_DEAD] = {"train_dead", "dead experts in training", APP_KIND_NUMBER,
                               -1, 1},
    [APP_FIGURE_SINKHORN_STEPS] = {"sinkhorn_steps", "Sinkhorn steps a layer",
                                   APP_KIND_NUMBER, 0, 1},
    [APP_FIGURE_TRAIN_CV] = {"train_load_cv", "load CV in training", APP_KIND_NUMBER, -1,
                             3},
    [APP_FIGURE_TRAIN_DROPPED] = {"train_dropped", "dropped in training", APP_KIND_SHARE,
                                  -1, 2},
    [APP_FIGURE_SINKHORN] = {"sinkhorn_share", "Sinkhorn passes", APP_KIND_SHARE, 0, 1},
    [APP_FIGURE_STEP_MS] = {"step_ms", "ms a step", APP_KIND_NUMBER, -1, 1, true},
    [APP_FIGURE_STEP_RATIO] = {"step_ratio", "step", APP_KIND_SHARE, -1, 1, true},
    [APP_FIGURE_PARAMETERS] = {"parameters", "parameters", APP_KIND_COUNT, 0, 0},
    [APP_FIGURE_ACTIVE] = {"active_parameters", "active", APP_KIND_COUNT, 0, 0},
    [APP_FIGURE_FLOPS] = {"flops", "FLOPs an image", APP_KIND_FLOPS, -1, 2},
};

/* ---- values of one run --------------------------------------------------------------- */

static double layers_mean(const json_t *json, const char *key)
{
    const json_t *layers = json_object_get(json, "moe");
    double sum = 0;
    json_t *layer;
    size_t i;

    json_array_foreach(layers, i, layer) sum += show_json_number(layer, key);
    return json_array_size(layers) > 0 ? sum / (double)json_array_size(layers)
                                       : (double)NAN;
}

/* Mean error over severities of each corruption of the benchmark; NaN: not all five are
 * there. */
static void kind_errors(double out[CORRUPT_BENCH_COUNT], const json_t *corrupt)
{
    const json_t *cells = json_object_get(json_object_get(corrupt, "robust"), "cells");
    size_t seen[CORRUPT_BENCH_COUNT] = {0};
    json_t *cell;
    size_t i;

    memset(out, 0, CORRUPT_BENCH_COUNT * sizeof *out);
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

static double mean_of(const double *values, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

/* 1 - IoU of clean and corrupted routing: mean over cells and layers. */
static double moved_corrupted(const json_t *corrupt)
{
    const json_t *cells = json_object_get(json_object_get(corrupt, "robust"), "cells");
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
    return count > 0 ? sum / count : (double)NAN;
}

static double moved_attacked(const json_t *attack, const char *key)
{
    const json_t *layers = json_object_get(json_object_get(attack, "routing"), "layers");
    double sum = 0;
    json_t *layer;
    size_t i;

    json_array_foreach(layers, i, layer) sum += 1 - show_json_number(layer, key);
    return json_array_size(layers) > 0 ? sum / (double)json_array_size(layers)
                                       : (double)NAN;
}

static void run_fill(app_table *t, size_t run)
{
    const app_compare_run *r = &t->compare->run[run];
    const json_t *clean = r->result[APP_MEASURE_CLEAN];
    const json_t *corrupt = r->result[APP_MEASURE_CORRUPT];
    const json_t *attack = r->result[APP_MEASURE_ATTACK];
    double *v = t->value + run * t->figures, kinds[CORRUPT_BENCH_COUNT];
    app_training_means training = {(double)NAN, (double)NAN, (double)NAN,
                                   (double)NAN, (double)NAN, (double)NAN};

    if (r->state == APP_RUN_FINISHED)
        training = app_training_means_of(r);
    kind_errors(kinds, corrupt);
    v[APP_FIGURE_TOP1] = show_json_number(clean, "top1");
    v[APP_FIGURE_LOSS] = show_json_number(clean, "loss");
    v[APP_FIGURE_ECE] = show_json_number(clean, "ece");
    v[APP_FIGURE_CORRUPTED] = mean_of(kinds, CORRUPT_BENCH_COUNT);
    v[APP_FIGURE_LOAD_CV] = show_json_number(clean, "moe_mean.load_cv");
    v[APP_FIGURE_LOAD_ENTROPY] = show_json_number(clean, "moe_mean.entropy");
    v[APP_FIGURE_VIOLATION] = show_json_number(clean, "moe_mean.max_violation");
    v[APP_FIGURE_DEAD] = show_json_number(clean, "moe_mean.dead");
    v[APP_FIGURE_DROPPED] = show_json_number(clean, "moe_mean.dropped");
    v[APP_FIGURE_ORPHANS] = layers_mean(clean, "orphans");
    v[APP_FIGURE_MOVED_CORRUPTED] = moved_corrupted(corrupt);
    v[APP_FIGURE_MOVED_ATTACKED] = moved_attacked(attack, "iou");
    v[APP_FIGURE_MOVED_NOISE] = moved_attacked(attack, "control_iou");
    v[APP_FIGURE_TRAIN_LOSS] = training.loss;
    v[APP_FIGURE_TRAIN_CV] = training.cv;
    v[APP_FIGURE_TRAIN_DROPPED] = training.dropped;
    v[APP_FIGURE_SINKHORN] = training.sinkhorn;
    v[APP_FIGURE_SINKHORN_STEPS] = training.sinkhorn_steps;
    v[APP_FIGURE_TRAIN_DEAD] = training.dead;
    v[APP_FIGURE_PARAMETERS] = show_json_number(clean, "parameters");
    v[APP_FIGURE_ACTIVE] = show_json_number(clean, "active_parameters");
    v[APP_FIGURE_FLOPS] = show_json_number(clean, "flops_spent");
    for (size_t f = APP_FIGURE_COUNT; f < t->figures; f++) {
        const char *budget = strchr(t->figure[f].key, '_') + 1;
        json_t *one;
        size_t i;

        v[f] = (double)NAN;
        json_array_foreach(json_object_get(attack, "sweep"), i, one)
        {
            const char *name = show_json_string(one, "attack");
            const char *eps = show_json_string(one, "eps_text");
            if (name && eps && strcmp(name, "worst_case") == 0 && strcmp(eps, budget) == 0)
                v[f] = show_json_number(one, "robust_acc");
        }
    }
}

/* mCE: errors divided by softmax's of the same seed, corruption by corruption. */
static void mce_fill(app_table *t)
{
    const size_t seeds = (size_t)t->compare->args->seeds;

    for (size_t run = 0; run < t->compare->runs; run++) {
        double *out = &t->value[run * t->figures + APP_FIGURE_MCE];
        double own[CORRUPT_BENCH_COUNT], other[CORRUPT_BENCH_COUNT], sum = 0;

        *out = (double)NAN;
        if (t->softmax == SIZE_MAX)
            continue;
        const app_compare_run *pair =
            app_compare_run_at(t->compare, t->softmax, run % seeds);
        kind_errors(own, t->compare->run[run].result[APP_MEASURE_CORRUPT]);
        kind_errors(other, pair->result[APP_MEASURE_CORRUPT]);
        for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++)
            sum += own[k] / other[k];
        *out = sum / CORRUPT_BENCH_COUNT;
    }
}

/* Every run's training loss when the fastest router is done: timed steps, for trainings ran
 * beside others. */
static void equal_seconds_fill(app_table *t)
{
    const size_t seeds = (size_t)t->compare->args->seeds;
    double fastest = INFINITY;

    for (size_t e = 0; e < t->compare->entries.count; e++)
        fastest =
            fmin(fastest, app_step_of(t, e, SIZE_MAX).median); /* fmin leaves NaN out */
    for (size_t run = 0; run < t->compare->runs; run++) {
        const double own = app_step_of(t, run / seeds, SIZE_MAX).median;
        const app_compare_run *r = &t->compare->run[run];

        t->value[run * t->figures + APP_FIGURE_TRAIN_LOSS_TIME] =
            r->state == APP_RUN_FINISHED && isfinite(own)
                ? app_training_loss_at(r, (double)t->compare->total * fastest / own)
                : (double)NAN;
    }
}

static void timing_fill(app_table *t)
{
    const size_t seeds = (size_t)t->compare->args->seeds;
    const size_t plain = app_step_reference(t);

    for (size_t run = 0; run < t->compare->runs; run++) {
        const bool known = t->compare->run[run].result[APP_MEASURE_CLEAN] != NULL;
        double *v = t->value + run * t->figures;

        v[APP_FIGURE_STEP_MS] =
            known ? app_step_of(t, run / seeds, SIZE_MAX).median : (double)NAN;
        v[APP_FIGURE_STEP_RATIO] =
            known ? app_step_of(t, run / seeds, plain).median : (double)NAN;
    }
    equal_seconds_fill(t);
    snprintf(t->figure[APP_FIGURE_STEP_RATIO].title, sizeof t->figure[0].title,
             "step (%.24s 100)", t->compare->entries.entry[plain].label);
}

/* ---- the whole ----------------------------------------------------------------------- */

base_status app_table_baseline(size_t *out, const app_compare *compare, base_error *err)
{
    const char *label = compare->args->baseline;

    for (size_t i = 0; i < compare->entries.count; i++) {
        if (strcmp(compare->entries.entry[i].label, label ? label : "ssr") == 0) {
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
    for (size_t i = 0; i < compare->entries.count; i++)
        if (strcmp(compare->entries.entry[i].label, "softmax") == 0 &&
            strcmp(compare->entries.entry[i].router, "softmax") == 0)
            return i;
    for (size_t i = 0; i < compare->entries.count; i++)
        if (strcmp(compare->entries.entry[i].router, "softmax") == 0)
            return i;
    return SIZE_MAX;
}

static base_status figures_make(app_table *t, base_error *err)
{
    const app_compare_args *args = t->compare->args;
    app_budget budgets[APP_BUDGETS_MAX];
    size_t count = 0;
    base_status status = BASE_OK;

    memcpy(t->figure, figures, sizeof figures);
    t->figures = APP_FIGURE_COUNT;
    if (!args->no_attack)
        status = app_budgets_parse(budgets, &count, args->eps, ATTACK_NORM_LINF,
                                   (size_t)1 << 20, err);
    for (size_t i = 0; i < count; i++) {
        app_figure *f = &t->figure[t->figures++];
        snprintf(f->key, sizeof f->key, "robust_%s", budgets[i].text);
        snprintf(f->title, sizeof f->title, "PGD %s", budgets[i].text);
        f->kind = APP_KIND_SHARE;
        f->better = 1;
        f->digits = 2;
    }
    return status;
}

/* Means over seeds, the curves, which is best. */
static base_status entries_fill(app_table *t, base_error *err)
{
    const app_compare *c = t->compare;
    const size_t seeds = (size_t)c->args->seeds;
    double column[APP_SEEDS_MAX], kinds[CORRUPT_BENCH_COUNT];
    base_status status = BASE_OK;

    for (size_t e = 0; e < c->entries.count; e++) {
        for (size_t f = 0; f < t->figures; f++) {
            for (size_t s = 0; s < seeds; s++)
                column[s] = t->value[(e * seeds + s) * t->figures + f];
            t->spread[e * t->figures + f] = measure_mean_of(column, seeds);
        }
        for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++) {
            for (size_t s = 0; s < seeds; s++) {
                kind_errors(kinds,
                            app_compare_run_at(c, e, s)->result[APP_MEASURE_CORRUPT]);
                column[s] = kinds[k];
            }
            t->kind_error[e * CORRUPT_BENCH_COUNT + k] =
                measure_mean_of(column, seeds).mean;
        }
        if (status == BASE_OK)
            status = app_curve_read(&t->train[e], c, e, "train", err);
        if (status == BASE_OK)
            status = app_curve_read(&t->eval[e], c, e, "eval", err);
        t->train[e].seconds_a_step = t->eval[e].seconds_a_step =
            1e-3 * app_step_of(t, e, SIZE_MAX).median;
    }
    for (size_t e = 0; e < c->entries.count; e++) { /* insertion: few rows */
        size_t at = e;
        const double top = app_table_spread(t, e, APP_FIGURE_TOP1)->mean;
        while (at > 0) {
            const double above =
                app_table_spread(t, t->order[at - 1], APP_FIGURE_TOP1)->mean;
            if (isnan(top) || above >= top)
                break;
            t->order[at] = t->order[at - 1];
            at--;
        }
        t->order[at] = e;
    }
    return status;
}

base_status app_table_create(app_table *out, const app_compare *compare, json_t *timing,
                             base_error *err)
{
    const size_t entries = compare->entries.count;
    app_table *t = out;

    *t = (app_table){.compare = compare, .timing = timing};
    base_status status = figures_make(t, err);
    if (status == BASE_OK)
        status = app_table_baseline(&t->baseline, compare, err);
    if (status != BASE_OK)
        return status;
    t->softmax = softmax_of(compare);
    t->value = app_take(&t->pool, compare->runs * t->figures, sizeof *t->value);
    t->spread = app_take(&t->pool, entries * t->figures, sizeof *t->spread);
    t->kind_error =
        app_take(&t->pool, entries * CORRUPT_BENCH_COUNT, sizeof *t->kind_error);
    t->order = app_take(&t->pool, entries, sizeof *t->order);
    t->train = app_take(&t->pool, entries, sizeof *t->train);
    t->eval = app_take(&t->pool, entries, sizeof *t->eval);
    for (size_t run = 0; run < compare->runs; run++)
        run_fill(t, run);
    mce_fill(t);
    timing_fill(t);
    status = entries_fill(t, err);
    if (status != BASE_OK)
        app_table_destroy(t);
    return status;
}

void app_table_destroy(app_table *table)
{
    const size_t entries = table->compare ? table->compare->entries.count : 0;

    for (size_t e = 0; e < entries; e++) {
        if (table->train)
            app_curve_destroy(&table->train[e]);
        if (table->eval)
            app_curve_destroy(&table->eval[e]);
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

const char *app_entry_settings(char *out, size_t out_bytes, const app_entry *entry)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < entry->settings && used < out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", i ? " " : "",
                                 entry->setting[i] +
                                     (strncmp(entry->setting[i], "router.", 7) ? 0 : 7));
    return out;
}
