/* jax.c - networks of google-research/vmoe, vision_transformer and big_vision (JAX): their
 * tensors under our names. Names and shapes follow the modules VisionTransformerMoe
 * (vmoe/nn/vit_moe.py), VisionTransformer (vit_jax/models_vit.py) and big_vision's
 * models/vit.py; they differ in the names of the parts of a block, in what stands before
 * all names, and in where the class token's position is. Kernels are [in, out] there, [out,
 * in] here. What the files do not say, experts a token, capacity, groups and how pixels are
 * made ready, is assumed as published and told (vit_origins). Every tensor must find its
 * place: one that is left over is named. */
#include <math.h>
#include <string.h>

#include "vit/files/raw_internal.h"
#include "vit/model_internal.h"

typedef struct jax_file {
    const char *path;
    vit_raw_set set;
    vit_config c;
    bool scan;    /* all blocks in one tensor, depth first (big_vision) */
    int members;  /* of an ensemble, else 1 */
    int member;   /* the one that is taken */
    bool no_head; /* it is not used */
    base_error *err;
} jax_file;

enum { NAME = 160, GROUP_IMAGES = 8, MULTIPLE = 4, SIDE_OF_224 = 224, RESIZE_OF_224 = 256 };

/* ---- names --------------------------------------------------------------------------- */

/* What the parts of a block are called in the three, and here. */
static const struct {
    const char *theirs, *ours;
} renamed[] = {
    {"Transformer/posembed_input/pos_embedding", "Encoder/posembed_input/pos_embedding"},
    {"Transformer/pos_embedding", "Encoder/posembed_input/pos_embedding"},
    {"pos_embedding", "Encoder/posembed_input/pos_embedding"},
    {"Transformer/", "Encoder/"},
    {"/MultiHeadDotProductAttention_1/", "/SelfAttention/"},
    {"/MultiHeadDotProductAttention_0/", "/SelfAttention/"},
    {"/LayerNorm_2/", "/LayerNorm_1/"},
    {"/MlpBlock_3/", "/Mlp/"},
    {"/MlpBlock_0/", "/Mlp/"},
};

/* One name of theirs as V-MoE has it; what is no parameter counts as used. */
static base_status rename_one(jax_file *f, vit_raw *raw, const char *prefix)
{
    char name[1024];

    if (strncmp(raw->name, prefix, strlen(prefix)) != 0) {
        raw->used = true;
        return BASE_OK;
    }
    snprintf(name, sizeof name, "%s", raw->name + strlen(prefix));
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++) {
        const char *theirs = renamed[i].theirs;
        char *at = theirs[0] == '/'                             ? strstr(name, theirs)
                   : strncmp(name, theirs, strlen(theirs)) == 0 ? name
                                                                : NULL;
        char rest[1024];

        if (!at)
            continue;
        snprintf(rest, sizeof rest, "%s", at + strlen(theirs));
        *at = '\0';
        char *whole = base_text("%s%s%s", name, renamed[i].ours, rest);
        if (!whole)
            return base_fail(f->err, BASE_NO_MEMORY, "no memory to read '%s'", f->path);
        snprintf(name, sizeof name, "%s", whole);
        base_free(whole);
        if (theirs[0] != '/' && strcmp(theirs, "Transformer/") != 0)
            break; /* the whole name */
    }
    char *made = base_text("%s", name);
    if (!made)
        return base_fail(f->err, BASE_NO_MEMORY, "no memory to read '%s'", f->path);
    base_free(raw->name);
    raw->name = made;
    return BASE_OK;
}

static vit_raw *find(const jax_file *f, int block, const char *name)
{
    char full[NAME];

    if (block < 0)
        snprintf(full, sizeof full, "%s", name);
    else if (f->scan)
        snprintf(full, sizeof full, "Encoder/encoderblock/%s", name);
    else
        snprintf(full, sizeof full, "Encoder/encoderblock_%d/%s", block, name);
    return vit_raw_find(&f->set, full);
}

