/* attacks_internal.h - what the attacks, the driver and the checks share inside this room.
 *
 * An attack is a method: a small machine that owns one sample at a time. The driver keeps
 * as many lanes as the target takes images; each lane works on one sample. begin writes the
 * first point to look at, the driver evaluates all lanes' points as a batch, next reads the
 * answer and writes the next point, until the method has no more points or the driver has
 * what it wants. Lanes are independent, may be at different steps, are refilled from the
 * queue as soon as they are free, and are worked on by several threads: begin and next
 * touch nothing but their lane. That makes results independent of batch size, compaction
 * and threads (attacks.md 4). */
#ifndef ATTACKS_ATTACKS_INTERNAL_H
#define ATTACKS_ATTACKS_INTERNAL_H

#include "attacks/attacks.h"

/* ---- methods ------------------------------------------------------------------------- */

enum { ATTACK_ARRAYS_MAX = 8 };

/* Bits of attack_method.norms and .flags. */
enum {
    ATTACK_LINF = 1 << ATTACK_NORM_LINF,
    ATTACK_L2 = 1 << ATTACK_NORM_L2,
    ATTACK_L1 = 1 << ATTACK_NORM_L1,
    ATTACK_ALL_NORMS = ATTACK_LINF | ATTACK_L2 | ATTACK_L1
};
enum {
    /* Looks for the smallest norm: points may lie outside the budget, the smallest wrongly
     * classified one is kept, and it breaks the sample when its norm is at most eps. */
    ATTACK_MINIMAL = 1,
    ATTACK_ALL_STEPS =
        2, /* never stops early: what it counts needs every evaluation (noise) */
    ATTACK_BLACK_BOX = 4, /* never wants a gradient */
    /* Maximises the target's routing loss in place of one of the logits, never stops early
     * and keeps its highest point, right or wrong; alone in its run. */
    ATTACK_ROUTING = 8
};

typedef struct attack_method attack_method;

/* An attack with the values of its options. */
typedef struct attack_spec {
    const attack_method *method;
    attack_settings settings;
    char text[160];
} attack_spec;

typedef enum attack_aim {
    ATTACK_AIM_NONE, /* any wrong class */
    ATTACK_AIM_RANDOM,
    ATTACK_AIM_LEAST,
    ATTACK_AIM_SECOND,
    ATTACK_AIM_NEXT,
    ATTACK_AIM_RANKS /* round after round the classes that the clean logits put next */
} attack_aim;

/* What a method makes of its options: filled with 1, 1, 1, none, margin before plan is
 * asked. */
typedef struct attack_plan {
    size_t steps;    /* value of lane->step at the end, for the axis of the loss curve */
    size_t restarts; /* rounds of each target */
    size_t targets;  /* with AIM_RANKS: how many, cut to classes - 1 by the driver */
    size_t eot;      /* evaluations whose mean is taken at each point, for random models */
    attack_aim aim;
    attack_loss loss; /* of the first point; with too few classes the driver falls back */
    double
        work; /* of a round, in forward passes at most, a gradient being 3; 0: a gradient a step */
} attack_plan;

/* What is the same for all lanes of an attack. */
typedef struct attack_task {
    size_t classes, channels, height, width;
    size_t count; /* D = channels * height * width */
    attack_norm norm;
    double eps; /* > 0 */
    uint64_t seed;
    bool early_stop;
    const attack_spec *spec;
    attack_plan plan;
} attack_task;

typedef enum attack_want {
    ATTACK_WANT_GRADIENT, /* logits and gradient of lane->loss at lane->point */
    ATTACK_WANT_LOGITS,   /* logits there; less work */
    ATTACK_WANT_NO_MORE   /* finished: point is not looked at */
} attack_want;

typedef struct attack_lane {
    /* Set by the driver before begin. */
    const attack_task *task;
    const float *x;            /* [D] clean image */
    const float *clean_logits; /* [classes] */
    int32_t label;
    int32_t target;  /* -1: none; the method may change it between evaluations */
    uint32_t sample; /* global number, keys the draws */
    size_t rank, restart;
    float *array[ATTACK_ARRAYS_MAX]; /* [D] each, method->arrays of them, not cleared */
    void *state;                     /* method->state_bytes, zeroed before begin */

    /* The answer about the last point, before next. */
    const float *logits;   /* [classes], finite; the mean of eot evaluations */
    const float *gradient; /* [D] of the loss, finite; only if it was wanted */
    double value;          /* lane->loss at point; of a ROUTING method the routing loss */
    int32_t prediction;

    /* What begin and next say. */
    float *point;     /* [D] where to look; holds the last point when next is called */
    attack_loss loss; /* of the next evaluation; begin finds plan.loss */
    /* A wrongly classified point is a success (true before begin): false for probes. It
     * must be feasible then, unless the method is MINIMAL; the driver checks and fails
     * otherwise. */
    bool candidate;
    size_t
        step; /* how far of plan.steps; points with the same step share a place on the curve */

    /* The driver's. */
    size_t index; /* in the run's samples */
    attack_want want;
    bool invalid, zero_grad, found;
    double best_value, best_norm,
        best_margin; /* of what is kept in best; norm: MINIMAL only */
    int32_t best_prediction;
    size_t best_step, evaluations, grad_evals, draws_right, draws;
    float *best;      /* [D]: the success if found, else the highest loss */
    double top_value; /* highest loss so far */
    size_t curve_filled;
    double curve[ATTACK_CURVE_MAX];
    bool fault; /* a success outside its budget: the attack is wrong */
} attack_lane;

