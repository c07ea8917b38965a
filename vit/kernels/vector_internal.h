/* vector_internal.h - the vectors of kernels.c: as many fp32 numbers as a register of the
 * set that is being compiled holds, loaded and stored as fp32 or bf16, with the few
 * operations that C has no words for. Arithmetic is written with the operators of the
 * compiler's vector extension, so that a loop has one text for all sets: AVX-512 (with or
 * without its bf16 instructions), AVX2, and 16 bytes on anything else. Free to change: how
 * an operation is made. Relied on elsewhere: NaN in gives NaN out. */
#ifndef VIT_KERNELS_VECTOR_H
#define VIT_KERNELS_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#define VEC_SAME(s)                                                                        \
    {                                                                                      \
        s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s                                     \
    }
#elif defined(__AVX2__)
#define LANES 8
#define VEC_COUNT                                                                          \
    {                                                                                      \
        0, 1, 2, 3, 4, 5, 6, 7                                                             \
    }
#define VEC_SAME(s)                                                                        \
    {                                                                                      \
        s, s, s, s, s, s, s, s                                                             \
    }
#else
#define LANES 4
#define VEC_COUNT                                                                          \
    {                                                                                      \
        0, 1, 2, 3                                                                         \
    }
#define VEC_SAME(s)                                                                        \
    {                                                                                      \
        s, s, s, s                                                                         \
    }
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));
typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));
typedef uint16_t hvec __attribute__((vector_size(LANES * 2))); /* bf16 */
typedef uint64_t qvec __attribute__((vector_size(LANES * 2)));

static inline vec vec_of(float s)
{
    return (vec)VEC_SAME(s);
}

/* mask: all bits of a lane or none, as comparisons give it. */
static inline vec vec_select(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* The larger and the smaller; b where one of them is NaN. */
static inline vec vec_max(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vec_select(a > b, a, b);
#endif
}

static inline vec vec_min(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return vec_select(a < b, a, b);
#endif
}

static inline vec vec_abs(vec x)
{
    return (vec)((ivec)x & 0x7fffffff);
}

/* x < 0 (or -0, or NaN with its sign set) ? yes : no */
static inline vec vec_by_sign(vec x, vec yes, vec no)
{
#if defined(__AVX512F__)
    return (vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), (__m512)no,
                                     (__m512)yes);
#elif defined(__AVX2__)
    return (vec)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)x);
#else
    return vec_select((ivec)x < 0, yes, no);
#endif
}

/* ---- over the lanes ------------------------------------------------------------------ */

#if LANES == 8
#define VEC_SWAP_8(x) __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3)
#define VEC_SWAP_4(x) __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5)
#define VEC_SWAP_2(x) __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6)
#elif LANES == 4
#define VEC_SWAP_4(x) __builtin_shufflevector(x, x, 2, 3, 0, 1)
#define VEC_SWAP_2(x) __builtin_shufflevector(x, x, 1, 0, 3, 2)
#endif

static inline float vec_sum(vec x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)x);
#else
#if LANES == 8
    x += VEC_SWAP_8(x);
#endif
    x += VEC_SWAP_4(x);
    x += VEC_SWAP_2(x);
    return x[0];
#endif
}

/* Of numbers: NaN may be passed over. */
static inline float vec_most(vec x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)x);
#else
#if LANES == 8
    x = vec_max(x, VEC_SWAP_8(x));
#endif
    x = vec_max(x, VEC_SWAP_4(x));
    x = vec_max(x, VEC_SWAP_2(x));
    return x[0];
#endif
}

/* Runs the statements for i = 0, LANES, ... below n, with `left` numbers from i on: a
 * constant for whole vectors, so that their loads and stores below have no test, and once
 * more for what is behind them. */
#define VEC_EACH(i, left, n, ...)                                                          \
    do {                                                                                   \
        size_t i = 0;                                                                      \
        for (; i + LANES <= (n); i += LANES) {                                             \
            enum { left = LANES };                                                         \
            __VA_ARGS__                                                                    \
        }                                                                                  \
        if (i < (n)) {                                                                     \
            const size_t left = (n)-i;                                                     \
            __VA_ARGS__                                                                    \
        }                                                                                  \
    } while (0)

/* ---- memory: n numbers are left there, the lanes behind them are `rest` -------------- */

#if !defined(__AVX512F__)
/* The first n < 4 numbers of 16 bits, without a detour through memory. */
static inline uint64_t vec_few(const uint16_t *from, size_t n)
{
    return n == 0   ? 0
           : n == 1 ? from[0]
           : n == 2 ? from[0] | (uint64_t)from[1] << 16
                    : from[0] | (uint64_t)from[1] << 16 | (uint64_t)from[2] << 32;
}

static inline uint64_t vec_four(const uint16_t *from)
{
    uint64_t bits;

    memcpy(&bits, from, sizeof bits);
    return bits;
}

static inline ivec vec_first(size_t n)
{
    const ivec count = VEC_COUNT;

    return count < (int32_t)n;
}
#endif

