/* loader.c - batches in order from any number of threads (data.md 4).
 *
 * A ring of slots holds the batches in the making. Workers claim places from one counter,
 * at most as many batches ahead of the consumer as there are slots, so memory is bounded by
 * construction; the one that fills the last place completes the batch. One lock guards the
 * counter; places are claimed a few at a time. What a place holds depends on (seed, epoch,
 * sample) alone: all else here is free to change. */
#include "data/loader_internal.h"

#include <math.h>
#include <signal.h>
#include <string.h>

enum { THREADS_MOST = 1024, GRAIN_MOST = 16, BAD_ALWAYS = 50 };

data_loader_config data_loader_defaults(void)
{
    const int cpus = base_cpu_count();

    return (data_loader_config){
        .batch = 64,
        .threads = cpus > 1 ? (size_t)cpus - 1 : 1, /* one is left for the network */
        .queue = 3,
        .readahead = true,
        .size = 224,
        .channels = 3,
        .resize = 256,
        .filter = DATA_FILTER_BILINEAR,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
        .augment =
            {
                .crop = DATA_CROP_RANDOM,
                .area_low = 0.08,
                .area_high = 1,
                .ratio_low = 3.0 / 4,
                .ratio_high = 4.0 / 3,
                .padding = 4,
                .flip = 0.5,
                .policy_operations = 2,
                .policy_magnitude = 9,
                .mix_probability = 1,
            },
        .limits = {.max_pixels = 178956970, .max_file_bytes = (size_t)256 << 20},
        .max_bad = 0.001,
    };
}

/* ---- workers ----------------------------------------------------------------------------
 */

/* Where part `rank` of `ranks` begins in count things. */
static size_t share_of(size_t count, size_t rank, size_t ranks)
{
    /* rank * count / ranks without its overflow */
    return count / ranks * rank + count % ranks * rank / ranks;
}

/* Which batch of the whole row the j-th own one is. */
static uint64_t place_of(const data_loader *l, uint64_t j)
{
    const data_loader_config *c = &l->config;

    return c->take_every > 0
               ? j / c->take_count * c->take_every + c->take_first + j % c->take_count
               : j;
}

/* How many of the first q batches of the row are own ones. */
static uint64_t own_before(const data_loader *l, uint64_t q)
{
    const data_loader_config *c = &l->config;

    if (c->take_every == 0)
        return q;
    const uint64_t rest = q % c->take_every;
    const uint64_t more = rest > c->take_first ? rest - c->take_first : 0;
    return q / c->take_every * c->take_count +
           (more < c->take_count ? more : c->take_count);
}

/* Fresh slot for the batch that is claimed next. With the lock. */
static void open_slot(data_loader *l, loader_slot *slot)
{
    const bool training = l->config.training;
    const size_t whole = l->config.batch, rank = l->config.rank, ranks = l->config.ranks;
    const uint64_t place = place_of(l, l->claim_batch);

    slot->batch = l->claim_batch;
    slot->epoch = training ? place / l->steps : l->eval_epoch;
    slot->step = training ? place % l->steps : place;
    if (training) { /* batch s is positions s * whole on, cut into parts by rank */
        const size_t at = (size_t)slot->step * whole, left = l->positions - at;
        slot->global_count = left < whole ? left : whole;
        const size_t first = share_of(slot->global_count, rank, ranks);
        slot->first = at + first;
        slot->count = share_of(slot->global_count, rank + 1, ranks) - first;
    } else {
        slot->first = l->own + (size_t)slot->step * l->batch;
        slot->count = l->end - slot->first < l->batch ? l->end - slot->first : l->batch;
        slot->global_count = slot->count;
    }
    slot->done = 0;
    slot->failed = SIZE_MAX;
    slot->ready = false;
    data_order_prepare(&l->order, slot->epoch);
}

/* Whether there is a place to claim. With the lock. */
static bool may_claim(const data_loader *l)
{
    return !l->paused && l->claim_batch < l->released + l->slot_count &&
           (l->config.training || l->claim_batch < own_before(l, l->steps));
}

/* Tells the system of the samples that stand in these places one own batch on: of this
 * rank, too, whatever the ranks. Nothing across the end of an epoch. */
