/* tfrecord.c - TFRecord files of tf.Example (data.md 1): TensorFlow Datasets' ImageNet
 * (features image, label, file_name) and the older one of TF-Slim (image/encoded,
 * image/class/label from 1). Read where they lie; the picture's bytes are stepped over
 * while indexing, and held against the record's CRC when they are read. Free to change: how
 * shards are recognised. Relied on elsewhere: order (shard, position), which number is
 * which class. */
#include "data/sources/tfrecord_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "data/sources/archives_internal.h"
#include "data/sources/wds_internal.h"

enum { NAMES_MOST = 16 << 20 };

#define LABEL_MISSING INT32_MIN

typedef struct scan {
    data_source *source;
    const char *label_key;
    tfrecord_tape tape;
    uint32_t shard;
    size_t numbers, names, slim; /* labels that were found, by kind */
    size_t from_one, from_zero;  /* numbers whose WordNet id says so */
    int64_t lowest, highest;
    char seen[TFRECORD_SEEN]; /* features of the first record */
    bool no_image;            /* it has none */
} scan;

/* ---- names of shards ---------------------------------------------------------------- */

/* Where "-00000-of-01024" begins that ends the name; NULL: it does not. */
static const char *shard_number(const char *name)
{
    const size_t bytes = strlen(name);
    const char *at = bytes >= 15 ? name + bytes - 15 : "";

    return at[0] == '-' && strspn(at + 1, "0123456789") == 5 &&
                   strncmp(at + 6, "-of-", 4) == 0 && strspn(at + 10, "0123456789") == 5
               ? at
               : NULL;
}

static bool is_record_name(const char *name)
{
    return strstr(name, ".tfrec") != NULL || shard_number(name) != NULL;
}

/* The part that a shard's name tells ("imagenet2012-train.tfrecord-...": train) into
 * out [16]; false: none. */
static bool part_of(char out[16], const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strstr(name, ".tfrec"), *number = shard_number(name);
    const char *end = dot ? dot : number ? number : name + strlen(name);

    for (const char *at = name; at < end;) {
        const size_t bytes = strcspn(at, "-_.");
        const size_t word = at + bytes > end ? (size_t)(end - at) : bytes;
        snprintf(out, 16, "%.*s", (int)(word < 16 ? word : 15), at);
        if (data_part_split(out) != NULL)
            return true;
        at += word + 1;
    }
    return false;
}

/* Of shards of several parts those of the split stay. */
static base_status choose_part(wds_list *list, data_source *source,
                               const data_source_options *options, base_error *err)
{
    const char *wanted = options->split ? options->split : "val";
    const char *split = data_part_split(wanted), *first = NULL;
    char part[16];
    bool several = false;
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        const char *own = part_of(part, list->path[i]) ? data_part_split(part) : "none";
        several = several || (first && strcmp(first, own) != 0);
        first = first ? first : own;
    }
    if (!several && !(options->split && first && split && strcmp(first, split) == 0))
        return BASE_OK;
    source->split_used = true;
    for (size_t i = 0; i < list->count; i++) {
        if (part_of(part, list->path[i]) && split &&
            strcmp(data_part_split(part), split) == 0)
            list->path[kept++] = list->path[i];
        else
            base_free(list->path[i]);
    }
    list->count = kept;
    if (kept == 0)
        return base_fail(err, BASE_IO,
                         "'%s' holds no TFRecord file of the split %s: say which is meant, "
                         "with --split or the files' own names",
                         source->path, wanted);
    if (several)
        data_source_note(source, "reading the %zu files of the split %s", kept, wanted);
    return BASE_OK;
}

static base_status tfrecord_prepare(data_source *source, const data_source_options *options,
                                    base_error *err)
{
    wds_list list = {0};
    base_status status =
        data_wds_list_shards(&list, source->path, is_record_name, "TFRecord files", err);
    uint32_t number;

    if (status == BASE_OK)
        status = choose_part(&list, source, options, err);
    for (size_t i = 0; i < list.count && status == BASE_OK; i++)
        status = data_tar_join(source, &number, list.path[i], err);
    data_wds_list_free(&list);
    return status;
}

/* ---- the scan ----------------------------------------------------------------------- */

