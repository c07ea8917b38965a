/* target.c - a network of vit/ as what attacks/ works on: mean and standard deviation lie
 * inside, so that an attack sees pixels in [0, 1] (attacks.md 1); two runs share the
 * weights, one for logits alone and one that keeps what the gradient needs. Relied on
 * elsewhere: pixels v / 255 become what the loader makes of the byte v, to the bit (the
 * attack's clean accuracy is that of vmoe eval); gradients are computed in fp32, whatever
 * precision judges. */
#include "measure/measure.h"

#include <string.h>

struct measure_target {
    const vit_config *config; /* the model's */
    vit_run *infer, *gradient;
    const vit_run *last; /* that made the last pass */
    size_t last_count;   /* of its images */
    size_t batch, plane, channels;
    float mean[3], std[3]; /* (image - mean) / std is what the network is fed */
    float *input;          /* [batch, C, S, S] normalised */
    float *logits;         /* [batch, K] that nobody asked for */
    uint16_t *sets;        /* [batch, set count] of freeze */
    bool replays;
    /* Of route_forward and route_gradient; NULL where there are no experts to choose
     * from. */
    uint16_t *clean_sets; /* [batch, set count] of clean */
    float *clean;         /* [batch, C, S, S]: the first clean_count are known */
    float *slope;         /* [MoE layers, T, E] */
    size_t clean_count;
};

/* input = (images - mean) / std: the two steps of data_normalise_table in float32. */
static const float *normalise(measure_target *t, const float *images, size_t count)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < count * t->channels; row++) {
        const float mean = t->mean[row % t->channels];
        const float std = t->std[row % t->channels];
        const float *in = images + row * t->plane;
        float *out = t->input + row * t->plane;

        for (size_t i = 0; i < t->plane; i++)
            out[i] = (in[i] - mean) / std;
    }
    return t->input;
}

static base_status pass(measure_target *t, vit_run *run, float *logits, const float *images,
                        size_t count, base_error *err)
{
    t->last = run;
    t->last_count = count;
    return vit_run_forward(run, logits, normalise(t, images, count), count, &(vit_step){0},
                           err);
}

static base_status target_logits(void *user, float *logits, const float *images,
                                 size_t count, base_error *err)
{
    measure_target *t = user;

    return pass(t, t->infer, logits, images, count, err);
}

static base_status target_forward(void *user, float *logits, const float *images,
                                  size_t count, base_error *err)
{
    measure_target *t = user;

    return pass(t, t->gradient, logits, images, count, err);
}

void measure_target_normalised(measure_target *target, double unit)
{
    for (size_t c = 0; c < target->channels; c++) {
        target->mean[c] = 0.5f;
        target->std[c] = (float)(1 / unit);
    }
}

/* d/dx = d/dx_normalised / std. */
static void denormalise(float *d_images, const measure_target *t)
{
    const size_t rows = t->last_count * t->channels;

#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const float std = t->std[row % t->channels];

        for (size_t i = 0; i < t->plane; i++)
            d_images[row * t->plane + i] /= std;
    }
}

static base_status target_gradient(void *user, float *d_images, const float *d_logits,
                                   base_error *err)
{
    measure_target *t = user;
    const base_status status = vit_run_backward(t->gradient, d_images, d_logits, err);

    if (status == BASE_OK)
        denormalise(d_images, t);
    return status;
}

static base_status fix_both(measure_target *t, const uint16_t *sets, size_t count,
                            base_error *err)
{
    const base_status status = vit_run_routing_fix(t->infer, sets, count, err);

    return status == BASE_OK ? vit_run_routing_fix(t->gradient, sets, count, err) : status;
}

base_status measure_target_freeze(measure_target *target, const float *images, size_t count,
                                  base_error *err)
{
    measure_target *t = target;
    base_status status = fix_both(t, NULL, 0, err);

    if (status != BASE_OK || !images)
        return status;
    status = pass(t, t->infer, t->logits, images, count, err);
    if (status != BASE_OK)
        return status;
    vit_run_routing_sets(t->infer, t->sets);
    return fix_both(t, t->sets, count, err);
}

