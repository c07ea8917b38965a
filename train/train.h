/* train.h - trains a network as a recipe says, in a folder where the run can be taken up
 * again.
 *
 *     #include <stdio.h>
 *
 *     #include "train/train.h"
 *
 *     int main(int argc, char **argv) // a nano network on DIR/train-images-idx3-ubyte and so on
 *     {
 *         char train[256], val[256];
 *         const char *const settings[] = {"model.size=vmoe-nano", "train.epochs=3", train, val};
 *         const train_options options = {.folder = "run", .resume = true};
 *         train_recipe recipe = train_recipe_defaults();
 *         train_trainer trainer = {0};
 *         base_error err = {0};
 *
 *         snprintf(train, sizeof train, "data.train=idx:%s/train", argc > 1 ? argv[1] : ".");
 *         snprintf(val, sizeof val, "data.val=idx:%s/t10k", argc > 1 ? argv[1] : ".");
 *         base_status status = train_recipe_set(&recipe, settings, 4, &err);
 *         if (status == BASE_OK)
 *             status = train_trainer_create(&trainer, &recipe, &options, &err);
 *         if (status == BASE_OK)
 *             status = train_trainer_run(&trainer, &err); // again: goes on, or is done at once
 *         if (status == BASE_OK)
 *             printf("best top-1 %.2f %%\n", 100 * trainer.at.best_accuracy);
 *         else
 *             fprintf(stderr, "%s\n", err.text);
 *         train_trainer_destroy(&trainer);
 *         return status == BASE_OK ? 0 : 1;
 *     }
 *
 * Nothing here prints, ends the program or looks at signals: what is to be told, and
 * whether to stop, goes by way of train_watch. In the folder: recipe.ini, metrics.jsonl,
 * last/ and best/ with model.safetensors and state.safetensors each. last/ and best/ are
 * replaced as whole folders, so the two files in them belong together at every moment. A
 * run that was stopped ends with the same bytes as one that was not. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "data/data.h"
#include "measure/measure.h"
#include "vit/vit.h"

enum { TRAIN_TEXT = 1024 }; /* room for a path */

/* What training makes of its images (adversary.c). */
typedef enum train_adversary_kind {
    TRAIN_ADVERSARY_NONE,
    TRAIN_ADVERSARY_PGD,
    TRAIN_ADVERSARY_FGSM_RS,
    TRAIN_ADVERSARY_TRADES
} train_adversary_kind;

typedef enum train_crop {
    TRAIN_CROP_AUTO,
    TRAIN_CROP_EVAL,
    TRAIN_CROP_RANDOM,
    TRAIN_CROP_PADDED
} train_crop;

/* Every setting of a run. Plain data: copy it freely. */
typedef struct train_recipe {
    char name[128];    /* "quickstart", or the file's name; for messages */
    vit_config config; /* [model], [router] and half of [data]; classes 0: the data's */
    char layers[256];  /* which blocks hold experts, as text */
    char init_from[TRAIN_TEXT];
    struct {
        char train[TRAIN_TEXT], val[TRAIN_TEXT]; /* DATA of cli.md */
        /* Files about it (data_source_options), empty: none. */
        char val_labels[TRAIN_TEXT], class_map[TRAIN_TEXT];
        char label_key[TRAIN_TEXT];
        char index_cache[TRAIN_TEXT];
        char mean[64], std[64]; /* a name, or one number per channel */
        int channels;           /* 0: the data's */
        int resize;             /* -1: image / 0.875 from 128 pixels on, else image */
        int interpolation;      /* a data_filter */
        int64_t limit, val_limit;
        int workers; /* -1: by the number of threads */
        int queue;
        double max_bad;
        bool strict;
        bool exact;
        int repeats;
    } data;
    int crop; /* an train_crop */
    data_augment augment;
    struct {
        char names[256], severity[32]; /* corrupt_kinds_add, corrupt_severities_add */
        double probability;
    } corrupt;
    vit_optimizer_config optimizer; /* frozen: resolved from freeze */
    char freeze[24];
    double lr;
    struct {
        int kind; /* a vit_schedule_kind */
        int64_t warmup;
        double warmup_epochs;
        double final;
        int64_t timescale;
    } schedule;
    struct {
        int epochs;
        int64_t max_steps;
        int batch, accumulate, lanes, eval_batch;
        int64_t seed;
        int precision, recompute, loss; /* a vit_precision, a vit_recompute, a vit_loss */
        double label_smoothing;
        int64_t checkpoint_every, log_every, eval_steps;
        double eval_every; /* epochs, parts of one too; eval_steps comes first */
    } train;
    struct {
        int kind; /* an train_adversary_kind */
        int steps;
        double eps, alpha, beta; /* eps and alpha in pixels of 0..1 */
    } adversary;
} train_recipe;

