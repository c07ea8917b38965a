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

/* ---- trees part by part -------------------------------------------------------------- */

/* "corruption severity path" of every part, a line each, paths below the root. */
static void check_tree(const char *const *files, const char *want)
{
    char found[1000] = "";
    size_t used = 0;

    for (size_t i = 0; files[i]; i++)
        set_name_file(root, files[i]);
    data_imagenet_c *tree = open_tree(root);
    for (size_t i = 0; i < data_imagenet_c_count(tree); i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s %d %s\n",
                                 data_imagenet_c_corruption(tree, i),
                                 data_imagenet_c_severity(tree, i),
                                 data_imagenet_c_path(tree, i) + strlen(root) + 1);
    ck_assert_str_eq(found, want);
    data_imagenet_c_close(tree);
    teardown();
    setup();
}

START_TEST(trees_have_severities_1_to_5_and_clean_images_0)
{
    static const char *const edges[] = {
        "fog/0/c/1.png",   "fog/1/c/1.png",     "fog/5/c/1.png",
        "fog/6/c/1.png",   "fog/10/c/1.png",    "clean/0/c/1.png",
        "clean/1/c/1.png", "snow/2/c/1.png",    "snow/x.txt",
        "readme.txt",      ".hidden/1/c/1.png", "own/3/c/1.png",
        "other/3/c/1.png", "other/2/c/1.png",   NULL};
    static const char *const grouped[] = {
        "extra/saturate/1/c/1.png",   "digital/contrast/1/c/1.png",
        "weather/snow/1/c/1.png",     "blur/zoom_blur/1/c/1.png",
        "noise/shot_noise/1/c/1.png", "noise/noise/1/c/1.png", /* a group at the top only */
        "noises/1/c/1.png",           NULL};

    check_tree(edges, "clean 0 clean/0\nclean 1 clean/1\nsnow 2 snow/2\nfog 1 fog/1\n"
                      "fog 5 fog/5\nother 2 other/2\nother 3 other/3\nown 3 own/3\n");
    check_tree(grouped, "shot_noise 1 noise/shot_noise/1\nzoom_blur 1 blur/zoom_blur/1\n"
                        "snow 1 weather/snow/1\ncontrast 1 digital/contrast/1\n"
                        "saturate 1 extra/saturate/1\nnoise 1 noise/noise/1\n"
                        "noises 1 noises/1\n");
}
END_TEST

