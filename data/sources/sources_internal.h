/* sources_internal.h - sources and their layouts: what their files share inside this room.
 * Members of archives: archives_internal.h; labels: labels_internal.h.
 *
 * Opening goes in steps: a layout's scan fills the index with samples whose label is a
 * class of source->table (or a number, or still unknown); data_source_sort puts them in
 * canonical order; that is what the cache holds. data_source_finish then decides the
 * labels, which depend on the model and the options, not on the files. */
#ifndef DATA_SOURCE_INTERNAL_H
#define DATA_SOURCE_INTERNAL_H

#include <sys/stat.h>

#include "data/data.h"

enum {
    DATA_IMAGENET_CLASSES = 1000,
    DATA_CLASSES_MAX = 65536, /* ImageNet-21k has 21841 */
    DATA_NAME_MAX = 4096,     /* bytes of a path below the class folder */
    DATA_DEPTH_MAX = 16       /* folders on a path, the class folder included (data.md 1) */
};

/* Label of a WordNet id in ILSVRC2012, -1: none of the 1000. Safe from several threads. */
int32_t data_imagenet_label(const char *wnid);
/* The number 1..1000 that the development kit gives the class of a label (0..999): its
 * order is not that of the WordNet ids. */
int data_imagenet_kit_id(size_t label);

/* ---- index -------------------------------------------------------------------------- */

/* One sample, 24 bytes (data.md 2). */
typedef struct data_record {
    uint64_t offset;    /* of the bytes in the container */
    uint32_t size;      /* bytes; above DATA_SIZE_MOST: a data_unreadable */
    uint32_t container; /* number of the file or folder that it lies in */
    int32_t label;      /* -1: unknown; below: data_label_refused */
    /* Of data_index_name; tars: bytes from the header to the data, or DATA_NAME_AFTER and
     * blocks from the data to the header (hard links); DATA_NAME_ZIP: of a zip, offset is
     * the entry in its directory. */
    uint32_t name;
} data_record;

#define DATA_NAME_ZIP UINT32_MAX
#define DATA_NAME_AFTER 0x80000000u
#define DATA_SIZE_MOST (UINT32_MAX - 16)
/* Why a sample cannot be read, in the place of its size. */
typedef enum data_unreadable {
    DATA_NO_IMAGE_PART = 1,
    DATA_NO_LABEL_PART = 2,
    DATA_LABEL_RANGE = 3,
    DATA_SPARSE = 15,
    DATA_LARGE = 16
} data_unreadable;

/* The size field for one that cannot be read. */
static inline uint32_t data_size_unreadable(data_unreadable why)
{
    return DATA_SIZE_MOST + (uint32_t)why;
}

/* A number that is no class, as the label of a record that cannot be read: exact between
 * +-DATA_LABEL_MOST, those beyond are that; INT64_MIN: no whole number. */
#define DATA_LABEL_MOST (INT32_MAX / 2 - 2)
static inline int32_t data_label_refused(int64_t n)
{
    const int32_t most = DATA_LABEL_MOST;
    const int32_t held = n > most ? most : n < -most ? -most : (int32_t)n;

    return n == INT64_MIN ? -2 : held >= 0 ? -3 - 2 * held : -2 + 2 * held;
}

/* The number again. */
static inline int64_t data_label_told(int32_t refused)
{
    return refused == -2 ? INT64_MIN : refused % 2 ? (-3 - refused) / 2 : (refused + 2) / 2;
}

static inline bool data_record_readable(const data_record *r)
{
    return r->size <= DATA_SIZE_MOST;
}

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
/* Room for count records in all, without adding any; index->count stays. */
base_status data_index_reserve(data_index *index, size_t count, base_error *err);
void data_index_drop_names(data_index *index);
void data_index_destroy(data_index *index);

/* Records of one class of an archive, with their names until the class is complete
 * (run.c). Zero it, destroy it. */
typedef struct data_run {
    data_index index;
    uint32_t *order;
    size_t room;
} data_run;

/* record->name: bytes from the header to the data, as it stays. name is copied. */
base_status data_run_add(data_run *run, const data_record *record, const char *name,
                         base_error *err);
