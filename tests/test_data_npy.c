/* test_data_npy.c - NumPy files of images and labels: which belong together, what is read
 * of them, headers that are refused. */
#include "data/data_internal.h"

#include "tests/test_layouts.h"

/* Which file has the labels: by the name of the images', else labels.npy. */
START_TEST(labels_of_numpy_files_are_found_by_name)
{
    static const char *const pairs[][2] = {{"x_test.npy", "y_test.npy"},
                                           {"Xtrain.npy", "Ytrain.npy"},
                                           {"my_images_10.npy", "my_labels_10.npy"},
                                           {"fog.npy", "labels.npy"}};
    static const unsigned char pixels[2 * 2 * 2 * 3];
    uint16_t numbers[2] = {3, 258};

    set_npy(root, "labels.npy", "<u2", "(2,)", numbers, sizeof numbers);
    for (size_t i = 0; i < 4; i++) {
        char *path = test_path(root, pairs[i][0]);
        numbers[0] = (uint16_t)(4 + i);
        set_npy(root, pairs[i][0], "|u1", "(2, 2, 2, 3)", pixels, sizeof pixels);
        set_npy(root, pairs[i][1], "<u2", "(2,)", numbers, sizeof numbers);
        data_source *source = set_open(path, NULL);
        ck_assert_int_eq(data_source_label(source, 0), 4 + (int)i);
        ck_assert_int_eq(data_source_label(source, 1), 258);
        data_source_close(source);
        base_free(path);
    }
}
END_TEST

START_TEST(pairs_of_numpy_files_are_images_and_labels)
{
    enum { SIDE = 32, BYTES = SIDE * SIDE * 3, COUNT = 10 };
    static unsigned char pixels[COUNT * BYTES], labels[COUNT];
    int64_t wide[COUNT];
    data_image image = {0};
    data_health health;
    char name[100];

    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (unsigned char)(i * 7 + i / BYTES);
    for (size_t i = 0; i < COUNT; i++)
        wide[i] = labels[i] = (unsigned char)(9 - i);
    set_npy(root, "fog.npy", "|u1", "(10, 32, 32, 3)", pixels, sizeof pixels);
    set_npy(root, "labels.npy", "|u1", "(10,)", labels, sizeof labels);
    char *path = test_path(root, "fog.npy"), *piece = test_path(root, "fog.npy#4");
    data_source *source = set_open(path, NULL);
    ck_assert_str_eq(data_source_layout(source), "npy");
    ck_assert_uint_eq(data_source_count(source), COUNT);
    ck_assert_uint_eq(data_source_classes(source), COUNT);
    ck_assert_int_eq(data_source_label(source, 2), 7);
    ck_assert_int_eq(data_source_image(source, 3, &image, &health, NULL, NULL, NULL, NULL),
                     BASE_OK);
    ck_assert_uint_eq(image.width, SIDE);
    ck_assert_uint_eq(image.channels, 3);
    ck_assert_mem_eq(image.pixels, pixels + 3 * BYTES, BYTES);
    ck_assert_str_eq(data_source_relative_name(source, 3, name, sizeof name),
                     "6/fog-00003.png");
    data_source_close(source);

    set_npy(root, "labels.npy", "<i8", "(10,)", wide, sizeof wide);
    source = set_open(piece, NULL); /* severity 4 of CIFAR-10-C */
    ck_assert_uint_eq(data_source_count(source), 2);
    ck_assert_int_eq(data_source_label(source, 0), 3);
    ck_assert_int_eq(data_source_image(source, 1, &image, &health, NULL, NULL, NULL, NULL),
                     BASE_OK);
    ck_assert_mem_eq(image.pixels, pixels + 7 * BYTES, BYTES);
    data_source_close(source);

    data_imagenet_c *tree = NULL;
    ck_assert_int_eq(data_imagenet_c_open(&tree, root, NULL), BASE_OK);
    ck_assert_uint_eq(data_imagenet_c_count(tree), 5);
    ck_assert_str_eq(data_imagenet_c_corruption(tree, 4), "fog");
    ck_assert_int_eq(data_imagenet_c_source(&source, tree, 3, NULL, NULL), BASE_OK);
    ck_assert_int_eq(data_source_label(source, 0), 3);
    data_source_close(source);
    data_imagenet_c_close(tree);

    set_npy(root, "snow.npy", "|u1", "(10, 32, 32, 3)", pixels, sizeof pixels);
    set_refused(root, NULL, BASE_USAGE, "holds 2 NumPy files of images");
    set_npy(root, "fog.npy", "<f4", "(10, 2, 2, 3)", pixels, 480);
    set_refused(path, NULL, BASE_UNSUPPORTED, "numbers of type '<f4', expected whole ones");
    set_npy(root, "fog.npy", "|u1", "(10, 3, 2, 5)", pixels, 300);
    set_refused(path, NULL, BASE_FORMAT, "has the shape [10, 3, 2, 5] of u1");
    static const struct {
        const char *shape, *says;
    } strange[] = {{"10, 2, 2, 3", "its NumPy header has no shape"},
                   {"(10, 2, 2, 3, 1)", "has a strange shape, expected at most four sizes"},
                   {"(ten, 2, 2, 3)", "has a strange shape, expected at most four sizes"},
                   {"(10000000000000000000, 2)", "its NumPy header has a strange shape"},
                   {"(10, 2;2)", "its NumPy header has a strange shape"}};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        set_npy(root, "fog.npy", "|u1", strange[i].shape, pixels, 10);
        set_refused(path, NULL, BASE_FORMAT, strange[i].says);
    }
    set_npy(root, "fog.npy", "|u1", "(10, 2, 0, 3)", pixels, 0);
    set_refused(path, NULL, BASE_FORMAT, "has the shape [10, 2, 0, 3] of u1");
    set_npy(root, "fog.npy", "|u1", "(9, 2, 2, 3)", pixels, 108);
    set_refused(path, NULL, BASE_MISMATCH, "holds 9 images, but");
    set_npy(root, "fog.npy", "|u1", "(10, 2, 2, 3)", pixels, 119);
    set_refused(path, NULL, BASE_FORMAT,
                "has 119 bytes after its header, which tells of 120");
    data_image_destroy(&image);
    base_free(path);
    base_free(piece);
}
END_TEST

