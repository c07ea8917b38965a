/* train.h - trains a network as a recipe says: settings as keys, read from an INI file, overridden, written
 * out resolved, compared when a run goes on.
 *
 *     base_error err = {0};
 *     const char *const settings[] = {"model.size=vmoe-nano", "train.epochs=2"};
 *     const train_facts facts = {.classes = 10};
 *     train_recipe recipe = train_recipe_defaults();
 *     if (train_recipe_set(&recipe, settings, 2, &err) != BASE_OK ||
 *         train_recipe_resolve(&recipe, &facts, &err) != BASE_OK ||
 *         train_recipe_save(&recipe, "recipe.ini", &err) != BASE_OK)
 *         return app_fail(&err);
 *
 * Nothing here prints or ends the program. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "data/data.h"
#include "vit/vit.h"

enum { TRAIN_TEXT = 1024 }; /* room for a path */

/* What training makes of its images (train_adversary.c). */
typedef enum train_adversary_kind {
    TRAIN_ADVERSARY_NONE,
    TRAIN_ADVERSARY_PGD,
    TRAIN_ADVERSARY_FGSM_RS,
    TRAIN_ADVERSARY_TRADES
} train_adversary_kind;

typedef enum train_crop {
    TRAIN_CROP_AUTO,
    TRAIN_CROP_EVAL,
    TRAIN_CROP_RANDOM,
    TRAIN_CROP_PADDED
} train_crop;

/* Every setting of a run. Plain data: copy it freely. */
typedef struct train_recipe {
    char name[128];    /* "quickstart", or the file's name; for messages */
    vit_config config; /* [model], [router] and half of [data]; classes 0: the data's */
    char layers[256];  /* which blocks hold experts, as text */
    char init_from[TRAIN_TEXT];
    struct {
        char train[TRAIN_TEXT], val[TRAIN_TEXT]; /* DATA of cli.md */
        /* Files about it (data_source_options), empty: none. */
        char val_labels[TRAIN_TEXT], class_map[TRAIN_TEXT];
        char index_cache[TRAIN_TEXT];
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
    int crop; /* an train_crop */
    data_augment augment;
    struct {
        char names[256], severity[32]; /* corrupt_kinds_add, corrupt_severities_add */
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
        int kind; /* an train_adversary_kind */
        int steps;
        double eps, alpha, beta; /* eps and alpha in pixels of 0..1 */
    } adversary;
} train_recipe;

/* What only the data knows. */
typedef struct train_facts {
    size_t classes;
    size_t uniform_channels; /* of data_source_uniform, 0: unknown */
} train_facts;

train_recipe train_recipe_defaults(void);
/* Applies the recipe NAME (searched for) or FILE. BASE_USAGE names file, line and nearest key. */
base_status train_recipe_load(train_recipe *recipe, const char *name, base_error *err);
/* Applies INI text; label is the file's name in messages. */
base_status train_recipe_parse(train_recipe *recipe, const char *label, const char *text,
                               size_t bytes, base_error *err);
/* Applies "section.key=value" (--set), all at once: their order does not matter. */
base_status train_recipe_set(train_recipe *recipe, const char *const *assignments,
                             size_t count, base_error *err);
/* text into out: a name (imagenet, half, cifar10, fashion-mnist), or 1 or `channels` numbers separated by
 * commas; above 0 with std. BASE_USAGE begins with key. */
base_status train_pixels_parse(float out[3], const char *key, const char *text, bool std,
                               int channels, base_error *err);
/* The network of a resolved recipe. It has the name of its size only when it has its measures. */
void train_recipe_network(vit_config *out, const train_recipe *recipe);
/* Fills in what was left to the data and to other keys; refuses impossible combinations. */
base_status train_recipe_resolve(train_recipe *recipe, const train_facts *facts,
                                 base_error *err);
/* The whole recipe as a commented INI file. */
base_status train_recipe_save(const train_recipe *recipe, const char *path,
                              base_error *err);
/* Lines "section.key = value" of every key that a resumed run must share (base_free). NULL: no
 * memory. */
char *train_recipe_fixed_text(const train_recipe *recipe);
/* BASE_MISMATCH with the first key whose value differs from the stored fixed text, or that it lacks where the
 * value is not the default (keys that are younger than the text). lengths: train.epochs and train.max_steps
 * may differ. BASE_FORMAT: the text is no recipe. */
base_status train_recipe_compare(const train_recipe *recipe, const char *stored,
                                 bool lengths, base_error *err);
/* The two from a stored fixed text; what is not in it stays as it is. */
void train_recipe_lengths(int64_t *epochs, int64_t *max_steps, const char *stored);
/* The value of a key, "train.epochs", in a stored fixed text, not ended by 0; NULL: it is not there. */
const char *train_recipe_stored(size_t *length, const char *stored, const char *key);
/* The file of a recipe by name or path (base_free). */
base_status train_recipe_find(char **path, const char *name, base_error *err);

/* ---- between recipe.c, recipe_file.c and recipe_keys.c -------------------------------------- */

/* One assignment as it was read. where: "'x.ini' line 7" or "--set". */
typedef struct train_assignment {
    char where[192], section[64], name[64], text[TRAIN_TEXT];
} train_assignment;

/* The assignments of INI text, or of --set; *out [*count], base_free. */
base_status train_assignments_parse(train_assignment **out, size_t *count,
                                    const char *label, const char *text, size_t bytes,
                                    base_error *err);
base_status train_assignments_words(train_assignment **out, size_t *count,
                                    const char *const *words, size_t word_count,
                                    base_error *err);
/* Those of the recipe NAME or FILE. */
base_status train_assignments_load(train_assignment **out, size_t *count, const char *name,
                                   base_error *err);
/* Whether inih would read the value back as it is: only such values go into a recipe.ini. */
bool train_value_survives(const char *text);
/* Applies a layer of assignments: the named size first, then the router, then the rest. */
base_status train_recipe_apply(train_recipe *recipe, const train_assignment *assignments,
                               size_t count, base_error *err);

typedef enum train_key_kind {
    TRAIN_KEY_INT,    /* int */
    TRAIN_KEY_LONG,   /* int64_t */
    TRAIN_KEY_REAL,   /* double */
    TRAIN_KEY_BOOL,   /* bool */
    TRAIN_KEY_CHOICE, /* an enum or int: index into choices */
    TRAIN_KEY_TEXT    /* char array of `bytes` */
} train_key_kind;

typedef struct train_key {
    const char *section, *name;
    train_key_kind kind;
    size_t at, bytes;
    double low, high;
    const char *choices; /* "a|b|c" */
    bool free;           /* may change from a run to its resumption */
    const char *help;
} train_key;

extern const train_key train_keys[];
extern const size_t train_key_count;

/* Stores text under the key of settings, an train_recipe for train_keys; BASE_USAGE says what was expected. */
base_status train_key_set(void *settings, const train_key *key, const char *text,
                          base_error *err);
/* The value as text that train_key_set reads back to the same bits. */
const char *train_key_get(char *out, size_t out_bytes, const void *settings,
                          const train_key *key);
const train_key *train_key_find(const char *section, const char *name);

#endif
