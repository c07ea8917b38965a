/* measure.h - what comes out of a network as numbers that can be believed: scores with
 * their intervals, differences and tests, which experts serve which classes, where tokens
 * go when an image changes, accuracy under corruption, and a network as what attacks work
 * on.
 *
 *     #include <stdio.h>
 *
 *     #include "measure/measure.h"
 *     #include "train/train.h"
 *
 *     // MODEL DATA: accuracy under fog of severity 3, as vmoe eval has it
 *     int main(int argc, char **argv)
 *     {
 *         enum { BATCH = 64, SEVERITY = 3 };
 *         base_error err = {0};
 *         char *path = NULL, name[4096];
 *         float table[3 * 256];
 *         vit_model *model = NULL;
 *         vit_run *run = NULL;
 *         data_source *source = NULL;
 *         data_loader *loader = NULL;
 *         data_loader_config feed = data_loader_defaults();
 *         data_batch batch = {0};
 *         data_image image = {0};
 *         corrupt_config fog = corrupt_config_defaults();
 *         corrupt_crew crew = {0};
 *         measure_score score = {0};
 *
 *         if (argc != 3 || train_model_path(&path, argv[1], &err) != BASE_OK ||
 *             vit_model_load(&model, path, NULL, &err) != BASE_OK ||
 *             data_source_open(&source, argv[2], NULL, &err) != BASE_OK)
 *             return fprintf(stderr, "fog MODEL DATA: %s\n", err.text), 1;
 *         const vit_config *c = vit_model_config(model);
 *         const size_t side = c->image, channels = c->channels, classes = c->classes;
 *         const size_t floats = channels * side * side;
 *         float *inputs = base_alloc(BATCH, floats * sizeof *inputs);
 *         float *logits = base_alloc(BATCH, classes * sizeof *logits);
 *
 *         train_loader_feed(&feed, c);
 *         feed.batch = BATCH;
 *         feed.channels = 3; // a corruption wants colour
 *         feed.bytes = true;
 *         fog.preset = corrupt_preset_of_size(side, side);
 *         data_normalise_table(table, c->mean, c->std, channels);
 *         base_status status = data_loader_create(&loader, source, &feed, &err);
 *         if (status == BASE_OK)
 *             status = vit_run_create(&run, model, BATCH, VIT_MODE_INFER, VIT_PRECISION_FP32,
 *                                     &err);
 *         if (status == BASE_OK)
 *             status = corrupt_crew_open(&crew, &fog, 1, &err);
 *         if (status == BASE_OK)
 *             status = measure_score_create(&score, classes, &err);
 *         while (status == BASE_OK) {
 *             status = data_loader_next(loader, &batch, &err);
 *             if (status != BASE_OK || batch.count == 0)
 *                 break;
 *             for (size_t i = 0; i < batch.count && status == BASE_OK; i++) {
 *                 const unsigned char *clean = batch.bytes + i * side * side * 3;
 *                 data_source_relative_name(source, batch.samples[i], name, sizeof name);
 *                 status = data_image_reserve(&image, side, side, 3, &err);
 *                 if (status == BASE_OK)
 *                     status = corrupt_apply(crew.worker[0], image.pixels, clean, side, side,
 *                                            CORRUPT_KIND_FOG, SEVERITY,
 *                                            corrupt_name_key(name), &err);
 *                 if (status == BASE_OK)
 *                     status = data_image_convert(&image, channels, &err);
 *                 if (status == BASE_OK)
 *                     data_normalise(inputs + i * floats, &image, table);
 *             }
 *             if (status == BASE_OK)
 *                 status = vit_run_forward(run, logits, inputs, batch.count, &(vit_step){0},
 *                                          &err);
 *             for (size_t i = 0; i < batch.count && status == BASE_OK; i++) {
 *                 const measure_verdict v =
 *                     measure_verdict_make(logits + i * classes, classes, batch.labels[i]);
 *                 measure_score_add(&score, batch.labels[i], v.finite ? &v : NULL);
 *             }
 *         }
 *         if (status != BASE_OK)
 *             return fprintf(stderr, "fog: %s\n", err.text), 1;
 *         double low, high;
 *         measure_interval(&low, &high, score.top1, score.samples);
 *         printf("top-1 %.2f %%, 95 %% interval %.2f to %.2f\n",
 *                100 * measure_score_top1(&score), 100 * low, 100 * high);
 *         return 0; // everything has a _destroy or _close; the end of the program does it
 *     }
 *
 * Numbers in, numbers out: nothing here reads files, prints or knows where images come
 * from. Sums run in the order of the calls, in double: no result depends on batches or
 * threads. Threads are OpenMP's. Fractions are 0..1, losses and entropies nats. One thread
 * at a time on one object. */
