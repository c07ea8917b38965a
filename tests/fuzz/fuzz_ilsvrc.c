/* fuzz_ilsvrc.c - any bytes as an archive of ILSVRC2012: of archives, or of flat images. */
#include "tests/fuzz/fuzz_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_archive("ilsvrc", bytes, size);
    return 0;
}
