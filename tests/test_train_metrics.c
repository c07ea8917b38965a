/* test_train_metrics.c - metrics.jsonl: every field of its lines by hand, which lines a run
 * that goes on keeps, evaluations and what is the best, steps that are not finite and where
 * they are first seen. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_trainer.h"

/* ---- lines --------------------------------------------------------------------------- */

/* The i-th line of the run; json_decref. NULL: there are not so many. */
static json_t *line_at(const train_trainer *t, size_t i)
{
    char *text = NULL;
    size_t bytes = 0;
    json_t *json = NULL;

    ck_assert_int_eq(base_file_read(&text, &bytes, t->metrics_path, 1 << 20, &err),
                     BASE_OK);
    const char *at = text;
    for (; *at && i > 0; i--)
        at += strcspn(at, "\n") + 1;
    if (*at)
        json = json_loadb(at, strcspn(at, "\n"), 0, NULL);
    base_free(text);
    return json;
}

static double number(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    ck_assert_msg(json_is_number(value), "'%s' is no number", key);
    return json_number_value(value);
}

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

/* The object has these members, separated by blanks, and no others. */
static void has_keys(const json_t *json, const char *keys)
{
    char *list = base_text("%s", keys);
    size_t count = 0;

    for (char *rest = list, *key; (key = strtok_r(rest, " ", &rest)); count++)
        ck_assert_msg(json_object_get(json, key) != NULL, "no '%s'", key);
    ck_assert_uint_eq(json_object_size(json), count);
    base_free(list);
}

/* Seven digits that count. */
static void is(const json_t *json, const char *key, double want)
{
    const double got = number(json, key);

    ck_assert_msg(fabs(got - want) <= 2e-6 * fmax(fabs(want), 1e-3),
                  "'%s' is %.9g, expected %.9g", key, got, want);
}

/* Steps of two parts, three an epoch; the rate falls in a straight line from 0.01 to 0. */
#define SCHEDULED                                                                          \
    "train.accumulate=2", "train.max_steps=4", "schedule.name=linear", "router.name=vmoe"

/* What a line tells of several steps is the mean of what lines of one step each tell, and
 * the rate that of the last one. */
START_TEST(a_line_of_training_tells_of_its_steps)
{
    static const double rates[] = {0.01, 0.0075, 0.005, 0.0025};
    static const size_t from[] = {0, 3}, end[] = {3, 4};
    char *one = test_path(dir, "one"), *more = test_path(dir, "more");
    train_trainer t = {0}, u = {0};

    trainer_begin(&t, one, SET(SCHEDULED));
    trainer_begin(&u, more, SET(SCHEDULED, "train.log_every=3"));
    ck_assert_uint_eq(t.total, 4);
    ck_assert_uint_eq(t.parts_in_epoch, 6);
    for (int i = 0; i < 4; i++) {
        trainer_step(&t);
        trainer_step(&u);
    }
    for (size_t i = 0; i < 4; i++) {
        json_t *line = line_at(&t, i);
        has_keys(line,
                 "kind step epoch loss accuracy lr images_per_second grad_norm aux_loss "
                 "skipped sinkhorn_share moe time elapsed");
        ck_assert_str_eq(text_of(line, "kind"), "train");
        ck_assert(number(line, "aux_loss") > 0 && number(line, "images_per_second") > 0);
        json_decref(line);
    }
    for (size_t k = 0; k < 2; k++) {
        static const char *const means[] = {"loss", "accuracy", "grad_norm", "aux_loss"};
        json_t *line = line_at(&u, k);
        for (size_t m = 0; m < 4; m++) {
            double sum = 0;
            for (size_t i = from[k]; i < end[k]; i++) {
                json_t *own = line_at(&t, i);
                is(own, "lr", rates[i]);
                is(own, "step", (double)i + 1);
                is(own, "epoch", (double)(i + 1) / 3);
                is(own, "skipped", 0);
                is(own, "sinkhorn_share", 0);
                sum += number(own, means[m]) / (double)(end[k] - from[k]);
                json_decref(own);
            }
            is(line, means[m], sum);
        }
        is(line, "lr", rates[end[k] - 1]);
        is(line, "step", (double)end[k]);
        is(line, "epoch", (double)end[k] / 3);
        json_t *layer = json_array_get(json_object_get(line, "moe"), 0);
        ck_assert_uint_eq(json_array_size(json_object_get(line, "moe")), 1);
        is(layer, "layer", 1);
        double mean = 0; /* as many assignments a step: of each expert the mean */
        for (size_t i = from[k]; i < end[k]; i++) {
            json_t *own = line_at(&t, i),
                   *o = json_array_get(json_object_get(own, "moe"), 0);
            mean += json_number_value(json_array_get(json_object_get(o, "load"), 2)) /
                    (double)(end[k] - from[k]);
            json_decref(own);
        }
        ck_assert_double_eq_tol(
            json_number_value(json_array_get(json_object_get(layer, "load"), 2)), mean,
            1e-6);
        json_decref(line);
    }
    ck_assert_ptr_null(line_at(&u, 2));
    ck_assert_double_eq(u.at.sums.images + u.at.sums.steps + u.at.sums.loss, 0);
    train_trainer_destroy(&t);
    train_trainer_destroy(&u);
    base_free(one);
    base_free(more);
}
END_TEST

