/* fuzz_imagenet_c.c - any bytes as an archive of an ImageNet-C tree, a tar or (by its first
 * bytes) a zip: its parts listed, each opened and read, and all of it. */
#include "tests/fuzz/fuzz_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    data_imagenet_c *tree = NULL;
    base_error err = {0};
    char path[64];
    const int fd = fuzz_file(bytes, size);

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (data_imagenet_c_open(&tree, path, &err) != BASE_OK)
        fuzz_demand(err.text[0] != '\0' && !tree);
    for (size_t i = 0; tree && i < data_imagenet_c_count(tree); i++) {
        data_source *source = NULL;
        fuzz_demand(data_imagenet_c_corruption(tree, i)[0] != '\0' &&
                    data_imagenet_c_severity(tree, i) <= 5);
        if (data_imagenet_c_source(&source, tree, i, &fuzz_options, &err) == BASE_OK)
            fuzz_check(source);
        data_source_close(source);
    }
    data_imagenet_c_close(tree);
    close(fd);
    fuzz_archive("imagenet-c", bytes, size);
    return 0;
}
