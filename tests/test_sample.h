/* test_sample.h - a small checkpoint and a small data set for tests of the commands:
 * three classes, pictures of 12 x 10 pixels as PNG, a network on 8 x 8. */
#ifndef TESTS_TEST_SAMPLE_H
#define TESTS_TEST_SAMPLE_H

#include <check.h>
#include <string.h>

#include "data/data.h"
#include "tests/test_folder.h"
#include "vit/vit.h"

enum { SAMPLE_CLASSES = 3, SAMPLE_PER_CLASS = 4, SAMPLE_COUNT = 12, SAMPLE_SIDE = 8 };

static const char *const sample_labels[SAMPLE_CLASSES] = {"blue", "green", "red"};

static inline vit_config sample_config(bool sparse)
{
    base_error err = {0};
    vit_config config = vit_config_defaults();

    config.image = config.crop = SAMPLE_SIDE;
    config.resize = 9;
    config.patch = 4;
    config.width = 8;
    config.depth = 2;
    config.heads = 2;
    config.mlp = 12;
    config.classes = SAMPLE_CLASSES;
    config.moe.experts = 4;
    config.moe.k = 2;
    if (sparse)
        ck_assert_msg(vit_config_layers_set(&config, "1", &err) == BASE_OK, "%s", err.text);
    return config;
}

/* A network whose head is drawn too (training begins with a zero one), with class names. */
static inline void sample_model_save(const char *path, const vit_config *config,
                                     const char *const *labels)
{
    base_error err = {0};
    vit_model *model = NULL;

    ck_assert_msg(vit_model_create(&model, config, &err) == BASE_OK, "%s", err.text);
    vit_model_init(model, 7);
    const vit_parameter *head = vit_model_parameter_find(model, "head.weight");
    base_rng rng = base_rng_make(7, BASE_PURPOSE_TEST, 1, 2, 3);
    for (size_t i = 0; i < head->count; i++)
        vit_model_weights(model)[head->offset + i] = (float)base_rng_normal(&rng);
    if (labels)
        ck_assert_int_eq(vit_model_labels_set(model, labels, (size_t)config->classes, &err),
                         BASE_OK);
    ck_assert_msg(vit_model_save(model, path, VIT_PRECISION_FP32, &err) == BASE_OK, "%s",
                  err.text);
    vit_model_destroy(model);
}

/* A picture of noise around a colour: the same for the same number. */
static inline void sample_picture_save(const char *path, size_t label, size_t number)
{
    base_error err = {0};
    data_image image = {0};
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, label, number, 0);

    ck_assert_int_eq(data_image_reserve(&image, 12, 10, 3, &err), BASE_OK);
    for (size_t i = 0; i < 12 * 10; i++)
        for (size_t c = 0; c < 3; c++)
            image.pixels[3 * i + c] =
                (unsigned char)(base_rng_below(&rng, 100) + (c + label == 2 ? 155 : 0));
    ck_assert_msg(data_png_write(path, &image, &err) == BASE_OK, "%s", err.text);
    data_image_destroy(&image);
}

/* dir/blue/0.png ... dir/red/3.png. */
static inline void sample_folder_make(const char *dir)
{
    for (size_t label = 0; label < SAMPLE_CLASSES; label++) {
        char *folder = test_path(dir, sample_labels[label]);

        ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
        for (size_t i = 0; i < SAMPLE_PER_CLASS; i++) {
            char *path = base_text("%s/%zu.png", folder, i);

            sample_picture_save(path, label, i);
            base_free(path);
        }
        base_free(folder);
    }
}

#endif
