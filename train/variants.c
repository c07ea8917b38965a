/* variants.c - one recipe with several routers: words, presets and grids as variants with
 * labels. Relied on elsewhere: labels are names of folders, so that the same words find the
 * same runs. */
#include <ctype.h>
#include <string.h>

#include "train/train_internal.h"

/* ---- words --------------------------------------------------------------------------- */

/* Characters of text up to the next mark that is not followed by a digit. */
static size_t part_length(const char *text, char mark)
{
    size_t at = 0;

    while (text[at] && (text[at] != mark || isdigit((unsigned char)text[at + 1])))
        at++;
    return at;
}

/* Makes a name of a folder from a label or from an entry's own words. */
static void label_make(char out[TRAIN_LABEL_BYTES], const char *words)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789-_=+.";
    size_t length = 0;

    for (; words[length] && length + 1 < TRAIN_LABEL_BYTES; length++)
        out[length] = strchr(safe, words[length]) ? words[length] : '-';
    out[length] = '\0';
}

static bool has_label(const train_variants *variants, const char *label)
{
    for (size_t i = 0; i < variants->count; i++)
        if (strcmp(variants->variant[i].label, label) == 0)
            return true;
    return false;
}

static base_status label_check(const train_variants *variants, const char *label,
                               const char *words, base_error *err)
{
    char shown[160];

    base_quote(shown, sizeof shown, words);
    if (strlen(words) >= TRAIN_LABEL_BYTES)
        return base_fail(err, BASE_USAGE,
                         "'%s' is too long for a label, put a short one in front: "
                         "label=%s",
                         shown, shown);
    if (!isalpha((unsigned char)label[0]))
        return base_fail(err, BASE_USAGE,
                         "the label '%s' does not begin with a letter, expected "
                         "[label=]router[:key=value ...]",
                         shown);
    if (has_label(variants, label))
        return base_fail(err, BASE_USAGE,
                         "'%s' is there twice, tell them apart: label=router:key=value",
                         label);
    return BASE_OK;
}

static base_status setting_add(train_variant *variant, const char *text, size_t length,
                               base_error *err)
{
    char shown[160], word[TRAIN_SETTING_BYTES];

    snprintf(word, sizeof word, "%.*s", (int)length, text);
    base_quote(shown, sizeof shown, word);
    const char *equals = strchr(word, '=');
    if (!equals || equals == word || length + 8 > sizeof word)
        return base_fail(err, BASE_USAGE,
                         "'%s' of the router '%s' is not of the form key=value", shown,
                         variant->router);
    if (strncmp(word, "name=", 5) == 0)
        return base_fail(err, BASE_USAGE, "'%s' is no setting of a router", shown);
    if (variant->settings == TRAIN_SETTINGS_MAX)
        return base_fail(err, BASE_USAGE, "the router '%s' has more than %d settings",
                         variant->router, (int)TRAIN_SETTINGS_MAX);
    snprintf(variant->setting[variant->settings++], TRAIN_SETTING_BYTES, "router.%.88s",
             word);
    return BASE_OK;
}

/* One word: [label=]router[:key=value ...]. */
static base_status variant_parse(train_variant *out, const char *what, char *words,
                                 base_error *err)
{
    vit_router_config router;
    const char *at = words;
    const size_t head = part_length(at, ':');
    size_t begin = head; /* of the router's name: behind the label, which may hold a '=' */
    char router_name[64];

    while (begin > 0 && at[begin - 1] != '=')
        begin--;
    const char *name = at + begin;
    const size_t name_length = head - begin;
    *out = (train_variant){0};
    if (begin > 0)
        words[begin - 1] = '\0'; /* the label alone */
    snprintf(router_name, sizeof router_name, "%.*s",
             name_length < 63 ? (int)name_length : 63, name);
    const base_status status = vit_router_select(&router, router_name, err);
    if (status != BASE_OK) {
        base_error_prepend(err, "%s: ", what);
        return status;
    }
    snprintf(out->router, sizeof out->router, "%s", router.name);
    for (const char *rest = words + head; *rest;) {
        rest++; /* the colon */
        const size_t length = part_length(rest, ':');
        const base_status set = setting_add(out, rest, length, err);
        if (set != BASE_OK)
            return set;
        rest += length;
    }
    label_make(out->label, words);
    return BASE_OK;
}

