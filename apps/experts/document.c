/* document.c - a study of experts as one document (docs/json.md). Relied on elsewhere: the
 * keys. What is drawn on a page is limited so that a thousand classes by 64 experts can
 * still be read: the document says so where it leaves out. */
#include "apps/experts/internal.h"

#include <math.h>
#include <stdlib.h>

enum { CARDS_MOST = 64, CARDS_LEAST = 4, NAMED = 40, LISTED = 16 };

const char *app_study_kind_name(app_study_kind kind)
{
    static const char *const names[APP_STUDY_KINDS] = {"class token", "patches", "images"};

    return names[kind];
}

/* The name of a class for people. */
static json_t *class_json(const app_study *s, size_t c)
{
    char name[APP_STUDY_NAME_BYTES];

    return show_json_text(app_network_class(name, sizeof name, &s->network, s->source, c));
}

/* ---- classes and experts ------------------------------------------------------------- */

static json_t *table_json(const measure_usage_metrics *m, const char *tokens)
{
    const measure_table *f = &m->found;
    json_t *json = json_object();

    show_put_text(json, "tokens", tokens);
    show_put_count(json, "assignments", (uint64_t)f->total);
    show_put_real(json, "mutual_information", f->mutual);
    show_put_real(json, "above_chance", f->mutual - m->chance.mutual);
    show_put_real(json, "normalised", f->normalised);
    show_put_real(json, "class_entropy", f->class_entropy);
    show_put_real(json, "expert_entropy", f->expert_entropy);
    show_put_real(json, "expert_given_class", f->expert_given_class);
    show_put_real(json, "purity", f->purity);
    show_put_real(json, "purity_by_chance", m->chance.purity);
    return json;
}

/* The three tables by their names, and as a list of rows. */
static void tables_put(json_t *one, const app_study_layer *layer)
{
    static const char *const keys[APP_STUDY_KINDS] = {"class_token", "patches", "images"};
    json_t *list = json_array();

    for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
        json_t *table =
            layer->usage[kind].table
                ? table_json(&layer->of[kind], app_study_kind_name((app_study_kind)kind))
                : json_null();

        if (!json_is_null(table))
            json_array_append(list, table);
        show_put(one, keys[kind], table);
    }
    show_put(one, "tables", list);
}

/* A class and the expert that it favours most. */
typedef struct favour {
    size_t class, expert;
    double lift;
} favour;

static int by_expert(const void *a, const void *b)
{
    const favour *x = a, *y = b;

    if (x->expert != y->expert)
        return x->expert < y->expert ? -1 : 1;
    return x->lift != y->lift ? (x->lift < y->lift ? 1 : -1)
                              : (x->class > y->class) - (x->class < y->class);
}

/* Classes in the order of the expert that they favour, by lift; those without images
 * last. */
static void favours_fill(favour *out, const app_study *s, const uint64_t *table)
{
    double of_expert[VIT_EXPERTS_MAX] = {0};

    for (size_t i = 0; i < s->classes * s->experts; i++)
        of_expert[i % s->experts] += (double)table[i];
    for (size_t c = 0; c < s->classes; c++) {
        out[c] = (favour){.class = c, .expert = s->experts};
        for (size_t e = 0; e < s->experts; e++) {
            const double lift =
                of_expert[e] > 0 ? (double)table[c * s->experts + e] / of_expert[e] : 0;

            if (lift > out[c].lift) {
                out[c].lift = lift;
                out[c].expert = e;
            }
        }
    }
    qsort(out, s->classes, sizeof *out, by_expert);
}

/* Where each class's patches go: {class, assignments, of_experts}; a large table without
 * empty rows, sorted. */
static void usage_put(json_t *one, const app_study *s, const app_study_layer *layer)
{
    const uint64_t *table = layer->usage[APP_STUDY_PATCHES].table;
    const bool large = s->classes > NAMED || s->experts > NAMED;
    favour *order = app_take(NULL, s->classes, sizeof *order);
    json_t *list = json_array();

    if (large)
        favours_fill(order, s, table);
    for (size_t r = 0; r < s->classes; r++) {
        const size_t c = large ? order[r].class : r;
        uint64_t sum = 0;

        for (size_t e = 0; e < s->experts; e++)
            sum += table[c * s->experts + e];
        if (sum == 0 && large)
            continue;
        json_t *shares = json_array();
        for (size_t e = 0; e < s->experts; e++)
            json_array_append_new(shares, json_real((double)table[c * s->experts + e] /
                                                    fmax((double)sum, 1)));
        show_row(list, "{s:o, s:I, s:o}", "class", class_json(s, c), "assignments",
                 (json_int_t)sum, "of_experts", shares);
    }
    show_put(one, "usage", list);
    if (large)
        show_put_text(one, "usage_note",
                      "Classes with images, sorted by the expert that they favour; "
                      "usage.csv of --csv has the numbers.");
}

