/* rig.c - a network on random images, pass by pass: what train does with a batch that is
 * ready, or a forward pass, and where the time of it went. */
#include "apps/bench/internal.h"
#include "train/train.h"

#include <math.h>

const char *bench_part_name(size_t part)
{
    return part == BENCH_LOSS        ? "loss"
           : part == BENCH_OPTIMIZER ? "optimizer"
                                     : vit_part_name((vit_part)part);
}

void bench_loss_add(bench_losses *losses, double loss)
{
    if (losses->count < BENCH_LOSSES)
        losses->of[losses->count++] = loss;
}

json_t *bench_losses_json(const bench_losses *losses)
{
    json_t *list = json_array();

    for (size_t i = 0; i < losses->count; i++)
        json_array_append_new(list, json_real(losses->of[i]));
    return list;
}

void bench_rig_close(bench_rig *rig)
{
    vit_optimizer_destroy(rig->optimizer);
    vit_run_destroy(rig->run);
    vit_model_destroy(rig->model);
    app_pool_end(&rig->pool);
    *rig = (bench_rig){0};
}

base_status bench_rig_open(bench_rig *rig, vit_model *model, vit_mode mode,
                           app_ranks *ranks, const bench_args *args, base_error *err)
{
    const train_ranks *among = ranks ? app_ranks_train(ranks) : NULL;
    const vit_config *c = vit_model_config(model);
    const size_t floats = (size_t)c->channels * (size_t)c->image * (size_t)c->image;
    const vit_optimizer_config optimizer = train_recipe_defaults().optimizer;
    base_rng rng = base_rng_make((uint64_t)args->common.seed, BASE_PURPOSE_TEST,
                                 ranks ? 2 : 0, among ? among->peers.rank : 0, 0);

    *rig = (bench_rig){.model = model,
                       .batch = (size_t)args->common.batch,
                       .classes = (size_t)c->classes,
                       .mode = mode,
                       .ranks = ranks,
                       .seed = (uint64_t)args->common.seed};
    rig->images = app_take(&rig->pool, rig->batch, floats * sizeof *rig->images);
    rig->targets = app_take(&rig->pool, rig->batch, rig->classes * sizeof *rig->targets);
    rig->logits = app_take(&rig->pool, rig->batch, rig->classes * sizeof *rig->logits);
    rig->d_logits = app_take(&rig->pool, rig->batch, rig->classes * sizeof *rig->d_logits);
    for (size_t i = 0; i < rig->batch * floats; i++)
        rig->images[i] = (float)base_rng_normal(&rng);
    for (size_t i = 0; i < rig->batch; i++)
        rig->targets[i * rig->classes + base_rng_below(&rng, rig->classes)] = 1;
    base_status status = vit_run_create_options(
        &rig->run, rig->model, rig->batch,
        &(vit_run_options){.mode = mode,
                           .precision = (vit_precision)args->common.precision,
                           .recompute = (vit_recompute)args->recompute},
        err);
    if (status == BASE_OK && mode == VIT_MODE_TRAIN)
        status = vit_optimizer_create_among(&rig->optimizer, rig->model, &optimizer,
                                            among ? &among->peers : NULL, 1, err);
    if (status == BASE_OK && !ranks)
        vit_run_profile(rig->run, true);
    return status;
}

void bench_rig_clear(bench_rig *rig)
{
    rig->times = (bench_pass_times){0};
    vit_run_profile(rig->run, true);
}

static void routing_add(bench_rig *rig)
{
    for (size_t i = 0; i < vit_run_moe_count(rig->run); i++)
        rig->times.routing += vit_run_routing(rig->run, i).seconds;
}

static base_status train_step(bench_rig *rig, base_error *err)
{
    const vit_step step = {.seed = rig->seed, .step = rig->steps++};
    const double started = base_seconds();
    base_status status =
        vit_run_forward(rig->run, rig->logits, rig->images, rig->batch, &step, err);
    const double forward = base_seconds();

    if (status != BASE_OK)
        return status;
    routing_add(rig);
    bench_loss_add(&rig->losses,
                   vit_loss_compute(VIT_LOSS_SOFTMAX, rig->d_logits, NULL, rig->logits,
                                    rig->targets, rig->batch, rig->classes, 1));
    const double loss = base_seconds();
    status = vit_run_backward(rig->run, NULL, rig->d_logits, err);
    if (status != BASE_OK)
        return status;
    const double backward = base_seconds();
    vit_optimizer_step(rig->optimizer, rig->model, vit_run_gradients(rig->run), 1e-4);
    vit_optimizer_state_step(rig->optimizer, rig->model, rig->run, &step);
    vit_run_gradients_zero(rig->run);
    rig->times.forward += forward - started;
    rig->times.backward += backward - loss;
    rig->times.part[BENCH_LOSS] += loss - forward;
    rig->times.part[BENCH_OPTIMIZER] += base_seconds() - backward;
    return BASE_OK;
}

static base_status infer_pass(bench_rig *rig, base_error *err)
{
    const double started = base_seconds();
    const base_status status = vit_run_forward(rig->run, rig->logits, rig->images,
                                               rig->batch, &(vit_step){0}, err);

    rig->times.forward += base_seconds() - started;
    if (status != BASE_OK)
        return status;
    routing_add(rig);
    if (rig->losses.count == 0)
        bench_loss_add(&rig->losses,
                       vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, NULL, rig->logits,
                                        rig->targets, rig->batch, rig->classes, 1));
    return BASE_OK;
}

base_status bench_rig_pass(bench_rig *rig, size_t passes, base_error *err)
{
    base_status status = BASE_OK;

    for (size_t i = 0; i < passes && status == BASE_OK; i++)
        status = rig->mode == VIT_MODE_TRAIN ? train_step(rig, err) : infer_pass(rig, err);
    if (status != BASE_OK)
        return status;
    vit_run_profile_read(rig->run, rig->times.part);
    return app_stop_asked() ? base_fail(err, BASE_INTERRUPTED, "stopped") : BASE_OK;
}

base_status bench_rig_check(const bench_rig *rig, base_error *err)
{
    for (size_t i = 0; i < rig->batch * rig->classes; i++)
        if (!isfinite(rig->logits[i]))
            return base_fail(err, BASE_NUMERIC,
                             "logits are not finite, timing means nothing");
    return BASE_OK;
}