#ifndef MEASURE_MEASURE_H
#define MEASURE_MEASURE_H

#include "attacks/attacks.h"
#include "base/base.h"
#include "corrupt/corrupt.h"
#include "vit/vit.h"

/* ---- counting how right a classifier is (score.c) ------------------------------------ */

/* Index of the largest of row [count], the first of equals; count >= 1. */
size_t measure_arg_max(const float *row, size_t count);

enum {
    MEASURE_SCORE_BINS = 15, /* of equal width (Guo et al. 2017, section 2) */
    MEASURE_SCORE_CONFUSION_MAX =
        2048, /* classes up to which the whole table is kept: 32 MiB */
    MEASURE_SCORE_TOP = 5
};

/* What the logits of one image say. */
typedef struct measure_verdict {
    bool finite;       /* false: a logit is NaN or infinite, and nothing else is set */
    size_t predicted;  /* largest logit, the first of equal ones */
    double confidence; /* its softmax probability */
    size_t rank;       /* place of the label, 0: first; equal logits by class number */
    double loss;       /* softmax cross-entropy, nats */
} measure_verdict;

/* logits [classes]; label 0..classes - 1, or -1 when unknown (rank and loss are 0 then).
 * In double. Cannot fail. */
measure_verdict measure_verdict_make(const float *logits, size_t classes, int32_t label);
/* The `count` most probable classes, best first, with their softmax probabilities; count
 * <= classes. */
void measure_verdict_top(size_t *classes_out, double *probabilities, size_t count,
                         const float *logits, size_t classes);

typedef struct measure_score {
    size_t classes;
    uint64_t samples; /* all, unusable ones included: those count as wrong */
    uint64_t bad;
    uint64_t top1, top5;
    double loss; /* sum over usable samples */
    uint64_t bin_total[MEASURE_SCORE_BINS], bin_right[MEASURE_SCORE_BINS];
    double bin_confidence[MEASURE_SCORE_BINS]; /* sums */
    uint64_t *class_total, *class_right;       /* [classes] by label */
    uint64_t *predicted;                       /* [classes] how often it was the answer */
    uint64_t *confusion; /* [classes, classes] label by answer; NULL when too large */
} measure_score;

base_status measure_score_create(measure_score *score, size_t classes, base_error *err);
/* The same without the table of confusion: some kilobytes for a thousand classes. */
base_status measure_score_create_small(measure_score *score, size_t classes,
                                       base_error *err);
void measure_score_destroy(measure_score *score);
/* verdict NULL: the sample could not be used. label 0..classes - 1, without a verdict also
 * -1: unknown. */
void measure_score_add(measure_score *score, int32_t label, const measure_verdict *verdict);
/* Fractions 0..1 of all samples; 0 without samples. */
double measure_score_top1(const measure_score *score);
double measure_score_top5(const measure_score *score);
/* Mean over usable samples, nats; NaN without any. */
double measure_score_loss(const measure_score *score);
/* Expected calibration error 0..1: sum over bins of |right - confidence| / usable samples;
 * NaN without any. */
double measure_score_ece(const measure_score *score);

/* Two classes that are taken for one another. */
typedef struct measure_confused {
    size_t label, answer;
    uint64_t count;
} measure_confused;
/* The most frequent mistakes, most frequent first; how many there are, at most room. */
size_t measure_score_confused(measure_confused *out, size_t room,
                              const measure_score *score);

/* Of logits [classes] and some of their classes: how many of these stand before label
 * (equal logits by number), and the largest softmax probability over these alone. */
size_t measure_rank_among(const float *logits, const bool *among, size_t classes,
                          size_t label);
double measure_confidence_among(const float *logits, const bool *among, size_t classes);

/* ---- intervals, differences, tests (interval.c) -------------------------------------- */

/* 95 % interval of a fraction right / samples (Wilson 1927): low, high in 0..1. samples
 * >= 1. */
void measure_interval(double *low, double *high, uint64_t right, uint64_t samples);

