/* kernels.c - the plain loops of the network, written so that the compiler vectorises them. The build
 * compiles this file once per instruction set with VIT_KERNELS_SET and VIT_KERNELS_ISA defined;
 * kernels_select.c picks one at run time.
 *
 * exp, erf and tanh are our own because a library call would keep a loop scalar: exp by range
 * reduction and a degree-6 polynomial (relative error below 2e-7), erf by Abramowitz and Stegun 1964,
 * formula 7.1.26 (absolute error below 1.5e-7, the rounding of fp32).
 * NaN in gives NaN out everywhere: the trainer's check for finite numbers depends on it. */
#include <math.h>
#include <string.h>

#include "vit/vit_internal.h"

static inline float exp_fast(float x)
{
    /* below -87.3 the result is under FLT_MIN: 0; above 88.7 it is clamped near FLT_MAX.
     * The comparisons are written so that NaN stays NaN. */
    const float c = x < -87.3f ? -87.3f : x > 88.7f ? 88.7f : x;
    const float n = c * 1.44269504088896341f + 12582912.0f; /* rounds to an integer */
    const float r = n - 12582912.0f;
    float f = c - r * 0.693359375f; /* log 2 in two parts (Cody and Waite) */
    f = f - r * -2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * f + 1.0f / 120.0f;
    p = p * f + 1.0f / 24.0f;
    p = p * f + 1.0f / 6.0f;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    uint32_t bits; /* unsigned: shifts and wraps are defined for any x, NaN too */
    memcpy(&bits, &n, sizeof bits);
    /* r + 127 in the exponent field */
    const uint32_t e = (bits - 0x4B400000u + 127u) << 23;
    float scale;
    memcpy(&scale, &e, sizeof scale);
    return x < -87.3f ? 0.0f : p * scale;
}

/* Phi(x) = (1 + erf(x / sqrt 2)) / 2 and e = exp(-x^2 / 2), which both GELU and its gradient need. */
static inline float normal_cdf(float x, float *e)
{
    const float z = fabsf(x) * 0.70710678118654752f;
    const float t = 1.0f / (1.0f + 0.3275911f * z);
    *e = exp_fast(-z * z);
    const float poly =
        t *
        (0.254829592f +
         t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const float half = 0.5f * poly * *e; /* (1 - erf(z)) / 2 */
    return x < 0.0f ? half : 1.0f - half;
}

static inline float tanh_fast(float u)
{
    return 1.0f - 2.0f / (exp_fast(2.0f * u) + 1.0f);
}

/* Hendrycks and Gimpel 2016, the tanh form. */
static const float tanh_scale = 0.79788456080286536f; /* sqrt(2 / pi) */
static const float tanh_cubic = 0.044715f;

/* ---- the loops between products, for operands in fp32 and in bf16 ---------------------------- */

static inline float widen(uint16_t x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* To nearest even; NaN stays NaN. */
static inline uint16_t narrow(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded);
}

#define OPERAND float
#define LOAD(x) (x)
#define STORE(x) (x)
#define NAME(f) fp32_##f
#include "vit/kernels_operand.h"
#undef OPERAND
#undef LOAD
#undef STORE
#undef NAME

#define OPERAND uint16_t
#define LOAD(x) widen(x)
#define STORE(x) narrow(x)
#define NAME(f) bf16_##f
#include "vit/kernels_operand.h"

/* ---- fp32 alone -------------------------------------------------------------------------------- */

static void add(float *y, const float *x, const float *branch, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] + branch[i];
}

static void norm_backward(float *d_x, float *d_gamma, float *d_beta, const float *d_y,
                          const float *x, const float *mean, const float *rstd,
                          const float *gamma, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * n, *dr = d_y + r * n;
        float *to = d_x + r * n;
        const float mu = mean[r], rs = rstd[r];
        float s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : s1, s2)
        for (size_t i = 0; i < n; i++) {
            const float g = dr[i] * gamma[i];
            s1 += g;
            s2 += g * (xr[i] - mu) * rs;
        }
        s1 /= (float)n;
        s2 /= (float)n;
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            to[i] += rs * (dr[i] * gamma[i] - s1 - (xr[i] - mu) * rs * s2);
        if (d_gamma) {
#pragma omp simd
            for (size_t i = 0; i < n; i++) {
                d_gamma[i] += dr[i] * (xr[i] - mu) * rs;
                d_beta[i] += dr[i];
            }
        }
    }
}

static void adamw(float *w, float *m, float *v, const float *g, size_t n, float scale,
                  float lr, float beta1, float beta2, float eps, float decay, float c1,
                  float c2)
{
    const float step = lr / c1, root = 1.0f / sqrtf(c2);
    for (size_t i = 0; i < n; i++) {
        const float gi = g[i] * scale;
        m[i] = beta1 * m[i] + (1.0f - beta1) * gi;
        v[i] = beta2 * v[i] + (1.0f - beta2) * gi * gi;
        w[i] = w[i] - decay * w[i] - step * m[i] / (sqrtf(v[i]) * root + eps);
    }
}

