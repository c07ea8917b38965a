/* plan.c - which routers are compared: the words of --routers and the presets as entries
 * with labels. Relied on elsewhere: labels are names of folders, so that the same words
 * find the same runs. */
#include <ctype.h>
#include <string.h>

#include "apps/compare/internal.h"

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
static void label_make(char out[APP_LABEL_BYTES], const char *words)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789-_=+.";
    size_t length = 0;

    for (; words[length] && length + 1 < APP_LABEL_BYTES; length++)
        out[length] = strchr(safe, words[length]) ? words[length] : '-';
    out[length] = '\0';
}

static base_status label_check(const app_entries *entries, const char *label,
                               const char *words, base_error *err)
{
    char shown[160];

    base_quote(shown, sizeof shown, words);
    if (strlen(words) >= APP_LABEL_BYTES)
        return base_fail(err, BASE_USAGE,
                         "'%s' is too long for a label, put a short one in front: "
                         "label=%s",
                         shown, shown);
    if (!isalpha((unsigned char)label[0]))
        return base_fail(err, BASE_USAGE,
                         "the label '%s' does not begin with a letter, expected "
                         "[label=]router[:key=value ...]",
                         shown);
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->entry[i].label, label) == 0)
            return base_fail(err, BASE_USAGE,
                             "'%s' is there twice, tell them apart: label=router:key=value",
                             label);
    return BASE_OK;
}

static base_status setting_add(app_entry *entry, const char *text, size_t length,
                               base_error *err)
{
    char shown[160], word[APP_SETTING_BYTES];

    snprintf(word, sizeof word, "%.*s", (int)length, text);
    base_quote(shown, sizeof shown, word);
    const char *equals = strchr(word, '=');
    if (!equals || equals == word || length + 8 > sizeof word)
        return base_fail(err, BASE_USAGE,
                         "'%s' of the router '%s' is not of the form key=value", shown,
                         entry->router);
    if (strncmp(word, "name=", 5) == 0)
        return base_fail(err, BASE_USAGE, "'%s' is no setting of a router", shown);
    if (entry->settings == APP_SETTINGS_MAX)
        return base_fail(err, BASE_USAGE, "the router '%s' has more than %d settings",
                         entry->router, (int)APP_SETTINGS_MAX);
    snprintf(entry->setting[entry->settings++], APP_SETTING_BYTES, "router.%.80s", word);
    return BASE_OK;
}

/* One word: [label=]router[:key=value ...]. */
static base_status entry_parse(app_entry *out, char *words, base_error *err)
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
    *out = (app_entry){0};
    if (begin > 0)
        words[begin - 1] = '\0'; /* the label alone */
    snprintf(router_name, sizeof router_name, "%.*s",
             name_length < 63 ? (int)name_length : 63, name);
    const base_status status = vit_router_select(&router, router_name, err);
    if (status != BASE_OK) {
        base_error_prepend(err, "--routers: ");
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

static base_status entry_add(app_entries *entries, const char *text, size_t length,
                             base_error *err)
{
    app_entry entry;
    char *words = app_text("%.*s", (int)length, text);

    base_status status = entry_parse(&entry, words, err);
    if (status == BASE_OK)
        status = label_check(entries, entry.label, words, err);
    if (status != BASE_OK)
        return status;
    if (entries->count == APP_ENTRIES_MAX)
        return base_fail(err, BASE_USAGE, "more than %d routers to compare",
                         (int)APP_ENTRIES_MAX);
    entries->entry[entries->count++] = entry;
    return BASE_OK;
}

base_status app_entries_add(app_entries *entries, const char *list, base_error *err)
{
    base_status status = BASE_OK;

    for (const char *at = list; *at && status == BASE_OK;) {
        const size_t length = part_length(at, ',');
        if (length > 1024)
            return base_fail(err, BASE_USAGE, "--routers '%.40s...' is too long a word",
                             at);
        if (length > 0)
            status = entry_add(entries, at, length, err);
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

/* SSR's cost, noise and number of Sinkhorn steps, every combination. */
static const char *const ssr_grid[] = {"cost=linear,softmax", "noise=0.1,1,4",
                                       "steps=80,800"};

static bool has_label(const app_entries *entries, const char *label)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->entry[i].label, label) == 0)
            return true;
    return false;
}

