/* run.c - a run: what is attacked, by what, with which memory; and what came out. Free to
 * change: how memory is grouped. Relied on elsewhere: a refused create or add leaves
 * nothing behind, and nothing is allocated between attack_run_go and its return. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <string.h>

attack_config attack_config_defaults(void)
{
    return (attack_config){.norm = ATTACK_NORM_LINF,
                           .eps = 8.0 / 255,
                           .mode = ATTACK_MODE_CASCADE,
                           .early_stop = true};
}

static base_status check_budget(const attack_config *config, size_t count, base_error *err)
{
    const double eps = config->eps;
    const double widest = config->norm == ATTACK_NORM_LINF ? 1
                          : config->norm == ATTACK_NORM_L2 ? sqrt((double)count)
                                                           : (double)count;

    if (eps >= 0 && eps <= widest)
        return BASE_OK;
    if (config->norm == ATTACK_NORM_LINF && eps > 1 && eps <= 255)
        return base_fail(err, BASE_USAGE,
                         "eps is %.9g, but pixels lie in 0..1: did you mean %.9g/255?", eps,
                         eps);
    return base_fail(err, BASE_USAGE, "eps is %.9g, expected 0 to %.9g in %s", eps, widest,
                     attack_norm_name(config->norm));
}

static base_status check_target(const attack_target *target, const attack_config *config,
                                size_t n, size_t *count, base_error *err)
{
    size_t floats;

    if (target->classes < 2)
        return base_fail(err, BASE_USAGE,
                         "the model tells %zu class apart, an attack needs at least 2",
                         target->classes);
    if (n == 0)
        return base_fail(err, BASE_USAGE, "there are no images to attack");
    if (target->batch == 0 || !base_mul_size(count, target->channels, target->height) ||
        !base_mul_size(count, *count, target->width) || *count == 0 ||
        !base_mul_size(&floats, *count, n) ||
        !base_mul_size(&floats, *count, target->batch) || n > UINT32_MAX ||
        target->classes > INT32_MAX)
        return base_fail(err, BASE_USAGE, "%zu images of %zu x %zu x %zu, %zu at a time", n,
                         target->channels, target->height, target->width, target->batch);
    if (config->fixed_routing && !target->freeze)
        return base_fail(err, BASE_USAGE,
                         "routing cannot be fixed: the model has none, or cannot hold it");
    return check_budget(config, *count, err);
}

static base_status check_data(const float *images, const int32_t *labels, size_t n,
                              size_t count, size_t classes, base_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const float *x = images + i * count;
        if (labels[i] < 0 || (size_t)labels[i] >= classes)
            return base_fail(err, BASE_USAGE, "image %zu has label %d, expected 0 to %zu",
                             i, (int)labels[i], classes - 1);
        for (size_t j = 0; j < count; j++)
            if (!(x[j] >= 0 && x[j] <= 1))
                return base_fail(err, BASE_NUMERIC,
                                 "image %zu has the pixel value %g, expected 0 to 1", i,
                                 (double)x[j]);
    }
    return BASE_OK;
}

/* Hands out the memory of a run; walked twice over the same arena, first to measure, so
 * that the sizes cannot disagree with what is taken. What attacks need of it comes later
 * (grow_lanes). */
static void plan(attack_run *run)
{
    base_arena *arena = &run->arena;
    const size_t n = run->n, batch = run->target.batch;
    const size_t image_bytes = run->count * sizeof(float);
    const size_t logit_bytes = run->target.classes * sizeof(float);

    run->clean_logits = base_arena_take(arena, n, logit_bytes);
    run->samples = base_arena_take(arena, n, sizeof *run->samples);
    run->tried = base_arena_take(arena, n, 1);
    run->adversarial = base_arena_take(arena, n, image_bytes);
    run->trials = base_arena_take(arena, n, sizeof *run->trials);
    run->queue = base_arena_take(arena, n, sizeof *run->queue);
    run->batch_images = base_arena_take(arena, batch, image_bytes);
    run->batch_gradients = base_arena_take(arena, batch, image_bytes);
    run->batch_logits = base_arena_take(arena, batch, logit_bytes);
    run->batch_d_logits = base_arena_take(arena, batch, logit_bytes);
    run->batch_lane = base_arena_take(arena, batch, sizeof *run->batch_lane);
    run->pending = base_arena_take(arena, batch, image_bytes);
    run->pending_list = base_arena_take(arena, batch, sizeof *run->pending_list);
    run->lanes = base_arena_take(arena, batch, sizeof *run->lanes);
    run->confirmed = base_arena_take(arena, batch, sizeof *run->confirmed);
    run->sorting = base_arena_take(arena, n, sizeof *run->sorting);
    if (run->config.fixed_routing)
        run->batch_clean = base_arena_take(arena, batch, image_bytes);
}