/* Of format 2 a header may have more than 65535 bytes. */
START_TEST(a_numpy_header_may_be_long)
{
    enum { HEAD = 12, TEXT = 65536, PIXELS = 2 * 3 };
    static const unsigned char labels[2] = {0, 1};
    static const char says[] =
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 1, 3), }";
    static char file[HEAD + TEXT + PIXELS];

    memcpy(file, "\x93NUMPY\2\0\0\0\1\0", HEAD); /* little endian: 65536 */
    memset(file + HEAD, ' ', TEXT);
    memcpy(file + HEAD, says, strlen(says));
    set_file(root, "fog.npy", file, sizeof file);
    set_npy(root, "labels.npy", "|u1", "(2,)", labels, sizeof labels);
    char *path = test_path(root, "fog.npy");
    data_source *source = set_open(path, NULL);
    ck_assert_uint_eq(data_source_count(source), 2);
    data_source_close(source);
    file[8] = 1;
    set_file(root, "fog.npy", file, sizeof file);
    set_refused(path, NULL, BASE_FORMAT, "ends inside its header");
    base_free(path);
}
END_TEST

/* ---- headers ------------------------------------------------------------------------- */

/* Whole messages; path is that of the images, or of the labels. */
static void check_message(const char *where, const char *text)
{
    data_source *source = NULL;
    base_error err = {0};
    char *want = base_text("'%s'%s", where, text);

    ck_assert_int_ne(data_source_open(&source, where, NULL, &err), BASE_OK);
    ck_assert_str_eq(err.text, want);
    base_free(want);
}

