/* manifest.c - the file that says how a tree of corrupted images was made. A run goes on
 * with a tree only with the same settings: a data set of two kinds is none. Lines "key:
 * value". Relied on elsewhere: the name manifest.txt and the line "frost textures: ..."
 * (corruptions.md 6). */
#include "apps/corrupt/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIXED_BYTES = 2048, MANIFEST_BYTES = 1 << 16 };

static const char manifest_name[] = "manifest.txt";

/* The settings that every pixel hangs on, a line each. */
static void fixed_text(char out[FIXED_BYTES], const app_tree *tree)
{
    const corrupt_args *args = tree->args;
    char frost[32] = "";

    if (tree->crew.frost_key != 0)
        snprintf(frost, sizeof frost, " %016llx", (unsigned long long)tree->crew.frost_key);
    snprintf(out, FIXED_BYTES,
             "made by: vmoe %s\nsize: %lld\nresize: %lld\ninterpolation: %s\nformat: %s\n"
             "preset: %s\nseed: %lld\nfrost textures: %s%s\ndata fingerprint: %016llx\n",
             BASE_VERSION, (long long)args->size, (long long)args->resize,
             data_filter_name((data_filter)args->interpolation),
             args->format ? "png" : "jpeg, quality 85",
             corrupt_preset_name(tree->crew.preset), (long long)args->common.seed,
             corrupt_set_frost(tree->crew.set), frost,
             (unsigned long long)data_source_fingerprint(tree->source));
}

/* The value of a line "KEY: VALUE" and its length; NULL: no such line. */
static const char *value_of(const char *text, const char *key, size_t key_length,
                            size_t *length)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, key_length) == 0 && line[key_length] == ':') {
            const char *value = line + key_length + 1 + (line[key_length + 1] == ' ');

            *length = strcspn(value, "\n");
            return value;
        }
    }
    return NULL;
}

static base_status compare(const char *path, const char *stored, const app_tree *tree,
                           base_error *err)
{
    char now[FIXED_BYTES], was[2 * FIXED_BYTES], found[FIXED_BYTES];

    fixed_text(now, tree);
    for (const char *line = now; *line; line += strcspn(line, "\n") + 1) {
        const size_t key = strcspn(line, ":"), whole = strcspn(line, "\n");
        size_t length = 0;
        const char *old = value_of(stored, line, key, &length);

        if (old && length == whole - key - 2 && strncmp(old, line + key + 2, length) == 0)
            continue;
        snprintf(found, sizeof found, "%.*s", old ? (int)length : 7, old ? old : "missing");
        return base_fail(err, BASE_MISMATCH,
                         "'%s' says '%.*s: %s', and now it is '%.*s': expected the same "
                         "settings or another --out",
                         path, (int)key, line, base_quote(was, sizeof was, found),
                         (int)(whole - key - 2), line + key + 2);
    }
    return BASE_OK;
}

/* A folder of corrupted images that nobody can tell the settings of. */
static base_status refuse_unknown(const app_tree *tree, base_error *err)
{
    char path[APP_TREE_PATH];
    struct stat info;

    for (size_t k = 0; k <= CORRUPT_KIND_COUNT; k++) {
        snprintf(path, sizeof path, "%s/%s", tree->args->out,
                 k < CORRUPT_KIND_COUNT ? corrupt_kind_name((corrupt_kind)k) : "clean");
        if (lstat(path, &info) == 0)
            return base_fail(err, BASE_MISMATCH,
                             "'%s' exists, but no '%s' beside it that says how it was "
                             "made: expected another --out",
                             path, manifest_name);
    }
    return BASE_OK;
}

base_status app_manifest_open(int *lock, const app_tree *tree, base_error *err)
{
    const char *folder = tree->args->out;
    char path[APP_TREE_PATH];
    struct stat info;
    char *text = NULL;
    size_t bytes = 0;
    base_status status = base_folder_make(folder, err);

    if (status != BASE_OK)
        return status;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return base_fail_errno(err, "cannot open '%s'", folder);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return base_fail(err, BASE_IO, "another process is writing into '%s'", folder);
    }
    snprintf(path, sizeof path, "%s/%s", folder, manifest_name);
    if (stat(path, &info) == 0) {
        status = base_file_read(&text, &bytes, path, MANIFEST_BYTES, err);
        if (status == BASE_OK)
            status = compare(path, text, tree, err);
        base_free(text);
    } else {
        status = refuse_unknown(tree, err);
    }
    if (status == BASE_OK)
        *lock = fd;
    else
        close(fd);
    return status;
}

/* "corruptions: clean 0; fog 1 2 3": the parts that the folder has. */
static void parts_put(FILE *file, const char *folder)
{
    char path[APP_TREE_PATH];
    struct stat info;
    const char *before = "corruptions: ";

    for (int k = -1; k < CORRUPT_KIND_COUNT; k++) {
        const char *name = k < 0 ? "clean" : corrupt_kind_name((corrupt_kind)k);
        bool first = true;

        for (int s = 0; s <= CORRUPT_SEVERITY_MAX; s++) {
            snprintf(path, sizeof path, "%s/%s/%d", folder, name, s);
            if (stat(path, &info) != 0)
                continue;
            if (first)
                fprintf(file, "%s%s", before, name);
            fprintf(file, " %d", s);
            first = false;
            before = "; ";
        }
    }
    if (before[0] == ';')
        fputc('\n', file);
}

base_status app_manifest_write(const app_tree *tree, bool complete, base_error *err)
{
    char path[APP_TREE_PATH], fixed[FIXED_BYTES], data[4096];
    base_writer out;

    snprintf(path, sizeof path, "%s/%s", tree->args->out, manifest_name);
    const base_status status = base_writer_open(&out, path, err);
    if (status != BASE_OK)
        return status;
    fixed_text(fixed, tree);
    fputs(fixed, out.file);
    fprintf(out.file, "data: %s\n", base_quote(data, sizeof data, tree->args->data));
    fprintf(out.file, "images: %zu\n", tree->count);
    parts_put(out.file, tree->args->out);
    fprintf(out.file, "state: %s\n", complete ? "complete" : "unfinished");
    return base_writer_commit(&out, err);
}
