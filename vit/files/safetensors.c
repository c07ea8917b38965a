/* safetensors.c - sets of named tensors in one file, read with suspicion and written to
 * the byte. Format: https://github.com/huggingface/safetensors: 8 bytes little-endian
 * header length, JSON header {"name": {"dtype", "shape", "data_offsets": [begin, end]},
 * "__metadata__": {strings}}, padded with spaces, then the data without holes. Relied on
 * elsewhere: equal input gives equal bytes; tensors are listed in the order of their
 * data; data is aligned to 64 bytes in memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "vit/model_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are stored little-endian");

enum { RANK_MAX = 4, ALIGN = 64 };

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    {"F64", 8}, {"I64", 8}, {"U64", 8},  {"F32", 4},     {"I32", 4},
    {"U32", 4}, {"F16", 2}, {"BF16", 2}, {"I16", 2},     {"U16", 2},
    {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

typedef struct entry {
    vit_tensor tensor;
    size_t begin, end; /* bytes after the header */
} entry;

struct vit_tensor_file {
    json_t *header; /* owns the names and the metadata */
    entry *entry;   /* [count], by place in the file */
    size_t count;
    unsigned char *data;
    vit_tensor_file **part; /* [parts] of a list of shards, which own names and data */
    size_t parts;
};

/* Index into types, TYPE_COUNT if unknown. */
static size_t type_find(const char *name)
{
    size_t i = 0;

    while (i < TYPE_COUNT && strcmp(types[i].name, name) != 0)
        i++;
    return i;
}

const char *vit_shape_text(char *out, size_t out_bytes, const size_t *shape, int rank)
{
    size_t used = (size_t)snprintf(out, out_bytes, "[");

    for (int i = 0; i < rank && used < out_bytes; i++)
        used +=
            (size_t)snprintf(out + used, out_bytes - used, i ? ", %zu" : "%zu", shape[i]);
    if (used < out_bytes)
        snprintf(out + used, out_bytes - used, "]");
    return out;
}

/* ---- reading: one entry of the header ------------------------------------------------ */

/* A JSON integer of 0 or more. */
static bool to_size(size_t *out, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static base_status parse_shape(vit_tensor *t, size_t *elements, const json_t *shape,
                               const char *path, const char *name, base_error *err)
{
    if (!json_is_array(shape))
        return base_fail(err, BASE_FORMAT, "'%s' tensor '%s' has no shape", path, name);
    if (json_array_size(shape) > RANK_MAX)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' tensor '%s' has %zu dimensions, at most %d are read", path,
                         name, json_array_size(shape), (int)RANK_MAX);
    *elements = 1;
    t->rank = (int)json_array_size(shape);
    for (int i = 0; i < t->rank; i++)
        if (!to_size(&t->shape[i], json_array_get(shape, (size_t)i)))
            return base_fail(err, BASE_FORMAT,
                             "'%s' tensor '%s' has a dimension that is no count", path,
                             name);
    for (int i = 0; i < t->rank; i++)
        if (!base_mul_size(elements, *elements, t->shape[i])) {
            char text[96];
            return base_fail(err, BASE_FORMAT,
                             "'%s' tensor '%s' has the impossible shape %s", path, name,
                             vit_shape_text(text, sizeof text, t->shape, t->rank));
        }
    return BASE_OK;
}

/* room: bytes of data in the file. */
static base_status parse_offsets(entry *e, const json_t *offsets, size_t bytes, size_t room,
                                 const char *path, const char *name, base_error *err)
{
    if (json_array_size(offsets) != 2 || !to_size(&e->begin, json_array_get(offsets, 0)) ||
        !to_size(&e->end, json_array_get(offsets, 1)))
        return base_fail(err, BASE_FORMAT,
                         "'%s' tensor '%s' has no data_offsets of two counts", path, name);
    if (e->begin > e->end || e->end > room)
        return base_fail(err, BASE_FORMAT,
                         "'%s' tensor '%s' lies at bytes %zu to %zu, the file holds %zu",
                         path, name, e->begin, e->end, room);
    if (e->end - e->begin != bytes) {
        char text[96];
        return base_fail(
            err, BASE_FORMAT, "'%s' tensor '%s' has %zu bytes, expected %zu for %s %s",
            path, name, e->end - e->begin, bytes, e->tensor.type,
            vit_shape_text(text, sizeof text, e->tensor.shape, e->tensor.rank));
    }
    return BASE_OK;
}

