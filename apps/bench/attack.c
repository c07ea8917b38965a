/* attack.c - the case attack: what one step of PGD costs beside one forward pass of the
 * same batch. A step is a forward pass that keeps what the gradient needs, the loss and its
 * gradient, the backward pass to the pixels without any gradient of weights, and the
 * projected move. Relied on elsewhere: the columns' names. */
#include "apps/bench/internal.h"
#include "measure/measure.h"

#include <math.h>
#include <string.h>

typedef struct attack_rig {
    vit_model *model;
    measure_target *target;
    attack_target table;
    float *images, *point, *gradient, *logits, *d_logits;
    size_t batch, classes, floats;
    bench_losses losses; /* of the points that the first steps begin from */
    app_pool pool;
} attack_rig;

static void rig_close(attack_rig *rig)
{
    measure_target_destroy(rig->target);
    vit_model_destroy(rig->model);
    app_pool_end(&rig->pool);
}

static base_status rig_open(attack_rig *rig, const char *subject, const bench_args *args,
                            base_error *err)
{
    base_rng rng = base_rng_make((uint64_t)args->common.seed, BASE_PURPOSE_TEST, 1, 0, 0);
    base_status status = bench_model(&rig->model, subject, args, err);

    if (status != BASE_OK)
        return status;
    const vit_config *c = vit_model_config(rig->model);
    rig->batch = (size_t)args->common.batch;
    rig->classes = (size_t)c->classes;
    rig->floats = (size_t)c->channels * (size_t)c->image * (size_t)c->image;
    status = measure_target_create(&rig->target, rig->model, rig->batch,
                                   (vit_precision)args->common.precision, err);
    if (status != BASE_OK)
        return status;
    rig->table = measure_target_table(rig->target);
    rig->images = app_take(&rig->pool, rig->batch, rig->floats * sizeof(float));
    rig->point = app_take(&rig->pool, rig->batch, rig->floats * sizeof(float));
    rig->gradient = app_take(&rig->pool, rig->batch, rig->floats * sizeof(float));
    rig->logits = app_take(&rig->pool, rig->batch, rig->classes * sizeof(float));
    rig->d_logits = app_take(&rig->pool, rig->batch, rig->classes * sizeof(float));
    for (size_t i = 0; i < rig->batch * rig->floats; i++)
        rig->images[i] = (float)base_rng_uniform(&rng);
    memcpy(rig->point, rig->images, rig->batch * rig->floats * sizeof(float));
    return BASE_OK;
}

/* Budget and step are PGD's usual ones (attacks.md 5): 8/255, 2.5 eps / 20. */
static base_status pgd_step(attack_rig *rig, base_error *err)
{
    const double eps = 8.0 / 255, alpha = 2.5 * eps / 20;
    const size_t classes = rig->classes;
    double loss = 0;
    base_status status =
        rig->table.forward(rig->table.user, rig->logits, rig->point, rig->batch, err);

    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < rig->batch; i++)
        loss += attack_loss_compute(rig->d_logits + i * classes, ATTACK_LOSS_CE,
                                    rig->logits + i * classes, classes,
                                    (int32_t)(i % classes), -1);
    bench_loss_add(&rig->losses, loss / (double)rig->batch);
    status = rig->table.gradient(rig->table.user, rig->gradient, rig->d_logits, err);
    if (status != BASE_OK)
        return status;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rig->batch; i++) {
        float *v = rig->point + i * rig->floats;
        const float *g = rig->gradient + i * rig->floats;

        for (size_t k = 0; k < rig->floats; k++)
            v[k] += g[k] > 0 ? (float)alpha : g[k] < 0 ? -(float)alpha : 0;
        attack_project(v, rig->images + i * rig->floats, rig->floats, ATTACK_NORM_LINF,
                       eps);
    }
    return BASE_OK;
}

/* Passes and steps in turn, so that both see the same machine. */
static base_status rig_time(bench_times *passes, bench_times *steps, attack_rig *rig,
                            const bench_args *args, base_error *err)
{
    passes->count = steps->count = 0;
    for (int64_t i = -args->warmup; i < args->rounds; i++) {
        const double began = base_seconds();
        base_status status =
            rig->table.logits(rig->table.user, rig->logits, rig->point, rig->batch, err);
        const double half = base_seconds();

        if (status == BASE_OK)
            status = pgd_step(rig, err);
        const double done = base_seconds();
        if (status == BASE_OK)
            status = bench_note(passes, i, half - began, err);
        if (status == BASE_OK)
            status = bench_note(steps, i, done - half, err);
        if (status != BASE_OK)
            return status;
    }
    return BASE_OK;
}

/* The largest change of a number of an image. */
static double largest_change(const attack_rig *rig)
{
    float most = 0;

    for (size_t i = 0; i < rig->batch * rig->floats; i++)
        most = fmaxf(most, fabsf(rig->point[i] - rig->images[i]));
    return (double)most;
}

static void row_put(const bench_context *context, const char *subject,
                    const attack_rig *rig, bench_spread pass, bench_spread step)
{
    const bench_args *args = context->args;
    const double rate = (double)rig->batch / step.median;

    bench_row(context, context->results,
              json_pack("{s:s, s:o, s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:o}", "case",
                        "attack", "size", show_json_text(subject), "image",
                        vit_model_config(rig->model)->image, "batch",
                        (json_int_t)rig->batch, "rounds", (json_int_t)args->rounds,
                        "forward_ms", 1e3 * pass.median, "step_ms", 1e3 * step.median,
                        "ratio", step.median / pass.median, "image_steps_per_s", rate,
                        "change", largest_change(rig), "losses",
                        bench_losses_json(&rig->losses)));
}

base_status bench_attack(const bench_context *context, base_error *err)
{
    bench_times *times = app_take(NULL, 2, sizeof *times);
    base_status status = BASE_OK;

    bench_head(context);
    for (size_t i = 0; i < context->subject_count && status == BASE_OK; i++) {
        attack_rig rig = {0};

        status = rig_open(&rig, context->subjects[i], context->args, err);
        if (status == BASE_OK)
            status = rig_time(&times[0], &times[1], &rig, context->args, err);
        if (status == BASE_OK)
            row_put(context, context->subjects[i], &rig, bench_spread_of(&times[0]),
                    bench_spread_of(&times[1]));
        rig_close(&rig);
    }
    return status;
}
