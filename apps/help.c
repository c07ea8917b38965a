/* help.c - what a command's table of options says to people: --help, the manual page
 * (--help=man), the names for completion (--help=names). Free to change: the layout. Relied
 * on elsewhere: the build makes the manual pages and the scripts of completion from
 * these. */
#include <ctype.h>
#include <string.h>

#include "apps/app_internal.h"

/* " (default X)" when there is one worth printing, else "". */
static const char *default_text(char *out, size_t out_bytes, const app_syntax *syntax,
                                const base_field *o, const void *args)
{
    char room[64];
    const base_value v = base_field_get(args, o, room, sizeof room);

    out[0] = '\0';
    if (o->required || (o->given && syntax->of_recipe) || strstr(o->help, "(default") ||
        (v.kind == BASE_VALUE_INT && !base_field_good(args, o)))
        return out;
    if (v.kind == BASE_VALUE_REAL && base_field_good(args, o))
        snprintf(out, out_bytes, " (default %g)", v.real);
    else if (v.kind == BASE_VALUE_INT)
        snprintf(out, out_bytes, " (default %lld)", (long long)v.whole);
    else if (v.kind == BASE_VALUE_TEXT)
        snprintf(out, out_bytes, " (default %s)", v.text);
    return out;
}

/* What stands behind the name. */
static void option_text(char *out, size_t out_bytes, const app_syntax *syntax,
                        const base_field *o, const void *args)
{
    char initial[300];

    snprintf(out, out_bytes, "%s%s%s%s%s", o->help, o->choices ? ": " : "",
             o->choices ? o->choices : "", o->required ? " (required)" : "",
             default_text(initial, sizeof initial, syntax, o, args));
}

/* ---- --help -------------------------------------------------------------------------- */

enum { WIDTH = 80 }; /* of --help */

void app_print_wrapped(const char *text, int indent)
{
    char blanks[WIDTH];

    snprintf(blanks, sizeof blanks, "%*s", indent, "");
    show_wrapped(stdout, text, (size_t)(WIDTH - indent), blanks);
}

/* Text in columns 1..80, broken between words; its own breaks hold but where the sentence
 * goes on (a small letter follows). */
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

static void print_option(const app_syntax *syntax, const base_field *o, const void *args)
{
    char left[64], text[1024];

    snprintf(left, sizeof left, "  --%s%s%s", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    if (strlen(left) > 24)
        printf("%s\n%26s", left, "");
    else
        printf("%-26s", left);
    option_text(text, sizeof text, syntax, o, args);
    app_print_wrapped(text, 26);
}

static void print_help(const app_syntax *syntax, const void *args)
{
    const base_field *o;
    char usage[512];
    size_t i = 0;

    snprintf(usage, sizeof usage, "usage: vmoe %s %s", syntax->command, syntax->usage);
    print_lines(usage);
    putchar('\n');
    print_lines(syntax->about);
    if (syntax->options->name)
        printf("\noptions:\n");
    for (; syntax->options[i].name; i++)
        print_option(syntax, &syntax->options[i], args);
    printf("\ncommon options:\n");
    for (; (o = app_option_at(syntax, i)); i++)
        print_option(syntax, o, args);
    printf("  --help                  this text\n");
}

/* ---- the manual page ----------------------------------------------------------------- */

void app_man_text(const char *text, size_t length)
{
    for (size_t i = 0; i < length && text[i]; i++) {
        if ((i == 0 || text[i - 1] == '\n') && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", stdout);
        if (text[i] == '-')
            fputs("\\-", stdout);
        else if (text[i] == '\\')
            fputs("\\e", stdout);
        else
            putchar(text[i]);
    }
}

static void man_option(const app_syntax *syntax, const base_field *o, const void *args)
{
    char text[1024];

    printf(".TP\n\\fB\\-\\-");
    app_man_text(o->name, SIZE_MAX);
    printf("\\fR");
    if (o->value) {
        printf(" \\fI");
        app_man_text(o->value, SIZE_MAX);
        printf("\\fR");
    }
    putchar('\n');
    option_text(text, sizeof text, syntax, o, args);
    app_man_text(text, SIZE_MAX);
    putchar('\n');
}

static void print_man(const app_syntax *syntax, const void *args)
{
    const base_field *o;
    size_t i = 0;

    printf(".TH \"VMOE\\-");
    for (const char *c = syntax->command; *c; c++)
        putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf("\" 1 \"\" \"vmoe %s\"\n.SH NAME\nvmoe\\-%s \\- ", BASE_VERSION,
           syntax->command);
    app_man_text(syntax->about, strcspn(syntax->about, ".;\n"));
    printf("\n.SH SYNOPSIS\n\\fBvmoe %s\\fR ", syntax->command);
    app_man_text(syntax->usage, SIZE_MAX);
    printf("\n.SH DESCRIPTION\n");
    app_man_text(syntax->about, SIZE_MAX);
    if (syntax->options->name)
        printf("\n.SH OPTIONS");
    printf("\n");
    for (; syntax->options[i].name; i++)
        man_option(syntax, &syntax->options[i], args);
    printf(".SH COMMON OPTIONS\n");
    for (; (o = app_option_at(syntax, i)); i++)
        man_option(syntax, o, args);
    printf(".TP\n\\fB\\-\\-help\\fR\nthe same as a text\n"
           ".SH EXIT STATUS\n0 done, 1 the run failed, 2 wrong usage.\n"
           ".SH SEE ALSO\n\\fBvmoe\\fR(1)\n");
}

/* ---- names for completion ------------------------------------------------------------ */

/* "--NAME<tab>KIND<tab>HELP" a line: flag, word, file, dir or choices "a|b|c". */
static void print_names(const app_syntax *syntax)
{
    const base_field *o;

    for (size_t i = 0; (o = app_option_at(syntax, i)); i++) {
        const char *value = o->value ? o->value : "";
        const char *kind = o->kind == BASE_KIND_BOOL        ? "flag"
                           : o->choices                     ? o->choices
                           : strncmp(value, "FILE", 4) == 0 ? "file"
                           : strcmp(value, "DATA") == 0     ? "file"
                           : strcmp(value, "DIR") == 0      ? "dir"
                                                            : "word";
        printf("--%s\t%s\t%s\n", o->name, kind, o->help);
    }
}

bool app_help(const app_syntax *syntax, const void *args, const char *form)
{
    if (strcmp(form, "") == 0)
        print_help(syntax, args);
    else if (strcmp(form, "=man") == 0)
        print_man(syntax, args);
    else if (strcmp(form, "=names") == 0)
        print_names(syntax);
    else
        return false;
    return true;
}