/* How a run began with a checkpoint's weights (model.init_from). */
typedef struct train_start {
    bool done;              /* it did, in this process */
    size_t loaded;          /* tensors as they are in the file, or resampled */
    size_t drawn, left_out; /* of routers, drawn anew; of the file, without a place */
    int image, classes;     /* of the file; classes 0: it has no head */
    bool positions, head;   /* interpolated; begins at zero */
    int experts_from_mlps;  /* blocks */
} train_start;

/* What only the data knows. */
typedef struct train_facts {
    size_t classes;
    size_t uniform_channels; /* of data_source_uniform, 0: unknown */
    size_t ranks;            /* of the run; 0 counts as 1 */
} train_facts;

train_recipe train_recipe_defaults(void);
/* Applies the recipe NAME (searched for) or FILE. BASE_USAGE names file, line and nearest
 * key. */
base_status train_recipe_load(train_recipe *recipe, const char *name, base_error *err);
/* Applies INI text; label is the file's name in messages. */
base_status train_recipe_parse(train_recipe *recipe, const char *label, const char *text,
                               size_t bytes, base_error *err);
/* Applies "section.key=value" (--set), all at once: their order does not matter. */
base_status train_recipe_set(train_recipe *recipe, const char *const *assignments,
                             size_t count, base_error *err);
/* text into out: a name (imagenet, half, cifar10, fashion-mnist), or 1 or `channels`
 * numbers separated by commas; above 0 with std. BASE_USAGE begins with key. */
base_status train_pixels_parse(float out[3], const char *key, const char *text, bool std,
                               int channels, base_error *err);
/* The network of a checkpoint into a recipe: measures, pixels, routing, and word as
 * model.init_from. Classes are left to the data; dropout stays the recipe's. Layers of
 * assignments go on top. */
void train_recipe_from(train_recipe *recipe, const vit_config *config, const char *word);
/* The network of a resolved recipe. It has the name of its size only when it has its
 * measures. */
void train_recipe_network(vit_config *out, const train_recipe *recipe);
/* Fills in what was left to the data and to other keys; refuses impossible combinations. */
base_status train_recipe_resolve(train_recipe *recipe, const train_facts *facts,
                                 base_error *err);
/* The whole recipe as a commented INI file. */
base_status train_recipe_save(const train_recipe *recipe, const char *path,
                              base_error *err);
/* Lines "section.key = value" of every key that a resumed run must share (base_free). NULL:
 * no memory. */
char *train_recipe_fixed_text(const train_recipe *recipe);
/* BASE_MISMATCH with the first key whose value differs from the stored fixed text, or that
 * it lacks where the value is not the default (keys that are younger than the text).
 * lengths: train.epochs and train.max_steps may differ. BASE_FORMAT: the text is no
 * recipe. */
base_status train_recipe_compare(const train_recipe *recipe, const char *stored,
                                 bool lengths, base_error *err);
/* The two from a stored fixed text; what is not in it stays as it is. */
void train_recipe_lengths(int64_t *epochs, int64_t *max_steps, const char *stored);
/* The value of a key, "train.epochs", in a stored fixed text, not ended by 0; NULL: it is
 * not there. */
const char *train_recipe_stored(size_t *length, const char *stored, const char *key);
/* Our key, "optimizer.lr", for another program's name of it, "learning_rate"; NULL: none is
 * known. */
const char *train_synonym(const char *name);
/* The key that an option of such a name would set, into out; false: none. */
bool train_hint(char *out, size_t out_bytes, const char *name);

/* ---- keys and assignments ------------------------------------------------------------ */

/* One assignment as it was read. where: "'x.ini' line 7" or "--set"; key: "section.name",
 * moe.NAME being router.NAME by another name (model.md). */
