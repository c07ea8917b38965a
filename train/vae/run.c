/* run.c - a run of the autoencoder of experts: data, steps, checkpoints. A step is a
 * function of its number and of the weights, so a run that was stopped ends with the same
 * bytes. With label routing image i of class y trains decoder y mod E alone, and the gate
 * nothing. Relied on elsewhere: what lies in last/ belongs together (replaced as a
 * folder). */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "train/vae/vae.h"

enum {
    OPTIMIZER_TENSORS = 8,
    NUMBER = 40,
    SUM_DOUBLES = sizeof(train_vae_sums) / sizeof(double)
};

/* ---- opening ------------------------------------------------------------------------- */

/* A line to whoever listens; subject NULL: of a loader. */
static void note(const train_vae *v, const char *subject, const char *line)
{
    const train_vae_watch *watch = &v->options.watch;

    if (watch->note)
        watch->note(watch->user, subject, line);
}

static void loader_line(void *vae, const char *line)
{
    note(vae, NULL, line);
}

static base_status open_data(train_vae *v, base_error *err)
{
    train_vae_recipe *r = &v->recipe;
    const data_source_options options = {.indexing = v->options.watch.indexing,
                                         .indexing_user = v->options.watch.user};
    size_t width = 0, height = 0, channels = 0;

    const base_status status =
        data_pair_open(&v->train, &v->val, r->train, r->val, &options, err);
    if (status != BASE_OK)
        return status;
    v->classes = data_source_classes(v->train);
    data_source_uniform(v->train, &width, &height, &channels);
    if (r->config.channels == 0)
        r->config.channels = channels == 1 ? 1 : 3;
    return BASE_OK;
}

static base_status open_loaders(train_vae *v, base_error *err)
{
    const train_vae_recipe *r = &v->recipe;
    data_loader_config c = data_loader_defaults();

    c.size = c.resize = (size_t)r->config.image;
    c.channels = (size_t)r->config.channels;
    for (size_t i = 0; i < 3; i++) { /* pixels stay 0..1 */
        c.mean[i] = 0;
        c.std[i] = 1;
    }
    c.seed = (uint64_t)r->seed;
    c.log = loader_line;
    c.log_user = v;
    if (v->options.watch.loaders)
        v->options.watch.loaders(v->options.watch.user, &c);
    c.batch = (size_t)r->batch;
    c.limit = (size_t)r->val_limit;
    base_status status = data_loader_create(&v->val_loader, v->val, &c, err);
    if (status != BASE_OK)
        return status;
    c.training = true;
    c.limit = (size_t)r->limit;
    c.augment = (data_augment){.crop = DATA_CROP_EVAL};
    status = data_loader_create(&v->train_loader, v->train, &c, err);
    if (status == BASE_OK)
        v->steps_in_epoch = data_loader_steps(v->train_loader); /* at least 1 */
    return status;
}

base_status train_vae_open(train_vae *out, const train_vae_recipe *recipe,
                           const train_vae_options *options, base_error *err)
{
    train_vae *v = out;

    *v = (train_vae){.options = *options, .recipe = *recipe};
    v->metrics_path = base_text("%s/metrics.jsonl", options->folder);
    v->expert = base_alloc((size_t)recipe->batch, sizeof *v->expert);
    base_status status = v->metrics_path && v->expert
                             ? open_data(v, err)
                             : base_fail(err, BASE_NO_MEMORY, "no memory for the run");
    if (status == BASE_OK)
        status = open_loaders(v, err);
    if (status == BASE_OK)
        status = vit_vae_create(&v->vae, &v->recipe.config, err);
    if (status != BASE_OK)
        return status;
    vit_vae_init(v->vae, (uint64_t)v->recipe.seed);
    v->total = (uint64_t)v->recipe.epochs * v->steps_in_epoch;
    v->schedule = (vit_schedule){.kind = VIT_SCHEDULE_COSINE,
                                 .peak = v->recipe.lr,
                                 .warmup = (uint64_t)v->recipe.warmup,
                                 .total = v->total};
    const vit_optimizer_config o = {.kind = VIT_OPTIMIZER_ADAMW,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .weight_decay = v->recipe.weight_decay,
                                    .clip = v->recipe.clip};
    status = vit_vae_optimizer_create(&v->optimizer, v->vae, &o, err);
    if (status == BASE_OK)
        status = vit_vae_run_create(&v->run, v->vae, (size_t)v->recipe.batch, true, err);
    return status;
}

