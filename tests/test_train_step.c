/* test_train_step.c - a run's wiring: what is drawn moves from step to step, epoch to epoch
 * and seed to seed; parts add up to the whole; the gradient of a step is that of its loss,
 * adversarial or not; what the lines of metrics say is what happened. */
#include <jansson.h>
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_trainer.h"

/* ---- data: order, crops, flips, partners --------------------------------------------- */

typedef struct epoch {
    uint32_t samples[SAMPLE_COUNT];
    float images[SAMPLE_COUNT][3 * SAMPLE_SIDE * SAMPLE_SIDE]; /* by sample */
    int32_t partner[SAMPLE_COUNT];                             /* by place: its label */
    float weight[SAMPLE_COUNT];                                /* by place */
} epoch;

static void epoch_read(epoch *out, train_trainer *t, uint64_t number)
{
    enum { FLOATS = 3 * SAMPLE_SIDE * SAMPLE_SIDE };
    size_t at = 0;

    for (uint64_t part = 0; part < t->parts_in_epoch; part++) {
        const data_batch b = batch_at(t, number * t->parts_in_epoch + part);
        ck_assert_uint_eq(b.epoch, number);
        for (size_t i = 0; i < b.count; i++, at++) {
            out->samples[at] = b.samples[i];
            out->partner[at] = b.labels_b[i];
            out->weight[at] = b.weight_a[i];
            memcpy(out->images[b.samples[i]], b.images + i * FLOATS,
                   FLOATS * sizeof(float));
        }
    }
    ck_assert_uint_eq(at, SAMPLE_COUNT);
}

static size_t images_that_differ(const epoch *a, const epoch *b)
{
    size_t count = 0;

    for (size_t i = 0; i < SAMPLE_COUNT; i++)
        count += memcmp(a->images[i], b->images[i], sizeof a->images[i]) != 0;
    return count;
}

static void two_epochs(epoch out[2], const char *const *one, const char *const *two,
                       uint64_t first, uint64_t second)
{
    char *folder = test_path(dir, "run");

    for (int i = 0; i < 2; i++) {
        train_trainer t = {0};
        trainer_begin(&t, folder, i ? two : one);
        epoch_read(&out[i], &t, i ? second : first);
        train_trainer_destroy(&t);
    }
    base_free(folder);
}

/* Two epochs of a seed, one epoch of two seeds. */
static void moves(const char *const *one, const char *const *two, uint64_t second)
{
    static epoch e[2];

    two_epochs(e, one, two, 0, second);
    ck_assert_mem_ne(e[0].samples, e[1].samples, sizeof e[0].samples);
    /* one of 9 crops, mirrored or not: two of twelve alike are no surprise, all are */
    ck_assert_uint_gt(images_that_differ(&e[0], &e[1]), SAMPLE_COUNT / 2);
}

START_TEST(order_and_crops_move_from_epoch_to_epoch)
{
    moves(SET("augment.flip=0"), SET("augment.flip=0"), 1);
}
END_TEST

START_TEST(order_and_crops_move_with_the_seed)
{
    moves(SET("augment.flip=0"), SET("augment.flip=0", "train.seed=2"), 0);
}
END_TEST

/* Flips alone: about half of the pictures are the other way round. */
START_TEST(flips_move)
{
    static epoch e[2];

    two_epochs(e, SET("augment.padding=0"), SET("augment.padding=0"), 0, 1);
    ck_assert_uint_gt(images_that_differ(&e[0], &e[1]), 1);
    ck_assert_uint_lt(images_that_differ(&e[0], &e[1]), SAMPLE_COUNT - 1);
    two_epochs(e, SET("augment.padding=0"), SET("augment.padding=0", "train.seed=2"), 0, 0);
    ck_assert_uint_gt(images_that_differ(&e[0], &e[1]), 1);
    two_epochs(e, SET("augment.padding=0"), SET("augment.padding=0"), 1, 1);
    ck_assert_uint_eq(images_that_differ(&e[0], &e[1]), 0);
}
END_TEST

