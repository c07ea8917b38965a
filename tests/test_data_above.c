/* test_data_above.c - what lies above and beside the class folders: parts, folders around
 * everything, pictures in no class folders with a file of labels, hard links, ReaL labels.
 */
#include "data/data_internal.h"

#include "tests/test_layouts.h"

static const data_source_options two = {.classes_of_model = 2, .allow_single_class = true};
static const data_source_options imagenet = {.classes_of_model = 1000,
                                             .allow_single_class = true};
static const data_source_options unlabelled = {.allow_single_class = true,
                                               .allow_unlabelled = true};

/* The files as a tree below root/set, or as root/set.tar: base_free. */
static char *make_set(const char *const *names, bool tar)
{
    char *path = NULL;

    if (tar) {
        FILE *file = set_tar_open(&path, root, "set.tar");
        for (size_t i = 0; names[i]; i++)
            set_name_member(file, names[i]);
        set_tar_end(file);
        return path;
    }
    for (size_t i = 0; names[i]; i++) {
        path = base_text("set/%s", names[i]); /* it holds its name in the set */
        set_file(root, path, names[i], strlen(names[i]));
        base_free(path);
    }
    return test_path(root, "set");
}

/* The set in both forms has these samples, the first of which holds text, and a notice with
 * part. */
static void check_set(const char *const *names, const data_source_options *options,
                      const char *list, const char *text, const char *part)
{
    for (int tar = 0; tar < 2; tar++) {
        teardown();
        setup();
        char *path = make_set(names, tar);
        data_source *source = set_open(path, options);
        char name[600];
        set_lists(source, list);
        set_holds(source, 0, text);
        data_source_name(source, 0, name, sizeof name);
        ck_assert_msg(strstr(name, text) != NULL, "%s", name);
        ck_assert_msg(strstr(data_source_notice(source), part) != NULL, "'%s'",
                      data_source_notice(source));
        data_source_close(source);
        base_free(path);
    }
}

static void check_refused(const char *const *names, const data_source_options *options,
                          base_status status, const char *part)
{
    for (int tar = 0; tar < 2; tar++) {
        teardown();
        setup();
        char *path = make_set(names, tar);
        set_refused(path, options, status, part);
        base_free(path);
    }
}

/* ---- folders around ------------------------------------------------------------------ */

START_TEST(a_folder_around_the_classes_is_passed_through)
{
    static const char *const once[] = {"imagenet-a/README.txt",
                                       "imagenet-a/n01440764/1.png",
                                       "imagenet-a/n02119789/2.png", NULL};
    static const char *const thrice[] = {"a/b/c d/0/1.png", "a/b/c d/999/2.png",
                                         "a/b/notes", "LICENSE", NULL};
    static const char *const nested[] = {"set/ant/x/1.png", "set/ant/2.png",
                                         "set/bee/y/z/3.png", NULL};

    check_set(once, &imagenet, "0 n01440764/1.png\n278 n02119789/2.png\n",
              "imagenet-a/n01440764/1.png", "only the folder 'imagenet-a'");
    check_set(thrice, &imagenet, "0 0/1.png\n999 999/2.png\n", "a/b/c d/0/1.png",
              "only the folder 'c d'");
    check_set(nested, &two, "0 ant/2.png\n0 ant/x/1.png\n1 bee/y/z/3.png\n",
              "set/ant/2.png", "only the folder 'set'");
}
END_TEST

START_TEST(a_class_alone_is_no_folder_around)
{
    static const char *const id[] = {"n02119789/images/1.png", NULL};
    static const char *const number[] = {"7/deep/1.png", NULL};
    static const char *const named[] = {"bee/deep/1.png", NULL};
    static const char *const list[] = {"ant", "bee"};
    const data_source_options names = {
        .class_list = list, .class_list_count = 2, .allow_single_class = true};

    check_set(id, &imagenet, "278 n02119789/images/1.png\n", "n02119789/images/1.png",
              "1 of ImageNet's");
    check_set(number, &imagenet, "7 7/deep/1.png\n", "7/deep/1.png", "are numbers");
    check_set(named, &names, "1 bee/deep/1.png\n", "bee/deep/1.png", "");
}
END_TEST