/* The records go into the source, by name, without their names; the run is empty again. */
base_status data_run_end(data_run *run, data_source *source, base_error *err);
void data_run_destroy(data_run *run);

/* Names that are no samples, by reason, and of DATA_IGNORED_FORMAT by ending. */
enum { DATA_FORMATS = 25, DATA_VIDEOS = 22 /* and above: videos */ };
typedef struct data_left_out {
    size_t by[DATA_IGNORED_COUNT];
    size_t format[DATA_FORMATS];
} data_left_out;

/* Counts a file whose name is not an image's: of a format that is not read, or another. */
void data_left_out_name(data_left_out *left_out, const char *name);
/* A folder of the system's own: lost+found, __MACOSX, @eaDir, ... of bytes bytes. */
bool data_is_system_name(const char *name, size_t bytes);

/* Names, numbered in the order they appear. */
typedef struct data_class_table {
    char **name;
    uint32_t *sorted; /* [count] numbers by name, bytewise */
    size_t name_room, sorted_room, count;
} data_class_table;

/* The number of the class, added when new. base_fail says why not (too many). */
base_status data_class_add(uint32_t *out, data_class_table *table, const char *name,
                           base_error *err);
void data_class_table_destroy(data_class_table *table);

/* ---- files that samples lie in (files.c) -------------------------------------------- */

/* Archives, opened when they are read, at most DATA_FILES_OPEN at a time. */
typedef struct data_files data_files;
enum { DATA_FILES_OPEN = 512 };

base_status data_files_create(data_files **out, base_error *err);
void data_files_destroy(data_files *files); /* NULL is fine */
/* The file joins as the next number. It must be a regular file. */
base_status data_files_add(uint32_t *out, data_files *files, const char *path,
                           base_error *err);
size_t data_files_count(const data_files *files);
const char *data_files_path(const data_files *files, size_t number);
uint64_t data_files_bytes(const data_files *files, size_t number);
/* What stat said when the file joined. */
const struct stat *data_files_stat(const data_files *files, size_t number);
/* The descriptor of a file, valid until data_files_release. err: the reason alone. Safe
 * from several threads. */
base_status data_files_hold(int *fd, data_files *files, size_t number, base_error *err);
void data_files_release(data_files *files, size_t number);
/* bytes bytes from offset. err: the reason alone. Safe from several threads. */
base_status data_files_read(data_files *files, size_t number, unsigned char *to,
                            size_t bytes, uint64_t offset, base_error *err);

/* ---- above the class folders (parts.c) ---------------------------------------------- */

/* A folder at the top of a tree or an archive. */
typedef struct data_top {
    const char *name;
    bool pictures;     /* lie right in it */
    bool folders;      /* are in it */
    char inner[4][24]; /* the first of these, cut; "" behind the last */
} data_top;

/* The folder of bytes of name lies in it. Cannot fail. */
void data_top_inner(data_top *top, const char *name, size_t bytes);

#define DATA_NO_TOP SIZE_MAX
/* The folder of top [count] that holds the class folders: the part of the options' split,
 * or one alone around them; DATA_NO_TOP: these are the class folders. pictures: some lie
 * beside them. where: what is looked into, for messages. Notes what it chooses; BASE_USAGE:
 * the user must say which part. */
base_status data_parts_choose(size_t *out, data_source *source, const char *where,
                              const data_top *top, size_t count, bool pictures,
                              const data_source_options *options, base_error *err);
/* A notice where Tiny ImageNet's list of classes, beside its parts, is not sorted: programs
 * that number classes by it have other labels. */
void data_note_wnids(data_source *source, const char *text);
/* Whether these are pictures in no class folders: those beside top (*out DATA_NO_TOP), or
 * of the folder *out alone, called "images" or with labels from a file. */
bool data_parts_flat(const data_top *top, size_t count, bool pictures,
                     const data_source_options *options, size_t *out);
/* "train", "Validation", ... */
bool data_part_name(const char *name);
/* The split that a name is a word for ("val" for "Validation"), NULL: none. For ever. */
const char *data_part_split(const char *name);

/* ---- ImageNet-C (imagenet_c.c, imagenet_c_archive.c) -------------------------------- */

