/* json.c - what an attack found, as JSON (docs/attacks.md). Relied on elsewhere: the keys;
 * fractions are 0..1 and of all samples unless a key says otherwise; no NaN is ever
 * written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/attack/internal.h"
#include "measure/measure.h"

enum { SCHEMA_VERSION = 1 };

static const char *const verdicts[] = {"PASS", "WARN", "FAIL", "SKIPPED"};
static const char *const modes[] = {"cascade", "individual"};

/* ---- JSON ---------------------------------------------------------------------------- */

static json_t *count_json(size_t count)
{
    return json_integer((json_int_t)count);
}

/* Puts KEY = k / n and its interval. */
static void share_put(json_t *json, const char *key, size_t k, size_t n)
{
    double low, high;

    measure_interval(&low, &high, k, n);
    json_object_set_new(json, key, json_real((double)k / (double)n));
    json_object_set_new(json, "ci95", json_pack("[f, f]", low, high));
}

static json_t *floats_json(const float *values, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, show_json_real((double)values[i]));
    return list;
}

static json_t *doubles_json(const double *values, size_t count, double over)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, show_json_real(values[i] / over));
    return list;
}

json_t *app_attack_result_json(const app_attack *a, const attack_result *r, size_t clean)
{
    const double n = (double)a->n;
    json_t *json = json_object();
    json_t *curve = json_array(), *restarts = json_array();

    for (size_t i = 0; i < r->curve_count; i++)
        json_array_append_new(curve, json_pack("[I, o]", (json_int_t)r->curve_step[i],
                                               show_json_real(r->curve[i])));
    for (size_t i = 0; i < r->by_restart_count; i++)
        json_array_append_new(restarts, count_json(r->by_restart[i]));
    json_object_set_new(json, "name", json_string(r->name));
    json_object_set_new(json, "spec", show_json_text(r->spec));
    json_object_set_new(json, "params",
                        show_json_fields(attack_options(r->name), &r->settings));
    json_object_set_new(json, "loss", json_string(r->loss ? r->loss : ""));
    json_object_set_new(json, "note", r->note[0] ? show_json_text(r->note) : json_null());
    json_object_set_new(json, "mode", json_string(modes[a->args->mode]));
    json_object_set_new(json, "complete", json_boolean(r->complete));
    json_object_set_new(json, "restarts", count_json(r->restarts));
    json_object_set_new(json, "evaluated", count_json(r->evaluated));
    json_object_set_new(json, "broken", count_json(r->broken));
    share_put(json, "robust_acc_after", r->robust_after, a->n);
    /* in a cascade the same: what was broken before was not attacked again */
    share_put(json, "robust_acc", r->robust, a->n);
    json_object_set_new(
        json, "asr",
        show_json_real(clean ? (double)r->broken / (double)clean : (double)NAN));
    json_object_set_new(json, "acc_u8", json_real((double)r->robust_u8 / n));
    json_object_set_new(json, "acc_after_u8", json_real((double)r->robust_after_u8 / n));
    json_object_set_new(json, "median_norm", show_json_real(r->median_norm));
    json_object_set_new(json, "max_norm", show_json_real(r->max_norm));
    json_object_set_new(json, "minimal_norm", show_json_real(r->minimal_norm));
    json_object_set_new(json, "grad_evals", show_json_real(r->grad_evals / n));
    json_object_set_new(json, "forward_evals", show_json_real(r->forward_evals / n));
    json_object_set_new(json, "seconds", show_json_real(r->seconds));
    json_object_set_new(json, "zero_grad", count_json(r->zero_grad));
    json_object_set_new(json, "invalid", count_json(r->invalid));
    json_object_set_new(json, "unconfirmed", count_json(r->unconfirmed));
    json_object_set_new(json, "targeted", count_json(r->targeted));
    json_object_set_new(json, "queries_median", show_json_real(r->queries_median));
    json_object_set_new(json, "draw_accuracy", show_json_real(r->draw_accuracy));
    json_object_set_new(json, "late_rise", show_json_real(r->late_rise));
    json_object_set_new(json, "loss_curve", curve);
    json_object_set_new(json, "by_restart", restarts);
    return json;
}

static void sweep_add(json_t *sweep, const app_attack *a, const app_budget *budget,
                      const char *attack, size_t robust)
{
    json_t *one = json_object();

    json_object_set_new(one, "eps", json_real(budget->eps));
    json_object_set_new(one, "eps_text", json_string(budget->text));
    json_object_set_new(one, "attack", json_string(attack));
    share_put(one, "robust_acc", robust, a->n);
    json_object_set_new(one, "k", count_json(robust));
    json_object_set_new(one, "n", count_json(a->n));
    json_array_append_new(sweep, one);
}

/* Every budget that was begun: attack by attack, worst case, noise. A curve begins at 0,
 * where the clean images stand. */
