/* idx.c - IDX files, the format of MNIST and Fashion-MNIST (data.md 1), gzip or not.
 * Big-endian: 00 00 08 nd (08: unsigned bytes), nd sizes of 32 bits, the bytes. Images have
 * nd 3 (count, rows, columns) or 4 (channels last, 1 or 3), labels nd 1. Both are read into
 * memory once. Class names: the lines of classes.txt beside the files; the ten known ones
 * when the path says fashion-mnist (Xiao, Rasul, Vollgraf 2017); else the numbers. Numbers
 * agree with any class list. Free to change: the texts. Relied on elsewhere: sample numbers
 * are file order. */
#include "data/sources/idx_internal.h"
#include "data/sources/labels_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

enum {
    MAGIC_BYTES = 4,
    UNSIGNED_BYTE = 0x08,
    HEADER_MOST = 4 + 4 * 4,
    LABEL_CLASSES = 256,
    CLASSES_FILE_MOST = 1 << 20
};

static const char *const fashion_names[] = {
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot",
};

/* One file: its sizes and bytes. */
typedef struct idx_file {
    char *path;
    size_t dims, size[4];
    unsigned char *bytes;
    size_t count; /* of bytes */
} idx_file;

static void idx_free(idx_file *f)
{
    base_free(f->path);
    base_free(f->bytes);
    *f = (idx_file){0};
}

/* ---- reading one file -------------------------------------------------------------------
 */

