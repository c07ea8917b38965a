/* test_mesh_place.c - what launchers say by the environment, and which processors ranks get
 * on machines that are made up. */
#include <unistd.h>

#include "tests/test_mesh.h"

#include "mesh/mesh_internal.h"

/* ---- launchers ----------------------------------------------------------------------- */

static const char *const variables[] = {"VMOE_MPI",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_COMM_WORLD_RANK",
                                        "PMI_SIZE",
                                        "PMI_RANK",
                                        "PMI_FD",
                                        "PMIX_RANK",
                                        "SLURM_STEP_NUM_TASKS",
                                        "SLURM_PROCID",
                                        "SLURM_STEP_ID"};

/* The launch seen with these "NAME=VALUE", up to NULL. */
static base_status launched(mesh_launch *out, base_error *err, const char *const *set)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    for (; *set; set++) {
        char name[64];
        const size_t length = strcspn(*set, "=");
        snprintf(name, sizeof name, "%.*s", (int)length, *set);
        setenv(name, *set + length + 1, 1);
    }
    return mesh_launched(out, err);
}

#define LAUNCHED(out, ...) launched(out, &err, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(launchers_are_known_by_the_environment)
{
    mesh_launch seen;
    base_error err = {0};

    ck_assert_int_eq(launched(&seen, &err, (const char *const[]){NULL}), BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_NONE && seen.ranks == 1 && seen.rank == 0);
    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK=3"),
                     BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_MPIRUN && seen.ranks == 4 && seen.rank == 3);
    ck_assert_str_eq(seen.module, "openmpi");
    ck_assert_int_eq(LAUNCHED(&seen, "PMI_SIZE=2", "PMI_RANK=1"), BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_HYDRA && seen.ranks == 2 && seen.rank == 1);
    ck_assert_str_eq(seen.module, "mpich");
    ck_assert_int_eq(LAUNCHED(&seen, "SLURM_STEP_NUM_TASKS=8", "SLURM_PROCID=5",
                              "SLURM_STEP_ID=0", "PMIX_RANK=5"),
                     BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_SLURM && seen.ranks == 8 && seen.rank == 5);
    ck_assert_str_eq(seen.module, "openmpi");
    ck_assert_int_eq(LAUNCHED(&seen, "SLURM_STEP_NUM_TASKS=8", "SLURM_PROCID=5",
                              "SLURM_STEP_ID=0", "PMI_RANK=5", "PMI_SIZE=8"),
                     BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_SLURM && seen.ranks == 8);
    ck_assert_str_eq(seen.module, "mpich");
}
END_TEST

START_TEST(one_task_is_alone_whoever_started_it)
{
    mesh_launch seen;
    base_error err = {0};

    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0"),
                     BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_MPIRUN && seen.ranks == 1);
    ck_assert_int_eq(LAUNCHED(&seen, "PMI_SIZE=1", "PMI_RANK=0"), BASE_OK);
    ck_assert_uint_eq(seen.ranks, 1);
    ck_assert_int_eq(LAUNCHED(&seen, "SLURM_STEP_NUM_TASKS=1"), BASE_OK);
    ck_assert_uint_eq(seen.ranks, 1);
    /* a child of a rank that works alone */
    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=4", "VMOE_MPI=none"), BASE_OK);
    ck_assert_uint_eq(seen.ranks, 1);
    /* a number that is none */
    ck_assert_int_eq(LAUNCHED(&seen, "PMI_SIZE=two"), BASE_OK);
    ck_assert_uint_eq(seen.ranks, 1);
    ck_assert_int_eq(LAUNCHED(&seen, "PMI_SIZE=-2"), BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_NONE && seen.ranks == 1);
}
END_TEST

