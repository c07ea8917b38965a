/* folder.c - making, removing and exchanging whole folders. Relied on elsewhere:
 * folder_replace never leaves a moment without a whole folder under one of the names LIVE
 * and LIVE.old. */
#include "base/base.h"
#include "base/base_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Links are followed: a user may keep a run on another disk. */
static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static base_status make_one(const char *path, base_error *err)
{
    if (mkdir(path, 0777) == 0)
        return BASE_OK;
    const int number = errno;
    if (is_folder(path))
        return BASE_OK;
    if (number == EEXIST)
        return base_fail(err, BASE_IO, "'%s' is in the way, expected a folder", path);
    errno = number;
    return base_fail_errno(err, "cannot make the folder '%s'", path);
}

base_status base_folder_make(const char *path, base_error *err)
{
    base_status status = BASE_OK;
    char *part = base_text("%s", path);

    if (!part)
        return base_fail(err, BASE_NO_MEMORY, "no memory to make the folder '%s'", path);
    for (size_t i = 1; status == BASE_OK && part[0] && part[i]; i++) {
        if (part[i] != '/')
            continue;
        part[i] = 0;
        status = make_one(part, err);
        part[i] = '/';
    }
    if (status == BASE_OK)
        status = make_one(part, err);
    base_free(part);
    return status;
}

/* Removes what the folder name in the folder at holds, then itself. False with errno
 * set. */
static bool remove_tree(int at, const char *name)
{
    const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return false;
    }
    bool good = true;
    int number = 0;
    while (good) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            number = errno;
            good = number == 0;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        /* Linux says EISDIR for a folder, POSIX EPERM. */
        good = (errno == EISDIR || errno == EPERM) && remove_tree(fd, entry->d_name);
        number = errno;
    }
    closedir(dir);
    if (!good) {
        errno = number;
        return false;
    }
    return unlinkat(at, name, AT_REMOVEDIR) == 0;
}

base_status base_folder_remove(const char *path, base_error *err)
{
    struct stat info;

    if (lstat(path, &info) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return BASE_OK;
        return base_fail_errno(err, "cannot remove '%s'", path);
    }
    if (S_ISLNK(info.st_mode) ? unlink(path) == 0 : remove_tree(AT_FDCWD, path))
        return BASE_OK;
    return base_fail_errno(err, "cannot remove the folder '%s'", path);
}

/* The old folder stays whole under LIVE.old until the new one has the name. */
base_status base_folder_replace_renaming(const char *live, const char *fresh,
                                         base_error *err)
{
    char *old = base_text("%s.old", live);
    if (!old)
        return base_fail(err, BASE_NO_MEMORY, "no memory to replace '%s'", live);

    base_status status = base_folder_remove(old, err);
    if (status != BASE_OK)
        goto done;
    if (rename(live, old) != 0) {
        status = base_fail_errno(err, "cannot replace the folder '%s'", live);
        goto done;
    }
    if (rename(fresh, live) != 0) {
        status = base_fail_errno(err, "cannot replace the folder '%s'", live);
        rename(old, live);
        goto done;
    }
    base_folder_sync_parent(live);
    status = base_folder_remove(old, err);
done:
    base_free(old);
    return status;
}

base_status base_folder_replace(const char *live, const char *fresh, base_error *err)
{
    struct stat info;

    if (!is_folder(fresh))
        return base_fail(err, BASE_IO,
                         "'%s' is not a folder, cannot put it in the place of '%s'", fresh,
                         live);
    if (lstat(live, &info) != 0 && errno == ENOENT) {
        if (rename(fresh, live) != 0)
            return base_fail_errno(err, "cannot make the folder '%s'", live);
        base_folder_sync_parent(live);
        return BASE_OK;
    }
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, live, RENAME_EXCHANGE) == 0) {
        base_folder_sync_parent(live);
        return base_folder_remove(fresh, err);
    }
    if (errno != EINVAL && errno != ENOSYS)
        return base_fail_errno(err, "cannot replace the folder '%s'", live);
    return base_folder_replace_renaming(live, fresh, err);
}
