/* document.c - a run of vmoe vae as one document (docs/json.md), with its pictures: what
 * each expert reconstructs, the same image by every expert. Relied on elsewhere: the
 * keys. */
#include "apps/network_internal.h"
#include "apps/vae/internal.h"

#include <math.h>
#include <string.h>

enum { SHOTS = 12 /* images shown of an expert */, EACH_MOST = 10, CLASSES_TOLD = 4 };

/* ---- pictures ------------------------------------------------------------------------ */

/* What is drawn while the validation images go by. */
typedef struct pictures {
    train_vae *vae;
    const train_vae_measures *measures;
    size_t side, channels, floats; /* of an image */
    data_image *of;                /* [experts] sheets: images, and what it makes of them */
    size_t *filled;                /* [experts] */
    size_t columns;                /* classes of which one image is kept */
    float *kept;                   /* [columns, floats] */
    bool found[EACH_MOST];
} pictures;

/* Room for pictures side by side, with a line of one pixel between them. */
static base_status sheet_open(data_image *out, const pictures *p, size_t columns,
                              size_t rows, base_error *err)
{
    const base_status status = data_image_reserve(
        out, columns * (p->side + 1) + 1, rows * (p->side + 1) + 1, p->channels, err);

    if (status == BASE_OK)
        memset(out->pixels, 128, out->width * out->height * out->channels);
    return status;
}

/* pixels [channels, side, side] in 0..1 */
static base_status sheet_put(data_image *sheet, const pictures *p, size_t column,
                             size_t row, const float *pixels, base_error *err)
{
    data_image image = {0};
    const base_status status =
        data_image_from(&image, pixels, p->channels, p->side, NULL, NULL, err);

    if (status == BASE_OK)
        show_image_put(sheet, &image, column * (p->side + 1) + 1, row * (p->side + 1) + 1);
    data_image_destroy(&image);
    return status;
}

/* Of a batch the first image of each class, and the first that each expert serves. */
static base_status batch_draw(pictures *p, const data_batch *batch, base_error *err)
{
    base_status status = BASE_OK;

    for (size_t i = 0; i < batch->count && status == BASE_OK; i++) {
        const float *image = batch->images + i * p->floats;
        const size_t e = (size_t)p->vae->expert[i], y = (size_t)batch->labels[i];

        if (y < p->columns && !p->found[y]) {
            p->found[y] = true;
            memcpy(p->kept + y * p->floats, image, p->floats * sizeof *image);
        }
        if (p->filled[e] == SHOTS)
            continue;
        status = sheet_put(&p->of[e], p, p->filled[e], 0, image, err);
        if (status == BASE_OK)
            status = sheet_put(&p->of[e], p, p->filled[e]++, 1,
                               vit_vae_pixels(p->vae->run) + i * p->floats, err);
    }
    return status;
}

