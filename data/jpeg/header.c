/* header.c - which JPEGs jpeg.c decodes, and their tables (ITU-T T.81,
 * annexes B and C; colours as libjpeg's default_decompress_parms). Anything unusual is
 * refused: libjpeg knows what to do, and what to call it. */
#include "data/jpeg/jpeg_internal.h"

#include <string.h>

enum {
    SIDE = 8,
    LEFT = 1 << SCAN_LOOK,
    MARKER_SOF0 = 0xc0,
    MARKER_SOF1 = 0xc1,
    MARKER_DHT = 0xc4,
    MARKER_SOS = 0xda,
    MARKER_DQT = 0xdb,
    MARKER_DRI = 0xdd,
    MARKER_APP0 = 0xe0,
    MARKER_APP14 = 0xee,
    MARKER_APP15 = 0xef,
    MARKER_COM = 0xfe,
    MOST_SIZE = 15 /* bits of a value */
};

/* ---- Huffman tables ------------------------------------------------------------------ */

/* One symbol without a second. */
static uint64_t single(int v, unsigned used, unsigned run)
{
    return (uint64_t)used | (uint64_t)run << ENTRY_RUN | (uint64_t)used << ENTRY_FIRST |
           (uint64_t)(uint16_t)v << ENTRY_VALUE | (uint64_t)(uint16_t)v << ENTRY_SECOND;
}

static uint64_t slow(unsigned symbol, unsigned length)
{
    return (uint64_t)length | (uint64_t)1 << ENTRY_SLOW | (uint64_t)symbol << ENTRY_VALUE;
}

/* All entries that begin with the code. */
static void place_code(scan_table *t, unsigned code, unsigned length, unsigned symbol)
{
    const unsigned size = symbol & 15, run = symbol >> 4;
    const unsigned spare = SCAN_LOOK - length; /* bits behind the code */
    uint64_t *entry = t->entry + ((size_t)code << spare);

    if (size > spare) {
        for (size_t i = 0; i < (size_t)1 << spare; i++)
            entry[i] = slow(symbol, length);
        return;
    }
    const unsigned rest = spare - size;
    for (int v = 0; v < 1 << size; v++) {
        const int span = (1 << size) - 1;
        const int value = 2 * v <= span ? v - span : v;
        const unsigned zeros = size == 0 && run != 15 ? (unsigned)ENTRY_END : run;
        const uint64_t one = single(value, length + size, zeros);
        for (size_t i = 0; i < (size_t)1 << rest; i++)
            *entry++ = one;
    }
}

/* A DC code: its value follows in a second step. */
static void place_dc_code(scan_table *t, unsigned code, unsigned length, unsigned size)
{
    const unsigned spare = SCAN_LOOK_DC - length;
    uint64_t *entry = t->entry + ((size_t)code << spare);

    for (size_t i = 0; i < (size_t)1 << spare; i++)
        entry[i] = (uint64_t)length | (uint64_t)size << ENTRY_VALUE;
}

/* Where two coefficients fit one look, the entry gives both. */
static void place_pairs(scan_table *t)
{
    uint64_t first[LEFT]; /* the single symbols */

    memcpy(first, t->entry, sizeof first);
    for (size_t i = 0; i < LEFT; i++) {
        const uint64_t e = first[i];
        const unsigned used = (unsigned)e & 63;
        if (e >> ENTRY_SLOW & 1 || (e >> ENTRY_RUN & 255) == ENTRY_END)
            continue;
        const uint64_t next = first[i << used & (LEFT - 1)];
        const unsigned both = used + ((unsigned)next & 63);
        if (next >> ENTRY_SLOW & 1 || both > SCAN_LOOK)
            continue;
        const uint64_t step = (next >> ENTRY_RUN & 255) + 1, low = 0xffff;
        t->entry[i] = both | (e & (uint64_t)255 << ENTRY_RUN) | step << ENTRY_STEP |
                      (uint64_t)used << ENTRY_FIRST | (e & low << ENTRY_VALUE) |
                      (next & low << ENTRY_SECOND);
    }
}

