/* config.c - the numbers that describe a network: defaults, named sizes, which blocks
 * hold experts, and the refusal of impossible combinations. The sizes are those of
 * Dosovitskiy et al. 2021 ("An image is worth 16x16 words"), Touvron et al. 2021 (DeiT)
 * and Riquelme et al. 2021 (V-MoE S/32). Free to change: limits upwards. Relied on
 * elsewhere: names of the sizes, the reading of moe.layers. */
#include "vit/vit.h"

#include <math.h>
#include <string.h>

#include "vit/model_internal.h"

/* Limits that keep every product of dimensions far below SIZE_MAX. */
enum {
    IMAGE_MAX = 8192,
    WIDTH_MAX = 16384,
    MLP_MAX = 131072,
    CLASSES_MAX = 1 << 20,
    MULTIPLE_MAX = 1024,
    GROUP_MAX = 1 << 20
};

typedef struct named_size {
    const char *name; /* after "vmoe-" or "vit-" */
    int image, patch, width, depth, heads, mlp;
    const char *layers;
} named_size;

static const named_size sizes[] = {
    {"nano", 32, 4, 96, 4, 3, 192, "every:2"},
    {"micro", 32, 4, 192, 6, 3, 768, "every:2"},
    {"ti16", 224, 16, 192, 12, 3, 768, "every:2"},
    {"s32", 224, 32, 512, 8, 8, 2048, "last:2"},
    {"s16", 224, 16, 384, 12, 6, 1536, "every:2"},
    {"b16", 224, 16, 768, 12, 12, 3072, "every:2"},
};
enum { SIZE_COUNT = sizeof sizes / sizeof sizes[0] };

/* Sparse ones first, each with its dense twin. */
static const char *const size_names[2 * SIZE_COUNT] = {
    "vmoe-nano", "vmoe-micro", "vmoe-ti16", "vmoe-s32", "vmoe-s16", "vmoe-b16",
    "vit-nano",  "vit-micro",  "vit-ti16",  "vit-s32",  "vit-s16",  "vit-b16",
};

const char *vit_config_name(size_t i)
{
    return i < 2 * SIZE_COUNT ? size_names[i] : NULL;
}

static void apply_size(vit_config *config, const named_size *size)
{
    config->image = size->image;
    config->patch = size->patch;
    config->width = size->width;
    config->depth = size->depth;
    config->heads = size->heads;
    config->mlp = size->mlp;
    config->crop = size->image;
    /* 256 then 224, as torchvision evaluates; small pictures have no margin to cut away. */
    config->resize = size->image == 224 ? 256 : size->image;
}

vit_config vit_config_defaults(void)
{
    vit_config config = {
        .channels = 3,
        .classes = 1000,
        .mean = {0.485f, 0.456f, 0.406f}, /* ImageNet, as torchvision */
        .std = {0.229f, 0.224f, 0.225f},
        .interpolation = "bilinear",
        .eps = 1e-6,
        .moe = {.experts = 8, .k = 2, .capacity_multiple = 4},
    };

    apply_size(&config, &sizes[2]); /* ti16 */
    vit_router_select(&config.moe.router, "ssr", NULL);
    return config;
}

base_status vit_config_select(vit_config *config, const char *name, base_error *err)
{
    size_t nearest = 0;
    size_t least = SIZE_MAX;

    for (size_t i = 0; i < 2 * SIZE_COUNT; i++) {
        if (strcmp(name, size_names[i]) == 0) {
            const named_size *size = &sizes[i % SIZE_COUNT];
            apply_size(config, size);
            snprintf(config->name, sizeof config->name, "%s", name);
            config->moe.experts = 8;
            config->moe.k = 2;
            return vit_config_layers_set(config, i < SIZE_COUNT ? size->layers : "none",
                                         err);
        }
        const size_t distance = base_edit_distance(name, size_names[i]);
        if (distance < least) {
            least = distance;
            nearest = i;
        }
    }
    char quoted[80];
    return base_fail(err, BASE_USAGE, "no network is named '%s', did you mean '%s'",
                     base_quote(quoted, sizeof quoted, name), size_names[nearest]);
}

/* ---- which blocks hold experts ------------------------------------------------------- */

/* The count after "every:" or "last:" into layer. Blocks n-1, 2n-1, ... or the last n
 * odd ones (vmoe's configs, routing.md 0.4). False when text is no count or nothing can
 * be chosen. */
static bool layers_by_rule(bool *layer, const char *text, bool every, int depth)
{
    int64_t n = 0;

    if (!base_parse_int(&n, text) || n < 1 || n > (every ? depth : depth / 2))
        return false;
    if (every) {
        for (int64_t i = n - 1; i < depth; i += n)
            layer[i] = true;
        return true;
    }
    for (int64_t i = depth / 2 - n; i < depth / 2; i++)
        layer[2 * i + 1] = true;
    return true;
}

