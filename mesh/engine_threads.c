/* engine_threads.c - a transport for ranks that are threads of one process, for tests.
 *
 * Messages wait in one list until their other half is posted; who comes second copies. Free
 * to change: everything but the order of messages with one tag. Relied on elsewhere: the
 * faults that tests ask for (a rank that stops, posts that fail, arrivals in any order). */
#include <stdio.h>
#include <string.h>

#include "mesh/mesh_internal.h"

typedef struct hub_operation {
    size_t left;    /* messages without their other half */
    unsigned polls; /* tests until it may arrive */
    bool wrong;     /* sizes of the two halves differ */
} hub_operation;

typedef struct half {
    struct half *next;
    hub_operation *of;
    size_t from, to;
    mesh_message message;
} half;

typedef struct hub_letter {
    struct hub_letter *next;
    size_t from, bytes;
    unsigned char text[MESH_NOTE_MOST];
} hub_letter;

typedef struct hub_seat {
    mesh_hub *hub;
    size_t rank;
    bool frozen, broken;
    hub_letter *letters, **letters_end;
} hub_seat;

struct mesh_hub {
    pthread_mutex_t lock;
    pthread_cond_t thaw;
    size_t ranks, open;
    half *halves, **halves_end;
    hub_seat *seats;
    unsigned scatter;
    base_rng rng;
    bool ended;
};

/* ---- the hub ------------------------------------------------------------------------- */

static void hub_free(mesh_hub *hub)
{
    while (hub->halves) {
        half *gone = hub->halves;
        hub->halves = gone->next;
        base_free(gone);
    }
    for (size_t i = 0; i < hub->ranks; i++)
        while (hub->seats[i].letters) {
            hub_letter *gone = hub->seats[i].letters;
            hub->seats[i].letters = gone->next;
            base_free(gone);
        }
    pthread_mutex_destroy(&hub->lock);
    pthread_cond_destroy(&hub->thaw);
    base_free(hub->seats);
    base_free(hub);
}

static mesh_hub *hub_make(size_t ranks)
{
    mesh_hub *hub = base_alloc(1, sizeof *hub);
    hub_seat *seats = base_alloc(ranks, sizeof *seats);

    if (!hub || !seats) {
        base_free(hub);
        base_free(seats);
        return NULL;
    }
    hub->seats = seats;
    hub->ranks = hub->open = ranks;
    hub->halves_end = &hub->halves;
    hub->rng = base_rng_make(0, BASE_PURPOSE_TEST, ranks, 0, 0);
    pthread_mutex_init(&hub->lock, NULL);
    pthread_cond_init(&hub->thaw, NULL);
    for (size_t i = 0; i < ranks; i++)
        seats[i] = (hub_seat){.hub = hub, .rank = i, .letters_end = &seats[i].letters};
    return hub;
}

/* Takes the lock; a rank that is stopped stays here until it goes on or the job ends. */
static mesh_hub *enter(hub_seat *seat)
{
    mesh_hub *hub = seat->hub;

    pthread_mutex_lock(&hub->lock);
    while (seat->frozen && !hub->ended)
        pthread_cond_wait(&hub->thaw, &hub->lock);
    return hub;
}

/* ---- the engine ---------------------------------------------------------------------- */

static bool threads_open(void **state, size_t *rank, size_t *ranks, mesh_why *why)
{
    const hub_seat *seat = *state;

    (void)why;
    *rank = seat->rank;
    *ranks = seat->hub->ranks;
    return true;
}

static bool meets(const half *waiting, size_t from, size_t to, const mesh_message *message)
{
    return waiting->from == from && waiting->to == to &&
           waiting->message.tag == message->tag &&
           !waiting->message.send == !!message->send;
}

static void meet(half *waiting, hub_operation *of, const mesh_message *message)
{
    const mesh_message *send = message->send ? message : &waiting->message;
    const mesh_message *receive = message->send ? &waiting->message : message;

    if (send->bytes == receive->bytes)
        memcpy(receive->receive, send->send, send->bytes);
    else
        waiting->of->wrong = of->wrong = true;
    waiting->of->left--;
    of->left--;
}

