/* runs.c - the run folders of a comparison: what each would be trained with, whether what
 * lies there is that, and how far it has come. Relied on elsewhere: a run that anything
 * else trained with the same settings on the same data (vmoe train) is taken over as it
 * is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "apps/compare/table_internal.h"

/* Seconds that trainings of a comparison that was killed get to write their checkpoints and
 * leave. */
enum { LOCK_PATIENCE = 20 };

/* ---- recipes ------------------------------------------------------------------------- */

/* The recipe with the options, --set, --data and --val: all but an entry's own settings. */
static base_status base_recipe(train_recipe *out, const app_compare_args *args,
                               base_error *err)
{
    base_status status = BASE_OK;

    *out = train_recipe_defaults();
    if (args->recipe)
        status = train_recipe_load(out, args->recipe, err);
    if (status == BASE_OK && args->common.given.precision) {
        out->train.precision =
            (int)app_precision_pick(args->common.precision, "compare", args->common.quiet);
    }
    for (size_t i = 0; i < args->set.count && status == BASE_OK; i++)
        if (strncmp(args->set.at[i], "train.seed=", 11) == 0 ||
            strncmp(args->set.at[i], "router.name=", 12) == 0)
            status =
                base_fail(err, BASE_USAGE,
                          "--set '%.60s': routers and seeds are those of --routers and "
                          "--seeds",
                          args->set.at[i]);
    if (status == BASE_OK)
        status = train_recipe_set(out, args->set.at, args->set.count, err);
    if (status == BASE_OK && args->data)
        status = train_key_set(out, train_recipe_keys, "data.train", args->data, err);
    if (status == BASE_OK && args->val)
        status = train_key_set(out, train_recipe_keys, "data.val", args->val, err);
    if (status == BASE_OK && !out->data.train[0])
        status = base_fail(err, BASE_USAGE, "--data DATA is missing");
    if (status == BASE_OK && !out->data.val[0])
        status = base_fail(err, BASE_USAGE, "--val DATA is missing");
    return status;
}

base_status app_compare_recipe(train_recipe *out, const app_compare *compare, size_t entry,
                               int64_t seed, base_error *err)
{
    const train_variant *e = &compare->entries.variant[entry];
    const char *set[TRAIN_SETTINGS_MAX + 2];
    char name[64], seed_text[48];

    snprintf(name, sizeof name, "router.name=%s", e->router);
    snprintf(seed_text, sizeof seed_text, "train.seed=%" PRId64, seed);
    set[0] = name;
    set[1] = seed_text;
    for (size_t i = 0; i < e->settings; i++)
        set[2 + i] = e->setting[i];
    *out = compare->recipe;
    base_status status = train_recipe_set(out, set, 2 + e->settings, err);
    if (status == BASE_OK)
        status = train_recipe_resolve(out, &compare->facts, err);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s': ", e->label);
    return status;
}

/* ---- one run ------------------------------------------------------------------------- */

base_status app_compare_look(app_compare *compare, app_compare_run *run, base_error *err)
{
    train_recipe *recipe = app_take(NULL, 1, sizeof *recipe);
    train_position at;
    bool found = false;
    char name[128];

    base_status status = app_compare_recipe(recipe, compare, run->entry, run->seed, err);
    if (status != BASE_OK)
        return status;
    status =
        train_run_look(&at, &found, run->folder, recipe, compare->train, compare->val, err);
    if (status != BASE_OK) {
        base_error_prepend(err,
                           "%s ('%s'): ", app_compare_name(name, sizeof name, compare, run),
                           run->folder);
        return status;
    }
    run->state = !found                                                 ? APP_RUN_NEW
                 : at.step >= compare->total && at.evaluated == at.step ? APP_RUN_FINISHED
                                                                        : APP_RUN_BEGUN;
    run->step = at.step;
    run->accuracy = at.last_accuracy;
    return BASE_OK;
}

static app_compare_run *run_at(const app_compare *compare, size_t entry, size_t seed)
{
    return &compare->run[entry * (size_t)compare->args->seeds + seed];
}