/* ---- evaluations --------------------------------------------------------------------- */

/* Loss and share of right answers over the validation data with a network: softmax's or
 * sigmoid's cross-entropy by its formula; a picture that cannot be read is wrong and has no
 * loss. */
static void measure(double out[2], train_trainer *t, const vit_model *model)
{
    const size_t classes = (size_t)t->recipe.config.classes;
    const bool sigmoid = t->recipe.train.loss == VIT_LOSS_SIGMOID;
    vit_run *run = NULL;
    data_batch b;
    size_t images = 0, lossy = 0, right = 0;
    double loss = 0;
    float z[64];

    ck_assert_int_eq(
        vit_run_create(&run, model, 16, VIT_MODE_INFER, VIT_PRECISION_FP32, &err), BASE_OK);
    ck_assert_int_eq(data_loader_seek(t->val_loader, 0, 0, &err), BASE_OK);
    while (data_loader_next(t->val_loader, &b, &err) == BASE_OK && b.count > 0) {
        ck_assert_int_eq(vit_run_forward(run, z, b.images, b.count, &(vit_step){0}, &err),
                         BASE_OK);
        for (size_t i = 0; i < b.count; i++, images++) {
            const float *row = z + i * classes;
            double sum = 0;
            if (b.bad[i])
                continue;
            const size_t label = (size_t)b.labels[i];
            for (size_t c = 0; c < classes; c++)
                sum += sigmoid ? log1p(exp(c == label ? -(double)row[c] : (double)row[c]))
                               : exp((double)row[c]);
            loss += sigmoid ? sum : log(sum) - (double)row[label];
            lossy++;
            right += measure_arg_max(row, classes) == label;
        }
    }
    vit_run_destroy(run);
    out[0] = loss / (double)lossy;
    out[1] = (double)right / (double)images;
}

