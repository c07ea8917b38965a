/* test_app_ranks_faults.c - vmoe train under mpirun when something is wrong: what is
 * refused before anything is written, and how a job ends whose ranks die, stop, are asked
 * to stop or have no room. Every rank is started by a script that notes its process and,
 * where a test wants it, gives one rank another folder, another program or less room. */
#include "tests/test_mpi.h"
#include "tests/test_run.h"
#include "tests/test_train.h"

#include <errno.h>
#include <sys/mount.h>

static test_mpi mpis[2];
static size_t mpi_count;

/* ODD: the rank that is different; how. */
static const char script_text[] = "#!/bin/sh\n"
                                  "rank=${OMPI_COMM_WORLD_RANK:-$PMI_RANK}\n"
                                  "cd \"$TEST_DIR\" || exit 9\n"
                                  "echo $$ >pid.$rank.part && mv pid.$rank.part pid.$rank\n"
                                  "if [ \"$rank\" = \"$ODD\" ]; then\n"
                                  "    case $HOW in\n"
                                  "    folder) cd other || exit 9 ;;\n"
                                  "    program) shift; exec ./other-vmoe \"$@\" ;;\n"
                                  "    module) VMOE_MPI=nix; export VMOE_MPI ;;\n"
                                  "    esac\n"
                                  "fi\n"
                                  "exec \"$@\"\n";

static char *script;

static void ranks_setup(void)
{
    setup();
    script = test_path(dir, "rank.sh");
    test_write(script, script_text, strlen(script_text));
    ck_assert_int_eq(chmod(script, 0700), 0);
    setenv("TEST_DIR", dir, 1);
    setenv("ODD", "", 1);
    setenv("HOW", "", 1);
    setenv("OMP_WAIT_POLICY", "passive", 1);
}

static void ranks_teardown(void)
{
    base_free(script);
    teardown();
}

static void odd(const char *rank, const char *how)
{
    setenv("ODD", rank, 1);
    setenv("HOW", how, 1);
}

/* Words of a run of some hundred steps; further words follow. Relative: the script has the
 * folder. */
#define RUN(mpi, ranks, ...)                                                               \
    test_job_start(dir, mpi, ranks, script, getenv("VMOE_PROGRAM"), "train", "--data",     \
                   "data", "--val", "data", "--recipe", recipe, "--threads", "1",          \
                   "--oversubscribe", "--place", "keep", __VA_ARGS__, NULL)

/* One line of vmoe's with the words, this status, and no folder of a run. */
static void refused(program_result result, const char *run, const char *words)
{
    char *path = test_path(dir, run);

    ck_assert_msg(test_count(result.err, "vmoe train: ") == 1 && strstr(result.err, words),
                  "'%s' does not say '%s' once", result.err, words);
    const char *twice = strstr(result.err, "): rank ");
    ck_assert_msg(!twice, "'%s' names its rank twice", result.err);
    ck_assert_msg(result.code == 2, "exit status %d: %s", result.code, result.err);
    ck_assert_str_eq(result.out, "");
    ck_assert(!test_exists(path));
    base_free(path);
    program_result_free(&result);
}

/* ---- refusals ------------------------------------------------------------------------ */

START_TEST(ranks_that_do_not_divide_the_parts_are_refused)
{
    refused(test_job_wait(RUN(&mpis[0], 3, "--out", "run")), "run",
            "3 ranks for a step of 2 parts");
}
END_TEST

START_TEST(too_many_threads_are_refused)
{
    refused(
        test_job_wait(test_job_start(dir, &mpis[0], 2, script, getenv("VMOE_PROGRAM"),
                                     "train", "--data", "data", "--val", "data", "--recipe",
                                     recipe, "--out", "run", "--threads", "4000", NULL)),
        "run", "2 ranks with 8000 threads in all on ");
}
END_TEST

START_TEST(the_launcher_of_another_mpi_is_refused)
{
    for (size_t i = 0; i < mpi_count && mpi_count == 2; i++) {
        setenv("VMOE_MPI", mpis[1 - i].name, 1);
        refused(test_job_wait(RUN(&mpis[i], 2, "--out", "run")), "run",
                "start the program with its own mpirun");
    }
    unsetenv("VMOE_MPI");
}
END_TEST

