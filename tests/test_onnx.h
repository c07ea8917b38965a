/* test_onnx.h - a place for an ONNX file, and fields of protobuf messages read from it. */
#ifndef TESTS_TEST_ONNX_H
#define TESTS_TEST_ONNX_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/test_folder.h"

static char *dir, *path;

static inline void setup(void)
{
    dir = test_folder_make();
    path = test_path(dir, "model.onnx");
}

static inline void teardown(void)
{
    base_free(path);
    test_folder_remove(dir);
}

/* As ck_assert, which tells its runner of every time that it holds: too often here. */
#define WIRE_SURE(what)                                                                    \
    do {                                                                                   \
        if (!(what))                                                                       \
            ck_abort_msg("%s", #what);                                                     \
    } while (0)

/* ---- reading protobuf ---------------------------------------------------------------- */

/* One field of a message. */
typedef struct wire_field {
    unsigned field, kind;    /* kind: 0 a number, 2 bytes, 5 a float */
    uint64_t number;         /* of kind 0 */
    const unsigned char *at; /* of kinds 2 and 5 */
    size_t count;
} wire_field;

static inline uint64_t get_number(const unsigned char **at, const unsigned char *end)
{
    uint64_t out = 0;

    for (unsigned shift = 0;; shift += 7) {
        WIRE_SURE(*at < end && shift < 64);
        const unsigned char byte = *(*at)++;
        out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return out;
    }
}

/* The field at *at, which moves behind it; false at the end. */
static inline bool next(wire_field *out, const unsigned char **at, const unsigned char *end)
{
    if (*at == end)
        return false;
    const uint64_t key = get_number(at, end);
    *out = (wire_field){.field = (unsigned)(key >> 3), .kind = (unsigned)(key & 7)};
    if (out->kind == 0) {
        out->number = get_number(at, end);
        return true;
    }
    WIRE_SURE(out->kind == 2 || out->kind == 5);
    out->count = out->kind == 5 ? 4 : get_number(at, end);
    WIRE_SURE(out->count <= (size_t)(end - *at));
    out->at = *at;
    *at += out->count;
    return true;
}

/* The n-th field of that number in a message; its kind is 9 when there is none. */
static inline wire_field field_at(wire_field message, unsigned field, size_t n)
{
    const unsigned char *at = message.at, *end = at + message.count;
    wire_field f;

    while (next(&f, &at, end))
        if (f.field == field && n-- == 0)
            return f;
    return (wire_field){.kind = 9};
}

static inline bool is_text(wire_field f, const char *text)
{
    return f.kind == 2 && f.count == strlen(text) && memcmp(f.at, text, f.count) == 0;
}

#endif
