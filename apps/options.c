/* options.c - one table drives parsing, ranges, messages and --help of every command.
 * Free to change: the layout of --help. Relied on elsewhere: the texts of refusals (tests), both
 * forms "--name value" and "--name=value", exit status 0 for --help and 2 for a refusal. */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "apps/app_internal.h"

#define AT(member) offsetof(app_common, member)

static const app_option common_options[] = {
    {.name = "threads",
     .value = "N",
     .kind = APP_INT,
     .at = AT(threads),
     .low = 1,
     .high = 4096,
     .help = "processors to use (default: all that the process may use)"},
    {.name = "pin",
     .kind = APP_FLAG,
     .at = AT(pin),
     .help = "keep each thread of the network on a processor of its own"},
    {.name = "seed",
     .value = "N",
     .kind = APP_INT,
     .at = AT(seed),
     .low = 0,
     .high = 9007199254740992.0,
     .help = "seed of every random number"},
    {.name = "precision",
     .value = "P",
     .kind = APP_CHOICE,
     .at = AT(precision),
     .choices = "fp32|bf16|auto",
     .help = "of matrix products; auto: the faster one here, by a measurement"},
    {.name = "batch",
     .value = "N",
     .kind = APP_INT,
     .at = AT(batch),
     .low = 1,
     .high = 65536,
     .help = "images a step"},
    {.name = "limit",
     .value = "N",
     .kind = APP_INT,
     .at = AT(limit),
     .low = 0,
     .high = 4294967295.0,
     .help = "only the first N samples of the seeded order, 0: all"},
    {.name = "quiet", .kind = APP_FLAG, .at = AT(quiet), .help = "only results and errors"},
    {.name = "json",
     .value = "FILE",
     .kind = APP_TEXT,
     .at = AT(json),
     .help = "the results, machine-readable; -: to stdout"},
};
enum { COMMON_COUNT = sizeof common_options / sizeof common_options[0] };

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

static size_t option_count(const app_syntax *syntax)
{
    size_t count = syntax->option_count;

    for (size_t i = 0; i < COMMON_COUNT; i++)
        count += has_common(syntax, i);
    return count;
}

/* The command's own options first, then the common ones that it has; cannot fail for i < option_count. */
static const app_option *option_at(const app_syntax *syntax, size_t i)
{
    if (i < syntax->option_count)
        return &syntax->options[i];
    i -= syntax->option_count;
    for (size_t j = 0; j < COMMON_COUNT; j++)
        if (has_common(syntax, j) && i-- == 0)
            return &common_options[j];
    return NULL;
}

static const char *option_name(const void *user, size_t i)
{
    const app_syntax *syntax = user;

    if (i < option_count(syntax))
        return option_at(syntax, i)->name;
    return i == option_count(syntax) ? "help" : NULL;
}

