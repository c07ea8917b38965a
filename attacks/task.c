/* task.c - what an attack is of one target: its plan, its loss, its stream of random
 * numbers. Relied on elsewhere: the keys of the streams, for ever. */
#include "attacks/attacks_internal.h"

attack_task attack_task_make(const attack_run *run, const attack_spec *spec)
{
    const attack_target *target = &run->target;
    attack_task task = {
        .classes = target->classes,
        .channels = target->channels,
        .height = target->height,
        .width = target->width,
        .count = run->count,
        .norm = run->config.norm,
        .eps = run->config.eps,
        .seed = run->config.seed,
        .early_stop = run->config.early_stop,
        .spec = spec,
        .plan = {
            .steps = 1, .restarts = 1, .targets = 1, .eot = 1, .loss = ATTACK_LOSS_MARGIN}};

    if (spec->method->flags & (ATTACK_ALL_STEPS | ATTACK_ROUTING))
        task.early_stop = false;
    spec->method->plan(&task.plan, spec, &task);
    task.plan.loss = attack_loss_fallback(task.plan.loss, task.classes);
    if (task.plan.aim != ATTACK_AIM_RANKS)
        task.plan.targets = 1;
    else if (task.plan.targets > task.classes - 1)
        task.plan.targets = task.classes - 1;
    return task;
}

double attack_work(const char *spec, const attack_target *target, attack_norm norm)
{
    const attack_run view = {.target = *target,
                             .config = {.norm = norm},
                             .count = target->channels * target->height * target->width};
    attack_spec parsed;

    if (attack_spec_parse(&parsed, spec, norm, NULL) != BASE_OK)
        return 0;
    const attack_plan plan = attack_task_make(&view, &parsed).plan;
    const double round = plan.work > 0 ? plan.work : 3 * ((double)plan.steps + 1);
    return round * (double)(plan.restarts * plan.targets * plan.eot);
}

base_rng attack_lane_rng(const attack_lane *lane, uint64_t step)
{
    uint64_t words[24] = {lane->restart, lane->rank};
    size_t count = 2;

    for (const char *c = lane->task->spec->method->name; *c && count < 24; c++)
        words[count++] = (uint64_t)(unsigned char)*c;
    return base_rng_make(lane->task->seed, BASE_PURPOSE_ATTACK, base_key(words, count),
                         lane->sample, step);
}
