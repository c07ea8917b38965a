/* attacks_internal.h - what the attacks, the driver and the checks share inside this room.
 *
 * An attack is a method: a small machine that owns one sample at a time. The driver keeps as many lanes as
 * the target takes images; each lane works on one sample. begin writes the first point to look at, the
 * driver evaluates all lanes' points as a batch, next reads the answer and writes the next point, until
 * the method has no more points or the driver has what it wants. Lanes are independent, may be
 * at different steps, are refilled from the queue as soon as they are free, and are worked on by several
 * threads: begin and next touch nothing but their lane. That makes results independent of batch size,
 * compaction and threads (attacks.md 4). */
#ifndef ATTACKS_ATTACKS_INTERNAL_H
#define ATTACKS_ATTACKS_INTERNAL_H

#include "attacks/attacks.h"

/* ---- methods ------------------------------------------------------------------------------ */

enum { ATTACK_OPTIONS_MAX = 16, ATTACK_ARRAYS_MAX = 8 };

/* Bits of attack_method.norms and .flags. */
enum {
    ATTACK_LINF = 1 << ATTACK_NORM_LINF,
    ATTACK_L2 = 1 << ATTACK_NORM_L2,
    ATTACK_L1 = 1 << ATTACK_NORM_L1,
    ATTACK_ALL_NORMS = ATTACK_LINF | ATTACK_L2 | ATTACK_L1
};
enum {
    /* Looks for the smallest norm: points may lie outside the budget, the smallest wrongly classified one is
     * kept, and it breaks the sample when its norm is at most eps. */
    ATTACK_MINIMAL = 1,
    ATTACK_ALL_STEPS =
        2, /* never stops early: what it counts needs every evaluation (noise) */
    ATTACK_BLACK_BOX = 4 /* never wants a gradient */
};

typedef struct attack_method attack_method;

