/* eval.c - what a comparison measures of each trained run: clean accuracy and loads on all
 * of the validation data, the benchmark's corruptions and PGD on the same few images for
 * every run. By the same code as vmoe eval and vmoe attack, whose JSON is kept beside the
 * run. Relied on elsewhere: the key "compare" in these files says what they were made with;
 * another key, and they are made again. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "apps/attack/internal.h"
#include "apps/compare/internal.h"
#include "apps/eval/internal.h"

enum { RESULT_MAX_BYTES = 64 << 20, KEY_VERSION = 2 };

static const char *const files[APP_MEASURE_COUNT] = {"eval.json", "corrupt.json",
                                                     "attack.json"};
static const char *const measure_names[APP_MEASURE_COUNT] = {"clean", "corruptions",
                                                             "attack"};

/* ---- files beside a run -------------------------------------------------------------- */

const char *app_compare_checkpoint(const app_compare *compare, const app_compare_run *run)
{
    return app_text("%s/%s/model.safetensors", run->folder,
                    compare->args->checkpoint == 1 ? "best" : "last");
}

/* All that decides a result. */
static const char *key_make(const app_compare *c, const char *model_hash,
                            app_measure measure)
{
    const app_compare_args *args = c->args;
    const char *common =
        app_text("v%d model=%s data=%s batch=%lld precision=%s seed=%lld", (int)KEY_VERSION,
                 model_hash, c->val, (long long)c->common.batch,
                 c->common.precision == VIT_PRECISION_BF16 ? "bf16" : "fp32",
                 (long long)args->common.seed);

    if (measure == APP_MEASURE_CLEAN)
        return common;
    if (measure == APP_MEASURE_CORRUPT)
        return app_text("%s limit=%lld bench nearest%s%s", common,
                        (long long)args->eval_limit, args->frost ? " frost=" : "",
                        args->frost ? args->frost : "");
    return app_text("%s limit=%lld pgd linf eps=%s steps=%lld", common,
                    (long long)args->eval_limit, args->eps, (long long)args->steps);
}

json_t *app_compare_reread(const char *path, const char *name, const char *key)
{
    char *text = NULL;
    size_t bytes = 0;
    json_t *json = NULL;

    if (access(path, F_OK) == 0 &&
        base_file_read(&text, &bytes, path, RESULT_MAX_BYTES, NULL) == BASE_OK)
        json = json_loadb(text, bytes, 0, NULL);
    base_free(text);
    const char *stored = json_string_value(json_object_get(json, name));
    if (!key || (stored && strcmp(stored, key) == 0))
        return json;
    json_decref(json);
    return NULL;
}

base_status app_compare_keep(json_t **out, json_t *json, const char *path, const char *name,
                             const char *key, base_error *err)
{
    const base_status status = app_json_save(path, json, err);
    *out = status == BASE_OK ? app_compare_reread(path, name, key) : NULL;
    return status != BASE_OK || *out
               ? status
               : base_fail(err, BASE_IO, "'%s' does not read back as it was written", path);
}

/* ---- measuring ----------------------------------------------------------------------- */

static app_common common_of(const app_compare *c, int64_t limit)
{
    app_common common = c->common;

    common.limit = limit;
    common.json = NULL;
    return common;
}

static app_view view_of(const app_compare *c)
{
    app_view view = {0};
    const train_recipe *r = &c->recipe;

    view.data.val_labels = r->data.val_labels[0] ? r->data.val_labels : NULL;
    view.data.class_map = r->data.class_map[0] ? r->data.class_map : NULL;
    view.data.label_key = r->data.label_key[0] ? r->data.label_key : NULL;
    view.data.lenient = true; /* the training has judged them */
    view.data.index_cache = r->data.index_cache[0] ? r->data.index_cache : NULL;
    return view;
}

/* What the network costs: all weights, those that a token meets, a pass as it was made. */
static void cost_put(json_t *json, const app_evaluation *e)
{
    const vit_model *model = e->network.model;
    const double images = (double)(e->score.samples - e->score.bad);
    double kept = 0;

    for (size_t l = 0; l < e->moe_count; l++)
        kept += e->load[l].assignments - e->load[l].dropped;
    show_put_count(json, "parameters", vit_model_floats(model));
    show_put_count(json, "active_parameters", vit_model_active_floats(model));
    show_put_real(json, "flops", vit_model_flops(model));
    show_put_real(json, "flops_spent",
                  images > 0 ? vit_model_flops_spent(model, kept / images) : (double)NAN);
}

/* vmoe eval, with the benchmark's corruptions or without. */
static base_status evaluate(json_t **out, const app_compare *c, const char *model,
                            const char *what, bool corrupt, base_error *err)
{
    app_eval_args args = {
        .common = common_of(c, corrupt ? c->args->eval_limit : 0),
        .view = view_of(c),
        .data = c->recipe.data.val,
        .bad_samples = 1, /* counted as wrong, as in training's own evaluations */
        .robust.alexnet_clean = CORRUPT_ALEXNET_CLEAN,
        .what = what,
    };
    app_pool pool = {0};
    app_evaluation *e = app_take(&pool, 1, sizeof *e);

    if (corrupt) {
        args.robust.corruption.names.at[0] = "bench";
        args.robust.corruption.names.count = 1;
        args.robust.corruption.frost = c->args->frost;
    }
    base_status status = app_eval_open(e, model, &args, err);
    if (status == BASE_OK)
        status = app_eval_run(e, &args, err);
    if (status == BASE_OK && (e->interrupted || app_stop_asked()))
        status = base_fail(err, BASE_INTERRUPTED, "stopped in an evaluation");
    if (status == BASE_OK)
        *out = app_eval_json(e, &args.common);
    if (status == BASE_OK && *out)
        cost_put(*out, e);
    app_eval_close(e);
    app_pool_end(&pool);
    return status;
}