static json_t *sweep_json(const app_attack *a)
{
    static const app_budget zero = {0, "0"};
    json_t *sweep = json_array();
    bool has_zero = false;

    for (size_t i = 0; i < a->points; i++)
        has_zero |= a->point[i].budget.eps == 0;
    if (!has_zero)
        sweep_add(sweep, a, &zero, "worst_case", a->point[a->main].clean);
    for (size_t i = 0; i < a->points; i++) {
        const app_point *p = &a->point[i];

        if (!p->left || (p->count == 0 && p->clean == 0))
            continue;
        for (size_t r = 0; r < p->count; r++)
            sweep_add(sweep, a, &p->budget, p->result[r].name, p->result[r].robust);
        sweep_add(sweep, a, &p->budget, "worst_case", p->robust);
        if (isfinite(p->noise_accuracy)) {
            json_array_append_new(sweep, json_pack("{s:f, s:s, s:s, s:f, s:n, s:I}", "eps",
                                                   p->budget.eps, "eps_text",
                                                   p->budget.text, "attack", "random_noise",
                                                   "robust_acc", p->noise_accuracy, "ci95",
                                                   "n", (json_int_t)a->n));
        }
    }
    return sweep;
}

static json_t *classes_json(const app_attack *a)
{
    const size_t classes = a->network.classes;
    const app_point *p = &a->point[a->main];
    size_t *total = base_alloc(3 * classes, sizeof *total);
    json_t *list = json_array();
    char name[128];

    if (!total)
        return list;
    for (size_t i = 0; i < a->n; i++) {
        const int32_t class = a->unusable[i] ? a->truth[i] : a->labels[i];
        if (class < 0)
            continue;
        size_t *row = total + 3 * (size_t) class;

        row[0]++;
        row[1] += attack_run_sample(a->run, i).right;
        row[2] += p->left[i];
    }
    for (size_t c = 0; c < classes; c++) {
        const size_t *row = total + 3 * c;
        const double n = (double)row[0];
        json_t *one = json_object();

        if (row[0] == 0) {
            json_decref(one);
            continue;
        }
        app_network_label(name, sizeof name, &a->network, a->source, c);
        json_object_set_new(one, "class", count_json(c));
        json_object_set_new(one, "name", json_string(name));
        json_object_set_new(one, "n", count_json(row[0]));
        json_object_set_new(one, "clean_acc", json_real((double)row[1] / n));
        json_object_set_new(one, "robust_acc", json_real((double)row[2] / n));
        json_array_append_new(list, one);
    }
    base_free(total);
    return list;
}

static json_t *pair_json(double a, double b)
{
    json_t *pair = json_array();

    json_array_append_new(pair, show_json_real(a));
    json_array_append_new(pair, show_json_real(b));
    return pair;
}

/* Normalised entropy of the experts' shares, 0..1. */
static double load_entropy(const double *usage, size_t experts)
{
    double sum = 0, out = 0;

    for (size_t e = 0; e < experts; e++)
        sum += usage[e];
    for (size_t e = 0; e < experts && sum > 0; e++)
        if (usage[e] > 0)
            out -= usage[e] / sum * log(usage[e] / sum);
    return experts > 1 ? out / log((double)experts) : 0;
}

static double total_of(const double *values, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum;
}

json_t *app_attack_layer_json(const app_routing *r, size_t l)
{
    const measure_shift *all = &r->shift[APP_GROUP_ALL][l];
    const measure_shift *broken = &r->shift[APP_GROUP_BROKEN][l];
    const measure_shift *survived = &r->shift[APP_GROUP_SURVIVED][l];
    const measure_shift *control = &r->shift[APP_GROUP_CONTROL][l];
    const double t = all->tokens, with = all->tokens - all->empty;
    json_t *json = json_object();
    json_t *left = json_array();

    for (size_t e = 0; e < r->experts; e++)
        json_array_append_new(left, show_json_real(all->left[e] / all->usage[0][e]));
    json_object_set_new(json, "layer", count_json(r->blocks[l]));
    json_object_set_new(json, "changed", show_json_real(all->changed / t));
    json_object_set_new(json, "top1_changed", show_json_real(all->top1_changed / t));
    json_object_set_new(json, "iou", show_json_real(all->iou / with));
    json_object_set_new(json, "routing_change", show_json_real(1 - all->iou / with));
    json_object_set_new(json, "gate_l1", show_json_real(all->gate_l1 / t));
    json_object_set_new(json, "js", show_json_real(all->js / t));
    json_object_set_new(json, "token_entropy",
                        pair_json(all->entropy[0] / t, all->entropy[1] / t));
    json_object_set_new(json, "load_entropy",
                        pair_json(load_entropy(all->usage[0], r->experts),
                                  load_entropy(all->usage[1], r->experts)));
    json_object_set_new(
        json, "usage_clean",
        doubles_json(all->usage[0], r->experts, total_of(all->usage[0], r->experts)));
    json_object_set_new(
        json, "usage_adv",
        doubles_json(all->usage[1], r->experts, total_of(all->usage[1], r->experts)));
    json_object_set_new(json, "left", left);
    json_object_set_new(
        json, "dropped",
        pair_json(all->dropped[0] / all->assigned[0], all->dropped[1] / all->assigned[1]));
    json_object_set_new(json, "control_changed",
                        show_json_real(control->changed / control->tokens));
    json_object_set_new(json, "control_iou",
                        show_json_real(control->iou / (control->tokens - control->empty)));
    json_object_set_new(json, "changed_broken",
                        show_json_real(broken->changed / broken->tokens));
    json_object_set_new(json, "changed_survived",
                        show_json_real(survived->changed / survived->tokens));
    return json;
}

