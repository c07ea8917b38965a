/* test_peers.h - ranks as threads of one process: each runs the same function with a table
 * of peers, joined by the mesh of threads. The functions run kernels: forked children only,
 * each thread with OpenMP threads of its own. */
#ifndef TESTS_TEST_PEERS_H
#define TESTS_TEST_PEERS_H

#include <check.h>
#include <omp.h>
#include <pthread.h>

#include "mesh/mesh.h"
#include "vit/vit.h"

enum { PEERS_MOST = 8 };

typedef struct peer_rank {
    mesh_job *mesh;
    mesh_ticket ticket[VIT_TICKETS];
    vit_peers peers;
    uint64_t asked; /* of arrivals: every third is not yet */
    bool held;      /* weights come when they are waited for, not before */
    struct {
        void *all; /* NULL: nothing is held */
        size_t at[PEERS_MOST], bytes[PEERS_MOST];
    } hold[VIT_TICKETS];
    pthread_t thread;
    void (*run)(void *user, const vit_peers *peers);
    void *user;
} peer_rank;

static inline void peer_exchange(void *user, size_t ticket, const void *send,
                                 const size_t *send_at, const size_t *send_bytes,
                                 void *receive, const size_t *receive_at,
                                 const size_t *receive_bytes)
{
    peer_rank *p = user;

    mesh_exchange(mesh_world(p->mesh), &p->ticket[ticket], send, send_at, send_bytes,
                  receive, receive_at, receive_bytes);
}

static inline void peer_gather(void *user, size_t ticket, void *all, const size_t *at,
                               const size_t *bytes)
{
    peer_rank *p = user;

    if (p->held && ticket > 0) {
        p->hold[ticket].all = all;
        memcpy(p->hold[ticket].at, at, p->peers.ranks * sizeof *at);
        memcpy(p->hold[ticket].bytes, bytes, p->peers.ranks * sizeof *bytes);
        return;
    }
    mesh_gather(mesh_world(p->mesh), &p->ticket[ticket], all, at, bytes);
}

static inline bool peer_arrived(void *user, size_t ticket)
{
    peer_rank *p = user;

    return p->asked++ % 3 != 0 && !p->hold[ticket].all && mesh_arrived(&p->ticket[ticket]);
}

static inline base_status peer_wait(void *user, size_t ticket, base_error *err)
{
    peer_rank *p = user;

    if (p->hold[ticket].all)
        mesh_gather(mesh_world(p->mesh), &p->ticket[ticket], p->hold[ticket].all,
                    p->hold[ticket].at, p->hold[ticket].bytes);
    p->hold[ticket].all = NULL;
    return mesh_wait(&p->ticket[ticket], err);
}

static inline base_status peer_all(void *user, void *each, size_t bytes, base_error *err)
{
    return mesh_all(mesh_world(((peer_rank *)user)->mesh), each, bytes, err);
}

static inline void *peer_main(void *rank)
{
    peer_rank *p = rank;

    omp_set_num_threads(1);
    p->run(p->user, &p->peers);
    mesh_close(p->mesh);
    return NULL;
}

/* run(user[r], peers of rank r) on all ranks, each a thread. held: what reads weights of
 * other ranks without waiting for them finds the old ones, surely. */
static inline void peers_run(size_t ranks, size_t bucket_floats, bool held,
                             void (*run)(void *user, const vit_peers *peers), void **user)
{
    static peer_rank rank[PEERS_MOST];
    mesh_job *ends[PEERS_MOST];
    base_error err = {0};

    ck_assert_uint_le(ranks, PEERS_MOST);
    ck_assert_msg(mesh_open_threads(ends, ranks, 0, NULL, &err) == BASE_OK, "%s", err.text);
    for (size_t r = 0; r < ranks; r++) {
        rank[r] = (peer_rank){
            .mesh = ends[r], .asked = r, .held = held, .run = run, .user = user[r]};
        rank[r].peers = (vit_peers){.user = &rank[r],
                                    .rank = r,
                                    .ranks = ranks,
                                    .bucket_floats = bucket_floats,
                                    .exchange = peer_exchange,
                                    .gather = peer_gather,
                                    .arrived = peer_arrived,
                                    .wait = peer_wait,
                                    .all = peer_all};
        ck_assert_int_eq(pthread_create(&rank[r].thread, NULL, peer_main, &rank[r]), 0);
    }
    for (size_t r = 0; r < ranks; r++)
        pthread_join(rank[r].thread, NULL);
}

#endif