/* An attack with the values of its options, in the order of method->options; choices as their index. */
typedef struct attack_spec {
    const attack_method *method;
    double option[ATTACK_OPTIONS_MAX];
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

/* What a method makes of its options: filled with 1, 1, 1, none, margin before plan is asked. */
typedef struct attack_plan {
    size_t steps;    /* value of lane->step at the end, for the axis of the loss curve */
    size_t restarts; /* rounds of each target */
    size_t targets;  /* with AIM_RANKS: how many, cut to classes - 1 by the driver */
    size_t eot;      /* evaluations whose mean is taken at each point, for random models */
    attack_aim aim;
    attack_loss loss; /* of the first point; with too few classes the driver falls back */
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
    double value;          /* lane->loss at point */
    int32_t prediction;

    /* What begin and next say. */
    float *point;     /* [D] where to look; holds the last point when next is called */
    attack_loss loss; /* of the next evaluation; begin finds plan.loss */
    /* A wrongly classified point is a success (true before begin): false for probes. It must be feasible then,
     * unless the method is MINIMAL; the driver checks and fails otherwise. */
    bool candidate;
    size_t
        step; /* how far of plan.steps; points with the same step share a place on the curve */

    /* The driver's. */
    size_t index; /* in the run's samples */
    attack_want want;
    bool invalid, met_gradient, zero_grad, found, tried;
    double best_value, best_norm, best_margin;
    int32_t best_prediction;
    size_t best_step, evaluations, grad_evals, draws_right, draws;
    float *best;         /* [D] */
    float *logits_store; /* [classes] */
    float *gradient_store;
    size_t curve_filled;
    double curve[ATTACK_CURVE_MAX];
    base_status fault; /* what the driver found wrong with the last point */
} attack_lane;

struct attack_method {
    const char *name, *summary;
    const attack_option *options; /* ended by name NULL; at most ATTACK_OPTIONS_MAX */
    unsigned norms, flags;
    size_t arrays; /* [D] each, in every lane */
    size_t state_bytes;
    void (*plan)(attack_plan *plan, const attack_spec *spec, const attack_task *task);
    attack_want (*begin)(attack_lane *lane);
    attack_want (*next)(attack_lane *lane);
};

extern const attack_method attack_method_noise, attack_method_fgsm, attack_method_pgd,
    attack_method_mi_fgsm, attack_method_apgd_ce, attack_method_apgd_dlr,
    attack_method_apgd_t;

/* NULL past the end; NULL for an unknown name. */
const attack_method *attack_method_at(size_t i);
const attack_method *attack_method_find(const char *name);
/* The value of an option, by name; asserts that the method has it. */
double attack_spec_value(const attack_spec *spec, const char *option);
/* Fills *out from "NAME:key=value,..." */
base_status attack_spec_parse(attack_spec *out, const char *text, attack_norm norm,
                              base_error *err);

/* ---- random streams ------------------------------------------------------------------------ */

/* The stream of (seed, attack, restart, target rank, sample, step). A method takes one per step and draws
 * from it in a fixed order. */
base_rng attack_lane_rng(const attack_lane *lane, uint64_t step);

/* ---- geometry: vectors of D floats, sums in double ------------------------------------------ */

double attack_norm2(const float *v, size_t count);
double attack_norm1(const float *v, size_t count);
/* point = Proj(from + scale * direction(g)): sign for Linf, g / norm2(g) for L2. Not for L1. point may be
 * from or g. */
void attack_ascend(float *point, const float *from, const float *g, double scale,
                   const float *x, size_t count, attack_norm norm, double eps);
/* The k-th largest of |g| over the coordinates where mask is NULL or not 0, k >= 1; 0 with fewer. scratch
 * [count] is overwritten. */
float attack_kth_largest(float *scratch, const float *g, const float *mask, size_t count,
                         size_t k);
/* A random start inside the ball and the box: Linf uniform, L2 uniform in the ball, L1 a projected
 * normal. */
void attack_random_start(float *point, const attack_lane *lane, base_rng *rng);

/* ---- losses ------------------------------------------------------------------------------- */

/* What dlr and dlr-target become with too few classes; others stay (attacks.md 3). */
attack_loss attack_loss_fallback(attack_loss loss, size_t classes);
bool attack_loss_is_targeted(attack_loss loss);
/* z_label - max of the others, NaN when a logit is not finite or there is one class. */
double attack_margin(const float *logits, size_t classes, int32_t label);

/* ---- APGD's schedule, for tests ------------------------------------------------------------- */

/* Steps after which APGD with n iterations looks back (Croce and Hein 2020, section 3.1), at most room of
 * them; returns how many. */
size_t attack_apgd_reviews(size_t *out, size_t room, size_t n);

typedef struct attack_apgd_review {
    bool halved;       /* at the last review; true before the first */
    double best_check; /* best loss at the last review */
} attack_apgd_review;
/* Whether to halve the step after k steps with the losses history[0] (before the first of them) ..
 * history[k], best the best loss so far; updates *review. */
bool attack_apgd_halve(attack_apgd_review *review, const double *history, size_t k,
                       double best);

/* ---- the run ------------------------------------------------------------------------------- */

/* What one attack knows of one sample. */
typedef struct attack_trial {
    uint8_t broken, invalid, zero_grad, unconfirmed, targeted, seen;
    uint16_t rounds; /* finished */
    uint16_t broken_round;
    float norm; /* of its example; of the smallest found for a MINIMAL one; NaN: none */
    uint64_t queries; /* evaluations until it was broken or gave up */
    uint64_t grad_evals;
    uint32_t draws, draws_right;
} attack_trial;

typedef struct attack_entry {
    attack_spec spec;
    attack_result result;
    uint8_t *broke; /* [n] */
    size_t rounds;  /* targets times restarts */
    bool complete;
    /* Sums over samples in units of 2^-20, so that the order of addition does not matter. */
    int64_t curve_sum[ATTACK_CURVE_MAX];
    size_t curve_samples;
} attack_entry;

struct attack_run {
    attack_target target;
    attack_config config;
    const float *images;
    const int32_t *labels;
    size_t n, count; /* count: D */
    bool clean_done;
    float *clean_logits; /* [n, classes] */
    attack_sample *samples;
    uint8_t *has_adversarial; /* [n]: row of adversarial differs from the image */
    float *adversarial;       /* [n, D] */
    attack_entry *entries;
    size_t entry_count, entry_room;
    attack_trial *trials; /* [n] of the entry at work; its index, or SIZE_MAX */
    size_t trials_of;

    /* Working memory, sized by add. */
    attack_lane *lanes; /* [target.batch] */
    float *lane_arrays;
    unsigned char *lane_states;
    size_t arrays_each, state_each;
    float *batch_images, *batch_gradients; /* [batch, D] */
    float *batch_logits, *batch_d_logits;  /* [batch, classes] */
    size_t *batch_lane;                    /* [batch]: which lane an image is of */
    float *pending;                        /* [batch, D]: successes to be confirmed */
    struct attack_pending *pending_list;   /* [batch] */
    size_t pending_count;
    size_t *queue; /* [n] */
};

/* Classifies the clean images once. */
base_status attack_clean_pass(attack_run *run, base_error *err);
/* One attack until it is complete or stopped. */
base_status attack_drive(attack_run *run, size_t entry, base_error *err);
/* result of an entry from its trials. */
void attack_entry_summarise(attack_run *run, size_t entry);

#endif
