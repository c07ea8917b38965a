/* wds.c - WebDataset shards (data.md 1): tar files in which a sample is a run of
 * members with one key; the image is its jpg, jpeg or png part, the label its cls or json
 * part. All shards are indexed like one archive, so a shuffle is over the whole set and its
 * length is known. Free to change: what shards are looked at to recognise them. Relied on
 * elsewhere: order (shard, position). */
#include "data/data_internal.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "data/sources/wds_internal.h"

enum { LABEL_BYTES = 64, JSON_BYTES = 1 << 20, FIRST_LOOKED = 64 };

#define LABEL_MISSING INT32_MIN
static const int64_t LABEL_MOST = INT32_MAX - 2; /* that a record can name */

/* Kinds of parts, the better ones lower. */
typedef enum part_kind { PART_JPG, PART_JPEG, PART_PNG, PART_OTHER } part_kind;

/* The sample that is being met. */
typedef struct sample {
    char key[DATA_NAME_MAX + 2];
    bool open;
    part_kind image;
    data_record record; /* of the image, or of the first member */
    uint64_t cls_at, cls_size, json_at, json_size;
    bool cls, json;
} sample;

typedef struct scan {
    data_source *source;
    int fd;
    uint32_t shard;
    sample now;
    size_t labels; /* samples with a label part */
    char *text;    /* of a json part */
} scan;

/* Bytes of the key: up to the first dot of the base name. */
static size_t key_bytes(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;

    return (size_t)(base - name) + strcspn(base, ".");
}

static part_kind kind_of(const char *part)
{
    static const char *const kinds[] = {"jpg", "jpeg", "png"};

    for (int i = 0; i < PART_OTHER; i++) {
        if (strcasecmp(part, kinds[i]) == 0)
            return (part_kind)i;
    }
    return PART_OTHER;
}

/* ---- labels ------------------------------------------------------------------------- */

/* A whole number with blanks around it. */
static bool parse_label(int64_t *out, const char *text)
{
    char digits[LABEL_BYTES];
    const char *start = text + strspn(text, " \t\r\n");
    const size_t bytes = strcspn(start, " \t\r\n");

    if (bytes == 0 || bytes >= sizeof digits ||
        start[bytes + strspn(start + bytes, " \t\r\n")])
        return false;
    memcpy(digits, start, bytes);
    digits[bytes] = '\0';
    return base_parse_int(out, digits);
}

static bool read_cls(int64_t *out, const scan *s)
{
    char text[LABEL_BYTES + 1] = "";

    if (s->now.cls_size > LABEL_BYTES ||
        data_pread(s->fd, (unsigned char *)text, (size_t)s->now.cls_size, s->now.cls_at,
                   NULL) != BASE_OK)
        return false;
    return strlen(text) == s->now.cls_size && parse_label(out, text);
}

static bool read_json(int64_t *out, const scan *s)
{
    static const char *const keys[] = {"label", "cls", "class_id"};
    bool found = false;

    if (s->now.json_size > JSON_BYTES ||
        data_pread(s->fd, (unsigned char *)s->text, (size_t)s->now.json_size,
                   s->now.json_at, NULL) != BASE_OK)
        return false;
    json_t *json = json_loadb(s->text, (size_t)s->now.json_size, 0, NULL);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !found; i++) {
        const json_t *value = json_object_get(json, keys[i]);
        found = json_is_integer(value);
        if (found)
            *out = json_integer_value(value);
    }
    json_decref(json);
    return found;
}

/* The sample is complete: image and label, or bad. */
static base_status end_sample(scan *s, base_error *err)
{
    data_record r = s->now.record;
    int64_t label = -1;

    if (!s->now.open)
        return BASE_OK;
    s->now.open = false;
    data_source_tick(s->source);
    const bool told =
        s->now.cls ? read_cls(&label, s) : s->now.json && read_json(&label, s);
    s->labels += s->now.cls || s->now.json;
    if (s->now.image == PART_OTHER)
        r.size = data_size_unreadable(DATA_NO_IMAGE_PART);
    else if (told && (label < 0 || label >= DATA_CLASSES_MAX))
        r.size = data_size_unreadable(DATA_LABEL_RANGE);
    r.label = !told       ? LABEL_MISSING
              : label < 0 ? -1
              : label < DATA_CLASSES_MAX
                  ? (int32_t)label
                  : -2 - (int32_t)(label < LABEL_MOST ? label : LABEL_MOST);
    return data_index_add(&s->source->index, &r, NULL, err);
}

/* ---- members ------------------------------------------------------------------------ */