void train_vae_close(train_vae *v)
{
    train_metrics_close(&v->metrics);
    vit_vae_run_destroy(v->run);
    vit_optimizer_destroy(v->optimizer);
    vit_vae_destroy(v->vae);
    data_loader_destroy(v->train_loader);
    data_loader_destroy(v->val_loader);
    data_source_close(v->train);
    data_source_close(v->val);
    base_free(v->expert);
    base_free(v->metrics_path);
    *v = (train_vae){0};
}

/* ---- checkpoints --------------------------------------------------------------------- */

static base_status write_state(const train_vae *v, const char *path, base_error *err)
{
    vit_tensor tensors[OPTIMIZER_TENSORS + 1];
    char step[NUMBER], evaluated[NUMBER], skipped[NUMBER], train[48], val[48];
    size_t count = OPTIMIZER_TENSORS;
    const train_keys keys = train_vae_recipe_keys(&v->recipe);
    char *recipe = train_keys_fixed_text(&keys);

    if (!recipe)
        return base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
    base_status status = vit_optimizer_state(v->optimizer, tensors, &count, err);
    tensors[count++] = (vit_tensor){
        .name = "sums", .type = "F64", .rank = 1, .shape = {SUM_DOUBLES}, .data = &v->sums};
    snprintf(step, sizeof step, "%" PRIu64, v->step);
    snprintf(evaluated, sizeof evaluated, "%" PRIu64, v->evaluated);
    snprintf(skipped, sizeof skipped, "%" PRIu64, v->skipped);
    const vit_pair pairs[] = {
        {"format", "vmoe-vae-state"},
        {"version", BASE_VERSION},
        {"step", step},
        {"evaluated", evaluated},
        {"skipped", skipped},
        {"train_fingerprint", train_state_fingerprint(train, sizeof train, v->train)},
        {"val_fingerprint", train_state_fingerprint(val, sizeof val, v->val)},
        {"recipe", recipe},
    };
    if (status == BASE_OK)
        status = vit_tensors_write(path, tensors, count, pairs,
                                   sizeof pairs / sizeof pairs[0], err);
    base_free(recipe);
    return status;
}

static base_status write_both(void *user, const char *model, const char *state,
                              base_error *err)
{
    const train_vae *v = user;
    const base_status status = vit_vae_save(v->vae, model, NULL, 0, err);

    return status == BASE_OK ? write_state(v, state, err) : status;
}

static base_status save(void *user, base_error *err)
{
    train_vae *v = user;
    base_status status = train_metrics_sync(&v->metrics, err);

    if (status == BASE_OK)
        status = train_checkpoint_save(v->options.folder, "last", write_both, v, err);
    if (status == BASE_OK)
        v->unsaved = false;
    return status;
}

static base_status check_state(const train_vae *v, const vit_tensor_file *file,
                               base_error *err)
{
    const char *format = vit_tensors_metadata(file, "format"),
               *stored = vit_tensors_metadata(file, "recipe");

    if (!format || strcmp(format, "vmoe-vae-state") != 0 || !stored)
        return base_fail(err, BASE_FORMAT, "it is no state of vmoe vae");
    const train_vae_recipe defaults = train_vae_recipe_defaults();
    const train_keys keys = train_vae_recipe_keys(&v->recipe),
                     usual = train_vae_recipe_keys(&defaults);
    base_status status = train_keys_compare(&keys, &usual, stored, false, err);
    if (status == BASE_OK)
        status =
            train_state_same_data(file, "train_fingerprint", "training", v->train, err);
    if (status == BASE_OK)
        status = train_state_same_data(file, "val_fingerprint", "validation", v->val, err);
    return status;
}

