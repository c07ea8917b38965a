/* vae_internal.h - the autoencoder's tensors, between vae.c and run.c. Private to
 * vit/. */
#ifndef VIT_VAE_INTERNAL_H
#define VIT_VAE_INTERNAL_H

#include "vit/model_internal.h"
#include "vit/vae/vae.h"

/* In the order of the block of floats. */
enum {
    VIT_VAE_FC1, /* [H, P] */
    VIT_VAE_FC1_BIAS,
    VIT_VAE_FC2, /* [2 Z, H]: rows of the means, then of the log variances */
    VIT_VAE_FC2_BIAS,
    VIT_VAE_GATE,    /* [E, Z] */
    VIT_VAE_EXPERT1, /* [E, M, Z] */
    VIT_VAE_EXPERT1_BIAS,
    VIT_VAE_EXPERT2, /* [E, P, M] */
    VIT_VAE_EXPERT2_BIAS,
    VIT_VAE_TENSORS
};

struct vit_vae {
    vit_vae_config config;
    vit_parameter parameter[VIT_VAE_TENSORS];
    vit_model
        table; /* parameter and weights as optimizer.c takes them; nothing else is set */
};

/* P */
static inline size_t vit_vae_pixel_count(const vit_vae_config *c)
{
    return (size_t)c->channels * (size_t)c->image * (size_t)c->image;
}

#endif
