/* jpeg_internal.h - between jpeg.c (rows) and header.c. */
#ifndef DATA_DECODE_QUICK_INTERNAL_H
#define DATA_DECODE_QUICK_INTERNAL_H

#include "data/decode/decode_internal.h"

enum { QUICK_TABLES = 4 };

typedef struct quick_room {
    unsigned char *at;
    size_t bytes;
} quick_room;

struct decode_quick {
    /* the file */
    const unsigned char *bytes, *data_start, *next;
    size_t size;
    size_t width, height;
    size_t across, down;          /* luma samples to one of chroma, 1 or 2 */
    size_t mcus;                  /* of a row */
    size_t side[SCAN_COMPONENTS]; /* pixels a block becomes, 8 at full scale */
    size_t up_across, up_down;    /* how much chroma is doubled, 1 or 2 */
    size_t first, kept;           /* of them: those whose pixels are wanted */
    size_t restart;               /* interval in MCUs, 0: none */
    size_t restart_left;
    unsigned restart_next;
    uint16_t quant[SCAN_COMPONENTS][SCAN_COEFS]; /* natural order */
    scan_state scan;
    /* Huffman tables by class and number, kept as long as files bring the same. */
    scan_table table[2][QUICK_TABLES];

    quick_room data; /* the scan without stuffing */
    quick_room work; /* coefficients, planes, rows */
    unsigned char *plane[SCAN_COMPONENTS];
    size_t step[SCAN_COMPONENTS];
    unsigned char *up[2]; /* chroma at full width */
    unsigned char *row;
};

/* The table of a DHT segment: counts of codes by length, symbols. False: not a prefix code
 * that libjpeg takes. */
bool data_quick_table_make(scan_table *table, const unsigned char bits[17],
                           const unsigned char *symbols, bool ac);

#endif
