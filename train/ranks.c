/* ranks.c - a run whose steps several ranks share: what each is told at the end of a step,
 * and what they agree about. Rank r computes parts r a / R up to (r + 1) a / R of every
 * step's a parts, whole; evaluations are divided by whole batches. Rank 0 alone writes.
 * Relied on elsewhere: figures of parts come in the order of parts, whoever computed
 * them. */
#include <string.h>

#include "train/train_internal.h"

static const vit_peers *peers_of(const train_trainer *t)
{
    return t->options.ranks ? &t->options.ranks->peers : NULL;
}

bool train_leads(const train_trainer *trainer)
{
    return trainer->rank == 0;
}

void train_say(const train_trainer *trainer, train_phase phase)
{
    const train_ranks *r = trainer->options.ranks;

    if (r && r->say)
        r->say(r->user, trainer->at.step, phase);
}

base_status train_ranks_agree(const train_trainer *trainer, const char *what,
                              const char *text, base_error *err)
{
    const train_ranks *r = trainer->options.ranks;

    return r && r->agree ? r->agree(r->user, what, text, err) : BASE_OK;
}

base_status train_ranks_share(train_trainer *trainer, void *data, size_t bytes,
                              base_error *err)
{
    return vit_peers_broadcast(peers_of(trainer), data, bytes, err);
}

/* ---- what a rank has of a step ------------------------------------------------------- */

void train_ranks_begin(train_trainer *trainer)
{
    train_trainer *t = trainer;
    const vit_peers *peers = peers_of(t);

    t->rank = peers ? peers->rank : 0;
    t->ranks = peers ? peers->ranks : 1;
}

void train_ranks_divide(train_trainer *trainer)
{
    train_trainer *t = trainer;
    const size_t lanes = (size_t)t->recipe.train.lanes;

    t->parts = (size_t)t->recipe.train.accumulate / t->ranks;
    t->first_part = t->rank * t->parts;
    /* ranks that do not divide the lanes have one each */
    t->lanes = lanes % t->ranks == 0 ? lanes / t->ranks : 1;
}

/* ---- the roll call ------------------------------------------------------------------- */

/* What a rank says at the end of a step; its parts' figures follow. */
typedef struct call {
    double stop, busy, waited, sent;
} call;

static size_t call_bytes(const train_trainer *t)
{
    return sizeof(call) + t->parts * sizeof(train_figures);
}

base_status train_ranks_take(train_trainer *trainer, base_error *err)
{
    train_trainer *t = trainer;
    const size_t parts = (size_t)t->recipe.train.accumulate;

    t->figures = base_alloc(parts, sizeof *t->figures);
    t->calls = base_alloc(t->ranks, call_bytes(t));
    t->busy = base_alloc(t->ranks, sizeof *t->busy);
    t->loads = base_alloc(t->ranks * t->moe_count, sizeof *t->loads);
    return t->figures && t->calls && t->busy && t->loads
               ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY, "no memory for the figures of %zu parts",
                           parts);
}

bool train_stop_asked(const train_trainer *trainer)
{
    const train_watch *watch = &trainer->options.watch;

    if (trainer->ranks > 1)
        return trainer->stopping; /* as agreed in the last roll call */
    return watch->stop && watch->stop(watch->user);
}

/* What this rank's user wants, whatever the others'. */
static bool stop_wanted(const train_trainer *t)
{
    const train_watch *watch = &t->options.watch;

    return watch->stop && watch->stop(watch->user);
}

base_status train_ranks_meet(train_trainer *trainer, bool *any, base_error *err)
{
    enum { STOP = 1, MORE = 2 };
    train_trainer *t = trainer;
    const vit_peers *peers = peers_of(t);
    unsigned char *flags = t->calls;
    base_status status = BASE_OK;

    if (t->ranks == 1)
        return BASE_OK;
    flags[t->rank] = (unsigned char)((stop_wanted(t) ? STOP : 0) | (*any ? MORE : 0));
    status = peers->all(peers->user, flags, 1, err);
    for (size_t i = 0; i < t->ranks && status == BASE_OK; i++) {
        t->stopping = t->stopping || (flags[i] & STOP);
        *any = *any || (flags[i] & MORE);
    }
    return status;
}

void train_ranks_watch(train_trainer *trainer)
{
    train_trainer *t = trainer;
    const train_ranks *r = t->options.ranks;
    double sent = 0;

    if (t->ranks > 1 && r->counted)
        r->counted(r->user, &sent, &t->waited_before);
}

base_status train_ranks_call(train_trainer *trainer, double seconds, base_error *err)
{
    train_trainer *t = trainer;
    const train_ranks *r = t->options.ranks;
    const size_t bytes = call_bytes(t), figures = t->parts * sizeof *t->figures;
    double waited = 0, sent = 0;

    if (t->ranks == 1)
        return BASE_OK;
    if (r->counted)
        r->counted(r->user, &sent, &waited);
    const call mine = {stop_wanted(t), seconds - (waited - t->waited_before),
                       waited - t->waited_before, sent - t->sent_before};
    char *at = (char *)t->calls + t->rank * bytes;
    memcpy(at, &mine, sizeof mine);
    memcpy(at + sizeof mine, t->figures + t->first_part, figures);
    const base_status status = r->peers.all(r->peers.user, t->calls, bytes, err);
    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < t->ranks; i++) {
        call c;
        at = (char *)t->calls + i * bytes;
        memcpy(&c, at, sizeof c);
        memcpy(t->figures + i * t->parts, at + sizeof c, figures);
        t->stopping = t->stopping || c.stop > 0;
        t->busy[i] += c.busy;
        t->waited += c.waited / (double)t->ranks;
        t->sent += c.sent;
    }
    t->sent_before = sent; /* what the call itself sent belongs to the next */
    return BASE_OK;
}

base_status train_ranks_choose(train_trainer *trainer, char *text, size_t bytes, bool mine,
                               base_error *err)
{
    train_trainer *t = trainer;
    const vit_peers *peers = peers_of(t);
    const size_t each = bytes + 1;

    if (t->ranks == 1)
        return BASE_OK;
    char *all = base_alloc(t->ranks, each);
    if (!all)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the words of %zu ranks",
                         t->ranks);
    all[t->rank * each] = mine;
    memcpy(all + t->rank * each + 1, text, bytes);
    const base_status status = peers->all(peers->user, all, each, err);
    size_t chosen = 0;
    for (size_t i = t->ranks; i-- > 0 && status == BASE_OK;)
        chosen = all[i * each] ? i : chosen;
    if (status == BASE_OK)
        memcpy(text, all + chosen * each + 1, bytes);
    base_free(all);
    return status;
}

base_status train_ranks_loads(vit_usage *out, train_trainer *trainer, const vit_usage *own,
                              base_error *err)
{
    train_trainer *t = trainer;
    const vit_peers *peers = peers_of(t);
    const size_t count = t->moe_count;

    if (t->ranks == 1 || count == 0) {
        memmove(out, own, count * sizeof *out);
        return BASE_OK;
    }
    memcpy(t->loads + t->rank * count, own, count * sizeof *own);
    const base_status status = peers->all(peers->user, t->loads, count * sizeof *own, err);
    if (status != BASE_OK)
        return status;
    memset(out, 0, count * sizeof *out);
    for (size_t r = 0; r < t->ranks; r++)
        for (size_t i = 0; i < count; i++)
            vit_usage_merge(&out[i], &t->loads[r * count + i]);
    return BASE_OK;
}
