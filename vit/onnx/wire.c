/* wire.c - protobuf's wire format, as much of it as an ONNX file has: fields of numbers,
 * floats, bytes and messages within messages. Follows protobuf.dev, "Encoding". These
 * hundred lines stand in for protobuf-c, which would bring a code generator into the build,
 * a library into every program and eight thousand generated lines of onnx.proto, and would
 * hold all weights in memory twice. Free to change: how the bytes grow. */
#include <string.h>

#include "vit/onnx/wire_internal.h"

enum { KIND_NUMBER = 0, KIND_BYTES = 2, KIND_FLOAT = 5, ROOM_FIRST = 256 };

void vit_wire_free(vit_wire *wire)
{
    base_free(wire->at);
    *wire = (vit_wire){0};
}

void vit_wire_bytes(vit_wire *out, const void *at, size_t count)
{
    if (out->failed || count == 0)
        return;
    if (out->room - out->count < count) {
        size_t room = out->room ? 2 * out->room : ROOM_FIRST;

        while (room - out->count < count)
            room *= 2;
        unsigned char *more = base_alloc(room, 1);
        if (!more) {
            out->failed = true;
            return;
        }
        if (out->count > 0)
            memcpy(more, out->at, out->count);
        base_free(out->at);
        out->at = more;
        out->room = room;
    }
    memcpy(out->at + out->count, at, count);
    out->count += count;
}

/* Seven bits a byte, the lowest first; the eighth says that more follow. */
static void put_number(vit_wire *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t count = 0;

    do {
        bytes[count] = (unsigned char)(value & 127);
        value >>= 7;
        bytes[count++] |= value ? 128 : 0;
    } while (value);
    vit_wire_bytes(out, bytes, count);
}

static void put_key(vit_wire *out, unsigned field, unsigned kind)
{
    put_number(out, (uint64_t)field << 3 | kind);
}

void vit_wire_int(vit_wire *out, unsigned field, int64_t value)
{
    put_key(out, field, KIND_NUMBER);
    put_number(out, (uint64_t)value);
}

void vit_wire_float(vit_wire *out, unsigned field, float value)
{
    put_key(out, field, KIND_FLOAT);
    vit_wire_bytes(out, &value, sizeof value); /* little-endian, as the file */
}

void vit_wire_head(vit_wire *out, unsigned field, size_t bytes)
{
    put_key(out, field, KIND_BYTES);
    put_number(out, bytes);
}

void vit_wire_text(vit_wire *out, unsigned field, const char *text)
{
    vit_wire_head(out, field, strlen(text));
    vit_wire_bytes(out, text, strlen(text));
}

void vit_wire_message(vit_wire *out, unsigned field, vit_wire *message)
{
    vit_wire_head(out, field, message->count);
    vit_wire_bytes(out, message->at, message->count);
    out->failed = out->failed || message->failed;
    vit_wire_free(message);
}
