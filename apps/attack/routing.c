/* routing.c - what an attack does to the routing (attacks.md 9.5, 9.6): which tokens changed their
 * experts, by how much their probabilities moved, and the same under random noise of the same budget,
 * without which no such number means anything; then whether the errors outlive the change (replay).
 * Follows Puigcerver et al. 2022, "On the adversarial robustness of mixture of experts" (arXiv 2210.10253),
 * appendix, for the change of routing as 1 - IoU; differs: tokens with no expert on either side are left
 * out of the mean and counted. Relied on elsewhere: sums run in the order of the samples. */
#include <math.h>
#include <string.h>

#include "apps/attack/internal.h"

enum { MASK_WORDS = VIT_EXPERTS_MAX / 64 };

/* A token's experts as bits, and the first of them (-1: none). */
typedef struct token_choice {
    uint64_t mask[MASK_WORDS];
    int top;
} token_choice;

/* The routing of one pass, kept while the next one runs. */
typedef struct snapshot {
    size_t layers, tokens, experts; /* tokens: room */
    token_choice *choice;           /* [layers, tokens] */
    double *probs;                  /* [layers, tokens, experts] */
} snapshot;

typedef struct work {
    app_target *target;
    size_t batch, classes, floats;
    snapshot clean, other;
    float *x, *v, *noise; /* [batch, D] */
    float *logits;        /* [batch, K] */
    size_t *index;        /* [batch] samples */
} work;

double app_divergence(const double *p, const double *q, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        const double m = (p[i] + q[i]) / 2;

        if (p[i] > 0)
            sum += p[i] / 2 * log(p[i] / m);
        if (q[i] > 0)
            sum += q[i] / 2 * log(q[i] / m);
    }
    return fmax(sum, 0);
}

static double entropy(const double *p, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        if (p[i] > 0)
            sum -= p[i] * log(p[i]);
    return sum;
}

static int bits(const uint64_t *mask)
{
    int count = 0;

    for (size_t w = 0; w < MASK_WORDS; w++)
        count += __builtin_popcountll(mask[w]);
    return count;
}

