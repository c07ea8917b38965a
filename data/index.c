/* index.c - the compact list of samples: 24 bytes each and their names (data.md 2).
 * Records and names lie in pieces that never move, so growing neither copies nor doubles
 * memory. Free to change: the sizes of the pieces, the sort. Relied on elsewhere: the
 * canonical order (label, path bytewise), the same for a folder and a tar of the same
 * images. */
#include "data/data_internal.h"
#include "data/sources/labels_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool data_grow(void *at, size_t *room, size_t want, size_t each)
{
    void *old, *wider;
    size_t more = *room < 16 ? 16 : *room;

    if (want <= *room)
        return true;
    while (more < want) {
        if (!base_mul_size(&more, more, 2))
            return false;
    }
    wider = base_alloc(more, each);
    if (!wider)
        return false;
    memcpy(&old, at, sizeof old);
    if (old)
        memcpy(wider, old, *room * each);
    base_free(old);
    memcpy(at, &wider, sizeof wider);
    *room = more;
    return true;
}

/* The name with its final 0 goes into the last block, or a new one. */
static bool add_name(data_index *index, uint32_t *out, const char *name)
{
    const size_t bytes = strlen(name) + 1;

    if (index->block_count == 0 || index->block_used + bytes > DATA_BLOCK_BYTES) {
        /* A reference has 32 bits: 4096 blocks. */
        if (index->block_count == (size_t)(UINT32_MAX / DATA_BLOCK_BYTES) + 1 ||
            !data_grow(&index->block, &index->block_room, index->block_count + 1,
                       sizeof *index->block))
            return false;
        index->block[index->block_count] = base_alloc(DATA_BLOCK_BYTES, 1);
        if (!index->block[index->block_count])
            return false;
        index->block_count++;
        index->block_used = 0;
    }
    const size_t last = index->block_count - 1;
    memcpy(index->block[last] + index->block_used, name, bytes);
    *out = (uint32_t)(last * DATA_BLOCK_BYTES + index->block_used);
    index->block_used += bytes;
    return true;
}

base_status data_index_add(data_index *index, const data_record *record, const char *name,
                           base_error *err)
{
    const size_t chunk = index->count / DATA_CHUNK_RECORDS;
    data_record r = *record;

    if (index->count == UINT32_MAX)
        return base_fail(err, BASE_UNSUPPORTED, "more than %u samples",
                         (unsigned)UINT32_MAX);
    if (index->count % DATA_CHUNK_RECORDS == 0) {
        if (!data_grow(&index->chunk, &index->chunk_room, chunk + 1, sizeof(data_record *)))
            goto no_memory;
        if (!index->chunk[chunk])
            index->chunk[chunk] = base_alloc(DATA_CHUNK_RECORDS, sizeof **index->chunk);
        if (!index->chunk[chunk])
            goto no_memory;
    }
    if (name && !add_name(index, &r.name, name))
        goto no_memory;
    *data_index_at(index, index->count++) = r;
    return BASE_OK;
no_memory:
    return base_fail(err, BASE_NO_MEMORY, "no memory for an index of %zu samples",
                     index->count);
}

base_status data_index_reserve(data_index *index, size_t count, base_error *err)
{
    const size_t chunks = (count + DATA_CHUNK_RECORDS - 1) / DATA_CHUNK_RECORDS;

    if (!data_grow(&index->chunk, &index->chunk_room, chunks, sizeof(data_record *)))
        goto no_memory;
    for (size_t i = 0; i < chunks; i++) {
        if (!index->chunk[i])
            index->chunk[i] = base_alloc(DATA_CHUNK_RECORDS, sizeof **index->chunk);
        if (!index->chunk[i])
            goto no_memory;
    }
    return BASE_OK;
no_memory:
    return base_fail(err, BASE_NO_MEMORY, "no memory for an index of %zu samples", count);
}

void data_index_drop_names(data_index *index)
{
    for (size_t i = 0; i < index->block_count; i++)
        base_free(index->block[i]);
    base_free(index->block);
    index->block = NULL;
    index->block_room = index->block_count = index->block_used = 0;
}

void data_index_destroy(data_index *index)
{
    data_index_drop_names(index);
    for (size_t i = 0; i < index->chunk_room; i++)
        base_free(index->chunk[i]);
    base_free(index->chunk);
    *index = (data_index){0};
}

/* ---- class names ------------------------------------------------------------------------
 */

