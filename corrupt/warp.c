/* warp.c - pictures sampled between their pixels: under an affine map, in OpenCV's steps
 * of 1/32 pixel, and along a field of displacements, as scipy does. Bilinear, four
 * floats a pixel. Follows OpenCV 4.6 (imgwarp.cpp, warpAffine) and scipy 1.10
 * (map_coordinates, order 1). Free to change: how a row is worked. */
#include "corrupt/parts_internal.h"

#include <math.h>
#include <string.h>

/* ---- affine maps --------------------------------------------------------------------- */

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

/* To the nearest integer, halves to even; cut so that two of them can be added. Half a
 * million pixels outside, one mirrored pixel is as good as another. */
static int32_t round_to_int(double v)
{
    const double most = 536870912.0; /* 2^29 */
    const double low = v > -most ? v : -most;

    return (int32_t)rint(low < most ? low : most);
}

/* ---- a row of samples ---------------------------------------------------------------- */

/* Where each output of a row lies: the pixel up and left of it, and the parts 0..1 of
 * the way to the next. */
typedef struct places {
    int32_t *x, *y;
    float *right, *low;
} places;

static base_status places_make(places *out, corrupt_job *job, size_t width, base_error *err)
{
    out->x = corrupt_scratch(job, width, sizeof *out->x, err);
    out->y = corrupt_scratch(job, width, sizeof *out->y, err);
    out->right = corrupt_scratch(job, width, sizeof *out->right, err);
    out->low = corrupt_scratch(job, width, sizeof *out->low, err);
    return out->x && out->y && out->right && out->low ? BASE_OK : BASE_NO_MEMORY;
}

typedef enum mirror {
    MIRROR_ONCE, /* c b | a b c d | c b: reflect-101 */
    MIRROR_TWICE /* b a | a b c d | d c */
} mirror;

static size_t fold(int64_t at, size_t extent, mirror how)
{
    const int64_t n = (int64_t)extent;
    const int64_t period = how == MIRROR_ONCE ? 2 * n - 2 : 2 * n;

    if (period == 0)
        return 0;
    const int64_t folded = (at % period + period) % period;
    return (size_t)(folded < n           ? folded
                    : how == MIRROR_ONCE ? period - folded
                                         : period - 1 - folded);
}

static inline corrupt_f32x4 pixel_of(const float *in)
{
    corrupt_f32x4 out;

    memcpy(&out, in, sizeof out);
    return out;
}

/* out [width] = in [height, width] at the places. */
static void sample_row(float *out, const float *in, size_t height, size_t width,
                       const places *at, mirror how)
{
    const uint32_t inner_x = (uint32_t)width - 1, inner_y = (uint32_t)height - 1;

    for (size_t i = 0; i < width; i++) {
        size_t x = (uint32_t)at->x[i], next_x = x + 1;
        size_t y = (uint32_t)at->y[i], next_y = y + 1;
        if ((uint32_t)at->x[i] >= inner_x || (uint32_t)at->y[i] >= inner_y) {
            x = fold(at->x[i], width, how);
            next_x = fold((int64_t)at->x[i] + 1, width, how);
            y = fold(at->y[i], height, how);
            next_y = fold((int64_t)at->y[i] + 1, height, how);
        }
        const float right = at->right[i], low = at->low[i];
        const float *upper = in + y * width * 4, *lower = in + next_y * width * 4;
        const corrupt_f32x4 sum =
            pixel_of(upper + x * 4) * ((1.0f - low) * (1.0f - right)) +
            pixel_of(upper + next_x * 4) * ((1.0f - low) * right) +
            pixel_of(lower + x * 4) * (low * (1.0f - right)) +
            pixel_of(lower + next_x * 4) * (low * right);
        memcpy(out + 4 * i, &sum, sizeof sum);
    }
}

/* ---- maps and fields ----------------------------------------------------------------- */