static bool has(const uint64_t *mask, size_t e)
{
    return mask[e / 64] >> (e % 64) & 1;
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static bool snapshot_create(snapshot *s, const vit_run *run, size_t tokens, size_t experts)
{
    s->layers = vit_run_moe_count(run);
    s->tokens = tokens;
    s->experts = experts;
    s->choice = base_alloc(s->layers * tokens, sizeof *s->choice);
    s->probs = base_alloc(s->layers * tokens, experts * sizeof *s->probs);
    return s->choice && s->probs;
}

static void snapshot_destroy(snapshot *s)
{
    base_free(s->choice);
    base_free(s->probs);
}

static void snapshot_take(snapshot *s, const vit_run *run)
{
    for (size_t l = 0; l < s->layers; l++) {
        const vit_routing r = vit_run_routing(run, l);

        memcpy(s->probs + l * s->tokens * s->experts, r.probs,
               r.tokens * s->experts * sizeof *s->probs);
        for (size_t t = 0; t < r.tokens; t++) {
            token_choice *c = &s->choice[l * s->tokens + t];

            *c = (token_choice){.top = -1};
            for (size_t a = r.start[t]; a < r.start[t + 1]; a++) {
                if (!r.kept[a])
                    continue;
                if (c->top < 0)
                    c->top = r.expert[a];
                c->mask[r.expert[a] / 64] |= (uint64_t)1 << (r.expert[a] % 64);
            }
        }
    }
}

/* Assignments made and dropped for one image. */
static void dropped_add(double *assigned, double *dropped, const vit_run *run, size_t l,
                        size_t image)
{
    const vit_routing r = vit_run_routing(run, l);
    const size_t n = r.tokens_per_image;

    for (size_t a = r.start[image * n]; a < r.start[(image + 1) * n]; a++) {
        *assigned += 1;
        *dropped += !r.kept[a];
    }
}

/* ---- comparing -------------------------------------------------------------------------------- */

/* One token; its IoU, NaN when there is no expert on either side. */
static double token_add(app_shift *shift, const token_choice *a, const token_choice *b,
                        const double *p, const double *q, size_t experts)
{
    uint64_t both[MASK_WORDS], any[MASK_WORDS];

    for (size_t w = 0; w < MASK_WORDS; w++) {
        both[w] = a->mask[w] & b->mask[w];
        any[w] = a->mask[w] | b->mask[w];
    }
    const int shared = bits(both), all = bits(any);
    double moved = 0;
    for (size_t e = 0; e < experts; e++)
        moved += fabs(p[e] - q[e]);
    shift->tokens += 1;
    shift->gate_l1 += moved;
    shift->js += app_divergence(p, q, experts);
    shift->entropy[0] += entropy(p, experts);
    shift->entropy[1] += entropy(q, experts);
    shift->changed += memcmp(a->mask, b->mask, sizeof a->mask) != 0;
    shift->top1_changed += a->top != b->top;
    for (size_t e = 0; e < experts && all > 0; e++) {
        if (!has(any, e))
            continue;
        shift->usage[0][e] += has(a->mask, e);
        shift->usage[1][e] += has(b->mask, e);
        shift->left[e] += has(a->mask, e) && !has(b->mask, e);
    }
    if (all == 0) {
        shift->empty += 1;
        return (double)NAN;
    }
    shift->iou += (double)shared / all;
    return (double)shared / all;
}

/* Image i of both snapshots into the sums of one or two groups; 1 - its mean IoU. */
static double image_add(app_shift *shift, app_shift *part, const work *w, size_t i)
{
    const snapshot *a = &w->clean, *b = &w->other;
    const vit_run *run = app_target_run(w->target);
    double sum = 0, count = 0;

    for (size_t l = 0; l < a->layers; l++) {
        const size_t n = vit_run_routing(run, l).tokens_per_image;

        for (size_t t = i * n; t < (i + 1) * n; t++) {
            const size_t at = l * a->tokens + t;
            const double *p = a->probs + at * a->experts, *q = b->probs + at * a->experts;
            const double iou =
                token_add(&shift[l], &a->choice[at], &b->choice[at], p, q, a->experts);

            if (part)
                token_add(&part[l], &a->choice[at], &b->choice[at], p, q, a->experts);
            if (!isnan(iou)) {
                sum += iou;
                count += 1;
            }
        }
    }
    return count > 0 ? 1 - sum / count : (double)NAN;
}

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

/* Errors that stay with the clean image's experts; clean answers that stay with the others'. */
static base_status replay(app_routing *out, work *w, const attack_run *run, size_t count,
                          base_error *err)
{
    base_status status = app_target_freeze(w->target, w->x, count, err);

    if (status == BASE_OK)
        status = app_target_look(w->target, w->logits, w->v, count, err);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        const attack_sample s = attack_run_sample(run, w->index[i]);

        out->kept += s.broken && !answers(w, i, s.label);
    }
    if (status == BASE_OK)
        status = app_target_freeze(w->target, w->v, count, err);
    if (status == BASE_OK)
        status = app_target_look(w->target, w->logits, w->x, count, err);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        out->clean_right += answers(w, i, attack_run_sample(run, w->index[i]).label);
    const base_status freed = app_target_freeze(w->target, NULL, 0, err);
    return status == BASE_OK ? freed : status;
}

static base_status batch_measure(app_routing *out, work *w, const attack_run *run,
                                 const attack_config *config, size_t count, base_error *err)
{
    const vit_run *passes = app_target_run(w->target);
    base_status status = app_target_look(w->target, w->logits, w->x, count, err);

    if (status != BASE_OK)
        return status;
    snapshot_take(&w->clean, passes);
    for (size_t i = 0; i < count; i++)
        for (size_t l = 0; l < out->layers; l++)
            dropped_add(&out->shift[APP_GROUP_ALL][l].assigned[0],
                        &out->shift[APP_GROUP_ALL][l].dropped[0], passes, l, i);
    status = app_target_look(w->target, w->logits, w->v, count, err);
    if (status != BASE_OK)
        return status;
    snapshot_take(&w->other, passes);
    for (size_t i = 0; i < count; i++) {
        const bool broken = attack_run_sample(run, w->index[i]).broken;

        out->change[w->index[i]] = (float)image_add(
            out->shift[APP_GROUP_ALL],
            out->shift[broken ? APP_GROUP_BROKEN : APP_GROUP_SURVIVED], w, i);
        for (size_t l = 0; l < out->layers; l++)
            dropped_add(&out->shift[APP_GROUP_ALL][l].assigned[1],
                        &out->shift[APP_GROUP_ALL][l].dropped[1], passes, l, i);
        out->attacked++;
        out->broken += broken;
    }
    for (size_t i = 0; i < count; i++)
        noise_make(w->noise + i * w->floats, w->x + i * w->floats, w->floats, config,
                   config->samples ? config->samples[w->index[i]] : w->index[i]);
    status = app_target_look(w->target, w->logits, w->noise, count, err);
    if (status != BASE_OK)
        return status;
    snapshot_take(&w->other, passes);
    for (size_t i = 0; i < count; i++) {
        image_add(out->shift[APP_GROUP_CONTROL], NULL, w, i);
        out->control_right += answers(w, i, attack_run_sample(run, w->index[i]).label);
    }
    return out->replayed ? replay(out, w, run, count, err) : BASE_OK;
}

