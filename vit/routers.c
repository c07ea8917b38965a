/* routers.c - the table of routers and their options as text.
 * A new router is one file in routers/ and one line in the table here; its options are then
 * known to recipes, --help, checkpoints and checks. Relied on elsewhere: the order (of
 * --help) and the texts of refusals, which name the key, what was found and what was
 * expected. */
#include <assert.h>
#include <string.h>

#include "vit/routers/router_pass_internal.h"

static const vit_router *const routers[] = {
    &vit_router_softmax,
    &vit_router_vmoe,
    &vit_router_sinkhorn,
    &vit_router_ssr,
    &vit_router_momentum,
    &vit_router_adam,
    &vit_router_robust_momentum,
    &vit_router_sinkhorn_ot,
    &vit_router_usmoe,
    &vit_router_expert_choice,
    &vit_router_similarity,
    &vit_router_attention,
    &vit_router_s2moe,
    &vit_router_xmoe,
    &vit_router_loss_free,
    &vit_router_quantile,
    &vit_router_random,
    &vit_router_hash,
    &vit_router_soft,
    &vit_router_acmoe,
};
enum { ROUTER_COUNT = sizeof routers / sizeof routers[0], WORD_BYTES = 64 };

const vit_router *vit_router_find(const char *name)
{
    for (size_t i = 0; i < ROUTER_COUNT; i++)
        if (strcmp(routers[i]->name, name) == 0)
            return routers[i];
    return NULL;
}

const char *vit_router_name(size_t i)
{
    return i < ROUTER_COUNT ? routers[i]->name : NULL;
}

const char *vit_router_summary(const char *name)
{
    const vit_router *router = vit_router_find(name);

    return router ? router->summary : NULL;
}

bool vit_router_replays(const vit_router_config *config)
{
    const vit_router *router = vit_router_find(config->name);

    return router && router->replays &&
           !(router->pairs_freely && router->pairs_freely(config));
}

double vit_router_sinkhorn_steps(const vit_router_config *config, uint64_t run_steps)
{
    const vit_router *router = vit_router_find(config->name);

    return router && router->sinkhorn_share
               ? router->sinkhorn_share(config, run_steps) * (double)run_steps
               : 0.0;
}

const char *vit_router_caution(const vit_router_config *config)
{
    const vit_router *router = vit_router_find(config->name);

    return router && router->caution ? router->caution(config) : NULL;
}

bool vit_router_uses_k(const char *name)
{
    const vit_router *router = vit_router_find(name);

    return router && !router->without_k;
}

const base_field *vit_router_options(const char *name)
{
    const vit_router *router = vit_router_find(name);

    return router ? router->options : NULL;
}

base_status vit_router_select(vit_router_config *config, const char *name, base_error *err)
{
    const vit_router *router = vit_router_find(name);
    vit_router_config fresh = {0};

    if (!router) {
        char quoted[WORD_BYTES], known[256] = "";
        for (size_t i = 0; i < ROUTER_COUNT; i++) {
            const size_t at = strlen(known);
            snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "",
                     routers[i]->name);
        }
        return base_fail(err, BASE_USAGE, "router.name '%s' is not one of %s",
                         base_quote(quoted, sizeof quoted, name), known);
    }
    snprintf(fresh.name, sizeof fresh.name, "%s", router->name);
    assert(router->option_bytes <= sizeof fresh.settings);
    memcpy(fresh.settings, router->defaults, router->option_bytes);
    *config = fresh;
    return BASE_OK;
}

static base_status option_unknown(const vit_router *router, const char *key,
                                  base_error *err)
{
    const base_field *nearest = base_field_nearest(router->options, key);
    char quoted[WORD_BYTES];

    return base_fail(err, BASE_USAGE, "router '%s' has no option '%s', %s%s%s",
                     router->name, base_quote(quoted, sizeof quoted, key),
                     nearest ? "did you mean '" : "it has none",
                     nearest ? nearest->name : "", nearest ? "'" : "");
}

/* "router.p '2' is not a number from 0 to 1". */
static base_status refused(const base_field *option, const char *text, base_error *err)
{
    char quoted[WORD_BYTES], expected[256];

    return base_fail(err, BASE_USAGE, "router.%s '%s' is not %s", option->name,
                     base_quote(quoted, sizeof quoted, text),
                     base_field_expected(expected, sizeof expected, option));
}

/* The option of that name; otherwise NULL, and err says why. */
static const base_field *option_find(const vit_router_config *config, const char *key,
                                     base_error *err)
{
    const vit_router *router = vit_router_find(config->name);
    const base_field *option = router ? base_field_find(router->options, key) : NULL;
    char quoted[WORD_BYTES];

    if (!router)
        base_fail(err, BASE_USAGE, "no router is named '%s'",
                  base_quote(quoted, sizeof quoted, config->name));
    else if (!option)
        option_unknown(router, key, err);
    return option;
}

base_status vit_router_set(vit_router_config *config, const char *key, const char *text,
                           base_error *err)
{
    const base_field *option = option_find(config, key, err);

    if (!option)
        return BASE_USAGE;
    return base_field_set(config->settings, option, text) ? BASE_OK
                                                          : refused(option, text, err);
}

base_status vit_router_put(vit_router_config *config, const char *key, base_value value,
                           base_error *err)
{
    const base_field *option = option_find(config, key, err);
    char text[WORD_BYTES];

    if (!option)
        return BASE_USAGE;
    return base_field_put(config->settings, option, value)
               ? BASE_OK
               : refused(option, base_value_text(text, sizeof text, value), err);
}

const char *vit_router_get(const vit_router_config *config, const char *key, char *out,
                           size_t out_bytes)
{
    const base_field *option = option_find(config, key, NULL);

    if (option)
        return base_field_text(out, out_bytes, config->settings, option);
    snprintf(out, out_bytes, "%s", "");
    return out;
}

base_status vit_route_check(const vit_config *config, base_error *err)
{
    const vit_moe_config *moe = &config->moe;
    const base_field *options = vit_router_options(moe->router.name);

    if (moe->experts < 1 || moe->experts > VIT_EXPERTS_MAX)
        return base_fail(err, BASE_USAGE, "'router.experts' is %d, expected 1 to %d",
                         moe->experts, (int)VIT_EXPERTS_MAX);
    if (moe->k < 1 || moe->k > moe->experts)
        return base_fail(err, BASE_USAGE,
                         "'router.k' is %d, expected 1 to the number of experts (%d)",
                         moe->k, moe->experts);
    for (const base_field *f = options; f->name; f++)
        if (!base_field_good(moe->router.settings, f)) {
            char text[WORD_BYTES];
            return refused(f, base_field_text(text, sizeof text, moe->router.settings, f),
                           err);
        }
    return BASE_OK;
}
