/* internal.h - what the cases of vmoe bench share. A case is one function and one
 * line in bench.c's table; it warms up, times at least BENCH_ROUNDS rounds, and prints
 * the median with the fastest and the slowest as CSV, one header a case. */
#ifndef APPS_BENCH_INTERNAL_H
#define APPS_BENCH_INTERNAL_H

#include "apps/network_internal.h"
#include "apps/ranks_internal.h"

enum { BENCH_ROUNDS = 9, BENCH_ROUNDS_MAX = 1000 };

typedef struct bench_args {
    app_common common;
    base_list size_names, settings;
    const char *router, *data;
    app_reading reading;
    int64_t rounds, warmup, classes;
    int recompute; /* a vit_recompute */
    bool no_ceiling, table, paced, check;
    struct app_ranks_options ranks;
} bench_args;

/* What one case is asked to time, and where its results go. */
typedef struct bench_context {
    const bench_args *args;
    const char *name;            /* of the case */
    const char *const *subjects; /* size names (NAME or NAME:PIXELS) or checkpoints */
    size_t subject_count;
    bool named;              /* subjects are the user's, not the usual ones */
    struct app_ranks *ranks; /* of the job; alone: one without a mesh */
    const char *columns;     /* of the case (show_csv_head) */
    show_document *document; /* what holds for all rows; the one that is printed as "row" */
    json_t *results;         /* array of rows */
    bool print;              /* results on stdout */
    bool table;              /* for people, where a case has such a form; else CSV */
} bench_context;

/* The names of the case's columns as CSV, where results are printed. */
void bench_head(const bench_context *context);
/* A row of the case is there (NULL: no memory): into results, which takes it over, and as
 * CSV where results are printed. */
void bench_row(const bench_context *context, json_t *results, json_t *row);

typedef struct bench_times {
    double seconds[BENCH_ROUNDS_MAX];
    size_t count;
} bench_times;

typedef struct bench_spread {
    double median, low, high;
} bench_spread;
bench_spread bench_spread_of(bench_times *times); /* sorts them; count >= 1 */
/* Notes a round's seconds unless it warms up (round below 0). BASE_INTERRUPTED when the
 * user asks to stop. */
base_status bench_note(bench_times *times, int64_t round, double seconds, base_error *err);

/* The processor's name without commas and quotes, for a CSV field. */
const char *bench_machine(char *out, size_t out_bytes);
/* The network that a subject means, weights drawn or read. The caller destroys *out. */
base_status bench_model(vit_model **out, const char *subject, const bench_args *args,
                        base_error *err);

/* ---- a network with what a step needs (rig.c) ---------------------------------------- */

/* Where the time of a pass goes: the network's parts, then what surrounds the network. */
enum {
    BENCH_LOSS = VIT_PART_COUNT,
    BENCH_OPTIMIZER, /* clipping, update, gradients back to zero */
    BENCH_PARTS
};
const char *bench_part_name(size_t part);

/* Of the passes since bench_rig_clear. */
typedef struct bench_pass_times {
    double forward, backward,
        routing; /* routing: router and dispatch of the forward pass */
    double part[BENCH_PARTS];
} bench_pass_times;

enum { BENCH_LOSSES = BENCH_ROUNDS }; /* as many as every run has */

/* What the first steps found, so that one can see that others do the same work. */
typedef struct bench_losses {
    double of[BENCH_LOSSES]; /* mean cross-entropy of a step's images */
    size_t count;
} bench_losses;
void bench_loss_add(bench_losses *losses,
                    double loss); /* those after the first are not kept */
json_t *bench_losses_json(const bench_losses *losses); /* a list */

typedef struct bench_rig {
    vit_model *model;
    vit_run *run;
    vit_optimizer *optimizer;
    float *images, *targets, *logits, *d_logits;
    size_t batch, classes;
    vit_mode mode;
    uint64_t seed, steps;
    struct app_ranks *ranks; /* that train it together; NULL: alone, and parts are timed */
    bench_pass_times times;
    bench_losses losses; /* INFER: of the first pass alone */
    app_pool pool;
} bench_rig;