START_TEST(srun_without_its_plug_in_is_refused)
{
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    setenv("SLURM_PROCID", "0", 1);
    program_refused(program_run(dir, TINY, "run", NULL), 2,
                    "srun started 4 tasks without MPI");
    setenv("SLURM_PROCID", "1", 1);
    program_result other = program_run(dir, TINY, "run", NULL);
    ck_assert_int_eq(other.code, 2);
    ck_assert_str_eq(other.err, ""); /* one line for all */
    program_result_free(&other);
    unsetenv("SLURM_STEP_NUM_TASKS");
    unsetenv("SLURM_PROCID");
}
END_TEST

START_TEST(other_data_on_a_rank_are_refused)
{
    char *there = test_path(dir, "other/data");
    char *less = base_text("cd %s && rm -r \"$(ls | head -n 1)\"/*1*", there);

    ck_assert_int_eq(base_folder_make(there, NULL), BASE_OK);
    sample_folder_make(there);
    ck_assert_int_eq(system(less), 0);
    odd("1", "folder");
    refused(test_job_wait(RUN(&mpis[0], 2, "--out", "run")), "run", "data");
    base_free(less);
    base_free(there);
}
END_TEST

START_TEST(another_build_on_a_rank_is_refused)
{
    char *module = base_text("%s/vmoe-mesh-%s.so", getenv("VMOE_MODULES"), mpis[0].name);
    char *copy = base_text("cp %s %s/other-vmoe && echo x >>%s/other-vmoe",
                           getenv("VMOE_PROGRAM"), dir, dir);

    ck_assert_int_eq(system(copy), 0);
    setenv("VMOE_MPI", module, 1);
    odd("1", "program");
    refused(test_job_wait(RUN(&mpis[0], 2, "--out", "run")), "run", "rank 1 (");
    unsetenv("VMOE_MPI");
    base_free(copy);
    base_free(module);
}
END_TEST

/* A node where the module is not installed: its ranks never meet the others. */
START_TEST(a_rank_without_the_module_is_named)
{
    for (size_t i = 0; i < mpi_count; i++) {
        odd("1", "module");
        refused(test_job_wait(RUN(&mpis[i], 2, "--out", "run")), "run",
                "vmoe train: rank 1 (");
    }
}
END_TEST

START_TEST(commands_of_one_rank_are_refused)
{
    program_result result =
        test_job_wait(test_job_start(dir, &mpis[0], 2, script, getenv("VMOE_PROGRAM"),
                                     "eval", "run", "--data", "data", NULL));

    ck_assert_msg(result.code == 2 && test_count(result.err, "vmoe eval: ") == 1 &&
                      strstr(result.err, "2 ranks"),
                  "%d: %s", result.code, result.err);
    program_result_free(&result);
}
END_TEST

START_TEST(the_program_links_no_mpi)
{
    char *command = base_text("ldd %s", getenv("VMOE_PROGRAM")), line[512];
    FILE *libraries = popen(command, "r");
    size_t lines = 0;

    while (libraries && fgets(line, sizeof line, libraries)) {
        ck_assert_msg(!strstr(line, "libmpi") && !strstr(line, "libmpich"), "%s", line);
        lines++;
    }
    ck_assert_uint_gt(lines, 0);
    pclose(libraries);
    base_free(command);
}
END_TEST

/* ---- bytes --------------------------------------------------------------------------- */

START_TEST(ranks_send_what_the_formula_says_to_the_byte)
{
    for (size_t i = 0; i < mpi_count; i++) {
        program_result result = test_job_wait(test_job_start(
            dir, &mpis[i], 3, script, getenv("VMOE_PROGRAM"), "bench", "scale", "vmoe-nano",
            "--batch", "1", "--warmup", "0", "--threads", "1", "--oversubscribe", "--place",
            "keep", "--check", NULL));
        ck_assert_msg(result.code == 0, "%d: %s", result.code, result.err);
        ck_assert_uint_eq(test_count(result.out, "vmoe,scale,vmoe-nano,3,1,1,"), 1);
        program_result_free(&result);
    }
}
END_TEST

/* ---- endings ------------------------------------------------------------------------- */

/* The process of a rank, once the script has noted it. */
static pid_t process_of(size_t rank)
{
    char *path = base_text("%s/pid.%zu", dir, rank), *text = NULL;
    int64_t process = 0;
    size_t bytes = 0;

    for (int tries = 0; tries < 15000 && !test_exists(path); tries++)
        rest(0.02);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 100, NULL), BASE_OK);
    text[strcspn(text, "\n")] = '\0';
    ck_assert(base_parse_int(&process, text) && process > 0);
    base_free(text);
    base_free(path);
    return (pid_t)process;
}