static void look_ahead(const data_loader *l, const loader_slot *slot, size_t first,
                       size_t end)
{
    const bool training = l->config.training;
    const size_t next = (size_t)(place_of(l, slot->batch + 1) - place_of(l, slot->batch));
    const size_t on = slot->first + next * (training ? l->config.batch : l->batch);
    const size_t last = training ? l->positions : l->end;

    for (size_t p = first; p < end && on + p < last; p++)
        data_source_advise(
            l->source, data_order_sample(&l->order, slot->epoch, (on + p) / l->repeats));
}

/* Claims, fills and hands in up to `most` places. With the lock, which is given up while
 * filling. */
static void work(loader_worker *worker, size_t most)
{
    data_loader *l = worker->loader;
    loader_slot *slot = &l->slots[l->claim_batch % l->slot_count];

    if (l->claim_at == 0)
        open_slot(l, slot);
    const size_t first = l->claim_at;
    const size_t left = slot->count - first;
    const size_t end = first + (left < most ? left : most);
    size_t failed = SIZE_MAX;
    l->claim_at = end;
    if (end == slot->count) {
        l->claim_batch++;
        l->claim_at = 0;
    }
    l->busy++;
    /* Behind a failed place nothing is delivered: its batch ends the run. */
    const bool fill = first < slot->failed;
    pthread_mutex_unlock(&l->lock);

    if (fill && l->config.readahead)
        look_ahead(l, slot, first, end);
    for (size_t p = first; p < end && fill && failed == SIZE_MAX; p++) {
        if (!data_loader_fill(worker, slot, p))
            failed = p;
    }
    pthread_mutex_lock(&l->lock);
    slot->done += end - first;
    if (failed < slot->failed)
        slot->failed = failed;
    if (slot->done == slot->count) {
        pthread_mutex_unlock(&l->lock);
        data_loader_complete(l, slot);
        pthread_mutex_lock(&l->lock);
        slot->ready = true;
        pthread_cond_signal(&l->ready);
    }
    l->busy--;
    if (l->paused && l->busy == 0)
        pthread_cond_signal(&l->idle);
}

