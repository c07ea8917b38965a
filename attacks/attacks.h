/* attacks.h - adversarial search against any differentiable classifier, and the checks that
 * say whether its outcome can be believed.
 *
 *     base_error err = {0};
 *     attack_target target = {.user = net, .classes = 10, .channels = 3, .height = 32,
 *                             .width = 32, .batch = 64, .logits = net_logits,
 *                             .forward = net_forward, .gradient = net_gradient};
 *     attack_config config = attack_config_defaults();
 *     config.eps = 8.0 / 255;
 *     attack_run *run = NULL;
 *     if (attack_run_create(&run, &target, &config, images, labels, 1000, &err) != BASE_OK ||
 *         attack_run_add(run, "apgd-ce", &err) != BASE_OK || attack_run_go(run, &err) != BASE_OK)
 *         return app_fail(&err);
 *     printf("%zu of 1000 left\n", attack_run_robust(run));
 *     attack_run_destroy(run);
 *
 * The variable of an attack is the image in [0, 1], [C, H, W] float32, before mean and std:
 * the target normalises inside. Budgets are in those units. D = C * H * W; norms run over
 * all D numbers. Every random number is keyed by (seed, attack, restart, target rank,
 * sample, step): results do not depend on the batch size, on compaction or on threads. */
#ifndef ATTACKS_ATTACKS_H
#define ATTACKS_ATTACKS_H

#include "base/base.h"

/* ---- the model under attack ---------------------------------------------------------- */

/* What an attack needs of a model. All functions: images [count, C, H, W] in [0, 1] (SPSA's
 * probes leave it by their small step), 1 <= count <= batch; logits [count, classes]. The
 * logits of an image must not depend on its neighbours. Called from the thread that runs
 * the attack. */
typedef struct attack_target {
    void *user;
    size_t classes, channels, height, width;
    size_t batch; /* most images of a call */
    base_status (*logits)(void *user, float *logits, const float *images, size_t count,
                          base_error *err);
    /* The same numbers, and what gradient needs is kept. */
    base_status (*forward)(void *user, float *logits, const float *images, size_t count,
                           base_error *err);
    /* d_images [count, C, H, W], overwritten, for the last forward and d_logits [count,
     * classes]. */
    base_status (*gradient)(void *user, float *d_images, const float *d_logits,
                            base_error *err);
    /* Optional (NULL: the model has no routing, or cannot do it). From now on calls route
     * their i-th image with the sets of experts that images[i] has on its own; gates are
     * recomputed. images NULL: routing is free again. Called before every batch of a
     * fixed_routing attack. */
    base_status (*freeze)(void *user, const float *images, size_t count, base_error *err);
    /* Optional (NULL: the model has no choices). signature [count] of the last logits or
     * forward call's images: equal when all their choices of experts were. Finite
     * differences hold only between images of one signature. */
    void (*signature)(void *user, uint64_t *signature);
    /* Optional, both or none (NULL: no experts to choose from), for the attack 'router'. As
     * forward, and loss [count]: over MoE layers and tokens the sum of the largest router
     * logit outside the set of experts that clean[i] [count, C, H, W] has on its own, minus
     * the smallest inside it. Routing is free. Then d_images of the sum of these losses,
     * the choice of experts being constant. */
    base_status (*route_forward)(void *user, float *logits, double *loss,
                                 const float *images, const float *clean, size_t count,
                                 base_error *err);
    base_status (*route_gradient)(void *user, float *d_images, base_error *err);
} attack_target;

/* ---- threat model and settings ------------------------------------------------------- */

typedef enum attack_norm { ATTACK_NORM_LINF, ATTACK_NORM_L2, ATTACK_NORM_L1 } attack_norm;
const char *attack_norm_name(attack_norm norm); /* "linf", "l2", "l1" */

typedef enum attack_mode {
    ATTACK_MODE_CASCADE,   /* an attack sees only what those before it left */
    ATTACK_MODE_INDIVIDUAL /* every attack sees every sample that was right */
} attack_mode;

