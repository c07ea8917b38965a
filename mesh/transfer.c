/* transfer.c - transfers as messages between two ranks, and the small things made of them.
 *
 * All that several ranks do together is made of sends and receives here, not by MPI: the
 * volume is that of the best collective algorithms (each byte goes to whom it concerns,
 * once), no order of a sum is anybody else's, and threads of one process run the same code.
 * Free to change: how a broadcast is cut. */
#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "mesh/mesh_internal.h"

/* ---- transfers ----------------------------------------------------------------------- */

/* What is gathered goes in messages that TCP sends off at once (Open MPI's eager limit is
 * 64 KiB): the question and answer before a longer one wait behind what is on its way in
 * both directions. Of gathers few fly at a time, so that a late rank has little to put
 * aside. */
static size_t message_most(mesh_kind kind)
{
    enum { EAGER = 60 << 10 };

    return kind == MESH_KIND_GATHER ? EAGER : MESH_MESSAGE_MOST;
}

static size_t pieces(mesh_kind kind, size_t bytes)
{
    const size_t most = message_most(kind);

    return bytes / most + (bytes % most > 0);
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
        mesh_courier_fail(mesh->courier, &err, true, false);
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
    const size_t most = message_most((mesh_kind)ticket->kind);

    for (size_t at = 0; at < bytes; at += most) {
        const size_t left = bytes - at;
        assert(parcel->count < parcel->room);
        parcel->messages[parcel->count++] =
            (mesh_message){.peer = member->peer,
                           .tag = group->tag,
                           .send = send ? (const char *)send + at : NULL,
                           .receive = receive ? (char *)receive + at : NULL,
                           .bytes = left < most ? left : most};
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
        messages += pieces(MESH_KIND_EXCHANGE, send_bytes[peer_at(group, i)]) +
                    pieces(MESH_KIND_EXCHANGE, receive_bytes[peer_at(group, i)]);
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
        messages += pieces(kind, BYTES(self)) + pieces(kind, BYTES(peer_at(group, i)));
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

    atomic_fetch_add(&courier->awaited, 1);
    while (!mesh_arrived(ticket) && base_seconds() - began < moment)
        sched_yield();
    if (!mesh_arrived(ticket)) {
        pthread_mutex_lock(&courier->lock);
        while (!mesh_arrived(ticket))
            pthread_cond_wait(&courier->news, &courier->lock);
        pthread_mutex_unlock(&courier->lock);
    }
    atomic_fetch_sub(&courier->awaited, 1);
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

    if (!ticket_begin(group, &ticket, MESH_KIND_BROADCAST,
                      group->ranks * pieces(MESH_KIND_BROADCAST, bytes)))
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
    if (ticket_begin(group, &ticket, MESH_KIND_BROADCAST,
                     ranks * pieces(MESH_KIND_BROADCAST, bytes))) {
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