static base_status parse_entry(entry *e, const char *key, const json_t *value, size_t room,
                               const char *path, base_error *err)
{
    char name[96];
    size_t elements = 0;
    size_t bytes = 0;
    const json_t *dtype = json_object_get(value, "dtype");

    base_quote(name, sizeof name, key);
    e->tensor.name = key;
    if (json_object_size(value) != 3 || !json_is_string(dtype))
        return base_fail(err, BASE_FORMAT,
                         "'%s' tensor '%s' has not just dtype, shape and data_offsets",
                         path, name);
    const size_t type = type_find(json_string_value(dtype));
    if (type == TYPE_COUNT) {
        char quoted[40];
        return base_fail(err, BASE_FORMAT, "'%s' tensor '%s' has the unknown dtype '%s'",
                         path, name,
                         base_quote(quoted, sizeof quoted, json_string_value(dtype)));
    }
    e->tensor.type = types[type].name;
    base_status status = parse_shape(&e->tensor, &elements, json_object_get(value, "shape"),
                                     path, name, err);
    if (status != BASE_OK)
        return status;
    if (!base_mul_size(&bytes, elements, types[type].bytes))
        return base_fail(err, BASE_FORMAT, "'%s' tensor '%s' is larger than any file", path,
                         name);
    return parse_offsets(e, json_object_get(value, "data_offsets"), bytes, room, path, name,
                         err);
}

/* ---- reading: the whole file --------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const entry *x = a;
    const entry *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The data must follow one another without hole or overlap, to the end of the file. */
static base_status check_places(const vit_tensor_file *f, size_t room, const char *path,
                                base_error *err)
{
    size_t at = 0;

    for (size_t i = 0; i < f->count; i++) {
        char name[96];
        if (f->entry[i].begin != at)
            return base_fail(err, BASE_FORMAT,
                             "'%s' tensor '%s' begins at byte %zu, expected %zu", path,
                             base_quote(name, sizeof name, f->entry[i].tensor.name),
                             f->entry[i].begin, at);
        at = f->entry[i].end;
    }
    return at == room ? BASE_OK
                      : base_fail(err, BASE_FORMAT,
                                  "'%s' holds %zu bytes of data, its tensors need %zu",
                                  path, room, at);
}

static base_status parse_metadata(const json_t *metadata, const char *path, base_error *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(metadata))
        return base_fail(err, BASE_FORMAT, "'%s' has a __metadata__ that is no object",
                         path);
    json_object_foreach((json_t *)metadata, key, value) if (!json_is_string(value))
    {
        char quoted[96];
        return base_fail(err, BASE_FORMAT, "'%s' metadata '%s' is no string", path,
                         base_quote(quoted, sizeof quoted, key));
    }
    return BASE_OK;
}

static base_status parse_header(vit_tensor_file *f, const char *text, size_t length,
                                size_t room, const char *path, base_error *err)
{
    json_error_t where;
    const char *key;
    json_t *value;

    f->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    if (!f->header) {
        char quoted[JSON_ERROR_TEXT_LENGTH];
        return base_fail(err, BASE_FORMAT, "'%s' has no JSON header: %s at byte %d", path,
                         base_quote(quoted, sizeof quoted, where.text), 8 + where.position);
    }
    if (!json_is_object(f->header))
        return base_fail(err, BASE_FORMAT, "'%s' has a header that is no JSON object",
                         path);
    f->entry = base_alloc(json_object_size(f->header), sizeof *f->entry);
    if (!f->entry)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the %zu tensors of '%s'",
                         json_object_size(f->header), path);
    json_object_foreach(f->header, key, value)
    {
        const base_status status =
            strcmp(key, "__metadata__") == 0
                ? parse_metadata(value, path, err)
                : parse_entry(&f->entry[f->count++], key, value, room, path, err);
        if (status != BASE_OK)
            return status;
    }
    qsort(f->entry, f->count, sizeof *f->entry, by_place);
    return check_places(f, room, path, err);
}

