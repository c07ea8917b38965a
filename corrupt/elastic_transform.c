/* elastic_transform.c - elastic_transform: a random affine map, then a smooth random displacement of
 * every pixel. Follows Hendrycks and Dietterich 2019, make_imagenet_c.py, after Simard, Steinkraus and
 * Platt 2003 ("Best practices for convolutional neural networks"), and OpenCV's warpAffine with its steps of
 * 1/32 pixel. Relied on elsewhere: the order of the draws: six numbers of the affine map, the field of
 * x, the field of y. The smooth fields: field.c. */
#include "corrupt/parts_internal.h"

#include <math.h>

enum { ALPHA, SIGMA, SHIFT };
enum {
    LANES = 4 /* floats a pixel: three colours and a spare, so that a pixel is one vector */
};

/* ---- the affine map ------------------------------------------------------------------- */

bool corrupt_affine(double m[6], double from[3][2], double to[3][2])
{
    const double ax = from[0][0] - from[2][0], ay = from[0][1] - from[2][1];
    const double bx = from[1][0] - from[2][0], by = from[1][1] - from[2][1];
    const double area = ax * by - ay * bx;

    if (area == 0.0)
        return false;
    for (int i = 0; i < 2; i++) {
        const double a = to[0][i] - to[2][i], b = to[1][i] - to[2][i];
        m[3 * i] = (a * by - b * ay) / area;
        m[3 * i + 1] = (b * ax - a * bx) / area;
        m[3 * i + 2] = to[2][i] - m[3 * i] * from[2][0] - m[3 * i + 1] * from[2][1];
    }
    return true;
}

/* All zero for a map that has no inverse, as OpenCV's. */
static void invert(double out[6], const double m[6])
{
    const double area = m[0] * m[4] - m[1] * m[3];
    const double scale = area != 0.0 ? 1.0 / area : 0.0;

    out[0] = m[4] * scale;
    out[1] = m[1] * -scale;
    out[3] = m[3] * -scale;
    out[4] = m[0] * scale;
    out[2] = -out[0] * m[2] - out[1] * m[5];
    out[5] = -out[3] * m[2] - out[4] * m[5];
}

/* Reflect-101 far outside: c b | a b c d | c b a b. */
static size_t reflect_101(int64_t at, size_t extent)
{
    const int64_t period = 2 * ((int64_t)extent - 1);

    if (period == 0)
        return 0;
    const int64_t folded = (at % period + period) % period;
    return (size_t)(folded < (int64_t)extent ? folded : period - folded);
}

/* Reflect with the edge twice: b a | a b c d | d c. */
static size_t reflect(int64_t at, size_t extent)
{
    const int64_t period = 2 * (int64_t)extent;
    const int64_t folded = (at % period + period) % period;

    return (size_t)(folded < (int64_t)extent ? folded : period - 1 - folded);
}

/* out = the mix of four pixels, x first; parts 0..1 of the right and of the lower ones. */
static inline void mix(float out[LANES], const float *a, const float *b, const float *c,
                       const float *d, float right, float low)
{
    const float wa = (1.0f - low) * (1.0f - right), wb = (1.0f - low) * right;
    const float wc = low * (1.0f - right), wd = low * right;

    for (int i = 0; i < LANES; i++)
        out[i] = a[i] * wa + b[i] * wb + c[i] * wc + d[i] * wd;
}

/* To the nearest integer, halves to even; within 32 bits as OpenCV's saturating cast. */
static int64_t round_to_int(double v)
{
    const double kept =
        v > -2147483648.0 ? (v < 2147483647.0 ? v : 2147483647.0) : -2147483648.0;

    return (int64_t)rint(kept);
}

