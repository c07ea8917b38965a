/* jpeg.c - clean baseline JPEGs, without libjpeg: its entropy decoder takes two
 * thirds of the time of a photograph, ours (kernels_scan.c) half of that, and only the
 * blocks that are wanted see the inverse DCT. The pixels are libjpeg-turbo's to the byte
 * (ISLOW, fancy upsampling). Follows ITU-T T.81, and libjpeg in what colours mean.
 *
 * What is decoded here: 8-bit Huffman sequential files of one interleaved scan, grey or
 * YCbCr with 4:4:4, 4:2:2 or 4:2:0 chroma, restart markers or none, where every marker is
 * in its place. All else, and all damage, is libjpeg's (decode/jpeg.c), who also judges it:
 * a file gives the same verdict by both ways. Headers in header.c. */
#include "data/jpeg/jpeg_internal.h"

#include <string.h>

enum {
    SIDE = 8,     /* of a block */
    TOGETHER = 8, /* MCUs decoded before their inverse DCT */
    VECTOR = 4,   /* blocks that the inverse DCT takes at once, at most */
    EDGE = 64,    /* bytes before a row of a plane, for its neighbours on the left */
    MORE = 128,   /* and behind */
    CENTRE = 128
};

/* ---- memory -------------------------------------------------------------------------- */

base_status data_decode_quick_create(decode_quick **out, base_error *err)
{
    *out = base_alloc(1, sizeof **out);
    return *out ? BASE_OK
                : base_fail(err, BASE_NO_MEMORY, "no memory for an image decoder");
}

void data_decode_quick_destroy(decode_quick *q)
{
    if (!q)
        return;
    base_free(q->data.at);
    base_free(q->work.at);
    base_free(q);
}

static bool reserve(quick_room *room, size_t bytes)
{
    size_t more = 1 << 14;

    if (bytes <= room->bytes)
        return true;
    while (more < bytes && more <= SIZE_MAX / 2)
        more *= 2;
    if (more < bytes)
        return false;
    unsigned char *at = base_alloc(more, 1);
    if (!at)
        return false;
    base_free(room->at);
    *room = (quick_room){at, more};
    return true;
}

/* ---- the entropy-coded data ---------------------------------------------------------- */

/* The data up to the next marker, without the zeros behind FF, becomes the scan's. False:
 * there is no marker. */
static bool next_segment(decode_quick *q)
{
    const unsigned char *from = q->next, *end = q->bytes + q->size;
    unsigned char *to = q->data.at;

    for (;;) {
        const unsigned char *ff = memchr(from, 0xff, (size_t)(end - from));
        if (!ff || ff + 1 >= end)
            return false;
        const size_t count = (size_t)(ff - from);
        memcpy(to, from, count);
        to += count;
        if (ff[1] != 0) {
            q->next = ff;
            break;
        }
        *to++ = 0xff;
        from = ff + 2;
    }
    memset(to, 0, SCAN_PAD);
    q->scan.at = q->data.at;
    q->scan.end = to;
    q->scan.bits = 0;
    q->scan.have = 0;
    return true;
}

/* Bits of the segment that are left; negative: more were taken than there are. */
static ptrdiff_t bits_left(const scan_state *scan)
{
    return 8 * (scan->end - scan->at) + (ptrdiff_t)scan->have;
}

/* The segment is used up but for the filling of its last byte. */
static bool segment_ends(const decode_quick *q)
{
    const ptrdiff_t left = bits_left(&q->scan);

    return left >= 0 && left < 8;
}

/* The marker that must stand here, after fill bytes FF. */
static bool expect_marker(decode_quick *q, unsigned char marker)
{
    const unsigned char *end = q->bytes + q->size;

    while (q->next + 1 < end && q->next[0] == 0xff && q->next[1] == 0xff)
        q->next++;
    if (q->next + 1 >= end || q->next[0] != 0xff || q->next[1] != marker)
        return false;
    q->next += 2;
    return true;
}

/* The next count MCUs, from column `from` of a row; their coefficients are kept or not.
 * Restart intervals end where they want. */
static bool scan_mcus(decode_quick *q, size_t from, size_t count, bool keep,
                      const data_kernels *kernels)
{
    const size_t end = from + count;

    q->scan.first = from;
    q->scan.keep = keep;
    while (from < end) {
        size_t now = end - from;
        if (q->restart > 0) {
            if (q->restart_left == 0) {
                if (!segment_ends(q) ||
                    !expect_marker(q, (unsigned char)(0xd0 + q->restart_next)) ||
                    !next_segment(q))
                    return false;
                q->restart_next = (q->restart_next + 1) & 7;
                q->restart_left = q->restart;
                for (size_t p = 0; p < q->scan.parts; p++)
                    q->scan.part[p].last_dc = 0;
            }
            now = now < q->restart_left ? now : q->restart_left;
            q->restart_left -= now;
        }
        if (!kernels->scan(&q->scan, from, now) || bits_left(&q->scan) < 0)
            return false;
        from += now;
    }
    return true;
}

