/* fuzz_map.c - any bytes as a class map over three folders, with and without a known number
 * of classes. */
#include "tests/fuzz/fuzz_source.h"

static void make_set(void)
{
    static const char *const folders[] = {"cat", "dog", "7"};

    if (fuzz_folder[0])
        return;
    fuzz_folder_make();
    for (size_t i = 0; i < 3; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/set/%s", fuzz_folder, folders[i]);
        fuzz_demand(base_folder_make(path, NULL) == BASE_OK);
        snprintf(path, sizeof path, "%s/set/%s/x.png", fuzz_folder, folders[i]);
        fuzz_write(path, "x", 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char map[300], spec[300];

    make_set();
    snprintf(map, sizeof map, "%s/map", fuzz_folder);
    snprintf(spec, sizeof spec, "folder:%s/set", fuzz_folder);
    fuzz_write(map, bytes, size);
    data_source_options options = fuzz_options;
    options.class_map = map;
    fuzz_open(spec, &options);
    options.classes_of_model = 3;
    fuzz_open(spec, &options);
    return 0;
}
