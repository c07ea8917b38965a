/* pgd.c - projected gradient ascent with random starts (Madry et al. 2018, "Towards deep
 * learning models resistant to adversarial attacks"), untargeted, towards one chosen class,
 * or towards several in turn (Gowal et al. 2019, "An alternative surrogate loss",
 * MultiTargeted). L1 steps move the q D largest coordinates that can still move (Tramer and
 * Boneh 2019, SLIDE). attacks.md 5. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("steps", steps, 1, 100000, "gradient steps K"),
    BASE_INT("restarts", restarts, 1, 1000, "random starts"),
    BASE_REAL("alpha", alpha, 0, 1e6, "step in units of eps' (2/255); auto: by relative",
              .automatic = true),
    BASE_REAL("relative", relative, 0, 1e6, "step alpha as a multiple of eps / steps"),
    BASE_CHOICE("start", start, "random|none",
                "where to start: in the ball, or at the image"),
    BASE_CHOICE("loss", loss, "ce|margin|dlr",
                "what is maximised, dlr only untargeted or 4 classes"),
    BASE_CHOICE("aim", aim, "none|random|least|second|next", "towards which wrong class"),
    BASE_INT("targets", targets, 0, 1000, "aim at this many best wrong classes in turn"),
    BASE_REAL("sparsity", sparsity, 1e-6, 1, "L1: share of coordinates that a step moves"),
    BASE_INT("eot", eot, 1, 1000, "evaluations averaged a point, for random models"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings defaults = {
    .steps = 20, .restarts = 1, .alpha = NAN, .relative = 2.5, .sparsity = 0.01, .eot = 1};

enum { MASK, SCRATCH, ARRAYS };

static void plan(attack_plan *plan, const attack_spec *spec, const attack_task *task)
{
    static const attack_loss losses[2][3] = {
        {ATTACK_LOSS_CE, ATTACK_LOSS_MARGIN, ATTACK_LOSS_DLR},
        {ATTACK_LOSS_CE_TARGET, ATTACK_LOSS_MARGIN_TARGET, ATTACK_LOSS_DLR_TARGET}};
    const size_t loss = (size_t)spec->settings.loss;

    (void)task;
    plan->steps = (size_t)spec->settings.steps;
    plan->restarts = (size_t)spec->settings.restarts;
    plan->eot = (size_t)spec->settings.eot;
    plan->targets = (size_t)spec->settings.targets;
    plan->aim = plan->targets > 0 ? ATTACK_AIM_RANKS : (attack_aim)spec->settings.aim;
    plan->loss = losses[plan->aim != ATTACK_AIM_NONE][loss];
}

static attack_want begin(attack_lane *lane)
{
    base_rng rng = attack_lane_rng(lane, 0);

    if (lane->task->spec->settings.start == 0)
        attack_random_start(lane->point, lane, &rng);
    else
        memcpy(lane->point, lane->x, lane->task->count * sizeof *lane->point);
    return ATTACK_WANT_GRADIENT;
}

/* Steepest ascent in L1 spends all on one coordinate; q D of them make progress on images.
 * Those at a face of the box that the gradient pushes against cannot move. */
static void ascend_l1(attack_lane *lane, double alpha)
{
    const attack_task *task = lane->task;
    const float *g = lane->gradient;
    float *point = lane->point, *mask = lane->array[MASK];

    for (size_t i = 0; i < task->count; i++)
        mask[i] = (g[i] > 0 && point[i] < 1) || (g[i] < 0 && point[i] > 0);
    const double share = task->spec->settings.sparsity;
    const size_t moved = attack_keep_largest(mask, lane->array[SCRATCH], g, task->count,
                                             (size_t)ceil(share * (double)task->count));
    const float step = moved > 0 ? (float)(alpha / (double)moved) : 0;
    for (size_t i = 0; i < task->count; i++)
        if (mask[i] != 0)
            point[i] += g[i] > 0 ? step : -step;
    attack_project(point, lane->x, task->count, task->norm, task->eps);
}

static attack_want next(attack_lane *lane)
{
    const attack_task *task = lane->task;
    double alpha = task->spec->settings.alpha;

    if (lane->step == task->plan.steps)
        return ATTACK_WANT_NO_MORE;
    if (isnan(alpha))
        alpha = task->spec->settings.relative * task->eps / (double)task->plan.steps;
    if (task->norm == ATTACK_NORM_L1)
        ascend_l1(lane, alpha);
    else
        attack_ascend(lane->point, lane->point, lane->gradient, alpha, lane->x, task->count,
                      task->norm, task->eps);
    lane->step++;
    return lane->step == task->plan.steps ? ATTACK_WANT_LOGITS : ATTACK_WANT_GRADIENT;
}

const attack_method attack_method_pgd = {
    .name = "pgd",
    .summary = "projected gradient ascent (Madry et al. 2018)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_ALL_NORMS,
    .arrays = ARRAYS,
    .plan = plan,
    .begin = begin,
    .next = next,
};
