/* vae.c - the autoencoder of experts at rest: its tensors, their first values, its file.
 * The passes are run.c's. Relied on elsewhere: names and order of the tensors, keys of
 * the metadata. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "vit/vae/vae_internal.h"

/* ---- settings ------------------------------------------------------------------------ */

/* Keys of the metadata, with their ranges. */
static const struct {
    const char *key;
    size_t at;
    bool real;
    double low, high;
} fields[] = {
    {"image", offsetof(vit_vae_config, image), false, 1, 256},
    {"channels", offsetof(vit_vae_config, channels), false, 1, 3},
    {"hidden", offsetof(vit_vae_config, hidden), false, 1, 16384},
    {"latent", offsetof(vit_vae_config, latent), false, 1, 4096},
    {"experts", offsetof(vit_vae_config, experts), false, 1, VIT_EXPERTS_MAX},
    {"decoder", offsetof(vit_vae_config, decoder), false, 1, 16384},
    {"beta", offsetof(vit_vae_config, beta), true, 0, 1e3},
    {"balance", offsetof(vit_vae_config, balance), true, 0, 1e3},
    {"sharpen", offsetof(vit_vae_config, sharpen), true, 0, 1e3},
};
enum { FIELDS = sizeof fields / sizeof fields[0], NUMBER_BYTES = 48 };

static double field_get(const vit_vae_config *c, size_t i)
{
    const char *at = (const char *)c + fields[i].at;
    double real;
    int whole;

    if (!fields[i].real) {
        memcpy(&whole, at, sizeof whole);
        return whole;
    }
    memcpy(&real, at, sizeof real);
    return real;
}

static void field_set(vit_vae_config *c, size_t i, double value)
{
    char *at = (char *)c + fields[i].at;

    if (fields[i].real)
        memcpy(at, &value, sizeof value);
    else
        memcpy(at, &(int){(int)value}, sizeof(int));
}

vit_vae_config vit_vae_config_defaults(void)
{
    return (vit_vae_config){.image = 28,
                            .channels = 1,
                            .hidden = 256,
                            .latent = 16,
                            .experts = 7,
                            .decoder = 64,
                            .beta = 1.0};
}

static base_status check(const vit_vae_config *c, base_error *err)
{
    for (size_t i = 0; i < FIELDS; i++) {
        const double value = field_get(c, i);
        if (!(value >= fields[i].low && value <= fields[i].high))
            return base_fail(err, BASE_USAGE, "'vae.%s' is %g, expected %g to %g",
                             fields[i].key, value, fields[i].low, fields[i].high);
    }
    if (c->channels == 2)
        return base_fail(err, BASE_USAGE, "'vae.channels' is 2, expected 1 or 3");
    return BASE_OK;
}

/* ---- tensors ------------------------------------------------------------------------- */

/* Shapes end at the first 0. */
static void plan(vit_vae *vae)
{
    const vit_vae_config *c = &vae->config;
    const size_t p = vit_vae_pixel_count(c), h = (size_t)c->hidden, z = (size_t)c->latent,
                 e = (size_t)c->experts, m = (size_t)c->decoder;
    const struct {
        const char *name;
        size_t shape[4];
        bool decay;
    } tensors[VIT_VAE_TENSORS] = {
        [VIT_VAE_FC1] = {"encoder.fc1.weight", {h, p}, true},
        [VIT_VAE_FC1_BIAS] = {"encoder.fc1.bias", {h}, false},
        [VIT_VAE_FC2] = {"encoder.fc2.weight", {2 * z, h}, true},
        [VIT_VAE_FC2_BIAS] = {"encoder.fc2.bias", {2 * z}, false},
        [VIT_VAE_GATE] = {"gate.weight", {e, z}, true},
        [VIT_VAE_EXPERT1] = {"experts.fc1.weight", {e, m, z}, true},
        [VIT_VAE_EXPERT1_BIAS] = {"experts.fc1.bias", {e, m}, false},
        [VIT_VAE_EXPERT2] = {"experts.fc2.weight", {e, p, m}, true},
        [VIT_VAE_EXPERT2_BIAS] = {"experts.fc2.bias", {e, p}, false},
    };
    size_t floats = 0;

    for (size_t i = 0; i < VIT_VAE_TENSORS; i++) {
        vit_parameter *t = &vae->parameter[i];
        snprintf(t->name, sizeof t->name, "%s", tensors[i].name);
        memcpy(t->shape, tensors[i].shape, sizeof t->shape);
        t->count = 1;
        for (t->rank = 0; t->rank < 4 && t->shape[t->rank] != 0; t->rank++)
            t->count *= t->shape[t->rank]; /* every size is bounded by check */
        t->offset = floats;
        t->decay = tensors[i].decay;
        floats += t->count;
    }
    vae->table.parameter = vae->parameter;
    vae->table.count = VIT_VAE_TENSORS;
    vae->table.floats = floats;
}

base_status vit_vae_create(vit_vae **out, const vit_vae_config *config, base_error *err)
{
    const base_status status = check(config, err);

    if (status != BASE_OK)
        return status;
    vit_vae *vae = base_alloc(1, sizeof *vae);
    if (vae) {
        vae->config = *config;
        plan(vae);
        vae->table.weights = base_alloc(vae->table.floats, sizeof(float));
    }
    if (!vae || !vae->table.weights) {
        base_free(vae);
        return base_fail(err, BASE_NO_MEMORY, "no memory for an autoencoder of %d experts",
                         config->experts);
    }
    *out = vae;
    return BASE_OK;
}

void vit_vae_destroy(vit_vae *vae)
{
    if (!vae)
        return;
    base_free(vae->table.weights);
    base_free(vae);
}