static void *worker_main(void *user)
{
    loader_worker *worker = user;
    data_loader *l = worker->loader;

    if (l->config.enter)
        l->config.enter(l->config.enter_user);
    pthread_mutex_lock(&l->lock);
    while (!l->quit) {
        if (may_claim(l))
            work(worker, l->grain);
        else
            pthread_cond_wait(&l->opened, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- making and ending ------------------------------------------------------------------
 */

static bool is_jitter(double value)
{
    return value >= 0 && value <= 10;
}

static bool is_share(double x)
{
    return x >= 0 && x <= 1;
}

static base_status check_config(const data_loader_config *c, base_error *err)
{
    const data_augment *a = &c->augment;

    if (c->batch == 0 || c->size == 0 || c->queue == 0 || c->threads > THREADS_MOST ||
        c->helpers > THREADS_MOST)
        return base_fail(
            err, BASE_USAGE,
            "a loader of batch %zu, size %zu, queue %zu, %zu threads and %zu helpers, "
            "expected at least 1 of each and 0 to %d threads and helpers",
            c->batch, c->size, c->queue, c->threads, c->helpers, THREADS_MOST);
    if (c->ranks > 1 ? c->rank >= c->ranks || c->batch % c->ranks != 0 : c->rank > 0)
        return base_fail(err, BASE_USAGE,
                         "rank %zu of %zu with batches of %zu, expected a rank below the "
                         "ranks, whose number divides the batch",
                         c->rank, c->ranks, c->batch);
    if (c->take_every > 0 ? c->take_count == 0 || c->take_first >= c->take_every ||
                                c->take_count > c->take_every - c->take_first
                          : c->take_first > 0 || c->take_count > 0)
        return base_fail(
            err, BASE_USAGE,
            "%zu batches from number %zu on of every %zu, expected at least 1, "
            "and none beyond them",
            c->take_count, c->take_first, c->take_every);
    if (c->channels != 1 && c->channels != 3)
        return base_fail(err, BASE_USAGE, "%zu channels, expected 1 or 3", c->channels);
    for (size_t i = 0; i < c->channels; i++) {
        if (!isfinite(c->mean[i]) || !isfinite(c->std[i]) || !(c->std[i] > 0))
            return base_fail(
                err, BASE_USAGE,
                "mean %g and deviation %g of channel %zu, expected finite numbers "
                "and a deviation above 0",
                (double)c->mean[i], (double)c->std[i], i);
    }
    if (!(c->max_bad >= 0))
        return base_fail(err, BASE_USAGE, "a share of %g bad samples, expected 0 or more",
                         c->max_bad);
    if (!c->training)
        return BASE_OK;
    const bool ranges = a->area_low > 0 && a->area_low <= a->area_high &&
                        a->area_high <= 1 && a->ratio_low > 0 &&
                        a->ratio_low <= a->ratio_high && isfinite(a->ratio_high);
    if (!is_share(a->flip) || !is_share(a->erase) || !is_share(a->mix_probability) ||
        !(a->mixup >= 0) || !(a->cutmix >= 0) || !isfinite(a->mixup) ||
        !isfinite(a->cutmix) || a->padding < 0 || (a->crop == DATA_CROP_RANDOM && !ranges))
        return base_fail(
            err, BASE_USAGE,
            "augmentation out of range: probabilities 0 to 1, mixup and cutmix 0 or "
            "more, padding 0 or more, area above 0 to 1, ratio above 0, low to high");
    if (a->policy_operations < 0 || a->policy_operations > 16 ||
        !(a->policy_magnitude >= 0) || !(a->policy_magnitude <= 30) ||
        !is_jitter(a->jitter_brightness) || !is_jitter(a->jitter_contrast) ||
        !is_jitter(a->jitter_saturation) || !(a->jitter_hue >= 0) ||
        !(a->jitter_hue <= 0.5))
        return base_fail(err, BASE_USAGE,
                         "augmentation out of range: 0 to 16 operations of magnitude 0 to "
                         "30, jitter 0 to 10, of the hue 0 to 0.5");
    if (c->bytes && (a->erase > 0 || a->mixup > 0 || a->cutmix > 0))
        return base_fail(
            err, BASE_USAGE,
            "erasing, mixup and cutmix work on normalised batches, not on bytes");
    return BASE_OK;
}

static bool make_slot(loader_slot *slot, const data_loader *l)
{
    const size_t batch = l->batch;
    size_t values;

    slot->batch = UINT64_MAX;
    if (!base_mul_size(&values, batch, l->sample_bytes))
        return false;
    if (l->config.bytes)
        slot->bytes = base_alloc(values, 1);
    else
        slot->images = base_alloc(values, sizeof(float));
    slot->labels = base_alloc(batch, sizeof *slot->labels);
    slot->labels_b = base_alloc(batch, sizeof *slot->labels_b);
    slot->weight_a = base_alloc(batch, sizeof *slot->weight_a);
    slot->samples = base_alloc(batch, sizeof *slot->samples);
    slot->bad = base_alloc(batch, sizeof *slot->bad);
    slot->event = base_alloc(batch, sizeof *slot->event);
    return (slot->bytes || slot->images) && slot->labels && slot->labels_b &&
           slot->weight_a && slot->samples && slot->bad && slot->event;
}

static void free_slot(loader_slot *slot)
{
    base_free(slot->images);
    base_free(slot->bytes);
    base_free(slot->labels);
    base_free(slot->labels_b);
    base_free(slot->weight_a);
    base_free(slot->samples);
    base_free(slot->bad);
    base_free(slot->event);
}

/* Slots and what the workers need. */
static base_status make_buffers(data_loader *l, base_error *err)
{
    const data_loader_config *c = &l->config;
    size_t pixels;
    bool good = base_mul_size(&pixels, c->size, c->size) &&
                base_mul_size(&l->sample_bytes, pixels, c->channels);

    l->slot_count = c->threads > 0 ? c->queue : 1;
    l->worker_count = c->threads + c->helpers > 0 ? c->threads + c->helpers : 1;
    l->slots = base_alloc(l->slot_count, sizeof *l->slots);
    l->workers = base_alloc(l->worker_count, sizeof *l->workers);
    l->named = base_alloc(data_source_count(l->source) / 8 + 1, 1);
    good = good && l->slots && l->workers && l->named;
    for (size_t i = 0; i < l->slot_count && good; i++)
        good = make_slot(&l->slots[i], l);
    if (!good)
        return base_fail(err, BASE_NO_MEMORY,
                         "no memory for %zu batches of %zu images of %zu x %zu",
                         l->slot_count, l->batch, c->size, c->size);
    base_status status = BASE_OK;
    for (size_t i = 0; i < l->worker_count && status == BASE_OK; i++) {
        l->workers[i].loader = l;
        status = data_decoder_create(&l->workers[i].decoder, &c->limits, err);
    }
    return status;
}

/* Workers take no signals: those are for the thread that the program listens in. */
static base_status start_threads(data_loader *l, base_error *err)
{
    base_status status = BASE_OK;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (l->threads < l->config.threads && status == BASE_OK) {
        loader_worker *worker = &l->workers[l->threads];
        const int number = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (number == 0)
            l->threads++;
        else
            status = base_fail(err, BASE_INTERNAL, "cannot start thread %zu of %zu: %s",
                               l->threads + 1, l->config.threads, strerror(number));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* What an epoch of count samples is for this rank. */
static base_status lay_out(data_loader *l, size_t count, base_error *err)
{
    data_loader_config *c = &l->config;

    c->ranks = c->ranks > 0 ? c->ranks : 1;
    l->repeats = c->training && c->repeats > 1 ? c->repeats : 1;
    l->batch = c->batch / c->ranks;
    if (!base_mul_size(&l->positions, count, l->repeats))
        return base_fail(err, BASE_USAGE, "%zu samples %zu times are too many", count,
                         l->repeats);
    if (c->training && !c->keep_last && l->positions < c->batch)
        return base_fail(err, BASE_USAGE,
                         "'%s' gives %zu samples, fewer than a batch of %zu",
                         data_source_path(l->source), l->positions, c->batch);
    l->own = share_of(count, c->rank, c->ranks);
    l->end = share_of(count, c->rank + 1, c->ranks);
    l->steps = c->training ? l->positions / c->batch : (l->end - l->own) / l->batch;
    if (c->training ? c->keep_last && l->positions % c->batch > 0
                    : (l->end - l->own) % l->batch > 0)
        l->steps++;
    l->rule = (shape_rule){
        .augment = c->training ? &c->augment : NULL,
        .resize = c->resize,
        .size = c->size,
        .channels = c->channels,
        .filter = c->filter,
        .exact = c->exact,
        .to_end = c->strict,
        .squash = c->squash,
    };
    return BASE_OK;
}

/* Epochs that the batches in flight can belong to: an older permutation is needed no
 * more. */
static size_t epochs_in_flight(const data_loader *l)
{
    const data_loader_config *c = &l->config;
    size_t span = l->slot_count - 1; /* batches of the row from the first to the last */

    if (!c->training)
        return c->shuffled ? 1 : 0;
    if (c->take_every > 0)
        span = (span + c->take_count - 1) / c->take_count * c->take_every;
    return (span + l->steps - 1) / l->steps + 1;
}

base_status data_loader_create(data_loader **out, const data_source *source,
                               const data_loader_config *config, base_error *err)
{
    const size_t count = data_source_planned(source, config->limit);
    base_status status = check_config(config, err);

    if (status != BASE_OK)
        return status;
    data_loader *l = base_alloc(1, sizeof *l);
    if (!l)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a loader");
    l->source = source;
    l->config = *config;
    status = lay_out(l, count, err);
    if (status != BASE_OK) {
        base_free(l);
        return status;
    }
    const double share = config->max_bad * (double)count;
    l->bad_most = share < (double)count ? (size_t)share : count;
    if (l->bad_most < BAD_ALWAYS)
        l->bad_most = BAD_ALWAYS;
    const size_t per_thread = l->batch / (4 * (config->threads + config->helpers + 1));
    l->grain = per_thread < 1 ? 1 : per_thread < GRAIN_MOST ? per_thread : GRAIN_MOST;
    data_normaliser_make(&l->normaliser, config->mean, config->std, config->channels,
                         data_kernels_get());
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->opened, NULL);
    pthread_cond_init(&l->ready, NULL);
    pthread_cond_init(&l->idle, NULL);
    status = make_buffers(l, err);
    if (status == BASE_OK)
        status = data_order_create(&l->order, data_source_count(source), config->limit,
                                   config->seed, epochs_in_flight(l), err);
    if (status == BASE_OK)
        status = start_threads(l, err);
    if (status == BASE_OK)
        *out = l;
    else
        data_loader_destroy(l);
    return status;
}

void data_loader_destroy(data_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->opened);
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < l->threads; i++)
        pthread_join(l->workers[i].thread, NULL);
    for (size_t i = 0; l->workers && i < l->worker_count; i++) {
        loader_worker *worker = &l->workers[i];
        data_decoder_destroy(worker->decoder);
        data_scratch_destroy(&worker->scratch);
        data_image_destroy(&worker->decoded);
        data_image_destroy(&worker->shaped);
        base_free(worker->buffer);
    }
    for (size_t i = 0; l->slots && i < l->slot_count; i++)
        free_slot(&l->slots[i]);
    base_free(l->workers);
    base_free(l->slots);
    base_free(l->named);
    data_order_destroy(&l->order);
    pthread_cond_destroy(&l->opened);
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->lock);
    base_free(l);
}

/* ---- the consumer -----------------------------------------------------------------------
 */

/* A helper: takes places of the batch that the consumer waits for, one by one so that all
 * end together. */
static void help(void *loader, size_t i)
{
    data_loader *l = loader;

    pthread_mutex_lock(&l->lock);
    while (l->claim_batch == l->released && may_claim(l))
        work(&l->workers[l->config.threads + i], 1);
    pthread_mutex_unlock(&l->lock);
}

/* Waits for batch l->released, or makes what nobody has begun of it. */
static loader_slot *take_slot(data_loader *l)
{
    loader_slot *slot;

    pthread_mutex_lock(&l->lock);
    slot = &l->slots[l->released % l->slot_count];
    if (slot->batch != l->released || !slot->ready) {
        const double since = base_seconds();
        if (l->config.helpers > 0 && l->claim_batch == l->released) {
            pthread_mutex_unlock(&l->lock);
            l->config.together(l->config.helpers, help, l);
            pthread_mutex_lock(&l->lock);
        }
        while (slot->batch != l->released || !slot->ready) {
            if (l->threads == 0)
                work(&l->workers[0], l->grain);
            else
                pthread_cond_wait(&l->ready, &l->lock);
        }
        if (l->threads > 0)
            l->counts.wait_seconds += base_seconds() - since;
    }
    pthread_mutex_unlock(&l->lock);
    return slot;
}

base_status data_loader_next(data_loader *l, data_batch *out, base_error *err)
{
    if (l->failure.status != BASE_OK)
        return base_fail(err, l->failure.status, "%s", l->failure.text);
    if (l->borrowed) {
        pthread_mutex_lock(&l->lock);
        l->released++;
        pthread_cond_broadcast(&l->opened);
        pthread_mutex_unlock(&l->lock);
        l->borrowed = false;
    }
    if (!l->config.training && l->released == own_before(l, l->steps)) {
        *out = (data_batch){.epoch = l->eval_epoch, .step = l->steps};
        return BASE_OK;
    }
    const loader_slot *slot = take_slot(l);
    const base_status status = data_loader_report(l, slot, &l->failure);
    if (status != BASE_OK)
        return base_fail(err, status, "%s", l->failure.text);
    l->borrowed = true;
    *out = (data_batch){
        .count = slot->count,
        .global_count = slot->global_count,
        .images = slot->images,
        .bytes = slot->bytes,
        .labels = slot->labels,
        .labels_b = slot->labels_b,
        .weight_a = slot->weight_a,
        .samples = slot->samples,
        .bad = slot->bad,
        .epoch = slot->epoch,
        .step = slot->step,
    };
    return BASE_OK;
}

base_status data_loader_seek(data_loader *l, uint64_t epoch, uint64_t step, base_error *err)
{
    if (step > l->steps || (l->config.training && epoch > UINT64_MAX / l->steps - 1))
        return base_fail(err, BASE_USAGE, "batch %ju of epoch %ju, expected 0 to %zu",
                         (uintmax_t)step, (uintmax_t)epoch, l->steps);
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->busy > 0)
        pthread_cond_wait(&l->idle, &l->lock);
    for (size_t i = 0; i < l->slot_count; i++)
        l->slots[i].batch = UINT64_MAX;
    l->eval_epoch = epoch;
    l->released = own_before(l, l->config.training ? epoch * l->steps + step : step);
    l->claim_batch = l->released;
    l->claim_at = 0;
    l->paused = false;
    pthread_cond_broadcast(&l->opened);
    pthread_mutex_unlock(&l->lock);
    l->borrowed = false;
    l->failure = (base_error){0};
    return BASE_OK;
}

size_t data_loader_steps(const data_loader *loader)
{
    return loader->steps;
}

size_t data_loader_samples(const data_loader *loader)
{
    return loader->order.count;
}

data_counts data_loader_counts(const data_loader *loader)
{
    return loader->counts;
}
