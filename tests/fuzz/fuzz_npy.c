/* fuzz_npy.c - any bytes as a NumPy file of images (first byte even) or of labels (odd),
 * beside a good one of the other. */
#include "tests/fuzz/fuzz_source.h"

/* A NumPy file of two images of 2 x 2, or of their labels. */
static void write_good(const char *path, bool images)
{
    static const char *const shapes[] = {"(2,)", "(2, 2, 2, 3)"};
    unsigned char file[128 + 24] = "\x93NUMPY\x01";

    file[8] = 118;
    memset(file + 10, ' ', 118);
    const int used =
        snprintf((char *)file + 10, 117,
                 "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }", shapes[images]);
    file[10 + used] = ' ';
    file[127] = '\n';
    fuzz_write(path, file, 128 + (images ? 24 : 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = {"images.npy", "labels.npy"};
    char path[300], spec[320];

    if (size < 1)
        return 0;
    fuzz_folder_make();
    const int which = bytes[0] & 1;
    snprintf(path, sizeof path, "%s/%s", fuzz_folder, names[!which]);
    write_good(path, which == 1);
    snprintf(path, sizeof path, "%s/%s", fuzz_folder, names[which]);
    fuzz_write(path, bytes + 1, size - 1);
    snprintf(spec, sizeof spec, "npy:%s", fuzz_folder);
    fuzz_open(spec, &fuzz_options);
    snprintf(spec, sizeof spec, "npy:%s/images.npy#2", fuzz_folder);
    fuzz_open(spec, &fuzz_options);
    return 0;
}