START_TEST(a_line_of_evaluation_tells_of_all_its_images)
{
    static const char *const losses[] = {"train.loss=softmax", "train.loss=sigmoid"};
    char *folder = test_path(dir, "run");
    train_trainer t = {0};
    bool better = false;
    double want[2], trained[2];

    trainer_begin(&t, folder,
                  SET(SCHEDULED, losses[_i], "optimizer.ema=0.5", "optimizer.lr=0.3",
                      "train.eval_batch=5"));
    trainer_step(&t);
    trainer_step(&t);
    ck_assert_int_eq(train_trainer_evaluate(&t, &better, &err), BASE_OK);
    ck_assert(better);
    measure(want, &t, t.averaged);
    measure(trained, &t, t.model);
    ck_assert_double_ne(want[0], trained[0]);
    json_t *line = line_at(&t, 2);
    has_keys(line, "kind step epoch loss accuracy lr images_per_second images seconds best "
                   "sinkhorn_share moe time elapsed");
    ck_assert_str_eq(text_of(line, "kind"), "eval");
    is(line, "step", 2);
    is(line, "epoch", 2.0 / 3);
    is(line, "lr", 0.3 * 0.75); /* of the step before it */
    is(line, "images", 12);
    is(line, "accuracy", want[1]);
    ck_assert_double_eq_tol(number(line, "loss"), want[0], 1e-5);
    ck_assert_double_eq_tol(number(line, "images_per_second") * number(line, "seconds"), 12,
                            1e-3);
    ck_assert(json_is_true(json_object_get(line, "best")));
    ck_assert_uint_eq(json_array_size(json_object_get(line, "moe")), 1);
    json_decref(line);
    ck_assert_double_eq_tol(t.at.best_loss, want[0], 1e-5);
    ck_assert_double_eq_tol(t.at.last_loss, want[0], 1e-5);
    ck_assert_double_eq(t.at.best_accuracy, t.at.last_accuracy);
    ck_assert_uint_eq(t.at.best_step, 2);
    ck_assert_uint_eq(t.at.evaluated, 2);
    ck_assert(t.unsaved && t.eval_seconds > 0);
    /* of all images once: 12 pictures of 5 tokens, 2 experts each */
    ck_assert_double_eq(t.eval_load[0].assignments, 12 * 5 * 2);
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

START_TEST(a_picture_that_cannot_be_read_counts_as_wrong)
{
    char *val = test_path(dir, "val"), *broken = test_path(val, "red/broken.png");
    char *set = base_text("data.val=%s", val), *folder = test_path(dir, "run");
    train_trainer t = {0};
    bool better = false;
    double want[2];

    ck_assert_int_eq(base_folder_make(val, NULL), BASE_OK);
    sample_folder_make(val);
    test_write(broken, "", 0);
    trainer_begin(&t, folder, SET(set, "optimizer.lr=0.05", "train.epochs=9"));
    for (int i = 0; i < 20; i++)
        trainer_step(&t);
    ck_assert_int_eq(train_trainer_evaluate(&t, &better, &err), BASE_OK);
    measure(want, &t, t.model);
    ck_assert_double_eq(t.at.last_accuracy, want[1]);
    ck_assert_double_eq_tol(t.at.last_loss, want[0], 1e-5);
    json_t *line = line_at(&t, 20);
    is(line, "images", 13);
    json_decref(line);
    /* however good it is, one is wrong */
    ck_assert_double_le(t.at.last_accuracy, 12.0 / 13);
    ck_assert_double_gt(t.at.last_accuracy, 0.5);
    train_trainer_destroy(&t);
    base_free(folder);
    base_free(set);
    base_free(broken);
    base_free(val);
}
END_TEST

/* The first is the best; then only what is better, not what is as good. Weights that are
 * not numbers: no loss, nothing right. */
START_TEST(the_best_is_what_was_better_than_all_before)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};
    bool better = false;

    trainer_begin(&t, folder, SET("optimizer.lr=0"));
    trainer_step(&t);
    t.at.best_accuracy = 1; /* of no evaluation: does not count */
    ck_assert_int_eq(train_trainer_evaluate(&t, &better, &err), BASE_OK);
    ck_assert(better);
    const double accuracy = t.at.last_accuracy, loss = t.at.last_loss;
    ck_assert_double_eq(t.at.best_accuracy, accuracy);
    ck_assert_double_gt(accuracy, 0);
    trainer_step(&t);
    ck_assert_int_eq(train_trainer_evaluate(&t, &better, &err), BASE_OK);
    ck_assert(!better);
    ck_assert_uint_eq(t.at.best_step, 1);
    ck_assert_uint_eq(t.at.evaluated, 2);
    t.at.best_accuracy = accuracy - 0.01;
    t.at.best_loss = 9;
    ck_assert_int_eq(train_trainer_evaluate(&t, &better, &err), BASE_OK);
    ck_assert(better);
    ck_assert_uint_eq(t.at.best_step, 2);
    ck_assert_double_eq(t.at.best_loss, loss);
    vit_model_weights(t.model)[0] = NAN;
    for (size_t i = 0; i < vit_model_floats(t.model); i++)
        vit_model_weights(t.model)[i] = NAN;
    ck_assert_int_eq(train_trainer_evaluate(&t, &better, &err), BASE_OK);
    ck_assert(!better);
    ck_assert_double_eq(t.at.last_accuracy, 0);
    ck_assert_double_eq(t.at.last_loss, -1);
    json_t *line = line_at(&t, 5);
    ck_assert(json_is_null(json_object_get(line, "loss")));
    ck_assert(json_is_false(json_object_get(line, "best")));
    is(line, "accuracy", 0);
    json_decref(line);
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

