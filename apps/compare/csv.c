/* csv.c - the comparison for programs: runs.csv with a row for every training, summary.csv
 * with a row for every router, compare.json with all of it (docs/compare.md); and the table
 * on stdout. Relied on elsewhere: names of columns and keys; an empty field is a figure
 * that is not known. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

static const char *const states[] = {"new", "begun", "finished", "failed"};

/* ---- CSV ----------------------------------------------------------------------------- */

static void number_put(FILE *file, double value)
{
    if (isfinite(value))
        fprintf(file, ",%.9g", value);
    else
        fputc(',', file);
}

static void entry_put(FILE *file, const app_entry *entry)
{
    char settings[APP_SETTINGS_MAX * APP_SETTING_BYTES];

    show_csv_text(file, entry->label);
    fputc(',', file);
    show_csv_text(file, entry->router);
    fputc(',', file);
    show_csv_text(file, app_entry_settings(settings, sizeof settings, entry));
}

static void runs_put(FILE *file, const app_table *t)
{
    const app_compare *c = t->compare;

    fputs("label,router,settings,seed,status", file);
    for (size_t f = 0; f < t->figures; f++)
        fprintf(file, ",%s", t->figure[f].key);
    fputs(",reason\n", file);
    for (size_t r = 0; r < c->runs; r++) {
        const app_compare_run *run = &c->run[r];
        entry_put(file, &c->entries.entry[run->entry]);
        fprintf(file, ",%" PRId64 ",%s", run->seed,
                states[run->reason[0] ? APP_RUN_FAILED : run->state]);
        for (size_t f = 0; f < t->figures; f++)
            number_put(file, app_table_value(t, r, f));
        fputc(',', file);
        show_csv_text(file, run->reason);
        fputc('\n', file);
    }
}

static void summary_put(FILE *file, const app_table *t)
{
    const app_compare *c = t->compare;

    fputs("label,router,settings,seeds", file);
    for (size_t f = 0; f < t->figures; f++)
        fprintf(file, ",%s_mean,%s_std", t->figure[f].key, t->figure[f].key);
    fputc('\n', file);
    for (size_t i = 0; i < c->entries.count; i++) {
        const size_t e = t->order[i];
        entry_put(file, &c->entries.entry[e]);
        fprintf(file, ",%zu", app_table_spread(t, e, APP_FIGURE_TOP1)->count);
        for (size_t f = 0; f < t->figures; f++) {
            number_put(file, app_table_spread(t, e, f)->mean);
            number_put(file, app_table_spread(t, e, f)->std);
        }
        fputc('\n', file);
    }
}

static base_status csv_write(const app_table *t, const char *name,
                             void (*put)(FILE *file, const app_table *t), base_error *err)
{
    char *path = base_text("%s/%s", t->compare->args->out, name);
    base_writer out = {0};
    base_status status = path ? base_writer_open(&out, path, err)
                              : base_fail(err, BASE_NO_MEMORY, "no memory for a file name");

    if (status == BASE_OK) {
        put(out.file, t);
        status = base_writer_commit(&out, err);
    }
    base_free(path);
    return status;
}

base_status app_compare_csv(const app_table *table, base_error *err)
{
    const base_status status = csv_write(table, "runs.csv", runs_put, err);

    return status == BASE_OK ? csv_write(table, "summary.csv", summary_put, err) : status;
}

/* ---- JSON ---------------------------------------------------------------------------- */

static json_t *difference_json(const measure_difference *d, const app_figure *figure)
{
    json_t *json = json_object();
    const char *word = app_verdict_word(d, figure);
    double low, high;

    app_verdict_interval(&low, &high, d);

    json_object_set_new(json, "count", json_integer((json_int_t)d->count));
    json_object_set_new(json, "difference", show_json_real(d->points));
    json_object_set_new(json, "spread", show_json_real(d->spread));
    json_object_set_new(json, "spreads", show_json_real(d->spreads));
    json_object_set_new(json, "limit", show_json_real(d->limit));
    json_object_set_new(json, "clear", json_boolean(d->clear));
    json_object_set_new(json, "ci95",
                        json_pack("[o, o]", show_json_real(low), show_json_real(high)));
    json_object_set_new(json, "verdict", word ? json_string(word) : json_null());
    return json;
}

