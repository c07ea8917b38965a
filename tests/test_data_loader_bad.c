/* test_data_loader_bad.c - samples that are odd, damaged or unusable: replaced, counted,
 * named, or the end of the run (data.md 10). */
#include "tests/test_leaks.h"
#include "tests/test_loader.h"

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

typedef struct seen {
    size_t count, sample[20];
    data_health health[20];
    char reason[20][100];
} seen;

static void keep_named(void *user, size_t sample, data_health health, const char *reason)
{
    seen *s = user;

    ck_assert_uint_lt(s->count, 20);
    s->sample[s->count] = sample;
    s->health[s->count] = health;
    snprintf(s->reason[s->count++], 100, "%s", reason);
}

/* Whole lines, of files and of members, of samples with a class and without. */
START_TEST(lines_name_a_sample_its_class_and_its_place)
{
    const data_source_options unlabelled = {.allow_single_class = true,
                                            .allow_unlabelled = true};
    data_loader_config config = evaluation(4);
    char *tar, *want, *flat = test_path(root, "flat");
    lines log = {0};
    seen all = {0};
    FILE *file = set_tar_open(&tar, root, "x.tar");

    config.skip_bad = true;
    config.log = keep_line;
    config.log_user = &log;
    config.named = keep_named;
    config.named_user = &all;
    set_member(file, "a/1.png", '0', "no image", 8);
    set_member(file, "b/2.png", '0', "", 0);
    set_tar_end(file);
    source = set_open(tar, NULL);
    data_loader *loader = make_loader(&config);
    ck_assert_uint_eq(next(loader).count, 2);
    want = base_text("bad sample: %s!a/1.png: unknown format (sample 0, class a, 8 bytes "
                     "at offset 512)",
                     tar);
    ck_assert_str_eq(log.first, want);
    base_free(want);
    want = base_text("bad sample: %s!b/2.png: empty file (sample 1, class b, 0 bytes at "
                     "offset 1536)",
                     tar);
    ck_assert_str_eq(log.last, want);
    base_free(want);
    ck_assert_uint_eq(log.count, 2);
    ck_assert(all.count == 2 && all.sample[0] == 0 && all.sample[1] == 1);
    ck_assert(all.health[0] == DATA_HEALTH_BAD && all.health[1] == DATA_HEALTH_BAD);
    ck_assert_str_eq(all.reason[0], "unknown format");
    ck_assert_str_eq(all.reason[1], "empty file");
    ck_assert_int_eq(data_loader_seek(loader, 1, 0, NULL), BASE_OK);
    ck_assert_uint_eq(next(loader).count, 2); /* spoken of once, counted again */
    ck_assert_uint_eq(log.count, 2);
    ck_assert_uint_eq(all.count, 2);
    ck_assert_uint_eq(data_loader_counts(loader).bad, 4);
    data_loader_destroy(loader);
    data_source_close(source);
    base_free(tar);

    set_file(root, "flat/1.png", "no image", 8);
    source = set_open(flat, &unlabelled);
    loader = make_loader(&config);
    ck_assert_uint_eq(next(loader).count, 1);
    want = base_text("bad sample: %s/1.png: unknown format (sample 0, class none, 8 bytes)",
                     flat);
    ck_assert_str_eq(log.last, want);
    base_free(want);
    data_loader_destroy(loader);
    base_free(flat);
}
END_TEST

/* In bytes a bad sample is zeros, too, whatever the slot held before. */
START_TEST(a_bad_sample_among_bytes_is_zeros)
{
    data_loader_config config = evaluation(3);

    make_set(6);
    open_set();
    spoil(4);
    reopen();
    config.skip_bad = true;
    config.bytes = true;
    data_loader *loader = make_loader(&config);
    next(loader);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(data_loader_seek(loader, 0, 0, NULL), BASE_OK);
        next(loader);
        const data_batch b = next(loader);
        ck_assert(b.bad[1] && !b.bad[0] && b.labels[1] == -1 && b.labels_b[1] == -1);
        ck_assert(b.weight_a[1] == 1 && b.samples[1] == 4);
        size_t values[2] = {0};
        for (size_t k = 0; k < SIDE * SIDE * 3; k++) {
            values[0] += b.bytes[k] != 0;
            values[1] += b.bytes[SIDE * SIDE * 3 + k] != 0;
        }
        ck_assert(values[0] > 0 && values[1] == 0);
    }
    data_loader_destroy(loader);
}
END_TEST

/* A share of the samples is borne, to the sample. */
START_TEST(the_share_of_bad_samples_has_its_limit)
{
    data_loader_config config = training(10);

    make_set(120);
    open_set();
    for (size_t i = 0; i < 60; i++)
        spoil(i * 2);
    reopen();
    config.max_bad = 59.5 / 120;
    check_stop(config, "too many bad samples: 60 of 120, more than the 59 allowed; the "
                       "last is a bad sample: ");
    config.max_bad = 60.0 / 120;
    ck_assert_uint_ne(run_hash(&config, 30), 0);
    config.limit = 110; /* of the share of these */
    config.max_bad = 0.46;
    data_loader *loader = make_loader(&config);
    base_status status = BASE_OK;
    base_error err = {0};
    data_batch b;
    for (int step = 0; step < 40 && status == BASE_OK; step++)
        status = data_loader_next(loader, &b, &err);
    ck_assert(status == BASE_OK || strstr(err.text, " of 110, more than the 50 allowed"));
    data_loader_destroy(loader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_loader_bad");
    TCase *core = test_case_of_threads("Core");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, training_replaces_a_bad_sample_by_the_next_good_one);
    tcase_add_test(core, evaluation_fails_at_a_bad_sample_or_counts_it);
    tcase_add_test(core, strict_stops_at_the_first_bad_sample);
    tcase_add_test(core, too_many_bad_samples_stop_the_training);
    tcase_add_test(core, a_set_without_any_good_sample_stops_at_once);
    tcase_add_test(core, odd_and_damaged_samples_are_used_counted_and_named);
    tcase_add_test(core, lines_name_a_sample_its_class_and_its_place);
    tcase_add_test(core, a_bad_sample_among_bytes_is_zeros);
    tcase_add_test(core, the_share_of_bad_samples_has_its_limit);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
