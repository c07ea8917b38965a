/* timm.c - the sizes of a file that carries timm's names (Wightman 2019,
 * pytorch-image-models: vision_transformer.py, deit.py) and no configuration of ours, read
 * off its shapes. What shapes do not tell is taken from a config.json beside it, else from
 * timm's ViT and DeiT of 224 pixels: GELU exact, heads of published networks of that width
 * or of 64 channels, ImageNet mean and std (DeiT's; the augreg ViTs of timm use 0.5),
 * bicubic, crop 0.9. Where each came from stands in vit_origins. Refused rather than
 * misread: distilled DeiT, norm after pooling, class token without position. */
#include <math.h>
#include <string.h>

#include "vit/model_internal.h"

enum { HEAD_WIDTH = 64, FULL_CROP_FROM = 384 };
static const double crop_share = 0.9;  /* timm's crop_pct; the 384-pixel models use 1.0 */
static const double hub_share = 0.875; /* what timm takes where a config.json has none */

/* Widths of published ViTs and their heads: DeiT and ViT-Ti to -G (Zhai et al. 2022, table
 * 2), SO400M. */
static const struct {
    int width, heads;
} published[] = {{192, 3},   {384, 6},   {768, 12},  {1024, 16},
                 {1152, 16}, {1280, 16}, {1408, 16}, {1664, 16}};

int vit_block_index(const char *name)
{
    int64_t index = 0;
    const char *end = strncmp(name, "blocks.", 7) == 0 ? strchr(name + 7, '.') : NULL;
    char digits[8];

    if (!end || end - (name + 7) >= (ptrdiff_t)sizeof digits)
        return -1;
    memcpy(digits, name + 7, (size_t)(end - (name + 7)));
    digits[end - (name + 7)] = '\0';
    return base_parse_int(&index, digits) && index >= 0 ? (int)index : -1;
}

static int to_int(size_t value)
{
    return value > 1 << 24 ? 1 << 24
                           : (int)value; /* vit_config_check refuses what is too large */
}

/* The tensor, or NULL with err when it is absent or has another rank. */
static const vit_tensor *need(const vit_tensor_file *file, const char *path,
                              const char *name, int rank, base_error *err)
{
    const vit_tensor *t = vit_tensors_find(file, name);

    if (!t)
        base_fail(
            err, BASE_MISMATCH,
            "'%s' has no tensor '%s': neither a vmoe checkpoint nor one with timm's names",
            path, name);
    else if (t->rank != rank) {
        char have[96];
        base_fail(err, BASE_MISMATCH,
                  "'%s' tensor '%s' has shape %s, expected %d dimensions", path, name,
                  vit_shape_text(have, sizeof have, t->shape, t->rank), rank);
        t = NULL;
    }
    return t;
}

/* What timm's VisionTransformer may have and this network has not. */
static base_status refuse_relatives(const vit_tensor_file *file, const char *path,
                                    const vit_hub *hub, base_error *err)
{
    static const struct {
        const char *end, *what;
    } others[] = {
        {"dist_token", "of a distilled DeiT (two class tokens, two heads)"},
        {"head_dist.weight", "of a distilled DeiT (two class tokens, two heads)"},
        {"attn_pool.q.weight", "attention pooling, expected a class token or the mean"},
        {"attn_pool.latent", "attention pooling, expected a class token or the mean"},
        {"mlp.w12.weight", "a gated MLP (SwiGLU), expected fc1 and fc2 with GELU"},
        {"mlp.fc1_g.weight", "a gated MLP (SwiGLU), expected fc1 and fc2 with GELU"},
        {"relative_position_bias_table", "a relative position, expected 'pos_embed'"},
        {"attn.norm.weight", "a norm inside the attention, expected none there"},
        {"mlp.norm.weight", "a norm inside the MLP, expected none there"},
    };

    for (size_t i = 0; i < vit_tensors_count(file); i++)
        for (size_t o = 0; o < sizeof others / sizeof others[0]; o++)
            if (vit_name_ends(vit_tensors_at(file, i)->name, others[o].end)) {
                char quoted[96];
                return base_fail(
                    err, BASE_UNSUPPORTED, "'%s' tensor '%s' is %s", path,
                    base_quote(quoted, sizeof quoted, vit_tensors_at(file, i)->name),
                    others[o].what);
            }
    if (strstr(hub->architecture, "_rpn_"))
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' key 'architecture' is '%s': its norms stand behind the "
                         "branches, expected them before",
                         hub->path, hub->architecture);
    if (strstr(hub->architecture, "quickgelu"))
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' key 'architecture' is '%s': its GELU is x sigmoid(1.702 x), "
                         "expected erf or tanh",
                         hub->path, hub->architecture);
    if (vit_tensors_find(file, "norm.weight") && vit_tensors_find(file, "fc_norm.weight"))
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' tensor 'fc_norm.weight' is a second last norm, expected one",
                         path);
    return BASE_OK;
}