START_TEST(srun_without_its_plug_in_is_refused)
{
    mesh_launch seen;
    base_error err = {0};
    mesh_job *mesh = NULL;

    ck_assert_int_eq(LAUNCHED(&seen, "SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=2"),
                     BASE_USAGE);
    ck_assert_str_eq(err.text,
                     "srun started 4 tasks without MPI: srun --mpi=pmix vmoe ..., "
                     "or mpirun inside the allocation");
    ck_assert_uint_eq(seen.rank, 2);
    ck_assert_int_eq(mesh_open(&mesh, NULL, &err), BASE_USAGE);
    ck_assert_ptr_null(mesh);
    ck_assert_int_eq(
        LAUNCHED(&seen, "SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=2", "VMOE_MPI=mine"),
        BASE_OK);
    ck_assert_str_eq(seen.module, "mine");
}
END_TEST

START_TEST(a_module_that_is_not_there_is_named)
{
    mesh_launch seen;
    base_error err = {0};
    mesh_job *mesh = NULL;

    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=2", "VMOE_MPI=nix"), BASE_OK);
    ck_assert_int_eq(mesh_open(&mesh, NULL, &err), BASE_USAGE);
    ck_assert_str_eq(
        err.text, "mpirun (Open MPI) started 2 ranks, but this vmoe was built without the "
                  "module 'nix': install libopenmpi-dev and openmpi-bin, build again");
    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=2", "VMOE_MPI=/dev/null"),
                     BASE_OK);
    ck_assert_int_eq(mesh_open(&mesh, NULL, &err), BASE_USAGE);
    ck_assert_msg(strstr(err.text, "cannot open the module: ") == err.text, "%s", err.text);
}
END_TEST

/* ---- processors ---------------------------------------------------------------------- */

/* Two sockets of four cores, two threads each: processors 8 .. 15 are second threads. */
static void sixteen(base_cpu *out, const int *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] =
            (base_cpu){.id = ids[i], .core = ids[i] % 8, .package = ids[i] % 8 < 4 ? 0 : 1};
}

static mesh_mask mask(uint64_t bits, uint64_t machine, bool keep)
{
    return (mesh_mask){.bits = {bits}, .machine = {machine}, .keep = keep};
}

/* The part of each rank, as bits. */
static uint64_t part(const mesh_mask *masks, size_t count, size_t local, bool *moved)
{
    const mesh_mask *each[16];
    int ids[MESH_CPUS_MOST];
    uint64_t bits = 0;

    for (size_t i = 0; i < count; i++)
        each[i] = &masks[i];
    const size_t got = mesh_place_part(ids, moved, each, count, local, sixteen);
    for (size_t i = 0; i < got; i++)
        bits |= (uint64_t)1 << ids[i];
    return bits;
}

START_TEST(equal_masks_are_cut_by_whole_cores_socket_by_socket)
{
    mesh_mask masks[4];
    bool moved;

    for (size_t i = 0; i < 4; i++)
        masks[i] = mask(0xffff, 0xffff, false);
    ck_assert_uint_eq(part(masks, 2, 0, &moved), 0x0f0f);
    ck_assert_uint_eq(part(masks, 2, 1, &moved), 0xf0f0);
    ck_assert(!moved);
    ck_assert_uint_eq(part(masks, 4, 1, &moved), 0x0c0c);
    ck_assert_uint_eq(part(masks, 4, 3, &moved), 0xc0c0);
}
END_TEST

START_TEST(ranks_bound_to_one_core_each_get_their_part_of_the_machine)
{
    mesh_mask masks[2] = {mask(0x0101, 0xffff, false), mask(0x0202, 0xffff, false)};
    bool moved;

    ck_assert_uint_eq(part(masks, 2, 0, &moved), 0x0f0f);
    ck_assert(moved);
    ck_assert_uint_eq(part(masks, 2, 1, &moved), 0xf0f0);
    /* the control group has no more */
    masks[0].machine[0] = masks[1].machine[0] = 0x3;
    masks[0].bits[0] = 1;
    masks[1].bits[0] = 2;
    ck_assert_uint_eq(part(masks, 2, 1, &moved), 2);
    ck_assert(!moved);
    /* --place keep */
    masks[1] = mask(0x0202, 0xffff, true);
    ck_assert_uint_eq(part(masks, 2, 1, &moved), 0x0202);
    ck_assert(!moved);
}
END_TEST

