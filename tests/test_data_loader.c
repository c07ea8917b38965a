/* test_data_loader.c - batches: the same for any number of threads, exact after a seek,
 * within the memory that was taken at first. Samples that cannot be used:
 * test_data_loader_bad.c; what is refused, memory: test_data_loader_limits.c. */
#include <math.h>
#include <pthread.h>

#include "tests/test_leaks.h"
#include "tests/test_loader.h"

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

/* A helper's share of a call of together. */
typedef struct member_call {
    void (*member)(void *arg, size_t i);
    void *arg;
    size_t i;
} member_call;

static _Atomic size_t calls_together;

static void *member_main(void *user)
{
    const member_call *call = user;

    call->member(call->arg, call->i);
    return NULL;
}

static void together(size_t count, void (*member)(void *arg, size_t i), void *arg)
{
    pthread_t thread[8];
    member_call call[8];

    calls_together++;
    for (size_t i = 0; i < count; i++) {
        call[i] = (member_call){member, arg, i};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, member_main, &call[i]), 0);
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

START_TEST(helpers_make_the_same_batches)
{
    make_set(23);
    open_set();
    for (int evaluates = 0; evaluates < 2; evaluates++) {
        data_loader_config config = evaluates ? evaluation(4) : training(4);
        const uint64_t alone = run_hash(&config, 7);
        config.together = together;
        for (size_t helpers = 1; helpers <= 3; helpers++) {
            config.helpers = helpers;
            for (size_t threads = 0; threads <= 2; threads++) {
                config.threads = threads;
                ck_assert_uint_eq(run_hash(&config, 7), alone);
            }
        }
    }
    ck_assert_uint_gt(calls_together, 0);
}
END_TEST

static void enter(void *user)
{
    _Atomic size_t *entered = user;
    ++*entered;
}

START_TEST(each_worker_enters_once)
{
    data_loader_config config = training(4);
    _Atomic size_t entered = 0;

    make_set(23);
    open_set();
    config.threads = 3;
    config.enter = enter;
    config.enter_user = &entered;
    run_hash(&config, 7);
    ck_assert_uint_eq(entered, 3);
}
END_TEST

START_TEST(policies_draw_the_same_with_any_number_of_threads)
{
    uint64_t hash[4] = {0};

    make_set(23);
    open_set();
    for (int policy = DATA_POLICY_NONE; policy <= DATA_POLICY_THREE; policy++) {
        data_loader_config config = training(5);
        config.augment.policy = (data_policy_kind)policy;
        config.augment.jitter_brightness = 0.3;
        config.augment.jitter_hue = 0.1;
        config.augment.mix_style = (data_mix_style)(policy % 3);
        config.repeats = 2;
        same_for_all_threads(config, 12);
        hash[policy] = run_hash(&config, 12);
        for (int i = 0; i < policy; i++)
            ck_assert_uint_ne(hash[i], hash[policy]);
        config.bytes = true; /* the same pictures, before they are normalised */
        config.augment.mixup = config.augment.cutmix = config.augment.erase = 0;
        same_for_all_threads(config, 12);
    }
}
END_TEST

START_TEST(bytes_are_the_floats_before_normalising)
{
    data_loader_config config = training(5);

    make_set(10);
    open_set();
    config.augment.policy = DATA_POLICY_VMOE;
    config.augment.policy_magnitude = 15;
    config.augment.mixup = config.augment.cutmix = config.augment.erase = 0;
    for (int c = 0; c < 3; c++) {
        config.mean[c] = 0;
        config.std[c] = 1;
    }
    data_loader *floats = make_loader(&config);
    config.bytes = true;
    data_loader *bytes = make_loader(&config);
    for (int step = 0; step < 4; step++) {
        const data_batch a = next(floats), b = next(bytes);
        for (size_t i = 0; i < a.count; i++)
            for (size_t k = 0; k < SIDE * SIDE * 3; k++) {
                const size_t plane = k % 3 * SIDE * SIDE + k / 3;
                const float value = a.images[i * SIDE * SIDE * 3 + plane];
                ck_assert(value == (float)b.bytes[i * SIDE * SIDE * 3 + k] / 255.0f);
            }
    }
    data_loader_destroy(floats);
    data_loader_destroy(bytes);
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

START_TEST(a_shuffled_evaluation_is_the_seeded_permutation)
{
    data_loader_config config = evaluation(8);
    uint32_t order[21];
    base_rng rng = base_rng_make(9, BASE_PURPOSE_ORDER, 0, 0, 0);
    size_t shown = 0;

    config.shuffled = true;
    config.seed = 9;
    config.threads = 2;
    make_set(21);
    open_set();
    base_rng_permutation(&rng, order, 21);
    data_loader *loader = make_loader(&config);
    for (;;) {
        const data_batch b = next(loader);
        if (b.count == 0)
            break;
        for (size_t i = 0; i < b.count; i++, shown++) {
            ck_assert_uint_eq(b.samples[i], order[shown]);
            ck_assert_int_eq(b.labels[i], data_source_label(source, order[shown]));
        }
    }
    ck_assert_uint_eq(shown, 21); /* the last, smaller batch too */
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

/* 16 numbers fill their memory to the byte: a sanitizer sees one too many. */
START_TEST(without_a_limit_all_samples_are_there_in_order)
{
    uint32_t *samples = NULL;
    size_t count = 0;

    make_set(16);
    open_set();
    ck_assert_int_eq(data_source_subset(&samples, &count, source, 0, 7, NULL), BASE_OK);
    ck_assert_uint_eq(count, 16);
    for (uint32_t i = 0; i < 16; i++)
        ck_assert_uint_eq(samples[i], i);
    ck_assert_uint_eq(data_source_planned(source, 0), 16);
    ck_assert_uint_eq(data_source_planned(source, 15), 15);
    ck_assert_uint_eq(data_source_planned(source, 17), 16);
    base_free(samples);
}
END_TEST

START_TEST(values_are_normalised_in_float32)
{
    data_loader_config config = evaluation(4);
    size_t bytes;
    data_image image = {0};
    data_health health;
    data_decoder *decoder = NULL;

    /* ImageNet's, as everybody writes them. */
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    ck_assert_mem_eq(data_loader_defaults().mean, mean, sizeof mean);
    ck_assert_mem_eq(data_loader_defaults().std, std, sizeof std);
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

int main(void)
{
    Suite *suite = suite_create("data_loader");
    TCase *core = test_case_of_threads("Core");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, batches_do_not_depend_on_threads);
    tcase_add_test(core, helpers_make_the_same_batches);
    tcase_add_test(core, each_worker_enters_once);
    tcase_add_test(core, policies_draw_the_same_with_any_number_of_threads);
    tcase_add_test(core, bytes_are_the_floats_before_normalising);
    tcase_add_test(core, batches_do_not_depend_on_the_packaging);
    tcase_add_test(core, evaluation_shows_every_sample_once_in_order);
    tcase_add_test(core, a_shuffled_evaluation_is_the_seeded_permutation);
    tcase_add_test(core, an_epoch_is_the_seeded_permutation);
    tcase_add_test(core, epochs_shorter_than_the_queue_keep_their_order);
    tcase_add_test(core, seeking_goes_on_as_if_never_interrupted);
    tcase_add_test(core, evaluation_can_be_repeated_by_seeking);
    tcase_add_test(core, a_limit_is_the_same_subset_at_every_run);
    tcase_add_test(core, without_a_limit_all_samples_are_there_in_order);
    tcase_add_test(core, values_are_normalised_in_float32);
    tcase_add_test(core, mixing_hands_over_both_labels);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
