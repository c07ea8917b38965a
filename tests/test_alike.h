/* test_alike.h - a whole document against what it should say: every key, nothing else. */
#ifndef TESTS_TEST_ALIKE_H
#define TESTS_TEST_ALIKE_H

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/base.h"

/* Numbers are printed with nine digits, and sums of a handful of them in any order. */
#define ALIKE_CLOSE 1e-8

static inline void alike_at(const json_t *got, const json_t *want, const char *at)
{
    const char *key, *text = json_string_value(want);
    json_t *inner;
    size_t i;

    if (text && strcmp(text, "*") == 0) {
        ck_assert_msg(got != NULL, "%s is missing", at);
        return;
    }
    char *found = got ? json_dumps(got, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;
    char *wanted = json_dumps(want, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    const bool numbers = json_is_number(got) && json_is_number(want);
    const double value = json_number_value(want);
    const bool same =
        json_is_object(want) ? json_is_object(got)
        : json_is_array(want)
            ? json_array_size(got) == json_array_size(want) && json_is_array(got)
        : numbers ? fabs(json_number_value(got) - value) <= ALIKE_CLOSE * (1 + fabs(value))
                  : got && json_equal(got, want);
    ck_assert_msg(same, "%s is %s, expected %s", at, found ? found : "missing", wanted);
    free(found);
    free(wanted);
    json_object_foreach((json_t *)(uintptr_t)want, key, inner)
    {
        char *below = base_text("%s.%s", at, key);
        alike_at(json_object_get(got, key), inner, below);
        base_free(below);
    }
    json_object_foreach((json_t *)(uintptr_t)got, key, inner)
        ck_assert_msg(json_object_get(want, key) != NULL, "%s.%s is not expected", at, key);
    json_array_foreach(want, i, inner)
    {
        char *below = base_text("%s[%zu]", at, i);
        alike_at(json_array_get(got, i), inner, below);
        base_free(below);
    }
}

/* JSON with ` in place of "; base_free. */
static inline char *alike_text(const char *text)
{
    char *json = base_text("%s", text);

    for (char *at = json; *at; at++)
        *at = (char)(*at == '`' ? '"' : *at);
    return json;
}

/* got is want, JSON with ` in place of ": the same keys, lists as long, texts letter by
 * letter, numbers closely; `*` is anything. */
static inline void alike(const json_t *got, const char *want)
{
    char *text = alike_text(want);
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

    ck_assert_msg(json != NULL, "%s in '%.60s'", error.text, text + error.position);
    alike_at(got, json, "");
    json_decref(json);
    base_free(text);
}

#endif
