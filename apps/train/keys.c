/* keys.c - vmoe train --keys: every key of a recipe with its range and default. Free to change: all of it. */
#include "apps/train/internal.h"

void app_keys_print(const train_key *keys, size_t count, const void *settings)
{
    char value[TRAIN_TEXT], range[192];

    for (size_t i = 0; i < count; i++) {
        const train_key *key = &keys[i];

        if (key->kind <= TRAIN_KEY_REAL)
            snprintf(range, sizeof range, "  [%.10g .. %.10g]", key->low, key->high);
        else
            snprintf(range, sizeof range, "%s%s%s", key->choices ? "  [" : "",
                     key->choices ? key->choices : "", key->choices ? "]" : "");
        printf("%s.%s = %s%s\n    %s\n", key->section, key->name,
               train_key_get(value, sizeof value, settings, key), range, key->help);
    }
}

void app_train_keys_print(void)
{
    const train_recipe defaults = train_recipe_defaults();
    char value[TRAIN_TEXT];

    printf(
        "keys of a recipe and of --set, with their defaults; named sizes set many of [model]\n");
    app_keys_print(train_keys, train_key_count, &defaults);
    printf("named sizes (model.size):");
    for (size_t i = 0; vit_config_name(i); i++)
        printf(" %s", vit_config_name(i));
    printf("\n");
    for (size_t i = 0; vit_router_name(i); i++) {
        const char *name = vit_router_name(i);
        printf("with router.name = %s: %s\n", name, vit_router_summary(name));
        vit_router_config config;
        if (vit_router_select(&config, name, NULL) != BASE_OK)
            continue;
        for (const vit_router_option *o = vit_router_options(name); o && o->name; o++)
            printf("  router.%s = %s%s%s%s\n    %s\n", o->name,
                   vit_router_get(&config, o->name, value, sizeof value),
                   o->choices ? "  [" : "", o->choices ? o->choices : "",
                   o->choices ? "]" : "", o->help);
    }
}
