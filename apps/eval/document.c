/* document.c - the results of an evaluation as one document (docs/json.md): all that its
 * table and page show; those under corruption are robust_document.c's. Relied on elsewhere:
 * the keys; fractions are 0..1. */
#include "apps/eval/internal.h"

#include <math.h>
#include <string.h>

enum { DENSE_CLASSES = 200, FACT = 256 };

json_t *app_example_json(const app_example *example, const char *picture, size_t number,
                         const app_network *network, const data_source *source)
{
    const app_example *x = example;
    json_t *json = json_object(), *list = json_array();
    char name[128];

    for (size_t i = 0; i < x->top_count; i++)
        show_row(list, "{s:s, s:f, s:b}", "name",
                 app_network_class(name, sizeof name, network, source, x->top[i]),
                 "probability", x->probability[i], "mark", x->top[i] == (size_t)x->label);
    app_network_class_put(json, "answer", network, source, x->top[0]);
    show_put_bool(json, "right", x->top[0] == (size_t)x->label);
    show_put(json, "picture", json_sprintf("%s-%zu", picture, number));
    show_put(json, "top", list);
    return json;
}

/* ---- classes and examples ------------------------------------------------------------ */

static json_t *bins_json(const measure_score *s)
{
    json_t *bins = json_array();

    for (size_t b = 0; b < MEASURE_SCORE_BINS; b++) {
        const uint64_t n = s->bin_total[b];

        show_row(bins, "{s:f, s:f, s:I, s:o, s:o, s:o}", "low",
                 (double)b / MEASURE_SCORE_BINS, "high",
                 (double)(b + 1) / MEASURE_SCORE_BINS, "count", (json_int_t)n, "accuracy",
                 app_share_json(s->bin_right[b], n), "confidence",
                 show_json_real(s->bin_confidence[b] / (double)n), "accuracy_interval",
                 app_interval_json(s->bin_right[b], n));
    }
    return bins;
}

static json_t *classes_json(const app_evaluation *e)
{
    const measure_score *s = &e->score;
    json_t *classes = json_array();

    for (size_t c = 0; c < s->classes; c++) {
        json_t *one = json_object();

        app_network_class_put(one, "name", &e->network, e->source, c);
        show_put_count(one, "count", s->class_total[c]);
        show_put_count(one, "predicted", s->predicted[c]);
        show_put(one, "top1", app_share_json(s->class_right[c], s->class_total[c]));
        json_array_append_new(classes, one);
    }
    return classes;
}

/* label, answer, count of every pair that occurs, one after the other; null without a
 * table. */
static json_t *cells_json(const measure_score *s)
{
    if (!s->confusion)
        return json_null();
    json_t *cells = json_array();
    for (size_t i = 0; i < s->classes * s->classes; i++) {
        if (s->confusion[i] == 0)
            continue;
        json_array_append_new(cells, json_integer((json_int_t)(i / s->classes)));
        json_array_append_new(cells, json_integer((json_int_t)(i % s->classes)));
        json_array_append_new(cells, json_integer((json_int_t)s->confusion[i]));
    }
    return cells;
}

static json_t *confused_json(const app_evaluation *e)
{
    enum { PAIRS = 20 };
    measure_confused pairs[PAIRS];
    const size_t count = measure_score_confused(pairs, PAIRS, &e->score);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *one = json_object();

        app_network_class_put(one, "label", &e->network, e->source, pairs[i].label);
        app_network_class_put(one, "answer", &e->network, e->source, pairs[i].answer);
        show_put_count(one, "count", pairs[i].count);
        show_put(one, "of_class",
                 app_share_json(pairs[i].count, e->score.class_total[pairs[i].label]));
        json_array_append_new(list, one);
    }
    return list;
}

