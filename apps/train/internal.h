/* internal.h - what the files of `vmoe train` share: the trainer, its state on disk, the metrics
 * file and the curves. Private to apps/ and its tests.
 *
 * What lies in the run's folder: recipe.ini, metrics.jsonl, curves.svg, last/ and best/ with
 * model.safetensors and state.safetensors each. last/ and best/ are replaced as whole folders, so the
 * two files in them belong together at every moment. */
#ifndef APPS_TRAIN_INTERNAL_H
#define APPS_TRAIN_INTERNAL_H

#include "train/train_internal.h"
#include "train/train.h"
#include "apps/data/internal.h"
#include "measure/measure.h"

/* Every key with range, default and help to stdout. */
void app_train_keys_print(void);

/* ---- metrics.jsonl (metrics.c) ---------------------------------------------------------- */

typedef struct app_metrics {
    FILE *file;
    const char *path; /* borrowed */
} app_metrics;

/* Opens path for appending after taking away what lies behind step: lines of later steps, a half-written
 * line, and the evaluation of step itself unless evaluated. fresh: all of it. The file is locked: a
 * second process that trains into the same folder is refused. */
base_status app_metrics_open(app_metrics *out, const char *path, bool fresh, uint64_t step,
                             bool evaluated, base_error *err);
/* One line; takes json over. The line is with the system when this returns. */
base_status app_metrics_write(app_metrics *metrics, json_t *json, base_error *err);
/* All lines so far are on the disk. */
base_status app_metrics_sync(app_metrics *metrics, base_error *err);
void app_metrics_close(app_metrics *metrics);

/* Draws loss, accuracy and load balance from a metrics file (curves.c). */
base_status app_curves_write(const char *svg_path, const char *metrics_path,
                             base_error *err);

/* ---- adversarial training (train_adversary.c) ------------------------------------------- */

typedef struct train_adversary train_adversary;

/* For batches of up to batch images; recipe (resolved) and model are borrowed. */
base_status train_adversary_create(train_adversary **out, const train_recipe *recipe,
                                   const vit_model *model, size_t batch,
                                   vit_precision precision, base_error *err);
void train_adversary_destroy(train_adversary *adversary);
/* *out [count, C, S, S]: the images, normalised, made worse for their targets [count, K]; borrowed until the
 * next call. seed, step and first_sample of step key the draws. */
base_status train_adversary_make(const float **out, train_adversary *adversary,
                                 const float *images, const float *targets, size_t count,
                                 const vit_step *step, base_error *err);
/* KL(softmax(clean) || softmax(worse)), nats, and its gradients [classes] (NULL: not wanted). */
double train_adversary_divergence(float *d_clean, float *d_worse, const float *clean,
                                  const float *worse, size_t classes);

/* ---- the trainer (trainer.c) ------------------------------------------------------------- */

/* Sums since the last line of metrics.jsonl. Doubles only: stored as they lie. */
typedef struct app_sums {
    double loss, aux_loss, correct, images, grad_norm, steps, skipped;
} app_sums;

/* Where a run stands. Nothing in it depends on the clock: it ends in state.safetensors. */
typedef struct app_position {
    uint64_t step;      /* optimiser steps done */
    uint64_t evaluated; /* step of the last evaluation, 0: none */
    uint64_t skipped, skipped_in_a_row;
    uint64_t best_step;                  /* 0: none yet */
    double best_accuracy, last_accuracy; /* 0..1 */
    double best_loss, last_loss;         /* -1: not finite */
    app_sums sums;
} app_position;

typedef struct app_trainer {
    const app_common *common;
    train_recipe recipe; /* resolved */
    const char *out;
    char *path[4]; /* recipe.ini, metrics.jsonl, curves.svg, and room for messages */
    data_source *train, *val;
    data_loader *train_loader, *val_loader;
    app_bad_source bad_train, bad_val;
    train_augment *augment;      /* of the training loader; NULL: none */
    vit_model *model, *averaged; /* averaged: EMA weights, NULL without */
    vit_optimizer *optimizer;
    vit_run *run, *eval_run;
    train_adversary *adversary; /* NULL: plain training */
    float *worse_logits;        /* [part, K], trades only */
    vit_schedule schedule;
    float *logits, *d_logits, *targets; /* [largest batch, K] */
    vit_load *load;                     /* [MoE layers], sums like app_position.sums */
    vit_load *eval_load;
    size_t moe_count;
    size_t part;             /* images of one pass */
    uint64_t parts_in_epoch; /* passes in an epoch */
    uint64_t total;          /* steps */
    app_position at;
    bool unsaved; /* something happened since the last checkpoint */
    app_metrics metrics;
    app_progress progress;
    double timed_seconds,
        timed_images;                  /* of steps since the last line, this process only */
    double shown_loss, shown_accuracy; /* smoothed, for the progress line */
    uint64_t shown_count;
    double eval_seconds;
} app_trainer;

