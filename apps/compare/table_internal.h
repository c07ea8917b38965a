/* table_internal.h - the numbers of a comparison: a figure of every run, mean and spread of
 * every entry over its seeds, differences. From the JSON that lies beside the runs
 * (compare_eval.c), their metrics, the timing. Private to apps/ and its tests. */
#ifndef APPS_COMPARE_TABLE_INTERNAL_H
#define APPS_COMPARE_TABLE_INTERNAL_H

#include "apps/attack/internal.h"
#include "apps/compare/internal.h"
#include "corrupt/corrupt.h"

/* ---- figures ------------------------------------------------------------------------- */

/* Those that every comparison has, in the order of the CSV; robust accuracies at the
 * budgets follow. */
typedef enum app_figure_id {
    APP_FIGURE_TOP1,
    APP_FIGURE_LOSS,
    APP_FIGURE_ECE,
    APP_FIGURE_CORRUPTED, /* mean error over 15 corruptions and 5 severities */
    APP_FIGURE_MCE,       /* against softmax of the same seed, 1: the same */
    APP_FIGURE_LOAD_CV,
    APP_FIGURE_LOAD_ENTROPY,
    APP_FIGURE_VIOLATION,
    APP_FIGURE_DEAD,
    APP_FIGURE_DROPPED,
    APP_FIGURE_ORPHANS,
    APP_FIGURE_MOVED_CORRUPTED, /* 1 - IoU of experts, clean against corrupted */
    APP_FIGURE_MOVED_ATTACKED,  /* clean against adversarial */
    APP_FIGURE_MOVED_NOISE,     /* clean against random noise of the same budget */
    APP_FIGURE_TRAIN_LOSS,      /* last line of the training */
    APP_FIGURE_TRAIN_LOSS_TIME, /* at the seconds that the fastest router needs for all its steps */
    APP_FIGURE_TRAIN_CV, /* mean over the training */
    APP_FIGURE_TRAIN_DEAD,
    APP_FIGURE_TRAIN_DROPPED,
    APP_FIGURE_SINKHORN,       /* share of the MoE layers' training passes with a plan */
    APP_FIGURE_SINKHORN_STEPS, /* steps of a layer with one */
    APP_FIGURE_STEP_MS,
    APP_FIGURE_STEP_RATIO, /* against softmax's, else the baseline's, 1: the same */
    APP_FIGURE_PARAMETERS,
    APP_FIGURE_ACTIVE,
    APP_FIGURE_FLOPS,
    APP_FIGURE_COUNT
} app_figure_id;

enum { APP_FIGURES_MAX = APP_FIGURE_COUNT + APP_BUDGETS_MAX };

typedef enum app_figure_kind {
    APP_KIND_SHARE, /* 0..1, shown in per cent */
    APP_KIND_NUMBER,
    APP_KIND_COUNT,
    APP_KIND_FLOPS
} app_figure_kind;

typedef struct app_figure {
    char key[48];   /* of CSV and JSON: "top1", "robust_2/255" */
    char title[48]; /* of the page */
    app_figure_kind kind;
    int better; /* 1: more, -1: less, 0: neither */
    int digits; /* behind the point, as it is shown */
    bool once;  /* measured once for all seeds of an entry: no test */
} app_figure;

/* ---- the table (compare_table.c) ----------------------------------------------------- */

typedef struct app_curve {
    size_t count;
    double *step, *loss, *accuracy, *cv; /* [count] */
    double seconds_a_step;               /* of the timing; NaN: not timed */
} app_curve;

typedef struct app_table {
    const app_compare *compare;
    app_figure figure[APP_FIGURES_MAX];
    size_t figures;
    double *value;        /* [runs, figures], NaN: unknown */
    measure_mean *spread; /* [entries, figures] */
    double *kind_error;   /* [entries, 15] mean error under a corruption, NaN: unknown */
    size_t *order;        /* [entries] by clean accuracy, best first, unknown last */
    app_curve *train;     /* [entries] mean over seeds of lines of the training */
    app_curve *eval;      /* [entries] of its evaluations */
    size_t baseline;      /* what the others are held against */
    size_t softmax;       /* of mCE; SIZE_MAX: not among them */
    json_t *timing;       /* as timing.json; NULL: none */
    app_pool pool;        /* of all that */
} app_table;