static bool stop_now(void *user)
{
    (void)user;
    return true;
}

START_TEST(an_evaluation_that_is_stopped_changes_nothing)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};
    bool better = false;

    trainer_begin(&t, folder, NULL);
    trainer_step(&t);
    const train_position before = t.at;
    t.options.watch.stop = stop_now;
    ck_assert_int_eq(train_trainer_evaluate(&t, &better, &err), BASE_INTERRUPTED);
    ck_assert_str_eq(err.text, "stopped");
    ck_assert_int_eq(memcmp(&before, &t.at, sizeof before), 0);
    ck_assert_ptr_null(line_at(&t, 1));
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

/* ---- what is kept of a file ---------------------------------------------------------- */

#define T(step) "{\"kind\":\"train\",\"step\":" #step "}\n"
#define E(step) "{\"kind\":\"eval\",\"step\":" #step "}\n"

START_TEST(lines_of_a_run_that_goes_on_are_kept_as_far_as_it_is)
{
    static const struct {
        const char *text;
        uint64_t step;
        bool evaluated;
        const char *kept;
    } cases[] = {
        {T(1) T(2) E(2) T(3), 2, true, T(1) T(2) E(2)},
        {T(1) T(2) E(2) T(3), 2, false, T(1) T(2)},
        {T(1) T(2) E(2) T(3), 3, false, T(1) T(2) E(2) T(3)},
        {T(1) T(2) E(2) T(3), 1, true, T(1)},
        {T(1) T(2) E(2) T(3), 0, true, ""},
        {T(0) T(1), 0, false, T(0)},
        {T(1) T(1), 9, true, T(1)}, /* twice */
        {T(1) E(2) E(2) T(3), 9, true, T(1) E(2)},
        {E(2) T(2), 9, true, E(2)}, /* training comes first */
        {T(3) T(2), 9, true, T(3)}, /* backwards */
        {T(1) "no JSON\n" T(2), 9, true, T(1)},
        {T(1) "\n" T(2), 9, true, T(1)},
        {T(1) "{\"step\":2}\n" T(3), 9, true, T(1)}, /* of no kind */
        {T(1) "{\"kind\":\"other\",\"step\":2}\n" T(3), 9, true,
         T(1) "{\"kind\":\"other\",\"step\":2}\n" T(3)},
        {"{\"kind\":\"train\",\"step\":-1}\n" T(3), 9, true, ""},
        {T(1) "{\"kind\":\"train\",\"step\":2}", 9, true, T(1)}, /* half a line */
        {"", 9, true, ""},
    };
    char *path = test_path(dir, "m.jsonl");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_metrics m = {0};
        test_write(path, cases[i].text, strlen(cases[i].text));
        ck_assert_msg(train_metrics_open(&m, path, false, cases[i].step, cases[i].evaluated,
                                         &err) == BASE_OK,
                      "%s", err.text);
        train_metrics_close(&m);
        test_holds(path, cases[i].kept);
    }
    train_metrics fresh = {0};
    test_write(path, T(1), strlen(T(1)));
    ck_assert_int_eq(train_metrics_open(&fresh, path, true, 1, true, &err), BASE_OK);
    test_holds(path, "");
    train_metrics_close(&fresh);
    base_free(path);
}
END_TEST

