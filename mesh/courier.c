/* courier.c - the one thread of a rank that talks to the transport.
 *
 * Work arrives in a queue; the courier posts it and tests what is under way until it has
 * arrived, and between the tests it minds the notes of control.c. One thread for all calls
 * is all that MPI_THREAD_FUNNELED asks for, nothing ever blocks inside MPI, and transfers
 * go on while the network computes (Open MPI has no thread of its own for that). Free to
 * change: how it waits. Relied on elsewhere: parcels are posted in the order of sending;
 * after a failure every ticket fails, and only once nothing writes to its memory any more
 * (or the job is ended by force when it closes). */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mesh/mesh_internal.h"

/* Without a processor of its own the courier yields between two tests while somebody waits,
 * and after so long without anything arriving it sleeps: a courier that spins on a shared
 * core doubles the time of what it shares it with. While nobody waits it sleeps at once, a
 * share of the time that nothing has arrived. */
static const double yield_seconds = 2e-3, mind_seconds = 1e-3, nap_share = 1.0 / 16;
enum {
    NAP_NANOSECONDS = 50000,
    NAP_MOST = 500000,
    GATHERS_FLYING = 2,
    IDLE_NANOSECONDS = 10000000,
    LEAVE_SECONDS = 3
};

/* ---- parcels and tickets ------------------------------------------------------------- */

mesh_parcel *mesh_parcel_take(mesh_courier *courier, size_t count)
{
    pthread_mutex_lock(&courier->lock);
    mesh_parcel *parcel = courier->idle;
    if (parcel)
        courier->idle = parcel->next;
    pthread_mutex_unlock(&courier->lock);
    if (!parcel)
        parcel = base_alloc(1, sizeof *parcel);
    if (parcel && parcel->room < count) {
        base_free(parcel->messages);
        parcel->messages = base_alloc(count, sizeof *parcel->messages);
        parcel->room = parcel->messages ? count : 0;
        if (!parcel->messages) {
            base_free(parcel);
            return NULL;
        }
    }
    if (parcel) {
        parcel->next = NULL;
        parcel->operation = NULL;
        parcel->count = 0;
    }
    return parcel;
}

void mesh_parcel_give_back(mesh_courier *courier, mesh_parcel *parcel)
{
    pthread_mutex_lock(&courier->lock);
    parcel->next = courier->idle;
    courier->idle = parcel;
    pthread_mutex_unlock(&courier->lock);
}

void mesh_parcel_send(mesh_courier *courier, mesh_parcel *parcel, mesh_ticket *ticket)
{
    parcel->ticket = ticket;
    pthread_mutex_lock(&courier->lock);
    *courier->queued_end = parcel;
    courier->queued_end = &parcel->next;
    atomic_store(&courier->has_work, true);
    pthread_cond_signal(&courier->work);
    pthread_mutex_unlock(&courier->lock);
}

/* The ticket's owner may go on; the parcel is its again. */
static void deliver(mesh_courier *courier, mesh_parcel *parcel, int state)
{
    pthread_mutex_lock(&courier->lock);
    atomic_store(&parcel->ticket->state, state);
    pthread_cond_broadcast(&courier->news);
    pthread_mutex_unlock(&courier->lock);
}

bool mesh_courier_fail(mesh_courier *courier, const base_error *why, bool tell, bool said)
{
    pthread_mutex_lock(&courier->lock);
    const bool first = !atomic_load(&courier->failed);
    if (first) {
        courier->failure = *why;
        courier->telling = tell;
        courier->said = said;
        atomic_store(&courier->failed, true);
        atomic_store(&courier->has_work, true);
        pthread_cond_signal(&courier->work);
    }
    pthread_mutex_unlock(&courier->lock);
    return first;
}

/* ---- the thread ---------------------------------------------------------------------- */

static void fail_transport(mesh_courier *courier, const mesh_why *why)
{
    base_error err;

    courier->dirty = true;
    base_fail(&err, BASE_INTERNAL, "%s", why->text);
    mesh_courier_fail(courier, &err, true, false);
}

/* Whether this one waits for others: what is gathered goes nearly one after the other. The
 * first is wanted first, and Open MPI over TCP says of a message that it is whole behind
 * all that has been posted since; a second one keeps the line busy meanwhile. */
