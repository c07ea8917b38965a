/* json.c - figures as JSON. Relied on elsewhere: the names of the keys (docs/json.md). */
#include "measure/measure.h"

#include <jansson.h>
#include <math.h>

json_t *measure_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* A router that assigns nothing: what speaks of loads says nothing. */
static void soft_json(json_t *json, const vit_soft_report *soft)
{
    static const char *const silent[] = {"load_cv", "max_violation", "min_ratio",
                                         "dead",    "entropy",       "dropped",
                                         "orphans", "gate_max"};
    json_t *own = json_object();

    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
        json_object_set_new(json, silent[i], json_null());
    json_object_set_new(own, "combine_max", measure_json_real(soft->combine_max));
    json_object_set_new(own, "dispatch_max", measure_json_real(soft->dispatch_max));
    json_object_set_new(own, "combine_entropy", measure_json_real(soft->combine_entropy));
    json_object_set_new(json, "soft", own);
}

json_t *measure_usage_json(size_t block, const vit_usage *load)
{
    const vit_usage_metrics m = vit_usage_summary(load);
    json_t *json = json_object();
    json_t *loads = json_array();

    for (size_t e = 0; e < load->experts; e++)
        json_array_append_new(
            loads, measure_json_real(
                       load->assignments > 0 ? load->load[e] / load->assignments : 0.0));
    json_object_set_new(json, "layer", json_integer((json_int_t)block));
    json_object_set_new(json, "load_cv", measure_json_real(m.cv));
    json_object_set_new(json, "max_violation", measure_json_real(m.max_violation));
    json_object_set_new(json, "min_ratio", measure_json_real(m.min_ratio));
    json_object_set_new(json, "dead", json_integer((json_int_t)m.dead));
    json_object_set_new(json, "entropy", measure_json_real(m.entropy));
    json_object_set_new(json, "importance_cv", measure_json_real(m.importance_cv));
    json_object_set_new(json, "dropped", measure_json_real(m.dropped));
    json_object_set_new(json, "orphans", measure_json_real(m.orphans));
    json_object_set_new(json, "gate_max", measure_json_real(m.gate_max));
    json_object_set_new(json, "prob_entropy", measure_json_real(m.prob_entropy));
    json_object_set_new(json, "sinkhorn_share", measure_json_real(m.sinkhorn_share));
    json_object_set_new(json, "sinkhorn_iterations",
                        measure_json_real(m.sinkhorn_iterations));
    json_object_set_new(json, "sinkhorn_residual", measure_json_real(m.sinkhorn_residual));
    json_object_set_new(json, "sinkhorn_failed", measure_json_real(m.sinkhorn_failed));
    json_object_set_new(json, "load", loads);
    if (m.soft.is_soft)
        soft_json(json, &m.soft);
    return json;
}
