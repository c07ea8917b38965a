/* test_app_eval_corrupt.c - figures of vmoe eval under corruption: on the fly beside files,
 * metrics, routing, refusals. */
#include <dirent.h>
#include <math.h>

#include "measure/measure.h"
#include "corrupt/corrupt.h"
#include "show/show.h"
#include "tests/test_eval_corrupt.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static char *tree;

static void setup(void)
{
    command_setup(true);
    tree = command_path("tree");
}

static void write_tree(const char *names, const char *severities, const char *format)
{
    program_done(program_run(dir, "corrupt", "--data", data, "--out", tree, "--size", "8",
                             "--resize", "9", "--format", format, "--corrupt", names,
                             "--severity", severities, NULL));
}

/* The same cells with the same figures; a product may be summed in another order. */
static void cells_equal(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"severity", "samples", "error", "loss", "ece"};
    const json_t *x = json_object_get(robust_of(a), "cells");
    const json_t *y = json_object_get(robust_of(b), "cells");

    ck_assert_uint_gt(json_array_size(x), 0);
    ck_assert_uint_eq(json_array_size(x), json_array_size(y));
    for (size_t i = 0; i < json_array_size(x); i++) {
        const json_t *p = json_array_get(x, i), *q = json_array_get(y, i);

        ck_assert_str_eq(json_string_value(json_object_get(p, "corruption")),
                         json_string_value(json_object_get(q, "corruption")));
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            ck_assert_double_eq_tol(json_number_of(p, keys[k]), json_number_of(q, keys[k]),
                                    1e-5);
    }
}

START_TEST(on_the_fly_equals_the_png_tree)
{
    write_tree("shot_noise,fog,frost,saturate", "2,5", "png");
    json_t *a = evaluate("--corrupt", "shot_noise,fog,frost,saturate", "--severity", "2,5");
    json_t *b = evaluate("--imagenet-c", tree, NULL, NULL);
    cells_equal(a, b);
    ck_assert(json_is_null(json_object_get(robust_of(a), "tree")));
    ck_assert_str_eq(json_string_value(json_object_get(robust_of(b), "tree")), tree);
    json_decref(a);
    json_decref(b);
}
END_TEST

/* All files below folder go into the tar under their names below tree. */
static void pack(FILE *tar, const char *folder)
{
    struct dirent **entry = NULL;
    const int count = scandir(folder, &entry, NULL, alphasort);

    ck_assert_int_ge(count, 0);
    for (int i = 0; i < count; i++) {
        char *path = test_path(folder, entry[i]->d_name), *bytes = NULL;
        struct stat info;
        size_t size = 0;

        ck_assert_int_eq(stat(path, &info), 0);
        if (entry[i]->d_name[0] == '.') {
            size = 0;
        } else if (S_ISDIR(info.st_mode)) {
            pack(tar, path);
        } else {
            ck_assert_int_eq(base_file_read(&bytes, &size, path, 1 << 20, NULL), BASE_OK);
            set_member(tar, path + strlen(tree) + 1, '0', bytes, size);
        }
        base_free(bytes);
        base_free(path);
        free(entry[i]);
    }
    free(entry);
}

START_TEST(a_tar_of_the_tree_gives_its_figures)
{
    char *packed;
    FILE *file = set_tar_open(&packed, dir, "noise.tar");

    write_tree("shot_noise,fog", "2,5", "png");
    pack(file, tree);
    set_tar_end(file);
    json_t *a = evaluate("--imagenet-c", tree, NULL, NULL);
    json_t *b = evaluate("--imagenet-c", packed, NULL, NULL);
    cells_equal(a, b);
    json_decref(a);
    json_decref(b);
    char *run = test_path(dir, "run");
    program_refused(
        program_run(dir, "train", "--data", packed, "--val", packed, "--out", run, NULL), 2,
        "is an ImageNet-C tree");
    base_free(run);
    base_free(packed);
}
END_TEST

/* Pictures of 8 pixels: no table is of that size, the nearest is that of 32, and the
 * document and the table say so; a table that was asked for is not excused. */
