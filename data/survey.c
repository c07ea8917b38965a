/* survey.c - what a data set holds: classes from the index alone, sizes and kinds from the
 * headers of some or all files, and if wanted every picture decoded whole, by all threads.
 * A block of samples is looked at in parallel and added up in order, so that
 * nothing depends on the number of threads. Free to change: the sizes of blocks. */
#include "data/data_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1024, SHARE = 4 /* pictures that a thread takes at a time */ };

/* What one sample turned out to be. */
typedef struct finding {
    data_health health;
    bool known; /* about says something */
    bool misnamed;
    data_about about;
    char reason[DATA_FLAW_BYTES];
} finding;

const char *data_picture_name(data_picture_kind kind)
{
    static const char *const names[DATA_PICTURE_KINDS] = {
        "JPEG",    "PNG",          "raw pixels",  "grey",    "CMYK",    "alpha",
        "palette", "above 8 bits", "progressive", "rotated", "misnamed"};

    return names[kind];
}

const char *data_picture_note(data_picture_kind kind)
{
    static const char *const notes[DATA_PICTURE_KINDS] = {
        [DATA_PICTURE_GREY] = "one channel, made three",
        [DATA_PICTURE_CMYK] = "four inks, made RGB as Pillow does",
        [DATA_PICTURE_ALPHA] = "dropped, nothing is composited",
        [DATA_PICTURE_PALETTE] = "made RGB",
        [DATA_PICTURE_DEEP] = "the high 8 are used",
        [DATA_PICTURE_PROGRESSIVE] = "or interlaced",
        [DATA_PICTURE_TURNED] = "by EXIF; used as they lie, as torchvision does",
        [DATA_PICTURE_MISNAMED] = "a PNG named .JPEG or so; the content counts",
    };

    return notes[kind] ? notes[kind] : "";
}

/* ---- one sample ---------------------------------------------------------------------- */

/* Whether a name's ending says another format. */
static bool is_misnamed(const data_source *source, size_t sample, data_format format)
{
    char name[4400];

    data_source_relative_name(source, sample, name, sizeof name);
    if (format == DATA_FORMAT_PNG)
        return data_ends_in(name, ".jpg") || data_ends_in(name, ".jpeg");
    return format == DATA_FORMAT_JPEG && data_ends_in(name, ".png");
}

static void find_raw(finding *f, data_reader *r, const data_source *source, size_t sample,
                     base_error *err)
{
    if (data_reader_sample(r, source, sample, err) != BASE_OK)
        return;
    f->health = r->health;
    f->known = true;
    f->about = (data_about){.width = r->image.width,
                            .height = r->image.height,
                            .bits = 8,
                            .components = (int)r->image.channels};
}

/* The sample's header, and all of it with decode. False: no memory. */
static bool look(finding *f, data_reader *r, const data_source *source, size_t sample,
                 bool decode)
{
    size_t width = 0, height = 0, channels = 0, size = 0;
    base_error err = {0};

    *f = (finding){.health = DATA_HEALTH_BAD};
    data_source_uniform(source, &width, &height, &channels);
    base_status status = data_reader_begin(r, &err);
    if (status == BASE_OK && width > 0) {
        find_raw(f, r, source, sample, &err);
    } else if (status == BASE_OK) {
        status =
            data_source_read(source, sample, &r->buffer, &r->buffer_bytes, &size, &err);
        if (status == BASE_OK) {
            f->known = data_probe(&f->about, r->buffer, size);
            f->misnamed = f->known && is_misnamed(source, sample, f->about.format);
            f->health = DATA_HEALTH_OK;
        }
        if (status == BASE_OK && (decode || !f->known)) /* decoding says what is wrong */
            status = data_decode(&r->image, &f->health, r->decoder, r->buffer, size,
                                 f->reason, sizeof f->reason, &err);
    }
    if (f->health == DATA_HEALTH_BAD)
        snprintf(f->reason, sizeof f->reason, "%.*s", (int)sizeof f->reason - 1, err.text);
    return err.status != BASE_NO_MEMORY;
}