/* ---- probes, embeddings, agreement --------------------------------------------------- */

static json_t *probe_json(const measure_probe *p)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:i, s:b}", "test", show_json_real(p->test),
                     "train", show_json_real(p->train), "chance", show_json_real(p->chance),
                     "train_tokens", (json_int_t)p->train_count, "test_tokens",
                     (json_int_t)p->test_count, "iterations", p->iterations, "converged",
                     p->converged);
}

static json_t *embedding_json(const app_study *s, size_t l)
{
    const measure_tokens_layer *t = &s->layer[l].tokens;
    const double both = t->variance[0] + t->variance[1];
    json_t *tokens = json_array();

    for (size_t i = 0; i < s->points; i++) {
        const size_t at = measure_tokens_point(&s->tokens, i, s->points);

        show_row(tokens, "{s:i, s:i, s:o, s:o}", "expert",
                 s->tokens.expert[l * s->tokens.room + at], "label", s->tokens.label[at],
                 "pca", show_json_floats(t->pca + 2 * i, 2), "tsne",
                 show_json_floats(t->tsne + 2 * i, 2));
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "points", (json_int_t)s->points,
                     "pca_variance", show_json_reals(t->variance, 2, 1), "variance",
                     show_json_real(t->total), "pca_share",
                     show_json_real(t->total > 0 ? both / t->total : 0), "tsne_divergence",
                     show_json_real(t->divergence), "tokens", tokens);
}

static json_t *agreement_json(const app_study_layer *layer)
{
    const measure_agreement_means m = measure_agreement_all(&layer->agreement);

    return json_pack("{s:o, s:o, s:o}", "flip_rate", show_json_real(1 - m.first),
                     "set_change", show_json_real(1 - m.overlap), "shift",
                     show_json_real(m.moved));
}

/* ---- experts ------------------------------------------------------------------------- */

static json_t *top_json(const app_study *s, const measure_lift *lifts)
{
    json_t *top = json_array();
    char label[APP_STUDY_NAME_BYTES];

    for (size_t i = 0; i < APP_STUDY_TOP; i++) {
        const measure_lift *t = &lifts[i];

        if (t->lift <= 0)
            continue;
        app_network_label(label, sizeof label, &s->network, s->source, t->class);
        show_row(top, "{s:o, s:f, s:f, s:I, s:o}", "class", show_json_text(label), "lift",
                 t->lift, "share_of_class", t->share, "number", (json_int_t)t->class,
                 "name", class_json(s, t->class));
    }
    return top;
}

static json_t *shots_json(const app_study *s, const app_study_shot *shots)
{
    const size_t rows = (size_t)(s->network.config->image / s->network.config->patch);
    json_t *list = json_array();
    char name[1024];

    for (size_t i = 0; i < APP_STUDY_SHOTS; i++) {
        const app_study_shot *shot = &shots[i];

        if (!shot->pixels)
            continue;
        data_source_name(s->source, shot->sample, name, sizeof name);
        show_row(list, "{s:f, s:I, s:I, s:I, s:i, s:o}", "gate", (double)shot->rank, "row",
                 (json_int_t)(shot->patch / rows), "column",
                 (json_int_t)(shot->patch % rows), "sample", (json_int_t)shot->sample,
                 "label", data_source_label(s->source, shot->sample), "name",
                 show_json_text(name));
    }
    return list;
}

static json_t *experts_json(const app_study *s, const app_study_layer *layer)
{
    json_t *list = json_array();

    for (size_t e = 0; e < s->experts; e++) {
        const double load = layer->load.load[e], all = layer->load.assignments;
        json_t *top = top_json(s, layer->top + e * APP_STUDY_TOP);

        show_row(list, "{s:I, s:o, s:o, s:o, s:s?, s:o}", "expert", (json_int_t)e, "load",
                 show_json_real(all > 0 ? load / all : 0), "importance",
                 show_json_real(layer->load.importance[e] / layer->load.tokens), "top", top,
                 "note", json_array_size(top) > 0 ? NULL : "too few tokens", "patches",
                 shots_json(s, layer->patch + e * APP_STUDY_SHOTS));
    }
    return list;
}

