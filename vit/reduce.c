/* reduce.c - from the gradients of a step's parts to their sum, whose places are fixed:
 * parts are added to lanes in their order, lanes in one balanced tree over their numbers
 * (Demmel and Nguyen 2015, "Parallel reproducible summation", for why the order matters),
 * whoever computed them. A rank adds its own lanes as a binary counter does; the rest of
 * the tree is added by the rank that owns the floats (shards.c). Peers move bytes and add
 * nothing.
 *
 * Relied on elsewhere: with as many lanes, and ranks and lanes powers of two, the sums have
 * the same bits on any number of ranks. Free to change: buckets, what is in flight. */
#include <string.h>

#include "vit/run_internal.h"
#include "vit/shards_internal.h"

enum {
    FLIGHT = 4,                   /* buckets of gradients on their way */
    BEGUN = VIT_TICKETS - FLIGHT, /* pieces of weights */
    SHARE = 1 << 18,              /* floats of a rank in such a piece: 1 MiB */
    BUCKET_FLOATS = 2 << 20,      /* 8 MiB: the last one's way is hidden behind nothing */
    BUCKET_LEAST = 128 << 8,      /* of a rank's run: 128 KiB */
    PIECE = 1 << 10,              /* floats that a thread adds at a time */
    PARALLEL_FROM = 1 << 17,      /* below, waking threads costs more than the work */
    LEVELS_MOST = 16
};

/* The sum of 2^i neighbouring lanes that waits for its right neighbour. */
typedef struct level {
    float *block;  /* [floats]; changes places with the run's */
    double *tally; /* [tally] */
    bool full;
} level;

/* Which piece of which bucket, counted from the last one, in the order of sending. */
typedef struct gather_place {
    size_t bucket, piece, ticket;
} gather_place;

struct vit_reduce {
    vit_shards *shards;
    const vit_peers *peers; /* NULL: alone */
    const vit_operand_kernels *fp32;
    size_t lanes, done; /* of this rank; ended in this step */
    size_t levels;
    level level[LEVELS_MOST];
    float *spare[LEVELS_MOST]; /* blocks as they were made, to be freed */
    size_t tally;              /* doubles of vit_run_tally */
    double *tallies;           /* [ranks, tally] */
    float *staging[FLIGHT];    /* [ranks, own run], the own one left out */
    size_t handed;        /* gradients from here on are folded and final in this step */
    size_t begun, summed; /* buckets */
    bool flying[VIT_TICKETS];
    float *block;     /* that others' runs come to; NULL: none do */
    vit_model *model; /* whose weights these are; NULL: other numbers */
    gather_place sent, came;
    size_t share;       /* floats of a rank that come at a time */
    base_error failure; /* of a transfer that was met on the way: it stays */
    size_t *table;      /* [4, ranks] places and sizes of a transfer */
    const float **from; /* [ranks] */
};

/* What went under this ticket has arrived. */
static base_status take(vit_reduce *r, size_t ticket, base_error *err)
{
    r->flying[ticket] = false;
    return r->peers->wait(r->peers->user, ticket, err);
}

/* ---- making -------------------------------------------------------------------------- */

/* Doubles that the routers of a training run leave behind. */
static size_t tally_of(const vit_model *model)
{
    const vit_config *c = &model->config;
    const vit_router *router =
        vit_config_is_sparse(c) ? vit_router_find(c->moe.router.name) : NULL;
    size_t layers = 0;

    if (!router || !router->motion)
        return 0;
    const vit_router_shape shape = vit_model_router_shape(model, 1);
    for (int i = 0; i < c->depth; i++)
        layers += c->moe.layer[i];
    return layers * router->motion->count(&shape);
}

/* The largest own run of a bucket. */
static size_t run_most(const vit_shards *s)
{
    size_t most = 0;

    for (size_t b = 0; b < s->buckets; b++) {
        const size_t *cut = vit_shards_cut(s, b) + s->rank;
        most = cut[1] - cut[0] > most ? cut[1] - cut[0] : most;
    }
    return most;
}

static bool take_memory(vit_reduce *r)
{
    const size_t ranks = r->shards->ranks, tally = r->tally;
    const size_t run = run_most(r->shards);
    bool good = true;

    for (size_t i = 0; i < r->levels; i++) {
        r->level[i].block = r->spare[i] = base_alloc(r->shards->floats, sizeof(float));
        r->level[i].tally = base_alloc(tally, sizeof(double));
        good = good && r->level[i].block && r->level[i].tally;
    }
    if (ranks == 1)
        return good;
    r->tallies = base_alloc(ranks * tally, sizeof(double));
    r->table = base_alloc(4 * ranks, sizeof *r->table);
    r->from = base_alloc(ranks, sizeof *r->from);
    for (size_t i = 0; i < FLIGHT && i < r->shards->buckets; i++) {
        r->staging[i] = base_alloc((ranks - 1) * run, sizeof(float));
        good = good && r->staging[i];
    }
    return good && r->tallies && r->table && r->from;
}

