/* step.c - one optimiser step: its passes forward and backward, the update, the rule for
 * values that are not finite (model.md "Optimisers and schedule"), the line of
 * metrics.jsonl. Relied on elsewhere: the order of passes and sums (a resumed run repeats
 * them to the bit). */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "train/train_internal.h"

/* Steps in a row whose loss or gradient is not finite before the run gives up. */
enum { SKIPPED_MAX = 10 };

/* How many images of the batch went to the label that weighs most in their target. */
static size_t count_correct(const float *logits, const data_batch *batch, size_t classes)
{
    size_t correct = 0;

    for (size_t i = 0; i < batch->count; i++) {
        const int32_t label =
            batch->weight_a[i] >= 0.5f ? batch->labels[i] : batch->labels_b[i];
        correct +=
            label >= 0 && measure_arg_max(logits + i * classes, classes) == (size_t)label;
    }
    return correct;
}

/* ---- the passes of a step ------------------------------------------------------------ */

/* With TRADES two passes of a part carry the routers' losses: half each. */
static vit_step half_of(const vit_step *step, bool trades)
{
    vit_step out = *step;

    if (trades)
        out.loss_scale /= 2;
    return out;
}

/* The gradient of beta * KL(clean || worse), mean over the part, with respect to clean's
 * logits is added to d_logits. */
static void add_divergence(train_trainer *t, size_t count, double share)
{
    const size_t classes = (size_t)t->recipe.config.classes;
    const float scale = (float)(t->recipe.adversary.beta * share / (double)count);
    float *d_clean = t->targets; /* not needed any more */

    for (size_t i = 0; i < count * classes; i += classes) {
        train_adversary_divergence(d_clean + i, NULL, t->logits + i, t->worse_logits + i,
                                   classes);
        for (size_t c = i; c < i + classes; c++)
            t->d_logits[c] += scale * d_clean[c];
    }
}

/* TRADES' second pass, first in time: the worse images, backward from beta * KL(clean ||
 * worse). The clean logits come from a pass that is repeated later for its own backward;
 * its draws are the same. */
static base_status run_worse(train_trainer *t, const float *clean, const float *worse,
                             size_t count, const vit_step *step, double *divergence,
                             base_error *err)
{
    const size_t classes = (size_t)t->recipe.config.classes;
    const double beta = t->recipe.adversary.beta;
    const vit_step half = half_of(step, true);

    base_status status = vit_run_forward(t->run, t->logits, clean, count, &half, err);
    if (status == BASE_OK)
        status = vit_run_forward(t->run, t->worse_logits, worse, count, &half, err);
    if (status != BASE_OK)
        return status;
    const float scale = (float)(beta / t->recipe.train.accumulate / (double)count);
    double sum = 0;
    for (size_t i = 0; i < count * classes; i += classes) {
        sum += train_adversary_divergence(NULL, t->d_logits + i, t->logits + i,
                                          t->worse_logits + i, classes);
        for (size_t c = i; c < i + classes; c++)
            t->d_logits[c] *= scale;
    }
    *divergence = beta * sum / (double)count;
    return isfinite(sum) ? vit_run_backward(t->run, NULL, t->d_logits, err) : BASE_OK;
}

/* One pass over part `part` of the step, this rank's next one; *finite false when its loss
 * is not. last_part: no other follows. */
static base_status run_part(train_trainer *t, size_t part, bool last_part, bool *finite,
                            base_error *err)
{
    const size_t classes = (size_t)t->recipe.config.classes;
    const double share = 1.0 / t->recipe.train.accumulate;
    data_batch batch;

    t->figures[part] = (train_figures){0};
    train_say(t, TRAIN_PHASE_LOADING);
    base_status status = data_loader_next(t->train_loader, &batch, err);
    if (status != BASE_OK)
        return status;
    train_say(t, TRAIN_PHASE_COMPUTING);
    const vit_step step = {.seed = (uint64_t)t->recipe.train.seed,
                           .step = t->at.step,
                           .steps = t->total,
                           .first_sample = part * t->part,
                           .loss_scale = share};
    vit_targets_fill(t->targets, batch.labels, batch.labels_b, batch.weight_a, batch.count,
                     classes, t->recipe.train.label_smoothing);
    const float *images = batch.images, *worse = NULL;
    if (t->adversary)
        status = train_adversary_make(&worse, t->adversary, images, t->targets, batch.count,
                                      &step, err);
    const bool trades = t->recipe.adversary.kind == TRAIN_ADVERSARY_TRADES;
    double divergence = 0;
    if (status == BASE_OK && trades)
        status = run_worse(t, images, worse, batch.count, &step, &divergence, err);
    const vit_step last = half_of(&step, trades);
    if (status == BASE_OK)
        status = vit_run_forward(t->run, t->logits, worse && !trades ? worse : images,
                                 batch.count, &last, err);
    if (status != BASE_OK)
        return status;
    const double loss =
        vit_loss_compute((vit_loss)t->recipe.train.loss, t->d_logits, NULL, t->logits,
                         t->targets, batch.count, classes, share) +
        divergence;
    if (trades)
        add_divergence(t, batch.count, share);
    const double aux = vit_run_aux_loss(t->run);
    const double correct = (double)count_correct(t->logits, &batch, classes);
    *finite = *finite && isfinite(loss) && isfinite(aux);
    if (isfinite(loss) && isfinite(aux)) { /* the figures of others are not kept */
        t->figures[part] =
            (train_figures){loss * (double)batch.count, aux * (double)batch.count, correct,
                            (double)batch.count};
        for (size_t i = 0; i < t->moe_count; i++) {
            const vit_routing routing = vit_run_routing(t->run, i);
            vit_usage_add(&t->load[i], &routing);
        }
    }
    if (!*finite)
        return BASE_OK;
    if (last_part)
        vit_run_hand_over(t->run, t->optimizer);
    return vit_run_backward(t->run, NULL, t->d_logits, err);
}

