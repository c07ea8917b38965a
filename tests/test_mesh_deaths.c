/* test_mesh_deaths.c - processes of one node that are killed: which rank watches which, and
 * who says it. The ranks are children that wait for their end; the mesh has no
 * transport. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mesh/mesh_internal.h"
#include "tests/test_run.h"

enum { RANKS = 4 };

static mesh_process processes[RANKS];
static pid_t child[RANKS];
static int leash[2]; /* whoever reads its end leaves */

static mesh_courier courier;
static mesh_job *mesh;
static atomic_int lines;
static char line[256];

static void keep_line(void *user, const char *text)
{
    (void)user;
    snprintf(line, sizeof line, "%s", text);
    atomic_fetch_add(&lines, 1);
}

/* A process that can be watched, and says how. */
static void child_main(int out)
{
    char byte;
    int listener;
    const mesh_process own = mesh_process_here(&listener);

    close(leash[1]);
    if (write(out, &own, sizeof own) == (ssize_t)sizeof own)
        while (read(leash[0], &byte, 1) > 0)
            ;
    _exit(0);
}

static void setup(void)
{
    int told[2];

    ck_assert_int_eq(pipe(leash), 0);
    for (size_t i = 0; i < RANKS; i++) {
        ck_assert_int_eq(pipe(told), 0);
        child[i] = fork();
        ck_assert_int_ge(child[i], 0);
        if (child[i] == 0)
            child_main(told[1]);
        close(told[1]);
        ck_assert_int_eq(read(told[0], &processes[i], sizeof processes[i]),
                         sizeof processes[i]);
        close(told[0]);
    }
}

static void child_end(size_t rank)
{
    if (child[rank] > 0) {
        kill(child[rank], SIGKILL);
        waitpid(child[rank], NULL, 0);
    }
    child[rank] = 0;
}

static void teardown(void)
{
    for (size_t i = 0; i < RANKS; i++)
        child_end(i);
    close(leash[0]);
    close(leash[1]);
}

/* This rank of four, the first `local` on one node. */
static void rank_make(size_t rank, size_t local)
{
    const mesh_options options = {.log = keep_line};

    mesh = mesh_make(RANKS, &options, NULL);
    ck_assert_ptr_nonnull(mesh);
    mesh->rank = rank;
    for (size_t i = 0; i < RANKS; i++) {
        mesh->members[i].node = i / local;
        snprintf(mesh->members[i].host, sizeof mesh->members[i].host, "n%zu", i / local);
    }
    mesh_number(mesh);
    memset(&courier, 0, sizeof courier);
    courier.mesh = mesh;
    courier.health = base_alloc(RANKS, sizeof *courier.health);
    ck_assert_ptr_nonnull(courier.health);
    pthread_mutex_init(&courier.lock, NULL);
    pthread_cond_init(&courier.work, NULL);
    mesh->courier = &courier;
    atomic_store(&lines, 0);
    line[0] = 0;
}

static void rank_free(void)
{
    base_free(courier.health);
    pthread_cond_destroy(&courier.work);
    pthread_mutex_destroy(&courier.lock);
    mesh->courier = NULL;
    mesh_close(mesh);
}

/* Waits for the end of the job, a minute at most. */
static void wait_for_failure(void)
{
    const struct timespec moment = {0, 5000000};

    for (int turns = 0; turns < 12000 && !mesh_failed(mesh, NULL); turns++)
        nanosleep(&moment, NULL);
}

