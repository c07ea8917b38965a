/* operations_internal.h - changes of an 8-bit picture, the words that augmentation policies
 * are made of (data.md 8). Each equals Pillow's to the byte where a comment does not say
 * otherwise. All work in place on [height, width, channels] with 1 or 3 channels; those
 * that mix neighbours or move pixels read a copy, which lies in scratch's images. */
#ifndef DATA_OPERATIONS_INTERNAL_H
#define DATA_OPERATIONS_INTERNAL_H

#include "data/data.h"

/* Pillow's 'L': (19595 R + 38470 G + 7471 B + 32768) >> 16. */
static inline unsigned data_grey(const unsigned char *rgb)
{
    return (19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16;
}

/* ---- one table for all pixels; cannot fail ------------------------------------------- */

void data_invert(data_image *image);
/* Keeps the upper bits of a value, 0..8. */
void data_posterize(data_image *image, int bits);
/* Inverts values of at least threshold. */
void data_solarize(data_image *image, double threshold);
/* Adds to values below 128, cut at 255 (V-MoE's SolarizeAdd). */
void data_solarize_add(data_image *image, int addition);
/* Each channel from its least and greatest value to 0..255. */
void data_autocontrast(data_image *image);
/* Each channel's histogram made even. */
void data_equalize(data_image *image);
/* ImageEnhance: factor 0 is black, 1 the picture, >= 0. */
void data_brightness(data_image *image, double factor);
/* Around the mean grey, or around `centre` 0..255 (negative: the mean). */
void data_contrast(data_image *image, double factor, int centre);

/* ---- colour; cannot fail, nothing happens to grey pictures --------------------------- */

void data_saturation(data_image *image, double factor);
void data_greyscale(data_image *image);
/* Pillow's 8-bit HSV, hue turned by shift * 255, truncated, modulo 256; shift -0.5..0.5. */
void data_hue(data_image *image, double shift);

/* ---- neighbours ---------------------------------------------------------------------- */

/* 0: smoothed by 3 x 3 (5 in the middle, / 13), 1: the picture; the border stays. truncate:
 * the smoothed value is cut and not rounded, as TensorFlow's cast does. Fails for want of
 * memory. */
base_status data_sharpness(data_image *image, double factor, bool truncate,
                           data_scratch *scratch, base_error *err);
/* Pillow's GaussianBlur: three box blurs with fractional edges (Gwosdek et al. 2011),
 * radius 0..64. Fails for want of memory. */
base_status data_blur(data_image *image, double radius, data_scratch *scratch,
                      base_error *err);

/* out(x, y) = in(floor(a x + b y + c), floor(d x + e y + f)) at pixel centres (x + half, y
 * + half), fill where that lies outside. TensorFlow's grid has centres at whole numbers and
 * rounds halves away from zero: `whole`. Fails for want of memory. */
typedef struct data_affine {
    double a, b, c, d, e, f;
    unsigned char fill;
    bool whole;
} data_affine;
base_status data_transform(data_image *image, const data_affine *affine,
                           data_scratch *scratch, base_error *err);
/* Counter-clockwise about the middle, degrees. */
data_affine data_rotation(const data_image *image, double degrees, unsigned char fill,
                          bool whole);
/* The rectangle of pixels at most half away from (x, y) becomes fill. Cannot fail. */
void data_cutout(data_image *image, size_t x, size_t y, size_t half, unsigned char fill);

#endif
