/* operations_space.c - changes of an 8-bit picture that move pixels or mix neighbours:
 * affine maps, sharpness, blur, cutout (data.md 8, after Pillow's Geometry.c, ImageFilter
 * and BoxBlur.c). Free to change: the loops. Relied on elsewhere: the bytes, held against
 * Pillow's in tests. */
#include "data/operations_internal.h"

#include <math.h>
#include <string.h>

/* A copy of image in scratch. */
static base_status copy_image(const data_image **out, const data_image *image,
                              data_scratch *scratch, base_error *err)
{
    data_image *copy = &scratch->image;
    const base_status status =
        data_image_reserve(copy, image->width, image->height, image->channels, err);

    if (status == BASE_OK)
        memcpy(copy->pixels, image->pixels, image->width * image->height * image->channels);
    *out = copy;
    return status;
}

/* ---- affine maps --------------------------------------------------------------------- */

static int64_t fixed(double value)
{
    return (int64_t)floor(value * 65536.0 + 0.5);
}

/* Pillow's grid: 16.16 fixed point, stepped along the row. Sides below 32768 times the
 * slope. */
static void transform_fixed(data_image *out, const data_image *in, const data_affine *m)
{
    const size_t channels = in->channels;
    const int64_t width = (int64_t)in->width, height = (int64_t)in->height;
    const int64_t a = fixed(m->a), b = fixed(m->b), d = fixed(m->d), e = fixed(m->e);
    const int64_t x0 = fixed(m->c + 0.5 * m->a + 0.5 * m->b);
    const int64_t y0 = fixed(m->f + 0.5 * m->d + 0.5 * m->e);
    unsigned char *to = out->pixels;

    for (int64_t y = 0; y < height; y++) {
        for (int64_t x = 0; x < width; x++, to += channels) {
            const int64_t column = (x0 + y * b + x * a) >> 16;
            const int64_t row = (y0 + y * e + x * d) >> 16;
            if (column >= 0 && column < width && row >= 0 && row < height)
                memcpy(to, in->pixels + (size_t)(row * width + column) * channels,
                       channels);
            else
                memset(to, m->fill, channels);
        }
    }
}

/* TensorFlow's: centres at whole numbers, halves away from zero, also those that rounding
 * errors took to the other side. */
static void transform_whole(data_image *out, const data_image *in, const data_affine *m)
{
    const size_t channels = in->channels;
    const double width = (double)in->width, height = (double)in->height, snap = 1e-9;
    unsigned char *to = out->pixels;

    for (size_t y = 0; y < in->height; y++) {
        for (size_t x = 0; x < in->width; x++, to += channels) {
            const double sx = m->a * (double)x + m->b * (double)y + m->c;
            const double sy = m->d * (double)x + m->e * (double)y + m->f;
            const double column = round(sx + copysign(snap, sx));
            const double row = round(sy + copysign(snap, sy));
            if (column >= 0 && column < width && row >= 0 && row < height)
                memcpy(to,
                       in->pixels + ((size_t)row * in->width + (size_t)column) * channels,
                       channels);
            else
                memset(to, m->fill, channels);
        }
    }
}

base_status data_transform(data_image *image, const data_affine *affine,
                           data_scratch *scratch, base_error *err)
{
    const data_image *in = NULL;
    const base_status status = copy_image(&in, image, scratch, err);

    if (status == BASE_OK && affine->whole)
        transform_whole(image, in, affine);
    else if (status == BASE_OK)
        transform_fixed(image, in, affine);
    return status;
}

data_affine data_rotation(const data_image *image, double degrees, unsigned char fill,
                          bool whole)
{
    const double angle = degrees * 3.14159265358979323846 / 180.0;
    const double c = cos(angle), s = sin(angle), less = whole ? 1.0 : 0.0;
    const double cx = ((double)image->width - less) / 2.0;
    const double cy = ((double)image->height - less) / 2.0;

    return (data_affine){.a = c,
                         .b = -s,
                         .c = cx - c * cx + s * cy,
                         .d = s,
                         .e = c,
                         .f = cy - s * cx - c * cy,
                         .fill = fill,
                         .whole = whole};
}

void data_cutout(data_image *image, size_t x, size_t y, size_t half, unsigned char fill)
{
    const size_t channels = image->channels;
    const size_t left = x > half ? x - half : 0, top = y > half ? y - half : 0;
    const size_t right = x + half < image->width ? x + half : image->width;
    const size_t bottom = y + half < image->height ? y + half : image->height;

    for (size_t row = top; row < bottom && left < right; row++)
        memset(image->pixels + (row * image->width + left) * channels, fill,
               (right - left) * channels);
}

/* ---- sharpness ----------------------------------------------------------------------- */

