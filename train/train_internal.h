/* train_internal.h - between the files of train/. Corruptions as augmentation: `augment.corrupt` of a recipe, between the geometry of
 * a picture and its normalisation.
 *
 *     train_augment *augment = NULL;
 *     train_augment_create(&augment, &recipe, workers, &err);
 *     loader_config.alter = augment ? train_augment_alter : NULL;
 *     loader_config.alter_user = augment;
 *     train_augment_destroy(augment);     after the loader
 */
#ifndef TRAIN_TRAIN_INTERNAL_H
#define TRAIN_TRAIN_INTERNAL_H

#include "train/train.h"

typedef struct train_augment train_augment;

/* *out NULL: the recipe names no corruption. recipe is resolved; workers: the loader's, at least 1. Every
 * named corruption is tried at the recipe's size, so that later only memory can fail. */
base_status train_augment_create(train_augment **out, const train_recipe *recipe,
                                 size_t workers, base_error *err);
void train_augment_destroy(train_augment *augment);
/* For data_loader_config.alter: with the recipe's probability one of the corruptions, at one of the
 * severities, all drawn by (seed, epoch, sample, copy) alone. */
base_status train_augment_alter(void *augment, size_t worker, data_image *image,
                                uint64_t epoch, uint32_t sample, uint64_t copy,
                                base_error *err);

#endif
