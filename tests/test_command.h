/* test_command.h - what the tests of a command share: a folder of their own, twelve
 * pictures and a drawn network in it, names of further files, a run of the program and the
 * JSON that it wrote. */
#ifndef TESTS_TEST_COMMAND_H
#define TESTS_TEST_COMMAND_H

#include "tests/test_program.h"
#include "tests/test_sample.h"

/* dir/data, dir/model.safetensors; where results and pages go. */
static char *dir, *data, *model, *json, *page;

enum { COMMAND_PATHS = 16 };
static char *command_paths[COMMAND_PATHS];

/* dir/name for as long as the folder is there. */
static inline char *command_path(const char *name)
{
    for (size_t i = 0; i < COMMAND_PATHS; i++)
        if (!command_paths[i])
            return command_paths[i] = test_path(dir, name);
    ck_abort_msg("more than %d names", COMMAND_PATHS);
    return NULL;
}

/* The folder with the pictures. */
static inline void command_folder(void)
{
    dir = test_folder_make();
    data = command_path("data");
    model = command_path("model.safetensors");
    json = command_path("result.json");
    page = command_path("page.html");
    sample_folder_make(data);
}

/* The same with the network, in whose last block experts stand or not. */
static inline void command_setup(bool sparse)
{
    const vit_config config = sample_config(sparse);

    command_folder();
    sample_model_save(model, &config, sample_labels);
}

/* For a fixture: with experts. */
static inline void sparse_setup(void)
{
    command_setup(true);
}

static inline void command_teardown(void)
{
    for (size_t i = 0; i < COMMAND_PATHS; i++) {
        base_free(command_paths[i]);
        command_paths[i] = NULL;
    }
    test_folder_remove(dir);
}

static inline json_t *command_result(program_result result)
{
    program_done(result);
    return program_json(json);
}

/* Runs the words, which end well, with --json; what was written: json_decref. */
#define COMMAND_JSON(...)                                                                  \
    command_result(program_run(dir, __VA_ARGS__, "--json", json, NULL))

#endif