/* ---- parts --------------------------------------------------------------------------- */

START_TEST(parts_are_known_in_any_case_and_by_all_their_words)
{
    static const char *const words[][4] = {{"Train", "VAL", "Test", "dev"},
                                           {"training", "Validation", "TESTING", "EVAL"}};
    const data_source_options train = {.split = "train"}, val = {.split = "val"},
                              test = {.split = "test"};
    char names[6][64];

    for (size_t w = 0; w < 2; w++) {
        const char *list[7] = {names[0], names[1], names[2], names[3],
                               names[4], names[5], 0};
        for (size_t i = 0; i < 3; i++) {
            snprintf(names[2 * i], sizeof *names, "%s/ant/%zu.png", words[w][i], i);
            snprintf(names[2 * i + 1], sizeof *names, "%s/bee/%zu.png", words[w][i], i);
        }
        check_set(list, &train, "0 ant/0.png\n1 bee/0.png\n", names[0], "reading '");
        check_set(list, &val, "0 ant/1.png\n1 bee/1.png\n", names[2], "reading '");
        check_set(list, NULL, "0 ant/1.png\n1 bee/1.png\n", names[2], "reading '");
        check_set(list, &test, "0 ant/2.png\n1 bee/2.png\n", names[4], "reading '");
    }
}
END_TEST

START_TEST(parts_and_something_else_ask)
{
    static const char *const third[] = {"annotations/a.txt", "train/ant/1.png",
                                        "train/bee/2.png",   "val/ant/3.png",
                                        "val/bee/4.png",     NULL};
    static const char *const capital[] = {"Test/ant/1.png", "Test/bee/2.png",
                                          "Train/ant/3.png", "Train/bee/4.png", NULL};
    static const char *const both[] = {"val/ant/1.png", "valid/ant/2.png", NULL};
    static const char *const around[] = {"data/train/ant/1.png", "data/train/bee/2.png",
                                         "data/test/1.png", NULL};
    const data_source_options train = {.split = "Train"}, val = {.split = "validation"},
                              valid = {.split = "valid", .allow_single_class = true};

    check_refused(third, NULL, BASE_USAGE,
                  "'train', 'val', parts of a data set, and beside "
                  "them 'annotations'");
    check_set(third, &train, "0 ant/1.png\n1 bee/2.png\n", "train/ant/1.png",
              "beside the parts lie 'annotations'");
    check_set(third, &val, "0 ant/3.png\n1 bee/4.png\n", "val/ant/3.png", "reading 'val'");
    check_refused(capital, NULL, BASE_IO,
                  "no folder for the split val, but 'Test', 'Train'");
    check_set(capital, &train, "0 ant/3.png\n1 bee/4.png\n", "Train/ant/3.png", "reading");
    check_set(both, &valid, "0 ant/2.png\n", "valid/ant/2.png", "reading 'valid'");
    check_set(around, &train, "0 ant/1.png\n1 bee/2.png\n", "data/train/ant/1.png",
              "only the folder 'data'");
}
END_TEST

