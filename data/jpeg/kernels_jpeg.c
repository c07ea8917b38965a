/* kernels_jpeg.c - from coefficients to samples as libjpeg-turbo does it with JDCT_ISLOW,
 * to the byte. Compiled once per instruction set (kernels_internal.h). The inverse DCT is
 * that of Loeffler, Ligtenberg and Moschytz 1989 with 13-bit constants, in the order of
 * jidctint.c, with the 16-bit saturation of its SIMD forms. */
#include "data/kernels_parts_internal.h"

#include <string.h>

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)
#include <immintrin.h>
#endif

enum {
    SIDE = 8, /* of a block */
    CONST_BITS = 13,
    PASS1_BITS = 2, /* kept between the passes */
    LIMIT = 8192,   /* of a product of coefficient and quantiser */
    /* The same for reduced sizes, whose sums have 32 bits alone. To four samples the terms
     * of a pass add up to at most 77910 = 2^14 + 15137 + 6270 + (1730 + 11893 + 17799 +
     * 8697): (1448 * 77910 >> 12) * 77910 is below 2^31. 8-bit samples come to about
     * 1100. */
    LIMIT_SMALL = 1448,
    F_0_298 = 2446,
    F_0_390 = 3196,
    F_0_541 = 4433,
    F_0_765 = 6270,
    F_0_899 = 7373,
    F_1_175 = 9633,
    F_1_501 = 12299,
    F_1_847 = 15137,
    F_1_961 = 16069,
    F_2_053 = 16819,
    F_2_562 = 20995,
    F_3_072 = 25172,
    /* of the reduced ones */
    F_0_211 = 1730,
    F_0_509 = 4176,
    F_0_601 = 4926,
    F_0_720 = 5906,
    F_0_850 = 6967,
    F_1_061 = 8697,
    F_1_272 = 10426,
    F_1_451 = 11893,
    F_2_172 = 17799,
    F_3_624 = 29692
};

/* ---- the inverse DCT ----------------------------------------------------------------- */

#if defined(KERNELS_AVX512)
typedef __m512i wide; /* a row of each of four blocks */
enum { TOGETHER = 4 };
#define W(op) _mm512_##op
#define W_ZERO _mm512_setzero_si512()
#define W_ROW(row) _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(row)))
#define W_AND(a, b) _mm512_and_si512(a, b)
#define W_OR(a, b) _mm512_or_si512(a, b)
#define W_XOR(a, b) _mm512_xor_si512(a, b)
#define W_ANY(a) (_mm512_test_epi32_mask(a, a) != 0)
#elif defined(KERNELS_AVX2)
typedef __m256i wide; /* a row of each of two blocks */
enum { TOGETHER = 2 };
#define W(op) _mm256_##op
#define W_ZERO _mm256_setzero_si256()
#define W_ROW(row) _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(row)))
#define W_AND(a, b) _mm256_and_si256(a, b)
#define W_OR(a, b) _mm256_or_si256(a, b)
#define W_XOR(a, b) _mm256_xor_si256(a, b)
#define W_ANY(a) (!_mm256_testz_si256(a, a))
#endif

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)

static inline wide pair(int even, int odd)
{
    return W(set1_epi32)((int)((unsigned)odd << 16 | ((unsigned)even & 0xffff)));
}

/* a * (first of the pair) + b * (second), the lower and upper four columns in 32 bits. */
typedef struct halves {
    wide low, high;
} halves;

static inline halves weigh(wide a, wide b, wide by)
{
    return (halves){W(madd_epi16)(W(unpacklo_epi16)(a, b), by),
                    W(madd_epi16)(W(unpackhi_epi16)(a, b), by)};
}

static inline halves plus(halves a, halves b)
{
    return (halves){W(add_epi32)(a.low, b.low), W(add_epi32)(a.high, b.high)};
}

static inline halves minus(halves a, halves b)
{
    return (halves){W(sub_epi32)(a.low, b.low), W(sub_epi32)(a.high, b.high)};
}

/* a << CONST_BITS in 32 bits. */
static inline halves lift(wide a)
{
    return (halves){
        W(srai_epi32)(W(unpacklo_epi16)(W_ZERO, a), 16 - CONST_BITS),
        W(srai_epi32)(W(unpackhi_epi16)(W_ZERO, a), 16 - CONST_BITS),
    };
}