/* key: of their pictures. */
static json_t *examples_json(const app_evaluation *e, const app_example *list, size_t count,
                             const char *key)
{
    json_t *examples = json_array();
    char name[1024];

    for (size_t i = 0; i < count; i++) {
        const app_example *x = &list[i];
        json_t *one = app_example_json(x, key, i, &e->network, e->source);

        app_network_class_put(one, "label", &e->network, e->source, (size_t)x->label);
        show_put_text(one, "name",
                      data_source_relative_name(e->source, x->sample, name, sizeof name));
        json_array_append_new(examples, one);
    }
    return examples;
}

/* ---- experts ------------------------------------------------------------------------- */

/* How many experts tokens have, where it is not the same number for all. */
static void spread_put(json_t *layer, vit_usage_metrics m)
{
    char text[FACT];

    if (m.soft.is_soft)
        snprintf(
            text, sizeof text,
            "assigns nothing: largest weight of a slot in a token %.3f, of a token in a "
            "slot %.3f, entropy of a token's slots %.3f",
            m.soft.combine_max, m.soft.dispatch_max, m.soft.combine_entropy);
    else if (!(m.fewest < m.most))
        return;
    else
        snprintf(
            text, sizeof text,
            "%g to %g experts a token, mean %.3f; 1 or more %.1f %%, 2 %.1f %%, 4 %.1f %%, "
            "8 %.1f %%",
            m.fewest, m.most, m.kept, 100 * m.at_least[0], 100 * m.at_least[1],
            100 * m.at_least[2], 100 * m.at_least[3]);
    show_put_text(layer, "spread", text);
}

/* A figure of assignments; null where a router makes none. */
static json_t *assigned(const vit_usage_metrics *m, double figure)
{
    return m->soft.is_soft ? json_null() : show_json_real(figure);
}

/* What became of the assignments of the l-th MoE layer. */
static void assigned_put(json_t *layer, const app_evaluation *e, size_t l,
                         const vit_usage_metrics *m, uint64_t seed)
{
    const measure_usage_metrics usage = measure_usage_summary(&e->usage[l], seed);
    const double batches = e->batches ? (double)e->batches : 1;
    const size_t levels = m->soft.is_soft ? 0 : VIT_USAGE_LEVELS;

    show_put(layer, "max_ratio", assigned(m, m->max_violation + 1));
    if (m->soft.is_soft)
        show_put(layer, "load", json_array());
    else if (l + 1 == e->moe_count)
        show_put(
            layer, "class_table",
            show_json_table(e->usage[l].table, e->usage[l].classes, e->usage[l].experts));
    show_put(layer, "gate_lost", assigned(m, m->gate_lost));
    show_put(layer, "experts_per_token",
             json_pack("{s:o, s:o, s:o, s:o}", "min", assigned(m, m->fewest), "mean",
                       assigned(m, m->kept), "max", assigned(m, m->most),
                       "at_least_1_2_4_8", show_json_reals(m->at_least, levels, 1)));
    show_put(layer, "batch_mean",
             json_pack("{s:o, s:o}", "load_cv", assigned(m, e->batch_cv[l] / batches),
                       "max_violation", assigned(m, e->batch_violation[l] / batches)));
    show_put(layer, "class_usage",
             json_pack("{s:o, s:o, s:o, s:o}", "mutual_information",
                       assigned(m, usage.found.mutual), "above_chance",
                       assigned(m, usage.found.mutual - usage.chance.mutual), "normalised",
                       assigned(m, usage.found.normalised), "purity",
                       assigned(m, usage.found.purity)));
}

static json_t *experts_json(const app_evaluation *e, uint64_t seed)
{
    json_t *layers = json_array();
    char name[32];

    for (size_t l = 0; l < e->moe_count; l++) {
        const vit_usage_metrics m = vit_usage_summary(&e->load[l]);
        json_t *layer = measure_usage_json(e->blocks[l], &e->load[l]);

        snprintf(name, sizeof name, "block %zu", e->blocks[l]);
        show_put_text(layer, "name", name);
        spread_put(layer, m);
        show_put_real(layer, "routing_seconds", m.seconds);
        assigned_put(layer, e, l, &m, seed);
        json_array_append_new(layers, layer);
    }
    return layers;
}

/* The mean over the layers of every figure that they have, by key; lists and the layer's
 * number are left out, a figure that one of them lacks is null. */
