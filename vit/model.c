/* model.c - the network at rest: one block of floats, a table that says which tensor
 * lies where, and what can be counted without running it. Names are timm's
 * (vit/MODEL.md). Free to change: the table's inside. Relied on elsewhere: order and
 * names of the parameters (checkpoints, random streams), no gap between them, decay on
 * matrices only. */
#include "vit/vit.h"

#include <assert.h>
#include <string.h>

#include "vit/model_internal.h"

/* ---- the plan ------------------------------------------------------------------------ */

#define PLACE(field) offsetof(vit_parameters, field)
#define BLOCK_PLACE(i, field)                                                              \
    (offsetof(vit_parameters, block) + (i) * sizeof(vit_block_parameters) +                \
     offsetof(vit_block_parameters, field))

/* Most tensors a block can have: two norms, those of queries and keys, qkv, projection, MLP
 * (a weight and a bias each), shared experts, router. */
enum { BLOCK_PARAMETERS_MAX = 20 + VIT_ROUTER_PARAMETERS_MAX };

/* Appends a tensor; the shape ends at the first 0. */
static void add(vit_model *m, size_t place, bool decay, const size_t shape[4],
                const char *name)
{
    vit_parameter *p = &m->parameter[m->count];

    snprintf(p->name, sizeof p->name, "%s", name);
    p->count = 1;
    for (p->rank = 0; p->rank < 4 && shape[p->rank] != 0; p->rank++) {
        p->shape[p->rank] = shape[p->rank];
        p->count *= shape[p->rank]; /* vit_config_check bounds every dimension */
    }
    p->offset = m->floats;
    p->decay = decay;
    m->place[m->count] = place;
    m->floats += p->count;
    m->count++;
}

/* A tensor of block i: blocks.I.NAME. */
static void add_to_block(vit_model *m, size_t i, size_t place, bool decay,
                         const size_t shape[4], const char *name)
{
    char full[sizeof m->parameter->name];

    snprintf(full, sizeof full, "blocks.%zu.%.50s", i, name);
    add(m, place, decay, shape, full);
}

static void plan_mlp(vit_model *m, size_t i)
{
    const size_t d = (size_t)m->config.width;
    const size_t h = (size_t)m->config.mlp;

    add_to_block(m, i, BLOCK_PLACE(i, fc1_weight), true, (size_t[4]){h, d},
                 "mlp.fc1.weight");
    add_to_block(m, i, BLOCK_PLACE(i, fc1_bias), false, (size_t[4]){h}, "mlp.fc1.bias");
    add_to_block(m, i, BLOCK_PLACE(i, fc2_weight), true, (size_t[4]){d, h},
                 "mlp.fc2.weight");
    add_to_block(m, i, BLOCK_PLACE(i, fc2_bias), false, (size_t[4]){d}, "mlp.fc2.bias");
}

/* Tensors of e experts side by side. Their biases have rank 2 and yet are vectors, one per
 * expert: no decay. */
static void plan_experts(vit_model *m, size_t i, size_t e, const size_t place[4],
                         const char *whose)
{
    const size_t d = (size_t)m->config.width;
    const size_t h = (size_t)m->config.mlp;
    const size_t shape[4][4] = {{e, h, d}, {e, h}, {e, d, h}, {e, d}};
    static const char *const parts[4] = {"fc1.weight", "fc1.bias", "fc2.weight",
                                         "fc2.bias"};

    for (size_t part = 0; part < 4; part++) {
        char name[64];
        snprintf(name, sizeof name, "moe.%s.%s", whose, parts[part]);
        add_to_block(m, i, place[part], part % 2 == 0, shape[part], name);
    }
}

