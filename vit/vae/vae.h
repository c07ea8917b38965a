/* vae.h - a variational autoencoder whose decoder is a layer of experts: one encoder for
 * all images, a gate on the latent, E decoders. After SMoE-VAE (arXiv 2509.10025), of which
 * only summaries were read (design routing.md 11): training uses the gate-weighted sum of
 * all decoders, inference the best one. Sizes, activations and the weighting of the losses
 * are ours.
 *
 *     base_error err = {0};
 *     vit_vae *vae = NULL;
 *     vit_vae_run *run = NULL;
 *     vit_vae_losses losses;
 *     const vit_vae_config config = vit_vae_config_defaults();
 *     if (vit_vae_create(&vae, &config, &err) != BASE_OK)
 *         return app_fail(&err);
 *     vit_vae_init(vae, 1);
 *     if (vit_vae_run_create(&run, vae, 32, false, &err) != BASE_OK ||
 *         vit_vae_forward(run, &losses, images, 32, VIT_VAE_ALL, NULL, NULL, &err) != BASE_OK)
 *         return app_fail(&err);
 *     printf("mean of squares %g\n", losses.squares);
 *     vit_vae_run_destroy(run);
 *     vit_vae_destroy(vae);
 *
 *   x [P] -> gelu(fc1) [H] -> fc2 -> mean, log variance [2 Z] ; z = mean + exp(log variance / 2) eps
 *   gate p = softmax(z G^T) [E] ; expert e: sigmoid(fc2_e(gelu(fc1_e(z)))) [P]
 *
 * Letters: B images, P = channels * image^2 pixels in 0..1, Z latents, E experts. */
#ifndef VIT_VAE_H
#define VIT_VAE_H

#include "vit/vit.h"

typedef struct vit_vae_config {
    int image, channels; /* pixels a side, 1 or 3 */
    int hidden;          /* of the encoder */
    int latent;          /* Z */
    int experts;         /* E, 1..VIT_EXPERTS_MAX */
    int decoder;         /* hidden size of a decoder */
    double beta;         /* weight of the KL divergence */
    double balance; /* weight of E sum_e f_e mean(p_e), f the shares of the best experts */
    double sharpen; /* weight of the entropy of an image's gate, nats */
} vit_vae_config;

typedef struct vit_vae vit_vae;

/* 28 x 28 grey, 256 hidden, 16 latents, 7 experts of 64, beta 1, no balance, no
 * sharpening. */
vit_vae_config vit_vae_config_defaults(void);
/* All weights zero. BASE_USAGE names the key that is out of its range. */
base_status vit_vae_create(vit_vae **out, const vit_vae_config *config, base_error *err);
void vit_vae_destroy(vit_vae *vae);
/* Matrices LeCun normal (std fan_in^-1/2), biases 0. Cannot fail. */
void vit_vae_init(vit_vae *vae, uint64_t seed);
const vit_vae_config *vit_vae_config_of(const vit_vae *vae);
size_t vit_vae_parameter_count(const vit_vae *vae);
const vit_parameter *vit_vae_parameter(const vit_vae *vae, size_t i);
size_t vit_vae_floats(const vit_vae *vae);
float *vit_vae_weights(vit_vae *vae);
/* safetensors, fp32; `format` is "vmoe-vae", metadata [pairs] is added. */
base_status vit_vae_save(const vit_vae *vae, const char *path, const vit_pair *metadata,
                         size_t pairs, base_error *err);
base_status vit_vae_load(vit_vae **out, const char *path, base_error *err);

typedef struct vit_vae_run vit_vae_run;

/* All memory for up to batch images; the vae must outlive the run. training: gradients
 * too. */
base_status vit_vae_run_create(vit_vae_run **out, const vit_vae *vae, size_t batch,
                               bool training, base_error *err);
void vit_vae_run_destroy(vit_vae_run *run);

/* Means over the images of a pass. */
typedef struct vit_vae_losses {
    double squares;          /* of the pixels' errors, summed over an image */
    double kl;               /* KL(q(z | x) || N(0, 1)), nats */
    double balance, entropy; /* not weighted; 0 where experts are given */
    double total;            /* squares + beta kl + balance + sharpen entropy, weighted */
} vit_vae_losses;

typedef enum vit_vae_pass {
    VIT_VAE_ALL,  /* the gate-weighted sum of all decoders */
    VIT_VAE_BEST, /* the decoder with the largest gate, alone */
    VIT_VAE_GIVEN /* decoder expert[i] of image i, alone: routing by labels */
} vit_vae_pass;

/* One pass over images [B, P]. sample: z is drawn (training), keyed by step and the image's
 * place in the global batch; NULL: z is the mean. expert [B], of VIT_VAE_GIVEN only, in
 * 0..E - 1. */
base_status vit_vae_forward(vit_vae_run *run, vit_vae_losses *losses, const float *images,
                            size_t batch, vit_vae_pass pass, const int32_t *expert,
                            const vit_step *sample, base_error *err);
/* Adds the gradient of the total of the last forward pass, times scale. Training runs
 * only. */
base_status vit_vae_backward(vit_vae_run *run, double scale, base_error *err);
float *vit_vae_gradients(vit_vae_run *run); /* NULL unless training */
void vit_vae_gradients_zero(vit_vae_run *run);
/* Of the last forward pass, borrowed until the next. */
const float *vit_vae_pixels(const vit_vae_run *run);  /* [B, P] reconstruction */
const float *vit_vae_latent(const vit_vae_run *run);  /* [B, Z] means */
const float *vit_vae_gate(const vit_vae_run *run);    /* [B, E] */
const double *vit_vae_errors(const vit_vae_run *run); /* [B] squares of an image */
/* The decoder that the gate of the last pass likes best, or the given one: [B]. */
const int32_t *vit_vae_expert(const vit_vae_run *run);

/* The optimiser of the vit_ networks, on this one. */
base_status vit_vae_optimizer_create(vit_optimizer **out, const vit_vae *vae,
                                     const vit_optimizer_config *config, base_error *err);
vit_optimizer_result vit_vae_optimizer_step(vit_optimizer *optimizer, vit_vae *vae,
                                            const float *gradients, double lr);

#endif
