/* base_internal.h - what the files of this room share and nobody else sees. */
#ifndef BASE_BASE_INTERNAL_H
#define BASE_BASE_INTERNAL_H

#include "base/base.h"

/* Flushes the folder that holds path to disk, so that a rename in it survives a power cut.
 * Cannot fail (see file.c). */
void base_folder_sync_parent(const char *path);

/* base_folder_replace for file systems that cannot exchange two names; live exists. Tested
 * apart, because most systems can. */
base_status base_folder_replace_renaming(const char *live, const char *fresh,
                                         base_error *err);

/* base_cpu_quota of the groups in text, the lines of /proc/self/cgroup (which it cuts up),
 * whose files are below the folder root. */
int base_cpu_quota_below(const char *root, char *text);

#endif