base_status attack_run_create(attack_run **out, const attack_target *target,
                              const attack_config *config, const float *images,
                              const int32_t *labels, size_t n, base_error *err)
{
    size_t count;
    base_status status = check_target(target, config, n, &count, err);

    if (status == BASE_OK)
        status = check_data(images, labels, n, count, target->classes, err);
    if (status != BASE_OK)
        return status;
    attack_run *run = base_alloc(1, sizeof *run);
    if (!run)
        return base_fail(err, BASE_NO_MEMORY, "no memory for an attack");
    run->target = *target;
    run->config = *config;
    run->images = images;
    run->labels = labels;
    run->n = n;
    run->count = count;
    run->trials_of = SIZE_MAX;
    plan(run);
    const size_t bytes = run->arena.used;
    run->arena = (base_arena){.at = base_alloc(bytes, 1), .bytes = bytes};
    if (!run->arena.at) {
        base_free(run);
        return base_fail(err, BASE_NO_MEMORY,
                         "no memory to attack %zu images of %zu numbers", n, count);
    }
    plan(run);
    memcpy(run->adversarial, images, n * count * sizeof(float));
    for (size_t i = 0; i < n; i++)
        run->samples[i] = (attack_sample){.label = labels[i],
                                          .clean_prediction = -1,
                                          .prediction = -1,
                                          .attack = -1,
                                          .restart = -1,
                                          .step = -1,
                                          .clean_margin = NAN,
                                          .margin = NAN};
    *out = run;
    return BASE_OK;
}

void attack_run_destroy(attack_run *run)
{
    if (!run)
        return;
    for (size_t i = 0; i < run->entry_count; i++)
        base_free(run->entries[i].broke);
    base_free(run->entries);
    if (!run->config.fixed_routing) /* else it is of the plan */
        base_free(run->batch_clean);
    base_free(run->batch_route);
    base_free(run->lane_arrays);
    base_free(run->lane_states);
    base_free(run->eot_gradients);
    base_free(run->eot_logits);
    base_free(run->arena.at);
    base_free(run);
}

/* What the reader of a result must know about it, before it has run. */
static void describe(attack_entry *entry, const attack_run *run, const attack_task *task)
{
    const attack_method *method = entry->spec.method;
    attack_result *result = &entry->result;
    attack_plan asked = {1, 1, 1, 1, ATTACK_AIM_NONE, ATTACK_LOSS_MARGIN, 0};

    method->plan(&asked, &entry->spec, task);
    memcpy(result->spec, entry->spec.text, sizeof result->spec);
    result->settings = entry->spec.settings;
    result->name = method->name;
    result->loss = attack_loss_name(task->plan.loss);
    entry->rounds = task->plan.targets * task->plan.restarts;
    result->restarts = entry->rounds;
    if (method->flags & ATTACK_ROUTING) {
        result->loss = "routing";
        result->restarts = (size_t)entry->spec.settings.restarts;
    }
    if (asked.loss != task->plan.loss)
        snprintf(result->note, sizeof result->note,
                 "%s in place of %s: %zu classes are too few", result->loss,
                 attack_loss_name(asked.loss), run->target.classes);
    else if (asked.targets > task->plan.targets)
        snprintf(result->note, sizeof result->note,
                 "%zu targets in place of %zu: %zu classes", task->plan.targets,
                 asked.targets, run->target.classes);
    result->by_restart_count =
        entry->rounds < ATTACK_CURVE_MAX ? entry->rounds : ATTACK_CURVE_MAX;
    const size_t steps = task->plan.steps;
    result->curve_count = steps < ATTACK_CURVE_MAX ? steps + 1 : ATTACK_CURVE_MAX;
    for (size_t i = 0; i < result->curve_count; i++) {
        result->curve_step[i] =
            steps < ATTACK_CURVE_MAX ? i : i * steps / (ATTACK_CURVE_MAX - 1);
        result->curve[i] = NAN;
    }
    result->median_norm = result->max_norm = result->minimal_norm = NAN;
    result->queries_median = result->draw_accuracy = result->late_rise = NAN;
}

