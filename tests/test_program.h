/* test_program.h - runs vmoe as a user does: arguments in; stdout, stderr and exit
 * status out. */
#ifndef TESTS_TEST_PROGRAM_H
#define TESTS_TEST_PROGRAM_H

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "tests/test_folder.h"

enum { PROGRAM_WORDS = 64 };

typedef struct program_result {
    int code; /* exit status; -signal when killed */
    char *out, *err;
} program_result;

static inline void program_result_free(program_result *result)
{
    base_free(result->out);
    base_free(result->err);
    *result = (program_result){0};
}

static inline char *program_text(const char *path)
{
    char *text = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, (size_t)64 << 20, NULL), BASE_OK);
    return text;
}

/* Starts words[0] with the words, of which `count` are there, and those of list up to NULL;
 * its output goes into files in dir, its standard input is the test's. */
static inline pid_t program_start(const char *dir, const char *words[PROGRAM_WORDS],
                                  size_t count, va_list list)
{
    char *out = test_path(dir, "stdout.txt"), *err = test_path(dir, "stderr.txt");

    do
        words[count] = va_arg(list, const char *);
    while (words[count] && ++count < PROGRAM_WORDS - 1);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const int to = open(out, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        const int talk = open(err, O_CREAT | O_TRUNC | O_WRONLY, 0600);

        dup2(to, STDOUT_FILENO);
        dup2(talk, STDERR_FILENO);
        execvp(words[0], (char *const *)words);
        _exit(127);
    }
    base_free(out);
    base_free(err);
    return child;
}

/* What a program that was started left, by its waitpid state. */
static inline program_result program_left(const char *dir, int state)
{
    char *out = test_path(dir, "stdout.txt"), *err = test_path(dir, "stderr.txt");
    const program_result result = {
        .code = WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state),
        .out = program_text(out),
        .err = program_text(err),
    };

    base_free(out);
    base_free(err);
    return result;
}

/* Runs the program with the words up to NULL. */
static inline program_result program_run(const char *dir, ...)
{
    const char *program = getenv("VMOE_PROGRAM");
    const char *words[PROGRAM_WORDS] = {program ? program : "vmoe"};
    int state = 0;
    va_list list;

    va_start(list, dir);
    const pid_t child = program_start(dir, words, 1, list);
    va_end(list);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    return program_left(dir, state);
}

/* One line on stderr that holds the words, nothing on stdout, this exit status; frees
 * the result. */
static inline void program_refused(program_result result, int code, const char *words)
{
    ck_assert_msg(result.code == code, "exit status %d (%s), expected %d", result.code,
                  result.err, code);
    ck_assert_msg(strstr(result.err, words) != NULL, "'%s' does not say '%s'", result.err,
                  words);
    const char *end = strchr(result.err, '\n');
    ck_assert_msg(end && end[1] == '\0', "'%s' is not one line", result.err);
    ck_assert_str_eq(result.out, "");
    program_result_free(&result);
}

/* It went well; frees the result. */
static inline void program_done(program_result result)
{
    ck_assert_msg(result.code == 0, "exit status %d: %s", result.code, result.err);
    program_result_free(&result);
}

/* A JSON file: json_decref. */
static inline json_t *program_json(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);

    ck_assert_msg(json != NULL, "%s: %s", path, error.text);
    return json;
}

static inline double json_number_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    ck_assert_msg(json_is_number(value), "'%s' is no number", key);
    return json_number_value(value);
}

#endif