bool data_quick_table_make(scan_table *t, const unsigned char bits[17],
                           const unsigned char *symbols, bool ac)
{
    size_t total = 0;
    uint32_t code = 0;

    for (size_t l = 1; l <= 16; l++)
        total += bits[l];
    if (total > 256)
        return false;
    if (t->made && t->ac == ac && t->symbols == total &&
        memcmp(t->bits, bits, sizeof t->bits) == 0 &&
        memcmp(t->symbol, symbols, total) == 0)
        return true;
    t->made = false;
    t->ac = ac;
    t->symbols = total;
    memcpy(t->bits, bits, sizeof t->bits);
    memcpy(t->symbol, symbols, total);
    for (size_t i = 0; i < (size_t)1 << (ac ? SCAN_LOOK : SCAN_LOOK_DC); i++)
        t->entry[i] = slow(0, 0);
    size_t n = 0;
    for (unsigned l = 1; l <= 16; l++, code <<= 1) {
        t->offset[l] = (int32_t)n - (int32_t)code;
        for (size_t k = 0; k < bits[l]; k++, n++, code++) {
            if (!ac && symbols[n] > MOST_SIZE)
                return false;
            if (code >= 1u << l)
                return false;
            if (ac && l <= SCAN_LOOK)
                place_code(t, code, l, symbols[n]);
            else if (!ac && l <= SCAN_LOOK_DC)
                place_dc_code(t, code, l, symbols[n]);
        }
        if (code > 1u << l)
            return false;
        t->limit[l] = code << (16 - l);
    }
    t->limit[17] = UINT32_MAX;
    if (ac)
        place_pairs(t);
    t->made = true;
    return true;
}

/* ---- segments ------------------------------------------------------------------------ */

/* What the header has said so far. */
typedef struct header {
    uint16_t quant[QUICK_TABLES][SCAN_COEFS];
    bool quant_seen[QUICK_TABLES], table_seen[2][QUICK_TABLES];
    bool jfif, adobe, frame;
    unsigned transform; /* of Adobe */
    size_t parts;
    unsigned char id[SCAN_COMPONENTS], quant_of[SCAN_COMPONENTS];
    unsigned char across[SCAN_COMPONENTS], down[SCAN_COMPONENTS];
} header;

static size_t two(const unsigned char *at)
{
    return (size_t)at[0] << 8 | at[1];
}

