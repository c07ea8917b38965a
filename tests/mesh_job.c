/* mesh_job.c - a rank of a job, started by mpirun from test_mesh_mpi.c: its first word says
 * what it does. Rank 0 prints; the exit status is that of vmoe: 1 failed, 2 refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mesh/mesh.h"

static void say_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "job: %s\n", line);
}

static int failed(mesh_job *mesh, const base_error *err)
{
    if (!mesh || (mesh_rank(mesh) == 0 && !mesh_said(mesh)))
        fprintf(stderr, "job: %s\n", err->text);
    mesh_close(mesh);
    return err->status == BASE_USAGE ? 2 : 1;
}

/* Bytes that depend on who sends them to whom. */
static unsigned char byte_of(size_t from, size_t to, size_t i)
{
    return (unsigned char)(from * 31 + to * 17 + i * 5 + i / 251);
}

/* Every rank sends every other 3 MiB and a little, in two exchanges at a time. */
static base_status exchanges(mesh_job *mesh, size_t *wrong, base_error *err)
{
    enum { EACH = (3 << 20) + 5 };
    const size_t ranks = mesh_ranks(mesh), self = mesh_rank(mesh);
    unsigned char *send = base_alloc(ranks, EACH), *in[2];
    size_t *at = base_alloc(2 * ranks, sizeof *at), *bytes = at + ranks;
    mesh_ticket tickets[2] = {{0}};
    base_status status = BASE_OK;

    in[0] = base_alloc(ranks, EACH);
    in[1] = base_alloc(ranks, EACH);
    if (!send || !in[0] || !in[1] || !at)
        return base_fail(err, BASE_NO_MEMORY, "no memory");
    for (size_t i = 0; i < ranks; i++) {
        at[i] = i * EACH;
        bytes[i] = EACH;
        for (size_t b = 0; b < EACH; b++)
            send[i * EACH + b] = byte_of(self, i, b);
    }
    for (int i = 0; i < 2; i++)
        mesh_exchange(mesh_world(mesh), &tickets[i], send, at, bytes, in[i], at, bytes);
    for (int i = 2; i-- > 0;)
        if (mesh_wait(&tickets[i], err) != BASE_OK)
            status = err->status;
    for (int k = 0; k < 2 && status == BASE_OK; k++)
        for (size_t i = 0; i < ranks; i++)
            for (size_t b = 0; b < EACH; b++)
                *wrong += in[k][i * EACH + b] != byte_of(i, self, b);
    base_free(send);
    base_free(in[0]);
    base_free(in[1]);
    base_free(at);
    return status;
}

static base_status small_things(mesh_job *mesh, size_t *wrong, base_error *err)
{
    enum { LARGE = (2 << 20) + 3 };
    const size_t ranks = mesh_ranks(mesh), self = mesh_rank(mesh);
    unsigned char *data = base_alloc(LARGE, 1);
    mesh_group *even = NULL;
    double x = 0.1 * (double)(self + 1), right = 0;

    for (size_t i = 0; i < LARGE && data; i++)
        data[i] = self == ranks - 1 ? byte_of(1, 2, i) : 0;
    base_status status = mesh_sum(mesh_world(mesh), &x, 1, err);
    if (status == BASE_OK)
        status = mesh_broadcast(mesh_world(mesh), ranks - 1, data, LARGE, err);
    for (size_t i = 0; i < LARGE && data; i++)
        *wrong += data[i] != byte_of(1, 2, i);
    if (status == BASE_OK)
        status = mesh_split(&even, mesh, self % 2, err);
    if (status == BASE_OK)
        status = mesh_barrier(even, err);
    for (size_t i = 0; i < ranks; i++)
        right += 0.1 * (double)(i + 1);
    *wrong += x < right - 1e-9 || x > right + 1e-9;
    base_free(data);
    return status;
}