/* The last helper makes all it can, before the others. */
static void last_first(size_t count, void (*member)(void *arg, size_t i), void *arg)
{
    while (count-- > 0)
        member(arg, count);
}

static void eight_helpers(void *user, data_loader_config *config, int workers)
{
    config->threads = (size_t)workers;
    config->helpers = 8;
    config->together = last_first;
    ++*(int *)user;
}

/* Who makes a picture does not matter: a thread of the loader, the caller or its helpers,
 * each with a place of its own among those that corrupt. */
START_TEST(helpers_make_the_same_corrupted_pictures)
{
    static epoch e[2];
    char *folder = test_path(dir, "run");
    const train_recipe recipe = recipe_of(
        SET("augment.corrupt=contrast,gaussian_noise", "augment.corrupt_probability=1"));
    int asked = 0;

    for (int helped = 0; helped < 2; helped++) {
        train_trainer t = {0};
        const train_options options = {.folder = folder,
                                       .threads = 1,
                                       .loaders = helped ? eight_helpers : NULL,
                                       .loaders_user = &asked};
        ck_assert_msg(train_trainer_create(&t, &recipe, &options, &err) == BASE_OK, "%s",
                      err.text);
        epoch_read(&e[helped], &t, 0);
        train_trainer_destroy(&t);
    }
    ck_assert_int_eq(asked, 1);
    ck_assert_uint_eq(images_that_differ(&e[0], &e[1]), 0);
    base_free(folder);
}
END_TEST

/* Weights of mixup belong to a batch of an epoch, and the partner moves with the order. */
START_TEST(mixing_moves)
{
    static epoch e[2];
    const char *const *mixed = SET("augment.mixup=1");

    two_epochs(e, mixed, mixed, 0, 1);
    for (size_t i = 0; i < SAMPLE_COUNT; i += 4)
        ck_assert(e[0].weight[i] != e[1].weight[i]);
    ck_assert(e[0].weight[0] != e[0].weight[4]);
    ck_assert_mem_ne(e[0].partner, e[1].partner, sizeof e[0].partner);
    two_epochs(e, mixed, SET("augment.mixup=1", "train.seed=2"), 0, 0);
    ck_assert(e[0].weight[0] != e[1].weight[0]);
}
END_TEST

/* ---- steps --------------------------------------------------------------------------- */

static float *weights_copy(const vit_model *model)
{
    float *out = base_alloc(vit_model_floats(model), sizeof *out);

    memcpy(out, vit_model_weights_const(model), vit_model_floats(model) * sizeof *out);
    return out;
}

/* The line of a step, or of the evaluation after it: json_decref. */
static json_t *line_of(const train_trainer *t, const char *kind, uint64_t step)
{
    char *text = NULL;
    size_t bytes = 0;
    json_t *found = NULL;

    ck_assert_int_eq(base_file_read(&text, &bytes, t->metrics_path, 1 << 20, &err),
                     BASE_OK);
    for (const char *at = text; *at && !found; at += strcspn(at, "\n") + 1) {
        json_t *json = json_loadb(at, strcspn(at, "\n"), 0, NULL);
        ck_assert_ptr_nonnull(json);
        if (strcmp(json_string_value(json_object_get(json, "kind")), kind) == 0 &&
            json_integer_value(json_object_get(json, "step")) == (json_int_t)step)
            found = json;
        else
            json_decref(json);
    }
    base_free(text);
    ck_assert_ptr_nonnull(found);
    return found;
}

static double number_of(const train_trainer *t, uint64_t step, const char *key)
{
    json_t *line = line_of(t, "train", step);
    const double value = json_number_value(json_object_get(line, key));

    json_decref(line);
    return value;
}

/* Groups of half a batch, so that losses of routers are means over the same groups; masks
 * and noise belong to the image. Gradients are sums of another order: f32. */
