/* test_mesh_transfers.c - what ranks send one another arrives, in order and counted. The
 * ranks are threads of this process; the code above the transport is the one of MPI. */
#include <math.h>

#include "tests/test_mesh.h"

#include "mesh/mesh_internal.h"

#include <signal.h>

static const size_t rank_counts[] = {1, 2, 3, 4, 8};
enum { RANK_COUNTS = 5 };

/* Bytes that rank `from` sends to rank `to`; some pairs have nothing to say. */
static size_t pair_bytes(size_t from, size_t to)
{
    return from == 1 && to == 0 ? 0 : 1 + 37 * from + 5 * to;
}

static unsigned char pair_byte(size_t from, size_t to, size_t i)
{
    return (unsigned char)(from * 41 + to * 7 + i * 3 + 1);
}

static void exchange_work(test_rank *rank)
{
    enum { ROUNDS = 3 };
    mesh_group *world = mesh_world(rank->mesh);
    const size_t ranks = mesh_ranks(rank->mesh), self = rank->rank;
    static _Thread_local unsigned char send[ROUNDS][4096], receive[ROUNDS][4096];
    size_t out_at[8], out_bytes[8], in_at[8], in_bytes[8], out = 0, in = 0;
    mesh_ticket tickets[ROUNDS] = {{0}};
    base_error err;

    for (size_t i = 0; i < ranks; i++) {
        out_at[i] = out;
        in_at[i] = in;
        out += out_bytes[i] = pair_bytes(self, i);
        in += in_bytes[i] = pair_bytes(i, self);
    }
    for (size_t round = 0; round < ROUNDS; round++) { /* three at a time */
        memset(receive[round], 0, sizeof receive[round]);
        for (size_t i = 0; i < ranks; i++)
            for (size_t b = 0; b < out_bytes[i]; b++)
                send[round][out_at[i] + b] = pair_byte(self, i, b + 100 * round);
        mesh_exchange(world, &tickets[round], send[round], out_at, out_bytes,
                      receive[round], in_at, in_bytes);
    }
    for (size_t round = ROUNDS; round-- > 0;)
        RANK_CHECK(rank, mesh_wait(&tickets[round], &err) == BASE_OK);
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < ranks; i++)
            for (size_t b = 0; b < in_bytes[i]; b++)
                RANK_CHECK(rank, receive[round][in_at[i] + b] ==
                                     pair_byte(i, self, b + 100 * round));
    const mesh_counts counts = mesh_counted(rank->mesh);
    RANK_CHECK(rank, counts.kind[MESH_KIND_EXCHANGE].calls == ROUNDS);
    RANK_CHECK(rank,
               counts.kind[MESH_KIND_EXCHANGE].sent == ROUNDS * (out - out_bytes[self]));
    RANK_CHECK(rank,
               counts.kind[MESH_KIND_EXCHANGE].received == ROUNDS * (in - in_bytes[self]));
    RANK_CHECK(rank, counts.kind[MESH_KIND_EXCHANGE].far == 0);
}

static void scatter(mesh_job **meshes)
{
    mesh_hub_scatter(mesh_hub_of(meshes[0]), 50);
}

START_TEST(exchange_brings_every_pair_its_bytes)
{
    for (size_t i = 0; i < RANK_COUNTS; i++) {
        test_ranks_run(rank_counts[i], 0, NULL, exchange_work, NULL, NULL);
        test_ranks_run(rank_counts[i], 0, NULL, exchange_work, NULL, scatter);
    }
}
END_TEST

static void gather_work(test_rank *rank)
{
    const size_t ranks = mesh_ranks(rank->mesh), self = rank->rank;
    size_t at[8], bytes[8], all = 0;
    unsigned char data[4096];
    mesh_ticket ticket = {0};
    base_error err;

    for (size_t i = 0; i < ranks; i++) {
        at[i] = all;
        all += bytes[i] = 11 * i; /* rank 0 has nothing */
    }
    for (size_t turn = 0; turn < 2; turn++) {
        memset(data, 0, sizeof data);
        for (size_t b = 0; b < bytes[self]; b++)
            data[at[self] + b] = pair_byte(self, turn, b);
        mesh_gather(mesh_world(rank->mesh), &ticket, data, at, bytes);
        RANK_CHECK(rank, mesh_wait(&ticket, &err) == BASE_OK);
        for (size_t i = 0; i < ranks; i++)
            for (size_t b = 0; b < bytes[i]; b++)
                RANK_CHECK(rank, data[at[i] + b] == pair_byte(i, turn, b));
    }
    const mesh_counts counts = mesh_counted(rank->mesh);
    RANK_CHECK(rank, counts.kind[MESH_KIND_GATHER].sent == 2 * bytes[self] * (ranks - 1));
}