/* Until the file is there and has so many bytes more than now. */
static void await_growth(const char *path, off_t more)
{
    struct stat info = {0};
    const off_t first = stat(path, &info) == 0 ? info.st_size : 0;

    for (int tries = 0; tries < 60000; tries++) {
        if (stat(path, &info) == 0 && info.st_size > first + more)
            return;
        rest(0.01);
    }
    ck_abort_msg("'%s' does not grow", path);
}

static void nobody_left(const pid_t *processes, size_t ranks)
{
    for (size_t rank = 0; rank < ranks; rank++) {
        int tries = 0;
        while ((kill(processes[rank], 0) == 0 || errno != ESRCH) && tries++ < 1500)
            rest(0.02);
        ck_assert_msg(tries < 1500, "the process of rank %zu is still there", rank);
    }
}

/* 750 steps: longer than what all strikes of a test see. */
#define LONG                                                                               \
    "--quiet", "--set", "train.epochs=250", "train.log_every=5",                           \
        "train.checkpoint_every=25", "train.eval_every=125"

/* One of two ranks gets a signal when the run has logged some steps. */
static program_result strike(const test_mpi *mpi, const char *run, size_t rank, int signal,
                             const char *patience)
{
    enum { RANKS = 2 };
    pid_t processes[RANKS];
    char *log = base_text("%s/%s/metrics.jsonl", dir, run);

    for (size_t i = 0; i < RANKS; i++) {
        char *old = base_text("%s/pid.%zu", dir, i);
        unlink(old);
        base_free(old);
    }
    const test_job job =
        RUN(mpi, RANKS, "--out", run, "--resume", "--patience", patience, LONG);
    for (size_t i = 0; i < RANKS; i++)
        processes[i] = process_of(i);
    await_growth(log, 1000);
    kill(processes[rank], signal);
    const program_result result = test_job_wait(job);
    nobody_left(processes, RANKS);
    base_free(log);
    return result;
}

static void whole_run(const test_mpi *mpi, const char *run)
{
    program_result result = test_job_wait(RUN(mpi, 2, "--out", run, "--resume", LONG));

    ck_assert_msg(result.code == 0, "%d: %s", result.code, result.err);
    program_result_free(&result);
}

START_TEST(killed_ranks_end_the_job_and_the_run_goes_on_to_the_same_bytes)
{
    whole_run(&mpis[0], "whole");
    for (size_t i = 0; i < 4; i++) {
        program_result result =
            strike(&mpis[i % mpi_count], "cut", i / 2 % 2, SIGKILL, "60");
        ck_assert_msg(result.code != 0 && test_count(result.err, ") has died") <= 1 &&
                          test_count(result.err, "vmoe train: ") == 0,
                      "%s", result.err);
        program_result_free(&result);
    }
    whole_run(&mpis[mpi_count - 1], "cut");
    same_run("whole", "cut");
    same_metrics("whole", "cut");
}
END_TEST

START_TEST(a_stopped_rank_is_named_and_ends_the_job)
{
    for (size_t i = 0; i < mpi_count; i++) {
        const char *run = i == 0 ? "run" : "second";
        program_result result = strike(&mpis[i], run, 1, SIGSTOP, "6");
        ck_assert_msg(result.code != 0, "%s", result.err);
        ck_assert_msg(test_count(result.err, "vmoe train: rank 1 (") == 1 &&
                          strstr(result.err, ") has been silent for 6 s (step ") &&
                          strstr(result.err, "): the job ends"),
                      "%s", result.err);
        program_result_free(&result);
    }
    whole_run(&mpis[0], "run");
}
END_TEST

START_TEST(a_signal_to_any_rank_saves_and_ends_all)
{
    whole_run(&mpis[0], "whole");
    for (size_t i = 0; i < 2 * mpi_count; i++) {
        program_result result =
            strike(&mpis[i / 2], "cut", i % 2, i % 2 ? SIGUSR1 : SIGTERM, "60");
        char *mark = test_path(dir, "cut/stopped");
        ck_assert_msg(result.code == 1 && test_count(result.err, "vmoe train: ") == 1,
                      "%d: %s", result.code, result.err);
        ck_assert(test_exists(mark));
        base_free(mark);
        program_result_free(&result);
    }
    whole_run(&mpis[0], "cut");
    char *mark = test_path(dir, "cut/stopped");
    ck_assert(!test_exists(mark));
    base_free(mark);
    same_run("whole", "cut");
    same_metrics("whole", "cut");
}
END_TEST