/* As archives of Kaggle, COCO, Intel have them; trains of two kinds are no parts. */
START_TEST(parts_are_known_by_a_word_inside_their_names)
{
    static const char *const names[][2] = {{"seg_train", "seg_test"},
                                           {"train2017", "val2017"},
                                           {"Training Set", "Validation-Set"},
                                           {"trainset", "testset"}};
    static const char *const trains[] = {"old train/ant/1.png", "new_train/bee/2.png",
                                         NULL};
    static const char *const third[] = {"seg_pred/ant/1.png",  "seg_test/ant/2.png",
                                        "seg_test/bee/3.png",  "seg_train/ant/4.png",
                                        "seg_train/bee/5.png", NULL};
    const data_source_options train = {.split = "train"}, test = {.split = "test"};
    char file[4][64];

    for (size_t w = 0; w < 4; w++) {
        const char *list[5] = {file[0], file[1], file[2], file[3], NULL};
        for (size_t i = 0; i < 4; i++)
            snprintf(file[i], sizeof file[i], "%s/%s/%zu.png", names[w][i / 2],
                     i % 2 ? "bee" : "ant", i);
        check_set(list, &train, "0 ant/0.png\n1 bee/1.png\n", file[0], "reading '");
    }
    check_set(trains, &two, "0 new_train/bee/2.png\n1 old train/ant/1.png\n",
              "new_train/bee/2.png", "");
    check_refused(third, NULL, BASE_USAGE, "and beside them 'seg_pred'");
    check_set(third, &test, "0 ant/2.png\n1 bee/3.png\n", "seg_test/ant/2.png",
              "beside the parts lie 'seg_pred'");
}
END_TEST

/* Parts in another language, or domains: told. */
START_TEST(classes_that_hold_the_same_folders_are_told)
{
    static const char *const parts[] = {"entreno/ant/1.png", "entreno/bee/2.png",
                                        "prueba/ant/3.png", "prueba/bee/4.png", NULL};
    static const char *const tiny[] = {"ant/images/1.png", "bee/images/2.png", NULL};

    check_set(parts, &two,
              "0 entreno/ant/1.png\n0 entreno/bee/2.png\n1 prueba/ant/3.png\n"
              "1 prueba/bee/4.png\n",
              "entreno/ant/1.png",
              "the 2 folders 'entreno' to 'prueba', each of which holds 'ant' and more");
    check_set(tiny, &two, "0 ant/images/1.png\n1 bee/images/2.png\n", "ant/images/1.png",
              "the network has no names: labels are the ranks of the 2 class names");
}
END_TEST

START_TEST(severities_are_no_classes)
{
    static const char *const fog[] = {"1/ant/1.png", "1/bee/1.png", "3/ant/1.png",
                                      "3/bee/1.png", NULL};

    check_refused(fog, &imagenet, BASE_USAGE, "severities of a corruption");
}
END_TEST

/* ---- labels from a file -------------------------------------------------------------- */

START_TEST(pictures_in_no_class_folders_have_labels_from_a_file)
{
    static const char *const flat[] = {"ILSVRC2012_val_00000001.JPEG",
                                       "ILSVRC2012_val_00000002.JPEG", NULL};
    static const char *const around[] = {"val/ILSVRC2012_val_00000001.JPEG",
                                         "val/ILSVRC2012_val_00000002.JPEG", NULL};
    char *labels = base_text("%s-labels.txt", root);
    data_source_options options = imagenet;

    options.val_labels = labels;
    test_write(labels,
               "\xef\xbb\xbfILSVRC2012_val_00000001.JPEG 278\n"
               "ILSVRC2012_val_00000002.JPEG 0\n",
               67);
    check_set(flat, &options,
              "278 n02119789/ILSVRC2012_val_00000001.JPEG\n"
              "0 n01440764/ILSVRC2012_val_00000002.JPEG\n",
              "ILSVRC2012_val_00000001.JPEG", "names with indices from 0");
    check_set(around, &options,
              "278 n02119789/ILSVRC2012_val_00000001.JPEG\n"
              "0 n01440764/ILSVRC2012_val_00000002.JPEG\n",
              "val/ILSVRC2012_val_00000001.JPEG", "names with indices from 0");
    check_set(flat, &unlabelled,
              "-1 ILSVRC2012_val_00000001.JPEG\n-1 ILSVRC2012_val_00000002.JPEG\n",
              "ILSVRC2012_val_00000001.JPEG", "");
    static const char *const others[] = {"x.png", "y.png", NULL};
    check_refused(others, &imagenet, BASE_FORMAT, "--val-labels");
    ck_assert_int_eq(unlink(labels), 0);
    base_free(labels);
}
END_TEST

