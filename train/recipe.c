/* recipe.c - from assignments to a run: defaults, layers of keys, what is filled in from
 * the data, and the refusal of what cannot be. A layer (a file, then --set) is applied as a
 * whole: model.size first because it sets many numbers, then router.name because it decides
 * which options exist, router.layers last because it counts blocks. Relied on elsewhere:
 * naming another router resets the options of the router. */
#include <stdlib.h>
#include <string.h>

#include "train/train.h"

/* Pixels at which pictures are photographs (random resized crop, resize beyond the crop)
 * and no longer small pictures that fill their frame (padded crop, taken as they are). */
enum { PADDED_BELOW = 96, MARGIN_FROM = 128 };

train_recipe train_recipe_defaults(void)
{
    train_recipe r = {
        .name = "defaults",
        .config = vit_config_defaults(),
        .data = {.mean = "imagenet",
                 .std = "imagenet",
                 .resize = -1,
                 .workers = -1,
                 .queue = 3,
                 .max_bad = 0.001,
                 .repeats = 1},
        .augment = data_loader_defaults().augment,
        .corrupt = {.severity = "1-3", .probability = 1},
        .optimizer = {.kind = VIT_OPTIMIZER_ADAMW,
                      .beta1 = 0.9,
                      .beta2 = 0.999,
                      .eps = 1e-8,
                      .momentum = 0.9,
                      .weight_decay = 0.05,
                      .clip = 1.0,
                      .layer_decay = 1},
        .freeze = "none",
        .lr = 1e-3,
        .schedule = {.kind = VIT_SCHEDULE_COSINE, .warmup_epochs = 1, .timescale = 10000},
        .train = {.epochs = 10, .batch = 128, .seed = 1, .eval_every = 1, .log_every = 50},
        .adversary = {.steps = 10, .eps = 8.0 / 255, .beta = 6},
    };

    vit_config_select(&r.config, "vmoe-ti16", NULL); /* a name of the table: cannot fail */
    snprintf(r.layers, sizeof r.layers, "every:2");
    r.config.classes = 0;
    r.augment.crop = DATA_CROP_EVAL; /* r.crop decides */
    return r;
}

/* ---- applying ------------------------------------------------------------------------ */

/* The text behind the blocks of a named size, for a depth that another key may change. */
static void layers_describe(train_recipe *r)
{
    static const char *const rules[] = {"none", "every:2", "last:2"};

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        vit_config trial = r->config;
        if (vit_config_layers_set(&trial, rules[i], NULL) == BASE_OK &&
            memcmp(trial.moe.layer, r->config.moe.layer, sizeof trial.moe.layer) == 0) {
            snprintf(r->layers, sizeof r->layers, "%s", rules[i]);
            return;
        }
    }
    size_t used = 0;
    for (int i = 0; i < r->config.depth; i++) {
        if (r->config.moe.layer[i])
            used += (size_t)snprintf(r->layers + used, sizeof r->layers - used, "%s%d",
                                     used ? "," : "", i);
    }
}

static base_status set_size(train_recipe *r, const char *text, base_error *err)
{
    const base_status status = vit_config_select(&r->config, text, err);

    if (status == BASE_OK)
        layers_describe(r);
    return status;
}

static base_status set_router(train_recipe *r, const char *text, base_error *err)
{
    if (strcmp(r->config.moe.router.name, text) == 0)
        return BASE_OK;
    return vit_router_select(&r->config.moe.router, text, err);
}

static bool router_declares(const char *router, const char *name)
{
    const base_field *options = vit_router_options(router);

    return options && base_field_find(options, name);
}

/* "sinkhorn, ssr": the routers that have the key; "" when none has it. */
static const char *routers_with(char *out, size_t out_bytes, const char *name)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; vit_router_name(i) && used < out_bytes; i++)
        if (router_declares(vit_router_name(i), name))
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? ", " : "",
                                     vit_router_name(i));
    return out;
}

/* NAME of "router.NAME", NULL for other sections. */
static const char *router_part(const char *key)
{
    return strncmp(key, "router.", 7) == 0 ? key + 7 : NULL;
}

