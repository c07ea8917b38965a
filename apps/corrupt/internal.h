/* internal.h - between the files of `vmoe corrupt`: corrupt.c (options), tree.c (the
 * images), manifest.c (what made a tree), sheet.c (a picture of all of them), view.c. */
#ifndef APPS_CORRUPT_INTERNAL_H
#define APPS_CORRUPT_INTERNAL_H

#include "apps/corruption_internal.h"

enum {
    APP_TREE_QUALITY = 85, /* of the published files */
    APP_TREE_PATH = 6144   /* bytes of a path in the tree */
};

typedef struct corrupt_args {
    app_common common;
    app_corruption corruption;
    const char *data, *out, *sheet, *sheet_image;
    const char *picture; /* the word: one picture into the file `out`; NULL: a tree */
    int64_t size, resize;
    bool resize_given; /* false: size / 0.875 from 128 pixels on, else size */
    int interpolation; /* a data_filter */
    int format;        /* index into "jpeg|png" */
    int bad_samples;   /* index into "fail|skip" */
    int64_t tile;      /* side of the sheet's pictures */
    bool list;
} corrupt_args;

/* A tree in the making. */
typedef struct app_tree {
    const corrupt_args *args;
    app_selection selection;
    corrupt_crew crew;
    data_source *source;
    uint32_t *samples; /* [count] */
    size_t count;
    /* How it went. */
    uint64_t images, written, kept, bad; /* images: done; files: written, found whole */
    double seconds;
    bool interrupted;
} app_tree;

/* ---- tree.c ---- */

/* Writes what is missing. Ctrl-C: stops with interrupted set. */
base_status app_tree_write(app_tree *tree, base_error *err);
/* The reader's picture as the network would see it, [size, size, 3]; it is changed. */
base_status app_tree_clean(data_image *out, data_reader *reader, const corrupt_args *args,
                           base_error *err);

/* ---- manifest.c ---- */

/* Makes the folder, locks it against a second process (*lock: close it at the end) and
 * compares its manifest, if it has one, with what is to be written now. */
base_status app_manifest_open(int *lock, const app_tree *tree, base_error *err);
/* Writes the manifest; complete: all files are there and on disk. */
base_status app_manifest_write(const app_tree *tree, bool complete, base_error *err);

/* ---- sheet.c ---- */

/* Whether the name ends in .jpg or .jpeg, in letters of any size. */
bool app_is_jpeg(const char *path);
/* A PNG file, or JPEG of this quality where the name ends so. */
base_status app_picture_write(const char *path, const data_image *image,
                              corrupt_worker *worker, int quality, base_error *err);

/* One picture of every selected corruption and severity of image [height, width, 3]: a PNG
 * file, or JPEG where the name ends so; at its foot what made them. key: of the image's
 * name. */
base_status app_sheet_write(const char *path, const app_selection *selection,
                            const corrupt_crew *crew, const data_image *image, uint64_t key,
                            size_t tile, base_error *err);

extern const show_view app_corrupt_view; /* view.c */

#endif