typedef struct train_assignment {
    char where[192], key[128], text[TRAIN_TEXT];
} train_assignment;

/* The assignments of --set; *out [*count], base_free. */
base_status train_assignments_words(train_assignment **out, size_t *count,
                                    const char *const *words, size_t word_count,
                                    base_error *err);
/* Those of the recipe NAME or FILE. */
base_status train_assignments_load(train_assignment **out, size_t *count, const char *name,
                                   base_error *err);
/* Applies a layer of assignments: the named size first, then the router, then the rest. */
base_status train_recipe_apply(train_recipe *recipe, const train_assignment *assignments,
                               size_t count, base_error *err);

extern const base_field train_recipe_keys[]; /* of an train_recipe; "section.name" */

/* Stores text under the key of settings; BASE_USAGE says what was expected. */
base_status train_key_set(void *settings, const base_field *keys, const char *name,
                          const char *text, base_error *err);

/* The settings of a run for those who write them: keys of a struct and, behind the last of
 * [router], those that a router has of its own ("router.NAME"; NULL: none). */
typedef struct train_keys {
    const base_field *keys;
    const void *settings;
    const base_field *router;
    const void *router_settings;
    const char *silent; /* a key that says nothing here: not written, not compared; NULL */
} train_keys;

/* A commented INI file; title: its first comment. */
base_status train_keys_save(const train_keys *keys, const char *title, const char *path,
                            base_error *err);
/* Lines "section.name = value" of every key that a resumed run must share (base_free).
 * NULL: no memory. */
char *train_keys_fixed_text(const train_keys *keys);
/* As train_recipe_compare, usual being the defaults. */
base_status train_keys_compare(const train_keys *now, const train_keys *usual,
                               const char *stored, bool lengths, base_error *err);

/* ---- one recipe with several routers (variants.c) ------------------------------------ */

enum {
    TRAIN_VARIANTS_MAX = 64,
    TRAIN_LABEL_BYTES = 64,
    TRAIN_SETTINGS_MAX = 16, /* of one variant */
    TRAIN_SETTING_BYTES = 96
};

/* A router with settings. */
typedef struct train_variant {
    char label[TRAIN_LABEL_BYTES]; /* fit for the name of a folder */
    char router[32];
    char setting[TRAIN_SETTINGS_MAX][TRAIN_SETTING_BYTES]; /* "router.key=value", for
                                                            * train_recipe_set */
    size_t settings;
} train_variant;

typedef struct train_variants {
    train_variant variant[TRAIN_VARIANTS_MAX];
    size_t count;
} train_variants;

/* In the form of a choice. */
#define TRAIN_VARIANT_PRESETS "none|all|ssr-ablation|balancers|ssr-grid"
/* Adds those of a list: "ssr,fast=ssr:p=0.01,vmoe:capacity=1.05:eval_capacity=4". A comma
 * or a colon before a digit belongs to the value ("layers=1,3", "layers=every:2").
 * BASE_USAGE for what is no router, no key=value, or a label that is there already; what:
 * the option's name for that. Keys are only checked with the recipe. */
base_status train_variants_add(train_variants *variants, const char *what, const char *list,
                               base_error *err);
/* Every variant in each of the values of "KEY=V1,V2,...": a key of the recipe, router.KEY
 * when it names no section. A label becomes LABEL-KEY=V. BASE_USAGE for what is no such
 * word or gives too many. */
base_status train_variants_grid(train_variants *variants, const char *what,
                                const char *word, base_error *err);
/* Adds those of a preset, by its place among TRAIN_VARIANT_PRESETS (routing.md 14,
 * routing-newer.md); one that is there is left out. */
base_status train_variants_preset(train_variants *variants, int preset, base_error *err);

/* ---- metrics.jsonl (metrics.c) ------------------------------------------------------- */

struct json_t; /* of jansson.h */

typedef struct train_metrics {
    FILE *file;
    const char *path; /* borrowed */
    uint64_t lines;   /* written by this process */
    double began; /* base_seconds when it was opened, less what the last kept line tells */
} train_metrics;

/* Opens path for appending after taking away what lies behind step: lines of later steps, a
 * half-written line, and the evaluation of step itself unless evaluated. fresh: all of it.
 * The file is locked: a second process that trains into the same folder is refused. */
