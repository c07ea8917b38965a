/* kernels_colour.c - from samples to RGB as libjpeg-turbo does it: fancy upsampling of
 * chroma (jdsample.c) and YCbCr to RGB in 16-bit fixed point (jdcolor.c), to the byte.
 * Compiled once per instruction set (kernels_internal.h). */
#include "data/kernels_parts_internal.h"

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)
#include <immintrin.h>
#endif

/* jdsample.c: three quarters of the nearer sample, one of the further; 1 and 2 are added
 * before the shift in turn. */
void kernels_double_row(unsigned char *out, const unsigned char *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int three = 3 * in[i];
        out[2 * i] = (unsigned char)((three + in[(ptrdiff_t)i - 1] + 1) >> 2);
        out[2 * i + 1] = (unsigned char)((three + in[i + 1] + 2) >> 2);
    }
}

#if defined(KERNELS_AVX512) || defined(KERNELS_AVX2)

/* 3 near + far of 16 columns. */
static inline __m256i column_sums(const unsigned char *near, const unsigned char *far)
{
    const __m256i n = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)near));
    const __m256i f = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)far));

    return _mm256_add_epi16(_mm256_add_epi16(n, f), _mm256_add_epi16(n, n));
}

/* Reads KERNEL_SLACK behind, writes up to 30 bytes more. */
void kernels_double_rows(unsigned char *out, const unsigned char *near,
                         const unsigned char *far, size_t count)
{
    for (size_t i = 0; i < count; i += 16) {
        const __m256i own = column_sums(near + i, far + i);
        const __m256i left = column_sums(near + i - 1, far + i - 1);
        const __m256i right = column_sums(near + i + 1, far + i + 1);
        const __m256i three = _mm256_add_epi16(own, _mm256_add_epi16(own, own));
        const __m256i even = _mm256_srli_epi16(
            _mm256_add_epi16(_mm256_add_epi16(three, left), _mm256_set1_epi16(8)), 4);
        const __m256i odd = _mm256_srli_epi16(
            _mm256_add_epi16(_mm256_add_epi16(three, right), _mm256_set1_epi16(7)), 4);
        _mm256_storeu_si256((void *)(out + 2 * i),
                            _mm256_or_si256(even, _mm256_slli_epi16(odd, 8)));
    }
}

/* (v * factor + 32768) >> 16 */
static inline __m256i share(__m256i v, short factor)
{
    const __m256i twice =
        _mm256_mulhi_epi16(_mm256_add_epi16(v, v), _mm256_set1_epi16(factor));

    return _mm256_srai_epi16(_mm256_add_epi16(twice, _mm256_set1_epi16(1)), 1);
}

/* Reads and writes KERNEL_SLACK more. */
void kernels_ycc_rgbx(unsigned char *out, const unsigned char *y, const unsigned char *cb,
                      const unsigned char *cr, size_t count)
{
    const __m256i centre = _mm256_set1_epi16(128);
    /* 0.34414 and 0.71414 - 1 in 16 bits */
    const __m256i green = _mm256_set1_epi32((int)(18734u << 16 | (uint16_t)-22554));
    const __m256i half = _mm256_set1_epi32(1 << 15);

    for (size_t i = 0; i < count; i += 16) {
        const __m256i l = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(y + i)));
        const __m256i b = _mm256_sub_epi16(
            _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(cb + i))), centre);
        const __m256i r = _mm256_sub_epi16(
            _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(cr + i))), centre);
        const __m256i red =
            _mm256_add_epi16(_mm256_add_epi16(l, r), share(r, 26345)); /* 1.402 */
        const __m256i blue = _mm256_add_epi16(_mm256_add_epi16(l, _mm256_add_epi16(b, b)),
                                              share(b, -14942)); /* 1.772 */
        const __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(b, r), green);
        const __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(b, r), green);
        const __m256i both =
            _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(low, half), 16),
                               _mm256_srai_epi32(_mm256_add_epi32(high, half), 16));
        const __m256i g = _mm256_add_epi16(_mm256_sub_epi16(l, r), both);
        /* in each 128-bit lane: 8 red, 8 blue; 8 green, 8 of nothing */
        const __m256i rb = _mm256_packus_epi16(red, blue);
        const __m256i gx = _mm256_packus_epi16(g, g);
        const __m256i rg = _mm256_unpacklo_epi8(rb, gx);
        const __m256i bx = _mm256_unpackhi_epi8(rb, gx);
        const __m256i first = _mm256_unpacklo_epi16(rg, bx);
        const __m256i second = _mm256_unpackhi_epi16(rg, bx);
        _mm256_storeu_si256((void *)(out + 4 * i),
                            _mm256_permute2x128_si256(first, second, 0x20));
        _mm256_storeu_si256((void *)(out + 4 * i + 32),
                            _mm256_permute2x128_si256(first, second, 0x31));
    }
}

#else

void kernels_double_rows(unsigned char *out, const unsigned char *near,
                         const unsigned char *far, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned char *n = near + i, *f = far + i;
        const int own = 3 * (3 * n[0] + f[0]);
        out[2 * i] = (unsigned char)((own + 3 * n[-1] + f[-1] + 8) >> 4);
        out[2 * i + 1] = (unsigned char)((own + 3 * n[1] + f[1] + 7) >> 4);
    }
}

static unsigned char clip(int v)
{
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void kernels_ycc_rgbx(unsigned char *out, const unsigned char *y, const unsigned char *cb,
                      const unsigned char *cr, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int b = cb[i] - 128, r = cr[i] - 128;
        out[4 * i] = clip(y[i] + ((91881 * r + 32768) >> 16));
        out[4 * i + 1] = clip(y[i] + ((-22554 * b - 46802 * r + 32768) >> 16));
        out[4 * i + 2] = clip(y[i] + ((116130 * b + 32768) >> 16));
        out[4 * i + 3] = 0;
    }
}

#endif
