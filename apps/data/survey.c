/* survey.c - what a data set holds: classes from the index alone, sizes and kinds from the
 * headers of some or all files, and with --verify every picture decoded whole, by all
 * threads. A block of samples is looked at in parallel and added up in order, so that
 * nothing depends on the number of threads. Free to change: the sizes of blocks. */
#include "apps/data/internal.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADERS = 2000 /* read without --verify and --limit */, BLOCK = 1024 };

/* What one sample turned out to be. */
typedef struct finding {
    data_health health;
    bool known; /* about and name say something */
    bool misnamed;
    data_about about;
    char reason[160];
} finding;

/* What a thread keeps. */
typedef struct looker {
    data_decoder *decoder;
    data_image image;
    unsigned char *buffer;
    size_t buffer_bytes;
} looker;

const char *app_picture_name(app_picture_kind kind)
{
    static const char *const names[APP_PICTURE_KINDS] = {
        "JPEG",    "PNG",          "raw pixels",  "grey",    "CMYK",    "alpha",
        "palette", "above 8 bits", "progressive", "rotated", "misnamed"};

    return names[kind];
}

const char *app_picture_note(app_picture_kind kind)
{
    static const char *const notes[APP_PICTURE_KINDS] = {
        [APP_PICTURE_GREY] = "one channel, made three",
        [APP_PICTURE_CMYK] = "four inks, made RGB as Pillow does",
        [APP_PICTURE_ALPHA] = "dropped, nothing is composited",
        [APP_PICTURE_PALETTE] = "made RGB",
        [APP_PICTURE_DEEP] = "the high 8 are used",
        [APP_PICTURE_PROGRESSIVE] = "or interlaced",
        [APP_PICTURE_TURNED] = "by EXIF; used as they lie, as torchvision does",
        [APP_PICTURE_MISNAMED] = "a PNG named .JPEG or so; the content counts",
    };

    return notes[kind] ? notes[kind] : "";
}

/* ---- one sample ---------------------------------------------------------------------- */

static bool ends_in(const char *text, const char *end)
{
    const size_t a = strlen(text), b = strlen(end);

    return a >= b && strcasecmp(text + a - b, end) == 0;
}

/* Whether a name's ending says another format. */
static bool is_misnamed(const data_source *source, size_t sample, data_format format)
{
    char name[4400];

    data_source_relative_name(source, sample, name, sizeof name);
    if (format == DATA_FORMAT_PNG)
        return ends_in(name, ".jpg") || ends_in(name, ".jpeg");
    return format == DATA_FORMAT_JPEG && ends_in(name, ".png");
}

static void find_raw(finding *f, looker *l, const data_source *source, size_t sample,
                     base_error *err)
{
    if (data_source_image(source, sample, &l->image, &f->health, l->decoder, &l->buffer,
                          &l->buffer_bytes, err) != BASE_OK) {
        f->health = DATA_HEALTH_BAD;
        return;
    }
    f->known = true;
    f->about = (data_about){.width = l->image.width,
                            .height = l->image.height,
                            .bits = 8,
                            .components = (int)l->image.channels};
}

/* The sample's header, and all of it with decode. False: no memory. */
static bool look(finding *f, looker *l, const data_source *source, size_t sample,
                 bool decode)
{
    size_t width = 0, height = 0, channels = 0, size = 0;
    base_error err = {0};

    *f = (finding){.health = DATA_HEALTH_BAD};
    data_source_uniform(source, &width, &height, &channels);
    base_status status = BASE_OK;
    if (width > 0) {
        find_raw(f, l, source, sample, &err);
    } else {
        status =
            data_source_read(source, sample, &l->buffer, &l->buffer_bytes, &size, &err);
        if (status == BASE_OK) {
            f->known = data_probe(&f->about, l->buffer, size);
            f->misnamed = f->known && is_misnamed(source, sample, f->about.format);
            f->health = DATA_HEALTH_OK;
        }
        if (status == BASE_OK && (decode || !f->known)) /* decoding says what is wrong */
            status = data_decode(&l->image, &f->health, l->decoder, l->buffer, size,
                                 f->reason, sizeof f->reason, &err);
    }
    if (f->health == DATA_HEALTH_BAD)
        snprintf(f->reason, sizeof f->reason, "%.*s", (int)sizeof f->reason - 1, err.text);
    return err.status != BASE_NO_MEMORY;
}