START_TEST(a_line_is_written_behind_those_that_are_kept)
{
    static const char before[] = "{\"kind\":\"train\",\"step\":1,\"elapsed\":5000}\n"
                                 "{\"kind\":\"train\",\"step\":2,\"elapsed\":3000}\n"
                                 "{\"kind\":\"train\",\"step\":3,\"elapsed\":-7}\n"
                                 "{\"kind\":\"train\",\"step\":4,\"elapsed\":2e12}\n";
    char *path = test_path(dir, "m.jsonl"), *text = NULL;
    train_metrics m = {0}, other = {0};
    size_t bytes = 0;

    test_write(path, before, sizeof before - 1);
    ck_assert_int_eq(train_metrics_open(&m, path, false, 9, true, &err), BASE_OK);
    ck_assert_int_eq(train_metrics_open(&other, path, false, 9, true, &err), BASE_IO);
    char *want = base_text("'%s' is being written by another vmoe train", path);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    ck_assert_uint_eq(m.lines, 0);
    ck_assert_int_eq(train_metrics_write(&m,
                                         json_pack("{s:s, s:i, s:f}", "kind", "train",
                                                   "step", 5, "x", 1.0 / 3),
                                         &err),
                     BASE_OK);
    ck_assert_uint_eq(m.lines, 1);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, &err), BASE_OK);
    ck_assert_int_eq(strncmp(text, before, sizeof before - 1), 0);
    const char *line = text + sizeof before - 1;
    ck_assert_msg(strncmp(line,
                          "{\"kind\":\"train\",\"step\":5,\"x\":0.3333333,\"time\":\"20",
                          48) == 0,
                  "%s", line);
    json_t *json = json_loads(line, 0, NULL);
    const double elapsed = number(json, "elapsed"); /* goes on where the longest one was */
    ck_assert(elapsed >= 5000 && elapsed < 9000);
    ck_assert_int_eq(train_metrics_sync(&m, &err), BASE_OK);
    train_metrics_close(&m);
    ck_assert_ptr_null(m.file);
    train_metrics_close(&m);
    ck_assert_int_eq(train_metrics_open(&other, path, false, 9, true, &err), BASE_OK);
    train_metrics_close(&other); /* the lock went with the first */
    json_decref(json);
    base_free(text);
    base_free(path);
}
END_TEST

START_TEST(a_file_of_metrics_that_cannot_be_is_named)
{
    char *path = test_path(dir, "no/such/m.jsonl");
    char *want = base_text("cannot write '%s': No such file or directory", path);
    train_metrics m = {0};

    ck_assert_int_eq(train_metrics_open(&m, path, true, 0, false, &err), BASE_IO);
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(train_metrics_open(&m, "/dev/full", true, 0, false, &err), BASE_IO);
    ck_assert_str_eq(err.text, "cannot shorten '/dev/full' to 0 bytes: Invalid argument");
    /* a disk that is full is told by each line and by each wait for the disk */
    m = (train_metrics){.file = fopen("/dev/full", "w"), .path = "m.jsonl"};
    ck_assert_int_eq(train_metrics_write(&m, json_object(), &err), BASE_IO);
    ck_assert_str_eq(err.text, "cannot write 'm.jsonl': No space left on device");
    fputs("more", m.file);
    err = (base_error){0};
    ck_assert_int_eq(train_metrics_sync(&m, &err), BASE_IO);
    ck_assert_str_eq(err.text, "cannot write 'm.jsonl': No space left on device");
    train_metrics_close(&m);
    base_free(want);
    base_free(path);
}
END_TEST

/* ---- not finite ---------------------------------------------------------------------- */

/* Every each-th weight of the tensors with part in their name. */
static void fill(vit_model *model, const char *part, float value, size_t each)
{
    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        for (size_t k = 0; strstr(p->name, part) && k < p->count; k += each)
            vit_model_weights(model)[p->offset + k] = value;
    }
}

/* Where it is first seen: a weight, a router, the topmost gradient, else the loss. Nine
 * steps are borne, the tenth is not; one that is finite in between begins the count
 * anew. */
