/* files.c - the archives of a data set: more than a process may hold open, so the ones used
 * longest ago are closed and opened again when they are needed (data.md 2). Only ever pread
 * on one descriptor that all threads share; no mmap, which a vanishing network disk turns
 * into SIGBUS. Free to change: how the oldest is found. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

typedef struct file {
    char *path;
    struct stat info;
    int fd;
    uint32_t users;
    uint64_t used; /* files->clock when it was held last */
} file;

struct data_files {
    pthread_mutex_t lock;
    file *at;
    size_t room, count, open;
    uint64_t clock;
};

base_status data_files_create(data_files **out, base_error *err)
{
    data_files *files = base_alloc(1, sizeof *files);

    if (!files)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a list of archives");
    if (pthread_mutex_init(&files->lock, NULL) != 0) {
        base_free(files);
        return base_fail(err, BASE_INTERNAL, "cannot make a lock");
    }
    *out = files;
    return BASE_OK;
}

void data_files_destroy(data_files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->count; i++) {
        if (files->at[i].fd >= 0)
            close(files->at[i].fd);
        base_free(files->at[i].path);
    }
    base_free(files->at);
    pthread_mutex_destroy(&files->lock);
    base_free(files);
}

base_status data_files_add(uint32_t *out, data_files *files, const char *path,
                           base_error *err)
{
    file made = {.fd = -1};

    if (stat(path, &made.info) != 0)
        return base_fail_errno(err, "cannot open '%s'", path);
    if (!S_ISREG(made.info.st_mode))
        return base_fail(err, BASE_IO, "'%s' is not a file, expected an archive", path);
    made.path = base_text("%s", path);
    if (!made.path || !data_grow(&files->at, &files->room, files->count + 1, sizeof made)) {
        base_free(made.path);
        return base_fail(err, BASE_NO_MEMORY, "no memory for a list of archives");
    }
    *out = (uint32_t)files->count;
    files->at[files->count++] = made;
    return BASE_OK;
}

size_t data_files_count(const data_files *files)
{
    return files ? files->count : 0;
}

const char *data_files_path(const data_files *files, size_t number)
{
    return files->at[number].path;
}

uint64_t data_files_bytes(const data_files *files, size_t number)
{
    return (uint64_t)files->at[number].info.st_size;
}

const struct stat *data_files_stat(const data_files *files, size_t number)
{
    return &files->at[number].info;
}

/* Closes the file that was used longest ago and is in nobody's hands. */
static bool close_oldest(data_files *files)
{
    file *oldest = NULL;

    for (size_t i = 0; i < files->count; i++) {
        file *f = &files->at[i];
        if (f->fd >= 0 && f->users == 0 && (!oldest || f->used < oldest->used))
            oldest = f;
    }
    if (!oldest)
        return false;
    close(oldest->fd);
    oldest->fd = -1;
    files->open--;
    return true;
}

/* With the lock held. A file that is not the one that was indexed is not read. */
static base_status open_again(data_files *files, file *f, base_error *err)
{
    const struct stat *old = &f->info;
    struct stat now;

    while (files->open >= DATA_FILES_OPEN && close_oldest(files))
        continue;
    do {
        f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe by now? */
    } while (f->fd < 0 && (errno == EINTR ||
                           ((errno == EMFILE || errno == ENFILE) && close_oldest(files))));
    if (f->fd < 0)
        return base_fail_errno(err, "read error");
    if (fstat(f->fd, &now) != 0 || now.st_dev != old->st_dev || now.st_ino != old->st_ino ||
        now.st_size != old->st_size || now.st_mtim.tv_sec != old->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != old->st_mtim.tv_nsec) {
        close(f->fd);
        f->fd = -1;
        return base_fail(err, BASE_FORMAT,
                         "read error: the archive has changed since it was indexed");
    }
    files->open++;
    return BASE_OK;
}

base_status data_files_hold(int *fd, data_files *files, size_t number, base_error *err)
{
    base_status status = BASE_OK;

    pthread_mutex_lock(&files->lock);
    file *f = &files->at[number];
    if (f->fd < 0)
        status = open_again(files, f, err);
    if (status == BASE_OK) {
        f->users++;
        f->used = ++files->clock;
        *fd = f->fd;
    }
    pthread_mutex_unlock(&files->lock);
    return status;
}

void data_files_release(data_files *files, size_t number)
{
    pthread_mutex_lock(&files->lock);
    files->at[number].users--;
    pthread_mutex_unlock(&files->lock);
}

base_status data_files_read(data_files *files, size_t number, unsigned char *to,
                            size_t bytes, uint64_t offset, base_error *err)
{
    int fd;
    base_status status = data_files_hold(&fd, files, number, err);

    if (status != BASE_OK)
        return status;
    status = data_pread(fd, to, bytes, offset, err);
    data_files_release(files, number);
    return status;
}

base_status data_archive_read(const data_source *source, const data_record *record,
                              unsigned char *to, base_error *err)
{
    int fd;

    if (record->name != DATA_NAME_ZIP)
        return data_files_read(source->files, record->container, to, record->size,
                               record->offset, err);
    base_status status = data_files_hold(&fd, source->files, record->container, err);
    if (status != BASE_OK)
        return status;
    status = data_zip_read(to, fd, record->offset, record->size,
                           data_files_bytes(source->files, record->container), err);
    data_files_release(source->files, record->container);
    return status;
}

bool data_archive_name(char *out, const data_source *source, const data_record *record)
{
    const uint64_t bytes = data_files_bytes(source->files, record->container);
    bool found;
    int fd;

    if (data_files_hold(&fd, source->files, record->container, NULL) != BASE_OK)
        return false;
    const uint64_t header =
        record->name & DATA_NAME_AFTER
            ? record->offset + (uint64_t)(record->name & ~DATA_NAME_AFTER) * DATA_TAR_BLOCK
            : record->offset - record->name;
    if (record->name == DATA_NAME_ZIP)
        found = data_zip_name(out, fd, record->offset);
    else
        found = data_tar_name(out, fd, header, bytes);
    data_files_release(source->files, record->container);
    return found;
}

void data_archive_advise(const data_source *source, const data_record *record)
{
    uint64_t at = record->offset, bytes = record->size;
    int fd;

    if (data_files_hold(&fd, source->files, record->container, NULL) != BASE_OK)
        return; /* reading will say why */
    if (record->name != DATA_NAME_ZIP || data_zip_place(&at, &bytes, fd, record->offset))
        posix_fadvise(fd, (off_t)at, (off_t)bytes, POSIX_FADV_WILLNEED);
    data_files_release(source->files, record->container);
}