/* ---- from blocks to rows ------------------------------------------------------------- */

/* Where the pieces of q->work lie. */
typedef struct layout {
    size_t bytes;
    size_t coefs[SCAN_COMPONENTS], plane[SCAN_COMPONENTS];
    size_t up[2], row;
} layout;

static size_t piece(layout *l, size_t bytes)
{
    const size_t at = l->bytes;

    l->bytes += (bytes + 63) / 64 * 64;
    return at;
}

/* Coefficients of a few MCUs, planes of two rows of them, and rows on their way. */
static bool make_room(decode_quick *q, size_t width)
{
    layout l = {0};

    for (size_t p = 0; p < q->scan.parts; p++) {
        scan_component *part = &q->scan.part[p];
        part->row_blocks = part->across * TOGETHER;
        part->dc_only = q->side[p] == 1;
        q->step[p] = EDGE + part->across * q->kept * q->side[p] + MORE;
        l.coefs[p] =
            piece(&l, (part->row_blocks + 1) * part->down * SCAN_COEFS * sizeof(int16_t));
        l.plane[p] = piece(&l, 2 * q->side[p] * part->down * q->step[p] + EDGE);
    }
    for (size_t i = 0; i < 2; i++)
        l.up[i] = piece(&l, width + 2 * MORE);
    l.row = piece(&l, 4 * (width + 2 * MORE));
    if (!reserve(&q->work, l.bytes))
        return false;
    for (size_t p = 0; p < q->scan.parts; p++) {
        q->scan.part[p].coefs = (void *)(q->work.at + l.coefs[p]);
        q->plane[p] = q->work.at + l.plane[p] + EDGE;
    }
    q->up[0] = q->work.at + l.up[0];
    q->up[1] = q->work.at + l.up[1];
    q->row = q->work.at + l.row;
    if (q->scan.parts == 1) /* no colour */
        memset(q->up[0], CENTRE, width + MORE);
    return true;
}

/* Row y of a component's plane, which holds two rows of MCUs. */
static unsigned char *plane_row(const decode_quick *q, size_t p, size_t y)
{
    const size_t rows = 2 * q->side[p] * q->scan.part[p].down;

    return q->plane[p] + y % rows * q->step[p];
}

/* The coefficients of count MCUs from column `from` of row m to the planes. */
static bool transform(decode_quick *q, size_t m, size_t from, size_t count,
                      const data_kernels *kernels)
{
    for (size_t p = 0; p < q->scan.parts; p++) {
        const scan_component *part = &q->scan.part[p];
        const size_t side = q->side[p];
        const size_t column = (from - q->first) * part->across * side;
        for (size_t v = 0; v < part->down; v++) {
            int16_t *coefs = part->coefs + v * (part->row_blocks + 1) * SCAN_COEFS;
            unsigned char *to = plane_row(q, p, (m * part->down + v) * side) + column;
            const size_t blocks = part->across * count;
            /* what a vector of blocks reads behind the last */
            memset(coefs + blocks * SCAN_COEFS, 0,
                   (VECTOR - blocks % VECTOR) % VECTOR * SCAN_COEFS * sizeof *coefs);
            if (side < SIDE
                    ? !kernels->idct_small(to, q->step[p], coefs, q->quant[p], blocks, side)
                    : !kernels->idct(to, q->step[p], coefs, q->quant[p], blocks))
                return false;
        }
    }
    return true;
}

/* Chroma's edges to their neighbours outside of the picture. */
static void spread_edges(decode_quick *q, size_t m)
{
    const size_t first = q->first * SIDE, columns = (q->width + 1) / 2;

    for (size_t p = 1; p < q->scan.parts && q->up_across == 2; p++) {
        for (size_t y = m * SIDE; y < (m + 1) * SIDE; y++) {
            unsigned char *row = plane_row(q, p, y);
            if (first == 0)
                row[-1] = row[0];
            if (columns - first <= q->kept * SIDE)
                row[columns - first] = row[columns - first - 1];
        }
    }
}

