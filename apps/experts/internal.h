/* internal.h - vmoe inspect --experts: what the experts of a network have specialised in,
 * on a fixed set of labelled images (routing.md 11 and 12). One pass collects, then tables,
 * probes and embeddings are made of it (experts.c), then it becomes a document (document.c)
 * that is told (view.c, csv.c). */
#ifndef APPS_EXPERTS_INTERNAL_H
#define APPS_EXPERTS_INTERNAL_H

#include "measure/measure.h"
#include "show/show.h"
#include "apps/network_internal.h"

/* What a table counts: kept assignments of the class token; of all patches; one for each
 * image, of the expert that took most of its patches (the lowest of equals). */
typedef enum app_study_kind {
    APP_STUDY_CLASS_TOKEN,
    APP_STUDY_PATCHES,
    APP_STUDY_IMAGE,
    APP_STUDY_KINDS
} app_study_kind;

enum {
    APP_STUDY_SHOTS = 8,       /* patches kept of each expert */
    APP_STUDY_EXAMPLES = 4,    /* images kept of each expert */
    APP_STUDY_TOP = 5,         /* classes named of each expert */
    APP_STUDY_NAME_BYTES = 128 /* of a class */
};

typedef struct app_study_args {
    bool experts;
    const app_view *view;
    const char *data, *html, *csv, *against;
    int64_t tokens;  /* that probes are fitted to, a layer */
    int64_t points;  /* that are embedded, a layer */
    int bad_samples; /* index into "fail|skip" */
} app_study_args;

/* A picture that an expert stands for; pixels [side, side, channels]. */
typedef struct app_study_shot {
    float rank;         /* patch: its gate; image: share of its patches; 0: none yet */
    uint32_t sample;    /* of the source */
    uint32_t patch;     /* of the image, row by row; images: not used */
    uint32_t left, top; /* of the patch inside the picture, pixels */
    unsigned char *pixels;
} app_study_shot;

typedef struct app_study_layer {
    size_t block;
    vit_usage load;
    measure_usage usage[APP_STUDY_KINDS]; /* without a table: there is no such token */
    app_study_shot *patch;                /* [experts, APP_STUDY_SHOTS] largest gates */
    app_study_shot *example;              /* [experts, APP_STUDY_EXAMPLES] */
    /* measured */
    measure_usage_metrics of[APP_STUDY_KINDS];
    measure_tokens_layer tokens;
    measure_lift *top;           /* [experts, APP_STUDY_TOP]; lift 0: none */
    measure_agreement agreement; /* with --against */
} app_study_layer;

typedef struct app_study {
    app_network network, other; /* other: of --against */
    data_source *source;
    const app_study_args *args;
    app_study_layer *layer; /* [layers] */
    size_t layers, experts, classes;
    size_t shot_side, example_side;
    size_t images, planned; /* seen, to see */
    size_t bad;             /* that could not be used: wrong answers, in no table */
    uint64_t right;         /* answers, of images and bad ones */
    bool *taken;            /* [patches] scratch of the pictures */
    measure_tokens tokens;  /* chosen ones, the same in all layers */
    size_t points;          /* of these embedded */
    double seconds;
    bool interrupted;
} app_study;

/* The whole of vmoe inspect MODEL --experts (experts.c). */
base_status app_study_command(const char *model, const app_study_args *args,
                              const app_common *common, base_error *err);
/* BASE_USAGE for options that mean nothing together. */
base_status app_study_check(const app_study_args *args, base_error *err);

/* Offers the pictures of an image to the layer's collections (pictures.c). picture:
 * scratch; *made: whether it holds this image already. */
base_status app_study_pictures(app_study *study, app_study_layer *layer,
                               const vit_routing *routing, size_t image, uint32_t sample,
                               const float *pixels, data_image *picture, bool *made,
                               base_error *err);
/* A patch with a frame around it, or an image, enlarged as it is shown. */
base_status app_study_picture(data_image *out, const app_study *study,
                              const app_study_shot *shot, bool framed, base_error *err);

/* "class token", "patches", "images" */
const char *app_study_kind_name(app_study_kind kind);
/* The document of a measured study with the pictures of its page (document.c). The caller
 * destroys it, in any case. */
base_status app_study_document(show_document **out, const app_study *study,
                               const app_common *common, base_error *err);
extern const show_view app_study_view;
/* measures.csv, usage.csv, experts.csv, embedding.csv, patches.csv in the folder. */
base_status app_study_csv(const app_study *study, const show_document *document,
                          const char *folder, base_error *err);

#endif
