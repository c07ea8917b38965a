/* replay.c - the stand-alone main of the fuzz targets: runs the stored inputs in the
 * ordinary suite.
 *
 *     fuzz_image FOLDER...   every file in them, and every beginning of the small files
 *
 * To look for new inputs: tests/fuzz/README.md. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "tests/fuzz/fuzz.h"

enum {
    MOST_BYTES = 1 << 24,
    CUT_BYTES = 2048 /* beginnings are tried of files up to this size */
};

/* A block of exactly size bytes, so that a sanitizer sees the first byte read beyond. */
static void run_exact(const char *bytes, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);

    if (!exact)
        return;
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static bool run_file(const char *path)
{
    base_error err = {0};
    char *bytes = NULL;
    size_t size = 0;

    if (base_file_read(&bytes, &size, path, MOST_BYTES, &err) != BASE_OK) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    run_exact(bytes, size);
    for (size_t cut = 0; size <= CUT_BYTES && cut < size; cut++)
        run_exact(bytes, cut);
    base_free(bytes);
    return true;
}

/* Files run, or -1. */
static int run_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int count = 0;

    if (!dir) {
        fprintf(stderr, "cannot open '%s'\n", folder);
        return -1;
    }
    while (count >= 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = base_text("%s/%s", folder, entry->d_name);
        count = path && run_file(path) ? count + 1 : -1;
        base_free(path);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        const int count = run_folder(argv[i]);
        if (count < 0)
            return EXIT_FAILURE;
        total += count;
    }
    printf("%d inputs\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