/* ---- adding up ----------------------------------------------------------------------- */

/* Measures of every sample that was looked at; sorted in the end. */
enum { WIDTH, HEIGHT, PIXELS, FILE_BYTES, MEASURES };

/* All that is at work, and the block that threads take pictures from. */
typedef struct survey_work {
    data_survey *survey;
    const data_source *source;
    const data_survey_options *options;
    uint64_t *measures[MEASURES]; /* [planned] each */
    data_reader *readers;         /* [threads] */
    size_t threads;
    finding *found; /* [BLOCK] */
    size_t first, count;
    atomic_size_t next;
    atomic_bool no_memory;
} survey_work;

static void count_kinds(data_survey *s, const finding *f)
{
    const data_about *a = &f->about;
    const bool png = a->format == DATA_FORMAT_PNG, jpeg = a->format == DATA_FORMAT_JPEG;

    s->kinds[DATA_PICTURE_JPEG] += jpeg;
    s->kinds[DATA_PICTURE_PNG] += png;
    s->kinds[DATA_PICTURE_RAW] += !png && !jpeg;
    s->kinds[DATA_PICTURE_GREY] += a->components <= 2;
    s->kinds[DATA_PICTURE_CMYK] += jpeg && a->components == 4;
    s->kinds[DATA_PICTURE_ALPHA] += png && a->components % 2 == 0;
    s->kinds[DATA_PICTURE_PALETTE] += a->palette;
    s->kinds[DATA_PICTURE_DEEP] += a->bits > 8;
    s->kinds[DATA_PICTURE_PROGRESSIVE] += a->progressive;
    s->kinds[DATA_PICTURE_TURNED] += a->orientation > 1;
    s->kinds[DATA_PICTURE_MISNAMED] += f->misnamed;
}

static base_status keep_flaw(data_survey *s, const finding *f, size_t sample,
                             base_error *err)
{
    if (s->flaws == DATA_FLAWS_MOST)
        return BASE_OK;
    if (!data_grow(&s->flaw, &s->flaw_room, s->flaws + 1, sizeof *s->flaw))
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu flaws", s->flaws + 1);
    data_flaw *flaw = &s->flaw[s->flaws++];
    flaw->sample = (uint32_t)sample;
    flaw->health = f->health;
    memcpy(flaw->reason, f->reason, sizeof flaw->reason);
    return BASE_OK;
}

