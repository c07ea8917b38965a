/* decode.c - the case decode: what the way from files to batches costs, stage by
 * stage and as a whole, for training (random resized crop, flip) and for evaluation. One
 * thread takes files from where they lie (read them once: they come from the page cache);
 * the last rows are the training loader with its threads. Small pictures (96 pixels or
 * less) keep their size: padded crop and flip. */
#include "apps/bench/internal.h"

enum {
    SAMPLES = 512, /* without --limit */
    SMALL = 96,    /* largest side of pictures that keep their size */
    PHOTO = 224,
    PHOTO_RESIZE = 256,
    ONE_THREAD_BATCH = 32
};

/* What is timed, and on what. */
typedef struct decode_case {
    const bench_context *context;
    const data_source *source;
    size_t count; /* samples */
    size_t size;  /* side of the network's input */
    bool small;
} decode_case;

/* found: what the rows of `what` tell of their content, "bytes" or "mean". */
static void row_put(const decode_case *c, const char *what, size_t images, int64_t threads,
                    bench_times *times, const char *found, double value)
{
    const bench_context *context = c->context;
    const bench_spread t = bench_spread_of(times);
    const double n = (double)images, workers = threads > 0 ? (double)threads : 1;

    bench_row(context, context->results,
              json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "case",
                        "decode", "what", what, "images", (json_int_t)images, "threads",
                        (json_int_t)threads, "images_per_s", n / t.median,
                        "min_images_per_s", n / t.high, "max_images_per_s", n / t.low,
                        "images_per_s_per_core", n / t.median / workers, "microseconds",
                        1e6 * workers * t.median / n, found, value));
}

/* ---- stages -------------------------------------------------------------------------- */

/* Reads every file, and decodes it whole when asked to. bytes: of all files, where they are
 * only read. */
static base_status stage_pass(size_t *bytes, const decode_case *c, data_reader *reader,
                              bool decode, base_error *err)
{
    base_status status = BASE_OK;
    char name[1024];
    size_t size = 0;

    *bytes = 0;
    for (size_t i = 0; i < c->count && status == BASE_OK; i++) {
        if (decode) {
            status = data_reader_named(reader, c->source, i, err);
            continue;
        }
        status = data_source_read(c->source, i, &reader->buffer, &reader->buffer_bytes,
                                  &size, err);
        if (status != BASE_OK)
            base_error_prepend(err,
                               "'%s': ", data_source_name(c->source, i, name, sizeof name));
        *bytes += size;
    }
    return status;
}

static double bytes_mean(const unsigned char *bytes, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += bytes[i];
    return sum / (double)count;
}

static double floats_mean(const float *values, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)values[i];
    return sum / (double)count;
}

static base_status stages_bench(const decode_case *c, base_error *err)
{
    data_reader reader = {0};
    const data_image *image = &reader.image;
    bench_times times;
    size_t bytes = 0;
    base_status status = BASE_OK;

    for (int decode = 0; decode < 2 && status == BASE_OK; decode++) {
        times.count = 0;
        for (int64_t i = -1; i < c->context->args->rounds && status == BASE_OK; i++) {
            const double started = base_seconds();
            status = stage_pass(&bytes, c, &reader, decode, err);
            if (status == BASE_OK)
                status = bench_note(&times, i, base_seconds() - started, err);
        }
        if (status == BASE_OK && decode)
            row_put(
                c, "read and decode whole", c->count, 1, &times, "mean",
                bytes_mean(image->pixels, image->width * image->height * image->channels));
        else if (status == BASE_OK)
            row_put(c, "read", c->count, 1, &times, "bytes", (double)bytes);
    }
    data_reader_close(&reader);
    return status;
}

/* ---- the loader ---------------------------------------------------------------------- */

