/* mesh.c - opening, numbering, groups, and the transfers as messages between two ranks.
 *
 * All that several ranks do together is made of sends and receives here, not by MPI: the
 * volume is that of the best collective algorithms (each byte goes to whom it concerns,
 * once), no order of a sum is anybody else's, and threads of one process run the same code.
 * Free to change: how a broadcast is cut. Relied on elsewhere: ranks are numbered node by
 * node; alone nothing is opened and no thread begins. */
#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
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
        status = mesh_watch(mesh, err);
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

/* ---- transfers ----------------------------------------------------------------------- */

static size_t pieces(size_t bytes)
{
    return bytes / MESH_MESSAGE_MOST + (bytes % MESH_MESSAGE_MOST > 0);
}

/* A ticket begins with room for so many messages; false: it has failed, or all is done. */
static bool ticket_begin(mesh_group *group, mesh_ticket *ticket, mesh_kind kind,
                         size_t messages)
{
    mesh_job *mesh = group->mesh;

    assert(atomic_load(&ticket->state) == MESH_TICKET_NONE);
    *ticket = (mesh_ticket){.mesh = mesh, .kind = (int)kind};
    mesh->counts.kind[kind].calls++;
    if (!mesh->courier) {
        atomic_store(&ticket->state, MESH_TICKET_ARRIVED);
        return false;
    }
    if (group == &mesh->world)
        atomic_fetch_add(&mesh->courier->begun, 1);
    if (atomic_load(&mesh->courier->failed)) {
        atomic_store(&ticket->state, MESH_TICKET_FAILED);
        return false;
    }
    mesh_parcel *parcel = mesh_parcel_take(mesh->courier, messages);
    if (!parcel) {
        base_error err;
        base_fail(&err, BASE_NO_MEMORY, "no memory for %zu messages", messages);
        mesh_courier_fail(mesh->courier, &err, true);
        atomic_store(&ticket->state, MESH_TICKET_FAILED);
        return false;
    }
    ticket->parcel = parcel;
    atomic_store(&ticket->state, MESH_TICKET_BEGUN);
    return true;
}

/* One of the two places is NULL. */
static void add(mesh_group *group, mesh_ticket *ticket, size_t to, const void *send,
                void *receive, size_t bytes)
{
    mesh_job *mesh = group->mesh;
    const mesh_member *member = &mesh->members[group->members[to]];
    mesh_parcel *parcel = ticket->parcel;

    for (size_t at = 0; at < bytes; at += MESH_MESSAGE_MOST) {
        const size_t left = bytes - at;
        assert(parcel->count < parcel->room);
        parcel->messages[parcel->count++] =
            (mesh_message){.peer = member->peer,
                           .tag = group->tag,
                           .send = send ? (const char *)send + at : NULL,
                           .receive = receive ? (char *)receive + at : NULL,
                           .bytes = left < MESH_MESSAGE_MOST ? left : MESH_MESSAGE_MOST};
    }
    if (send) {
        mesh->counts.kind[ticket->kind].sent += bytes;
        mesh->counts.kind[ticket->kind].far += member->node != mesh->node ? bytes : 0;
    } else {
        mesh->counts.kind[ticket->kind].received += bytes;
    }
}

static void ticket_go(mesh_ticket *ticket)
{
    mesh_parcel *parcel = ticket->parcel;

    if (parcel->count > 0) {
        mesh_parcel_send(ticket->mesh->courier, parcel, ticket);
        return;
    }
    mesh_parcel_give_back(ticket->mesh->courier, parcel);
    ticket->parcel = NULL;
    atomic_store(&ticket->state, MESH_TICKET_ARRIVED);
}

/* Peers in the order in which each begins with its right neighbour, so that not all send to
 * the same one first. */
static size_t peer_at(const mesh_group *group, size_t i)
{
    return (group->rank + i) % group->ranks;
}

void mesh_exchange(mesh_group *group, mesh_ticket *ticket, const void *send,
                   const size_t *send_at, const size_t *send_bytes, void *receive,
                   const size_t *receive_at, const size_t *receive_bytes)
{
    const size_t self = group->rank;
    size_t messages = 0;

    if (send_bytes[self] > 0 && receive_bytes[self] > 0)
        memmove((char *)receive + receive_at[self], (const char *)send + send_at[self],
                send_bytes[self]);
    for (size_t i = 1; i < group->ranks; i++)
        messages += pieces(send_bytes[peer_at(group, i)]) +
                    pieces(receive_bytes[peer_at(group, i)]);
    if (!ticket_begin(group, ticket, MESH_KIND_EXCHANGE, messages))
        return;
    for (size_t i = group->ranks - 1; i > 0; i--) {
        const size_t from = peer_at(group, i);
        add(group, ticket, from, NULL, (char *)receive + receive_at[from],
            receive_bytes[from]);
    }
    for (size_t i = 1; i < group->ranks; i++) {
        const size_t to = peer_at(group, i);
        add(group, ticket, to, (const char *)send + send_at[to], NULL, send_bytes[to]);
    }
    ticket_go(ticket);
}

