/* init.c - the first values of the weights: model.md "Initialisation", two schools.
 * timm: linear layers normal 0.02, patch convolution uniform as PyTorch's default, head
 * 0 (Touvron et al. 2021, DeiT, and timm's init_weights_vit_timm). vmoe: Xavier uniform,
 * all experts alike, head bias -log K (Riquelme et al. 2021; routing.md 0.4). Free to
 * change: nothing that alters a draw. Relied on elsewhere: the key of every value is
 * (seed, parameter, expert, chunk), so no value depends on threads or on other tensors. */
#include <math.h>
#include <string.h>

#include "vit/model_internal.h"

enum { CHUNK = 1 << 15 }; /* floats of one stream */

/* Std of a standard normal that is cut at +-2. Dividing by it makes the std after the
 * cut the wanted one, as JAX's variance_scaling does. */
static const double truncated_std = 0.87962566103423978;
static const double weight_std = 0.02;
static const double register_std = 1e-6;  /* timm: as the class token */
static const double vmoe_bias_std = 1e-6; /* of the MLPs' biases */

typedef enum law_kind {
    LAW_ZERO,
    LAW_CONSTANT,
    LAW_NORMAL,
    LAW_TRUNCATED,
    LAW_UNIFORM,
    LAW_ROUTER /* the router's own init, else as LAW_TRUNCATED */
} law_kind;

typedef struct draw {
    law_kind law;
    double size;    /* constant, std, or half width of the uniform law */
    size_t experts; /* tensors side by side that are drawn one by one, at least 1 */
    bool alike;     /* all experts get the same values */
} draw;

static double truncated_normal(base_rng *rng, double std)
{
    double z;

    do
        z = base_rng_normal(rng);
    while (fabs(z) > 2);
    return z * std / truncated_std;
}

static void draw_chunk(float *out, size_t count, law_kind law, double size, base_rng *rng)
{
    for (size_t i = 0; i < count; i++)
        switch (law) {
        case LAW_ZERO:
        case LAW_CONSTANT: out[i] = law == LAW_ZERO ? 0.0f : (float)size; break;
        case LAW_NORMAL: out[i] = (float)(base_rng_normal(rng) * size); break;
        case LAW_TRUNCATED:
        case LAW_ROUTER: out[i] = (float)truncated_normal(rng, size); break;
        case LAW_UNIFORM: out[i] = (float)((2 * base_rng_uniform(rng) - 1) * size); break;
        }
}

/* ---- which law for which tensor ------------------------------------------------------ */

static draw law_of_bias(const vit_model *model, const vit_parameter *p)
{
    const vit_config *c = &model->config;
    const bool vmoe = c->init == VIT_INIT_VMOE;

    if (vmoe && strcmp(p->name, "head.bias") == 0)
        return (draw){LAW_CONSTANT, -log((double)c->classes), 1, false};
    if (vmoe && (vit_name_ends(p->name, "fc1.bias") || vit_name_ends(p->name, "fc2.bias")))
        return (draw){LAW_NORMAL, vmoe_bias_std, p->rank == 2 ? p->shape[0] : 1, true};
    return (draw){LAW_ZERO, 0, 1, false};
}

/* Linear maps. Xavier's fans are those of one map: q, k and v are three of them. */
static draw law_of_matrix(const vit_model *model, const vit_parameter *p)
{
    const bool vmoe = model->config.init == VIT_INIT_VMOE;
    const size_t experts = p->rank == 3 ? p->shape[0] : 1;
    const double in = (double)p->shape[p->rank - 1];
    const double rows = (double)p->shape[p->rank - 2];
    const double out = vit_name_ends(p->name, "qkv.weight") ? rows / 3 : rows;

    if (vmoe)
        return (draw){LAW_UNIFORM, sqrt(6 / (in + out)), experts, true};
    return (draw){LAW_TRUNCATED, weight_std, experts, false};
}

static draw law_of(const vit_model *model, const vit_parameter *p)
{
    const bool vmoe = model->config.init == VIT_INIT_VMOE;

    if (strstr(p->name, ".moe.router."))
        return (draw){LAW_ROUTER, 1 / sqrt((double)model->config.width), 1, false};
    if (strcmp(p->name, "cls_token") == 0 || strcmp(p->name, "head.weight") == 0)
        return (draw){LAW_ZERO, 0, 1, false};
    if (strcmp(p->name, "reg_token") == 0)
        return (draw){LAW_NORMAL, register_std, 1, false};
    if (strcmp(p->name, "pos_embed") == 0)
        return (draw){LAW_NORMAL, weight_std, 1, false};
    if (strcmp(p->name, "patch_embed.proj.weight") == 0) {
        const double fan_in = (double)(p->shape[1] * p->shape[2] * p->shape[3]);
        return vmoe ? (draw){LAW_TRUNCATED, 1 / sqrt(fan_in), 1, false} /* LeCun normal */
                    : (draw){LAW_UNIFORM, 1 / sqrt(fan_in), 1, false};
    }
    if (strstr(p->name, "norm"))
        return (draw){LAW_CONSTANT, vit_name_ends(p->name, "weight") ? 1 : 0, 1, false};
    if (vit_name_ends(p->name, "bias"))
        return law_of_bias(model, p);
    return law_of_matrix(model, p);
}

/* ---- drawing ------------------------------------------------------------------------- */

/* Tensor number r of the router of some block, drawn by the router itself. False: it has
 * no own law. */
static bool draw_by_router(vit_model *model, size_t i, uint64_t seed)
{
    const vit_router *router = vit_router_find(model->config.moe.router.name);
    size_t r = 0;

    if (!router->init)
        return false;
    while (r < i && strstr(model->parameter[i - r - 1].name, ".moe.router."))
        r++;
    const vit_router_shape shape = vit_model_router_shape(model, 1);
    base_rng rng = base_rng_make(seed, BASE_PURPOSE_INIT, i, 0, 0);
    return router->init(model->weights + model->parameter[i].offset, r, &shape, &rng);
}

void vit_model_init_parameter(vit_model *model, size_t i, uint64_t seed)
{
    const vit_parameter *p = &model->parameter[i];
    const draw d = law_of(model, p);
    const size_t each = p->count / d.experts;
    const size_t chunks = (each + CHUNK - 1) / CHUNK;
    float *out = model->weights + p->offset;

    if (d.law == LAW_ROUTER && draw_by_router(model, i, seed))
        return;
#pragma omp parallel for schedule(dynamic) if (p->count > CHUNK)
    for (size_t job = 0; job < chunks * d.experts; job++) {
        const size_t expert = job / chunks;
        const size_t from = job % chunks * CHUNK;
        const size_t count = each - from < CHUNK ? each - from : CHUNK;
        base_rng rng =
            base_rng_make(seed, BASE_PURPOSE_INIT, i, d.alike ? 0 : expert, job % chunks);
        draw_chunk(out + expert * each + from, count, d.law, d.size, &rng);
    }
}

void vit_model_init(vit_model *model, uint64_t seed)
{
    model->version++;
    for (size_t i = 0; i < model->count; i++)
        vit_model_init_parameter(model, i, seed);
}
