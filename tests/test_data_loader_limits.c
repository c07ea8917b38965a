/* test_data_loader_limits.c - the loader's memory, and settings that are refused. */
#include "tests/test_leaks.h"
#include "tests/test_loader.h"

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
    config.size = 20;
    config.queue = 3;
    config.threads = 2;
    config.helpers = 1;
    check_refused(config,
                  "a loader of batch 0, size 20, queue 3, 2 threads and 1 helpers, ");
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
    config = training(4);
    config.augment.policy_operations = 17;
    check_refused(config, "0 to 16 operations");
    config = training(4);
    config.augment.policy_magnitude = 30.5;
    check_refused(config, "augmentation out of range");
    config = training(4);
    config.augment.jitter_hue = 0.51;
    check_refused(config, "of the hue 0 to 0.5");
    config = training(4);
    config.augment.jitter_contrast = -1;
    check_refused(config, "jitter 0 to 10");
    config = training(4);
    config.augment.jitter_saturation = INFINITY;
    check_refused(config, "jitter 0 to 10");
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

START_TEST(defaults_are_as_documented)
{
    const data_loader_config c = data_loader_defaults();
    const data_augment *a = &c.augment;
    const int cpus = base_cpu_count();

    ck_assert(!c.training && c.batch == 64 && c.queue == 3 && c.readahead && c.size == 224);
    ck_assert(c.channels == 3 && c.resize == 256 && c.filter == DATA_FILTER_BILINEAR);
    ck_assert_uint_eq(c.threads, cpus > 1 ? (size_t)cpus - 1 : 1);
    ck_assert(c.mean[0] == 0.485f && c.mean[1] == 0.456f && c.mean[2] == 0.406f);
    ck_assert(c.std[0] == 0.229f && c.std[1] == 0.224f && c.std[2] == 0.225f);
    ck_assert(a->crop == DATA_CROP_RANDOM && a->area_low == 0.08 && a->area_high == 1);
    ck_assert(a->ratio_low == 0.75 && a->ratio_high == 4.0 / 3 && a->padding == 4);
    ck_assert(a->flip == 0.5 && a->policy_operations == 2 && a->policy_magnitude == 9);
    ck_assert(a->mix_probability == 1 && a->mixup == 0 && a->cutmix == 0 && a->erase == 0);
    ck_assert(c.limits.max_pixels == 178956970 && c.limits.max_file_bytes == 268435456);
    ck_assert(c.max_bad == 0.001 && c.limit == 0 && c.helpers == 0 && !c.bytes);
}
END_TEST

#define FINE(change)                                                                       \
    do {                                                                                   \
        config = training(4);                                                              \
        change;                                                                            \
        data_loader_destroy(make_loader(&config));                                         \
    } while (0)
#define REFUSED(change, says)                                                              \
    do {                                                                                   \
        data_loader *none = NULL;                                                          \
        base_error err = {0};                                                              \
        config = training(4);                                                              \
        change;                                                                            \
        ck_assert_int_eq(data_loader_create(&none, source, &config, &err), BASE_USAGE);    \
        ck_assert_str_eq(err.text, says);                                                  \
    } while (0)

