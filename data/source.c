/* source.c - data sets as numbered samples, whatever their packaging (data.md 1, 2).
 * Here: the table of layouts, telling them apart, and what is the same for all. A new
 * layout is a file source_<name>.c and one line in the table. Free to change: how a layout
 * is recognised. Relied on elsewhere: the numbering of samples, the fingerprint, names in
 * messages. */
#include "data/data_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const data_layout *const layouts[] = {
    &data_layout_folder,   &data_layout_tar,        &data_layout_zip,
    &data_layout_ilsvrc,   &data_layout_kaggle,     &data_layout_wds,
    &data_layout_list,     &data_layout_idx,        &data_layout_cifar,
    &data_layout_images,   &data_layout_imagenet_c, &data_layout_npy,
    &data_layout_tfrecord,
};

enum {
    LAYOUTS = sizeof layouts / sizeof layouts[0],
    DEFAULT_MAX_FILE_BYTES = 256 << 20, /* data_decode_limits' own default */
    SPARE_BYTES = 8192,
    ADVISE_BYTES = 16384,            /* less is read with its neighbours, or at once */
    NAME_BYTES = DATA_NAME_MAX + 512 /* a class and a path below it */
};

/* "folder, tar, idx" */
static const char *layout_names(char *out, size_t out_bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < LAYOUTS && used < out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", i ? ", " : "",
                                 layouts[i]->name);
    return out;
}

/* Splits "LAYOUT:PATH". A word before a colon that is no layout is an error, unless a file
 * of the whole name exists. *layout NULL: to be recognised. */
static base_status split_spec(const data_layout **layout, const char **path,
                              const char *spec, base_error *err)
{
    const char *colon = strchr(spec, ':');
    const size_t word = strspn(spec, "abcdefghijklmnopqrstuvwxyz-0123456789");
    char names[256];

    *layout = NULL;
    *path = spec;
    if (!colon || colon == spec || word != (size_t)(colon - spec))
        return BASE_OK;
    for (size_t i = 0; i < LAYOUTS; i++) {
        if (strlen(layouts[i]->name) == word && memcmp(layouts[i]->name, spec, word) == 0) {
            *layout = layouts[i];
            *path = colon + 1;
            return BASE_OK;
        }
    }
    if (access(spec, F_OK) == 0)
        return BASE_OK;
    return base_fail(err, BASE_USAGE, "'%.*s' is no layout of data, expected one of %s",
                     (int)word, spec, layout_names(names, sizeof names));
}

static base_status recognise(const data_layout **out, const char *path, base_error *err)
{
    const data_layout *found = NULL, *other = NULL;
    struct stat info;
    int best = 0;

    for (size_t i = 0; i < LAYOUTS; i++) {
        const int fit = layouts[i]->fits(path);
        if (fit == 0 || fit < best)
            continue;
        other = fit == best ? layouts[i] : NULL;
        found = fit == best ? found : layouts[i];
        best = fit;
    }
    if (other)
        return base_fail(err, BASE_USAGE,
                         "'%s' can be read in two ways: write '%s:%s' or '%s:%s'", path,
                         found->name, path, other->name, path);
    if (!found && stat(path, &info) != 0)
        return base_fail_errno(err, "cannot open '%s'", path);
    if (!found && data_foreign_refuse(path, err) != BASE_OK)
        return BASE_UNSUPPORTED;
    if (!found && S_ISDIR(info.st_mode))
        found = &data_layout_folder; /* its open says what is missing */
    if (!found)
        return base_fail(err, BASE_FORMAT, "'%s' is no data set, expected %s, or %s, or %s",
                         path, data_layout_folder.holds, data_layout_tar.holds,
                         data_layout_idx.holds);
    *out = found;
    return BASE_OK;
}

void data_source_tick(data_source *source)
{
    enum { EVERY = 256 }; /* samples: the clock is asked no more often */

    if (++source->ticks % EVERY != 0 || !source->asking || !source->asking->indexing)
        return;
    const double now = base_seconds();
    if (now - source->scan_started < 2 || now - source->scan_told < 1)
        return;
    source->scan_told = now;
    source->asking->indexing(source->asking->indexing_user, source->ticks,
                             now - source->scan_started, false);
}

