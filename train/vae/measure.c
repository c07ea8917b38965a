/* measure.c - what the experts of an autoencoder became, on the validation images
 * (routing.md 11 and 12): errors of the expert in use and of all decoders, loads, classes
 * by experts, whether expert and class can be read off the latent linearly, the latents in
 * the plane. An image's latent is its mean: nothing is drawn. */
#include "train/vae/vae.h"

#include <math.h>
#include <string.h>

void train_vae_measures_free(train_vae_measures *m)
{
    base_free(m->table);
    base_free(m->latents);
    base_free(m->expert);
    base_free(m->labels);
    base_free(m->point);
    base_free(m->pca);
    base_free(m->tsne);
    *m = (train_vae_measures){0};
}

static base_status take_memory(train_vae_measures *m, const train_vae *v, base_error *err)
{
    const size_t images = data_loader_samples(v->val_loader);

    *m = (train_vae_measures){.classes = v->classes,
                              .experts = (size_t)v->recipe.config.experts,
                              .latent = (size_t)v->recipe.config.latent,
                              .all = (double)NAN};
    m->points = images < TRAIN_VAE_POINTS ? images : TRAIN_VAE_POINTS;
    m->near_points = m->points < TRAIN_VAE_TSNE ? m->points : TRAIN_VAE_TSNE;
    m->table = base_alloc(m->classes * m->experts, sizeof *m->table);
    m->latents = base_alloc(images * m->latent, sizeof *m->latents);
    m->expert = base_alloc(images, sizeof *m->expert);
    m->labels = base_alloc(images, sizeof *m->labels);
    m->point = base_alloc(m->points, sizeof *m->point);
    m->pca = base_alloc(m->points, 2 * sizeof *m->pca);
    m->tsne = base_alloc(m->near_points, 2 * sizeof *m->tsne);
    return m->table && m->latents && m->expert && m->labels && m->point && m->pca && m->tsne
               ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY, "no memory for the measures of %zu images",
                           images);
}

/* Errors, experts and latents of one batch; sums of squares are divided at the end. */
static base_status add_batch(train_vae_measures *m, train_vae *v, const data_batch *batch,
                             base_error *err)
{
    const bool label = v->recipe.routing == TRAIN_VAE_LABEL;
    vit_vae_losses l;
    base_status status = BASE_OK;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->labels[i] < 0)
            return base_fail(err, BASE_FORMAT, "image %zu of '%s' has no label",
                             (size_t)batch->samples[i], data_source_path(v->val));
        v->expert[i] = batch->labels[i] % (int32_t)m->experts;
    }
    if (!label) {
        status = vit_vae_forward(v->run, &l, batch->images, batch->count, VIT_VAE_ALL, NULL,
                                 NULL, err);
        m->all = (m->images == 0 ? 0 : m->all) + (double)batch->count * l.squares;
    }
    if (status == BASE_OK)
        status =
            vit_vae_forward(v->run, &l, batch->images, batch->count,
                            label ? VIT_VAE_GIVEN : VIT_VAE_BEST, v->expert, NULL, err);
    if (status != BASE_OK)
        return status;
    m->kl += (double)batch->count * l.kl;
    m->entropy += (double)batch->count * l.entropy;
    memcpy(m->latents + m->images * m->latent, vit_vae_latent(v->run),
           batch->count * m->latent * sizeof *m->latents);
    for (size_t i = 0; i < batch->count; i++) {
        const size_t e = (size_t)vit_vae_expert(v->run)[i];
        const float *gate = vit_vae_gate(v->run) + i * m->experts;
        const double squares = vit_vae_errors(v->run)[i];
        m->expert[m->images] = (int32_t)e;
        m->labels[m->images++] = batch->labels[i];
        m->table[(size_t)batch->labels[i] * m->experts + e]++;
        m->load[e]++;
        m->expert_error[e] += squares;
        m->best += squares;
        m->agreement += measure_arg_max(gate, m->experts) == e;
    }
    return BASE_OK;
}

