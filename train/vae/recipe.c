/* recipe.c - the settings of vmoe vae: a table of keys, read from a recipe, overridden by
 * --set, written out, compared on --resume. The file format and the checks of values are
 * those of vmoe train. Relied on elsewhere: names of keys. */
#include "train/vae/vae.h"

#define BASE_STRUCT train_vae_recipe
static const base_field vae_keys[] = {
    BASE_CHOICE(
        "vae.routing", routing, "learned|label",
        "the gate chooses (SMoE-VAE), or class y goes to expert y mod E (supervised baseline)"),
    BASE_INT("vae.experts", config.experts, 1, VIT_EXPERTS_MAX, "decoders"),
    BASE_INT("vae.latent", config.latent, 1, 4096, "numbers of the latent"),
    BASE_INT("vae.hidden", config.hidden, 1, 16384, "hidden size of the encoder"),
    BASE_INT("vae.decoder", config.decoder, 1, 16384, "hidden size of a decoder"),
    BASE_REAL("vae.beta", config.beta, 0, 1e3,
              "weight of the KL divergence, beside squared errors summed over pixels"),
    BASE_REAL(
        "vae.balance", config.balance, 0, 1e3,
        "weight of the balance loss of the gate (ours, in the unit of the squared errors)"),
    BASE_REAL(
        "vae.sharpen", config.sharpen, 0, 1e3,
        "weight of the entropy of an image's gate (ours): one decoder alone must serve at "
        "inference"),
    BASE_TEXT("data.train", train, "training images (--data)", .free = true),
    BASE_TEXT("data.val", val, "validation images (--val)", .free = true),
    BASE_INT("data.image", config.image, 1, 256, "pixels a side"),
    BASE_INT("data.channels", config.channels, 0, 3, "1: grey, 3: colour, 0: the data's"),
    BASE_INT("data.limit", limit, 0, 4294967295.0,
             "train on the first N of the seeded order, 0: all"),
    BASE_INT("data.val_limit", val_limit, 0, 4294967295.0,
             "measure the first N of the seeded order, 0: all"),
    BASE_REAL("optimizer.lr", lr, 0, 10, "peak learning rate of AdamW"),
    BASE_REAL("optimizer.weight_decay", weight_decay, 0, 10, "of matrices"),
    BASE_REAL("optimizer.clip", clip, 0, 1e6, "largest norm of the gradient, 0: off"),
    BASE_INT("schedule.warmup", warmup, 0, 1e9, "steps to the peak, then a cosine to 0"),
    BASE_INT("train.epochs", epochs, 1, 100000, "passes over the data"),
    BASE_INT("train.batch", batch, 1, 65536, "images a step"),
    BASE_INT("train.seed", seed, 0, 9007199254740992.0, "of weights, order and draws"),
    BASE_INT("train.stop_after", stop_after, 0, 9007199254740992.0,
             "stop at this step as Ctrl-C would, with a checkpoint; 0: at the end",
             .free = true),
    BASE_INT("train.log_every", log_every, 1, 1e9,
             "steps from one line of metrics.jsonl to the next", .free = true),
    {0},
};
#undef BASE_STRUCT

train_vae_recipe train_vae_recipe_defaults(void)
{
    train_vae_recipe r = {.name = "plain settings",
                          .config = vit_vae_config_defaults(),
                          .lr = 2e-3,
                          .clip = 10,
                          .warmup = 100,
                          .epochs = 20,
                          .batch = 128,
                          .log_every = 100};

    r.config.channels = 0;
    return r;
}

base_status train_vae_key_set(train_vae_recipe *recipe, const char *key, const char *text,
                              base_error *err)
{
    char shown[160];

    if (base_field_find(vae_keys, key))
        return train_key_set(recipe, vae_keys, key, text, err);
    return base_fail(err, BASE_USAGE, "unknown key '%s' of vmoe vae, the nearest is '%s'",
                     base_quote(shown, sizeof shown, key),
                     base_field_nearest(vae_keys, key)->name);
}

/* One layer of settings that was read, or could not be; frees the list. */
static base_status apply(train_vae_recipe *recipe, base_status status,
                         train_assignment *list, size_t count, base_error *err)
{
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        status = train_vae_key_set(recipe, list[i].key, list[i].text, err);
        if (status != BASE_OK)
            base_error_prepend(err, "%s: ", list[i].where);
    }
    base_free(list);
    return status;
}

base_status train_vae_recipe_load(train_vae_recipe *recipe, const char *name,
                                  base_error *err)
{
    train_assignment *list = NULL;
    size_t count = 0;
    const base_status status = train_assignments_load(&list, &count, name, err);

    snprintf(recipe->name, sizeof recipe->name, "%.127s", name);
    return apply(recipe, status, list, count, err);
}

base_status train_vae_recipe_set(train_vae_recipe *recipe, const char *const *assignments,
                                 size_t count, base_error *err)
{
    train_assignment *list = NULL;
    size_t made = 0;
    const base_status status =
        train_assignments_words(&list, &made, assignments, count, err);

    return apply(recipe, status, list, made, err);
}

train_keys train_vae_recipe_keys(const train_vae_recipe *recipe)
{
    return (train_keys){.keys = vae_keys, .settings = recipe};
}

base_status train_vae_recipe_save(const train_vae_recipe *recipe, const char *path,
                                  base_error *err)
{
    const train_keys keys = train_vae_recipe_keys(recipe);
    char title[256];

    snprintf(title, sizeof title,
             "All settings of this run of vmoe vae, resolved; vmoe %s, from the recipe "
             "'%s'.",
             BASE_VERSION, recipe->name);
    return train_keys_save(&keys, title, path, err);
}