/* Rounds of whole epochs. */
static base_status loader_bench(const decode_case *c, const char *what,
                                data_loader_config config, base_error *err)
{
    data_loader *loader = NULL;
    data_batch batch = {0};
    bench_times times = {.count = 0};
    size_t delivered = 0;

    config.batch = config.batch < c->count ? config.batch : c->count;
    config.limit = c->count;
    config.keep_last = true;
    config.seed = (uint64_t)c->context->args->common.seed;
    config.size = c->size;
    base_status status = data_loader_create(&loader, c->source, &config, err);
    for (int64_t i = -1; i < c->context->args->rounds && status == BASE_OK; i++) {
        const double started = base_seconds();

        delivered = 0;
        if (!config.training)
            status = data_loader_seek(loader, 0, 0, err);
        for (size_t s = data_loader_steps(loader); s > 0 && status == BASE_OK; s--) {
            status = data_loader_next(loader, &batch, err);
            delivered += status == BASE_OK ? batch.count : 0;
        }
        if (status == BASE_OK)
            status = bench_note(&times, i, base_seconds() - started, err);
    }
    const size_t values = batch.count * config.channels * c->size * c->size;
    if (status == BASE_OK)
        row_put(c, what, delivered, config.threads > 0 ? (int64_t)config.threads : 1,
                &times, "mean",
                config.bytes ? bytes_mean(batch.bytes, values)
                             : floats_mean(batch.images, values));
    data_loader_destroy(loader);
    return status;
}

static base_status paths_bench(const decode_case *c, base_error *err)
{
    const app_common *common = &c->context->args->common;
    data_loader_config config = data_loader_defaults();
    base_status status = BASE_OK;

    config.batch = ONE_THREAD_BATCH;
    config.threads = 0;
    if (!c->small) {
        config.resize = PHOTO_RESIZE;
        status = loader_bench(c, "eval bilinear", config, err);
        config.filter = DATA_FILTER_BICUBIC;
        if (status == BASE_OK)
            status = loader_bench(c, "eval bicubic", config, err);
        config.filter = DATA_FILTER_BILINEAR;
    } else {
        config.resize = 0;
        status = loader_bench(c, "eval", config, err);
    }
    config.training = true;
    config.augment.crop = c->small ? DATA_CROP_PADDED : DATA_CROP_RANDOM;
    config.bytes = true;
    if (status == BASE_OK)
        status = loader_bench(c, "train 8 bit", config, err);
    config.bytes = false;
    if (status == BASE_OK)
        status = loader_bench(c, "train", config, err);
    config.exact = true;
    if (status == BASE_OK && !c->small)
        status = loader_bench(c, "train exact", config, err);
    config.exact = false;
    config.batch = (size_t)common->batch;
    for (int64_t threads = 1; threads <= common->threads && status == BASE_OK;
         threads = threads * 2 > common->threads && threads < common->threads
                       ? common->threads
                       : threads * 2) {
        config.threads = (size_t)threads;
        status = loader_bench(c, "train batches", config, err);
    }
    return status;
}

/* Whether the pictures keep their size, told by the first; their side then. */
static base_status look_at(decode_case *c, base_error *err)
{
    data_reader reader = {0};
    const base_status status = data_reader_named(&reader, c->source, 0, err);

    if (status == BASE_OK) {
        const size_t width = reader.image.width, height = reader.image.height;
        const size_t side = width > height ? width : height;
        c->small = side <= SMALL;
        c->size = c->small ? side : PHOTO;
    }
    data_reader_close(&reader);
    return status;
}

base_status bench_decode(const bench_context *context, base_error *err)
{
    const data_source_options options = {.allow_single_class = true,
                                         .allow_unlabelled = true};
    const size_t limit = (size_t)context->args->common.limit;
    data_source *source = NULL;
    size_t width = 0, height = 0, channels = 0;
    base_status status = data_source_open(&source, context->args->data, &options, err);

    if (status != BASE_OK)
        return status;
    const size_t most = limit > 0 ? limit : SAMPLES;
    decode_case c = {
        .context = context,
        .source = source,
        .count = data_source_count(source) < most ? data_source_count(source) : most,
    };
    data_source_uniform(source, &width, &height, &channels);
    bench_head(context);
    status = look_at(&c, err);
    if (status == BASE_OK && width == 0) /* raw pixels have nothing to decode */
        status = stages_bench(&c, err);
    if (status == BASE_OK)
        status = paths_bench(&c, err);
    data_source_close(source);
    return status;
}