/* The scan of the layout, which may take minutes. */
static base_status scan(data_source *source, const data_source_options *options,
                        base_error *err)
{
    source->asking = options;
    source->scan_started = base_seconds();
    const base_status status = source->layout->scan(source, options, err);
    if (source->scan_told > 0)
        options->indexing(options->indexing_user, source->ticks,
                          base_seconds() - source->scan_started, true);
    source->asking = NULL;
    return status;
}

static const struct {
    const char *name, *why;
} option_names[] = {
    {"split", ": it has no parts"},
    {"val-labels", ": its labels are its own"},
    {"class-map", ": its labels are no class folders"},
    {"label-key", ""},
};

/* An option that this data has no use for is an error: its user believes it does
 * something. */
static base_status options_check(data_source *source, const data_source_options *options,
                                 base_error *err)
{
    const data_layout *layout = source->layout;
    const bool labels = !layout->sets_labels && source->labelling == DATA_LABELS_TRUTH;
    const bool classes =
        !layout->sets_labels && (source->labelling == DATA_LABELS_CLASSES ||
                                 source->labelling == DATA_LABELS_TRUTH);
    const bool unused[DATA_OPTIONS] = {
        options->split && !source->split_used,
        options->val_labels && !labels,
        options->class_map && !classes,
        options->label_key && layout != &data_layout_wds && layout != &data_layout_tfrecord,
    };

    memcpy(source->unused, unused, sizeof unused);
    for (size_t i = 0; i < DATA_OPTIONS && !options->lenient; i++) {
        if (unused[i])
            return base_fail(err, BASE_USAGE, "--%s means nothing for '%s', %s (%s)%s",
                             option_names[i].name, source->path, layout->holds,
                             layout->name, option_names[i].why);
    }
    return BASE_OK;
}

/* The index from the cache or from the files, then labels. */
static base_status fill(data_source *source, const data_source_options *options,
                        base_error *err)
{
    const data_layout *layout = source->layout;
    base_status status = BASE_OK;
    char note[400] = "";

    if (layout->prepare)
        status = layout->prepare(source, options, err);
    if (status != BASE_OK)
        return status;
    if (!layout->cached || !data_cache_load(source, options, note, sizeof note)) {
        status = scan(source, options, err);
        if (status == BASE_OK && layout->cached)
            data_cache_store(source, options);
    }
    if (note[0])
        data_source_note(source, "%s", note);
    if (status == BASE_OK)
        status = options_check(source, options, err);
    if (status == BASE_OK && !layout->sets_labels)
        status = data_source_finish(source, options, err);
    return status;
}

/* A source without anything in it yet; *out NULL: no memory. */
static base_status make(data_source **out, const data_layout *layout, const char *path,
                        base_error *err)
{
    data_source *source = base_alloc(1, sizeof *source);

    if (source) {
        source->fd = -1;
        source->layout = layout;
        source->path = base_text("%s", path);
    }
    if (!source || !source->path) {
        data_source_close(source);
        return base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", path);
    }
    for (size_t n = strlen(source->path); n > 1 && source->path[n - 1] == '/'; n--)
        source->path[n - 1] = '\0';
    *out = source;
    return BASE_OK;
}

/* Corrupted copies of validation images are not what people mean to train on, unless they
 * say so. */
static base_status refuse_to_train(const data_layout *layout, const char *path,
                                   const data_source_options *options, base_error *err)
{
    if (layout != &data_layout_imagenet_c || !options->defines_classes)
        return BASE_OK;
    return base_fail(err, BASE_USAGE,
                     "'%s' is an ImageNet-C tree, corrupted images to evaluate on (eval "
                     "--imagenet-c), not to train on; if these are your own, write "
                     "imagenet-c:%s",
                     path, path);
}

base_status data_source_open(data_source **out, const char *spec,
                             const data_source_options *options, base_error *err)
{
    static const data_source_options defaults = {0};
    const data_layout *layout;
    const char *path;
    data_source *source = NULL;
    data_held held;
    const char *whole;
    data_source_options asked = options ? *options : defaults;
    if (data_held_parse(&held, &whole, spec))
        asked.split = "train"; /* it is training data that something is held out of */
    base_status status = split_spec(&layout, &path, whole, err);

    if (status != BASE_OK)
        return status;
    if (!*path)
        return base_fail(err, BASE_USAGE, "'%s' names no data", spec);
    if (!layout) {
        status = recognise(&layout, path, err);
        if (status == BASE_OK)
            status = refuse_to_train(layout, path, &asked, err);
    }
    if (status != BASE_OK)
        return status;
    assert(layout);
    status = make(&source, layout, path, err);
    if (status != BASE_OK)
        return status;
    source->split_used = held.given; /* nobody asked for a part */
    status = fill(source, &asked, err);
    if (status == BASE_OK && held.given)
        status = data_held_apply(source, &held, err);
    if (status == BASE_OK)
        *out = source;
    else
        data_source_close(source);
    return status;
}