/* Most attacks that are added at once. */
enum { LIST_ROOM = 64 };

/* The next word of a list separated by blanks, as an attack or the words of a preset. */
static base_status parse_list(attack_spec *out, size_t *count, size_t room,
                              const char *list, attack_norm norm, bool in_preset,
                              base_error *err)
{
    base_status status = BASE_OK;

    for (const char *at = list + strspn(list, " "); *at && status == BASE_OK;) {
        char word[sizeof out->text];
        const size_t length = strcspn(at, " ");
        if (length >= sizeof word)
            return base_fail(err, BASE_USAGE,
                             "attack '%.40s...' is longer than %zu characters", at,
                             sizeof word - 1);
        memcpy(word, at, length);
        word[length] = 0;
        const char *preset = in_preset ? NULL : attack_preset(word, norm);
        if (preset)
            status = parse_list(out, count, room, preset, norm, true, err);
        else if (*count == room)
            status = base_fail(err, BASE_USAGE, "more than %zu attacks at once", room);
        else
            status = attack_spec_parse(&out[(*count)++], word, norm, err);
        at += length;
        at += strspn(at, " ");
    }
    return status;
}

base_status attack_specs_check(const char *specs, attack_norm norm, base_error *err)
{
    size_t count = 0;
    attack_spec *parsed = base_alloc(LIST_ROOM, sizeof *parsed);
    const base_status status =
        parsed ? parse_list(parsed, &count, LIST_ROOM, specs, norm, false, err)
               : base_fail(err, BASE_NO_MEMORY, "no memory for a list of attacks");

    base_free(parsed);
    return status;
}

/* Lanes have room for these attacks. Nothing is lost on failure. */
static base_status grow_lanes(attack_run *run, const attack_spec *specs, size_t count,
                              base_error *err)
{
    size_t arrays = run->arrays_each, state = run->state_each, floats;
    const size_t batch = run->target.batch;
    bool eot = false, routing = false;

    if (arrays == 0)
        arrays = 2; /* point and best */
    for (size_t i = 0; i < count; i++) {
        const attack_method *method = specs[i].method;
        arrays = method->arrays + 2 > arrays ? method->arrays + 2 : arrays;
        state = method->state_bytes > state ? method->state_bytes : state;
        eot = eot || attack_task_make(run, &specs[i]).plan.eot > 1;
        routing = routing || (method->flags & ATTACK_ROUTING);
    }
    state =
        (state + 63) / 64 * 64; /* a cache line each: lanes belong to different threads */
    if (eot && !run->eot_gradients) {
        run->eot_gradients = base_alloc(batch, run->count * sizeof(float));
        run->eot_logits = base_alloc(batch, run->target.classes * sizeof(float));
        if (!run->eot_gradients || !run->eot_logits)
            return base_fail(err, BASE_NO_MEMORY, "no memory for means over evaluations");
    }
    if (routing && !run->batch_route) {
        run->batch_route = base_alloc(batch, sizeof *run->batch_route);
        run->batch_clean = base_alloc(batch, run->count * sizeof(float));
        if (!run->batch_route || !run->batch_clean)
            return base_fail(err, BASE_NO_MEMORY, "no memory for the clean images");
    }
    if (arrays == run->arrays_each && state == run->state_each)
        return BASE_OK;
    if (!base_mul_size(&floats, arrays, run->count))
        floats = SIZE_MAX;
    float *fresh = floats <= SIZE_MAX / sizeof(float)
                       ? base_alloc(batch, floats * sizeof(float))
                       : NULL;
    unsigned char *states = base_alloc(batch, state);
    if (!fresh || !states) {
        base_free(fresh);
        base_free(states);
        return base_fail(err, BASE_NO_MEMORY, "no memory to attack %zu images at a time",
                         batch);
    }
    base_free(run->lane_arrays);
    base_free(run->lane_states);
    run->lane_arrays = fresh;
    run->lane_states = states;
    run->arrays_each = arrays;
    run->state_each = state;
    for (size_t i = 0; i < batch; i++) {
        attack_lane *lane = &run->lanes[i];
        float *own = fresh + i * floats;
        lane->point = own;
        lane->best = own + run->count;
        for (size_t a = 0; a + 2 < arrays; a++)
            lane->array[a] = own + (a + 2) * run->count;
        lane->state = states + i * state;
    }
    return BASE_OK;
}

