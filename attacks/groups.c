/* groups.c - attacks on a model whose answer to an image depends on its neighbours
 * (capacity-limited routing drops tokens for the sake of other images): the composition of
 * every batch is fixed, nothing is compacted, finished samples stay where they are
 * (attacks.md 9.4). What comes out holds for these groups only. Relied on elsewhere: group
 * g is samples g * batch and on, as in the clean pass. */
#include "attacks/attacks_internal.h"

#include <string.h>

/* A lane for every sample of the group; those whose turn it is not stand still at what is
 * stored. Returns how many take part. */
static size_t enter(attack_run *run, const attack_task *task, size_t first, size_t rows,
                    size_t round)
{
    size_t active = 0;

    for (size_t row = 0; row < rows; row++) {
        attack_lane *lane = &run->lanes[row];
        run->batch_lane[row] = row;
        if (attack_is_on(run, task, first + row, round)) {
            attack_lane_begin(run, task, lane, first + row, round);
            active++;
            continue;
        }
        lane->task = NULL;
        lane->want = ATTACK_WANT_NO_MORE;
        memcpy(lane->point, run->adversarial + (first + row) * run->count,
               run->count * sizeof(float));
    }
    return active;
}

/* One evaluation of the whole group. */
static base_status evaluate(attack_run *run, const attack_task *task, size_t first,
                            size_t rows, base_error *err)
{
    bool gradient = false;

    for (size_t row = 0; row < rows; row++) {
        attack_lane *lane = &run->lanes[row];
        gradient = gradient || lane->want == ATTACK_WANT_GRADIENT;
        lane->value = 0;
        memcpy(run->batch_images + row * run->count, lane->point,
               run->count * sizeof(float));
        if (run->batch_clean)
            memcpy(run->batch_clean + row * run->count,
                   run->images + (first + row) * run->count, run->count * sizeof(float));
    }
    const base_status status = attack_evaluate(run, task, 0, rows, gradient, err);
    if (!run->config.fixed_routing)
        return status;
    const base_status freed = run->target.freeze(run->target.user, NULL, 0, err);
    return status == BASE_OK ? freed : status;
}

/* The lanes read their answers. Returns how many go on; the others stand still at their
 * best, or where they ended when there is none (a search for the smallest norm that found
 * no mistake). */
static size_t answer(attack_run *run, const attack_task *task, const attack_result *result,
                     size_t rows)
{
    size_t active = 0;

    for (size_t row = 0; row < rows; row++) {
        attack_lane *lane = &run->lanes[row];
        if (lane->want == ATTACK_WANT_NO_MORE)
            continue;
        lane->logits = run->batch_logits + row * task->classes;
        lane->gradient = lane->want == ATTACK_WANT_GRADIENT
                             ? run->batch_gradients + row * run->count
                             : NULL;
        lane->prediction = attack_predict(lane->logits, task->classes);
        attack_lane_answer(lane, result);
        if (lane->want != ATTACK_WANT_NO_MORE)
            active++;
        else if (lane->best_prediction >= 0)
            memcpy(lane->point, lane->best, run->count * sizeof(float));
    }
    return active;
}

/* Notes what the lanes have come to and judges the successes among all that is stored of
 * the group. */
static base_status leave(attack_run *run, size_t entry, size_t first, size_t rows,
                         size_t round, base_error *err)
{
    base_status status = BASE_OK;

    for (size_t row = 0; status == BASE_OK && row < rows; row++)
        if (run->lanes[row].task)
            status = attack_note(run, entry, round, &run->lanes[row], err);
    if (status != BASE_OK)
        return status;
    for (size_t row = 0; row < rows; row++) {
        const attack_lane *lane = &run->lanes[row];
        const bool found = lane->task && lane->found;
        memcpy(run->pending + row * run->count,
               found ? lane->best : run->adversarial + (first + row) * run->count,
               run->count * sizeof(float));
        run->pending_list[row] = (attack_pending){first + row, found ? lane->best_step : 0,
                                                  found ? lane->target : -1, found};
    }
    run->pending_count = rows;
    return attack_confirm(run, entry, round, err);
}

base_status attack_drive_groups(attack_run *run, size_t entry, const attack_task *task,
                                size_t round, base_error *err)
{
    const attack_result *result = &run->entries[entry].result;
    base_status status = BASE_OK;

    for (size_t first = 0; status == BASE_OK && first < run->n;
         first += run->target.batch) {
        const size_t left = run->n - first;
        const size_t rows = left < run->target.batch ? left : run->target.batch;
        size_t active = enter(run, task, first, rows, round);
        const bool any = active > 0;
        while (status == BASE_OK && active > 0) {
            if (run->config.stop && run->config.stop(run->config.user))
                return base_fail(err, BASE_INTERRUPTED, "stopped during the attack '%s'",
                                 result->spec);
            status = evaluate(run, task, first, rows, err);
            if (status == BASE_OK)
                active = answer(run, task, result, rows);
            if (status == BASE_OK)
                status = attack_save_if_due(run, entry, round, err);
            attack_tell(run, entry, round, first, run->n);
        }
        if (status == BASE_OK && any)
            status = leave(run, entry, first, rows, round, err);
    }
    return status;
}