static bool quantisers(header *h, const unsigned char *at, size_t size)
{
    static const unsigned char natural[SCAN_COEFS] = {
        0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
        12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
        35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
        58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

    for (; size > 0; at += 1 + SCAN_COEFS, size -= 1 + SCAN_COEFS) {
        if (size < 1 + SCAN_COEFS || at[0] >= QUICK_TABLES) /* 8 bit alone */
            return false;
        for (size_t k = 0; k < SCAN_COEFS; k++) {
            h->quant[at[0]][natural[k]] = at[1 + k];
            if (at[1 + k] == 0)
                return false;
        }
        h->quant_seen[at[0]] = true;
    }
    return true;
}

static bool tables(decode_quick *q, header *h, const unsigned char *at, size_t size)
{
    while (size > 0) {
        unsigned char bits[17] = {0};
        size_t total = 0;
        if (size < 17 || at[0] >> 4 > 1 || (at[0] & 15) >= QUICK_TABLES)
            return false;
        for (size_t l = 1; l <= 16; l++) {
            bits[l] = at[l];
            total += at[l];
        }
        const size_t class = at[0] >> 4, number = at[0] & 15;
        if (total > 256 || size < 17 + total ||
            !data_quick_table_make(&q->table[class][number], bits, at + 17, class == 1))
            return false;
        h->table_seen[class][number] = true;
        at += 17 + total;
        size -= 17 + total;
    }
    return true;
}

static bool frame(decode_quick *q, header *h, const unsigned char *at, size_t size)
{
    if (h->frame || size < 6 || at[0] != 8)
        return false;
    q->height = two(at + 1);
    q->width = two(at + 3);
    h->parts = at[5];
    if (q->height == 0 || q->width == 0 || (h->parts != 1 && h->parts != 3) ||
        size != 6 + 3 * h->parts)
        return false;
    for (size_t p = 0; p < h->parts; p++) {
        const unsigned char *part = at + 6 + 3 * p;
        h->id[p] = part[0];
        h->across[p] = part[1] >> 4;
        h->down[p] = part[1] & 15;
        h->quant_of[p] = part[2];
        if (part[2] >= QUICK_TABLES || h->across[p] < 1 || h->across[p] > 4 ||
            h->down[p] < 1 || h->down[p] > 4)
            return false;
    }
    h->frame = true;
    return true;
}

/* Grey, or YCbCr beyond doubt, its chroma in a form that is upsampled here. */
static bool colours(decode_quick *q, const header *h)
{
    if (h->parts == 1) {
        q->across = q->down = 1;
        return true;
    }
    const bool usual = h->id[0] == 1 && h->id[1] == 2 && h->id[2] == 3;
    if (!h->jfif && (h->adobe ? h->transform != 1 : !usual))
        return false;
    for (size_t p = 1; p < SCAN_COMPONENTS; p++) {
        if (h->across[p] != 1 || h->down[p] != 1)
            return false;
    }
    q->across = h->across[0];
    q->down = h->down[0];
    /* libjpeg does without fancy upsampling where a row has two samples of chroma or
     * less */
    return (q->across == 1 && q->down == 1) ||
           (q->across == 2 && q->down <= 2 && (q->width + 1) / 2 > 2);
}

/* The one scan: all components, all coefficients. */
static bool scan(decode_quick *q, const header *h, const unsigned char *at, size_t size)
{
    if (!h->frame || size != 4 + 2 * h->parts || at[0] != h->parts || !colours(q, h))
        return false;
    const unsigned char *end = at + 1 + 2 * h->parts;
    if (end[0] != 0 || end[1] != 63 || end[2] != 0)
        return false;
    q->scan.parts = h->parts;
    for (size_t p = 0; p < h->parts; p++) {
        const unsigned char *part = at + 1 + 2 * p;
        const size_t dc = part[1] >> 4, ac = part[1] & 15, quant = h->quant_of[p];
        if (part[0] != h->id[p] || dc >= QUICK_TABLES || ac >= QUICK_TABLES ||
            !h->table_seen[0][dc] || !h->table_seen[1][ac] || !h->quant_seen[quant])
            return false;
        memcpy(q->quant[p], h->quant[quant], sizeof q->quant[p]);
        q->scan.part[p] = (scan_component){
            .dc = &q->table[0][dc],
            .ac = &q->table[1][ac],
            .across = p == 0 ? q->across : 1,
            .down = p == 0 ? q->down : 1,
            .dc_limit = 8191 / q->quant[p][0],
        };
    }
    q->mcus = (q->width + SIDE * q->across - 1) / (SIDE * q->across);
    return true;
}

static bool application(header *h, unsigned marker, const unsigned char *at, size_t size)
{
    if (marker == MARKER_APP0 && size >= 14 && memcmp(at, "JFIF", 5) == 0) {
        h->jfif = true;
        return at[5] == 1; /* other versions are odd */
    }
    if (marker == MARKER_APP14 && size >= 12 && memcmp(at, "Adobe", 5) == 0) {
        h->adobe = true;
        h->transform = at[11];
    }
    return true;
}

bool data_decode_quick_open(size_t *width, size_t *height, decode_quick *q,
                            const unsigned char *bytes, size_t size)
{
    header h = {0};
    size_t at = 2;

    q->bytes = bytes;
    q->size = size;
    q->restart = 0;
    while (at + 4 <= size) {
        const unsigned marker = bytes[at + 1];
        if (bytes[at] != 0xff)
            return false;
        if (marker == 0xff) { /* filling */
            at++;
            continue;
        }
        const size_t length = two(bytes + at + 2);
        if (length < 2 || length > size - at - 2)
            return false;
        const unsigned char *body = bytes + at + 4;
        bool good = marker == MARKER_COM;
        if (marker == MARKER_DQT)
            good = quantisers(&h, body, length - 2);
        else if (marker == MARKER_DHT)
            good = tables(q, &h, body, length - 2);
        else if (marker == MARKER_SOF0 || marker == MARKER_SOF1)
            good = frame(q, &h, body, length - 2);
        else if (marker >= MARKER_APP0 && marker <= MARKER_APP15)
            good = application(&h, marker, body, length - 2);
        else if (marker == MARKER_DRI && length == 4) {
            q->restart = two(body);
            good = true;
        }
        at += 2 + length;
        if (marker == MARKER_SOS) {
            q->data_start = bytes + at;
            *width = q->width;
            *height = q->height;
            return scan(q, &h, body, length - 2);
        }
        if (!good)
            return false;
    }
    return false;
}