base_status train_metrics_open(train_metrics *out, const char *path, bool fresh,
                               uint64_t step, bool evaluated, base_error *err);
/* One line, with "time" (UTC) and "elapsed" (seconds of work on the run) added; takes json,
 * of jansson, over. The line is with the system when this returns. */
base_status train_metrics_write(train_metrics *metrics, struct json_t *json,
                                base_error *err);
/* All lines so far are on the disk. */
base_status train_metrics_sync(train_metrics *metrics, base_error *err);
void train_metrics_close(train_metrics *metrics);

/* ---- what it tells (lines.c) --------------------------------------------------------- */

/* Of MoE layers the mean over them, 0 for a dense network; NaN: the line has none. */
enum {
    TRAIN_LINE_STEP,
    TRAIN_LINE_LOSS,
    TRAIN_LINE_ACCURACY,
    TRAIN_LINE_CV,
    TRAIN_LINE_DEAD,
    TRAIN_LINE_DROPPED,
    TRAIN_LINE_SINKHORN, /* share of the passes */
    TRAIN_LINE_EPOCH,
    TRAIN_LINE_IMAGES, /* of an evaluation */
    TRAIN_LINE_BEST,   /* 1: it was the best so far */
    TRAIN_LINE_COLUMNS
};

typedef struct train_line {
    double at[TRAIN_LINE_COLUMNS];
} train_line;

typedef struct train_lines {
    size_t count;
    train_line *line; /* by rising step */
    /* Of each MoE layer, which the first line that has any names: its block, and the
     * coefficient of variation of its loads, NaN where a line has none. */
    size_t layers;
    int block[VIT_DEPTH_MAX];
    double *cv; /* [count, layers] */
} train_lines;

/* Those of one kind ("train", "eval") in a file of metrics; none where there is no file.
 * Out ends in destroy, after a failure too. BASE_IO, BASE_FORMAT (above 1 GiB),
 * BASE_NO_MEMORY. */
base_status train_lines_read(train_lines *out, const char *path, const char *kind,
                             base_error *err);
void train_lines_destroy(train_lines *lines); /* zeroed is fine */
/* Means of so many lines in a row that at most `most` are left; what is not finite does not
 * count. */
void train_lines_thin(train_lines *lines, size_t most);
/* Mean over runs [count], at the steps of the first that has lines, without layers. Ends in
 * destroy. */
train_lines train_lines_mean(const train_lines *runs, size_t count);
/* A column of the last line; its sum over all steps, each line telling of those since the
 * one before; its value at a step, between two lines. NaN: there is no line, or none so
 * far. */
double train_lines_last(const train_lines *lines, size_t column);
double train_lines_sum(const train_lines *lines, size_t column);
double train_lines_at(const train_lines *lines, size_t column, double step);

/* ---- a run (trainer.c, run.c) -------------------------------------------------------- */

/* Sums since the last line of metrics.jsonl. Doubles only: stored as they lie. */
typedef struct train_sums {
    double loss, aux_loss, correct, images, grad_norm, steps, skipped;
} train_sums;

/* Where a run stands. Nothing in it depends on the clock: it ends in state.safetensors. */
typedef struct train_position {
    uint64_t step;      /* optimiser steps done */
    uint64_t evaluated; /* step of the last evaluation, 0: none */
    uint64_t skipped, skipped_in_a_row;
    uint64_t best_step;                  /* 0: none yet */
    double best_accuracy, last_accuracy; /* 0..1 */
    double best_loss, last_loss;         /* -1: not finite */
    train_sums sums;
} train_position;

typedef struct train_trainer train_trainer;

/* What a trainer tells and asks, from the thread that runs it. Any may be NULL: nobody is
 * told, nobody asks. */
