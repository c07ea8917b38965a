/* test_picture.h - a synthetic picture (ramps and noise) and the check of its descendants.
 * The same picture is made by reference/make_pixels.py. */
#ifndef TESTS_TEST_PICTURE_H
#define TESTS_TEST_PICTURE_H

#include "data/data.h"

#include <string.h>

#include <check.h>

/* The value of channel c at (x, y). */
static inline unsigned char picture_value(size_t x, size_t y, size_t c)
{
    uint32_t h =
        (uint32_t)x * 2654435761u + (uint32_t)y * 2246822519u + (uint32_t)c * 3266489917u;

    h = (h ^ h >> 15) * 2246822519u;
    return (unsigned char)(x * 5 + y * 3 + c * 40 + (h >> 27));
}

/* data_image_destroy. */
static inline data_image picture_make(size_t width, size_t height, size_t channels)
{
    data_image image = {0};

    ck_assert_int_eq(data_image_reserve(&image, width, height, channels, NULL), BASE_OK);
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            for (size_t c = 0; c < channels; c++)
                image.pixels[(y * width + x) * channels + c] = picture_value(x, y, c);
        }
    }
    return image;
}

/* Fails unless the SHA-256 of the pixels begins with digest. */
#define picture_check(image, digest)                                                       \
    do {                                                                                   \
        char picture_sum[BASE_SHA256_TEXT];                                                \
        base_sha256_text(picture_sum, (image)->pixels,                                     \
                         (image)->width *(image)->height *(image)->channels);              \
        picture_sum[strlen(digest)] = 0;                                                   \
        ck_assert_str_eq(picture_sum, digest);                                             \
    } while (0)

#endif
