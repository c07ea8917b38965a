/* file.c - files that appear whole or not at all, and reading a whole file within a limit.
 * Follows the write, fsync, rename, fsync-the-folder order of sqlite and git. Relied on
 * elsewhere: the name PATH.part, and that a failed commit leaves the older file as it was. */
#include "base/base.h"
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that cannot be synced (some network file systems refuse) is no failure: the rename has
 * happened, and the file under the new name is whole either way. */
void base_folder_sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = !slash          ? base_text(".")
                   : slash == path ? base_text("/")
                                   : base_text("%.*s", (int)(slash - path), path);

    if (!parent)
        return;
    const int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    base_free(parent);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static void writer_free(base_writer *out)
{
    base_free(out->path);
    base_free(out->part);
    *out = (base_writer){0};
}

base_status base_writer_open(base_writer *out, const char *path, base_error *err)
{
    base_writer w = {0};
    base_status status = BASE_OK;
    struct stat info;
    const bool exists = stat(path, &info) == 0;

    if (exists && S_ISDIR(info.st_mode))
        return base_fail(err, BASE_IO, "'%s' is a folder, expected a file", path);
    /* A link keeps its place and its target is renewed; a device or pipe cannot be renamed over
     * (it would vanish), so it is written to as it is and has no part file. */
    const bool direct = exists && !S_ISREG(info.st_mode);
    char *real = exists && !direct ? realpath(path, NULL) : NULL;
    w.path = base_text("%s", real ? real : path);
    w.part = direct ? NULL : base_text("%s.part", real ? real : path);
    free(real);
    if (!w.path || (!direct && !w.part)) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
        goto done;
    }
    w.file = fopen(direct ? w.path : w.part, "wbe");
    if (!w.file) {
        status = base_fail_errno(err, "cannot write '%s'", path);
        goto done;
    }
    *out = w;
    return BASE_OK;
done:
    writer_free(&w);
    return status;
}

/* Everything written so far is on disk. False with errno set. */
static bool flushed(FILE *file, bool direct)
{
    if (fflush(file) != 0)
        return false;
    if (ferror(file)) { /* an earlier write failed and its errno is gone: ask once more */
        if (write(fileno(file), "", 1) == 1)
            errno = EIO;
        return false;
    }
    return direct || fsync(fileno(file)) == 0;
}

base_status base_writer_commit(base_writer *out, base_error *err)
{
    base_status status = BASE_OK;
    bool good = flushed(out->file, !out->part);
    int number = errno;

    if (fclose(out->file) != 0 && good) {
        good = false;
        number = errno;
    }
    if (good && out->part && rename(out->part, out->path) != 0) {
        good = false;
        number = errno;
    }
    if (good && out->part) {
        base_folder_sync_parent(out->path);
    } else if (!good) {
        errno = number;
        status = base_fail_errno(err, "cannot write '%s'", out->path);
        if (out->part)
            unlink(out->part);
    }
    writer_free(out);
    return status;
}

void base_writer_abandon(base_writer *out)
{
    if (!out->file)
        return;
    fclose(out->file);
    if (out->part)
        unlink(out->part);
    writer_free(out);
}

/* Reads on until the end of file or limit + 1 bytes. The buffer of capacity bytes doubles: pipes
 * and files below /proc do not tell their size. *out and *used hold what there is in any case. */
static base_status read_all(char **out, size_t *used, size_t capacity, int fd,
                            const char *path, size_t limit, base_error *err)
{
    for (;;) {
        if (*used == capacity) {
            char *wider = base_alloc(capacity, 2);
            if (!wider)
                return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
            memcpy(wider, *out, *used);
            base_free(*out);
            *out = wider;
            capacity *= 2;
        }
        const ssize_t got = read(fd, *out + *used, capacity - *used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return base_fail_errno(err, "cannot read '%s'", path);
        *used += (size_t)got;
        if (*used > limit)
            return base_fail(err, BASE_FORMAT,
                             "'%s' has more than %zu bytes, the most allowed", path, limit);
        if (got == 0)
            return BASE_OK;
    }
}

base_status base_file_read(char **out, size_t *bytes, const char *path, size_t limit,
                           base_error *err)
{
    enum { SMALLEST = 4096 };
    base_status status = BASE_OK;
    char *text = NULL;
    size_t used = 0, capacity = SMALLEST;
    struct stat info;

    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return base_fail_errno(err, "cannot open '%s'", path);
    if (fstat(fd, &info) != 0) {
        status = base_fail_errno(err, "cannot read '%s'", path);
        goto done;
    }
    if (S_ISDIR(info.st_mode)) {
        status = base_fail(err, BASE_IO, "'%s' is a folder, expected a file", path);
        goto done;
    }
    if (S_ISREG(info.st_mode) && (uintmax_t)info.st_size > limit) {
        status = base_fail(err, BASE_FORMAT, "'%s' has %jd bytes, expected at most %zu",
                           path, (intmax_t)info.st_size, limit);
        goto done;
    }
    if (S_ISREG(info.st_mode) && info.st_size >= SMALLEST)
        capacity = (size_t)info.st_size + 1;
    text = base_alloc(capacity, 1);
    if (!text) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
        goto done;
    }
    status = read_all(&text, &used, capacity, fd, path, limit, err);
    if (status != BASE_OK)
        goto done;
    text[used] = 0; /* there is room: the last read, of 0 bytes, asked for at least one */
    *out = text;
    *bytes = used;
    text = NULL; /* now the caller's */
done:
    base_free(text);
    close(fd);
    return status;
}
