/* ilsvrc.c - ILSVRC2012 as it is downloaded, never unpacked (data.md 1): the
 * training archive is a tar of one tar for each class, read at both levels where it lies;
 * the validation archive holds flat images whose labels stand in the development kit. The
 * path is one of the archives or the folder that holds them. Free to change: where the kit
 * is looked for. Relied on elsewhere: train is ordered as the class folders would be, val
 * by name. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const archives[] = {"ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar",
                                       "ILSVRC2012_img_test_v10102019.tar",
                                       "ILSVRC2012_img_test.tar"};
enum { ARCHIVES = sizeof archives / sizeof *archives, FIRST_TEST = 2, FIRST_LOOKED = 64 };

static bool is_file(const char *path)
{
    struct stat info;

    return path && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* ---- finding ------------------------------------------------------------------------ */

static const char *base_name(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

static bool is_flat_image(const data_member *m)
{
    return m->file && m->name && !strchr(m->name, '/') &&
           strncmp(m->name, "ILSVRC2012_", 11) == 0 && data_is_image_name(m->name);
}

/* 2 when the first file of the archive is an archive or an image that says ILSVRC2012. */
static int first_member_fits(const char *path)
{
    data_tar *tar = NULL;
    data_member m;
    data_files *files = NULL;
    uint32_t number;
    bool done = false;
    int fits = 0, fd;

    if (data_files_create(&files, NULL) != BASE_OK)
        return 0;
    if (data_files_add(&number, files, path, NULL) == BASE_OK &&
        data_files_hold(&fd, files, number, NULL) == BASE_OK) {
        if (data_tar_refuse_compressed(fd, path, NULL) == BASE_OK &&
            data_tar_open(&tar, fd, path, 0, data_files_bytes(files, number), NULL) ==
                BASE_OK) {
            for (int i = 0; i < FIRST_LOOKED && !done; i++) {
                if (data_tar_next(tar, &m, &done, NULL) != BASE_OK || done)
                    break;
                if (!m.file || !m.name)
                    continue;
                fits = !strchr(m.name, '/') &&
                               (data_ends_in(m.name, ".tar") || is_flat_image(&m))
                           ? 2
                           : 0;
                break;
            }
            data_tar_close(tar);
        }
        data_files_release(files, number);
    }
    data_files_destroy(files);
    return fits;
}

static int ilsvrc_fits(const char *path)
{
    bool found = false;

    if (data_tar_looks(path))
        return first_member_fits(path);
    for (size_t i = 0; i < ARCHIVES && !found; i++) {
        char *file = base_text("%s/%s", path, archives[i]);
        found = is_file(file);
        base_free(file);
    }
    return found ? 2 : 0;
}

/* The archive of a split in the folder path (base_free); NULL: none. */
static char *archive_in(const char *path, const char *split)
{
    const size_t first = strcmp(split, "train") == 0  ? 0
                         : strcmp(split, "test") == 0 ? FIRST_TEST
                                                      : 1;
    const size_t last = first == FIRST_TEST ? ARCHIVES - 1 : first;

    for (size_t i = first; i <= last; i++) {
        char *file = base_text("%s/%s", path, archives[i]);
        if (is_file(file))
            return file;
        base_free(file);
    }
    return NULL;
}

/* The development kit, or its file of labels, beside the archive. */
static base_status find_kit(data_source *source, const char *archive, base_error *err)
{
    static const char *const names[] = {
        "ILSVRC2012_validation_ground_truth.txt",
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
        "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv"};
    const size_t folder = (size_t)(base_name(archive) - archive);

    for (size_t i = 0; i < sizeof names / sizeof *names && !source->truth_path; i++) {
        source->truth_path = base_text("%.*s%s", (int)folder, archive, names[i]);
        if (!source->truth_path)
            return base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", source->path);
        if (!is_file(source->truth_path)) {
            base_free(source->truth_path);
            source->truth_path = NULL;
        }
    }
    return BASE_OK;
}

static base_status ilsvrc_prepare(data_source *source, const data_source_options *options,
                                  base_error *err)
{
    const char *split = options->split ? options->split : "val";
    struct stat info;
    uint32_t number;
    char *archive = NULL;

    if (stat(source->path, &info) != 0)
        return base_fail_errno(err, "cannot open '%s'", source->path);
    source->split_used = S_ISDIR(info.st_mode);
    archive = S_ISDIR(info.st_mode) ? archive_in(source->path, split)
                                    : base_text("%s", source->path);
    if (!archive)
        return base_fail(err, BASE_IO, "'%s' holds no archive of the split %s, expected %s",
                         source->path, split, source->layout->holds);
    base_status status = data_tar_join(source, &number, archive, err);
    if (status == BASE_OK)
        status = find_kit(source, archive, err);
    base_free(archive);
    return status;
}

/* ---- indexing ----------------------------------------------------------------------- */

/* One inner archive, in the bytes of the member m. */
static base_status scan_inner(data_source *source, data_run *run, int fd,
                              const data_member *m, uint32_t class, base_error *err)
{
    data_tar *tar = NULL;
    data_member member;
    bool done = false;

    base_status status = data_tar_open(&tar, fd, data_files_path(source->files, 0), m->at,
                                       m->at + m->size, err);
    while (status == BASE_OK) {
        status = data_tar_next(tar, &member, &done, err);
        if (status != BASE_OK || done)
            break;
        if (!member.name || !member.file || !data_is_image_name(member.name)) {
            data_member_ignore(source, &member);
            continue;
        }
        const data_record r = data_member_record(&member, 0, (int32_t) class);
        status = data_run_add(run, &r, member.name, err);
        data_source_tick(source);
    }
    data_tar_close(tar);
    return status == BASE_OK ? data_run_end(run, source, err) : status;
}

/* Inner archives in the order of their classes: the outer one may have another. */
typedef struct part {
    data_member member;
    uint32_t class;
} part;

static int compare_parts(const void *a, const void *b, void *table)
{
    char *const *name = ((const data_class_table *)table)->name;

    return strcmp(name[((const part *)a)->class], name[((const part *)b)->class]);
}

static base_status scan_parts(data_source *source, int fd, part *parts, size_t count,
                              base_error *err)
{
    base_status status = BASE_OK;
    data_run run = {0};

    qsort_r(parts, count, sizeof *parts, compare_parts, &source->table);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = scan_inner(source, &run, fd, &parts[i].member, parts[i].class, err);
    data_run_destroy(&run);
    return status;
}

static base_status add_part(data_source *source, part **parts, size_t *room, size_t count,
                            const data_member *m, base_error *err)
{
    part made = {.member = *m};
    const size_t known = source->table.count;

    m->name[strlen(m->name) - strlen(".tar")] = '\0';
    const base_status status = data_class_add(&made.class, &source->table, m->name, err);
    if (status != BASE_OK)
        return status;
    if (source->table.count == known)
        return base_fail(err, BASE_FORMAT, "'%s' has two archives of the class '%s'",
                         source->path, m->name);
    made.member.name = NULL;
    if (!data_grow(parts, room, count + 1, sizeof made))
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", source->path);
    (*parts)[count] = made;
    return BASE_OK;
}

static base_status walk_outer(data_source *source, int fd, base_error *err)
{
    data_tar *tar = NULL;
    data_member m;
    part *parts = NULL;
    size_t room = 0, count = 0;
    bool done = false;

    base_status status = data_tar_open(&tar, fd, data_files_path(source->files, 0), 0,
                                       source->file_bytes, err);
    while (status == BASE_OK) {
        status = data_tar_next(tar, &m, &done, err);
        if (status != BASE_OK || done)
            break;
        if (m.name && m.file && !strchr(m.name, '/') && data_ends_in(m.name, ".tar") &&
            strlen(m.name) > strlen(".tar")) {
            status = add_part(source, &parts, &room, count, &m, err);
            count++;
        } else if (is_flat_image(&m)) {
            const data_record r = data_member_record(&m, 0, 0);
            status = data_index_add(&source->index, &r, m.name, err);
        } else {
            data_member_ignore(source, &m);
        }
    }
    if (status == BASE_OK && data_tar_cut(tar))
        data_source_note(source, "the archive ends without its two blocks of zeros");
    data_tar_close(tar);
    if (status == BASE_OK && count > 0 && source->index.count > 0)
        status = base_fail(err, BASE_FORMAT,
                           "'%s' holds both images and archives of images", source->path);
    else if (status == BASE_OK && count > 0)
        status = scan_parts(source, fd, parts, count, err);
    base_free(parts);
    return status;
}

static base_status ilsvrc_scan(data_source *source, const data_source_options *options,
                               base_error *err)
{
    int fd;

    (void)options;
    base_status status = data_tar_hold(&fd, source, 0, err);
    if (status != BASE_OK)
        return status;
    status = walk_outer(source, fd, err);
    data_files_release(source->files, 0);
    if (status != BASE_OK)
        return status;
    if (source->table.count > 0) {
        source->labelling = DATA_LABELS_CLASSES;
        return BASE_OK;
    }
    source->names = true;
    source->labelling = DATA_LABELS_TRUTH;
    status = data_source_sort(source, err);
    if (status == BASE_OK && source->index.count > 0) {
        const char *first =
            data_index_name(&source->index, data_index_at(&source->index, 0)->name);
        if (strncmp(first, "ILSVRC2012_test_", 16) == 0)
            source->labelling = DATA_LABELS_NONE;
    }
    return status;
}

static void member_of(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    char name[DATA_NAME_MAX + 2];

    if (source->names)
        snprintf(out, out_bytes, "%s", data_index_name(&source->index, r->name));
    else if (data_archive_name(name, source, r))
        snprintf(out, out_bytes, "%s", name);
    else
        snprintf(out, out_bytes, "member-%zu", i);
}

static void ilsvrc_relative(const data_source *source, size_t i, char *out,
                            size_t out_bytes)
{
    const int32_t label = data_index_at(&source->index, i)->label;
    char name[DATA_NAME_MAX + 2], class[DATA_NAME_MAX];

    member_of(source, i, name, sizeof name);
    data_class_folder(class, sizeof class, source, label);
    snprintf(out, out_bytes, "%s%s", class, name);
}

static void ilsvrc_whole(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const int32_t label = data_index_at(&source->index, i)->label;
    const char *path = data_files_path(source->files, 0);
    char name[DATA_NAME_MAX + 2];

    member_of(source, i, name, sizeof name);
    if (source->labelling == DATA_LABELS_CLASSES)
        snprintf(out, out_bytes, "%s!%s.tar/%s", path, source->classes[label], name);
    else
        snprintf(out, out_bytes, "%s!%s", path, name);
}

const data_layout data_layout_ilsvrc = {
    .name = "ilsvrc",
    .holds = "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar or a folder of them",
    .fits = ilsvrc_fits,
    .prepare = ilsvrc_prepare,
    .scan = ilsvrc_scan,
    .read = data_archive_read,
    .relative = ilsvrc_relative,
    .whole = ilsvrc_whole,
    .advise = data_archive_advise,
    .join = '!',
    .cached = true,
};