/* Writes the i-th of "a|b|c" into out; false past the end. */
static bool choice_at(char *out, size_t out_bytes, const char *choices, size_t i)
{
    const char *at = choices;

    for (; i > 0 && at; i--) {
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        return false;
    snprintf(out, out_bytes, "%.*s", (int)strcspn(at, "|"), at);
    return true;
}

/* ---- --help -------------------------------------------------------------------------------- */

/* " (default X)" when there is one worth printing, else "". */
static const char *default_text(char *out, size_t out_bytes, const app_option *o,
                                const void *args)
{
    const void *value = (const char *)args + o->at;
    char word[64];

    out[0] = '\0';
    if (o->required || strstr(o->help, "(default"))
        return out;
    switch (o->kind) {
    case APP_INT: {
        const int64_t n = *(const int64_t *)value;
        if ((double)n >= o->low && (double)n <= o->high)
            snprintf(out, out_bytes, " (default %lld)", (long long)n);
        break;
    }
    case APP_REAL: {
        const double x = *(const double *)value;
        if (x >= o->low && x <= o->high)
            snprintf(out, out_bytes, " (default %g)", x);
        break;
    }
    case APP_TEXT:
        if (*(const char *const *)value)
            snprintf(out, out_bytes, " (default %s)", *(const char *const *)value);
        break;
    case APP_CHOICE: {
        const int i = *(const int *)value;
        if (i >= 0 && choice_at(word, sizeof word, o->choices, (size_t)i))
            snprintf(out, out_bytes, " (default %s)", word);
        break;
    }
    case APP_FLAG:
    case APP_LIST: break;
    }
    return out;
}

enum { WIDTH = 80 }; /* of --help */

void app_print_wrapped(const char *text, int indent)
{
    int column = indent;

    while (*text) {
        const int word = (int)strcspn(text, " ");
        if (column > indent && column + 1 + word > WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const app_option *o, const void *args)
{
    char left[64], text[1024], initial[300];

    snprintf(left, sizeof left, "  --%s%s%s", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    if (strlen(left) > 24)
        printf("%s\n%26s", left, "");
    else
        printf("%-26s", left);
    snprintf(text, sizeof text, "%s%s%s%s%s", o->help, o->choices ? ": " : "",
             o->choices ? o->choices : "", o->required ? " (required)" : "",
             default_text(initial, sizeof initial, o, args));
    app_print_wrapped(text, 26);
}

/* Text in columns 1..80, broken between words; its own breaks hold but where the sentence goes on (a small
 * letter follows). */
static void print_lines(const char *text)
{
    int column = 0;

    while (*text) {
        for (; column == 0 && *text == ' '; text++) /* a list's own indentation */
            putchar(' ');
        const int word = (int)strcspn(text, " \n");
        if (column > 0 && column + 1 + word > WIDTH) {
            putchar('\n');
            column = 0;
        } else if (column > 0) {
            putchar(' ');
            column++;
        }
        printf("%.*s", word, text);
        column += word;
        text += word;
        if (*text == '\n' && !islower((unsigned char)text[1])) {
            putchar('\n');
            column = 0;
        }
        text += *text != '\0';
    }
    putchar('\n');
}

static void print_help(const app_syntax *syntax, const void *args)
{
    char usage[512];

    snprintf(usage, sizeof usage, "usage: vmoe %s %s", syntax->command, syntax->usage);
    print_lines(usage);
    putchar('\n');
    print_lines(syntax->about);
    if (syntax->option_count > 0)
        printf("\noptions:\n");
    for (size_t i = 0; i < syntax->option_count; i++)
        print_option(&syntax->options[i], args);
    printf("\ncommon options:\n");
    for (size_t i = syntax->option_count; i < option_count(syntax); i++)
        print_option(option_at(syntax, i), args);
    printf("  --help                  this text\n");
}

/* ---- parsing --------------------------------------------------------------------------------- */

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
    fprintf(stderr, "vmoe %s: %s\n", p->syntax->command, text);
    return false;
}

static bool store_number(void *value, const app_option *o, const char *text, const parse *p)
{
    char name[256];
    const int digits = o->kind == APP_INT ? 16 : 15; /* 2^53 in full, 0.1 as it is */
    double x = 0;
    int64_t n = 0;
    bool good;

    if (o->kind == APP_INT) {
        good = base_parse_int(&n, text) && n <= (int64_t)o->high; /* x is rounded */
        x = (double)n;
    } else {
        good = base_parse_real(&x, text);
    }
    if (!good || x < o->low || x > o->high)
        return refuse(p, "--%s '%s' is not %s from %.*g to %.*g", o->name,
                      base_quote(name, sizeof name, text),
                      o->kind == APP_INT ? "a whole number" : "a number", digits, o->low,
                      digits, o->high);
    if (o->kind == APP_INT)
        *(int64_t *)value = n;
    else
        *(double *)value = x;
    return true;
}

static bool store_choice(int *value, const app_option *o, const char *text, const parse *p)
{
    char word[64], name[256];

    for (size_t i = 0; choice_at(word, sizeof word, o->choices, i); i++) {
        if (strcmp(word, text) == 0) {
            *value = (int)i;
            return true;
        }
    }
    return refuse(p, "--%s '%s' is not one of %s", o->name,
                  base_quote(name, sizeof name, text), o->choices);
}

static bool store_list(app_list *list, const app_option *o, const char *text,
                       const parse *p)
{
    if (list->count == APP_LIST_MAX)
        return refuse(p, "--%s has more than %d values", o->name, APP_LIST_MAX);
    list->at[list->count++] = text;
    return true;
}

static bool store(void *args, const app_option *o, const char *text, const parse *p)
{
    void *value = (char *)args + o->at;

    switch (o->kind) {
    case APP_INT:
    case APP_REAL: return store_number(value, o, text, p);
    case APP_TEXT:
        if (text[0] == '\0')
            return refuse(p, "--%s is empty, expected %s", o->name, o->value);
        *(const char **)value = text;
        return true;
    case APP_CHOICE: return store_choice(value, o, text, p);
    case APP_LIST: return store_list(value, o, text, p);
    case APP_FLAG: break;
    }
    *(bool *)value = true;
    return true;
}

static const app_option *find_option(const app_syntax *syntax, const char *name,
                                     size_t length)
{
    for (size_t i = 0; i < option_count(syntax); i++) {
        const app_option *o = option_at(syntax, i);
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return o;
    }
    return NULL;
}

/* argv[next] is "--NAME" or "--NAME=VALUE". seen: a flag for each option. */
static bool parse_option(void *args, bool *seen, parse *p)
{
    const char *name = p->argv[p->next++] + 2;
    const size_t length = strcspn(name, "=");
    const char *inside = name[length] == '=' ? name + length + 1 : NULL;
    const app_option *o = find_option(p->syntax, name, length);

    if (!o) {
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
    for (size_t i = 0; i < option_count(p->syntax); i++) {
        if (option_at(p->syntax, i) != o)
            continue;
        if (seen[i] && o->kind != APP_LIST)
            return refuse(p, "--%s is given twice", o->name);
        seen[i] = true;
    }
    if (o->kind == APP_FLAG) {
        if (inside)
            return refuse(p, "--%s takes no value", o->name);
        return store(args, o, NULL, p);
    }
    if (inside)
        return store(args, o, inside, p);
    if (p->next == p->argc)
        return refuse(p, "--%s needs a value (%s)", o->name, o->value);
    if (!store(args, o, p->argv[p->next++], p))
        return false;
    while (o->kind == APP_LIST && p->next < p->argc &&
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
    for (size_t i = 0; i < option_count(syntax); i++) {
        const app_option *o = option_at(syntax, i);
        if (o->required && !seen[i])
            return refuse(p, "--%s %s is missing", o->name, o->value);
    }
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

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(syntax, args);
            *exit_status = APP_DONE;
            return false;
        }
    }
    bool *seen = base_alloc(option_count(syntax), sizeof *seen);
    if (!seen) {
        *exit_status = APP_FAILED;
        return refuse(&p, "no memory");
    }
    const bool good = parse_all(args, &count, seen, &p);
    base_free(seen);
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