static json_t *routing_json(const app_attack *a)
{
    const app_routing *r = &a->routing;
    json_t *json = json_object(), *layers = json_array();

    if (!a->has_routing) {
        json_decref(json);
        json_decref(layers);
        return json_null();
    }
    for (size_t l = 0; l < r->layers; l++)
        json_array_append_new(layers, app_attack_layer_json(r, l));
    json_object_set_new(json, "control", json_string("random noise, same eps"));
    if (a->trained.known)
        json_object_set_new(
            json, "trained_capacity",
            json_pack("{s:f, s:f, s:o}", "capacity", a->trained.capacity, "clean_acc",
                      (double)a->trained.right / (double)a->n, "dropped",
                      pair_json(a->trained.dropped[0], a->trained.dropped[1])));
    else
        json_object_set_new(json, "trained_capacity", json_null());
    json_object_set_new(json, "samples", count_json(r->attacked));
    json_object_set_new(json, "layers", layers);
    if (r->replayed) {
        json_t *replay = json_object();

        json_object_set_new(replay, "success_kept_with_clean_routing",
                            show_json_real((double)r->kept / (double)r->broken));
        json_object_set_new(replay, "clean_acc_with_adv_routing",
                            show_json_real((double)r->clean_right / (double)a->n));
        json_object_set_new(replay, "broken", count_json(r->broken));
        json_object_set_new(replay, "kept", count_json(r->kept));
        json_object_set_new(json, "replay", replay);
    } else {
        json_object_set_new(json, "replay", json_null());
    }
    return json;
}

static json_t *checks_json(const app_attack *a)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ATTACK_CHECK_COUNT && a->has_checks; i++) {
        const attack_check *c = &a->check[i];

        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "id", c->id, "title", c->title,
                      "status", verdicts[c->verdict], "value", show_json_real(c->value),
                      "limit", show_json_real(c->limit), "text", show_json_text(c->text)));
    }
    return list;
}

static json_t *model_json(const app_attack *a)
{
    const vit_config *c = a->network.config;
    const bool sparse = vit_config_is_sparse(c);
    const size_t channels = (size_t)c->channels;
    size_t blocks[VIT_DEPTH_MAX];
    char name[128];
    json_t *json = json_object(), *layers = json_array();

    for (size_t i = 0; i < app_network_blocks(blocks, c); i++)
        json_array_append_new(layers, count_json(blocks[i]));
    json_object_set_new(json, "path", show_json_text(a->network.path));
    json_object_set_new(json, "sha256", json_string(a->model_hash));
    json_object_set_new(json, "arch",
                        show_json_text(app_network_name(name, sizeof name, c)));
    json_object_set_new(json, "parameters", count_json(vit_model_floats(a->network.model)));
    json_object_set_new(json, "active_parameters",
                        count_json(vit_model_active_floats(a->network.model)));
    json_object_set_new(json, "flops", json_real(vit_model_flops(a->network.model)));
    json_object_set_new(json, "classes", count_json(a->network.classes));
    json_object_set_new(json, "moe_layers", layers);
    json_object_set_new(json, "router",
                        sparse ? json_string(c->moe.router.name) : json_null());
    json_object_set_new(json, "experts",
                        sparse ? json_integer(c->moe.experts) : json_null());
    json_object_set_new(json, "k", sparse ? json_integer(c->moe.k) : json_null());
    json_object_set_new(json, "routing_mode", json_string(app_attack_routing_mode(a)));
    json_object_set_new(json, "router_note",
                        app_attack_caution(a) ? json_string(app_attack_caution(a))
                                              : json_null());
    json_object_set_new(
        json, "precision",
        json_string(a->args->common.precision == VIT_PRECISION_BF16 ? "bf16" : "fp32"));
    json_object_set_new(json, "gradient_precision", json_string("fp32"));
    json_object_set_new(json, "mean", floats_json(c->mean, channels));
    json_object_set_new(json, "std", floats_json(c->std, channels));
    return json;
}

