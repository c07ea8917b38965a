/* test_data_imagenet.c - ILSVRC2012 as downloaded and as Kaggle has it; files of labels. */
#include "data/data_internal.h"

#include <zlib.h>

#include "tests/test_layouts.h"

static const data_source_options one = {.allow_single_class = true};
static const data_source_options imagenet = {.classes_of_model = 1000,
                                             .allow_single_class = true};
static const data_source_options unlabelled = {.allow_single_class = true,
                                               .allow_unlabelled = true};

/* A tar of files that hold their names, as bytes: base_free. */
static char *tar_of(size_t *bytes, const char *const *names, size_t count)
{
    char *path, *out = NULL;
    FILE *tar = set_tar_open(&path, root, "inner");

    for (size_t i = 0; i < count; i++)
        set_name_member(tar, names[i]);
    set_tar_end(tar);
    ck_assert_int_eq(base_file_read(&out, bytes, path, 1 << 20, NULL), BASE_OK);
    ck_assert_int_eq(unlink(path), 0);
    base_free(path);
    return out;
}

/* ---- ILSVRC2012 --------------------------------------------------------------------- */

static void write_train(const char *name)
{
    static const char *const fish[] = {"n01443537_9.JPEG", "n01443537_10.JPEG", "x.txt"};
    static const char *const fox[] = {"n02119789_1.JPEG"};
    size_t bytes;
    char *path, *inner;
    FILE *tar = set_tar_open(&path, root, name);

    inner = tar_of(&bytes, fox, 1);
    set_member(tar, "n02119789.tar", '0', inner, bytes);
    base_free(inner);
    inner = tar_of(&bytes, fish, 3);
    set_member(tar, "n01443537.tar", '0', inner, bytes);
    base_free(inner);
    set_tar_end(tar);
    base_free(path);
}

START_TEST(a_tar_of_tars_is_read_at_both_levels_in_the_order_of_class_folders)
{
    char name[600];

    write_train("train.tar");
    char *path = test_path(root, "train.tar");
    data_source *source = set_open(path, &imagenet);
    ck_assert_str_eq(data_source_layout(source), "ilsvrc");
    set_lists(source, "1 n01443537/n01443537_10.JPEG\n1 n01443537/n01443537_9.JPEG\n"
                      "278 n02119789/n02119789_1.JPEG\n");
    set_holds(source, 0, "n01443537_10.JPEG");
    set_holds(source, 2, "n02119789_1.JPEG");
    ck_assert_uint_eq(data_source_ignored(source), 1);
    data_source_name(source, 1, name, sizeof name);
    ck_assert_ptr_nonnull(strstr(name, "train.tar!n01443537.tar/n01443537_9.JPEG"));
    data_source_close(source);
    base_free(path);
}
END_TEST

START_TEST(an_inner_archive_that_is_cut_is_refused_with_its_offset)
{
    char *path, zeros[3 * SET_BLOCK] = "short";
    FILE *tar = set_tar_open(&path, root, "train.tar");
    const set_header h = set_header_make("n01443537_1.JPEG", '0', 4000);

    memcpy(zeros, h.at, SET_BLOCK);
    set_member(tar, "n01443537.tar", '0', zeros, 2 * SET_BLOCK);
    set_tar_end(tar);
    set_refused(path, &imagenet, BASE_FORMAT,
                "member n01443537_1.JPEG ends beyond the end of the archive");
    base_free(path);
}
END_TEST

static void write_val(const char *name)
{
    char *path;
    FILE *tar = set_tar_open(&path, root, name);

    set_name_member(tar, "ILSVRC2012_val_00000003.JPEG");
    set_name_member(tar, "ILSVRC2012_val_00000001.JPEG");
    set_name_member(tar, "ILSVRC2012_val_00000002.JPEG");
    set_tar_end(tar);
    base_free(path);
}

/* The labels of the three images with this file of labels. */
static void check_val(const char *labels, const char *text, const char *expected)
{
    char *path = test_path(root, "ILSVRC2012_img_val.tar"), *file = test_path(root, labels);
    data_source_options options = imagenet;

    set_text(labels, text);
    options.val_labels = file;
    data_source *source = set_open(path, &options);
    set_lists(source, expected);
    data_source_close(source);
    base_free(path);
    base_free(file);
}

