/* internal.h - vmoe vae: the autoencoder of experts (train/vae/vae.h) on small images; its
 * result as a document (document.c) and what a reader sees of it (view.c). Private to
 * apps/.
 *
 * In the run's folder beside what train/vae/vae.h says, at the end: model.safetensors,
 * result.json, page.html. */
#ifndef APPS_VAE_INTERNAL_H
#define APPS_VAE_INTERNAL_H

#include "apps/app_internal.h"
#include "train/vae/vae.h"

/* The document of a run with its pictures; the validation images are read again for them.
 * The caller destroys it, in any case. */
base_status app_vae_document(show_document **out, train_vae *vae, const app_common *common,
                             const train_vae_measures *measures, base_error *err);
extern const show_view app_vae_view;

#endif
