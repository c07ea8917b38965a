/* internal.h - what an evaluation knows when it is over: scores, classes that the data has
 * not, capacities, corruptions; and the document that is made of it. */
#ifndef APPS_EVAL_INTERNAL_H
#define APPS_EVAL_INTERNAL_H

#include "apps/corruption_internal.h"
#include "apps/network_internal.h"
#include "measure/measure.h"

/* ---- classes that the data has not (subset.c) -------------------------------------------
 * What is asked of a network on data that has only some of its classes:
 * accuracy among the classes present (ImageNet-A, -R: Hendrycks et al. 2021), and how well
 * the largest probability tells images of none of the classes from the data (ImageNet-O).
 *
 *     app_subset subset = {0};
 *     app_subset_open(&subset, &network, source, "imagenet-o", &err);      NULL: no -O
 *     app_subset_add(&subset, label, logits);                             every image
 *     app_subset_ood(&subset, &network, run, common, skip, &err);         the pass over -O
 *     app_subset_close(&subset);
 * Relied on elsewhere: the figures do not depend on batches or threads. */

typedef struct app_subset {
    size_t classes, count; /* of the network; present in the data */
    bool *present;         /* [classes] */
    uint64_t top1, top5;   /* right among the classes present */
    const char *data;      /* of the ood images as the user wrote it, NULL: none */
    data_source *ood;
    size_t mask_count;
    bool *mask;      /* [classes] of the ood set's folders: the softmax is over these */
    double *inside;  /* -largest probability of the data's images of those classes */
    double *outside; /* and of the ood images */
    size_t inside_room, inside_count, outside_count;
    uint64_t bad; /* ood images that could not be used */
    measure_detection detection;
    app_pool pool;
} app_subset;

/* ood: DATA of images of none of the classes, or NULL. Folders that are class names say
 * which classes count, as its authors have it; without labels all of them. */
base_status app_subset_open(app_subset *subset, const app_network *network,
                            const data_source *source, const char *ood, base_error *err);
void app_subset_close(app_subset *subset); /* zeroed is fine */
/* The logits [classes] of an image of the data; label 0..classes - 1. */
void app_subset_add(app_subset *subset, int32_t label, const float *logits);
/* All images of the ood set, then the detection. The run has room for common->batch images;
 * *interrupted: the user asked to stop. */
base_status app_subset_ood(app_subset *subset, const app_network *network, vit_run *run,
                           const app_common *common, bool skip_bad, bool *interrupted,
                           base_error *err);

/* ---- a line for each image (samples.c) ----------------------------------------------- */

typedef struct app_samples { /* zeroed: none are wanted */
    base_writer out;
    const app_network *network;
    bool corrupted; /* with the columns of corruptions */
} app_samples;

/* path NULL: nothing. Ends in close. network is borrowed. */
base_status app_samples_open(app_samples *out, const char *path, const app_network *network,
                             bool corrupted, base_error *err);
/* verdict NULL: the image could not be used; pair NULL: clean. s may be NULL. */
void app_samples_add(app_samples *s, const data_source *source, size_t sample,
                     const measure_verdict *verdict, const corrupt_pair *pair);
/* The file appears if whole. Zeroed is fine. */
base_status app_samples_close(app_samples *s, bool whole, base_error *err);

/* ---- capacities (capacity.c) ------------------------------------------------------------
 * A sweep of capacities (measure.h) beside the pass over the data. The loader hands out the
 * data in the seeded order.
 *
 *     app_capacity sweep;                          args: "4,2,1,0.5", --bpr
 *     app_capacity_parse(&sweep, text, bpr, &err);
 *     app_capacity_open(&sweep, &network, images, &common, &err);
 *     app_capacity_batch(&sweep, run, logits, &batch, source, &err);   after each dropless pass
 *     measure_capacity_close(&sweep.of); */

enum { APP_CAPACITY_MOST = 32 };

typedef struct app_capacity {
    double factor[APP_CAPACITY_MOST]; /* as asked for */
    size_t factors;
    bool bpr;
    const app_network *network;
    int32_t *labels; /* [batch] */
    measure_capacity of;
} app_capacity;

/* "4,2,0.5" into factors; BASE_USAGE for what is no list of numbers above 0 up to 1000.
 * bpr: each of them also in the order of the largest gate. */
