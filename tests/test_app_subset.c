/* test_app_subset.c - accuracy among the classes that the data has, and telling apart
 * images of none of them. */
#include <math.h>

#include "measure/measure.h"
#include "tests/test_command.h"
#include "tests/test_run.h"

static void setup(void)
{
    command_setup(false);
}

/* The logits of DATA by predict, [count, SAMPLE_CLASSES]: base_free. */
static float *logits_of(const char *spec, size_t count)
{
    char *path = test_path(dir, "logits.npy"), *bytes = NULL;
    size_t size = 0;
    float *out = base_alloc(count * SAMPLE_CLASSES, sizeof *out);

    program_done(
        program_run(dir, "predict", model, "--data", spec, "--logits", path, NULL));
    ck_assert_int_eq(base_file_read(&bytes, &size, path, 1 << 20, NULL), BASE_OK);
    ck_assert_uint_gt(size, count * SAMPLE_CLASSES * sizeof *out);
    memcpy(out, bytes + size - count * SAMPLE_CLASSES * sizeof *out,
           count * SAMPLE_CLASSES * sizeof *out);
    base_free(bytes);
    base_free(path);
    return out;
}

static double anomaly_of(const float *row, size_t classes)
{
    double largest = (double)row[0], sum = 0;

    for (size_t c = 1; c < classes; c++)
        largest = fmax(largest, (double)row[c]);
    for (size_t c = 0; c < classes; c++)
        sum += exp((double)row[c] - largest);
    return -1 / sum;
}

START_TEST(both_accuracies_are_reported_where_classes_are_missing)
{
    char *red = test_path(data, "red");
    size_t all = 0, among = 0;

    ck_assert_int_eq(base_folder_remove(red, NULL), BASE_OK);
    float *logits = logits_of(data, 8);
    for (size_t i = 0; i < 8; i++) {
        const float *row = logits + i * SAMPLE_CLASSES;
        const size_t label = i / SAMPLE_PER_CLASS;
        all += measure_arg_max(row, 3) == label;
        among += measure_arg_max(row, 2) == label;
    }
    ck_assert_uint_gt(among, all); /* else the test tests nothing */
    program_result r =
        program_run(dir, "eval", model, "--data", data, "--json", json, NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(strstr(r.out, "among the 2 classes present, of 3") != NULL, "%s", r.out);
    json_t *e = program_json(json);
    ck_assert_double_eq_tol(json_number_of(e, "top1"), (double)all / 8, 1e-12);
    const json_t *subset = json_object_get(e, "subset");
    ck_assert_double_eq_tol(json_number_of(subset, "top1"), (double)among / 8, 1e-12);
    ck_assert_double_eq(json_number_of(subset, "classes"), 2);
    ck_assert(json_is_null(json_object_get(e, "ood")));
    json_decref(e);
    program_result_free(&r);
    base_free(logits);
    base_free(red);
}
END_TEST

START_TEST(all_classes_present_need_no_second_figure)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data);
    ck_assert(json_is_null(json_object_get(e, "subset")));
    json_decref(e);
}
END_TEST

