/* test_data_loader.c - batches: the same for any number of threads, exact after a seek, and
 * what happens to samples that cannot be used. */
#include "data/data_internal.h"

#include "tests/test_run.h"
#include "tests/test_set.h"

enum { SIDE = 8, CLASSES = 3 };

static char *root;
static data_source *source;

static void setup(void)
{
    root = test_folder_make();
    source = NULL;
}

static void teardown(void)
{
    data_source_close(source);
    test_folder_remove(root);
}

/* count pictures of 10 x 9 pixels in three classes; the sample numbers are not the order of
 * seeds. */
static void make_set(size_t count)
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

static void open_set(void)
{
    char *path = test_path(root, "set");

    source = set_open(path, NULL);
    base_free(path);
}

/* Sample number becomes a file that is no image. */
static void spoil(size_t sample)
{
    char name[100], *path;

    data_source_relative_name(source, sample, name, sizeof name);
    path = base_text("set/%s", name);
    set_file(root, path, "no image", 8);
    base_free(path);
}

static void reopen(void)
{
    data_source_close(source);
    open_set();
}

static data_loader_config training(size_t batch)
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

static data_loader_config evaluation(size_t batch)
{
    data_loader_config config = data_loader_defaults();

    config.batch = batch;
    config.size = SIDE;
    config.resize = 9;
    config.threads = 0;
    return config;
}

static data_loader *make_loader(const data_loader_config *config)
{
    data_loader *loader = NULL;
    base_error err = {0};

    ck_assert_msg(data_loader_create(&loader, source, config, &err) == BASE_OK, "%s",
                  err.text);
    return loader;
}

static data_batch next(data_loader *loader)
{
    data_batch batch;
    base_error err = {0};

    ck_assert_msg(data_loader_next(loader, &batch, &err) == BASE_OK, "%s", err.text);
    return batch;
}

/* All bytes of what a batch holds. */
static uint64_t batch_hash(const data_batch *b, size_t channels)
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

static uint64_t run_hash(const data_loader_config *config, size_t batches)
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

static void same_for_all_threads(data_loader_config config, size_t batches)
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

START_TEST(batches_do_not_depend_on_threads)
{
    data_loader_config config = training(4);

    make_set(23);
    open_set();
    same_for_all_threads(config, 17); /* three epochs and two batches */
    config.augment = (data_augment){.crop = DATA_CROP_PADDED, .padding = 2, .flip = 0.5};
    config.bytes = true;
    same_for_all_threads(config, 17);
    config = evaluation(4);
    same_for_all_threads(config, 7); /* six batches and the end */
    config.channels = 1;
    same_for_all_threads(config, 7);
}
END_TEST

START_TEST(batches_do_not_depend_on_the_packaging)
{
    const data_loader_config config = training(5);
    char *path, name[100];
    unsigned char *bytes = NULL;
    size_t room = 0, size = 0;

    make_set(23);
    open_set();
    FILE *tar = set_tar_open(&path, root, "set.tar");
    for (size_t i = 23; i-- > 0;) { /* in another order */
        ck_assert_int_eq(data_source_read(source, i, &bytes, &room, &size, NULL), BASE_OK);
        data_source_relative_name(source, i, name, sizeof name);
        set_member(tar, name, '0', bytes, size);
    }
    set_tar_end(tar);
    const uint64_t folder = run_hash(&config, 9);
    data_source_close(source);
    source = set_open(path, NULL);
    ck_assert_uint_eq(run_hash(&config, 9), folder);
    base_free(path);
    base_free(bytes);
}
END_TEST

START_TEST(evaluation_shows_every_sample_once_in_order)
{
    const data_loader_config config = evaluation(8);
    size_t shown = 0;

    make_set(21);
    open_set();
    data_loader *loader = make_loader(&config);
    ck_assert_uint_eq(data_loader_steps(loader), 3);
    ck_assert_uint_eq(data_loader_samples(loader), 21);
    for (;;) {
        const data_batch b = next(loader);
        if (b.count == 0)
            break;
        ck_assert_uint_eq(b.count, shown == 16 ? 5 : 8);
        ck_assert_uint_eq(b.step, shown / 8);
        for (size_t i = 0; i < b.count; i++, shown++) {
            ck_assert_uint_eq(b.samples[i], shown);
            ck_assert_int_eq(b.labels[i], data_source_label(source, shown));
            ck_assert_int_eq(b.labels_b[i], b.labels[i]);
            ck_assert(b.weight_a[i] == 1);
            ck_assert(!b.bad[i]);
        }
    }
    ck_assert_uint_eq(shown, 21);
    ck_assert_uint_eq(next(loader).count, 0); /* and stays at the end */
    ck_assert_uint_eq(data_loader_counts(loader).ok, 21);
    data_loader_destroy(loader);
}
END_TEST

