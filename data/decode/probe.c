/* probe.c - what the header of an image file says, without decoding it: for `vmoe data`,
 * which tells how many pictures of a set are grey, CMYK, progressive, turned by EXIF. Takes
 * any bytes and no memory. Free to change: all of it; decoding does not depend on it. */
#include "data/data.h"

#include <string.h>

/* Big-endian 16 bits, as JPEG and PNG have them. */
static size_t big2(const unsigned char *at)
{
    return (size_t)at[0] << 8 | at[1];
}

static size_t big4(const unsigned char *at)
{
    return big2(at) << 16 | big2(at + 2);
}

/* ---- EXIF ---------------------------------------------------------------------------- */

/* A number of 2 or 4 bytes in TIFF's order ("II": little, else big). */
static size_t tiff(const unsigned char *at, size_t bytes, bool little)
{
    size_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[little ? bytes - 1 - i : i];
    return value;
}

/* Tag 0x0112 of the first directory (TIFF 6.0, EXIF 2.3 section 4.6.4): 1..8, 0: none. */
static int exif_orientation(const unsigned char *bytes, size_t size)
{
    enum { ORIENTATION = 0x0112, SHORT = 3, ENTRY_BYTES = 12 };
    const bool little = size > 0 && bytes[0] == 'I';

    if (size < 8 || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M') ||
        tiff(bytes + 2, 2, little) != 42)
        return 0;
    const size_t at = tiff(bytes + 4, 4, little);
    if (at > size - 2)
        return 0;
    const size_t entries = tiff(bytes + at, 2, little), left = size - at - 2;
    for (size_t i = 0; i < entries && (i + 1) * ENTRY_BYTES <= left; i++) {
        const unsigned char *entry = bytes + at + 2 + i * ENTRY_BYTES;
        const size_t value = tiff(entry + 8, 2, little);
        if (tiff(entry, 2, little) == ORIENTATION && tiff(entry + 2, 2, little) == SHORT)
            return value >= 1 && value <= 8 ? (int)value : 0;
    }
    return 0;
}

/* ---- JPEG ---------------------------------------------------------------------------- */

/* Markers of ITU-T T.81, table B.1. */
enum {
    START_OF_FRAME = 0xc0, /* to 0xcf, but for the next three */
    HUFFMAN_TABLES = 0xc4,
    EXTENSION = 0xc8,
    ARITHMETIC = 0xcc,
    RESTART = 0xd0, /* to 0xd7 */
    START = 0xd8,
    END = 0xd9,
    SCAN = 0xda,
    EXIF = 0xe1,
    TEMPORARY = 0x01
};

static bool is_frame(unsigned marker)
{
    return marker >= START_OF_FRAME && marker <= 0xcf && marker != HUFFMAN_TABLES &&
           marker != EXTENSION && marker != ARITHMETIC;
}

/* SOF's contents: precision, height, width, components. */
static bool read_frame(data_about *out, unsigned marker, const unsigned char *at,
                       size_t bytes)
{
    if (bytes < 6)
        return false;
    out->bits = at[0];
    out->height = big2(at + 1);
    out->width = big2(at + 3);
    out->components = at[5];
    out->progressive = marker == 0xc2 || marker == 0xc6 || marker == 0xca || marker == 0xce;
    return true;
}

static bool probe_jpeg(data_about *out, const unsigned char *bytes, size_t size)
{
    size_t at = 2;

    out->format = DATA_FORMAT_JPEG;
    while (at < size) {
        /* Whatever lies before a marker is passed over, as decoders do. */
        while (at < size && bytes[at] != 0xff)
            at++;
        while (at < size && bytes[at] == 0xff)
            at++;
        if (at >= size)
            return false;
        const unsigned marker = bytes[at++];
        if (marker == 0 || marker == TEMPORARY || (marker >= RESTART && marker < START))
            continue;
        if (marker == START || marker == END || marker == SCAN || size - at < 2)
            return false; /* before any frame */
        const size_t length = big2(bytes + at);
        if (length < 2 || length > size - at)
            return false;
        if (is_frame(marker))
            return read_frame(out, marker, bytes + at + 2, length - 2);
        if (marker == EXIF && length >= 8 && memcmp(bytes + at + 2, "Exif\0", 6) == 0 &&
            out->orientation == 0)
            out->orientation = exif_orientation(bytes + at + 8, length - 8);
        at += length;
    }
    return false;
}

/* ---- PNG ----------------------------------------------------------------------------- */

/* IHDR (PNG specification, 11.2.2). */
static bool probe_png(data_about *out, const unsigned char *bytes, size_t size)
{
    static const int components[7] = {1, 0, 3, 3, 2, 0, 4}; /* by colour type */

    out->format = DATA_FORMAT_PNG;
    if (size < 33 || memcmp(bytes + 12, "IHDR", 4) != 0 || bytes[25] > 6)
        return false;
    out->width = big4(bytes + 16);
    out->height = big4(bytes + 20);
    out->bits = bytes[24];
    out->components = components[bytes[25]];
    out->palette = bytes[25] == 3;
    out->progressive = bytes[28] == 1;
    return out->components > 0;
}

bool data_probe(data_about *out, const unsigned char *bytes, size_t size)
{
    *out = (data_about){.format = DATA_FORMAT_OTHER};
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return probe_jpeg(out, bytes, size);
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return probe_png(out, bytes, size);
    return false;
}