void vit_vae_init(vit_vae *vae, uint64_t seed)
{
    for (size_t i = 0; i < VIT_VAE_TENSORS; i++) {
        const vit_parameter *p = &vae->parameter[i];
        float *out = vae->table.weights + p->offset;
        base_rng rng = base_rng_make(seed, BASE_PURPOSE_INIT, i, 0, 0);
        const double std = p->decay ? 1 / sqrt((double)p->shape[p->rank - 1]) : 0;
        for (size_t j = 0; j < p->count; j++)
            out[j] = (float)(std * base_rng_normal(&rng));
    }
}

const vit_vae_config *vit_vae_config_of(const vit_vae *vae)
{
    return &vae->config;
}

size_t vit_vae_parameter_count(const vit_vae *vae)
{
    return vae->table.count;
}

const vit_parameter *vit_vae_parameter(const vit_vae *vae, size_t i)
{
    return &vae->parameter[i];
}

size_t vit_vae_floats(const vit_vae *vae)
{
    return vae->table.floats;
}

float *vit_vae_weights(vit_vae *vae)
{
    return vae->table.weights;
}

base_status vit_vae_optimizer_create(vit_optimizer **out, const vit_vae *vae,
                                     const vit_optimizer_config *config, base_error *err)
{
    return vit_optimizer_create(out, &vae->table, config, err);
}

vit_optimizer_result vit_vae_optimizer_step(vit_optimizer *optimizer, vit_vae *vae,
                                            const float *gradients, double lr)
{
    return vit_optimizer_step(optimizer, &vae->table, gradients, lr);
}

/* ---- its file ------------------------------------------------------------------------ */

base_status vit_vae_save(const vit_vae *vae, const char *path, const vit_pair *metadata,
                         size_t pairs, base_error *err)
{
    vit_tensor tensor[VIT_VAE_TENSORS];
    char number[FIELDS][NUMBER_BYTES];
    vit_pair *all = base_alloc(pairs + FIELDS + 2, sizeof *all);
    size_t count = 0;

    if (!all)
        return base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
    all[count++] = (vit_pair){"format", "vmoe-vae"};
    all[count++] = (vit_pair){"version", BASE_VERSION};
    for (size_t i = 0; i < FIELDS; i++) {
        base_real_text(number[i], NUMBER_BYTES, field_get(&vae->config, i));
        all[count++] = (vit_pair){fields[i].key, number[i]};
    }
    for (size_t i = 0; i < pairs; i++)
        all[count++] = metadata[i];
    for (size_t i = 0; i < VIT_VAE_TENSORS; i++) {
        const vit_parameter *p = &vae->parameter[i];
        tensor[i] = (vit_tensor){.name = p->name,
                                 .type = "F32",
                                 .rank = p->rank,
                                 .data = vae->table.weights + p->offset};
        memcpy(tensor[i].shape, p->shape, sizeof p->shape);
    }
    const base_status status =
        vit_tensors_write(path, tensor, VIT_VAE_TENSORS, all, count, err);
    base_free(all);
    return status;
}

static base_status read_config(vit_vae_config *out, const vit_tensor_file *file,
                               const char *path, base_error *err)
{
    const char *format = vit_tensors_metadata(file, "format");

    if (!format || strcmp(format, "vmoe-vae") != 0)
        return base_fail(err, BASE_FORMAT, "'%s' is no autoencoder of vmoe vae", path);
    for (size_t i = 0; i < FIELDS; i++) {
        const char *text = vit_tensors_metadata(file, fields[i].key);
        double value;
        if (!text || !base_parse_real(&value, text) ||
            !(value >= fields[i].low && value <= fields[i].high) ||
            (!fields[i].real && value != floor(value)))
            return base_fail(err, BASE_FORMAT, "'%s' has no usable '%s' in its metadata",
                             path, fields[i].key);
        field_set(out, i, value);
    }
    return BASE_OK;
}

static base_status read_tensor(vit_vae *vae, size_t i, const vit_tensor_file *file,
                               const char *path, base_error *err)
{
    const vit_parameter *p = &vae->parameter[i];
    const vit_tensor *t = vit_tensors_find(file, p->name);
    char have[64], want[64];

    if (!t)
        return base_fail(err, BASE_FORMAT, "'%s' has no tensor '%s'", path, p->name);
    if (strcmp(t->type, "F32") != 0 || t->rank != p->rank ||
        memcmp(t->shape, p->shape, (size_t)p->rank * sizeof *p->shape) != 0)
        return base_fail(err, BASE_FORMAT, "'%s': tensor '%s' is %s %s, expected F32 %s",
                         path, p->name, t->type,
                         vit_shape_text(have, sizeof have, t->shape, t->rank),
                         vit_shape_text(want, sizeof want, p->shape, p->rank));
    memcpy(vae->table.weights + p->offset, t->data, p->count * sizeof(float));
    for (size_t j = 0; j < p->count; j++)
        if (!isfinite(vae->table.weights[p->offset + j]))
            return base_fail(err, BASE_NUMERIC,
                             "'%s': tensor '%s' has a value that is not finite", path,
                             p->name);
    return BASE_OK;
}

base_status vit_vae_load(vit_vae **out, const char *path, base_error *err)
{
    vit_vae_config config = vit_vae_config_defaults();
    vit_tensor_file *file = NULL;
    vit_vae *vae = NULL;
    base_status status = vit_tensors_open(&file, path, err);

    if (status == BASE_OK)
        status = read_config(&config, file, path, err);
    if (status == BASE_OK)
        status = vit_vae_create(&vae, &config, err);
    for (size_t i = 0; i < VIT_VAE_TENSORS && status == BASE_OK; i++)
        status = read_tensor(vae, i, file, path, err);
    vit_tensors_close(file);
    if (status == BASE_OK)
        *out = vae;
    else
        vit_vae_destroy(vae);
    return status;
}
