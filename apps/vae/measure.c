/* measure.c - what the experts of an autoencoder became, on the validation images
 * (routing.md 11 and 12): errors of the expert in use and of all decoders, loads, classes
 * by experts, whether expert and class can be read off the latent linearly, the latents in
 * the plane. An image's latent is its mean: nothing is drawn. */
#include "apps/network_internal.h"
#include "apps/vae/internal.h"

#include <math.h>
#include <string.h>

void app_vae_measures_free(app_vae_measures *m)
{
    base_free(m->table);
    base_free(m->latents);
    base_free(m->expert);
    base_free(m->labels);
    base_free(m->point);
    base_free(m->pca);
    base_free(m->tsne);
    *m = (app_vae_measures){0};
}

static base_status take_memory(app_vae_measures *m, app_vae *v, base_error *err)
{
    const size_t images = data_loader_samples(v->val_loader);

    *m = (app_vae_measures){.classes = v->classes,
                            .experts = (size_t)v->recipe.config.experts,
                            .latent = (size_t)v->recipe.config.latent,
                            .all = (double)NAN};
    m->table = base_alloc(m->classes * m->experts, sizeof *m->table);
    m->latents = base_alloc(images * m->latent, sizeof *m->latents);
    m->expert = base_alloc(images, sizeof *m->expert);
    m->labels = base_alloc(images, sizeof *m->labels);
    m->points = images < APP_VAE_POINTS ? images : APP_VAE_POINTS;
    m->near_points = m->points < APP_VAE_TSNE ? m->points : APP_VAE_TSNE;
    m->point = base_alloc(m->points, sizeof *m->point);
    m->pca = base_alloc(m->points, 2 * sizeof *m->pca);
    m->tsne = base_alloc(m->near_points, 2 * sizeof *m->tsne);
    if (!m->table || !m->latents || !m->expert || !m->labels || !m->point || !m->pca ||
        !m->tsne)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu images", images);
    return BASE_OK;
}

/* Errors, experts and latents of one batch; sums of squares are divided at the end. */
static base_status add_batch(app_vae_measures *m, app_vae *v, const data_batch *batch,
                             base_error *err)
{
    const bool label = v->recipe.routing == APP_VAE_LABEL;
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

static void finish_sums(app_vae_measures *m, const app_vae *v)
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
static base_status study(app_vae_measures *m, const app_vae *v, base_error *err)
{
    const size_t n = m->images;
    uint32_t *counts = base_alloc(n * m->experts, sizeof *counts);
    bool *held = base_alloc(n, sizeof *held);
    float *x = base_alloc(m->points * m->latent, sizeof *x);
    base_status status = BASE_OK;

    if (!counts || !held || !x) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to measure %zu images", n);
        goto done;
    }
    base_rng rng = base_rng_make((uint64_t)v->recipe.seed, BASE_PURPOSE_SUBSET, 1, 0, 0);
    for (size_t i = 0; i < n; i++) {
        counts[i * m->experts + (size_t)m->expert[i]] = 1;
        held[i] = base_rng_below(&rng, APP_VAE_HELD_OUT) == 0;
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

base_status app_vae_measure(app_vae_measures *out, app_vae *v, bool thorough,
                            base_error *err)
{
    data_batch batch = {0};
    app_vae_measures m = {0};
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
    app_vae_measures_free(out);
    if (status == BASE_OK)
        *out = m;
    else
        app_vae_measures_free(&m);
    return status;
}

/* ---- as JSON ------------------------------------------------------------------------- */

static json_t *table_json(const measure_table *t)
{
    json_t *json = json_object();

    json_object_set_new(json, "mutual_information", show_json_real(t->mutual));
    json_object_set_new(json, "nmi", show_json_real(t->normalised));
    json_object_set_new(json, "class_entropy", show_json_real(t->class_entropy));
    json_object_set_new(json, "expert_entropy", show_json_real(t->expert_entropy));
    json_object_set_new(json, "expert_given_class", show_json_real(t->expert_given_class));
    json_object_set_new(json, "purity", show_json_real(t->purity));
    return json;
}

static json_t *probe_json(const measure_probe *p)
{
    json_t *json = json_object();

    json_object_set_new(json, "accuracy", show_json_real(p->test));
    json_object_set_new(json, "train_accuracy", show_json_real(p->train));
    json_object_set_new(json, "chance", show_json_real(p->chance));
    json_object_set_new(json, "images", json_integer((json_int_t)p->test_count));
    return json;
}

json_t *app_vae_json(const app_vae *v, const app_vae_measures *m)
{
    const vit_vae_config *c = &v->recipe.config;
    json_t *json = app_json_begin(v->common, "vae", v->out, v->recipe.train);
    json_t *load = json_array(), *error = json_array(), *table = json_array();

    json_object_set_new(json, "val", show_json_text(v->recipe.val));
    app_data_pair_json(json, v->train, v->val);
    json_object_set_new(json, "recipe", show_json_text(v->recipe.name));
    json_object_set_new(
        json, "routing",
        json_string(v->recipe.routing == APP_VAE_LABEL ? "label" : "learned"));
    json_object_set_new(json, "experts", json_integer(c->experts));
    json_object_set_new(json, "latent", json_integer(c->latent));
    json_object_set_new(json, "steps", json_integer((json_int_t)v->step));
    json_object_set_new(json, "skipped", json_integer((json_int_t)v->skipped));
    json_object_set_new(json, "train_samples",
                        json_integer((json_int_t)data_loader_samples(v->train_loader)));
    json_object_set_new(json, "samples", json_integer((json_int_t)m->images));
    json_object_set_new(json, "seconds", show_json_real(v->seconds));
    json_object_set_new(json, "mse", show_json_real(m->best));
    json_object_set_new(json, "mse_all", show_json_real(m->all));
    json_object_set_new(json, "kl", show_json_real(m->kl));
    json_object_set_new(json, "gate_entropy", show_json_real(m->entropy));
    json_object_set_new(json, "gate_agreement", show_json_real(m->agreement));
    json_object_set_new(json, "load_entropy", show_json_real(m->load_entropy));
    json_object_set_new(json, "dead_experts", json_integer((json_int_t)m->dead));
    json_object_set_new(json, "classes_by_experts", table_json(&m->found));
    json_object_set_new(json, "by_chance", table_json(&m->chance));
    json_object_set_new(json, "probe_expert", probe_json(&m->of_expert));
    json_object_set_new(json, "probe_label", probe_json(&m->of_label));
    for (size_t e = 0; e < m->experts; e++) {
        json_array_append_new(load, json_integer((json_int_t)m->load[e]));
        json_array_append_new(error, show_json_real(m->expert_error[e]));
    }
    for (size_t y = 0; y < m->classes; y++) {
        json_t *row = json_array();
        for (size_t e = 0; e < m->experts; e++)
            json_array_append_new(row,
                                  json_integer((json_int_t)m->table[y * m->experts + e]));
        json_array_append_new(table, row);
    }
    json_object_set_new(json, "load", load);
    json_object_set_new(json, "expert_mse", error);
    json_object_set_new(json, "table", table);
    return json;
}
