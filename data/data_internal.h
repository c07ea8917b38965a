/* data_internal.h - what the files of this room share and nobody else sees (but its tests).
 *
 * First part: one sample from decoded pixels to its place in a batch (image.c, transform.c,
 * augment.c), as the loader calls it. Second part: sources and their layouts (source*.c).
 *
 * The order of random draws is part of every result (data.md 7, 8). One sample, one stream
 * of BASE_PURPOSE_AUGMENT: crop, flip (data_train_transform), then erasing (data_erase).
 * One batch, one stream of BASE_PURPOSE_MIX (data_mix_batch). */
#ifndef DATA_DATA_INTERNAL_H
#define DATA_DATA_INTERNAL_H

#include "data/data.h"

/* ---- one sample ---------------------------------------------------------------------- */

/* Training geometry: the crop named by augment, then the flip, to [size, size, channels of
 * in], 8 bit.
 *   DATA_CROP_RANDOM  random resized crop (data.md 7): up to 10 tries of area, ratio, top,
 *                     left
 *   DATA_CROP_PADDED  to size x size if it is not (as DATA_CROP_EVAL with resize = size),
 *                     augment's padding of zeros on each side, crop at top, left =
 *                     below(2 * padding + 1)
 *   DATA_CROP_EVAL    data_eval_transform with resize and size, no draws
 * Then one uniform draw for the flip when its probability is above 0. resize is used by
 * DATA_CROP_EVAL only. out must not be in, nor one of scratch's images. */
base_status data_train_transform(data_image *out, const data_image *in,
                                 const data_augment *augment, size_t resize, size_t size,
                                 data_filter filter, base_rng *rng, data_scratch *scratch,
                                 base_error *err);

/* Random erasing (Zhong et al. 2017) of one normalised sample, planes [channels, size,
 * size]: with probability augment->erase a rectangle of 0.02..0.33 of the area, sides'
 * ratio 0.3..3.3, becomes 0, or standard normal numbers (erase_noise). Draws nothing when
 * the probability is 0. Cannot fail. */
void data_erase(float *planes, size_t channels, size_t size, const data_augment *augment,
                base_rng *rng);

/* ---- one batch ----------------------------------------------------------------------- */

/* Mixup (Zhang et al. 2017) or CutMix (Yun et al. 2019) of a finished batch in place,
 * timm's pairing: sample i with sample count - 1 - i (the middle one of an odd batch with
 * itself), one weight for the batch. images [count, channels, size, size]. Fills labels_b
 * [count] (the partner's label) and weight_a [count] (the weight of labels[i] in the
 * target, 0..1); an unmixed batch gets labels and 1. Draws nothing when augment has
 * neither. Cannot fail. */
void data_mix_batch(float *images, int32_t *labels_b, float *weight_a,
                    const int32_t *labels, size_t count, size_t channels, size_t size,
                    const data_augment *augment, base_rng *rng);

/* ---- sources ------------------------------------------------------------------------- */

enum {
    DATA_IMAGENET_CLASSES = 1000,
    DATA_CLASSES_MAX = 65536, /* ImageNet-21k has 21841 */
    DATA_NAME_MAX = 4096,     /* bytes of a path below the class folder */
    DATA_DEPTH_MAX = 16       /* folders on a path, the class folder included (data.md 1) */
};

/* Label of a WordNet id in ILSVRC2012, -1: none of the 1000. Safe from several threads. */
int32_t data_imagenet_label(const char *wnid);
/* The id of a label, NULL beyond 999. */
const char *data_imagenet_wnid(size_t label);

/* One sample, 24 bytes (data.md 2). size UINT32_MAX: cannot be read, offset says why. */
typedef struct data_record {
    uint64_t offset;    /* of the bytes in the container */
    uint32_t size;      /* bytes */
    uint32_t container; /* folder layout: number of the class folder */
    int32_t label;      /* -1: unknown */
    uint32_t name; /* folder: data_index_name; tar: bytes from the header to the data */
} data_record;

enum { DATA_UNREADABLE_LARGE = 1, DATA_UNREADABLE_SPARSE = 2 };

/* Records in chunks, so that growing copies nothing, and names in blocks. */
typedef struct data_index {
    data_record **chunk;
    size_t chunk_room, count;
    char **block;
    size_t block_room, block_count, block_used;
} data_index;

enum { DATA_CHUNK_RECORDS = 65536, DATA_BLOCK_BYTES = 1 << 20 };

static inline data_record *data_index_at(const data_index *index, size_t i)
{
    return &index->chunk[i / DATA_CHUNK_RECORDS][i % DATA_CHUNK_RECORDS];
}

static inline const char *data_index_name(const data_index *index, uint32_t name)
{
    return index->block[name / DATA_BLOCK_BYTES] + name % DATA_BLOCK_BYTES;
}

/* Adds a record. name (at most DATA_NAME_MAX bytes) is copied and its place put into the
 * record; NULL keeps record->name. */
base_status data_index_add(data_index *index, const data_record *record, const char *name,
                           base_error *err);
void data_index_drop_names(data_index *index);
void data_index_destroy(data_index *index);