base_status vit_reduce_create(vit_reduce **out, const vit_model *model,
                              const vit_peers *peers, size_t lanes, base_error *err)
{
    const size_t ranks = peers ? peers->ranks : 1;
    size_t bucket = SIZE_MAX;
    vit_reduce *r = base_alloc(1, sizeof *r);

    if (!r)
        return base_fail(err, BASE_NO_MEMORY, "no memory for sums of gradients");
    if (ranks > 1)
        bucket = peers->bucket_floats > 0               ? peers->bucket_floats
                 : ranks * BUCKET_LEAST > BUCKET_FLOATS ? ranks * BUCKET_LEAST
                                                        : BUCKET_FLOATS;
    r->peers = ranks > 1 ? peers : NULL;
    r->fp32 = &vit_kernels_get()->operand[VIT_PRECISION_FP32];
    r->lanes = lanes;
    r->share = ranks > 1 && peers->bucket_floats > 0 ? 1 + peers->bucket_floats / 3 : SHARE;
    r->tally = tally_of(model);
    while (((size_t)1 << r->levels) < lanes)
        r->levels++;
    base_status status =
        vit_shards_create(&r->shards, model, peers ? peers->rank : 0, ranks, bucket, err);
    if (status == BASE_OK && (r->levels > LEVELS_MOST || !take_memory(r)))
        status =
            base_fail(err, BASE_NO_MEMORY,
                      "no memory for gradients of %zu lanes and %zu ranks", lanes, ranks);
    r->handed = model->floats;
    if (status == BASE_OK)
        *out = r;
    else
        vit_reduce_destroy(r);
    return status;
}

void vit_reduce_destroy(vit_reduce *reduce)
{
    if (!reduce)
        return;
    for (size_t i = 0; i < LEVELS_MOST; i++) {
        base_free(reduce->spare[i]);
        base_free(reduce->level[i].tally);
    }
    for (size_t i = 0; i < VIT_TICKETS; i++)
        if (reduce->flying[i]) /* after a failure: nothing writes to freed memory */
            take(reduce, i, NULL);
    if (reduce->model)
        reduce->model->coming = NULL;
    for (size_t i = 0; i < FLIGHT; i++)
        base_free(reduce->staging[i]);
    base_free(reduce->tallies);
    base_free(reduce->table);
    base_free((void *)reduce->from);
    vit_shards_destroy(reduce->shards);
    base_free(reduce);
}

const vit_shards *vit_reduce_shards(const vit_reduce *reduce)
{
    return reduce->shards;
}

size_t vit_reduce_bytes(const vit_reduce *reduce)
{
    const vit_shards *s = reduce->shards;
    size_t slots = 0;

    for (size_t i = 0; i < FLIGHT; i++)
        slots += reduce->staging[i] != NULL;
    return (reduce->levels * s->floats + slots * (s->ranks - 1) * run_most(s)) *
           sizeof(float);
}

const vit_peers *vit_reduce_peers(const vit_reduce *reduce)
{
    return reduce->peers;
}

/* ---- lanes --------------------------------------------------------------------------- */

/* sum [first, end) += from, on all threads. */
static void add(const vit_reduce *r, float *sum, const float *from, size_t first,
                size_t end)
{
#pragma omp parallel for schedule(static) if (end - first > PARALLEL_FROM)
    for (size_t at = first; at < end; at += PIECE)
        r->fp32->axpy(sum + at, 1.0f, from + at, vit_min(PIECE, end - at));
}

static void add_doubles(double *sum, const double *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += from[i];
}

/* The last lane's floats from `first` on get what waits, the nearest lanes first. */
static void fold(vit_reduce *r, float *gradients, size_t first)
{
    for (size_t i = 0; i < r->levels && first < r->handed; i++)
        if (r->level[i].full)
            add(r, gradients, r->level[i].block, first, r->handed);
    r->handed = first;
}