static void finish_sums(train_vae_measures *m, const train_vae *v)
{
    const vit_vae_config *c = &v->recipe.config;
    const double n = (double)m->images, pixels = (double)c->channels * c->image * c->image;

    m->best /= n * pixels;
    m->all /= n * pixels;
    m->kl /= n;
    m->entropy /= n;
    m->agreement /= n;
    for (size_t e = 0; e < m->experts; e++) {
        const double share = (double)m->load[e] / n;
        m->expert_error[e] = m->load[e] > 0
                                 ? m->expert_error[e] / ((double)m->load[e] * pixels)
                                 : (double)NAN;
        m->dead += share < 0.01 / (double)m->experts;
        if (share > 0 && m->experts > 1)
            m->load_entropy -= share * log(share) / log((double)m->experts);
    }
    m->found = measure_table_of(m->table, m->classes, m->experts);
}

/* What the labels' tables show by chance, probes, the plane. */
static base_status study(train_vae_measures *m, const train_vae *v, base_error *err)
{
    const size_t n = m->images;
    uint32_t *counts = base_alloc(n * m->experts, sizeof *counts);
    bool *held = base_alloc(n, sizeof *held);
    float *x = base_alloc(m->points * m->latent, sizeof *x);
    base_rng rng = base_rng_make((uint64_t)v->recipe.seed, BASE_PURPOSE_SUBSET, 1, 0, 0);
    base_status status = BASE_OK;

    if (!counts || !held || !x) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for probes of %zu images", n);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        counts[i * m->experts + (size_t)m->expert[i]] = 1;
        held[i] = base_rng_below(&rng, TRAIN_VAE_HELD_OUT) == 0;
    }
    for (size_t i = 0; i < m->points; i++) {
        m->point[i] = (uint32_t)(i * n / m->points);
        memcpy(x + i * m->latent, m->latents + m->point[i] * m->latent,
               m->latent * sizeof *x);
    }
    status = measure_table_chance(&m->chance, counts, m->labels, n, m->classes, m->experts,
                                  (uint64_t)v->recipe.seed, err);
    if (status == BASE_OK)
        status = measure_probe_fit(&m->of_expert, m->latents, m->expert, held, n, m->latent,
                                   m->experts, MEASURE_PROBE_L2, err);
    if (status == BASE_OK)
        status = measure_probe_fit(&m->of_label, m->latents, m->labels, held, n, m->latent,
                                   m->classes, MEASURE_PROBE_L2, err);
    if (status == BASE_OK && m->latent >= 2)
        status =
            measure_pca(m->pca, m->variance, &m->total, x, m->points, m->latent, 2, err);
    for (size_t i = 0; i < m->near_points; i++) /* evenly over all, not over the first */
        memcpy(x + i * m->latent,
               m->latents + m->point[i * m->points / m->near_points] * m->latent,
               m->latent * sizeof *x);
    if (status == BASE_OK && m->near_points >= 8)
        status = measure_tsne(m->tsne, &m->divergence, x, m->near_points, m->latent,
                              &(measure_tsne_options){.perplexity = 30}, err);
done:
    base_free(x);
    base_free(held);
    base_free(counts);
    return status;
}

base_status train_vae_measure(train_vae_measures *out, train_vae *v, bool thorough,
                              base_error *err)
{
    data_batch batch = {0};
    train_vae_measures m = {0};

    base_status status = take_memory(&m, v, err);
    if (status == BASE_OK)
        status = data_loader_seek(v->val_loader, 0, 0, err);
    while (status == BASE_OK) {
        status = data_loader_next(v->val_loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        status = add_batch(&m, v, &batch, err);
    }
    if (status == BASE_OK && m.images == 0)
        status =
            base_fail(err, BASE_FORMAT, "'%s' has no images", data_source_path(v->val));
    if (status == BASE_OK) {
        m.points = m.points < m.images ? m.points : m.images;
        m.near_points = m.near_points < m.points ? m.near_points : m.points;
        finish_sums(&m, v);
        if (thorough)
            status = study(&m, v, err);
    }
    train_vae_measures_free(out);
    if (status == BASE_OK)
        *out = m;
    else
        train_vae_measures_free(&m);
    return status;
}
