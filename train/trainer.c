/* trainer.c - builds a training run from a recipe. Steps count optimiser updates from 0;
 * the data is one endless row of passes ("parts"), so that a place in it follows from the
 * step alone. Relied on elsewhere: the order in which weights, averages and optimiser are
 * made. */
#include <omp.h>
#include <stdarg.h>

#include "train/train_internal.h"

/* ---- words --------------------------------------------------------------------------- */

void train_note(const train_trainer *trainer, const char *subject, const char *format, ...)
{
    const train_watch *watch = &trainer->options.watch;
    char line[2048];
    va_list list;

    if (!watch->note)
        return;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    watch->note(watch->user, subject, line);
}

static void loader_line(void *trainer, const char *line)
{
    train_note(trainer, NULL, "%s", line);
}

static void loader_named(void *named, size_t sample, data_health health, const char *reason)
{
    const train_named *n = named;

    n->watch->named(n->watch->user, n->source, sample, health, reason);
}

uint64_t train_trainer_epochs(const train_trainer *trainer, uint64_t step)
{
    return step * (uint64_t)trainer->recipe.train.accumulate / trainer->parts_in_epoch;
}

uint64_t train_trainer_total(const train_trainer *trainer, int64_t epochs,
                             int64_t max_steps)
{
    const uint64_t steps = max_steps > 0 ? (uint64_t)max_steps
                                         : (uint64_t)epochs * trainer->parts_in_epoch /
                                               (uint64_t)trainer->recipe.train.accumulate;

    return steps > 0 ? steps : 1;
}

size_t train_trainer_block(const train_trainer *trainer, size_t i)
{
    for (size_t block = 0; block < VIT_DEPTH_MAX; block++)
        if (trainer->recipe.config.moe.layer[block] && i-- == 0)
            return block;
    return 0;
}

/* ---- data ---------------------------------------------------------------------------- */

/* Rank 0 first, whose index the others find in the cache, so that the data are searched
 * once where that folder is shared. */
static base_status open_sources(train_trainer *t, base_error *err)
{
    const train_recipe *r = &t->recipe;
    bool opened = true;
    base_status status = BASE_OK;
    const data_source_options options = {
        .classes_of_model = (size_t)r->config.classes,
        .val_labels = r->data.val_labels[0] ? r->data.val_labels : NULL,
        .class_map = r->data.class_map[0] ? r->data.class_map : NULL,
        .label_key = r->data.label_key[0] ? r->data.label_key : NULL,
        .index_cache = r->data.index_cache[0] ? r->data.index_cache : NULL,
        .indexing = t->options.watch.indexing,
        .indexing_user = t->options.watch.user,
    };

    if (train_leads(t))
        status =
            data_pair_open(&t->train, &t->val, r->data.train, r->data.val, &options, err);
    if (status == BASE_OK)
        status = train_ranks_share(t, &opened, sizeof opened, err);
    if (status == BASE_OK && !train_leads(t))
        status =
            data_pair_open(&t->train, &t->val, r->data.train, r->data.val, &options, err);
    return status;
}

