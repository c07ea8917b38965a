/* defocus_blur.c - out of focus: correlation with an anti-aliased disk. Hendrycks and
 * Dietterich 2019, the disk as OpenCV makes it there, in f32; where its smoothed border is
 * mirrored its sum exceeds 1, and the image brightens: kept. The samples are integers and a
 * disk has few different weights, so the samples of one weight are added as 16-bit
 * integers, exactly, and multiplied once. A run of neighbours in a row is the difference of
 * two running sums, modulo 2^16. */
#include "corrupt/corrupt_internal.h"

#include <assert.h>
#include <string.h>

enum {
    HALF_MAX = 12, /* radius 12 of preset 299 */
    SIDE_MAX = 2 * HALF_MAX + 1,
    CELLS_MAX = SIDE_MAX * SIDE_MAX,
    GROUP_MAX = 65535 / 255, /* cells whose sum fits 16 bits */
    RUN_MIN = 3,             /* from this length on two running sums are fewer */
    LANES = CORRUPT_U16S,
    PARTS = LANES / CORRUPT_F64S,
    PAD = HALF_MAX + 1
};

/* What is added or taken off: a sample, or the sum of the row before it. */
typedef struct disk_term {
    signed char dx, dy;
    bool sum, minus;
} disk_term;

typedef struct disk_group {
    double weight;
    uint32_t plus, minus; /* so many terms of each sort, one after the other */
} disk_group;

typedef struct disk {
    int half; /* cells reach -half .. half */
    uint32_t groups, terms;
    disk_group group[CELLS_MAX];
    disk_term term[CELLS_MAX];
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

/* The kernel [side, side] and its half; params are the radius and the sigma of its
 * smoothing. */
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

/* Takes the cells of about this weight out of the kernel (0 then), at most GROUP_MAX: a
 * group of their mean weight, so that the kernel's sum, which decides flat areas, stays
 * what it is. f32 arithmetic gives mirrored and turned cells last bits of their own: those
 * belong together. */
static void add_group(disk *d, float *kernel, float weight)
{
    const int side = 2 * d->half + 1;
    const float near = weight * 1e-6f;
    disk_term runs[CELLS_MAX] = {0}, minus[CELLS_MAX] = {0};
    uint32_t plus_count = 0, minus_count = 0, cells = 0;
    double sum = 0.0;

    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side;) {
            int end = x;
            for (; end < side && cells < GROUP_MAX; end++, cells++) {
                float *cell = &kernel[y * side + end];
                if (*cell < weight - near || *cell > weight + near)
                    break;
                sum += (double)*cell;
                *cell = 0.0f;
            }
            const signed char dy = (signed char)(y - d->half);
            const signed char from = (signed char)(x - d->half);
            const signed char to = (signed char)(end - d->half);
            if (end - x >= RUN_MIN) {
                runs[plus_count++] = (disk_term){to, dy, true, false};
                minus[minus_count++] = (disk_term){from, dy, true, true};
            } else {
                for (signed char i = from; i < to; i++)
                    runs[plus_count++] = (disk_term){i, dy, false, false};
            }
            x = end > x ? end : x + 1;
        }
    }
    d->group[d->groups++] = (disk_group){sum / cells, plus_count, minus_count};
    memcpy(d->term + d->terms, runs, plus_count * sizeof *runs);
    memcpy(d->term + d->terms + plus_count, minus, minus_count * sizeof *minus);
    d->terms += plus_count + minus_count;
}

static void prepare(void *to, const double *params)
{
    const float nothing = 1e-9f; /* in all below 1e-7 of a level */
    float kernel[CELLS_MAX] = {0};
    disk *d = to;

    d->half = fill_kernel(kernel, params);
    const int cells = (2 * d->half + 1) * (2 * d->half + 1);
    for (int i = 0; i < cells; i++) {
        while (kernel[i] >= nothing)
            add_group(d, kernel, kernel[i]);
    }
}

