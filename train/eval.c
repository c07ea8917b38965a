/* eval.c - the validation pass of a training run: top-1 accuracy, loss, load of the
 * experts, with averaged weights where the recipe asks for them. Ranks take whole batches
 * in turn; sums are exact, so that any number of ranks comes to the same ones. Relied on
 * elsewhere: an interrupted pass changes nothing. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "train/train_internal.h"

typedef struct pass_sums {
    base_exact loss;
    uint64_t correct, images, lossy; /* lossy: images that have a label and so a loss */
} pass_sums;

static base_status add_batch(pass_sums *sums, train_trainer *t, const data_batch *batch,
                             base_error *err)
{
    const size_t classes = (size_t)t->recipe.config.classes;
    const base_status status = vit_run_forward(t->eval_run, t->logits, batch->images,
                                               batch->count, &(vit_step){0}, err);

    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < batch->count; i++) {
        const float *row = t->logits + i * classes;
        const int32_t label = batch->labels[i];
        sums->images++;
        if (label < 0 || batch->bad[i]) /* not readable: counts as wrong */
            continue;
        memset(t->targets, 0, classes * sizeof *t->targets);
        t->targets[label] = 1.0f;
        const double loss = vit_loss_compute((vit_loss)t->recipe.train.loss, NULL, NULL,
                                             row, t->targets, 1, classes, 1.0);
        base_exact_add(&sums->loss, loss);
        sums->lossy++;
        sums->correct += isfinite(loss) && measure_arg_max(row, classes) == (size_t)label;
    }
    for (size_t i = 0; i < t->moe_count; i++) {
        vit_routing routing = vit_run_routing(t->eval_run, i);
        routing.left_out = batch->bad;
        vit_usage_add(&t->eval_load[i], &routing);
    }
    return BASE_OK;
}

static base_status log_line(train_trainer *t, double seconds, uint64_t images, double loss,
                            double accuracy, bool better, base_error *err)
{
    json_t *json = json_object();

    json_object_set_new(json, "kind", json_string("eval"));
    json_object_set_new(json, "step", json_integer((json_int_t)t->at.step));
    json_object_set_new(json, "epoch",
                        json_real((double)t->at.step * t->recipe.train.accumulate /
                                  (double)t->parts_in_epoch));
    json_object_set_new(json, "loss", measure_json_real(loss));
    json_object_set_new(json, "accuracy", measure_json_real(accuracy));
    json_object_set_new(json, "lr",
                        measure_json_real(vit_schedule_lr(&t->schedule, t->at.step - 1)));
    json_object_set_new(json, "images_per_second",
                        measure_json_real((double)images / seconds));
    json_object_set_new(json, "images", json_integer((json_int_t)images));
    json_object_set_new(json, "seconds", measure_json_real(seconds));
    json_object_set_new(json, "best", json_boolean(better));
    train_trainer_loads(json, t, t->eval_load);
    if (train_leads(t))
        return train_metrics_write(&t->metrics, json, err);
    json_decref(json);
    return BASE_OK;
}

/* This rank's batches, in step with the others'. */
static base_status run_batches(pass_sums *sums, train_trainer *t, base_error *err)
{
    data_batch batch = {0};
    base_status status = data_loader_seek(t->val_loader, 0, 0, err);

    for (bool more = true; status == BASE_OK && more;) {
        if (batch.count > 0 || sums->images == 0)
            status = data_loader_next(t->val_loader, &batch, err);
        more = batch.count > 0;
        if (status == BASE_OK)
            status = train_ranks_meet(t, &more, err);
        if (status != BASE_OK || !more)
            break;
        if (train_stop_asked(t))
            return base_fail(err, BASE_INTERRUPTED, "stopped");
        if (batch.count > 0)
            status = add_batch(sums, t, &batch, err);
    }
    return status;
}

/* The sums and loads of all ranks. */
static base_status add_ranks(pass_sums *sums, train_trainer *t, base_error *err)
{
    if (t->ranks == 1)
        return BASE_OK;
    const vit_peers *peers = &t->options.ranks->peers;
    pass_sums *all = base_alloc(t->ranks, sizeof *all);
    if (!all)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the sums of %zu ranks",
                         t->ranks);
    all[t->rank] = *sums;
    base_status status = peers->all(peers->user, all, sizeof *all, err);
    *sums = (pass_sums){0};
    for (size_t i = 0; i < t->ranks && status == BASE_OK; i++) {
        base_exact_merge(&sums->loss, &all[i].loss);
        sums->correct += all[i].correct;
        sums->images += all[i].images;
        sums->lossy += all[i].lossy;
    }
    base_free(all);
    return status == BASE_OK ? train_ranks_loads(t->eval_load, t, t->eval_load, err)
                             : status;
}

base_status train_trainer_evaluate(train_trainer *trainer, bool *better, base_error *err)
{
    train_trainer *t = trainer;
    const double begin = base_seconds();
    pass_sums sums = {0};

    train_say(t, TRAIN_PHASE_EVALUATION);
    base_status status = vit_optimizer_shared(t->optimizer, err);
    if (status == BASE_OK && t->averaged)
        status =
            vit_optimizer_ema_gather(vit_model_weights(t->averaged), t->optimizer, err);
    memset(t->eval_load, 0, t->moe_count * sizeof *t->eval_load);
    if (status == BASE_OK)
        status = run_batches(&sums, t, err);
    if (status == BASE_OK)
        status = add_ranks(&sums, t, err);
    if (status != BASE_OK)
        return status;

    const double seconds = base_seconds() - begin;
    const double accuracy = (double)sums.correct / (double)sums.images;
    const double loss =
        sums.lossy > 0 ? base_exact_value(&sums.loss) / (double)sums.lossy : (double)NAN;
    *better = t->at.best_step == 0 || accuracy > t->at.best_accuracy;
    t->at.evaluated = t->at.step;
    t->at.last_accuracy = accuracy;
    t->at.last_loss = isfinite(loss) ? loss : -1;
    if (*better) {
        t->at.best_step = t->at.step;
        t->at.best_accuracy = accuracy;
        t->at.best_loss = t->at.last_loss;
    }
    t->unsaved = true;
    t->eval_seconds += seconds;
    return log_line(t, seconds, sums.images, loss, accuracy, *better, err);
}
