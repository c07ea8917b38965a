/* zip.c - the members of a zip archive, read where they lie (PKWARE, APPNOTE.TXT - .ZIP
 * File Format Specification, 6.3.10): the end of the central directory, with or without
 * zip64, a walk over the directory, and one member unpacked by zlib's raw inflate and held
 * against its CRC-32. A record knows only its entry in the directory: all else is read
 * again from there. Free to change: the size of reads. Relied on elsewhere: nothing is
 * unpacked that its entry did not announce. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
    END_BYTES = 22,   /* 4.3.16 */
    END64_BYTES = 56, /* 4.3.14 */
    LOCATOR_BYTES = 20,
    COMMENT_MOST = 65535,
    ENTRY_BYTES = 46,       /* 4.3.12 */
    LOCAL_BYTES = 30,       /* 4.3.7 */
    ENTRY_ROOM = 8192,      /* of an entry's fields, name and extra: more is ignored */
    WINDOW_BYTES = 1 << 18, /* holds any entry: 46 + 3 * 65535 */
    PIECE_BYTES = 32768,    /* packed, in one read */
    FLAG_ENCRYPTED = 1,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    EXTRA_ZIP64 = 1,
    MADE_BY_UNIX = 3,
    MADE_BY_MACOS = 19,
    DOS_FOLDER = 16,
    RATIO_MOST = 1032, /* what deflate can do at all (zlib's documentation) */
    BOMB_RATIO = 200,  /* pictures are packed already; a few kB of one colour are not */
    BOMB_BYTES = 16 << 20
};

/* An entry of the directory. */
typedef struct zip_entry {
    uint32_t made_by, flags, method, crc, attributes;
    uint64_t size, packed, local; /* local: offset of the member's own header */
    uint32_t name_bytes, extra_bytes, comment_bytes;
    const char *name; /* [name_bytes] */
} zip_entry;

struct data_zip {
    int fd;
    const char *path;
    uint64_t at, end, begin; /* of the directory */
    uint64_t window_at;
    size_t window_bytes;
    uint64_t met, told;  /* members; told: modulo 65536 without zip64 */
    uint64_t packed;     /* bytes of all members so far */
    bool zip64, limited; /* limited: to a part of the directory */
    unsigned char window[WINDOW_BYTES];
    char name[DATA_NAME_MAX + 2];
};

