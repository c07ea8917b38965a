/* cifar.c - the binary version of CIFAR-10 and CIFAR-100 (Krizhevsky 2009): records
 * of one label byte (CIFAR-100: coarse, then fine) and 3072 bytes, the planes R, G, B of 32
 * x 32 pixels. Split train: data_batch_*.bin or train.bin; else test_batch.bin or test.bin.
 * Names from batches.meta.txt or fine_label_names.txt beside them. Free to change: the
 * texts. Relied on elsewhere: order of files and records. */
#include "data/data_internal.h"

#include <string.h>

#include "data/sources/archives_internal.h"
#include "data/sources/wds_internal.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE, NAMES_MOST = 1 << 16 };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Label bytes of a record by the file's name: 1, 2, or 0 for another file. */
static size_t label_bytes(const char *path)
{
    const char *name = base_name(path);

    if (!data_ends_in(name, ".bin"))
        return 0;
    if (strncmp(name, "data_batch_", 11) == 0 || strcmp(name, "test_batch.bin") == 0)
        return 1;
    return strcmp(name, "train.bin") == 0 || strcmp(name, "test.bin") == 0 ? 2 : 0;
}

/* Bytes of a record; of a file of another name one label is taken. */
static size_t record_bytes(const char *path)
{
    return PIXELS + (label_bytes(path) == 2 ? 2 : 1);
}

