/* capacity.c - the passes of a capacity sweep: one run whose capacity is changed between
 * passes; routers without a capacity have a budget of their own, a run each. Relied on
 * elsewhere: point 0 is the network without limits. */
#include "measure/measure.h"

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

static bool has_option(const char *router, const char *name)
{
    const base_field *options = vit_router_options(router);

    return options && base_field_find(options, name);
}

/* The setting of a point whose router has a budget of its own. */
static base_status budget_open(measure_capacity_point *point, const measure_capacity *sweep,
                               vit_precision precision, base_error *err)
{
    vit_model *model = sweep->model;
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
    status =
        vit_run_create(&point->own, model, sweep->batch, VIT_MODE_INFER, precision, err);
    const base_status back = vit_model_config_set(model, &as_is, err);
    return status == BASE_OK ? back : status;
}

base_status measure_capacity_open(measure_capacity *out, vit_model *model,
                                  const double *factors, size_t count, bool bpr,
                                  size_t images, size_t batch, vit_precision precision,
                                  base_error *err)
{
    const vit_config *config = vit_model_config(model);
    const char *router = config->moe.router.name;
    measure_capacity *sweep = out;
    base_status status = BASE_OK;

    *sweep = (measure_capacity){.model = model, .batch = batch};
    if (!vit_config_is_sparse(config))
        return base_fail(err, BASE_USAGE, "a dense network has no capacity of experts");
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++)
        if (strcmp(router, budgets[i].router) == 0 && has_option(router, budgets[i].option))
            sweep->option = budgets[i].option;
    if (sweep->option && bpr)
        return base_fail(err, BASE_USAGE,
                         "an order of tokens means nothing to router '%s', which drops no "
                         "token: the capacity alone sets its router.%s",
                         router, sweep->option);
    sweep->point = base_alloc(1 + 2 * count, sizeof *sweep->point);
    if (!sweep->point)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu capacities", count);
    for (size_t i = 0; i <= (bpr ? 2 * count : count) && status == BASE_OK; i++) {
        measure_capacity_point *point = &sweep->point[sweep->points++];

        point->capacity = i == 0 ? 0 : factors[(i - 1) % count];
        point->bpr = i > count;
        status =
            measure_compute_create(&point->spent, images, (size_t)config->classes, err);
        if (status == BASE_OK && sweep->option && point->capacity > 0)
            status = budget_open(point, sweep, precision, err);
    }
    return status;
}

void measure_capacity_close(measure_capacity *sweep)
{
    for (size_t i = 0; i < sweep->points; i++) {
        vit_run_destroy(sweep->point[i].own);
        measure_compute_destroy(&sweep->point[i].spent);
    }
    base_free(sweep->point);
    *sweep = (measure_capacity){0};
}

base_status measure_capacity_pass(measure_capacity *sweep, size_t i, vit_run *run,
                                  float *logits, const float *images, const int32_t *labels,
                                  const bool *bad, size_t count, base_error *err)
{
    const size_t classes = (size_t)vit_model_config(sweep->model)->classes;
    measure_capacity_point *point = &sweep->point[i];
    vit_run *with = point->own ? point->own : run;
    base_status status = BASE_OK;

    if (i > 0 && !point->own)
        status = vit_run_capacity_set(run, point->capacity, point->bpr, err);
    if (i > 0 && status == BASE_OK)
        status = vit_run_forward(with, logits, images, count, &(vit_step){0}, err);
    if (status != BASE_OK)
        return status;
    measure_compute_pass(&point->spent, with, bad);
    for (size_t k = 0; k < count; k++) {
        const measure_verdict verdict =
            measure_verdict_make(logits + k * classes, classes, labels[k]);

        if (!bad[k] && !verdict.finite)
            return base_fail(err, BASE_NUMERIC,
                             "logits that are not finite with capacity %g",
                             point->capacity);
        measure_compute_add(&point->spent, with, k, labels[k], bad[k] ? NULL : &verdict);
    }
    return BASE_OK;
}

base_status measure_capacity_end(const measure_capacity *sweep, vit_run *run,
                                 base_error *err)
{
    return sweep->option ? BASE_OK : vit_run_capacity_set(run, 0, false, err);
}
