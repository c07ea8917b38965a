/* internal.h - several networks side by side, from the documents of their evaluations and
 * attacks. */
#ifndef APPS_REPORT_INTERNAL_H
#define APPS_REPORT_INTERNAL_H

#include "apps/app_internal.h"
#include "measure/measure.h"

enum { APP_REPORT_NAME = 96 };

typedef enum app_report_kind {
    APP_REPORT_EVAL,
    APP_REPORT_ATTACK,
    APP_REPORT_INSPECT
} app_report_kind;
#define APP_REPORT_KINDS "eval|attack|inspect" /* their commands, in the form of a choice */

/* A document that was read back. */
typedef struct app_report_result {
    app_report_kind kind;
    json_t *json;
    const char *file;
    const char *samples; /* path of an attack's samples.csv; NULL: none */
    const char *model;   /* path of the checkpoint, what tells networks apart; of json */
    char name[APP_REPORT_NAME]; /* of the network */
} app_report_result;

typedef struct app_report_set {
    app_report_result *result;
    size_t count;
} app_report_set;

/* Adds what a word names: a JSON file, or a folder: every *.json in it and in its folders.
 * Files that are no results of ours are left out in a folder and refused by name; a
 * document that is there already is left out (read.c). */
base_status app_report_add(app_report_set *set, const char *word, base_error *err);
/* The same of a folder that may hold none. */
base_status app_report_look(app_report_set *set, const char *folder, base_error *err);
/* Names and sorts what was added, so that the order of the words does not matter. */
void app_report_sort(app_report_set *set);
void app_report_close(app_report_set *set);

/* The comparison as a document (document.c, docs/json.md). The caller releases *out, in any
 * case. */
base_status app_report_json(json_t **out, const app_report_set *set,
                            const app_common *common, base_error *err);

extern const show_view app_report_view; /* view.c */

#endif
