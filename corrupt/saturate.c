/* saturate.c - saturate: the saturation of HSV times a factor plus an offset. Follows
 * Hendrycks and Dietterich 2019, make_imagenet_c.py. Bit-equal to it in f64. A grey
 * pixel has hue 0, so an offset tints it red: the benchmark does that too. */
#include "corrupt/hsv_internal.h"

static base_status apply(corrupt_job *job, base_error *err)
{
    (void)err;
    corrupt_hsv_image(job, job->params[0], job->params[1], 0.0);
    return BASE_OK;
}

/* Factor, offset. */
const corrupt_entry corrupt_saturate = {
    .name = "saturate",
    .summary = "colours paler or stronger: the saturation of HSV scaled",
    .group = CORRUPT_GROUP_EXTRA,
    .random = false,
    .params =
        {
            [CORRUPT_PRESET_224] = {{{.3, 0}}, {{.1, 0}}, {{2, 0}}, {{5, .1}}, {{20, .2}}},
            [CORRUPT_PRESET_299] = {{{.3, 0}}, {{.1, 0}}, {{2, 0}}, {{5, .1}}, {{20, .2}}},
            [CORRUPT_PRESET_64] = {{{.3, 0}}, {{.1, 0}}, {{2, 0}}, {{5, .1}}, {{30, .2}}},
            [CORRUPT_PRESET_32] =
                {{{.3, 0}}, {{.1, 0}}, {{1.5, 0}}, {{2, .1}}, {{2.5, .2}}},
        },
    .apply = apply,
};
