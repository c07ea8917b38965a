/* optimizer.c - one update of all weights: AdamW (Loshchilov and Hutter 2019) and SGD
 * with momentum, both with PyTorch's order of operations; clipping by the global norm;
 * averaged weights (EMA). The block of weights is cut into fixed chunks, none across two
 * tensors. Sums are taken per chunk and added in chunk order: every result is the same
 * for any number of threads. Free to change: the size of a chunk (alters the last bits
 * of grad_norm). Relied on elsewhere: names of the state tensors. */
#include <math.h>
#include <string.h>

#include "vit/optimizer_internal.h"
#include "vit/run_internal.h"

enum {
    PARALLEL_FROM = 1 << 17 /* floats: below, waking threads costs more than the work */
};
static const double clip_eps = 1e-6; /* torch.nn.utils.clip_grad_norm_ */
/* A squared gradient above this is no float any more; it counts as not finite. */
static const double norm_limit = 1e18;

/* ---- making -------------------------------------------------------------------------- */

/* Fills chunk (NULL: only counts); returns how many. */
static size_t cut(vit_chunk *out, const vit_model *model,
                  const vit_optimizer_config *config)
{
    const double base = config->layer_decay > 0 ? config->layer_decay : 1;
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++) {
        const vit_parameter *p = &model->parameter[i];
        for (size_t from = 0; from < p->count; from += VIT_CHUNK) {
            const size_t left = p->count - from;
            if (out)
                out[count] =
                    (vit_chunk){.offset = p->offset + from,
                                .count = left < VIT_CHUNK ? left : VIT_CHUNK,
                                .rate = pow(base, model->config.depth + 1 - p->layer),
                                .decay = p->decay,
                                .state = p->state,
                                .frozen = p->layer < config->frozen};
            count++;
        }
    }
    return count;
}

static base_status check(const vit_optimizer_config *c, base_error *err)
{
    const struct {
        const char *key;
        double value, high; /* 0 <= value < high */
    } limit[] = {
        {"beta1", c->beta1, 1},      {"beta2", c->beta2, 1},
        {"eps", c->eps, 1},          {"momentum", c->momentum, 1},
        {"clip", c->clip, HUGE_VAL}, {"weight_decay", c->weight_decay, HUGE_VAL},
        {"ema", c->ema, 1},
    };

    for (size_t i = 0; i < sizeof limit / sizeof limit[0]; i++)
        if (!(limit[i].value >= 0 && limit[i].value < limit[i].high))
            return base_fail(err, BASE_USAGE,
                             "'optimizer.%s' is %g, expected 0 to below %g", limit[i].key,
                             limit[i].value, limit[i].high);
    if (!(c->layer_decay >= 0 && c->layer_decay <= 1))
        return base_fail(err, BASE_USAGE, "'optimizer.layer_decay' is %g, expected 0 to 1",
                         c->layer_decay);
    if (c->kind == VIT_OPTIMIZER_ADAMW &&
        (float)c->eps <= 0.0f) /* 0 / 0 where no gradient is */
        return base_fail(err, BASE_USAGE, "'optimizer.eps' is %g, expected more than 0",
                         c->eps);
    if (c->kind == VIT_OPTIMIZER_SGD && c->nesterov && c->momentum <= 0)
        return base_fail(
            err, BASE_USAGE,
            "'optimizer.nesterov' is on, expected an optimizer.momentum above 0");
    return BASE_OK;
}

/* Who owns which chunk, and where its sum of squares lies among those of all ranks. */
static void deal(vit_optimizer *o)
{
    const vit_shards *s = vit_reduce_shards(o->reduce);
    size_t at = 0;

    for (size_t rank = 0; rank < s->ranks; rank++) {
        o->seat[rank] = at * sizeof *o->sum;
        for (size_t i = 0; i < o->chunks; i++) {
            size_t place;
            if (vit_shards_owner(&place, s, o->chunk[i].offset) != rank)
                continue;
            o->chunk[i].seat = at++;
            if (rank != s->rank)
                continue;
            o->chunk[i].place = place;
            o->own[o->owns++] = i;
        }
        at++; /* whether the rank was finite */
        o->seats[rank] = at * sizeof *o->sum - o->seat[rank];
    }
}

static bool take_memory(vit_optimizer *o, bool wants_first, bool adam)
{
    const size_t ranks = vit_reduce_shards(o->reduce)->ranks;
    const bool ema = o->config.ema > 0;

    o->chunk = base_alloc(o->chunks, sizeof *o->chunk);
    o->own = base_alloc(o->chunks, sizeof *o->own);
    o->sum = base_alloc(o->chunks + ranks, sizeof *o->sum);
    o->seat = base_alloc(ranks, sizeof *o->seat);
    o->seats = base_alloc(ranks, sizeof *o->seats);
    o->first = wants_first ? base_alloc(o->owned, sizeof *o->first) : NULL;
    o->second = adam ? base_alloc(o->owned, sizeof *o->second) : NULL;
    o->ema = ema ? base_alloc(o->owned, sizeof *o->ema) : NULL;
    return o->chunk && o->own && o->sum && o->seat && o->seats &&
           (o->first || !wants_first) && (o->second || !adam) && (o->ema || !ema);
}

