/* test_app_data.c - vmoe data as a user runs it, and the lists of bad samples of all
 * commands. */
#include "show/show.h"
#include "tests/test_command.h"
#include "tests/test_pixels.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static char *list;

static void setup(void)
{
    command_folder();
    list = command_path("list.tsv");
}

/* A file of the fuzzer's folder as data/NAME. */
static void put_image(const char *from, const char *name)
{
    const char *tests = getenv("VMOE_TESTS");
    char *path = base_text("%s/fuzz/image/%s", tests ? tests : "tests", from),
         *bytes = NULL;
    size_t size = 0;

    ck_assert_int_eq(base_file_read(&bytes, &size, path, 1 << 20, NULL), BASE_OK);
    set_file(data, name, bytes, size);
    base_free(bytes);
    base_free(path);
}

static json_int_t number_at(const json_t *object, const char *group, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(object, group), key));
}

START_TEST(a_sound_set_is_described)
{
    program_result r = program_run(dir, "data", data, "--json", json, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "layout  folder, recognised: "));
    ck_assert_ptr_nonnull(strstr(r.out, "   4 to 4 images each (median 4)"));
    program_result_free(&r);
    json_t *j = program_json(json);
    ck_assert_str_eq(json_string_value(json_object_get(j, "layout")), "folder");
    ck_assert_int_eq((int)json_number_of(j, "samples"), SAMPLE_COUNT);
    ck_assert_int_eq((int)json_array_size(json_object_get(j, "classes")), 3);
    ck_assert_int_eq(number_at(j, "kinds", "PNG"), SAMPLE_COUNT);
    const json_t *sizes = json_object_get(j, "sizes");
    ck_assert_int_eq(number_at(sizes, "width", "min"), 12);
    ck_assert_int_eq(number_at(sizes, "height", "max"), 10);
    ck_assert_str_eq(json_string_value(json_object_get(j, "layout_from")), "recognised");
    ck_assert_str_eq(json_string_value(json_object_get(j, "scope")),
                     "headers of all 12 images");
    ck_assert_str_eq(json_string_value(json_object_get(j, "notice")), "");
    ck_assert_str_eq(json_string_value(json_object_get(j, "left_out")), "");
    ck_assert_int_eq(number_at(j, "class_sizes", "median"), 4);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "contents")), 1);
    json_decref(j);
    char *named = base_text("folder:%s", data);
    r = program_run(dir, "data", named, NULL);
    ck_assert_ptr_nonnull(strstr(r.out, "layout  folder, as you say: "));
    program_result_free(&r);
    base_free(named);
}
END_TEST

static void spoil(void)
{
    put_image("no_end.jpg", "blue/odd.jpg");
    put_image("damaged.jpg", "green/damaged.jpg");
    put_image("page.html", "red/page.jpg");
    put_image("cmyk.jpg", "red/cmyk.jpeg");
    put_image("progressive.jpg", "red/progressive.JPEG");
    put_image("rgb8.png", "blue/png.JPEG");
    put_image("grey.jpg", "blue/grey.jpg");
    set_file(data, "blue/notes.txt", "x", 1);
    set_file(data, "blue/.hidden.png", "x", 1);
}

START_TEST(verify_names_what_is_broken)
{
    spoil();
    program_result r = program_run(dir, "data", data, "--verify", "--bad-list", list,
                                   "--json", json, "--threads", "2", NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.out, "bad              unknown format\n"));
    ck_assert_ptr_nonnull(strstr(r.out, "16 ok, 1 odd, 1 damaged, 1 bad"));
    ck_assert_ptr_nonnull(strstr(r.err, "1 bad and 1 damaged of 19 samples"));
    json_t *j = program_json(json);
    ck_assert_int_eq(number_at(j, "kinds", "CMYK"), 1);
    ck_assert_int_eq(number_at(j, "kinds", "progressive"), 1);
    ck_assert_int_eq(number_at(j, "kinds", "misnamed"), 1);
    ck_assert_int_eq(number_at(j, "kinds", "grey"), 1);
    ck_assert_int_eq(number_at(j, "ignored", "hidden or unsafe name"), 1);
    ck_assert_int_eq(number_at(j, "ignored", "no image by its name"), 1);
    ck_assert_int_eq(number_at(j, "health", "bad"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "flaws")), 3);
    json_decref(j);
    char *lines = program_text(list);
    char *expected = base_text("odd\t%s/blue/odd.jpg\tend marker missing\n", data);
    ck_assert_ptr_eq(strstr(lines, expected), lines);
    ck_assert_ptr_nonnull(strstr(lines, "\nbad\t"));
    base_free(expected);
    base_free(lines);
    program_result_free(&r);
}
END_TEST

