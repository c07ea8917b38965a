/* adversary.c - training on images that were made worse on purpose. pgd: Madry et al. 2018,
 * "Towards deep learning models resistant to adversarial attacks"; fgsm-rs: Wong, Rice,
 * Kolter 2020, "Fast is better than free"; trades: Zhang et al. 2019, "Theoretically
 * principled trade-off between robustness and accuracy", equation 3 and algorithm 1.
 * Budgets are Linf in pixels of 0..1; the work is done on normalised values, where a
 * pixel's budget is eps / std of its channel. The search runs on a network without dropout
 * and router noise that shares the weights. Relied on elsewhere: draws are keyed by (seed,
 * step, image of the step), so that a resumed run repeats them. */
#include <math.h>
#include <string.h>

#include "train/train_internal.h"

struct train_adversary {
    const train_recipe *recipe;
    vit_run *run; /* input gradients; the weights are the trainer's */
    size_t batch, plane, channels, floats, classes;
    float *images;    /* [batch, D] the worse ones */
    float *gradients; /* [batch, D] */
    float *logits;    /* [batch, K] */
    float *d_logits;  /* [batch, K] */
    float *clean;     /* [batch, K] probabilities of the clean images (trades) */
};

/* Standard deviation of TRADES' start, in pixels of 0..1 (its algorithm 1). */
static const double trades_start = 0.001;

base_status train_adversary_create(train_adversary **out, const train_recipe *recipe,
                                   const vit_model *model, size_t batch,
                                   vit_precision precision, base_error *err)
{
    const vit_config *c = &recipe->config;
    train_adversary *a = base_alloc(1, sizeof *a);
    base_status status;

    if (!a)
        return base_fail(err, BASE_NO_MEMORY, "no memory for adversarial training");
    *a = (train_adversary){.recipe = recipe,
                           .batch = batch,
                           .plane = (size_t)c->image * (size_t)c->image,
                           .channels = (size_t)c->channels,
                           .classes = (size_t)c->classes};
    a->floats = a->plane * a->channels;
    status = vit_run_create_options(
        &a->run, model, batch,
        &(vit_run_options){.mode = VIT_MODE_INPUT_GRADIENT,
                           .precision = precision,
                           .recompute = (vit_recompute)recipe->train.recompute},
        err);
    if (status == BASE_OK) {
        a->images = base_alloc(batch, a->floats * sizeof(float));
        a->gradients = base_alloc(batch, a->floats * sizeof(float));
        a->logits = base_alloc(batch, a->classes * sizeof(float));
        a->d_logits = base_alloc(batch, a->classes * sizeof(float));
        a->clean = base_alloc(batch, a->classes * sizeof(float));
        if (!a->images || !a->gradients || !a->logits || !a->d_logits || !a->clean)
            status =
                base_fail(err, BASE_NO_MEMORY,
                          "no memory for adversarial training with a batch of %zu", batch);
    }
    if (status == BASE_OK)
        *out = a;
    else
        train_adversary_destroy(a);
    return status;
}

void train_adversary_destroy(train_adversary *adversary)
{
    if (!adversary)
        return;
    vit_run_destroy(adversary->run);
    base_free(adversary->images);
    base_free(adversary->gradients);
    base_free(adversary->logits);
    base_free(adversary->d_logits);
    base_free(adversary->clean);
    base_free(adversary);
}

/* ---- the search ---------------------------------------------------------------------- */

/* Into the ball around x and the box of pixels, which a clean value outside (erased with
 * noise) widens. */
static float feasible(float v, float x, float eps, float black, float white)
{
    v = fminf(fmaxf(v, x - eps), x + eps);
    return fminf(fmaxf(v, fminf(black, x)), fmaxf(white, x));
}

/* images = feasible(from + push), push by channel in pixels: start (gradients NULL) or a
 * step. */
static void move(train_adversary *a, const float *x, size_t count, double alpha)
{
    const vit_config *c = &a->recipe->config;
    const double eps = a->recipe->adversary.eps;

#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < count * a->channels; row++) {
        const size_t ch = row % a->channels;
        const float black = -c->mean[ch] / c->std[ch],
                    white = (1 - c->mean[ch]) / c->std[ch];
        const float limit = (float)(eps / (double)c->std[ch]);
        const float step = (float)(alpha / (double)c->std[ch]);
        const float *in = x + row * a->plane, *g = a->gradients + row * a->plane;
        float *v = a->images + row * a->plane;

        for (size_t i = 0; i < a->plane; i++)
            v[i] = feasible(v[i] + (g[i] > 0   ? step
                                    : g[i] < 0 ? -step
                                               : 0),
                            in[i], limit, black, white);
    }
}