static base_status load(train_vae *v, const char *folder, base_error *err)
{
    char *model = base_text("%s/model.safetensors", folder),
         *path = base_text("%s/state.safetensors", folder);
    vit_tensor_file *file = NULL;
    vit_vae *stored = NULL;
    struct {
        uint64_t step, evaluated, skipped;
        train_vae_sums sums;
    } at = {0};
    base_status status = model && path
                             ? vit_tensors_open(&file, path, err)
                             : base_fail(err, BASE_NO_MEMORY, "no memory for its state");

    if (status == BASE_OK)
        status = check_state(v, file, err);
    if (status == BASE_OK)
        status = train_state_number(&at.step, file, "step", path, err);
    if (status == BASE_OK)
        status = train_state_number(&at.evaluated, file, "evaluated", path, err);
    if (status == BASE_OK)
        status = train_state_number(&at.skipped, file, "skipped", path, err);
    if (status == BASE_OK)
        status = train_state_doubles((double *)(void *)&at.sums, SUM_DOUBLES, file, "sums",
                                     path, err);
    if (status == BASE_OK &&
        (at.step > v->total || at.evaluated > at.step || at.skipped > at.step))
        status = base_fail(err, BASE_FORMAT,
                           "'%s' stands at step %" PRIu64 " of %" PRIu64
                           ", evaluated at %" PRIu64 " with %" PRIu64 " skipped",
                           path, at.step, v->total, at.evaluated, at.skipped);
    if (status == BASE_OK)
        status = vit_optimizer_restore(v->optimizer, file, err);
    if (status == BASE_OK)
        status = vit_vae_load(&stored, model, err);
    if (status == BASE_OK && vit_vae_floats(stored) != vit_vae_floats(v->vae))
        status = base_fail(err, BASE_MISMATCH, "it holds another network");
    if (status != BASE_OK) {
        base_error_prepend(err, "cannot resume from '%s': ", folder);
        goto done;
    }
    v->step = at.step;
    v->evaluated = at.evaluated;
    v->skipped = at.skipped;
    v->sums = at.sums;
    memcpy(vit_vae_weights(v->vae), vit_vae_weights(stored),
           vit_vae_floats(v->vae) * sizeof(float));
done:
    vit_vae_destroy(stored);
    vit_tensors_close(file);
    base_free(path);
    base_free(model);
    return status;
}

/* From where the run stands, or from the beginning. */
static base_status take_up(train_vae *v, base_error *err)
{
    const bool resume = v->options.resume;
    char *recipe = base_text("%s/recipe.ini", v->options.folder);
    char *last = resume ? train_checkpoint_last(v->options.folder) : NULL;
    const bool found = last != NULL;
    char line[128];
    base_status status =
        recipe ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for the run");

    if (status == BASE_OK && found)
        status = load(v, last, err);
    if (status == BASE_OK)
        status = base_folder_make(v->options.folder, err);
    if (status == BASE_OK)
        status = train_metrics_open(&v->metrics, v->metrics_path, !found, v->step,
                                    v->evaluated == v->step, err);
    if (status == BASE_OK)
        status = train_vae_recipe_save(&v->recipe, recipe, err);
    if (status == BASE_OK && resume) {
        snprintf(line, sizeof line, "%s at step %" PRIu64 " of %" PRIu64,
                 found ? "going on" : "no checkpoint yet, beginning", v->step, v->total);
        note(v, "resume", line);
    }
    base_free(last);
    base_free(recipe);
    return status;
}

/* ---- steps --------------------------------------------------------------------------- */

static base_status log_line(train_vae *v, base_error *err)
{
    const double n = v->sums.images, pixels = (double)v->recipe.config.channels *
                                              v->recipe.config.image *
                                              v->recipe.config.image;
    json_t *json = json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "kind", "train",
                             "step", (json_int_t)v->step, "mse",
                             measure_json_real(v->sums.squares / n / pixels), "kl",
                             measure_json_real(v->sums.kl / n), "balance",
                             measure_json_real(v->sums.balance / n), "gate_entropy",
                             measure_json_real(v->sums.entropy / n), "grad_norm",
                             measure_json_real(v->sums.grad_norm / v->sums.steps), "lr",
                             measure_json_real(vit_schedule_lr(&v->schedule, v->step - 1)));

    v->sums = (train_vae_sums){0};
    return train_metrics_write(&v->metrics, json, err);
}

