/* test_fragile.h - a drawn network whose answers small changes turn. */
#ifndef TESTS_TEST_FRAGILE_H
#define TESTS_TEST_FRAGILE_H

#include "tests/test_program.h"
#include "tests/test_sample.h"

/* The head's bias is set so that the mean logits of the pictures are equal: answers differ
 * from picture to picture, and small changes turn them. */
static inline void fragile_model_save(const char *dir, const char *data, const char *model)
{
    const vit_config config = sample_config(true);
    char *npy = test_path(dir, "logits.npy"), *text = NULL;
    vit_model *loaded = NULL;
    size_t bytes = 0;

    sample_model_save(model, &config, sample_labels);
    program_done(program_run(dir, "predict", model, "--data", data, "--logits", npy, NULL));
    ck_assert_int_eq(base_file_read(&text, &bytes, npy, 1 << 20, NULL), BASE_OK);
    ck_assert_uint_eq(bytes, 128 + 4 * SAMPLE_COUNT * SAMPLE_CLASSES);
    ck_assert_int_eq(vit_model_load(&loaded, model, NULL, NULL), BASE_OK);
    const vit_parameter *bias = vit_model_parameter_find(loaded, "head.bias");
    for (size_t i = 0; i < (size_t)SAMPLE_COUNT * SAMPLE_CLASSES; i++) {
        float logit;

        memcpy(&logit, text + 128 + 4 * i, sizeof logit);
        vit_model_weights(loaded)[bias->offset + i % SAMPLE_CLASSES] -=
            logit / SAMPLE_COUNT;
    }
    ck_assert_int_eq(vit_model_save(loaded, model, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(loaded);
    base_free(text);
    base_free(npy);
}

#endif
