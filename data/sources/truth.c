/* truth.c - labels of ILSVRC2012's validation images, which lie in no class folders
 * (data.md 1). Told apart by content: numbers of the development kit (1..1000, in its own
 * order), indices (0..999), WordNet ids, one a line; "NAME LABEL" lines (Caffe's val.txt,
 * Tiny ImageNet's val_annotations.txt); Kaggle's LOC_val_solution.csv; the development
 * kit's archive itself, compressed or not. Free to change: the texts. Relied on elsewhere:
 * what is an id and what an index. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"
#include "data/sources/labels_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    TEXT_MOST = 64 << 20, /* Kaggle's has 2 MB */
    KIT_MOST = 256 << 20, /* bytes of a development kit that are looked through */
    CLASS_BYTES = 64
};

typedef struct entry {
    const char *stem;  /* file name without path and ending; NULL: by number */
    const char *class; /* WordNet id, or the text of another label */
    size_t line;
    bool taken; /* by an image */
} entry;

struct data_truth {
    char *text;
    entry *at;
    size_t room, count;
    bool named;
    char kind[80];
};

void data_truth_destroy(data_truth *truth)
{
    if (!truth)
        return;
    base_free(truth->text);
    base_free(truth->at);
    base_free(truth);
}

size_t data_truth_count(const data_truth *truth)
{
    return truth->count;
}

bool data_truth_named(const data_truth *truth)
{
    return truth->named;
}

const char *data_truth_kind(const data_truth *truth)
{
    return truth->kind;
}

/* ---- reading ------------------------------------------------------------------------ */

/* The member that holds the numbers, out of the development kit. */
static base_status read_kit(char **out, size_t *bytes, const char *path, base_error *err)
{
    static const char member[] = "ILSVRC2012_validation_ground_truth.txt";
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    base_status status = BASE_OK;
    char *text = NULL, why[200];
    int got = ARCHIVE_FATAL;

    if (!a)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    archive_read_support_filter_gzip(a);
    archive_read_support_format_tar(a);
    if (archive_read_open_filename(a, path, 1 << 16) == ARCHIVE_OK) {
        do {
            got = archive_read_next_header(a, &e);
        } while ((got == ARCHIVE_OK || got == ARCHIVE_WARN) &&
                 archive_filter_bytes(a, 0) < KIT_MOST &&
                 !data_ends_in(archive_entry_pathname(e) ? archive_entry_pathname(e) : "",
                               member));
    }
    if (got == ARCHIVE_OK || got == ARCHIVE_WARN) {
        const la_int64_t size = archive_entry_size(e);
        if (size < 0 || size > TEXT_MOST || archive_filter_bytes(a, 0) >= KIT_MOST)
            got = ARCHIVE_EOF;
        else if (!(text = base_alloc((size_t)size + 1, 1)))
            status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
        else if (archive_read_data(a, text, (size_t)size) != size)
            got = ARCHIVE_FATAL;
        *bytes = (size_t)size;
    }
    if (status == BASE_OK && got == ARCHIVE_EOF)
        status = base_fail(err, BASE_FORMAT, "'%s' is an archive without %s", path, member);
    else if (status == BASE_OK && got != ARCHIVE_OK && got != ARCHIVE_WARN) {
        const char *said = archive_error_string(a);
        status = base_fail(err, BASE_FORMAT, "'%s': damaged archive: %s", path,
                           base_quote(why, sizeof why, said ? said : "unreadable"));
    }
    archive_read_free(a);
    if (status == BASE_OK)
        *out = text;
    else
        base_free(text);
    return status;
}

static base_status read_text(char **out, size_t *bytes, const char *path, base_error *err)
{
    if (data_tar_looks(path) || data_ends_in(path, ".gz")) {
        int fd = -1; /* libarchive would wait for a pipe */
        const base_status opened = base_file_open(&fd, NULL, path, err);
        if (opened != BASE_OK)
            return opened;
        close(fd);
        return read_kit(out, bytes, path, err);
    }
    return base_file_read(out, bytes, path, TEXT_MOST, err);
}

/* ---- what a line says --------------------------------------------------------------- */

static bool is_wnid(const char *word)
{
    return word[0] == 'n' && strlen(word) == 9 && strspn(word + 1, "0123456789") == 8;
}

/* File name without its folders and ending, in place. */
static char *stem_of(char *name)
{
    char *slash = strrchr(name, '/');

    name = slash ? slash + 1 : name;
    if (data_is_image_name(name))
        *strrchr(name, '.') = '\0';
    return name;
}

static base_status add_entry(data_truth *t, const char *stem, const char *class,
                             size_t line, base_error *err)
{
    if (!data_grow(&t->at, &t->room, t->count + 1, sizeof *t->at))
        return base_fail(err, BASE_NO_MEMORY, "no memory for labels");
    t->at[t->count++] = (entry){stem, class, line, false};
    return BASE_OK;
}

