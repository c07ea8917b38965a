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

/* Whether a folder holds folders and no images: class folders, not pictures of trains. */
static bool holds_folders(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    folder_listing l = {0};
    bool folders = false;

    if (fd < 0 || !data_folder_list(&l, fd))
        return false;
    for (size_t i = 0; i < l.count && (i == 0 || folders); i++)
        folders = l.at[i].folder;
    data_folder_listing_free(&l);
    return folders;
}

/* The place of a name among those of splits, 0: none of them. */
static int split_of(const char *name)
{
    static const char *const names[] = {"train", "val", "valid", "validation", "test"};
    static const int splits[] = {1, 2, 2, 2, 3};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0)
            return splits[i];
    }
    return 0;
}

/* A folder of train/ and val/ with class folders in them has not the classes "train" and
 * "val": the split says which is meant. */
static base_status choose_split(data_source *source, const data_source_options *options,
                                base_error *err)
{
    const char *wanted = options->split ? options->split : "val";
    const int fd = open(source->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    base_status status = BASE_OK;
    folder_listing l = {0};
    size_t splits = 0;
    char *found = NULL;

    if (fd < 0 || !data_folder_list(&l, fd))
        return base_fail_errno(err, "cannot open the folder '%s'", source->path);
    for (size_t i = 0; i < l.count; i++) {
        if (!l.at[i].folder || split_of(l.at[i].name) == 0)
            continue;
        char *path = base_text("%s/%s", source->path, l.at[i].name);
        const bool holds = path && holds_folders(path);
        splits += holds;
        if (holds && !found && split_of(l.at[i].name) == split_of(wanted))
            found = path;
        else
            base_free(path);
    }
    size_t folders = 0;
    for (size_t i = 0; i < l.count; i++)
        folders += l.at[i].folder;
    data_folder_listing_free(&l);
    if (splits > 0 && splits == folders) {
        if (!found)
            return base_fail(err, BASE_IO, "'%s' holds no folder for the split %s",
                             source->path, wanted);
        source->base = found;
        data_source_note(source, "reading '%s'", found);
        return status;
    }
    base_free(found);
    return status;
}

static base_status folder_prepare(data_source *source, const data_source_options *options,
                                  base_error *err)
{
    const base_status status = choose_split(source, options, err);

    return status == BASE_OK ? data_folder_prepare(source, options, err) : status;
}

static base_status folder_scan(data_source *source, const data_source_options *options,
                               base_error *err)
{
    (void)options;
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

/* Opens the record's file. False with errno. */
static int open_record(const data_source *source, const data_record *record)
{
    char path[2 * DATA_NAME_MAX + 2];

    snprintf(path, sizeof path, "%s/%s", source->folders.name[record->container],
             data_index_name(&source->index, record->name));
    return openat(source->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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

/* An image below one of the first class folders, or one folder further down. */
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
        } else if (depth < 2) {
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
