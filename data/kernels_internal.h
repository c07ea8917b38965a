/* kernels_internal.h - the inner loops of decoding and resizing. The files kernels_*.c are
 * compiled once per instruction set; kernels_select.c picks one set at run time. Every set
 * gives the same bytes: sums are of integers, and the few float operations are exact by
 * check (data_normaliser_make).
 *
 * Rows on their way are RGBX: four bytes a pixel, the last without meaning. */
#ifndef DATA_KERNELS_INTERNAL_H
#define DATA_KERNELS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KERNEL_BITS = 32 - 8 - 2, /* of a weight's fraction; two bits for overshoot and sign */
    KERNEL_HALF = 1 << (KERNEL_BITS - 1),
    KERNEL_SLACK = 64, /* bytes behind a row that kernels may read */
    KERNEL_TAPS = 4,   /* weights come in groups of four, filled up with zeros */
    KERNEL_PACKED = 48 /* bytes that a group of weights may take when packed */
};

/* ---- entropy-coded JPEG data --------------------------------------------------------- */

enum {
    SCAN_LOOK_DC = 9, /* the same of a DC table, for codes alone */
    SCAN_LOOK = 11,   /* bits that one look into a table resolves */
    SCAN_PAD = 512,   /* zeros behind the data: no block is longer */
    SCAN_COEFS = 64,  /* of a block */
    SCAN_COMPONENTS = 3
};

/* What the next SCAN_LOOK bits hold: up to two coefficients with their values, so that a
 * step of the loop costs one load. Fields from bit 0, where a shift finds its count without
 * further ado: bits used 8, zeros before 8, step to the second coefficient 8 (0: there is
 * none, then both values are the same), bits of the first alone 7, slow 1, value 16, second
 * value 16. */
enum {
    ENTRY_RUN = 8,
    ENTRY_STEP = 16,
    ENTRY_FIRST = 24,
    ENTRY_SLOW = 31, /* the value, or the code itself, is longer; value: the symbol */
    ENTRY_VALUE = 32,
    ENTRY_SECOND = 48,
    ENTRY_END = 128 /* as a run: the end of the block */
};

/* One Huffman table, DC or AC. */
typedef struct scan_table {
    uint64_t entry[1 << SCAN_LOOK];
    unsigned char bits[17]; /* codes of each length, as in the file */
    unsigned char symbol[256];
    size_t symbols;
    uint32_t limit[18]; /* of each length: first 16-bit code that is longer */
    int32_t offset[17]; /* of each length: code to number of symbol */
    bool ac, made;
} scan_table;

/* One component of the scan. */
typedef struct scan_component {
    const scan_table *dc, *ac;
    size_t across, down; /* blocks in an MCU */
    bool dc_only;        /* of kept blocks, all that is wanted */
    int dc_limit;        /* |DC| beyond is left to libjpeg */
    int last_dc;
    /* [down][row_blocks + 1][64], natural order, from MCU `first` on: a spare block ends
     * each row */
    int16_t *coefs;
    size_t row_blocks;
} scan_component;

typedef struct scan_state {
    const unsigned char *at, *end; /* unstuffed data, SCAN_PAD zeros behind end */
    uint64_t bits;
    unsigned have;
    scan_component part[SCAN_COMPONENTS];
    size_t parts;
    size_t first; /* MCU of the row whose coefficients come first */
    bool keep;    /* or they are only passed over */
} scan_state;

/* ---- the table ----------------------------------------------------------------------- */

typedef struct data_kernels {
    const char *isa;

    /* Weights of one axis, [count][groups * KERNEL_TAPS], for across. packed [(count
     * rounded up to 4) * groups * KERNEL_PACKED], 64-byte aligned. */
    void (*pack)(void *packed, const int32_t *weight, size_t count, size_t groups);
    /* out [count] pixels; pixel i is the sum over groups * KERNEL_TAPS pixels of in from
     * low[i]. Up to 3 pixels more are written. */
    void (*across)(unsigned char *out, const unsigned char *in, const size_t *low,
                   const void *packed, const int32_t *weight, size_t count, size_t groups);
    /* out [bytes] from rows [taps], taps a multiple of KERNEL_TAPS; KERNEL_SLACK more may
     * be read and written. */
    void (*down)(unsigned char *out, const unsigned char *const *rows,
                 const int32_t *weight, size_t taps, size_t bytes);
    /* RGB [count] from RGBX, mirrored with flip; and back. */
    void (*pack_rgb)(unsigned char *out, const unsigned char *in, size_t count, bool flip);
    void (*unpack_rgb)(unsigned char *out, const unsigned char *in, size_t count);
    /* planes [3], plane values apart, from the first pixels of rgb [count]: (v / 255 -
     * mean) / std by products and a correction; data_normalise checks that they are the
     * table's. Returns how many pixels it did. */
    size_t (*normalise)(float *planes, size_t plane, const unsigned char *rgb, size_t count,
                        const float mean[3], const float std[3]);

    /* Blocks beside each other: coefs [count][64] times quant [64] to bytes [8][step].
     * False: a product is beyond +-8191, which no encoder makes of 8-bit samples. */
    bool (*idct)(unsigned char *out, size_t step, const int16_t *coefs,
                 const uint16_t *quant, size_t count);
    /* The same to side x side pixels a block, side 4, 2 or 1 (libjpeg's jidctred.c). */
    bool (*idct_small)(unsigned char *out, size_t step, const int16_t *coefs,
                       const uint16_t *quant, size_t count, size_t side);
    /* Chroma to twice its columns, fancy (libjpeg's h2v1): out [2 * count] from in [-1 ..
     * count]. */
    void (*double_row)(unsigned char *out, const unsigned char *in, size_t count);
    /* The same from two rows, near and far (h2v2). near, far [-1 .. count]. */
    void (*double_rows)(unsigned char *out, const unsigned char *near,
                        const unsigned char *far, size_t count);
    void (*ycc_rgbx)(unsigned char *out, const unsigned char *y, const unsigned char *cb,
                     const unsigned char *cr, size_t count);
    /* mcus of one row. False: not a clean stream. */
    bool (*scan)(scan_state *state, size_t from, size_t mcus);
} data_kernels;

/* The best set for this processor. Safe from several threads. */
const data_kernels *data_kernels_get(void);
/* Set i as this processor can run it, NULL beyond the last: tests compare them. */
const data_kernels *data_kernels_at(size_t i);

#endif