/* Over the seeds that have a value. */
typedef struct measure_mean {
    size_t count;
    double mean; /* NaN: no value */
    double std;  /* of one run, n - 1; NaN: fewer than two values */
} measure_mean;
/* Rising. */
void measure_sort(double *values, size_t count);
/* Between the two sorted values about a place 0..1; count >= 1. */
double measure_quantile(const double *sorted, size_t count, double place);
/* NaN among values are left out. */
measure_mean measure_mean_of(const double *values, size_t count);

/* Two entries on one figure: differences by seed, because a seed's data order and first
 * weights are the same for all routers and much of the spread over seeds with them. */
typedef struct measure_difference {
    size_t count;   /* seeds that both have */
    double points;  /* mean of value - value of the other; NaN: unknown */
    double spread;  /* standard deviation of these differences, n - 1; NaN: unknown */
    double spreads; /* points / spread */
    /* Spreads beyond which it is hardly chance: two-sided paired t test at 95 %. */
    double limit;
    bool clear; /* beyond it */
} measure_difference;
/* a, b [count] by seed, NaN: unknown. */
measure_difference measure_difference_of(const double *a, const double *b, size_t count);
/* "better" or "worse" (better 1: more is better, -1: less), "more" or "less" (0), where the
 * test is clear or the values differ without any spread; "not to be told apart"; NULL:
 * fewer than two seeds, or unknown. */
const char *measure_difference_word(const measure_difference *d, int better);
/* The 95 % interval of the mean difference; NaN: unknown. */
void measure_difference_interval(double *low, double *high, const measure_difference *d);
/* Who is not clearly worse than the row of the best mean: lead [rows]; better: 1 or -1. The
 * s-th value of row r is values[(r * seeds + s) * step], NaN: unknown. Returns how many; 0:
 * nothing tells any of them from the best, nobody leads. */
size_t measure_leaders(bool *lead, const double *values, size_t step, size_t rows,
                       size_t seeds, int better);
/* Student's t that 97.5 % lie below, df >= 1 (2.7764 at 4). */
double measure_t_limit(size_t df);

/* Two-sided exact test of b against c discordant pairs (McNemar 1947; binomial on b of b +
 * c with 1/2). */
double measure_exact_test(size_t b, size_t c);

/* How well a score tells positives from negatives. */
typedef struct measure_detection {
    double aupr;  /* average precision: sum of (R_n - R_n-1) P_n over the distinct scores */
    double auroc; /* ties count half */
    double
        fpr95; /* share of negatives taken for positives where recall is nearest to 95 % */
} measure_detection;

/* positive [p], negative [n], both at least 1 long, larger: more likely positive; both are
 * sorted. Equal scores share their place, as in scikit-learn. */
measure_detection measure_detection_of(double *positive, size_t p, double *negative,
                                       size_t n);

/* ---- classes by experts (contingency.c, usage.c) ------------------------------------- */

enum { MEASURE_SHUFFLES = 20 }; /* permutations of the labels, routing.md 12 */

/* Of a table n_ye; entropies in nats, 0 log 0 = 0; all 0 for an empty table. */
typedef struct measure_table {
    double total;
    double mutual;        /* MI(class; expert) */
    double normalised;    /* MI / sqrt(H(class) H(expert)); 0 if an entropy is 0 */
    double class_entropy; /* H(class) */
    double expert_entropy;
    double expert_given_class; /* H(expert | class) = H(expert) - MI */
    double class_given_expert;
    double purity; /* sum over experts of their largest class / total, 0..1 */
} measure_table;

/* table [classes, experts]. Cannot fail. */
measure_table measure_table_of(const uint64_t *table, size_t classes, size_t experts);
/* A class of an expert by lift P(expert | class) / P(expert). */
typedef struct measure_lift {
    size_t class;
    double lift;  /* 0: none */
    double share; /* of the class's assignments that go to the expert */
} measure_lift;
/* For each expert its `most` classes by lift, the largest first, equal ones by number: out
 * [experts, most]. Experts below 1 % of the mean load have none. */
void measure_lifts(measure_lift *out, size_t most, const uint64_t *table, size_t classes,
                   size_t experts);
/* What a table of these items shows where there is nothing to see: means over
 * MEASURE_SHUFFLES permutations of the labels over the items. counts [items, experts] of
 * each item (an image keeps its tokens together), labels [items] in 0..classes - 1. */
