/* test_says.h - what a message says, whole. */
#ifndef TESTS_TEST_SAYS_H
#define TESTS_TEST_SAYS_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* The text is these words, names of fresh folders (test_folder_make) left out: 'x' for
 * '/tmp/vmoe-test-abcdef/x'. "~WORDS": it holds them, the rest is another program's. */
static inline void test_says(const char *text, const char *words)
{
    char shown[sizeof(base_error)];
    size_t count = 0;

    for (const char *at = text; *at && count + 1 < sizeof shown; at++) {
        const char *end = *at == '\'' ? at + 1 + strcspn(at + 1, "'") : at;
        const char *fresh =
            end > at ? memmem(at, (size_t)(end - at), "/vmoe-test-", 11) : NULL;
        shown[count++] = *at;
        if (fresh) {
            at = fresh + strlen("/vmoe-test-XXXXXX");
            at -= *at != '/';
        }
    }
    shown[count] = '\0';
    if (words[0] == '~')
        ck_assert_msg(strstr(shown, words + 1) != NULL, "'%s' does not say '%s'", shown,
                      words + 1);
    else
        ck_assert_str_eq(shown, words);
}

#endif