/* at NULL: pieces of equal size, one behind the other, bytes[0] each. */
static void gather(mesh_group *group, mesh_ticket *ticket, mesh_kind kind, void *all,
                   const size_t *at, const size_t *bytes)
{
    const size_t self = group->rank;
    size_t messages = 0;

#define PLACE(i) ((char *)all + (at ? at[i] : (i)*bytes[0]))
#define BYTES(i) (at ? bytes[i] : bytes[0])
    for (size_t i = 1; i < group->ranks; i++)
        messages += pieces(BYTES(self)) + pieces(BYTES(peer_at(group, i)));
    if (!ticket_begin(group, ticket, kind, messages))
        return;
    for (size_t i = group->ranks - 1; i > 0; i--) {
        const size_t from = peer_at(group, i);
        add(group, ticket, from, NULL, PLACE(from), BYTES(from));
    }
    for (size_t i = 1; i < group->ranks; i++)
        add(group, ticket, peer_at(group, i), PLACE(self), NULL, BYTES(self));
#undef PLACE
#undef BYTES
    ticket_go(ticket);
}

void mesh_gather(mesh_group *group, mesh_ticket *ticket, void *all, const size_t *at,
                 const size_t *bytes)
{
    gather(group, ticket, MESH_KIND_GATHER, all, at, bytes);
}

bool mesh_arrived(const mesh_ticket *ticket)
{
    return atomic_load(&ticket->state) >= MESH_TICKET_ARRIVED;
}

/* For a moment the ticket is looked at without sleeping: small things take microseconds. */
static void await(mesh_ticket *ticket)
{
    const double moment = 1e-4, began = base_seconds();
    mesh_courier *courier = ticket->mesh->courier;

    while (!mesh_arrived(ticket) && base_seconds() - began < moment)
        sched_yield();
    if (!mesh_arrived(ticket)) {
        pthread_mutex_lock(&courier->lock);
        while (!mesh_arrived(ticket))
            pthread_cond_wait(&courier->news, &courier->lock);
        pthread_mutex_unlock(&courier->lock);
    }
    ticket->mesh->counts.kind[ticket->kind].waited += base_seconds() - began;
}

base_status mesh_wait(mesh_ticket *ticket, base_error *err)
{
    base_error failure = {BASE_OK, ""};

    assert(atomic_load(&ticket->state) != MESH_TICKET_NONE);
    if (!mesh_arrived(ticket))
        await(ticket);
    const bool failed = atomic_load(&ticket->state) == MESH_TICKET_FAILED;
    if (ticket->parcel)
        mesh_parcel_give_back(ticket->mesh->courier, ticket->parcel);
    ticket->parcel = NULL;
    atomic_store(&ticket->state, MESH_TICKET_NONE);
    if (failed && mesh_failed(ticket->mesh, &failure))
        return base_fail(err, failure.status, "%s", failure.text);
    return BASE_OK;
}

/* ---- small things -------------------------------------------------------------------- */

/* Scratch that stays, so that a step takes no memory; NULL: none, and the job has
 * failed. */
static void *spare(mesh_job *mesh, size_t count, size_t bytes_each, base_error *err)
{
    size_t bytes;

    if (base_mul_size(&bytes, count, bytes_each) && bytes <= mesh->spare_bytes)
        return mesh->spare;
    base_free(mesh->spare);
    mesh->spare = base_alloc(count, bytes_each);
    mesh->spare_bytes = mesh->spare ? bytes : 0;
    if (!mesh->spare) {
        base_error why;
        base_fail(&why, BASE_NO_MEMORY, "no memory for sums of %zu ranks", mesh->ranks);
        mesh_fail(mesh, &why);
        base_fail(err, why.status, "%s", why.text);
    }
    return mesh->spare;
}

base_status mesh_all(mesh_group *group, void *each, size_t bytes, base_error *err)
{
    mesh_ticket ticket = {0};

    gather(group, &ticket, MESH_KIND_SMALL, each, NULL, &bytes);
    return mesh_wait(&ticket, err);
}

base_status mesh_barrier(mesh_group *group, base_error *err)
{
    unsigned char *here = spare(group->mesh, group->ranks, 1, err);

    return here ? mesh_all(group, here, 1, err) : BASE_NO_MEMORY;
}

