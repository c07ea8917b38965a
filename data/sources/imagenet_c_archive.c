/* imagenet_c_archive.c - ImageNet-C's own tars (noise.tar, blur.tar, weather.tar,
 * digital.tar, extra.tar), and zips of the tree, read where they lie. One walk over the
 * members tells the parts and between which headers each lies, so that a part is then
 * walked over alone. Free to change: how much is looked at to recognise one. Relied on
 * elsewhere: corruptions are never taken for classes. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <string.h>

enum { LOOKED = 64, DEEPEST = 4 /* folders around the corruptions, their groups too */ };

/* ---- names -------------------------------------------------------------------------- */

bool data_c_name_parse(data_c_name *out, const char *name)
{
    const char *at = name;

    for (int depth = 0; depth < DEEPEST; depth++) {
        const size_t bytes = strcspn(at, "/");
        if (!at[bytes])
            return false;
        const char *digit = at + bytes + 1;
        const size_t rank = data_c_rank(at, bytes);
        if (*digit && digit[1] == '/' &&
            ((*digit >= '1' && *digit <= '5') || (*digit == '0' && rank == 0))) {
            const char *class = digit + 2;
            const size_t class_bytes = strcspn(class, "/");
            if (class_bytes == 0 || !class[class_bytes] || !class[class_bytes + 1])
                return false; /* no FILE, or no CLASS */
            *out = (data_c_name){
                .prefix = (size_t)(digit + 1 - name),
                .corruption = (size_t)(at - name),
                .corruption_bytes = bytes,
                .class = (size_t)(class - name),
                .class_bytes = class_bytes,
                .severity = *digit - '0',
                .known = rank != SIZE_MAX,
            };
            return true;
        }
        at = digit;
    }
    return false;
}

base_status data_c_refuse(const char *path, const char *member, base_error *err)
{
    char shown[200];

    return base_fail(
        err, BASE_USAGE,
        "'%s' is an ImageNet-C tree (it holds '%s'), whose folders are "
        "corruptions and severities, no classes: eval --imagenet-c %s evaluates "
        "each, imagenet-c:%s is all of them",
        path, base_quote(shown, sizeof shown, member), path, path);
}

/* ---- walks -------------------------------------------------------------------------- */

/* An archive that is walked over alone. */
typedef struct visit {
    data_files *files;
    data_walk walk;
    bool held;
} visit;

static void visit_end(visit *v)
{
    data_walk_close(&v->walk);
    if (v->held)
        data_files_release(v->files, 0);
    data_files_destroy(v->files);
}

static base_status visit_begin(visit *v, const char *path, base_error *err)
{
    uint32_t number = 0;
    int fd = -1;
    const bool zip = data_zip_looks(path);

    *v = (visit){0};
    base_status status = data_files_create(&v->files, err);
    if (status == BASE_OK)
        status = data_files_add(&number, v->files, path, err);
    if (status == BASE_OK) {
        status = data_files_hold(&fd, v->files, number, err);
        v->held = status == BASE_OK;
        if (status != BASE_OK)
            base_error_prepend(err, "cannot open '%s': ", path);
    }
    if (status == BASE_OK && !zip)
        status = data_tar_refuse_compressed(fd, path, err);
    if (status == BASE_OK)
        status = data_walk_open(&v->walk, zip, fd, path, data_files_bytes(v->files, number),
                                NULL, err);
    return status;
}

/* A picture of the tree. */
static bool is_picture(data_c_name *out, const data_member *m)
{
    return m->name && m->file && data_is_image_name(m->name) &&
           data_c_name_parse(out, m->name);
}

bool data_c_archive_looks(const char *path)
{
    visit v = {0};
    data_member m;
    data_c_name name;
    bool done = false, looks = false;

    if (!data_tar_looks(path) && !data_zip_looks(path))
        return false;
    if (visit_begin(&v, path, NULL) == BASE_OK) {
        for (int i = 0; i < LOOKED && !looks; i++) {
            if (data_walk_next(&v.walk, &m, &done, NULL) != BASE_OK || done)
                break;
            looks = is_picture(&name, &m) && name.known;
        }
    }
    visit_end(&v);
    return looks;
}

