/* gauss.c - the Gaussian filter: separable, first along y, then along x. On bytes in f64
 * and in the order of scipy 1.10 (ndimage correlate1d and _gaussian_kernel1d), so that not
 * one sample differs; on planes of random numbers in f32. Free to change: how rows are
 * kept. Relied on elsewhere: the order of every sum. */
#include "corrupt/corrupt_internal.h"

#include <math.h>
#include <string.h>

enum {
    PAIRWISE_BLOCK = 128 /* of numpy's sum */
};

/* ---- taps ---------------------------------------------------------------------------- */

/* numpy's sum of a contiguous array: eight partial sums below 128 values, halves above.
 * Copied because the last bit of the taps' sum decides where a flat area falls when it is
 * cut to 8 bits. */
static double pairwise_sum(const double *a, size_t count)
{
    if (count < 8) {
        double sum = 0.0;
        for (size_t i = 0; i < count; i++)
            sum += a[i];
        return sum;
    }
    if (count > PAIRWISE_BLOCK) {
        const size_t half = count / 2 / 8 * 8;
        return pairwise_sum(a, half) + pairwise_sum(a + half, count - half);
    }
    double part[8];
    size_t i = 8;
    memcpy(part, a, sizeof part);
    for (; i + 8 <= count; i += 8) {
        for (size_t j = 0; j < 8; j++)
            part[j] += a[i + j];
    }
    double sum = ((part[0] + part[1]) + (part[2] + part[3])) +
                 ((part[4] + part[5]) + (part[6] + part[7]));
    for (; i < count; i++)
        sum += a[i];
    return sum;
}

static size_t radius_of(double sigma, double truncate)
{
    return (size_t)(truncate * sigma + 0.5);
}

/* taps [2 radius + 1], their sum 1. */
static void fill_taps(double *taps, size_t radius, double sigma)
{
    const double scale = -0.5 / (sigma * sigma);
    const size_t count = 2 * radius + 1;

    for (size_t i = 0; i < count; i++) {
        const double x = (double)i - (double)radius;
        taps[i] = corrupt_exp(scale * (x * x));
    }
    const double sum = pairwise_sum(taps, count);
    for (size_t i = 0; i < count; i++)
        taps[i] /= sum;
}

/* Where sample i of a line of extent lies under the border. */
static size_t border_at(ptrdiff_t i, size_t extent, corrupt_border border)
{
    const ptrdiff_t n = (ptrdiff_t)extent;

    if (border == CORRUPT_BORDER_NEAREST)
        return (size_t)(i < 0 ? 0 : i >= n ? n - 1 : i);
    const ptrdiff_t folded = (i % (2 * n) + 2 * n) % (2 * n);
    return (size_t)(folded < n ? folded : 2 * n - 1 - folded);
}

/* ---- bytes --------------------------------------------------------------------------- */

enum { VECTORS = 4, BLOCK_F64 = CORRUPT_F64S * VECTORS };

/* out [count]: row[radius] times the middle tap, then the pairs from the outside in. */
static void sum_rows_f64(double *restrict out, const double *const *row, const double *taps,
                         size_t radius, size_t count)
{
    size_t x = 0;

    for (; x + BLOCK_F64 <= count; x += BLOCK_F64) {
        corrupt_f64s sum[VECTORS], a, b;
        for (size_t j = 0; j < VECTORS; j++) {
            memcpy(&a, row[radius] + x + j * CORRUPT_F64S, sizeof a);
            sum[j] = a * taps[radius];
        }
        for (size_t i = 0; i < radius; i++) {
            const double *left = row[i] + x, *right = row[2 * radius - i] + x;
            for (size_t j = 0; j < VECTORS; j++) {
                memcpy(&a, left + j * CORRUPT_F64S, sizeof a);
                memcpy(&b, right + j * CORRUPT_F64S, sizeof b);
                sum[j] += (a + b) * taps[i];
            }
        }
        memcpy(out + x, sum, sizeof sum);
    }
    for (; x < count; x++) {
        double sum = row[radius][x] * taps[radius];
        for (size_t i = 0; i < radius; i++)
            sum += (row[i][x] + row[2 * radius - i][x]) * taps[i];
        out[x] = sum;
    }
}

