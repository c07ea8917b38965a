/* walk.c - the images in a tree of folders, in bytewise order of their whole paths
 * (data.md 1). Links to files and folders are followed, as people build subsets with them;
 * a folder that is its own ancestor is left out, and so is what lies deeper than
 * DATA_DEPTH_MAX. Free to change: the walk. Relied on elsewhere: the order, what is
 * ignored. */
#include "data/sources/folder_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct walk {
    data_source *source;
    const char *prefix; /* of the folder that holds the class folders, below base */
    uint32_t container;
    int32_t label;
    struct stat ancestor[DATA_DEPTH_MAX + 2]; /* the root, the class folder, ... */
    size_t depth;                             /* ancestors that count */
    char path[DATA_NAME_MAX + 1];             /* below the class folder */
} walk;

void data_folder_listing_free(folder_listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        base_free(l->at[i].name);
    base_free(l->at);
    *l = (folder_listing){0};
}

/* Folders as if their names ended in '/': so the walk meets whole paths in bytewise order.
 */
static int compare_entries(const void *a, const void *b)
{
    const folder_entry *x = a, *y = b;
    size_t i = 0;

    while (x->name[i] && x->name[i] == y->name[i])
        i++;
    const unsigned char p = (unsigned char)(x->name[i] ? x->name[i] : x->folder ? '/' : 0);
    const unsigned char q = (unsigned char)(y->name[i] ? y->name[i] : y->folder ? '/' : 0);
    return (p > q) - (p < q);
}

/* False, with errno, when there is no memory. */
static bool folder_listing_add(folder_listing *l, const char *name, bool folder,
                               uint64_t bytes)
{
    char *copy = NULL;

    if (data_grow(&l->at, &l->room, l->count + 1, sizeof *l->at))
        copy = base_text("%s", name);
    if (!copy) {
        errno = ENOMEM;
        return false;
    }
    l->at[l->count++] = (folder_entry){copy, bytes, folder};
    return true;
}

/* One name of the folder dir: a folder, an image, or ignored. False with errno. */
static bool classify(folder_listing *l, DIR *dir, const struct dirent *d)
{
    const bool image = data_is_image_name(d->d_name);
    struct stat info;

    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
        return true;
    if (d->d_name[0] == '.' || data_is_system_name(d->d_name, strlen(d->d_name))) {
        l->left_out.by[DATA_IGNORED_HIDDEN]++;
        return true;
    }
    if (d->d_type == DT_REG && !image) {
        data_left_out_name(&l->left_out, d->d_name);
        return true;
    }
    if (d->d_type == DT_DIR)
        return folder_listing_add(l, d->d_name, true, 0);
    if (fstatat(dirfd(dir), d->d_name, &info, 0) != 0) {
        /* Links to nowhere are ignored; anything else must not make samples vanish. */
        if (errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
            return false;
        l->left_out.by[DATA_IGNORED_LINK]++;
        return true;
    } else if (S_ISDIR(info.st_mode)) { /* or a link to one */
        return folder_listing_add(l, d->d_name, true, 0);
    } else if (S_ISREG(info.st_mode) && image) {
        return folder_listing_add(l, d->d_name, false, (uint64_t)info.st_size);
    }
    if (S_ISREG(info.st_mode))
        data_left_out_name(&l->left_out, d->d_name);
    else
        l->left_out.by[DATA_IGNORED_LINK]++;
    return true;
}

bool data_folder_list(folder_listing *out, int fd)
{
    folder_listing l = {0};
    const struct dirent *d;
    DIR *dir = fdopendir(fd);
    int number = 0;

    if (!dir) {
        close(fd);
        return false;
    }
    do {
        errno = 0;
        d = readdir(dir);
        if (!d || !classify(&l, dir, d))
            number = errno;
    } while (d && number == 0);
    closedir(dir);
    if (number != 0) {
        data_folder_listing_free(&l);
        errno = number;
        return false;
    }
    if (l.count > 0)
        qsort(l.at, l.count, sizeof *l.at, compare_entries);
    *out = l;
    return true;
}

static base_status cannot_read(const walk *w, const char *class, const char *below,
                               base_error *err)
{
    char path[4096], shown[512];
    const int number = errno;

    snprintf(path, sizeof path, "%s/%s%s%s%s", data_source_base(w->source), w->prefix,
             class, *below ? "/" : "", below);
    base_quote(shown, sizeof shown, path);
    errno = number;
    return base_fail_errno(err, "cannot read the folder '%s'", shown);
}

static void add_ignored(data_source *source, const folder_listing *l)
{
    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        source->left_out.by[i] += l->left_out.by[i];
    for (int i = 0; i < DATA_FORMATS; i++)
        source->left_out.format[i] += l->left_out.format[i];
}

/* Opens the folder name below fd. False with errno; *skip: it is one of its own ancestors.
 */
static bool enter(int *out, bool *skip, walk *w, int fd, const char *name)
{
    struct stat info;

    *skip = false;
    *out = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out < 0 || fstat(*out, &info) != 0)
        return false;
    for (size_t i = 0; i < w->depth; i++) {
        if (w->ancestor[i].st_dev == info.st_dev && w->ancestor[i].st_ino == info.st_ino)
            *skip = true;
    }
    w->ancestor[w->depth] = info;
    return true;
}

/* Remembers the folder that was entered last. */
static base_status witness_folder(const walk *w, const char *class, base_error *err)
{
    char *path = base_text("%s/%s%s%s%s", data_source_base(w->source), w->prefix, class,
                           w->path[0] ? "/" : "", w->path);

    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the names of folders");
    const base_status status =
        data_source_witness(w->source, path, &w->ancestor[w->depth], err);
    base_free(path);
    return status;
}