base_status data_class_add(uint32_t *out, data_class_table *table, const char *name,
                           base_error *err)
{
    size_t low = 0, high = table->count;

    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = strcmp(table->name[table->sorted[middle]], name);
        if (order == 0) {
            *out = table->sorted[middle];
            return BASE_OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (table->count == DATA_CLASSES_MAX)
        return base_fail(err, BASE_UNSUPPORTED, "more than %d classes", DATA_CLASSES_MAX);
    char *copy = base_text("%s", name);
    if (!copy ||
        !data_grow(&table->name, &table->name_room, table->count + 1,
                   sizeof *table->name) ||
        !data_grow(&table->sorted, &table->sorted_room, table->count + 1,
                   sizeof *table->sorted)) {
        base_free(copy);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names",
                         table->count + 1);
    }
    memmove(table->sorted + low + 1, table->sorted + low,
            (table->count - low) * sizeof *table->sorted);
    table->sorted[low] = (uint32_t)table->count;
    table->name[table->count] = copy;
    *out = (uint32_t)table->count++;
    return BASE_OK;
}

void data_class_table_destroy(data_class_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        base_free(table->name[i]);
    base_free(table->name);
    base_free(table->sorted);
    *table = (data_class_table){0};
}

/* ---- names of files --------------------------------------------------------------------
 */

/* Pictures and videos that are not read; the order is that of data_left_out.format and of
 * kept indices. */
static const char *const formats[DATA_FORMATS] = {
    "webp", "gif", "tif", "tiff", "bmp", "heic", "heif", "avif", "jp2",
    "jxl",  "ppm", "pgm", "pbm",  "pnm", "svg",  "ico",  "psd",  "tga",
    "exr",  "dng", "cr2", "nef",  "mp4", "avi",  "webm",
};

/* Whether word is among count words, in any case. */
static bool is_among(const char *word, const char *const *words, size_t count, size_t *at)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(word, words[i]) == 0) {
            if (at)
                *at = i;
            return true;
        }
    }
    return false;
}

bool data_is_image_name(const char *name)
{
    static const char *const read[] = {".jpg", ".jpeg", ".png", ".jpe", ".jfif"};
    const char *dot = strrchr(name, '.');

    return dot && is_among(dot, read, sizeof read / sizeof *read, NULL);
}

void data_left_out_name(data_left_out *left_out, const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t at = 0;

    if (dot && is_among(dot + 1, formats, DATA_FORMATS, &at)) {
        left_out->by[DATA_IGNORED_FORMAT]++;
        left_out->format[at]++;
    } else {
        left_out->by[DATA_IGNORED_OTHER]++;
    }
}

bool data_is_system_name(const char *name, size_t bytes)
{
    static const char *const names[] = {
        "lost+found",   "__MACOSX", "@eaDir",
        "$RECYCLE.BIN", "#recycle", "System Volume Information",
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == bytes && strncasecmp(names[i], name, bytes) == 0)
            return true;
    }
    return false;
}

const char *data_source_format(size_t *count, const data_source *source, size_t i)
{
    *count = i < DATA_FORMATS ? source->left_out.format[i] : 0;
    return i < DATA_FORMATS ? formats[i] : NULL;
}

int32_t data_class_number(const char *name)
{
    int32_t value = 0;

    if (!*name)
        return -1;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return -1;
        value = value * 10 + (*name - '0');
        if (value >= DATA_CLASSES_MAX)
            return -1;
    }
    return value;
}

int32_t data_label_number(const char *text)
{
    char whole[16];
    double real = 0;
    const size_t digits = strspn(text, "0123456789");
    const bool point = digits > 0 && digits < sizeof whole && text[digits] == '.';
    const size_t zeros = point ? strspn(text + digits + 1, "0") : 0;

    if (point && !text[digits + 1 + zeros]) { /* "3.0", as tables write it */
        snprintf(whole, sizeof whole, "%.*s", (int)digits, text);
        text = whole;
    }
    const int32_t number = data_class_number(text);
    return number >= 0 ? number : base_parse_real(&real, text) ? -2 : -1;
}

/* ---- reading ----------------------------------------------------------------------------
 */

base_status data_pread(int fd, unsigned char *to, size_t bytes, uint64_t offset,
                       base_error *err)
{
    size_t used = 0;
    int tries = 0;

    while (used < bytes) {
        const ssize_t got = pread(fd, to + used, bytes - used, (off_t)(offset + used));
        if (got > 0)
            used += (size_t)got;
        else if (got == 0)
            return base_fail(err, BASE_FORMAT, "truncated");
        else if (errno != EINTR && !(errno == EIO && ++tries < 3))
            return base_fail_errno(err, "read error");
    }
    return BASE_OK;
}
