/* pace.c - what an optimiser step costs with each of several networks: side by side, on the
 * same batches, one step of each in turn, each round beginning with another one, so that
 * drifts of the machine meet all alike. Relied on elsewhere: weights stay as they are
 * (learning rate 0), so that loads do not move while one measures. */
#include "train/train_internal.h"

/* One network that makes steps. */
typedef struct rig {
    vit_model *model;
    vit_run *run;
    vit_optimizer *optimizer;
} rig;

typedef struct pace {
    train_trainer *plan;
    rig *rig; /* [count] */
    size_t count;
    float *targets, *logits, *d_logits; /* [part, K] */
} pace;

static base_status pace_open(pace *p, vit_model *const *models, base_error *err)
{
    const train_trainer *t = p->plan;
    const size_t classes = (size_t)t->recipe.config.classes;
    base_status status = BASE_OK;

    p->rig = base_alloc(p->count, sizeof *p->rig);
    p->targets = base_alloc(t->part, classes * sizeof *p->targets);
    p->logits = base_alloc(t->part, classes * sizeof *p->logits);
    p->d_logits = base_alloc(t->part, classes * sizeof *p->d_logits);
    if (!p->rig || !p->targets || !p->logits || !p->d_logits)
        return base_fail(err, BASE_NO_MEMORY, "no memory to time %zu networks", p->count);
    for (size_t i = 0; i < p->count && status == BASE_OK; i++) {
        p->rig[i].model = models[i];
        status = vit_run_create(&p->rig[i].run, models[i], t->part, VIT_MODE_TRAIN,
                                t->precision, err);
        if (status == BASE_OK)
            status = vit_optimizer_create(&p->rig[i].optimizer, models[i],
                                          &t->recipe.optimizer, err);
    }
    return status;
}

static void pace_close(pace *p)
{
    for (size_t i = 0; p->rig && i < p->count; i++) {
        vit_optimizer_destroy(p->rig[i].optimizer);
        vit_run_destroy(p->rig[i].run);
    }
    base_free(p->rig);
    base_free(p->targets);
    base_free(p->logits);
    base_free(p->d_logits);
}

/* One optimiser step on the batch, as train_trainer_step makes it; milliseconds. */
static base_status step_make(double *ms, pace *p, rig *r, const data_batch *batch,
                             uint64_t number, base_error *err)
{
    const train_recipe *recipe = &p->plan->recipe;
    const double share = 1.0 / recipe->train.accumulate;
    const double began = base_seconds();
    base_status status = BASE_OK;

    vit_run_gradients_zero(r->run);
    for (int part = 0; part < recipe->train.accumulate && status == BASE_OK; part++) {
        const vit_step step = {.seed = 1,
                               .step = number,
                               .first_sample = (uint64_t)part * p->plan->part,
                               .loss_scale = share};
        status =
            vit_run_forward(r->run, p->logits, batch->images, batch->count, &step, err);
        if (status != BASE_OK)
            return status;
        vit_loss_compute((vit_loss)recipe->train.loss, p->d_logits, NULL, p->logits,
                         p->targets, batch->count, (size_t)recipe->config.classes, share);
        status = vit_run_backward(r->run, NULL, p->d_logits, err);
    }
    if (status == BASE_OK) {
        vit_optimizer_step(r->optimizer, r->model, vit_run_gradients(r->run), 0);
        vit_optimizer_state_step(r->optimizer, r->model, r->run,
                                 &(vit_step){.step = number});
    }
    *ms = 1e3 * (base_seconds() - began);
    return status;
}

static base_status round_make(double *ms, pace *p, size_t number, base_error *err)
{
    const train_recipe *recipe = &p->plan->recipe;
    data_batch batch;
    base_status status = data_loader_next(p->plan->train_loader, &batch, err);

    if (status != BASE_OK)
        return status;
    vit_targets_fill(p->targets, batch.labels, batch.labels_b, batch.weight_a, batch.count,
                     (size_t)recipe->config.classes, recipe->train.label_smoothing);
    for (size_t k = 0; k < p->count && status == BASE_OK; k++) {
        const size_t i = (number + k) % p->count;

        status = step_make(&ms[i], p, &p->rig[i], &batch, number, err);
    }
    return status;
}

base_status train_pace(double *ms, train_trainer *plan, vit_model *const *models,
                       size_t count, size_t rounds,
                       base_status (*shown)(void *user, size_t done, base_error *err),
                       void *user, base_error *err)
{
    pace p = {.plan = plan, .count = count};
    double *round = base_alloc(count, sizeof *round);
    base_status status =
        round ? pace_open(&p, models, err)
              : base_fail(err, BASE_NO_MEMORY, "no memory to time %zu networks", count);

    if (status == BASE_OK)
        status = data_loader_seek(plan->train_loader, 0, 0, err);
    for (size_t i = 0; i < TRAIN_PACE_WARMUP + rounds && status == BASE_OK; i++) {
        status = round_make(round, &p, i, err);
        for (size_t k = 0; k < count && i >= TRAIN_PACE_WARMUP; k++)
            ms[k * rounds + i - TRAIN_PACE_WARMUP] = round[k];
        if (status == BASE_OK && shown)
            status = shown(user, i + 1, err);
    }
    pace_close(&p);
    base_free(round);
    return status;
}
