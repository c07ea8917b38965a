/* waiting.c - what threads do that wait for one another: spin while they have their
 * processors to themselves, sleep where they do not. On a machine that others use too, or
 * that has fewer processors than it seems, a thread that spins keeps the processor from the
 * one it waits for: steps take many times as long.
 *
 * Decided by measurement: threads meet a few thousand times, and the share of the time that
 * meetings lose which take longer than any processor needs is the share that somebody else
 * has. Once when a command begins, by threads of our own (a program that forks must not
 * have used OpenMP's yet); then now and then between steps by the network's own. OpenMP
 * reads its wait policy when the program is loaded, but GNU's shortens its spinning
 * whenever there are more threads than processors (config/linux/wait.h, do_spin): a team
 * that is made and never used switches to that, its end switches back. Where the user says
 * how to wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT) nothing is measured and nothing done; more
 * threads than processors sleep without a measurement.
 * Relied on elsewhere: how threads wait changes no result. */
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/app_internal.h"

/* Of the probes: how long; from when on a meeting was not the processors' fault; shares of
 * time that switch to sleeping and back; seconds between two probes while the network
 * works. */
static const double first_seconds = 0.02, later_seconds = 0.004, slow_meeting = 0.0002;
static const double sleep_from = 0.2, spin_below = 0.05, pause_seconds = 10;
enum { CALM = 3 /* probes in a row that have to be quiet before threads spin again */ };

/* ---- the probe ----------------------------------------------------------------------- */

typedef struct meeting {
    atomic_uint count;   /* threads; 0: not all are there */
    atomic_uint arrived; /* of all rounds together */
    atomic_uint last;    /* round */
    double seconds;      /* how long to go on */
    double lost;         /* share of the time; of the leader */
} meeting;

/* Until everybody has come to the round: at full speed at first, then letting others in. */
static void wait_round(meeting *m, unsigned round)
{
    const unsigned all = atomic_load(&m->count) * round;

    for (unsigned turns = 0; atomic_load(&m->arrived) < all; turns++)
        if (turns > 20000)
            sched_yield();
}

static void meet(meeting *m, bool leader)
{
    double begin = 0, before = 0, lost = 0;

    for (unsigned round = 1;; round++) {
        if (leader) {
            const double now = base_seconds();
            if (round <= 2) /* the first round is the way to work */
                begin = now;
            else if (now - before > slow_meeting)
                lost += now - before;
            before = now;
            if (round > 2 && now - begin >= m->seconds) {
                m->lost = lost / (now - begin);
                atomic_store(&m->last, round); /* seen by all who have met in it */
            }
        }
        atomic_fetch_add(&m->arrived, 1);
        wait_round(m, round);
        if (atomic_load(&m->last) == round)
            return;
    }
}

static void *meet_thread(void *user)
{
    meeting *m = user;

    while (atomic_load(&m->count) == 0)
        sched_yield();
    meet(m, false);
    return NULL;
}

/* The share that threads lose when there are so many, 0..1; 0 for one thread. */
static double lost_by_threads(size_t threads)
{
    pthread_t *list = base_alloc(threads, sizeof *list);
    meeting m = {.seconds = first_seconds};
    size_t made = 0;

    while (list && made + 1 < threads &&
           pthread_create(&list[made], NULL, meet_thread, &m) == 0)
        made++;
    if (made > 0) {
        atomic_store(&m.count, (unsigned)made + 1);
        meet(&m, true);
    }
    for (size_t i = 0; i < made; i++)
        pthread_join(list[i], NULL);
    base_free(list);
    return m.lost;
}

/* The same of the network's own threads. */
static double lost_by_team(void)
{
    meeting m = {.seconds = later_seconds};

#pragma omp parallel
    {
#pragma omp single
        atomic_store(&m.count, (unsigned)omp_get_num_threads());
        meet(&m, omp_get_thread_num() == 0);
    }
    return m.lost;
}

/* ---- the switch ---------------------------------------------------------------------- */

/* The one state of a process: how its threads wait. Only the main thread touches it. */
static struct {
    bool watched, asleep;
    double lost, probed; /* the last probe's result and time */
    int calm;
    pthread_t crowd;
    atomic_int crowd_size;
    sem_t go_home;
} now;

/* Its team makes more threads than there are processors; they sleep until the thread ends
 * and takes them along. */
static void *crowd_gather(void *user)
{
    (void)user;
#pragma omp parallel num_threads(omp_get_num_procs() + 1)
    atomic_fetch_add(&now.crowd_size, 1);
    while (sem_wait(&now.go_home) != 0)
        ;
    return NULL;
}

static void sleep_set(bool asleep)
{
    if (asleep == now.asleep)
        return;
    if (asleep) {
        if (sem_init(&now.go_home, 0, 0) != 0 ||
            pthread_create(&now.crowd, NULL, crowd_gather, NULL) != 0)
            return;
    } else {
        sem_post(&now.go_home);
        pthread_join(now.crowd, NULL);
        sem_destroy(&now.go_home);
    }
    now.asleep = asleep;
}

void app_waiting_begin(size_t threads)
{
    now.watched = threads > 1 && !getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT");
    if (!now.watched)
        return;
    if (threads > (size_t)omp_get_num_procs()) { /* nothing to measure, now or later */
        now.watched = false;
        sleep_set(true);
        return;
    }
    now.lost = lost_by_threads(threads);
    now.probed = base_seconds();
    sleep_set(now.lost >= sleep_from);
}

bool app_waiting_watch(void)
{
    const bool before = now.asleep;
    const double time = now.watched ? base_seconds() : 0;

    if (!now.watched || time - now.probed < pause_seconds || omp_in_parallel() ||
        gettid() != getpid())
        return false;
    now.lost = lost_by_team();
    now.probed = time;
    now.calm = now.lost < spin_below ? now.calm + 1 : 0;
    sleep_set(now.asleep ? now.calm < CALM : now.lost >= sleep_from);
    return now.asleep != before;
}

const char *app_waiting_text(char *out, size_t out_bytes)
{
    out[0] = '\0';
    if (now.asleep && !now.watched)
        snprintf(out, out_bytes, ", asleep while they wait: more than processors");
    else if (now.asleep)
        snprintf(out, out_bytes,
                 ", asleep while they wait: others have %.0f %% of the time",
                 100 * now.lost);
    return out;
}

void app_waiting_tell(const app_common *common)
{
    char text[96];

    app_waiting_begin((size_t)common->threads);
    if (now.asleep)
        app_note(common, "%-12s%lld threads%s", "machine", (long long)common->threads,
                 app_waiting_text(text, sizeof text));
}
