/* resize.c - Pillow's antialiased resize in fixed point, to the bit (data.md 6). Follows
 * Pillow's Resample.c: the filter is stretched by the reduction factor, horizontal pass
 * first, then vertical, each rounded to 8 bits (Pillow 13 takes the cheaper pass first and
 * then differs by a level or two; published figures are older). Integer sums, so their
 * order is free to change, as is the cache. Relied on elsewhere: every byte; only what `to`
 * asks for is computed. */
#include "data/data.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The compiler makes these functions twice, for AVX2 (where a 32-bit product is one
 * instruction, not four) and for all else; the loader of programs picks one, before the
 * thread sanitizer is ready. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) &&                      \
    !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define FOR_EACH_MACHINE __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_MACHINE
#endif

enum {
    BITS = 32 - 8 - 2, /* of a weight's fraction; two bits for overshoot and sign */
    HALF = 1 << (BITS - 1),
    BLOCK_LEAST = 8192, /* bytes of an axis's weights */
    CACHED = 8,         /* axes kept; photographs come in a few common sizes */
    PART =
        240 /* values of a row summed at a time, in the first-level cache; 3 divides it */
};

/* Weights of one axis: output first + i takes inputs low[i] .. low[i] + taps[i] - 1. */
typedef struct axis {
    size_t in, out, first, count; /* the key, with filter; count 0: empty */
    data_filter filter;
    uint64_t used;   /* when last: the longest unused is replaced */
    size_t most;     /* weights a row */
    size_t *low;     /* [count] */
    size_t *taps;    /* [count] */
    int32_t *weight; /* [count, most] */
    void *block;     /* the memory of the three */
    size_t block_bytes;
} axis;

typedef struct cache {
    axis axes[CACHED];
    uint64_t uses;
} cache;

void data_scratch_destroy(data_scratch *scratch)
{
    if (!scratch)
        return;
    cache *kept = scratch->at;
    for (size_t i = 0; kept && i < CACHED; i++)
        base_free(kept->axes[i].block);
    base_free(kept);
    data_image_destroy(&scratch->image[0]);
    data_image_destroy(&scratch->image[1]);
    *scratch = (data_scratch){0};
}

/* ---- weights ------------------------------------------------------------------------- */

static double filter_radius(data_filter filter)
{
    return filter == DATA_FILTER_BICUBIC ? 2.0 : 1.0;
}