base_status measure_table_chance(measure_table *mean, const uint32_t *counts,
                                 const int32_t *labels, size_t items, size_t classes,
                                 size_t experts, uint64_t seed, base_error *err);

/* Which experts serve which classes, image by image. */
typedef struct measure_usage {
    size_t classes, experts;
    size_t images, room; /* seen, expected */
    uint64_t *table;     /* [classes, experts] kept assignments */
    uint32_t *counts; /* [room, experts] of each image; NULL when that would be too large */
    int32_t *labels;  /* [room] */
} measure_usage;

typedef struct measure_usage_metrics {
    measure_table found;  /* as counted */
    measure_table chance; /* of shuffled labels; all NaN: not kept image by image */
} measure_usage_metrics;

base_status measure_usage_create(measure_usage *usage, size_t images, size_t classes,
                                 size_t experts, base_error *err);
void measure_usage_destroy(measure_usage *usage); /* zeroed is fine */
/* An image with its label, 0..classes - 1: its kept assignments [experts]; those of all its
 * tokens in the pass. */
void measure_usage_count(measure_usage *usage, int32_t label, const uint32_t *counts);
void measure_usage_add(measure_usage *usage, int32_t label, const vit_routing *routing,
                       size_t image);
/* Of all that was added, and what MEASURE_SHUFFLES permutations of the images' labels show,
 * which is the bias of a table of so few. Without memory for that chance is NaN. */
measure_usage_metrics measure_usage_summary(const measure_usage *usage, uint64_t seed);

/* ---- linear probes (probe.c) ------------------------------------------ */

#define MEASURE_PROBE_L2 1e-3 /* routing.md 11 */

typedef struct measure_probe {
    double train, test; /* accuracies 0..1; NaN for an empty half */
    double
        chance; /* of always giving the most frequent label of test; at least 1 / classes */
    size_t train_count, test_count;
    double loss; /* objective reached, nats */
    int iterations;
    bool converged; /* else the limit of iterations came first */
} measure_probe;

/* Multinomial logistic regression with bias: minimises the mean cross-entropy + l2 / 2 *
 * |weights|^2 on the rows of x [n, width] that are not held_out [n], after every column was
 * scaled to mean 0 and variance 1 there; both halves are then classified. Rows with a label
 * < 0 are left out; labels below classes. L-BFGS from 0 (Liu and Nocedal 1989),
 * deterministic. Fails for want of memory only. */
base_status measure_probe_fit(measure_probe *out, const float *x, const int32_t *labels,
                              const bool *held_out, size_t n, size_t width, size_t classes,
                              double l2, base_error *err);

/* ---- embeddings (pca.c, tsne.c) ------------------------------------------ */

/* The `axes` principal components of x [n, width]: out [n, axes] are the centred rows on
 * them, the largest variance first, variance [axes] (of the population) theirs and *total
 * that of all columns; either may be NULL. The sign is such that the largest weight of an
 * axis is positive. axes <= width. */
base_status measure_pca(float *out, double *variance, double *total, const float *x,
                        size_t n, size_t width, size_t axes, base_error *err);

typedef struct measure_tsne_options {
    double perplexity; /* 0: 30; lowered to (n - 1) / 3 */
    int iterations;    /* 0: 750 */
} measure_tsne_options;
/* t-SNE of x [n, width] in the plane: out [n, 2]; *divergence (NULL: not wanted) is the
 * Kullback-Leibler divergence reached. Exact: n^2 floats and n^2 steps an iteration, for
 * some thousand points. */
base_status measure_tsne(float *out, double *divergence, const float *x, size_t n,
                         size_t width, const measure_tsne_options *options,
                         base_error *err);

/* ---- what routers see of some tokens (tokens.c) -------------------------------------- */

enum { MEASURE_HELD_OUT = 4 }; /* one image in so many is for testing probes */

/* Patches of a set of images, spread evenly over it, the same ones for all MoE layers.
 * Which they are and whether they are held out depends on the seed and the images' numbers
 * alone. */
