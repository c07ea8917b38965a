/* document.c - what an attack found, as one document (docs/attacks.md): all that its table
 * and page show. Relied on elsewhere: the keys; fractions are 0..1 and of all samples
 * unless a key says otherwise; no NaN is ever written. */
#include "apps/attack/internal.h"

#include <math.h>
#include <string.h>

enum { SCHEMA_VERSION = 1, FEW_IMAGES = 500, LINES_MOST = 8 };

static const char *const verdicts[] = {"PASS", "WARN", "FAIL", "SKIPPED"};
static const char *const modes[] = {"cascade", "individual"};

static const app_point *main_point(const app_attack *a)
{
    return &a->point[a->main];
}

/* "dropless", "per_sample" or "batch": whom a token's experts depend on. */
static const char *routing_mode(const app_attack *a)
{
    const vit_moe_config *moe = &a->network.config->moe;

    if (vit_config_mixes_images(a->network.config))
        return "batch";
    return vit_config_is_sparse(a->network.config) && moe->eval_capacity > 0 ? "per_sample"
                                                                             : "dropless";
}

/* What a reader must know of the router's gradients and choices; NULL: nothing. */
static const char *caution_of(const app_attack *a)
{
    return vit_config_is_sparse(a->network.config)
               ? vit_router_caution(&a->network.config->moe.router)
               : NULL;
}

/* ---- values -------------------------------------------------------------------------- */

/* KEY = k / n and its interval. */
static void share_put(json_t *json, const char *key, size_t k, size_t n)
{
    show_put_real(json, key, (double)k / (double)n);
    show_put(json, "ci95", app_interval_json(k, n));
}

/* ---- attacks ------------------------------------------------------------------------- */

json_t *app_attack_row_json(const app_attack *a, const attack_result *r)
{
    const double n = (double)a->n;
    const size_t clean = main_point(a)->clean;
    const bool bytes = a->args->space == 0; /* 8 bits of a pixel mean something */
    const char *options = strchr(r->spec, ':');
    json_t *json = json_object(), *curve = json_array(), *restarts = json_array();

    for (size_t i = 0; i < r->curve_count; i++)
        show_row(curve, "[I, o]", (json_int_t)r->curve_step[i],
                 show_json_real(r->curve[i]));
    for (size_t i = 0; i < r->by_restart_count; i++)
        json_array_append_new(restarts, json_integer((json_int_t)r->by_restart[i]));
    show_put_text(json, "name", r->name);
    show_put_text(json, "spec", r->spec);
    show_put_text(json, "options", options ? options + 1 : NULL);
    show_put(json, "params", show_json_fields(attack_options(r->name), &r->settings));
    show_put_text(json, "loss", r->loss ? r->loss : "");
    show_put_text(json, "note", r->note[0] ? r->note : NULL);
    show_put_text(json, "mode", modes[a->args->mode]);
    show_put(json, "complete", json_boolean(r->complete));
    show_put_text(json, "state", r->complete ? NULL : "stopped");
    show_put_count(json, "restarts", r->restarts);
    show_put_count(json, "evaluated", r->evaluated);
    show_put_count(json, "broken", r->broken);
    share_put(json, "robust_acc_after", r->robust_after, a->n);
    /* in a cascade the same: what was broken before was not attacked again */
    share_put(json, "robust_acc", r->robust, a->n);
    show_put_real(json, "asr", clean ? (double)r->broken / (double)clean : (double)NAN);
    show_put_real(json, "acc_u8", bytes ? (double)r->robust_u8 / n : (double)NAN);
    show_put_real(json, "acc_after_u8",
                  bytes ? (double)r->robust_after_u8 / n : (double)NAN);
    show_put_real(json, "median_norm", a->unit * r->median_norm);
    show_put_real(json, "max_norm", a->unit * r->max_norm);
    show_put_real(json, "minimal_norm", a->unit * r->minimal_norm);
    show_put_real(json, "grad_evals", r->grad_evals / n);
    show_put_real(json, "forward_evals", r->forward_evals / n);
    show_put_real(json, "seconds", r->seconds);
    show_put_count(json, "zero_grad", r->zero_grad);
    show_put_count(json, "invalid", r->invalid);
    show_put_count(json, "unconfirmed", r->unconfirmed);
    show_put_count(json, "targeted", r->targeted);
    show_put_real(json, "queries_median", r->queries_median);
    show_put_real(json, "draw_accuracy", r->draw_accuracy);
    show_put_real(json, "late_rise", r->late_rise);
    show_put(json, "loss_curve", curve);
    show_put(json, "by_restart", restarts);
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

    show_row(list, "{s:s, s:f, s:s}", "name", "wrong before", "share",
             (n - (double)p->clean) / n, "verdict", verdicts[ATTACK_VERDICT_SKIPPED]);
    for (size_t i = 0; i < p->count; i++) {
        show_row(list, "{s:s, s:f}", "name", p->result[i].name, "share",
                 ((double)left - (double)p->result[i].robust_after) / n);
        left = p->result[i].robust_after;
    }
    show_row(list, "{s:s, s:f, s:s}", "name", "not broken", "share", (double)p->robust / n,
             "verdict", verdicts[ATTACK_VERDICT_PASS]);
    return list;
}

