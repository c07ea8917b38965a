/* kernels_pixels.c - the two passes of resizing, and pixels in and out of rows. Compiled
 * once per instruction set (kernels_internal.h). Sums are exact in 32 bits: weights have 22
 * bits of fraction, so products of 16-bit instructions work on two or three digits of a
 * weight. Free to change: everything but the bytes. */
#include "data/kernels_parts_internal.h"

#include <string.h>

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)
#include <immintrin.h>
#endif

enum { LEVELS = 256, PIXEL = 4, RGB = 3 };

/* ---- the horizontal pass ------------------------------------------------------------- */

#if defined(KERNELS_AVX512)

/* Digits of a weight: w = 65536 high + 256 middle + low, each a signed byte. */
static void digits(int8_t digit[3], int32_t weight)
{
    digit[0] = (int8_t)(((weight + 128) & 255) - 128);
    weight = (weight - digit[0]) / 256;
    digit[1] = (int8_t)(((weight + 128) & 255) - 128);
    digit[2] = (int8_t)((weight - digit[1]) / 256);
}

/* [count / 4][groups][digit][output of 4][channel][tap] */
void kernels_pack(void *packed, const int32_t *weight, size_t count, size_t groups)
{
    int8_t *to = packed;

    for (size_t i = 0; i < count; i += 4) {
        for (size_t g = 0; g < groups; g++, to += 192) {
            for (size_t o = 0; o < 4; o++) {
                for (size_t k = 0; k < KERNEL_TAPS; k++) {
                    int8_t digit[3] = {0, 0, 0};
                    if (i + o < count)
                        digits(digit, weight[((i + o) * groups + g) * KERNEL_TAPS + k]);
                    for (size_t d = 0; d < 3; d++) {
                        for (size_t c = 0; c < PIXEL; c++)
                            to[64 * d + 16 * o + 4 * c + k] = digit[d];
                    }
                }
            }
        }
    }
}

static inline __m512i four_rows(const unsigned char *a, const unsigned char *b,
                                const unsigned char *c, const unsigned char *d)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)a));

    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)b), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)c), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)d), 3);
}

/* Three sums by digit to values, not yet clipped. */
static inline __m512i values(__m512i low, __m512i middle, __m512i high)
{
    __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high, 8), middle);

    sum = _mm512_add_epi32(_mm512_slli_epi32(sum, 8), low);
    sum = _mm512_add_epi32(sum, _mm512_set1_epi32(KERNEL_HALF));
    return _mm512_srai_epi32(sum, KERNEL_BITS);
}

void kernels_across(unsigned char *out, const unsigned char *in, const size_t *low,
                    const void *packed, const int32_t *weight, size_t count, size_t groups)
{
    const __m512i by_channel = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i *w = packed;

    (void)weight;
    for (size_t i = 0; i < count; i += 4) {
        const unsigned char *p[4];
        __m512i a = _mm512_setzero_si512(), b = a, c = a;
        for (size_t o = 0; o < 4; o++)
            p[o] = in + PIXEL * low[i + o];
        for (size_t g = 0; g < groups; g++, w += 3) {
            const size_t at = g * KERNEL_TAPS * PIXEL;
            const __m512i v = _mm512_shuffle_epi8(
                four_rows(p[0] + at, p[1] + at, p[2] + at, p[3] + at), by_channel);
            a = _mm512_dpbusd_epi32(a, v, w[0]);
            b = _mm512_dpbusd_epi32(b, v, w[1]);
            c = _mm512_dpbusd_epi32(c, v, w[2]);
        }
        const __m512i v = _mm512_max_epi32(values(a, b, c), _mm512_setzero_si512());
        _mm_storeu_si128((void *)(out + PIXEL * i), _mm512_cvtusepi32_epi8(v));
    }
}