typedef struct measure_tokens {
    size_t layers, width, patches; /* MoE layers, channels; patches of an image */
    size_t first;                  /* token of patch 0 */
    size_t images, seen;           /* of the set; so far */
    size_t count, room;
    uint64_t seed;
    uint32_t *sample, *patch; /* [room] number of the image, place in it */
    int32_t *label;           /* [room] the image's */
    bool *right, *held;       /* [room] the image was answered rightly; is held out */
    float *x;                 /* [layers, room, width] what the router saw */
    int32_t *expert;          /* [layers, room] first choice, -1: none */
    uint32_t *order;          /* [patches] scratch */
} measure_tokens;

/* At most `room` tokens of `images` images that go through a sparse network of this config.
 * On failure *out is untouched; ends in destroy. */
base_status measure_tokens_create(measure_tokens *out, const vit_config *config,
                                  size_t images, size_t room, uint64_t seed,
                                  base_error *err);
void measure_tokens_destroy(measure_tokens *tokens); /* zeroed is fine */
/* The next image of the set, the image-th of the last pass of run, which must be of
 * VIT_MODE_INPUT_GRADIENT or VIT_MODE_TRAIN; sample is its number. */
void measure_tokens_add(measure_tokens *tokens, const vit_run *run, size_t image,
                        uint32_t sample, int32_t label, bool right);

/* What the tokens of one MoE layer tell. */
typedef struct measure_tokens_layer {
    measure_probe of_expert, of_label; /* from x to the first choice; to the label */
    float *pca, *tsne;                 /* [points, 2] of points of the tokens, evenly */
    double variance[2], total;         /* of PCA's axes, of all */
    double divergence;                 /* that t-SNE reached */
} measure_tokens_layer;
/* Which token the i-th of so many points is. points <= tokens->count. */
size_t measure_tokens_point(const measure_tokens *tokens, size_t i, size_t points);
/* out ends in destroy in any case. Fails for want of memory only. */
base_status measure_tokens_layer_make(measure_tokens_layer *out,
                                      const measure_tokens *tokens, size_t layer,
                                      size_t points, size_t experts, size_t classes,
                                      base_error *err);
void measure_tokens_layer_destroy(measure_tokens_layer *layer); /* zeroed is fine */

/* ---- where the tokens of a pass went (agreement.c, shift.c) -------------------------- */

enum { MEASURE_MASK_WORDS = VIT_EXPERTS_MAX / 64 };

/* Where the tokens of one pass went. */
typedef struct measure_trace {
    size_t layers, tokens, experts; /* tokens: room */
    size_t tokens_per_image;        /* of the pass */
    uint64_t *mask; /* [layers, tokens, MEASURE_MASK_WORDS] kept experts as bits */
    int16_t *first; /* [layers, tokens], -1: none */
    double *probs;  /* [layers, tokens, experts] */
} measure_trace;

base_status measure_trace_create(measure_trace *trace, size_t layers, size_t tokens,
                                 size_t experts, base_error *err);
void measure_trace_destroy(measure_trace *trace); /* zeroed is fine */
/* The last pass of run, at most `tokens` tokens. */
void measure_trace_take(measure_trace *trace, const vit_run *run);
/* Whether a token of a layer has the same kept experts in two passes. */
bool measure_trace_same(const measure_trace *a, const measure_trace *b, size_t layer,
                        size_t token);

/* Sums over tokens of one MoE layer; [0]: of images whose answer stayed, [1]: whose answer
 * changed. */
typedef struct measure_agreement {
    double tokens[2];
    double overlap[2]; /* |S and S'| / |S or S'| of kept experts, 0 when both are empty */
    double first[2];   /* the same first kept expert, or none on both sides */
    double moved[2];   /* total variation of the router's probabilities, 0..1 */
} measure_agreement;

/* Means over tokens, 0..1; NaN without tokens. */
typedef struct measure_agreement_means {
    double overlap, first, moved;
} measure_agreement_means;
measure_agreement_means measure_agreement_of(const measure_agreement *a,
                                             int which); /* 0, 1 */
measure_agreement_means measure_agreement_all(const measure_agreement *a);
/* Adds the sums of b. */
void measure_agreement_join(measure_agreement *a, const measure_agreement *b);
/* One image of the last pass of run against the trace, into agreement [layers]. */
void measure_trace_compare(measure_agreement *agreement, const measure_trace *trace,
                           const vit_run *run, size_t image, bool flipped);

