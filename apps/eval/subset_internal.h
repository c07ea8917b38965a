/* subset_internal.h - what is asked of a network on data that has only some of its classes:
 * accuracy among the classes present (ImageNet-A, -R: Hendrycks et al. 2021), and how well
 * the largest probability tells images of none of the classes from the data (ImageNet-O).
 *
 *     app_subset subset = {0};
 *     app_subset_open(&subset, &network, source, "imagenet-o", &err);      NULL: no -O
 *     app_subset_add(&subset, label, logits);                             every image
 *     app_subset_ood(&subset, &network, run, common, skip, &err);         the pass over -O
 *     app_subset_close(&subset);
 * Relied on elsewhere: the figures do not depend on batches or threads. */
#ifndef APPS_SUBSET_INTERNAL_H
#define APPS_SUBSET_INTERNAL_H

#include "apps/network_internal.h"
#include "measure/measure.h"

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
/* Whether the two accuracies differ at all. */
bool app_subset_is_part(const app_subset *subset);

#endif
