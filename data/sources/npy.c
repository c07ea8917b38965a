/* npy.c - pictures and labels as NumPy files (data.md 1), as CIFAR-10-C and CIFAR-100-C
 * have them: NAME.npy of bytes [N, height, width, 3] (or [N, height, width], grey),
 * labels.npy [N] beside it. Format 1.0 to 3.0 (NumPy Enhancement Proposal 1). "NAME.npy#3"
 * is the third of the five equal pieces that the files of CIFAR-10-C are made of,
 * severities 1 to 5. Free to change: which names belong together. Relied on elsewhere:
 * samples are numbered as in the file. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADER_MOST = 65536,
    PIECES = 5,
    LABELS_MOST = 1 << 24,
    DIMENSIONS = 4,
    ITEM_MOST = 8 /* bytes of a label */
};

/* What a header says. */
typedef struct npy {
    const char *path;
    char kind;         /* 'u' or 'i' */
    size_t item_bytes; /* of one number, little endian or of one byte */
    size_t dims, shape[DIMENSIONS];
    uint64_t offset; /* of the first number */
} npy;

/* ---- header -------------------------------------------------------------------------- */

static base_status bad_header(const npy *n, base_error *err, const char *what)
{
    return base_fail(err, BASE_FORMAT, "'%s': %s", n->path, what);
}

/* After 'KEY': in the header's text, NULL: no such key. */
static const char *value_of(const char *text, const char *key)
{
    char quoted[32];

    snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *at = strstr(text, quoted);
    return at ? at + strlen(quoted) + strspn(at + strlen(quoted), " ") : NULL;
}

static base_status parse_shape(npy *out, const char *at, base_error *err)
{
    if (*at++ != '(')
        return bad_header(out, err, "its NumPy header has no shape");
    for (at += strspn(at, " "); *at != ')'; at += strspn(at, ", ")) {
        const size_t digits = strspn(at, "0123456789");
        char number[24];
        int64_t value;

        if (digits == 0 || digits >= sizeof number || out->dims == DIMENSIONS)
            return bad_header(out, err,
                              "its NumPy header has a strange shape, expected at "
                              "most four sizes");
        snprintf(number, sizeof number, "%.*s", (int)digits, at);
        if (!base_parse_int(&value, number))
            return bad_header(out, err, "its NumPy header has a strange shape");
        out->shape[out->dims++] = (size_t)value;
        at += digits;
        if (!strchr(", )", *at) || !*at)
            return bad_header(out, err, "its NumPy header has a strange shape");
    }
    return BASE_OK;
}

/* "{'descr': '|u1', 'fortran_order': False, 'shape': (5, 32, 32, 3), }" */
static base_status parse_text(npy *out, const char *text, base_error *err)
{
    const char *type = value_of(text, "descr"), *order = value_of(text, "fortran_order");
    const char *shape = value_of(text, "shape");
    char shown[64];

    if (!type || !order || !shape || type[0] != '\'' || !type[1] || !type[2] || !type[3])
        return bad_header(out, err, "its NumPy header lacks descr, fortran_order or shape");
    const bool native = type[1] == '<' || type[1] == '|';
    out->kind = type[2];
    out->item_bytes = (size_t)(type[3] - '0');
    if (!native || (out->kind != 'u' && out->kind != 'i') || type[4] != '\'' ||
        (out->item_bytes != 1 && out->item_bytes != 2 && out->item_bytes != 4 &&
         out->item_bytes != 8)) {
        snprintf(shown, sizeof shown, "%.12s", type);
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' holds numbers of type %.*s, expected whole ones ('|u1')",
                         out->path, (int)(strcspn(shown + 1, "'") + 2), shown);
    }
    if (strncmp(order, "False", 5) != 0)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' is in Fortran's order, expected C's (numpy.save of "
                         "numpy.ascontiguousarray)",
                         out->path);
    return parse_shape(out, shape, err);
}

/* The header of an open file of file_bytes, and that the numbers fill the rest. */
static base_status read_header(npy *out, int fd, uint64_t file_bytes, base_error *err)
{
    unsigned char head[12];
    uint64_t bytes = 10, length;
    size_t count;

    if (file_bytes < bytes || data_pread(fd, head, 10, 0, NULL) != BASE_OK ||
        memcmp(head, "\x93NUMPY", 6) != 0 || head[6] < 1 || head[6] > 3)
        return bad_header(out, err, "is no NumPy file of format 1 to 3");
    length = (uint64_t)head[8] | (uint64_t)head[9] << 8;
    if (head[6] > 1) {
        bytes = 12;
        if (data_pread(fd, head, 12, 0, NULL) != BASE_OK)
            return bad_header(out, err, "ends inside its header");
        length |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
    }
    if (length > HEADER_MOST || bytes + length > file_bytes)
        return bad_header(out, err, "ends inside its header");
    char *text = base_alloc((size_t)length + 1, 1);
    if (!text)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", out->path);
    base_status status =
        data_pread(fd, (unsigned char *)text, (size_t)length, bytes, NULL) == BASE_OK
            ? parse_text(out, text, err)
            : bad_header(out, err, "cannot be read");
    base_free(text);
    if (status != BASE_OK)
        return status;
    out->offset = bytes + length;
    count = out->item_bytes;
    for (size_t i = 0; i < out->dims; i++) {
        if (!base_mul_size(&count, count, out->shape[i]))
            return bad_header(out, err, "its NumPy header tells of too many numbers");
    }
    if (count != file_bytes - out->offset)
        return base_fail(err, BASE_FORMAT,
                         "'%s' has %ju bytes after its header, which tells of %zu",
                         out->path, (uintmax_t)(file_bytes - out->offset), count);
    return BASE_OK;
}

