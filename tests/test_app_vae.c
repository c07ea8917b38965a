/* test_app_vae.c - vmoe vae as a user runs it: a run that was stopped ends with the same
 * bytes, labels choose experts when asked to, what cannot be is refused. */
#include "tests/test_pixels.h"
#include "tests/test_run.h"
#include "tests/test_train.h"

/* 12 pictures in batches of 4: 3 steps an epoch. */
static const char small[] = "[vae]\nexperts = 3\nlatent = 3\nhidden = 12\ndecoder = 6\n"
                            "sharpen = 1\nbalance = 0.5\n[data]\nimage = 8\n"
                            "[schedule]\nwarmup = 2\n[train]\nepochs = 4\nbatch = 4\n"
                            "log_every = 5\nseed = 3\n";

static void open_folder(void)
{
    setup();
    test_write(recipe, small, strlen(small));
}

#define SMALL                                                                              \
    "vae", "--data", data, "--val", data, "--recipe", recipe, "--threads", "1", "--out"

START_TEST(a_run_stopped_in_an_epoch_ends_with_the_same_bytes)
{
    static const char *const files[] = {"model.safetensors", "last/model.safetensors",
                                        "last/state.safetensors"};
    char *whole = test_path(dir, "whole"), *cut = test_path(dir, "cut");

    program_done(program_run(dir, SMALL, whole, NULL));
    program_refused(
        program_run(dir, SMALL, cut, "--quiet", "--set", "train.stop_after=7", NULL), 1,
        "stopped at step 7, go on with --resume");
    /* The recipe is that of the run's folder. */
    program_done(program_run(dir, "vae", "--threads", "1", "--out", cut, "--resume",
                             "--set", "train.stop_after=0", NULL));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        same_file("whole", "cut", files[i]);
    same_metrics("whole", "cut");
    base_free(whole);
    base_free(cut);
}
END_TEST

START_TEST(results_say_what_the_gate_did)
{
    char *out = test_path(dir, "run"), *path = test_path(out, "result.json"),
         *page = test_path(out, "page.html");

    program_done(program_run(dir, SMALL, out, "--set", "vae.balance=20", NULL));
    json_t *json = program_json(path);
    ck_assert_str_eq(json_string_value(json_object_get(json, "routing")), "learned");
    ck_assert_double_gt(json_number_of(json, "mse_all"), 0);
    ck_assert_double_eq(json_number_of(json, "gate_agreement"), 1);
    size_t images = 0, used = 0;
    for (size_t e = 0; e < 3; e++) {
        const size_t load =
            (size_t)json_integer_value(json_array_get(json_object_get(json, "load"), e));
        images += load;
        used += load > 0;
    }
    ck_assert_uint_gt(used, 1); /* else any row of the gate would do */
    ck_assert_uint_eq(images, (size_t)json_number_of(json, "samples"));
    /* All that the page shows: shares of experts and of their classes, places of images. */
    double share = 0;
    for (size_t e = 0; e < 3; e++) {
        const json_t *one = json_array_get(json_object_get(json, "specialists"), e);
        const double own = json_number_of(one, "share");
        double classes = 0;
        size_t i;
        json_t *class;
        json_array_foreach(json_object_get(one, "classes"), i, class)
        {
            const double part = json_number_of(class, "share");
            ck_assert_double_le(
                part, i == 0 ? 1
                             : json_number_of(
                                   json_array_get(json_object_get(one, "classes"), i - 1),
                                   "share"));
            classes += part;
        }
        ck_assert_double_le(classes, 1 + 1e-9);
        ck_assert_double_eq_tol(
            own * (double)images,
            json_number_value(json_array_get(json_object_get(json, "load"), e)), 1e-6);
        share += own;
    }
    ck_assert_double_eq_tol(share, 1, 1e-9);
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_object_get(json, "embedding"), "images")),
        images);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "class_names")),
                      json_array_size(json_object_get(json, "table")));
    json_decref(json);
    char *text = program_text(page);
    ck_assert_ptr_nonnull(strstr(text, "The same image by every expert"));
    ck_assert_ptr_nonnull(strstr(text, "PCA, by class"));
    base_free(text);
    base_free(page);
    base_free(path);
    base_free(out);
}
END_TEST

/* Pixels of the cell of a sheet: a line of one pixel around each. */
static void cell_of(unsigned char out[8 * 8 * 3], const data_image *sheet, size_t column,
                    size_t row)
{
    for (size_t y = 0; y < 8; y++)
        memcpy(out + y * 8 * 3,
               sheet->pixels + ((row * 9 + 1 + y) * sheet->width + column * 9 + 1) * 3,
               8 * 3);
}