static int transfers(mesh_job *mesh)
{
    base_error err = {0};
    size_t wrong = 0;
    base_status status = exchanges(mesh, &wrong, &err);

    if (status == BASE_OK)
        status = small_things(mesh, &wrong, &err);
    double all = (double)wrong;
    if (status == BASE_OK)
        status = mesh_sum(mesh_world(mesh), &all, 1, &err);
    if (status != BASE_OK)
        return failed(mesh, &err);
    const mesh_counts counts = mesh_counted(mesh);
    if (mesh_rank(mesh) == 0)
        printf("%zu ranks on %zu nodes, %s: %g wrong, %llu bytes sent\n", mesh_ranks(mesh),
               mesh_nodes(mesh), mesh_transport(mesh), all,
               (unsigned long long)counts.kind[MESH_KIND_EXCHANGE].sent);
    mesh_close(mesh);
    return 0;
}

/* Steps until something happens: words "steps FOLDER [SECONDS OF A STEP]". Each rank leaves
 * its process number in FOLDER/RANK. */
static int steps(mesh_job *mesh, const char *folder)
{
    const struct timespec step_time = {0, 20000000};
    char path[512];
    base_error err = {0};

    snprintf(path, sizeof path, "%s/%zu", folder, mesh_rank(mesh));
    FILE *file = fopen(path, "w");
    if (!file)
        return 1;
    fprintf(file, "%ld\n", (long)getpid());
    fclose(file);
    for (uint64_t step = 1; step < 3000; step++) {
        mesh_say(mesh, step, MESH_PHASE_EXCHANGE);
        if (mesh_barrier(mesh_world(mesh), &err) != BASE_OK)
            return failed(mesh, &err);
        nanosleep(&step_time, NULL);
    }
    mesh_close(mesh);
    return 0;
}

/* The last rank fails in its fifth step. */
static int fails(mesh_job *mesh)
{
    base_error err = {0};

    for (uint64_t step = 1; step < 1000; step++) {
        if (step == 5 && mesh_rank(mesh) + 1 == mesh_ranks(mesh)) {
            base_fail(&err, BASE_IO, "'pictures.tar' cannot be read");
            mesh_fail(mesh, &err);
            return failed(mesh, &err);
        }
        if (mesh_barrier(mesh_world(mesh), &err) != BASE_OK)
            return failed(mesh, &err);
    }
    mesh_close(mesh);
    return 0;
}

static int disagrees(mesh_job *mesh)
{
    base_error err = {0};

    if (mesh_agree(mesh, "the recipe", mesh_rank(mesh) == 1 ? "b" : "a", &err) != BASE_OK)
        return failed(mesh, &err);
    mesh_close(mesh);
    return 0;
}

static int places(mesh_job *mesh, size_t threads)
{
    base_error err = {0};
    mesh_placed placed;

    if (mesh_place_ranks(&placed, mesh, &(mesh_place){.threads = threads}, &err) != BASE_OK)
        return failed(mesh, &err);
    double processors = (double)placed.processors;
    if (mesh_sum(mesh_world(mesh), &processors, 1, &err) != BASE_OK)
        return failed(mesh, &err);
    if (mesh_rank(mesh) == 0)
        printf("%g processors, %zu threads each\n", processors, placed.threads);
    mesh_close(mesh);
    return 0;
}

int main(int argc, char **argv)
{
    mesh_options options = mesh_options_defaults();
    mesh_job *mesh = NULL;
    mesh_launch launch;
    base_error err = {0};
    const char *word = argc > 1 ? argv[1] : "";
    double patience;

    options.log = say_line;
    if (getenv("PATIENCE") && base_parse_real(&patience, getenv("PATIENCE")))
        options.patience = patience;
    if (mesh_launched(&launch, &err) != BASE_OK ||
        mesh_open(&mesh, &options, &err) != BASE_OK) {
        if (launch.rank == 0)
            fprintf(stderr, "job: %s\n", err.text);
        else
            sleep(2); /* launchers end all when one leaves: rank 0 must have spoken */
        return err.status == BASE_USAGE ? 2 : 1;
    }
    if (strcmp(word, "transfers") == 0)
        return transfers(mesh);
    if (strcmp(word, "steps") == 0 && argc > 2)
        return steps(mesh, argv[2]);
    if (strcmp(word, "fails") == 0)
        return fails(mesh);
    if (strcmp(word, "disagrees") == 0)
        return disagrees(mesh);
    if (strcmp(word, "places") == 0)
        return places(mesh, argc > 2 ? (size_t)atoll(argv[2]) : 0);
    mesh_close(mesh);
    return 2;
}
