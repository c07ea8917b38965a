/* test_mesh.h - R ranks as threads of one test. */
#ifndef TESTS_TEST_MESH_H
#define TESTS_TEST_MESH_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mesh/mesh.h"
#include "tests/test_run.h"

enum { TEST_RANKS_MOST = 8 };

/* What a rank does. Check's assertions belong to the main thread: a rank says what is wrong
 * through test_rank_wrong. */
typedef struct test_rank {
    mesh_job *mesh;
    size_t rank;
    void *user;
    void (*work)(struct test_rank *rank);
    char wrong[256];
} test_rank;

#define RANK_CHECK(rank_, true_)                                                           \
    do {                                                                                   \
        if (!(true_) && !(rank_)->wrong[0])                                                \
            snprintf((rank_)->wrong, sizeof(rank_)->wrong, "rank %zu: line %d: %s",        \
                     (rank_)->rank, __LINE__, #true_);                                     \
    } while (0)

static inline void *test_rank_main(void *arg)
{
    test_rank *rank = arg;

    rank->work(rank);
    mesh_close(rank->mesh);
    return NULL;
}

/* Opens `ranks` ranks, `local` a node, and lets each work; fails the test with the first
 * thing that is wrong. prepare (may be NULL) sees the meshes before. */
static inline void test_ranks_run(size_t ranks, size_t local, const mesh_options *options,
                                  void (*work)(test_rank *rank), void *user,
                                  void (*prepare)(mesh_job **meshes))
{
    mesh_job *meshes[TEST_RANKS_MOST];
    test_rank each[TEST_RANKS_MOST];
    pthread_t threads[TEST_RANKS_MOST];
    base_error err = {0};

    memset(each, 0, sizeof each);
    ck_assert_msg(mesh_open_threads(meshes, ranks, local, options, &err) == BASE_OK, "%s",
                  err.text);
    if (prepare)
        prepare(meshes);
    for (size_t i = 0; i < ranks; i++) {
        each[i].mesh = meshes[i];
        each[i].rank = i;
        each[i].user = user;
        each[i].work = work;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, test_rank_main, &each[i]), 0);
    }
    for (size_t i = 0; i < ranks; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < ranks; i++)
        ck_assert_msg(!each[i].wrong[0], "%s", each[i].wrong);
}

#endif
