/* attacked.c - what an attack does to the routing (attacks.md 9.5, 9.6): which tokens
 * changed their experts, by how much their probabilities moved, and the same under random
 * noise of the same budget, without which no such number means anything; then whether the
 * errors outlive the change (replay). Follows Puigcerver et al. 2022, "On the adversarial
 * robustness of mixture of experts" (arXiv 2210.10253), appendix, for the change of routing
 * as 1 - IoU; differs: tokens with no expert on either side are left out of the mean and
 * counted. Relied on elsewhere: sums run in the order of the samples. */
#include <math.h>
#include <string.h>

#include "measure/measure.h"

typedef struct work {
    measure_target *target;
    size_t batch, classes, floats;
    measure_trace clean, other;
    float *x, *v, *noise; /* [batch, D] */
    float *logits;        /* [batch, K] */
    size_t *index;        /* [batch] samples */
} work;

/* A draw of the norm's ball around x: what an attacker without aim would do. */
static void noise_make(float *v, const float *x, size_t count, const attack_config *config,
                       uint64_t sample)
{
    enum { CONTROL = 0x726f7574 }; /* "rout": a stream of its own among the attacks' */
    base_rng rng = base_rng_make(config->seed, BASE_PURPOSE_ATTACK, CONTROL, sample, 0);
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        const double d = config->norm == ATTACK_NORM_LINF ? 2 * base_rng_uniform(&rng) - 1
                                                          : base_rng_normal(&rng);
        sum += d * d;
        v[i] = (float)d;
    }
    const double scale =
        config->eps * (config->norm == ATTACK_NORM_L2 ? 1 / fmax(sqrt(sum), 1e-12) : 1);
    for (size_t i = 0; i < count; i++)
        v[i] = (float)((double)x[i] + scale * (double)v[i]);
    attack_project(v, x, count, config->norm, config->eps);
}

static bool answers(const work *w, size_t i, int32_t label)
{
    return attack_predict(w->logits + i * w->classes, w->classes) == label;
}

/* Errors that stay with the clean image's experts; clean answers that stay with the
 * others'. */
static base_status replay(measure_attacked *out, work *w, const attack_run *run,
                          size_t count, base_error *err)
{
    base_status status = measure_target_freeze(w->target, w->x, count, err);

    if (status == BASE_OK)
        status = measure_target_look(w->target, w->logits, w->v, count, err);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        const attack_sample s = attack_run_sample(run, w->index[i]);

        out->kept += s.broken && !answers(w, i, s.label);
    }
    if (status == BASE_OK)
        status = measure_target_freeze(w->target, w->v, count, err);
    if (status == BASE_OK)
        status = measure_target_look(w->target, w->logits, w->x, count, err);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        out->clean_right += answers(w, i, attack_run_sample(run, w->index[i]).label);
    const base_status freed = measure_target_freeze(w->target, NULL, 0, err);
    return status == BASE_OK ? freed : status;
}

static base_status batch_measure(measure_attacked *out, work *w, const attack_run *run,
                                 const attack_config *config, size_t count, base_error *err)
{
    const vit_run *passes = measure_target_run(w->target);
    base_status status = measure_target_look(w->target, w->logits, w->x, count, err);

    if (status != BASE_OK)
        return status;
    measure_trace_take(&w->clean, passes);
    for (size_t i = 0; i < count; i++)
        measure_shift_assigned(out->shift[MEASURE_GROUP_ALL], 0, passes, i);
    status = measure_target_look(w->target, w->logits, w->v, count, err);
    if (status != BASE_OK)
        return status;
    measure_trace_take(&w->other, passes);
    for (size_t i = 0; i < count; i++) {
        const bool broken = attack_run_sample(run, w->index[i]).broken;

        out->change[w->index[i]] = (float)measure_shift_add(
            out->shift[MEASURE_GROUP_ALL],
            out->shift[broken ? MEASURE_GROUP_BROKEN : MEASURE_GROUP_SURVIVED], &w->clean,
            &w->other, i);
        measure_shift_assigned(out->shift[MEASURE_GROUP_ALL], 1, passes, i);
        out->attacked++;
        out->broken += broken;
    }
    for (size_t i = 0; i < count; i++)
        noise_make(w->noise + i * w->floats, w->x + i * w->floats, w->floats, config,
                   config->samples ? config->samples[w->index[i]] : w->index[i]);
    status = measure_target_look(w->target, w->logits, w->noise, count, err);
    if (status != BASE_OK)
        return status;
    measure_trace_take(&w->other, passes);
    for (size_t i = 0; i < count; i++) {
        measure_shift_add(out->shift[MEASURE_GROUP_CONTROL], NULL, &w->clean, &w->other, i);
        out->control_right += answers(w, i, attack_run_sample(run, w->index[i]).label);
    }
    return out->replayed ? replay(out, w, run, count, err) : BASE_OK;
}

