/* recipe_internal.h - a training run as a list of keys: read from an INI file, overridden by --set,
 * written out resolved, compared on --resume. Private to apps/ and its tests.
 *
 *     app_recipe recipe = app_recipe_defaults();
 *     if (app_recipe_load(&recipe, "quickstart", &err) != BASE_OK ||
 *         app_recipe_set(&recipe, assignments, count, &err) != BASE_OK ||
 *         app_recipe_resolve(&recipe, &facts, &err) != BASE_OK)
 *         return app_fail("train", &err);
 */
#ifndef APPS_RECIPE_INTERNAL_H
#define APPS_RECIPE_INTERNAL_H

#include "apps/app_internal.h"

enum { APP_RECIPE_TEXT = 1024 }; /* room for a path */

/* What training makes of its images (train_adversary.c). */
typedef enum app_adversary_kind {
    APP_ADVERSARY_NONE,
    APP_ADVERSARY_PGD,
    APP_ADVERSARY_FGSM_RS,
    APP_ADVERSARY_TRADES
} app_adversary_kind;

typedef enum app_crop {
    APP_CROP_AUTO,
    APP_CROP_EVAL,
    APP_CROP_RANDOM,
    APP_CROP_PADDED
} app_crop;

/* Every setting of a run. Plain data: copy it freely. */
typedef struct app_recipe {
    char name[128];    /* "quickstart", or the file's name; for messages */
    vit_config config; /* [model], [router] and half of [data]; classes 0: the data's */
    char layers[256];  /* which blocks hold experts, as text */
    char init_from[APP_RECIPE_TEXT];
    struct {
        char train[APP_RECIPE_TEXT], val[APP_RECIPE_TEXT]; /* DATA of cli.md */
        /* Files about it (data_source_options), empty: none. */
        char val_labels[APP_RECIPE_TEXT], class_map[APP_RECIPE_TEXT];
        char index_cache[APP_RECIPE_TEXT];
        char mean[64], std[64]; /* a name, or one number per channel */
        int channels;           /* 0: the data's */
        int resize;             /* -1: image / 0.875 from 128 pixels on, else image */
        int interpolation;      /* a data_filter */
        int64_t limit, val_limit;
        int workers; /* -1: by the number of threads */
        int queue;
        double max_bad;
        bool strict;
        bool exact;
        int repeats;
    } data;
    int crop; /* an app_crop */
    data_augment augment;
    struct {
        char names[256], severity[32]; /* app_corruption_add, app_severity_add */
        double probability;
    } corrupt;
    vit_optimizer_config optimizer;
    double lr;
    struct {
        int kind; /* a vit_schedule_kind */
        int64_t warmup;
        double warmup_epochs;
        double final;
        int64_t timescale;
    } schedule;
    struct {
        int epochs;
        int64_t max_steps;
        int batch, accumulate, eval_batch;
        int64_t seed;
        int precision, recompute, loss; /* a vit_precision, a vit_recompute, a vit_loss */
        double label_smoothing;
        int64_t checkpoint_every, log_every;
        int eval_every;
    } train;
    struct {
        int kind; /* an app_adversary_kind */
        int steps;
        double eps, alpha, beta; /* eps and alpha in pixels of 0..1 */
    } adversary;
} app_recipe;

/* What only the data knows. */
typedef struct app_recipe_facts {
    size_t classes;
    size_t uniform_channels; /* of data_source_uniform, 0: unknown */
} app_recipe_facts;

app_recipe app_recipe_defaults(void);
/* Applies the recipe NAME (searched for) or FILE. BASE_USAGE names file, line and nearest key. */
base_status app_recipe_load(app_recipe *recipe, const char *name, base_error *err);
/* Applies INI text; label is the file's name in messages. */
base_status app_recipe_parse(app_recipe *recipe, const char *label, const char *text,
                             size_t bytes, base_error *err);