/* All images in the folder fd (closed here) of class, whose path below the class folder is
 * w->path, of used bytes. Recursion is bounded by DATA_DEPTH_MAX. */
static base_status walk_folder(walk *w, int fd, const char *class, size_t used,
                               base_error *err)
{
    base_status status = BASE_OK;
    folder_listing l;
    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* list closes its own */

    if (again < 0 || !data_folder_list(&l, again)) {
        status = cannot_read(w, class, w->path, err);
        close(fd);
        return status;
    }
    status = witness_folder(w, class, err);
    w->depth++;
    add_ignored(w->source, &l);
    for (size_t i = 0; i < l.count && status == BASE_OK; i++) {
        const folder_entry *e = &l.at[i];
        const size_t bytes = strlen(e->name) + (e->folder ? 1 : 0);
        int inner = -1;
        bool skip = false;
        if (used + bytes > DATA_NAME_MAX || (e->folder && w->depth > DATA_DEPTH_MAX)) {
            w->source->left_out.by[DATA_IGNORED_DEEP]++;
            continue;
        }
        snprintf(w->path + used, sizeof w->path - used, "%s%s", e->name,
                 e->folder ? "/" : "");
        if (!e->folder) {
            const data_record record = {
                .size = e->bytes <= DATA_SIZE_MOST ? (uint32_t)e->bytes
                                                   : data_size_unreadable(DATA_LARGE),
                .container = w->container,
                .label = w->label,
            };
            status = data_index_add(&w->source->index, &record, w->path, err);
            data_source_tick(w->source);
        } else if (!enter(&inner, &skip, w, fd, e->name)) {
            status = cannot_read(w, class, w->path, err);
            if (inner >= 0)
                close(inner);
        } else if (skip) {
            w->source->left_out.by[DATA_IGNORED_LINK]++;
            close(inner);
        } else {
            status = walk_folder(w, inner, class, used + bytes, err);
        }
    }
    w->depth--;
    w->path[used] = '\0';
    data_folder_listing_free(&l);
    close(fd);
    return status;
}

/* Its number as a container and as a class. */
static base_status add_class(walk *w, const char *class, base_error *err)
{
    char *folder = base_text("%s%s", w->prefix, class);
    uint32_t number = 0;

    if (!folder)
        return base_fail(err, BASE_NO_MEMORY, "no memory for class names");
    base_status status = data_class_add(&w->container, &w->source->folders, folder, err);
    if (status == BASE_OK)
        status = data_class_add(&number, &w->source->table, class, err);
    w->label = (int32_t)number;
    base_free(folder);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s': ", w->source->path);
    return status;
}

/* One class folder of the root fd. */
static base_status walk_class(walk *w, int root, const char *class, base_error *err)
{
    bool skip;
    int fd;

    w->path[0] = '\0';
    w->depth = 1;
    if (!enter(&fd, &skip, w, root, class)) {
        const base_status status = cannot_read(w, class, "", err);
        if (fd >= 0)
            close(fd);
        return status;
    }
    if (skip) {
        w->source->left_out.by[DATA_IGNORED_LINK]++;
        close(fd);
        return BASE_OK;
    }
    const base_status status = add_class(w, class, err);
    if (status != BASE_OK) {
        close(fd);
        return status;
    }
    return walk_folder(w, fd, class, 0, err);
}

base_status data_folder_scan(data_source *source, int fd, const char *prefix,
                             base_error *err)
{
    base_status status = BASE_OK;
    folder_listing l = {0};
    walk w = {.source = source, .prefix = prefix};
    size_t loose = 0, folders = 0;

    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fstat(fd, &w.ancestor[0]) != 0 || again < 0 || !data_folder_list(&l, again))
        return base_fail_errno(err, "cannot read the folder '%s%s%s'",
                               data_source_base(source), *prefix ? "/" : "", prefix);
    char *path = base_text("%s/%s", data_source_base(source), prefix);
    status = path ? data_source_witness(source, path, &w.ancestor[0], err)
                  : base_fail(err, BASE_NO_MEMORY, "no memory for the names of folders");
    base_free(path);
    add_ignored(source, &l);
    for (size_t i = 0; i < l.count && status == BASE_OK; i++) {
        if (l.at[i].folder) {
            folders++;
            status = walk_class(&w, fd, l.at[i].name, err);
        } else {
            loose++;
            source->left_out.by[DATA_IGNORED_OUTSIDE]++;
        }
    }
    data_folder_listing_free(&l);
    source->labelling = DATA_LABELS_CLASSES;
    source->names = true;
    if (status != BASE_OK)
        return status;
    if (folders == 0 && loose > 0)
        return base_fail(err, BASE_FORMAT,
                         "'%s' holds %zu images but no class folders, expected %s",
                         source->path, loose, data_layout_folder.holds);
    if (loose > 0)
        data_source_note(source, "%zu images outside of any class folder ignored", loose);
    return BASE_OK;
}

base_status data_folder_scan_flat(data_source *source, base_error *err)
{
    walk w = {.source = source, .prefix = ""};

    const int fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0 || fstat(fd, &w.ancestor[0]) != 0) {
        const base_status status = cannot_read(&w, "", "", err);
        if (fd >= 0)
            close(fd);
        return status;
    }
    source->labelling = DATA_LABELS_NONE;
    source->names = true;
    const base_status status = data_class_add(&w.container, &source->folders, ".", err);
    if (status != BASE_OK) {
        close(fd);
        return status;
    }
    return walk_folder(&w, fd, ".", 0, err);
}
