/* routers.c - the table of routers and their options as text.
 * A new router is one file in routers/ and one line in the table here; its options are then
 * known to recipes, --help, checkpoints and checks. Relied on elsewhere: the order (of
 * --help) and the texts of refusals, which name the key, what was found and what was
 * expected. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "vit/routers/router_pass_internal.h"

static const vit_router *const routers[] = {
    &vit_router_softmax,         &vit_router_vmoe,
    &vit_router_sinkhorn,        &vit_router_ssr,
    &vit_router_momentum,        &vit_router_adam,
    &vit_router_robust_momentum, &vit_router_sinkhorn_ot,
    &vit_router_usmoe,           &vit_router_expert_choice,
    &vit_router_similarity,      &vit_router_attention,
    &vit_router_s2moe,           &vit_router_xmoe,
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

bool vit_router_replays(const char *name)
{
    const vit_router *router = vit_router_find(name);

    return router && router->replays;
}

const vit_router_option *vit_router_options(const char *name)
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
    for (size_t i = 0; router->options[i].name; i++)
        fresh.option[i] = router->options[i].initial;
    *config = fresh;
    return BASE_OK;
}

/* Place of an option in the list, SIZE_MAX if it is not there. */
static size_t option_index(const vit_router_option *options, const char *key)
{
    for (size_t i = 0; options[i].name; i++)
        if (strcmp(options[i].name, key) == 0)
            return i;
    return SIZE_MAX;
}

/* The i-th word of "linear|softmax" into out; false past the end. */
static bool choice_word(char out[WORD_BYTES], const char *choices, size_t i)
{
    for (; i > 0; i--) {
        choices = strchr(choices, '|');
        if (!choices)
            return false;
        choices++;
    }
    snprintf(out, WORD_BYTES, "%.*s", (int)strcspn(choices, "|"), choices);
    return true;
}

static base_status choice_set(double *value, const char *key, const char *choices,
                              const char *text, base_error *err)
{
    char word[WORD_BYTES], quoted[WORD_BYTES], known[256] = "";

    for (size_t i = 0; choice_word(word, choices, i); i++) {
        if (strcmp(word, text) == 0) {
            *value = (double)i;
            return BASE_OK;
        }
        const size_t at = strlen(known);
        snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", word);
    }
    return base_fail(err, BASE_USAGE, "router.%s '%s' is not one of %s", key,
                     base_quote(quoted, sizeof quoted, text), known);
}

/* Whether value may stand in this option: in its range; NaN only where the default is NaN.
 */
static bool is_allowed(const vit_router_option *option, double value)
{
    if (isnan(value))
        return isnan(option->initial);
    if (option->choices) {
        char word[WORD_BYTES];
        return value >= 0.0 && value < WORD_BYTES && value == floor(value) &&
               choice_word(word, option->choices, (size_t)value);
    }
    return value >= option->low && value <= option->high &&
           (!option->integer || value == floor(value));
}

/* 'router.p "2" is not a number from 0 to 1', for a text that was refused. */
static base_status number_refused(const vit_router_option *option, const char *text,
                                  base_error *err)
{
    char quoted[WORD_BYTES];

    return base_fail(err, BASE_USAGE, "router.%s '%s' is not a %snumber from %g to %g%s",
                     option->name, base_quote(quoted, sizeof quoted, text),
                     option->integer ? "whole " : "", option->low, option->high,
                     isnan(option->initial) ? " or auto" : "");
}

static base_status option_unknown(const vit_router *router, const char *key,
                                  base_error *err)
{
    const vit_router_option *options = router->options, *nearest = options;
    char quoted[WORD_BYTES];

    if (!options->name)
        return base_fail(err, BASE_USAGE, "router '%s' has no option '%s', it has none",
                         router->name, base_quote(quoted, sizeof quoted, key));
    for (const vit_router_option *o = options; o->name; o++)
        if (base_edit_distance(key, o->name) < base_edit_distance(key, nearest->name))
            nearest = o;
    return base_fail(err, BASE_USAGE, "router '%s' has no option '%s', did you mean '%s'",
                     router->name, base_quote(quoted, sizeof quoted, key), nearest->name);
}

base_status vit_router_set(vit_router_config *config, const char *key, const char *text,
                           base_error *err)
{
    const vit_router *router = vit_router_find(config->name);
    double value;

    if (!router) {
        char quoted[WORD_BYTES];
        return base_fail(err, BASE_USAGE, "no router is named '%s'",
                         base_quote(quoted, sizeof quoted, config->name));
    }
    const size_t i = option_index(router->options, key);
    if (i == SIZE_MAX)
        return option_unknown(router, key, err);
    const vit_router_option *option = &router->options[i];
    if (option->choices)
        return choice_set(&config->option[i], key, option->choices, text, err);
    if (isnan(option->initial) && strcmp(text, "auto") == 0)
        value = NAN;
    else if (!base_parse_real(&value, text) || !is_allowed(option, value))
        return number_refused(option, text, err);
    config->option[i] = value;
    return BASE_OK;
}

const char *vit_router_get(const vit_router_config *config, const char *key, char *out,
                           size_t out_bytes)
{
    const vit_router_option *options = vit_router_options(config->name);
    const size_t i = options ? option_index(options, key) : SIZE_MAX;
    char word[WORD_BYTES] = "";

    if (i != SIZE_MAX && options[i].choices) {
        if (is_allowed(&options[i], config->option[i]))
            choice_word(word, options[i].choices, (size_t)config->option[i]);
    } else if (i != SIZE_MAX && isnan(config->option[i])) {
        snprintf(word, sizeof word, "auto");
    } else if (i != SIZE_MAX) {
        base_real_text(word, sizeof word, config->option[i]);
    }
    snprintf(out, out_bytes, "%s", word);
    return out;
}

double vit_router_option_value(const vit_router_config *config, const char *name)
{
    const vit_router_option *options = vit_router_options(config->name);
    const size_t i = options ? option_index(options, name) : SIZE_MAX;

    assert(i != SIZE_MAX);
    return config->option[i];
}

base_status vit_route_check(const vit_config *config, base_error *err)
{
    const vit_moe_config *moe = &config->moe;
    const vit_router_option *options = vit_router_options(moe->router.name);

    if (moe->experts < 1 || moe->experts > VIT_EXPERTS_MAX)
        return base_fail(err, BASE_USAGE, "'router.experts' is %d, expected 1 to %d",
                         moe->experts, (int)VIT_EXPERTS_MAX);
    if (moe->k < 1 || moe->k > moe->experts)
        return base_fail(err, BASE_USAGE,
                         "'router.k' is %d, expected 1 to the number of experts (%d)",
                         moe->k, moe->experts);
    for (size_t i = 0; options[i].name; i++) {
        if (is_allowed(&options[i], moe->router.option[i]))
            continue;
        char text[WORD_BYTES];
        snprintf(text, sizeof text, "%g", moe->router.option[i]);
        if (!options[i].choices)
            return number_refused(&options[i], text, err);
        return base_fail(err, BASE_USAGE, "router.%s '%s' is not the number of one of %s",
                         options[i].name, text, options[i].choices);
    }
    return BASE_OK;
}