START_TEST(labels_of_other_data_stay_the_numbers_that_they_are)
{
    static const char *const flat[] = {"x1.png", "x2.png", "x3.png", NULL};
    static const char *const list[] = {"ant", "bee", "cat"};
    char *labels = base_text("%s-labels.csv", root);
    data_source_options options = {.class_list = list, .class_list_count = 3};

    options.val_labels = labels;
    test_write(labels, "name,label\nx1.png,2\nx2.png,0\nx3.png,2\n", 38);
    check_set(flat, &options, "2 cat/x1.png\n0 ant/x2.png\n2 cat/x3.png\n", "x1.png",
              "names with numbers");
    test_write(labels, "x1.png cat\nx2.png bee\nx3.png ant\n", 33);
    check_set(flat, &options, "2 cat/x1.png\n1 bee/x2.png\n0 ant/x3.png\n", "x1.png",
              "names with classes");
    test_write(labels, "x1.png cat\nx2.png bee\n", 22);
    check_refused(flat, &options, BASE_MISMATCH, "holds labels of 2 images");
    ck_assert_int_eq(unlink(labels), 0);
    base_free(labels);
}
END_TEST

/* As tables are written: quotes, more columns, blanks inside a label, "2.0". */
START_TEST(files_of_labels_are_read_in_all_dialects)
{
    static const char *const flat[] = {"x1.png", "x2.png", "x3.png", NULL};
    static const char *const list[] = {"polar bear", "polar fox", "ant"};
    static const char *const good[] = {
        "x1.png,ant\nx2.png,polar bear\nx3.png,polar fox\n",
        "\"file_name\",\"label\"\r\n\"x1.png\",\"ant\"\r\n\"x2.png\",\"polar bear\"\r\n"
        "\"x3.png\",\"polar fox\"",
        "x1.png\tant\t0\t0\nx2.png\tpolar bear\t1\t1\nx3.png\tpolar fox\t2\t3\n",
        "# made by hand\nx1.png 2.0 11 -1\nx2.png 0.0 7 1.5\nx3.png 1.0\n",
        "id,label\nx1,2\nx2,0\nx3,1\n"};
    static const struct {
        const char *text, *part;
    } bad[] = {{"x1.png polar bear\nx2.png ant\nx3.png ant\n",
                "line 1: 'polar' and more words, expected a name and a label"},
               {"x1.png 1\nx2.png -1\nx3.png 0\n", "line 2: '-1' is a number but no label"},
               {"x1.png,1\nx2.png,0.5\nx3.png,0\n", "line 2: '0.5' is a number"}};
    char *labels = base_text("%s-labels.csv", root);
    data_source_options options = {
        .class_list = list, .class_list_count = 3, .val_labels = labels};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        test_write(labels, good[i], strlen(good[i]));
        check_set(flat, &options, "2 ant/x1.png\n0 polar bear/x2.png\n1 polar fox/x3.png\n",
                  "x1.png", "labels: ");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_write(labels, bad[i].text, strlen(bad[i].text));
        check_refused(flat, &options, BASE_FORMAT, bad[i].part);
    }
    ck_assert_int_eq(unlink(labels), 0);
    base_free(labels);
}
END_TEST

/* Two images that one line would serve: by the number, by the name without ending and
 * folder. */
START_TEST(a_line_of_labels_belongs_to_one_image)
{
    static const char *const numbers[] = {"cat_1.png", "cat_2.png", "dog_1.png",
                                          "dog_2.png", NULL};
    static const char *const plain[] = {"a.png", "b.png", NULL};
    static const char *const endings[] = {"1.jpg", "1.png", NULL};
    char *labels = base_text("%s-labels.txt", root);
    data_source_options options = two;

    options.val_labels = labels;
    test_write(labels, "0\n0\n1\n1\n", 8);
    check_refused(numbers, &options, BASE_MISMATCH,
                  "line 1 is the label of 'dog_1.png' and of another image");
    test_write(labels, "0\n1\n", 4);
    check_refused(plain, &options, BASE_MISMATCH, "line k belongs to the image whose name");
    test_write(labels, "1.png 0\nx.png 1\n", 16);
    check_refused(endings, &options, BASE_MISMATCH,
                  "line 1 is the label of '1.png' and of another image");
    ck_assert_int_eq(unlink(labels), 0);
    base_free(labels);
}
END_TEST

