/* kernels_scan.c - the entropy-coded part of a baseline JPEG (ITU-T T.81, annex F): most of
 * the time of decoding a photograph goes here. Compiled once per instruction set, for the
 * shifts of BMI2. The chain from one code to the next is what costs, so a look into the
 * table of 2^SCAN_LOOK entries resolves up to two coefficients with their values. Only
 * clean streams: anything else is left to libjpeg. */
#include "data/kernels_parts_internal.h"

#include <string.h>

enum { BITS_MOST = 64, LOOKS = 4 /* between refills: 4 * SCAN_LOOK <= 56 */ };

/* Zigzag to natural order; what runs beyond the block goes to index 64, its spare. */
#define SPARE_8 64, 64, 64, 64, 64, 64, 64, 64
#define SPARE_64 SPARE_8, SPARE_8, SPARE_8, SPARE_8, SPARE_8, SPARE_8, SPARE_8, SPARE_8
static const unsigned char natural[256] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11,       4,        5,       12,
    19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21,       28,       35,      42,
    49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,       58,       59,      52,
    45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63, SPARE_64, SPARE_64, SPARE_64};

/* The stream in registers. */
typedef struct reader {
    const unsigned char *at;
    uint64_t bits; /* the next ones from the top */
    unsigned have; /* of them, at least 56 after refill */
} reader;

static inline void refill(reader *r)
{
    uint64_t next;

    memcpy(&next, r->at, sizeof next);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    next = __builtin_bswap64(next);
#endif
    r->bits |= next >> r->have;
    r->at += (BITS_MOST - 1 - r->have) >> 3;
    r->have |= 56;
}

static inline void use(reader *r, unsigned count)
{
    r->bits <<= count;
    r->have -= count;
}

/* A code longer than SCAN_LOOK, or one whose value is: the symbol, -1 for none. Refills. */
static inline int slow_symbol(reader *r, const scan_table *table, uint64_t entry)
{
    const unsigned known = (unsigned)entry & 63;

    refill(r);
    if (known > 0) {
        use(r, known);
        return (int)(entry >> ENTRY_VALUE & 255);
    }
    const uint32_t code = (uint32_t)(r->bits >> 48);
    unsigned length = 1;
    while (code >= table->limit[length])
        length++;
    if (length > 16)
        return -1;
    use(r, length);
    return table->symbol[(int32_t)(code >> (16 - length)) + table->offset[length]];
}

/* The value of size bits, 0..15 (T.81, F.2.2.1). */
static inline int value(reader *r, unsigned size)
{
    const int v = (int)(r->bits >> 1 >> (BITS_MOST - 1 - size));
    const int span = (int)(1u << size) - 1;

    use(r, size);
    return 2 * v <= span ? v - span : v;
}

/* In two steps, as the sizes of differences are too even to guess which are short. */
static inline bool dc_value(reader *r, scan_component *part)
{
    const uint64_t entry = part->dc->entry[r->bits >> (BITS_MOST - SCAN_LOOK_DC)];
    unsigned size = (unsigned)(entry >> ENTRY_VALUE) & 15;

    if (entry >> ENTRY_SLOW & 1) {
        const int symbol = slow_symbol(r, part->dc, entry);
        if (symbol < 0)
            return false;
        size = (unsigned)symbol;
    } else {
        use(r, (unsigned)entry & 63);
    }
    part->last_dc += value(r, size);
    return part->last_dc <= part->dc_limit && part->last_dc >= -part->dc_limit;
}

/* coefs: zeros; one more value may be written behind. Not kept: only passed over. Made
 * twice by the compiler, hence the constant keep. */
