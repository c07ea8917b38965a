/* mesh_internal.h - what the files of this room share and nobody else sees. */
#ifndef MESH_MESH_INTERNAL_H
#define MESH_MESH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "mesh/engine.h"
#include "mesh/mesh.h"

/* ---- who is who ---------------------------------------------------------------------- */

enum { MESH_HOST_MOST = 64 };

typedef struct mesh_member {
    size_t peer; /* the engine's number */
    size_t node;
    char host[MESH_HOST_MOST];
    char name[MESH_HOST_MOST + 32]; /* "rank 3 (node07)" */
} mesh_member;

struct mesh_group {
    mesh_group *next; /* of the mesh's */
    mesh_job *mesh;
    size_t rank, ranks;
    size_t *members; /* [ranks] ranks of the mesh_job */
    int tag;
};

/* ---- courier.c ----------------------------------------------------------------------- */

enum { MESH_TICKET_NONE, MESH_TICKET_BEGUN, MESH_TICKET_ARRIVED, MESH_TICKET_FAILED };

/* Messages of one ticket. */
typedef struct mesh_parcel {
    struct mesh_parcel *next;
    mesh_ticket *ticket;
    mesh_message *messages;
    size_t count, room;
    void *operation;
    double posted;
} mesh_parcel;

/* What a rank knows of another (control.c). */
typedef struct mesh_health {
    double heard;              /* last time, base_seconds */
    atomic_uint_fast64_t step; /* as that rank says */
    uint64_t begun;
    atomic_uint_fast32_t phase;
    atomic_bool left; /* it will say no more */
} mesh_health;

typedef struct mesh_deaths mesh_deaths; /* deaths.c */

typedef struct mesh_courier {
    mesh_job *mesh;
    const mesh_engine *engine;
    void *state;
    bool (*open)(struct mesh_courier *courier,
                 mesh_why *why); /* finds engine, opens state */
    void *open_user;
    pthread_t thread;
    pthread_mutex_t lock; /* of everything down to `idle` */
    pthread_cond_t work, news;
    enum { COURIER_OPENING, COURIER_UP, COURIER_LEAVING, COURIER_GONE, COURIER_REFUSED } is;
    size_t rank, ranks; /* the engine's numbers */
    mesh_why why;
    bool watching; /* heartbeats have begun */
    bool closing;
    bool telling; /* what has been noticed here is to be told to the others */
    bool said;    /* the line about the failure is printed, here or elsewhere */
    mesh_deaths *deaths;
    int listener; /* that others watch, or -1 */
    base_error failure;
    mesh_parcel *queued, **queued_end;
    mesh_parcel *idle;
    atomic_bool failed, has_work;
    atomic_uint_fast64_t step, begun; /* begun: calls of all ranks together */
    atomic_int phase;
    atomic_int awaited; /* threads that wait for a ticket */
    /* the courier's own */
    mesh_parcel *flying;
    mesh_health *health; /* [ranks] of the mesh_job */
    double turned, beat_next, late_next, failed_at;
    bool lost, dirty, leaving;
} mesh_courier;

struct mesh_job {
    mesh_options options;
    size_t rank, ranks, node, nodes, local_rank, local_ranks;
    mesh_member *members; /* [ranks] */
    size_t *rank_of_peer; /* [ranks] */
    mesh_group world;
    mesh_group *groups; /* made by mesh_split */
    int next_tag;
    mesh_courier *courier; /* NULL: alone */
    mesh_counts counts;
    unsigned char *spare; /* scratch of the small calls, grows */
    size_t spare_bytes;
    char transport[96];
};

/* Starts the thread and waits until it has opened its engine. The caller frees it with
 * mesh_courier_stop. */
base_status mesh_courier_start(mesh_courier **out, mesh_job *mesh,
                               bool (*open)(mesh_courier *courier, mesh_why *why),
                               void *open_user, base_error *err);
/* Ends thread and engine. False: the thread hangs in a transport that has lost a rank; it
 * and what it uses stay until the process ends. NULL is allowed. */
bool mesh_courier_stop(mesh_courier *courier);
/* The thread may run on these processors alone, where the kernel lets it. */
void mesh_courier_allow(mesh_courier *courier, const int *ids, size_t count);
/* An empty parcel with room for count messages, NULL: no memory. */
mesh_parcel *mesh_parcel_take(mesh_courier *courier, size_t count);
void mesh_parcel_give_back(mesh_courier *courier, mesh_parcel *parcel);
/* Hands it to the courier; its ticket arrives later. */
void mesh_parcel_send(mesh_courier *courier, mesh_parcel *parcel, mesh_ticket *ticket);
/* The first failure of the job stays; false: this one was not. tell: the others are to
 * hear of it from here. said: its line has been or will be printed at once. Any thread. */