START_TEST(a_rank_alone_on_its_node_is_not_kept_on_one_core)
{
    mesh_mask own = mask(0x0101, 0xffff, false);
    bool moved;

    ck_assert_uint_eq(part(&own, 1, 0, &moved), 0xffff);
    ck_assert(moved);
    own.keep = true;
    ck_assert_uint_eq(part(&own, 1, 0, &moved), 0x0101);
    ck_assert(!moved);
    own = mask(0x0303, 0xffff, false); /* two cores: somebody's wish */
    ck_assert_uint_eq(part(&own, 1, 0, &moved), 0x0303);
    ck_assert(!moved);
}
END_TEST

START_TEST(parts_that_a_launcher_cut_stay)
{
    const mesh_mask masks[2] = {mask(0x0f0f, 0xffff, false), mask(0xf0f0, 0xffff, false)};
    bool moved;

    ck_assert_uint_eq(part(masks, 2, 0, &moved), 0x0f0f);
    ck_assert_uint_eq(part(masks, 2, 1, &moved), 0xf0f0);
    ck_assert(!moved);
}
END_TEST

/* ---- together ------------------------------------------------------------------------ */

/* What the process may use, before anything is placed. */
static size_t processors_here(void)
{
    int ids[MESH_CPUS_MOST];

    return base_cpus_allowed(ids, MESH_CPUS_MOST);
}

/* A wish, and what comes of it on this machine. */
typedef struct placing {
    mesh_place want;
    size_t local; /* ranks of a node */
    size_t processors;
} placing;

static void place_work(test_rank *rank)
{
    const placing *p = rank->user;
    const size_t there = p->processors, quota = (size_t)base_cpu_quota();
    const size_t all = there < quota ? there : quota, sum = p->local * p->want.threads;
    base_error err = {0};
    mesh_placed placed;
    char fewer[48] = "", words[256];
    const base_status status = mesh_place_ranks(&placed, rank->mesh, &p->want, &err);

    RANK_CHECK(rank, !placed.moved);
    if (sum > all && !p->want.oversubscribe) {
        if (all / p->local > 0)
            snprintf(fewer, sizeof fewer, "--threads %zu, ", all / p->local);
        snprintf(words, sizeof words,
                 "node0: %zu ranks with %zu threads in all on %zu processor%s: %sfewer "
                 "ranks, or --oversubscribe",
                 p->local, sum, all, all == 1 ? "" : "s", fewer);
        RANK_CHECK(rank, status == BASE_USAGE);
        RANK_CHECK(rank, strcmp(err.text, words) == 0);
        return;
    }
    RANK_CHECK(rank, status == BASE_OK);
    const size_t own_quota = quota / p->local > 0 ? quota / p->local : 1;
    RANK_CHECK(rank, placed.processors >= 1 && placed.processors <= there);
    RANK_CHECK(rank, !p->want.keep || placed.processors == there);
    RANK_CHECK(rank, placed.threads == (p->want.threads > 0             ? p->want.threads
                                        : placed.processors < own_quota ? placed.processors
                                                                        : own_quota));
    /* what is kept is the whole of before; what is not, the part */
    RANK_CHECK(rank, processors_here() == placed.processors);
}

START_TEST(too_many_threads_of_a_node_are_refused_on_all_ranks)
{
    const size_t here = processors_here();
    const placing wishes[] = {
        {{.threads = 200}, 2, here},
        {{.threads = 200, .oversubscribe = true}, 2, here},
        {{.threads = here}, 2, here},
        {{.oversubscribe = true}, 4, here},
        {{.keep = true, .oversubscribe = true}, 2, here},
        {{.keep = true, .threads = 300}, 2, here},
    };

    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++)
        test_ranks_run(4, wishes[i].local, NULL, place_work, (void *)&wishes[i], NULL);
    ck_assert_uint_eq(processors_here(), here);
}
END_TEST

