/* test_app_corrupt.c - vmoe corrupt as a user runs it: the tree, its manifest, going on,
 * refusals. */
#include <signal.h>
#include <time.h>

#include "corrupt/corrupt.h"
#include "show/show.h"
#include "tests/test_command.h"
#include "tests/test_pixels.h"
#include "tests/test_run.h"

static char *tree;

static void setup(void)
{
    command_folder();
    tree = command_path("tree");
}

/* Runs with size 8 from 9 and PNG files; the words of one more option with its value. */
static void write_tree(const char *names, const char *severities, const char *option,
                       const char *value)
{
    program_done(program_run(dir, "corrupt", "--data", data, "--out", tree, "--size", "8",
                             "--resize", "9", "--format", "png", "--corrupt", names,
                             "--severity", severities, "--json", json, option, value,
                             NULL));
}

/* Files below a folder, and how many of them end in ".part". */
static size_t count_files(const char *folder, size_t *parts)
{
    char *words = base_text("find '%s' -type f", folder);
    FILE *list = popen(words, "r");
    char line[4096];
    size_t count = 0;

    ck_assert_ptr_nonnull(list);
    while (fgets(line, sizeof line, list)) {
        count++;
        if (parts && strstr(line, ".part\n"))
            ++*parts;
    }
    pclose(list);
    base_free(words);
    return count;
}

/* What the library makes of a source image under the key of a name; severity 0: clean. */
static void expected_make(data_image *out, const char *path, const char *name,
                          corrupt_kind kind, int severity)
{
    corrupt_config config = corrupt_config_defaults();
    corrupt_set *set = NULL;
    corrupt_worker *worker = NULL;
    data_image in = {0}, crop = {0};
    data_scratch scratch = {0};
    base_error err = {0};

    config.preset = corrupt_preset_of_size(8, 8);
    pixels_of(&in, path);
    ck_assert_int_eq(
        data_eval_transform(&crop, &in, 9, 8, DATA_FILTER_BILINEAR, &scratch, &err),
        BASE_OK);
    ck_assert_int_eq(corrupt_set_create(&set, &config, &err), BASE_OK);
    ck_assert_int_eq(corrupt_worker_create(&worker, set, &err), BASE_OK);
    ck_assert_int_eq(data_image_reserve(out, 8, 8, 3, &err), BASE_OK);
    if (severity == 0)
        memcpy(out->pixels, crop.pixels, 8 * 8 * 3);
    else
        ck_assert_int_eq(corrupt_apply(worker, out->pixels, crop.pixels, 8, 8, kind,
                                       severity, corrupt_name_key(name), &err),
                         BASE_OK);
    corrupt_worker_destroy(worker);
    corrupt_set_destroy(set);
    data_image_destroy(&in);
    data_image_destroy(&crop);
    data_scratch_destroy(&scratch);
}

START_TEST(every_image_has_a_file_for_each_pair)
{
    static const char *const there[] = {
        "tree/fog/2/blue/0.png", "tree/fog/3/red/3.png", "tree/clean/0/green/1.png",
        "tree/gaussian_blur/2/green/2.png", "tree/manifest.txt"};

    write_tree("fog,clean,gaussian_blur", "2-3", NULL, NULL);
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++) {
        char *path = test_path(dir, there[i]);

        ck_assert_msg(test_exists(path), "no '%s'", there[i]);
        base_free(path);
    }
    ck_assert_uint_eq(count_files(tree, NULL), 5 * SAMPLE_COUNT + 1);
    json_t *r = program_json(json);
    ck_assert_double_eq(json_number_of(r, "samples"), SAMPLE_COUNT);
    ck_assert_double_eq(json_number_of(r, "written"), 5 * SAMPLE_COUNT);
    ck_assert_double_eq(json_number_of(r, "kept"), 0);
    json_decref(r);
}
END_TEST

