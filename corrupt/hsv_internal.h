/* hsv_internal.h - to hue, saturation and value, a change there, and back: the loop of brightness and of
 * saturate. Follows scikit-image's rgb2hsv and hsv2rgb (Smith 1978, "Color gamut transform pairs",
 * SIGGRAPH, by sectors) in f64 and in its order of operations: bit-equal to it. Free to change: the
 * size of a piece. Relied on elsewhere: a grey pixel has hue and saturation 0, ties are blue's before
 * green's before red's. */
#ifndef CORRUPT_HSV_INTERNAL_H
#define CORRUPT_HSV_INTERNAL_H

#include "corrupt/corrupt_internal.h"

enum { CORRUPT_HSV_PIECE = 256 }; /* pixels: three planes of f64 stay in the first cache */

static inline double corrupt_hsv_clip(double v)
{
    const double low = v > 0.0 ? v : 0.0;

    return low < 1.0 ? low : 1.0;
}

/* Saturation becomes clip(S * factor + offset), value clip(V + lift); factor 1 and offset 0 leave the
 * saturation, lift 0 leaves the value. Planes [count] of 8-bit colours, in place. */
static inline void corrupt_hsv_planes(unsigned char *red, unsigned char *green,
                                      unsigned char *blue, size_t count, double factor,
                                      double offset, double lift)
{
    for (size_t i = 0; i < count; i++) {
        const double r = red[i] / 255.0, g = green[i] / 255.0, b = blue[i] / 255.0;
        const double rg_high = r > g ? r : g, rg_low = r < g ? r : g;
        const double high = rg_high > b ? rg_high : b, low = rg_low < b ? rg_low : b;
        const double d = high - low;
        const double s0 = d / (high > 0.0 ? high : 1.0);

        /* tie order: the later test wins */
        double over = g - b, sector = 0.0;
        over = g == high ? b - r : over;
        sector = g == high ? 2.0 : sector;
        over = b == high ? r - g : over;
        sector = b == high ? 4.0 : sector;
        const double turn = (sector + over / (d > 0.0 ? d : 1.0)) / 6.0;
        const double wrapped = turn < 0.0 ? turn + 1.0 : turn;
        const double h = d > 0.0 ? wrapped : 0.0;

        const double s = corrupt_hsv_clip(s0 * factor + offset);
        const double v = corrupt_hsv_clip(high + lift);

        const double h6 = h * 6.0;
        const double j = (double)(int32_t)h6;
        const double f = h6 - j;
        const double p = v * (1.0 - s);
        const double q = v * (1.0 - f * s);
        const double t = v * (1.0 - (1.0 - f) * s);

        double to_r = v, to_g = p, to_b = q; /* j = 5 */
        to_r = j == 4.0 ? t : to_r;
        to_b = j == 4.0 ? v : to_b;
        to_r = j == 3.0 ? p : to_r;
        to_g = j == 3.0 ? q : to_g;
        to_b = j == 3.0 ? v : to_b;
        to_r = j == 2.0 ? p : to_r;
        to_g = j == 2.0 ? v : to_g;
        to_b = j == 2.0 ? t : to_b;
        to_r = j == 1.0 ? q : to_r;
        to_g = j == 1.0 ? v : to_g;
        to_b = j == 1.0 ? p : to_b;
        to_r = j == 0.0 ? v : to_r;
        to_g = j == 0.0 ? t : to_g;
        to_b = j == 0.0 ? p : to_b;
        red[i] = corrupt_byte(to_r);
        green[i] = corrupt_byte(to_g);
        blue[i] = corrupt_byte(to_b);
    }
}

/* The whole image of the job. Cannot fail. */
static inline void corrupt_hsv_image(corrupt_job *job, double factor, double offset,
                                     double lift)
{
    unsigned char red[CORRUPT_HSV_PIECE], green[CORRUPT_HSV_PIECE], blue[CORRUPT_HSV_PIECE];
    const size_t count = job->height * job->width;

    for (size_t at = 0; at < count; at += CORRUPT_HSV_PIECE) {
        const size_t left = count - at;
        const size_t piece = left < CORRUPT_HSV_PIECE ? left : CORRUPT_HSV_PIECE;
        const unsigned char *in = job->in + 3 * at;
        unsigned char *out = job->out + 3 * at;

        for (size_t i = 0; i < piece; i++) {
            red[i] = in[3 * i];
            green[i] = in[3 * i + 1];
            blue[i] = in[3 * i + 2];
        }
        corrupt_hsv_planes(red, green, blue, piece, factor, offset, lift);
        for (size_t i = 0; i < piece; i++) {
            out[3 * i] = red[i];
            out[3 * i + 1] = green[i];
            out[3 * i + 2] = blue[i];
        }
    }
}

#endif
