/* test_data_png.c - a PNG that is written is read back, and a file is whole or not
 * there. */
#include "data/data.h"

#include <string.h>
#include <sys/stat.h>

#include "tests/test_folder.h"
#include "tests/test_picture.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

static const data_decode_limits limits = {178956970, 256u << 20};

/* What was written, read back as RGB. data_image_destroy. */
static data_image read_back(const unsigned char *bytes, size_t size)
{
    data_decoder *decoder = NULL;
    data_image image = {0};
    data_health health;

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, NULL), BASE_OK);
    ck_assert_int_eq(data_decode(&image, &health, decoder, bytes, size, NULL, 0, NULL),
                     BASE_OK);
    ck_assert_int_eq(health, DATA_HEALTH_OK);
    data_decoder_destroy(decoder);
    return image;
}

START_TEST(an_encoded_picture_decodes_to_itself)
{
    const size_t sides[4][2] = {{1, 1}, {33, 17}, {300, 2}, {500, 400}};

    for (size_t i = 0; i < 8; i++) {
        const size_t channels = i < 4 ? 3 : 1;
        data_image in = picture_make(sides[i % 4][0], sides[i % 4][1], channels);
        unsigned char *bytes = NULL;
        size_t size = 0;
        ck_assert_int_eq(data_png_encode(&bytes, &size, &in, NULL), BASE_OK);
        data_image out = read_back(bytes, size);
        ck_assert_uint_eq(out.width, in.width);
        ck_assert_uint_eq(out.height, in.height);
        size_t others = 0;
        for (size_t k = 0; k < in.width * in.height * 3; k++)
            others += out.pixels[k] != in.pixels[channels == 3 ? k : k / 3];
        ck_assert_uint_eq(others, 0);
        base_free(bytes);
        data_image_destroy(&in);
        data_image_destroy(&out);
    }
}
END_TEST

START_TEST(a_written_file_holds_the_encoded_bytes)
{
    char *folder = test_folder_make(), *path = test_path(folder, "a.png"), *read = NULL;
    data_image in = picture_make(20, 10, 3);
    unsigned char *bytes = NULL;
    size_t size = 0, read_size = 0;

    ck_assert_int_eq(data_png_write(path, &in, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&read, &read_size, path, 1 << 20, NULL), BASE_OK);
    ck_assert_int_eq(data_png_encode(&bytes, &size, &in, NULL), BASE_OK);
    ck_assert_uint_eq(read_size, size);
    ck_assert_mem_eq(read, bytes, size);
    base_free(read);
    base_free(bytes);
    base_free(path);
    data_image_destroy(&in);
    test_folder_remove(folder);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_named_and_absent)
{
    char *folder = test_folder_make(), *path = test_path(folder, "no/such/a.png");
    data_image in = picture_make(20, 10, 3);
    base_error err = {0};
    struct stat about;

    ck_assert_int_eq(data_png_write(path, &in, &err), BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_int_ne(stat(path, &about), 0);
    base_free(path);
    data_image_destroy(&in);
    test_folder_remove(folder);
}
END_TEST

START_TEST(a_full_disk_is_reported)
{
    data_image in = picture_make(200, 100, 3);
    base_error err = {0};
    struct stat about;

    if (stat("/dev/full", &about) == 0) {
        ck_assert_int_eq(data_png_write("/dev/full", &in, &err), BASE_IO);
        ck_assert_ptr_nonnull(strstr(err.text, "/dev/full"));
    }
    data_image_destroy(&in);
}
END_TEST

START_TEST(an_empty_picture_is_refused)
{
    const data_image empty = {.channels = 3};
    unsigned char *bytes = NULL;
    size_t size = 0;
    base_error err = {0};

    ck_assert_int_eq(data_png_encode(&bytes, &size, &empty, &err), BASE_USAGE);
    ck_assert_ptr_null(bytes);
    ck_assert_str_eq(err.text, "a PNG of 0 x 0, expected 1 to 2147483647 a side");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data png");
    TCase *core = test_case("Core");
    TCase *edges = test_case("Limits");

    tcase_add_test(core, an_encoded_picture_decodes_to_itself);
    tcase_add_test(core, a_written_file_holds_the_encoded_bytes);
    tcase_add_test(edges, a_file_that_cannot_be_written_is_named_and_absent);
    tcase_add_test(edges, a_full_disk_is_reported);
    tcase_add_test(edges, an_empty_picture_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