static base_status target_freeze(void *user, const float *images, size_t count,
                                 base_error *err)
{
    return measure_target_freeze(user, images, count, err);
}

/* The clean images' own sets into clean_sets, in the precision that judges. An attack shows
 * the same images step after step. */
static base_status clean_look(measure_target *t, const float *clean, size_t count,
                              base_error *err)
{
    const size_t bytes = count * t->channels * t->plane * sizeof *clean;

    if (count <= t->clean_count && memcmp(clean, t->clean, bytes) == 0)
        return BASE_OK;
    t->clean_count = 0;
    const base_status status = pass(t, t->infer, t->logits, clean, count, err);
    if (status != BASE_OK)
        return status;
    vit_run_routing_sets(t->infer, t->clean_sets);
    memcpy(t->clean, clean, bytes);
    t->clean_count = count;
    return BASE_OK;
}

static base_status target_route_forward(void *user, float *logits, double *loss,
                                        const float *images, const float *clean,
                                        size_t count, base_error *err)
{
    measure_target *t = user;
    const size_t k = (size_t)vit_config_eval_k(t->config);
    float *slope = t->slope;
    base_status status = clean_look(t, clean, count, err);

    if (status == BASE_OK)
        status = pass(t, t->gradient, logits, images, count, err);
    if (status != BASE_OK)
        return status;
    memset(loss, 0, count * sizeof *loss);
    for (size_t l = 0; l < vit_run_moe_count(t->gradient); l++) {
        const vit_routing r = vit_run_routing(t->gradient, l);

        measure_route_loss(loss, slope, &r, t->clean_sets + l * r.tokens_per_image * k,
                           vit_run_set_count(t->gradient), k);
        slope += r.tokens * r.experts;
    }
    return BASE_OK;
}

static base_status target_route_gradient(void *user, float *d_images, base_error *err)
{
    measure_target *t = user;
    const base_status status =
        vit_run_backward_routing(t->gradient, d_images, NULL, t->slope, err);

    if (status == BASE_OK)
        denormalise(d_images, t);
    return status;
}

/* Sets can be read, and there are experts outside them. */
static base_status route_open(measure_target *t, base_error *err)
{
    const vit_moe_config *moe = &t->config->moe;
    const size_t sets = vit_run_set_count(t->infer),
                 k = (size_t)vit_config_eval_k(t->config);

    if (!t->replays || (int)k >= moe->experts)
        return BASE_OK;
    t->clean_sets = base_alloc(t->batch, sets * sizeof *t->clean_sets);
    t->clean = base_alloc(t->batch, t->channels * t->plane * sizeof *t->clean);
    t->slope = base_alloc(t->batch, sets / k * (size_t)moe->experts * sizeof *t->slope);
    if (t->clean_sets && t->clean && t->slope)
        return BASE_OK;
    return base_fail(err, BASE_NO_MEMORY, "no memory for a batch of %zu", t->batch);
}

/* A sum over a token's experts does not care for their order; the rest is chained. */
static void target_signature(void *user, uint64_t *signature)
{
    measure_target *t = user;

    memset(signature, 0, t->last_count * sizeof *signature);
    for (size_t l = 0; l < vit_run_moe_count(t->last); l++) {
        const vit_routing r = vit_run_routing(t->last, l);

        for (size_t token = 0; token < r.tokens; token++) {
            uint64_t sum = 0, *out = &signature[token / r.tokens_per_image];

            for (size_t a = r.start[token]; a < r.start[token + 1]; a++)
                sum += base_key((const uint64_t[]){r.expert[a], r.kept[a]}, 2);
            *out = base_key((const uint64_t[]){*out, sum}, 2);
        }
    }
}