#define VAL "ILSVRC2012_val_0000000"

START_TEST(validation_labels_are_read_in_all_their_forms)
{
    static const char expected[] = "278 n02119789/" VAL "1.JPEG\n"
                                   "0 n01440764/" VAL "2.JPEG\n"
                                   "1 n01443537/" VAL "3.JPEG\n";

    write_val("ILSVRC2012_img_val.tar");
    check_val("ids.txt", "1\n449\n450\n", expected); /* the kit's own numbers */
    check_val("indices.txt", "278\n0\n1\n", expected);
    check_val("wnids.txt", "n02119789\r\nn01440764\r\nn01443537\r\n", expected);
    check_val("caffe.txt", VAL "3.JPEG 1\n" VAL "1.JPEG 278\n" VAL "2.JPEG 0\n", expected);
    check_val("named.txt",
              "val/" VAL "3.JPEG n01443537\n" VAL "1.JPEG n02119789 7 8\n" VAL
              "2.JPEG n01440764\n",
              expected);
    check_val("LOC.csv",
              "ImageId,PredictionString\n" VAL "2,n01440764 85 1 499 272 \n" VAL
              "1,n02119789 1 2 3 4 n02119789 5 6 7 8 \n" VAL "3,n01443537 1 2 3 4\n",
              expected);
    check_val("remark.csv",
              "# of the kit\n#\n" VAL "2.JPEG,0\n" VAL "1.JPEG,278\n" VAL "3.JPEG,1\n",
              expected);
    check_val("table.tsv",
              "filename\tlabel\n" VAL "2.JPEG\t0\n" VAL "1.JPEG\t278\n" VAL "3.JPEG\t1\n",
              expected);
}
END_TEST

START_TEST(the_kit_beside_the_archive_is_found_and_read_as_it_is)
{
    char *path = NULL, *packed = test_path(root, "ILSVRC2012_devkit_t12.tar.gz");
    char *kit, *bytes = NULL;
    size_t count;
    FILE *tar = set_tar_open(&kit, root, "kit");

    write_val("ILSVRC2012_img_val.tar");
    path = test_path(root, "ILSVRC2012_img_val.tar");
    set_refused(path, &imagenet, BASE_USAGE, "without their labels, expected --val-labels");
    set_name_member(tar, "ILSVRC2012_devkit_t12/readme.txt");
    set_member(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
               '0', "1\n449\n450\n", 10);
    set_tar_end(tar);
    ck_assert_int_eq(base_file_read(&bytes, &count, kit, 1 << 20, NULL), BASE_OK);
    gzFile gz = gzopen(packed, "wb");
    ck_assert_int_eq(gzwrite(gz, bytes, (unsigned)count), (int)count);
    gzclose(gz);
    data_source *source = set_open(path, &imagenet);
    ck_assert_int_eq(data_source_label(source, 0), 278);
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "3 ILSVRC2012 ids from 1"));
    data_source_close(source);

    /* The folder of both archives: the split says which. */
    write_train("ILSVRC2012_img_train.tar");
    data_source_options train = imagenet;
    train.split = "train";
    source = set_open(root, &train);
    ck_assert_uint_eq(data_source_count(source), 3);
    set_holds(source, 0, "n01443537_10.JPEG");
    data_source_close(source);
    source = set_open(root, &imagenet);
    set_holds(source, 0, VAL "1.JPEG");
    data_source_close(source);
    base_free(bytes);
    base_free(kit);
    base_free(packed);
    base_free(path);
}
END_TEST

START_TEST(files_of_labels_that_do_not_fit_are_refused)
{
    static const struct {
        const char *text, *part;
        base_status status;
    } bad[] = {
        {"1\n2\n", "holds labels of 2 images (2 ILSVRC2012 ids from 1), but",
         BASE_MISMATCH},
        {"1\n2\n1001\n", "line 3: '1001' is no ILSVRC2012 id from 1 to 1000", BASE_FORMAT},
        {"0\n2\n1000\n", "line 3: '1000' is no index from 0 to 999", BASE_FORMAT},
        {"1\nn01440764\n2\n", "line 2: 'n01440764' is no", BASE_FORMAT},
        {"1\nx 2\n3\n", "line 2: expected one word", BASE_FORMAT},
        {VAL "1 5\n" VAL "1.JPEG 6\n" VAL "2 6\n", "has a label already", BASE_FORMAT},
        {VAL "1 5\n" VAL "2 6\n" VAL "7 6\n", "has no label for '" VAL "3.JPEG'",
         BASE_MISMATCH},
        {"", "holds no labels", BASE_FORMAT},
    };
    char *file = test_path(root, "labels.txt");
    data_source_options options = imagenet;

    write_val("val.tar");
    options.val_labels = file;
    char *path = test_path(root, "val.tar");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_write(file, bad[i].text, strlen(bad[i].text));
        set_refused(path, &options, bad[i].status, bad[i].part);
    }
    options.val_labels = "/nowhere/labels";
    set_refused(path, &options, BASE_IO, "/nowhere/labels");
    base_free(path);
    base_free(file);
}
END_TEST