static base_status unknown_key(const train_recipe *r, const char *key, base_error *err)
{
    const base_field *own = vit_router_options(r->config.moe.router.name);
    const char *name = router_part(key);
    char shown[256], owners[160], meant[160] = "";

    if (name && routers_with(owners, sizeof owners, name)[0])
        return base_fail(err, BASE_USAGE, "'%s' is no key of the router '%s', but of %s",
                         key, r->config.moe.router.name, owners);
    const char *ours = train_synonym(strchr(key, '.') + 1);
    if (ours)
        snprintf(meant, sizeof meant, "%s", ours);
    /* The right word in the wrong section is nearer than any slip of the finger. */
    for (const base_field *f = train_recipe_keys; f->name && !meant[0]; f++)
        if (strcmp(strchr(f->name, '.'), strchr(key, '.')) == 0)
            snprintf(meant, sizeof meant, "%s", f->name);
    if (!meant[0])
        snprintf(meant, sizeof meant, "%s",
                 base_field_nearest(train_recipe_keys, key)->name);
    own = name && own ? base_field_nearest(own, name) : NULL;
    if (own && base_edit_distance(own->name, name) < base_edit_distance(meant, key))
        snprintf(meant, sizeof meant, "router.%s", own->name);
    return base_fail(err, BASE_USAGE, "unknown key '%s', the nearest is '%s'",
                     base_quote(shown, sizeof shown, key), meant);
}

/* "200steps" or "200 steps" as the number before it, into out; false: it is none. */
static bool steps_text(char *out, size_t out_bytes, const char *text)
{
    const size_t digits = strspn(text, "0123456789");
    const char *word = text + digits + strspn(text + digits, " ");

    snprintf(out, out_bytes, "%.*s", (int)(digits < 20 ? digits : 20), text);
    return digits > 0 && (strcmp(word, "steps") == 0 || strcmp(word, "step") == 0);
}

/* Any key but model.size and router.name. */
static base_status apply_one(train_recipe *r, const train_assignment *a, base_error *err)
{
    const char *name = router_part(a->key);
    char steps[24];

    if (strcmp(a->key, "train.eval_every") == 0 && steps_text(steps, sizeof steps, a->text))
        return train_key_set(r, train_recipe_keys, "train.eval_steps", steps, err);
    if (base_field_find(train_recipe_keys, a->key))
        return train_key_set(r, train_recipe_keys, a->key, a->text, err);
    if (name && router_declares(r->config.moe.router.name, name))
        return vit_router_set(&r->config.moe.router, name, a->text, err);
    return unknown_key(r, a->key, err);
}

static bool assigns(const train_assignment *assignments, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(assignments[i].key, key) == 0)
            return true;
    return false;
}

base_status train_recipe_apply(train_recipe *recipe, const train_assignment *assignments,
                               size_t count, base_error *err)
{
    train_recipe r = *recipe;
    base_status status = BASE_OK;

    if (assigns(assignments, count, "train.eval_every"))
        r.train.eval_steps = 0; /* of a layer below; this one's is set anew */

    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < count; i++) {
            const train_assignment *a = &assignments[i];
            const bool size = strcmp(a->key, "model.size") == 0,
                       router = strcmp(a->key, "router.name") == 0;
            if (pass == 0 && size && a->text[0])
                status = set_size(&r, a->text, err);
            else if (pass == 0 && size)
                r.config.name[0] = '\0'; /* of no named size: as a run's recipe.ini says */
            else if (pass == 1 && router)
                status = set_router(&r, a->text, err);
            else if (pass == 2 && !size && !router)
                status = apply_one(&r, a, err);
            if (status == BASE_OK && pass == 2 && strcmp(a->key, "router.k") == 0 &&
                !vit_router_uses_k(r.config.moe.router.name))
                status = base_fail(err, BASE_USAGE,
                                   "'router.k' says nothing to the router '%s', in which "
                                   "every expert works for every token: leave it out",
                                   r.config.moe.router.name);
            if (status != BASE_OK) {
                base_error_prepend(err, "%s: ", a->where);
                return status;
            }
        }
    }
    /* A side of its own makes the size's idea of resizing void. */
    if (assigns(assignments, count, "data.image") &&
        !assigns(assignments, count, "data.resize"))
        r.data.resize = -1;
    *recipe = r;
    return BASE_OK;
}

/* ---- from a network ------------------------------------------------------------------ */

/* "0.485,0.456,0.406", as short as reads back to the same floats. */
static void pixels_describe(char *out, size_t out_bytes, const float *values, int count)
{
    size_t used = 0;
    char number[32];

    for (int i = 0; i < count && used < out_bytes; i++) {
        double back = 0;
        for (int digits = 6; digits <= 9; digits++) {
            snprintf(number, sizeof number, "%.*g", digits, (double)values[i]);
            if (base_parse_real(&back, number) && (float)back == values[i])
                break;
        }
        used +=
            (size_t)snprintf(out + used, out_bytes - used, "%s%s", i ? "," : "", number);
    }
}