/* What a path in a tree of corruptions says: ".../CORRUPTION/SEVERITY/CLASS/FILE". */
typedef struct data_c_name {
    size_t prefix;     /* bytes up to the severity */
    size_t corruption; /* where it begins */
    size_t corruption_bytes, class, class_bytes;
    int severity; /* 1..5, 0 of "clean" */
    bool known;   /* one of the published corruptions, or clean */
} data_c_name;
/* False: it says nothing of the kind. */
bool data_c_name_parse(data_c_name *out, const char *name);
/* Place among the known corruptions, from 1 (0: clean); SIZE_MAX: another. */
size_t data_c_rank(const char *corruption, size_t bytes);
/* A part of an archive: the members below prefix. */
typedef struct data_c_part {
    char *prefix, *corruption;
    uint64_t range[2];
    int severity;
} data_c_part;
/* The parts of a tar or zip. The caller frees them, also after a failure. */
base_status data_c_archive_parts(data_c_part **out, size_t *count, const char *path,
                                 base_error *err);
void data_c_parts_destroy(data_c_part *parts, size_t count);
/* Whether the first pictures of a tar or zip are a known corruption's. */
bool data_c_archive_looks(const char *path);
/* All of an archive as one data set. */
base_status data_c_archive_scan(data_source *source, base_error *err);
/* For class folders that are none: names the member that shows it. */
base_status data_c_refuse(const char *path, const char *member, base_error *err);
/* As data_source_open, of the members of an archive below prefix and in range. */
base_status data_source_open_part(data_source **out, const char *path, const char *prefix,
                                  const uint64_t range[2],
                                  const data_source_options *options, base_error *err);

/* ---- sources ------------------------------------------------------------------------ */

typedef struct data_layout data_layout;

/* What the label of a record means after the scan. */
typedef enum data_labelling {
    DATA_LABELS_CLASSES, /* a number of source->table */
    DATA_LABELS_NUMBERS, /* a label as it is, -1: none */
    DATA_LABELS_TRUTH,   /* told by a file of labels, by the image's name */
    DATA_LABELS_NONE
} data_labelling;

enum { DATA_OPTIONS = 4 }; /* split, val-labels, class-map, label-key */

/* A file or folder whose size and time say whether a cached index still holds. */
typedef struct data_witness {
    char *path;
    uint64_t size;  /* 0 for folders */
    int64_t mtime;  /* nanoseconds; of the bytes */
    int64_t ctime;  /* of the file's state: set by the system alone */
    uint64_t inode; /* device and inode, hashed */
} data_witness;

struct data_source {
    const data_layout *layout;
    char *path; /* as given, without the layout and trailing slashes */
    char *base; /* the folder or list that names lie below, when it is not path */
    data_index index;
    char **classes; /* [class_count] by label */
    size_t class_count;
    data_left_out left_out;
    char notice[2048];
    uint64_t fingerprint, whole; /* whole: of all samples, shown or not */
    int fd;                      /* folder layouts: base; else -1 */
    data_files *files;           /* archives, by container */
    uint64_t file_bytes;         /* of all archives, 0: none */
    data_class_table
        folders;            /* names of containers that are folders, inner archives, ... */
    data_class_table table; /* classes as the scan met them */
    data_labelling labelling;
    bool names;       /* record->name is of data_index_name */
    bool as_found;    /* labels do not change the order */
    char *truth_path; /* file of labels that the layout found */
    char *prefix; /* archive: the folder in it that holds the class folders; NULL: none */
    uint64_t range[2]; /* archive: where the part that is read lies; 0, 0: all of it */
    bool cut;          /* tar: it ends without its two blocks of zeros */
    bool flat;         /* pictures in no class folders */
    bool has_truth;    /* archive: truth is a file of their labels in it */
    data_record truth;
    bool unused[DATA_OPTIONS]; /* options that were given and mean nothing */
    bool split_used;           /* the options' split chose something */
    data_witness *witness;     /* [witness_count] */
    size_t witness_room, witness_count;
    const data_source_options *asking; /* during the scan: whom to tell how far it is */
    double scan_started, scan_told;
    size_t ticks;          /* samples met */
    unsigned char *pixels; /* idx: all images [count, height, width, channels] */
    uint32_t *
        part; /* [part_count] the samples that are shown, ascending; NULL: all of the index */
    size_t part_count;
    size_t width, height, channels;
};

