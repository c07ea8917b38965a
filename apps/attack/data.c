/* data.c - the samples of an attack: their pixels as v / 255, their labels, and what the
 * ordinary evaluation says of them, by the loader's normalising and vmoe eval's counting
 * (check C16 compares the attack's own path with it). Relied on elsewhere: samples are
 * those of vmoe eval with the same --limit and --seed, in the same order. */
#include <string.h>

#include "apps/attack/internal.h"
#include "measure/measure.h"

typedef struct reader {
    data_loader *loader;
    vit_run *run;
    float table[3 * 256]; /* of data_normalise */
    float *inputs, *logits;
    measure_score score;
    app_pool pool;
} reader;

static void reader_close(reader *r)
{
    data_loader_destroy(r->loader);
    vit_run_destroy(r->run);
    app_pool_end(&r->pool);
    measure_score_destroy(&r->score);
}

static base_status reader_open(reader *r, app_attack *a, base_error *err)
{
    data_loader_config config = app_network_loader(&a->network, &a->args->common);
    base_status status;

    config.bytes = true;
    config.skip_bad = a->args->bad_samples == 1;
    config.log = app_progress_log;
    config.log_user = &a->progress;
    data_normalise_table(r->table, a->network.config->mean, a->network.config->std,
                         (size_t)a->network.config->channels);
    r->inputs = app_take(&r->pool, config.batch, a->floats * sizeof *r->inputs);
    r->logits = app_take(&r->pool, config.batch, a->network.classes * sizeof *r->logits);
    status = measure_score_create(&r->score, a->network.classes, err);
    if (status == BASE_OK)
        status = vit_run_create(&r->run, a->network.model, config.batch, VIT_MODE_INFER,
                                (vit_precision)a->args->common.precision, err);
    if (status == BASE_OK)
        status = data_loader_create(&r->loader, a->source, &config, err);
    return status;
}

static base_status samples_reserve(app_attack *a, size_t n, base_error *err)
{
    if (n == 0)
        return base_fail(err, BASE_FORMAT, "'%s' holds no images to attack", a->args->data);
    a->images = base_alloc(n, a->floats * sizeof *a->images);
    if (!a->images)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu images, see --limit", n);
    a->labels = app_take(&a->pool, n, sizeof *a->labels);
    a->truth = app_take(&a->pool, n, sizeof *a->truth);
    a->unusable = app_take(&a->pool, n, sizeof *a->unusable);
    a->samples = app_take(&a->pool, n, sizeof *a->samples);
    return BASE_OK;
}

/* One image [S, S, C] of bytes to [C, S, S] in [0, 1], and as the network is fed. */
static void image_take(float *pixels, float *input, const unsigned char *bytes,
                       const app_attack *a, const reader *r)
{
    const size_t channels = (size_t)a->network.config->channels;
    const size_t plane = a->network.size * a->network.size;
    const data_image image = {.pixels = (unsigned char *)(uintptr_t)bytes,
                              .width = a->network.size,
                              .height = a->network.size,
                              .channels = channels};

    data_normalise(input, &image, r->table);
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < channels; c++)
            pixels[c * plane + i] = (float)bytes[i * channels + c] / 255.0f;
    for (size_t i = 0; a->args->space == 1 && i < channels * plane; i++)
        pixels[i] = 0.5f + input[i] / (float)a->unit;
}

void app_attack_pixels(float *out, const app_attack *a, const float *image)
{
    const vit_config *c = a->network.config;
    const size_t plane = a->network.size * a->network.size;

    for (size_t i = 0; i < a->floats; i++)
        out[i] = a->args->space == 0
                     ? image[i]
                     : c->mean[i / plane] +
                           c->std[i / plane] * (float)a->unit * (image[i] - 0.5f);
}

