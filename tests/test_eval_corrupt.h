/* test_eval_corrupt.h - what the tests of vmoe eval under corruption share: a run of it
 * and what its document says of corruptions. */
#ifndef TESTS_TEST_EVAL_CORRUPT_H
#define TESTS_TEST_EVAL_CORRUPT_H

#include "tests/test_command.h"

/* vmoe eval with two options more (NULL: none): json_decref. */
static inline json_t *evaluate(const char *a, const char *b, const char *c, const char *d)
{
    program_done(
        program_run(dir, "eval", model, "--data", data, "--json", json, a, b, c, d, NULL));
    return program_json(json);
}

static inline json_t *robust_of(const json_t *e)
{
    json_t *r = json_object_get(e, "robust");

    ck_assert_ptr_nonnull(r);
    return r;
}

#endif
