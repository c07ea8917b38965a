/* test_mesh_faults.c - ranks that fail, stop, come late or disagree: who is named, and that
 * everybody's calls end. The ranks are threads; the transport stops or breaks on demand. */
#include "tests/test_mesh.h"

#include <stdatomic.h>
#include <time.h>

#include "mesh/mesh_internal.h"

static base_status step_once(test_rank *rank, uint64_t step, base_error *err)
{
    mesh_say(rank->mesh, step, MESH_PHASE_EXCHANGE);
    return mesh_barrier(mesh_world(rank->mesh), err);
}

/* Steps until the job fails. */
static void until_failure(test_rank *rank, base_error *err)
{
    uint64_t step = 1;

    while (step_once(rank, step, err) == BASE_OK)
        step++;
}

static void pause_for(double seconds)
{
    const struct timespec time = {(time_t)seconds,
                                  (long)(1e9 * (seconds - (double)(time_t)seconds))};

    nanosleep(&time, NULL);
}

/* ---- failures ------------------------------------------------------------------------ */

static void failure_work(test_rank *rank)
{
    base_error err = {0}, again = {0};

    for (uint64_t step = 1; step < 5; step++)
        RANK_CHECK(rank, step_once(rank, step, &err) == BASE_OK);
    if (rank->rank == 2) {
        RANK_CHECK(rank, !mesh_failed(rank->mesh, &err));
        base_fail(&err, BASE_IO, "'pictures.tar' cannot be read");
        mesh_fail(rank->mesh, &err);
        RANK_CHECK(rank, step_once(rank, 5, &again) == BASE_IO);
        RANK_CHECK(rank, strcmp(again.text, "'pictures.tar' cannot be read") == 0);
        return;
    }
    RANK_CHECK(rank, step_once(rank, 5, &err) == BASE_IO);
    RANK_CHECK(rank,
               strcmp(err.text, "rank 2 (node1): 'pictures.tar' cannot be read") == 0);
    RANK_CHECK(rank, mesh_failed(rank->mesh, &again));
    RANK_CHECK(rank, strcmp(err.text, again.text) == 0);
    /* it stays failed, with the same words */
    RANK_CHECK(rank, mesh_barrier(mesh_world(rank->mesh), &again) == BASE_IO);
    RANK_CHECK(rank, strcmp(err.text, again.text) == 0);
}

START_TEST(a_failure_reaches_all_ranks_with_the_name_of_its_own)
{
    test_ranks_run(3, 2, NULL, failure_work, NULL, NULL);
    test_ranks_run(8, 2, NULL, failure_work, NULL, NULL);
}
END_TEST

static void busy_work(test_rank *rank)
{
    base_error err = {0};

    if (rank->rank == 1) {
        base_fail(&err, BASE_NO_MEMORY, "no memory");
        mesh_fail(rank->mesh, &err);
        return;
    }
    while (!mesh_failed(rank->mesh, &err)) /* in a long computation, without a call */
        pause_for(0.01);
    RANK_CHECK(rank, strcmp(err.text, "rank 1 (node0): no memory") == 0);
}

START_TEST(a_failure_is_seen_between_calls)
{
    test_ranks_run(2, 0, NULL, busy_work, NULL, NULL);
}
END_TEST

START_TEST(alone_nothing_fails)
{
    mesh_job *mesh = NULL;
    base_error err = {0};

    ck_assert_int_eq(mesh_open(&mesh, NULL, &err), BASE_OK);
    base_fail(&err, BASE_IO, "x");
    mesh_fail(mesh, &err);
    ck_assert(!mesh_failed(mesh, NULL));
    ck_assert_int_eq(mesh_barrier(mesh_world(mesh), &err), BASE_OK);
    ck_assert_uint_eq(mesh_ranks(mesh), 1);
    ck_assert_str_eq(mesh_transport(mesh), "alone");
    mesh_close(mesh);
    mesh_close(NULL);
}
END_TEST

static void leaver_work(test_rank *rank)
{
    base_error err = {0};

    for (uint64_t step = 1; step < 5; step++)
        RANK_CHECK(rank, step_once(rank, step, &err) == BASE_OK);
    if (rank->rank == 1) /* closes in good order, but early */
        return;
    RANK_CHECK(rank, step_once(rank, 5, &err) == BASE_INTERRUPTED);
    RANK_CHECK(rank, strcmp(err.text, "rank 1 (node0) has left the job") == 0);
}

START_TEST(a_rank_that_leaves_early_is_named)
{
    test_ranks_run(3, 0, NULL, leaver_work, NULL, NULL);
}
END_TEST

/* ---- a transport that refuses -------------------------------------------------------- */

static void broken_work(test_rank *rank)
{
    base_error err = {0};

    until_failure(rank, &err);
    RANK_CHECK(rank, strcmp(err.text, rank->rank == 1 ? "the post was refused"
                                                      : "rank 1 (node0): the post was "
                                                        "refused") == 0);
}

static void break_one(mesh_job **meshes)
{
    mesh_hub_break(mesh_hub_of(meshes[0]), 1);
}

START_TEST(a_transport_that_refuses_ends_the_job)
{
    test_ranks_run(3, 0, NULL, broken_work, NULL, break_one);
}
END_TEST