/* Opens the data, resolves the recipe, builds the loaders and counts the steps: all but the network.
 * bad_list, open or zeroed, is told of samples that are not right. recipe may still hold unresolved
 * keys. On failure app_trainer_destroy still has to be called. */
base_status app_trainer_plan(app_trainer *out, const app_common *common,
                             const train_recipe *recipe, const char *folder,
                             app_bad_list *bad_list, base_error *err);
/* The same, and network, optimiser and runs. */
base_status app_trainer_create(app_trainer *out, const app_common *common,
                               const train_recipe *recipe, const char *folder,
                               app_bad_list *bad_list, base_error *err);
void app_trainer_destroy(app_trainer *trainer);
/* model.init_from into the weights (start.c): says what was loaded, interpolated and drawn anew. BASE_MISMATCH
 * when its weights would compute something else in the recipe's network. */
base_status app_trainer_start_from(app_trainer *trainer, base_error *err);
/* From the current position to the end. BASE_INTERRUPTED: asked to stop, checkpoint written. */
base_status app_trainer_run(app_trainer *trainer, base_error *err);
/* A loss of app_position as text. */
const char *app_loss_text(char *out, size_t out_bytes, double loss);
/* Steps of a run of so many epochs, or of max_steps when that is above 0; at least 1. */
uint64_t app_trainer_total(const app_trainer *trainer, int64_t epochs, int64_t max_steps);
/* Epochs finished at a step. */
uint64_t app_trainer_epochs(const app_trainer *trainer, uint64_t step);

/* ---- parts of a run (train_step.c, train_eval.c, train_table.c) ---------------------------- */

/* One optimiser step; logs when due. */
base_status app_trainer_step(app_trainer *trainer, base_error *err);
/* One pass over the validation data; BASE_INTERRUPTED when asked to stop, with nothing changed. *better:
 * the best accuracy so far. */
base_status app_trainer_evaluate(app_trainer *trainer, bool *better, base_error *err);
/* Block number of the i-th MoE layer. */
size_t app_trainer_block(const app_trainer *trainer, size_t i);
/* The list of load metrics per MoE layer, and their mean Sinkhorn share under json's sinkhorn_share. */
void app_trainer_loads(json_t *json, const app_trainer *trainer, const vit_load *load);
/* The network, the data and the plan as a table to stderr. */
void app_trainer_print(const app_trainer *trainer);

/* ---- checkpoints (state.c) ----------------------------------------------------------------- */

/* Writes model (weights in fp32) and state into FOLDER/NAME, exchanged as a whole. */
base_status app_state_save(app_trainer *trainer, const char *name, const vit_model *model,
                           base_error *err);
/* Whether the run's folder has a checkpoint to go on from. */
bool app_state_exists(const app_trainer *trainer);
/* What a checkpoint says of itself without its network being built. */
typedef struct app_state_facts {
    app_position at;
    char train[48], val[48]; /* fingerprints of the data */
    char *recipe;            /* its fixed text, base_free */
} app_state_facts;
/* Of FOLDER/last of a run's folder. *found false: there is no checkpoint, *out is zeroed. */
base_status app_state_peek(app_state_facts *out, bool *found, const char *folder,
                           base_error *err);
/* A fingerprint as the state holds it into out. */
const char *app_state_fingerprint(char *out, size_t out_bytes, const data_source *source);
/* Continues at FOLDER/last: weights, optimiser, position. BASE_MISMATCH when recipe or data changed.
 * *found false: there is no checkpoint, nothing was done. */
base_status app_state_load(app_trainer *trainer, bool *found, base_error *err);

#endif
