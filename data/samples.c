/* samples.c - what is known of an open data set: its samples and their names, what was left
 * out, whether two sets share files; and reading samples. Relied on elsewhere: the same
 * numbers, names and messages for every layout. */
#include "data/data_internal.h"
#include "data/sources/idx_internal.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DEFAULT_MAX_FILE_BYTES = 256 << 20, /* data_decode_limits' own default */
    SPARE_BYTES = 8192,
    ADVISE_BYTES = 16384,            /* less is read with its neighbours, or at once */
    NAME_BYTES = DATA_NAME_MAX + 512 /* a class and a path below it */
};

/* ---- names and numbers --------------------------------------------------------------- */

const char *data_source_layout(const data_source *source)
{
    return source->layout->name;
}

const char *data_source_holds(const data_source *source)
{
    return source->layout->holds;
}

const char *data_source_path(const data_source *source)
{
    return source->path;
}

/* Where sample i stands in the index. */
static size_t place_of(const data_source *source, size_t i)
{
    return source->part ? source->part[i] : i;
}

const data_record *data_source_record(const data_source *source, size_t i)
{
    return data_index_at(&source->index, place_of(source, i));
}

size_t data_source_count(const data_source *source)
{
    return source->part ? source->part_count : source->index.count;
}

size_t data_source_classes(const data_source *source)
{
    return source->class_count;
}

const char *data_source_class_name(const data_source *source, size_t label)
{
    return label < source->class_count ? source->classes[label] : NULL;
}

int32_t data_source_label(const data_source *source, size_t i)
{
    const int32_t label = data_source_record(source, i)->label;

    return label < 0 ? -1 : label; /* below -1: a number that is out of range */
}

size_t data_source_bytes(const data_source *source, size_t i)
{
    const data_record *r = data_source_record(source, i);

    if (source->pixels)
        return source->width * source->height * source->channels;
    return data_record_readable(r) ? r->size : 0;
}

void data_class_folder(char *out, size_t out_bytes, const data_source *source,
                       int32_t label)
{
    const char *class = label >= 0 ? source->classes[label] : "";
    size_t used = 0;

    for (; class[used] && used + 2 < out_bytes; used++)
        out[used] =
            class[used] == '/' || (used == 0 && class[used] == '.') ? '-' : class[used];
    if (used > 0)
        out[used++] = '/';
    out[used] = '\0';
}

const char *data_source_relative_name(const data_source *source, size_t i, char *out,
                                      size_t out_bytes)
{
    source->layout->relative(source, place_of(source, i), out, out_bytes);
    return out;
}

const char *data_source_name(const data_source *source, size_t i, char *out,
                             size_t out_bytes)
{
    char name[NAME_BYTES], whole[NAME_BYTES + 1024];

    if (source->layout->whole) {
        source->layout->whole(source, place_of(source, i), whole, sizeof whole);
    } else if (source->layout->join) {
        source->layout->relative(source, place_of(source, i), name, sizeof name);
        snprintf(whole, sizeof whole, "%s%c%s", source->path, source->layout->join, name);
    } else {
        snprintf(whole, sizeof whole, "%s[%zu]", source->path, place_of(source, i));
    }
    return base_quote(out, out_bytes, whole);
}

/* ---- what was left out --------------------------------------------------------------- */

size_t data_source_ignored(const data_source *source)
{
    size_t sum = 0;

    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        sum += source->left_out.by[i];
    return sum;
}

size_t data_source_ignored_for(const data_source *source, data_ignored reason)
{
    return source->left_out.by[reason];
}

const char *data_ignored_name(data_ignored reason)
{
    static const char *const names[DATA_IGNORED_COUNT] = {
        [DATA_IGNORED_OTHER] = "no image by its name",
        [DATA_IGNORED_FORMAT] = "of a format that is not read",
        [DATA_IGNORED_HIDDEN] = "hidden or unsafe name",
        [DATA_IGNORED_LINK] = "link or device",
        [DATA_IGNORED_OUTSIDE] = "outside of any class folder",
        [DATA_IGNORED_DEEP] = "too deep",
        [DATA_IGNORED_AGAIN] = "overwritten by a later member",
    };

    return names[reason];
}

