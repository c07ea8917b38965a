/* test_data_ranks.c - batches over several ranks, with repeats and with the last batch: all
 * ranks together load what one would, whatever the number of threads. */
#include "tests/test_leaks.h"
#include "tests/test_loader.h"

/* Hash of places first .. first + count - 1 of a batch, chained. */
static uint64_t places_hash(uint64_t h, const data_batch *b, size_t channels)
{
    const size_t values = SIDE * SIDE * channels;

    for (size_t i = 0; i < b->count; i++) {
        h = base_key((uint64_t[]){h, b->samples[i], (uint64_t)(int64_t)b->labels[i]}, 3);
        for (size_t k = 0; k < values; k++) {
            uint32_t bits;
            memcpy(&bits, &b->images[i * values + k], sizeof bits);
            h = base_key((uint64_t[]){h, bits}, 2);
        }
    }
    return h;
}

/* No mixing: its partners are those of the rank. */
static data_loader_config unmixed(size_t batch)
{
    data_loader_config config = training(batch);

    config.augment.mixup = config.augment.cutmix = 0;
    return config;
}

/* The ranks' loaders in step, their places one after the other. */
static uint64_t ranks_hash(data_loader_config config, size_t ranks, size_t batches,
                           size_t *shown)
{
    data_loader *loader[8];
    uint64_t h = 0;

    config.ranks = ranks;
    for (config.rank = 0; config.rank < ranks; config.rank++)
        loader[config.rank] = make_loader(&config);
    *shown = 0;
    for (size_t s = 0; s < batches; s++) {
        size_t count = 0, global = 0;
        for (size_t r = 0; r < ranks; r++) {
            const data_batch b = next(loader[r]);
            ck_assert_uint_eq(b.step, s % data_loader_steps(loader[0]));
            h = places_hash(h, &b, 3);
            count += b.count;
            global = b.global_count;
        }
        ck_assert_uint_eq(count, global);
        *shown += count;
    }
    for (size_t r = 0; r < ranks; r++)
        data_loader_destroy(loader[r]);
    return h;
}

START_TEST(the_global_batch_is_the_same_for_any_number_of_ranks)
{
    static const size_t ranks[] = {1, 2, 3, 6}, threads[] = {0, 1, 2, 3};
    data_loader_config config = unmixed(6);
    uint64_t first = 0;
    size_t shown;

    make_set(23);
    open_set();
    for (size_t i = 0; i < 4; i++) {
        config.threads = threads[i];
        const uint64_t h = ranks_hash(config, ranks[i], 8, &shown);
        if (i == 0)
            first = h;
        ck_assert_msg(h == first, "%zu ranks differ", ranks[i]);
        ck_assert_uint_eq(shown, 8 * 6);
    }
}
END_TEST

START_TEST(the_last_batch_is_kept_and_cut_by_rank)
{
    data_loader_config config = unmixed(6);
    unsigned met[23] = {0};
    uint64_t first = 0;
    size_t shown;

    config.keep_last = true;
    make_set(23); /* three batches of 6, one of 5; then 19: one of 1 */
    open_set();
    for (size_t ranks = 1; ranks <= 3; ranks++) {
        const uint64_t h = ranks_hash(config, ranks, 4, &shown);
        first = ranks == 1 ? h : first;
        ck_assert_uint_eq(h, first);
        ck_assert_uint_eq(shown, 23);
    }
    config.limit = 19;
    for (size_t ranks = 1; ranks <= 3; ranks++) {
        const uint64_t h = ranks_hash(config, ranks, 8, &shown);
        first = ranks == 1 ? h : first;
        ck_assert_uint_eq(h, first); /* two ranks of three get nothing of the last */
        ck_assert_uint_eq(shown, 2 * 19);
    }
    /* every sample once */
    config.limit = 0;
    data_loader *loader = make_loader(&config);
    for (int s = 0; s < 4; s++) {
        const data_batch b = next(loader);
        ck_assert_uint_eq(b.count, s < 3 ? 6 : 5);
        for (size_t i = 0; i < b.count; i++)
            met[b.samples[i]]++;
    }
    ck_assert_uint_eq(next(loader).epoch, 1);
    for (size_t i = 0; i < 23; i++)
        ck_assert_uint_eq(met[i], 1);
    data_loader_destroy(loader);
}
END_TEST

