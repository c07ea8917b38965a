/* show.h - results as other people's programs and eyes read them.
 *
 *     const float rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
 *     base_error err = {0};
 *     show_npy npy;
 *     if (show_npy_open(&npy, "rows.npy", (size_t[]){3}, 1, &err) != BASE_OK)
 *         return app_fail(&err);
 *     base_status status = show_npy_append(&npy, rows[0], 2, &err);
 *     if (status == BASE_OK)
 *         status = show_npy_commit(&npy, &err);
 *     else
 *         show_npy_abandon(&npy);
 *     if (status != BASE_OK)
 *         return app_fail(&err);
 *
 * One at a time on one object; nothing is printed but into the file that is named. */
#ifndef SHOW_SHOW_H
#define SHOW_SHOW_H

#include "base/base.h"

/* ---- tables of numbers as NumPy files, of unknown length ----------------------------- */

enum { SHOW_NPY_RANK_MAX = 4 };

typedef struct show_npy {
    base_writer out;
    size_t row[SHOW_NPY_RANK_MAX]; /* shape of one row */
    int rank;                      /* of one row, 0..3; the file's is one more */
    size_t row_floats;
    size_t rows; /* written so far */
    bool whole;  /* int32 in place of float32 */
} show_npy;

/* Starts a file of shape [rows, row...]; the rows are counted as they come. On success
 * it must end in commit or abandon. path must be a file that can be written twice (no
 * pipe): the shape is at the front and known last. */
base_status show_npy_open(show_npy *npy, const char *path, const size_t *row, int rank,
                          base_error *err);
/* Adds rows [rows, row...]. On failure err names the file. */
base_status show_npy_append(show_npy *npy, const float *values, size_t rows,
                            base_error *err);
/* Writes the shape and puts the file in its place; closes in any case. */
base_status show_npy_commit(show_npy *npy, base_error *err);
/* A whole file of int32, shape [count]. */
base_status show_npy_whole_write(const char *path, const int32_t *values, size_t count,
                                 base_error *err);
/* Safe on a zeroed struct and after commit. */
void show_npy_abandon(show_npy *npy);

#endif
