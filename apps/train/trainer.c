/* trainer.c - builds a training run from a recipe and takes it from where it stands to its end:
 * evaluate, save, stop, step. Steps count optimiser updates from 0; the data is one endless row of
 * passes ("parts"), so that a place in it follows from the step alone.
 * Relied on elsewhere: best/ is written before last/ (a kill between the two repeats the evaluation). */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "apps/network_internal.h"
#include "apps/train/internal.h"

/* ---- data -------------------------------------------------------------------------------------- */

static base_status open_sources(app_trainer *t, base_error *err)
{
    const train_recipe *r = &t->recipe;
    const char **names = NULL;
    data_source_options options = {
        .classes_of_model = (size_t)r->config.classes,
        .split = "train",
        .val_labels = r->data.val_labels[0] ? r->data.val_labels : NULL,
        .class_map = r->data.class_map[0] ? r->data.class_map : NULL,
        .index_cache = r->data.index_cache[0] ? r->data.index_cache : NULL,
        .indexing = t->common->quiet ? NULL : app_data_indexing,
    };

    base_status status = data_source_open(&t->train, r->data.train, &options, err);
    if (status != BASE_OK)
        return status;
    const size_t classes = data_source_classes(t->train);
    if (classes == 0)
        return base_fail(err, BASE_MISMATCH, "'%s' has no labels to train on",
                         data_source_path(t->train));
    names = base_alloc(classes, sizeof *names);
    if (!names)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", classes);
    for (size_t i = 0; i < classes; i++)
        names[i] = data_source_class_name(t->train, i);
    options.class_list = names;
    options.class_list_count = classes;
    options.split = "val";
    options.allow_single_class = true; /* of the training classes: others may be missing */
    status = data_source_open(&t->val, r->data.val, &options, err);
    base_free(names);
    if (status == BASE_OK && data_source_classes(t->val) == 0)
        status = base_fail(err, BASE_MISMATCH, "'%s' has no labels to validate on",
                           data_source_path(t->val));
    if (status == BASE_OK && data_source_classes(t->val) > classes)
        status =
            base_fail(err, BASE_MISMATCH,
                      "'%s' has %zu classes, expected those of the training data (%zu)",
                      data_source_path(t->val), data_source_classes(t->val), classes);
    return status;
}

static base_status resolve_recipe(app_trainer *t, base_error *err)
{
    train_facts facts = {.classes = data_source_classes(t->train)};
    size_t width = 0, height = 0;

    data_source_uniform(t->train, &width, &height, &facts.uniform_channels);
    const base_status status = train_recipe_resolve(&t->recipe, &facts, err);
    if (status != BASE_OK)
        return status;
    if ((size_t)t->recipe.config.classes < facts.classes)
        return base_fail(err, BASE_MISMATCH,
                         "'model.classes' is %d, expected at least the %zu classes of '%s'",
                         t->recipe.config.classes, facts.classes,
                         data_source_path(t->train));
    return BASE_OK;
}

static base_status create_loaders(app_trainer *t, base_error *err)
{
    const train_recipe *r = &t->recipe;
    data_loader_config c = data_loader_defaults();

    app_loader_feed(&c, &r->config);
    c.seed = (uint64_t)r->train.seed;
    app_loader_threads(&c, t->common, r->data.workers);
    c.queue = (size_t)r->data.queue;
    c.max_bad = r->data.max_bad;
    c.strict = r->data.strict;
    c.log = app_progress_log;
    c.log_user = &t->progress;

    c.batch = (size_t)r->train.eval_batch;
    c.limit = (size_t)r->data.val_limit;
    c.skip_bad = true;
    c.named = app_bad_source_named;
    c.named_user = &t->bad_val;
    base_status status = data_loader_create(&t->val_loader, t->val, &c, err);
    if (status != BASE_OK)
        return status;
    t->part = (size_t)(r->train.batch / r->train.accumulate);
    c.training = true;
    c.skip_bad = false;
    c.named_user = &t->bad_train;
    c.batch = t->part;
    c.limit = (size_t)r->data.limit;
    c.augment = r->augment;
    c.exact = r->data.exact;
    c.repeats = (size_t)r->data.repeats;
    status = train_augment_create(&t->augment, r, c.threads + c.helpers, err);
    if (status != BASE_OK)
        return status;
    c.alter = t->augment ? train_augment_alter : NULL;
    c.alter_user = t->augment;
    status = data_loader_create(&t->train_loader, t->train, &c, err);
    if (status != BASE_OK)
        return status;
    t->parts_in_epoch = data_loader_steps(t->train_loader); /* at least 1 */
    return BASE_OK;
}

