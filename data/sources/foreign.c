/* foreign.c - data sets in other people's formats, which are not read, by their names: what
 * they are and what makes something of them that is. Asked only when no layout fits. Free
 * to add: a line. */
#include "data/data_internal.h"

#include <dirent.h>
#include <string.h>

/* Hugging Face's imagenet-1k: 294 and 14 files with a column of pictures and one of labels.
 * In two lines, as docs/data.md has them. */
#define PARQUET                                                                             \
    "Parquet (as Hugging Face hands out imagenet-1k), which no C library in Debian reads: " \
    "make WebDataset shards of it with Python (pip install pyarrow webdataset): import "    \
    "glob, webdataset as w, pyarrow.parquet as q; r = (r for f in "                         \
    "sorted(glob.glob('DIR/train-*.parquet')) for b in q.ParquetFile(f).iter_batches(256) " \
    "for r in b.to_pylist()); s = w.ShardWriter('train-%05d.tar'); [s.write({'__key__': "   \
    "'%08d' % i, 'jpg': x['image']['bytes'], 'cls': x['label']}) for i, x in "              \
    "enumerate(r)]; s.close()"

static const struct {
    const char *end; /* of a file's name */
    const char *what;
} formats[] = {
    {".parquet", PARQUET},
    {".arrow", "Arrow (datasets' save_to_disk): save it as folders or WebDataset shards"},
    {".beton", "FFCV's: use what it was made of"},
    {".mdb", "LMDB: save it as folders or WebDataset shards"},
    {".lmdb", "LMDB: save it as folders or WebDataset shards"},
    {".h5", "HDF5: save its arrays as .npy (images.npy and labels.npy)"},
    {".hdf5", "HDF5: save its arrays as .npy (images.npy and labels.npy)"},
    {".npz", "NumPy's archive: save its arrays as .npy (images.npy and labels.npy)"},
    {".mat", "MATLAB's: save its arrays as .npy (images.npy and labels.npy)"},
    {".rec", "MXNet's RecordIO: save it as folders or WebDataset shards"},
    {"batches.meta", "CIFAR's Python version: fetch the binary version, which is read"},
};

static const char *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (data_ends_in(name, formats[i].end))
            return formats[i].what;
    }
    return NULL;
}

/* The kind of a file in the folder path, or in its folder "data"; *name (base_free). */
static const char *kind_inside(char **name, const char *path, bool further)
{
    const char *kind = NULL;
    const struct dirent *d;
    DIR *dir = opendir(path);

    while (dir && !kind && (d = readdir(dir)) != NULL) {
        char *below = base_text("%s/%s", path, d->d_name);
        kind = kind_of(d->d_name);
        if (kind)
            *name = base_text("%s", below);
        else if (further && strcmp(d->d_name, "data") == 0 && below)
            kind = kind_inside(name, below, false);
        base_free(below);
    }
    if (dir)
        closedir(dir);
    return kind;
}

base_status data_foreign_refuse(const char *path, base_error *err)
{
    char *name = NULL;
    const char *kind = kind_of(path);

    if (!kind)
        kind = kind_inside(&name, path, true);
    const base_status status =
        kind ? base_fail(err, BASE_UNSUPPORTED, "'%s' is %s", name ? name : path, kind)
             : BASE_OK;
    base_free(name);
    return status;
}