/* The label as records have it; text becomes a class. */
static base_status settle_label(scan *s, data_record *r, const tfrecord_example *e,
                                base_error *err)
{
    uint32_t class = 0;

    if (e->text) {
        s->names++;
        const base_status status =
            data_class_add(&class, &s->source->table, e->label_text, err);
        r->label = (int32_t) class;
        return status;
    }
    if (!e->number || e->label == -1) { /* TFDS: -1 where there is none */
        r->label = LABEL_MISSING;
        return BASE_OK;
    }
    const int32_t id = data_imagenet_label(e->synset);
    s->numbers++;
    s->slim += e->slim;
    s->from_one += id >= 0 && e->label == id + 1;
    s->from_zero += id >= 0 && e->label == id;
    s->lowest = s->numbers == 1 || e->label < s->lowest ? e->label : s->lowest;
    s->highest = s->numbers == 1 || e->label > s->highest ? e->label : s->highest;
    const bool fits = e->label >= 0 && e->label <= DATA_CLASSES_MAX;
    r->label = fits ? (int32_t)e->label : data_label_refused(e->label);
    if (!fits && data_record_readable(r))
        r->size = data_size_unreadable(DATA_LABEL_RANGE);
    return BASE_OK;
}

/* The record at offset at, of length bytes. */
static base_status take_record(scan *s, uint64_t at, uint64_t length, base_error *err)
{
    const uint64_t begin = at + TFRECORD_HEAD;
    tfrecord_example e;

    base_status status =
        data_tfrecord_example(&e, &s->tape, begin, begin + length, s->label_key, err);
    if (status != BASE_OK)
        return status;
    data_record r = {.offset = begin, .container = s->shard, .name = TFRECORD_HEAD};
    const uint64_t before = e.image ? e.image_at - at : TFRECORD_HEAD;
    if (!e.image) {
        r.size = data_size_unreadable(DATA_NO_IMAGE_PART);
    } else if (e.image_bytes > DATA_SIZE_MOST || before > UINT32_MAX) {
        r.size = data_size_unreadable(DATA_LARGE);
    } else {
        r.offset = e.image_at;
        r.size = (uint32_t)e.image_bytes;
        r.name = (uint32_t)before;
    }
    if (s->source->index.count == 0) {
        memcpy(s->seen, e.seen, sizeof s->seen);
        s->no_image = !e.image;
    }
    status = settle_label(s, &r, &e, err);
    data_source_tick(s->source);
    return status == BASE_OK ? data_index_add(&s->source->index, &r, NULL, err) : status;
}

static base_status scan_shard(scan *s, base_error *err)
{
    const char *path = data_files_path(s->source->files, s->shard);
    base_status status =
        data_archive_hold(&s->tape.fd, s->source, s->shard, "a TFRecord file", err);
    uint64_t at = 0, length = 0;
    bool done = false;
    size_t number = 0;

    if (status != BASE_OK)
        return status;
    status = data_tar_refuse_compressed(s->tape.fd, path, err);
    s->tape.bytes = data_files_bytes(s->source->files, s->shard);
    s->tape.have = 0;
    while (status == BASE_OK) {
        status = data_tfrecord_head(&length, &done, &s->tape, at, err);
        if (status == BASE_OK && done)
            break;
        if (status == BASE_OK)
            status = take_record(s, at, length, err);
        if (status != BASE_OK)
            base_error_prepend(err, "'%s': record %zu (offset %ju): ", path, number,
                               (uintmax_t)at);
        at += TFRECORD_HEAD + length + TFRECORD_FOOT;
        number++;
    }
    data_files_release(s->source->files, s->shard);
    return status;
}

/* ---- labels ------------------------------------------------------------------------- */

