/* search.c - the work of `vmoe attack`: one run of attacks/ for each budget, the control,
 * the routing, the checks. The budget that is reported in full comes first, so that a run
 * that is stopped has a headline. Relied on elsewhere: OUT/state holds what --resume goes
 * on from, and is gone when all is done. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "apps/attack/internal.h"

/* Draws of the control where the attacks hold none; the attack's own default is 20. */
static const char control_spec[] = "noise:draws=5";

/* The i-th spec of a list separated by blanks; false past the end. */
static bool spec_at(char *out, size_t bytes, const char *specs, size_t i)
{
    for (; i > 0; i--) {
        specs = strchr(specs, ' ');
        if (!specs)
            return false;
        specs++;
    }
    snprintf(out, bytes, "%.*s", (int)strcspn(specs, " "), specs);
    return true;
}

/* ---- one budget ---------------------------------------------------------------------- */

typedef struct watch {
    app_attack *a;
    const app_point *point;
    const char *specs;  /* attacks, separated by blanks */
    const char *path;   /* of the state */
    size_t place;       /* of the point in the order of work */
    double saved, took; /* the state was written: when, and in how many seconds */
    double work[APP_ATTACKS_MAX], met[APP_ATTACKS_MAX]; /* by attack: attack_work; images */
    size_t work_count, met_count;
} watch;

enum { PROGRESS_UNITS = 10000 };

static bool stop_asked(void *user)
{
    (void)user;
    return app_stop_asked();
}

/* Share of the work at one budget. An attack's part is the most that it can cost an image
 * times the images that it meets; those to come meet what is left. Only what is known
 * grows, and what is to come shrinks. */
static double work_share(watch *w, const attack_progress *p)
{
    const app_attack *a = w->a;
    const bool cascade = a->args->mode == ATTACK_MODE_CASCADE;
    const double rounds = p->restarts ? (double)p->restarts : 1;
    const double share =
        ((double)p->restart + (p->total ? (double)p->done / (double)p->total : 1)) / rounds;
    double done = 0, all = 0;

    if (w->met_count <= p->index) /* the images that this attack meets */
        w->met[p->index] = w->met_count == 0 || !cascade ? (double)a->n : (double)p->robust;
    w->met_count = p->index + 1;
    for (size_t i = 0; i < w->work_count; i++) {
        const double met = i <= p->index ? w->met[i]
                           : cascade     ? (double)p->robust
                                         : (double)a->n;
        all += w->work[i] * met;
        done += i < p->index    ? w->work[i] * met
                : i == p->index ? w->work[i] * met * fmin(share, 1)
                                : 0;
    }
    return all > 0 ? done / all : 0;
}

static void progress_show(void *user, const attack_progress *p)
{
    watch *w = user;
    app_attack *a = w->a;
    const double done = ((double)w->place + work_share(w, p)) /
                        (double)(a->points + (a->router.spec[0] != 0));

    a->shown = fmax(a->shown, done);
    app_progress_update(&a->progress, (uint64_t)(a->shown * PROGRESS_UNITS),
                        "%s  %s  %zu of %zu  robust %.1f %%", w->point->budget.text,
                        p->attack, p->done, p->total,
                        100 * (double)p->robust / (double)a->n);
}

/* Half a minute of work may be lost to a machine that dies; large examples are written less
 * often, a twentieth of the time being enough. */
static bool save_due(void *user)
{
    const watch *w = user;

    return base_seconds() - w->saved > fmax(30, 20 * w->took);
}

static base_status state_save(void *user, const attack_run *run, base_error *err)
{
    watch *w = user;
    const double began = base_seconds();
    const base_status status = attack_run_save(run, w->path, w->a->fingerprint, err);

    w->saved = base_seconds();
    w->took = w->saved - began;
    return status;
}

/* OUT/state/linf-0.0313725.state, name in front. */
static const char *state_path(const app_attack *a, const char *name, double eps)
{
    return app_text("%s/state/%s%s-%.9g.state", a->args->out, name,
                    attack_norm_name((attack_norm)a->args->norm), eps);
}

/* Attacks are added one after the other: after each the state is written. With --resume as
 * many are added at once as the state knows. */
static base_status state_resume(size_t *added, attack_run *run, const watch *w,
                                base_error *err)
{
    const app_attack *a = w->a;
    char spec[192];
    base_status status = BASE_OK;
    FILE *file = fopen(w->path, "rbe");

    *added = 0;
    if (!file)
        return BASE_OK;
    fclose(file);
    while (spec_at(spec, sizeof spec, w->specs, *added)) {
        status = attack_run_add(run, spec, err);
        if (status != BASE_OK)
            return status;
        ++*added;
        status = attack_run_load(run, w->path, a->fingerprint, err);
        if (status != BASE_MISMATCH)
            break;
    }
    if (status != BASE_OK)
        base_error_prepend(err, "cannot resume '%s': ", a->args->out);
    return status;
}

