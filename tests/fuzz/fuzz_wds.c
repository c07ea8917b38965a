/* fuzz_wds.c - any bytes as a WebDataset shard. */
#include "tests/fuzz/fuzz_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_archive("wds", bytes, size);
    return 0;
}
