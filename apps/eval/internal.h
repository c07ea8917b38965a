/* internal.h - what an evaluation knows when it is over, for its table, JSON and
 * page. */
#ifndef APPS_EVAL_INTERNAL_H
#define APPS_EVAL_INTERNAL_H

#include "apps/eval/capacity_internal.h"
#include "apps/network_internal.h"
#include "apps/eval/robust_internal.h"
#include "measure/measure.h"
#include "apps/eval/subset_internal.h"

enum { APP_EXAMPLES = 12, APP_EXAMPLE_TOP = 3, APP_NAME_BYTES = 128 };

/* What is evaluated, and how. */
typedef struct app_eval_args {
    app_common common;
    app_view view;
    const char *data;
    const char *html;
    const char *ood;
    const char *capacity; /* a number, or a list of them; NULL: the checkpoint's */
    int bad_samples;      /* index into "fail|skip" */
    const char *bad_list;
    bool strict;
    app_robust_args robust;
    const char *what; /* no option: first word of the progress line; NULL: eval */
} app_eval_args;

/* One image that the page shows. */
typedef struct app_example {
    data_image picture; /* as the network saw it */
    size_t sample;
    int32_t label;
    size_t top[APP_EXAMPLE_TOP];
    double probability[APP_EXAMPLE_TOP];
    size_t top_count;
} app_example;

typedef struct app_evaluation {
    app_network network;
    data_source *source;
    const char *data; /* as the user wrote it */
    measure_score score;
    size_t blocks[VIT_DEPTH_MAX]; /* numbers of the MoE blocks */
    size_t moe_count;
    vit_load load[VIT_DEPTH_MAX]; /* by MoE layer, over all batches */
    double batch_cv[VIT_DEPTH_MAX], batch_violation[VIT_DEPTH_MAX]; /* sums over batches */
    measure_usage usage[VIT_DEPTH_MAX];
    uint64_t batches;
    app_example wrong[APP_EXAMPLES]; /* the surest mistakes, surest first */
    app_example right[APP_EXAMPLES]; /* spread over the set */
    size_t wrong_count, right_count;
    uint64_t planned; /* images */
    data_counts counts;
    double seconds;         /* all: reading, preparing, network */
    double network_seconds; /* in forward passes */
    bool interrupted;
    app_robust *robust; /* corruptions; NULL: none asked for */
    app_capacity sweep; /* of capacities; no points: none asked for */
    app_subset subset;  /* among the classes present; ImageNet-O */
} app_evaluation;

/* Network, data and counters; e must be zeroed. model: a checkpoint or a run's folder. args->capacity goes into
 * args->view. On failure app_eval_close still has to be called (eval.c). */
base_status app_eval_open(app_evaluation *e, const char *model, app_eval_args *args,
                          base_error *err);
/* The pass over the data. Stops early, with what there is, when the user asks to: e->interrupted. */
base_status app_eval_run(app_evaluation *e, const app_eval_args *args, base_error *err);
void app_eval_close(app_evaluation *e);
/* Images through the network, corrupted ones included, a second (eval_report.c). */
double app_eval_rate(const app_evaluation *e);
/* The table on stdout (eval_report.c). */
void app_eval_print(const app_evaluation *e);
/* All results; NULL: no memory. The schema is in docs/json.md. */
json_t *app_eval_json(const app_evaluation *e, const app_common *common);
/* One page (eval_page.c). */
base_status app_eval_page(const app_evaluation *e, const char *path, base_error *err);

#endif
