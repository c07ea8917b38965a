/* specs.c - which attacks there are, what their options mean in text, and the presets. Free
 * to change: the presets' order in the table. Relied on elsewhere: an attack's name keys
 * its random draws, so names never change; "NAME:key=value,..." is what reports quote. */
#include "attacks/attacks_internal.h"

#include <string.h>

static const attack_method *const methods[] = {
    &attack_method_noise,      &attack_method_fgsm,        &attack_method_pgd,
    &attack_method_mi_fgsm,    &attack_method_apgd_ce,     &attack_method_apgd_dlr,
    &attack_method_apgd_t,     &attack_method_fab,         &attack_method_fab_t,
    &attack_method_square,     &attack_method_spsa,        &attack_method_cw,
    &attack_method_apgd_l1_ce, &attack_method_apgd_l1_dlr, &attack_method_apgd_l1_t,
    &attack_method_router,
};

static const size_t method_count = sizeof methods / sizeof *methods;

/* Ensembles by norm, attacks.md 7.1 and 8. NULL: nothing for that norm. */
typedef struct preset {
    const char *name, *linf, *l2, *l1;
} preset;

/* AutoAttack, Croce and Hein 2020; in L1 without Square, whose L1 form is not here */
#define AUTOATTACK "apgd-ce apgd-t fab-t square"
#define AUTOATTACK_L1 "apgd-ce:restarts=5 apgd-t:targets=5 fab-t"

static const preset presets[] = {
    {"quick", "noise fgsm pgd apgd-ce:steps=50", "noise fgsm pgd apgd-ce:steps=50",
     "noise pgd apgd-ce:steps=50"},
    {"standard", AUTOATTACK, AUTOATTACK, AUTOATTACK_L1},
    {"autoattack", AUTOATTACK, AUTOATTACK, AUTOATTACK_L1}, /* another word for it */
    {"plus", "apgd-ce:restarts=5 apgd-dlr:restarts=5 fab:restarts=5 square apgd-t fab-t",
     "apgd-ce:restarts=5 apgd-dlr:restarts=5 fab:restarts=5 square apgd-t fab-t",
     "apgd-ce:restarts=5 apgd-dlr:restarts=5 fab:restarts=5 apgd-t fab-t"},
    {"rand", "apgd-ce:eot=20 apgd-dlr:eot=20", "apgd-ce:eot=20 apgd-dlr:eot=20",
     "apgd-ce:eot=20 apgd-dlr:eot=20"},
    /* Puigcerver et al. 2022 (arXiv 2210.10253): their ball holds by the step alone */
    {"vmoe-pgd40", "pgd:steps=40,relative=1,start=none", NULL, NULL},
    {"cnn-moe-pgd20", "pgd:steps=20,alpha=2/255", NULL, NULL},
    /* ACMoE's code: 20 steps of 0.15 eps, on normalised numbers without limits, against the
     * network's own answers; whoever takes it sets these two (attacks.md 8, S5) */
    {"acmoe-pgd20", "pgd:steps=20,relative=3,start=none", NULL, NULL},
};

static const size_t preset_count = sizeof presets / sizeof *presets;

const attack_method *attack_method_find(const char *name)
{
    for (size_t i = 0; i < method_count; i++)
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
    return NULL;
}

const char *attack_name(size_t i)
{
    return i < method_count ? methods[i]->name : NULL;
}

const char *attack_summary(const char *name)
{
    const attack_method *method = attack_method_find(name);

    return method ? method->summary : NULL;
}

const base_field *attack_options(const char *name)
{
    const attack_method *method = attack_method_find(name);

    return method ? method->options : NULL;
}

const attack_settings *attack_defaults(const char *name)
{
    const attack_method *method = attack_method_find(name);

    return method ? method->defaults : NULL;
}

bool attack_knows_norm(const char *name, attack_norm norm)
{
    const attack_method *method = attack_method_find(name);

    return method &&
           ((method->norms >> norm & 1u) || (norm == ATTACK_NORM_L1 && method->in_l1));
}