/* '#' parts a file of arrays from its severity, and is a letter in names of folders. */
START_TEST(folders_may_have_any_name)
{
    char *where = test_path(root, "set#1");

    set_name_file(root, "set#1/fog/2/a/1.png");
    set_name_file(root, "set#1/fog/2/b/2.png");
    data_imagenet_c *tree = open_tree(where);
    data_source *source = NULL;
    base_error err = {0};
    ck_assert_msg(data_imagenet_c_source(&source, tree, 0, NULL, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_str_eq(data_source_layout(source), "folder");
    set_lists(source, "0 a/1.png\n1 b/2.png\n");
    data_source_close(source);
    data_imagenet_c_close(tree);
    base_free(where);
}
END_TEST

START_TEST(known_corruptions_stand_in_the_papers_order)
{
    static const char *const known[] = {"clean",         "gaussian_noise",
                                        "shot_noise",    "impulse_noise",
                                        "defocus_blur",  "glass_blur",
                                        "motion_blur",   "zoom_blur",
                                        "snow",          "frost",
                                        "fog",           "brightness",
                                        "contrast",      "elastic_transform",
                                        "pixelate",      "jpeg_compression",
                                        "speckle_noise", "gaussian_blur",
                                        "spatter",       "saturate"};
    enum { KNOWN = sizeof known / sizeof *known };

    for (size_t i = 0; i < KNOWN; i++) {
        char *name = base_text("%s/1/c/1.png", known[i]);
        ck_assert_uint_eq(data_c_rank(known[i], strlen(known[i])), i);
        ck_assert_uint_eq(data_c_rank(known[i], strlen(known[i]) - 1), SIZE_MAX);
        ck_assert_uint_eq(data_c_rank(name, strlen(known[i]) + 1), SIZE_MAX);
        set_name_file(root, name);
        base_free(name);
    }
    data_imagenet_c *tree = open_tree(root);
    ck_assert_uint_eq(data_imagenet_c_count(tree), KNOWN);
    for (size_t i = 0; i < KNOWN; i++)
        ck_assert_str_eq(data_imagenet_c_corruption(tree, i), known[i]);
    data_imagenet_c_close(tree);
}
END_TEST

/* CORRUPTION/SEVERITY/CLASS/FILE, up to three folders around. */
START_TEST(names_of_members_are_taken_apart)
{
    static const struct {
        const char *name, *corruption, *class; /* NULL: no name of a tree */
        int severity;
        size_t prefix;
        bool known;
    } names[] = {
        {"fog/1/c/1.png", "fog", "c", 1, 5, true},
        {"fog/5/c/d/1.png", "fog", "c", 5, 5, true},
        {"a/b/c/fog/3/ant/1.png", "fog", "ant", 3, 11, true},
        {"a/b/c/d/fog/3/ant/1.png", NULL, NULL, 0, 0, false},
        {"own/2/c/1.png", "own", "c", 2, 5, false},
        {"clean/0/c/1.png", "clean", "c", 0, 7, true},
        {"fog/0/c/1.png", NULL, NULL, 0, 0, false},
        {"fog/6/c/1.png", NULL, NULL, 0, 0, false},
        {"fog/1", NULL, NULL, 0, 0, false},
        {"fog/1/c", NULL, NULL, 0, 0, false},
        {"fog/1/c/", NULL, NULL, 0, 0, false},
        {"fog/1//1.png", NULL, NULL, 0, 0, false},
        {"fog", NULL, NULL, 0, 0, false},
        {"", NULL, NULL, 0, 0, false},
        {"fog/11/c/1.png", NULL, NULL, 0, 0, false},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        data_c_name found;
        const bool good = data_c_name_parse(&found, names[i].name);
        ck_assert_msg(good == (names[i].class != NULL), "%s", names[i].name);
        if (!good)
            continue;
        ck_assert_uint_eq(found.prefix, names[i].prefix);
        ck_assert_uint_eq(found.corruption_bytes, strlen(names[i].corruption));
        ck_assert_uint_eq(found.class_bytes, strlen(names[i].class));
        ck_assert_mem_eq(names[i].name + found.corruption, names[i].corruption,
                         found.corruption_bytes);
        ck_assert_mem_eq(names[i].name + found.class, names[i].class, found.class_bytes);
        ck_assert_int_eq(found.severity, names[i].severity);
        ck_assert_int_eq(found.known, names[i].known);
    }
}
END_TEST

/* What an archive or a folder is taken for. */
START_TEST(trees_are_known_by_what_is_in_them)
{
    static const struct {
        const char *name;
        const char *layout; /* NULL: of no data set */
    } cases[] = {{"fog/1/c/1.png", "imagenet-c"},   {"weather/fog/1/c/1.png", "imagenet-c"},
                 {"clean/0/c/1.png", "imagenet-c"}, {"own/1/c/1.png", "folder"},
                 {"noise/own/1/c/1.png", "folder"}, {"fog/6/c/1.png", "folder"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_name_file(root, cases[i].name);
        data_source *source = set_open(root, &any);
        ck_assert_msg(strcmp(data_source_layout(source), cases[i].layout) == 0, "%s is %s",
                      cases[i].name, data_source_layout(source));
        data_source_close(source);
        teardown();
        setup();
    }
    set_folder(root, "fog");
    data_imagenet_c *tree = NULL;
    base_error err = {0};
    ck_assert_int_eq(data_imagenet_c_open(&tree, root, &err), BASE_FORMAT);
    char *want = base_text("'%s' is no ImageNet-C tree, expected CORRUPTION/SEVERITY/CLASS/"
                           "FILE in it, with severities 1 to 5",
                           root);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    ck_assert_int_eq(data_imagenet_c_open(&tree, "/nowhere", &err), BASE_IO);
    ck_assert_str_eq(err.text,
                     "cannot read the folder '/nowhere': No such file or directory");
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
    tcase_add_test(core, trees_have_severities_1_to_5_and_clean_images_0);
    tcase_add_test(core, folders_may_have_any_name);
    tcase_add_test(core, known_corruptions_stand_in_the_papers_order);
    tcase_add_test(core, names_of_members_are_taken_apart);
    tcase_add_test(core, trees_are_known_by_what_is_in_them);
    tcase_add_test(limits, corruptions_are_never_classes);
    tcase_add_test(limits, nobody_trains_on_it_unasked);
    tcase_add_test(limits, the_same_part_twice_is_refused);
    tcase_add_test(limits, class_folders_of_that_name_are_classes);
    tcase_add_test(limits, videos_of_imagenet_p_are_called_what_they_are);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
