/* images.c - labelled images in memory, and what a network's ordinary evaluation says of
 * them, by the loader's normalising and vmoe eval's counting. Relied on elsewhere: samples
 * are those of an evaluation with the same limit and seed, in the same order. */
#include "train/train_internal.h"

base_status train_judge(measure_verdict *out, const char *network,
                        const data_source *source, size_t sample, const float *logits,
                        size_t classes, base_error *err)
{
    const int32_t label = data_source_label(source, sample);
    char name[1024];

    *out = measure_verdict_make(logits, classes, label);
    if (label < 0)
        return base_fail(err, BASE_FORMAT, "'%s' has no label",
                         data_source_name(source, sample, name, sizeof name));
    if (!out->finite)
        return base_fail(err, BASE_NUMERIC,
                         "'%s' gives logits that are not finite for '%s'", network,
                         data_source_name(source, sample, name, sizeof name));
    return BASE_OK;
}

typedef struct reader {
    train_images *images;
    const char *network;
    const vit_config *config;
    const data_source *source;
    data_loader *loader;
    vit_run *run;
    float table[3 * 256]; /* of data_normalise */
    float *inputs, *logits;
    measure_score score;
} reader;

static void reader_close(reader *r)
{
    data_loader_destroy(r->loader);
    vit_run_destroy(r->run);
    base_free(r->inputs);
    base_free(r->logits);
    measure_score_destroy(&r->score);
}

static base_status reader_open(reader *r, const vit_model *model, data_source *source,
                               const data_loader_config *feed, vit_precision precision,
                               base_error *err)
{
    const size_t classes = (size_t)r->config->classes;
    data_loader_config config = *feed;

    config.bytes = true;
    data_normalise_table(r->table, r->config->mean, r->config->std,
                         (size_t)r->config->channels);
    r->inputs = base_alloc(feed->batch, r->images->floats * sizeof *r->inputs);
    r->logits = base_alloc(feed->batch, classes * sizeof *r->logits);
    base_status status =
        r->inputs && r->logits
            ? measure_score_create(&r->score, classes, err)
            : base_fail(err, BASE_NO_MEMORY, "no memory for %zu images", feed->batch);
    if (status == BASE_OK)
        status =
            vit_run_create(&r->run, model, feed->batch, VIT_MODE_INFER, precision, err);
    if (status == BASE_OK)
        status = data_loader_create(&r->loader, source, &config, err);
    return status;
}

static base_status room_make(train_images *out, size_t n, base_error *err)
{
    out->pixels = base_alloc(n, out->floats * sizeof *out->pixels);
    out->label = base_alloc(n, sizeof *out->label);
    out->predicted = base_alloc(n, sizeof *out->predicted);
    out->sample = base_alloc(n, sizeof *out->sample);
    out->bad = base_alloc(n, sizeof *out->bad);
    return out->pixels && out->label && out->predicted && out->sample && out->bad
               ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY, "no memory for %zu images", n);
}

/* One image [S, S, C] of bytes to [C, S, S] in [0, 1], and as the network is fed. */
static void image_take(float *pixels, float *input, const unsigned char *bytes,
                       const reader *r)
{
    const size_t channels = (size_t)r->config->channels, side = (size_t)r->config->image;
    const data_image image = {.pixels = (unsigned char *)(uintptr_t)bytes,
                              .width = side,
                              .height = side,
                              .channels = channels};

    data_normalise(input, &image, r->table);
    for (size_t i = 0; i < side * side; i++)
        for (size_t c = 0; c < channels; c++)
            pixels[c * side * side + i] = (float)bytes[i * channels + c] / 255.0f;
}

static base_status answer_take(reader *r, const data_batch *batch, size_t i, size_t at,
                               base_error *err)
{
    train_images *out = r->images;
    const size_t classes = (size_t)r->config->classes;
    const float *row = r->logits + i * classes;
    measure_verdict verdict;

    out->sample[at] = batch->samples[i];
    out->label[at] = data_source_label(r->source, batch->samples[i]);
    out->predicted[at] = attack_predict(row, classes);
    if (batch->bad[i]) {
        out->bad[at] = true;
        out->bad_count++;
        measure_score_add(&r->score, out->label[at], NULL);
        return BASE_OK;
    }
    const base_status status =
        train_judge(&verdict, r->network, r->source, batch->samples[i], row, classes, err);
    if (status == BASE_OK)
        measure_score_add(&r->score, out->label[at], &verdict);
    return status;
}

static base_status batch_take(reader *r, const data_batch *batch, base_error *err)
{
    train_images *out = r->images;
    const size_t floats = out->floats;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < batch->count; i++)
        image_take(out->pixels + (out->n + i) * floats, r->inputs + i * floats,
                   batch->bytes + i * floats, r);
    base_status status =
        vit_run_forward(r->run, r->logits, r->inputs, batch->count, &(vit_step){0}, err);
    for (size_t i = 0; i < batch->count && status == BASE_OK; i++)
        status = answer_take(r, batch, i, out->n + i, err);
    out->n += status == BASE_OK ? batch->count : 0;
    return status;
}

base_status train_images_read(train_images *out, const vit_model *model,
                              const char *network, data_source *source,
                              const data_loader_config *feed, vit_precision precision,
                              base_status (*shown)(void *user, size_t done, double top1,
                                                   base_error *err),
                              void *user, base_error *err)
{
    const vit_config *c = vit_model_config(model);
    reader r = {.images = out, .network = network, .config = c, .source = source};
    data_batch batch;

    *out =
        (train_images){.floats = (size_t)c->channels * (size_t)c->image * (size_t)c->image};
    base_status status = reader_open(&r, model, source, feed, precision, err);
    const size_t n = status == BASE_OK ? data_loader_samples(r.loader) : 0;
    if (status == BASE_OK)
        status = room_make(out, n, err);
    while (status == BASE_OK && out->n < n) {
        status = data_loader_next(r.loader, &batch, err);
        if (status == BASE_OK)
            status = batch_take(&r, &batch, err);
        if (status == BASE_OK && shown)
            status = shown(user, out->n, measure_score_top1(&r.score), err);
    }
    out->right = (size_t)r.score.top1;
    out->loss = status == BASE_OK ? measure_score_loss(&r.score) : 0;
    reader_close(&r);
    return status;
}

void train_images_destroy(train_images *images)
{
    base_free(images->pixels);
    base_free(images->label);
    base_free(images->predicted);
    base_free(images->sample);
    base_free(images->bad);
    *images = (train_images){0};
}