/* Four rows at a time: their bytes become the four of a 32-bit lane. */
void kernels_down(unsigned char *out, const unsigned char *const *rows,
                  const int32_t *weight, size_t taps, size_t bytes)
{
    for (size_t x = 0; x < bytes; x += 64) {
        __m512i sum[3][4];
        for (size_t d = 0; d < 3; d++) {
            for (size_t q = 0; q < 4; q++)
                sum[d][q] = _mm512_setzero_si512();
        }
        for (size_t k = 0; k < taps; k += KERNEL_TAPS) {
            int8_t digit[KERNEL_TAPS][3];
            for (size_t j = 0; j < KERNEL_TAPS; j++)
                digits(digit[j], weight[k + j]);
            const __m512i a = _mm512_loadu_si512(rows[k] + x);
            const __m512i b = _mm512_loadu_si512(rows[k + 1] + x);
            const __m512i c = _mm512_loadu_si512(rows[k + 2] + x);
            const __m512i d = _mm512_loadu_si512(rows[k + 3] + x);
            const __m512i ab[2] = {_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)};
            const __m512i cd[2] = {_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d)};
            for (size_t n = 0; n < 3; n++) {
                int32_t four;
                const int8_t of_rows[4] = {digit[0][n], digit[1][n], digit[2][n],
                                           digit[3][n]};
                memcpy(&four, of_rows, sizeof four);
                const __m512i w = _mm512_set1_epi32(four);
                for (size_t h = 0; h < 2; h++) {
                    sum[n][2 * h] = _mm512_dpbusd_epi32(
                        sum[n][2 * h], _mm512_unpacklo_epi16(ab[h], cd[h]), w);
                    sum[n][2 * h + 1] = _mm512_dpbusd_epi32(
                        sum[n][2 * h + 1], _mm512_unpackhi_epi16(ab[h], cd[h]), w);
                }
            }
        }
        __m512i v[4];
        for (size_t q = 0; q < 4; q++)
            v[q] = values(sum[0][q], sum[1][q], sum[2][q]);
        _mm512_storeu_si512(out + x, _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]),
                                                         _mm512_packs_epi32(v[2], v[3])));
    }
}

#elif defined(KERNELS_AVX2)

enum { LOW_BITS = 12 }; /* of a weight's lower digit; both fit 16 bits */

/* [count][groups]: upper digits of four taps, lower digits, 16 bit. */
void kernels_pack(void *packed, const int32_t *weight, size_t count, size_t groups)
{
    int16_t *to = packed;

    for (size_t i = 0; i < count * groups; i++, to += 2 * KERNEL_TAPS) {
        for (size_t k = 0; k < KERNEL_TAPS; k++) {
            const int32_t w = weight[i * KERNEL_TAPS + k];
            to[k] = (int16_t)(w >> LOW_BITS);
            to[KERNEL_TAPS + k] = (int16_t)(w & ((1 << LOW_BITS) - 1));
        }
    }
}

/* One pixel: sums of taps 0, 1 and of taps 2, 3 beside each other, a channel after the
 * other. */
static inline __m256i pixel_sums(const unsigned char *in, const int16_t *w, size_t groups)
{
    const __m128i by_channel =
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m256i high = _mm256_setzero_si256(), low = high;

    for (size_t g = 0; g < groups; g++, in += KERNEL_TAPS * PIXEL, w += 2 * KERNEL_TAPS) {
        const __m256i v = _mm256_cvtepu8_epi16(
            _mm_shuffle_epi8(_mm_loadu_si128((const void *)in), by_channel));
        const __m256i upper = _mm256_broadcastq_epi64(_mm_loadl_epi64((const void *)w));
        const __m256i lower =
            _mm256_broadcastq_epi64(_mm_loadl_epi64((const void *)(w + KERNEL_TAPS)));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(v, upper));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(v, lower));
    }
    return _mm256_add_epi32(_mm256_slli_epi32(high, LOW_BITS), low);
}

void kernels_across(unsigned char *out, const unsigned char *in, const size_t *low,
                    const void *packed, const int32_t *weight, size_t count, size_t groups)
{
    const int16_t *w = packed;
    const size_t step = groups * 2 * KERNEL_TAPS;
    const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);

    (void)weight;
    for (size_t i = 0; i < count; i += 2, w += 2 * step) {
        const __m256i a = pixel_sums(in + PIXEL * low[i], w, groups);
        const __m256i b = pixel_sums(in + PIXEL * low[i + 1], w + step, groups);
        __m256i v = _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(a, b), order);
        v = _mm256_add_epi32(v, _mm256_set1_epi32(KERNEL_HALF));
        v = _mm256_srai_epi32(v, KERNEL_BITS);
        const __m128i words =
            _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        _mm_storel_epi64((void *)(out + PIXEL * i), _mm_packus_epi16(words, words));
    }
}

