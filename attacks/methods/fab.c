/* fab.c - FAB and FAB-T: the nearest wrongly classified point, by projecting onto the
 * boundary of the linearised model inside the box, pulled towards the clean image, and
 * stepping back after each success. Follows Croce and Hein 2020 (arXiv 1907.02044),
 * algorithm 1; targeted as in AutoAttack (arXiv 2003.01690).
 * differs: gradients and the check of a new point share one pass of the model while the
 * search has not crossed the boundary. Free to change: that. Relied on: the sequence of
 * points. */
#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"

#include <math.h>
#include <string.h>

enum { MOVE, MOVE_CLEAN, PLANE, ARRAYS }; /* lane->array */

static const double norm_floor = 1e-8; /* of the two distances, as in the published code */

typedef struct fab_state {
    size_t step;
    bool checked;    /* the point is known to be rightly classified */
    bool crossed;    /* the last new point was wrongly classified */
    double gap;      /* to the nearest plane so far: how much z_t - z_y must rise */
    double distance; /* to it; negative: none yet */
} fab_state;

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("steps", steps, 1, 100000, "projections"),
    BASE_INT("restarts", restarts, 1, 1000,
             "starts; those after the first at a random point"),
    BASE_REAL("alpha", alpha, 0, 1, "largest pull towards the clean image"),
    BASE_REAL("overshoot", overshoot, 1, 10,
              "length of a step over the distance to the plane"),
    BASE_REAL("back", back, 0, 1,
              "how much of a success's distance is kept for the next try"),
    {0},
};
static const attack_settings defaults = {
    .steps = 100, .restarts = 1, .alpha = 0.1, .overshoot = 1.05, .back = 0.9};