static inline vec vec_load(const float *from, size_t n, float rest)
{
    vec x;

    if (n >= LANES) {
        memcpy(&x, from, sizeof x);
        return x;
    }
#if defined(__AVX512F__)
    return (vec)_mm512_mask_loadu_ps((__m512)vec_of(rest), (__mmask16)((1u << n) - 1),
                                     from);
#elif defined(__AVX2__)
    const ivec first = vec_first(n);
    return vec_select(first, (vec)_mm256_maskload_ps(from, (__m256i)first), vec_of(rest));
#else
    x = vec_of(rest);
    x[0] = n > 0 ? from[0] : rest;
    x[1] = n > 1 ? from[1] : rest;
    x[2] = n > 2 ? from[2] : rest;
    return x;
#endif
}

static inline void vec_store(float *to, vec x, size_t n)
{
    if (n >= LANES) {
        memcpy(to, &x, sizeof x);
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << n) - 1), (__m512)x);
#elif defined(__AVX2__)
    _mm256_maskstore_ps(to, (__m256i)vec_first(n), (__m256)x);
#else
    for (size_t i = 0; i < n; i++)
        to[i] = x[i];
#endif
}

/* The upper halves of the lanes. The compiler's own conversions are slow on x86. */
static inline hvec vec_upper(uvec x)
{
#if defined(__AVX512F__)
    return (hvec)_mm512_cvtepi32_epi16((__m512i)(x >> 16));
#elif defined(__AVX2__)
    const __m256i half = (__m256i)((ivec)x >> 16);
    return (hvec)_mm_packs_epi32(_mm256_castsi256_si128(half),
                                 _mm256_extracti128_si256(half, 1));
#elif defined(__SSE2__)
    const __m128i half = (__m128i)((ivec)x >> 16);
    hvec out;
    _mm_storel_epi64((__m128i *)&out, _mm_packs_epi32(half, half));
    return out;
#else
    return __builtin_convertvector(x >> 16, hvec);
#endif
}

static inline vec vec_widen(hvec x)
{
#if defined(__AVX512F__)
    return (vec)((uvec)_mm512_cvtepu16_epi32((__m256i)x) << 16);
#elif defined(__AVX2__)
    return (vec)((uvec)_mm256_cvtepu16_epi32((__m128i)x) << 16);
#elif defined(__SSE2__)
    return (vec)_mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64((__m128i *)&x));
#else
    return (vec)(__builtin_convertvector(x, uvec) << 16);
#endif
}

/* bf16 to nearest even, for every float: NaN stays NaN, numbers below 2^-126 keep their
 * digits. */
static inline hvec vec_narrow_exact(vec x)
{
    const uvec bits = (uvec)x, rounded = bits + 0x7fffu + (bits >> 16 & 1u);

    return vec_upper((uvec)vec_select(x != x, (vec)(bits | 0x400000u), (vec)rounded));
}

/* The same, but the AVX512_BF16 instruction takes numbers below 2^-126 for 0 of their
 * sign. */
static inline hvec vec_narrow(vec x)
{
#if defined(__AVX512BF16__)
    return (hvec)_mm512_cvtneps_pbh((__m512)x);
#else
    return vec_narrow_exact(x);
#endif
}

static inline vec vec_load_bf16(const uint16_t *from, size_t n)
{
    hvec x;

    if (n >= LANES) {
        memcpy(&x, from, sizeof x);
    } else {
#if defined(__AVX512F__)
        x = (hvec)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), from);
#else
        qvec bits = {n < 4 ? vec_few(from, n) : vec_four(from)};
#if LANES == 8
        bits[1] = n > 4 ? vec_few(from + 4, n - 4) : 0;
#endif
        x = (hvec)bits;
#endif
    }
    return vec_widen(x);
}

static inline void vec_store_half(uint16_t *to, hvec x, size_t n)
{
    if (n >= LANES) {
        memcpy(to, &x, sizeof x);
        return;
    }
#if defined(__AVX512F__)
    _mm256_mask_storeu_epi16(to, (__mmask16)((1u << n) - 1), (__m256i)x);
#else
    uint16_t part[LANES];
    memcpy(part, &x, sizeof x);
    for (size_t i = 0; i < n; i++)
        to[i] = part[i];
#endif
}

/* ---- functions ----------------------------------------------------------------------- */

/* c[0] + c[1] x + ... */
static inline vec vec_polynomial(vec x, const float *c, int degree)
{
    vec p = vec_of(c[degree]);

    for (int i = degree - 1; i >= 0; i--)
        p = p * x + c[i];
    return p;
}

/* 2^(scale x), 0 below 2^-126.5; scale x in [-127, 126]. c: 2^f for f in [-1/2, 1/2]. */
static inline vec vec_exp2(vec x, float scale, const float *c, int degree)
{
    const float magic = 0x1.8p23f + 127.0f; /* rounds to an integer n, with n + 127 below */
    const vec shifted = x * scale + magic;
    const vec p = vec_polynomial(x * scale - (shifted - magic), c, degree);

    return p * (vec)((uvec)shifted << 23);
}

#endif
