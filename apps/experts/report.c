/* report.c - a study of experts as a table and as JSON (docs/json.md). Free to change: the
 * table. Relied on elsewhere: the keys of the JSON. */
#include "apps/experts/internal.h"

#include <math.h>
#include <string.h>

enum { EXPERTS_SHOWN = 16 };

const char *app_study_kind_name(app_study_kind kind)
{
    static const char *const names[APP_STUDY_KINDS] = {"class token", "patches", "images"};

    return names[kind];
}

const char *app_study_class(char *out, size_t out_bytes, const app_study *s, size_t c)
{
    return app_network_class(out, out_bytes, &s->network, s->source, c);
}

static void headline_print(const app_study *s)
{
    char name[APP_STUDY_NAME_BYTES], path[1024], a[32], b[32];

    printf("model   %s (%s, router %s, %zu experts, k %d)\n",
           base_quote(path, sizeof path, s->network.path),
           app_network_name(name, sizeof name, s->network.config),
           s->network.config->moe.router.name, s->experts, s->network.config->moe.k);
    printf("data    %s (%s, %s of %s images, %zu classes), top-1 %.2f %%\n",
           base_quote(path, sizeof path, s->data), data_source_layout(s->source),
           show_thousands(a, sizeof a, s->images),
           show_thousands(b, sizeof b, data_source_count(s->source)),
           data_source_classes(s->source),
           100 * (double)s->right / (double)(s->images + s->bad));
}

static void tables_print(const app_study *s)
{
    char number[32];

    printf(
        "\nclasses and experts, nats   assignments      MI  above chance     NMI    H(e)  "
        "H(e|y)  purity  by chance\n");
    for (size_t l = 0; l < s->layers; l++) {
        for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
            const app_study_table *t = &s->layer[l].of[kind];

            if (!t->table)
                continue;
            printf("block %-3zu %-12s %17s  %6.4f  ", s->layer[l].block,
                   app_study_kind_name((app_study_kind)kind),
                   show_thousands(number, sizeof number, (uint64_t)t->found.total),
                   t->found.mutual);
            if (t->chance_known)
                printf("%12.4f", t->found.mutual - t->chance.mutual);
            else
                printf("%12s", "unknown");
            printf("  %6.4f  %6.4f  %6.4f  %6.4f", t->found.normalised,
                   t->found.expert_entropy, t->found.expert_given_class, t->found.purity);
            if (t->chance_known)
                printf("     %6.4f", t->chance.purity);
            putchar('\n');
        }
    }
}

static void probes_print(const app_study *s)
{
    const app_study_layer *first = &s->layer[0];

    printf(
        "\nlinear probes from the router's input, %zu patches to fit, %zu of other images "
        "to test\n",
        first->of_label.train_count, first->of_label.test_count);
    printf("           of the expert  by chance    of the label  by chance    load CV  "
           "largest gate  row entropy\n");
    for (size_t l = 0; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];
        const vit_load_metrics m = vit_load_summary(&layer->load);

        printf(
            "block %-3zu       %6.2f %%   %6.2f %%        %6.2f %%   %6.2f %%     %6.3f  "
            "      %6.4f       %6.4f\n",
            layer->block, 100 * layer->of_expert.test, 100 * layer->of_expert.chance,
            100 * layer->of_label.test, 100 * layer->of_label.chance, m.cv, m.gate_max,
            m.prob_entropy);
    }
}

static void against_print(const app_study *s)
{
    char path[1024];

    if (!s->args->against)
        return;
    printf("\nagainst %s\n", base_quote(path, sizeof path, s->other.path));
    printf("           first choice flipped  1 - IoU of the experts  shift of P\n");
    for (size_t l = 0; l < s->layers; l++) {
        const measure_agreement_means m = measure_agreement_all(&s->layer[l].agreement);

        printf("block %-3zu %20.2f %% %22.2f %%     %7.4f\n", s->layer[l].block,
               100 * (1 - m.first), 100 * (1 - m.overlap), m.moved);
    }
}

static void lifts_print(const app_study *s)
{
    char name[APP_STUDY_NAME_BYTES];

    printf("\nclasses by lift P(expert | class) / P(expert), patches\n");
    for (size_t l = 0; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];

        for (size_t e = 0; e < s->experts && e < EXPERTS_SHOWN; e++) {
            printf("block %-3zu expert %-3zu %5.1f %%  ", layer->block, e,
                   layer->load.assignments > 0
                       ? 100 * layer->load.load[e] / layer->load.assignments
                       : 0.0);
            if (!(layer->top[e * APP_STUDY_TOP].lift > 0))
                printf("too few tokens");
            for (size_t i = 0; i < APP_STUDY_TOP; i++) {
                const app_study_lift *t = &layer->top[e * APP_STUDY_TOP + i];

                if (t->lift > 0)
                    printf("%s%s %.2f", i ? ", " : "",
                           app_study_class(name, sizeof name, s, t->class), t->lift);
            }
            putchar('\n');
        }
        if (s->experts > EXPERTS_SHOWN)
            printf("block %-3zu and %zu more experts: --csv, --json, --html\n",
                   layer->block, s->experts - EXPERTS_SHOWN);
    }
}