base_status mesh_sum(mesh_group *group, double *x, size_t count, base_error *err)
{
    const size_t ranks = group->ranks;

    if (ranks == 1 || count == 0)
        return BASE_OK;
    /* [ranks] pointers, then [ranks][count] */
    double *all = spare(group->mesh, ranks, (count + 1) * sizeof *all, err);
    if (!all)
        return BASE_NO_MEMORY;
    _Static_assert(sizeof(double *) <= sizeof(double), "pointers fit before the numbers");
    const double **each = (void *)all;
    double *numbers = all + ranks;
    memcpy(numbers + group->rank * count, x, count * sizeof *x);
    const base_status status = mesh_all(group, numbers, count * sizeof *x, err);
    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < ranks; i++)
        each[i] = numbers + i * count;
    mesh_tree_sum(x, each, ranks, count);
    return BASE_OK;
}

/* Large data goes to each rank in parts, which they then gather: twice the bytes, but the
 * root sends each only once. */
enum { BROADCAST_CUT = 1 << 20 };

static void share_of(size_t *at, size_t *share, size_t bytes, size_t i, size_t ranks)
{
    const size_t each = (bytes / ranks + 63) / 64 * 64;

    *at = i * each < bytes ? i * each : bytes;
    *share = i + 1 == ranks || *at + each > bytes ? bytes - *at : each;
}

static base_status broadcast_whole(mesh_group *group, size_t root, void *data, size_t bytes,
                                   base_error *err)
{
    mesh_ticket ticket = {0};

    if (!ticket_begin(group, &ticket, MESH_KIND_BROADCAST, group->ranks * pieces(bytes)))
        return mesh_wait(&ticket, err);
    for (size_t i = 0; i < group->ranks && group->rank == root; i++)
        if (i != root)
            add(group, &ticket, i, data, NULL, bytes);
    if (group->rank != root)
        add(group, &ticket, root, NULL, data, bytes);
    ticket_go(&ticket);
    return mesh_wait(&ticket, err);
}

base_status mesh_broadcast(mesh_group *group, size_t root, void *data, size_t bytes,
                           base_error *err)
{
    const size_t ranks = group->ranks, self = group->rank;
    mesh_ticket ticket = {0};

    assert(root < ranks);
    if (bytes < BROADCAST_CUT || ranks <= 2)
        return broadcast_whole(group, root, data, bytes, err);
    size_t *at = spare(group->mesh, 2 * ranks, sizeof *at, err);
    if (!at)
        return BASE_NO_MEMORY;
    size_t *share = at + ranks;
    for (size_t i = 0; i < ranks; i++)
        share_of(&at[i], &share[i], bytes, i, ranks);
    if (ticket_begin(group, &ticket, MESH_KIND_BROADCAST, ranks * pieces(bytes))) {
        for (size_t i = 0; i < ranks && self == root; i++)
            if (i != root)
                add(group, &ticket, i, (char *)data + at[i], NULL, share[i]);
        if (self != root)
            add(group, &ticket, root, NULL, (char *)data + at[self], share[self]);
        ticket_go(&ticket);
    }
    const base_status status = mesh_wait(&ticket, err);
    if (status != BASE_OK)
        return status;
    gather(group, &ticket, MESH_KIND_BROADCAST, data, at, share);
    return mesh_wait(&ticket, err);
}

base_status mesh_roll_call(mesh_job *mesh, mesh_call *all, const mesh_call *mine,
                           base_error *err)
{
    all[mesh->rank] = *mine;
    const base_status status = mesh_all(&mesh->world, all, sizeof *all, err);

    for (size_t i = 0; i < mesh->ranks && status == BASE_OK; i++)
        if (all[i].step != all[0].step)
            return base_fail(err, BASE_INTERNAL, "%s is at step %llu, %s at step %llu",
                             mesh_name(mesh, i), (unsigned long long)all[i].step,
                             mesh_name(mesh, 0), (unsigned long long)all[0].step);
    return status;
}

enum { AGREE_BYTES = 256 };

base_status mesh_agree(mesh_job *mesh, const char *what, const char *text, base_error *err)
{
    char(*all)[AGREE_BYTES] = spare(mesh, mesh->ranks, AGREE_BYTES, err);

    if (!all)
        return BASE_NO_MEMORY;
    memset(all[mesh->rank], 0, AGREE_BYTES);
    snprintf(all[mesh->rank], AGREE_BYTES, "%s", text);
    const base_status status = mesh_all(&mesh->world, all, AGREE_BYTES, err);
    for (size_t i = 1; i < mesh->ranks && status == BASE_OK; i++)
        if (memcmp(all[i], all[0], AGREE_BYTES) != 0)
            return base_fail(err, BASE_USAGE, "%s has %s '%.255s', %s '%.255s'",
                             mesh_name(mesh, i), what, all[i], mesh_name(mesh, 0), all[0]);
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
        mesh_courier_fail(mesh->courier, why, true);
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

mesh_counts mesh_counted(const mesh_job *mesh)
{
    return mesh->counts;
}
