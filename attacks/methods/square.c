/* square.c - Square: random search with squares of shrinking size that asks for logits
 * only. Follows Andriushchenko et al. 2020 (arXiv 1912.00049), algorithms 1 to 3, and
 * AutoAttack's schedule.
 * differs: places, signs and orientation are drawn for each sample, not for a batch, so
 * that a result does not hang on its neighbours; places reach the last row and column, as
 * in the paper, where the published code stops one short of them. On images that are not
 * square the side is capped by the shorter one. */
#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"

#include <math.h>
#include <string.h>

enum { BEST, DELTA, ARRAYS };

typedef struct square_state {
    size_t step;
    double best; /* loss of array[BEST] */
} square_state;

#define BASE_STRUCT attack_settings
static const base_field options[] = {
    BASE_INT("queries", queries, 1, 1e7, "after the first"),
    BASE_INT("restarts", restarts, 1, 1000, "independent searches"),
    BASE_REAL("p", p, 1e-6, 1, "share of pixels that the first squares change"),
    BASE_CHOICE("rescale", rescale, "no|yes",
                "stretch the schedule of 10,000 queries to these"),
    {0},
};
#undef BASE_STRUCT
static const attack_settings defaults = {.queries = 5000, .restarts = 1, .p = 0.8};

static void plan(attack_plan *p, const attack_spec *spec, const attack_task *task)
{
    (void)task;
    p->steps = (size_t)spec->settings.queries;
    p->restarts = (size_t)spec->settings.restarts;
    p->work = (double)p->steps + 1;
}

static float sign_of(base_rng *rng)
{
    return base_rng_u32(rng) & 1 ? 1.0f : -1.0f;
}

static float clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* point = clamp(x + eps delta / norm2(delta)). */
static void place(attack_lane *lane, const float *delta)
{
    const attack_task *task = lane->task;
    const double norm = attack_norm_of(delta, task->count, ATTACK_NORM_L2);
    const float scale = (float)(task->eps / (norm + 1e-12));

    for (size_t i = 0; i < task->count; i++)
        lane->point[i] = clamp01(lane->x[i] + scale * delta[i]);
}

/* Linf: stripes of one column, each wholly up or down (section 3.3, initialisation). */
static void stripes(attack_lane *lane, base_rng *rng)
{
    const attack_task *task = lane->task;

    for (size_t c = 0; c < task->channels; c++)
        for (size_t column = 0; column < task->width; column++) {
            const float shift = (float)task->eps * sign_of(rng);
            for (size_t row = 0; row < task->height; row++) {
                const size_t at = (c * task->height + row) * task->width + column;
                lane->point[at] = clamp01(lane->x[at] + shift);
            }
        }
}

/* L2: a grid of patterns with a sign for each channel (section 3.4, initialisation). */
static void tiles(attack_lane *lane, base_rng *rng)
{
    const attack_task *task = lane->task;
    const size_t h = task->height, w = task->width, shorter = h < w ? h : w;
    const size_t s = h / 5 < 2 ? (shorter < 2 ? 1 : 2) : h / 5 < w ? h / 5 : w;
    float *delta = lane->array[DELTA], *pattern = lane->point;

    memset(delta, 0, task->count * sizeof *delta);
    for (size_t top = (h - h / s * s) / 2; top + s <= h; top += s)
        for (size_t left = (w - w / s * s) / 2; left + s <= w; left += s) {
            attack_square_pattern(pattern, s, base_rng_u32(rng) & 1);
            for (size_t c = 0; c < task->channels; c++) {
                const float sign = sign_of(rng);
                for (size_t i = 0; i < s * s; i++)
                    delta[(c * h + top + i / s) * w + left + i % s] = sign * pattern[i];
            }
        }
    place(lane, delta);
}

static void square_linf(attack_lane *lane, size_t side, base_rng *rng)
{
    const attack_task *task = lane->task;
    const float eps = (float)task->eps;
    const size_t top = base_rng_below(rng, task->height - side + 1);
    const size_t left = base_rng_below(rng, task->width - side + 1);

    memcpy(lane->point, lane->array[BEST], task->count * sizeof(float));
    for (size_t c = 0; c < task->channels; c++) {
        const float shift = 2 * eps * sign_of(rng);
        for (size_t row = top; row < top + side; row++)
            for (size_t column = left; column < left + side; column++) {
                const size_t at = (c * task->height + row) * task->width + column;
                const float x = lane->x[at];
                /* from anywhere in the ball 2 eps lead to its face */
                lane->point[at] = clamp01(shift > 0 ? x + eps : x - eps);
            }
    }
}

