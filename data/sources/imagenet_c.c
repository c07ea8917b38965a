/* imagenet_c.c - the parts of an ImageNet-C tree (data.md 1; Hendrycks and Dietterich 2019,
 * "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"). A part
 * is a folder CORRUPTION/SEVERITY; opening one is opening a folder of class folders. The
 * published tars are read as they are (imagenet_c_archive.c): a part is then a piece of an
 * archive. Free to change: the order of unknown corruptions. Relied on elsewhere: the
 * paper's order of the known ones. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const known[] = {
    "clean", /* `vmoe corrupt --corrupt clean`, severity 0 */
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
};
static const char *const groups[] = {"noise", "blur", "weather", "digital", "extra"};

enum { KNOWN = sizeof known / sizeof *known, GROUPS = sizeof groups / sizeof *groups };

typedef struct part {
    char *corruption, *path;
    size_t rank; /* place among the known ones, KNOWN: another */
    int severity;
    char *prefix; /* in the archive path; NULL: path is a folder, or a piece of .npy */
    char *shown;  /* ARCHIVE!PREFIX */
    uint64_t range[2];
} part;

struct data_imagenet_c {
    part *part;
    size_t room, count;
};

static size_t rank_of(const char *corruption)
{
    size_t i = 0;

    while (i < KNOWN && strcmp(known[i], corruption) != 0)
        i++;
    return i;
}

size_t data_c_rank(const char *corruption, size_t bytes)
{
    for (size_t i = 0; i < KNOWN; i++) {
        if (strlen(known[i]) == bytes && strncmp(known[i], corruption, bytes) == 0)
            return i;
    }
    return SIZE_MAX;
}

static int compare_parts(const void *a, const void *b)
{
    const part *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    const int order = strcmp(x->corruption, y->corruption);
    return order != 0 ? order : (x->severity > y->severity) - (x->severity < y->severity);
}

static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static base_status add_part(data_imagenet_c *tree, const char *path, const char *corruption,
                            int severity, base_error *err)
{
    part made = {.rank = rank_of(corruption), .severity = severity};

    made.corruption = base_text("%s", corruption);
    made.path = base_text("%s", path);
    if (!made.corruption || !made.path ||
        !data_grow(&tree->part, &tree->room, tree->count + 1, sizeof made)) {
        base_free(made.corruption);
        base_free(made.path);
        return base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
    }
    tree->part[tree->count++] = made;
    return BASE_OK;
}

/* The parts of an archive. */
static base_status add_archive(data_imagenet_c *tree, const char *path, base_error *err)
{
    data_c_part *found = NULL;
    size_t count = 0;
    base_status status = data_c_archive_parts(&found, &count, path, err);

    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        status = add_part(tree, path, found[i].corruption, found[i].severity, err);
        if (status != BASE_OK)
            break;
        part *made = &tree->part[tree->count - 1];
        made->shown = base_text("%s!%s", path, found[i].prefix);
        made->prefix = found[i].prefix;
        found[i].prefix = NULL;
        memcpy(made->range, found[i].range, sizeof made->range);
        if (!made->shown)
            status = base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
    }
    data_c_parts_destroy(found, count);
    return status;
}

/* The severities of the folder path of one corruption: 1 to 5, 0 for clean. */
static base_status add_severities(data_imagenet_c *tree, const char *path,
                                  const char *corruption, base_error *err)
{
    base_status status = BASE_OK;

    for (int severity = 0; severity <= 5 && status == BASE_OK; severity++) {
        char *below = base_text("%s/%d", path, severity);
        if (!below)
            return base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
        if ((severity > 0 || strcmp(corruption, "clean") == 0) && is_folder(below))
            status = add_part(tree, below, corruption, severity, err);
        base_free(below);
    }
    return status;
}

static bool is_group(const char *name)
{
    for (size_t i = 0; i < GROUPS; i++) {
        if (strcmp(groups[i], name) == 0)
            return true;
    }
    return false;
}

/* CIFAR-10-C: NAME.npy of five severities, labels.npy beside it. */
static base_status add_npy(data_imagenet_c *tree, const char *path, const char *name,
                           base_error *err)
{
    const size_t bytes = strlen(name) - strlen(".npy");
    char *corruption = base_text("%.*s", (int)bytes, name);
    base_status status = BASE_OK;

    if (!corruption)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
    for (int severity = 1; severity <= 5 && status == BASE_OK; severity++) {
        char *piece = base_text("%s#%d", path, severity);
        status = piece
                     ? add_part(tree, piece, corruption, severity, err)
                     : base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
        base_free(piece);
    }
    base_free(corruption);
    return status;
}