static inline wide descale(halves a, int bits)
{
    const wide half = W(set1_epi32)(1 << (bits - 1));

    return W(packs_epi32)(W(srai_epi32)(W(add_epi32)(a.low, half), bits),
                          W(srai_epi32)(W(add_epi32)(a.high, half), bits));
}

/* One pass over the eight vectors. */
static inline void pass(wide v[SIDE], int bits)
{
    const halves two = weigh(v[2], v[6], pair(F_0_541, F_0_541 - F_1_847));
    const halves three = weigh(v[2], v[6], pair(F_0_541 + F_0_765, F_0_541));
    const halves zero = lift(W(add_epi16)(v[0], v[4]));
    const halves one = lift(W(sub_epi16)(v[0], v[4]));
    const halves e0 = plus(zero, three), e3 = minus(zero, three);
    const halves e1 = plus(one, two), e2 = minus(one, two);
    const wide z3 = W(add_epi16)(v[7], v[3]), z4 = W(add_epi16)(v[5], v[1]);
    const halves s3 = weigh(z3, z4, pair(F_1_175 - F_1_961, F_1_175));
    const halves s4 = weigh(z3, z4, pair(F_1_175, F_1_175 - F_0_390));
    const halves o0 = plus(weigh(v[7], v[1], pair(F_0_298 - F_0_899, -F_0_899)), s3);
    const halves o3 = plus(weigh(v[7], v[1], pair(-F_0_899, F_1_501 - F_0_899)), s4);
    const halves o1 = plus(weigh(v[5], v[3], pair(F_2_053 - F_2_562, -F_2_562)), s4);
    const halves o2 = plus(weigh(v[5], v[3], pair(-F_2_562, F_3_072 - F_2_562)), s3);

    v[0] = descale(plus(e0, o3), bits);
    v[7] = descale(minus(e0, o3), bits);
    v[1] = descale(plus(e1, o2), bits);
    v[6] = descale(minus(e1, o2), bits);
    v[2] = descale(plus(e2, o1), bits);
    v[5] = descale(minus(e2, o1), bits);
    v[3] = descale(plus(e3, o0), bits);
    v[4] = descale(minus(e3, o0), bits);
}