START_TEST(the_pixels_are_those_of_the_library)
{
    static const corrupt_kind kinds[] = {CORRUPT_KIND_GAUSSIAN_NOISE, CORRUPT_KIND_FROST,
                                         CORRUPT_KIND_ELASTIC_TRANSFORM};
    char *source = test_path(data, "green/2.png");

    write_tree("gaussian_noise,frost,elastic_transform", "4", NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        char *path = base_text("%s/%s/4/green/2.png", tree, corrupt_kind_name(kinds[i]));
        data_image found = {0}, wanted = {0};

        pixels_of(&found, path);
        expected_make(&wanted, source, "green/2.png", kinds[i], 4);
        ck_assert_uint_eq(found.width, 8);
        ck_assert_mem_eq(found.pixels, wanted.pixels, 8 * 8 * 3);
        data_image_destroy(&found);
        data_image_destroy(&wanted);
        base_free(path);
    }
    base_free(source);
}
END_TEST

START_TEST(threads_and_neighbours_change_nothing)
{
    char *alone = test_path(dir, "alone"), *one = test_path(dir, "alone/red"),
         *file = test_path(one, "1.png"), *other = test_path(dir, "other");
    size_t bytes = 0;
    char *wanted = NULL;

    write_tree("impulse_noise", "5", "--threads", "2");
    ck_assert_int_eq(base_folder_make(one, NULL), BASE_OK);
    sample_picture_save(file, 2, 1);
    program_done(program_run(dir, "corrupt", "--data", alone, "--out", other, "--size", "8",
                             "--resize", "9", "--format", "png", "--corrupt",
                             "impulse_noise", "--threads", "1", NULL));
    char *a = test_path(tree, "impulse_noise/5/red/1.png");
    char *b = test_path(other, "impulse_noise/5/red/1.png");
    ck_assert_int_eq(base_file_read(&wanted, &bytes, a, 1 << 20, NULL), BASE_OK);
    char *found = NULL;
    size_t found_bytes = 0;
    ck_assert_int_eq(base_file_read(&found, &found_bytes, b, 1 << 20, NULL), BASE_OK);
    ck_assert_uint_eq(found_bytes, bytes);
    ck_assert_mem_eq(found, wanted, bytes);
    base_free(found);
    base_free(wanted);
    base_free(a);
    base_free(b);
    base_free(alone);
    base_free(one);
    base_free(file);
    base_free(other);
}
END_TEST

START_TEST(the_manifest_says_how_it_was_made)
{
    static const char *const lines[] = {"frost textures: procedural v1\n",
                                        "size: 8\n",
                                        "resize: 9\n",
                                        "format: png\n",
                                        "preset: 32\n",
                                        "corruptions: clean 0; snow 1 5\n",
                                        "state: complete\n"};
    char *path = test_path(tree, "manifest.txt");

    write_tree("snow,clean", "1,5", NULL, NULL);
    char *text = program_text(path);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ck_assert_msg(strstr(text, lines[i]) != NULL, "no '%s' in:\n%s", lines[i], text);
    base_free(text);
    base_free(path);
}
END_TEST

/* Photographs of frost are told by a number of their pixels; with others the tree is
 * another one. */
START_TEST(photographs_of_frost_are_part_of_the_settings)
{
    static const char *const names[] = {"frost1.png", "frost2.png", "frost3.png",
                                        "frost4.jpg", "frost5.jpg"};
    char *frost = test_path(dir, "frost"), *path = test_path(tree, "manifest.txt");

    ck_assert_int_eq(base_folder_make(frost, NULL), BASE_OK);
    for (size_t i = 0; i < 5; i++) {
        char *file = test_path(frost, names[i]);
        sample_picture_save(file, 2, i);
        base_free(file);
    }
    write_tree("frost", "1", "--frost-dir", frost);
    json_t *r = program_json(json);
    ck_assert_str_eq(json_string_value(json_object_get(r, "frost_textures")), "originals");
    json_decref(r);
    char *text = program_text(path);
    ck_assert_ptr_nonnull(strstr(text, "\nfrost textures: originals "));
    write_tree("frost", "1", "--frost-dir", frost); /* goes on */
    char *other = test_path(frost, names[4]);
    sample_picture_save(other, 2, 9);
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--size",
                                "8", "--resize", "9", "--format", "png", "--corrupt",
                                "frost", "--frost-dir", frost, NULL),
                    1, "says 'frost textures: originals ");
    base_free(other);
    base_free(text);
    base_free(path);
    base_free(frost);
}
END_TEST

