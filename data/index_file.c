/* index_file.c - the file of a kept index (docs/data.md): written beside and renamed, and
 * never trusted to be whole: every count, reference and name is checked before it is used,
 * and the sum over all bytes. Free to change: the format, with VERSION. */
#include "data/data_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    VERSION = 6,
    ORDER_MARK = 0x01020304, /* the machine's byte order */
    FLAG_FLAT = 1,
    FLAG_SPLIT = 2, /* the split of the key chose something */
    FLAG_TRUTH = 4, /* an archive's own file of labels */
    TEXT_MOST = 1 << 28,
    RECORD_BYTES = 24
};

/* The beginning of a file; then text, witnesses, records, names, the sum. */
typedef struct header {
    char magic[8];
    uint32_t order, version;
    uint64_t
        text_bytes; /* key, notice, prefix, paths of witnesses, archives, folders, classes */
    uint64_t witnesses, archives, folders, classes;
    uint64_t samples, names_bytes, left_out[DATA_IGNORED_COUNT], formats[DATA_FORMATS];
    uint32_t labelling, names, as_found, flags; /* of FLAG_ */
    uint64_t truth_offset;
    uint32_t truth_size, truth_name;
} header;

typedef struct number_witness {
    uint64_t size;
    int64_t mtime, ctime;
    uint64_t inode;
} number_witness;

_Static_assert(sizeof(data_record) == RECORD_BYTES, "records are stored as they are");
_Static_assert(sizeof(header) % 8 == 0, "the sum is over words of 8 bytes");

/* ---- the sum ------------------------------------------------------------------------ */

uint64_t data_cache_sum(uint64_t sum, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    uint64_t word;

    for (size_t i = 0; i + 8 <= count; i += 8) {
        memcpy(&word, at + i, 8);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        sum ^= sum >> 29;
    }
    return sum;
}

static size_t padded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

/* ---- writing ------------------------------------------------------------------------ */

typedef struct sink {
    FILE *file;
    uint64_t sum;
    bool good;
} sink;

/* bytes and zeros up to a multiple of 8. */
static void put(sink *s, const void *bytes, size_t count)
{
    unsigned char rest[8] = {0};
    const size_t whole = count / 8 * 8;

    s->sum = data_cache_sum(s->sum, bytes, whole);
    s->good = s->good && fwrite(bytes, 1, whole, s->file) == whole;
    if (whole == count)
        return;
    memcpy(rest, (const unsigned char *)bytes + whole, count - whole);
    s->sum = data_cache_sum(s->sum, rest, sizeof rest);
    s->good = s->good && fwrite(rest, 1, sizeof rest, s->file) == sizeof rest;
}

typedef struct text {
    char *at;
    size_t room, bytes;
} text;

static bool text_add(text *t, const char *string)
{
    const size_t bytes = strlen(string) + 1;

    if (!data_grow(&t->at, &t->room, t->bytes + bytes, 1))
        return false;
    memcpy(t->at + t->bytes, string, bytes);
    t->bytes += bytes;
    return true;
}

static bool text_add_path(text *t, const char *path)
{
    char *whole = data_absolute_path(path);
    const bool good = whole && text_add(t, whole);

    base_free(whole);
    return good;
}

/* All strings, in the order of header.text_bytes. */
static bool collect(text *t, const data_source *source, const char *key)
{
    bool good = text_add(t, key) && text_add(t, source->notice) &&
                text_add(t, source->prefix ? source->prefix : "");

    for (size_t i = 0; i < source->witness_count && good; i++)
        good = text_add_path(t, source->witness[i].path);
    for (size_t i = 0; i < data_files_count(source->files) && good; i++)
        good = text_add_path(t, data_files_path(source->files, i));
    for (size_t i = 0; i < source->folders.count && good; i++)
        good = text_add(t, source->folders.name[i]);
    for (size_t i = 0; i < source->table.count && good; i++)
        good = text_add(t, source->table.name[i]);
    return good;
}

static size_t names_bytes(const data_index *index)
{
    return index->block_count == 0
               ? 0
               : (index->block_count - 1) * DATA_BLOCK_BYTES + index->block_used;
}