/* ---- parts -------------------------------------------------------------------------- */

typedef struct parts {
    data_c_part *at;
    size_t room, count;
    size_t last; /* members of a part mostly follow one another */
} parts;

void data_c_parts_destroy(data_c_part *part, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        base_free(part[i].prefix);
        base_free(part[i].corruption);
    }
    base_free(part);
}

static bool is_part(const data_c_part *part, const char *name, const data_c_name *says)
{
    return strlen(part->prefix) == says->prefix &&
           strncmp(part->prefix, name, says->prefix) == 0;
}

static base_status part_of(parts *p, const char *name, const data_c_name *says,
                           const data_member *m, base_error *err)
{
    if (p->count > 0 && is_part(&p->at[p->last], name, says))
        return BASE_OK;
    for (size_t i = 0; i < p->count; i++) {
        if (is_part(&p->at[i], name, says)) {
            p->last = i;
            return BASE_OK;
        }
    }
    data_c_part made = {
        .prefix = base_text("%.*s", (int)says->prefix, name),
        .corruption =
            base_text("%.*s", (int)says->corruption_bytes, name + says->corruption),
        .severity = says->severity,
        .range = {m->header},
    };
    if (!made.prefix || !made.corruption ||
        !data_grow(&p->at, &p->room, p->count + 1, sizeof made)) {
        base_free(made.prefix);
        base_free(made.corruption);
        return base_fail(err, BASE_NO_MEMORY, "no memory for the parts of a tree");
    }
    p->last = p->count;
    p->at[p->count++] = made;
    return BASE_OK;
}

base_status data_c_archive_parts(data_c_part **out, size_t *count, const char *path,
                                 base_error *err)
{
    parts p = {0};
    visit v = {0};
    data_member m;
    data_c_name says;
    bool done = false;
    base_status status = visit_begin(&v, path, err);

    while (status == BASE_OK) {
        status = data_walk_next(&v.walk, &m, &done, err);
        if (status != BASE_OK || done)
            break;
        if (!is_picture(&says, &m))
            continue;
        status = part_of(&p, m.name, &says, &m, err);
        if (status != BASE_OK)
            break;
        p.at[p.last].range[1] = m.after; /* headers are met in their order */
    }
    visit_end(&v);
    *out = p.at;
    *count = p.count;
    return status;
}

/* ---- all of it ---------------------------------------------------------------------- */

static base_status take_member(data_source *source, const data_member *m, base_error *err)
{
    data_c_name says;
    char class[DATA_NAME_MAX + 2];
    uint32_t number = 0;

    if (!is_picture(&says, m)) {
        data_member_ignore(source, m);
        return BASE_OK;
    }
    snprintf(class, sizeof class, "%.*s", (int)says.class_bytes, m->name + says.class);
    base_status status = data_class_add(&number, &source->table, class, err);
    if (status != BASE_OK)
        return status;
    data_record record = data_member_record(m, 0, (int32_t)number);
    record.container = record.name; /* moves back to name when the names go */
    data_source_tick(source);
    return data_index_add(&source->index, &record, m->name, err);
}

base_status data_c_archive_scan(data_source *source, base_error *err)
{
    visit v = {0};
    data_member m;
    bool done = false;
    base_status status = visit_begin(&v, source->path, err);

    source->labelling = DATA_LABELS_CLASSES;
    source->names = true;
    while (status == BASE_OK) {
        status = data_walk_next(&v.walk, &m, &done, err);
        if (status != BASE_OK || done)
            break;
        status = take_member(source, &m, err);
    }
    visit_end(&v);
    if (status == BASE_OK)
        status = data_source_sort_members(source, err);
    if (status == BASE_OK)
        data_source_note(source, "all corruptions and severities in one");
    return status;
}
