/* cw.c - CW-L2: the smallest L2 change by Adam in the space of arctanh, with a binary
 * search over the weight c of the misclassification term for each sample. Without that
 * search the outcome says little (attacks.md 7). Follows Carlini and Wagner 2017,
 * "Towards evaluating the robustness of neural networks" (arXiv 1608.04644), section
 * VI.A, and the stopping rule of its code. */
#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"

#include <math.h>
#include <string.h>

enum { WEIGHT, MEAN, SQUARE, GRADIENT, ARRAYS };

static const double SQUEEZE = 0.999999; /* keeps arctanh finite at pixels 0 and 1 */
static const double STALLED =
    0.9999; /* a tenth of the steps must bring the loss below this share */

typedef struct cw_state {
    size_t round, step;
    double c, low, high; /* high 0: none yet */
    bool succeeded;      /* in this round */
    double last;         /* loss at the last look */
} cw_state;

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("steps", steps, 1, 1e6, "steps of Adam in a round"),
    BASE_INT("rounds", rounds, 1, 30, "of the binary search over c"),
    BASE_REAL("c", c, 1e-9, 1e9, "first weight of the misclassification term"),
    BASE_REAL("lr", lr, 1e-9, 10, "step length of Adam"),
    BASE_CHOICE("aim", aim, "none|random|least|second|next", "towards which wrong class"),
    BASE_REAL("kappa", kappa, 0, 1e6, "margin by which the wrong class must win"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings defaults = {
    .steps = 1000, .rounds = 5, .c = 0.01, .lr = 0.005};

static void plan(attack_plan *p, const attack_spec *spec, const attack_task *task)
{
    (void)task;
    p->steps = (size_t)(spec->settings.steps * spec->settings.rounds);
    p->aim = (attack_aim)spec->settings.aim;
    p->loss = p->aim == ATTACK_AIM_NONE ? ATTACK_LOSS_MARGIN : ATTACK_LOSS_REACH_TARGET;
}

/* point = (tanh(w) + 1) / 2 */
static void put_point(attack_lane *lane)
{
    for (size_t i = 0; i < lane->task->count; i++)
        lane->point[i] = (tanhf(lane->array[WEIGHT][i]) + 1) / 2;
}

static attack_want start_round(attack_lane *lane)
{
    cw_state *s = lane->state;
    const attack_task *task = lane->task;

    for (size_t i = 0; i < task->count; i++)
        lane->array[WEIGHT][i] = (float)atanh((2 * (double)lane->x[i] - 1) * SQUEEZE);
    memset(lane->array[MEAN], 0, task->count * sizeof(float));
    memset(lane->array[SQUARE], 0, task->count * sizeof(float));
    s->step = 0;
    s->succeeded = false;
    s->last = INFINITY;
    put_point(lane);
    return ATTACK_WANT_GRADIENT;
}

static attack_want begin(attack_lane *lane)
{
    cw_state *s = lane->state;

    s->c = lane->task->spec->settings.c;
    return start_round(lane);
}

static attack_want next_round(attack_lane *lane)
{
    cw_state *s = lane->state;
    const attack_spec *spec = lane->task->spec;

    if (s->succeeded) { /* c lies between the two */
        s->high = s->c;
        s->c = (s->low + s->high) / 2;
    } else {
        s->low = s->c;
        s->c = s->high > 0 ? (s->low + s->high) / 2 : 10 * s->c;
    }
    s->round++;
    lane->step = s->round * (size_t)spec->settings.steps;
    if (s->round == (size_t)spec->settings.rounds)
        return ATTACK_WANT_NO_MORE;
    return start_round(lane);
}

static attack_want next(attack_lane *lane)
{
    cw_state *s = lane->state;
    const attack_task *task = lane->task;
    const attack_spec *spec = task->spec;
    const size_t steps = (size_t)spec->settings.steps;
    const size_t tenth = steps >= 10 ? steps / 10 : 1;
    const double kappa = spec->settings.kappa;
    /* minimised: |v - x|^2 + c max(z_y - max of others, -kappa), towards a target c max(max
     * of others - z_t, -kappa); lane->value is the negative of the maximum's argument */
    const double distance =
        attack_distance(lane->point, lane->x, task->count, ATTACK_NORM_L2);
    const double loss = distance * distance + s->c * fmax(-lane->value, -kappa);

    s->succeeded |= lane->prediction != lane->label && lane->value >= kappa;
    if (s->step == steps)
        return next_round(lane);
    if (s->step % tenth == 0) {
        /* differs: per image, where the published codes give up a whole batch; never with
         * all steps */
        if (task->early_stop && loss > STALLED * s->last)
            return next_round(lane);
        s->last = loss;
    }
    const double pull = lane->value < kappa ? s->c : 0;
    for (size_t i = 0; i < task->count; i++) {
        const double v = (double)lane->point[i];
        const double slope =
            2 * (v - (double)lane->x[i]) - pull * (double)lane->gradient[i];
        lane->array[GRADIENT][i] = (float)(slope * 2 * v * (1 - v)); /* dv/dw */
    }
    attack_adam(lane->array[WEIGHT], lane->array[MEAN], lane->array[SQUARE],
                lane->array[GRADIENT], task->count, spec->settings.lr, ++s->step);
    lane->step++;
    put_point(lane);
    return s->step == steps ? ATTACK_WANT_LOGITS : ATTACK_WANT_GRADIENT;
}

const attack_method attack_method_cw = {
    .name = "cw",
    .summary = "smallest L2 change with a search over c (Carlini and Wagner 2017)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_L2,
    .flags = ATTACK_MINIMAL,
    .arrays = ARRAYS,
    .state_bytes = sizeof(cw_state),
    .plan = plan,
    .begin = begin,
    .next = next,
};
