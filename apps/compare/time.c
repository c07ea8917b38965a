/* time.c - what a training step costs with each router, fairly: the trained networks side
 * by side, the same batches, one step of each in turn, each round beginning with another
 * one. Trainings themselves may have run beside other work and say nothing of this. Relied
 * on elsewhere: weights stay as they were trained (learning rate 0), so that loads do not
 * move while one measures. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "apps/bench/internal.h"
#include "apps/compare/table_internal.h"

enum { WARMUP = 3, RIGS_MAX = 2 * APP_ENTRIES_MAX, TIMING_MAX_BYTES = 16 << 20 };

/* One network that makes steps. */
typedef struct rig {
    size_t entry;
    vit_model *model;
    vit_run *run;
    vit_optimizer *optimizer;
    double *ms; /* [rounds] */
} rig;

/* An entry's rigs: one, or for a router with a chance p of a Sinkhorn step two, p = 0 and p
 * = 1, whose mean weighted by p is what a step costs on average: too rare a step is in no
 * median. */
typedef struct timed_entry {
    bool timed;
    size_t first, count; /* rigs */
    double p;
} timed_entry;

typedef struct timing {
    const app_compare *compare;
    train_trainer plan; /* its loader gives the batches */
    rig rig[RIGS_MAX];
    size_t rigs;
    timed_entry entry[APP_ENTRIES_MAX];
    float *targets, *logits, *d_logits; /* [part, K] */
} timing;

/* ---- rigs ---------------------------------------------------------------------------- */

/* The chance of a Sinkhorn step in a training of so many steps; NaN: the router has no
 * option for it. */
static double chance_of(const vit_router_config *router, uint64_t steps)
{
    const base_field *options = vit_router_options(router->name);

    return options && base_field_find(options, "p")
               ? vit_router_sinkhorn_steps(router, steps) / (double)steps
               : (double)NAN;
}

/* p: text to set, NULL: as it is. */
static base_status rig_open(timing *t, size_t entry, const char *model, const char *p,
                            base_error *err)
{
    rig *r = &t->rig[t->rigs];
    const app_compare *c = t->compare;

    *r = (rig){.entry = entry};
    t->rigs++;
    base_status status = vit_model_load(&r->model, model, NULL, err);
    if (status == BASE_OK && p) {
        vit_config config = *vit_model_config(r->model);
        status = vit_router_set(&config.moe.router, "p", p, err);
        if (status == BASE_OK)
            status = vit_model_config_set(r->model, &config, err);
    }
    if (status == BASE_OK)
        status = vit_run_create(&r->run, r->model, t->plan.part, VIT_MODE_TRAIN,
                                (vit_precision)c->precision, err);
    if (status == BASE_OK)
        status =
            vit_optimizer_create(&r->optimizer, r->model, &t->plan.recipe.optimizer, err);
    r->ms = app_take(NULL, (size_t)c->args->rounds, sizeof *r->ms);
    return status;
}

static void rig_close(rig *r)
{
    vit_optimizer_destroy(r->optimizer);
    vit_run_destroy(r->run);
    vit_model_destroy(r->model);
}

/* The rigs of an entry, from its first trained seed; none where nothing is trained. */
static base_status entry_open(timing *t, size_t entry, base_error *err)
{
    const app_compare *c = t->compare;
    timed_entry *e = &t->entry[entry];
    const app_compare_run *run = NULL;
    base_status status = BASE_OK;

    for (size_t s = (size_t)c->args->seeds; s-- > 0;)
        if (app_compare_run_at(c, entry, s)->state == APP_RUN_FINISHED)
            run = app_compare_run_at(c, entry, s);
    if (!run)
        return BASE_OK;
    const char *model = app_compare_checkpoint(c, run);
    *e = (timed_entry){.timed = true, .first = t->rigs, .count = 1};
    train_recipe recipe;
    status = app_compare_recipe(&recipe, c, entry, run->seed, err);
    if (status == BASE_OK)
        e->p = chance_of(&recipe.config.moe.router, c->total);
    if (status == BASE_OK && e->p > 0 && e->p < 1) {
        e->count = 2;
        status = rig_open(t, entry, model, "0", err);
        if (status == BASE_OK)
            status = rig_open(t, entry, model, "1", err);
    } else if (status ==
               BASE_OK) { /* always the one or the other: router.steps says nothing here */
        const char *p = isnan(e->p) ? NULL : e->p > 0 ? "1" : "0";
        status = rig_open(t, entry, model, p, err);
    }
    return status;
}

