/* test_attack_command.h - vmoe attack on twelve pictures and a drawn network: its folder
 * and what it writes. Labels are the network's own answers, so that there is something to
 * break. One thread, where nothing else is said: a share of eight pixels is less than the
 * wait for it, and on a busy machine that is most of the time. */
#ifndef TESTS_TEST_ATTACK_COMMAND_H
#define TESTS_TEST_ATTACK_COMMAND_H

#include "tests/test_fragile.h"
#include "tests/test_program.h"
#include "tests/test_sample.h"

enum { HEADER = 128, FLOATS = 3 * SAMPLE_SIDE * SAMPLE_SIDE };

static char *dir, *data, *model, *out, *other;

static inline void setup(void)
{
    const vit_config config = sample_config(true);

    setenv("OMP_NUM_THREADS", "1", 1);
    dir = test_folder_make();
    data = test_path(dir, "data");
    model = test_path(dir, "model.safetensors");
    out = test_path(dir, "out");
    other = test_path(dir, "other");
    sample_folder_make(data);
    sample_model_save(model, &config, sample_labels);
}

static inline void teardown(void)
{
    base_free(data);
    base_free(model);
    base_free(out);
    base_free(other);
    test_folder_remove(dir);
}

#define ATTACK "attack", model, "--data", data, "--labels", "predicted", "--out"

static inline json_t *result(const char *folder)
{
    char *path = test_path(folder, "report.json");
    json_t *json = program_json(path);

    base_free(path);
    return json;
}

static inline char *file_of(const char *folder, const char *name, size_t *bytes)
{
    char *path = test_path(folder, name), *text = NULL;

    ck_assert_int_eq(base_file_read(&text, bytes, path, (size_t)64 << 20, NULL), BASE_OK);
    base_free(path);
    return text;
}

static inline double number_at(const json_t *json, const char *section, const char *key)
{
    return json_number_of(json_object_get(json, section), key);
}

static inline void files_equal(const char *name)
{
    size_t a = 0, b = 0;
    char *x = file_of(out, name, &a), *y = file_of(other, name, &b);

    ck_assert_uint_eq(a, b);
    ck_assert_mem_eq(x, y, a);
    base_free(x);
    base_free(y);
}

#endif
