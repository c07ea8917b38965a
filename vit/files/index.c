/* index.c - checkpoints of google-research/vmoe: PREFIX.index and
 * PREFIX.data-SSSSS-of-NNNNN, all MessagePack (vmoe/checkpoints/partitioned.py and
 * serialization.py). The index is a tree of leaves; a leaf has a shape, a type and boxes,
 * each in one shard; a shard holds, by the leaf's number, chunks of data with their boxes.
 * Numbers count the leaves depth first with the keys of every map in byte order. Read with
 * suspicion: every box is checked against shape and index, every byte is accounted for, and
 * a tensor is complete only when its boxes, which may not overlap, fill it. */
#include <stdlib.h>
#include <string.h>

#include "vit/files/raw_internal.h"

enum {
    EXT_ARRAY = 1,
    EXT_SLICES = 6,
    EXT_LEAF = 8,
    DEPTH_MOST = 24,
    LEAVES_MOST = 1 << 18,
    SHARDS_MOST = 100000,
    NAME_MOST = 512
};
static const char version_known[] = "20220622";
static const char magic[] = "__msgpack_array_chunk_a87ca2__";
static const size_t shard_most = (size_t)1 << 38;

/* start[a] .. stop[a] along each axis; none for a scalar. */
typedef struct box {
    size_t start[VIT_RAW_RANK], stop[VIT_RAW_RANK];
    size_t shard;
    bool filled;
} box;

typedef struct leaf {
    vit_raw raw;
    box *box; /* [boxes] */
    size_t boxes;
} leaf;

typedef struct checkpoint {
    const char *path; /* of the index */
    base_error *err;
    leaf *leaf; /* [count], room of them */
    size_t count, room;
    size_t shards;
} checkpoint;

static base_status broken(const checkpoint *c, const char *path, const char *what)
{
    return base_fail(c->err, BASE_FORMAT, "'%s' is no checkpoint index: %s", path, what);
}

static base_status no_memory(const checkpoint *c)
{
    return base_fail(c->err, BASE_NO_MEMORY, "no memory to read '%s'", c->path);
}

/* ---- the index ----------------------------------------------------------------------- */

/* An array of bins, each an array [start, stop, nil or 1], into b. False: it is none of
 * this rank. */
static bool take_slices(box *b, vit_pack *from, int rank)
{
    vit_pack_item list, bin, slice, start, stop, step;

    if (!vit_pack_take(&list, from, VIT_PACK_ARRAY) || list.number != (uint64_t)rank)
        return false;
    for (int a = 0; a < rank; a++) {
        if (!vit_pack_take(&bin, from, VIT_PACK_BIN))
            return false;
        vit_pack inner = vit_pack_of(&bin);
        if (!vit_pack_take(&slice, &inner, VIT_PACK_ARRAY) || slice.number != 3 ||
            !vit_pack_take(&start, &inner, VIT_PACK_UINT) ||
            !vit_pack_take(&stop, &inner, VIT_PACK_UINT) || !vit_pack_next(&step, &inner) ||
            !(step.kind == VIT_PACK_NIL ||
              (step.kind == VIT_PACK_UINT && step.number == 1)))
            return false;
        b->start[a] = (size_t)start.number;
        b->stop[a] = (size_t)stop.number;
    }
    return true;
}

/* [shape, type, weak, {}] of a leaf. */
static bool take_aval(vit_raw *raw, vit_pack *from)
{
    vit_pack_item bin, item;

    if (!vit_pack_take(&bin, from, VIT_PACK_BIN))
        return false;
    vit_pack inner = vit_pack_of(&bin);
    if (!vit_pack_take(&item, &inner, VIT_PACK_ARRAY) || item.number < 2 ||
        !vit_pack_take(&item, &inner, VIT_PACK_ARRAY) || item.number > VIT_RAW_RANK)
        return false;
    raw->rank = (int)item.number;
    raw->count = 1;
    for (int a = 0; a < raw->rank; a++) {
        if (!vit_pack_take(&item, &inner, VIT_PACK_UINT) || item.number > SIZE_MAX / 8)
            return false;
        raw->shape[a] = (size_t)item.number;
        if (!base_mul_size(&raw->count, raw->count, raw->shape[a]))
            return false;
    }
    if (!vit_pack_take(&item, &inner, VIT_PACK_STR) || item.size >= sizeof raw->type)
        return false;
    memcpy(raw->type, item.bytes, item.size);
    return raw->count <= SIZE_MAX / 16;
}

