/* test_app_resume.c - runs that are killed, stopped, out of disk, changed behind their
 * back: going on ends with the same bytes or is refused with the reason. */
#include "tests/test_run.h"
#include "tests/test_train.h"

enum { KILLS = 20 };

/* Routers and how often to kill: those with state beside the weights too. */
static const struct {
    const char *set;
    int kills;
} kill_runs[] = {
    {"router.name=ssr", KILLS},
    {"router.name=loss-free", 5},
    {"router.name=quantile", 5},
};
enum { KILL_RUNS = sizeof kill_runs / sizeof kill_runs[0] };

START_TEST(a_run_killed_anywhere_ends_with_the_same_bytes)
{
    const char *set = kill_runs[_i].set;
    char *whole = test_path(dir, "whole"), *cut = test_path(dir, "cut");
    const char *const words[] = {TINY, cut, "--set", set, "--resume", "--quiet", NULL};
    base_rng rng = base_rng_make(11, BASE_PURPOSE_TEST, 0, 0, 0);
    const double begin = base_seconds();
    int killed = 0;

    program_done(program_run(dir, TINY, whole, "--set", set, NULL));
    const double seconds = base_seconds() - begin;
    for (; killed < kill_runs[_i].kills; killed++) {
        const pid_t child = start(0, words);
        rest(base_rng_uniform(&rng) * seconds / 4);
        kill(child, SIGKILL);
        if (finish(child) != -SIGKILL)
            break;
    }
    ck_assert_int_gt(killed, 0);
    program_done(program_run(dir, TINY, cut, "--set", set, "--resume", NULL));
    same_run("whole", "cut");
    same_metrics("whole", "cut");
    base_free(whole);
    base_free(cut);
}
END_TEST

START_TEST(a_run_asked_to_stop_saves_and_goes_on)
{
    char *whole = test_path(dir, "whole"), *cut = test_path(dir, "cut");
    char *state = test_path(cut, "last/state.safetensors");
    /* No checkpoint of its own accord before the end. */
    const char *const words[] = {TINY, cut, "--set", "train.checkpoint_every=10000", NULL};

    program_done(
        program_run(dir, TINY, whole, "--set", "train.checkpoint_every=10000", NULL));
    char *log = test_path(cut, "metrics.jsonl");
    const pid_t child = start(0, words);
    struct stat info = {0};
    for (int i = 0; i < 5000 && info.st_size == 0; i++) {
        rest(0.002);
        if (stat(log, &info) != 0)
            info.st_size = 0;
    }
    kill(child, SIGINT);
    ck_assert_int_eq(finish(child), 1);
    char *talk = test_path(dir, "started.txt"), *text = program_text(talk);
    ck_assert_msg(strstr(text, "--resume goes on from there") != NULL, "%s", text);
    ck_assert(test_exists(state));
    char *mark = test_path(cut, "stopped"); /* what a batch script asks for */
    ck_assert(test_exists(mark));
    /* The recipe is that of the run's folder: nothing but --out is needed. */
    program_done(
        program_run(dir, "train", "--threads", "1", "--out", cut, "--resume", NULL));
    ck_assert(!test_exists(mark));
    base_free(mark);
    same_run("whole", "cut");
    same_metrics("whole", "cut");
    base_free(text);
    base_free(talk);
    base_free(log);
    base_free(state);
    base_free(whole);
    base_free(cut);
}
END_TEST

START_TEST(every_polite_signal_saves)
{
    static const int numbers[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, SIGTERM};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char *out = base_text("%s/run%zu", dir, i);
        const char *const words[] = {
            TINY, out, "--set", "train.checkpoint_every=10000", "train.epochs=100000",
            NULL};
        char *log = test_path(out, "metrics.jsonl"),
             *state = test_path(out, "last/state.safetensors");
        struct stat info = {0};

        const pid_t child = start(0, words);
        for (int j = 0; j < 5000 && info.st_size == 0; j++) {
            rest(0.002);
            if (stat(log, &info) != 0)
                info.st_size = 0;
        }
        kill(child, numbers[i]);
        ck_assert_msg(finish(child) == 1, "signal %d", numbers[i]);
        ck_assert_msg(test_exists(state), "signal %d", numbers[i]);
        base_free(state);
        base_free(log);
        base_free(out);
    }
}
END_TEST

START_TEST(a_finished_run_resumed_does_nothing)
{
    char *out = test_path(dir, "run"), *copy = test_path(dir, "copy");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    ck_assert_int_eq(base_folder_make(copy, NULL), BASE_OK);
    program_done(program_run(dir, TINY, copy, "--set", "train.epochs=2", "--resume", NULL));
    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", "--resume", NULL));
    same_run("run", "copy");
    ck_assert_int_eq(count_lines("run", "eval"), 1);
    base_free(out);
    base_free(copy);
}
END_TEST

