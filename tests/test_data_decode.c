/* test_data_decode.c - every kind of image, good, odd and bad, and what is said about it.
 * The files and the table were made by reference/make_images.py: JPEG pixels are Pillow's,
 * PNG pixels are those the file was made of. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

enum { DIGITS = 16 }; /* of the checksum */

static const data_decode_limits limits = {178956970, 256u << 20};

static const struct {
    const char *name;
    data_health health;
    const char *reason; /* how it begins */
    size_t width, height;
    const char *digest; /* of the RGB bytes; "": not compared */
} images[] = {
    {"colour444.jpg", DATA_HEALTH_OK, "", 21, 13, "ec1297961b505c5f"},
    {"colour420.jpg", DATA_HEALTH_OK, "", 21, 13, "5c7fbafb3775a377"},
    {"grey.jpg", DATA_HEALTH_OK, "", 21, 13, "7001c63ea699fe27"},
    {"cmyk.jpg", DATA_HEALTH_OK, "", 21, 13, "9dd6d7c0ae1abc0d"},
    {"untransformed.jpg", DATA_HEALTH_OK, "", 21, 13, "b29c7c62ca6dcde7"},
    {"progressive.jpg", DATA_HEALTH_OK, "", 21, 13, "ec1297961b505c5f"},
    {"restart.jpg", DATA_HEALTH_OK, "", 21, 13, "ec1297961b505c5f"},
    {"trailing.jpg", DATA_HEALTH_OK, "", 21, 13, "ec1297961b505c5f"},
    {"version.jpg", DATA_HEALTH_ODD, "unknown version in the header", 21, 13,
     "ec1297961b505c5f"},
    {"no_end.jpg", DATA_HEALTH_ODD, "end marker missing", 21, 13, "ec1297961b505c5f"},
    {"extraneous.jpg", DATA_HEALTH_ODD, "extraneous bytes before a marker", 21, 13,
     "ec1297961b505c5f"},
    {"damaged.jpg", DATA_HEALTH_DAMAGED, "corrupt: ", 21, 13, ""},
    {"cut_scan.jpg", DATA_HEALTH_BAD, "truncated", 0, 0, ""},
    {"cut_header.jpg", DATA_HEALTH_BAD, "truncated", 0, 0, ""},
    {"cut_progressive.jpg", DATA_HEALTH_BAD, "truncated", 0, 0, ""},
    {"only_start.jpg", DATA_HEALTH_BAD, "truncated", 0, 0, ""},
    {"precision12.jpg", DATA_HEALTH_BAD, "unsupported precision 12", 0, 0, ""},
    {"zero_height.jpg", DATA_HEALTH_BAD, "corrupt: ", 0, 0, ""},
    {"huge.jpg", DATA_HEALTH_BAD, "too large 65500x65500", 0, 0, ""},
    {"too_wide.jpg", DATA_HEALTH_BAD, "too large 65535x13", 0, 0, ""},
    {"process.jpg", DATA_HEALTH_BAD, "unsupported format JPEG process 0xc5", 0, 0, ""},
    {"no_tables.jpg", DATA_HEALTH_BAD, "corrupt: ", 0, 0, ""},
    {"two_parts.jpg", DATA_HEALTH_BAD, "unsupported format JPEG with 2 components", 0, 0,
     ""},
    {"scans.jpg", DATA_HEALTH_BAD, "corrupt: more than 500 scans", 0, 0, ""},
    {"grey1.png", DATA_HEALTH_OK, "", 21, 13, "c07c44c5aa0ed64e"},
    {"grey2.png", DATA_HEALTH_OK, "", 21, 13, "921f83f00e4c80d0"},
    {"grey4.png", DATA_HEALTH_OK, "", 21, 13, "f8be4634518ebb60"},
    {"grey8.png", DATA_HEALTH_OK, "", 21, 13, "94d3e0ffcad6f4ec"},
    {"grey16.png", DATA_HEALTH_OK, "", 21, 13, "41f14b2d7ebc0903"},
    {"rgb8.png", DATA_HEALTH_OK, "", 21, 13, "f99eade163fce7d3"},
    {"rgb16.png", DATA_HEALTH_OK, "", 21, 13, "f99eade163fce7d3"},
    {"rgba.png", DATA_HEALTH_OK, "", 21, 13, "f99eade163fce7d3"},
    {"rgba16.png", DATA_HEALTH_OK, "", 21, 13, "f99eade163fce7d3"},
    {"grey_alpha.png", DATA_HEALTH_OK, "", 21, 13, "94d3e0ffcad6f4ec"},
    {"palette1.png", DATA_HEALTH_OK, "", 21, 13, "f4bfed7e118a3ab4"},
    {"palette2.png", DATA_HEALTH_OK, "", 21, 13, "98ab6e0ae6bf9e45"},
    {"palette4.png", DATA_HEALTH_OK, "", 21, 13, "02a2e56662540de0"},
    {"palette8.png", DATA_HEALTH_OK, "", 21, 13, "02a2e56662540de0"},
    {"palette_clear.png", DATA_HEALTH_OK, "", 21, 13, "02a2e56662540de0"},
    {"grey_clear.png", DATA_HEALTH_OK, "", 21, 13, "f8be4634518ebb60"},
    {"interlaced_rgb.png", DATA_HEALTH_OK, "", 21, 13, "f99eade163fce7d3"},
    {"interlaced_grey2.png", DATA_HEALTH_OK, "", 21, 13, "921f83f00e4c80d0"},
    {"gamma.png", DATA_HEALTH_OK, "", 21, 13, "f99eade163fce7d3"},
    {"cut.png", DATA_HEALTH_BAD, "truncated", 0, 0, ""},
    {"cut_header.png", DATA_HEALTH_BAD, "truncated", 0, 0, ""},
    {"no_end.png", DATA_HEALTH_BAD, "truncated", 0, 0, ""},
    {"checksum.png", DATA_HEALTH_BAD, "corrupt: ", 0, 0, ""},
    {"spoiled.png", DATA_HEALTH_BAD, "corrupt: ", 0, 0, ""},
    {"huge.png", DATA_HEALTH_BAD, "too large 100000x100000", 0, 0, ""},
    {"zero.png", DATA_HEALTH_BAD, "corrupt: ", 0, 0, ""},
    {"short.png", DATA_HEALTH_BAD, "corrupt: ", 0, 0, ""},
    {"no_palette.png", DATA_HEALTH_BAD, "corrupt: ", 0, 0, ""},
    {"empty", DATA_HEALTH_BAD, "empty file", 0, 0, ""},
    {"page.html", DATA_HEALTH_BAD, "unknown format", 0, 0, ""},
    {"one.bin", DATA_HEALTH_BAD, "unknown format", 0, 0, ""},
    {"a.gif", DATA_HEALTH_BAD, "unsupported format GIF", 0, 0, ""},
    {"a.bmp", DATA_HEALTH_BAD, "unsupported format BMP", 0, 0, ""},
    {"a.webp", DATA_HEALTH_BAD, "unsupported format WebP", 0, 0, ""},
    {"a.tiff", DATA_HEALTH_BAD, "unsupported format TIFF", 0, 0, ""},
};
enum { IMAGES = sizeof images / sizeof *images };