base_status measure_target_create(measure_target **out, const vit_model *model,
                                  size_t batch, vit_precision precision, base_error *err)
{
    measure_target *t = base_alloc(1, sizeof *t);
    base_status status;

    if (!t)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a target");
    const vit_config *config = vit_model_config(model);
    *t = (measure_target){.config = config,
                          .batch = batch,
                          .channels = (size_t)config->channels,
                          .plane = (size_t)config->image * (size_t)config->image};
    for (size_t c = 0; c < t->channels; c++) {
        t->mean[c] = config->mean[c];
        t->std[c] = config->std[c];
    }
    status = vit_run_create(&t->infer, model, batch, VIT_MODE_INFER, precision, err);
    if (status == BASE_OK)
        status = vit_run_create(&t->gradient, model, batch, VIT_MODE_INPUT_GRADIENT,
                                VIT_PRECISION_FP32, err);
    if (status != BASE_OK)
        goto done;
    t->last = t->infer;
    t->input = base_alloc(batch * t->channels, t->plane * sizeof *t->input);
    t->logits = base_alloc(batch, (size_t)config->classes * sizeof *t->logits);
    t->sets = base_alloc(batch, vit_run_set_count(t->infer) * sizeof *t->sets);
    if (!t->input || !t->logits || !t->sets) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for a batch of %zu", batch);
        goto done;
    }
    t->replays = vit_run_set_count(t->infer) > 0 && vit_router_replays(&config->moe.router);
    status = route_open(t, err);
done:
    if (status == BASE_OK)
        *out = t;
    else
        measure_target_destroy(t);
    return status;
}

void measure_target_destroy(measure_target *target)
{
    if (!target)
        return;
    vit_run_destroy(target->infer);
    vit_run_destroy(target->gradient);
    base_free(target->input);
    base_free(target->logits);
    base_free(target->sets);
    base_free(target->clean_sets);
    base_free(target->clean);
    base_free(target->slope);
    base_free(target);
}

attack_target measure_target_table(measure_target *target)
{
    return (attack_target){
        .user = target,
        .classes = (size_t)target->config->classes,
        .channels = target->channels,
        .height = (size_t)target->config->image,
        .width = (size_t)target->config->image,
        .batch = target->batch,
        .logits = target_logits,
        .forward = target_forward,
        .gradient = target_gradient,
        .freeze = target->replays ? target_freeze : NULL,
        .signature = vit_run_moe_count(target->infer) > 0 ? target_signature : NULL,
        .route_forward = target->slope ? target_route_forward : NULL,
        .route_gradient = target->slope ? target_route_gradient : NULL,
    };
}

base_status measure_target_look(measure_target *target, float *logits, const float *images,
                                size_t count, base_error *err)
{
    return pass(target, target->infer, logits, images, count, err);
}

const vit_run *measure_target_run(const measure_target *target)
{
    return target->infer;
}

bool measure_target_replays(const measure_target *target)
{
    return target->replays;
}

base_status measure_target_dropped(size_t *right, double *share, measure_target *target,
                                   size_t batch, const float *images, const int32_t *labels,
                                   size_t n, base_error *err)
{
    const attack_target table = measure_target_table(target);
    const size_t floats = table.channels * table.height * table.width;
    const vit_run *run = measure_target_run(target);
    double made = 0, dropped = 0;
    float *logits = base_alloc(batch, table.classes * sizeof *logits);
    base_status status =
        logits ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY, "no memory for %zu images", batch);
    size_t count = 0;

    for (size_t first = 0; first < n && status == BASE_OK; first += batch) {
        const size_t some = n - first < batch ? n - first : batch;

        status = measure_target_look(target, logits, images + first * floats, some, err);
        for (size_t i = 0; i < some && status == BASE_OK; i++)
            count += attack_predict(logits + i * table.classes, table.classes) ==
                     labels[first + i];
        for (size_t l = 0; l < vit_run_moe_count(run) && status == BASE_OK; l++) {
            const vit_routing r = vit_run_routing(run, l);

            made += (double)r.count;
            for (size_t k = 0; k < r.count; k++)
                dropped += !r.kept[k];
        }
    }
    base_free(logits);
    *right = count;
    *share = made > 0 ? dropped / made : 0;
    return status;
}
