/* resize_axis.c - weights of Pillow's antialiased filters in fixed point (data.md 6, steps
 * 1 to 4; Pillow's precompute_coeffs). Doubles in Pillow's order of operations: every
 * weight is relied on, to the bit. Free to change: cache and memory. */
#include "data/resize_axis_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { BLOCK_LEAST = 16384, OUTPUTS_AT_ONCE = 4 };

void data_axis_cache_destroy(axis_cache *cache)
{
    for (size_t i = 0; i < AXIS_CACHED; i++)
        base_free(cache->axes[i].block);
    base_free(cache->real);
    *cache = (axis_cache){0};
}

static double filter_radius(data_filter filter)
{
    return filter == DATA_FILTER_BICUBIC ? 2.0 : 1.0;
}

/* The triangle, or Keys 1981 with a = -0.5 in Pillow's order of operations. */
static inline double filter_value(data_filter filter, double x)
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
    const double scaled = weight * (double)(1 << KERNEL_BITS);

    return (int32_t)(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
}

/* How the source lies under the outputs. */
typedef struct stretch {
    double scale, radius, inverse;
} stretch;

static stretch stretch_of(const axis_key *key)
{
    const double scale = (key->b1 - key->b0) / (double)key->out;
    const double factor = scale < 1.0 ? 1.0 : scale;

    return (stretch){scale, filter_radius(key->filter) * factor, 1.0 / factor};
}

/* Inputs of output i: a centre and what its filter reaches. */
static double inputs_of(size_t *low, size_t *taps, const axis_key *key, const stretch *s,
                        size_t i)
{
    const double centre = key->b0 + ((double)(key->first + i) + 0.5) * s->scale;
    const double from = centre - s->radius + 0.5;
    size_t high = (size_t)(centre + s->radius + 0.5);

    *low = from > 0.0 ? (size_t)from : 0;
    if (high > key->in)
        high = key->in;
    assert(*low < high);
    *taps = high - *low;
    return centre;
}

static void weigh(axis *line, size_t i, double centre, const stretch *s, double *real)
{
    const size_t low = line->low[i], taps = line->taps[i];
    const data_filter filter = line->key.filter;
    int32_t *weight = line->weight + i * line->groups * KERNEL_TAPS;
    double sum = 0.0;

    for (size_t k = 0; k < taps; k++) {
        real[k] = filter_value(filter, ((double)(k + low) - centre + 0.5) * s->inverse);
        sum += real[k];
    }
    for (size_t k = 0; k < taps; k++)
        weight[k] = fixed_point(sum != 0.0 ? real[k] / sum : real[k]);
    for (size_t k = taps; k < line->groups * KERNEL_TAPS; k++)
        weight[k] = 0;
}

static bool reserve_real(axis_cache *cache, size_t count)
{
    if (count <= cache->real_count)
        return true;
    double *real = base_alloc(2 * count, sizeof *real);
    if (!real)
        return false;
    base_free(cache->real);
    cache->real = real;
    cache->real_count = 2 * count;
    return true;
}

/* Memory for line's key: sizes, then weights, then what the kernel makes of them. */
static bool reserve(axis *line, size_t rounded)
{
    const size_t count = line->key.count;
    size_t sizes, weights, packed, bytes;

    if (!base_mul_size(&sizes, 2 * count + rounded, sizeof(size_t)) ||
        !base_mul_size(&weights, count, line->groups * KERNEL_TAPS * sizeof(int32_t)) ||
        !base_mul_size(&packed, line->key.packed ? rounded : 0,
                       line->groups * KERNEL_PACKED) ||
        !base_add_size(&bytes, sizes + 2 * 64, weights) ||
        !base_add_size(&bytes, bytes, packed))
        return false;
    if (bytes > line->block_bytes) {
        /* A power of two: crops of ever new sizes soon ask for no more memory. */
        size_t room = BLOCK_LEAST;
        while (room < bytes && room <= SIZE_MAX / 2)
            room *= 2;
        void *block = base_alloc(room < bytes ? bytes : room, 1);
        if (!block)
            return false;
        base_free(line->block);
        line->block = block;
        line->block_bytes = room < bytes ? bytes : room;
    }
    line->low = line->block;
    line->taps = line->low + count;
    line->from = line->taps + count;
    unsigned char *at = line->block;
    line->packed = at + (sizes + 63) / 64 * 64;
    line->weight = (void *)(at + (sizes + 63) / 64 * 64 + (packed + 63) / 64 * 64);
    return true;
}

static base_status fill(axis *line, axis_cache *cache, const axis_key *key,
                        const data_kernels *kernels, base_error *err)
{
    const stretch s = stretch_of(key);
    const size_t most = (size_t)ceil(s.radius) * 2 + 1;
    const size_t rounded =
        (key->count + OUTPUTS_AT_ONCE - 1) / OUTPUTS_AT_ONCE * OUTPUTS_AT_ONCE;
    size_t longest = 1;

    line->key = *key;
    line->groups = (most + KERNEL_TAPS - 1) / KERNEL_TAPS;
    if (!reserve_real(cache, most) || !reserve(line, rounded)) {
        line->key.count = 0;
        return base_fail(err, BASE_NO_MEMORY, "no memory to resize %zu to %zu", key->in,
                         key->out);
    }
    for (size_t i = 0; i < key->count; i++) {
        inputs_of(&line->low[i], &line->taps[i], key, &s, i);
        longest = line->taps[i] > longest ? line->taps[i] : longest;
        line->from[i] = line->low[i] - line->low[0];
    }
    assert(longest <= most);
    for (size_t i = key->count; i < rounded; i++)
        line->from[i] = line->from[key->count - 1];
    line->groups = (longest + KERNEL_TAPS - 1) / KERNEL_TAPS;
    const size_t end = line->from[key->count - 1] + line->taps[key->count - 1];
    line->over = 0;
    for (size_t i = 0; i < key->count; i++) {
        const size_t touched = line->from[i] + line->groups * KERNEL_TAPS;
        if (touched > end + line->over)
            line->over = touched - end;
        const double centre = key->b0 + ((double)(key->first + i) + 0.5) * s.scale;
        weigh(line, i, centre, &s, cache->real);
    }
    if (key->packed)
        kernels->pack(line->packed, line->weight, key->count, line->groups);
    return BASE_OK;
}

static bool same_key(const axis_key *a, const axis_key *b)
{
    return a->in == b->in && a->out == b->out && a->first == b->first &&
           a->count == b->count && !(a->b0 < b->b0) && !(a->b0 > b->b0) &&
           !(a->b1 < b->b1) && !(a->b1 > b->b1) && a->filter == b->filter &&
           a->packed == b->packed;
}

base_status data_axis_get(const axis **out, axis_cache *cache, const axis_key *key,
                          const data_kernels *kernels, base_error *err)
{
    axis *oldest = &cache->axes[0];

    cache->uses++;
    for (size_t i = 0; i < AXIS_CACHED; i++) {
        axis *line = &cache->axes[i];
        if (same_key(&line->key, key)) {
            line->used = cache->uses;
            *out = line;
            return BASE_OK;
        }
        if (line->used < oldest->used)
            oldest = line;
    }
    oldest->used = cache->uses;
    const base_status status = fill(oldest, cache, key, kernels, err);
    if (status == BASE_OK)
        *out = oldest;
    return status;
}

void data_axis_span(const axis *line, size_t *first, size_t *count)
{
    const size_t last = line->key.count - 1;

    *first = line->low[0];
    *count = line->low[last] + line->taps[last] - *first;
}
