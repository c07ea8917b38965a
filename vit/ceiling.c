/* ceiling.c - the matrix products that a pass consists of: what vit_model_flops counts, one
 * by one. onednn/ceiling.c times them with oneDNN alone; together they say how fast a
 * network could be. Free to change: names, order. Relied on elsewhere: the operations of
 * the list add up to those of the pass (inference: vit_model_flops for every image). */
#include <string.h>

#include "vit/model_internal.h"

/* The list as it grows; out may be full or NULL: then only the count goes on. */
typedef struct product_list {
    vit_product *out;
    size_t room, count;
    vit_mode mode;
} product_list;

static void add(product_list *list, vit_product p)
{
    if (p.count == 0 || p.m == 0 || p.n == 0 || p.k == 0)
        return;
    if (list->out && list->count < list->room)
        list->out[list->count] = p;
    list->count++;
}

/* A layer y [rows, to] = x [rows, from] W^T, W [to, from], and its backward products.
 * input: the gradient of x is wanted when any is. */
static void add_linear(product_list *list, const char *name, vit_part part, size_t rows,
                       size_t to, size_t from, size_t count, bool input)
{
    vit_product p = {.name = name,
                     .part = part,
                     .kind = VIT_PRODUCT_FORWARD,
                     .single = part == VIT_PART_ROUTER,
                     .batch = 1,
                     .m = rows,
                     .n = to,
                     .k = from,
                     .tb = true,
                     .weight = true,
                     .count = count};

    add(list, p);
    if (list->mode != VIT_MODE_INFER && input) {
        p.kind = VIT_PRODUCT_INPUT;
        p.n = from;
        p.k = to;
        p.tb = false;
        add(list, p);
    }
    if (list->mode == VIT_MODE_TRAIN) {
        p.kind = VIT_PRODUCT_WEIGHT;
        p.m = to;
        p.n = from;
        p.k = rows;
        p.ta = true;
        p.tb = p.weight = false;
        add(list, p);
    }
}

/* q k^T and p v of every head of every image; backward: d_p = d_o v^T, d_v = p^T d_o, d_q =
 * d_s k and d_k = d_s^T q. */
static void add_attention(product_list *list, size_t heads, size_t n, size_t per_head,
                          size_t count)
{
    const vit_product scores = {.name = "scores",
                                .part = VIT_PART_ATTENTION,
                                .batch = heads,
                                .m = n,
                                .n = n,
                                .k = per_head,
                                .tb = true,
                                .count = count};
    vit_product values = scores;

    values.name = "values";
    values.n = per_head;
    values.k = n;
    values.tb = false;
    add(list, scores);
    add(list, values);
    if (list->mode == VIT_MODE_INFER)
        return;
    vit_product p = scores;
    p.kind = VIT_PRODUCT_INPUT;
    add(list, p); /* d_p */
    p = values;
    p.kind = VIT_PRODUCT_INPUT;
    add(list, p); /* d_q */
    p.ta = true;
    p.count = 2 * count;
    add(list, p); /* d_v, d_k */
}

/* What the experts of a layer get when all get the same; of two sizes when it does not
 * divide. */
static void add_experts(product_list *list, const vit_config *c, size_t tokens,
                        size_t layers)
{
    const size_t d = (size_t)c->width, m = (size_t)c->mlp;
    const size_t experts = (size_t)c->moe.experts, all = tokens * (size_t)c->moe.k;
    const size_t rows = all / experts, more = all % experts;

    add_linear(list, "experts' fc1", VIT_PART_EXPERTS, rows + 1, m, d, layers * more, true);
    add_linear(list, "experts' fc2", VIT_PART_EXPERTS, rows + 1, d, m, layers * more, true);
    add_linear(list, "experts' fc1", VIT_PART_EXPERTS, rows, m, d,
               layers * (experts - more), true);
    add_linear(list, "experts' fc2", VIT_PART_EXPERTS, rows, d, m,
               layers * (experts - more), true);
}

size_t vit_model_products(vit_product *out, size_t room, const vit_model *model,
                          size_t batch, vit_mode mode)
{
    const vit_config *c = &model->config;
    const size_t d = (size_t)c->width, m = (size_t)c->mlp, depth = (size_t)c->depth;
    const size_t heads = (size_t)c->heads, n = vit_config_tokens(c), tokens = batch * n;
    const size_t side = (size_t)(c->image / c->patch);
    const size_t patch = (size_t)c->channels * (size_t)c->patch * (size_t)c->patch;
    size_t sparse = 0;
    product_list list = {.out = out, .room = room, .mode = mode};

    for (size_t i = 0; i < depth; i++)
        sparse += c->moe.layer[i];
    add_linear(&list, "patches", VIT_PART_PATCH, batch * side * side, d, patch, 1,
               mode == VIT_MODE_INPUT_GRADIENT);
    add_linear(&list, "qkv", VIT_PART_PROJECTION, tokens, 3 * d, d, depth, true);
    add_attention(&list, batch * heads, n, d / heads, depth);
    add_linear(&list, "proj", VIT_PART_PROJECTION, tokens, d, d, depth, true);
    add_linear(&list, "fc1", VIT_PART_MLP, tokens, m, d, depth - sparse, true);
    add_linear(&list, "fc2", VIT_PART_MLP, tokens, d, m, depth - sparse, true);
    if (sparse > 0) {
        add_linear(&list, "router", VIT_PART_ROUTER, tokens, (size_t)c->moe.experts, d,
                   sparse, true);
        add_experts(&list, c, tokens, sparse);
        add_linear(&list, "shared fc1", VIT_PART_EXPERTS, tokens, m, d,
                   sparse * (size_t)c->moe.shared, true);
        add_linear(&list, "shared fc2", VIT_PART_EXPERTS, tokens, d, m,
                   sparse * (size_t)c->moe.shared, true);
    }
    add_linear(&list, "pre-logits", VIT_PART_HEAD, batch, (size_t)c->prelogits, d, 1, true);
    add_linear(&list, "head", VIT_PART_HEAD, batch, (size_t)c->classes,
               vit_config_features(c), 1, true);
    return list.count;
}

double vit_product_flops(const vit_product *product)
{
    return 2.0 * (double)product->batch * (double)product->m * (double)product->n *
           (double)product->k;
}

double vit_model_pass_flops(const vit_model *model, size_t batch, vit_mode mode)
{
    vit_product products[VIT_PRODUCTS_MAX];
    const size_t count = vit_model_products(products, VIT_PRODUCTS_MAX, model, batch, mode);
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)products[i].count * vit_product_flops(&products[i]);
    return sum;
}
