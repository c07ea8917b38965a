/* gaussian_blur.c - the filter G alone: clip(G(sigma) x). Hendrycks and Dietterich 2019. */
#include "corrupt/corrupt_internal.h"

static base_status apply(corrupt_job *job, base_error *err)
{
    return corrupt_gauss_bytes(job, job->out, job->in, job->height, job->width, 3,
                               job->params[0], err);
}

const corrupt_entry corrupt_gaussian_blur = {
    .name = "gaussian_blur",
    .summary = "out of focus without a lens: a Gaussian filter",
    .group = CORRUPT_GROUP_EXTRA,
    .params = {[CORRUPT_PRESET_224] = {{{1}}, {{2}}, {{3}}, {{4}}, {{6}}},
               [CORRUPT_PRESET_299] = {{{1.5}}, {{2.5}}, {{3.5}}, {{4.5}}, {{6.5}}},
               [CORRUPT_PRESET_64] = {{{.5}}, {{.75}}, {{1}}, {{1.25}}, {{1.5}}},
               [CORRUPT_PRESET_32] = {{{.4}}, {{.6}}, {{.7}}, {{.8}}, {{1}}}},
    .apply = apply,
};
