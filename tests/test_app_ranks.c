/* test_app_ranks.c - vmoe train under mpirun: files and metrics are those of one rank,
 * whatever the number of ranks and whichever MPI carries them, and through resumptions on
 * other numbers of ranks; other commands want one rank. What goes wrong:
 * test_app_ranks_faults.c. Skipped where no MPI is installed. */
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

#include "tests/test_mpi.h"
#include "tests/test_ranks.h"
#include "tests/test_run.h"

static test_mpi mpis[2];
static size_t mpi_count;

static void ranks_setup(void)
{
    setup();
    setenv("OMP_WAIT_POLICY", "passive", 1);
}

/* Four parts in four lanes; more settings, ended by NULL, follow --set. */
#define TRAIN(mpi, ranks, run, ...)                                                        \
    test_job_start(dir, mpi, ranks, getenv("VMOE_PROGRAM"), "train", "--data", data,       \
                   "--val", data, "--recipe", recipe, "--threads", "1", "--oversubscribe", \
                   "--place", "keep", "--quiet", "--out", run, __VA_ARGS__, NULL)

/* ranks 0: the program alone. */
static void train(const test_mpi *mpi, size_t ranks, const char *run,
                  const char *const settings[4])
{
    char *out = test_path(dir, run);
    program_result result;

    if (ranks == 0)
        result = program_run(dir, TINY, out, "--quiet", "--set", "train.accumulate=4",
                             "train.lanes=4", settings[0], settings[1], settings[2],
                             settings[3], NULL);
    else
        result = test_job_wait(TRAIN(mpi, ranks, out, "--set", "train.accumulate=4",
                                     "train.lanes=4", settings[0], settings[1], settings[2],
                                     settings[3]));
    ck_assert_msg(result.code == 0, "%zu ranks: %s", ranks, result.err);
    ck_assert_msg(test_count(result.out, "best top-1") == 1, "%s", result.out);
    program_result_free(&result);
    base_free(out);
}

static const struct {
    const char *settings[4];
} cases[] = {
    {{"router.p=0.2", "train.max_steps=200", "train.checkpoint_every=50",
      "train.eval_every=8"}},
    {{"router.name=vmoe", "router.capacity=1.05", "router.bpr=true", "train.max_steps=24"}},
};

START_TEST(ranks_end_with_the_bytes_of_one)
{
    const char *const *settings = cases[_i].settings;

    train(NULL, 0, "one", settings);
    train(&mpis[0], 1, "alone", settings);
    train(&mpis[0], 2, "two", settings);
    train(&mpis[mpi_count - 1], 4, "four", settings);
    same_ranks("one", "alone");
    same_ranks("one", "two");
    same_ranks("one", "four");
}
END_TEST

/* Bytes that ranks sent are told with each line, and the share of the time that they
 * waited: each sends at least the gradients that it does not own. */
static void sending_is_told(const char *run)
{
    char *path = test_path(run, "metrics.jsonl"), *text = program_text(path);
    size_t lines = 0;

    for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
        json_t *line = json_loadb(at, strcspn(at, "\n"), 0, NULL);
        if (strcmp(json_string_value(json_object_get(line, "kind")), "train") == 0) {
            const double sent = json_number_of(line, "sent_bytes"),
                         waited = json_number_of(line, "waited");
            ck_assert_msg(sent > 1000 && sent < 1e9, "%g bytes were sent", sent);
            ck_assert_msg(waited >= 0 && waited <= 1, "%g of the time", waited);
            lines++;
        }
        json_decref(line);
    }
    ck_assert_uint_gt(lines, 0);
    base_free(text);
    base_free(path);
}

