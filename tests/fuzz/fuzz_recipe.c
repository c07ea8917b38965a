/* fuzz_recipe.c - any bytes as a recipe; what is taken must resolve or be refused with a
 * reason, and must read back the same after being written. */
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void check_fixed(const train_recipe *recipe)
{
    base_error err = {0};
    char *text = train_recipe_fixed_text(recipe);

    if (!text || train_recipe_compare(recipe, text, false, &err) != BASE_OK)
        abort();
    base_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const train_facts facts = {.classes = 10, .uniform_channels = size & 1};
    train_recipe recipe = train_recipe_defaults();
    base_error err = {0};

    if (train_recipe_parse(&recipe, "fuzz.ini", (const char *)bytes, size, &err) !=
        BASE_OK) {
        if (err.text[0] == 0)
            abort();
        return 0;
    }
    if (train_recipe_resolve(&recipe, &facts, &err) != BASE_OK) {
        if (err.text[0] == 0)
            abort();
        return 0;
    }
    check_fixed(&recipe);
    return 0;
}