/* Exactly bytes bytes, or the reason: a damaged gzip stream or the end of the file. */
static base_status gz_read(gzFile file, const char *path, unsigned char *to, size_t bytes,
                           uint64_t at, base_error *err)
{
    size_t used = 0;
    int number = 0;

    while (used < bytes) {
        const size_t left = bytes - used;
        const int got = gzread(file, to + used, left < 1 << 30 ? (unsigned)left : 1u << 30);
        if (got > 0) {
            used += (size_t)got;
            continue;
        }
        const char *why = gzerror(file, &number);
        if (number == Z_ERRNO)
            return base_fail_errno(err, "cannot read '%s'", path);
        if (number != Z_OK && number != Z_BUF_ERROR)
            return base_fail(err, BASE_FORMAT, "'%s': damaged gzip data: %s", path, why);
        return base_fail(err, BASE_FORMAT,
                         "'%s' is truncated: it ends at byte %ju of %ju (uncompressed)",
                         path, (uintmax_t)(at + used), (uintmax_t)(at + bytes));
    }
    return BASE_OK;
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The magic and the sizes. images: nd 3 or 4, else nd 1. */
static base_status read_header(idx_file *f, gzFile file, bool images, size_t limit,
                               base_error *err)
{
    unsigned char head[HEADER_MOST];
    base_status status = gz_read(file, f->path, head, MAGIC_BYTES, 0, err);

    if (status != BASE_OK)
        return status;
    const size_t dims = head[3];
    const bool known = images ? dims == 3 || dims == 4 : dims == 1;
    if (head[0] != 0 || head[1] != 0 || !known || head[2] != UNSIGNED_BYTE)
        return base_fail(err, BASE_FORMAT,
                         "'%s' begins with 0x%08x, expected 0x%08x: an IDX file of %s",
                         f->path, (unsigned)big_endian(head), images ? 0x0803u : 0x0801u,
                         images ? "images" : "labels");
    status = gz_read(file, f->path, head + MAGIC_BYTES, 4 * dims, MAGIC_BYTES, err);
    if (status != BASE_OK)
        return status;
    f->dims = dims;
    f->count = 1;
    for (size_t i = 0; i < dims; i++) {
        f->size[i] = big_endian(head + MAGIC_BYTES + 4 * i);
        if (!base_mul_size(&f->count, f->count, f->size[i]))
            f->count = SIZE_MAX;
    }
    if (f->count > limit)
        return base_fail(err, BASE_FORMAT,
                         "'%s' tells of %zu bytes, more than the limit of %zu", f->path,
                         f->count, limit);
    if (images && (f->size[1] == 0 || f->size[2] == 0 ||
                   (dims == 4 && f->size[3] != 1 && f->size[3] != 3)))
        return base_fail(
            err, BASE_FORMAT,
            "'%s' has images of %zu x %zu x %zu, expected sides above 0 and 1 or 3 "
            "channels",
            f->path, f->size[1], f->size[2], dims == 4 ? f->size[3] : 1);
    return BASE_OK;
}

/* The bytes after the header: memory grows with what is really there, so that a small file
 * that tells of a gigabyte costs nothing. */
static base_status read_bytes(idx_file *f, gzFile file, base_error *err)
{
    const size_t head = MAGIC_BYTES + 4 * f->dims;
    size_t room = f->count < 1 << 20 ? f->count : 1 << 20, used = 0;
    unsigned char extra;

    while (used < f->count || !f->bytes) {
        unsigned char *wider = base_alloc(room, 1);
        if (!wider)
            return base_fail(err, BASE_NO_MEMORY, "no memory for the %zu bytes of '%s'",
                             f->count, f->path);
        if (used > 0)
            memcpy(wider, f->bytes, used);
        base_free(f->bytes);
        f->bytes = wider;
        const base_status status =
            gz_read(file, f->path, f->bytes + used, room - used, head + used, err);
        if (status != BASE_OK)
            return status;
        used = room;
        room = room > f->count / 4 ? f->count : room * 4;
    }
    const int more = gzread(file, &extra, 1);
    if (more > 0)
        return base_fail(err, BASE_FORMAT,
                         "'%s' is longer than the %zu bytes its header tells of", f->path,
                         head + f->count);
    if (more < 0) /* the check sum at the end of the gzip data */
        return gz_read(file, f->path, &extra, 1, head + f->count, err);
    return BASE_OK;
}

static base_status idx_load(idx_file *f, bool images, size_t limit, base_error *err)
{
    gzFile file;

    assert(f->path);
    int fd = -1;
    base_status status = base_file_open(&fd, NULL, f->path, err);
    if (status != BASE_OK)
        return status;
    file = gzdopen(fd, "rb"); /* reads plain files as they are */
    if (!file) {
        close(fd);
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", f->path);
    }
    gzbuffer(file, 1 << 16);
    status = read_header(f, file, images, limit, err);
    if (status == BASE_OK)
        status = read_bytes(f, file, err);
    if (gzclose(file) == Z_BUF_ERROR && status == BASE_OK) /* ended inside a gzip stream */
        status = base_fail(err, BASE_FORMAT, "'%s' is truncated: the gzip data has no end",
                           f->path);
    return status;
}

/* ---- class names ------------------------------------------------------------------------
 */

/* Lower case; does any part of the path say fashion-mnist (fashion_mnist, FashionMNIST)? */
static bool is_fashion(const char *path)
{
    return strcasestr(path, "fashion-mnist") || strcasestr(path, "fashion_mnist") ||
           strcasestr(path, "fashionmnist");
}

/* Splits text into lines in place, without trailing blanks, '\r' and empty lines at the
 * end. */
static size_t split_lines(char **lines, size_t room, char *text)
{
    size_t count = 0, last = 0;

    while (*text && count < room) {
        char *end = text + strcspn(text, "\n");
        char *next = *end ? end + 1 : end;
        while (end > text && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
            end--;
        *end = '\0';
        lines[count++] = text;
        if (*text)
            last = count;
        text = next;
    }
    return last;
}

/* Names of classes.txt beside the images, in memory that *text owns; 0 without such a file.
 */
static base_status read_names(char **text, char **lines, size_t *count, const char *images,
                              base_error *err)
{
    const char *slash = strrchr(images, '/');
    char *path =
        base_text("%.*sclasses.txt", slash ? (int)(slash - images) + 1 : 0, images);
    base_status status = BASE_OK;
    size_t bytes = 0;

    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory for class names");
    if (access(path, F_OK) == 0)
        status = base_file_read(text, &bytes, path, CLASSES_FILE_MOST, err);
    if (status == BASE_OK && *text) {
        *count = split_lines(lines, LABEL_CLASSES, *text);
        if (*count == 0)
            status = base_fail(err, BASE_FORMAT,
                               "'%s' is empty, expected a class name a line", path);
    }
    base_free(path);
    return status;
}

/* A list is plain when its names are their places. */
static bool is_plain(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (data_class_number(names[i]) != (int32_t)i)
            return false;
    }
    return true;
}

/* source->classes for labels 0 .. highest, from names (may be NULL) and the list of the
 * options. */
static base_status set_classes(data_source *source, const char *const *names, size_t count,
                               size_t highest, const data_source_options *options,
                               base_error *err)
{
    const char *const *list = options->class_list;
    const size_t listed = list ? options->class_list_count : 0;
    const bool plain = listed > 0 && is_plain(list, listed);
    char a[128], b[128];

    if (names && count <= highest)
        return base_fail(err, BASE_FORMAT, "'%s' has the label %zu, but %zu class names",
                         source->path, highest, count);
    if (listed > 0 && listed <= highest)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' has the label %zu, expected 0 to %zu: there are %zu classes",
                         source->path, highest, listed - 1, listed);
    /* Numbers agree with anything; own names say more than the list's numbers. */
    if (listed > 0 && (!names || (plain && count < listed)))
        names = list;
    if (listed > 0 && (names == list || plain))
        count = listed;
    for (size_t i = 0; listed > 0 && names != list && !plain && i < count; i++) {
        if (i >= listed || strcmp(names[i], list[i]) != 0)
            return base_fail(err, BASE_MISMATCH, "'%s': class %zu is '%s', expected '%s'",
                             source->path, i, base_quote(a, sizeof a, names[i]),
                             i < listed ? base_quote(b, sizeof b, list[i]) : "no more");
    }
    if (listed > 0 && count < listed && names != list)
        return base_fail(err, BASE_MISMATCH, "'%s' has %zu classes, expected %zu",
                         source->path, count, listed);
    if (!names)
        count = highest + 1;
    source->classes = base_alloc(count, sizeof *source->classes);
    if (!source->classes)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", count);
    source->class_count = count;
    for (size_t i = 0; i < count; i++) {
        source->classes[i] = names ? base_text("%s", names[i]) : base_text("%zu", i);
        if (!source->classes[i])
            return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", count);
    }
    return BASE_OK;
}