/* Every router there is, dropless; V-MoE with its capacities too (routing.md 14.3). */
static base_status preset_all(app_entries *out, base_error *err)
{
    base_status status = BASE_OK;
    char words[128];

    for (size_t i = 0; vit_router_name(i) && status == BASE_OK; i++) {
        const char *name = vit_router_name(i);
        snprintf(words, sizeof words, "%s=%s:capacity=0:eval_capacity=0", name, name);
        status = app_entries_add(out, words, err);
        if (status == BASE_OK && strcmp(name, "vmoe") == 0)
            status = app_entries_add(out, vmoe_rows, err);
    }
    return status;
}

/* ---- grids --------------------------------------------------------------------------- */

/* One entry with one value more. */
static base_status grid_entry(app_entries *out, const app_entry *from, const char *key,
                              size_t key_length, const char *value, size_t value_length,
                              base_error *err)
{
    app_entry entry = *from;
    char words[2 * APP_LABEL_BYTES], setting[APP_SETTING_BYTES];
    const bool whole = memchr(key, '.', key_length) != NULL;

    const int length =
        snprintf(setting, sizeof setting, "%s%.*s=%.*s", whole ? "" : "router.",
                 (int)key_length, key, (int)value_length, value);
    const int label = snprintf(words, sizeof words, "%s-%.*s=%.*s", from->label,
                               (int)key_length, key, (int)value_length, value);
    if (value_length == 0 || length >= (int)sizeof setting || label >= APP_LABEL_BYTES)
        return base_fail(err, BASE_USAGE,
                         "--grid '%.*s=%.*s' is empty or too long for the label '%.60s'",
                         (int)key_length, key, (int)value_length, value, from->label);
    if (entry.settings == APP_SETTINGS_MAX || out->count == APP_ENTRIES_MAX)
        return base_fail(err, BASE_USAGE, "--grid makes more than %d routers to compare",
                         (int)APP_ENTRIES_MAX);
    memcpy(entry.setting[entry.settings++], setting, sizeof setting);
    label_make(entry.label, words);
    out->entry[out->count++] = entry;
    return BASE_OK;
}

base_status app_entries_grid(app_entries *entries, const char *word, base_error *err)
{
    const char *equals = strchr(word, '=');
    const size_t key = equals ? (size_t)(equals - word) : 0;
    base_status status = BASE_OK;

    if (key == 0)
        return base_fail(err, BASE_USAGE, "--grid '%.60s' is not of the form KEY=V1,V2,...",
                         word);
    app_entries *made = app_take(NULL, 1, sizeof *made);
    for (size_t e = 0; e < entries->count && status == BASE_OK; e++) {
        const char *at = equals + 1;
        for (bool more = true; more && status == BASE_OK;) {
            const size_t length = strcspn(at, ",");
            status = grid_entry(made, &entries->entry[e], word, key, at, length, err);
            more = at[length] == ',';
            at += length + more;
        }
    }
    if (status == BASE_OK)
        *entries = *made;
    return status;
}

/* "ssr" through the grid above. */
static base_status preset_grid(app_entries *out, base_error *err)
{
    base_status status = app_entries_add(out, "ssr", err);

    for (size_t i = 0; i < sizeof ssr_grid / sizeof ssr_grid[0] && status == BASE_OK; i++)
        status = app_entries_grid(out, ssr_grid[i], err);
    return status;
}

base_status app_entries_preset(app_entries *entries, int preset, base_error *err)
{
    app_entries made = {0};
    base_status status = BASE_OK;

    if (preset == 1)
        status = preset_all(&made, err);
    else if (preset == 2)
        status = app_entries_add(&made, ssr_ablation, err);
    else if (preset == 3)
        status = app_entries_add(&made, balancers, err);
    else if (preset == 4)
        status = preset_grid(&made, err);
    for (size_t i = 0; i < made.count && status == BASE_OK; i++) {
        if (has_label(entries, made.entry[i].label))
            continue;
        if (entries->count == APP_ENTRIES_MAX)
            return base_fail(err, BASE_USAGE, "more than %d routers to compare",
                             (int)APP_ENTRIES_MAX);
        entries->entry[entries->count++] = made.entry[i];
    }
    return status;
}