/* Lines between the cells are grey. */
static void grid_check(const data_image *sheet, size_t columns, size_t rows)
{
    ck_assert_uint_eq(sheet->width, columns * 9 + 1);
    ck_assert_uint_eq(sheet->height, rows * 9 + 1);
    for (size_t y = 0; y < sheet->height; y++)
        for (size_t x = 0; x < sheet->width; x++)
            if (x % 9 == 0 || y % 9 == 0)
                ck_assert_int_eq(sheet->pixels[(y * sheet->width + x) * 3], 128);
}

enum { OWN = 6, OWN_CLASSES = 3, OWN_EACH = 2 }; /* pictures of our own, 8 x 8 */

static void own_make(const char *folder, unsigned char pixels[OWN][8 * 8 * 3])
{
    static const char *const names[OWN_CLASSES] = {"a", "b", "c"};
    base_rng rng = base_rng_make(9, BASE_PURPOSE_TEST, 0, 0, 0);
    data_image image = {0};

    ck_assert_int_eq(data_image_reserve(&image, 8, 8, 3, NULL), BASE_OK);
    for (size_t i = 0; i < OWN; i++) {
        char *class = test_path(folder, names[i / OWN_EACH]);
        char *file = base_text("%s/%zu.png", class, i);
        for (size_t k = 0; k < 8 * 8 * 3; k++)
            image.pixels[k] = (unsigned char)base_rng_below(&rng, 256);
        memcpy(pixels[i], image.pixels, 8 * 8 * 3);
        ck_assert_int_eq(base_folder_make(class, NULL), BASE_OK);
        ck_assert_int_eq(data_png_write(file, &image, NULL), BASE_OK);
        base_free(file);
        base_free(class);
    }
    data_image_destroy(&image);
}

/* The picture that stands in a cell; OWN: none of ours. */
static size_t own_in(const data_image *sheet, size_t column, size_t row,
                     unsigned char pixels[OWN][8 * 8 * 3])
{
    unsigned char cell[8 * 8 * 3];
    size_t i = 0;

    cell_of(cell, sheet, column, row);
    while (i < OWN && memcmp(cell, pixels[i], sizeof cell) != 0)
        i++;
    return i;
}

/* Of the page's pictures the first ones show each expert's images above what it makes of
 * them, the last one an image of each class above what all make of it. By labels, two
 * experts: a and c go to the first, b to the second. */
START_TEST(pictures_stand_above_what_is_made_of_them)
{
    static unsigned char pixels[OWN][8 * 8 * 3];
    char *own = test_path(dir, "own"), *out = test_path(dir, "run"),
         *path = test_path(out, "page.html");
    data_image sheet[3] = {{0}};
    bool seen[OWN] = {false};

    own_make(own, pixels);
    program_done(program_run(dir, "vae", "--data", own, "--val", own, "--recipe", recipe,
                             "--threads", "1", "--out", out, "--routing", "label",
                             "--experts", "2", "--quiet", NULL));
    char *text = program_text(path);
    for (size_t i = 0; i < 3; i++)
        ck_assert(pixels_in_page(&sheet[i], text, i, dir));
    for (size_t e = 0; e < 2; e++) {
        grid_check(&sheet[e], 12, 2);
        for (size_t column = 0; column < 12; column++) {
            unsigned char cell[8 * 8 * 3];
            const size_t i = own_in(&sheet[e], column, 0, pixels);
            if (column < (e == 0 ? 4 : 2)) {
                ck_assert_uint_lt(i, OWN);
                ck_assert(!seen[i]);
                ck_assert_uint_eq(i / OWN_EACH % 2, e);
                seen[i] = true;
            } else { /* nothing but the lines' grey */
                cell_of(cell, &sheet[e], column, column % 2);
                for (size_t k = 0; k < sizeof cell; k++)
                    ck_assert_int_eq(cell[k], 128);
            }
        }
    }
    grid_check(&sheet[2], OWN_CLASSES, 1 + 2);
    for (size_t y = 0; y < OWN_CLASSES; y++) {
        const size_t i = own_in(&sheet[2], y, 0, pixels), e = y % 2;
        ck_assert_uint_eq(i / OWN_EACH, y);
        size_t column = 0;
        while (own_in(&sheet[e], column, 0, pixels) != i)
            column++;
        unsigned char one[8 * 8 * 3], all[8 * 8 * 3], other[8 * 8 * 3];
        cell_of(one, &sheet[e], column, 1);
        cell_of(all, &sheet[2], y, 1 + e);
        cell_of(other, &sheet[2], y, 2 - e);
        for (size_t k = 0; k < sizeof one; k++) /* alone or in a batch: last bits */
            ck_assert_int_le(abs(one[k] - all[k]), 1);
        ck_assert_int_ne(memcmp(other, all, sizeof all), 0);
    }
    for (size_t i = 0; i < 3; i++)
        data_image_destroy(&sheet[i]);
    base_free(text);
    base_free(path);
    base_free(out);
    base_free(own);
}
END_TEST