/* Numbers to the source's labels: from 1 where they are TF-Slim's. */
static base_status shift_labels(scan *s, base_error *err)
{
    data_source *source = s->source;
    const char *why = "its WordNet ids say so";

    if (s->slim == 0) {
        data_source_note(source, "labels: '%s', from 0",
                         s->label_key ? s->label_key : "label");
        return BASE_OK;
    }
    if (s->from_one > 0 && s->from_zero > 0)
        return base_fail(
            err, BASE_FORMAT,
            "'%s': by their WordNet ids %zu labels count from 1 and %zu from 0",
            source->path, s->from_one, s->from_zero);
    bool one = s->from_one > 0;
    if (s->from_one == 0 && s->from_zero == 0) {
        one = s->lowest > 0;
        why = one ? "none is 0" : "one is 0";
    }
    data_source_note(source, "labels: 'image/class/label', counted from %d (%s)%s", one,
                     why, one ? ": label 0 is its 1" : "");
    for (size_t i = 0; one && i < source->index.count; i++) {
        data_record *r = data_index_at(&source->index, i);
        if (r->label == 0) {
            r->label = data_label_refused(0);
            r->size = data_size_unreadable(DATA_LABEL_RANGE);
        } else if (r->label > 0) {
            r->label--;
        }
    }
    return BASE_OK;
}

/* TFDS's names of classes beside the shards, a line each, or NULL (base_free). */
static char *read_names(data_source *source, base_error *err)
{
    const char *shard = data_files_path(source->files, 0), *slash = strrchr(shard, '/');
    char *folder = slash ? base_text("%.*s", (int)(slash - shard), shard) : base_text(".");
    char *path = folder ? base_text("%s/label.labels.txt", folder) : NULL, *text = NULL;
    size_t bytes = 0;
    struct stat info;

    if (path && access(path, R_OK) == 0 && stat(folder, &info) == 0 &&
        data_source_witness(source, folder, &info, err) == BASE_OK &&
        stat(path, &info) == 0 &&
        data_source_witness(source, path, &info, err) == BASE_OK &&
        base_file_read(&text, &bytes, path, NAMES_MOST, err) == BASE_OK &&
        strlen(text) != bytes) {
        base_free(text);
        text = NULL;
    }
    base_free(folder);
    base_free(path);
    return text;
}

/* Labels become the classes of label.labels.txt. */
static base_status name_labels(data_source *source, char *text, int64_t highest,
                               base_error *err)
{
    base_status status = BASE_OK;
    bool twice = false;

    for (char *line = text, *next; *line && status == BASE_OK && !twice; line = next) {
        char *end = line + strcspn(line, "\r\n");
        next = end + strspn(end, "\r\n");
        *end = '\0';
        uint32_t number = 0;
        const size_t before = source->table.count;
        if (*line)
            status = data_class_add(&number, &source->table, line, err);
        twice = *line && source->table.count == before;
    }
    if (status == BASE_OK && !twice && highest < (int64_t)source->table.count) {
        source->labelling = DATA_LABELS_CLASSES;
        source->as_found = true;
        data_source_note(source, "their names are those of 'label.labels.txt'");
        return BASE_OK;
    }
    if (status == BASE_OK)
        data_source_note(source, "'label.labels.txt' is not used: %s",
                         twice ? "it has a name twice" : "it has fewer names than labels");
    data_class_table_destroy(&source->table);
    return status;
}

/* Records without a label are bad; but without any in all shards these are images to be
 * predicted. */
static base_status settle_missing(scan *s, const data_source_options *options,
                                  base_error *err)
{
    data_source *source = s->source;
    const bool any = s->numbers + s->names > 0;

    if (s->numbers > 0 && s->names > 0)
        return base_fail(err, BASE_FORMAT,
                         "'%s': %zu labels are numbers and %zu are text, expected one kind",
                         source->path, s->numbers, s->names);
    if (!any && source->index.count > 0 &&
        (!options->allow_unlabelled || options->label_key))
        return base_fail(err, BASE_FORMAT,
                         "'%s': no label in %zu records: looked for %s; the first has the "
                         "features %s; --label-key KEY names another",
                         source->path, source->index.count,
                         options->label_key ? options->label_key
                                            : "'label' or 'image/class/label'",
                         s->seen);
    for (size_t i = 0; i < source->index.count; i++) {
        data_record *r = data_index_at(&source->index, i);
        if (r->label != LABEL_MISSING)
            continue;
        r->label = s->names > 0 || source->labelling == DATA_LABELS_CLASSES ? 0 : -1;
        if (any && data_record_readable(r))
            r->size = data_size_unreadable(DATA_NO_LABEL_PART);
    }
    return BASE_OK;
}

