/* apgd_l1.c - APGD in the L1 ball: sparse steps whose sparsity and size follow the best
 * point found so far, and three phases with budgets 3 eps, 2 eps, eps. Only points of
 * the last phase count. Follows Croce and Hein 2021, "Mind the box: l1-APGD for sparse
 * adversarial attacks on image classifiers" (arXiv 2103.01208), algorithm 1 and section
 * 3.4, with AutoAttack's constants. Free to change: nothing that alters the sequence of
 * points; the reviews are relied on for comparison with AutoAttack. */
#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"

#include <math.h>
#include <string.h>

enum { BEST, BEST_GRADIENT, MASK, SCRATCH, ARRAYS };
enum { PHASES = 3 };

static const double SHRINK = 1.5; /* of the step, and of the share of coordinates */
static const double SPARSER =
    0.95; /* below this ratio of changed coordinates: full step again */
static const double SMALLEST = 10;       /* least step: budget / SMALLEST */
static const double REVIEW_SHARE = 0.04; /* of a phase's steps between reviews */

typedef struct l1_state {
    size_t steps[PHASES], phase;
    size_t done, since_review; /* steps of this phase */
    bool fresh;                /* the phase's first point is being looked at */
    double eta, share;         /* length of a step; share of coordinates it moves */
    double best;
    size_t changed; /* coordinates of the best that differed from x at the last review */
} l1_state;

void attack_l1_phases(size_t steps[3], size_t total)
{
    size_t left = total;

    for (int phase = 0; phase < PHASES - 1; phase++) {
        const size_t wanted = (3 * total + 9) / 10; /* ceil(.3 N) */
        steps[phase] = wanted < left ? wanted : left;
        left -= steps[phase];
    }
    steps[PHASES - 1] = left;
}

static double budget(const attack_lane *lane)
{
    const l1_state *s = lane->state;

    return (double)(PHASES - s->phase) * lane->task->eps;
}

/* Goes to phase, or past those without steps, with the point projected to its budget. */
static attack_want enter(attack_lane *lane, size_t phase)
{
    l1_state *s = lane->state;

    while (phase < PHASES - 1 && s->steps[phase] == 0)
        phase++;
    s->phase = phase;
    s->done = s->since_review = 0;
    s->fresh = true;
    attack_project(lane->point, lane->x, lane->task->count, ATTACK_NORM_L1, budget(lane));
    lane->candidate = phase == PHASES - 1;
    return s->steps[phase] > 0 ? ATTACK_WANT_GRADIENT : ATTACK_WANT_LOGITS;
}

static attack_want begin(attack_lane *lane)
{
    l1_state *s = lane->state;
    base_rng rng = attack_lane_rng(lane, 0);

    for (size_t i = 0; i < lane->task->count; i++)
        lane->point[i] = lane->x[i] + (float)base_rng_normal(&rng);
    attack_l1_phases(s->steps, lane->task->plan.steps);
    return enter(lane, 0);
}

static size_t changed(const float *v, const float *x, size_t count)
{
    size_t differ = 0;

    for (size_t i = 0; i < count; i++)
        differ += v[i] != x[i];
    return differ;
}

static void keep_best(attack_lane *lane)
{
    l1_state *s = lane->state;
    const size_t bytes = lane->task->count * sizeof(float);

    s->best = lane->value;
    memcpy(lane->array[BEST], lane->point, bytes);
    if (lane->gradient)
        memcpy(lane->array[BEST_GRADIENT], lane->gradient, bytes);
}

/* Whether the step starts from the best point again: when its change got sparser. */
static bool review(attack_lane *lane)
{
    l1_state *s = lane->state;
    const attack_task *task = lane->task;
    const size_t now = changed(lane->array[BEST], lane->x, task->count);
    const bool sparser = (double)now < SPARSER * (double)s->changed;

    s->eta = sparser ? budget(lane) : s->eta / SHRINK;
    s->eta = fmax(s->eta, budget(lane) / SMALLEST);
    s->share = (double)now / (double)task->count / SHRINK;
    s->changed = now;
    s->since_review = 0;
    return sparser;
}

