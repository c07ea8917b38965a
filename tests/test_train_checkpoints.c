/* test_train_checkpoints.c - a run and its files: when checkpoints and evaluations come,
 * which weights they hold, what a run that goes on takes from them and what it refuses. */
#include <math.h>

#include "tests/test_run.h"
#include "tests/test_trainer.h"

typedef struct diary {
    char text[128];
    size_t length;
    char *last;      /* of the checkpoints, to see them come */
    uint64_t poison; /* after this step a weight is not a number for one step */
    float kept;
} diary;

static void note(diary *d, char what)
{
    ck_assert_uint_lt(d->length + 1, sizeof d->text);
    d->text[d->length++] = what;
    d->text[d->length] = '\0';
}

static void stepped(void *user, const train_trainer *t, double lr)
{
    diary *d = user;

    (void)lr;
    if (test_exists(d->last)) {
        note(d, 'c');
        ck_assert_int_eq(base_folder_remove(d->last, &err), BASE_OK);
    }
    note(d, 's');
    float *w = vit_model_weights(t->model);
    if (t->at.step == d->poison + 1 && d->poison > 0)
        w[0] = d->kept;
    if (t->at.step == d->poison) {
        d->kept = w[0];
        w[0] = NAN;
    }
}

static base_status evaluated(void *user, const train_trainer *t, double seconds,
                             bool better, base_error *e)
{
    (void)t, (void)better, (void)e;
    ck_assert_double_gt(seconds, 0);
    note(user, 'e');
    return BASE_OK;
}

/* Three steps an epoch, two epochs. c: a checkpoint was written after the step before. */
START_TEST(checkpoints_and_evaluations_come_when_asked_for)
{
    static const struct {
        const char *set[3], *diary;
    } cases[] = {
        {{"train.epochs=2"}, "sssecssse"},
        {{"train.epochs=2", "train.eval_every=0"}, "ssscssse"},
        {{"train.epochs=2", "train.eval_every=2", "train.checkpoint_every=2"}, "sscsscsse"},
        {{"train.epochs=2", "train.eval_steps=2", "train.checkpoint_every=4"},
         "ssessecsse"},
        {{"train.max_steps=4", "train.eval_every=1"}, "sssecse"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *name = base_text("run%zu", i), *folder = test_path(dir, name);
        diary d = {.last = test_path(folder, "last")};
        const char *const settings[] = {cases[i].set[0], cases[i].set[1], cases[i].set[2],
                                        NULL};
        const train_watch watch = {.user = &d, .stepped = stepped, .evaluated = evaluated};
        train_trainer t = {0};
        trainer_open(&t, folder, false, &watch, settings);
        ck_assert_msg(train_trainer_run(&t, &err) == BASE_OK, "%s", err.text);
        ck_assert_str_eq(d.text, cases[i].diary);
        ck_assert(test_exists(d.last)); /* the end is always written */
        train_trainer_destroy(&t);
        base_free(d.last);
        base_free(folder);
        base_free(name);
    }
}
END_TEST

/* Weights of a file of the run against the trainer's. */
static void holds(const char *folder, const char *name, const vit_model *model)
{
    char *path = base_text("%s/%s/model.safetensors", folder, name);
    vit_model *stored = NULL;

    ck_assert_msg(vit_model_load(&stored, path, NULL, &err) == BASE_OK, "%s", err.text);
    ck_assert_uint_eq(vit_model_floats(stored), vit_model_floats(model));
    ck_assert_mem_eq(vit_model_weights_const(stored), vit_model_weights_const(model),
                     vit_model_floats(model) * sizeof(float));
    vit_model_destroy(stored);
    base_free(path);
}

START_TEST(best_holds_the_averaged_weights_and_last_those_that_are_trained)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};

    trainer_open(&t, folder, false, NULL, SET("optimizer.ema=0.9", "train.epochs=1"));
    ck_assert_msg(train_trainer_run(&t, &err) == BASE_OK, "%s", err.text);
    holds(folder, "last", t.model);
    holds(folder, "best", t.averaged);
    ck_assert_double_gt(largest_gap(vit_model_weights_const(t.model),
                                    vit_model_weights_const(t.averaged),
                                    vit_model_floats(t.model)),
                        1e-4);
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

static bool stop_at_two(void *user)
{
    return ((diary *)user)->length >= 2;
}

