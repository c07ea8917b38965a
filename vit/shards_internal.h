/* shards_internal.h - which rank adds and updates which floats of the network (shards.c),
 * and how gradients get there and weights back (reduce.c). Private to the optimiser's files
 * and to tests. */
#ifndef VIT_SHARDS_INTERNAL_H
#define VIT_SHARDS_INTERNAL_H

#include "vit/model_internal.h"

enum { VIT_CHUNK = 1 << 14 }; /* floats of a piece of a tensor that has one owner */

/* The block of floats, cut into buckets in the order in which backward finishes them: from
 * its end to its beginning, at borders of blocks of the network. Every rank owns one run of
 * every bucket. */
typedef struct vit_shards {
    size_t rank, ranks;
    size_t floats;  /* of the whole block */
    size_t owned;   /* room for this rank's runs, one behind the other */
    size_t buckets; /* at least 1 */
    size_t *cut;    /* [buckets, ranks + 1]: where each rank's run begins, and the end */
    size_t *place;  /* [buckets]: of the own run in `owned` */
} vit_shards;

/* bucket_floats: a bucket has at least so many, but for the last. */
base_status vit_shards_create(vit_shards **out, const vit_model *model, size_t rank,
                              size_t ranks, size_t bucket_floats, base_error *err);
void vit_shards_destroy(vit_shards *shards);
/* The bucket's run of a rank: from cut[rank] to cut[rank + 1]. */
static inline const size_t *vit_shards_cut(const vit_shards *shards, size_t bucket)
{
    return shards->cut + bucket * (shards->ranks + 1);
}
/* Who owns the float at offset; *place of it among the floats of this rank, when it is
 * that one. */
size_t vit_shards_owner(size_t *place, const vit_shards *shards, size_t offset);

/* ---- lanes and exchanges (reduce.c) -------------------------------------------------- */

typedef struct vit_reduce vit_reduce;
/* peers NULL: one rank alone; else borrowed. lanes: of this rank, at least 1. */
base_status vit_reduce_create(vit_reduce **out, const vit_model *model,
                              const vit_peers *peers, size_t lanes, base_error *err);
void vit_reduce_destroy(vit_reduce *reduce);
const vit_shards *vit_reduce_shards(const vit_reduce *reduce);
/* Of lanes and exchanges. */
size_t vit_reduce_bytes(const vit_reduce *reduce);
/* NULL: alone. */
const vit_peers *vit_reduce_peers(const vit_reduce *reduce);
/* The gradients of run are those of one more lane: put away, or added up after the last. */
void vit_reduce_lane_end(vit_reduce *reduce, vit_run *run);
/* After the last lane: the own runs of run's gradients become the sums over all ranks, the
 * tally too. Returns the gradients. */
base_status vit_reduce_finish(float **gradients, vit_reduce *reduce, vit_run *run,
                              base_error *err);
/* block [floats]: every rank's runs come to all. */
base_status vit_reduce_gather(vit_reduce *reduce, float *block, base_error *err);
/* The same with the weights of the model, which come while passes run. */
void vit_reduce_share(vit_reduce *reduce, vit_model *model);
/* Of what is on its way, the floats before `end` have come. Nothing is: at once. */
base_status vit_reduce_await(vit_reduce *reduce, size_t end, base_error *err);
/* Floats first .. first + count - 1 of a block of which every rank has its shares in owned:
 * to whole [count] on rank 0, or (in) from there. */
base_status vit_reduce_window(vit_reduce *reduce, float *owned, float *whole, size_t first,
                              size_t count, bool in, base_error *err);
/* For vit_run: the gradients from float `first` on are final in the last lane. */
void vit_reduce_handed(void *reduce, vit_run *run, size_t first);

/* sum [n] = the tree over from [count] [n] (mesh.h has the same): halves by halves, the
 * left one the largest power of two below count. sum may be any of them. Cannot fail. */
void vit_tree_sum(float *sum, const float *const *from, size_t count, size_t n);

#endif
