/* capacity.c - vmoe eval --capacity A,B,...: accuracy against compute, one decode of the
 * data. Relied on elsewhere: the keys of the JSON (docs/json.md). */
#include "apps/eval/internal.h"

#include <string.h>

base_status app_capacity_parse(app_capacity *out, const char *text, bool bpr,
                               base_error *err)
{
    app_capacity made = {.bpr = bpr};
    char word[64], name[256];

    for (const char *at = text; at; at = strchr(at, ','), at = at ? at + 1 : NULL) {
        const size_t length = strcspn(at, ",");
        double value = 0;

        snprintf(word, sizeof word, "%.*s", length < sizeof word ? (int)length : 0, at);
        if (!base_parse_real(&value, word) || !(value > 0) || value > 1000)
            return base_fail(err, BASE_USAGE,
                             "--capacity '%s': '%.*s' is not a number above 0 up to 1000 "
                             "(without limits is always measured)",
                             base_quote(name, sizeof name, text),
                             length < 40 ? (int)length : 40, at);
        if (made.factors == APP_CAPACITY_MOST)
            return base_fail(err, BASE_USAGE, "--capacity has more than %d values",
                             APP_CAPACITY_MOST);
        made.factor[made.factors++] = value;
    }
    *out = made;
    return BASE_OK;
}

base_status app_capacity_open(app_capacity *sweep, const app_network *network,
                              size_t images, const app_common *common, base_error *err)
{
    if (!vit_config_is_sparse(network->config))
        return base_fail(err, BASE_USAGE, "'%s' has no experts, --capacity means nothing",
                         network->path);
    sweep->network = network;
    sweep->labels = app_take(NULL, (size_t)common->batch, sizeof *sweep->labels);
    const base_status status = measure_capacity_open(
        &sweep->of, network->model, sweep->factor, sweep->factors, sweep->bpr, images,
        (size_t)common->batch, (vit_precision)common->precision, err);
    if (status == BASE_USAGE)
        base_error_prepend(err, sweep->bpr ? "--bpr: " : "--capacity: ");
    return status;
}

base_status app_capacity_batch(app_capacity *sweep, vit_run *run, float *logits,
                               const data_batch *batch, const data_source *source,
                               app_progress *progress, uint64_t *done, base_error *err)
{
    base_status status = BASE_OK;

    for (size_t i = 0; i < batch->count; i++)
        sweep->labels[i] = data_source_label(source, batch->samples[i]);
    for (size_t i = 0; i < sweep->of.points && status == BASE_OK; i++) {
        const measure_capacity_point *point = &sweep->of.point[i];

        if (i > 0 && app_stop_asked())
            break;
        status = measure_capacity_pass(&sweep->of, i, run, logits, batch->images,
                                       sweep->labels, batch->bad, batch->count, err);
        if (status == BASE_NUMERIC)
            base_error_prepend(err, "'%s' gives ", sweep->network->path);
        if (i == 0)
            continue;
        *done += batch->count;
        app_progress_update(progress, *done, "capacity %g  top-1 %.2f %%", point->capacity,
                            100 * measure_score_top1(&point->spent.score));
    }
    const base_status back = measure_capacity_end(&sweep->of, run, err);
    return status == BASE_OK ? back : status;
}

/* ---- results ------------------------------------------------------------------------- */

/* What an order is called; nothing is dropped by routers with a budget. */
static const char *order_of(const app_capacity *sweep, const measure_capacity_point *p)
{
    if (sweep->of.option)
        return p->capacity > 0 ? "budget" : "as it is";
    return !(p->capacity > 0) ? "no limit" : p->bpr ? "priority" : "vanilla";
}

/* Tokens that share the capacity, in words. */
static json_t *group_told(const app_capacity *sweep, size_t group)
{
    if (sweep->of.option)
        return json_sprintf("accuracy against compute: capacity F of router '%s' is "
                            "router.%s = F k; nothing is dropped",
                            sweep->network->config->moe.router.name, sweep->of.option);
    return json_sprintf(
        "accuracy against compute: the tokens of %zu image%s, as they come in "
        "the seeded order, share the experts' capacity",
        group, group == 1 ? "" : "s");
}

static json_t *layers_json(const app_capacity *sweep, const measure_capacity_point *p)
{
    size_t blocks[VIT_DEPTH_MAX];
    const size_t count = app_network_blocks(blocks, sweep->network->config);
    json_t *list = json_array();

    for (size_t l = 0; l < count; l++) {
        const vit_usage_metrics m = vit_usage_summary(&p->spent.load[l]);

        show_row(list, "{s:I, s:o, s:o, s:o}", "layer", (json_int_t)blocks[l], "dropped",
                 show_json_real(m.dropped), "orphans", show_json_real(m.orphans),
                 "gate_lost", show_json_real(m.gate_lost));
    }
    return list;
}

static json_t *point_json(const app_capacity *sweep, measure_capacity_point *p)
{
    const measure_score *score = &p->spent.score;
    const measure_compute_means m = measure_compute_summary(&p->spent);
    json_t *json = json_object();

    show_put(json, "capacity", p->capacity > 0 ? json_real(p->capacity) : json_null());
    show_put_text(json, "order", order_of(sweep, p));
    show_put_real(json, "top1", measure_score_top1(score));
    show_put(json, "top1_interval", app_interval_json(score->top1, score->samples));
    show_put_real(json, "top5", measure_score_top5(score));
    show_put_real(json, "loss", measure_score_loss(score));
    show_put_real(json, "kept", m.kept);
    show_put(json, "kept_levels", show_json_counts(m.level, MEASURE_COMPUTE_LEVELS));
    show_put_real(json, "dropped", m.dropped);
    show_put_real(json, "no_expert", m.no_expert);
    show_put(json, "experts_of_tokens", show_json_reals(m.tokens, m.most_experts + 1, 1));
    show_put_real(json, "flops", vit_model_flops_spent(sweep->network->model, m.kept));
    show_put(json, "layers", layers_json(sweep, p));
    return json;
}

json_t *app_capacity_json(const app_capacity *sweep)
{
    const size_t asked = (size_t)sweep->network->config->moe.group_images;
    const size_t judged = (size_t)sweep->of.point[0].spent.score.samples;
    const size_t most = judged < sweep->of.batch ? judged : sweep->of.batch;
    const size_t group = asked > 0 && asked < most ? asked : most;
    json_t *json = json_object(), *points = json_array();

    for (size_t i = 0; i < sweep->of.points; i++)
        json_array_append_new(points, point_json(sweep, &sweep->of.point[i]));
    show_put_count(json, "batch", sweep->of.batch);
    show_put_count(json, "group_images", group);
    show_put_text(json, "option", sweep->of.option);
    show_put(json, "fact", group_told(sweep, group));
    show_put(json, "points", points);
    return json;
}
