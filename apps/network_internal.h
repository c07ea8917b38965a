/* network_internal.h - MODEL and DATA of a command line: the checkpoint, how it wants
 * its pictures, what it calls its classes. Shared by eval, predict, inspect, convert and
 * bench. */
#ifndef APPS_NETWORK_INTERNAL_H
#define APPS_NETWORK_INTERNAL_H

#include "apps/app_internal.h"
#include "train/train.h"

/* How DATA is read, as options; zeroed: as it comes. Part of the struct of a command's
 * arguments, or of its app_view. */
typedef struct app_data_args {
    const char *split, *val_labels, *class_map, *label_key, *index_cache;
    bool lenient;    /* no option: options that mean nothing for the data are no error */
    bool unlabelled; /* no option: the command works without labels */
    bool quiet;      /* no option: says nothing while it indexes */
} app_data_args;

/* Lines of an option table for a struct `type` with a member `app_data_args member`. */
#define APP_DATA_OPTIONS(member)                                                           \
    APP_WORD("split", "NAME", member.split,                                                \
             "train, val or test, of data that has several parts: ilsvrc, kaggle, "        \
             "cifar-bin, tfrecord, folders, tars and zips of them (default val)"),         \
        APP_WORD("val-labels", "FILE", member.val_labels,                                  \
                 "labels of images in no class folders: NAME LABEL lines, "                \
                 "val_annotations.txt, ground truth, devkit, LOC_val_solution.csv "        \
                 "(default: what lies beside them)"),                                      \
        APP_WORD("class-map", "FILE", member.class_map,                                    \
                 "label of each class folder, TSV or JSON (default: by name)"),            \
        APP_WORD(                                                                          \
            "label-key", "KEY", member.label_key,                                          \
            "of shards: the part, the key of the .json, or the feature of a TFRecord "     \
            "that is the label (default: .cls, or label, cls, class_id of .json; "         \
            "label, image/class/label)"),                                                  \
        APP_WORD("index-cache", "DIR", member.index_cache,                                 \
                 "folder where the index of the data is kept, or none (default: of large " \
                 "data, the user's cache folder)")

/* The options of args into those of a source; the rest stays. */
void app_data_apply(data_source_options *out, const app_data_args *args);
/* What a person must know of the data, to stderr unless quiet: its notice and what was left
 * out, a line each. */
void app_data_told(const app_common *common, const char *command,
                   const data_source *source);
/* The same into a command's results: keys notice, ignored and ignored_formats. */
void app_data_json(json_t *json, const data_source *source);
/* Notice and what was left out, where there are such, as sentences of a list. */
void app_data_facts(json_t *facts, const data_source *source);
/* Both of a training, with a warning where they are the same files. */
void app_data_pair_told(const app_common *common, const char *command,
                        const data_source *train, const data_source *val);
/* The same into a command's results; val_notice, ... and same_files, too. */
void app_data_pair_json(json_t *json, const data_source *train, const data_source *val);
/* For data_source_options.indexing: a line on a terminal, a plain one every 30 s
 * elsewhere. */
void app_data_indexing(void *user, size_t samples, double seconds, bool done);

/* What options say of MODEL's file in its place; zeroed: as the file says. */
typedef struct app_reading {
    const char *mean, *std; /* "A,B,C", or a name of train_pixels_parse */
    int64_t heads;          /* 0: not given */
    int pool;               /* index into "checkpoint|token|gap" */
} app_reading;

/* Lines of an option table for a struct `type` with a member `app_reading member`. */
#define APP_READING_OPTIONS(member)                                                        \
    APP_WORD("mean", "A,B,C", member.mean,                                                 \
             "mean of the pixels in [0, 1]: numbers, imagenet, half (default: the "        \
             "checkpoint's)"),                                                             \
        APP_WORD("std", "A,B,C", member.std,                                               \
                 "their standard deviation, likewise (default: the checkpoint's)"),        \
        APP_INT("heads", "H", member.heads, 1, 1024,                                       \
                "attention heads (default: the checkpoint's, else known of the width, "    \
                "else width / 64)"),                                                       \
        APP_CHOICE("pool", "P", member.pool, "checkpoint|token|gap",                       \
                   "what the head sees: the class token, or the mean over the patches")

/* How pictures are made ready and tokens routed, as options; the defaults mean "as the
 * checkpoint says". Part of the struct of a command's arguments. */
typedef struct app_view {
    int64_t resize;    /* shorter side before the crop, 0: none */
    int64_t size;      /* side of the network's input, 0: not given */
    int64_t crop;      /* the same by another name */
    int interpolation; /* index into "checkpoint|" DATA_FILTERS */
    double capacity;   /* capacity factor, 0: dropless */
    bool bpr;          /* batch-prioritised routing */
    app_data_args data;
    app_reading reading;
    struct {
        bool resize, capacity; /* options; else as the checkpoint says */
    } given;
} app_view;

/* Lines of an option table for a struct `type` with a member `app_view view`: pictures;
 * data and pictures. */
