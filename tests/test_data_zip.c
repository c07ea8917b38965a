/* test_data_zip.c - zip archives of class folders, read in place: as folders and tars are,
 * with zip64, Kaggle's tree and Tiny ImageNet as downloaded; what is refused, and in which
 * words. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <fcntl.h>
#include <time.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"
#include "tests/test_zip.h"

static char *root, *path;
static zip_file zip;

static const data_source_options one_class = {.allow_single_class = true};

static void setup(void)
{
    root = test_folder_make();
    path = test_path(root, "x.zip");
    memset(&zip, 0, sizeof zip);
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(root);
}

static void finish(void)
{
    zip_end(&zip, "");
    zip_write(&zip, path);
}

static void names(void)
{
    static const char *const list[] = {"b/2.png",   "b/10.png", "B/1.JPEG",    "a/s0.jpg",
                                       "a/s/x.jpg", "a/s.jpg",  "a/notes.txt", "c/y.png"};

    for (size_t i = 0; i < 8; i++)
        zip_name(&zip, list[i], i % 2 ? ZIP_STORED : ZIP_DEFLATED);
}

static const char *const listed =
    "0 B/1.JPEG\n1 a/s.jpg\n1 a/s/x.jpg\n1 a/s0.jpg\n2 b/10.png\n2 b/2.png\n3 c/y.png\n";

static void check_names(const data_source *source)
{
    char name[64];

    ck_assert_str_eq(data_source_layout(source), "zip");
    set_lists(source, listed);
    ck_assert_uint_eq(data_source_ignored(source), 1);
    for (size_t i = 0; i < data_source_count(source); i++)
        set_holds(source, i, data_source_relative_name(source, i, name, sizeof name));
}

START_TEST(a_zip_is_read_as_a_folder_is)
{
    char shown[512];

    names();
    finish();
    data_source *source = set_open(path, NULL);
    check_names(source);
    char *whole = base_text("%s!B/1.JPEG", path);
    ck_assert_str_eq(data_source_name(source, 0, shown, sizeof shown), whole);
    data_source_advise(source, 0);
    base_free(whole);
    data_source_close(source);
}
END_TEST

START_TEST(zip64_and_a_comment_are_read)
{
    zip.zip64 = true;
    names();
    zip_end(&zip, "made by a test, PK\5\6 and all");
    zip_write(&zip, path);
    data_source *source = set_open(path, NULL);
    check_names(source);
    data_source_close(source);
}
END_TEST

START_TEST(a_class_that_comes_again_is_sorted)
{
    zip_name(&zip, "a/2.png", ZIP_STORED);
    zip_name(&zip, "b/1.png", ZIP_DEFLATED);
    zip_name(&zip, "a/1.png", ZIP_DEFLATED);
    zip_add(&zip, "a/2.png", "later", 5, ZIP_STORED);
    finish();
    data_source *source = set_open(path, NULL);
    set_lists(source, "0 a/1.png\n0 a/2.png\n1 b/1.png\n");
    set_holds(source, 1, "later");
    ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_AGAIN), 1);
    data_source_close(source);
}
END_TEST

START_TEST(a_zip_is_known_by_its_bytes)
{
    char *other = test_path(root, "archive");

    names();
    zip_end(&zip, "");
    zip_write(&zip, other);
    data_source *source = set_open(other, NULL);
    check_names(source);
    data_source_close(source);
    base_free(other);
}
END_TEST

START_TEST(links_hidden_and_climbing_names_are_ignored_and_counted)
{
    zip_name(&zip, "a/1.png", ZIP_STORED);
    zip_name(&zip, "a/soft.png", ZIP_STORED);
    zip_put(zip.entries + zip.last + 38, (uint64_t)0120777 << 16, 4);
    zip_name(&zip, "a/", ZIP_STORED);
    zip_name(&zip, "a/._1.png", ZIP_STORED);
    zip_name(&zip, "__MACOSX/a/1.png", ZIP_STORED);
    zip_name(&zip, "../b/1.png", ZIP_STORED);
    zip_name(&zip, "a/../1.png", ZIP_STORED);
    zip_name(&zip, "top.png", ZIP_STORED);
    zip_name(&zip, "b\\1.png", ZIP_STORED); /* Windows: a folder */
    zip_put(zip.entries + zip.last + 4, 20, 2);
    finish();
    data_source *source = set_open(path, NULL);
    set_lists(source, "0 a/1.png\n1 b/1.png\n");
    ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_HIDDEN), 4);
    ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_LINK), 1);
    ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_OUTSIDE), 1);
    data_source_close(source);
}
END_TEST