static base_status settle_labels(scan *s, const data_source_options *options,
                                 base_error *err)
{
    data_source *source = s->source;
    base_status status = BASE_OK;

    source->labelling = s->names > 0     ? DATA_LABELS_CLASSES
                        : s->numbers > 0 ? DATA_LABELS_NUMBERS
                                         : DATA_LABELS_NONE;
    source->as_found = s->names > 0;
    if (s->numbers > 0 && s->names == 0)
        status = shift_labels(s, err);
    if (status == BASE_OK && s->numbers > 0 && s->names == 0 && s->slim == 0 &&
        !s->label_key && s->lowest >= 0) {
        char *text = read_names(source, NULL);
        if (text)
            status = name_labels(source, text, s->highest, err);
        base_free(text);
    }
    return status == BASE_OK ? settle_missing(s, options, err) : status;
}

static base_status tfrecord_scan(data_source *source, const data_source_options *options,
                                 base_error *err)
{
    scan *s = base_alloc(1, sizeof *s);
    base_status status = BASE_OK;

    if (!s)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
    s->source = source;
    s->label_key = options->label_key;
    for (size_t i = 0; i < data_files_count(source->files) && status == BASE_OK; i++) {
        s->shard = (uint32_t)i;
        status = scan_shard(s, err);
    }
    if (status == BASE_OK && s->no_image)
        status = base_fail(err, BASE_FORMAT,
                           "'%s': record 0 has no picture: looked for 'image' or "
                           "'image/encoded' with the bytes of a JPEG or PNG; it has the "
                           "features %s",
                           data_files_path(source->files, 0), s->seen);
    if (status == BASE_OK)
        status = settle_labels(s, options, err);
    base_free(s);
    return status;
}

/* ---- reading ------------------------------------------------------------------------ */

/* Adds the bytes begin..end of fd to the sum. */
static base_status sum_bytes(uint32_t *sum, int fd, uint64_t begin, uint64_t end,
                             base_error *err)
{
    unsigned char piece[4096];
    base_status status = BASE_OK;

    while (begin < end && status == BASE_OK) {
        const size_t bytes =
            end - begin < sizeof piece ? (size_t)(end - begin) : sizeof piece;
        status = data_pread(fd, piece, bytes, begin, err);
        if (status == BASE_OK)
            *sum = data_crc32c(*sum, piece, bytes);
        begin += bytes;
    }
    return status;
}

static uint64_t get_little(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

/* The picture out of its record, whose CRC is over all of it. */
static base_status read_held(unsigned char *to, int fd, uint64_t file_bytes,
                             const data_record *r, base_error *err)
{
    const uint64_t start = r->offset - r->name, begin = start + TFRECORD_HEAD;
    unsigned char head[TFRECORD_HEAD], foot[TFRECORD_FOOT];
    uint32_t sum = 0;

    base_status status = data_pread(fd, head, sizeof head, start, err);
    if (status != BASE_OK)
        return status;
    const uint64_t length = get_little(head, 8);
    if (length > file_bytes || begin + length + TFRECORD_FOOT > file_bytes ||
        r->offset + r->size > begin + length)
        return base_fail(err, BASE_FORMAT, "truncated");
    status = sum_bytes(&sum, fd, begin, r->offset, err);
    if (status == BASE_OK)
        status = data_pread(fd, to, r->size, r->offset, err);
    if (status == BASE_OK) {
        sum = data_crc32c(sum, to, r->size);
        status = sum_bytes(&sum, fd, r->offset + r->size, begin + length, err);
    }
    if (status == BASE_OK)
        status = data_pread(fd, foot, sizeof foot, begin + length, err);
    if (status == BASE_OK && data_crc32c_masked(sum) != get_little(foot, 4))
        status = base_fail(err, BASE_FORMAT,
                           "corrupt: the CRC of the record at offset %ju is wrong",
                           (uintmax_t)start);
    return status;
}

static base_status tfrecord_read(const data_source *source, const data_record *record,
                                 unsigned char *to, base_error *err)
{
    int fd;
    base_status status = data_files_hold(&fd, source->files, record->container, err);

    if (status != BASE_OK)
        return status;
    status =
        read_held(to, fd, data_files_bytes(source->files, record->container), record, err);
    data_files_release(source->files, record->container);
    return status;
}

/* ---- names -------------------------------------------------------------------------- */

/* The picture's file name as the record tells it, into out [DATA_NAME_MAX + 2]; false: it
 * tells none that is safe. */
static bool told_name(char *out, const data_source *source, const data_record *r)
{
    tfrecord_tape *tape = base_alloc(1, sizeof *tape);
    const uint64_t start = r->offset - r->name;
    tfrecord_example e;
    uint64_t length = 0;
    bool done = true, found = false;

    if (tape && data_files_hold(&tape->fd, source->files, r->container, NULL) == BASE_OK) {
        tape->bytes = data_files_bytes(source->files, r->container);
        found =
            data_tfrecord_head(&length, &done, tape, start, NULL) == BASE_OK && !done &&
            data_tfrecord_example(&e, tape, start + TFRECORD_HEAD,
                                  start + TFRECORD_HEAD + length, NULL, NULL) == BASE_OK &&
            data_member_name(out, e.name) && out[0] && !data_ends_in(out, "/");
        data_files_release(source->files, r->container);
    }
    base_free(tape);
    return found;
}

/* The number of sample i among those of its file. */
static size_t number_of(const data_source *source, size_t i)
{
    const uint32_t container = data_index_at(&source->index, i)->container;
    size_t low = 0, high = i;

    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (data_index_at(&source->index, middle)->container < container)
            low = middle + 1;
        else
            high = middle;
    }
    return i - low;
}

