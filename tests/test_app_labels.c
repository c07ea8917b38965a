/* test_app_labels.c - which label a picture gets and what is left out, as every command
 * says it: notices on stderr, the same keys in the results. */
#include "tests/test_program.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"
#include "tests/test_set.h"

static char *dir, *model, *json;

static void setup(void)
{
    dir = test_folder_make();
    model = test_path(dir, "model.safetensors");
    json = test_path(dir, "out.json");
}

static void teardown(void)
{
    base_free(model);
    base_free(json);
    test_folder_remove(dir);
}

/* A network of so many outputs, without names. */
static void make_network(int classes, bool sparse)
{
    vit_config config = sample_config(sparse);

    config.classes = classes;
    sample_model_save(model, &config, NULL);
}

/* set/FOLDER/i.png for i below count. */
static void make_class(const char *folder, size_t count)
{
    char *path = base_text("%s/set/%s", dir, folder);

    ck_assert_int_eq(base_folder_make(path, NULL), BASE_OK);
    for (size_t i = 0; i < count; i++) {
        char *file = base_text("%s/%zu.png", path, i);
        sample_picture_save(file, i % 3, i);
        base_free(file);
    }
    base_free(path);
}

/* ---- what is left out ---------------------------------------------------------------- */

static const char left_out[] =
    "4 names left out: 1 no image by its name, 2 of a format that is not "
    "read (1 webp, 1 gif), 1 hidden or unsafe name";

/* The line on stderr and the keys of the results; frees the result. */
static void check_told(program_result result)
{
    ck_assert_msg(result.code == 0, "%s", result.err);
    ck_assert_msg(strstr(result.err, left_out) != NULL, "%s", result.err);
    program_result_free(&result);
    json_t *found = program_json(json);
    const json_t *ignored = json_object_get(found, "ignored");
    const json_t *formats = json_object_get(found, "ignored_formats");

    ck_assert_int_eq((int)json_number_of(ignored, "no image by its name"), 1);
    ck_assert_int_eq((int)json_number_of(ignored, "of a format that is not read"), 2);
    ck_assert_int_eq((int)json_number_of(ignored, "hidden or unsafe name"), 1);
    ck_assert_int_eq((int)json_number_of(ignored, "link or device"), 0);
    ck_assert_int_eq((int)json_number_of(formats, "webp"), 1);
    ck_assert_int_eq((int)json_number_of(formats, "gif"), 1);
    ck_assert_uint_eq(json_object_size(formats), 2);
    ck_assert(json_is_string(json_object_get(found, "notice")));
    json_decref(found);
    ck_assert_int_eq(unlink(json), 0);
}

static void make_set(void)
{
    make_class("ant", 3);
    make_class("bee", 3);
    set_name_file(dir, "set/ant/a.webp");
    set_name_file(dir, "set/bee/b.gif");
    set_name_file(dir, "set/bee/notes.txt");
    set_name_file(dir, "set/bee/.hidden.png");
}

START_TEST(what_is_left_out_is_told_by_every_command)
{
    char *set = test_path(dir, "set"), *out = test_path(dir, "out");

    make_network(2, true);
    make_set();
    check_told(program_run(dir, "data", set, "--json", json, NULL));
    check_told(program_run(dir, "eval", model, "--data", set, "--json", json, NULL));
    check_told(program_run(dir, "predict", model, "--data", set, "--json", json, NULL));
    check_told(program_run(dir, "attack", model, "--data", set, "--attack", "noise",
                           "--eps", "1/255", "--checks", "off", "--out", out, "--json",
                           json, NULL));
    check_told(program_run(dir, "inspect", model, "--experts", "--data", set, "--json",
                           json, NULL));
    base_free(out);
    out = test_path(dir, "tree");
    check_told(program_run(dir, "corrupt", "--data", set, "--corrupt", "fog", "--severity",
                           "1", "--size", "8", "--resize", "8", "--out", out, "--json",
                           json, NULL));
    base_free(set);
    base_free(out);
}
END_TEST

START_TEST(a_training_tells_what_is_left_out_and_that_it_validates_with_its_own_files)
{
    static const char recipe[] = "[model]\npatch = 4\nwidth = 8\ndepth = 2\nheads = 2\n"
                                 "mlp = 8\n[data]\nimage = 8\n[train]\nbatch = 2\n"
                                 "max_steps = 1\n";
    char *set = test_path(dir, "set"), *out = test_path(dir, "run");
    char *file = test_path(dir, "recipe.ini");

    make_set();
    test_write(file, recipe, strlen(recipe));
    program_result result =
        program_run(dir, "train", "--data", set, "--val", set, "--recipe", file, "--out",
                    out, "--json", json, NULL);
    ck_assert_msg(strstr(result.err, "the same files as the training data") != NULL, "%s",
                  result.err);
    check_told(result);
    base_free(set);
    base_free(out);
    base_free(file);
}
END_TEST

/* ---- labels -------------------------------------------------------------------------- */

START_TEST(a_stray_folder_shifts_no_label)
{
    char *set = test_path(dir, "set");

    make_network(1000, false);
    make_class("n02119789", 1);
    make_class("n01440764", 1);
    set_folder(dir, "set/lost+found");
    set_folder(dir, "set/zz empty");
    program_result result =
        program_run(dir, "predict", model, "--data", set, "--json", json, NULL);
    ck_assert_int_eq(result.code, 0);
    ck_assert_msg(strstr(result.err, "'zz empty'") != NULL, "%s", result.err);
    ck_assert_msg(strstr(result.err, "global labels") != NULL, "%s", result.err);
    program_result_free(&result);
    json_t *found = program_json(json);
    const json_t *list = json_object_get(found, "predictions");
    ck_assert_uint_eq(json_array_size(list), 2);
    ck_assert_int_eq((int)json_number_of(json_array_get(list, 0), "label"), 0);
    ck_assert_int_eq((int)json_number_of(json_array_get(list, 1), "label"), 278);
    json_decref(found);

    make_class("zebra", 1);
    program_refused(program_run(dir, "eval", model, "--data", set, "--quiet", NULL), 1,
                    "has the class 'zebra'");
    program_refused(program_run(dir, "predict", model, "--data", set, "--quiet", NULL), 1,
                    "--class-map");
    base_free(set);
}
END_TEST

