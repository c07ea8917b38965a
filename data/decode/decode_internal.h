/* decode_internal.h - what decode.c and the codecs share. A codec gets bytes whose
 * signature was recognised, hands out the rows that are wanted as RGBX, and judges the file
 * by the rules of data.md 5. */
#ifndef DATA_DECODE_INTERNAL_H
#define DATA_DECODE_INTERNAL_H

#include "data/data.h"
#include "data/kernels_internal.h"

/* The longest side that any image may have: libjpeg's own limit (JPEG_MAX_DIMENSION). */
#define DECODE_MAX_SIDE 65500

/* What is wrong with an image that is used all the same. Longer texts are cut. */
typedef struct decode_note {
    data_health health;
    char text[256];
} decode_note;

/* The text without health: sets both. Later notes of the same or a lesser gravity are
 * dropped. */
void data_decode_note_add(decode_note *note, data_health health, const char *text);

/* BASE_OK, or BASE_FORMAT with the reason "too large WxH". Before any allocation. */
base_status data_decode_check_size(size_t width, size_t height,
                                   const data_decode_limits *limits, base_error *err);

/* Which pixels of an image are wanted, and who takes them. */
typedef struct decode_want {
    size_t left, top, width, height; /* of the picture at its scale; not empty */
    unsigned eighths;                /* the scale: 8, or (JPEG) 4, 2, 1 */
    bool whole; /* read to the end of the file, so that all damage is seen */
    /* One row after the other, width pixels RGBX and KERNEL_SLACK readable bytes. */
    void (*take)(void *user, const unsigned char *rgbx);
    void (*rewind)(void *user); /* forget the rows taken: all come again */
    void *user;
} decode_want;

/* ---- a decoder, image by image ------------------------------------------------------- */

/* Reads the header of bytes [size], which stay where they are until data_decode_close.
 * Always ends in data_decode_close. Fails as data_decode. */
base_status data_decode_open(size_t *width, size_t *height, data_decoder *decoder,
                             const unsigned char *bytes, size_t size, base_error *err);
/* The side of the picture at a scale. */
size_t data_decode_scaled(size_t side, unsigned eighths);
/* JPEG: may be wanted at less than full scale. */
bool data_decode_can_scale(const data_decoder *decoder);
base_status data_decode_rows(const decode_want *want, decode_note *note,
                             data_decoder *decoder, base_error *err);
void data_decode_close(data_decoder *decoder);
/* For tests and benchmarks: kernels (NULL: the best), and whether libjpeg does it all. */
void data_decode_choose(data_decoder *decoder, const data_kernels *kernels,
                        bool libjpeg_only);
/* How many images libjpeg was not needed for. */
uint64_t data_decode_quick_count(const data_decoder *decoder);

/* ---- JPEG, clean baseline files alone ------------------------------------------------ */

typedef struct decode_quick decode_quick;
base_status data_decode_quick_create(decode_quick **out, base_error *err);
void data_decode_quick_destroy(decode_quick *quick);
/* Whether the header is one of those that are decoded here. */
bool data_decode_quick_open(size_t *width, size_t *height, decode_quick *quick,
                            const unsigned char *bytes, size_t size);
/* False: libjpeg must do it, from the first row. */
bool data_decode_quick_rows(const decode_want *want, decode_quick *quick,
                            const data_kernels *kernels);

/* ---- JPEG by libjpeg ----------------------------------------------------------------- */

/* The libjpeg object with its buffers, kept from image to image. */
typedef struct decode_jpeg decode_jpeg;
base_status data_decode_jpeg_create(decode_jpeg **out, base_error *err);
void data_decode_jpeg_destroy(decode_jpeg *jpeg);
/* bytes [size] begin with FF D8 FF. On failure err holds the reason. Always ends in
 * data_decode_jpeg_close. */
base_status data_decode_jpeg_open(size_t *width, size_t *height, decode_note *note,
                                  decode_jpeg *jpeg, const unsigned char *bytes,
                                  size_t size, const data_decode_limits *limits,
                                  base_error *err);
base_status data_decode_jpeg_rows(const decode_want *want, decode_jpeg *jpeg,
                                  base_error *err);
void data_decode_jpeg_close(decode_jpeg *jpeg);

/* ---- PNG ----------------------------------------------------------------------------- */

/* bytes [size] begin with the signature of PNG. The whole picture; libpng has no object to
 * keep. */
base_status data_decode_png_image(data_image *out, const unsigned char *bytes, size_t size,
                                  const data_decode_limits *limits, base_error *err);

#endif