START_TEST(an_epoch_is_the_seeded_permutation)
{
    const data_loader_config config = training(4);
    uint32_t order[23];

    make_set(23);
    open_set();
    data_loader *loader = make_loader(&config);
    ck_assert_uint_eq(data_loader_steps(loader),
                      5); /* the last three samples are left out */
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        base_rng rng = base_rng_make(7, BASE_PURPOSE_ORDER, epoch, 0, 0);
        base_rng_permutation(&rng, order, 23);
        for (size_t step = 0; step < 5; step++) {
            const data_batch b = next(loader);
            ck_assert_uint_eq(b.epoch, epoch);
            ck_assert_uint_eq(b.step, step);
            for (size_t i = 0; i < 4; i++)
                ck_assert_uint_eq(b.samples[i], order[step * 4 + i]);
        }
    }
    data_loader_destroy(loader);
}
END_TEST

START_TEST(epochs_shorter_than_the_queue_keep_their_order)
{
    data_loader_config config = training(48); /* several places a claim */

    make_set(50); /* one batch an epoch, six in flight */
    open_set();
    const uint64_t plain = run_hash(&config, 20);
    config.threads = 3;
    config.queue = 6;
    ck_assert_uint_eq(run_hash(&config, 20), plain);
}
END_TEST

START_TEST(seeking_goes_on_as_if_never_interrupted)
{
    data_loader_config config = training(4);
    uint64_t hash[12];

    make_set(23);
    open_set();
    data_loader *loader = make_loader(&config);
    for (size_t i = 0; i < 12; i++) {
        const data_batch b = next(loader);
        hash[i] = batch_hash(&b, 3);
    }
    data_loader_destroy(loader);
    config.threads = 3;
    for (size_t start = 0; start < 11; start++) {
        loader = make_loader(&config);
        ck_assert_int_eq(data_loader_seek(loader, start / 5, start % 5, NULL), BASE_OK);
        for (size_t i = start; i < start + 2; i++) {
            const data_batch b = next(loader);
            ck_assert_uint_eq(batch_hash(&b, 3), hash[i]);
        }
        ck_assert_int_eq(data_loader_seek(loader, 0, 3, NULL), BASE_OK); /* in full run */
        const data_batch b = next(loader);
        ck_assert_uint_eq(batch_hash(&b, 3), hash[3]);
        data_loader_destroy(loader);
    }
}
END_TEST

START_TEST(evaluation_can_be_repeated_by_seeking)
{
    data_loader_config config = evaluation(8);

    config.threads = 2;
    make_set(21);
    open_set();
    data_loader *loader = make_loader(&config);
    const uint64_t first[2] = {(next(loader), next(loader).samples[0]), 8};
    ck_assert_uint_eq(first[0], first[1]);
    for (int times = 0; times < 3; times++) {
        size_t shown = 0;
        data_batch b;
        ck_assert_int_eq(data_loader_seek(loader, 0, 0, NULL), BASE_OK);
        while ((b = next(loader)).count > 0)
            shown += b.count;
        ck_assert_uint_eq(shown, 21);
    }
    data_loader_destroy(loader);
}
END_TEST