/* Adds to a text of out_bytes that has *used of them; what does not fit is cut. */
static void add_text(char *out, size_t out_bytes, size_t *used, const char *format, ...)
    BASE_PRINTF(4, 5);
static void add_text(char *out, size_t out_bytes, size_t *used, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const int more = vsnprintf(out + *used, out_bytes - *used, format, args);
    va_end(args);
    *used += more > 0 ? (size_t)more : 0;
    if (*used >= out_bytes)
        *used = out_bytes - 1;
}

const char *data_source_left_out(char *out, size_t out_bytes, const data_source *source)
{
    const size_t all = data_source_ignored(source);
    const char *name, *between = "";
    size_t used = 0, count;

    out[0] = '\0';
    if (all == 0)
        return out;
    add_text(out, out_bytes, &used, "%zu name%s left out: ", all, all == 1 ? "" : "s");
    for (int i = 0; i < DATA_IGNORED_COUNT; i++) {
        if (source->left_out.by[i] == 0)
            continue;
        add_text(out, out_bytes, &used, "%s%zu %s", between, source->left_out.by[i],
                 data_ignored_name((data_ignored)i));
        between = ", ";
        if (i != DATA_IGNORED_FORMAT)
            continue;
        const char *comma = " (";
        for (size_t k = 0; (name = data_source_format(&count, source, k)) != NULL; k++) {
            if (count == 0)
                continue;
            add_text(out, out_bytes, &used, "%s%zu %s", comma, count, name);
            comma = ", ";
        }
        add_text(out, out_bytes, &used, ")");
    }
    return out;
}

const char *data_source_notice(const data_source *source)
{
    return source->notice;
}

void data_source_uniform(const data_source *source, size_t *width, size_t *height,
                         size_t *channels)
{
    *width = source->width;
    *height = source->height;
    *channels = source->channels;
}

uint64_t data_source_fingerprint(const data_source *source)
{
    return source->fingerprint;
}

/* ---- the same files ------------------------------------------------------------------ */

/* The file of sample i; false: none that can be asked. */
static bool file_of(struct stat *out, const data_source *source, size_t i)
{
    const data_record *r = data_index_at(&source->index, i);
    const size_t folders = source->folders.count;

    if (source->pixels) {
        char *path = NULL;
        const bool there = data_idx_find_images(&path, source->path, NULL) == BASE_OK &&
                           stat(path, out) == 0;

        base_free(path);
        return there;
    }
    if (r->container < folders)
        return data_folder_stat(out, source, r);
    *out = *data_files_stat(source->files, r->container - folders);
    return true;
}

/* Whether both are of the same files, whichever samples they show. */
static bool same_files(const data_source *a, const data_source *b)
{
    const size_t count = a->index.count;
    const size_t at[] = {0, count / 2, count > 0 ? count - 1 : 0};
    struct stat x, y;

    if (count == 0 || count != b->index.count || a->whole != b->whole)
        return false;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        if (!file_of(&x, a, at[i]) || !file_of(&y, b, at[i]) || x.st_dev != y.st_dev ||
            x.st_ino != y.st_ino ||
            data_index_at(&a->index, at[i])->offset !=
                data_index_at(&b->index, at[i])->offset)
            return false;
    }
    return true;
}

size_t data_source_shared(const data_source *a, const data_source *b)
{
    const size_t m = data_source_count(a), n = data_source_count(b);
    size_t shared = 0;

    if (!same_files(a, b))
        return 0;
    for (size_t i = 0, k = 0; i < m && k < n;) {
        const size_t x = place_of(a, i), y = place_of(b, k);
        shared += x == y;
        i += x <= y;
        k += y <= x;
    }
    return shared;
}

bool data_source_same(const data_source *a, const data_source *b)
{
    const size_t shared = data_source_shared(a, b);

    return shared > 0 && shared == data_source_count(a) && shared == data_source_count(b);
}

/* ---- reading ------------------------------------------------------------------------- */