static void plan_moe(vit_model *m, size_t i)
{
    const size_t experts[4] = {BLOCK_PLACE(i, fc1_weight), BLOCK_PLACE(i, fc1_bias),
                               BLOCK_PLACE(i, fc2_weight), BLOCK_PLACE(i, fc2_bias)};
    const size_t shared[4] = {
        BLOCK_PLACE(i, shared_fc1_weight), BLOCK_PLACE(i, shared_fc1_bias),
        BLOCK_PLACE(i, shared_fc2_weight), BLOCK_PLACE(i, shared_fc2_bias)};
    const vit_router *router = vit_router_find(m->config.moe.router.name);
    const vit_router_shape shape = vit_model_router_shape(m, 1);
    vit_router_parameter extra[VIT_ROUTER_PARAMETERS_MAX] = {0};
    const size_t count = router->parameters(&shape, extra);

    for (size_t r = 0; r < count; r++) {
        char name[64];
        size_t dims[4] = {0};
        memcpy(dims, extra[r].shape, (size_t)extra[r].rank * sizeof dims[0]);
        snprintf(name, sizeof name, "moe.router.%s", extra[r].name);
        add_to_block(m, i, BLOCK_PLACE(i, router) + r * sizeof(float *), extra[r].decay,
                     dims, name);
        m->parameter[m->count - 1].state = extra[r].state;
    }
    plan_experts(m, i, (size_t)m->config.moe.experts, experts, "experts");
    if (m->config.moe.shared > 0)
        plan_experts(m, i, (size_t)m->config.moe.shared, shared, "shared");
}

static void plan_block(vit_model *m, size_t i)
{
    const size_t d = (size_t)m->config.width;

    add_to_block(m, i, BLOCK_PLACE(i, norm1_weight), false, (size_t[4]){d}, "norm1.weight");
    add_to_block(m, i, BLOCK_PLACE(i, norm1_bias), false, (size_t[4]){d}, "norm1.bias");
    add_to_block(m, i, BLOCK_PLACE(i, qkv_weight), true, (size_t[4]){3 * d, d},
                 "attn.qkv.weight");
    add_to_block(m, i, BLOCK_PLACE(i, qkv_bias), false, (size_t[4]){3 * d},
                 "attn.qkv.bias");
    if (m->config.qk_norm) {
        const size_t e = d / (size_t)m->config.heads;

        add_to_block(m, i, BLOCK_PLACE(i, q_norm_weight), false, (size_t[4]){e},
                     "attn.q_norm.weight");
        add_to_block(m, i, BLOCK_PLACE(i, q_norm_bias), false, (size_t[4]){e},
                     "attn.q_norm.bias");
        add_to_block(m, i, BLOCK_PLACE(i, k_norm_weight), false, (size_t[4]){e},
                     "attn.k_norm.weight");
        add_to_block(m, i, BLOCK_PLACE(i, k_norm_bias), false, (size_t[4]){e},
                     "attn.k_norm.bias");
    }
    add_to_block(m, i, BLOCK_PLACE(i, proj_weight), true, (size_t[4]){d, d},
                 "attn.proj.weight");
    add_to_block(m, i, BLOCK_PLACE(i, proj_bias), false, (size_t[4]){d}, "attn.proj.bias");
    add_to_block(m, i, BLOCK_PLACE(i, norm2_weight), false, (size_t[4]){d}, "norm2.weight");
    add_to_block(m, i, BLOCK_PLACE(i, norm2_bias), false, (size_t[4]){d}, "norm2.bias");
    if (m->config.moe.layer[i])
        plan_moe(m, i);
    else
        plan_mlp(m, i);
}

/* All tensors from *done on are of this layer. */
static void layer_set(vit_model *m, size_t *done, int layer)
{
    for (; *done < m->count; (*done)++)
        m->parameter[*done].layer = layer;
}