START_TEST(tiny_imagenet_is_read_as_downloaded)
{
    static const char labels[] = "val_1.JPEG\tn02124075\t0\t0\t1\t1\n"
                                 "val_0.JPEG\tn01443537\t0\t32\t44\t62\n";
    const data_source_options train = {.split = "train"};

    zip_add(&zip, "tiny/wnids.txt", "n02124075\nn01443537\n", 20, ZIP_DEFLATED);
    zip_name(&zip, "tiny/train/n01443537/images/n01443537_0.JPEG", ZIP_DEFLATED);
    zip_name(&zip, "tiny/train/n02124075/images/n02124075_0.JPEG", ZIP_DEFLATED);
    zip_name(&zip, "tiny/val/images/val_0.JPEG", ZIP_STORED);
    zip_name(&zip, "tiny/val/images/val_1.JPEG", ZIP_STORED);
    zip_add(&zip, "tiny/val/val_annotations.txt", labels, strlen(labels), ZIP_DEFLATED);
    zip_name(&zip, "tiny/test/images/test_0.JPEG", ZIP_STORED);
    finish();
    data_source *source = set_open(path, NULL);
    set_lists(source, "0 n01443537/val_0.JPEG\n1 n02124075/val_1.JPEG\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "val_annotations.txt"));
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "'wnids.txt' has another"));
    data_source_close(source);
    source = set_open(path, &train);
    set_lists(source, "0 n01443537/images/n01443537_0.JPEG\n"
                      "1 n02124075/images/n02124075_0.JPEG\n");
    data_source_close(source);
}
END_TEST

static void add_kaggle(void)
{
    static const char solution[] = "ImageId,PredictionString\n"
                                   "ILSVRC2012_val_00000002,n01443537 1 2 3 4 \n"
                                   "ILSVRC2012_val_00000001,n01440764 1 2 3 4 \n";

    zip_add(&zip, "LOC_val_solution.csv", solution, strlen(solution), ZIP_DEFLATED);
    zip_name(&zip, "ILSVRC/Annotations/CLS-LOC/train/n01440764/a.xml", ZIP_DEFLATED);
    zip_name(&zip, "ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_00000001.JPEG", ZIP_STORED);
    zip_name(&zip, "ILSVRC/Data/CLS-LOC/train/n01443537/b.JPEG", ZIP_DEFLATED);
    zip_name(&zip, "ILSVRC/Data/CLS-LOC/train/n01440764/a.JPEG", ZIP_DEFLATED);
    zip_name(&zip, "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", ZIP_STORED);
    zip_name(&zip, "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000002.JPEG", ZIP_STORED);
}

