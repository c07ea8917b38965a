/* robust_report.c - accuracy under corruption as a table and as JSON (docs/json.md). Metrics as
 * Hendrycks and Dietterich 2019, section 4.3. Free to change: the table. Relied on elsewhere: the keys of
 * the JSON; fractions are 0..1 there and per cent on paper. */
#include "apps/eval/robust_internal.h"

#include <math.h>

enum { IMAGENET_CLASSES = 1000 };

uint64_t app_robust_images(const app_robust *r)
{
    uint64_t images = 0;

    for (size_t c = 0; c < r->selection.count; c++)
        images += r->cell[c].score.samples;
    return images;
}

bool app_robust_comparable(const app_robust *r)
{
    return r->network->classes == IMAGENET_CLASSES;
}

/* ---- the table ----------------------------------------------------------------------------- */

/* A share as per cent in `wide` columns, "-" when it is not known. */
static void percent_put(double share, int wide)
{
    if (isnan(share))
        printf("%*s", wide, "-");
    else
        printf("%*.1f", wide, 100 * share);
}

static void errors_print(const app_robust *r, const corrupt_errors *errors,
                         const measure_score *clean)
{
    const double alexnet = r->args->alexnet_clean;

    printf("\nerror, %%            ");
    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
        printf("%7d", s);
    printf("    mean      CE  rel.CE     ECE\n%-19s", "clean");
    printf("%*s", 7 * CORRUPT_SEVERITY_MAX, "");
    percent_put(errors->clean, 9);
    printf("%16s", "");
    percent_put(measure_score_ece(clean), 8);
    putchar('\n');
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++) {
        const measure_cell_means m =
            measure_cell_means_of(r->cell, r->selection.count, (corrupt_kind)k);

        if (!m.measured)
            continue;
        printf("%-19s", corrupt_kind_name((corrupt_kind)k));
        for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++)
            percent_put(errors->error[k][s], 7);
        percent_put(corrupt_mean_error(errors, (corrupt_kind)k), 9);
        percent_put(corrupt_ce(errors, (corrupt_kind)k), 8);
        percent_put(corrupt_relative_ce(errors, (corrupt_kind)k, alexnet), 8);
        percent_put(m.ece, 8);
        putchar('\n');
    }
    const double mce = corrupt_mce(errors);
    if (isnan(mce)) {
        printf(
            "no mCE: it needs the %d corruptions of the benchmark at all %d severities\n",
            CORRUPT_BENCH_COUNT, CORRUPT_SEVERITY_MAX);
        return;
    }
    printf("%-54s", "benchmark: mean, mCE, relative mCE");
    percent_put(corrupt_bench_error(errors), 9);
    percent_put(mce, 8);
    percent_put(corrupt_relative_mce(errors, alexnet), 8);
    putchar('\n');
    if (!app_robust_comparable(r))
        printf("CE divides by AlexNet's errors on ImageNet's 1,000 classes: with the %zu "
               "classes here it\ncompares with no published figure\n",
               r->network->classes);
}

static void routing_print(const app_robust *r)
{
    const bool compared = !r->args->tree;

    if (r->moe_count == 0)
        return;
    printf("\nrouting             load CV  max/mean%s\n",
           compared ? "  same experts  same first  shift  answer kept" : "");
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++) {
        const measure_cell_means m =
            measure_cell_means_of(r->cell, r->selection.count, (corrupt_kind)k);

        if (!m.measured)
            continue;
        printf("%-19s %7.3f  %8.3f", corrupt_kind_name((corrupt_kind)k), m.cv,
               m.violation + 1);
        if (compared)
            printf("  %10.1f %%  %8.1f %%  %5.3f  %9.1f %%", 100 * m.routing.overlap,
                   100 * m.routing.first, m.routing.moved, 100 * (1 - m.flipped));
        putchar('\n');
    }
    if (compared)
        printf("means over %zu layer%s; experts and answers against those of the clean "
               "image\n",
               r->moe_count, r->moe_count == 1 ? "" : "s");
}

