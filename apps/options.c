/* options.c - one table drives parsing, ranges and messages of every command, and what
 * help.c prints of it. Relied on elsewhere: the texts of refusals (tests), both forms
 * "--name value" and "--name=value", exit status 0 for --help and 2 for a refusal. */
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "apps/app_internal.h"

#define BASE_STRUCT app_common
static const base_field common_options[] = {
    APP_INT("threads", "N", threads, 1, 4096,
            "processors to use (default: all that the process may use)"),
    BASE_BOOL("pin", pin, "keep each thread of the network on a processor of its own"),
    APP_INT("seed", "N", seed, 0, 9007199254740992.0, "seed of every random number",
            BASE_GIVEN(given.seed)),
    APP_CHOICE("precision", "P", precision, "fp32|bf16|auto",
               "of matrix products; auto: the faster one here, by a measurement",
               BASE_GIVEN(given.precision)),
    APP_INT("batch", "N", batch, 1, 65536, "images a step", BASE_GIVEN(given.batch)),
    APP_INT("limit", "N", limit, 0, 4294967295.0,
            "only the first N samples of the seeded order, 0: all",
            BASE_GIVEN(given.limit)),
    BASE_BOOL("quiet", quiet, "only results and errors"),
    APP_WORD("json", "FILE", json, "the results, machine-readable; -: to stdout"),
    {0},
};
#undef BASE_STRUCT

enum { OPTIONS_MAX = 96 }; /* of a command */

app_common app_common_defaults(void)
{
    return (app_common){.batch = 64, .precision = VIT_PRECISION_FP32};
}

/* Whether the command has the i-th common option. */
static bool has_common(const app_syntax *syntax, size_t i)
{
    const size_t length = strlen(common_options[i].name);

    for (const char *at = syntax->without; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, common_options[i].name, length) == 0 &&
            (at[length] == ' ' || at[length] == '\0'))
            return false;
    }
    return true;
}

const base_field *app_option_at(const app_syntax *syntax, size_t i)
{
    for (const base_field *o = syntax->options; o->name; o++)
        if (i-- == 0)
            return o;
    for (size_t j = 0; common_options[j].name; j++)
        if (has_common(syntax, j) && i-- == 0)
            return &common_options[j];
    return NULL;
}

static const char *option_name(const void *user, size_t i)
{
    const base_field *o = app_option_at(user, i);

    return o ? o->name : i > 0 && app_option_at(user, i - 1) ? "help" : NULL;
}

/* ---- parsing ------------------------------------------------------------------------- */

typedef struct parse {
    const app_syntax *syntax;
    int argc;
    char **argv;
    int next; /* of argv, to be read */
} parse;

static bool refuse(const parse *p, const char *format, ...) BASE_PRINTF(2, 3);

/* One line to stderr; always false. */
static bool refuse(const parse *p, const char *format, ...)
{
    char text[768];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (!app_silent())
        fprintf(stderr, "vmoe %s: %s\n", p->syntax->command, text);
    return false;
}

static bool store(void *args, const base_field *o, const char *text, const parse *p)
{
    char name[256], expected[256];

    if (base_field_set(args, o, text))
        return true;
    base_field_expected(expected, sizeof expected, o);
    if (o->kind == BASE_KIND_WORD)
        return refuse(p, "--%s is empty, expected %s", o->name, expected);
    if (o->kind == BASE_KIND_LIST)
        return refuse(p, "--%s has more than %d values", o->name, (int)BASE_LIST_MAX);
    return refuse(p, "--%s '%s' is not %s", o->name, base_quote(name, sizeof name, text),
                  expected);
}