/* Where the run is: the i-th attack of count in its restart-th of restarts rounds (targets
 * times restarts), samples finished in it and to be done in it, samples right so far never
 * broken. */
typedef struct attack_progress {
    const char *attack;
    size_t index, count, restart, restarts, done, total, robust;
} attack_progress;

typedef struct attack_run attack_run;

typedef struct attack_config {
    attack_norm norm;
    double eps; /* 0 (nothing can change) to 1 for Linf, sqrt(D) for L2, D for L1 */
    uint64_t seed;
    attack_mode mode;
    /* A sample leaves at its first success. false: all steps are made and the wrongly
     * classified iterate of the highest loss is kept (the smallest norm for fab, fab-t,
     * cw): loss curves. */
    bool early_stop;
    bool fixed_routing; /* search with the clean image's experts, judge on the true model */
    /* For models whose answer depends on an image's neighbours: samples are always shown in
     * the same groups of target.batch consecutive ones, finished ones included, and judged
     * in them. */
    bool fixed_batch;
    /* Asked between evaluations: true ends the run with what is known. NULL: never. */
    bool (*stop)(void *user);
    /* After every evaluation of a batch; NULL: none. */
    void (*progress)(void *user, const attack_progress *progress);
    /* Asked between evaluations: true has save called once all that is finished has been
     * judged, so that attack_run_save(run) keeps everything but the samples at work. A save
     * that fails ends the run with its status. NULL, both: never. */
    bool (*save_due)(void *user);
    base_status (*save)(void *user, const attack_run *run, base_error *err);
    void *user; /* of stop, progress, save_due and save */
    const uint32_t
        *samples; /* [n] global numbers that key the random draws; NULL: 0, 1, ... */
} attack_config;

/* Linf, eps 8/255, seed 0, cascade, early stop. */
attack_config attack_config_defaults(void);

/* ---- attacks ------------------------------------------------------------------------- */

/* What can be set of attacks, "pgd:steps=40,alpha=0.01,restarts=5". Each has some of these
 * (attack_options, which say what they mean, their units and ranges); the others are 0. */
typedef struct attack_settings {
    int steps, restarts, targets, eot, draws, queries, rounds, pairs;
    int start, loss, aim, rescale; /* indices of choices */
    double alpha, relative;        /* alpha NaN: by relative */
    double sparsity, decay, c, lr, kappa, overshoot, back, p, delta;
} attack_settings;

/* i-th attack's name, NULL past the end; its one-line summary with its source; its options
 * and their defaults; whether it works in a norm. NULL or false for an unknown name. */
const char *attack_name(size_t i);
const char *attack_summary(const char *name);
const base_field *attack_options(const char *name); /* of attack_settings */
const attack_settings *attack_defaults(const char *name);
bool attack_knows_norm(const char *name, attack_norm norm);
/* i-th preset's name, NULL past the end; what it holds for a norm: specs separated by
 * blanks, NULL when there is no such preset or nothing in it knows the norm. */
const char *attack_preset_name(size_t i);
const char *attack_preset(const char *name, attack_norm norm);

/* Whether a list of specs and presets, separated by blanks, is understood: what
 * attack_run_add would say of the words, before there is a run. */
base_status attack_specs_check(const char *specs, attack_norm norm, base_error *err);

/* An option of attacks that a command line sets for all of them. */
typedef struct attack_set {
    const char *key, *value; /* value NULL: not set */
    const char *option;      /* its name on the command line, for refusals */
} attack_set;
enum { ATTACK_SETS_MAX = 8, ATTACK_SEARCH_MAX = 24 }; /* sets; attacks of a list */
/* Attacks as people write them, "standard,pgd:steps=40,alpha=0.01,restarts=5", as specs
 * separated by blanks: commas or blanks part them, but a comma before key=value belongs to
 * the attack. Presets are spelled out; sets (ends with {0}, at most ATTACK_SETS_MAX) go to
 * every attack that has the option and whose text does not set it. what: the list's option,
 * for refusals. BASE_USAGE for an empty list, too long a word or list, a set that no attack
 * has. Whether there are such attacks is not asked. */