START_TEST(headers_are_read_field_by_field)
{
    static const struct {
        const char *text;
        const char *want; /* NULL: as it should be */
    } headers[] = {
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 1, 3), }", NULL},
        {"{'shape':(2,1,1,3),'descr':'<u1','fortran_order':False}", NULL},
        {"{'descr':   '|u1', 'fortran_order':   False, 'shape':   ( 2, 1, 3 ,), }", NULL},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (2, 1, 1, 3), }",
         " is in Fortran's order, expected C's (numpy.save of numpy.ascontiguousarray)"},
        {"{'descr': '>u2', 'fortran_order': False, 'shape': (2, 1, 1, 3), }",
         " holds numbers of type '>u2', expected whole ones ('|u1')"},
        {"{'descr': '<u3', 'fortran_order': False, 'shape': (2, 1, 1, 3), }",
         " holds numbers of type '<u3', expected whole ones ('|u1')"},
        {"{'descr': '<u16', 'fortran_order': False, 'shape': (2, 1, 1, 3), }",
         " holds numbers of type '<u16', expected whole ones ('|u1')"},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (2, 1, 1, 3), }",
         " holds numbers of type '|b1', expected whole ones ('|u1')"},
        {"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2, 1, 1, 3), }",
         ": its NumPy header lacks descr, fortran_order or shape"},
        {"{'fortran_order': False, 'shape': (2, 1, 1, 3), }",
         ": its NumPy header lacks descr, fortran_order or shape"},
        {"{'descr': '|u1', 'shape': (2, 1, 1, 3), }",
         ": its NumPy header lacks descr, fortran_order or shape"},
        {"{'descr': '|u1', 'fortran_order': False }",
         ": its NumPy header lacks descr, fortran_order or shape"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 1, 4), }",
         " has 6 bytes after its header, which tells of 8"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (2, 1, 1, 3), }",
         " has the shape [2, 1, 1, 3] of i1, expected bytes [N, height, width, 3] or [N, "
         "height, width]"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (3, 1, 1, 1), }",
         " has the shape [3, 1, 1, 1] of u2, expected bytes [N, height, width, 3] or [N, "
         "height, width]"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }",
         " has the shape [2, 3, 0, 0] of u1, expected bytes [N, height, width, 3] or [N, "
         "height, width]"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 3, 2), }",
         " has the shape [1, 1, 3, 2] of u1, expected bytes [N, height, width, 3] or [N, "
         "height, width]"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6, 1, 1, 1), }",
         NULL}, /* but for its labels */
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807, 9, 9), }",
         ": its NumPy header tells of too many numbers"},
    };
    static const unsigned char labels[2] = {0, 1};
    char file[10 + 100 + 6], *path = test_path(root, "fog.npy");

    set_npy(root, "labels.npy", "|u1", "(2,)", labels, sizeof labels);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        data_source *source = NULL;
        base_error err = {0};
        memcpy(file, "\x93NUMPY\1\0d\0", 10); /* 100 bytes */
        memset(file + 10, ' ', 100);
        memcpy(file + 10, headers[i].text, strlen(headers[i].text));
        memcpy(file + 110, "abcdef", 6);
        set_file(root, "fog.npy", file, sizeof file);
        if (headers[i].want) {
            check_message(path, headers[i].want);
            continue;
        }
        const base_status status = data_source_open(&source, path, NULL, &err);
        if (strstr(headers[i].text, "(6")) {
            char *want =
                base_text("'%s' holds 6 images, but '%s/labels.npy' 2 labels", path, root);
            ck_assert_str_eq(err.text, want);
            base_free(want);
            continue;
        }
        ck_assert_msg(status == BASE_OK, "header %zu: %s", i, err.text);
        set_holds(source, 0, "abc");
        set_holds(source, 1, "def");
        data_source_close(source);
    }
    base_free(path);
}
END_TEST

/* The first bytes of a file, at every length and format. */
START_TEST(what_is_no_numpy_file_is_refused)
{
    static const char says[] =
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 1, 3), }";
    static const unsigned char labels[2] = {0, 1};
    enum { TEXT = sizeof says - 1 };
    char file[12 + TEXT + 6], *path = test_path(root, "fog.npy");

    set_npy(root, "labels.npy", "|u1", "(2,)", labels, sizeof labels);
    for (int format = 0; format <= 4; format++) {
        const size_t head = format > 1 ? 12 : 10, whole = head + TEXT + 6;
        memcpy(file, "\x93NUMPY\0\0\0\0\0\0", 12);
        file[6] = (char)format;
        file[8] = TEXT;
        memcpy(file + head, says, TEXT);
        memcpy(file + head + TEXT, "abcdef", 6);
        for (size_t size = 1; size <= whole; size++) {
            set_file(root, "fog.npy", file, size);
            char text[80];
            snprintf(text, sizeof text, " has %zu bytes after its header, which tells of 6",
                     size - head - TEXT);
            if (format < 1 || format > 3 || size < 10)
                check_message(path, ": is no NumPy file of format 1 to 3");
            else if (size < head + TEXT)
                check_message(path, ": ends inside its header");
            else if (size < whole)
                check_message(path, text);
            else
                data_source_close(set_open(path, NULL));
        }
    }
    file[5] = 'X', file[6] = 1;
    set_file(root, "fog.npy", file, 10);
    check_message(path, ": is no NumPy file of format 1 to 3");
    base_free(path);
}
END_TEST

