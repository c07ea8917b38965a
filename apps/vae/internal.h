/* internal.h - vmoe vae: the autoencoder of experts (vit/vae/vae.h) trained on small
 * images, by what its gate learns or by the labels, and what its experts became. Settings
 * are keys of a recipe (recipe.c); the run can be taken up again (train.c);
 * measures and figures are of the validation images (measure.c, document.c, view.c).
 * Private to apps/.
 *
 * In the run's folder: recipe.ini, metrics.jsonl, last/ (model.safetensors,
 * state.safetensors), and at the end model.safetensors, result.json, page.html. */
#ifndef APPS_VAE_INTERNAL_H
#define APPS_VAE_INTERNAL_H

#include "measure/measure.h"
#include "apps/train/internal.h"
#include "vit/vae/vae.h"

enum { APP_VAE_LEARNED, APP_VAE_LABEL }; /* choices of vae.routing */

/* Every setting of a run. Plain data. */
typedef struct app_vae_recipe {
    char name[128];
    vit_vae_config config; /* channels 0: the data's */
    int routing;
    char train[TRAIN_TEXT], val[TRAIN_TEXT];
    int64_t limit, val_limit;
    double lr, weight_decay, clip;
    int64_t warmup;
    int epochs, batch;
    int64_t seed, stop_after, log_every;
} app_vae_recipe;

app_vae_recipe app_vae_recipe_defaults(void);
/* One key from text; BASE_USAGE names the key. */
base_status app_vae_recipe_set(app_vae_recipe *recipe, const char *key, const char *text,
                               base_error *err);
/* Applies assignments; BASE_USAGE names the place and the nearest key. */
base_status app_vae_recipe_apply(app_vae_recipe *recipe, const train_assignment *list,
                                 size_t count, base_error *err);
base_status app_vae_recipe_save(const app_vae_recipe *recipe, const char *path,
                                base_error *err);
/* For comparing and writing. Borrows recipe. */
train_keys app_vae_recipe_keys(const app_vae_recipe *recipe);
void app_vae_recipe_print_keys(void);

/* ---- what the experts became (measure.c) ----------------------------------------- */

enum {
    APP_VAE_SHOTS = 12,    /* images shown of an expert */
    APP_VAE_POINTS = 3000, /* of the PCA */
    APP_VAE_TSNE = 1000,   /* of these in t-SNE */
    APP_VAE_HELD_OUT = 4   /* one image in so many tests the probes */
};

typedef struct app_vae_measures {
    app_pool pool;
    size_t images, classes, experts, latent;
    double best;      /* mean squared error a pixel, of the expert that is used */
    double all;       /* of the gate-weighted sum; NaN with label routing */
    double kl;        /* nats */
    double entropy;   /* of a gate's row, nats */
    double agreement; /* share of images whose gate names the expert in use */
    uint64_t *table;  /* [classes, experts] images */
    uint64_t load[VIT_EXPERTS_MAX];
    double expert_error[VIT_EXPERTS_MAX]; /* mean squared error a pixel of its images */
    double load_entropy;                  /* normalised, 0..1 */
    size_t dead;                          /* experts with less than 1 % of the mean load */
    measure_table found, chance;
    measure_probe of_expert, of_label;
    /* of each image */
    float *latents;           /* [images, latent] means */
    int32_t *expert, *labels; /* [images] */
    /* of APP_VAE_POINTS or fewer, evenly taken */
    size_t points, near_points;
    uint32_t *point;   /* [points] which images */
    float *pca, *tsne; /* [points, 2], [near_points, 2] of the first ones */
    double variance[2], total, divergence;
} app_vae_measures;

/* ---- a run (train.c) ------------------------------------------------------------- */

/* Sums since the last line; doubles only: stored as they lie. */
typedef struct app_vae_sums {
    double squares, kl, balance, entropy, images, grad_norm, steps;
} app_vae_sums;

typedef struct app_vae {
    const app_common *common;
    app_vae_recipe recipe;
    const char *out;
    char *metrics_path;
    data_source *train, *val;
    data_loader *train_loader, *val_loader;
    vit_vae *vae;
    vit_optimizer *optimizer;
    vit_vae_run *run;
    vit_schedule schedule;
    int32_t *expert; /* [batch] of label routing */
    size_t classes;
    uint64_t step, evaluated, total, steps_in_epoch;
    uint64_t skipped;
    bool unsaved; /* something happened since the last checkpoint */
    app_vae_sums sums;
    train_metrics metrics;
    app_progress progress;
    double seconds;
} app_vae;

base_status app_vae_open(app_vae *out, const app_common *common,
                         const app_vae_recipe *recipe, const char *folder, base_error *err);
/* Goes on at FOLDER/last, if there is one. */
base_status app_vae_take_up(app_vae *vae, bool resume, base_error *err);
/* To the end. BASE_INTERRUPTED: asked to stop, checkpoint written. */
base_status app_vae_train(app_vae *vae, base_error *err);
void app_vae_close(app_vae *vae); /* zeroed is fine */
/* One pass over the validation images. thorough: probes and embeddings too. Frees what out
 * held. */
base_status app_vae_measure(app_vae_measures *out, app_vae *vae, bool thorough,
                            base_error *err);
void app_vae_measures_free(app_vae_measures *measures);
/* The document of a run with its pictures; the validation images are read again for them.
 * The caller destroys it, in any case. */
base_status app_vae_document(show_document **out, app_vae *vae,
                             const app_vae_measures *measures, base_error *err);
extern const show_view app_vae_view;

#endif
