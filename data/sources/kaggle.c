/* kaggle.c - ImageNet as Kaggle hands it out (data.md 1): ILSVRC/Data/CLS-LOC/ with
 * train/CLASS/FILE, val/FILE and test/FILE, the labels of val in LOC_val_solution.csv
 * beside ILSVRC. The path is the root, or any folder on the way to CLS-LOC, or its val or
 * test. Free to change: where the CSV is looked for. */
#include "data/data_internal.h"

#include <string.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat info;

    return path && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The CLS-LOC folder of a path (base_free), NULL: none. *split: path is a part of it. */
static char *find_base(const char *path, const char **split)
{
    static const char *const below[] = {"/ILSVRC/Data/CLS-LOC", "/Data/CLS-LOC",
                                        "/CLS-LOC"};
    static const char *const parts[] = {"/CLS-LOC/val", "/CLS-LOC/test"};

    *split = NULL;
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        char *base = base_text("%s%s", path, below[i]);
        if (is_folder(base))
            return base;
        base_free(base);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (data_ends_in(path, parts[i]) && is_folder(path)) {
            *split = i == 0 ? "val" : "test";
            return base_text("%.*s", (int)(strrchr(path, '/') - path), path);
        }
    }
    return data_ends_in(path, "/CLS-LOC") && is_folder(path) ? base_text("%s", path) : NULL;
}

static int kaggle_fits(const char *path)
{
    const char *split;
    size_t bytes = strlen(path);

    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    char *plain = base_text("%.*s", (int)bytes, path);
    char *base = plain ? find_base(plain, &split) : NULL;
    base_free(plain);
    base_free(base);
    return base ? 2 : 0;
}

/* LOC_val_solution.csv beside CLS-LOC or up to three folders above. */
static base_status find_solution(data_source *source, const char *root, base_error *err)
{
    static const char *const up[] = {"", "/..", "/../..", "/../../.."};

    for (size_t i = 0; i < sizeof up / sizeof *up && !source->truth_path; i++) {
        source->truth_path = base_text("%s%s/LOC_val_solution.csv", root, up[i]);
        if (!source->truth_path)
            return base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", source->path);
        if (access(source->truth_path, R_OK) != 0) {
            base_free(source->truth_path);
            source->truth_path = NULL;
        }
    }
    return BASE_OK;
}

static base_status kaggle_prepare(data_source *source, const data_source_options *options,
                                  base_error *err)
{
    const char *split;
    char *root = find_base(source->path, &split);

    if (!root)
        return base_fail(err, BASE_FORMAT, "'%s' holds no ILSVRC/Data/CLS-LOC, expected %s",
                         source->path, source->layout->holds);
    source->split_used = !split;
    if (!split)
        split = options->split ? options->split : "val";
    base_status status = BASE_OK;
    source->base = base_text("%s/%s", root, split);
    if (!source->base)
        status = base_fail(err, BASE_NO_MEMORY, "no memory to open '%s'", source->path);
    if (status == BASE_OK && strcmp(split, "val") == 0)
        status = find_solution(source, root, err);
    base_free(root);
    return status == BASE_OK ? data_folder_prepare(source, options, err) : status;
}

static base_status kaggle_scan(data_source *source, const data_source_options *options,
                               base_error *err)
{
    const bool train = data_ends_in(source->base, "/train");
    const bool val = data_ends_in(source->base, "/val");
    base_status status;

    (void)options;
    if (train) {
        status = data_folder_scan(source, source->fd, "", err);
        return status == BASE_OK ? data_source_sort(source, err) : status;
    }
    status = data_folder_scan_flat(source, err);
    source->labelling = val ? DATA_LABELS_TRUTH : DATA_LABELS_NONE;
    return status;
}

const data_layout data_layout_kaggle = {
    .name = "kaggle",
    .holds = "Kaggle's tree with ILSVRC/Data/CLS-LOC in it",
    .fits = kaggle_fits,
    .prepare = kaggle_prepare,
    .scan = kaggle_scan,
    .read = data_folder_read,
    .relative = data_folder_relative,
    .whole = data_folder_whole,
    .advise = data_folder_advise,
    .join = '/',
    .cached = true,
};