typedef struct file_bytes {
    unsigned char *at;
    size_t size;
} file_bytes;

static char *image_path(const char *name)
{
    const char *tests = getenv("VMOE_TESTS");

    return base_text("%s/fuzz/image/%s", tests ? tests : "tests", name);
}

static file_bytes image_bytes(const char *name)
{
    char *path = image_path(name), *bytes = NULL;
    size_t size = 0;
    base_error err = {0};

    ck_assert_msg(base_file_read(&bytes, &size, path, 1 << 20, &err) == BASE_OK, "%s",
                  err.text);
    base_free(path);
    return (file_bytes){(unsigned char *)bytes, size};
}

static void check_image(data_decoder *decoder, size_t i)
{
    file_bytes file = image_bytes(images[i].name);
    data_image image = {0};
    data_health health;
    base_error err = {0};
    char note[128], sum[65];
    const base_status status =
        data_decode(&image, &health, decoder, file.at, file.size, note, sizeof note, &err);
    const bool good = images[i].health != DATA_HEALTH_BAD;
    const char *said = good ? note : err.text;

    ck_assert_msg(health == images[i].health, "%s: %d '%s'", images[i].name, (int)health,
                  said);
    ck_assert_int_eq(status == BASE_OK, good);
    ck_assert_int_eq(*note != 0,
                     health == DATA_HEALTH_ODD || health == DATA_HEALTH_DAMAGED);
    ck_assert_msg(strncmp(said, images[i].reason, strlen(images[i].reason)) == 0,
                  "%s: '%s'", images[i].name, said);
    if (good) {
        ck_assert_uint_eq(image.width, images[i].width);
        ck_assert_uint_eq(image.height, images[i].height);
        ck_assert_uint_eq(image.channels, 3);
        base_sha256_text(sum, image.pixels, image.width * image.height * 3);
        ck_assert_msg(strncmp(sum, images[i].digest, strlen(images[i].digest)) == 0,
                      "%s has other pixels: %.*s", images[i].name, DIGITS, sum);
    }
    data_image_destroy(&image);
    base_free(file.at);
}