static base_status variant_put(train_variants *variants, const char *what,
                               const train_variant *variant, base_error *err)
{
    if (variants->count == TRAIN_VARIANTS_MAX)
        return base_fail(err, BASE_USAGE, "%s makes more than %d routers", what,
                         (int)TRAIN_VARIANTS_MAX);
    variants->variant[variants->count++] = *variant;
    return BASE_OK;
}

base_status train_variants_add(train_variants *variants, const char *what, const char *list,
                               base_error *err)
{
    enum { WORD_MAX = 1024 };
    base_status status = BASE_OK;
    char words[WORD_MAX + 1];
    train_variant variant;

    for (const char *at = list; *at && status == BASE_OK;) {
        const size_t length = part_length(at, ',');
        if (length > WORD_MAX)
            return base_fail(err, BASE_USAGE, "%s '%.40s...' is too long a word", what, at);
        snprintf(words, sizeof words, "%.*s", (int)length, at);
        if (length > 0)
            status = variant_parse(&variant, what, words, err);
        if (length > 0 && status == BASE_OK)
            status = label_check(variants, variant.label, words, err);
        if (length > 0 && status == BASE_OK)
            status = variant_put(variants, what, &variant, err);
        at += length + (at[length] == ',');
    }
    return status;
}

/* ---- presets ------------------------------------------------------------------------- */

/* routing.md 14.5, one thing at a time. What only matters on Sinkhorn steps is varied where
 * these are one in ten: at the default of one in a thousand a short training has hardly
 * any. */
static const char ssr_ablation[] =
    "ssr,ssr:p=0,ssr:p=0.01,ssr:p=0.1,ssr:p=1,ssr:noise=0,ssr:noise=1,"
    "ssr:p=0.1:xi=0.5,ssr-s=ssr:p=0.1:cost=softmax,ssr-s-xi=1=ssr:p=0.1:cost=softmax:xi=1,"
    "ssr:p=0.1:gradient=frozen,ssr:p=0.1:gradient=none,"
    "ssr-scope=group=ssr:p=0.1:scope=group:group_images=8";

/* V-MoE as its authors trained it: capacity 1.05, 4 in evaluation; then with batch priority
 * (routing.md 2). */
static const char vmoe_rows[] =
    "vmoe-capacity=vmoe:capacity=1.05:eval_capacity=4,"
    "vmoe-bpr=vmoe:capacity=1.05:eval_capacity=4:bpr=true:eval_bpr=true";

/* Balancing, its absence and its controls side by side. Steps are Sinkhorn steps of a layer
 * in the run. */
static const char balancers[] =
    "softmax-0=softmax:balance=0,softmax,loss-free,quantile,sinkhorn,"
    "ssr-l-80=ssr:steps=80,ssr-l-800=ssr:steps=800,"
    "ssr-s-80=ssr:cost=softmax:steps=80,ssr-s-800=ssr:cost=softmax:steps=800,ssr-0=ssr:p=0,"
    "vmoe,expert-choice,soft,random,hash";

/* In the order of TRAIN_VARIANT_PRESETS: words, and every combination of a grid with them.
 * "all" is made of the routers there are. */
enum { PRESET_ALL = 1, PRESET_GRID = 4 };
static const char *const presets[] = {NULL, NULL, ssr_ablation, balancers, "ssr"};
static const char *const ssr_grid[] = {"cost=linear,softmax", "noise=0.1,1,4",
                                       "steps=80,800"};

