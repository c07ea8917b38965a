/* list.c - attacks as people write them, "standard,pgd:steps=40", to the specs that runs
 * take. Relied on elsewhere: the texts of refusals. */
#include <stdio.h>
#include <string.h>

#include "attacks/attacks.h"

enum { WORD_MAX = 120 }; /* characters of an attack with its options */

/* ",key=value" behind a spec whose attack has the option and whose text does not set it. */
static bool option_append(char *spec, size_t bytes, const char *key, const char *value)
{
    char name[64], set[64];
    const size_t length = strlen(spec), word = strcspn(spec, ":");

    snprintf(name, sizeof name, "%.*s", word < 63 ? (int)word : 63, spec);
    snprintf(set, sizeof set, "%s=", key);
    const base_field *options = attack_options(name);
    const char *found = strstr(spec, set);
    if (!options || !base_field_find(options, key) ||
        (found && (found[-1] == ':' || found[-1] == ',')))
        return false;
    snprintf(spec + length, bytes - length, "%c%s=%s", spec[word] ? ',' : ':', key, value);
    return true;
}

/* A word of a list: a preset's specs, or itself. */
static const char *spelled_out(const char *word, const char *what, attack_norm norm,
                               base_error *err, base_status *status)
{
    for (size_t i = 0; attack_preset_name(i); i++) {
        if (strcmp(attack_preset_name(i), word) != 0)
            continue;
        const char *specs = attack_preset(word, norm);
        if (!specs)
            *status = base_fail(err, BASE_USAGE, "%s '%s' holds nothing for --norm %s",
                                what, word, attack_norm_name(norm));
        return specs;
    }
    return word;
}

size_t attack_word_length(const char *list)
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

base_status attack_specs_spell(char *out, size_t out_bytes, const char *what,
                               const char *list, attack_norm norm, const attack_set *sets,
                               base_error *err)
{
    bool used[ATTACK_SETS_MAX] = {false};
    base_status status = BASE_OK;
    char word[WORD_MAX + 1], spec[192];
    size_t length = 0, count = 0;

    out[0] = '\0';
    for (const char *at = list; *at && status == BASE_OK;) {
        const size_t chars = attack_word_length(at);

        snprintf(word, sizeof word, "%.*s", chars < WORD_MAX ? (int)chars : WORD_MAX, at);
        at += chars;
        at += *at == ',' || *at == ' ';
        if (chars == 0)
            continue;
        if (chars > WORD_MAX)
            return base_fail(err, BASE_USAGE,
                             "%s '%.40s...' has %zu characters, expected at most %d", what,
                             word, chars, (int)WORD_MAX);
        const char *specs = spelled_out(word, what, norm, err, &status);
        while (status == BASE_OK && *specs) {
            const size_t part = strcspn(specs, " ");

            snprintf(spec, sizeof spec, "%.*s", part < WORD_MAX ? (int)part : WORD_MAX,
                     specs);
            specs += part + (specs[part] == ' ');
            for (size_t i = 0; sets[i].key; i++)
                if (sets[i].value)
                    used[i] =
                        option_append(spec, sizeof spec, sets[i].key, sets[i].value) ||
                        used[i];
            length += (size_t)snprintf(out + length, out_bytes - length, "%s%s",
                                       length ? " " : "", spec);
            if (++count > ATTACK_SEARCH_MAX || length >= out_bytes)
                status = base_fail(err, BASE_USAGE, "%s holds more than %d attacks", what,
                                   (int)ATTACK_SEARCH_MAX);
        }
    }
    if (status == BASE_OK && count == 0)
        status = base_fail(err, BASE_USAGE, "%s '%s' names no attack", what, list);
    for (size_t i = 0; sets[i].key && status == BASE_OK; i++)
        if (sets[i].value && !used[i])
            status = base_fail(err, BASE_USAGE, "--%s means nothing to the attacks '%s'",
                               sets[i].option, list);
    return status;
}
