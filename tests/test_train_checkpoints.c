/* test_train_checkpoints.c - a run and its files: when checkpoints and evaluations come,
 * which weights they hold, what a run that goes on takes from them and what it refuses. */
#include <inttypes.h>
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_says.h"
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
        /* parts of an epoch: of a third each step, of two thirds steps 2, 4, 6 */
        {{"train.epochs=2", "train.eval_every=1/3"}, "sesesecsesese"},
        {{"train.epochs=2", "train.eval_every=2/3"}, "ssescsesse"},
        {{"train.epochs=2", "train.eval_every=0.1"}, "sesesecsesese"},
        {{"train.epochs=3", "train.eval_every=1.5", "train.checkpoint_every=100"},
         "sssssesssse"},
        /* a step of an epoch and a half: of three passes, two an epoch */
        {{"train.epochs=3", "train.batch=12", "train.accumulate=2"}, "secsecse"},
        {{"train.epochs=2", "train.checkpoint_every=1", "train.eval_every=0"},
         "scscscscscse"},
        {{"train.max_steps=1"}, "se"},
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

/* ---- words --------------------------------------------------------------------------- */

static char told[1024];

static void take_note(void *user, const char *subject, const char *line)
{
    const size_t used = strlen(told);

    (void)user;
    snprintf(told + used, sizeof told - used, "%s: %s\n", subject ? subject : "-", line);
}

static bool stop_later(void *user)
{
    return ((diary *)user)->length >= 3;
}

/* Asked to stop: where it stands and how to go on; what is saved already is not saved
 * again. */
START_TEST(a_run_that_is_stopped_says_where)
{
    char *folder = test_path(dir, "run"), *last = test_path(folder, "last");
    diary d = {.last = test_path(dir, "none")};
    const train_watch watch = {
        .user = &d, .stepped = stepped, .stop = stop_later, .note = take_note};
    train_trainer t = {0};

    told[0] = '\0';
    trainer_open(&t, folder, false, &watch, NULL);
    ck_assert_int_eq(train_trainer_run(&t, &err), BASE_INTERRUPTED);
    ck_assert_str_eq(err.text,
                     "stopped at step 3 of 12, the same command with --resume goes "
                     "on from there");
    ck_assert_str_eq(told, "");
    ck_assert(test_exists(last) && !t.unsaved);
    ck_assert_uint_eq(t.at.evaluated, 0); /* the evaluation is owed */
    train_trainer_destroy(&t);
    /* It stands there still, and nothing is written when it is stopped at once. */
    ck_assert_int_eq(base_folder_remove(d.last, &err), BASE_OK);
    d.length = 9;
    trainer_open(&t, folder, true, &watch, NULL);
    ck_assert_int_eq(train_trainer_run(&t, &err), BASE_INTERRUPTED);
    ck_assert_str_eq(told, "resume: going on at step 3 of 12\n");
    ck_assert(!t.unsaved);
    train_trainer_destroy(&t);
    base_free(d.last);
    base_free(last);
    base_free(folder);
}
END_TEST