static size_t files_open(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* What is gone is closed once: nobody's file that has its number now. */
static void files_stay(void)
{
    const struct timespec moment = {0, 1000000};

    for (int turn = 0; turn < 20; turn++) {
        const int fd = open("/dev/null", O_RDONLY);
        nanosleep(&moment, NULL);
        ck_assert_int_eq(close(fd), 0);
    }
}

/* The first rank of a node speaks of all others, the second one of the first; of others it
 * hears only. */
START_TEST(who_dies_is_told_by_its_neighbour)
{
    static const struct {
        size_t own, local, dies;
        uint64_t step;
        bool says;
        const char *text;
    } cases[] = {
        {0, 4, 1, 0, true, "rank 1 (n0) has died: the job ends"},
        {0, 4, 3, 4, true, "rank 3 (n0) has died (step 4, computing): the job ends"},
        {1, 4, 0, 9, true, "rank 0 (n0) has died (step 9, computing): the job ends"},
        {1, 4, 2, 9, false, "rank 2 (n0) has died (step 9, computing): the job ends"},
        {1, 4, 3, 0, false, "rank 3 (n0) has died: the job ends"},
        {2, 2, 3, 0, true, "rank 3 (n1) has died: the job ends"},
        {3, 2, 2, 0, true, "rank 2 (n1) has died: the job ends"},
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        base_error err = {0};
        setup();
        rank_make(cases[c].own, cases[c].local);
        atomic_store(&courier.health[cases[c].dies].step, cases[c].step);
        atomic_store(&courier.health[cases[c].dies].phase, MESH_PHASE_COMPUTING);
        const size_t files = files_open();
        mesh_deaths *deaths = mesh_deaths_watch(mesh, processes);
        ck_assert_ptr_nonnull(deaths);
        ck_assert(!mesh_failed(mesh, NULL));
        child_end(cases[c].dies);
        wait_for_failure();
        files_stay();
        mesh_deaths_end(deaths);
        ck_assert(mesh_failed(mesh, &err));
        ck_assert_int_eq(err.status, BASE_INTERNAL);
        ck_assert_str_eq(err.text, cases[c].text);
        ck_assert_int_eq(atomic_load(&lines), cases[c].says);
        ck_assert_str_eq(line, cases[c].says ? cases[c].text : "");
        ck_assert(mesh_said(mesh));
        ck_assert_uint_eq(files_open(), files);
        rank_free();
        teardown();
    }
}
END_TEST

/* Ranks of other nodes, and who has said good-bye, are no loss. */
START_TEST(others_are_not_missed)
{
    base_error err = {0};

    setup();
    rank_make(0, 3);
    atomic_store(&courier.health[1].left, true);
    mesh_deaths *deaths = mesh_deaths_watch(mesh, processes);
    ck_assert_ptr_nonnull(deaths);
    child_end(3);
    child_end(1);
    child_end(2); /* the last one is the one that counts */
    wait_for_failure();
    mesh_deaths_end(deaths);
    ck_assert(mesh_failed(mesh, &err));
    ck_assert_str_eq(err.text, "rank 2 (n0) has died: the job ends");
    ck_assert_int_eq(atomic_load(&lines), 1);
    rank_free();
    teardown();
}
END_TEST

/* From the third rank of a node on nobody watches; nor where there is nobody to watch, who
 * cannot be seen, or is another than he says. What was open stays open, number 0 too. */
START_TEST(some_have_nobody_to_watch)
{
    const int zero = open("/dev/null", O_RDONLY);

    if (zero > 0) {
        dup2(zero, 0);
        close(zero);
    }
    setup();
    for (int way = 0; way < 6; way++) {
        rank_make(way < 2 ? 2 + (size_t)way : 0, way == 2 ? 1 : 4);
        const size_t files = files_open();
        mesh_process seen[RANKS];
        memcpy(seen, processes, sizeof seen);
        for (size_t i = 0; i < RANKS; i++) {
            seen[i].bytes = way == 3 ? 0 : seen[i].bytes;
            seen[i].id += way == 4;
            seen[i].name[1] = way == 5 ? '~' : seen[i].name[1];
        }
        ck_assert_ptr_null(mesh_deaths_watch(mesh, seen));
        ck_assert_uint_eq(files_open(), files);
        ck_assert_int_ge(fcntl(0, F_GETFD), 0);
        rank_free();
    }
    teardown();
    mesh_deaths_end(NULL);
}
END_TEST

/* Nobody died: the watch ends when it is asked to. */
START_TEST(a_watch_ends_when_it_is_asked_to)
{
    int listener;
    const size_t before = files_open();
    const mesh_process own = mesh_process_here(&listener);

    ck_assert_int_eq(own.id, getpid());
    ck_assert(own.bytes > 1 && own.bytes <= sizeof own.name);
    ck_assert_int_eq(own.name[0], 0); /* in no folder */
    ck_assert_int_ge(listener, 0);
    ck_assert(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    close(listener);
    setup();
    rank_make(1, 4);
    mesh_deaths *deaths = mesh_deaths_watch(mesh, processes);
    ck_assert_ptr_nonnull(deaths);
    mesh_deaths_end(deaths);
    ck_assert(!mesh_failed(mesh, NULL));
    ck_assert_int_eq(atomic_load(&lines), 0);
    rank_free();
    teardown();
    ck_assert_uint_eq(files_open(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh_deaths");
    TCase *core = tcase_create("core");

    tcase_add_test(core, who_dies_is_told_by_its_neighbour);
    tcase_add_test(core, others_are_not_missed);
    tcase_add_test(core, some_have_nobody_to_watch);
    tcase_add_test(core, a_watch_ends_when_it_is_asked_to);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