void app_robust_print(const app_robust *r, const measure_score *clean)
{
    const double both = r->corrupt_seconds + r->network_seconds;
    corrupt_errors errors;
    char a[32], b[32];

    measure_cell_errors(&errors, r->cell, r->selection.count, clean);
    errors_print(r, &errors, clean);
    routing_print(r);
    if (r->args->tree) {
        printf("\nnetwork %s on the files of the tree\n",
               show_duration(a, sizeof a, r->network_seconds));
        return;
    }
    char text[128];
    printf("\n%s%s\n", app_crew_text(text, sizeof text, &r->crew),
           r->args->jpeg > 0 ? "; with a last JPEG step" : "");
    printf("corruptions %s, network %s: %.1f %% of both are corruptions\n",
           show_duration(a, sizeof a, r->corrupt_seconds),
           show_duration(b, sizeof b, r->network_seconds),
           both > 0 ? 100 * r->corrupt_seconds / both : 0);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static json_t *means_json(measure_agreement_means m)
{
    json_t *json = json_object();

    json_object_set_new(json, "overlap", show_json_real(m.overlap));
    json_object_set_new(json, "first", show_json_real(m.first));
    json_object_set_new(json, "shift", show_json_real(m.moved));
    return json;
}

static json_t *layers_json(const app_robust *r, const measure_cell *cell)
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

static json_t *cells_json(const app_robust *r)
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
        json_object_set_new(json, "loss", show_json_real(measure_score_loss(s)));
        json_object_set_new(json, "ece", show_json_real(measure_score_ece(s)));
        json_object_set_new(json, "flipped",
                            show_json_real(cell->compared > 0 ? (double)cell->flipped /
                                                                    (double)cell->compared
                                                              : (double)NAN));
        json_object_set_new(json, "moe", layers_json(r, cell));
        json_array_append_new(cells, json);
    }
    return cells;
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
        json_object_set_new(json, "group",
                            json_string(corrupt_group_name(corrupt_kind_group(kind))));
        json_object_set_new(json, "benchmark", json_boolean(k < CORRUPT_BENCH_COUNT));
        json_object_set_new(json, "error",
                            show_json_real(corrupt_mean_error(errors, kind)));
        json_object_set_new(json, "ce", show_json_real(corrupt_ce(errors, kind)));
        json_object_set_new(
            json, "relative_ce",
            show_json_real(corrupt_relative_ce(errors, kind, r->args->alexnet_clean)));
        json_object_set_new(json, "ece", show_json_real(m.ece));
        json_object_set_new(json, "flipped", show_json_real(m.flipped));
        if (r->moe_count > 0) {
            json_object_set_new(json, "load_cv", show_json_real(m.cv));
            json_object_set_new(json, "max_violation", show_json_real(m.violation));
        }
        if (r->moe_count > 0 && !r->args->tree)
            json_object_set_new(json, "agreement", means_json(m.routing));
        json_array_append_new(kinds, json);
    }
    return kinds;
}

json_t *app_robust_json(const app_robust *r, const measure_score *clean)
{
    const double both = r->corrupt_seconds + r->network_seconds;
    json_t *json = json_object();
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
    json_object_set_new(json, "comparable", json_boolean(app_robust_comparable(r)));
    json_object_set_new(json, "alexnet_clean", json_real(r->args->alexnet_clean));
    json_object_set_new(json, "mce", show_json_real(corrupt_mce(&errors)));
    json_object_set_new(
        json, "relative_mce",
        show_json_real(corrupt_relative_mce(&errors, r->args->alexnet_clean)));
    json_object_set_new(json, "mean_error", show_json_real(corrupt_bench_error(&errors)));
    json_object_set_new(json, "corruptions", kinds_json(r, &errors));
    json_object_set_new(json, "cells", cells_json(r));
    return json;
}
