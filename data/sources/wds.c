/* wds.c - WebDataset shards (data.md 1): tar files in which a sample is a run of
 * members with one key; the image is its jpg, jpeg or png part, the label its cls or json
 * part. All shards are indexed like one archive, so a shuffle is over the whole set and its
 * length is known. Free to change: what shards are looked at to recognise them. Relied on
 * elsewhere: order (shard, position). */
#include "data/data_internal.h"

#include <jansson.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "data/sources/archives_internal.h"
#include "data/sources/labels_internal.h"
#include "data/sources/wds_internal.h"

enum { LABEL_BYTES = 256, JSON_BYTES = 1 << 20, SEEN_BYTES = 240 };

#define LABEL_MISSING INT32_MIN

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
    const char *label_key; /* of the options, NULL: the usual ones */
    int fd;
    uint32_t shard;
    sample now;
    bool last_dot;         /* keys end at the last dot: no image was found otherwise */
    size_t images, parts;  /* samples with an image; with a part that could hold a label */
    size_t numbers, names; /* labels that were found, by kind */
    char *text;            /* of a json part */
    char seen[SEEN_BYTES]; /* parts of the first sample, and the keys of its json */
} scan;

/* Bytes of the key: up to the first dot of the base name (WebDataset), or the last. */
static size_t key_bytes(const char *name, bool last_dot)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    const char *dot = last_dot ? strrchr(base, '.') : strchr(base, '.');

    return dot ? (size_t)(dot - name) : strlen(name);
}

static part_kind kind_of(const char *part)
{
    static const char *const kinds[] = {"jpg", "jpeg", "png", "jpe", "jfif"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcasecmp(part, kinds[i]) == 0)
            return i < PART_OTHER ? (part_kind)i : PART_JPEG;
    }
    return PART_OTHER;
}

/* ---- labels ------------------------------------------------------------------------- */

/* A label: a whole number, or a name. */
typedef struct label {
    bool found, is_name;
    int64_t number;
    char name[LABEL_BYTES];
} label;

/* Text with blanks around it: a number where it is one, else a name. */
static void take_text(label *out, const char *text)
{
    const char *start = text + strspn(text, " \t\r\n");
    size_t bytes = strlen(start);

    while (bytes > 0 && strchr(" \t\r\n", start[bytes - 1]))
        bytes--;
    if (bytes == 0 || bytes >= sizeof out->name)
        return;
    snprintf(out->name, sizeof out->name, "%.*s", (int)bytes, start);
    out->found = true;
    const int32_t number = data_label_number(out->name);
    out->number = number;
    out->is_name = number < 0 && !base_parse_int(&out->number, out->name);
    if (number == -2 && out->is_name) /* "2.5" */
        *out = (label){.found = true, .number = INT64_MIN};
}

static void read_cls(label *out, const scan *s)
{
    char text[LABEL_BYTES + 1] = "";

    if (s->now.cls_size <= LABEL_BYTES &&
        data_pread(s->fd, (unsigned char *)text, (size_t)s->now.cls_size, s->now.cls_at,
                   NULL) == BASE_OK &&
        strlen(text) == s->now.cls_size)
        take_text(out, text);
}

/* The json part, NULL: it cannot be read. */
static json_t *load_json(const scan *s)
{
    if (s->now.json_size > JSON_BYTES ||
        data_pread(s->fd, (unsigned char *)s->text, (size_t)s->now.json_size,
                   s->now.json_at, NULL) != BASE_OK)
        return NULL;
    return json_loadb(s->text, (size_t)s->now.json_size, 0, NULL);
}