static json_t *worst_json(const app_attack *a)
{
    const app_point *p = main_point(a);
    json_t *json = json_object(), *names = json_array();

    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(names, json_string(p->result[i].name));
    show_put_count(json, "k", p->robust);
    show_put_count(json, "n", a->n);
    share_put(json, "robust_acc", p->robust, a->n);
    show_put_count(json, "broken", p->clean - p->robust);
    show_put_real(json, "asr",
                  p->clean ? (double)(p->clean - p->robust) / (double)p->clean
                           : (double)NAN);
    show_put_text(json, "bound", p->complete ? "an upper bound" : "as far as it went");
    show_put_real(json, "budget_used", a->budget_used);
    show_put(json, "attacks", names);
    show_put_text(
        json, "note",
        a->args->mode == ATTACK_MODE_CASCADE
            ? "In order: each one sees what those before it left. Robust accuracy is of "
              "all images, the worst case over the attacks so far."
            : "Each on its own, against every image that was right.");
    show_put(json, "parts", parts_json(a));
    return json;
}

/* ---- budgets ------------------------------------------------------------------------- */

static const attack_budget zero = {.text = "0"};

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

static void sweep_add(json_t *sweep, const app_attack *a, const attack_budget *budget,
                      const char *name, size_t robust)
{
    show_row(sweep, "{s:f, s:s, s:s, s:f, s:o, s:I, s:I}", "eps", budget->eps, "eps_text",
             budget->text, "attack", name, "robust_acc", (double)robust / (double)a->n,
             "ci95", app_interval_json(robust, a->n), "k", (json_int_t)robust, "n",
             (json_int_t)a->n);
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
            show_row(sweep, "{s:f, s:s, s:s, s:f, s:n, s:I}", "eps", p->budget.eps,
                     "eps_text", p->budget.text, "attack", "random_noise", "robust_acc",
                     p->noise_accuracy, "ci95", "n", (json_int_t)a->n);
    }
    return sweep;
}

/* A point of the figure of accuracy over budgets: robust of n, or a mean without interval.
 * */
static void line_add(json_t *lines, const char *name, double robust, size_t n, bool whole)
{
    json_t *json = json_object();

    show_put_text(json, "name", name);
    if (whole)
        share_put(json, "robust_acc", (size_t)robust, n);
    else
        show_put_real(json, "robust_acc", robust / (double)n);
    show_put(json, "control", json_boolean(strcmp(name, "random noise") == 0));
    json_array_append_new(lines, json);
}

/* p NULL: budget 0, where the clean images stand. Noise is the control, told apart from the
 * attacks; the last attack of a cascade is the worst case. */
