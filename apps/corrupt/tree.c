/* tree.c - a data set and all its corruptions as files, many images at once. Layout and
 * file format as the published ImageNet-C (corruptions.md 8). Relied on elsewhere: a file
 * under its final name is whole; what is whole is never written again; an image is keyed by
 * its relative name in the source, so that `vmoe eval --corrupt` sees these pixels. */
#include "apps/corrupt/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names --------------------------------------------------------------------------- */

/* The place of an image below the part's folder: its own name; another ending where that
 * does not fit the format. */
static const char *name_below(char *out, size_t out_bytes, const char *relative, bool png)
{
    const char *slash = strrchr(relative, '/');
    const char *dot = strrchr(slash ? slash : relative, '.');
    const size_t stem = dot ? (size_t)(dot - relative) : strlen(relative);

    if (dot && (png ? strcasecmp(dot, ".png") == 0 : app_is_jpeg(dot)))
        snprintf(out, out_bytes, "%s", relative);
    else
        snprintf(out, out_bytes, "%.*s%s", (int)stem, relative, png ? ".png" : ".JPEG");
    return out;
}

static int by_key(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right; /* {key, sample} */

    return a[0] != b[0] ? (a[0] < b[0] ? -1 : 1) : a[1] < b[1] ? -1 : a[1] > b[1];
}

/* Two images that would become one file: "a.png" and "a.jpg" of a class. */
static base_status names_check(const app_tree *tree, base_error *err)
{
    uint64_t(*names)[2] = app_take(NULL, tree->count, sizeof *names);
    char relative[APP_TREE_PATH], name[APP_TREE_PATH], other[APP_TREE_PATH];
    base_status status = BASE_OK;

    for (size_t i = 0; i < tree->count; i++) {
        data_source_relative_name(tree->source, tree->samples[i], relative,
                                  sizeof relative);
        names[i][0] = corrupt_name_key(
            name_below(name, sizeof name, relative, tree->args->format == 1));
        names[i][1] = tree->samples[i];
    }
    qsort(names, tree->count, sizeof *names, by_key);
    for (size_t i = 1; i < tree->count && status == BASE_OK; i++)
        if (names[i][0] == names[i - 1][0])
            status = base_fail(
                err, BASE_MISMATCH, "'%s' and '%s' would become the same file",
                data_source_name(tree->source, names[i - 1][1], name, sizeof name),
                data_source_name(tree->source, names[i][1], other, sizeof other));
    return status;
}

/* ---- files --------------------------------------------------------------------------- */

/* The last bytes of a JPEG (end of image) and of a PNG (its chunk IEND with its
 * checksum). */
