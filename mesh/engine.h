/* engine.h - what a transport does for a mesh: point-to-point messages, tested by one
 * thread.
 *
 * A module (vmoe-mesh-openmpi.so, vmoe-mesh-mpich.so) exports mesh_engine_get and nothing
 * else; the program opens it at run time, so it links no MPI. All collective operations are
 * made of messages in transfer.c: equal on every MPI, free of MPI's 2 GiB counts, and
 * tested with threads. One thread makes every call, open and close included. Relied on
 * elsewhere: messages between two ranks with one tag arrive in the order of posting. Change
 * anything here and MESH_ENGINE_VERSION goes up. */
#ifndef MESH_ENGINE_H
#define MESH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESH_ENGINE_VERSION = 1 };
enum { MESH_MESSAGE_MOST = 1 << 30 }; /* bytes of one message */
enum { MESH_NOTE_MOST = 1024 };       /* bytes of a note */

typedef struct mesh_message {
    size_t peer; /* as the engine numbers ranks */
    int tag;     /* 0 .. 32767 (what MPI guarantees) */
    const void *send;
    void *receive; /* one of the two is NULL */
    size_t bytes;  /* 1 .. MESH_MESSAGE_MOST */
} mesh_message;

typedef struct mesh_why {
    char text[256];
} mesh_why;

typedef struct mesh_engine {
    uint32_t version, bytes; /* MESH_ENGINE_VERSION, sizeof (mesh_engine) */
    const char *name;        /* "openmpi" */
    bool leave_together;     /* no rank closes before all have read what was sent to them */
    /* False with *why filled: the transport refuses. */
    bool (*open)(void **state, size_t *rank, size_t *ranks, mesh_why *why);
    /* Begins messages; *operation is tested until it is done or given up. */
    bool (*post)(void *state, void **operation, const mesh_message *messages, size_t count,
                 mesh_why *why);
    /* False: it failed. *done or failed: the operation is gone. */
    bool (*test)(void *state, void *operation, bool *done, mesh_why *why);
    /* Ends an operation that will not be done; false: memory may still be written to. */
    bool (*give_up)(void *state, void *operation);
    /* Notes: up to MESH_NOTE_MOST bytes beside the messages, copied. False: too many are on
     * their way to that rank already. */
    bool (*note)(void *state, size_t to, const void *note, size_t bytes);
    /* The next note that has come into note [MESH_NOTE_MOST]; false: none. */
    bool (*next_note)(void *state, void *note, size_t *bytes, size_t *from);
    void (*describe)(void *state, char *out, size_t out_bytes); /* "Open MPI 4.1.4" */
    /* Ends all ranks at once. May return. */
    void (*end_all)(void *state, int status);
    /* Leaves; waits until all leave. */
    void (*close)(void *state);
} mesh_engine;

const mesh_engine *mesh_engine_get(void);

#endif
