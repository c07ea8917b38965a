/* test_data_cifar.c - CIFAR's binary files: pixels, labels, parts, names. */
#include "data/data_internal.h"

#include "tests/test_layouts.h"

static const data_source_options one = {.allow_single_class = true};

START_TEST(cifars_binary_files_become_pixels)
{
    enum { RECORD = 3073 };
    unsigned char bytes[2 * RECORD];
    data_image image = {0};
    data_health health;
    char name[64];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 1024);
    bytes[0] = 9;
    bytes[RECORD] = 0;
    set_file(root, "test_batch.bin", bytes, sizeof bytes);
    set_file(root, "data_batch_1.bin", bytes + RECORD, RECORD);
    set_text("batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\n"
                                 "ship\ntruck\n\n");
    data_source *source = set_open(root, &one);
    ck_assert_str_eq(data_source_layout(source), "cifar-bin");
    ck_assert_uint_eq(data_source_count(source), 2);
    ck_assert_uint_eq(data_source_classes(source), 10);
    ck_assert_int_eq(data_source_label(source, 0), 9);
    data_source_relative_name(source, 0, name, sizeof name);
    ck_assert_str_eq(name, "truck/test_batch-00000.png");
    ck_assert_int_eq(data_source_image(source, 1, &image, &health, NULL, NULL, NULL, NULL),
                     BASE_OK);
    ck_assert_uint_eq(image.width, 32);
    for (size_t p = 0; p < 1024; p += 77)
        for (size_t c = 0; c < 3; c++)
            ck_assert_uint_eq(image.pixels[3 * p + c], bytes[RECORD + 1 + 1024 * c + p]);
    data_source_close(source);
    data_source_options train = one;
    train.split = "train";
    source = set_open(root, &train);
    ck_assert_uint_eq(data_source_count(source), 1);
    data_source_close(source);
    set_file(root, "test_batch.bin", bytes, 3000);
    set_refused(root, &one, BASE_FORMAT, "has 3000 bytes, expected a multiple of 3073");
    data_image_destroy(&image);
}
END_TEST

/* CIFAR-100 has two label bytes, of which the second counts; files of a part in order. */
START_TEST(cifars_files_are_those_of_their_part)
{
    enum { RECORD = 3074 };
    static unsigned char bytes[2 * RECORD];
    char *path = test_path(root, "test.bin"), name[100], *want;
    const data_source_options train = {.split = "train", .allow_single_class = true};
    data_source *source = NULL;
    base_error err = {0};

    bytes[0] = 9, bytes[1] = 77, bytes[2] = 'x';
    bytes[RECORD] = 3, bytes[RECORD + 1] = 99, bytes[RECORD + 2] = 'y';
    set_file(root, "test.bin", bytes, sizeof bytes);
    for (int whole = 0; whole < 2; whole++) {
        source = set_open(whole ? root : path, &one);
        ck_assert_uint_eq(data_source_count(source), 2);
        ck_assert_int_eq(data_source_label(source, 0), 77);
        ck_assert_int_eq(data_source_label(source, 1), 99);
        ck_assert_uint_eq(data_source_classes(source), 100);
        ck_assert_str_eq(data_source_relative_name(source, 1, name, sizeof name),
                         "99/test-00001.png");
        data_source_close(source);
        source = NULL;
    }
    ck_assert_int_eq(data_source_open(&source, root, &train, &err), BASE_IO);
    want = base_text("'%s' holds no data_batch_*.bin or train.bin, expected %s", root,
                     data_layout_cifar.holds);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    set_file(root, "test.bin", bytes, RECORD + 1);
    ck_assert_int_eq(data_source_open(&source, root, &one, &err), BASE_FORMAT);
    want = base_text("'%s' has 3075 bytes, expected a multiple of 3074: a label and 3072 "
                     "bytes for each image",
                     path);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    base_free(path);
    for (int i = 5; i > 0; i--) {
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        bytes[0] = (unsigned char)i;
        set_file(root, name, bytes, RECORD - 1);
    }
    source = set_open(root, &train);
    ck_assert_uint_eq(data_source_count(source), 5);
    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%zu/data_batch_%zu-00000.png", i + 1, i + 1);
        char found[100];
        ck_assert_int_eq(data_source_label(source, i), (int)i + 1);
        ck_assert_str_eq(data_source_relative_name(source, i, found, sizeof found), name);
    }
    data_source_close(source);
}
END_TEST