static base_status label_refused(int32_t label, base_error *err)
{
    const int64_t n = data_label_told(label);

    if (n == INT64_MIN)
        return base_fail(err, BASE_FORMAT, "label out of range: no whole number");
    return base_fail(err, BASE_FORMAT, "label out of range %d%s", (int)n,
                     n == DATA_LABEL_MOST    ? " or more"
                     : n == -DATA_LABEL_MOST ? " or less"
                                             : "");
}

/* The reason of a sample that the index knows to be bad. */
static base_status unreadable(const data_record *r, base_error *err)
{
    switch (r->size - DATA_SIZE_MOST) {
    case DATA_NO_IMAGE_PART: return base_fail(err, BASE_FORMAT, "no image part");
    case DATA_NO_LABEL_PART: return base_fail(err, BASE_FORMAT, "no label part");
    case DATA_LABEL_RANGE: return label_refused(r->label, err);
    case DATA_SPARSE:
        return base_fail(err, BASE_UNSUPPORTED, "unsupported format sparse tar member");
    default: return base_fail(err, BASE_FORMAT, "file too large");
    }
}

base_status data_source_read_within(const data_source *source, size_t i,
                                    unsigned char **buffer, size_t *buffer_bytes,
                                    size_t *size, size_t max_bytes, base_error *err)
{
    const data_record *r = data_source_record(source, i);

    if (!data_record_readable(r))
        return unreadable(r, err);
    if (r->size > max_bytes)
        return base_fail(err, BASE_FORMAT, "file too large");
    if (r->size == 0)
        return base_fail(err, BASE_FORMAT, "empty file");
    if (r->size > *buffer_bytes) {
        /* Rather more than needed: files of about one size settle after the first few. */
        const size_t room = (size_t)r->size + r->size / 2 + SPARE_BYTES;
        unsigned char *wider = base_alloc(room, 1);
        if (!wider)
            return base_fail(err, BASE_NO_MEMORY, "no memory for %u bytes",
                             (unsigned)r->size);
        base_free(*buffer);
        *buffer = wider;
        *buffer_bytes = room;
    }
    const base_status status = source->layout->read(source, r, *buffer, err);
    if (status == BASE_OK)
        *size = r->size;
    return status;
}

base_status data_source_read(const data_source *source, size_t i, unsigned char **buffer,
                             size_t *buffer_bytes, size_t *size, base_error *err)
{
    return data_source_read_within(source, i, buffer, buffer_bytes, size,
                                   DEFAULT_MAX_FILE_BYTES, err);
}

base_status data_source_image_within(const data_source *source, size_t i, data_image *out,
                                     data_health *health, data_decoder *decoder,
                                     unsigned char **buffer, size_t *buffer_bytes,
                                     size_t max_bytes, char *note, size_t note_bytes,
                                     base_error *err)
{
    base_status status;
    size_t size = 0;

    *health = DATA_HEALTH_BAD;
    if (note_bytes > 0)
        note[0] = '\0';
    if (source->width > 0 && data_record_readable(data_source_record(source, i))) {
        status =
            data_image_reserve(out, source->width, source->height, source->channels, err);
        if (status != BASE_OK)
            return status;
        *health = DATA_HEALTH_OK;
        return source->layout->read(source, data_source_record(source, i), out->pixels,
                                    err);
    }
    status =
        data_source_read_within(source, i, buffer, buffer_bytes, &size, max_bytes, err);
    if (status != BASE_OK)
        return status;
    return data_decode(out, health, decoder, *buffer, size, note, note_bytes, err);
}

void data_source_advise(const data_source *source, size_t i)
{
    const data_record *r = data_source_record(source, i);

    if (source->layout->advise && data_record_readable(r) && r->size >= ADVISE_BYTES)
        source->layout->advise(source, r);
}

base_status data_source_image(const data_source *source, size_t i, data_image *out,
                              data_health *health, data_decoder *decoder,
                              unsigned char **buffer, size_t *buffer_bytes, base_error *err)
{
    return data_source_image_within(source, i, out, health, decoder, buffer, buffer_bytes,
                                    DEFAULT_MAX_FILE_BYTES, NULL, 0, err);
}