static json_t *mean_json(const json_t *layers, const char *inside)
{
    const double n = (double)json_array_size(layers);
    json_t *mean = json_object(), *first = json_array_get(layers, 0), *value;
    const char *key;

    if (inside)
        first = json_object_get(first, inside);
    json_object_foreach(first, key, value)
    {
        double sum = 0;

        if (json_is_object(value) && !inside)
            show_put(mean, key, mean_json(layers, key));
        if ((!json_is_number(value) && !json_is_null(value)) || strcmp(key, "layer") == 0)
            continue;
        for (size_t l = 0; l < json_array_size(layers); l++) {
            const json_t *layer = json_array_get(layers, l);
            const json_t *of =
                json_object_get(inside ? json_object_get(layer, inside) : layer, key);

            sum += json_is_number(of) ? json_number_value(of) / n : (double)NAN;
        }
        show_put_real(mean, key, sum);
    }
    if (!inside)
        show_put_text(mean, "name", "mean");
    return mean;
}

/* ---- classes that the data has not --------------------------------------------------- */

/* null when all classes of the network are there. */
static json_t *subset_json(const app_evaluation *e)
{
    const app_subset *t = &e->subset;
    const double n = e->score.samples ? (double)e->score.samples : 1;

    if (t->count == t->classes || e->score.samples == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:f, s:o, s:f}", "classes", (json_int_t)t->count, "of",
                     (json_int_t)t->classes, "top1", (double)t->top1 / n, "top1_interval",
                     app_interval_json(t->top1, e->score.samples), "top5",
                     (double)t->top5 / n);
}

/* null without --real, and where no image has such labels. */
static json_t *real_json(const app_evaluation *e)
{
    if (!e->real || e->real_images == 0)
        return json_null();
    return json_pack("{s:o, s:I, s:I, s:f, s:o}", "file", show_json_text(e->real_path),
                     "images", (json_int_t)e->real_images, "right",
                     (json_int_t)e->real_right, "top1",
                     (double)e->real_right / (double)e->real_images, "top1_interval",
                     app_interval_json(e->real_right, e->real_images));
}

/* null without --ood, and when it was stopped. */
static json_t *ood_json(const app_evaluation *e)
{
    const app_subset *t = &e->subset;

    if (!t->ood || e->interrupted)
        return json_null();
    return json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "data", show_json_text(t->data),
        "images", (json_int_t)t->outside_count, "bad", (json_int_t)t->bad, "against",
        (json_int_t)t->inside_count, "classes", (json_int_t)t->mask_count, "aupr",
        t->detection.aupr, "auroc", t->detection.auroc, "fpr95", t->detection.fpr95,
        "chance", (double)t->outside_count / (double)(t->outside_count + t->inside_count));
}

/* ---- the whole ----------------------------------------------------------------------- */

/* Images through the network, corrupted ones included, a second. */
static double rate_of(const app_evaluation *e)
{
    uint64_t images = e->score.samples;

    for (size_t c = 0; e->robust && c < e->robust->selection.count; c++)
        images += e->robust->cell[c].score.samples;
    return (double)images / e->seconds;
}

/* Data, state, and whatever a reader should know before the figures. */
static void about_put(json_t *json, const app_evaluation *e)
{
    const uint64_t bad = e->score.bad;
    json_t *facts = json_array();
    char count[32], state[64], of[32];

    show_thousands(count, sizeof count, bad);
    snprintf(state, sizeof state, "%s unusable", count);
    app_data_json(json, e->source);
    show_put_text(json, "layout", data_source_layout(e->source));
    show_put_count(json, "images", data_source_count(e->source));
    show_put_count(json, "data_classes", data_source_classes(e->source));
    show_put_text(json, "state",
                  bad              ? state
                  : e->interrupted ? "stopped early"
                                   : "all used");
    if (e->interrupted)
        show_fact(facts, "stopped after %s of %s images, the figures are of those",
                  show_thousands(count, sizeof count, e->score.samples),
                  show_thousands(of, sizeof of, e->planned));
    if (bad > 0)
        show_fact(facts, "%s unusable image%s, counted as wrong",
                  show_thousands(count, sizeof count, bad), bad == 1 ? "" : "s");
    if (e->subset.bad > 0)
        show_fact(facts, "%s unusable of the images of no class, left out",
                  show_thousands(count, sizeof count, e->subset.bad));
    app_data_facts(facts, e->source);
    show_put(json, "facts", facts);
}