/* Sums over the tokens of one MoE layer of pairs of images, clean and changed. */
typedef struct measure_shift {
    double tokens, changed, top1_changed, iou, empty; /* empty: no expert in either */
    double gate_l1, js;                               /* of the full router softmax */
    double entropy[2]; /* sum of row entropies: clean, changed */
    double assigned[2], dropped[2];
    double usage[2][VIT_EXPERTS_MAX]; /* kept assignments */
    double left[VIT_EXPERTS_MAX];     /* tokens that an expert had and has no more */
} measure_shift;

/* One image of two passes, clean and changed, into shift [layers] and, unless NULL, also
 * into part [layers]; 1 - its mean IoU, NaN when no token has an expert in either. */
double measure_shift_add(measure_shift *shift, measure_shift *part,
                         const measure_trace *clean, const measure_trace *other,
                         size_t image);
/* Assignments made and dropped for one image of the last pass of run; which: 0 clean, 1
 * changed. */
void measure_shift_assigned(measure_shift *shift, int which, const vit_run *run,
                            size_t image);

/* Jensen-Shannon divergence of two distributions [n], nats. */
double measure_divergence(const double *p, const double *q, size_t n);

/* ---- accuracy under corruption (cells.c) ------------------------------------------ */

/* One corruption at one severity. */
typedef struct measure_cell {
    corrupt_pair pair;
    size_t layers;                /* MoE layers */
    measure_score score;          /* without confusion */
    uint64_t compared;            /* images that were seen clean, too */
    uint64_t flipped;             /* of these: another answer than on the clean image */
    vit_usage *load;              /* [layers] */
    measure_agreement *agreement; /* [layers]; no tokens where nothing was compared */
} measure_cell;

base_status measure_cell_create(measure_cell *cell, corrupt_pair pair, size_t classes,
                                size_t layers, base_error *err);
void measure_cell_destroy(measure_cell *cell); /* zeroed is fine */
/* The load of the last pass of run, whose images are corrupted; without those that are bad
 * (NULL: none is). */
void measure_cell_pass(measure_cell *cell, const vit_run *run, const bool *bad);
/* One image of that pass against its clean self; flipped: it is answered otherwise. clean:
 * the pass over the clean images; not looked at without MoE layers. */
void measure_cell_compare(measure_cell *cell, bool flipped, const measure_trace *clean,
                          const vit_run *run, size_t image);
/* Top-1 errors for corrupt_mce and the like, NaN where there is no image; clean: of the
 * same images. */
void measure_cell_errors(corrupt_errors *out, const measure_cell *cells, size_t count,
                         const measure_score *clean);
/* Mean top-1 error over the cells that have images; NaN: none has. */
double measure_cell_error(const measure_cell *cells, size_t count);
/* Sums over the severities of a kind, of one MoE layer. */
measure_agreement measure_cell_agreement(const measure_cell *cells, size_t count,
                                         corrupt_kind kind, size_t layer);

/* Means over a kind's severities that have images. */
typedef struct measure_cell_means {
    bool measured;        /* false: there is none, and the rest is NaN */
    double ece, flipped;  /* fractions 0..1; flipped: of the compared images */
    double cv, violation; /* of the load, over layers and severities; NaN: dense */
    measure_agreement_means routing; /* over all their tokens */
} measure_cell_means;
measure_cell_means measure_cell_means_of(const measure_cell *cells, size_t count,
                                         corrupt_kind kind);

/* ---- accuracy beside what was computed (compute.c) ----------------------------------- */

enum { MEASURE_COMPUTE_LEVELS = 7 };

/* Scores of a network with experts, and kept assignments. One at a time on one object. */
typedef struct measure_compute {
    measure_score score;
    vit_usage load[VIT_DEPTH_MAX]; /* by MoE layer */
    uint32_t *kept; /* [room] kept assignments of each usable image, all MoE layers */
    size_t images, room;
    uint64_t
        tokens[VIT_EXPERTS_MAX + 1]; /* by the number of their kept experts, all layers */
} measure_compute;

/* room: images that are counted. On failure *out is untouched; ends in destroy. */
base_status measure_compute_create(measure_compute *out, size_t room, size_t classes,
                                   base_error *err);
void measure_compute_destroy(measure_compute *compute); /* zeroed is fine */
/* The pass that run has just made, bad as above; then each of its images, 0..: verdict
 * NULL: it could not be used. */
void measure_compute_pass(measure_compute *compute, const vit_run *run, const bool *bad);
void measure_compute_add(measure_compute *compute, const vit_run *run, size_t image,
                         int32_t label, const measure_verdict *verdict);