static json_t *run_json(const app_table *t, size_t r)
{
    const app_compare_run *run = &t->compare->run[r];
    json_t *json = json_object(), *values = json_object();

    json_object_set_new(json, "seed", json_integer(run->seed));
    json_object_set_new(json, "folder", show_json_text(run->folder));
    json_object_set_new(json, "status",
                        json_string(states[run->reason[0] ? APP_RUN_FAILED : run->state]));
    json_object_set_new(json, "step", json_integer((json_int_t)run->step));
    json_object_set_new(json, "reason",
                        run->reason[0] ? show_json_text(run->reason) : json_null());
    for (size_t f = 0; f < t->figures; f++)
        json_object_set_new(values, t->figure[f].key,
                            show_json_real(app_table_value(t, r, f)));
    json_object_set_new(json, "figures", values);
    return json;
}

static json_t *curve_json(const app_curve *c)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->count; i++)
        json_array_append_new(
            list, json_pack("[f, o, o, o, o]", c->step[i], show_json_real(c->loss[i]),
                            show_json_real(c->accuracy[i]), show_json_real(c->cv[i]),
                            show_json_real(c->step[i] * c->seconds_a_step)));
    return list;
}

static json_t *entry_json(const app_table *t, size_t e)
{
    const app_compare *c = t->compare;
    const app_entry *entry = &c->entries.entry[e];
    const size_t seeds = (size_t)c->args->seeds;
    char settings[APP_SETTINGS_MAX * APP_SETTING_BYTES];
    json_t *json = json_object(), *figures = json_object(), *runs = json_array(),
           *kinds = json_object();

    json_object_set_new(json, "label", json_string(entry->label));
    json_object_set_new(json, "router", json_string(entry->router));
    json_object_set_new(json, "summary", json_string(vit_router_summary(entry->router)));
    json_object_set_new(
        json, "settings",
        show_json_text(app_entry_settings(settings, sizeof settings, entry)));
    for (size_t f = 0; f < t->figures; f++) {
        const measure_mean *s = app_table_spread(t, e, f);
        const measure_difference d = app_table_difference(t, e, t->baseline, f);
        json_object_set_new(figures, t->figure[f].key,
                            json_pack("{s:I, s:o, s:o, s:o}", "count", (json_int_t)s->count,
                                      "mean", show_json_real(s->mean), "std",
                                      show_json_real(s->std), "against_baseline",
                                      difference_json(&d, &t->figure[f])));
    }
    json_object_set_new(json, "figures", figures);
    for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++)
        json_object_set_new(kinds, corrupt_kind_name((corrupt_kind)k),
                            show_json_real(t->kind_error[e * CORRUPT_BENCH_COUNT + k]));
    json_object_set_new(json, "corruption_errors", kinds);
    for (size_t s = 0; s < seeds; s++)
        json_array_append_new(runs, run_json(t, e * seeds + s));
    json_object_set_new(json, "runs", runs);
    json_object_set_new(json, "training", curve_json(&t->train[e]));
    json_object_set_new(json, "evaluations", curve_json(&t->eval[e]));
    return json;
}

/* preset, preset_nearest_to and frost_textures of the evaluations, the same for all runs;
 * NULL: none is there. Borrowed. */
static const json_t *corrupt_settings(const app_compare *c)
{
    for (size_t i = 0; i < c->runs; i++) {
        const json_t *robust = json_object_get(
            app_compare_run_at(c, i % c->entries.count, i / c->entries.count)
                ->result[APP_MEASURE_CORRUPT],
            "robust");
        if (json_object_get(robust, "preset"))
            return robust;
    }
    return NULL;
}

static json_t *corrupt_settings_json(const app_compare *c)
{
    static const char *const keys[] = {"preset", "preset_nearest_to", "frost_textures"};
    const json_t *robust = corrupt_settings(c);
    json_t *json = robust ? json_object() : json_null();

    for (size_t i = 0; robust && i < sizeof keys / sizeof keys[0]; i++)
        json_object_set(json, keys[i], json_object_get(robust, keys[i]));
    return json;
}