static bool is_file(const char *path)
{
    struct stat info;

    return path && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The files of a split in the folder path, as far as they are there. */
static base_status list_files(wds_list *list, const char *path, bool train, base_error *err)
{
    static const char *const names[][8] = {
        {"test_batch.bin", "test.bin"},
        {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
         "data_batch_5.bin", "train.bin"},
    };
    base_status status = BASE_OK;

    for (size_t i = 0; i < 8 && names[train][i] && status == BASE_OK; i++) {
        char *file = base_text("%s/%s", path, names[train][i]);
        if (!file || !data_grow(&list->path, &list->room, list->count + 1, sizeof file)) {
            base_free(file);
            return base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", path);
        }
        if (is_file(file))
            list->path[list->count++] = file;
        else
            base_free(file);
    }
    return status;
}

static int cifar_fits(const char *path)
{
    wds_list list = {0};

    if (label_bytes(path) > 0 && is_file(path))
        return 2;
    for (int train = 0; train < 2; train++) {
        if (list_files(&list, path, train, NULL) != BASE_OK)
            break;
    }
    const int fits = list.count > 0 ? 2 : 0;
    data_wds_list_free(&list);
    return fits;
}

static base_status cifar_prepare(data_source *source, const data_source_options *options,
                                 base_error *err)
{
    const bool train = options->split && strcmp(options->split, "train") == 0;
    base_status status = BASE_OK;
    wds_list list = {0};
    uint32_t number;

    if (is_file(source->path)) {
        status = data_tar_join(source, &number, source->path, err);
    } else {
        source->split_used = true;
        status = list_files(&list, source->path, train, err);
        if (status == BASE_OK && list.count == 0)
            status = base_fail(err, BASE_IO, "'%s' holds no %s, expected %s", source->path,
                               train ? "data_batch_*.bin or train.bin"
                                     : "test_batch.bin or test.bin",
                               source->layout->holds);
        for (size_t i = 0; i < list.count && status == BASE_OK; i++)
            status = data_tar_join(source, &number, list.path[i], err);
        data_wds_list_free(&list);
    }
    return status;
}

/* One file: a record a sample. */
static base_status scan_file(data_source *source, uint32_t number, base_error *err)
{
    const char *path = data_files_path(source->files, number);
    const uint64_t bytes = data_files_bytes(source->files, number);
    const size_t each = record_bytes(path), labels = each - PIXELS;
    base_status status = BASE_OK;
    unsigned char label[2];

    if (bytes == 0 || bytes % each != 0)
        return base_fail(err, BASE_FORMAT,
                         "'%s' has %ju bytes, expected a multiple of %zu: a label and 3072 "
                         "bytes for each image",
                         path, (uintmax_t)bytes, each);
    for (uint64_t at = 0; at < bytes && status == BASE_OK; at += each) {
        status = data_files_read(source->files, number, label, labels, at, err);
        if (status != BASE_OK) {
            base_error_prepend(err, "'%s': ", path);
            return status;
        }
        const data_record record = {
            .offset = at + labels,
            .size = PIXELS,
            .container = number,
            .label = label[labels - 1],
        };
        status = data_index_add(&source->index, &record, NULL, err);
    }
    return status;
}

/* A name a line, in place of the numbers; without such a file the numbers stay. */
static base_status name_classes(data_source *source, const data_source_options *options,
                                base_error *err)
{
    static const char *const files[] = {"batches.meta.txt", "fine_label_names.txt"};
    const char *first = data_files_path(source->files, 0);
    const char *wanted = files[label_bytes(first) == 2];
    char *path = base_text("%.*s%s", (int)(base_name(first) - first), first, wanted);
    base_status status = BASE_OK;
    char *text = NULL;
    size_t bytes = 0, label = 0;

    if (options->class_list || !is_file(path)) {
        base_free(path);
        return BASE_OK;
    }
    status = base_file_read(&text, &bytes, path, NAMES_MOST, err);
    for (char *at = text; status == BASE_OK && at && *at && label < source->class_count;) {
        const size_t line = strcspn(at, "\r\n");
        if (line > 0) {
            base_free(source->classes[label]);
            source->classes[label] = base_text("%.*s", (int)line, at);
            if (!source->classes[label++])
                status = base_fail(err, BASE_NO_MEMORY, "no memory for class names");
        }
        at += line;
        at += strspn(at, "\r\n");
    }
    base_free(text);
    base_free(path);
    return status;
}

static base_status cifar_scan(data_source *source, const data_source_options *options,
                              base_error *err)
{
    const size_t known = label_bytes(data_files_path(source->files, 0)) == 2 ? 100 : 10;
    base_status status = BASE_OK;

    for (size_t i = 0; i < data_files_count(source->files) && status == BASE_OK; i++)
        status = scan_file(source, (uint32_t)i, err);
    if (status != BASE_OK)
        return status;
    source->width = source->height = SIDE;
    source->channels = 3;
    source->labelling = DATA_LABELS_NUMBERS;
    data_source_options wider = *options;
    if (wider.classes_of_model < known)
        wider.classes_of_model = known;
    status = data_source_finish(source, &wider, err);
    return status == BASE_OK ? name_classes(source, options, err) : status;
}

/* Planes become pixels. */
static base_status cifar_read(const data_source *source, const data_record *record,
                              unsigned char *to, base_error *err)
{
    unsigned char planes[PIXELS];
    const base_status status = data_files_read(source->files, record->container, planes,
                                               sizeof planes, record->offset, err);

    for (size_t i = 0; i < PLANE && status == BASE_OK; i++) {
        to[3 * i] = planes[i];
        to[3 * i + 1] = planes[PLANE + i];
        to[3 * i + 2] = planes[2 * PLANE + i];
    }
    return status;
}

/* "CLASS/test_batch-00012.png". */
static void cifar_relative(const data_source *source, size_t i, char *out, size_t out_bytes)
{
    const data_record *r = data_index_at(&source->index, i);
    const char *path = data_files_path(source->files, r->container);
    const char *name = base_name(path);
    char class[DATA_NAME_MAX];

    data_class_folder(class, sizeof class, source, r->label);
    snprintf(out, out_bytes, "%s%.*s-%05zu.png", class,
             (int)(strlen(name) - (data_ends_in(name, ".bin") ? 4 : 0)), name,
             (size_t)(r->offset / record_bytes(path)));
}

const data_layout data_layout_cifar = {
    .name = "cifar-bin",
    .holds = "CIFAR's binary files (data_batch_*.bin, test_batch.bin)",
    .fits = cifar_fits,
    .prepare = cifar_prepare,
    .scan = cifar_scan,
    .read = cifar_read,
    .relative = cifar_relative,
    .sets_labels = true,
};
