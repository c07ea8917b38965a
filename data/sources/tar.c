/* tar.c - a tar archive of class folders, read where it lies (data.md 1). No names
 * are kept: a message reads them again from the header, which lies right before the data.
 * Free to change: when a second pass is made. Relied on elsewhere: numbers of samples as in
 * a folder of the same files. */
#include "data/data_internal.h"

#include <string.h>
#include <strings.h>

typedef struct scan {
    data_source *source;
    data_tar *tar;
    size_t inner; /* members that are archives themselves */
    /* Nearly always the members of a class follow one another: then only their names are
     * kept, until the class is complete. */
    bool keep_names;
    bool scattered; /* a class came again: scan again with all names */
    data_run run;
    int32_t class;                            /* of the run, -1: none yet */
    unsigned char seen[DATA_CLASSES_MAX / 8]; /* a bit a class that had its run */
} scan;

/* A sample, by its class and its path below the class. */
static base_status take_sample(scan *s, const data_tar_member *m, uint32_t class,
                               const char *below, base_error *err)
{
    data_record record = data_tar_record(m, 0, (int32_t) class);
    base_status status = BASE_OK;

    if (s->keep_names) {
        record.container = record.name; /* moves back to name when the names go */
        return data_index_add(&s->source->index, &record, below, err);
    }
    if (s->class != (int32_t) class) {
        if (s->seen[class / 8] & 1u << class % 8) {
            s->scattered = true;
            return BASE_OK;
        }
        s->seen[class / 8] |= (unsigned char)(1u << class % 8);
        s->class = (int32_t) class;
        status = data_run_end(&s->run, s->source, err);
    }
    return status == BASE_OK ? data_run_add(&s->run, &record, below, err) : status;
}

void data_tar_ignore(data_source *source, const data_tar_member *m)
{
    if (m->folder)
        return;
    source->ignored[!m->file   ? DATA_IGNORED_LINK
                    : !m->name ? DATA_IGNORED_HIDDEN
                               : DATA_IGNORED_OTHER]++;
}

/* A sample, a class, or ignored. */
static base_status take_member(scan *s, const data_tar_member *m, base_error *err)
{
    data_source *source = s->source;
    char *slash = m->name ? strchr(m->name, '/') : NULL;
    uint32_t class;

    if (!m->name || (!m->folder && !m->file)) {
        source->ignored[m->name ? DATA_IGNORED_LINK : DATA_IGNORED_HIDDEN]++;
        return BASE_OK;
    }
    if (m->folder && !slash &&
        m->name[0]) { /* a name without the '/' that folders end in */
        slash = m->name + strlen(m->name);
        slash[1] = '\0';
    }
    if (!slash) {
        s->inner += data_ends_in(m->name, ".tar");
        source->ignored[DATA_IGNORED_OUTSIDE] += m->file;
        return BASE_OK;
    }
    *slash = '\0';
    const base_status status = data_class_add(&class, &source->table, m->name, err);
    if (status != BASE_OK) {
        base_error_prepend(err, "'%s': ", source->path);
        return status;
    }
    if (m->folder)
        return BASE_OK;
    if (!data_is_image_name(slash + 1)) {
        data_tar_ignore(source, m);
        return BASE_OK;
    }
    data_source_tick(source);
    return take_sample(s, m, class, slash + 1, err);
}

/* All headers, from the first. */
static base_status scan_all(scan *s, int fd, bool keep_names, base_error *err)
{
    data_source *source = s->source;
    data_tar_member member;
    bool done = false;

    data_index_destroy(&source->index);
    data_class_table_destroy(&source->table);
    data_run_destroy(&s->run);
    *s = (scan){.source = source, .keep_names = keep_names, .class = -1};
    memset(source->ignored, 0, sizeof source->ignored);
    source->names = keep_names;
    base_status status =
        data_tar_open(&s->tar, fd, source->path, 0, source->file_bytes, err);
    while (status == BASE_OK && !s->scattered) {
        status = data_tar_next(s->tar, &member, &done, err);
        if (status != BASE_OK || done)
            break;
        status = take_member(s, &member, err);
    }
    if (status == BASE_OK && !s->scattered)
        status = data_run_end(&s->run, source, err);
    if (status == BASE_OK && !s->scattered && data_tar_cut(s->tar))
        data_source_note(source, "the archive ends without its two blocks of zeros");
    data_tar_close(s->tar);
    return status;
}

/* Sorts samples whose names are all there, then lets the names go. */
static base_status sort_scattered(data_source *source, base_error *err)
{
    const base_status status = data_source_sort(source, err);

    data_index_drop_names(&source->index);
    source->names = false;
    for (size_t i = 0; i < source->index.count; i++) {
        data_record *r = data_index_at(&source->index, i);
        r->name = r->container;
        r->container = 0;
    }
    return status;
}

static base_status tar_scan(data_source *source, const data_source_options *options,
                            base_error *err)
{
    scan *s = base_alloc(1, sizeof *s);
    int fd = -1;

    (void)options;
    if (!s)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
    source->labelling = DATA_LABELS_CLASSES;
    base_status status = data_tar_hold(&fd, source, 0, err);
    if (status != BASE_OK) {
        base_free(s);
        return status;
    }
    s->source = source;
    status = scan_all(s, fd, false, err);
    if (status == BASE_OK && s->scattered)
        status = scan_all(s, fd, true, err);
    data_files_release(source->files, 0);
    if (status == BASE_OK && source->index.count == 0 && s->inner > 0)
        status = base_fail(err, BASE_UNSUPPORTED,
                           "'%s' holds %zu tar archives and no images, expected %s",
                           source->path, s->inner, source->layout->holds);
    if (status == BASE_OK)
        status = s->keep_names ? sort_scattered(source, err)
                               : data_source_order_classes(source, err);
    data_run_destroy(&s->run);
    base_free(s);
    return status;
}

static base_status tar_prepare(data_source *source, const data_source_options *options,
                               base_error *err)
{
    uint32_t number;

    (void)options;
    return data_tar_join(source, &number, source->path, err);
}

/* Reads the header of the record again. Without it (file replaced, unreadable member) the
 * number. */
static void tar_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    char name[DATA_NAME_MAX + 2];

    if (data_archive_name(name, source, r))
        snprintf(out, out_bytes, "%s", name);
    else
        snprintf(out, out_bytes, "%s/member-%zu", source->classes[r->label], i);
}

static int tar_fits(const char *path)
{
    return data_tar_looks(path);
}

const data_layout data_layout_tar = {
    .name = "tar",
    .holds = "a tar archive of class folders",
    .fits = tar_fits,
    .prepare = tar_prepare,
    .scan = tar_scan,
    .read = data_archive_read,
    .relative = tar_relative,
    .advise = data_archive_advise,
    .join = '!',
    .cached = true,
};