/* Every router there is, dropless; V-MoE with its capacities too (routing.md 14.3). */
static base_status preset_all(train_variants *out, base_error *err)
{
    base_status status = BASE_OK;
    char words[128];

    for (size_t i = 0; vit_router_name(i) && status == BASE_OK; i++) {
        const char *name = vit_router_name(i);
        snprintf(words, sizeof words, "%s=%s:capacity=0:eval_capacity=0", name, name);
        status = train_variants_add(out, "preset", words, err);
        if (status == BASE_OK && strcmp(name, "vmoe") == 0)
            status = train_variants_add(out, "preset", vmoe_rows, err);
    }
    return status;
}

/* ---- grids --------------------------------------------------------------------------- */

/* One entry with one value more. */
static base_status grid_variant(train_variants *out, const char *what,
                                const train_variant *from, const char *key,
                                size_t key_length, const char *value, size_t value_length,
                                base_error *err)
{
    train_variant variant = *from;
    char words[2 * TRAIN_LABEL_BYTES], setting[TRAIN_SETTING_BYTES];
    const bool whole = memchr(key, '.', key_length) != NULL;

    const int length =
        snprintf(setting, sizeof setting, "%s%.*s=%.*s", whole ? "" : "router.",
                 (int)key_length, key, (int)value_length, value);
    const int label = snprintf(words, sizeof words, "%s-%.*s=%.*s", from->label,
                               (int)key_length, key, (int)value_length, value);
    if (value_length == 0 || length >= (int)sizeof setting || label >= TRAIN_LABEL_BYTES)
        return base_fail(err, BASE_USAGE,
                         "%s '%.*s=%.*s' is empty or too long for the label '%.60s'", what,
                         (int)key_length, key, (int)value_length, value, from->label);
    if (variant.settings == TRAIN_SETTINGS_MAX)
        return base_fail(err, BASE_USAGE, "%s gives '%s' more than %d settings", what,
                         from->label, (int)TRAIN_SETTINGS_MAX);
    memcpy(variant.setting[variant.settings++], setting, sizeof setting);
    label_make(variant.label, words);
    if (has_label(out, variant.label))
        return base_fail(err, BASE_USAGE, "%s makes '%s' twice", what, variant.label);
    return variant_put(out, what, &variant, err);
}

base_status train_variants_grid(train_variants *variants, const char *what,
                                const char *word, base_error *err)
{
    const char *equals = strchr(word, '=');
    const size_t key = equals ? (size_t)(equals - word) : 0;
    base_status status = BASE_OK;

    if (key == 0)
        return base_fail(err, BASE_USAGE, "%s '%.60s' is not of the form KEY=V1,V2,...",
                         what, word);
    train_variants *made = base_alloc(1, sizeof *made);
    if (!made)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %s", what);
    for (size_t e = 0; e < variants->count && status == BASE_OK; e++) {
        const char *at = equals + 1;
        for (bool more = true; more && status == BASE_OK;) {
            const size_t length = strcspn(at, ",");
            status =
                grid_variant(made, what, &variants->variant[e], word, key, at, length, err);
            more = at[length] == ',';
            at += length + more;
        }
    }
    if (status == BASE_OK)
        *variants = *made;
    base_free(made);
    return status;
}

base_status train_variants_preset(train_variants *variants, int preset, base_error *err)
{
    train_variants made = {0};
    base_status status = BASE_OK;

    if (preset == PRESET_ALL)
        status = preset_all(&made, err);
    else if (presets[preset])
        status = train_variants_add(&made, "preset", presets[preset], err);
    for (size_t i = 0; preset == PRESET_GRID && i < sizeof ssr_grid / sizeof ssr_grid[0] &&
                       status == BASE_OK;
         i++)
        status = train_variants_grid(&made, "preset", ssr_grid[i], err);
    for (size_t i = 0; i < made.count && status == BASE_OK; i++) {
        if (has_label(variants, made.variant[i].label))
            continue;
        status = variant_put(variants, "preset", &made.variant[i], err);
    }
    return status;
}