void train_recipe_from(train_recipe *recipe, const vit_config *config, const char *word)
{
    train_recipe *r = recipe;
    const vit_config usual = r->config;
    data_filter filter = DATA_FILTER_BILINEAR;

    r->config = *config;
    r->config.classes = 0;
    r->config.dropout = usual.dropout; /* of its training, not of this one */
    r->config.drop_path = usual.drop_path;
    r->config.moe.dropout = usual.moe.dropout;
    if (!vit_config_is_sparse(config))
        r->config.moe = usual.moe;
    memcpy(r->config.moe.layer, config->moe.layer, sizeof config->moe.layer);
    layers_describe(r);
    r->data.channels = config->channels;
    pixels_describe(r->data.mean, sizeof r->data.mean, config->mean, config->channels);
    pixels_describe(r->data.std, sizeof r->data.std, config->std, config->channels);
    r->data.resize = config->resize;
    data_filter_parse(&filter, config->interpolation); /* vit_config_check's words */
    r->data.interpolation = (int)filter;
    snprintf(r->init_from, sizeof r->init_from, "%s", word);
}

/* ---- resolving ----------------------------------------------------------------------- */

typedef struct pixel_numbers {
    const char *name;
    float mean[3], std[3];
} pixel_numbers;

/* Means and deviations of pixels in [0, 1]: ImageNet as torchvision, "half" as V-MoE and
 * timm's ViT, CIFAR-10 and Fashion-MNIST computed over their training images. */