/* ---- steps --------------------------------------------------------------------------- */

/* One optimiser step on the batch, as train makes it; milliseconds. */
static base_status step_make(double *ms, timing *t, rig *r, const data_batch *batch,
                             uint64_t number, base_error *err)
{
    const train_recipe *recipe = &t->plan.recipe;
    const double share = 1.0 / recipe->train.accumulate;
    const double began = base_seconds();
    base_status status = BASE_OK;

    vit_run_gradients_zero(r->run);
    for (int part = 0; part < recipe->train.accumulate && status == BASE_OK; part++) {
        const vit_step step = {.seed = 1,
                               .step = number,
                               .first_sample = (uint64_t)part * t->plan.part,
                               .loss_scale = share};
        status =
            vit_run_forward(r->run, t->logits, batch->images, batch->count, &step, err);
        if (status != BASE_OK)
            return status;
        vit_loss_compute((vit_loss)recipe->train.loss, t->d_logits, NULL, t->logits,
                         t->targets, batch->count, (size_t)recipe->config.classes, share);
        status = vit_run_backward(r->run, NULL, t->d_logits, err);
    }
    if (status == BASE_OK) {
        vit_optimizer_step(r->optimizer, r->model, vit_run_gradients(r->run), 0);
        vit_optimizer_state_step(r->optimizer, r->model, r->run,
                                 &(vit_step){.step = number});
    }
    *ms = 1e3 * (base_seconds() - began);
    return status;
}

static base_status rounds_make(timing *t, base_error *err)
{
    const int64_t rounds = t->compare->args->rounds;
    const train_recipe *recipe = &t->plan.recipe;
    app_progress progress = {0};
    data_batch batch;
    base_status status = data_loader_seek(t->plan.train_loader, 0, 0, err);

    app_progress_start(&progress, &t->compare->args->common, "timing", "rounds",
                       (uint64_t)(rounds + WARMUP), 0);
    for (int64_t i = -WARMUP; i < rounds && status == BASE_OK; i++) {
        status = data_loader_next(t->plan.train_loader, &batch, err);
        if (status != BASE_OK)
            break;
        vit_targets_fill(t->targets, batch.labels, batch.labels_b, batch.weight_a,
                         batch.count, (size_t)recipe->config.classes,
                         recipe->train.label_smoothing);
        for (size_t k = 0; k < t->rigs && status == BASE_OK; k++) {
            rig *r = &t->rig[((size_t)(i + WARMUP) + k) % t->rigs];
            double ms = 0;
            status = step_make(&ms, t, r, &batch, (uint64_t)(i + WARMUP), err);
            if (i >= 0)
                r->ms[i] = ms;
        }
        if (app_stop_asked())
            status = base_fail(err, BASE_INTERRUPTED,
                               "stopped in the timing, the same command "
                               "times anew");
        app_progress_update(&progress, (uint64_t)(i + WARMUP + 1), "%zu routers", t->rigs);
    }
    app_progress_end(&progress);
    return status;
}

/* ---- the file ------------------------------------------------------------------------ */

/* What a timing is of: it is made again when this is another. */
static const char *key_make(const app_compare *c)
{
    char machine[128];
    const char *key =
        app_text("v1 machine=%s threads=%lld batch=%d rounds=%lld precision=%d data=%s",
                 bench_machine(machine, sizeof machine), (long long)c->args->common.threads,
                 c->recipe.train.batch, (long long)c->args->rounds, c->precision, c->train);

    for (size_t e = 0; e < c->entries.count; e++) {
        bool trained = false;
        char settings[APP_SETTINGS_MAX * APP_SETTING_BYTES];
        for (size_t s = 0; s < (size_t)c->args->seeds; s++)
            trained = trained || app_compare_run_at(c, e, s)->state == APP_RUN_FINISHED;
        if (!trained)
            continue;
        key = app_text("%s %s=%s:%s", key, c->entries.entry[e].label,
                       c->entries.entry[e].router,
                       app_entry_settings(settings, sizeof settings, &c->entries.entry[e]));
    }
    return key;
}

