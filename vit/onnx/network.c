/* network.c - the network's evaluation as an ONNX graph: the order of vit/MODEL.md, every
 * layer on the tokens of all images at once, [T, D], and with the weights as they lie in
 * our files (Gemm takes them transposed). What a router does stands in its own file
 * (vit_router.onnx). Free to change: which operators, as long as onnxruntime gives our
 * logits (tests/reference/onnx_referee.py).
 *
 * Experts are grouped: each takes the rows whose gate is not zero, and adds its results,
 * times the gates, to the stream. The other way, every expert on every token and a product
 * with the gates, does E / k times the work. */
#include <math.h>
#include <string.h>

#include "vit/onnx/onnx_internal.h"

/* What the passes over the blocks hand on. */
typedef struct network {
    vit_onnx *g;
    const vit_model *model;
    const vit_config *config;
    const char *first, *carry; /* of the MoE layer before: vit_onnx_layer */
    size_t moe_count;
    bool refused; /* by the router */
} network;

static const char *gemm(vit_onnx *g, const char *x, const char *weight, const char *bias)
{
    return vit_onnx_with(g, "Gemm", VIT_ONNX_IN(x, weight, bias),
                         VIT_ONNX_INT("transB", 1));
}

static const char *norm(const network *n, const char *x, const char *weight,
                        const char *bias)
{
    return vit_onnx_with(n->g, "LayerNormalization", VIT_ONNX_IN(x, weight, bias),
                         VIT_ONNX_INT("axis", -1),
                         VIT_ONNX_FLOAT("epsilon", (float)n->config->eps));
}

static const char *plain(const network *n, const char *name)
{
    return vit_onnx_parameter(n->g, name, SIZE_MAX);
}

static const char *gelu(vit_onnx *g, const char *x, const vit_config *c)
{
    return vit_onnx_with(
        g, "Gelu", VIT_ONNX_IN(x),
        VIT_ONNX_TEXT("approximate", c->gelu == VIT_GELU_TANH ? "tanh" : "none"));
}

/* ---- from pixels to tokens ----------------------------------------------------------- */

/* The positions [1, N, D]; "" when there is no memory for fixed ones. */
static const char *positions(const network *n)
{
    const vit_config *c = n->config;
    const size_t shape[3] = {1, vit_config_tokens(c), (size_t)c->width};

    if (c->position != VIT_POSITION_SINCOS)
        return plain(n, "pos_embed");
    float *values = base_alloc(shape[1], shape[2] * sizeof *values);
    if (values)
        vit_position_sincos(values, c);
    const char *out = vit_onnx_floats(n->g, "pos_embed", values, shape, 3);
    base_free(values);
    return out;
}

/* [T, D] */
static const char *embed(const network *n)
{
    const vit_config *c = n->config;
    vit_onnx *g = n->g;
    const char *list[4] = {NULL};
    size_t count = 0;

    vit_onnx_scope(g, "patch_embed");
    const char *x = vit_onnx_with(g, "Conv",
                                  VIT_ONNX_IN("images", plain(n, "patch_embed.proj.weight"),
                                              plain(n, "patch_embed.proj.bias")),
                                  VIT_ONNX_INTS("kernel_shape", c->patch, c->patch),
                                  VIT_ONNX_INTS("strides", c->patch, c->patch));
    x = vit_onnx_turned(g, vit_onnx_shaped(g, x, 0, c->width, -1), 0, 2, 1);
    if (c->pool != VIT_POOL_GAP)
        list[count++] = vit_onnx_each_image(g, plain(n, "cls_token"), 1, (size_t)c->width);
    if (c->registers > 0)
        list[count++] = vit_onnx_each_image(g, plain(n, "reg_token"), (size_t)c->registers,
                                            (size_t)c->width);
    list[count] = x;
    if (count > 0)
        x = vit_onnx_with(g, "Concat", list, VIT_ONNX_INT("axis", 1));
    x = vit_onnx_op(g, "Add", x, positions(n));
    x = vit_onnx_shaped(g, x, -1, c->width);
    return c->pre_norm ? norm(n, x, plain(n, "norm_pre.weight"), plain(n, "norm_pre.bias"))
                       : x;
}

