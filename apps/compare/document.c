/* document.c - a comparison as one document: every figure of every run, means, differences,
 * verdicts, and the sentences that have conditions; compare.html, compare.json, runs.csv
 * and summary.csv are made from it (view.c). Relied on elsewhere: the keys
 * (docs/compare.md); null is a figure that is not known. */
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

static const char *const states[] = {"new", "begun", "finished", "failed"};

/* Whether any router has the figure. */
static bool known(const app_table *t, size_t figure)
{
    for (size_t e = 0; e < t->compare->entries.count; e++)
        if (app_table_spread(t, e, figure)->count > 0)
            return true;
    return false;
}

/* ---- routers and runs ---------------------------------------------------------------- */

static json_t *difference_json(const measure_difference *d, const app_figure *figure)
{
    json_t *json = json_object();
    const char *word = app_verdict_word(d, figure);
    double low, high;

    app_verdict_interval(&low, &high, d, figure);
    show_put_count(json, "count", d->count);
    show_put_real(json, "difference", d->points);
    show_put_real(json, "spread", d->spread);
    show_put_real(json, "spreads", d->spreads);
    show_put_real(json, "limit", d->limit);
    show_put_bool(json, "clear", d->clear);
    show_put(json, "ci95", json_pack("[o, o]", show_json_real(low), show_json_real(high)));
    show_put(json, "verdict", word ? json_string(word) : json_null());
    show_put(json, "better",
             d->clear && figure->better != 0 && !figure->once
                 ? json_boolean((d->points > 0) == (figure->better > 0))
                 : json_null());
    return json;
}

/* The figures at the budgets as a list: their keys are not known before. The objects are
 * those of figures, by key. */
static void robust_put(json_t *json, const json_t *figures, const app_table *t)
{
    json_t *robust = json_array();

    for (size_t f = t->first_budget; f < t->figures; f++)
        json_array_append(robust, json_object_get(figures, t->figure[f].key));
    show_put(json, "robust", robust);
}

static json_t *run_json(const app_table *t, size_t r)
{
    const app_compare_run *run = &t->compare->run[r];
    json_t *json = json_object(), *values = json_object();

    show_put_int(json, "seed", run->seed);
    show_put_text(json, "folder", run->folder);
    show_put_text(json, "status", states[run->reason[0] ? APP_RUN_FAILED : run->state]);
    show_put_count(json, "step", run->step);
    show_put(json, "reason", run->reason[0] ? show_json_text(run->reason) : json_null());
    for (size_t f = 0; f < t->figures; f++)
        show_put_real(values, t->figure[f].key, app_table_value(t, r, f));
    show_put(json, "figures", values);
    robust_put(json, values, t);
    return json;
}

/* Means over the seeds of an entry; runs: of all. */
static json_t *curve_json(const app_table *t, size_t e, const train_lines *runs)
{
    const size_t seeds = (size_t)t->compare->args->seeds;
    train_lines curve = train_lines_mean(runs + e * seeds, seeds);
    json_t *list = json_array();

    for (size_t i = 0; i < curve.count; i++) {
        const double *at = curve.line[i].at, step = at[TRAIN_LINE_STEP];
        const double point[] = {step, at[TRAIN_LINE_LOSS], at[TRAIN_LINE_ACCURACY],
                                at[TRAIN_LINE_CV], step * (1e-3 * t->step_ms[e])};

        json_array_append_new(list, show_json_reals(point, 5, 1));
    }
    train_lines_destroy(&curve);
    return list;
}

/* A figure of an entry: mean and values over seeds, against the baseline; lead: it is not
 * clearly worse than the best mean, and another is. */
static json_t *figure_json(const app_table *t, size_t e, size_t f)
{
    const size_t seeds = (size_t)t->compare->args->seeds;
    const measure_mean *s = app_table_spread(t, e, f);
    const measure_difference d = app_table_difference(t, e, t->baseline, f);
    bool lead[TRAIN_VARIANTS_MAX];
    json_t *values = s->count > 0 ? json_array() : json_null();

    app_table_leaders(lead, t, f);
    for (size_t i = 0; s->count > 0 && i < seeds; i++)
        json_array_append_new(values, show_json_real(app_table_value(t, e * seeds + i, f)));
    return json_pack("{s:I, s:o, s:o, s:o, s:b, s:o}", "count", (json_int_t)s->count,
                     "mean", show_json_real(s->mean), "std", show_json_real(s->std),
                     "values", values, "lead", lead[e], "against_baseline",
                     difference_json(&d, &t->figure[f]));
}