static void sizes_work(test_rank *rank)
{
    const size_t at[2] = {0, 16}, own = rank->rank, other = 1 - own;
    unsigned char send[32] = {0}, receive[32];
    size_t out[2] = {0}, in[2] = {0};
    mesh_ticket ticket = {0};
    base_error err = {0};

    out[other] = 8;
    in[other] = own == 0 ? 8 : 9; /* rank 1 expects more than comes */
    mesh_exchange(mesh_world(rank->mesh), &ticket, send, at, out, receive, at, in);
    RANK_CHECK(rank, mesh_wait(&ticket, &err) == BASE_INTERNAL);
    RANK_CHECK(rank, strstr(err.text, "two ranks do not agree on a size") != NULL);
}

START_TEST(ranks_that_disagree_on_sizes_fail)
{
    test_ranks_run(2, 0, NULL, sizes_work, NULL, NULL);
}
END_TEST

/* ---- silent ranks -------------------------------------------------------------------- */

typedef struct silence {
    size_t rank; /* that stops in step 7 */
} silence;

static void silence_work(test_rank *rank)
{
    const silence *who = rank->user;
    base_error err = {0};
    char begin[64], end[] = " s (step 7, exchange): the job ends";
    uint64_t step = 1;

    while (step_once(rank, step, &err) == BASE_OK) {
        step++;
        if (step == 7)
            mesh_say(rank->mesh, step, MESH_PHASE_EXCHANGE);
        if (step == 7) { /* what it says of itself is on its way: two heartbeats */
            pause_for(2.5);
            if (rank->rank == who->rank)
                mesh_hub_freeze(mesh_hub_of(rank->mesh), rank->rank, true);
        }
    }
    if (rank->rank == who->rank) /* woken by the end of the job */
        return;
    if (rank->rank > 0 && strcmp(err.text, "the job was ended") == 0)
        return; /* rank 0 was faster than its note */
    snprintf(begin, sizeof begin, "rank %zu (node0) has been silent for 6", who->rank);
    RANK_CHECK(rank, strstr(err.text, begin) == err.text);
    RANK_CHECK(rank, strlen(err.text) > sizeof end &&
                         strcmp(err.text + strlen(err.text) - strlen(end), end) == 0);
}

START_TEST(a_silent_rank_is_named_and_ends_the_job)
{
    mesh_options options = mesh_options_defaults();

    options.patience = 6;
    test_ranks_run(3, 0, &options, silence_work, &(silence){.rank = 2}, NULL);
    test_ranks_run(2, 0, &options, silence_work, &(silence){.rank = 0}, NULL);
}
END_TEST

/* All stand still for longer than patience, as a job that its user has suspended: nobody
 * was silent. */
static void gap_work(test_rank *rank)
{
    base_error err = {0};

    for (uint64_t step = 1; step < 20; step++) {
        if (step == 10 && rank->rank == 0) {
            for (size_t i = 0; i < mesh_ranks(rank->mesh); i++)
                mesh_hub_freeze(mesh_hub_of(rank->mesh), i, true);
            pause_for(6);
            for (size_t i = 0; i < mesh_ranks(rank->mesh); i++)
                mesh_hub_freeze(mesh_hub_of(rank->mesh), i, false);
            pause_for(0.3);
        }
        RANK_CHECK(rank, step_once(rank, step, &err) == BASE_OK);
    }
}

START_TEST(a_job_that_stood_still_accuses_nobody)
{
    mesh_options options = mesh_options_defaults();

    options.patience = 4;
    test_ranks_run(3, 0, &options, gap_work, NULL, NULL);
}
END_TEST

/* ---- late ranks ---------------------------------------------------------------------- */

typedef struct lines {
    _Atomic int count;
    char text[256];
} lines;

static void keep_line(void *user, const char *line)
{
    lines *kept = user;

    if (atomic_load(&kept->count) == 0)
        snprintf(kept->text, sizeof kept->text, "%s", line);
    atomic_fetch_add(&kept->count, 1);
}

static void late_work(test_rank *rank)
{
    lines *kept = rank->user;
    base_error err = {0};

    for (uint64_t step = 1; step < 4; step++) {
        mesh_say(rank->mesh, step, MESH_PHASE_LOADING);
        for (int tries = 0; tries < 6000 && step == 3 && rank->rank == 1; tries++) {
            if (atomic_load(&kept->count) > 0)
                break;
            pause_for(0.01);
        }
        RANK_CHECK(rank, mesh_barrier(mesh_world(rank->mesh), &err) == BASE_OK);
    }
}

START_TEST(a_late_rank_is_named_once_and_waited_for)
{
    mesh_options options = mesh_options_defaults();
    lines kept = {0};

    options.late = 2.5; /* after a heartbeat */
    options.log = keep_line;
    options.user = &kept;
    test_ranks_run(3, 0, &options, late_work, &kept, NULL);
    ck_assert_int_eq(atomic_load(&kept.count), 1);
    ck_assert_msg(strstr(kept.text, "waiting ") == kept.text &&
                      strstr(kept.text, " s for rank 1 (node0): loading pictures, step 3"),
                  "%s", kept.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh_faults");
    TCase *core = tcase_create("core"), *time = tcase_create("time");

    tcase_add_test(core, a_failure_reaches_all_ranks_with_the_name_of_its_own);
    tcase_add_test(core, a_failure_is_seen_between_calls);
    tcase_add_test(core, alone_nothing_fails);
    tcase_add_test(core, a_rank_that_leaves_early_is_named);
    tcase_add_test(core, a_transport_that_refuses_ends_the_job);
    tcase_add_test(core, ranks_that_disagree_on_sizes_fail);
    tcase_add_test(time, a_silent_rank_is_named_and_ends_the_job);
    tcase_add_test(time, a_job_that_stood_still_accuses_nobody);
    tcase_add_test(time, a_late_rank_is_named_once_and_waited_for);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, time);
    return test_run(suite);
}