START_TEST(kaggles_archive_is_read_as_downloaded)
{
    data_source_options options = {.classes_of_model = 1000, .split = "train"};

    add_kaggle();
    finish();
    data_source *source = set_open(path, &options);
    set_lists(source, "0 n01440764/a.JPEG\n1 n01443537/b.JPEG\n");
    data_source_close(source);
    options.split = NULL;
    source = set_open(path, &options);
    set_lists(source, "0 n01440764/ILSVRC2012_val_00000001.JPEG\n"
                      "1 n01443537/ILSVRC2012_val_00000002.JPEG\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "LOC_val_solution.csv"));
    set_holds(source, 1, "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000002.JPEG");
    data_source_close(source);
    options.split = "test";
    set_refused(path, &options, BASE_FORMAT, "no class folders or labels");
    options.allow_unlabelled = true;
    source = set_open(path, &options);
    ck_assert_uint_eq(data_source_count(source), 1);
    ck_assert_int_eq(data_source_label(source, 0), -1);
    data_source_close(source);
}
END_TEST

/* The same from a kept index: nothing is walked over, everything is read. */
START_TEST(a_kept_index_serves_zips)
{
    char *kept = test_path(root, "kept");
    const data_source_options options = {.index_cache = kept};
    struct timespec old[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};

    names();
    finish();
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    data_source_close(set_open(path, &options));
    data_source *source = set_open(path, &options);
    check_names(source);
    char *file = data_cache_file(source, &options);
    ck_assert(test_exists(file));
    base_free(file);
    data_source_close(source);
    base_free(kept);
}
END_TEST

/* The labels of Kaggle's val from a kept index, and from a file beside the archive. */
START_TEST(labels_in_the_archive_are_kept_with_its_index)
{
    char *kept = test_path(root, "kept");
    const data_source_options options = {.index_cache = kept, .classes_of_model = 1000};
    struct timespec old[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};
    static const char beside[] =
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n01443537 1 2 3 4 \n";

    add_kaggle();
    finish();
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    data_source_close(set_open(path, &options));
    data_source *source = set_open(path, &options);
    set_lists(source, "0 n01440764/ILSVRC2012_val_00000001.JPEG\n"
                      "1 n01443537/ILSVRC2012_val_00000002.JPEG\n");
    data_source_close(source);
    memset(&zip, 0, sizeof zip);
    zip_name(&zip, "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", ZIP_STORED);
    finish();
    set_file(root, "LOC_val_solution.csv", beside, strlen(beside));
    source = set_open(path, &one_class);
    ck_assert_str_eq(data_source_class_name(source, 0), "n01443537");
    data_source_close(source);
    base_free(kept);
}
END_TEST

/* ---- refused ------------------------------------------------------------------------ */

static void refused(base_status status, const char *part)
{
    finish();
    set_refused(path, &one_class, status, part);
}

START_TEST(an_encrypted_image_is_refused_by_name)
{
    zip_name(&zip, "a/notes.txt", ZIP_STORED);
    zip_put(zip.entries + zip.last + 8, 1, 2); /* what is no image may be */
    zip_name(&zip, "a/1.png", ZIP_STORED);
    zip_put(zip.entries + zip.last + 8, 1, 2);
    refused(BASE_UNSUPPORTED, "'a/1.png' is encrypted");
}
END_TEST

START_TEST(other_methods_are_refused_by_name)
{
    zip_name(&zip, "a/1.png", ZIP_STORED);
    zip_put(zip.entries + zip.last + 10, 93, 2);
    refused(BASE_UNSUPPORTED, "'a/1.png' is packed by method 93 (zstd)");
}
END_TEST

START_TEST(bombs_are_refused_by_name)
{
    zip_name(&zip, "a/1.png", ZIP_DEFLATED);
    zip_put(zip.entries + zip.last + 24, 1 << 20, 4); /* 1032 : 1 is deflate's most */
    refused(BASE_FORMAT, "'a/1.png' would unpack 9 bytes to 1048576");
}
END_TEST

START_TEST(a_ratio_no_picture_has_is_refused)
{
    static const char zeros[(64 << 10)];

    zip_add(&zip, "a/1.png", zeros, sizeof zeros, ZIP_DEFLATED);
    zip_put(zip.entries + zip.last + 20, 80000, 4); /* 32 MiB of it: 419 : 1 */
    zip_put(zip.entries + zip.last + 24, 32 << 20, 4);
    zip.body_bytes += 80000;
    refused(BASE_FORMAT, "a zip bomb?");
}
END_TEST

START_TEST(members_that_lie_in_one_another_are_refused)
{
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "a/%d.png", i);
        zip_name(&zip, name, ZIP_STORED);
        zip_put(zip.entries + zip.last + 42, 0, 4);
        zip_put(zip.entries + zip.last + 20, 100, 4);
        zip_put(zip.entries + zip.last + 24, 100, 4);
    }
    refused(BASE_FORMAT, "its members lie in one another");
}
END_TEST

START_TEST(members_beyond_the_archive_are_refused)
{
    zip_name(&zip, "a/1.png", ZIP_STORED);
    zip_put(zip.entries + zip.last + 42, 5000, 4);
    refused(BASE_FORMAT, "member 0 ('a/1.png') ends beyond the archive");
}
END_TEST

START_TEST(a_directory_elsewhere_is_refused_with_advice)
{
    names();
    zip_end(&zip, "");
    zip_put(zip.body + zip.body_bytes - 6, 3, 4);
    zip_write(&zip, path);
    set_refused(path, NULL, BASE_FORMAT, "its directory is not at offset 3");
}
END_TEST

