/* test_golden.h - texts that are expected whole: files of tests/documents in parts, each
 * below a line "== NAME". After a change on purpose, with GOLDEN=FOLDER in the environment
 * (which must have no such files yet) and CK_FORK=no, what comes is written there. */
#ifndef TESTS_TEST_GOLDEN_H
#define TESTS_TEST_GOLDEN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Pictures inside a page are told by their places only: their bytes are zlib's affair. */
static inline void golden_without_pictures(char *text)
{
    for (char *at = text; (at = strstr(at, "base64,")) != NULL;) {
        const size_t length = strcspn(at += 7, "\"");
        memmove(at, at + length, strlen(at + length) + 1);
    }
}

/* text is, line by line, what file holds below "== NAME". */
static inline void golden_holds(const char *file, const char *name, const char *text)
{
    const char *fresh = getenv("GOLDEN");
    char *path = base_text("%s/documents/%s", getenv("VMOE_TESTS"), file), *all = NULL;
    char *head = base_text("== %s\n", name);
    size_t bytes = 0;

    if (fresh) {
        char *made = base_text("%s/%s", fresh, file);
        FILE *out = fopen(made, "a");
        const size_t length = strlen(text);
        fprintf(out, "%s%s%s", head, text,
                length > 0 && text[length - 1] != '\n' ? "\n" : "");
        fclose(out);
        base_free(made);
    }
    ck_assert_msg(fresh || base_file_read(&all, &bytes, path, 1 << 24, NULL) == BASE_OK,
                  "no %s", path);
    const char *want = all ? strstr(all, head) : NULL;
    ck_assert_msg(fresh || want, "no '%s' in %s", name, path);
    for (want = want ? want + strlen(head) : NULL; want && *text;) {
        const size_t length = strcspn(text, "\n");
        ck_assert_msg(strcspn(want, "\n") == length && strncmp(want, text, length) == 0,
                      "%s: '%.*s' in place of '%.*s'", name, (int)length, text,
                      (int)strcspn(want, "\n"), want);
        text += length + (text[length] != '\0');
        want += length + (want[length] != '\0');
    }
    ck_assert_msg(!want || !*want || strncmp(want, "== ", 3) == 0, "%s ends before '%.60s'",
                  name, want);
    base_free(all);
    base_free(head);
    base_free(path);
}

#endif