/* Whether the router is a reconstruction, by its own summary. */
static bool reconstructed(const train_variant *entry)
{
    const char *summary = vit_router_summary(entry->router);

    return summary && strstr(summary, "reconstruct") != NULL;
}

static json_t *entry_json(const app_table *t, size_t e)
{
    const app_compare *c = t->compare;
    const train_variant *entry = &c->entries.variant[e];
    const size_t seeds = (size_t)c->args->seeds;
    const bool base = e == t->baseline, again = reconstructed(entry);
    json_t *json = json_object(), *figures = json_object(), *runs = json_array(),
           *kinds = json_object();

    show_put_text(json, "label", entry->label);
    show_put_count(json, "place", e);
    show_put_text(json, "router", entry->router);
    show_put_text(json, "summary", vit_router_summary(entry->router));
    show_put_text(json, "settings", app_entry_settings(entry));
    show_put_bool(json, "is_baseline", base);
    show_put_bool(json, "reconstruction", again);
    show_put_text(json, "mark",
                  base || again
                      ? app_text("%s%s%s", base ? "baseline" : "",
                                 base && again ? ", " : "", again ? "a reconstruction" : "")
                      : NULL);
    for (size_t f = 0; f < t->figures; f++)
        show_put(figures, t->figure[f].key, figure_json(t, e, f));
    show_put(json, "figures", figures);
    robust_put(json, figures, t);
    for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++)
        show_put_real(kinds, corrupt_kind_name((corrupt_kind)k),
                      t->kind_error[e * CORRUPT_BENCH_COUNT + k]);
    show_put(json, "corruption_errors", kinds);
    for (size_t s = 0; s < seeds; s++)
        json_array_append_new(runs, run_json(t, e * seeds + s));
    show_put(json, "runs", runs);
    show_put(json, "training", curve_json(t, e, t->train));
    show_put(json, "evaluations", curve_json(t, e, t->eval));
    return json;
}

/* ---- corruptions and attacks --------------------------------------------------------- */

/* preset, preset_nearest_to and frost_textures of the evaluations, the same for all runs,
 * and both as a sentence; null: none is there. */
static json_t *corruptions_json(const app_compare *c)
{
    static const char *const keys[] = {"preset", "preset_nearest_to", "frost_textures"};
    const json_t *robust = NULL;

    for (size_t i = 0; i < c->runs && !json_object_get(robust, "preset"); i++)
        robust = json_object_get(app_compare_run_in_turn(c, i)->result[APP_MEASURE_CORRUPT],
                                 "robust");
    const char *preset = show_json_string(robust, "preset");
    const char *frost = show_json_string(robust, "frost_textures");
    const double nearest = show_json_number(robust, "preset_nearest_to");
    char pixels[64] = "";

    if (!preset)
        return json_null();
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        json_object_set(json, keys[i], json_object_get(robust, keys[i]));
    if (isfinite(nearest))
        snprintf(pixels, sizeof pixels, ", the nearest to %.0f pixels", nearest);
    show_put_text(json, "text",
                  app_text("corruptions: table %s%s; frost %s", preset, pixels,
                           frost ? frost : "none"));
    return json;
}

/* Rows of the map of errors, best first: those that were measured. */
static json_t *corrupted_json(const app_table *t)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < t->compare->entries.count; i++) {
        const size_t e = t->order[i];
        const double *error = t->kind_error + e * CORRUPT_BENCH_COUNT;

        if (isfinite(error[0]))
            show_row(rows, "{s:s, s:o}", "label", t->compare->entries.variant[e].label,
                     "errors", show_json_reals(error, CORRUPT_BENCH_COUNT, 1));
    }
    return rows;
}

static json_t *corruption_names(void)
{
    json_t *names = json_array();

    for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++)
        json_array_append_new(names, app_corruption_json((corrupt_kind)k));
    return names;
}

/* The attack with its budgets as they were written; null: none. */
static json_t *attack_json(const app_table *t)
{
    const app_compare_args *args = t->compare->args;
    json_t *budgets = json_array();

    for (size_t f = t->first_budget; f < t->figures; f++)
        json_array_append_new(budgets, json_string(t->figure[f].at));
    if (!args->no_attack)
        return json_pack("{s:s, s:s, s:o, s:I, s:o}", "name", "pgd", "norm", "linf", "eps",
                         show_json_text(args->eps), "steps", (json_int_t)args->steps,
                         "budgets", budgets);
    json_decref(budgets);
    return json_null();
}