typedef struct train_watch {
    void *user;
    /* As data_source_options.indexing. */
    void (*indexing)(void *user, size_t samples, double seconds, bool done);
    /* As data_loader_config.named, of either source. */
    void (*named)(void *user, const data_source *source, size_t sample, data_health health,
                  const char *reason);
    /* A line for people. subject: "resume", "" for what belongs to the line before it,
     * NULL: of a loader. */
    void (*note)(void *user, const char *subject, const char *line);
    /* The run stands where it begins or goes on, its files are open; nothing is computed
     * yet. */
    void (*begun)(void *user, const train_trainer *trainer);
    /* An optimiser step is done, with this learning rate. */
    void (*stepped)(void *user, const train_trainer *trainer, double lr);
    /* An evaluation is done and best/ written when it is the best so far. A failure ends
     * the run. */
    base_status (*evaluated)(void *user, const train_trainer *trainer, double seconds,
                             bool better, base_error *err);
    /* Whether to stop: asked between steps and between the batches of an evaluation. */
    bool (*stop)(void *user);
} train_watch;

/* What a rank is at, for those that wait for it. */
typedef enum train_phase {
    TRAIN_PHASE_LOADING,
    TRAIN_PHASE_COMPUTING,
    TRAIN_PHASE_EXCHANGE,
    TRAIN_PHASE_EVALUATION,
    TRAIN_PHASE_SAVING
} train_phase;

/* Several ranks train one network: each is given the same recipe and options, calls the
 * same functions and comes to the same result. Rank 0 alone reads and writes the folder.
 * A failure of one rank must make the peers' calls of the others fail. All but peers may be
 * NULL. */
typedef struct train_ranks {
    vit_peers peers;
    void *user;
    void (*say)(void *user, uint64_t step, train_phase phase);
    /* Fails on all ranks when not all have this text: "the training data". */
    base_status (*agree)(void *user, const char *what, const char *text, base_error *err);
    /* Bytes sent to other ranks and seconds waited for them so far. */
    void (*counted)(void *user, double *sent, double *waited);
} train_ranks;

typedef struct train_options {
    const char *folder;       /* of the run, which is made; borrowed */
    const train_ranks *ranks; /* NULL: alone; borrowed */
    bool resume; /* go on from its last checkpoint; begins where there is none */
    size_t
        threads; /* of the passes, as the caller has set them: for the record. 0: OpenMP's */
    /* Sets the threads of a loader; workers: data.workers of the recipe, -1: as the caller
     * likes. NULL: so many, or one. */
    void (*loaders)(void *user, data_loader_config *config, int workers);
    void *loaders_user;
    train_watch watch;
} train_options;

typedef struct train_adversary train_adversary; /* adversary.c */
typedef struct train_augment train_augment;     /* augment.c */
struct corrupt_crew;                            /* of corrupt/corrupt.h */
/* With what settings augment.corrupt works, borrowed. */
const struct corrupt_crew *train_augment_crew(const train_augment *augment);

/* What a part of a step came to: sums over its images, of which there are none when it was
 * not finite. */
typedef struct train_figures {
    double loss, aux_loss, correct, images;
} train_figures;

/* A source and who is told of its samples. */
typedef struct train_named {
    const train_watch *watch;
    const data_source *source;
} train_named;

/* Plain to read; only the functions below change it. It must stay where it was made. */
struct train_trainer {
    train_options options;
    train_recipe recipe;              /* resolved */
    vit_precision precision;          /* fp32 where the processor has no bf16 */
    char *recipe_path, *metrics_path; /* in the folder */
    data_source *train, *val;
    data_loader *train_loader, *val_loader;
    train_named named_train, named_val;
    train_augment *augment;      /* of the training loader; NULL: none */
    vit_model *model, *averaged; /* averaged: EMA weights, NULL without */
    vit_optimizer *optimizer;
    vit_run *run, *eval_run;
    train_adversary *adversary; /* NULL: plain training */
    float *worse_logits;        /* [part, K], trades only */
    vit_schedule schedule;
    train_start start;
    float *logits, *d_logits, *targets; /* [largest batch, K] */
    vit_usage *load;                    /* [MoE layers], sums like train_position.sums */
    vit_usage *eval_load;
    size_t moe_count;
    size_t part;                       /* images of one pass */
    size_t rank, ranks;                /* 0 of 1: alone */
    size_t first_part, parts, lanes;   /* of a step, this rank's */
    train_figures *figures;            /* [accumulate] of the last step */
    bool stopping;                     /* some rank was asked to stop; ranks > 1 */
    void *calls;                       /* room for what ranks tell one another */
    vit_usage *loads;                  /* [ranks, MoE layers] the same */
    double *busy;                      /* [ranks] seconds since the last line of metrics */
    double waited, sent;               /* mean seconds of steps, bytes of all, since then */
    double waited_before, sent_before; /* of this rank, when the step, the count began */
    uint64_t parts_in_epoch;           /* passes in an epoch */
    uint64_t total;                    /* steps */
    train_position at;
    bool unsaved; /* something happened since the last checkpoint */
    train_metrics metrics;
    double timed_seconds,
        timed_images;                  /* of steps since the last line, this process only */
    double shown_loss, shown_accuracy; /* smoothed, for people */
    uint64_t shown_count;
    double eval_seconds;
};