START_TEST(finished_files_are_kept)
{
    char *cut = test_path(tree, "contrast/1/blue/0.png");
    char *gone = test_path(tree, "contrast/1/red/2.png");
    char *part = test_path(tree, "contrast/1/red/2.png.part");
    char *before = NULL, *after = NULL;
    size_t bytes = 0, again = 0, parts = 0;

    write_tree("contrast", "1", NULL, NULL);
    ck_assert_int_eq(base_file_read(&before, &bytes, cut, 1 << 20, NULL), BASE_OK);
    ck_assert_int_eq(truncate(cut, (off_t)bytes - 3), 0);
    ck_assert_int_eq(rename(gone, part), 0);
    write_tree("contrast,fog", "1", NULL, NULL); /* more may join */
    json_t *r = program_json(json);
    ck_assert_double_eq(json_number_of(r, "kept"), SAMPLE_COUNT - 2);
    ck_assert_double_eq(json_number_of(r, "written"), SAMPLE_COUNT + 2);
    json_decref(r);
    ck_assert_int_eq(base_file_read(&after, &again, cut, 1 << 20, NULL), BASE_OK);
    ck_assert_uint_eq(again, bytes);
    ck_assert_mem_eq(after, before, bytes);
    ck_assert_uint_eq(count_files(tree, &parts), 2 * SAMPLE_COUNT + 1);
    ck_assert_uint_eq(parts, 0);
    base_free(before);
    base_free(after);
    base_free(cut);
    base_free(gone);
    base_free(part);
}
END_TEST

START_TEST(jpeg_files_keep_their_name_and_get_another_ending)
{
    char *path = test_path(tree, "pixelate/2/blue/1.JPEG");
    char *text = NULL;
    size_t bytes = 0;

    program_done(program_run(dir, "corrupt", "--data", data, "--out", tree, "--size", "8",
                             "--corrupt", "pixelate", "--severity", "2", NULL));
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
    ck_assert_mem_eq(text, "\xff\xd8\xff", 3);
    /* Quality 85: the first entry of the luma table, 16, becomes (16 * 30 + 50) / 100. */
    const char *table = memmem(text, bytes, "\xff\xdb", 2);
    ck_assert_ptr_nonnull(table);
    ck_assert_int_eq(table[5], 5);
    base_free(text);
    base_free(path);
}
END_TEST

START_TEST(the_sheet_shows_every_pair)
{
    char *sheet = test_path(dir, "sheet.png"), *file = test_path(data, "red/0.png");
    data_image image = {0};

    program_result r = program_run(dir, "corrupt", "--sheet", sheet, "--sheet-image", file,
                                   "--size", "8", "--corrupt", "blur", "--severity", "1,3",
                                   "--tile", "32", "--json", json, NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "procedural v1"));
    ck_assert_ptr_nonnull(strstr(r.out, "32, the nearest to 8 pixels"));
    program_result_free(&r);
    json_t *j = program_json(json);
    ck_assert_str_eq(json_string_value(json_object_get(j, "sheet")), sheet);
    ck_assert_str_eq(json_string_value(json_object_get(j, "frost_textures")),
                     "procedural v1");
    ck_assert_ptr_null(json_object_get(j, "written")); /* there is no tree */
    json_decref(j);
    pixels_of(&image, sheet);
    ck_assert_uint_gt(image.width, 3 * 32);
    ck_assert_uint_ge(image.height, 4 * 32);
    ck_assert_uint_lt(image.height, 5 * 36 + 32);
    data_image_destroy(&image);
    base_free(sheet);
    base_free(file);
}
END_TEST

