/* words.c - corruptions and severities as people write them: names, groups, ranges. Relied
 * on elsewhere: the names of groups, and that "all" leaves out "clean". */
#include "corrupt/corrupt.h"

#include <stdio.h>
#include <string.h>

static const char *const more_words[] = {"noise", "blur",  "weather", "digital",
                                         "extra", "bench", "all",     "clean"};
enum {
    MORE = sizeof more_words / sizeof more_words[0],
    WORD_BYTES = 64,
};

static const char *known_word(const void *user, size_t i)
{
    (void)user;
    if (i < CORRUPT_KIND_COUNT)
        return corrupt_kind_name((corrupt_kind)i);
    return i < CORRUPT_KIND_COUNT + MORE ? more_words[i - CORRUPT_KIND_COUNT] : NULL;
}

static base_status word_add(bool kinds[CORRUPT_KIND_COUNT], bool *clean, const char *word,
                            base_error *err)
{
    corrupt_kind kind;
    bool known = false;

    if (strcmp(word, "clean") == 0) {
        *clean = true;
        return BASE_OK;
    }
    if (corrupt_kind_find(&kind, word)) {
        kinds[kind] = true;
        return BASE_OK;
    }
    for (size_t i = 0; i < CORRUPT_KIND_COUNT; i++) {
        const char *group = corrupt_group_name(corrupt_kind_group((corrupt_kind)i));
        const bool bench = i < CORRUPT_BENCH_COUNT && strcmp(word, "bench") == 0;

        if (strcmp(word, "all") == 0 || bench || strcmp(word, group) == 0)
            kinds[i] = known = true;
    }
    if (known)
        return BASE_OK;
    char shown[2 * WORD_BYTES];
    const char *near = base_nearest(word, known_word, NULL);
    return base_fail(err, BASE_USAGE,
                     "unknown corruption '%s'%s%s%s, expected a name as fog, a group "
                     "(noise, blur, weather, digital, extra), bench, all or clean",
                     base_quote(shown, sizeof shown, word), near ? ", did you mean '" : "",
                     near ? near : "", near ? "'" : "");
}

/* Calls for every word of a list with commas or blanks; BASE_USAGE for an empty one. */
static base_status words_each(const char *list, const char *what,
                              base_status (*add)(void *user, const char *word,
                                                 base_error *err),
                              void *user, base_error *err)
{
    char word[WORD_BYTES], shown[2 * WORD_BYTES];
    base_status status = BASE_OK;

    for (const char *at = list; status == BASE_OK;) {
        const size_t length = strcspn(at, ", ");

        if (length == 0)
            return base_fail(err, BASE_USAGE, "%s '%s' has an empty word", what,
                             base_quote(shown, sizeof shown, list));
        snprintf(word, sizeof word, "%.*s",
                 length < sizeof word ? (int)length : WORD_BYTES - 1, at);
        status = add(user, word, err);
        at += length;
        if (!*at)
            break;
        at += 1 + strspn(at + 1, " ");
    }
    return status;
}

typedef struct kinds_user {
    bool *kinds, *clean;
} kinds_user;

static base_status kinds_add(void *user, const char *word, base_error *err)
{
    const kinds_user *u = user;

    return word_add(u->kinds, u->clean, word, err);
}

base_status corrupt_kinds_add(bool kinds[CORRUPT_KIND_COUNT], bool *clean, const char *word,
                              base_error *err)
{
    kinds_user user;

    user.kinds = kinds;
    user.clean = clean;
    return words_each(word, "corruption", kinds_add, &user, err);
}

/* One digit 1..5; 0 for anything else. */
static int severity_of(char digit)
{
    return digit >= '1' && digit <= '0' + CORRUPT_SEVERITY_MAX ? digit - '0' : 0;
}

static base_status severities_add(void *user, const char *word, base_error *err)
{
    bool *severities = user;
    const size_t length = strlen(word);
    const int low = severity_of(word[0]);
    const int high = length == 1                     ? low
                     : length == 3 && word[1] == '-' ? severity_of(word[2])
                                                     : 0;
    char shown[2 * WORD_BYTES];

    if (low == 0 || high < low)
        return base_fail(err, BASE_USAGE,
                         "severity '%s' is not a whole number from 1 to %d or a range as "
                         "1-3",
                         base_quote(shown, sizeof shown, word), CORRUPT_SEVERITY_MAX);
    for (int s = low; s <= high; s++)
        severities[s] = true;
    return BASE_OK;
}

base_status corrupt_severities_add(bool severities[CORRUPT_SEVERITY_MAX + 1],
                                   const char *word, base_error *err)
{
    return words_each(word, "severity", severities_add, severities, err);
}