static base_status read_at(int fd, void *out, size_t bytes, size_t offset, const char *path,
                           base_error *err)
{
    unsigned char *to = out;

    while (bytes > 0) {
        const ssize_t got = pread(fd, to, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return base_fail_errno(err, "cannot read '%s'", path);
        if (got == 0)
            return base_fail(err, BASE_IO, "'%s' became shorter while it was read", path);
        to += got;
        bytes -= (size_t)got;
        offset += (size_t)got;
    }
    return BASE_OK;
}

/* All tensors into one block, each aligned whatever its place in the file. */
static base_status read_data(vit_tensor_file *f, int fd, size_t start, const char *path,
                             base_error *err)
{
    size_t total = 0;

    for (size_t i = 0; i < f->count; i++)
        total += (f->entry[i].end - f->entry[i].begin + ALIGN - 1) / ALIGN * ALIGN;
    f->data = base_alloc(total, 1);
    if (!f->data)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the %zu bytes of '%s'", total,
                         path);
    unsigned char *to = f->data;
    for (size_t i = 0; i < f->count; i++) {
        const size_t bytes = f->entry[i].end - f->entry[i].begin;
        const base_status status =
            read_at(fd, to, bytes, start + f->entry[i].begin, path, err);
        if (status != BASE_OK)
            return status;
        f->entry[i].tensor.data = to;
        to += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    return BASE_OK;
}

static base_status open_one(vit_tensor_file **out, const char *path, base_error *err)
{
    base_status status = BASE_OK;
    size_t bytes = 0;
    uint64_t length = 0;
    char *text = NULL;

    int fd = -1;
    status = base_file_open(&fd, &bytes, path, err);
    if (status != BASE_OK)
        return status;
    vit_tensor_file *f = base_alloc(1, sizeof *f);
    if (!f) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
        goto done;
    }
    unsigned char first[4096] = {0};
    const size_t have = bytes < sizeof first ? bytes : sizeof first;
    status = read_at(fd, first, have, 0, path, err);
    if (status == BASE_OK)
        status = vit_file_kind(first, have, bytes, path, err);
    if (status == BASE_OK)
        status = read_at(fd, &length, 8, 0, path, err);
    if (status != BASE_OK)
        goto done;
    if (length < 2 || length > VIT_HEADER_MOST || length > bytes - 8) {
        status = base_fail(
            err, BASE_FORMAT, "'%s' announces a header of %llu bytes, expected 2 to %llu",
            path, (unsigned long long)length,
            (unsigned long long)(bytes - 8 < VIT_HEADER_MOST ? bytes - 8
                                                             : VIT_HEADER_MOST));
        goto done;
    }
    text = base_alloc((size_t)length, 1);
    if (!text) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for the header of '%s'", path);
        goto done;
    }
    status = read_at(fd, text, (size_t)length, 8, path, err);
    if (status == BASE_OK)
        status =
            parse_header(f, text, (size_t)length, bytes - 8 - (size_t)length, path, err);
    if (status == BASE_OK)
        status = read_data(f, fd, 8 + (size_t)length, path, err);
    if (status == BASE_OK) {
        *out = f;
        f = NULL;
    }
done:
    base_free(text);
    vit_tensors_close(f);
    close(fd);
    return status;
}

void vit_tensors_strip(vit_tensor_file *file, size_t bytes)
{
    for (size_t i = 0; i < file->count; i++)
        file->entry[i].tensor.name += bytes;
}

/* ---- shards -------------------------------------------------------------------------- */

static base_status no_list(const char *path, const char *what, base_error *err)
{
    return base_fail(err, BASE_FORMAT, "'%s' is no list of shards: %s", path, what);
}