static bool work_create(work *w, app_target *target, size_t batch)
{
    const attack_target table = app_target_table(target);
    const vit_run *run = app_target_run(target);
    const vit_routing r = vit_run_routing(run, 0);
    const size_t tokens = batch * r.tokens_per_image;

    *w = (work){.target = target,
                .batch = batch,
                .classes = table.classes,
                .floats = table.channels * table.height * table.width};
    const bool clean = snapshot_create(&w->clean, run, tokens, r.experts);
    const bool other = snapshot_create(&w->other, run, tokens, r.experts);
    w->x = base_alloc(batch, w->floats * sizeof(float));
    w->v = base_alloc(batch, w->floats * sizeof(float));
    w->noise = base_alloc(batch, w->floats * sizeof(float));
    w->logits = base_alloc(batch, w->classes * sizeof(float));
    w->index = base_alloc(batch, sizeof *w->index);
    return clean && other && w->x && w->v && w->noise && w->logits && w->index;
}

static void work_destroy(work *w)
{
    snapshot_destroy(&w->clean);
    snapshot_destroy(&w->other);
    base_free(w->x);
    base_free(w->v);
    base_free(w->noise);
    base_free(w->logits);
    base_free(w->index);
}

base_status app_routing_measure(app_routing *routing, app_target *target, size_t batch,
                                const attack_run *run, const float *images,
                                const attack_config *config, size_t n, bool *done,
                                base_error *err)
{
    const float *adversarial = attack_run_adversarial(run);
    const vit_routing first = vit_run_routing(app_target_run(target), 0);
    base_status status = BASE_OK;
    work w = {0};
    size_t count = 0;

    *done = true;
    routing->layers = vit_run_moe_count(app_target_run(target));
    routing->experts = first.experts;
    routing->replayed = app_target_replays(target);
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
            *done = !app_stop_asked();
            if (!*done)
                break;
        }
    }
    work_destroy(&w);
    return status;
}

void app_routing_destroy(app_routing *routing)
{
    base_free(routing->change);
    *routing = (app_routing){0};
}

base_status app_routing_patches(unsigned *patches, app_target *target, const float *x,
                                const float *v, base_error *err)
{
    work w = {0};
    const size_t n = vit_run_routing(app_target_run(target), 0).tokens_per_image;
    base_status status = BASE_OK;

    if (!work_create(&w, target, 1)) {
        work_destroy(&w);
        return base_fail(err, BASE_NO_MEMORY, "no memory to compare the routing");
    }
    status = app_target_look(target, w.logits, x, 1, err);
    if (status == BASE_OK) {
        snapshot_take(&w.clean, app_target_run(target));
        status = app_target_look(target, w.logits, v, 1, err);
    }
    if (status == BASE_OK) {
        snapshot_take(&w.other, app_target_run(target));
        memset(patches, 0, n * sizeof *patches);
        for (size_t l = 0; l < w.clean.layers; l++)
            for (size_t t = 0; t < n; t++)
                patches[t] += memcmp(w.clean.choice[l * w.clean.tokens + t].mask,
                                     w.other.choice[l * w.clean.tokens + t].mask,
                                     sizeof w.clean.choice[0].mask) != 0;
    }
    work_destroy(&w);
    return status;
}