static void member_of(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    char name[DATA_NAME_MAX + 2];

    if (told_name(name, source, data_index_at(&source->index, i)))
        snprintf(out, out_bytes, "%s", name);
    else
        snprintf(out, out_bytes, "record-%zu", number_of(source, i));
}

/* CLASS/SHARD/NAME. */
static void tfrecord_relative(const data_source *source, size_t i, char *out,
                              size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *path = data_files_path(source->files, r->container);
    const char *slash = strrchr(path, '/'), *shard = slash ? slash + 1 : path;
    char name[DATA_NAME_MAX + 2], class[DATA_NAME_MAX];

    member_of(source, i, name, sizeof name);
    data_class_folder(class, sizeof class, source, r->label);
    snprintf(out, out_bytes, "%s%s%s/%s", class, shard[0] == '.' ? "shard" : "", shard,
             name);
}

static void tfrecord_whole(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    char name[DATA_NAME_MAX + 2];

    member_of(source, i, name, sizeof name);
    snprintf(out, out_bytes, "%s[%zu]!%s", data_files_path(source->files, r->container),
             number_of(source, i), name);
}

/* ---- the layout --------------------------------------------------------------------- */

/* Whether the file begins as a record does. */
static bool is_tfrecord(const char *path)
{
    tfrecord_tape *tape = base_alloc(1, sizeof *tape);
    uint64_t length;
    struct stat info;
    bool done = true, is = false;

    if (tape && stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        tape->fd = open(path, O_RDONLY | O_CLOEXEC);
        tape->bytes = (uint64_t)info.st_size;
        is = tape->fd >= 0 &&
             data_tfrecord_head(&length, &done, tape, 0, NULL) == BASE_OK && !done;
        if (tape->fd >= 0)
            close(tape->fd);
    }
    base_free(tape);
    return is;
}

static int tfrecord_fits(const char *path)
{
    const char *slash = strrchr(path, '/');
    wds_list list = {0};
    struct stat info;
    int fits = 0;

    if (stat(path, &info) != 0) /* braces, globs: opening says what is missing */
        return strpbrk(path, "{*?[") && is_record_name(slash ? slash + 1 : path) ? 2 : 0;
    if (!S_ISDIR(info.st_mode))
        return is_record_name(slash ? slash + 1 : path) || is_tfrecord(path) ? 2 : 0;
    if (data_wds_list_shards(&list, path, is_record_name, "TFRecord files", NULL) ==
            BASE_OK &&
        list.count > 0)
        fits = is_tfrecord(list.path[0]) ? 2 : 1;
    data_wds_list_free(&list);
    return fits;
}

const data_layout data_layout_tfrecord = {
    .name = "tfrecord",
    .holds = "TFRecord files of tf.Example with a picture and a label each",
    .fits = tfrecord_fits,
    .prepare = tfrecord_prepare,
    .scan = tfrecord_scan,
    .read = tfrecord_read,
    .relative = tfrecord_relative,
    .whole = tfrecord_whole,
    .advise = data_archive_advise,
    .join = '!',
    .cached = true,
};
