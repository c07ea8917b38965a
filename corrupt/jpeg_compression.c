/* jpeg_compression.c - jpeg_compression: through JPEG of low quality and back. Follows
 * Hendrycks and Dietterich 2019, make_imagenet_c.py, which saves with Pillow: baseline,
 * 4:2:0. Bit-equal to it with libjpeg-turbo (codec.c). */
#include "corrupt/corrupt_internal.h"

static base_status apply(corrupt_job *job, base_error *err)
{
    return corrupt_jpeg_roundtrip(job->worker, job->out, job->in, job->height, job->width,
                                  (int)job->params[0], err);
}

/* Quality, 1..100. */
const corrupt_entry corrupt_jpeg_compression = {
    .name = "jpeg_compression",
    .summary = "saved as JPEG of low quality",
    .group = CORRUPT_GROUP_DIGITAL,
    .random = false,
    .params =
        {
            [CORRUPT_PRESET_224] = {{{25}}, {{18}}, {{15}}, {{10}}, {{7}}},
            [CORRUPT_PRESET_299] = {{{23}}, {{16}}, {{13}}, {{8}}, {{5}}},
            [CORRUPT_PRESET_64] = {{{65}}, {{58}}, {{50}}, {{40}}, {{25}}},
            [CORRUPT_PRESET_32] = {{{80}}, {{65}}, {{58}}, {{50}}, {{40}}},
        },
    .alexnet = {.51002, .54718, .57294, .65458, .74778},
    .apply = apply,
};