/* Every folder of path is a corruption or, at the top, a group of them. */
static base_status add_folder(data_imagenet_c *tree, const char *path, bool top,
                              base_error *err)
{
    base_status status = BASE_OK;
    const struct dirent *d;
    DIR *dir = opendir(path);

    if (!dir)
        return base_fail_errno(err, "cannot read the folder '%s'", path);
    while (status == BASE_OK && (errno = 0, d = readdir(dir)) != NULL) {
        if (d->d_name[0] == '.')
            continue;
        char *below = base_text("%s/%s", path, d->d_name);
        if (!below)
            status = base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
        else if (!is_folder(below) && top && data_ends_in(d->d_name, ".npy") &&
                 strcmp(d->d_name, "labels.npy") != 0)
            status = add_npy(tree, below, d->d_name, err);
        else if (!is_folder(below) && top && data_c_archive_looks(below))
            status = add_archive(tree, below, err);
        else if (!is_folder(below))
            status = BASE_OK;
        else if (top && is_group(d->d_name))
            status = add_folder(tree, below, false, err);
        else
            status = add_severities(tree, below, d->d_name, err);
        base_free(below);
    }
    if (status == BASE_OK && errno != 0)
        status = base_fail_errno(err, "cannot read the folder '%s'", path);
    closedir(dir);
    return status;
}

/* A folder beside the archive that it was unpacked from. */
static base_status refuse_twice(const data_imagenet_c *tree, base_error *err)
{
    for (size_t i = 1; i < tree->count; i++) {
        if (compare_parts(&tree->part[i - 1], &tree->part[i]) == 0)
            return base_fail(
                err, BASE_USAGE, "'%s' and '%s' are the same corruption and severity",
                data_imagenet_c_path(tree, i - 1), data_imagenet_c_path(tree, i));
    }
    return BASE_OK;
}

base_status data_imagenet_c_open(data_imagenet_c **out, const char *path, base_error *err)
{
    data_imagenet_c *tree = base_alloc(1, sizeof *tree);

    if (!tree)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
    base_status status = data_tar_looks(path) || data_zip_looks(path)
                             ? add_archive(tree, path, err)
                             : add_folder(tree, path, true, err);
    if (status == BASE_OK && tree->count == 0)
        status = base_fail(err, BASE_FORMAT,
                           "'%s' is no ImageNet-C tree, expected CORRUPTION/SEVERITY/CLASS/"
                           "FILE in it, with severities 1 to 5",
                           path);
    if (status == BASE_OK) {
        qsort(tree->part, tree->count, sizeof *tree->part, compare_parts);
        status = refuse_twice(tree, err);
    }
    if (status == BASE_OK)
        *out = tree;
    else
        data_imagenet_c_close(tree);
    return status;
}

void data_imagenet_c_close(data_imagenet_c *tree)
{
    if (!tree)
        return;
    for (size_t i = 0; i < tree->count; i++) {
        base_free(tree->part[i].corruption);
        base_free(tree->part[i].path);
        base_free(tree->part[i].prefix);
        base_free(tree->part[i].shown);
    }
    base_free(tree->part);
    base_free(tree);
}

size_t data_imagenet_c_count(const data_imagenet_c *tree)
{
    return tree->count;
}

const char *data_imagenet_c_corruption(const data_imagenet_c *tree, size_t part_number)
{
    return tree->part[part_number].corruption;
}

int data_imagenet_c_severity(const data_imagenet_c *tree, size_t part_number)
{
    return tree->part[part_number].severity;
}

const char *data_imagenet_c_path(const data_imagenet_c *tree, size_t part_number)
{
    const part *p = &tree->part[part_number];

    return p->shown ? p->shown : p->path;
}

base_status data_imagenet_c_source(data_source **out, const data_imagenet_c *tree,
                                   size_t part_number, const data_source_options *options,
                                   base_error *err)
{
    const part *p = &tree->part[part_number];
    const char *path = p->path;
    if (p->prefix)
        return data_source_open_part(out, path, p->prefix, p->range, options, err);
    char *spec =
        base_text("%s:%s", strrchr(path, '#') && !is_folder(path) ? "npy" : "folder", path);

    if (!spec)
        return base_fail(err, BASE_NO_MEMORY, "no memory to open a part of a tree");
    const base_status status = data_source_open(out, spec, options, err);
    base_free(spec);
    return status;
}

/* ---- all parts as one data set ------------------------------------------------------ */

