/* test_data_source.c - folders of class folders: order, names, links, and what is refused.
 * Which label a folder has: test_data_labels.c; parts held out: test_data_held.c. */
#include "data/data_internal.h"

#include <sys/resource.h>

#include "tests/test_layouts.h"

START_TEST(samples_stand_in_bytewise_order_of_label_and_path)
{
    set_name_file(root, "b/2.png");
    set_name_file(root, "b/10.png");
    set_name_file(root, "B/1.JPEG");
    set_name_file(root, "a/s0.jpg");
    set_name_file(root, "a/s/deep/x.jpg"); /* '.' < '/' < '0' */
    set_name_file(root, "a/s/a.jpg");
    set_name_file(root, "a/s.jpg");
    data_source *source = set_open(root, NULL);

    ck_assert_str_eq(data_source_layout(source), "folder");
    ck_assert_str_eq(data_source_path(source), root);
    ck_assert_uint_eq(data_source_classes(source), 3);
    ck_assert_str_eq(data_source_class_name(source, 0), "B");
    ck_assert_str_eq(data_source_class_name(source, 2), "b");
    ck_assert_ptr_null(data_source_class_name(source, 3));
    set_lists(source, "0 B/1.JPEG\n"
                      "1 a/s.jpg\n1 a/s/a.jpg\n1 a/s/deep/x.jpg\n1 a/s0.jpg\n"
                      "2 b/10.png\n2 b/2.png\n");
    set_holds(source, 3, "a/s/deep/x.jpg");
    ck_assert_str_eq(data_source_notice(source), "");
    data_source_close(source);
}
END_TEST

