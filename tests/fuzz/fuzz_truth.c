/* fuzz_truth.c - any bytes as a file of labels (ids, indices, WordNet ids, NAME LABEL
 * lines, Kaggle's CSV, the development kit's archive), then asked for images. */
#include <sys/mman.h>

#include "data/sources/labels_internal.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const images[] = {"ILSVRC2012_val_00000001.JPEG",
                                         "x.png",
                                         "",
                                         ".",
                                         "ILSVRC2012_val_99999999999999999999.JPEG",
                                         "_"};
    data_truth *truth = NULL;
    base_error err = {0};
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);

    fuzz_demand(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const base_status status = data_truth_load(&truth, path, size % 2 == 0, &err);
    fuzz_demand((status == BASE_OK) == (truth != NULL));
    fuzz_demand(status == BASE_OK || err.text[0] != '\0');
    if (truth) {
        fuzz_demand(data_truth_count(truth) > 0 && data_truth_kind(truth)[0] != '\0');
        for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
            const char *class = NULL;
            const base_status taken = data_truth_take(&class, truth, images[i], path, NULL);
            fuzz_demand((taken == BASE_OK) == (class != NULL));
            fuzz_demand(!class || class[0] != '\0');
        }
    }
    data_truth_destroy(truth);
    close(fd);
    return 0;
}
