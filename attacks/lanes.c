/* lanes.c - what both ways of driving an attack do with a lane: give it a sample, evaluate
 * its row, judge the answer (attacks.md 4). Relied on elsewhere: a sample's course depends
 * on its key, its image and the model alone. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

/* ---- targets ------------------------------------------------------------------------- */

/* The wrong class of the given rank by the clean logits, lowest class first on ties. */
static int32_t ranked_class(const attack_lane *lane, size_t classes, size_t rank)
{
    int32_t last = -1;

    for (size_t turn = 0; turn <= rank; turn++) {
        int32_t best = -1;
        for (int32_t c = 0; (size_t)c < classes; c++) {
            const float z = lane->clean_logits[c];
            const bool later = last < 0 || z < lane->clean_logits[last] ||
                               (z == lane->clean_logits[last] && c > last);
            if (c != lane->label && later && (best < 0 || z > lane->clean_logits[best]))
                best = c;
        }
        last = best;
    }
    return last;
}

static int32_t choose_target(const attack_lane *lane)
{
    const attack_task *task = lane->task;
    const size_t classes = task->classes;
    base_rng rng;

    switch (task->plan.aim) {
    case ATTACK_AIM_NONE: break;
    case ATTACK_AIM_RANDOM:
        rng = attack_lane_rng(lane, UINT64_MAX);
        return (int32_t)(((size_t)lane->label + 1 + base_rng_below(&rng, classes - 1)) %
                         classes);
    case ATTACK_AIM_LEAST: return ranked_class(lane, classes, classes - 2);
    case ATTACK_AIM_SECOND: return ranked_class(lane, classes, 0);
    case ATTACK_AIM_NEXT: return (int32_t)(((size_t)lane->label + 1) % classes);
    case ATTACK_AIM_RANKS: return ranked_class(lane, classes, lane->rank);
    }
    return -1;
}

/* ---- one lane ------------------------------------------------------------------------ */

void attack_lane_begin(attack_run *run, const attack_task *task, attack_lane *lane,
                       size_t index, size_t round)
{
    attack_lane fresh = {.task = task,
                         .x = run->images + index * run->count,
                         .clean_logits = run->clean_logits + index * task->classes,
                         .label = run->labels[index],
                         .sample = run->config.samples ? run->config.samples[index]
                                                       : (uint32_t)index,
                         .rank = round / task->plan.restarts,
                         .restart = round % task->plan.restarts,
                         .state = lane->state,
                         .point = lane->point,
                         .loss = task->plan.loss,
                         .candidate = true,
                         .index = index,
                         .best_value = -INFINITY,
                         .best_norm = INFINITY,
                         .best_margin = NAN,
                         .best_prediction = -1,
                         .best = lane->best,
                         .top_value = -INFINITY};

    memcpy(fresh.array, lane->array, sizeof fresh.array);
    memset(fresh.state, 0, run->state_each);
    *lane = fresh;
    lane->target = choose_target(lane);
    lane->want = task->spec->method->begin(lane);
}

static bool all_finite(const float *v, size_t count)
{
    float sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += v[i] * 0; /* 0, or NaN from the first that is not finite */
    return sum == 0;
}

static bool all_zero(const float *v, size_t count)
{
    size_t i = 0;

    while (i < count && v[i] == 0)
        i++;
    return i == count;
}

/* Inside budget and range, with the tolerances of attacks.md 2. */
static bool feasible(const attack_lane *lane)
{
    const attack_task *task = lane->task;
    const double slack = task->norm == ATTACK_NORM_LINF ? 1e-6 : 1e-5 * task->eps + 1e-6;

    for (size_t i = 0; i < task->count; i++)
        if (!(lane->point[i] >= 0 && lane->point[i] <= 1))
            return false;
    return attack_distance(lane->point, lane->x, task->count, task->norm) <=
           task->eps + slack;
}