/* The class names met while indexing, numbered in the order they appear. */
typedef struct data_class_table {
    char **name;
    uint32_t *sorted; /* [count] numbers by name, bytewise */
    size_t name_room, sorted_room, count;
} data_class_table;

/* The number of the class, added when new. base_fail says why not (too many). */
base_status data_class_add(uint32_t *out, data_class_table *table, const char *name,
                           base_error *err);
void data_class_table_destroy(data_class_table *table);

typedef struct data_layout data_layout;

struct data_source {
    const data_layout *layout;
    char *path; /* as given, without the layout and trailing slashes */
    data_index index;
    char **classes; /* [class_count] by label */
    size_t class_count;
    size_t ignored;
    char notice[512];
    uint64_t fingerprint;
    int fd;                   /* tar: the archive; folder: the root; else -1 */
    uint64_t file_bytes;      /* tar */
    data_class_table folders; /* folder: names of the class folders, by container */
    unsigned char *pixels;    /* idx: all images [count, height, width, channels] */
    size_t width, height, channels;
};

/* How data is stored: one file and one line in the table of source.c. */
struct data_layout {
    const char *name;
    const char *holds; /* "a folder with ...": ends "expected ..." */
    /* Whether the path looks like this layout, at little cost. The path may not exist (idx:
     * prefix). */
    bool (*fits)(const char *path);
    /* Fills source, whose layout and path are set; what it took is freed by
     * data_source_close. */
    base_status (*open)(data_source *source, const data_source_options *options,
                        base_error *err);
    /* record->size bytes into to; err: the reason alone. Safe from several threads. */
    base_status (*read)(const data_source *source, const data_record *record,
                        unsigned char *to, base_error *err);
    /* "CLASS/FILE" and the whole name as messages show it (not yet quoted). */
    void (*relative)(const data_source *source, size_t i, char *out, size_t out_bytes);
    char join; /* between path and relative name; 0: "[i]" */
};

extern const data_layout data_layout_folder, data_layout_tar, data_layout_idx;

/* The end of indexing for layouts with class folders: decides the labels (data.md 1), puts
 * the records in canonical order (label, path bytewise; a later member of the same name
 * wins), fills the notice. On entry a record's label is its class number in table; its name
 * lies in the index, or no names do and records stand by class and path already. */
base_status data_source_finish(data_source *source, const data_class_table *table,
                               const data_source_options *options, base_error *err);
/* The checks that every layout ends with (no images, a single class), and the fingerprint.
 * present: classes that have a folder or images of their own. */
base_status data_source_seal(data_source *source, size_t present,
                             const data_source_options *options, base_error *err);
/* Labels for the classes of the table: label_of [table->count], and source->classes. */
base_status data_classes_decide(data_source *source, int32_t *label_of,
                                const data_class_table *table,
                                const data_source_options *options, base_error *err);
/* A sentence more in the notice. Cut when too long. */
void data_source_note(data_source *source, const char *format, ...) BASE_PRINTF(2, 3);
/* *at [*room] of each bytes grows to hold want; false: no memory, nothing changed. */
bool data_grow(void *at, size_t *room, size_t want, size_t each);
/* .jpg .jpeg .png in any case. */
bool data_is_image_name(const char *name);
/* 0..DATA_CLASSES_MAX-1 from digits alone, else -1. */
int32_t data_class_number(const char *name);
/* Exactly bytes bytes from offset; EINTR and short reads handled, EIO tried three times.
 * err: the reason alone ("truncated", "read error: ..."). Safe from several threads. */
base_status data_pread(int fd, unsigned char *to, size_t bytes, uint64_t offset,
                       base_error *err);
/* As data_source_image, for files of at most max_bytes, with the reason of an odd or
 * damaged sample in note. */
base_status data_source_image_within(const data_source *source, size_t i, data_image *out,
                                     data_health *health, data_decoder *decoder,
                                     unsigned char **buffer, size_t *buffer_bytes,
                                     size_t max_bytes, char *note, size_t note_bytes,
                                     base_error *err);

/* ---- order --------------------------------------------------------------------------- */

/* Which sample stands at a position of an epoch. */
typedef struct data_order {
    uint64_t seed;
    size_t count;           /* positions of an epoch */
    uint32_t *subset;       /* [count] ascending, or NULL: all */
    size_t slots;           /* epochs whose permutations are kept, 0: not shuffled */
    uint64_t *epoch;        /* [slots], UINT64_MAX: none */
    uint32_t **permutation; /* [slots][count] */
} data_order;

/* limit 0: all samples; else the first limit of the permutation of BASE_PURPOSE_SUBSET.
 * slots 0: the source's order. The caller destroys *out. */
base_status data_order_create(data_order *out, size_t samples, size_t limit, uint64_t seed,
                              size_t slots, base_error *err);
void data_order_destroy(data_order *order);
/* Makes the permutation of the epoch unless it is there; overwrites that of epoch - slots.
 */
void data_order_prepare(data_order *order, uint64_t epoch);
/* The sample at position 0 .. count - 1. The epoch must be prepared. Safe from several
 * threads. */
uint32_t data_order_sample(const data_order *order, uint64_t epoch, size_t position);

#endif
