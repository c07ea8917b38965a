/* fuzz_zip.c - any bytes as a zip archive: indexed, every sample named and unpacked. */
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_archive("zip", bytes, size);
    return 0;
}