/* Opens the data, resolves the recipe, builds the loaders and counts the steps: all but the
 * network. recipe may still hold unresolved keys. On failure train_trainer_destroy still
 * has to be called. */
base_status train_trainer_plan(train_trainer *out, const train_recipe *recipe,
                               const train_options *options, base_error *err);
/* The same, and network, optimiser and runs. */
base_status train_trainer_create(train_trainer *out, const train_recipe *recipe,
                                 const train_options *options, base_error *err);
void train_trainer_destroy(train_trainer *trainer); /* zeroed is fine */
/* From the last checkpoint, with options.resume, or from the beginning to the end.
 * BASE_INTERRUPTED: asked to stop, checkpoint written. */
base_status train_trainer_run(train_trainer *trainer, base_error *err);
/* Bytes that this rank's process will have had at most, asked for before the first step:
 * what it has by then, measured (networks, runs, optimiser, batches, data that are kept,
 * the program and its libraries), what ranks hold while rank 0 writes a checkpoint, by
 * count, and 8 MiB for what libraries take with the first steps. */
size_t train_trainer_memory(const train_trainer *trainer);
/* Steps of a run of so many epochs, or of max_steps when that is above 0; at least 1. */
uint64_t train_trainer_total(const train_trainer *trainer, int64_t epochs,
                             int64_t max_steps);
/* Epochs finished at a step. */
uint64_t train_trainer_epochs(const train_trainer *trainer, uint64_t step);
/* Block number of the i-th MoE layer. */
size_t train_trainer_block(const train_trainer *trainer, size_t i);
enum { TRAIN_SINKHORN_FEW = 20 }; /* Sinkhorn steps of a layer below which a run says so */
/* Sinkhorn steps of a layer to be expected in the whole run, 0 for routers without. */
double train_trainer_sinkhorn_steps(const train_trainer *trainer);
/* The list of load metrics per MoE layer, and their mean Sinkhorn share under json's
 * sinkhorn_share. */
void train_trainer_loads(struct json_t *json, const train_trainer *trainer,
                         const vit_usage *load);

/* ---- what a step costs (pace.c) ------------------------------------------------------ */

enum { TRAIN_PACE_WARMUP = 3 }; /* rounds that are not counted */

/* Milliseconds of a step with each of several networks of the plan's classes and image
 * size: ms [count, rounds]. In a round every network makes one step of the plan's recipe
 * (forward, loss, backward, optimiser) with learning rate 0 on the same batch; adversarial
 * training is left out. The weights stay; what routers remember from step to step moves.
 * plan: of train_trainer_plan; its training loader is read from the start. shown: after
 * each round, uncounted ones too; what it fails with ends the timing. NULL: none. */
base_status train_pace(double *ms, train_trainer *plan, vit_model *const *models,
                       size_t count, size_t rounds,
                       base_status (*shown)(void *user, size_t done, base_error *err),
                       void *user, base_error *err);

/* ---- files (files.c, state.c) -------------------------------------------------------- */

/* The file that MODEL means: itself, or for a run's folder best/model.safetensors, else
 * last/model.safetensors, else model.safetensors in it. The caller frees *out with
 * base_free. */
base_status train_model_path(char **out, const char *word, base_error *err);
/* The network's input (size, channels, resize, crop, filter, mean, std) into a loader's
 * config; the rest stays as it is. */
void train_loader_feed(data_loader_config *out, const vit_config *config);

/* What a checkpoint says of itself without its network being built. */
typedef struct train_state_facts {
    train_position at;
    char train[48], val[48]; /* fingerprints of the data */
    char *recipe;            /* its fixed text, base_free */
} train_state_facts;
/* Of FOLDER/last of a run's folder. *found false: there is no checkpoint, *out is
 * zeroed. */
