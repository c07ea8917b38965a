/* test_loader.h - what the tests of the loader share: a folder of small pictures, the
 * source that is made of it, loaders for training and evaluation, and one number for all
 * that a batch holds. */
#ifndef TESTS_TEST_LOADER_H
#define TESTS_TEST_LOADER_H

#include "data/data_internal.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

enum { SIDE = 8, CLASSES = 3 };

static char *root;
static data_source *source;

static inline void setup(void)
{
    root = test_folder_make();
    source = NULL;
}

static inline void teardown(void)
{
    data_source_close(source);
    test_folder_remove(root);
}

/* count pictures of 10 x 9 pixels in three classes; the sample numbers are not the order of
 * seeds. */
static inline void make_set(size_t count)
{
    char name[64];

    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        unsigned char *png = set_png(&bytes, 10, 9, (unsigned)i);
        snprintf(name, sizeof name, "set/%c/%03zu.png", (int)('a' + i % CLASSES), i);
        set_file(root, name, png, bytes);
        base_free(png);
    }
}

static inline void open_set(void)
{
    char *path = test_path(root, "set");

    source = set_open(path, NULL);
    base_free(path);
}

/* Sample number becomes a file that is no image. */
static inline void spoil(size_t sample)
{
    char name[100], *path;

    data_source_relative_name(source, sample, name, sizeof name);
    path = base_text("set/%s", name);
    set_file(root, path, "no image", 8);
    base_free(path);
}

static inline void reopen(void)
{
    data_source_close(source);
    open_set();
}

static inline data_loader_config training(size_t batch)
{
    data_loader_config config = data_loader_defaults();

    config.training = true;
    config.batch = batch;
    config.size = SIDE;
    config.threads = 0;
    config.seed = 7;
    config.augment.mixup = 0.2;
    config.augment.cutmix = 1;
    config.augment.mix_probability = 0.7;
    config.augment.erase = 0.5;
    config.augment.erase_noise = true;
    return config;
}

static inline data_loader_config evaluation(size_t batch)
{
    data_loader_config config = data_loader_defaults();

    config.batch = batch;
    config.size = SIDE;
    config.resize = 9;
    config.threads = 0;
    return config;
}

static inline data_loader *make_loader(const data_loader_config *config)
{
    data_loader *loader = NULL;
    base_error err = {0};

    ck_assert_msg(data_loader_create(&loader, source, config, &err) == BASE_OK, "%s",
                  err.text);
    return loader;
}

static inline data_batch next(data_loader *loader)
{
    data_batch batch;
    base_error err = {0};

    ck_assert_msg(data_loader_next(loader, &batch, &err) == BASE_OK, "%s", err.text);
    return batch;
}

/* All bytes of what a batch holds. */
static inline uint64_t batch_hash(const data_batch *b, size_t channels)
{
    const size_t values = SIDE * SIDE * channels;
    uint64_t h = base_key((uint64_t[]){b->count, b->epoch, b->step}, 3);

    for (size_t i = 0; i < b->count; i++) {
        uint32_t weight;
        memcpy(&weight, &b->weight_a[i], sizeof weight);
        h = base_key((uint64_t[]){h, (uint64_t)(int64_t)b->labels[i],
                                  (uint64_t)(int64_t)b->labels_b[i], weight, b->samples[i],
                                  b->bad[i]},
                     6);
        for (size_t k = 0; k < values; k++) {
            uint32_t bits = b->bytes ? b->bytes[i * values + k] : 0;
            if (b->images)
                memcpy(&bits, &b->images[i * values + k], sizeof bits);
            h = base_key((uint64_t[]){h, bits}, 2);
        }
    }
    return h;
}

static inline uint64_t run_hash(const data_loader_config *config, size_t batches)
{
    data_loader *loader = make_loader(config);
    uint64_t h = 0;

    for (size_t i = 0; i < batches; i++) {
        const data_batch b = next(loader);
        h = base_key((uint64_t[]){h, batch_hash(&b, config->channels)}, 2);
    }
    data_loader_destroy(loader);
    return h;
}

static inline void same_for_all_threads(data_loader_config config, size_t batches)
{
    static const size_t threads[] = {0, 1, 2, 7};
    uint64_t first = 0;

    for (size_t i = 0; i < 4; i++) {
        config.threads = threads[i];
        config.queue = 1 + i;
        const uint64_t h = run_hash(&config, batches);
        if (i == 0)
            first = h;
        ck_assert_msg(h == first, "%zu threads differ", threads[i]);
    }
}

#endif
