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
    tcase_add_test(limits, a_single_sample_makes_a_batch);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