/* ---- finding ------------------------------------------------------------------------- */

/* 3 for "NAME.npy#3", 0 without. */
static size_t piece_of(const char *path)
{
    const size_t bytes = strlen(path);
    const bool has = bytes > 6 && path[bytes - 2] == '#' && path[bytes - 1] >= '1' &&
                     path[bytes - 1] <= '0' + PIECES &&
                     strncmp(path + bytes - 6, ".npy", 4) == 0;

    return has ? (size_t)(path[bytes - 1] - '0') : 0;
}

/* The path without "#3". (base_free), NULL: no memory. */
static char *plain_path(const char *path)
{
    const size_t bytes = strlen(path);

    return base_text("%.*s", (int)(piece_of(path) > 0 ? bytes - 2 : bytes), path);
}

static bool is_file(const char *path)
{
    struct stat info;

    return path && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Beside images: its name with "images" or a leading "x" as "labels" or "y", else
 * labels.npy (base_free); NULL: none is there. */
static char *find_labels(const char *images)
{
    const char *name = base_name(images);
    const int folder = (int)(name - images);
    const char *word = strstr(name, "images");
    char *tries[] = {
        word ? base_text("%.*s%.*slabels%s", folder, images, (int)(word - name), name,
                         word + strlen("images"))
             : NULL,
        name[0] == 'x' || name[0] == 'X'
            ? base_text("%.*s%c%s", folder, images, name[0] == 'x' ? 'y' : 'Y', name + 1)
            : NULL,
        base_text("%.*slabels.npy", folder, images),
    };
    char *found = NULL;

    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (!found && is_file(tries[i]) && strcmp(tries[i], images) != 0)
            found = tries[i];
        else
            base_free(tries[i]);
    }
    return found;
}

/* The one file of a folder that has labels beside it (base_free). */
static base_status find_images(char **out, const char *folder, base_error *err)
{
    DIR *dir = opendir(folder);
    const struct dirent *d;
    size_t count = 0;
    char names[200] = "";

    *out = NULL;
    while (dir && (d = readdir(dir)) != NULL) {
        char *path = base_text("%s/%s", folder, d->d_name);
        char *labels =
            path && d->d_name[0] != '.' && data_ends_in(path, ".npy") && is_file(path)
                ? find_labels(path)
                : NULL;
        const size_t used = strlen(names);
        if (labels) {
            if (count++ < 4)
                snprintf(names + used, sizeof names - used, "%s%.40s", used ? ", " : "",
                         d->d_name);
            base_free(*out);
            *out = path;
            path = NULL;
        }
        base_free(labels);
        base_free(path);
    }
    if (dir)
        closedir(dir);
    if (count == 1)
        return BASE_OK;
    base_free(*out);
    *out = NULL;
    if (count == 0)
        return base_fail(err, BASE_FORMAT,
                         "'%s' holds no pair of NumPy files, expected images.npy and "
                         "labels.npy",
                         folder);
    return base_fail(
        err, BASE_USAGE,
        "'%s' holds %zu NumPy files of images (%s%s): name one of them, or one "
        "severity of it as '%s/NAME.npy#3', or all by eval --imagenet-c",
        folder, count, names, count > 4 ? ", ..." : "", folder);
}

static int npy_fits(const char *path)
{
    char *plain = plain_path(path), *labels = NULL;
    bool fits = plain && data_ends_in(plain, ".npy") && is_file(plain);

    if (plain && !fits) {
        labels = base_text("%s/labels.npy", plain);
        fits = is_file(labels);
    }
    base_free(labels);
    base_free(plain);
    return fits ? 2 : 0;
}

/* ---- the layout ---------------------------------------------------------------------- */

static base_status join(data_source *source, npy *out, const char *path, base_error *err)
{
    uint32_t number;
    int fd;

    base_status status = data_tar_join(source, &number, path, err);
    if (status != BASE_OK)
        return status;
    *out = (npy){.path = data_files_path(source->files, number)};
    status = data_files_hold(&fd, source->files, number, err);
    if (status != BASE_OK) {
        base_error_prepend(err, "'%s': ", path);
        return status;
    }
    status = read_header(out, fd, data_files_bytes(source->files, number), err);
    data_files_release(source->files, number);
    return status;
}