static bool held_back(const mesh_courier *courier, const mesh_parcel *parcel)
{
    size_t others = 0;

    if (!parcel || parcel->ticket->kind != MESH_KIND_GATHER ||
        atomic_load(&courier->failed))
        return false;
    for (const mesh_parcel *p = courier->flying; p; p = p->next)
        others += p->ticket->kind == MESH_KIND_GATHER;
    return others >= GATHERS_FLYING;
}

/* What has been queued goes on its way. True: there was something. */
static bool post_queued(mesh_courier *courier)
{
    bool any = false;

    if (!atomic_load(&courier->has_work))
        return false;
    for (;;) {
        pthread_mutex_lock(&courier->lock);
        mesh_parcel *parcel = courier->queued;
        if (held_back(courier, parcel)) {
            pthread_mutex_unlock(&courier->lock);
            return any;
        }
        if (parcel) {
            courier->queued = parcel->next;
            parcel->next = NULL;
        }
        if (!courier->queued)
            courier->queued_end = &courier->queued;
        atomic_store(&courier->has_work, courier->queued != NULL);
        pthread_mutex_unlock(&courier->lock);
        if (!parcel)
            return any;
        any = true;
        mesh_why why = {""};
        if (atomic_load(&courier->failed)) {
            deliver(courier, parcel, MESH_TICKET_FAILED);
        } else if (!courier->engine->post(courier->state, &parcel->operation,
                                          parcel->messages, parcel->count, &why)) {
            fail_transport(courier, &why);
            deliver(courier, parcel, MESH_TICKET_FAILED);
        } else {
            mesh_parcel **end = &courier->flying;
            while (*end)
                end = &(*end)->next;
            *end = parcel;
            parcel->posted = base_seconds();
        }
    }
}

/* Tests all that is under way. True: something has arrived. */
static bool test_flying(mesh_courier *courier)
{
    bool any = false;

    for (mesh_parcel **at = &courier->flying; *at;) {
        mesh_parcel *parcel = *at;
        bool done = false;
        mesh_why why = {""};
        const bool fine =
            courier->engine->test(courier->state, parcel->operation, &done, &why);
        if (fine && !done) {
            at = &parcel->next;
            continue;
        }
        if (!fine)
            fail_transport(courier, &why);
        *at = parcel->next;
        deliver(courier, parcel, fine ? MESH_TICKET_ARRIVED : MESH_TICKET_FAILED);
        any = true;
    }
    return any;
}

/* The job has failed: nothing of it is waited for. */
static void give_up_flying(mesh_courier *courier)
{
    while (courier->flying) {
        mesh_parcel *parcel = courier->flying;
        courier->flying = parcel->next;
        if (!courier->engine->give_up(courier->state, parcel->operation))
            courier->dirty = true;
        deliver(courier, parcel, MESH_TICKET_FAILED);
    }
}

/* Nothing under way: until there is work, or a moment. */
static void rest(mesh_courier *courier)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += IDLE_NANOSECONDS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&courier->lock);
    if (!atomic_load(&courier->has_work) && !courier->closing)
        pthread_cond_timedwait(&courier->work, &courier->lock, &until);
    pthread_mutex_unlock(&courier->lock);
}

static bool asked_to_close(mesh_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    const bool closing = courier->closing && !courier->queued;
    pthread_mutex_unlock(&courier->lock);
    return closing;
}