/* The smoothed value, exact: a / 13 has no halves. */
static int smooth(const unsigned char *p, size_t step, size_t row, bool truncate)
{
    int sum = 5 * p[0];

    sum += p[-(ptrdiff_t)step] + p[step];
    for (ptrdiff_t d = -1; d <= 1; d++)
        sum += p[d * (ptrdiff_t)step - (ptrdiff_t)row] +
               p[d * (ptrdiff_t)step + (ptrdiff_t)row];
    return truncate ? sum / 13 : (2 * sum + 13) / 26;
}

base_status data_sharpness(data_image *image, double factor, bool truncate,
                           data_scratch *scratch, base_error *err)
{
    const size_t width = image->width, height = image->height, channels = image->channels;
    const size_t row = width * channels;
    const data_image *in = NULL;
    const base_status status = copy_image(&in, image, scratch, err);

    if (status != BASE_OK)
        return status;
    for (size_t y = 1; y + 1 < height; y++) {
        for (size_t i = channels; i + channels < row; i++) {
            const unsigned char *from = in->pixels + y * row + i;
            const int blurred = smooth(from, channels, row, truncate);
            const float value =
                (float)blurred + (float)factor * (float)((int)*from - blurred);
            image->pixels[y * row + i] = (unsigned char)(value <= 0.0f     ? 0.0f
                                                         : value >= 255.0f ? 255.0f
                                                                           : value);
        }
    }
    return BASE_OK;
}

/* ---- blur ---------------------------------------------------------------------------- */

enum { PASSES = 3, WEIGHT_BITS = 24 };

/* The box radius whose PASSES-fold blur has the variance of the Gaussian (Gwosdek et al.
 * 2011, "Theoretical foundations of Gaussian convolution by extended box filtering",
 * section 2). */
static float box_radius(float sigma)
{
    const float variance = sigma * sigma / PASSES;
    const float length = (float)sqrt(12.0 * (double)variance + 1.0);
    const float whole = (float)floor(((double)length - 1.0) / 2.0);
    const float a = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) /
                    (6 * (variance - (whole + 1) * (whole + 1)));

    return whole + a;
}

/* One line of count samples, `step` bytes apart, from in to out: 2 edge + 1 whole weights
 * ww and two fractional ones fw around each, the ends repeated. */
static void blur_line(unsigned char *out, const unsigned char *in, size_t count,
                      size_t step, size_t edge, uint32_t ww, uint32_t fw)
{
    const unsigned char *first = in, *last = in + (count - 1) * step;
    uint32_t sum = 0;

    for (size_t i = 0; i <= 2 * edge; i++) { /* around sample 0 */
        const size_t at = i <= edge ? 0 : i - edge;
        sum += at < count ? in[at * step] : *last;
    }
    for (size_t i = 0; i < count; i++) {
        const unsigned char *before = i > edge ? in + (i - edge - 1) * step : first;
        const unsigned char *after =
            i + edge + 1 < count ? in + (i + edge + 1) * step : last;
        const uint32_t total = sum * ww + (*before + *after) * fw;
        out[i * step] = (unsigned char)((total + (1u << (WEIGHT_BITS - 1))) >> WEIGHT_BITS);
        const unsigned char *leaves = i >= edge ? in + (i - edge) * step : first;
        sum += *after;
        sum -= *leaves;
    }
}

base_status data_blur(data_image *image, double radius, data_scratch *scratch,
                      base_error *err)
{
    const size_t width = image->width, height = image->height, channels = image->channels;
    const float box = box_radius((float)radius);
    const size_t edge = (size_t)box;
    const uint32_t ww = (uint32_t)((float)(1 << WEIGHT_BITS) / (box * 2 + 1));
    const uint32_t fw = ((1u << WEIGHT_BITS) - (uint32_t)(edge * 2 + 1) * ww) / 2;
    const data_image *copy = NULL;
    const base_status status =
        radius > 0.0 ? copy_image(&copy, image, scratch, err) : BASE_OK;

    if (status != BASE_OK || !copy)
        return status;
    unsigned char *from = scratch->image.pixels, *to = image->pixels;
    for (int pass = 0; pass < 2 * PASSES; pass++) {
        const bool across = pass < PASSES;
        for (size_t line = 0; line < (across ? height : width) * channels; line++) {
            const size_t c = line % channels, at = line / channels;
            const size_t start = across ? at * width * channels + c : at * channels + c;
            blur_line(to + start, from + start, across ? width : height,
                      across ? channels : width * channels, edge, ww, fw);
        }
        unsigned char *other = from;
        from = to;
        to = other;
    }
    /* An even number of passes ends in the copy. */
    memcpy(image->pixels, scratch->image.pixels, width * height * channels);
    return BASE_OK;
}