START_TEST(an_option_that_is_not_used_is_an_error)
{
    static const char *const set[] = {"ant/1.png", "bee/2.png", NULL};
    const data_source_options labels = {.val_labels = "x"}, split = {.split = "test"},
                              key = {.label_key = "target"};
    const data_source_options numbers = {.class_map = "x", .allow_single_class = true};

    check_refused(set, &labels, BASE_USAGE, "--val-labels means nothing");
    check_refused(set, &split, BASE_USAGE, "--split means nothing");
    check_refused(set, &key, BASE_USAGE, "--label-key means nothing");
    set_name_file(root, "a.png");
    set_text("list.txt", "a.png\t1\n");
    char *path = test_path(root, "list.txt");
    set_refused(path, &numbers, BASE_USAGE, "--class-map means nothing");
    base_free(path);
}
END_TEST

START_TEST(tiny_imagenet_is_read_as_it_is_downloaded)
{
    static const char *const files[] = {"train/n01443537/images/n01443537_0.JPEG",
                                        "train/n01443537/n01443537_boxes.txt",
                                        "train/n01629819/images/n01629819_0.JPEG",
                                        "val/images/val_0.JPEG",
                                        "val/images/val_1.JPEG",
                                        "test/images/test_0.JPEG",
                                        "words.txt",
                                        NULL};
    static const char annotations[] = "val_0.JPEG\tn01629819\t0\t0\t15\t15\n"
                                      "val_1.JPEG\tn01443537\t0\t0\t15\t15\n";
    const data_source_options train = {.split = "train"},
                              test = {.split = "test", .allow_unlabelled = true};
    char *path = make_set(files, false), *val = test_path(root, "set/val");
    char *images = test_path(root, "set/val/images");

    set_text("set/val/val_annotations.txt", annotations);
    data_source *source = set_open(path, &train);
    set_lists(source, "0 n01443537/images/n01443537_0.JPEG\n"
                      "1 n01629819/images/n01629819_0.JPEG\n");
    data_source_close(source);
    const char *const specs[] = {path, val, images};
    for (size_t i = 0; i < 3; i++) {
        source = set_open(specs[i], &two);
        set_lists(source, "1 n01629819/val_0.JPEG\n0 n01443537/val_1.JPEG\n");
        set_holds(source, 0, "val/images/val_0.JPEG");
        ck_assert_ptr_nonnull(
            strstr(data_source_notice(source), "2 names with WordNet ids"));
        data_source_close(source);
    }
    source = set_open(path, &test);
    set_lists(source, "-1 test_0.JPEG\n");
    data_source_close(source);
    base_free(path);
    base_free(val);
    base_free(images);
}
END_TEST

/* ---- hard links ---------------------------------------------------------------------- */

static void link_member(FILE *file, const char *name, const char *target)
{
    set_header h = set_header_make(name, '1', 0);

    snprintf((char *)h.at + 157, 100, "%s", target);
    set_sign(&h);
    set_body(file, h.at, SET_BLOCK);
}

START_TEST(hard_links_in_archives_are_the_files_that_they_lead_to)
{
    char *path, name[600];
    FILE *file = set_tar_open(&path, root, "set.tar");

    set_name_member(file, "ant/1.png");
    link_member(file, "./ant/2.png", "./ant/1.png");
    link_member(file, "bee/3.png", "ant/2.png"); /* to a link */
    link_member(file, "bee/4.png", "nowhere.png");
    link_member(file, "bee/5.png", "bee/5.png");
    set_name_member(file, "bee/6.png");
    set_tar_end(file);
    data_source *source = set_open(path, &two);
    set_lists(source, "0 ant/1.png\n0 ant/2.png\n1 bee/3.png\n1 bee/6.png\n");
    set_holds(source, 1, "ant/1.png");
    set_holds(source, 2, "ant/1.png");
    set_holds(source, 3, "bee/6.png");
    ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_LINK), 2);
    data_source_name(source, 2, name, sizeof name);
    ck_assert_ptr_nonnull(strstr(name, "set.tar!bee/3.png"));
    data_source_close(source);
    base_free(path);
}
END_TEST

