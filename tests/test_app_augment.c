/* test_app_augment.c - augment.corrupt: what is drawn hangs on (seed, epoch, sample, copy)
 * alone, so that a run is the same with any number of workers and after any kill. */
#include "train/train_internal.h"
#include "tests/test_run.h"
#include "tests/test_train.h"

enum { SIDE = 16, BYTES = SIDE * SIDE * 3 };

static train_recipe recipe_with(const char *names)
{
    train_recipe r = train_recipe_defaults();

    r.config.image = SIDE;
    snprintf(r.corrupt.names, sizeof r.corrupt.names, "%s", names);
    return r;
}

static train_augment *augment_make(const train_recipe *r)
{
    train_augment *a = NULL;
    base_error err = {0};

    ck_assert_msg(train_augment_create(&a, r, 2, &err) == BASE_OK, "%s", err.text);
    ck_assert_ptr_nonnull(a);
    return a;
}

/* A picture of channels in memory that must stay where it is. */
static data_image picture(unsigned char *pixels, size_t channels)
{
    for (size_t i = 0; i < SIDE * SIDE * channels; i++)
        pixels[i] = (unsigned char)(40 + i * 7 % 160);
    return (data_image){.pixels = pixels,
                        .width = SIDE,
                        .height = SIDE,
                        .channels = channels,
                        .capacity_bytes = SIDE * SIDE * channels};
}

/* The picture after the augmentation of one place into out [BYTES]. */
static void alter(unsigned char *out, train_augment *a, size_t worker, uint64_t epoch,
                  uint32_t sample, uint64_t copy)
{
    data_image image = picture(out, 3);
    base_error err = {0};

    ck_assert_msg(train_augment_alter(a, worker, &image, epoch, sample, copy, &err) ==
                      BASE_OK,
                  "%s", err.text);
    ck_assert_ptr_eq(image.pixels, out);
    ck_assert_uint_eq(image.channels, 3);
}

START_TEST(a_draw_hangs_on_epoch_sample_and_copy_alone)
{
    const train_recipe r = recipe_with("noise");
    train_augment *a = augment_make(&r);
    unsigned char first[BYTES], other[BYTES];

    alter(first, a, 0, 3, 17, 0);
    alter(other, a, 0, 3, 18, 0);
    ck_assert_mem_ne(first, other, BYTES);
    alter(other, a, 0, 4, 17, 0);
    ck_assert_mem_ne(first, other, BYTES);
    alter(other, a, 0, 3, 17, 2);
    ck_assert_mem_ne(first, other, BYTES);
    alter(other, a, 1, 3, 17, 0);
    ck_assert_mem_eq(first, other, BYTES);
    train_augment_destroy(a);
}
END_TEST

START_TEST(clean_and_probability_leave_pictures_alone)
{
    train_recipe r = recipe_with("impulse_noise, clean");
    unsigned char before[BYTES], after[BYTES];
    int changed = 0, half = 0;

    picture(before, 3);
    train_augment *a = augment_make(&r);
    for (uint32_t i = 0; i < 200; i++) {
        alter(after, a, 0, 0, i, 0);
        changed += memcmp(before, after, BYTES) != 0;
    }
    train_augment_destroy(a);
    /* Binomial, n 200 and p 1/2: beyond 60..140 once in 10^8. */
    ck_assert_int_ge(changed, 60);
    ck_assert_int_le(changed, 140);

    snprintf(r.corrupt.names, sizeof r.corrupt.names, "contrast");
    r.corrupt.probability = 0.5;
    a = augment_make(&r);
    for (uint32_t i = 0; i < 200; i++) {
        alter(after, a, 0, 0, i, 0);
        half += memcmp(before, after, BYTES) != 0;
    }
    train_augment_destroy(a);
    ck_assert_int_ge(half, 60);
    ck_assert_int_le(half, 140);
}
END_TEST

