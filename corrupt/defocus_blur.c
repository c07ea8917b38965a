/* defocus_blur.c - out of focus: correlation with an anti-aliased disk. Hendrycks and Dietterich 2019, the
 * disk as OpenCV makes it there, in f32; where its smoothed border is mirrored its sum exceeds 1, and the
 * image brightens: kept.
 * The samples are integers and a disk has few different weights, so the samples of one weight are added as
 * 16-bit integers, exactly, and multiplied once. */
#include "corrupt/corrupt_internal.h"

#include <string.h>

enum {
    HALF_MAX = 12, /* radius 12 of preset 299 */
    SIDE_MAX = 2 * HALF_MAX + 1,
    TAPS_MAX = SIDE_MAX * SIDE_MAX,
    GROUP_MAX = 65535 / 255, /* taps whose sum fits 16 bits */
    BLOCK = 64
};

typedef struct disk_group {
    double weight;
    uint32_t first, count; /* taps */
} disk_group;

typedef struct disk {
    int half; /* taps reach -half .. half */
    uint32_t groups;
    disk_group group[TAPS_MAX];
    signed char dx[TAPS_MAX], dy[TAPS_MAX];
} disk;

/* d c b | a b c d | c b a, for any i. */
static size_t reflect_101(ptrdiff_t i, size_t extent)
{
    const ptrdiff_t period = 2 * (ptrdiff_t)extent - 2;

    if (period == 0)
        return 0;
    const ptrdiff_t folded = (i % period + period) % period;
    return (size_t)(folded < (ptrdiff_t)extent ? folded : period - folded);
}

/* A line smoothed by 3 or 5 taps (reach 1 or 2); step is between its values. */
static void smooth_line(float *line, int count, int step, const float *taps, int reach)
{
    float copy[SIDE_MAX];

    for (int i = 0; i < count; i++)
        copy[i] = line[i * step];
    for (int i = 0; i < count; i++) {
        float sum = copy[i] * taps[0];
        for (int j = 1; j <= reach; j++)
            sum += (copy[reflect_101(i - j, (size_t)count)] +
                    copy[reflect_101(i + j, (size_t)count)]) *
                   taps[j];
        line[i * step] = sum;
    }
}

/* The kernel [side, side] and its half; params are the radius and the sigma of its smoothing. */
static int fill_kernel(float *kernel, const double *params)
{
    const double radius = params[0], sigma = params[1];
    const int half = radius <= 8.0 ? 8 : (int)radius, reach = radius <= 8.0 ? 1 : 2;
    const int side = 2 * half + 1;
    int cells = 0;

    for (int y = -half; y <= half; y++) {
        for (int x = -half; x <= half; x++)
            cells += x * x + y * y <= radius * radius;
    }
    for (int y = -half; y <= half; y++) {
        for (int x = -half; x <= half; x++)
            *kernel++ = x * x + y * y <= radius * radius ? 1.0f / (float)cells : 0.0f;
    }
    kernel -= side * side;

    double exact[3], sum = 0.0;
    float taps[3] = {0};
    for (int i = 0; i <= reach; i++) {
        exact[i] = corrupt_exp(-i * i / (2.0 * sigma * sigma));
        sum += i == 0 ? exact[i] : 2.0 * exact[i];
    }
    for (int i = 0; i <= reach; i++)
        taps[i] = (float)(exact[i] / sum);
    for (int i = 0; i < side; i++)
        smooth_line(kernel + i * side, side, 1, taps, reach);
    for (int i = 0; i < side; i++)
        smooth_line(kernel + i, side, side, taps, reach);
    return half;
}

static size_t prepare_bytes(const double *params)
{
    (void)params;
    return sizeof(disk);
}

static void prepare(void *to, const double *params)
{
    const float nothing = 1e-12f; /* in all below 1e-9 */
    float kernel[TAPS_MAX];
    disk *d = to;

    d->half = fill_kernel(kernel, params);
    const int side = 2 * d->half + 1;
    uint32_t taps = 0;
    for (int i = 0; i < side * side; i++) {
        const float weight = kernel[i];
        if (weight < nothing)
            continue; /* outside, or in an earlier group */
        disk_group *group = NULL;
        for (int j = i; j < side * side; j++) {
            if (kernel[j] < weight || kernel[j] > weight)
                continue;
            if (!group || group->count == GROUP_MAX) {
                group = &d->group[d->groups++];
                *group = (disk_group){.weight = (double)weight, .first = taps};
            }
            group->count++;
            d->dx[taps] = (signed char)(j % side - d->half);
            d->dy[taps] = (signed char)(j / side - d->half);
            taps++;
            kernel[j] = 0.0f;
        }
    }
}

