/* internal.h - what the files of `vmoe train` share, and other commands that train: who
 * listens to a trainer, the table before the first step, the curves. Private to apps/ and
 * its tests. */
#ifndef APPS_TRAIN_INTERNAL_H
#define APPS_TRAIN_INTERNAL_H

#include "apps/corruption_internal.h"
#include "apps/data/internal.h"
#include "measure/measure.h"
#include "train/train.h"

/* All of a recipe, with their defaults, and the routers' own. */
void app_train_keys_print(void);
/* Every key of settings with value, range and help to stdout. */
void app_keys_print(const base_field *keys, const void *settings);

/* Who listens to a trainer: its lines and its progress to stderr, evaluations to where
 * results go, bad samples into a list, curves into a file (watch.c). */
typedef struct app_watch {
    const app_common *common;
    app_bad_list *bad_list; /* open or zeroed; NULL: none */
    const char *curves;     /* SVG file, from the first line of metrics on; NULL: none */
    app_progress progress;
    double drawn;         /* when the curves were */
    uint64_t drawn_lines; /* lines of the metrics then */
} app_watch;
/* Lines and the question whether to stop, for other trainings; user: an app_watch. */
void app_watch_note(void *user, const char *subject, const char *line);
bool app_watch_stop(void *user);
/* watch is borrowed. folder "": nothing is written (train_trainer_plan). */
train_options app_train_options(app_watch *watch, const char *folder, bool resume);
/* A loss of train_position as text. */
const char *app_loss_text(char *out, size_t out_bytes, double loss);
/* The network, the data and the plan as a table to stderr. */
void app_train_print(const train_trainer *trainer, const app_common *common);
/* Parameters that the run's gradients move. */
uint64_t app_train_trained(const train_trainer *trainer);
/* Draws loss, accuracy and load balance from a metrics file (curves.c). */
base_status app_curves_write(const char *svg_path, const char *metrics_path,
                             base_error *err);

#endif
