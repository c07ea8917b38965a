/* tar_members.c - a walk over the headers of a tar archive, or of one that lies inside
 * another: one pass of pread, nothing is unpacked (data.md 2). libarchive knows the
 * dialects (ustar, GNU long names, PAX, base-256 sizes, V7) and checks every header's sum;
 * sizes are checked here against the archive before anything is skipped. Free to change:
 * the size of reads. Relied on elsewhere: the texts with offsets. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { READ_BYTES = 16384 };

/* 256 TiB: a size above this was never a file's. Below, the archive was cut. */
static const uint64_t ABSURD_BYTES = (uint64_t)1 << 48;

/* What libarchive reads from: a file that is only ever asked with pread. */
typedef struct tape {
    int fd;
    uint64_t at, end;
    unsigned char bytes[READ_BYTES];
} tape;

struct data_tar {
    tape tape;
    const char *path;
    struct archive *archive;
    uint64_t begin, end;
    uint64_t next;     /* offset of the next header */
    bool after_sparse; /* next is the data of a sparse member, whose end only libarchive
                          knows */
    bool leave_links;
    data_tar_links *links; /* once one was met */
    char name[DATA_NAME_MAX + 2], link[DATA_NAME_MAX + 2];
};

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

/* Bytes that libarchive has taken, as an offset in the file. */
static uint64_t taken(const data_tar *tar)
{
    return tar->begin + (uint64_t)archive_filter_bytes(tar->archive, 0);
}

/* The sum of a header block: its bytes with the checksum field as blanks (POSIX ustar). */
static bool sum_is_right(int fd, uint64_t offset)
{
    unsigned char block[DATA_TAR_BLOCK];
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
static base_status bad_header(const data_tar *tar, uint64_t start, base_error *err)
{
    const uint64_t end = taken(tar);
    const uint64_t tries[] = {start,
                              end >= start + DATA_TAR_BLOCK ? end - DATA_TAR_BLOCK : start};
    char text[200];

    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (!sum_is_right(tar->tape.fd, tries[i]))
            return base_fail(
                err, BASE_FORMAT, "'%s': tar header checksum mismatch at offset %ju%s",
                tar->path, (uintmax_t)tries[i], tries[i] == 0 ? ": not a tar archive" : "");
    }
    const char *why = archive_error_string(tar->archive);
    return base_fail(err, BASE_FORMAT, "'%s': damaged tar archive at offset %ju: %s",
                     tar->path, (uintmax_t)start,
                     base_quote(text, sizeof text, why ? why : "unreadable header"));
}

bool data_member_name(char *out, const char *from)
{
    size_t used = 0;

    if (!from)
        return false;
    while (*from) {
        const size_t part = strcspn(from, "/");
        if (part == 0 || (part == 1 && from[0] == '.')) {
            from += part + (from[part] == '/');
            continue;
        }
        if (from[0] == '.' || data_is_system_name(from, part) ||
            used + part + 1 > DATA_NAME_MAX)
            return false;
        memcpy(out + used, from, part);
        used += part;
        from += part;
        if (*from == '/') {
            out[used++] = '/';
            from++;
        }
    }
    out[used] = '\0';
    return true;
}

/* Refuses a member that does not fit into the archive. Everything here is below 2^63. */
static base_status check_size(const data_tar *tar, const char *name, uint64_t at,
                              uint64_t size, base_error *err)
{
    char shown[256];

    base_quote(shown, sizeof shown, name);
    if (size > tar->end && size >= ABSURD_BYTES)
        return base_fail(err, BASE_FORMAT,
                         "'%s': member size %ju exceeds the archive (%s at offset %ju)",
                         tar->path, (uintmax_t)size, shown, (uintmax_t)at);
    if (at > tar->end || size > tar->end - at)
        return base_fail(
            err, BASE_FORMAT,
            "'%s': member %s ends beyond the end of the archive (%ju bytes from "
            "offset %ju of %ju)",
            tar->path, shown, (uintmax_t)size, (uintmax_t)at, (uintmax_t)tar->end);
    return BASE_OK;
}