START_TEST(parts_add_up_to_the_whole)
{
    static const char *const routers[][2] = {
        {"router.name=vmoe", "router.load=0.5"},
        {"router.name=softmax", "router.balance=0.5"},
        {"router.name=s2moe", "router.contrast_scope=image"},
        {"train.adversarial=trades", "train.adversarial_steps=1"},
        {"train.adversarial=fgsm-rs", "train.adversarial_eps=0.1"},
    };
    char *folder = test_path(dir, "run");
    double norm[2], aux[2], loss[2], accuracy[2];
    float *left[2];
    size_t count = 0;

    for (int parts = 1; parts <= 2; parts++) {
        train_trainer t = {0};
        trainer_begin(&t, folder,
                      SET(routers[_i][0], routers[_i][1], "train.batch=12",
                          parts == 2 ? "train.accumulate=2" : "train.accumulate=1",
                          "router.group_images=6", "optimizer.name=sgd"));
        for (int step = 0; step < 3; step++)
            trainer_step(&t);
        count = vit_model_floats(t.model);
        left[parts - 1] = weights_copy(t.model);
        norm[parts - 1] = number_of(&t, 3, "grad_norm");
        aux[parts - 1] = number_of(&t, 3, "aux_loss");
        loss[parts - 1] = number_of(&t, 3, "loss");
        accuracy[parts - 1] = number_of(&t, 3, "accuracy");
        train_trainer_destroy(&t);
    }
    ck_assert_double_gt(aux[0], 0);
    ck_assert_double_eq_tol(aux[0], aux[1], 1e-5 * aux[0]);
    ck_assert_double_eq_tol(norm[0], norm[1], 1e-4 * norm[0]);
    ck_assert_double_eq_tol(loss[0], loss[1], 1e-5 * loss[0]);
    ck_assert_double_eq(accuracy[0], accuracy[1]);
    ck_assert_double_lt(largest_gap(left[0], left[1], count), 2e-6);
    base_free(left[0]);
    base_free(left[1]);
    base_free(folder);
}
END_TEST

/* The loss of the first step with these weights, the images that training made worse held
 * as they are: cross-entropy of what is shown, for trades that of the clean images and beta
 * times the divergence; and the routers' losses, for trades the mean of the two passes.
 * *shown: what the metrics call the loss, without those. */
static double loss_of(double *shown, train_trainer *t, const data_batch *b,
                      const float *worse)
{
    const bool trades = t->recipe.adversary.kind == TRAIN_ADVERSARY_TRADES;
    const vit_step step = {.seed = (uint64_t)t->recipe.train.seed, .steps = t->total};
    const size_t classes = (size_t)t->recipe.config.classes, count = b->count;
    float clean[64], other[64], targets[64];
    double aux = 0, sum = 0;

    ck_assert_uint_le(count * classes, 64);
    vit_model_weights(t->model); /* they were changed */
    vit_targets_fill(targets, b->labels, b->labels_b, b->weight_a, count, classes,
                     t->recipe.train.label_smoothing);
    ck_assert_int_eq(vit_run_forward(t->run, other, worse, count, &step, &err), BASE_OK);
    aux = vit_run_aux_loss(t->run);
    *shown =
        vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, NULL, other, targets, count, classes, 1);
    if (!trades)
        return aux + *shown;
    ck_assert_int_eq(vit_run_forward(t->run, clean, b->images, count, &step, &err),
                     BASE_OK);
    aux = (aux + vit_run_aux_loss(t->run)) / 2;
    for (size_t i = 0; i < count * classes; i += classes)
        sum += train_adversary_divergence(NULL, NULL, clean + i, other + i, classes);
    *shown =
        t->recipe.adversary.beta * sum / (double)count +
        vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, NULL, clean, targets, count, classes, 1);
    return aux + *shown;
}

/* The slope of the loss along the step's own gradient is its length, and along another
 * direction their product. */
