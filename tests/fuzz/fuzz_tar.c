/* fuzz_tar.c - any bytes as a tar archive: indexed, every sample named and read. */
#include "tests/fuzz/fuzz_archive.h"

enum { ROOM = 65536 };

/* What holds for every source that opens. */
static void check_samples(const data_source *source, size_t file_bytes)
{
    static unsigned char *buffer; /* kept, as in a loader */
    static size_t room;
    static char name[ROOM], relative[ROOM];
    size_t size = 0;
    base_error err = {0};

    for (size_t i = 0; i < data_source_count(source); i++) {
        const int32_t label = data_source_label(source, i);
        if (label < 0 || (size_t)label >= data_source_classes(source))
            abort();
        data_source_name(source, i, name, sizeof name);
        data_source_relative_name(source, i, relative, sizeof relative);
        if (name[0] == 0 || relative[0] == 0 || relative[0] == '/' || relative[0] == '.' ||
            strstr(relative, "/."))
            abort();
        const char *class = data_source_class_name(source, (size_t)label);
        if (strncmp(relative, class, strlen(class)) != 0)
            abort();
        if (data_source_read(source, i, &buffer, &room, &size, &err) != BASE_OK
                ? err.text[0] == 0
                : size == 0 || size > file_bytes || size > room)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const data_source_options options = {.allow_single_class = true};
    data_source *source = NULL;
    base_error err = {0};
    char spec[64];
    const int fd = fuzz_file(bytes, size);

    snprintf(spec, sizeof spec, "tar:/proc/self/fd/%d", fd);
    if (data_source_open(&source, spec, &options, &err) == BASE_OK)
        check_samples(source, size);
    else if (err.text[0] == 0 || source)
        abort();
    data_source_close(source);
    close(fd);
    return 0;
}
