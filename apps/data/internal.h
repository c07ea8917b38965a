/* internal.h - between the files of `vmoe data`: what a data set is found to hold, and
 * where it is written. Also the list of samples that are not quite right, which train, eval
 * and predict write, too. Private to apps/ and its tests. */
#ifndef APPS_SURVEY_INTERNAL_H
#define APPS_SURVEY_INTERNAL_H

#include "apps/app_internal.h"

/* ---- lists of bad samples (bad_list.c) ----------------------------------------------- */

/* --bad-list FILE: a line "bad<tab>NAME<tab>REASON" (damaged, odd) for each sample that is
 * not quite right, written at once, so that a run that is killed leaves what it met. */
typedef struct app_bad_list {
    FILE *file; /* NULL: nobody wants one */
    const char *path;
    bool failed;
} app_bad_list;

/* path NULL: no list. append: go on with a list that is there. */
base_status app_bad_list_open(app_bad_list *list, const char *path, bool append,
                              base_error *err);
void app_bad_list_add(app_bad_list *list, const char *name, data_health health,
                      const char *reason);
/* Fails when a line could not be written. Closes in any case. */
base_status app_bad_list_close(app_bad_list *list, base_error *err);

/* The list beside a source: for data_loader_config.named, user = this. */
typedef struct app_bad_source {
    app_bad_list *list;
    const data_source *source;
} app_bad_source;
void app_bad_source_named(void *bad_source, size_t sample, data_health health,
                          const char *reason);
/* "odd", "damaged", "bad"; "ok". */
const char *app_health_name(data_health health);

/* ---- a survey (data_survey.c) -------------------------------------------------------- */

typedef struct data_args {
    app_common common;
    const char *split, *val_labels, *class_map, *label_key, *index_cache;
    const char *sheet, *html, *bad_list;
    int64_t outputs, tile, tiles;
    bool verify, strict, all_classes;
} data_args;

typedef enum app_picture_kind {
    APP_PICTURE_JPEG,
    APP_PICTURE_PNG,
    APP_PICTURE_RAW, /* pixels without a format: IDX, CIFAR's binary files */
    APP_PICTURE_GREY,
    APP_PICTURE_CMYK,
    APP_PICTURE_ALPHA,
    APP_PICTURE_PALETTE,
    APP_PICTURE_DEEP, /* more than 8 bits */
    APP_PICTURE_PROGRESSIVE,
    APP_PICTURE_TURNED,   /* EXIF says so; used as they lie */
    APP_PICTURE_MISNAMED, /* PNG named .JPEG and the like */
    APP_PICTURE_KINDS
} app_picture_kind;
/* "grey", and what there is to say about it. For ever. */
const char *app_picture_name(app_picture_kind kind);
const char *app_picture_note(app_picture_kind kind);

/* Smallest, middle and largest of a measure. */
typedef struct app_spread {
    uint64_t low, middle, high;
} app_spread;

/* A sample that is not quite right. */
typedef struct app_flaw {
    uint32_t sample;
    data_health health;
    char reason[160];
} app_flaw;

typedef struct app_survey {
    const data_args *args;
    const char *data; /* as given */
    const data_source *source;
    uint64_t *per_class;    /* [classes] samples */
    app_spread class_sizes; /* of classes that have samples */
    size_t empty_classes, unlabelled;
    uint64_t bytes;      /* of all samples, as stored */
    uint32_t *looked_at; /* [looked] the samples whose headers were read, or all of it */
    size_t looked, planned;
    uint64_t kinds[APP_PICTURE_KINDS];
    uint64_t health[DATA_HEALTH_BAD + 1];
    app_flaw *flaw; /* [flaws] the first APP_FLAWS_MOST, by sample */
    size_t flaws, flaw_room;
    size_t sized; /* with width and height */
    app_spread width, height, pixels, file;
    double seconds;
    bool interrupted;
} app_survey;

enum { APP_FLAWS_MOST = 100000 };

/* Reads headers of the samples that the options ask for, with --verify decodes them whole;
 * the result does not depend on the number of threads. After Ctrl-C what was done so
 * far. */
base_status app_survey_make(app_survey *out, const data_args *args,
                            const data_source *source, app_bad_list *list, base_error *err);
void app_survey_destroy(app_survey *survey);

/* ---- where it goes ------------------------------------------------------------------- */

/* With the pictures of a page where one is asked for (document.c). On failure *out is
 * untouched. */
base_status app_survey_document(show_document **out, const app_survey *survey,
                                base_error *err);
extern const show_view app_data_views[2]; /* view.c; [1]: with all classes */

/* "tench", or the class's own name; "no label". Into out when it must be made up. */
const char *app_survey_label(char *out, size_t out_bytes, const app_survey *survey,
                             size_t sample);
/* Calls `visit` with the picture of each of the first `tiles` samples of the seeded order,
 * by their numbers: fitted into tile x tile, the rest in the paper's colour; bad: grey.
 * Ends with the first failure. */
typedef base_status app_tile_visit(void *user, size_t sample, const data_image *tile,
                                   bool bad, const app_survey *survey, base_error *err);
base_status app_survey_tiles(const app_survey *survey, app_tile_visit *visit, void *user,
                             base_error *err);
/* A grid of tiles with labels as one PNG file. */
base_status app_survey_sheet(const app_survey *survey, const char *path, base_error *err);

#endif