app_compare_run *app_compare_run_in_turn(const app_compare *compare, size_t i)
{
    return run_at(compare, i % compare->entries.count, i / compare->entries.count);
}

const app_compare_run *app_compare_trained(const app_compare *compare, size_t entry)
{
    for (size_t s = 0; s < (size_t)compare->args->seeds; s++)
        if (run_at(compare, entry, s)->state == APP_RUN_FINISHED)
            return run_at(compare, entry, s);
    return NULL;
}

const char *app_compare_name(char *out, size_t out_bytes, const app_compare *compare,
                             const app_compare_run *run)
{
    snprintf(out, out_bytes, "%s seed %" PRId64, compare->entries.variant[run->entry].label,
             run->seed);
    return out;
}

/* ---- all of them --------------------------------------------------------------------- */

/* What the measures cannot do is said before hours of training. */
static base_status measures_check(const app_compare *c, const train_recipe *recipe,
                                  base_error *err)
{
    const size_t floats = (size_t)recipe->config.channels * (size_t)recipe->config.image *
                          (size_t)recipe->config.image;
    attack_budget budgets[ATTACK_BUDGETS_MAX];
    size_t count = 0;

    if (c->args->no_evaluation)
        return BASE_OK;
    if (recipe->optimizer.ema > 0 && c->args->checkpoint == 0)
        return base_fail(err, BASE_USAGE,
                         "'optimizer.ema' averages weights, which only best/ holds: give "
                         "--checkpoint best");
    if (c->args->no_attack)
        return BASE_OK;
    return attack_budgets_parse(budgets, &count, "--eps", c->args->eps, ATTACK_NORM_LINF,
                                floats, err);
}

/* What only the data says: classes, fingerprints, how many steps a training has. */
static base_status data_open(app_compare *c, base_error *err)
{
    app_watch watch = {.common = &c->args->common};
    const train_options options = app_train_options(&watch, "", false);
    train_trainer trainer = {0};

    base_status status = train_trainer_plan(&trainer, &c->recipe, &options, err);
    if (status == BASE_OK) {
        size_t width = 0, height = 0;
        c->facts.classes = data_source_classes(trainer.train);
        data_source_uniform(trainer.train, &width, &height, &c->facts.uniform_channels);
        train_state_fingerprint(c->train, sizeof c->train, trainer.train);
        train_state_fingerprint(c->val, sizeof c->val, trainer.val);
        c->about = json_object();
        app_data_pair_json(c->about, trainer.train, trainer.val);
        c->total = trainer.total;
        train_recipe_network(&c->network, &trainer.recipe);
        c->common = c->args->common;
        if (!c->common.given.batch)
            c->common.batch = trainer.recipe.train.eval_batch;
        c->common.precision = trainer.recipe.train.precision;
        status = measures_check(c, &trainer.recipe, err);
    }
    train_trainer_destroy(&trainer);
    return status;
}

static base_status runs_create(app_compare *c, base_error *err)
{
    const size_t seeds = (size_t)c->args->seeds;
    base_status status = BASE_OK;

    c->run = app_take(NULL, c->entries.count * seeds, sizeof *c->run);
    c->runs = c->entries.count * seeds;
    for (size_t i = 0; i < c->runs && status == BASE_OK; i++) {
        app_compare_run *run = &c->run[i];
        run->entry = i / seeds;
        run->seed = (int64_t)(i % seeds) + 1;
        run->folder = app_text("%s/runs/%s/seed-%" PRId64, c->args->out,
                               c->entries.variant[run->entry].label, run->seed);
        run->log = app_text("%s.log", run->folder);
        status = app_compare_look(c, run, err);
    }
    return status;
}

/* DIR is one comparison's. The descriptor goes down to the trainings, so that those of a
 * comparison that was killed hold it until they have left. */