static base_status step(void *user, base_error *err)
{
    train_vae *v = user;
    data_batch batch;
    vit_vae_losses l;
    const bool label = v->recipe.routing == TRAIN_VAE_LABEL;

    base_status status = data_loader_next(v->train_loader, &batch, err);
    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < batch.count && label; i++)
        v->expert[i] = batch.labels[i] % v->recipe.config.experts;
    const vit_step sample = {.seed = (uint64_t)v->recipe.seed, .step = v->step};
    vit_vae_gradients_zero(v->run);
    status = vit_vae_forward(v->run, &l, batch.images, batch.count,
                             label ? VIT_VAE_GIVEN : VIT_VAE_ALL, v->expert, &sample, err);
    if (status == BASE_OK)
        status = vit_vae_backward(v->run, 1.0, err);
    if (status != BASE_OK)
        return status;
    const vit_optimizer_result r =
        vit_vae_optimizer_step(v->optimizer, v->vae, vit_vae_gradients(v->run),
                               vit_schedule_lr(&v->schedule, v->step));
    v->step++;
    v->unsaved = true;
    v->skipped += r.skipped;
    if (r.skipped && v->skipped > 100)
        return base_fail(err, BASE_NUMERIC, "more than 100 gradients were not finite");
    const double n = (double)batch.count;
    v->sums.squares += n * l.squares;
    v->sums.kl += n * l.kl;
    v->sums.balance += n * l.balance;
    v->sums.entropy += n * l.entropy;
    v->sums.images += n;
    v->sums.grad_norm += r.grad_norm;
    v->sums.steps++;
    if (v->options.watch.stepped)
        v->options.watch.stepped(v->options.watch.user, v, &l);
    return v->step % (uint64_t)v->recipe.log_every == 0 ? log_line(v, err) : BASE_OK;
}

static base_status evaluate(void *user, base_error *err)
{
    train_vae *v = user;
    train_vae_measures m = {0};
    base_status status = train_vae_measure(&m, v, false, err);

    if (status == BASE_OK) {
        json_t *json = json_pack(
            "{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "kind", "eval", "step",
            (json_int_t)v->step, "mse", measure_json_real(m.best), "mse_all",
            measure_json_real(m.all), "kl", measure_json_real(m.kl), "gate_entropy",
            measure_json_real(m.entropy), "load_entropy", measure_json_real(m.load_entropy),
            "nmi", measure_json_real(m.found.normalised));
        status = train_metrics_write(&v->metrics, json, err);
        if (v->options.watch.evaluated)
            v->options.watch.evaluated(v->options.watch.user, v, &m);
        v->evaluated = v->step;
        v->unsaved = true;
    }
    train_vae_measures_free(&m);
    return status;
}

/* ---- the loop ------------------------------------------------------------------------ */

static bool epoch_is_done(const train_vae *v)
{
    return v->step > 0 && v->step % v->steps_in_epoch == 0;
}

static bool evaluation_due(const void *user)
{
    const train_vae *v = user;

    return epoch_is_done(v) && v->evaluated != v->step;
}

static bool checkpoint_due(const void *user)
{
    const train_vae *v = user;

    return epoch_is_done(v) && v->unsaved;
}

static bool done(const void *user)
{
    const train_vae *v = user;

    return v->step >= v->total;
}

static bool stop(void *user)
{
    const train_vae *v = user;

    return (v->options.watch.stop && v->options.watch.stop(v->options.watch.user)) ||
           (v->step > 0 && v->step < v->total && v->step == (uint64_t)v->recipe.stop_after);
}

static base_status leave(void *user, base_error *err)
{
    train_vae *v = user;
    const base_status status = v->unsaved ? save(v, err) : BASE_OK;

    return status != BASE_OK
               ? status
               : base_fail(err, BASE_INTERRUPTED,
                           "stopped at step %" PRIu64 ", go on with --resume", v->step);
}

base_status train_vae_run(train_vae *v, base_error *err)
{
    const train_loop loop = {v,        evaluation_due, checkpoint_due, done, stop,
                             evaluate, save,           step,           leave};
    const double begin = base_seconds();
    base_status status = take_up(v, err);

    if (status == BASE_OK)
        status = data_loader_seek(v->train_loader, v->step / v->steps_in_epoch,
                                  v->step % v->steps_in_epoch, err);
    if (status == BASE_OK && v->options.watch.begun)
        v->options.watch.begun(v->options.watch.user, v);
    if (status == BASE_OK)
        status = train_loop_run(&loop, err);
    v->seconds = base_seconds() - begin;
    return status;
}
