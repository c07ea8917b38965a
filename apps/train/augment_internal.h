/* augment_internal.h - corruptions as augmentation: `augment.corrupt` of a recipe, between the geometry of
 * a picture and its normalisation.
 *
 *     app_augment *augment = NULL;
 *     app_augment_create(&augment, &recipe, workers, &err);
 *     loader_config.alter = augment ? app_augment_alter : NULL;
 *     loader_config.alter_user = augment;
 *     app_augment_destroy(augment);     after the loader
 */
#ifndef APPS_AUGMENT_INTERNAL_H
#define APPS_AUGMENT_INTERNAL_H

#include "apps/train/recipe_internal.h"
#include "data/data.h"

typedef struct app_augment app_augment;

/* *out NULL: the recipe names no corruption. recipe is resolved; workers: the loader's, at least 1. Every
 * named corruption is tried at the recipe's size, so that later only memory can fail. */
base_status app_augment_create(app_augment **out, const app_recipe *recipe, size_t workers,
                               base_error *err);
void app_augment_destroy(app_augment *augment);
/* For data_loader_config.alter: with the recipe's probability one of the corruptions, at one of the
 * severities, all drawn by (seed, epoch, sample, copy) alone. */
base_status app_augment_alter(void *augment, size_t worker, data_image *image,
                              uint64_t epoch, uint32_t sample, uint64_t copy,
                              base_error *err);

#endif
