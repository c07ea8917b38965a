/* elastic_transform.c - elastic_transform: a random affine map, then a smooth random
 * displacement of every pixel. Follows Hendrycks and Dietterich 2019,
 * make_imagenet_c.py, after Simard, Steinkraus and Platt 2003 ("Best practices for
 * convolutional neural networks"). Relied on elsewhere: the order of the draws: six
 * numbers of the affine map, the field of x, the field of y. The sampling: warp.c; the
 * smooth fields: field.c. */
#include "corrupt/parts_internal.h"

enum { ALPHA, SIGMA, SHIFT };
enum { LANES = 4 /* floats a pixel: three colours and a spare, so that one is a vector */ };

/* The corners of a square in the middle, each moved by less than shift pixels along x
 * and y. */
static void draw_affine(double m[6], corrupt_job *job)
{
    const double shift = job->params[SHIFT];
    const size_t least = job->height < job->width ? job->height : job->width;
    const size_t reach = least / 3, middle_x = job->width / 2, middle_y = job->height / 2;
    const double q = (double)reach, cx = (double)middle_x, cy = (double)middle_y;
    double from[3][2] = {{cx + q, cy + q}, {cx + q, cy - q}, {cx - q, cy - q}};
    double to[3][2];

    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++)
            to[i][k] = from[i][k] + shift * (2.0 * base_rng_uniform(&job->rng) - 1.0);
    (void)corrupt_affine(m, from, to); /* q >= 1 */
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t height = job->height, width = job->width, count = height * width;
    const float alpha = (float)job->params[ALPHA];
    double m[6];

    if (height < 3 || width < 3)
        return base_fail(err, BASE_UNSUPPORTED,
                         "elastic_transform of an image of %zu x %zu, expected at least 3 "
                         "pixels a side",
                         width, height);
    float *clean = corrupt_scratch(job, count, LANES * sizeof *clean, err);
    float *warped = corrupt_scratch(job, count, LANES * sizeof *warped, err);
    unsigned char *four = corrupt_scratch(job, width, LANES, err);
    float *fields = clean; /* two planes, when the clean pixels are used up */
    if (!clean || !warped || !four)
        return BASE_NO_MEMORY;
    draw_affine(m, job);
    for (size_t i = 0; i < count; i++) {
        clean[LANES * i] = job->in[3 * i] / 255.0f;
        clean[LANES * i + 1] = job->in[3 * i + 1] / 255.0f;
        clean[LANES * i + 2] = job->in[3 * i + 2] / 255.0f;
        clean[LANES * i + 3] = 0.0f;
    }
    base_status status = corrupt_warp(job, warped, clean, height, width, m, err);
    if (status != BASE_OK)
        return status;
    if (alpha == 0.0f) {
        for (size_t y = 0; y < height; y++)
            corrupt_bytes_of_row(job->out + y * width * 3, four, warped + y * width * LANES,
                                 width);
        return BASE_OK;
    }
    corrupt_random_uniform(fields, count, &job->rng);
    corrupt_random_uniform(fields + count, count, &job->rng);
    for (size_t i = 0; i < 2 * count; i++)
        fields[i] = 2.0f * fields[i] - 1.0f;
    for (size_t i = 0; i < 2; i++) {
        status = corrupt_smooth_field(job, fields + i * count, height, width,
                                      job->params[SIGMA], alpha, err);
        if (status != BASE_OK)
            return status;
    }
    return corrupt_displace(job, job->out, warped, fields, fields + count, height, width,
                            err);
}

/* Alpha, sigma, affine: pixels. */
const corrupt_entry corrupt_elastic_transform = {
    .name = "elastic_transform",
    .summary = "a random affine map and a smooth random displacement",
    .group = CORRUPT_GROUP_DIGITAL,
    .random = true,
    .params =
        {
            /* multiples of 244 for 224: a slip of the authors that is the benchmark */
            [CORRUPT_PRESET_224] = {{{488, 170.8, 24.4}},
                                    {{488, 19.52, 48.8}},
                                    {{12.2, 2.44, 4.88}},
                                    {{17.08, 2.44, 4.88}},
                                    {{29.28, 2.44, 4.88}}},
            [CORRUPT_PRESET_299] = {{{720, 252, 36}},
                                    {{720, 28.8, 72}},
                                    {{18, 3.6, 7.2}},
                                    {{25.2, 3.6, 7.2}},
                                    {{43.2, 3.6, 7.2}}},
            [CORRUPT_PRESET_64] = {{{0, 0, 5.12}},
                                   {{3.2, 19.2, 3.84}},
                                   {{6.4, 5.12, 3.84}},
                                   {{6.4, 1.92, 1.92}},
                                   {{10.24, 1.92, 1.28}}},
            [CORRUPT_PRESET_32] = {{{0, 0, 2.56}},
                                   {{1.6, 6.4, 2.24}},
                                   {{2.56, 1.92, 1.92}},
                                   {{3.2, 1.28, 1.6}},
                                   {{3.2, .96, .96}}},
        },
    .alexnet = {.52596, .70116, .55686, .64076, .80554},
    .apply = apply,
};
