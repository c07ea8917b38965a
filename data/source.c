/* source.c - data sets as numbered samples, whatever their packaging (data.md 1, 2).
 * Here: the table of layouts, telling them apart, and what is the same for all. A new
 * layout is a file sources/<name>.c and one line in the table. Free to change: how a layout
 * is recognised. Relied on elsewhere: the numbering of samples, the fingerprint, names in
 * messages. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <assert.h>
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

enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

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

const char *data_source_unused(bool *end, const data_source *source, size_t i)
{
    *end = i >= DATA_OPTIONS;
    return *end || !source->unused[i] ? NULL : option_names[i].name;
}