base_status app_capacity_parse(app_capacity *out, const char *text, bool bpr,
                               base_error *err);
/* Memory for so many images. BASE_USAGE for a dense network, or --bpr where nothing is
 * dropped. */
base_status app_capacity_open(app_capacity *sweep, const app_network *network,
                              size_t images, const app_common *common, base_error *err);
/* run has just made the pass without limits with these logits [B, K]; logits are used up,
 * run is as it was when this returns. Stops between two passes when asked to. *done counts
 * images of all passes. */
base_status app_capacity_batch(app_capacity *sweep, vit_run *run, float *logits,
                               const data_batch *batch, const data_source *source,
                               app_progress *progress, uint64_t *done, base_error *err);
/* `capacity` of docs/json.md. */
json_t *app_capacity_json(const app_capacity *sweep);

/* ---- corruptions (robust.c, robust_tree.c) ----------------------------------------------
 * Accuracy under corruption as a part of an evaluation: on the fly beside the pass over
 * the clean images (robust.c), or from the files of an ImageNet-C tree (robust_tree.c).
 *
 *     app_robust_open(&robust, &args, &network, source, batch, &err);
 *     batch.images = app_robust_feed(robust, &batch);     a loader with config.bytes and 3 channels
 *     vit_run_forward(run, logits, batch.images, ...);
 *     app_robust_batch(robust, run, logits, &batch, &progress, &err);
 *     app_robust_close(robust); */

enum { APP_EXAMPLES = 12, APP_EXAMPLE_TOP = 3 };

/* One image that the page shows, of a corruption or clean. */
typedef struct app_example {
    data_image picture; /* as the network saw it */
    size_t sample;
    int32_t label;
    corrupt_pair pair; /* of a corrupted one */
    size_t top[APP_EXAMPLE_TOP], top_count;
    double probability[APP_EXAMPLE_TOP];
} app_example;

typedef struct app_robust_args {
    app_corruption corruption;
    const char *tree;     /* --imagenet-c */
    int64_t jpeg;         /* quality of a last JPEG step, 0: none */
    double alexnet_clean; /* error 0..1 */
} app_robust_args;

typedef struct app_robust {
    const app_robust_args *args;
    const app_network *network;
    const data_source *source; /* the clean images */
    app_selection selection;
    corrupt_crew crew; /* without workers when read from a tree */
    size_t blocks[VIT_DEPTH_MAX], moe_count;
    measure_cell *cell; /* [selection.count], in its order */
    size_t batch;       /* images */
    size_t floats;      /* numbers of an image */
    float *inputs;      /* [batch, C, S, S] */
    float *logits;      /* [batch, K] */
    float table[3 * 256];
    data_image *picture; /* [crew.count] a picture for each thread */
    uint64_t *key;       /* [batch] of the images' names */
    size_t *predicted;   /* [batch] answers on the clean images */
    measure_trace trace;
    app_example *specimen; /* [1 + kinds]: one image, as it is and under each */
    size_t specimen_count;
    int specimen_severity;
    bool wants_specimens;
    double corrupt_seconds, network_seconds; /* wall clock; network: of corrupted images */
    data_imagenet_c *tree;                   /* of args->tree */
    uint64_t tree_bad;
    bool interrupted;
    app_samples *samples; /* borrowed; NULL: none are wanted */
    app_pool pool;
} app_robust;

/* What to measure; everything else stays borrowed. With args->tree the parts that the tree
 * has, all or the named ones. *out NULL: nothing was asked for; BASE_USAGE for options that
 * mean nothing then. */
base_status app_robust_open(app_robust **out, const app_robust_args *args,
                            const app_network *network, const data_source *source,
                            const app_common *common, bool specimens, base_error *err);
void app_robust_close(app_robust *robust);
/* The clean images of a batch of bytes [count, S, S, 3] as the network's input,
 * borrowed. */
const float *app_robust_feed(app_robust *robust, const data_batch *batch);
/* After the pass over the clean images with their logits: all corruptions of the batch.
 * *done: images so far, all passes counted. Stops between two passes when asked to. */
base_status app_robust_batch(app_robust *robust, vit_run *run, const float *logits,
                             const data_batch *batch, app_progress *progress,
                             uint64_t *done, base_error *err);
