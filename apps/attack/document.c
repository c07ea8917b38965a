/* document.c - what an attack found, as one document (docs/attacks.md): all that its table
 * and page show. Relied on elsewhere: the keys; fractions are 0..1 and of all samples
 * unless a key says otherwise; no NaN is ever written. */
#include "apps/attack/internal.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { SCHEMA_VERSION = 1, FEW_IMAGES = 500, LINES_MOST = 8 };

static const char *const verdicts[] = {"PASS", "WARN", "FAIL", "SKIPPED"};
static const char *const modes[] = {"cascade", "individual"};

static const app_point *main_point(const app_attack *a)
{
    return &a->point[a->main];
}

/* ---- values -------------------------------------------------------------------------- */

static void put(json_t *json, const char *key, json_t *value)
{
    json_object_set_new(json, key, value);
}

static void text_put(json_t *json, const char *key, const char *text)
{
    put(json, key, text ? show_json_text(text) : json_null());
}

static void real_put(json_t *json, const char *key, double value)
{
    put(json, key, show_json_real(value));
}

static void count_put(json_t *json, const char *key, size_t count)
{
    put(json, key, json_integer((json_int_t)count));
}

/* KEY = k / n and its interval. */
static void share_put(json_t *json, const char *key, size_t k, size_t n)
{
    double low, high;

    measure_interval(&low, &high, k, n);
    real_put(json, key, (double)k / (double)n);
    put(json, "ci95", json_pack("[f, f]", low, high));
}

static json_t *reals_json(const double *values, size_t count, double over)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, show_json_real(values[i] / over));
    return list;
}

static json_t *pair_json(double a, double b)
{
    return reals_json((const double[]){a, b}, 2, 1);
}

static json_t *floats_json(const float *values, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, show_json_real((double)values[i]));
    return list;
}

