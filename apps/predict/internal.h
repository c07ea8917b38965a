/* internal.h - where the answers of vmoe predict go: lines, JSON, npy files, a
 * page, pictures. */
#ifndef APPS_PREDICT_INTERNAL_H
#define APPS_PREDICT_INTERNAL_H

#include "apps/network_internal.h"
#include "show/show.h"
#include "measure/measure.h"

typedef struct predict_args {
    app_common common;
    app_view view;
    const char *data, *logits, *inputs, *html, *write_png, *bad_list;
    int64_t top;
} predict_args;

/* Everything that is written while images go by; opened together, committed together. */
typedef struct predict_sink {
    const predict_args *args;
    const app_network *network;
    const data_source *source; /* NULL: images by name */
    show_npy logits, inputs;
    show_document *document;
    bool print; /* a line an image on stdout */
    data_image picture;
    size_t *top;           /* [args->top] */
    double *probability;   /* [args->top] */
    uint64_t images;       /* answered */
    uint64_t right, known; /* with a label: answered rightly, all */
} predict_sink;

/* Opens what the options name. On failure nothing is left behind. network, source and
 * args are borrowed until commit or abandon. */
base_status predict_sink_open(predict_sink *sink, const predict_args *args,
                              const app_network *network, const data_source *source,
                              base_error *err);
/* One image: its name, label (-1: unknown), input [C, S, S] and logits [K]. */
base_status predict_sink_add(predict_sink *sink, const char *name, int32_t label,
                             const float *input, const float *logits, base_error *err);
/* All files appear, the page and --json; the sink is at its end in any case. */
base_status predict_sink_commit(predict_sink *sink, base_error *err);
void predict_sink_abandon(predict_sink *sink);

extern const show_view app_predict_view; /* view.c */

#endif
