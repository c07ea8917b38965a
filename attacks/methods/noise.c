/* noise.c - random perturbations at the full budget: the control that says how much of an
 * attack's success any noise would have had (attacks.md 7, "Random control"). */
#include "attacks/attacks_internal.h"

#include <math.h>

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("draws", draws, 1, 60000, "random images tried for each sample"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings defaults = {.draws = 20};

static void plan(attack_plan *plan, const attack_spec *spec, const attack_task *task)
{
    (void)task;
    plan->steps = (size_t)spec->settings.draws - 1;
    plan->work = (double)plan->steps + 1;
}

/* All of the budget on one coordinate, as far as the box lets it. */
static void draw_single(float *point, const attack_lane *lane, base_rng *rng)
{
    const size_t count = lane->task->count;

    for (size_t i = 0; i < count; i++)
        point[i] = lane->x[i];
    const size_t at = (size_t)base_rng_below(rng, count);
    point[at] += (float)((base_rng_u32(rng) & 1) ? lane->task->eps : -lane->task->eps);
}

static void draw_sphere(float *point, const attack_lane *lane, base_rng *rng)
{
    const size_t count = lane->task->count;

    for (size_t i = 0; i < count; i++)
        point[i] = (float)base_rng_normal(rng);
    const double scale = lane->task->eps / fmax(attack_norm2(point, count), 1e-12);
    for (size_t i = 0; i < count; i++)
        point[i] = (float)((double)lane->x[i] + scale * (double)point[i]);
}

static void draw_corner(float *point, const attack_lane *lane, base_rng *rng)
{
    const float eps = (float)lane->task->eps;
    uint32_t bits = 0;

    for (size_t i = 0; i < lane->task->count; i++, bits >>= 1) {
        if (i % 32 == 0)
            bits = base_rng_u32(rng);
        point[i] = lane->x[i] + ((bits & 1) ? eps : -eps);
    }
}

/* Even draws are uniform (Linf) or a projected normal (L1), odd ones a corner or one
 * coordinate. */
static attack_want draw(attack_lane *lane)
{
    const attack_task *task = lane->task;
    base_rng rng = attack_lane_rng(lane, lane->step);

    if (task->norm == ATTACK_NORM_L2)
        draw_sphere(lane->point, lane, &rng);
    else if (lane->step % 2 == 0)
        attack_random_start(lane->point, lane, &rng);
    else if (task->norm == ATTACK_NORM_LINF)
        draw_corner(lane->point, lane, &rng);
    else
        draw_single(lane->point, lane, &rng);
    attack_project(lane->point, lane->x, task->count, task->norm, task->eps);
    return ATTACK_WANT_LOGITS;
}

static attack_want next(attack_lane *lane)
{
    if (lane->step == lane->task->plan.steps)
        return ATTACK_WANT_NO_MORE;
    lane->step++;
    return draw(lane);
}

const attack_method attack_method_noise = {
    .name = "noise",
    .summary = "random noise at the full budget: the control",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_ALL_NORMS,
    .flags = ATTACK_ALL_STEPS | ATTACK_BLACK_BOX,
    .plan = plan,
    .begin = draw,
    .next = next,
};