static void read_json(label *out, const json_t *json, const char *label_key)
{
    static const char *const usual[] = {"label", "cls", "class_id"};
    const char *const *keys = label_key ? &label_key : usual;
    const size_t count = label_key ? 1 : sizeof usual / sizeof *usual;

    for (size_t i = 0; i < count && !out->found; i++) {
        const json_t *value = json_object_get(json, keys[i]);
        if (json_is_number(value)) {
            const double number = json_number_value(value);
            out->found = true;
            out->number = json_is_integer(value) ? json_integer_value(value)
                          : fabs(number) < 1e15 && number - floor(number) <= 0
                              ? (int64_t)number
                              : INT64_MIN;
        } else if (json_is_string(value)) {
            take_text(out, json_string_value(value));
        }
    }
}

/* A word more in what the first sample turned out to have. */
static void see(scan *s, const char *front, const char *word)
{
    const size_t used = strlen(s->seen);
    char shown[80];

    snprintf(s->seen + used, sizeof s->seen - used, "%s%s", front,
             base_quote(shown, sizeof shown, word));
}

/* The keys of the first sample's json, for the message that no label was found. */
static void see_keys(scan *s, const json_t *json)
{
    const char *key, *front = " (keys ";
    const json_t *value;

    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        see(s, front, key);
        front = ", ";
    }
    if (json_object_size(json) > 0)
        see(s, "", ")");
}

/* The label as records have it; names become classes. */
static base_status settle_label(scan *s, data_record *r, const label *found,
                                base_error *err)
{
    base_status status = BASE_OK;
    uint32_t class = 0;

    if (!found->found) {
        r->label = LABEL_MISSING;
    } else if (found->is_name) {
        s->names++;
        status = data_class_add(&class, &s->source->table, found->name, err);
        r->label = (int32_t) class;
    } else {
        const int64_t n = found->number;
        s->numbers++;
        const bool fits = n >= 0 && n < DATA_CLASSES_MAX;
        if (s->now.image != PART_OTHER && !fits)
            r->size = data_size_unreadable(DATA_LABEL_RANGE);
        r->label = fits ? (int32_t)n : data_label_refused(n);
    }
    return status;
}

/* The sample is complete: image and label, or bad. */
static base_status end_sample(scan *s, base_error *err)
{
    const bool first = s->source->index.count == 0;
    data_record r = s->now.record;
    label found = {0};

    if (!s->now.open)
        return BASE_OK;
    s->now.open = false;
    data_source_tick(s->source);
    if (s->now.cls)
        read_cls(&found, s);
    if (s->now.json && !found.found) {
        json_t *json = load_json(s);
        read_json(&found, json, s->label_key);
        if (first)
            see_keys(s, json);
        json_decref(json);
    }
    s->parts += s->now.cls || s->now.json;
    s->images += s->now.image != PART_OTHER;
    if (s->now.image == PART_OTHER)
        r.size = data_size_unreadable(DATA_NO_IMAGE_PART);
    const base_status status = settle_label(s, &r, &found, err);
    return status == BASE_OK ? data_index_add(&s->source->index, &r, NULL, err) : status;
}

/* ---- members ------------------------------------------------------------------------ */

