/* test_mpi.h - jobs of several processes, started by the launchers that are installed. */
#ifndef TESTS_TEST_MPI_H
#define TESTS_TEST_MPI_H

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/test_program.h"

/* A launcher that can be used here. */
typedef struct test_mpi {
    const char *name;     /* of the module */
    const char *launcher; /* the program */
    const char *more;     /* a word of its own, or NULL */
} test_mpi;

static inline bool test_mpi_in_path(const char *program)
{
    const char *path = getenv("PATH");
    char file[1024];

    while (path && *path) {
        const size_t length = strcspn(path, ":");
        snprintf(file, sizeof file, "%.*s/%s", (int)length, path, program);
        if (access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

/* Fills out [2] with the MPIs that are installed, module and launcher; returns how many,
 * and says which are missing. Sets what launchers need in a container. */
static inline size_t test_mpi_find(test_mpi *out)
{
    static const test_mpi known[] = {{"openmpi", "mpirun.openmpi", "--oversubscribe"},
                                     {"mpich", "mpirun.mpich", NULL}};
    const char *modules = getenv("VMOE_MODULES");
    size_t count = 0;
    char file[1024];

    /* components that MPI unloads leave leaks without names */
    const char *sanitizer = getenv("ASAN_OPTIONS");
    snprintf(file, sizeof file, "%s%sdetect_leaks=0", sanitizer ? sanitizer : "",
             sanitizer ? ":" : "");
    setenv("ASAN_OPTIONS", file, 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 1);
    setenv("OMPI_MCA_plm_rsh_agent", "false", 0); /* one machine: nothing is logged in to */
    setenv("TMPDIR", "/tmp", 1);                  /* paths of sockets are short */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        snprintf(file, sizeof file, "%s/vmoe-mesh-%s.so", modules ? modules : ".",
                 known[i].name);
        if (access(file, R_OK) == 0 && test_mpi_in_path(known[i].launcher))
            out[count++] = known[i];
        else
            printf("no %s here: jobs with it were not tested\n", known[i].launcher);
    }
    return count;
}

typedef struct test_job {
    pid_t launcher;
    const char *dir;
} test_job;

/* launcher -n RANKS PROGRAM words ..., up to NULL; output by way of files in dir. */
static inline test_job test_job_start(const char *dir, const test_mpi *mpi, size_t ranks,
                                      const char *program, ...)
{
    const char *words[PROGRAM_WORDS] = {mpi->launcher, "-n"};
    char number[32];
    size_t count = 2;
    va_list list;

    snprintf(number, sizeof number, "%zu", ranks);
    words[count++] = number;
    if (mpi->more)
        words[count++] = mpi->more;
    words[count++] = program;
    va_start(list, program);
    const pid_t child = program_start(dir, words, count, list);
    va_end(list);
    return (test_job){child, dir};
}

/* Waits for the launcher; one that does not end (minutes: a machine may be slow) fails the
 * test. */
static inline program_result test_job_wait(test_job job)
{
    const struct timespec moment = {0, 20000000};
    const double began = base_seconds(), most = 900;
    int state = 0;

    while (waitpid(job.launcher, &state, WNOHANG) == 0) {
        if (base_seconds() - began > most) {
            kill(job.launcher, SIGTERM);
            sleep(5);
            kill(job.launcher, SIGKILL);
            waitpid(job.launcher, &state, 0);
            char *err = test_path(job.dir, "stderr.txt"), *text = program_text(err);
            ck_abort_msg("the job does not end: %s", text);
        }
        nanosleep(&moment, NULL);
    }
    return program_left(job.dir, state);
}

/* How often text holds the words. */
static inline size_t test_count(const char *text, const char *words)
{
    size_t count = 0;

    for (text = strstr(text, words); text; text = strstr(text + 1, words))
        count++;
    return count;
}

#endif
