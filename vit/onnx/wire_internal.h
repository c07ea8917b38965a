/* wire_internal.h - bytes of a protobuf message as they are put together in memory
 * (wire.c). Private to vit/onnx/ and its test. */
#ifndef VIT_ONNX_WIRE_INTERNAL_H
#define VIT_ONNX_WIRE_INTERNAL_H

#include "base/base.h"

/* Bytes that grow; zeroed: none. When memory runs out it turns failed, keeps what it has
 * and takes nothing more: ask once, at the end. The caller calls vit_wire_free. */
typedef struct vit_wire {
    unsigned char *at;
    size_t count, room;
    bool failed;
} vit_wire;

void vit_wire_free(vit_wire *wire);
void vit_wire_bytes(vit_wire *out, const void *at, size_t count);
/* Field `field` (1..) as a whole number, a float, bytes, a text, another message. A
 * negative number takes ten bytes, as protobuf's int64 does. */
void vit_wire_int(vit_wire *out, unsigned field, int64_t value);
void vit_wire_float(vit_wire *out, unsigned field, float value);
void vit_wire_text(vit_wire *out, unsigned field, const char *text);
/* Adds `message` and frees it. */
void vit_wire_message(vit_wire *out, unsigned field, vit_wire *message);
/* What stands before `bytes` bytes of such a field that follow from elsewhere. */
void vit_wire_head(vit_wire *out, unsigned field, size_t bytes);

#endif