/* Just inside and just outside of every limit. */
START_TEST(each_setting_has_its_limits)
{
    static const char range[] =
        "augmentation out of range: probabilities 0 to 1, mixup and cutmix 0 or more, "
        "padding 0 or more, area above 0 to 1, ratio above 0, low to high";
    static const char policy[] =
        "augmentation out of range: 0 to 16 operations of magnitude 0 to 30, jitter 0 to "
        "10, of the hue 0 to 0.5";
    static const char bytes[] =
        "erasing, mixup and cutmix work on normalised batches, not on bytes";
    data_loader_config config;

    make_set(12);
    open_set();
    FINE(config.helpers = 1024);
    REFUSED(config.helpers = 1025,
            "a loader of batch 4, size 8, queue 3, 0 threads and 1025 helpers, expected at "
            "least 1 of each and 0 to 1024 threads and helpers");
    REFUSED(config.threads = 1025,
            "a loader of batch 4, size 8, queue 3, 1025 threads and 0 helpers, expected at "
            "least 1 of each and 0 to 1024 threads and helpers");
    REFUSED(config.size = 0,
            "a loader of batch 4, size 0, queue 3, 0 threads and 0 helpers, expected at "
            "least 1 of each and 0 to 1024 threads and helpers");
    REFUSED(config.queue = 0,
            "a loader of batch 4, size 8, queue 0, 0 threads and 0 helpers, expected at "
            "least 1 of each and 0 to 1024 threads and helpers");
    FINE((config.ranks = 2, config.rank = 1));
    FINE(config.ranks = 1);
    REFUSED((config.ranks = 2, config.rank = 2),
            "rank 2 of 2 with batches of 4, expected a rank below the ranks, whose number "
            "divides the batch");
    REFUSED((config.ranks = 3, config.rank = 1),
            "rank 1 of 3 with batches of 4, expected a rank below the ranks, whose number "
            "divides the batch");
    REFUSED((config.ranks = 1, config.rank = 1),
            "rank 1 of 1 with batches of 4, expected a rank below the ranks, whose number "
            "divides the batch");
    FINE((config.take_every = 4, config.take_count = 4));
    FINE((config.take_every = 4, config.take_first = 3, config.take_count = 1));
    REFUSED((config.take_every = 4, config.take_count = 5),
            "5 batches from number 0 on of every 4, expected at least 1, and none beyond "
            "them");
    REFUSED((config.take_every = 4, config.take_first = 3, config.take_count = 2),
            "2 batches from number 3 on of every 4, expected at least 1, and none beyond "
            "them");
    REFUSED((config.take_every = 4, config.take_first = 4, config.take_count = 1),
            "1 batches from number 4 on of every 4, expected at least 1, and none beyond "
            "them");
    REFUSED(config.take_every = 4,
            "0 batches from number 0 on of every 4, expected at least 1, and none beyond "
            "them");
    REFUSED(config.take_first = 1,
            "0 batches from number 1 on of every 0, expected at least 1, and none beyond "
            "them");
    REFUSED(config.take_count = 1,
            "1 batches from number 0 on of every 0, expected at least 1, and none beyond "
            "them");
    FINE(config.channels = 1);
    REFUSED(config.channels = 4, "4 channels, expected 1 or 3");
    REFUSED(config.mean[2] = INFINITY,
            "mean inf and deviation 0.225 of channel 2, expected finite numbers and a "
            "deviation above 0");
    REFUSED(config.std[0] = -1,
            "mean 0.485 and deviation -1 of channel 0, expected finite numbers and a "
            "deviation above 0");
    FINE((config.channels = 1, config.std[1] = 0));
    FINE(config.max_bad = 0);
    REFUSED(config.max_bad = -0.5, "a share of -0.5 bad samples, expected 0 or more");
    FINE((config.augment.flip = 1, config.augment.erase = 1));
    FINE((config.augment.flip = 0, config.augment.erase = 0));
    FINE((config.augment.mix_probability = 0, config.augment.mixup = 0));
    FINE((config.augment.mix_probability = 1, config.augment.cutmix = 0));
    REFUSED(config.augment.flip = 1.01, range);
    REFUSED(config.augment.flip = -0.01, range);
    REFUSED(config.augment.erase = 1.01, range);
    REFUSED(config.augment.erase = -0.01, range);
    REFUSED(config.augment.mix_probability = 1.01, range);
    REFUSED(config.augment.mix_probability = -0.01, range);
    REFUSED(config.augment.mixup = -0.01, range);
    REFUSED(config.augment.mixup = INFINITY, range);
    REFUSED(config.augment.cutmix = -0.01, range);
    REFUSED(config.augment.cutmix = INFINITY, range);
    REFUSED(config.augment.padding = -1, range);
    FINE((config.augment.area_low = 1, config.augment.area_high = 1));
    REFUSED(config.augment.area_low = 0, range);
    REFUSED(config.augment.area_high = 1.01, range);
    REFUSED((config.augment.area_low = 0.6, config.augment.area_high = 0.5), range);
    FINE((config.augment.ratio_low = 2, config.augment.ratio_high = 2));
    REFUSED(config.augment.ratio_low = 0, range);
    REFUSED(config.augment.ratio_high = INFINITY, range);
    REFUSED((config.augment.ratio_low = 2, config.augment.ratio_high = 1.9), range);
    FINE((config.augment.crop = DATA_CROP_EVAL, config.augment.ratio_low = 0));
    FINE((config.augment.policy_operations = 16, config.augment.policy_magnitude = 30));
    FINE((config.augment.policy_operations = 0, config.augment.policy_magnitude = 0));
    REFUSED(config.augment.policy_operations = 17, policy);
    REFUSED(config.augment.policy_operations = -1, policy);
    REFUSED(config.augment.policy_magnitude = 30.1, policy);
    REFUSED(config.augment.policy_magnitude = -0.1, policy);
    FINE((config.augment.jitter_brightness = 10, config.augment.jitter_contrast = 10));
    FINE((config.augment.jitter_saturation = 10, config.augment.jitter_hue = 0.5));
    REFUSED(config.augment.jitter_brightness = 10.1, policy);
    REFUSED(config.augment.jitter_brightness = -0.1, policy);
    REFUSED(config.augment.jitter_contrast = 10.1, policy);
    REFUSED(config.augment.jitter_saturation = 10.1, policy);
    REFUSED(config.augment.jitter_saturation = -0.1, policy);
    REFUSED(config.augment.jitter_hue = 0.51, policy);
    REFUSED(config.augment.jitter_hue = -0.01, policy);
    for (int i = 0; i < 3; i++) {
        const double on = i == 0 ? 0.5 : 0, mix = i == 1 ? 0.5 : 0, cut = i == 2 ? 1 : 0;
        REFUSED((config.bytes = true, config.augment.erase = on, config.augment.mixup = mix,
                 config.augment.cutmix = cut),
                bytes);
        REFUSED((config.bytes = true, config.augment.erase = on, config.augment.mixup = mix,
                 config.augment.cutmix = cut),
                bytes);
    }
    FINE((config.bytes = true, config.augment.erase = 0, config.augment.mixup = 0,
          config.augment.cutmix = 0));
    FINE((config.training = false, config.augment.flip = 2)); /* nobody flips */
}
END_TEST

