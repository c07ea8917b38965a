/* capacity.c - the passes of a capacity sweep. One decode of the data, one run whose
 * capacity is changed between passes; routers without a capacity have a budget of their
 * own, a run each. Relied on elsewhere: point 0 is the network without limits; the keys of
 * the JSON (docs/json.md). */
#include "apps/eval/internal.h"

#include <math.h>
#include <string.h>

/* Routers that drop nothing, and their option that says how many experts a token gets on
 * average: factor times k of it is the same work. */
static const struct {
    const char *router, *option;
} budgets[] = {
    {"expert-choice", "cf"},
    {"usmoe", "eval_k"},
};

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

static bool has_option(const char *router, const char *name)
{
    const base_field *options = vit_router_options(router);

    return options && base_field_find(options, name);
}

/* The setting of a point whose router has a budget of its own. */
static base_status budget_open(app_capacity_point *point, const app_capacity *sweep,
                               const app_common *common, base_error *err)
{
    vit_model *model = sweep->network->model;
    const vit_config as_is = *vit_model_config(model);
    vit_config config = as_is;
    const base_value experts = {.kind = BASE_VALUE_REAL,
                                .real =
                                    fmin(point->capacity * as_is.moe.k, as_is.moe.experts)};

    base_status status = vit_router_put(&config.moe.router, sweep->option, experts, err);
    if (status == BASE_OK)
        status = vit_model_config_set(model, &config, err);
    if (status != BASE_OK)
        return status;
    status = vit_run_create(&point->own, model, sweep->batch, VIT_MODE_INFER,
                            (vit_precision)common->precision, err);
    const base_status back = vit_model_config_set(model, &as_is, err);
    return status == BASE_OK ? back : status;
}

static base_status point_open(app_capacity_point *point, const app_capacity *sweep,
                              const app_common *common, base_error *err)
{
    const base_status status =
        measure_compute_create(&point->spent, sweep->room, sweep->network->classes, err);

    return status == BASE_OK && sweep->option && point->capacity > 0
               ? budget_open(point, sweep, common, err)
               : status;
}

base_status app_capacity_open(app_capacity *sweep, const app_network *network,
                              size_t images, const app_common *common, base_error *err)
{
    const char *router = network->config->moe.router.name;
    base_status status = BASE_OK;

    if (!vit_config_is_sparse(network->config))
        return base_fail(err, BASE_USAGE, "'%s' has no experts, --capacity means nothing",
                         network->path);
    sweep->network = network;
    sweep->room = images;
    sweep->batch = (size_t)common->batch;
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++)
        if (strcmp(router, budgets[i].router) == 0 && has_option(router, budgets[i].option))
            sweep->option = budgets[i].option;
    if (sweep->option && sweep->bpr)
        return base_fail(err, BASE_USAGE,
                         "--bpr means nothing to router '%s', which drops no token: "
                         "--capacity alone sets its router.%s",
                         router, sweep->option);
    sweep->point = app_take(&sweep->pool, APP_CAPACITY_POINTS, sizeof *sweep->point);
    for (size_t i = 0; i <= 2 * sweep->factors && status == BASE_OK; i++) {
        app_capacity_point *point = &sweep->point[sweep->points];

        if (i > sweep->factors && !sweep->bpr)
            break;
        point->capacity = i == 0 ? 0 : sweep->factor[(i - 1) % sweep->factors];
        point->bpr = i > sweep->factors;
        sweep->points++;
        status = point_open(point, sweep, common, err);
    }
    return status;
}

void app_capacity_close(app_capacity *sweep)
{
    for (size_t i = 0; i < sweep->points; i++) {
        vit_run_destroy(sweep->point[i].own);
        measure_compute_destroy(&sweep->point[i].spent);
    }
    app_pool_end(&sweep->pool);
    *sweep = (app_capacity){0};
}