START_TEST(launchers_have_names)
{
    ck_assert_str_eq(mesh_launcher_name(MESH_LAUNCHER_NONE), "nothing");
    ck_assert_str_eq(mesh_launcher_name(MESH_LAUNCHER_MPIRUN), "mpirun (Open MPI)");
    ck_assert_str_eq(mesh_launcher_name(MESH_LAUNCHER_HYDRA), "mpiexec (hydra)");
    ck_assert_str_eq(mesh_launcher_name(MESH_LAUNCHER_SLURM), "srun");
}
END_TEST

/* hydra hears of it by its own protocol; other launchers, or without a door, nobody. */
START_TEST(hydra_is_told_of_a_rank_that_leaves)
{
    static const char words[] = "cmd=abort exitcode=3\n";
    int pipe_of[2];
    char number[16], heard[64] = "";

    ck_assert_int_eq(pipe(pipe_of), 0);
    snprintf(number, sizeof number, "%d", pipe_of[1]);
    setenv("PMI_FD", number, 1);
    mesh_launch_leave(&(mesh_launch){.launcher = MESH_LAUNCHER_SLURM}, 7);
    mesh_launch_leave(&(mesh_launch){.launcher = MESH_LAUNCHER_MPIRUN}, 7);
    mesh_launch_leave(&(mesh_launch){.launcher = MESH_LAUNCHER_HYDRA}, 3);
    unsetenv("PMI_FD");
    mesh_launch_leave(&(mesh_launch){.launcher = MESH_LAUNCHER_HYDRA}, 4);
    close(pipe_of[1]);
    ck_assert_int_eq(read(pipe_of[0], heard, sizeof heard - 1), sizeof words - 1);
    ck_assert_str_eq(heard, words);
    close(pipe_of[0]);
}
END_TEST

/* What people write wins over what the launcher's kind says; a module of several ranks
 * only. */
START_TEST(a_wish_for_a_module_wins)
{
    mesh_launch seen;
    base_error err = {0};

    ck_assert_int_eq(LAUNCHED(&seen, "PMI_SIZE=2", "PMI_RANK=1", "VMOE_MPI=other"),
                     BASE_OK);
    ck_assert_str_eq(seen.module, "other");
    ck_assert(seen.launcher == MESH_LAUNCHER_HYDRA && seen.rank == 1);
    ck_assert_int_eq(LAUNCHED(&seen, "PMI_SIZE=2", "VMOE_MPI="), BASE_OK);
    ck_assert_str_eq(seen.module, "mpich");
    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=1", "VMOE_MPI=other"), BASE_OK);
    ck_assert_str_eq(seen.module, "openmpi");
    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=2", "VMOE_MPI=none"), BASE_OK);
    ck_assert(seen.launcher == MESH_LAUNCHER_NONE && seen.ranks == 1);
    ck_assert_str_eq(seen.module, "");
    /* srun tells MPICH's plug-in by a door alone */
    ck_assert_int_eq(LAUNCHED(&seen, "SLURM_STEP_NUM_TASKS=2", "PMI_FD=7"), BASE_OK);
    ck_assert_str_eq(seen.module, "mpich");
    ck_assert_int_eq(LAUNCHED(&seen, "OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=-1"),
                     BASE_OK);
    ck_assert_uint_eq(seen.rank, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh_place");
    TCase *core = tcase_create("core");

    tcase_add_test(core, launchers_are_known_by_the_environment);
    tcase_add_test(core, one_task_is_alone_whoever_started_it);
    tcase_add_test(core, srun_without_its_plug_in_is_refused);
    tcase_add_test(core, a_module_that_is_not_there_is_named);
    tcase_add_test(core, equal_masks_are_cut_by_whole_cores_socket_by_socket);
    tcase_add_test(core, ranks_bound_to_one_core_each_get_their_part_of_the_machine);
    tcase_add_test(core, a_rank_alone_on_its_node_is_not_kept_on_one_core);
    tcase_add_test(core, parts_that_a_launcher_cut_stay);
    tcase_add_test(core, launchers_have_names);
    tcase_add_test(core, hydra_is_told_of_a_rank_that_leaves);
    tcase_add_test(core, a_wish_for_a_module_wins);
    tcase_add_test(core, too_many_threads_of_a_node_are_refused_on_all_ranks);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