/* False: no memory. */
static bool post_one(mesh_hub *hub, size_t rank, hub_operation *of,
                     const mesh_message *message)
{
    const size_t from = message->send ? rank : message->peer;
    const size_t to = message->send ? message->peer : rank;

    of->left++;
    for (half **at = &hub->halves; *at; at = &(*at)->next) {
        half *waiting = *at;
        if (!meets(waiting, from, to, message))
            continue;
        meet(waiting, of, message);
        *at = waiting->next;
        if (!*at)
            hub->halves_end = at;
        base_free(waiting);
        return true;
    }
    half *mine = base_alloc(1, sizeof *mine);
    if (!mine)
        return false;
    *mine = (half){.of = of, .from = from, .to = to, .message = *message};
    *hub->halves_end = mine;
    hub->halves_end = &mine->next;
    return true;
}

static bool refuse(mesh_why *why, const char *text)
{
    snprintf(why->text, sizeof why->text, "%s", text);
    return false;
}

static void forget(mesh_hub *hub, const hub_operation *of)
{
    for (half **at = &hub->halves; *at;) {
        half *waiting = *at;
        if (waiting->of != of) {
            at = &waiting->next;
            continue;
        }
        *at = waiting->next;
        base_free(waiting);
    }
    hub->halves_end = &hub->halves;
    while (*hub->halves_end)
        hub->halves_end = &(*hub->halves_end)->next;
}

static bool threads_post(void *state, void **out, const mesh_message *messages,
                         size_t count, mesh_why *why)
{
    hub_seat *seat = state;
    mesh_hub *hub = enter(seat);
    hub_operation *made = base_alloc(1, sizeof *made);
    bool fine = made && !seat->broken;

    for (size_t i = 0; i < count && fine; i++)
        fine = post_one(hub, seat->rank, made, &messages[i]);
    if (fine && hub->scatter > 0)
        made->polls = (unsigned)base_rng_below(&hub->rng, hub->scatter);
    if (!fine && made)
        forget(hub, made);
    pthread_mutex_unlock(&hub->lock);
    if (!fine) {
        base_free(made);
        return refuse(why, "the post was refused");
    }
    *out = made;
    return true;
}

static bool threads_test(void *state, void *tested, bool *done, mesh_why *why)
{
    mesh_hub *hub = enter(state);
    hub_operation *of = tested;
    const bool ended = hub->ended, wrong = of->wrong || ended;

    if (of->polls > 0)
        of->polls--;
    *done = !wrong && of->left == 0 && of->polls == 0;
    if (wrong)
        forget(hub, of);
    pthread_mutex_unlock(&hub->lock);
    if (wrong || *done)
        base_free(of);
    return wrong ? refuse(why,
                          ended ? "the job was ended" : "two ranks do not agree on a size")
                 : true;
}

static bool threads_give_up(void *state, void *operation)
{
    mesh_hub *hub = enter(state);

    forget(hub, operation);
    pthread_mutex_unlock(&hub->lock);
    base_free(operation);
    return true;
}

static bool threads_note(void *state, size_t to, const void *note, size_t bytes)
{
    const hub_seat *from = state;
    mesh_hub *hub = enter(state);
    hub_seat *seat = &hub->seats[to];
    hub_letter *letter = base_alloc(1, sizeof *letter);

    if (letter) {
        letter->from = from->rank;
        letter->bytes = bytes;
        memcpy(letter->text, note, bytes);
        *seat->letters_end = letter;
        seat->letters_end = &letter->next;
    }
    pthread_mutex_unlock(&hub->lock);
    return letter != NULL;
}

static bool threads_next_note(void *state, void *note, size_t *bytes, size_t *from)
{
    hub_seat *seat = state;
    mesh_hub *hub = enter(seat);
    hub_letter *letter = seat->letters;

    if (letter) {
        seat->letters = letter->next;
        if (!seat->letters)
            seat->letters_end = &seat->letters;
        memcpy(note, letter->text, letter->bytes);
        *bytes = letter->bytes;
        *from = letter->from;
        base_free(letter);
    }
    pthread_mutex_unlock(&hub->lock);
    return letter != NULL;
}