/* A file system of its own, where that may be had. */
static bool small_disk(const char *path)
{
    return base_folder_make(path, NULL) == BASE_OK &&
           mount("vmoe-test", path, "tmpfs", 0, "size=96k") == 0;
}

START_TEST(no_room_for_a_checkpoint_ends_all_with_one_line)
{
    char *disk = test_path(dir, "disk");

    if (!small_disk(disk))
        printf("no file system may be mounted here: a full disk was not tested\n");
    else
        for (size_t i = 0; i < mpi_count; i++) {
            program_result result =
                test_job_wait(RUN(&mpis[i], 2, "--out", "disk/run", LONG));
            ck_assert_msg(result.code == 1 && test_count(result.err, "vmoe train: ") == 1 &&
                              strstr(result.err, "No space left on device"),
                          "%d: %s", result.code, result.err);
            program_result_free(&result);
            char *run = test_path(disk, "run");
            ck_assert_int_eq(base_folder_remove(run, NULL), BASE_OK);
            base_free(run);
        }
    umount(disk);
    base_free(disk);
}
END_TEST

/* The same names, sizes and places, but a picture that rank 1 cannot read. */
START_TEST(unreadable_data_on_a_rank_end_all_with_its_name)
{
    char *there = test_path(dir, "other");
    char *same = base_text("cp -a %s/data %s/ && for f in %s/data/*/0.png; do "
                           "n=$(stat -c %%s \"$f\"); head -c $n /dev/zero >\"$f.0\"; "
                           "touch -r \"$f\" \"$f.0\"; mv \"$f.0\" \"$f\"; done",
                           dir, there, there);

    ck_assert_int_eq(base_folder_make(there, NULL), BASE_OK);
    ck_assert_int_eq(system(same), 0);
    odd("1", "folder");
    program_result result = test_job_wait(RUN(&mpis[0], 2, "--out", "run", "--strict"));
    ck_assert_msg(result.code != 0 && test_count(result.err, "vmoe train: ") == 1 &&
                      strstr(result.err, "vmoe train: rank 1 (") &&
                      strstr(result.err, "bad sample: data/"),
                  "%d: %s", result.code, result.err);
    program_result_free(&result);
    /* without --strict they are replaced, and counted wherever they were met */
    result = test_job_wait(
        RUN(&mpis[0], 2, "--out", "again", "--set", "train.epochs=4", "data.max_bad=1"));
    ck_assert_msg(result.code == 0 && strstr(result.err, "0 damaged but used, ") &&
                      !strstr(result.err, " 0 unreadable and replaced"),
                  "%d: %s", result.code, result.err);
    program_result_free(&result);
    base_free(same);
    base_free(there);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_ranks_faults");
    TCase *refusals = tcase_create("refusals"), *endings = tcase_create("endings");

    mpi_count = test_mpi_find(mpis);
    if (mpi_count == 0) {
        printf("skipped: neither Open MPI nor MPICH\n");
        return TEST_SKIP;
    }
    tcase_set_timeout(refusals, 1200);
    tcase_set_timeout(endings, 3600);
    tcase_add_checked_fixture(refusals, ranks_setup, ranks_teardown);
    tcase_add_checked_fixture(endings, ranks_setup, ranks_teardown);
    tcase_add_test(refusals, ranks_that_do_not_divide_the_parts_are_refused);
    tcase_add_test(refusals, too_many_threads_are_refused);
    tcase_add_test(refusals, the_launcher_of_another_mpi_is_refused);
    tcase_add_test(refusals, srun_without_its_plug_in_is_refused);
    tcase_add_test(refusals, other_data_on_a_rank_are_refused);
    tcase_add_test(refusals, another_build_on_a_rank_is_refused);
    tcase_add_test(refusals, a_rank_without_the_module_is_named);
    tcase_add_test(refusals, commands_of_one_rank_are_refused);
    tcase_add_test(refusals, the_program_links_no_mpi);
    tcase_add_test(refusals, ranks_send_what_the_formula_says_to_the_byte);
    tcase_add_test(endings, killed_ranks_end_the_job_and_the_run_goes_on_to_the_same_bytes);
    tcase_add_test(endings, a_stopped_rank_is_named_and_ends_the_job);
    tcase_add_test(endings, a_signal_to_any_rank_saves_and_ends_all);
    tcase_add_test(endings, unreadable_data_on_a_rank_end_all_with_its_name);
    tcase_add_test(endings, no_room_for_a_checkpoint_ends_all_with_one_line);
    suite_add_tcase(suite, refusals);
    suite_add_tcase(suite, endings);
    return test_run(suite);
}
