/* control.c - notes beside the work: heartbeats, failures, good-byes.
 *
 * Every rank sends rank 0 a heartbeat now and then, and rank 0 sends one to all. A rank
 * from which none comes for `patience` is silent: MPI itself would wait for it for ever. A
 * rank whose heartbeats come but whose work does not is late: it is named and waited for
 * (evaluations, slow disks and debuggers are legal). A failure travels as its text; that a
 * rank has died is printed by whoever notices it, before others hear of it: the launcher
 * may leave no time for more. Free to change: times. Relied on elsewhere: the texts name
 * rank and host. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mesh/mesh_internal.h"

enum { NOTE_BEAT = 1, NOTE_FAIL = 2, NOTE_END = 3, NOTE_BYE = 4, NOTE_DEATH = 5 };

typedef struct note {
    uint32_t kind, phase, status;
    uint64_t step, begun;           /* calls of the whole job */
    char text[MESH_NOTE_MOST - 32]; /* NOTE_FAIL, NOTE_END, NOTE_DEATH */
} note;
enum { BEAT_BYTES = offsetof(note, text) };
_Static_assert(sizeof(note) <= MESH_NOTE_MOST, "a note fits");

static const double beat_seconds = 1, late_again = 600, end_after = 5;

static const char *phase_name(uint32_t phase)
{
    static const char *const names[] = {"start",    "loading pictures", "computing",
                                        "exchange", "evaluation",       "saving"};

    return phase < sizeof names / sizeof *names ? names[phase] : "?";
}

static void say_line(const mesh_courier *courier, const char *line)
{
    const mesh_options *options = &courier->mesh->options;

    if (options->log)
        options->log(options->user, line);
}

/* ---- sending ------------------------------------------------------------------------- */

static void send_to(mesh_courier *courier, size_t rank, const note *what, size_t bytes)
{
    if (rank !=
        courier->mesh->rank) /* also to one that has left: it reads until all have */
        courier->engine->note(courier->state, courier->mesh->members[rank].peer, what,
                              bytes);
}

static void send_to_all(mesh_courier *courier, const note *what, size_t bytes)
{
    for (size_t rank = 0; rank < courier->mesh->ranks; rank++)
        send_to(courier, rank, what, bytes);
}

static void send_beats(mesh_courier *courier)
{
    const note beat = {.kind = NOTE_BEAT,
                       .phase = (uint32_t)atomic_load(&courier->phase),
                       .step = atomic_load(&courier->step),
                       .begun = atomic_load(&courier->begun)};

    if (courier->mesh->rank == 0)
        send_to_all(courier, &beat, BEAT_BYTES);
    else
        send_to(courier, 0, &beat, BEAT_BYTES);
}

/* kind FAIL: the text is this rank's; END: it is said as it stands; DEATH: it has been
 * said. */
static void send_failure(mesh_courier *courier, uint32_t kind, const base_error *why)
{
    note fail = {.kind = kind, .status = (uint32_t)why->status};

    snprintf(fail.text, sizeof fail.text, "%.*s", (int)sizeof fail.text - 1, why->text);
    send_to_all(courier, &fail, BEAT_BYTES + strlen(fail.text) + 1);
}

/* ---- receiving ----------------------------------------------------------------------- */

static void hear(mesh_courier *courier, size_t rank, const note *what, double now)
{
    mesh_health *health = &courier->health[rank];
    const char *name = mesh_name(courier->mesh, rank);
    base_error err;

    health->heard = now;
    switch (what->kind) {
    case NOTE_BEAT:
        atomic_store(&health->step, what->step);
        atomic_store(&health->phase, what->phase);
        health->begun = what->begun;
        break;
    case NOTE_FAIL:
        if (strncmp(what->text, name, strlen(name)) == 0) /* it tells of itself */
            base_fail(&err, (base_status)what->status, "%s", what->text);
        else
            base_fail(&err, (base_status)what->status, "%s: %s", name, what->text);
        mesh_courier_fail(courier, &err, false, false);
        break;
    case NOTE_END:
    case NOTE_DEATH:
        base_fail(&err, (base_status)what->status, "%s", what->text);
        mesh_courier_fail(courier, &err, false, what->kind == NOTE_DEATH);
        break;
    case NOTE_BYE:
        atomic_store(&health->left, true);
        health->begun = what->begun;
        break;
    default: break;
    }
}