/* The passes of a step that are this rank's, lane by lane. */
static base_status run_parts(train_trainer *t, bool *finite, base_error *err)
{
    const size_t per_lane = t->parts / t->lanes;
    base_status status = BASE_OK;

    for (size_t i = 0; i < t->parts && status == BASE_OK; i++) {
        if (i % per_lane == 0)
            vit_run_gradients_zero(t->run);
        status = run_part(t, t->first_part + i, i + 1 == t->parts, finite, err);
        if (status == BASE_OK && (i + 1) % per_lane == 0)
            vit_optimizer_lane_end(t->optimizer, t->run);
    }
    return status;
}

/* The figures of all parts, in their order, whoever computed them. */
static void count_parts(train_trainer *t)
{
    train_sums *sums = &t->at.sums;

    for (int i = 0; i < t->recipe.train.accumulate; i++) {
        const train_figures *f = &t->figures[i];

        if (f->images <= 0)
            continue;
        sums->loss += f->loss;
        sums->aux_loss += f->aux_loss;
        sums->correct += f->correct;
        sums->images += f->images;
        /* The mean of the first passes, later a fading one. */
        const double n = (double)t->shown_count++;
        const double keep = fmin(n / (n + 1), 0.98);
        t->shown_loss = keep * t->shown_loss + (1 - keep) * f->loss / f->images;
        t->shown_accuracy = keep * t->shown_accuracy + (1 - keep) * f->correct / f->images;
    }
}

/* ---- not finite ---------------------------------------------------------------------- */

