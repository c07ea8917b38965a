/* bench_decode.c - the case decode: what the way from files to batches costs. Files lie
 * in memory for the first two rows, so that the disk is not measured. */
#include "apps/bench_internal.h"

#include <string.h>

enum { SAMPLES = 512 }; /* without --limit */

/* Encoded images in memory. */
typedef struct file_set {
    unsigned char **bytes;
    size_t *capacity, *size;
    size_t count;
    double megabytes;
} file_set;

static void files_free(file_set *files)
{
    for (size_t i = 0; files->bytes && i < files->count; i++)
        base_free(files->bytes[i]);
    base_free(files->bytes);
    base_free(files->capacity);
    base_free(files->size);
}

static base_status files_read(file_set *files, const data_source *source, size_t count,
                              base_error *err)
{
    base_status status = BASE_OK;
    char name[1024];

    files->bytes = base_alloc(count, sizeof *files->bytes);
    files->capacity = base_alloc(count, sizeof *files->capacity);
    files->size = base_alloc(count, sizeof *files->size);
    if (!files->bytes || !files->capacity || !files->size)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu files", count);
    files->count = count;
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        status = data_source_read(source, i, &files->bytes[i], &files->capacity[i],
                                  &files->size[i], err);
        files->megabytes += (double)files->size[i] / 1e6;
        if (status != BASE_OK)
            base_error_prepend(err,
                               "'%s': ", data_source_name(source, i, name, sizeof name));
    }
    return status;
}

static void row_put(const bench_context *context, const char *what, size_t images,
                    int64_t threads, bench_spread t)
{
    const double n = (double)images;

    if (context->print) {
        printf("vmoe-%s,decode,%s,%zu,%lld,%.1f,%.1f,%.1f\n", BASE_VERSION, what, images,
               (long long)threads, n / t.median, n / t.high, n / t.low);
        fflush(stdout);
    }
    if (context->results)
        json_array_append_new(context->results,
                              json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:f}", "case",
                                        "decode", "what", what, "images",
                                        (json_int_t)images, "threads", (json_int_t)threads,
                                        "images_per_s", n / t.median, "min_images_per_s",
                                        n / t.high, "max_images_per_s", n / t.low));
}

/* Decodes every image, and makes it ready at 224 pixels when crop is asked for. */
static base_status pass(const file_set *files, const data_source *source, bool crop,
                        data_decoder *decoder, data_image image[2], data_scratch *scratch,
                        base_error *err)
{
    base_status status = BASE_OK;
    data_health health;
    char name[1024];

    for (size_t i = 0; i < files->count && status == BASE_OK; i++) {
        status = data_decode(&image[0], &health, decoder, files->bytes[i], files->size[i],
                             NULL, 0, err);
        if (status == BASE_OK && crop)
            status = data_eval_transform(&image[1], &image[0], 256, 224,
                                         DATA_FILTER_BILINEAR, scratch, err);
        if (status != BASE_OK)
            base_error_prepend(err,
                               "'%s': ", data_source_name(source, i, name, sizeof name));
    }
    return status;
}

static base_status pixels_bench(const bench_context *context, const data_source *source,
                                const file_set *files, base_error *err)
{
    const data_decode_limits limits = data_loader_defaults().limits;
    data_decoder *decoder = NULL;
    data_image image[2] = {{0}, {0}};
    data_scratch scratch = {0};
    bench_times times;
    base_status status = data_decoder_create(&decoder, &limits, err);

    for (int crop = 0; crop < 2 && status == BASE_OK; crop++) {
        times.count = 0;
        for (int64_t i = -1; i < context->args->rounds && status == BASE_OK; i++) {
            const double started = base_seconds();

            status = pass(files, source, crop, decoder, image, &scratch, err);
            if (status == BASE_OK && app_stop_asked())
                status = base_fail(err, BASE_INTERRUPTED, "stopped");
            if (i >= 0)
                times.seconds[times.count++] = base_seconds() - started;
        }
        if (status == BASE_OK)
            row_put(context, crop ? "pixels and 256/224 crop" : "pixels", files->count, 1,
                    bench_spread_of(&times));
    }
    data_decoder_destroy(decoder);
    data_image_destroy(&image[0]);
    data_image_destroy(&image[1]);
    data_scratch_destroy(&scratch);
    return status;
}

/* Whole epochs of the training loader, all threads at work. */
static base_status loader_bench(const bench_context *context, const data_source *source,
                                size_t images, base_error *err)
{
    const app_common *common = &context->args->common;
    data_loader_config config = data_loader_defaults();
    data_loader *loader = NULL;
    data_batch batch;
    bench_times times = {.count = 0};
    size_t delivered = 0;

    config.training = true;
    config.batch = (size_t)common->batch < images ? (size_t)common->batch : images;
    config.limit = images;
    config.seed = (uint64_t)common->seed;
    config.threads = (size_t)common->threads;
    config.augment.crop = DATA_CROP_RANDOM;
    base_status status = data_loader_create(&loader, source, &config, err);
    if (status != BASE_OK)
        return status;
    for (int64_t i = -1; i < context->args->rounds && status == BASE_OK; i++) {
        const double started = base_seconds();

        delivered = 0;
        for (size_t s = data_loader_steps(loader); s > 0 && status == BASE_OK; s--) {
            status = data_loader_next(loader, &batch, err);
            delivered += status == BASE_OK ? batch.count : 0;
        }
        if (status == BASE_OK && app_stop_asked())
            status = base_fail(err, BASE_INTERRUPTED, "stopped");
        if (i >= 0)
            times.seconds[times.count++] = base_seconds() - started;
    }
    if (status == BASE_OK)
        row_put(context, "training batches at 224", delivered, common->threads,
                bench_spread_of(&times));
    data_loader_destroy(loader);
    return status;
}

base_status bench_decode(const bench_context *context, base_error *err)
{
    const data_source_options options = {.allow_single_class = true};
    const size_t limit = (size_t)context->args->common.limit;
    data_source *source = NULL;
    file_set files = {0};
    size_t width = 0, height = 0, channels = 0;
    base_status status = data_source_open(&source, context->args->data, &options, err);

    if (status != BASE_OK)
        return status;
    const size_t most = limit > 0 ? limit : SAMPLES;
    const size_t count =
        data_source_count(source) < most ? data_source_count(source) : most;
    data_source_uniform(source, &width, &height, &channels);
    if (context->print)
        printf("program,case,what,images,threads,images_per_s,min_images_per_s,"
               "max_images_per_s\n");
    if (width == 0) { /* a layout of raw pixels has nothing to decode */
        status = files_read(&files, source, count, err);
        if (status == BASE_OK)
            status = pixels_bench(context, source, &files, err);
    }
    if (status == BASE_OK)
        status = loader_bench(context, source, count, err);
    files_free(&files);
    data_source_close(source);
    return status;
}