/* ---- adding up ----------------------------------------------------------------------- */

/* Measures of every sample that was looked at; sorted in the end. */
typedef struct measures {
    uint64_t *width, *height, *pixels, *file;
    size_t files;
} measures;

static void count_kinds(app_survey *s, const finding *f)
{
    const data_about *a = &f->about;
    const bool png = a->format == DATA_FORMAT_PNG, jpeg = a->format == DATA_FORMAT_JPEG;

    s->kinds[APP_PICTURE_JPEG] += jpeg;
    s->kinds[APP_PICTURE_PNG] += png;
    s->kinds[APP_PICTURE_RAW] += !png && !jpeg;
    s->kinds[APP_PICTURE_GREY] += a->components <= 2;
    s->kinds[APP_PICTURE_CMYK] += jpeg && a->components == 4;
    s->kinds[APP_PICTURE_ALPHA] += png && a->components % 2 == 0;
    s->kinds[APP_PICTURE_PALETTE] += a->palette;
    s->kinds[APP_PICTURE_DEEP] += a->bits > 8;
    s->kinds[APP_PICTURE_PROGRESSIVE] += a->progressive;
    s->kinds[APP_PICTURE_TURNED] += a->orientation > 1;
    s->kinds[APP_PICTURE_MISNAMED] += f->misnamed;
}

static void keep_flaw(app_survey *s, const finding *f, size_t sample)
{
    if (s->flaws == APP_FLAWS_MOST)
        return;
    if (s->flaws == s->flaw_room) {
        const size_t room = 2 * s->flaw_room + 64;
        app_flaw *wider = app_take(NULL, room, sizeof *wider);

        if (s->flaws > 0)
            memcpy(wider, s->flaw, s->flaws * sizeof *wider);
        s->flaw = wider;
        s->flaw_room = room;
    }
    app_flaw *flaw = &s->flaw[s->flaws++];
    flaw->sample = (uint32_t)sample;
    flaw->health = f->health;
    memcpy(flaw->reason, f->reason, sizeof flaw->reason);
}

static void add_finding(app_survey *s, measures *m, const finding *f, size_t sample,
                        app_bad_list *list)
{
    char name[1100];

    s->looked++;
    s->health[f->health]++;
    m->file[m->files++] = data_source_bytes(s->source, sample);
    if (f->health != DATA_HEALTH_BAD && f->known) {
        count_kinds(s, f);
        m->width[s->sized] = f->about.width;
        m->height[s->sized] = f->about.height;
        m->pixels[s->sized++] = (uint64_t)f->about.width * f->about.height;
    }
    if (f->health == DATA_HEALTH_OK)
        return;
    app_bad_list_add(list, data_source_name(s->source, sample, name, sizeof name),
                     f->health, f->reason);
    keep_flaw(s, f, sample);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Sorts values. */
static app_spread spread_of(uint64_t *values, size_t count)
{
    if (count == 0)
        return (app_spread){0};
    qsort(values, count, sizeof *values, compare_numbers);
    return (app_spread){values[0], values[count / 2], values[count - 1]};
}

/* ---- all samples --------------------------------------------------------------------- */

static base_status lookers_make(looker *lookers, size_t count, base_error *err)
{
    const data_decode_limits limits = data_loader_defaults().limits;
    base_status status = BASE_OK;

    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = data_decoder_create(&lookers[i].decoder, &limits, err);
    return status;
}

static void lookers_free(looker *lookers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        data_decoder_destroy(lookers[i].decoder);
        data_image_destroy(&lookers[i].image);
        base_free(lookers[i].buffer);
    }
}