static inline __attribute__((always_inline)) bool block(reader *r, scan_component *part,
                                                        int16_t *coefs, const bool keep)
{
    const uint64_t *table = part->ac->entry;
    unsigned k = 1, first = 0;
    uint64_t entry, before;

    refill(r);
    if (!dc_value(r, part))
        return false;
    for (;;) {
        refill(r);
        for (int i = 0; i < LOOKS; i++) {
            before = r->bits;
            entry = table[before >> (BITS_MOST - SCAN_LOOK)];
            if (entry >> ENTRY_SLOW & 1)
                break;
            use(r, (unsigned)entry & 63);
            first = k + ((unsigned)(entry >> ENTRY_RUN) & 255);
            k = first + ((unsigned)(entry >> ENTRY_STEP) & 255);
            if (keep) {
                coefs[natural[first]] = (int16_t)(entry >> ENTRY_VALUE);
                coefs[natural[k]] = (int16_t)(entry >> ENTRY_SECOND);
            }
            k++;
            if (k >= SCAN_COEFS)
                goto end;
        }
        if (!(entry >> ENTRY_SLOW & 1))
            continue;
        const int symbol = slow_symbol(r, part->ac, entry);
        if (symbol < 0)
            return false;
        const unsigned size = (unsigned)symbol & 15, run = (unsigned)symbol >> 4;
        if (size == 0 && run != 15)
            return true;
        first = k + run;
        if (first >= SCAN_COEFS)
            return false;
        if (keep)
            coefs[natural[first]] = (int16_t)value(r, size);
        else
            use(r, size);
        k = first + 1;
        if (k == SCAN_COEFS)
            return true;
    }
end:
    if (first == SCAN_COEFS - 1) { /* a second coefficient belongs to the next block */
        const unsigned used = (unsigned)entry & 63;
        const unsigned own = (unsigned)(entry >> ENTRY_FIRST) & 127;
        r->bits = before << own;
        r->have += used - own;
        return true;
    }
    /* Full, or ended: by the second entry after a coefficient inside, or by the first. */
    return k == SCAN_COEFS || (k > ENTRY_END && (first < SCAN_COEFS || first > ENTRY_END));
}

/* MCU m of the row, its coefficients kept or not. */
static inline __attribute__((always_inline)) bool mcu(reader *r, scan_state *state,
                                                      size_t m, const bool keep)
{
    for (size_t p = 0; p < state->parts; p++) {
        scan_component *part = &state->part[p];
        const size_t across = part->across;
        for (size_t v = 0; v < part->down; v++) {
            for (size_t h = 0; h < across; h++) {
                int16_t *coefs = part->coefs;
                bool good = r->at <= state->end + sizeof(uint64_t);
                if (keep) {
                    const size_t column = (m - state->first) * across + h;
                    coefs += (v * (part->row_blocks + 1) + column) * SCAN_COEFS;
                }
                if (keep && !part->dc_only) {
                    memset(coefs, 0, SCAN_COEFS * sizeof *coefs);
                    good = good && block(r, part, coefs, true);
                } else {
                    good = good && block(r, part, coefs, false);
                }
                if (!good)
                    return false;
                if (keep)
                    coefs[0] = (int16_t)part->last_dc;
            }
        }
    }
    return true;
}

bool kernels_scan(scan_state *state, size_t from, size_t mcus)
{
    const bool keep = state->keep;
    reader r = {state->at, state->bits, state->have};

    for (size_t m = from; m < from + mcus; m++) {
        if (!(keep ? mcu(&r, state, m, true) : mcu(&r, state, m, false)))
            return false;
    }
    state->at = r.at;
    state->bits = r.bits;
    state->have = r.have;
    return true;
}

/* ---- the table of this set ----------------------------------------------------------- */

extern const data_kernels DATA_KERNELS_SET;
const data_kernels DATA_KERNELS_SET = {
    .isa = DATA_KERNELS_ISA,
    .pack = kernels_pack,
    .across = kernels_across,
    .down = kernels_down,
    .pack_rgb = kernels_pack_rgb,
    .unpack_rgb = kernels_unpack_rgb,
    .normalise = kernels_normalise,
    .idct = kernels_idct,
    .idct_small = kernels_idct_small,
    .double_row = kernels_double_row,
    .double_rows = kernels_double_rows,
    .ycc_rgbx = kernels_ycc_rgbx,
    .scan = kernels_scan,
};