/* Whether a box lies in its tensor; *values: how many it has. */
static bool box_fits(size_t *values, const box *b, const vit_raw *raw)
{
    *values = 1;
    for (int a = 0; a < raw->rank; a++) {
        if (b->start[a] > b->stop[a] || b->stop[a] > raw->shape[a])
            return false;
        *values *= b->stop[a] - b->start[a];
    }
    return true;
}

static bool boxes_meet(const box *x, const box *y, int rank)
{
    for (int a = 0; a < rank; a++)
        if (x->start[a] >= y->stop[a] || y->start[a] >= x->stop[a])
            return false;
    return true;
}

/* Boxes must be apart and together as large as the tensor. */
static base_status check_boxes(const checkpoint *c, const leaf *l)
{
    size_t sum = 0;

    for (size_t i = 0; i < l->boxes; i++) {
        size_t values;
        if (!box_fits(&values, &l->box[i], &l->raw))
            return base_fail(c->err, BASE_FORMAT,
                             "'%s' tensor '%s' has a piece outside of its shape", c->path,
                             l->raw.name);
        if (l->box[i].shard >= c->shards)
            return base_fail(c->err, BASE_FORMAT,
                             "'%s' tensor '%s' lies in shard %zu of %zu", c->path,
                             l->raw.name, l->box[i].shard, c->shards);
        for (size_t j = 0; j < i && values > 0; j++)
            if (boxes_meet(&l->box[i], &l->box[j], l->raw.rank))
                return base_fail(c->err, BASE_FORMAT,
                                 "'%s' tensor '%s' has pieces that overlap", c->path,
                                 l->raw.name);
        sum += values;
    }
    if (sum != l->raw.count)
        return base_fail(c->err, BASE_FORMAT,
                         "'%s' tensor '%s' has pieces of %zu values, expected %zu", c->path,
                         l->raw.name, sum, l->raw.count);
    return BASE_OK;
}

/* The payload of a leaf into the next free place. */
static base_status take_leaf(checkpoint *c, const char *name, const vit_pack_item *ext)
{
    vit_pack from = vit_pack_of(ext);
    vit_pack_item item;
    char quoted[NAME_MOST];

    base_quote(quoted, sizeof quoted, name);
    if (c->count == c->room) {
        const size_t room = c->room ? 2 * c->room : 256;
        leaf *more = room <= LEAVES_MOST ? base_alloc(room, sizeof *more) : NULL;

        if (!more)
            return no_memory(c);
        if (c->count > 0)
            memcpy(more, c->leaf, c->count * sizeof *more);
        base_free(c->leaf);
        c->leaf = more;
        c->room = room;
    }
    leaf *l = &c->leaf[c->count];
    *l = (leaf){.raw = {.name = base_text("%s", quoted)}};
    if (!l->raw.name)
        return no_memory(c);
    c->count++;
    if (!vit_pack_take(&item, &from, VIT_PACK_ARRAY) || item.number != 3 ||
        !take_aval(&l->raw, &from) || !vit_pack_take(&item, &from, VIT_PACK_ARRAY))
        goto odd;
    l->boxes = (size_t)item.number;
    l->box = base_alloc(l->boxes, sizeof *l->box);
    if (!l->box)
        return no_memory(c);
    for (size_t i = 0; i < l->boxes; i++) {
        if (!vit_pack_take(&item, &from, VIT_PACK_BIN))
            goto odd;
        vit_pack slices = vit_pack_of(&item);
        if (!take_slices(&l->box[i], &slices, l->raw.rank))
            goto odd;
    }
    if (!vit_pack_take(&item, &from, VIT_PACK_ARRAY) || item.number != l->boxes)
        goto odd;
    for (size_t i = 0; i < l->boxes; i++) {
        if (!vit_pack_take(&item, &from, VIT_PACK_UINT) || item.number > SHARDS_MOST)
            goto odd;
        l->box[i].shard = (size_t)item.number;
    }
    return BASE_OK;
odd:
    return base_fail(c->err, BASE_FORMAT, "'%s' tensor '%s' is described in no known way",
                     c->path, l->raw.name);
}