/* ---- the layout -------------------------------------------------------------------------
 */

/* One record a sample, in file order. *highest: the largest label. */
static base_status fill_index(data_source *source, const idx_file *images,
                              const idx_file *labels, size_t *highest, size_t *present,
                              base_error *err)
{
    const size_t bytes = source->width * source->height * source->channels;
    bool met[LABEL_CLASSES] = {false};
    base_status status = BASE_OK;

    if (bytes >= UINT32_MAX)
        return base_fail(err, BASE_FORMAT, "'%s' has images of %zu bytes", images->path,
                         bytes);
    assert(labels->bytes);
    *highest = *present = 0;
    for (size_t i = 0; i < images->size[0] && status == BASE_OK; i++) {
        const size_t label = labels->bytes[i];
        const data_record record = {
            .offset = i * bytes,
            .size = (uint32_t)bytes,
            .label = (int32_t)label,
        };
        status = data_index_add(&source->index, &record, NULL, err);
        *highest = label > *highest ? label : *highest;
        *present += !met[label];
        met[label] = true;
    }
    return status;
}

static base_status idx_scan(data_source *source, const data_source_options *options,
                            base_error *err)
{
    const size_t limit = options->idx_max_bytes ? options->idx_max_bytes : (size_t)1 << 30;
    idx_file images = {0}, labels = {0};
    char *text = NULL, *lines[LABEL_CLASSES];
    const char *names[LABEL_CLASSES];
    size_t count = 0, highest = 0, present = 0;
    base_status status = data_idx_find_images(&images.path, source->path, err);

    if (status == BASE_OK && !(labels.path = data_idx_find_labels(images.path)))
        status = base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", source->path);
    if (status == BASE_OK)
        status = idx_load(&images, true, limit, err);
    if (status == BASE_OK)
        status = idx_load(&labels, false, limit, err);
    if (status == BASE_OK && images.size[0] != labels.size[0])
        status = base_fail(err, BASE_MISMATCH, "'%s' holds %zu images, but '%s' %zu labels",
                           images.path, images.size[0], labels.path, labels.size[0]);
    if (status == BASE_OK && images.size[0] == 0)
        status = base_fail(err, BASE_FORMAT, "'%s' holds no images", images.path);
    if (status == BASE_OK)
        status = read_names(&text, lines, &count, images.path, err);
    if (status != BASE_OK)
        goto done;
    source->height = images.size[1];
    source->width = images.size[2];
    source->channels = images.dims == 4 ? images.size[3] : 1;
    for (size_t i = 0; i < count; i++)
        names[i] = lines[i];
    status = fill_index(source, &images, &labels, &highest, &present, err);
    if (status != BASE_OK)
        goto done;
    if (count == 0 && highest < 10 && is_fashion(images.path)) {
        count = sizeof fashion_names / sizeof *fashion_names;
        memcpy(names, fashion_names, sizeof fashion_names);
    }
    status = set_classes(source, count > 0 ? names : NULL, count, highest, options, err);
    if (status != BASE_OK)
        goto done;
    source->pixels = images.bytes;
    images.bytes = NULL;
    status = data_source_seal(source, present, options, err);
done:
    base_free(text);
    idx_free(&images);
    idx_free(&labels);
    return status;
}

static base_status idx_read(const data_source *source, const data_record *record,
                            unsigned char *to, base_error *err)
{
    (void)err;
    memcpy(to, source->pixels + record->offset, record->size);
    return BASE_OK;
}

/* Class names are free text: what a file name cannot hold or begin with becomes '-'. */
static void idx_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const char *class = source->classes[data_index_at(&source->index, i)->label];
    size_t used = 0;

    for (; class[used] && used + 1 < out_bytes; used++)
        out[used] =
            class[used] == '/' || (used == 0 && class[used] == '.') ? '-' : class[used];
    if (used < out_bytes)
        snprintf(out + used, out_bytes - used, "/%05zu.png", i);
}

const data_layout data_layout_idx = {
    .name = "idx",
    .holds = "a pair of IDX files (*-images-idx3-ubyte, *-labels-idx1-ubyte, also .gz)",
    .fits = data_idx_find_fits,
    .scan = idx_scan,
    .sets_labels = true,
    .read = idx_read,
    .relative = idx_relative,
    .join = '\0',
};