base_status vit_optimizer_create(vit_optimizer **out, const vit_model *model,
                                 const vit_optimizer_config *config, base_error *err)
{
    return vit_optimizer_create_among(out, model, config, NULL, 1, err);
}

base_status vit_optimizer_create_among(vit_optimizer **out, const vit_model *model,
                                       const vit_optimizer_config *config,
                                       const vit_peers *peers, size_t lanes,
                                       base_error *err)
{
    const bool adam = config->kind == VIT_OPTIMIZER_ADAMW;
    base_status status = check(config, err);

    if (status != BASE_OK)
        return status;
    vit_optimizer *o = base_alloc(1, sizeof *o);
    if (!o)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the optimizer");
    o->config = *config;
    o->kernels = vit_kernels_get();
    o->floats = model->floats;
    o->chunks = cut(NULL, model, config);
    status = vit_reduce_create(&o->reduce, model, peers, lanes, err);
    if (status == BASE_OK) {
        o->owned = vit_reduce_shards(o->reduce)->owned;
        if (!take_memory(o, adam || config->momentum > 0, adam))
            status = base_fail(err, BASE_NO_MEMORY,
                               "no memory for the optimizer's state of %zu parameters",
                               o->owned);
    }
    if (status != BASE_OK) {
        vit_optimizer_destroy(o);
        return status;
    }
    cut(o->chunk, model, config);
    deal(o);
    for (size_t i = 0; o->ema && i < o->owns; i++) {
        const vit_chunk *c = &o->chunk[o->own[i]];
        memcpy(o->ema + c->place, model->weights + c->offset, c->count * sizeof *o->ema);
    }
    *out = o;
    return BASE_OK;
}

void vit_optimizer_destroy(vit_optimizer *optimizer)
{
    if (!optimizer)
        return;
    base_free(optimizer->ema);
    base_free(optimizer->second);
    base_free(optimizer->first);
    base_free(optimizer->seats);
    base_free(optimizer->seat);
    base_free(optimizer->sum);
    base_free(optimizer->own);
    base_free(optimizer->chunk);
    vit_reduce_destroy(optimizer->reduce);
    base_free(optimizer);
}

size_t vit_optimizer_taken(const vit_optimizer *optimizer)
{
    const vit_optimizer *o = optimizer;
    const size_t blocks = (o->first != NULL) + (o->second != NULL) + (o->ema != NULL);

    return blocks * o->owned * sizeof(float) + vit_reduce_bytes(o->reduce);
}

static const vit_peers *peers_of(const vit_optimizer *o)
{
    return vit_reduce_peers(o->reduce);
}

const float *vit_optimizer_ema(const vit_optimizer *optimizer)
{
    return peers_of(optimizer) ? NULL : optimizer->ema;
}

base_status vit_optimizer_ema_gather(float *out, vit_optimizer *optimizer, base_error *err)
{
    const vit_optimizer *o = optimizer;

    for (size_t i = 0; i < o->owns; i++) {
        const vit_chunk *c = &o->chunk[o->own[i]];
        memcpy(out + c->offset, o->ema + c->place, c->count * sizeof *out);
    }
    return vit_reduce_gather(o->reduce, out, err);
}

/* ---- one step ------------------------------------------------------------------------ */

static void squares(vit_optimizer *o, const float *g)
{
#pragma omp parallel for schedule(static) if (o->floats > PARALLEL_FROM)
    for (size_t i = 0; i < o->owns; i++) {
        const vit_chunk *c = &o->chunk[o->own[i]];
        o->sum[c->seat] =
            c->state || c->frozen ? 0.0 : o->kernels->sum_squares(g + c->offset, c->count);
    }
}

/* From the sums of all ranks, in the order of the block. */
static double norm_of(const vit_optimizer *o)
{
    double total = 0;

    for (size_t i = 0; i < o->chunks; i++)
        total += o->sum[o->chunk[i].seat];
    return sqrt(total);
}

/* torch.optim.SGD, dampening 0: the first step's buffer is the gradient, as here from
 * zeros. first may be NULL (no momentum). */
static void sgd(float *w, float *first, const float *g, size_t n, float scale, float lr,
                float momentum, bool nesterov, float decay)
{
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * scale + decay * w[i];
        if (first) {
            first[i] = momentum * first[i] + d;
            d = nesterov ? d + momentum * first[i] : first[i];
        }
        w[i] -= lr * d;
    }
}