START_TEST(gather_brings_all_pieces_to_all)
{
    for (size_t i = 0; i < RANK_COUNTS; i++)
        test_ranks_run(rank_counts[i], 0, NULL, gather_work, NULL, NULL);
}
END_TEST

/* Numbers whose sum depends on the order. */
static double number(size_t rank, size_t i)
{
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, rank, i, 0);

    return (base_rng_uniform(&rng) - 0.5) * (rank % 3 == 0 ? 1e16 : 1);
}

/* The tree, written out. */
static double by_hand(size_t ranks, size_t i)
{
    double x[8];

    for (size_t rank = 0; rank < ranks; rank++)
        x[rank] = number(rank, i);
    switch (ranks) {
    case 1: return x[0];
    case 2: return x[0] + x[1];
    case 3: return (x[0] + x[1]) + x[2];
    case 4: return (x[0] + x[1]) + (x[2] + x[3]);
    default: return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
    }
}

static void sum_work(test_rank *rank)
{
    enum { COUNT = 100 };
    const size_t ranks = mesh_ranks(rank->mesh);
    double x[COUNT];
    base_error err;

    for (size_t i = 0; i < COUNT; i++)
        x[i] = number(rank->rank, i);
    RANK_CHECK(rank, mesh_sum(mesh_world(rank->mesh), x, COUNT, &err) == BASE_OK);
    for (size_t i = 0; i < COUNT; i++) {
        const double right = by_hand(ranks, i);
        RANK_CHECK(rank, memcmp(&x[i], &right, sizeof right) == 0);
    }
}

START_TEST(sums_are_added_by_the_tree_on_all_ranks)
{
    for (size_t i = 0; i < RANK_COUNTS; i++) {
        test_ranks_run(rank_counts[i], 0, NULL, sum_work, NULL, NULL);
        test_ranks_run(rank_counts[i], 0, NULL, sum_work, NULL, scatter);
    }
}
END_TEST

static void broadcast_work(test_rank *rank)
{
    enum { LARGE = (1 << 20) + 12345, SMALL = 100 };
    const size_t ranks = mesh_ranks(rank->mesh);
    unsigned char *data = base_alloc(LARGE, 1);
    base_error err;

    for (size_t root = 0; root < ranks; root++)
        for (size_t bytes = SMALL; bytes <= LARGE; bytes += LARGE - SMALL) {
            for (size_t i = 0; i < bytes; i++)
                data[i] = rank->rank == root ? pair_byte(root, bytes, i) : 0;
            RANK_CHECK(rank, mesh_broadcast(mesh_world(rank->mesh), root, data, bytes,
                                            &err) == BASE_OK);
            for (size_t i = 0; i < bytes; i++)
                RANK_CHECK(rank, data[i] == pair_byte(root, bytes, i));
        }
    base_free(data);
}

START_TEST(broadcast_brings_the_roots_bytes_to_all)
{
    for (size_t i = 0; i < RANK_COUNTS; i++)
        test_ranks_run(rank_counts[i], 0, NULL, broadcast_work, NULL, NULL);
}
END_TEST

static void group_work(test_rank *rank)
{
    const size_t ranks = mesh_ranks(rank->mesh);
    mesh_group *odd_even = NULL, *node = NULL;
    size_t each[8] = {0};
    base_error err;

    RANK_CHECK(rank, mesh_nodes(rank->mesh) == (ranks + 1) / 2);
    RANK_CHECK(rank, mesh_node(rank->mesh) == rank->rank / 2);
    RANK_CHECK(rank, mesh_local_rank(rank->mesh) == rank->rank % 2);
    RANK_CHECK(rank, mesh_split(&odd_even, rank->mesh, rank->rank % 2, &err) == BASE_OK);
    RANK_CHECK(rank, mesh_split(&node, rank->mesh, mesh_node(rank->mesh), &err) == BASE_OK);
    if (rank->wrong[0])
        return;
    RANK_CHECK(rank, mesh_group_ranks(node) == mesh_local_ranks(rank->mesh));
    RANK_CHECK(rank, mesh_group_rank(odd_even) == rank->rank / 2);
    each[mesh_group_rank(odd_even)] = rank->rank;
    RANK_CHECK(rank, mesh_all(odd_even, each, sizeof *each, &err) == BASE_OK);
    for (size_t i = 0; i < mesh_group_ranks(odd_even); i++)
        RANK_CHECK(rank, each[i] == 2 * i + rank->rank % 2);
    const uint64_t before = mesh_counted(rank->mesh).kind[MESH_KIND_SMALL].far;
    double one = 1;
    RANK_CHECK(rank, mesh_sum(node, &one, 1, &err) == BASE_OK);
    RANK_CHECK(rank, one == (double)mesh_group_ranks(node));
    RANK_CHECK(rank, mesh_counted(rank->mesh).kind[MESH_KIND_SMALL].far == before);
    RANK_CHECK(rank, mesh_barrier(odd_even, &err) == BASE_OK);
    RANK_CHECK(rank, mesh_counted(rank->mesh).kind[MESH_KIND_SMALL].far ==
                         before + mesh_group_ranks(odd_even) - 1);
}