base_status data_source_open_part(data_source **out, const char *path, const char *prefix,
                                  const uint64_t range[2],
                                  const data_source_options *options, base_error *err)
{
    static const data_source_options defaults = {0};
    data_source *source = NULL;
    base_status status = make(
        &source, data_zip_looks(path) ? &data_layout_zip : &data_layout_tar, path, err);

    if (status != BASE_OK)
        return status;
    memcpy(source->range, range, sizeof source->range);
    source->prefix = base_text("%s", prefix);
    status = source->prefix
                 ? fill(source, options ? options : &defaults, err)
                 : base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", path);
    if (status == BASE_OK)
        *out = source;
    else
        data_source_close(source);
    return status;
}

base_status data_source_witness(data_source *source, const char *path,
                                const struct stat *info, base_error *err)
{
    const bool folder = S_ISDIR(info->st_mode);
    data_witness made = {
        .size = folder ? 0 : (uint64_t)info->st_size,
        .mtime = (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec,
        .ctime = (int64_t)info->st_ctim.tv_sec * 1000000000 + info->st_ctim.tv_nsec,
        .inode = base_key((uint64_t[]){info->st_dev, info->st_ino}, 2),
    };

    if (!source->layout->cached)
        return BASE_OK;
    made.path = base_text("%s", path);
    if (!made.path || !data_grow(&source->witness, &source->witness_room,
                                 source->witness_count + 1, sizeof made)) {
        base_free(made.path);
        return base_fail(err, BASE_NO_MEMORY, "no memory for the names of folders");
    }
    source->witness[source->witness_count++] = made;
    return BASE_OK;
}

void data_source_close(data_source *source)
{
    if (!source)
        return;
    data_index_destroy(&source->index);
    data_class_table_destroy(&source->folders);
    data_class_table_destroy(&source->table);
    data_files_destroy(source->files);
    for (size_t i = 0; i < source->witness_count; i++)
        base_free(source->witness[i].path);
    base_free(source->witness);
    base_free(source->truth_path);
    base_free(source->prefix);
    base_free(source->base);
    for (size_t i = 0; source->classes && i < source->class_count; i++)
        base_free(source->classes[i]);
    base_free(source->classes);
    base_free(source->pixels);
    base_free(source->part);
    base_free(source->path);
    if (source->fd >= 0)
        close(source->fd);
    base_free(source);
}

void data_source_note(data_source *source, const char *format, ...)
{
    const size_t used = strlen(source->notice);
    char *text;
    va_list args;

    if (used > 0)
        snprintf(source->notice + used, sizeof source->notice - used, "; ");
    text = source->notice + strlen(source->notice);
    va_start(args, format);
    vsnprintf(text, sizeof source->notice - (size_t)(text - source->notice), format, args);
    va_end(args);
}

const char *data_source_layout(const data_source *source)
{
    return source->layout->name;
}

const char *data_source_unused(bool *end, const data_source *source, size_t i)
{
    *end = i >= DATA_OPTIONS;
    return *end || !source->unused[i] ? NULL : option_names[i].name;
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

/* The file of sample i; false: none that can be asked. */
static bool file_of(struct stat *out, const data_source *source, size_t i)
{
    const data_record *r = data_index_at(&source->index, i);
    const size_t folders = source->folders.count;

    if (source->pixels)
        return stat(source->path, out) == 0;
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

/* The reason of a sample that the index knows to be bad. */
static base_status unreadable(const data_record *r, base_error *err)
{
    switch (r->size - DATA_SIZE_MOST) {
    case DATA_NO_IMAGE_PART: return base_fail(err, BASE_FORMAT, "no image part");
    case DATA_NO_LABEL_PART: return base_fail(err, BASE_FORMAT, "no label part");
    case DATA_LABEL_RANGE:
        return base_fail(err, BASE_FORMAT, "label out of range %lld",
                         -2 - (long long)r->label);
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