void corrupt_warp(float *out, const float *in, size_t height, size_t width,
                  const double m[6])
{
    enum {
        FINE = 10,
        STEPS = 5
    }; /* bits of a coordinate in the sum, and of it that are used */
    const int64_t half_step = 1 << (FINE - STEPS - 1), one = 1 << STEPS;
    double back[6];

    invert(back, m);
    for (size_t y = 0; y < height; y++) {
        const double row = (double)y;
        const int64_t x0 =
            round_to_int((back[1] * row + back[2]) * (1 << FINE)) + half_step;
        const int64_t y0 =
            round_to_int((back[4] * row + back[5]) * (1 << FINE)) + half_step;
        for (size_t x = 0; x < width; x++) {
            const double column = (double)x * (1 << FINE);
            const int64_t sx = (x0 + round_to_int(back[0] * column)) >> (FINE - STEPS);
            const int64_t sy = (y0 + round_to_int(back[3] * column)) >> (FINE - STEPS);
            const int64_t ix = sx >> STEPS, iy = sy >> STEPS;
            size_t left = (size_t)ix, right = left + 1, top = (size_t)iy, low = top + 1;
            if (ix < 0 || iy < 0 || right >= width || low >= height) {
                left = reflect_101(ix, width);
                right = reflect_101(ix + 1, width);
                top = reflect_101(iy, height);
                low = reflect_101(iy + 1, height);
            }
            mix(out + (y * width + x) * LANES, in + (top * width + left) * LANES,
                in + (top * width + right) * LANES, in + (low * width + left) * LANES,
                in + (low * width + right) * LANES, (float)(sx & (one - 1)) / (float)one,
                (float)(sy & (one - 1)) / (float)one);
        }
    }
}

/* ---- the displacement ----------------------------------------------------------------- */

static inline void put(unsigned char *out, const float pixel[LANES])
{
    out[0] = corrupt_byte_f32(pixel[0]);
    out[1] = corrupt_byte_f32(pixel[1]);
    out[2] = corrupt_byte_f32(pixel[2]);
}

/* out(y, x) = in(y + dy, x + dx). */
static void displace(unsigned char *out, const float *in, const float *dx, const float *dy,
                     size_t height, size_t width)
{
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            const size_t i = y * width + x;
            const float fx = floorf(dx[i]), fy = floorf(dy[i]);
            const int64_t ix = (int64_t)x + (int32_t)fx, iy = (int64_t)y + (int32_t)fy;
            size_t left = (size_t)ix, right = left + 1, top = (size_t)iy, low = top + 1;
            float pixel[LANES];
            if (ix < 0 || iy < 0 || right >= width || low >= height) {
                left = reflect(ix, width);
                right = reflect(ix + 1, width);
                top = reflect(iy, height);
                low = reflect(iy + 1, height);
            }
            mix(pixel, in + (top * width + left) * LANES,
                in + (top * width + right) * LANES, in + (low * width + left) * LANES,
                in + (low * width + right) * LANES, dx[i] - fx, dy[i] - fy);
            put(out + 3 * i, pixel);
        }
    }
}

/* The corners of a square in the middle, each moved by less than shift pixels along x and y. */
static void draw_affine(double m[6], corrupt_job *job)
{
    const double shift = job->params[SHIFT];
    const size_t least = job->height < job->width ? job->height : job->width;
    const double q = (double)(least / 3);
    const double cx = (double)(job->width / 2), cy = (double)(job->height / 2);
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
    float *fields = clean; /* two planes, when the clean pixels are used up */
    if (!clean || !warped)
        return BASE_NO_MEMORY;
    draw_affine(m, job);
    for (size_t i = 0; i < count; i++) {
        clean[LANES * i] = job->in[3 * i] / 255.0f;
        clean[LANES * i + 1] = job->in[3 * i + 1] / 255.0f;
        clean[LANES * i + 2] = job->in[3 * i + 2] / 255.0f;
        clean[LANES * i + 3] = 0.0f;
    }
    corrupt_warp(warped, clean, height, width, m);
    if (alpha == 0.0f) {
        for (size_t i = 0; i < count; i++)
            put(job->out + 3 * i, warped + LANES * i);
        return BASE_OK;
    }
    corrupt_random_uniform(fields, count, &job->rng);
    corrupt_random_uniform(fields + count, count, &job->rng);
    for (size_t i = 0; i < 2 * count; i++)
        fields[i] = 2.0f * fields[i] - 1.0f;
    for (size_t i = 0; i < 2; i++) {
        const base_status status = corrupt_smooth_field(
            job, fields + i * count, height, width, job->params[SIGMA], alpha, err);
        if (status != BASE_OK)
            return status;
    }
    displace(job->out, warped, fields, fields + count, height, width);
    return BASE_OK;
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