bool mesh_courier_fail(mesh_courier *courier, const base_error *why, bool tell, bool said);
/* A thread that no signal reaches: those are for the main thread, and MPI's own threads
 * inherit the courier's mask. */
bool mesh_thread_begin(pthread_t *out, void *(*run)(void *arg), void *arg);

/* ---- control.c: called by the courier's thread --------------------------------------- */

/* Notes that have come, heartbeats that are due, ranks that are silent or late. */
void mesh_control_turn(mesh_courier *courier, double now);
/* Says good-bye to all and waits for theirs; after a failure no longer than patience.
 * False: some did not come. */
bool mesh_control_leave(mesh_courier *courier);
/* From another thread: the rank's process is no more. Ends the job, unless the rank has
 * said good-bye or the job has failed already; say: this rank is the one that tells. */
void mesh_control_died(mesh_courier *courier, size_t rank, bool say);

/* ---- deaths.c ------------------------------------------------------------------------ */

/* A process as others of its machine know it. */
typedef struct mesh_process {
    int64_t id;
    uint32_t bytes; /* of the name; 0: it cannot be watched */
    char name[28];
} mesh_process;

/* listener: what others watch, to be closed when all have left; -1: none. */
mesh_process mesh_process_here(int *listener);
/* Begins to watch processes [ranks] of this rank's node; mesh_deaths_end ends it. NULL:
 * there is none to watch, or the system does not let one. */
mesh_deaths *mesh_deaths_watch(mesh_job *mesh, const mesh_process *processes);
void mesh_deaths_end(mesh_deaths *deaths); /* NULL is allowed */

/* ---- mesh.c -------------------------------------------------------------------------- */

/* A mesh of so many ranks without courier or names; rank, node etc. are the caller's. */
mesh_job *mesh_make(size_t ranks, const mesh_options *options, base_error *err);
/* Nodes, local ranks and names from rank, members[].peer, .host and .node. */
void mesh_number(mesh_job *mesh);
/* From now on the ranks mind one another; the counters begin. */
base_status mesh_watch(mesh_job *mesh, base_error *err);

/* ---- detect.c ------------------------------------------------------------------------ */

/* For mesh_courier_start, open_user = a mesh_launch: opens the launch's module. */
bool mesh_module_open(mesh_courier *courier, mesh_why *why);
/* What a launcher is called, and the packages of a module, for people. */
const char *mesh_launcher_name(mesh_launcher launcher);

/* ---- place.c: pure, tested apart ----------------------------------------------------- */

enum { MESH_CPUS_MOST = 1024 };

/* What a rank tells the others. */
typedef struct mesh_mask {
    uint64_t bits[MESH_CPUS_MOST / 64];    /* processors it may run on, later its part */
    uint64_t machine[MESH_CPUS_MOST / 64]; /* that it could ask for */
    uint32_t threads;                      /* wanted, 0: all; later its number */
    uint32_t quota;                        /* of the control group, in processors */
    uint32_t keep, oversubscribe;
} mesh_mask;

/* base_cpus_describe but in tests. */
typedef void mesh_describe(base_cpu *out, const int *ids, size_t count);

/* Processors of local rank `local` of `count` masks of one node into ids [MESH_CPUS_MOST];
 * returns how many. moved: not those of its mask. */
size_t mesh_place_part(int *ids, bool *moved, const mesh_mask *const *masks, size_t count,
                       size_t local, mesh_describe *describe);

/* ---- engine_threads.c ---------------------------------------------------------------- */

/* Faults for tests. */
typedef struct mesh_hub mesh_hub;
mesh_hub *mesh_hub_of(mesh_job *mesh);
/* The rank's courier no longer does anything, as if its process had been stopped. */
void mesh_hub_freeze(mesh_hub *hub, size_t rank, bool frozen);
/* Messages take up to so many tests to arrive, in any order of operations. */
void mesh_hub_scatter(mesh_hub *hub, unsigned most);
/* The rank's next post fails. */
void mesh_hub_break(mesh_hub *hub, size_t rank);

#endif