static uint32_t get16(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t get32(const unsigned char *at)
{
    return get16(at) | get16(at + 2) << 16;
}

static uint64_t get64(const unsigned char *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static bool is_sign(const unsigned char *at, const char *two)
{
    return at[0] == 'P' && at[1] == 'K' && memcmp(at + 2, two, 2) == 0;
}

/* ---- the directory ------------------------------------------------------------------ */

/* The end of the directory is the last thing in the file but for a comment. *at: where it
 * lies. */
static bool find_end(unsigned char end[END_BYTES], uint64_t *at, int fd, uint64_t bytes)
{
    const size_t room =
        bytes < END_BYTES + COMMENT_MOST ? (size_t)bytes : END_BYTES + COMMENT_MOST;
    unsigned char *tail = room >= END_BYTES ? base_alloc(room, 1) : NULL;
    bool found = false;

    if (tail && data_pread(fd, tail, room, bytes - room, NULL) == BASE_OK) {
        for (size_t i = room - END_BYTES + 1; i-- > 0 && !found;) {
            found =
                is_sign(tail + i, "\5\6") && i + END_BYTES + get16(tail + i + 20) <= room;
            if (found) {
                memcpy(end, tail + i, END_BYTES);
                *at = bytes - room + i;
            }
        }
    }
    base_free(tail);
    return found;
}

/* The same with 64 bits, where a locator says so; false: it is damaged. */
static bool find_end64(data_zip *zip, uint64_t *size, uint64_t *end_at)
{
    unsigned char locator[LOCATOR_BYTES], end[END64_BYTES];

    if (*end_at < LOCATOR_BYTES ||
        data_pread(zip->fd, locator, sizeof locator, *end_at - LOCATOR_BYTES, NULL) !=
            BASE_OK ||
        !is_sign(locator, "\6\7"))
        return true;
    const uint64_t at = get64(locator + 8);
    if (*end_at < LOCATOR_BYTES + END64_BYTES ||
        at > *end_at - LOCATOR_BYTES - END64_BYTES ||
        data_pread(zip->fd, end, sizeof end, at, NULL) != BASE_OK || !is_sign(end, "\6\6"))
        return false;
    zip->zip64 = true;
    zip->told = get64(end + 32);
    *size = get64(end + 40);
    zip->begin = get64(end + 48);
    *end_at = at;
    return true;
}

static base_status find_directory(data_zip *zip, uint64_t bytes, base_error *err)
{
    unsigned char end[END_BYTES], first[4];
    uint64_t end_at = 0;

    if (!find_end(end, &end_at, zip->fd, bytes))
        return base_fail(err, BASE_FORMAT,
                         "'%s' has no directory at its end: cut off, or no zip archive",
                         zip->path);
    if (get16(end + 4) != get16(end + 6) ||
        (get16(end + 4) != 0 && get16(end + 4) != 0xffff))
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' is one of several volumes of a zip archive: join them first",
                         zip->path);
    zip->told = get16(end + 10);
    uint64_t size = get32(end + 12);
    zip->begin = get32(end + 16);
    if (!find_end64(zip, &size, &end_at))
        return base_fail(err, BASE_FORMAT, "'%s' is damaged: its zip64 end is not there",
                         zip->path);
    const bool within = zip->begin <= end_at && size <= end_at - zip->begin;
    zip->at = zip->begin;
    zip->end = zip->begin + size;
    if (!within || (size > 0 && (size < ENTRY_BYTES ||
                                 data_pread(zip->fd, first, sizeof first, zip->begin,
                                            NULL) != BASE_OK ||
                                 !is_sign(first, "\1\2"))))
        return base_fail(err, BASE_FORMAT,
                         "'%s' is damaged: its directory is not at offset %ju, where its "
                         "end says (cut off in front, or above 4 GiB by a program that "
                         "knows no zip64: pack it again)",
                         zip->path, (uintmax_t)zip->begin);
    return BASE_OK;
}

base_status data_zip_open(data_zip **out, int fd, const char *path, uint64_t bytes,
                          base_error *err)
{
    data_zip *zip = base_alloc(1, sizeof *zip);

    if (!zip)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    zip->fd = fd;
    zip->path = path;
    const base_status status = find_directory(zip, bytes, err);
    if (status == BASE_OK)
        *out = zip;
    else
        data_zip_close(zip);
    return status;
}

void data_zip_close(data_zip *zip)
{
    base_free(zip);
}

void data_zip_limit(data_zip *zip, uint64_t begin, uint64_t end)
{
    if (begin < zip->at || end > zip->end || begin > end)
        return; /* the archive has changed: reading says so */
    zip->at = begin;
    zip->end = end;
    zip->limited = true;
}

/* ---- entries ------------------------------------------------------------------------ */

/* The fields of fixed places. False: no entry. */
static bool parse_fixed(zip_entry *out, const unsigned char at[ENTRY_BYTES])
{
    if (!is_sign(at, "\1\2"))
        return false;
    *out = (zip_entry){
        .made_by = get16(at + 4) >> 8,
        .flags = get16(at + 8),
        .method = get16(at + 10),
        .crc = get32(at + 16),
        .packed = get32(at + 20),
        .size = get32(at + 24),
        .name_bytes = get16(at + 28),
        .extra_bytes = get16(at + 30),
        .comment_bytes = get16(at + 32),
        .attributes = get32(at + 38),
        .local = get32(at + 42),
    };
    return true;
}

/* rest: the name, then the extra fields; of these zip64's has what is 2^32 - 1 above, in
 * this order (4.5.3). False: it is missing. */
static bool parse_rest(zip_entry *e, const unsigned char *rest)
{
    uint64_t *const wide[] = {&e->size, &e->packed, &e->local};
    const unsigned char *at = rest + e->name_bytes;
    size_t left = e->extra_bytes;
    bool good = true;

    e->name = (const char *)rest;
    while (left >= 4 && get16(at) != EXTRA_ZIP64) {
        const size_t skip = 4 + (size_t)get16(at + 2);
        at += skip <= left ? skip : 0;
        left = skip <= left ? left - skip : 0;
    }
    size_t has = left >= 4 ? get16(at + 2) : 0;
    if (has + 4 > left)
        has = 0;
    at += has > 0 ? 4 : 0;
    for (size_t i = 0; i < 3; i++) {
        if (*wide[i] != UINT32_MAX)
            continue;
        if (has < 8) {
            good = false;
            continue;
        }
        *wide[i] = get64(at);
        at += 8;
        has -= 8;
    }
    return good;
}

/* The entry at an offset of the file; room is its memory. */
static bool read_entry(zip_entry *out, unsigned char room[ENTRY_ROOM], int fd, uint64_t at)
{
    if (data_pread(fd, room, ENTRY_BYTES, at, NULL) != BASE_OK || !parse_fixed(out, room))
        return false;
    const size_t more = (size_t)out->name_bytes + out->extra_bytes;
    return more <= ENTRY_ROOM - ENTRY_BYTES &&
           data_pread(fd, room + ENTRY_BYTES, more, at + ENTRY_BYTES, NULL) == BASE_OK &&
           parse_rest(out, room + ENTRY_BYTES);
}

/* The member's name, without surprises, into out [DATA_NAME_MAX + 2]. Some programs of
 * Windows write '\' in place of '/'. */
static bool entry_name(char *out, const zip_entry *e)
{
    char name[DATA_NAME_MAX + 1];

    if (e->name_bytes == 0 || e->name_bytes > DATA_NAME_MAX ||
        memchr(e->name, 0, e->name_bytes))
        return false;
    memcpy(name, e->name, e->name_bytes);
    name[e->name_bytes] = '\0';
    if (e->made_by != MADE_BY_UNIX && e->made_by != MADE_BY_MACOS && !strchr(name, '/')) {
        for (char *c = name; *c; c++)
            *c = *c == '\\' ? '/' : *c;
    }
    return data_member_name(out, name);
}

bool data_zip_name(char *out, int fd, uint64_t entry)
{
    unsigned char room[ENTRY_ROOM];
    zip_entry e;

    return read_entry(&e, room, fd, entry) && entry_name(out, &e);
}

bool data_zip_place(uint64_t *at, uint64_t *bytes, int fd, uint64_t entry)
{
    unsigned char room[ENTRY_ROOM];
    zip_entry e;

    if (!read_entry(&e, room, fd, entry) || e.local > INT64_MAX / 2 ||
        e.packed > INT64_MAX / 2)
        return false;
    *at = e.local;
    *bytes = e.packed + LOCAL_BYTES + e.name_bytes + e.extra_bytes;
    return true;
}

/* ---- the walk ----------------------------------------------------------------------- */

/* bytes bytes of the directory from zip->at on; NULL: it ends before. */
static const unsigned char *look(data_zip *zip, size_t bytes)
{
    const uint64_t left = zip->end - zip->at;

    if (bytes > left)
        return NULL;
    if (zip->at < zip->window_at || zip->window_bytes < bytes ||
        zip->at - zip->window_at > zip->window_bytes - bytes) {
        zip->window_at = zip->at;
        zip->window_bytes = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        if (data_pread(zip->fd, zip->window, zip->window_bytes, zip->at, NULL) != BASE_OK) {
            zip->window_bytes = 0;
            return NULL;
        }
    }
    return zip->window + (zip->at - zip->window_at);
}

static const char *method_name(uint32_t method)
{
    static const struct {
        uint32_t number;
        const char *name;
    } names[] = {{9, "deflate64"}, {12, "bzip2"}, {14, "lzma"}, {93, "zstd"},
                 {95, "xz"},       {96, "jpeg"},  {99, "AES"}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].number == method)
            return names[i].name;
    }
    return "an unknown method";
}

