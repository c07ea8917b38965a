/* usage_internal.h - which experts serve which classes (routing.md 12, class usage).
 *
 *     app_usage usage;
 *     app_usage_create(&usage, images, classes, experts, &err);
 *     app_usage_add(&usage, label, &routing, image);    once an image
 *     app_usage_metrics m = app_usage_summary(&usage, seed);
 *     app_usage_destroy(&usage);
 */
#ifndef APPS_USAGE_INTERNAL_H
#define APPS_USAGE_INTERNAL_H

#include "vit/vit.h"

typedef struct app_usage {
    size_t classes, experts;
    size_t images, room; /* seen, expected */
    uint64_t *table;     /* [classes, experts] kept assignments */
    uint32_t *counts; /* [room, experts] of each image; NULL when that would be too large */
    int32_t *labels;  /* [room] */
} app_usage;

typedef struct app_usage_metrics {
    double mutual;       /* MI(class; expert), nats, as counted */
    double mutual_extra; /* less the mean of shuffled labels; NaN: not kept per image */
    double normalised; /* MI / sqrt(H(class) H(expert)), as counted; 0 if an entropy is 0 */
    double purity;     /* sum over experts of their largest class / all */
} app_usage_metrics;

base_status app_usage_create(app_usage *usage, size_t images, size_t classes,
                             size_t experts, base_error *err);
void app_usage_destroy(app_usage *usage); /* zeroed is fine */
/* The kept assignments of one image of the pass. label 0..classes - 1. */
void app_usage_add(app_usage *usage, int32_t label, const vit_routing *routing,
                   size_t image);
/* MI, NMI and purity of a table [classes, experts]. Cannot fail. */
app_usage_metrics app_usage_table(const uint64_t *table, size_t classes, size_t experts);
/* The same for all that was added, with the bias taken off by APP_TABLE_SHUFFLES
 * permutations of the images' labels. Without memory for that mutual_extra is NaN. */
app_usage_metrics app_usage_summary(const app_usage *usage, uint64_t seed);

#endif
