/* safetensors_write.c - the other direction: tensors into a file, whole or not at all.
 * Wide types first, so that every tensor's data is aligned to its own size, and equal
 * input gives equal bytes. Follows the reference implementation's layout (safetensors.c
 * cites it). */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "vit/model_internal.h"

/* Bytes of an element, 0 for a type that is not written. */
static size_t type_bytes(const char *type)
{
    if (strcmp(type, "F64") == 0 || strcmp(type, "I64") == 0)
        return 8;
    if (strcmp(type, "F32") == 0)
        return 4;
    if (strcmp(type, "BF16") == 0)
        return 2;
    return strcmp(type, "U8") == 0 ? 1 : 0;
}

static size_t tensor_bytes(const vit_tensor *t)
{
    size_t bytes = type_bytes(t->type);

    for (int i = 0; i < t->rank; i++)
        bytes *= t->shape[i]; /* it lies in memory, so the product fits */
    return bytes;
}

/* Puts the description of t at *offset into header and moves *offset on. False: no
 * memory, a name twice, or a name that is no UTF-8. */
static bool describe(json_t *header, const vit_tensor *t, size_t *offset)
{
    const size_t end = *offset + tensor_bytes(t);
    json_t *shape = json_array();

    for (int i = 0; i < t->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) != 0) {
            json_decref(shape);
            return false;
        }
    json_t *value = json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->type, "shape", shape,
                              "data_offsets", (json_int_t)*offset, (json_int_t)end);
    if (!value || json_object_get(header, t->name)) {
        json_decref(value);
        return false;
    }
    *offset = end;
    return json_object_set_new(header, t->name, value) == 0;
}

static bool describe_metadata(json_t *header, const vit_pair *metadata, size_t pairs)
{
    json_t *object = json_object();
    bool good = object != NULL;

    for (size_t i = 0; good && i < pairs; i++)
        good = json_object_set_new(object, metadata[i].key,
                                   json_string(metadata[i].value)) == 0;
    if (good && pairs > 0)
        return json_object_set_new(header, "__metadata__", object) == 0;
    json_decref(object);
    return good;
}

/* Who gives the data of tensors that have none. */
typedef struct source {
    vit_fill *fill;
    void *user;
    base_status status; /* of the first that failed */
} source;

/* Asks for a tensor's data, window by window, and writes it. */
static bool write_asked(FILE *file, const vit_tensor *t, source *from, base_error *err)
{
    const size_t bytes = tensor_bytes(t);
    const size_t room = bytes < VIT_WINDOW_BYTES ? bytes : VIT_WINDOW_BYTES;
    char *window = base_alloc(room, 1);
    bool good = window != NULL;

    if (!good)
        from->status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", t->name);
    for (size_t at = 0; at < bytes && good; at += room) {
        const size_t size = bytes - at < room ? bytes - at : room;

        from->status = from->fill(from->user, t->name, window, at, size, err);
        good = from->status == BASE_OK && fwrite(window, 1, size, file) == size;
    }
    base_free(window);
    return good;
}

/* Writes header and data in the order of their bytes per element. */
static bool write_all(FILE *file, const char *text, const vit_tensor *tensors, size_t count,
                      source *from, base_error *err)
{
    const size_t length = strlen(text);
    const uint64_t padded = (length + 7) / 8 * 8;
    bool good =
        fwrite(&padded, sizeof padded, 1, file) == 1 &&
        fwrite(text, 1, length, file) == length &&
        fwrite("       ", 1, (size_t)padded - length, file) == (size_t)padded - length;

    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; good && i < count; i++) {
            const size_t bytes = tensor_bytes(&tensors[i]);
            if (type_bytes(tensors[i].type) != size || bytes == 0)
                continue;
            good = tensors[i].data ? fwrite(tensors[i].data, 1, bytes, file) == bytes
                                   : write_asked(file, &tensors[i], from, err);
        }
    return good;
}

base_status vit_tensors_write(const char *path, const vit_tensor *tensors, size_t count,
                              const vit_pair *metadata, size_t pairs, base_error *err)
{
    return vit_tensors_stream(path, tensors, count, metadata, pairs, NULL, NULL, err);
}

base_status vit_tensors_stream(const char *path, const vit_tensor *tensors, size_t count,
                               const vit_pair *metadata, size_t pairs, vit_fill *fill,
                               void *user, base_error *err)
{
    base_status status = BASE_OK;
    source from = {fill, user, BASE_OK};
    base_writer writer = {0};
    size_t offset = 0;
    char *text = NULL;
    json_t *header = json_object();
    bool good = header && describe_metadata(header, metadata, pairs);

    for (size_t i = 0; i < count; i++)
        if (type_bytes(tensors[i].type) == 0) {
            status = base_fail(err, BASE_UNSUPPORTED,
                               "'%s' cannot hold tensor '%s' of type '%s'", path,
                               tensors[i].name, tensors[i].type);
            goto done;
        }
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; good && i < count; i++)
            if (type_bytes(tensors[i].type) == size &&
                !describe(header, &tensors[i], &offset)) {
                char quoted[96];
                status =
                    base_fail(err, BASE_FORMAT,
                              "'%s' cannot hold a tensor named '%s' (twice, or no UTF-8)",
                              path, base_quote(quoted, sizeof quoted, tensors[i].name));
                goto done;
            }
    text = good ? json_dumps(header, JSON_COMPACT) : NULL;
    if (!text) {
        status = base_fail(err, BASE_FORMAT,
                           "'%s' cannot hold its metadata (no UTF-8, or no memory)", path);
        goto done;
    }
    status = base_writer_open(&writer, path, err);
    if (status != BASE_OK)
        goto done;
    if (!write_all(writer.file, text, tensors, count, &from, err)) {
        status = from.status != BASE_OK ? from.status
                                        : base_fail_errno(err, "cannot write '%s'", path);
        base_writer_abandon(&writer);
        goto done;
    }
    status = base_writer_commit(&writer, err);
done:
    free(text); /* jansson's, from malloc */
    json_decref(header);
    return status;
}