const char *attack_preset_name(size_t i)
{
    return i < preset_count ? presets[i].name : NULL;
}

const char *attack_preset(const char *name, attack_norm norm)
{
    for (size_t i = 0; i < preset_count; i++) {
        if (strcmp(presets[i].name, name) == 0)
            return norm == ATTACK_NORM_LINF ? presets[i].linf
                   : norm == ATTACK_NORM_L2 ? presets[i].l2
                                            : presets[i].l1;
    }
    return NULL;
}

static base_status set_option(attack_spec *spec, const char *key, const char *text,
                              base_error *err)
{
    const base_field *options = spec->method->options,
                     *option = base_field_find(options, key);
    const char *attack = spec->method->name;
    char expected[128];

    if (!option) /* every attack has options */
        return base_fail(err, BASE_USAGE,
                         "attack '%s' has no option '%s'; the nearest is '%s'", attack, key,
                         base_field_nearest(options, key)->name);
    if (base_field_set(&spec->settings, option, text))
        return BASE_OK;
    return base_fail(err, BASE_USAGE, "attack '%s': '%s' is '%s', expected %s", attack, key,
                     text, base_field_expected(expected, sizeof expected, option));
}

static base_status unknown_attack(const char *name, base_error *err)
{
    const char *nearest = methods[0]->name;
    size_t fewest = SIZE_MAX;

    for (size_t i = 0; i < method_count + preset_count; i++) {
        const char *known =
            i < method_count ? methods[i]->name : presets[i - method_count].name;
        const size_t edits = base_edit_distance(known, name);
        if (edits < fewest) {
            fewest = edits;
            nearest = known;
        }
    }
    return base_fail(err, BASE_USAGE,
                     "no attack or preset is called '%s'; the nearest is '%s'", name,
                     nearest);
}

/* Whether the attack may be used in a norm, in words. */
static base_status check_norm(const attack_method *method, attack_norm norm,
                              base_error *err)
{
    char known[32] = "";
    size_t used = 0;

    if (method->norms >> norm & 1u)
        return BASE_OK;
    for (int i = ATTACK_NORM_LINF; i <= ATTACK_NORM_L1; i++)
        if (method->norms >> i & 1u)
            used +=
                (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                 used > 0 ? ", " : "", attack_norm_name((attack_norm)i));
    return base_fail(err, BASE_USAGE, "attack '%s' works in %s, not in %s", method->name,
                     known, attack_norm_name(norm));
}

base_status attack_spec_parse(attack_spec *out, const char *text, attack_norm norm,
                              base_error *err)
{
    attack_spec spec = {0};
    char copy[sizeof spec.text];

    if (strlen(text) >= sizeof copy)
        return base_fail(err, BASE_USAGE, "attack '%.40s...' is longer than %zu characters",
                         text, sizeof copy - 1);
    memcpy(spec.text, text, strlen(text) + 1);
    memcpy(copy, text, strlen(text) + 1);
    char *at = strchr(copy, ':');
    if (at)
        *at++ = 0;
    spec.method = attack_method_find(copy);
    if (!spec.method)
        return unknown_attack(copy, err);
    if (norm == ATTACK_NORM_L1 && spec.method->in_l1)
        spec.method = spec.method->in_l1;
    base_status status = check_norm(spec.method, norm, err);
    spec.settings = *spec.method->defaults;
    while (status == BASE_OK && at) {
        char *comma = strchr(at, ',');
        if (comma)
            *comma++ = 0;
        char *equals = strchr(at, '=');
        if (!equals)
            return base_fail(err, BASE_USAGE,
                             "attack '%s': '%s' is not of the form key=value", copy, at);
        *equals = 0;
        status = set_option(&spec, at, equals + 1, err);
        at = comma;
    }
    if (status == BASE_OK)
        *out = spec;
    return status;
}