/* A square root of rows, 0: none. */
static size_t side_of(size_t rows)
{
    const size_t side = rows > 1 << 26 ? 0 : (size_t)(sqrt((double)rows) + 0.5);

    return side * side == rows ? side : 0;
}

/* Side of the patch grid from the rows of pos_embed, with or without rows for `before`
 * tokens. Few numbers of rows fit both (25: 5 x 5, or 4 x 4 behind 9 tokens): then the side
 * of the input tells. */
static base_status read_grid(int *side, const vit_tensor_file *file, const char *path,
                             size_t before, const vit_hub *hub, int patch, base_error *err)
{
    const vit_tensor *pos = need(file, path, "pos_embed", 3, err);

    if (!pos)
        return BASE_MISMATCH;
    const size_t rows = pos->shape[1];
    const size_t alone = side_of(rows);
    const size_t beside = before > 0 && rows > before ? side_of(rows - before) : 0;
    const size_t told = hub->image > 0 && patch > 0 ? (size_t)(hub->image / patch) : 0;
    if (alone && beside && told != alone && told != beside)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' tensor 'pos_embed' has %zu rows, %zu x %zu or, behind %zu "
                         "tokens, %zu x %zu: 'input_size' in a config.json beside it tells",
                         path, rows, alone, alone, before, beside, beside);
    /* timm's networks with registers have no positions for them (no_embed_class) */
    *side = (int)(alone && !(beside && told == beside) ? alone : beside);
    if (*side == 0)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' tensor 'pos_embed' has %zu rows, expected a square number%s",
                         path, rows, before ? " and perhaps those before the patches" : "");
    return BASE_OK;
}

/* GELU and epsilon that only a published network's name tells (timm 1.0:
 * vision_transformer.py). */
static void read_architecture(vit_config *c, const vit_hub *hub)
{
    static const char *const tanhs[] = {"so400m_patch16_siglip", "giantopt_patch16_siglip",
                                        "base_patch32_siglip", "large_patch16_siglip_512",
                                        "large_patch16_siglip_gap_512"};

    for (size_t i = 0; i < sizeof tanhs / sizeof tanhs[0]; i++)
        if (strstr(hub->architecture, tanhs[i]))
            c->gelu = VIT_GELU_TANH;
    if (hub->gelu > 0)
        c->gelu = (vit_gelu)(hub->gelu - 1);
    if (c->pre_norm || strstr(hub->architecture, "_clip_"))
        c->eps = 1e-5; /* CLIP's, in all of timm's networks with a norm there or its name */
}

/* Parts that a network has when their tensors are there. */
static void read_parts(vit_config *c, const vit_tensor_file *file)
{
    const vit_tensor *registers = vit_tensors_find(file, "reg_token");
    const vit_tensor *hidden = vit_tensors_find(file, "pre_logits.fc.weight");

    c->registers = registers && registers->rank == 3 ? to_int(registers->shape[1]) : 0;
    c->prelogits = hidden && hidden->rank == 2 ? to_int(hidden->shape[0]) : 0;
    c->pre_norm = vit_tensors_find(file, "norm_pre.weight");
    c->qk_norm = vit_tensors_find(file, "blocks.0.attn.q_norm.weight");
    c->fc_norm = vit_tensors_find(file, "fc_norm.weight");
}

