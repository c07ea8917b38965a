/* specs.c - budgets and attacks as people write them: 8/255, 0.031,
 * "standard,pgd:steps=40", lists of them; and the list of all attacks. Pixels are 0..1 and
 * nothing is ever divided by 255 in silence (attacks.md 1, rule 2). Relied on elsewhere:
 * the texts of refusals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/attack/internal.h"

/* ---- budgets ------------------------------------------------------------------------- */

/* "8/255" or "0.031"; false for anything else. */
static bool number_read(double *out, const char *text)
{
    char top[APP_BUDGET_TEXT];
    double numerator, denominator = 1;
    const char *slash = strchr(text, '/');
    const size_t length = slash ? (size_t)(slash - text) : strlen(text);

    if (length >= sizeof top)
        return false;
    snprintf(top, sizeof top, "%.*s", (int)length, text);
    if (!base_parse_real(&numerator, top) ||
        (slash && (!base_parse_real(&denominator, slash + 1) || !(denominator > 0))))
        return false;
    *out = numerator / denominator;
    return isfinite(*out);
}

static base_status one_parse(app_budget *out, const char *text, attack_norm norm,
                             size_t floats, base_error *err)
{
    const double largest = norm == ATTACK_NORM_LINF ? 1
                           : norm == ATTACK_NORM_L2 ? sqrt((double)floats)
                                                    : (double)floats;
    char shown[64];

    base_quote(shown, sizeof shown, text);
    if (strlen(text) >= sizeof out->text || !number_read(&out->eps, text))
        return base_fail(err, BASE_USAGE,
                         "--eps '%s' is no budget, expected numbers as 8/255 or 0.031, "
                         "separated by commas",
                         shown);
    if (out->eps < 0)
        return base_fail(err, BASE_USAGE, "--eps '%s' is below 0", shown);
    if (out->eps > largest && norm == ATTACK_NORM_LINF && out->eps <= 255)
        return base_fail(err, BASE_USAGE,
                         "--eps '%s' is above 1, but pixels are 0 to 1 here: "
                         "did you mean %s/255",
                         shown, shown);
    if (out->eps > largest)
        return base_fail(
            err, BASE_USAGE,
            "--eps '%s' is above %.4g, the largest distance in %s of images of "
            "%zu numbers",
            shown, largest, attack_norm_name(norm), floats);
    snprintf(out->text, sizeof out->text, "%s", text);
    return BASE_OK;
}

base_status app_budgets_parse(app_budget out[APP_BUDGETS_MAX], size_t *count,
                              const char *text, attack_norm norm, size_t floats,
                              base_error *err)
{
    app_budget list[APP_BUDGETS_MAX] = {0};
    char word[64];
    size_t have = 0;

    for (const char *at = text;; at++) {
        const size_t length = strcspn(at, ",");

        if (have == APP_BUDGETS_MAX)
            return base_fail(err, BASE_USAGE, "--eps holds more than %d budgets",
                             (int)APP_BUDGETS_MAX);
        snprintf(word, sizeof word, "%.*s", length < 63 ? (int)length : 63, at);
        char *trimmed = word + strspn(word, " ");
        trimmed[strcspn(trimmed, " ")] = '\0';
        const base_status status = one_parse(&list[have], trimmed, norm, floats, err);
        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < have; i++)
            if (list[i].eps == list[have].eps)
                return base_fail(err, BASE_USAGE, "--eps holds %s twice", list[have].text);
        have++;
        at += length;
        if (*at == '\0')
            break;
    }
    memcpy(out, list, sizeof list);
    *count = have;
    return BASE_OK;
}

const char *app_budget_text(char *out, size_t out_bytes, const app_budget *budget,
                            attack_norm norm)
{
    if (norm != ATTACK_NORM_LINF || budget->eps == 0)
        snprintf(out, out_bytes, "%s", budget->text);
    else if (strchr(budget->text, '/'))
        snprintf(out, out_bytes, "%s (%.4g)", budget->text, budget->eps);
    else
        snprintf(out, out_bytes, "%s (%.4g/255)", budget->text, 255 * budget->eps);
    return out;
}

/* ---- which attacks ------------------------------------------------------------------- */

static bool has_option(const char *name, const char *key)
{
    const base_field *options = attack_options(name);

    return options && base_field_find(options, key);
}

enum { WORD_MAX = 120 }; /* characters of an attack with its options */