/* ---- blocks -------------------------------------------------------------------------- */

/* Queries, keys or values [B, H, N, D / H] of qkv [3, B, H, N, D / H]. */
static const char *third(const network *n, size_t block, const char *qkv, int which,
                         const char *norm_name)
{
    char weight[48], bias[48];
    const char *out =
        vit_onnx_with(n->g, "Gather", VIT_ONNX_IN(qkv, vit_onnx_int(n->g, which)),
                      VIT_ONNX_INT("axis", 0));

    if (!n->config->qk_norm || !norm_name)
        return out;
    snprintf(weight, sizeof weight, "attn.%s.weight", norm_name);
    snprintf(bias, sizeof bias, "attn.%s.bias", norm_name);
    return norm(n, out, vit_onnx_block_parameter(n->g, block, weight),
                vit_onnx_block_parameter(n->g, block, bias));
}

/* x + attention; *probs [B, H, N, N]. */
static const char *attend(const network *n, size_t block, const char *x, const char **probs)
{
    const vit_config *c = n->config;
    vit_onnx *g = n->g;
    const int64_t tokens = (int64_t)vit_config_tokens(c), heads = c->heads;
    const int64_t width = c->width / c->heads;

    vit_onnx_scope(g, "blocks.%zu.attn", block);
    const char *y = norm(n, x, vit_onnx_block_parameter(g, block, "norm1.weight"),
                         vit_onnx_block_parameter(g, block, "norm1.bias"));
    y = gemm(g, y, vit_onnx_block_parameter(g, block, "attn.qkv.weight"),
             vit_onnx_block_parameter(g, block, "attn.qkv.bias"));
    y = vit_onnx_turned(g, vit_onnx_shaped(g, y, -1, tokens, 3, heads, width), 2, 0, 3, 1,
                        4);
    const char *q = third(n, block, y, 0, "q_norm"), *k = third(n, block, y, 1, "k_norm");
    q = vit_onnx_scaled(g, q, 1.0 / sqrt((double)width));
    *probs = vit_onnx_softmax(
        g, vit_onnx_op(g, "MatMul", q, vit_onnx_turned(g, k, 0, 1, 3, 2)), -1);
    y = vit_onnx_op(g, "MatMul", *probs, third(n, block, y, 2, NULL));
    y = vit_onnx_shaped(g, vit_onnx_turned(g, y, 0, 2, 1, 3), -1, c->width);
    y = gemm(g, y, vit_onnx_block_parameter(g, block, "attn.proj.weight"),
             vit_onnx_block_parameter(g, block, "attn.proj.bias"));
    return vit_onnx_op(g, "Add", x, y);
}

static const char *mlp(const network *n, size_t block, const char *x)
{
    vit_onnx *g = n->g;

    vit_onnx_scope(g, "blocks.%zu.mlp", block);
    const char *y = norm(n, x, vit_onnx_block_parameter(g, block, "norm2.weight"),
                         vit_onnx_block_parameter(g, block, "norm2.bias"));
    y = gemm(g, y, vit_onnx_block_parameter(g, block, "mlp.fc1.weight"),
             vit_onnx_block_parameter(g, block, "mlp.fc1.bias"));
    y = gemm(g, gelu(g, y, n->config), vit_onnx_block_parameter(g, block, "mlp.fc2.weight"),
             vit_onnx_block_parameter(g, block, "mlp.fc2.bias"));
    return vit_onnx_op(g, "Add", x, y);
}

/* ---- experts ------------------------------------------------------------------------- */

const char *vit_onnx_router_parameter(const vit_onnx_layer *layer, const char *name)
{
    char full[64];

    snprintf(full, sizeof full, "moe.router.%s", name);
    return vit_onnx_block_parameter(layer->graph, layer->block, full);
}