static void keep_point(attack_lane *lane)
{
    memcpy(lane->best, lane->point, lane->task->count * sizeof *lane->best);
    lane->best_value = lane->value;
    lane->best_step = lane->step;
    lane->best_prediction = lane->prediction;
    lane->best_margin = attack_margin(lane->logits, lane->task->classes, lane->label);
}

/* What is worth keeping of a point that was classified wrongly, or not. */
static void judge(attack_lane *lane, bool wrong)
{
    const unsigned flags = lane->task->spec->method->flags;
    const bool minimal = flags & ATTACK_MINIMAL;

    if (flags & ATTACK_ROUTING) {
        if (lane->best_prediction >= 0 && !(lane->value > lane->best_value))
            return;
        keep_point(lane);
        lane->found = wrong;
        lane->fault = !feasible(lane);
    } else if (minimal && wrong) {
        const double norm =
            attack_distance(lane->point, lane->x, lane->task->count, lane->task->norm);
        if (norm < lane->best_norm) {
            keep_point(lane);
            lane->best_norm = norm;
            lane->found = norm <= lane->task->eps;
        }
    } else if (!minimal && wrong) {
        lane->fault = !feasible(lane);
        if (!lane->found || lane->value > lane->best_value)
            keep_point(lane);
        lane->found = true;
    } else if (!minimal && !lane->found &&
               (lane->best_prediction < 0 || lane->value > lane->best_value)) {
        keep_point(lane);
    }
}

void attack_lane_answer(attack_lane *lane, const attack_result *result)
{
    const attack_task *task = lane->task;

    lane->evaluations += task->plan.eot;
    if (lane->gradient)
        lane->grad_evals += task->plan.eot;
    if (lane->prediction < 0 ||
        (lane->gradient && !all_finite(lane->gradient, task->count))) {
        lane->invalid = true;
        lane->want = ATTACK_WANT_NO_MORE;
        return;
    }
    if (lane->gradient && lane->grad_evals == task->plan.eot)
        lane->zero_grad = all_zero(lane->gradient, task->count);
    if (lane->candidate) {
        while (lane->curve_filled < result->curve_count &&
               result->curve_step[lane->curve_filled] < lane->step)
            lane->curve[lane->curve_filled++] = lane->top_value;
        lane->top_value = fmax(lane->top_value, lane->value);
        lane->draws++;
        lane->draws_right += lane->prediction == lane->label;
        judge(lane, lane->prediction != lane->label);
    }
    lane->want = (lane->found && task->early_stop) || lane->fault
                     ? ATTACK_WANT_NO_MORE
                     : task->spec->method->next(lane);
}

/* ---- evaluating rows ----------------------------------------------------------------- */

/* The same rows for a ROUTING method: the target has its own loss. */
static base_status evaluate_routing(attack_run *run, size_t first, size_t count,
                                    bool gradient, base_error *err)
{
    const attack_target *target = &run->target;
    const float *logits = run->batch_logits + first * target->classes;
    const base_status status =
        target->route_forward(target->user, run->batch_logits + first * target->classes,
                              run->batch_route, run->batch_images + first * run->count,
                              run->batch_clean + first * run->count, count, err);

    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        attack_lane *lane = &run->lanes[run->batch_lane[first + i]];
        if (lane->want == ATTACK_WANT_NO_MORE)
            continue;
        lane->value = attack_predict(logits + i * target->classes, target->classes) >= 0
                          ? run->batch_route[i]
                          : (double)NAN;
    }
    if (status != BASE_OK || !gradient)
        return status;
    return target->route_gradient(target->user, run->batch_gradients + first * run->count,
                                  err);
}

/* The rows first .. first + count of the batch, with or without gradient; adds to eot's
 * sums. */