/* Whether an image can be unpacked, and without filling the memory. */
static base_status check_image(const data_zip *zip, const zip_entry *e, base_error *err)
{
    char shown[256];

    base_quote(shown, sizeof shown, zip->name);
    if (e->flags & FLAG_ENCRYPTED)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s': '%s' is encrypted: unpack it with its password first",
                         zip->path, shown);
    if (e->method != METHOD_STORED && e->method != METHOD_DEFLATED)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s': '%s' is packed by method %u (%s), expected stored or "
                         "deflated: pack it again with zip",
                         zip->path, shown, (unsigned)e->method, method_name(e->method));
    if (e->method == METHOD_STORED && e->size != e->packed)
        return base_fail(err, BASE_FORMAT,
                         "'%s' is damaged: '%s' is stored in %ju bytes, but has %ju",
                         zip->path, shown, (uintmax_t)e->packed, (uintmax_t)e->size);
    if (e->size / RATIO_MOST > e->packed ||
        (e->size > BOMB_BYTES && e->size / BOMB_RATIO > e->packed))
        return base_fail(err, BASE_FORMAT,
                         "'%s': '%s' would unpack %ju bytes to %ju: no picture does, "
                         "refused (a zip bomb?)",
                         zip->path, shown, (uintmax_t)e->packed, (uintmax_t)e->size);
    return BASE_OK;
}