static void threads_describe(void *state, char *out, size_t out_bytes)
{
    (void)state;
    snprintf(out, out_bytes, "threads");
}

static void threads_end_all(void *state, int status)
{
    mesh_hub *hub = ((hub_seat *)state)->hub;

    (void)status;
    pthread_mutex_lock(&hub->lock);
    hub->ended = true;
    pthread_cond_broadcast(&hub->thaw);
    pthread_mutex_unlock(&hub->lock);
}

static void threads_close(void *state)
{
    mesh_hub *hub = ((hub_seat *)state)->hub;

    pthread_mutex_lock(&hub->lock);
    const bool last = --hub->open == 0;
    pthread_mutex_unlock(&hub->lock);
    if (last)
        hub_free(hub);
}

static const mesh_engine threads_engine = {
    .version = MESH_ENGINE_VERSION,
    .bytes = sizeof(mesh_engine),
    .name = "threads",
    .open = threads_open,
    .post = threads_post,
    .test = threads_test,
    .give_up = threads_give_up,
    .note = threads_note,
    .next_note = threads_next_note,
    .describe = threads_describe,
    .end_all = threads_end_all,
    .close = threads_close,
};

/* ---- opening ------------------------------------------------------------------------- */

static bool courier_open(mesh_courier *courier, mesh_why *why)
{
    courier->engine = &threads_engine;
    courier->state = courier->open_user;
    return courier->engine->open(&courier->state, &courier->rank, &courier->ranks, why);
}

static base_status open_one(mesh_job **out, mesh_hub *hub, size_t rank, size_t local,
                            const mesh_options *options, base_error *err)
{
    mesh_job *mesh = mesh_make(hub->ranks, options, err);

    if (!mesh)
        return BASE_NO_MEMORY;
    mesh->rank = rank;
    for (size_t i = 0; i < hub->ranks; i++) {
        mesh->members[i].node = i / local;
        snprintf(mesh->members[i].host, MESH_HOST_MOST, "node%zu", i / local);
    }
    snprintf(mesh->transport, sizeof mesh->transport, "threads");
    mesh_number(mesh);
    const base_status status =
        mesh_courier_start(&mesh->courier, mesh, courier_open, &hub->seats[rank], err);
    if (status != BASE_OK) {
        mesh_close(mesh);
        return status;
    }
    *out = mesh;
    return mesh_watch(mesh, err);
}

base_status mesh_open_threads(mesh_job **out, size_t ranks, size_t local,
                              const mesh_options *options, base_error *err)
{
    mesh_hub *hub = hub_make(ranks);
    base_status status = BASE_OK;
    size_t opened = 0;

    if (!hub)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu ranks", ranks);
    local = local > 0 ? local : ranks;
    memset(out, 0, ranks * sizeof *out);
    while (opened < ranks && status == BASE_OK) {
        status = open_one(&out[opened], hub, opened, local, options, err);
        opened += out[opened] != NULL;
    }
    if (status == BASE_OK)
        return BASE_OK;
    hub->open = opened; /* nobody uses it yet but their couriers' notes */
    if (opened == 0)
        hub_free(hub);
    for (size_t i = 0; i < opened; i++)
        mesh_close(out[i]);
    return status;
}

/* ---- faults -------------------------------------------------------------------------- */

mesh_hub *mesh_hub_of(mesh_job *mesh)
{
    return ((hub_seat *)mesh->courier->state)->hub;
}

void mesh_hub_freeze(mesh_hub *hub, size_t rank, bool frozen)
{
    pthread_mutex_lock(&hub->lock);
    hub->seats[rank].frozen = frozen;
    pthread_cond_broadcast(&hub->thaw);
    pthread_mutex_unlock(&hub->lock);
}

void mesh_hub_scatter(mesh_hub *hub, unsigned most)
{
    pthread_mutex_lock(&hub->lock);
    hub->scatter = most;
    pthread_mutex_unlock(&hub->lock);
}

void mesh_hub_break(mesh_hub *hub, size_t rank)
{
    pthread_mutex_lock(&hub->lock);
    hub->seats[rank].broken = true;
    pthread_mutex_unlock(&hub->lock);
}