START_TEST(labels_of_every_type_are_read)
{
    static const struct {
        const char *type;
        size_t bytes;
        const char *label;
        int want; /* -1: out of range */
    } cases[] = {
        {"|u1", 1, "\xff", 255},
        {"|i1", 1, "\x7f", 127},
        {"|i1", 1, "\x80", -1},
        {"<u2", 2, "\xff\xff", 65535},
        {"<i2", 2, "\xff\x7f", 32767},
        {"<i2", 2, "\xff\xff", -1},
        {"<u4", 4, "\xff\xff\0\0", 65535},
        {"<u4", 4, "\0\0\1\0", -1},
        {"<i4", 4, "\1\2\0\0", 513},
        {"<i4", 4, "\0\0\0\x80", -1},
        {"<i8", 8, "\5\0\0\0\0\0\0\0", 5},
        {"<i8", 8, "\0\0\0\0\1\0\0\0", -1},
        {"<i8", 8, "\0\0\0\0\0\0\0\x80", -1},
        {"<u8", 8, "\0\0\0\0\0\0\0\x80", -1},
        {"<u8", 8, "\xff\xff\xff\x7f\0\0\0\0", -1},
    };
    static const unsigned char pixels[2];
    char *path = test_path(root, "fog.npy");

    set_npy(root, "fog.npy", "|u1", "(2, 1, 1)", pixels, sizeof pixels);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char labels[16] = {0};
        memcpy(labels + cases[i].bytes, cases[i].label, cases[i].bytes);
        set_npy(root, "labels.npy", cases[i].type, "(2,)", labels, 2 * cases[i].bytes);
        if (cases[i].want < 0) {
            char *beside = test_path(root, "labels.npy"), *want;
            base_error err = {0};
            data_source *source = NULL;
            ck_assert_int_eq(data_source_open(&source, path, NULL, &err), BASE_FORMAT);
            want = base_text("'%s': label 1 is out of range, expected 0 to 65535", beside);
            ck_assert_str_eq(err.text, want);
            base_free(want);
            base_free(beside);
            continue;
        }
        data_source *source = set_open(path, NULL);
        ck_assert_int_eq(data_source_label(source, 0), 0);
        ck_assert_int_eq(data_source_label(source, 1), cases[i].want);
        ck_assert_uint_eq(data_source_classes(source), (size_t)cases[i].want + 1);
        size_t width = 0, height = 0, channels = 0;
        data_source_uniform(source, &width, &height, &channels);
        ck_assert(width == 1 && height == 1 && channels == 1);
        data_source_close(source);
    }
    set_npy(root, "labels.npy", "|u1", "(2, 1)", pixels, 2);
    char *want = base_text("'%s/labels.npy' has 2 sizes, expected labels [N]", root);
    set_refused(path, NULL, BASE_FORMAT, want);
    base_free(want);
    base_free(path);
}
END_TEST

/* "#1" to "#5" are pieces of equal size, and nothing else is. */
START_TEST(pieces_have_their_own_images)
{
    static const unsigned char labels[15] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    char pixels[15 * 2], *path = test_path(root, "fog.npy"), name[64], want[64];

    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (char)('A' + i);
    set_npy(root, "fog.npy", "|u1", "(15, 1, 2)", pixels, sizeof pixels);
    set_npy(root, "labels.npy", "|u1", "(15,)", labels, sizeof labels);
    for (size_t piece = 1; piece <= 5; piece++) {
        char *part = base_text("%s#%zu", path, piece);
        data_source *source = set_open(part, NULL);
        ck_assert_uint_eq(data_source_count(source), 3);
        for (size_t i = 0; i < 3; i++) {
            const size_t at = 3 * (piece - 1) + i;
            snprintf(want, sizeof want, "%.2s", pixels + 2 * at);
            set_holds(source, i, want);
            ck_assert_int_eq(data_source_label(source, i), labels[at]);
            snprintf(want, sizeof want, "%d/fog-%05zu.png", labels[at], at);
            ck_assert_str_eq(data_source_relative_name(source, i, name, sizeof name), want);
            char *whole = base_text("%s[%zu]", part, i), shown[600];
            ck_assert_str_eq(data_source_name(source, i, shown, sizeof shown), whole);
            ck_assert_uint_eq(data_source_bytes(source, i), 2);
            base_free(whole);
        }
        data_source_close(source);
        base_free(part);
    }
    static const char *const none[] = {"#0", "#6", "#", "#11", "1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char *part = base_text("%s%s", path, none[i]);
        set_refused(part, NULL, BASE_IO, "No such file or directory");
        base_free(part);
    }
    set_npy(root, "fog.npy", "|u1", "(14, 1, 2)", pixels, 28);
    set_npy(root, "labels.npy", "|u1", "(14,)", labels, 14);
    char *part = base_text("%s#2", path);
    check_message(part, " has 14 images, no five severities of as many each");
    base_free(part);
    base_free(path);
}
END_TEST

