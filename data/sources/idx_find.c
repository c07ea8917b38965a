/* idx_find.c - which two files an IDX path means: one of them, a folder with one
 * set, or the beginning of their names ("DIR/train"). Names are those of MNIST:
 * SET-images-idx3-ubyte with SET-labels-idx1-ubyte, '.' in place of '-' before idx as some
 * mirrors have it, with or without .gz. Free to change: all of it, as long as these names
 * are found. */
#include "data/sources/idx_internal.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of the name before "idxN-ubyte" or "idxN-ubyte.gz" and the '-' or '.' in front; 0:
 * no such name. */
static size_t stem_bytes(const char *name, char dims)
{
    const char end[] = {'i', 'd', 'x', dims, '-', 'u', 'b', 'y', 't', 'e', '\0'};
    size_t n = strlen(name);

    if (n > 3 && strcmp(name + n - 3, ".gz") == 0)
        n -= 3;
    const size_t tail = sizeof end - 1;
    if (n < tail + 2 || memcmp(name + n - tail, end, tail) != 0)
        return 0;
    return name[n - tail - 1] == '-' || name[n - tail - 1] == '.' ? n - tail - 1 : 0;
}

/* "train" of "train-images": what a set is called. */
static size_t set_bytes(const char *name)
{
    static const char tail[] = "images";
    const size_t n = stem_bytes(name, '3');

    if (n < sizeof tail - 1 ||
        memcmp(name + n - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
        return n;
    const size_t set = n - (sizeof tail - 1);
    return set > 0 && (name[set - 1] == '-' || name[set - 1] == '.') ? set - 1 : set;
}

static bool is_gz(const char *name)
{
    const size_t n = strlen(name);

    return n > 3 && strcmp(name + n - 3, ".gz") == 0;
}

/* The images file of the folder whose set is called prefix (of prefix_bytes; SIZE_MAX: any
 * set), in new memory; an uncompressed one goes before its .gz. *sets counts the sets met,
 * list names two of them. */
static char *find_images(const char *folder, const char *prefix, size_t prefix_bytes,
                         size_t *sets, char list[2][64])
{
    DIR *dir = opendir(folder);
    const struct dirent *d;
    char *found = NULL;

    *sets = 0;
    while (dir && (d = readdir(dir)) != NULL) {
        const size_t set = set_bytes(d->d_name);
        if (stem_bytes(d->d_name, '3') == 0 || d->d_name[0] == '.')
            continue;
        if (prefix_bytes != SIZE_MAX &&
            (set != prefix_bytes || memcmp(d->d_name, prefix, set) != 0))
            continue;
        size_t known = 0;
        while (known < *sets && known < 2 &&
               (strlen(list[known]) != set || memcmp(list[known], d->d_name, set) != 0))
            known++;
        if (known == *sets && known < 2) {
            snprintf(list[known], sizeof list[known], "%.*s", (int)set, d->d_name);
            (*sets)++;
        } else if (known == 2) {
            *sets = 3; /* more than two: their number does not matter */
        }
        if (!found || !is_gz(d->d_name)) {
            base_free(found);
            found = base_text("%s/%s", folder, d->d_name);
        }
    }
    if (dir)
        closedir(dir);
    return found;
}

char *data_idx_find_labels(const char *images)
{
    const char *slash = strrchr(images, '/');
    const char *name = slash ? slash + 1 : images;
    const size_t stem = stem_bytes(name, '3');
    const size_t set = set_bytes(name);
    char *plain, *other;

    /* What stands between set and "images", and the sign before idx, are kept. */
    const bool named = set < stem;
    const size_t keep = named ? (size_t)(name - images) + stem - strlen("images")
                              : (size_t)(name - images) + stem;
    plain = base_text("%.*s%s%cidx1-ubyte%s", (int)keep, images, named ? "labels" : "",
                      name[stem], is_gz(name) ? ".gz" : "");
    if (!plain || access(plain, F_OK) == 0)
        return plain;
    other = base_text("%.*s%s%cidx1-ubyte%s", (int)keep, images, named ? "labels" : "",
                      name[stem], is_gz(name) ? "" : ".gz");
    if (other && access(other, F_OK) == 0) {
        base_free(plain);
        return other;
    }
    base_free(other);
    return plain;
}

base_status data_idx_find_images(char **out, const char *path, base_error *err)
{
    char list[2][64], *folder = NULL;
    const char *slash = strrchr(path, '/');
    struct stat info;
    size_t sets = 0;

    *out = NULL;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode)) {
        if (stem_bytes(slash ? slash + 1 : path, '3') == 0)
            return base_fail(err, BASE_USAGE,
                             "'%s' is not named like an IDX file of images, expected "
                             "NAME-images-idx3-ubyte or the same with .gz",
                             path);
        *out = base_text("%s", path);
    } else if (stat(path, &info) == 0) {
        *out = find_images(path, NULL, SIZE_MAX, &sets, list);
        if (sets == 0)
            return base_fail(err, BASE_FORMAT,
                             "'%s' holds no IDX files, expected *-images-idx3-ubyte and "
                             "*-labels-idx1-ubyte, with or without .gz",
                             path);
        if (sets > 1) {
            const bool swap = strcmp(list[0], list[1]) > 0;
            base_free(*out);
            *out = NULL;
            return base_fail(err, BASE_USAGE,
                             "'%s' holds %s IDX sets: write '%s/%s' or '%s/%s'%s", path,
                             sets == 2 ? "two" : "several", path, list[swap], path,
                             list[!swap], sets == 2 ? "" : ", ...");
        }
    } else {
        folder = !slash          ? base_text(".")
                 : slash == path ? base_text("/")
                                 : base_text("%.*s", (int)(slash - path), path);
        if (folder)
            *out = find_images(folder, slash ? slash + 1 : path,
                               strlen(slash ? slash + 1 : path), &sets, list);
        base_free(folder);
        if (folder && sets == 0)
            return base_fail(
                err, BASE_IO,
                "cannot open '%s': neither a file or folder, nor the beginning of "
                "'%s-images-idx3-ubyte'",
                path, path);
    }
    return *out ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", path);
}

int data_idx_find_fits(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *images = NULL;
    struct stat info;

    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
        return stem_bytes(slash ? slash + 1 : path, '3') > 0 ||
               stem_bytes(slash ? slash + 1 : path, '1') > 0;
    const base_status status = data_idx_find_images(&images, path, NULL);
    base_free(images);
    return status == BASE_OK || status == BASE_USAGE; /* several sets: opening names them */
}
