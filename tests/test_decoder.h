/* test_decoder.h - decoders of a choice of kernels, and pictures as libjpeg reads them. For
 * tests only. */
#ifndef TESTS_TEST_DECODER_H
#define TESTS_TEST_DECODER_H

#include "data/data_internal.h"
#include "tests/test_jpeg.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

static inline data_decoder *decoder_make(const data_kernels *kernels, bool libjpeg_only)
{
    const data_decode_limits limits = {.max_pixels = 1 << 24, .max_file_bytes = 1 << 24};
    data_decoder *decoder = NULL;

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, NULL), BASE_OK);
    data_decode_choose(decoder, kernels, libjpeg_only);
    return decoder;
}

static inline data_image whole_by_libjpeg(const unsigned char *bytes, size_t size)
{
    data_decoder *decoder = decoder_make(NULL, true);
    data_image image = {0};
    data_health health;
    base_error err = {0};

    ck_assert_msg(data_decode(&image, &health, decoder, bytes, size, NULL, 0, &err) ==
                      BASE_OK,
                  "%s", err.text);
    ck_assert_int_eq(health, DATA_HEALTH_OK);
    data_decoder_destroy(decoder);
    return image;
}

#endif
