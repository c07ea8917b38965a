/* test_ranks.h - what tests of runs on several ranks share: the words of metrics.jsonl
 * without those of the clock and of the ranks themselves. */
#ifndef TESTS_TEST_RANKS_H
#define TESTS_TEST_RANKS_H

#include <jansson.h>

#include "tests/test_train.h"

/* All lines of dir/RUN/metrics.jsonl, keys sorted; free. */
static inline char *metrics_plain(const char *run)
{
    static const char *const clock[] = {"time",    "elapsed", "images_per_second",
                                        "seconds", "ranks",   "sent_bytes",
                                        "waited",  "slowest"};
    char *path = base_text("%s/%s/metrics.jsonl", dir, run), *text = program_text(path);
    json_t *all = json_array();

    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
        ck_assert_ptr_nonnull(json);
        for (size_t i = 0; i < sizeof clock / sizeof clock[0]; i++)
            json_object_del(json, clock[i]);
        json_array_append_new(all, json);
        line = end + 1;
    }
    char *plain = json_dumps(all, JSON_SORT_KEYS | JSON_INDENT(1));
    json_decref(all);
    base_free(text);
    base_free(path);
    return plain;
}

/* The same weights, states and words. */
static inline void same_ranks(const char *one, const char *two)
{
    char *a = metrics_plain(one), *b = metrics_plain(two);

    same_run(one, two);
    ck_assert_msg(strcmp(a, b) == 0, "metrics of '%s' and '%s' differ: %s\n%s", one, two, a,
                  b);
    free(a);
    free(b);
}

#endif