/* The values of a tensor of this shape (block -1: of none); NULL with err. */
static const float *take(jax_file *f, int block, const char *name, int rank,
                         const size_t *shape)
{
    vit_raw *raw = find(f, block, name);
    const size_t stacked = f->scan && block >= 0 ? 1 : 0;
    char have[96], want[96], quoted[NAME];
    size_t count = 1;

    if (!raw) {
        base_fail(f->err, BASE_MISMATCH, "'%s' has no tensor '%s%s%s'", f->path,
                  block < 0 ? "" : "encoder block's ", name, f->scan ? " (stacked)" : "");
        if (block >= 0 && !f->scan)
            base_fail(f->err, BASE_MISMATCH, "'%s' has no tensor 'encoderblock_%d/%s'",
                      f->path, block, name);
        return NULL;
    }
    bool fits = raw->rank == rank + (int)stacked &&
                (!stacked || raw->shape[0] == (size_t)f->c.depth);
    for (int a = 0; a < rank; a++) {
        fits = fits && raw->shape[a + (int)stacked] == shape[a];
        count *= shape[a];
    }
    base_quote(quoted, sizeof quoted, raw->name);
    if (!fits) {
        base_fail(f->err, BASE_MISMATCH, "'%s' tensor '%s' has shape %s, expected %s%s",
                  f->path, quoted, vit_shape_text(have, sizeof have, raw->shape, raw->rank),
                  stacked ? "depth and then " : "",
                  vit_shape_text(want, sizeof want, shape, rank));
        return NULL;
    }
    if (!raw->values) {
        base_fail(f->err, BASE_MISMATCH,
                  "'%s' tensor '%s' has type %s, expected float32, bfloat16, float16 or "
                  "float64",
                  f->path, quoted, raw->type);
        return NULL;
    }
    raw->used = true;
    return raw->values + (stacked ? (size_t)block * count : 0);
}

/* ---- shapes to a network ------------------------------------------------------------- */

static int to_int(size_t value)
{
    return value > 1 << 24 ? 1 << 24 : (int)value; /* vit_config_check refuses it */
}

static base_status refuse_others(const jax_file *f)
{
    static const struct {
        const char *begin, *what;
    } others[] = {
        {"MAPHead_0/",
         "attention pooling (a MAP head), expected a class token or the mean"},
        {"conv_root/", "a ResNet in front, expected patches alone"},
        {"block1/", "a ResNet in front, expected patches alone"},
        {"txt/", "of a text tower, expected an image tower alone"},
    };

    for (size_t i = 0; i < f->set.count; i++)
        for (size_t o = 0; o < sizeof others / sizeof others[0]; o++)
            if (strncmp(f->set.at[i].name, others[o].begin, strlen(others[o].begin)) == 0)
                return base_fail(f->err, BASE_UNSUPPORTED, "'%s' tensor '%s' is %s",
                                 f->path, f->set.at[i].name, others[o].what);
    return BASE_OK;
}

/* Rows of the positions tell the grid; with a class token one of them may be its own. */
static base_status read_positions(jax_file *f, const vit_raw *positions, bool class_token)
{
    vit_config *c = &f->c;

    const size_t rows = positions->rank == 3 ? positions->shape[1] : 0;
    const size_t side = (size_t)(sqrt((double)rows) + 1e-6);
    if (rows == 0 || rows > 1 << 26 ||
        (side * side != rows && !(class_token && side * side + 1 == rows)))
        return base_fail(f->err, BASE_UNSUPPORTED,
                         "'%s' tensor 'pos_embedding' has %zu rows, expected a square "
                         "number%s",
                         f->path, rows,
                         class_token ? " and perhaps one for the class token" : "");
    c->image = to_int(side * (size_t)c->patch);
    return BASE_OK;
}

