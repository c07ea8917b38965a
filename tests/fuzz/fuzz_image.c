/* fuzz_image.c - any bytes as an image, then through the transforms when they were one. */
#include "data/data_internal.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    /* Small, so that a declared size costs no time: the limit is the same code for all
     * sizes. */
    static const data_decode_limits limits = {.max_pixels = 1 << 18,
                                              .max_file_bytes = 1 << 20};
    static data_decoder
        *decoder; /* kept, as in a loader: an image must not hurt the next */
    data_image image = {0}, out = {0};
    data_scratch scratch = {0};
    data_health health;
    char note[64];
    base_error err = {0};

    if (!decoder && data_decoder_create(&decoder, &limits, &err) != BASE_OK)
        return 0;
    const base_status status =
        data_decode(&image, &health, decoder, bytes, size, note, sizeof note, &err);
    if ((status == BASE_OK) != (health != DATA_HEALTH_BAD) ||
        (status != BASE_OK && err.text[0] == 0))
        abort();
    if (status == BASE_OK &&
        (image.channels != 3 || image.width == 0 || image.height == 0 ||
         image.width * image.height > limits.max_pixels))
        abort();
    data_about about;
    if (data_probe(&about, bytes, size) && status == BASE_OK &&
        (about.width != image.width || about.height != image.height))
        abort();
    if (status == BASE_OK && image.width * image.height < 4096) {
        const data_augment augment = {.crop = DATA_CROP_RANDOM,
                                      .area_low = 0.08,
                                      .area_high = 1.0,
                                      .ratio_low = 0.75,
                                      .ratio_high = 4.0 / 3.0,
                                      .flip = 0.5};
        base_rng rng = base_rng_make(size, BASE_PURPOSE_TEST, image.width, image.height, 0);
        data_eval_transform(&out, &image, 20, 24, DATA_FILTER_BICUBIC, &scratch, &err);
        data_train_transform(&out, &image, &augment, 0, 16, DATA_FILTER_BILINEAR, &rng,
                             &scratch, &err);
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&image);
    data_image_destroy(&out);
    return 0;
}
