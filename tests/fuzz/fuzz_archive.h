/* fuzz_archive.h - what the fuzz targets of tar archives share. Included by one file of a
 * program: it defines libFuzzer's mutator. */
#ifndef TESTS_FUZZ_FUZZ_ARCHIVE_H
#define TESTS_FUZZ_FUZZ_ARCHIVE_H

#include "tests/fuzz/fuzz_source.h"

/* Most changes keep the headers' sums: else nothing behind the first one is ever met. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, room);
    if (seed % 8 != 0)
        fuzz_sign_headers(bytes, size);
    return size;
}

#endif