static void step_chunk(vit_optimizer *o, size_t i, float *weights, const float *gradients,
                       double lr, double scale)
{
    const vit_optimizer_config *c = &o->config;
    const size_t at = o->chunk[i].offset, place = o->chunk[i].place;
    const size_t n = o->chunk[i].count;
    const double decay = o->chunk[i].decay ? c->weight_decay : 0;
    float *w = weights + at;

    if (o->chunk[i].state || o->chunk[i].frozen)
        return;
    lr *= o->chunk[i].rate;
    if (c->kind == VIT_OPTIMIZER_ADAMW) {
        /* The corrections belong to the betas that the kernel uses, which are floats. */
        const double c1 = 1 - pow((double)(float)c->beta1, (double)o->step);
        const double c2 = 1 - pow((double)(float)c->beta2, (double)o->step);
        o->kernels->adamw(w, o->first + place, o->second + place, gradients + at, n,
                          (float)scale, (float)lr, (float)c->beta1, (float)c->beta2,
                          (float)c->eps, (float)(lr * decay), (float)c1, (float)c2);
    } else {
        sgd(w, o->first ? o->first + place : NULL, gradients + at, n, (float)scale,
            (float)lr, (float)c->momentum, c->nesterov, (float)decay);
    }
    if (o->ema)
        o->kernels->average(o->ema + place, w, n, (float)c->ema);
}

/* The update of this rank's chunks; every rank comes to the same norm. */
static vit_optimizer_result update(vit_optimizer *o, vit_model *model,
                                   const float *gradients, double lr)
{
    const double norm = norm_of(o);
    const double clip = o->config.clip;
    const double scale = clip > 0 && norm + clip_eps > clip ? clip / (norm + clip_eps) : 1;

    if (!isfinite(norm) || norm * scale > norm_limit || !isfinite(lr))
        return (vit_optimizer_result){.grad_norm = norm, .skipped = true};
    o->step++;
    float *weights = vit_model_weights(model);
#pragma omp parallel for schedule(static) if (o->floats > PARALLEL_FROM)
    for (size_t i = 0; i < o->owns; i++)
        step_chunk(o, o->own[i], weights, gradients, lr, scale);
    return (vit_optimizer_result){.grad_norm = norm};
}

vit_optimizer_result vit_optimizer_step(vit_optimizer *optimizer, vit_model *model,
                                        const float *gradients, double lr)
{
    squares(optimizer, gradients);
    return update(optimizer, model, gradients, lr);
}

void vit_run_hand_over(vit_run *run, vit_optimizer *optimizer)
{
    vit_run_hand_over_to(run, vit_reduce_handed, optimizer->reduce);
}

void vit_optimizer_lane_end(vit_optimizer *optimizer, vit_run *run)
{
    vit_reduce_lane_end(optimizer->reduce, run);
}

/* Whether all ranks were finite; their sums of squares come to all. */
static base_status compare_notes(bool *finite, vit_optimizer *o, base_error *err)
{
    const vit_peers *peers = peers_of(o);
    base_status status = BASE_OK;

    if (!peers)
        return BASE_OK;
    double *mine = o->sum + (o->seat[peers->rank] + o->seats[peers->rank]) / sizeof *o->sum;
    mine[-1] = *finite;
    peers->gather(peers->user, 0, o->sum, o->seat, o->seats);
    status = peers->wait(peers->user, 0, err);
    for (size_t i = 0; i < peers->ranks && status == BASE_OK; i++)
        *finite = *finite && o->sum[(o->seat[i] + o->seats[i]) / sizeof *o->sum - 1] > 0;
    return status;
}

base_status vit_optimizer_step_among(vit_optimizer_result *out, vit_optimizer *optimizer,
                                     vit_model *model, vit_run *run, double lr, bool finite,
                                     base_error *err)
{
    vit_optimizer *o = optimizer;
    vit_optimizer_result result = {.skipped = true};
    float *gradients = NULL;

    base_status status = vit_reduce_finish(&gradients, o->reduce, run, err);
    if (status != BASE_OK)
        return status;
    if (peers_of(o) || finite)
        squares(o, gradients);
    status = compare_notes(&finite, o, err);
    if (status == BASE_OK && finite)
        result = update(o, model, gradients, lr);
    if (status == BASE_OK)
        *out = result;
    return status;
}

void vit_optimizer_share(vit_optimizer *optimizer, vit_model *model)
{
    if (peers_of(optimizer))
        vit_reduce_share(optimizer->reduce, model);
}

base_status vit_optimizer_shared(vit_optimizer *optimizer, base_error *err)
{
    return vit_reduce_await(optimizer->reduce, optimizer->floats, err);
}

void vit_optimizer_state_average(vit_optimizer *optimizer, const vit_model *model)
{
    const vit_optimizer *o = optimizer;
    const double keep = o->config.ema_copies_state ? 0 : o->config.ema;

    for (size_t i = 0; o->ema && i < o->owns; i++) {
        const vit_chunk *c = &o->chunk[o->own[i]];
        if (c->state && !c->frozen)
            o->kernels->average(o->ema + c->place, model->weights + c->offset, c->count,
                                (float)keep);
    }
}
