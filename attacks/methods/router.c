/* router.c - a search for other experts, not for mistakes: projected gradient ascent (as
 * pgd.c) on how far routers are from the clean image's choice (attacks.md 9.7). The loss is
 * the target's: over MoE layers and tokens the sum of the largest router logit outside the
 * clean image's set of experts minus the smallest inside it, which is positive where a
 * token has left an expert. After Puigcerver et al. 2022 (arXiv 2210.10253), who measure
 * the change of routing under attack; aiming at it is ours. Relied on elsewhere: restarts
 * are made inside one round, so that a sample has one example, that of the highest loss,
 * whatever the network answers to it. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("steps", steps, 1, 100000, "gradient steps K"),
    BASE_INT("restarts", restarts, 1, 1000, "random starts; the strongest example is kept"),
    BASE_REAL("alpha", alpha, 0, 1e6, "step in units of eps' (2/255); auto: by relative",
              .automatic = true),
    BASE_REAL("relative", relative, 0, 1e6, "step alpha as a multiple of eps / steps"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings defaults = {
    .steps = 20, .restarts = 1, .alpha = NAN, .relative = 2.5};

static size_t steps_of(const attack_spec *spec)
{
    return (size_t)spec->settings.steps;
}

/* A start and its steps follow the last ones, as points 0, 1, ... of one curve. */
static void plan(attack_plan *plan, const attack_spec *spec, const attack_task *task)
{
    (void)task;
    plan->steps = (size_t)spec->settings.restarts * (steps_of(spec) + 1) - 1;
}

static attack_want begin(attack_lane *lane)
{
    base_rng rng = attack_lane_rng(lane, lane->step);

    attack_random_start(lane->point, lane, &rng);
    return ATTACK_WANT_GRADIENT;
}

static attack_want next(attack_lane *lane)
{
    const attack_task *task = lane->task;
    const size_t steps = steps_of(task->spec);
    double alpha = task->spec->settings.alpha;

    if (lane->step == task->plan.steps)
        return ATTACK_WANT_NO_MORE;
    if (++lane->step % (steps + 1) == 0)
        return begin(lane);
    if (isnan(alpha))
        alpha = task->spec->settings.relative * task->eps / (double)steps;
    attack_ascend(lane->point, lane->point, lane->gradient, alpha, lane->x, task->count,
                  task->norm, task->eps);
    return lane->step % (steps + 1) == steps ? ATTACK_WANT_LOGITS : ATTACK_WANT_GRADIENT;
}

const attack_method attack_method_router = {
    .name = "router",
    .summary = "ascent on the routers' margins: other experts, not mistakes; apart from "
               "the others",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_LINF | ATTACK_L2,
    .flags = ATTACK_ROUTING,
    .plan = plan,
    .begin = begin,
    .next = next,
};
