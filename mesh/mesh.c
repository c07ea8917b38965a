/* mesh.c - opening and closing, numbering, groups, and how a job goes. Relied on elsewhere:
 * ranks are numbered node by node; alone nothing is opened and no thread begins. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mesh/mesh_internal.h"

/* ---- making -------------------------------------------------------------------------- */

mesh_options mesh_options_defaults(void)
{
    return (mesh_options){.patience = 60, .late = 60};
}

static void mesh_free(mesh_job *mesh)
{
    while (mesh->groups) {
        mesh_group *group = mesh->groups;
        mesh->groups = group->next;
        base_free(group->members);
        base_free(group);
    }
    base_free(mesh->world.members);
    base_free(mesh->rank_of_peer);
    base_free(mesh->members);
    base_free(mesh->spare);
    base_free(mesh);
}

mesh_job *mesh_make(size_t ranks, const mesh_options *options, base_error *err)
{
    mesh_job *mesh = base_alloc(1, sizeof *mesh);

    if (mesh) {
        mesh->options = options ? *options : mesh_options_defaults();
        mesh->ranks = ranks;
        mesh->nodes = mesh->local_ranks = 1;
        mesh->members = base_alloc(ranks, sizeof *mesh->members);
        mesh->rank_of_peer = base_alloc(ranks, sizeof *mesh->rank_of_peer);
        mesh->world = (mesh_group){.mesh = mesh, .ranks = ranks, .tag = 1};
        mesh->world.members = base_alloc(ranks, sizeof *mesh->world.members);
        mesh->next_tag = 2;
        if (mesh->members && mesh->rank_of_peer && mesh->world.members) {
            for (size_t i = 0; i < ranks; i++)
                mesh->members[i].peer = mesh->rank_of_peer[i] = mesh->world.members[i] = i;
            return mesh;
        }
        mesh_free(mesh);
    }
    base_fail(err, BASE_NO_MEMORY, "no memory for a mesh of %zu ranks", ranks);
    return NULL;
}

void mesh_number(mesh_job *mesh)
{
    const size_t node = mesh->members[mesh->rank].node;

    mesh->node = node;
    mesh->nodes = mesh->local_ranks = mesh->local_rank = 0;
    mesh->world.rank = mesh->rank;
    for (size_t i = 0; i < mesh->ranks; i++) {
        mesh_member *member = &mesh->members[i];
        mesh->rank_of_peer[member->peer] = i;
        mesh->local_rank += member->node == node && i < mesh->rank;
        mesh->local_ranks += member->node == node;
        mesh->nodes = member->node + 1 > mesh->nodes ? member->node + 1 : mesh->nodes;
        snprintf(member->name, sizeof member->name, "rank %zu (%s)", i, member->host);
    }
}

/* ---- opening ------------------------------------------------------------------------- */

typedef struct identity {
    char host[MESH_HOST_MOST];
    char boot[48]; /* of the kernel: hosts may share a name */
} identity;

static identity identity_here(void)
{
    identity out = {"", ""};
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (gethostname(out.host, sizeof out.host - 1) != 0 || !out.host[0])
        snprintf(out.host, sizeof out.host, "host");
    if (file) {
        if (!fgets(out.boot, sizeof out.boot, file))
            out.boot[0] = 0;
        fclose(file);
    }
    return out;
}

/* Nodes in the order of their first rank; ranks of a node in MPI's order. */
static void number_by_node(mesh_job *mesh, const identity *all)
{
    size_t done = 0, node = 0, rank = mesh->rank;

    for (size_t first = 0; first < mesh->ranks; first++) {
        bool seen = false;
        for (size_t i = 0; i < first && !seen; i++)
            seen = memcmp(&all[i], &all[first], sizeof *all) == 0;
        for (size_t i = first; i < mesh->ranks && !seen; i++) {
            if (memcmp(&all[i], &all[first], sizeof *all) != 0)
                continue;
            if (i == mesh->world.rank)
                rank = done;
            mesh->members[done].peer = i;
            mesh->members[done].node = node;
            snprintf(mesh->members[done].host, MESH_HOST_MOST, "%s", all[i].host);
            done++;
        }
        node += !seen;
    }
    mesh->rank = rank;
    mesh_number(mesh);
}