static base_status experts_pictures(show_document *document, pictures *p, base_error *err)
{
    const size_t experts = p->measures->experts;
    train_vae *v = p->vae;
    data_batch batch = {0};
    vit_vae_losses l;
    size_t at = 0;
    base_status status = data_loader_seek(v->val_loader, 0, 0, err);

    for (size_t e = 0; e < experts && status == BASE_OK; e++)
        status = sheet_open(&p->of[e], p, SHOTS, 2, err);
    while (status == BASE_OK) {
        status = data_loader_next(v->val_loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        memcpy(v->expert, p->measures->expert + at, batch.count * sizeof *v->expert);
        at += batch.count;
        status = vit_vae_forward(v->run, &l, batch.images, batch.count, VIT_VAE_GIVEN,
                                 v->expert, NULL, err);
        if (status == BASE_OK)
            status = batch_draw(p, &batch, err);
    }
    for (size_t e = 0; e < experts; e++) {
        if (p->filled[e] > 0 && status == BASE_OK)
            status =
                show_document_picture(document, app_text("expert-%zu", e), &p->of[e], err);
        data_image_destroy(&p->of[e]);
    }
    return status;
}

/* One image of each class by the experts in use and by every decoder. */
static base_status every_picture(show_document *document, pictures *p, base_error *err)
{
    const size_t above = p->vae->recipe.routing == TRAIN_VAE_LEARNED ? 2 : 1;
    data_image sheet = {0};
    vit_vae_losses l;
    base_status status =
        sheet_open(&sheet, p, p->columns, above + p->measures->experts, err);

    for (size_t y = 0; y < p->columns; y++) {
        const float *image = p->kept + y * p->floats;

        if (status == BASE_OK && p->found[y])
            status = sheet_put(&sheet, p, y, 0, image, err);
        for (size_t row = 1; row < above + p->measures->experts && status == BASE_OK;
             row++) {
            const int32_t expert = (int32_t)row - (int32_t)above; /* -1: all of them */

            status = vit_vae_forward(p->vae->run, &l, image, 1,
                                     expert < 0 ? VIT_VAE_ALL : VIT_VAE_GIVEN,
                                     expert < 0 ? NULL : &expert, NULL, err);
            if (status == BASE_OK)
                status = sheet_put(&sheet, p, y, row, vit_vae_pixels(p->vae->run), err);
        }
    }
    if (status == BASE_OK)
        status = show_document_picture(document, "every-expert", &sheet, err);
    data_image_destroy(&sheet);
    return status;
}

static base_status pictures_put(show_document *document, train_vae *v,
                                const train_vae_measures *m, base_error *err)
{
    pictures p = {.vae = v,
                  .measures = m,
                  .side = (size_t)v->recipe.config.image,
                  .channels = (size_t)v->recipe.config.channels,
                  .columns = m->classes < EACH_MOST ? m->classes : EACH_MOST};

    p.floats = p.channels * p.side * p.side;
    p.of = app_take(NULL, m->experts, sizeof *p.of);
    p.filled = app_take(NULL, m->experts, sizeof *p.filled);
    p.kept = app_take(NULL, p.columns * p.floats, sizeof *p.kept);
    const base_status status = experts_pictures(document, &p, err);
    return status == BASE_OK ? every_picture(document, &p, err) : status;
}

/* ---- as JSON ------------------------------------------------------------------------- */

static json_t *table_json(const measure_table *t, const char *name)
{
    json_t *json = json_object();

    show_put_text(json, "name", name);
    show_put_real(json, "mutual_information", t->mutual);
    show_put_real(json, "nmi", t->normalised);
    show_put_real(json, "class_entropy", t->class_entropy);
    show_put_real(json, "expert_entropy", t->expert_entropy);
    show_put_real(json, "expert_given_class", t->expert_given_class);
    show_put_real(json, "purity", t->purity);
    return json;
}

static json_t *probe_json(const measure_probe *p)
{
    json_t *json = json_object();

    show_put_real(json, "accuracy", p->test);
    show_put_real(json, "train_accuracy", p->train);
    show_put_real(json, "chance", p->chance);
    show_put_count(json, "images", p->test_count);
    return json;
}

/* The classes of most of an expert's images, by falling shares of these. */
static json_t *classes_json(const train_vae_measures *m, const data_source *source,
                            size_t e)
{
    json_t *list = json_array();
    bool *told = app_take(NULL, m->classes, sizeof *told);

    for (int rank = 0; rank < CLASSES_TOLD; rank++) {
        size_t best = SIZE_MAX;

        for (size_t y = 0; y < m->classes; y++) {
            const uint64_t n = m->table[y * m->experts + e];

            if (n > 0 && !told[y] &&
                (best == SIZE_MAX || n > m->table[best * m->experts + e]))
                best = y;
        }
        if (best == SIZE_MAX)
            break;
        told[best] = true;
        show_row(list, "{s:o, s:f}", "class",
                 show_json_text(data_source_class_name(source, best)), "share",
                 (double)m->table[best * m->experts + e] / (double)m->load[e]);
    }
    return list;
}

static void experts_put(json_t *json, const train_vae *v, const train_vae_measures *m)
{
    json_t *list = json_array();

    for (size_t e = 0; e < m->experts; e++)
        show_row(list, "{s:I, s:f, s:o, s:o, s:s}", "expert", (json_int_t)e, "share",
                 (double)m->load[e] / (double)m->images, "mse",
                 show_json_real(m->expert_error[e]), "classes",
                 classes_json(m, v->train, e), "picture", app_text("expert-%zu", e));
    show_put(json, "load", show_json_counts(m->load, m->experts));
    show_put(json, "expert_mse", show_json_reals(m->expert_error, m->experts, 1));
    show_put(json, "specialists", list);
}

/* The latents in the plane; t-SNE has some of the points only. */
static json_t *embedding_json(const train_vae_measures *m)
{
    const double both = m->variance[0] + m->variance[1];
    json_t *images = json_array();
    size_t near = 0;

    for (size_t i = 0; i < m->points; i++) {
        const bool here = near < m->near_points && i == near * m->points / m->near_points;

        show_row(images, "{s:i, s:i, s:o, s:o}", "expert", m->expert[m->point[i]], "label",
                 m->labels[m->point[i]], "pca",
                 m->latent >= 2 ? show_json_floats(m->pca + 2 * i, 2) : json_null(), "tsne",
                 here && m->near_points >= 8 ? show_json_floats(m->tsne + 2 * near, 2)
                                             : json_null());
        near += here;
    }
    return json_pack("{s:I, s:I, s:o, s:o, s:o}", "points", (json_int_t)m->points,
                     "tsne_points", (json_int_t)m->near_points, "pca_share",
                     show_json_real(m->total > 0 ? both / m->total : 0), "tsne_divergence",
                     show_json_real(m->divergence), "images", images);
}

static void tables_put(json_t *json, const train_vae *v, const train_vae_measures *m)
{
    json_t *names = json_array();

    for (size_t y = 0; y < m->classes; y++)
        json_array_append_new(names, show_json_text(data_source_class_name(v->train, y)));
    show_put(json, "table", show_json_table(m->table, m->classes, m->experts));
    show_put(json, "class_names", names);
}

static json_t *run_json(const train_vae *v, const app_common *common,
                        const train_vae_measures *m)
{
    const vit_vae_config *c = &v->recipe.config;
    json_t *json = app_json_begin(common, "vae", v->options.folder, v->recipe.train);
    const bool label = v->recipe.routing == TRAIN_VAE_LABEL;

    show_put_text(json, "val", v->recipe.val);
    app_data_pair_json(json, v->train, v->val);
    show_put_text(json, "recipe", v->recipe.name);
    show_put_text(json, "routing", label ? "label" : "learned");
    show_put(json, "choice",
             json_sprintf(label ? "expert y mod %d" : "largest gate of %d", c->experts));
    if (label)
        show_put_text(json, "untrained", "not trained, labels choose");
    show_put_text(json, "rows",
                  label ? "Rows: the first image of each class, then expert 0, 1, ... "
                          "alone."
                        : "Rows: the first image of each class, the gate-weighted sum of "
                          "all decoders, then expert 0, 1, ... alone.");
    show_put_int(json, "experts", c->experts);
    show_put_int(json, "latent", c->latent);
    show_put_count(json, "steps", v->step);
    show_put_count(json, "skipped", v->skipped);
    show_put_count(json, "train_samples", data_loader_samples(v->train_loader));
    show_put_count(json, "samples", m->images);
    show_put_real(json, "seconds", v->seconds);
    show_put_real(json, "mse", m->best);
    show_put_real(json, "mse_all", m->all);
    show_put_real(json, "kl", m->kl);
    show_put_real(json, "gate_entropy", m->entropy);
    show_put_real(json, "gate_agreement", m->agreement);
    show_put_real(json, "load_entropy", m->load_entropy);
    show_put_count(json, "dead_experts", m->dead);
    show_put(json, "classes_by_experts", table_json(&m->found, "found"));
    show_put(json, "by_chance", table_json(&m->chance, "by chance"));
    show_put(json, "probe_expert", probe_json(&m->of_expert));
    show_put(json, "probe_label", probe_json(&m->of_label));
    show_put(json, "embedding", embedding_json(m));
    show_put_text(json, "every", "every-expert");
    experts_put(json, v, m);
    tables_put(json, v, m);
    return json;
}

base_status app_vae_document(show_document **out, train_vae *v, const app_common *common,
                             const train_vae_measures *m, base_error *err)
{
    const base_status status = app_document_make(out, run_json(v, common, m), err);

    return status == BASE_OK ? pictures_put(*out, v, m, err) : status;
}