/* The shard called `name`, opened once; its place in f->part. */
static base_status shard_of(size_t *out, vit_tensor_file *f, char **names, const char *name,
                            const char *path, base_error *err)
{
    const char *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash - path) + 1 : 0;

    for (*out = 0; *out < f->parts; (*out)++)
        if (strcmp(names[*out], name) == 0)
            return BASE_OK;
    if (strchr(name, '/') || name[0] == '.')
        return no_list(path, "a shard's name leads elsewhere", err);
    char *full = base_text("%.*s%s", folder, path, name);
    names[f->parts] = base_text("%s", name);
    base_status status =
        full && names[f->parts]
            ? open_one(&f->part[f->parts], full, err)
            : base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    f->parts++;
    base_free(full);
    return status;
}

/* Every tensor of weight_map from its shard; none may be missing there or left over. */
static base_status gather(vit_tensor_file *f, const json_t *map, char **names,
                          const char *path, base_error *err)
{
    const char *key;
    json_t *value;
    size_t all = 0;

    json_object_foreach((json_t *)map, key, value)
    {
        size_t part = 0;
        char quoted[96];

        if (!json_is_string(value))
            return no_list(path, "'weight_map' has a value that is no name", err);
        base_status status = shard_of(&part, f, names, json_string_value(value), path, err);
        if (status != BASE_OK)
            return status;
        const vit_tensor *t = vit_tensors_find(f->part[part], key);
        if (!t)
            return base_fail(err, BASE_FORMAT,
                             "'%s' has the tensor '%s' in '%s', which lacks it", path,
                             base_quote(quoted, sizeof quoted, key), names[part]);
        f->entry[f->count++].tensor = *t;
    }
    for (size_t i = 0; i < f->parts; i++)
        all += f->part[i]->count;
    return all == f->count
               ? BASE_OK
               : no_list(path, "its shards hold tensors that it does not name", err);
}

/* model.safetensors.index.json: {"weight_map": {tensor: file beside it}}. */
static base_status open_list(vit_tensor_file **out, const char *path, base_error *err)
{
    char *text = NULL, **names = NULL;
    size_t bytes = 0;
    json_error_t where;
    base_status status = base_file_read(&text, &bytes, path, VIT_HEADER_MOST, err);

    if (status != BASE_OK)
        return status;
    json_t *top = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where);
    const json_t *map = json_object_get(top, "weight_map");
    const size_t count = json_object_size(map);
    vit_tensor_file *f = base_alloc(1, sizeof *f);
    base_free(text);
    if (f) {
        f->entry = base_alloc(count, sizeof *f->entry);
        f->part = base_alloc(count, sizeof(void *));
        names = base_alloc(count, sizeof(void *));
    }
    if (!f || !f->entry || !f->part || !names)
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    else if (count == 0)
        status = no_list(path, "it has no 'weight_map'", err);
    else
        status = gather(f, map, names, path, err);
    for (size_t i = 0; f && names && i < f->parts; i++)
        base_free(names[i]);
    base_free(names);
    json_decref(top);
    if (status == BASE_OK)
        *out = f;
    else
        vit_tensors_close(f);
    return status;
}

base_status vit_tensors_open(vit_tensor_file **out, const char *path, base_error *err)
{
    return vit_name_ends(path, ".index.json") ? open_list(out, path, err)
                                              : open_one(out, path, err);
}

void vit_tensors_close(vit_tensor_file *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->parts; i++)
        vit_tensors_close(file->part[i]);
    base_free(file->part);
    json_decref(file->header);
    base_free(file->entry);
    base_free(file->data);
    base_free(file);
}

size_t vit_tensors_count(const vit_tensor_file *file)
{
    return file->count;
}

const vit_tensor *vit_tensors_at(const vit_tensor_file *file, size_t i)
{
    return &file->entry[i].tensor;
}

const vit_tensor *vit_tensors_find(const vit_tensor_file *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->entry[i].tensor.name, name) == 0)
            return &file->entry[i].tensor;
    return NULL;
}

const char *vit_tensors_metadata(const vit_tensor_file *file, const char *key)
{
    return json_string_value(
        json_object_get(json_object_get(file->header, "__metadata__"), key));
}