START_TEST(the_nearest_table_is_taken_and_told)
{
    for (int asked = 0; asked < 2; asked++) {
        program_result r =
            program_run(dir, "eval", model, "--data", data, "--corrupt", "contrast",
                        "--preset", asked ? "224" : "auto", NULL);
        ck_assert_int_eq(r.code, 0);
        ck_assert_ptr_nonnull(strstr(
            r.out,
            asked ? "frost textures: procedural v1; parameters: table 224\n"
                  : "frost textures: procedural v1; parameters: table 32, the nearest to "
                    "8 pixels\n"));
        program_result_free(&r);
    }
    json_t *a = evaluate("--corrupt", "contrast", NULL, NULL);
    json_t *b = evaluate("--corrupt", "contrast", "--preset", "32");
    json_t *c = evaluate("--corrupt", "contrast", "--preset", "224");
    cells_equal(a, b);
    ck_assert_str_eq(json_string_value(json_object_get(robust_of(a), "preset")), "32");
    ck_assert_double_eq(json_number_of(robust_of(a), "preset_nearest_to"), 8);
    ck_assert(json_is_null(json_object_get(robust_of(b), "preset_nearest_to")));
    ck_assert_str_eq(json_string_value(json_object_get(robust_of(c), "preset")), "224");
    json_decref(a);
    json_decref(b);
    json_decref(c);
}
END_TEST

START_TEST(with_jpeg_it_equals_the_jpeg_tree)
{
    write_tree("gaussian_noise,contrast", "1", "jpeg");
    json_t *a = COMMAND_JSON("eval", model, "--data", data, "--corrupt",
                             "gaussian_noise,contrast", "--severity", "1", "--jpeg", "85");
    json_t *b = evaluate("--imagenet-c", tree, NULL, NULL);
    cells_equal(a, b);
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(the_clean_figures_stay_what_they_were)
{
    static const char *const keys[] = {"top1", "loss", "ece", "samples"};
    json_t *a = evaluate(NULL, NULL, NULL, NULL);
    json_t *b = evaluate("--corrupt", "contrast", "--severity", "5");

    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        ck_assert_double_eq(json_number_of(a, keys[k]), json_number_of(b, keys[k]));
    ck_assert_ptr_null(json_object_get(a, "robust"));
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(batch_and_threads_change_nothing)
{
    json_t *a = evaluate("--corrupt", "snow,glass_blur,spatter", "--batch", "5");
    json_t *b = evaluate("--corrupt", "snow,glass_blur,spatter", "--threads", "1");

    cells_equal(a, b);
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(mce_follows_from_the_cells)
{
    double ours[CORRUPT_BENCH_COUNT] = {0}, theirs = 0, sum = 0, relative = 0;
    json_t *e = evaluate("--corrupt", "all", "--alexnet-clean", "0.4");
    const json_t *r = robust_of(e), *cells = json_object_get(r, "cells");
    const double clean = 1 - json_number_of(e, "top1");
    size_t i = 0;

    ck_assert_uint_eq(json_array_size(cells), CORRUPT_KIND_COUNT * CORRUPT_SEVERITY_MAX);
    for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++) {
        theirs = 0;
        for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++, i++) {
            ours[k] += json_number_of(json_array_get(cells, i), "error");
            theirs += corrupt_alexnet_error((corrupt_kind)k, s);
        }
        sum += ours[k] / theirs / CORRUPT_BENCH_COUNT;
        relative += (ours[k] - CORRUPT_SEVERITY_MAX * clean) /
                    (theirs - CORRUPT_SEVERITY_MAX * 0.4) / CORRUPT_BENCH_COUNT;
    }
    ck_assert_double_eq_tol(json_number_of(r, "mce"), sum, 1e-6);
    ck_assert_double_eq_tol(json_number_of(r, "relative_mce"), relative, 1e-6);
    ck_assert(json_is_false(json_object_get(r, "comparable"))); /* three classes */
    ck_assert_uint_eq(json_array_size(json_object_get(r, "corruptions")),
                      CORRUPT_KIND_COUNT);
    json_decref(e);
}
END_TEST

/* The expected calibration error of a corruption is the mean of its severities'. */
START_TEST(ece_of_a_corruption_is_the_mean_of_its_severities)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--corrupt", "fog,snow",
                             "--severity", "1,3,5");
    const json_t *r = robust_of(e), *cells = json_object_get(r, "cells");

    for (size_t k = 0; k < 2; k++) {
        const json_t *kind = json_array_get(json_object_get(r, "corruptions"), k);
        double sum = 0, first = json_number_of(json_array_get(cells, 3 * k), "ece");
        bool differ = false;

        for (size_t s = 0; s < 3; s++) {
            const json_t *cell = json_array_get(cells, 3 * k + s);
            ck_assert_str_eq(show_json_string(cell, "corruption"),
                             show_json_string(kind, "name"));
            sum += json_number_of(cell, "ece");
            differ = differ || fabs(json_number_of(cell, "ece") - first) > 1e-4;
        }
        ck_assert(differ); /* else any of them would do */
        ck_assert_double_eq_tol(json_number_of(kind, "ece"), sum / 3, 1e-6);
    }
    json_decref(e);
}
END_TEST