/* A sentence that has a condition, into a list. */
static void fact_add(json_t *list, const char *format, ...) BASE_PRINTF(2, 3);
static void fact_add(json_t *list, const char *format, ...)
{
    char text[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    json_array_append_new(list, show_json_text(text));
}

/* ---- attacks ------------------------------------------------------------------------- */

static json_t *attack_json(const app_attack *a, const attack_result *r)
{
    const double n = (double)a->n;
    const size_t clean = main_point(a)->clean;
    const char *options = strchr(r->spec, ':');
    json_t *json = json_object(), *curve = json_array(), *restarts = json_array();

    for (size_t i = 0; i < r->curve_count; i++)
        json_array_append_new(curve, json_pack("[I, o]", (json_int_t)r->curve_step[i],
                                               show_json_real(r->curve[i])));
    for (size_t i = 0; i < r->by_restart_count; i++)
        json_array_append_new(restarts, json_integer((json_int_t)r->by_restart[i]));
    text_put(json, "name", r->name);
    text_put(json, "spec", r->spec);
    text_put(json, "options", options ? options + 1 : NULL);
    put(json, "params", show_json_fields(attack_options(r->name), &r->settings));
    text_put(json, "loss", r->loss ? r->loss : "");
    text_put(json, "note", r->note[0] ? r->note : NULL);
    text_put(json, "mode", modes[a->args->mode]);
    put(json, "complete", json_boolean(r->complete));
    text_put(json, "state", r->complete ? NULL : "stopped");
    count_put(json, "restarts", r->restarts);
    count_put(json, "evaluated", r->evaluated);
    count_put(json, "broken", r->broken);
    share_put(json, "robust_acc_after", r->robust_after, a->n);
    /* in a cascade the same: what was broken before was not attacked again */
    share_put(json, "robust_acc", r->robust, a->n);
    real_put(json, "asr", clean ? (double)r->broken / (double)clean : (double)NAN);
    real_put(json, "acc_u8", (double)r->robust_u8 / n);
    real_put(json, "acc_after_u8", (double)r->robust_after_u8 / n);
    real_put(json, "median_norm", r->median_norm);
    real_put(json, "max_norm", r->max_norm);
    real_put(json, "minimal_norm", r->minimal_norm);
    real_put(json, "grad_evals", r->grad_evals / n);
    real_put(json, "forward_evals", r->forward_evals / n);
    real_put(json, "seconds", r->seconds);
    count_put(json, "zero_grad", r->zero_grad);
    count_put(json, "invalid", r->invalid);
    count_put(json, "unconfirmed", r->unconfirmed);
    count_put(json, "targeted", r->targeted);
    real_put(json, "queries_median", r->queries_median);
    real_put(json, "draw_accuracy", r->draw_accuracy);
    real_put(json, "late_rise", r->late_rise);
    put(json, "loss_curve", curve);
    put(json, "by_restart", restarts);
    return json;
}

/* Who broke what: wrong before, each attack's share, what is left; null unless one follows
 * the other. */
static json_t *parts_json(const app_attack *a)
{
    const app_point *p = main_point(a);
    const double n = (double)a->n;
    json_t *list = a->args->mode == ATTACK_MODE_CASCADE ? json_array() : json_null();
    size_t left = p->clean;

    json_array_append_new(list, json_pack("{s:s, s:f, s:s}", "name", "wrong before",
                                          "share", (n - (double)p->clean) / n, "verdict",
                                          verdicts[ATTACK_VERDICT_SKIPPED]));
    for (size_t i = 0; i < p->count; i++) {
        json_array_append_new(
            list, json_pack("{s:s, s:f}", "name", p->result[i].name, "share",
                            ((double)left - (double)p->result[i].robust_after) / n));
        left = p->result[i].robust_after;
    }
    json_array_append_new(list, json_pack("{s:s, s:f, s:s}", "name", "not broken", "share",
                                          (double)p->robust / n, "verdict",
                                          verdicts[ATTACK_VERDICT_PASS]));
    return list;
}

static json_t *worst_json(const app_attack *a)
{
    const app_point *p = main_point(a);
    json_t *json = json_object(), *names = json_array();

    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(names, json_string(p->result[i].name));
    count_put(json, "k", p->robust);
    count_put(json, "n", a->n);
    share_put(json, "robust_acc", p->robust, a->n);
    count_put(json, "broken", p->clean - p->robust);
    real_put(json, "asr",
             p->clean ? (double)(p->clean - p->robust) / (double)p->clean : (double)NAN);
    text_put(json, "bound", p->complete ? "an upper bound" : "as far as it went");
    real_put(json, "budget_used", a->budget_used);
    put(json, "attacks", names);
    text_put(
        json, "note",
        a->args->mode == ATTACK_MODE_CASCADE
            ? "In order: each one sees what those before it left. Robust accuracy is of "
              "all images, the worst case over the attacks so far."
            : "Each on its own, against every image that was right.");
    put(json, "parts", parts_json(a));
    return json;
}

/* ---- budgets ------------------------------------------------------------------------- */

static const app_budget zero = {.text = "0"};

static bool is_begun(const app_point *p)
{
    return p->left && (p->count > 0 || p->clean > 0);
}

static bool zero_is_given(const app_attack *a)
{
    for (size_t i = 0; i < a->points; i++)
        if (a->point[i].left && a->point[i].budget.eps == 0)
            return true;
    return false;
}

static void sweep_add(json_t *sweep, const app_attack *a, const app_budget *budget,
                      const char *name, size_t robust)
{
    json_t *json = json_object();

    real_put(json, "eps", budget->eps);
    text_put(json, "eps_text", budget->text);
    text_put(json, "attack", name);
    share_put(json, "robust_acc", robust, a->n);
    count_put(json, "k", robust);
    count_put(json, "n", a->n);
    json_array_append_new(sweep, json);
}

static json_t *sweep_json(const app_attack *a)
{
    json_t *sweep = json_array();

    if (!zero_is_given(a))
        sweep_add(sweep, a, &zero, "worst_case", main_point(a)->clean);
    for (size_t i = 0; i < a->points; i++) {
        const app_point *p = &a->point[i];

        if (!is_begun(p))
            continue;
        for (size_t r = 0; r < p->count; r++)
            sweep_add(sweep, a, &p->budget, p->result[r].name, p->result[r].robust);
        sweep_add(sweep, a, &p->budget, "worst_case", p->robust);
        if (isfinite(p->noise_accuracy))
            json_array_append_new(sweep, json_pack("{s:f, s:s, s:s, s:f, s:n, s:I}", "eps",
                                                   p->budget.eps, "eps_text",
                                                   p->budget.text, "attack", "random_noise",
                                                   "robust_acc", p->noise_accuracy, "ci95",
                                                   "n", (json_int_t)a->n));
    }
    return sweep;
}

/* A point of the figure of accuracy over budgets: robust of n, or a mean without interval.
 * */
static void line_add(json_t *lines, const char *name, double robust, size_t n, bool whole)
{
    json_t *json = json_object();

    text_put(json, "name", name);
    if (whole)
        share_put(json, "robust_acc", (size_t)robust, n);
    else
        real_put(json, "robust_acc", robust / (double)n);
    put(json, "control", json_boolean(strcmp(name, "random noise") == 0));
    json_array_append_new(lines, json);
}

/* p NULL: budget 0, where the clean images stand. Noise is the control, told apart from the
 * attacks; the last attack of a cascade is the worst case. */
static json_t *budget_json(const app_attack *a, const app_point *p)
{
    const app_point *main = main_point(a);
    const app_budget *budget = p ? &p->budget : &zero;
    const size_t robust = p ? p->robust : main->clean;
    const double n = (double)a->n, clean = (double)main->clean;
    const double noise = p ? p->noise_accuracy : clean / n;
    json_t *json = json_object(), *lines = json_array();
    char text[64];

    real_put(json, "eps", budget->eps);
    text_put(json, "eps_text", budget->text);
    text_put(json, "told", app_budget_text(text, sizeof text, budget, a->config.norm));
    share_put(json, "robust_acc", robust, a->n);
    real_put(json, "random_noise", noise);
    text_put(json, "state", p && !p->complete ? "stopped" : NULL);
    put(json, "lines", lines);
    if (p && p != main && !p->complete)
        return json;
    line_add(lines, "worst case", (double)robust, a->n, true);
    for (size_t r = 0; r < main->count && main->count <= LINES_MOST; r++)
        if (strcmp(main->result[r].name, "noise") != 0 && (!p || r < p->count) &&
            (r + 1 < main->count || a->args->mode != ATTACK_MODE_CASCADE))
            line_add(lines, main->result[r].spec, p ? (double)p->result[r].robust : clean,
                     a->n, false);
    if (isfinite(noise))
        line_add(lines, "random noise", noise * n, a->n, false);
    return json;
}

static json_t *budgets_json(const app_attack *a)
{
    json_t *list = json_array();

    if (!zero_is_given(a))
        json_array_append_new(list, budget_json(a, NULL));
    for (size_t i = 0; i < a->points; i++)
        if (is_begun(&a->point[i]))
            json_array_append_new(list, budget_json(a, &a->point[i]));
    return list;
}

/* ---- classes ------------------------------------------------------------------------- */

static json_t *classes_json(const app_attack *a)
{
    const size_t classes = a->network.classes;
    size_t *total = base_alloc(3 * classes, sizeof *total);
    json_t *list = json_array();
    char name[128];

    for (size_t i = 0; total && i < a->n; i++) {
        const int32_t class = a->unusable[i] ? a->truth[i] : a->labels[i];
        size_t *row = total + 3 * (size_t) class;

        if (class < 0)
            continue;
        row[0]++;
        row[1] += attack_run_sample(a->run, i).right;
        row[2] += main_point(a)->left[i];
    }
    for (size_t c = 0; total && c < classes; c++) {
        const size_t *row = total + 3 * c;
        json_t *one = row[0] ? json_object() : NULL;

        if (!one)
            continue;
        count_put(one, "class", c);
        text_put(one, "name",
                 app_network_label(name, sizeof name, &a->network, a->source, c));
        text_put(one, "title",
                 app_network_class(name, sizeof name, &a->network, a->source, c));
        count_put(one, "n", row[0]);
        real_put(one, "clean_acc", (double)row[1] / (double)row[0]);
        real_put(one, "robust_acc", (double)row[2] / (double)row[0]);
        json_array_append_new(list, one);
    }
    base_free(total);
    return list;
}

/* ---- routing ------------------------------------------------------------------------- */

/* Normalised entropy of the experts' shares, 0..1. */
static double load_entropy(const double *usage, size_t experts, double sum)
{
    double out = 0;

    for (size_t e = 0; e < experts && sum > 0; e++)
        if (usage[e] > 0)
            out -= usage[e] / sum * log(usage[e] / sum);
    return experts > 1 ? out / log((double)experts) : 0;
}

/* Share of its tokens that each expert lost. */
static json_t *left_json(const measure_shift *s, size_t experts)
{
    json_t *list = json_array();

    for (size_t e = 0; e < experts; e++)
        json_array_append_new(list, show_json_real(s->left[e] / s->usage[0][e]));
    return list;
}

static json_t *layer_json(const app_attack *a, const measure_attacked *r, size_t l)
{
    size_t blocks[VIT_DEPTH_MAX];
    const measure_shift *all = &r->shift[MEASURE_GROUP_ALL][l];
    const measure_shift *broken = &r->shift[MEASURE_GROUP_BROKEN][l];
    const measure_shift *survived = &r->shift[MEASURE_GROUP_SURVIVED][l];
    const measure_shift *control = &r->shift[MEASURE_GROUP_CONTROL][l];
    const double t = all->tokens, with = all->tokens - all->empty;
    double sum[2] = {0};
    json_t *json = json_object();

    for (size_t e = 0; e < 2 * r->experts; e++)
        sum[e % 2] += all->usage[e % 2][e / 2];
    app_network_blocks(blocks, a->network.config);
    count_put(json, "layer", blocks[l]);
    real_put(json, "changed", all->changed / t);
    real_put(json, "top1_changed", all->top1_changed / t);
    real_put(json, "iou", all->iou / with);
    real_put(json, "routing_change", 1 - all->iou / with);
    real_put(json, "gate_l1", all->gate_l1 / t);
    real_put(json, "js", all->js / t);
    put(json, "token_entropy", pair_json(all->entropy[0] / t, all->entropy[1] / t));
    put(json, "load_entropy",
        pair_json(load_entropy(all->usage[0], r->experts, sum[0]),
                  load_entropy(all->usage[1], r->experts, sum[1])));
    put(json, "usage_clean", reals_json(all->usage[0], r->experts, sum[0]));
    put(json, "usage_adv", reals_json(all->usage[1], r->experts, sum[1]));
    put(json, "left", left_json(all, r->experts));
    put(json, "control_left", left_json(control, r->experts));
    put(json, "dropped",
        pair_json(all->dropped[0] / all->assigned[0], all->dropped[1] / all->assigned[1]));
    real_put(json, "control_changed", control->changed / control->tokens);
    real_put(json, "control_iou", control->iou / (control->tokens - control->empty));
    real_put(json, "changed_broken", broken->changed / broken->tokens);
    real_put(json, "changed_survived", survived->changed / survived->tokens);
    return json;
}

/* null: not measured. */
static json_t *capacity_json(const app_attack *a, json_t *facts)
{
    const double clean = (double)a->trained.right / (double)a->n;

    if (!a->trained.known)
        return json_null();
    fact_add(
        facts,
        "Trained with capacity %g, attacked without: with it %.2f %% of the clean images are "
        "right, %.2f %% of the assignments are dropped, and %.2f %% under attack.",
        a->trained.capacity, 100 * clean, 100 * a->trained.dropped[0],
        100 * a->trained.dropped[1]);
    return json_pack("{s:f, s:f, s:o}", "capacity", a->trained.capacity, "clean_acc", clean,
                     "dropped", pair_json(a->trained.dropped[0], a->trained.dropped[1]));
}

/* null: the router's choices cannot be replayed. */
static json_t *replay_json(const app_attack *a, json_t *facts)
{
    const measure_attacked *r = &a->routing;
    const double kept = (double)r->kept / (double)r->broken;
    const double right = (double)r->clean_right / (double)a->n;
    json_t *json = r->replayed ? json_object() : json_null();

    if (r->replayed && r->broken > 0)
        fact_add(
            facts,
            "Replay: with the clean image's experts %zu of %zu errors remain (%.1f %%), so %s. "
            "Clean images with the adversarial experts: %.2f %% right, against %.2f %%.",
            r->kept, r->broken, 100 * kept,
            kept > 0.9   ? "the change of routing is hardly the cause"
            : kept > 0.5 ? "the change of routing is a part of the cause"
                         : "the change of routing is the main cause",
            100 * right, 100 * (double)r->attacked / (double)a->n);
    real_put(json, "success_kept_with_clean_routing", kept);
    real_put(json, "clean_acc_with_adv_routing", right);
    count_put(json, "broken", r->broken);
    count_put(json, "kept", r->kept);
    return json;
}

static json_t *routing_json(const app_attack *a)
{
    const measure_attacked *r = &a->routing;
    json_t *json = json_object(), *layers = json_array(), *facts = json_array();

    for (size_t l = 0; r->attacked > 0 && l < r->layers; l++)
        json_array_append_new(layers, layer_json(a, r, l));
    text_put(json, "control", "random noise, same eps");
    put(json, "trained_capacity", capacity_json(a, facts));
    count_put(json, "samples", r->attacked);
    put(json, "layers", layers);
    put(json, "replay", replay_json(a, facts));
    put(json, "facts", facts);
    return json;
}

/* Share of the tokens whose experts changed, all layers together. */
static double moved(const measure_shift *shift, size_t layers)
{
    double changed = 0, tokens = 0;

    for (size_t l = 0; l < layers; l++) {
        changed += shift[l].changed;
        tokens += shift[l].tokens;
    }
    return changed / tokens;
}

/* The search for other experts (attacks.md 9.7): told apart from the attacks on the
 * accuracy, its examples count in its own row and nowhere else. */
static json_t *router_json(const app_attack *a)
{
    const measure_attacked *own = &a->router.routing, *other = &a->routing;
    const attack_result *r = attack_run_result(a->router.run, 0);
    json_t *json = attack_json(a, r), *layers = json_array(), *facts = json_array();
    double low, high;

    for (size_t l = 0; a->router.has_routing && own->attacked > 0 && l < own->layers; l++) {
        json_t *layer = layer_json(a, own, l);

        real_put(layer, "attack_changed",
                 a->has_routing ? moved(&other->shift[MEASURE_GROUP_ALL][l], 1)
                                : (double)NAN);
        json_array_append_new(layers, layer);
    }
    measure_interval(&low, &high, r->robust, a->n);
    fact_add(
        facts,
        "%s: %zu of %zu images (%.2f %%, 95 %%: %.2f to %.2f) are right under it, though it "
        "does not look for mistakes; no other row counts these examples%s.",
        r->spec, r->robust, a->n, 100 * (double)r->robust / (double)a->n, 100 * low,
        100 * high, r->complete ? "" : "; it was stopped");
    put(json, "apart", json_true());
    text_put(json, "adv_file", "adv_router.npy");
    put(json, "layers", layers);
    put(json, "all",
        json_pack("{s:s, s:o, s:o, s:o}", "layer", "all", "changed",
                  show_json_real(moved(own->shift[MEASURE_GROUP_ALL], own->layers)),
                  "attack_changed",
                  show_json_real(moved(other->shift[MEASURE_GROUP_ALL], other->layers)),
                  "control_changed",
                  show_json_real(moved(own->shift[MEASURE_GROUP_CONTROL], own->layers))));
    if (!json_array_size(layers))
        put(json, "all", json_null());
    put(json, "facts", facts);
    return json;
}

/* ---- whether to believe it ----------------------------------------------------------- */

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

/* What a reader must know before he believes a figure; whether it is more than the number
 * of images. */
static bool facts_add(json_t *facts, const app_attack *a)
{
    const char *notice = data_source_notice(a->source);
    char left_out[600];
    const bool batch = strcmp(app_attack_routing_mode(a), "batch") == 0;

    if (!a->complete)
        fact_add(facts, "The attack was stopped: figures are of what was done until then.");
    if (a->n < FEW_IMAGES)
        fact_add(facts, "Only %zu images: the intervals are wide.", a->n);
    if (a->bad > 0)
        fact_add(facts, "%zu of %zu images could not be used and count as wrong.", a->bad,
                 a->n);
    if (batch)
        fact_add(
            facts,
            "Images of a batch share the experts' capacity or their routing: predictions "
            "depend on neighbours, and the attack on the composition of batches.");
    if (app_attack_caution(a))
        fact_add(facts, "%s", app_attack_caution(a));
    if (a->args->labels == 1)
        fact_add(
            facts,
            "Labels are the model's own clean answers, not the truth: not comparable.");
    if (a->args->common.precision == VIT_PRECISION_BF16)
        fact_add(facts, "Judged in bf16; gradients were computed in fp32.");
    if (main_point(a)->clean == 0)
        fact_add(facts,
                 "No image was right before the attack: there was nothing to break.");
    if (notice[0])
        fact_add(facts, "%s", notice);
    if (data_source_left_out(left_out, sizeof left_out, a->source)[0])
        fact_add(facts, "%s", left_out);
    return !a->complete || a->n < FEW_IMAGES || batch || a->args->labels == 1;
}

static json_t *trust_json(const app_attack *a)
{
    json_t *facts = json_array(), *skipped = json_array();
    size_t count[4] = {0};
    bool odd = facts_add(facts, a) || !a->has_checks;
    char text[160] = "Not checked", head[96] = "No check fails";

    for (size_t i = 0; a->has_checks && i < ATTACK_CHECK_COUNT; i++) {
        const attack_check *c = &a->check[i];
        const bool made = c->verdict != ATTACK_VERDICT_SKIPPED;

        count[c->verdict]++;
        odd = odd || c->verdict == ATTACK_VERDICT_WARN;
        if (c->verdict != ATTACK_VERDICT_PASS)
            fact_add(made ? facts : skipped, "%s%s %s: %s", made ? "" : "skipped: ", c->id,
                     c->title, c->text);
    }
    if (count[ATTACK_VERDICT_FAIL] > 0)
        snprintf(head, sizeof head, "%zu of %d checks fail: do not trust these figures yet",
                 count[ATTACK_VERDICT_FAIL], (int)ATTACK_CHECK_COUNT);
    if (a->has_checks)
        snprintf(text, sizeof text, "%s (%zu pass, %zu warn, %zu fail, %zu skipped)", head,
                 count[0], count[1], count[2], count[3]);
    return json_pack("{s:s, s:s, s:o, s:o}", "verdict",
                     verdicts[count[ATTACK_VERDICT_FAIL] > 0 ? ATTACK_VERDICT_FAIL
                              : odd                          ? ATTACK_VERDICT_WARN
                                                             : ATTACK_VERDICT_PASS],
                     "text", text, "facts", facts, "skipped", skipped);
}

/* ---- the whole ----------------------------------------------------------------------- */

static json_t *model_json(const app_attack *a)
{
    const vit_config *c = a->network.config;
    const bool sparse = vit_config_is_sparse(c), bf16 = a->args->common.precision;
    const size_t channels = (size_t)c->channels;
    size_t blocks[VIT_DEPTH_MAX];
    char name[128];
    json_t *json = json_object(), *layers = json_array();

    for (size_t i = 0; i < app_network_blocks(blocks, c); i++)
        json_array_append_new(layers, json_integer((json_int_t)blocks[i]));
    text_put(json, "path", a->network.path);
    text_put(json, "sha256", a->model_hash);
    text_put(json, "arch", app_network_name(name, sizeof name, c));
    count_put(json, "parameters", vit_model_floats(a->network.model));
    count_put(json, "active_parameters", vit_model_active_floats(a->network.model));
    real_put(json, "flops", vit_model_flops(a->network.model));
    count_put(json, "classes", a->network.classes);
    put(json, "moe_layers", layers);
    text_put(json, "router", sparse ? c->moe.router.name : NULL);
    put(json, "experts", sparse ? json_integer(c->moe.experts) : json_null());
    put(json, "k", sparse ? json_integer(c->moe.k) : json_null());
    text_put(json, "routing_mode", app_attack_routing_mode(a));
    text_put(json, "router_note", app_attack_caution(a));
    text_put(json, "precision", bf16 ? "bf16" : "fp32");
    text_put(json, "gradient_precision", "fp32");
    put(json, "mean", floats_json(c->mean, channels));
    put(json, "std", floats_json(c->std, channels));
    return json;
}

static json_t *data_json(const app_attack *a)
{
    const size_t all = data_source_count(a->source);
    json_t *json = json_object();
    char text[256];

    text_put(json, "name", a->args->data);
    count_put(json, "n", a->n);
    count_put(json, "of", all);
    text_put(json, "ids_sha256", a->ids_hash);
    snprintf(text, sizeof text,
             a->n == all ? "all" : "the first %zu of the order of seed %lld", a->n,
             (long long)a->args->common.seed);
    text_put(json, "selection", text);
    snprintf(text, sizeof text,
             "8 bit, shorter side to %zu (0: as it is), centre crop %zu, %s",
             a->network.resize, a->network.size, app_filter_name(a->network.filter));
    text_put(json, "preprocess", text);
    put(json, "image",
        json_pack("[i, I, I]", a->network.config->channels, (json_int_t)a->network.size,
                  (json_int_t)a->network.size));
    text_put(json, "labels", a->args->labels == 1 ? "predicted" : "true");
    count_put(json, "bad", a->bad);
    return json;
}

static json_t *threat_json(const app_attack *a)
{
    const app_budget *b = &main_point(a)->budget;
    char told[64];

    return json_pack("{s:s, s:f, s:s, s:s, s:s, s:b, s:b}", "norm",
                     attack_norm_name(a->config.norm), "eps", b->eps, "eps_text", b->text,
                     "eps_told", app_budget_text(told, sizeof told, b, a->config.norm),
                     "space", "pixel", "targeted", a->args->aim > 0, "fixed_routing",
                     (int)a->args->fixed_routing);
}

static json_t *clean_json(const app_attack *a)
{
    json_t *json = json_object();

    count_put(json, "k", main_point(a)->clean);
    count_put(json, "n", a->n);
    share_put(json, "acc", main_point(a)->clean, a->n);
    real_put(json, "loss", a->clean_loss);
    count_put(json, "ordinary_k", a->ordinary);
    real_put(json, "chance", 1 / (double)a->network.classes);
    return json;
}

json_t *app_attack_json(const app_attack *a)
{
    const app_point *p = main_point(a);
    json_t *json = app_json_begin(&a->args->common, "attack", NULL, NULL);
    json_t *attacks = json_array();

    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(attacks, attack_json(a, &p->result[i]));
    count_put(json, "batch", (size_t)a->args->common.batch);
    text_put(json, "schema", "moe-attack-report");
    put(json, "version", json_integer(SCHEMA_VERSION));
    put(json, "complete", json_boolean(a->complete));
    text_put(json, "state", a->complete ? NULL : "stopped early");
    count_put(json, "samples", a->n);
    real_put(json, "seconds", a->seconds);
    put(json, "tool",
        json_pack("{s:s, s:s, s:o, s:s, s:f}", "name", "vmoe", "version", BASE_VERSION,
                  "command_line", show_json_text(a->command_line), "started_utc",
                  a->started, "seconds", a->seconds));
    put(json, "model", model_json(a));
    put(json, "data", data_json(a));
    app_data_json(json, a->source);
    app_network_json(json, &a->network);
    put(json, "threat", threat_json(a));
    put(json, "clean", clean_json(a));
    put(json, "attacks", attacks);
    put(json, "worst_case", worst_json(a));
    put(json, "sweep", sweep_json(a));
    put(json, "budgets", budgets_json(a));
    put(json, "per_class", classes_json(a));
    put(json, "routing", a->has_routing ? routing_json(a) : json_null());
    put(json, "router_attack", a->router.run ? router_json(a) : json_null());
    put(json, "checks", checks_json(a));
    put(json, "trust", trust_json(a));
    text_put(json, "samples_file", "samples.csv");
    text_put(json, "adv_file", "adv.npy");
    text_put(json, "clean_file", "clean.npy");
    text_put(json, "labels_file", "labels.npy");
    return json;
}