static const base_field target_options[] = {
    BASE_INT("steps", steps, 1, 100000, "projections"),
    BASE_INT("restarts", restarts, 1, 1000,
             "starts; those after the first at a random point"),
    BASE_INT("targets", targets, 1, 1000, "classes tried, best first"),
    BASE_REAL("alpha", alpha, 0, 1, "largest pull towards the clean image"),
    BASE_REAL("overshoot", overshoot, 1, 10,
              "length of a step over the distance to the plane"),
    BASE_REAL("back", back, 0, 1,
              "how much of a success's distance is kept for the next try"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings target_defaults = {.steps = 100,
                                                .restarts = 1,
                                                .targets = 9,
                                                .alpha = 0.1,
                                                .overshoot = 1.05,
                                                .back = 0.9};

static bool targeted(const attack_lane *lane)
{
    return lane->task->spec->method == &attack_method_fab_t;
}

static void plan(attack_plan *p, const attack_spec *spec, const attack_task *task)
{
    p->steps = (size_t)spec->settings.steps;
    p->restarts = (size_t)spec->settings.restarts;
    p->loss = ATTACK_LOSS_MARGIN_TARGET;
    /* a step looks at its new point, then at the planes there: of one class, or of each */
    p->work = (double)p->steps * (1 + 3 * (double)(task->classes - 1));
    if (spec->method == &attack_method_fab_t) {
        p->aim = ATTACK_AIM_RANKS;
        p->work = 4 * (double)p->steps;
        p->targets = (size_t)spec->settings.targets;
    }
}

static float clamp01(double v)
{
    return (float)(v < 0 ? 0 : v > 1 ? 1 : v);
}

/* A random point at half the budget. */
static void random_point(attack_lane *lane)
{
    const attack_task *task = lane->task;
    base_rng rng = attack_lane_rng(lane, 0);

    for (size_t i = 0; i < task->count; i++)
        lane->point[i] =
            (float)(task->norm == ATTACK_NORM_LINF ? 2 * base_rng_uniform(&rng) - 1
                                                   : base_rng_normal(&rng));
    const double norm = attack_norm_of(lane->point, task->count, task->norm);
    const double scale = norm > 0 ? task->eps / 2 / norm : 0;
    for (size_t i = 0; i < task->count; i++)
        lane->point[i] = clamp01((double)lane->x[i] + scale * (double)lane->point[i]);
}

/* The next class whose plane is looked at, from `class` on; classes: none left. */
static int32_t other_class(const attack_lane *lane, int32_t class)
{
    return class == lane->label ? class + 1 : class;
}

/* Asks for the planes at the point, from the first class on. */
static attack_want planes(attack_lane *lane)
{
    fab_state *s = lane->state;

    s->distance = -1;
    if (!targeted(lane))
        lane->target = other_class(lane, 0);
    return ATTACK_WANT_GRADIENT;
}

static attack_want begin(attack_lane *lane)
{
    fab_state *s = lane->state;

    if (lane->task->classes < 2)
        return ATTACK_WANT_NO_MORE;
    if (lane->restart > 0)
        random_point(lane);
    else
        memcpy(lane->point, lane->x, lane->task->count * sizeof(float));
    s->checked = true; /* as in the published code: a first step even from a wrong start */
    return planes(lane);
}

/* point = clamp((1 - a)(point + eta d1) + a (x + eta d0)), a = |d1| / (|d1| + |d0|), at
 * most alpha. */
static void advance(attack_lane *lane, const float *w, double gap)
{
    const attack_task *task = lane->task;
    const double alpha = task->spec->settings.alpha;
    const double eta = task->spec->settings.overshoot;
    float *d1 = lane->array[MOVE], *d0 = lane->array[MOVE_CLEAN];
    double travelled = 0;

    for (size_t i = 0; i < task->count; i++)
        travelled += (double)w[i] * ((double)lane->point[i] - (double)lane->x[i]);
    attack_plane_move(d1, lane->point, w, gap, task->count, task->norm);
    attack_plane_move(d0, lane->x, w, gap + travelled, task->count, task->norm);
    const double n1 = fmax(attack_norm_of(d1, task->count, task->norm), norm_floor);
    const double n0 = fmax(attack_norm_of(d0, task->count, task->norm), norm_floor);
    const double a = fmin(n1 / (n1 + n0), alpha);
    for (size_t i = 0; i < task->count; i++)
        lane->point[i] = clamp01((1 - a) * ((double)lane->point[i] + eta * (double)d1[i]) +
                                 a * ((double)lane->x[i] + eta * (double)d0[i]));
}

/* Keeps the plane of lane->target when it is the nearest so far. */
static void consider(attack_lane *lane)
{
    fab_state *s = lane->state;
    const size_t count = lane->task->count;
    const double dual = attack_dual_norm_of(lane->gradient, count, lane->task->norm);
    const double distance = fabs(lane->value) / (dual + 1e-12);

    if (s->distance >= 0 && distance >= s->distance)
        return;
    s->distance = distance;
    s->gap = -lane->value;
    memcpy(lane->array[PLANE], lane->gradient, count * sizeof(float));
}

static attack_want next(attack_lane *lane)
{
    fab_state *s = lane->state;
    const attack_task *task = lane->task;
    const size_t steps = task->plan.steps;

    if (!s->checked) {
        const bool had_gradient = !s->crossed;
        s->crossed = lane->prediction != lane->label;
        if (s->step == steps)
            return ATTACK_WANT_NO_MORE;
        s->checked = true;
        if (s->crossed) {
            const double back = task->spec->settings.back;
            for (size_t i = 0; i < task->count; i++)
                lane->point[i] =
                    clamp01((double)lane->x[i] +
                            back * ((double)lane->point[i] - (double)lane->x[i]));
        }
        if (s->crossed || !had_gradient)
            return planes(lane);
    }

    const float *w = lane->gradient;
    double gap = -lane->value;
    if (!targeted(lane)) {
        consider(lane);
        lane->target = other_class(lane, lane->target + 1);
        if ((size_t)lane->target < task->classes)
            return ATTACK_WANT_GRADIENT;
        w = lane->array[PLANE];
        gap = s->gap;
    }
    advance(lane, w, gap);
    s->checked = false;
    lane->step = ++s->step;
    const attack_want want = planes(lane);
    return s->crossed || s->step == steps ? ATTACK_WANT_LOGITS : want;
}

const attack_method attack_method_fab = {
    .name = "fab",
    .summary =
        "smallest change, a gradient of each class at each step (Croce and Hein 2020)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_ALL_NORMS,
    .flags = ATTACK_MINIMAL,
    .arrays = ARRAYS,
    .state_bytes = sizeof(fab_state),
    .plan = plan,
    .begin = begin,
    .next = next,
};

const attack_method attack_method_fab_t = {
    .name = "fab-t",
    .summary = "smallest change to each of the likeliest classes (Croce and Hein 2020)",
    .options = target_options,
    .defaults = &target_defaults,
    .norms = ATTACK_ALL_NORMS,
    .flags = ATTACK_MINIMAL,
    .arrays = PLANE, /* the gradient itself is the plane */
    .state_bytes = sizeof(fab_state),
    .plan = plan,
    .begin = begin,
    .next = next,
};