/* A point of the ball: uniform, or TRADES' narrow normal. */
static void start(train_adversary *a, const float *x, size_t count, const vit_step *step)
{
    const vit_config *c = &a->recipe->config;
    const bool narrow = a->recipe->adversary.kind == TRAIN_ADVERSARY_TRADES;
    const double eps = a->recipe->adversary.eps;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        base_rng rng = base_rng_make(step->seed, BASE_PURPOSE_ATTACK, step->step,
                                     step->first_sample + i, 0x747261696e); /* "train" */

        for (size_t ch = 0; ch < a->channels; ch++) {
            const double std = (double)c->std[ch];
            const float black = -c->mean[ch] / c->std[ch],
                        white = (1 - c->mean[ch]) / c->std[ch];
            const float *in = x + i * a->floats + ch * a->plane;
            float *v = a->images + i * a->floats + ch * a->plane;

            for (size_t k = 0; k < a->plane; k++) {
                const double d = narrow ? trades_start * base_rng_normal(&rng)
                                        : eps * (2 * base_rng_uniform(&rng) - 1);
                v[k] = feasible(in[k] + (float)(d / std), in[k], (float)(eps / std), black,
                                white);
            }
        }
    }
}

static void softmax(float *p, const float *z, size_t classes)
{
    float top = z[0];
    double sum = 0;

    for (size_t i = 1; i < classes; i++)
        top = fmaxf(top, z[i]);
    for (size_t i = 0; i < classes; i++)
        sum += exp((double)(z[i] - top));
    for (size_t i = 0; i < classes; i++)
        p[i] = (float)(exp((double)(z[i] - top)) / sum);
}

double train_adversary_divergence(float *d_clean, float *d_worse, const float *clean,
                                  const float *worse, size_t classes)
{
    double top[2] = {(double)clean[0], (double)worse[0]}, sum[2] = {0}, kl = 0;

    for (size_t i = 1; i < classes; i++) {
        top[0] = fmax(top[0], (double)clean[i]);
        top[1] = fmax(top[1], (double)worse[i]);
    }
    for (size_t i = 0; i < classes; i++) {
        sum[0] += exp((double)clean[i] - top[0]);
        sum[1] += exp((double)worse[i] - top[1]);
    }
    const double whole[2] = {top[0] + log(sum[0]), top[1] + log(sum[1])};
    for (size_t i = 0; i < classes; i++) {
        const double log_p = (double)clean[i] - whole[0];

        kl += exp(log_p) * (log_p - ((double)worse[i] - whole[1]));
    }
    for (size_t i = 0; i < classes; i++) {
        const double log_p = (double)clean[i] - whole[0];
        const double log_q = (double)worse[i] - whole[1];

        if (d_clean)
            d_clean[i] = (float)(exp(log_p) * (log_p - log_q - kl));
        if (d_worse)
            d_worse[i] = (float)(exp(log_q) - exp(log_p));
    }
    return kl;
}

/* d_logits of what the search maximises: the training loss, or the divergence from the
 * clean answer. The sign is all that counts, so sums over the batch need no mean. */
static void ascent(train_adversary *a, const float *targets, size_t count)
{
    const train_recipe *r = a->recipe;

    if (r->adversary.kind != TRAIN_ADVERSARY_TRADES) {
        vit_loss_compute((vit_loss)r->train.loss, a->d_logits, NULL, a->logits, targets,
                         count, a->classes, (double)count);
        return;
    }
    for (size_t i = 0; i < count * a->classes; i += a->classes) { /* q - p */
        softmax(a->d_logits + i, a->logits + i, a->classes);
        for (size_t c = 0; c < a->classes; c++)
            a->d_logits[i + c] -= a->clean[i + c];
    }
}

base_status train_adversary_make(const float **out, train_adversary *adversary,
                                 const float *images, const float *targets, size_t count,
                                 const vit_step *step, base_error *err)
{
    train_adversary *a = adversary;
    const train_recipe *r = a->recipe;
    const bool fast = r->adversary.kind == TRAIN_ADVERSARY_FGSM_RS;
    const int steps = fast ? 1 : r->adversary.steps;
    const double alpha = r->adversary.alpha > 0 ? r->adversary.alpha
                         : fast                 ? 1.25 * r->adversary.eps
                                                : 2.5 * r->adversary.eps / steps;
    base_status status = BASE_OK;

    if (r->adversary.kind == TRAIN_ADVERSARY_TRADES) {
        status = vit_run_forward(a->run, a->logits, images, count, &(vit_step){0}, err);
        for (size_t i = 0; i < count * a->classes && status == BASE_OK; i += a->classes)
            softmax(a->clean + i, a->logits + i, a->classes);
    }
    start(a, images, count, step);
    for (int i = 0; i < steps && status == BASE_OK; i++) {
        status = vit_run_forward(a->run, a->logits, a->images, count, &(vit_step){0}, err);
        if (status != BASE_OK)
            break;
        ascent(a, targets, count);
        status = vit_run_backward(a->run, a->gradients, a->d_logits, err);
        if (status == BASE_OK)
            move(a, images, count, alpha);
    }
    if (status == BASE_OK)
        *out = a->images;
    return status;
}
