/* test_app_kills.c - twenty SIGKILLs in one run: while it starts, anywhere in it, while a
 * checkpoint is written. It ends with the bytes of a run that nobody touched. With one and
 * two threads, with and without loader threads. KILLS_SEED in the environment: other
 * moments. */
#include "tests/test_run.h"
#include "tests/test_train.h"

/* FAR: bytes of the log, some ten steps. */
enum { KILLS = 20, FAR = 6000 };

/* 600 steps, 200 evaluations, 300 checkpoints: there are moments enough. */
#define LONG                                                                               \
    "--set", "train.epochs=200", "train.eval_every=1", "train.checkpoint_every=2",         \
        "train.log_every=3"

static size_t size_of(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (size_t)info.st_size : 0;
}

static bool has_ended(pid_t child)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

/* Until the path is there, or the log has grown by so many bytes: that bounds how far the
 * run gets, however fast or slow the machine is. */
static void await(pid_t child, const char *path, const char *log, size_t bytes)
{
    const size_t first = size_of(log);

    while (!has_ended(child) && !(path && test_exists(path)) &&
           size_of(log) <= first + bytes)
        rest(0.0002);
}

/* Kills the run of words KILLS times; how often it was alive to be killed. start_up:
 * seconds until its first step. */
static int kill_often(const char *const *words, const char *run, double start_up,
                      base_rng *rng)
{
    char *log = test_path(run, "metrics.jsonl");
    char *last = test_path(run, "last.new"), *best = test_path(run, "best.new");
    char *inside = test_path(run, "last.new/model.safetensors");
    int killed = 0;

    for (int i = 0; i < KILLS; i++) {
        const double u = base_rng_uniform(rng);
        const pid_t child = start(0, words);
        switch (i % 5) {
        case 0: rest(u * start_up); break;
        case 1: await(child, NULL, log, (size_t)(u * FAR)); break;
        case 2: await(child, last, log, FAR); break;
        case 3: await(child, inside, log, FAR); break;
        default: await(child, best, log, FAR); break;
        }
        if (i % 5 > 1) /* anywhere in the writing and the exchange */
            rest(u * 0.005);
        kill(child, SIGKILL);
        killed += finish(child) == -SIGKILL;
    }
    base_free(inside);
    base_free(best);
    base_free(last);
    base_free(log);
    return killed;
}

static void kill_and_compare(const char *threads, const char *workers)
{
    char *whole = test_path(dir, "whole"), *cut = test_path(dir, "cut");
    char *load = base_text("data.workers=%s", workers);
    const char *seed = getenv("KILLS_SEED");
    base_rng rng = base_rng_make(seed ? strtoull(seed, NULL, 10) : 1, BASE_PURPOSE_TEST,
                                 (uint64_t)threads[0], (uint64_t)workers[0], 0);
#define RUN                                                                                \
    "train", "--data", data, "--val", data, "--recipe", recipe, "--threads", threads, LONG
    const char *const words[] = {RUN, load, "--out", cut, "--resume", "--quiet", NULL};

    program_done(program_run(dir, RUN, "data.workers=1", "--out", whole, NULL));
    const double begin = base_seconds();
    program_done(program_run(dir, RUN, "--out", whole, "--resume", NULL));
    const double start_up = base_seconds() - begin;
    ck_assert_int_eq(kill_often(words, cut, start_up, &rng), KILLS);
    program_done(program_run(dir, RUN, load, "--out", cut, "--resume", NULL));
    same_run("whole", "cut");
    same_metrics("whole", "cut");
    base_free(load);
    base_free(whole);
    base_free(cut);
}

START_TEST(twenty_kills_with_one_thread)
{
    kill_and_compare("1", "0");
}
END_TEST

START_TEST(twenty_kills_with_one_thread_and_two_loaders)
{
    kill_and_compare("1", "2");
}
END_TEST

START_TEST(twenty_kills_with_two_threads)
{
    kill_and_compare("2", "0");
}
END_TEST

START_TEST(twenty_kills_with_two_threads_and_two_loaders)
{
    kill_and_compare("2", "2");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_kills");
    TCase *core = tcase_create("Core");

    tcase_set_timeout(core, 1200);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, twenty_kills_with_one_thread);
    tcase_add_test(core, twenty_kills_with_one_thread_and_two_loaders);
    tcase_add_test(core, twenty_kills_with_two_threads);
    tcase_add_test(core, twenty_kills_with_two_threads_and_two_loaders);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