struct attack_method {
    const char *name, *summary;
    const base_field *options; /* of attack_settings */
    const attack_settings *defaults;
    unsigned norms, flags;
    size_t arrays; /* [D] each, in every lane */
    size_t state_bytes;
    void (*plan)(attack_plan *plan, const attack_spec *spec, const attack_task *task);
    attack_want (*begin)(attack_lane *lane);
    attack_want (*next)(attack_lane *lane);
    const attack_method
        *in_l1; /* takes its place in L1, where it has another form; NULL: none */
};

extern const attack_method attack_method_noise, attack_method_fgsm, attack_method_pgd,
    attack_method_mi_fgsm, attack_method_apgd_ce, attack_method_apgd_dlr,
    attack_method_apgd_t;
extern const attack_method attack_method_apgd_l1_ce, attack_method_apgd_l1_dlr,
    attack_method_apgd_l1_t, attack_method_fab, attack_method_fab_t, attack_method_square,
    attack_method_spsa, attack_method_cw, attack_method_router;

const attack_method *attack_method_find(const char *name);
/* Fills *out from "NAME:key=value,..." */
base_status attack_spec_parse(attack_spec *out, const char *text, attack_norm norm,
                              base_error *err);

/* ---- random streams ------------------------------------------------------------------ */

/* The stream of (seed, attack, restart, target rank, sample, step). A method takes one per
 * step and draws from it in a fixed order. */
base_rng attack_lane_rng(const attack_lane *lane, uint64_t step);

/* ---- geometry: vectors of D floats, sums in double ----------------------------------- */

double attack_norm2(const float *v, size_t count);
double attack_norm1(const float *v, size_t count);
/* point = Proj(from + scale * direction(g)): sign for Linf, g / norm2(g) for L2. Not for
 * L1. point may be from or g. */
void attack_ascend(float *point, const float *from, const float *g, double scale,
                   const float *x, size_t count, attack_norm norm, double eps);
/* mask [count] becomes 1 at the k largest of |g| among the coordinates where it is not 0
 * (lowest index on ties; all of them when there are fewer) and 0 elsewhere; scratch [count]
 * is overwritten. Returns how many are left. */
size_t attack_keep_largest(float *mask, float *scratch, const float *g, size_t count,
                           size_t k);
/* A random start inside the ball and the box: Linf uniform, L2 uniform in the ball, L1 a
 * projected normal. */
void attack_random_start(float *point, const attack_lane *lane, base_rng *rng);

/* ---- losses -------------------------------------------------------------------------- */

/* What dlr and dlr-target become with too few classes; others stay (attacks.md 3). */
attack_loss attack_loss_fallback(attack_loss loss, size_t classes);
/* z_label - max of the others, NaN when a logit is not finite or there is one class. */
double attack_margin(const float *logits, size_t classes, int32_t label);

/* ---- APGD's schedule ----------------------------------------------------------------- */

/* When APGD with n iterations looks back, and whether the step is halved then (Croce and
 * Hein 2020, section 3.1). */
typedef struct attack_apgd_clock {
    size_t spacing, shrink,
        smallest;        /* steps from the last review to the next; how it falls */
    size_t since, rises; /* since the last review: steps; how many raised the loss */
    double last;         /* loss of the step before */
    bool halved;         /* at the last review; true before the first */
    double best_check;   /* best loss at the last review */
} attack_apgd_clock;
typedef enum attack_apgd_tick {
    ATTACK_APGD_ON,    /* no review */
    ATTACK_APGD_KEEP,  /* a review, the step stays */
    ATTACK_APGD_HALVE, /* halve the step and go back to the best image */
} attack_apgd_tick;
/* loss: at the start. */
attack_apgd_clock attack_apgd_clock_make(size_t n, double loss);
/* After a step: its loss, and the best one so far, that one included. */
attack_apgd_tick attack_apgd_clock_step(attack_apgd_clock *clock, double loss, double best);
/* The plans of apgd-ce, apgd-dlr and apgd-t in every norm. */
void attack_apgd_plan_ce(attack_plan *plan, const attack_spec *spec,
                         const attack_task *task);
void attack_apgd_plan_dlr(attack_plan *plan, const attack_spec *spec,
                          const attack_task *task);
void attack_apgd_plan_target(attack_plan *plan, const attack_spec *spec,
                             const attack_task *task);

/* ---- the run ------------------------------------------------------------------------- */

