/* table.c - all corruptions, one line each, in the order of corrupt_kind. */
#include "corrupt/corrupt_internal.h"

const corrupt_entry *const corrupt_table[CORRUPT_KIND_COUNT] = {
    [CORRUPT_KIND_GAUSSIAN_NOISE] = &corrupt_gaussian_noise,
    [CORRUPT_KIND_SHOT_NOISE] = &corrupt_shot_noise,
    [CORRUPT_KIND_IMPULSE_NOISE] = &corrupt_impulse_noise,
    [CORRUPT_KIND_DEFOCUS_BLUR] = &corrupt_defocus_blur,
    [CORRUPT_KIND_GLASS_BLUR] = &corrupt_glass_blur,
    [CORRUPT_KIND_MOTION_BLUR] = &corrupt_motion_blur,
    [CORRUPT_KIND_ZOOM_BLUR] = &corrupt_zoom_blur,
    [CORRUPT_KIND_SNOW] = &corrupt_snow,
    [CORRUPT_KIND_FROST] = &corrupt_frost,
    [CORRUPT_KIND_FOG] = &corrupt_fog,
    [CORRUPT_KIND_BRIGHTNESS] = &corrupt_brightness,
    [CORRUPT_KIND_CONTRAST] = &corrupt_contrast,
    [CORRUPT_KIND_ELASTIC_TRANSFORM] = &corrupt_elastic_transform,
    [CORRUPT_KIND_PIXELATE] = &corrupt_pixelate,
    [CORRUPT_KIND_JPEG_COMPRESSION] = &corrupt_jpeg_compression,
    [CORRUPT_KIND_SPECKLE_NOISE] = &corrupt_speckle_noise,
    [CORRUPT_KIND_GAUSSIAN_BLUR] = &corrupt_gaussian_blur,
    [CORRUPT_KIND_SPATTER] = &corrupt_spatter,
    [CORRUPT_KIND_SATURATE] = &corrupt_saturate,
};
