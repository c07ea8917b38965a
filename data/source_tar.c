/* source_tar.c - a tar archive of class folders, read where it lies: one pass over the
 * headers, then pread (data.md 2). libarchive knows the dialects (ustar, GNU long names,
 * PAX, base-256 sizes, V7) and checks every header's sum; sizes are checked here against
 * the file before anything is skipped. No names are kept: a message reads them again from
 * the header, which lies right before the data. Free to change: the size of reads. Relied
 * on elsewhere: the texts with offsets. */
#include "data/data_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAR_BLOCK = 512, READ_BYTES = 16384 };

/* 256 TiB: a size above this was never a file's. Below, the archive was cut. */
static const uint64_t ABSURD_BYTES = (uint64_t)1 << 48;

/* What libarchive reads from: a file that is only ever asked with pread. */
typedef struct tape {
    int fd;
    uint64_t at, end;
    unsigned char bytes[READ_BYTES];
} tape;

static la_ssize_t tape_read(struct archive *a, void *user, const void **out)
{
    tape *t = user;
    const uint64_t left = t->end - t->at;
    const size_t want = left < READ_BYTES ? (size_t)left : READ_BYTES;
    base_error err;

    *out = t->bytes;
    if (want == 0)
        return 0;
    if (data_pread(t->fd, t->bytes, want, t->at, &err) != BASE_OK) {
        archive_set_error(a, EIO, "%s", err.text);
        return ARCHIVE_FATAL;
    }
    t->at += want;
    return (la_ssize_t)want;
}

static la_int64_t tape_skip(struct archive *a, void *user, la_int64_t bytes)
{
    tape *t = user;
    const uint64_t left = t->end - t->at;

    (void)a;
    if (bytes <= 0)
        return 0;
    if ((uint64_t)bytes > left)
        bytes = (la_int64_t)left;
    t->at += (uint64_t)bytes;
    return bytes;
}

/* An archive object that reads from t, or NULL without memory. *got: what opening came to.
 */
static struct archive *tape_open(tape *t, int *got)
{
    struct archive *a = archive_read_new();

    if (!a)
        return NULL;
    *got = archive_read_support_format_tar(a);
    if (*got == ARCHIVE_OK)
        *got = archive_read_open2(a, t, NULL, tape_read, tape_skip, NULL);
    return a;
}

/* The sum of a header block: its bytes with the checksum field as blanks (POSIX ustar). */
static bool sum_is_right(int fd, uint64_t offset)
{
    unsigned char block[TAR_BLOCK];
    uint32_t sum = 0, told = 0;
    size_t i = 148;

    if (data_pread(fd, block, sizeof block, offset, NULL) != BASE_OK)
        return true; /* another complaint than the sum's */
    for (size_t k = 0; k < sizeof block; k++)
        sum += k >= 148 && k < 156 ? ' ' : block[k];
    while (i < 156 && block[i] == ' ')
        i++;
    for (; i < 156 && block[i] >= '0' && block[i] <= '7'; i++)
        told = told * 8 + (uint32_t)(block[i] - '0');
    return sum == told;
}

/* libarchive has refused a header (and tells no position after that). start: where it began
 * to read. Records that belong to a member may lie between there and the block it means. */
static base_status bad_header(const data_source *source, struct archive *a, uint64_t start,
                              base_error *err)
{
    const uint64_t end = (uint64_t)archive_filter_bytes(a, 0);
    const uint64_t tries[] = {start, end >= start + TAR_BLOCK ? end - TAR_BLOCK : start};
    char text[200];

    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (!sum_is_right(source->fd, tries[i]))
            return base_fail(err, BASE_FORMAT,
                             "'%s': tar header checksum mismatch at offset %ju%s",
                             source->path, (uintmax_t)tries[i],
                             tries[i] == 0 ? ": not a tar archive" : "");
    }
    const char *why = archive_error_string(a);
    return base_fail(err, BASE_FORMAT, "'%s': damaged tar archive at offset %ju: %s",
                     source->path, (uintmax_t)start,
                     base_quote(text, sizeof text, why ? why : "unreadable header"));
}

