/* mesh.h - several ranks of one job, and how they talk: processes that a launcher started
 * (mpirun, srun), or threads of one process in tests.
 *
 * A mesh moves bytes and counts them; it adds nothing but what order.c adds, always in the
 * same tree, so that sums do not depend on MPI, network or time. Without a launcher a mesh
 * is one rank alone: every call returns at once and no library is opened.
 *
 *     base_error err = {0};
 *     mesh_job *all = NULL;
 *     double loss = 0.5;
 *     base_status status = mesh_open(&all, NULL, &err);
 *     if (status == BASE_OK)
 *         status = mesh_sum(mesh_world(all), &loss, 1, &err);
 *     if (status == BASE_OK && mesh_rank(all) == 0)
 *         printf("%zu ranks: %g\n", mesh_ranks(all), loss);
 *     if (status != BASE_OK)
 *         mesh_fail(all, &err);
 *     mesh_close(all);
 *
 * Every rank makes the same calls of a group in the same order. Of a mesh one thread at a
 * time makes them; mesh_say and mesh_failed are safe from any thread. Sizes are bytes,
 * times seconds. */
#ifndef MESH_MESH_H
#define MESH_MESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

typedef struct mesh_job mesh_job;     /* this rank's end of the job */
typedef struct mesh_group mesh_group; /* some ranks of it; lives as long as the mesh_job */

/* ---- what a launcher started ------------------------------------------------------------
 * From the environment alone; nothing is opened. */

typedef enum mesh_launcher {
    MESH_LAUNCHER_NONE,   /* alone */
    MESH_LAUNCHER_MPIRUN, /* Open MPI's, also of a rank alone, which it binds to a core */
    MESH_LAUNCHER_HYDRA,  /* MPICH's */
    MESH_LAUNCHER_SLURM   /* srun */
} mesh_launcher;

typedef struct mesh_launch {
    mesh_launcher launcher;
    size_t ranks;     /* that it started, at least 1 */
    size_t rank;      /* as it counts: who speaks before the mesh is open; 0 alone */
    char module[256]; /* "openmpi", "mpich" or what VMOE_MPI says; "" alone */
} mesh_launch;

/* BASE_USAGE: srun without its MPI plug-in started several tasks. VMOE_MPI=none: alone;
 * VMOE_MPI=NAME or PATH: that module. */
base_status mesh_launched(mesh_launch *out, base_error *err);
/* This rank leaves without having joined: hydra, which would wait for it for ever, ends the
 * others; other launchers see it. */
void mesh_launch_leave(const mesh_launch *launch, int status);

/* ---- opening and closing ------------------------------------------------------------- */

typedef struct mesh_options {
    double patience; /* a rank silent for so long has ended; 0: wait for ever */
    double late;     /* a rank that is waited for is named after so long */
    bool spin;       /* the courier has a processor to itself */
    /* A line for people, from a thread of the mesh; NULL: none. Rank 0's speaks, and that
     * of a rank that has seen another one die. */
    void (*log)(void *user, const char *line);
    void *user;
} mesh_options;

/* patience 60, late 60, no spinning, no log. */
mesh_options mesh_options_defaults(void);

/* The job of the launcher; alone without one. options NULL: the defaults. mesh_close ends
 * it. BASE_USAGE: no module for this launcher, or MPI counts other ranks than the launcher
 * started. */
base_status mesh_open(mesh_job **out, const mesh_options *options, base_error *err);
/* Ranks that are threads of this process, for tests: out [ranks], `local` of them a node
 * (0: all). Each is used and closed by its own thread, or in any order by one. */
base_status mesh_open_threads(mesh_job **out, size_t ranks, size_t local,
                              const mesh_options *options, base_error *err);
/* Leaves the job and frees mesh and groups; NULL is allowed. After a failure it waits for
 * the others to have heard of it (at most patience seconds), and where a rank is lost it
 * ends the whole job. */
void mesh_close(mesh_job *mesh);

/* Ranks are numbered node by node. */
size_t mesh_rank(const mesh_job *mesh);
size_t mesh_ranks(const mesh_job *mesh);
size_t mesh_node(const mesh_job *mesh);
size_t mesh_nodes(const mesh_job *mesh);
size_t mesh_local_rank(const mesh_job *mesh);
size_t mesh_local_ranks(const mesh_job *mesh); /* on this node */
/* "rank 3 (node07)"; lives as long as the mesh. */
const char *mesh_name(const mesh_job *mesh, size_t rank);
/* "Open MPI 4.1.4", "threads", "alone". */
const char *mesh_transport(const mesh_job *mesh);

/* ---- groups -------------------------------------------------------------------------- */

/* All ranks. */
mesh_group *mesh_world(mesh_job *mesh);
/* Ranks of equal colour, in their order. All ranks of the mesh call it together. */
base_status mesh_split(mesh_group **out, mesh_job *mesh, size_t colour, base_error *err);
size_t mesh_group_rank(const mesh_group *group);
size_t mesh_group_ranks(const mesh_group *group);

/* ---- transfers in the background ------------------------------------------------------
 * begin and arrival: the memory stays untouched until the ticket has arrived. Tables of
 * places and sizes ([ranks of the group], bytes) are read at once. Every begun ticket is
 * waited for once; a ticket is zeroed before its first use and may be used again. */

typedef struct mesh_ticket {
    void *parcel;
    mesh_job *mesh;
    _Atomic int state;
    int kind;
} mesh_ticket;