START_TEST(images_without_labels_serve_predictions_only)
{
    write_val("val.tar");
    char *path = test_path(root, "val.tar");
    data_source *source = set_open(path, &unlabelled);
    ck_assert_uint_eq(data_source_classes(source), 0);
    set_lists(source, "-1 " VAL "1.JPEG\n-1 " VAL "2.JPEG\n-1 " VAL "3.JPEG\n");
    data_source_close(source);
    base_free(path);

    set_name_file(root, "photos/b.png");
    set_name_file(root, "photos/a.jpg");
    set_name_file(root, "photos/notes.txt");
    path = test_path(root, "photos");
    source = set_open(path, &unlabelled);
    ck_assert_str_eq(data_source_layout(source), "images");
    set_lists(source, "-1 a.jpg\n-1 b.png\n");
    set_holds(source, 1, "photos/b.png");
    ck_assert_uint_eq(data_source_ignored(source), 1);
    data_source_close(source);
    set_refused(path, &one, BASE_FORMAT, "holds 2 images but no class folders");
    base_free(path);
}
END_TEST

/* Whole refusals of ILSVRC2012's archives. */
START_TEST(archives_of_archives_are_what_they_should_be)
{
    static const char *const fish[] = {"n01443537_9.JPEG"};
    size_t bytes;
    char *path, *want, *folder = test_path(root, "folder"),
                       *inner = tar_of(&bytes, fish, 1);
    data_source *source = NULL;
    base_error err = {0};
    data_source_options train = imagenet;
    FILE *tar = set_tar_open(&path, root, "train.tar");

    train.split = "train";
    set_member(tar, "n01443537.tar", '0', inner, bytes);
    set_member(tar, "n01443537.tar", '0', inner, bytes);
    set_tar_end(tar);
    ck_assert_int_eq(data_source_open(&source, path, &imagenet, &err), BASE_FORMAT);
    want = base_text("'%s' has two archives of the class 'n01443537'", path);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    base_free(path);
    tar = set_tar_open(&path, root, "train.tar");
    set_member(tar, "n01443537.tar", '0', inner, bytes);
    set_name_member(tar, "ILSVRC2012_val_00000001.JPEG");
    set_tar_end(tar);
    ck_assert_int_eq(data_source_open(&source, path, &imagenet, &err), BASE_FORMAT);
    want = base_text("'%s' holds both images and archives of images", path);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    base_free(path);
    tar = set_tar_open(&path, root, "train.tar");
    set_member(tar, "n01443537.tar", '0', inner, bytes);
    set_name_member(tar, "notes.txt");
    set_name_member(tar, "a/n01440764.tar");
    set_name_member(tar, ".tar");
    ck_assert_int_eq(fclose(tar), 0);
    source = set_open(path, &imagenet);
    ck_assert_uint_eq(data_source_count(source), 1);
    ck_assert_uint_eq(data_source_ignored(source), 3);
    ck_assert_str_eq(data_source_notice(source),
                     "the archive ends without its two blocks of zeros; 1 of ImageNet's "
                     "1000 classes, with their global labels");
    data_source_close(source);
    source = NULL;
    base_free(path);
    set_name_file(root, "folder/ILSVRC2012_img_val.tar");
    ck_assert_int_eq(data_source_open(&source, folder, &train, &err), BASE_IO);
    want = base_text("'%s' holds no archive of the split train, expected %s", folder,
                     data_layout_ilsvrc.holds);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    base_free(folder);
    base_free(inner);
}
END_TEST