/* What is printed before the first step, and what the process has had at the end. */
START_TEST(memory_of_a_rank_is_told_before)
{
    for (size_t i = 0; i < mpi_count; i++) {
        char *run = test_path(dir, mpis[i].name), *report = test_path(dir, "memory.json");
        program_result result = test_job_wait(test_job_start(
            dir, &mpis[i], 2, getenv("VMOE_PROGRAM"), "train", "--data", data, "--val",
            data, "--recipe", recipe, "--threads", "1", "--oversubscribe", "--place",
            "keep", "--out", run, "--json", report, "--set", "train.max_steps=4", NULL));
        ck_assert_msg(result.code == 0, "%s", result.err);
        ck_assert_msg(strstr(result.err, "\nranks       ") &&
                          strstr(result.err, "1 part of 2 images each, 2 lanes\n"),
                      "%s", result.err);
        const char *told = strstr(result.err, "memory  ");
        json_t *root = json_load_file(report, 0, NULL);
        ck_assert_double_eq(json_number_of(root, "ranks"), 2);
        const double peak =
            (double)json_integer_value(json_object_get(root, "peak_bytes")) / (1 << 20);
        ck_assert_ptr_nonnull(told);
        const double mib = strtod(told + strlen("memory  "), NULL);
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is as large again */
        ck_assert_msg(fabs(mib - peak) < 0.05 * peak + 24, "%g MiB were told, %g taken",
                      mib, peak);
#endif
        ck_assert_double_gt(mib, 0);
        sending_is_told(run);
        json_decref(root);
        program_result_free(&result);
        base_free(report);
        base_free(run);
    }
}
END_TEST

/* When a run's lines were last written; 0: never. */
static int64_t written(const char *metrics)
{
    struct stat st;

    return stat(metrics, &st) == 0
               ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec
               : 0;
}

/* The job's ranks are asked to stop one after the other; each time another number goes on,
 * by another MPI where there are two. */
START_TEST(resumptions_on_other_ranks_keep_the_bytes)
{
    static const size_t ranks[] = {4, 2, 1};
    static const char *const settings[] = {"train.max_steps=150", "train.eval_every=10",
                                           "train.log_every=7", NULL};
    char *parts = test_path(dir, "parts"), *last = test_path(dir, "parts/last"),
         *metrics = test_path(dir, "parts/metrics.jsonl");
    const struct timespec moment = {0, 20000000};

    train(NULL, 0, "whole", settings);
    for (size_t i = 0; i < 3; i++) {
        const int64_t before = written(metrics);
        const test_job job = TRAIN(&mpis[i % mpi_count], ranks[i], parts, "--resume",
                                   "--set", "train.accumulate=4", "train.lanes=4",
                                   settings[0], settings[1], settings[2]);
        for (int wait = 0; i < 2 && wait < 3000; wait++) {
            if (test_exists(last) && written(metrics) != before)
                break;
            nanosleep(&moment, NULL);
        }
        if (i < 2) /* Open MPI and MPICH hand it on to their ranks, once they are there */
            kill(job.launcher, SIGUSR1);
        program_result result = test_job_wait(job);
        ck_assert_msg(i < 2 || result.code == 0, "%s", result.err);
        ck_assert_msg(result.code == 0 || test_count(result.err, "stopped at step") == 1,
                      "%s", result.err);
        program_result_free(&result);
    }
    same_ranks("whole", "parts");
    base_free(parts);
    base_free(last);
    base_free(metrics);
}
END_TEST

START_TEST(other_commands_want_one_rank)
{
    program_result result = test_job_wait(test_job_start(
        dir, &mpis[0], 2, getenv("VMOE_PROGRAM"), "eval", "x", "--data", data, NULL));

    ck_assert_int_eq(result.code, 2);
    ck_assert_msg(test_count(result.err, "vmoe eval: 2 ranks, expected 1") == 1, "%s",
                  result.err);
    program_result_free(&result);
}
END_TEST

START_TEST(a_wrong_option_is_told_once)
{
    program_result result = test_job_wait(test_job_start(
        dir, &mpis[0], 2, getenv("VMOE_PROGRAM"), "train", "--nonsense", NULL));

    ck_assert_int_eq(result.code, 2);
    ck_assert_msg(test_count(result.err, "vmoe train: ") == 1, "%s", result.err);
    program_result_free(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_ranks");
    TCase *core = tcase_create("Core");

    mpi_count = test_mpi_find(mpis);
    if (mpi_count == 0)
        return TEST_SKIP;
    tcase_set_timeout(core, 900);
    tcase_add_checked_fixture(core, ranks_setup, teardown);
    tcase_add_loop_test(core, ranks_end_with_the_bytes_of_one, 0, 2);
    tcase_add_test(core, memory_of_a_rank_is_told_before);
    tcase_add_test(core, resumptions_on_other_ranks_keep_the_bytes);
    tcase_add_test(core, other_commands_want_one_rank);
    tcase_add_test(core, a_wrong_option_is_told_once);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
