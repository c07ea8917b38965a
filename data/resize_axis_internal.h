/* resize_axis_internal.h - the weights of one side of a resize, and their cache. */
#ifndef DATA_RESIZE_AXIS_INTERNAL_H
#define DATA_RESIZE_AXIS_INTERNAL_H

#include "data/data.h"
#include "data/kernels_internal.h"

enum { AXIS_CACHED = 8 }; /* axes kept; photographs come in a few common sizes */

/* Outputs first .. first + count - 1 of `out` that the interval [b0, b1) of `in` inputs
 * becomes. */
typedef struct axis_key {
    size_t in, out, first, count;
    double b0, b1;
    data_filter filter;
    bool packed; /* for the horizontal pass */
} axis_key;

/* Output first + i takes inputs low[i] .. low[i] + taps[i] - 1, with weights of KERNEL_BITS
 * in groups filled up with zeros. */
typedef struct axis {
    axis_key key;    /* count 0: empty */
    uint64_t used;   /* when last: the longest unused is replaced */
    size_t groups;   /* of KERNEL_TAPS weights an output */
    size_t over;     /* inputs behind the last that zero weights touch */
    size_t *low;     /* [count] */
    size_t *taps;    /* [count] */
    size_t *from;    /* [count rounded up to 4] low, counted from that of the first */
    int32_t *weight; /* [count, groups * KERNEL_TAPS] */
    void *packed;    /* as the kernel likes it */
    void *block;     /* the memory of all */
    size_t block_bytes;
} axis;

typedef struct axis_cache {
    axis axes[AXIS_CACHED];
    uint64_t uses;
    double *real; /* [real_count] weights of one output before rounding */
    size_t real_count;
} axis_cache;

/* The axis from the cache, or made now; borrowed until AXIS_CACHED - 1 others were asked
 * for. */
base_status data_axis_get(const axis **out, axis_cache *cache, const axis_key *key,
                          const data_kernels *kernels, base_error *err);
/* The inputs that the outputs take: first and count. */
void data_axis_span(const axis *line, size_t *first, size_t *count);
void data_axis_cache_destroy(axis_cache *cache);

#endif