/* What the page and the table show beside the counts; no line is wider than a terminal. */
START_TEST(the_document_holds_all_that_is_shown)
{
    spoil();
    program_result r = program_run(dir, "data", data, "--json", json, "--html", page,
                                   "--tiles", "4", NULL);
    for (const char *line = r.out; *line; line += strcspn(line, "\n") + 1)
        ck_assert_msg(strcspn(line, "\n") <= 80, "%s", line);
    ck_assert_ptr_nonnull(strstr(r.out, "\nhealth "));
    program_result_free(&r);
    json_t *j = program_json(json);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(j, "left_out")), "2 "));
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(j, "health_note")), "--verify"));
    const json_t *pictures = json_object_get(j, "pictures");
    ck_assert_uint_eq(json_array_size(pictures), 4);
    const json_t *one = json_array_get(pictures, 0);
    ck_assert(json_is_true(json_object_get(one, "readable")));
    ck_assert_ptr_nonnull(json_string_value(json_object_get(one, "picture")));
    json_t *first = json_array_get(json_object_get(j, "flaws"), 0); /* the worst first */
    ck_assert_str_eq(json_string_value(json_object_get(first, "health")), "bad");
    json_decref(j);
}
END_TEST

/* A damaged image is an image; with --strict it is as good as none. */
START_TEST(strict_counts_what_is_damaged)
{
    put_image("damaged.jpg", "green/damaged.jpg");
    program_done(program_run(dir, "data", data, "--verify", NULL));
    program_result r =
        program_run(dir, "data", data, "--verify", "--strict", "--bad-list", list, NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.out, "12 ok, 0 odd, 1 damaged, 0 bad"));
    ck_assert_str_eq(r.err, "vmoe data: 0 bad and 1 damaged of 13 samples\n");
    program_result_free(&r);
    char *lines = program_text(list);
    char *expected = base_text("damaged\t%s/green/damaged.jpg\tcorrupt: ", data);
    ck_assert_msg(strncmp(lines, expected, strlen(expected)) == 0, "%s", lines);
    base_free(expected);
    base_free(lines);
}
END_TEST

START_TEST(many_classes_are_cut_and_shown_on_demand)
{
    char *many = test_path(dir, "many");
    char name[64], *bytes = NULL, *from = test_path(data, "red/0.png");
    size_t size = 0;

    ck_assert_int_eq(base_file_read(&bytes, &size, from, 1 << 20, NULL), BASE_OK);
    for (int c = 0; c < 30; c++) {
        snprintf(name, sizeof name, "class%02d/0.png", c);
        set_file(many, name, bytes, size);
    }
    program_result r = program_run(dir, "data", many, NULL);
    ck_assert_ptr_nonnull(strstr(r.out, "class23\nand 6 more: --all-classes"));
    program_result_free(&r);
    r = program_run(dir, "data", many, "--all-classes", NULL);
    ck_assert_ptr_nonnull(strstr(r.out, "class29\n"));
    program_result_free(&r);
    base_free(bytes);
    base_free(from);
    base_free(many);
}
END_TEST

/* All but the line that says how long it took. */
static char *without_time(program_result *r)
{
    char *time = strstr(r->out, "\ntime ");

    ck_assert_ptr_nonnull(time);
    *time = '\0';
    char *text = base_text("%s", r->out);
    program_result_free(r);
    return text;
}

