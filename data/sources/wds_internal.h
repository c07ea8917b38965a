/* wds_internal.h - between source_wds.c (samples) and source_wds_find.c (shards). */
#ifndef DATA_SOURCE_WDS_INTERNAL_H
#define DATA_SOURCE_WDS_INTERNAL_H

#include "data/data_internal.h"

typedef struct wds_list {
    char **path; /* [count] bytewise sorted, each once */
    size_t room, count;
} wds_list;

/* The shards that spec means: a tar, a folder of tars, brace ranges x-{0000..1023}.tar and
 * {a,b}, globs. The caller frees *out in any case. */
base_status data_wds_list_shards(wds_list *out, const char *spec, base_error *err);
void data_wds_list_free(wds_list *list);
/* As data_layout.fits. */
int data_wds_fits(const char *path);

#endif
