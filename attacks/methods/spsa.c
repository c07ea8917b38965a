/* spsa.c - ascent along gradients estimated from differences of the loss: asks for
 * logits only. Follows Uesato et al. 2018, "Adversarial risk and the dangers of
 * evaluating against weak attacks" (arXiv 1802.05666), algorithm 1, after Spall 1992.
 * The estimate is taken at the current point: a widely used PyTorch version takes it at
 * a constant one and overstates robustness (attacks.md 7). Probes are not clipped. */
#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"

#include <string.h>

enum { CURRENT, DIRECTION, GRADIENT, MEAN, SQUARE, ARRAYS };

typedef struct spsa_state {
    /* 0: the current point is being looked at; 2 i + 1, 2 i + 2: the sides of pair i. */
    size_t probe;
    double plus; /* loss on the plus side */
} spsa_state;

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("steps", steps, 1, 100000, "steps of Adam"),
    BASE_INT("restarts", restarts, 1, 1000, "random starts"),
    BASE_INT("pairs", pairs, 1, 1e6, "random directions of a step, two evaluations each"),
    BASE_REAL("delta", delta, 1e-6, 1, "distance of the probes"),
    BASE_REAL("lr", lr, 1e-9, 10, "step length of Adam"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings defaults = {
    .steps = 100, .restarts = 1, .pairs = 128, .delta = 0.01, .lr = 0.01};

static void plan(attack_plan *p, const attack_spec *spec, const attack_task *task)
{
    (void)task;
    p->steps = (size_t)spec->settings.steps;
    p->restarts = (size_t)spec->settings.restarts;
    p->work = (double)p->steps * (2 * (double)spec->settings.pairs + 1);
}

static attack_want begin(attack_lane *lane)
{
    base_rng rng = attack_lane_rng(lane, 0);
    const size_t bytes = lane->task->count * sizeof(float);

    attack_random_start(lane->point, lane, &rng);
    memset(lane->array[MEAN], 0, bytes);
    memset(lane->array[SQUARE], 0, bytes);
    return ATTACK_WANT_LOGITS;
}

/* A new direction of signs, and the point on its plus side. */
static void probe_plus(attack_lane *lane, size_t pair)
{
    const attack_task *task = lane->task;
    const float delta = (float)task->spec->settings.delta;
    const size_t pairs = (size_t)task->spec->settings.pairs;
    base_rng rng = attack_lane_rng(lane, 1 + lane->step * pairs + pair);
    float *direction = lane->array[DIRECTION];
    uint32_t bits = 0;

    for (size_t i = 0; i < task->count; i++) {
        bits = i % 32 == 0 ? base_rng_u32(&rng) : bits >> 1;
        direction[i] = bits & 1 ? 1.0f : -1.0f;
        lane->point[i] = lane->array[CURRENT][i] + delta * direction[i];
    }
}

static void probe_minus(attack_lane *lane)
{
    const attack_task *task = lane->task;
    const float delta = (float)task->spec->settings.delta;

    for (size_t i = 0; i < task->count; i++)
        lane->point[i] = lane->array[CURRENT][i] - delta * lane->array[DIRECTION][i];
}

/* Adds one pair's share of the descent direction (Adam goes down, we want up). */
static void add_pair(attack_lane *lane, double difference)
{
    const attack_task *task = lane->task;
    const double pairs = task->spec->settings.pairs;
    const double delta = task->spec->settings.delta;
    const float slope = (float)(-difference / (2 * delta * pairs));

    for (size_t i = 0; i < task->count; i++)
        lane->array[GRADIENT][i] += slope * lane->array[DIRECTION][i];
}

static attack_want next(attack_lane *lane)
{
    spsa_state *s = lane->state;
    const attack_task *task = lane->task;
    const size_t bytes = task->count * sizeof(float);
    const size_t pairs = (size_t)task->spec->settings.pairs;

    if (s->probe == 0) {
        if (lane->step == task->plan.steps)
            return ATTACK_WANT_NO_MORE;
        memcpy(lane->array[CURRENT], lane->point, bytes);
        memset(lane->array[GRADIENT], 0, bytes);
        lane->candidate = false;
    } else if (s->probe % 2 == 1) {
        s->plus = lane->value;
        s->probe++;
        probe_minus(lane);
        return ATTACK_WANT_LOGITS;
    } else {
        add_pair(lane, s->plus - lane->value);
    }
    if (s->probe < 2 * pairs) {
        probe_plus(lane, s->probe / 2);
        s->probe++;
        return ATTACK_WANT_LOGITS;
    }
    attack_adam(lane->array[CURRENT], lane->array[MEAN], lane->array[SQUARE],
                lane->array[GRADIENT], task->count, task->spec->settings.lr, ++lane->step);
    memcpy(lane->point, lane->array[CURRENT], bytes);
    attack_project(lane->point, lane->x, task->count, task->norm, task->eps);
    lane->candidate = true;
    s->probe = 0;
    return ATTACK_WANT_LOGITS;
}

const attack_method attack_method_spsa = {
    .name = "spsa",
    .summary = "gradients estimated from differences, logits only (Uesato et al. 2018)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_LINF,
    .flags = ATTACK_BLACK_BOX,
    .arrays = ARRAYS,
    .state_bytes = sizeof(spsa_state),
    .plan = plan,
    .begin = begin,
    .next = next,
};
