/* fuzz_config.c - any bytes as the config of a network: sound numbers or a refusal with its
 * reason. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "vit/model_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = base_alloc(size + 1, 1);
    vit_config config;
    char **label = NULL;
    base_error err = {0};

    if (!text)
        return 0;
    memcpy(text, bytes, size);
    if (vit_config_from_json(&config, &label, text, &err) == BASE_OK) {
        for (int i = 0; i < 3; i++)
            if (!isfinite(config.mean[i]) || !(config.std[i] > 0))
                abort();
        vit_labels_free(label, (size_t)config.classes);
    } else if (!err.text[0]) {
        abort();
    }
    base_free(text);
    return 0;
}