/* The path of a member without "./" and doubled slashes into out [DATA_NAME_MAX + 1]:
 * "CLASS/...". NULL when it is to be ignored: hidden, too long, or without a name. A
 * directory ends in '/'. */
static const char *member_name(char *out, struct archive_entry *entry)
{
    const char *from = archive_entry_pathname(entry);
    size_t used = 0;

    if (!from)
        return NULL;
    while (*from) {
        const size_t part = strcspn(from, "/");
        if (part == 0 || (part == 1 && from[0] == '.')) {
            from += part + (from[part] == '/');
            continue;
        }
        if (from[0] == '.' || used + part + 1 > DATA_NAME_MAX)
            return NULL;
        memcpy(out + used, from, part);
        used += part;
        from += part;
        if (*from == '/') {
            out[used++] = '/';
            from++;
        }
    }
    out[used] = '\0';
    return out;
}

typedef struct scan {
    data_source *source;
    struct archive *archive;
    data_class_table table;
    uint64_t next;     /* offset of the next header */
    bool after_sparse; /* next is the data of a sparse member, whose end only libarchive
                          knows */
    size_t inner;      /* members that are archives themselves */
    /* Most archives come in canonical order: then no name needs to be kept for sorting. */
    bool keep_names;
    bool disordered; /* a sample came too early: scan again with names */
    uint32_t last_class;
    char last[DATA_NAME_MAX + 1]; /* the last sample, below its class */
    char name[DATA_NAME_MAX + 1];
} scan;

/* Whether a sample stands behind the one before it, by class and path. */
static bool follows(scan *s, uint32_t class, const char *below)
{
    const int order = s->source->index.count == 0
                          ? -1
                          : strcmp(s->table.name[s->last_class], s->table.name[class]);
    const bool good = order < 0 || (order == 0 && strcmp(s->last, below) < 0);

    s->last_class = class;
    snprintf(s->last, sizeof s->last, "%s", below);
    return good;
}

/* Refuses a member that does not fit into the file. Everything here is below 2^63. */
static base_status check_size(const scan *s, const char *name, uint64_t at, uint64_t size,
                              base_error *err)
{
    const uint64_t file = s->source->file_bytes;
    char shown[256];

    base_quote(shown, sizeof shown, name);
    if (size > file && size >= ABSURD_BYTES)
        return base_fail(err, BASE_FORMAT,
                         "'%s': member size %ju exceeds the archive (%s at offset %ju)",
                         s->source->path, (uintmax_t)size, shown, (uintmax_t)at);
    if (at > file || size > file - at)
        return base_fail(
            err, BASE_FORMAT,
            "'%s': member %s ends beyond the end of the archive (%ju bytes from "
            "offset %ju of %ju)",
            s->source->path, shown, (uintmax_t)size, (uintmax_t)at, (uintmax_t)file);
    return BASE_OK;
}

/* A member whose name is in s->name: a sample, a class, or ignored. */
static base_status take_member(scan *s, struct archive_entry *entry, uint64_t at,
                               uint64_t size, base_error *err)
{
    const bool folder = archive_entry_filetype(entry) == AE_IFDIR;
    const bool file =
        archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry);
    char *slash = strchr(s->name, '/');
    uint32_t class;

    if (!folder && !file) {
        s->source->ignored++;
        return BASE_OK;
    }
    if (folder && !slash && s->name[0]) { /* a name without the '/' that folders end in */
        slash = s->name + strlen(s->name);
        slash[1] = '\0'; /* member_name left room */
    }
    if (!slash) {
        const char *dot = strrchr(s->name, '.');
        s->inner += dot && strcasecmp(dot, ".tar") == 0;
        s->source->ignored += file;
        return BASE_OK;
    }
    *slash = '\0';
    base_status status = data_class_add(&class, &s->table, s->name, err);
    if (status != BASE_OK) {
        base_error_prepend(err, "'%s': ", s->source->path);
        return status;
    }
    if (folder)
        return BASE_OK;
    if (!data_is_image_name(slash + 1)) {
        s->source->ignored++;
        return BASE_OK;
    }
    if (!s->keep_names && !follows(s, class, slash + 1)) {
        s->disordered = true;
        return BASE_OK;
    }
    const uint64_t header = (uint64_t)archive_read_header_position(s->archive);
    const bool sparse = archive_entry_sparse_count(entry) > 0;
    const bool fits = size < UINT32_MAX;
    const data_record record = {
        .offset = sparse ? DATA_UNREADABLE_SPARSE
                  : fits ? at
                         : DATA_UNREADABLE_LARGE,
        .size = sparse || !fits ? UINT32_MAX : (uint32_t)size,
        .container = (uint32_t)(at - header), /* moves to name when the names go */
        .label = (int32_t) class,
    };
    return data_index_add(&s->source->index, &record, s->keep_names ? slash + 1 : NULL,
                          err);
}

