/* field.c - the smooth random field of elastic_transform. A Gaussian filter with the
 * symmetric border is diagonal in the basis of the discrete cosine transform (Strang
 * 1999, "The discrete cosine transform", DCT-2), with the transform of its taps as
 * eigenvalues. A wide filter leaves but a few of the cosines, so a projection on those
 * replaces a thousand taps; a narrow one is filtered as it is. Free to change: which way
 * is taken, with the outcome within about 0.35 % of the field's deviation. */
#include "corrupt/parts_internal.h"

#include <assert.h>
#include <string.h>

/* The border repeats with a period of 2 extent, and cosine k has k half waves in extent:
 * beyond pi k sigma / extent = 5.5 what is left is the ripple of the taps' cut at 3
 * sigma, 0.25 % of the power's root along an axis. */
static const double last_phase = 5.5;
static const double pi = 3.14159265358979323846;
static const double truncate = 3.0; /* of the scripts: taps up to 3 sigma */

enum { WIDE = 16 /* the longest vector */, ROWS = 8 };

/* One axis. Cosines are padded to a multiple of WIDE with zeros. */
typedef struct axis {
    size_t extent, cosines, padded;
    float *basis; /* [extent, padded] */
    float *gain;  /* [padded]: eigenvalue times the square of the norm */
} axis;

static size_t cosines_needed(size_t extent, double sigma)
{
    const double needed = last_phase * (double)extent / (pi * sigma);

    return needed + 1.0 < (double)extent ? (size_t)needed + 1 : extent;
}

/* Tables: cosine [4 extent] = cos(pi i / (2 extent)), taps [radius + 1] from the middle. */
static bool axis_make(axis *out, corrupt_job *job, size_t extent, double sigma,
                      base_error *err)
{
    const size_t radius = (size_t)(truncate * sigma + 0.5), period = 4 * extent;
    const size_t count = cosines_needed(extent, sigma);
    const size_t padded = (count + WIDE - 1) / WIDE * WIDE;

    assert(period > 0);
    *out = (axis){
        .extent = extent,
        .cosines = count,
        .padded = padded,
        .basis = corrupt_scratch(job, extent * padded, sizeof *out->basis, err),
        .gain = corrupt_scratch(job, padded, sizeof *out->gain, err),
    };
    double *cosine = corrupt_scratch(job, period, sizeof *cosine, err);
    double *taps = corrupt_scratch(job, radius + 1, sizeof *taps, err);
    if (!out->basis || !out->gain || !cosine || !taps)
        return false;
    for (size_t i = 0; i < period; i++) {
        double sine;
        corrupt_cos_sin(&cosine[i], &sine, 90.0 * (double)i / (double)extent);
    }
    double sum = 0.0;
    for (size_t i = 0; i <= radius; i++) {
        taps[i] = corrupt_exp(-0.5 / (sigma * sigma) * (double)(i * i));
        sum += i > 0 ? 2.0 * taps[i] : taps[i];
    }
    memset(out->gain, 0, padded * sizeof *out->gain);
    for (size_t k = 0; k < count; k++) {
        double value = taps[0];
        for (size_t i = 1; i <= radius; i++)
            value += 2.0 * taps[i] * cosine[2 * k * i % period];
        out->gain[k] = (float)(value / sum * (k > 0 ? 2.0 : 1.0) / (double)extent);
    }
    for (size_t x = 0; x < extent; x++) {
        for (size_t k = 0; k < padded; k++)
            out->basis[x * padded + k] =
                k < count ? (float)cosine[k * (2 * x + 1) % period] : 0.0f;
    }
    return true;
}

/* part [rows, padded] = field [rows, extent] times the basis; the sums of ROWS rows stay in
 * registers and do not wait for one another. */
