/* optimizer.c - one update of all weights: AdamW (Loshchilov and Hutter 2019) and SGD
 * with momentum, both with PyTorch's order of operations; clipping by the global norm;
 * averaged weights (EMA). The block of weights is cut into fixed chunks, none across two
 * tensors. Sums are taken per chunk and added in chunk order: every result is the same
 * for any number of threads. Free to change: the size of a chunk (alters the last bits
 * of grad_norm). Relied on elsewhere: names of the state tensors. */
#include <math.h>
#include <string.h>

#include "vit/model_internal.h"

enum {
    CHUNK = 1 << 14,        /* floats */
    PARALLEL_FROM = 1 << 17 /* floats: below, waking threads costs more than the work */
};
static const double clip_eps = 1e-6; /* torch.nn.utils.clip_grad_norm_ */
/* A squared gradient above this is no float any more; it counts as not finite. */
static const double norm_limit = 1e18;

typedef struct chunk {
    size_t offset;
    size_t count;
    bool decay;
    bool state;
} chunk;

struct vit_optimizer {
    vit_optimizer_config config;
    const vit_kernels *kernels;
    chunk *chunk;
    double *sum; /* [chunks] */
    size_t chunks;
    size_t floats;
    float *first;  /* [floats]: AdamW's m or SGD's momentum buffer; NULL without momentum */
    float *second; /* [floats]: AdamW's v; NULL for SGD */
    float *ema;    /* [floats], NULL when off */
    int64_t step;  /* updates done */
};

/* ---- making -------------------------------------------------------------------------- */