/* The next header. *end: there is none. */
static base_status next_member(scan *s, bool *end, base_error *err)
{
    data_source *source = s->source;
    struct archive_entry *entry;
    base_status status;

    *end = false;
    /* An archive cut in the padding of its last member has all its data: no reason to
     * refuse. */
    if (s->next > source->file_bytes) {
        *end = true;
        return BASE_OK;
    }
    const int got = archive_read_next_header(s->archive, &entry);
    if (got == ARCHIVE_EOF) {
        *end = true;
        return BASE_OK;
    }
    if (got != ARCHIVE_OK &&
        got != ARCHIVE_WARN) /* a warning: a name in no known encoding */
        return bad_header(source, s->archive,
                          s->after_sparse
                              ? (uint64_t)archive_filter_bytes(s->archive, 0) - TAR_BLOCK
                              : s->next,
                          err);
    const uint64_t at = (uint64_t)archive_filter_bytes(s->archive, 0);
    const bool sparse = archive_entry_sparse_count(entry) > 0;
    const char *name = member_name(s->name, entry);
    uint64_t size = 0;
    if (archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry))
        size = (uint64_t)archive_entry_size(entry);
    /* A sparse member's size is not that of its bytes in the archive. */
    s->next = at;
    s->after_sparse = sparse;
    if (!sparse) {
        status = check_size(s, name ? name : "", at, size, err);
        if (status != BASE_OK)
            return status;
        s->next = at + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    }
    if (!name) {
        source->ignored++;
        return BASE_OK;
    }
    return take_member(s, entry, at, size, err);
}

/* Kinds of compression by their first bytes, and what undoes them. */
static base_status refuse_compressed(const data_source *source, base_error *err)
{
    static const struct {
        const char *sign;
        size_t bytes;
        const char *name, *undo;
    } kinds[] = {
        {"\x1f\x8b", 2, "gzip", "gunzip"},
        {"BZh", 3, "bzip2", "bunzip2"},
        {"\xfd"
         "7zXZ",
         5, "xz", "unxz"},
        {"\x28\xb5\x2f\xfd", 4, "zstd", "unzstd"},
        {"PK\x03\x04", 4, "zip", "unzip"},
    };
    unsigned char first[8] = {0};

    if (data_pread(source->fd, first, sizeof first, 0, NULL) != BASE_OK)
        return BASE_OK; /* too short: the scan says so */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (memcmp(first, kinds[i].sign, kinds[i].bytes) == 0)
            return base_fail(
                err, BASE_UNSUPPORTED,
                "'%s' is compressed (%s) and so has no random access: decompress "
                "it first, with %s",
                source->path, kinds[i].name, kinds[i].undo);
    }
    return BASE_OK;
}

static base_status open_file(data_source *source, base_error *err)
{
    struct stat info;

    source->fd = open(source->path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0 || fstat(source->fd, &info) != 0)
        return base_fail_errno(err, "cannot open '%s'", source->path);
    if (!S_ISREG(info.st_mode))
        return base_fail(err, BASE_IO, "'%s' is not a file, expected a tar archive",
                         source->path);
    if (info.st_size == 0)
        return base_fail(err, BASE_FORMAT, "'%s' is empty, expected a tar archive",
                         source->path);
    source->file_bytes = (uint64_t)info.st_size;
    return refuse_compressed(source, err);
}

