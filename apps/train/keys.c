/* keys.c - vmoe train --keys: every key of a recipe with its range and default. Free to
 * change: all of it. */
#include "apps/train/internal.h"

static void print_keys(const char *indent, const char *section, const base_field *keys,
                       const void *settings)
{
    char value[TRAIN_TEXT], range[192];

    for (const base_field *key = keys; key->name; key++) {
        base_field_range(range, sizeof range, key);
        printf("%s%s%s = %s%s%s%s\n    %s\n", indent, section, key->name,
               base_field_text(value, sizeof value, settings, key), range[0] ? "  [" : "",
               range, range[0] ? "]" : "", key->help);
    }
}

void app_keys_print(const base_field *keys, const void *settings)
{
    print_keys("", "", keys, settings);
}

void app_train_keys_print(void)
{
    const train_recipe defaults = train_recipe_defaults();

    printf(
        "keys of a recipe and of --set, with their defaults; named sizes set many of [model]\n");
    app_keys_print(train_recipe_keys, &defaults);
    printf("named sizes (model.size):");
    for (size_t i = 0; vit_config_name(i); i++)
        printf(" %s", vit_config_name(i));
    printf("\n");
    for (size_t i = 0; vit_router_name(i); i++) {
        const char *name = vit_router_name(i);
        vit_router_config config;
        printf("with router.name = %s: %s\n", name, vit_router_summary(name));
        if (vit_router_select(&config, name, NULL) == BASE_OK)
            print_keys("  ", "router.", vit_router_options(name), config.settings);
    }
}