static base_status resolve_recipe(train_trainer *t, base_error *err)
{
    train_facts facts = {.classes = data_source_classes(t->train), .ranks = t->ranks};
    size_t width, height; /* of all images, or 0 */

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

/* Ranks that see other data would train on something that nobody asked for. */
static base_status compare_data(const train_trainer *t, base_error *err)
{
    char print[48];
    base_status status =
        train_ranks_agree(t, "the training data of fingerprint",
                          train_state_fingerprint(print, sizeof print, t->train), err);

    if (status == BASE_OK)
        status =
            train_ranks_agree(t, "the validation data of fingerprint",
                              train_state_fingerprint(print, sizeof print, t->val), err);
    return status;
}

static base_status create_loaders(train_trainer *t, base_error *err)
{
    const train_recipe *r = &t->recipe;
    data_loader_config c = data_loader_defaults();

    train_loader_feed(&c, &r->config);
    c.seed = (uint64_t)r->train.seed;
    if (t->options.loaders)
        t->options.loaders(t->options.loaders_user, &c, r->data.workers);
    else
        c.threads = r->data.workers >= 0 ? (size_t)r->data.workers : 1;
    c.queue = (size_t)r->data.queue;
    c.max_bad = r->data.max_bad;
    c.strict = r->data.strict;
    c.log = loader_line;
    c.log_user = t;

    c.batch = (size_t)r->train.eval_batch;
    c.limit = (size_t)r->data.val_limit;
    c.skip_bad = true;
    if (t->ranks > 1) {
        c.take_first = t->rank;
        c.take_count = 1;
        c.take_every = t->ranks;
    }
    c.named = t->options.watch.named ? loader_named : NULL;
    c.named_user = &t->named_val;
    base_status status = data_loader_create(&t->val_loader, t->val, &c, err);
    if (status != BASE_OK)
        return status;
    t->part = (size_t)(r->train.batch / r->train.accumulate);
    c.training = true;
    c.skip_bad = false;
    c.named_user = &t->named_train;
    c.batch = t->part;
    c.limit = (size_t)r->data.limit;
    c.augment = r->augment;
    c.exact = r->data.exact;
    c.repeats = (size_t)r->data.repeats;
    if (t->ranks > 1) {
        c.take_first = t->first_part;
        c.take_count = t->parts;
        c.take_every = t->ranks * t->parts;
    }
    const size_t workers = c.threads + c.helpers; /* 0: the caller, as worker 0 */
    status = train_augment_create(&t->augment, r, workers > 0 ? workers : 1, err);
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

/* ---- network ------------------------------------------------------------------------- */

static base_status set_labels(train_trainer *t, base_error *err)
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

/* The weights of model.init_from, which rank 0 reads; a run that goes on has its own. */
static base_status start_from(train_trainer *t, base_error *err)
{
    bool goes_on = false;

    if (!t->recipe.init_from[0])
        return BASE_OK;
    base_status status = train_state_exists(&goes_on, t, err);
    if (status != BASE_OK || goes_on)
        return status;
    if (train_leads(t))
        status = train_start_from(t, err);
    return status == BASE_OK
               ? train_ranks_share(t, vit_model_weights(t->model),
                                   vit_model_floats(t->model) * sizeof(float), err)
               : status;
}

static base_status create_network(train_trainer *t, base_error *err)
{
    const train_recipe *r = &t->recipe;
    const vit_peers *peers = t->options.ranks ? &t->options.ranks->peers : NULL;
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
    status = start_from(t, err);
    if (status ==
        BASE_OK) /* copies the weights into the averages: after their first values */
        status = vit_optimizer_create_among(&t->optimizer, t->model, &r->optimizer, peers,
                                            t->lanes, err);
    if (status == BASE_OK)
        status = vit_run_create_options(
            &t->run, t->model, t->part,
            &(vit_run_options){.mode = VIT_MODE_TRAIN,
                               .precision = t->precision,
                               .frozen = r->optimizer.frozen,
                               .recompute = (vit_recompute)r->train.recompute},
            err);
    if (status == BASE_OK && r->adversary.kind != TRAIN_ADVERSARY_NONE)
        status =
            train_adversary_create(&t->adversary, r, t->model, t->part, t->precision, err);
    if (status == BASE_OK)
        status =
            vit_run_create(&t->eval_run, t->averaged ? t->averaged : t->model,
                           (size_t)r->train.eval_batch, VIT_MODE_INFER, t->precision, err);
    return status;
}

static base_status create_buffers(train_trainer *t, base_error *err)
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
    t->recipe_path = base_text("%s/recipe.ini", t->options.folder);
    t->metrics_path = base_text("%s/metrics.jsonl", t->options.folder);
    if (!t->logits || !t->d_logits || !t->targets || !t->worse_logits || !t->load ||
        !t->eval_load || !t->recipe_path || !t->metrics_path)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the training run");
    return train_ranks_take(t, err);
}

static void plan(train_trainer *t)
{
    const train_recipe *r = &t->recipe;
    const double steps_in_epoch = (double)t->parts_in_epoch / r->train.accumulate;

    t->total = train_trainer_total(t, r->train.epochs, r->train.max_steps);
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

base_status train_trainer_plan(train_trainer *out, const train_recipe *recipe,
                               const train_options *options, base_error *err)
{
    train_trainer *t = out;

    *t = (train_trainer){.options = *options, .recipe = *recipe};
    train_ranks_begin(t);
    if (t->options.threads == 0)
        t->options.threads = (size_t)omp_get_max_threads();
    enum { AUTO = 2 }; /* of train.precision: the faster one */
    if (t->recipe.train.precision == AUTO)
        t->recipe.train.precision =
            vit_bf16_gain() > 1 ? VIT_PRECISION_BF16 : VIT_PRECISION_FP32;
    t->precision = vit_bf16_available() ? (vit_precision)t->recipe.train.precision
                                        : VIT_PRECISION_FP32;
    base_status status = open_sources(t, err);
    t->named_train = (train_named){&t->options.watch, t->train};
    t->named_val = (train_named){&t->options.watch, t->val};
    if (status == BASE_OK)
        status = resolve_recipe(t, err);
    if (status == BASE_OK)
        status = compare_data(t, err);
    if (status == BASE_OK)
        train_ranks_divide(t);
    if (status == BASE_OK)
        status = create_loaders(t, err);
    if (status == BASE_OK)
        plan(t);
    return status;
}

base_status train_trainer_create(train_trainer *out, const train_recipe *recipe,
                                 const train_options *options, base_error *err)
{
    base_status status = train_trainer_plan(out, recipe, options, err);

    if (status == BASE_OK)
        status = create_network(out, err);
    return status == BASE_OK ? create_buffers(out, err) : status;
}

size_t train_saving_bytes(size_t block, size_t ranks)
{
    const size_t window = block < VIT_WINDOW_BYTES ? block : VIT_WINDOW_BYTES;

    return ranks > 1 ? window + window / ranks * (ranks - 1) : 0;
}

size_t train_trainer_memory(const train_trainer *trainer)
{
    enum { LIBRARIES = 8 << 20 }; /* oneDNN's code, MPI's buffers: 5 to 18 MiB were seen */
    const train_trainer *t = trainer;
    const size_t block = vit_model_floats(t->model) * sizeof(float);
    const size_t now =
        base_resident_bytes() + train_saving_bytes(block, t->ranks) + LIBRARIES;
    const size_t peak = base_peak_bytes();

    return now > peak ? now : peak;
}

void train_trainer_destroy(train_trainer *trainer)
{
    train_trainer *t = trainer;

    train_metrics_close(&t->metrics);
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
    base_free(t->figures);
    base_free(t->calls);
    base_free(t->busy);
    base_free(t->loads);
    base_free(t->recipe_path);
    base_free(t->metrics_path);
    *t = (train_trainer){0};
}