void vit_reduce_lane_end(vit_reduce *reduce, vit_run *run)
{
    vit_reduce *r = reduce;
    size_t count = 0, i = 0;
    double *tally = vit_run_tally(run, &count);

    if (++r->done == r->lanes) { /* what waits is added on the way, or by finish */
        for (size_t k = 0; k < r->levels; k++)
            if (r->level[k].full)
                add_doubles(tally, r->level[k].tally, count);
        return;
    }
    float *gradients = vit_run_gradients(run);
    for (; r->level[i].full; i++) {
        add(r, gradients, r->level[i].block, 0, r->shards->floats);
        add_doubles(tally, r->level[i].tally, count);
        r->level[i].full = false;
    }
    vit_run_gradients_swap(run, &r->level[i].block);
    if (count > 0)
        memcpy(r->level[i].tally, tally, count * sizeof *tally);
    r->level[i].full = true;
}

/* ---- exchanges ----------------------------------------------------------------------- */

static size_t half_of(size_t count)
{
    size_t half = 1;

    while (2 * half < count)
        half *= 2;
    return half;
}

/* out [n] = the tree over from [count] + at, n at most PIECE. */
static void tree(float *out, const float *const *from, size_t count, size_t at, size_t n)
{
    float right[PIECE];

    if (count == 1) {
        memcpy(out, from[0] + at, n * sizeof *out);
        return;
    }
    const size_t half = half_of(count);
    tree(out, from, half, at, n);
    tree(right, from + half, count - half, at, n);
    for (size_t i = 0; i < n; i++)
        out[i] += right[i];
}

void vit_tree_sum(float *sum, const float *const *from, size_t count, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PARALLEL_FROM)
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t size = vit_min(PIECE, n - at);
        float out[PIECE]; /* sum may be one of them */

        tree(out, from, count, at, size);
        memcpy(sum + at, out, size * sizeof *sum);
    }
}

static double tree_doubles(const double *each, size_t count, size_t step)
{
    const size_t half = half_of(count);

    return count == 1 ? each[0]
                      : tree_doubles(each, half, step) +
                            tree_doubles(each + half * step, count - half, step);
}

static void begin(vit_reduce *r, const float *gradients)
{
    const vit_shards *s = r->shards;
    const size_t *cut = vit_shards_cut(s, r->begun);
    const size_t ranks = s->ranks, ticket = r->begun % FLIGHT;
    const size_t own = (cut[s->rank + 1] - cut[s->rank]) * sizeof(float);
    size_t *send_at = r->table, *send = send_at + ranks, *at = send + ranks,
           *bytes = at + ranks;

    for (size_t i = 0, place = 0; i < ranks; i++) {
        const bool self = i == s->rank;

        send_at[i] = cut[i] * sizeof(float);
        send[i] = self ? 0 : (cut[i + 1] - cut[i]) * sizeof(float);
        at[i] = place;
        bytes[i] = self ? 0 : own;
        place += bytes[i];
    }
    r->flying[ticket] = true;
    r->peers->exchange(r->peers->user, ticket, gradients, send_at, send, r->staging[ticket],
                       at, bytes);
    r->begun++;
}

/* The bucket that arrived into the own run. */
static void sum_bucket(vit_reduce *r, float *gradients)
{
    const vit_shards *s = r->shards;
    const size_t *cut = vit_shards_cut(s, r->summed) + s->rank;
    const float *at = r->staging[r->summed % FLIGHT];

    for (size_t i = 0; i < s->ranks; i++) {
        r->from[i] = i == s->rank ? gradients + cut[0] : at;
        at += i == s->rank ? 0 : cut[1] - cut[0];
    }
    vit_tree_sum(gradients + cut[0], r->from, s->ranks, cut[1] - cut[0]);
    r->summed++;
}

/* Whether one more bucket's gradients are final and there is room for it. */
static bool may_begin(const vit_reduce *r)
{
    const vit_shards *s = r->shards;

    return r->begun < s->buckets && vit_shards_cut(s, r->begun)[0] >= r->handed &&
           r->begun - r->summed < FLIGHT;
}

void vit_reduce_handed(void *reduce, vit_run *run, size_t first)
{
    vit_reduce *r = reduce;
    float *gradients = run->gradient_block;

    fold(r, gradients, first);
    for (bool more = r->peers != NULL; more;) {
        more = may_begin(r);
        if (more) {
            begin(r, gradients);
        } else if (r->summed < r->begun &&
                   r->peers->arrived(r->peers->user, r->summed % FLIGHT)) {
            more = r->failure.status == BASE_OK &&
                   take(r, r->summed % FLIGHT, &r->failure) == BASE_OK;
            if (more)
                sum_bucket(r, gradients);
        }
    }
}