/* ---- a part that is held out (held.c) ------------------------------------------------ */

typedef struct data_held {
    size_t count;
    bool rest; /* all the others */
    bool given;
} data_held;

/* "held-5000:DATA" or "rest-5000:DATA": true, and *rest is DATA; else false, and *rest is
 * spec. */
bool data_held_parse(data_held *out, const char **rest, const char *spec);
/* From now on the source shows that part of its samples. BASE_USAGE when it has too few. */
base_status data_held_apply(data_source *source, const data_held *held, base_error *err);
/* Of sample i of the part that is shown. */
const data_record *data_source_record(const data_source *source, size_t i);

/* How data is stored: one file and one line in the table of source.c. */
struct data_layout {
    const char *name;
    const char *holds; /* "a folder with ...": ends "expected ..." */
    /* How surely the path is of this layout: 0 not, 1 it can be read so, 2 it is just this.
     * At little cost. The path may not exist (idx: prefix; wds: braces). */
    int (*fits)(const char *path);
    /* Before the scan, or in place of it when the cache knows the index: base, fd, the
     * names of archives. May be NULL. */
    base_status (*prepare)(data_source *source, const data_source_options *options,
                           base_error *err);
    /* Fills index (in canonical order), table, folders, labelling, names, witnesses. What
     * it took is freed by data_source_close. */
    base_status (*scan)(data_source *source, const data_source_options *options,
                        base_error *err);
    /* record->size bytes into to; uniform sources: pixels [height, width, channels]. err:
     * the reason alone. Safe from several threads. */
    base_status (*read)(const data_source *source, const data_record *record,
                        unsigned char *to, base_error *err);
    /* "CLASS/FILE". */
    void (*relative)(const data_source *source, size_t i, char *out, size_t out_bytes);
    /* The whole name as messages show it (not quoted). NULL: path, join, relative name. */
    void (*whole)(const data_source *source, size_t i, char *out, size_t out_bytes);
    /* The system may begin to read the record's bytes. May be NULL. */
    void (*advise)(const data_source *source, const data_record *record);
    char join;        /* between path and relative name; 0: "[i]" */
    bool sets_labels; /* scan does all, labels and seal included (idx) */
    bool cached;      /* the index is worth keeping */
};

extern const data_layout data_layout_folder, data_layout_tar, data_layout_zip,
    data_layout_idx, data_layout_ilsvrc, data_layout_kaggle, data_layout_wds,
    data_layout_list, data_layout_cifar, data_layout_images, data_layout_imagenet_c,
    data_layout_npy, data_layout_tfrecord;

/* ---- what layouts have in common ---------------------------------------------------- */

/* The folder layouts' scans (folder.c). prefix: of the container's names ("" or
 * "noise/fog/3/"); fd is borrowed. */
base_status data_folder_scan(data_source *source, int fd, const char *prefix,
                             base_error *err);
/* All images below source->base, one container "" and no classes. */
base_status data_folder_scan_flat(data_source *source, base_error *err);
/* The prepare of folder layouts: opens base, or path. */
base_status data_folder_prepare(data_source *source, const data_source_options *options,
                                base_error *err);
/* truth_path: val_annotations.txt in the folder, or beside it, as Tiny ImageNet has it. */
base_status data_folder_annotations(data_source *source, base_error *err);
const char *data_source_base(const data_source *source); /* base, or path */
base_status data_folder_read(const data_source *source, const data_record *record,
                             unsigned char *to, base_error *err);
/* The record's file; false: it cannot be asked. */
bool data_folder_stat(struct stat *out, const data_source *source,
                      const data_record *record);
void data_folder_relative(const data_source *source, size_t i, char *out, size_t out_bytes);
void data_folder_whole(const data_source *source, size_t i, char *out, size_t out_bytes);
void data_folder_advise(const data_source *source, const data_record *record);

/* BASE_UNSUPPORTED with what it is and what to do, for data of formats that are not read
 * (Parquet, LMDB, ...), by the names of files; else BASE_OK. */
