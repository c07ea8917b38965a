/* position.c - the fixed position embedding: sines and cosines of the two grid
 * coordinates. Follows posemb_sincos_2d of big_vision (Beyer, Zhai, Kolesnikov 2022,
 * "Better plain ViT baselines for ImageNet-1k"; first in Chen, Xie, He 2021, MoCo v3).
 * Relied on elsewhere: order of the quarters, temperature; checkpoints do not store
 * these numbers. */
#include <math.h>
#include <string.h>

#include "vit/vit_internal.h"

static const double temperature = 10000.0;

void vit_position_sincos(float *out, const vit_config *config)
{
    const size_t side = (size_t)(config->image / config->patch);
    const size_t width = (size_t)config->width;
    const size_t quarter = width / 4;
    float *at = out;

    for (size_t i = vit_config_prefix(config); i > 0; i--, at += width)
        memset(at, 0, width * sizeof *at); /* the class token has no place on the grid */
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++, at += width)
            for (size_t i = 0; i < quarter; i++) {
                const double omega = pow(temperature, -(double)i / (double)(quarter - 1));
                at[i] = (float)sin((double)x * omega);
                at[quarter + i] = (float)cos((double)x * omega);
                at[2 * quarter + i] = (float)sin((double)y * omega);
                at[3 * quarter + i] = (float)cos((double)y * omega);
            }
}
