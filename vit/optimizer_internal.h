/* optimizer_internal.h - the optimiser's fields, for its step (optimizer.c) and its files
 * (optimizer_state.c). Private to these. */
#ifndef VIT_OPTIMIZER_INTERNAL_H
#define VIT_OPTIMIZER_INTERNAL_H

#include "vit/shards_internal.h"

/* A piece of a tensor, which one rank owns. */
typedef struct vit_chunk {
    size_t offset;
    size_t count;
    size_t place; /* in the moments and averages of its owner */
    size_t seat;  /* of its sum */
    double rate;  /* of the learning rate */
    bool decay;
    bool state;
    bool frozen;
} vit_chunk;

struct vit_optimizer {
    vit_optimizer_config config;
    const vit_kernels *kernels;
    vit_reduce *reduce;
    vit_chunk *chunk; /* of all ranks */
    size_t chunks;
    size_t *own, owns; /* numbers of this rank's chunks */
    /* [chunks + ranks]: of every rank its chunks' sums of squares, then whether it was
     * finite */
    double *sum;
    size_t *seat, *seats; /* [ranks] bytes: where a rank's begin in sum, and their size */
    size_t floats;        /* of the whole block */
    size_t owned;         /* of it this rank's, which the following hold; alone: floats */
    float *first;  /* [owned]: AdamW's m or SGD's momentum buffer; NULL without momentum */
    float *second; /* [owned]: AdamW's v; NULL for SGD */
    float *ema;    /* [owned], NULL when off */
    int64_t step;  /* updates done */
    size_t asked;  /* floats of the state that rank 0 has asked for in this save */
};

#endif
