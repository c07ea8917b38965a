/* msgpack.c - MessagePack as the checkpoints of V-MoE use it
 * (https://github.com/msgpack/msgpack/blob/master/spec.md): no recursion, no memory,
 * nothing read beyond the end. Relied on elsewhere: a count is never larger than the bytes
 * that are left, so that an announced length costs nothing. */
#include <string.h>

#include "vit/files/raw_internal.h"

/* A big-endian number of `bytes` bytes. */
static bool take_number(uint64_t *out, vit_pack *from, size_t bytes)
{
    uint64_t value = 0;

    if ((size_t)(from->end - from->at) < bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | *from->at++;
    *out = value;
    return true;
}

static bool take_payload(vit_pack_item *out, vit_pack *from, vit_pack_kind kind,
                         uint64_t size)
{
    out->kind = kind;
    if (kind == VIT_PACK_EXT) {
        if (from->at == from->end)
            return false;
        out->type = (signed char)*from->at++;
    }
    if (size > (uint64_t)(from->end - from->at))
        return false;
    out->bytes = from->at;
    out->size = (size_t)size;
    from->at += size;
    return true;
}

static bool take_items(vit_pack_item *out, const vit_pack *from, vit_pack_kind kind,
                       uint64_t count)
{
    const uint64_t least = kind == VIT_PACK_MAP ? 2 * count : count;

    out->kind = kind;
    out->number = count;
    return least <= (uint64_t)(from->end - from->at);
}

/* The payload behind a length of 1 << power bytes. */
static bool take_long(vit_pack_item *out, vit_pack *from, vit_pack_kind kind, int power)
{
    uint64_t size = 0;

    return take_number(&size, from, (size_t)1 << power) &&
           take_payload(out, from, kind, size);
}

static bool take_many(vit_pack_item *out, vit_pack *from, vit_pack_kind kind, int power)
{
    uint64_t count = 0;

    return take_number(&count, from, (size_t)1 << power) &&
           take_items(out, from, kind, count);
}

/* A number of 1 << power bytes. */
static bool take_value(vit_pack_item *out, vit_pack *from, vit_pack_kind kind, int power)
{
    out->kind = kind;
    return take_number(&out->number, from, (size_t)1 << power);
}

bool vit_pack_next(vit_pack_item *out, vit_pack *from)
{
    *out = (vit_pack_item){.kind = VIT_PACK_NIL};
    if (from->at == from->end)
        return false;
    const unsigned first = *from->at++;
    if (first < 0x80) { /* positive fixint */
        out->kind = VIT_PACK_UINT;
        out->number = first;
        return true;
    }
    if (first < 0x90)
        return take_items(out, from, VIT_PACK_MAP, first & 15);
    if (first < 0xa0)
        return take_items(out, from, VIT_PACK_ARRAY, first & 15);
    if (first < 0xc0)
        return take_payload(out, from, VIT_PACK_STR, first & 31);
    out->kind = VIT_PACK_OTHER;
    if (first >= 0xe0) /* negative fixint */
        return true;
    switch (first) {
    case 0xc0: out->kind = VIT_PACK_NIL; return true;
    case 0xc1: return false; /* never used */
    case 0xc2:
    case 0xc3:
        out->kind = VIT_PACK_BOOL;
        out->number = first & 1;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6: return take_long(out, from, VIT_PACK_BIN, (int)(first - 0xc4));
    case 0xc7:
    case 0xc8:
    case 0xc9: return take_long(out, from, VIT_PACK_EXT, (int)(first - 0xc7));
    case 0xca: return take_value(out, from, VIT_PACK_OTHER, 2);
    case 0xcb: return take_value(out, from, VIT_PACK_OTHER, 3);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: return take_value(out, from, VIT_PACK_UINT, (int)(first - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: return take_value(out, from, VIT_PACK_OTHER, (int)(first - 0xd0));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: return take_payload(out, from, VIT_PACK_EXT, (uint64_t)1 << (first - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb: return take_long(out, from, VIT_PACK_STR, (int)(first - 0xd9));
    case 0xdc:
    case 0xdd: return take_many(out, from, VIT_PACK_ARRAY, (int)(first - 0xdc) + 1);
    default: return take_many(out, from, VIT_PACK_MAP, (int)(first - 0xde) + 1);
    }
}

bool vit_pack_take(vit_pack_item *out, vit_pack *from, vit_pack_kind kind)
{
    return vit_pack_next(out, from) && out->kind == kind;
}

bool vit_pack_skip(vit_pack *from)
{
    /* Each pending object needs a byte, so the sum stays below the bytes of the file. */
    uint64_t pending = 1;
    vit_pack_item item;

    while (pending > 0) {
        if (!vit_pack_next(&item, from))
            return false;
        pending--;
        if (item.kind == VIT_PACK_ARRAY)
            pending += item.number;
        else if (item.kind == VIT_PACK_MAP)
            pending += 2 * item.number;
        if (pending > (uint64_t)(from->end - from->at))
            return pending == 0;
    }
    return true;
}

vit_pack vit_pack_of(const vit_pack_item *item)
{
    return (vit_pack){item->bytes, item->bytes + item->size};
}