/* ---- network ----------------------------------------------------------------------------------- */

static base_status set_labels(app_trainer *t, base_error *err)
{
    const size_t classes = (size_t)t->recipe.config.classes;

    if (data_source_classes(t->train) != classes)
        return BASE_OK;
    const char **names = base_alloc(classes, sizeof *names);
    if (!names)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", classes);
    for (size_t i = 0; i < classes; i++)
        names[i] = data_source_class_name(t->train, i);
    base_status status = vit_model_labels_set(t->model, names, classes, err);
    if (status == BASE_OK && t->averaged)
        status = vit_model_labels_set(t->averaged, names, classes, err);
    base_free(names);
    return status;
}

static base_status create_network(app_trainer *t, base_error *err)
{
    const train_recipe *r = &t->recipe;
    const vit_precision precision = (vit_precision)t->common->precision;
    vit_config config;

    train_recipe_network(&config, r);
    base_status status = vit_model_create(&t->model, &config, err);
    if (status == BASE_OK && r->optimizer.ema > 0)
        status = vit_model_create(&t->averaged, &config, err);
    if (status == BASE_OK)
        status = set_labels(t, err);
    if (status != BASE_OK)
        return status;
    vit_model_init(t->model, (uint64_t)r->train.seed);
    if (r->init_from[0] && !app_state_exists(t)) /* a run that goes on has its weights */
        status = app_trainer_start_from(t, err);
    if (status ==
        BASE_OK) /* copies the weights into the averages: after their first values */
        status = vit_optimizer_create(&t->optimizer, t->model, &r->optimizer, err);
    if (status == BASE_OK)
        status = vit_run_create_options(
            &t->run, t->model, t->part,
            &(vit_run_options){.mode = VIT_MODE_TRAIN,
                               .precision = precision,
                               .recompute = (vit_recompute)r->train.recompute},
            err);
    if (status == BASE_OK && r->adversary.kind != TRAIN_ADVERSARY_NONE)
        status =
            train_adversary_create(&t->adversary, r, t->model, t->part, precision, err);
    if (status == BASE_OK)
        status =
            vit_run_create(&t->eval_run, t->averaged ? t->averaged : t->model,
                           (size_t)r->train.eval_batch, VIT_MODE_INFER, precision, err);
    return status;
}

static base_status create_buffers(app_trainer *t, base_error *err)
{
    const size_t eval = (size_t)t->recipe.train.eval_batch;
    const size_t rows = t->part > eval ? t->part : eval;
    size_t floats = 0;

    t->moe_count = vit_run_moe_count(t->run);
    if (base_mul_size(&floats, rows, (size_t)t->recipe.config.classes)) {
        t->logits = base_alloc(floats, sizeof(float));
        t->d_logits = base_alloc(floats, sizeof(float));
        t->targets = base_alloc(floats, sizeof(float));
        t->worse_logits = base_alloc(floats, sizeof(float));
    }
    t->load = base_alloc(t->moe_count, sizeof *t->load);
    t->eval_load = base_alloc(t->moe_count, sizeof *t->eval_load);
    t->path[0] = base_text("%s/recipe.ini", t->out);
    t->path[1] = base_text("%s/metrics.jsonl", t->out);
    t->path[2] = base_text("%s/curves.svg", t->out);
    if (!t->logits || !t->d_logits || !t->targets || !t->worse_logits || !t->load ||
        !t->eval_load || !t->path[0] || !t->path[1] || !t->path[2])
        return base_fail(err, BASE_NO_MEMORY, "no memory for the training run");
    return BASE_OK;
}

