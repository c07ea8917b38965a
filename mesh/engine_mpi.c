/* engine_mpi.c - a mesh's messages by MPI: the only file that sees mpi.h.
 *
 * Built once for each MPI that is installed, into a module that the program opens at run
 * time. Only calls of MPI-2 that everybody uses: Isend, Irecv, Testall, Iprobe. One thread
 * makes all of them, the one that called MPI_Init_thread (MPI_THREAD_FUNNELED suffices).
 * Free to change: everything but mesh_engine_get. */
#include <mpi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mesh/engine.h"

/* Notes on their way; more than so many mean that nobody reads them. */
enum { NOTES_MOST = 256, NOTE_TAG = 0 };
static const double give_up_seconds = 0.2;
static const struct timespec end_pause = {0, 300000000};

typedef struct mpi_operation {
    struct mpi_operation *next;
    MPI_Request *requests;
    bool *receives;
    int count, room;
} mpi_operation;

typedef struct mpi_note {
    MPI_Request request;
    size_t to;
    bool flying;
    unsigned char text[MESH_NOTE_MOST];
} mpi_note;

typedef struct mpi_state {
    MPI_Comm data, notes;
    mpi_operation *idle;
    mpi_note *out; /* [NOTES_MOST] */
} mpi_state;

/* False: code is an error, and *why says which. */
static bool fine(int code, const char *what, mesh_why *why)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;

    if (code == MPI_SUCCESS)
        return true;
    MPI_Error_string(code, text, &length);
    snprintf(why->text, sizeof why->text, "%s: %.200s", what, text);
    return false;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- opening ------------------------------------------------------------------------- */

static bool open_comm(MPI_Comm *out, mesh_why *why)
{
    return fine(MPI_Comm_dup(MPI_COMM_WORLD, out), "MPI_Comm_dup", why) &&
           fine(MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
                why);
}

static bool mpi_open(void **out, size_t *rank, size_t *ranks, mesh_why *why)
{
    mpi_state *state = calloc(1, sizeof *state);
    mpi_note *notes = calloc(NOTES_MOST, sizeof *notes);
    int threads = MPI_THREAD_SINGLE, own = 0, all = 0;

    if (!state || !notes) {
        snprintf(why->text, sizeof why->text, "no memory for MPI");
        free(state);
        free(notes);
        return false;
    }
    state->out = notes;
    if (fine(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &threads), "MPI_Init_thread",
             why)) {
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        if (threads < MPI_THREAD_FUNNELED)
            snprintf(why->text, sizeof why->text,
                     "this MPI was built without threads (MPI_THREAD_FUNNELED)");
        else if (fine(MPI_Comm_rank(MPI_COMM_WORLD, &own), "MPI_Comm_rank", why) &&
                 fine(MPI_Comm_size(MPI_COMM_WORLD, &all), "MPI_Comm_size", why) &&
                 open_comm(&state->data, why) && open_comm(&state->notes, why)) {
            *rank = (size_t)own;
            *ranks = (size_t)all;
            *out = state;
            return true;
        }
        MPI_Finalize();
    }
    free(state->out);
    free(state);
    return false;
}

/* ---- messages ------------------------------------------------------------------------ */

/* An operation with room for count requests; NULL: no memory. */
static mpi_operation *take(mpi_state *state, size_t count)
{
    mpi_operation *operation = state->idle;

    if (operation)
        state->idle = operation->next;
    else
        operation = calloc(1, sizeof *operation);
    if (operation && (size_t)operation->room < count) {
        free(operation->requests);
        free(operation->receives);
        operation->requests = calloc(count, sizeof *operation->requests);
        operation->receives = calloc(count, sizeof *operation->receives);
        operation->room = (int)count;
        if (!operation->requests || !operation->receives) {
            free(operation->requests);
            free(operation->receives);
            free(operation);
            return NULL;
        }
    }
    if (operation)
        operation->count = 0;
    return operation;
}

static void give_back(mpi_state *state, mpi_operation *operation)
{
    operation->next = state->idle;
    state->idle = operation;
}

static bool post_one(mpi_state *state, mpi_operation *to, const mesh_message *message,
                     mesh_why *why)
{
    MPI_Request *request = &to->requests[to->count];
    const int bytes = (int)message->bytes, peer = (int)message->peer;

    to->receives[to->count++] = message->receive != NULL;
    return message->receive ? fine(MPI_Irecv(message->receive, bytes, MPI_BYTE, peer,
                                             message->tag, state->data, request),
                                   "MPI_Irecv", why)
                            : fine(MPI_Isend(message->send, bytes, MPI_BYTE, peer,
                                             message->tag, state->data, request),
                                   "MPI_Isend", why);
}

static bool mpi_post(void *opaque, void **out, const mesh_message *messages, size_t count,
                     mesh_why *why)
{
    mpi_state *state = opaque;
    mpi_operation *operation = take(state, count);

    if (!operation) {
        snprintf(why->text, sizeof why->text, "no memory for %zu messages", count);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!post_one(state, operation, &messages[i], why))
            return false; /* the job ends: what has been posted stays */
    *out = operation;
    return true;
}

