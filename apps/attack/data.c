/* data.c - the samples of an attack: their pixels, their labels, and what the ordinary
 * evaluation says of them (train_images; check C16 compares the attack's own path with it).
 * Relied on elsewhere: samples are those of vmoe eval with the same --limit and --seed, in
 * the same order. */
#include <math.h>
#include <string.h>

#include "apps/attack/internal.h"

void app_attack_pixels(float *out, const app_attack *a, const float *image)
{
    const vit_config *c = a->network.config;
    const size_t plane = a->network.size * a->network.size;

    for (size_t i = 0; i < a->read.floats; i++)
        out[i] = a->args->space == 0
                     ? image[i]
                     : c->mean[i / plane] +
                           c->std[i / plane] * (float)a->unit * (image[i] - 0.5f);
}

/* What the samples and the model are, for people and for --resume. */
static void identify(app_attack *a)
{
    base_sha256 ids = base_sha256_begin();
    uint64_t hash = base_key((const uint64_t[]){a->n, a->read.floats}, 2);

    for (size_t i = 0; i < a->n; i++) {
        const uint32_t id = a->read.sample[i];
        const unsigned char bytes[4] = {
            (unsigned char)(id & 0xff), (unsigned char)(id >> 8 & 0xff),
            (unsigned char)(id >> 16 & 0xff), (unsigned char)(id >> 24)};

        base_sha256_add(&ids, bytes, sizeof bytes);
        hash = base_key((const uint64_t[]){hash, id, (uint64_t)a->labels[i]}, 3);
    }
    base_sha256_end(a->ids_hash, &ids);
    for (size_t i = 0; i < a->n * a->read.floats; i++) {
        uint32_t pixel;

        memcpy(&pixel, &a->read.pixels[i], sizeof pixel);
        hash = (hash ^ pixel) * 0x100000001b3u; /* FNV-1a, by words */
    }
    for (size_t i = 0; a->model_hash[i]; i++)
        hash = (hash ^ (unsigned char)a->model_hash[i]) * 0x100000001b3u;
    a->fingerprint =
        base_key((const uint64_t[]){hash, (uint64_t)a->args->common.precision}, 2);
}

static base_status read_shown(void *user, size_t done, double top1, base_error *err)
{
    app_attack *a = user;

    app_progress_update(&a->progress, done, "clean top-1 %.2f %%", 100 * top1);
    return app_stop_asked()
               ? base_fail(err, BASE_INTERRUPTED, "stopped before the first attack")
               : BASE_OK;
}

/* The labels that must not be answered any more, and the images as they are attacked. */
static void space_apply(app_attack *a)
{
    const vit_config *c = a->network.config;
    const size_t plane = a->network.size * a->network.size;
    float table[3 * 256];

    for (size_t i = 0; i < a->n; i++)
        a->labels[i] = a->read.bad[i]         ? (a->read.predicted[i] + 1) % c->classes
                       : a->args->labels == 1 ? a->read.predicted[i]
                                              : a->read.label[i];
    data_normalise_table(table, c->mean, c->std, (size_t)c->channels);
    for (size_t i = 0; a->args->space == 1 && i < a->n * a->read.floats; i++) {
        const size_t channel = i % a->read.floats / plane;
        const long byte = lroundf(255.0f * a->read.pixels[i]);

        a->read.pixels[i] = 0.5f + table[256 * channel + (size_t)byte] / (float)a->unit;
    }
}

base_status app_attack_read(app_attack *a, base_error *err)
{
    const app_common *common = &a->args->common;
    const size_t n = data_source_planned(a->source, (size_t)common->limit);
    const data_loader_config feed =
        app_network_loader(&a->network, common, a->args->bad_samples == 1, &a->progress);

    base_status status = base_sha256_file(a->model_hash, a->network.path, err);
    app_progress_start(&a->progress, common, "read", "images", n, 0);
    if (status == BASE_OK)
        status =
            train_images_read(&a->read, a->network.model, a->network.path, a->source, &feed,
                              (vit_precision)common->precision, read_shown, a, err);
    app_progress_end(&a->progress);
    if (status == BASE_NO_MEMORY)
        base_fail(err, BASE_NO_MEMORY, "no memory for %zu images, see --limit", n);
    if (status != BASE_OK)
        return status;
    a->n = n;
    a->labels = app_take(&a->pool, n, sizeof *a->labels);
    space_apply(a);
    identify(a);
    return BASE_OK;
}
