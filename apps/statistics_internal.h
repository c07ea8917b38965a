/* statistics_internal.h - what the analyses of experts count and fit (routing.md 11 and 12): tables of
 * classes by experts, linear probes, embeddings in the plane. Numbers in, numbers out: nothing here
 * knows networks or files.
 *
 *     app_table_stats s = app_table_measure(table, classes, experts);
 *     app_table_chance(&chance, counts, labels, items, classes, experts, seed, &err);
 *     printf("MI %.4f nats above chance\n", s.mutual - chance.mutual);
 *     app_probe_fit(&probe, x, labels, held_out, n, width, classes, APP_PROBE_L2, &err);
 *     app_pca(plane, variance, &total, x, n, width, 2, &err);
 *     app_tsne(plane, NULL, x, n, width, &(app_tsne_options){.perplexity = 30}, &err);
 *
 * Threads are OpenMP's; no result depends on their number. */
#ifndef APPS_STATISTICS_INTERNAL_H
#define APPS_STATISTICS_INTERNAL_H

#include "base/base.h"

/* ---- classes by experts (contingency.c) -------------------------------------------------- */

enum { APP_TABLE_SHUFFLES = 20 }; /* permutations of the labels, routing.md 12 */

/* Of a table n_ye; entropies in nats, 0 log 0 = 0; all 0 for an empty table. */
typedef struct app_table_stats {
    double total;
    double mutual;        /* MI(class; expert) */
    double normalised;    /* MI / sqrt(H(class) H(expert)); 0 if an entropy is 0 */
    double class_entropy; /* H(class) */
    double expert_entropy;
    double expert_given_class; /* H(expert | class) = H(expert) - MI */
    double class_given_expert;
    double purity; /* sum over experts of their largest class / total, 0..1 */
} app_table_stats;

/* table [classes, experts]. Cannot fail. */
app_table_stats app_table_measure(const uint64_t *table, size_t classes, size_t experts);
/* What a table of these items shows where there is nothing to see: means over APP_TABLE_SHUFFLES
 * permutations of the labels over the items. counts [items, experts] of each item (an image keeps its
 * tokens together), labels [items] in 0..classes - 1. */
base_status app_table_chance(app_table_stats *mean, const uint32_t *counts,
                             const int32_t *labels, size_t items, size_t classes,
                             size_t experts, uint64_t seed, base_error *err);

/* ---- linear probes (probe.c) --------------------------------------------------------------- */

#define APP_PROBE_L2 1e-3 /* routing.md 11 */

typedef struct app_probe {
    double train, test; /* accuracies 0..1; NaN for an empty half */
    double chance;      /* of always giving the most frequent label of training, on test */
    size_t train_count, test_count;
    double loss; /* objective reached, nats */
    int iterations;
    bool converged; /* else the limit of iterations came first */
} app_probe;

/* Multinomial logistic regression with bias: minimises the mean cross-entropy + l2 / 2 * |weights|^2 on the
 * rows of x [n, width] that are not held_out [n], after every column was scaled to mean 0 and variance
 * 1 there; both halves are then classified. Rows with a label < 0 are left out; labels below classes.
 * L-BFGS from 0 (Liu and Nocedal 1989), deterministic. Fails for want of memory only. */
base_status app_probe_fit(app_probe *out, const float *x, const int32_t *labels,
                          const bool *held_out, size_t n, size_t width, size_t classes,
                          double l2, base_error *err);

/* ---- embeddings (pca.c, tsne.c) ------------------------------------------------------------- */

/* The `axes` principal components of x [n, width]: out [n, axes] are the centred rows on them, the largest
 * variance first, variance [axes] (of the population) theirs and *total that of all columns; either may
 * be NULL. The sign is such that the largest weight of an axis is positive. axes <= width. */
base_status app_pca(float *out, double *variance, double *total, const float *x, size_t n,
                    size_t width, size_t axes, base_error *err);

typedef struct app_tsne_options {
    double perplexity; /* 0: 30; lowered to (n - 1) / 3 */
    int iterations;    /* 0: 750 */
} app_tsne_options;
/* t-SNE of x [n, width] in the plane: out [n, 2]; *divergence (NULL: not wanted) is the Kullback-Leibler
 * divergence reached. Exact: n^2 floats and n^2 steps an iteration, for some thousand points. */
base_status app_tsne(float *out, double *divergence, const float *x, size_t n, size_t width,
                     const app_tsne_options *options, base_error *err);

#endif