static size_t bytes_in_use(void)
{
#ifdef __GLIBC__
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static data_decoder *decoder_make(const data_decode_limits *wanted)
{
    data_decoder *decoder = NULL;

    ck_assert_int_eq(data_decoder_create(&decoder, wanted, NULL), BASE_OK);
    return decoder;
}

START_TEST(each_kind_of_image_decodes_or_is_refused_with_its_reason)
{
    data_decoder *decoder = decoder_make(&limits);

    check_image(decoder, (size_t)_i);
    data_decoder_destroy(decoder);
}
END_TEST

/* libjpeg keeps tables from image to image; here nothing may be kept (no_tables.jpg). */
START_TEST(what_was_decoded_before_does_not_matter)
{
    data_decoder *decoder = decoder_make(&limits);

    for (size_t i = 0; i < IMAGES; i++) {
        check_image(decoder, i);
        check_image(decoder, (i * 23 + 5) % IMAGES); /* another order */
    }
    for (size_t i = IMAGES; i-- > 0;)
        check_image(decoder, i);
    data_decoder_destroy(decoder);
}
END_TEST

START_TEST(decoding_again_and_again_allocates_nothing)
{
    data_decoder *decoder = decoder_make(&limits);
    file_bytes file = image_bytes("cmyk.jpg");
    data_image image = {0};
    data_health health;
    uint64_t before = 0;

    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(
            data_decode(&image, &health, decoder, file.at, file.size, NULL, 0, NULL),
            BASE_OK);
        if (i == 0)
            before = base_alloc_count();
    }
    ck_assert_uint_eq(base_alloc_count(), before);
    data_image_destroy(&image);
    base_free(file.at);
    data_decoder_destroy(decoder);
}
END_TEST

/* Tables that libjpeg kept until the end would be 3 kB an image. Where the C library does
 * not count (or a sanitizer took its place) this compares 0 with 0. */
START_TEST(a_long_run_does_not_grow)
{
    data_decoder *decoder = decoder_make(&limits);
    file_bytes file = image_bytes("progressive.jpg");
    data_image image = {0};
    data_health health;
    size_t before = 0;

    for (int i = 0; i < 100; i++) {
        data_decode(&image, &health, decoder, file.at, file.size, NULL, 0, NULL);
        if (i == 10)
            before = bytes_in_use();
    }
    ck_assert_uint_le(bytes_in_use(), before + 1000);
    data_image_destroy(&image);
    base_free(file.at);
    data_decoder_destroy(decoder);
}
END_TEST