/* Samples first .. first + count of the plan, by all threads. */
static base_status block_look(finding *found, looker *lookers, const app_survey *s,
                              size_t first, size_t count, base_error *err)
{
    bool memory = true;

#pragma omp parallel for schedule(dynamic, 4) num_threads((int)s->args->common.threads)
    for (size_t i = 0; i < count; i++) {
        const bool good = look(&found[i], &lookers[omp_get_thread_num()], s->source,
                               s->looked_at[first + i], s->args->verify);
        if (!good) {
#pragma omp atomic write
            memory = false;
        }
    }
    return memory ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for a picture");
}

static base_status look_at_all(app_survey *s, measures *m, app_bad_list *list,
                               base_error *err)
{
    const size_t threads = (size_t)s->args->common.threads;
    looker *lookers = app_take(NULL, threads, sizeof *lookers);
    finding *found = app_take(NULL, BLOCK, sizeof *found);
    app_progress progress = {0};
    base_status status = lookers_make(lookers, threads, err);

    app_progress_start(&progress, &s->args->common, s->args->verify ? "verify" : "data",
                       "images", s->planned, 0);
    for (size_t at = 0; at < s->planned && status == BASE_OK; at += BLOCK) {
        const size_t left = s->planned - at, count = left < BLOCK ? left : BLOCK;
        if ((s->interrupted = app_stop_asked()))
            break;
        status = block_look(found, lookers, s, at, count, err);
        for (size_t i = 0; i < count && status == BASE_OK; i++)
            add_finding(s, m, &found[i], s->looked_at[at + i], list);
        app_progress_update(&progress, s->looked, "%llu bad, %llu damaged",
                            (unsigned long long)s->health[DATA_HEALTH_BAD],
                            (unsigned long long)s->health[DATA_HEALTH_DAMAGED]);
    }
    app_progress_end(&progress);
    lookers_free(lookers, threads);
    return status;
}

/* Which samples: --limit's, else all with --verify, else HEADERS of them. */
static base_status plan(app_survey *s, base_error *err)
{
    const app_common *common = &s->args->common;
    const size_t all = data_source_count(s->source);
    size_t limit = common->limit > 0 ? (size_t)common->limit
                   : s->args->verify ? 0
                                     : HEADERS;

    if (limit >= all)
        limit = 0;
    return data_source_subset(&s->looked_at, &s->planned, s->source, limit,
                              (uint64_t)common->seed, err);
}

static void count_classes(app_survey *s)
{
    const size_t classes = data_source_classes(s->source);
    uint64_t *counts = app_take(NULL, classes + 1, sizeof *counts);
    size_t present = 0;

    s->per_class = app_take(NULL, classes + 1, sizeof *s->per_class);
    for (size_t i = 0; i < data_source_count(s->source); i++) {
        const int32_t label = data_source_label(s->source, i);
        s->bytes += data_source_bytes(s->source, i);
        if (label < 0)
            s->unlabelled++;
        else
            s->per_class[label]++;
    }
    for (size_t c = 0; c < classes; c++) {
        if (s->per_class[c] > 0)
            counts[present++] = s->per_class[c];
    }
    s->empty_classes = classes - present;
    s->class_sizes = spread_of(counts, present);
}

base_status app_survey_make(app_survey *out, const data_args *args,
                            const data_source *source, app_bad_list *list, base_error *err)
{
    const double started = base_seconds();
    measures m = {0};

    out->args = args;
    out->source = source;
    count_classes(out);
    base_status status = plan(out, err);
    if (status == BASE_OK) {
        m.width = app_take(NULL, out->planned, sizeof *m.width);
        m.height = app_take(NULL, out->planned, sizeof *m.height);
        m.pixels = app_take(NULL, out->planned, sizeof *m.pixels);
        m.file = app_take(NULL, out->planned, sizeof *m.file);
        status = look_at_all(out, &m, list, err);
    }
    if (status == BASE_OK) {
        out->width = spread_of(m.width, out->sized);
        out->height = spread_of(m.height, out->sized);
        out->pixels = spread_of(m.pixels, out->sized);
        out->file = spread_of(m.file, m.files);
    }
    out->seconds = base_seconds() - started;
    return status;
}

void app_survey_destroy(app_survey *s)
{
    base_free(s->looked_at);
    *s = (app_survey){0};
}
