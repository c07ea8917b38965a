/* test_mesh_mpi.c - meshes of processes: mesh_job under the mpirun of Open MPI and of
 * MPICH, what it says and how it ends. Skipped where neither is installed. */
#include "tests/test_mpi.h"
#include "tests/test_run.h"

#include <ctype.h>
#include <errno.h>

static test_mpi mpis[2];
static size_t mpi_count;
static const char *job_program;

static program_result run(const char *dir, const test_mpi *mpi, size_t ranks,
                          const char *word, const char *more)
{
    return test_job_wait(test_job_start(dir, mpi, ranks, job_program, word, more, NULL));
}

/* One line of the job, on rank 0 alone, and this status. */
static void says_once(program_result result, int code, const char *line)
{
    ck_assert_msg(test_count(result.err, "job: ") == 1 && strstr(result.err, line),
                  "'%s' does not say '%s' once", result.err, line);
    ck_assert_msg(result.code == code, "exit status %d: %s", result.code, result.err);
    program_result_free(&result);
}

START_TEST(bytes_arrive_and_are_counted)
{
    char *dir = test_folder_make();
    const char *words[2] = {"Open MPI v", "MPICH "}; /* and a number */
    char begin[64], end[64];

    for (size_t i = 0; i < mpi_count; i++)
        for (size_t ranks = 2; ranks <= 4; ranks++) {
            program_result result = run(dir, &mpis[i], ranks, "transfers", NULL);
            ck_assert_msg(result.code == 0, "%d: %s", result.code, result.err);
            snprintf(begin, sizeof begin, "%zu ranks on 1 nodes, %s", ranks,
                     words[strcmp(mpis[i].name, "mpich") == 0]);
            snprintf(end, sizeof end, ": 0 wrong, %zu bytes sent\n",
                     2 * (ranks - 1) * ((3u << 20) + 5));
            ck_assert_msg(strstr(result.out, begin) == result.out &&
                              isdigit((unsigned char)result.out[strlen(begin)]) &&
                              strstr(result.out, end) != NULL,
                          "'%s', expected '%s ... %s'", result.out, begin, end);
            program_result_free(&result);
        }
    test_folder_remove(dir);
}
END_TEST

START_TEST(a_launched_program_alone_opens_nothing)
{
    char *dir = test_folder_make();

    for (size_t i = 0; i < mpi_count; i++) {
        program_result result = run(dir, &mpis[i], 1, "transfers", NULL);
        ck_assert_str_eq(result.out, "1 ranks on 1 nodes, alone: 0 wrong, 0 bytes sent\n");
        program_result_free(&result);
    }
    test_folder_remove(dir);
}
END_TEST

START_TEST(a_failure_ends_all_with_one_line)
{
    char *dir = test_folder_make();
    char line[128];

    for (size_t i = 0; i < mpi_count; i++)
        for (size_t ranks = 2; ranks <= 3; ranks++) {
            snprintf(line, sizeof line, "job: rank %zu (", ranks - 1);
            program_result result = run(dir, &mpis[i], ranks, "fails", NULL);
            ck_assert_ptr_nonnull(strstr(result.err, "): 'pictures.tar' cannot be read"));
            says_once(result, 1, line);
        }
    test_folder_remove(dir);
}
END_TEST

START_TEST(disagreement_is_refused)
{
    char *dir = test_folder_make();

    for (size_t i = 0; i < mpi_count; i++)
        says_once(run(dir, &mpis[i], 3, "disagrees", NULL), 2,
                  "has the recipe 'b', rank 0");
    test_folder_remove(dir);
}
END_TEST

START_TEST(too_many_threads_on_a_node_are_refused)
{
    char *dir = test_folder_make();

    for (size_t i = 0; i < mpi_count; i++)
        says_once(run(dir, &mpis[i], 2, "places", "5000"), 2,
                  "2 ranks with 10000 threads in all on ");
    test_folder_remove(dir);
}
END_TEST

/* Open MPI binds a rank alone to one core. */
START_TEST(a_rank_alone_has_all_processors)
{
    char *dir = test_folder_make();
    int ids[1024];
    const size_t allowed = base_cpus_allowed(ids, 1024);

    for (size_t i = 0; i < mpi_count; i++) {
        program_result result = run(dir, &mpis[i], 1, "places", NULL);
        ck_assert_msg(result.code == 0 && strtoul(result.out, NULL, 10) >= allowed,
                      "%d: %s, %s has %zu", result.code, result.err, result.out, allowed);
        program_result_free(&result);
    }
    test_folder_remove(dir);
}
END_TEST

START_TEST(another_mpis_launcher_is_refused)
{
    char *dir = test_folder_make();

    for (size_t i = 0; i < mpi_count && mpi_count == 2; i++) {
        setenv("VMOE_MPI", mpis[1 - i].name, 1);
        says_once(run(dir, &mpis[i], 2, "transfers", NULL), 2,
                  "knows of 1: start the program with its own mpirun");
    }
    for (size_t i = 0; i < mpi_count; i++) {
        setenv("VMOE_MPI", "nix", 1);
        says_once(run(dir, &mpis[i], 2, "transfers", NULL), 2,
                  "built without the module 'nix'");
    }
    unsetenv("VMOE_MPI");
    test_folder_remove(dir);
}
END_TEST