START_TEST(output_does_not_depend_on_threads)
{
    char *sheet = test_path(dir, "a.png"), *again = test_path(dir, "b.png"), *a, *b;
    char *one_sheet = NULL, *other_sheet = NULL;
    size_t bytes = 0, other_bytes = 0;

    spoil();
    program_result r = program_run(dir, "data", data, "--verify", "--threads", "1",
                                   "--sheet", sheet, "--tiles", "7", "--tile", "32", NULL);
    a = without_time(&r);
    r = program_run(dir, "data", data, "--verify", "--threads", "3", "--sheet", again,
                    "--tiles", "7", "--tile", "32", NULL);
    b = without_time(&r);
    ck_assert_str_eq(a, b);
    ck_assert_int_eq(base_file_read(&one_sheet, &bytes, sheet, 1 << 24, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&other_sheet, &other_bytes, again, 1 << 24, NULL),
                     BASE_OK);
    ck_assert_uint_eq(bytes, other_bytes);
    ck_assert_mem_eq(one_sheet, other_sheet, bytes);
    base_free(one_sheet);
    r = program_run(dir, "data", data, "--seed", "5", "--sheet", again, "--tiles", "7",
                    "--tile", "32", NULL);
    program_result_free(&r);
    ck_assert_int_eq(base_file_read(&one_sheet, &bytes, again, 1 << 24, NULL), BASE_OK);
    ck_assert(bytes != other_bytes || memcmp(one_sheet, other_sheet, bytes) != 0);
    base_free(one_sheet);
    base_free(other_sheet);
    base_free(a);
    base_free(b);
    base_free(sheet);
    base_free(again);
}
END_TEST

/* The sheet as docs/data.md and a ruler have it: 10 pixels around, 6 between, below each
 * tile nine for its label, cut to the tile; one that cannot be read is grey and says so. */
START_TEST(tiles_stand_in_rows_with_their_labels)
{
    enum { TILE = 16, COUNT = 5, COLUMNS = 3 };
    static const char *const names[COUNT] = {"ab/0.png", "ab/1.png", "ab/2.png", "c/0.png",
                                             "c/1.png"};
    char *sheet = test_path(dir, "sheet.png"), *set = test_path(dir, "set");
    data_image got = {0}, want = {0};

    for (size_t i = 0; i < COUNT; i++) {
        char *path = test_path(set, names[i]);
        set_file(set, names[i], "junk", 4);
        if (i != 1)
            pixels_save(path, TILE, (unsigned char)(20 * i));
        base_free(path);
    }
    program_result r =
        program_run(dir, "data", set, "--sheet", sheet, "--tile", "16", NULL);
    ck_assert_int_eq(r.code, 1);
    program_result_free(&r);
    pixels_of(&got, sheet);
    ck_assert_int_eq(data_image_reserve(&want, 80, 82, 3, NULL), BASE_OK);
    memset(want.pixels, 255, 80 * 82 * 3);
    for (size_t i = 0; i < COUNT; i++) {
        const size_t left = 10 + i % COLUMNS * (TILE + 6),
                     top = 10 + i / COLUMNS * (TILE + 9 + 6);
        for (size_t k = 0; k < TILE * TILE * 3; k++)
            want.pixels[((top + k / 3 / TILE) * 80 + left + k / 3 % TILE) * 3 + k % 3] =
                i == 1   ? 208
                : k == 0 ? (unsigned char)(20 * i + 1)
                         : (unsigned char)(20 * i);
        show_label_draw(&want, i < 3 ? "ab" : "c", left, top + TILE + 1, 1, 40);
        if (i == 1)
            show_label_draw(&want, "ba", left + 2, top + 2, 1, 40);
    }
    pixels_are(&got, &want);
    data_image_destroy(&got);
    data_image_destroy(&want);
    base_free(sheet);
    base_free(set);
}
END_TEST

