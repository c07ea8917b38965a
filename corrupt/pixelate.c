/* pixelate.c - pixelate: shrunk to a share of each side by a box filter, enlarged again.
 * Follows Hendrycks and Dietterich 2019, make_imagenet_c.py, which calls Pillow's resize
 * with BOX (Pillow, src/libImaging/Resample.c: whole pixels, never a part of one; along
 * x, then along y, 8 bits between, coefficients of 22 fractional bits). Bit-equal to it.
 * Relied on elsewhere: enlarging repeats pixels. */
#include "corrupt/corrupt_internal.h"

#include <math.h>
#include <string.h>

enum { COEFFICIENT_BITS = 22 };

/* Which inputs make each output of an axis, and the weight of one of them. */
typedef struct box {
    uint32_t first, count;
    uint32_t weight; /* 2^22 / count */
} box;

static void boxes_make(box *out, size_t small, size_t extent)
{
    const double scale = (double)extent / (double)small; /* >= 1 */
    const double per_scale = 1.0 / scale;

    for (size_t i = 0; i < small; i++) {
        const double centre = ((double)i + 0.5) * scale;
        const double low = centre - 0.5 * scale + 0.5;
        const double high = centre + 0.5 * scale + 0.5;
        size_t first = low > 0.0 ? (size_t)low : 0;
        size_t end = high < (double)extent ? (size_t)high : extent;
        /* Pillow weighs 0 what lies outside (-0.5, 0.5] of the box */
        while (first < end && ((double)first - centre + 0.5) * per_scale <= -0.5)
            first++;
        while (first < end && ((double)(end - 1) - centre + 0.5) * per_scale > 0.5)
            end--;
        out[i].first = (uint32_t)first;
        out[i].count = (uint32_t)(end - first);
        out[i].weight =
            (uint32_t)(0.5 + 1.0 / (double)(end - first) * (1 << COEFFICIENT_BITS));
    }
}

static unsigned char mean_of(uint32_t sum, uint32_t weight)
{
    const uint32_t half = UINT32_C(1) << (COEFFICIENT_BITS - 1);
    const uint64_t mean = ((uint64_t)sum * weight + half) >> COEFFICIENT_BITS;

    return (unsigned char)(mean < 255 ? mean : 255);
}

static size_t small_side(size_t extent, double share)
{
    const size_t small = (size_t)((double)extent * share);

    return small > 0 ? small : 1; /* the scripts have no image this small */
}

/* to [columns, 3]: the means of the boxes of a row. */
static void shrink_row(unsigned char *to, const unsigned char *in, const box *across,
                       size_t columns)
{
    for (size_t x = 0; x < columns; x++) {
        const unsigned char *at = in + (size_t)across[x].first * 3;
        uint32_t sum[3] = {0};
        for (uint32_t k = 0; k < across[x].count; k++)
            for (size_t c = 0; c < 3; c++)
                sum[c] += at[3 * k + c];
        for (size_t c = 0; c < 3; c++)
            to[3 * x + c] = mean_of(sum[c], across[x].weight);
    }
}

/* to [count]: the mean of a box of rows; sum [count] is scratch. */
static void shrink_rows(unsigned char *to, uint32_t *sum, const unsigned char *narrow,
                        const box *down, size_t count)
{
    memset(sum, 0, count * sizeof *sum);
    for (uint32_t k = 0; k < down->count; k++) {
        const unsigned char *at = narrow + (down->first + k) * count;
        for (size_t i = 0; i < count; i++)
            sum[i] += at[i];
    }
    for (size_t i = 0; i < count; i++)
        to[i] = mean_of(sum[i], down->weight);
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t height = job->height, width = job->width;
    const size_t rows = small_side(height, job->params[0]);
    const size_t columns = small_side(width, job->params[0]);
    box *across = corrupt_scratch(job, columns, sizeof *across, err);
    box *down = corrupt_scratch(job, rows, sizeof *down, err);
    uint32_t *from = corrupt_scratch(job, width, sizeof *from, err);
    unsigned char *narrow = corrupt_scratch(job, height * columns, 3, err);
    uint32_t *sum = corrupt_scratch(job, columns * 3, sizeof *sum, err);
    unsigned char *line = corrupt_scratch(job, columns, 3, err);
    size_t last = SIZE_MAX; /* the small row above */

    if (!across || !down || !from || !narrow || !sum || !line)
        return BASE_NO_MEMORY;
    boxes_make(across, columns, width);
    boxes_make(down, rows, height);
    for (size_t x = 0; x < width; x++)
        from[x] = (uint32_t)(((double)x + 0.5) * ((double)columns / (double)width));
    for (size_t y = 0; y < height; y++)
        shrink_row(narrow + y * columns * 3, job->in + y * width * 3, across, columns);
    for (size_t y = 0; y < height; y++) {
        unsigned char *out = job->out + y * width * 3;
        const size_t row = (size_t)(((double)y + 0.5) * ((double)rows / (double)height));
        if (row == last) {
            memcpy(out, out - width * 3, width * 3);
            continue;
        }
        last = row;
        shrink_rows(line, sum, narrow, &down[row], columns * 3);
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < 3; c++)
                out[3 * x + c] = line[(size_t)from[x] * 3 + c];
    }
    return BASE_OK;
}

/* The share of each side. */
const corrupt_entry corrupt_pixelate = {
    .name = "pixelate",
    .summary = "shrunk and enlarged again without smoothing",
    .group = CORRUPT_GROUP_DIGITAL,
    .random = false,
    .params =
        {
            [CORRUPT_PRESET_224] = {{{.6}}, {{.5}}, {{.4}}, {{.3}}, {{.25}}},
            [CORRUPT_PRESET_299] = {{{.5}}, {{.4}}, {{.3}}, {{.25}}, {{.2}}},
            [CORRUPT_PRESET_64] = {{{.9}}, {{.8}}, {{.7}}, {{.6}}, {{.5}}},
            [CORRUPT_PRESET_32] = {{{.95}}, {{.9}}, {{.85}}, {{.75}}, {{.65}}},
        },
    .alexnet = {.52218, .54620, .73728, .87092, .91262},
    .apply = apply,
};
