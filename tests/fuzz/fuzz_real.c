/* fuzz_real.c - any bytes as a file of ReaL labels, then asked for every image. */
#include <sys/mman.h>

#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    data_real *real = NULL;
    base_error err = {0};
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);

    fuzz_demand(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const base_status status = data_real_load(&real, path, 10, &err);
    fuzz_demand((status == BASE_OK) == (real != NULL));
    fuzz_demand(status == BASE_OK || err.text[0] != '\0');
    for (size_t i = 0; real && i < data_real_count(real); i++) {
        size_t right = 0;
        for (size_t answer = 0; answer < 10; answer++)
            right += data_real_judge(real, i, answer) == DATA_REAL_RIGHT;
        fuzz_demand((right == 0) == (data_real_judge(real, i, 0) == DATA_REAL_NONE));
    }
    data_real_destroy(real);
    close(fd);
    return 0;
}
