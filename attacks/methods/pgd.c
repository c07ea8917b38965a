/* pgd.c - projected gradient ascent with random starts (Madry et al. 2018, "Towards deep learning models
 * resistant to adversarial attacks"), untargeted, towards one chosen class, or towards several in turn
 * (Gowal et al. 2019, "An alternative surrogate loss", MultiTargeted). L1 steps move the q D
 * largest coordinates that can still move (Tramer and Boneh 2019, SLIDE). attacks.md 5. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

static const attack_option options[] = {
    {"steps", NULL, 20, 1, 100000, true, "gradient steps K"},
    {"restarts", NULL, 1, 1, 1000, true, "random starts"},
    {"alpha", NULL, NAN, 0, 1e6, false, "step in units of eps' (2/255); nan: by relative"},
    {"relative", NULL, 2.5, 0, 1e6, false, "step alpha as a multiple of eps / steps"},
    {"start", "random|none", 0, 0, 0, false,
     "where to start: in the ball, or at the image"},
    {"loss", "ce|margin|dlr", 0, 0, 0, false,
     "what is maximised, dlr only untargeted or 4 classes"},
    {"aim", "none|random|least|second|next", 0, 0, 0, false, "towards which wrong class"},
    {"targets", NULL, 0, 0, 1000, true, "aim at this many best wrong classes in turn"},
    {"sparsity", NULL, 0.01, 1e-6, 1, false, "L1: share of coordinates that a step moves"},
    {"eot", NULL, 1, 1, 1000, true, "evaluations averaged a point, for random models"},
    {0},
};

enum { MASK, SCRATCH, ARRAYS };

static void plan(attack_plan *plan, const attack_spec *spec, const attack_task *task)
{
    static const attack_loss losses[2][3] = {
        {ATTACK_LOSS_CE, ATTACK_LOSS_MARGIN, ATTACK_LOSS_DLR},
        {ATTACK_LOSS_CE_TARGET, ATTACK_LOSS_MARGIN_TARGET, ATTACK_LOSS_DLR_TARGET}};
    const size_t loss = (size_t)attack_spec_value(spec, "loss");

    (void)task;
    plan->steps = (size_t)attack_spec_value(spec, "steps");
    plan->restarts = (size_t)attack_spec_value(spec, "restarts");
    plan->eot = (size_t)attack_spec_value(spec, "eot");
    plan->targets = (size_t)attack_spec_value(spec, "targets");
    plan->aim =
        plan->targets > 0 ? ATTACK_AIM_RANKS : (attack_aim)attack_spec_value(spec, "aim");
    plan->loss = losses[plan->aim != ATTACK_AIM_NONE][loss];
}

static attack_want begin(attack_lane *lane)
{
    base_rng rng = attack_lane_rng(lane, 0);

    if (attack_spec_value(lane->task->spec, "start") == 0)
        attack_random_start(lane->point, lane, &rng);
    else
        memcpy(lane->point, lane->x, lane->task->count * sizeof *lane->point);
    return ATTACK_WANT_GRADIENT;
}

/* Steepest ascent in L1 spends all on one coordinate; q D of them make progress on images. Those at a face
 * of the box that the gradient pushes against cannot move. */
static void ascend_l1(attack_lane *lane, double alpha)
{
    const attack_task *task = lane->task;
    const float *g = lane->gradient;
    float *point = lane->point, *mask = lane->array[MASK];

    for (size_t i = 0; i < task->count; i++)
        mask[i] = (g[i] > 0 && point[i] < 1) || (g[i] < 0 && point[i] > 0);
    const double share = attack_spec_value(task->spec, "sparsity");
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
    double alpha = attack_spec_value(task->spec, "alpha");

    if (lane->step == task->plan.steps)
        return ATTACK_WANT_NO_MORE;
    if (isnan(alpha))
        alpha = attack_spec_value(task->spec, "relative") * task->eps /
                (double)task->plan.steps;
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
    .norms = ATTACK_ALL_NORMS,
    .arrays = ARRAYS,
    .plan = plan,
    .begin = begin,
    .next = next,
};