uint64_t app_trainer_total(const app_trainer *trainer, int64_t epochs, int64_t max_steps)
{
    const uint64_t steps = max_steps > 0 ? (uint64_t)max_steps
                                         : (uint64_t)epochs * trainer->parts_in_epoch /
                                               (uint64_t)trainer->recipe.train.accumulate;

    return steps > 0 ? steps : 1;
}

static void plan(app_trainer *t)
{
    const train_recipe *r = &t->recipe;
    const double steps_in_epoch = (double)t->parts_in_epoch / r->train.accumulate;

    t->total = app_trainer_total(t, r->train.epochs, r->train.max_steps);
    t->schedule = (vit_schedule){
        .kind = (vit_schedule_kind)r->schedule.kind,
        .peak = r->lr,
        .final = r->schedule.final,
        .warmup = r->schedule.warmup > 0
                      ? (uint64_t)r->schedule.warmup
                      : (uint64_t)(r->schedule.warmup_epochs * steps_in_epoch + 0.5),
        .total = t->total,
        .timescale = (uint64_t)r->schedule.timescale,
    };
}

base_status app_trainer_plan(app_trainer *out, const app_common *common,
                             const train_recipe *recipe, const char *folder,
                             app_bad_list *bad_list, base_error *err)
{
    app_trainer *t = out;

    *t = (app_trainer){.common = common, .recipe = *recipe, .out = folder};
    t->progress.on = !common->quiet;
    base_status status = open_sources(t, err);
    t->bad_train = (app_bad_source){bad_list, t->train};
    t->bad_val = (app_bad_source){bad_list, t->val};
    if (status == BASE_OK)
        status = resolve_recipe(t, err);
    if (status == BASE_OK)
        status = create_loaders(t, err);
    if (status == BASE_OK)
        plan(t);
    return status;
}

base_status app_trainer_create(app_trainer *out, const app_common *common,
                               const train_recipe *recipe, const char *folder,
                               app_bad_list *bad_list, base_error *err)
{
    base_status status = app_trainer_plan(out, common, recipe, folder, bad_list, err);

    if (status == BASE_OK)
        status = create_network(out, err);
    return status == BASE_OK ? create_buffers(out, err) : status;
}

void app_trainer_destroy(app_trainer *trainer)
{
    app_trainer *t = trainer;

    app_metrics_close(&t->metrics);
    data_loader_destroy(t->train_loader);
    data_loader_destroy(t->val_loader);
    train_augment_destroy(t->augment); /* after the loader that calls it */
    data_source_close(t->train);
    data_source_close(t->val);
    train_adversary_destroy(t->adversary);
    vit_run_destroy(t->run);
    vit_run_destroy(t->eval_run);
    vit_optimizer_destroy(t->optimizer);
    vit_model_destroy(t->averaged);
    vit_model_destroy(t->model);
    base_free(t->logits);
    base_free(t->d_logits);
    base_free(t->targets);
    base_free(t->worse_logits);
    base_free(t->load);
    base_free(t->eval_load);
    for (size_t i = 0; i < sizeof t->path / sizeof t->path[0]; i++)
        base_free(t->path[i]);
    *t = (app_trainer){0};
}

/* ---- the run ------------------------------------------------------------------------------------- */

uint64_t app_trainer_epochs(const app_trainer *trainer, uint64_t step)
{
    return step * (uint64_t)trainer->recipe.train.accumulate / trainer->parts_in_epoch;
}

/* Whether the step that was just done finished an epoch whose number is a multiple of every (a step may
 * finish several: accumulation over a small set). */
static bool epoch_due(const app_trainer *t, uint64_t every)
{
    const uint64_t now = app_trainer_epochs(t, t->at.step);

    return t->at.step > 0 && every > 0 &&
           now / every > app_trainer_epochs(t, t->at.step - 1) / every;
}