static void hear_all(mesh_courier *courier, double now)
{
    const mesh_job *mesh = courier->mesh;
    union {
        note note;
        unsigned char bytes[MESH_NOTE_MOST];
    } in;
    size_t bytes, from;

    while (courier->engine->next_note(courier->state, &in, &bytes, &from)) {
        if (bytes < BEAT_BYTES || bytes > sizeof in || from >= mesh->ranks)
            continue;
        in.bytes[bytes < sizeof in ? bytes : sizeof in - 1] = 0;
        hear(courier, mesh->rank_of_peer[from], &in.note, now);
    }
}

/* ---- silent and late ----------------------------------------------------------------- */

static void end_for_silence(mesh_courier *courier, size_t rank, double seconds)
{
    const mesh_health *health = &courier->health[rank];
    base_error err;

    base_fail(&err, BASE_INTERNAL,
              "%s has been silent for %.0f s (step %llu, %s): the job ends",
              mesh_name(courier->mesh, rank), seconds,
              (unsigned long long)atomic_load(&health->step),
              phase_name((uint32_t)atomic_load(&health->phase)));
    courier->lost = true;
    mesh_courier_fail(courier, &err, false, false);
    send_failure(courier, NOTE_END, &err);
}

void mesh_control_died(mesh_courier *courier, size_t rank, bool say)
{
    mesh_health *health = &courier->health[rank];
    const unsigned long long step = atomic_load(&health->step);
    char where[64] = "";
    base_error err;

    if (atomic_load(&health->left))
        return;
    if (step > 0) /* it has been heard of */
        snprintf(where, sizeof where, " (step %llu, %s)", step,
                 phase_name((uint32_t)atomic_load(&health->phase)));
    base_fail(&err, BASE_INTERNAL, "%s has died%s: the job ends",
              mesh_name(courier->mesh, rank), where);
    if (mesh_courier_fail(courier, &err, true, true) && say)
        say_line(courier, err.text);
}

/* Rank 0 minds all, the others mind rank 0. */
static void mind_silence(mesh_courier *courier, double now)
{
    const mesh_job *mesh = courier->mesh;
    const size_t first = mesh->rank == 0 ? 1 : 0;
    const size_t end = mesh->rank == 0 ? mesh->ranks : 1;

    if (mesh->options.patience <= 0 || courier->lost)
        return;
    for (size_t rank = first; rank < end && !courier->lost; rank++) {
        const mesh_health *health = &courier->health[rank];
        if (!atomic_load(&health->left) && now - health->heard > mesh->options.patience)
            end_for_silence(courier, rank, now - health->heard);
    }
}

/* A rank that has left before a call that this one has begun will not take part in it. */
static void mind_leavers(mesh_courier *courier)
{
    const mesh_job *mesh = courier->mesh;
    base_error err;

    for (size_t rank = 0; rank < mesh->ranks && !atomic_load(&courier->failed); rank++) {
        const mesh_health *health = &courier->health[rank];
        if (!atomic_load(&health->left) || health->begun >= atomic_load(&courier->begun))
            continue;
        base_fail(&err, BASE_INTERRUPTED, "%s has left the job", mesh_name(mesh, rank));
        mesh_courier_fail(courier, &err, false, false);
    }
}