/* Between two tests of what is under way; nothing has arrived since so many seconds. */
static void pause_between(mesh_courier *courier, double since)
{
    const bool awaited = atomic_load(&courier->awaited) > 0;
    const double wish = 1e9 * nap_share * since;
    const long most = awaited ? NAP_NANOSECONDS : NAP_MOST;
    const struct timespec nap = {0, wish < NAP_NANOSECONDS ? NAP_NANOSECONDS
                                    : wish > (double)most  ? most
                                                           : (long)wish};

    if (courier->mesh->options.spin)
        return;
    if (awaited && since < yield_seconds)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

static void work(mesh_courier *courier)
{
    double moved = base_seconds(), minded = 0;

    for (;;) {
        bool any = post_queued(courier);
        any |= test_flying(courier);
        const double now = base_seconds();
        if (any)
            moved = now;
        if (now - minded >= mind_seconds) {
            mesh_control_turn(courier, now);
            minded = now;
        }
        if (atomic_load(&courier->failed))
            give_up_flying(courier);
        if (!courier->flying) {
            if (asked_to_close(courier))
                return;
            rest(courier);
            moved = base_seconds();
        } else {
            pause_between(courier, now - moved);
        }
    }
}

static void set_state(mesh_courier *courier, int is)
{
    pthread_mutex_lock(&courier->lock);
    courier->is = is;
    pthread_cond_broadcast(&courier->news);
    pthread_mutex_unlock(&courier->lock);
}

/* After work: leaves the job, or ends it by force. */
static void leave(mesh_courier *courier)
{
    const bool all = mesh_control_leave(courier);

    mesh_deaths_end(courier->deaths);
    if (courier->lost || courier->dirty || !all)
        courier->engine->end_all(courier->state, 1);
    set_state(courier, COURIER_LEAVING);
    courier->engine->close(courier->state);
    if (courier->listener >= 0)
        close(courier->listener);
}

static void *courier_main(void *arg)
{
    mesh_courier *courier = arg;

    if (!courier->open(courier, &courier->why)) {
        set_state(courier, COURIER_REFUSED);
        return NULL;
    }
    set_state(courier, COURIER_UP);
    work(courier);
    leave(courier);
    set_state(courier, COURIER_GONE);
    return NULL;
}

/* ---- starting and stopping ----------------------------------------------------------- */

static void courier_free(mesh_courier *courier)
{
    while (courier->idle) {
        mesh_parcel *parcel = courier->idle;
        courier->idle = parcel->next;
        base_free(parcel->messages);
        base_free(parcel);
    }
    pthread_cond_destroy(&courier->work);
    pthread_cond_destroy(&courier->news);
    pthread_mutex_destroy(&courier->lock);
    base_free(courier->health);
    base_free(courier);
}

bool mesh_thread_begin(pthread_t *out, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int wrong = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return wrong == 0;
}

base_status mesh_courier_start(mesh_courier **out, mesh_job *mesh,
                               bool (*open)(mesh_courier *courier, mesh_why *why),
                               void *open_user, base_error *err)
{
    mesh_courier *courier = base_alloc(1, sizeof *courier);
    pthread_condattr_t monotonic;

    if (!courier)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the courier of a mesh");
    courier->mesh = mesh;
    courier->open = open;
    courier->open_user = open_user;
    courier->queued_end = &courier->queued;
    courier->listener = -1;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&courier->lock, NULL);
    pthread_cond_init(&courier->work, &monotonic);
    pthread_cond_init(&courier->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!mesh_thread_begin(&courier->thread, courier_main, courier)) {
        courier_free(courier);
        return base_fail(err, BASE_INTERNAL, "cannot begin the thread of a mesh");
    }
    pthread_mutex_lock(&courier->lock);
    while (courier->is == COURIER_OPENING)
        pthread_cond_wait(&courier->news, &courier->lock);
    const bool refused = courier->is == COURIER_REFUSED;
    pthread_mutex_unlock(&courier->lock);
    if (refused) {
        pthread_join(courier->thread, NULL);
        base_fail(err, BASE_USAGE, "%s", courier->why.text);
        courier_free(courier);
        return BASE_USAGE;
    }
    *out = courier;
    return BASE_OK;
}

void mesh_courier_allow(mesh_courier *courier, const int *ids, size_t count)
{
    cpu_set_t mask;

    CPU_ZERO(&mask);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < CPU_SETSIZE)
            CPU_SET(ids[i], &mask);
    if (count > 0)
        pthread_setaffinity_np(courier->thread, sizeof mask, &mask);
}

bool mesh_courier_stop(mesh_courier *courier)
{
    if (!courier)
        return true;
    pthread_mutex_lock(&courier->lock);
    courier->closing = true;
    pthread_cond_signal(&courier->work);
    while (courier->is == COURIER_UP)
        pthread_cond_wait(&courier->news, &courier->lock);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LEAVE_SECONDS;
    const bool failed = atomic_load(&courier->failed);
    while (courier->is != COURIER_GONE)
        if (!failed)
            pthread_cond_wait(&courier->news, &courier->lock);
        else if (pthread_cond_timedwait(&courier->news, &courier->lock, &until) != 0)
            break;
    const bool gone = courier->is == COURIER_GONE;
    pthread_mutex_unlock(&courier->lock);
    if (!gone) { /* inside MPI, which waits for a rank that is no more */
        pthread_detach(courier->thread);
        return false;
    }
    pthread_join(courier->thread, NULL);
    courier_free(courier);
    return true;
}
