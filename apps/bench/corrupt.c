/* corrupt.c - the case corrupt: milliseconds an image of every corruption at every severity
 * on one core, then of the whole benchmark on one core and on all. Relied on elsewhere: the
 * columns' names (bench/peers/corrupt.py prints the same ones). */
#include "apps/bench/internal.h"
#include "apps/corruption_internal.h"

#include <math.h>

enum { USUAL_SIDE = 224, IMAGES_PER_THREAD = 2 };

/* A picture and the memory of each thread. */
typedef struct corrupt_rig {
    corrupt_crew crew;
    data_image image;
    data_image *out; /* [crew.count] */
} corrupt_rig;

static void rig_close(corrupt_rig *rig)
{
    for (size_t t = 0; rig->out && t < rig->crew.count; t++)
        data_image_destroy(&rig->out[t]);
    data_image_destroy(&rig->image);
    corrupt_crew_close(&rig->crew);
}

/* Slopes, edges and grain: what a photograph is made of, as far as time goes. */
static base_status picture_draw(data_image *out, size_t side, uint64_t seed,
                                base_error *err)
{
    base_rng rng = base_rng_make(seed, BASE_PURPOSE_TEST, side, 0, 0);
    const base_status status = data_image_reserve(out, side, side, 3, err);

    for (size_t y = 0; status == BASE_OK && y < side; y++) {
        for (size_t x = 0; x < side; x++) {
            const double u = (double)x / (double)side, v = (double)y / (double)side;
            const bool disk = hypot(u - 0.4, v - 0.55) < 0.25;

            for (size_t c = 0; c < 3; c++) {
                const double wave = sin(9 * u + 5 * v * v + 2 * (double)c);
                const double value = 110 + 60 * v + 40 * wave +
                                     (disk ? 45.0 - 40.0 * (double)c : 0.0) +
                                     8 * base_rng_normal(&rng);

                out->pixels[(y * side + x) * 3 + c] =
                    (unsigned char)fmin(fmax(value, 0), 255);
            }
        }
    }
    return status;
}

/* The first image of DATA as `vmoe corrupt` sees it. */
static base_status picture_load(data_image *out, const char *data, size_t side,
                                base_error *err)
{
    const data_source_options options = {.allow_single_class = true};
    data_source *source = NULL;
    data_reader reader = {0};
    base_status status = data_source_open(&source, data, &options, err);

    if (status == BASE_OK)
        status = data_reader_named(&reader, source, 0, err);
    if (status == BASE_OK)
        status = data_image_convert(&reader.image, 3, err);
    if (status == BASE_OK)
        status =
            data_eval_transform(out, &reader.image, (size_t)lround((double)side / 0.875),
                                side, DATA_FILTER_BILINEAR, &reader.scratch, err);
    data_reader_close(&reader);
    data_source_close(source);
    return status;
}

static base_status rig_open(corrupt_rig *rig, const bench_args *args, size_t side,
                            base_error *err)
{
    const app_corruption plain = {.preset = 0};
    const size_t threads = (size_t)args->common.threads;
    base_status status =
        app_crew_open(&rig->crew, &plain, side, (uint64_t)args->common.seed, threads, err);

    if (status == BASE_OK && args->data)
        status = picture_load(&rig->image, args->data, side, err);
    else if (status == BASE_OK)
        status = picture_draw(&rig->image, side, (uint64_t)args->common.seed, err);
    rig->out = app_take(NULL, threads, sizeof *rig->out);
    for (size_t t = 0; t < threads && status == BASE_OK; t++)
        status = data_image_reserve(&rig->out[t], side, side, 3, err);
    return status;
}

/* One corruption of one image by thread t. */
static base_status one(corrupt_rig *rig, size_t t, corrupt_kind kind, int severity,
                       uint64_t key, base_error *err)
{
    return corrupt_apply(rig->crew.worker[t], rig->out[t].pixels, rig->image.pixels,
                         rig->image.height, rig->image.width, kind, severity, key, err);
}

static uint64_t pixels_sum(const data_image *image)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < image->width * image->height * 3; i++)
        sum += image->pixels[i];
    return sum;
}

/* sum: of the pixels of so many images that were made. */
static void row_put(const bench_context *context, const char *name, const char *severity,
                    size_t side, size_t threads, bench_spread t, uint64_t sum,
                    size_t images)
{
    bench_row(context, context->results,
              json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "case",
                        "corrupt", "corruption", name, "severity", severity, "size",
                        (json_int_t)side, "threads", (json_int_t)threads, "rounds",
                        (json_int_t)context->args->rounds, "median_ms", 1000 * t.median,
                        "min_ms", 1000 * t.low, "max_ms", 1000 * t.high, "mean",
                        (double)sum / (double)(images * 3 * side * side)));
}