START_TEST(the_page_shows_pictures_and_escapes_names)
{
    put_image("page.html", "red/a<b>.jpg");
    program_result r =
        program_run(dir, "data", data, "--verify", "--html", page, "--tile", "32", NULL);
    ck_assert_int_eq(r.code, 1);
    program_result_free(&r);
    char *text = program_text(page);
    ck_assert_ptr_nonnull(strstr(text, "data:image/png;base64,"));
    ck_assert_ptr_nonnull(strstr(text, "a&lt;b&gt;.jpg"));
    ck_assert_ptr_null(strstr(text, "a<b>"));
    base_free(text);
}
END_TEST

START_TEST(eval_predict_and_train_keep_lists)
{
    const vit_config config = sample_config(false);
    char *out = test_path(dir, "run");

    sample_model_save(model, &config, sample_labels);
    put_image("damaged.jpg", "green/damaged.jpg");
    put_image("page.html", "red/page.jpg");
    program_done(program_run(dir, "eval", model, "--data", data, "--bad-samples", "skip",
                             "--bad-list", list, NULL));
    char *of_eval = program_text(list);
    ck_assert_ptr_nonnull(strstr(of_eval, "/green/damaged.jpg\tcorrupt: "));
    ck_assert_ptr_nonnull(strstr(of_eval, "/red/page.jpg\tunknown format\n"));
    program_result r =
        program_run(dir, "predict", model, "--data", data, "--bad-list", list, NULL);
    ck_assert_int_eq(r.code, 1);
    program_result_free(&r);
    char *of_predict = program_text(list);
    ck_assert_str_eq(of_eval, of_predict);
    r = program_run(dir, "eval", model, "--data", data, "--bad-samples", "skip", "--strict",
                    NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "damaged sample: "));
    program_result_free(&r);
    r = program_run(dir, "train", "--data", data, "--val", data, "--set", "data.image=8",
                    "model.patch=4", "model.width=8", "model.depth=2", "model.heads=2",
                    "model.mlp=8", "train.max_steps=5", "train.batch=4", "--threads", "1",
                    "--bad-list", list, "--out", out, NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    program_result_free(&r);
    char *of_train = program_text(list);
    ck_assert_ptr_nonnull(strstr(of_train, "bad\t"));
    ck_assert_ptr_nonnull(strstr(of_train, "/red/page.jpg\tunknown format\n"));
    base_folder_remove(out, NULL);
    r = program_run(dir, "train", "--data", data, "--val", data, "--set", "data.image=8",
                    "model.patch=4", "model.width=8", "model.depth=2", "model.heads=2",
                    "model.mlp=8", "train.epochs=2", "train.batch=4", "--threads", "1",
                    "--strict", "--out", out, NULL);
    ck_assert_int_eq(r.code, 1);
    program_result_free(&r);
    base_free(of_eval);
    base_free(of_predict);
    base_free(of_train);
    base_free(out);
}
END_TEST

START_TEST(wrong_usage_is_refused)
{
    program_refused(program_run(dir, "data", NULL), 2, "DATA");
    program_refused(program_run(dir, "data", data, "--tile", "3", NULL), 2, "--tile");
    program_refused(program_run(dir, "data", "/nowhere/at/all", NULL), 1, "cannot open");
    program_refused(program_run(dir, "data", data, "--sheet", "/nowhere/x.png", NULL), 1,
                    "/nowhere/x.png");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_data");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_test(core, a_sound_set_is_described);
    tcase_add_test(core, verify_names_what_is_broken);
    tcase_add_test(core, the_document_holds_all_that_is_shown);
    tcase_add_test(core, strict_counts_what_is_damaged);
    tcase_add_test(core, many_classes_are_cut_and_shown_on_demand);
    tcase_add_test(core, output_does_not_depend_on_threads);
    tcase_add_test(core, tiles_stand_in_rows_with_their_labels);
    tcase_add_test(core, the_page_shows_pictures_and_escapes_names);
    tcase_add_test(core, eval_predict_and_train_keep_lists);
    tcase_add_test(core, wrong_usage_is_refused);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