/* A map of the tree: names into `name`, which has `used` bytes already. */
static base_status take_tree(checkpoint *c, vit_pack *from, char name[NAME_MOST],
                             size_t used, int depth)
{
    vit_pack_item item, key;

    if (!vit_pack_next(&item, from))
        return broken(c, c->path, "its tree ends early");
    if (item.kind == VIT_PACK_NIL)
        return BASE_OK;
    if (item.kind == VIT_PACK_EXT && item.type == EXT_LEAF && used > 0)
        return take_leaf(c, name, &item);
    if (item.kind != VIT_PACK_MAP)
        return broken(c, c->path, "its tree holds something else than tensors");
    if (depth == DEPTH_MOST)
        return broken(c, c->path, "its tree is too deep");
    for (uint64_t i = 0; i < item.number; i++) {
        if (!vit_pack_take(&key, from, VIT_PACK_STR))
            return broken(c, c->path, "its tree has a key that is no text");
        if (key.size == 0 || used + key.size + 2 > NAME_MOST ||
            memchr(key.bytes, '/', key.size) || memchr(key.bytes, 0, key.size))
            return broken(c, c->path, "its tree has an odd key");
        size_t end = used;
        if (used > 0)
            name[end++] = '/';
        memcpy(name + end, key.bytes, key.size);
        end += key.size;
        name[end] = '\0';
        const base_status status = take_tree(c, from, name, end, depth + 1);
        if (status != BASE_OK)
            return status;
    }
    return BASE_OK;
}

/* Key by key in byte order: a slash ends a key, so it sorts before every other byte. */
static int by_key(const void *left, const void *right)
{
    const unsigned char *a = (const unsigned char *)((const leaf *)left)->raw.name;
    const unsigned char *b = (const unsigned char *)((const leaf *)right)->raw.name;

    while (*a && *a == *b) {
        a++;
        b++;
    }
    const int x = *a == '/' ? 1 : *a ? *a + 1 : 0, y = *b == '/' ? 1 : *b ? *b + 1 : 0;
    return x - y;
}