START_TEST(grey_pictures_stay_grey_where_they_are)
{
    const train_recipe r = recipe_with("all");
    train_augment *a = augment_make(&r);
    unsigned char pixels[SIDE * SIDE];
    base_error err = {0};

    for (uint32_t i = 0; i < 60; i++) {
        data_image image = picture(pixels, 1);

        ck_assert_int_eq(train_augment_alter(a, 1, &image, 0, i, 0, &err), BASE_OK);
        ck_assert_ptr_eq(image.pixels, pixels);
        ck_assert_uint_eq(image.channels, 1);
    }
    train_augment_destroy(a);
}
END_TEST

START_TEST(nothing_is_allocated_for_a_picture)
{
    const train_recipe r = recipe_with("all");
    train_augment *a = augment_make(&r);
    unsigned char pixels[BYTES];

    for (uint32_t i = 0; i < 400; i++) /* the workers' scratch grows with the first ones */
        alter(pixels, a, i % 2, 0, i, 0);
    const uint64_t before = base_alloc_count();
    for (uint32_t i = 400; i < 600; i++)
        alter(pixels, a, i % 2, 0, i, 0);
    ck_assert_uint_eq(base_alloc_count(), before);
    train_augment_destroy(a);
}
END_TEST

#define CORRUPT                                                                            \
    "--set", "augment.corrupt=bench,clean", "augment.corrupt_severity=2-4",                \
        "train.epochs=12"

START_TEST(a_killed_run_ends_with_the_same_bytes)
{
    char *whole = test_path(dir, "whole"), *cut = test_path(dir, "cut"),
         *plain = test_path(dir, "plain");
    const char *const words[] = {TINY, cut, "--resume", "--quiet", CORRUPT, NULL};
    const double begin = base_seconds();

    program_done(program_run(dir, TINY, whole, CORRUPT, "data.workers=2", NULL));
    const double seconds = base_seconds() - begin;
    for (int i = 0; i < 3; i++) {
        const pid_t child = start(0, words);
        rest(seconds * (i + 1) / 5);
        kill(child, SIGKILL);
        if (finish(child) != -SIGKILL)
            break;
    }
    program_done(program_run(dir, TINY, cut, "--resume", CORRUPT, "data.workers=0", NULL));
    same_run("whole", "cut");
    program_done(program_run(dir, TINY, plain, "--set", "train.epochs=12", NULL));
    char *a = test_path(plain, "last/model.safetensors"),
         *b = test_path(whole, "last/model.safetensors");
    char *one = NULL, *two = NULL;
    size_t bytes = 0, others = 0;
    ck_assert_int_eq(base_file_read(&one, &bytes, a, 1 << 28, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&two, &others, b, 1 << 28, NULL), BASE_OK);
    ck_assert(bytes != others || memcmp(one, two, bytes) != 0); /* it does something */
    base_free(one);
    base_free(two);
    base_free(a);
    base_free(b);
    base_free(whole);
    base_free(cut);
    base_free(plain);
}
END_TEST

START_TEST(unknown_words_are_refused)
{
    train_recipe r = recipe_with("bench,fgo");
    train_augment *a = NULL;
    base_error err = {0};

    ck_assert_int_eq(train_augment_create(&a, &r, 1, &err), BASE_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "'fgo'"));
    r = recipe_with("fog");
    snprintf(r.corrupt.severity, sizeof r.corrupt.severity, "0-3");
    ck_assert_int_eq(train_augment_create(&a, &r, 1, &err), BASE_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "severity '0-3'"));
    r = recipe_with("");
    ck_assert_int_eq(train_augment_create(&a, &r, 1, &err), BASE_OK);
    ck_assert_ptr_null(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_augment");
    TCase *core = tcase_create("Core"), *runs = tcase_create("Runs"),
          *limits = tcase_create("Limits");

    tcase_add_test(core, a_draw_hangs_on_epoch_sample_and_copy_alone);
    tcase_add_test(core, clean_and_probability_leave_pictures_alone);
    tcase_add_test(core, grey_pictures_stay_grey_where_they_are);
    tcase_add_test(core, nothing_is_allocated_for_a_picture);
    tcase_add_checked_fixture(runs, setup, teardown);
    tcase_add_test(runs, a_killed_run_ends_with_the_same_bytes);
    tcase_add_test(limits, unknown_words_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, runs);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
