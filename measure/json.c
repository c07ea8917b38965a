/* json.c - figures as JSON. Relied on elsewhere: the names of the keys (docs/json.md). */
#include "measure/measure.h"

#include <jansson.h>
#include <math.h>

json_t *measure_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void put(json_t *json, const char *key, double value)
{
    json_object_set_new(json, key, measure_json_real(value));
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
    put(own, "combine_max", soft->combine_max);
    put(own, "dispatch_max", soft->dispatch_max);
    put(own, "combine_entropy", soft->combine_entropy);
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
    put(json, "load_cv", m.cv);
    put(json, "max_violation", m.max_violation);
    put(json, "min_ratio", m.min_ratio);
    json_object_set_new(json, "dead", json_integer((json_int_t)m.dead));
    put(json, "entropy", m.entropy);
    put(json, "importance_cv", m.importance_cv);
    put(json, "dropped", m.dropped);
    put(json, "orphans", m.orphans);
    put(json, "gate_max", m.gate_max);
    put(json, "prob_entropy", m.prob_entropy);
    put(json, "sinkhorn_share", m.sinkhorn_share);
    put(json, "sinkhorn_iterations", m.sinkhorn_iterations);
    put(json, "sinkhorn_residual", m.sinkhorn_residual);
    put(json, "sinkhorn_failed", m.sinkhorn_failed);
    json_object_set_new(json, "load", loads);
    if (m.soft.is_soft)
        soft_json(json, &m.soft);
    return json;
}

/* Normalised entropy of the experts' shares, 0..1. */
static double load_entropy(const double *usage, size_t experts, double sum)
{
    double out = 0;

    for (size_t e = 0; e < experts && sum > 0; e++)
        if (usage[e] > 0)
            out -= usage[e] / sum * log(usage[e] / sum);
    return experts > 1 ? out / log((double)experts) : 0;
}

/* values / over, or (over NULL) / all. */
static void put_list(json_t *json, const char *key, const double *values, size_t count,
                     const double *over, double all)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, measure_json_real(values[i] / (over ? over[i] : all)));
    json_object_set_new(json, key, list);
}

json_t *measure_shift_json(size_t block, const measure_attacked *attacked, size_t layer)
{
    const measure_attacked *r = attacked;
    const measure_shift *all = &r->shift[MEASURE_GROUP_ALL][layer];
    const measure_shift *broken = &r->shift[MEASURE_GROUP_BROKEN][layer];
    const measure_shift *survived = &r->shift[MEASURE_GROUP_SURVIVED][layer];
    const measure_shift *control = &r->shift[MEASURE_GROUP_CONTROL][layer];
    const double t = all->tokens, with = all->tokens - all->empty;
    double sum[2] = {0};
    json_t *json = json_object();

    for (size_t e = 0; e < 2 * r->experts; e++)
        sum[e % 2] += all->usage[e % 2][e / 2];
    const double spread[] = {load_entropy(all->usage[0], r->experts, sum[0]),
                             load_entropy(all->usage[1], r->experts, sum[1])};
    json_object_set_new(json, "layer", json_integer((json_int_t)block));
    put(json, "changed", all->changed / t);
    put(json, "top1_changed", all->top1_changed / t);
    put(json, "iou", all->iou / with);
    put(json, "routing_change", 1 - all->iou / with);
    put(json, "gate_l1", all->gate_l1 / t);
    put(json, "js", all->js / t);
    put_list(json, "token_entropy", all->entropy, 2, NULL, t);
    put_list(json, "load_entropy", spread, 2, NULL, 1);
    put_list(json, "usage_clean", all->usage[0], r->experts, NULL, sum[0]);
    put_list(json, "usage_adv", all->usage[1], r->experts, NULL, sum[1]);
    put_list(json, "left", all->left, r->experts, all->usage[0], 0);
    put_list(json, "control_left", control->left, r->experts, control->usage[0], 0);
    put_list(json, "dropped", all->dropped, 2, all->assigned, 0);
    put(json, "control_changed", control->changed / control->tokens);
    put(json, "control_iou", control->iou / (control->tokens - control->empty));
    put(json, "changed_broken", broken->changed / broken->tokens);
    put(json, "changed_survived", survived->changed / survived->tokens);
    return json;
}