START_TEST(a_limit_is_the_same_subset_at_every_run)
{
    data_loader_config config = evaluation(10);
    uint32_t all[23], chosen[10];

    make_set(23);
    open_set();
    config.limit = 10;
    config.seed = 3;
    data_loader *loader = make_loader(&config);
    data_batch b = next(loader);
    ck_assert_uint_eq(b.count, 10);
    memcpy(chosen, b.samples, sizeof chosen);
    ck_assert_uint_eq(next(loader).count, 0);
    data_loader_destroy(loader);
    /* the first ten of the permutation, ascending */
    base_rng rng = base_rng_make(3, BASE_PURPOSE_SUBSET, 0, 0, 0);
    base_rng_permutation(&rng, all, 23);
    for (size_t i = 0; i < 10; i++) {
        size_t places = 0;
        for (size_t k = 0; k < 10; k++)
            places += all[k] == chosen[i];
        ck_assert_uint_eq(places, 1);
        ck_assert(i == 0 || chosen[i - 1] < chosen[i]);
    }
    /* training shuffles these ten */
    config = training(5);
    config.limit = 10;
    config.seed = 3;
    loader = make_loader(&config);
    ck_assert_uint_eq(data_loader_steps(loader), 2);
    size_t met = 0;
    for (int step = 0; step < 2; step++) {
        b = next(loader);
        for (size_t i = 0; i < 5; i++) {
            for (size_t k = 0; k < 10; k++)
                met |= (size_t)(chosen[k] == b.samples[i]) << k;
        }
    }
    ck_assert_uint_eq(met, 1023);
    data_loader_destroy(loader);
}
END_TEST

START_TEST(values_are_normalised_in_float32)
{
    data_loader_config config = evaluation(4);
    size_t bytes;
    data_image image = {0};
    data_health health;
    data_decoder *decoder = NULL;

    make_set(3);
    unsigned char *png = set_png(&bytes, SIDE, SIDE, 99);
    set_file(root, "set/a/000.png", png, bytes);
    open_set();
    config.resize = 0;
    config.limit = 0;
    data_loader *loader = make_loader(&config);
    ck_assert_int_eq(data_decoder_create(&decoder, &config.limits, NULL), BASE_OK);
    ck_assert_int_eq(data_decode(&image, &health, decoder, png, bytes, NULL, 0, NULL),
                     BASE_OK);
    const data_batch b = next(loader);
    for (size_t c = 0; c < 3; c++) {
        for (size_t i = 0; i < SIDE * SIDE; i++) {
            const float value = (float)image.pixels[i * 3 + c] / 255.0f;
            ck_assert(b.images[c * SIDE * SIDE + i] ==
                      (value - config.mean[c]) / config.std[c]);
        }
    }
    data_loader_destroy(loader);
    data_decoder_destroy(decoder);
    data_image_destroy(&image);
    base_free(png);
}
END_TEST

START_TEST(mixing_hands_over_both_labels)
{
    data_loader_config config = training(6);
    size_t mixed = 0;

    config.augment.mix_probability = 1;
    make_set(24);
    open_set();
    data_loader *loader = make_loader(&config);
    for (int step = 0; step < 8; step++) {
        const data_batch b = next(loader);
        for (size_t i = 0; i < 6; i++) {
            ck_assert_int_eq(b.labels[i], data_source_label(source, b.samples[i]));
            ck_assert_int_eq(b.labels_b[i], b.labels[5 - i]);
            ck_assert(b.weight_a[i] >= 0 && b.weight_a[i] <= 1);
            mixed += b.weight_a[i] < 1;
        }
    }
    ck_assert_uint_gt(mixed, 24);
    data_loader_destroy(loader);
}
END_TEST

/* ---- bad samples ------------------------------------------------------------------------
 */

typedef struct lines {
    size_t count;
    char first[600], last[600];
} lines;

static void keep_line(void *user, const char *line)
{
    lines *l = user;

    if (l->count++ == 0)
        snprintf(l->first, sizeof l->first, "%s", line);
    snprintf(l->last, sizeof l->last, "%s", line);
}

