/* apgd.c - ascent with momentum whose step length follows from the budget of iterations
 * alone. Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an
 * ensemble of diverse parameter-free attacks", section 3 and algorithm 1; attacks.md 6.
 * differs: the first step's loss is compared with that of the start; the public code
 * compares it with an empty slot of its history (0). Relied on elsewhere: the reviews, and
 * that prev is not reset when the step is halved. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

static const double MOMENTUM = 0.75; /* alpha of the paper */
static const double RHO = 0.75; /* share of rising steps below which the step is halved */

attack_apgd_clock attack_apgd_clock_make(size_t n, double loss)
{
    const size_t shrink = n * 3 / 100;

    /* 0 steps between reviews: every step is one, as with 1 */
    return (attack_apgd_clock){.spacing = n * 22 / 100,
                               .shrink = shrink > 0 ? shrink : 1,
                               .smallest = n * 6 / 100,
                               .last = loss,
                               .halved = true,
                               .best_check = loss};
}

attack_apgd_tick attack_apgd_clock_step(attack_apgd_clock *clock, double loss, double best)
{
    clock->rises += loss > clock->last;
    clock->last = loss;
    if (++clock->since < clock->spacing)
        return ATTACK_APGD_ON;
    const bool few_rises = (double)clock->rises <= RHO * (double)clock->spacing;
    const bool stuck = !clock->halved && clock->best_check >= best;
    clock->halved = few_rises || stuck;
    clock->best_check = best;
    clock->since = clock->rises = 0;
    clock->spacing = clock->spacing > clock->smallest + clock->shrink
                         ? clock->spacing - clock->shrink
                         : clock->smallest;
    return clock->halved ? ATTACK_APGD_HALVE : ATTACK_APGD_KEEP;
}

enum { PREVIOUS, BEST, BEST_GRADIENT, AHEAD, ARRAYS };

typedef struct apgd_state {
    attack_apgd_clock clock;
    double eta, best;
} apgd_state;

static attack_want begin(attack_lane *lane)
{
    const attack_task *task = lane->task;
    float *u = lane->point;
    double size = 0;
    base_rng rng = attack_lane_rng(lane, 0);

    for (size_t i = 0; i < task->count; i++) {
        const bool linf = task->norm == ATTACK_NORM_LINF;
        u[i] = (float)(linf ? 2 * base_rng_uniform(&rng) - 1 : base_rng_normal(&rng));
        size = linf ? fmax(size, fabs((double)u[i])) : size;
    }
    if (task->norm != ATTACK_NORM_LINF)
        size = attack_norm2(u, task->count);
    const double scale = task->eps / fmax(size, 1e-12);
    for (size_t i = 0; i < task->count; i++)
        u[i] = (float)((double)lane->x[i] + scale * (double)u[i]);
    attack_project(u, lane->x, task->count, task->norm, task->eps);
    return ATTACK_WANT_GRADIENT;
}

static void keep_best(attack_lane *lane, apgd_state *state)
{
    const size_t bytes = lane->task->count * sizeof(float);

    state->best = lane->value;
    memcpy(lane->array[BEST], lane->point, bytes);
    if (lane->gradient)
        memcpy(lane->array[BEST_GRADIENT], lane->gradient, bytes);
}

/* From point with gradient g to the next point. */
static void move(attack_lane *lane, const apgd_state *state, const float *g)
{
    const attack_task *task = lane->task;
    const float a = lane->step == 0 ? 1 : (float)MOMENTUM;
    float *point = lane->point, *previous = lane->array[PREVIOUS];
    float *ahead = lane->array[AHEAD];

    attack_ascend(ahead, point, g, state->eta, lane->x, task->count, task->norm, task->eps);
    for (size_t i = 0; i < task->count; i++) {
        const float here = point[i];
        point[i] = here + a * (ahead[i] - here) + (1 - a) * (here - previous[i]);
        previous[i] = here;
    }
    attack_project(point, lane->x, task->count, task->norm, task->eps);
}