/* Ranks tell one another where they are, in the engine's numbers, and get ours. */
static base_status meet(mesh_job *mesh, base_error *err)
{
    identity *all = base_alloc(mesh->ranks, sizeof *all);
    base_status status = BASE_OK;

    if (!all)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu ranks", mesh->ranks);
    mesh->rank = mesh->world.rank = mesh->courier->rank;
    for (size_t i = 0; i < mesh->ranks; i++)
        snprintf(mesh->members[i].name, sizeof mesh->members[i].name, "rank %zu", i);
    all[mesh->rank] = identity_here();
    status = mesh_all(&mesh->world, all, sizeof *all, err);
    if (status == BASE_OK)
        number_by_node(mesh, all);
    base_free(all);
    return status;
}

base_status mesh_watch(mesh_job *mesh, base_error *err)
{
    mesh_courier *courier = mesh->courier;
    mesh_health *health = base_alloc(mesh->ranks, sizeof *health);

    if (!health)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu ranks", mesh->ranks);
    for (size_t i = 0; i < mesh->ranks; i++)
        health[i].heard = base_seconds();
    pthread_mutex_lock(&courier->lock);
    courier->health = health;
    courier->watching = true;
    pthread_mutex_unlock(&courier->lock);
    memset(&mesh->counts, 0, sizeof mesh->counts);
    return BASE_OK;
}

/* Ranks tell one another of their processes; out [ranks] is the caller's to free. */
static base_status tell_processes(mesh_process **out, mesh_job *mesh, base_error *err)
{
    mesh_courier *courier = mesh->courier;
    mesh_process *all = base_alloc(mesh->ranks, sizeof *all);
    int listener;

    if (!all)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu ranks", mesh->ranks);
    all[mesh->rank] = mesh_process_here(&listener);
    pthread_mutex_lock(&courier->lock);
    courier->listener = listener;
    pthread_mutex_unlock(&courier->lock);
    *out = all;
    return mesh_all(&mesh->world, all, sizeof *all, err);
}

/* After mesh_watch. */
static void watch_processes(mesh_job *mesh, const mesh_process *all)
{
    mesh_deaths *deaths = mesh_deaths_watch(mesh, all);

    pthread_mutex_lock(&mesh->courier->lock);
    mesh->courier->deaths = deaths;
    pthread_mutex_unlock(&mesh->courier->lock);
}

static base_status open_alone(mesh_job **out, const mesh_options *options, base_error *err)
{
    mesh_job *alone = mesh_make(1, options, err);

    if (!alone)
        return BASE_NO_MEMORY;
    snprintf(alone->members[0].host, MESH_HOST_MOST, "%s", identity_here().host);
    snprintf(alone->transport, sizeof alone->transport, "alone");
    mesh_number(alone);
    *out = alone;
    return BASE_OK;
}

base_status mesh_open(mesh_job **out, const mesh_options *options, base_error *err)
{
    mesh_process *processes = NULL;
    mesh_launch launch;
    base_status status = mesh_launched(&launch, err);

    if (status != BASE_OK)
        return status;
    if (launch.ranks == 1)
        return open_alone(out, options, err);
    mesh_job *mesh = mesh_make(launch.ranks, options, err);
    if (!mesh)
        return BASE_NO_MEMORY;
    status = mesh_courier_start(&mesh->courier, mesh, mesh_module_open, &launch, err);
    if (status == BASE_OK) {
        mesh_courier *courier = mesh->courier;
        courier->engine->describe(courier->state, mesh->transport, sizeof mesh->transport);
        if (courier->ranks != launch.ranks)
            status = base_fail(err, BASE_USAGE,
                               "%s started %zu ranks, but %s knows of %zu: start the "
                               "program with its own mpirun",
                               mesh_launcher_name(launch.launcher), launch.ranks,
                               mesh->transport, courier->ranks);
    }
    if (status == BASE_OK)
        status = meet(mesh, err);
    if (status == BASE_OK)
        status = tell_processes(&processes, mesh, err);
    if (status == BASE_OK)
        status = mesh_watch(mesh, err);
    if (status == BASE_OK)
        watch_processes(mesh, processes);
    base_free(processes);
    if (status != BASE_OK) {
        mesh_close(mesh);
        return status;
    }
    *out = mesh;
    return BASE_OK;
}

