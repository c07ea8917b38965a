/* judge.c - what counts: the clean pass, the confirming pass on stored examples, their
 * 8-bit column, and the sums of an attack. Every verdict here comes from the target's plain
 * logits, the path of ordinary evaluation. Relied on elsewhere: only a confirmed success
 * breaks a sample. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

base_status attack_clean_pass(attack_run *run, base_error *err)
{
    const size_t classes = run->target.classes;

    for (size_t first = 0; !run->clean_done && first < run->n; first += run->target.batch) {
        const size_t left = run->n - first;
        const size_t count = left < run->target.batch ? left : run->target.batch;
        if (run->config.stop && run->config.stop(run->config.user))
            return base_fail(err, BASE_INTERRUPTED, "stopped during the clean images");
        const base_status status =
            run->target.logits(run->target.user, run->clean_logits + first * classes,
                               run->images + first * run->count, count, err);
        if (status != BASE_OK)
            return status;
    }
    for (size_t i = 0; !run->clean_done && i < run->n; i++) {
        attack_sample *sample = &run->samples[i];
        const float *logits = run->clean_logits + i * classes;
        sample->clean_prediction = sample->prediction = attack_predict(logits, classes);
        sample->clean_margin = sample->margin =
            (float)attack_margin(logits, classes, sample->label);
        sample->right = sample->clean_prediction == sample->label;
        sample->invalid = sample->clean_prediction < 0;
    }
    run->clean_done = true;
    return BASE_OK;
}

/* ---- successes ----------------------------------------------------------------------- */

/* A confirmed success. */
static void break_sample(attack_run *run, size_t entry, size_t round, size_t row,
                         const float *logits)
{
    const attack_pending *pending = &run->pending_list[row];
    const float *example = run->pending + row * run->count;
    const size_t i = pending->index, classes = run->target.classes;
    attack_sample *sample = &run->samples[i];
    attack_trial *trial = &run->trials[i];
    const double norm = attack_distance(example, run->images + i * run->count, run->count,
                                        run->config.norm);

    /* A later round of a search for the smallest norm may better its own. */
    const bool better = !trial->broken || norm < (double)trial->norm;
    if (!trial->broken)
        trial->broken_round = (uint16_t)round;
    trial->broken = 1;
    run->entries[entry].broke[i] = 1;
    if (!better)
        return;
    const int32_t prediction = attack_predict(logits, classes);
    trial->norm = (float)norm;
    trial->targeted = pending->target >= 0 && prediction == pending->target;
    if (sample->broken && sample->attack != (int)entry)
        return; /* the first attack to break a sample owns its example */
    sample->broken = true;
    sample->attack = (int)entry;
    sample->restart = (int)round;
    sample->step = (int)pending->step;
    sample->prediction = prediction;
    sample->margin = (float)attack_margin(logits, classes, sample->label);
    sample->norm = (float)norm;
    run->tried[i] = 1;
    memcpy(run->adversarial + i * run->count, example, run->count * sizeof *example);
}

/* The best try at a sample that is not broken. */
static void keep_try(attack_run *run, size_t index, const float *image, int32_t prediction,
                     double margin)
{
    attack_sample *sample = &run->samples[index];

    if (sample->broken)
        return;
    run->tried[index] = 1;
    memcpy(run->adversarial + index * run->count, image, run->count * sizeof *image);
    sample->prediction = prediction;
    sample->margin = (float)margin;
    sample->norm = (float)attack_distance(image, run->images + index * run->count,
                                          run->count, run->config.norm);
}