/* Blocks, heads and experts. */
static base_status read_blocks(jax_file *f, const vit_load_options *options)
{
    vit_config *c = &f->c;

    f->scan = vit_raw_find(&f->set, "Encoder/encoderblock/LayerNorm_0/scale") != NULL;
    if (f->scan) {
        const vit_raw *norms = find(f, 0, "LayerNorm_0/scale");
        c->depth = norms->rank == 2 ? to_int(norms->shape[0]) : 0;
    } else {
        c->depth = 0;
        while (c->depth < VIT_DEPTH_MAX && find(f, c->depth, "LayerNorm_0/scale"))
            c->depth++;
    }
    const vit_raw *query = find(f, 0, "SelfAttention/query/kernel");
    const vit_raw *dense = NULL, *sparse = NULL, *router = NULL;
    for (int i = 0; i < c->depth && i < VIT_DEPTH_MAX; i++) {
        const vit_raw *of_dense = find(f, i, "Mlp/Dense_0/kernel");
        const vit_raw *of_experts = f->scan ? NULL : find(f, i, "Moe/Mlp/Dense_0/kernel");

        c->moe.layer[i] = of_experts != NULL;
        dense = of_dense ? of_dense : dense;
        sparse = of_experts ? of_experts : sparse;
        router = of_experts ? find(f, i, "Moe/Router/dense/kernel") : router;
    }
    const int stacked = f->scan ? 1 : 0;
    if (!query || query->rank != 3 + stacked || (!dense && !sparse) ||
        (dense && dense->rank != 2 + stacked) || (sparse && sparse->rank != 3))
        return base_fail(
            f->err, BASE_MISMATCH,
            "'%s' has no blocks with 'SelfAttention/query/kernel' and 'Mlp' or "
            "'Moe' of the shapes of V-MoE, vision_transformer or big_vision",
            f->path);
    c->heads = to_int(query->shape[1 + stacked]);
    c->mlp = to_int(dense ? dense->shape[1 + stacked] : sparse->shape[2]);
    f->members = 1;
    if (sparse) {
        if (router && router->rank == 3)
            f->members = to_int(router->shape[1]);
        if (f->members < 1 || options->member >= f->members)
            return base_fail(f->err, BASE_USAGE,
                             "'%s' has %d members, expected --member from 0 to %d", f->path,
                             f->members, f->members - 1);
        c->moe.experts = to_int(sparse->shape[0]) / f->members;
        c->moe.k = f->members > 1 || c->moe.experts < 2 ? 1 : 2;
        c->moe.group_images = GROUP_IMAGES;
        c->moe.capacity_multiple = MULTIPLE;
        f->member = options->member;
        return vit_router_select(&c->moe.router, "vmoe", f->err);
    }
    return options->member > 0
               ? base_fail(f->err, BASE_USAGE,
                           "'%s' is no ensemble, --member means nothing", f->path)
               : BASE_OK;
}

static base_status read_config(jax_file *f, vit_origins *origins,
                               const vit_load_options *options)
{
    const vit_raw *patch = find(f, -1, "embedding/kernel"),
                  *head = find(f, -1, "head/kernel");
    const vit_raw *hidden = find(f, -1, "pre_logits/kernel");
    const bool class_token = find(f, -1, "cls") != NULL;
    vit_config *c = &f->c;

    *c = vit_config_defaults();
    base_status status = refuse_others(f);
    if (status != BASE_OK)
        return status;
    if (!patch || patch->rank != 4)
        return base_fail(f->err, BASE_MISMATCH,
                         "'%s' has no tensor 'embedding/kernel' of four dimensions: no "
                         "vision transformer of V-MoE, vision_transformer or big_vision",
                         f->path);
    if (!head && options->classes <= 0)
        return base_fail(
            f->err, BASE_MISMATCH,
            "'%s' has no tensor 'head/kernel' and no number of classes was given", f->path);
    c->patch = to_int(patch->shape[0]);
    c->channels = to_int(patch->shape[2]);
    c->width = to_int(patch->shape[3]);
    c->gelu = VIT_GELU_TANH;
    c->init = VIT_INIT_VMOE;
    c->pool = class_token ? VIT_POOL_TOKEN : VIT_POOL_GAP;
    c->prelogits = hidden && hidden->rank == 2 ? to_int(hidden->shape[1]) : 0;
    c->classes = head && head->rank == 2 ? to_int(head->shape[1]) : options->classes;
    for (int i = 0; i < 3; i++)
        c->mean[i] = c->std[i] = 0.5f;
    *origins = (vit_origins){.mean = VIT_ORIGIN_ASSUMED,
                             .std = VIT_ORIGIN_ASSUMED,
                             .interpolation = VIT_ORIGIN_ASSUMED,
                             .resize = VIT_ORIGIN_ASSUMED};
    const vit_raw *positions = find(f, -1, "Encoder/posembed_input/pos_embedding");
    if (positions) {
        status = read_positions(f, positions, class_token);
    } else { /* big_vision's sin-cos; nothing tells the side but what it was trained on */
        c->position = VIT_POSITION_SINCOS;
        c->image = options->image > 0 ? options->image : SIDE_OF_224 / c->patch * c->patch;
    }
    if (status == BASE_OK)
        status = read_blocks(f, options);
    if (status != BASE_OK)
        return status;
    if (vit_config_is_sparse(c))
        origins->routing = VIT_ORIGIN_ASSUMED;
    origins->members = f->members > 1 ? f->members : 0;
    origins->image = c->position == VIT_POSITION_SINCOS ? 0 : c->image;
    vit_jax_sight(c);
    return BASE_OK;
}