static base_status point_add(app_capacity_point *point, const app_capacity *sweep,
                             const vit_run *run, const float *logits,
                             const data_batch *batch, const data_source *source,
                             base_error *err)
{
    const size_t classes = sweep->network->classes;

    measure_compute_pass(&point->spent, run);
    for (size_t i = 0; i < batch->count; i++) {
        const int32_t label = data_source_label(source, batch->samples[i]);
        const measure_verdict verdict =
            measure_verdict_make(logits + i * classes, classes, label);

        if (!batch->bad[i] && !verdict.finite)
            return base_fail(err, BASE_NUMERIC,
                             "'%s' gives logits that are not finite with capacity %g",
                             sweep->network->path, point->capacity);
        measure_compute_add(&point->spent, run, i, label, batch->bad[i] ? NULL : &verdict);
    }
    return BASE_OK;
}

base_status app_capacity_batch(app_capacity *sweep, vit_run *run, float *logits,
                               const data_batch *batch, const data_source *source,
                               app_progress *progress, uint64_t *done, base_error *err)
{
    base_status status =
        point_add(&sweep->point[0], sweep, run, logits, batch, source, err);

    for (size_t i = 1; i < sweep->points && status == BASE_OK && !app_stop_asked(); i++) {
        app_capacity_point *point = &sweep->point[i];
        vit_run *with = point->own ? point->own : run;

        if (!point->own)
            status = vit_run_capacity_set(run, point->capacity, point->bpr, err);
        if (status == BASE_OK)
            status = vit_run_forward(with, logits, batch->images, batch->count,
                                     &(vit_step){0}, err);
        if (status == BASE_OK)
            status = point_add(point, sweep, with, logits, batch, source, err);
        *done += batch->count;
        app_progress_update(progress, *done, "capacity %g  top-1 %.2f %%", point->capacity,
                            100 * measure_score_top1(&point->spent.score));
    }
    const base_status back =
        sweep->option ? BASE_OK : vit_run_capacity_set(run, 0, false, err);
    return status == BASE_OK ? back : status;
}

/* ---- results ------------------------------------------------------------------------- */

/* What an order is called; nothing is dropped by routers with a budget. */
static const char *order_of(const app_capacity *sweep, const app_capacity_point *p)
{
    if (sweep->option)
        return p->capacity > 0 ? "budget" : "as it is";
    return !(p->capacity > 0) ? "no limit" : p->bpr ? "priority" : "vanilla";
}

/* Tokens that share the capacity, in words. */
static void group_text(char *out, size_t bytes, const app_capacity *sweep)
{
    const int group = sweep->network->config->moe.group_images;

    if (sweep->option)
        snprintf(out, bytes,
                 "capacity F of router '%s' is router.%s = F k; nothing is dropped",
                 sweep->network->config->moe.router.name, sweep->option);
    else
        snprintf(out, bytes,
                 "the tokens of %d images, as they come in the seeded order, share the "
                 "experts' capacity",
                 group > 0 && (size_t)group < sweep->batch ? group : (int)sweep->batch);
}

static json_t *layers_json(const app_capacity *sweep, const app_capacity_point *p)
{
    size_t blocks[VIT_DEPTH_MAX];
    const size_t count = app_network_blocks(blocks, sweep->network->config);
    json_t *list = json_array();

    for (size_t l = 0; l < count; l++) {
        const vit_usage_metrics m = vit_usage_summary(&p->spent.load[l]);

        json_array_append_new(list, json_pack("{s:I, s:o, s:o, s:o}", "layer",
                                              (json_int_t)blocks[l], "dropped",
                                              show_json_real(m.dropped), "orphans",
                                              show_json_real(m.orphans), "gate_lost",
                                              show_json_real(m.gate_lost)));
    }
    return list;
}

static json_t *point_json(const app_capacity *sweep, app_capacity_point *p)
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
    const int group = sweep->network->config->moe.group_images;
    json_t *json = json_object(), *points = json_array();
    char fact[256];

    for (size_t i = 0; i < sweep->points; i++)
        json_array_append_new(points, point_json(sweep, &sweep->point[i]));
    show_put_count(json, "batch", sweep->batch);
    show_put_int(json, "group_images",
                 group > 0 && (size_t)group < sweep->batch ? (json_int_t)group
                                                           : (json_int_t)sweep->batch);
    show_put(json, "option", sweep->option ? json_string(sweep->option) : json_null());
    group_text(fact, sizeof fact, sweep);
    show_put(json, "fact", json_sprintf("accuracy against compute: %s", fact));
    show_put(json, "points", points);
    return json;
}
