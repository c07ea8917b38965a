/* kernels.c - the plain loops of the network, on the vectors of kernels_vector.h. The build
 * compiles this file once per instruction set with VIT_KERNELS_SET and VIT_KERNELS_ISA
 * defined; select.c picks one at run time.
 *
 * exp and erf are our own because a library call would keep a loop scalar. 2^f is a
 * polynomial, on [-1/2, 1/2] the best one of its degree (Remez): relative error 7.5e-8 for
 * fp32, 7.5e-5 for bf16, where half a unit in the last place is 2e-3 to 4e-3. erfc(z / sqrt
 * 2) / 2 is exp(-z^2 / 2) times a rational function of degrees 2 and 3, fitted for z up to
 * 13.4: for fp32 the absolute error is the smallest (6e-8; the relative one reaches 5e-3
 * where the product is below 1e-30), for bf16 the relative one (2.3e-5). NaN in gives NaN
 * out everywhere: the trainer's check for finite numbers depends on it. */
#include <math.h>
#include <string.h>

#include "vit/kernels/vector_internal.h"
#include "vit/vit_internal.h"

static const float log2_e = 1.44269504088896341f;

static const float fp32_exp2_coefficients[] = {
    1.00000007f, 0.693146944f, 0.240221202f, 0.0555071309f, 0.00967554189f, 0.00132764725f};
static const float bf16_exp2_coefficients[] = {0.999928057f, 0.693260968f, 0.242611140f,
                                               0.0551716723f};

/* Numerator from z^0 to z^2, denominator from z^0 to z^3. */
static const float fp32_tail_coefficients[] = {0.5000000595f, 0.2156019672f, 0.0406294399f,
                                               1.0f,          1.2290970357f, 0.5618412145f,
                                               0.1000938317f};
static const float bf16_tail_coefficients[] = {0.5000115540f, 0.2772843617f, 0.0621088455f,
                                               1.0f,          1.3531745165f, 0.7002945353f,
                                               0.1554975637f};

/* From here on exp(-z^2 / 2) is 0 in vec_exp2. */
static const float tail_end = 13.265f;

/* Hendrycks and Gimpel 2016, the tanh form. */
static const float tanh_scale = 0.79788456080286536f; /* sqrt(2 / pi) */
static const float tanh_cubic = 0.044715f;

/* Rows at a time: while the sum over one waits, the others are worked on. More rows are
 * more streams from memory, which is why loops with several of them take two. */
#define ROWS 4

/* ---- the loops between products, for operands in fp32 and in bf16 -------------------- */

#define OPERAND float
#define LOAD(p, n) vec_load(p, n, 0)
#define STORE(p, x, n) vec_store(p, x, n)
#define NAME(f) fp32_##f
#define DEGREE 5
#define LANE 4
#include "vit/kernels/operand_internal.h"
#include "vit/kernels/rows_internal.h"
#undef LANE
#undef OPERAND
#undef LOAD
#undef STORE
#undef NAME
#undef DEGREE

#define OPERAND uint16_t
#define LOAD(p, n) vec_load_bf16(p, n)
#define STORE(p, x, n) vec_store_half(p, vec_narrow(x), n)
#define NAME(f) bf16_##f
#define DEGREE 3
#define LANE 8
#include "vit/kernels/operand_internal.h"
#include "vit/kernels/rows_internal.h"

/* ---- fp32 alone ---------------------------------------------------------------------- */

static void add(float *y, const float *x, const float *branch, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] + branch[i];
}

static inline void norm_backward_rows(int rows, float *d_x, float *d_gamma, float *d_beta,
                                      const float *d_y, const float *x, const float *mean,
                                      const float *rstd, const float *gamma, size_t n)
{
    vec s1[2] = {vec_of(0)}, s2[2] = {vec_of(0)};
    float a[2], b[2]; /* d_x += rstd (d_y gamma - b - a (x - mean)) */

    for (int j = 0; j < rows; j++)
        VEC_EACH(i, left, n, {
            const vec g = vec_load(d_y + j * n + i, left, 0) * vec_load(gamma + i, left, 0);
            s1[j] += g;
            s2[j] += g * (vec_load(x + j * n + i, left, 0) - mean[j]);
            __builtin_prefetch(d_x + j * n + i, 1); /* far away, and needed next */
        });
    for (int j = 0; j < rows; j++)
        a[j] = vec_sum(s2[j]) / (float)n * rstd[j] * rstd[j];
    for (int j = 0; j < rows; j++)
        b[j] = vec_sum(s1[j]) / (float)n;
    VEC_EACH(i, left, n, {
        const vec w = vec_load(gamma + i, left, 0);
        vec to_gamma = vec_of(0), to_beta = vec_of(0);
        for (int j = 0; j < rows; j++) {
            float *to = d_x + j * n + i;
            const vec d = vec_load(d_y + j * n + i, left, 0);
            const vec off = vec_load(x + j * n + i, left, 0) - mean[j];
            vec_store(to, vec_load(to, left, 0) + (d * w - b[j] - off * a[j]) * rstd[j],
                      left);
            to_gamma += d * off * rstd[j];
            to_beta += d;
        }
        if (d_gamma) {
            vec_store(d_gamma + i, vec_load(d_gamma + i, left, 0) + to_gamma, left);
            vec_store(d_beta + i, vec_load(d_beta + i, left, 0) + to_beta, left);
        }
    });
}

static void norm_backward(float *d_x, float *d_gamma, float *d_beta, const float *d_y,
                          const float *x, const float *mean, const float *rstd,
                          const float *gamma, size_t rows, size_t n)
{
    size_t r = 0;

    for (; r + 2 <= rows; r += 2)
        norm_backward_rows(2, d_x + r * n, d_gamma, d_beta, d_y + r * n, x + r * n,
                           mean + r, rstd + r, gamma, n);
    for (; r < rows; r++)
        norm_backward_rows(1, d_x + r * n, d_gamma, d_beta, d_y + r * n, x + r * n,
                           mean + r, rstd + r, gamma, n);
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
    VEC_EACH(i, left, n, {
        vec_store_half(out + i, vec_narrow_exact(vec_load(x + i, left, 0)), left);
    });
}

#include "vit/kernels/layout_internal.h"

/* log x for x in [2^-24, 1]: x = 2^e m, m in [sqrt 1/2, sqrt 2); log m = 2 atanh((m - 1) /
 * (m + 1)). */
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
        .pack_rows = set##_pack_rows, .copy = set##_copy, .transpose = set##_transpose,    \
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