static bool mpi_test(void *opaque, void *tested, bool *done, mesh_why *why)
{
    mpi_operation *operation = tested;
    int all = 0;
    const int code =
        MPI_Testall(operation->count, operation->requests, &all, MPI_STATUSES_IGNORE);

    *done = all != 0;
    if (!fine(code, "MPI_Testall", why))
        return false;
    if (all)
        give_back(opaque, operation);
    return true;
}

/* Receives are cancelled; one that is half done may still arrive. Sends have nobody who
 * takes them any more. */
static bool mpi_give_up(void *opaque, void *given_up)
{
    mpi_operation *operation = given_up;
    const double began = seconds();
    bool written = true;

    for (int i = 0; i < operation->count; i++)
        if (operation->receives[i] && operation->requests[i] != MPI_REQUEST_NULL)
            MPI_Cancel(&operation->requests[i]);
    while (written && seconds() - began < give_up_seconds) {
        written = false;
        for (int i = 0; i < operation->count; i++) {
            int done = 1;
            if (operation->requests[i] != MPI_REQUEST_NULL)
                MPI_Test(&operation->requests[i], &done, MPI_STATUS_IGNORE);
            written |= operation->receives[i] && !done;
        }
    }
    (void)opaque; /* never used again: sends may hold its requests */
    return !written;
}

/* ---- notes --------------------------------------------------------------------------- */

/* A place for one more note to that rank; NULL: too many are on their way. */
static mpi_note *note_place(mpi_state *state, size_t to)
{
    enum { TO_ONE_MOST = 16 };
    mpi_note *place = NULL;
    int same = 0;

    for (size_t i = 0; i < NOTES_MOST; i++) {
        mpi_note *note = &state->out[i];
        int sent = 0;
        if (note->flying &&
            MPI_Test(&note->request, &sent, MPI_STATUS_IGNORE) == MPI_SUCCESS && sent)
            note->flying = false;
        same += note->flying && note->to == to;
        if (!note->flying && !place)
            place = note;
    }
    return same < TO_ONE_MOST ? place : NULL;
}

static bool mpi_note_send(void *opaque, size_t to, const void *text, size_t bytes)
{
    mpi_state *state = opaque;
    mpi_note *note = note_place(state, to);

    if (!note)
        return false;
    memcpy(note->text, text, bytes);
    note->to = to;
    note->flying = MPI_Isend(note->text, (int)bytes, MPI_BYTE, (int)to, NOTE_TAG,
                             state->notes, &note->request) == MPI_SUCCESS;
    return note->flying;
}

static bool mpi_next_note(void *opaque, void *text, size_t *bytes, size_t *from)
{
    mpi_state *state = opaque;
    MPI_Status status;
    int there = 0, count = 0;

    if (MPI_Iprobe(MPI_ANY_SOURCE, NOTE_TAG, state->notes, &there, &status) !=
            MPI_SUCCESS ||
        !there)
        return false;
    MPI_Get_count(&status, MPI_BYTE, &count);
    if (count < 0 || count > MESH_NOTE_MOST ||
        MPI_Recv(text, count, MPI_BYTE, status.MPI_SOURCE, NOTE_TAG, state->notes,
                 MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return false;
    *bytes = (size_t)count;
    *from = (size_t)status.MPI_SOURCE;
    return true;
}

/* ---- the rest ------------------------------------------------------------------------ */

/* "Open MPI v4.1.4, package: ..." and "MPICH Version:\t4.0.2\n...": name and number. */
static void mpi_describe(void *opaque, char *out, size_t out_bytes)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;

    (void)opaque;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, ",\n")] = 0;
    char *version = strstr(text, " Version:");
    if (version)
        snprintf(out, out_bytes, "%.*s %s", (int)(version - text), text,
                 version + strlen(" Version:") +
                     strspn(version + strlen(" Version:"), " \t"));
    else
        snprintf(out, out_bytes, "%s", text);
}

static void mpi_end_all(void *opaque, int status)
{
    (void)opaque;
    nanosleep(&end_pause, NULL); /* launchers drop what they have not yet passed on */
    MPI_Abort(MPI_COMM_WORLD, status);
}

static void mpi_close(void *opaque)
{
    mpi_state *state = opaque;
    const double began = seconds();
    bool flying = true;

    while (flying && seconds() - began < 1) {
        flying = false;
        for (size_t i = 0; i < NOTES_MOST; i++) {
            int sent = 1;
            if (state->out[i].flying)
                MPI_Test(&state->out[i].request, &sent, MPI_STATUS_IGNORE);
            state->out[i].flying = !sent;
            flying |= !sent;
        }
    }
    MPI_Finalize();
    while (state->idle) {
        mpi_operation *operation = state->idle;
        state->idle = operation->next;
        free(operation->requests);
        free(operation->receives);
        free(operation);
    }
    free(state->out);
    free(state);
}

__attribute__((visibility("default"))) const mesh_engine *mesh_engine_get(void)
{
    static const mesh_engine engine = {
        .version = MESH_ENGINE_VERSION,
        .bytes = sizeof engine,
        .name = MESH_ENGINE_NAME,
        .leave_together = true,
        .open = mpi_open,
        .post = mpi_post,
        .test = mpi_test,
        .give_up = mpi_give_up,
        .note = mpi_note_send,
        .next_note = mpi_next_note,
        .describe = mpi_describe,
        .end_all = mpi_end_all,
        .close = mpi_close,
    };

    return &engine;
}