base_status attack_confirm(attack_run *run, size_t entry, size_t round, base_error *err)
{
    const size_t count = run->pending_count, classes = run->target.classes;
    const attack_target *target = &run->target;

    if (count == 0)
        return BASE_OK;
    run->pending_count = 0;
    base_status status =
        target->logits(target->user, run->batch_logits, run->pending, count, err);
    if (status != BASE_OK)
        return status;
    for (size_t row = 0; row < count; row++) {
        const float *logits = run->batch_logits + row * classes;
        const attack_pending *pending = &run->pending_list[row];
        const int32_t prediction = attack_predict(logits, classes);
        run->confirmed[row] = prediction >= 0 && prediction != run->labels[pending->index];
        run->confirmed[row] = run->confirmed[row] && pending->found;
        if (run->confirmed[row]) {
            break_sample(run, entry, round, row, logits);
        } else if (pending->found) {
            run->trials[pending->index].unconfirmed = 1;
            keep_try(run, pending->index, run->pending + row * run->count, prediction,
                     attack_margin(logits, classes, run->labels[pending->index]));
        }
    }
    for (size_t i = 0; i < count * run->count; i++)
        run->batch_images[i] = rintf(255 * run->pending[i]) / 255;
    status = target->logits(target->user, run->batch_logits, run->batch_images, count, err);
    for (size_t row = 0; status == BASE_OK && row < count; row++) {
        const size_t i = run->pending_list[row].index;
        const int32_t prediction =
            attack_predict(run->batch_logits + row * classes, classes);
        if (run->confirmed[row] && prediction >= 0 && prediction != run->labels[i])
            run->trials[i].broken_u8 = run->samples[i].broken_u8 = true;
    }
    return status;
}

static const double CURVE_LIMIT = 1e6;

/* Rounded to 2^-20, so that sums do not depend on their order; what is not a number counts
 * as 0. */
static int64_t curve_unit(double value)
{
    const double limit = CURVE_LIMIT, unit = 0x1p20;

    return (int64_t)rint(unit * (value > limit ? limit : value > -limit ? value : -limit));
}

static void add_curve(attack_entry *entry, const attack_lane *lane)
{
    for (size_t i = 0; i < entry->result.curve_count; i++)
        entry->curve_sum[i] +=
            curve_unit(i < lane->curve_filled ? lane->curve[i] : lane->top_value);
    entry->curve_samples++;
}

base_status attack_note(attack_run *run, size_t entry, size_t round,
                        const attack_lane *lane, base_error *err)
{
    const size_t i = lane->index;
    const bool minimal = run->entries[entry].spec.method->flags & ATTACK_MINIMAL;
    attack_trial *trial = &run->trials[i];

    if (lane->fault)
        return base_fail(
            err, BASE_INTERNAL,
            "attack '%s' left its budget at sample %zu: a fault of the program",
            run->entries[entry].spec.text, i);
    trial->rounds = (uint16_t)(round + 1);
    trial->queries += lane->evaluations;
    trial->grad_evals += lane->grad_evals;
    trial->draws += (uint32_t)lane->draws;
    trial->draws_right += (uint32_t)lane->draws_right;
    if (round == 0)
        trial->zero_grad = lane->zero_grad;
    if (lane->invalid)
        trial->invalid = run->samples[i].invalid = true;
    else if (round == 0)
        add_curve(&run->entries[entry], lane);
    if (minimal && lane->best_prediction >= 0 &&
        !((double)trial->minimal_norm <= lane->best_norm))
        trial->minimal_norm = (float)lane->best_norm;
    if (!minimal && !lane->found && lane->best_prediction >= 0)
        keep_try(run, i, lane->best, lane->best_prediction, lane->best_margin);
    return BASE_OK;
}