/* ",key=value" behind a spec whose attack has the option and whose text does not set it. */
static bool option_append(char *spec, size_t bytes, const char *key, const char *value)
{
    char name[64], set[64];
    const size_t length = strlen(spec), word = strcspn(spec, ":");

    snprintf(name, sizeof name, "%.*s", word < 63 ? (int)word : 63, spec);
    snprintf(set, sizeof set, "%s=", key);
    const char *found = strstr(spec, set);
    if (!has_option(name, key) || (found && (found[-1] == ':' || found[-1] == ',')))
        return false;
    snprintf(spec + length, bytes - length, "%c%s=%s", spec[word] ? ',' : ':', key, value);
    return true;
}

/* Options of the command line into one spec; *used: which of them had a place. */
static void options_put(char *spec, size_t bytes, const attack_args *args, bool used[3])
{
    static const char *const aims[] = {"none", "random", "least", "second", "next"};
    char number[32];

    if (args->steps > 0) {
        snprintf(number, sizeof number, "%lld", (long long)args->steps);
        used[0] = option_append(spec, bytes, "steps", number) || used[0];
    }
    if (args->restarts > 0) {
        snprintf(number, sizeof number, "%lld", (long long)args->restarts);
        used[1] = option_append(spec, bytes, "restarts", number) || used[1];
    }
    if (args->aim > 0)
        used[2] = option_append(spec, bytes, "aim", aims[args->aim]) || used[2];
}

/* A word of --attack: a preset's specs, or itself. */
static const char *spelled_out(const char *word, attack_norm norm, base_error *err,
                               base_status *status)
{
    for (size_t i = 0; attack_preset_name(i); i++) {
        if (strcmp(attack_preset_name(i), word) != 0)
            continue;
        const char *specs = attack_preset(word, norm);
        if (!specs)
            *status =
                base_fail(err, BASE_USAGE, "--attack '%s' holds nothing for --norm %s",
                          word, attack_norm_name(norm));
        return specs;
    }
    return word;
}

/* The end of a word in a list: commas part attacks, but "pgd:steps=40,alpha=0.01" is one: a
 * comma before key=value belongs to the attack. */
static size_t word_length(const char *list)
{
    size_t at = strcspn(list, ", ");

    while (list[at] == ',') {
        const char *next = list + at + 1;
        const size_t length = strcspn(next, ", ");
        const char *equals = memchr(next, '=', length), *colon = memchr(next, ':', length);

        if (!equals || (colon && colon < equals))
            break;
        at += 1 + length;
    }
    return at;
}

base_status app_attack_specs(char out[APP_ATTACK_SPECS], const attack_args *args,
                             base_error *err)
{
    static const char *const names[] = {"steps", "restarts", "targeted"};
    bool used[3] = {args->steps == 0, args->restarts == 0, args->aim == 0};
    const attack_norm norm = (attack_norm)args->norm;
    base_status status = BASE_OK;
    char word[WORD_MAX + 1], spec[192];
    size_t length = 0, count = 0;

    out[0] = '\0';
    for (const char *at = args->attack; *at && status == BASE_OK;) {
        const size_t chars = word_length(at);

        snprintf(word, sizeof word, "%.*s", chars < WORD_MAX ? (int)chars : WORD_MAX, at);
        at += chars;
        at += *at == ',' || *at == ' ';
        if (chars == 0)
            continue;
        if (chars > WORD_MAX)
            return base_fail(err, BASE_USAGE,
                             "--attack '%.40s...' has %zu characters, expected at most %d",
                             word, chars, (int)WORD_MAX);
        const char *specs = spelled_out(word, norm, err, &status);
        while (status == BASE_OK && *specs) {
            const size_t part = strcspn(specs, " ");

            snprintf(spec, sizeof spec, "%.*s", part < WORD_MAX ? (int)part : WORD_MAX,
                     specs);
            specs += part + (specs[part] == ' ');
            options_put(spec, sizeof spec, args, used);
            length += (size_t)snprintf(out + length, APP_ATTACK_SPECS - length, "%s%s",
                                       length ? " " : "", spec);
            if (++count > APP_ATTACKS_MAX || length >= APP_ATTACK_SPECS)
                status = base_fail(err, BASE_USAGE, "--attack holds more than %d attacks",
                                   (int)APP_ATTACKS_MAX);
        }
    }
    if (status == BASE_OK && count == 0)
        status = base_fail(err, BASE_USAGE, "--attack '%s' names no attack", args->attack);
    for (size_t i = 0; i < 3 && status == BASE_OK; i++)
        if (!used[i])
            status = base_fail(err, BASE_USAGE, "--%s means nothing to the attacks '%s'",
                               names[i], args->attack);
    return status;
}