START_TEST(going_on_needs_no_checkpoint_to_start_from)
{
    char *first = test_path(dir, "first"), *out = test_path(dir, "run");
    char *from = base_text("model.init_from=%s", first);

    program_done(program_run(dir, TINY, first, "--set", "train.epochs=2", NULL));
    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", from, NULL));
    ck_assert_int_eq(base_folder_remove(first, NULL), BASE_OK);
    program_done(
        program_run(dir, TINY, out, "--resume", "--set", "train.epochs=2", from, NULL));
    base_free(from);
    base_free(first);
    base_free(out);
}
END_TEST

/* What a run starts from is compared with the recipe: the same weights under other settings
 * are another network, and what differs or is made anew is told. */
START_TEST(starting_from_a_checkpoint_compares_and_tells)
{
    static const struct {
        const char *setting, *words;
        bool refused;
    } cases[] = {
        {"train.log_every=3", "tensors loaded\n", false},
        {"model.heads=3", "'model.heads' is 2 in '", true},
        {"model.gelu=tanh", "'model.gelu' is erf in '", true},
        {"model.pool=patches", "'model.pool' is token in '", true},
        {"model.position=sincos", "'model.position' is learned in '", true},
        {"model.depth=4", "'model.depth' is 2 in '", true},
        {"router.experts=2", "'router.experts' is 4 in '", true},
        {"router.layers=none", "'router.experts' is 4 in '", true},
        {"data.mean=half", "with mean 0.485.. and std 0.229.., here with mean 0.5..",
         false},
        {"data.interpolation=bicubic", "made ready bilinear, here bicubic", false},
        {"model.eps=0.00001", "norms have the epsilon 1e-06, here 1e-05 (model.eps)",
         false},
        {"router.name=softmax", "its router is 'ssr', here 'softmax'", false},
        {"router.p=0.25", "here 'ssr' with other options", false},
        {"router.name=xmoe", "tensors of routers drawn anew", false},
        {"router.k=1", "meet 2 experts with capacity 0 (0 in evaluation), here 1", false},
        {"data.image=16", "positions interpolated from 8 to 16 pixels", false},
        {"model.classes=5", "head of 5 classes begins at zero (in place of the file's 3)",
         false},
    };
    char *first = test_path(dir, "first"), *from = base_text("model.init_from=%s", first);

    program_done(program_run(dir, TINY, first, "--set", "train.epochs=2", NULL));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *name = base_text("run%zu", i), *out = test_path(dir, name);
        program_result r = program_run(dir, TINY, out, "--set", "train.max_steps=1", from,
                                       cases[i].setting, NULL);

        ck_assert_msg(r.code == (cases[i].refused ? 1 : 0), "%s: %d, %s", cases[i].setting,
                      r.code, r.err);
        ck_assert_msg(strstr(r.err, cases[i].words), "'%s' does not say '%s'", r.err,
                      cases[i].words);
        program_result_free(&r);
        base_free(out);
        base_free(name);
    }
    base_free(from);
    base_free(first);
}
END_TEST

START_TEST(a_changed_recipe_is_refused_with_the_key)
{
    char *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    program_refused(program_run(dir, TINY, out, "--quiet", "--resume", "--set",
                                "train.epochs=2", "optimizer.lr=0.5", NULL),
                    1, "'optimizer.lr' was '0.003' when the run began and is '0.5' now");
    /* A value that begins with the new one is another. */
    program_refused(program_run(dir, TINY, out, "--quiet", "--resume", "--set",
                                "train.epochs=2", "optimizer.ema=0", NULL),
                    1, "'optimizer.ema' was '0.9' when the run began and is '0' now");
    program_refused(program_run(dir, TINY, out, "--quiet", "--resume", "--set",
                                "train.epochs=2", "optimizer.lr=0.0", NULL),
                    1, "'optimizer.lr' was '0.003' when the run began and is '0' now");
    /* What does not change the result may change. */
    program_done(program_run(dir, TINY, out, "--resume", "--set", "train.epochs=2",
                             "train.log_every=7", "data.workers=2", NULL));
    base_free(out);
}
END_TEST

START_TEST(a_run_is_made_longer)
{
    char *whole = test_path(dir, "whole"), *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, whole, "--set", "schedule.name=constant",
                             "train.log_every=1", "train.epochs=4", NULL));
    program_done(program_run(dir, TINY, out, "--set", "schedule.name=constant",
                             "train.log_every=1", "train.epochs=2", NULL));
    program_result r = program_run(dir, "train", "--threads", "1", "--out", out, "--resume",
                                   "--set", "train.epochs=4", NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(strstr(r.err, "ended at step 6 and ends at step 12 now; its learning "
                                "rate goes on as before") != NULL,
                  "%s", r.err);
    program_result_free(&r);
    /* as if it had always been so long */
    same_file("whole", "run", "last/model.safetensors");
    same_file("whole", "run", "last/state.safetensors");
    same_file("whole", "run", "best/model.safetensors");
    same_metrics("whole", "run");
    program_refused(program_run(dir, "train", "--threads", "1", "--out", out, "--resume",
                                "--quiet", "--set", "train.epochs=3", NULL),
                    1, "stands at step 12 of 9");
    base_free(out);
    base_free(whole);
}
END_TEST