/* Row m of MCUs into the planes, what is kept of it. last: nothing more is read. */
static bool decode_mcu_row(decode_quick *q, size_t m, bool last,
                           const data_kernels *kernels)
{
    const size_t end = q->first + q->kept;

    if (!scan_mcus(q, 0, q->first, false, kernels))
        return false;
    /* A few at a time: their coefficients stay in the first-level cache. */
    for (size_t at = q->first; at < end; at += TOGETHER) {
        const size_t count = end - at < TOGETHER ? end - at : TOGETHER;
        if (!scan_mcus(q, at, count, true, kernels) || !transform(q, m, at, count, kernels))
            return false;
    }
    spread_edges(q, m);
    return last || scan_mcus(q, end, q->mcus - end, false, kernels);
}

/* Row y of the picture to the one who wants it. */
static void hand_out(decode_quick *q, size_t y, const decode_want *want,
                     const data_kernels *kernels)
{
    const size_t first = want->left / q->up_across; /* chroma column */
    const size_t count = (want->left + want->width - 1) / q->up_across - first + 1;
    const unsigned char *chroma[2] = {q->up[0], q->up[0]};
    const unsigned char *luma =
        plane_row(q, 0, y) + want->left - q->first * q->side[0] * q->across;

    for (size_t p = 1; p < q->scan.parts; p++) {
        const size_t skip = first - q->first * q->side[p];
        unsigned char *up = q->up[p - 1];
        chroma[p - 1] = up + want->left % q->up_across;
        if (q->up_down == 2) {
            const size_t rows = (q->height + 1) / 2, near = y / 2;
            const size_t far = y % 2 == 0 ? (near > 0 ? near - 1 : 0)
                                          : (near + 1 < rows ? near + 1 : near);
            kernels->double_rows(up, plane_row(q, p, near) + skip,
                                 plane_row(q, p, far) + skip, count);
        } else if (q->up_across == 2) {
            kernels->double_row(up, plane_row(q, p, y) + skip, count);
        } else {
            chroma[p - 1] = plane_row(q, p, y) + skip;
        }
    }
    kernels->ycc_rgbx(q->row, luma, chroma[0], chroma[1], want->width);
    want->take(want->user, q->row);
}

/* How large blocks become, and how much chroma is left to be doubled: at a scale its blocks
 * are as large as they can (libjpeg's jdmaster.c). False: not done here. */
static bool choose_sides(decode_quick *q, unsigned eighths)
{
    const bool full = eighths == SIDE;

    if (!full && q->across != q->down)
        return false;
    q->side[0] = eighths;
    q->side[1] = q->side[2] = full ? SIDE : eighths * q->across;
    q->up_across = full ? q->across : 1;
    q->up_down = full ? q->down : 1;
    return true;
}

bool data_decode_quick_rows(const decode_want *want, decode_quick *q,
                            const data_kernels *kernels)
{
    if (!choose_sides(q, want->eighths))
        return false;
    const size_t high = q->side[0] * q->down, wide = q->side[0] * q->across; /* of an MCU */
    const size_t reach = q->up_down == 2 ? 2 : 0, aside = q->up_across == 2 ? 2 : 0;
    const size_t last_column = want->left + want->width - 1 + aside;
    const size_t last_row = want->top + want->height - 1 + reach;
    const size_t rows = (q->height + SIDE * q->down - 1) / (SIDE * q->down);
    const size_t top = want->top > reach ? want->top - reach : 0;
    const size_t left = want->left > aside ? want->left - aside : 0;
    size_t y = want->top;

    q->first = left / wide;
    const size_t last = last_column / wide < q->mcus ? last_column / wide : q->mcus - 1;
    q->kept = last - q->first + 1;
    q->next = q->data_start;
    q->restart_left = q->restart;
    q->restart_next = 0;
    for (size_t p = 0; p < q->scan.parts; p++)
        q->scan.part[p].last_dc = 0;
    if (!make_room(q, want->width) || !reserve(&q->data, q->size + SCAN_PAD) ||
        !next_segment(q))
        return false;
    for (size_t m = 0; m < rows; m++) {
        const bool wanted = m >= top / high && m <= last_row / high;
        if (m > last_row / high && !want->whole)
            return true;
        if (!wanted) {
            if (!scan_mcus(q, 0, q->mcus, false, kernels))
                return false;
            continue;
        }
        if (!decode_mcu_row(q, m, !want->whole && (m == last_row / high || m + 1 == rows),
                            kernels))
            return false;
        /* The last row of an MCU waits for the chroma below, but at the end. */
        const size_t ready =
            q->up_down == 2 && m + 1 < rows ? (m + 1) * high - 1 : (m + 1) * high;
        for (; y < ready && y < want->top + want->height; y++)
            hand_out(q, y, want, kernels);
    }
    return !want->whole || (segment_ends(q) && expect_marker(q, 0xd9));
}