void mesh_close(mesh_job *mesh)
{
    if (!mesh)
        return;
    if (mesh_courier_stop(mesh->courier))
        mesh_free(mesh);
}

/* ---- who is who ---------------------------------------------------------------------- */

size_t mesh_rank(const mesh_job *mesh)
{
    return mesh->rank;
}

size_t mesh_ranks(const mesh_job *mesh)
{
    return mesh->ranks;
}

size_t mesh_node(const mesh_job *mesh)
{
    return mesh->node;
}

size_t mesh_nodes(const mesh_job *mesh)
{
    return mesh->nodes;
}

size_t mesh_local_rank(const mesh_job *mesh)
{
    return mesh->local_rank;
}

size_t mesh_local_ranks(const mesh_job *mesh)
{
    return mesh->local_ranks;
}

const char *mesh_name(const mesh_job *mesh, size_t rank)
{
    assert(rank < mesh->ranks);
    return mesh->members[rank].name;
}

const char *mesh_transport(const mesh_job *mesh)
{
    return mesh->transport;
}

/* ---- groups -------------------------------------------------------------------------- */

mesh_group *mesh_world(mesh_job *mesh)
{
    return &mesh->world;
}

size_t mesh_group_rank(const mesh_group *group)
{
    return group->rank;
}

size_t mesh_group_ranks(const mesh_group *group)
{
    return group->ranks;
}

base_status mesh_split(mesh_group **out, mesh_job *mesh, size_t colour, base_error *err)
{
    mesh_group *group = base_alloc(1, sizeof *group);
    size_t *members = base_alloc(mesh->ranks, sizeof *members);
    size_t *colours = base_alloc(mesh->ranks, sizeof *colours);
    base_status status = BASE_OK;

    if (!group || !members || !colours) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for a group of ranks");
        mesh_fail(mesh, err);
    } else {
        colours[mesh->rank] = colour;
        status = mesh_all(&mesh->world, colours, sizeof *colours, err);
    }
    if (status == BASE_OK) {
        *group = (mesh_group){.next = mesh->groups,
                              .mesh = mesh,
                              .members = members,
                              .tag = mesh->next_tag++};
        for (size_t i = 0; i < mesh->ranks; i++) {
            if (colours[i] != colour)
                continue;
            if (i == mesh->rank)
                group->rank = group->ranks;
            members[group->ranks++] = i;
        }
        mesh->groups = group;
        *out = group;
    } else {
        base_free(members);
        base_free(group);
    }
    base_free(colours);
    return status;
}

/* ---- how it goes --------------------------------------------------------------------- */

void mesh_say(mesh_job *mesh, uint64_t step, mesh_phase phase)
{
    if (mesh->courier) {
        atomic_store(&mesh->courier->step, step);
        atomic_store(&mesh->courier->phase, (int)phase);
    }
}

void mesh_fail(mesh_job *mesh, const base_error *why)
{
    if (mesh && mesh->courier)
        mesh_courier_fail(mesh->courier, why, true, false);
}

bool mesh_failed(mesh_job *mesh, base_error *err)
{
    mesh_courier *courier = mesh->courier;

    if (!courier || !atomic_load(&courier->failed))
        return false;
    pthread_mutex_lock(&courier->lock);
    if (err)
        *err = courier->failure;
    pthread_mutex_unlock(&courier->lock);
    return true;
}

bool mesh_said(mesh_job *mesh)
{
    mesh_courier *courier = mesh->courier;

    if (!courier)
        return false;
    pthread_mutex_lock(&courier->lock);
    const bool said = courier->said;
    pthread_mutex_unlock(&courier->lock);
    return said;
}

mesh_counts mesh_counted(const mesh_job *mesh)
{
    return mesh->counts;
}