START_TEST(labels_choose_experts_when_asked_to)
{
    char *out = test_path(dir, "run"), *path = test_path(out, "result.json");

    program_done(
        program_run(dir, SMALL, out, "--routing", "label", "--experts", "2", NULL));
    json_t *json = program_json(path);
    const json_t *table = json_object_get(json, "table");
    ck_assert(json_is_null(json_object_get(json, "mse_all")));
    ck_assert_ptr_nonnull(json_object_get(json, "untrained"));
    for (size_t y = 0; y < json_array_size(table); y++)
        for (size_t e = 0; e < 2; e++) {
            const json_int_t n =
                json_integer_value(json_array_get(json_array_get(table, y), e));
            ck_assert_msg((n > 0) == (y % 2 == e), "class %zu, expert %zu: %d images", y, e,
                          (int)n);
        }
    json_decref(json);
    base_free(path);
    base_free(out);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    char *out = test_path(dir, "run");

    program_refused(program_run(dir, SMALL, out, "--set", "vae.expert=3", NULL), 2,
                    "unknown key 'vae.expert' of vmoe vae, the nearest is 'vae.experts'");
    program_refused(program_run(dir, SMALL, out, "--routing", "gate", NULL), 2,
                    "'vae.routing' is 'gate', expected one of learned|label");
    program_refused(program_run(dir, SMALL, out, "--precision", "bf16", NULL), 2,
                    "unknown option '--precision'");
    program_refused(program_run(dir, "vae", "--out", out, NULL), 2,
                    "--data DATA is missing");
    program_done(program_run(dir, SMALL, out, NULL));
    program_refused(program_run(dir, SMALL, out, NULL), 1, "holds a run already");
    program_refused(
        program_run(dir, SMALL, out, "--resume", "--quiet", "--set", "vae.beta=2", NULL), 1,
        "'vae.beta' was '1' when the run began and is '2' now");
    base_free(out);
}
END_TEST

/* The byte behind the first occurrence of words in a file becomes `put`. */
static void patch(const char *path, const char *words, char put)
{
    char *bytes = NULL;
    size_t size = 0;

    ck_assert_int_eq(base_file_read(&bytes, &size, path, 1 << 24, NULL), BASE_OK);
    char *at = memmem(bytes, size, words, strlen(words));
    ck_assert_ptr_nonnull(at);
    at[strlen(words)] = put;
    test_write(path, bytes, size);
    base_free(bytes);
}

START_TEST(a_state_is_checked_before_it_is_believed)
{
    char *out = test_path(dir, "run"), *state = test_path(out, "last/state.safetensors"),
         *more = test_path(data, "red/more.png");

    program_refused(
        program_run(dir, SMALL, out, "--quiet", "--set", "train.stop_after=7", NULL), 1,
        "stopped at step 7");
    patch(state, "\"evaluated\":\"", '9'); /* 6 before: not after the step */
    program_refused(program_run(dir, SMALL, out, "--resume", "--quiet", NULL), 1,
                    "stands at step 7 of 12, evaluated at 9 with 0 skipped");
    patch(state, "\"evaluated\":\"", 'x');
    program_refused(program_run(dir, SMALL, out, "--resume", "--quiet", NULL), 1,
                    "has no usable 'evaluated' in its metadata");
    patch(state, "\"evaluated\":\"", '6');
    sample_picture_save(more, 2, 99);
    program_refused(program_run(dir, SMALL, out, "--resume", "--quiet", NULL), 1,
                    "has fingerprint ");
    base_free(more);
    base_free(state);
    base_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_vae");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, open_folder, teardown);
    tcase_add_checked_fixture(limits, open_folder, teardown);
    tcase_add_test(core, a_run_stopped_in_an_epoch_ends_with_the_same_bytes);
    tcase_add_test(core, results_say_what_the_gate_did);
    tcase_add_test(core, pictures_stand_above_what_is_made_of_them);
    tcase_add_test(core, labels_choose_experts_when_asked_to);
    tcase_add_test(limits, what_cannot_be_is_refused);
    tcase_add_test(limits, a_state_is_checked_before_it_is_believed);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