/* Each cell has as many right answers as without the image, of one image more. */
START_TEST(a_bad_image_is_wrong_under_every_corruption)
{
    char *bad = test_path(data, "red/1.png");
    json_t *e[2];

    test_write(bad, "no picture", 10);
    for (int without = 0; without < 2; without++) {
        e[without] =
            COMMAND_JSON("eval", model, "--data", data, "--corrupt", "contrast,fog",
                         "--severity", "1,4", "--bad-samples", "skip");
        ck_assert_int_eq(unlink(bad), without ? -1 : 0);
    }
    for (size_t c = 0; c < 4; c++) {
        const json_t *with = json_array_get(json_object_get(robust_of(e[0]), "cells"), c),
                     *none = json_array_get(json_object_get(robust_of(e[1]), "cells"), c);
        ck_assert_double_eq(json_number_of(with, "samples"), SAMPLE_COUNT);
        ck_assert_double_eq(json_number_of(none, "samples"), SAMPLE_COUNT - 1);
        ck_assert_double_eq_tol(json_number_of(with, "top1") * SAMPLE_COUNT,
                                json_number_of(none, "top1") * (SAMPLE_COUNT - 1), 1e-6);
        ck_assert_double_eq_tol(json_number_of(with, "error"),
                                1 - json_number_of(with, "top1"), 1e-6);
    }
    json_decref(e[0]);
    json_decref(e[1]);
    base_free(bad);
}
END_TEST

START_TEST(an_incomplete_benchmark_has_no_mce)
{
    json_t *e = evaluate("--corrupt", "clean", "--html", page);
    ck_assert(json_is_null(json_object_get(robust_of(e), "mce")));
    ck_assert_uint_eq(json_array_size(json_object_get(robust_of(e), "cells")), 0);
    json_decref(e);
    e = evaluate("--corrupt", "noise", "--severity", "1-3");
    const json_t *r = robust_of(e);

    ck_assert(json_is_null(json_object_get(r, "mce")));
    ck_assert_uint_eq(json_array_size(json_object_get(r, "cells")), 9);
    json_decref(e);
}
END_TEST

START_TEST(routing_is_compared_with_the_clean_image)
{
    json_t *e = evaluate("--corrupt", "brightness,gaussian_noise", "--severity", "5");
    const json_t *cells = json_object_get(robust_of(e), "cells");

    for (size_t i = 0; i < 2; i++) {
        const json_t *cell = json_array_get(cells, i);
        const json_t *layer = json_array_get(json_object_get(cell, "moe"), 0);
        const json_t *all = json_object_get(layer, "agreement");

        ck_assert_double_eq(json_number_of(layer, "layer"), 1);
        ck_assert_double_ge(json_number_of(layer, "load_cv"), 0);
        ck_assert_double_lt(json_number_of(all, "overlap"), 1);
        ck_assert_double_gt(json_number_of(all, "overlap"), 0);
        ck_assert_double_gt(json_number_of(all, "shift"), 0);
        ck_assert_double_lt(json_number_of(all, "shift"), 1);
    }
    json_decref(e);
}
END_TEST

START_TEST(grey_and_dense_networks_work)
{
    vit_config config = sample_config(false);

    config.channels = 1;
    sample_model_save(model, &config, sample_labels);
    json_t *e = evaluate("--corrupt", "all", "--severity", "3");
    const json_t *cell = json_array_get(json_object_get(robust_of(e), "cells"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(cell, "moe")), 0);
    ck_assert_double_eq(json_number_of(cell, "samples"), SAMPLE_COUNT);
    json_decref(e);
}
END_TEST