static void average(float *mean, const float *w, size_t n, float keep)
{
    for (size_t i = 0; i < n; i++)
        mean[i] = keep * mean[i] + (1.0f - keep) * w[i];
}

static double sum_squares(const float *x, size_t n)
{
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * (double)x[i];
    return s;
}

static void to_bf16(uint16_t *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = narrow(x[i]);
}

/* log x for x in [2^-24, 1]: x = 2^e m, m in [sqrt 1/2, sqrt 2); log m = 2 atanh((m - 1) / (m + 1)). */
static inline float log_fast(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t e = (bits - 0x3f3504f3) >> 23;
    const int32_t mantissa = bits - e * (1 << 23);
    float m;
    memcpy(&m, &mantissa, sizeof m);
    const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    const float p =
        2.0f * s *
        (1.0f + q * (1.0f / 3 + q * (1.0f / 5 + q * (1.0f / 7 + q * (1.0f / 9)))));
    return p + (float)e * 0.69314718055994531f;
}

/* cos and sin of 2 pi u, u in [0, 1): the nearest quarter turn and a Taylor polynomial. */
static inline void turn(float *c, float *s, float u)
{
    const int32_t quarter = (int32_t)(u * 4.0f + 0.5f);
    const float f = (u * 4.0f - (float)quarter) * 1.57079632679489662f, q = f * f;
    const float sine =
        f * (1.0f + q * (-1.0f / 6 + q * (1.0f / 120 + q * (-1.0f / 5040 + q / 362880))));
    const float cosine =
        1.0f + q * (-0.5f + q * (1.0f / 24 + q * (-1.0f / 720 + q * (1.0f / 40320))));
    const float x = quarter & 1 ? -sine : cosine, y = quarter & 1 ? cosine : sine;
    *c = quarter & 2 ? -x : x;
    *s = quarter & 2 ? -y : y;
}

static const float from_24_bits = 1.0f / (1 << 24);

static void normals(float *out, size_t rows, size_t n, const uint32_t key[2],
                    uint64_t first)
{
    for (size_t block = 0; 4 * block < n; block++) {
        const size_t wanted = n - 4 * block < 4 ? n - 4 * block : 4;
#pragma omp simd
        for (size_t r = 0; r < rows; r++) {
            uint32_t c0 = (uint32_t)(first + r), c1 = (uint32_t)((first + r) >> 32);
            uint32_t c2 = (uint32_t)block, c3 = 0, k0 = key[0], k1 = key[1];
            for (int round = 0; round < 10; round++) {
                const uint64_t p0 = (uint64_t)0xD2511F53u * c0,
                               p1 = (uint64_t)0xCD9E8D57u * c2;
                c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
                c1 = (uint32_t)p1;
                c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
                c3 = (uint32_t)p0;
                k0 += 0x9E3779B9u;
                k1 += 0xBB67AE85u;
            }
            const float a = sqrtf(-2.0f * log_fast(1.0f - (float)(c0 >> 8) * from_24_bits));
            const float b = sqrtf(-2.0f * log_fast(1.0f - (float)(c2 >> 8) * from_24_bits));
            float z[4];
            turn(&z[0], &z[1], (float)(c1 >> 8) * from_24_bits);
            turn(&z[2], &z[3], (float)(c3 >> 8) * from_24_bits);
            float *at = out + r * n + 4 * block;
            at[0] = a * z[0];
            if (wanted > 1)
                at[1] = a * z[1];
            if (wanted > 2)
                at[2] = b * z[2];
            if (wanted > 3)
                at[3] = b * z[3];
        }
    }
}

#define OPERAND_KERNELS(set)                                                               \
    {                                                                                      \
        .norm = set##_norm, .gelu = set##_gelu, .gelu_backward = set##_gelu_backward,      \
        .column_sum = set##_column_sum, .softmax = set##_softmax,                          \
        .softmax_backward = set##_softmax_backward, .round = set##_round,                  \
        .multiply = set##_multiply, .axpy = set##_axpy, .dot = set##_dot,                  \
    }

extern const vit_kernels VIT_KERNELS_SET;
const vit_kernels VIT_KERNELS_SET = {
    .isa = VIT_KERNELS_ISA,
    .operand = {[VIT_PRECISION_FP32] = OPERAND_KERNELS(fp32),
                [VIT_PRECISION_BF16] = OPERAND_KERNELS(bf16)},
    .add = add,
    .norm_backward = norm_backward,
    .adamw = adamw,
    .average = average,
    .sum_squares = sum_squares,
    .to_bf16 = to_bf16,
    .normals = normals,
};
