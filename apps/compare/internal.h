/* internal.h - vmoe compare: routers side by side. A plan of entries (routers with
 * settings) and seeds, a run folder for each pair, its training, its evaluation, what all
 * of them say together. Private to apps/ and its tests.
 *
 * In DIR: runs/LABEL/seed-N/ are ordinary run folders of vmoe train; eval.json,
 * corrupt.json and attack.json in them are results of ours; compare.html, compare.json,
 * runs.csv, summary.csv, timing.json. */
#ifndef APPS_COMPARE_INTERNAL_H
#define APPS_COMPARE_INTERNAL_H

#include "apps/train/internal.h"

enum { APP_SEEDS_MAX = 100 };

typedef struct app_compare_args {
    app_common common;
    const char *recipe, *data, *val, *out, *eps, *baseline, *frost;
    base_list routers, set, grid;
    int preset;     /* index into TRAIN_VARIANT_PRESETS */
    int checkpoint; /* index into "last|best" */
    int64_t seeds, jobs, eval_limit, steps, rounds;
    const char *command_line;
    bool no_train, no_evaluation, no_corruptions, no_attack, no_timing, status;
} app_compare_args;

/* ---- runs (runs.c) ------------------------------------------------------------------- */

/* What is measured of a trained run: the files eval.json, corrupt.json, attack.json in its
 * folder. */
typedef enum app_measure {
    APP_MEASURE_CLEAN, /* all of --val, as vmoe eval */
    APP_MEASURE_CORRUPT, /* the benchmark's corruptions on --eval-limit images, as vmoe eval */
    APP_MEASURE_ATTACK, /* PGD on the same images, as vmoe attack */
    APP_MEASURE_COUNT
} app_measure;

typedef enum app_run_state {
    APP_RUN_NEW,
    APP_RUN_BEGUN,
    APP_RUN_FINISHED,
    APP_RUN_FAILED /* its training ended with an error */
} app_run_state;

/* One training: an entry with a seed. */
typedef struct app_compare_run {
    size_t entry;
    int64_t seed;
    const char *folder; /* DIR/runs/LABEL/seed-N */
    const char *log;    /* DIR/runs/LABEL/seed-N.log: what its training said */
    app_run_state state;
    uint64_t step; /* of its checkpoint */
    double accuracy;
    char reason[512]; /* of a failure, also in its evaluation; "": none */
    char model_hash
        [BASE_SHA256_TEXT]; /* of the checkpoint that is evaluated; "": not read */
    json_t *result[APP_MEASURE_COUNT]; /* NULL: not measured (yet) */
} app_compare_run;

typedef struct app_compare {
    const app_compare_args *args;
    train_variants entries; /* rows of the table: routers with settings */
    app_compare_run *run;   /* [entries, seeds] */
    size_t runs;
    train_recipe recipe; /* with --set, before any entry's settings */
    vit_config network;  /* of the recipe, resolved */
    train_facts facts;
    char train[48], val[48]; /* fingerprints of the data */
    json_t *about;           /* keys of a result that tell of the data */
    uint64_t total;          /* steps of a training */
    app_common common; /* of evaluations: batch and precision as the recipe has them */
    int lock;          /* descriptor of DIR/lock, -1 */
} app_compare;

/* Reads the recipe, opens the data, checks every entry with it, takes DIR, looks at every
 * run: new, begun, finished, or refused because its recipe or data is another. On failure
 * app_compare_close still has to be called. */
base_status app_compare_open(app_compare *out, const app_compare_args *args,
                             base_error *err);
void app_compare_close(app_compare *compare); /* zeroed, but lock -1, is fine */
/* The resolved recipe of a run. */
base_status app_compare_recipe(train_recipe *out, const app_compare *compare, size_t entry,
                               int64_t seed, base_error *err);
/* Where a run stands now. */
base_status app_compare_look(app_compare *compare, app_compare_run *run, base_error *err);
/* The i-th seed by seed, so that an early look sees all routers. */
app_compare_run *app_compare_run_in_turn(const app_compare *compare, size_t i);
/* The first seed of an entry whose training has ended; NULL: none. */
const app_compare_run *app_compare_trained(const app_compare *compare, size_t entry);
/* "ssr seed 2" into out. */
const char *app_compare_name(char *out, size_t out_bytes, const app_compare *compare,
                             const app_compare_run *run);
/* Every run with its state on stdout. */
void app_compare_print(const app_compare *compare);

/* ---- training (train.c) -------------------------------------------------------------- */

/* Trains what is not finished, --jobs at a time, each in a process of its own. A training
 * that fails is marked and the others go on. BASE_INTERRUPTED: asked to stop, all
 * checkpoints are written. */
base_status app_compare_train(app_compare *compare, base_error *err);

/* ---- evaluation (eval.c) ------------------------------------------------------------- */

/* Fills in run->result of every trained run. What lies beside a run is kept when
 * checkpoint, data and settings are the same; the rest is measured, or with make false left
 * out. A measurement that fails leaves its reason with the run, and the others go on.
 * BASE_INTERRUPTED: asked to stop. */
base_status app_compare_measure(app_compare *compare, bool make, base_error *err);
/* Whether the options leave a measure out. */
bool app_compare_without(const app_compare *compare, app_measure measure);
/* A result that was kept in a file, when it was made with this key (NULL: whatever it was
 * made with), which it holds under `name`; NULL: there is none, or another. */
json_t *app_compare_reread(const char *path, const char *name, const char *key);
/* Writes json, which it takes over and which holds its key; *out is what the file says,
 * rounded as another day reads it. */
base_status app_compare_keep(json_t **out, json_t *json, const char *path, const char *name,
                             const char *key, base_error *err);
/* What a training step costs with each router (time.c), as timing.json: read where
 * it is of the same routers and machine, else made and written; *out NULL: nothing is
 * trained. make false: read only. */
base_status app_compare_time(json_t **out, const app_compare *compare, bool make,
                             base_error *err);
/* The checkpoint of a run that is evaluated. */
const char *app_compare_checkpoint(const app_compare *compare, const app_compare_run *run);

#endif