void vit_jax_sight(vit_config *c)
{
    const bool small =
        c->image == SIDE_OF_224; /* what all of them trained from scratch at */

    c->crop = c->image;
    c->crop_mode = small ? VIT_CROP_CENTER : VIT_CROP_SQUASH;
    c->resize = small ? RESIZE_OF_224 : c->image;
    snprintf(c->interpolation, sizeof c->interpolation, small ? "area" : "bilinear-plain");
}

/* ---- numbers ------------------------------------------------------------------------- */

/* out [outer, columns, rows] <- in [outer, rows, columns] */
static void transpose(float *out, const float *in, size_t outer, size_t rows,
                      size_t columns)
{
    for (size_t o = 0; o < outer; o++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                out[(o * columns + c) * rows + r] = in[(o * rows + r) * columns + c];
}

/* A kernel and its bias, transposed. False: err says why. */
static bool put_linear(jax_file *f, float *weight, float *bias, int block, const char *name,
                       int rank, const size_t *shape, size_t in, size_t out, int bias_rank,
                       const size_t *bias_shape)
{
    char full[NAME];

    snprintf(full, sizeof full, "%s/kernel", name);
    const float *kernel = take(f, block, full, rank, shape);
    if (!kernel)
        return false;
    transpose(weight, kernel, 1, in, out);
    snprintf(full, sizeof full, "%s/bias", name);
    const float *values = take(f, block, full, bias_rank, bias_shape);
    if (values)
        memcpy(bias, values, out * sizeof *bias);
    return values != NULL;
}

static bool put_norm(jax_file *f, float *weight, float *bias, int block, const char *name)
{
    const size_t d = (size_t)f->c.width;
    char full[NAME];

    snprintf(full, sizeof full, "%s/scale", name);
    const float *scale = take(f, block, full, 1, &d);
    if (!scale)
        return false;
    memcpy(weight, scale, d * sizeof *weight);
    snprintf(full, sizeof full, "%s/bias", name);
    const float *values = take(f, block, full, 1, &d);
    if (values)
        memcpy(bias, values, d * sizeof *bias);
    return values != NULL;
}

static bool put_attention(jax_file *f, const vit_block_parameters *to, int block)
{
    static const char *const names[] = {"SelfAttention/query", "SelfAttention/key",
                                        "SelfAttention/value"};
    const size_t d = (size_t)f->c.width, h = (size_t)f->c.heads, e = d / h;
    const size_t in[] = {d, h, e}, of_bias[] = {h, e}, out[] = {h, e, d};

    for (size_t i = 0; i < 3; i++)
        if (!put_linear(f, to->qkv_weight + i * d * d, to->qkv_bias + i * d, block,
                        names[i], 3, in, d, d, 2, of_bias))
            return false;
    return put_linear(f, to->proj_weight, to->proj_bias, block, "SelfAttention/out", 3, out,
                      d, d, 1, &d);
}

/* Experts first .. of a [all, rows, columns] kernel and its [all, columns] bias. */
static bool put_experts(jax_file *f, float *weight, float *bias, int block,
                        const char *name, size_t rows, size_t columns)
{
    const size_t experts = (size_t)f->c.moe.experts, all = experts * (size_t)f->members;
    const size_t shape[] = {all, rows, columns}, of_bias[] = {all, columns};
    const size_t first = experts * (size_t)f->member;
    char full[NAME];

    snprintf(full, sizeof full, "%s/kernel", name);
    const float *kernel = take(f, block, full, 3, shape);
    snprintf(full, sizeof full, "%s/bias", name);
    const float *values = kernel ? take(f, block, full, 2, of_bias) : NULL;
    if (!values)
        return false;
    transpose(weight, kernel + first * rows * columns, experts, rows, columns);
    memcpy(bias, values + first * columns, experts * columns * sizeof *bias);
    return true;
}

static bool put_router(jax_file *f, float *weight, int block)
{
    const size_t d = (size_t)f->c.width, experts = (size_t)f->c.moe.experts;
    const size_t members = (size_t)f->members;
    const size_t plain[] = {d, experts}, of_members[] = {d, members, experts};
    const float *kernel = take(f, block, "Moe/Router/dense/kernel", members > 1 ? 3 : 2,
                               members > 1 ? of_members : plain);

    for (size_t i = 0; kernel && i < d; i++)
        for (size_t e = 0; e < experts; e++)
            weight[e * d + i] = kernel[(i * members + (size_t)f->member) * experts + e];
    return kernel != NULL;
}

static bool put_block(jax_file *f, const vit_block_parameters *to, int block)
{
    const size_t d = (size_t)f->c.width, m = (size_t)f->c.mlp;
    const size_t in[] = {d, m}, out[] = {m, d};

    if (!put_norm(f, to->norm1_weight, to->norm1_bias, block, "LayerNorm_0") ||
        !put_attention(f, to, block) ||
        !put_norm(f, to->norm2_weight, to->norm2_bias, block, "LayerNorm_1"))
        return false;
    if (!f->c.moe.layer[block])
        return put_linear(f, to->fc1_weight, to->fc1_bias, block, "Mlp/Dense_0", 2, in, d,
                          m, 1, &m) &&
               put_linear(f, to->fc2_weight, to->fc2_bias, block, "Mlp/Dense_1", 2, out, m,
                          d, 1, &d);
    return put_router(f, to->router[0], block) &&
           put_experts(f, to->fc1_weight, to->fc1_bias, block, "Moe/Mlp/Dense_0", d, m) &&
           put_experts(f, to->fc2_weight, to->fc2_bias, block, "Moe/Mlp/Dense_1", m, d);
}

/* [P, P, C, D] to [D, C, P, P]. */
static bool put_patches(jax_file *f, const vit_parameters *to)
{
    const size_t p = (size_t)f->c.patch, channels = (size_t)f->c.channels;
    const size_t d = (size_t)f->c.width, shape[] = {p, p, channels, d};
    const float *kernel = take(f, -1, "embedding/kernel", 4, shape);
    const float *bias = kernel ? take(f, -1, "embedding/bias", 1, &d) : NULL;

    if (!bias)
        return false;
    for (size_t i = 0; i < p * p; i++)
        for (size_t c = 0; c < channels; c++)
            for (size_t j = 0; j < d; j++)
                to->patch_weight[(j * channels + c) * p * p + i] =
                    kernel[(i * channels + c) * d + j];
    memcpy(to->patch_bias, bias, d * sizeof *bias);
    return true;
}

static bool put_tokens(jax_file *f, const vit_parameters *to)
{
    const size_t d = (size_t)f->c.width, token[] = {1, 1, d};
    const size_t tokens = vit_config_tokens(&f->c), prefix = vit_config_prefix(&f->c);

    if (f->c.pool == VIT_POOL_TOKEN) {
        const float *values = take(f, -1, "cls", 3, token);
        if (!values)
            return false;
        memcpy(to->cls_token, values, d * sizeof *values);
    }
    if (f->c.position == VIT_POSITION_SINCOS)
        return true;
    const vit_raw *raw = find(f, -1, "Encoder/posembed_input/pos_embedding");
    const size_t rows = raw->shape[1], shape[] = {1, rows, d};
    const float *values = take(f, -1, "Encoder/posembed_input/pos_embedding", 3, shape);
    if (values) /* the class token's row is zero where it has none */
        memcpy(to->pos_embed + (rows < tokens ? prefix : 0) * d, values,
               rows * d * sizeof *values);
    return values != NULL;
}

static bool put_head(jax_file *f, const vit_parameters *to)
{
    const size_t d = (size_t)f->c.width, r = vit_config_features(&f->c);
    const size_t k = (size_t)f->c.classes, hidden[] = {d, r}, head[] = {r, k};

    if (f->c.prelogits > 0 && !put_linear(f, to->hidden_weight, to->hidden_bias, -1,
                                          "pre_logits", 2, hidden, d, r, 1, &r))
        return false;
    if (!f->no_head)
        return put_linear(f, to->head_weight, to->head_bias, -1, "head", 2, head, r, k, 1,
                          &k);
    for (size_t i = 0; i < f->set.count; i++)
        if (strncmp(f->set.at[i].name, "head/", 5) == 0)
            f->set.at[i].used = true;
    return true;
}

static base_status put_all(jax_file *f, vit_model *model)
{
    const vit_parameters to = vit_parameters_at(model, model->weights);
    char quoted[NAME];
    bool good = put_patches(f, &to) && put_tokens(f, &to);

    for (int i = 0; i < f->c.depth && good; i++)
        good = put_block(f, &to.block[i], i);
    if (!good || !put_norm(f, to.norm_weight, to.norm_bias, -1, "Encoder/encoder_norm") ||
        !put_head(f, &to))
        return f->err ? f->err->status : BASE_MISMATCH;
    for (size_t i = 0; i < f->set.count; i++)
        if (!f->set.at[i].used)
            return base_fail(f->err, BASE_MISMATCH,
                             "'%s' tensor '%s' has no place in this network", f->path,
                             base_quote(quoted, sizeof quoted, f->set.at[i].name));
    for (size_t i = 0; i < model->floats; i++)
        if (!isfinite(model->weights[i]))
            return base_fail(f->err, BASE_NUMERIC, "'%s' has a weight that is not finite",
                             f->path);
    return BASE_OK;
}

bool vit_jax_named(const char *path)
{
    return vit_name_ends(path, ".index") || vit_name_ends(path, ".npz");
}

base_status vit_jax_load(vit_model **out, const char *path, const vit_load_options *options,
                         base_error *err)
{
    base_error own = {0};
    jax_file f = {.path = path, .err = err ? err : &own};
    vit_origins origins = {0};
    vit_model *model = NULL;
    base_status status = vit_name_ends(path, ".npz")
                             ? vit_raw_npz_read(&f.set, path, f.err)
                             : vit_raw_index_read(&f.set, path, f.err);
    const char *prefix = status == BASE_OK ? vit_raw_prefix(&f.set) : "";

    for (size_t i = 0; i < f.set.count && status == BASE_OK; i++)
        status = rename_one(&f, &f.set.at[i], prefix);
    if (status == BASE_OK)
        status = read_config(&f, &origins, options);
    if (status == BASE_OK) {
        origins.classes = find(&f, -1, "head/kernel") ? f.c.classes : 0;
        f.no_head = origins.classes == 0 ||
                    (options->classes > 0 && options->classes != f.c.classes);
        if (f.no_head)
            f.c.classes = options->classes;
        status = vit_model_plan(&model, &f.c, f.err);
        if (status != BASE_OK)
            base_error_prepend(f.err, "'%s' ", path);
    }
    if (status == BASE_OK)
        status = vit_model_weights_take(model, f.err);
    if (status == BASE_OK)
        status = put_all(&f, model);
    vit_raw_free(&f.set);
    if (status == BASE_OK) {
        model->origins = origins;
        *out = model;
    } else {
        vit_model_destroy(model);
    }
    return status;
}