static json_t *data_json(const app_attack *a)
{
    const size_t all = data_source_count(a->source);
    json_t *json = json_object();
    char text[256];

    json_object_set_new(json, "name", show_json_text(a->args->data));
    json_object_set_new(json, "n", count_json(a->n));
    json_object_set_new(json, "ids_sha256", json_string(a->ids_hash));
    snprintf(text, sizeof text,
             a->n == all ? "all" : "the first %zu of the order of seed %lld", a->n,
             (long long)a->args->common.seed);
    json_object_set_new(json, "selection", json_string(text));
    snprintf(text, sizeof text,
             "8 bit, shorter side to %zu (0: as it is), centre crop %zu, %s",
             a->network.resize, a->network.size, app_filter_name(a->network.filter));
    json_object_set_new(json, "preprocess", json_string(text));
    json_object_set_new(json, "image",
                        json_pack("[i, I, I]", a->network.config->channels,
                                  (json_int_t)a->network.size,
                                  (json_int_t)a->network.size));
    json_object_set_new(json, "labels",
                        json_string(a->args->labels == 1 ? "predicted" : "true"));
    json_object_set_new(json, "bad", count_json(a->bad));
    return json;
}

static json_t *threat_json(const app_attack *a)
{
    const app_budget *b = &a->point[a->main].budget;

    return json_pack("{s:s, s:f, s:s, s:s, s:b, s:b}", "norm",
                     attack_norm_name(a->config.norm), "eps", b->eps, "eps_text", b->text,
                     "space", "pixel", "targeted", a->args->aim > 0, "fixed_routing",
                     (int)a->args->fixed_routing);
}

static json_t *worst_json(const app_attack *a)
{
    const app_point *p = &a->point[a->main];
    json_t *json = json_object(), *names = json_array();

    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(names, json_string(p->result[i].name));
    json_object_set_new(json, "k", count_json(p->robust));
    json_object_set_new(json, "n", count_json(a->n));
    share_put(json, "robust_acc", p->robust, a->n);
    json_object_set_new(
        json, "asr",
        show_json_real(p->clean ? (double)(p->clean - p->robust) / (double)p->clean
                                : (double)NAN));
    json_object_set_new(json, "budget_used", show_json_real(a->budget_used));
    json_object_set_new(json, "attacks", names);
    return json;
}

json_t *app_attack_json(const app_attack *a)
{
    const app_common *common = &a->args->common;
    const app_point *p = &a->point[a->main];
    json_t *json = app_json_begin(common, "attack", NULL, NULL);
    json_t *clean = json_object(), *attacks = json_array();

    if (!json)
        return NULL;
    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(attacks, app_attack_result_json(a, &p->result[i], p->clean));
    json_object_set_new(json, "schema", json_string("moe-attack-report"));
    json_object_set_new(json, "version", json_integer(SCHEMA_VERSION));
    json_object_set_new(json, "complete", json_boolean(a->complete));
    json_object_set_new(json, "samples", count_json(a->n));
    json_object_set_new(json, "seconds", json_real(a->seconds));
    json_object_set_new(json, "tool",
                        json_pack("{s:s, s:s, s:o, s:s, s:f}", "name", "vmoe", "version",
                                  BASE_VERSION, "command_line",
                                  show_json_text(a->command_line), "started_utc",
                                  a->started, "seconds", a->seconds));
    json_object_set_new(json, "model", model_json(a));
    json_object_set_new(json, "data", data_json(a));
    app_network_json(json, &a->network);
    json_object_set_new(json, "threat", threat_json(a));
    json_object_set_new(clean, "k", count_json(p->clean));
    json_object_set_new(clean, "n", count_json(a->n));
    share_put(clean, "acc", p->clean, a->n);
    json_object_set_new(clean, "loss", show_json_real(a->clean_loss));
    json_object_set_new(clean, "ordinary_k", count_json(a->ordinary));
    json_object_set_new(clean, "chance", json_real(1 / (double)a->network.classes));
    json_object_set_new(json, "clean", clean);
    json_object_set_new(json, "attacks", attacks);
    json_object_set_new(json, "worst_case", worst_json(a));
    json_object_set_new(json, "sweep", sweep_json(a));
    json_object_set_new(json, "per_class", classes_json(a));
    json_object_set_new(json, "routing", routing_json(a));
    json_object_set_new(json, "router_attack", app_attack_router_json(a));
    json_object_set_new(json, "checks", checks_json(a));
    json_object_set_new(json, "samples_file", json_string("samples.csv"));
    json_object_set_new(json, "adv_file", json_string("adv.npy"));
    json_object_set_new(json, "clean_file", json_string("clean.npy"));
    json_object_set_new(json, "labels_file", json_string("labels.npy"));
    return json;
}
