/* test_data_idx.c - IDX files: finding the pair, class names, and every way to be wrong. */
#include "data/data_internal.h"

#include <zlib.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static char *root;

static const data_source_options one_class = {.allow_single_class = true};

static void setup(void)
{
    root = test_folder_make();
}

static void teardown(void)
{
    test_folder_remove(root);
}

/* Big-endian words, then bytes; packed: with gzip. */
static void write_idx(const char *name, const uint32_t *words, size_t count,
                      const void *bytes, size_t size, bool packed)
{
    unsigned char head[20];
    char *path = test_path(root, name);

    for (size_t i = 0; i < count; i++) {
        for (size_t b = 0; b < 4; b++)
            head[4 * i + b] = (unsigned char)(words[i] >> (24 - 8 * b));
    }
    gzFile file = gzopen(path, packed ? "wb" : "wbT"); /* T: no compression, no header */
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(gzwrite(file, head, (unsigned)(4 * count)), (int)(4 * count));
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)size), (int)size);
    ck_assert_int_eq(gzclose(file), Z_OK);
    base_free(path);
}

/* count images of 3 rows and 2 columns (pixel: sample * 6 + place), labels cyclic below
 * classes. */
static void write_pair(const char *set, unsigned count, unsigned classes, bool packed)
{
    unsigned char pixels[600], labels[100];
    char *images = base_text("%s-images-idx3-ubyte%s", set, packed ? ".gz" : "");
    char *names = base_text("%s-labels-idx1-ubyte%s", set, packed ? ".gz" : "");

    for (unsigned i = 0; i < count * 6; i++)
        pixels[i] = (unsigned char)i;
    for (unsigned i = 0; i < count; i++)
        labels[i] = (unsigned char)(i % classes);
    write_idx(images, (uint32_t[]){0x803, count, 3, 2}, 4, pixels, count * 6, packed);
    write_idx(names, (uint32_t[]){0x801, count}, 2, labels, count, packed);
    base_free(images);
    base_free(names);
}

static void check_pair(const char *spec, size_t count, size_t classes)
{
    data_source *source = set_open(spec, NULL);
    size_t width, height, channels;
    data_image image = {0};
    data_health health;

    ck_assert_str_eq(data_source_layout(source), "idx");
    ck_assert_uint_eq(data_source_count(source), count);
    ck_assert_uint_eq(data_source_classes(source), classes);
    data_source_uniform(source, &width, &height, &channels);
    ck_assert(width == 2 && height == 3 && channels == 1);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(data_source_label(source, i), (int)(i % classes));
        ck_assert_int_eq(
            data_source_image(source, i, &image, &health, NULL, NULL, NULL, NULL), BASE_OK);
        ck_assert(image.width == 2 && image.height == 3 && image.channels == 1);
        for (size_t k = 0; k < 6; k++)
            ck_assert_uint_eq(image.pixels[k], i * 6 + k);
    }
    data_image_destroy(&image);
    data_source_close(source);
}

START_TEST(a_pair_is_found_by_folder_prefix_and_file)
{
    char *prefix = test_path(root, "train"), *spec = base_text("idx:%s/train", root);
    char *file = test_path(root, "train-images-idx3-ubyte");

    write_pair("train", 7, 3, false);
    check_pair(root, 7, 3);
    check_pair(prefix, 7, 3);
    check_pair(spec, 7, 3);
    check_pair(file, 7, 3);
    base_free(prefix);
    base_free(spec);
    base_free(file);
}
END_TEST

START_TEST(packed_files_and_dotted_names_are_found)
{
    char *dotted = test_path(root, "t10k");

    write_pair("train", 20, 10, true);
    check_pair(root, 20, 10);
    char *from = test_path(root, "train-images-idx3-ubyte.gz");
    char *to = test_path(root, "t10k-images.idx3-ubyte.gz");
    char *from_labels = test_path(root, "train-labels-idx1-ubyte.gz");
    char *to_labels = test_path(root, "t10k-labels.idx1-ubyte.gz");
    ck_assert_int_eq(rename(from, to), 0);
    ck_assert_int_eq(rename(from_labels, to_labels), 0);
    check_pair(dotted, 20, 10);
    base_free(dotted);
    base_free(from);
    base_free(to);
    base_free(from_labels);
    base_free(to_labels);
}
END_TEST