static base_status take_index(checkpoint *c, const char *bytes, size_t size)
{
    vit_pack from = {(const unsigned char *)bytes, (const unsigned char *)bytes + size};
    vit_pack tree = {NULL, NULL};
    vit_pack_item top, key, item;
    char name[NAME_MOST] = "";

    if (!vit_pack_take(&top, &from, VIT_PACK_MAP))
        return broken(c, c->path, "no map of MessagePack");
    for (uint64_t i = 0; i < top.number; i++) {
        if (!vit_pack_take(&key, &from, VIT_PACK_STR))
            return broken(c, c->path, "a key is no text");
        vit_pack value = from;
        if (!vit_pack_skip(&from))
            return broken(c, c->path, "it ends early");
        if (key.size == 11 && memcmp(key.bytes, "shard_count", 11) == 0) {
            if (!vit_pack_take(&item, &value, VIT_PACK_UINT) || item.number > SHARDS_MOST)
                return broken(c, c->path, "'shard_count' is no count of shards");
            c->shards = (size_t)item.number;
        } else if (key.size == 7 && memcmp(key.bytes, "version", 7) == 0) {
            if (!vit_pack_take(&item, &value, VIT_PACK_STR) ||
                item.size != sizeof version_known - 1 ||
                memcmp(item.bytes, version_known, item.size) != 0)
                return base_fail(c->err, BASE_UNSUPPORTED,
                                 "'%s' has another version than '%s'", c->path,
                                 version_known);
        } else if (key.size == 5 && memcmp(key.bytes, "index", 5) == 0) {
            tree = value;
        }
    }
    if (!tree.at || c->shards == 0)
        return broken(c, c->path,
                      tree.at ? "it has no 'shard_count'" : "it has no 'index'");
    base_status status = take_tree(c, &tree, name, 0, 0);
    if (status != BASE_OK)
        return status;
    qsort(c->leaf, c->count, sizeof *c->leaf, by_key);
    for (size_t i = 1; i < c->count; i++)
        if (strcmp(c->leaf[i].raw.name, c->leaf[i - 1].raw.name) == 0)
            return base_fail(c->err, BASE_FORMAT, "'%s' has the tensor '%s' twice", c->path,
                             c->leaf[i].raw.name);
    for (size_t i = 0; i < c->count && status == BASE_OK; i++)
        status = check_boxes(c, &c->leaf[i]);
    return status;
}

/* ---- shards -------------------------------------------------------------------------- */

/* The box's part of the tensor <- values [of the box], row-major; `done` of them are there
 * already. */
static void put_values(vit_raw *raw, const box *b, size_t done, const void *data,
                       size_t count)
{
    const size_t bytes = vit_raw_bytes(raw->type);
    const unsigned char *from = data;
    const int last = raw->rank - 1;

    if (raw->rank == 0) {
        vit_raw_convert(raw->values, from, raw->type, 1);
        return;
    }
    const size_t run = b->stop[last] - b->start[last];
    while (count > 0) {
        size_t place = 0, rest = done / run;
        const size_t column = done % run,
                     here = count < run - column ? count : run - column;
        size_t index[VIT_RAW_RANK] = {0};

        for (int a = last - 1; a >= 0; a--) {
            const size_t side = b->stop[a] - b->start[a];
            index[a] = b->start[a] + rest % side;
            rest /= side;
        }
        index[last] = b->start[last] + column;
        for (int a = 0; a <= last; a++)
            place = place * raw->shape[a] + index[a];
        vit_raw_convert(raw->values + place, from, raw->type, here);
        from += here * bytes;
        done += here;
        count -= here;
    }
}

static base_status odd_chunk(const checkpoint *c, const char *path, const leaf *l,
                             const char *what)
{
    return base_fail(c->err, BASE_FORMAT, "'%s' tensor '%s' %s", path, l->raw.name, what);
}

/* One sub-chunk: its values into the box from *done on. */
static base_status take_part(checkpoint *c, const char *path, leaf *l, const box *b,
                             size_t values, size_t *done, vit_pack *from)
{
    const size_t bytes = vit_raw_bytes(l->raw.type);
    vit_pack_item part, item, type, data;

    if (!vit_pack_take(&part, from, VIT_PACK_EXT) || part.type != EXT_ARRAY)
        return odd_chunk(c, path, l, "has a piece that is no array");
    vit_pack inner = vit_pack_of(&part);
    if (!vit_pack_take(&item, &inner, VIT_PACK_ARRAY) || item.number != 3 ||
        !vit_pack_take(&item, &inner, VIT_PACK_ARRAY) || item.number != 1 ||
        !vit_pack_take(&item, &inner, VIT_PACK_UINT) ||
        !vit_pack_take(&type, &inner, VIT_PACK_STR) ||
        !vit_pack_take(&data, &inner, VIT_PACK_BIN))
        return odd_chunk(c, path, l, "has a piece that is no array");
    if (type.size != strlen(l->raw.type) || memcmp(type.bytes, l->raw.type, type.size) != 0)
        return odd_chunk(c, path, l, "has another type than the index says");
    if (item.number > values - *done || (l->raw.values && data.size != item.number * bytes))
        return odd_chunk(c, path, l, "has a piece of another size than its box");
    if (l->raw.values)
        put_values(&l->raw, b, *done, data.bytes, (size_t)item.number);
    *done += (size_t)item.number;
    return BASE_OK;
}

