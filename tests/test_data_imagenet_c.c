/* test_data_imagenet_c.c - ImageNet-C's own tars: their parts, each as a data set, all as
 * one, and that corruptions are never taken for classes. */
#include "data/data_internal.h"

#include <fcntl.h>
#include <time.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"
#include "tests/test_zip.h"

static char *root, *path;
static const char *kept; /* where indices are, NULL: nowhere */

static const data_source_options any = {.allow_single_class = true};

static void setup(void)
{
    root = test_folder_make();
    path = test_path(root, "noise.tar");
    kept = NULL;
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(root);
}

static const char *const members[] = {
    "gaussian_noise/1/n01440764/a.JPEG", "gaussian_noise/1/n01443537/b.JPEG",
    "gaussian_noise/2/n01440764/a.JPEG", "gaussian_noise/2/n01443537/b.JPEG",
    "shot_noise/1/n01440764/a.JPEG",     "shot_noise/1/n01443537/b.JPEG",
};

enum { MEMBERS = sizeof members / sizeof *members };

/* around: "" or "./ImageNet-C/noise/". */
static void write_tar(const char *name, const char *around)
{
    char *where, whole[128];
    FILE *file = set_tar_open(&where, root, name);

    set_member(file, "gaussian_noise/", '5', "", 0);
    for (size_t i = 0; i < MEMBERS; i++) {
        snprintf(whole, sizeof whole, "%s%s", around, members[i]);
        set_name_member(file, whole);
    }
    set_tar_end(file);
    base_free(where);
}

static void write_zip(const char *name)
{
    static zip_file zip;
    char *where = test_path(root, name);

    memset(&zip, 0, sizeof zip);
    for (size_t i = 0; i < MEMBERS; i++)
        zip_name(&zip, members[i], i % 2 ? ZIP_STORED : ZIP_DEFLATED);
    zip_end(&zip, "");
    zip_write(&zip, where);
    base_free(where);
}

static data_imagenet_c *open_tree(const char *where)
{
    data_imagenet_c *tree = NULL;
    base_error err = {0};

    ck_assert_msg(data_imagenet_c_open(&tree, where, &err) == BASE_OK, "%s", err.text);
    return tree;
}

static data_source *open_part(const data_imagenet_c *tree, size_t part,
                              const data_source_options *options)
{
    data_source *source = NULL;
    base_error err = {0};

    ck_assert_msg(data_imagenet_c_source(&source, tree, part, options, &err) == BASE_OK,
                  "%s", err.text);
    return source;
}

/* Three parts of two images each, in the paper's order. */
static void check_parts(const char *where, const char *around)
{
    static const char *const names[] = {"gaussian_noise", "gaussian_noise", "shot_noise"};
    static const int severities[] = {1, 2, 1};
    const data_source_options imagenet = {.classes_of_model = 1000,
                                          .index_cache = kept ? kept : "none"};
    data_imagenet_c *tree = open_tree(where);
    char whole[128];

    ck_assert_uint_eq(data_imagenet_c_count(tree), 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_str_eq(data_imagenet_c_corruption(tree, i), names[i]);
        ck_assert_int_eq(data_imagenet_c_severity(tree, i), severities[i]);
        data_source *source = open_part(tree, i, &imagenet);
        set_lists(source, "0 n01440764/a.JPEG\n1 n01443537/b.JPEG\n");
        snprintf(whole, sizeof whole, "%s%s", around, members[2 * i + 1]);
        set_holds(source, 1, whole);
        ck_assert_ptr_null(strstr(data_source_notice(source), "blocks of zeros"));
        data_source_close(source);
    }
    data_imagenet_c_close(tree);
}

START_TEST(a_tar_of_the_tree_has_its_parts)
{
    write_tar("noise.tar", "");
    check_parts(path, "");
}
END_TEST

START_TEST(folders_around_the_corruptions_do_not_matter)
{
    write_tar("noise.tar", "./ImageNet-C/noise/");
    check_parts(path, "./ImageNet-C/noise/");
}
END_TEST

