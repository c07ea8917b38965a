/* checks_internal.h - the workbench of the checks: a few images that the model gets
 * right, small runs on them, and verdicts. Private to checks*.c and their tests. */
#ifndef ATTACKS_CHECKS_INTERNAL_H
#define ATTACKS_CHECKS_INTERNAL_H

#include "attacks/attacks_internal.h"

typedef struct attack_bench {
    const attack_run *run; /* the run that is checked */
    const attack_check_options *options;
    attack_check *checks;
    size_t n, count, classes; /* check samples, floats of one, classes */
    float *images;            /* [n, D], all classified rightly */
    int32_t *labels;          /* [n] */
    uint32_t *samples;        /* [n]: their global numbers */
    float *logits;            /* [n, classes], clean */
    uint8_t *white; /* [n]: broken by a white-box attack of the checks at the run's eps */
    uint8_t *found; /* [n]: broken by whatever the checks tried within the run's budget */
    uint8_t *reported; /* [n]: broken by the run itself */
    size_t best;       /* broken by the strongest single attack of these */
    char best_spec[96];
    size_t begun; /* checks, for options->progress */
    char pgd[64]; /* spec of the checks' PGD */
} attack_bench;

/* Check number 1..ATTACK_CHECK_COUNT. */
attack_check *attack_bench_check(attack_bench *bench, int number);
/* Tells options->progress that the work of this check begins. */
void attack_bench_begin(attack_bench *bench, int number);
void attack_check_set(attack_check *check, attack_verdict verdict, double value,
                      double limit, const char *format, ...) BASE_PRINTF(5, 6);

/* What a run of the checks changes of the checked run's configuration. */
typedef struct attack_bench_settings {
    double eps;
    uint64_t seed;
    bool all_steps;
    const attack_target *target; /* NULL: the model itself */
} attack_bench_settings;

/* One attack of its own on the check samples; what it breaks within the run's budget goes
 * into bench->found. The caller destroys *out. */
base_status attack_bench_go(attack_run **out, attack_bench *bench, const char *spec,
                            const attack_bench_settings *settings, base_error *err);
/* Broken by the only attack of a run of attack_bench_go. */
size_t attack_bench_broken(const attack_run *run);
/* Adds to bench->white what that run broke. */
void attack_bench_count_white(attack_bench *bench, const attack_run *run);
size_t attack_bench_white(const attack_bench *bench);
/* Logits [n, classes] of images [n, D], in batches of at most `together`. */
base_status attack_bench_logits(const attack_target *target, float *logits,
                                const float *images, size_t n, size_t together,
                                base_error *err);
/* Paired counts may differ by this before one attack counts as weaker: 1 sample or share
 * of n. */
double attack_bench_slack(size_t n, double share);

/* The groups of checks, each filling those named; in this order, for later ones use what
 * earlier ones found. An error ends them all. */
base_status attack_checks_outcome(attack_bench *bench, base_error *err); /* 12, 15, 16 */
base_status attack_checks_model(attack_bench *bench, base_error *err);   /* 10, 13, 14 */
base_status attack_checks_slope(attack_bench *bench, base_error *err);   /* 19 */
base_status attack_checks_strength(attack_bench *bench,
                                   base_error *err);                   /* 1-6, 9, 17, 18 */
base_status attack_checks_curve(attack_bench *bench, base_error *err); /* 11 */
base_status attack_checks_outside(attack_bench *bench, base_error *err);  /* 7, 8 */
base_status attack_checks_reported(attack_bench *bench, base_error *err); /* 20 */

/* ---- from counts to verdicts (verdict.c) --------------------------------------------- */

enum { ATTACK_CHECK_SEEDS = 3 };

/* Of the bench's n images, broken by PGD at 0, 1/2, 1 and 2 times the run's eps, and at
 * `large`. */
typedef struct attack_budget_counts {
    size_t none, half, base, twice, all;
    double large;
} attack_budget_counts;

/* Each fills the checks it is named after, from the bench's n, classes and options and what
 * is given: counts of broken images, base by the checks' PGD. Cannot fail. */
void attack_verdict_budgets(attack_bench *bench, const attack_budget_counts *c); /* 1, 2 */
/* fgsm SIZE_MAX: not defined in this norm. */
void attack_verdict_one_step(attack_bench *bench, size_t base, size_t fgsm); /* 3 */
void attack_verdict_steps(attack_bench *bench, size_t base, size_t twice,
                          size_t five);                                         /* 4 */
void attack_verdict_restarts(attack_bench *bench, const attack_result *result); /* 5 */
/* noise: broken by the worst of the noises; left: accuracy under one of them. */
void attack_verdict_noise(attack_bench *bench, size_t base, size_t fgsm, size_t noise,
                          double left); /* 6 */
/* white: broken by any attack that uses the gradient. */
void attack_verdict_black_box(attack_bench *bench, size_t black, size_t white); /* 7 */
void attack_verdict_transfer(attack_bench *bench, size_t wrong, size_t white);  /* 8 */
/* Towards one random class, towards each of the `targets` likeliest. */
void attack_verdict_targets(attack_bench *bench, size_t targets, size_t one,
                            size_t all); /* 9 */
/* Images without a gradient of each loss; median of the first one's L2 norm. */
void attack_verdict_gradients(attack_bench *bench, size_t ce, size_t margin, size_t dlr,
                              double median); /* 10 */
/* differ: samples that the same seed breaks in one run and not in the other. */
void attack_verdict_seeds(attack_bench *bench, size_t differ,
                          const size_t broken[ATTACK_CHECK_SEEDS]); /* 18 */

/* P(at least k of n), each with probability p. Cannot fail. */
double attack_binomial_tail(size_t k, size_t n, double p);

#endif