/* Heads of timm's networks (1.0.31) that have others than their width tells; 0: none of
 * these. */
static int heads_named(int width, const vit_hub *hub)
{
    static const struct {
        const char *name;
        int width, heads;
    } named[] = {{"vit_base_patch16_gap_224", 768, 16},
                 {"vit_giantopt_patch16_siglip", 1536, 16},
                 {"test_vit", 64, 2},
                 {"test_vit", 96, 3}};

    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (named[i].width == width && strstr(hub->architecture, named[i].name))
            return named[i].heads;
    return 0;
}

/* Heads that were given, or that are known of the width, or of 64 channels. */
static base_status read_heads(vit_config *c, vit_origins *origins,
                              const vit_tensor_file *file, const char *path,
                              const vit_hub *hub, int given, base_error *err)
{
    const vit_tensor *norm = vit_tensors_find(file, "blocks.0.attn.q_norm.weight");

    c->heads = given > 0 ? given : hub->heads > 0 ? hub->heads : heads_named(c->width, hub);
    origins->heads = given > 0 ? VIT_ORIGIN_OPTION : VIT_ORIGIN_CONFIG;
    if (c->heads > 0)
        return BASE_OK;
    if (norm && norm->rank == 1 && norm->shape[0] > 0) { /* of one head */
        c->heads = to_int((size_t)c->width / norm->shape[0]);
        origins->heads = VIT_ORIGIN_FILE;
        return BASE_OK;
    }
    origins->heads = VIT_ORIGIN_KNOWN;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        if (published[i].width == c->width)
            c->heads = published[i].heads;
    if (c->heads > 0)
        return BASE_OK;
    if (c->width % HEAD_WIDTH != 0)
        return base_fail(
            err, BASE_USAGE,
            "'%s' has width %d, no multiple of %d: the number of heads must be given", path,
            c->width, (int)HEAD_WIDTH);
    origins->heads = VIT_ORIGIN_ASSUMED;
    c->heads = c->width / HEAD_WIDTH;
    return BASE_OK;
}

/* Which tokens the head sees: the tensors of mean pooling over a class token are those of
 * token pooling. */
static base_status read_pool(vit_config *c, vit_origins *origins, const char *path,
                             bool class_token, const vit_hub *hub, base_error *err)
{
    if (hub->pool_token && !class_token)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' pools a class token, '%s' has no tensor 'cls_token'",
                         hub->path, path);
    if (hub->pool_token && c->fc_norm)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' pools a class token, but '%s' has a norm behind the pooling "
                         "(fc_norm), expected the mean",
                         hub->path, path);
    const bool mean =
        c->fc_norm || hub->pool_mean; /* no one has fc_norm behind one token */
    c->pool = !class_token ? VIT_POOL_GAP : mean ? VIT_POOL_PATCHES : VIT_POOL_TOKEN;
    origins->pool = !class_token || c->fc_norm          ? VIT_ORIGIN_FILE
                    : hub->pool_mean || hub->pool_token ? VIT_ORIGIN_CONFIG
                                                        : VIT_ORIGIN_ASSUMED;
    return BASE_OK;
}

void vit_timm_sight(vit_config *config, const vit_hub *hub)
{
    const double share = hub->resize                       ? hub->crop_pct
                         : hub->path && !hub->config       ? hub_share
                         : config->image >= FULL_CROP_FROM ? 1
                                                           : crop_share;

    config->crop = config->image;
    config->crop_mode = hub->crop_mode;
    config->resize = (int)fmin((double)config->image / share, 1 << 24);
}