static base_status take_member(scan *s, const data_member *m, base_error *err)
{
    const char *slash = m->name ? strrchr(m->name, '/') : NULL;
    const char *base = slash ? slash + 1 : m->name;
    base_status status = BASE_OK;

    if (!m->name || !m->file || !*base || strncmp(base, "__", 2) == 0) {
        data_member_ignore(s->source, m);
        return BASE_OK;
    }
    const size_t key = key_bytes(m->name, s->last_dot);
    if (!m->name[key]) { /* no part */
        s->source->left_out.by[DATA_IGNORED_OTHER]++;
        return BASE_OK;
    }
    if (!s->now.open || strncmp(s->now.key, m->name, key) != 0 || s->now.key[key]) {
        status = end_sample(s, err);
        s->now.open = true;
        s->now.cls = s->now.json = false;
        s->now.image = PART_OTHER;
        s->now.record = data_member_record(m, s->shard, 0);
        memcpy(s->now.key, m->name, key);
        s->now.key[key] = '\0';
    }
    const char *part = m->name + key + 1;
    if (s->source->index.count == 0)
        see(s, s->seen[0] ? ", ." : ".", part);
    const part_kind kind = kind_of(part);
    if (kind < s->now.image) {
        s->now.image = kind;
        s->now.record = data_member_record(m, s->shard, 0);
    }
    if (strcasecmp(part, s->label_key ? s->label_key : "cls") == 0 && !m->sparse) {
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
    data_member m;
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

/* What was looked for and what was there. */
static void missing_text(char *out, size_t out_bytes, const scan *s)
{
    char key[96], shown[64];

    snprintf(key, sizeof key, "a part .%s or that key of a .json",
             s->label_key ? base_quote(shown, sizeof shown, s->label_key) : "");
    snprintf(out, out_bytes,
             "no label in %zu samples: looked for %s; the first sample has the parts %s",
             s->source->index.count,
             s->label_key ? key : "a part .cls, or 'label', 'cls' or 'class_id' in a .json",
             s->seen);
}

/* Samples without a label are bad; but without any label in all shards these are images to
 * be predicted. */
static base_status settle_missing(data_source *source, const scan *s,
                                  const data_source_options *options, base_error *err)
{
    const bool any = s->numbers + s->names > 0;
    char text[600];

    if (s->numbers > 0 && s->names > 0)
        return base_fail(
            err, BASE_FORMAT,
            "'%s': %zu labels are numbers and %zu are names, expected one kind",
            source->path, s->numbers, s->names);
    missing_text(text, sizeof text, s);
    if (!any && source->index.count > 0 &&
        (!options->allow_unlabelled || options->label_key))
        return base_fail(err, BASE_FORMAT, "'%s': %s; --label-key KEY names another",
                         source->path, text);
    if (!any && source->index.count > 0)
        data_source_note(source, "%s", text);
    for (size_t i = 0; i < source->index.count; i++) {
        data_record *r = data_index_at(&source->index, i);
        if (r->label != LABEL_MISSING)
            continue;
        r->label = s->names > 0 ? 0 : -1;
        if (any && data_record_readable(r))
            r->size = data_size_unreadable(DATA_NO_LABEL_PART);
    }
    source->labelling = s->names > 0     ? DATA_LABELS_CLASSES
                        : s->numbers > 0 ? DATA_LABELS_NUMBERS
                                         : DATA_LABELS_NONE;
    source->as_found = s->names > 0;
    return BASE_OK;
}

static base_status scan_shards(scan *s, base_error *err)
{
    data_source *source = s->source;
    base_status status = BASE_OK;

    for (size_t i = 0; i < data_files_count(source->files) && status == BASE_OK; i++) {
        s->shard = (uint32_t)i;
        status = scan_shard(s, err);
    }
    return status;
}

static base_status wds_scan(data_source *source, const data_source_options *options,
                            base_error *err)
{
    scan *s = base_alloc(1, sizeof *s);

    if (s)
        s->text = base_alloc(JSON_BYTES + 1, 1);
    if (!s || !s->text) {
        base_free(s);
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
    }
    s->source = source;
    s->label_key = options->label_key;
    base_status status = scan_shards(s, err);
    if (status == BASE_OK && s->images == 0 && source->index.count > 0) {
        *s = (scan){
            .source = source, .text = s->text, .label_key = s->label_key, .last_dot = true};
        data_index_destroy(&source->index);
        data_class_table_destroy(&source->table);
        source->left_out = (data_left_out){0};
        status = scan_shards(s, err);
        if (status == BASE_OK && s->images > 0)
            data_source_note(source, "keys have dots: they end at the last one");
    }
    if (status == BASE_OK)
        status = settle_missing(source, s, options, err);
    base_free(s->text);
    base_free(s);
    return status;
}

static base_status wds_prepare(data_source *source, const data_source_options *options,
                               base_error *err)
{
    wds_list list = {0};
    base_status status =
        data_wds_list_shards(&list, source->path, data_wds_is_tar_name, ".tar files", err);
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
        name[key_bytes(name, false)] = '\0';
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