START_TEST(loading_a_file_names_its_path)
{
    data_decoder *decoder = decoder_make(&limits);
    char *folder = test_folder_make();
    char *missing = test_path(folder, "missing\n.jpg");
    char *good = image_path("grey.jpg"), *bad = image_path("cut_scan.jpg");
    data_image image = {0};
    data_health health;
    base_error err = {0};

    ck_assert_int_eq(data_image_load(&image, &health, decoder, good, &err), BASE_OK);
    ck_assert_int_eq(health, DATA_HEALTH_OK);
    ck_assert_uint_eq(image.width, 21);
    ck_assert_int_eq(data_image_load(&image, &health, decoder, missing, &err), BASE_IO);
    ck_assert_int_eq(health, DATA_HEALTH_BAD);
    ck_assert_ptr_nonnull(strstr(err.text, "/missing\\x0a.jpg': No such file"));
    ck_assert_int_eq(data_image_load(&image, &health, decoder, bad, &err), BASE_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "/cut_scan.jpg': truncated"));
    ck_assert_int_eq(data_image_load(&image, &health, decoder, folder, &err), BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, folder));
    base_free(good);
    base_free(bad);
    base_free(missing);
    test_folder_remove(folder);
    data_image_destroy(&image);
    data_decoder_destroy(decoder);
}
END_TEST

START_TEST(limits_hold_to_the_pixel_and_to_the_byte)
{
    const char *const names[2] = {"colour444.jpg", "rgb8.png"};
    const size_t pixels = 21 * 13;

    for (size_t i = 0; i < 2; i++) {
        file_bytes file = image_bytes(names[i]);
        const data_decode_limits tight[3] = {
            {pixels, file.size}, {pixels - 1, file.size}, {pixels, file.size - 1}};
        const char *const said[3] = {"", "too large 21x13", "file too large"};
        for (size_t k = 0; k < 3; k++) {
            data_decoder *decoder = decoder_make(&tight[k]);
            data_image image = {0};
            data_health health;
            base_error err = {0};
            data_decode(&image, &health, decoder, file.at, file.size, NULL, 0, &err);
            ck_assert_str_eq(err.text, said[k]);
            data_image_destroy(&image);
            data_decoder_destroy(decoder);
        }
        base_free(file.at);
    }
}
END_TEST

START_TEST(no_beginning_of_a_file_is_taken_for_the_whole)
{
    const char *const names[] = {"colour420.jpg", "progressive.jpg", "grey.jpg", "rgb8.png",
                                 "interlaced_rgb.png"};
    data_decoder *decoder = decoder_make(&limits);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        file_bytes file = image_bytes(names[i]);
        for (size_t size = 0; size + 2 < file.size; size++) {
            /* In a block of its own, so that a sanitizer sees the first byte read
             * beyond. */
            unsigned char *exact = malloc(size > 0 ? size : 1);
            data_image image = {0};
            data_health health;
            ck_assert_ptr_nonnull(exact);
            memcpy(exact, file.at, size);
            const base_status status =
                data_decode(&image, &health, decoder, exact, size, NULL, 0, NULL);
            /* The last bits of a scan are padding: without them only the end marker
             * lacks. */
            const bool only_padding = health == DATA_HEALTH_ODD && size + 4 >= file.size;
            ck_assert_msg(status != BASE_OK || only_padding, "%s, %zu of %zu bytes",
                          names[i], size, file.size);
            data_image_destroy(&image);
            free(exact);
        }
        base_free(file.at);
    }
    data_decoder_destroy(decoder);
}
END_TEST

START_TEST(versions_name_all_four_libraries)
{
    const char *const names[] = {"libjpeg", "libpng 1.", "libarchive ", "zlib 1."};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_ptr_nonnull(strstr(data_versions(), names[i]));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data decode");
    TCase *core = test_case("Core");
    TCase *edges = test_case("Limits");

    tcase_add_loop_test(core, each_kind_of_image_decodes_or_is_refused_with_its_reason, 0,
                        IMAGES);
    tcase_add_test(core, what_was_decoded_before_does_not_matter);
    tcase_add_test(core, decoding_again_and_again_allocates_nothing);
    tcase_add_test(edges, a_long_run_does_not_grow);
    tcase_add_test(core, loading_a_file_names_its_path);
    tcase_add_test(core, versions_name_all_four_libraries);
    tcase_add_test(edges, limits_hold_to_the_pixel_and_to_the_byte);
    tcase_add_test(edges, no_beginning_of_a_file_is_taken_for_the_whole);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