static void plan(vit_model *m)
{
    const vit_config *c = &m->config;
    const size_t d = (size_t)c->width;
    const size_t p = (size_t)c->patch;
    size_t done = 0;

    if (c->pool != VIT_POOL_GAP)
        add(m, PLACE(cls_token), false, (size_t[4]){1, 1, d}, "cls_token");
    if (c->registers > 0)
        add(m, PLACE(reg_token), false, (size_t[4]){1, (size_t)c->registers, d},
            "reg_token");
    if (c->position == VIT_POSITION_LEARNED)
        add(m, PLACE(pos_embed), false, (size_t[4]){1, vit_config_tokens(c), d},
            "pos_embed");
    add(m, PLACE(patch_weight), true, (size_t[4]){d, (size_t)c->channels, p, p},
        "patch_embed.proj.weight");
    add(m, PLACE(patch_bias), false, (size_t[4]){d}, "patch_embed.proj.bias");
    if (c->pre_norm) {
        add(m, PLACE(pre_weight), false, (size_t[4]){d}, "norm_pre.weight");
        add(m, PLACE(pre_bias), false, (size_t[4]){d}, "norm_pre.bias");
    }
    layer_set(m, &done, 0);
    for (size_t i = 0; i < (size_t)c->depth; i++) {
        plan_block(m, i);
        layer_set(m, &done, (int)i + 1);
    }
    add(m, PLACE(norm_weight), false, (size_t[4]){d},
        c->fc_norm ? "fc_norm.weight" : "norm.weight");
    add(m, PLACE(norm_bias), false, (size_t[4]){d},
        c->fc_norm ? "fc_norm.bias" : "norm.bias");
    if (!c->fc_norm)
        layer_set(m, &done, c->depth);
    if (c->prelogits > 0) {
        const size_t r = (size_t)c->prelogits;

        add(m, PLACE(hidden_weight), true, (size_t[4]){r, d}, "pre_logits.fc.weight");
        add(m, PLACE(hidden_bias), false, (size_t[4]){r}, "pre_logits.fc.bias");
    }
    add(m, PLACE(head_weight), true,
        (size_t[4]){(size_t)c->classes, vit_config_features(c)}, "head.weight");
    add(m, PLACE(head_bias), false, (size_t[4]){(size_t)c->classes}, "head.bias");
    layer_set(m, &done, c->depth + 1);
}

base_status vit_model_plan(vit_model **out, const vit_config *config, base_error *err)
{
    base_status status = vit_config_check(config, err);

    if (status != BASE_OK)
        return status;
    const size_t room = 16 + (size_t)config->depth * BLOCK_PARAMETERS_MAX;
    vit_model *m = base_alloc(1, sizeof *m);
    if (m) {
        m->parameter = base_alloc(room, sizeof *m->parameter);
        m->place = base_alloc(room, sizeof *m->place);
    }
    if (!m || !m->parameter || !m->place) {
        vit_model_destroy(m);
        base_fail(err, BASE_NO_MEMORY, "no memory for the network's list of parameters");
        return BASE_NO_MEMORY;
    }
    m->config = *config;
    plan(m);
    *out = m;
    return BASE_OK;
}

base_status vit_model_weights_take(vit_model *model, base_error *err)
{
    model->weights = base_alloc(model->floats, sizeof *model->weights);
    return model->weights
               ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY,
                           "no memory for %zu parameters of the network", model->floats);
}

base_status vit_model_create(vit_model **out, const vit_config *config, base_error *err)
{
    vit_model *m = NULL;
    base_status status = vit_model_plan(&m, config, err);

    if (status == BASE_OK)
        status = vit_model_weights_take(m, err);
    if (status == BASE_OK)
        *out = m;
    else
        vit_model_destroy(m);
    return status;
}

void vit_labels_free(char **label, size_t count)
{
    for (size_t i = 0; label && i < count; i++)
        base_free(label[i]);
    base_free(label);
}

void vit_model_destroy(vit_model *model)
{
    if (!model)
        return;
    vit_labels_free(model->label, (size_t)model->config.classes);
    base_free(model->weights);
    base_free(model->place);
    base_free(model->parameter);
    base_free(model);
}

bool vit_name_ends(const char *name, const char *end)
{
    const size_t n = strlen(name);
    const size_t e = strlen(end);

    return n >= e && strcmp(name + n - e, end) == 0;
}

/* ---- what it holds ------------------------------------------------------------------- */

const vit_config *vit_model_config(const vit_model *model)
{
    return &model->config;
}

size_t vit_model_parameter_count(const vit_model *model)
{
    return model->count;
}