START_TEST(a_warm_up_is_told_where_it_is_longer_than_the_run)
{
    static const struct {
        const char *set, *told;
    } cases[] = {
        {"schedule.warmup=2", ""},
        {"schedule.warmup=3",
         "warning: the warm-up of 3 steps is longer than the run of 2: the learning rate 0.01 is "
         "never reached\n"},
        {"schedule.warmup_epochs=0.66", ""}, /* of three steps: two */
        {"schedule.warmup_epochs=1",
         "warning: the warm-up of 3 steps is longer than the run of 2: the learning rate 0.01 is "
         "never reached\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *folder = base_text("%s/run%zu", dir, i);
        const train_watch watch = {.note = take_note};
        train_trainer t = {0};
        told[0] = '\0';
        trainer_open(&t, folder, false, &watch, SET("train.max_steps=2", cases[i].set));
        ck_assert_int_eq(train_trainer_run(&t, &err), BASE_OK);
        ck_assert_str_eq(told, cases[i].told);
        train_trainer_destroy(&t);
        base_free(folder);
    }
}
END_TEST

/* ---- the plan ------------------------------------------------------------------------ */

/* Steps, parts and epochs by hand: twelve pictures. */
START_TEST(a_plan_is_counted_in_steps_parts_and_epochs)
{
    static const struct {
        const char *set[4];
        uint64_t parts_in_epoch, total, warmup;
        size_t part;
    } cases[] = {
        {{"train.epochs=4"}, 3, 12, 0, 4},
        {{"train.epochs=4", "train.accumulate=2"}, 6, 12, 0, 2},
        {{"train.epochs=1", "train.batch=12", "train.accumulate=1"}, 1, 1, 0, 12},
        {{"train.epochs=3", "train.batch=5", "schedule.warmup_epochs=1"}, 2, 6, 2, 5},
        {{"train.epochs=3", "train.max_steps=7", "schedule.warmup=5"}, 3, 7, 5, 4},
        {{"train.epochs=3", "schedule.warmup=1"}, 3, 9, 1, 4},
        {{"train.epochs=4", "data.repeats=2", "schedule.warmup_epochs=0.25"}, 6, 24, 2, 4},
        {{"train.epochs=4", "data.limit=8", "schedule.warmup_epochs=0.2"}, 2, 8, 0, 4},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const set[] = {cases[i].set[0], cases[i].set[1], cases[i].set[2],
                                   cases[i].set[3], NULL};
        const train_recipe recipe = recipe_of(set);
        const train_options options = {.folder = "", .threads = 3};
        train_trainer t = {0};
        ck_assert_msg(train_trainer_plan(&t, &recipe, &options, &err) == BASE_OK, "%s",
                      err.text);
        ck_assert_uint_eq(t.parts_in_epoch, cases[i].parts_in_epoch);
        ck_assert_uint_eq(t.total, cases[i].total);
        ck_assert_uint_eq(t.schedule.warmup, cases[i].warmup);
        ck_assert_uint_eq(t.schedule.total, cases[i].total);
        ck_assert_double_eq(t.schedule.peak, 0.01);
        ck_assert_uint_eq(t.part, cases[i].part);
        ck_assert_uint_eq(t.options.threads, 3);
        ck_assert_ptr_null(t.run);
        const uint64_t accumulate = (uint64_t)t.recipe.train.accumulate;
        for (uint64_t step = 0; step < 9; step++)
            ck_assert_uint_eq(train_trainer_epochs(&t, step),
                              step * accumulate / t.parts_in_epoch);
        ck_assert_uint_eq(train_trainer_total(&t, 1, 0), t.parts_in_epoch / accumulate);
        ck_assert_uint_eq(train_trainer_total(&t, 9, 5), 5);
        train_trainer_destroy(&t);
    }
    /* a step of more than an epoch is one step all the same */
    train_trainer t = {.recipe = {.train = {.accumulate = 4}}, .parts_in_epoch = 3};
    ck_assert_uint_eq(train_trainer_total(&t, 1, 0), 1);
    ck_assert_uint_eq(train_trainer_total(&t, 3, 0), 2);
    ck_assert_uint_eq(train_trainer_epochs(&t, 1), 1);
    t.recipe.config.moe.layer[2] = t.recipe.config.moe.layer[5] = true;
    ck_assert_uint_eq(train_trainer_block(&t, 0), 2);
    ck_assert_uint_eq(train_trainer_block(&t, 1), 5);
    ck_assert_uint_eq(train_trainer_block(&t, 2), 0); /* there is none */
}
END_TEST

START_TEST(classes_beyond_those_of_the_network_are_refused)
{
    const train_recipe recipe = recipe_of(SET("model.classes=2"));
    const train_options options = {.folder = ""};
    char *want = base_text("'model.classes' is 2, expected at least the 3 classes of '%s'",
                           pictures);
    train_trainer t = {0};

    ck_assert_int_ne(train_trainer_plan(&t, &recipe, &options, &err), BASE_OK);
    ck_assert_str_eq(err.text, want);
    train_trainer_destroy(&t);
    base_free(want);
}
END_TEST

/* What the process has, and 8 MiB for libraries; or what it had at most. */
START_TEST(memory_is_what_there_is_and_room_for_libraries)
{
    char *folder = test_path(dir, "run");
    train_trainer t = {0};

    trainer_open(&t, folder, false, NULL, NULL);
    const double told_bytes = (double)train_trainer_memory(&t);
    const double now = (double)base_resident_bytes() + (8 << 20),
                 peak = (double)base_peak_bytes();
    ck_assert_double_eq_tol(told_bytes, fmax(now, peak), 2 << 20);
    t.ranks = 2; /* and the whole model, and half of it */
    ck_assert_double_eq_tol((double)train_trainer_memory(&t), fmax(now, peak), 2 << 20);
    t.ranks = 1;
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

/* Names of classes go with the weights, averaged ones too, where there are as many. */
START_TEST(names_of_classes_go_with_the_weights)
{
    for (int more = 0; more <= 1; more++) {
        char *folder = test_path(dir, "run");
        train_trainer t = {0};
        trainer_open(
            &t, folder, false, NULL,
            SET("optimizer.ema=0.5", more ? "model.classes=4" : "model.classes=3"));
        for (size_t i = 0; i < 3; i++) {
            const char *one = vit_model_label(t.model, i),
                       *two = vit_model_label(t.averaged, i);
            ck_assert_int_eq(one && strcmp(one, sample_labels[i]) == 0, !more);
            ck_assert_int_eq(two && strcmp(two, sample_labels[i]) == 0, !more);
        }
        train_trainer_destroy(&t);
        base_free(folder);
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
    const uint64_t began[2] = {data_source_fingerprint(t.train),
                               data_source_fingerprint(t.val)};
    ck_assert_int_eq(train_trainer_run(&t, &err), BASE_OK);
    train_trainer_destroy(&t);
    for (int val = 0; val < 2; val++) {
        char *set = base_text("data.%s=%s", val ? "val" : "train", other);
        bool found = false;
        trainer_open(&t, folder, true, NULL, SET("train.epochs=1", set));
        ck_assert_int_eq(train_state_load(&t, &found, &err), BASE_MISMATCH);
        char *want = base_text("~the %s data 'other' has fingerprint %016" PRIx64
                               ", the run began with %016" PRIx64,
                               val ? "validation" : "training",
                               data_source_fingerprint(val ? t.val : t.train), began[val]);
        test_says(err.text, want);
        train_trainer_destroy(&t);
        base_free(want);
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
    TCase *files = test_case_of_threads("Files");

    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, checkpoints_and_evaluations_come_when_asked_for);
    tcase_add_test(files, a_run_that_is_stopped_says_where);
    tcase_add_test(files, a_warm_up_is_told_where_it_is_longer_than_the_run);
    tcase_add_test(files, a_plan_is_counted_in_steps_parts_and_epochs);
    tcase_add_test(files, classes_beyond_those_of_the_network_are_refused);
    tcase_add_test(files, memory_is_what_there_is_and_room_for_libraries);
    tcase_add_test(files, names_of_classes_go_with_the_weights);
    tcase_add_test(files, best_holds_the_averaged_weights_and_last_those_that_are_trained);
    tcase_add_test(files, skipped_steps_survive_a_resumption);
    tcase_add_test(files, other_data_are_refused_by_their_name);
    tcase_add_test(files, a_value_that_begins_with_another_is_another);
    suite_add_tcase(suite, files);
    return test_run(suite);
}