/* Accuracy at a budget, a row each router, for one figure a budget. */
static json_t *attacked_json(const app_table *t)
{
    json_t *list = json_array();

    for (size_t f = t->first_budget; f < t->figures; f++) {
        json_t *rows = json_array();

        for (size_t i = 0; known(t, f) && i < t->compare->entries.count; i++) {
            const size_t e = t->order[i];
            json_t *row = figure_json(t, e, f);
            show_put_text(row, "label", t->compare->entries.variant[e].label);
            show_put_bool(row, "is_baseline", e == t->baseline);
            json_array_append_new(rows, row);
        }
        show_row(list, "{s:s, s:o}", "title", t->figure[f].title, "rows", rows);
    }
    return list;
}

/* ---- words --------------------------------------------------------------------------- */

/* Who is best at a figure, or that the seeds do not say; null: it is not known. */
static json_t *best_json(const app_table *t, size_t figure)
{
    bool lead[TRAIN_VARIANTS_MAX];
    const size_t leaders = app_table_leaders(lead, t, figure);
    const app_figure *f = &t->figure[figure];
    const char *who = leaders == 0 ? "nobody is told apart" : "not one";
    char note[512] = "";

    if (!known(t, figure))
        return json_null();
    for (size_t i = 0; i < t->compare->entries.count; i++) {
        const size_t e = t->order[i], used = strlen(note);
        const char *label = t->compare->entries.variant[e].label;
        const measure_mean *s = app_table_spread(t, e, figure);

        if (!lead[e])
            continue;
        if (leaders == 1) {
            who = label;
            snprintf(note, sizeof note, "%.*f \u00b1 %.*f %%", f->digits, 100 * s->mean,
                     f->digits, 100 * s->std);
        } else {
            snprintf(note + used, sizeof note - used, "%s%s", used ? ", " : "", label);
        }
    }
    return json_pack("{s:s, s:s, s:s}", "title", f->title, "who", who, "note", note);
}

/* What the baseline is against the others in what a reader asks first: clean, corrupted,
 * attacked. Sentences. */
static json_t *conclusions_json(const app_table *t)
{
    const size_t clean = app_table_figure(t, "top1");
    const size_t corrupted = app_table_figure(t, "corrupted_error");
    json_t *list = json_array();

    for (size_t f = 0; f < t->figures; f++) {
        const char *text = f == clean || f == corrupted || f >= t->first_budget
                               ? app_verdict_text(t, f)
                               : NULL;

        if (text)
            json_array_append_new(
                list, show_json_text(app_text("%s, %%: %s", t->figure[f].title, text)));
    }
    return list;
}

static bool measured(const app_compare *c, const app_compare_run *run)
{
    bool all = true;

    for (app_measure m = 0; m < APP_MEASURE_COUNT; m++)
        all = all && (run->result[m] || app_compare_without(c, m));
    return all;
}

/* What failed or is not there yet; null: nothing. */
static json_t *missing_json(const app_compare *c)
{
    size_t failed = 0, untrained = 0, unmeasured = 0;
    json_t *facts = json_array();
    char name[128];

    for (size_t r = 0; r < c->runs; r++) {
        const app_compare_run *run = &c->run[r];
        if (run->reason[0]) {
            failed++;
            show_fact(facts, "%s failed: %s", app_compare_name(name, sizeof name, c, run),
                      run->reason);
        } else if (run->state != APP_RUN_FINISHED) {
            untrained++;
        } else {
            unmeasured += !measured(c, run);
        }
    }
    if (untrained > 0)
        show_fact(facts, "%zu not trained to the end yet", untrained);
    if (unmeasured > 0)
        show_fact(facts, "%zu trained, but not measured in full yet", unmeasured);
    if (json_array_size(facts) > 0)
        return json_pack(
            "{s:s, s:o, s:o}", "verdict", "WARN", "text",
            show_json_text(app_text("%zu of %zu runs are not in all of these figures",
                                    failed + untrained + unmeasured, c->runs)),
            "facts", facts);
    json_decref(facts);
    return json_null();
}

