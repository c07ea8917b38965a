/* test_trainer.h - training runs in the test's own process: a network of a few hundred
 * weights on the twelve pictures of test_sample.h. */
#ifndef TESTS_TEST_TRAINER_H
#define TESTS_TEST_TRAINER_H

#include <math.h>

#include "tests/test_sample.h"
#include "train/train_internal.h"

/* What every run here begins with: everything on that is drawn. */
static const char *const nano[] = {
    "model.patch=4",       "model.width=8",       "model.depth=2",
    "model.heads=2",       "model.mlp=12",        "model.dropout=0.1",
    "model.drop_path=0.2", "router.name=softmax", "router.experts=4",
    "router.k=2",          "router.layers=1",     "router.dropout=0.1",
    "data.image=8",        "data.workers=0",      "data.index_cache=none",
    "augment.padding=1",   "optimizer.lr=0.01",   "schedule.warmup_epochs=0",
    "train.batch=4",       "train.epochs=4",      "train.log_every=1",
};
enum { NANO = sizeof nano / sizeof nano[0], SETTINGS_MAX = 16 };

/* Settings for the functions below. */
#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static char *dir, *pictures;
static base_error err;

static inline void setup(void)
{
    dir = test_folder_make();
    pictures = test_path(dir, "data");
    ck_assert_int_eq(base_folder_make(pictures, NULL), BASE_OK);
    sample_folder_make(pictures);
}

static inline void teardown(void)
{
    base_free(pictures);
    test_folder_remove(dir);
}

/* The recipe of nano and of further settings, "key=value", ended by NULL; one that stands
 * again counts in its last place. */
static inline train_recipe recipe_of(const char *const *settings)
{
    train_recipe recipe = train_recipe_defaults();
    char *train = base_text("data.train=%s", pictures),
         *val = base_text("data.val=%s", pictures);
    const char *const data[] = {train, val};

    ck_assert_msg(train_recipe_set(&recipe, nano, NANO, &err) == BASE_OK &&
                      train_recipe_set(&recipe, data, 2, &err) == BASE_OK,
                  "%s", err.text);
    for (; settings && *settings; settings++)
        ck_assert_msg(train_recipe_set(&recipe, settings, 1, &err) == BASE_OK, "%s",
                      err.text);
    base_free(train);
    base_free(val);
    return recipe;
}

/* A trainer whose folder is dir/NAME; watch may be NULL. Destroy with train_trainer_destroy
 * and free the folder. */
static inline void trainer_open(train_trainer *t, char *folder, bool resume,
                                const train_watch *watch, const char *const *settings)
{
    const train_recipe recipe = recipe_of(settings);
    const train_options options = {.folder = folder,
                                   .resume = resume,
                                   .threads = 1,
                                   .watch = watch ? *watch : (train_watch){0}};

    ck_assert_msg(train_trainer_create(t, &recipe, &options, &err) == BASE_OK, "%s",
                  err.text);
}

/* The same, standing at its first step with its file of metrics open: for
 * train_trainer_step. */
static inline void trainer_begin(train_trainer *t, char *folder,
                                 const char *const *settings)
{
    trainer_open(t, folder, false, NULL, settings);
    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    ck_assert_int_eq(train_metrics_open(&t->metrics, t->metrics_path, true, 0, false, &err),
                     BASE_OK);
    ck_assert_int_eq(data_loader_seek(t->train_loader, 0, 0, &err), BASE_OK);
}

static inline void trainer_step(train_trainer *t)
{
    ck_assert_msg(train_trainer_step(t, &err) == BASE_OK, "%s", err.text);
}

static inline double largest_gap(const float *a, const float *b, size_t count)
{
    double most = 0;

    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* The batch of one part of the run, borrowed; the loader is left behind it. */
static inline data_batch batch_at(train_trainer *t, uint64_t part)
{
    data_batch batch;

    ck_assert_int_eq(data_loader_seek(t->train_loader, part / t->parts_in_epoch,
                                      part % t->parts_in_epoch, &err),
                     BASE_OK);
    ck_assert_int_eq(data_loader_next(t->train_loader, &batch, &err), BASE_OK);
    return batch;
}

#endif
