/* samples.c - vmoe eval --samples: a line of CSV for each image that was answered, clean
 * ones and corrupted ones. Relied on elsewhere: the names of the columns; the order is that
 * of the answers. */
#include "apps/eval/internal.h"

#include <math.h>

base_status app_samples_open(app_samples *out, const char *path, const app_network *network,
                             bool corrupted, base_error *err)
{
    if (!path)
        return BASE_OK;
    const base_status status = base_writer_open(&out->out, path, err);
    if (status != BASE_OK)
        return status;
    out->network = network;
    out->corrupted = corrupted;
    fprintf(out->out.file, "name,label,prediction,probability,loss%s\n",
            corrupted ? ",corruption,severity" : "");
    return BASE_OK;
}

void app_samples_add(app_samples *s, const data_source *source, size_t sample,
                     const measure_verdict *verdict, const corrupt_pair *pair)
{
    const int32_t label = data_source_label(source, sample);
    FILE *file = s ? s->out.file : NULL;
    char text[4200];

    if (!file)
        return;
    show_csv_text(file, data_source_name(source, sample, text, sizeof text));
    fputc(',', file);
    if (label >= 0)
        show_csv_text(
            file, app_network_label(text, sizeof text, s->network, source, (size_t)label));
    fputc(',', file);
    if (verdict)
        show_csv_text(file, app_network_label(text, sizeof text, s->network, source,
                                              verdict->predicted));
    fputc(',', file);
    show_csv_number(file, verdict ? verdict->confidence : (double)NAN);
    fputc(',', file);
    show_csv_number(file, verdict ? verdict->loss : (double)NAN);
    if (s->corrupted)
        fprintf(file, ",%s,%d", pair ? corrupt_kind_name(pair->kind) : "clean",
                pair ? pair->severity : 0);
    fputc('\n', file);
}

base_status app_samples_close(app_samples *s, bool whole, base_error *err)
{
    if (s->out.file && whole)
        return base_writer_commit(&s->out, err);
    base_writer_abandon(&s->out);
    return BASE_OK;
}