/* Without blanks and quotes around it, in place. */
static char *trimmed(char *word)
{
    word += strspn(word, " \r");
    size_t bytes = strlen(word);
    while (bytes > 0 && strchr(" \t\r", word[bytes - 1]))
        word[--bytes] = '\0';
    if (bytes > 1 && word[0] == '"' && word[bytes - 1] == '"') {
        word[bytes - 1] = '\0';
        word++;
    }
    return word;
}

/* Up to the stop, which goes; *at NULL: that was the last. */
static char *next_field(char **at, char stop)
{
    char *word = *at;
    char *end = strchr(word + (word[0] == '"' ? 1 + strcspn(word + 1, "\"") : 0), stop);

    *at = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return trimmed(word);
}

/* Between blanks: what follows a label are numbers, as those of a box. */
static bool follows_label(const char *rest)
{
    while (rest && *rest) {
        rest += strspn(rest, " \t\r");
        if (*rest && !strchr("0123456789-.", *rest))
            return false;
        rest += strcspn(rest, " \t\r");
    }
    return true;
}

/* One line: WORD, or NAME LABEL and what may follow, between commas, tabs or blanks. A
 * label may have blanks where these do not separate; of Kaggle's, "n01440764 1 2 3 4 n...",
 * the first id counts. */
static base_status take_line(data_truth *t, char *line, bool csv, size_t number,
                             const char *path, base_error *err)
{
    line += strspn(line, csv ? "" : " \t\r");
    const char stop = csv ? ',' : strchr(line, '\t') ? '\t' : ' ';
    char *rest = line, *first = next_field(&rest, stop), *second = NULL, shown[160];

    if (rest && stop == ' ')
        rest += strspn(rest, " \r");
    if (rest && *rest)
        second = next_field(&rest, stop);
    if (second && !*second)
        second = NULL;
    if (!*first && !second)
        return BASE_OK;
    if (second && stop == ',' && strlen(second) > 9 && second[9] == ' ') {
        second[9] = '\0';
        if (!is_wnid(second))
            second[9] = ' ';
    }
    if (t->count == 0)
        t->named = second != NULL;
    if (t->named != (second != NULL))
        return base_fail(err, BASE_FORMAT, "'%s' line %zu: expected %s, as before", path,
                         number, t->named ? "a name and a label" : "one word");
    if (stop == ' ' && second && !follows_label(rest))
        return base_fail(err, BASE_FORMAT,
                         "'%s' line %zu: '%s' and more words, expected a name and a label: "
                         "one with blanks behind a tab or a comma",
                         path, number, base_quote(shown, sizeof shown, second));
    return second ? add_entry(t, stem_of(first), second, number, err)
                  : add_entry(t, NULL, first, number, err);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->stem, ((const entry *)b)->stem);
}

static base_status sort_names(data_truth *t, const char *path, base_error *err)
{
    char shown[200];

    qsort(t->at, t->count, sizeof *t->at, compare_entries);
    for (size_t i = 1; i < t->count; i++) {
        if (strcmp(t->at[i - 1].stem, t->at[i].stem) == 0)
            return base_fail(err, BASE_FORMAT, "'%s' line %zu: '%s' has a label already",
                             path, t->at[i].line,
                             base_quote(shown, sizeof shown, t->at[i].stem));
    }
    return BASE_OK;
}

/* Numbers become WordNet ids: in a file of numbers alone, from 1 the kit's ids, from 0
 * indices; beside a name always indices. */
static base_status settle_labels(data_truth *t, const char *path, bool imagenet,
                                 base_error *err)
{
    static const char names[] = "names with ";
    int16_t label_of[DATA_IMAGENET_CLASSES + 1] = {0};
    const char *named = t->named ? names : "";
    size_t numbers = 0, wnids = 0;
    bool zero = t->named;
    char shown[CLASS_BYTES];

    for (size_t i = 0; i < t->count; i++) {
        const int32_t label = data_label_number(t->at[i].class);
        if (label == -2)
            return base_fail(
                err, BASE_FORMAT, "'%s' line %zu: '%s' is a number but no label", path,
                t->at[i].line, base_quote(shown, sizeof shown, t->at[i].class));
        if (label >= 0) /* "3.0" is 3 */
            t->text[t->at[i].class - t->text + strcspn(t->at[i].class, ".")] = '\0';
        numbers += label >= 0;
        zero = zero || label == 0;
        wnids += is_wnid(t->at[i].class);
    }
    if ((numbers == 0 && (t->named || wnids == t->count)) || !imagenet) {
        snprintf(t->kind, sizeof t->kind, "%zu %s%s", t->count, named,
                 wnids == t->count     ? "WordNet ids"
                 : numbers == t->count ? "numbers"
                                       : "classes");
        return BASE_OK;
    }
    for (size_t i = 0; i < DATA_IMAGENET_CLASSES; i++)
        label_of[data_imagenet_kit_id(i)] = (int16_t)i;
    for (size_t i = 0; i < t->count; i++) {
        const int32_t n = data_class_number(t->at[i].class);
        if (n < !zero || n > DATA_IMAGENET_CLASSES - zero)
            return base_fail(err, BASE_FORMAT, "'%s' line %zu: '%s' is no %s", path,
                             t->at[i].line, base_quote(shown, sizeof shown, t->at[i].class),
                             zero ? "index from 0 to 999" : "ILSVRC2012 id from 1 to 1000");
        t->at[i].class = data_imagenet_wnid(zero ? (size_t)n : (size_t)label_of[n]);
    }
    snprintf(t->kind, sizeof t->kind, "%zu %s%s", t->count, named,
             zero ? "indices from 0" : "ILSVRC2012 ids from 1");
    return BASE_OK;
}