START_TEST(the_gradient_of_a_step_is_that_of_its_loss)
{
    static const char *const kinds[] = {"train.adversarial=none", "train.adversarial=pgd",
                                        "train.adversarial=fgsm-rs",
                                        "train.adversarial=trades"};
    char *folder = test_path(dir, "run");
    const float *worse = NULL;
    train_trainer t = {0};

    trainer_begin(&t, folder,
                  SET(kinds[_i], "router.name=vmoe", "router.noise=0", "router.load=0",
                      "router.importance=0.5", "train.label_smoothing=0.1",
                      "optimizer.name=sgd", "optimizer.clip=0", "train.batch=12",
                      "train.adversarial_steps=3", "train.adversarial_eps=0.5",
                      "train.adversarial_beta=10", "optimizer.lr=0", "train.seed=7"));
    base_rng rng = base_rng_make(11, BASE_PURPOSE_TEST, 0, 0, 0);
    float *w = vit_model_weights(t.model);
    const size_t count = vit_model_floats(t.model);
    for (size_t i = 0; i < count; i++) /* the head begins with zeros */
        w[i] += (float)(0.15 * base_rng_normal(&rng));
    trainer_step(&t);
    float *gradient = base_alloc(count, sizeof *gradient), *before = weights_copy(t.model);
    memcpy(gradient, vit_run_gradients(t.run), count * sizeof *gradient);
    const data_batch b = batch_at(&t, 0);
    const vit_step step = {.seed = 7, .steps = t.total};
    if (t.adversary)
        ck_assert_int_eq(train_adversary_make(&worse, t.adversary, b.images, t.targets,
                                              b.count, &step, &err),
                         BASE_OK);
    vit_targets_fill(t.targets, b.labels, b.labels_b, b.weight_a, b.count, 3, 0.1);
    if (t.adversary)
        ck_assert_int_eq(train_adversary_make(&worse, t.adversary, b.images, t.targets,
                                              b.count, &step, &err),
                         BASE_OK);
    double norm = 0;
    for (size_t i = 0; i < count; i++)
        norm += (double)gradient[i] * (double)gradient[i];
    norm = sqrt(norm);
    ck_assert_double_eq_tol(number_of(&t, 1, "grad_norm"), norm, 1e-5 * norm);
    double shown = 0;
    loss_of(&shown, &t, &b, worse ? worse : b.images);
    ck_assert_double_eq_tol(number_of(&t, 1, "loss"), shown, 1e-5 * shown);
    for (int turn = 0; turn < 2; turn++) {
        const double h = 1e-3;
        double value[2], product = 0;
        base_rng draw = base_rng_make(12, BASE_PURPOSE_TEST, 0, 0, 0);
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < count; i++) {
                const double along = (double)gradient[i] / norm;
                const double d = turn == 0 ? along
                                           : 0.5 * along + 0.5 * base_rng_normal(&draw) /
                                                               sqrt((double)count);
                if (side == 0)
                    product += d * (double)gradient[i];
                w[i] = (float)((double)before[i] + (side ? h : -h) * d);
            }
            draw = base_rng_make(12, BASE_PURPOSE_TEST, 0, 0, 0);
            value[side] = loss_of(&shown, &t, &b, worse ? worse : b.images);
        }
        const double slope = (value[1] - value[0]) / (2 * h);
        ck_assert_msg(fabs(slope - product) <= 0.01 * norm, "%s: slope %g, gradient %g",
                      kinds[_i], slope, product);
    }
    train_trainer_destroy(&t);
    base_free(before);
    base_free(gradient);
    base_free(folder);
}
END_TEST

/* ---- what the lines say -------------------------------------------------------------- */