base_status data_tar_open(data_tar **out, int fd, const char *path, uint64_t begin,
                          uint64_t end, base_error *err)
{
    data_tar *tar = base_alloc(1, sizeof *tar);
    base_status status = BASE_OK;
    int got = ARCHIVE_OK;

    if (!tar)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    tar->tape.fd = fd;
    tar->tape.at = tar->begin = tar->next = begin;
    tar->tape.end = tar->end = end;
    tar->path = path;
    tar->archive = tape_open(&tar->tape, &got);
    if (!tar->archive)
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    else if (got != ARCHIVE_OK)
        status = bad_header(tar, begin, err);
    if (status == BASE_OK)
        *out = tar;
    else
        data_tar_close(tar);
    return status;
}

void data_tar_close(data_tar *tar)
{
    if (!tar)
        return;
    archive_read_free(tar->archive);
    data_tar_links_destroy(tar->links);
    base_free(tar);
}

void data_tar_leave_links(data_tar *tar)
{
    tar->leave_links = true;
}

/* A hard link becomes what it leads to. */
static base_status follow(data_tar *tar, data_member *m, base_error *err)
{
    data_member found;

    if (!tar->links) {
        const base_status status = data_tar_links_create(
            &tar->links, tar->tape.fd, tar->path, tar->begin, tar->end, err);
        if (status != BASE_OK)
            return status;
    }
    if (data_tar_links_find(&found, tar->links, m->link)) {
        m->file = true;
        m->at = found.at;
        m->size = found.size;
        m->sparse = found.sparse;
    }
    return BASE_OK;
}

base_status data_tar_next(data_tar *tar, data_member *out, bool *done, base_error *err)
{
    struct archive_entry *entry;
    base_status status = BASE_OK;

    *done = false;
    /* An archive cut in the padding of its last member has all its data: no reason to
     * refuse. */
    if (tar->next > tar->end) {
        *done = true;
        return BASE_OK;
    }
    const int got = archive_read_next_header(tar->archive, &entry);
    if (got == ARCHIVE_EOF) {
        *done = true;
        return BASE_OK;
    }
    if (got != ARCHIVE_OK &&
        got != ARCHIVE_WARN) /* a warning: a name in no known encoding */
        return bad_header(tar, tar->after_sparse ? taken(tar) - DATA_TAR_BLOCK : tar->next,
                          err);
    const bool named = data_member_name(tar->name, archive_entry_pathname(entry));
    const char *link = archive_entry_hardlink(entry);
    *out = (data_member){
        .name = named ? tar->name : NULL,
        .header = tar->begin + (uint64_t)archive_read_header_position(tar->archive),
        .at = taken(tar),
        .file = archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry),
        .folder = archive_entry_filetype(entry) == AE_IFDIR,
        .link = link && data_member_name(tar->link, link) ? tar->link : NULL,
        .sparse = archive_entry_sparse_count(entry) > 0,
    };
    if (out->file)
        out->size = (uint64_t)archive_entry_size(entry);
    /* A sparse member's size is not that of its bytes in the archive. */
    tar->next = out->at;
    tar->after_sparse = out->sparse;
    if (!out->sparse) {
        status = check_size(tar, named ? tar->name : "", out->at, out->size, err);
        tar->next =
            out->at + (out->size + DATA_TAR_BLOCK - 1) / DATA_TAR_BLOCK * DATA_TAR_BLOCK;
    }
    out->after = tar->next;
    if (status == BASE_OK && out->link && !tar->leave_links)
        status = follow(tar, out, err);
    return status;
}

bool data_tar_cut(const data_tar *tar)
{
    return tar->next >= tar->end;
}

