/* rows_internal.h - rows moved, not computed with: strided rows copied, matrices
 * transposed. Included by kernels.c once per kind of operand, after kernels_operand.h, with
 * the same OPERAND and NAME and with LANE, the operands in 16 bytes.
 *
 * Vectors of 16 bytes in the compiler's own notation, for no loop of plain C becomes the
 * shuffles that a transposition needs; wider ones gain nothing, since columns part ways
 * when they are stored. */

#if LANE == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif

typedef OPERAND NAME(vector) __attribute__((vector_size(16)));

static inline void NAME(merge)(NAME(vector) b[LANE], const NAME(vector) a[LANE])
{
    for (size_t i = 0; i < LANE / 2; i++) {
        b[2 * i] = __builtin_shufflevector(a[i], a[i + LANE / 2], LOW);
        b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + LANE / 2], HIGH);
    }
}

/* Merging rows i and i + LANE / 2 number by number, log2 LANE times, transposes the square
 * (Stone 1971, "Parallel processing with the perfect shuffle"). */
static inline void NAME(transpose_square)(OPERAND *to, size_t ld_to, const OPERAND *from,
                                          size_t ld_from)
{
    NAME(vector) a[LANE], b[LANE];

    for (size_t i = 0; i < LANE; i++)
        memcpy(&a[i], from + i * ld_from, sizeof a[i]);
    NAME(merge)(b, a);
    NAME(merge)(a, b);
#if LANE == 8
    NAME(merge)(b, a);
#define LAST b
#else
#define LAST a
#endif
    for (size_t i = 0; i < LANE; i++)
        memcpy(to + i * ld_to, &LAST[i], sizeof LAST[i]);
#undef LAST
}

/* By columns of a cache line. The last squares of either direction overlap those before
 * them. */
static void NAME(transpose)(void *out, size_t ld_to, const void *in, size_t ld_from,
                            size_t rows, size_t n)
{
    OPERAND *to = out;
    const OPERAND *from = in;

    if (rows < LANE || n < LANE) {
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < n; i++)
                to[i * ld_to + r] = from[r * ld_from + i];
        return;
    }
    for (size_t line = 0; line < n; line += 4 * LANE) {
        const size_t end = line + 4 * LANE < n ? line + 4 * LANE : n;

        for (size_t j = 0; j < rows; j += LANE) {
            const size_t r = j + LANE <= rows ? j : rows - LANE;

            for (size_t i = line; i < end; i += LANE) {
                const size_t c = i + LANE <= n ? i : n - LANE;
                NAME(transpose_square)
                (to + c * ld_to + r, ld_to, from + r * ld_from + c, ld_from);
            }
        }
    }
}

/* By cache lines, the last one of a row overlapping that before it. */
static void NAME(copy)(void *out, size_t ld_to, const void *in, size_t ld_from, size_t rows,
                       size_t n)
{
    enum { LINE = 64 / sizeof(OPERAND) };

    for (size_t r = 0; r < rows; r++) {
        OPERAND *to = (OPERAND *)out + r * ld_to;
        const OPERAND *from = (const OPERAND *)in + r * ld_from;

        if (n < LINE) {
            memcpy(to, from, n * sizeof *to);
            continue;
        }
        for (size_t i = 0; i < n; i += LINE) {
            const size_t c = i + LINE <= n ? i : n - LINE;
            memcpy(to + c, from + c, 64);
        }
    }
}

#undef LOW
#undef HIGH
