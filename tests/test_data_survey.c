/* test_data_survey.c - what a data set is found to hold, by headers and by whole pictures,
 * by one thread and by several; pictures one after the other. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

static char *dir;
static data_source *source;

/* Twelve sound pictures, one of them then a text; the others as PNG named .png. */
static void setup(void)
{
    const data_source_options options = {.allow_single_class = true};
    base_error err = {0};

    dir = test_folder_make();
    sample_folder_make(dir);
    char *bad = test_path(dir, "green/2.png");
    test_write(bad, "no picture", 10);
    base_free(bad);
    ck_assert_msg(data_source_open(&source, dir, &options, &err) == BASE_OK, "%s",
                  err.text);
}

static void teardown(void)
{
    data_source_close(source);
    test_folder_remove(dir);
}

/* What the callbacks saw. */
typedef struct seen {
    size_t asked, named, sample;
    size_t stop_at; /* call of goes_on that says no */
    char reason[DATA_FLAW_BYTES];
} seen;

static bool goes_on(void *user, const data_survey *so_far)
{
    seen *s = user;

    ck_assert_uint_eq(so_far->planned, SAMPLE_COUNT);
    return ++s->asked != s->stop_at;
}

static void named(void *user, size_t sample, data_health health, const char *reason)
{
    seen *s = user;

    ck_assert_int_eq(health, DATA_HEALTH_BAD);
    s->named++;
    s->sample = sample;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
}

/* All members on this thread: the last first, which then has all the work. */
static void together(size_t count, void (*member)(void *arg, size_t i), void *arg)
{
    for (size_t i = count; i-- > 0;)
        member(arg, i);
}

START_TEST(classes_kinds_sizes_and_flaws_are_counted)
{
    for (size_t threads = 0; threads < 4; threads += 3) {
        seen s = {0};
        const data_survey_options options = {.decode = true,
                                             .threads = threads,
                                             .together = threads ? together : NULL,
                                             .user = &s,
                                             .named = named,
                                             .goes_on = goes_on};
        data_survey survey;
        base_error err = {0};

        ck_assert_msg(data_survey_make(&survey, source, &options, &err) == BASE_OK, "%s",
                      err.text);
        ck_assert_uint_eq(survey.looked, SAMPLE_COUNT);
        ck_assert_uint_eq(survey.health[DATA_HEALTH_BAD], 1);
        ck_assert_uint_eq(survey.health[DATA_HEALTH_OK], SAMPLE_COUNT - 1);
        ck_assert_uint_eq(survey.kinds[DATA_PICTURE_PNG], SAMPLE_COUNT - 1);
        ck_assert_uint_eq(survey.kinds[DATA_PICTURE_JPEG], 0);
        ck_assert_uint_eq(survey.sized, SAMPLE_COUNT - 1);
        ck_assert_uint_eq(survey.width.low, 12);
        ck_assert_uint_eq(survey.height.high, 10);
        ck_assert_uint_eq(survey.pixels.middle, 120);
        ck_assert_uint_eq(survey.file.low, 10); /* the text */
        for (size_t c = 0; c < SAMPLE_CLASSES; c++)
            ck_assert_uint_eq(survey.per_class[c], SAMPLE_PER_CLASS);
        ck_assert_uint_eq(survey.class_sizes.middle, SAMPLE_PER_CLASS);
        ck_assert_uint_eq(survey.empty_classes + survey.unlabelled, 0);
        ck_assert_uint_eq(survey.flaws, 1);
        ck_assert_uint_eq(survey.flaw[0].sample, 6); /* green/2.png */
        ck_assert_str_eq(survey.flaw[0].reason, s.reason);
        ck_assert_uint_eq(s.named, 1);
        ck_assert_uint_eq(s.sample, 6);
        ck_assert_uint_eq(s.asked, 2); /* before and after the one block */
        ck_assert(!survey.interrupted);
        data_survey_free(&survey);
    }
}
END_TEST

START_TEST(a_limit_takes_the_first_of_the_seeded_order)
{
    const data_survey_options options = {.limit = 5, .seed = 3};
    data_survey survey;
    uint32_t *samples = NULL;
    size_t count = 0;

    ck_assert_int_eq(data_survey_make(&survey, source, &options, NULL), BASE_OK);
    ck_assert_int_eq(data_source_subset(&samples, &count, source, 5, 3, NULL), BASE_OK);
    ck_assert_uint_eq(survey.looked, 5);
    ck_assert_mem_eq(survey.looked_at, samples, 5 * sizeof *samples);
    ck_assert_uint_eq(survey.per_class[0],
                      SAMPLE_PER_CLASS); /* by the index, not the limit */
    base_free(samples);
    data_survey_free(&survey);
}
END_TEST

START_TEST(a_survey_that_is_stopped_says_so)
{
    for (size_t at = 1; at <= 2; at++) { /* 2: when all is done, which is no stop */
        seen s = {.stop_at = at};
        const data_survey_options options = {.user = &s, .goes_on = goes_on};
        data_survey survey;

        ck_assert_int_eq(data_survey_make(&survey, source, &options, NULL), BASE_OK);
        ck_assert_int_eq(survey.interrupted, at == 1);
        ck_assert_uint_eq(survey.looked, at == 1 ? 0 : SAMPLE_COUNT);
        data_survey_free(&survey);
    }
}
END_TEST

START_TEST(a_reader_reads_samples_and_files_and_names_what_it_cannot)
{
    data_reader reader = {0};
    base_error err = {0};
    char *path = test_path(dir, "red/1.png");

    ck_assert_int_eq(data_reader_sample(&reader, source, 0, &err), BASE_OK);
    ck_assert_uint_eq(reader.image.width, 12);
    ck_assert_int_eq(reader.health, DATA_HEALTH_OK);
    ck_assert_int_ne(data_reader_sample(&reader, source, 6, &err), BASE_OK);
    ck_assert_int_eq(reader.health, DATA_HEALTH_BAD);
    ck_assert_ptr_null(strstr(err.text, "2.png"));
    ck_assert_int_ne(data_reader_named(&reader, source, 6, &err), BASE_OK);
    ck_assert_ptr_nonnull(strstr(err.text, "green/2.png"));
    ck_assert_int_eq(data_reader_file(&reader, path, &err), BASE_OK);
    ck_assert_uint_eq(reader.image.height, 10);
    ck_assert_int_eq(data_reader_file(&reader, "/nonexistent.png", &err), BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent.png"));
    base_free(path);
    data_reader_close(&reader);
    data_reader_close(&reader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data survey");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, classes_kinds_sizes_and_flaws_are_counted);
    tcase_add_test(core, a_limit_takes_the_first_of_the_seeded_order);
    tcase_add_test(core, a_reader_reads_samples_and_files_and_names_what_it_cannot);
    tcase_add_test(limits, a_survey_that_is_stopped_says_so);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