START_TEST(groups_have_their_own_ranks_and_far_bytes_are_those_between_nodes)
{
    for (size_t i = 0; i < RANK_COUNTS; i++)
        test_ranks_run(rank_counts[i], 2, NULL, group_work, NULL, NULL);
}
END_TEST

/* What five ranks on nodes of two send: every kind by itself, own pieces not at all. */
static void counts_work(test_rank *rank)
{
    enum { RANKS = 5, PIECE = 150000, LARGE = 1 << 21, SHARE = 419456 };
    mesh_group *world = mesh_world(rank->mesh);
    const size_t self = rank->rank, away = self < 4 ? 3 : 4, own = 100 * (self + 1);
    unsigned char *data = base_alloc(LARGE, 1);
    size_t at[RANKS], bytes[RANKS], all = 0;
    mesh_ticket ticket = {0};
    base_error err;
    double x[3] = {1, 2, 3};
    uint64_t each[RANKS] = {0};

    for (size_t i = 0; i < RANKS; i++) {
        at[i] = all;
        all += bytes[i] = 100 * (i + 1);
    }
    mesh_gather(world, &ticket, data, at, bytes);
    RANK_CHECK(rank, mesh_wait(&ticket, &err) == BASE_OK);
    mesh_counts c = mesh_counted(rank->mesh);
    RANK_CHECK(rank, c.kind[MESH_KIND_GATHER].calls == 1);
    RANK_CHECK(rank, c.kind[MESH_KIND_GATHER].sent == 4 * own);
    RANK_CHECK(rank, c.kind[MESH_KIND_GATHER].received == all - own);
    RANK_CHECK(rank, c.kind[MESH_KIND_GATHER].far == away * own);
    for (size_t i = 0; i < RANKS; i++) { /* three messages each */
        at[i] = i * PIECE;
        bytes[i] = PIECE;
    }
    for (size_t b = 0; b < PIECE; b++)
        data[self * PIECE + b] = pair_byte(self, 3, b % 1009);
    mesh_gather(world, &ticket, data, at, bytes);
    RANK_CHECK(rank, mesh_wait(&ticket, &err) == BASE_OK);
    for (size_t i = 0; i < RANKS; i++)
        for (size_t b = 0; b < PIECE; b++)
            RANK_CHECK(rank, data[i * PIECE + b] == pair_byte(i, 3, b % 1009));
    /* small things: 8 bytes, three numbers, a byte */
    each[self] = self + 1;
    RANK_CHECK(rank, mesh_all(world, each, sizeof *each, &err) == BASE_OK);
    RANK_CHECK(rank, mesh_sum(world, x, 3, &err) == BASE_OK);
    RANK_CHECK(rank, mesh_barrier(world, &err) == BASE_OK);
    RANK_CHECK(rank, x[0] == 5 && x[1] == 10 && x[2] == 15);
    for (size_t i = 0; i < RANKS; i++)
        RANK_CHECK(rank, each[i] == i + 1);
    c = mesh_counted(rank->mesh);
    RANK_CHECK(rank, c.kind[MESH_KIND_SMALL].calls == 3);
    RANK_CHECK(rank, c.kind[MESH_KIND_SMALL].sent == 4 * (8 + 24 + 1));
    RANK_CHECK(rank, c.kind[MESH_KIND_SMALL].received == 4 * (8 + 24 + 1));
    RANK_CHECK(rank, c.kind[MESH_KIND_SMALL].far == away * (8 + 24 + 1));
    /* as one piece from rank 3; in parts from rank 1 */
    memset(data, self == 3 ? 7 : 0, 100);
    RANK_CHECK(rank, mesh_broadcast(world, 3, data, 100, &err) == BASE_OK);
    RANK_CHECK(rank, data[0] == 7 && data[99] == 7);
    c = mesh_counted(rank->mesh);
    RANK_CHECK(rank, c.kind[MESH_KIND_BROADCAST].calls == 1);
    RANK_CHECK(rank, c.kind[MESH_KIND_BROADCAST].sent == (self == 3 ? 400 : 0));
    RANK_CHECK(rank, c.kind[MESH_KIND_BROADCAST].received == (self == 3 ? 0 : 100));
    RANK_CHECK(rank, c.kind[MESH_KIND_BROADCAST].far == (self == 3 ? 300 : 0));
    for (size_t b = 0; b < LARGE; b++)
        data[b] = self == 1 ? (unsigned char)(b % 251) : 0;
    RANK_CHECK(rank, mesh_broadcast(world, 1, data, LARGE, &err) == BASE_OK);
    for (size_t b = 0; b < LARGE; b++)
        RANK_CHECK(rank, data[b] == b % 251);
    const mesh_counts d = mesh_counted(rank->mesh);
    const size_t share = self < 4 ? SHARE : LARGE - 4 * SHARE;
    RANK_CHECK(rank, d.kind[MESH_KIND_BROADCAST].calls == 3);
    RANK_CHECK(rank, d.kind[MESH_KIND_BROADCAST].sent - c.kind[MESH_KIND_BROADCAST].sent ==
                         4 * share + (self == 1 ? LARGE - share : 0));
    RANK_CHECK(rank, d.kind[MESH_KIND_BROADCAST].received -
                             c.kind[MESH_KIND_BROADCAST].received ==
                         (self == 1 ? LARGE - share : LARGE));
    RANK_CHECK(rank, d.kind[MESH_KIND_GATHER].calls == 2);
    RANK_CHECK(rank, d.kind[MESH_KIND_EXCHANGE].calls == 0);
    for (size_t kind = 0; kind < MESH_KINDS; kind++)
        RANK_CHECK(rank, d.kind[kind].waited >= 0);
    for (size_t less = 0; less < 2; less++) { /* in parts from 1 MiB on */
        RANK_CHECK(rank, mesh_broadcast(world, 1, data, LARGE / 2 - less, &err) == BASE_OK);
        RANK_CHECK(rank,
                   mesh_counted(rank->mesh).kind[MESH_KIND_BROADCAST].calls == 5 + less);
    }
    base_free(data);
}

