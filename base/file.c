/* file.c - files that appear whole or not at all, and reading a whole file within a limit.
 * Follows the write, fsync, rename, fsync-the-folder order of sqlite and git. Relied on
 * elsewhere: that a failed commit leaves the older file as it was, and that two programs
 * which write the same file at once both succeed (the later one stands). */
#include "base/base.h"
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- writing ------------------------------------------------------------------------- */

/* A folder that cannot be synced (some network file systems refuse) is no failure: the
 * rename has happened, and the file under the new name is whole either way. */
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

/* A new file beside path, its name into *part (base_free): exclusive, so that neither a
 * link that somebody laid there nor another program's file is written into. -1 with
 * errno. */
static int part_open(char **part, const char *path)
{
    enum { TRIALS = 16, TAIL = sizeof ".0123456789abcdef.part" };
    const char *slash = strrchr(path, '/');
    const size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    const size_t name = strlen(path + folder);
    const int kept = (int)(name + TAIL > NAME_MAX ? NAME_MAX - TAIL : name);
    int fd = -1;

    errno = EEXIST;
    for (int i = 0; i < TRIALS && fd < 0 && errno == EEXIST; i++) {
        uint64_t word =
            (uint64_t)i; /* of no great worth when the system has no better: O_EXCL holds */
        if (getrandom(&word, sizeof word, GRND_NONBLOCK) != sizeof word)
            word += (uint64_t)(base_seconds() * 1e9) * 0x9e3779b97f4a7c15u;
        base_free(*part);
        *part = base_text("%.*s%.*s.%016llx.part", (int)folder, path, kept, path + folder,
                          (unsigned long long)word);
        errno = ENOMEM;
        if (*part)
            fd = open(*part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    }
    return fd;
}

/* A pipe or device as it is. Opening a pipe waits for its reader: here so that the wish to
 * stop is heard. */
static int direct_open(const char *path)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int fd;

    while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) < 0 &&
           errno == ENXIO && !base_stop_asked())
        nanosleep(&pause, NULL);
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

base_status base_writer_open(base_writer *out, const char *path, base_error *err)
{
    base_writer w = {0};
    base_status status = BASE_OK;
    struct stat info;
    const bool exists = stat(path, &info) == 0;

    if (exists && S_ISDIR(info.st_mode))
        return base_fail(err, BASE_IO, "'%s' is a folder, expected a file", path);
    /* A link keeps its place and its target is renewed; a device or pipe cannot be renamed
     * over (it would vanish), so it is written to as it is and has no part file. */
    const bool direct = exists && !S_ISREG(info.st_mode);
    char *real = exists && !direct ? realpath(path, NULL) : NULL;
    w.path = base_text("%s", real ? real : path);
    free(real);
    if (!w.path) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
        goto done;
    }
    const int fd = direct ? direct_open(w.path) : part_open(&w.part, w.path);
    w.file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!w.file) {
        status = direct && errno == ENXIO && base_stop_asked()
                     ? base_fail(err, BASE_INTERRUPTED, "stopped: nobody reads '%s'", path)
                     : base_fail_errno(err, "cannot write '%s'", path);
        if (fd >= 0)
            close(fd);
        if (fd >= 0 && w.part)
            unlink(w.part);
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

/* ---- reading ------------------------------------------------------------------------- */

/* Reads on until the end of file or limit + 1 bytes. The buffer of capacity bytes doubles:
 * files below /proc do not tell their size. *out and *used hold what there is in any
 * case. */
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

static const char *kind_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

base_status base_file_open(int *fd, size_t *bytes, const char *path, base_error *err)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return base_fail_errno(err, "cannot open '%s'", path);
    if (!S_ISREG(info.st_mode))
        return base_fail(err, BASE_IO, "'%s' is %s, expected a file", path,
                         kind_name(info.st_mode));
    /* O_NONBLOCK: should a pipe have come into its place meanwhile */
    const int opened = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (opened < 0)
        return base_fail_errno(err, "cannot open '%s'", path);
    if (fstat(opened, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(opened);
        return base_fail(err, BASE_IO, "'%s' changed while it was opened", path);
    }
    *fd = opened;
    if (bytes)
        *bytes = (size_t)info.st_size;
    return BASE_OK;
}

base_status base_stream_open(FILE **out, const char *path, base_error *err)
{
    int fd = -1;
    const base_status status = base_file_open(&fd, NULL, path, err);

    if (status != BASE_OK)
        return status;
    FILE *file = fdopen(fd, "rb");
    if (!file) {
        base_fail_errno(err, "cannot open '%s'", path);
        close(fd);
        return BASE_IO;
    }
    *out = file;
    return BASE_OK;
}

base_status base_file_read(char **out, size_t *bytes, const char *path, size_t limit,
                           base_error *err)
{
    enum { SMALLEST = 4096 };
    char *text = NULL;
    size_t used = 0, size = 0;
    int fd = -1;

    base_status status = base_file_open(&fd, &size, path, err);
    if (status != BASE_OK)
        return status;
    if (size > limit) {
        status = base_fail(err, BASE_FORMAT, "'%s' has %zu bytes, expected at most %zu",
                           path, size, limit);
        goto done;
    }
    const size_t capacity = size >= SMALLEST ? size + 1 : SMALLEST;
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