/* With mixup the answer is right when it is the label that weighs most. */
START_TEST(accuracy_under_mixup_goes_by_the_larger_weight)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};
    size_t by_partner = 0;

    trainer_begin(&t, folder,
                  SET("augment.mixup=1", "optimizer.lr=0.02", "train.epochs=20",
                      "augment.mixup_style=torchvision"));
    for (uint64_t step = 0; step < 12; step++) {
        float logits[4 * 3];
        size_t right = 0;
        const data_batch b = batch_at(&t, step);
        const vit_step at = {.seed = 1, .step = step, .steps = t.total};
        ck_assert_int_eq(vit_run_forward(t.run, logits, b.images, b.count, &at, &err),
                         BASE_OK);
        for (size_t i = 0; i < b.count; i++) {
            const bool first = b.weight_a[i] >= 0.5f;
            by_partner += !first && b.labels[i] != b.labels_b[i];
            right += measure_arg_max(logits + 3 * i, 3) ==
                     (size_t)(first ? b.labels[i] : b.labels_b[i]);
        }
        ck_assert_int_eq(data_loader_seek(t.train_loader, step / t.parts_in_epoch,
                                          step % t.parts_in_epoch, &err),
                         BASE_OK);
        trainer_step(&t);
        ck_assert_double_eq_tol(number_of(&t, step + 1, "accuracy"), (double)right / 4,
                                1e-6);
    }
    ck_assert_uint_gt(by_partner, 0);
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

static double gradient_length(const train_trainer *t)
{
    const float *g = vit_run_gradients(t->run);
    double sum = 0;

    for (size_t i = 0; i < vit_model_floats(t->model); i++)
        sum += (double)g[i] * (double)g[i];
    return sqrt(sum);
}

/* p = 1/2 and two layers: the share of a line is of its steps and layers, the length of the
 * gradient the mean of its steps. */
START_TEST(sinkhorn_share_and_grad_norm_are_means_of_steps)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};
    double used = 0, shares = 0, length = 0;

    trainer_begin(&t, folder,
                  SET("router.name=ssr", "router.p=0.5", "router.layers=0,1",
                      "train.log_every=2", "train.epochs=8"));
    for (uint64_t step = 1; step <= 24; step++) {
        trainer_step(&t);
        for (size_t i = 0; i < 2; i++)
            used += vit_run_routing(t.run, i).used_sinkhorn;
        length += gradient_length(&t);
        if (step % 2)
            continue;
        ck_assert_double_eq_tol(number_of(&t, step, "grad_norm"), length / 2,
                                1e-5 * length);
        ck_assert_double_eq_tol(number_of(&t, step, "sinkhorn_share"), used / 4, 1e-6);
        shares += used / 4;
        used = length = 0;
    }
    ck_assert_double_gt(shares, 0);
    ck_assert_double_lt(shares, 12);
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

/* A step whose gradient is not finite changes no weight, is counted, and is no part of the
 * mean of the gradient's length. */
START_TEST(skipped_steps_are_counted_and_leave_no_trace)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};

    trainer_begin(&t, folder, SET("train.log_every=2"));
    trainer_step(&t);
    const double norm = t.at.sums.grad_norm;
    float *before = weights_copy(t.model), *w = vit_model_weights(t.model);
    w[0] = NAN;
    trainer_step(&t);
    w = vit_model_weights(t.model);
    ck_assert(isnan(w[0]));
    w[0] = before[0];
    ck_assert_mem_eq(w, before, vit_model_floats(t.model) * sizeof *w);
    ck_assert_uint_eq(t.at.skipped, 1);
    ck_assert_uint_eq(t.at.skipped_in_a_row, 1);
    ck_assert_double_eq_tol(number_of(&t, 2, "grad_norm"), norm, 1e-6 * norm);
    ck_assert_double_eq(number_of(&t, 2, "skipped"), 1);
    trainer_step(&t);
    ck_assert_uint_eq(t.at.skipped, 1);
    ck_assert_uint_eq(t.at.skipped_in_a_row, 0);
    train_trainer_destroy(&t);
    base_free(before);
    base_free(folder);
}
END_TEST

/* Spoils the weights while part 0 is computed. */
typedef struct spoiler {
    train_trainer *trainer;
    int parts;
    float kept;
} spoiler;

static void spoil(void *user, uint64_t step, train_phase phase)
{
    spoiler *s = user;
    float *w = vit_model_weights(s->trainer->model);

    (void)step;
    if (phase != TRAIN_PHASE_LOADING)
        return;
    if (s->parts == 0)
        s->kept = w[0];
    w[0] = s->parts++ == 0 ? NAN : s->kept;
}

