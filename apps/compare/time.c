/* time.c - what a training step costs with each router, fairly: the trained networks side
 * by side, one step of each in turn (train_pace). Trainings themselves may have run beside
 * other work and say nothing of this. */
#include <math.h>

#include "apps/bench/internal.h"
#include "apps/compare/table_internal.h"

/* An entry's networks: one, or for a router with a chance p of a Sinkhorn step two, p = 0
 * and p = 1, whose mean weighted by p is what a step costs on average: too rare a step is
 * in no median. */
typedef struct timed_entry {
    size_t first, count; /* networks; 0: not timed */
    double p;
} timed_entry;

typedef struct timing {
    const app_compare *compare;
    train_trainer plan; /* its loader gives the batches */
    vit_model *model[2 * TRAIN_VARIANTS_MAX];
    size_t models;
    timed_entry entry[TRAIN_VARIANTS_MAX];
    double *ms; /* [models, rounds] */
    app_progress progress;
} timing;

/* ---- networks ------------------------------------------------------------------------ */

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
static base_status model_open(timing *t, const char *path, const char *p, base_error *err)
{
    vit_model **model = &t->model[t->models];
    base_status status = vit_model_load(model, path, NULL, err);

    if (status != BASE_OK)
        return status;
    t->models++;
    if (!p)
        return BASE_OK;
    vit_config config = *vit_model_config(*model);
    status = vit_router_set(&config.moe.router, "p", p, err);
    return status == BASE_OK ? vit_model_config_set(*model, &config, err) : status;
}

/* The networks of an entry, from its first trained seed; none where nothing is trained. */
static base_status entry_open(timing *t, size_t entry, base_error *err)
{
    const app_compare *c = t->compare;
    timed_entry *e = &t->entry[entry];
    const app_compare_run *run = app_compare_trained(c, entry);
    train_recipe recipe;

    if (!run)
        return BASE_OK;
    const char *model = app_compare_checkpoint(c, run);
    *e = (timed_entry){.first = t->models, .count = 1};
    base_status status = app_compare_recipe(&recipe, c, entry, run->seed, err);
    if (status == BASE_OK)
        e->p = chance_of(&recipe.config.moe.router, c->total);
    if (status != BASE_OK)
        return status;
    /* Always the one or the other: router.steps says nothing here. */
    if (!(e->p > 0 && e->p < 1))
        return model_open(t, model, isnan(e->p) ? NULL : e->p > 0 ? "1" : "0", err);
    e->count = 2;
    status = model_open(t, model, "0", err);
    return status == BASE_OK ? model_open(t, model, "1", err) : status;
}

/* ---- the file ------------------------------------------------------------------------ */

/* What a timing is of: it is made again when this is another. */
static const char *key_make(const app_compare *c)
{
    char machine[128];
    const char *key = app_text(
        "v1 machine=%s threads=%lld batch=%d rounds=%lld precision=%d data=%s",
        bench_machine(machine, sizeof machine), (long long)c->args->common.threads,
        c->recipe.train.batch, (long long)c->args->rounds, c->common.precision, c->train);

    for (size_t e = 0; e < c->entries.count; e++) {
        const train_variant *entry = &c->entries.variant[e];
        if (app_compare_trained(c, e))
            key = app_text("%s %s=%s:%s", key, entry->label, entry->router,
                           app_entry_settings(entry));
    }
    return key;
}

static json_t *entry_json(const timing *t, const timed_entry *e)
{
    const size_t n = (size_t)t->compare->args->rounds;
    const double *plain = t->ms + e->first * n, *with_plan = plain + n;
    json_t *json = json_object(), *rounds = json_array(), *plan = json_array();

    for (size_t i = 0; i < n; i++) {
        const double ms =
            e->count == 2 ? (1 - e->p) * plain[i] + e->p * with_plan[i] : plain[i];
        json_array_append_new(rounds, json_real(ms));
        if (e->count == 2)
            json_array_append_new(plan, json_real(with_plan[i]));
    }
    show_put(json, "rounds_ms", rounds);
    show_put(json, "sinkhorn_rounds_ms", plan);
    show_put_real(json, "p", e->p);
    return json;
}

static json_t *timing_json(const timing *t, const char *key)
{
    const app_compare *c = t->compare;
    char machine[128];
    json_t *json = app_json_begin(&c->common, "compare-timing", NULL, c->recipe.data.train);
    json_t *entries = json_object();

    show_put_text(json, "key", key);
    show_put_text(json, "machine", bench_machine(machine, sizeof machine));
    show_put_int(json, "batch", t->plan.recipe.train.batch);
    show_put_int(json, "rounds", c->args->rounds);
    for (size_t e = 0; e < c->entries.count; e++)
        if (t->entry[e].count > 0)
            show_put(entries, c->entries.variant[e].label, entry_json(t, &t->entry[e]));
    show_put(json, "entries", entries);
    return json;
}

static base_status round_shown(void *user, size_t done, base_error *err)
{
    timing *t = user;

    app_progress_update(&t->progress, done, "%zu routers", t->models);
    return app_stop_asked()
               ? base_fail(err, BASE_INTERRUPTED,
                           "stopped in the timing, the same command times anew")
               : BASE_OK;
}

static base_status timing_make(json_t **out, const app_compare *c, const char *key,
                               base_error *err)
{
    const size_t rounds = (size_t)c->args->rounds;
    app_watch watch = {.common = &c->args->common};
    const train_options options = app_train_options(&watch, "", false);
    timing *t = app_take(NULL, 1, sizeof *t);

    t->compare = c;
    base_status status = train_trainer_plan(&t->plan, &c->recipe, &options, err);
    for (size_t e = 0; e < c->entries.count && status == BASE_OK; e++)
        status = entry_open(t, e, err);
    if (status == BASE_OK && t->models > 0) {
        t->ms = app_take(NULL, t->models * rounds, sizeof *t->ms);
        app_progress_start(&t->progress, &c->args->common, "timing", "rounds",
                           rounds + TRAIN_PACE_WARMUP, 0);
        status =
            train_pace(t->ms, &t->plan, t->model, t->models, rounds, round_shown, t, err);
        app_progress_end(&t->progress);
        if (status == BASE_OK)
            *out = timing_json(t, key);
    }
    for (size_t m = 0; m < t->models; m++)
        vit_model_destroy(t->model[m]);
    train_trainer_destroy(&t->plan);
    return status;
}

base_status app_compare_time(json_t **out, const app_compare *compare, bool make,
                             base_error *err)
{
    const char *path = app_text("%s/timing.json", compare->args->out);
    const char *key = key_make(compare);
    json_t *made = NULL;

    /* With --no-timing an older one stands, whatever it was made with: it says so
     * itself. */
    *out = app_compare_reread(path, "key", make ? key : NULL);
    if (*out || !make)
        return BASE_OK;
    const base_status status = timing_make(&made, compare, key, err);
    return status == BASE_OK && made ? app_compare_keep(out, made, path, "key", key, err)
                                     : status;
}
