/* fgsm.c - one step along the gradient, and its iterated form with momentum. Goodfellow,
 * Shlens and Szegedy 2015, "Explaining and harnessing adversarial examples"; Dong et al.
 * 2018, "Boosting adversarial attacks with momentum" (MI-FGSM). No random start in
 * either. */
#include "attacks/attacks_internal.h"

#include <string.h>

#define BASE_STRUCT attack_settings
static const base_field fgsm_options[] = {
    BASE_CHOICE("loss", loss, "ce|margin|dlr", "what the gradient is of"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings fgsm_defaults = {0};

/* In the order of the choices. */
static const attack_loss losses[] = {ATTACK_LOSS_CE, ATTACK_LOSS_MARGIN, ATTACK_LOSS_DLR};

static void fgsm_plan(attack_plan *plan, const attack_spec *spec, const attack_task *task)
{
    (void)task; /* one step, as a plan has at first */
    plan->loss = losses[(size_t)spec->settings.loss];
}

static attack_want begin_at_image(attack_lane *lane)
{
    memcpy(lane->point, lane->x, lane->task->count * sizeof *lane->point);
    return ATTACK_WANT_GRADIENT;
}

static attack_want fgsm_next(attack_lane *lane)
{
    const attack_task *task = lane->task;

    if (lane->step++ == 1)
        return ATTACK_WANT_NO_MORE;
    attack_ascend(lane->point, lane->x, lane->gradient, task->eps, lane->x, task->count,
                  task->norm, task->eps);
    return ATTACK_WANT_LOGITS;
}

const attack_method attack_method_fgsm = {
    .name = "fgsm",
    .summary = "one gradient step of the full budget (Goodfellow et al. 2015)",
    .options = fgsm_options,
    .defaults = &fgsm_defaults,
    .norms = ATTACK_LINF | ATTACK_L2,
    .plan = fgsm_plan,
    .begin = begin_at_image,
    .next = fgsm_next,
};

#define BASE_STRUCT attack_settings
static const base_field mi_options[] = {
    BASE_INT("steps", steps, 1, 100000, "gradient steps"),
    BASE_REAL("decay", decay, 0, 10, "of the momentum, mu"),
    BASE_CHOICE("loss", loss, "ce|margin|dlr", "what the gradient is of"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings mi_defaults = {.steps = 10, .decay = 1};

enum { MOMENTUM, MI_ARRAYS };

static void mi_plan(attack_plan *plan, const attack_spec *spec, const attack_task *task)
{
    (void)task;
    plan->steps = (size_t)spec->settings.steps;
    plan->loss = losses[(size_t)spec->settings.loss];
}

static attack_want mi_begin(attack_lane *lane)
{
    memset(lane->array[MOMENTUM], 0, lane->task->count * sizeof *lane->array[MOMENTUM]);
    return begin_at_image(lane);
}

static attack_want mi_next(attack_lane *lane)
{
    const attack_task *task = lane->task;
    const double decay = task->spec->settings.decay;
    float *momentum = lane->array[MOMENTUM];

    if (lane->step == task->plan.steps)
        return ATTACK_WANT_NO_MORE;
    const double norm = attack_norm1(lane->gradient, task->count);
    for (size_t i = 0; norm > 0 && i < task->count; i++)
        momentum[i] =
            (float)(decay * (double)momentum[i] + (double)lane->gradient[i] / norm);
    attack_ascend(lane->point, lane->point, momentum, task->eps / (double)task->plan.steps,
                  lane->x, task->count, task->norm, task->eps);
    lane->step++;
    return lane->step == task->plan.steps ? ATTACK_WANT_LOGITS : ATTACK_WANT_GRADIENT;
}

const attack_method attack_method_mi_fgsm = {
    .name = "mi-fgsm",
    .summary = "gradient steps with momentum (Dong et al. 2018)",
    .options = mi_options,
    .defaults = &mi_defaults,
    .norms = ATTACK_LINF | ATTACK_L2,
    .arrays = MI_ARRAYS,
    .plan = mi_plan,
    .begin = mi_begin,
    .next = mi_next,
};
