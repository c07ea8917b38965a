/* checkpoint.c - a model and its state in one folder, written beside the old one and
 * exchanged with it as a whole, so that a kill at any moment leaves a pair that belongs
 * together. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "train/train.h"

base_status train_checkpoint_save(const char *folder, const char *name,
                                  base_status (*write)(void *user, const char *model,
                                                       const char *state, base_error *err),
                                  void *user, base_error *err)
{
    base_status status = BASE_OK;
    char *live = base_text("%s/%s", folder, name);
    char *fresh = base_text("%s/%s.new", folder, name);
    char *model = base_text("%s/%s.new/model.safetensors", folder, name);
    char *state = base_text("%s/%s.new/state.safetensors", folder, name);

    if (!live || !fresh || !model || !state) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s/%s'", folder, name);
        goto done;
    }
    status = base_folder_remove(fresh, err);
    if (status == BASE_OK)
        status = base_folder_make(fresh, err);
    if (status == BASE_OK)
        status = write(user, model, state, err);
    if (status == BASE_OK)
        status = base_folder_replace(live, fresh, err);
    if (status != BASE_OK)
        base_folder_remove(fresh, NULL); /* err already says what went wrong */
done:
    base_free(state);
    base_free(model);
    base_free(fresh);
    base_free(live);
    return status;
}

char *train_checkpoint_last(const char *folder)
{
    static const char *const names[] = {"last", "last.old"};

    for (size_t i = 0; i < 2; i++) {
        char *path = base_text("%s/%s", folder, names[i]);
        if (path && access(path, F_OK) == 0)
            return path;
        base_free(path);
    }
    return NULL;
}

/* ---- what every state holds ---------------------------------------------------------- */

const char *train_state_fingerprint(char *out, size_t out_bytes, const data_source *source)
{
    snprintf(out, out_bytes, "%016" PRIx64, data_source_fingerprint(source));
    return out;
}

base_status train_state_number(uint64_t *out, const vit_tensor_file *file, const char *key,
                               const char *path, base_error *err)
{
    const char *text = vit_tensors_metadata(file, key);
    int64_t whole = 0;

    if (!text || !base_parse_int(&whole, text) || whole < 0 ||
        whole > INT64_MAX / 65536 / 65536 /* times images */)
        return base_fail(err, BASE_FORMAT, "'%s' has no usable '%s' in its metadata", path,
                         key);
    *out = (uint64_t)whole;
    return BASE_OK;
}

base_status train_state_doubles(double *out, size_t count, const vit_tensor_file *file,
                                const char *name, const char *path, base_error *err)
{
    const vit_tensor *t = vit_tensors_find(file, name);

    if (!t || strcmp(t->type, "F64") != 0 || t->rank != 1 || t->shape[0] != count)
        return base_fail(err, BASE_FORMAT, "'%s' has no tensor '%s' of %zu doubles", path,
                         name, count);
    memcpy(out, t->data, count * sizeof *out);
    for (size_t i = 0; i < count; i++) /* sums of what is never below 0, but for a loss */
        if (!isfinite(out[i]))
            return base_fail(err, BASE_FORMAT,
                             "'%s' has a number in '%s' that is not finite", path, name);
    return BASE_OK;
}

base_status train_state_same_data(const vit_tensor_file *file, const char *key,
                                  const char *which, const data_source *source,
                                  base_error *err)
{
    const char *stored = vit_tensors_metadata(file, key);
    char now[48];

    train_state_fingerprint(now, sizeof now, source);
    if (stored && strcmp(stored, now) == 0)
        return BASE_OK;
    return base_fail(err, BASE_MISMATCH,
                     "the %s data '%s' has fingerprint %s, the run began with %.32s", which,
                     data_source_path(source), now, stored ? stored : "none");
}