/* A word before a colon is a layout, a part held out, or an error. */
START_TEST(words_before_a_colon_are_minded)
{
#define LAYOUTS_TEXT                                                                       \
    " is no layout of data, expected one of folder, tar, zip, ilsvrc, kaggle, wds, list, " \
    "idx, cifar-bin, images, imagenet-c, npy, tfrecord"
    static const struct {
        const char *spec, *text;
    } cases[] = {
        {"box:x", "'box'" LAYOUTS_TEXT},
        {"held-:x", "'held-'" LAYOUTS_TEXT},
        {"held:x", "'held'" LAYOUTS_TEXT},
        {"held-3x:x", "'held-3x'" LAYOUTS_TEXT},
        {"hold-3:x", "'hold-3'" LAYOUTS_TEXT},
        {"held-99999999999999999999:x", "'held-99999999999999999999'" LAYOUTS_TEXT},
        {"held-9999999999999999999999999:x",
         "'held-9999999999999999999999999'" LAYOUTS_TEXT},
        {"folders:x", "'folders'" LAYOUTS_TEXT},
        {"fold:x", "'fold'" LAYOUTS_TEXT},
        {"", "'' names no data"},
        {"tar:", "'tar:' names no data"},
        {"held-3:", "'held-3:' names no data"},
        {"rest-3:zip:", "'rest-3:zip:' names no data"},
        {":x", "cannot open ':x': No such file or directory"},
        {"Folder:x", "cannot open 'Folder:x': No such file or directory"},
        {"a b:x", "cannot open 'a b:x': No such file or directory"},
        {"folder:/nowhere", "cannot open the folder '/nowhere': No such file or directory"},
        {"held-3:folder:/nowhere",
         "cannot open the folder '/nowhere': No such file or directory"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_source *source = NULL;
        base_error err = {0};
        ck_assert_int_ne(data_source_open(&source, cases[i].spec, NULL, &err), BASE_OK);
        ck_assert_str_eq(err.text, cases[i].text);
    }
}
END_TEST

/* Which options meant nothing, one after the other. */
START_TEST(options_that_meant_nothing_are_listed)
{
    static const char *const names[] = {"split", "val-labels", "class-map", "label-key"};
    bool end = false;

    set_name_file(root, "a.png");
    set_file(root, "l.txt", "a.png\t1\n", 8);
    char *list = test_path(root, "l.txt");
    for (unsigned given = 0; given < 16; given++) {
        const data_source_options options = {.split = given & 1 ? "val" : NULL,
                                             .val_labels = given & 2 ? "x" : NULL,
                                             .class_map = given & 4 ? "x" : NULL,
                                             .label_key = given & 8 ? "x" : NULL,
                                             .allow_single_class = true,
                                             .lenient = true};
        data_source *source = set_open(list, &options);
        for (size_t i = 0; i < 4; i++) {
            const char *unused = data_source_unused(&end, source, i);
            ck_assert(!end);
            ck_assert((unused != NULL) == ((given >> i & 1) != 0));
            ck_assert(!unused || strcmp(unused, names[i]) == 0);
        }
        ck_assert_ptr_null(data_source_unused(&end, source, 4));
        ck_assert(end);
        data_source_close(source);
    }
    base_free(list);
}
END_TEST

START_TEST(what_is_known_of_a_source_is_told)
{
    size_t count = 0, width = 9, height = 9, channels = 9;
    static const char *const reasons[DATA_IGNORED_COUNT] = {
        "no image by its name",         "of a format that is not read",
        "hidden or unsafe name",        "link or device",
        "outside of any class folder",  "too deep",
        "overwritten by a later member"};

    set_name_file(root, "ant/1.png");
    set_name_file(root, "ant/2.webp");
    set_name_file(root, "bee/3.tif");
    set_name_file(root, "bee/4.png");
    data_source *source = set_open(root, NULL);
    ck_assert_str_eq(data_source_layout(source), "folder");
    ck_assert_str_eq(data_source_holds(source),
                     "a folder with one folder of images for each class");
    ck_assert_uint_eq(data_source_bytes(source, 0), 9);
    ck_assert_str_eq(data_source_format(&count, source, 0), "webp");
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(data_source_format(&count, source, 1), "gif");
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(data_source_format(&count, source, DATA_FORMATS - 1), "webm");
    ck_assert_ptr_null(data_source_format(&count, source, DATA_FORMATS));
    ck_assert_uint_eq(count, 0);
    data_source_uniform(source, &width, &height, &channels);
    ck_assert_uint_eq(width + height + channels, 0);
    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        ck_assert_str_eq(data_ignored_name((data_ignored)i), reasons[i]);
    ck_assert_uint_eq(data_source_planned(source, 0), 2);
    ck_assert_uint_eq(data_source_planned(source, 1), 1);
    ck_assert_uint_eq(data_source_planned(source, 2), 2);
    ck_assert_uint_eq(data_source_planned(source, 3), 2);
    data_source_close(source);
}
END_TEST

START_TEST(messages_name_samples_safely)
{
    char name[300], *path = base_text("%s/a/x\ny.png", root);

    set_name_file(root, "a/x\ny.png");
    set_name_file(root, "b/z.png");
    char *slashes = base_text("folder:%s//", root);
    data_source *source = set_open(slashes, NULL);
    data_source_name(source, 0, name, sizeof name);
    ck_assert_ptr_null(strchr(name, '\n'));
    ck_assert_msg(strstr(name, "/a/x\\x0ay.png") != NULL, "%s", name);
    data_source_name(source, 1, name, sizeof name);
    ck_assert_int_eq(strncmp(name, root, strlen(root)), 0);
    ck_assert_str_eq(name + strlen(root), "/b/z.png");
    data_source_close(source);
    base_free(slashes);
    base_free(path);
}
END_TEST

START_TEST(what_is_no_image_is_ignored_and_counted)
{
    set_name_file(root, "README.txt");    /* 1 */
    set_name_file(root, "loose.png");     /* 2: in no class */
    set_name_file(root, ".hidden/x.png"); /* 3: the folder */
    set_name_file(root, "a/._x.JPEG");    /* 4 */
    set_name_file(root, "a/Thumbs.db");   /* 5 */
    set_name_file(root, "a/jpg");         /* 6 */
    set_name_file(root, "a/x.JpG");
    set_name_file(root, "b/y.jpeg");
    char *link = test_path(root, "b/broken.png"); /* 7 */
    ck_assert_int_eq(symlink("nowhere", link), 0);
    char *pipe = test_path(root, "b/pipe.png"); /* 8 */
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    char *through = test_path(root, "b/through.png"); /* 9: a file as if it were a folder */
    ck_assert_int_eq(symlink("y.jpeg/x.png", through), 0);
    char *itself = test_path(root, "b/itself.png"); /* 10 */
    ck_assert_int_eq(symlink("itself.png", itself), 0);
    data_source *source = set_open(root, NULL);

    set_lists(source, "0 a/x.JpG\n1 b/y.jpeg\n");
    ck_assert_uint_eq(data_source_ignored(source), 10);
    ck_assert_str_eq(data_source_notice(source),
                     "1 images outside of any class folder ignored");
    data_source_close(source);
    base_free(link);
    base_free(pipe);
    base_free(through);
    base_free(itself);
}
END_TEST

/* What cannot be looked at for another reason must not be missing in silence. */
START_TEST(a_name_that_cannot_be_looked_at_is_an_error)
{
    char name[301], *link = test_path(root, "b/x.png");
    data_source *source = NULL;
    base_error err = {0};

    set_name_file(root, "a/x.png");
    set_name_file(root, "b/y.png");
    memset(name, 'n', 300);
    name[300] = 0;
    ck_assert_int_eq(symlink(name, link), 0);
    ck_assert_int_eq(data_source_open(&source, root, NULL, &err), BASE_IO);
    ck_assert_ptr_null(source);
    ck_assert_ptr_nonnull(strstr(err.text, "/b': File name too long"));
    base_free(link);
}
END_TEST

START_TEST(links_are_followed_but_not_in_circles)
{
    char *other = test_folder_make();
    char *to_class = test_path(root, "b"), *circle = test_path(root, "a/up");
    char *file = test_path(root, "a/link.png"), *target = test_path(other, "x.png");

    set_name_file(other, "x.png");
    set_name_file(root, "a/0.png");
    ck_assert_int_eq(symlink(other, to_class), 0);
    ck_assert_int_eq(symlink(root, circle), 0);
    ck_assert_int_eq(symlink(target, file), 0);
    data_source *source = set_open(root, NULL);
    set_lists(source, "0 a/0.png\n0 a/link.png\n1 b/x.png\n");
    ck_assert_uint_eq(data_source_ignored(source), 1);
    set_holds(source, 1, "x.png");
    data_source_close(source);
    base_free(to_class);
    base_free(circle);
    base_free(file);
    base_free(target);
    test_folder_remove(other);
}
END_TEST

START_TEST(links_alone_can_be_class_folders)
{
    char *other = test_folder_make();
    char *a = test_path(root, "a"), *b = test_path(root, "b");

    set_name_file(other, "x.png");
    ck_assert_int_eq(symlink(other, a), 0);
    ck_assert_int_eq(symlink(other, b), 0);
    set_name_file(root, "loose.png");
    data_source *source = set_open(root, NULL);
    ck_assert_str_eq(data_source_layout(source), "folder");
    set_lists(source, "0 a/x.png\n1 b/x.png\n");
    data_source_close(source);
    base_free(a);
    base_free(b);
    test_folder_remove(other);
}
END_TEST

START_TEST(what_is_left_out_is_one_line_by_reason)
{
    char line[300];

    set_name_file(root, "a/1.jfif");
    set_name_file(root, "a/2.JPE");
    set_name_file(root, "b/1.png");
    data_source *source = set_open(root, NULL);
    set_lists(source, "0 a/1.jfif\n0 a/2.JPE\n1 b/1.png\n");
    ck_assert_str_eq(data_source_left_out(line, sizeof line, source), "");
    data_source_close(source);
    set_name_file(root, "a/3.webp");
    set_name_file(root, "a/4.WEBP");
    set_name_file(root, "b/5.bmp");
    set_name_file(root, "b/notes.txt");
    set_name_file(root, "b/.1.png");
    char *link = test_path(root, "b/gone.png");
    ck_assert_int_eq(symlink("nowhere", link), 0);
    base_free(link);
    source = set_open(root, NULL);
    ck_assert_str_eq(data_source_left_out(line, sizeof line, source),
                     "6 names left out: 1 no image by its name, 3 of a format that is not "
                     "read (2 webp, 1 bmp), 1 hidden or unsafe name, 1 link or device");
    ck_assert_str_eq(data_source_left_out(line, 20, source), "6 names left out: 1");
    data_source_close(source);
}
END_TEST

START_TEST(files_have_a_largest_size)
{
    unsigned char *buffer = NULL;
    size_t room = 0, size = 0;
    base_error err = {0};
    char *large = test_path(root, "a/2.png"), *huge = test_path(root, "b/3.png");

    set_name_file(root, "a/1.png");
    set_name_file(root, "a/2.png");
    set_name_file(root, "b/3.png");
    ck_assert_int_eq(truncate(large, (256 << 20) + 1), 0); /* holes: no disk is filled */
    ck_assert_int_eq(truncate(huge, (off_t)1 << 32), 0);
    data_source *source = set_open(root, NULL);
    set_unreadable(source, 1, "file too large");
    set_unreadable(source, 2, "file too large");
    ck_assert_uint_eq(data_source_bytes(source, 1), (256 << 20) + 1);
    ck_assert_uint_eq(data_source_bytes(source, 2), 0);
    ck_assert_int_eq(data_source_read_within(source, 0, &buffer, &room, &size, 6, &err),
                     BASE_FORMAT);
    ck_assert_str_eq(err.text, "file too large");
    ck_assert_ptr_null(buffer);
    ck_assert_int_eq(data_source_read_within(source, 0, &buffer, &room, &size, 7, &err),
                     BASE_OK);
    ck_assert_uint_eq(size, 7);
    ck_assert_uint_eq(room, 7 + 3 + 8192); /* half as much again, and some */
    unsigned char *before = buffer;
    ck_assert_int_eq(data_source_read_within(source, 0, &buffer, &room, &size, 7, &err),
                     BASE_OK);
    ck_assert_ptr_eq(buffer, before);
    base_free(buffer);
    data_source_close(source);
    base_free(large);
    base_free(huge);
}
END_TEST

/* Free text as the name of a folder, in any room. */
START_TEST(class_names_become_safe_folders)
{
    char *classes[] = {(char[]){"T-shirt/top"}, (char[]){".hidden"}, (char[]){"a.b"},
                       (char[]){"//"}};
    const data_source source = {.classes = classes, .class_count = 4};
    static const char *const want[] = {"T-shirt-top/", "-hidden/", "a.b/", "--/"};
    char out[20];

    for (int32_t i = 0; i < 4; i++) {
        data_class_folder(out, sizeof out, &source, i);
        ck_assert_str_eq(out, want[i]);
    }
    data_class_folder(out, sizeof out, &source, -1);
    ck_assert_str_eq(out, "");
    memset(out, 'x', sizeof out);
    data_class_folder(out, 5, &source, 0);
    ck_assert_str_eq(out, "T-s/");
    ck_assert_int_eq(out[5], 'x');
}
END_TEST

START_TEST(the_same_files_are_known_as_such)
{
    char *link = test_path(root, "other"), *set = test_path(root, "set");

    set_name_file(root, "set/a/1.png");
    set_name_file(root, "set/b/1.png");
    set_name_file(root, "copy/a/1.png");
    set_name_file(root, "copy/b/1.png");
    ck_assert_int_eq(symlink("set", link), 0);
    data_source *a = set_open(set, NULL), *b = set_open(link, NULL);
    char *copy = test_path(root, "copy");
    data_source *c = set_open(copy, NULL);
    ck_assert(data_source_same(a, b));
    ck_assert(!data_source_same(a, c));
    data_source_close(a);
    data_source_close(b);
    data_source_close(c);
    base_free(copy);
    base_free(set);
    base_free(link);
}
END_TEST

/* Other names of the same three files, then one of them another file. */
START_TEST(one_other_file_of_three_is_other_data)
{
    static const char *const names[] = {"a/1.png", "a/2.png", "b/3.png"};
    char *set = test_path(root, "set"), *links = test_path(root, "links");

    for (size_t i = 0; i < 3; i++)
        set_name_file(set, names[i]);
    set_folder(root, "links/a");
    set_folder(root, "links/b");
    for (size_t other = 0; other <= 3; other++) {
        for (size_t i = 0; i < 3; i++) {
            char *from = test_path(set, names[i]), *to = test_path(links, names[i]);
            ck_assert(unlink(to) == 0 || other == 0);
            if (i == other)
                set_name_file(links, names[i]);
            else
                ck_assert_int_eq(link(from, to), 0);
            base_free(from);
            base_free(to);
        }
        data_source *a = set_open(set, NULL), *b = set_open(links, NULL);
        ck_assert(data_source_same(a, b) == (other == 3));
        data_source_close(a);
        data_source_close(b);
    }
    base_free(set);
    base_free(links);
}
END_TEST

/* Members of one archive are told apart by where they lie in it. */
START_TEST(other_members_of_an_archive_are_other_data)
{
    char *path = NULL, *list = test_path(root, "list.txt"),
         *other = test_path(root, "other.txt");
    FILE *tar = set_tar_open(&path, root, "x.tar");

    set_name_member(tar, "1.png");
    set_name_member(tar, "2.png");
    set_name_member(tar, "3.png");
    set_tar_end(tar);
    const data_source_options one = {.allow_single_class = true};
    const char *text = "x.tar!1.png\t0\nx.tar!2.png\t0\n",
               *moved = "x.tar!1.png\t0\nx.tar!3.png\t0\n";
    test_write(list, text, strlen(text));
    for (int same = 0; same < 2; same++) {
        test_write(other, same ? text : moved, strlen(text));
        data_source *a = set_open(list, &one), *b = set_open(other, &one);
        ck_assert_uint_eq(data_source_shared(a, b), same ? 2 : 0);
        ck_assert(data_source_same(a, b) == same);
        data_source_close(a);
        data_source_close(b);
    }
    base_free(other);
    base_free(list);
    base_free(path);
}
END_TEST

START_TEST(a_folder_of_train_and_val_is_read_by_split)
{
    const data_source_options train = {.split = "train"}, test = {.split = "test"};

    set_name_file(root, "train/a/1.png");
    set_name_file(root, "train/b/2.png");
    set_name_file(root, "val/a/3.png");
    set_name_file(root, "val/b/4.png");
    data_source *source = set_open(root, &train);
    set_lists(source, "0 a/1.png\n1 b/2.png\n");
    set_holds(source, 0, "train/a/1.png");
    data_source_close(source);
    source = set_open(root, NULL);
    set_lists(source, "0 a/3.png\n1 b/4.png\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "reading 'val'"));
    data_source_close(source);
    set_refused(root, &test, BASE_IO, "holds no folder for the split test");
}
END_TEST

START_TEST(the_fingerprint_tells_other_data)
{
    set_name_file(root, "a/1.png");
    set_name_file(root, "b/1.png");
    data_source *source = set_open(root, NULL);
    const uint64_t first = data_source_fingerprint(source);
    data_source_close(source);

    source = set_open(root, NULL);
    ck_assert_uint_eq(data_source_fingerprint(source), first);
    data_source_close(source);

    set_file(root, "b/1.png", "longer than before", 18);
    source = set_open(root, NULL);
    ck_assert_uint_ne(data_source_fingerprint(source), first);
    data_source_close(source);
}
END_TEST

START_TEST(a_file_that_changed_is_a_bad_sample_with_its_reason)
{
    set_name_file(root, "a/1.png");
    set_name_file(root, "a/2.png");
    set_name_file(root, "a/3.png");
    set_name_file(root, "b/4.png");
    set_file(root, "b/5.png", "", 0);
    data_source *source = set_open(root, NULL);
    char *gone = test_path(root, "a/1.png");

    ck_assert_int_eq(unlink(gone), 0);
    set_file(root, "a/2.png", "a", 1);
    set_file(root, "a/3.png", "much more than there was", 24);
    set_unreadable(source, 0, "read error: No such file");
    set_unreadable(source, 1, "truncated");
    set_unreadable(source, 2, "read error: 24 bytes, but 7 when it was indexed");
    set_holds(source, 3, "b/4.png");
    set_unreadable(source, 4, "empty file");
    data_source_close(source);
    base_free(gone);
}
END_TEST

START_TEST(many_samples_unsorted_by_label_come_out_sorted)
{
    char name[64], last[64] = "";
    int32_t label = 0;

    for (unsigned i = 0; i < 600;
         i++) { /* folders 0 .. 11: 10 and 11 are walked before 2 */
        snprintf(name, sizeof name, "%u/%u.png", i % 12, i * 7919 % 1000);
        set_name_file(root, name);
    }
    data_source *source = set_open(root, NULL);
    ck_assert_uint_eq(data_source_count(source), 600);
    for (size_t i = 0; i < 600; i++) {
        data_source_relative_name(source, i, name, sizeof name);
        const int32_t now = data_source_label(source, i);
        ck_assert(now > label || (now == label && strcmp(name, last) > 0));
        set_holds(source, i, name);
        label = now;
        snprintf(last, sizeof last, "%s", name);
    }
    data_source_close(source);
}
END_TEST

START_TEST(absent_empty_and_strange_paths_are_refused_by_name)
{
    char *none = test_path(root, "none"), *file = test_path(root, "notes.txt");
    char *empty = test_path(root, "empty"), *spec = base_text("folder:%s", file);

    set_refused(none, NULL, BASE_IO, "none': No such file or directory");
    set_folder(root, "empty");
    set_refused(empty, NULL, BASE_FORMAT,
                "empty' holds no images, expected a folder with one folder of images");
    set_name_file(root, "notes.txt");
    set_refused(file, NULL, BASE_FORMAT, "notes.txt' is no data set, expected a folder");
    set_refused(spec, NULL, BASE_IO, "notes.txt': Not a directory");
    set_refused("", NULL, BASE_USAGE, "names no data");
    set_refused("folder:", NULL, BASE_USAGE, "names no data");
    set_refused("shoebox:there", NULL, BASE_USAGE,
                "'shoebox' is no layout of data, expected one of folder, tar, zip");
    base_free(none);
    base_free(file);
    base_free(empty);
    base_free(spec);
}
END_TEST

/* With ever more files that may be open: until it can be read it is refused, with the
 * reason, and nothing is left open. Some things are opened only to look: then another
 * layout or nothing is seen, which is no success either. */
START_TEST(too_few_files_that_may_be_open_are_told)
{
    static const char *const specs[] = {"folder:set", "images:set/a",    "list:l.txt",
                                        "npy:x.npy",  "imagenet-c:tree", "tar:x.tar",
                                        "wds:x.tar"};
    static const char *const names[] = {"set/a/1.png", "set/a/b/c/d/2.png", "set/e/3.png",
                                        "tree/fog/1/a/4.png", "tree/fog/2/b/5.png"};
    static const unsigned char zeros[6], labels[2] = {0, 1};
    const data_source_options options = {.allow_single_class = true,
                                         .allow_unlabelled = true};
    struct rlimit limit, less;
    char *tar_path;
    FILE *tar = set_tar_open(&tar_path, root, "x.tar");

    set_name_member(tar, "a/1.jpg");
    set_member(tar, "a/1.cls", '0', "0", 1);
    set_tar_end(tar);
    base_free(tar_path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        set_name_file(root, names[i]);
    set_file(root, "l.txt", "set/a/1.png\t0\nset/e/3.png\t1\n", 28);
    set_npy(root, "x.npy", "|u1", "(2, 1, 1, 3)", zeros, 6);
    set_npy(root, "labels.npy", "|u1", "(2,)", labels, 2);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        const char *colon = strchr(specs[i], ':');
        char *spec =
            base_text("%.*s:%s/%s", (int)(colon - specs[i]), specs[i], root, colon + 1);
        size_t refused = 0, good = 0;
        for (rlim_t most = 0; most < 64; most++) {
            data_source *source = NULL;
            base_error err = {0};
            less = limit;
            less.rlim_cur = most;
            ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
            const base_status status = data_source_open(&source, spec, &options, &err);
            const size_t count = status == BASE_OK ? data_source_count(source) : 0;
            data_source_close(source);
            ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
            refused += strstr(err.text, ": Too many open files") != NULL;
            ck_assert(status == BASE_OK || strstr(err.text, root));
            ck_assert_msg(good == 0 || status == BASE_OK, "%s", err.text);
            good += count > 0;
        }
        ck_assert_msg(refused > 0 && good > 5, "%s: %zu refused, %zu good", specs[i],
                      refused, good);
        base_free(spec);
    }
}
END_TEST

START_TEST(images_without_class_folders_are_refused)
{
    set_name_file(root, "1.png");
    set_name_file(root, "2.png");
    set_refused(root, NULL, BASE_FORMAT, "holds 2 images but no class folders");
}
END_TEST

START_TEST(a_path_that_can_be_two_things_asks)
{
    set_name_file(root, "a/1.png");
    set_name_file(root, "train-images-idx3-ubyte");
    set_refused(root, NULL, BASE_USAGE, "can be read in two ways: write 'folder:");
}
END_TEST

START_TEST(folders_deeper_than_the_limit_are_ignored)
{
    char name[128] = "a/";

    set_name_file(root, "b/1.png");
    for (int depth = 0; depth < 17; depth++) {
        strncat(name, "d/", sizeof name - strlen(name) - 1);
        char *file = base_text("%sx.png", name);
        set_name_file(root, file);
        base_free(file);
    }
    data_source *source = set_open(root, NULL);
    ck_assert_uint_eq(data_source_count(source), 1 + DATA_DEPTH_MAX - 1);
    ck_assert_uint_eq(data_source_ignored(source), 1);
    data_source_close(source);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_source");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, samples_stand_in_bytewise_order_of_label_and_path);
    tcase_add_test(core, messages_name_samples_safely);
    tcase_add_test(limits, files_have_a_largest_size);
    tcase_add_test(core, class_names_become_safe_folders);
    tcase_add_test(limits, words_before_a_colon_are_minded);
    tcase_add_test(core, options_that_meant_nothing_are_listed);
    tcase_add_test(core, what_is_known_of_a_source_is_told);
    tcase_add_test(core, what_is_no_image_is_ignored_and_counted);
    tcase_add_test(core, a_name_that_cannot_be_looked_at_is_an_error);
    tcase_add_test(core, links_are_followed_but_not_in_circles);
    tcase_add_test(core, links_alone_can_be_class_folders);
    tcase_add_test(core, what_is_left_out_is_one_line_by_reason);
    tcase_add_test(core, the_same_files_are_known_as_such);
    tcase_add_test(core, one_other_file_of_three_is_other_data);
    tcase_add_test(core, other_members_of_an_archive_are_other_data);
    tcase_add_test(core, a_folder_of_train_and_val_is_read_by_split);
    tcase_add_test(core, the_fingerprint_tells_other_data);
    tcase_add_test(core, a_file_that_changed_is_a_bad_sample_with_its_reason);
    tcase_add_test(core, many_samples_unsorted_by_label_come_out_sorted);
    tcase_add_test(limits, absent_empty_and_strange_paths_are_refused_by_name);
    tcase_add_test(limits, images_without_class_folders_are_refused);
    tcase_add_test(limits, too_few_files_that_may_be_open_are_told);
    tcase_add_test(limits, a_path_that_can_be_two_things_asks);
    tcase_add_test(limits, folders_deeper_than_the_limit_are_ignored);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