static const unsigned char jpeg_end[] = {0xff, 0xd9};
static const unsigned char png_end[] = {'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};

/* Whether the file is there and ends as it must: a machine that lost power may have kept
 * the name of a file and lost its contents. */
static bool is_whole(const char *path, bool png)
{
    const unsigned char *end = png ? png_end : jpeg_end;
    const size_t length = png ? sizeof png_end : sizeof jpeg_end;
    unsigned char tail[sizeof png_end];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    if (fd < 0)
        return false;
    const bool whole =
        fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > (off_t)length &&
        pread(fd, tail, length, info.st_size - (off_t)length) == (ssize_t)length &&
        memcmp(tail, end, length) == 0;
    close(fd);
    return whole;
}

/* PATH.part for writing; makes the folders above it when they are missing. The folder is
 * this program's alone (app_manifest_open): what lies there under that name was left by a
 * kill, or is a link. */
static int part_open(const char *part, base_error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(part, flags, 0666);
    const char *slash = strrchr(part, '/');

    if (fd < 0 && errno == EEXIST && unlink(part) == 0)
        fd = open(part, flags, 0666);
    if (fd < 0 && errno == ENOENT && slash) {
        if (base_folder_make(app_text("%.*s", (int)(slash - part), part), err) != BASE_OK)
            return -1;
        fd = open(part, flags, 0666);
    }
    if (fd < 0)
        base_fail_errno(err, "cannot write '%s'", part);
    return fd;
}

/* A file that appears whole or not at all. Unlike base_writer without an fsync a file: a
 * tree has millions of them, so they are brought to the disk together at the end, and
 * is_whole asks the rest. */
static base_status file_put(const char *path, const void *bytes, size_t size,
                            base_error *err)
{
    char part[APP_TREE_PATH + 8];
    const unsigned char *at = bytes;
    bool good = true;

    snprintf(part, sizeof part, "%.*s.part", APP_TREE_PATH, path);
    const int fd = part_open(part, err);
    if (fd < 0)
        return err->status;
    for (size_t left = size; left > 0 && good;) {
        const ssize_t put = write(fd, at, left);

        if (put < 0 && errno == EINTR)
            continue;
        good = put > 0;
        at += good ? put : 0;
        left -= good ? (size_t)put : 0;
    }
    int number = errno;
    if (close(fd) != 0 && good) {
        number = errno;
        good = false;
    }
    if (good && rename(part, path) == 0)
        return BASE_OK;
    number = good ? errno : number;
    unlink(part);
    errno = number;
    return base_fail_errno(err, "cannot write '%s'", path);
}

/* ---- one image ----------------------------------------------------------------------- */

/* What a thread needs; nothing is allocated for an image after the first ones, but by the
 * PNG encoder. */
typedef struct tree_worker {
    data_reader reader;
    data_image clean, changed;
    uint64_t written, kept;
} tree_worker;

static void worker_free(tree_worker *own)
{
    data_reader_close(&own->reader);
    data_image_destroy(&own->clean);
    data_image_destroy(&own->changed);
}

base_status app_tree_clean(data_image *out, data_reader *reader, const corrupt_args *args,
                           base_error *err)
{
    const size_t size = (size_t)args->size;
    data_image *decoded = &reader->image;
    const base_status status = data_image_convert(decoded, 3, err);

    if (status == BASE_OK && args->resize == 0 &&
        (decoded->width != size || decoded->height != size))
        return base_fail(err, BASE_MISMATCH,
                         "%zu x %zu pixels, expected %zu x %zu with --resize 0",
                         decoded->width, decoded->height, size, size);
    return status == BASE_OK ? data_eval_transform(out, decoded, (size_t)args->resize, size,
                                                   (data_filter)args->interpolation,
                                                   &reader->scratch, err)
                             : status;
}

/* One file of the image. pair NULL: the clean one. */
static base_status file_make(tree_worker *own, const app_tree *tree, corrupt_worker *worker,
                             const char *path, const corrupt_pair *pair, uint64_t key,
                             base_error *err)
{
    const data_image *clean = &own->clean;
    const data_image *image = pair ? &own->changed : clean;
    const size_t w = clean->width, h = clean->height;
    const unsigned char *bytes = NULL;
    unsigned char *png = NULL;
    size_t size = 0;
    base_status status = BASE_OK;

    if (pair) {
        status = data_image_reserve(&own->changed, w, h, 3, err);
        if (status == BASE_OK)
            status = corrupt_apply(worker, own->changed.pixels, clean->pixels, h, w,
                                   pair->kind, pair->severity, key, err);
    }
    if (status == BASE_OK && tree->args->format == 1)
        status = data_png_encode(&png, &size, image, err);
    else if (status == BASE_OK)
        status = corrupt_jpeg_encode(worker, &bytes, &size, image->pixels, h, w,
                                     APP_TREE_QUALITY, err);
    if (status == BASE_OK)
        status = file_put(path, png ? png : bytes, size, err);
    base_free(png);
    return status;
}

/* All missing files of a sample. *bad: the sample itself cannot be used, err says why. */
static base_status sample_make(tree_worker *own, const app_tree *tree,
                               corrupt_worker *worker, size_t sample, bool *bad,
                               base_error *err)
{
    const app_selection *selection = &tree->selection;
    const bool png = tree->args->format == 1;
    const size_t first = selection->clean ? 0 : 1; /* file 0 is the clean one */
    char relative[APP_TREE_PATH], name[APP_TREE_PATH], path[APP_TREE_PATH + 4096];
    bool decoded = false;
    base_status status = BASE_OK;

    data_source_relative_name(tree->source, sample, relative, sizeof relative);
    name_below(name, sizeof name, relative, png);
    const uint64_t key = corrupt_name_key(relative);
    for (size_t i = first; i <= selection->count && status == BASE_OK; i++) {
        const corrupt_pair *pair = i > 0 ? &selection->pair[i - 1] : NULL;

        if (app_stop_asked())
            return BASE_OK;
        const int length = snprintf(path, sizeof path, "%s/%s/%d/%s", tree->args->out,
                                    pair ? corrupt_kind_name(pair->kind) : "clean",
                                    pair ? pair->severity : 0, name);
        if (length >= APP_TREE_PATH)
            return base_fail(err, BASE_UNSUPPORTED, "the name '%.200s...' is too long",
                             path);
        if (is_whole(path, png)) {
            own->kept++;
            continue;
        }
        if (!decoded) {
            status = data_reader_sample(&own->reader, tree->source, sample, err);
            if (status == BASE_OK)
                status = app_tree_clean(&own->clean, &own->reader, tree->args, err);
            *bad = status != BASE_OK && status != BASE_NO_MEMORY;
            decoded = true;
        }
        if (status == BASE_OK)
            status = file_make(own, tree, worker, path, pair, key, err);
        own->written += status == BASE_OK;
    }
    return status;
}

/* ---- all images ---------------------------------------------------------------------- */

typedef struct tree_work {
    app_tree *tree;
    tree_worker *workers; /* [threads] */
    app_progress progress;
} tree_work;

/* Counts the sample; by one thread at a time. */
static base_status sample_done(tree_work *work, size_t sample, base_status status, bool bad,
                               base_error *err)
{
    app_tree *tree = work->tree;
    char name[1100];

    if (status != BASE_OK)
        data_source_name(tree->source, sample, name, sizeof name);
    tree->images++;
    if (bad && tree->args->bad_samples == 1) {
        tree->bad++;
        app_progress_line(&work->progress, "bad sample: %s: %s", name, err->text);
        status = BASE_OK;
    } else if (bad || status == BASE_UNSUPPORTED) {
        base_error_prepend(err, "'%s': ", name);
    }
    app_progress_update(&work->progress, tree->images, "%s", "");
    return status;
}

static base_status sample_work(void *user, size_t i, size_t thread, base_error *err)
{
    tree_work *work = user;
    const app_tree *tree = work->tree;
    bool bad = false;

    if (app_stop_asked())
        return BASE_OK;
    base_status status =
        sample_make(&work->workers[thread], tree, tree->crew.worker[thread],
                    tree->samples[i], &bad, err);
    if (status == BASE_OK && app_stop_asked())
        return BASE_OK;
#pragma omp critical(sample_done)
    status = sample_done(work, tree->samples[i], status, bad, err);
    return status;
}

base_status app_tree_write(app_tree *tree, base_error *err)
{
    const size_t threads = tree->crew.count;
    tree_work work = {.tree = tree,
                      .workers = app_take(NULL, threads, sizeof *work.workers)};
    const double started = base_seconds();
    base_status status = names_check(tree, err);

    if (status != BASE_OK)
        return status;
    app_progress_start(&work.progress, &tree->args->common, "corrupt", "images",
                       tree->count, 0);
    status = app_each(tree->count, threads, sample_work, &work, err);
    app_progress_end(&work.progress);
    tree->interrupted = app_stop_asked() && tree->images < tree->count;
    for (size_t t = 0; t < threads; t++) {
        tree->written += work.workers[t].written;
        tree->kept += work.workers[t].kept;
        worker_free(&work.workers[t]);
    }
    tree->seconds = base_seconds() - started;
    return status;
}
