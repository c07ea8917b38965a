/* robust_internal.h - accuracy under corruption as a part of an evaluation: on the fly beside the pass over
 * the clean images (robust.c), or from the files of an ImageNet-C tree (robust_tree.c); table and JSON
 * (robust_report.c), page (robust_page.c).
 *
 *     app_robust_open(&robust, &args, &network, source, batch, &err);
 *     batch.images = app_robust_feed(robust, &batch);     a loader with config.bytes and 3 channels
 *     vit_run_forward(run, logits, batch.images, ...);
 *     app_robust_batch(robust, run, logits, &batch, &progress, &err);
 *     app_robust_close(robust);
 */
#ifndef APPS_ROBUST_INTERNAL_H
#define APPS_ROBUST_INTERNAL_H

#include "measure/measure.h"
#include "apps/corruption_internal.h"
#include "show/page_internal.h"
#include "apps/network_internal.h"

enum { APP_ROBUST_TOP = 3 };

typedef struct app_robust_args {
    app_corruption corruption;
    const char *tree;     /* --imagenet-c */
    int64_t jpeg;         /* quality of a last JPEG step, 0: none */
    double alexnet_clean; /* error 0..1 */
} app_robust_args;

/* What the page shows: one image under one corruption. */
typedef struct app_specimen {
    data_image picture;
    corrupt_pair pair;
    size_t top[APP_ROBUST_TOP], top_count;
    double probability[APP_ROBUST_TOP];
} app_specimen;

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
    data_image *hand;  /* [crew.count] a picture for each thread */
    uint64_t *key;     /* [batch] of the images' names */
    size_t *predicted; /* [batch] answers on the clean images */
    measure_trace trace;
    app_specimen *specimen; /* [1 + kinds]: the clean image first */
    size_t specimen_count;
    size_t specimen_sample; /* SIZE_MAX: none chosen yet */
    int32_t specimen_label;
    int specimen_severity;
    bool wants_specimens;
    double corrupt_seconds, network_seconds; /* wall clock; network: of corrupted images */
    uint64_t tree_bad;
    bool interrupted;
} app_robust;

/* What to measure; everything else stays borrowed. With args->tree the parts that the tree has, all or the
 * named ones. *out NULL: nothing was asked for; BASE_USAGE for options that mean nothing then. */
base_status app_robust_open(app_robust **out, const app_robust_args *args,
                            const app_network *network, const data_source *source,
                            const app_common *common, bool specimens, base_error *err);
void app_robust_close(app_robust *robust);
/* Corrupted images that went through the network. */
uint64_t app_robust_images(const app_robust *robust);
/* Passes of a network for each clean image, the clean one included. */
size_t app_robust_passes(const app_robust *robust);
/* The clean images of a batch of bytes [count, S, S, 3] as the network's input, borrowed. */
const float *app_robust_feed(app_robust *robust, const data_batch *batch);
/* After the pass over the clean images with their logits: all corruptions of the batch. *done: images so
 * far, all passes counted. Stops between two passes when asked to. */
base_status app_robust_batch(app_robust *robust, vit_run *run, const float *logits,
                             const data_batch *batch, app_progress *progress,
                             uint64_t *done, base_error *err);
/* Adds the answers of a batch that was just computed to a cell. label_of: where labels come from. bad may
 * be NULL. clean: whether answers and routing on the clean images are known. */
base_status app_robust_add(app_robust *robust, measure_cell *cell, const vit_run *run,
                           const float *logits, const data_batch *batch,
                           const data_source *source, bool clean, base_error *err);
/* All parts of the tree, after the clean pass. robust_tree.c */
base_status app_robust_tree(app_robust *robust, vit_run *run, const app_common *common,
                            bool skip_bad, base_error *err);

/* ---- results (robust_report.c, robust_page.c) ---- */

/* Whether AlexNet's published errors are of the same task: ImageNet's thousand classes. */
bool app_robust_comparable(const app_robust *robust);
void app_robust_print(const app_robust *robust, const measure_score *clean);
json_t *app_robust_json(const app_robust *robust, const measure_score *clean);
base_status app_robust_page(show_page *page, const app_robust *robust,
                            const measure_score *clean, base_error *err);

#endif