void app_study_print(const app_study *s)
{
    headline_print(s);
    tables_print(s);
    probes_print(s);
    against_print(s);
    lifts_print(s);
}

/* ---- JSON ---------------------------------------------------------------------------- */

static json_t *table_json(const app_study_table *t)
{
    const measure_table *f = &t->found;

    if (!t->table)
        return json_null();
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "assignments",
                     (json_int_t)f->total, "mutual_information", show_json_real(f->mutual),
                     "above_chance",
                     t->chance_known ? show_json_real(f->mutual - t->chance.mutual)
                                     : json_null(),
                     "normalised", show_json_real(f->normalised), "class_entropy",
                     show_json_real(f->class_entropy), "expert_entropy",
                     show_json_real(f->expert_entropy), "expert_given_class",
                     show_json_real(f->expert_given_class), "purity",
                     show_json_real(f->purity), "purity_by_chance",
                     t->chance_known ? show_json_real(t->chance.purity) : json_null());
}

static json_t *probe_json(const measure_probe *p)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:i, s:b}", "test", show_json_real(p->test),
                     "train", show_json_real(p->train), "chance", show_json_real(p->chance),
                     "train_tokens", (json_int_t)p->train_count, "test_tokens",
                     (json_int_t)p->test_count, "iterations", p->iterations, "converged",
                     p->converged);
}

static json_t *experts_json(const app_study *s, const app_study_layer *layer)
{
    json_t *list = json_array();
    char name[APP_STUDY_NAME_BYTES];

    for (size_t e = 0; e < s->experts; e++) {
        json_t *top = json_array();

        for (size_t i = 0; i < APP_STUDY_TOP; i++) {
            const app_study_lift *t = &layer->top[e * APP_STUDY_TOP + i];

            if (t->lift <= 0)
                continue;
            app_network_label(name, sizeof name, &s->network, s->source, t->class);
            json_array_append_new(top, json_pack("{s:s, s:f, s:f}", "class", name, "lift",
                                                 t->lift, "share_of_class", t->share));
        }
        json_array_append_new(list, top);
    }
    return list;
}

static json_t *embedding_json(const app_study *s, const app_study_layer *layer)
{
    return json_pack(
        "{s:I, s:[o, o], s:o, s:o}", "points", (json_int_t)s->points, "pca_variance",
        show_json_real(layer->variance[0]), show_json_real(layer->variance[1]), "variance",
        show_json_real(layer->total), "tsne_divergence", show_json_real(layer->divergence));
}

static json_t *agreement_json(const app_study_layer *layer)
{
    const measure_agreement_means m = measure_agreement_all(&layer->agreement);

    return json_pack("{s:o, s:o, s:o}", "flip_rate", show_json_real(1 - m.first),
                     "set_change", show_json_real(1 - m.overlap), "shift",
                     show_json_real(m.moved));
}

json_t *app_study_json(const app_study *s, const app_common *common)
{
    json_t *json = app_json_begin(common, "inspect", s->network.path, s->data);
    json_t *layers = json_array();

    if (!json)
        return NULL;
    for (size_t l = 0; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];
        json_t *one = measure_load_json(layer->block, &layer->load);

        json_object_set_new(one, "class_token",
                            table_json(&layer->of[APP_STUDY_CLASS_TOKEN]));
        json_object_set_new(one, "patches", table_json(&layer->of[APP_STUDY_PATCHES]));
        json_object_set_new(one, "images", table_json(&layer->of[APP_STUDY_IMAGE]));
        json_object_set_new(one, "probe_of_expert", probe_json(&layer->of_expert));
        json_object_set_new(one, "probe_of_label", probe_json(&layer->of_label));
        json_object_set_new(one, "embedding", embedding_json(s, layer));
        json_object_set_new(one, "top_classes", experts_json(s, layer));
        json_object_set_new(one, "against",
                            s->args->against ? agreement_json(layer) : json_null());
        json_array_append_new(layers, one);
    }
    app_network_json(json, &s->network);
    json_object_set_new(json, "samples", json_integer((json_int_t)s->images));
    json_object_set_new(json, "seconds", json_real(s->seconds));
    json_object_set_new(json, "complete", json_boolean(!s->interrupted));
    json_object_set_new(json, "bad", json_integer((json_int_t)s->bad));
    json_object_set_new(json, "top1",
                        json_real((double)s->right / (double)(s->images + s->bad)));
    json_object_set_new(json, "router", json_string(s->network.config->moe.router.name));
    json_object_set_new(json, "against",
                        s->args->against ? show_json_text(s->other.path) : json_null());
    json_object_set_new(json, "experts", layers);
    return json;
}
