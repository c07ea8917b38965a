/* resize_plain.c - tf.image.resize of TensorFlow 2, methods `area` and `bilinear` without
 * antialias, in float32 and in the order of its kernels (resize_area_op.cc,
 * resize_bilinear_op.cc, half-pixel centres). V-MoE evaluates with the first at 224 pixels
 * and with the second elsewhere. differs: an area average is rounded to 8 bits here, they
 * keep it as float (half a level at most); bilinear values are cut off to 8 bits as by
 * their cast. Free to change: how fast. Relied on elsewhere: every byte. */
#include "data/resize_plain_internal.h"

#include <math.h>

enum { PIXEL = 4 };

bool data_filter_is_plain(data_filter filter)
{
    return filter == DATA_FILTER_AREA || filter == DATA_FILTER_BILINEAR_PLAIN;
}

static bool reserve(plain_axis *a)
{
    size_t weights, bytes;

    if (!base_mul_size(&weights, a->count, a->most * sizeof(float)) ||
        !base_add_size(&bytes, weights, 2 * a->count * sizeof(size_t)))
        return false;
    if (bytes > a->block_bytes) {
        void *block = base_alloc(2, bytes); /* crops of ever new sizes soon fit */
        if (!block)
            return false;
        base_free(a->block);
        a->block = block;
        a->block_bytes = 2 * bytes;
    }
    a->low = a->block;
    a->taps = a->low + a->count;
    a->weight = (float *)(void *)(a->taps + a->count);
    return true;
}

/* The inputs from `from` to `to`, those at the ends in part. */
static void weigh_area(plain_axis *a, size_t i, float from, float to, size_t in)
{
    const size_t low = (size_t)from; /* the box lies within the input */
    const size_t end = (size_t)ceilf(to) < in ? (size_t)ceilf(to) : in;
    float *w = a->weight + i * a->most;

    a->low[i] = low;
    a->taps[i] = end > low ? end - low : 1;
    for (size_t k = 0; k < a->taps[i]; k++) {
        const float at = (float)(low + k), next = at + 1;

        if (at < from)
            w[k] = next > to ? a->scale : next - from;
        else
            w[k] = next > to ? to - at : 1.0f;
    }
}

/* The two inputs around `at`. */
static void weigh_linear(plain_axis *a, size_t i, float at, size_t in)
{
    const float below = floorf(at);
    const size_t low = below > 0 ? (size_t)below : 0;
    const size_t high = at > 0 ? (size_t)ceilf(at) : 0;

    a->low[i] = low < in ? low : in - 1;
    a->taps[i] = (high < in ? high : in - 1) > a->low[i] ? 2 : 1;
    a->weight[i * a->most] = at - below;
}

base_status data_plain_axis_make(plain_axis *axis, const plain_key *key, data_filter filter,
                                 base_error *err)
{
    const float scale = (float)(key->b1 - key->b0) / (float)key->out;
    const float b0 = (float)key->b0;

    axis->count = key->count;
    axis->scale = scale;
    axis->most = filter == DATA_FILTER_AREA ? (size_t)ceilf(scale) + 2 : 2;
    if (!reserve(axis))
        return base_fail(err, BASE_NO_MEMORY, "no memory to resize %zu to %zu", key->in,
                         key->out);
    for (size_t i = 0; i < key->count; i++) {
        const float y = (float)(key->first + i);

        if (filter == DATA_FILTER_AREA)
            weigh_area(axis, i, b0 + y * scale, b0 + (y + 1) * scale, key->in);
        else
            weigh_linear(axis, i, b0 + ((y + 0.5f) * scale - 0.5f), key->in);
    }
    return BASE_OK;
}

void data_plain_axis_destroy(plain_axis *axis)
{
    base_free(axis->block);
    *axis = (plain_axis){0};
}

void data_plain_across(float *to, const unsigned char *rgbx, const plain_axis *axis,
                       size_t origin, data_filter filter)
{
    for (size_t i = 0; i < axis->count; i++, to += PIXEL) {
        const unsigned char *from = rgbx + (axis->low[i] - origin) * PIXEL;
        const float *w = axis->weight + i * axis->most;

        if (filter == DATA_FILTER_AREA) {
            float sum[PIXEL] = {0};
            for (size_t k = 0; k < axis->taps[i]; k++)
                for (size_t c = 0; c < PIXEL; c++)
                    sum[c] += (float)from[PIXEL * k + c] * w[k];
            for (size_t c = 0; c < PIXEL; c++)
                to[c] = sum[c];
            continue;
        }
        const unsigned char *next = from + PIXEL * (axis->taps[i] - 1);
        for (size_t c = 0; c < PIXEL; c++)
            to[c] = (float)from[c] + ((float)next[c] - (float)from[c]) * w[0];
    }
}

void data_plain_down(unsigned char *to, const float *const *rows, const plain_axis *down,
                     size_t i, float across_scale, size_t values, data_filter filter)
{
    const float *w = down->weight + i * down->most;
    const size_t taps = down->taps[i];

    if (filter == DATA_FILTER_AREA) {
        const float scale = 1.0f / (down->scale * across_scale);
        for (size_t v = 0; v < values; v++) {
            float sum = 0;
            for (size_t k = 0; k < taps; k++)
                sum += rows[k][v] * w[k];
            const float level = sum * scale + 0.5f;
            to[v] = (unsigned char)(level < 255.0f ? level : 255.0f);
        }
        return;
    }
    for (size_t v = 0; v < values; v++)
        to[v] = (unsigned char)(rows[0][v] + (rows[taps - 1][v] - rows[0][v]) * w[0]);
}
