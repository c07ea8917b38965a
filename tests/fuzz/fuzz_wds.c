/* fuzz_wds.c - any bytes as a WebDataset shard. */
#include <sys/mman.h>

#include "tests/fuzz/fuzz_source.h"

/* Most changes keep the headers' sums: else nothing behind the first one is ever met. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, room);
    if (seed % 8 != 0)
        fuzz_sign_headers(bytes, size);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char spec[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);

    fuzz_demand(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(spec, sizeof spec, "wds:/proc/self/fd/%d", fd);
    fuzz_open(spec, &fuzz_options);
    fuzz_open(spec + strlen("wds:"), &fuzz_options); /* recognised, whatever it is */
    close(fd);
    return 0;
}