typedef struct measure_compute_means {
    double kept; /* assignments of an image, mean */
    /* 0, 5, 25, 50, 75, 95 and 100 of a hundred images keep so many or fewer */
    uint64_t level[MEASURE_COMPUTE_LEVELS];
    double dropped, no_expert;          /* share of the assignments; of the tokens */
    size_t most_experts;                /* of a token */
    double tokens[VIT_EXPERTS_MAX + 1]; /* shares by number of experts, to most_experts */
} measure_compute_means;
/* Sorts the counts of images. */
measure_compute_means measure_compute_summary(measure_compute *compute);

/* ---- accuracy against compute: a sweep of capacities (capacity.c) -----------------------
 * One network under several capacities of its experts, as Riquelme et al. 2021, "Scaling
 * Vision with Sparse Mixture of Experts", section 4, has it. What an image is answered
 * depends on the images beside it once experts are full: batches should come in a shuffled
 * order, and the batch is the group, unless the network routes smaller ones.
 *
 *     measure_capacity sweep;
 *     const double factors[] = {4, 2, 1, 0.5};
 *     measure_capacity_open(&sweep, model, factors, 4, false, images, batch, precision, &err);
 *     vit_run_forward(run, logits, ...);                 without limits: point 0
 *     for (size_t i = 0; i < sweep.points; i++)
 *         measure_capacity_pass(&sweep, i, run, logits, inputs, labels, bad, count, &err);
 *     measure_capacity_end(&sweep, run, &err);           after each batch
 *     measure_capacity_close(&sweep); */

/* One setting and what came of it. */
typedef struct measure_capacity_point {
    double capacity; /* factor; 0: as the network is without limits */
    bool bpr;
    vit_run *own; /* of routers that have a budget of their own; else NULL */
    measure_compute spent;
} measure_capacity_point;

typedef struct measure_capacity {
    vit_model *model;
    /* Of the router, that stands for the capacity (F k of it); NULL: the capacity. */
    const char *option;
    size_t batch;                  /* images */
    measure_capacity_point *point; /* [points] the one without limits first */
    size_t points;
} measure_capacity;

/* factors [count] above 0; bpr: each of them also in the order of the largest gate.
 * BASE_USAGE for a dense network, or bpr where nothing is dropped. model is borrowed, and
 * changed only while this works. On failure measure_capacity_close still has to be
 * called. */
base_status measure_capacity_open(measure_capacity *out, vit_model *model,
                                  const double *factors, size_t count, bool bpr,
                                  size_t images, size_t batch, vit_precision precision,
                                  base_error *err);
void measure_capacity_close(measure_capacity *sweep); /* zeroed is fine */
/* Point i on a batch: images [count, C, S, S], labels and bad (not usable) [count]. Point 0
 * is the pass without limits that run has just made, with these logits [count, K]; the
 * others make theirs, which overwrite logits. BASE_NUMERIC: logits are not finite. */
base_status measure_capacity_pass(measure_capacity *sweep, size_t i, vit_run *run,
                                  float *logits, const float *images, const int32_t *labels,
                                  const bool *bad, size_t count, base_error *err);
/* run is without limits again. */
base_status measure_capacity_end(const measure_capacity *sweep, vit_run *run,
                                 base_error *err);

/* ---- what a change of a network changes (answers.c) ---------------------------------- */

/* Of its answers to pictures of noise. */
typedef struct measure_answers {
    size_t images, other; /* seen; with another class on top */
    double largest;       /* change of a logit */
    double deviation;     /* of the logits before, over all of them */
} measure_answers;

/* The same seeded pictures through both networks, which take the same input and have the
 * same classes. BASE_NUMERIC: logits that are not finite. */
base_status measure_answers_compare(measure_answers *out, const vit_model *before,
                                    const vit_model *after, uint64_t seed, base_error *err);

/* ---- a network as what attacks work on (target.c, route.c) --------------------------- */

typedef struct measure_target measure_target;

/* Runs for up to batch images. precision judges; gradients are in fp32; model is
 * borrowed. */
base_status measure_target_create(measure_target **out, const vit_model *model,
                                  size_t batch, vit_precision precision, base_error *err);
