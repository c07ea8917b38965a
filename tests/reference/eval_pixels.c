/* eval_pixels.c - writes what evaluation hands to the network, before it is normalised, as
 * raw bytes [N, 224, 224, 3] to stdout: eval_pixels DATA bilinear|bicubic. For
 * compare_eval.py. */
#include "data/data.h"

#include <string.h>

int main(int argc, char **argv)
{
    const data_source_options options = {.allow_single_class = true};
    data_loader_config config = data_loader_defaults();
    data_source *source = NULL;
    data_loader *loader = NULL;
    data_batch batch;
    base_error err = {0};

    if (argc != 3)
        return 2;
    config.bytes = true;
    config.filter =
        strcmp(argv[2], "bicubic") == 0 ? DATA_FILTER_BICUBIC : DATA_FILTER_BILINEAR;
    base_status status = data_source_open(&source, argv[1], &options, &err);
    if (status == BASE_OK)
        status = data_loader_create(&loader, source, &config, &err);
    while (status == BASE_OK) {
        status = data_loader_next(loader, &batch, &err);
        if (status != BASE_OK || batch.count == 0)
            break;
        fwrite(batch.bytes, (size_t)3 * 224 * 224, batch.count, stdout);
    }
    if (status != BASE_OK)
        fprintf(stderr, "eval_pixels: %s\n", err.text);
    data_loader_destroy(loader);
    data_source_close(source);
    return status == BASE_OK && fflush(stdout) == 0 ? 0 : 1;
}
