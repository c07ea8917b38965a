/* agreement_internal.h - whether the tokens of a changed picture go where those of the clean one went
 * (routing.md 12, routing agreement).
 *
 *     app_trace clean;
 *     app_trace_create(&clean, layers, tokens, experts, &err);
 *     vit_run_forward(run, logits, clean_images, ...);   app_trace_take(&clean, run);
 *     vit_run_forward(run, logits, changed_images, ...);
 *     app_trace_compare(agreement, &clean, run, image, flipped);   once an image
 *     app_trace_destroy(&clean);
 */
#ifndef APPS_AGREEMENT_INTERNAL_H
#define APPS_AGREEMENT_INTERNAL_H

#include "vit/vit.h"

/* Sums over tokens of one MoE layer; [0]: of images whose answer stayed, [1]: whose answer changed. */
typedef struct app_agreement {
    double tokens[2];
    double overlap[2]; /* |S and S'| / |S or S'| of kept experts, 0 when both are empty */
    double first[2];   /* the same first kept expert, or none on both sides */
    double moved[2];   /* total variation of the router's probabilities, 0..1 */
} app_agreement;

/* Means over tokens, 0..1; NaN without tokens. */
typedef struct app_agreement_means {
    double overlap, first, moved;
} app_agreement_means;
app_agreement_means app_agreement_of(const app_agreement *a, int which); /* 0, 1 */
app_agreement_means app_agreement_all(const app_agreement *a);
/* Adds the sums of b. */
void app_agreement_join(app_agreement *a, const app_agreement *b);

/* Where the tokens of one pass went. */
typedef struct app_trace {
    size_t layers, tokens, experts; /* tokens: room */
    uint64_t *mask;                 /* [layers, tokens, 4] kept experts as bits */
    int16_t *first;                 /* [layers, tokens], -1: none */
    double *probs;                  /* [layers, tokens, experts] */
} app_trace;

base_status app_trace_create(app_trace *trace, size_t layers, size_t tokens, size_t experts,
                             base_error *err);
void app_trace_destroy(app_trace *trace); /* zeroed is fine */
/* The last pass of run, at most `tokens` tokens. */
void app_trace_take(app_trace *trace, const vit_run *run);
/* One image of the last pass of run against the trace, into agreement [layers]. */
void app_trace_compare(app_agreement *agreement, const app_trace *trace, const vit_run *run,
                       size_t image, bool flipped);

#endif
