/* test_train.h - what the tests of vmoe train share: a network of a few thousand weights on
 * twelve pictures, starting it without waiting, comparing what two runs left. */
#ifndef TESTS_TEST_TRAIN_H
#define TESTS_TEST_TRAIN_H

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/test_program.h"
#include "tests/test_sample.h"

/* 12 pictures in batches of 4: 3 steps an epoch. Everything that has a state is on. */
static const char tiny[] =
    "[model]\npatch = 4\nwidth = 24\ndepth = 2\nheads = 2\nmlp = 32\n"
    "dropout = 0.1\ndrop_path = 0.1\n"
    "[router]\nexperts = 4\nk = 2\nlayers = every:2\np = 0.5\n"
    "[data]\nimage = 8\n[augment]\npadding = 1\nmixup = 0.2\n"
    "[optimizer]\nlr = 0.003\nema = 0.9\n[schedule]\nwarmup = 3\n"
    "[train]\nepochs = 40\nbatch = 4\naccumulate = 2\nlog_every = 5\n"
    "checkpoint_every = 2\neval_every = 2\n";

static char *dir, *data, *recipe;

static inline void setup(void)
{
    dir = test_folder_make();
    data = test_path(dir, "data");
    recipe = test_path(dir, "tiny.ini");
    ck_assert_int_eq(base_folder_make(data, NULL), BASE_OK);
    sample_folder_make(data);
    test_write(recipe, tiny, strlen(tiny));
}

static inline void teardown(void)
{
    base_free(recipe);
    base_free(data);
    test_folder_remove(dir);
}

/* What every run here is given; further words follow. */
#define TINY                                                                               \
    "train", "--data", data, "--val", data, "--recipe", recipe, "--threads", "1", "--out"

/* Starts the program and does not wait; file_bytes > 0: no file may grow beyond. */
static inline pid_t start(size_t file_bytes, const char *const *words)
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
        signal(SIGHUP, SIG_DFL); /* ignored under nohup, which the program leaves so */
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

static inline void rest(double seconds)
{
    const struct timespec pause = {(time_t)seconds,
                                   (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&pause, NULL);
}

/* Exit status; -signal when killed. */
static inline int finish(pid_t child)
{
    int state = 0;

    ck_assert_int_eq(waitpid(child, &state, 0), child);
    return WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state);
}

static inline void same_file(const char *one, const char *two, const char *name)
{
    char *first = base_text("%s/%s/%s", dir, one, name),
         *second = base_text("%s/%s/%s", dir, two, name);
    char *a = NULL, *b = NULL;
    size_t a_bytes = 0, b_bytes = 0;

    ck_assert_int_eq(base_file_read(&a, &a_bytes, first, 1 << 28, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&b, &b_bytes, second, 1 << 28, NULL), BASE_OK);
    ck_assert_msg(a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0, "%s and %s differ",
                  first, second);
    base_free(a);
    base_free(b);
    base_free(first);
    base_free(second);
}

static inline void same_run(const char *one, const char *two)
{
    same_file(one, two, "last/model.safetensors");
    same_file(one, two, "last/state.safetensors");
    same_file(one, two, "best/model.safetensors");
    same_file(one, two, "best/state.safetensors");
}

/* Lines of metrics.jsonl of this kind; checks their order and keys. */
static inline int count_lines(const char *run, const char *kind)
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

/* The two runs wrote the same lines but for the clock. */
static inline void same_metrics(const char *one, const char *two)
{
    static const char *const clock[] = {"images_per_second", "seconds",   "time",
                                        "elapsed",           "ranks",     "waited",
                                        "slowest",           "sent_bytes"};
    char *path[2] = {base_text("%s/%s/metrics.jsonl", dir, one),
                     base_text("%s/%s/metrics.jsonl", dir, two)};
    char *text[2] = {program_text(path[0]), program_text(path[1])};
    const char *at[2] = {text[0], text[1]};

    while (*at[0] && *at[1]) {
        json_t *line[2];
        for (int i = 0; i < 2; i++) {
            const size_t length = strcspn(at[i], "\n");
            line[i] = json_loadb(at[i], length, 0, NULL);
            ck_assert_ptr_nonnull(line[i]);
            for (size_t j = 0; j < sizeof clock / sizeof clock[0]; j++)
                json_object_del(line[i], clock[j]);
            at[i] += length + 1;
        }
        ck_assert_msg(json_equal(line[0], line[1]), "the lines of step %g differ",
                      json_number_of(line[0], "step"));
        json_decref(line[0]);
        json_decref(line[1]);
    }
    ck_assert(!*at[0] && !*at[1]);
    for (int i = 0; i < 2; i++) {
        base_free(text[i]);
        base_free(path[i]);
    }
}

#endif