static json_t *budget_json(const app_attack *a, const app_point *p)
{
    const app_point *main = main_point(a);
    const attack_budget *budget = p ? &p->budget : &zero;
    const size_t robust = p ? p->robust : main->clean;
    const double n = (double)a->n, clean = (double)main->clean;
    const double noise = p ? p->noise_accuracy : clean / n;
    json_t *json = json_object(), *lines = json_array();
    char text[64];

    show_put_real(json, "eps", budget->eps);
    show_put_text(json, "eps_text", budget->text);
    show_put_text(json, "told",
                  attack_budget_text(text, sizeof text, budget, a->config.norm));
    share_put(json, "robust_acc", robust, a->n);
    show_put_real(json, "random_noise", noise);
    show_put_text(json, "state", p && !p->complete ? "stopped" : NULL);
    show_put(json, "lines", lines);
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
    size_t *total = app_take(NULL, 3 * classes, sizeof *total);
    json_t *list = json_array();

    for (size_t i = 0; i < a->n; i++) {
        const int32_t class = a->read.bad[i] ? a->read.label[i] : a->labels[i];
        size_t *row = total + 3 * (size_t) class;

        if (class < 0)
            continue;
        row[0]++;
        row[1] += attack_run_sample(a->run, i).right;
        row[2] += main_point(a)->left[i];
    }
    for (size_t c = 0; c < classes; c++) {
        const size_t *row = total + 3 * c;
        json_t *one = row[0] ? json_object() : NULL;

        if (!one)
            continue;
        show_put_count(one, "class", c);
        app_network_class_put(one, "name", &a->network, a->source, c);
        show_put_count(one, "n", row[0]);
        show_put_real(one, "clean_acc", (double)row[1] / (double)row[0]);
        show_put_real(one, "robust_acc", (double)row[2] / (double)row[0]);
        json_array_append_new(list, one);
    }
    return list;
}

/* ---- whether to believe it ----------------------------------------------------------- */

static json_t *checks_json(const app_attack *a)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ATTACK_CHECK_COUNT && a->has_checks; i++) {
        const attack_check *c = &a->check[i];

        show_row(list, "{s:s, s:s, s:s, s:o, s:o, s:o}", "id", c->id, "title", c->title,
                 "status", verdicts[c->verdict], "value", show_json_real(c->value), "limit",
                 show_json_real(c->limit), "text", show_json_text(c->text));
    }
    return list;
}

/* What a reader must know before he believes a figure; whether it is more than the number
 * of images. */