/* A sheet by its own rules: 8 pixels around, 4 between, 8 more behind the clean column;
 * names in two lines at half height, letters twice as large from 64 pixels on. */
static void sheet_check(size_t tile)
{
    static const corrupt_kind kinds[] = {CORRUPT_KIND_GAUSSIAN_NOISE, CORRUPT_KIND_FOG};
    static const char *const names[][2] = {{"gaussian", "noise"}, {"fog", NULL}},
                             *const heads[] = {"clean", "1", "4"};
    static const int severities[] = {0, 1, 4};
    const size_t scale = tile >= 64 ? 2 : 1, high = 9 * scale, wide = 6 * scale,
                 left = 8 + strlen("gaussian") * wide, top = 8 + 11 * scale,
                 width = left + 2 * (tile + 4) + 8 + tile + 8,
                 height = top + 2 * (tile + 4) + 9 + 8;
    char *sheet = test_path(dir, "sheet.png"), *file = test_path(data, "red/0.png");
    char *number = base_text("%zu", tile);
    data_image got = {0}, want = {0};

    program_done(program_run(dir, "corrupt", "--sheet", sheet, "--sheet-image", file,
                             "--size", "8", "--resize", "9", "--corrupt",
                             "gaussian_noise,fog", "--severity", "1,4", "--tile", number,
                             "--threads", "2", NULL));
    pixels_of(&got, sheet);
    ck_assert_int_eq(data_image_reserve(&want, width, height, 3, NULL), BASE_OK);
    memset(want.pixels, 255, width * height * 3);
    for (size_t c = 0; c < 3; c++) {
        const size_t at = left + c * (tile + 4) + (c > 0 ? 8 : 0),
                     letters = strlen(heads[c]) * wide;
        show_label_draw(&want, heads[c], at + (letters < tile ? (tile - letters) / 2 : 0),
                        8, scale, 40);
        for (size_t r = 0; r < 2; r++) {
            data_image picture = {0}, large = {0};
            data_scratch scratch = {0};
            expected_make(&picture, file, "0.png", kinds[r], severities[c]);
            ck_assert_int_eq(data_resize(&large, &picture, NULL, tile, tile, NULL,
                                         DATA_FILTER_BICUBIC, &scratch, NULL),
                             BASE_OK);
            show_image_put(&want, &large, at, top + r * (tile + 4));
            data_image_destroy(&picture);
            data_image_destroy(&large);
            data_scratch_destroy(&scratch);
        }
    }
    for (size_t r = 0; r < 2; r++) {
        const size_t lines = names[r][1] ? 2 : 1,
                     at = top + r * (tile + 4) +
                          (tile > lines * high ? (tile - lines * high) / 2 : 0);
        for (size_t l = 0; l < lines; l++)
            show_label_draw(&want, names[r][l], 8, at + l * high, scale, 40);
    }
    show_label_draw(&want,
                    "frost textures: procedural v1; parameters: table 32, the nearest to 8 "
                    "pixels",
                    8, top + 2 * (tile + 4), 1, 40);
    pixels_are(&got, &want);
    data_image_destroy(&got);
    data_image_destroy(&want);
    base_free(number);
    base_free(sheet);
    base_free(file);
}

START_TEST(the_sheet_is_laid_out_by_rule)
{
    static const size_t tiles[] = {16, 30, 63, 64};

    for (size_t i = 0; i < sizeof tiles / sizeof tiles[0]; i++)
        sheet_check(tiles[i]);
}
END_TEST