static void put_all(sink *s, const data_source *source, const text *t)
{
    const data_index *index = &source->index;
    const size_t names = source->names ? names_bytes(index) : 0;
    header h = {
        .magic = "vmoeidx",
        .order = ORDER_MARK,
        .version = VERSION,
        .text_bytes = t->bytes,
        .witnesses = source->witness_count,
        .archives = data_files_count(source->files),
        .folders = source->folders.count,
        .classes = source->table.count,
        .samples = index->count,
        .names_bytes = names,
        .labelling = source->labelling,
        .names = source->names,
        .as_found = source->as_found,
        .flags = (source->flat ? FLAG_FLAT : 0) | (source->split_used ? FLAG_SPLIT : 0) |
                 (source->has_truth ? FLAG_TRUTH : 0),
        .truth_offset = source->truth.offset,
        .truth_size = source->truth.size,
        .truth_name = source->truth.name,
    };

    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        h.left_out[i] = source->left_out.by[i];
    for (int i = 0; i < DATA_FORMATS; i++)
        h.formats[i] = source->left_out.format[i];
    put(s, &h, sizeof h);
    put(s, t->at, t->bytes);
    for (size_t i = 0; i < source->witness_count; i++) {
        const data_witness *w = &source->witness[i];
        const number_witness n = {w->size, w->mtime, w->ctime, w->inode};
        put(s, &n, sizeof n);
    }
    for (size_t i = 0; i < index->count; i += DATA_CHUNK_RECORDS) {
        const size_t left = index->count - i;
        put(s, data_index_at(index, i),
            (left < DATA_CHUNK_RECORDS ? left : DATA_CHUNK_RECORDS) * RECORD_BYTES);
    }
    for (size_t i = 0; i * DATA_BLOCK_BYTES < names; i++) {
        const size_t left = names - i * DATA_BLOCK_BYTES;
        put(s, index->block[i], left < DATA_BLOCK_BYTES ? left : DATA_BLOCK_BYTES);
    }
    const uint64_t sum = s->sum;
    s->good = s->good && fwrite(&sum, sizeof sum, 1, s->file) == 1;
}

/* Under a name of its own, so that two runs that begin together do not mix, then renamed.
 * Not flushed to the disk: what a power cut leaves has a wrong sum. */
base_status data_cache_write(const data_source *source, const char *file, const char *key,
                             base_error *err)
{
    base_status status = BASE_OK;
    text t = {0};
    char *part = base_text("%s.XXXXXX", file);
    const int fd = part ? mkostemp(part, O_CLOEXEC) : -1;
    sink s = {.file = fd < 0 ? NULL : fdopen(fd, "wb"), .good = true};

    if (s.file && collect(&t, source, key))
        put_all(&s, source, &t);
    else
        s.good = false;
    if (s.file && fclose(s.file) != 0)
        s.good = false;
    else if (!s.file && fd >= 0)
        close(fd);
    if (!s.good || rename(part, file) != 0) {
        status = base_fail(err, BASE_IO, "cannot write '%s'", file);
        if (fd >= 0)
            unlink(part);
    }
    base_free(t.at);
    base_free(part);
    return status;
}

/* ---- reading ------------------------------------------------------------------------ */

typedef struct tap {
    int fd;
    uint64_t at, sum;
    const char *file;
} tap;

static base_status damaged(const tap *t, base_error *err, const char *what)
{
    return base_fail(err, BASE_FORMAT, "'%s' is damaged: %s", t->file, what);
}

/* count bytes, a multiple of 8. */
static base_status take(tap *t, void *to, size_t count, base_error *err)
{
    if (data_pread(t->fd, to, count, t->at, NULL) != BASE_OK)
        return damaged(t, err, "it ends too early");
    t->at += count;
    t->sum = data_cache_sum(t->sum, to, count);
    return BASE_OK;
}

/* The next string of the text, NULL: there is none. */
static const char *next_string(const char **at, const char *end)
{
    const char *string = *at, *zero = string < end ? memchr(string, 0, end - string) : NULL;

    *at = zero ? zero + 1 : end;
    return zero ? string : NULL;
}