/* "1,3,5" into layer; false for anything else, a block twice or one that does not exist. */
static bool layers_by_list(bool *layer, const char *text, int depth)
{
    const char *at = text;

    for (;;) {
        char part[8];
        const size_t length = strcspn(at, ",");
        int64_t block = 0;

        if (length >= sizeof part)
            return false;
        memcpy(part, at, length);
        part[length] = '\0';
        if (!base_parse_int(&block, part) || block < 0 || block >= depth || layer[block])
            return false;
        layer[block] = true;
        if (at[length] == '\0')
            return true;
        at += length + 1;
    }
}

base_status vit_config_layers_set(vit_config *config, const char *text, base_error *err)
{
    bool layer[VIT_DEPTH_MAX] = {false};
    bool good = true;

    if (config->depth < 1 || config->depth > VIT_DEPTH_MAX)
        return base_fail(err, BASE_USAGE, "'depth' is %d, expected 1 to %d", config->depth,
                         (int)VIT_DEPTH_MAX);
    if (strncmp(text, "every:", 6) == 0)
        good = layers_by_rule(layer, text + 6, true, config->depth);
    else if (strncmp(text, "last:", 5) == 0)
        good = layers_by_rule(layer, text + 5, false, config->depth);
    else if (strcmp(text, "none") != 0)
        good = layers_by_list(layer, text, config->depth);
    if (!good) {
        char quoted[80];
        return base_fail(
            err, BASE_USAGE,
            "'moe.layers' is '%s', expected none, every:N with N from 1 to %d, "
            "last:N with N from 1 to %d, or blocks from 0 to %d as in 1,3,5",
            base_quote(quoted, sizeof quoted, text), config->depth, config->depth / 2,
            config->depth - 1);
    }
    memcpy(config->moe.layer, layer, sizeof layer);
    return BASE_OK;
}

bool vit_config_is_sparse(const vit_config *config)
{
    for (int i = 0; i < config->depth && i < VIT_DEPTH_MAX; i++)
        if (config->moe.layer[i])
            return true;
    return false;
}

int vit_config_eval_k(const vit_config *config)
{
    const vit_router *router =
        vit_config_is_sparse(config) ? vit_router_find(config->moe.router.name) : NULL;

    return router && router->eval_k ? (int)router->eval_k(config) : config->moe.k;
}

bool vit_config_mixes_images(const vit_config *config)
{
    const vit_moe_config *moe = &config->moe;
    const vit_router *router = vit_router_find(moe->router.name);

    if (!vit_config_is_sparse(config))
        return false;
    return (moe->eval_capacity > 0 && moe->group_images != 1) ||
           (router && router->mixes_images && router->mixes_images(config));
}

size_t vit_config_tokens(const vit_config *config)
{
    const size_t side = (size_t)(config->image / config->patch);

    return vit_config_prefix(config) + side * side;
}

size_t vit_config_prefix(const vit_config *config)
{
    return (config->pool == VIT_POOL_GAP ? 0 : 1) + (size_t)config->registers;
}

/* ---- impossible combinations --------------------------------------------------------- */

typedef struct int_limit {
    const char *key;
    int value, low, high;
} int_limit;

typedef struct real_limit {
    const char *key;
    double value, high; /* 0 <= value < high */
} real_limit;

static base_status check_ints(const int_limit *limit, size_t count, base_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (limit[i].value < limit[i].low || limit[i].value > limit[i].high)
            return base_fail(err, BASE_USAGE, "'%s' is %d, expected %d to %d", limit[i].key,
                             limit[i].value, limit[i].low, limit[i].high);
    return BASE_OK;
}

static base_status check_reals(const real_limit *limit, size_t count, base_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!(limit[i].value >= 0 && limit[i].value < limit[i].high)) /* NaN too */
            return base_fail(err, BASE_USAGE, "'%s' is %g, expected 0 to below %g",
                             limit[i].key, limit[i].value, limit[i].high);
    return BASE_OK;
}

/* Parts that must fit together. */
static base_status check_shapes(const vit_config *c, base_error *err)
{
    if (c->channels != 1 && c->channels != 3)
        return base_fail(err, BASE_USAGE, "'channels' is %d, expected 1 or 3", c->channels);
    if (c->image % c->patch != 0)
        return base_fail(err, BASE_USAGE,
                         "'image' is %d, expected a multiple of patch (%d)", c->image,
                         c->patch);
    if (c->width % c->heads != 0)
        return base_fail(err, BASE_USAGE,
                         "'width' is %d, expected a multiple of heads (%d)", c->width,
                         c->heads);
    if (!(c->eps > 0 && c->eps < 0.1))
        return base_fail(err, BASE_USAGE, "'eps' is %g, expected more than 0 and below 0.1",
                         c->eps);
    if (c->fc_norm && c->pool == VIT_POOL_TOKEN)
        return base_fail(err, BASE_USAGE,
                         "'fc_norm' is on, expected mean pooling: the class token has one "
                         "norm");
    if (c->position == VIT_POSITION_SINCOS && (c->width % 4 != 0 || c->width < 8))
        return base_fail(
            err, BASE_USAGE,
            "'width' is %d, expected a multiple of 4 from 8 on for position = sincos",
            c->width);
    return BASE_OK;
}

