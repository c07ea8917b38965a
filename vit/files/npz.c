/* npz.c - NumPy's .npz: a ZIP archive (PKWARE APPNOTE 6.3) of .npy members (NumPy's format
 * 1.0 to 3.0), stored or deflated, read by its central directory, because NumPy leaves
 * sizes in the local headers to a ZIP64 field. Read with suspicion: nothing is decompressed
 * beyond what the member's own header asks for. */
#include <string.h>

#include <zlib.h>

#include "vit/files/raw_internal.h"

enum { MEMBERS_MOST = 1 << 16, HEADER_MOST = 1 << 16, NAME_MOST = 512 };

typedef struct archive {
    const char *path;
    const unsigned char *at;
    size_t size;
    base_error *err;
} archive;

/* One member as the central directory has it. */
typedef struct member {
    char name[NAME_MOST];
    unsigned method;
    uint64_t packed, plain, place;
    const unsigned char *data; /* packed bytes */
} member;

static uint64_t little(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static base_status odd(const archive *a, const char *name, const char *what)
{
    char quoted[96];

    return base_fail(a->err, BASE_FORMAT, "'%s'%s%s%s %s", a->path, name ? " member '" : "",
                     name ? base_quote(quoted, sizeof quoted, name) : "", name ? "'" : "",
                     what);
}

/* The sizes that a ZIP64 extra field holds in place of 0xffffffff, in its order. */
static bool read_zip64(member *m, const unsigned char *extra, size_t size)
{
    uint64_t *const fields[] = {&m->plain, &m->packed, &m->place};

    for (size_t at = 0; at + 4 <= size;) {
        const size_t id = (size_t)little(extra + at, 2),
                     length = (size_t)little(extra + at + 2, 2);

        at += 4;
        if (length > size - at)
            return false;
        for (size_t i = 0, used = 0; id == 1 && i < 3; i++) {
            if (*fields[i] != 0xffffffffu)
                continue;
            if (used + 8 > length)
                return false;
            *fields[i] = little(extra + at + used, 8);
            used += 8;
        }
        at += length;
    }
    return m->plain != 0xffffffffu && m->packed != 0xffffffffu && m->place != 0xffffffffu;
}

/* The entry of the central directory at *at, which moves on. */
static base_status read_member(member *m, const archive *a, size_t *at)
{
    const unsigned char *p = a->at + *at;

    *m = (member){.method = 0};
    if (a->size - *at < 46 || memcmp(p, "PK\1\2", 4) != 0)
        return odd(a, NULL, "has a central directory that ends early");
    const size_t name = (size_t)little(p + 28, 2), extra = (size_t)little(p + 30, 2);
    const size_t comment = (size_t)little(p + 32, 2);
    if (name + extra + comment > a->size - *at - 46 || name >= NAME_MOST)
        return odd(a, NULL, "has a central directory that ends early");
    memcpy(m->name, p + 46, name);
    m->method = (unsigned)little(p + 10, 2);
    m->packed = little(p + 20, 4);
    m->plain = little(p + 24, 4);
    m->place = little(p + 42, 4);
    if (little(p + 8, 2) & 1)
        return odd(a, m->name, "is encrypted");
    const bool wide =
        m->packed == 0xffffffffu || m->plain == 0xffffffffu || m->place == 0xffffffffu;
    if (wide && !read_zip64(m, p + 46 + name, extra))
        return odd(a, m->name, "has sizes that its ZIP64 field does not tell");
    *at += 46 + name + extra + comment;
    if (m->place > a->size || a->size - m->place < 30 ||
        memcmp(a->at + m->place, "PK\3\4", 4) != 0)
        return odd(a, m->name, "lies outside of the file");
    const unsigned char *local = a->at + m->place;
    const size_t skip = 30 + (size_t)little(local + 26, 2) + (size_t)little(local + 28, 2);
    if (skip > a->size - m->place || m->packed > a->size - m->place - skip)
        return odd(a, m->name, "lies outside of the file");
    m->data = local + skip;
    return BASE_OK;
}

/* Where the central directory begins and how many members it has. */
static base_status find_directory(size_t *at, size_t *count, const archive *a)
{
    enum { END = 22, COMMENT = 65535, END64 = 56, LOCATOR = 20 };
    size_t end = a->size;

    for (size_t back = END; back <= a->size && back <= END + COMMENT; back++)
        if (memcmp(a->at + a->size - back, "PK\5\6", 4) == 0) {
            end = a->size - back;
            break;
        }
    if (end == a->size)
        return odd(a, NULL, "is no ZIP archive, or cut off: its directory is missing");
    const unsigned char *p = a->at + end;
    uint64_t members = little(p + 10, 2), place = little(p + 16, 4);
    if (end >= LOCATOR && memcmp(p - LOCATOR, "PK\6\7", 4) == 0) {
        const uint64_t wide = little(p - LOCATOR + 8, 8);

        if (wide > a->size || a->size - wide < END64 ||
            memcmp(a->at + wide, "PK\6\6", 4) != 0)
            return odd(a, NULL, "has a ZIP64 directory that is not there");
        members = little(a->at + wide + 32, 8);
        place = little(a->at + wide + 48, 8);
    }
    if (place > a->size || members > MEMBERS_MOST || members * 46 > a->size - place)
        return odd(a, NULL, "has a central directory outside of the file");
    *at = (size_t)place;
    *count = (size_t)members;
    return BASE_OK;
}

/* The member's first `bytes` plain bytes into out. False: it has fewer, or is damaged. */
static bool unpack(unsigned char *out, size_t bytes, const member *m)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)m->data};
    size_t in = 0, made = 0;
    int state = Z_OK;

    if (bytes > m->plain)
        return false;
    if (m->method == 0) {
        if (bytes > m->packed)
            return false;
        memcpy(out, m->data, bytes);
        return true;
    }
    if (m->method != 8 || inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return false;
    while (made < bytes && state == Z_OK) {
        const size_t give = m->packed - in < 1u << 30 ? m->packed - in : 1u << 30;
        const size_t room = bytes - made < 1u << 30 ? bytes - made : 1u << 30;

        z.next_in = (unsigned char *)(uintptr_t)m->data + in;
        z.avail_in = (unsigned)give;
        z.next_out = out + made;
        z.avail_out = (unsigned)room;
        state = inflate(&z, Z_NO_FLUSH);
        in += give - z.avail_in;
        made += room - z.avail_out;
        if (give == z.avail_in && room == z.avail_out)
            break;
    }
    inflateEnd(&z);
    return made == bytes;
}

