/* folder.c - a folder with one folder of images for each class (data.md 1), and what
 * all layouts of loose files share: reading, names. Free to change: how a split is told.
 * Relied on elsewhere: names in messages. */
#include "data/sources/folder_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *data_source_base(const data_source *source)
{
    return source->base ? source->base : source->path;
}

base_status data_folder_prepare(data_source *source, const data_source_options *options,
                                base_error *err)
{
    (void)options;
    source->fd = open(data_source_base(source), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source->fd < 0)
        return base_fail_errno(err, "cannot open the folder '%s'",
                               data_source_base(source));
    return BASE_OK;
}

/* What lies right in the folder base/top->name. */
static void look_into(data_top *top, const char *base)
{
    char *path = base_text("%s/%s", base, top->name);
    const int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    folder_listing l = {0};

    base_free(path);
    if (fd < 0 || !data_folder_list(&l, fd))
        return; /* the scan will say so */
    for (size_t i = 0; i < l.count; i++) {
        *(l.at[i].folder ? &top->folders : &top->pictures) = true;
        if (l.at[i].folder)
            data_top_inner(top, l.at[i].name, strlen(l.at[i].name));
    }
    data_folder_listing_free(&l);
}

/* The folders right in base; *pictures: some lie beside them. Of many folders only those
 * that may be parts are looked into, the others count as class folders. The caller frees
 * *top and l. */
static base_status list_tops(data_top **top, size_t *count, bool *pictures,
                             folder_listing *l, const char *base, base_error *err)
{
    enum { FEW = 8 };
    const int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || !data_folder_list(l, fd))
        return base_fail_errno(err, "cannot open the folder '%s'", base);
    *top = base_alloc(l->count, sizeof **top);
    if (!*top)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the names of folders");
    for (size_t i = 0; i < l->count; i++) {
        if (l->at[i].folder)
            (*top)[(*count)++].name = l->at[i].name;
        else
            *pictures = true;
    }
    for (size_t i = 0; i < *count; i++) {
        if (*count <= FEW || data_part_name((*top)[i].name))
            look_into(&(*top)[i], base);
        else
            (*top)[i].pictures = (*top)[i].folders = true;
    }
    return BASE_OK;
}

base_status data_folder_annotations(data_source *source, base_error *err)
{
    const char *base = data_source_base(source), *slash = strrchr(base, '/');
    char *tries[] = {base_text("%s/val_annotations.txt", base),
                     slash
                         ? base_text("%.*s/val_annotations.txt", (int)(slash - base), base)
                         : base_text("%s/../val_annotations.txt", base)};
    base_status status = BASE_OK;

    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (!tries[i])
            status = base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", source->path);
        else if (!source->truth_path && access(tries[i], R_OK) == 0)
            source->truth_path = tries[i];
        else
            base_free(tries[i]);
    }
    return status;
}

/* Tiny ImageNet's list of classes in the folder base. */
static void look_at_wnids(data_source *source, const char *base)
{
    enum { MOST = 1 << 20 };
    char *path = base_text("%s/wnids.txt", base), *text = NULL;
    size_t bytes = 0;

    if (path && access(path, R_OK) == 0 &&
        base_file_read(&text, &bytes, path, MOST, NULL) == BASE_OK)
        data_note_wnids(source, text);
    base_free(text);
    base_free(path);
}

/* One folder further down: of a part, of one alone, of pictures without class folders. */
static base_status descend(bool *deeper, data_source *source,
                           const data_source_options *options, base_error *err)
{
    const char *base = data_source_base(source);
    folder_listing l = {0};
    data_top *top = NULL;
    size_t count = 0, at = DATA_NO_TOP;
    bool pictures = false;

    *deeper = false;
    base_status status = list_tops(&top, &count, &pictures, &l, base, err);
    if (status == BASE_OK)
        status = data_parts_choose(&at, source, base, top, count, pictures, options, err);
    *deeper = status == BASE_OK && at != DATA_NO_TOP;
    if (*deeper && data_part_name(top[at].name))
        look_at_wnids(source, base);
    if (status == BASE_OK && !*deeper)
        source->flat = data_parts_flat(top, count, pictures, options, &at);
    if (status == BASE_OK && at != DATA_NO_TOP && (*deeper || source->flat)) {
        char *below = base_text("%s/%s", base, top[at].name);
        if (below) {
            base_free(source->base);
            source->base = below;
        } else {
            status = base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", source->path);
        }
    }
    base_free(top);
    data_folder_listing_free(&l);
    return status;
}

