/* router_kernels.c - the loops of routing, compiled like kernels.c once per instruction
 * set, with VIT_ROUTE_KERNELS_SET defined. Free to change: the layout of a block and its
 * loops.
 *
 * exp is our own because a library call would keep the loops scalar: range reduction by log
 * 2 in two parts (Cody and Waite 1980) and the Taylor polynomial of degree 12, whose
 * remainder at log 2 / 2 is below the rounding of a double. Relied on elsewhere: NaN in
 * gives NaN out. */
#include "vit/routers/router_kernels_internal.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "vit/vit_internal.h"

/* Eight tokens; the compiler splits it where registers are narrower. Any double's address
 * will do. */
typedef double lanes __attribute__((vector_size(64), aligned(8), may_alias));
enum { LANES = 8, GROUPS = VIT_ROUTE_BLOCK / LANES };

/* exp x for x <= 0; 0 below -708, where the result would lose digits. */
static inline double exp_fast(double x)
{
    const double c = x < -708.0 ? -708.0 : x;               /* NaN stays */
    const double n = c * 1.44269504088896340736 + 0x1.8p52; /* rounds to an integer */
    const double r = n - 0x1.8p52;
    double f = c - r * 6.93147180369123816490e-01;
    f = f - r * 1.90821492927058770002e-10;
    double p = 1.0 / 479001600;
    p = p * f + 1.0 / 39916800;
    p = p * f + 1.0 / 3628800;
    p = p * f + 1.0 / 362880;
    p = p * f + 1.0 / 40320;
    p = p * f + 1.0 / 5040;
    p = p * f + 1.0 / 720;
    p = p * f + 1.0 / 120;
    p = p * f + 1.0 / 24;
    p = p * f + 1.0 / 6;
    p = p * f + 0.5;
    p = p * f + 1.0;
    p = p * f + 1.0;
    uint64_t bits; /* unsigned: shifts and wraps are defined for any x, NaN too */
    memcpy(&bits, &n, sizeof bits);
    const uint64_t e = (bits + 1023u) << 52; /* r + 1023 in the exponent field */
    double scale;
    memcpy(&scale, &e, sizeof scale);
    return x < -708.0 ? 0.0 : p * scale;
}

static inline void softmax_row(double *p, const double *z, const double *g, size_t n)
{
    double top = z[0] + (g ? g[0] : 0.0), sum = 0.0;

    for (size_t e = 0; e < n; e++)
        p[e] = z[e] + (g ? g[e] : 0.0);
    for (size_t e = 1; e < n; e++)
        top = p[e] > top ? p[e] : top;
#pragma omp simd reduction(+ : sum)
    for (size_t e = 0; e < n; e++) {
        p[e] = exp_fast(p[e] - top);
        sum += p[e];
    }
    const double scale = 1.0 / sum;
    for (size_t e = 0; e < n; e++)
        p[e] *= scale;
}

static void softmax(double *p, const double *z, const double *g, size_t rows, size_t n)
{
    for (size_t t = 0; t < rows; t++)
        softmax_row(p + t * n, z + t * n, g, n);
}

/* A block of tokens: across, then the exponentials where they lie. */
static void kernel_block(double *kernel, const double *l, const double *g, size_t n)
{
    double top[VIT_ROUTE_BLOCK];

    for (size_t r = 0; r < VIT_ROUTE_BLOCK; r++)
        for (size_t e = 0; e < n; e++)
            kernel[e * VIT_ROUTE_BLOCK + r] = l[r * n + e] + g[e];
    memcpy(top, kernel, sizeof top);
    for (size_t e = 1; e < n; e++)
        for (size_t r = 0; r < VIT_ROUTE_BLOCK; r++) {
            const double x = kernel[e * VIT_ROUTE_BLOCK + r];
            top[r] = x > top[r] ? x : top[r];
        }
    for (size_t e = 0; e < n; e++)
        for (size_t r = 0; r < VIT_ROUTE_BLOCK; r++)
            kernel[e * VIT_ROUTE_BLOCK + r] =
                exp_fast(kernel[e * VIT_ROUTE_BLOCK + r] - top[r]);
}

