/* fuzz_idx.c - any bytes as a pair of IDX files: the first two bytes tell where the second
 * file begins. */
#include "data/data.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || close(fd) != 0)
        abort();
}

static char
    folder[256]; /* of this process; the files in it are written anew for every input */

static void remove_folder(void)
{
    rmdir(folder);
}

static void make_folder(void)
{
    const char *where = getenv("TMPDIR");

    if (folder[0])
        return;
    snprintf(folder, sizeof folder, "%s/vmoe-fuzz-XXXXXX", where ? where : "/tmp");
    if (!mkdtemp(folder) || atexit(remove_folder) != 0)
        abort();
}

static void check_samples(const data_source *source)
{
    data_image image = {0};
    data_health health;
    size_t width, height, channels;
    base_error err = {0};

    data_source_uniform(source, &width, &height, &channels);
    if (width == 0 || height == 0 || (channels != 1 && channels != 3))
        abort();
    for (size_t i = 0; i < data_source_count(source); i++) {
        const int32_t label = data_source_label(source, i);
        if (label < 0 || (size_t)label >= data_source_classes(source))
            abort();
        if (data_source_image(source, i, &image, &health, NULL, NULL, NULL, &err) !=
                BASE_OK ||
            image.width != width || image.height != height || health != DATA_HEALTH_OK)
            abort();
    }
    data_image_destroy(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const data_source_options options = {.allow_single_class = true,
                                         .idx_max_bytes = 1 << 22};
    data_source *source = NULL;
    base_error err = {0};
    char images[300], labels[300];

    if (size < 2)
        return 0;
    const size_t rest = size - 2;
    const size_t told = (size_t)bytes[0] << 8 | bytes[1];
    const size_t cut = told < rest ? told : rest;
    /* The content tells gzip, not the name, so one pair of names is enough. */
    make_folder();
    snprintf(images, sizeof images, "%s/x-images-idx3-ubyte", folder);
    snprintf(labels, sizeof labels, "%s/x-labels-idx1-ubyte", folder);
    write_file(images, bytes + 2, cut);
    write_file(labels, bytes + 2 + cut, rest - cut);
    if (data_source_open(&source, images, &options, &err) == BASE_OK)
        check_samples(source);
    else if (err.text[0] == 0 || source)
        abort();
    data_source_close(source);
    unlink(images);
    unlink(labels);
    return 0;
}
