/* test_app_train.c - vmoe train as a user runs it: files of a run, stopping it in every way, going on to
 * the same bytes, refusals. A network of a few thousand weights on twelve pictures. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/test_program.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

/* 12 pictures in batches of 4: 3 steps an epoch. Everything that has a state is on. */
static const char tiny[] = "[model]\npatch = 4\nwidth = 24\ndepth = 2\nheads = 2\nmlp = 32\n"
                           "dropout = 0.1\ndrop_path = 0.1\n"
                           "[router]\nexperts = 4\nk = 2\nlayers = every:2\np = 0.5\n"
                           "[data]\nimage = 8\n[augment]\npadding = 1\nmixup = 0.2\n"
                           "[optimizer]\nlr = 0.003\nema = 0.9\n[schedule]\nwarmup = 3\n"
                           "[train]\nepochs = 40\nbatch = 4\naccumulate = 2\nlog_every = 5\n"
                           "checkpoint_every = 2\neval_every = 2\n";

enum { KILLS = 20 };

static char *dir, *data, *recipe;

static void setup(void)
{
    dir = test_folder_make();
    data = test_path(dir, "data");
    recipe = test_path(dir, "tiny.ini");
    ck_assert_int_eq(base_folder_make(data, NULL), BASE_OK);
    sample_folder_make(data);
    test_write(recipe, tiny, strlen(tiny));
}

static void teardown(void)
{
    base_free(recipe);
    base_free(data);
    test_folder_remove(dir);
}

/* What every run here is given; further words follow. */
#define TINY \
    "train", "--data", data, "--val", data, "--recipe", recipe, "--threads", "1", "--out"

/* Starts the program and does not wait; file_bytes > 0: no file may grow beyond. */
static pid_t start(size_t file_bytes, const char *const *words)
{
    const char *program = getenv("VMOE_PROGRAM");
    const char *list[PROGRAM_WORDS] = {program ? program : "vmoe"};
    char *talk = test_path(dir, "started.txt");
    size_t count = 1;

    while ((list[count] = words[count - 1]) != NULL)
        count++;
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const int to = open(talk, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(to, STDOUT_FILENO);
        dup2(to, STDERR_FILENO);
        if (file_bytes > 0) {
            const struct rlimit limit = {file_bytes, file_bytes};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &limit);
        }
        execvp(list[0], (char *const *)list);
        _exit(127);
    }
    base_free(talk);
    return child;
}

static void rest(double seconds)
{
    const struct timespec pause = {(time_t)seconds,
                                   (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&pause, NULL);
}

/* Exit status; -signal when killed. */
static int finish(pid_t child)
{
    int state = 0;

    ck_assert_int_eq(waitpid(child, &state, 0), child);
    return WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state);
}

static void same_file(const char *one, const char *two, const char *name)
{
    char *first = base_text("%s/%s/%s", dir, one, name), *second = base_text("%s/%s/%s", dir, two, name);
    char *a = NULL, *b = NULL;
    size_t a_bytes = 0, b_bytes = 0;

    ck_assert_int_eq(base_file_read(&a, &a_bytes, first, 1 << 28, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&b, &b_bytes, second, 1 << 28, NULL), BASE_OK);
    ck_assert_msg(a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0, "%s and %s differ", first,
                  second);
    base_free(a);
    base_free(b);
    base_free(first);
    base_free(second);
}

static void same_run(const char *one, const char *two)
{
    same_file(one, two, "last/model.safetensors");
    same_file(one, two, "last/state.safetensors");
    same_file(one, two, "best/model.safetensors");
    same_file(one, two, "best/state.safetensors");
}

/* Lines of metrics.jsonl whose kind is this one, checked for order; adds up nothing else. */
static int count_lines(const char *run, const char *kind)
{
    char *path = base_text("%s/%s/metrics.jsonl", dir, run), *text = program_text(path);
    double before = 0;
    int count = 0;

    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
        ck_assert_ptr_nonnull(json);
        if (strcmp(json_string_value(json_object_get(json, "kind")), kind) == 0) {
            ck_assert_double_gt(json_number_of(json, "step"), before);
            before = json_number_of(json, "step");
            ck_assert(json_is_array(json_object_get(json, "moe")));
            json_number_of(json, "loss");
            json_number_of(json, "accuracy");
            json_number_of(json, "lr");
            json_number_of(json, "epoch");
            json_number_of(json, "images_per_second");
            json_number_of(json, "sinkhorn_share");
            count++;
        }
        json_decref(json);
        line = end + 1;
    }
    base_free(text);
    base_free(path);
    return count;
}

