/* codec_internal.h - the coder and decoder of a worker, and the memory that libjpeg
 * works in. */
#ifndef CORRUPT_CODEC_INTERNAL_H
#define CORRUPT_CODEC_INTERNAL_H

#include "corrupt/corrupt_internal.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

enum { CORRUPT_POOL_BLOCKS = 40 };

/* What libjpeg takes for one image: one block when warm; while an image asks for more,
 * several. */
typedef struct corrupt_pool {
    struct {
        unsigned char *at;
        size_t bytes, used;
    } block[CORRUPT_POOL_BLOCKS];
    size_t count;
    /* libjpeg's own, for what lives as long as the object */
    void *(*alloc_small)(j_common_ptr info, int pool, size_t bytes);
    void *(*alloc_large)(j_common_ptr info, int pool, size_t bytes);
    void (*free_pool)(j_common_ptr info, int pool);
} corrupt_pool;

struct corrupt_codec {
    /* Two coders, as one that has made tables for an image would keep them for the next:
     * the second makes them for every image. */
    struct jpeg_compress_struct coder[2];
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr target;
    struct jpeg_source_mgr source;
    corrupt_pool pool; /* of whichever of the three is at work */
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
    bool no_memory;
    /* the file, and how much of it is written */
    unsigned char *file;
    size_t file_bytes, size;
    /* the job of the steps */
    const unsigned char *in;
    unsigned char *out;
    size_t height, width;
    int quality;
    bool optimise; /* Huffman tables made for the image */
};

/* Puts the pool in place of libjpeg's memory for images. info->client_data is the codec.
 * Cannot fail. */
void corrupt_pool_install(j_common_ptr info);
void corrupt_pool_free(corrupt_pool *pool);
/* Leaves the step of libjpeg under way: there is no memory. */
_Noreturn void corrupt_codec_starve(struct corrupt_codec *codec);

#endif