static void project_rows(float *part, const float *field, size_t rows, const axis *across)
{
    const size_t extent = across->extent, padded = across->padded;

    for (size_t k = 0; k < padded; k += CORRUPT_F32S) {
        corrupt_f32s sum[ROWS] = {0}, basis;
        for (size_t x = 0; x < extent; x++) {
            memcpy(&basis, across->basis + x * padded + k, sizeof basis);
            if (rows == ROWS) {
                for (size_t r = 0; r < ROWS; r++)
                    sum[r] += basis * field[r * extent + x];
            } else {
                for (size_t r = 0; r < rows; r++)
                    sum[r] += basis * field[r * extent + x];
            }
        }
        for (size_t r = 0; r < rows; r++)
            memcpy(part + r * padded + k, &sum[r], sizeof sum[r]);
    }
}

static void add_row(float *restrict to, const float *from, float weight, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += weight * from[i];
}

/* out [extent] = sum of part[k] times cosine k. */
static void compose_row(float *restrict out, const float *part, const float *turned,
                        const axis *across)
{
    enum { VECTORS = 4, BLOCK = VECTORS * CORRUPT_F32S };
    const size_t extent = across->extent;
    size_t x = 0;

    for (; x + BLOCK <= extent; x += BLOCK) {
        corrupt_f32s sum[VECTORS] = {0}, wave;
        for (size_t k = 0; k < across->cosines; k++) {
            for (size_t j = 0; j < VECTORS; j++) {
                memcpy(&wave, turned + k * extent + x + j * CORRUPT_F32S, sizeof wave);
                sum[j] += wave * part[k];
            }
        }
        memcpy(out + x, sum, sizeof sum);
    }
    for (; x < extent; x++) {
        float sum = 0.0f;
        for (size_t k = 0; k < across->cosines; k++)
            sum += turned[k * extent + x] * part[k];
        out[x] = sum;
    }
}

static base_status filter_by_cosines(corrupt_job *job, float *field, size_t height,
                                     size_t width, double sigma, float alpha,
                                     base_error *err)
{
    axis across, down;

    if (!axis_make(&across, job, width, sigma, err) ||
        !axis_make(&down, job, height, sigma, err))
        return BASE_NO_MEMORY;
    const size_t padded = across.padded;
    float *part = corrupt_scratch(job, height * padded, sizeof *part, err);
    float *both = corrupt_scratch(job, down.cosines * padded, sizeof *both, err);
    float *turned = corrupt_scratch(job, across.cosines * width, sizeof *turned, err);
    if (!part || !both || !turned)
        return BASE_NO_MEMORY;
    for (size_t y = 0; y < height; y += ROWS)
        project_rows(part + y * padded, field + y * width,
                     height - y < ROWS ? height - y : ROWS, &across);
    memset(both, 0, down.cosines * padded * sizeof *both);
    for (size_t y = 0; y < height; y++)
        for (size_t k = 0; k < down.cosines; k++)
            add_row(both + k * padded, part + y * padded, down.basis[y * down.padded + k],
                    padded);
    for (size_t k = 0; k < down.cosines; k++)
        for (size_t l = 0; l < padded; l++)
            both[k * padded + l] *= alpha * down.gain[k] * across.gain[l];
    for (size_t k = 0; k < across.cosines; k++)
        for (size_t x = 0; x < width; x++)
            turned[k * width + x] = across.basis[x * padded + k];
    for (size_t y = 0; y < height; y++) {
        memset(part, 0, padded * sizeof *part);
        for (size_t k = 0; k < down.cosines; k++)
            add_row(part, both + k * padded, down.basis[y * down.padded + k], padded);
        compose_row(field + y * width, part, turned, &across);
    }
    return BASE_OK;
}

base_status corrupt_smooth_field(corrupt_job *job, float *field, size_t height,
                                 size_t width, double sigma, float alpha, base_error *err)
{
    const size_t mark = corrupt_scratch_mark(job);
    const double taps = 2.0 * truncate * sigma + 1.0;
    const size_t longest = height > width ? height : width;
    base_status status;

    if ((double)cosines_needed(longest, sigma) < taps) {
        status = filter_by_cosines(job, field, height, width, sigma, alpha, err);
    } else {
        status = corrupt_gauss_plane(job, field, height, width, sigma,
                                     CORRUPT_BORDER_SYMMETRIC, truncate, err);
        for (size_t i = 0; i < height * width; i++)
            field[i] *= alpha;
    }
    corrupt_scratch_rewind(job, mark);
    return status;
}
