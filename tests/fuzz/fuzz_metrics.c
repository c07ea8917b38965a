/* fuzz_metrics.c - any bytes as metrics.jsonl: drawn, and cut where a run goes on. */
#include "apps/train/internal.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[300];
    train_metrics metrics = {0};
    base_error err = {0};

    fuzz_folder_make();
    snprintf(path, sizeof path, "%s/metrics.jsonl", fuzz_folder);
    fuzz_write(path, bytes, size);
    fuzz_demand(app_curves_write("/dev/null", path, &err) == BASE_OK || err.text[0]);
    fuzz_demand(train_metrics_open(&metrics, path, false, 5, true, &err) == BASE_OK ||
                err.text[0]);
    train_metrics_close(&metrics);
    return 0;
}
