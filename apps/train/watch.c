/* watch.c - what a person sees of a trainer at work, and what is kept of it beside the run.
 * Relied on elsewhere: the line of an evaluation. */
#include <inttypes.h>

#include "apps/network_internal.h"
#include "apps/train/internal.h"

static void loaders(void *user, data_loader_config *config, int workers)
{
    const app_watch *w = user;

    app_loader_threads(config, w->common, workers);
}

static void named(void *user, const data_source *source, size_t sample, data_health health,
                  const char *reason)
{
    const app_watch *w = user;
    app_bad_source bad = {w->bad_list, source};

    app_bad_source_named(&bad, sample, health, reason);
}

void app_watch_note(void *user, const char *subject, const char *line)
{
    app_watch *w = user;
    char shown[2048];

    if (subject)
        app_progress_line(&w->progress, "%-12s%s", subject,
                          base_quote(shown, sizeof shown, line));
    else
        app_progress_line(&w->progress, "%s", line);
}

static void begun(void *user, const train_trainer *t)
{
    app_watch *w = user;
    const uint64_t batch = (uint64_t)t->recipe.train.batch;

    app_progress_start(&w->progress, w->common, "train", "images", t->total * batch,
                       t->at.step * batch);
}

/* The curves are there from the first line on, and not older than half a minute. That they
 * cannot be written is told by the next evaluation. */
static void keep_curves(app_watch *w, const train_trainer *t)
{
    static const double pause = 30;

    if (!w->curves || t->metrics.lines == w->drawn_lines ||
        (w->drawn_lines > 0 && base_seconds() - w->drawn < pause))
        return;
    w->drawn = base_seconds();
    w->drawn_lines = t->metrics.lines;
    app_curves_write(w->curves, t->metrics_path, NULL);
}

static void stepped(void *user, const train_trainer *t, double lr)
{
    app_watch *w = user;
    const train_recipe *r = &t->recipe;
    double cv = 0;

    for (size_t i = 0; i < t->moe_count; i++)
        cv += vit_usage_summary(&t->load[i]).cv / (double)t->moe_count;
    const uint64_t epochs = t->total * (uint64_t)r->train.accumulate / t->parts_in_epoch;
    const uint64_t now = train_trainer_epochs(t, t->at.step - 1) + 1;
    char load[32] = "";
    if (t->moe_count > 0)
        snprintf(load, sizeof load, "  load cv %.2f", cv);
    app_progress_update(&w->progress, t->at.step * (uint64_t)r->train.batch,
                        "epoch %" PRIu64 "/%" PRIu64
                        "  loss %.3f  top-1 %.1f %%  step %" PRIu64 "  lr %.1e%s",
                        now, epochs > now ? epochs : now, t->shown_loss,
                        100 * t->shown_accuracy, t->at.step, lr, load);
    keep_curves(w, t);
}

const char *app_loss_text(char *out, size_t out_bytes, double loss)
{
    if (loss < 0)
        snprintf(out, out_bytes, "not finite");
    else
        snprintf(out, out_bytes, "%.4f", loss);
    return out;
}

static base_status evaluated(void *user, const train_trainer *t, double seconds,
                             bool better, base_error *err)
{
    app_watch *w = user;
    char duration[32], loss[32];

    app_progress_end(&w->progress);
    fprintf(app_result_stream(w->common),
            "epoch %g  step %" PRIu64 "  top-1 %.2f %%  loss %s  (%s)%s\n",
            (double)t->at.step * t->recipe.train.accumulate / (double)t->parts_in_epoch,
            t->at.step, 100 * t->at.last_accuracy,
            app_loss_text(loss, sizeof loss, t->at.last_loss),
            show_duration(duration, sizeof duration, seconds), better ? "  best" : "");
    fflush(app_result_stream(w->common));
    return w->curves ? app_curves_write(w->curves, t->metrics_path, err) : BASE_OK;
}

bool app_watch_stop(void *user)
{
    (void)user;
    return app_stop_asked();
}

train_options app_train_options(app_watch *watch, const char *folder, bool resume)
{
    watch->progress.on = !watch->common->quiet;
    return (train_options){
        .folder = folder,
        .resume = resume,
        .threads = (size_t)watch->common->threads,
        .loaders = loaders,
        .loaders_user = watch,
        .watch = {.user = watch,
                  .indexing = watch->common->quiet ? NULL : app_data_indexing,
                  .named = watch->bad_list ? named : NULL,
                  .note = app_watch_note,
                  .begun = begun,
                  .stepped = stepped,
                  .evaluated = evaluated,
                  .stop = app_watch_stop},
    };
}