static base_status folder_prepare(data_source *source, const data_source_options *options,
                                  base_error *err)
{
    base_status status = BASE_OK;
    bool deeper = true;

    for (int i = 0; i < DATA_DEPTH_MAX && deeper && status == BASE_OK; i++)
        status = descend(&deeper, source, options, err);
    const char *base = data_source_base(source);
    if (status == BASE_OK && data_layout_imagenet_c.fits(base) > 0)
        status = base_fail(err, BASE_USAGE,
                           "'%s' is an ImageNet-C tree, whose folders are corruptions and "
                           "severities, no classes: eval --imagenet-c %s evaluates each, "
                           "imagenet-c:%s is all of them",
                           base, base, base);
    if (status == BASE_OK && source->flat)
        status = data_folder_annotations(source, err);
    return status == BASE_OK ? data_folder_prepare(source, options, err) : status;
}

static base_status folder_scan(data_source *source, const data_source_options *options,
                               base_error *err)
{
    (void)options;
    if (source->flat) {
        const base_status status = data_folder_scan_flat(source, err);
        source->labelling = DATA_LABELS_TRUTH;
        return status;
    }
    const base_status status = data_folder_scan(source, source->fd, "", err);
    return status == BASE_OK ? data_source_sort(source, err) : status;
}

void data_folder_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *name = data_index_name(&source->index, r->name);
    char class[DATA_NAME_MAX];

    if (source->labelling == DATA_LABELS_CLASSES) {
        snprintf(out, out_bytes, "%s/%s", source->folders.name[r->container], name);
    } else {
        data_class_folder(class, sizeof class, source, r->label);
        snprintf(out, out_bytes, "%s%s", class, name);
    }
}

/* base, the container below it, the name. */
void data_folder_whole(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *folder = source->folders.name[r->container];

    snprintf(out, out_bytes, "%s/%s%s%s", data_source_base(source),
             strcmp(folder, ".") == 0 ? "" : folder, strcmp(folder, ".") == 0 ? "" : "/",
             data_index_name(&source->index, r->name));
}

enum { RECORD_PATH = 2 * DATA_NAME_MAX + 2 };

/* The record's path below the source's folder. */
static const char *record_path(char out[RECORD_PATH], const data_source *source,
                               const data_record *record)
{
    snprintf(out, RECORD_PATH, "%s/%s", source->folders.name[record->container],
             data_index_name(&source->index, record->name));
    return out;
}

bool data_folder_stat(struct stat *out, const data_source *source,
                      const data_record *record)
{
    char path[RECORD_PATH];

    return fstatat(source->fd, record_path(path, source, record), out, 0) == 0;
}

/* Opens the record's file. False with errno. */
static int open_record(const data_source *source, const data_record *record)
{
    char path[RECORD_PATH];

    return openat(source->fd, record_path(path, source, record),
                  O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

base_status data_folder_read(const data_source *source, const data_record *record,
                             unsigned char *to, base_error *err)
{
    struct stat info;
    base_status status;

    const int fd = open_record(source, record);
    if (fd < 0)
        return base_fail_errno(err, "read error");
    if (fstat(fd, &info) != 0)
        status = base_fail_errno(err, "read error");
    else if (!S_ISREG(info.st_mode))
        status = base_fail(err, BASE_FORMAT, "read error: no longer a file");
    else if ((uint64_t)info.st_size > record->size)
        status =
            base_fail(err, BASE_FORMAT, "read error: %jd bytes, but %u when it was indexed",
                      (intmax_t)info.st_size, (unsigned)record->size);
    else
        status = data_pread(fd, to, record->size, 0, err);
    close(fd);
    return status;
}

void data_folder_advise(const data_source *source, const data_record *record)
{
    const int fd = open_record(source, record);

    if (fd < 0)
        return; /* reading will say why */
    posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
    close(fd);
}

/* An image below one of the first class folders, or some folders further down. */
static bool holds_image(int fd, int depth)
{
    bool found = false;
    folder_listing l;
    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (again < 0 || !data_folder_list(&l, again))
        return false;
    for (size_t i = 0; i < l.count && !found; i++) {
        if (!l.at[i].folder) {
            found = depth > 0;
        } else if (depth < 4) {
            const int inner = openat(fd, l.at[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (inner < 0)
                continue;
            found = holds_image(inner, depth + 1);
            close(inner);
        }
    }
    data_folder_listing_free(&l);
    return found;
}

static int folder_fits(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    const bool fits = holds_image(fd, 0);
    close(fd);
    return fits;
}

const data_layout data_layout_folder = {
    .name = "folder",
    .holds = "a folder with one folder of images for each class",
    .fits = folder_fits,
    .prepare = folder_prepare,
    .scan = folder_scan,
    .read = data_folder_read,
    .relative = data_folder_relative,
    .whole = data_folder_whole,
    .advise = data_folder_advise,
    .join = '/',
    .cached = true,
};
