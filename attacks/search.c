/* search.c - a list of attacks as one piece of work: how much of it is done, a state that
 * is written as it goes and gone on from, and the control beside it. Free to change: how
 * often the state is written. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attacks/attacks.h"

/* Draws of the control where the attacks hold none; the attack's own default is 20. */
static const char control_spec[] = "noise:draws=5";

typedef struct watch {
    const attack_search *search;
    double saved, took; /* the state was written: when, and in how many seconds */
    double work[ATTACK_SEARCH_MAX], met[ATTACK_SEARCH_MAX]; /* by attack: attack_work;
                                                             * images */
    size_t work_count, met_count;
} watch;

/* The i-th of the specs; false past the end. */
static bool spec_at(char out[192], const attack_search *search, size_t i)
{
    const char *specs = search->specs;

    for (; i > 0; i--) {
        specs = strchr(specs, ' ');
        if (!specs)
            return false;
        specs++;
    }
    snprintf(out, 192, "%.*s", (int)strcspn(specs, " "), specs);
    return true;
}

/* What each of the attacks can cost. */
static base_status work_weigh(watch *w, base_error *err)
{
    const attack_search *s = w->search;
    char spec[192];

    for (; spec_at(spec, s, w->work_count); w->work_count++) {
        if (w->work_count == ATTACK_SEARCH_MAX)
            return base_fail(err, BASE_USAGE, "'%.40s...' holds more than %d attacks",
                             s->specs, (int)ATTACK_SEARCH_MAX);
        w->work[w->work_count] = attack_work(spec, s->target, s->config->norm);
        if (w->work[w->work_count] > 0)
            continue;
        const base_status status = attack_specs_check(spec, s->config->norm, err);
        return status == BASE_OK
                   ? base_fail(err, BASE_USAGE,
                               "'%s' is a preset, a search takes the attacks of it", spec)
                   : status;
    }
    return BASE_OK;
}

/* Share of the work. An attack's part is the most that it can cost an image times the
 * images that it meets; those to come meet what is left. Only what is known grows, and what
 * is to come shrinks. */
static double work_share(watch *w, const attack_progress *p)
{
    const double n = (double)w->search->n;
    const bool cascade = w->search->config->mode == ATTACK_MODE_CASCADE;
    const double rounds = p->restarts ? (double)p->restarts : 1;
    const double share =
        ((double)p->restart + (p->total ? (double)p->done / (double)p->total : 1)) / rounds;
    double done = 0, all = 0;

    if (w->met_count <= p->index) /* the images that this attack meets */
        w->met[p->index] = w->met_count == 0 || !cascade ? n : (double)p->robust;
    w->met_count = p->index + 1;
    for (size_t i = 0; i < w->work_count; i++) {
        const double met = i <= p->index ? w->met[i] : cascade ? (double)p->robust : n;
        all += w->work[i] * met;
        done += i < p->index    ? w->work[i] * met
                : i == p->index ? w->work[i] * met * fmin(share, 1)
                                : 0;
    }
    return all > 0 ? done / all : 0;
}

/* ---- what a run calls ---------------------------------------------------------------- */

static bool stop_asked(void *user)
{
    const attack_config *config = ((watch *)user)->search->config;

    return config->stop && config->stop(config->user);
}

static void progress_show(void *user, const attack_progress *p)
{
    watch *w = user;

    if (w->search->progress)
        w->search->progress(w->search->user, work_share(w, p), p);
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
    const base_status status =
        attack_run_save(run, w->search->state, w->search->fingerprint, err);

    w->saved = base_seconds();
    w->took = w->saved - began;
    return status;
}

/* ---- the search ---------------------------------------------------------------------- */

/* Attacks are added one after the other: after each the state is written. On resuming as
 * many are added at once as the state knows. */
static base_status state_resume(size_t *added, attack_run *run, const attack_search *s,
                                base_error *err)
{
    char spec[192];
    base_status status = BASE_OK;
    FILE *file = s->resume ? fopen(s->state, "rbe") : NULL;

    if (!file)
        return BASE_OK;
    fclose(file);
    while (spec_at(spec, s, *added)) {
        status = attack_run_add(run, spec, err);
        if (status != BASE_OK)
            return status;
        ++*added;
        status = attack_run_load(run, s->state, s->fingerprint, err);
        if (status != BASE_MISMATCH)
            break;
    }
    if (status != BASE_OK)
        base_error_prepend(err, "cannot resume '%s': ", s->name);
    return status;
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
    if (err)
        *err = other;
    return other.status;
}

base_status attack_search_go(attack_run **run, const attack_search *search, base_error *err)
{
    watch w = {.search = search, .saved = base_seconds()};
    attack_config config = *search->config;
    size_t added = 0;
    char spec[192];

    config.stop = stop_asked;
    config.progress = progress_show;
    config.save_due = save_due;
    config.save = state_save;
    config.user = &w;
    *run = NULL;
    base_status status = work_weigh(&w, err);
    if (status == BASE_OK)
        status = attack_run_create(run, search->target, &config, search->images,
                                   search->labels, search->n, err);
    if (status == BASE_OK)
        status = state_resume(&added, *run, search, err);
    if (status == BASE_OK && added > 0)
        status = go_and_save(*run, &w, err);
    while (status == BASE_OK && spec_at(spec, search, added)) {
        status = attack_run_add(*run, spec, err);
        added++;
        if (status == BASE_OK)
            status = go_and_save(*run, &w, err);
    }
    return status;
}

base_status attack_search_control(double *accuracy, const attack_search *search,
                                  const attack_run *run, base_error *err)
{
    const attack_result *first =
        attack_run_count(run) > 0 ? attack_run_result(run, 0) : NULL;
    attack_config plain = *search->config;
    attack_run *own = NULL;

    if (plain.eps == 0) {
        *accuracy = (double)attack_run_clean(run) / (double)search->n;
        return BASE_OK;
    }
    if (first && strcmp(first->name, "noise") == 0 && first->complete) {
        *accuracy = first->draw_accuracy; /* it has met every image */
        return BASE_OK;
    }
    plain.progress = NULL;
    plain.save_due = NULL;
    plain.save = NULL;
    plain.fixed_routing = false;
    base_status status = attack_run_create(&own, search->target, &plain, search->images,
                                           search->labels, search->n, err);
    if (status == BASE_OK)
        status = attack_run_add(own, control_spec, err);
    if (status == BASE_OK)
        status = attack_run_go(own, err);
    if (status == BASE_OK)
        *accuracy = attack_run_result(own, 0)->draw_accuracy;
    attack_run_destroy(own);
    return status;
}