/* Applies "section.key=value" (--set), all at once: their order does not matter. */
base_status app_recipe_set(app_recipe *recipe, const char *const *assignments, size_t count,
                           base_error *err);
/* The network of a resolved recipe. It has the name of its size only when it has its measures. */
void app_recipe_network(vit_config *out, const app_recipe *recipe);
/* Fills in what was left to the data and to other keys; refuses impossible combinations. */
base_status app_recipe_resolve(app_recipe *recipe, const app_recipe_facts *facts,
                               base_error *err);
/* The whole recipe as a commented INI file. */
base_status app_recipe_save(const app_recipe *recipe, const char *path, base_error *err);
/* Lines "section.key = value" of every key that a resumed run must share (base_free). NULL: no
 * memory. */
char *app_recipe_fixed_text(const app_recipe *recipe);
/* BASE_MISMATCH with the first key whose value differs from the stored fixed text, or that it lacks where the
 * value is not the default (keys that are younger than the text). lengths: train.epochs and train.max_steps
 * may differ. BASE_FORMAT: the text is no recipe. */
base_status app_recipe_compare(const app_recipe *recipe, const char *stored, bool lengths,
                               base_error *err);
/* The two from a stored fixed text; what is not in it stays as it is. */
void app_recipe_lengths(int64_t *epochs, int64_t *max_steps, const char *stored);
/* The value of a key, "train.epochs", in a stored fixed text, not ended by 0; NULL: it is not there. */
const char *app_recipe_stored(size_t *length, const char *stored, const char *key);
/* Every key with range, default and help to stdout. */
void app_recipe_print_keys(void);
/* The file of a recipe by name or path (base_free). */
base_status app_recipe_find(char **path, const char *name, base_error *err);

/* ---- between recipe.c, recipe_file.c and recipe_keys.c -------------------------------------- */

/* One assignment as it was read. where: "'x.ini' line 7" or "--set". */
typedef struct app_assignment {
    char where[192], section[64], name[64], text[APP_RECIPE_TEXT];
} app_assignment;

/* The assignments of INI text, or of --set; *out [*count], base_free. */
base_status app_assignments_parse(app_assignment **out, size_t *count, const char *label,
                                  const char *text, size_t bytes, base_error *err);
base_status app_assignments_words(app_assignment **out, size_t *count,
                                  const char *const *words, size_t word_count,
                                  base_error *err);
/* Those of the recipe NAME or FILE. */
base_status app_assignments_load(app_assignment **out, size_t *count, const char *name,
                                 base_error *err);
/* Whether inih would read the value back as it is: only such values go into a recipe.ini. */
bool app_value_survives(const char *text);
/* Applies a layer of assignments: the named size first, then the router, then the rest. */
base_status app_recipe_apply(app_recipe *recipe, const app_assignment *assignments,
                             size_t count, base_error *err);

typedef enum app_key_kind {
    APP_KEY_INT,    /* int */
    APP_KEY_LONG,   /* int64_t */
    APP_KEY_REAL,   /* double */
    APP_KEY_BOOL,   /* bool */
    APP_KEY_CHOICE, /* an enum or int: index into choices */
    APP_KEY_TEXT    /* char array of `bytes` */
} app_key_kind;

typedef struct app_key {
    const char *section, *name;
    app_key_kind kind;
    size_t at, bytes;
    double low, high;
    const char *choices; /* "a|b|c" */
    bool free;           /* may change from a run to its resumption */
    const char *help;
} app_key;

extern const app_key app_keys[];
extern const size_t app_key_count;

/* Stores text under the key of settings, an app_recipe for app_keys; BASE_USAGE says what was expected. */
base_status app_key_set(void *settings, const app_key *key, const char *text,
                        base_error *err);
/* The value as text that app_key_set reads back to the same bits. */
const char *app_key_get(char *out, size_t out_bytes, const void *settings,
                        const app_key *key);
const app_key *app_key_find(const char *section, const char *name);

#endif
