/* test_model.h - small networks and golden numbers for the tests of vit's files. */
#ifndef TESTS_TEST_MODEL_H
#define TESTS_TEST_MODEL_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_says.h"
#include "vit/model_internal.h"

static inline void must(base_status status, const base_error *err)
{
    ck_assert_msg(status == BASE_OK, "%s", err->text);
}

/* Two blocks of width 8 on images of 8 x 8 pixels, patch 4, 3 classes; dense. */
static inline vit_config test_config(void)
{
    vit_config config = vit_config_defaults();

    config.image = config.crop = 8;
    config.resize = 0;
    config.patch = 4;
    config.width = 8;
    config.depth = 2;
    config.heads = 2;
    config.mlp = 12;
    config.classes = 3;
    return config;
}

/* The same with 4 experts in block 1, routed by softmax. */
static inline vit_config test_sparse_config(void)
{
    base_error err = {0};
    vit_config config = test_config();

    config.moe.experts = 4;
    must(vit_router_select(&config.moe.router, "softmax", &err), &err);
    must(vit_config_layers_set(&config, "1", &err), &err);
    return config;
}

/* A model with drawn weights: vit_model_destroy. */
static inline vit_model *test_model(const vit_config *config, uint64_t seed)
{
    base_error err = {0};
    vit_model *model = NULL;

    must(vit_model_create(&model, config, &err), &err);
    vit_model_init(model, seed);
    return model;
}

/* tests/golden/NAME.safetensors: vit_tensors_close. */
static inline vit_tensor_file *test_golden(const char *name)
{
    base_error err = {0};
    vit_tensor_file *file = NULL;
    const char *tests = getenv("VMOE_TESTS");
    char *path = base_text("%s/golden/%s.safetensors", tests ? tests : "tests", name);

    must(vit_tensors_open(&file, path, &err), &err);
    base_free(path);
    return file;
}

/* The numbers of an F32 tensor, borrowed. */
static inline const float *test_floats(const vit_tensor_file *file, const char *group,
                                       const char *name)
{
    char *full = base_text("%s%s%s", group, *group ? "/" : "", name);
    const vit_tensor *t = vit_tensors_find(file, full);

    ck_assert_msg(t != NULL, "no tensor '%s'", full);
    ck_assert_str_eq(t->type, "F32");
    base_free(full);
    return t->data;
}

/* Each of count values within absolute + relative * |expected|. */
static inline void test_close(const float *found, const float *expected, size_t count,
                              double absolute, double relative)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)found[i] - (double)expected[i]) <=
                          absolute + relative * fabs((double)expected[i]),
                      "value %zu is %.9g, expected %.9g", i, (double)found[i],
                      (double)expected[i]);
}

/* The status, and what the text says (test_says). */
static inline void test_refused(base_status status, base_status expected,
                                const base_error *err, const char *words)
{
    ck_assert_msg(status == expected, "status %d (%s), expected %d", (int)status, err->text,
                  (int)expected);
    ck_assert_int_eq(err->status, expected);
    test_says(err->text, words);
}

#endif