void measure_target_destroy(measure_target *target);
/* From now on images are the network's own normalised numbers z, as 0.5 + z / unit: for
 * protocols that attack z itself, without the pixels' limits. A step of 1 is one of `unit`
 * in z; unit > 0, 8 leaves room for |z| < 4. Before anything else is asked of the
 * target. */
void measure_target_normalised(measure_target *target, double unit);
/* The table of functions for attacks/; it borrows the target. */
attack_target measure_target_table(measure_target *target);
/* Logits [count, K] of images [count, C, S, S] in [0, 1]; what measure_target_run then
 * shows. */
base_status measure_target_look(measure_target *target, float *logits, const float *images,
                                size_t count, base_error *err);
/* From now on image i goes by the experts of images[i]; NULL: routing is free. */
base_status measure_target_freeze(measure_target *target, const float *images, size_t count,
                                  base_error *err);
/* Whether measure_target_freeze can do it: there are experts, and the router replays. */
bool measure_target_replays(const measure_target *target);
/* The run behind measure_target_look, for its routing. */
const vit_run *measure_target_run(const measure_target *target);
/* images [n, C, S, S] with labels [n], in batches of consecutive ones, at most the
 * target's: how many are right, and what share of the assignments is dropped. */
base_status measure_target_dropped(size_t *right, double *share, measure_target *target,
                                   size_t batch, const float *images, const int32_t *labels,
                                   size_t n, base_error *err);
/* Adds to loss [B] of each image the sum over its tokens of the largest router logit
 * outside the token's set minus the smallest inside it; slope [T, E] is overwritten with
 * the gradient. Image i's sets [N, k] lie at sets + i * set_step. routing->logits must be
 * there. */
void measure_route_loss(double *loss, float *slope, const vit_routing *routing,
                        const uint16_t *sets, size_t set_step, size_t k);

/* ---- what an attack did to the routing (attacked.c) ---------------------------------- */

typedef enum measure_group {
    MEASURE_GROUP_ALL,      /* right on clean */
    MEASURE_GROUP_BROKEN,   /* of these, broken */
    MEASURE_GROUP_SURVIVED, /* and not */
    MEASURE_GROUP_CONTROL,  /* all of them with random noise of the same budget */
    MEASURE_GROUP_COUNT
} measure_group;

typedef struct measure_attacked {
    size_t layers, experts;
    measure_shift shift[MEASURE_GROUP_COUNT][VIT_DEPTH_MAX]; /* [group][layer] */
    float *change;           /* [n] 1 - mean IoU of a sample; NaN: not looked at */
    bool replayed;           /* the router can be held: kept and clean_right are known */
    size_t attacked, broken; /* samples looked at; of these broken */
    size_t kept;             /* broken ones that stay wrong with the clean experts */
    size_t clean_right;      /* attacked ones right on x with the adversarial experts */
    size_t control_right;    /* right under the random noise of the control */
} measure_attacked;

/* Compares clean images [n, C, S, S] and adversarial ones of every sample of run that was
 * right, in batches of at most `batch`, the target's. config: norm, eps and seed of the
 * control's noise, samples (its keys), stop. *done false: stopped, out holds what came
 * before. out must be zeroed and is destroyed by the caller in any case. BASE_NO_MEMORY, or
 * what the target fails with. 1 - IoU: Puigcerver et al. 2022 (arXiv 2210.10253). */
base_status measure_attacked_make(measure_attacked *out, measure_target *target,
                                  size_t batch, const attack_run *run, const float *images,
                                  const attack_config *config, size_t n, bool *done,
                                  base_error *err);
void measure_attacked_destroy(measure_attacked *attacked); /* zeroed is fine */
/* changed [N]: in how many layers the token's experts differ between x and v, one image
 * [C, S, S] each. */
base_status measure_attacked_tokens(unsigned *changed, measure_target *target,
                                    const float *x, const float *v, base_error *err);

/* ---- figures as JSON (json.c) -------------------------------------------------------- */

struct json_t; /* of jansson.h */
/* A number, or null for what is not finite. NULL: no memory. */
struct json_t *measure_json_real(double value);
/* The load metrics of one MoE layer (routing.md 12), block = number of the block. */
struct json_t *measure_usage_json(size_t block, const vit_usage *load);
/* What an attack did to the routing of one MoE layer (docs/json.md, `routing`). */
struct json_t *measure_shift_json(size_t block, const measure_attacked *attacked,
                                  size_t layer);

#endif