static void scores_put(json_t *json, const app_evaluation *e)
{
    const measure_score *s = &e->score;

    show_put_real(json, "top1", measure_score_top1(s));
    show_put(json, "top1_interval", app_interval_json(s->top1, s->samples));
    show_put_real(json, "top5", measure_score_top5(s));
    show_put_real(json, "loss", measure_score_loss(s));
    show_put_real(json, "ece", measure_score_ece(s));
    show_put(json, "subset", subset_json(e));
    show_put(json, "real", real_json(e));
    show_put(json, "ood", ood_json(e));
    show_put_count(json, "bad", s->bad);
    show_put_count(json, "odd", e->counts.odd);
    show_put_count(json, "damaged", e->counts.damaged);
    show_put(json, "calibration", bins_json(s));
    show_put(json, "classes", classes_json(e));
    show_put(json, "confused", confused_json(e));
    show_put(json, "confusion", /* [label][answer] */
             s->confusion && s->classes <= DENSE_CLASSES
                 ? show_json_table(s->confusion, s->classes, s->classes)
                 : json_null());
    if (s->classes > DENSE_CLASSES) /* where a million zeroes would be written */
        show_put(json, "confusion_cells", cells_json(s));
}

json_t *app_eval_json(const app_evaluation *e, const app_common *common)
{
    json_t *json = app_json_begin(common, "eval", e->network.path, e->data);

    about_put(json, e);
    show_put_count(json, "samples", e->score.samples);
    show_put_real(json, "seconds", e->seconds);
    show_put_real(json, "images_per_second", rate_of(e));
    show_put_real(json, "network_seconds", e->network_seconds);
    show_put_bool(json, "complete", !e->interrupted);
    app_network_json(json, &e->network);
    scores_put(json, e);
    if (e->wrong_count + e->right_count > 0) {
        show_put(json, "mistakes", examples_json(e, e->wrong, e->wrong_count, "mistake"));
        show_put(json, "right_answers",
                 examples_json(e, e->right, e->right_count, "right"));
    }
    json_t *moe = experts_json(e, (uint64_t)common->seed);
    show_put(json, "moe_mean", e->moe_count > 0 ? mean_json(moe, NULL) : json_null());
    show_put(json, "moe", moe);
    if (e->sweep.of.points > 0)
        show_put(json, "capacity", app_capacity_json(&e->sweep));
    if (e->robust)
        show_put(json, "robust", app_robust_json(e->robust, &e->score));
    return json;
}

/* The pictures of a list [count], by the names that the document has for them. */
static base_status pictures_put(show_document *document, const char *what,
                                const app_example *list, size_t count, base_error *err)
{
    base_status status = BASE_OK;
    char key[64];

    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        snprintf(key, sizeof key, "%s-%zu", what, i);
        status = show_document_picture(document, key, &list[i].picture, err);
    }
    return status;
}

base_status app_eval_document(show_document **out, const app_evaluation *e,
                              const app_common *common, base_error *err)
{
    const app_robust *r = e->robust;
    show_document *made = NULL;
    base_status status = app_document_make(&made, app_eval_json(e, common), err);

    if (status == BASE_OK)
        status = pictures_put(made, "mistake", e->wrong, e->wrong_count, err);
    if (status == BASE_OK)
        status = pictures_put(made, "right", e->right, e->right_count, err);
    if (status == BASE_OK && r)
        status = pictures_put(made, "specimen", r->specimen, r->specimen_count, err);
    if (status == BASE_OK)
        *out = made;
    else
        show_document_destroy(made);
    return status;
}
