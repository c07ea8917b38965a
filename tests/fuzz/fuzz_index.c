/* fuzz_index.c - any bytes as the kept index of a folder, an archive, shards and a list
 * (the first byte says which), signed, so that what lies behind the sum is met, too. */
#include <sys/mman.h>

#include "tests/fuzz/fuzz_source.h"

static const data_layout *const layouts[] = {
    &data_layout_folder, &data_layout_tar,     &data_layout_wds,    &data_layout_list,
    &data_layout_ilsvrc, &data_layout_kaggle,  &data_layout_images, &data_layout_imagenet_c,
    &data_layout_zip,    &data_layout_tfrecord};

enum { LAYOUTS = sizeof layouts / sizeof *layouts };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    base_error err = {0};
    char path[64];

    if (size < 1)
        return 0;
    fuzz_demand(fd >= 0);
    data_source *source = base_alloc(1, sizeof *source);
    fuzz_demand(source != NULL);
    const size_t rest = (size - 1) / 8 * 8;
    const uint64_t sum = data_cache_sum(0, bytes + 1, rest);
    fuzz_demand(write(fd, bytes + 1, rest) == (ssize_t)rest &&
                write(fd, &sum, sizeof sum) == sizeof sum);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    source->fd = -1;
    source->layout = layouts[bytes[0] % LAYOUTS];
    source->path = base_text("x");
    const base_status status = data_cache_read(source, path, "key", &err);
    fuzz_demand(status == BASE_OK || err.text[0] != '\0');
    if (status == BASE_OK) {
        /* It is believed: labels are decided, and every sample is asked for. */
        if (data_source_finish(source, &fuzz_options, &err) == BASE_OK)
            fuzz_check(source);
    }
    data_source_close(source);
    close(fd);
    return 0;
}