const vit_parameter *vit_model_parameter(const vit_model *model, size_t i)
{
    return &model->parameter[i];
}

const vit_parameter *vit_model_parameter_find(const vit_model *model, const char *name)
{
    for (size_t i = 0; i < model->count; i++)
        if (strcmp(model->parameter[i].name, name) == 0)
            return &model->parameter[i];
    return NULL;
}

float *vit_model_weights(vit_model *model)
{
    assert(!model->coming);
    model->version++;
    return model->weights;
}

uint64_t vit_model_version(const vit_model *model)
{
    return model->version;
}

const float *vit_model_weights_const(const vit_model *model)
{
    assert(!model->coming);
    return model->weights;
}

size_t vit_model_floats(const vit_model *model)
{
    return model->floats;
}

vit_parameters vit_parameters_at(const vit_model *model, float *block)
{
    vit_parameters out = {0};

    for (size_t i = 0; i < model->count; i++) {
        float *at = block + model->parameter[i].offset;
        memcpy((char *)&out + model->place[i], &at, sizeof at);
    }
    return out;
}

vit_router_shape vit_model_router_shape(const vit_model *model, size_t batch)
{
    const vit_config *c = &model->config;
    const size_t n = vit_config_tokens(c);
    const size_t group = (size_t)c->moe.group_images;

    return (vit_router_shape){
        .config = &c->moe.router,
        .tokens = batch * n,
        .tokens_per_image = n,
        .group_tokens = (group > 0 && group < batch ? group : batch) * n,
        .width = (size_t)c->width,
        .heads = (size_t)c->heads,
        .experts = (size_t)c->moe.experts,
        .k = (size_t)c->moe.k,
    };
}

/* ---- counting ------------------------------------------------------------------------ */

static size_t moe_layers(const vit_config *c)
{
    size_t count = 0;

    for (int i = 0; i < c->depth; i++)
        count += c->moe.layer[i];
    return count;
}

size_t vit_model_active_floats(const vit_model *model)
{
    const vit_config *c = &model->config;
    const size_t d = (size_t)c->width;
    const size_t h = (size_t)c->mlp;
    const size_t idle = moe_layers(c) * (size_t)(c->moe.experts - vit_config_eval_k(c));

    return model->floats - idle * (2 * d * h + h + d);
}

/* Multiply-adds of one MoE layer's router on one image, without the logits. */
static double router_operations(const vit_model *model)
{
    const vit_router *router = vit_router_find(model->config.moe.router.name);
    const vit_router_shape shape = vit_model_router_shape(model, 1);

    return router && router->operations ? router->operations(&shape) : 0;
}

double vit_model_flops_spent(const vit_model *model, double assignments)
{
    const vit_config *c = &model->config;
    const double n = (double)vit_config_tokens(c);
    const int side = c->image / c->patch;
    const double d = c->width;
    const double mlp = 2 * d * c->mlp; /* multiply-adds of one MLP on one token */
    const double moe = (double)moe_layers(c);
    const double attention = n * d * 3 * d + 2 * n * n * d + n * d * d;
    const double patch = (double)side * side * d * c->channels * c->patch * c->patch;
    const vit_router *kind = vit_router_find(c->moe.router.name);
    const double logits = kind && kind->own_logits ? 0 : n * d * c->moe.experts;
    const double router = logits + router_operations(model);

    const double head = (double)vit_config_features(c) * c->classes + d * c->prelogits;

    return 2 * (patch + c->depth * attention + (c->depth - moe) * n * mlp +
                (assignments + moe * n * c->moe.shared) * mlp + moe * router + head);
}

double vit_model_flops(const vit_model *model)
{
    const vit_config *c = &model->config;
    const vit_router *router =
        vit_config_is_sparse(c) ? vit_router_find(c->moe.router.name) : NULL;
    const vit_router_shape shape = vit_model_router_shape(model, 1);
    const double pairs = router && router->pairs
                             ? router->pairs(&shape)
                             : (double)vit_config_eval_k(c) * (double)vit_config_tokens(c);

    return vit_model_flops_spent(model, (double)moe_layers(c) * pairs);
}