static base_status lock_take(app_compare *c, base_error *err)
{
    const struct timespec pause = {0, 100 * 1000000};
    const double began = base_seconds();
    bool told = false;
    const char *path = app_text("%s/lock", c->args->out);
    base_status status = BASE_OK;

    c->lock = open(path, O_RDWR | O_CREAT, 0666);
    if (c->lock < 0)
        status = base_fail_errno(err, "cannot write '%s'", path);
    while (status == BASE_OK && flock(c->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            status = base_fail_errno(err, "cannot lock '%s'", path);
        } else if (base_seconds() - began > LOCK_PATIENCE) {
            status =
                base_fail(err, BASE_IO, "another vmoe compare works in '%s'", c->args->out);
        } else if (app_stop_asked()) {
            status = base_fail(err, BASE_INTERRUPTED, "stopped before the first training");
        } else {
            if (!told)
                app_note(&c->args->common,
                         "%-12sfor what another vmoe compare left at work", "waiting");
            told = true;
            nanosleep(&pause, NULL);
        }
    }
    return status;
}

base_status app_compare_open(app_compare *out, const app_compare_args *args,
                             base_error *err)
{
    app_compare *c = out;

    *c = (app_compare){.args = args, .lock = -1};
    base_status status = BASE_OK;
    for (size_t i = 0; i < args->routers.count && status == BASE_OK; i++)
        status = train_variants_add(&c->entries, "--routers", args->routers.at[i], err);
    if (status == BASE_OK && args->grid.count > 0 && c->entries.count == 0)
        status = base_fail(err, BASE_USAGE, "--grid is of --routers, which is not given");
    for (size_t i = 0; i < args->grid.count && status == BASE_OK; i++)
        status = train_variants_grid(&c->entries, "--grid", args->grid.at[i], err);
    if (status == BASE_OK)
        status = train_variants_preset(&c->entries, args->preset, err);
    if (status == BASE_OK && c->entries.count == 0)
        status = base_fail(err, BASE_USAGE, "--routers LIST or --preset NAME is missing");
    size_t baseline;
    if (status == BASE_OK)
        status = app_table_baseline(&baseline, c, err);
    if (status == BASE_OK)
        status = base_recipe(&c->recipe, args, err);
    if (status == BASE_OK)
        status = data_open(c, err);
    /* Every word is understood before the first folder is made. */
    for (size_t i = 0; i < c->entries.count && status == BASE_OK; i++) {
        train_recipe trial;
        status = app_compare_recipe(&trial, c, i, 1, err);
    }
    if (status == BASE_OK && !args->status) {
        status = base_folder_make(args->out, err);
        if (status == BASE_OK)
            status = lock_take(c, err);
    }
    return status == BASE_OK ? runs_create(c, err) : status;
}

void app_compare_close(app_compare *compare)
{
    for (size_t i = 0; i < compare->runs; i++)
        for (size_t m = 0; m < APP_MEASURE_COUNT; m++)
            json_decref(compare->run[i].result[m]);
    json_decref(compare->about);
    if (compare->lock >= 0)
        close(compare->lock);
    *compare = (app_compare){.lock = -1};
}

void app_compare_print(const app_compare *compare)
{
    static const char *const words[] = {"not begun", "begun", "finished", "failed"};
    static const char *const measured[APP_MEASURE_COUNT] = {"  clean", " corruptions",
                                                            " attack"};
    FILE *out = app_result_stream(&compare->args->common);
    size_t counts[4] = {0};

    for (size_t i = 0; i < compare->runs; i++) {
        const app_compare_run *run = &compare->run[i];
        char name[128];

        counts[run->state]++;
        app_compare_name(name, sizeof name, compare, run);
        fprintf(out, "%-40s %-10s step %" PRIu64 " of %" PRIu64, name, words[run->state],
                run->step, compare->total);
        if (run->state == APP_RUN_FINISHED)
            fprintf(out, "  top-1 %.2f %%", 100 * run->accuracy);
        for (size_t m = 0; m < APP_MEASURE_COUNT; m++)
            if (run->result[m])
                fputs(measured[m], out);
        fprintf(out, "%s%s\n", run->reason[0] ? "  " : "", run->reason);
    }
    fprintf(out, "%zu runs: %zu finished, %zu begun, %zu not begun\n", compare->runs,
            counts[APP_RUN_FINISHED], counts[APP_RUN_BEGUN], counts[APP_RUN_NEW]);
}