/* The place of the option, SIZE_MAX: there is none. */
static size_t find_option(const app_syntax *syntax, const char *name, size_t length)
{
    const base_field *o;

    for (size_t i = 0; (o = app_option_at(syntax, i)); i++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return i;
    return SIZE_MAX;
}

/* argv[next] is "--NAME" or "--NAME=VALUE". seen: a flag for each option. */
static bool parse_option(void *args, bool *seen, parse *p)
{
    const char *name = p->argv[p->next++] + 2;
    const size_t length = strcspn(name, "=");
    const char *inside = name[length] == '=' ? name + length + 1 : NULL;
    const size_t place = find_option(p->syntax, name, length);

    if (place == SIZE_MAX) {
        char word[128], shown[256];
        if (length == 4 && strncmp(name, "help", 4) == 0)
            return refuse(p, "--help takes no value");
        snprintf(word, sizeof word, "%.*s", length < 100 ? (int)length : 100, name);
        if (p->syntax->hint && p->syntax->hint(shown, sizeof shown, word))
            return refuse(p, "unknown option '--%s', did you mean '--set %s=%s'?", word,
                          shown,
                          inside              ? inside
                          : p->next < p->argc ? p->argv[p->next]
                                              : "...");
        const char *near = base_nearest(word, option_name, p->syntax);
        return refuse(p, "unknown option '--%s'%s%s%s, see vmoe %s --help",
                      base_quote(shown, sizeof shown, word),
                      near ? ", did you mean '--" : "", near ? near : "", near ? "'" : "",
                      p->syntax->command);
    }
    const base_field *o = app_option_at(p->syntax, place);
    if (seen[place] && o->kind != BASE_KIND_LIST)
        return refuse(p, "--%s is given twice", o->name);
    seen[place] = true;
    if (o->kind == BASE_KIND_BOOL) {
        if (inside)
            return refuse(p, "--%s takes no value", o->name);
        return store(args, o, "true", p);
    }
    if (inside)
        return store(args, o, inside, p);
    if (p->next == p->argc)
        return refuse(p, "--%s needs a value (%s)", o->name, o->value);
    if (!store(args, o, p->argv[p->next++], p))
        return false;
    while (o->kind == BASE_KIND_LIST && p->next < p->argc &&
           strncmp(p->argv[p->next], "--", 2) != 0) {
        if (!store(args, o, p->argv[p->next++], p))
            return false;
    }
    return true;
}

/* Everything but --help. Words go to the front of argv + 1; *count of them. */
static bool parse_all(void *args, size_t *count, bool *seen, parse *p)
{
    const app_syntax *syntax = p->syntax;
    bool only_words = false;
    char name[256];

    *count = 0;
    while (p->next < p->argc) {
        char *word = p->argv[p->next];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
            p->next++;
        } else if (!only_words && strncmp(word, "--", 2) == 0) {
            if (!parse_option(args, seen, p))
                return false;
        } else if (!only_words && word[0] == '-' && word[1] != '\0') {
            return refuse(p, "unknown option '%s', options begin with --",
                          base_quote(name, sizeof name, word));
        } else {
            if (!syntax->words)
                return refuse(p, "unexpected word '%s', see vmoe %s --help",
                              base_quote(name, sizeof name, word), syntax->command);
            p->argv[++*count] = word;
            p->next++;
        }
    }
    const base_field *o;
    for (size_t i = 0; (o = app_option_at(syntax, i)); i++)
        if (o->required && !seen[i])
            return refuse(p, "--%s %s is missing", o->name, o->value);
    if (syntax->words && *count < syntax->words_low)
        return refuse(p, "expected %s, usage: vmoe %s %s", syntax->words, syntax->command,
                      syntax->usage);
    if (syntax->words && *count > syntax->words_high)
        return refuse(p, "unexpected word '%s', expected at most %zu (%s)",
                      base_quote(name, sizeof name, p->argv[*count]), syntax->words_high,
                      syntax->words);
    return true;
}

bool app_parse(int *exit_status, void *args, char ***words, size_t *word_count,
               const app_syntax *syntax, int argc, char **argv)
{
    parse p = {.syntax = syntax, .argc = argc, .argv = argv, .next = 1};
    size_t count = 0;

    bool seen[OPTIONS_MAX] = {false};

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *form = strncmp(argv[i], "--help", 6) == 0 ? argv[i] + 6
                           : strcmp(argv[i], "-h") == 0       ? ""
                                                              : NULL;
        if (form && app_help(syntax, args, form)) {
            *exit_status = APP_DONE;
            return false;
        }
    }
    assert(!app_option_at(syntax, OPTIONS_MAX));
    const bool good = parse_all(args, &count, seen, &p);
    if (!good) {
        *exit_status = APP_USAGE;
        return false;
    }
    if (words) {
        *words = argv + 1;
        *word_count = count;
    }
    return true;
}