START_TEST(training_replaces_a_bad_sample_by_the_next_good_one)
{
    data_loader_config config = training(4);
    uint32_t order[23];
    lines log = {0};
    char expected[300];

    make_set(23);
    open_set();
    base_rng rng = base_rng_make(7, BASE_PURPOSE_ORDER, 0, 0, 0);
    base_rng_permutation(&rng, order, 23);
    spoil(order[5]);
    spoil(order[6]);
    spoil(order[19]); /* followed by one that the epoch leaves out */
    reopen();
    config.log = keep_line;
    config.log_user = &log;
    same_for_all_threads(config, 17);
    log = (lines){0};
    config.augment.mix_probability = 0;
    data_loader *loader = make_loader(&config);
    for (size_t step = 0; step < 5; step++) {
        const data_batch b = next(loader);
        if (step == 1) { /* one sample thrice: twice as a replacement, once as itself */
            const size_t bytes = SIDE * SIDE * 3 * sizeof(float);
            const char *at = (const char *)b.images;
            ck_assert_int_eq(memcmp(at + bytes, at + 2 * bytes, bytes), 0);
            ck_assert_int_ne(memcmp(at + bytes, at + 3 * bytes, bytes), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            const size_t p = step * 4 + i;
            const uint32_t wanted = p == 5 || p == 6 ? order[7]
                                    : p == 19        ? order[20]
                                                     : order[p];
            ck_assert_uint_eq(b.samples[i], wanted);
            ck_assert_int_eq(b.labels[i], data_source_label(source, wanted));
        }
    }
    ck_assert_uint_eq(log.count, 3);
    snprintf(expected, sizeof expected, ": unknown format (sample %u, class %c, 8 bytes)",
             (unsigned)order[5], 'a' + data_source_label(source, order[5]));
    ck_assert_ptr_eq(strstr(log.first, "bad sample: "), log.first);
    ck_assert_msg(strstr(log.first, expected) != NULL, "%s", log.first);
    ck_assert_uint_eq(data_loader_counts(loader).ok, 17);
    ck_assert_uint_eq(data_loader_counts(loader).bad, 3);
    for (size_t step = 0; step < 5; step++)
        next(loader);
    ck_assert_uint_eq(log.count, 3); /* a sample is named once in a run */
    data_loader_destroy(loader);
}
END_TEST

START_TEST(evaluation_fails_at_a_bad_sample_or_counts_it)
{
    data_loader_config config = evaluation(8);
    data_batch b;
    base_error err = {0};

    make_set(21);
    open_set();
    spoil(9);
    reopen();
    for (size_t threads = 0; threads < 3; threads++) {
        config.threads = threads;
        config.skip_bad = false;
        data_loader *loader = make_loader(&config);
        next(loader);
        for (int again = 0; again < 2; again++) {
            ck_assert_int_eq(data_loader_next(loader, &b, &err), BASE_FORMAT);
            ck_assert_msg(strstr(err.text, "bad sample: ") == err.text &&
                              strstr(err.text, ": unknown format (sample 9, class b, 8 "
                                               "bytes)") != NULL,
                          "%s", err.text);
        }
        data_loader_destroy(loader);

        config.skip_bad = true;
        loader = make_loader(&config);
        next(loader);
        b = next(loader);
        ck_assert_uint_eq(b.count, 8);
        ck_assert(b.bad[1] && !b.bad[0] && !b.bad[2]);
        ck_assert_int_eq(b.labels[1], -1);
        ck_assert_uint_eq(b.samples[1], 9);
        for (size_t k = 0; k < SIDE * SIDE * 3; k++)
            ck_assert(b.images[SIDE * SIDE * 3 + k] == 0);
        next(loader);
        ck_assert_uint_eq(data_loader_counts(loader).bad, 1);
        ck_assert_uint_eq(data_loader_counts(loader).ok, 20);
        data_loader_destroy(loader);
    }
}
END_TEST

START_TEST(strict_stops_at_the_first_bad_sample)
{
    data_loader_config config = training(4);
    data_batch b;
    base_error err = {0};

    make_set(12);
    open_set();
    spoil(3);
    reopen();
    config.strict = true;
    data_loader *loader = make_loader(&config);
    base_status status = BASE_OK;
    for (int step = 0; step < 3 && status == BASE_OK; step++)
        status = data_loader_next(loader, &b, &err);
    ck_assert_int_eq(status, BASE_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "unknown format (sample 3,"));
    data_loader_destroy(loader);
}
END_TEST

/* The text with which a training over spoilt samples stops; the same for any number of
 * threads. */
static void check_stop(data_loader_config config, const char *part)
{
    char first[1024] = "";
    base_error err = {0};
    data_batch b;

    for (size_t threads = 0; threads < 4; threads++) {
        config.threads = threads;
        data_loader *loader = make_loader(&config);
        base_status status = BASE_OK;
        for (int step = 0; step < 100 && status == BASE_OK; step++)
            status = data_loader_next(loader, &b, &err);
        ck_assert_int_eq(status, BASE_FORMAT);
        ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
        if (threads == 0)
            memcpy(first, err.text, sizeof first);
        ck_assert_str_eq(err.text, first);
        data_loader_destroy(loader);
    }
}