/* The member lies before the directory, and all of them together do: none in another. */
static base_status check_place(data_zip *zip, const zip_entry *e, base_error *err)
{
    char shown[256];

    if (e->local > zip->begin || zip->begin - e->local < LOCAL_BYTES ||
        e->packed > zip->begin - e->local - LOCAL_BYTES)
        return base_fail(err, BASE_FORMAT,
                         "'%s' is damaged: member %ju ('%s') ends beyond the archive "
                         "(%ju bytes from offset %ju)",
                         zip->path, (uintmax_t)zip->met,
                         base_quote(shown, sizeof shown, zip->name), (uintmax_t)e->packed,
                         (uintmax_t)e->local);
    zip->packed += e->packed + LOCAL_BYTES;
    if (zip->packed > zip->begin)
        return base_fail(err, BASE_FORMAT,
                         "'%s': its members lie in one another: refused (a zip bomb?)",
                         zip->path);
    return BASE_OK;
}

static base_status end_walk(const data_zip *zip, base_error *err)
{
    const uint64_t mask = zip->zip64 ? UINT64_MAX : 0xffff;

    if (!zip->limited && (zip->met & mask) != (zip->told & mask))
        return base_fail(err, BASE_FORMAT,
                         "'%s' is damaged: its directory has %ju members, its end says %ju",
                         zip->path, (uintmax_t)zip->met, (uintmax_t)zip->told);
    return BASE_OK;
}

static void fill_member(data_member *out, data_zip *zip, const zip_entry *e, bool named)
{
    const bool unix_mode = e->made_by == MADE_BY_UNIX || e->made_by == MADE_BY_MACOS;
    const uint32_t mode = unix_mode ? e->attributes >> 16 : 0;
    const bool slash = named && e->name[e->name_bytes - 1] == '/';

    *out = (data_member){
        .name = named ? zip->name : NULL,
        .header = zip->at,
        .zip = true,
        .folder = slash || S_ISDIR(mode) || (!unix_mode && (e->attributes & DOS_FOLDER)),
    };
    out->file = !out->folder && ((mode & S_IFMT) == 0 || S_ISREG(mode));
    out->size = out->file ? e->size : 0;
}

base_status data_zip_next(data_zip *zip, data_member *out, bool *done, base_error *err)
{
    zip_entry e;
    base_status status = BASE_OK;

    *done = zip->at == zip->end;
    if (*done)
        return end_walk(zip, err);
    const unsigned char *at = look(zip, ENTRY_BYTES);
    bool good = at && parse_fixed(&e, at);
    const size_t rest = good ? (size_t)e.name_bytes + e.extra_bytes : 0;
    at = good ? look(zip, ENTRY_BYTES + rest) : NULL;
    good = at && parse_rest(&e, at + ENTRY_BYTES);
    if (!good)
        return base_fail(err, BASE_FORMAT,
                         "'%s' is damaged: member %ju of its directory (offset %ju) is no "
                         "entry",
                         zip->path, (uintmax_t)zip->met, (uintmax_t)zip->at);
    const bool named =
        ENTRY_BYTES + rest <= ENTRY_ROOM && entry_name(zip->name, &e) && zip->name[0];
    if (!named)
        zip->name[0] = '\0';
    fill_member(out, zip, &e, named);
    status = check_place(zip, &e, err);
    if (status == BASE_OK && named && out->file && data_is_image_name(zip->name))
        status = check_image(zip, &e, err);
    zip->met++;
    zip->at += ENTRY_BYTES + rest + e.comment_bytes;
    out->after = zip->at;
    if (status == BASE_OK && zip->at > zip->end)
        status = base_fail(err, BASE_FORMAT, "'%s' is damaged: its directory is cut off",
                           zip->path);
    return status;
}

