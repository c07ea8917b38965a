/* archive.c - a tar or zip archive of class folders, read where it lies (data.md 1). No
 * names are kept: a message reads them again from the header, which lies right before the
 * data, or from the directory. Kaggle's archive of ImageNet is such a zip with the class
 * folders further down. Free to change: when a second pass is made. Relied on elsewhere:
 * numbers of samples as in a folder of the same files. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"
#include "data/sources/labels_internal.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { TEXT_MOST = 64 << 20 }; /* of labels */

typedef struct scan {
    data_source *source;
    data_walk walk;
    size_t inner; /* members that are archives themselves */
    size_t loose; /* pictures beside the class folders */
    /* Nearly always the members of a class follow one another: then only their names are
     * kept, until the class is complete. */
    bool keep_names;
    bool scattered; /* a class came again: scan again with all names */
    data_run run;
    int32_t class;                            /* of the run, -1: none yet */
    unsigned char seen[DATA_CLASSES_MAX / 8]; /* a bit a class that had its run */
    data_top *top;                            /* by class: what lies in it */
    size_t top_room;
    data_record wnids; /* Tiny ImageNet's list of classes; size 0: none right here */
    size_t kaggle;     /* bytes of the name up to Kaggle's CLS-LOC, 0: not met */
    char around[DATA_NAME_MAX + 2]; /* that name */
} scan;

/* ---- members ------------------------------------------------------------------------ */

base_status data_walk_open(data_walk *out, bool zip, int fd, const char *path,
                           uint64_t bytes, const uint64_t range[2], base_error *err)
{
    *out = (data_walk){0};
    if (!zip)
        return data_tar_open(&out->tar, fd, path, range ? range[0] : 0,
                             range ? range[1] : bytes, err);
    const base_status status = data_zip_open(&out->zip, fd, path, bytes, err);
    if (status == BASE_OK && range)
        data_zip_limit(out->zip, range[0], range[1]);
    return status;
}

base_status data_walk_next(data_walk *walk, data_member *out, bool *done, base_error *err)
{
    return walk->zip ? data_zip_next(walk->zip, out, done, err)
                     : data_tar_next(walk->tar, out, done, err);
}

bool data_walk_cut(const data_walk *walk)
{
    return walk->tar && data_tar_cut(walk->tar);
}

void data_walk_close(data_walk *walk)
{
    data_zip_close(walk->zip);
    data_tar_close(walk->tar);
    *walk = (data_walk){0};
}

static bool is_zip(const data_source *source)
{
    return source->layout == &data_layout_zip;
}

