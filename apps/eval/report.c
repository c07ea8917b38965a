/* report.c - the results of an evaluation as a table and as JSON (docs/json.md).
 * Free to change: the table. Relied on elsewhere: the keys of the JSON; fractions are
 * 0..1 there and per cent on paper. */
#include "apps/eval/internal.h"

#include <math.h>
#include <string.h>

enum { CONFUSED_SHOWN = 8, CLASSES_SHOWN = 20, NAME_COLUMN = 24, DENSE_CLASSES = 200 };

/* A name in a column of NAME_COLUMN characters, cut if it must be, and two blanks.
 * UTF-8. */
static void column_print(const char *name)
{
    size_t letters = 0;

    for (; *name; name++) {
        letters += ((unsigned char)*name & 0xc0) != 0x80;
        if (letters > NAME_COLUMN)
            break;
        putchar(*name);
    }
    for (; letters < NAME_COLUMN + 2; letters++)
        putchar(' ');
    if (*name)
        putchar(' '); /* the letter that did not fit was counted */
}

static void class_print(const app_evaluation *e, size_t c)
{
    char name[APP_NAME_BYTES];

    column_print(app_network_class(name, sizeof name, &e->network, e->source, c));
}

double app_eval_rate(const app_evaluation *e)
{
    const uint64_t corrupted = e->robust ? app_robust_images(e->robust) : 0;

    return (double)(e->score.samples + corrupted) / e->seconds;
}

static void headline_print(const app_evaluation *e)
{
    char name[APP_NAME_BYTES], path[1024], a[32], b[32];
    const measure_score *s = &e->score;
    double low, high;

    measure_interval(&low, &high, s->top1, s->samples);
    printf("model   %s (%s, %s parameters)\n",
           base_quote(path, sizeof path, e->network.path),
           app_network_name(name, sizeof name, e->network.config),
           show_thousands(a, sizeof a, vit_model_floats(e->network.model)));
    printf("data    %s (%s, %s of %s images, %zu classes)\n",
           base_quote(path, sizeof path, e->data), data_source_layout(e->source),
           show_thousands(a, sizeof a, s->samples),
           show_thousands(b, sizeof b, data_source_count(e->source)),
           data_source_classes(e->source));
    printf("\ntop-1   %6.2f %%   95 %%: %.2f to %.2f\n", 100 * measure_score_top1(s),
           100 * low, 100 * high);
    if (s->classes > MEASURE_SCORE_TOP)
        printf("top-5   %6.2f %%\n", 100 * measure_score_top5(s));
    if (s->samples > s->bad) {
        printf("loss    %6.4f\n", measure_score_loss(s));
        printf("ECE     %6.2f %%   %d bins\n", 100 * measure_score_ece(s),
               MEASURE_SCORE_BINS);
    }
    if (s->bad > 0)
        printf("bad     %6llu     unusable images, counted as wrong\n",
               (unsigned long long)s->bad);
    printf("rate    %6.0f images/s, %s in all\n", app_eval_rate(e),
           show_duration(a, sizeof a, e->seconds));
}

/* The classes that the data has, when they are not all; and images of none of them. */
static void subset_print(const app_evaluation *e)
{
    const app_subset *t = &e->subset;
    const double n = e->score.samples ? (double)e->score.samples : 1;
    char path[1024], number[32];

    if (app_subset_is_part(t)) {
        printf("\namong the %zu classes present, of %zu\n", t->count, t->classes);
        printf("top-1   %6.2f %%\n", 100 * (double)t->top1 / n);
        if (t->count > MEASURE_SCORE_TOP)
            printf("top-5   %6.2f %%\n", 100 * (double)t->top5 / n);
    }
    if (!t->ood || e->interrupted)
        return;
    printf("\nood     %s (%s images", base_quote(path, sizeof path, t->data),
           show_thousands(number, sizeof number, t->outside_count));
    printf(" told from %s of %zu classes)\n",
           show_thousands(number, sizeof number, t->inside_count), t->mask_count);
    printf("AUPR    %6.2f %%   by chance %.2f\n", 100 * t->detection.aupr,
           100 * (double)t->outside_count / (double)(t->outside_count + t->inside_count));
    printf("AUROC   %6.2f %%\nFPR95   %6.2f %%\n", 100 * t->detection.auroc,
           100 * t->detection.fpr95);
    if (t->bad > 0)
        printf("bad     %6llu     unusable images, left out\n", (unsigned long long)t->bad);
}

