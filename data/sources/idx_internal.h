/* idx_internal.h - between idx.c (reading) and idx_find.c (finding).
 */
#ifndef DATA_SOURCE_IDX_INTERNAL_H
#define DATA_SOURCE_IDX_INTERNAL_H

#include "data/data_internal.h"

/* Whether path may mean IDX files. */
int data_idx_find_fits(const char *path);
/* The images file that path stands for: itself, the one set of a folder, or the set of a
 * prefix. The caller frees *out. BASE_USAGE: several sets, or a file of another name;
 * BASE_FORMAT: a folder without any; BASE_IO: nothing of that name. */
base_status data_idx_find_images(char **out, const char *path, base_error *err);
/* The labels file that belongs to an images file: "images" becomes "labels", idx3 idx1,
 * with or without .gz. NULL: no memory. The file need not exist; the caller frees it. */
char *data_idx_find_labels(const char *images);

#endif