/* How pixels are made ready, of a config whose image and channels are set. */
static void read_pixels(vit_config *c, vit_origins *origins, const vit_hub *hub)
{
    const vit_origin said = VIT_ORIGIN_CONFIG, not_said = VIT_ORIGIN_ASSUMED;

    if (hub->mean)
        memcpy(c->mean, hub->mean_of, sizeof c->mean);
    if (hub->std)
        memcpy(c->std, hub->std_of, sizeof c->std);
    snprintf(c->interpolation, sizeof c->interpolation, "%s",
             hub->interpolation ? hub->filter : "bicubic");
    vit_timm_sight(c, hub);
    origins->mean = hub->mean ? said : not_said;
    origins->std = hub->std ? said : not_said;
    origins->interpolation = hub->interpolation ? said : not_said;
    origins->resize = hub->resize ? said : not_said;
    origins->labels = hub->labels > 0 ? said : VIT_ORIGIN_FILE;
}

/* Classes of the head and of config.json must be the same. */
static base_status read_classes(vit_config *c, const vit_tensor_file *file,
                                const char *path, const vit_hub *hub, int given,
                                base_error *err)
{
    const vit_tensor *head = vit_tensors_find(file, "head.weight");

    if (!head && given <= 0)
        return base_fail(
            err, BASE_MISMATCH,
            "'%s' has no tensor 'head.weight' and no number of classes was given", path);
    if (hub->channels > 0 && hub->channels != c->channels)
        return base_fail(
            err, BASE_MISMATCH,
            "'%s' key 'input_size' has %d channels, the patches of '%s' have %d", hub->path,
            hub->channels, path, c->channels);
    c->classes = head ? to_int(head->rank > 0 ? head->shape[0] : 0) : given;
    if (head && hub->classes > 0 && hub->classes != c->classes)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' key 'num_classes' is %d, the head of '%s' has %d outputs",
                         hub->path, hub->classes, path, c->classes);
    if (head && hub->labels > 0 && hub->labels != (size_t)c->classes)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' key '%s' has %zu names, the head of '%s' has %d outputs",
                         hub->path, hub->label_key, hub->labels, path, c->classes);
    return BASE_OK;
}

base_status vit_timm_config(vit_config *config, vit_origins *origins,
                            const vit_tensor_file *file, const char *path,
                            const vit_hub *hub, const vit_load_options *options,
                            base_error *err)
{
    vit_config c = vit_config_defaults();
    const bool class_token = vit_tensors_find(file, "cls_token");
    int side = 0;
    base_status status = refuse_relatives(file, path, hub, err);

    if (status != BASE_OK)
        return status;
    const vit_tensor *patch = need(file, path, "patch_embed.proj.weight", 4, err);
    const vit_tensor *fc1 =
        patch ? need(file, path, "blocks.0.mlp.fc1.weight", 2, err) : NULL;
    if (!patch || !fc1)
        return BASE_MISMATCH;
    c.width = to_int(patch->shape[0]);
    c.channels = to_int(patch->shape[1]);
    c.patch = to_int(patch->shape[2]);
    c.mlp = to_int(fc1->shape[0]);
    c.depth = 0;
    for (size_t i = 0; i < vit_tensors_count(file); i++) {
        const int block = vit_block_index(vit_tensors_at(file, i)->name);
        if (block >= c.depth)
            c.depth = block + 1;
    }
    read_parts(&c, file);
    read_architecture(&c, hub);
    status = read_grid(&side, file, path, (class_token ? 1 : 0) + (size_t)c.registers, hub,
                       c.patch, err);
    if (status == BASE_OK)
        status = read_pool(&c, origins, path, class_token, hub, err);
    if (status == BASE_OK)
        status = read_classes(&c, file, path, hub, options->classes, err);
    if (status == BASE_OK)
        status = read_heads(&c, origins, file, path, hub, options->heads, err);
    if (status != BASE_OK)
        return status;
    const int64_t image = (int64_t)side * c.patch;
    c.image = image > 1 << 24 ? 1 << 24 : (int)image;
    read_pixels(&c, origins, hub);
    status = vit_config_check(&c, err);
    if (status == BASE_OK)
        *config = c;
    else
        base_error_prepend(err, "'%s' ", path);
    return status;
}