typedef struct window {
    size_t top, left, side;
} window;

static bool inside(const window *w, size_t row, size_t column)
{
    return row >= w->top && row < w->top + w->side && column >= w->left &&
           column < w->left + w->side;
}

/* One channel of algorithm 3: the pattern takes over the mass of both windows and its
 * share of what the budget has left; the second window is emptied. delta [H, W]. */
static void move_mass(float *delta, const float *pattern, float sign, const window *w1,
                      const window *w2, size_t width, double spare)
{
    const size_t s = w1->side;
    double mass1 = 0, mass2 = 0, norm = 0;

    for (size_t i = 0; i < s * s; i++) {
        const size_t row = i / s, column = i % s;
        const double a = (double)delta[(w1->top + row) * width + w1->left + column];
        mass1 += a * a;
        if (!inside(w1, w2->top + row, w2->left + column)) {
            float *at = delta + (w2->top + row) * width + w2->left + column;
            mass2 += (double)*at * (double)*at;
            *at = 0;
        }
    }
    const float old = (float)(1 / (sqrt(mass1) + 1e-12));
    for (size_t i = 0; i < s * s; i++) {
        float *at = delta + (w1->top + i / s) * width + w1->left + i % s;
        *at = sign * pattern[i] + old * *at;
        norm += (double)*at * (double)*at;
    }
    const float scale = (float)(sqrt(spare + mass1 + mass2) / (sqrt(norm) + 1e-12));
    for (size_t i = 0; i < s * s; i++)
        delta[(w1->top + i / s) * width + w1->left + i % s] *= scale;
}

static void square_l2(attack_lane *lane, size_t side, base_rng *rng)
{
    const attack_task *task = lane->task;
    const size_t plane = task->height * task->width;
    float *delta = lane->array[DELTA], *pattern = lane->point;

    for (size_t i = 0; i < task->count; i++)
        delta[i] = lane->array[BEST][i] - lane->x[i];
    const double norm = attack_norm_of(delta, task->count, ATTACK_NORM_L2);
    const double spare =
        fmax(task->eps * task->eps - norm * norm, 0) / (double)task->channels;
    window w[2];
    for (int i = 0; i < 2; i++)
        w[i] = (window){base_rng_below(rng, task->height - side + 1),
                        base_rng_below(rng, task->width - side + 1), side};
    attack_square_pattern(pattern, side, base_rng_u32(rng) & 1);
    for (size_t c = 0; c < task->channels; c++)
        move_mass(delta + c * plane, pattern, sign_of(rng), &w[0], &w[1], task->width,
                  spare);
    place(lane, delta);
}

static attack_want begin(attack_lane *lane)
{
    base_rng rng = attack_lane_rng(lane, 0);

    if (lane->task->norm == ATTACK_NORM_L2)
        tiles(lane, &rng);
    else
        stripes(lane, &rng);
    return ATTACK_WANT_LOGITS;
}

static attack_want next(attack_lane *lane)
{
    square_state *s = lane->state;
    const attack_task *task = lane->task;

    if (lane->prediction != lane->label || s->step == task->plan.steps)
        return ATTACK_WANT_NO_MORE;
    if (s->step == 0 || lane->value > s->best) {
        s->best = lane->value;
        memcpy(lane->array[BEST], lane->point, task->count * sizeof(float));
    }

    const attack_spec *spec = task->spec;
    const double p = attack_square_share(spec->settings.p, s->step, task->plan.steps,
                                         spec->settings.rescale > 0);
    const size_t side = attack_square_side(p, task->height, task->width, task->norm);
    base_rng rng = attack_lane_rng(lane, s->step + 1);
    if (task->norm == ATTACK_NORM_L2)
        square_l2(lane, side, &rng);
    else
        square_linf(lane, side, &rng);
    lane->step = ++s->step;
    return ATTACK_WANT_LOGITS;
}

const attack_method attack_method_square = {
    .name = "square",
    .summary = "random search with squares, logits only (Andriushchenko et al. 2020)",
    .options = options,
    .defaults = &defaults,
    .norms = ATTACK_LINF | ATTACK_L2,
    .flags = ATTACK_BLACK_BOX,
    .arrays = ARRAYS,
    .state_bytes = sizeof(square_state),
    .plan = plan,
    .begin = begin,
    .next = next,
};
