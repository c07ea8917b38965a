/* test_zip.h - zip archives byte by byte (APPNOTE.TXT 6.3.10), so that they can be wrong in
 * any way. For tests only. */
#ifndef TESTS_TEST_ZIP_H
#define TESTS_TEST_ZIP_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { ZIP_ROOM = 1 << 20, ZIP_STORED = 0, ZIP_DEFLATED = 8 };

/* Grown only by the functions below; tests change bytes of body and entries. */
typedef struct zip_file {
    unsigned char body[ZIP_ROOM], entries[ZIP_ROOM];
    size_t body_bytes, entry_bytes;
    size_t last; /* where in entries the last one begins */
    uint64_t count;
    bool zip64; /* sizes and offsets stand in extra fields, the end is zip64's */
} zip_file;

static inline void zip_put(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

/* name's bytes into body, packed by the method; its entry into entries. */
static inline void zip_add(zip_file *z, const char *name, const void *bytes, size_t size,
                           int method)
{
    const size_t names = strlen(name), local = z->body_bytes;
    unsigned char *head = z->body + local, *data = head + 30 + names;
    unsigned char *e = z->entries + z->entry_bytes;
    size_t packed = size;

    if (method == ZIP_DEFLATED) {
        z_stream s = {.next_in = (unsigned char *)(uintptr_t)bytes,
                      .avail_in = (uInt)size,
                      .next_out = data,
                      .avail_out = ZIP_ROOM / 2};
        ck_assert_int_eq(deflateInit2(&s, 9, Z_DEFLATED, -MAX_WBITS, 8, 0), Z_OK);
        ck_assert_int_eq(deflate(&s, Z_FINISH), Z_STREAM_END);
        packed = s.total_out;
        deflateEnd(&s);
    } else if (size > 0) {
        memcpy(data, bytes, size);
    }
    const uint32_t crc = (uint32_t)crc32(0, bytes, (uInt)size);
    memcpy(head, "PK\3\4", 4);
    zip_put(head + 4, 20, 2);
    zip_put(head + 6, 0, 2);
    zip_put(head + 8, (uint64_t)method, 2);
    zip_put(head + 10, 0, 4);
    zip_put(head + 14, crc, 4);
    zip_put(head + 18, packed, 4);
    zip_put(head + 22, size, 4);
    zip_put(head + 26, names, 2);
    zip_put(head + 28, 0, 2);
    memcpy(head + 30, name, names);
    z->body_bytes += 30 + names + packed;
    ck_assert_uint_lt(z->body_bytes, ZIP_ROOM);
    memset(e, 0, 46);
    memcpy(e, "PK\1\2", 4);
    zip_put(e + 4, 3 << 8 | 20, 2); /* made by Unix */
    zip_put(e + 6, 20, 2);
    zip_put(e + 10, (uint64_t)method, 2);
    zip_put(e + 16, crc, 4);
    zip_put(e + 20, z->zip64 ? UINT32_MAX : packed, 4);
    zip_put(e + 24, z->zip64 ? UINT32_MAX : size, 4);
    zip_put(e + 28, names, 2);
    zip_put(e + 30, z->zip64 ? 4 + 4 + 28 : 0, 2);
    zip_put(e + 42, z->zip64 ? UINT32_MAX : local, 4);
    memcpy(e + 46, name, names);
    if (z->zip64) {
        unsigned char *x = e + 46 + names;
        zip_put(x, 0x7777, 2); /* another program's field in front */
        zip_put(x + 2, 4, 2);
        zip_put(x + 4, 0, 4);
        zip_put(x + 8, 1, 2);
        zip_put(x + 10, 24, 2);
        zip_put(x + 12, size, 8);
        zip_put(x + 20, packed, 8);
        zip_put(x + 28, local, 8);
    }
    z->last = z->entry_bytes;
    z->entry_bytes += 46 + names + (z->zip64 ? 36 : 0);
    z->count++;
}

/* A member that holds its own name. */
static inline void zip_name(zip_file *z, const char *name, int method)
{
    zip_add(z, name, name, strlen(name), method);
}

/* The entries and the end behind the members; the whole is then body. */
static inline void zip_end(zip_file *z, const char *comment)
{
    const uint64_t begin = z->body_bytes, size = z->entry_bytes;
    const size_t text = strlen(comment);

    memcpy(z->body + begin, z->entries, size);
    unsigned char *end = z->body + begin + size;
    if (z->zip64) {
        memset(end, 0, 76);
        memcpy(end, "PK\6\6", 4);
        zip_put(end + 4, 44, 8);
        zip_put(end + 24, z->count, 8);
        zip_put(end + 32, z->count, 8);
        zip_put(end + 40, size, 8);
        zip_put(end + 48, begin, 8);
        memcpy(end + 56, "PK\6\7", 4);
        zip_put(end + 64, begin + size, 8);
        zip_put(end + 72, 1, 4);
        end += 76;
    }
    memset(end, 0, 22);
    memcpy(end, "PK\5\6", 4);
    zip_put(end + 8, z->zip64 ? 0xffff : z->count, 2);
    zip_put(end + 10, z->zip64 ? 0xffff : z->count, 2);
    zip_put(end + 12, z->zip64 ? UINT32_MAX : size, 4);
    zip_put(end + 16, z->zip64 ? UINT32_MAX : begin, 4);
    zip_put(end + 20, text, 2);
    memcpy(end + 22, comment, text);
    z->body_bytes = (size_t)(end + 22 + text - z->body);
}

static inline void zip_write(const zip_file *z, const char *path)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(z->body, 1, z->body_bytes, file), z->body_bytes);
    ck_assert_int_eq(fclose(file), 0);
}

#endif