static base_status sum_tally(vit_reduce *r, vit_run *run, base_error *err)
{
    const vit_peers *peers = r->peers;
    size_t count = 0;
    double *tally = vit_run_tally(run, &count);

    if (count == 0)
        return BASE_OK;
    memcpy(r->tallies + peers->rank * count, tally, count * sizeof *tally);
    const base_status status =
        peers->all(peers->user, r->tallies, count * sizeof *tally, err);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        tally[i] = tree_doubles(r->tallies + i, peers->ranks, count);
    return status;
}

base_status vit_reduce_finish(float **gradients, vit_reduce *reduce, vit_run *run,
                              base_error *err)
{
    vit_reduce *r = reduce;
    const vit_peers *peers = r->peers;
    float *own = vit_run_gradients(run);
    base_status status = BASE_OK;

    vit_run_hand_over_to(run, NULL, NULL);
    if (r->failure.status != BASE_OK)
        return base_fail(err, r->failure.status, "%s", r->failure.text);
    fold(r, own, 0);
    for (size_t i = 0; i < r->levels; i++)
        r->level[i].full = false;
    r->done = 0;
    *gradients = own;
    while (peers && status == BASE_OK && r->summed < r->shards->buckets) {
        if (may_begin(r)) {
            begin(r, own);
            continue;
        }
        status = take(r, r->summed % FLIGHT, err);
        if (status == BASE_OK)
            sum_bucket(r, own);
    }
    r->begun = r->summed = 0;
    r->handed = r->shards->floats;
    return peers && status == BASE_OK ? sum_tally(r, run, err) : status;
}

/* ---- weights ------------------------------------------------------------------------- */

static const size_t *coming_cut(const vit_reduce *r, size_t i)
{
    return vit_shards_cut(r->shards, r->shards->buckets - 1 - i);
}

static void step_on(const vit_reduce *r, gather_place *at)
{
    const size_t *cut = coming_cut(r, at->bucket);
    size_t most = 0;

    for (size_t i = 0; i < r->shards->ranks; i++)
        most = cut[i + 1] - cut[i] > most ? cut[i + 1] - cut[i] : most;
    at->ticket++;
    if (++at->piece * r->share < most)
        return;
    at->piece = 0;
    at->bucket++;
}

static size_t ticket_of(const gather_place *at)
{
    return FLIGHT + at->ticket % BEGUN;
}

/* Begins as many pieces as may be: the first blocks of the network first, which lie in the
 * last bucket. Small pieces, so that none waits long for what travels beside it. */
static void send_more(vit_reduce *r)
{
    const size_t ranks = r->shards->ranks;
    size_t *at = r->table, *bytes = at + ranks;

    while (r->sent.bucket < r->shards->buckets && r->sent.ticket - r->came.ticket < BEGUN) {
        const size_t *cut = coming_cut(r, r->sent.bucket), ticket = ticket_of(&r->sent);

        for (size_t i = 0; i < ranks; i++) {
            const size_t from = vit_min(cut[i] + r->sent.piece * r->share, cut[i + 1]);

            at[i] = from * sizeof *r->block;
            bytes[i] = vit_min(r->share, cut[i + 1] - from) * sizeof *r->block;
        }
        r->flying[ticket] = true;
        r->peers->gather(r->peers->user, ticket, r->block, at, bytes);
        step_on(r, &r->sent);
    }
}

base_status vit_reduce_await(vit_reduce *reduce, size_t end, base_error *err)
{
    vit_reduce *r = reduce;
    const size_t buckets = r->shards->buckets;

    while (r->block && r->failure.status == BASE_OK && r->came.bucket < buckets) {
        const size_t ticket = ticket_of(&r->came);

        if (coming_cut(r, r->came.bucket)[0] >= end &&
            !r->peers->arrived(r->peers->user, ticket))
            return BASE_OK;
        if (take(r, ticket, &r->failure) == BASE_OK) {
            step_on(r, &r->came);
            send_more(r);
        }
    }
    if (r->failure.status != BASE_OK)
        return base_fail(err, r->failure.status, "%s", r->failure.text);
    if (r->model)
        r->model->coming = NULL;
    r->model = NULL;
    r->block = NULL;
    return BASE_OK;
}

base_status vit_model_await(const vit_model *model, const float *end, base_error *err)
{
    return !model->coming ? BASE_OK
           : !end         ? vit_reduce_await(model->coming, model->floats, err)
                  : vit_reduce_await(model->coming, (size_t)(end - model->weights), err);
}

static void share(vit_reduce *r, float *block)
{
    r->block = block;
    r->sent = r->came = (gather_place){0};
    send_more(r);
}

