/* test_words.h - what a reader of a page finds: its words without tags and styles, those of
 * its figures too, a line each row, heading and paragraph, | where another tag stood;
 * before right and wrong cells + and !, before bold ones *. */
#ifndef TESTS_TEST_WORDS_H
#define TESTS_TEST_WORDS_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Behind the end of what begins here, NULL: nothing of the kind does. */
static inline const char *words_behind(const char *at, const char *begin, const char *end)
{
    const char *found = strncmp(at, begin, strlen(begin)) == 0 ? strstr(at, end) : NULL;

    return found ? found + strlen(end) : NULL;
}

/* text: a page, up to the line that names the program. base_free. */
static inline char *words_of(const char *text)
{
    static const struct {
        const char *begin, *end, *mark;
    } parts[] = {{"<style", "</style>", "|"},
                 {"<td class=\"n right\"", ">", "|+"},
                 {"<td class=\"n wrong\"", ">", "|!"},
                 {"<b>", ">", "*"},
                 {"<tr", ">", "\n"},
                 {"<h", ">", "\n"},
                 {"<p", ">", "\n"},
                 {"<", ">", "|"},
                 {"\n", "\n", "|"},
                 {"&ndash;", ";", "-"}};
    char *out = base_alloc(strlen(text) + 1, 2), *to = out;

    ck_assert_ptr_nonnull(out);
    for (const char *at = text; *at && strncmp(at, "made by vmoe ", 13) != 0;) {
        const char *next = NULL, *mark = NULL;
        for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !next; i++) {
            next = words_behind(at, parts[i].begin, parts[i].end);
            mark = parts[i].mark;
        }
        if (!next) {
            *to++ = *at++;
            continue;
        }
        at = next;
        if (*mark == '\n' && to > out && to[-1] == '|')
            to--;
        for (; *mark; mark++)
            if (!strchr("|\n", *mark) || (to > out && !strchr("|\n", to[-1])))
                *to++ = *mark;
    }
    *to = '\0';
    return out;
}

/* Letter by letter; tells where they part. */
static inline void words_are(const char *got, const char *want)
{
    size_t same = 0;

    while (got[same] && got[same] == want[same])
        same++;
    const size_t from = same > 40 ? same - 40 : 0;
    ck_assert_msg(got[same] == want[same], "'%.80s', expected '%.80s'", got + from,
                  want + from);
}

/* The text of tests/documents/NAME: base_free. */
static inline char *words_document(const char *name)
{
    const char *tests = getenv("VMOE_TESTS");
    char *path = base_text("%s/documents/%s", tests ? tests : "tests", name), *text = NULL;
    size_t bytes = 0;
    base_error err = {0};

    ck_assert_msg(base_file_read(&text, &bytes, path, 1 << 20, &err) == BASE_OK, "%s",
                  err.text);
    base_free(path);
    return text;
}

#endif