base_status corrupt_gauss_bytes(corrupt_job *job, unsigned char *out,
                                const unsigned char *in, size_t height, size_t width,
                                size_t channels, double sigma, base_error *err)
{
    const size_t radius = radius_of(sigma, 4.0), taps_count = 2 * radius + 1;
    const size_t line = width * channels, pad = radius * channels;

    if (radius == 0 || sigma <= 1e-15) {
        memmove(out, in, height * line); /* trunc(v / 255 * 255) is v for all 256 bytes */
        return BASE_OK;
    }
    const size_t mark = corrupt_scratch_mark(job);
    double *taps = corrupt_scratch(job, taps_count, sizeof *taps, err);
    /* The rows around the present one as f64, row r in slot r % taps_count; one row of
     * sums, padded. */
    double *ring = corrupt_scratch(job, taps_count * line, sizeof *ring, err);
    double *middle = corrupt_scratch(job, line + 2 * pad, sizeof *middle, err);
    double *last = corrupt_scratch(job, line, sizeof *last, err);
    const double **row = corrupt_scratch(job, taps_count, sizeof *row, err);
    if (!taps || !ring || !middle || !last || !row)
        return BASE_NO_MEMORY;
    fill_taps(taps, radius, sigma);

    size_t filled = 0;
    for (size_t y = 0; y < height; y++) {
        for (; filled < height && filled <= y + radius; filled++) {
            double *to = ring + filled % taps_count * line;
            for (size_t x = 0; x < line; x++)
                to[x] = in[filled * line + x] / 255.0;
        }
        for (size_t i = 0; i < taps_count; i++) {
            const ptrdiff_t at = (ptrdiff_t)(y + i) - (ptrdiff_t)radius;
            row[i] =
                ring + border_at(at, height, CORRUPT_BORDER_NEAREST) % taps_count * line;
        }
        sum_rows_f64(middle + pad, row, taps, radius, line);
        for (size_t i = 0; i < radius; i++) {
            memcpy(middle + i * channels, middle + pad, channels * sizeof *middle);
            memcpy(middle + pad + line + i * channels, middle + pad + line - channels,
                   channels * sizeof *middle);
        }
        for (size_t i = 0; i < taps_count; i++)
            row[i] = middle + i * channels;
        sum_rows_f64(last, row, taps, radius, line);
        for (size_t x = 0; x < line; x++)
            out[y * line + x] = corrupt_byte(last[x]);
    }
    corrupt_scratch_rewind(job, mark);
    return BASE_OK;
}

/* ---- planes -------------------------------------------------------------------------- */

enum { BLOCK_F32 = CORRUPT_F32S * VECTORS };

/* out [count] = sum over i of weight[i] row[i], in this order. */
static void weigh_rows(float *restrict out, const float *const *row, const float *weight,
                       size_t rows, size_t count)
{
    size_t x = 0;

    for (; x + BLOCK_F32 <= count; x += BLOCK_F32) {
        corrupt_f32s sum[VECTORS] = {0}, a;
        for (size_t i = 0; i < rows; i++) {
            for (size_t j = 0; j < VECTORS; j++) {
                memcpy(&a, row[i] + x + j * CORRUPT_F32S, sizeof a);
                sum[j] += a * weight[i];
            }
        }
        memcpy(out + x, sum, sizeof sum);
    }
    for (; x < count; x++) {
        float sum = 0.0f;
        for (size_t i = 0; i < rows; i++)
            sum += row[i][x] * weight[i];
        out[x] = sum;
    }
}

/* A kernel longer than the line meets its samples again and again: folded [extent, extent],
 * row p are the samples' weights for output p (transposed: column p). */
static void fold_taps(float *folded, double *line, size_t extent, const double *taps,
                      size_t radius, corrupt_border border, bool transposed)
{
    for (size_t p = 0; p < extent; p++) {
        memset(line, 0, extent * sizeof *line);
        for (size_t i = 0; i <= 2 * radius; i++)
            line[border_at((ptrdiff_t)(p + i) - (ptrdiff_t)radius, extent, border)] +=
                taps[i];
        for (size_t q = 0; q < extent; q++)
            folded[transposed ? q * extent + p : p * extent + q] = (float)line[q];
    }
}

typedef struct plane_filter {
    const double *taps;
    const float *taps_f32;
    size_t radius;
    corrupt_border border;
} plane_filter;