static bool facts_add(json_t *facts, const app_attack *a)
{
    const char *notice = data_source_notice(a->source);
    char left_out[600];
    const bool batch = vit_config_mixes_images(a->network.config);

    if (!a->complete)
        show_fact(facts,
                  "The attack was stopped: figures are of what was done until then.");
    if (a->n < FEW_IMAGES)
        show_fact(facts, "Only %zu image%s: the intervals are wide.", a->n,
                  a->n == 1 ? "" : "s");
    if (a->read.bad_count > 0)
        show_fact(facts, "%zu of %zu images could not be used and count as wrong.",
                  a->read.bad_count, a->n);
    if (batch)
        show_fact(
            facts,
            "Images of a batch share the experts' capacity or their routing: predictions "
            "depend on neighbours, and the attack on the composition of batches.");
    if (caution_of(a))
        show_fact(facts, "%s", caution_of(a));
    if (a->args->labels == 1)
        show_fact(
            facts,
            "Labels are the model's own clean answers, not the truth: not comparable.");
    if (a->args->space == 1)
        show_fact(facts,
                  "The normalised numbers were attacked, eps in their units (eps times std "
                  "in pixels) and without the pixels' limits: no claim of robustness, not "
                  "comparable with attacks on pixels, and not checked.");
    if (a->args->common.precision == VIT_PRECISION_BF16)
        show_fact(facts, "Judged in bf16; gradients were computed in fp32.");
    if (main_point(a)->clean == 0)
        show_fact(facts,
                  "No image was right before the attack: there was nothing to break.");
    if (notice[0])
        show_fact(facts, "%s", notice);
    if (data_source_left_out(left_out, sizeof left_out, a->source)[0])
        show_fact(facts, "%s", left_out);
    return !a->complete || a->n < FEW_IMAGES || batch || a->args->labels == 1 ||
           a->args->space == 1;
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
            show_fact(made ? facts : skipped, "%s%s %s: %s", made ? "" : "skipped: ", c->id,
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
    show_put_text(json, "path", a->network.path);
    show_put_text(json, "sha256", a->model_hash);
    show_put_text(json, "arch", app_network_name(name, sizeof name, c));
    show_put_count(json, "parameters", vit_model_floats(a->network.model));
    show_put_count(json, "active_parameters", vit_model_active_floats(a->network.model));
    show_put_real(json, "flops", vit_model_flops(a->network.model));
    show_put_count(json, "classes", a->network.classes);
    show_put(json, "moe_layers", layers);
    show_put_text(json, "router", sparse ? c->moe.router.name : NULL);
    show_put(json, "experts", sparse ? json_integer(c->moe.experts) : json_null());
    show_put(json, "k", sparse ? json_integer(c->moe.k) : json_null());
    show_put_text(json, "routing_mode", routing_mode(a));
    show_put_text(json, "router_note", caution_of(a));
    show_put_text(json, "precision", bf16 ? "bf16" : "fp32");
    show_put_text(json, "gradient_precision", "fp32");
    show_put(json, "mean", show_json_floats(c->mean, channels));
    show_put(json, "std", show_json_floats(c->std, channels));
    return json;
}

static json_t *data_json(const app_attack *a)
{
    const size_t all = data_source_count(a->source);
    json_t *json = json_object();

    show_put_text(json, "name", a->args->data);
    show_put_count(json, "n", a->n);
    show_put_count(json, "of", all);
    show_put_text(json, "ids_sha256", a->ids_hash);
    show_put(json, "selection",
             json_sprintf(a->n == all ? "all" : "the first %zu of the order of seed %lld",
                          a->n, (long long)a->args->common.seed));
    show_put(json, "preprocess",
             json_sprintf("8 bit, shorter side to %zu (0: as it is), centre crop %zu, %s",
                          a->network.resize, a->network.size,
                          data_filter_name(a->network.filter)));
    show_put(json, "image",
             json_pack("[i, I, I]", a->network.config->channels,
                       (json_int_t)a->network.size, (json_int_t)a->network.size));
    show_put_text(json, "labels", a->args->labels == 1 ? "predicted" : "true");
    show_put_count(json, "bad", a->read.bad_count);
    return json;
}

static json_t *threat_json(const app_attack *a)
{
    const attack_budget *b = &main_point(a)->budget;
    char told[64];

    return json_pack("{s:s, s:f, s:s, s:s, s:s, s:b, s:b}", "norm",
                     attack_norm_name(a->config.norm), "eps", b->eps, "eps_text", b->text,
                     "eps_told", attack_budget_text(told, sizeof told, b, a->config.norm),
                     "space", a->args->space == 1 ? "normalized" : "pixel", "targeted",
                     a->args->aim > 0, "fixed_routing", (int)a->args->fixed_routing);
}

static json_t *clean_json(const app_attack *a)
{
    json_t *json = json_object();

    show_put_count(json, "k", main_point(a)->clean);
    show_put_count(json, "n", a->n);
    share_put(json, "acc", main_point(a)->clean, a->n);
    show_put_real(json, "loss", a->read.loss);
    show_put_count(json, "ordinary_k", a->read.right);
    show_put_real(json, "chance", 1 / (double)a->network.classes);
    return json;
}

json_t *app_attack_json(const app_attack *a)
{
    const app_point *p = main_point(a);
    json_t *json = app_json_begin(&a->args->common, "attack", NULL, NULL);
    json_t *attacks = json_array();

    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(attacks, app_attack_row_json(a, &p->result[i]));
    show_put_count(json, "batch", (size_t)a->args->common.batch);
    show_put_text(json, "schema", "moe-attack-report");
    show_put(json, "version", json_integer(SCHEMA_VERSION));
    show_put(json, "complete", json_boolean(a->complete));
    show_put_text(json, "state", a->complete ? NULL : "stopped early");
    show_put_count(json, "samples", a->n);
    show_put_real(json, "seconds", a->seconds);
    show_put(json, "tool",
             json_pack("{s:s, s:s, s:o, s:s, s:f}", "name", "vmoe", "version", BASE_VERSION,
                       "command_line", show_json_text(a->command_line), "started_utc",
                       a->started, "seconds", a->seconds));
    show_put(json, "model", model_json(a));
    show_put(json, "data", data_json(a));
    app_data_json(json, a->source);
    app_network_json(json, &a->network);
    show_put(json, "threat", threat_json(a));
    show_put(json, "clean", clean_json(a));
    show_put(json, "attacks", attacks);
    show_put(json, "worst_case", worst_json(a));
    show_put(json, "sweep", sweep_json(a));
    show_put(json, "budgets", budgets_json(a));
    show_put(json, "per_class", classes_json(a));
    show_put(json, "routing", a->has_routing ? app_attack_routing_json(a) : json_null());
    show_put(json, "router_attack",
             a->router.run ? app_attack_router_json(a) : json_null());
    show_put(json, "checks", checks_json(a));
    show_put(json, "trust", trust_json(a));
    show_put_text(json, "samples_file", "samples.csv");
    show_put_text(json, "adv_file", "adv.npy");
    show_put_text(json, "clean_file", "clean.npy");
    show_put_text(json, "labels_file", "labels.npy");
    return json;
}
