/* upcycle.c - a sparse network from a dense one: the MLP of each chosen block copied
 * into every expert, routers drawn anew, all else as it was; a shared expert starts as
 * a copy whose second layer is zero, so that it adds nothing yet. Komatsuzaki et al. 2023,
 * "Sparse upcycling: training mixture-of-experts from dense checkpoints", section 3.
 * With renormalised gates and nothing dropped the result computes what the dense network
 * did. differs: they raise prob gates by normalising combine weights for vision; here
 * the router's own convention decides. */
#include <string.h>

#include "vit/model_internal.h"

/* The dense name of an expert tensor, blocks.I.moe.experts.X (or shared) to blocks.I.mlp.X,
 * into out. False: name is no expert tensor. */
static bool dense_name(char *out, size_t out_bytes, const char *name)
{
    static const char *const experts[] = {".moe.experts.", ".moe.shared."};

    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(name, experts[i]);
        if (!at)
            continue;
        snprintf(out, out_bytes, "%.*s.mlp.%s", (int)(at - name), name,
                 at + strlen(experts[i]));
        return true;
    }
    return false;
}

static void fill(vit_model *m, size_t i, const vit_model *dense, uint64_t seed)
{
    const vit_parameter *p = &m->parameter[i];
    const vit_parameter *same = vit_model_parameter_find(dense, p->name);
    float *out = m->weights + p->offset;
    char name[sizeof p->name];

    if (strstr(p->name, ".moe.shared.fc2.")) {
        memset(out, 0, p->count * sizeof *out);
    } else if (same) {
        memcpy(out, dense->weights + same->offset, p->count * sizeof *out);
    } else if (dense_name(name, sizeof name, p->name)) {
        const vit_parameter *one = vit_model_parameter_find(dense, name);
        for (size_t e = 0; e < p->shape[0]; e++)
            memcpy(out + e * one->count, dense->weights + one->offset,
                   one->count * sizeof *out);
    } else {
        vit_model_init_parameter(m, i, seed); /* a router */
    }
}

base_status vit_model_upcycle(vit_model **out, const vit_model *dense,
                              const vit_moe_config *moe, uint64_t seed, base_error *err)
{
    vit_model *m = NULL;
    vit_config config = dense->config;

    if (vit_config_is_sparse(&config))
        return base_fail(err, BASE_MISMATCH,
                         "the network has experts already, expected a dense one");
    config.moe = *moe;
    config.name[0] = '\0'; /* no longer the size of that name */
    if (!vit_config_is_sparse(&config))
        return base_fail(err, BASE_USAGE,
                         "'moe.layers' names no block, expected at least one");
    base_status status = vit_model_create(&m, &config, err);
    for (size_t i = 0; status == BASE_OK && i < m->count; i++)
        fill(m, i, dense, seed);
    if (status == BASE_OK && dense->label)
        status = vit_model_labels_set(m, (const char *const *)dense->label,
                                      (size_t)config.classes, err);
    if (status == BASE_OK)
        *out = m;
    else
        vit_model_destroy(m);
    return status;
}