static bool all_finite(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* Where the trouble is first seen: a weight, the input of a router (in block order), else
 * the topmost tensor whose gradient is not finite, because gradients travel down from the
 * head. */
static void name_the_layer(char *out, size_t out_bytes, const train_trainer *t)
{
    const float *weights = vit_model_weights_const(t->model);
    const float *gradients = vit_run_gradients(t->run);

    for (size_t i = 0; i < vit_model_parameter_count(t->model); i++) {
        const vit_parameter *p = vit_model_parameter(t->model, i);
        if (!all_finite(weights + p->offset, p->count)) {
            snprintf(out, out_bytes, "weight '%s'", p->name);
            return;
        }
    }
    for (size_t i = 0; i < t->moe_count; i++) {
        const vit_routing routing = vit_run_routing(t->run, i);
        for (size_t j = 0; j < routing.tokens * routing.experts; j++) {
            if (!isfinite(routing.probs[j])) {
                snprintf(out, out_bytes, "router of block %zu", train_trainer_block(t, i));
                return;
            }
        }
    }
    for (size_t i = vit_model_parameter_count(t->model); i-- > 0;) {
        const vit_parameter *p = vit_model_parameter(t->model, i);
        if (!all_finite(gradients + p->offset, p->count)) {
            snprintf(out, out_bytes, "gradient of '%s'", p->name);
            return;
        }
    }
    snprintf(out, out_bytes, "loss");
}

/* finite: of this rank. The first rank that was not names the layer. */
static base_status note_skipped(train_trainer *t, bool finite, base_error *err)
{
    char layer[128];

    t->at.skipped++;
    t->at.skipped_in_a_row++;
    t->at.sums.skipped++;
    if (t->at.skipped_in_a_row < SKIPPED_MAX)
        return BASE_OK;
    name_the_layer(layer, sizeof layer, t);
    const base_status status = train_ranks_choose(t, layer, sizeof layer, !finite, err);
    if (status != BASE_OK)
        return status;
    return base_fail(err, BASE_NUMERIC,
                     "%d steps in a row were not finite, the last is step %" PRIu64
                     ", first seen in %s; checkpoints in '%s' are as they were",
                     SKIPPED_MAX, t->at.step, layer, t->options.folder);
}

/* ---- metrics ------------------------------------------------------------------------- */

/* The lower one of an even number. */
static double median(const double *x, size_t count)
{
    size_t middle = 0;

    for (size_t i = 0; i < count; i++) {
        size_t below = 0, equal = 0;

        for (size_t j = 0; j < count; j++) {
            below += x[j] < x[i];
            equal += x[j] <= x[i] && x[j] >= x[i];
        }
        if (below <= (count - 1) / 2 && (count - 1) / 2 < below + equal)
            middle = i;
    }
    return x[middle];
}

/* What is there with several ranks only, and is nobody's result. */
static void add_ranks(json_t *json, const train_trainer *t)
{
    size_t slowest = 0;

    if (t->ranks == 1)
        return;
    for (size_t r = 0; r < t->ranks; r++)
        slowest = t->busy[r] > t->busy[slowest] ? r : slowest;
    json_object_set_new(json, "ranks", json_integer((json_int_t)t->ranks));
    json_object_set_new(json, "sent_bytes", json_integer((json_int_t)t->sent));
    json_object_set_new(json, "waited", measure_json_real(t->waited / t->timed_seconds));
    json_object_set_new(
        json, "slowest",
        json_pack("{s:i, s:o}", "rank", (int)slowest, "busy",
                  measure_json_real(t->busy[slowest] / median(t->busy, t->ranks))));
}

static base_status log_line(train_trainer *t, double lr, base_error *err)
{
    const train_sums *s = &t->at.sums;
    const double updates = s->steps - s->skipped;
    base_status status = train_ranks_loads(t->load, t, t->load, err);

    if (status != BASE_OK)
        return status;
    json_t *json = json_object();

    json_object_set_new(json, "kind", json_string("train"));
    json_object_set_new(json, "step", json_integer((json_int_t)t->at.step));
    json_object_set_new(json, "epoch",
                        json_real((double)t->at.step * t->recipe.train.accumulate /
                                  (double)t->parts_in_epoch));
    json_object_set_new(json, "loss", measure_json_real(s->loss / s->images));
    json_object_set_new(json, "accuracy", measure_json_real(s->correct / s->images));
    json_object_set_new(json, "lr", measure_json_real(lr));
    json_object_set_new(json, "images_per_second",
                        measure_json_real(t->timed_images / t->timed_seconds));
    json_object_set_new(json, "grad_norm", measure_json_real(s->grad_norm / updates));
    json_object_set_new(json, "aux_loss", measure_json_real(s->aux_loss / s->images));
    json_object_set_new(json, "skipped", json_integer((json_int_t)t->at.skipped));
    train_trainer_loads(json, t, t->load);
    add_ranks(json, t);
    memset(&t->at.sums, 0, sizeof t->at.sums);
    memset(t->load, 0, t->moe_count * sizeof *t->load);
    memset(t->busy, 0, t->ranks * sizeof *t->busy);
    t->timed_images = t->timed_seconds = t->waited = t->sent = 0;
    if (train_leads(t))
        return train_metrics_write(&t->metrics, json, err);
    json_decref(json);
    return BASE_OK;
}

base_status train_trainer_step(train_trainer *trainer, base_error *err)
{
    train_trainer *t = trainer;
    const double begin = base_seconds();
    const double lr = vit_schedule_lr(&t->schedule, t->at.step);
    vit_optimizer_result result = {0};
    bool finite = true;

    train_ranks_watch(t);
    base_status status = run_parts(t, &finite, err);
    if (status != BASE_OK)
        return status;
    train_say(t, TRAIN_PHASE_EXCHANGE);
    status =
        vit_optimizer_step_among(&result, t->optimizer, t->model, t->run, lr, finite, err);
    if (status == BASE_OK)
        status = train_ranks_call(t, base_seconds() - begin, err);
    if (status != BASE_OK)
        return status;
    count_parts(t);
    if (!result.skipped)
        vit_optimizer_state_step(t->optimizer, t->model, t->run,
                                 &(vit_step){.step = t->at.step, .steps = t->total});
    t->at.step++;
    t->at.sums.steps++;
    t->unsaved = true;
    if (result.skipped) {
        status = note_skipped(t, finite, err);
    } else {
        t->at.skipped_in_a_row = 0;
        t->at.sums.grad_norm += result.grad_norm;
    }
    if (status != BASE_OK)
        return status;
    t->timed_seconds += base_seconds() - begin;
    t->timed_images += t->recipe.train.batch;
    if (t->options.watch.stepped)
        t->options.watch.stepped(t->options.watch.user, t, lr);
    if (t->at.step % (uint64_t)t->recipe.train.log_every == 0 || t->at.step == t->total)
        status = log_line(t, lr, err);
    if (status == BASE_OK && !result.skipped)
        vit_optimizer_share(t->optimizer, t->model);
    return status;
}