/* Every corruption alone, one core. */
static base_status each_bench(const bench_context *context, corrupt_rig *rig,
                              base_error *err)
{
    const bench_args *args = context->args;
    base_status status = BASE_OK;

    for (size_t i = 0; i < CORRUPT_PAIRS_MAX && status == BASE_OK; i++) {
        const corrupt_kind kind = (corrupt_kind)(i / CORRUPT_SEVERITY_MAX);
        const int severity = (int)(i % CORRUPT_SEVERITY_MAX) + 1;
        bench_times times = {.count = 0};
        char text[8];

        for (int64_t n = -args->warmup; n < args->rounds && status == BASE_OK; n++) {
            const double started = base_seconds();

            status = one(rig, 0, kind, severity, (uint64_t)(n + args->warmup), err);
            if (status == BASE_OK)
                status = bench_note(&times, n, base_seconds() - started, err);
        }
        snprintf(text, sizeof text, "%d", severity);
        if (status == BASE_OK)
            row_put(context, corrupt_kind_name(kind), text, rig->image.width, 1,
                    bench_spread_of(&times), pixels_sum(&rig->out[0]), 1);
    }
    return status;
}

typedef struct sweep {
    corrupt_rig *rig;
    size_t severities; /* 1: only the third */
    bool adds;         /* to sum, all pixels that are made */
    _Atomic uint64_t sum;
} sweep;

static base_status sweep_one(void *user, size_t i, size_t thread, base_error *err)
{
    sweep *w = user;
    const int severity = w->severities == 1 ? 3 : (int)(i % w->severities) + 1;
    const base_status status =
        one(w->rig, thread, (corrupt_kind)(i / w->severities % CORRUPT_BENCH_COUNT),
            severity, i / w->severities / CORRUPT_BENCH_COUNT, err);

    if (w->adds)
        w->sum += pixels_sum(&w->rig->out[thread]);
    return status;
}

/* The benchmark's fifteen at one severity or all five of some images, by so many
 * threads. */
static base_status all_bench(const bench_context *context, corrupt_rig *rig,
                             size_t severities, size_t threads, base_error *err)
{
    const size_t images =
        IMAGES_PER_THREAD * rig->crew.count; /* the same work for any threads */
    const size_t made = images * CORRUPT_BENCH_COUNT * severities;
    bench_times times = {.count = 0};
    sweep work = {.rig = rig, .severities = severities};
    base_status status = BASE_OK;

    for (int64_t n = -1; n < context->args->rounds && status == BASE_OK; n++) {
        const double started = base_seconds();

        work.adds = n < 0; /* not while it counts */
        status = app_each(made, threads, sweep_one, &work, err);
        if (status == BASE_OK)
            status =
                bench_note(&times, n, (base_seconds() - started) / (double)images, err);
    }
    if (status == BASE_OK)
        row_put(context, "bench", severities == 1 ? "3" : "1-5", rig->image.width, threads,
                bench_spread_of(&times), work.sum, made);
    return status;
}

static base_status side_bench(const bench_context *context, size_t side, base_error *err)
{
    const size_t threads = (size_t)context->args->common.threads;
    corrupt_rig rig = {0};
    base_status status = rig_open(&rig, context->args, side, err);

    if (status == BASE_OK)
        status = each_bench(context, &rig, err);
    if (status == BASE_OK)
        status = all_bench(context, &rig, 1, 1, err);
    if (status == BASE_OK)
        status = all_bench(context, &rig, CORRUPT_SEVERITY_MAX, 1, err);
    if (status == BASE_OK && threads > 1)
        status = all_bench(context, &rig, CORRUPT_SEVERITY_MAX, threads, err);
    rig_close(&rig);
    return status;
}

/* The i-th word as pixels a side. */
static base_status side_of(int64_t *out, const bench_context *context, size_t i,
                           base_error *err)
{
    *out = USUAL_SIDE;
    if (!context->named ||
        (base_parse_int(out, context->subjects[i]) && *out >= 1 && *out <= 4096))
        return BASE_OK;
    return base_fail(err, BASE_USAGE, "'%s' is not a number of pixels from 1 to 4096",
                     context->subjects[i]);
}

base_status bench_corrupt(const bench_context *context, base_error *err)
{
    const size_t count = context->named ? context->subject_count : 1;
    base_status status = BASE_OK;
    int64_t side = 0;

    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = side_of(&side, context, i, err);
    if (status == BASE_OK)
        bench_head(context);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        status = side_of(&side, context, i, err);
        if (status == BASE_OK)
            status = side_bench(context, (size_t)side, err);
    }
    return status;
}
