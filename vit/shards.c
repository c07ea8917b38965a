/* shards.c - the network's floats, dealt to the ranks of a job: whoever adds the gradients
 * of a float also keeps its moments and updates it (Rajbhandari et al. 2020, "ZeRO", stage
 * 1). Relied on elsewhere: no chunk of the optimiser has two owners; ranks alone own all,
 * at its own place. */
#include <string.h>

#include "vit/shards_internal.h"

/* Where tensor groups begin that backward finishes together: what stands before the blocks,
 * each block, what stands behind them. Returns how many; out [model->count + 1] ends with
 * the number of floats. */
static size_t borders(size_t *out, const vit_model *model)
{
    size_t count = 0;
    int before = -2;

    for (size_t i = 0; i < model->count; i++) {
        const int block = vit_block_index(model->parameter[i].name);

        if (block != before)
            out[count++] = model->parameter[i].offset;
        before = block;
    }
    out[count] = model->floats;
    return count;
}

/* Deals the chunks of a bucket to the ranks in turn, evenly by floats. */
static void deal(size_t *cut, const vit_model *model, size_t first, size_t end,
                 size_t ranks)
{
    size_t rank = 0;

    cut[0] = first;
    for (size_t i = 0; i < model->count; i++) {
        const vit_parameter *p = &model->parameter[i];

        if (p->offset < first || p->offset >= end)
            continue;
        for (size_t at = 0; at < p->count; at += VIT_CHUNK) {
            const size_t begin = p->offset + at;
            /* the chunk is of the rank in whose share it begins */
            while (rank + 1 < ranks &&
                   (begin - first) * ranks >= (rank + 1) * (end - first))
                cut[++rank] = begin;
        }
    }
    while (rank < ranks)
        cut[++rank] = end;
}

base_status vit_shards_create(vit_shards **out, const vit_model *model, size_t rank,
                              size_t ranks, size_t bucket_floats, base_error *err)
{
    enum {
        LINE = 16
    }; /* floats of a cache line: runs lie in memory as they do in the block */
    vit_shards *s = base_alloc(1, sizeof *s);
    size_t *border = base_alloc(model->count + 1, sizeof *border);
    const size_t groups = border ? borders(border, model) : 0;

    if (s) {
        *s = (vit_shards){.rank = rank, .ranks = ranks, .floats = model->floats};
        s->cut = base_alloc(groups + 1, (ranks + 1) * sizeof *s->cut);
        s->place = base_alloc(groups + 1, sizeof *s->place);
    }
    if (!s || !border || !s->cut || !s->place) {
        vit_shards_destroy(s);
        base_free(border);
        return base_fail(err, BASE_NO_MEMORY, "no memory for the shares of %zu ranks",
                         ranks);
    }
    for (size_t end = groups; end > 0;) {
        size_t begin = end - 1;

        while (begin > 0 && border[end] - border[begin] < bucket_floats)
            begin--;
        size_t *cut = s->cut + s->buckets * (ranks + 1);
        deal(cut, model, border[begin], border[end], ranks);
        const size_t shift = cut[rank] % LINE;
        s->owned = (s->owned + LINE - 1) / LINE * LINE + shift;
        s->place[s->buckets++] = s->owned;
        s->owned += cut[rank + 1] - cut[rank];
        end = begin;
    }
    base_free(border);
    *out = s;
    return BASE_OK;
}

void vit_shards_destroy(vit_shards *shards)
{
    if (!shards)
        return;
    base_free(shards->cut);
    base_free(shards->place);
    base_free(shards);
}

size_t vit_shards_owner(size_t *place, const vit_shards *shards, size_t offset)
{
    size_t bucket = 0, rank = 0;

    while (bucket + 1 < shards->buckets && offset < vit_shards_cut(shards, bucket)[0])
        bucket++;
    const size_t *cut = vit_shards_cut(shards, bucket);
    while (rank + 1 < shards->ranks && offset >= cut[rank + 1])
        rank++;
    *place = shards->place[bucket] + offset - cut[rank];
    return rank;
}
