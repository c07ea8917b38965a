/* contrast.c - contrast: distance from the mean of each channel times a factor. Follows
 * Hendrycks and Dietterich 2019, make_imagenet_c.py. Bit-equal to it in f64: the sum of
 * the mean runs pixel by pixel, as numpy's does over the outer axes. */
#include "corrupt/corrupt_internal.h"

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t count = job->height * job->width;
    const double factor = job->params[0];
    double level[256], sum[3] = {0};
    unsigned char to[3][256];

    (void)err;
    for (int v = 0; v < 256; v++)
        level[v] = v / 255.0;
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++)
            sum[c] += level[job->in[3 * i + c]];
    for (int c = 0; c < 3; c++) {
        const double mean = sum[c] / (double)count;
        for (int v = 0; v < 256; v++)
            to[c][v] = corrupt_byte((level[v] - mean) * factor + mean);
    }
    for (size_t i = 0; i < count; i++) {
        job->out[3 * i] = to[0][job->in[3 * i]];
        job->out[3 * i + 1] = to[1][job->in[3 * i + 1]];
        job->out[3 * i + 2] = to[2][job->in[3 * i + 2]];
    }
    return BASE_OK;
}

const corrupt_entry corrupt_contrast = {
    .name = "contrast",
    .summary = "colours drawn towards the mean of their channel",
    .group = CORRUPT_GROUP_DIGITAL,
    .random = false,
    .params =
        {
            [CORRUPT_PRESET_224] = {{{.4}}, {{.3}}, {{.2}}, {{.1}}, {{.05}}},
            [CORRUPT_PRESET_299] = {{{.4}}, {{.3}}, {{.2}}, {{.1}}, {{.05}}},
            [CORRUPT_PRESET_64] = {{{.4}}, {{.3}}, {{.2}}, {{.1}}, {{.05}}},
            [CORRUPT_PRESET_32] = {{{.75}}, {{.5}}, {{.4}}, {{.3}}, {{.15}}},
        },
    .alexnet = {.64548, .76150, .88874, .97760, .99270},
    .apply = apply,
};