/* Random images and labels, others on every rank, a run in this mode (TRAIN or INFER),
 * AdamW as recipes have it, with clipping, for TRAIN. ranks NULL: alone. Takes model over,
 * whatever it returns; the caller closes the rig in any case. */
base_status bench_rig_open(bench_rig *rig, vit_model *model, vit_mode mode,
                           struct app_ranks *ranks, const bench_args *args,
                           base_error *err);
void bench_rig_close(bench_rig *rig); /* zeroed is fine */
/* What train does with a batch that is ready (forward, loss, backward, clipping, AdamW), or
 * a forward pass, `passes` times. BASE_INTERRUPTED when the user asks to stop. */
base_status bench_rig_pass(bench_rig *rig, size_t passes, base_error *err);
/* Sets the rig's times to zero. */
void bench_rig_clear(bench_rig *rig);
/* BASE_NUMERIC when the logits of the last pass are not finite: then its time means
 * nothing. */
base_status bench_rig_check(const bench_rig *rig, base_error *err);

/* ---- a network and its ceiling, round by round (measure.c) --------------------------- */

/* One product of the ceiling, medians. */
typedef struct bench_product {
    vit_product product;
    double seconds; /* of one call */
    char form[16];
} bench_product;

/* What was measured of one subject. Times are those of one pass. */
typedef struct bench_result {
    const char *name, *subject; /* the case; NAME, NAME:PIXELS or a file */
    vit_config config;
    size_t batch, parameters, rounds, passes; /* passes: in a round */
    double flops;                             /* of one pass, vit_model_pass_flops */
    double peak_mib; /* of a process that did nothing else, before the ceiling */
    bench_spread pass;
    double forward, backward;    /* medians */
    double part[BENCH_PARTS];    /* medians */
    bench_spread ceiling, share; /* share: of rounds, ceiling / pass; 0 without ceiling */
    double part_flops[BENCH_PARTS], part_ceiling[BENCH_PARTS];
    bench_losses losses;
    bench_product products[VIT_PRODUCTS_MAX];
    size_t product_count;
} bench_result;

/* Whether to go on: --paced asks for each round with a line, else there are
 * args->rounds. */
bool bench_round_wanted(size_t made, const bench_args *args);
/* A line for who paces, at once. */
void bench_say(const char *format, ...) BASE_PRINTF(1, 2);
base_status bench_measure(bench_result *out, const char *name, const char *subject,
                          vit_mode mode, const bench_args *args, base_error *err);

/* ---- showing it (show.c) ------------------------------------------------------------- */

extern const char bench_step_csv[], bench_router_csv[], bench_sinkhorn_csv[],
    bench_attack_csv[], bench_scale_csv[], bench_corrupt_csv[], bench_decode_csv[];

/* ---- a process of its own (child.c) -------------------------------------------------- */

/* Runs work in a child process, so that memory, caches of primitives and heap of one
 * subject are not those of another. What it prints goes to the same stdout; what it adds to
 * results, and how it fails, comes back as if it had run here. No parallel region may have
 * run in this process before. */
base_status bench_child(base_status (*work)(void *user, json_t *results, base_error *err),
                        void *user, json_t *results, base_error *err);

/* What a child works on. */
typedef struct bench_subject {
    const bench_context *context;
    const char *name; /* one of the context's subjects */
} bench_subject;
/* Each of the context's subjects in a process of its own; user: the bench_subject. */
base_status bench_subjects(const bench_context *context,
                           base_status (*work)(void *user, json_t *results,
                                               base_error *err),
                           base_error *err);

base_status bench_step(const bench_context *context, base_error *err); /* infer, too */
base_status bench_router(const bench_context *context, base_error *err);
base_status bench_sinkhorn(const bench_context *context, base_error *err);
base_status bench_scale(const bench_context *context, base_error *err);
base_status bench_decode(const bench_context *context, base_error *err);
base_status bench_corrupt(const bench_context *context, base_error *err);
base_status bench_attack(const bench_context *context, base_error *err);

#endif