/* The header fits itself and the file's size: nothing is allocated before. */
static base_status check_header(const tap *t, const header *h, uint64_t file_bytes,
                                base_error *err)
{
    if (memcmp(h->magic, "vmoeidx", 8) != 0 || h->order != ORDER_MARK)
        return damaged(t, err, "it is no index");
    if (h->version != VERSION)
        return base_fail(err, BASE_FORMAT, "'%s' was written by another version", t->file);
    if (h->text_bytes > TEXT_MOST || h->witnesses > TEXT_MOST || h->archives > TEXT_MOST ||
        h->folders > DATA_CLASSES_MAX || h->classes > DATA_CLASSES_MAX ||
        h->samples > UINT32_MAX || h->names_bytes > UINT32_MAX)
        return damaged(t, err, "its counts are out of range");
    for (int i = 0; i < DATA_IGNORED_COUNT + DATA_FORMATS; i++) {
        const uint64_t count =
            i < DATA_IGNORED_COUNT ? h->left_out[i] : h->formats[i - DATA_IGNORED_COUNT];
        if (count > UINT32_MAX)
            return damaged(t, err, "its counts are out of range");
    }
    const uint64_t want =
        sizeof *h + padded((size_t)h->text_bytes) + h->witnesses * sizeof(number_witness) +
        h->samples * RECORD_BYTES + padded((size_t)h->names_bytes) + sizeof(uint64_t);
    if (want != file_bytes)
        return damaged(t, err, "its size is not what its beginning tells");
    return BASE_OK;
}

/* Names at the front of a table that need not be safe, since no relative name shows
 * them. */
enum { ROOTS = 2 };

/* Names as a scan makes them: not empty, no part hidden or climbing. */
static bool is_safe(const char *name, bool slashes)
{
    if (!*name || *name == '/')
        return false;
    for (const char *at = name;;) {
        const char *slash = strchr(at, '/');
        if (*at == '.' || *at == '\0' || (slash && !slashes))
            return false;
        if (!slash)
            return true;
        at = slash + 1;
    }
}

static base_status read_table(data_class_table *table, const char **at, const char *end,
                              uint64_t count, bool classes, const char *const *roots,
                              const tap *t, base_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        const char *name = next_string(at, end);
        uint32_t number = 0;
        const bool root = name && i < ROOTS && roots[i] && strcmp(name, roots[i]) == 0;
        if (!name || strlen(name) > DATA_NAME_MAX || !(root || is_safe(name, !classes)))
            return damaged(t, err, "it has a name that no scan makes");
        const base_status status = data_class_add(&number, table, name, err);
        if (status != BASE_OK)
            return status;
        if (number != i)
            return damaged(t, err, "it has a name twice");
    }
    return BASE_OK;
}