static base_status check_shapes(const data_source *source, const npy *images,
                                const npy *labels, size_t piece, base_error *err)
{
    const size_t *s = images->shape;
    const size_t channels = images->dims == 4 ? s[3] : 1;

    if (images->kind != 'u' || images->item_bytes != 1 || images->dims < 3 ||
        (channels != 1 && channels != 3) || s[1] == 0 || s[2] == 0 || s[1] > 16384 ||
        s[2] > 16384)
        return base_fail(err, BASE_FORMAT,
                         "'%s' has the shape [%zu, %zu, %zu, %zu] of %c%zu, expected bytes "
                         "[N, height, width, 3] or [N, height, width]",
                         images->path, s[0], s[1], s[2], s[3], images->kind,
                         images->item_bytes);
    if (labels->dims != 1 || labels->shape[0] > LABELS_MOST)
        return base_fail(err, BASE_FORMAT, "'%s' has %zu sizes, expected labels [N]",
                         labels->path, labels->dims);
    if (labels->shape[0] != s[0])
        return base_fail(err, BASE_MISMATCH, "'%s' holds %zu images, but '%s' %zu labels",
                         images->path, s[0], labels->path, labels->shape[0]);
    if (piece > 0 && s[0] % PIECES != 0)
        return base_fail(err, BASE_USAGE,
                         "'%s' has %zu images, no five severities of as many each",
                         source->path, s[0]);
    return BASE_OK;
}

/* A little-endian whole number; what no label can be stays out of range. */
static int32_t take_label(const unsigned char *at, const npy *labels)
{
    uint64_t value = 0;

    for (size_t i = labels->item_bytes; i-- > 0;)
        value = value << 8 | at[i];
    const unsigned sign = labels->kind == 'i' ? at[labels->item_bytes - 1] >> 7 : 0;
    if (sign)
        return -2;
    return value < INT32_MAX - 2 ? (int32_t)value : INT32_MAX - 2;
}

static base_status add_records(data_source *source, const npy *images, const npy *labels,
                               size_t piece, base_error *err)
{
    const size_t all = images->shape[0], each = piece > 0 ? all / PIECES : all;
    const size_t first = piece > 0 ? (piece - 1) * each : 0;
    const size_t bytes = source->width * source->height * source->channels;
    unsigned char *values = base_alloc(each + 1, labels->item_bytes);
    base_status status =
        values ? data_files_read(source->files, 1, values, each * labels->item_bytes,
                                 labels->offset + first * labels->item_bytes, err)
               : base_fail(err, BASE_NO_MEMORY, "no memory for %zu labels", each);

    for (size_t i = 0; i < each && status == BASE_OK; i++) {
        const data_record record = {
            .offset = images->offset + (first + i) * (uint64_t)bytes,
            .size = (uint32_t)bytes,
            .label = take_label(values + i * labels->item_bytes, labels),
        };
        if (record.label < 0 || record.label >= DATA_CLASSES_MAX)
            status = base_fail(err, BASE_FORMAT,
                               "'%s': label %zu is out of range, expected 0 to %d",
                               labels->path, first + i, DATA_CLASSES_MAX - 1);
        else
            status = data_index_add(&source->index, &record, NULL, err);
        data_source_tick(source);
    }
    base_free(values);
    return status;
}

static base_status npy_scan(data_source *source, const data_source_options *options,
                            base_error *err)
{
    npy images = {0}, labels = {0};
    char *path, *beside = NULL, *found = NULL;
    struct stat info;
    const size_t piece = piece_of(source->path);
    base_status status = BASE_OK;

    (void)options;
    path = plain_path(source->path);
    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", source->path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        status = find_images(&found, path, err);
        base_free(path);
        path = found;
    }
    if (status == BASE_OK)
        status = join(source, &images, path, err);
    if (status == BASE_OK && !(beside = find_labels(path)))
        status = base_fail(err, BASE_IO, "'%s' has no labels.npy beside it", path);
    if (status == BASE_OK)
        status = join(source, &labels, beside, err);
    if (status == BASE_OK) {
        images.path = data_files_path(source->files, 0); /* the list may have moved */
        status = check_shapes(source, &images, &labels, piece, err);
    }
    if (status == BASE_OK) {
        source->height = images.shape[1];
        source->width = images.shape[2];
        source->channels = images.dims == 4 ? images.shape[3] : 1;
        source->labelling = DATA_LABELS_NUMBERS;
        status = add_records(source, &images, &labels, piece, err);
    }
    base_free(beside);
    base_free(path);
    return status;
}

/* "CLASS/fog-00012.png": its number in the file, whatever the piece. */
static void npy_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *name = base_name(data_files_path(source->files, 0));
    const size_t piece = piece_of(source->path);
    const size_t first = piece > 0 ? (piece - 1) * source->index.count : 0;
    char class[DATA_NAME_MAX];

    data_class_folder(class, sizeof class, source, r->label);
    snprintf(out, out_bytes, "%s%s%.*s-%05zu.png", class, name[0] == '.' ? "npy" : "",
             (int)(strlen(name) - (data_ends_in(name, ".npy") ? 4 : 0)), name, first + i);
}

const data_layout data_layout_npy = {
    .name = "npy",
    .holds = "a pair of NumPy files: images of bytes [N, H, W, 3] and labels.npy [N]",
    .fits = npy_fits,
    .scan = npy_scan,
    .read = data_archive_read,
    .relative = npy_relative,
};
