/* test_sweep.h - a JSON document with each of its values replaced, one at a time, by nine
 * odd ones. */
#ifndef TESTS_TEST_SWEEP_H
#define TESTS_TEST_SWEEP_H

#include <check.h>
#include <jansson.h>
#include <stdint.h>

enum {
    SWEEP_ODD = 9,
    SWEEP_ENTRIES = 2 /* of a list, and what is in the first: the others are like it */
};

static inline json_t *sweep_odd(int i)
{
    switch (i) {
    case 0: return json_null();
    case 1: return json_true();
    case 2: return json_integer(-1);
    case 3: return json_integer(INT64_MAX);
    case 4: return json_real(1e308);
    case 5: return json_string("");
    case 6: return json_string("%s%n<script>\"\n=1");
    case 7: return json_array();
    default: return json_pack("{s:[n]}", "a");
    }
}

/* Calls visit(user) once for each change while *at, a part of a document, is changed.
 * Returns how often. */
static inline size_t sweep_walk(json_t *at, void (*visit)(void *user), void *user)
{
    size_t count = 0, i;
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(at, next, key, value)
    {
        json_t *kept = json_incref(value);
        for (int odd = 0; odd < SWEEP_ODD; odd++, count++) {
            ck_assert_int_eq(json_object_set_new(at, key, sweep_odd(odd)), 0);
            visit(user);
        }
        json_object_set_new(at, key, kept);
        count += sweep_walk(kept, visit, user);
    }
    for (i = 0; json_is_array(at) && i < json_array_size(at) && i < SWEEP_ENTRIES; i++) {
        json_t *kept = json_incref(json_array_get(at, i));
        for (int odd = 0; odd < SWEEP_ODD; odd++, count++) {
            ck_assert_int_eq(json_array_set_new(at, i, sweep_odd(odd)), 0);
            visit(user);
        }
        json_array_set_new(at, i, kept);
        count += i == 0 ? sweep_walk(kept, visit, user) : 0;
    }
    return count;
}

#endif