START_TEST(a_directory_of_another_length_is_refused)
{
    names();
    zip.count += 2;
    refused(BASE_FORMAT, "its directory has 8 members, its end says 10");
}
END_TEST

START_TEST(every_cut_is_refused_or_harmless)
{
    names();
    zip_end(&zip, "");
    const size_t whole = zip.body_bytes;
    for (size_t i = 0; i < whole; i++) {
        data_source *source = NULL;
        base_error err = {0};
        zip.body_bytes = i;
        zip_write(&zip, path);
        ck_assert_int_ne(data_source_open(&source, path, NULL, &err), BASE_OK);
        ck_assert_ptr_nonnull(strstr(err.text, "x.zip"));
    }
    set_refused(path, NULL, BASE_FORMAT, "has no directory at its end: cut off");
    zip.body_bytes = 0;
    zip_write(&zip, path);
    set_refused(path, NULL, BASE_FORMAT, "is empty, expected a zip archive");
}
END_TEST

START_TEST(volumes_are_refused)
{
    names();
    zip_end(&zip, "");
    zip_put(zip.body + zip.body_bytes - 22 + 4, 2, 4);
    zip_write(&zip, path);
    set_refused(path, NULL, BASE_UNSUPPORTED, "one of several volumes");
}
END_TEST

START_TEST(damaged_members_are_bad_samples_with_their_reason)
{
    zip_name(&zip, "a/1.png", ZIP_STORED);
    zip.body[zip.body_bytes - 1] ^= 1;
    zip_name(&zip, "a/2.png", ZIP_DEFLATED);
    zip_put(zip.entries + zip.last + 24, 300, 4);
    zip_name(&zip, "a/3.png", ZIP_DEFLATED);
    zip.body[zip.body_bytes - 3] ^= 0x55;
    const size_t local = zip.body_bytes;
    zip_name(&zip, "a/4.png", ZIP_STORED);
    zip.body[local] = 'Q';
    zip_name(&zip, "a/5.png", ZIP_STORED);
    finish();
    data_source *source = set_open(path, &one_class);
    set_unreadable(source, 0, "the CRC-32 of the zip member is wrong");
    set_unreadable(source, 1, "does not unpack to the 300 bytes");
    set_unreadable(source, 2, "corrupt: ");
    set_unreadable(source, 3, "no member at offset");
    set_holds(source, 4, "a/5.png");
    data_source_close(source);
}
END_TEST

START_TEST(archives_in_a_zip_are_refused)
{
    zip_name(&zip, "train.zip", ZIP_STORED);
    zip_name(&zip, "val.zip", ZIP_STORED);
    refused(BASE_UNSUPPORTED, "holds 2 archives and no images");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_zip");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_zip_is_read_as_a_folder_is);
    tcase_add_test(core, zip64_and_a_comment_are_read);
    tcase_add_test(core, a_class_that_comes_again_is_sorted);
    tcase_add_test(core, a_zip_is_known_by_its_bytes);
    tcase_add_test(core, links_hidden_and_climbing_names_are_ignored_and_counted);
    tcase_add_test(core, tiny_imagenet_is_read_as_downloaded);
    tcase_add_test(core, kaggles_archive_is_read_as_downloaded);
    tcase_add_test(core, a_kept_index_serves_zips);
    tcase_add_test(core, labels_in_the_archive_are_kept_with_its_index);
    tcase_add_test(limits, an_encrypted_image_is_refused_by_name);
    tcase_add_test(limits, other_methods_are_refused_by_name);
    tcase_add_test(limits, bombs_are_refused_by_name);
    tcase_add_test(limits, a_ratio_no_picture_has_is_refused);
    tcase_add_test(limits, members_that_lie_in_one_another_are_refused);
    tcase_add_test(limits, members_beyond_the_archive_are_refused);
    tcase_add_test(limits, a_directory_elsewhere_is_refused_with_advice);
    tcase_add_test(limits, a_directory_of_another_length_is_refused);
    tcase_add_test(limits, every_cut_is_refused_or_harmless);
    tcase_add_test(limits, volumes_are_refused);
    tcase_add_test(limits, damaged_members_are_bad_samples_with_their_reason);
    tcase_add_test(limits, archives_in_a_zip_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
