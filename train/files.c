/* files.c - what a trained network's file is called, and what it wants to see. Relied on
 * elsewhere: a run's folder means its best checkpoint. */
#include <string.h>
#include <sys/stat.h>

#include "train/train.h"

void train_loader_feed(data_loader_config *out, const vit_config *config)
{
    out->size = (size_t)config->crop;
    out->channels = (size_t)config->channels;
    out->resize = (size_t)config->resize;
    data_filter_parse(&out->filter, config->interpolation); /* vit_config_check's words */
    out->squash = config->crop_mode == VIT_CROP_SQUASH;
    memcpy(out->mean, config->mean, sizeof out->mean);
    memcpy(out->std, config->std, sizeof out->std);
}

/* What a folder of another program is called, NULL: unknown. */
static const char *of_others(const char *folder)
{
    static const struct {
        const char *file, *what;
    } marks[] = {
        {"manifest.ocdbt",
         "an Orbax checkpoint of JAX, another format than PREFIX.index: save "
         "its parameters as .npz with Python (numpy.savez)"},
        {"_METADATA",
         "an Orbax checkpoint of JAX, another format than PREFIX.index: save its "
         "parameters as .npz with Python (numpy.savez)"},
        {"pytorch_model.bin", "a folder with a PyTorch file (pytorch_model.bin), expected "
                              "model.safetensors: save_file of safetensors.torch makes it"},
        {"saved_model.pb", "a TensorFlow model, expected model.safetensors"},
    };

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        struct stat info;
        char *path = base_text("%s/%s", folder, marks[i].file);
        const bool there = path && stat(path, &info) == 0;

        base_free(path);
        if (there)
            return marks[i].what;
    }
    return NULL;
}

base_status train_model_path(char **out, const char *word, base_error *err)
{
    static const char *const places[] = {"best/model.safetensors", "last/model.safetensors",
                                         "model.safetensors",
                                         "model.safetensors.index.json"};
    struct stat info;

    if (stat(word, &info) != 0)
        return base_fail_errno(err, "cannot open '%s'", word);
    char *path = S_ISDIR(info.st_mode) ? NULL : base_text("%s", word);
    for (size_t i = 0; S_ISDIR(info.st_mode) && i < sizeof places / sizeof places[0]; i++) {
        struct stat file;

        path = base_text("%s/%s", word, places[i]);
        if (!path || stat(path, &file) == 0)
            break;
        base_free(path);
        path = NULL;
        if (i + 1 == sizeof places / sizeof places[0] && of_others(word))
            return base_fail(err, BASE_UNSUPPORTED, "'%s' is %s", word, of_others(word));
        if (i + 1 == sizeof places / sizeof places[0])
            return base_fail(err, BASE_IO,
                             "'%s' holds no checkpoint, expected %s, %s or %s in it", word,
                             places[0], places[1], places[2]);
    }
    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the name '%s'", word);
    *out = path;
    return BASE_OK;
}