/* Rank 0, when something has been under way for long: the rank that has begun least. */
static void mind_lateness(mesh_courier *courier, double now)
{
    const mesh_job *mesh = courier->mesh;
    const mesh_parcel *oldest = courier->flying;
    size_t last = 0;
    char line[256];

    if (mesh->rank != 0 || !oldest || now - oldest->posted < mesh->options.late) {
        courier->late_next = 0;
        return;
    }
    if (now < courier->late_next)
        return;
    for (size_t rank = 1; rank < mesh->ranks; rank++)
        if (last == 0 || courier->health[rank].begun < courier->health[last].begun)
            last = rank;
    const mesh_health *health = &courier->health[last];
    if (last == 0 || health->begun >= atomic_load(&courier->begun))
        return;
    snprintf(line, sizeof line, "waiting %.0f s for %s: %s, step %llu",
             now - oldest->posted, mesh_name(mesh, last),
             phase_name((uint32_t)atomic_load(&health->phase)),
             (unsigned long long)atomic_load(&health->step));
    say_line(courier, line);
    courier->late_next = now + late_again;
}

/* A rank is lost, and this one's main thread does not come to close the mesh: it may be far
 * from its next call. */
static void mind_end(mesh_courier *courier, double now)
{
    base_error err;

    if (!courier->lost)
        return;
    if (courier->failed_at <= 0)
        courier->failed_at = now;
    if (now - courier->failed_at < end_after)
        return;
    if (mesh_failed(courier->mesh, &err) && !mesh_said(courier->mesh))
        say_line(courier, err.text);
    courier->engine->end_all(courier->state, 1);
    courier->failed_at = now;
}

/* ---- the courier's turn -------------------------------------------------------------- */

/* What has failed or been noticed here has to be told, once. */
static void tell_failure(mesh_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    const bool tell = courier->telling, said = courier->said;
    const base_error why = courier->failure;
    courier->telling = false;
    pthread_mutex_unlock(&courier->lock);
    if (!tell)
        return;
    courier->lost |= said;
    send_failure(courier, said ? NOTE_DEATH : NOTE_FAIL, &why);
}

static bool is_watching(mesh_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    const bool watching = courier->watching;
    pthread_mutex_unlock(&courier->lock);
    return watching;
}

/* This process itself was stopped for a while: the others had no chance to be heard. */
static void forgive_own_gap(mesh_courier *courier, double now)
{
    const double gap = now - courier->turned, usual = 0.2;

    if (courier->turned > 0 && gap > usual)
        for (size_t rank = 0; rank < courier->mesh->ranks; rank++)
            courier->health[rank].heard += gap;
    courier->turned = now;
}

void mesh_control_turn(mesh_courier *courier, double now)
{
    const double patience = courier->mesh->options.patience;

    if (!is_watching(courier))
        return;
    forgive_own_gap(courier, now);
    hear_all(courier, now);
    tell_failure(courier);
    if (now >= courier->beat_next && !courier->leaving) {
        const double every =
            patience > 0 && patience / 4 < beat_seconds ? patience / 4 : beat_seconds;
        send_beats(courier);
        courier->beat_next = now + every;
    }
    mind_silence(courier, now);
    mind_leavers(courier);
    mind_lateness(courier, now);
    mind_end(courier, now);
}

static bool all_left(const mesh_courier *courier)
{
    for (size_t rank = 0; rank < courier->mesh->ranks; rank++)
        if (rank != courier->mesh->rank && !atomic_load(&courier->health[rank].left))
            return false;
    return true;
}

bool mesh_control_leave(mesh_courier *courier)
{
    const double patience = courier->mesh->options.patience;
    const struct timespec moment = {0, 1000000};
    const note bye = {.kind = NOTE_BYE, .begun = atomic_load(&courier->begun)};

    if (!is_watching(courier))
        return true;
    double now = base_seconds();
    const double began = now;
    mesh_control_turn(courier, now); /* a failure goes before the good-bye */
    send_to_all(courier, &bye, BEAT_BYTES);
    courier->leaving = true; /* nothing follows the good-bye */
    while (!courier->lost && !all_left(courier)) {
        const bool failed = atomic_load(&courier->failed);
        if (!failed && !courier->engine->leave_together)
            return true;
        if (failed && patience > 0 && now - began > patience)
            return false;
        nanosleep(&moment, NULL);
        now = base_seconds();
        mesh_control_turn(courier, now);
    }
    return true;
}
