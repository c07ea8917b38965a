/* vae.h - trains the autoencoder of experts (vit/vae/vae.h) on small images, by what its
 * gate learns or by the labels, in a folder where the run can be taken up again, and
 * measures what its experts became.
 *
 *     #include <stdio.h>
 *
 *     #include "train/vae/vae.h"
 *
 *     int main(int argc, char **argv) // on DIR/train-images-idx3-ubyte and so on
 *     {
 *         const train_vae_options options = {.folder = "vae", .resume = true};
 *         train_vae_recipe recipe = train_vae_recipe_defaults();
 *         train_vae_measures m = {0};
 *         train_vae run = {0};
 *         base_error err = {0};
 *
 *         recipe.epochs = 3;
 *         snprintf(recipe.train, 256, "idx:%s/train", argc > 1 ? argv[1] : ".");
 *         snprintf(recipe.val, 256, "idx:%s/t10k", argc > 1 ? argv[1] : ".");
 *         base_status status = train_vae_open(&run, &recipe, &options, &err);
 *         if (status == BASE_OK)
 *             status = train_vae_run(&run, &err); // again: goes on, or is done at once
 *         if (status == BASE_OK)
 *             status = train_vae_measure(&m, &run, false, &err);
 *         if (status == BASE_OK)
 *             printf("squared error %.5f, NMI %.3f\n", m.best, m.found.normalised);
 *         else
 *             fprintf(stderr, "%s\n", err.text);
 *         train_vae_measures_free(&m);
 *         train_vae_close(&run);
 *         return status == BASE_OK ? 0 : 1;
 *     }
 *
 * Nothing here prints or looks at signals. In the folder: recipe.ini, metrics.jsonl and
 * last/ with model.safetensors and state.safetensors. One at a time on one object. */
#ifndef TRAIN_VAE_VAE_H
#define TRAIN_VAE_VAE_H

#include "measure/measure.h"
#include "train/train.h"
#include "vit/vae/vae.h"

/* ---- settings (recipe.c) ------------------------------------------------------------- */

enum { TRAIN_VAE_LEARNED, TRAIN_VAE_LABEL }; /* choices of vae.routing */

/* Every setting of a run. Plain data. */
typedef struct train_vae_recipe {
    char name[128];
    vit_vae_config config; /* channels 0: the data's */
    int routing;
    char train[TRAIN_TEXT], val[TRAIN_TEXT]; /* DATA */
    int64_t limit, val_limit;                /* images, 0: all */
    double lr, weight_decay, clip;
    int64_t warmup; /* steps */
    int epochs, batch;
    int64_t seed, stop_after, log_every; /* both in steps; stop_after 0: at the end */
} train_vae_recipe;

train_vae_recipe train_vae_recipe_defaults(void);
/* Applies the recipe NAME (searched for) or FILE, whose name becomes the recipe's.
 * BASE_USAGE names the place and the nearest key. */
base_status train_vae_recipe_load(train_vae_recipe *recipe, const char *name,
                                  base_error *err);
/* Applies "section.key=value" (--set). */
base_status train_vae_recipe_set(train_vae_recipe *recipe, const char *const *assignments,
                                 size_t count, base_error *err);
/* One key from text; BASE_USAGE names the key. */
base_status train_vae_key_set(train_vae_recipe *recipe, const char *key, const char *text,
                              base_error *err);
base_status train_vae_recipe_save(const train_vae_recipe *recipe, const char *path,
                                  base_error *err);
/* For comparing, writing and listing. Borrows recipe. */
train_keys train_vae_recipe_keys(const train_vae_recipe *recipe);

/* ---- a run (run.c) ------------------------------------------------------------------- */

typedef struct train_vae train_vae;
typedef struct train_vae_measures train_vae_measures;

/* What a run tells and asks, as train_watch. Any may be NULL. */
typedef struct train_vae_watch {
    void *user;
    void (*indexing)(void *user, size_t samples, double seconds, bool done);
    /* Sets the threads of a loader, and who hears of bad samples. NULL: one thread. */
    void (*loaders)(void *user, data_loader_config *config);
    void (*note)(void *user, const char *subject, const char *line);
    void (*begun)(void *user, const train_vae *vae);
    void (*stepped)(void *user, const train_vae *vae, const vit_vae_losses *losses);
    void (*evaluated)(void *user, const train_vae *vae, const train_vae_measures *measures);
    bool (*stop)(void *user);
} train_vae_watch;

typedef struct train_vae_options {
    const char *folder; /* of the run, which is made; borrowed */
    bool resume;        /* go on from its last checkpoint; begins where there is none */
    train_vae_watch watch;
} train_vae_options;

/* Sums since the last line; doubles only: stored as they lie. */
typedef struct train_vae_sums {
    double squares, kl, balance, entropy, images, grad_norm, steps;
} train_vae_sums;

/* Plain to read; only the functions below change it. It must stay where it was made. */
struct train_vae {
    train_vae_options options;
    train_vae_recipe recipe; /* channels are known */
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
    train_vae_sums sums;
    train_metrics metrics;
    double seconds; /* of train_vae_run */
};

/* Data, loaders, network. On failure train_vae_close still has to be called. */
base_status train_vae_open(train_vae *out, const train_vae_recipe *recipe,
                           const train_vae_options *options, base_error *err);
/* From the last checkpoint, with options.resume, or from the beginning to the end.
 * BASE_INTERRUPTED: asked to stop, checkpoint written. */
base_status train_vae_run(train_vae *vae, base_error *err);
void train_vae_close(train_vae *vae); /* zeroed is fine */

/* ---- what the experts became (measure.c) --------------------------------------------- */

enum {
    TRAIN_VAE_POINTS = 3000, /* of the PCA */
    TRAIN_VAE_TSNE = 1000,   /* of these in t-SNE */
    TRAIN_VAE_HELD_OUT = 4   /* one image in so many tests the probes */
};

struct train_vae_measures {
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
    /* of TRAIN_VAE_POINTS or fewer, evenly taken */
    size_t points, near_points;
    uint32_t *point;   /* [points] which images */
    float *pca, *tsne; /* [points, 2], [near_points, 2] of the first ones */
    double variance[2], total, divergence;
};

/* One pass over the validation images. thorough: probes and embeddings too. Frees what out
 * held, which is zeroed at first. */
base_status train_vae_measure(train_vae_measures *out, train_vae *vae, bool thorough,
                              base_error *err);
void train_vae_measures_free(train_vae_measures *measures);

#endif
