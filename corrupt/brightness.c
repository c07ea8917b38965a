/* brightness.c - brightness: a constant added to the value of HSV. Follows Hendrycks and
 * Dietterich 2019, make_imagenet_c.py. Bit-equal to it in f64. */
#include "corrupt/hsv_internal.h"

static base_status apply(corrupt_job *job, base_error *err)
{
    (void)err;
    corrupt_hsv_image(job, 1.0, 0.0, job->params[0]);
    return BASE_OK;
}

/* What is added to V. */
const corrupt_entry corrupt_brightness = {
    .name = "brightness",
    .summary = "a constant added to the value of HSV",
    .group = CORRUPT_GROUP_WEATHER,
    .random = false,
    .params =
        {
            [CORRUPT_PRESET_224] = {{{.1}}, {{.2}}, {{.3}}, {{.4}}, {{.5}}},
            [CORRUPT_PRESET_299] = {{{.1}}, {{.2}}, {{.3}}, {{.4}}, {{.5}}},
            [CORRUPT_PRESET_64] = {{{.1}}, {{.2}}, {{.3}}, {{.4}}, {{.5}}},
            [CORRUPT_PRESET_32] = {{{.05}}, {{.1}}, {{.15}}, {{.2}}, {{.3}}},
        },
    .alexnet = {.45140, .48502, .54048, .62166, .72440},
    .apply = apply,
};