/* Rows and columns of each block change places. */
static inline void transpose(wide v[SIDE])
{
    wide a[SIDE], b[SIDE];

    for (int i = 0; i < 4; i++) {
        a[2 * i] = W(unpacklo_epi16)(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = W(unpackhi_epi16)(v[2 * i], v[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        b[4 * i] = W(unpacklo_epi32)(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = W(unpackhi_epi32)(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = W(unpacklo_epi32)(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = W(unpackhi_epi32)(a[4 * i + 1], a[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        v[2 * i] = W(unpacklo_epi64)(b[i], b[i + 4]);
        v[2 * i + 1] = W(unpackhi_epi64)(b[i], b[i + 4]);
    }
}

/* Row r of TOGETHER blocks, the lower ones first. */
static inline wide load_row(const int16_t *coefs, size_t r)
{
    const __m128i *at = (const void *)(coefs + SIDE * r);
#if defined(KERNELS_AVX512)
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128(at));
    v = _mm512_inserti32x4(v, _mm_loadu_si128(at + SIDE), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128(at + 2 * SIDE), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128(at + 3 * SIDE), 3);
#else
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(at)),
                                   _mm_loadu_si128(at + SIDE), 1);
#endif
}

/* Rows y and y + 1 of TOGETHER blocks, 8 bytes of each in turn. */
static inline void store_rows(unsigned char *out, size_t step, wide v)
{
#if defined(KERNELS_AVX512)
    v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v);
    _mm256_storeu_si256((void *)out, _mm512_castsi512_si256(v));
    _mm256_storeu_si256((void *)(out + step), _mm512_extracti64x4_epi64(v, 1));
#else
    v = _mm256_permute4x64_epi64(v, 0xd8);
    _mm_storeu_si128((void *)out, _mm256_castsi256_si128(v));
    _mm_storeu_si128((void *)(out + step), _mm256_extracti128_si256(v, 1));
#endif
}

/* Reads and writes as many blocks as fit a vector: the caller has room for them. */
bool kernels_idct(unsigned char *out, size_t step, const int16_t *coefs,
                  const uint16_t *quant, size_t count)
{
    const wide out_of_range = W(set1_epi16)((short)~(2 * LIMIT - 1));
    const wide limit = W(set1_epi16)(LIMIT), centre = W(set1_epi8)((char)0x80);
    wide beyond = W_ZERO;

    for (size_t i = 0; i < count; i += TOGETHER) {
        wide v[SIDE];
        for (size_t r = 0; r < SIDE; r++) {
            const wide coef = load_row(coefs + SCAN_COEFS * i, r);
            const wide by = W_ROW(quant + SIDE * r);
            v[r] = W(mullo_epi16)(coef, by);
            const wide carry = W_XOR(W(mulhi_epi16)(coef, by), W(srai_epi16)(v[r], 15));
            beyond =
                W_OR(beyond, W_OR(carry, W_AND(W(add_epi16)(v[r], limit), out_of_range)));
        }
        pass(v, CONST_BITS - PASS1_BITS);
        transpose(v);
        pass(v, CONST_BITS + PASS1_BITS + 3);
        transpose(v);
        for (size_t y = 0; y < SIDE; y += 2)
            store_rows(out + y * step + SIDE * i, step,
                       W(add_epi8)(W(packs_epi16)(v[y], v[y + 1]), centre));
    }
    return !W_ANY(beyond);
}

#else

static int32_t saturate(int32_t v)
{
    return v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v;
}

static int32_t descale(uint32_t v, int bits)
{
    return saturate((int32_t)(v + (1u << (bits - 1))) >> bits);
}

/* One pass over eight values, `step` apart; sums wrap in 16 bits where those of the SIMD
 * forms do. */
static void pass(int32_t *v, size_t step, int bits)
{
    const int32_t v0 = v[0], v1 = v[step], v2 = v[2 * step], v3 = v[3 * step];
    const int32_t v4 = v[4 * step], v5 = v[5 * step], v6 = v[6 * step], v7 = v[7 * step];
    const int32_t two = v2 * F_0_541 + v6 * (F_0_541 - F_1_847);
    const int32_t three = v2 * (F_0_541 + F_0_765) + v6 * F_0_541;
    const int32_t zero = (int16_t)(v0 + v4) * (1 << CONST_BITS);
    const int32_t one = (int16_t)(v0 - v4) * (1 << CONST_BITS);
    const uint32_t e0 = (uint32_t)zero + (uint32_t)three;
    const uint32_t e3 = (uint32_t)zero - (uint32_t)three;
    const uint32_t e1 = (uint32_t)one + (uint32_t)two;
    const uint32_t e2 = (uint32_t)one - (uint32_t)two;
    const int32_t z3 = (int16_t)(v7 + v3), z4 = (int16_t)(v5 + v1);
    const uint32_t s3 = (uint32_t)(z3 * (F_1_175 - F_1_961) + z4 * F_1_175);
    const uint32_t s4 = (uint32_t)(z3 * F_1_175 + z4 * (F_1_175 - F_0_390));
    const uint32_t o0 = (uint32_t)(v7 * (F_0_298 - F_0_899) - v1 * F_0_899) + s3;
    const uint32_t o3 = (uint32_t)(v1 * (F_1_501 - F_0_899) - v7 * F_0_899) + s4;
    const uint32_t o1 = (uint32_t)(v5 * (F_2_053 - F_2_562) - v3 * F_2_562) + s4;
    const uint32_t o2 = (uint32_t)(v3 * (F_3_072 - F_2_562) - v5 * F_2_562) + s3;

    v[0] = descale(e0 + o3, bits);
    v[7 * step] = descale(e0 - o3, bits);
    v[step] = descale(e1 + o2, bits);
    v[6 * step] = descale(e1 - o2, bits);
    v[2 * step] = descale(e2 + o1, bits);
    v[5 * step] = descale(e2 - o1, bits);
    v[3 * step] = descale(e3 + o0, bits);
    v[4 * step] = descale(e3 - o0, bits);
}

bool kernels_idct(unsigned char *out, size_t step, const int16_t *coefs,
                  const uint16_t *quant, size_t count)
{
    bool good = true;

    for (size_t i = 0; i < count; i++, coefs += SCAN_COEFS, out += SIDE) {
        int32_t v[SCAN_COEFS];
        for (size_t k = 0; k < SCAN_COEFS; k++) {
            v[k] = coefs[k] * quant[k];
            good = good && v[k] >= -LIMIT && v[k] < LIMIT;
        }
        if (!good)
            return false;
        for (size_t x = 0; x < SIDE; x++)
            pass(v + x, SIDE, CONST_BITS - PASS1_BITS);
        for (size_t y = 0; y < SIDE; y++) {
            pass(v + SIDE * y, 1, CONST_BITS + PASS1_BITS + 3);
            for (size_t x = 0; x < SIDE; x++) {
                const int32_t value = v[SIDE * y + x] + 128;
                out[y * step + x] = (unsigned char)(value < 0     ? 0
                                                    : value > 255 ? 255
                                                                  : value);
            }
        }
    }
    return true;
}

#endif

/* ---- reduced sizes ------------------------------------------------------------------- */

/* What one size does alone: the mean. */
static bool means(unsigned char *out, const int16_t *coefs, const uint16_t *quant,
                  size_t count)
{
    bool good = true;

    for (size_t i = 0; i < count; i++) {
        const int32_t v = coefs[SCAN_COEFS * i] * quant[0];
        const int32_t mean = ((v + 4) >> 3) + 128;
        good = good && v >= -LIMIT_SMALL && v <= LIMIT_SMALL;
        out[i] = (unsigned char)(mean < 0 ? 0 : mean > 255 ? 255 : mean);
    }
    return good;
}

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)

/* Eight vectors to four, as pass does to eight. The upper half of v becomes zero. */
static inline void reduce_to_4(wide v[SIDE], int bits)
{
    const halves even = weigh(v[2], v[6], pair(F_1_847, -F_0_765));
    const halves dc = {W(srai_epi32)(W(unpacklo_epi16)(W_ZERO, v[0]), 15 - CONST_BITS),
                       W(srai_epi32)(W(unpackhi_epi16)(W_ZERO, v[0]), 15 - CONST_BITS)};
    const halves inner = plus(weigh(v[7], v[5], pair(-F_0_211, F_1_451)),
                              weigh(v[3], v[1], pair(-F_2_172, F_1_061)));
    const halves outer = plus(weigh(v[7], v[5], pair(-F_0_509, -F_0_601)),
                              weigh(v[3], v[1], pair(F_0_899, F_2_562)));
    const halves sum = plus(dc, even), difference = minus(dc, even);

    v[0] = descale(plus(sum, outer), bits);
    v[3] = descale(minus(sum, outer), bits);
    v[1] = descale(plus(difference, inner), bits);
    v[2] = descale(minus(difference, inner), bits);
    v[4] = v[5] = v[6] = v[7] = W_ZERO;
}

static inline void reduce_to_2(wide v[SIDE], int bits)
{
    const halves dc = {W(srai_epi32)(W(unpacklo_epi16)(W_ZERO, v[0]), 14 - CONST_BITS),
                       W(srai_epi32)(W(unpackhi_epi16)(W_ZERO, v[0]), 14 - CONST_BITS)};
    const halves odd = plus(weigh(v[1], v[3], pair(F_3_624, -F_1_272)),
                            weigh(v[5], v[7], pair(F_0_850, -F_0_720)));

    v[0] = descale(plus(dc, odd), bits);
    v[1] = descale(minus(dc, odd), bits);
    v[2] = v[3] = v[4] = v[5] = v[6] = v[7] = W_ZERO;
}

/* Four rows of up to four words of each block to its 16 bytes. */
static inline wide rows_of_4(const wide v[SIDE])
{
    const wide ab = W(unpacklo_epi16)(v[0], v[1]), cd = W(unpacklo_epi16)(v[2], v[3]);

    return W(add_epi8)(W(packs_epi16)(W(unpacklo_epi32)(ab, cd), W(unpackhi_epi32)(ab, cd)),
                       W(set1_epi8)((char)0x80));
}

/* Reads as many blocks as fit a vector. */
bool kernels_idct_small(unsigned char *out, size_t step, const int16_t *coefs,
                        const uint16_t *quant, size_t count, size_t side)
{
    wide beyond = W_ZERO, most = W_ZERO;

    if (side == 1)
        return means(out, coefs, quant, count);
    for (size_t i = 0; i < count; i += TOGETHER) {
        unsigned char rows[TOGETHER][16];
        wide v[SIDE];
        for (size_t r = 0; r < SIDE; r++) {
            const wide coef = load_row(coefs + SCAN_COEFS * i, r);
            const wide by = W_ROW(quant + SIDE * r);
            v[r] = W(mullo_epi16)(coef, by);
            beyond = W_OR(beyond, W_XOR(W(mulhi_epi16)(coef, by), W(srai_epi16)(v[r], 15)));
            most = W(max_epu16)(most, W(abs_epi16)(v[r]));
        }
        if (side == 4) {
            reduce_to_4(v, CONST_BITS - PASS1_BITS + 1);
            transpose(v);
            reduce_to_4(v, CONST_BITS + PASS1_BITS + 3 + 1);
        } else {
            reduce_to_2(v, CONST_BITS - PASS1_BITS + 2);
            transpose(v);
            reduce_to_2(v, CONST_BITS + PASS1_BITS + 3 + 2);
        }
        const wide bytes = rows_of_4(v);
        memcpy(rows, &bytes, sizeof rows);
        const size_t here = count - i < TOGETHER ? count - i : TOGETHER;
        for (size_t o = 0; o < here; o++) {
            for (size_t y = 0; y < side; y++)
                memcpy(out + y * step + side * (i + o), rows[o] + 4 * y, side);
        }
    }
    beyond = W_OR(beyond, W(subs_epu16)(most, W(set1_epi16)(LIMIT_SMALL)));
    return !W_ANY(beyond);
}

#else

static int32_t rounded(int32_t v, int bits)
{
    return (v + (1 << (bits - 1))) >> bits;
}

static unsigned char sample(int32_t v)
{
    return (unsigned char)(v < -128 ? 0 : v > 127 ? 255 : v + 128);
}

/* Eight values, `step` apart, to four. */
static void reduce_to_4(int32_t out[4], const int32_t *v, size_t step, int bits)
{
    const int32_t v1 = v[step], v3 = v[3 * step], v5 = v[5 * step], v7 = v[7 * step];
    const int32_t even = v[2 * step] * F_1_847 - v[6 * step] * F_0_765;
    const int32_t dc = v[0] * (1 << (CONST_BITS + 1));
    const int32_t inner = -v7 * F_0_211 + v5 * F_1_451 - v3 * F_2_172 + v1 * F_1_061;
    const int32_t outer = -v7 * F_0_509 - v5 * F_0_601 + v3 * F_0_899 + v1 * F_2_562;

    out[0] = rounded(dc + even + outer, bits);
    out[3] = rounded(dc + even - outer, bits);
    out[1] = rounded(dc - even + inner, bits);
    out[2] = rounded(dc - even - inner, bits);
}

static void reduce_to_2(int32_t out[2], const int32_t *v, size_t step, int bits)
{
    const int32_t dc = v[0] * (1 << (CONST_BITS + 2));
    const int32_t odd = v[step] * F_3_624 - v[3 * step] * F_1_272 + v[5 * step] * F_0_850 -
                        v[7 * step] * F_0_720;

    out[0] = rounded(dc + odd, bits);
    out[1] = rounded(dc - odd, bits);
}

/* v: the block's products, natural order. */
static void reduce(unsigned char *out, size_t step, const int32_t *v, size_t side)
{
    const int more = side == 4 ? 1 : 2;
    int32_t kept[4 * SIDE], row[4];

    for (size_t x = 0; x < SIDE; x++) {
        int32_t column[4];
        if (side == 4)
            reduce_to_4(column, v + x, SIDE, CONST_BITS - PASS1_BITS + more);
        else
            reduce_to_2(column, v + x, SIDE, CONST_BITS - PASS1_BITS + more);
        for (size_t y = 0; y < side; y++)
            kept[y * SIDE + x] = column[y];
    }
    for (size_t y = 0; y < side; y++) {
        if (side == 4)
            reduce_to_4(row, kept + y * SIDE, 1, CONST_BITS + PASS1_BITS + 3 + more);
        else
            reduce_to_2(row, kept + y * SIDE, 1, CONST_BITS + PASS1_BITS + 3 + more);
        for (size_t x = 0; x < side; x++)
            out[y * step + x] = sample(row[x]);
    }
}

bool kernels_idct_small(unsigned char *out, size_t step, const int16_t *coefs,
                        const uint16_t *quant, size_t count, size_t side)
{
    if (side == 1)
        return means(out, coefs, quant, count);
    for (size_t i = 0; i < count; i++, coefs += SCAN_COEFS, out += side) {
        int32_t v[SCAN_COEFS];
        bool good = true;
        for (size_t k = 0; k < SCAN_COEFS; k++) {
            v[k] = coefs[k] * quant[k];
            good = good && v[k] >= -LIMIT_SMALL && v[k] <= LIMIT_SMALL;
        }
        if (!good)
            return false;
        reduce(out, step, v, side);
    }
    return true;
}

#endif