/* ---- ReaL ---------------------------------------------------------------------------- */

START_TEST(real_labels_have_several_right_answers_or_none)
{
    static const char *const names[] = {"a/ILSVRC2012_val_00000003.JPEG", "b/x.png", NULL};
    char *path = test_path(root, "real.json");
    data_real *real = NULL;
    base_error err = {0};

    set_text("real.json", "[[1, 3], [], [0]]");
    ck_assert_int_eq(data_real_load(&real, path, 4, &err), BASE_OK);
    ck_assert_uint_eq(data_real_count(real), 3);
    ck_assert_int_eq(data_real_judge(real, 0, 3), DATA_REAL_RIGHT);
    ck_assert_int_eq(data_real_judge(real, 0, 1), DATA_REAL_RIGHT);
    ck_assert_int_eq(data_real_judge(real, 0, 0), DATA_REAL_WRONG);
    ck_assert_int_eq(data_real_judge(real, 1, 0), DATA_REAL_NONE);
    ck_assert_int_eq(data_real_judge(real, 2, 0), DATA_REAL_RIGHT);
    data_real_destroy(real);
    real = NULL;
    ck_assert_int_eq(data_real_load(&real, path, 3, &err), BASE_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(err.text, "entry 0 has something else than labels from 0 to 2"));
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"1\": 2}", " is no JSON list, expected a list of labels for each image"},
        {"[]", " is no JSON list, expected a list of labels for each image"},
        {"[[1], 2]", ": entry 1 is no list, expected a list of labels for each image"},
        {"[[1], [0, -1]]", ": entry 1 has something else than labels from 0 to 2"},
        {"[[1, 3]]", ": entry 0 has something else than labels from 0 to 2"},
        {"[[\"1\"]]", ": entry 0 has something else than labels from 0 to 2"},
        {"[[1],\n[", " line 2: "}, /* the library's words */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *want = base_text("'%s'%s", path, bad[i].says);
        set_text("real.json", bad[i].text);
        ck_assert_int_eq(data_real_load(&real, path, 3, &err), BASE_FORMAT);
        ck_assert_msg(strncmp(err.text, want, strlen(want)) == 0, "%s", err.text);
        ck_assert_ptr_null(real);
        base_free(want);
    }
    data_real_destroy(NULL);
    base_free(path);

    path = make_set(names, false);
    data_source *source = set_open(path, NULL);
    ck_assert_uint_eq(data_real_image(source, 0), 2);
    ck_assert_uint_eq(data_real_image(source, 1), SIZE_MAX);
    data_source_close(source);
    base_free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_above");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_folder_around_the_classes_is_passed_through);
    tcase_add_test(core, a_class_alone_is_no_folder_around);
    tcase_add_test(core, parts_are_known_in_any_case_and_by_all_their_words);
    tcase_add_test(core, pictures_in_no_class_folders_have_labels_from_a_file);
    tcase_add_test(core, labels_of_other_data_stay_the_numbers_that_they_are);
    tcase_add_test(core, files_of_labels_are_read_in_all_dialects);
    tcase_add_test(core, tiny_imagenet_is_read_as_it_is_downloaded);
    tcase_add_test(core, hard_links_in_archives_are_the_files_that_they_lead_to);
    tcase_add_test(core, real_labels_have_several_right_answers_or_none);
    tcase_add_test(limits, parts_and_something_else_ask);
    tcase_add_test(core, parts_are_known_by_a_word_inside_their_names);
    tcase_add_test(core, classes_that_hold_the_same_folders_are_told);
    tcase_add_test(limits, severities_are_no_classes);
    tcase_add_test(limits, a_line_of_labels_belongs_to_one_image);
    tcase_add_test(limits, an_option_that_is_not_used_is_an_error);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
