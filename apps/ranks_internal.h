/* ranks_internal.h - a command among the ranks of its job: opens the mesh, says who speaks,
 * and fills the table by which a training run knows its peers. Private to apps/. */
#ifndef APPS_RANKS_INTERNAL_H
#define APPS_RANKS_INTERNAL_H

#include "apps/app_internal.h"
#include "mesh/mesh.h"
#include "train/train.h"

/* Options of a command that may run on several ranks. */
typedef struct app_ranks_options {
    double patience; /* seconds; 0: for ever */
    int place;       /* 0: ranks of a node share out its processors, 1: keep */
    bool oversubscribe;
} app_ranks_options;

#define APP_RANKS_OPTIONS(member)                                                          \
    APP_REAL("patience", "SECONDS", member.patience, 0, 1e6,                               \
             "several ranks: one that is silent for so long ends the job; 0: never"),      \
        APP_CHOICE("place", "auto|keep", member.place, "auto|keep",                        \
                   "several ranks: those of a node share out its processors, or keep "     \
                   "what the launcher gave them"),                                         \
        BASE_BOOL("oversubscribe", member.oversubscribe,                                   \
                  "several ranks: more threads on a node than processors are meant")

/* Zero it. It must stay where it is until it is closed. */
typedef struct app_ranks {
    mesh_job *mesh;
    mesh_ticket ticket[VIT_TICKETS];
    train_ranks train;  /* for train_options.ranks, when there are several */
    mesh_placed placed; /* this rank's processors */
} app_ranks;

/* Joins the job that a launcher started, compares programs and commands, and takes the
 * rank's processors: common->threads becomes its own. Alone nothing happens. command_line:
 * as it was given. */
base_status app_ranks_open(app_ranks *ranks, const app_ranks_options *options,
                           app_common *common, const char *command_line, base_error *err);
/* Leaves the job with this end of it: a failure (not BASE_OK or BASE_INTERRUPTED) is told
 * to the others. */
void app_ranks_close(app_ranks *ranks, base_status status, const base_error *err);
/* As app_fail, where nobody else says it or has said it: on rank 0, on all when rank 0 is
 * silent, and with its name by a rank that alone could not join. Before app_ranks_close. */
int app_ranks_fail(const app_ranks *ranks, const char *command, const base_error *err);
/* Whether this rank reads and writes files and speaks. Alone: yes. */
bool app_ranks_lead(const app_ranks *ranks);
/* For train_options; NULL: alone. */
const train_ranks *app_ranks_train(const app_ranks *ranks);
/* data [bytes] of rank 0 to all. */
base_status app_ranks_share(app_ranks *ranks, void *data, size_t bytes, base_error *err);
/* x [count] becomes the sum over all ranks. */
base_status app_ranks_sum(app_ranks *ranks, double *x, size_t count, base_error *err);
/* "2 on 1 node, 1 thread each (Open MPI 4.1.4)" into out; "" alone. Returns out. */
const char *app_ranks_text(char *out, size_t out_bytes, const app_ranks *ranks,
                           const app_common *common);

#endif