START_TEST(a_folder_of_tars_is_the_tree)
{
    write_tar("noise.tar", "");
    set_name_file(root, "weather/fog/3/n01440764/a.JPEG");
    data_imagenet_c *tree = open_tree(root);
    ck_assert_uint_eq(data_imagenet_c_count(tree), 4);
    ck_assert_str_eq(data_imagenet_c_corruption(tree, 3), "fog");
    data_source *source = open_part(tree, 2, &any);
    set_holds(source, 0, "shot_noise/1/n01440764/a.JPEG");
    char *shown = base_text("%s!shot_noise/1", path);
    ck_assert_str_eq(data_imagenet_c_path(tree, 2), shown);
    base_free(shown);
    data_source_close(source);
    data_imagenet_c_close(tree);
    set_refused(root, &any, BASE_USAGE, "holds archives of an ImageNet-C tree");
}
END_TEST

START_TEST(a_zip_of_the_tree_has_its_parts)
{
    char *zip = test_path(root, "c.zip");

    write_zip("c.zip");
    check_parts(zip, "");
    base_free(zip);
}
END_TEST

/* Each part has an index of its own, and so has all of the archive. */
START_TEST(kept_indices_serve_parts)
{
    char *folder = test_path(root, "kept");
    const data_source_options options = {.index_cache = folder};
    const struct timespec old[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};

    kept = folder;
    write_tar("noise.tar", "");
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    for (int i = 0; i < 2; i++) {
        check_parts(path, "");
        data_source *source = set_open(path, &options);
        ck_assert_uint_eq(data_source_count(source), MEMBERS);
        set_holds(source, 4, "gaussian_noise/2/n01443537/b.JPEG");
        char *file = data_cache_file(source, &options);
        ck_assert(test_exists(file));
        base_free(file);
        data_source_close(source);
    }
    base_free(folder);
}
END_TEST

START_TEST(members_may_lie_in_any_order)
{
    FILE *file = fopen(path, "wb");

    for (size_t i = MEMBERS; i-- > 0;)
        set_name_member(file, members[(i * 5 + 2) % MEMBERS]);
    set_tar_end(file);
    check_parts(path, "");
}
END_TEST

/* From the first header of a part to the end of its last member, and no further. */
START_TEST(parts_of_a_tar_know_where_they_lie)
{
    static const char *const mixed[] = {"a/readme", "gaussian_noise/1/n01440764/a.JPEG",
                                        "gaussian_noise/2/n01440764/a.JPEG",
                                        "gaussian_noise/1/n01443537/b.JPEG"};
    enum { EACH = 2 * SET_BLOCK };
    FILE *file = fopen(path, "wb");
    data_c_part *part = NULL;
    size_t count = 0;

    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++)
        set_name_member(file, mixed[i]);
    set_tar_end(file);
    ck_assert_int_eq(data_c_archive_parts(&part, &count, path, NULL), BASE_OK);
    ck_assert_uint_eq(count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(part[i].severity, (int)i + 1);
        ck_assert_uint_eq(part[i].range[0], (i + 1) * EACH);
        ck_assert_uint_eq(part[i].range[1], (i == 0 ? 4 : 3) * EACH);
    }
    data_c_parts_destroy(part, count);
}
END_TEST

/* Other members may stand before the pictures, but not as many as are looked at. */
START_TEST(the_first_64_members_show_what_an_archive_is)
{
    for (int before = 63; before <= 64; before++) {
        FILE *file = fopen(path, "wb");

        for (int i = 0; i < before; i++)
            set_name_member(file, "notes.txt");
        set_name_member(file, members[0]);
        set_tar_end(file);
        ck_assert(data_c_archive_looks(path) == (before == 63));
    }
}
END_TEST

/* A directory may list members behind one another in the file the other way round. */
START_TEST(a_zip_may_list_its_last_member_first)
{
    static zip_file zip;
    unsigned char entry[256];
    char *where = test_path(root, "c.zip");

    memset(&zip, 0, sizeof zip);
    for (size_t i = 0; i < MEMBERS; i++) {
        zip_name(&zip, members[i], ZIP_STORED);
        const size_t bytes = zip.entry_bytes - zip.last;
        ck_assert_uint_le(bytes, sizeof entry);
        memcpy(entry, zip.entries + zip.last, bytes);
        memmove(zip.entries + bytes, zip.entries, zip.last);
        memcpy(zip.entries, entry, bytes);
    }
    zip_end(&zip, "");
    zip_write(&zip, where);
    check_parts(where, "");
    base_free(where);
}
END_TEST