static void classes_print(const app_evaluation *e)
{
    const measure_score *s = &e->score;

    if (s->classes > CLASSES_SHOWN)
        return;
    putchar('\n');
    column_print("class");
    printf("images  top-1\n");
    for (size_t c = 0; c < s->classes; c++) {
        if (s->class_total[c] == 0)
            continue;
        class_print(e, c);
        printf("%6llu  %5.1f %%\n", (unsigned long long)s->class_total[c],
               100.0 * (double)s->class_right[c] / (double)s->class_total[c]);
    }
}

static void confused_print(const app_evaluation *e)
{
    measure_confused pairs[CONFUSED_SHOWN];
    const size_t count = measure_score_confused(pairs, CONFUSED_SHOWN, &e->score);

    if (count == 0)
        return;
    putchar('\n');
    column_print("most often confused");
    column_print("taken for");
    printf("images  of class\n");
    for (size_t i = 0; i < count; i++) {
        class_print(e, pairs[i].label);
        class_print(e, pairs[i].answer);
        printf("%6llu   %5.1f %%\n", (unsigned long long)pairs[i].count,
               100.0 * (double)pairs[i].count /
                   (double)e->score.class_total[pairs[i].label]);
    }
}

/* The plain mean over layers of what the table shows (routing.md 12). */
static vit_load_metrics layers_mean(const app_evaluation *e)
{
    const double n = e->moe_count ? (double)e->moe_count : 1;
    vit_load_metrics mean = {0};

    for (size_t l = 0; l < e->moe_count; l++) {
        const vit_load_metrics m = vit_load_summary(&e->load[l]);

        mean.cv += m.cv / n;
        mean.max_violation += m.max_violation / n;
        mean.min_ratio += m.min_ratio / n;
        mean.dead += m.dead / n;
        mean.entropy += m.entropy / n;
        mean.dropped += m.dropped / n;
    }
    return mean;
}

static void load_print(const char *name, vit_load_metrics m)
{
    printf("%-8s  %6.3f  %8.3f  %8.3f  %4.3g  %7.4f  %5.2f %%\n", name, m.cv,
           m.max_violation + 1, m.min_ratio, m.dead, m.entropy, 100 * m.dropped);
}

/* Nothing where all tokens have equally many experts. */
static void spread_print(size_t block, vit_load_metrics m)
{
    if (m.fewest < m.most)
        printf(
            "block %zu: %g to %g experts a token, mean %.3f; 1 or more %.1f %%, 2 %.1f %%, "
            "4 %.1f %%, 8 %.1f %%\n",
            block, m.fewest, m.most, m.kept, 100 * m.at_least[0], 100 * m.at_least[1],
            100 * m.at_least[2], 100 * m.at_least[3]);
}

static void experts_print(const app_evaluation *e)
{
    char name[32];

    if (e->moe_count == 0)
        return;
    printf("\nexperts   load CV  max/mean  min/mean  dead  entropy  dropped\n");
    for (size_t l = 0; l < e->moe_count; l++) {
        snprintf(name, sizeof name, "block %zu", e->blocks[l]);
        const vit_load_metrics m = vit_load_summary(&e->load[l]);
        if (m.soft.is_soft)
            printf(
                "%-8s  assigns nothing: largest weight of a slot in a token %.3f, of a token "
                "in a slot %.3f, entropy of a token's slots %.3f\n",
                name, m.soft.combine_max, m.soft.dispatch_max, m.soft.combine_entropy);
        else
            load_print(name, m);
    }
    if (e->moe_count > 1 && !vit_load_summary(&e->load[0]).soft.is_soft)
        load_print("mean", layers_mean(e));
    for (size_t l = 0; l < e->moe_count; l++)
        spread_print(e->blocks[l], vit_load_summary(&e->load[l]));
}

void app_eval_print(const app_evaluation *e)
{
    headline_print(e);
    subset_print(e);
    classes_print(e);
    confused_print(e);
    experts_print(e);
    if (e->sweep.points > 0)
        app_capacity_print(&e->sweep);
    if (e->robust)
        app_robust_print(e->robust, &e->score);
}

static json_t *bins_json(const measure_score *s)
{
    json_t *bins = json_array();

    for (size_t b = 0; b < MEASURE_SCORE_BINS; b++) {
        const double n = (double)s->bin_total[b];
        json_t *bin = json_object();

        json_object_set_new(bin, "low", json_real((double)b / MEASURE_SCORE_BINS));
        json_object_set_new(bin, "high", json_real((double)(b + 1) / MEASURE_SCORE_BINS));
        json_object_set_new(bin, "count", json_integer((json_int_t)s->bin_total[b]));
        json_object_set_new(bin, "accuracy",
                            n > 0 ? json_real((double)s->bin_right[b] / n) : json_null());
        json_object_set_new(bin, "confidence",
                            n > 0 ? json_real(s->bin_confidence[b] / n) : json_null());
        json_array_append_new(bins, bin);
    }
    return bins;
}