START_TEST(one_picture_is_that_of_the_tree)
{
    char *file = test_path(data, "red/0.png"), *out = test_path(dir, "one.png");
    char *of_tree = test_path(tree, "contrast/2/red/0.png");
    data_image one = {0}, other = {0};

    write_tree("contrast", "2", NULL, NULL);
    program_done(program_run(dir, "corrupt", file, "--corrupt", "contrast", "--severity",
                             "2", "--size", "8", "--resize", "9", "--out", out, NULL));
    pixels_of(&one, out);
    pixels_of(&other, of_tree);
    ck_assert_uint_eq(one.width, 8);
    ck_assert_mem_eq(one.pixels, other.pixels, 8 * 8 * 3);
    program_refused(program_run(dir, "corrupt", file, "--corrupt", "contrast", "--size",
                                "8", "--out", out, NULL),
                    2, "5 are selected");
    program_refused(program_run(dir, "corrupt", file, "--data", data, "--out", out, NULL),
                    2, "--data");
    program_refused(program_run(dir, "corrupt", file, "--corrupt", "fog", "--severity", "1",
                                "--size", "8", "--resize", "0", "--out", out, NULL),
                    1, "red/0.png': 12 x 10 pixels, expected 8 x 8 with --resize 0");
    program_refused(program_run(dir, "corrupt", file, "--corrupt", "fog", NULL), 2,
                    "--out FILE");
    data_image_destroy(&one);
    data_image_destroy(&other);
    base_free(file);
    base_free(out);
    base_free(of_tree);
}
END_TEST

START_TEST(an_interruption_keeps_what_is_whole)
{
    char *manifest = test_path(tree, "manifest.txt"), *first = test_path(tree, "fog");
    const char *program = getenv("VMOE_PROGRAM");
    const struct timespec moment = {.tv_nsec = 5000000};
    int state = 0;
    size_t parts = 0, whole = 0;

    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const int nowhere = open("/dev/null", O_WRONLY);

        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execl(program ? program : "vmoe", "vmoe", "corrupt", "--data", data, "--out", tree,
              "--size", "640", "--corrupt", "fog", "all", "--quiet", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 20000 && whole < 2; i++) { /* manifest and a first picture */
        nanosleep(&moment, NULL);
        parts = 0;
        if (test_exists(first))
            whole = count_files(tree, &parts) - parts;
    }
    parts = 0;
    ck_assert_int_eq(kill(child, SIGINT), 0);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_int_eq(WIFEXITED(state) ? WEXITSTATUS(state) : -1, 1);
    ck_assert_uint_gt(count_files(tree, &parts), 1);
    ck_assert_uint_eq(parts, 0);
    char *text = program_text(manifest);
    ck_assert_ptr_nonnull(strstr(text, "state: unfinished\n"));
    base_free(text);
    base_free(manifest);
    base_free(first);
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
    program_refused(program_run(dir, "corrupt", "--data", data, NULL), 2, "--out");
    program_refused(program_run(dir, "corrupt", "--out", tree, NULL), 2, "--data");
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--corrupt",
                                "gausian_noise", NULL),
                    2, "did you mean 'gaussian_noise'");
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--corrupt",
                                "fog,", "snow,,fog", NULL),
                    2, "empty word");
    program_refused(
        program_run(dir, "corrupt", "--data", data, "--out", tree, "--severity", "6", NULL),
        2, "severity '6'");
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--severity",
                                "3-1", NULL),
                    2, "severity '3-1'");
    program_refused(
        program_run(dir, "corrupt", "--data", data, "--out", tree, "--format", "gif", NULL),
        2, "jpeg|png");
    ck_assert(!test_exists(tree));
}
END_TEST