/* Witnesses' paths, archives (joined here unless the layout has already), tables. */
static base_status read_text(data_source *out, tap *t, const header *h, const char *key,
                             base_error *err)
{
    const size_t bytes = padded((size_t)h->text_bytes);
    char *all = base_alloc(bytes + 1, 1);
    base_status status = all ? take(t, all, bytes, err)
                             : base_fail(err, BASE_NO_MEMORY, "no memory for an index");
    const char *at = all, *end = all ? all + h->text_bytes : NULL, *string;

    if (status != BASE_OK)
        goto done;
    string = next_string(&at, end);
    if (!string || strcmp(string, key) != 0) {
        status = damaged(t, err, "it is of other data");
        goto done;
    }
    string = next_string(&at, end);
    if (string)
        snprintf(out->notice, sizeof out->notice, "%s", string);
    string = next_string(&at, end);
    if (string && *string) {
        if (strlen(string) > DATA_NAME_MAX || !is_safe(string, true) ||
            (out->layout != &data_layout_tar && out->layout != &data_layout_zip))
            status = damaged(t, err, "it has a name that no scan makes");
        else if (!(out->prefix = base_text("%s", string)))
            status = base_fail(err, BASE_NO_MEMORY, "no memory for an index");
    }
    for (uint64_t i = 0; i < h->witnesses && status == BASE_OK; i++) {
        const struct stat none = {0};
        string = next_string(&at, end);
        status = string ? data_source_witness(out, string, &none, err)
                        : damaged(t, err, "its text ends too early");
    }
    for (uint64_t i = 0; i < h->archives && status == BASE_OK; i++) {
        string = next_string(&at, end);
        if (!string)
            status = damaged(t, err, "its text ends too early");
        else if (!out->files)
            status = data_files_create(&out->files, err);
        uint32_t number;
        if (status == BASE_OK)
            status = data_files_add(&number, out->files, string, err);
        if (status == BASE_OK)
            out->file_bytes += data_files_bytes(out->files, number);
    }
    const bool list = out->layout == &data_layout_list;
    const bool classes = h->labelling == DATA_LABELS_CLASSES;
    const char *const roots[ROOTS] = {list || !classes ? "." : NULL, list ? "/" : NULL};
    const char *const flat[ROOTS] = {h->flags & FLAG_FLAT ? "." : NULL, NULL};
    if (status == BASE_OK)
        status = read_table(&out->folders, &at, end, h->folders, false, roots, t, err);
    if (status == BASE_OK)
        status = read_table(&out->table, &at, end, h->classes, true, flat, t, err);
done:
    base_free(all);
    return status;
}

static base_status read_index(data_source *out, tap *t, const header *h, base_error *err)
{
    data_index *index = &out->index;
    base_status status = data_index_reserve(index, (size_t)h->samples, err);

    for (size_t i = 0; i < h->samples && status == BASE_OK; i += DATA_CHUNK_RECORDS) {
        const size_t left = (size_t)h->samples - i;
        status = take(
            t, data_index_at(index, i),
            (left < DATA_CHUNK_RECORDS ? left : DATA_CHUNK_RECORDS) * RECORD_BYTES, err);
    }
    if (status == BASE_OK)
        index->count = (size_t)h->samples;
    for (uint64_t done = 0; done < h->names_bytes && status == BASE_OK;) {
        const uint64_t left = h->names_bytes - done;
        const size_t bytes = left < DATA_BLOCK_BYTES ? (size_t)left : DATA_BLOCK_BYTES;
        char *block = base_alloc(DATA_BLOCK_BYTES, 1);
        if (!block || !data_grow(&index->block, &index->block_room, index->block_count + 1,
                                 sizeof block)) {
            base_free(block);
            return base_fail(err, BASE_NO_MEMORY, "no memory for an index");
        }
        index->block[index->block_count++] = block;
        index->block_used = bytes;
        status = take(t, block, padded(bytes), err);
        if (status == BASE_OK && block[bytes - 1] != '\0')
            status = damaged(t, err, "a name has no end");
        done += bytes;
    }
    return status;
}

/* Which labellings a layout's scan leaves, and what its containers and names are. */
static bool shape_fits(const data_source *out, const header *h)
{
    const data_layout *l = out->layout;
    const bool classes = h->labelling == DATA_LABELS_CLASSES;
    const bool numbers = h->labelling == DATA_LABELS_NUMBERS;
    const bool truth = h->labelling == DATA_LABELS_TRUTH;

    const bool flat = (h->flags & FLAG_FLAT) != 0;
    const bool shards = l == &data_layout_wds || l == &data_layout_tfrecord;
    if (h->labelling > DATA_LABELS_NONE || h->names > 1 || h->as_found > 1 ||
        (h->as_found == 1) != (l == &data_layout_list || (shards && classes)) ||
        h->flags > (FLAG_FLAT | FLAG_SPLIT | FLAG_TRUTH))
        return false;
    if (h->flags & FLAG_TRUTH && (!flat || h->archives != 1))
        return false;
    if (l == &data_layout_tar || l == &data_layout_zip)
        return (flat ? truth : classes) && !h->names && h->folders == 0 && h->archives == 1;
    if (l == &data_layout_ilsvrc)
        return !numbers && h->names == !classes && h->folders == 0 && h->archives == 1;
    if (shards)
        return !truth && !h->names && h->folders == 0;
    if (l == &data_layout_list)
        return !truth && h->names && h->folders == 2;
    if (l == &data_layout_imagenet_c && h->archives > 0)
        return classes && !h->names && h->folders == 0 && h->archives == 1;
    if (l == &data_layout_kaggle)
        return !numbers && h->names && h->archives == 0;
    if (l == &data_layout_images)
        return truth && h->names && h->archives == 0 && h->folders == 1;
    if (l == &data_layout_folder && flat)
        return truth && h->names && h->archives == 0 && h->folders == 1;
    return classes && h->names && h->archives == 0;
}