/* Pictures of a list [count] of shots, best first, under their own names. */
static base_status strip_put(json_t *card, const char *key, show_document *document,
                             const app_study *s, const app_study_layer *layer, size_t e,
                             const app_study_shot *shots, size_t count, base_error *err)
{
    const bool framed = shots == layer->patch + e * APP_STUDY_SHOTS;
    json_t *list = json_array();
    data_image picture = {0};
    base_status status = BASE_OK;
    char name[1024], told[1200], own[96];

    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        if (!shots[i].pixels)
            continue;
        snprintf(own, sizeof own, "block-%zu-expert-%zu-%s-%zu", layer->block, e, key, i);
        snprintf(told, sizeof told, framed ? "%s, gate %.3f" : "%s, %.3f of its patches",
                 data_source_name(s->source, shots[i].sample, name, sizeof name),
                 (double)shots[i].rank);
        show_row(list, "{s:s, s:o, s:o}", "picture", own, "caption",
                 class_json(s, (size_t)data_source_label(s->source, shots[i].sample)),
                 "told", show_json_text(told));
        if (s->args->html)
            status = app_study_picture(&picture, s, &shots[i], framed, err);
        if (s->args->html && status == BASE_OK)
            status = show_document_picture(document, own, &picture, err);
    }
    data_image_destroy(&picture);
    show_put(card, key, list);
    return status;
}

/* The fullest experts, at most so many that a page stays readable, in their order. */
static void fullest_mark(bool shown[VIT_EXPERTS_MAX], const app_study *s,
                         const app_study_layer *layer, size_t most)
{
    for (size_t left = s->experts < most ? s->experts : most; left > 0; left--) {
        size_t best = SIZE_MAX;

        for (size_t e = 0; e < s->experts; e++)
            if (!shown[e] &&
                (best == SIZE_MAX || layer->load.load[e] > layer->load.load[best]))
                best = e;
        shown[best] = true;
    }
}

static base_status cards_put(json_t *one, show_document *document, const app_study *s,
                             const app_study_layer *layer, base_error *err)
{
    const json_t *experts = json_object_get(one, "specialists");
    const size_t fair = CARDS_MOST / s->layers;
    const size_t most = fair > CARDS_LEAST ? fair : CARDS_LEAST;
    bool shown[VIT_EXPERTS_MAX] = {0};
    json_t *cards = json_array();
    base_status status = BASE_OK;

    fullest_mark(shown, s, layer, most);
    for (size_t e = 0; e < s->experts && status == BASE_OK; e++) {
        const json_t *of = json_array_get(experts, e);
        json_t *card = shown[e] ? json_object() : NULL;

        if (!card)
            continue;
        show_put_count(card, "expert", e);
        json_object_set(card, "load", json_object_get(of, "load"));
        json_object_set(card, "top", json_object_get(of, "top"));
        status = strip_put(card, "patches", document, s, layer, e,
                           layer->patch + e * APP_STUDY_SHOTS, APP_STUDY_SHOTS, err);
        if (status == BASE_OK)
            status =
                strip_put(card, "images", document, s, layer, e,
                          layer->example + e * APP_STUDY_EXAMPLES, APP_STUDY_EXAMPLES, err);
        json_array_append_new(cards, card);
    }
    show_put(one, "cards", cards);
    if (s->experts > most)
        show_put(
            one, "cards_note",
            json_sprintf("The %zu of %zu experts with the most assignments (all are in "
                         "experts.csv and patches.csv).",
                         most, s->experts));
    return status;
}

/* ---- the whole ----------------------------------------------------------------------- */

static json_t *layer_json(const app_study *s, size_t l)
{
    const app_study_layer *layer = &s->layer[l];
    json_t *one = measure_usage_json(layer->block, &layer->load);
    json_t *experts = experts_json(s, layer), *top = json_array();
    json_t *expert;
    size_t e;

    json_array_foreach(experts, e, expert)
        json_array_append(top, json_object_get(expert, "top"));
    tables_put(one, layer);
    usage_put(one, s, layer);
    show_put_real(one, "fullest", vit_usage_summary(&layer->load).max_violation + 1);
    show_put(one, "probe_of_expert", probe_json(&layer->tokens.of_expert));
    show_put(one, "probe_of_label", probe_json(&layer->tokens.of_label));
    show_put(one, "embedding", embedding_json(s, l));
    show_put(one, "top_classes", top);
    show_put(one, "specialists", experts);
    show_put(one, "against", s->args->against ? agreement_json(layer) : json_null());
    return one;
}

