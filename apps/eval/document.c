/* document.c - the results of an evaluation as one document (docs/json.md): all that its
 * table and page show. Relied on elsewhere: the keys; fractions are 0..1. Metrics under
 * corruption as Hendrycks and Dietterich 2019, section 4.3. */
#include "apps/eval/internal.h"

#include <math.h>
#include <string.h>

enum { DENSE_CLASSES = 200, IMAGENET_CLASSES = 1000, FACT = 256 };

static void fact_put(json_t *facts, const char *format, ...) BASE_PRINTF(2, 3);
static void fact_put(json_t *facts, const char *format, ...)
{
    char text[2048];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    json_array_append_new(facts, show_json_text(text));
}

/* null: of none. */
static json_t *share_json(uint64_t part, uint64_t all)
{
    return show_json_real(all > 0 ? (double)part / (double)all : (double)NAN);
}

static json_t *interval_json(uint64_t right, uint64_t samples)
{
    double low = 0, high = 0;

    if (samples > 0)
        measure_interval(&low, &high, right, samples);
    return json_pack("[f, f]", low, high);
}

/* A class under `key` as programs name it, under "key_title" (of a list of classes:
 * "title") as people do. */
static void class_put(json_t *json, const char *key, const app_network *network,
                      const data_source *source, size_t c)
{
    char name[APP_NAME_BYTES], title[32];

    snprintf(title, sizeof title, "%s_title", key);
    json_object_set_new(
        json, key, json_string(app_network_label(name, sizeof name, network, source, c)));
    json_object_set_new(
        json, strcmp(key, "name") == 0 ? "title" : title,
        json_string(app_network_class(name, sizeof name, network, source, c)));
}

/* The first answers of an image as bars, and the name of its picture. */
static json_t *answers_json(const size_t *top, const double *probability, size_t count,
                            int32_t label, const char *picture, size_t number,
                            const app_network *network, const data_source *source)
{
    json_t *json = json_object(), *list = json_array();
    char name[APP_NAME_BYTES], key[64];

    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list,
            json_pack("{s:s, s:f, s:b}", "name",
                      app_network_class(name, sizeof name, network, source, top[i]),
                      "probability", probability[i], "mark", top[i] == (size_t)label));
    snprintf(key, sizeof key, "%s-%zu", picture, number);
    class_put(json, "answer", network, source, top[0]);
    json_object_set_new(json, "right", json_boolean(top[0] == (size_t)label));
    json_object_set_new(json, "picture", json_string(key));
    json_object_set_new(json, "top", list);
    return json;
}

/* ---- classes and examples ------------------------------------------------------------ */

static json_t *bins_json(const measure_score *s)
{
    json_t *bins = json_array();

    for (size_t b = 0; b < MEASURE_SCORE_BINS; b++) {
        const uint64_t n = s->bin_total[b];
        json_t *bin = json_object();

        json_object_set_new(bin, "low", json_real((double)b / MEASURE_SCORE_BINS));
        json_object_set_new(bin, "high", json_real((double)(b + 1) / MEASURE_SCORE_BINS));
        json_object_set_new(bin, "count", json_integer((json_int_t)n));
        json_object_set_new(bin, "accuracy", share_json(s->bin_right[b], n));
        json_object_set_new(bin, "confidence",
                            n > 0 ? json_real(s->bin_confidence[b] / (double)n)
                                  : json_null());
        json_object_set_new(bin, "accuracy_interval",
                            n > 0 ? interval_json(s->bin_right[b], n) : json_null());
        json_array_append_new(bins, bin);
    }
    return bins;
}

