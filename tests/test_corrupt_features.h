/* test_corrupt_features.h - what a corrupted picture is judged by when its random numbers
 * are not the reference's: 34 figures of the picture and of its difference from the clean
 * one, and how far each may lie from the reference's mean beside its spread from seed to
 * seed. */
#ifndef TESTS_TEST_CORRUPT_FEATURES_H
#define TESTS_TEST_CORRUPT_FEATURES_H

#include <check.h>
#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    FEATURE_MEAN = 0,    /* 3: of the channels */
    FEATURE_STD = 3,     /* 3 */
    FEATURE_MAD = 6,     /* mean |difference| */
    FEATURE_PSNR = 7,    /* dB */
    FEATURE_LBAND = 8,   /* 4: log10 of the luma's power from low to high frequencies */
    FEATURE_RBAND = 12,  /* 4: the same of the difference */
    FEATURE_ZERO = 16,   /* share of samples at 0 */
    FEATURE_FULL = 17,   /* at 255 */
    FEATURE_CCORR = 18,  /* correlation of the difference between red and green */
    FEATURE_ACX = 19,    /* with its neighbour to the right */
    FEATURE_ACY = 20,    /* below */
    FEATURE_SHAPE = 21,  /* mean |d - mean d| / sd d */
    FEATURE_BMEAN = 22,  /* 4: mean difference where the clean sample is dark ... bright */
    FEATURE_BSTD = 26,   /* 4 */
    FEATURE_GSLOPE = 30, /* slope of the luma's steps against the clean ones */
    FEATURE_GCORR = 31,
    FEATURE_USLOPE = 32, /* the slope where no sample is 0 or 255 */
    FEATURE_COUNT = 33,
    FEATURE_SIDE_MAX = 256
};

static const struct {
    const char *name;
    double allowance; /* what implementations may differ by, in the feature's unit */
} test_features[FEATURE_COUNT] = {
    {"mean_r", .7},   {"mean_g", .7},  {"mean_b", .7},    {"std_r", .5},   {"std_g", .5},
    {"std_b", .5},    {"mad", .5},     {"psnr", .12},     {"lband0", .03}, {"lband1", .03},
    {"lband2", .03},  {"lband3", .03}, {"rband0", .04},   {"rband1", .04}, {"rband2", .04},
    {"rband3", .04},  {"frac0", .003}, {"frac255", .003}, {"ccorr", .015}, {"acx", .015},
    {"acy", .015},    {"shape", .015}, {"bmean0", .8},    {"bmean1", .8},  {"bmean2", .8},
    {"bmean3", .8},   {"bstd0", .6},   {"bstd1", .6},     {"bstd2", .6},   {"bstd3", .6},
    {"gslope", .012}, {"gcorr", .012}, {"uslope", .010}};

/* Sums for mean, spread and correlation of pairs. */
typedef struct test_pairs {
    double n, a, b, aa, bb, ab;
} test_pairs;

static inline void test_pairs_add(test_pairs *p, double a, double b)
{
    p->n += 1.0;
    p->a += a;
    p->b += b;
    p->aa += a * a;
    p->bb += b * b;
    p->ab += a * b;
}

static inline double test_pairs_correlation(const test_pairs *p)
{
    const double aa = p->aa - p->a * p->a / p->n, bb = p->bb - p->b * p->b / p->n;
    const double both = sqrt((aa > 0.0 ? aa : 0.0) * (bb > 0.0 ? bb : 0.0));

    return both > 1e-9 ? (p->ab - p->a * p->b / p->n) / both : 0.0;
}

/* Discrete Fourier transform of in[0], in[step] ... (n values) by the smallest factors of
 * n; turn [n step] are the roots of unity. */
static inline void test_transform(complex double *out, const complex double *in, int n,
                                  int step, const complex double *turn)
{
    complex double part[FEATURE_SIDE_MAX];
    int p = 2;

    if (n == 1) {
        out[0] = in[0];
        return;
    }
    while (n % p != 0)
        p++;
    const int m = n / p;
    for (int r = 0; r < p; r++)
        test_transform(out + r * m, in + r * step, m, step * p, turn);
    for (int k = 0; k < m; k++) {
        for (int r = 0; r < p; r++)
            part[r] = out[r * m + k];
        for (int q = 0; q < p; q++) {
            complex double sum = 0.0;
            for (int r = 0; r < p; r++)
                sum += part[r] * turn[r * (k + q * m) % n * step];
            out[q * m + k] = sum;
        }
    }
}

static inline void test_turns(complex double *turn, int n)
{
    for (int i = 0; i < n; i++)
        turn[i] = cexp(CMPLX(0.0, -2.0 * 3.14159265358979323846 * i / n));
}

/* Power of a plane in four rings of frequencies, in cycles a pixel; without its mean they
 * add up to its variance. */
static inline void test_bands(double band[4], const double *plane, int height, int width)
{
    static complex double rows[FEATURE_SIDE_MAX * FEATURE_SIDE_MAX];
    complex double line[FEATURE_SIDE_MAX], out[FEATURE_SIDE_MAX], turn[FEATURE_SIDE_MAX];

    memset(band, 0, 4 * sizeof *band);
    test_turns(turn, width);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++)
            line[x] = plane[y * width + x];
        test_transform(rows + y * width, line, width, 1, turn);
    }
    test_turns(turn, height);
    for (int x = 0; x <= width / 2; x++) { /* the rest is conjugate */
        const double fx = (double)x / width;
        const double twice = x == 0 || 2 * x == width ? 1.0 : 2.0;
        for (int y = 0; y < height; y++)
            line[y] = rows[y * width + x];
        test_transform(out, line, height, 1, turn);
        for (int y = 0; y < height; y++) {
            const double fy = (double)(2 * y < height ? y : y - height) / height;
            const double f = sqrt(fx * fx + fy * fy);
            const double power =
                creal(out[y]) * creal(out[y]) + cimag(out[y]) * cimag(out[y]);
            if (x != 0 || y != 0)
                band[(f >= 1.0 / 16) + (f >= 1.0 / 8) + (f >= 1.0 / 4)] +=
                    twice * power / ((double)(height * width) * (height * width));
        }
    }
}