/* The triangle, or Keys 1981 with a = -0.5 in Pillow's order of operations. */
static double filter_value(data_filter filter, double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (filter == DATA_FILTER_BILINEAR)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0)
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static int32_t fixed_point(double weight)
{
    const double scaled = weight * (double)(1 << BITS);

    return (int32_t)(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
}

/* Output i of one axis: its inputs and their weights. real [most] is working memory. */
static void axis_fill_one(axis *line, size_t i, double *real)
{
    const double scale = (double)line->in / (double)line->out;
    const double stretch = scale < 1.0 ? 1.0 : scale;
    const double radius = filter_radius(line->filter) * stretch;
    const double inverse = 1.0 / stretch;
    const double centre = ((double)(line->first + i) + 0.5) * scale;
    const double from = centre - radius + 0.5;
    const size_t low = from > 0.0 ? (size_t)from : 0;
    size_t high = (size_t)(centre + radius + 0.5);
    double sum = 0.0;

    if (high > line->in)
        high = line->in;
    const size_t taps = high - low;
    assert(low < high && taps <= line->most);
    for (size_t k = 0; k < taps; k++) {
        real[k] = filter_value(line->filter, ((double)(k + low) - centre + 0.5) * inverse);
        sum += real[k];
    }
    int32_t *weight = line->weight + i * line->most;
    for (size_t k = 0; k < taps; k++)
        weight[k] = fixed_point(sum != 0.0 ? real[k] / sum : real[k]);
    line->low[i] = low;
    line->taps[i] = taps;
}

/* Memory for line's key, then all its outputs. The key is void until the end. */
static base_status axis_fill(axis *line, size_t count, base_error *err)
{
    const double scale = (double)line->in / (double)line->out;
    const double radius = filter_radius(line->filter) * (scale < 1.0 ? 1.0 : scale);
    size_t weights, bytes;

    line->count = 0;
    line->most = (size_t)ceil(radius) * 2 + 1;
    if (!base_mul_size(&weights, count, line->most) ||
        !base_mul_size(&bytes, weights, sizeof *line->weight) ||
        !base_add_size(&bytes, bytes, line->most * sizeof(double)) ||
        !base_add_size(&bytes, bytes, 2 * count * sizeof(size_t)))
        return base_fail(err, BASE_NO_MEMORY, "no memory to resize %zu to %zu", line->in,
                         line->out);
    if (bytes > line->block_bytes) {
        /* A power of two: crops of ever new sizes soon ask for no more memory. */
        size_t room = BLOCK_LEAST;
        while (room < bytes && room <= SIZE_MAX / 2)
            room *= 2;
        if (room < bytes)
            room = bytes;
        void *block = base_alloc(room, 1);
        if (!block)
            return base_fail(err, BASE_NO_MEMORY, "no memory to resize %zu to %zu",
                             line->in, line->out);
        base_free(line->block);
        line->block = block;
        line->block_bytes = room;
    }
    /* doubles, sizes, 32-bit numbers: each behind what is aligned more strictly */
    double *real = line->block;
    line->low = (void *)(real + line->most);
    line->taps = line->low + count;
    line->weight = (void *)(line->taps + count);
    for (size_t i = 0; i < count; i++)
        axis_fill_one(line, i, real);
    line->count = count;
    return BASE_OK;
}

/* The axis from the cache, or made now; borrowed until CACHED - 1 others were asked for. */
static base_status axis_get(const axis **found, cache *kept, size_t in, size_t out,
                            size_t first, size_t count, data_filter filter, base_error *err)
{
    axis *oldest = &kept->axes[0];

    kept->uses++;
    for (size_t i = 0; i < CACHED; i++) {
        axis *line = &kept->axes[i];
        if (line->in == in && line->out == out && line->first == first &&
            line->count == count && line->filter == filter) {
            line->used = kept->uses;
            *found = line;
            return BASE_OK;
        }
        if (line->used < oldest->used)
            oldest = line;
    }
    axis *line = oldest;
    line->used = kept->uses;
    line->in = in;
    line->out = out;
    line->first = first;
    line->filter = filter;
    const base_status status = axis_fill(line, count, err);
    if (status == BASE_OK)
        *found = line;
    return status;
}

/* ---- passes -------------------------------------------------------------------------- */

static unsigned char clip(int32_t sum)
{
    const int32_t value = sum >> BITS; /* arithmetic, as every compiler we know does it */

    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Output values first .. first + count - 1 of a row of RGB, as sums. */
static void horizontal_sums_rgb(int32_t *sum, const unsigned char *in, const axis *line,
                                size_t first, size_t count)
{
    for (size_t x = 0; x < count; x++) {
        const unsigned char *p = in + 3 * line->low[first + x];
        const int32_t *w = line->weight + (first + x) * line->most;
        const size_t taps = line->taps[first + x];
        int32_t red = HALF, green = HALF, blue = HALF;
        for (size_t k = 0; k < taps; k++) {
            red += p[3 * k] * w[k];
            green += p[3 * k + 1] * w[k];
            blue += p[3 * k + 2] * w[k];
        }
        sum[3 * x] = red;
        sum[3 * x + 1] = green;
        sum[3 * x + 2] = blue;
    }
}

static void horizontal_sums_grey(int32_t *sum, const unsigned char *in, const axis *line,
                                 size_t first, size_t count)
{
    for (size_t x = 0; x < count; x++) {
        const unsigned char *p = in + line->low[first + x];
        const int32_t *w = line->weight + (first + x) * line->most;
        const size_t taps = line->taps[first + x];
        sum[x] = HALF;
        for (size_t k = 0; k < taps; k++)
            sum[x] += p[k] * w[k];
    }
}

/* out [rows, line->count, channels] from rows of in, in_step bytes apart. */
static void horizontal_pass(unsigned char *out, const unsigned char *in, size_t in_step,
                            size_t rows, size_t channels, const axis *line)
{
    const size_t at_once = PART / channels;
    int32_t sum[PART];

    for (size_t y = 0; y < rows; y++, in += in_step) {
        for (size_t x = 0; x < line->count; x += at_once) {
            const size_t count = line->count - x < at_once ? line->count - x : at_once;
            if (channels == 3)
                horizontal_sums_rgb(sum, in, line, x, count);
            else
                horizontal_sums_grey(sum, in, line, x, count);
            for (size_t i = 0; i < count * channels; i++)
                out[i] = clip(sum[i]);
            out += count * channels;
        }
    }
}

/* count <= PART neighbouring bytes of one output row; two input rows at a time. */
FOR_EACH_MACHINE static void vertical_part(unsigned char *restrict out,
                                           const unsigned char *in, size_t in_step,
                                           const int32_t *weight, size_t taps, size_t count)
{
    int32_t sum[PART];
    size_t k = taps % 2;

    if (k == 0)
        memset(sum, 0, count * sizeof *sum);
    for (size_t i = 0; k == 1 && i < count; i++)
        sum[i] = in[i] * weight[0];
    for (; k < taps; k += 2) {
        const unsigned char *a = in + k * in_step, *b = a + in_step;
        const int32_t wa = weight[k], wb = weight[k + 1];
        for (size_t i = 0; i < count; i++)
            sum[i] += a[i] * wa + b[i] * wb;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = clip(sum[i] + HALF);
}

/* out [line->count, width bytes] from in, whose row 0 is row first_row of the axis. */
static void vertical_pass(unsigned char *out, const unsigned char *in, size_t in_step,
                          size_t first_row, size_t width, const axis *line)
{
    for (size_t y = 0; y < line->count; y++, out += width) {
        const unsigned char *from = in + (line->low[y] - first_row) * in_step;
        const int32_t *weight = line->weight + y * line->most;
        for (size_t x = 0; x < width; x += PART)
            vertical_part(out + x, from + x, in_step, weight, line->taps[y],
                          width - x < PART ? width - x : PART);
    }
}

/* ---- the whole ----------------------------------------------------------------------- */

/* Made at the first call. NULL: no memory. */
static cache *cache_get(data_scratch *scratch)
{
    if (!scratch->at) {
        scratch->at = base_alloc(1, sizeof(cache));
        scratch->bytes = scratch->at ? sizeof(cache) : 0;
    }
    return scratch->at;
}

base_status data_resize(data_image *out, const data_image *in, const data_box *from,
                        size_t width, size_t height, const data_box *to, data_filter filter,
                        data_scratch *scratch, base_error *err)
{
    const size_t channels = in->channels;
    const data_box source = from ? *from : (data_box){0, 0, in->width, in->height};
    const data_box part = to ? *to : (data_box){0, 0, width, height};
    const axis *across = NULL, *down = NULL;
    base_status status = BASE_OK;

    assert(channels == 1 || channels == 3);
    assert(source.width > 0 && source.left + source.width <= in->width);
    assert(source.height > 0 && source.top + source.height <= in->height);
    assert(part.width > 0 && part.left + part.width <= width);
    assert(part.height > 0 && part.top + part.height <= height);

    cache *kept = cache_get(scratch);
    if (!kept)
        return base_fail(err, BASE_NO_MEMORY, "no memory to resize an image");
    if (width != source.width)
        status = axis_get(&across, kept, source.width, width, part.left, part.width, filter,
                          err);
    if (status == BASE_OK && height != source.height)
        status = axis_get(&down, kept, source.height, height, part.top, part.height, filter,
                          err);
    if (status == BASE_OK)
        status = data_image_reserve(out, part.width, part.height, channels, err);
    if (status != BASE_OK)
        return status;

    /* The rows that the vertical pass needs, top to bottom of the axis. */
    const size_t last = part.height - 1;
    const size_t first_row = down ? down->low[0] : part.top;
    const size_t rows = down ? down->low[last] + down->taps[last] - first_row : part.height;
    size_t step = in->width * channels;
    const unsigned char *pixels =
        in->pixels + (source.top + first_row) * step + source.left * channels;

    if (across) {
        data_image *between = out;
        if (down) {
            between = &scratch->image[0];
            status = data_image_reserve(between, part.width, rows, channels, err);
            if (status != BASE_OK)
                return status;
        }
        horizontal_pass(between->pixels, pixels, step, rows, channels, across);
        pixels = between->pixels;
        step = part.width * channels;
    } else {
        pixels += part.left * channels;
    }
    const size_t row_bytes = part.width * channels;
    if (down) {
        vertical_pass(out->pixels, pixels, step, first_row, row_bytes, down);
    } else if (!across) {
        for (size_t y = 0; y < rows; y++)
            memcpy(out->pixels + y * row_bytes, pixels + y * step, row_bytes);
    }
    return BASE_OK;
}