/* A sample, by its class and its path below the class. */
static base_status take_sample(scan *s, const data_member *m, uint32_t class,
                               const char *below, base_error *err)
{
    data_record record = data_member_record(m, 0, (int32_t) class);
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

void data_member_ignore(data_source *source, const data_member *m)
{
    if (m->folder)
        return;
    if (m->file && m->name)
        data_left_out_name(&source->left_out, m->name);
    else
        source->left_out.by[m->file ? DATA_IGNORED_HIDDEN : DATA_IGNORED_LINK]++;
}

/* The member's name below the folder that is read, NULL: it lies outside of it. */
static char *below_prefix(const data_source *source, char *name)
{
    const size_t bytes = source->prefix ? strlen(source->prefix) : 0;

    if (bytes == 0)
        return name;
    return strncmp(name, source->prefix, bytes) == 0 && name[bytes] == '/'
               ? name + bytes + 1
               : NULL;
}

/* Right below the folder that is read: outside of class folders, but a sample where there
 * are none. */
static base_status take_loose(scan *s, const data_member *m, const char *name,
                              base_error *err)
{
    data_source *source = s->source;
    uint32_t class = 0;

    s->inner += data_ends_in(name, ".tar") || data_ends_in(name, ".zip");
    if (!data_is_image_name(name)) {
        if (m->file && !m->sparse && strcmp(name, "wnids.txt") == 0)
            s->wnids = data_member_record(m, 0, 0);
        data_member_ignore(source, m);
        return BASE_OK;
    }
    s->loose++;
    if (!source->flat) {
        source->left_out.by[DATA_IGNORED_OUTSIDE]++;
        return BASE_OK;
    }
    const base_status status = data_class_add(&class, &source->table, ".", err);
    return status == BASE_OK ? take_sample(s, m, class, name, err) : status;
}

/* Bytes of the name up to CLS-LOC of Kaggle's tree, 0: it is not in there. */
static size_t kaggle_bytes(const char *name)
{
    static const char inside[] = "Data/CLS-LOC/";
    const char *at = strstr(name, inside);

    return at && (at == name || at[-1] == '/') ? (size_t)(at - name) + sizeof inside - 2
                                               : 0;
}

static const char solution[] = "LOC_val_solution.csv"; /* Kaggle's labels of val */

static bool is_kaggle_val(const char *prefix)
{
    return kaggle_bytes(prefix) > 0 && data_ends_in(prefix, "/val");
}

/* Whether a member is the file of labels that belongs to the pictures below prefix. */
static bool is_truth(const char *name, const char *prefix)
{
    static const char file[] = "val_annotations.txt"; /* Tiny ImageNet's, or one level up */
    const char *slash = strrchr(name, '/');
    const size_t folder = slash ? (size_t)(slash - name) : 0;

    if (kaggle_bytes(prefix) > 0)
        return is_kaggle_val(prefix) && strcmp(slash ? slash + 1 : name, solution) == 0;
    if (strcmp(slash ? slash + 1 : name, file) != 0)
        return false;
    if (strncmp(name, prefix, folder) != 0)
        return false;
    const char *rest = prefix + folder;
    if (folder > 0 && *rest && *rest++ != '/')
        return false;
    return !strchr(rest, '/');
}

/* A sample, a class, or ignored. */
static base_status take_member(scan *s, const data_member *m, base_error *err)
{
    data_source *source = s->source;
    char *name = m->name ? below_prefix(source, m->name) : NULL;
    char *slash = name ? strchr(name, '/') : NULL;
    data_c_name tree;
    uint32_t class;

    if (!m->name || (!m->folder && !m->file)) {
        source->left_out.by[m->name ? DATA_IGNORED_LINK : DATA_IGNORED_HIDDEN]++;
        return BASE_OK;
    }
    if (source->flat && m->file && !m->sparse &&
        is_truth(m->name, source->prefix ? source->prefix : "")) {
        source->truth = data_member_record(m, 0, 0);
        source->has_truth = true;
    }
    if (!name || !name[0])
        return BASE_OK;
    if (!source->prefix && (s->kaggle = kaggle_bytes(m->name)) > 0) {
        snprintf(s->around, sizeof s->around, "%.*s", (int)s->kaggle, m->name);
        return BASE_OK;
    }
    if (m->folder && !slash) { /* a name without the '/' that folders end in */
        slash = name + strlen(name);
        slash[1] = '\0';
    }
    if (!slash)
        return take_loose(s, m, name, err);
    if (m->file && data_is_image_name(slash + 1) && source->range[1] == 0 &&
        data_c_name_parse(&tree, m->name) && tree.known)
        return data_c_refuse(source->path, m->name, err);
    *slash = '\0';
    base_status status = data_class_add(&class, &source->table, name, err);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s': ", source->path);
    else if (!data_grow(&s->top, &s->top_room, source->table.count, sizeof *s->top))
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
    if (status != BASE_OK)
        return status;
    if (m->folder) {
        s->top[class].folders = s->top[class].folders || slash[1];
        return BASE_OK;
    }
    if (!data_is_image_name(slash + 1)) {
        data_left_out_name(&source->left_out, slash + 1);
        return BASE_OK;
    }
    const char *deeper = strchr(slash + 1, '/');
    *(deeper ? &s->top[class].folders : &s->top[class].pictures) = true;
    if (deeper)
        data_top_inner(&s->top[class], slash + 1, (size_t)(deeper - slash - 1));
    data_source_tick(source);
    return take_sample(s, m, class, slash + 1, err);
}

/* All headers, from the first. */
static base_status scan_once(scan *s, int fd, bool keep_names, base_error *err)
{
    data_source *source = s->source;
    data_member member;
    bool done = false;

    data_index_destroy(&source->index);
    data_class_table_destroy(&source->table);
    data_run_destroy(&s->run);
    base_free(s->top);
    *s = (scan){.source = source, .keep_names = keep_names, .class = -1};
    source->left_out = (data_left_out){0};
    source->names = keep_names;
    source->has_truth = false;
    base_status status =
        data_walk_open(&s->walk, is_zip(source), fd, source->path, source->file_bytes,
                       source->range[1] > 0 ? source->range : NULL, err);
    while (status == BASE_OK && !s->scattered && s->kaggle == 0) {
        status = data_walk_next(&s->walk, &member, &done, err);
        if (status != BASE_OK || done)
            break;
        status = take_member(s, &member, err);
    }
    if (status == BASE_OK && !s->scattered)
        status = data_run_end(&s->run, source, err);
    source->cut = status == BASE_OK && !s->scattered && source->range[1] == 0 &&
                  data_walk_cut(&s->walk);
    data_walk_close(&s->walk);
    return status;
}

static base_status scan_all(scan *s, int fd, base_error *err)
{
    const base_status status = scan_once(s, fd, false, err);

    return status == BASE_OK && s->scattered ? scan_once(s, fd, true, err) : status;
}

/* The member's bytes as a text. */
static base_status read_text(char **out, size_t *bytes, const data_source *source,
                             const data_record *r, base_error *err)
{
    if (r->size > TEXT_MOST)
        return base_fail(err, BASE_FORMAT, "file too large");
    char *text = base_alloc((size_t)r->size + 1, 1);
    if (!text)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read it");
    const base_status status =
        r->size > 0 ? data_archive_read(source, r, (unsigned char *)text, err) : BASE_OK;
    if (status == BASE_OK) {
        *out = text;
        *bytes = r->size;
    } else {
        base_free(text);
    }
    return status;
}

static void look_at_wnids(data_source *source, const data_record *wnids)
{
    char *text = NULL;
    size_t bytes = 0;

    if (wnids->size > 0 && read_text(&text, &bytes, source, wnids, NULL) == BASE_OK)
        data_note_wnids(source, text);
    base_free(text);
}

/* The folder to read becomes one further down; *again: scan that. */
static base_status descend(bool *again, scan *s, const data_source_options *options,
                           base_error *err)
{
    data_source *source = s->source;
    const size_t count = source->table.count;
    char *where = source->prefix ? base_text("%s!%s", source->path, source->prefix)
                                 : base_text("%s", source->path);
    size_t at = DATA_NO_TOP;

    *again = false;
    for (size_t i = 0; i < count; i++)
        s->top[i].name = source->table.name[i];
    base_status status = where ? data_parts_choose(&at, source, where, s->top, count,
                                                   s->loose > 0, options, err)
                               : base_fail(err, BASE_NO_MEMORY, "no memory for a name");
    base_free(where);
    if (status == BASE_OK && at == DATA_NO_TOP)
        *again = source->flat = data_parts_flat(s->top, count, s->loose > 0, options, &at);
    if (status != BASE_OK || at == DATA_NO_TOP)
        return status;
    if (data_part_name(source->table.name[at]))
        look_at_wnids(source, &s->wnids);
    char *below = source->prefix
                      ? base_text("%s/%s", source->prefix, source->table.name[at])
                      : base_text("%s", source->table.name[at]);
    base_free(source->prefix);
    source->prefix = below;
    *again = true;
    return below ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for a name");
}

/* Kaggle's tree: one of its parts, of which only train has class folders. */
static base_status descend_kaggle(scan *s, int fd, const data_source_options *options,
                                  base_error *err)
{
    data_source *source = s->source;
    const char *split = options->split ? options->split : "val";

    source->prefix = base_text("%s/%s", s->around, split);
    if (!source->prefix)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a name");
    source->split_used = true;
    source->flat = strcmp(split, "train") != 0;
    data_source_note(source, "reading '%s' of '%s', Kaggle's tree of ImageNet",
                     source->prefix, source->path);
    base_status status = scan_all(s, fd, err);
    if (status == BASE_OK && source->index.count == 0)
        status = base_fail(err, BASE_IO,
                           "'%s' holds no pictures in '%s': say which part is meant, with "
                           "--split",
                           source->path, source->prefix);
    return status;
}

static base_status scan_levels(scan *s, int fd, const data_source_options *options,
                               base_error *err)
{
    base_status status = BASE_OK;
    bool again = true;

    for (int i = 0; i <= DATA_DEPTH_MAX && again && status == BASE_OK; i++) {
        status = scan_all(s, fd, err);
        if (status == BASE_OK && s->kaggle > 0)
            return descend_kaggle(s, fd, options, err);
        again = !s->source->flat;
        if (status == BASE_OK && again)
            status = descend(&again, s, options, err);
    }
    return status;
}

static base_status archive_scan(data_source *source, const data_source_options *options,
                                base_error *err)
{
    scan *s = base_alloc(1, sizeof *s);
    int fd = -1;

    if (!s)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
    source->labelling = DATA_LABELS_CLASSES;
    base_status status = is_zip(source)
                             ? data_archive_hold(&fd, source, 0, "a zip archive", err)
                             : data_tar_hold(&fd, source, 0, err);
    if (status != BASE_OK) {
        base_free(s);
        return status;
    }
    s->source = source;
    status = scan_levels(s, fd, options, err);
    data_files_release(source->files, 0);
    if (status == BASE_OK && source->cut)
        data_source_note(source, "the archive ends without its two blocks of zeros");
    if (status == BASE_OK && source->index.count == 0 && s->inner > 0)
        status = base_fail(err, BASE_UNSUPPORTED,
                           "'%s' holds %zu archives and no images, expected %s",
                           source->path, s->inner, source->layout->holds);
    if (status == BASE_OK)
        status = s->keep_names ? data_source_sort_members(source, err)
                               : data_source_order_classes(source, err);
    if (source->flat)
        source->labelling = DATA_LABELS_TRUTH;
    data_run_destroy(&s->run);
    base_free(s->top);
    base_free(s);
    return status;
}

static base_status archive_prepare(data_source *source, const data_source_options *options,
                                   base_error *err)
{
    uint32_t number;

    (void)options;
    return data_tar_join(source, &number, source->path, err);
}

/* Reads the header of the record again. Without it (file replaced, unreadable member) the
 * number. */
static void member_of(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    char name[DATA_NAME_MAX + 2];

    if (data_archive_name(name, source, r))
        snprintf(out, out_bytes, "%s", name);
    else if (source->labelling == DATA_LABELS_CLASSES)
        snprintf(out, out_bytes, "%s%s%s/member-%zu", source->prefix ? source->prefix : "",
                 source->prefix ? "/" : "", source->classes[r->label], i);
    else
        snprintf(out, out_bytes, "member-%zu", i);
}

static void archive_relative(const data_source *source, size_t i, char *out,
                             size_t out_bytes)
{
    const int32_t label = data_index_at(&source->index, i)->label;
    char name[2 * DATA_NAME_MAX + 64], class[DATA_NAME_MAX] = "";

    member_of(source, i, name, sizeof name);
    const char *below = below_prefix(source, name);
    if (source->labelling != DATA_LABELS_CLASSES)
        data_class_folder(class, sizeof class, source, label);
    snprintf(out, out_bytes, "%s%s", class, below && below[0] ? below : name);
}

static void archive_whole(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    char name[2 * DATA_NAME_MAX + 64];

    member_of(source, i, name, sizeof name);
    snprintf(out, out_bytes, "%s!%s", source->path, name);
}

/* ---- the file of labels -------------------------------------------------------------- */

/* Kaggle's where it lies beside the archive; *text stays NULL: there is none. */
static base_status read_beside(char **text, size_t *bytes, char **name,
                               const data_source *source, base_error *err)
{
    const char *slash = strrchr(source->path, '/');
    const int folder = slash ? (int)(slash - source->path) + 1 : 0;

    *name = base_text("%.*s%s", folder, source->path, solution);
    if (!*name)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a name");
    return access(*name, R_OK) == 0 ? base_file_read(text, bytes, *name, TEXT_MOST, err)
                                    : BASE_OK;
}

base_status data_archive_truth(char **text, size_t *bytes, char **name,
                               const data_source *source, base_error *err)
{
    char member[DATA_NAME_MAX + 2];

    if (!source->has_truth)
        return source->prefix && is_kaggle_val(source->prefix)
                   ? read_beside(text, bytes, name, source, err)
                   : BASE_OK;
    const bool named = data_archive_name(member, source, &source->truth);
    *name = base_text("%s!%s", source->path, named ? member : "labels");
    if (!*name)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a name");
    const base_status status = read_text(text, bytes, source, &source->truth, err);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s': ", *name);
    return status;
}

/* ---- layouts ------------------------------------------------------------------------ */

static int tar_fits(const char *path)
{
    return data_tar_looks(path);
}

static int zip_fits(const char *path)
{
    return data_zip_looks(path);
}

const data_layout data_layout_tar = {
    .name = "tar",
    .holds = "a tar archive of class folders",
    .fits = tar_fits,
    .prepare = archive_prepare,
    .scan = archive_scan,
    .read = data_archive_read,
    .relative = archive_relative,
    .whole = archive_whole,
    .advise = data_archive_advise,
    .join = '!',
    .cached = true,
};

const data_layout data_layout_zip = {
    .name = "zip",
    .holds = "a zip archive of class folders",
    .fits = zip_fits,
    .prepare = archive_prepare,
    .scan = archive_scan,
    .read = data_archive_read,
    .relative = archive_relative,
    .whole = archive_whole,
    .advise = data_archive_advise,
    .join = '!',
    .cached = true,
};
