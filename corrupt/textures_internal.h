/* textures_internal.h - the pictures of frost: how they are made and how an image gets a
 * piece of one. */
#ifndef CORRUPT_TEXTURES_INTERNAL_H
#define CORRUPT_TEXTURES_INTERNAL_H

#include "corrupt/corrupt_internal.h"

/* [height, width, 3], borrowed from the set. */
typedef struct corrupt_picture {
    const unsigned char *pixels;
    size_t height, width;
} corrupt_picture;

/* Picture index 0..4 at the scale of the set's preset. The first call makes the
 * procedural ones (some hundredths of a second); safe from several threads. */
base_status corrupt_textures_get(corrupt_picture *out, corrupt_textures *textures,
                                 size_t index, base_error *err);

enum { CORRUPT_FROST_SIDE = 512 }; /* of the procedural pictures, pixels */

/* Procedural picture v1 number index 0..4 into out [512, 512, 3] (frost_texture.c). The
 * same bytes everywhere and for ever. */
base_status corrupt_frost_texture(unsigned char *out, size_t index, base_error *err);

#endif
