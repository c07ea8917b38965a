/* robust_document.c - accuracy under corruption as a part of an evaluation's document
 * (docs/json.md, `robust`). Relied on elsewhere: the keys. Metrics as Hendrycks and
 * Dietterich 2019, section 4.3. */
#include "apps/eval/internal.h"

#include <math.h>

enum { IMAGENET_CLASSES = 1000, FACT = 256 };

/* Whether AlexNet's published errors are of the same task. */
static bool comparable(const app_robust *r)
{
    return r->network->classes == IMAGENET_CLASSES;
}

static json_t *means_json(measure_agreement_means m)
{
    return json_pack("{s:o, s:o, s:o}", "overlap", show_json_real(m.overlap), "first",
                     show_json_real(m.first), "shift", show_json_real(m.moved));
}

static json_t *cell_layers_json(const app_robust *r, const measure_cell *cell)
{
    json_t *layers = json_array();

    for (size_t l = 0; l < r->moe_count; l++) {
        const vit_usage_metrics m = vit_usage_summary(&cell->load[l]);
        const measure_agreement *a = &cell->agreement[l];
        json_t *layer = json_object();

        show_put_count(layer, "layer", r->blocks[l]);
        show_put_real(layer, "load_cv", m.cv);
        show_put_real(layer, "max_violation", m.max_violation);
        show_put_real(layer, "min_ratio", m.min_ratio);
        show_put_real(layer, "dead", m.dead);
        show_put_real(layer, "entropy", m.entropy);
        show_put_real(layer, "dropped", m.dropped);
        if (!r->args->tree) {
            show_put(layer, "agreement", means_json(measure_agreement_all(a)));
            show_put(layer, "agreement_answer_kept",
                     means_json(measure_agreement_of(a, 0)));
            show_put(layer, "agreement_answer_changed",
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
        const double top1 = s->samples > 0 ? measure_score_top1(s) : (double)NAN;
        json_t *json = json_object();

        show_put_text(json, "corruption", corrupt_kind_name(cell->pair.kind));
        show_put_int(json, "severity", cell->pair.severity);
        show_put_count(json, "samples", s->samples);
        show_put_real(json, "error", 1 - top1);
        show_put_real(json, "top1", top1);
        show_put_real(json, "top5", s->samples > 0 ? measure_score_top5(s) : (double)NAN);
        show_put(json, "top1_interval", app_interval_json(s->top1, s->samples));
        show_put_real(json, "loss", measure_score_loss(s));
        show_put_real(json, "ece", measure_score_ece(s));
        show_put(json, "flipped", app_share_json(cell->flipped, cell->compared));
        show_put(json, "moe", cell_layers_json(r, cell));
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
        show_row(
            list, "{s:i, s:o, s:o}", "severity", s, "error",
            show_json_real(errors->error[kind][s - 1]), "alexnet",
            show_json_real(comparable(r) ? corrupt_alexnet_error(kind, s) : (double)NAN));
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
        show_put_text(json, "name", corrupt_kind_name(kind));
        show_put(json, "title", app_corruption_json(kind));
        show_put_text(json, "group", corrupt_group_name(corrupt_kind_group(kind)));
        show_put_bool(json, "benchmark", k < CORRUPT_BENCH_COUNT);
        show_put_bool(json, "extra", k >= CORRUPT_BENCH_COUNT);
        show_put(json, "severities", severities_json(r, errors, kind));
        show_put_real(json, "error", corrupt_mean_error(errors, kind));
        show_put_real(json, "ce", corrupt_ce(errors, kind));
        show_put_real(json, "relative_ce",
                      corrupt_relative_ce(errors, kind, r->args->alexnet_clean));
        show_put_real(json, "ece", m.ece);
        show_put_real(json, "flipped", m.flipped);
        show_put_real(json, "answer_kept", 1 - m.flipped);
        if (r->moe_count > 0) {
            show_put_real(json, "load_cv", m.cv);
            show_put_real(json, "max_violation", m.violation);
            show_put_real(json, "max_ratio", m.violation + 1);
        }
        if (r->moe_count > 0 && !r->args->tree) {
            show_put(json, "agreement", means_json(m.routing));
            show_put(json, "changed", changed_json(r, kind));
        }
        json_array_append_new(kinds, json);
    }
    return kinds;
}

static json_t *specimens_json(const app_robust *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->specimen_count; i++) {
        const app_example *s = &r->specimen[i];
        json_t *one = app_example_json(s, "specimen", i, r->network, r->source);

        show_put(one, "title",
                 i == 0 ? json_string("clean") : app_corruption_json(s->pair.kind));
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
        show_fact(facts, "network %s on the files of the tree",
                  show_duration(a, sizeof a, r->network_seconds));
    if (r->tree_bad > 0)
        show_fact(facts, "%s unusable file%s of the tree, counted as wrong",
                  show_thousands(a, sizeof a, r->tree_bad), r->tree_bad == 1 ? "" : "s");
    if (!r->args->tree)
        show_fact(facts, "%s%s", app_crew_text(crew, sizeof crew, &r->crew),
                  r->args->jpeg > 0 ? "; with a last JPEG step" : "");
    if (isnan(corrupt_mce(errors)))
        show_fact(
            facts,
            "no mCE: it needs the %d corruptions of the benchmark at all %d severities",
            CORRUPT_BENCH_COUNT, CORRUPT_SEVERITY_MAX);
    else if (!comparable(r))
        show_fact(
            facts,
            "CE divides by AlexNet's errors on ImageNet's 1,000 classes: with the %zu "
            "classes here it compares with no published figure",
            r->network->classes);
    if (!r->args->tree)
        show_fact(facts, "corruptions %s, network %s: %.1f %% of both are corruptions",
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
    app_network_class_put(one, "label", r->network, r->source,
                          (size_t)r->specimen[0].label);
    show_put_text(
        one, "name",
        data_source_relative_name(r->source, r->specimen[0].sample, name, sizeof name));
    show_put_int(one, "severity", r->specimen_severity);
    show_put(json, "specimen", one);
    show_put(json, "specimens", specimens_json(r));
}

json_t *app_robust_json(const app_robust *r, const measure_score *clean)
{
    const double both = r->corrupt_seconds + r->network_seconds;
    json_t *json = json_object(), *blocks = json_array();
    corrupt_errors errors;

    measure_cell_errors(&errors, r->cell, r->selection.count, clean);
    show_put_text(json, "tree", r->args->tree);
    if (!r->args->tree) {
        app_crew_json(json, &r->crew);
        show_put(json, "jpeg",
                 r->args->jpeg > 0 ? json_integer(r->args->jpeg) : json_null());
        show_put_real(json, "corrupt_seconds", r->corrupt_seconds);
        show_put_real(json, "corrupt_share",
                      both > 0 ? r->corrupt_seconds / both : (double)NAN);
    } else {
        show_put_count(json, "bad", r->tree_bad);
    }
    show_put_real(json, "network_seconds", r->network_seconds);
    show_put_bool(json, "comparable", comparable(r));
    show_put_real(json, "alexnet_clean", r->args->alexnet_clean);
    show_put_real(json, "mce", corrupt_mce(&errors));
    show_put_real(json, "relative_mce",
                  corrupt_relative_mce(&errors, r->args->alexnet_clean));
    show_put_real(json, "mean_error", corrupt_bench_error(&errors));
    show_put(json, "measured_error",
             isnan(corrupt_bench_error(&errors))
                 ? show_json_real(measure_cell_error(r->cell, r->selection.count))
                 : json_null());
    show_put_count(json, "pairs", r->selection.count);
    show_put(json, "clean",
             json_pack("{s:s, s:s, s:o, s:o, s:b}", "name", "clean", "title", "clean",
                       "error", show_json_real(errors.clean), "ece",
                       show_json_real(measure_score_ece(clean)), "extra", true));
    show_put(json, "facts", robust_facts(r, &errors));
    for (size_t l = 0; l < r->moe_count; l++)
        json_array_append_new(blocks, json_sprintf("block %zu", r->blocks[l]));
    show_put(json, "blocks", blocks);
    show_put(json, "corruptions", kinds_json(r, &errors));
    show_put(json, "cells", corrupted_cells_json(r));
    specimen_put(json, r);
    return json;
}
