/* base_internal.h - what the files of this room share and nobody else sees. */
#ifndef BASE_BASE_INTERNAL_H
#define BASE_BASE_INTERNAL_H

/* Flushes the folder that holds path to disk, so that a rename in it survives a power cut.
 * Cannot fail (see file.c). */
void base_folder_sync_parent(const char *path);

#endif