json_t *app_compare_json(const app_table *table)
{
    const app_compare *c = table->compare;
    const app_compare_args *args = c->args;
    app_common common = args->common;

    common.batch = c->eval_batch;
    common.precision = c->precision;
    json_t *json = app_json_begin(&common, "compare", NULL, c->recipe.data.train);
    json_t *entries = json_array();

    if (!json || !entries)
        return NULL;
    json_object_set_new(json, "command_line", show_json_text(args->command_line));
    json_object_set_new(json, "val", show_json_text(c->recipe.data.val));
    json_object_set_new(json, "recipe", show_json_text(c->recipe.name));
    json_object_set_new(json, "steps", json_integer((json_int_t)c->total));
    json_object_set_new(json, "seeds", json_integer(args->seeds));
    json_object_set_new(json, "checkpoint",
                        json_string(args->checkpoint == 1 ? "best" : "last"));
    json_object_set_new(json, "eval_batch", json_integer(c->eval_batch));
    json_object_set_new(json, "eval_limit", json_integer(args->eval_limit));
    json_object_set_new(json, "corruptions", corrupt_settings_json(c));
    json_object_set_new(json, "attack",
                        args->no_attack
                            ? json_null()
                            : json_pack("{s:s, s:s, s:o, s:I}", "name", "pgd", "norm",
                                        "linf", "eps", show_json_text(args->eps), "steps",
                                        (json_int_t)args->steps));
    json_object_set_new(json, "baseline",
                        json_string(c->entries.entry[table->baseline].label));
    json_object_set_new(json, "mce_baseline",
                        table->softmax == SIZE_MAX
                            ? json_null()
                            : json_string(c->entries.entry[table->softmax].label));
    json_object_set_new(json, "timing",
                        table->timing ? json_incref(table->timing) : json_null());
    for (size_t i = 0; i < c->entries.count; i++)
        json_array_append_new(entries, entry_json(table, table->order[i]));
    json_object_set_new(json, "entries", entries);
    json_object_set_new(json, "verdicts", app_verdicts_json(table));
    return json;
}

/* ---- on stdout ----------------------------------------------------------------------- */

/* "59.25 ± 0.31" in `wide` columns. */
static void cell_print(FILE *out, const measure_mean *s, double scale, int digits, int wide)
{
    char text[64];

    if (s->count == 0)
        snprintf(text, sizeof text, "-");
    else if (s->count == 1)
        snprintf(text, sizeof text, "%.*f", digits, scale * s->mean);
    else
        snprintf(text, sizeof text, "%.*f +- %.*f", digits, scale * s->mean, digits,
                 scale * s->std);
    fprintf(out, "  %*s", wide, text);
}

void app_compare_table_print(const app_table *table)
{
    FILE *out = app_result_stream(&table->compare->args->common);
    int wide = 6;

    for (size_t e = 0; e < table->compare->entries.count; e++) {
        const int length = (int)strlen(table->compare->entries.entry[e].label);
        wide = length > wide ? length : wide;
    }
    fprintf(out, "%-*s  seeds  %14s  %14s", wide, "router", "top-1 %", "corrupted err %");
    for (size_t f = APP_FIGURE_COUNT; f < table->figures; f++)
        fprintf(out, "  %14s", table->figure[f].title);
    fprintf(out, "  %14s  %14s\n", "load CV", "ms a step");
    for (size_t i = 0; i < table->compare->entries.count; i++) {
        const size_t e = table->order[i];
        fprintf(out, "%-*s  %zu/%-3lld", wide, table->compare->entries.entry[e].label,
                app_table_spread(table, e, APP_FIGURE_TOP1)->count,
                (long long)table->compare->args->seeds);
        cell_print(out, app_table_spread(table, e, APP_FIGURE_TOP1), 100, 2, 14);
        cell_print(out, app_table_spread(table, e, APP_FIGURE_CORRUPTED), 100, 2, 15);
        for (size_t f = APP_FIGURE_COUNT; f < table->figures; f++)
            cell_print(out, app_table_spread(table, e, f), 100, 2, 14);
        cell_print(out, app_table_spread(table, e, APP_FIGURE_LOAD_CV), 1, 3, 14);
        measure_mean step = *app_table_spread(table, e, APP_FIGURE_STEP_MS);
        step.count = step.count > 0; /* one measurement for all seeds */
        cell_print(out, &step, 1, 1, 14);
        fputc('\n', out);
    }
    const json_t *robust = corrupt_settings(table->compare);
    const json_t *nearest = json_object_get(robust, "preset_nearest_to");
    if (!robust)
        return;
    fprintf(out, "corruptions: table %s",
            json_string_value(json_object_get(robust, "preset")));
    if (json_is_integer(nearest))
        fprintf(out, ", the nearest to %lld pixels",
                (long long)json_integer_value(nearest));
    fprintf(out, "; frost %s\n",
            json_string_value(json_object_get(robust, "frost_textures")));
}
