/* images.c - a plain folder of images, in folders or not, without labels: for predictions
 * (data.md 1), or with a file of labels (--val-labels, val_annotations.txt). Free to
 * change: nothing much. Relied on elsewhere: bytewise order of whole paths. */
#include "data/data_internal.h"

#include <dirent.h>
#include <string.h>

static base_status images_scan(data_source *source, const data_source_options *options,
                               base_error *err)
{
    const base_status status = data_folder_scan_flat(source, err);

    (void)options;
    source->labelling = DATA_LABELS_TRUTH;
    return status;
}

static base_status images_prepare(data_source *source, const data_source_options *options,
                                  base_error *err)
{
    const base_status status = data_folder_annotations(source, err);

    return status == BASE_OK ? data_folder_prepare(source, options, err) : status;
}

/* Also a link to one, and where the file system does not tell. */
static bool is_folder(DIR *dir, const struct dirent *d)
{
    struct stat info;

    if (d->d_type != DT_LNK && d->d_type != DT_UNKNOWN)
        return d->d_type == DT_DIR;
    return fstatat(dirfd(dir), d->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode);
}

/* Images right in it; a folder of class folders may have some too, so not for sure. */
static int images_fits(const char *path)
{
    const struct dirent *d;
    int fits = 0;
    DIR *dir = opendir(path);

    if (!dir)
        return 0;
    while ((d = readdir(dir)) != NULL) {
        if (d->d_name[0] == '.')
            continue;
        if (is_folder(dir, d)) { /* class folders? Then "folder" it is */
            fits = 0;
            break;
        }
        fits = fits || data_is_image_name(d->d_name);
    }
    closedir(dir);
    return fits;
}

const data_layout data_layout_images = {
    .name = "images",
    .holds = "a folder of images",
    .fits = images_fits,
    .prepare = images_prepare,
    .scan = images_scan,
    .read = data_folder_read,
    .relative = data_folder_relative,
    .whole = data_folder_whole,
    .advise = data_folder_advise,
    .join = '/',
    .cached = true,
};