static base_status take_member(scan *s, const data_tar_member *m, base_error *err)
{
    const char *slash = m->name ? strrchr(m->name, '/') : NULL;
    const char *base = slash ? slash + 1 : m->name;
    base_status status = BASE_OK;

    if (!m->name || !m->file || !*base || strncmp(base, "__", 2) == 0) {
        data_tar_ignore(s->source, m);
        return BASE_OK;
    }
    const size_t key = key_bytes(m->name);
    if (!m->name[key]) { /* no part */
        s->source->ignored[DATA_IGNORED_OTHER]++;
        return BASE_OK;
    }
    if (!s->now.open || strncmp(s->now.key, m->name, key) != 0 || s->now.key[key]) {
        status = end_sample(s, err);
        s->now.open = true;
        s->now.cls = s->now.json = false;
        s->now.image = PART_OTHER;
        s->now.record = data_tar_record(m, s->shard, 0);
        memcpy(s->now.key, m->name, key);
        s->now.key[key] = '\0';
    }
    const char *part = m->name + key + 1;
    const part_kind kind = kind_of(part);
    if (kind < s->now.image) {
        s->now.image = kind;
        s->now.record = data_tar_record(m, s->shard, 0);
    }
    if (strcasecmp(part, "cls") == 0 && !m->sparse) {
        s->now.cls = true;
        s->now.cls_at = m->at;
        s->now.cls_size = m->size;
    } else if (strcasecmp(part, "json") == 0 && !m->sparse) {
        s->now.json = true;
        s->now.json_at = m->at;
        s->now.json_size = m->size;
    }
    return status;
}

static base_status scan_shard(scan *s, base_error *err)
{
    data_source *source = s->source;
    data_tar *tar = NULL;
    data_tar_member m;
    bool done = false;

    base_status status = data_tar_hold(&s->fd, source, s->shard, err);
    if (status != BASE_OK)
        return status;
    status = data_tar_open(&tar, s->fd, data_files_path(source->files, s->shard), 0,
                           data_files_bytes(source->files, s->shard), err);
    while (status == BASE_OK) {
        status = data_tar_next(tar, &m, &done, err);
        if (status != BASE_OK || done)
            break;
        status = take_member(s, &m, err);
    }
    if (status == BASE_OK)
        status = end_sample(s, err);
    data_tar_close(tar);
    data_files_release(source->files, s->shard);
    return status;
}

/* Samples without a label part are bad; but without any label in all shards these are
 * images to be predicted. */
static void settle_missing(data_source *source, size_t labels)
{
    for (size_t i = 0; i < source->index.count; i++) {
        data_record *r = data_index_at(&source->index, i);
        if (r->label != LABEL_MISSING)
            continue;
        r->label = -1;
        if (labels > 0 && data_record_readable(r))
            r->size = data_size_unreadable(DATA_NO_LABEL_PART);
    }
    source->labelling = labels > 0 ? DATA_LABELS_NUMBERS : DATA_LABELS_NONE;
}

static base_status wds_scan(data_source *source, const data_source_options *options,
                            base_error *err)
{
    base_status status = BASE_OK;
    scan *s = base_alloc(1, sizeof *s);

    (void)options;
    if (s)
        s->text = base_alloc(JSON_BYTES + 1, 1);
    if (!s || !s->text) {
        base_free(s);
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
    }
    s->source = source;
    for (size_t i = 0; i < data_files_count(source->files) && status == BASE_OK; i++) {
        s->shard = (uint32_t)i;
        status = scan_shard(s, err);
    }
    settle_missing(source, s->labels);
    base_free(s->text);
    base_free(s);
    return status;
}

static base_status wds_prepare(data_source *source, const data_source_options *options,
                               base_error *err)
{
    wds_list list = {0};
    base_status status = data_wds_list_shards(&list, source->path, err);
    uint32_t number;

    (void)options;
    for (size_t i = 0; i < list.count && status == BASE_OK; i++)
        status = data_tar_join(source, &number, list.path[i], err);
    data_wds_list_free(&list);
    return status;
}

/* ---- names -------------------------------------------------------------------------- */

/* The image's member, or the key of a sample that is no good. */
static void member_of(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    char name[DATA_NAME_MAX + 2];

    if (!data_archive_name(name, source, r)) {
        snprintf(out, out_bytes, "member-%zu", i);
        return;
    }
    if (!data_record_readable(r))
        name[key_bytes(name)] = '\0';
    snprintf(out, out_bytes, "%s", name);
}

/* CLASS/SHARD/KEY.jpg: keys need not differ between shards. */
static void wds_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *path = data_files_path(source->files, r->container);
    const char *slash = strrchr(path, '/');
    const char *shard = slash ? slash + 1 : path;
    const size_t bytes = strlen(shard) - (data_ends_in(shard, ".tar") ? 4 : 0);
    char name[DATA_NAME_MAX + 2], class[DATA_NAME_MAX];

    member_of(source, i, name, sizeof name);
    data_class_folder(class, sizeof class, source, r->label);
    snprintf(out, out_bytes, "%s%s%.*s/%s", class, shard[0] == '.' ? "shard" : "",
             (int)bytes, shard, name);
}

static void wds_whole(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    char name[DATA_NAME_MAX + 2];

    member_of(source, i, name, sizeof name);
    snprintf(out, out_bytes, "%s!%s", data_files_path(source->files, r->container), name);
}

const data_layout data_layout_wds = {
    .name = "wds",
    .holds =
        "WebDataset shards: tar files with .jpg and .cls (or .json) members of one key",
    .fits = data_wds_fits,
    .prepare = wds_prepare,
    .scan = wds_scan,
    .read = data_archive_read,
    .relative = wds_relative,
    .whole = wds_whole,
    .advise = data_archive_advise,
    .join = '!',
    .cached = true,
};
