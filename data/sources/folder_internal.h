/* folder_internal.h - between walk.c (the walk over a tree) and
 * folder.c (the layout, reading). */
#ifndef DATA_SOURCE_FOLDER_INTERNAL_H
#define DATA_SOURCE_FOLDER_INTERNAL_H

#include "data/data_internal.h"

/* One name of a folder. */
typedef struct folder_entry {
    char *name;
    uint64_t bytes;
    bool folder;
} folder_entry;

typedef struct folder_listing {
    folder_entry *at;
    size_t room, count;
    data_left_out left_out;
} folder_listing;

/* The names in the folder fd, sorted as if folders' names ended in '/'. Closes fd. False:
 * errno says why not. */
bool data_folder_list(folder_listing *out, int fd);
void data_folder_listing_free(folder_listing *l);

#endif
