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

int main(void)
{
    Suite *suite = suite_create("data_npy");
    TCase *core = test_case("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, labels_of_numpy_files_are_found_by_name);
    tcase_add_test(core, pairs_of_numpy_files_are_images_and_labels);
    tcase_add_test(core, a_numpy_header_may_be_long);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
