/* capacity_internal.h - accuracy against compute: one network under several capacities of its experts, as
 * Riquelme et al. 2021, "Scaling Vision with Sparse Mixture of Experts", section 4, has it.
 *
 *     app_capacity sweep;                          args: "4,2,1,0.5", --bpr
 *     app_capacity_parse(&sweep, text, bpr, &err);
 *     app_capacity_open(&sweep, &network, images, &common, &err);
 *     app_capacity_batch(&sweep, run, logits, &batch, source, &err);   after each dropless pass
 *     app_capacity_print(&sweep);
 *     app_capacity_close(&sweep);
 * What an image is answered depends on the images beside it once experts are full: the loader hands out
 * the data in the seeded order and the batch is the group, unless the network routes smaller ones. */
#ifndef APPS_CAPACITY_INTERNAL_H
#define APPS_CAPACITY_INTERNAL_H

#include "show/page_internal.h"
#include "apps/network_internal.h"
#include "measure/measure.h"

enum { APP_CAPACITY_MOST = 32, APP_CAPACITY_POINTS = 1 + 2 * APP_CAPACITY_MOST };

/* One setting and what came of it. */
typedef struct app_capacity_point {
    double capacity; /* factor; 0: as the network is without limits */
    bool bpr;
    vit_run *own; /* of routers that have a budget of their own; else NULL */
    measure_score score;
    vit_load load[VIT_DEPTH_MAX];
    uint32_t *kept; /* [room] kept assignments of each usable image, all MoE layers */
    size_t images;
    uint64_t
        tokens[VIT_EXPERTS_MAX + 1]; /* by the number of their kept experts, all layers */
} app_capacity_point;

typedef struct app_capacity {
    double factor[APP_CAPACITY_MOST]; /* as asked for */
    size_t factors;
    bool bpr;
    const app_network *network;
    const char
        *option; /* of the router, that stands for the capacity; NULL: the capacity */
    size_t room, batch; /* images of all, of a batch */
    app_capacity_point
        *point; /* [points] the one without limits first, then as asked for */
    size_t points;
} app_capacity;

/* "4,2,0.5" into factors; BASE_USAGE for what is no list of numbers above 0 up to 1000. bpr: each of them also
 * in the order of the largest gate. */
base_status app_capacity_parse(app_capacity *out, const char *text, bool bpr,
                               base_error *err);
/* Memory for so many images. BASE_USAGE for a dense network, or --bpr where nothing is dropped. */
base_status app_capacity_open(app_capacity *sweep, const app_network *network,
                              size_t images, const app_common *common, base_error *err);
void app_capacity_close(app_capacity *sweep); /* zeroed is fine */
/* run has just made the pass without limits with these logits [B, K]; logits are used up, run is as it was
 * when this returns. Stops between two passes when asked to. *done counts images of all passes. */
base_status app_capacity_batch(app_capacity *sweep, vit_run *run, float *logits,
                               const data_batch *batch, const data_source *source,
                               app_progress *progress, uint64_t *done, base_error *err);

/* ---- results (capacity_report.c) ---- */

/* Kept assignments of an image over all points' images: mean, and the values below which 0, 5, 25, 50, 75, 95
 * and 100 of a hundred lie. */
enum { APP_CAPACITY_LEVELS = 7 };
typedef struct app_capacity_kept {
    double mean, flops; /* of an image: assignments, operations spent */
    uint32_t level[APP_CAPACITY_LEVELS];
    double dropped;   /* share of the assignments, all layers */
    double no_expert; /* share of the tokens, all layers */
} app_capacity_kept;
app_capacity_kept app_capacity_measure(const app_capacity *sweep, size_t point);
void app_capacity_print(const app_capacity *sweep);
json_t *app_capacity_json(const app_capacity *sweep);
/* A section with both plots and the table. */
void app_capacity_page(show_page *page, const app_capacity *sweep);

#endif