static base_status add_finding(const survey_work *w, const finding *f, size_t sample,
                               base_error *err)
{
    const data_survey_options *o = w->options;
    data_survey *s = w->survey;
    uint64_t *const *m = w->measures;

    m[FILE_BYTES][s->looked++] = data_source_bytes(w->source, sample);
    s->health[f->health]++;
    if (f->health != DATA_HEALTH_BAD && f->known) {
        count_kinds(s, f);
        m[WIDTH][s->sized] = f->about.width;
        m[HEIGHT][s->sized] = f->about.height;
        m[PIXELS][s->sized++] = (uint64_t)f->about.width * f->about.height;
    }
    if (f->health == DATA_HEALTH_OK)
        return BASE_OK;
    if (o->named)
        o->named(o->user, sample, f->health, f->reason);
    return keep_flaw(s, f, sample, err);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Sorts values. */
static data_spread spread_of(uint64_t *values, size_t count)
{
    if (count == 0)
        return (data_spread){0};
    qsort(values, count, sizeof *values, compare_numbers);
    return (data_spread){values[0], values[count / 2], values[count - 1]};
}

/* ---- all samples --------------------------------------------------------------------- */

/* Of the block until none is left; as member `thread`. */
static void block_member(void *work, size_t thread)
{
    survey_work *w = work;
    size_t at;

    while ((at = atomic_fetch_add(&w->next, SHARE)) < w->count)
        for (size_t i = at; i < at + SHARE && i < w->count; i++)
            if (!look(&w->found[i], &w->readers[thread], w->source,
                      w->survey->looked_at[w->first + i], w->options->decode))
                atomic_store(&w->no_memory, true);
}

/* Samples first .. first + count of the plan, by all threads. */
static base_status block_look(survey_work *w, size_t first, size_t count, base_error *err)
{
    w->first = first;
    w->count = count;
    atomic_store(&w->next, 0);
    if (w->options->together)
        w->options->together(w->threads, block_member, w);
    else
        block_member(w, 0);
    if (atomic_load(&w->no_memory))
        return base_fail(err, BASE_NO_MEMORY, "no memory for a picture");
    return BASE_OK;
}

static base_status look_at_all(survey_work *w, base_error *err)
{
    const data_survey_options *o = w->options;
    data_survey *s = w->survey;
    base_status status = BASE_OK;

    for (size_t at = 0; status == BASE_OK; at += BLOCK) {
        const size_t left = at < s->planned ? s->planned - at : 0;
        const size_t count = left < BLOCK ? left : BLOCK;

        s->interrupted = o->goes_on && !o->goes_on(o->user, s) && left > 0;
        if (s->interrupted || left == 0)
            break;
        status = block_look(w, at, count, err);
        for (size_t i = 0; i < count && status == BASE_OK; i++)
            status = add_finding(w, &w->found[i], s->looked_at[at + i], err);
    }
    return status;
}

static base_status count_classes(data_survey *s, const data_source *source, base_error *err)
{
    const size_t classes = data_source_classes(source);
    uint64_t *counts = base_alloc(classes + 1, sizeof *counts);
    size_t present = 0;

    s->per_class = base_alloc(classes + 1, sizeof *s->per_class);
    if (!counts || !s->per_class) {
        base_free(counts);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu classes", classes);
    }
    for (size_t i = 0; i < data_source_count(source); i++) {
        const int32_t label = data_source_label(source, i);
        s->bytes += data_source_bytes(source, i);
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
    base_free(counts);
    return BASE_OK;
}

static base_status work_open(survey_work *w, base_error *err)
{
    bool good = true;

    w->threads = w->options->together && w->options->threads > 0 ? w->options->threads : 1;
    w->readers = base_alloc(w->threads, sizeof *w->readers);
    w->found = base_alloc(BLOCK, sizeof *w->found);
    for (size_t m = 0; m < MEASURES; m++) {
        w->measures[m] = base_alloc(w->survey->planned, sizeof *w->measures[m]);
        good = good && w->measures[m];
    }
    return good && w->readers && w->found
               ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY, "no memory to look at %zu pictures",
                           w->survey->planned);
}

static void work_close(survey_work *w)
{
    for (size_t i = 0; w->readers && i < w->threads; i++)
        data_reader_close(&w->readers[i]);
    base_free(w->readers);
    base_free(w->found);
    for (size_t m = 0; m < MEASURES; m++)
        base_free(w->measures[m]);
}

base_status data_survey_make(data_survey *out, const data_source *source,
                             const data_survey_options *options, base_error *err)
{
    survey_work w = {.survey = out, .source = source, .options = options};

    *out = (data_survey){0};
    base_status status = count_classes(out, source, err);
    if (status == BASE_OK)
        status = data_source_subset(&out->looked_at, &out->planned, source, options->limit,
                                    options->seed, err);
    if (status == BASE_OK)
        status = work_open(&w, err);
    if (status == BASE_OK)
        status = look_at_all(&w, err);
    if (status == BASE_OK) {
        out->width = spread_of(w.measures[WIDTH], out->sized);
        out->height = spread_of(w.measures[HEIGHT], out->sized);
        out->pixels = spread_of(w.measures[PIXELS], out->sized);
        out->file = spread_of(w.measures[FILE_BYTES], out->looked);
    }
    work_close(&w);
    return status;
}

void data_survey_free(data_survey *survey)
{
    base_free(survey->per_class);
    base_free(survey->looked_at);
    base_free(survey->flaw);
    *survey = (data_survey){0};
}