const char *vit_onnx_expert(const vit_onnx_layer *layer, const char *whose, size_t expert,
                            const char *rows)
{
    static const char *const parts[4] = {"fc1.weight", "fc1.bias", "fc2.weight",
                                         "fc2.bias"};
    vit_onnx *g = layer->graph;
    const char *p[4];
    char name[80];

    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "blocks.%zu.moe.%s.%s", layer->block, whose, parts[i]);
        p[i] = vit_onnx_parameter(g, name, expert);
    }
    return gemm(g, gelu(g, gemm(g, rows, p[0], p[1]), &layer->model->config), p[2], p[3]);
}

/* sum [T, D] and what each expert makes of its tokens, by gates [T, E]. */
static const char *experts_add(const vit_onnx_layer *layer, const char *sum,
                               const char *gates)
{
    vit_onnx *g = layer->graph;

    for (size_t e = 0; e < layer->shape.experts; e++) {
        vit_onnx_scope(g, "blocks.%zu.moe.experts.%zu", layer->block, e);
        const char *own =
            vit_onnx_with(g, "Gather", VIT_ONNX_IN(gates, vit_onnx_int(g, (int64_t)e)),
                          VIT_ONNX_INT("axis", 1));
        const char *place = vit_onnx_turned(g, vit_onnx_op(g, "NonZero", own), 1, 0);
        const char *rows = vit_onnx_op(g, "GatherND", layer->x, place);
        const char *gate =
            vit_onnx_shaped(g, vit_onnx_op(g, "GatherND", own, place), -1, 1);
        const char *y =
            vit_onnx_op(g, "Mul", vit_onnx_expert(layer, "experts", e, rows), gate);
        sum = vit_onnx_with(g, "ScatterND", VIT_ONNX_IN(sum, place, y),
                            VIT_ONNX_TEXT("reduction", "add"));
    }
    return sum;
}

/* sum [T, D] and what the experts make that every token passes. */
static const char *shared_add(const vit_onnx_layer *layer, const char *sum)
{
    vit_onnx *g = layer->graph;

    for (size_t e = 0; e < (size_t)layer->model->config.moe.shared; e++) {
        vit_onnx_scope(g, "blocks.%zu.moe.shared.%zu", layer->block, e);
        sum = vit_onnx_op(g, "Add", sum, vit_onnx_expert(layer, "shared", e, layer->x));
    }
    return sum;
}

/* x and the layer's results, or what its router makes of both. */
static const char *moe(network *n, size_t block, const char *x, const char *attention)
{
    vit_onnx *g = n->g;
    const vit_router *router = vit_router_find(n->config->moe.router.name);
    const vit_router_join *join = router->join;
    const bool mixes = router->views && router->views->always;
    vit_onnx_layer layer = {.graph = g,
                            .model = n->model,
                            .shape = vit_model_router_shape(n->model, 1),
                            .block = block,
                            .moe_index = n->moe_count++,
                            .attention = attention,
                            .first = n->first,
                            .carry = n->carry};

    layer.shape.k = (size_t)vit_config_eval_k(n->config);
    vit_onnx_scope(g, "blocks.%zu.moe.router", block);
    const char *in = join && join->onnx_enter ? join->onnx_enter(&layer, x) : x;
    layer.x = norm(n, in, vit_onnx_block_parameter(g, block, "norm2.weight"),
                   vit_onnx_block_parameter(g, block, "norm2.bias"));
    const char *made = router->onnx(&layer); /* gates, or what is mixed of slots */
    if (!made) {
        n->refused = true;
        return x;
    }
    const char *sum = join ? vit_onnx_full_like(g, x, 0) : x;
    sum = mixes ? vit_onnx_op(g, "Add", sum, made) : experts_add(&layer, sum, made);
    sum = shared_add(&layer, sum);
    if (join) {
        vit_onnx_scope(g, "blocks.%zu.moe.join", block);
        sum = join->onnx(&layer, x, sum);
        if (join->normed && join->normed(&n->config->moe.router))
            sum = norm(n, sum, vit_onnx_router_parameter(&layer, "norm.weight"),
                       vit_onnx_router_parameter(&layer, "norm.bias"));
    }
    n->first = layer.first;
    n->carry = layer.carry;
    return sum;
}

/* ---- from tokens to logits ----------------------------------------------------------- */

