/* frost.c - frost: a piece of a picture of frost added to the darkened image. Follows
 * Hendrycks and Dietterich 2019, make_imagenet_c.py, in f64 and its order of operations.
 * The pictures: textures.c. */
#include "corrupt/textures_internal.h"

#include <math.h>

/* out = trunc(clip(a v + b t, 0, 255)) */
static void melt(unsigned char *out, const unsigned char *in, const unsigned char *texture,
                 size_t count, double a, double b)
{
    for (size_t i = 0; i < count; i++) {
        const double sum = a * in[i] + b * texture[i];
        const double cut = sum < 255.0 ? sum : 255.0;
        out[i] = (unsigned char)(int32_t)cut;
    }
}

/* ---- pictures that are too small ----------------------------------------------------- */

/* Keys 1981, "Cubic convolution interpolation", with OpenCV's a = -0.75: weights of the
 * samples at floor - 1 .. floor + 2 for the part 0..1 after floor. */
static void cubic(float weight[4], double part)
{
    const double a = -0.75, t = part, u = 1.0 - part;

    weight[0] =
        (float)(((a * (t + 1.0) - 5.0 * a) * (t + 1.0) + 8.0 * a) * (t + 1.0) - 4.0 * a);
    weight[1] = (float)(((a + 2.0) * t - (a + 3.0)) * t * t + 1.0);
    weight[2] = (float)(((a + 2.0) * u - (a + 3.0)) * u * u + 1.0);
    weight[3] = 1.0f - weight[0] - weight[1] - weight[2];
}

/* Where output i of an axis that is enlarged from extent to large samples it. */
typedef struct tap {
    uint32_t at[4];
    float weight[4];
} tap;

static tap tap_of(size_t i, size_t extent, size_t large)
{
    const double from = ((double)i + 0.5) * ((double)extent / (double)large) - 0.5;
    const double whole = floor(from);
    tap out;

    for (int k = 0; k < 4; k++) {
        const double at = whole + k - 1;
        out.at[k] = at < 0.0              ? 0
                    : at < (double)extent ? (uint32_t)at
                                          : (uint32_t)extent - 1;
    }
    cubic(out.weight, from - whole);
    return out;
}

/* The rows and columns from (top, left) on, as large as the image, of the picture
 * enlarged to tall x wide. */
static unsigned char *enlarge(corrupt_job *job, const corrupt_picture *picture, size_t tall,
                              size_t wide, size_t top, size_t left, base_error *err)
{
    const size_t line = picture->width * 3;
    unsigned char *out = corrupt_scratch(job, job->height * job->width, 3, err);
    float *row = corrupt_scratch(job, line, sizeof *row, err);
    tap *across = corrupt_scratch(job, job->width, sizeof *across, err);

    if (!out || !row || !across)
        return NULL;
    for (size_t x = 0; x < job->width; x++)
        across[x] = tap_of(left + x, picture->width, wide);
    for (size_t y = 0; y < job->height; y++) {
        const tap down = tap_of(top + y, picture->height, tall);
        const unsigned char *from[4];
        for (int k = 0; k < 4; k++)
            from[k] = picture->pixels + down.at[k] * line;
        for (size_t i = 0; i < line; i++)
            row[i] = from[0][i] * down.weight[0] + from[1][i] * down.weight[1] +
                     from[2][i] * down.weight[2] + from[3][i] * down.weight[3];
        for (size_t x = 0; x < job->width; x++) {
            const tap *t = &across[x];
            for (size_t c = 0; c < 3; c++) {
                float sum = 0.5f;
                for (int k = 0; k < 4; k++)
                    sum += row[t->at[k] * 3 + c] * t->weight[k];
                const float low = sum > 0.0f ? sum : 0.0f;
                out[(y * job->width + x) * 3 + c] =
                    (unsigned char)(int32_t)(low < 255.0f ? low : 255.0f);
            }
        }
    }
    return out;
}

/* ---- an image ------------------------------------------------------------------------ */

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t height = job->height, width = job->width;
    const size_t index = (size_t)base_rng_below(&job->rng, CORRUPT_FROST_COUNT);
    corrupt_picture picture;

    const base_status status =
        corrupt_textures_get(&picture, corrupt_set_textures(job->set), index, err);
    if (status != BASE_OK)
        return status;
    const bool fits = picture.height > height && picture.width > width;
    size_t tall = picture.height, wide = picture.width;

    if (!fits) { /* the design's section 5 */
        const double down = (double)height / (double)picture.height;
        const double across = (double)width / (double)picture.width;
        const double scale = (down > across ? down : across) * 1.1;
        tall = (size_t)ceil((double)picture.height * scale);
        wide = (size_t)ceil((double)picture.width * scale);
        tall = tall > height ? tall : height + 1;
        wide = wide > width ? wide : width + 1;
    }
    const size_t top = (size_t)base_rng_below(&job->rng, tall - height);
    const size_t left = (size_t)base_rng_below(&job->rng, wide - width);
    const unsigned char *piece = fits ? picture.pixels + (top * wide + left) * 3
                                      : enlarge(job, &picture, tall, wide, top, left, err);
    const size_t step = fits ? wide * 3 : width * 3;
    if (!piece)
        return BASE_NO_MEMORY;
    for (size_t y = 0; y < height; y++)
        melt(job->out + y * width * 3, job->in + y * width * 3, piece + y * step, width * 3,
             job->params[0], job->params[1]);
    return BASE_OK;
}

/* Weight of the image, of the frost. */
const corrupt_entry corrupt_frost = {
    .name = "frost",
    .summary = "a picture of frost added to the darkened image",
    .group = CORRUPT_GROUP_WEATHER,
    .random = true,
    .params =
        {
            [CORRUPT_PRESET_224] =
                {{{1, .4}}, {{.8, .6}}, {{.7, .7}}, {{.65, .7}}, {{.6, .75}}},
            [CORRUPT_PRESET_299] =
                {{{1, .4}}, {{.8, .6}}, {{.7, .7}}, {{.65, .7}}, {{.6, .75}}},
            [CORRUPT_PRESET_64] =
                {{{1, .3}}, {{.9, .4}}, {{.8, .45}}, {{.75, .5}}, {{.7, .55}}},
            [CORRUPT_PRESET_32] =
                {{{1, .2}}, {{1, .3}}, {{.9, .4}}, {{.85, .4}}, {{.75, .45}}},
        },
    .alexnet = {.61390, .79734, .88790, .89942, .93430},
    .apply = apply,
};
