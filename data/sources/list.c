/* list.c - a list of images: a text file with a line PATH<TAB>LABEL for each, PATH
 * relative to the list, absolute, or "archive.tar!member" (data.md 1). Labels are all
 * numbers, or all class names, or missing. Free to change: the texts. Relied on elsewhere:
 * samples are numbered as the lines are. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"
#include "data/sources/labels_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_BYTES = 2 * DATA_NAME_MAX,
    HERE = 0,    /* container of names relative to the list */
    ROOT = 1,    /* of absolute ones, without their first '/' */
    ARCHIVES = 2 /* and of what lies in source->files[container - ARCHIVES] */
};

#define UNRESOLVED (DATA_SIZE_MOST + 10) /* no record's size: it is no data_unreadable */

/* What all labels of the list are. */
typedef enum label_kind { KIND_NONE, KIND_NUMBER, KIND_NAME } label_kind;

typedef struct lines {
    data_source *source;
    FILE *file;
    size_t number;
    off_t bytes; /* of the lines so far */
    label_kind kind;
    size_t remarks, remark;    /* lines that begin with '#' and have no tab; the last one */
    data_class_table archives; /* as they were written, by number in source->files */
    const char *label;         /* of the line, in text after its name; NULL: none */
    char text[LINE_BYTES];
} lines;

/* ---- lines -------------------------------------------------------------------------- */

/* The mark that some editors begin UTF-8 with goes. */
static void drop_mark(char *text)
{
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        memmove(text, text + 3, strlen(text + 3) + 1);
}

/* The next line that is neither empty nor a remark, without its end; *done: no more. */
static base_status next_line(lines *l, bool *done, base_error *err)
{
    *done = false;
    for (;;) {
        if (!fgets(l->text, sizeof l->text, l->file)) {
            *done = true;
            return ferror(l->file)
                       ? base_fail_errno(err, "cannot read '%s'", l->source->path)
                       : BASE_OK;
        }
        size_t bytes = strlen(l->text);
        const bool ends = bytes > 0 && l->text[bytes - 1] == '\n';
        l->number++;
        l->bytes += (off_t)bytes;
        if (!ends && bytes + 1 == sizeof l->text)
            return base_fail(err, BASE_FORMAT, "'%s' line %zu is too long", l->source->path,
                             l->number);
        if (!ends && ftello(l->file) != l->bytes) /* fgets reads beyond a 0 */
            return base_fail(err, BASE_FORMAT, "'%s' is no text: line %zu has a byte 0",
                             l->source->path, l->number);
        if (l->number == 1)
            drop_mark(l->text);
        bytes = strlen(l->text);
        const bool remark = l->text[0] == '#' && !strchr(l->text, '\t');
        while (bytes > 0 && strchr("\r\n \t", l->text[bytes - 1]))
            l->text[--bytes] = '\0';
        if (remark) {
            l->remarks++;
            l->remark = l->number;
        } else if (bytes > 0) {
            return BASE_OK;
        }
    }
}

/* With the line as it stands in the file: take_line ends its fields with 0. */
static base_status line_error(const lines *l, base_error *err, const char *what)
{
    char shown[300], whole[2 * LINE_BYTES];

    snprintf(whole, sizeof whole, "%s%s%s", l->text, l->label ? "\t" : "",
             l->label ? l->label : "");
    return base_fail(err, BASE_FORMAT, "'%s' line %zu: %s: '%s'", l->source->path,
                     l->number, what, base_quote(shown, sizeof shown, whole));
}