START_TEST(other_settings_are_refused)
{
    write_tree("fog", "1", NULL, NULL);
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--size",
                                "8", "--resize", "9", "--format", "png", "--corrupt", "fog",
                                "--seed", "5", NULL),
                    1, "seed: 0");
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--size",
                                "8", "--resize", "9", "--corrupt", "fog", NULL),
                    1, "format: png");
    char *manifest = test_path(tree, "manifest.txt");
    ck_assert_int_eq(unlink(manifest), 0);
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--size",
                                "8", "--corrupt", "fog", NULL),
                    1, "manifest.txt");
    base_free(manifest);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
    char *frost = test_path(dir, "frost"), *file = test_path(data, "blue/0.png");
    char *below = test_path(file, "tree");

    ck_assert_int_eq(base_folder_make(frost, NULL), BASE_OK);
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--corrupt",
                                "frost", "--frost-dir", frost, NULL),
                    1, "frost1.png");
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", below, "--corrupt",
                                "fog", NULL),
                    1, "blue/0.png");
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--resize",
                                "0", "--size", "8", "--corrupt", "fog", "--quiet", NULL),
                    1, "12 x 10 pixels, expected 8 x 8");
    /* three photographs, and one that is damaged */
    const char *tests = getenv("VMOE_TESTS");
    char *damaged = base_text("%s/fuzz/image/damaged.jpg", tests ? tests : "tests"),
         *fourth = test_path(frost, "frost4.jpg"), *bytes = NULL;
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        char *photograph = base_text("%s/frost%zu.png", frost, i + 1);
        sample_picture_save(photograph, 1, i);
        base_free(photograph);
    }
    ck_assert_int_eq(base_file_read(&bytes, &count, damaged, 1 << 20, NULL), BASE_OK);
    test_write(fourth, bytes, count);
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--corrupt",
                                "frost", "--frost-dir", frost, NULL),
                    1, "frost4.jpg' is damaged");
    base_free(bytes);
    base_free(damaged);
    base_free(fourth);
    base_free(frost);
    base_free(file);
    base_free(below);
}
END_TEST

START_TEST(two_images_never_become_one_file)
{
    char *other = test_path(data, "blue/0.jpg"), *file = test_path(data, "blue/0.png");
    char *between = test_path(data, "blue/0.m.png"), *bytes = NULL;
    size_t count = 0;

    ck_assert_int_eq(base_file_read(&bytes, &count, file, 1 << 20, NULL), BASE_OK);
    test_write(other, bytes, count);
    test_write(between, bytes, count); /* the two are no neighbours */
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--corrupt",
                                "fog", "--size", "8", "--quiet", "--format", "png", NULL),
                    1, "same file");
    base_free(bytes);
    base_free(between);
    base_free(other);
    base_free(file);
}
END_TEST

START_TEST(a_bad_image_stops_or_is_left_out)
{
    char *file = test_path(data, "blue/0.png");

    test_write(file, "no picture", 10);
    program_refused(program_run(dir, "corrupt", "--data", data, "--out", tree, "--corrupt",
                                "fog", "--size", "8", "--quiet", NULL),
                    1, "blue/0.png");
    json_t *r = COMMAND_JSON("corrupt", "--data", data, "--out", tree, "--corrupt", "fog",
                             "--size", "8", "--bad-samples", "skip");
    ck_assert_double_eq(json_number_of(r, "bad"), 1);
    ck_assert_double_eq(json_number_of(r, "samples"), SAMPLE_COUNT - 1);
    json_decref(r);
    base_free(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_corrupt");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_test(core, every_image_has_a_file_for_each_pair);
    tcase_add_test(core, the_pixels_are_those_of_the_library);
    tcase_add_test(core, threads_and_neighbours_change_nothing);
    tcase_add_test(core, the_manifest_says_how_it_was_made);
    tcase_add_test(core, photographs_of_frost_are_part_of_the_settings);
    tcase_add_test(core, finished_files_are_kept);
    tcase_add_test(core, jpeg_files_keep_their_name_and_get_another_ending);
    tcase_add_test(core, the_sheet_shows_every_pair);
    tcase_add_test(core, the_sheet_is_laid_out_by_rule);
    tcase_add_test(core, one_picture_is_that_of_the_tree);
    tcase_add_test(core, an_interruption_keeps_what_is_whole);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(limits, wrong_usage_is_status_2);
    tcase_add_test(limits, other_settings_are_refused);
    tcase_add_test(limits, what_is_missing_is_named);
    tcase_add_test(limits, two_images_never_become_one_file);
    tcase_add_test(limits, a_bad_image_stops_or_is_left_out);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