/* Pairs of rows, 16 bytes of them. */
static inline void pair_sums(__m256i high[2], __m256i low[2], const unsigned char *a,
                             const unsigned char *b, const int32_t *weight)
{
    const __m128i va = _mm_loadu_si128((const void *)a);
    const __m128i vb = _mm_loadu_si128((const void *)b);
    const int32_t mask = (1 << LOW_BITS) - 1;
    const __m256i upper =
        _mm256_set1_epi32((int32_t)((uint32_t)(weight[1] >> LOW_BITS) << 16 |
                                    ((uint32_t)(weight[0] >> LOW_BITS) & 0xffff)));
    const __m256i lower = _mm256_set1_epi32((weight[1] & mask) << 16 | (weight[0] & mask));
    const __m256i v[2] = {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(va, vb)),
                          _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(va, vb))};

    for (size_t h = 0; h < 2; h++) {
        high[h] = _mm256_add_epi32(high[h], _mm256_madd_epi16(v[h], upper));
        low[h] = _mm256_add_epi32(low[h], _mm256_madd_epi16(v[h], lower));
    }
}

void kernels_down(unsigned char *out, const unsigned char *const *rows,
                  const int32_t *weight, size_t taps, size_t bytes)
{
    for (size_t x = 0; x < bytes; x += 16) {
        __m256i high[2], low[2], v[2];
        for (size_t h = 0; h < 2; h++)
            high[h] = low[h] = _mm256_setzero_si256();
        for (size_t k = 0; k < taps; k += 2)
            pair_sums(high, low, rows[k] + x, rows[k + 1] + x, weight + k);
        for (size_t h = 0; h < 2; h++) {
            v[h] = _mm256_add_epi32(_mm256_slli_epi32(high[h], LOW_BITS), low[h]);
            v[h] = _mm256_add_epi32(v[h], _mm256_set1_epi32(KERNEL_HALF));
            v[h] = _mm256_srai_epi32(v[h], KERNEL_BITS);
        }
        const __m256i words =
            _mm256_permute4x64_epi64(_mm256_packs_epi32(v[0], v[1]), 0xd8);
        _mm_storeu_si128((void *)(out + x),
                         _mm_packus_epi16(_mm256_castsi256_si128(words),
                                          _mm256_extracti128_si256(words, 1)));
    }
}

#else

enum { PART = 256 }; /* values of a row summed at a time, in the first-level cache */

static unsigned char clip(int32_t sum)
{
    const int32_t value = sum >> KERNEL_BITS; /* arithmetic, as every compiler does it */

    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void kernels_pack(void *packed, const int32_t *weight, size_t count, size_t groups)
{
    (void)packed; /* the plain loop takes the weights as they are */
    (void)weight;
    (void)count;
    (void)groups;
}

void kernels_across(unsigned char *out, const unsigned char *in, const size_t *low,
                    const void *packed, const int32_t *weight, size_t count, size_t groups)
{
    const size_t taps = groups * KERNEL_TAPS;

    (void)packed;
    for (size_t i = 0; i < count; i++, weight += taps) {
        const unsigned char *p = in + PIXEL * low[i];
        int32_t red = KERNEL_HALF, green = KERNEL_HALF, blue = KERNEL_HALF;
        for (size_t k = 0; k < taps; k++) {
            red += p[PIXEL * k] * weight[k];
            green += p[PIXEL * k + 1] * weight[k];
            blue += p[PIXEL * k + 2] * weight[k];
        }
        out[PIXEL * i] = clip(red);
        out[PIXEL * i + 1] = clip(green);
        out[PIXEL * i + 2] = clip(blue);
        out[PIXEL * i + 3] = 0;
    }
}

void kernels_down(unsigned char *out, const unsigned char *const *rows,
                  const int32_t *weight, size_t taps, size_t bytes)
{
    int32_t sum[PART];

    for (size_t x = 0; x < bytes; x += PART) {
        const size_t count = bytes - x < PART ? bytes - x : PART;
        for (size_t i = 0; i < count; i++)
            sum[i] = KERNEL_HALF;
        for (size_t k = 0; k < taps; k += 2) {
            const unsigned char *a = rows[k] + x, *b = rows[k + 1] + x;
            const int32_t wa = weight[k], wb = weight[k + 1];
            for (size_t i = 0; i < count; i++)
                sum[i] += a[i] * wa + b[i] * wb;
        }
        for (size_t i = 0; i < count; i++)
            out[x + i] = clip(sum[i]);
    }
}

#endif

/* ---- pixels -------------------------------------------------------------------------- */

void kernels_pack_rgb(unsigned char *out, const unsigned char *in, size_t count, bool flip)
{
    size_t i = 0;

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)
    const __m128i straight =
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const __m128i mirrored =
        _mm_setr_epi8(12, 13, 14, 8, 9, 10, 4, 5, 6, 0, 1, 2, -1, -1, -1, -1);
    const __m128i order = flip ? mirrored : straight;

    for (; i + 6 <= count; i += 4) { /* 16 bytes are written, 12 of them count */
        const unsigned char *from = in + PIXEL * (flip ? count - 4 - i : i);
        _mm_storeu_si128((void *)(out + RGB * i),
                         _mm_shuffle_epi8(_mm_loadu_si128((const void *)from), order));
    }
#endif
    for (; i < count; i++) {
        const unsigned char *from = in + PIXEL * (flip ? count - 1 - i : i);
        out[RGB * i] = from[0];
        out[RGB * i + 1] = from[1];
        out[RGB * i + 2] = from[2];
    }
}

