/* eval.c - the validation pass of a training run: top-1 accuracy, loss, load of the
 * experts, with averaged weights where the recipe asks for them. Sums are taken in sample
 * order, in double. Relied on elsewhere: an interrupted pass changes nothing. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "train/train_internal.h"

typedef struct pass_sums {
    double loss;
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
        sums->loss += loss;
        sums->lossy++;
        sums->correct += isfinite(loss) && measure_arg_max(row, classes) == (size_t)label;
    }
    for (size_t i = 0; i < t->moe_count; i++) {
        const vit_routing routing = vit_run_routing(t->eval_run, i);
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
    return train_metrics_write(&t->metrics, json, err);
}

base_status train_trainer_evaluate(train_trainer *trainer, bool *better, base_error *err)
{
    train_trainer *t = trainer;
    const double begin = base_seconds();
    pass_sums sums = {0};
    data_batch batch = {0};

    if (t->averaged)
        memcpy(vit_model_weights(t->averaged), vit_optimizer_ema(t->optimizer),
               vit_model_floats(t->model) * sizeof(float));
    memset(t->eval_load, 0, t->moe_count * sizeof *t->eval_load);
    base_status status = data_loader_seek(t->val_loader, 0, 0, err);
    while (status == BASE_OK) {
        status = data_loader_next(t->val_loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        if (train_stop_asked(t))
            return base_fail(err, BASE_INTERRUPTED, "stopped");
        status = add_batch(&sums, t, &batch, err);
    }
    if (status != BASE_OK)
        return status;

    const double seconds = base_seconds() - begin;
    const double accuracy = (double)sums.correct / (double)sums.images;
    const double loss = sums.lossy > 0 ? sums.loss / (double)sums.lossy : (double)NAN;
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
