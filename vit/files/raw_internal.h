/* raw_internal.h - tensors of other programs under their own names, before they are brought
 * to ours (jax.c): what the readers of V-MoE's checkpoints (index.c) and of .npz files
 * (npz.c) hand over. Private to vit/files/ and to its tests. */
#ifndef VIT_FILES_RAW_INTERNAL_H
#define VIT_FILES_RAW_INTERNAL_H

#include "base/base.h"

enum { VIT_RAW_RANK = 5 };

typedef struct vit_raw {
    char *name; /* with slashes */
    char type
        [12]; /* NumPy's name: "float32", "bfloat16", "float16", "float64", "int32", ... */
    int rank;
    size_t shape[VIT_RAW_RANK];
    size_t count; /* values */
    float *
        values; /* [count], NULL: not read, because nobody wants it or it is no floating type */
    bool used;
} vit_raw;

typedef struct vit_raw_set {
    vit_raw *at; /* [count] */
    size_t count;
} vit_raw_set;

void vit_raw_free(vit_raw_set *set);
/* NULL: none of that name. */
vit_raw *vit_raw_find(const vit_raw_set *set, const char *name);
/* Bytes of a value of a floating type that is read, 0: another type. */
size_t vit_raw_bytes(const char *type);
/* count values of a floating type, little-endian and perhaps unaligned, into out. */
void vit_raw_convert(float *out, const void *from, const char *type, size_t count);
/* Which tensors a reader shall read: one under a name that begins with `prefix`. */
bool vit_raw_wanted(const char *name, const char *prefix);

/* ---- MessagePack (msgpack.c) --------------------------------------------------------- */

/* What is left to read. Every header is checked against it: an array of n needs n bytes at
 * least. */
typedef struct vit_pack {
    const unsigned char *at, *end;
} vit_pack;

typedef enum vit_pack_kind {
    VIT_PACK_NIL,
    VIT_PACK_BOOL,
    VIT_PACK_UINT,
    VIT_PACK_OTHER, /* a negative or real number */
    VIT_PACK_STR,
    VIT_PACK_BIN,
    VIT_PACK_EXT,
    VIT_PACK_ARRAY, /* its items follow */
    VIT_PACK_MAP    /* its keys and values follow */
} vit_pack_kind;

typedef struct vit_pack_item {
    vit_pack_kind kind;
    uint64_t number;            /* value, truth, items of an array, pairs of a map */
    const unsigned char *bytes; /* payload of STR, BIN, EXT; borrowed */
    size_t size;
    int type; /* of EXT */
} vit_pack_item;

/* The next object, of an array or map its header alone. False: the bytes are none, or end
 * early. */
bool vit_pack_next(vit_pack_item *out, vit_pack *from);
/* The same, and of this kind. */
bool vit_pack_take(vit_pack_item *out, vit_pack *from, vit_pack_kind kind);
/* Passes over one object with all that is in it, however deep. */
bool vit_pack_skip(vit_pack *from);
vit_pack vit_pack_of(const vit_pack_item *item);

/* ---- readers ------------------------------------------------------------------------- */

/* The checkpoint PREFIX.index with its shards beside it (index.c). Tensors under
 * prefix_of(the names) are read, of the others only names and shapes. err names file and
 * tensor. The caller calls vit_raw_free. */
base_status vit_raw_index_read(vit_raw_set *out, const char *path, base_error *err);
/* A .npz of NumPy (npz.c), likewise. */
base_status vit_raw_npz_read(vit_raw_set *out, const char *path, base_error *err);
/* What stands before the names of parameters: "params/" in a training state, "opt/target/"
 * in old files, else "". */
const char *vit_raw_prefix(const vit_raw_set *set);

#endif