/* ---- reading ------------------------------------------------------------------------ */

/* packed bytes at offset at of fd to size bytes in to. */
static base_status unpack(unsigned char *to, uint32_t size, int fd, uint64_t at,
                          uint64_t packed, base_error *err)
{
    unsigned char piece[PIECE_BYTES];
    z_stream z = {.next_out = to, .avail_out = size};
    base_status status = BASE_OK;
    int got = Z_OK;

    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return base_fail(err, BASE_NO_MEMORY, "no memory to unpack it");
    while (packed > 0 && got == Z_OK && z.avail_in == 0 && status == BASE_OK) {
        const size_t bytes = packed < sizeof piece ? (size_t)packed : sizeof piece;
        status = data_pread(fd, piece, bytes, at, err);
        at += bytes;
        packed -= bytes;
        z.next_in = piece;
        z.avail_in = (uInt)bytes;
        if (status == BASE_OK)
            got = inflate(&z, Z_NO_FLUSH);
    }
    const bool whole = got == Z_STREAM_END && z.avail_in == 0 && packed == 0;
    const bool full = z.avail_out == 0;
    inflateEnd(&z);
    if (status == BASE_OK && got == Z_MEM_ERROR)
        return base_fail(err, BASE_NO_MEMORY, "no memory to unpack it");
    if (status == BASE_OK && (!whole || !full))
        return base_fail(err, BASE_FORMAT,
                         "corrupt: it does not unpack to the %u bytes that the zip's "
                         "directory says",
                         (unsigned)size);
    return status;
}

base_status data_zip_read(unsigned char *to, int fd, uint64_t entry, uint32_t size,
                          uint64_t bytes, base_error *err)
{
    unsigned char room[ENTRY_ROOM], local[LOCAL_BYTES];
    base_status status;
    zip_entry e;

    if (!read_entry(&e, room, fd, entry) || e.size != size)
        return base_fail(err, BASE_FORMAT, "corrupt: its entry in the zip's directory");
    if (e.local > bytes || bytes - e.local < LOCAL_BYTES)
        return base_fail(err, BASE_FORMAT, "truncated");
    status = data_pread(fd, local, sizeof local, e.local, err);
    if (status != BASE_OK)
        return status;
    if (!is_sign(local, "\3\4"))
        return base_fail(err, BASE_FORMAT,
                         "corrupt: no member at offset %ju, where the zip's directory says",
                         (uintmax_t)e.local);
    const uint64_t at = e.local + LOCAL_BYTES + get16(local + 26) + get16(local + 28);
    if (at > bytes || e.packed > bytes - at)
        return base_fail(err, BASE_FORMAT, "truncated");
    if (e.flags & FLAG_ENCRYPTED)
        return base_fail(err, BASE_UNSUPPORTED, "unsupported format encrypted zip member");
    if (e.method == METHOD_DEFLATED)
        status = unpack(to, size, fd, at, e.packed, err);
    else if (e.method == METHOD_STORED && e.packed == size)
        status = data_pread(fd, to, size, at, err);
    else
        return base_fail(err, BASE_UNSUPPORTED, "unsupported format zip method %u",
                         (unsigned)e.method);
    if (status == BASE_OK && crc32(0, to, size) != e.crc)
        status =
            base_fail(err, BASE_FORMAT, "corrupt: the CRC-32 of the zip member is wrong");
    return status;
}

bool data_zip_looks(const char *path)
{
    unsigned char first[4];
    struct stat info;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    if (data_ends_in(path, ".zip"))
        return true;
    if (data_ends_in(path, ".npz")) /* NumPy's, which is a zip, too */
        return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool looks = data_pread(fd, first, sizeof first, 0, NULL) == BASE_OK &&
                       (is_sign(first, "\3\4") || is_sign(first, "\5\6"));
    close(fd);
    return looks;
}
