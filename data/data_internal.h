/* data_internal.h - what the files of this room share and nobody else sees (but its tests).
 *
 * First part: one sample from decoded pixels to its place in a batch (image.c, transform.c,
 * augment.c), as the loader calls it. Second part: sources and their layouts (source*.c).
 *
 * The order of random draws is part of every result (data.md 7, 8). One sample, one stream of
 * BASE_PURPOSE_AUGMENT: crop, flip (data_train_transform), then erasing (data_erase). One batch, one
 * stream of BASE_PURPOSE_MIX (data_mix_batch). */
#ifndef DATA_DATA_INTERNAL_H
#define DATA_DATA_INTERNAL_H

#include "data/data.h"

/* ---- one sample ----------------------------------------------------------------------------- */

/* In place: RGB to grey, L = (19595 R + 38470 G + 7471 B + 32768) >> 16 (Pillow's convert('L')), or
 * grey to three equal channels. channels 1 or 3; nothing happens when image has them already. Called
 * right after decoding, so that all that follows works on the channels of the network. Fails only for
 * want of memory; image is then unchanged. */
base_status data_image_convert(data_image *image, size_t channels, base_error *err);

/* Training geometry: the crop named by augment, then the flip, to [size, size, channels of in], 8 bit.
 *   DATA_CROP_RANDOM  random resized crop (data.md 7): up to 10 tries of area, ratio, top, left
 *   DATA_CROP_PADDED  to size x size if it is not (as DATA_CROP_EVAL with resize = size), augment's
 *                     padding of zeros on each side, crop at top, left = below(2 * padding + 1)
 *   DATA_CROP_EVAL    data_eval_transform with resize and size, no draws
 * Then one uniform draw for the flip when its probability is above 0. resize is used by
 * DATA_CROP_EVAL only. out must not be in, nor one of scratch's images. */
base_status data_train_transform(data_image *out, const data_image *in,
                                 const data_augment *augment, size_t resize, size_t size,
                                 data_filter filter, base_rng *rng, data_scratch *scratch,
                                 base_error *err);

/* table [channels][256]: (v / 255 - mean[c]) / std[c], each step in float32: equals torchvision's
 * ToTensor and Normalize to the bit. channels 1..3, std > 0. Cannot fail. */
void data_normalise_table(float *table, const float *mean, const float *std,
                          size_t channels);

/* out [C, H, W] from in [H, W, C], C = in->channels, by table [C][256]. Cannot fail. */
void data_normalise(float *out, const data_image *in, const float *table);

/* Random erasing (Zhong et al. 2017) of one normalised sample, planes [channels, size, size]: with
 * probability augment->erase a rectangle of 0.02..0.33 of the area, sides' ratio 0.3..3.3, becomes 0,
 * or standard normal numbers (erase_noise). Draws nothing when the probability is 0. Cannot fail. */
void data_erase(float *planes, size_t channels, size_t size, const data_augment *augment,
                base_rng *rng);

/* ---- one batch ------------------------------------------------------------------------------ */

/* Mixup (Zhang et al. 2017) or CutMix (Yun et al. 2019) of a finished batch in place, timm's pairing:
 * sample i with sample count - 1 - i (the middle one of an odd batch with itself), one weight for the
 * batch. images [count, channels, size, size]. Fills labels_b [count] (the partner's label) and
 * weight_a [count] (the weight of labels[i] in the target, 0..1); an unmixed batch gets labels and 1.
 * Draws nothing when augment has neither. Cannot fail. */
void data_mix_batch(float *images, int32_t *labels_b, float *weight_a,
                    const int32_t *labels, size_t count, size_t channels, size_t size,
                    const data_augment *augment, base_rng *rng);

/* ---- sources -------------------------------------------------------------------------------- */

#endif
