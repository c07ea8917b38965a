/* fuzz_state.c - any bytes as the state of a run: numbers in their ranges or a refusal with
 * its reason. */
#include "train/train.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[300];
    train_state_facts facts;
    base_error err = {0};
    bool found = false;

    fuzz_folder_make();
    snprintf(path, sizeof path, "%s/last", fuzz_folder);
    fuzz_demand(base_folder_make(path, NULL) == BASE_OK);
    snprintf(path, sizeof path, "%s/last/state.safetensors", fuzz_folder);
    fuzz_write(path, bytes, size);
    if (train_state_peek(&facts, &found, fuzz_folder, &err) == BASE_OK) {
        fuzz_demand(facts.at.evaluated <= facts.at.step && facts.at.best_accuracy <= 1);
        base_free(facts.recipe);
    } else {
        fuzz_demand(err.text[0]);
    }
    return 0;
}
