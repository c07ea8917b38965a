/* data_internal.h - what the files of this room share and nobody else sees (but its tests).
 *
 * First part: one sample from decoded pixels to its place in a batch (image.c, transform.c,
 * augment.c), as the loader calls it. Sources and their layouts: sources_internal.h.
 *
 * The order of random draws is part of every result (data.md 7, 8). One sample, one stream
 * of BASE_PURPOSE_AUGMENT: crop, flip (data_train_transform), policy and colour jitter
 * (data_policy), then erasing (data_erase).
 * One batch, one stream of BASE_PURPOSE_MIX (data_mix_batch). */
#ifndef DATA_DATA_INTERNAL_H
#define DATA_DATA_INTERNAL_H

#include "data/data.h"
#include "data/sources/sources_internal.h"

/* ---- one sample ---------------------------------------------------------------------- */

/* Training geometry: the crop named by augment, then the flip, to [size, size, channels of
 * in], 8 bit.
 *   DATA_CROP_RANDOM  random resized crop (data.md 7): up to 10 tries of area, ratio, top,
 *                     left
 *   DATA_CROP_PADDED  to size x size if it is not (as DATA_CROP_EVAL with resize = size),
 *                     augment's padding of zeros on each side, crop at top, left =
 *                     below(2 * padding + 1)
 *   DATA_CROP_EVAL    data_eval_transform with resize and size, no draws
 * Then one uniform draw for the flip when its probability is above 0. resize is used by
 * DATA_CROP_EVAL only. out must not be in, nor one of scratch's images. */
base_status data_train_transform(data_image *out, const data_image *in,
                                 const data_augment *augment, size_t resize, size_t size,
                                 data_filter filter, base_rng *rng, data_scratch *scratch,
                                 base_error *err);

/* augment's policy, then its colour jitter, on an 8-bit picture in place. Draws nothing
 * when both are off. Fails for want of memory only. */
base_status data_policy(data_image *image, const data_augment *augment, base_rng *rng,
                        data_scratch *scratch, base_error *err);
/* One operation of a policy by its number in policy.c, for tests. */
base_status data_operation_torchvision(data_image *image, int op, double magnitude,
                                       bool negative, data_scratch *scratch,
                                       base_error *err);
base_status data_operation_vmoe(data_image *image, int op, double magnitude, bool negative,
                                const size_t cutout[2], data_scratch *scratch,
                                base_error *err);

/* Random erasing (Zhong et al. 2017) of one normalised sample, planes [channels, size,
 * size]: with probability augment->erase a rectangle of 0.02..0.33 of the area, sides'
 * ratio 0.3..3.3, becomes 0, or standard normal numbers (erase_noise). Draws nothing when
 * the probability is 0. Cannot fail. */
void data_erase(float *planes, size_t channels, size_t size, const data_augment *augment,
                base_rng *rng);

/* The decoder is there; the next picture is bad until it is read (reader.c). */
base_status data_reader_begin(data_reader *reader, base_error *err);

/* ---- one batch ----------------------------------------------------------------------- */

/* Mixup (Zhang et al. 2017) or CutMix (Yun et al. 2019) of a finished batch in place,
 * paired by augment->mix_style, one weight for the batch; timm's pairing leaves the middle
 * one of an odd batch as it is. Takes no memory. images [count, channels, size, size].
 * Fills labels_b [count] (the partner's label) and weight_a [count] (the weight of
 * labels[i] in the target, 0..1); an unmixed batch gets labels and 1. Draws nothing when
 * augment has neither. Cannot fail. */
void data_mix_batch(float *images, int32_t *labels_b, float *weight_a,
                    const int32_t *labels, size_t count, size_t channels, size_t size,
                    const data_augment *augment, base_rng *rng);

/* ---- order --------------------------------------------------------------------------- */

/* Which sample stands at a position of an epoch. */
typedef struct data_order {
    uint64_t seed;
    size_t count;           /* positions of an epoch */
    uint32_t *subset;       /* [count] ascending, or NULL: all */
    size_t slots;           /* epochs whose permutations are kept, 0: not shuffled */
    uint64_t *epoch;        /* [slots], UINT64_MAX: none */
    uint32_t **permutation; /* [slots][count] */
} data_order;

/* limit 0: all samples; else the first limit of the permutation of BASE_PURPOSE_SUBSET.
 * slots 0: the source's order. The caller destroys *out. */
base_status data_order_create(data_order *out, size_t samples, size_t limit, uint64_t seed,
                              size_t slots, base_error *err);
void data_order_destroy(data_order *order);
/* Makes the permutation of the epoch unless it is there; overwrites that of epoch - slots.
 */
void data_order_prepare(data_order *order, uint64_t epoch);
/* The sample at position 0 .. count - 1. The epoch must be prepared. Safe from several
 * threads. */
uint32_t data_order_sample(const data_order *order, uint64_t epoch, size_t position);

#endif