/* ---- ranks that die ------------------------------------------------------------------ */

/* The process of a rank, once it has begun its steps. */
static pid_t process_of(const char *dir, size_t rank)
{
    const struct timespec moment = {0, 20000000};
    char name[32], *path;
    int64_t process = 0;

    snprintf(name, sizeof name, "%zu", rank);
    path = test_path(dir, name);
    for (int tries = 0; tries < 15000 && process == 0; tries++) {
        FILE *file = fopen(path, "r");
        char line[64] = "";
        if (file && fgets(line, sizeof line, file) && strchr(line, '\n')) {
            *strchr(line, '\n') = '\0';
            base_parse_int(&process, line);
        }
        if (file)
            fclose(file);
        nanosleep(&moment, NULL);
    }
    ck_assert_msg(process > 0, "rank %zu has not begun", rank);
    base_free(path);
    return (pid_t)process;
}

/* No process of the job is left, but for a moment. */
static void nobody_left(const pid_t *processes, size_t ranks)
{
    const struct timespec moment = {0, 20000000};

    for (size_t rank = 0; rank < ranks; rank++) {
        int tries = 0;
        while ((kill(processes[rank], 0) == 0 || errno != ESRCH) && tries++ < 1500)
            nanosleep(&moment, NULL);
        ck_assert_msg(tries < 1500, "the process of rank %zu is still there", rank);
    }
}

/* One of three ranks gets a signal in the middle of its steps. */
static program_result strike(const char *dir, const test_mpi *mpi, size_t rank, int signal)
{
    enum { RANKS = 3 };
    pid_t processes[RANKS];
    const struct timespec while_steps_go = {signal == SIGSTOP ? 2 : 0, 200000000};
    const test_job job = test_job_start(dir, mpi, RANKS, job_program, "steps", dir, NULL);

    for (size_t i = 0; i < RANKS; i++)
        processes[i] = process_of(dir, i);
    nanosleep(&while_steps_go, NULL);
    kill(processes[rank], signal);
    const program_result result = test_job_wait(job);
    nobody_left(processes, RANKS);
    return result;
}

/* One that is left says who, unless the launcher's kill is faster: MPICH's may be, Open
 * MPI's comes after two seconds. */
START_TEST(a_killed_rank_ends_the_job_and_is_named)
{
    for (size_t i = 0; i < mpi_count; i++) {
        size_t named = 0;
        for (size_t rank = 0; rank < 3; rank++) {
            char *dir = test_folder_make(), line[64];
            program_result result = strike(dir, &mpis[i], rank, SIGKILL);
            const size_t lines = test_count(result.err, "job: ");
            snprintf(line, sizeof line, "job: rank %zu (", rank);
            ck_assert_msg(result.code != 0 && lines <= 1, "%s", result.err);
            if (lines == 1)
                ck_assert_msg(strstr(result.err, line) && strstr(result.err, ") has died"),
                              "%s", result.err);
            named += lines;
            program_result_free(&result);
            test_folder_remove(dir);
        }
        ck_assert_msg(named > 0 || strcmp(mpis[i].name, "openmpi") != 0,
                      "nobody said that a rank had died");
    }
}
END_TEST

START_TEST(a_stopped_rank_is_named_and_ends_the_job)
{
    setenv("PATIENCE", "6", 1);
    for (size_t i = 0; i < mpi_count; i++) {
        char *dir = test_folder_make();
        program_result result = strike(dir, &mpis[i], 2, SIGSTOP);
        ck_assert_msg(result.code != 0, "%s", result.err);
        ck_assert_msg(strstr(result.err, "job: rank 2 (") &&
                          strstr(result.err, ") has been silent for 6 s (step ") &&
                          strstr(result.err, ", exchange): the job ends"),
                      "%s", result.err);
        program_result_free(&result);
        test_folder_remove(dir);
    }
    unsetenv("PATIENCE");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh_mpi");
    TCase *core = tcase_create("core"), *faults = tcase_create("faults");

    job_program = getenv("VMOE_MESH_JOB");
    mpi_count = test_mpi_find(mpis);
    if (mpi_count == 0 || !job_program) {
        printf("skipped: neither Open MPI nor MPICH\n");
        return TEST_SKIP;
    }
    tcase_set_timeout(core, 600);
    tcase_set_timeout(faults, 600);
    tcase_add_test(core, bytes_arrive_and_are_counted);
    tcase_add_test(core, a_launched_program_alone_opens_nothing);
    tcase_add_test(core, a_failure_ends_all_with_one_line);
    tcase_add_test(core, disagreement_is_refused);
    tcase_add_test(core, too_many_threads_on_a_node_are_refused);
    tcase_add_test(core, a_rank_alone_has_all_processors);
    tcase_add_test(core, another_mpis_launcher_is_refused);
    tcase_add_test(faults, a_killed_rank_ends_the_job_and_is_named);
    tcase_add_test(faults, a_stopped_rank_is_named_and_ends_the_job);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, faults);
    return test_run(suite);
}