/* Adds the answers of a batch that was just computed to a cell. label_of: where labels come
 * from. bad may be NULL. clean: whether answers and routing on the clean images are
 * known. */
base_status app_robust_add(app_robust *robust, measure_cell *cell, const vit_run *run,
                           const float *logits, const data_batch *batch,
                           const data_source *source, bool clean, base_error *err);
/* The number of a part of a tree; SIZE_MAX: it has none. robust_tree.c */
size_t app_robust_part(const data_imagenet_c *tree, corrupt_pair pair);
/* All parts of the tree, after the clean pass. robust_tree.c */
base_status app_robust_tree(app_robust *robust, vit_run *run, const app_common *common,
                            bool skip_bad, base_error *err);

/* ---- an evaluation (eval.c, document.c) ---------------------------------------------- */

/* What is evaluated, and how. */
typedef struct app_eval_args {
    app_common common;
    app_view view;
    const char *data;
    const char *html;
    const char *ood;
    const char *samples;  /* --samples: CSV, a line for each image; NULL: none */
    const char *real;     /* file of ReaL labels; NULL: none */
    const char *capacity; /* a number, or a list of them; NULL: the checkpoint's */
    int bad_samples;      /* index into "fail|skip" */
    const char *bad_list;
    bool strict;
    app_robust_args robust;
    const char *what; /* no option: first word of the progress line; NULL: eval */
} app_eval_args;

typedef struct app_evaluation {
    app_network network;
    data_source *source;
    const char *data; /* as the user wrote it */
    measure_score score;
    size_t blocks[VIT_DEPTH_MAX]; /* numbers of the MoE blocks */
    size_t moe_count;
    vit_usage load[VIT_DEPTH_MAX]; /* by MoE layer, over all batches */
    double batch_cv[VIT_DEPTH_MAX], batch_violation[VIT_DEPTH_MAX]; /* sums over batches */
    measure_usage usage[VIT_DEPTH_MAX];
    uint64_t batches;
    app_example wrong[APP_EXAMPLES]; /* the surest mistakes, surest first */
    app_example right[APP_EXAMPLES]; /* spread over the set */
    size_t wrong_count, right_count;
    uint64_t planned; /* images */
    data_counts counts;
    double seconds;         /* all: reading, preparing, network */
    double network_seconds; /* in forward passes */
    bool interrupted;
    app_robust *robust; /* corruptions; NULL: none asked for */
    app_capacity sweep; /* of capacities; no points: none asked for */
    app_samples samples;
    data_real *real; /* several right answers an image; NULL: none asked for */
    const char *real_path;
    uint64_t real_images,
        real_right;    /* with labels of their own; of these, answered rightly */
    app_subset subset; /* among the classes present; ImageNet-O */
    app_pool pool;
} app_evaluation;

/* Network, data and counters; e must be zeroed. model: a checkpoint or a run's folder.
 * args->capacity goes into args->view. On failure app_eval_close still has to be called
 * (eval.c). */
base_status app_eval_open(app_evaluation *e, const char *model, app_eval_args *args,
                          base_error *err);
/* The pass over the data. Stops early, with what there is, when the user asks to:
 * e->interrupted. */
base_status app_eval_run(app_evaluation *e, const app_eval_args *args, base_error *err);
void app_eval_close(app_evaluation *e);
/* *out becomes the image that was the network's input, with its first answers; its picture
 * is used again (eval.c). */
base_status app_example_fill(app_example *out, const app_network *network,
                             const float *input, const float *logits, size_t sample,
                             int32_t label, base_error *err);
/* Its first answers as bars, and the name of its picture: "PICTURE-NUMBER" (document.c). */
json_t *app_example_json(const app_example *example, const char *picture, size_t number,
                         const app_network *network, const data_source *source);
/* `robust` (robust_document.c). */
json_t *app_robust_json(const app_robust *r, const measure_score *clean);
/* All results but pictures; NULL: no memory. The schema is in docs/json.md. */
json_t *app_eval_json(const app_evaluation *e, const app_common *common);
/* The same with the pictures that it names. On failure *out is untouched. */
base_status app_eval_document(show_document **out, const app_evaluation *e,
                              const app_common *common, base_error *err);

extern const show_view app_eval_view;      /* view.c */
extern const show_block app_eval_blocks[]; /* of it */

#endif
