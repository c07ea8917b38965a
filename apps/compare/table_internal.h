/* table_internal.h - the numbers of a comparison: a figure of every run, mean and spread of
 * every entry over its seeds, differences. From the JSON that lies beside the runs
 * (eval.c), their metrics, the timing. Private to apps/ and its tests. */
#ifndef APPS_COMPARE_TABLE_INTERNAL_H
#define APPS_COMPARE_TABLE_INTERNAL_H

#include "apps/attack/internal.h"
#include "apps/compare/internal.h"
#include "corrupt/corrupt.h"

/* ---- figures ------------------------------------------------------------------------- */

typedef struct app_figure {
    char key[48];   /* of CSV and JSON: "top1", "robust_2/255" */
    char title[48]; /* of the page */
    double unit;    /* of a value in sentences: 100 for per cent */
    int better;     /* 1: more, -1: less, 0: neither */
    int digits;     /* behind the point, as it is shown */
    const char *at; /* path in eval.json, or the budget; NULL: computed */
    bool once;      /* measured once for all seeds of an entry: no test */
} app_figure;

/* Those that every comparison has, in the order of the CSV files: members of app_figure
 * each; robust accuracies at the budgets follow. */
#define APP_FIGURES(X)                                                                     \
    X("top1", "clean top-1", 100, 1, 2, "top1"), X("loss", "loss", 1, -1, 3, "loss"),      \
        X("ece", "calibration error", 100, -1, 1, "ece"),                                  \
        X("corrupted_error", "corrupted error", 100, -1, 2),                               \
        X("mce_softmax", "mCE (softmax 100)", 100, -1, 1),                                 \
        X("load_cv", "load CV", 1, -1, 3, "moe_mean.load_cv"),                             \
        X("load_entropy", "load entropy", 1, 1, 3, "moe_mean.entropy"),                    \
        X("max_violation", "max violation", 1, -1, 3, "moe_mean.max_violation"),           \
        X("dead", "dead experts", 1, -1, 1, "moe_mean.dead"),                              \
        X("dropped", "dropped", 100, -1, 2, "moe_mean.dropped"),                           \
        X("orphans", "orphans", 100, -1, 2),                                               \
        X("routing_change_corrupted", "routing change, corrupted", 100, 0, 1),             \
        X("routing_change_attacked", "routing change, attacked", 100, 0, 1),               \
        X("routing_change_noise", "routing change, random noise", 100, 0, 1),              \
        X("train_loss", "training loss", 1, -1, 3),                                        \
        X("train_loss_equal_seconds", "training loss at equal seconds", 1, -1, 3),         \
        X("train_load_cv", "load CV in training", 1, -1, 3),                               \
        X("train_dead", "dead experts in training", 1, -1, 1),                             \
        X("train_dropped", "dropped in training", 100, -1, 2),                             \
        X("sinkhorn_share", "Sinkhorn passes", 100, 0, 1),                                 \
        X("sinkhorn_steps", "Sinkhorn steps a layer", 1, 0, 1),                            \
        X("step_ms", "ms a step", 1, -1, 1, .once = true),                                 \
        X("step_ratio", "step", 100, -1, 1, .once = true),                                 \
        X("parameters", "parameters", 1, 0, 0, "parameters"),                              \
        X("active_parameters", "active", 1, 0, 0, "active_parameters"),                    \
        X("flops", "FLOPs an image", 1e-6, -1, 2, "flops_spent")
enum { APP_FIGURES_OWN = 26, APP_FIGURES_MAX = APP_FIGURES_OWN + ATTACK_BUDGETS_MAX };

/* ---- the table (table.c) ------------------------------------------------------------- */

typedef struct app_table {
    const app_compare *compare;
    app_figure figure[APP_FIGURES_MAX];
    size_t figures, first_budget; /* first_budget: behind those of every comparison */
    double *value;                /* [runs, figures], NaN: unknown */
    measure_mean *spread;         /* [entries, figures] */
    double *run_error;         /* [runs, 15] mean error under a corruption, NaN: unknown */
    double *kind_error;        /* [entries, 15] its mean over seeds */
    size_t *order;             /* [entries] by clean accuracy, best first, unknown last */
    train_lines *train, *eval; /* [runs] of finished trainings */
    double *step_ms, *step_ratio; /* [entries] medians, NaN: not timed */
    size_t baseline;              /* what the others are held against */
    size_t softmax;               /* of mCE; SIZE_MAX: not among them */
    json_t *timing;               /* as timing.json; NULL: none */
    app_pool pool;                /* of all that */
} app_table;

/* *timing (NULL: none) is borrowed. --baseline LABEL, else ssr, else the first. */
base_status app_table_create(app_table *out, const app_compare *compare, json_t *timing,
                             base_error *err);
void app_table_destroy(app_table *table); /* zeroed is fine */
/* The place of a figure by its key; figures: there is none. */
size_t app_table_figure(const app_table *table, const char *key);
/* entry against other. */
measure_difference app_table_difference(const app_table *table, size_t entry, size_t other,
                                        size_t figure);
/* The entry that --baseline means; BASE_USAGE for a label that is none. */
base_status app_table_baseline(size_t *out, const app_compare *compare, base_error *err);
double app_table_value(const app_table *table, size_t run, size_t figure);
const measure_mean *app_table_spread(const app_table *table, size_t entry, size_t figure);
/* An entry's settings as "p=0.01 noise=0", "" without. */
const char *app_entry_settings(const train_variant *entry);

/* ---- verdicts (verdict.c) ------------------------------------------------------------ */

/* As measure_difference_word, and "one measurement" of a figure that seeds do not
 * repeat. */
const char *app_verdict_word(const measure_difference *d, const app_figure *figure);
/* As measure_difference_interval, NaN of such a figure. */
void app_verdict_interval(double *low, double *high, const measure_difference *d,
                          const app_figure *figure);
/* As measure_leaders, lead [entries]; nobody leads at a figure that has no better side. */
size_t app_table_leaders(bool *lead, const app_table *table, size_t figure);
/* Each figure against the baseline, and who leads: objects with "figure", "title",
 * "baseline", "better", "worse", "tied", "unknown", "leaders" (labels) and "text", a
 * sentence. NULL: no memory. */
json_t *app_verdicts_json(const app_table *table);
/* The sentence of one figure; NULL: it has none. */
const char *app_verdict_text(const app_table *table, size_t figure);

/* ---- steps (steps.c) ----------------------------------------------------------------- */

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

json_t *app_compare_json(const app_table *table); /* all of it (docs/compare.md) */
/* Of it: the table, the page, runs.csv ("entries[].runs[]"), summary.csv ("entries[]"). */
extern const show_view app_compare_view;

#endif