void app_attack_protocol(attack_args *args)
{
    static const char protocol[] = "acmoe-pgd20";

    for (const char *at = args->attack; *at; at += word_length(at), at += *at != '\0')
        if (word_length(at) == sizeof protocol - 1 &&
            memcmp(at, protocol, sizeof protocol - 1) == 0) {
            args->space = 1;
            args->labels = 1;
        }
}

/* ---- the search for other experts ---------------------------------------------------- */

/* Whether a spec is of the attack 'router'. */
static bool is_router(const char *spec)
{
    const size_t length = strcspn(spec, ": ");

    return length == strlen("router") && memcmp(spec, "router", length) == 0;
}

base_status app_attack_router_take(app_attack *a, base_error *err)
{
    char *out = a->specs, *at = a->specs;
    size_t found = 0;

    while (*at) {
        const size_t length = strcspn(at, " ");
        char *next = at + length + (at[length] == ' ');

        if (is_router(at)) {
            found++;
            snprintf(a->router.spec, sizeof a->router.spec, "%.*s",
                     length < sizeof a->router.spec ? (int)length : 0, at);
        } else {
            if (out != a->specs)
                *out++ = ' ';
            memmove(out, at, length);
            out += length;
        }
        at = next;
    }
    *out = '\0';
    if (found > 1)
        return base_fail(err, BASE_USAGE, "--attack names 'router' %zu times", found);
    if (found > 0 && a->specs[0] == '\0')
        return base_fail(
            err, BASE_USAGE,
            "--attack 'router' looks for other experts, not for mistakes: name "
            "an attack beside it, as in --attack pgd,router");
    return BASE_OK;
}

base_status app_attack_router_check(const app_attack *a, base_error *err)
{
    char text[256];
    const vit_moe_config *moe = &a->network.config->moe;

    if (!a->router.spec[0])
        return BASE_OK;
    base_quote(text, sizeof text, a->network.path);
    if (!vit_config_is_sparse(a->network.config))
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other experts, '%s' is dense", text);
    if (moe->k >= moe->experts)
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other experts, '%s' uses all %d",
                         text, moe->experts);
    if (!vit_router_replays(&moe->router))
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other sets of k experts, the router "
                         "'%s' gives a token any number",
                         moe->router.name);
    if (a->args->fixed_routing)
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other experts, --fixed-routing "
                         "holds them");
    return BASE_OK;
}

/* ---- vmoe attack --list -------------------------------------------------------------- */

static void option_print(const base_field *o, const attack_settings *defaults)
{
    char initial[64], help[512];

    printf("    %-10s %-8s ", o->name,
           base_field_text(initial, sizeof initial, defaults, o));
    snprintf(help, sizeof help, "%s%s%s%s", o->help, o->choices ? " (" : "",
             o->choices ? o->choices : "", o->choices ? ")" : "");
    app_print_wrapped(help, 24);
}

void app_attack_list(void)
{
    static const attack_norm norms[] = {ATTACK_NORM_LINF, ATTACK_NORM_L2, ATTACK_NORM_L1};

    printf("attacks, with their options and defaults: NAME or NAME:key=value,...\n");
    for (size_t i = 0; attack_name(i); i++) {
        const char *name = attack_name(i);

        printf("\n%s (", name);
        for (size_t n = 0, shown = 0; n < 3; n++)
            if (attack_knows_norm(name, norms[n]))
                printf("%s%s", shown++ ? ", " : "", attack_norm_name(norms[n]));
        printf("): %s\n", attack_summary(name));
        for (const base_field *o = attack_options(name); o && o->name; o++)
            option_print(o, attack_defaults(name));
    }
    printf("\npresets\n");
    for (size_t i = 0; attack_preset_name(i); i++) {
        const char *last = NULL;

        for (size_t n = 0; n < 3; n++) {
            const char *specs = attack_preset(attack_preset_name(i), norms[n]);

            if (specs && (!last || strcmp(specs, last) != 0))
                printf("  %-14s %-5s %s\n", attack_preset_name(i),
                       attack_norm_name(norms[n]), specs);
            last = specs ? specs : last;
        }
    }
}