/* Of a file as long as the published ones: each sample has the number of its record. The
 * files are holes. */
START_TEST(cifars_records_are_numbered_to_the_last)
{
    enum { RECORDS = 10000, LOOKED_AT = 8 };
    static const size_t at[LOOKED_AT] = {0, 1, 1535, 1536, 3071, 3072, 6143, 9999};

    for (int fine = 0; fine < 2; fine++) {
        const char *file = fine ? "test.bin" : "test_batch.bin";
        const size_t record = fine ? 3074 : 3073;
        char *path = test_path(root, file), name[64], want[64];

        set_file(root, file, "", 0);
        ck_assert_int_eq(truncate(path, (off_t)(RECORDS * record)), 0);
        data_source *source = set_open(path, &one);
        ck_assert_uint_eq(data_source_count(source), RECORDS);
        for (size_t i = 0; i < LOOKED_AT; i++) {
            snprintf(want, sizeof want, "0/%s-%05zu.png", fine ? "test" : "test_batch",
                     at[i]);
            ck_assert_str_eq(data_source_relative_name(source, at[i], name, sizeof name),
                             want);
        }
        data_source_close(source);
        base_free(path);
    }
}
END_TEST

/* Names of classes: lines without anything do not count, nor those beyond the classes; a
 * list of the user's comes first. A file of another name has one label a record. */
START_TEST(cifars_classes_have_the_names_beside_them)
{
    enum { RECORD = 3073 };
    static unsigned char bytes[2 * RECORD];
    static const char *const list[] = {"x", "y", "z", "3", "4",  "5",
                                       "6", "7", "8", "9", "10", "11"};
    const data_source_options listed = {
        .class_list = list, .class_list_count = 12, .allow_single_class = true};
    char *path = test_path(root, "other.bin"), *spec, *want;
    data_source *source;
    base_error err = {0};

    bytes[0] = 2;
    set_file(root, "test_batch.bin", bytes, sizeof bytes);
    set_text("batches.meta.txt",
             "\n\r\nc0\r\nc1\n\n\nc2\nc3\nc4\nc5\nc6\nc7\nc8\nc9\nc10\nc11\n");
    source = set_open(root, &one);
    ck_assert_uint_eq(data_source_classes(source), 10);
    for (size_t c = 0; c < 10; c++) {
        const char name[] = {'c', (char)('0' + c), 0};
        ck_assert_str_eq(data_source_class_name(source, c), name);
    }
    ck_assert_ptr_null(data_source_class_name(source, 10));
    set_lists(source, "2 c2/test_batch-00000.png\n0 c0/test_batch-00001.png\n");
    data_source_close(source);
    set_text("batches.meta.txt", "c0"); /* fewer: the others are numbers */
    source = set_open(root, &one);
    ck_assert_str_eq(data_source_class_name(source, 0), "c0");
    ck_assert_str_eq(data_source_class_name(source, 1), "1");
    data_source_close(source);
    source = set_open(root, &listed);
    ck_assert_uint_eq(data_source_classes(source), 12);
    set_lists(source, "2 z/test_batch-00000.png\n0 x/test_batch-00001.png\n");
    data_source_close(source);
    set_file(root, "other.bin", bytes, sizeof bytes);
    spec = base_text("cifar-bin:%s", path);
    source = set_open(spec, &one);
    set_lists(source, "2 2/other-00000.png\n0 c0/other-00001.png\n");
    data_source_close(source);
    base_free(spec);
    base_free(path);
    path = test_path(root, "test_batch.bin");
    set_file(root, "test_batch.bin", "", 0);
    source = NULL;
    ck_assert_int_eq(data_source_open(&source, path, &one, &err), BASE_FORMAT);
    want = base_text("'%s' has 0 bytes, expected a multiple of 3073: a label and 3072 "
                     "bytes for each image",
                     path);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    base_free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_cifar");
    TCase *core = test_case("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, cifars_binary_files_become_pixels);
    tcase_add_test(core, cifars_files_are_those_of_their_part);
    tcase_add_test(core, cifars_records_are_numbered_to_the_last);
    tcase_add_test(core, cifars_classes_have_the_names_beside_them);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