/* send + send_at[i], send_bytes[i] goes to rank i of the group; receive + receive_at[i]
 * gets receive_bytes[i] from it, which is what that rank sends here. The own part is
 * copied. */
void mesh_exchange(mesh_group *group, mesh_ticket *ticket, const void *send,
                   const size_t *send_at, const size_t *send_bytes, void *receive,
                   const size_t *receive_at, const size_t *receive_bytes);
/* all + at[i], bytes[i] of rank i goes to every rank; equal tables everywhere. In place.
 * Where groups overlap, all ranks begin gathers in one order: few of them fly at a time. */
void mesh_gather(mesh_group *group, mesh_ticket *ticket, void *all, const size_t *at,
                 const size_t *bytes);
/* Never waits. True also when it failed: mesh_wait says. */
bool mesh_arrived(const mesh_ticket *ticket);
/* Of a failed job: its failure, "rank 3 (node07): ..." where another rank failed. Memory of
 * the ticket is this rank's again. */
base_status mesh_wait(mesh_ticket *ticket, base_error *err);

/* ---- small things, at once -------------------------------------------------------------
 * They return when it is done. */

/* each [ranks of the group] of `bytes`: every rank's own piece comes to all. In place. */
base_status mesh_all(mesh_group *group, void *each, size_t bytes, base_error *err);
/* x[i] becomes the sum of all ranks' x[i], added as mesh_tree_sum adds: equal bits
 * everywhere. */
base_status mesh_sum(mesh_group *group, double *x, size_t count, base_error *err);
/* data [bytes] of rank `root` of the group comes to all. */
base_status mesh_broadcast(mesh_group *group, size_t root, void *data, size_t bytes,
                           base_error *err);
/* Returns when all have come. */
base_status mesh_barrier(mesh_group *group, base_error *err);

/* All ranks say the same of `what` ("the recipe"); text up to 255 bytes. BASE_USAGE, on all
 * ranks with equal text: "rank 5 (node02) has WHAT 'x', rank 0 (node01) 'y'". */
base_status mesh_agree(mesh_job *mesh, const char *what, const char *text, base_error *err);

/* ---- ordered sums -------------------------------------------------------------------- */

/* out [count] = the sum over each [contributions]: halves by halves, the left half the
 * largest power of two below the number: ((0+1)+(2+3))+((4+5)+6). out may be each[0].
 * Cannot fail. */
void mesh_tree_sum(double *out, const double *const *each, size_t contributions,
                   size_t count);

/* ---- where a rank runs --------------------------------------------------------------- */

typedef struct mesh_place {
    size_t threads;     /* wanted; 0: one for every processor of the rank's part */
    bool keep;          /* processors stay as the launcher or OpenMP has set them */
    bool oversubscribe; /* more threads on a node than processors are no mistake */
} mesh_place;

typedef struct mesh_placed {
    size_t threads;    /* of this rank, at least 1 */
    size_t processors; /* that it may use */
    bool moved;        /* the launcher had bound it to a single core, which was not kept */
} mesh_placed;

/* The ranks of a node share out its processors; the calling thread and the courier keep to
 * their part, and so do threads made later. A rank alone has all that it may use. All ranks
 * call it together, before OpenMP has threads. BASE_USAGE, on all ranks: more threads on a
 * node than processors. */
base_status mesh_place_ranks(mesh_placed *out, mesh_job *mesh, const mesh_place *want,
                             base_error *err);

/* ---- how it goes --------------------------------------------------------------------- */

typedef enum mesh_phase {
    MESH_PHASE_START,
    MESH_PHASE_LOADING,   /* waiting for pictures */
    MESH_PHASE_COMPUTING, /* forward and backward */
    MESH_PHASE_EXCHANGE,  /* of gradients and weights */
    MESH_PHASE_EVALUATION,
    MESH_PHASE_SAVING
} mesh_phase;

/* What this rank is at, for those who wait for it. Costs a store; any thread. */
void mesh_say(mesh_job *mesh, uint64_t step, mesh_phase phase);
/* This rank cannot go on: all others' calls fail with "rank 3 (node07): TEXT". Does not
 * wait. Alone, or when the job has failed already, nothing happens. */
void mesh_fail(mesh_job *mesh, const base_error *why);
/* Whether the job has failed here or elsewhere; fills err then. Any thread, between
 * calls. */
bool mesh_failed(mesh_job *mesh, base_error *err);

/* Whether the line about the failure has been printed already, by `log` of the rank that
 * noticed: that another one has died. Any thread. */
bool mesh_said(mesh_job *mesh);

typedef enum mesh_kind {
    MESH_KIND_EXCHANGE,
    MESH_KIND_GATHER,
    MESH_KIND_SMALL, /* all, sum, barrier, agree */
    MESH_KIND_BROADCAST,
    MESH_KINDS
} mesh_kind;

/* Since the mesh was opened. Payload; what MPI puts around it and the heartbeats (24 bytes
 * a rank and second) are not in it. */
typedef struct mesh_counts {
    struct {
        uint64_t calls;
        uint64_t sent, received; /* bytes, to and from other ranks */
        uint64_t far;            /* of the sent ones: to other nodes */
        double waited;           /* seconds in mesh_wait and the like */
    } kind[MESH_KINDS];
} mesh_counts;

mesh_counts mesh_counted(const mesh_job *mesh);

#endif
