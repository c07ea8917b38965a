/* search.c - the work of `vmoe attack`: one run of attacks/ for each budget, the control,
 * the routing, the checks. The budget that is reported in full comes first, so that a run
 * that is stopped has a headline. Relied on elsewhere: OUT/state holds what --resume goes
 * on from, and is gone when all is done. */
#include <math.h>
#include <unistd.h>

#include "apps/attack/internal.h"

/* ---- one budget ---------------------------------------------------------------------- */

enum { PROGRESS_UNITS = 10000 };

/* A search and its place in the order of work. */
typedef struct work {
    app_attack *a;
    const app_point *point;
    size_t place;
} work;

static bool stop_asked(void *user)
{
    (void)user;
    return app_stop_asked();
}

static void progress_show(void *user, double share, const attack_progress *p)
{
    const work *w = user;
    app_attack *a = w->a;
    const double done =
        ((double)w->place + share) / (double)(a->points + (a->router.spec[0] != 0));

    a->shown = fmax(a->shown, done);
    app_progress_update(&a->progress, (uint64_t)(a->shown * PROGRESS_UNITS),
                        "%s  %s  %zu of %zu  robust %.1f %%", w->point->budget.text,
                        p->attack, p->done, p->total,
                        100 * (double)p->robust / (double)a->n);
}

/* Its state is OUT/state/linf-0.0313725.state, name in front. */
static attack_search search_make(work *w, const char *specs, const char *name,
                                 const attack_target *target, const attack_config *config)
{
    const app_attack *a = w->a;

    return (attack_search){.target = target,
                           .config = config,
                           .images = a->read.pixels,
                           .labels = a->labels,
                           .n = a->n,
                           .specs = specs,
                           .state = app_text("%s/state/%s%s-%.9g.state", a->args->out, name,
                                             attack_norm_name((attack_norm)a->args->norm),
                                             w->point->budget.eps),
                           .fingerprint = a->fingerprint,
                           .resume = a->args->resume,
                           .name = a->args->out,
                           .progress = progress_show,
                           .user = w};
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

/* One budget, and random noise of the same size, which the page shows beside the attacks;
 * *run_out (NULL: not wanted) keeps the run. */
static base_status point_search(app_attack *a, app_point *point, size_t place,
                                attack_run **run_out, base_error *err)
{
    const attack_target target = measure_target_table(a->target);
    attack_config config = a->config;
    work w = {a, point, place};
    attack_run *run = NULL;

    config.eps = point->budget.eps / a->unit;
    point->noise_accuracy = (double)NAN;
    point->left = app_take(&a->pool, a->n, sizeof *point->left);
    const attack_search search = search_make(&w, a->specs, "", &target, &config);
    base_status status = attack_search_go(&run, &search, err);
    if (status == BASE_OK || status == BASE_INTERRUPTED)
        point_fill(point, run, a->n);
    point->complete = status == BASE_OK;
    if (status == BASE_OK)
        status = attack_search_control(&point->noise_accuracy, &search, run, err);
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
    const attack_target target = measure_target_table(a->target);
    work w = {a, &a->point[a->main], place};
    const attack_search search =
        search_make(&w, a->router.spec, "router-", &target, &a->config);
    attack_run *run = NULL;
    const base_status status = attack_search_go(&run, &search, err);

    if (status == BASE_OK ||
        (status == BASE_INTERRUPTED && run && attack_run_clean(run) > 0))
        a->router.run = run;
    else
        attack_run_destroy(run);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------- */

static base_status state_folder(const app_attack *a, const char *path, base_error *err)
{
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

static base_status routing_search(app_attack *a, bool *done, base_error *err)
{
    *done = true;
    if (vit_run_moe_count(measure_target_run(a->target)) == 0 ||
        !vit_router_uses_k(a->network.config->moe.router.name))
        return BASE_OK; /* no choices: the caution of its document says so */
    base_status status =
        measure_attacked_make(&a->routing, a->target, (size_t)a->args->common.batch, a->run,
                              a->read.pixels, &a->config, a->n, done, err);
    a->has_routing = status == BASE_OK && *done;
    if (!a->has_routing || !a->router.run)
        return status;
    status =
        measure_attacked_make(&a->router.routing, a->target, (size_t)a->args->common.batch,
                              a->router.run, a->read.pixels, &a->config, a->n, done, err);
    a->router.has_routing = status == BASE_OK && *done;
    return status;
}

/* What an attack on experts without limits leaves out: the network as it was trained, where
 * full experts drop tokens (attacks.md 9.4). It is as it was when this returns. */
static base_status capacity_search(app_attack *a, base_error *err)
{
    const vit_config as_is = *a->network.config;
    vit_config trained = as_is;
    measure_target *target = NULL;
    const size_t batch = (size_t)a->args->common.batch;
    size_t unused;

    if (!vit_config_is_sparse(&as_is) || !(as_is.moe.capacity > 0) ||
        as_is.moe.eval_capacity > 0)
        return BASE_OK;
    trained.moe.eval_capacity = as_is.moe.capacity;
    base_status status = vit_model_config_set(a->network.model, &trained, err);
    if (status != BASE_OK)
        return status;
    status = app_attack_target(&target, a, err);
    if (status == BASE_OK)
        status = measure_target_dropped(&a->trained.right, &a->trained.dropped[0], target,
                                        batch, a->read.pixels, a->labels, a->n, err);
    if (status == BASE_OK)
        status =
            measure_target_dropped(&unused, &a->trained.dropped[1], target, batch,
                                   attack_run_adversarial(a->run), a->labels, a->n, err);
    a->trained.known = status == BASE_OK;
    a->trained.capacity = as_is.moe.capacity;
    measure_target_destroy(target);
    const base_status back = vit_model_config_set(a->network.model, &as_is, err);
    return status == BASE_OK ? back : status;
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
    options.ordinary_right = a->args->labels == 1 ? a->n : a->read.right;
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
    const char *state = app_text("%s/state", a->args->out);
    base_status status = state_folder(a, state, err);
    bool done = true;
    size_t place = 0;

    a->config = attack_config_defaults();
    a->config.norm = (attack_norm)a->args->norm;
    a->config.seed = (uint64_t)a->args->common.seed;
    a->config.mode = (attack_mode)a->args->mode;
    a->config.early_stop = !a->args->all_steps;
    a->config.fixed_routing = a->args->fixed_routing;
    a->config.fixed_batch = vit_config_mixes_images(a->network.config);
    a->config.samples = a->read.sample;
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
        status = capacity_search(a, err);
    if (status == BASE_OK && done && a->args->checks == 0 && a->args->space == 0)
        status = checks_search(a, err);
    if (status == BASE_INTERRUPTED || (status == BASE_OK && !done)) {
        /* Nothing is known before the clean images have been looked at. */
        if (a->run && attack_run_clean(a->run) > 0)
            return BASE_OK;
        return base_fail(err, BASE_INTERRUPTED, "stopped before the first attack");
    }
    a->complete = status == BASE_OK;
    return a->complete ? base_folder_remove(state, err) : status;
}
