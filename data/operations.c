/* operations.c - changes of an 8-bit picture's values: tables, histograms, colour. Formulas
 * as data.md 8, which follows Pillow's ImageOps and ImageEnhance. Free to change: the
 * loops. Relied on elsewhere: the bytes, held against Pillow's in tests. Moves and
 * neighbours: operations_space.c. */
#include "data/operations_internal.h"

#include <math.h>

enum { LEVELS = 256, CHANNELS_MAX = 3 };

static unsigned char clip(int value)
{
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Pillow's blend of two bytes, in float as there: cut to 0..255, truncated. */
static unsigned char blend(unsigned char from, unsigned char to, float factor)
{
    const float value = (float)from + factor * (float)((int)to - (int)from);

    return value <= 0.0f ? 0 : value >= 255.0f ? 255 : (unsigned char)value;
}

static size_t bytes_of(const data_image *image)
{
    return image->width * image->height * image->channels;
}

/* table [channels][256] */
static void apply_tables(data_image *image, unsigned char table[CHANNELS_MAX][LEVELS])
{
    const size_t channels = image->channels, count = bytes_of(image);

    if (channels == 1) {
        for (size_t i = 0; i < count; i++)
            image->pixels[i] = table[0][image->pixels[i]];
        return;
    }
    for (size_t i = 0; i < count; i += 3) {
        image->pixels[i] = table[0][image->pixels[i]];
        image->pixels[i + 1] = table[1][image->pixels[i + 1]];
        image->pixels[i + 2] = table[2][image->pixels[i + 2]];
    }
}

static void apply_table(data_image *image, const unsigned char table[LEVELS])
{
    const size_t count = bytes_of(image);

    for (size_t i = 0; i < count; i++)
        image->pixels[i] = table[image->pixels[i]];
}

/* ---- values -------------------------------------------------------------------------- */

void data_invert(data_image *image)
{
    data_solarize(image, 0.0);
}

void data_posterize(data_image *image, int bits)
{
    unsigned char table[LEVELS];
    const int mask = bits >= 8 ? 0xff : 0xff & ~((1 << (8 - bits)) - 1);

    for (int v = 0; v < LEVELS; v++)
        table[v] = (unsigned char)(v & mask);
    apply_table(image, table);
}

void data_solarize(data_image *image, double threshold)
{
    unsigned char table[LEVELS];

    for (int v = 0; v < LEVELS; v++)
        table[v] = (unsigned char)(v < threshold ? v : 255 - v);
    apply_table(image, table);
}

void data_solarize_add(data_image *image, int addition)
{
    unsigned char table[LEVELS];

    for (int v = 0; v < LEVELS; v++)
        table[v] = v < 128 ? clip(v + addition) : (unsigned char)v;
    apply_table(image, table);
}

static void count_levels(size_t count[CHANNELS_MAX][LEVELS], const data_image *image)
{
    const size_t channels = image->channels, bytes = bytes_of(image);

    for (size_t i = 0; i < bytes; i++)
        count[i % channels][image->pixels[i]]++;
}

void data_autocontrast(data_image *image)
{
    size_t count[CHANNELS_MAX][LEVELS] = {{0}};
    unsigned char table[CHANNELS_MAX][LEVELS];

    count_levels(count, image);
    for (size_t c = 0; c < image->channels; c++) {
        int low = 0, high = LEVELS - 1;
        while (low < LEVELS - 1 && count[c][low] == 0)
            low++;
        while (high > 0 && count[c][high] == 0)
            high--;
        const double scale = high > low ? 255.0 / (high - low) : 1.0;
        const double offset = high > low ? -low * scale : 0.0;
        for (int v = 0; v < LEVELS; v++) {
            const double value = v * scale + offset;
            table[c][v] = clip(value <= 0.0 ? 0 : value >= 255.0 ? 255 : (int)value);
        }
    }
    apply_tables(image, table);
}

void data_equalize(data_image *image)
{
    size_t count[CHANNELS_MAX][LEVELS] = {{0}};
    unsigned char table[CHANNELS_MAX][LEVELS];

    count_levels(count, image);
    for (size_t c = 0; c < image->channels; c++) {
        size_t sum = 0, last = 0, used = 0;
        for (size_t v = 0; v < LEVELS; v++) {
            sum += count[c][v];
            used += count[c][v] > 0;
            last = count[c][v] > 0 ? count[c][v] : last;
        }
        const size_t step = used > 1 ? (sum - last) / 255 : 0;
        size_t n = step / 2;
        for (size_t v = 0; v < LEVELS; v++) {
            const size_t level = step == 0 ? v : n / step;
            table[c][v] = (unsigned char)(level > 255 ? 255 : level);
            n += count[c][v];
        }
    }
    apply_tables(image, table);
}

void data_brightness(data_image *image, double factor)
{
    unsigned char table[LEVELS];

    for (int v = 0; v < LEVELS; v++)
        table[v] = blend(0, (unsigned char)v, (float)factor);
    apply_table(image, table);
}

static unsigned char mean_grey(const data_image *image)
{
    const size_t pixels = image->width * image->height, channels = image->channels;
    uint64_t sum = 0;

    for (size_t i = 0; i < pixels; i++)
        sum += channels == 3 ? data_grey(image->pixels + 3 * i) : image->pixels[i];
    return (unsigned char)((double)sum / (double)pixels + 0.5);
}

void data_contrast(data_image *image, double factor, int centre)
{
    const unsigned char middle = centre < 0 ? mean_grey(image) : clip(centre);
    unsigned char table[LEVELS];

    for (int v = 0; v < LEVELS; v++)
        table[v] = blend(middle, (unsigned char)v, (float)factor);
    apply_table(image, table);
}

/* ---- colour -------------------------------------------------------------------------- */

void data_saturation(data_image *image, double factor)
{
    if (image->channels != 3)
        return;
    for (unsigned char *p = image->pixels, *end = p + bytes_of(image); p < end; p += 3) {
        const unsigned char grey = (unsigned char)data_grey(p);
        for (int c = 0; c < 3; c++)
            p[c] = blend(grey, p[c], (float)factor);
    }
}

void data_greyscale(data_image *image)
{
    if (image->channels != 3)
        return;
    for (unsigned char *p = image->pixels, *end = p + bytes_of(image); p < end; p += 3)
        p[0] = p[1] = p[2] = (unsigned char)data_grey(p);
}

/* Pillow's Convert.c: floats, products in double where it has them, truncated. */
static void to_hsv(unsigned char hsv[3], const unsigned char *rgb)
{
    const int r = rgb[0], g = rgb[1], b = rgb[2];
    const int most = r > g ? (r > b ? r : b) : (g > b ? g : b);
    const int least = r < g ? (r < b ? r : b) : (g < b ? g : b);

    hsv[0] = hsv[1] = 0;
    hsv[2] = (unsigned char)most;
    if (most == least)
        return;
    const float range = (float)(most - least);
    const float rc = (float)(most - r) / range, gc = (float)(most - g) / range;
    const float bc = (float)(most - b) / range;
    float h;
    if (r == most)
        h = bc - gc;
    else if (g == most)
        h = (float)(2.0 + (double)rc - (double)bc);
    else
        h = (float)(4.0 + (double)gc - (double)rc);
    h = (float)fmod((double)h / 6.0 + 1.0, 1.0);
    hsv[0] = clip((int)((double)h * 255.0));
    hsv[1] = clip((int)((double)(range / (float)most) * 255.0));
}

static void from_hsv(unsigned char *rgb, const unsigned char hsv[3])
{
    const unsigned char v = hsv[2];

    if (hsv[1] == 0) {
        rgb[0] = rgb[1] = rgb[2] = v;
        return;
    }
    const double turn = (double)((float)hsv[0] * 6.0f) / 255.0;
    const int sector = (int)floor(turn);
    const float f = (float)(turn - (double)(float)sector), fs = (float)hsv[1] / 255.0f;
    const unsigned char p = clip((int)round((double)v * (1.0 - (double)fs)));
    const unsigned char q = clip((int)round((double)v * (1.0 - (double)(fs * f))));
    const unsigned char t =
        clip((int)round((double)v * (1.0 - (double)fs * (1.0 - (double)f))));
    const unsigned char out[6][3] = {{v, t, p}, {q, v, p}, {p, v, t},
                                     {p, q, v}, {t, p, v}, {v, p, q}};
    for (int c = 0; c < 3; c++)
        rgb[c] = out[sector % 6][c];
}

void data_hue(data_image *image, double shift)
{
    const unsigned char turn = (unsigned char)(int)(shift * 255.0);
    unsigned char hsv[3];

    if (image->channels != 3)
        return;
    for (unsigned char *p = image->pixels, *end = p + bytes_of(image); p < end; p += 3) {
        to_hsv(hsv, p);
        hsv[0] = (unsigned char)(hsv[0] + turn);
        from_hsv(p, hsv);
    }
}
