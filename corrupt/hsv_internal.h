/* hsv_internal.h - to hue, saturation and value, a change there, and back: the loop of
 * brightness and of saturate. Follows scikit-image's rgb2hsv and hsv2rgb (Smith 1978,
 * "Color gamut transform pairs", SIGGRAPH, by sectors) in f64 and in its order of
 * operations: bit-equal to it. Free to change: the size of a piece. Relied on elsewhere:
 * a grey pixel has hue and saturation 0, ties are blue's before green's before red's. */
#ifndef CORRUPT_HSV_INTERNAL_H
#define CORRUPT_HSV_INTERNAL_H

#include "corrupt/corrupt_internal.h"

#include <math.h>

enum { CORRUPT_HSV_PIECE = 256 }; /* pixels: three planes of f64 stay in the first cache */

static inline double corrupt_hsv_clip(double v)
{
    const double low = v > 0.0 ? v : 0.0;

    return low < 1.0 ? low : 1.0;
}

/* A piece of the image as planes. The steps are loops of their own because a compiler
 * turns a choice into a vector operation only where few choices meet. */
typedef struct corrupt_hsv {
    unsigned char colour[3][CORRUPT_HSV_PIECE]; /* red, green, blue */
    double turn[CORRUPT_HSV_PIECE];             /* 6 H, 0 <= 6 H < 6 */
    double saturation[CORRUPT_HSV_PIECE], value[CORRUPT_HSV_PIECE];
    /* the three other colours of a sector, and its number 0..5 */
    double p[CORRUPT_HSV_PIECE], q[CORRUPT_HSV_PIECE], t[CORRUPT_HSV_PIECE];
    double sector[CORRUPT_HSV_PIECE];
} corrupt_hsv;

static inline void corrupt_hsv_from_rgb(corrupt_hsv *hsv, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const double r = hsv->colour[0][i] / 255.0;
        const double g = hsv->colour[1][i] / 255.0;
        const double b = hsv->colour[2][i] / 255.0;
        const double rg_high = r > g ? r : g, rg_low = r < g ? r : g;
        const double high = rg_high > b ? rg_high : b, low = rg_low < b ? rg_low : b;
        const double d = high - low;
        /* hue times 6 but for whole turns; red's, green's and blue's, the last of equals */
        const double by_red = g - b, by_green = b - r, by_blue = r - g;
        const double sector = b == high ? 4.0 : g == high ? 2.0 : 0.0;
        const double over = b == high ? by_blue : g == high ? by_green : by_red;
        hsv->value[i] = high;
        hsv->saturation[i] = d / (high > 0.0 ? high : 1.0);
        hsv->turn[i] = (sector + over / (d > 0.0 ? d : 1.0)) / 6.0;
        hsv->sector[i] = d;
    }
    for (size_t i = 0; i < count; i++) {
        const double wrapped = hsv->turn[i] < 0.0 ? hsv->turn[i] + 1.0 : hsv->turn[i];
        hsv->turn[i] = (hsv->sector[i] > 0.0 ? wrapped : 0.0) * 6.0;
    }
}

static inline void corrupt_hsv_to_rgb(corrupt_hsv *hsv, size_t count)
{
    const double *v = hsv->value, *p = hsv->p, *q = hsv->q, *t = hsv->t, *j = hsv->sector;

    for (size_t i = 0; i < count; i++) {
        const double whole = (double)(int32_t)hsv->turn[i];
        const double f = hsv->turn[i] - whole, s = hsv->saturation[i];
        hsv->sector[i] = whole;
        hsv->p[i] = v[i] * (1.0 - s);
        hsv->q[i] = v[i] * (1.0 - f * s);
        hsv->t[i] = v[i] * (1.0 - (1.0 - f) * s);
    }
    /* by sector: v t p, q v p, p v t, p q v, t p v, v p q */
    for (size_t i = 0; i < count; i++)
        hsv->colour[0][i] = corrupt_byte(fabs(j[i] - 2.5) < 1.0   ? p[i]
                                         : fabs(j[i] - 2.5) > 2.0 ? v[i]
                                         : j[i] < 2.5             ? q[i]
                                                                  : t[i]);
    for (size_t i = 0; i < count; i++)
        hsv->colour[1][i] = corrupt_byte(j[i] > 3.5               ? p[i]
                                         : fabs(j[i] - 1.5) < 1.0 ? v[i]
                                         : j[i] < 1.5             ? t[i]
                                                                  : q[i]);
    for (size_t i = 0; i < count; i++)
        hsv->colour[2][i] = corrupt_byte(j[i] < 1.5               ? p[i]
                                         : fabs(j[i] - 3.5) < 1.0 ? v[i]
                                         : j[i] < 3.5             ? t[i]
                                                                  : q[i]);
}

/* The whole image of the job: saturation becomes clip(S factor + offset), value clip(V +
 * lift). Factor 1 and offset 0 leave the saturation, lift 0 leaves the value. Cannot
 * fail. */
static inline void corrupt_hsv_image(corrupt_job *job, double factor, double offset,
                                     double lift)
{
    corrupt_hsv hsv;
    const size_t count = job->height * job->width;

    for (size_t at = 0; at < count; at += CORRUPT_HSV_PIECE) {
        const size_t left = count - at;
        const size_t piece = left < CORRUPT_HSV_PIECE ? left : CORRUPT_HSV_PIECE;
        const unsigned char *in = job->in + 3 * at;
        unsigned char *out = job->out + 3 * at;

        for (size_t i = 0; i < piece; i++)
            for (size_t c = 0; c < 3; c++)
                hsv.colour[c][i] = in[3 * i + c];
        corrupt_hsv_from_rgb(&hsv, piece);
        for (size_t i = 0; i < piece; i++) {
            hsv.saturation[i] = corrupt_hsv_clip(hsv.saturation[i] * factor + offset);
            hsv.value[i] = corrupt_hsv_clip(hsv.value[i] + lift);
        }
        corrupt_hsv_to_rgb(&hsv, piece);
        for (size_t i = 0; i < piece; i++)
            for (size_t c = 0; c < 3; c++)
                out[3 * i + c] = hsv.colour[c][i];
    }
}

#endif
