/* recipe.c - the settings of vmoe vae: a table of keys, read from a recipe, overridden by --set, written out,
 * compared on --resume. The file format and the checks of values are those of vmoe train.
 * Relied on elsewhere: names of keys. */
#include <string.h>

#include "apps/vae/internal.h"

#define AT(member) offsetof(app_vae_recipe, member), sizeof(((app_vae_recipe *)0)->member)
#define KEY(s, n, kind, member, low, high, help)                                           \
    {                                                                                      \
        s, n, kind, AT(member), low, high, NULL, false, help                               \
    }

const train_key app_vae_keys[] = {
    {"vae", "routing", TRAIN_KEY_CHOICE, AT(routing), 0, 0, "learned|label", false,
     "the gate chooses (SMoE-VAE), or class y goes to expert y mod E (supervised baseline)"},
    KEY("vae", "experts", TRAIN_KEY_INT, config.experts, 1, VIT_EXPERTS_MAX, "decoders"),
    KEY("vae", "latent", TRAIN_KEY_INT, config.latent, 1, 4096, "numbers of the latent"),
    KEY("vae", "hidden", TRAIN_KEY_INT, config.hidden, 1, 16384,
        "hidden size of the encoder"),
    KEY("vae", "decoder", TRAIN_KEY_INT, config.decoder, 1, 16384,
        "hidden size of a decoder"),
    KEY("vae", "beta", TRAIN_KEY_REAL, config.beta, 0, 1e3,
        "weight of the KL divergence, beside squared errors summed over pixels"),
    KEY("vae", "balance", TRAIN_KEY_REAL, config.balance, 0, 1e3,
        "weight of the balance loss of the gate (ours, in the unit of the squared errors)"),
    KEY("vae", "sharpen", TRAIN_KEY_REAL, config.sharpen, 0, 1e3,
        "weight of the entropy of an image's gate (ours): one decoder alone must serve at "
        "inference"),
    {"data", "train", TRAIN_KEY_TEXT, AT(train), 0, 0, NULL, true,
     "training images (--data)"},
    {"data", "val", TRAIN_KEY_TEXT, AT(val), 0, 0, NULL, true, "validation images (--val)"},
    KEY("data", "image", TRAIN_KEY_INT, config.image, 1, 256, "pixels a side"),
    KEY("data", "channels", TRAIN_KEY_INT, config.channels, 0, 3,
        "1: grey, 3: colour, 0: the data's"),
    KEY("data", "limit", TRAIN_KEY_LONG, limit, 0, 4294967295.0,
        "train on the first N of the seeded order, 0: all"),
    KEY("data", "val_limit", TRAIN_KEY_LONG, val_limit, 0, 4294967295.0,
        "measure the first N of the seeded order, 0: all"),
    KEY("optimizer", "lr", TRAIN_KEY_REAL, lr, 0, 10, "peak learning rate of AdamW"),
    KEY("optimizer", "weight_decay", TRAIN_KEY_REAL, weight_decay, 0, 10, "of matrices"),
    KEY("optimizer", "clip", TRAIN_KEY_REAL, clip, 0, 1e6,
        "largest norm of the gradient, 0: off"),
    KEY("schedule", "warmup", TRAIN_KEY_LONG, warmup, 0, 1e9,
        "steps to the peak, then a cosine to 0"),
    KEY("train", "epochs", TRAIN_KEY_INT, epochs, 1, 100000, "passes over the data"),
    KEY("train", "batch", TRAIN_KEY_INT, batch, 1, 65536, "images a step"),
    KEY("train", "seed", TRAIN_KEY_LONG, seed, 0, 9007199254740992.0,
        "of weights, order and draws"),
    {"train", "stop_after", TRAIN_KEY_LONG, AT(stop_after), 0, 9007199254740992.0, NULL,
     true, "stop at this step as Ctrl-C would, with a checkpoint; 0: at the end"},
    {"train", "log_every", TRAIN_KEY_LONG, AT(log_every), 1, 1e9, NULL, true,
     "steps from one line of metrics.jsonl to the next"},
};
const size_t app_vae_key_count = sizeof app_vae_keys / sizeof app_vae_keys[0];

app_vae_recipe app_vae_recipe_defaults(void)
{
    app_vae_recipe r = {.name = "plain settings",
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

static base_status apply_one(app_vae_recipe *recipe, const train_assignment *a,
                             base_error *err)
{
    const train_key *nearest = app_vae_keys;
    char asked[136], name[136];
    size_t best = SIZE_MAX;

    snprintf(asked, sizeof asked, "%s.%s", a->section, a->name);
    for (size_t i = 0; i < app_vae_key_count; i++) {
        const train_key *key = &app_vae_keys[i];
        if (strcmp(key->section, a->section) == 0 && strcmp(key->name, a->name) == 0)
            return train_key_set(recipe, key, a->text, err);
        snprintf(name, sizeof name, "%s.%s", key->section, key->name);
        const size_t distance = base_edit_distance(asked, name);
        if (distance < best) {
            best = distance;
            nearest = key;
        }
    }
    return base_fail(err, BASE_USAGE,
                     "unknown key '%s' of vmoe vae, the nearest is '%s.%s'",
                     base_quote(name, sizeof name, asked), nearest->section, nearest->name);
}

base_status app_vae_recipe_apply(app_vae_recipe *recipe, const train_assignment *list,
                                 size_t count, base_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const base_status status = apply_one(recipe, &list[i], err);
        if (status != BASE_OK) {
            base_error_prepend(err, "%s: ", list[i].where);
            return status;
        }
    }
    return BASE_OK;
}

base_status app_vae_recipe_save(const app_vae_recipe *recipe, const char *path,
                                base_error *err)
{
    char heading[256];

    snprintf(heading, sizeof heading,
             " of vmoe vae, resolved; vmoe %s, from the recipe '%s'.", BASE_VERSION,
             recipe->name);
    return train_keys_save(path, heading, app_vae_keys, app_vae_key_count, recipe, NULL,
                           err);
}

char *app_vae_recipe_fixed(const app_vae_recipe *recipe)
{
    return train_keys_fixed(app_vae_keys, app_vae_key_count, recipe, 0);
}

void app_vae_recipe_print_keys(void)
{
    const app_vae_recipe defaults = app_vae_recipe_defaults();

    printf("keys of a recipe of vmoe vae and of --set, with their defaults\n");
    app_keys_print(app_vae_keys, app_vae_key_count, &defaults);
}