/* A chunk: [parts, box]. */
static base_status take_chunk(checkpoint *c, const char *path, leaf *l, size_t shard,
                              vit_pack *from)
{
    vit_pack_item chunk, list, ext;
    box b = {.shard = shard}, *known = NULL;
    size_t values = 0, done = 0;

    if (!vit_pack_take(&chunk, from, VIT_PACK_ARRAY) || chunk.number != 2)
        return odd_chunk(c, path, l, "has a chunk that is none");
    vit_pack parts = *from;
    if (!vit_pack_skip(from) || !vit_pack_take(&ext, from, VIT_PACK_EXT) ||
        ext.type != EXT_SLICES)
        return odd_chunk(c, path, l, "has a chunk without its place");
    vit_pack slices = vit_pack_of(&ext);
    if (!take_slices(&b, &slices, l->raw.rank) || !box_fits(&values, &b, &l->raw))
        return odd_chunk(c, path, l, "has a chunk outside of its shape");
    for (size_t i = 0; i < l->boxes; i++)
        if (l->box[i].shard == shard && !l->box[i].filled &&
            memcmp(l->box[i].start, b.start, sizeof b.start) == 0 &&
            memcmp(l->box[i].stop, b.stop, sizeof b.stop) == 0)
            known = &l->box[i];
    if (!known)
        return odd_chunk(c, path, l, "has a chunk that the index does not name");
    if (!vit_pack_take(&list, &parts, VIT_PACK_ARRAY))
        return odd_chunk(c, path, l, "has a chunk without data");
    for (uint64_t i = 0; i < list.number; i++) {
        const base_status status = take_part(c, path, l, &b, values, &done, &parts);
        if (status != BASE_OK)
            return status;
    }
    if (done != values)
        return odd_chunk(c, path, l, "has a piece of another size than its box");
    known->filled = true;
    return BASE_OK;
}

static base_status take_shard(checkpoint *c, const char *path, size_t shard,
                              const char *bytes, size_t size)
{
    vit_pack from = {(const unsigned char *)bytes, (const unsigned char *)bytes + size};
    vit_pack_item top, key, list;
    bool marked = false;

    if (!vit_pack_take(&top, &from, VIT_PACK_MAP))
        return base_fail(c->err, BASE_FORMAT, "'%s' is no shard of a checkpoint", path);
    for (uint64_t i = 0; i < top.number; i++) {
        char digits[24] = "";
        int64_t number = -1;

        if (!vit_pack_take(&key, &from, VIT_PACK_STR))
            return base_fail(c->err, BASE_FORMAT, "'%s' is cut off or damaged", path);
        if (key.size == sizeof magic - 1 && memcmp(key.bytes, magic, key.size) == 0) {
            marked = vit_pack_take(&list, &from, VIT_PACK_BOOL) && list.number == 1;
            continue;
        }
        const size_t shown = key.size < sizeof digits ? key.size : sizeof digits - 1;
        memcpy(digits, key.bytes, shown);
        if (shown < key.size || !base_parse_int(&number, digits) || number < 0 ||
            (size_t)number >= c->count) {
            char quoted[96];
            return base_fail(c->err, BASE_FORMAT,
                             "'%s' holds the tensor number '%s', the index has %zu", path,
                             base_quote(quoted, sizeof quoted, digits), c->count);
        }
        leaf *l = &c->leaf[number];
        if (!vit_pack_take(&list, &from, VIT_PACK_ARRAY))
            return odd_chunk(c, path, l, "is cut off or damaged");
        for (uint64_t j = 0; j < list.number; j++) {
            const base_status status = take_chunk(c, path, l, shard, &from);
            if (status != BASE_OK)
                return status;
        }
    }
    return marked
               ? BASE_OK
               : base_fail(c->err, BASE_FORMAT, "'%s' is no shard of a checkpoint", path);
}