/* *timing (NULL: none) is borrowed. --baseline LABEL, else ssr, else the first. */
base_status app_table_create(app_table *out, const app_compare *compare, json_t *timing,
                             base_error *err);
void app_table_destroy(app_table *table); /* zeroed is fine */
/* entry against other. */
measure_difference app_table_difference(const app_table *table, size_t entry, size_t other,
                                        size_t figure);
/* The entry that --baseline means; BASE_USAGE for a label that is none. */
base_status app_table_baseline(size_t *out, const app_compare *compare, base_error *err);
double app_table_value(const app_table *table, size_t run, size_t figure);
const measure_mean *app_table_spread(const app_table *table, size_t entry, size_t figure);
/* An entry's settings as "p=0.01 noise=0", "" without; the mark of its router's source. */
const char *app_entry_settings(char *out, size_t out_bytes, const app_entry *entry);

/* Mean over the seeds' metrics.jsonl of lines of one kind; curve is to be destroyed in any
 * case (compare_curves.c). */
base_status app_curve_read(app_curve *out, const app_compare *compare, size_t entry,
                           const char *kind, base_error *err);
void app_curve_destroy(app_curve *curve);
/* Sums over a run's training lines for the figures; NaN: no line. */
typedef struct app_training_means {
    double loss, cv, dead, dropped, sinkhorn, sinkhorn_steps;
} app_training_means;
app_training_means app_training_means_of(const app_compare_run *run);
/* Training loss of a run at a step, between its lines; NaN: not known there. */
double app_training_loss_at(const app_compare_run *run, double step);

/* ---- verdicts (verdict.c) ------------------------------------------------------------ */

/* "better", "worse", "more", "less" where a paired test is clear, "not to be told apart"
 * where it is not, "one measurement" of a figure that seeds do not repeat; NULL: fewer than
 * two seeds, or the figure is not known. */
const char *app_verdict_word(const measure_difference *d, const app_figure *figure);
/* The 95 % interval of the mean difference; NaN: unknown. */
void app_verdict_interval(double *low, double *high, const measure_difference *d,
                          const app_figure *figure);
/* lead [entries]: not clearly worse than the best mean at a figure that has a better side.
 * Returns how many; 0: nothing can be told (one seed, all equal, nobody known), nobody
 * leads. */
size_t app_table_leaders(bool *lead, const app_table *table, size_t figure);
/* Each figure against the baseline, and who leads: objects with "figure", "title",
 * "baseline", "better", "worse", "tied", "unknown", "leaders" (labels) and "text", a
 * sentence. NULL: no memory. */
json_t *app_verdicts_json(const app_table *table);
/* The sentence of one figure; false: it has none. */
bool app_verdict_text(char *out, size_t out_bytes, const app_table *table, size_t figure);

/* ---- steps (compare_steps.c) --------------------------------------------------------- */

/* Median and quartiles over the rounds of the timing, milliseconds or, with another entry,
 * the ratio of each round; NaN: not timed. */
typedef struct app_step {
    double median, low, high;
} app_step;
/* other SIZE_MAX: milliseconds. */
app_step app_step_of(const app_table *table, size_t entry, size_t other);
/* The entry that steps are held against: softmax, else the baseline. */
size_t app_step_reference(const app_table *table);
/* {text, reference, rows}: medians and quartiles of each router that was timed; null:
 * none. */
json_t *app_steps_json(const app_table *table);

/* ---- the document (document.c, view.c) ----------------------------------------------- */

/* All of it (docs/compare.md). NULL: no memory. The caller destroys it. */
show_document *app_compare_document(const app_table *table);
/* Of it: the table, the page, runs.csv ("entries[].runs[]"), summary.csv ("entries[]"). */
extern const show_view app_compare_view;

#endif
