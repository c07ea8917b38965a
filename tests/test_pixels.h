/* test_pixels.h - pictures that a command wrote, as pixels: of files and of pages. */
#ifndef TESTS_TEST_PIXELS_H
#define TESTS_TEST_PIXELS_H

#include <check.h>
#include <string.h>

#include "data/data.h"
#include "tests/test_folder.h"

/* data_image_destroy. */
static inline void pixels_of(data_image *out, const char *path)
{
    const data_decode_limits limits = data_loader_defaults().limits;
    data_decoder *decoder = NULL;
    data_health health;
    base_error err = {0};

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, &err), BASE_OK);
    ck_assert_msg(data_image_load(out, &health, decoder, path, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_int_eq(health, DATA_HEALTH_OK);
    data_decoder_destroy(decoder);
}

/* The same pixels everywhere; tells the first that is another. */
static inline void pixels_are(const data_image *got, const data_image *want)
{
    ck_assert_uint_eq(got->width, want->width);
    ck_assert_uint_eq(got->height, want->height);
    ck_assert_uint_eq(got->channels, want->channels);
    for (size_t i = 0; i < want->width * want->height * want->channels; i++) {
        const size_t at = i / want->channels;
        ck_assert_msg(got->pixels[i] == want->pixels[i], "at %zu, %zu: %d, expected %d",
                      at % want->width, at / want->width, got->pixels[i], want->pixels[i]);
    }
}

/* The n-th picture inside a page, by way of a file in the folder; false: there are fewer.
 */
static inline bool pixels_in_page(data_image *out, const char *html, size_t n,
                                  const char *folder)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+/";
    const char *at = html;

    for (size_t i = 0; i <= n; i++) {
        at = strstr(at, "data:image/png;base64,");
        if (!at)
            return false;
        at += strlen("data:image/png;base64,");
    }
    const size_t count = strcspn(at, "\"=");
    char *path = test_path(folder, "of-page.png");
    FILE *file = fopen(path, "wb");
    for (size_t i = 0, word = 0; i < count; i++) {
        word = word << 6 | (size_t)(strchr(digits, at[i]) - digits);
        if (i % 4 > 0) /* 6, 12, 18 and 24 bits are there: 8 more than what is left */
            putc((int)(word >> (6 - 2 * (i % 4)) & 255), file);
    }
    ck_assert_int_eq(fclose(file), 0);
    pixels_of(out, path);
    base_free(path);
    return true;
}

/* A picture of one colour with another at its first pixel. */
static inline void pixels_save(const char *path, size_t side, unsigned char value)
{
    data_image image = {0};

    ck_assert_int_eq(data_image_reserve(&image, side, side, 3, NULL), BASE_OK);
    memset(image.pixels, value, side * side * 3);
    image.pixels[0] = (unsigned char)(value + 1);
    ck_assert_int_eq(data_png_write(path, &image, NULL), BASE_OK);
    data_image_destroy(&image);
}

#endif
