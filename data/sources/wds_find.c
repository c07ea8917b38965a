/* wds_find.c - which shards a WebDataset path means (data.md 1), and whether a tar
 * is a shard: the first image has a companion of the same key. Free to change: how many
 * members are looked at. Relied on elsewhere: shards are sorted bytewise by their whole
 * paths. */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/sources/archives_internal.h"
#include "data/sources/wds_internal.h"

enum { SHARDS_MOST = 1 << 20, FIRST_LOOKED = 64, SPEC_BYTES = 4096 };

void data_wds_list_free(wds_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        base_free(list->path[i]);
    base_free(list->path);
    *list = (wds_list){0};
}

static base_status add_path(wds_list *list, const char *path, base_error *err)
{
    char *copy;

    if (list->count == SHARDS_MOST)
        return base_fail(err, BASE_UNSUPPORTED, "more than %d shards", SHARDS_MOST);
    copy = base_text("%s", path);
    if (!copy || !data_grow(&list->path, &list->room, list->count + 1, sizeof copy)) {
        base_free(copy);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu shards", list->count + 1);
    }
    list->path[list->count++] = copy;
    return BASE_OK;
}

bool data_wds_is_tar_name(const char *name)
{
    return data_ends_in(name, ".tar");
}

static base_status add_folder(wds_list *list, const char *path,
                              bool (*is_shard)(const char *name), const char *kind,
                              base_error *err)
{
    base_status status = BASE_OK;
    const struct dirent *d;
    DIR *dir = opendir(path);

    if (!dir)
        return base_fail_errno(err, "cannot open '%s'", path);
    while (status == BASE_OK && (d = readdir(dir)) != NULL) {
        if (d->d_name[0] == '.' || !is_shard(d->d_name))
            continue;
        char *file = base_text("%s/%s", path, d->d_name);
        status = file ? add_path(list, file, err)
                      : base_fail(err, BASE_NO_MEMORY, "no memory for shards");
        base_free(file);
    }
    closedir(dir);
    if (status == BASE_OK && list->count == 0)
        status = base_fail(err, BASE_FORMAT, "'%s' holds no %s", path, kind);
    return status;
}

/* A pattern without braces. */
static base_status add_glob(wds_list *list, const char *pattern, base_error *err)
{
    base_status status = BASE_OK;
    glob_t found;

    if (!strpbrk(pattern, "*?["))
        return add_path(list, pattern, err);
    const int got = glob(pattern, 0, NULL, &found);
    if (got != 0)
        return got == GLOB_NOSPACE
                   ? base_fail(err, BASE_NO_MEMORY, "no memory for shards")
                   : base_fail(err, BASE_IO, "no file matches '%s'", pattern);
    for (size_t i = 0; i < found.gl_pathc && status == BASE_OK; i++)
        status = add_path(list, found.gl_pathv[i], err);
    globfree(&found);
    return status;
}

static base_status expand(wds_list *list, const char *spec, int depth, base_error *err);

/* front, the middle piece, back: then what back still holds. */
static base_status expand_piece(wds_list *list, const char *spec, size_t front,
                                const char *piece, size_t piece_bytes, const char *back,
                                int depth, base_error *err)
{
    char whole[SPEC_BYTES];
    const int used = snprintf(whole, sizeof whole, "%.*s%.*s%s", (int)front, spec,
                              (int)piece_bytes, piece, back);

    if (used < 0 || (size_t)used >= sizeof whole)
        return base_fail(err, BASE_USAGE, "the names of the shards are too long");
    return expand(list, whole, depth + 1, err);
}

/* "0000..1023" of bytes bytes: *width digits when zero padded. */
static bool parse_range(int64_t *low, int64_t *high, int *width, const char *text,
                        size_t bytes)
{
    char a[20], b[20];
    const char *dots = memmem(text, bytes, "..", 2);

    if (!dots)
        return false;
    const size_t first = (size_t)(dots - text), second = bytes - first - 2;
    if (first == 0 || second == 0 || first >= sizeof a || second >= sizeof b ||
        strspn(text, "0123456789") != first || strspn(dots + 2, "0123456789") != second)
        return false;
    snprintf(a, sizeof a, "%.*s", (int)first, text);
    snprintf(b, sizeof b, "%.*s", (int)second, dots + 2);
    *width = a[0] == '0' && first > 1 ? (int)first : 0;
    return base_parse_int(low, a) && base_parse_int(high, b) && *low <= *high &&
           *high - *low < SHARDS_MOST;
}

