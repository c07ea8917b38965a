/* test_target.h - a drawn network as the target of attacks, for the tests of what works on
 * one. */
#ifndef TESTS_TEST_TARGET_H
#define TESTS_TEST_TARGET_H

#include <math.h>

#include "measure/measure.h"
#include "tests/test_sample.h"

#ifndef TARGET_LAYERS
#define TARGET_LAYERS "1" /* with experts, of two */
#endif

enum { COUNT = 6, FLOATS = 3 * SAMPLE_SIDE * SAMPLE_SIDE, CLASSES = SAMPLE_CLASSES };

static char *dir, *path;
static vit_model *model;
static const vit_config *model_config;
static measure_target *target;
static attack_target table;
static float images[COUNT * FLOATS], other[COUNT * FLOATS];
static float logits[COUNT * CLASSES], again[COUNT * CLASSES];

static inline void pixels(float *out, uint64_t stream)
{
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, stream, 0, 0);

    for (size_t i = 0; i < COUNT * FLOATS; i++)
        out[i] = (float)(0.1 + 0.8 * base_rng_uniform(&rng));
}

static inline void setup(void)
{
    vit_config config = sample_config(true);
    base_error err = {0};

    ck_assert_int_eq(vit_config_layers_set(&config, TARGET_LAYERS, &err), BASE_OK);
    dir = test_folder_make();
    path = test_path(dir, "model.safetensors");
    sample_model_save(path, &config, sample_labels);
    ck_assert_msg(vit_model_load(&model, path, NULL, &err) == BASE_OK, "%s", err.text);
    model_config = vit_model_config(model);
    ck_assert_msg(measure_target_create(&target, model, COUNT, VIT_PRECISION_FP32, &err) ==
                      BASE_OK,
                  "%s", err.text);
    table = measure_target_table(target);
    pixels(images, 1);
    pixels(other, 2);
}

static inline void teardown(void)
{
    measure_target_destroy(target);
    vit_model_destroy(model);
    base_free(path);
    test_folder_remove(dir);
}

static inline void look(float *out, const float *in)
{
    ck_assert_int_eq(table.logits(table.user, out, in, COUNT, NULL), BASE_OK);
}

#endif