/* What one attack knows of one sample. */
typedef struct attack_trial {
    uint8_t broken, broken_u8, invalid, zero_grad, unconfirmed, targeted, seen;
    uint16_t rounds; /* finished */
    uint16_t broken_round;
    float norm; /* of its example; NaN: none */
    float
        minimal_norm; /* MINIMAL: the smallest misclassified, in budget or not; NaN: none */
    uint64_t queries; /* evaluations until it was broken or gave up */
    uint64_t grad_evals;
    uint32_t draws, draws_right;
} attack_trial;

typedef struct attack_entry {
    attack_spec spec;
    attack_result result;
    uint8_t *broke; /* [n] */
    size_t rounds;  /* targets times restarts */
    /* Sums over samples in units of 2^-20, so that the order of addition does not
     * matter. */
    int64_t curve_sum[ATTACK_CURVE_MAX];
    size_t curve_samples;
} attack_entry;

/* A success that waits for its confirming pass. */
typedef struct attack_pending {
    size_t index, step;
    int32_t target;
    bool found; /* false: a neighbour that completes the group of fixed_batch */
} attack_pending;

struct attack_run {
    attack_target target;
    attack_config config;
    const float *images;
    const int32_t *labels;
    size_t n, count; /* count: D */
    bool clean_done;
    float *clean_logits; /* [n, classes] */
    attack_sample *samples;
    uint8_t *tried;     /* [n]: its row of adversarial is no more the image itself */
    float *adversarial; /* [n, D] */
    attack_entry *entries;
    size_t entry_count;
    attack_trial *trials; /* [n] of the entry at work */
    size_t trials_of;     /* its index, SIZE_MAX: none */

    /* Working memory. */
    base_arena arena;   /* of all that every attack needs */
    attack_lane *lanes; /* [target.batch] */
    float *lane_arrays; /* [batch, arrays_each, D] */
    unsigned char *lane_states;
    size_t arrays_each, state_each;    /* arrays: point and best first; state in bytes */
    float *eot_gradients, *eot_logits; /* [batch, D], [batch, classes]; NULL: not needed */
    float *batch_images, *batch_gradients; /* [batch, D] */
    float *batch_logits, *batch_d_logits;  /* [batch, classes] */
    size_t *batch_lane;                    /* [batch]: which lane an image is of */
    float *pending;                        /* [batch, D]: successes to be confirmed */
    attack_pending *pending_list;          /* [batch] */
    size_t pending_count;
    bool *confirmed;     /* [batch] */
    float *batch_clean;  /* [batch, D]: fixed_routing, ROUTING, else NULL */
    double *batch_route; /* [batch]: ROUTING, else NULL */
    size_t *queue;       /* [n] */
    double *sorting;     /* [n] */
};

/* Called in one direction: run, drive, groups, lanes, judge, results and task. */

/* ---- task.c -------------------------------------------------------------------------- */

attack_task attack_task_make(const attack_run *run, const attack_spec *spec);

/* ---- judge.c ------------------------------------------------------------------------- */

/* Classifies the clean images once. */
base_status attack_clean_pass(attack_run *run, base_error *err);
/* What a lane has come to, but for its success, goes into the run. */
base_status attack_note(attack_run *run, size_t entry, size_t round,
                        const attack_lane *lane, base_error *err);
/* Classifies the pending successes by the plain logits; those that repeat break their
 * samples. */
base_status attack_confirm(attack_run *run, size_t entry, size_t round, base_error *err);
/* result of entry `index` from its trials. */
void attack_summarise(attack_run *run, size_t index);

/* ---- lanes.c ------------------------------------------------------------------------- */

/* Whether a sample takes part in a round. */
bool attack_is_on(const attack_run *run, const attack_task *task, size_t index,
                  size_t round);
/* Gives a sample to a lane; begin of the method. */
void attack_lane_begin(attack_run *run, const attack_task *task, attack_lane *lane,
                       size_t index, size_t round);
/* Logits and, if wanted, gradients of the rows first .. first + count of batch_images,
 * whose lanes are in batch_lane; the mean of the plan's eot evaluations. Lanes that are
 * finished get no gradient. */
base_status attack_evaluate(attack_run *run, const attack_task *task, size_t first,
                            size_t count, bool gradient, base_error *err);
/* Judges the point that was evaluated, then next of the method. */
void attack_lane_answer(attack_lane *lane, const attack_result *result);
/* Judges what is pending and has config.save called, if it is time. */
base_status attack_save_if_due(attack_run *run, size_t entry, size_t round,
                               base_error *err);
/* Tells config.progress. */
void attack_tell(const attack_run *run, size_t entry, size_t round, size_t done,
                 size_t total);

/* ---- groups.c, drive.c --------------------------------------------------------------- */

/* One round over the fixed groups of fixed_batch. */
base_status attack_drive_groups(attack_run *run, size_t entry, const attack_task *task,
                                size_t round, base_error *err);
/* One attack until it is complete or stopped. */
base_status attack_drive(attack_run *run, size_t entry, base_error *err);

#endif
