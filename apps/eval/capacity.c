/* capacity.c - the passes of a capacity sweep. One decode of the data, one run whose capacity is changed between
 * passes; routers without a capacity have a budget of their own, a run each. Relied on elsewhere: point 0
 * is the network without limits. */
#include "apps/eval/capacity_internal.h"

#include <math.h>
#include <string.h>

/* Routers that drop nothing, and their option that says how many experts a token gets on average: factor
 * times k of it is the same work. */
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
        measure_score_create_small(&point->score, sweep->network->classes, err);

    if (status != BASE_OK)
        return status;
    point->kept = base_alloc(sweep->room, sizeof *point->kept);
    if (!point->kept)
        return base_fail(err, BASE_NO_MEMORY, "no memory to count %zu images", sweep->room);
    return sweep->option && point->capacity > 0 ? budget_open(point, sweep, common, err)
                                                : BASE_OK;
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
    sweep->point = base_alloc(APP_CAPACITY_POINTS, sizeof *sweep->point);
    if (!sweep->point)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the capacities");
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
        measure_score_destroy(&sweep->point[i].score);
        base_free(sweep->point[i].kept);
    }
    base_free(sweep->point);
    *sweep = (app_capacity){0};
}

/* Kept assignments of one image of the pass; counts its tokens by the number of their experts. */
static uint32_t image_count(app_capacity_point *point, const vit_routing *r, size_t image)
{
    uint32_t all = 0;

    for (size_t t = image * r->tokens_per_image; t < (image + 1) * r->tokens_per_image;
         t++) {
        uint32_t kept = 0;

        for (uint32_t a = r->start[t]; a < r->start[t + 1]; a++)
            kept += r->kept[a];
        point->tokens[kept]++;
        all += kept;
    }
    return all;
}

static base_status point_add(app_capacity_point *point, const app_capacity *sweep,
                             const vit_run *run, const float *logits,
                             const data_batch *batch, const data_source *source,
                             base_error *err)
{
    const size_t layers = vit_run_moe_count(run), classes = sweep->network->classes;
    vit_routing routing[VIT_DEPTH_MAX];

    for (size_t l = 0; l < layers; l++) {
        routing[l] = vit_run_routing(run, l);
        vit_load_add(&point->load[l], &routing[l]);
    }
    for (size_t i = 0; i < batch->count; i++) {
        const int32_t label = data_source_label(source, batch->samples[i]);

        if (batch->bad[i]) {
            measure_score_add(&point->score, label, NULL);
            continue;
        }
        const measure_verdict verdict =
            measure_verdict_make(logits + i * classes, classes, label);
        if (!verdict.finite)
            return base_fail(err, BASE_NUMERIC,
                             "'%s' gives logits that are not finite with capacity %g",
                             sweep->network->path, point->capacity);
        measure_score_add(&point->score, label, &verdict);
        uint32_t *kept = &point->kept[point->images++];
        for (size_t l = 0; l < layers; l++)
            *kept += image_count(point, &routing[l], i);
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
                            100 * measure_score_top1(&point->score));
    }
    const base_status back =
        sweep->option ? BASE_OK : vit_run_capacity_set(run, 0, false, err);
    return status == BASE_OK ? back : status;
}
