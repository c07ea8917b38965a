/* csv.c - a study of experts as files for other programs: everything, where the page shows
 * a part. Most are tables of the view; two hold what is too long for a document. Relied on
 * elsewhere: names of files and columns (docs/experts.md). */
#include "apps/experts/internal.h"

static void usage_write(FILE *file, const app_study *s)
{
    char name[APP_STUDY_NAME_BYTES];

    fputs("block,tokens,class,label,expert,count\n", file);
    for (size_t l = 0; l < s->layers; l++) {
        for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
            const uint64_t *table = s->layer[l].usage[kind].table;

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

static void embedding_write(FILE *file, const app_study *s)
{
    const measure_tokens *t = &s->tokens;
    char name[1024];

    fputs("block,method,x,y,expert,label,correct,held_out,patch,sample,name\n", file);
    for (size_t l = 0; l < s->layers; l++) {
        const measure_tokens_layer *layer = &s->layer[l].tokens;

        for (size_t i = 0; i < 2 * s->points; i++) {
            const size_t p = i % s->points, at = measure_tokens_point(t, p, s->points);
            const float *place = (i < s->points ? layer->pca : layer->tsne) + 2 * p;

            fprintf(file, "%zu,%s,%.7g,%.7g,%d,%d,%d,%d,%u,%u,", s->layer[l].block,
                    i < s->points ? "pca" : "tsne", (double)place[0], (double)place[1],
                    t->expert[l * t->room + at], t->label[at], t->right[at], t->held[at],
                    t->patch[at], t->sample[at]);
            show_csv_text(file,
                          data_source_name(s->source, t->sample[at], name, sizeof name));
            putc('\n', file);
        }
    }
}

/* A file of the folder, by a function of its own or from the document's rows. */
typedef struct csv_file {
    const char *name, *rows;
    void (*write)(FILE *file, const app_study *study);
} csv_file;

static base_status file_write(const csv_file *f, const app_study *s,
                              const show_document *document, const char *path,
                              base_error *err)
{
    base_writer out = {0};

    if (f->rows)
        return show_csv_write(document, &app_study_view, f->rows, path, err);
    const base_status status = base_writer_open(&out, path, err);
    if (status != BASE_OK)
        return status;
    f->write(out.file, s);
    return base_writer_commit(&out, err);
}

base_status app_study_csv(const app_study *s, const show_document *document,
                          const char *folder, base_error *err)
{
    static const csv_file files[] = {
        {"measures.csv", "experts[].tables[]", NULL},
        {"experts.csv", "experts[].specialists[].top[]", NULL},
        {"patches.csv", "experts[].specialists[].patches[]", NULL},
        {"usage.csv", NULL, usage_write},
        {"embedding.csv", NULL, embedding_write},
    };
    base_status status = base_folder_make(folder, err);

    for (size_t i = 0; i < sizeof files / sizeof files[0] && status == BASE_OK; i++) {
        const char *path = app_text("%s/%s", folder, files[i].name);

        status = file_write(&files[i], s, document, path, err);
    }
    return status;
}