/* Pictures one pixel wide are pictures. */
START_TEST(raw_pixels_are_surveyed)
{
    static const struct {
        const char *shape;
        size_t grey;
    } cases[] = {{"(4, 3, 1)", 4}, {"(4, 1, 1, 3)", 0}};
    static const unsigned char zeros[12], labels[4] = {0, 1, 1};
    const data_survey_options plain = {0};
    char *path = test_path(root, "fog.npy");

    set_npy(root, "labels.npy", "|u1", "(4,)", labels, 4);
    for (size_t i = 0; i < 2; i++) {
        data_survey s;
        set_npy(root, "fog.npy", "|u1", cases[i].shape, zeros, 12);
        data_source *source = set_open(path, NULL);
        ck_assert_int_eq(data_survey_make(&s, source, &plain, NULL), BASE_OK);
        ck_assert_uint_eq(s.kinds[DATA_PICTURE_RAW], 4);
        ck_assert_uint_eq(s.kinds[DATA_PICTURE_GREY], cases[i].grey);
        ck_assert_uint_eq(s.kinds[DATA_PICTURE_DEEP] + s.kinds[DATA_PICTURE_JPEG] +
                              s.kinds[DATA_PICTURE_PNG],
                          0);
        ck_assert_uint_eq(s.health[DATA_HEALTH_OK], 4);
        ck_assert_uint_eq(s.sized, 4);
        ck_assert_uint_eq(s.width.high, 1);
        ck_assert_uint_eq(s.height.low, i == 0 ? 3 : 1);
        ck_assert_uint_eq(s.pixels.middle, i == 0 ? 3 : 1);
        ck_assert_uint_eq(s.file.low, 3);
        ck_assert_uint_eq(s.bytes, 12);
        ck_assert(s.per_class[0] == 2 && s.per_class[1] == 2);
        data_survey_free(&s);
        data_source_close(source);
    }
    base_free(path);
}
END_TEST

START_TEST(a_folder_has_one_pair_or_is_asked_about)
{
    static const unsigned char zeros[64];
    char *lonely = test_path(root, "lonely/fog.npy"), *set = test_path(root, "set"), *want;
    base_error err = {0};
    data_source *source = NULL;

    set_npy(root, "lonely/fog.npy", "|u1", "(2, 1, 1, 3)", zeros, 6);
    check_message(lonely, " has no labels.npy beside it");
    set_npy(set, "labels.npy", "|u1", "(2,)", zeros, 2);
    ck_assert_int_eq(data_source_open(&source, set, NULL, &err), BASE_FORMAT);
    want = base_text(
        "'%s' holds no pair of NumPy files, expected images.npy and labels.npy", set);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    set_npy(set, ".hidden.npy", "|u1", "(2, 1, 1, 3)", zeros, 6);
    set_npy(set, "a.npy", "|u1", "(2, 1, 1, 3)", zeros, 6);
    set_text("set/b.txt", "no");
    source = set_open(set, &(data_source_options){.allow_single_class = true});
    ck_assert_uint_eq(data_source_count(source), 2);
    data_source_close(source);
    for (char c = 'b'; c < 'f'; c++) {
        char name[8] = {c, '.', 'n', 'p', 'y', 0};
        set_npy(set, name, "|u1", "(2, 1, 1, 3)", zeros, 6);
    }
    source = NULL;
    ck_assert_int_eq(data_source_open(&source, set, NULL, &err), BASE_USAGE);
    want = base_text("'%s' holds 5 NumPy files of images (", set);
    ck_assert_int_eq(strncmp(err.text, want, strlen(want)), 0);
    base_free(want);
    want = base_text(", ...): name one of them, or one severity of it as '%s/NAME.npy#3', "
                     "or all by eval --imagenet-c",
                     set);
    ck_assert_ptr_nonnull(strstr(err.text, want));
    base_free(want);
    base_free(set);
    base_free(lonely);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_npy");
    TCase *core = test_case("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, labels_of_numpy_files_are_found_by_name);
    tcase_add_test(core, pairs_of_numpy_files_are_images_and_labels);
    tcase_add_test(core, a_numpy_header_may_be_long);
    tcase_add_test(core, headers_are_read_field_by_field);
    tcase_add_test(core, what_is_no_numpy_file_is_refused);
    tcase_add_test(core, labels_of_every_type_are_read);
    tcase_add_test(core, pieces_have_their_own_images);
    tcase_add_test(core, raw_pixels_are_surveyed);
    tcase_add_test(core, a_folder_has_one_pair_or_is_asked_about);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