START_TEST(all_of_a_tar_is_one_data_set)
{
    write_tar("noise.tar", "");
    data_source *source = set_open(path, &any);
    ck_assert_str_eq(data_source_layout(source), "imagenet-c");
    set_lists(source, "0 gaussian_noise/1/n01440764/a.JPEG\n"
                      "0 gaussian_noise/2/n01440764/a.JPEG\n"
                      "0 shot_noise/1/n01440764/a.JPEG\n"
                      "1 gaussian_noise/1/n01443537/b.JPEG\n"
                      "1 gaussian_noise/2/n01443537/b.JPEG\n"
                      "1 shot_noise/1/n01443537/b.JPEG\n");
    set_holds(source, 4, "gaussian_noise/2/n01443537/b.JPEG");
    ck_assert_str_eq(data_source_notice(source), "all corruptions and severities in one");
    data_source_close(source);
}
END_TEST

/* ---- refused ------------------------------------------------------------------------ */

START_TEST(corruptions_are_never_classes)
{
    char *zip = test_path(root, "c.zip"), *tree = test_path(root, "tree");
    const char *const layouts[] = {"tar:", "zip:", "folder:"};
    const char *const paths[] = {path, zip, tree};

    write_tar("noise.tar", "");
    write_zip("c.zip");
    for (size_t i = 0; i < MEMBERS; i++)
        set_name_file(tree, members[i]);
    for (size_t i = 0; i < 3; i++) {
        char *spec = base_text("%s%s", layouts[i], paths[i]);
        set_refused(spec, &any, BASE_USAGE, "is an ImageNet-C tree");
        set_refused(spec, &any, BASE_USAGE, "no classes: eval --imagenet-c");
        base_free(spec);
    }
    base_free(zip);
    base_free(tree);
}
END_TEST

START_TEST(nobody_trains_on_it_unasked)
{
    const data_source_options training = {.defines_classes = true};
    char *spec = base_text("imagenet-c:%s", path);

    write_tar("noise.tar", "");
    set_refused(path, &training, BASE_USAGE,
                "not to train on; if these are your own, write");
    data_source *source = set_open(spec, &training);
    ck_assert_uint_eq(data_source_classes(source), 2);
    data_source_close(source);
    base_free(spec);
}
END_TEST

START_TEST(the_same_part_twice_is_refused)
{
    data_imagenet_c *tree = NULL;
    base_error err = {0};

    write_tar("noise.tar", "");
    set_name_file(root, "noise/shot_noise/1/n01440764/a.JPEG");
    ck_assert_int_eq(data_imagenet_c_open(&tree, root, &err), BASE_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "are the same corruption and severity"));
}
END_TEST

START_TEST(class_folders_of_that_name_are_classes)
{
    FILE *file = fopen(path, "wb");

    set_name_member(file, "fog/a.png"); /* a data set of weather */
    set_name_member(file, "snow/winter/b.png");
    set_tar_end(file);
    data_source *source = set_open(path, NULL);
    ck_assert_str_eq(data_source_layout(source), "tar");
    set_lists(source, "0 fog/a.png\n1 snow/winter/b.png\n");
    data_source_close(source);
}
END_TEST

START_TEST(videos_of_imagenet_p_are_called_what_they_are)
{
    FILE *file = fopen(path, "wb");

    set_name_member(file, "gaussian_noise/n01440764/ILSVRC2012_val_00000293.mp4");
    set_name_member(file, "shot_noise/n01440764/ILSVRC2012_val_00000293.mp4");
    set_tar_end(file);
    set_refused(
        path, &any, BASE_UNSUPPORTED,
        "holds 2 videos and no images (ImageNet-P's sequences are .mp4): videos are not "
        "read");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_imagenet_c");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_tar_of_the_tree_has_its_parts);
    tcase_add_test(core, folders_around_the_corruptions_do_not_matter);
    tcase_add_test(core, a_folder_of_tars_is_the_tree);
    tcase_add_test(core, a_zip_of_the_tree_has_its_parts);
    tcase_add_test(core, kept_indices_serve_parts);
    tcase_add_test(core, members_may_lie_in_any_order);
    tcase_add_test(core, parts_of_a_tar_know_where_they_lie);
    tcase_add_test(core, the_first_64_members_show_what_an_archive_is);
    tcase_add_test(core, a_zip_may_list_its_last_member_first);
    tcase_add_test(core, all_of_a_tar_is_one_data_set);
    tcase_add_test(limits, corruptions_are_never_classes);
    tcase_add_test(limits, nobody_trains_on_it_unasked);
    tcase_add_test(limits, the_same_part_twice_is_refused);
    tcase_add_test(limits, class_folders_of_that_name_are_classes);
    tcase_add_test(limits, videos_of_imagenet_p_are_called_what_they_are);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