base_status train_state_peek(train_state_facts *out, bool *found, const char *folder,
                             base_error *err);
/* Whether the run in a folder, if there is one, is of this resolved recipe and of data with
 * these fingerprints (train_state_fingerprint), and where it stands. BASE_MISMATCH says
 * what is another. */
base_status train_run_look(train_position *at, bool *found, const char *folder,
                           const train_recipe *recipe, const char *train, const char *val,
                           base_error *err);

/* ---- images in memory (images.c) ----------------------------------------------------- */

/* What the logits [classes] of a sample say beside its label. Fails, by the sample's name
 * and the network's, where it has none or the logits are not finite. */
base_status train_judge(measure_verdict *out, const char *network,
                        const data_source *source, size_t sample, const float *logits,
                        size_t classes, base_error *err);

/* Labelled images as attacks take them, and what the network's ordinary evaluation says. */
typedef struct train_images {
    size_t n, floats;   /* images; numbers of one */
    float *pixels;      /* [n, C, S, S] in [0, 1] */
    int32_t *label;     /* [n] */
    int32_t *predicted; /* [n] */
    uint32_t *sample;   /* [n] numbers in the source */
    bool *bad;          /* [n] could not be used: a black picture stands for it */
    size_t bad_count, right;
    double loss; /* mean of those that could be used, nats */
} train_images;

/* The samples of a loader in evaluation: train_loader_feed's config with batch, limit,
 * seed, threads. network: its name in messages. shown: after each batch, how many images
 * and what share of them is right; what it fails with ends the reading. NULL: none. *out
 * ends in destroy in any case; its n then tells how many are there. */
base_status train_images_read(train_images *out, const vit_model *model,
                              const char *network, data_source *source,
                              const data_loader_config *feed, vit_precision precision,
                              base_status (*shown)(void *user, size_t done, double top1,
                                                   base_error *err),
                              void *user, base_error *err);
void train_images_destroy(train_images *images); /* zeroed is fine */

/* ---- for other runs than a trainer's (loop.c, checkpoint.c) -------------------------- */

/* What the loop that drives a run needs of it. */
typedef struct train_loop {
    void *user;
    bool (*evaluation_due)(const void *user);
    bool (*checkpoint_due)(const void *user);
    bool (*done)(const void *user); /* no step is left */
    bool (*stop)(void *user);       /* asked to stop */
    base_status (*evaluate)(void *user,
                            base_error *err); /* BASE_INTERRUPTED: nothing changed */
    base_status (*save)(void *user, base_error *err);
    base_status (*step)(void *user, base_error *err);
    /* Writes what is not saved and fails with BASE_INTERRUPTED, which says how to go on. */
    base_status (*leave)(void *user, base_error *err);
} train_loop;
/* Evaluate, save, stop, step, in this order, from where the run stands to its end. */
base_status train_loop_run(const train_loop *loop, base_error *err);

/* FOLDER/NAME by way of FOLDER/NAME.new, exchanged as a whole. write is given the names of
 * both files. */
base_status train_checkpoint_save(const char *folder, const char *name,
                                  base_status (*write)(void *user, const char *model,
                                                       const char *state, base_error *err),
                                  void *user, base_error *err);
/* FOLDER/last, or last.old when a kill fell between two renames (base_free). NULL: there is
 * none. */
char *train_checkpoint_last(const char *folder);
/* A fingerprint as the state holds it into out. */
const char *train_state_fingerprint(char *out, size_t out_bytes, const data_source *source);
/* A number, doubles and a fingerprint of a state file; path is its name in messages.
 * BASE_FORMAT names what is missing, out of its range or not finite; BASE_MISMATCH: other
 * data than the run began with. On failure what lies in out means nothing. */
base_status train_state_number(uint64_t *out, const vit_tensor_file *file, const char *key,
                               const char *path, base_error *err);
base_status train_state_doubles(double *out, size_t count, const vit_tensor_file *file,
                                const char *name, const char *path, base_error *err);
base_status train_state_same_data(const vit_tensor_file *file, const char *key,
                                  const char *which, const data_source *source,
                                  base_error *err);

#endif
