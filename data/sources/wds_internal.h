/* wds_internal.h - between wds.c, tfrecord.c (samples) and wds_find.c (shards). */
#ifndef DATA_SOURCE_WDS_INTERNAL_H
#define DATA_SOURCE_WDS_INTERNAL_H

#include "data/data_internal.h"

typedef struct wds_list {
    char **path; /* [count] bytewise sorted, each once */
    size_t room, count;
} wds_list;

/* The shards that spec means: a file, a folder of files whose names are a shard's, brace
 * ranges x-{0000..1023}.tar and {a,b}, globs. kind: ".tar files", for a message. The caller
 * frees *out in any case. */
base_status data_wds_list_shards(wds_list *out, const char *spec,
                                 bool (*is_shard)(const char *name), const char *kind,
                                 base_error *err);
bool data_wds_is_tar_name(const char *name);
void data_wds_list_free(wds_list *list);
/* As data_layout.fits. */
int data_wds_fits(const char *path);

#endif