base_status attack_specs_spell(char *out, size_t out_bytes, const char *what,
                               const char *list, attack_norm norm, const attack_set *sets,
                               base_error *err);
/* Characters of the first attack of such a list. */
size_t attack_word_length(const char *list);

/* About the most work that one attack can make of a sample, in forward passes, a gradient
 * counting as three: what progress over several attacks is weighed by. target: its classes
 * and image size. 0: not understood. */
double attack_work(const char *spec, const attack_target *target, attack_norm norm);

/* ---- budgets (budgets.c) ------------------------------------------------------------- */

enum { ATTACK_BUDGETS_MAX = 32, ATTACK_BUDGET_TEXT = 32 };

typedef struct attack_budget {
    double eps;                    /* pixels are 0..1 */
    char text[ATTACK_BUDGET_TEXT]; /* as it was written: "8/255", "0.031" */
} attack_budget;

/* "0,1/255,0.031" into out; returns how many in *count. BASE_USAGE for what is no number,
 * is negative, stands there twice, or is no budget of this norm over `floats` numbers (8
 * instead of 8/255); what: the option's name for that. On failure out is untouched. */
base_status attack_budgets_parse(attack_budget out[ATTACK_BUDGETS_MAX], size_t *count,
                                 const char *what, const char *text, attack_norm norm,
                                 size_t floats, base_error *err);
/* Both forms: "8/255 (0.03137)", "0.031 (7.91/255)"; the number alone for l2 and l1.
 * Returns out. */
const char *attack_budget_text(char *out, size_t out_bytes, const attack_budget *budget,
                               attack_norm norm);

/* ---- running ------------------------------------------------------------------------- */

/* images [n, C, H, W] in [0, 1] and labels [n] in 0..classes-1 are borrowed until destroy,
 * as is config->samples; target and config are copied. BASE_USAGE for budgets out of range
 * (8 instead of 8/255), no images or fewer than 2 classes; BASE_NUMERIC names the first
 * image that leaves [0, 1]. */
base_status attack_run_create(attack_run **out, const attack_target *target,
                              const attack_config *config, const float *images,
                              const int32_t *labels, size_t n, base_error *err);
void attack_run_destroy(attack_run *run);
/* Appends an attack by its spec, "NAME" or "NAME:key=value,...", all of a preset, or
 * several of these separated by blanks; takes the memory that they need. Values: numbers,
 * fractions such as 2/255, words. BASE_USAGE names what is wrong and the nearest name;
 * nothing was added then. 'router' is alone in its run: it looks for other experts, all
 * steps are made, and adversarial holds its highest loss, right or wrong. */
base_status attack_run_add(attack_run *run, const char *spec, base_error *err);
/* Runs what has been added and not yet run; the first call classifies the clean images.
 * Allocates nothing. BASE_INTERRUPTED: stopped; what was found is kept and another call
 * goes on. */
base_status attack_run_go(attack_run *run, base_error *err);

enum { ATTACK_CURVE_MAX = 64 };

/* The outcome of one attack of the run, over n samples. Counts are of samples unless said
 * otherwise; of an attack that was stopped they tell what is known so far. */
