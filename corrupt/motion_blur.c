/* motion_blur.c - the camera moved: a streak at an angle of -45 to 45 degrees. Hendrycks
 * and Dietterich 2019, by ImageMagick. */
#include "corrupt/corrupt_internal.h"

static base_status apply(corrupt_job *job, base_error *err)
{
    const double angle = 90.0 * base_rng_uniform(&job->rng) - 45.0;

    return corrupt_motion(job, job->out, job->in, job->height, job->width, 3,
                          job->params[0], job->params[1], angle, err);
}

const corrupt_entry corrupt_motion_blur = {
    .name = "motion_blur",
    .summary = "the camera moves to the side",
    .group = CORRUPT_GROUP_BLUR,
    .random = true,
    .params =
        {[CORRUPT_PRESET_224] = {{{10, 3}}, {{15, 5}}, {{15, 8}}, {{15, 12}}, {{20, 15}}},
         [CORRUPT_PRESET_299] = {{{12, 4}}, {{17, 6}}, {{17, 9}}, {{17, 13}}, {{22, 16}}},
         [CORRUPT_PRESET_64] = {{{10, 1}}, {{10, 1.5}}, {{10, 2}}, {{10, 2.5}}, {{12, 3}}},
         [CORRUPT_PRESET_32] = {{{6, 1}}, {{6, 1.5}}, {{6, 2}}, {{8, 2}}, {{9, 2.5}}}},
    .alexnet = {.58430, .70048, .82108, .89750, .92638},
    .apply = apply,
};