START_TEST(images_may_be_packed_where_labels_are_not)
{
    char *plain = test_path(root, "train-labels-idx1-ubyte");
    char *packed = test_path(root, "train-labels-idx1-ubyte.gz");

    write_pair("train", 4, 2, false);
    write_pair("train", 4, 2, true);
    ck_assert_int_eq(unlink(plain), 0);
    check_pair(root, 4, 2);
    base_free(plain);
    base_free(packed);
}
END_TEST

START_TEST(two_sets_in_a_folder_ask_which)
{
    char *both = base_text("'%s/t10k' or '%s/train'", root, root);

    write_pair("train", 4, 2, false);
    write_pair("t10k", 4, 2, true);
    set_refused(root, NULL, BASE_USAGE, "holds two IDX sets: write");
    set_refused(root, NULL, BASE_USAGE, both);
    base_free(both);
}
END_TEST

/* By prefix, by file or by folder, it is one file; a set of the same bytes is another. */
START_TEST(a_pair_is_the_same_whatever_it_is_called)
{
    char *prefix = test_path(root, "train"),
         *file = test_path(root, "train-images-idx3-ubyte"),
         *copy = test_path(root, "copy");

    write_pair("train", 6, 3, false);
    data_source *one = set_open(prefix, NULL), *two = set_open(file, NULL),
                *three = set_open(root, NULL);
    ck_assert(data_source_same(one, two) && data_source_same(one, three));
    ck_assert_uint_eq(data_source_shared(one, two), 6);
    write_pair("copy", 6, 3, false);
    data_source *other = set_open(copy, NULL);
    ck_assert(!data_source_same(one, other));
    data_source_close(one);
    data_source_close(two);
    data_source_close(three);
    data_source_close(other);
    base_free(prefix);
    base_free(file);
    base_free(copy);
}
END_TEST

START_TEST(names_of_classes_come_from_a_file_a_list_or_are_numbers)
{
    static const char *const list[] = {"cup", "pen", "hat"};
    static const char *const numbers[] = {"0", "1", "2"};
    static const char *const others[] = {"cup", "hat", "pen"};
    const data_source_options options = {.class_list = list, .class_list_count = 3};
    const data_source_options plain = {.class_list = numbers, .class_list_count = 3};
    const data_source_options wrong = {.class_list = others, .class_list_count = 3};

    write_pair("train", 6, 2, false);
    data_source *source = set_open(root, NULL);
    ck_assert_str_eq(data_source_class_name(source, 1), "1");
    data_source_close(source);
    source = set_open(root, &options); /* numbers agree with any list */
    ck_assert_uint_eq(data_source_classes(source), 3);
    ck_assert_str_eq(data_source_class_name(source, 2), "hat");
    data_source_close(source);

    set_file(root, "classes.txt", "cup\r\npen \nhat\n\n", 16);
    source = set_open(root, NULL);
    ck_assert_uint_eq(data_source_classes(source), 3);
    ck_assert_str_eq(data_source_class_name(source, 1), "pen");
    data_source_close(source);
    source = set_open(root, &plain);
    ck_assert_str_eq(data_source_class_name(source, 1), "pen");
    data_source_close(source);
    data_source_close(set_open(root, &options));
    set_refused(root, &wrong, BASE_MISMATCH, "class 1 is 'pen', expected 'hat'");

    set_file(root, "classes.txt", "cup\n", 4);
    set_refused(root, NULL, BASE_FORMAT, "has the label 1, but 1 class names");
    set_file(root, "classes.txt", "\n\n", 2);
    set_refused(root, NULL, BASE_FORMAT, "classes.txt' is empty");
}
END_TEST

