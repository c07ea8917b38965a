/* fuzz_source.h - what the fuzz targets of data sets share: a folder of one's own, what
 * holds for every source that opens, and changes that keep sums of tar headers right. */
#ifndef TESTS_FUZZ_FUZZ_SOURCE_H
#define TESTS_FUZZ_FUZZ_SOURCE_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/data_internal.h"
#include "tests/fuzz/fuzz.h"

static const data_source_options fuzz_options = {
    .allow_single_class = true, .allow_unlabelled = true, .index_cache = "none"};

static inline void fuzz_demand(bool good)
{
    if (!good)
        abort();
}

static inline void fuzz_write(const char *path, const void *bytes, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fuzz_demand(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && close(fd) == 0);
}

static char fuzz_folder[256]; /* of this process */

static inline void fuzz_folder_remove(void)
{
    base_folder_remove(fuzz_folder, NULL);
}

/* fuzz_folder, made at the first call, gone at the end. */
static inline void fuzz_folder_make(void)
{
    const char *where = getenv("TMPDIR");

    if (fuzz_folder[0])
        return;
    snprintf(fuzz_folder, sizeof fuzz_folder, "%s/vmoe-fuzz-XXXXXX",
             where ? where : "/tmp");
    fuzz_demand(mkdtemp(fuzz_folder) && atexit(fuzz_folder_remove) == 0);
}

static inline bool fuzz_name_is_safe(const char *name)
{
    return name[0] != '\0' && name[0] != '/' && name[0] != '.' && !strstr(name, "/.");
}

/* Labels in range, names without surprises, samples that read or say why not. */
static inline void fuzz_check(const data_source *source)
{
    static unsigned char *buffer; /* kept, as in a loader */
    static size_t room;
    static char name[65536], relative[65536];
    size_t size = 0;
    base_error err = {0};

    for (size_t i = 0; i < data_source_count(source); i++) {
        const int32_t label = data_source_label(source, i);
        fuzz_demand(label >= -1 &&
                    (label < 0 || (size_t)label < data_source_classes(source)));
        data_source_name(source, i, name, sizeof name);
        data_source_relative_name(source, i, relative, sizeof relative);
        fuzz_demand(name[0] != '\0' && fuzz_name_is_safe(relative));
        data_source_advise(source, i);
        if (data_source_read(source, i, &buffer, &room, &size, &err) == BASE_OK)
            fuzz_demand(size > 0 && size <= room);
        else
            fuzz_demand(err.text[0] != '\0');
    }
}

/* Opens, checks, closes. */
static inline void fuzz_open(const char *spec, const data_source_options *options)
{
    data_source *source = NULL;
    base_error err = {0};

    if (data_source_open(&source, spec, options, &err) == BASE_OK)
        fuzz_check(source);
    else
        fuzz_demand(err.text[0] != '\0' && !source);
    data_source_close(source);
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

/* Gives the header of a block that looks like one a right sum again. */
static inline void fuzz_sign_headers(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        unsigned sum = 8 * ' ';
        char text[9];
        if (at > 0 && (bytes[at + 154] != 0 || bytes[at + 155] != ' '))
            continue;
        for (size_t i = 0; i < 512; i++)
            sum += i >= 148 && i < 156 ? 0 : bytes[at + i];
        snprintf(text, sizeof text, "%06o", sum & 0777777);
        memcpy(bytes + at + 148, text, 7);
        bytes[at + 155] = ' ';
    }
}

/* libFuzzer's own changes; absent from replay. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t room) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed);

#endif
