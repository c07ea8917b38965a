/* snow.c - snow: flakes from a thresholded field of noise, blurred along a direction,
 * over a whitened image. Follows Hendrycks and Dietterich 2019, make_imagenet_c.py. Free
 * to change: how much of the field is drawn, as the zoom looks at its centre only.
 * Relied on elsewhere: the order of the draws, the angle first. */
#include "corrupt/corrupt_internal.h"

#include <math.h>

enum { LOC, SD, ZOOM, THRESHOLD, RADIUS, SIGMA, MIX };

/* clip(mix x + (1 - mix) max(x, 1.5 grey + 0.5) + flakes), flakes 0..2 */
static void fall(unsigned char *out, const unsigned char *in, const unsigned char *layer,
                 const unsigned char *turned, size_t width, float mix)
{
    const float rest = 1.0f - mix;

    for (size_t x = 0; x < width; x++) {
        const float flakes = layer[x] / 255.0f + turned[width - 1 - x] / 255.0f;
        const float r = in[3 * x] / 255.0f;
        const float g = in[3 * x + 1] / 255.0f;
        const float b = in[3 * x + 2] / 255.0f;
        const float white = corrupt_grey(r, g, b) * 1.5f + 0.5f;
        out[3 * x] = corrupt_byte_f32(mix * r + rest * (r > white ? r : white) + flakes);
        out[3 * x + 1] =
            corrupt_byte_f32(mix * g + rest * (g > white ? g : white) + flakes);
        out[3 * x + 2] =
            corrupt_byte_f32(mix * b + rest * (b > white ? b : white) + flakes);
    }
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t height = job->height, width = job->width, count = height * width;
    const double *params = job->params;
    float *noise = corrupt_scratch(job, count, sizeof *noise, err);
    float *large = corrupt_scratch(job, count, sizeof *large, err);
    unsigned char *still = corrupt_scratch(job, count, 1, err);
    unsigned char *layer = corrupt_scratch(job, count, 1, err);

    if (!noise || !large || !still || !layer)
        return BASE_NO_MEMORY;
    const double angle = -135.0 + 90.0 * base_rng_uniform(&job->rng);
    /* the rows that the zoom keeps (zoom.c, the design's 2.2) */
    const size_t kept = (size_t)ceil((double)height / params[ZOOM]);
    const size_t top = (height - kept) / 2;
    corrupt_random_normal(noise + top * width, kept * width, &job->rng);
    const float loc = (float)params[LOC], sd = (float)params[SD];
    for (size_t i = top * width; i < (top + kept) * width; i++)
        noise[i] = loc + sd * noise[i];

    base_status status =
        corrupt_zoom_plane(job, large, noise, height, width, params[ZOOM], err);
    if (status != BASE_OK)
        return status;
    const float threshold = (float)params[THRESHOLD];
    for (size_t i = 0; i < count; i++)
        still[i] = corrupt_byte_f32(large[i] < threshold ? 0.0f : large[i]);
    status = corrupt_motion(job, layer, still, height, width, 1, params[RADIUS],
                            params[SIGMA], angle, err);
    if (status != BASE_OK)
        return status;
    for (size_t y = 0; y < height; y++)
        fall(job->out + y * width * 3, job->in + y * width * 3, layer + y * width,
             layer + (height - 1 - y) * width, width, (float)params[MIX]);
    return BASE_OK;
}

const corrupt_entry corrupt_snow =
    {
        .name = "snow",
        .summary = "blurred flakes over a whitened image",
        .group = CORRUPT_GROUP_WEATHER,
        .random = true,
        .params =
            {
                [CORRUPT_PRESET_224] = {{{.1, .3, 3, .5, 10, 4, .8}},
                                        {{.2, .3, 2, .5, 12, 4, .7}},
                                        {{.55, .3, 4, .9, 12, 8, .7}},
                                        {{.55, .3, 4.5, .85, 12, 8, .65}},
                                        {{.55, .3, 2.5, .85, 12, 12, .55}}},
                [CORRUPT_PRESET_299] = {{{.1, .3, 3, .5, 10, 4, .8}},
                                        {{.2, .3, 2, .5, 12, 4, .7}},
                                        {{.55, .3, 4, .9, 12, 8, .7}},
                                        {{.55, .3, 4.5, .85, 12, 8, .65}},
                                        {{.55, .3, 2.5, .85, 12, 12, .55}}},
                [CORRUPT_PRESET_64] = {{{.1, .2, 1, .6, 8, 3, .8}},
                                       {{.1, .2, 1, .5, 10, 4, .8}},
                                       {{.15, .3, 1.75, .55, 10, 4, .7}},
                                       {{.25, .3, 2.25, .6, 12, 6, .65}},
                                       {{.3, .3, 1.25, .65, 14, 12, .6}}},
                [CORRUPT_PRESET_32] = {{{.1, .2, 1, .6, 8, 3, .95}},
                                       {{.1, .2, 1, .5, 10, 4, .9}},
                                       {{.15, .3, 1.75, .55, 10, 4, .9}},
                                       {{.25, .3, 2.25, .6, 12, 6, .85}},
                                       {{.3, .3, 1.25, .65, 14, 12, .8}}},
            },
        .alexnet = {.71726, .88392, .86468, .91870, .94952},
        .apply = apply,
};