/* Every reference of every record. */
static base_status check_records(const data_source *out, const tap *t, base_error *err)
{
    const data_index *index = &out->index;
    const size_t containers = out->folders.count + data_files_count(out->files);
    const size_t names = names_bytes(index);
    const bool paths = out->layout == &data_layout_list;

    for (size_t i = 0; i < index->count; i++) {
        const data_record *r = data_index_at(index, i);
        const bool label = out->labelling == DATA_LABELS_CLASSES
                               ? r->label >= 0 && (size_t)r->label < out->table.count
                               : r->label < DATA_CLASSES_MAX;
        const bool zip = out->layout == &data_layout_zip && r->name != DATA_NAME_ZIP;
        if (r->container >= containers || !label || (out->names && r->name >= names) || zip)
            return damaged(t, err, "a sample refers to nothing");
        if (!out->names)
            continue;
        const char *name = data_index_name(index, r->name);
        if (paths ? r->container >= 2 && !strstr(name, ".tar!") : !is_safe(name, true))
            return damaged(t, err, "it has a name that no scan makes");
    }
    return BASE_OK;
}

static base_status read_all(data_source *out, tap *t, const char *key, base_error *err)
{
    header h = {0};
    struct stat info;
    number_witness n;
    uint64_t sum = 0;

    if (fstat(t->fd, &info) != 0)
        return base_fail_errno(err, "cannot read '%s'", t->file);
    base_status status = take(t, &h, sizeof h, err);
    if (status == BASE_OK)
        status = check_header(t, &h, (uint64_t)info.st_size, err);
    if (status == BASE_OK && !shape_fits(out, &h))
        status = damaged(t, err, "it is not of this layout");
    if (status == BASE_OK)
        status = read_text(out, t, &h, key, err);
    for (size_t i = 0; i < h.witnesses && status == BASE_OK; i++) {
        status = take(t, &n, sizeof n, err);
        out->witness[i].size = n.size;
        out->witness[i].mtime = n.mtime;
        out->witness[i].ctime = n.ctime;
        out->witness[i].inode = n.inode;
    }
    if (status == BASE_OK)
        status = read_index(out, t, &h, err);
    if (status == BASE_OK &&
        (data_pread(t->fd, (unsigned char *)&sum, sizeof sum, t->at, NULL) != BASE_OK ||
         sum != t->sum))
        status = damaged(t, err, "its sum is wrong");
    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        out->left_out.by[i] = (size_t)h.left_out[i];
    for (int i = 0; i < DATA_FORMATS; i++)
        out->left_out.format[i] = (size_t)h.formats[i];
    out->labelling = (data_labelling)h.labelling;
    out->names = h.names == 1;
    out->as_found = h.as_found == 1;
    out->flat = (h.flags & FLAG_FLAT) != 0;
    out->split_used = (h.flags & FLAG_SPLIT) != 0;
    out->has_truth = (h.flags & FLAG_TRUTH) != 0;
    out->truth =
        (data_record){.offset = h.truth_offset, .size = h.truth_size, .name = h.truth_name};
    return status == BASE_OK ? check_records(out, t, err) : status;
}

base_status data_cache_read(data_source *out, const char *file, const char *key,
                            base_error *err)
{
    tap t = {.fd = -1, .file = file};
    base_status status = base_file_open(&t.fd, NULL, file, err);

    if (status != BASE_OK)
        return status;
    posix_fadvise(t.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    status = read_all(out, &t, key, err);
    close(t.fd);
    return status;
}