/* The record's label, and that all lines have labels of one kind. */
static base_status take_label(lines *l, int32_t *out, const char *label, base_error *err)
{
    const int32_t number = label ? data_label_number(label) : -1;
    const label_kind kind = !label ? KIND_NONE : number >= 0 ? KIND_NUMBER : KIND_NAME;
    uint32_t class = 0;

    if (number == -2)
        return line_error(l, err, "the label is a number, but none of a class");

    if (l->source->index.count == 0)
        l->kind = kind;
    if (kind == KIND_NONE && l->kind == KIND_NONE)
        return BASE_OK;
    if (kind == KIND_NONE || l->kind == KIND_NONE)
        return line_error(
            l, err,
            kind == KIND_NONE
                ? "no tab with a label after it, as the lines before have"
                : "a tab with a label after it, but the lines before have none");
    if (kind != l->kind)
        return line_error(l, err,
                          kind == KIND_NUMBER
                              ? "some labels are numbers and some are names: a number"
                              : "some labels are numbers and some are names: no number");
    if (kind == KIND_NUMBER) {
        *out = number;
        return BASE_OK;
    }
    const base_status status = data_class_add(&class, &l->source->table, label, err);
    *out = (int32_t) class;
    return status;
}

/* An archive's container; relative names count from the list's folder. */
static base_status take_archive(lines *l, uint32_t *container, const char *name,
                                base_error *err)
{
    data_source *source = l->source;
    const size_t known = l->archives.count;
    uint32_t number = 0, joined;

    base_status status = data_class_add(&number, &l->archives, name, err);
    if (status != BASE_OK || number < known) {
        *container = ARCHIVES + number;
        return status;
    }
    char *path = name[0] == '/' ? base_text("%s", name)
                                : base_text("%s/%s", data_source_base(source), name);
    status = path ? data_tar_join(source, &joined, path, err)
                  : base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", source->path);
    base_free(path);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s' line %zu: ", source->path, l->number);
    *container = ARCHIVES + number;
    return status;
}

/* A file that lies in no archive: its size. */
static base_status take_file(lines *l, data_record *r, const char *name, base_error *err)
{
    struct stat info;

    if (fstatat(l->source->fd, name, &info, 0) != 0) {
        if (l->kind == KIND_NONE && errno == ENOENT && strpbrk(name, " ,;"))
            return line_error(l, err,
                              "no such file; between a path and its label stands a "
                              "tab, and here is none");
        base_fail_errno(err, "cannot open '%s'", name);
        base_error_prepend(err, "'%s' line %zu: ", l->source->path, l->number);
        return err ? err->status : BASE_IO;
    }
    if (!S_ISREG(info.st_mode))
        return line_error(l, err, "is no file");
    r->size = (uint64_t)info.st_size <= DATA_SIZE_MOST ? (uint32_t)info.st_size
                                                       : data_size_unreadable(DATA_LARGE);
    r->container = name[0] == '/' ? ROOT : HERE;
    return BASE_OK;
}

static base_status take_line(lines *l, base_error *err)
{
    char *tab = strchr(l->text, '\t');
    data_record r = {.size = UNRESOLVED};
    base_status status;

    if (tab)
        *tab = '\0';
    const char *name = l->text;
    char *label = tab ? tab + 1 : NULL;
    l->label = label;
    if (strlen(name) > DATA_NAME_MAX)
        return line_error(l, err, "the name is too long");
    if (label) {
        label += strspn(label, " ");
        size_t bytes = strcspn(label, "\t");
        while (bytes > 0 && label[bytes - 1] == ' ')
            bytes--;
        label[bytes] = '\0';
    }
    status = take_label(l, &r.label, label, err);
    if (status != BASE_OK)
        return status;
    char *bang = strstr(l->text, ".tar!");
    if (bang) {
        bang[4] = '\0';
        status = take_archive(l, &r.container, name, err);
        bang[4] = '!';
    } else {
        status = take_file(l, &r, name, err);
        name += strspn(name, "/");
    }
    return status == BASE_OK ? data_index_add(&l->source->index, &r, name, err) : status;
}

/* ---- members of archives ------------------------------------------------------------ */

static const char *member_of(const data_source *source, const data_record *r)
{
    return strstr(data_index_name(&source->index, r->name), ".tar!") + 5;
}

static int compare_members(const void *a, const void *b, void *user)
{
    const data_source *source = user;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return strcmp(member_of(source, data_index_at(&source->index, x)),
                  member_of(source, data_index_at(&source->index, y)));
}

