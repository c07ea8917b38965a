/* internal.h - several models side by side, from the JSON files of their evaluations
 * and attacks. */
#ifndef APPS_REPORT_INTERNAL_H
#define APPS_REPORT_INTERNAL_H

#include "apps/app_internal.h"
#include "measure/measure.h"
#include "show/page_internal.h"

enum { APP_REPORT_MODELS = 8, APP_REPORT_ATTACKS = 6, APP_REPORT_NAME = 96 };

/* An attack's report.json and, where it lies beside, its samples.csv. */
typedef struct app_report_attack {
    json_t *json;
    char *samples; /* path; NULL: none */
} app_report_attack;

typedef struct app_report_model {
    char *path; /* of the checkpoint, what tells models apart */
    char name[APP_REPORT_NAME];
    json_t *eval, *robust, *inspect; /* NULL: none; robust: an eval with corruptions */
    app_report_attack attack[APP_REPORT_ATTACKS]; /* one for each norm and data set */
    size_t attacks;
} app_report_model;

typedef struct app_report_set {
    app_report_model model[APP_REPORT_MODELS];
    size_t count;
} app_report_set;

/* Adds what a word names: a JSON file, or a folder: every *.json in it and in its folders
 * (report_read.c). Files that are no results of ours are left out in a folder and refused
 * by name. */
base_status app_report_add(app_report_set *set, const char *word, base_error *err);
void app_report_close(app_report_set *set);

/* A number by path of keys, "robust.mce"; NaN: it is not there. json may be NULL. */
double app_report_number(const json_t *json, const char *keys);
const char *app_report_string(const json_t *json, const char *keys); /* NULL: not there */

/* Robust accuracy at one budget of the sweep; false: it is not in it. */
typedef struct app_report_share {
    double share, low, high;
    size_t k, n;
} app_report_share;
bool app_report_at(app_report_share *out, const json_t *attack, double eps);

/* Samples of one attack that lie in the file: id, and whether it was robust at a budget;
 * base_free. *count 0: the file has no such column. */
typedef struct app_report_sample {
    uint32_t id;
    bool right, robust;
} app_report_sample;
base_status app_report_samples(app_report_sample **out, size_t *count, const char *path,
                               const char *eps_text, base_error *err);

/* ---- the page (report_page.c) -------------------------------------------------------- */

base_status app_report_page(const app_report_set *set, const char *path, base_error *err);

/* A table with a column a model; first: above the names of rows. */
void app_report_table_begin(const app_report_set *set, show_page *page, const char *first);
void app_report_table_end(show_page *page);

typedef enum app_report_kind {
    APP_REPORT_SHARE, /* 0..1, shown in percent */
    APP_REPORT_NUMBER,
    APP_REPORT_COUNT,
    APP_REPORT_FLOPS
} app_report_kind;
typedef enum app_report_best {
    APP_REPORT_BEST_NONE,
    APP_REPORT_BEST_HIGH,
    APP_REPORT_BEST_LOW
} app_report_best;
/* One row, values [set->count], NaN: unknown; the best bold; left out where no model has
 * it. */
void app_report_row(const app_report_set *set, show_page *page, const char *name,
                    const double *values, app_report_kind kind, app_report_best best);

/* All about attacks (report_attacks.c). */
base_status app_report_attacks(const app_report_set *set, show_page *page, base_error *err);

#endif