START_TEST(ten_steps_in_a_row_that_are_not_finite_are_too_many)
{
    static const struct {
        const char *set, *zero, *one, *other, *layer;
        float first, second;
    } cases[] = {
        {"router.layers=1", "none", "blocks.0.norm1.weight", "none",
         "weight 'blocks.0.norm1.weight'", NAN, 0},
        {"router.layers=1", "none", "blocks.0.norm1.bias", "none", "router of block 1",
         3e38f, 0},
        {"router.layers=none", "", "head.weight", "norm.weight",
         "gradient of 'blocks.1.mlp.fc2.bias'", 1e19f, 1e19f},
        {"router.layers=none", "none", "head.weight", "none", "loss", 3e38f, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *folder = base_text("%s/run%zu", dir, i), *want;
        train_trainer t = {0};

        trainer_begin(&t, folder,
                      SET(cases[i].set, "train.epochs=9", "router.dropout=0",
                          "model.dropout=0", "model.drop_path=0"));
        float *w = vit_model_weights(t.model);
        float *good = base_alloc(vit_model_floats(t.model), sizeof *good);
        memcpy(good, w, vit_model_floats(t.model) * sizeof *good);
        for (int round = 0; round < 2; round++) {
            fill(t.model, cases[i].zero, 0, 1);
            fill(t.model, cases[i].one, cases[i].first, cases[i].second > 0 ? 5 : 1);
            fill(t.model, cases[i].other, cases[i].second, 1);
            for (int step = 0; step < 9; step++)
                trainer_step(&t);
            ck_assert_msg(t.at.skipped_in_a_row == 9, "%s: %d", cases[i].layer,
                          (int)t.at.skipped_in_a_row);
            ck_assert_uint_eq(t.at.skipped, 9 * (round + 1));
            if (round == 1)
                break;
            memcpy(vit_model_weights(t.model), good,
                   vit_model_floats(t.model) * sizeof *good);
            trainer_step(&t);
            ck_assert_uint_eq(t.at.skipped_in_a_row, 0);
        }
        ck_assert_int_eq(train_trainer_step(&t, &err), BASE_NUMERIC);
        want = base_text(
            "10 steps in a row were not finite, the last is step 20, first seen in "
            "%s; checkpoints in '%s' are as they were",
            cases[i].layer, folder);
        ck_assert_str_eq(err.text, want);
        base_free(good);
        base_free(want);
        train_trainer_destroy(&t);
        base_free(folder);
    }
}
END_TEST

/* ---- Sinkhorn steps to be expected --------------------------------------------------- */

START_TEST(sinkhorn_steps_are_those_of_layers_that_train)
{
    static const struct {
        const char *set[3];
        double steps;
    } cases[] = {
        {{"router.name=ssr", "router.p=0.25"}, 3},
        {{"router.name=ssr", "router.p=0.25", "router.layers=0,1"}, 3}, /* a layer */
        {{"router.name=ssr", "router.p=0.25", "optimizer.freeze=1"},
         3}, /* block 1 trains */
        {{"router.name=ssr", "router.p=0.25", "optimizer.freeze=trunk"}, 0},
        {{"router.name=ssr", "router.p=0.25", "optimizer.freeze=embedding"}, 3},
        {{"router.name=softmax"}, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *folder = test_path(dir, "run");
        const char *settings[SETTINGS_MAX] = {cases[i].set[0], cases[i].set[1],
                                              cases[i].set[2]};
        train_trainer t = {0};
        trainer_open(&t, folder, false, NULL, settings);
        ck_assert_uint_eq(t.total, 12);
        ck_assert_double_eq_tol(train_trainer_sinkhorn_steps(&t), cases[i].steps, 1e-9);
        train_trainer_destroy(&t);
        base_free(folder);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_metrics");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, a_line_of_training_tells_of_its_steps);
    tcase_add_loop_test(core, a_line_of_evaluation_tells_of_all_its_images, 0, 2);
    tcase_add_test(core, a_picture_that_cannot_be_read_counts_as_wrong);
    tcase_add_test(core, the_best_is_what_was_better_than_all_before);
    tcase_add_test(core, an_evaluation_that_is_stopped_changes_nothing);
    tcase_add_test(core, lines_of_a_run_that_goes_on_are_kept_as_far_as_it_is);
    tcase_add_test(core, a_line_is_written_behind_those_that_are_kept);
    tcase_add_test(core, a_file_of_metrics_that_cannot_be_is_named);
    tcase_add_test(core, ten_steps_in_a_row_that_are_not_finite_are_too_many);
    tcase_add_test(core, sinkhorn_steps_are_those_of_layers_that_train);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