START_TEST(a_thousand_outputs_without_names_are_called_as_imagenets)
{
    char *picture = test_path(dir, "set/x/0.png");

    make_network(1000, false);
    make_class("x", 1);
    program_result result =
        program_run(dir, "predict", model, picture, "--top", "1000", "--json", json, NULL);
    ck_assert_int_eq(result.code, 0);
    ck_assert_msg(strstr(result.err, "as ImageNet's classes") != NULL, "%s", result.err);
    ck_assert_ptr_nonnull(strstr(result.out, " kit fox "));
    program_result_free(&result);
    json_t *found = program_json(json);
    const json_t *top =
        json_object_get(json_array_get(json_object_get(found, "predictions"), 0), "top");
    for (size_t i = 0; i < 1000; i++) {
        const json_t *one = json_array_get(top, i);
        const char *id = json_string_value(json_object_get(one, "name"));
        ck_assert_str_eq(id, data_imagenet_wnid((size_t)json_number_of(one, "class")));
        ck_assert_str_eq(json_string_value(json_object_get(one, "title")),
                         data_imagenet_name(id));
    }
    json_decref(found);
    base_free(picture);
}
END_TEST

/* Two 8 x 8 pictures for each of five severities in a NumPy pair, labels in turn. */
static void make_npy(const char *corruption)
{
    enum { COUNT = 10, BYTES = 8 * 8 * 3 };
    unsigned char images[COUNT * BYTES], labels[COUNT];
    char *name = base_text("c/%s.npy", corruption);

    for (size_t i = 0; i < COUNT; i++)
        labels[i] = (unsigned char)(i % 2);
    for (size_t i = 0; i < COUNT * BYTES; i++)
        images[i] = (unsigned char)(i * 37);
    set_npy(dir, name, "|u1", "(10, 8, 8, 3)", images, sizeof images);
    set_npy(dir, "c/labels.npy", "|u1", "(10,)", labels, sizeof labels);
    base_free(name);
}

START_TEST(pairs_of_numpy_files_are_evaluated_and_a_folder_of_them_is_a_tree)
{
    char *file = test_path(dir, "c/fog.npy"), *tree = test_path(dir, "c");

    make_network(2, false);
    make_npy("fog");
    program_done(program_run(dir, "eval", model, "--data", file, "--imagenet-c", tree,
                             "--json", json, NULL));
    json_t *found = program_json(json);
    ck_assert_int_eq((int)json_number_of(found, "samples"), 10);
    const json_t *cells = json_object_get(json_object_get(found, "robust"), "cells");
    ck_assert_uint_eq(json_array_size(cells), 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq((int)json_number_of(json_array_get(cells, i), "samples"), 2);
    json_decref(found);
    base_free(file);
    base_free(tree);
}
END_TEST

START_TEST(real_labels_stand_beside_top_1)
{
    char *set = test_path(dir, "set"), *real = test_path(dir, "real.json");
    char *labels = test_path(dir, "val.txt");
    static const char text[] = "ILSVRC2012_val_00000001.png 0\n"
                               "ILSVRC2012_val_00000002.png 1\n"
                               "ILSVRC2012_val_00000003.png 1\n";

    make_network(2, false);
    set_folder(dir, "set");
    for (size_t i = 0; i < 3; i++) {
        char *path = base_text("%s/ILSVRC2012_val_0000000%zu.png", set, i + 1);
        sample_picture_save(path, i, i);
        base_free(path);
    }
    test_write(labels, text, strlen(text));
    /* Any answer is right of the first, none counts of the second, the third as the answer
     * is. */
    test_write(real, "[[0, 1], [], [0]]", 17);
    program_done(program_run(dir, "eval", model, "--data", set, "--val-labels", labels,
                             "--real", real, "--json", json, NULL));
    json_t *found = program_json(json);
    const json_t *beside = json_object_get(found, "real");
    const double right = json_number_of(beside, "right");
    ck_assert_int_eq((int)json_number_of(beside, "images"), 2);
    ck_assert(right >= 1 && right <= 2);
    ck_assert_double_eq(json_number_of(beside, "top1"), right / 2);
    json_decref(found);
    test_write(real, "[[0, 1], []]", 12);
    program_refused(program_run(dir, "eval", model, "--data", set, "--val-labels", labels,
                                "--real", real, "--quiet", NULL),
                    1, "none of the number of");
    program_refused(program_run(dir, "predict", model, "--data", set, "--val-labels",
                                labels, "--split", "val", "--quiet", NULL),
                    2, "--split means nothing");
    base_free(set);
    base_free(real);
    base_free(labels);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_labels");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_set_timeout(core, 120);
    tcase_add_test(core, what_is_left_out_is_told_by_every_command);
    tcase_add_test(
        core, a_training_tells_what_is_left_out_and_that_it_validates_with_its_own_files);
    tcase_add_test(core, a_stray_folder_shifts_no_label);
    tcase_add_test(core, a_thousand_outputs_without_names_are_called_as_imagenets);
    tcase_add_test(core, pairs_of_numpy_files_are_evaluated_and_a_folder_of_them_is_a_tree);
    tcase_add_test(core, real_labels_stand_beside_top_1);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