/* LANES samples more than count are read and written. */
static void sum_terms(unsigned char *restrict out, const uint16_t *const *term,
                      const disk *d, size_t count)
{
    for (size_t x = 0; x < count; x += LANES) {
        corrupt_f64s total[PARTS] = {0};
        const uint16_t *const *at = term;
        for (uint32_t g = 0; g < d->groups; g++) {
            const disk_group *group = &d->group[g];
            corrupt_u16s sum = {0}, from;
            /* The groups' terms add up to what the caller filled: clang cannot see that. */
            for (uint32_t i = 0; i < group->plus; i++) {
                /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
                memcpy(&from, *at++ + x, sizeof from);
                sum += from;
            }
            for (uint32_t i = 0; i < group->minus; i++) {
                /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
                memcpy(&from, *at++ + x, sizeof from);
                sum -= from;
            }
            corrupt_u16s_of_f64 part[PARTS];
            memcpy(part, &sum, sizeof part);
            for (int j = 0; j < PARTS;
                 j++) { /* by way of 32 bits: for that there are instructions */
                const corrupt_i32s_of_f64 whole =
                    __builtin_convertvector(part[j], corrupt_i32s_of_f64);
                total[j] += group->weight * __builtin_convertvector(whole, corrupt_f64s);
            }
        }
        double all[LANES];
        memcpy(all, total, sizeof all);
        for (size_t j = 0; j < LANES; j++)
            out[x + j] = (unsigned char)(int32_t)(all[j] < 255.0 ? all[j] : 255.0);
    }
}

/* A row in 16 bits, mirrored at both ends: to [PAD + width + PAD, 3], and in sums the sum
 * of what lies left of each sample (modulo 2^16). */
static void fill_row(uint16_t *to, uint16_t *sums, const unsigned char *in, size_t width)
{
    uint16_t *inner = to + PAD * 3;

    for (size_t x = 0; x < width * 3; x++)
        inner[x] = in[x];
    for (size_t i = 0; i < PAD; i++) {
        const size_t left = reflect_101((ptrdiff_t)i - PAD, width);
        const size_t right = reflect_101((ptrdiff_t)(width + i), width);
        for (size_t c = 0; c < 3; c++) {
            to[i * 3 + c] = in[left * 3 + c];
            inner[(width + i) * 3 + c] = in[right * 3 + c];
        }
    }
    uint16_t red = 0, green = 0, blue = 0;
    for (size_t x = 0; x < (width + 2 * PAD) * 3; x += 3) {
        sums[x] = red;
        sums[x + 1] = green;
        sums[x + 2] = blue;
        red = (uint16_t)(red + to[x]);
        green = (uint16_t)(green + to[x + 1]);
        blue = (uint16_t)(blue + to[x + 2]);
    }
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const disk *d = corrupt_prepared(job, CORRUPT_KIND_DEFOCUS_BLUR);
    const size_t height = job->height, width = job->width, half = (size_t)d->half;
    const size_t line = (width + 2 * PAD) * 3 + LANES;
    const size_t kept = 2 * half + 1 < height ? 2 * half + 1 : height;
    const uint16_t *at[CELLS_MAX] = {0};
    /* Row r and its running sums lie in slot r % kept. */
    uint16_t *ring = corrupt_scratch(job, kept * 2 * line, sizeof *ring, err);
    unsigned char *last = corrupt_scratch(job, width * 3 + LANES, 1, err);
    if (!ring || !last)
        return BASE_NO_MEMORY;
    assert(kept > 0);
    memset(ring, 0,
           kept * 2 * line * sizeof *ring); /* what lies beyond a row is read too */

    size_t filled = 0;
    for (size_t y = 0; y < height; y++) {
        for (; filled < height && (kept == height || filled <= y + half); filled++) {
            uint16_t *slot = ring + filled % kept * 2 * line;
            fill_row(slot, slot + line, job->in + filled * width * 3, width);
        }
        for (uint32_t i = 0; i < d->terms; i++) {
            const disk_term *term = &d->term[i];
            at[i] = ring + reflect_101((ptrdiff_t)y + term->dy, height) % kept * 2 * line +
                    (term->sum ? line : 0) + (size_t)(PAD + term->dx) * 3;
        }
        sum_terms(last, at, d, width * 3);
        memcpy(job->out + y * width * 3, last, width * 3);
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