typedef struct attack_result {
    char spec[160];           /* as it was added */
    attack_settings settings; /* with all its defaults */
    const char *name, *loss;  /* loss: after a fall-back for want of classes */
    char note[160]; /* what a reader must know (a fall-back, fewer targets), or "" */
    bool complete;
    size_t evaluated; /* it was let at */
    size_t broken;    /* of these, confirmed by a pass of its own on the stored float32 */
    size_t robust;    /* individual: right and not broken by it; cascade: robust_after */
    size_t robust_after;               /* right and not broken by it or any before it */
    size_t robust_u8, robust_after_u8; /* the same when examples are rounded to 8 bits */
    size_t invalid;                    /* met a logit or a gradient that is not finite */
    size_t zero_grad;                  /* with no gradient at all at the first start */
    size_t unconfirmed;           /* successes that their confirming pass did not repeat */
    size_t targeted;              /* broken and classified as the attack's target */
    size_t restarts;              /* rounds: targets times restarts */
    double median_norm, max_norm; /* of the broken; NaN: none */
    size_t minimal_count;         /* fab, cw: samples misclassified at any norm, and the */
    double minimal_norm;          /* median of those norms; NaN: none */
    double grad_evals, forward_evals; /* sums over samples */
    double queries_median;            /* evaluations of a broken sample; NaN: none */
    double draw_accuracy; /* noise: mean accuracy of a draw over all n; NaN: not noise */
    double seconds;
    /* Share of the rise of the curve below that came in the last quarter of its steps, 1
     * where it does not rise: an attack whose loss still rises has not settled. NaN: no
     * such curve (fewer than 4 steps, noise, a search for the smallest norm). */
    double late_rise;
    size_t curve_count; /* mean over samples of the loss of the best so far, first round */
    double curve[ATTACK_CURVE_MAX];
    size_t curve_step[ATTACK_CURVE_MAX];
    size_t by_restart_count; /* broken after round 1, 2, ... */
    size_t by_restart[ATTACK_CURVE_MAX];
} attack_result;

size_t attack_run_count(const attack_run *run);
/* Borrowed until the run is changed. */
const attack_result *attack_run_result(const attack_run *run, size_t i);
/* Whether the attack-th attack broke the sample (in a cascade: and none before it). */
bool attack_run_broke(const attack_run *run, size_t attack, size_t sample);

/* One sample after the run. */
typedef struct attack_sample {
    int32_t label, clean_prediction,
        prediction; /* prediction: of adv; -1: logits not finite */
    bool right, broken, broken_u8, invalid;
    int attack, restart, step;  /* that broke it; -1 */
    float clean_margin, margin; /* z_y - max of others, on clean and adv; NaN: not finite */
    float norm;                 /* of adv - image in the run's norm */
} attack_sample;

size_t attack_run_clean(const attack_run *run); /* samples right on clean images */
size_t attack_run_robust(
    const attack_run *run); /* of these, never broken: worst case over attacks */
/* Median norm, over eps, of the best tries at the samples that were right and stayed so;
 * NaN: there are none, no attack keeps its tries, or eps is 0. */
double attack_run_budget_used(const attack_run *run);
attack_sample attack_run_sample(const attack_run *run, size_t i);
/* [n, C, H, W]: the adversarial example of a broken sample; of a survivor the last attack's
 * best try; of a sample wrong from the start the image itself. Borrowed until the run is
 * changed. */
const float *attack_run_adversarial(const attack_run *run);

/* State for --resume, a file that appears whole or not at all. fingerprint: a hash of model
 * and data. load, after create and add: BASE_MISMATCH for another fingerprint,
 * configuration or list of attacks (more may have been added behind), BASE_FORMAT for a
 * file that is not whole; the run is untouched then. Results after a stop, save, load and
 * go are those of a run that was never stopped. */
base_status attack_run_save(const attack_run *run, const char *path, uint64_t fingerprint,
                            base_error *err);
base_status attack_run_load(attack_run *run, const char *path, uint64_t fingerprint,
                            base_error *err);

/* ---- a list of attacks that can be stopped (search.c) -------------------------------- */

/* Attacks one after the other, the state being written after each of them and now and then
 * in between. images, labels, n: as attack_run_create. */
typedef struct attack_search {
    const attack_target *target;
    const attack_config *config; /* its own progress and save are not called */
    const float *images;
    const int32_t *labels;
    size_t n;
    const char *specs;    /* separated by blanks, presets spelled out */
    const char *state;    /* file of the state */
    uint64_t fingerprint; /* of attack_run_save */
    bool resume;          /* goes on from that file; begins where there is none */
    const char *name;     /* of the search when that fails: "cannot resume 'NAME': ..." */
    /* After every evaluation of a batch: which share of the work is done, 0..1. NULL:
     * none. */
    void (*progress)(void *user, double share, const attack_progress *progress);
    void *user; /* of progress */
} attack_search;