static bool is_filter(const char *word)
{
    static const char *const words[] = {"bilinear", "bicubic", "area", "bilinear-plain"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static base_status check_pixels(const vit_config *c, base_error *err)
{
    for (int i = 0; i < c->channels; i++) {
        if (!isfinite(c->mean[i]))
            return base_fail(err, BASE_USAGE, "'mean' of channel %d is not finite", i);
        if (!(c->std[i] > 0) || !isfinite(c->std[i]))
            return base_fail(err, BASE_USAGE,
                             "'std' of channel %d is %g, expected more than 0", i,
                             (double)c->std[i]);
        if (fabsf(c->mean[i]) > VIT_PIXEL_MOST || c->std[i] > VIT_PIXEL_MOST)
            return base_fail(err, BASE_USAGE,
                             "'mean' and 'std' of channel %d are %g and %g, expected those "
                             "of pixels from 0 to 1: what is of 0 to 255 is divided by it",
                             i, (double)c->mean[i], (double)c->std[i]);
    }
    if (!is_filter(c->interpolation)) {
        char quoted[40];
        return base_fail(
            err, BASE_USAGE,
            "'interpolation' is '%s', expected bilinear, bicubic, area or bilinear-plain",
            base_quote(quoted, sizeof quoted, c->interpolation));
    }
    if (c->crop != c->image)
        return base_fail(err, BASE_USAGE, "'crop' is %d, expected the same as image (%d)",
                         c->crop, c->image);
    if (c->resize != 0 && (c->resize < c->crop || c->resize > 4 * IMAGE_MAX))
        return base_fail(err, BASE_USAGE,
                         "'resize' is %d, expected 0 (images as they are) or %d to %d",
                         c->resize, c->crop, 4 * IMAGE_MAX);
    return BASE_OK;
}

static base_status check_moe(const vit_config *c, base_error *err)
{
    const vit_moe_config *moe = &c->moe;
    const int_limit ints[] = {
        {"router.experts", moe->experts, 1, VIT_EXPERTS_MAX},
        {"moe.capacity_multiple", moe->capacity_multiple, 1, MULTIPLE_MAX},
        {"moe.group_images", moe->group_images, 0, GROUP_MAX},
        {"moe.shared", moe->shared, 0, VIT_EXPERTS_MAX - moe->experts},
    };
    const real_limit reals[] = {
        {"moe.capacity", moe->capacity, 1e6},
        {"moe.eval_capacity", moe->eval_capacity, 1e6},
        {"moe.dropout", moe->dropout, 1},
    };
    base_status status = check_ints(ints, sizeof ints / sizeof ints[0], err);

    if (status == BASE_OK)
        status = check_reals(reals, sizeof reals / sizeof reals[0], err);
    if (status != BASE_OK)
        return status;
    if (moe->k < 1 || moe->k > moe->experts)
        return base_fail(err, BASE_USAGE,
                         "'router.k' is %d, expected 1 to the number of experts (%d)",
                         moe->k, moe->experts);
    if (moe->bpr && moe->capacity <= 0)
        return base_fail(err, BASE_USAGE,
                         "'moe.bpr' is on, expected a moe.capacity above 0");
    if (moe->eval_bpr && moe->eval_capacity <= 0)
        return base_fail(err, BASE_USAGE,
                         "'moe.eval_bpr' is on, expected a moe.eval_capacity above 0");
    for (int i = c->depth; i < VIT_DEPTH_MAX; i++)
        if (moe->layer[i])
            return base_fail(err, BASE_USAGE,
                             "'moe.layers' holds block %d, expected 0 to %d", i,
                             c->depth - 1);
    if (!vit_config_is_sparse(c))
        return BASE_OK;
    const vit_router *router = vit_router_find(moe->router.name);
    if (!router) {
        char quoted[40];
        return base_fail(err, BASE_USAGE, "no router is named '%s'",
                         base_quote(quoted, sizeof quoted, moe->router.name));
    }
    return router->check ? router->check(c, err) : BASE_OK;
}

base_status vit_config_check(const vit_config *config, base_error *err)
{
    const vit_config *c = config;
    const int_limit ints[] = {
        {"image", c->image, 1, IMAGE_MAX},         {"patch", c->patch, 1, IMAGE_MAX},
        {"width", c->width, 1, WIDTH_MAX},         {"depth", c->depth, 1, VIT_DEPTH_MAX},
        {"heads", c->heads, 1, WIDTH_MAX},         {"mlp", c->mlp, 1, MLP_MAX},
        {"classes", c->classes, 1, CLASSES_MAX},   {"registers", c->registers, 0, 256},
        {"prelogits", c->prelogits, 0, WIDTH_MAX},
    };
    const real_limit reals[] = {
        {"dropout", c->dropout, 1},
        {"drop_path", c->drop_path, 1},
    };
    base_status status = check_ints(ints, sizeof ints / sizeof ints[0], err);

    if (status == BASE_OK)
        status = check_reals(reals, sizeof reals / sizeof reals[0], err);
    if (status == BASE_OK)
        status = check_shapes(c, err);
    if (status == BASE_OK)
        status = check_pixels(c, err);
    return status == BASE_OK ? check_moe(c, err) : status;
}