START_TEST(every_kind_is_counted_by_itself)
{
    test_ranks_run(5, 2, NULL, counts_work, NULL, NULL);
}
END_TEST

static void agree_work(test_rank *rank)
{
    const size_t ranks = mesh_ranks(rank->mesh);
    base_error err;

    RANK_CHECK(rank, mesh_agree(rank->mesh, "the recipe", "abc", &err) == BASE_OK);
    const base_status status =
        mesh_agree(rank->mesh, "the recipe", rank->rank == 2 ? "abd" : "abc", &err);
    RANK_CHECK(rank, status == (ranks > 2 ? BASE_USAGE : BASE_OK));
    if (ranks > 2)
        RANK_CHECK(rank, strcmp(err.text, "rank 2 (node0) has the recipe 'abd', rank 0 "
                                          "(node0) 'abc'") == 0);
}

START_TEST(ranks_that_disagree_are_named_on_all_ranks)
{
    for (size_t i = 0; i < RANK_COUNTS; i++)
        test_ranks_run(rank_counts[i], 0, NULL, agree_work, NULL, NULL);
}
END_TEST

START_TEST(trees_of_other_numbers_have_the_larger_half_left)
{
    const double a = 1e16, b = 1, c = -1e16, d = 3, e = 1e-3, f = 7, g = -2;
    const double *const each[] = {&a, &b, &c, &d, &e, &f, &g};
    const double right = ((a + b) + (c + d)) + ((e + f) + g);
    double sum = 0;

    mesh_tree_sum(&sum, each, 7, 1);
    ck_assert_mem_eq(&sum, &right, sizeof sum);
    mesh_tree_sum(&sum, each, 1, 1);
    ck_assert_mem_eq(&sum, &a, sizeof sum);
}
END_TEST

