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

/* Writes header and data in the order of their bytes per element. */
static bool write_all(FILE *file, const char *text, const vit_tensor *tensors, size_t count)
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
            if (type_bytes(tensors[i].type) == size && bytes > 0)
                good = fwrite(tensors[i].data, 1, bytes, file) == bytes;
        }
    return good;
}

base_status vit_tensors_write(const char *path, const vit_tensor *tensors, size_t count,
                              const vit_pair *metadata, size_t pairs, base_error *err)
{
    base_status status = BASE_OK;
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
    if (!write_all(writer.file, text, tensors, count)) {
        status = base_fail_errno(err, "cannot write '%s'", path);
        base_writer_abandon(&writer);
        goto done;
    }
    status = base_writer_commit(&writer, err);
done:
    free(text); /* jansson's, from malloc */
    json_decref(header);
    return status;
}