static json_t *classes_json(const app_evaluation *e)
{
    const measure_score *s = &e->score;
    json_t *classes = json_array();
    char name[APP_NAME_BYTES];

    for (size_t c = 0; c < s->classes; c++) {
        json_t *one = json_object();

        app_network_label(name, sizeof name, &e->network, e->source, c);
        json_object_set_new(one, "name", json_string(name));
        json_object_set_new(one, "count", json_integer((json_int_t)s->class_total[c]));
        json_object_set_new(one, "predicted", json_integer((json_int_t)s->predicted[c]));
        json_object_set_new(one, "top1",
                            s->class_total[c] ? json_real((double)s->class_right[c] /
                                                          (double)s->class_total[c])
                                              : json_null());
        json_array_append_new(classes, one);
    }
    return classes;
}

/* label, answer, count of every pair that occurs, one after the other; null without a table. */
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
    char name[APP_NAME_BYTES];

    for (size_t i = 0; i < count; i++) {
        json_t *one = json_object();

        app_network_label(name, sizeof name, &e->network, e->source, pairs[i].label);
        json_object_set_new(one, "label", json_string(name));
        app_network_label(name, sizeof name, &e->network, e->source, pairs[i].answer);
        json_object_set_new(one, "answer", json_string(name));
        json_object_set_new(one, "count", json_integer((json_int_t)pairs[i].count));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *experts_json(const app_evaluation *e, uint64_t seed)
{
    json_t *layers = json_array();

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

/* The mean over the layers of every figure that they have, by key; lists and the layer's number are left out,
 * a figure that one of them lacks is null. */
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
    return mean;
}

/* null when all classes of the network are there. */
static json_t *subset_json(const app_evaluation *e)
{
    const app_subset *t = &e->subset;
    const double n = e->score.samples ? (double)e->score.samples : 1;
    double low, high;

    if (!app_subset_is_part(t) || e->score.samples == 0)
        return json_null();
    measure_interval(&low, &high, t->top1, e->score.samples);
    return json_pack("{s:I, s:f, s:[f, f], s:f}", "classes", (json_int_t)t->count, "top1",
                     (double)t->top1 / n, "top1_interval", low, high, "top5",
                     (double)t->top5 / n);
}

/* null without --ood, and when it was stopped. */
static json_t *ood_json(const app_evaluation *e)
{
    const app_subset *t = &e->subset;

    if (!t->ood || e->interrupted)
        return json_null();
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "data",
                     show_json_text(t->data), "images", (json_int_t)t->outside_count, "bad",
                     (json_int_t)t->bad, "against", (json_int_t)t->inside_count, "classes",
                     (json_int_t)t->mask_count, "aupr", t->detection.aupr, "auroc",
                     t->detection.auroc, "fpr95", t->detection.fpr95);
}

json_t *app_eval_json(const app_evaluation *e, const app_common *common)
{
    const measure_score *s = &e->score;
    json_t *json = app_json_begin(common, "eval", e->network.path, e->data);
    double low, high;

    if (!json)
        return NULL;
    measure_interval(&low, &high, s->top1, s->samples);
    json_object_set_new(json, "layout", json_string(data_source_layout(e->source)));
    json_object_set_new(json, "samples", json_integer((json_int_t)s->samples));
    json_object_set_new(json, "seconds", json_real(e->seconds));
    json_object_set_new(json, "images_per_second", json_real(app_eval_rate(e)));
    json_object_set_new(json, "network_seconds", json_real(e->network_seconds));
    json_object_set_new(json, "complete", json_boolean(!e->interrupted));
    app_network_json(json, &e->network);
    json_object_set_new(json, "top1", json_real(measure_score_top1(s)));
    json_object_set_new(json, "top1_interval", json_pack("[f, f]", low, high));
    json_object_set_new(json, "top5", json_real(measure_score_top5(s)));
    json_object_set_new(json, "loss", show_json_real(measure_score_loss(s)));
    json_object_set_new(json, "ece", show_json_real(measure_score_ece(s)));
    json_object_set_new(json, "subset", subset_json(e));
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
    json_t *moe = experts_json(e, (uint64_t)common->seed);
    json_object_set_new(json, "moe_mean",
                        e->moe_count > 0 ? mean_json(moe, NULL) : json_null());
    json_object_set_new(json, "moe", moe);
    if (e->sweep.points > 0)
        json_object_set_new(json, "capacity", app_capacity_json(&e->sweep));
    if (e->robust)
        json_object_set_new(json, "robust", app_robust_json(e->robust, &e->score));
    return json;
}
