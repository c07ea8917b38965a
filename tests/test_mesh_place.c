/* test_mesh_place.c - what launchers say by the environment, and which processors ranks get
 * on machines that are made up. */
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

static void place_work(test_rank *rank)
{
    const mesh_place *want = rank->user;
    base_error err = {0};
    mesh_placed placed;
    const base_status status = mesh_place_ranks(&placed, rank->mesh, want, &err);

    if (want->threads > 100 && !want->oversubscribe) {
        RANK_CHECK(rank, status == BASE_USAGE);
        RANK_CHECK(rank, strstr(err.text, "node0: 2 ranks with 400 threads in all on ") ==
                             err.text);
        RANK_CHECK(rank, strstr(err.text, "or --oversubscribe") != NULL);
        return;
    }
    RANK_CHECK(rank, status == BASE_OK);
    RANK_CHECK(rank, placed.processors >= 1);
    RANK_CHECK(rank,
               placed.threads == (want->threads > 0 ? want->threads : placed.threads));
    RANK_CHECK(rank, placed.threads >= 1);
}

START_TEST(too_many_threads_of_a_node_are_refused_on_all_ranks)
{
    const mesh_place many = {.threads = 200},
                     willing = {.threads = 200, .oversubscribe = true},
                     any = {.oversubscribe = true};

    test_ranks_run(4, 2, NULL, place_work, (void *)&many, NULL);
    test_ranks_run(4, 2, NULL, place_work, (void *)&willing, NULL);
    test_ranks_run(8, 0, NULL, place_work, (void *)&any, NULL);
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
    tcase_add_test(core, too_many_threads_of_a_node_are_refused_on_all_ranks);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