static const pixel_numbers known_pixels[] = {
    {"imagenet", {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
    {"half", {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
    {"cifar10", {0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}},
    {"fashion-mnist", {0.2860f, 0.2860f, 0.2860f}, {0.3530f, 0.3530f, 0.3530f}},
};

base_status train_pixels_parse(float out[3], const char *key, const char *text, bool std,
                               int channels, base_error *err)
{
    char shown[96], number[32];
    const char *at = text;
    double value = 0;
    bool good = true;
    int count = 0;

    for (size_t i = 0; i < sizeof known_pixels / sizeof known_pixels[0]; i++) {
        if (strcmp(known_pixels[i].name, text) == 0) {
            memcpy(out, std ? known_pixels[i].std : known_pixels[i].mean, 3 * sizeof *out);
            return BASE_OK;
        }
    }
    for (; at && good && count < 3; count++) {
        good = base_word_take(number, sizeof number, &at) &&
               base_parse_real(&value, number) && value >= (std ? 1e-6 : -1e6) &&
               value <= 1e6;
        if (good)
            out[count] = (float)value;
    }
    if (!good || at || (count != 1 && count != channels))
        return base_fail(
            err, BASE_USAGE,
            "%s is '%s', expected imagenet, half, cifar10, fashion-mnist or %d number%s%s",
            key, base_quote(shown, sizeof shown, text), channels, channels == 1 ? "" : "s",
            std ? " above 0" : "");
    for (int i = count; i < 3; i++)
        out[i] = out[0];
    return BASE_OK;
}

/* vit_config_check names the network's settings; a reader of recipes wants the key. */
static void name_the_key(base_error *err)
{
    static const char *const sections[] = {"model", "data"};
    char key[96], rest[sizeof err->text];

    if (!err || err->text[0] != '\'')
        return;
    const char *word = err->text + 1, *end = strchr(word, '\'');
    if (!end || end - word > 60)
        return;
    const bool sparse = strncmp(word, "moe.", 4) == 0;
    word += sparse ? 4 : 0;
    for (size_t i = 0; i < (sparse ? 1 : 2); i++) {
        snprintf(key, sizeof key, "%s.%.*s", sparse ? "router" : sections[i],
                 (int)(end - word), word);
        if (!base_field_find(train_recipe_keys, key))
            continue;
        snprintf(rest, sizeof rest, "%s", end);
        snprintf(err->text, sizeof err->text, "'%s%.*s", key, 900, rest);
        return;
    }
}

/* Parts whole on every rank, lanes of whole parts. */
static base_status check_parts(const train_recipe *r, int ranks, base_error *err)
{
    const int batch = r->train.batch, parts = r->train.accumulate;

    if (batch % parts != 0)
        return base_fail(err, BASE_USAGE,
                         "'train.accumulate' is %d, expected a divisor of train.batch (%d)",
                         parts, batch);
    if (parts % ranks == 0)
        return parts % r->train.lanes == 0
                   ? BASE_OK
                   : base_fail(err, BASE_USAGE,
                               "'train.lanes' is %d, expected a divisor of "
                               "train.accumulate (%d)",
                               r->train.lanes, parts);
    if (batch % ranks == 0)
        return base_fail(
            err, BASE_USAGE,
            "%d ranks for a step of %d parts, expected a number of ranks that divides "
            "'train.accumulate'; --set train.accumulate=%d makes parts of %d images, whose "
            "routing statistics are those of %d images",
            ranks, parts, ranks, batch / ranks, batch / ranks);
    return base_fail(err, BASE_USAGE,
                     "%d ranks for a step of %d parts, expected a number of ranks that "
                     "divides 'train.accumulate'",
                     ranks, parts);
}

static base_status check_training(const train_recipe *r, base_error *err)
{
    if (r->augment.area_low > r->augment.area_high)
        return base_fail(
            err, BASE_USAGE,
            "'augment.area_low' is %g, expected at most augment.area_high (%g)",
            r->augment.area_low, r->augment.area_high);
    if (r->config.classes < 2)
        return base_fail(err, BASE_USAGE,
                         "'model.classes' is %d, expected at least 2 to train",
                         r->config.classes);
    return BASE_OK;
}

/* optimizer.freeze as layers of the network (vit_parameter.layer). */
static base_status settle_freeze(train_recipe *r, base_error *err)
{
    static const char *const words[] = {"none", "embedding", "trunk"};
    const int layers[] = {0, 1, r->config.depth + 1};
    int64_t blocks = 0;
    char shown[64];

    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        if (strcmp(r->freeze, words[i]) == 0) {
            r->optimizer.frozen = layers[i];
            return BASE_OK;
        }
    }
    if (!base_parse_int(&blocks, r->freeze) || blocks < 1 || blocks >= r->config.depth)
        return base_fail(err, BASE_USAGE,
                         "'optimizer.freeze' is '%s', expected none, embedding, trunk or a "
                         "number of blocks below %d",
                         base_quote(shown, sizeof shown, r->freeze), r->config.depth);
    r->optimizer.frozen = (int)blocks + 1;
    return BASE_OK;
}

void train_recipe_network(vit_config *out, const train_recipe *recipe)
{
    const vit_config *c = &recipe->config;
    vit_config named = *c;

    *out = *c;
    if (vit_config_select(&named, c->name, NULL) != BASE_OK ||
        vit_config_is_sparse(&named) != vit_config_is_sparse(c) ||
        named.patch != c->patch || named.width != c->width || named.depth != c->depth ||
        named.heads != c->heads || named.mlp != c->mlp)
        out->name[0] = '\0';
}

base_status train_recipe_resolve(train_recipe *recipe, const train_facts *facts,
                                 base_error *err)
{
    train_recipe r = *recipe;
    vit_config *c = &r.config;

    if (c->classes == 0)
        c->classes = (int)facts->classes;
    if (r.data.channels == 0)
        r.data.channels = facts->uniform_channels == 1 ? 1 : 3;
    c->channels = r.data.channels;
    c->crop = c->image;
    if (r.data.resize < 0)
        r.data.resize = c->image < MARGIN_FROM || c->crop_mode == VIT_CROP_SQUASH
                            ? c->image
                            : (int)((double)c->image / 0.875 + 0.5);
    c->resize = r.data.resize;
    snprintf(c->interpolation, sizeof c->interpolation, "%s",
             data_filter_name((data_filter)r.data.interpolation));
    if (r.crop == TRAIN_CROP_AUTO)
        r.crop = c->image < PADDED_BELOW ? TRAIN_CROP_PADDED : TRAIN_CROP_RANDOM;
    r.augment.crop = r.crop == TRAIN_CROP_EVAL     ? DATA_CROP_EVAL
                     : r.crop == TRAIN_CROP_RANDOM ? DATA_CROP_RANDOM
                                                   : DATA_CROP_PADDED;
    const int ranks = facts->ranks > 0 ? (int)facts->ranks : 1;
    if (r.train.accumulate == 0)
        r.train.accumulate = ranks;
    if (r.train.lanes == 0) /* a step has no more than its parts */
        r.train.lanes = ranks;
    if (r.train.eval_batch == 0)
        r.train.eval_batch = r.train.batch / r.train.accumulate;
    if (!vit_router_uses_k(c->moe.router.name))
        c->moe.k = 1; /* not written either, so that it reads back the same */

    base_status status =
        train_pixels_parse(c->mean, "'data.mean'", r.data.mean, false, c->channels, err);
    if (status == BASE_OK)
        status =
            train_pixels_parse(c->std, "'data.std'", r.data.std, true, c->channels, err);
    if (status == BASE_OK)
        status = vit_config_layers_set(c, r.layers, err);
    if (status == BASE_OK)
        status = settle_freeze(&r, err);
    if (status == BASE_OK)
        status = check_parts(&r, ranks, err);
    if (status == BASE_OK)
        status = check_training(&r, err);
    if (status == BASE_OK)
        status = vit_config_check(c, err);
    if (status != BASE_OK) {
        name_the_key(err);
        base_error_prepend(err, "recipe '%s': ", r.name);
        return status;
    }
    *recipe = r;
    return BASE_OK;
}