static base_status label_take(app_attack *a, reader *r, const data_batch *batch, size_t i,
                              size_t at, base_error *err)
{
    const float *row = r->logits + i * a->network.classes;
    const int32_t label = batch->labels[i];

    a->samples[at] = batch->samples[i];
    if (batch->bad[i]) {
        a->truth[at] = data_source_label(a->source, batch->samples[i]);
        a->labels[at] =
            (attack_predict(row, a->network.classes) + 1) % (int32_t)a->network.classes;
        a->unusable[at] = true;
        a->bad++;
        measure_score_add(&r->score, a->truth[at], NULL);
        return BASE_OK;
    }
    measure_verdict verdict;
    const base_status status =
        app_network_judge(&verdict, &a->network, a->source, batch->samples[i], row, err);
    if (status != BASE_OK)
        return status;
    measure_score_add(&r->score, label, &verdict);
    a->truth[at] = label;
    a->labels[at] = a->args->labels == 1 ? (int32_t)verdict.predicted : label;
    return BASE_OK;
}

static base_status batch_take(app_attack *a, reader *r, const data_batch *batch,
                              size_t first, base_error *err)
{
    base_status status;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < batch->count; i++)
        image_take(a->images + (first + i) * a->floats, r->inputs + i * a->floats,
                   batch->bytes + i * a->floats, a, r);
    status =
        vit_run_forward(r->run, r->logits, r->inputs, batch->count, &(vit_step){0}, err);
    for (size_t i = 0; i < batch->count && status == BASE_OK; i++)
        status = label_take(a, r, batch, i, first + i, err);
    return status;
}

/* What the samples and the model are, for people and for --resume. */
static void identify(app_attack *a)
{
    base_sha256 ids = base_sha256_begin();
    uint64_t hash = base_key((const uint64_t[]){a->n, a->floats}, 2);

    for (size_t i = 0; i < a->n; i++) {
        const uint32_t id = a->samples[i];
        const unsigned char bytes[4] = {
            (unsigned char)(id & 0xff), (unsigned char)(id >> 8 & 0xff),
            (unsigned char)(id >> 16 & 0xff), (unsigned char)(id >> 24)};

        base_sha256_add(&ids, bytes, sizeof bytes);
        hash = base_key((const uint64_t[]){hash, id, (uint64_t)a->labels[i]}, 3);
    }
    base_sha256_end(a->ids_hash, &ids);
    for (size_t i = 0; i < a->n * a->floats; i++) {
        uint32_t pixel;

        memcpy(&pixel, &a->images[i], sizeof pixel);
        hash = (hash ^ pixel) * 0x100000001b3u; /* FNV-1a, by words */
    }
    for (size_t i = 0; a->model_hash[i]; i++)
        hash = (hash ^ (unsigned char)a->model_hash[i]) * 0x100000001b3u;
    a->fingerprint =
        base_key((const uint64_t[]){hash, (uint64_t)a->args->common.precision}, 2);
}

base_status app_attack_read(app_attack *a, base_error *err)
{
    reader r = {0};
    data_batch batch;

    a->floats = (size_t)a->network.config->channels * a->network.size * a->network.size;
    base_status status = reader_open(&r, a, err);
    const size_t n = status == BASE_OK ? data_loader_samples(r.loader) : 0;
    if (status == BASE_OK)
        status = samples_reserve(a, n, err);
    if (status == BASE_OK)
        status = base_sha256_file(a->model_hash, a->network.path, err);
    app_progress_start(&a->progress, &a->args->common, "read", "images", n, 0);
    while (status == BASE_OK && a->n < n) {
        status = data_loader_next(r.loader, &batch, err);
        if (status == BASE_OK)
            status = batch_take(a, &r, &batch, a->n, err);
        if (status != BASE_OK)
            break;
        a->n += batch.count;
        app_progress_update(&a->progress, a->n, "clean top-1 %.2f %%",
                            100 * measure_score_top1(&r.score));
        if (app_stop_asked())
            status = base_fail(err, BASE_INTERRUPTED, "stopped before the first attack");
    }
    app_progress_end(&a->progress);
    if (status == BASE_OK) {
        a->ordinary = (size_t)r.score.top1;
        a->clean_loss = measure_score_loss(&r.score);
        identify(a);
    }
    reader_close(&r);
    return status;
}