/* ---- sums ---------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* NaN of nothing; sorts values. */
static double median(double *values, size_t count)
{
    if (count == 0)
        return NAN;
    qsort(values, count, sizeof *values, by_value);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static void summarise_norms(attack_run *run, attack_result *result, bool minimal)
{
    size_t count = 0;

    result->max_norm = NAN;
    for (size_t i = 0; i < run->n; i++) {
        if (!run->trials[i].broken)
            continue;
        run->sorting[count++] = (double)run->trials[i].norm;
        result->max_norm = fmax(result->max_norm, (double)run->trials[i].norm);
    }
    result->median_norm = median(run->sorting, count);
    count = 0;
    for (size_t i = 0; i < run->n; i++)
        if (run->trials[i].broken)
            run->sorting[count++] = (double)run->trials[i].queries;
    result->queries_median = median(run->sorting, count);
    count = 0;
    for (size_t i = 0; i < run->n; i++)
        if (minimal && !isnan(run->trials[i].minimal_norm))
            run->sorting[count++] = (double)run->trials[i].minimal_norm;
    result->minimal_count = count;
    result->minimal_norm = median(run->sorting, count);
}

static void count_trial(attack_entry *entry, const attack_trial *trial)
{
    attack_result *result = &entry->result;

    result->evaluated += trial->seen;
    result->broken += trial->broken;
    result->invalid += trial->invalid;
    result->zero_grad += trial->zero_grad;
    result->unconfirmed += trial->unconfirmed && !trial->broken;
    result->targeted += trial->targeted;
    result->grad_evals += (double)trial->grad_evals;
    result->forward_evals += (double)trial->queries;
    for (size_t r = trial->broken_round; trial->broken && r < result->by_restart_count; r++)
        result->by_restart[r]++;
}

/* Of the curve, see attack_result; the first steps may have no value yet (L1's wider
 * budgets). */
static double late_rise(const attack_result *result, unsigned flags)
{
    const size_t count = result->curve_count;
    size_t first = 0;

    if (flags & (ATTACK_MINIMAL | ATTACK_ALL_STEPS))
        return NAN;
    while (first + 1 < count && !(result->curve[first] > -CURVE_LIMIT))
        first++;
    const size_t quarter = (count - 1 - first) / 4;
    const double end = result->curve[count - 1], rise = end - result->curve[first];
    if (quarter == 0 || isnan(rise))
        return NAN;
    return rise > 0 ? (end - result->curve[count - 1 - quarter]) / rise : 1;
}

double attack_run_budget_used(const attack_run *run)
{
    size_t count = 0;

    for (size_t i = 0; i < run->n; i++) {
        const attack_sample *s = &run->samples[i];
        if (s->right && !s->broken && !s->invalid && run->tried[i])
            run->sorting[count++] = (double)s->norm;
    }
    return median(run->sorting, count) / run->config.eps; /* eps 0: of none, not a number */
}

void attack_summarise(attack_run *run, size_t index)
{
    attack_entry *entry = &run->entries[index];
    attack_result *result = &entry->result;
    double right_draws = 0;
    size_t u8 = 0, own_u8 = 0;

    result->evaluated = result->broken = result->invalid = result->zero_grad = 0;
    result->unconfirmed = result->targeted = 0;
    result->grad_evals = result->forward_evals = 0;
    memset(result->by_restart, 0, sizeof result->by_restart);
    for (size_t i = 0; i < run->n; i++) {
        const attack_trial *trial = &run->trials[i];
        count_trial(entry, trial);
        right_draws += trial->draws > 0 ? (double)trial->draws_right / trial->draws : 0;
        u8 += run->samples[i].right && !run->samples[i].broken_u8;
        own_u8 += run->samples[i].right && !trial->broken_u8;
    }
    summarise_norms(run, result, entry->spec.method->flags & ATTACK_MINIMAL);
    result->robust_after = attack_run_robust(run);
    result->robust_after_u8 = u8;
    const bool cascade = run->config.mode == ATTACK_MODE_CASCADE;
    result->robust =
        cascade ? result->robust_after : attack_run_clean(run) - result->broken;
    result->robust_u8 = cascade ? u8 : own_u8;
    if (entry->spec.method->flags & ATTACK_ALL_STEPS)
        result->draw_accuracy = run->config.eps > 0
                                    ? right_draws / (double)run->n
                                    : (double)result->evaluated / (double)run->n;
    for (size_t i = 0; i < result->curve_count; i++)
        result->curve[i] = entry->curve_samples > 0 ? (double)entry->curve_sum[i] / 0x1p20 /
                                                          (double)entry->curve_samples
                                                    : (double)NAN;
    result->late_rise = late_rise(result, entry->spec.method->flags);
}