/* What a run knows into the point. */
static void point_fill(app_point *point, const attack_run *run, size_t n)
{
    point->clean = attack_run_clean(run);
    point->robust = attack_run_robust(run);
    point->count = attack_run_count(run);
    for (size_t i = 0; i < point->count; i++)
        point->result[i] = *attack_run_result(run, i);
    for (size_t i = 0; i < n; i++) {
        const attack_sample s = attack_run_sample(run, i);

        point->left[i] = s.right && !s.broken;
    }
}

/* Clean first in the list, noise has met every sample. */
static bool noise_is_first(const app_point *point)
{
    return point->count > 0 && strcmp(point->result[0].name, "noise") == 0 &&
           point->result[0].complete;
}

/* Random noise of the same budget, which the page shows beside the attacks. */
static base_status control_measure(app_attack *a, app_point *point,
                                   const attack_config *config, base_error *err)
{
    const attack_target table = measure_target_table(a->target);
    attack_run *run = NULL;
    attack_config plain = *config;

    if (point->budget.eps == 0) {
        point->noise_accuracy = (double)point->clean / (double)a->n;
        return BASE_OK;
    }
    if (noise_is_first(point)) {
        point->noise_accuracy = point->result[0].draw_accuracy;
        return BASE_OK;
    }
    plain.progress = NULL;
    plain.save_due = NULL;
    plain.save = NULL;
    plain.fixed_routing = false;
    base_status status =
        attack_run_create(&run, &table, &plain, a->images, a->labels, a->n, err);
    if (status == BASE_OK)
        status = attack_run_add(run, control_spec, err);
    if (status == BASE_OK)
        status = attack_run_go(run, err);
    if (status == BASE_OK)
        point->noise_accuracy = attack_run_result(run, 0)->draw_accuracy;
    attack_run_destroy(run);
    return status;
}

/* What each of the attacks can cost. */
static void work_weigh(watch *w, const attack_target *target)
{
    char spec[192];

    for (w->work_count = 0; w->work_count < APP_ATTACKS_MAX &&
                            spec_at(spec, sizeof spec, w->specs, w->work_count);
         w->work_count++)
        w->work[w->work_count] = attack_work(spec, target, (attack_norm)w->a->args->norm);
}

/* Attacks whatever has been added, then writes the state. */
static base_status go_and_save(attack_run *run, watch *w, base_error *err)
{
    const base_status status = attack_run_go(run, err);
    base_error other = {0};

    if (status != BASE_OK && status != BASE_INTERRUPTED)
        return status;
    if (state_save(w, run, &other) == BASE_OK)
        return status;
    *err = other;
    return other.status;
}

static base_status point_go(attack_run *run, watch *w, size_t added, base_error *err)
{
    char spec[192];
    base_status status = added > 0 ? go_and_save(run, w, err) : BASE_OK;

    while (status == BASE_OK && spec_at(spec, sizeof spec, w->specs, added)) {
        status = attack_run_add(run, spec, err);
        added++;
        if (status == BASE_OK)
            status = go_and_save(run, w, err);
    }
    return status;
}

/* Attacks as w says, from where a state ends; *run is the caller's in any case. */
static base_status run_search(attack_run **run, watch *w, attack_config *config,
                              base_error *err)
{
    const app_attack *a = w->a;
    const attack_target table = measure_target_table(a->target);
    size_t added = 0;

    config->user = w;
    w->saved = base_seconds();
    work_weigh(w, &table);
    base_status status =
        attack_run_create(run, &table, config, a->images, a->labels, a->n, err);
    if (status == BASE_OK && a->args->resume)
        status = state_resume(&added, *run, w, err);
    return status == BASE_OK ? point_go(*run, w, added, err) : status;
}

/* One budget; *run_out (NULL: not wanted) keeps the run. */
static base_status point_search(app_attack *a, app_point *point, size_t place,
                                attack_run **run_out, base_error *err)
{
    attack_run *run = NULL;
    const char *path = state_path(a, "", point->budget.eps);
    watch w = {.a = a, .point = point, .specs = a->specs, .path = path, .place = place};
    attack_config config = a->config;
    base_status status = BASE_OK;

    config.eps = point->budget.eps / a->unit;
    config.progress = progress_show;
    config.save_due = save_due;
    config.save = state_save;
    point->noise_accuracy = (double)NAN;
    point->left = app_take(&a->pool, a->n, sizeof *point->left);
    status = run_search(&run, &w, &config, err);
    if (status == BASE_OK || status == BASE_INTERRUPTED)
        point_fill(point, run, a->n);
    point->complete = status == BASE_OK;
    if (status == BASE_OK)
        status = control_measure(a, point, &config, err);
    if (run_out && (status == BASE_OK || status == BASE_INTERRUPTED)) {
        a->config = config;
        *run_out = run;
        run = NULL;
    }
    attack_run_destroy(run);
    return status;
}

/* The search for other experts at the budget of main: a run of its own, which breaks
 * nothing. */