/* What follows 'key': in a .npy header; NULL: it is not there. */
static const char *header_value(const char *header, const char *key)
{
    const char *at = strstr(header, key);

    at = at ? strchr(at, ':') : NULL;
    return at ? at + 1 + strspn(at + 1, " ") : NULL;
}

static bool read_shape(vit_raw *raw, const char *at)
{
    raw->count = 1;
    if (!at || *at++ != '(')
        return false;
    for (at += strspn(at, " "); *at != ')'; at += strspn(at, " ,")) {
        const size_t digits = strspn(at, "0123456789");
        char text[24];
        int64_t side = 0;

        if (digits == 0 || digits >= sizeof text || raw->rank == VIT_RAW_RANK)
            return false;
        memcpy(text, at, digits);
        text[digits] = '\0';
        if (!base_parse_int(&side, text) ||
            !base_mul_size(&raw->count, raw->count, (size_t)side))
            return false;
        raw->shape[raw->rank++] = (size_t)side;
        at += digits;
    }
    return raw->count <= SIZE_MAX / 16;
}

/* The .npy header of a member; *skip: its bytes. */
static base_status read_header(vit_raw *raw, size_t *skip, const archive *a,
                               const member *m)
{
    static const struct {
        const char *descr, *type;
    } types[] = {{"'<f4'", "float32"},  {"'<f2'", "float16"},  {"'<f8'", "float64"},
                 {"'<V2'", "bfloat16"}, {"'|V2'", "bfloat16"}, {"bfloat16", "bfloat16"}};
    unsigned char first[12];
    char *header = NULL;
    base_status status = BASE_OK;

    if (!unpack(first, m->plain < 12 ? 10 : 12, m) || memcmp(first, "\x93NUMPY", 6) != 0 ||
        first[6] < 1 || first[6] > 3)
        return odd(a, m->name, "is no .npy array, or damaged");
    const size_t before = first[6] == 1 ? 10 : 12;
    const size_t length = (size_t)little(first + 8, before - 8);
    if (length > HEADER_MOST)
        return odd(a, m->name, "has a header that is too long");
    *skip = before + length;
    header = base_alloc(*skip + 1, 1);
    if (!header)
        return base_fail(a->err, BASE_NO_MEMORY, "no memory to read '%s'", a->path);
    if (!unpack((unsigned char *)header, *skip, m)) {
        status = odd(a, m->name, "is cut off or damaged");
    } else {
        const char *dictionary = header + before;
        const char *descr = header_value(dictionary, "'descr'");
        const char *order = header_value(dictionary, "'fortran_order'");

        snprintf(raw->type, sizeof raw->type, "other");
        for (size_t i = 0; descr && i < sizeof types / sizeof types[0]; i++)
            if (strncmp(descr, types[i].descr, strlen(types[i].descr)) == 0)
                snprintf(raw->type, sizeof raw->type, "%s", types[i].type);
        if (!descr || !order || !read_shape(raw, header_value(dictionary, "'shape'")))
            status = odd(a, m->name, "has an array header that is none");
        else if (strncmp(order, "False", 5) != 0 && raw->rank > 1)
            status = odd(a, m->name, "is in Fortran's order, expected C's");
    }
    base_free(header);
    return status;
}