static base_status add_entries(attack_run *run, const attack_spec *specs, size_t count,
                               base_error *err)
{
    attack_entry *entries = base_alloc(run->entry_count + count, sizeof *entries);
    bool whole = entries;

    for (size_t i = 0; whole && i < count; i++) {
        attack_entry *entry = &entries[run->entry_count + i];
        entry->spec = specs[i];
        entry->broke = base_alloc(run->n, 1);
        const attack_task task = attack_task_make(run, &entry->spec);
        describe(entry, run, &task);
        whole = entry->broke;
    }
    if (!whole) {
        for (size_t i = 0; entries && i < count; i++)
            base_free(entries[run->entry_count + i].broke);
        base_free(entries);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu attacks", count);
    }
    if (run->entry_count > 0)
        memcpy(entries, run->entries, run->entry_count * sizeof *entries);
    base_free(run->entries);
    run->entries = entries;
    run->entry_count += count;
    return BASE_OK;
}

/* A search for other experts can be made, and stands alone: examples are of one kind in a
 * run. */
static base_status check_routing(const attack_run *run, const attack_spec *specs,
                                 size_t count, base_error *err)
{
    const attack_spec *router = NULL;

    for (size_t i = 0; i < run->entry_count + count && !router; i++) {
        const attack_spec *spec = i < count ? &specs[i] : &run->entries[i - count].spec;
        router = spec->method->flags & ATTACK_ROUTING ? spec : NULL;
    }
    if (!router)
        return BASE_OK;
    if (!run->target.route_forward || !run->target.route_gradient)
        return base_fail(err, BASE_USAGE,
                         "attack '%s' needs a model with experts to choose from",
                         router->text);
    if (run->config.fixed_routing)
        return base_fail(err, BASE_USAGE,
                         "attack '%s' looks for other experts, but the routing is fixed",
                         router->text);
    if (run->entry_count + count > 1)
        return base_fail(err, BASE_USAGE,
                         "attack '%s' needs a run of its own: it looks for other experts, "
                         "not for mistakes",
                         router->text);
    return BASE_OK;
}

base_status attack_run_add(attack_run *run, const char *spec, base_error *err)
{
    size_t count = 0;
    attack_spec *specs = base_alloc(LIST_ROOM, sizeof *specs);
    base_status status =
        specs ? parse_list(specs, &count, LIST_ROOM, spec, run->config.norm, false, err)
              : base_fail(err, BASE_NO_MEMORY, "no memory for a list of attacks");

    if (status == BASE_OK && count == 0)
        status = base_fail(err, BASE_USAGE, "the list of attacks is empty");
    for (size_t i = 0; status == BASE_OK && i < count; i++) {
        const attack_task task = attack_task_make(run, &specs[i]);
        if (task.plan.targets * task.plan.restarts > UINT16_MAX)
            status = base_fail(
                err, BASE_USAGE, "attack '%s' has %zu rounds, expected at most %d",
                specs[i].text, task.plan.targets * task.plan.restarts, UINT16_MAX);
    }
    if (status == BASE_OK)
        status = check_routing(run, specs, count, err);
    if (status == BASE_OK)
        status = grow_lanes(run, specs, count, err);
    if (status == BASE_OK)
        status = add_entries(run, specs, count, err);
    base_free(specs);
    return status;
}

base_status attack_run_go(attack_run *run, base_error *err)
{
    base_status status = attack_clean_pass(run, err);

    for (size_t i = 0; status == BASE_OK && i < run->entry_count; i++)
        if (!run->entries[i].result.complete)
            status = attack_drive(run, i, err);
    return status;
}