/* Raw pixels, a row of two pixels each: as they are, made grey, made three channels. */
START_TEST(raw_pixels_become_batches)
{
    static const unsigned char pixels[3 * 4 * 3] = {
        0, 51, 102, 153, 204, 255, 10, 20, 30, 40, 50, 60, 255, 0, 0, 0,   255, 0,
        0, 0,  255, 9,   9,   9,   7,  7,  7,  8,  8,  8,  1,   2, 3, 200, 100, 50};
    static const unsigned char labels[3] = {2, 0, 1};
    char *path = test_path(root, "x.npy");

    for (size_t grey = 0; grey < 2; grey++) {
        for (size_t channels = 1; channels <= 3; channels += 2) {
            data_loader_config config = evaluation(2);
            config.size = 2;
            config.resize = 0;
            config.channels = channels;
            config.bytes = true;
            set_npy(root, "x.npy", "|u1", grey ? "(3, 2, 2)" : "(3, 2, 2, 3)", pixels,
                    grey ? 12 : 36);
            set_npy(root, "labels.npy", "|u1", "(3,)", labels, 3);
            source = set_open(path, NULL);
            data_loader *loader = make_loader(&config);
            for (size_t at = 0; at < 3;) {
                const data_batch batch = next(loader);
                for (size_t i = 0; i < batch.count; i++, at++) {
                    ck_assert_int_eq(batch.labels[i], labels[at]);
                    for (size_t k = 0; k < 4 * channels; k++) {
                        const unsigned char *p =
                            pixels +
                            (grey ? at * 4 + k / channels : at * 12 + k / channels * 3);
                        const unsigned luma =
                            (19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 32768u) >> 16;
                        const unsigned want = grey ? p[0] : channels == 1 ? luma : p[k % 3];
                        ck_assert_uint_eq(batch.bytes[i * 4 * channels + k], want);
                    }
                }
            }
            data_loader_destroy(loader);
            data_source_close(source);
            source = NULL;
        }
    }
    base_free(path);
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
    Suite *suite = suite_create("data_loader_limits");
    TCase *limits = test_case_of_threads("Limits");

    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, no_memory_is_had_after_the_first_batches);
    tcase_add_test(limits, workers_have_memory_once_not_per_batch);
    tcase_add_test(limits, a_loader_can_be_destroyed_at_any_time);
    tcase_add_test(limits, fewer_samples_than_a_batch_are_refused);
    tcase_add_test(limits, settings_out_of_range_are_refused);
    tcase_add_test(limits, defaults_are_as_documented);
    tcase_add_test(limits, each_setting_has_its_limits);
    tcase_add_test(limits, raw_pixels_become_batches);
    tcase_add_test(limits, a_single_sample_makes_a_batch);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