/* The first group of braces is written out, then the rest; at most eight groups. */
static base_status expand(wds_list *list, const char *spec, int depth, base_error *err)
{
    const char *open = strchr(spec, '{');
    const char *close = open ? strchr(open, '}') : NULL;
    base_status status = BASE_OK;
    int64_t low, high;
    char number[32];
    int width;

    if (!close)
        return add_glob(list, spec, err);
    if (depth == 8)
        return base_fail(err, BASE_USAGE, "more than 8 groups of braces in '%s'", spec);
    const size_t front = (size_t)(open - spec), inside = (size_t)(close - open) - 1;
    if (parse_range(&low, &high, &width, open + 1, inside)) {
        for (int64_t i = low; i <= high && status == BASE_OK; i++) {
            snprintf(number, sizeof number, "%0*lld", width, (long long)i);
            status = expand_piece(list, spec, front, number, strlen(number), close + 1,
                                  depth, err);
        }
        return status;
    }
    if (!memchr(open, ',', inside + 1))
        return base_fail(err, BASE_USAGE,
                         "'%.*s' is no range of shards, expected {0000..1023} or {a,b}",
                         (int)inside + 2, open);
    for (const char *at = open + 1; at <= close && status == BASE_OK;) {
        const size_t bytes = strcspn(at, ",}");
        status = expand_piece(list, spec, front, at, bytes, close + 1, depth, err);
        at += bytes + 1;
    }
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

base_status data_wds_list_shards(wds_list *out, const char *spec,
                                 bool (*is_shard)(const char *name), const char *kind,
                                 base_error *err)
{
    struct stat info;
    base_status status;
    size_t kept = 0;

    if (stat(spec, &info) != 0)
        status = expand(out, spec, 0, err);
    else if (S_ISDIR(info.st_mode))
        status = add_folder(out, spec, is_shard, kind, err);
    else
        status = add_path(out, spec, err);
    if (status != BASE_OK || out->count == 0)
        return status;
    qsort(out->path, out->count, sizeof *out->path, compare_paths);
    for (size_t i = 0; i < out->count; i++) {
        if (kept > 0 && strcmp(out->path[kept - 1], out->path[i]) == 0)
            base_free(out->path[i]);
        else
            out->path[kept++] = out->path[i];
    }
    out->count = kept;
    return BASE_OK;
}

/* ---- recognising -------------------------------------------------------------------- */

/* The stem up to the first or last dot of the base name; *part: what follows. */
static size_t stem_bytes(const char *name, bool last_dot, const char **part)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    const char *dot = last_dot ? strrchr(base, '.') : strchr(base, '.');
    const size_t bytes = dot ? (size_t)(dot - name) : strlen(name);

    *part = name[bytes] ? name + bytes + 1 : "";
    return bytes;
}

/* What the last members of one key were. */
typedef struct companions {
    char key[DATA_NAME_MAX + 2];
    bool image, label;
} companions;

static bool meets(companions *c, const char *name, bool last_dot)
{
    char dotted[DATA_NAME_MAX + 2];
    const char *part;
    const size_t bytes = stem_bytes(name, last_dot, &part);

    if (strlen(c->key) != bytes || strncmp(c->key, name, bytes) != 0) {
        c->image = c->label = false;
        memcpy(c->key, name, bytes);
        c->key[bytes] = '\0';
    }
    snprintf(dotted, sizeof dotted, ".%s", part);
    c->image = c->image || (!strchr(part, '.') && data_is_image_name(dotted));
    c->label = c->label || strcasecmp(part, "cls") == 0 || strcasecmp(part, "json") == 0;
    return c->image && c->label;
}

/* Whether among the first members an image and a label share their key, side by side. */
static bool has_companions(data_tar *tar)
{
    companions first = {0}, last = {0};
    bool found = false, done = false;
    data_member m;

    for (int i = 0; i < FIRST_LOOKED && !found; i++) {
        if (data_tar_next(tar, &m, &done, NULL) != BASE_OK || done)
            break;
        if (!m.name || !m.file)
            continue;
        found = meets(&first, m.name, false);
        found = meets(&last, m.name, true) || found;
    }
    return found;
}

static bool is_wds(const char *path)
{
    data_files *files = NULL;
    data_tar *tar = NULL;
    uint32_t number;
    bool found = false;
    int fd;

    if (data_files_create(&files, NULL) != BASE_OK)
        return false;
    if (data_files_add(&number, files, path, NULL) == BASE_OK &&
        data_files_hold(&fd, files, number, NULL) == BASE_OK) {
        if (data_tar_refuse_compressed(fd, path, NULL) == BASE_OK &&
            data_tar_open(&tar, fd, path, 0, data_files_bytes(files, number), NULL) ==
                BASE_OK)
            found = has_companions(tar);
        data_tar_close(tar);
        data_files_release(files, number);
    }
    data_files_destroy(files);
    return found;
}

int data_wds_fits(const char *path)
{
    wds_list list = {0};
    struct stat info;
    int fits = 0;

    const bool there = stat(path, &info) == 0;
    if (!there && !strpbrk(path, "{*?["))
        return 0;
    if (there && !S_ISDIR(info.st_mode) && !data_tar_looks(path))
        return 0;
    if (data_wds_list_shards(&list, path, data_wds_is_tar_name, ".tar files", NULL) ==
            BASE_OK &&
        list.count > 0 && is_wds(list.path[0]))
        fits = 2;
    else if (!there)
        fits = 1; /* opening says what is missing */
    data_wds_list_free(&list);
    return fits;
}
