/* run.c - takes a training run from where it stands to its end. Relied on elsewhere: best/
 * is written before last/ (a kill between the two repeats the evaluation); files are opened
 * before anything is computed. */
#include <inttypes.h>
#include <math.h>

#include "train/train_internal.h"

/* ---- what is due --------------------------------------------------------------------- */

/* How many times `every` epochs were finished at a step. */
static double epochs_done(const train_trainer *t, uint64_t step, double every)
{
    static const double rounding = 1e-9; /* of 0.1 times the parts of an epoch */

    return floor((double)step * t->recipe.train.accumulate /
                     ((double)t->parts_in_epoch * every) +
                 rounding);
}

/* Whether the step that was just done finished an epoch whose number is a multiple of every
 * (a step may finish several: accumulation over a small set), or such a part of one. */
static bool epoch_due(const train_trainer *t, double every)
{
    return t->at.step > 0 && every > 0 &&
           epochs_done(t, t->at.step, every) > epochs_done(t, t->at.step - 1, every);
}

static bool evaluation_due(const void *user)
{
    const train_trainer *t = user;

    const uint64_t steps = (uint64_t)t->recipe.train.eval_steps;

    return t->at.step > 0 && t->at.evaluated != t->at.step &&
           (t->at.step == t->total ||
            (steps > 0 ? t->at.step % steps == 0
                       : epoch_due(t, t->recipe.train.eval_every)));
}

static bool checkpoint_due(const void *user)
{
    const train_trainer *t = user;
    const uint64_t every = (uint64_t)t->recipe.train.checkpoint_every;

    return t->unsaved && t->at.step > 0 &&
           (t->at.step == t->total ||
            (every > 0 ? t->at.step % every == 0 : epoch_due(t, 1)));
}

static bool done(const void *user)
{
    const train_trainer *t = user;

    return t->at.step == t->total;
}

static bool stop(void *user)
{
    return train_stop_asked(user);
}

/* ---- what is done -------------------------------------------------------------------- */

static base_status save(void *user, base_error *err)
{
    train_trainer *t = user;

    train_say(t, TRAIN_PHASE_SAVING);
    base_status status = vit_optimizer_shared(t->optimizer, err);
    if (status == BASE_OK && train_leads(t))
        status = train_metrics_sync(&t->metrics, err);
    if (status == BASE_OK)
        status = train_state_save(t, "last", t->model, err);
    if (status == BASE_OK)
        t->unsaved = false;
    return status;
}

/* One evaluation, best/ when it is the best. */
static base_status evaluate(void *user, base_error *err)
{
    train_trainer *t = user;
    const train_watch *watch = &t->options.watch;
    const double before = t->eval_seconds;
    bool better = false;

    base_status status = train_trainer_evaluate(t, &better, err);
    if (status == BASE_OK && better)
        status = train_state_save(t, "best", t->averaged ? t->averaged : t->model, err);
    if (status == BASE_OK && watch->evaluated)
        status = watch->evaluated(watch->user, t, t->eval_seconds - before, better, err);
    return status;
}

static base_status step(void *user, base_error *err)
{
    return train_trainer_step(user, err);
}

/* Asked to stop: what is not saved yet is saved, then say how to go on. */
static base_status leave(void *user, base_error *err)
{
    train_trainer *t = user;
    const base_status status = t->unsaved ? save(t, err) : BASE_OK;

    if (status != BASE_OK)
        return status;
    return base_fail(err, BASE_INTERRUPTED,
                     "stopped at step %" PRIu64 " of %" PRIu64
                     ", the same command with --resume goes on from there",
                     t->at.step, t->total);
}

/* Files of the run, for the rank that writes them. found: it goes on. */
static base_status open_files(train_trainer *t, bool found, base_error *err)
{
    base_status status = base_folder_make(t->options.folder, err);

    if (status == BASE_OK)
        status = train_metrics_open(&t->metrics, t->metrics_path, !found, t->at.step,
                                    t->at.evaluated == t->at.step, err);
    return status == BASE_OK ? train_recipe_save(&t->recipe, t->recipe_path, err) : status;
}

/* Takes up the last checkpoint, else begins: files of the run open, recipe written. */
static base_status take_up(train_trainer *t, base_error *err)
{
    base_status status = BASE_OK;
    bool found = false, any = false;

    if (t->options.resume)
        status = train_state_load(t, &found, err);
    if (status == BASE_OK && train_leads(t))
        status = open_files(t, found, err);
    if (status == BASE_OK)
        status = train_ranks_meet(t, &any, err);
    if (status == BASE_OK && t->schedule.warmup > t->total)
        train_note(t, "warning",
                   "the warm-up of %" PRIu64 " steps is longer than the run of %" PRIu64
                   ": the learning rate %g is never reached",
                   t->schedule.warmup, t->total, t->recipe.lr);
    if (status == BASE_OK && t->options.resume)
        train_note(t, "resume",
                   found ? "going on at step %" PRIu64 " of %" PRIu64
                         : "no checkpoint yet, beginning at step %" PRIu64 " of %" PRIu64,
                   t->at.step, t->total);
    return status;
}

base_status train_trainer_run(train_trainer *trainer, base_error *err)
{
    train_trainer *t = trainer;
    const train_watch *watch = &t->options.watch;
    const train_loop loop = {t,        evaluation_due, checkpoint_due, done, stop,
                             evaluate, save,           step,           leave};
    base_status status = take_up(t, err);

    if (status != BASE_OK)
        return status;
    const uint64_t part = t->at.step * (uint64_t)t->recipe.train.accumulate;
    status = data_loader_seek(t->train_loader, part / t->parts_in_epoch,
                              part % t->parts_in_epoch, err);
    if (status == BASE_OK && watch->begun)
        watch->begun(watch->user, t);
    if (status == BASE_OK)
        status = train_loop_run(&loop, err);
    return status == BASE_OK ? vit_optimizer_shared(t->optimizer, err) : status;
}