static json_t *classes_json(const app_evaluation *e)
{
    const measure_score *s = &e->score;
    json_t *classes = json_array();

    for (size_t c = 0; c < s->classes; c++) {
        json_t *one = json_object();

        class_put(one, "name", &e->network, e->source, c);
        json_object_set_new(one, "count", json_integer((json_int_t)s->class_total[c]));
        json_object_set_new(one, "predicted", json_integer((json_int_t)s->predicted[c]));
        json_object_set_new(one, "top1", share_json(s->class_right[c], s->class_total[c]));
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

/* [label][answer], or null where a million zeroes would be written. */
static json_t *confusion_json(const measure_score *s)
{
    if (!s->confusion || s->classes > DENSE_CLASSES)
        return json_null();
    json_t *rows = json_array();
    for (size_t r = 0; r < s->classes; r++) {
        json_t *row = json_array();

        for (size_t c = 0; c < s->classes; c++)
            json_array_append_new(
                row, json_integer((json_int_t)s->confusion[r * s->classes + c]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *confused_json(const app_evaluation *e)
{
    enum { PAIRS = 20 };
    measure_confused pairs[PAIRS];
    const size_t count = measure_score_confused(pairs, PAIRS, &e->score);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *one = json_object();

        class_put(one, "label", &e->network, e->source, pairs[i].label);
        class_put(one, "answer", &e->network, e->source, pairs[i].answer);
        json_object_set_new(one, "count", json_integer((json_int_t)pairs[i].count));
        json_object_set_new(
            one, "of_class",
            share_json(pairs[i].count, e->score.class_total[pairs[i].label]));
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
        json_t *one = answers_json(x->top, x->probability, x->top_count, x->label, key, i,
                                   &e->network, e->source);

        class_put(one, "label", &e->network, e->source, (size_t)x->label);
        json_object_set_new(one, "name",
                            show_json_text(data_source_relative_name(e->source, x->sample,
                                                                     name, sizeof name)));
        json_array_append_new(examples, one);
    }
    return examples;
}

/* ---- experts ------------------------------------------------------------------------- */

/* Kept assignments [classes][experts]. */
static json_t *table_json(const measure_usage *usage)
{
    json_t *rows = json_array();

    for (size_t c = 0; c < usage->classes; c++) {
        json_t *row = json_array();

        for (size_t x = 0; x < usage->experts; x++)
            json_array_append_new(
                row, json_integer((json_int_t)usage->table[c * usage->experts + x]));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* How many experts tokens have, where it is not the same number for all. */
static void spread_put(json_t *layer, vit_load_metrics m)
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
    json_object_set_new(layer, "spread", json_string(text));
}

static json_t *experts_json(const app_evaluation *e, uint64_t seed)
{
    json_t *layers = json_array();
    char name[32];

    for (size_t l = 0; l < e->moe_count; l++) {
        const measure_usage_metrics usage = measure_usage_summary(&e->usage[l], seed);
        const double batches = e->batches ? (double)e->batches : 1;
        json_t *layer = measure_load_json(e->blocks[l], &e->load[l]);
        json_t *batch = json_object();
        json_t *classes = json_object();

        json_object_set_new(batch, "load_cv", show_json_real(e->batch_cv[l] / batches));
        json_object_set_new(batch, "max_violation",
                            show_json_real(e->batch_violation[l] / batches));
        const vit_load_metrics m = vit_load_summary(&e->load[l]);

        snprintf(name, sizeof name, "block %zu", e->blocks[l]);
        json_object_set_new(layer, "name", json_string(name));
        json_object_set_new(layer, "max_ratio", show_json_real(m.max_violation + 1));
        spread_put(layer, m);
        if (l + 1 == e->moe_count)
            json_object_set_new(layer, "class_table", table_json(&e->usage[l]));
        json_object_set_new(layer, "gate_lost", show_json_real(m.gate_lost));
        json_object_set_new(layer, "experts_per_token",
                            json_pack("{s:f, s:f, s:f, s:[f, f, f, f]}", "min", m.fewest,
                                      "mean", m.kept, "max", m.most, "at_least_1_2_4_8",
                                      m.at_least[0], m.at_least[1], m.at_least[2],
                                      m.at_least[3]));
        json_object_set_new(layer, "routing_seconds", show_json_real(m.seconds));
        json_object_set_new(layer, "batch_mean", batch);
        json_object_set_new(classes, "mutual_information", show_json_real(usage.mutual));
        json_object_set_new(classes, "above_chance", show_json_real(usage.mutual_extra));
        json_object_set_new(classes, "normalised", show_json_real(usage.normalised));
        json_object_set_new(classes, "purity", show_json_real(usage.purity));
        json_object_set_new(layer, "class_usage", classes);
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
            json_object_set_new(mean, key, mean_json(layers, key));
        if ((!json_is_number(value) && !json_is_null(value)) || strcmp(key, "layer") == 0)
            continue;
        for (size_t l = 0; l < json_array_size(layers); l++) {
            const json_t *layer = json_array_get(layers, l);
            const json_t *of =
                json_object_get(inside ? json_object_get(layer, inside) : layer, key);

            sum += json_is_number(of) ? json_number_value(of) / n : (double)NAN;
        }
        json_object_set_new(mean, key, show_json_real(sum));
    }
    if (!inside)
        json_object_set_new(mean, "name", json_string("mean"));
    return mean;
}

/* ---- classes that the data has not --------------------------------------------------- */

/* null when all classes of the network are there. */
static json_t *subset_json(const app_evaluation *e)
{
    const app_subset *t = &e->subset;
    const double n = e->score.samples ? (double)e->score.samples : 1;

    if (!app_subset_is_part(t) || e->score.samples == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:f, s:o, s:f}", "classes", (json_int_t)t->count, "of",
                     (json_int_t)t->classes, "top1", (double)t->top1 / n, "top1_interval",
                     interval_json(t->top1, e->score.samples), "top5", (double)t->top5 / n);
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
                     interval_json(e->real_right, e->real_images));
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

/* ---- under corruption ---------------------------------------------------------------- */

uint64_t app_robust_images(const app_robust *r)
{
    uint64_t images = 0;

    for (size_t c = 0; c < r->selection.count; c++)
        images += r->cell[c].score.samples;
    return images;
}

/* Whether AlexNet's published errors are of the same task. */
static bool comparable(const app_robust *r)
{
    return r->network->classes == IMAGENET_CLASSES;
}

/* "gaussian noise": with blanks, so that a narrow page can break the name. */
static json_t *spoken_json(corrupt_kind kind)
{
    char name[FACT];

    snprintf(name, sizeof name, "%s", corrupt_kind_name(kind));
    for (char *at = name; *at; at++)
        if (*at == '_')
            *at = ' ';
    return json_string(name);
}

static json_t *means_json(measure_agreement_means m)
{
    json_t *json = json_object();

    json_object_set_new(json, "overlap", show_json_real(m.overlap));
    json_object_set_new(json, "first", show_json_real(m.first));
    json_object_set_new(json, "shift", show_json_real(m.moved));
    return json;
}

static json_t *cell_layers_json(const app_robust *r, const measure_cell *cell)
{
    json_t *layers = json_array();

    for (size_t l = 0; l < r->moe_count; l++) {
        const vit_load_metrics m = vit_load_summary(&cell->load[l]);
        const measure_agreement *a = &cell->agreement[l];
        json_t *layer = json_object();

        json_object_set_new(layer, "layer", json_integer((json_int_t)r->blocks[l]));
        json_object_set_new(layer, "load_cv", show_json_real(m.cv));
        json_object_set_new(layer, "max_violation", show_json_real(m.max_violation));
        json_object_set_new(layer, "min_ratio", show_json_real(m.min_ratio));
        json_object_set_new(layer, "dead", show_json_real(m.dead));
        json_object_set_new(layer, "entropy", show_json_real(m.entropy));
        json_object_set_new(layer, "dropped", show_json_real(m.dropped));
        if (!r->args->tree) {
            json_object_set_new(layer, "agreement", means_json(measure_agreement_all(a)));
            json_object_set_new(layer, "agreement_answer_kept",
                                means_json(measure_agreement_of(a, 0)));
            json_object_set_new(layer, "agreement_answer_changed",
                                means_json(measure_agreement_of(a, 1)));
        }
        json_array_append_new(layers, layer);
    }
    return layers;
}

static json_t *corrupted_cells_json(const app_robust *r)
{
    json_t *cells = json_array();

    for (size_t c = 0; c < r->selection.count; c++) {
        const measure_cell *cell = &r->cell[c];
        const measure_score *s = &cell->score;
        const bool any = s->samples > 0;
        json_t *json = json_object();

        json_object_set_new(json, "corruption",
                            json_string(corrupt_kind_name(cell->pair.kind)));
        json_object_set_new(json, "severity", json_integer(cell->pair.severity));
        json_object_set_new(json, "samples", json_integer((json_int_t)s->samples));
        json_object_set_new(json, "error",
                            show_json_real(any ? 1 - measure_score_top1(s) : (double)NAN));
        json_object_set_new(json, "top1",
                            show_json_real(any ? measure_score_top1(s) : (double)NAN));
        json_object_set_new(json, "top5",
                            show_json_real(any ? measure_score_top5(s) : (double)NAN));
        json_object_set_new(json, "top1_interval",
                            any ? interval_json(s->top1, s->samples) : json_null());
        json_object_set_new(json, "loss", show_json_real(measure_score_loss(s)));
        json_object_set_new(json, "ece", show_json_real(measure_score_ece(s)));
        json_object_set_new(json, "flipped", share_json(cell->flipped, cell->compared));
        json_object_set_new(json, "moe", cell_layers_json(r, cell));
        json_array_append_new(cells, json);
    }
    return cells;
}

/* Error at 1 to 5, beside AlexNet's where that is of the same task. */
static json_t *severities_json(const app_robust *r, const corrupt_errors *errors,
                               corrupt_kind kind)
{
    json_t *list = json_array();

    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
        json_array_append_new(
            list, json_pack("{s:i, s:o, s:o}", "severity", s, "error",
                            show_json_real(errors->error[kind][s - 1]), "alexnet",
                            show_json_real(comparable(r) ? corrupt_alexnet_error(kind, s)
                                                         : (double)NAN)));
    return list;
}

/* Share of a token's experts that are others than on the clean image, by MoE layer. */
static json_t *changed_json(const app_robust *r, corrupt_kind kind)
{
    json_t *list = json_array();

    for (size_t l = 0; l < r->moe_count; l++) {
        const measure_agreement sum =
            measure_cell_agreement(r->cell, r->selection.count, kind, l);

        json_array_append_new(list,
                              show_json_real(1 - measure_agreement_all(&sum).overlap));
    }
    return list;
}

static json_t *kinds_json(const app_robust *r, const corrupt_errors *errors)
{
    json_t *kinds = json_array();

    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++) {
        const corrupt_kind kind = (corrupt_kind)k;
        const measure_cell_means m =
            measure_cell_means_of(r->cell, r->selection.count, kind);
        json_t *json;

        if (!m.measured)
            continue;
        json = json_object();
        json_object_set_new(json, "name", json_string(corrupt_kind_name(kind)));
        json_object_set_new(json, "title", spoken_json(kind));
        json_object_set_new(json, "group",
                            json_string(corrupt_group_name(corrupt_kind_group(kind))));
        json_object_set_new(json, "benchmark", json_boolean(k < CORRUPT_BENCH_COUNT));
        json_object_set_new(json, "extra", json_boolean(k >= CORRUPT_BENCH_COUNT));
        json_object_set_new(json, "severities", severities_json(r, errors, kind));
        json_object_set_new(json, "error",
                            show_json_real(corrupt_mean_error(errors, kind)));
        json_object_set_new(json, "ce", show_json_real(corrupt_ce(errors, kind)));
        json_object_set_new(
            json, "relative_ce",
            show_json_real(corrupt_relative_ce(errors, kind, r->args->alexnet_clean)));
        json_object_set_new(json, "ece", show_json_real(m.ece));
        json_object_set_new(json, "flipped", show_json_real(m.flipped));
        json_object_set_new(json, "answer_kept", show_json_real(1 - m.flipped));
        if (r->moe_count > 0) {
            json_object_set_new(json, "load_cv", show_json_real(m.cv));
            json_object_set_new(json, "max_violation", show_json_real(m.violation));
            json_object_set_new(json, "max_ratio", show_json_real(m.violation + 1));
        }
        if (r->moe_count > 0 && !r->args->tree) {
            json_object_set_new(json, "agreement", means_json(m.routing));
            json_object_set_new(json, "changed", changed_json(r, kind));
        }
        json_array_append_new(kinds, json);
    }
    return kinds;
}

static json_t *specimens_json(const app_robust *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->specimen_count; i++) {
        const app_specimen *s = &r->specimen[i];
        json_t *one = answers_json(s->top, s->probability, s->top_count, r->specimen_label,
                                   "specimen", i, r->network, r->source);

        json_object_set_new(one, "title",
                            i == 0 ? json_string("clean") : spoken_json(s->pair.kind));
        json_array_append_new(list, one);
    }
    return list;
}

/* What the figures are of, and what they are not. */
static json_t *robust_facts(const app_robust *r, const corrupt_errors *errors)
{
    const double both = r->corrupt_seconds + r->network_seconds;
    json_t *facts = json_array();
    char a[32], b[32], crew[128];

    if (r->args->tree)
        fact_put(facts, "network %s on the files of the tree",
                 show_duration(a, sizeof a, r->network_seconds));
    if (r->tree_bad > 0)
        fact_put(facts, "%s unusable files of the tree, counted as wrong",
                 show_thousands(a, sizeof a, r->tree_bad));
    if (!r->args->tree)
        fact_put(facts, "%s%s", app_crew_text(crew, sizeof crew, &r->crew),
                 r->args->jpeg > 0 ? "; with a last JPEG step" : "");
    if (isnan(corrupt_mce(errors)))
        fact_put(
            facts,
            "no mCE: it needs the %d corruptions of the benchmark at all %d severities",
            CORRUPT_BENCH_COUNT, CORRUPT_SEVERITY_MAX);
    else if (!comparable(r))
        fact_put(facts,
                 "CE divides by AlexNet's errors on ImageNet's 1,000 classes: with the %zu "
                 "classes here it compares with no published figure",
                 r->network->classes);
    if (!r->args->tree)
        fact_put(facts, "corruptions %s, network %s: %.1f %% of both are corruptions",
                 show_duration(a, sizeof a, r->corrupt_seconds),
                 show_duration(b, sizeof b, r->network_seconds),
                 both > 0 ? 100 * r->corrupt_seconds / both : 0);
    return facts;
}

/* What a page has more than the figures: one image under each corruption. */
static void specimen_put(json_t *json, const app_robust *r)
{
    json_t *one;
    char name[1024];

    if (r->specimen_count == 0)
        return;
    one = json_object();
    class_put(one, "label", r->network, r->source, (size_t)r->specimen_label);
    json_object_set_new(one, "name",
                        show_json_text(data_source_relative_name(
                            r->source, r->specimen_sample, name, sizeof name)));
    json_object_set_new(one, "severity", json_integer(r->specimen_severity));
    json_object_set_new(json, "specimen", one);
    json_object_set_new(json, "specimens", specimens_json(r));
}

/* Mean error over what was measured, where that is not the whole benchmark. */
static double measured_error(const app_robust *r)
{
    double sum = 0, cells = 0;

    for (size_t c = 0; c < r->selection.count; c++) {
        if (r->cell[c].score.samples == 0)
            continue;
        sum += 1 - measure_score_top1(&r->cell[c].score);
        cells++;
    }
    return cells > 0 ? sum / cells : (double)NAN;
}

static json_t *robust_json(const app_robust *r, const measure_score *clean)
{
    const double both = r->corrupt_seconds + r->network_seconds;
    json_t *json = json_object(), *blocks = json_array();
    corrupt_errors errors;

    measure_cell_errors(&errors, r->cell, r->selection.count, clean);
    json_object_set_new(json, "tree",
                        r->args->tree ? show_json_text(r->args->tree) : json_null());
    if (!r->args->tree) {
        app_crew_json(json, &r->crew);
        json_object_set_new(json, "jpeg",
                            r->args->jpeg > 0 ? json_integer(r->args->jpeg) : json_null());
        json_object_set_new(json, "corrupt_seconds", json_real(r->corrupt_seconds));
        json_object_set_new(
            json, "corrupt_share",
            show_json_real(both > 0 ? r->corrupt_seconds / both : (double)NAN));
    } else {
        json_object_set_new(json, "bad", json_integer((json_int_t)r->tree_bad));
    }
    json_object_set_new(json, "network_seconds", json_real(r->network_seconds));
    json_object_set_new(json, "comparable", json_boolean(comparable(r)));
    json_object_set_new(json, "alexnet_clean", json_real(r->args->alexnet_clean));
    json_object_set_new(json, "mce", show_json_real(corrupt_mce(&errors)));
    json_object_set_new(
        json, "relative_mce",
        show_json_real(corrupt_relative_mce(&errors, r->args->alexnet_clean)));
    json_object_set_new(json, "mean_error", show_json_real(corrupt_bench_error(&errors)));
    json_object_set_new(json, "measured_error",
                        isnan(corrupt_bench_error(&errors))
                            ? show_json_real(measured_error(r))
                            : json_null());
    json_object_set_new(json, "pairs", json_integer((json_int_t)r->selection.count));
    json_object_set_new(json, "clean",
                        json_pack("{s:s, s:s, s:o, s:o, s:b}", "name", "clean", "title",
                                  "clean", "error", show_json_real(errors.clean), "ece",
                                  show_json_real(measure_score_ece(clean)), "extra", true));
    json_object_set_new(json, "facts", robust_facts(r, &errors));
    for (size_t l = 0; l < r->moe_count; l++)
        json_array_append_new(blocks, json_sprintf("block %zu", r->blocks[l]));
    json_object_set_new(json, "blocks", blocks);
    json_object_set_new(json, "corruptions", kinds_json(r, &errors));
    json_object_set_new(json, "cells", corrupted_cells_json(r));
    specimen_put(json, r);
    return json;
}

/* ---- the whole ----------------------------------------------------------------------- */

double app_eval_rate(const app_evaluation *e)
{
    const uint64_t corrupted = e->robust ? app_robust_images(e->robust) : 0;

    return (double)(e->score.samples + corrupted) / e->seconds;
}

/* Data, state, and whatever a reader should know before the figures. */
static void about_put(json_t *json, const app_evaluation *e)
{
    const char *notice = data_source_notice(e->source);
    const uint64_t bad = e->score.bad;
    json_t *facts = json_array();
    char count[32], state[64], of[32], left_out[600];

    show_thousands(count, sizeof count, bad);
    snprintf(state, sizeof state, "%s unusable", count);
    app_data_json(json, e->source);
    json_object_set_new(json, "layout", json_string(data_source_layout(e->source)));
    json_object_set_new(json, "images",
                        json_integer((json_int_t)data_source_count(e->source)));
    json_object_set_new(json, "data_classes",
                        json_integer((json_int_t)data_source_classes(e->source)));
    json_object_set_new(json, "state",
                        json_string(bad              ? state
                                    : e->interrupted ? "stopped early"
                                                     : "all used"));
    if (e->interrupted)
        fact_put(facts, "stopped after %s of %s images, the figures are of those",
                 show_thousands(count, sizeof count, e->score.samples),
                 show_thousands(of, sizeof of, e->planned));
    if (bad > 0)
        fact_put(facts, "%s unusable image%s, counted as wrong",
                 show_thousands(count, sizeof count, bad), bad == 1 ? "" : "s");
    if (e->subset.bad > 0)
        fact_put(facts, "%s unusable of the images of no class, left out",
                 show_thousands(count, sizeof count, e->subset.bad));
    if (notice[0])
        fact_put(facts, "data: %s", notice);
    if (data_source_left_out(left_out, sizeof left_out, e->source)[0])
        fact_put(facts, "data: %s", left_out);
    json_object_set_new(json, "facts", facts);
}

static void scores_put(json_t *json, const app_evaluation *e)
{
    const measure_score *s = &e->score;

    json_object_set_new(json, "top1", json_real(measure_score_top1(s)));
    json_object_set_new(json, "top1_interval", interval_json(s->top1, s->samples));
    json_object_set_new(json, "top5", json_real(measure_score_top5(s)));
    json_object_set_new(json, "loss", show_json_real(measure_score_loss(s)));
    json_object_set_new(json, "ece", show_json_real(measure_score_ece(s)));
    json_object_set_new(json, "subset", subset_json(e));
    json_object_set_new(json, "real", real_json(e));
    json_object_set_new(json, "ood", ood_json(e));
    json_object_set_new(json, "bad", json_integer((json_int_t)s->bad));
    json_object_set_new(json, "odd", json_integer((json_int_t)e->counts.odd));
    json_object_set_new(json, "damaged", json_integer((json_int_t)e->counts.damaged));
    json_object_set_new(json, "calibration", bins_json(s));
    json_object_set_new(json, "classes", classes_json(e));
    json_object_set_new(json, "confused", confused_json(e));
    json_object_set_new(json, "confusion", confusion_json(s));
    if (s->classes > DENSE_CLASSES)
        json_object_set_new(json, "confusion_cells", cells_json(s));
}

json_t *app_eval_json(const app_evaluation *e, const app_common *common)
{
    json_t *json = app_json_begin(common, "eval", e->network.path, e->data);

    if (!json)
        return NULL;
    about_put(json, e);
    json_object_set_new(json, "samples", json_integer((json_int_t)e->score.samples));
    json_object_set_new(json, "seconds", json_real(e->seconds));
    json_object_set_new(json, "images_per_second", json_real(app_eval_rate(e)));
    json_object_set_new(json, "network_seconds", json_real(e->network_seconds));
    json_object_set_new(json, "complete", json_boolean(!e->interrupted));
    app_network_json(json, &e->network);
    scores_put(json, e);
    if (e->wrong_count + e->right_count > 0) {
        json_object_set_new(json, "mistakes",
                            examples_json(e, e->wrong, e->wrong_count, "mistake"));
        json_object_set_new(json, "right_answers",
                            examples_json(e, e->right, e->right_count, "right"));
    }
    json_t *moe = experts_json(e, (uint64_t)common->seed);
    json_object_set_new(json, "moe_mean",
                        e->moe_count > 0 ? mean_json(moe, NULL) : json_null());
    json_object_set_new(json, "moe", moe);
    if (e->sweep.points > 0)
        json_object_set_new(json, "capacity", app_capacity_json(&e->sweep));
    if (e->robust)
        json_object_set_new(json, "robust", robust_json(e->robust, &e->score));
    return json;
}

static base_status picture_put(show_document *document, const char *what, size_t number,
                               const data_image *picture, base_error *err)
{
    char key[64];

    snprintf(key, sizeof key, "%s-%zu", what, number);
    return show_document_picture(document, key, picture, err);
}

base_status app_eval_document(show_document **out, const app_evaluation *e,
                              const app_common *common, base_error *err)
{
    const app_robust *r = e->robust;
    show_document *made = show_document_create(app_eval_json(e, common));
    base_status status =
        made ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for the results");

    for (size_t i = 0; i < e->wrong_count && status == BASE_OK; i++)
        status = picture_put(made, "mistake", i, &e->wrong[i].picture, err);
    for (size_t i = 0; i < e->right_count && status == BASE_OK; i++)
        status = picture_put(made, "right", i, &e->right[i].picture, err);
    for (size_t i = 0; r && i < r->specimen_count && status == BASE_OK; i++)
        status = picture_put(made, "specimen", i, &r->specimen[i].picture, err);
    if (status == BASE_OK)
        *out = made;
    else
        show_document_destroy(made);
    return status;
}