/* ---- Core -------------------------------------------------------------------------------------- */

START_TEST(a_run_leaves_its_files_and_its_numbers)
{
    char *out = test_path(dir, "run"), *results = test_path(dir, "r.json");
    static const char *const files[] = {
        "recipe.ini",           "metrics.jsonl",          "curves.svg",
        "best/model.safetensors", "best/state.safetensors", "last/model.safetensors",
        "last/state.safetensors"};

    program_result r = program_run(dir, TINY, out, "--json", results, NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "best top-1 "));
    ck_assert_ptr_nonnull(strstr(r.err, "4 experts of 32, top 2, ssr"));
    program_result_free(&r);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = test_path(out, files[i]);
        ck_assert_msg(test_exists(path), "%s is missing", path);
        base_free(path);
    }
    /* 40 epochs of 6 passes, 2 passes a step: 120 steps. */
    ck_assert_int_eq(count_lines("run", "train"), 24);
    ck_assert_int_eq(count_lines("run", "eval"), 20);
    json_t *json = program_json(results);
    ck_assert_double_eq(json_number_of(json, "steps"), 120);
    ck_assert_double_eq(json_number_of(json, "samples"), 12);
    ck_assert_double_ge(json_number_of(json, "best_top1"), 0.9);
    json_decref(json);
    base_free(results);
    base_free(out);
}
END_TEST

START_TEST(quiet_prints_results_only)
{
    char *out = test_path(dir, "run");
    program_result r = program_run(dir, TINY, out, "--quiet", "--set", "train.epochs=2", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "epoch 2  step 6  top-1 "));
    program_result_free(&r);
    base_free(out);
}
END_TEST

START_TEST(max_steps_ends_in_the_middle_of_an_epoch)
{
    char *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, out, "--set", "train.max_steps=4", NULL));
    ck_assert_int_eq(count_lines("run", "eval"), 1);
    base_free(out);
}
END_TEST

START_TEST(threads_of_the_loader_change_nothing)
{
    char *one = test_path(dir, "one"), *two = test_path(dir, "two");

    program_done(program_run(dir, TINY, one, "--set", "data.workers=0", NULL));
    program_done(program_run(dir, TINY, two, "--set", "data.workers=3", "data.queue=5", NULL));
    same_run("one", "two");
    base_free(one);
    base_free(two);
}
END_TEST

START_TEST(another_seed_is_another_run)
{
    char *one = test_path(dir, "one"), *two = test_path(dir, "two"), *a, *b;

    program_done(program_run(dir, TINY, one, "--set", "train.epochs=2", NULL));
    program_done(program_run(dir, TINY, two, "--set", "train.epochs=2", "--seed", "5", NULL));
    char *first = test_path(one, "last/model.safetensors");
    char *second = test_path(two, "last/model.safetensors");
    size_t bytes = 0;
    ck_assert_int_eq(base_file_read(&a, &bytes, first, 1 << 28, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&b, &bytes, second, 1 << 28, NULL), BASE_OK);
    ck_assert_int_ne(memcmp(a, b, bytes), 0);
    base_free(a);
    base_free(b);
    base_free(first);
    base_free(second);
    base_free(one);
    base_free(two);
}
END_TEST

