/* drive.c - one attack over all samples it is let at: lanes, batches, early stop
 * (attacks.md 4). A lane is refilled as soon as its sample is finished, so a batch is full
 * until the queue is empty; lanes that need no gradient are evaluated apart, without
 * backward. Free to change: the order of lanes in a batch. Relied on elsewhere: a sample's
 * course depends on its key, its image and the model alone. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

/* ---- evaluating all lanes ------------------------------------------------------------ */

static base_status evaluate_lanes(attack_run *run, const attack_task *task, size_t active,
                                  base_error *err)
{
    size_t rows = 0, with_gradient = 0;
    base_status status = BASE_OK;

    for (int pass = 0; pass < 2; pass++) {
        const attack_want want = pass == 0 ? ATTACK_WANT_GRADIENT : ATTACK_WANT_LOGITS;
        for (size_t i = 0; i < active; i++) {
            attack_lane *lane = &run->lanes[i];
            if (lane->want != want)
                continue;
            lane->value = 0;
            lane->logits = run->batch_logits + rows * task->classes;
            lane->gradient = pass == 0 ? run->batch_gradients + rows * run->count : NULL;
            memcpy(run->batch_images + rows * run->count, lane->point,
                   run->count * sizeof(float));
            if (run->batch_clean)
                memcpy(run->batch_clean + rows * run->count, lane->x,
                       run->count * sizeof(float));
            run->batch_lane[rows++] = i;
        }
        with_gradient = pass == 0 ? rows : with_gradient;
    }
    status = attack_evaluate(run, task, 0, with_gradient, true, err);
    if (status == BASE_OK)
        status =
            attack_evaluate(run, task, with_gradient, rows - with_gradient, false, err);
    if (run->config.fixed_routing) {
        const base_status freed = run->target.freeze(run->target.user, NULL, 0, err);
        status = status == BASE_OK ? freed : status;
    }
    for (size_t i = 0; status == BASE_OK && i < active; i++)
        run->lanes[i].prediction = attack_predict(run->lanes[i].logits, task->classes);
    return status;
}

/* ---- one attack ---------------------------------------------------------------------- */

/* The samples whose turn it is in a round. */
static size_t fill_queue(attack_run *run, const attack_task *task, size_t round)
{
    size_t count = 0;

    for (size_t i = 0; i < run->n; i++)
        if (attack_is_on(run, task, i, round))
            run->queue[count++] = i;
    return count;
}

/* A lane's success waits among the pending ones, which are confirmed when they fill a
 * batch. */
static base_status finish(attack_run *run, size_t entry, size_t round,
                          const attack_lane *lane, base_error *err)
{
    const base_status status = attack_note(run, entry, round, lane, err);

    if (status != BASE_OK || !lane->found)
        return status;
    memcpy(run->pending + run->pending_count * run->count, lane->best,
           run->count * sizeof(float));
    run->pending_list[run->pending_count++] =
        (attack_pending){lane->index, lane->best_step, lane->target, true};
    return run->pending_count < run->target.batch ? BASE_OK
                                                  : attack_confirm(run, entry, round, err);
}

/* Hands finished lanes over and moves the others to the front. */
static base_status collect(attack_run *run, size_t entry, size_t round, size_t *active,
                           base_error *err)
{
    base_status status = BASE_OK;

    for (size_t i = 0; status == BASE_OK && i < *active;) {
        if (run->lanes[i].want != ATTACK_WANT_NO_MORE) {
            i++;
            continue;
        }
        status = finish(run, entry, round, &run->lanes[i], err);
        const attack_lane kept = run->lanes[i];
        run->lanes[i] = run->lanes[--*active];
        run->lanes[*active] = kept;
    }
    return status;
}

/* Pixels of all lanes below which threads cost more than they save. */
enum { WORTH_THREADS = 2048 };

static base_status drive_round(attack_run *run, size_t entry, const attack_task *task,
                               size_t round, base_error *err)
{
    const attack_result *result = &run->entries[entry].result;
    const size_t total = fill_queue(run, task, round);
    size_t taken = 0, active = 0;
    base_status status = BASE_OK;

    while (status == BASE_OK && (taken < total || active > 0)) {
        if (run->config.stop && run->config.stop(run->config.user)) {
            status = base_fail(err, BASE_INTERRUPTED, "stopped during the attack '%s'",
                               result->spec);
            break;
        }
        while (active < run->target.batch && taken < total)
            attack_lane_begin(run, task, &run->lanes[active++], run->queue[taken++], round);
        status = evaluate_lanes(run, task, active, err);
        if (status != BASE_OK)
            break;
#pragma omp parallel for schedule(dynamic) if (active * task->count >= WORTH_THREADS)
        for (size_t i = 0; i < active; i++)
            attack_lane_answer(&run->lanes[i], result);
        status = collect(run, entry, round, &active, err);
        if (status == BASE_OK)
            status = attack_save_if_due(run, entry, round, err);
        attack_tell(run, entry, round, taken - active, total);
    }
    if (status != BASE_OK && status != BASE_INTERRUPTED)
        return status;
    base_error flushing = {0};
    const base_status flushed = attack_confirm(run, entry, round, &flushing);
    if (flushed == BASE_OK)
        return status;
    if (err)
        *err = flushing;
    return flushed;
}

static void start_trials(attack_run *run, size_t entry)
{
    if (run->trials_of == entry)
        return; /* goes on after a stop */
    for (size_t i = 0; i < run->n; i++) {
        const attack_sample *sample = &run->samples[i];
        const bool seen = sample->right &&
                          (run->config.mode == ATTACK_MODE_INDIVIDUAL || !sample->broken);
        run->trials[i] = (attack_trial){.seen = seen, .norm = NAN, .minimal_norm = NAN};
    }
    run->trials_of = entry;
}

base_status attack_drive(attack_run *run, size_t entry, base_error *err)
{
    const attack_task task = attack_task_make(run, &run->entries[entry].spec);
    const double start = base_seconds();
    base_status status = BASE_OK;

    start_trials(run, entry);
    /* Without a budget nothing can change: the clean pass has judged x. */
    for (size_t round = 0;
         status == BASE_OK && task.eps > 0 && round < run->entries[entry].rounds; round++)
        status = (run->config.fixed_batch ? attack_drive_groups
                                          : drive_round)(run, entry, &task, round, err);
    run->entries[entry].result.seconds += base_seconds() - start;
    run->entries[entry].result.complete = status == BASE_OK;
    attack_summarise(run, entry);
    if (status == BASE_OK)
        run->trials_of = SIZE_MAX;
    return status;
}