/* point = Proj(from + eta sign(kept) / #kept), kept: the largest |g|. */
static void move(attack_lane *lane, const float *from, const float *g)
{
    const l1_state *s = lane->state;
    const attack_task *task = lane->task;
    float *mask = lane->array[MASK];
    const size_t skip = (size_t)((1 - s->share) * (double)task->count);
    const size_t keep = skip < task->count ? task->count - skip : 1;

    for (size_t i = 0; i < task->count; i++)
        mask[i] = g[i] != 0;
    const size_t kept =
        attack_keep_largest(mask, lane->array[SCRATCH], g, task->count, keep);
    const float step = kept > 0 ? (float)(s->eta / (double)kept) : 0;
    for (size_t i = 0; i < task->count; i++)
        lane->point[i] = from[i] + (mask[i] == 0 ? 0 : g[i] > 0 ? step : -step);
    attack_project(lane->point, lane->x, task->count, ATTACK_NORM_L1, budget(lane));
}

static attack_want next(attack_lane *lane)
{
    l1_state *s = lane->state;
    const attack_task *task = lane->task;
    const float *from = lane->point, *g = lane->gradient;

    if (s->fresh) {
        keep_best(lane);
        s->eta = budget(lane);
        s->changed = changed(lane->point, lane->x, task->count);
        s->share = (double)s->changed / (double)task->count / SHRINK;
        s->fresh = false;
    } else {
        const size_t spacing = (size_t)(REVIEW_SHARE * (double)s->steps[s->phase]);
        s->done++;
        if (lane->value > s->best)
            keep_best(lane);
        if (++s->since_review >= (spacing > 0 ? spacing : 1) && review(lane)) {
            from = lane->array[BEST];
            g = lane->array[BEST_GRADIENT];
        }
    }
    if (s->done == s->steps[s->phase]) {
        if (s->phase == PHASES - 1)
            return ATTACK_WANT_NO_MORE;
        memcpy(lane->point, lane->array[BEST], task->count * sizeof(float));
        return enter(lane, s->phase + 1);
    }
    move(lane, from, g);
    lane->step++;
    return s->phase == PHASES - 1 && s->done + 1 == s->steps[s->phase]
               ? ATTACK_WANT_LOGITS
               : ATTACK_WANT_GRADIENT;
}

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("steps", steps, 1, 100000, "iterations of the three phases together"),
    BASE_INT("restarts", restarts, 1, 1000, "random starts"),
    BASE_INT("eot", eot, 1, 1000, "evaluations averaged a point, for random models"),
    {0},
};
static const attack_settings defaults = {.steps = 100, .restarts = 1, .eot = 1};

static const base_field target_options[] = {
    BASE_INT("steps", steps, 1, 100000, "iterations of the three phases together"),
    BASE_INT("restarts", restarts, 1, 1000, "random starts for each target"),
    BASE_INT("targets", targets, 1, 1000, "best wrong classes aimed at in turn"),
    BASE_INT("eot", eot, 1, 1000, "evaluations averaged a point, for random models"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings target_defaults = {
    .steps = 100, .restarts = 1, .targets = 9, .eot = 1};

const attack_method attack_method_apgd_l1_ce = {
    .name = "apgd-l1-ce",
    .summary = "sparse Auto-PGD on the cross-entropy, three budgets (Croce and Hein 2021)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_L1,
    .arrays = ARRAYS,
    .state_bytes = sizeof(l1_state),
    .plan = attack_apgd_plan_ce,
    .begin = begin,
    .next = next,
};

const attack_method attack_method_apgd_l1_dlr = {
    .name = "apgd-l1-dlr",
    .summary = "the same on the difference of logits ratio",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_L1,
    .arrays = ARRAYS,
    .state_bytes = sizeof(l1_state),
    .plan = attack_apgd_plan_dlr,
    .begin = begin,
    .next = next,
};

const attack_method attack_method_apgd_l1_t = {
    .name = "apgd-l1-t",
    .summary = "the same on the targeted ratio, class after class",
    .options = target_options,
    .defaults = &target_defaults,
    .norms = ATTACK_L1,
    .arrays = ARRAYS,
    .state_bytes = sizeof(l1_state),
    .plan = attack_apgd_plan_target,
    .begin = begin,
    .next = next,
};