/* One step is skipped before the run is stopped: it is remembered, with the sums of the
 * line that is not written yet, and the line is that of a run that was not stopped. */
START_TEST(skipped_steps_survive_a_resumption)
{
    char *folder = test_path(dir, "run");
    diary d = {.last = test_path(dir, "none"), .poison = 1};
    train_watch watch = {.user = &d, .stepped = stepped, .stop = stop_at_two};
    train_trainer t = {0}, again = {0};

    trainer_open(&t, folder, false, &watch, SET("train.log_every=9"));
    ck_assert_int_eq(train_trainer_run(&t, &err), BASE_INTERRUPTED);
    watch.stop = NULL;
    trainer_open(&again, folder, true, &watch, SET("train.log_every=9", "train.epochs=3"));
    bool found = false;
    ck_assert_msg(train_state_load(&again, &found, &err) == BASE_OK, "%s", err.text);
    ck_assert(found);
    ck_assert_int_eq(memcmp(&t.at, &again.at, sizeof t.at), 0);
    ck_assert_uint_eq(again.at.skipped, 1);
    ck_assert_uint_eq(again.at.skipped_in_a_row, 1);
    ck_assert_double_eq(again.at.sums.skipped, 1);
    ck_assert_double_eq(again.at.sums.steps, 2);
    train_trainer_destroy(&t);
    train_trainer_destroy(&again);
    base_free(d.last);
    base_free(folder);
}
END_TEST

/* The fingerprints of both data sets stand in the state; either change is told. */
START_TEST(other_data_are_refused_by_their_name)
{
    char *folder = test_path(dir, "run"), *other = test_path(dir, "other");
    char *more = test_path(other, "red/9.png");
    train_trainer t = {0};

    ck_assert_int_eq(base_folder_make(other, NULL), BASE_OK);
    sample_folder_make(other);
    sample_picture_save(more, 2, 9);
    trainer_open(&t, folder, false, NULL, SET("train.epochs=1"));
    ck_assert_int_eq(train_trainer_run(&t, &err), BASE_OK);
    train_trainer_destroy(&t);
    for (int val = 0; val < 2; val++) {
        char *set = base_text("data.%s=%s", val ? "val" : "train", other);
        bool found = false;
        trainer_open(&t, folder, true, NULL, SET("train.epochs=1", set));
        ck_assert_int_eq(train_state_load(&t, &found, &err), BASE_MISMATCH);
        ck_assert_msg(strstr(err.text, val ? "validation data" : "training data") != NULL,
                      "%s", err.text);
        train_trainer_destroy(&t);
        base_free(set);
    }
    base_free(more);
    base_free(other);
    base_free(folder);
}
END_TEST

/* 0.01 and 0.011, 1 and 10: the longer text begins with the shorter one. */
START_TEST(a_value_that_begins_with_another_is_another)
{
    static const char *const pairs[][2] = {
        {"optimizer.lr=0.01", "optimizer.lr=0.011"},
        {"train.seed=1", "train.seed=10"},
        {"augment.corrupt=fog", "augment.corrupt=fog,snow"},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        for (int turn = 0; turn < 2; turn++) {
            const train_facts facts = {.classes = 3};
            train_recipe stored = recipe_of(SET(pairs[i][turn])),
                         now = recipe_of(SET(pairs[i][!turn]));
            ck_assert_int_eq(train_recipe_resolve(&stored, &facts, &err), BASE_OK);
            ck_assert_int_eq(train_recipe_resolve(&now, &facts, &err), BASE_OK);
            char *text = train_recipe_fixed_text(&stored);
            ck_assert_int_eq(train_recipe_compare(&now, text, false, &err), BASE_MISMATCH);
            ck_assert_int_eq(train_recipe_compare(&stored, text, false, &err), BASE_OK);
            base_free(text);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_checkpoints");
    TCase *files = tcase_create("Files");

    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, checkpoints_and_evaluations_come_when_asked_for);
    tcase_add_test(files, best_holds_the_averaged_weights_and_last_those_that_are_trained);
    tcase_add_test(files, skipped_steps_survive_a_resumption);
    tcase_add_test(files, other_data_are_refused_by_their_name);
    tcase_add_test(files, a_value_that_begins_with_another_is_another);
    suite_add_tcase(suite, files);
    return test_run(suite);
}
