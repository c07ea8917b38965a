/* train_internal.h - between the files of train/ and their tests: parts of a run. */
#ifndef TRAIN_TRAIN_INTERNAL_H
#define TRAIN_TRAIN_INTERNAL_H

#include "measure/measure.h"
#include "train/train.h"

/* ---- corruptions as augmentation (augment.c) ----------------------------------------- */

/* `augment.corrupt` of a recipe, for data_loader_config.alter; to be destroyed after the
 * loader. *out NULL: the recipe names no corruption. recipe is resolved; workers: the
 * loader's, at least 1. Every named corruption is tried at the recipe's size, so that later
 * only memory can fail. */
base_status train_augment_create(train_augment **out, const train_recipe *recipe,
                                 size_t workers, base_error *err);
void train_augment_destroy(train_augment *augment);
/* For data_loader_config.alter: with the recipe's probability one of the corruptions, at
 * one of the severities, all drawn by (seed, epoch, sample, copy) alone. */
base_status train_augment_alter(void *augment, size_t worker, data_image *image,
                                uint64_t epoch, uint32_t sample, uint64_t copy,
                                base_error *err);

/* ---- adversarial training (adversary.c) ------------------------------------------- */

/* For batches of up to batch images; recipe (resolved) and model are borrowed. */
base_status train_adversary_create(train_adversary **out, const train_recipe *recipe,
                                   const vit_model *model, size_t batch,
                                   vit_precision precision, base_error *err);
void train_adversary_destroy(train_adversary *adversary);
/* *out [count, C, S, S]: the images, normalised, made worse for their targets [count, K];
 * borrowed until the next call. seed, step and first_sample of step key the draws. */
base_status train_adversary_make(const float **out, train_adversary *adversary,
                                 const float *images, const float *targets, size_t count,
                                 const vit_step *step, base_error *err);
/* KL(softmax(clean) || softmax(worse)), nats, and its gradients [classes] (NULL: not
 * wanted). */
double train_adversary_divergence(float *d_clean, float *d_worse, const float *clean,
                                  const float *worse, size_t classes);

/* ---- parts of a run (step.c, eval.c) ------------------------------------------------- */

/* One optimiser step; logs when due. */
base_status train_trainer_step(train_trainer *trainer, base_error *err);
/* One pass over the validation data; BASE_INTERRUPTED when asked to stop, with nothing
 * changed. *better: the best accuracy so far. */
base_status train_trainer_evaluate(train_trainer *trainer, bool *better, base_error *err);

/* model.init_from into the weights (start.c): says what was loaded, interpolated and drawn
 * anew. BASE_MISMATCH when its weights would compute something else in the recipe's
 * network. */
base_status train_start_from(train_trainer *trainer, base_error *err);

/* ---- ranks (ranks.c) ----------------------------------------------------------------- */

/* Sets rank and ranks; after the recipe is resolved: this rank's parts; after the run is
 * made: room. */
void train_ranks_begin(train_trainer *trainer);
void train_ranks_divide(train_trainer *trainer);
base_status train_ranks_take(train_trainer *trainer, base_error *err);
/* Whether this rank reads and writes the folder. */
bool train_leads(const train_trainer *trainer);
void train_say(const train_trainer *trainer, train_phase phase);
base_status train_ranks_agree(const train_trainer *trainer, const char *what,
                              const char *text, base_error *err);
/* data of rank 0 to all. */
base_status train_ranks_share(train_trainer *trainer, void *data, size_t bytes,
                              base_error *err);
/* Whether any rank was asked to stop (train_stop_asked from now on); *any becomes whether
 * it is so on any of them. */
base_status train_ranks_meet(train_trainer *trainer, bool *any, base_error *err);
/* A step begins. */
void train_ranks_watch(train_trainer *trainer);
/* After a step of so many seconds: trainer->figures becomes whole, in the order of
 * parts. */
base_status train_ranks_call(train_trainer *trainer, double seconds, base_error *err);
/* text [bytes] becomes that of the first rank for which it is mine; of none: rank 0's. */
base_status train_ranks_choose(train_trainer *trainer, char *text, size_t bytes, bool mine,
                               base_error *err);
/* out [MoE layers] = the loads of all ranks together; out may be own. */
base_status train_ranks_loads(vit_usage *out, train_trainer *trainer, const vit_usage *own,
                              base_error *err);

/* Bytes that a checkpoint of block bytes takes while ranks write it (trainer.c): a window
 * of it, and the other ranks' shares of that. One rank: 0. */
size_t train_saving_bytes(size_t block, size_t ranks);

/* ---- checkpoints (state.c) ----------------------------------------------------------- */

/* Writes model (weights in fp32) and state into FOLDER/NAME, exchanged as a whole. */
base_status train_state_save(train_trainer *trainer, const char *name,
                             const vit_model *model, base_error *err);
/* Whether the run's folder has a checkpoint to go on from; on all ranks together. */
base_status train_state_exists(bool *found, train_trainer *trainer, base_error *err);
/* Continues at FOLDER/last: weights, optimiser, position. BASE_MISMATCH when recipe or data
 * changed. *found false: there is no checkpoint, nothing was done. */
base_status train_state_load(train_trainer *trainer, bool *found, base_error *err);

/* ---- words (trainer.c) --------------------------------------------------------------- */

/* A line to whoever listens; subject as in train_watch. */
void train_note(const train_trainer *trainer, const char *subject, const char *format, ...)
    BASE_PRINTF(3, 4);
/* Whether to stop, on all ranks alike (ranks.c). */
bool train_stop_asked(const train_trainer *trainer);

#endif
