/* resize_plain_internal.h - TensorFlow's resizes, which JAX's vision codes evaluate with:
 * area averages, and bilinear interpolation that takes no notice of how much smaller the
 * result is. Between resize.c and resize_plain.c. */
#ifndef DATA_RESIZE_PLAIN_INTERNAL_H
#define DATA_RESIZE_PLAIN_INTERNAL_H

#include "data/data.h"

/* Output first + i takes inputs low[i] .. low[i] + taps[i] - 1. */
typedef struct plain_axis {
    size_t *low, *taps; /* [count] */
    float *weight;      /* [count, most]: area: each input's; bilinear: [0] the second's */
    size_t count, most; /* most: taps of an output at most, at least 2 */
    float scale;        /* inputs an output is as wide as */
    void *block;        /* the memory of all */
    size_t block_bytes;
} plain_axis;

/* Outputs first .. first + count - 1 of `out` that [b0, b1) of `in` inputs becomes. */
typedef struct plain_key {
    size_t in, out, first, count;
    double b0, b1;
} plain_key;

/* Whether it is a filter of this file. */
bool data_filter_is_plain(data_filter filter);
base_status data_plain_axis_make(plain_axis *axis, const plain_key *key, data_filter filter,
                                 base_error *err);
void data_plain_axis_destroy(plain_axis *axis);
/* to [count, 4] from the row of RGBX whose first pixel is input `origin`. */
void data_plain_across(float *to, const unsigned char *rgbx, const plain_axis *axis,
                       size_t origin, data_filter filter);
/* Row i of the result, [values] bytes, from rows [taps[i]] of data_plain_across. */
void data_plain_down(unsigned char *to, const float *const *rows, const plain_axis *down,
                     size_t i, float across_scale, size_t values, data_filter filter);

#endif