static const char *mean(const network *n, const char *x)
{
    vit_onnx *g = n->g;
    const int64_t before = (int64_t)vit_config_prefix(n->config);
    const int64_t tokens = (int64_t)vit_config_tokens(n->config);

    x = vit_onnx_shaped(g, x, -1, tokens, n->config->width);
    if (before > 0)
        x = vit_onnx_op(g, "Slice", x, vit_onnx_ints(g, &before, 1),
                        vit_onnx_ints(g, &tokens, 1), vit_onnx_ints(g, &(int64_t){1}, 1));
    return vit_onnx_with(g, "ReduceMean",
                         VIT_ONNX_IN(x, vit_onnx_ints(g, &(int64_t){1}, 1)),
                         VIT_ONNX_INT("keepdims", 0));
}

static void head(const network *n, const char *x)
{
    const vit_config *c = n->config;
    const char *weight = plain(n, c->fc_norm ? "fc_norm.weight" : "norm.weight");
    const char *bias = plain(n, c->fc_norm ? "fc_norm.bias" : "norm.bias");

    vit_onnx_scope(n->g, "head");
    if (c->pool == VIT_POOL_TOKEN) {
        x = vit_onnx_shaped(n->g, x, -1, (int64_t)vit_config_tokens(c), c->width);
        x = vit_onnx_with(n->g, "Gather", VIT_ONNX_IN(x, vit_onnx_int(n->g, 0)),
                          VIT_ONNX_INT("axis", 1));
    }
    if (c->pool != VIT_POOL_TOKEN && c->fc_norm)
        x = norm(n, mean(n, x), weight, bias);
    else
        x = norm(n, x, weight, bias);
    if (c->pool != VIT_POOL_TOKEN && !c->fc_norm)
        x = mean(n, x);
    if (c->prelogits > 0)
        x = vit_onnx_op(n->g, "Tanh",
                        gemm(n->g, x, plain(n, "pre_logits.fc.weight"),
                             plain(n, "pre_logits.fc.bias")));
    vit_onnx_result(n->g, "logits");
    gemm(n->g, x, plain(n, "head.weight"), plain(n, "head.bias"));
}

/* ---- the whole ----------------------------------------------------------------------- */

static base_status refuse_router(const vit_config *c, base_error *err)
{
    return base_fail(err, BASE_UNSUPPORTED,
                     "the router '%s' with these options is not written as ONNX",
                     c->moe.router.name);
}

/* What a file for one image and for many cannot hold. */
static base_status check(const vit_config *c, base_error *err)
{
    const vit_router *router = vit_router_find(c->moe.router.name);

    if (!vit_config_is_sparse(c))
        return BASE_OK;
    if (c->moe.eval_capacity > 0)
        return base_fail(err, BASE_UNSUPPORTED,
                         "the capacity factor %g of the experts in evaluation is not "
                         "written as ONNX, expected 0: nothing is dropped "
                         "(--eval-capacity 0)",
                         c->moe.eval_capacity);
    if (vit_config_mixes_images(c))
        return base_fail(err, BASE_UNSUPPORTED,
                         "the router '%s' with these options lets the images of a batch "
                         "decide about one another, which is not written as ONNX, expected "
                         "router.scope image",
                         router->name);
    return router->onnx ? BASE_OK : refuse_router(c, err);
}

base_status vit_model_save_onnx(const vit_model *model, const char *path, base_error *err)
{
    const vit_config *c = &model->config;
    base_status status = check(c, err);

    if (status != BASE_OK)
        return status;
    network n = {.g = vit_onnx_create(model), .model = model, .config = c};
    if (!n.g)
        return base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
    const char *x = embed(&n);
    for (size_t i = 0; i < (size_t)c->depth; i++) {
        const char *probs;

        x = attend(&n, i, x, &probs);
        x = c->moe.layer[i] ? moe(&n, i, x, probs) : mlp(&n, i, x);
    }
    head(&n, x);
    status = n.refused ? refuse_router(c, err) : vit_onnx_save(n.g, path, err);
    vit_onnx_destroy(n.g);
    return status;
}
