/* npy_internal.h - float32 tables of unknown length as NumPy files, for the commands of
 * apps/.
 *
 *     app_npy npy;
 *     if (app_npy_open(&npy, "logits.npy", (size_t[]){10}, 1, &err) == BASE_OK) ...
 *     app_npy_append(&npy, logits, rows, &err);   as often as wanted
 *     app_npy_commit(&npy, &err);                 or app_npy_abandon(&npy)
 */
#ifndef APPS_NPY_INTERNAL_H
#define APPS_NPY_INTERNAL_H

#include "base/base.h"

enum { APP_NPY_RANK_MAX = 4 };

typedef struct app_npy {
    base_writer out;
    size_t row[APP_NPY_RANK_MAX]; /* shape of one row */
    int rank;                     /* of one row, 0..3; the file's is one more */
    size_t row_floats;
    size_t rows; /* written so far */
    bool whole;  /* int32 in place of float32 */
} app_npy;

/* Starts a file of shape [rows, row...]; the rows are counted as they come. On success
 * it must end in commit or abandon. path must be a file that can be written twice (no
 * pipe): the shape is at the front and known last. */
base_status app_npy_open(app_npy *npy, const char *path, const size_t *row, int rank,
                         base_error *err);
/* Adds rows [rows, row...]. On failure err names the file. */
base_status app_npy_append(app_npy *npy, const float *values, size_t rows, base_error *err);
/* Writes the shape and puts the file in its place; closes in any case. */
base_status app_npy_commit(app_npy *npy, base_error *err);
/* A whole file of int32, shape [count]. */
base_status app_npy_whole_write(const char *path, const int32_t *values, size_t count,
                                base_error *err);
/* Safe on a zeroed struct and after commit. */
void app_npy_abandon(app_npy *npy);

#endif