/* Files of another size than the network's are brought to it, whatever the network asks of
 * other pictures; those of its size are taken as they are. */
START_TEST(files_of_another_size_are_resized)
{
    char *part = test_path(tree, "fog/2");

    ck_assert_int_eq(base_folder_make(part, NULL), BASE_OK);
    sample_folder_make(part); /* 12 x 10 pixels */
    json_t *e = evaluate("--imagenet-c", tree, NULL, NULL);
    json_t *own = evaluate("--resize", "8", NULL, NULL);
    const json_t *cell = json_array_get(json_object_get(robust_of(e), "cells"), 0);
    ck_assert_double_eq(json_number_of(cell, "samples"), SAMPLE_COUNT);
    ck_assert_double_eq_tol(json_number_of(cell, "error"), 1 - json_number_of(own, "top1"),
                            1e-9);
    ck_assert_double_eq_tol(json_number_of(cell, "loss"), json_number_of(own, "loss"),
                            1e-6);
    /* resized to 9, as the network asks for, it is another picture */
    ck_assert_double_gt(fabs(json_number_of(own, "loss") - json_number_of(e, "loss")),
                        1e-6);
    json_decref(e);
    json_decref(own);
    base_free(part);
}
END_TEST

START_TEST(wrong_words_are_refused)
{
    program_refused(
        program_run(dir, "eval", model, "--data", data, "--corrupt", "defocus", NULL), 2,
        "unknown corruption 'defocus'");
    program_refused(program_run(dir, "eval", model, "--data", data, "--corrupt", "fog",
                                "--severity", "0", NULL),
                    2, "severity '0'");
    program_refused(program_run(dir, "eval", model, "--data", data, "--corrupt", "fog",
                                "--jpeg", "101", NULL),
                    2, "--jpeg");
    program_refused(program_run(dir, "eval", model, "--data", data, "--corrupt", "frost",
                                "--frost-dir", dir, NULL),
                    1, "frost1.png");
    program_refused(
        program_run(dir, "eval", model, "--data", data, "--severity", "3", NULL), 2,
        "--severity needs --corrupt");
    program_refused(program_run(dir, "eval", model, "--data", data, "--imagenet-c", tree,
                                "--jpeg", "85", NULL),
                    2, "--jpeg");
}
END_TEST

START_TEST(an_incomplete_tree_is_named)
{
    char *file = test_path(tree, "fog/3/red/1.png");

    write_tree("fog,snow", "2-3", "png");
    program_refused(program_run(dir, "eval", model, "--data", data, "--imagenet-c", tree,
                                "--corrupt", "fog,frost", "--severity", "2", NULL),
                    1, "'frost/2'");
    program_refused(program_run(dir, "eval", model, "--data", data, "--imagenet-c", tree,
                                "--severity", "1", NULL),
                    1, "no corruption at these severities");
    ck_assert_int_eq(unlink(file), 0);
    program_refused(program_run(dir, "eval", model, "--data", data, "--imagenet-c", tree,
                                "--quiet", NULL),
                    1, "not complete");
    program_refused(
        program_run(dir, "eval", model, "--data", data, "--imagenet-c", data, NULL), 1,
        data);
    base_free(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_eval_corrupt");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_test(core, on_the_fly_equals_the_png_tree);
    tcase_add_test(core, a_tar_of_the_tree_gives_its_figures);
    tcase_add_test(core, with_jpeg_it_equals_the_jpeg_tree);
    tcase_add_test(core, the_nearest_table_is_taken_and_told);
    tcase_add_test(core, the_clean_figures_stay_what_they_were);
    tcase_add_test(core, batch_and_threads_change_nothing);
    tcase_add_test(core, mce_follows_from_the_cells);
    tcase_add_test(core, ece_of_a_corruption_is_the_mean_of_its_severities);
    tcase_add_test(core, a_bad_image_is_wrong_under_every_corruption);
    tcase_add_test(core, an_incomplete_benchmark_has_no_mce);
    tcase_add_test(core, routing_is_compared_with_the_clean_image);
    tcase_add_test(core, grey_and_dense_networks_work);
    tcase_add_test(core, files_of_another_size_are_resized);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(limits, wrong_words_are_refused);
    tcase_add_test(limits, an_incomplete_tree_is_named);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