base_status data_foreign_refuse(const char *path, base_error *err);
/* "CLASS/" of a label as the name of a folder, "" for -1: free text ("T-shirt/top") made
 * safe. */
void data_class_folder(char *out, size_t out_bytes, const data_source *source,
                       int32_t label);
/* Remembers a file or folder for the cache. */
base_status data_source_witness(data_source *source, const char *path,
                                const struct stat *info, base_error *err);
/* Called for each sample that a scan meets: tells how far it is, now and then. */
void data_source_tick(data_source *source);
/* Canonical order of what a scan found: class name, path, bytewise (without classes: path);
 * of members with one name in one class the last one stays. The records' names must be
 * in the index. */
base_status data_source_sort(data_source *source, base_error *err);
/* The same for members of one archive, whose record->container is what record->name will
 * be: the names are let go. */
base_status data_source_sort_members(data_source *source, base_error *err);
/* The same for classes each of which is in order: no names are needed. */
base_status data_source_order_classes(data_source *source, base_error *err);
/* Labels (data.md 1), order by label, notice, checks, fingerprint. */
base_status data_source_finish(data_source *source, const data_source_options *options,
                               base_error *err);
/* The checks that every layout ends with (no images, a single class), and the fingerprint.
 * present: classes that have a folder or images of their own. */
base_status data_source_seal(data_source *source, size_t present,
                             const data_source_options *options, base_error *err);
/* A sentence more in the notice. Cut when too long. */
void data_source_note(data_source *source, const char *format, ...) BASE_PRINTF(2, 3);
/* *at [*room] of each bytes grows to hold want; false: no memory, nothing changed. */
bool data_grow(void *at, size_t *room, size_t want, size_t each);
/* .jpg .jpeg .jpe .jfif .png in any case. */
bool data_is_image_name(const char *name);
/* Whether text ends in end, in any case. */
bool data_ends_in(const char *text, const char *end);
/* Exactly bytes bytes from offset; EINTR and short reads handled, EIO tried three times.
 * err: the reason alone ("truncated", "read error: ..."). Safe from several threads. */
base_status data_pread(int fd, unsigned char *to, size_t bytes, uint64_t offset,
                       base_error *err);
/* As data_source_read, for files of at most max_bytes. */
base_status data_source_read_within(const data_source *source, size_t i,
                                    unsigned char **buffer, size_t *buffer_bytes,
                                    size_t *size, size_t max_bytes, base_error *err);
/* As data_source_image, for files of at most max_bytes, with the reason of an odd or
 * damaged sample in note. */
base_status data_source_image_within(const data_source *source, size_t i, data_image *out,
                                     data_health *health, data_decoder *decoder,
                                     unsigned char **buffer, size_t *buffer_bytes,
                                     size_t max_bytes, char *note, size_t note_bytes,
                                     base_error *err);
/* The system may begin to read sample i from the disk; returns at once. Safe from several
 * threads. */
void data_source_advise(const data_source *source, size_t i);

/* ---- cache of indices (index_cache.c, index_file.c) ------------------------------ */

/* Fills what a scan would fill. False: there is no cached index, or it is stale or damaged
 * (said in note); the source is then as before. */
bool data_cache_load(data_source *source, const data_source_options *options, char *note,
                     size_t note_bytes);
/* Keeps the index for the next time. Failing to is no error. */
void data_cache_store(data_source *source, const data_source_options *options);
/* The parts of the above, for tests. out is zeroed but for its layout; the witnesses are
 * not compared with the disk. BASE_FORMAT: damaged. */
base_status data_cache_read(data_source *out, const char *file, const char *key,
                            base_error *err);
base_status data_cache_write(const data_source *source, const char *file, const char *key,
                             base_error *err);
/* The path from the root on (base_free), NULL: no memory. Links are not resolved. */
char *data_absolute_path(const char *path);
/* The cache's file (base_free), NULL: none. */
char *data_cache_file(const data_source *source, const data_source_options *options);
/* The sum over count bytes (whole words of 8), going on from sum (first: 0). */
uint64_t data_cache_sum(uint64_t sum, const void *bytes, size_t count);

#endif