/* ---- labels and settings ------------------------------------------------------------- */

const char *vit_origin_name(vit_origin origin)
{
    static const char *const names[] = {"checkpoint", "config.json", "known width",
                                        "assumed", "option"};

    return names[origin];
}

const vit_origins *vit_model_origins(const vit_model *model)
{
    return &model->origins;
}

const char *vit_model_label(const vit_model *model, size_t i)
{
    return model->label && i < (size_t)model->config.classes ? model->label[i] : NULL;
}

base_status vit_model_labels_set(vit_model *model, const char *const *labels, size_t count,
                                 base_error *err)
{
    if (count != (size_t)model->config.classes)
        return base_fail(err, BASE_MISMATCH, "%zu class names for a network of %d classes",
                         count, model->config.classes);
    char **copy = base_alloc(count, sizeof *copy);
    bool good = copy != NULL;
    for (size_t i = 0; good && i < count; i++) {
        copy[i] = base_text("%s", labels[i]);
        good = copy[i] != NULL;
    }
    if (!good) {
        vit_labels_free(copy, count);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", count);
    }
    vit_labels_free(model->label, count);
    model->label = copy;
    return BASE_OK;
}

/* The settings that weights were made for, by name. */
static base_status check_same_network(const vit_config *a, const vit_config *b,
                                      base_error *err)
{
    const struct {
        const char *key;
        int from, to;
    } fixed[] = {
        {"image", a->image, b->image},
        {"channels", a->channels, b->channels},
        {"patch", a->patch, b->patch},
        {"width", a->width, b->width},
        {"depth", a->depth, b->depth},
        {"heads", a->heads, b->heads},
        {"mlp", a->mlp, b->mlp},
        {"classes", a->classes, b->classes},
        {"pool", a->pool, b->pool},
        {"position", a->position, b->position},
        {"registers", a->registers, b->registers},
        {"prelogits", a->prelogits, b->prelogits},
        {"fc_norm", a->fc_norm, b->fc_norm},
        {"pre_norm", a->pre_norm, b->pre_norm},
        {"qk_norm", a->qk_norm, b->qk_norm},
        {"moe.experts", a->moe.experts, b->moe.experts},
        {"moe.shared", a->moe.shared, b->moe.shared},
    };

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (fixed[i].from != fixed[i].to)
            return base_fail(err, BASE_MISMATCH,
                             "'%s' is %d in the network, cannot become %d", fixed[i].key,
                             fixed[i].from, fixed[i].to);
    for (int i = 0; i < a->depth; i++)
        if (a->moe.layer[i] != b->moe.layer[i])
            return base_fail(err, BASE_MISMATCH,
                             "block %d has %s in the network, cannot have %s", i,
                             a->moe.layer[i] ? "experts" : "an MLP",
                             b->moe.layer[i] ? "experts" : "an MLP");
    return BASE_OK;
}

base_status vit_model_config_set(vit_model *model, const vit_config *config,
                                 base_error *err)
{
    vit_model *fresh = NULL;
    base_status status = vit_model_plan(&fresh, config, err);

    if (status == BASE_OK)
        status = check_same_network(&model->config, config, err);
    if (status == BASE_OK && fresh->count != model->count)
        status =
            base_fail(err, BASE_MISMATCH,
                      "router '%s' has other parameters than router '%s' of the network",
                      config->moe.router.name, model->config.moe.router.name);
    for (size_t i = 0; status == BASE_OK && i < fresh->count; i++) {
        const vit_parameter *to = &fresh->parameter[i];
        const vit_parameter *from = &model->parameter[i];
        if (strcmp(to->name, from->name) != 0 || to->rank != from->rank ||
            memcmp(to->shape, from->shape, sizeof to->shape) != 0)
            status = base_fail(err, BASE_MISMATCH,
                               "router '%s' wants tensor '%s', the network has '%s'",
                               config->moe.router.name, to->name, from->name);
    }
    if (status == BASE_OK)
        model->config = *config;
    vit_model_destroy(fresh);
    return status;
}
