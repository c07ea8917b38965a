/* fuzz_archive.h - what the fuzz targets of tar archives share. Included by one file of a
 * program: it defines libFuzzer's mutator. */
#ifndef TESTS_FUZZ_FUZZ_ARCHIVE_H
#define TESTS_FUZZ_FUZZ_ARCHIVE_H

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

/* The bytes as an open file: its descriptor, for the caller to close. */
static inline int fuzz_file(const uint8_t *bytes, size_t size)
{
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);

    fuzz_demand(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    return fd;
}

/* The bytes as an archive of the layout, and as whatever they are recognised for. */
static inline void fuzz_archive(const char *layout, const uint8_t *bytes, size_t size)
{
    char spec[64];
    const int fd = fuzz_file(bytes, size);

    snprintf(spec, sizeof spec, "%s:/proc/self/fd/%d", layout, fd);
    fuzz_open(spec, &fuzz_options);
    fuzz_open(spec + strlen(layout) + 1, &fuzz_options);
    close(fd);
}

#endif