START_TEST(too_many_bad_samples_stop_the_training)
{
    data_loader_config config = training(10);
    lines log = {0};

    make_set(120);
    open_set();
    for (size_t i = 0; i < 60; i++)
        spoil(i * 2);
    reopen();
    config.log = keep_line;
    config.log_user = &log;
    check_stop(config,
               "too many bad samples: 51 of 120, more than the 50 allowed; the last "
               "is a bad sample: ");
    ck_assert_uint_eq(log.count, 4 * 21);
    ck_assert_str_eq(log.last, "further bad samples are only counted");
    config.max_bad = 0.5; /* of 120: 60 are borne */
    ck_assert_uint_ne(run_hash(&config, 30), 0);
}
END_TEST

START_TEST(a_set_without_any_good_sample_stops_at_once)
{
    data_loader_config config = training(4);

    make_set(12);
    open_set();
    for (size_t i = 0; i < 12; i++)
        spoil(i);
    reopen();
    check_stop(config, "too many bad samples: no good one among 12 in a row");
}
END_TEST

/* An image of the fuzzer's folder as count files of a class. */
static void copy_images(const char *from, const char *class, size_t count)
{
    const char *tests = getenv("VMOE_TESTS");
    char *path = base_text("%s/fuzz/image/%s", tests ? tests : "tests", from),
         *bytes = NULL;
    char name[64];
    size_t size = 0;

    ck_assert_int_eq(base_file_read(&bytes, &size, path, 1 << 20, NULL), BASE_OK);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "set/%s/%03zu.jpg", class, i);
        set_file(root, name, bytes, size);
    }
    base_free(bytes);
    base_free(path);
}

START_TEST(odd_and_damaged_samples_are_used_counted_and_named)
{
    data_loader_config config = evaluation(30);
    lines log = {0};
    data_batch b;
    base_error err = {0};

    copy_images("no_end.jpg", "a", 8);
    copy_images("damaged.jpg", "b", 9);
    open_set();
    config.log = keep_line;
    config.log_user = &log;
    data_loader *loader = make_loader(&config);
    ck_assert_uint_eq(next(loader).count, 17);
    const data_counts counts = data_loader_counts(loader);
    ck_assert_uint_eq(counts.odd, 8);
    ck_assert_uint_eq(counts.damaged, 9);
    ck_assert_uint_eq(log.count, 5 + 1 + 5 + 1);
    ck_assert_ptr_nonnull(strstr(log.first, "odd sample: "));
    ck_assert_ptr_nonnull(strstr(log.first, ": end marker missing (sample 0, class a, "));
    ck_assert_str_eq(log.last, "further damaged samples are only counted");
    data_loader_destroy(loader);

    config.strict = true;
    loader = make_loader(&config);
    ck_assert_int_eq(data_loader_next(loader, &b, &err), BASE_FORMAT);
    ck_assert_msg(strstr(err.text, "damaged sample: ") == err.text, "%s", err.text);
    data_loader_destroy(loader);
}
END_TEST

/* ---- Limits -----------------------------------------------------------------------------
 */

START_TEST(no_memory_is_had_after_the_first_batches)
{
    data_loader_config config = training(8);

    make_set(40);
    open_set();
    data_loader *loader = make_loader(&config);
    for (int step = 0; step < 40; step++) /* all sizes of crops have come by */
        next(loader);
    const uint64_t before = base_alloc_count();
    for (int step = 0; step < 40; step++)
        next(loader);
    const uint64_t after = base_alloc_count();
    data_loader_destroy(loader);
    ck_assert_uint_eq(after, before);
}
END_TEST

/* A worker may wait long for its first sample, so not zero after a while, but bounded: the
 * buffers of one worker are the decoded and the cropped image, the file, and 11 pieces of
 * scratch. */
START_TEST(workers_have_memory_once_not_per_batch)
{
    enum { WORKERS = 3, BUFFERS = 14, SPARE = 4 /* buffers that grew once */ };
    data_loader_config config = training(8);

    make_set(40);
    open_set();
    config.threads = WORKERS;
    data_loader *loader = make_loader(&config);
    const uint64_t before = base_alloc_count();
    for (int step = 0; step < 200; step++)
        next(loader);
    const uint64_t after = base_alloc_count();
    data_loader_destroy(loader);
    ck_assert_uint_le(after - before, WORKERS * (BUFFERS + SPARE));
}
END_TEST

