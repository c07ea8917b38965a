/* index_cache.c - when the index of a data set is kept between runs, and when it is
 * believed (data.md 2). A file in the user's cache folder, named by a hash of layout, split
 * and absolute path, holds what a scan found and the size and times of every archive or
 * folder it read ("witnesses"; nobody can set back the time of the last change of a file's
 * state, as of its bytes); it is used only when all of them still agree. Free to
 * change: what is worth keeping. The file itself: index_file.c. */
#include "data/data_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WORTH_SAMPLES = 10000, /* smaller sets are scanned in no time */
    FRESH_SECONDS = 2      /* a file changed so lately may change again within its time */
};

/* ---- names of things ---------------------------------------------------------------- */

/* The path from the root on (base_free), NULL: no memory. Links are not resolved: where
 * they point to now is what the witnesses see. */
char *data_absolute_path(const char *path)
{
    char here[4096];

    if (path[0] == '/')
        return base_text("%s", path);
    return getcwd(here, sizeof here) ? base_text("%s/%s", here, path) : NULL;
}

/* What the index is of, with every option that a scan heeds (base_free). */
static char *key_of(const data_source *source, const data_source_options *options)
{
    const char *base = source->base ? source->base : "";
    const bool tar = source->layout == &data_layout_tar || /* decides while it scans */
                     source->layout == &data_layout_zip;
    uint64_t list = base_key((uint64_t[]){tar ? options->classes_of_model : 0}, 1);

    for (size_t i = 0; tar && options->class_list && i < options->class_list_count; i++)
        for (const char *c = options->class_list[i]; *c; c++)
            list = base_key((uint64_t[]){list, i, (unsigned char)*c}, 3);
    char *path = data_absolute_path(source->path);
    char range[48] = ""; /* of a part of an archive */
    if (source->range[1] > 0)
        snprintf(range, sizeof range, "%ju-%ju ", (uintmax_t)source->range[0],
                 (uintmax_t)source->range[1]);
    char *key = path ? base_text("%s %s%s %s%s %s %016jx %s %s", source->layout->name,
                                 range, options->split ? options->split : "-",
                                 source->flat && !tar ? "flat " : "",
                                 options->val_labels ? "labels" : "-",
                                 options->label_key ? options->label_key : "-",
                                 (uintmax_t)list, base, path)
                     : NULL;

    base_free(path);
    return key;
}

/* The folder of the caches (base_free), NULL: none. */
static char *cache_folder(const data_source_options *options)
{
    const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME");

    if (options->index_cache)
        return strcmp(options->index_cache, "none") == 0
                   ? NULL
                   : base_text("%s", options->index_cache);
    if (cache && cache[0] == '/')
        return base_text("%s/vmoe", cache);
    return home && home[0] == '/' ? base_text("%s/.cache/vmoe", home) : NULL;
}

char *data_cache_file(const data_source *source, const data_source_options *options)
{
    char *folder = cache_folder(options), *key = key_of(source, options), *file = NULL;
    uint64_t a = 1, b = 2;

    for (size_t i = 0; key && key[i]; i++) {
        a = base_key((uint64_t[]){a, (unsigned char)key[i]}, 2);
        b = base_key((uint64_t[]){b, (unsigned char)key[i]}, 2);
    }
    if (folder && key)
        file = base_text("%s/%016jx%016jx.index", folder, (uintmax_t)a, (uintmax_t)b);
    base_free(folder);
    base_free(key);
    return file;
}

/* ---- keeping ------------------------------------------------------------------------ */

/* A folder or file may still change without its time changing: then nothing is kept. */
static bool settled(const data_source *source)
{
    const int64_t now = (int64_t)time(NULL);

    for (size_t i = 0; i < source->witness_count; i++) {
        if (source->witness[i].mtime / 1000000000 + FRESH_SECONDS > now)
            return false;
    }
    return source->witness_count > 0;
}

void data_cache_store(data_source *source, const data_source_options *options)
{
    if ((!options->index_cache && source->index.count < WORTH_SAMPLES) || !settled(source))
        return;
    char *file = data_cache_file(source, options), *key = key_of(source, options);
    char *folder = file ? base_text("%.*s", (int)(strrchr(file, '/') - file), file) : NULL;
    if (key && folder && base_folder_make(folder, NULL) == BASE_OK)
        data_cache_write(source, file, key, NULL); /* without it the next run scans again */
    base_free(folder);
    base_free(file);
    base_free(key);
}

/* ---- is it still so ----------------------------------------------------------------- */

/* The witness as the disk has it now. */
static bool still_so(const data_witness *w)
{
    struct stat info;

    if (stat(w->path, &info) != 0)
        return false;
    const uint64_t size = S_ISDIR(info.st_mode) ? 0 : (uint64_t)info.st_size;
    return size == w->size &&
           w->mtime == (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec &&
           w->ctime == (int64_t)info.st_ctim.tv_sec * 1000000000 + info.st_ctim.tv_nsec &&
           w->inode == base_key((uint64_t[]){info.st_dev, info.st_ino}, 2);
}

/* Archives that the layout has joined already (wds: shards of now) are those of then. */
static bool same_archives(const data_source *now, const data_source *cached)
{
    const size_t count = data_files_count(now->files);
    bool same = count == 0 || count == data_files_count(cached->files);

    for (size_t i = 0; i < count && same; i++) {
        char *path = data_absolute_path(data_files_path(now->files, i));
        same = path && strcmp(path, data_files_path(cached->files, i)) == 0;
        base_free(path);
    }
    return same;
}

/* cached becomes part of source; cached is left empty but for what source had. */
static void adopt(data_source *source, data_source *cached)
{
    source->index = cached->index;
    source->folders = cached->folders;
    source->table = cached->table;
    source->left_out = cached->left_out;
    source->labelling = cached->labelling;
    source->names = cached->names;
    source->as_found = cached->as_found;
    source->flat = cached->flat;
    source->has_truth = cached->has_truth;
    source->truth = cached->truth;
    base_free(source->prefix); /* of a part; the scan may have gone further down */
    source->prefix = cached->prefix;
    source->split_used = source->split_used || cached->split_used;
    cached->prefix = NULL;
    memcpy(source->notice, cached->notice, sizeof source->notice);
    cached->index = (data_index){0};
    cached->folders = cached->table = (data_class_table){0};
    if (source->files)
        return;
    source->files = cached->files;
    source->file_bytes = cached->file_bytes;
    cached->files = NULL;
}

bool data_cache_load(data_source *source, const data_source_options *options, char *note,
                     size_t note_bytes)
{
    char *file = data_cache_file(source, options), *key = key_of(source, options);
    data_source *cached = base_alloc(1, sizeof *cached);
    base_error err = {0};
    bool good = false;

    if (cached)
        cached->fd = -1;
    if (!file || !key || !cached || access(file, F_OK) != 0)
        goto done;
    cached->layout = source->layout;
    const base_status status = data_cache_read(cached, file, key, &err);
    good = status == BASE_OK && same_archives(source, cached);
    for (size_t i = 0; i < cached->witness_count && good; i++)
        good = still_so(&cached->witness[i]);
    if (good)
        adopt(source, cached);
    else if (status == BASE_FORMAT)
        snprintf(note, note_bytes, "%.300s; indexed again", err.text);
    else
        snprintf(note, note_bytes,
                 "the data has changed since it was indexed: indexed again");
done:
    data_source_close(cached);
    base_free(file);
    base_free(key);
    return good;
}