/* What was equal and how it was measured. */
static json_t *method_json(const app_compare *c)
{
    const app_compare_args *args = c->args;
    json_t *list = json_array();
    char number[32], images[96] = "all images";

    show_fact(list,
              "Equal for all: backbone, experts and k, data and its order for a seed, "
              "augmentation, optimiser, schedule, number of steps, the random "
              "weights' seed. Only the router and what belongs to it (gates, "
              "auxiliary losses, noise) differ, and the settings named above.");
    show_fact(
        list, "Trained for %s steps of %d images each; evaluated is %s.",
        show_thousands(number, sizeof number, c->total), c->recipe.train.batch,
        args->checkpoint == 1
            ? "the best checkpoint by accuracy on the same images, which flatters all"
            : "the last checkpoint: nothing is chosen by the images that it is judged "
              "on");
    show_fact(
        list,
        "Clean: all of %s. Loads are of the same pass, before dropping, mean over MoE "
        "layers.",
        c->recipe.data.val);
    if (args->eval_limit > 0)
        snprintf(images, sizeof images, "%lld images, the first of the seeded order",
                 (long long)args->eval_limit);
    if (!args->no_corruptions)
        show_fact(list,
                  "Corruptions: the 15 of ImageNet-C at 5 severities on %s, the same for "
                  "all. The error is the mean over all 75; mCE divides each corruption's "
                  "error by that of softmax with the same seed (100: as softmax).",
                  images);
    if (!args->no_attack)
        show_fact(list,
                  "Attack: PGD in Linf, %lld steps, random start, one restart, budgets %s, "
                  "on %s. One attack is an upper bound on robustness: vmoe attack looks "
                  "harder.",
                  (long long)args->steps, args->eps, images);
    show_fact(list,
              "Routing change: 1 - intersection over union of a token's experts, clean "
              "image against changed one, mean over tokens and layers; under the "
              "attack at the last budget, of images that were right.");
    show_fact(list, "\u00b1 is the standard deviation of one training over seeds (n - 1). "
                    "With few seeds it is itself uncertain.");
    return list;
}

/* ---- the document -------------------------------------------------------------------- */

/* What of it there is: blocks of a view ask for it. */
static json_t *parts_json(const app_table *t)
{
    const bool moved = known(t, app_table_figure(t, "routing_change_corrupted")) ||
                       known(t, app_table_figure(t, "routing_change_attacked"));

    return json_pack("{s:o}", "routing", moved ? json_true() : json_null());
}

/* What the options and the recipe say. */
static void settings_put(json_t *json, const app_table *t)
{
    const app_compare *c = t->compare;
    const app_compare_args *args = c->args;
    char network[128], steps[32];

    show_put_text(
        json, "title",
        app_text("%zu router%s with %lld seed%s each on %s (%.80s), %s steps of %d images",
                 c->entries.count, c->entries.count > 1 ? "s" : "", (long long)args->seeds,
                 args->seeds > 1 ? "s" : "",
                 app_network_name(network, sizeof network, &c->network), c->recipe.name,
                 show_thousands(steps, sizeof steps, c->total), c->recipe.train.batch));
    show_put_text(json, "command_line", args->command_line);
    show_put_text(json, "val", c->recipe.data.val);
    json_object_update(json, c->about);
    show_put_text(json, "recipe", c->recipe.name);
    show_put_count(json, "steps", c->total);
    show_put_int(json, "seeds", args->seeds);
    show_put_text(json, "checkpoint", args->checkpoint == 1 ? "best" : "last");
    show_put_int(json, "eval_batch", c->common.batch);
    show_put_int(json, "eval_limit", args->eval_limit);
    show_put(json, "corruptions", corruptions_json(c));
    show_put(json, "attack", attack_json(t));
    show_put_text(json, "baseline", c->entries.variant[t->baseline].label);
    show_put(json, "mce_baseline",
             t->softmax == SIZE_MAX ? json_null()
                                    : json_string(c->entries.variant[t->softmax].label));
}

json_t *app_compare_json(const app_table *table)
{
    const app_table *t = table;
    const app_compare *c = t->compare;
    const size_t last = t->figures - 1;
    json_t *json = app_json_begin(&c->common, "compare", NULL, c->recipe.data.train);
    json_t *entries = json_array();

    settings_put(json, t);
    show_put(json, "missing", missing_json(c));
    show_put(json, "best",
             json_pack("{s:o, s:o, s:o}", "clean",
                       best_json(t, app_table_figure(t, "top1")), "corrupted",
                       best_json(t, app_table_figure(t, "corrupted_error")), "attacked",
                       last >= t->first_budget ? best_json(t, last) : json_null()));
    show_put(json, "timing", t->timing ? json_incref(t->timing) : json_null());
    for (size_t i = 0; i < c->entries.count; i++)
        json_array_append_new(entries, entry_json(t, t->order[i]));
    show_put(json, "entries", entries);
    show_put(json, "corruption_names", corruption_names());
    show_put(json, "corrupted", corrupted_json(t));
    show_put(json, "attacked", attacked_json(t));
    show_put(json, "steps_timed", app_steps_json(t));
    show_put(json, "verdicts", app_verdicts_json(t));
    show_put(json, "conclusions", conclusions_json(t));
    show_put(json, "method", method_json(c));
    show_put(json, "parts", parts_json(t));
    return json;
}