static bool shard_needed(const checkpoint *c, size_t shard)
{
    for (size_t i = 0; i < c->count; i++)
        for (size_t j = 0; c->leaf[i].raw.values && j < c->leaf[i].boxes; j++)
            if (c->leaf[i].box[j].shard == shard)
                return true;
    return false;
}

static base_status read_shards(checkpoint *c)
{
    const int stem = (int)(strlen(c->path) - strlen(".index"));
    base_status status = BASE_OK;

    for (size_t shard = 0; shard < c->shards && status == BASE_OK; shard++) {
        char *bytes = NULL;
        size_t size = 0;

        if (!shard_needed(c, shard))
            continue;
        char *path = base_text("%.*s.data-%05zu-of-%05zu", stem, c->path, shard, c->shards);
        status =
            path ? base_file_read(&bytes, &size, path, shard_most, c->err) : no_memory(c);
        if (status == BASE_OK)
            status = take_shard(c, path, shard, bytes, size);
        base_free(bytes);
        base_free(path);
    }
    for (size_t i = 0; i < c->count && status == BASE_OK; i++)
        for (size_t j = 0; c->leaf[i].raw.values && j < c->leaf[i].boxes; j++)
            if (!c->leaf[i].box[j].filled)
                return base_fail(
                    c->err, BASE_FORMAT,
                    "'%s' tensor '%s' is not complete: shard %zu lacks a piece "
                    "of it",
                    c->path, c->leaf[i].raw.name, c->leaf[i].box[j].shard);
    return status;
}

/* Memory for the parameters; their data must fit the shards' bytes, which only reading
 * tells. */
static base_status values_take(checkpoint *c)
{
    const char *prefix;
    vit_raw_set set = {.at = base_alloc(c->count, sizeof *set.at), .count = c->count};

    if (!set.at)
        return no_memory(c);
    for (size_t i = 0; i < c->count; i++)
        set.at[i] = c->leaf[i].raw;
    prefix = vit_raw_prefix(&set);
    base_free(set.at);
    for (size_t i = 0; i < c->count; i++) {
        vit_raw *raw = &c->leaf[i].raw;

        if (!vit_raw_wanted(raw->name, prefix) || vit_raw_bytes(raw->type) == 0)
            continue;
        raw->values = base_alloc(raw->count, sizeof *raw->values);
        if (!raw->values)
            return base_fail(c->err, BASE_NO_MEMORY,
                             "no memory for the %zu values of '%s' tensor '%s'", raw->count,
                             c->path, raw->name);
    }
    return BASE_OK;
}

base_status vit_raw_index_read(vit_raw_set *out, const char *path, base_error *err)
{
    checkpoint c = {.path = path, .err = err};
    char *bytes = NULL;
    size_t size = 0;
    vit_raw_set set = {0};
    base_status status = base_file_read(&bytes, &size, path, (size_t)1 << 30, err);

    if (status == BASE_OK)
        status = take_index(&c, bytes, size);
    base_free(bytes);
    if (status == BASE_OK)
        status = values_take(&c);
    if (status == BASE_OK)
        status = read_shards(&c);
    if (status == BASE_OK) {
        set.at = base_alloc(c.count, sizeof *set.at);
        status = set.at ? BASE_OK : no_memory(&c);
    }
    for (size_t i = 0; i < c.count; i++) {
        base_free(c.leaf[i].box);
        if (status == BASE_OK) {
            set.at[i] = c.leaf[i].raw;
            continue;
        }
        base_free(c.leaf[i].raw.name);
        base_free(c.leaf[i].raw.values);
    }
    set.count = c.count;
    base_free(c.leaf);
    if (status == BASE_OK)
        *out = set;
    return status;
}
