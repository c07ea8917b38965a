/* table.c - all corruptions, one line each, in the order of corrupt_kind. */
#include "corrupt/corrupt_internal.h"

const corrupt_entry *const corrupt_table[CORRUPT_KIND_COUNT] = {
    [CORRUPT_KIND_GAUSSIAN_NOISE] = &corrupt_gaussian_noise,
    [CORRUPT_KIND_SPECKLE_NOISE] = &corrupt_speckle_noise,
};