/* *run is the caller's in any case; NULL: not even begun. BASE_INTERRUPTED: asked to stop,
 * run and state hold what was found. BASE_USAGE for more attacks than ATTACK_SEARCH_MAX, or
 * a word that is none. */
base_status attack_search_go(attack_run **run, const attack_search *search,
                             base_error *err);
/* Mean accuracy of a few draws of random noise of the same budget, the control of such a
 * run: its own first attack's where that is 'noise', else of a run of its own. */
base_status attack_search_control(double *accuracy, const attack_search *search,
                                  const attack_run *run, base_error *err);

/* ---- parts, for checks and tests ----------------------------------------------------- */

/* Nearest feasible point: v [count] becomes x + d with norm(d) <= eps and 0 <= x + d <= 1
 * (attacks.md 2; L1 by exact projection on ball and box together). Cannot fail. */
void attack_project(float *v, const float *x, size_t count, attack_norm norm, double eps);
/* norm of a - b, sums in double. */
double attack_distance(const float *a, const float *b, size_t count, attack_norm norm);

typedef enum attack_loss {
    ATTACK_LOSS_CE,
    ATTACK_LOSS_CE_TARGET,
    ATTACK_LOSS_MARGIN,
    ATTACK_LOSS_MARGIN_TARGET,
    ATTACK_LOSS_DLR,
    ATTACK_LOSS_DLR_TARGET,
    ATTACK_LOSS_REACH_TARGET /* z_t - max of the others: CW's, towards a target */
} attack_loss;
const char *attack_loss_name(attack_loss loss);
/* Loss that the attacker maximises, and its gradient d_logits [classes] (may be NULL);
 * target is used by the targeted ones. With too few classes dlr falls back to margin
 * (attacks.md 3). Cannot fail. */
double attack_loss_compute(float *d_logits, attack_loss loss, const float *logits,
                           size_t classes, int32_t label, int32_t target);
/* argmax, lowest index on ties; -1 when a logit is not finite. */
int32_t attack_predict(const float *logits, size_t classes);

/* ---- checks of trustworthiness (attacks.md 11) --------------------------------------- */

typedef enum attack_verdict {
    ATTACK_VERDICT_PASS,
    ATTACK_VERDICT_WARN,
    ATTACK_VERDICT_FAIL,
    ATTACK_VERDICT_SKIPPED
} attack_verdict;

enum { ATTACK_CHECK_COUNT = 20 };

typedef struct attack_check {
    const char *id; /* "C1" */
    const char *title;
    attack_verdict verdict;
    double value, limit; /* NaN: none */
    char text[320];      /* one sentence with its numbers */
} attack_check;

typedef struct attack_check_options {
    size_t samples; /* first ones of the images that were right, at most; 64 */
    size_t steps;   /* of PGD in the checks; 20 */
    size_t queries; /* of the black-box check; 500 */
    const attack_target *transfer; /* another model, or NULL: C8 is skipped */
    size_t
        ordinary_right; /* clean count of the ordinary evaluation (C16); SIZE_MAX: skipped */
    bool (*stop)(void *user);
    /* Before each check: how many were begun before it, its id and its title. NULL:
     * none. */
    void (*progress)(void *user, size_t begun, const char *id, const char *title);
    void *user; /* of stop and progress */
} attack_check_options;
attack_check_options attack_check_options_defaults(void);

/* Fills checks C1..C20 from runs of its own on a few samples of run's images and from run's
 * results. Those that cannot be made are SKIPPED with the reason in text. */
base_status attack_checks(attack_check checks[ATTACK_CHECK_COUNT], const attack_run *run,
                          const attack_check_options *options, base_error *err);

#endif