/* The first of the sorted records [count] whose member is not before name. */
static size_t lower_bound(const data_source *source, const uint32_t *record, size_t count,
                          const char *name)
{
    size_t low = 0, high = count;

    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (strcmp(member_of(source, data_index_at(&source->index, record[middle])), name) <
            0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* One walk over the archive: the members that records ask for get their places. */
static base_status resolve_archive(data_source *source, uint32_t number, uint32_t *record,
                                   size_t count, base_error *err)
{
    data_tar *tar = NULL;
    data_member m;
    bool done = false;
    char shown[300];
    int fd;

    base_status status = data_tar_hold(&fd, source, number, err);
    if (status != BASE_OK)
        return status;
    qsort_r(record, count, sizeof *record, compare_members, source);
    status = data_tar_open(&tar, fd, data_files_path(source->files, number), 0,
                           data_files_bytes(source->files, number), err);
    while (status == BASE_OK) {
        status = data_tar_next(tar, &m, &done, err);
        if (status != BASE_OK || done)
            break;
        if (!m.name || !m.file)
            continue;
        for (size_t i = lower_bound(source, record, count, m.name); i < count; i++) {
            data_record *r = data_index_at(&source->index, record[i]);
            if (strcmp(member_of(source, r), m.name) != 0)
                break;
            const data_record found = data_member_record(&m, r->container, r->label);
            r->offset = found.offset;
            r->size = found.size;
        }
    }
    data_tar_close(tar);
    data_files_release(source->files, number);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        const data_record *r = data_index_at(&source->index, record[i]);
        if (r->size == UNRESOLVED)
            status = base_fail(err, BASE_FORMAT, "'%s': '%s' holds no '%s'", source->path,
                               data_files_path(source->files, number),
                               base_quote(shown, sizeof shown, member_of(source, r)));
    }
    return status;
}

/* Records by archive, then a walk over each. */
static base_status resolve(data_source *source, base_error *err)
{
    const size_t archives = data_files_count(source->files);
    const size_t count = source->index.count;
    base_status status = BASE_OK;
    size_t *start = base_alloc(archives + 2, sizeof *start);
    uint32_t *record = base_alloc(count, sizeof *record);

    if (!start || !record) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", source->path);
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t c = data_index_at(&source->index, i)->container;
        if (c >= ARCHIVES)
            start[c - ARCHIVES + 2]++;
    }
    for (size_t a = 1; a < archives + 2; a++)
        start[a] += start[a - 1];
    for (size_t i = 0; i < count; i++) {
        const uint32_t c = data_index_at(&source->index, i)->container;
        if (c >= ARCHIVES)
            record[start[c - ARCHIVES + 1]++] = (uint32_t)i;
    }
    for (size_t a = 0; a < archives && status == BASE_OK; a++)
        status = resolve_archive(source, (uint32_t)a, record + start[a],
                                 start[a + 1] - start[a], err);
done:
    base_free(start);
    base_free(record);
    return status;
}

/* ---- the layout --------------------------------------------------------------------- */

static base_status list_prepare(data_source *source, const data_source_options *options,
                                base_error *err)
{
    const char *slash = strrchr(source->path, '/');

    source->base = !slash ? base_text(".")
                   : slash == source->path
                       ? base_text("/")
                       : base_text("%.*s", (int)(slash - source->path), source->path);
    if (!source->base)
        return base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", source->path);
    return data_folder_prepare(source, options, err);
}

static base_status read_lines(lines *l, base_error *err)
{
    base_status status = BASE_OK;
    struct stat info;
    bool done = false;

    int fd = -1;
    status = base_file_open(&fd, NULL, l->source->path, err);
    if (status != BASE_OK)
        return status;
    l->file = fdopen(fd, "r");
    if (!l->file || fstat(fd, &info) != 0) {
        base_fail_errno(err, "cannot open '%s'", l->source->path);
        if (!l->file)
            close(fd);
        return BASE_IO;
    }
    status = data_source_witness(l->source, l->source->path, &info, err);
    while (status == BASE_OK) {
        status = next_line(l, &done, err);
        if (status != BASE_OK || done)
            break;
        status = take_line(l, err);
        data_source_tick(l->source);
    }
    return status;
}