/* One part whose loss is not finite is enough: the sum of the others is not applied. */
START_TEST(a_step_is_skipped_for_one_of_its_parts)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};

    trainer_begin(&t, folder, SET("train.accumulate=2"));
    float *before = weights_copy(t.model);
    spoiler s = {.trainer = &t};
    const train_ranks alone = {.peers = {.ranks = 1}, .user = &s, .say = spoil};
    t.options.ranks = &alone;
    trainer_step(&t);
    t.options.ranks = NULL;
    ck_assert_int_eq(s.parts, 2);
    ck_assert_uint_eq(t.at.skipped, 1);
    ck_assert_mem_eq(vit_model_weights(t.model), before,
                     vit_model_floats(t.model) * sizeof *before);
    trainer_step(&t);
    ck_assert_uint_eq(t.at.skipped, 1);
    train_trainer_destroy(&t);
    base_free(before);
    base_free(folder);
}
END_TEST

/* Half an epoch of three steps is a step and a half: two. */
START_TEST(a_warm_up_in_epochs_is_rounded_to_steps)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};

    trainer_begin(&t, folder, SET("schedule.name=constant", "schedule.warmup_epochs=0.5"));
    for (uint64_t step = 1; step <= 3; step++) {
        trainer_step(&t);
        ck_assert_double_eq_tol(number_of(&t, step, "lr"), step == 1 ? 0.005 : 0.01, 1e-9);
    }
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

/* What the clock says of steps lies within what it says around them; what people are shown
 * is the mean of 50 losses, then a fading one. */
START_TEST(speed_time_and_shown_loss_are_those_of_the_steps)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};
    double shown = 0;
    const double begin = base_seconds();

    trainer_begin(&t, folder, SET("train.epochs=20"));
    for (uint64_t step = 1; step <= 55; step++) {
        const double before = base_seconds(), n = (double)(step - 1);
        trainer_step(&t);
        const double seconds = base_seconds() - before;
        const double loss = number_of(&t, step, "loss");
        const double keep = n < 50 ? n / (n + 1) : 0.98;
        shown = keep * shown + (1 - keep) * loss;
        ck_assert_double_ge(number_of(&t, step, "images_per_second"), 4 / seconds * 0.999);
        ck_assert_double_ge(number_of(&t, step, "elapsed"), 0);
        ck_assert_double_le(number_of(&t, step, "elapsed"), base_seconds() - begin + 1e-3);
    }
    ck_assert_double_eq_tol(t.shown_loss, shown, 1e-5);
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_step");
    TCase *data = test_case_of_threads("Data"), *steps = test_case_of_threads("Steps");

    tcase_add_checked_fixture(data, setup, teardown);
    tcase_add_test(data, order_and_crops_move_from_epoch_to_epoch);
    tcase_add_test(data, order_and_crops_move_with_the_seed);
    tcase_add_test(data, flips_move);
    tcase_add_test(data, mixing_moves);
    tcase_add_test(data, helpers_make_the_same_corrupted_pictures);
    tcase_add_checked_fixture(steps, setup, teardown);
    tcase_add_loop_test(steps, parts_add_up_to_the_whole, 0, 5);
    tcase_add_loop_test(steps, the_gradient_of_a_step_is_that_of_its_loss, 0, 4);
    tcase_add_test(steps, accuracy_under_mixup_goes_by_the_larger_weight);
    tcase_add_test(steps, sinkhorn_share_and_grad_norm_are_means_of_steps);
    tcase_add_test(steps, skipped_steps_are_counted_and_leave_no_trace);
    tcase_add_test(steps, a_step_is_skipped_for_one_of_its_parts);
    tcase_add_test(steps, a_warm_up_in_epochs_is_rounded_to_steps);
    tcase_add_test(steps, speed_time_and_shown_loss_are_those_of_the_steps);
    suite_add_tcase(suite, data);
    suite_add_tcase(suite, steps);
    return test_run(suite);
}