START_TEST(a_loader_can_be_destroyed_at_any_time)
{
    data_loader_config config = training(8);

    make_set(40);
    open_set();
    config.threads = 4;
    for (int taken = 0; taken < 20; taken++) {
        data_loader *loader = make_loader(&config);
        for (int i = 0; i < taken % 5; i++)
            next(loader);
        data_loader_destroy(loader);
    }
    data_loader_destroy(NULL);
}
END_TEST

static void check_refused(data_loader_config config, const char *part)
{
    data_loader *loader = NULL;
    base_error err = {0};

    ck_assert_int_eq(data_loader_create(&loader, source, &config, &err), BASE_USAGE);
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
    ck_assert_ptr_null(loader);
}

START_TEST(fewer_samples_than_a_batch_are_refused)
{
    data_loader_config config = training(24);

    make_set(23);
    open_set();
    check_refused(config, "gives 23 samples, fewer than a batch of 24");
    config.batch = 11;
    config.limit = 10;
    check_refused(config, "gives 10 samples, fewer than a batch of 11");
    config = evaluation(24);
    data_loader *loader = make_loader(&config);
    ck_assert_uint_eq(next(loader).count, 23);
    ck_assert_uint_eq(next(loader).count, 0);
    data_loader_destroy(loader);
}
END_TEST

START_TEST(settings_out_of_range_are_refused)
{
    data_loader_config config = training(4);

    make_set(12);
    open_set();
    config.batch = 0;
    check_refused(config, "a loader of batch 0");
    config = training(4);
    config.channels = 2;
    check_refused(config, "2 channels, expected 1 or 3");
    config = training(4);
    config.std[1] = 0;
    check_refused(config, "deviation 0 of channel 1");
    config = training(4);
    config.augment.flip = 1.5;
    check_refused(config, "augmentation out of range");
    config = training(4);
    config.bytes = true;
    check_refused(config, "not on bytes");
    data_loader *loader = NULL;
    config = training(4);
    config.size = SIZE_MAX / 4;
    ck_assert_int_eq(data_loader_create(&loader, source, &config, NULL), BASE_NO_MEMORY);
    config = training(4);
    loader = make_loader(&config);
    ck_assert_int_eq(data_loader_seek(loader, 0, 4, NULL), BASE_USAGE);
    ck_assert_int_eq(data_loader_seek(loader, UINT64_MAX, 0, NULL), BASE_USAGE);
    data_loader_destroy(loader);
}
END_TEST

START_TEST(a_single_sample_makes_a_batch)
{
    data_loader_config config = training(1);

    make_set(3);
    open_set();
    same_for_all_threads(config, 10);
    config.limit = 1;
    same_for_all_threads(config, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_loader");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 60);
    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, batches_do_not_depend_on_threads);
    tcase_add_test(core, batches_do_not_depend_on_the_packaging);
    tcase_add_test(core, evaluation_shows_every_sample_once_in_order);
    tcase_add_test(core, an_epoch_is_the_seeded_permutation);
    tcase_add_test(core, epochs_shorter_than_the_queue_keep_their_order);
    tcase_add_test(core, seeking_goes_on_as_if_never_interrupted);
    tcase_add_test(core, evaluation_can_be_repeated_by_seeking);
    tcase_add_test(core, a_limit_is_the_same_subset_at_every_run);
    tcase_add_test(core, values_are_normalised_in_float32);
    tcase_add_test(core, mixing_hands_over_both_labels);
    tcase_add_test(core, training_replaces_a_bad_sample_by_the_next_good_one);
    tcase_add_test(core, evaluation_fails_at_a_bad_sample_or_counts_it);
    tcase_add_test(core, strict_stops_at_the_first_bad_sample);
    tcase_add_test(core, too_many_bad_samples_stop_the_training);
    tcase_add_test(core, a_set_without_any_good_sample_stops_at_once);
    tcase_add_test(core, odd_and_damaged_samples_are_used_counted_and_named);
    tcase_add_test(limits, no_memory_is_had_after_the_first_batches);
    tcase_add_test(limits, workers_have_memory_once_not_per_batch);
    tcase_add_test(limits, a_loader_can_be_destroyed_at_any_time);
    tcase_add_test(limits, fewer_samples_than_a_batch_are_refused);
    tcase_add_test(limits, settings_out_of_range_are_refused);
    tcase_add_test(limits, a_single_sample_makes_a_batch);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