void kernels_unpack_rgb(unsigned char *out, const unsigned char *in, size_t count)
{
    size_t i = 0;

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)
    const __m128i order =
        _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);

    for (; i + 6 <= count; i += 4)
        _mm_storeu_si128(
            (void *)(out + PIXEL * i),
            _mm_shuffle_epi8(_mm_loadu_si128((const void *)(in + RGB * i)), order));
#endif
    for (; i < count; i++) {
        out[PIXEL * i] = in[RGB * i];
        out[PIXEL * i + 1] = in[RGB * i + 1];
        out[PIXEL * i + 2] = in[RGB * i + 2];
        out[PIXEL * i + 3] = 0;
    }
}

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)

/* x / by for by > 0, given inverse = 1 / by: right to the bit for the values it was tried
 * on (Markstein 1990: one correction by the remainder). */
static inline __m256 divide(__m256 x, __m256 by, __m256 inverse)
{
    const __m256 q = _mm256_mul_ps(x, inverse);

    return _mm256_fmadd_ps(_mm256_fnmadd_ps(q, by, x), inverse, q);
}

static inline void eight(float *to, __m128i bytes, float mean, float std)
{
    const __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    const __m256 unit = divide(v, _mm256_set1_ps(255.0f), _mm256_set1_ps(1.0f / 255.0f));
    const __m256 centred = _mm256_sub_ps(unit, _mm256_set1_ps(mean));

    _mm256_storeu_ps(to, divide(centred, _mm256_set1_ps(std), _mm256_set1_ps(1.0f / std)));
}

size_t kernels_normalise(float *planes, size_t plane, const unsigned char *rgb,
                         size_t count, const float mean[3], const float std[3])
{
    /* byte i of channel c lies at 3 i + c of the 48: what each third gives, and where */
    static const int8_t from[3][3][16] = {
        {{0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13}},
        {{1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14}},
        {{2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15}},
    };
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
        __m128i part[3];
        for (size_t t = 0; t < 3; t++)
            part[t] = _mm_loadu_si128((const void *)(rgb + RGB * i + 16 * t));
        for (size_t c = 0; c < 3; c++) {
            __m128i bytes = _mm_setzero_si128();
            for (size_t t = 0; t < 3; t++)
                bytes = _mm_or_si128(
                    bytes,
                    _mm_shuffle_epi8(part[t], _mm_loadu_si128((const void *)from[c][t])));
            eight(planes + c * plane + i, bytes, mean[c], std[c]);
            eight(planes + c * plane + i + 8, _mm_srli_si128(bytes, 8), mean[c], std[c]);
        }
    }
    return i;
}

#else

size_t kernels_normalise(float *planes, size_t plane, const unsigned char *rgb,
                         size_t count, const float mean[3], const float std[3])
{
    (void)planes; /* by table */
    (void)plane;
    (void)rgb;
    (void)count;
    (void)mean;
    (void)std;
    return 0;
}

#endif