START_TEST(evaluation_over_ranks_shows_every_sample_once)
{
    data_loader_config config = evaluation(6);

    make_set(23);
    open_set();
    for (size_t ranks = 1; ranks <= 6; ranks += ranks == 3 ? 3 : 1) {
        size_t shown = 0;
        config.ranks = ranks;
        for (config.rank = 0; config.rank < ranks; config.rank++) {
            data_loader *loader = make_loader(&config);
            for (;;) {
                const data_batch b = next(loader);
                if (b.count == 0)
                    break;
                ck_assert_uint_le(b.count, 6 / ranks);
                for (size_t i = 0; i < b.count; i++)
                    ck_assert_uint_eq(b.samples[i], shown++);
            }
            data_loader_destroy(loader);
        }
        ck_assert_uint_eq(shown, 23);
    }
    config.limit = 2; /* fewer samples than ranks */
    config.ranks = 3;
    size_t shown = 0;
    for (config.rank = 0; config.rank < 3; config.rank++) {
        data_loader *loader = make_loader(&config);
        shown += next(loader).count;
        ck_assert_uint_eq(next(loader).count, 0);
        data_loader_destroy(loader);
    }
    ck_assert_uint_eq(shown, 2);
}
END_TEST

START_TEST(repeats_show_a_sample_anew_each_time)
{
    data_loader_config config = unmixed(6);
    const size_t values = SIDE * SIDE * 3;
    size_t differ = 0, shown;

    config.repeats = 3;
    config.augment.erase = 0;
    make_set(20);
    open_set();
    data_loader *loader = make_loader(&config);
    ck_assert_uint_eq(data_loader_steps(loader), 10);
    for (int s = 0; s < 10; s++) {
        const data_batch b = next(loader);
        for (size_t i = 0; i < 6; i++) {
            ck_assert_uint_eq(b.samples[i], b.samples[i / 3 * 3]);
            differ += memcmp(b.images + i * values, b.images + i / 3 * 3 * values,
                             values * sizeof(float)) != 0;
        }
    }
    ck_assert_uint_gt(differ, 35); /* of 40 */
    data_loader_destroy(loader);
    /* the first of each is what training without repeats shows */
    data_loader_config once = config;
    once.repeats = 1;
    once.batch = 2;
    data_loader *single = make_loader(&once);
    loader = make_loader(&config);
    for (int s = 0; s < 10; s++) {
        const data_batch a = next(loader), b = next(single);
        for (size_t i = 0; i < 2; i++) {
            ck_assert_uint_eq(a.samples[3 * i], b.samples[i]);
            ck_assert_mem_eq(a.images + 3 * i * values, b.images + i * values,
                             values * sizeof(float));
        }
    }
    data_loader_destroy(loader);
    data_loader_destroy(single);
    same_for_all_threads(config, 23);
    const uint64_t plain = ranks_hash(config, 1, 12, &shown);
    ck_assert_uint_eq(ranks_hash(config, 2, 12, &shown), plain);
}
END_TEST

START_TEST(ranks_and_repeats_resume_where_they_were)
{
    data_loader_config config = unmixed(6);
    uint64_t hash[9];

    config.repeats = 2;
    config.keep_last = true;
    config.rank = 1;
    config.ranks = 2;
    make_set(13); /* 26 positions: four batches of 6 and one of 2 */
    open_set();
    data_loader *loader = make_loader(&config);
    for (size_t i = 0; i < 9; i++) {
        const data_batch b = next(loader);
        hash[i] = places_hash(0, &b, 3);
        ck_assert_uint_eq(b.count, i % 5 < 4 ? 3 : 1);
    }
    data_loader_destroy(loader);
    config.threads = 2;
    for (size_t start = 0; start < 9; start++) {
        loader = make_loader(&config);
        ck_assert_int_eq(data_loader_seek(loader, start / 5, start % 5, NULL), BASE_OK);
        for (size_t i = start; i < 9; i++) {
            const data_batch b = next(loader);
            ck_assert_uint_eq(places_hash(0, &b, 3), hash[i]);
        }
        data_loader_destroy(loader);
    }
}
END_TEST

/* ---- whole batches ------------------------------------------------------------------- */

/* Rank r of ranks takes its run of every `every` batches. */
static data_loader_config taking(data_loader_config config, size_t rank, size_t ranks,
                                 size_t every)
{
    config.take_every = every;
    config.take_count = every / ranks;
    config.take_first = rank * config.take_count;
    return config;
}

/* All that a row of batches holds, one hash a batch. */
static void row_hashes(uint64_t *out, size_t count, const data_loader_config *config)
{
    data_loader *loader = make_loader(config);

    for (size_t i = 0; i < count; i++) {
        const data_batch b = next(loader);
        out[i] = batch_hash(&b, 3);
    }
    data_loader_destroy(loader);
}

/* Ranks one after the other, last first: each has the batches that are its own, and the
 * same when it begins at any place of the row. */
static void check_taken(const data_loader_config *config, size_t ranks, size_t every,
                        const uint64_t *row, size_t count)
{
    for (size_t r = ranks; r-- > 0;) {
        const data_loader_config own = taking(*config, r, ranks, every);
        data_loader *loader = make_loader(&own);
        const size_t steps = data_loader_steps(loader);

        for (size_t start = 0; start < count; start += start < 9 ? 1 : 7) {
            ck_assert_int_eq(data_loader_seek(loader, start / steps, start % steps, NULL),
                             BASE_OK);
            for (size_t q = start; q < count; q++) {
                if (q % every / own.take_count != r)
                    continue;
                const data_batch b = next(loader);
                ck_assert_uint_eq(b.epoch, q / steps);
                ck_assert_uint_eq(b.step, q % steps);
                ck_assert_msg(batch_hash(&b, 3) == row[q], "batch %zu of rank %zu of %zu",
                              q, r, ranks);
            }
        }
        data_loader_destroy(loader);
    }
}