static void plan_kernel(double *kernel, const double *l, const double *g, size_t rows,
                        size_t n)
{
    size_t t = 0;

    for (; t + VIT_ROUTE_BLOCK <= rows; t += VIT_ROUTE_BLOCK)
        kernel_block(kernel + t * n, l + t * n, g, n);
    for (; t < rows; t++) {
        const double *row = l + t * n;
        double top = row[0] + g[0];
        for (size_t e = 1; e < n; e++)
            top = row[e] + g[e] > top ? row[e] + g[e] : top;
        for (size_t e = 0; e < n; e++)
            kernel[t * n + e] = exp_fast(row[e] + g[e] - top);
    }
}

/* sum [n] += the block's part of the columns, eight tokens apart. */
static inline void columns_block(lanes *sum, const double *kernel, const double *v,
                                 size_t n)
{
    const lanes *k = (const lanes *)kernel;
    lanes u[GROUPS] = {0};

    for (size_t e = 0; e < n; e++)
        for (size_t i = 0; i < GROUPS; i++)
            u[i] += k[e * GROUPS + i] * v[e];
    for (size_t i = 0; i < GROUPS; i++)
        u[i] = 1.0 / u[i];
    for (size_t e = 0; e < n; e++) {
        lanes s = sum[e];
        for (size_t i = 0; i < GROUPS; i++)
            s += k[e * GROUPS + i] * u[i];
        sum[e] = s;
    }
}

static void plan_columns(double *column, const double *kernel, const double *v, size_t rows,
                         size_t n)
{
    lanes sum[VIT_EXPERTS_MAX];
    size_t t = 0;

    memset(sum, 0, n * sizeof *sum);
    for (; t + VIT_ROUTE_BLOCK <= rows; t += VIT_ROUTE_BLOCK)
        columns_block(sum, kernel + t * n, v, n);
    for (size_t e = 0; e < n; e++)
        column[e] = ((sum[e][0] + sum[e][1]) + (sum[e][2] + sum[e][3])) +
                    ((sum[e][4] + sum[e][5]) + (sum[e][6] + sum[e][7]));
    for (; t < rows; t++) {
        const double *row = kernel + t * n;
        double u = 0.0;
        for (size_t e = 0; e < n; e++)
            u += row[e] * v[e];
        u = 1.0 / u;
        for (size_t e = 0; e < n; e++)
            column[e] += row[e] * u;
    }
}

/* Phi(u): Hart et al. 1968, "Computer Approximations", no. 5666, in the form of West 2005,
 * "Better approximations to cumulative normal functions". Differs: his continued fraction
 * beyond 7.07, where Phi is below 1e-12, is left out; the rational function has the right
 * limit there too. */
static inline double normal_cdf(double u)
{
    const double size = fabs(u), z = size > 37.0 ? 37.0 : size; /* NaN stays */
    double p = 3.52624965998911e-02, q = 8.83883476483184e-02;

    p = p * z + 0.700383064443688;
    p = p * z + 6.37396220353165;
    p = p * z + 33.912866078383;
    p = p * z + 112.079291497871;
    p = p * z + 221.213596169931;
    p = p * z + 220.206867912376;
    q = q * z + 1.75566716318264;
    q = q * z + 16.064177579207;
    q = q * z + 86.7807322029461;
    q = q * z + 296.564248779674;
    q = q * z + 637.333633378831;
    q = q * z + 793.826512519948;
    q = q * z + 440.413735824752;
    const double tail = exp_fast(-0.5 * z * z) * p / q;
    return u > 0.0 ? 1.0 - tail : tail;
}

static void chance_add(double *sum, const double *z, double tau, double inverse, size_t n)
{
#pragma omp simd
    for (size_t e = 0; e < n; e++)
        sum[e] += normal_cdf((z[e] - tau) * inverse);
}

static double density_add(double *d, const double *b, const double *z, double tau,
                          double inverse, size_t n)
{
    double sum = 0.0;

#pragma omp simd reduction(+ : sum)
    for (size_t e = 0; e < n; e++) {
        const double u = (z[e] - tau) * inverse, part = b[e] * exp_fast(-0.5 * u * u);
        d[e] += part;
        sum += part;
    }
    return sum;
}

extern const vit_route_kernels VIT_ROUTE_KERNELS_SET;
const vit_route_kernels VIT_ROUTE_KERNELS_SET = {
    .softmax = softmax,
    .plan_kernel = plan_kernel,
    .plan_columns = plan_columns,
    .chance_add = chance_add,
    .density_add = density_add,
};
