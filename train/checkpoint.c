/* checkpoint.c - a model and its state in one folder, written beside the old one and exchanged with it as a whole,
 * so that a kill at any moment leaves a pair that belongs together. */
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