base_status vit_reduce_gather(vit_reduce *reduce, float *block, base_error *err)
{
    vit_reduce *r = reduce;
    const size_t floats = r->shards->floats;
    base_status status = vit_reduce_await(r, floats, err);

    if (!r->peers || status != BASE_OK)
        return status;
    share(r, block);
    return vit_reduce_await(r, floats, err);
}

void vit_reduce_share(vit_reduce *reduce, vit_model *model)
{
    share(reduce, vit_model_weights(model));
    reduce->model = model;
    model->coming = reduce;
}

/* ---- files --------------------------------------------------------------------------- */

/* Bytes of the window's floats that rank owns in a bucket; *from: the first of them. */
static size_t part_of(size_t *from, const vit_shards *s, size_t bucket, size_t rank,
                      size_t first, size_t count)
{
    const size_t *cut = vit_shards_cut(s, bucket) + rank;
    const size_t end = vit_min(cut[1], first + count);

    *from = cut[0] > first ? cut[0] : first;
    return end > *from ? (end - *from) * sizeof(float) : 0;
}

/* Between the owned floats, or what others sent or are to be sent (packed, from byte
 * cursor[rank] on), and the window: whole on rank 0, packed elsewhere. In block order. */
static void move_window(const vit_reduce *r, float *owned, float *whole, char *packed,
                        size_t *cursor, size_t first, size_t count, bool in)
{
    const vit_shards *s = r->shards;

    for (size_t b = s->buckets; b-- > 0;)
        for (size_t rank = 0; rank < s->ranks; rank++) {
            size_t from = 0;
            const size_t bytes = part_of(&from, s, b, rank, first, count);
            const bool mine = rank == s->rank, lead = s->rank == 0;

            if (bytes == 0 || !(mine || lead))
                continue;
            const size_t place = s->place[b] + from - vit_shards_cut(s, b)[s->rank];
            void *local = mine ? (void *)(owned + place) : packed + cursor[rank];
            void *window = lead ? (void *)(whole + from - first) : packed + cursor[rank];
            memcpy(in ? local : window, in ? window : local, bytes);
            cursor[rank] += bytes;
        }
}

base_status vit_reduce_window(vit_reduce *reduce, float *owned, float *whole, size_t first,
                              size_t count, bool in, base_error *err)
{
    vit_reduce *r = reduce;
    const vit_shards *s = r->shards;
    const vit_peers *peers = r->peers;
    const bool lead = s->rank == 0, sends = lead == in;
    size_t *at = r->table, *bytes = at + s->ranks, *none = bytes + s->ranks,
           *cursor = none + s->ranks, from, total = 0;

    memset(r->table, 0, 4 * s->ranks * sizeof *r->table);
    for (size_t rank = 1; rank < s->ranks; rank++) {
        if (!lead && rank != s->rank)
            continue;
        const size_t peer = lead ? rank : 0;
        at[peer] = cursor[rank] = total;
        for (size_t b = 0; b < s->buckets; b++)
            bytes[peer] += part_of(&from, s, b, rank, first, count);
        total += bytes[peer];
    }
    char *packed = base_alloc(total, 1);
    if (!packed)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu numbers of other ranks",
                         total / sizeof(float));
    if (sends)
        move_window(r, owned, whole, packed, cursor, first, count, in);
    peers->exchange(peers->user, 0, packed, sends ? at : none, sends ? bytes : none, packed,
                    sends ? none : at, sends ? none : bytes);
    const base_status status = peers->wait(peers->user, 0, err);
    if (status == BASE_OK && !sends)
        move_window(r, owned, whole, packed, cursor, first, count, in);
    base_free(packed);
    return status;
}

base_status vit_peers_broadcast(const vit_peers *peers, void *data, size_t bytes,
                                base_error *err)
{
    base_status status = BASE_OK;

    if (!peers || peers->ranks == 1)
        return BASE_OK;
    size_t *at = base_alloc(2 * peers->ranks, sizeof *at), *size = at + peers->ranks;
    if (!at)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the places of %zu ranks",
                         peers->ranks);
    for (size_t done = 0; done < bytes && status == BASE_OK; done += size[0]) {
        size[0] = vit_min(VIT_WINDOW_BYTES, bytes - done);
        for (size_t i = 1; i < peers->ranks; i++)
            at[i] = size[0];
        peers->gather(peers->user, 0, (char *)data + done, at, size);
        status = peers->wait(peers->user, 0, err);
    }
    base_free(at);
    return status;
}
