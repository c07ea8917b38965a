/* specs.c - attacks as people write them, "standard,pgd:steps=40", lists of them; and the
 * list of all attacks. Relied on elsewhere: the texts of refusals. */
#include <string.h>

#include "apps/attack/internal.h"

base_status app_attack_specs(char out[APP_ATTACK_SPECS], const attack_args *args,
                             base_error *err)
{
    static const char *const aims[] = {"none", "random", "least", "second", "next"};
    const attack_set sets[] = {
        {"steps", args->steps > 0 ? app_text("%lld", (long long)args->steps) : NULL,
         "steps"},
        {"restarts",
         args->restarts > 0 ? app_text("%lld", (long long)args->restarts) : NULL,
         "restarts"},
        {"aim", args->aim > 0 ? aims[args->aim] : NULL, "targeted"},
        {0}};

    return attack_specs_spell(out, APP_ATTACK_SPECS, "--attack", args->attack,
                              (attack_norm)args->norm, sets, err);
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
    char others[APP_ATTACK_SPECS] = "";
    size_t found = 0, used = 0, length;

    for (const char *at = a->specs; *at; at += length + (at[length] == ' ')) {
        length = strcspn(at, " ");
        if (!is_router(at)) {
            used += (size_t)snprintf(others + used, sizeof others - used, "%s%.*s",
                                     used > 0 ? " " : "", (int)length, at);
            continue;
        }
        found++;
        snprintf(a->router.spec, sizeof a->router.spec, "%.*s", (int)length, at);
    }
    memcpy(a->specs, others, sizeof others);
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