static attack_want next(attack_lane *lane)
{
    const attack_task *task = lane->task;
    apgd_state *state = lane->state;
    const float *g = lane->gradient;
    const size_t bytes = task->count * sizeof(float);

    if (lane->step == task->plan.steps)
        return ATTACK_WANT_NO_MORE;
    if (lane->step == 0) {
        state->clock = attack_apgd_clock_make(task->plan.steps, lane->value);
        state->eta = 2 * task->eps;
        memcpy(lane->array[PREVIOUS], lane->point, bytes);
        keep_best(lane, state);
    } else {
        if (lane->value > state->best)
            keep_best(lane, state);
        if (attack_apgd_clock_step(&state->clock, lane->value, state->best) ==
            ATTACK_APGD_HALVE) {
            state->eta /= 2;
            memcpy(lane->point, lane->array[BEST], bytes);
            g = lane->array[BEST_GRADIENT];
        }
    }
    move(lane, state, g);
    lane->step++;
    return lane->step == task->plan.steps ? ATTACK_WANT_LOGITS : ATTACK_WANT_GRADIENT;
}

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("steps", steps, 1, 100000, "iterations N"),
    BASE_INT("restarts", restarts, 1, 1000, "random starts"),
    BASE_INT("eot", eot, 1, 1000, "evaluations averaged a point, for random models"),
    {0},
};
static const attack_settings defaults = {.steps = 100, .restarts = 1, .eot = 1};

static const base_field target_options[] = {
    BASE_INT("steps", steps, 1, 100000, "iterations N"),
    BASE_INT("restarts", restarts, 1, 1000, "random starts for each target"),
    BASE_INT("targets", targets, 1, 1000, "best wrong classes aimed at in turn"),
    BASE_INT("eot", eot, 1, 1000, "evaluations averaged a point, for random models"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings target_defaults = {
    .steps = 100, .restarts = 1, .targets = 9, .eot = 1};

void attack_apgd_plan_ce(attack_plan *plan, const attack_spec *spec,
                         const attack_task *task)
{
    (void)task;
    plan->steps = (size_t)spec->settings.steps;
    plan->restarts = (size_t)spec->settings.restarts;
    plan->eot = (size_t)spec->settings.eot;
    plan->loss = ATTACK_LOSS_CE;
}

void attack_apgd_plan_dlr(attack_plan *plan, const attack_spec *spec,
                          const attack_task *task)
{
    attack_apgd_plan_ce(plan, spec, task);
    plan->loss = ATTACK_LOSS_DLR;
}

void attack_apgd_plan_target(attack_plan *plan, const attack_spec *spec,
                             const attack_task *task)
{
    attack_apgd_plan_ce(plan, spec, task);
    plan->loss = ATTACK_LOSS_DLR_TARGET;
    plan->aim = ATTACK_AIM_RANKS;
    plan->targets = (size_t)spec->settings.targets;
}

const attack_method attack_method_apgd_ce = {
    .name = "apgd-ce",
    .summary = "Auto-PGD on the cross-entropy (Croce and Hein 2020)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_LINF | ATTACK_L2,
    .arrays = ARRAYS,
    .state_bytes = sizeof(apgd_state),
    .plan = attack_apgd_plan_ce,
    .begin = begin,
    .next = next,
    .in_l1 = &attack_method_apgd_l1_ce,
};

const attack_method attack_method_apgd_dlr = {
    .name = "apgd-dlr",
    .summary = "Auto-PGD on the difference of logits ratio (Croce and Hein 2020)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_LINF | ATTACK_L2,
    .arrays = ARRAYS,
    .state_bytes = sizeof(apgd_state),
    .plan = attack_apgd_plan_dlr,
    .begin = begin,
    .next = next,
    .in_l1 = &attack_method_apgd_l1_dlr,
};

const attack_method attack_method_apgd_t = {
    .name = "apgd-t",
    .summary = "Auto-PGD on the targeted ratio, class after class (Croce and Hein 2020)",
    .options = target_options,
    .defaults = &target_defaults,
    .norms = ATTACK_LINF | ATTACK_L2,
    .arrays = ARRAYS,
    .state_bytes = sizeof(apgd_state),
    .plan = attack_apgd_plan_target,
    .begin = begin,
    .next = next,
    .in_l1 = &attack_method_apgd_l1_t,
};