/* A comma before any blank. */
static bool has_commas(const char *line)
{
    return line[0] == '"' ? strchr(line, ',') && !strchr(line, '\t')
                          : line[strcspn(line, ", \t")] == ',';
}

/* "ImageId,PredictionString": a first line whose first word names no image. */
static bool is_heading(const char *line)
{
    static const char *const words[] = {"ImageId", "image", "filename", "file_name",
                                        "file",    "name",  "path",     "id"};
    char plain[64] = "";
    for (size_t i = 0; *line && i + 1 < sizeof plain; line++) {
        if (*line != '"')
            plain[i++] = *line;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t bytes = strlen(words[i]);
        if (strncasecmp(plain, words[i], bytes) == 0 &&
            (plain[bytes] == ',' || plain[bytes] == '\t'))
            return true;
    }
    return false;
}

/* Lines to entries, and what they mean. */
static base_status parse_lines(data_truth *t, const char *path, bool imagenet,
                               base_error *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, as some editors begin */
    base_status status = BASE_OK;
    size_t number = 0;
    bool csv = false;

    char *first = t->text;
    if (first && strncmp(first, mark, 3) == 0)
        first += 3;
    for (char *line = first, *next; status == BASE_OK && line && *line; line = next) {
        char *end = line + strcspn(line, "\n");
        next = *end ? end + 1 : end;
        *end = '\0';
        number++;
        if (line[0] == '#' && strchr(" \r", line[1])) /* or nothing more: a remark */
            continue;
        if (t->count == 0) /* until a label is seen */
            csv = csv || has_commas(line);
        if (t->count > 0 || !is_heading(line))
            status = take_line(t, line, csv, number, path, err);
    }
    if (status == BASE_OK && t->count == 0)
        status = base_fail(err, BASE_FORMAT, "'%s' holds no labels", path);
    if (status == BASE_OK)
        status = settle_labels(t, path, imagenet, err);
    return status == BASE_OK && t->named ? sort_names(t, path, err) : status;
}

base_status data_truth_parse(data_truth **out, char *text, size_t bytes, const char *path,
                             bool imagenet, base_error *err)
{
    data_truth *t = base_alloc(1, sizeof *t);
    base_status status;

    if (!t) {
        base_free(text);
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    }
    t->text = text;
    if (text && strlen(text) != bytes)
        status = base_fail(err, BASE_FORMAT, "'%s' is no text: it has a byte 0", path);
    else
        status = parse_lines(t, path, imagenet, err);
    if (status == BASE_OK)
        *out = t;
    else
        data_truth_destroy(t);
    return status;
}

base_status data_truth_load(data_truth **out, const char *path, bool imagenet,
                            base_error *err)
{
    size_t bytes = 0;
    char *text = NULL;
    const base_status status = read_text(&text, &bytes, path, err);

    return status == BASE_OK ? data_truth_parse(out, text, bytes, path, imagenet, err)
                             : status;
}

size_t data_image_number(const char *name)
{
    const char *at = strrchr(name, '_');
    size_t n = 0;

    for (at = at ? at + 1 : ""; *at >= '0' && *at <= '9' && n < UINT32_MAX; at++)
        n = 10 * n + (size_t)(*at - '0');
    return *at && *at != '.' ? 0 : n;
}

/* The line of the image called name, NULL: none. */
static entry *find_entry(const data_truth *truth, const char *name)
{
    char copy[DATA_NAME_MAX + 1];

    snprintf(copy, sizeof copy, "%s", name);
    const char *stem = stem_of(copy);
    if (!truth->named) {
        const size_t n = data_image_number(stem);
        return n >= 1 && n <= truth->count ? &truth->at[n - 1] : NULL;
    }
    const entry key = {.stem = stem};
    return bsearch(&key, truth->at, truth->count, sizeof *truth->at, compare_entries);
}

base_status data_truth_take(const char **class, data_truth *truth, const char *name,
                            const char *path, base_error *err)
{
    entry *at = find_entry(truth, name);
    char shown[256];

    base_quote(shown, sizeof shown, name);
    if (!at)
        return base_fail(err, BASE_MISMATCH, "'%s' (%s) has no label for '%s'%s", path,
                         truth->kind, shown,
                         truth->named
                             ? ""
                             : ": line k belongs to the image whose name ends in _k, "
                               "from 1");
    if (at->taken)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' (%s) line %zu is the label of '%s' and of another image: a "
                         "line belongs to one",
                         path, truth->kind, at->line, shown);
    at->taken = true;
    *class = at->class;
    return BASE_OK;
}