/* Every number of contributions up to eight, of several numbers each; in place. */
START_TEST(sums_have_their_brackets)
{
    enum { MOST = 8, COUNT = 5 };
    double x[MOST][COUNT], out[COUNT];
    const double *each[MOST];
    base_rng rng = base_rng_make(4, BASE_PURPOSE_TEST, 0, 0, 0);

    for (size_t i = 0; i < MOST; i++)
        for (size_t k = 0; k < COUNT; k++)
            x[i][k] = base_rng_normal(&rng) * pow(10, 9 * base_rng_normal(&rng));
    for (size_t i = 0; i < MOST; i++)
        each[i] = x[i];
    for (size_t n = 2; n <= MOST; n++) {
        mesh_tree_sum(out, each, n, COUNT);
        for (size_t k = 0; k < COUNT; k++) {
            const double a = x[0][k], b = x[1][k], c = x[2][k], d = x[3][k], e = x[4][k],
                         f = x[5][k], g = x[6][k], h = x[7][k], four = (a + b) + (c + d);
            const double sums[MOST + 1] = {0,
                                           a,
                                           a + b,
                                           (a + b) + c,
                                           four,
                                           four + e,
                                           four + (e + f),
                                           four + ((e + f) + g),
                                           four + ((e + f) + (g + h))};
            ck_assert(out[k] == sums[n]);
        }
    }
    mesh_tree_sum(x[0], each, MOST, COUNT);
    ck_assert_mem_eq(x[0], out, sizeof out);
}
END_TEST

START_TEST(options_are_as_documented)
{
    const mesh_options o = mesh_options_defaults();

    ck_assert(o.patience == 60 && o.late == 60 && !o.spin && !o.log && !o.user);
}
END_TEST

static void places_work(test_rank *rank)
{
    for (size_t i = 0; i < mesh_ranks(rank->mesh); i++) {
        char host[32];
        snprintf(host, sizeof host, "node%zu", i / 3);
        RANK_CHECK(rank, rank->mesh->members[i].node == i / 3);
        RANK_CHECK(rank, strcmp(rank->mesh->members[i].host, host) == 0);
        char name[64];
        snprintf(name, sizeof name, "rank %zu (node%zu)", i, i / 3);
        RANK_CHECK(rank, strcmp(mesh_name(rank->mesh, i), name) == 0);
    }
    RANK_CHECK(rank, mesh_rank(rank->mesh) == rank->rank);
    RANK_CHECK(rank, mesh_ranks(rank->mesh) == 5 && mesh_nodes(rank->mesh) == 2);
    RANK_CHECK(rank, mesh_node(rank->mesh) == rank->rank / 3);
    RANK_CHECK(rank, mesh_local_rank(rank->mesh) == rank->rank % 3);
    RANK_CHECK(rank, mesh_local_ranks(rank->mesh) == (rank->rank < 3 ? 3 : 2));
    RANK_CHECK(rank, strcmp(mesh_transport(rank->mesh), "threads") == 0);
    RANK_CHECK(rank, mesh_group_rank(mesh_world(rank->mesh)) == rank->rank);
    RANK_CHECK(rank, mesh_group_ranks(mesh_world(rank->mesh)) == 5);
}

/* Couriers hear no signal; whoever starts them goes on hearing what he heard. */
START_TEST(nodes_have_names_and_signals_are_heard_as_before)
{
    sigset_t before, after;

    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    test_ranks_run(5, 3, NULL, places_work, NULL, NULL);
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int i = 1; i < NSIG; i++)
        ck_assert_int_eq(sigismember(&before, i), sigismember(&after, i));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh_transfers");
    TCase *core = tcase_create("core");

    tcase_add_test(core, exchange_brings_every_pair_its_bytes);
    tcase_add_test(core, gather_brings_all_pieces_to_all);
    tcase_add_test(core, sums_are_added_by_the_tree_on_all_ranks);
    tcase_add_test(core, broadcast_brings_the_roots_bytes_to_all);
    tcase_add_test(core, groups_have_their_own_ranks_and_far_bytes_are_those_between_nodes);
    tcase_add_test(core, every_kind_is_counted_by_itself);
    tcase_add_test(core, ranks_that_disagree_are_named_on_all_ranks);
    tcase_add_test(core, trees_of_other_numbers_have_the_larger_half_left);
    tcase_add_test(core, sums_have_their_brackets);
    tcase_add_test(core, options_are_as_documented);
    tcase_add_test(core, nodes_have_names_and_signals_are_heard_as_before);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