START_TEST(whole_batches_of_ranks_are_those_of_one_row)
{
    enum { COUNT = 36 };
    static const size_t every[] = {1, 2, 4, 6, 12}, ranks[] = {1, 2, 3, 4, 6};
    data_loader_config config = training(4); /* mixed: partners lie in the batch */
    uint64_t row[COUNT];

    make_set(23); /* five batches an epoch, which no number of them divides */
    open_set();
    for (size_t variant = 0; variant < 3; variant++) {
        config.repeats = variant == 1 ? 2 : 1;
        config.limit = variant == 2 ? 5 : 0; /* one batch an epoch */
        row_hashes(row, COUNT, &config);
        for (size_t i = 0; i < 5; i++)
            for (size_t j = 0; j < 5; j++) {
                if (every[i] % ranks[j] != 0)
                    continue;
                config.threads = (i + j) % 3;
                config.queue = 1 + (i + j) % 4;
                check_taken(&config, ranks[j], every[i], row, COUNT);
            }
    }
}
END_TEST

START_TEST(evaluations_of_ranks_are_the_batches_of_one)
{
    data_loader_config config = evaluation(4);
    uint64_t row[8];

    make_set(23);
    open_set();
    row_hashes(row, 6, &config);
    for (size_t ranks = 1; ranks <= 8; ranks++) /* two of eight have nothing to do */
        for (size_t r = 0; r < ranks; r++) {
            data_loader_config own = taking(config, r, ranks, ranks);
            own.threads = ranks % 3;
            data_loader *loader = make_loader(&own);
            for (int round = 0; round < 2; round++) {
                ck_assert_int_eq(data_loader_seek(loader, 0, 0, NULL), BASE_OK);
                for (size_t q = r; q < 6; q += ranks) {
                    const data_batch b = next(loader);
                    ck_assert_uint_eq(b.step, q);
                    ck_assert_uint_eq(batch_hash(&b, 3), row[q]);
                }
                ck_assert_uint_eq(next(loader).count, 0);
                ck_assert_uint_eq(next(loader).count, 0);
            }
            data_loader_destroy(loader);
        }
}
END_TEST

static void check_untakable(size_t first, size_t count, size_t every)
{
    data_loader_config config = unmixed(6);
    data_loader *loader = NULL;
    base_error err = {0};

    config.take_first = first;
    config.take_count = count;
    config.take_every = every;
    ck_assert_int_eq(data_loader_create(&loader, source, &config, &err), BASE_USAGE);
    ck_assert_msg(strstr(err.text, "expected at least 1, and none beyond") != NULL, "%s",
                  err.text);
    ck_assert_ptr_null(loader);
}

START_TEST(batches_that_cannot_be_taken_are_refused)
{
    make_set(23);
    open_set();
    check_untakable(0, 0, 2);
    check_untakable(2, 1, 2);
    check_untakable(1, 2, 2);
    check_untakable(1, SIZE_MAX, 2);
    check_untakable(0, 1, 0);
    check_untakable(1, 0, 0);
}
END_TEST

static void check_refused(size_t batch, size_t rank, size_t ranks)
{
    data_loader_config config = unmixed(batch);
    data_loader *loader = NULL;
    base_error err = {0};

    config.rank = rank;
    config.ranks = ranks;
    ck_assert_int_eq(data_loader_create(&loader, source, &config, &err), BASE_USAGE);
    ck_assert_msg(strstr(err.text, "expected a rank below the ranks") != NULL, "%s",
                  err.text);
    ck_assert_ptr_null(loader);
}

START_TEST(ranks_that_do_not_fit_are_refused)
{
    make_set(23);
    open_set();
    check_refused(6, 2, 2);
    check_refused(6, 1, 0);
    check_refused(6, 1, 1);
    check_refused(6, 0, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_ranks");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, the_global_batch_is_the_same_for_any_number_of_ranks);
    tcase_add_test(core, the_last_batch_is_kept_and_cut_by_rank);
    tcase_add_test(core, evaluation_over_ranks_shows_every_sample_once);
    tcase_add_test(core, repeats_show_a_sample_anew_each_time);
    tcase_add_test(core, ranks_and_repeats_resume_where_they_were);
    tcase_add_test(core, whole_batches_of_ranks_are_those_of_one_row);
    tcase_add_test(core, evaluations_of_ranks_are_the_batches_of_one);
    tcase_add_test(limits, ranks_that_do_not_fit_are_refused);
    tcase_add_test(limits, batches_that_cannot_be_taken_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
