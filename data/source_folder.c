/* source_folder.c - a folder with one folder of images for each class (data.md 1).
 * Links to files and folders are followed, as people build subsets with them; a folder that
 * is its own ancestor is left out, and so is what lies deeper than DATA_DEPTH_MAX. Free to
 * change: the walk. Relied on elsewhere: bytewise order of whole paths, what is ignored. */
#include "data/data_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One name of a folder. */
typedef struct entry {
    char *name;
    uint64_t bytes;
    bool folder;
} entry;

typedef struct listing {
    entry *at;
    size_t room, count;
    size_t
        ignored; /* names that are no images: hidden ones, other files, broken links, ... */
} listing;

typedef struct walk {
    data_source *source;
    const char *prefix; /* of the folder that holds the class folders, below base */
    uint32_t container;
    int32_t label;
    struct stat ancestor[DATA_DEPTH_MAX + 2]; /* the root, the class folder, ... */
    size_t depth;                             /* ancestors that count */
    char path[DATA_NAME_MAX + 1];             /* below the class folder */
} walk;

static void listing_free(listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        base_free(l->at[i].name);
    base_free(l->at);
    *l = (listing){0};
}

/* Folders as if their names ended in '/': so the walk meets whole paths in bytewise order.
 */
static int compare_entries(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    size_t i = 0;

    while (x->name[i] && x->name[i] == y->name[i])
        i++;
    const unsigned char p = (unsigned char)(x->name[i] ? x->name[i] : x->folder ? '/' : 0);
    const unsigned char q = (unsigned char)(y->name[i] ? y->name[i] : y->folder ? '/' : 0);
    return (p > q) - (p < q);
}

/* False, with errno, when there is no memory. */
static bool listing_add(listing *l, const char *name, bool folder, uint64_t bytes)
{
    char *copy = NULL;

    if (data_grow(&l->at, &l->room, l->count + 1, sizeof *l->at))
        copy = base_text("%s", name);
    if (!copy) {
        errno = ENOMEM;
        return false;
    }
    l->at[l->count++] = (entry){copy, bytes, folder};
    return true;
}

/* One name of the folder dir: a folder, an image, or ignored. False with errno. */
static bool classify(listing *l, DIR *dir, const struct dirent *d)
{
    const bool image = data_is_image_name(d->d_name);
    struct stat info;

    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
        return true;
    if (d->d_name[0] == '.' || (d->d_type == DT_REG && !image)) {
        l->ignored++;
        return true;
    }
    if (d->d_type == DT_DIR)
        return listing_add(l, d->d_name, true, 0);
    if (fstatat(dirfd(dir), d->d_name, &info, 0) != 0) {
        /* Links to nowhere are ignored; anything else must not make samples vanish. */
        if (errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
            return false;
    } else if (S_ISDIR(info.st_mode)) { /* or a link to one */
        return listing_add(l, d->d_name, true, 0);
    } else if (S_ISREG(info.st_mode) && image) {
        return listing_add(l, d->d_name, false, (uint64_t)info.st_size);
    }
    l->ignored++;
    return true;
}

/* The names in the folder fd, sorted. Closes fd. errno says why not. */
static bool list(listing *out, int fd)
{
    listing l = {0};
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
        listing_free(&l);
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
    const char *base = data_source_base(w->source);
    char shown[512],
        *path = base_text("%s/%s%s%s%s", base, w->prefix, class, *below ? "/" : "", below);
    const int number = errno;

    base_quote(shown, sizeof shown, path ? path : base);
    base_free(path);
    errno = number;
    return base_fail_errno(err, "cannot read the folder '%s'", shown);
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
    listing l;
    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* list closes its own */

    if (again < 0 || !list(&l, again)) {
        status = cannot_read(w, class, w->path, err);
        close(fd);
        return status;
    }
    status = witness_folder(w, class, err);
    w->depth++;
    w->source->ignored += l.ignored;
    for (size_t i = 0; i < l.count && status == BASE_OK; i++) {
        const entry *e = &l.at[i];
        const size_t bytes = strlen(e->name) + (e->folder ? 1 : 0);
        int inner = -1;
        bool skip = false;
        if (used + bytes > DATA_NAME_MAX || (e->folder && w->depth > DATA_DEPTH_MAX)) {
            w->source->ignored++;
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
        } else if (!enter(&inner, &skip, w, fd, e->name)) {
            status = cannot_read(w, class, w->path, err);
            if (inner >= 0)
                close(inner);
        } else if (skip) {
            w->source->ignored++;
            close(inner);
        } else {
            status = walk_folder(w, inner, class, used + bytes, err);
        }
    }
    w->depth--;
    w->path[used] = '\0';
    listing_free(&l);
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
        w->source->ignored++;
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

const char *data_source_base(const data_source *source)
{
    return source->base ? source->base : source->path;
}

base_status data_folder_scan(data_source *source, int fd, const char *prefix,
                             base_error *err)
{
    base_status status = BASE_OK;
    listing l = {0};
    walk w = {.source = source, .prefix = prefix};
    size_t loose = 0, folders = 0;

    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fstat(fd, &w.ancestor[0]) != 0 || again < 0 || !list(&l, again))
        return base_fail_errno(err, "cannot read the folder '%s%s%s'",
                               data_source_base(source), *prefix ? "/" : "", prefix);
    char *path = base_text("%s/%s", data_source_base(source), prefix);
    status = path ? data_source_witness(source, path, &w.ancestor[0], err)
                  : base_fail(err, BASE_NO_MEMORY, "no memory for the names of folders");
    base_free(path);
    source->ignored += l.ignored;
    for (size_t i = 0; i < l.count && status == BASE_OK; i++) {
        if (l.at[i].folder) {
            folders++;
            status = walk_class(&w, fd, l.at[i].name, err);
        } else {
            loose++;
            source->ignored++;
        }
    }
    listing_free(&l);
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

/* ---- the layout -------------------------------------------------------------------------
 */

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
    listing l;
    const int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (again < 0 || !list(&l, again))
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
    listing_free(&l);
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
    .prepare = data_folder_prepare,
    .scan = folder_scan,
    .read = data_folder_read,
    .relative = data_folder_relative,
    .whole = data_folder_whole,
    .advise = data_folder_advise,
    .join = '/',
    .cached = true,
};
