/* motion.c - motion blur of bytes as ImageMagick 6.9 (Q16) does it: a one-sided Gaussian
 * streak along an angle, whole-pixel offsets, sums in f64, 16 bits between. Free to change:
 * how rows are kept. Relied on elsewhere: the order of the sum, which decides the last
 * bit. */
#include "corrupt/corrupt_internal.h"

#include <math.h>
#include <string.h>

enum { TAPS_MAX = 64, VECTORS = 4, BLOCK = CORRUPT_F64S * VECTORS };

typedef struct streak {
    size_t count;
    double weight[TAPS_MAX];
    ptrdiff_t dx[TAPS_MAX], dy[TAPS_MAX];
} streak;

static void fill_streak(streak *s, double radius, double sigma, double angle)
{
    double cosine, sine, sum = 0.0;

    corrupt_cos_sin(&cosine, &sine, angle);
    s->count = 2 * (size_t)ceil(radius) + 1;
    for (size_t i = 0; i < s->count; i++) {
        const double at = (double)i;
        s->weight[i] = corrupt_exp(-at * at / (2.0 * sigma * sigma));
        s->dx[i] = (ptrdiff_t)ceil(at * cosine - 0.5); /* nearest, halves down */
        s->dy[i] = (ptrdiff_t)ceil(at * sine - 0.5);
        sum += s->weight[i];
    }
    for (size_t i = 0; i < s->count; i++)
        s->weight[i] /= sum;
}

/* The 16-bit sum, cut to 8 bits. */
static inline unsigned char cut(double sum)
{
    return (unsigned char)((uint32_t)(int32_t)(sum + 0.5) / 257);
}

static void sum_taps(unsigned char *restrict out, const double *const *tap,
                     const double *weight, size_t taps, size_t count)
{
    size_t x = 0;

    for (; x + BLOCK <= count; x += BLOCK) {
        corrupt_f64s sum[VECTORS] = {0}, from;
        for (size_t i = 0; i < taps; i++) {
            for (size_t j = 0; j < VECTORS; j++) {
                memcpy(&from, tap[i] + x + j * CORRUPT_F64S, sizeof from);
                sum[j] += weight[i] * from;
            }
        }
        double all[BLOCK];
        memcpy(all, sum, sizeof all);
        for (size_t j = 0; j < BLOCK; j++)
            out[x + j] = cut(all[j]);
    }
    for (; x < count; x++) {
        double sum = 0.0;
        for (size_t i = 0; i < taps; i++)
            sum += weight[i] * tap[i][x];
        out[x] = cut(sum);
    }
}

/* One row as 16-bit values in f64, its ends repeated pad times on both sides. */
static void fill_row(double *to, const unsigned char *in, size_t width, size_t channels,
                     size_t pad)
{
    double *inner = to + pad * channels;

    for (size_t x = 0; x < width * channels; x++)
        inner[x] = in[x] * 257.0;
    for (size_t i = 0; i < pad; i++) {
        memcpy(to + i * channels, inner, channels * sizeof *to);
        memcpy(inner + (width + i) * channels, inner + (width - 1) * channels,
               channels * sizeof *to);
    }
}

static size_t clamp(ptrdiff_t y, size_t height)
{
    return y < 0 ? 0 : (size_t)y < height ? (size_t)y : height - 1;
}

base_status corrupt_motion(corrupt_job *job, unsigned char *out, const unsigned char *in,
                           size_t height, size_t width, size_t channels, double radius,
                           double sigma, double angle, base_error *err)
{
    streak s;
    ptrdiff_t low = 0, high = 0;

    fill_streak(&s, radius, sigma, angle);
    for (size_t i = 0; i < s.count; i++) {
        low = s.dy[i] < low ? s.dy[i] : low;
        high = s.dy[i] > high ? s.dy[i] : high;
    }
    const size_t mark = corrupt_scratch_mark(job);
    /* Rows y + low .. y + high, row r in slot r % kept. Room for any angle, so that a later
     * image needs no more than the first. */
    const size_t pad = s.count, line = (width + 2 * pad) * channels;
    const size_t kept = (size_t)(high - low) + 1;
    double *ring = corrupt_scratch(job, s.count * line, sizeof *ring, err);
    if (!ring)
        return BASE_NO_MEMORY;

    size_t filled = 0;
    for (size_t y = 0; y < height; y++) {
        const double *tap[TAPS_MAX];
        const size_t last = clamp((ptrdiff_t)y + high, height);
        for (; filled <= last; filled++)
            fill_row(ring + filled % kept * line, in + filled * width * channels, width,
                     channels, pad);
        for (size_t i = 0; i < s.count; i++)
            tap[i] = ring + clamp((ptrdiff_t)y + s.dy[i], height) % kept * line +
                     (size_t)((ptrdiff_t)pad + s.dx[i]) * channels;
        sum_taps(out + y * width * channels, tap, s.weight, s.count, width * channels);
    }
    corrupt_scratch_rewind(job, mark);
    return BASE_OK;
}