static base_status router_search(app_attack *a, size_t place, base_error *err)
{
    const app_point *point = &a->point[a->main];
    const char *path = state_path(a, "router-", point->budget.eps);
    watch w = {
        .a = a, .point = point, .specs = a->router.spec, .path = path, .place = place};
    attack_config config = a->config;
    attack_run *run = NULL;
    const base_status status = run_search(&run, &w, &config, err);

    if (status == BASE_OK ||
        (status == BASE_INTERRUPTED && run && attack_run_clean(run) > 0))
        a->router.run = run;
    else
        attack_run_destroy(run);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------- */

static base_status state_folder(const app_attack *a, base_error *err)
{
    const char *path = app_text("%s/state", a->args->out);
    base_status status = BASE_OK;

    if (!a->args->resume)
        status = base_folder_remove(path, err);
    else if (access(path, F_OK) != 0)
        app_note(&a->args->common,
                 "vmoe attack: '%s' holds nothing to go on from, beginning anew",
                 a->args->out);
    if (status == BASE_OK)
        status = base_folder_make(path, err);
    return status;
}

static base_status state_remove(const app_attack *a, base_error *err)
{
    return base_folder_remove(app_text("%s/state", a->args->out), err);
}

static base_status routing_search(app_attack *a, bool *done, base_error *err)
{
    *done = true;
    if (vit_run_moe_count(measure_target_run(a->target)) == 0 ||
        !vit_router_uses_k(a->network.config->moe.router.name))
        return BASE_OK; /* no choices: app_attack_caution says so */
    base_status status =
        measure_attacked_make(&a->routing, a->target, (size_t)a->args->common.batch, a->run,
                              a->images, &a->config, a->n, done, err);
    a->has_routing = status == BASE_OK && *done;
    if (!a->has_routing || !a->router.run)
        return status;
    status =
        measure_attacked_make(&a->router.routing, a->target, (size_t)a->args->common.batch,
                              a->router.run, a->images, &a->config, a->n, done, err);
    a->router.has_routing = status == BASE_OK && *done;
    return status;
}

static void check_show(void *user, size_t begun, const char *id, const char *title)
{
    app_attack *a = user;

    (void)title;
    app_progress_update(&a->progress, begun, "check %zu of %d (%s)", begun + 1,
                        ATTACK_CHECK_COUNT, id);
}

static base_status checks_search(app_attack *a, base_error *err)
{
    attack_check_options options = attack_check_options_defaults();
    attack_target transfer = {0};

    if (a->transfer) {
        transfer = measure_target_table(a->transfer);
        options.transfer = &transfer;
    }
    options.ordinary_right = a->args->labels == 1 ? a->n : a->ordinary;
    options.stop = stop_asked;
    options.progress = check_show;
    options.user = a;
    app_progress_start(&a->progress, &a->args->common, "checks", NULL, ATTACK_CHECK_COUNT,
                       0);
    const base_status status = attack_checks(a->check, a->run, &options, err);
    app_progress_end(&a->progress);
    a->has_checks = status == BASE_OK;
    return status;
}

base_status app_attack_search(app_attack *a, base_error *err)
{
    base_status status = state_folder(a, err);
    bool done = true;
    size_t place = 0;

    a->config = attack_config_defaults();
    a->config.norm = (attack_norm)a->args->norm;
    a->config.seed = (uint64_t)a->args->common.seed;
    a->config.mode = (attack_mode)a->args->mode;
    a->config.early_stop = !a->args->all_steps;
    a->config.fixed_routing = a->args->fixed_routing;
    a->config.fixed_batch = strcmp(app_attack_routing_mode(a), "batch") == 0;
    a->config.samples = a->samples;
    a->config.stop = stop_asked;
    app_progress_start(&a->progress, &a->args->common, "attack", NULL, PROGRESS_UNITS, 0);
    if (status == BASE_OK)
        status = point_search(a, &a->point[a->main], place++, &a->run, err);
    for (size_t i = 0; i < a->points && status == BASE_OK; i++)
        if (i != a->main)
            status = point_search(a, &a->point[i], place++, NULL, err);
    if (status == BASE_OK && a->router.spec[0])
        status = router_search(a, place, err);
    app_progress_end(&a->progress);
    a->budget_used = a->run ? attack_run_budget_used(a->run) : (double)NAN;
    if (status == BASE_OK)
        status = routing_search(a, &done, err);
    if (status == BASE_OK && done)
        status = app_attack_capacity(a, err);
    if (status == BASE_OK && done && a->args->checks == 0 && a->args->space == 0)
        status = checks_search(a, err);
    if (status == BASE_INTERRUPTED || (status == BASE_OK && !done)) {
        /* Nothing is known before the clean images have been looked at. */
        if (a->run && attack_run_clean(a->run) > 0)
            return BASE_OK;
        return base_fail(err, BASE_INTERRUPTED, "stopped before the first attack");
    }
    a->complete = status == BASE_OK;
    return a->complete ? state_remove(a, err) : status;
}