#define APP_PICTURE_OPTIONS                                                                 \
    APP_READING_OPTIONS(view.reading),                                                      \
        APP_INT(                                                                            \
            "size", "S", view.size, 1, 4096,                                                \
            "side of the network's input; position embeddings are resampled (default: the " \
            "checkpoint's)"),                                                               \
        APP_INT("crop", "S", view.crop, 1, 4096,                                            \
                "side of the centre crop: another name of --size"),                         \
        APP_INT("resize", "R", view.resize, 0, 16384,                                       \
                "shorter side before the centre crop, 0: image as it is (default: the "     \
                "checkpoint's)",                                                            \
                BASE_GIVEN(view.given.resize)),                                             \
        APP_CHOICE("interpolation", "I", view.interpolation, "checkpoint|" DATA_FILTERS,    \
                   "filter of the resize")
#define APP_SIGHT_OPTIONS APP_DATA_OPTIONS(view.data), APP_PICTURE_OPTIONS

/* The same with how tokens are routed. */
#define APP_VIEW_OPTIONS                                                                   \
    APP_SIGHT_OPTIONS,                                                                     \
        APP_REAL("capacity", "F", view.capacity, 0, APP_VIEW_CAPACITY_MOST,                \
                 "capacity factor of the experts, 0: no token is dropped (default: the "   \
                 "checkpoint's)",                                                          \
                 BASE_GIVEN(view.given.capacity)),                                         \
        BASE_BOOL(                                                                         \
            "bpr", view.bpr,                                                               \
            "with a capacity: the surest tokens choose first (batch-prioritised routing)")
enum { APP_VIEW_CAPACITY_MOST = 1000 };

typedef struct app_network {
    vit_model *model;
    char *path;               /* of the checkpoint file */
    const vit_config *config; /* the model's */
    const char **labels;      /* [classes] borrowed from the model, NULL: unknown */
    size_t classes;
    size_t size, resize; /* pixels, after the options */
    data_filter filter;
    vit_origins origins; /* of what the file does not say, and what options say */
    uint64_t bytes;      /* of the file */
    app_data_args data;  /* as the options say */
} app_network;

/* Loads MODEL, settles the options of view and says in one line what was taken from
 * elsewhere or assumed. The caller closes *out. */
base_status app_network_open(app_network *out, const char *word, const app_view *view,
                             const app_common *common, base_error *err);
/* The same for a second network beside one that the view is of: its size and routing, and
 * nothing of how the file is read. */
base_status app_network_open_other(app_network *out, const char *word, const app_view *view,
                                   const app_common *common, base_error *err);
void app_network_close(app_network *network); /* zeroed is fine */
/* What DATA must agree with. Borrows from network. */
data_source_options app_network_options(const app_network *network);
/* DATA for this network: class lists must agree. The caller closes *out. */
base_status app_network_data(data_source **out, const app_network *network,
                             const char *spec, base_error *err);
/* The loader that feeds the network in evaluation; batch, limit, seed and threads from
 * common. skip_bad: images that cannot be used are no failure. Its lines go above the
 * progress line. */
data_loader_config app_network_loader(const app_network *network, const app_common *common,
                                      bool skip_bad, app_progress *progress);
/* Name of class c into out: the checkpoint's, else the data set's (source may be NULL),
 * else its number. Safe to print. For results that programs read. */
const char *app_network_label(char *out, size_t out_bytes, const app_network *network,
                              const data_source *source, size_t c);
/* The same for people: "tench" where ImageNet's label is "n01440764", "class 7" where there
 * is only a number. */
const char *app_network_class(char *out, size_t out_bytes, const app_network *network,
                              const data_source *source, size_t c);
/* Both into json: under `key`, and under "key_title" (of the key "name": "title"). */
void app_network_class_put(json_t *json, const char *key, const app_network *network,
                           const data_source *source, size_t c);
/* "vmoe-nano", or "vit 192 x 12, 8 experts" where the checkpoint has no name. */
const char *app_network_name(char *out, size_t out_bytes, const vit_config *config);
/* What the network saw of one image as a picture again: [C, S, S] normalised to 8 bit. */
base_status app_network_picture(data_image *out, const app_network *network,
                                const float *normalised, base_error *err);
/* ---- what a file leaves open (reading.c) --------------------------------------------- */

/* vit_model_load with heads and pooling of reading, and then its mean and std; origins say
 * where each setting came from. options: image and classes; NULL: none. The caller destroys
 * *out. */
base_status app_model_read(vit_model **out, vit_origins *origins, const char *path,
                           const app_reading *reading, const vit_load_options *options,
                           base_error *err);
/* config, classes, size, resize and filter from the model as it is. */
void app_network_describe(app_network *network);
/* The line of app_network_open; nothing for a file that says all. */
void app_network_note(const app_network *network, const app_common *common);
/* `preprocessing` and `network` into json (docs/json.md). */
void app_network_json(json_t *json, const app_network *network);

/* Parameters of the names that begin with one of the prefixes "a|b"; those that a token
 * meets: of experts the share that it gets in evaluation. */
typedef struct app_parameters {
    uint64_t all, active;
} app_parameters;
app_parameters app_network_parameters(const vit_model *model, const char *prefixes);

/* The numbers of the MoE blocks in order; how many. */
size_t app_network_blocks(size_t out[VIT_DEPTH_MAX], const vit_config *config);

#endif