static base_status tree_scan(data_source *source, const data_source_options *options,
                             base_error *err)
{
    data_imagenet_c *tree = NULL;
    const size_t skip = strlen(source->path) + 1;

    (void)options;
    if (source->files)
        return data_c_archive_scan(source, err);
    base_status status = data_imagenet_c_open(&tree, source->path, err);
    for (size_t i = 0; status == BASE_OK && i < tree->count; i++) {
        if (tree->part[i].prefix) {
            status =
                base_fail(err, BASE_USAGE,
                          "'%s' holds archives of an ImageNet-C tree ('%s'): name one of "
                          "them, or use eval --imagenet-c",
                          source->path, tree->part[i].path);
            break;
        }
        const int fd = open(tree->part[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char *prefix = base_text("%s/", tree->part[i].path + skip);
        if (fd < 0)
            status =
                base_fail_errno(err, "cannot open the folder '%s'", tree->part[i].path);
        else if (!prefix)
            status = base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
        else
            status = data_folder_scan(source, fd, prefix, err);
        base_free(prefix);
        if (fd >= 0)
            close(fd);
    }
    if (status == BASE_OK)
        data_source_note(source, "all %zu corruptions and severities in one", tree->count);
    data_imagenet_c_close(tree);
    return status;
}

/* Whether a folder of this name lies in path. */
static bool holds(const char *path, const char *name)
{
    char *below = base_text("%s/%s", path, name);
    const bool found = below && is_folder(below);

    base_free(below);
    return found;
}

/* A known corruption or group must be there, or an archive of some: folders of numbers in
 * folders may be anything, and a thousand class folders are not looked into. */
static int tree_fits(const char *path)
{
    static const char *const endings[] = {"tar", "zip"};
    data_imagenet_c *tree = NULL;
    bool likely = false;

    if (data_tar_looks(path) || data_zip_looks(path))
        return data_c_archive_looks(path) ? 3 : 0;
    for (size_t i = 0; i < GROUPS; i++) {
        for (size_t k = 0; k < 2; k++) {
            char *archive = base_text("%s/%s.%s", path, groups[i], endings[k]);
            const bool looks = archive && data_c_archive_looks(archive);
            base_free(archive);
            if (looks)
                return 3;
        }
    }
    for (size_t i = 0; i < KNOWN && !likely; i++)
        likely = holds(path, known[i]);
    for (size_t i = 0; i < GROUPS && !likely; i++)
        likely = holds(path, groups[i]);
    if (!likely || data_imagenet_c_open(&tree, path, NULL) != BASE_OK)
        return 0;
    const int fits = tree->part[0].rank < KNOWN ? 2 : 0;
    data_imagenet_c_close(tree);
    return fits;
}

static base_status tree_prepare(data_source *source, const data_source_options *options,
                                base_error *err)
{
    uint32_t number;

    return data_tar_looks(source->path) || data_zip_looks(source->path)
               ? data_tar_join(source, &number, source->path, err)
               : data_folder_prepare(source, options, err);
}

static base_status tree_read(const data_source *source, const data_record *record,
                             unsigned char *to, base_error *err)
{
    return source->files ? data_archive_read(source, record, to, err)
                         : data_folder_read(source, record, to, err);
}

static void tree_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    char name[DATA_NAME_MAX + 2];

    if (!source->files)
        data_folder_relative(source, i, out, out_bytes);
    else if (data_archive_name(name, source, data_index_at(&source->index, i)))
        snprintf(out, out_bytes, "%s", name);
    else
        snprintf(out, out_bytes, "member-%zu", i);
}

static void tree_whole(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    char name[DATA_NAME_MAX + 64];

    if (!source->files) {
        data_folder_whole(source, i, out, out_bytes);
        return;
    }
    tree_relative(source, i, name, sizeof name);
    snprintf(out, out_bytes, "%s!%s", source->path, name);
}

static void tree_advise(const data_source *source, const data_record *record)
{
    (source->files ? data_archive_advise : data_folder_advise)(source, record);
}

/* The whole tree; one part of it is a folder of class folders. Order: label, then parts;
 * of an archive label, then path. */
const data_layout data_layout_imagenet_c = {
    .name = "imagenet-c",
    .holds = "an ImageNet-C tree (CORRUPTION/SEVERITY/CLASS/FILE)",
    .fits = tree_fits,
    .prepare = tree_prepare,
    .scan = tree_scan,
    .read = tree_read,
    .relative = tree_relative,
    .whole = tree_whole,
    .advise = tree_advise,
    .join = '/',
    .cached = true,
};
