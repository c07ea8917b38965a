/* image.c - the image itself: memory, channels, and the step from 8 bits to normalised
 * planes. Follows data.md 7 and 8 (Pillow's luma, torchvision's ToTensor and Normalize).
 * Free to change: the loops. Relied on elsewhere: every value, to the bit. */
#include "data/data_internal.h"
#include "data/shape_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    LEVELS = 256,
    /* ITU-R 601 in 16 bits, as in Pillow's convert('L') */
    LUMA_RED = 19595,
    LUMA_GREEN = 38470,
    LUMA_BLUE = 7471,
    LUMA_HALF = 32768,
    LUMA_BITS = 16
};

void data_image_destroy(data_image *image)
{
    if (!image)
        return;
    base_free(image->pixels);
    *image = (data_image){0};
}

/* What the pixels held before is lost when they move. */
base_status data_image_reserve(data_image *image, size_t width, size_t height,
                               size_t channels, base_error *err)
{
    size_t bytes;

    if (!base_mul_size(&bytes, width, height) || !base_mul_size(&bytes, bytes, channels))
        return base_fail(err, BASE_NO_MEMORY, "no memory for an image of %zu x %zu", width,
                         height);
    if (bytes > image->capacity_bytes || !image->pixels) {
        unsigned char *pixels = base_alloc(bytes, 1);
        if (!pixels)
            return base_fail(err, BASE_NO_MEMORY, "no memory for an image of %zu x %zu",
                             width, height);
        base_free(image->pixels);
        image->pixels = pixels;
        image->capacity_bytes = bytes;
    }
    image->width = width;
    image->height = height;
    image->channels = channels;
    return BASE_OK;
}

static void to_grey(data_image *image)
{
    const size_t count = image->width * image->height;
    unsigned char *pixels = image->pixels;

    for (size_t i = 0; i < count; i++) {
        const unsigned char *rgb = pixels + 3 * i;
        pixels[i] = (unsigned char)((LUMA_RED * rgb[0] + LUMA_GREEN * rgb[1] +
                                     LUMA_BLUE * rgb[2] + LUMA_HALF) >>
                                    LUMA_BITS);
    }
    image->channels = 1;
}

static base_status to_rgb(data_image *image, base_error *err)
{
    const size_t count = image->width * image->height; /* fits: the grey image exists */
    size_t bytes;

    if (!base_mul_size(&bytes, count, 3))
        return base_fail(err, BASE_NO_MEMORY, "no memory for an image of %zu x %zu",
                         image->width, image->height);
    if (bytes > image->capacity_bytes) {
        unsigned char *pixels = base_alloc(bytes, 1);
        if (!pixels)
            return base_fail(err, BASE_NO_MEMORY, "no memory for an image of %zu x %zu",
                             image->width, image->height);
        memcpy(pixels, image->pixels, count);
        base_free(image->pixels);
        image->pixels = pixels;
        image->capacity_bytes = bytes;
    }
    for (size_t i = count; i-- > 0;) { /* from the end: in place */
        const unsigned char v = image->pixels[i];
        image->pixels[3 * i] = v;
        image->pixels[3 * i + 1] = v;
        image->pixels[3 * i + 2] = v;
    }
    image->channels = 3;
    return BASE_OK;
}

base_status data_image_convert(data_image *image, size_t channels, base_error *err)
{
    assert(channels == 1 || channels == 3);
    assert(image->channels == 1 || image->channels == 3);
    if (image->channels == channels)
        return BASE_OK;
    if (channels == 3)
        return to_rgb(image, err);
    to_grey(image);
    return BASE_OK;
}

void data_normalise_table(float *table, const float *mean, const float *std,
                          size_t channels)
{
    for (size_t c = 0; c < channels; c++) {
        for (size_t v = 0; v < LEVELS; v++) {
            const float unit = (float)v / 255.0f;
            table[c * LEVELS + v] = (unit - mean[c]) / std[c];
        }
    }
}

static void normalise_rgb(float *out, const unsigned char *pixels, size_t count,
                          const float *table)
{
    float *red = out, *green = out + count, *blue = out + 2 * count;

    for (size_t i = 0; i < count; i++) {
        red[i] = table[pixels[3 * i]];
        green[i] = table[LEVELS + pixels[3 * i + 1]];
        blue[i] = table[2 * LEVELS + pixels[3 * i + 2]];
    }
}

void data_normalise(float *out, const data_image *in, const float *table)
{
    const size_t count = in->width * in->height;

    if (in->channels == 3) {
        normalise_rgb(out, in->pixels, count, table);
        return;
    }
    assert(in->channels == 1);
    for (size_t i = 0; i < count; i++)
        out[i] = table[in->pixels[i]];
}

base_status data_image_from(data_image *out, const float *planes, size_t channels,
                            size_t side, const float *mean, const float *std,
                            base_error *err)
{
    const size_t plane = side * side;
    const base_status status = data_image_reserve(out, side, side, channels, err);

    for (size_t c = 0; c < channels && status == BASE_OK; c++) {
        const float scale = std ? std[c] : 1.0f, shift = mean ? mean[c] : 0.0f;

        for (size_t i = 0; i < plane; i++) {
            const float value = 255.0f * (planes[c * plane + i] * scale + shift);

            out->pixels[i * channels + c] =
                (unsigned char)lroundf(fminf(fmaxf(value, 0.0f), 255.0f));
        }
    }
    return status;
}

void data_normaliser_make(data_normaliser *out, const float *mean, const float *std,
                          size_t channels, const data_kernels *kernels)
{
    unsigned char levels[LEVELS * 3];
    float planes[LEVELS * 3];

    data_normalise_table(out->table, mean, std, channels);
    out->kernels = NULL;
    if (channels != 3)
        return;
    for (size_t i = 0; i < sizeof levels; i++)
        levels[i] = (unsigned char)(i / 3);
    memcpy(out->mean, mean, sizeof out->mean);
    memcpy(out->std, std, sizeof out->std);
    if (kernels->normalise(planes, LEVELS, levels, LEVELS, mean, std) == LEVELS &&
        memcmp(planes, out->table, sizeof planes) == 0)
        out->kernels = kernels;
}

void data_normaliser_run(float *out, const data_image *in, const data_normaliser *by)
{
    const size_t count = in->width * in->height;
    size_t done = 0;

    if (in->channels != 3 || !by->kernels) {
        data_normalise(out, in, by->table);
        return;
    }
    done = by->kernels->normalise(out, count, in->pixels, count, by->mean, by->std);
    for (size_t i = done; i < count; i++) {
        for (size_t c = 0; c < 3; c++)
            out[c * count + i] = by->table[c * LEVELS + in->pixels[3 * i + c]];
    }
}
