/* internal.h - between the files of `vmoe data`: what a data set is found to hold, and
 * where it is written. Also the list of samples that are not quite right, which train, eval
 * and predict write, too. Private to apps/ and its tests. */
#ifndef APPS_SURVEY_INTERNAL_H
#define APPS_SURVEY_INTERNAL_H

#include "apps/network_internal.h"

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
/* What the work came to; where that was well, fails when a line could not be written.
 * Closes in any case. */
base_status app_bad_list_close(app_bad_list *list, base_status work, base_error *err);

/* The list beside a source: for data_loader_config.named, user = this. */
typedef struct app_bad_source {
    app_bad_list *list;
    const data_source *source;
} app_bad_source;
void app_bad_source_named(void *bad_source, size_t sample, data_health health,
                          const char *reason);
/* "odd", "damaged", "bad"; "ok". */
const char *app_health_name(data_health health);

/* ---- a survey ------------------------------------------------------------------------ */

typedef struct data_args {
    app_common common;
    app_data_args read;
    const char *sheet, *html, *bad_list;
    int64_t outputs, tile, tiles;
    bool verify, strict, all_classes;
} data_args;

typedef struct app_survey {
    const data_args *args;
    const char *data; /* as given */
    const data_source *source;
    data_survey found;
    double seconds;
    app_bad_list list;
    app_progress progress;
} app_survey;

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