START_TEST(fashion_mnist_has_its_known_names)
{
    char name[100];
    char *train = test_path(root, "fashion-mnist/train");

    set_folder(root, "fashion-mnist");
    write_pair("fashion-mnist/train", 20, 10, true);
    data_source *source = set_open(train, NULL);
    ck_assert_uint_eq(data_source_classes(source), 10);
    ck_assert_str_eq(data_source_class_name(source, 0), "T-shirt/top");
    ck_assert_str_eq(data_source_class_name(source, 9), "Ankle boot");
    /* A name for files: nothing that a file name cannot hold. */
    ck_assert_str_eq(data_source_relative_name(source, 10, name, sizeof name),
                     "T-shirt-top/00010.png");
    char *expected = base_text("%s[10]", train), shown[300];
    ck_assert_str_eq(data_source_name(source, 10, shown, sizeof shown), expected);
    data_source_close(source);
    base_free(expected);
    base_free(train);
}
END_TEST

START_TEST(colour_images_have_four_sizes)
{
    unsigned char pixels[24];
    size_t width, height, channels;

    for (size_t i = 0; i < 24; i++)
        pixels[i] = (unsigned char)i;
    write_idx("c-images-idx3-ubyte", (uint32_t[]){0x804, 2, 2, 2, 3}, 5, pixels, 24, false);
    write_idx("c-labels-idx1-ubyte", (uint32_t[]){0x801, 2}, 2, "\0\1", 2, false);
    data_source *source = set_open(root, NULL);
    data_source_uniform(source, &width, &height, &channels);
    ck_assert(width == 2 && height == 2 && channels == 3);
    data_source_close(source);
}
END_TEST

START_TEST(a_wrong_beginning_is_refused)
{
    write_pair("train", 4, 2, false);
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x801, 4}, 2, "0123", 4, false);
    set_refused(root, NULL, BASE_FORMAT,
                "begins with 0x00000801, expected 0x00000803: an IDX file of images");
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0xd03, 1, 1, 1}, 4, "0123", 4, false);
    set_refused(root, NULL, BASE_FORMAT, "begins with 0x00000d03");
    write_pair("train", 4, 2, false);
    write_idx("train-labels-idx1-ubyte", (uint32_t[]){0x803, 4, 1, 1}, 4, "0123", 4, false);
    set_refused(root, NULL, BASE_FORMAT, "expected 0x00000801: an IDX file of labels");
}
END_TEST

START_TEST(lengths_must_be_exact)
{
    write_pair("train", 4, 2, false);
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x803, 4, 3, 2}, 4, "short", 5,
              false);
    set_refused(root, NULL, BASE_FORMAT, "is truncated: it ends at byte 21 of 40");
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x803, 4, 1, 1}, 4, "01234", 5, true);
    char *packed = test_path(root, "train-images-idx3-ubyte.gz");
    char *plain = test_path(root, "train-images-idx3-ubyte");
    ck_assert_int_eq(rename(plain, packed), 0);
    set_refused(root, NULL, BASE_FORMAT, "is longer than the 20 bytes its header tells of");
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x803}, 1, "\0\0", 2, false);
    set_refused(root, NULL, BASE_FORMAT, "is truncated");
    base_free(packed);
    base_free(plain);
}
END_TEST

START_TEST(a_cut_or_damaged_gzip_stream_is_refused)
{
    char *path = test_path(root, "train-images-idx3-ubyte.gz"), *bytes = NULL;
    size_t size = 0;

    write_pair("train", 30, 2, true);
    ck_assert_int_eq(base_file_read(&bytes, &size, path, 1 << 20, NULL), BASE_OK);
    for (size_t cut = size - 1; cut > size - 12; cut--) {
        test_write(path, bytes, cut);
        set_refused(root, NULL, BASE_FORMAT, "is truncated");
    }
    bytes[size - 6] = (char)(bytes[size - 6] ^ 0x10); /* in the checksum */
    test_write(path, bytes, size);
    set_refused(root, NULL, BASE_FORMAT, "damaged gzip data");
    base_free(bytes);
    base_free(path);
}
END_TEST