/* Along y, from a copy. */
static base_status filter_columns(corrupt_job *job, float *plane, size_t height,
                                  size_t width, const plane_filter *filter, base_error *err)
{
    const size_t radius = filter->radius, taps_count = 2 * radius + 1;
    const bool fold = radius >= height;
    const size_t kept = fold || taps_count > height ? height : taps_count;
    float *ring = corrupt_scratch(job, kept * width, sizeof *ring, err);
    float *last = corrupt_scratch(job, width, sizeof *last, err);
    const float **row = corrupt_scratch(job, fold ? height : taps_count, sizeof *row, err);
    float *folded =
        fold ? corrupt_scratch(job, height * height, sizeof *folded, err) : last;
    double *line = corrupt_scratch(job, height, sizeof *line, err); /* to fold with */

    if (!ring || !last || !row || !folded || !line)
        return BASE_NO_MEMORY;
    if (fold)
        fold_taps(folded, line, height, filter->taps, radius, filter->border, false);
    size_t filled = 0;
    for (size_t y = 0; y < height; y++) {
        for (; filled < height && (kept == height || filled <= y + radius); filled++)
            memcpy(ring + filled % kept * width, plane + filled * width,
                   width * sizeof *plane);
        if (fold) {
            for (size_t i = 0; i < height; i++)
                row[i] = ring + i * width;
            weigh_rows(last, row, folded + y * height, height, width);
        } else {
            for (size_t i = 0; i < taps_count; i++)
                row[i] = ring + border_at((ptrdiff_t)(y + i) - (ptrdiff_t)radius, height,
                                          filter->border) %
                                    kept * width;
            weigh_rows(last, row, filter->taps_f32, taps_count, width);
        }
        memcpy(plane + y * width, last, width * sizeof *plane);
    }
    return BASE_OK;
}

/* Along x: a row at a time. */
static base_status filter_rows(corrupt_job *job, float *plane, size_t height, size_t width,
                               const plane_filter *filter, base_error *err)
{
    const size_t radius = filter->radius, taps_count = 2 * radius + 1;
    const bool fold = radius >= width;
    const size_t padded = fold ? width : width + 2 * radius;
    float *copy = corrupt_scratch(job, padded, sizeof *copy, err);
    const float **row = corrupt_scratch(job, fold ? width : taps_count, sizeof *row, err);
    float *folded = fold ? corrupt_scratch(job, width * width, sizeof *folded, err) : copy;
    double *line = corrupt_scratch(job, width, sizeof *line, err); /* to fold with */

    if (!copy || !row || !folded || !line)
        return BASE_NO_MEMORY;
    if (fold) {
        fold_taps(folded, line, width, filter->taps, radius, filter->border, true);
        for (size_t i = 0; i < width; i++)
            row[i] = folded + i * width;
    } else {
        for (size_t i = 0; i < taps_count; i++)
            row[i] = copy + i;
    }
    for (size_t y = 0; y < height; y++) {
        float *at = plane + y * width;
        if (fold) {
            memcpy(copy, at, width * sizeof *copy);
            weigh_rows(at, row, copy, width, width);
            continue;
        }
        memcpy(copy + radius, at, width * sizeof *copy);
        for (size_t i = 0; i < radius; i++) {
            copy[i] =
                at[border_at((ptrdiff_t)i - (ptrdiff_t)radius, width, filter->border)];
            copy[radius + width + i] =
                at[border_at((ptrdiff_t)(width + i), width, filter->border)];
        }
        weigh_rows(at, row, filter->taps_f32, taps_count, width);
    }
    return BASE_OK;
}

base_status corrupt_gauss_plane(corrupt_job *job, float *plane, size_t height, size_t width,
                                double sigma, corrupt_border border, double truncate,
                                base_error *err)
{
    const size_t radius = radius_of(sigma, truncate);

    if (radius == 0)
        return BASE_OK;
    const size_t mark = corrupt_scratch_mark(job);
    double *taps = corrupt_scratch(job, 2 * radius + 1, sizeof *taps, err);
    float *taps_f32 = corrupt_scratch(job, 2 * radius + 1, sizeof *taps_f32, err);
    if (!taps || !taps_f32)
        return BASE_NO_MEMORY;
    fill_taps(taps, radius, sigma);
    for (size_t i = 0; i <= 2 * radius; i++)
        taps_f32[i] = (float)taps[i];

    const plane_filter filter = {taps, taps_f32, radius, border};
    const size_t inner = corrupt_scratch_mark(job);
    base_status status = filter_columns(job, plane, height, width, &filter, err);
    if (status == BASE_OK) {
        corrupt_scratch_rewind(job, inner);
        status = filter_rows(job, plane, height, width, &filter, err);
    }
    corrupt_scratch_rewind(job, mark);
    return status;
}
