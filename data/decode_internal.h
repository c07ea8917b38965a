/* decode_internal.h - what decode.c and the two codecs share. A codec gets bytes whose
 * signature was recognised, decodes them to 8-bit RGB and judges them by the rules of
 * data.md 5. */
#ifndef DATA_DECODE_INTERNAL_H
#define DATA_DECODE_INTERNAL_H

#include "data/data.h"

/* The longest side that any image may have: libjpeg's own limit (JPEG_MAX_DIMENSION). */
#define DECODE_MAX_SIDE 65500

/* What is wrong with an image that is used all the same. Longer texts are cut. */
typedef struct decode_note {
    data_health health;
    char text[256];
} decode_note;

/* The text without health: sets both. Later notes of the same or a lesser gravity are
 * dropped. */
void decode_note_add(decode_note *note, data_health health, const char *text);

/* BASE_OK, or BASE_FORMAT with the reason "too large WxH". Before any allocation. */
base_status decode_check_size(size_t width, size_t height, const data_decode_limits *limits,
                              base_error *err);

/* The libjpeg object with its buffers, kept from image to image. */
typedef struct decode_jpeg decode_jpeg;
base_status decode_jpeg_create(decode_jpeg **out, base_error *err);
void decode_jpeg_destroy(decode_jpeg *jpeg);
/* bytes [size] begin with FF D8 FF. On failure err holds the reason and the pixels of out
 * are undefined. */
base_status decode_jpeg_image(data_image *out, decode_note *note, decode_jpeg *jpeg,
                              const unsigned char *bytes, size_t size,
                              const data_decode_limits *limits, base_error *err);

/* bytes [size] begin with the signature of PNG. As decode_jpeg_image; libpng has no object
 * to keep. */
base_status decode_png_image(data_image *out, decode_note *note, const unsigned char *bytes,
                             size_t size, const data_decode_limits *limits,
                             base_error *err);

#endif