START_TEST(declared_sizes_are_checked_before_memory_is_had)
{
    const data_source_options small = {.idx_max_bytes = 23};

    write_pair("train", 4, 2, false);
    set_refused(root, &small, BASE_FORMAT, "tells of 24 bytes, more than the limit of 23");
    write_idx("train-images-idx3-ubyte",
              (uint32_t[]){0x803, 0xffffffff, 0xffffffff, 0xffffffff}, 4, "0123", 4, false);
    set_refused(root, NULL, BASE_FORMAT, "more than the limit of 1073741824");
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x803, 1u << 20, 32, 32}, 4, "0123",
              4, false);
    set_refused(root, NULL, BASE_FORMAT, "is truncated: it ends at byte 20 of");
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x803, 4, 0, 32}, 4, "", 0, false);
    set_refused(root, NULL, BASE_FORMAT,
                "has images of 0 x 32 x 1, expected sides above 0");
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x804, 1, 2, 1, 2}, 5, "0123", 4,
              false);
    set_refused(root, NULL, BASE_FORMAT, "expected sides above 0 and 1 or 3 channels");
}
END_TEST

START_TEST(counts_of_both_files_must_agree)
{
    write_pair("train", 4, 2, false);
    write_idx("train-labels-idx1-ubyte", (uint32_t[]){0x801, 3}, 2, "\0\1\0", 3, false);
    set_refused(root, NULL, BASE_MISMATCH, "holds 4 images, but '");
    write_idx("train-labels-idx1-ubyte", (uint32_t[]){0x801, 0}, 2, "", 0, false);
    write_idx("train-images-idx3-ubyte", (uint32_t[]){0x803, 0, 3, 2}, 4, "", 0, false);
    set_refused(root, NULL, BASE_FORMAT, "holds no images");
}
END_TEST

START_TEST(labels_beyond_the_list_are_refused)
{
    static const char *const list[] = {"cup", "pen"};
    const data_source_options options = {.class_list = list, .class_list_count = 2};

    write_pair("train", 6, 3, false);
    set_refused(root, &options, BASE_MISMATCH,
                "has the label 2, expected 0 to 1: there are 2 classes");
}
END_TEST

START_TEST(one_class_is_refused_unless_allowed)
{
    write_pair("train", 4, 1, false);
    set_refused(root, NULL, BASE_FORMAT, "has one class only ('0')");
    data_source_close(set_open(root, &one_class));
}
END_TEST

START_TEST(missing_files_are_named)
{
    char *labels = test_path(root, "train-labels-idx1-ubyte");
    char *none = base_text("idx:%s/nothing", root), *whole = base_text("idx:%s", root);

    set_refused(whole, NULL, BASE_FORMAT, "holds no IDX files");
    set_refused(none, NULL, BASE_IO, "neither a file or folder, nor the beginning of");
    write_pair("train", 4, 2, false);
    ck_assert_int_eq(unlink(labels), 0);
    set_refused(root, NULL, BASE_IO, "train-labels-idx1-ubyte': No such file");
    write_pair("train", 4, 2, false);
    set_refused(labels, NULL, BASE_USAGE, "is not named like an IDX file of images");
    base_free(labels);
    base_free(none);
    base_free(whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_idx");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_pair_is_found_by_folder_prefix_and_file);
    tcase_add_test(core, packed_files_and_dotted_names_are_found);
    tcase_add_test(core, images_may_be_packed_where_labels_are_not);
    tcase_add_test(core, two_sets_in_a_folder_ask_which);
    tcase_add_test(core, names_of_classes_come_from_a_file_a_list_or_are_numbers);
    tcase_add_test(core, fashion_mnist_has_its_known_names);
    tcase_add_test(core, colour_images_have_four_sizes);
    tcase_add_test(core, a_pair_is_the_same_whatever_it_is_called);
    tcase_add_test(limits, a_wrong_beginning_is_refused);
    tcase_add_test(limits, lengths_must_be_exact);
    tcase_add_test(limits, a_cut_or_damaged_gzip_stream_is_refused);
    tcase_add_test(limits, declared_sizes_are_checked_before_memory_is_had);
    tcase_add_test(limits, counts_of_both_files_must_agree);
    tcase_add_test(limits, labels_beyond_the_list_are_refused);
    tcase_add_test(limits, one_class_is_refused_unless_allowed);
    tcase_add_test(limits, missing_files_are_named);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