/* Fills chunk (NULL: only counts); returns how many. */
static size_t cut(chunk *out, const vit_model *model)
{
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++) {
        const vit_parameter *p = &model->parameter[i];
        for (size_t from = 0; from < p->count; from += CHUNK) {
            const size_t left = p->count - from;
            if (out)
                out[count] = (chunk){p->offset + from, left < CHUNK ? left : CHUNK,
                                     p->decay, p->state};
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

base_status vit_optimizer_create(vit_optimizer **out, const vit_model *model,
                                 const vit_optimizer_config *config, base_error *err)
{
    const bool adam = config->kind == VIT_OPTIMIZER_ADAMW;
    const bool wants_first = adam || config->momentum > 0;
    const base_status status = check(config, err);

    if (status != BASE_OK)
        return status;
    vit_optimizer *o = base_alloc(1, sizeof *o);
    if (!o)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the optimizer");
    o->config = *config;
    o->kernels = vit_kernels_get();
    o->floats = model->floats;
    o->chunks = cut(NULL, model);
    o->chunk = base_alloc(o->chunks, sizeof *o->chunk);
    o->sum = base_alloc(o->chunks, sizeof *o->sum);
    o->first = wants_first ? base_alloc(o->floats, sizeof *o->first) : NULL;
    o->second = adam ? base_alloc(o->floats, sizeof *o->second) : NULL;
    o->ema = config->ema > 0 ? base_alloc(o->floats, sizeof *o->ema) : NULL;
    if (!o->chunk || !o->sum || (wants_first && !o->first) || (adam && !o->second) ||
        (config->ema > 0 && !o->ema)) {
        vit_optimizer_destroy(o);
        return base_fail(err, BASE_NO_MEMORY,
                         "no memory for the optimizer's state of %zu parameters",
                         model->floats);
    }
    cut(o->chunk, model);
    if (o->ema)
        memcpy(o->ema, model->weights, o->floats * sizeof *o->ema);
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
    base_free(optimizer->sum);
    base_free(optimizer->chunk);
    base_free(optimizer);
}

const float *vit_optimizer_ema(const vit_optimizer *optimizer)
{
    return optimizer->ema;
}

/* ---- one step ------------------------------------------------------------------------ */

static double gradient_norm(vit_optimizer *o, const float *g)
{
    double total = 0;

#pragma omp parallel for schedule(static) if (o->floats > PARALLEL_FROM)
    for (size_t i = 0; i < o->chunks; i++)
        o->sum[i] = o->chunk[i].state ? 0.0
                                      : o->kernels->sum_squares(g + o->chunk[i].offset,
                                                                o->chunk[i].count);
    for (size_t i = 0; i < o->chunks; i++)
        total += o->sum[i];
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
    const size_t at = o->chunk[i].offset;
    const size_t n = o->chunk[i].count;
    const double decay = o->chunk[i].decay ? c->weight_decay : 0;
    float *w = weights + at;

    if (o->chunk[i].state)
        return;
    if (c->kind == VIT_OPTIMIZER_ADAMW) {
        /* The corrections belong to the betas that the kernel uses, which are floats. */
        const double c1 = 1 - pow((double)(float)c->beta1, (double)o->step);
        const double c2 = 1 - pow((double)(float)c->beta2, (double)o->step);
        o->kernels->adamw(w, o->first + at, o->second + at, gradients + at, n, (float)scale,
                          (float)lr, (float)c->beta1, (float)c->beta2, (float)c->eps,
                          (float)(lr * decay), (float)c1, (float)c2);
    } else {
        sgd(w, o->first ? o->first + at : NULL, gradients + at, n, (float)scale, (float)lr,
            (float)c->momentum, c->nesterov, (float)decay);
    }
    if (o->ema)
        o->kernels->average(o->ema + at, w, n, (float)c->ema);
}

vit_optimizer_result vit_optimizer_step(vit_optimizer *optimizer, vit_model *model,
                                        const float *gradients, double lr)
{
    vit_optimizer *o = optimizer;
    const double norm = gradient_norm(o, gradients);
    const double clip = o->config.clip;
    const double scale = clip > 0 && norm + clip_eps > clip ? clip / (norm + clip_eps) : 1;

    if (!isfinite(norm) || norm * scale > norm_limit || !isfinite(lr))
        return (vit_optimizer_result){.grad_norm = norm, .skipped = true};
    o->step++;
    float *weights = vit_model_weights(model);
#pragma omp parallel for schedule(static) if (o->floats > PARALLEL_FROM)
    for (size_t i = 0; i < o->chunks; i++)
        step_chunk(o, i, weights, gradients, lr, scale);
    return (vit_optimizer_result){.grad_norm = norm};
}

void vit_optimizer_state_average(vit_optimizer *optimizer, const vit_model *model)
{
    const vit_optimizer *o = optimizer;
    const double keep = o->config.ema_copies_state ? 0 : o->config.ema;

    for (size_t i = 0; o->ema && i < o->chunks; i++)
        if (o->chunk[i].state)
            o->kernels->average(o->ema + o->chunk[i].offset,
                                model->weights + o->chunk[i].offset, o->chunk[i].count,
                                (float)keep);
}

/* ---- state --------------------------------------------------------------------------- */

enum { STATE_MAX = 4 };

/* The state's tensors; data points into o. Returns how many. */
static size_t describe(const vit_optimizer *o, vit_tensor out[STATE_MAX])
{
    const struct {
        const char *name;
        const float *data;
    } block[] = {
        {"optimizer.first", o->first},
        {"optimizer.second", o->second},
        {"optimizer.ema", o->ema},
    };
    size_t count = 0;

    out[count++] = (vit_tensor){
        .name = "optimizer.step", .type = "I64", .rank = 1, .shape = {1}, .data = &o->step};
    for (size_t i = 0; i < sizeof block / sizeof block[0]; i++)
        if (block[i].data)
            out[count++] = (vit_tensor){.name = block[i].name,
                                        .type = "F32",
                                        .rank = 1,
                                        .shape = {o->floats},
                                        .data = block[i].data};
    return count;
}

base_status vit_optimizer_state(const vit_optimizer *optimizer, vit_tensor *out,
                                size_t *count, base_error *err)
{
    vit_tensor all[STATE_MAX];
    const size_t needed = describe(optimizer, all);

    if (*count < needed)
        return base_fail(err, BASE_MISMATCH,
                         "the optimizer's state is %zu tensors, there is room for %zu",
                         needed, *count);
    memcpy(out, all, needed * sizeof *out);
    *count = needed;
    return BASE_OK;
}

static base_status check_values(const vit_tensor *t, base_error *err)
{
    const float *value = t->data;

    for (size_t i = 0; i < t->shape[0]; i++)
        if (!isfinite(value[i]))
            return base_fail(err, BASE_NUMERIC,
                             "tensor '%s' has a value that is not finite at index %zu",
                             t->name, i);
    return BASE_OK;
}

static base_status check_state(const vit_tensor *wanted, const vit_tensor *found,
                               base_error *err)
{
    if (!found)
        return base_fail(err, BASE_MISMATCH, "the state has no tensor '%s'", wanted->name);
    if (strcmp(found->type, wanted->type) != 0 || found->rank != wanted->rank ||
        found->shape[0] != wanted->shape[0]) {
        char have[64], want[64];
        return base_fail(
            err, BASE_MISMATCH, "tensor '%s' is %s %s, expected %s %s", wanted->name,
            found->type, vit_shape_text(have, sizeof have, found->shape, found->rank),
            wanted->type, vit_shape_text(want, sizeof want, wanted->shape, wanted->rank));
    }
    if (strcmp(wanted->type, "F32") == 0)
        return check_values(found, err);
    int64_t step;
    memcpy(&step, found->data, sizeof step);
    return step >= 0
               ? BASE_OK
               : base_fail(err, BASE_FORMAT, "tensor '%s' is %lld, expected 0 or more",
                           wanted->name, (long long)step);
}

base_status vit_optimizer_restore(vit_optimizer *optimizer, const vit_tensor_file *file,
                                  base_error *err)
{
    vit_optimizer *o = optimizer;
    vit_tensor all[STATE_MAX];
    const size_t count = describe(o, all);

    for (size_t i = 0; i < count; i++) {
        const base_status status =
            check_state(&all[i], vit_tensors_find(file, all[i].name), err);
        if (status != BASE_OK)
            return status;
    }
    memcpy(&o->step, vit_tensors_find(file, "optimizer.step")->data, sizeof o->step);
    const struct {
        const char *name;
        float *data;
    } block[] = {
        {"optimizer.first", o->first},
        {"optimizer.second", o->second},
        {"optimizer.ema", o->ema},
    };
    for (size_t i = 0; i < sizeof block / sizeof block[0]; i++)
        if (block[i].data)
            memcpy(block[i].data, vit_tensors_find(file, block[i].name)->data,
                   o->floats * sizeof(float));
    return BASE_OK;
}