static bool evaluation_due(const app_trainer *t)
{
    return t->at.step > 0 && t->at.evaluated != t->at.step &&
           (t->at.step == t->total || epoch_due(t, (uint64_t)t->recipe.train.eval_every));
}

static bool checkpoint_due(const app_trainer *t)
{
    const uint64_t every = (uint64_t)t->recipe.train.checkpoint_every;

    return t->unsaved && t->at.step > 0 &&
           (t->at.step == t->total ||
            (every > 0 ? t->at.step % every == 0 : epoch_due(t, 1)));
}

static base_status save_last(app_trainer *t, base_error *err)
{
    base_status status = app_metrics_sync(&t->metrics, err);

    if (status == BASE_OK)
        status = app_state_save(t, "last", t->model, err);
    if (status == BASE_OK)
        t->unsaved = false;
    return status;
}

const char *app_loss_text(char *out, size_t out_bytes, double loss)
{
    if (loss < 0)
        snprintf(out, out_bytes, "not finite");
    else
        snprintf(out, out_bytes, "%.4f", loss);
    return out;
}

/* One evaluation, its line for people, best/ when it is the best, the curves. */
static base_status evaluate(app_trainer *t, base_error *err)
{
    bool better = false;
    char seconds[32], loss[32];
    const double before = t->eval_seconds;

    base_status status = app_trainer_evaluate(t, &better, err);
    if (status != BASE_OK)
        return status;
    app_progress_end(&t->progress);
    fprintf(app_result_stream(t->common),
            "epoch %g  step %" PRIu64 "  top-1 %.2f %%  loss %s  (%s)%s\n",
            (double)t->at.step * t->recipe.train.accumulate / (double)t->parts_in_epoch,
            t->at.step, 100 * t->at.last_accuracy,
            app_loss_text(loss, sizeof loss, t->at.last_loss),
            show_duration(seconds, sizeof seconds, t->eval_seconds - before),
            better ? "  best" : "");
    fflush(app_result_stream(t->common));
    if (better)
        status = app_state_save(t, "best", t->averaged ? t->averaged : t->model, err);
    return status == BASE_OK ? app_curves_write(t->path[2], t->path[1], err) : status;
}

/* Asked to stop: what is not saved yet is saved, then say how to go on. */
static base_status stop(app_trainer *t, base_error *err)
{
    if (t->unsaved) {
        const base_status status = save_last(t, err);
        if (status != BASE_OK)
            return status;
    }
    return base_fail(err, BASE_INTERRUPTED,
                     "stopped at step %" PRIu64 " of %" PRIu64
                     ", the same command with --resume goes on from there",
                     t->at.step, t->total);
}

static base_status run_steps(app_trainer *t, base_error *err)
{
    base_status status = BASE_OK;

    while (status == BASE_OK) {
        if (evaluation_due(t) && !app_stop_asked())
            status = evaluate(t, err);
        if (app_stop_asked() && (status == BASE_OK || status == BASE_INTERRUPTED) &&
            (t->at.step < t->total || evaluation_due(t)))
            return stop(t, err);
        if (status == BASE_OK && checkpoint_due(t))
            status = save_last(t, err);
        if (status != BASE_OK || t->at.step == t->total)
            return status;
        status = app_trainer_step(t, err);
    }
    return status;
}

base_status app_trainer_run(app_trainer *trainer, base_error *err)
{
    app_trainer *t = trainer;
    const uint64_t batch = (uint64_t)t->recipe.train.batch;
    const uint64_t part = t->at.step * (uint64_t)t->recipe.train.accumulate;

    base_status status = data_loader_seek(t->train_loader, part / t->parts_in_epoch,
                                          part % t->parts_in_epoch, err);
    if (status != BASE_OK)
        return status;
    app_progress_start(&t->progress, t->common, "train", "images", t->total * batch,
                       t->at.step * batch);
    status = run_steps(t, err);
    app_progress_end(&t->progress);
    return status;
}