static void sum_taps(unsigned char *restrict out, const uint16_t *const *tap, const disk *d,
                     size_t count)
{
    for (size_t x = 0; x < count; x += BLOCK) {
        double total[BLOCK] = {0};
        for (uint32_t g = 0; g < d->groups; g++) {
            const disk_group *group = &d->group[g];
            uint16_t sum[BLOCK] = {0};
            for (uint32_t i = group->first; i < group->first + group->count; i++) {
                const uint16_t *from = tap[i] + x;
                for (size_t j = 0; j < BLOCK; j++)
                    sum[j] = (uint16_t)(sum[j] + from[j]);
            }
            for (size_t j = 0; j < BLOCK; j++)
                total[j] += group->weight * sum[j];
        }
        unsigned char bytes[BLOCK];
        for (size_t j = 0; j < BLOCK; j++)
            bytes[j] = (unsigned char)(int32_t)(total[j] < 255.0 ? total[j] : 255.0);
        memcpy(out + x, bytes, count - x < BLOCK ? count - x : BLOCK);
    }
}

/* A row in 16 bits, mirrored at both ends, and nothing beyond up to a whole block. */
static void fill_row(uint16_t *to, const unsigned char *in, size_t width, size_t pad)
{
    uint16_t *inner = to + pad * 3;

    for (size_t x = 0; x < width * 3; x++)
        inner[x] = in[x];
    for (size_t i = 0; i < pad; i++) {
        const size_t left = reflect_101((ptrdiff_t)i - (ptrdiff_t)pad, width);
        const size_t right = reflect_101((ptrdiff_t)(width + i), width);
        for (size_t c = 0; c < 3; c++) {
            to[i * 3 + c] = in[left * 3 + c];
            inner[(width + i) * 3 + c] = in[right * 3 + c];
        }
    }
    memset(inner + (width + pad) * 3, 0, BLOCK * sizeof *to);
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const disk *d = corrupt_prepared(job, CORRUPT_KIND_DEFOCUS_BLUR);
    const size_t height = job->height, width = job->width, half = (size_t)d->half;
    const size_t line = (width + 2 * half) * 3 + BLOCK;
    const size_t kept = 2 * half + 1 < height ? 2 * half + 1 : height;
    const disk_group *last = &d->group[d->groups - 1];
    const uint32_t taps = last->first + last->count;
    uint16_t *ring = corrupt_scratch(job, kept * line, sizeof *ring, err);
    if (!ring)
        return BASE_NO_MEMORY;

    size_t filled = 0;
    for (size_t y = 0; y < height; y++) {
        const uint16_t *tap[TAPS_MAX];
        for (; filled < height && (kept == height || filled <= y + half); filled++)
            fill_row(ring + filled % kept * line, job->in + filled * width * 3, width,
                     half);
        for (uint32_t i = 0; i < taps; i++)
            tap[i] = ring + reflect_101((ptrdiff_t)y + d->dy[i], height) % kept * line +
                     (size_t)(d->half + d->dx[i]) * 3;
        sum_taps(job->out + y * width * 3, tap, d, width * 3);
    }
    return BASE_OK;
}

const corrupt_entry corrupt_defocus_blur = {
    .name = "defocus_blur",
    .summary = "out of focus: a disk for every point",
    .group = CORRUPT_GROUP_BLUR,
    .params =
        {[CORRUPT_PRESET_224] = {{{3, .1}}, {{4, .5}}, {{6, .5}}, {{8, .5}}, {{10, .5}}},
         [CORRUPT_PRESET_299] = {{{4, .1}}, {{5, .5}}, {{7, .5}}, {{10, .5}}, {{12, .5}}},
         [CORRUPT_PRESET_64] =
             {{{.5, .6}}, {{1, .1}}, {{1.5, .1}}, {{2.5, .01}}, {{3, .1}}},
         [CORRUPT_PRESET_32] =
             {{{.3, .4}}, {{.4, .5}}, {{.5, .6}}, {{1, .2}}, {{1.5, .1}}}},
    .alexnet = {.65624, .73202, .85036, .91364, .94714},
    .apply = apply,
    .prepare_bytes = prepare_bytes,
    .prepare = prepare,
};