START_TEST(a_run_killed_anywhere_ends_with_the_same_bytes)
{
    char *whole = test_path(dir, "whole"), *cut = test_path(dir, "cut");
    const char *const words[] = {TINY, cut, "--resume", "--quiet", NULL};
    base_rng rng = base_rng_make(11, BASE_PURPOSE_TEST, 0, 0, 0);
    const double begin = base_seconds();
    int killed = 0;

    program_done(program_run(dir, TINY, whole, NULL));
    const double seconds = base_seconds() - begin;
    for (; killed < KILLS; killed++) {
        const pid_t child = start(0, words);
        rest(base_rng_uniform(&rng) * seconds / 4);
        kill(child, SIGKILL);
        if (finish(child) != -SIGKILL)
            break;
    }
    ck_assert_int_gt(killed, 3);
    program_done(program_run(dir, TINY, cut, "--resume", NULL));
    same_run("whole", "cut");
    ck_assert_int_eq(count_lines("cut", "train"), 24);
    ck_assert_int_eq(count_lines("cut", "eval"), 20);
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
    for (int i = 0; i < 2000 && !test_exists(log); i++)
        rest(0.002);
    kill(child, SIGINT);
    ck_assert_int_eq(finish(child), 1);
    char *talk = test_path(dir, "started.txt"), *text = program_text(talk);
    ck_assert_msg(strstr(text, "--resume goes on from there") != NULL, "%s", text);
    ck_assert(test_exists(state) || strstr(text, "stopped at step 0 "));
    /* The recipe is that of the run's folder: nothing but --out is needed. */
    program_done(program_run(dir, "train", "--threads", "1", "--out", cut, "--resume", NULL));
    same_run("whole", "cut");
    base_free(text);
    base_free(talk);
    base_free(log);
    base_free(state);
    base_free(whole);
    base_free(cut);
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

/* ---- Limits -------------------------------------------------------------------------------------- */

START_TEST(a_changed_recipe_is_refused_with_the_key)
{
    char *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    program_refused(program_run(dir, TINY, out, "--quiet", "--resume", "--set",
                                "train.epochs=2", "optimizer.lr=0.5", NULL),
                    1, "'optimizer.lr' was '0.003' when the run began and is '0.5' now");
    program_refused(program_run(dir, TINY, out, "--quiet", "--resume", NULL), 1,
                    "'train.epochs' was '2' when the run began and is '40' now");
    /* What does not change the result may change. */
    program_done(program_run(dir, TINY, out, "--resume", "--set", "train.epochs=2",
                             "train.log_every=7", "data.workers=2", NULL));
    base_free(out);
}
END_TEST

START_TEST(changed_data_is_refused)
{
    char *out = test_path(dir, "run"), *more = test_path(data, "red/9.png");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    sample_picture_save(more, 2, 9);
    program_refused(program_run(dir, TINY, out, "--quiet", "--resume", "--set",
                                "train.epochs=2", NULL),
                    1, "training data");
    base_free(more);
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

START_TEST(a_full_disk_leaves_the_last_checkpoint)
{
    char *out = test_path(dir, "run"), *fresh = test_path(out, "last.new");
    char *model = test_path(out, "last/model.safetensors"), *keep = test_path(dir, "keep");
    const char *const stop[] = {TINY, out, "--set", "model.mlp=512", "train.epochs=100000", NULL};
    const char *const go[] = {TINY,     out,      "--set", "model.mlp=512",
                              "train.epochs=100000", "--resume", "--quiet", NULL};
    char *before = NULL, *after = NULL;
    size_t bytes = 0, after_bytes = 0;

    pid_t child = start(0, stop);
    for (int i = 0; i < 5000 && !test_exists(model); i++)
        rest(0.002);
    kill(child, SIGTERM);
    ck_assert_int_eq(finish(child), 1);
    ck_assert_int_eq(base_file_read(&before, &bytes, model, 1 << 28, NULL), BASE_OK);
    ck_assert_uint_gt(bytes, 200000); /* more than the limit; recipe and metrics are smaller */
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
    base_free(keep);
    base_free(model);
    base_free(fresh);
    base_free(out);
}
END_TEST

START_TEST(ten_steps_that_are_not_finite_end_the_run)
{
    char *out = test_path(dir, "run"), *path = test_path(dir, "huge.safetensors");
    char *from = base_text("model.init_from=%s", path);
    vit_config config = sample_config(true);
    vit_model *model = NULL;

    config.image = config.crop = config.resize = 8;
    config.width = 24;
    config.mlp = 32;
    ck_assert_int_eq(vit_model_create(&model, &config, NULL), BASE_OK);
    vit_model_init(model, 1);
    const vit_parameter *p = vit_model_parameter_find(model, "blocks.0.mlp.fc1.bias");
    for (size_t i = 0; i < p->count; i++)
        vit_model_weights(model)[p->offset + i] = 3e38f; /* finite, but nothing after it is */
    ck_assert_int_eq(vit_model_save(model, path, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(model);
    program_refused(program_run(dir, TINY, out, "--quiet", "--set", from, NULL), 1,
                    "10 steps in a row were not finite, the last is step 10, first seen in "
                    "router of block 1");
    base_free(from);
    base_free(path);
    base_free(out);
}
END_TEST

START_TEST(wrong_usage_is_exit_status_2)
{
    char *out = test_path(dir, "run");

    program_refused(program_run(dir, "train", "--out", out, NULL), 2, "--data DATA is missing");
    program_refused(program_run(dir, "train", "--data", data, "--out", out, NULL), 2,
                    "--val DATA is missing");
    program_refused(program_run(dir, "train", "--data", data, "--val", data, NULL), 2,
                    "--out DIR is missing");
    program_refused(program_run(dir, TINY, out, "--set", "model.widht=8", NULL), 2,
                    "--set: unknown key 'model.widht', the nearest is 'model.width'");
    program_refused(program_run(dir, TINY, out, "--set", "model.width=25", NULL), 2,
                    "'model.width' is 25");
    program_refused(program_run(dir, TINY, out, "--set", "router.k=5", NULL), 2,
                    "'router.k' is 5");
    program_refused(program_run(dir, TINY, out, "--batch", "1000", NULL), 2,
                    "expected at least one batch of");
    program_refused(program_run(dir, "train", "--data", data, "--val", data, "--recipe",
                                "quickstrat", "--out", out, NULL),
                    2, "the nearest is 'quickstart'");
    ck_assert(!test_exists(out));
    base_free(out);
}
END_TEST

START_TEST(a_wrong_recipe_is_refused_with_its_line)
{
    char *out = test_path(dir, "run"), *bad = test_path(dir, "bad.ini");

    test_write(bad, "[model]\nsize = vmoe-nano\n\n[train]\nepoch = 3\n", 43);
    program_refused(program_run(dir, "train", "--data", data, "--val", data, "--recipe", bad,
                                "--out", out, NULL),
                    2, "bad.ini' line 5: unknown key 'train.epoch', the nearest is");
    base_free(bad);
    base_free(out);
}
END_TEST

START_TEST(missing_data_is_a_failed_run)
{
    char *out = test_path(dir, "run");
    program_result r = program_run(dir, "train", "--data", "no/such/data", "--val", data, "--out",
                                   out, NULL);

    ck_assert_int_ne(r.code, 0);
    ck_assert_ptr_nonnull(strstr(r.err, "no/such/data"));
    program_result_free(&r);
    ck_assert(!test_exists(out));
    base_free(out);
}
END_TEST

START_TEST(a_damaged_state_is_named)
{
    char *out = test_path(dir, "run"), *state = test_path(out, "last/state.safetensors");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", NULL));
    ck_assert_int_eq(truncate(state, 100), 0);
    program_refused(program_run(dir, TINY, out, "--quiet", "--resume", "--set",
                                "train.epochs=2", NULL),
                    1, "last/state.safetensors'");
    base_free(state);
    base_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_train");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 240);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, a_run_leaves_its_files_and_its_numbers);
    tcase_add_test(core, quiet_prints_results_only);
    tcase_add_test(core, max_steps_ends_in_the_middle_of_an_epoch);
    tcase_add_test(core, threads_of_the_loader_change_nothing);
    tcase_add_test(core, another_seed_is_another_run);
    tcase_add_test(core, a_run_killed_anywhere_ends_with_the_same_bytes);
    tcase_add_test(core, a_run_asked_to_stop_saves_and_goes_on);
    tcase_add_test(core, a_finished_run_resumed_does_nothing);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 120);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, a_changed_recipe_is_refused_with_the_key);
    tcase_add_test(limits, changed_data_is_refused);
    tcase_add_test(limits, a_folder_with_a_run_is_not_overwritten);
    tcase_add_test(limits, a_full_disk_leaves_the_last_checkpoint);
    tcase_add_test(limits, ten_steps_that_are_not_finite_end_the_run);
    tcase_add_test(limits, wrong_usage_is_exit_status_2);
    tcase_add_test(limits, a_wrong_recipe_is_refused_with_its_line);
    tcase_add_test(limits, missing_data_is_a_failed_run);
    tcase_add_test(limits, a_damaged_state_is_named);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
