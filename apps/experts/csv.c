/* csv.c - a study of experts as files for other programs: everything, where the page shows
 * a part. Relied on elsewhere: names of files and columns (docs/experts.md). */
#include "apps/experts/internal.h"

#include <math.h>
#include <string.h>

static void number(FILE *file, double value)
{
    if (isfinite(value))
        fprintf(file, ",%.9g", value);
    else
        putc(',', file);
}

static void measures_write(FILE *file, const app_study *s)
{
    fputs(
        "block,tokens,assignments,mutual_information,above_chance,normalised,class_entropy,"
        "expert_entropy,expert_given_class,purity,purity_by_chance,probe_of_expert,"
        "probe_of_expert_chance,probe_of_label,probe_of_label_chance\n",
        file);
    for (size_t l = 0; l < s->layers; l++) {
        for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
            const app_study_layer *layer = &s->layer[l];
            const app_study_table *t = &layer->of[kind];

            if (!t->table)
                continue;
            fprintf(file, "%zu,%s,%.0f", layer->block,
                    app_study_kind_name((app_study_kind)kind), t->found.total);
            number(file, t->found.mutual);
            number(file,
                   t->chance_known ? t->found.mutual - t->chance.mutual : (double)NAN);
            number(file, t->found.normalised);
            number(file, t->found.class_entropy);
            number(file, t->found.expert_entropy);
            number(file, t->found.expert_given_class);
            number(file, t->found.purity);
            number(file, t->chance_known ? t->chance.purity : (double)NAN);
            number(file, layer->of_expert.test);
            number(file, layer->of_expert.chance);
            number(file, layer->of_label.test);
            number(file, layer->of_label.chance);
            putc('\n', file);
        }
    }
}

static void usage_write(FILE *file, const app_study *s)
{
    char name[APP_STUDY_NAME_BYTES];

    fputs("block,tokens,class,label,expert,count\n", file);
    for (size_t l = 0; l < s->layers; l++) {
        for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
            const uint64_t *table = s->layer[l].of[kind].table;

            for (size_t i = 0; table && i < s->classes * s->experts; i++) {
                if (table[i] == 0)
                    continue;
                fprintf(file, "%zu,%s,%zu,", s->layer[l].block,
                        app_study_kind_name((app_study_kind)kind), i / s->experts);
                show_csv_text(file, app_network_label(name, sizeof name, &s->network,
                                                      s->source, i / s->experts));
                fprintf(file, ",%zu,%llu\n", i % s->experts, (unsigned long long)table[i]);
            }
        }
    }
}

static void experts_write(FILE *file, const app_study *s)
{
    char name[APP_STUDY_NAME_BYTES];

    fputs("block,expert,load,importance,rank,class,label,lift,share_of_class\n", file);
    for (size_t l = 0; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];

        for (size_t i = 0; i < s->experts * APP_STUDY_TOP; i++) {
            const size_t e = i / APP_STUDY_TOP;

            if (layer->top[i].lift <= 0)
                continue;
            fprintf(file, "%zu,%zu,%.9g,%.9g,%zu,%zu,", layer->block, e,
                    layer->load.load[e] / layer->load.assignments,
                    layer->load.importance[e] / layer->load.tokens, i % APP_STUDY_TOP,
                    layer->top[i].class);
            show_csv_text(file, app_network_label(name, sizeof name, &s->network, s->source,
                                                  layer->top[i].class));
            number(file, layer->top[i].lift);
            number(file, layer->top[i].share);
            putc('\n', file);
        }
    }
}

static void embedding_write(FILE *file, const app_study *s)
{
    char name[1024];

    fputs("block,method,x,y,expert,label,correct,held_out,patch,sample,name\n", file);
    for (size_t l = 0; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];

        for (size_t i = 0; i < 2 * s->points; i++) {
            const size_t p = i % s->points, t = s->point[p];
            const float *at = (i < s->points ? layer->pca : layer->tsne) + 2 * p;

            fprintf(file, "%zu,%s,%.7g,%.7g,%d,%d,%d,%d,%u,%u,", layer->block,
                    i < s->points ? "pca" : "tsne", (double)at[0], (double)at[1],
                    layer->expert[t], s->token_label[t], s->token_right[t],
                    s->token_held[t], s->token_patch[t], s->token_sample[t]);
            show_csv_text(
                file, data_source_name(s->source, s->token_sample[t], name, sizeof name));
            putc('\n', file);
        }
    }
}

static void patches_write(FILE *file, const app_study *s)
{
    const size_t rows = (size_t)(s->network.config->image / s->network.config->patch);
    char name[1024];

    fputs("block,expert,rank,gate,row,column,sample,label,name\n", file);
    for (size_t l = 0; l < s->layers; l++) {
        for (size_t i = 0; i < s->experts * APP_STUDY_SHOTS; i++) {
            const app_study_shot *shot = &s->layer[l].patch[i];

            if (!shot->pixels)
                continue;
            fprintf(file, "%zu,%zu,%zu,%.7g,%zu,%zu,%u,%d,", s->layer[l].block,
                    i / APP_STUDY_SHOTS, i % APP_STUDY_SHOTS, (double)shot->rank,
                    shot->patch / rows, shot->patch % rows, shot->sample,
                    data_source_label(s->source, shot->sample));
            show_csv_text(file,
                          data_source_name(s->source, shot->sample, name, sizeof name));
            putc('\n', file);
        }
    }
}

base_status app_study_csv(const app_study *s, const char *folder, base_error *err)
{
    static const struct {
        const char *name;
        void (*write)(FILE *file, const app_study *study);
    } files[] = {
        {"measures.csv", measures_write}, {"usage.csv", usage_write},
        {"experts.csv", experts_write},   {"embedding.csv", embedding_write},
        {"patches.csv", patches_write},
    };
    base_status status = base_folder_make(folder, err);

    for (size_t i = 0; i < sizeof files / sizeof files[0] && status == BASE_OK; i++) {
        char *path = base_text("%s/%s", folder, files[i].name);
        base_writer out = {0};

        status = path ? base_writer_open(&out, path, err)
                      : base_fail(err, BASE_NO_MEMORY, "no memory for a name");
        if (status == BASE_OK) {
            files[i].write(out.file, s);
            status = base_writer_commit(&out, err);
        }
        base_free(path);
    }
    return status;
}