START_TEST(a_schedule_that_follows_the_end_says_what_changes)
{
    char *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    program_result r =
        program_run(dir, TINY, out, "--resume", "--set", "train.epochs=4", NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(strstr(r.err, "the cosine schedule follows the end: 0.002") != NULL &&
                      strstr(r.err, "at step 6 in place of 0;") != NULL,
                  "%s", r.err);
    program_result_free(&r);
    ck_assert_int_eq(count_lines("run", "eval"), 2);
    base_free(out);
}
END_TEST

START_TEST(lines_that_are_there_twice_are_cut)
{
    char *out = test_path(dir, "run"), *path = test_path(out, "metrics.jsonl");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=4", NULL));
    char *text = program_text(path), *twice = base_text("%s%s", text, text);
    test_write(path, twice, strlen(twice));
    program_done(program_run(dir, TINY, out, "--set", "train.epochs=4", "--resume", NULL));
    test_holds(path, text);
    base_free(twice);
    base_free(text);
    base_free(path);
    base_free(out);
}
END_TEST

START_TEST(changed_data_is_refused)
{
    char *out = test_path(dir, "run"), *more = test_path(data, "red/9.png");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    sample_picture_save(more, 2, 9);
    program_refused(
        program_run(dir, TINY, out, "--quiet", "--resume", "--set", "train.epochs=2", NULL),
        1, "training data");
    base_free(more);
    base_free(out);
}
END_TEST

START_TEST(a_full_disk_leaves_the_last_checkpoint)
{
    char *out = test_path(dir, "run"), *fresh = test_path(out, "last.new");
    char *model = test_path(out, "last/model.safetensors");
    const char *const stop[] = {
        TINY, out, "--set", "model.mlp=512", "train.epochs=100000", "train.eval_every=0",
        NULL};
    const char *const go[] = {TINY,
                              out,
                              "--set",
                              "model.mlp=512",
                              "train.epochs=100000",
                              "train.eval_every=0",
                              "--resume",
                              "--quiet",
                              NULL};
    char *before = NULL, *after = NULL;
    size_t bytes = 0, after_bytes = 0;

    pid_t child = start(0, stop);
    for (int i = 0; i < 5000 && !test_exists(model); i++)
        rest(0.002);
    kill(child, SIGTERM);
    ck_assert_int_eq(finish(child), 1);
    ck_assert_int_eq(base_file_read(&before, &bytes, model, 1 << 28, NULL), BASE_OK);
    /* More than the limit; recipe and metrics are smaller. */
    ck_assert_uint_gt(bytes, 200000);
    child = start(150000, go);
    ck_assert_int_eq(finish(child), 1);
    char *talk = test_path(dir, "started.txt"), *text = program_text(talk);
    ck_assert_msg(strstr(text, "model.safetensors") && strstr(text, "File too large"), "%s",
                  text);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    ck_assert_int_eq(base_file_read(&after, &after_bytes, model, 1 << 28, NULL), BASE_OK);
    ck_assert_uint_eq(after_bytes, bytes);
    ck_assert_int_eq(memcmp(before, after, bytes), 0);
    ck_assert(!test_exists(fresh));
    base_free(text);
    base_free(talk);
    base_free(before);
    base_free(after);
    base_free(model);
    base_free(fresh);
    base_free(out);
}
END_TEST

START_TEST(a_damaged_state_is_named)
{
    char *out = test_path(dir, "run"), *state = test_path(out, "last/state.safetensors");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    ck_assert_int_eq(truncate(state, 100), 0);
    program_refused(
        program_run(dir, TINY, out, "--quiet", "--resume", "--set", "train.epochs=2", NULL),
        1, "last/state.safetensors'");
    base_free(state);
    base_free(out);
}
END_TEST

START_TEST(a_folder_with_a_run_is_not_overwritten)
{
    char *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    program_refused(program_run(dir, TINY, out, NULL), 1, "holds a run already");
    base_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_resume");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 240);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_loop_test(core, a_run_killed_anywhere_ends_with_the_same_bytes, 0, KILL_RUNS);
    tcase_add_test(core, a_run_asked_to_stop_saves_and_goes_on);
    tcase_add_test(core, every_polite_signal_saves);
    tcase_add_test(core, a_finished_run_resumed_does_nothing);
    tcase_add_test(core, lines_that_are_there_twice_are_cut);
    tcase_add_test(core, a_run_is_made_longer);
    tcase_add_test(core, a_schedule_that_follows_the_end_says_what_changes);
    tcase_add_test(core, going_on_needs_no_checkpoint_to_start_from);
    tcase_add_test(core, starting_from_a_checkpoint_compares_and_tells);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 240);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, a_changed_recipe_is_refused_with_the_key);
    tcase_add_test(limits, changed_data_is_refused);
    tcase_add_test(limits, a_full_disk_leaves_the_last_checkpoint);
    tcase_add_test(limits, a_damaged_state_is_named);
    tcase_add_test(limits, a_folder_with_a_run_is_not_overwritten);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