static bool work_create(work *w, measure_target *target, size_t batch)
{
    const attack_target table = measure_target_table(target);
    const vit_run *run = measure_target_run(target);
    const vit_routing r = vit_run_routing(run, 0);
    const size_t tokens = batch * r.tokens_per_image;

    *w = (work){.target = target,
                .batch = batch,
                .classes = table.classes,
                .floats = table.channels * table.height * table.width};
    const size_t layers = vit_run_moe_count(run);
    const bool traces =
        measure_trace_create(&w->clean, layers, tokens, r.experts, NULL) == BASE_OK &&
        measure_trace_create(&w->other, layers, tokens, r.experts, NULL) == BASE_OK;
    w->x = base_alloc(batch, w->floats * sizeof(float));
    w->v = base_alloc(batch, w->floats * sizeof(float));
    w->noise = base_alloc(batch, w->floats * sizeof(float));
    w->logits = base_alloc(batch, w->classes * sizeof(float));
    w->index = base_alloc(batch, sizeof *w->index);
    return traces && w->x && w->v && w->noise && w->logits && w->index;
}

static void work_destroy(work *w)
{
    measure_trace_destroy(&w->clean);
    measure_trace_destroy(&w->other);
    base_free(w->x);
    base_free(w->v);
    base_free(w->noise);
    base_free(w->logits);
    base_free(w->index);
}

base_status measure_attacked_make(measure_attacked *routing, measure_target *target,
                                  size_t batch, const attack_run *run, const float *images,
                                  const attack_config *config, size_t n, bool *done,
                                  base_error *err)
{
    const float *adversarial = attack_run_adversarial(run);
    const vit_routing first = vit_run_routing(measure_target_run(target), 0);
    base_status status = BASE_OK;
    work w = {0};
    size_t count = 0;

    *done = true;
    routing->layers = vit_run_moe_count(measure_target_run(target));
    routing->experts = first.experts;
    routing->replayed = measure_target_replays(target);
    routing->change = base_alloc(n, sizeof *routing->change);
    if (!routing->change || !work_create(&w, target, batch)) {
        work_destroy(&w);
        return base_fail(err, BASE_NO_MEMORY, "no memory to compare the routing of %zu",
                         batch);
    }
    for (size_t i = 0; i < n; i++)
        routing->change[i] = (float)NAN;
    for (size_t i = 0; i < n && status == BASE_OK; i++) {
        if (attack_run_sample(run, i).right) {
            memcpy(w.x + count * w.floats, images + i * w.floats, w.floats * sizeof *w.x);
            memcpy(w.v + count * w.floats, adversarial + i * w.floats,
                   w.floats * sizeof *w.v);
            w.index[count++] = i;
        }
        if (count == batch || (i + 1 == n && count > 0)) {
            status = batch_measure(routing, &w, run, config, count, err);
            count = 0;
            *done = !(config->stop && config->stop(config->user));
            if (!*done)
                break;
        }
    }
    work_destroy(&w);
    return status;
}

void measure_attacked_destroy(measure_attacked *routing)
{
    base_free(routing->change);
    *routing = (measure_attacked){0};
}

base_status measure_attacked_tokens(unsigned *changed, measure_target *target,
                                    const float *x, const float *v, base_error *err)
{
    work w = {0};
    const size_t n = vit_run_routing(measure_target_run(target), 0).tokens_per_image;
    base_status status = BASE_OK;

    if (!work_create(&w, target, 1)) {
        work_destroy(&w);
        return base_fail(err, BASE_NO_MEMORY, "no memory to compare the routing");
    }
    status = measure_target_look(target, w.logits, x, 1, err);
    if (status == BASE_OK) {
        measure_trace_take(&w.clean, measure_target_run(target));
        status = measure_target_look(target, w.logits, v, 1, err);
    }
    if (status == BASE_OK) {
        measure_trace_take(&w.other, measure_target_run(target));
        memset(changed, 0, n * sizeof *changed);
        for (size_t l = 0; l < w.clean.layers; l++)
            for (size_t t = 0; t < n; t++)
                changed[t] += !measure_trace_same(&w.clean, &w.other, l, t);
    }
    work_destroy(&w);
    return status;
}
