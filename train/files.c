/* files.c - what a trained network's file is called, and what it wants to see; whether a
 * run lies in a folder. Relied on elsewhere: a run's folder means its best checkpoint. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The folder's recipe.ini against the recipe; a folder without one is fine. */
static base_status recipe_agrees(const char *folder, const train_recipe *recipe,
                                 base_error *err)
{
    char *path = base_text("%s/recipe.ini", folder), *stored = NULL;
    train_recipe there = train_recipe_defaults();
    base_status status = BASE_OK;

    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", folder);
    if (access(path, F_OK) != 0)
        goto done;
    there.train.lanes = 1; /* of a file that was written before there were any */
    status = train_recipe_load(&there, path, err);
    if (status == BASE_OK) {
        stored = train_recipe_fixed_text(&there);
        status = stored ? train_recipe_compare(recipe, stored, false, err)
                        : base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", path);
    }
    if (status == BASE_USAGE && err) /* of a file that we wrote, not of the command line */
        status = err->status = BASE_MISMATCH;
done:
    base_free(stored);
    base_free(path);
    return status;
}

static base_status data_agrees(const char *stored, const char *now, const char *which,
                               const char *path, base_error *err)
{
    if (strcmp(stored, now) == 0)
        return BASE_OK;
    return base_fail(err, BASE_MISMATCH,
                     "it was trained with other %s data, of fingerprint %s, than '%s' (%s)",
                     which, stored, path, now);
}

base_status train_run_look(train_position *at, bool *found, const char *folder,
                           const train_recipe *recipe, const char *train, const char *val,
                           base_error *err)
{
    train_state_facts facts = {0};
    base_status status = recipe_agrees(folder, recipe, err);

    *found = false;
    if (status == BASE_OK)
        status = train_state_peek(&facts, found, folder, err);
    *at = facts.at;
    if (status == BASE_OK && *found)
        status = train_recipe_compare(recipe, facts.recipe, false, err);
    if (status == BASE_OK && *found)
        status = data_agrees(facts.train, train, "training", recipe->data.train, err);
    if (status == BASE_OK && *found)
        status = data_agrees(facts.val, val, "validation", recipe->data.val, err);
    base_free(facts.recipe);
    return status;
}
