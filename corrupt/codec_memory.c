/* codec_memory.c - the memory of images inside libjpeg, so that an image after the first
 * takes none from the system: libjpeg frees and takes it anew for each. Its manager's
 * methods are pointers for exactly this (libjpeg-turbo, jpeglib.h, struct
 * jpeg_memory_mgr; structure.txt, "Memory manager"). What lives as long as the object
 * stays with libjpeg's own methods. Free to change: how blocks grow. Relied on
 * elsewhere: rows aligned and padded for the vector code of libjpeg-turbo. */
#include "corrupt/codec_internal.h"

#include <string.h>

enum {
    ALIGNMENT = 64, /* libjpeg-turbo asks for 32, and for rows of a multiple of 64 */
    FIRST_BYTES = 256 * 1024
};

/* libjpeg leaves these two to its memory manager. All in memory at once. */
struct jvirt_sarray_control {
    JSAMPARRAY rows;
};
struct jvirt_barray_control {
    JBLOCKARRAY rows;
};

static corrupt_codec *codec_of(j_common_ptr info)
{
    return info->client_data;
}

static size_t product(corrupt_codec *codec, size_t a, size_t b)
{
    size_t bytes;

    if (!base_mul_size(&bytes, a, b))
        corrupt_codec_starve(codec);
    return bytes;
}

static void *take(corrupt_codec *codec, size_t bytes)
{
    corrupt_pool *pool = &codec->pool;

    if (bytes > SIZE_MAX / 4)
        corrupt_codec_starve(codec);
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (pool->count == 0 ||
        pool->block[pool->count - 1].bytes - pool->block[pool->count - 1].used < bytes) {
        size_t wanted = FIRST_BYTES; /* at least as much again as there is */
        for (size_t i = 0; i < pool->count; i++)
            wanted += pool->block[i].bytes;
        wanted = wanted > bytes ? wanted : bytes;
        unsigned char *at =
            pool->count < CORRUPT_POOL_BLOCKS ? base_alloc(wanted, 1) : NULL;
        if (!at)
            corrupt_codec_starve(codec);
        pool->block[pool->count].at = at;
        pool->block[pool->count].bytes = wanted;
        pool->block[pool->count++].used = 0;
    }
    void *at = pool->block[pool->count - 1].at + pool->block[pool->count - 1].used;
    pool->block[pool->count - 1].used += bytes;
    return at;
}

/* Everything of the image is free; of several blocks one is made. */
static void rewind_pool(corrupt_pool *pool)
{
    if (pool->count > 1) {
        size_t all = 0;
        for (size_t i = 0; i < pool->count; i++)
            all += pool->block[i].bytes;
        corrupt_pool_free(pool);
        pool->block[0].at =
            base_alloc(all, 1); /* without memory the next image tries again */
        pool->block[0].bytes = all;
        pool->count = pool->block[0].at != NULL;
    }
    pool->block[0].used = 0;
}

void corrupt_pool_free(corrupt_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++)
        base_free(pool->block[i].at);
    pool->count = 0;
}

/* ---- what libjpeg calls -------------------------------------------------------------- */

static void *alloc_small(j_common_ptr info, int pool, size_t bytes)
{
    corrupt_codec *codec = codec_of(info);

    return pool == JPOOL_IMAGE ? take(codec, bytes)
                               : codec->pool.alloc_small(info, pool, bytes);
}

static void *alloc_large(j_common_ptr info, int pool, size_t bytes)
{
    corrupt_codec *codec = codec_of(info);

    return pool == JPOOL_IMAGE ? take(codec, bytes)
                               : codec->pool.alloc_large(info, pool, bytes);
}

static JSAMPARRAY alloc_samples(j_common_ptr info, int pool, JDIMENSION samples,
                                JDIMENSION count)
{
    const size_t step = ((size_t)samples + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    corrupt_codec *codec = codec_of(info);
    JSAMPARRAY rows = alloc_small(info, pool, product(codec, count, sizeof *rows));
    JSAMPROW at = alloc_large(info, pool, product(codec, step, count));

    for (size_t i = 0; i < count; i++)
        rows[i] = at + i * step;
    return rows;
}

static JBLOCKARRAY alloc_blocks(j_common_ptr info, int pool, JDIMENSION blocks,
                                JDIMENSION count)
{
    corrupt_codec *codec = codec_of(info);
    JBLOCKARRAY rows = alloc_small(info, pool, product(codec, count, sizeof(JBLOCKROW)));
    JBLOCKROW at =
        alloc_large(info, pool, product(codec, (size_t)blocks * count, sizeof *at));

    for (size_t i = 0; i < count; i++)
        rows[i] = at + i * blocks;
    return rows;
}

static jvirt_barray_ptr request_blocks(j_common_ptr info, int pool, boolean zero,
                                       JDIMENSION blocks, JDIMENSION count,
                                       JDIMENSION at_once)
{
    jvirt_barray_ptr out = alloc_small(info, pool, sizeof *out);

    (void)at_once;
    out->rows = alloc_blocks(info, pool, blocks, count);
    for (JDIMENSION i = 0; zero && i < count; i++)
        memset(out->rows[i], 0, blocks * sizeof **out->rows);
    return out;
}

static void realize(j_common_ptr info)
{
    (void)info; /* blocks are there since they were requested; rows of samples serve the
                 * choice of a palette alone, and the library's own refuse without this */
}

static JBLOCKARRAY access_blocks(j_common_ptr info, jvirt_barray_ptr array,
                                 JDIMENSION start, JDIMENSION count, boolean writable)
{
    (void)info;
    (void)count;
    (void)writable;
    return array->rows + start;
}

static void free_pool(j_common_ptr info, int pool)
{
    corrupt_codec *codec = codec_of(info);

    if (pool == JPOOL_IMAGE)
        rewind_pool(&codec->pool);
    else
        codec->pool.free_pool(info, pool);
}

void corrupt_pool_install(j_common_ptr info)
{
    corrupt_pool *pool = &codec_of(info)->pool;
    struct jpeg_memory_mgr *memory = info->mem;

    pool->alloc_small = memory->alloc_small; /* the same of all three objects */
    pool->alloc_large = memory->alloc_large;
    pool->free_pool = memory->free_pool;
    memory->alloc_small = alloc_small;
    memory->alloc_large = alloc_large;
    memory->alloc_sarray = alloc_samples;
    memory->alloc_barray = alloc_blocks;
    memory->request_virt_barray = request_blocks;
    memory->realize_virt_arrays = realize;
    memory->access_virt_barray = access_blocks;
    memory->free_pool = free_pool;
}