/* The layers in which the class tells most of the expert, and the router's input. */
static void best_put(json_t *json, const app_study *s)
{
    const app_study_layer *best = &s->layer[0], *sharp = best;

    for (size_t l = 1; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];

        if (layer->of[APP_STUDY_PATCHES].found.normalised >
            best->of[APP_STUDY_PATCHES].found.normalised)
            best = layer;
        if (layer->tokens.of_expert.test > sharp->tokens.of_expert.test)
            sharp = layer;
    }
    const measure_usage_metrics *m = &best->of[APP_STUDY_PATCHES];
    const bool known = isfinite(m->chance.mutual);
    show_put(json, "most_informed",
             json_pack("{s:I, s:o, s:s}", "layer", (json_int_t)best->block, "nats",
                       show_json_real(m->found.mutual - (known ? m->chance.mutual : 0)),
                       "told", known ? "nats above chance" : "nats, chance unknown"));
    show_put(json, "most_linear",
             json_pack("{s:I, s:o}", "layer", (json_int_t)sharp->block, "test",
                       show_json_real(sharp->tokens.of_expert.test)));
}

static void about_put(json_t *json, const app_study *s)
{
    const uint64_t all = s->images + s->bad;
    json_t *names = json_array(), *facts = json_array();
    char other[1024];

    app_network_json(json, &s->network);
    app_data_json(json, s->source);
    show_put_count(json, "samples", s->images);
    show_put_real(json, "seconds", s->seconds);
    show_put_bool(json, "complete", !s->interrupted);
    show_put_count(json, "bad", s->bad);
    show_put_real(json, "top1", (double)s->right / (double)all);
    show_put(json, "top1_interval", app_interval_json(s->right, all));
    show_put_text(json, "layout", data_source_layout(s->source));
    show_put_count(json, "images", data_source_count(s->source));
    show_put_count(json, "data_classes", data_source_classes(s->source));
    show_put(json, "state",
             s->interrupted ? json_string("stopped early")
             : s->bad > 0   ? json_sprintf("%zu unusable", s->bad)
                            : json_string("all used"));
    show_put_text(json, "router", s->network.config->moe.router.name);
    show_put_int(json, "k", s->network.config->moe.k);
    show_put_count(json, "expert_count", s->experts);
    show_put_count(json, "layer_count", s->layers);
    show_put_text(json, "against", s->args->against ? s->other.path : NULL);
    if (s->args->against)
        show_put(
            json, "against_note",
            json_sprintf("Flipped: tokens whose first choice is another expert in %s; 1 - "
                         "IoU: of the sets of kept experts; shift of P: total variation of "
                         "the router's probabilities.",
                         base_quote(other, sizeof other, s->other.path)));
    for (size_t c = 0; c < s->classes; c++)
        json_array_append_new(names, class_json(s, c));
    show_put(json, "class_names", names);
    if (s->interrupted)
        show_fact(facts, "stopped after %zu of %zu images, the figures are of those",
                  s->images, s->planned);
    if (s->bad > 0)
        show_fact(facts, "%zu unusable image%s, counted as wrong, in no table", s->bad,
                  s->bad == 1 ? "" : "s");
    app_data_facts(facts, s->source);
    show_put(json, "facts", facts);
    if (s->experts > LISTED)
        show_put(json, "more",
                 json_sprintf("%zu of %zu experts of a block are listed: --csv, --json and "
                              "--html have more.",
                              (size_t)LISTED, s->experts));
}

base_status app_study_document(show_document **out, const app_study *s,
                               const app_common *common, base_error *err)
{
    json_t *json = app_json_begin(common, "inspect", s->network.path, s->args->data);
    json_t *layers = json_array();

    about_put(json, s);
    show_put(json, "experts", layers);
    base_status status = app_document_make(out, json, err);
    if (status != BASE_OK)
        return status;
    best_put(json, s);
    for (size_t l = 0; l < s->layers && status == BASE_OK; l++) {
        json_t *one = layer_json(s, l);

        status = cards_put(one, *out, s, &s->layer[l], err);
        json_array_append_new(layers, one);
    }
    return status;
}