/* The values of a member. */
static base_status read_values(vit_raw *raw, size_t skip, const archive *a, const member *m)
{
    const size_t bytes = raw->count * vit_raw_bytes(raw->type);
    unsigned char *plain = NULL;

    if (m->plain < skip || m->plain - skip != bytes)
        return odd(a, m->name, "has another size than its array header says");
    if (m->method != 0 &&
        m->packed * 1100 + 1100 < m->plain) /* deflate does 1032 at best */
        return odd(a, m->name, "cannot hold what it announces");
    raw->values = base_alloc(raw->count, sizeof *raw->values);
    if (m->method == 0) {
        if (raw->values && m->packed == m->plain)
            vit_raw_convert(raw->values, m->data + skip, raw->type, raw->count);
        else if (raw->values)
            return odd(a, m->name, "is cut off or damaged");
    } else {
        plain = base_alloc(skip + bytes, 1);
        if (plain && raw->values) {
            const bool good = unpack(plain, skip + bytes, m);

            if (good)
                vit_raw_convert(raw->values, plain + skip, raw->type, raw->count);
            base_free(plain);
            return good ? BASE_OK : odd(a, m->name, "is cut off or damaged");
        }
        base_free(plain);
        plain = NULL;
    }
    return raw->values && (m->method == 0 || plain)
               ? BASE_OK
               : base_fail(a->err, BASE_NO_MEMORY, "no memory for '%s' member '%s'",
                           a->path, m->name);
}

base_status vit_raw_npz_read(vit_raw_set *out, const char *path, base_error *err)
{
    char *bytes = NULL;
    archive a = {.path = path, .err = err};
    vit_raw_set set = {0};
    size_t at = 0, count = 0, first = 0;
    member m;
    base_status status = base_file_read(&bytes, &a.size, path, (size_t)1 << 38, err);

    a.at = (const unsigned char *)bytes;
    if (status == BASE_OK)
        status = find_directory(&first, &count, &a);
    if (status == BASE_OK) {
        set.at = base_alloc(count, sizeof *set.at);
        if (!set.at)
            status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    }
    /* twice over the directory: names and shapes, which tell what are parameters; then
     * these */
    at = first;
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        vit_raw *raw = &set.at[i];
        size_t skip;

        status = read_member(&m, &a, &at);
        const size_t length = strlen(m.name);
        if (status == BASE_OK && (length < 5 || strcmp(m.name + length - 4, ".npy") != 0))
            status = odd(&a, m.name, "is no .npy array");
        if (status == BASE_OK)
            status = read_header(raw, &skip, &a, &m);
        if (status != BASE_OK)
            break;
        raw->name = base_text("%.*s", (int)length - 4, m.name);
        set.count = i + 1;
        if (!raw->name)
            status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
        else if (vit_raw_find(&set, raw->name) != raw)
            status = odd(&a, m.name, "is there twice");
    }
    const char *prefix = status == BASE_OK ? vit_raw_prefix(&set) : "";
    at = first;
    for (size_t i = 0; i < set.count && status == BASE_OK; i++) {
        vit_raw again = {0};
        size_t skip = 0;

        if (!vit_raw_wanted(set.at[i].name, prefix) || vit_raw_bytes(set.at[i].type) == 0) {
            status = read_member(&m, &a, &at);
            continue;
        }
        status = read_member(&m, &a, &at);
        if (status == BASE_OK)
            status = read_header(&again, &skip, &a, &m);
        if (status == BASE_OK)
            status = read_values(&set.at[i], skip, &a, &m);
    }
    base_free(bytes);
    if (status == BASE_OK)
        *out = set;
    else
        vit_raw_free(&set);
    return status;
}