base_status corrupt_warp(corrupt_job *job, float *out, const float *in, size_t height,
                         size_t width, const double m[6], base_error *err)
{
    enum { FINE = 10, STEPS = 5 }; /* bits of a coordinate in the sum, and of it in use */
    const int32_t half_step = 1 << (FINE - STEPS - 1), mask = (1 << STEPS) - 1;
    const size_t mark = corrupt_scratch_mark(job);
    int32_t *along_x = corrupt_scratch(job, width, sizeof *along_x, err);
    int32_t *along_y = corrupt_scratch(job, width, sizeof *along_y, err);
    double back[6];
    places at;

    if (places_make(&at, job, width, err) != BASE_OK || !along_x || !along_y)
        return BASE_NO_MEMORY;
    invert(back, m);
    for (size_t x = 0; x < width; x++) {
        along_x[x] = round_to_int(back[0] * (double)x * (1 << FINE));
        along_y[x] = round_to_int(back[3] * (double)x * (1 << FINE));
    }
    for (size_t y = 0; y < height; y++) {
        const double row = (double)y;
        const int32_t x0 =
            round_to_int((back[1] * row + back[2]) * (1 << FINE)) + half_step;
        const int32_t y0 =
            round_to_int((back[4] * row + back[5]) * (1 << FINE)) + half_step;
        for (size_t x = 0; x < width; x++) {
            const int32_t sx = (x0 + along_x[x]) >> (FINE - STEPS);
            const int32_t sy = (y0 + along_y[x]) >> (FINE - STEPS);
            at.x[x] = sx >> STEPS;
            at.y[x] = sy >> STEPS;
            at.right[x] = (float)(sx & mask) * 0x1p-5f;
            at.low[x] = (float)(sy & mask) * 0x1p-5f;
        }
        sample_row(out + y * width * 4, in, height, width, &at, MIRROR_ONCE);
    }
    corrupt_scratch_rewind(job, mark);
    return BASE_OK;
}

/* The integer below v, |v| < 2^31; floorf is a call where there is no instruction for
 * it. */
static inline int32_t floor_to_int(float v)
{
    const int32_t cut = (int32_t)v;

    return cut - ((float)cut > v);
}

static void places_fill(places *at, const float *dx, const float *dy, size_t y,
                        size_t width)
{
    for (size_t x = 0; x < width; x++) {
        const int32_t fx = floor_to_int(dx[x]), fy = floor_to_int(dy[x]);
        at->x[x] = (int32_t)x + fx;
        at->y[x] = (int32_t)y + fy;
        at->right[x] = dx[x] - (float)fx;
        at->low[x] = dy[x] - (float)fy;
    }
}

void corrupt_bytes_of_row(unsigned char *out, unsigned char *four, const float *row,
                          size_t width)
{
    for (size_t i = 0; i < 4 * width; i++)
        four[i] = corrupt_byte_f32(row[i]);
    for (size_t x = 0; x < width; x++)
        for (size_t c = 0; c < 3; c++)
            out[3 * x + c] = four[4 * x + c];
}

base_status corrupt_displace(corrupt_job *job, unsigned char *out, const float *in,
                             const float *dx, const float *dy, size_t height, size_t width,
                             base_error *err)
{
    const size_t mark = corrupt_scratch_mark(job);
    float *row = corrupt_scratch(job, width, 4 * sizeof *row, err);
    unsigned char *four = corrupt_scratch(job, width, 4, err);
    places at;

    if (places_make(&at, job, width, err) != BASE_OK || !row || !four)
        return BASE_NO_MEMORY;
    for (size_t y = 0; y < height; y++) {
        places_fill(&at, dx + y * width, dy + y * width, y, width);
        sample_row(row, in, height, width, &at, MIRROR_TWICE);
        corrupt_bytes_of_row(out + y * width * 3, four, row, width);
    }
    corrupt_scratch_rewind(job, mark);
    return BASE_OK;
}
