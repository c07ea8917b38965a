/* layout_internal.h - weights in the layouts that oneDNN's blocked kernels read without
 * copying, in blocks of 16 rows of words of 32 bits,
 *   [columns / width][rows / 16][16][width]
 * with rows and columns filled up with zeros; oneDNN calls them BA16a<width>b in fp32, and
 * BA16a<width>b2a in bf16, where a word is a pair of rows' numbers, as VDPBF16PS takes
 * them. W^T is a transpose of words, W in bf16 a zip of its rows. Included by kernels.c
 * alone. */
#ifdef __AVX512BW__
#include <immintrin.h>
#endif

enum { PAIRS = 16, PAIR_ROWS = 2 * PAIRS, WORDS = 16 };
/* A number of fp32 or two of bf16, whatever type the memory had before. */
typedef uint32_t __attribute__((__may_alias__)) word;

/* to [n] = two rows' numbers, the second row's above; NULL: zeros */
static inline void zip(word *to, const uint16_t *a, const uint16_t *b, size_t n)
{
    if (!b) {
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            to[i] = a[i];
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        to[i] = (uint32_t)a[i] | (uint32_t)b[i] << 16;
}

/* to [16, ldt] = from [16, ldf] transposed, words; rows of to begin at multiples of 64
 * bytes. Past the caches: much is read before these words are. After the last of them:
 * turned_fence. */
static inline void turn_words(word *to, size_t ldt, const word *from, size_t ldf)
{
#ifdef __AVX512BW__
    __m512i a[WORDS], b[WORDS];

    for (size_t i = 0; i < WORDS; i++)
        a[i] = _mm512_loadu_si512(from + i * ldf);
    for (size_t i = 0; i < WORDS; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (size_t i = 0; i < WORDS; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    /* a[4 g + j]: lane l holds column 4 l + j of rows 4 g .. 4 g + 3 */
    for (size_t j = 0; j < 4; j++) {
        const __m512i x = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88);
        const __m512i y = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xdd);
        const __m512i z = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
        const __m512i w = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xdd);
        _mm512_stream_si512((void *)(to + j * ldt), _mm512_shuffle_i32x4(x, z, 0x88));
        _mm512_stream_si512((void *)(to + (8 + j) * ldt), _mm512_shuffle_i32x4(x, z, 0xdd));
        _mm512_stream_si512((void *)(to + (4 + j) * ldt), _mm512_shuffle_i32x4(y, w, 0x88));
        _mm512_stream_si512((void *)(to + (12 + j) * ldt),
                            _mm512_shuffle_i32x4(y, w, 0xdd));
    }
#else
    for (size_t i = 0; i < WORDS; i++)
        for (size_t j = 0; j < WORDS; j++)
            to[j * ldt + i] = from[i * ldf + j];
#endif
}

static inline void turned_fence(void)
{
#ifdef __AVX512BW__
    _mm_sfence();
#endif
}

/* One block of 32 rows: to [columns / width], `step` numbers apart, each [16][width][2]. */
static void pair_block(uint16_t *to, size_t step, const uint16_t *from, size_t ld,
                       size_t rows, size_t columns, size_t width)
{
    for (size_t c = 0; c < columns; c += width, to += step) {
        const size_t wide = columns - c < width ? columns - c : width;
        word *out = (word *)to;

        if (wide < width || rows < PAIR_ROWS)
            memset(out, 0, PAIRS * width * sizeof *out);
        for (size_t p = 0; 2 * p < rows; p++) {
            const uint16_t *a = from + 2 * p * ld + c;
            zip(out + p * width, a, 2 * p + 1 < rows ? a + ld : NULL, wide);
        }
    }
}

/* Numbers of a tile's row, a multiple of every width. */
enum { TILE = 256 };

/* 32 rows of a weight W [out, in], from row `first`, a multiple of 32, to their places in
 * both paired forms: forward is W^T (in rows, out columns), backward W (out rows, in
 * columns). NULL: not wanted. */
static void bf16_pack_rows(void *forward, void *backward, const float *w, size_t first,
                           size_t out, size_t in, size_t width_forward,
                           size_t width_backward)
{
    const size_t rows = first >= out              ? 0
                        : out - first < PAIR_ROWS ? out - first
                                                  : PAIR_ROWS;
    const size_t columns =
        forward ? (out + width_forward - 1) / width_forward * width_forward : 0;
    const size_t in_blocks = (in + PAIR_ROWS - 1) / PAIR_ROWS;
    const size_t out_blocks = (out + PAIR_ROWS - 1) / PAIR_ROWS;
    _Alignas(64) uint16_t tile[PAIR_ROWS * TILE];

    for (size_t c = 0; c < in; c += TILE) {
        const size_t wide = in - c < TILE ? in - c : TILE;
        const size_t full = (wide + PAIR_ROWS - 1) / PAIR_ROWS * PAIR_ROWS;

        if (rows < PAIR_ROWS || wide < full)
            memset(tile, 0, sizeof tile);
        for (size_t r = 0; r < rows; r++)
            bf16_round(tile + r * TILE, 1.0f, w + (first + r) * in + c, wide);
        /* block of 32 inputs k, column block of these rows: words [16][width] */
        for (size_t n = 0; n < PAIR_ROWS && first + n < columns; n += WORDS) {
            const size_t row = first + n;
            word *at = (word *)forward +
                       row / width_forward * in_blocks * PAIRS * width_forward +
                       row % width_forward;
            for (size_t k = 0; k < full; k += PAIR_ROWS)
                turn_words(at + (c + k) / PAIR_ROWS * PAIRS * width_forward, width_forward,
                           (const word *)(tile + n * TILE + k), TILE / 2);
        }
        if (backward && rows > 0)
            pair_block((uint16_t *)backward +
                           (c / width_backward * out_blocks + first / PAIR_ROWS) *
                               PAIR_ROWS * width_backward,
                       out_blocks * PAIR_ROWS * width_backward, tile, TILE, rows, wide,
                       width_backward);
    }
    turned_fence();
}

/* The same in fp32, W^T alone. */
static void fp32_pack_rows(void *forward, void *backward, const float *w, size_t first,
                           size_t out, size_t in, size_t width, size_t width_backward)
{
    const size_t columns = (out + width - 1) / width * width;
    const size_t blocks = (in + WORDS - 1) / WORDS;
    word tile[WORDS * WORDS];

    (void)backward;
    (void)width_backward;
    for (size_t row = first; row < first + PAIR_ROWS && row < columns; row += WORDS) {
        const size_t rows = row >= out ? 0 : out - row < WORDS ? out - row : WORDS;
        word *at = (word *)forward + row / width * blocks * WORDS * width + row % width;

        for (size_t b = 0; b < blocks; b++, at += WORDS * width) {
            const size_t k = b * WORDS, wide = in - k < WORDS ? in - k : WORDS;
            if (rows == WORDS && wide == WORDS) {
                turn_words(at, width, (const word *)(w + row * in + k), in);
                continue;
            }
            memset(tile, 0, sizeof tile);
            for (size_t r = 0; r < rows; r++)
                memcpy(tile + r * WORDS, w + (row + r) * in + k, wide * sizeof *w);
            turn_words(at, width, tile, WORDS);
        }
    }
    turned_fence();
}