/* vmoe attack with PGD alone; the budgets' last one is looked at in full. */
static base_status attack(json_t **out, const app_compare *c, const app_compare_run *run,
                          const char *model, const char *what, base_error *err)
{
    const char *state = app_text("%s/state", run->folder);
    attack_args args = {
        .common = common_of(c, c->args->eval_limit),
        .view = view_of(c),
        .data = c->recipe.data.val,
        .attack = "pgd",
        .eps = c->args->eps,
        .steps = c->args->steps,
        .out = run->folder,
        .checks = 1,                    /* off */
        .allow_batch_dependence = true, /* then in fixed batches, and marked */
        .resume = access(state, F_OK) == 0,
    };
    app_pool pool = {0};
    app_attack *a = app_take(&pool, 1, sizeof *a);

    a->args = &args;
    a->command_line = "vmoe compare";
    app_note(&c->args->common, "%-12s%s", "attack", what);
    base_status status = app_attack_open(a, model, err);
    if (status == BASE_OK)
        status = app_attack_read(a, err);
    if (status == BASE_OK) {
        const double began = base_seconds();
        status = app_attack_search(a, err);
        if (status == BASE_MISMATCH && args.resume) { /* a state of other settings */
            status = base_folder_remove(state, err);
            args.resume = false;
            if (status == BASE_OK)
                status = app_attack_search(a, err);
        }
        a->seconds = base_seconds() - began;
    }
    if (status == BASE_OK && !a->complete)
        status = base_fail(err, BASE_INTERRUPTED, "stopped in an attack");
    if (status == BASE_OK)
        *out = app_attack_json(a);
    app_attack_close(a);
    app_pool_end(&pool);
    return status;
}

static base_status measure_make(app_compare *c, app_compare_run *run, app_measure measure,
                                const char *model, const char *key, base_error *err)
{
    char name[128], what[192];
    json_t *json = NULL;
    base_status status;

    app_compare_name(name, sizeof name, c, run);
    snprintf(what, sizeof what, "%s %s", measure_names[measure], name);
    if (measure == APP_MEASURE_ATTACK)
        status = attack(&json, c, run, model, name, err);
    else
        status = evaluate(&json, c, model, what, measure == APP_MEASURE_CORRUPT, err);
    show_put_text(json, "compare", key);
    if (status == BASE_OK)
        status = app_compare_keep(&run->result[measure], json,
                                  app_text("%s/%s", run->folder, files[measure]), "compare",
                                  key, err);
    return status;
}

/* ---- all of them --------------------------------------------------------------------- */

bool app_compare_without(const app_compare *c, app_measure measure)
{
    return (measure == APP_MEASURE_CORRUPT && c->args->no_corruptions) ||
           (measure == APP_MEASURE_ATTACK && c->args->no_attack);
}

/* One measure of one run: read, else made where make says so. *made: it was. */
static base_status measure_take(app_compare *c, app_compare_run *run, app_measure measure,
                                bool make, bool *made, base_error *err)
{
    const char *model = app_compare_checkpoint(c, run), *key = NULL;
    base_status status = BASE_OK;

    *made = false;
    if (!run->model_hash[0])
        status = base_sha256_file(run->model_hash, model, err);
    if (status == BASE_OK)
        key = key_make(c, run->model_hash, measure);
    if (key)
        run->result[measure] = app_compare_reread(
            app_text("%s/%s", run->folder, files[measure]), "compare", key);
    if (key && !run->result[measure] && make) {
        status = measure_make(c, run, measure, model, key, err);
        *made = true;
    }
    return status;
}

static base_status stopped(base_error *err)
{
    return base_fail(err, BASE_INTERRUPTED,
                     "stopped in the evaluations, the same command goes on from there");
}

base_status app_compare_measure(app_compare *compare, bool make, base_error *err)
{
    app_compare *c = compare;
    base_error reason = {0};
    char name[128];

    for (app_measure m = 0; m < APP_MEASURE_COUNT; m++) {
        size_t done = 0;
        for (size_t i = 0; i < c->runs && !app_compare_without(c, m); i++) {
            app_compare_run *run = app_compare_run_in_turn(c, i);
            bool made = false;
            if (run->state != APP_RUN_FINISHED || run->reason[0] || run->result[m])
                continue;
            if (make && app_stop_asked())
                return stopped(err);
            const base_status status = measure_take(c, run, m, make, &made, &reason);
            if (status == BASE_INTERRUPTED)
                continue; /* the next turn says so */
            if (status != BASE_OK) {
                snprintf(run->reason, sizeof run->reason, "%.500s", reason.text);
                app_note(&c->args->common, "%-12s%s: %s", "failed",
                         app_compare_name(name, sizeof name, c, run), run->reason);
            }
            done += made;
        }
        if (done > 0)
            app_note(&c->args->common, "%-12s%s of %zu run%s", "measured", measure_names[m],
                     done, done > 1 ? "s" : "");
    }
    return make && app_stop_asked() ? stopped(err) : BASE_OK;
}