static base_status evaluate_rows(attack_run *run, size_t first, size_t count, bool gradient,
                                 base_error *err)
{
    const attack_target *target = &run->target;
    float *logits = run->batch_logits + first * target->classes;
    float *d_logits = run->batch_d_logits + first * target->classes;
    const float *images = run->batch_images + first * run->count;
    base_status status = BASE_OK;

    if (run->config.fixed_routing)
        status =
            target->freeze(target->user, run->batch_clean + first * run->count, count, err);
    if (status == BASE_OK)
        status = (gradient ? target->forward : target->logits)(target->user, logits, images,
                                                               count, err);
    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        attack_lane *lane = &run->lanes[run->batch_lane[first + i]];
        float *z = logits + i * target->classes, *d = d_logits + i * target->classes;
        const bool finite = attack_predict(z, target->classes) >= 0;
        const bool slope = lane->want == ATTACK_WANT_GRADIENT && finite;
        if (gradient && !slope)
            memset(d, 0, target->classes * sizeof *d);
        if (lane->want == ATTACK_WANT_NO_MORE)
            continue;
        lane->value += finite
                           ? attack_loss_compute(slope ? d : NULL, lane->loss, z,
                                                 target->classes, lane->label, lane->target)
                           : (double)NAN;
    }
    return gradient
               ? target->gradient(target->user, run->batch_gradients + first * run->count,
                                  d_logits, err)
               : BASE_OK;
}

/* The mean over eot evaluations in batch_logits, batch_gradients and the lanes' values. */
base_status attack_evaluate(attack_run *run, const attack_task *task, size_t first,
                            size_t count, bool gradient, base_error *err)
{
    const size_t eot = task->plan.eot;
    const size_t logits = count * run->target.classes, pixels = count * run->count;
    float *z = run->batch_logits + first * run->target.classes;
    float *g = run->batch_gradients + first * run->count;

    if (count > 0 && (task->spec->method->flags & ATTACK_ROUTING))
        return evaluate_routing(run, first, count, gradient, err);
    if (eot == 1 || count == 0)
        return count > 0 ? evaluate_rows(run, first, count, gradient, err) : BASE_OK;
    memset(run->eot_logits, 0, logits * sizeof *z);
    memset(run->eot_gradients, 0, pixels * sizeof *g);
    for (size_t turn = 0; turn < eot; turn++) {
        const base_status status = evaluate_rows(run, first, count, gradient, err);
        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < logits; i++)
            run->eot_logits[i] += z[i] / (float)eot;
        for (size_t i = 0; gradient && i < pixels; i++)
            run->eot_gradients[i] += g[i] / (float)eot;
    }
    memcpy(z, run->eot_logits, logits * sizeof *z);
    if (gradient)
        memcpy(g, run->eot_gradients, pixels * sizeof *g);
    for (size_t i = 0; i < count; i++)
        run->lanes[run->batch_lane[first + i]].value /= (double)eot;
    return BASE_OK;
}

/* ---- between rounds ------------------------------------------------------------------ */

bool attack_is_on(const attack_run *run, const attack_task *task, size_t index,
                  size_t round)
{
    const attack_trial *trial = &run->trials[index];
    const bool minimal = task->spec->method->flags & ATTACK_MINIMAL;

    return trial->seen && trial->rounds == round &&
           (!trial->broken || (minimal && !task->early_stop));
}

void attack_tell(const attack_run *run, size_t entry, size_t round, size_t done,
                 size_t total)
{
    const attack_progress progress = {.attack = run->entries[entry].result.name,
                                      .index = entry,
                                      .count = run->entry_count,
                                      .restart = round,
                                      .restarts = run->entries[entry].rounds,
                                      .done = done,
                                      .total = total,
                                      .robust = attack_run_robust(run)};

    if (run->config.progress)
        run->config.progress(run->config.user, &progress);
}

base_status attack_save_if_due(attack_run *run, size_t entry, size_t round, base_error *err)
{
    const attack_config *config = &run->config;

    if (!config->save_due || !config->save || !config->save_due(config->user))
        return BASE_OK;
    const base_status status = attack_confirm(run, entry, round, err);
    return status == BASE_OK ? config->save(config->user, run, err) : status;
}