bool data_tar_name(char *out, int fd, uint64_t header, uint64_t end)
{
    struct archive_entry *entry;
    bool found = false;
    int got;
    tape *t = base_alloc(1, sizeof *t);

    if (!t)
        return false;
    t->fd = fd;
    t->at = header;
    t->end = end;
    struct archive *a = header < end ? tape_open(t, &got) : NULL;
    if (a && got == ARCHIVE_OK) {
        got = archive_read_next_header(a, &entry);
        found = (got == ARCHIVE_OK || got == ARCHIVE_WARN) &&
                data_member_name(out, archive_entry_pathname(entry));
    }
    archive_read_free(a);
    base_free(t);
    return found;
}

/* Kinds of compression by their first bytes, and what undoes them. */
base_status data_tar_refuse_compressed(int fd, const char *path, base_error *err)
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

    if (data_pread(fd, first, sizeof first, 0, NULL) != BASE_OK)
        return BASE_OK; /* too short: the scan says so */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (memcmp(first, kinds[i].sign, kinds[i].bytes) == 0)
            return base_fail(
                err, BASE_UNSUPPORTED,
                "'%s' is compressed (%s) and so has no random access: decompress "
                "it first, with %s",
                path, kinds[i].name, kinds[i].undo);
    }
    return BASE_OK;
}

bool data_ends_in(const char *text, const char *end)
{
    const size_t a = strlen(text), b = strlen(end);

    return a >= b && strcasecmp(text + a - b, end) == 0;
}

/* By name, so that damaged and compressed archives meet the right message, or by "ustar".
 */
bool data_tar_looks(const char *path)
{
    static const char *const names[] = {".tar",     ".tar.gz", ".tgz",
                                        ".tar.bz2", ".tar.xz", ".tar.zst"};
    unsigned char magic[5];
    struct stat info;
    bool looks = false;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        looks = looks || data_ends_in(path, names[i]);
    const int fd = looks ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        looks = data_pread(fd, magic, sizeof magic, 257, NULL) == BASE_OK &&
                memcmp(magic, "ustar", sizeof magic) == 0;
        close(fd);
    }
    return looks;
}

base_status data_tar_join(data_source *source, uint32_t *number, const char *path,
                          base_error *err)
{
    base_status status = BASE_OK;

    if (!source->files)
        status = data_files_create(&source->files, err);
    if (status == BASE_OK)
        status = data_files_add(number, source->files, path, err);
    if (status != BASE_OK)
        return status;
    source->file_bytes += data_files_bytes(source->files, *number);
    return data_source_witness(source, path, data_files_stat(source->files, *number), err);
}

base_status data_archive_hold(int *fd, const data_source *source, uint32_t number,
                              const char *kind, base_error *err)
{
    const char *path = data_files_path(source->files, number);

    if (data_files_bytes(source->files, number) == 0)
        return base_fail(err, BASE_FORMAT, "'%s' is empty, expected %s", path, kind);
    const base_status status = data_files_hold(fd, source->files, number, err);
    if (status != BASE_OK)
        base_error_prepend(err, "cannot open '%s': ", path);
    return status;
}

base_status data_tar_hold(int *fd, const data_source *source, uint32_t number,
                          base_error *err)
{
    base_status status = data_archive_hold(fd, source, number, "a tar archive", err);

    if (status != BASE_OK)
        return status;
    status = data_tar_refuse_compressed(*fd, data_files_path(source->files, number), err);
    if (status != BASE_OK)
        data_files_release(source->files, number);
    return status;
}

data_record data_member_record(const data_member *m, uint32_t container, int32_t label)
{
    const bool fits = m->size <= DATA_SIZE_MOST;

    return (data_record){
        .offset = m->zip ? m->header : m->at,
        .size = m->sparse ? data_size_unreadable(DATA_SPARSE)
                : fits    ? (uint32_t)m->size
                          : data_size_unreadable(DATA_LARGE),
        .container = container,
        .label = label,
        .name = m->zip ? DATA_NAME_ZIP
                : m->header <= m->at
                    ? (uint32_t)(m->at - m->header)
                    : DATA_NAME_AFTER | (uint32_t)((m->header - m->at) / DATA_TAR_BLOCK),
    };
}