/* Images of none of the classes, in folders named as two of them. */
START_TEST(images_of_no_class_are_told_from_those_of_their_folders)
{
    char *other = test_path(dir, "o"), *path;
    double inside[12], outside[6];
    const char *const names[] = {"blue", "green"};

    for (size_t i = 0; i < 2; i++) {
        path = base_text("%s/%s", other, names[i]);
        ck_assert_int_eq(base_folder_make(path, NULL), BASE_OK);
        for (size_t k = 0; k < 3; k++) {
            char *file = base_text("%s/%zu.png", path, k);
            sample_picture_save(file, 2 - i, 50 + k);
            base_free(file);
        }
        base_free(path);
    }
    float *a = logits_of(data, SAMPLE_COUNT), *b = logits_of(other, 6);
    for (size_t i = 0; i < 8; i++) /* red is not among the folders */
        inside[i] = anomaly_of(a + i * SAMPLE_CLASSES, 2);
    for (size_t i = 0; i < 6; i++)
        outside[i] = anomaly_of(b + i * SAMPLE_CLASSES, 2);
    const measure_detection two = measure_detection_of(outside, 6, inside, 8);
    for (size_t i = 0; i < SAMPLE_COUNT; i++)
        inside[i] = anomaly_of(a + i * SAMPLE_CLASSES, 3);
    for (size_t i = 0; i < 6; i++)
        outside[i] = anomaly_of(b + i * SAMPLE_CLASSES, 3);
    const measure_detection three = measure_detection_of(outside, 6, inside, SAMPLE_COUNT);

    program_result r = program_run(dir, "eval", model, "--data", data, "--ood", other,
                                   "--json", json, "--batch", "5", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg(strstr(r.out, "told from 8 of 2 classes") != NULL, "%s", r.out);
    program_result_free(&r);
    json_t *e = program_json(json);
    const json_t *ood = json_object_get(e, "ood");
    ck_assert_double_eq_tol(json_number_of(ood, "chance"), 6 / 14.0, 1e-9);
    ck_assert_double_eq_tol(json_number_of(ood, "aupr"), two.aupr, 1e-9);
    ck_assert_double_eq_tol(json_number_of(ood, "auroc"), two.auroc, 1e-9);
    ck_assert_double_eq_tol(json_number_of(ood, "fpr95"), two.fpr95, 1e-9);
    json_decref(e);

    /* Without labels all classes count. */
    path = base_text("images:%s", other);
    e = COMMAND_JSON("eval", model, "--data", data, "--ood", path);
    ood = json_object_get(e, "ood");
    ck_assert_double_eq(json_number_of(ood, "against"), 12);
    ck_assert_double_eq_tol(json_number_of(ood, "aupr"), three.aupr, 1e-9);
    json_decref(e);
    base_free(path);
    base_free(other);
    base_free(a);
    base_free(b);
}
END_TEST

START_TEST(images_that_tell_nothing_are_refused)
{
    char *other = test_path(dir, "o"), *broken = test_path(dir, "o/blue/0.png"),
         *folder = test_path(dir, "o/blue");
    char *text = base_text("'%s': no image could be used", other);

    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    test_write(broken, "no picture", 10);
    program_refused(program_run(dir, "eval", model, "--data", data, "--ood", other,
                                "--bad-samples", "skip", "--quiet", NULL),
                    1, text);
    base_free(text);
    base_free(other);
    base_free(broken);
    base_free(folder);
}
END_TEST

START_TEST(plain_folders_can_be_predicted_but_not_evaluated)
{
    char *blue = test_path(data, "blue");

    json_t *e = COMMAND_JSON("predict", model, "--data", blue);
    ck_assert_uint_eq(json_array_size(json_object_get(e, "predictions")), 4);
    ck_assert_double_eq(json_number_of(e, "labelled"), 0);
    json_decref(e);
    program_refused(program_run(dir, "eval", model, "--data", blue, NULL), 1,
                    "holds 4 images but no class folders");
    base_free(blue);
}
END_TEST

START_TEST(a_class_map_is_taken_from_the_command_line)
{
    char *map = test_path(dir, "map.tsv");

    /* The folders have other names than the model's classes. */
    test_write(map, "azure\t0\n", 8);
    char *from = test_path(data, "blue"), *to = test_path(dir, "other/azure");
    char *other = test_path(dir, "other");
    ck_assert_int_eq(base_folder_make(other, NULL), BASE_OK);
    ck_assert_int_eq(rename(from, to), 0);
    program_refused(program_run(dir, "eval", model, "--data", other, NULL), 1,
                    "has the class 'azure', which is not among the 3 known classes");
    json_t *e = COMMAND_JSON("eval", model, "--data", other, "--class-map", map,
                             "--index-cache", "none");
    ck_assert_double_eq(json_number_of(e, "samples"), 4);
    json_decref(e);
    base_free(map);
    base_free(from);
    base_free(to);
    base_free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_subset");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_set_timeout(core, 120);
    tcase_add_test(core, both_accuracies_are_reported_where_classes_are_missing);
    tcase_add_test(core, all_classes_present_need_no_second_figure);
    tcase_add_test(core, images_of_no_class_are_told_from_those_of_their_folders);
    tcase_add_test(core, images_that_tell_nothing_are_refused);
    tcase_add_test(core, plain_folders_can_be_predicted_but_not_evaluated);
    tcase_add_test(core, a_class_map_is_taken_from_the_command_line);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