static json_t *entry_json(const timing *t, const timed_entry *e)
{
    const rig *first = &t->rig[e->first];
    json_t *json = json_object(), *rounds = json_array(), *plan = json_array();

    for (int64_t i = 0; i < t->compare->args->rounds; i++) {
        const double ms = e->count == 2
                              ? (1 - e->p) * first[0].ms[i] + e->p * first[1].ms[i]
                              : first->ms[i];
        json_array_append_new(rounds, json_real(ms));
        if (e->count == 2)
            json_array_append_new(plan, json_real(first[1].ms[i]));
    }
    show_put(json, "rounds_ms", rounds);
    show_put(json, "sinkhorn_rounds_ms", plan);
    show_put_real(json, "p", e->p);
    return json;
}

static json_t *timing_json(const timing *t, const char *key)
{
    const app_compare *c = t->compare;
    app_common common = c->args->common;
    char machine[128];

    common.precision = c->precision;
    json_t *json = app_json_begin(&common, "compare-timing", NULL, c->recipe.data.train);
    json_t *entries = json_object();
    show_put_text(json, "key", key);
    show_put_text(json, "machine", bench_machine(machine, sizeof machine));
    show_put_int(json, "batch", t->plan.recipe.train.batch);
    show_put_int(json, "rounds", c->args->rounds);
    for (size_t e = 0; e < c->entries.count; e++)
        if (t->entry[e].timed)
            show_put(entries, c->entries.entry[e].label, entry_json(t, &t->entry[e]));
    show_put(json, "entries", entries);
    return json;
}

static json_t *timing_read(const char *path, const char *key)
{
    char *text = NULL;
    size_t bytes = 0;
    json_t *json = NULL;

    if (access(path, F_OK) == 0 &&
        base_file_read(&text, &bytes, path, TIMING_MAX_BYTES, NULL) == BASE_OK)
        json = json_loadb(text, bytes, 0, NULL);
    base_free(text);
    const char *stored = json_string_value(json_object_get(json, "key"));
    if (json && key && (!stored || strcmp(stored, key) != 0)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

static base_status timing_make(json_t **out, const app_compare *c, const char *key,
                               base_error *err)
{
    app_watch watch = {.common = &c->args->common};
    const train_options options = app_train_options(&watch, "", false);
    timing *t = app_take(NULL, 1, sizeof *t);
    size_t floats = 0;

    t->compare = c;
    base_status status = train_trainer_plan(&t->plan, &c->recipe, &options, err);
    if (status == BASE_OK &&
        base_mul_size(&floats, t->plan.part, (size_t)t->plan.recipe.config.classes)) {
        t->targets = app_take(NULL, floats, sizeof(float));
        t->logits = app_take(NULL, floats, sizeof(float));
        t->d_logits = app_take(NULL, floats, sizeof(float));
    }
    for (size_t e = 0; e < c->entries.count && status == BASE_OK; e++)
        status = entry_open(t, e, err);
    if (status == BASE_OK && t->rigs > 0)
        status = rounds_make(t, err);
    if (status == BASE_OK && t->rigs > 0)
        *out = timing_json(t, key);
    for (size_t r = 0; r < t->rigs; r++)
        rig_close(&t->rig[r]);
    train_trainer_destroy(&t->plan);
    return status;
}

base_status app_compare_time(json_t **out, const app_compare *compare, bool make,
                             base_error *err)
{
    const char *path = app_text("%s/timing.json", compare->args->out),
               *key = key_make(compare);
    app_common writes = compare->args->common;
    base_status status = BASE_OK;

    *out = NULL;
    /* With --no-timing an older one stands, whatever it was made with: it says so
     * itself. */
    *out = timing_read(path, make ? key : NULL);
    if (*out || !make)
        return status;
    status = timing_make(out, compare, key, err);
    writes.json = path;
    if (status == BASE_OK && *out) {
        status = app_json_write(&writes, *out, err);
        *out = status == BASE_OK ? timing_read(path, key) : NULL;
    }
    return status;
}