/* The test images have names of their own and no labels. */
START_TEST(images_of_the_test_are_known_by_their_names)
{
    char *path;
    FILE *tar = set_tar_open(&path, root, "ILSVRC2012_img_test_v10102019.tar");

    set_name_member(tar, "ILSVRC2012_test_00000002.JPEG");
    set_name_member(tar, "ILSVRC2012_test_00000001.JPEG");
    set_tar_end(tar);
    data_source_options test = unlabelled;
    test.split = "test";
    data_source *source = set_open(root, &test);
    ck_assert_str_eq(data_source_layout(source), "ilsvrc");
    ck_assert_uint_eq(data_source_count(source), 2);
    ck_assert_int_eq(data_source_label(source, 1), -1);
    data_source_close(source);
    base_free(path);
}
END_TEST

/* ---- Kaggle ------------------------------------------------------------------------- */

START_TEST(kaggles_tree_is_read_by_split)
{
    static const char *const paths[] = {"",
                                        "ILSVRC/Data",
                                        "ILSVRC/Data/CLS-LOC",
                                        "ILSVRC/Data/CLS-LOC/val",
                                        "ILSVRC/Data/CLS-LOC/",
                                        "ILSVRC/Data/CLS-LOC/val//"};
    data_source_options train = imagenet;
    char name[600];

    set_name_file(root, "ILSVRC/Data/CLS-LOC/train/n02119789/n02119789_1.JPEG");
    set_name_file(root, "ILSVRC/Data/CLS-LOC/train/n01443537/n01443537_2.JPEG");
    set_name_file(root, "ILSVRC/Data/CLS-LOC/val/" VAL "2.JPEG");
    set_name_file(root, "ILSVRC/Data/CLS-LOC/val/" VAL "1.JPEG");
    set_name_file(root, "ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_00000001.JPEG");
    set_text("LOC_val_solution.csv", "ImageId,PredictionString\n" VAL
                                     "2,n01443537 1 2 3 4 \n" VAL "1,n02119789 1 2 3 4 \n");
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char *path = test_path(root, paths[i]);
        data_source *source = set_open(path, &imagenet);
        ck_assert_str_eq(data_source_layout(source), "kaggle");
        set_lists(source, "278 n02119789/" VAL "1.JPEG\n1 n01443537/" VAL "2.JPEG\n");
        set_holds(source, 0, "ILSVRC/Data/CLS-LOC/val/" VAL "1.JPEG");
        data_source_name(source, 1, name, sizeof name);
        ck_assert_ptr_nonnull(strstr(name, "/CLS-LOC/val/" VAL "2.JPEG"));
        data_source_close(source);
        base_free(path);
    }
    train.split = "train";
    data_source *source = set_open(root, &train);
    set_lists(source, "1 n01443537/n01443537_2.JPEG\n278 n02119789/n02119789_1.JPEG\n");
    set_holds(source, 0, "ILSVRC/Data/CLS-LOC/train/n01443537/n01443537_2.JPEG");
    data_source_close(source);
    train.split = "test";
    train.allow_unlabelled = true;
    source = set_open(root, &train);
    set_lists(source, "-1 ILSVRC2012_test_00000001.JPEG\n");
    data_source_close(source);
    train.split = NULL; /* the folder itself says so */
    char *path = test_path(root, "ILSVRC/Data/CLS-LOC/test");
    source = set_open(path, &train);
    ck_assert_str_eq(data_source_layout(source), "kaggle");
    set_lists(source, "-1 ILSVRC2012_test_00000001.JPEG\n");
    data_source_close(source);
    base_free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_imagenet");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core,
                   a_tar_of_tars_is_read_at_both_levels_in_the_order_of_class_folders);
    tcase_add_test(core, validation_labels_are_read_in_all_their_forms);
    tcase_add_test(core, the_kit_beside_the_archive_is_found_and_read_as_it_is);
    tcase_add_test(core, images_without_labels_serve_predictions_only);
    tcase_add_test(core, kaggles_tree_is_read_by_split);
    tcase_add_test(limits, an_inner_archive_that_is_cut_is_refused_with_its_offset);
    tcase_add_test(limits, files_of_labels_that_do_not_fit_are_refused);
    tcase_add_test(limits, archives_of_archives_are_what_they_should_be);
    tcase_add_test(core, images_of_the_test_are_known_by_their_names);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
