/* source_tar.c - a tar archive of class folders, read where it lies (data.md 1). No names are
 * kept: a message reads them again from the header, which lies right before the data. Free
 * to change: when a second pass is made. Relied on elsewhere: numbers of samples as in a
 * folder of the same files. */
#include "data/data_internal.h"

#include <string.h>
#include <strings.h>

typedef struct scan {
    data_source *source;
    data_tar *tar;
    size_t inner; /* members that are archives themselves */
    /* Most archives come in canonical order: then no name needs to be kept for sorting. */
    bool keep_names;
    bool disordered; /* a sample came too early: scan again with names */
    uint32_t last_class;
    char last[DATA_NAME_MAX + 1]; /* the last sample, below its class */
} scan;

/* Whether a sample stands behind the one before it, by class and path. */
static bool follows(scan *s, uint32_t class, const char *below)
{
    char *const *name = s->source->table.name;
    const int order =
        s->source->index.count == 0 ? -1 : strcmp(name[s->last_class], name[class]);
    const bool good = order < 0 || (order == 0 && strcmp(s->last, below) < 0);

    s->last_class = class;
    snprintf(s->last, sizeof s->last, "%s", below);
    return good;
}

/* A sample, a class, or ignored. */
static base_status take_member(scan *s, const data_tar_member *m, base_error *err)
{
    data_source *source = s->source;
    char *slash = m->name ? strchr(m->name, '/') : NULL;
    uint32_t class;

    if (!m->name || (!m->folder && !m->file)) {
        source->ignored++;
        return BASE_OK;
    }
    if (m->folder && !slash &&
        m->name[0]) { /* a name without the '/' that folders end in */
        slash = m->name + strlen(m->name);
        slash[1] = '\0';
    }
    if (!slash) {
        s->inner += data_ends_in(m->name, ".tar");
        source->ignored += m->file;
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
        source->ignored++;
        return BASE_OK;
    }
    if (!s->keep_names && !follows(s, class, slash + 1)) {
        s->disordered = true;
        return BASE_OK;
    }
    data_record record = data_tar_record(m, 0, (int32_t) class);
    if (s->keep_names)
        record.container = record.name; /* moves back to name when the names go */
    return data_index_add(&source->index, &record, s->keep_names ? slash + 1 : NULL, err);
}

/* All headers, from the first. */
static base_status scan_all(scan *s, int fd, bool keep_names, base_error *err)
{
    data_source *source = s->source;
    data_tar_member member;
    bool done = false;

    data_index_destroy(&source->index);
    data_class_table_destroy(&source->table);
    *s = (scan){.source = source, .keep_names = keep_names};
    source->ignored = 0;
    source->names = keep_names;
    base_status status =
        data_tar_open(&s->tar, fd, source->path, 0, source->file_bytes, err);
    while (status == BASE_OK && !s->disordered) {
        status = data_tar_next(s->tar, &member, &done, err);
        if (status != BASE_OK || done)
            break;
        status = take_member(s, &member, err);
    }
    if (status == BASE_OK && !s->disordered && data_tar_cut(s->tar))
        data_source_note(source, "the archive ends without its two blocks of zeros");
    data_tar_close(s->tar);
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
    base_status status = data_tar_hold(&fd, source, 0, err);
    if (status != BASE_OK) {
        base_free(s);
        return status;
    }
    s->source = source;
    status = scan_all(s, fd, false, err);
    if (status == BASE_OK && s->disordered)
        status = scan_all(s, fd, true, err);
    data_files_release(source->files, 0);
    if (status == BASE_OK && source->index.count == 0 && s->inner > 0)
        status = base_fail(err, BASE_UNSUPPORTED,
                           "'%s' holds %zu tar archives and no images, expected %s",
                           source->path, s->inner, source->layout->holds);
    if (status == BASE_OK && s->keep_names) {
        status = data_source_sort(source, err);
        data_index_drop_names(&source->index);
        source->names = false;
        for (size_t i = 0; i < source->index.count; i++) {
            data_record *r = data_index_at(&source->index, i);
            r->name = r->container;
            r->container = 0;
        }
    }
    source->labelling = DATA_LABELS_CLASSES;
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