static inline double test_luma(const unsigned char *pixel)
{
    return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
}

static inline bool test_is_free(const unsigned char *pixel)
{
    for (int c = 0; c < 3; c++) {
        if (pixel[c] == 0 || pixel[c] == 255)
            return false;
    }
    return true;
}

static inline void test_levels(double *f, const unsigned char *out,
                               const unsigned char *clean, int pixels)
{
    test_pairs channel[3] = {0}, bin[4] = {0}, all = {0}, colours = {0};
    double absolute = 0.0, zero = 0.0, full = 0.0, around = 0.0;

    for (int i = 0; i < pixels * 3; i++) {
        const double d = out[i] - clean[i];
        test_pairs_add(&channel[i % 3], out[i], 0.0);
        test_pairs_add(&bin[clean[i] / 64], d, 0.0);
        test_pairs_add(&all, d, 0.0);
        absolute += fabs(d);
        zero += out[i] == 0;
        full += out[i] == 255;
    }
    for (int i = 0; i < pixels; i++)
        test_pairs_add(&colours, out[i * 3] - clean[i * 3],
                       out[i * 3 + 1] - clean[i * 3 + 1]);
    const double mean = all.a / all.n, mse = all.aa / all.n,
                 sd = sqrt(fabs(mse - mean * mean));
    for (int i = 0; i < pixels * 3; i++)
        around += fabs(out[i] - clean[i] - mean);
    for (int c = 0; c < 3; c++) {
        const double m = channel[c].a / channel[c].n;
        f[FEATURE_MEAN + c] = m;
        f[FEATURE_STD + c] = sqrt(fabs(channel[c].aa / channel[c].n - m * m));
    }
    f[FEATURE_MAD] = absolute / all.n;
    f[FEATURE_PSNR] = mse > 1e-6 ? 10.0 * log10(255.0 * 255.0 / mse) : 99.0;
    f[FEATURE_ZERO] = zero / all.n;
    f[FEATURE_FULL] = full / all.n;
    f[FEATURE_CCORR] = test_pairs_correlation(&colours);
    f[FEATURE_SHAPE] = sd > 1e-6 ? around / all.n / sd : 1.0;
    for (int b = 0; b < 4; b++) {
        const bool enough = bin[b].n >= 500.0;
        const double m = enough ? bin[b].a / bin[b].n : 0.0;
        f[FEATURE_BMEAN + b] = m;
        f[FEATURE_BSTD + b] = enough ? sqrt(fabs(bin[b].aa / bin[b].n - m * m)) : 0.0;
    }
}

/* f [FEATURE_COUNT] of out and clean [height, width, 3], sides up to FEATURE_SIDE_MAX. */
static inline void test_feature_vector(double *f, const unsigned char *out,
                                       const unsigned char *clean, int height, int width)
{
    static double luma[FEATURE_SIDE_MAX * FEATURE_SIDE_MAX],
        clean_luma[FEATURE_SIDE_MAX * FEATURE_SIDE_MAX],
        residual[FEATURE_SIDE_MAX * FEATURE_SIDE_MAX];
    test_pairs along[2] = {0}, steps = {0}, free_steps = {0};
    double band[4];

    test_levels(f, out, clean, height * width);
    for (int i = 0; i < height * width; i++) {
        luma[i] = test_luma(out + i * 3);
        clean_luma[i] = test_luma(clean + i * 3);
        residual[i] = luma[i] - clean_luma[i];
    }
    for (int i = 0; i < height * width; i++) {
        for (int down = 0; down < 2; down++) {
            if (down ? i / width + 1 == height : i % width + 1 == width)
                continue;
            const int j = i + (down ? width : 1);
            for (int c = 0; c < 3; c++)
                test_pairs_add(&along[down], out[i * 3 + c] - clean[i * 3 + c],
                               out[j * 3 + c] - clean[j * 3 + c]);
            test_pairs_add(&steps, luma[j] - luma[i], clean_luma[j] - clean_luma[i]);
            if (test_is_free(out + i * 3) && test_is_free(out + j * 3))
                test_pairs_add(&free_steps, luma[j] - luma[i],
                               clean_luma[j] - clean_luma[i]);
        }
    }
    f[FEATURE_ACX] = test_pairs_correlation(&along[0]);
    f[FEATURE_ACY] = test_pairs_correlation(&along[1]);
    f[FEATURE_GSLOPE] = steps.ab / (steps.bb > 1e-9 ? steps.bb : 1e-9);
    f[FEATURE_GCORR] = test_pairs_correlation(&steps);
    f[FEATURE_USLOPE] = free_steps.bb > 1e-9 ? free_steps.ab / free_steps.bb : 0.0;
    test_bands(band, luma, height, width);
    for (int b = 0; b < 4; b++)
        f[FEATURE_LBAND + b] = log10(band[b] + 1e-3);
    test_bands(band, residual, height, width);
    for (int b = 0; b < 4; b++)
        f[FEATURE_RBAND + b] = log10(band[b] + 1e-3);
}

#endif