static base_status list_scan(data_source *source, const data_source_options *options,
                             base_error *err)
{
    lines *l = base_alloc(1, sizeof *l);
    uint32_t number;

    (void)options;
    if (!l)
        return base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", source->path);
    l->source = source;
    base_status status = data_class_add(&number, &source->folders, ".", err);
    if (status == BASE_OK)
        status = data_class_add(&number, &source->folders, "/", err);
    if (status == BASE_OK)
        status = read_lines(l, err);
    if (l->file)
        fclose(l->file);
    if (status == BASE_OK && l->remarks > 0)
        data_source_note(source,
                         "%zu line%s of remarks (# and no tab) in '%s', the last %zu",
                         l->remarks, l->remarks == 1 ? "" : "s", source->path, l->remark);
    if (status == BASE_OK && source->files)
        status = resolve(source, err);
    source->names = true;
    source->as_found = true;
    source->labelling = l->kind == KIND_NAME     ? DATA_LABELS_CLASSES
                        : l->kind == KIND_NUMBER ? DATA_LABELS_NUMBERS
                                                 : DATA_LABELS_NONE;
    data_class_table_destroy(&l->archives);
    base_free(l);
    return status;
}

static base_status list_read(const data_source *source, const data_record *record,
                             unsigned char *to, base_error *err)
{
    if (record->container < ARCHIVES)
        return data_folder_read(source, record, to, err);
    return data_files_read(source->files, record->container - ARCHIVES, to, record->size,
                           record->offset, err);
}

/* Paths of a list may lead anywhere: the last part of each, and its number before it. */
static void list_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *name = data_index_name(&source->index, r->name);
    const char *slash = strrchr(name, '/');
    char class[DATA_NAME_MAX];

    name = slash ? slash + 1 : name;
    name = strstr(name, ".tar!") ? strstr(name, ".tar!") + 5 : name;
    data_class_folder(class, sizeof class, source, r->label);
    snprintf(out, out_bytes, "%s%06zu-%s", class, i, name);
}

static void list_whole(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *name = data_index_name(&source->index, r->name);

    if (r->container == ROOT)
        snprintf(out, out_bytes, "/%s", name);
    else if (r->container >= ARCHIVES && name[0] == '/')
        snprintf(out, out_bytes, "%s", name);
    else
        snprintf(out, out_bytes, "%s/%s", data_source_base(source), name);
}

static void list_advise(const data_source *source, const data_record *record)
{
    if (record->container < ARCHIVES) {
        data_folder_advise(source, record);
        return;
    }
    data_record moved = *record;
    moved.container -= ARCHIVES;
    data_archive_advise(source, &moved);
}

/* Whether a line names an image, alone or before a tab; before a blank or a comma, too,
 * where opening says what is missing. */
static bool names_image(char *line)
{
    line[strcspn(line, "\t\r\n")] = '\0';
    if (data_is_image_name(line))
        return true;
    line[strcspn(line, " ,;")] = '\0';
    return data_is_image_name(line);
}

/* A text whose first line names an image. */
static int list_fits(const char *path)
{
    static const char *const ends[] = {".txt", ".tsv", ".lst", ".list", ".csv"};
    struct stat info;
    char line[LINE_BYTES] = "";
    bool named = false;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        named = named || data_ends_in(path, ends[i]);
    FILE *file = named ? fopen(path, "re") : NULL;
    if (!file)
        return 0;
    do {
        if (!fgets(line, sizeof line, file))
            line[0] = '\0';
        drop_mark(line);
    } while ((line[0] == '#' && !strchr(line, '\t')) || line[0] == '\n');
    fclose(file);
    return names_image(line) ? 2 : 0;
}

const data_layout data_layout_list = {
    .name = "list",
    .holds = "a text file with a line PATH<tab>LABEL for each image",
    .fits = list_fits,
    .prepare = list_prepare,
    .scan = list_scan,
    .read = list_read,
    .relative = list_relative,
    .whole = list_whole,
    .advise = list_advise,
    .join = '/',
    .cached = true,
};