/* All headers, from the first. */
static base_status scan_all(scan *s, tape *t, bool keep_names, base_error *err)
{
    base_status status = BASE_OK;
    bool end = false;
    int got;

    data_index_destroy(&s->source->index);
    data_class_table_destroy(&s->table);
    *s = (scan){.source = s->source, .keep_names = keep_names};
    s->source->ignored = 0;
    t->at = 0;
    s->archive = tape_open(t, &got);
    if (!s->archive)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", s->source->path);
    if (got != ARCHIVE_OK)
        status = bad_header(s->source, s->archive, 0, err);
    while (status == BASE_OK && !end && !s->disordered)
        status = next_member(s, &end, err);
    archive_read_free(s->archive);
    return status;
}

static base_status tar_open(data_source *source, const data_source_options *options,
                            base_error *err)
{
    base_status status = open_file(source, err);
    tape *t = NULL;
    scan *s = NULL;

    if (status != BASE_OK)
        return status;
    t = base_alloc(1, sizeof *t);
    s = base_alloc(1, sizeof *s);
    if (!t || !s) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
        goto done;
    }
    t->fd = source->fd;
    t->end = source->file_bytes;
    s->source = source;
    status = scan_all(s, t, false, err);
    if (status == BASE_OK && s->disordered)
        status = scan_all(s, t, true, err);
    if (status != BASE_OK)
        goto done;
    if (s->next >= source->file_bytes)
        data_source_note(source, "the archive ends without its two blocks of zeros");
    if (source->index.count == 0 && s->inner > 0) {
        status = base_fail(err, BASE_UNSUPPORTED,
                           "'%s' holds %zu tar archives and no images, expected %s",
                           source->path, s->inner, source->layout->holds);
        goto done;
    }
    status = data_source_finish(source, &s->table, options, err);
    if (status != BASE_OK)
        goto done;
    data_index_drop_names(&source->index);
    for (size_t i = 0; i < source->index.count; i++) {
        data_record *r = data_index_at(&source->index, i);
        r->name = r->container;
        r->container = 0;
    }
    posix_fadvise(source->fd, 0, 0, POSIX_FADV_RANDOM);
done:
    if (s)
        data_class_table_destroy(&s->table);
    base_free(s);
    base_free(t);
    return status;
}

/* Reads the header of the record again. Without it (file replaced, unreadable member) the
 * offset. */
static void tar_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    char name[DATA_NAME_MAX + 1];
    struct archive_entry *entry;
    struct archive *a = NULL;
    bool found = false;
    int got;

    tape *t = r->size == UINT32_MAX ? NULL : base_alloc(1, sizeof *t);
    if (t) {
        t->fd = source->fd;
        t->at = r->offset - r->name;
        t->end = source->file_bytes;
        a = tape_open(t, &got);
    }
    if (a) {
        if (got == ARCHIVE_OK) {
            got = archive_read_next_header(a, &entry);
            found = (got == ARCHIVE_OK || got == ARCHIVE_WARN) && member_name(name, entry);
        }
        archive_read_free(a);
    }
    base_free(t);
    if (found)
        snprintf(out, out_bytes, "%s", name);
    else
        snprintf(out, out_bytes, "%s/member-%zu", source->classes[r->label], i);
}

static base_status tar_read(const data_source *source, const data_record *record,
                            unsigned char *to, base_error *err)
{
    return data_pread(source->fd, to, record->size, record->offset, err);
}

static bool ends_in(const char *path, const char *end)
{
    const size_t a = strlen(path), b = strlen(end);

    return a >= b && strcasecmp(path + a - b, end) == 0;
}

/* By name, so that damaged and compressed archives meet the right message, or by "ustar".
 */
static bool tar_fits(const char *path)
{
    static const char *const names[] = {".tar",     ".tar.gz", ".tgz",
                                        ".tar.bz2", ".tar.xz", ".tar.zst"};
    unsigned char magic[5];
    struct stat info;
    bool fits = false;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        fits = fits || ends_in(path, names[i]);
    const int fd = fits ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fits = data_pread(fd, magic, sizeof magic, 257, NULL) == BASE_OK &&
               memcmp(magic, "ustar", sizeof magic) == 0;
        close(fd);
    }
    return fits;
}

const data_layout data_layout_tar = {
    .name = "tar",
    .holds = "a tar archive of class folders",
    .fits = tar_fits,
    .open = tar_open,
    .read = tar_read,
    .relative = tar_relative,
    .join = '!',
};
