/* imagenet_classes.c - the 1000 classes of ILSVRC2012: WordNet ids, the development
 * kit's numbers, short names. They stand in imagenet_classes.txt; the build makes the table
 * of it. */
#include "data/data.h"
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct imagenet_class {
    const char *wnid; /* "n" and 8 digits */
    int kit_id;       /* ILSVRC2012_ID of the development kit: 1 is kit fox, 449 tench */
    const char *name;
} imagenet_class;

static const imagenet_class classes[DATA_IMAGENET_CLASSES] = {
#include "data/imagenet_classes.inc"
};

static int by_wnid(const void *key, const void *row)
{
    return strcmp(key, ((const imagenet_class *)row)->wnid);
}

int32_t data_imagenet_label(const char *wnid)
{
    const imagenet_class *at =
        bsearch(wnid, classes, DATA_IMAGENET_CLASSES, sizeof *classes, by_wnid);

    return at ? (int32_t)(at - classes) : -1;
}

const char *data_imagenet_wnid(size_t label)
{
    return label < DATA_IMAGENET_CLASSES ? classes[label].wnid : NULL;
}

int data_imagenet_kit_id(size_t label)
{
    return label < DATA_IMAGENET_CLASSES ? classes[label].kit_id : -1;
}

const char *data_imagenet_name(const char *wnid)
{
    const int32_t label = data_imagenet_label(wnid);

    return label < 0 ? NULL : classes[label].name;
}
