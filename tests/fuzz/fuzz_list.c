/* fuzz_list.c - any bytes as a list of images, beside a picture and an archive of one. */
#include "tests/fuzz/fuzz_source.h"

/* x.png, and x.tar with a/1.png: a header as POSIX has it, and its bytes. */
static void make_files(void)
{
    unsigned char tar[4 * 512] = "a/1.png";
    char path[300];

    if (fuzz_folder[0])
        return;
    fuzz_folder_make();
    snprintf((char *)tar + 100, 8, "0000644");
    snprintf((char *)tar + 124, 12, "%011o", 3u);
    snprintf((char *)tar + 136, 12, "%011o", 0u);
    tar[156] = '0';
    memcpy(tar + 257, "ustar\00000", 8);
    tar[155] = ' ';
    fuzz_sign_headers(tar, 512);
    memcpy(tar + 512, "one", 3);
    snprintf(path, sizeof path, "%s/x.tar", fuzz_folder);
    fuzz_write(path, tar, sizeof tar);
    snprintf(path, sizeof path, "%s/x.png", fuzz_folder);
    fuzz_write(path, "x", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char spec[300];

    make_files();
    snprintf(spec, sizeof spec, "list:%s/list.txt", fuzz_folder);
    fuzz_write(spec + strlen("list:"), bytes, size);
    fuzz_open(spec, &fuzz_options);
    return 0;
}
