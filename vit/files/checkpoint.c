/* checkpoint.c - a network from and to model.safetensors. Every name, shape, type and
 * value is checked against the planned network before the first weight is used (model.md
 * "Files"). Free to change: order of the checks. Relied on elsewhere: metadata keys
 * format, version, config. */
#include <math.h>
#include <string.h>

#include "vit/model_internal.h"

enum { NAME_TEXT = 96, SHAPE_TEXT = 96 };

/* What loading knows besides the file. */
typedef struct source {
    const char *path;
    const vit_tensor_file *file;
    bool foreign;    /* timm's: a qkv without bias is allowed */
    bool fresh_head; /* the file's head, if any, is not used */
    vit_hub hub;     /* of a foreign file */
    vit_origins origins;
} source;

/* ---- numbers ------------------------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float out;

    memcpy(&out, &bits, sizeof out);
    return out;
}

/* IEEE 754 half to single; exact. */
static float from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;

    if (exponent == 0) /* zero or subnormal: fraction * 2^-24 */
        return from_bits(sign) + (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    if (exponent == 31)
        return from_bits(sign | 0x7f800000u | fraction << 13);
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

bool vit_tensor_convert(float *out, const void *from, const char *type, size_t count)
{
    const unsigned char *at = from;
    uint16_t half;
    double wide;

    if (strcmp(type, "F32") == 0)
        memcpy(out, from, count * sizeof *out);
    else if (strcmp(type, "BF16") == 0)
        for (size_t i = 0; i < count; i++) {
            memcpy(&half, at + 2 * i, sizeof half);
            out[i] = from_bits((uint32_t)half << 16);
        }
    else if (strcmp(type, "F16") == 0)
        for (size_t i = 0; i < count; i++) {
            memcpy(&half, at + 2 * i, sizeof half);
            out[i] = from_half(half);
        }
    else if (strcmp(type, "F64") == 0)
        for (size_t i = 0; i < count; i++) {
            memcpy(&wide, at + 8 * i, sizeof wide);
            out[i] = (float)wide;
        }
    else
        return false;
    return true;
}

/* ---- matching the file against the plan ---------------------------------------------- */

static bool is_head(const char *name)
{
    return strcmp(name, "head.weight") == 0 || strcmp(name, "head.bias") == 0;
}

/* The fixed positions, which dense networks carry as a tensor for other programs
 * (vit_model_save). */
static bool is_copy(const vit_model *model, const char *name)
{
    return model->config.position == VIT_POSITION_SINCOS && strcmp(name, "pos_embed") == 0;
}

/* Biases that timm leaves out (qkv_bias, proj_bias, patches before a norm): zeros are the
 * same network. */
static bool may_lack(const char *name)
{
    return vit_name_ends(name, "attn.qkv.bias") || vit_name_ends(name, "attn.proj.bias") ||
           vit_name_ends(name, "mlp.fc1.bias") || vit_name_ends(name, "mlp.fc2.bias") ||
           vit_name_ends(name, "norm_pre.bias") ||
           vit_name_ends(name, "patch_embed.proj.bias");
}

/* What vit_model_save leaves out where it is zero. */
static bool is_left_out(const char *name)
{
    return strcmp(name, "patch_embed.proj.bias") == 0;
}

/* The network starts this parameter at zero instead of reading it. */
static bool stays_zero(const source *s, const vit_parameter *p)
{
    if (s->fresh_head && is_head(p->name))
        return true;
    return (s->foreign || is_left_out(p->name)) && vit_name_ends(p->name, ".bias") &&
           may_lack(p->name) && !vit_tensors_find(s->file, p->name);
}

/* timm's no_embed_class: positions of the patches alone; those before them have none. */
static bool patches_alone(const source *s, const vit_model *model, const vit_parameter *p,
                          const vit_tensor *t)
{
    const size_t before = vit_config_prefix(&model->config);

    return s->foreign && strcmp(p->name, "pos_embed") == 0 && t->rank == 3 &&
           t->shape[0] == 1 && t->shape[1] + before == p->shape[1] &&
           t->shape[2] == p->shape[2];
}

/* The scale [D] by which a branch's last layer is multiplied (Touvron et al. 2021, "Going
 * deeper with image transformers"; timm's init_values), NULL: none. */
static const vit_tensor *layer_scale(const source *s, const char *name)
{
    static const char *const last[][2] = {{".attn.proj.", "ls1.gamma"},
                                          {".mlp.fc2.", "ls2.gamma"}};
    char full[96];

    for (size_t i = 0; s->foreign && i < 2; i++)
        if (strstr(name, last[i][0])) {
            snprintf(full, sizeof full, "blocks.%d.%s", vit_block_index(name), last[i][1]);
            return vit_tensors_find(s->file, full);
        }
    return NULL;
}

static bool is_layer_scale(const source *s, const vit_model *model, const vit_tensor *t)
{
    const int block = vit_block_index(t->name);

    return s->foreign && block >= 0 && block < model->config.depth && t->rank == 1 &&
           t->shape[0] == (size_t)model->config.width &&
           (vit_name_ends(t->name, ".ls1.gamma") || vit_name_ends(t->name, ".ls2.gamma"));
}

/* out [rows, columns] times the scale of each row: the same function, one tensor less. */
static base_status scale_rows(float *out, const vit_parameter *p, const source *s,
                              base_error *err)
{
    const vit_tensor *t = layer_scale(s, p->name);
    const size_t columns = p->rank == 2 ? p->shape[1] : 1;

    if (!t)
        return BASE_OK;
    float *gamma = base_alloc(p->shape[0], sizeof *gamma);
    if (!gamma)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", s->path);
    const bool good = vit_tensor_convert(gamma, t->data, t->type, p->shape[0]);
    for (size_t i = 0; good && i < p->shape[0] * columns; i++)
        out[i] *= gamma[i / columns];
    base_free(gamma);
    return good ? BASE_OK
                : base_fail(err, BASE_MISMATCH,
                            "'%s' tensor '%s' has type %s, expected F32, BF16, F16 or F64",
                            s->path, t->name, t->type);
}

static base_status check_parameter(const source *s, const vit_model *model,
                                   const vit_parameter *p, base_error *err)
{
    const vit_tensor *t = vit_tensors_find(s->file, p->name);
    char want[SHAPE_TEXT];

    vit_shape_text(want, sizeof want, p->shape, p->rank);
    if (!t)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' has no tensor '%s', expected one of shape %s", s->path,
                         p->name, want);
    if ((t->rank != p->rank ||
         memcmp(t->shape, p->shape, (size_t)p->rank * sizeof p->shape[0]) != 0) &&
        !patches_alone(s, model, p, t)) {
        char have[SHAPE_TEXT];
        return base_fail(err, BASE_MISMATCH, "'%s' tensor '%s' has shape %s, expected %s",
                         s->path, p->name,
                         vit_shape_text(have, sizeof have, t->shape, t->rank), want);
    }
    float none;
    return vit_tensor_convert(&none, t->data, t->type, 0)
               ? BASE_OK
               : base_fail(err, BASE_MISMATCH,
                           "'%s' tensor '%s' has type %s, expected F32, BF16, F16 or F64",
                           s->path, p->name, t->type);
}

static base_status check_names(const source *s, const vit_model *model, base_error *err)
{
    for (size_t i = 0; i < model->count; i++) {
        const vit_parameter *p = &model->parameter[i];
        const base_status status =
            stays_zero(s, p) ? BASE_OK : check_parameter(s, model, p, err);
        if (status != BASE_OK)
            return status;
    }
    for (size_t i = 0; i < vit_tensors_count(s->file); i++) {
        const char *name = vit_tensors_at(s->file, i)->name;
        if (!vit_model_parameter_find(model, name) && !(s->fresh_head && is_head(name)) &&
            !is_copy(model, name) &&
            !is_layer_scale(s, model, vit_tensors_at(s->file, i))) {
            char quoted[NAME_TEXT];
            return base_fail(err, BASE_MISMATCH,
                             "'%s' tensor '%s' has no place in this network", s->path,
                             base_quote(quoted, sizeof quoted, name));
        }
    }
    return BASE_OK;
}

static base_status read_weights(vit_model *model, const source *s, base_error *err)
{
    for (size_t i = 0; i < model->count; i++) {
        const vit_parameter *p = &model->parameter[i];
        float *out = model->weights + p->offset;
        if (stays_zero(s, p))
            continue;
        const vit_tensor *t = vit_tensors_find(s->file, p->name);
        const size_t skip =
            patches_alone(s, model, p, t) ? p->count - t->shape[1] * t->shape[2] : 0;
        vit_tensor_convert(out + skip, t->data, t->type, p->count - skip);
        const base_status status = scale_rows(out, p, s, err);
        if (status != BASE_OK)
            return status;
        for (size_t j = 0; j < p->count; j++)
            if (!isfinite(out[j]))
                return base_fail(
                    err, BASE_NUMERIC,
                    "'%s' tensor '%s' has a value that is not finite at index %zu", s->path,
                    p->name, j);
    }
    return BASE_OK;
}

/* ---- loading ------------------------------------------------------------------------- */

/* Of a network of ours whose file lost its metadata: config.json beside it says all. */
static base_status read_hub_config(vit_config *config, char ***label, source *s,
                                   base_error *err)
{
    const vit_origin from = VIT_ORIGIN_CONFIG;
    const base_status status = vit_config_from_json(config, label, s->hub.config, err);

    s->foreign = false;
    s->origins = (vit_origins){.mean = from,
                               .std = from,
                               .interpolation = from,
                               .resize = from,
                               .heads = from,
                               .pool = from,
                               .labels = from};
    if (status != BASE_OK)
        base_error_prepend(err, "'%s' ", s->hub.path);
    return status;
}

static base_status read_config(vit_config *config, char ***label, source *s,
                               const vit_load_options *options, base_error *err)
{
    const char *format = vit_tensors_metadata(s->file, "format");
    const char *text = vit_tensors_metadata(s->file, "config");
    base_status status = BASE_OK;

    s->foreign = !format || strcmp(format, "vmoe") != 0;
    if (s->foreign) {
        status = vit_hub_read(&s->hub, s->path, err);
        if (status == BASE_OK && s->hub.config)
            return read_hub_config(config, label, s, err);
        s->fresh_head = !vit_tensors_find(s->file, "head.weight");
        if (status == BASE_OK)
            status = vit_timm_config(config, &s->origins, s->file, s->path, &s->hub,
                                     options, err);
        if (status == BASE_OK && s->hub.labels == (size_t)config->classes) {
            *label = s->hub.label; /* its names are the network's now */
            s->hub.label = NULL;
            s->hub.labels = 0;
        }
        return status;
    }
    if (!text)
        return base_fail(err, BASE_FORMAT, "'%s' has no metadata 'config'", s->path);
    status = vit_config_from_json(config, label, text, err);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s' ", s->path);
    return status;
}

/* Heads and pooling of the caller in place of the file's. */
static base_status override(vit_config *config, source *s, const vit_load_options *options,
                            base_error *err)
{
    if (options->heads > 0) {
        config->heads = options->heads;
        s->origins.heads = VIT_ORIGIN_OPTION;
    }
    if (options->pool > 0) {
        if (options->pool == 1 && config->pool == VIT_POOL_GAP)
            return base_fail(err, BASE_USAGE,
                             "'%s' has no class token, expected its mean over the patches",
                             s->path);
        if (options->pool == 1)
            config->pool = VIT_POOL_TOKEN;
        else if (config->pool == VIT_POOL_TOKEN)
            config->pool = VIT_POOL_PATCHES;
        s->origins.pool = VIT_ORIGIN_OPTION;
    }
    const base_status status = vit_config_check(config, err);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s' ", s->path);
    return status;
}

/* The model of an open file at its own input size. */
static base_status load(vit_model **out, source *s, const vit_load_options *options,
                        base_error *err)
{
    vit_config config = {0};
    char **label = NULL;
    vit_model *m = NULL;
    base_status status = read_config(&config, &label, s, options, err);

    s->origins.image = config.image;
    s->origins.classes = s->fresh_head ? 0 : config.classes;
    if (status == BASE_OK)
        status = override(&config, s, options, err);
    if (status != BASE_OK) {
        vit_labels_free(label, (size_t)config.classes);
        return status;
    }
    if (options->classes > 0 && options->classes != config.classes) {
        vit_labels_free(label, (size_t)config.classes);
        label = NULL;
        config.classes = options->classes;
        s->fresh_head = true;
    }
    status = vit_model_plan(&m, &config, err);
    if (status != BASE_OK) {
        vit_labels_free(label, (size_t)config.classes);
        return status;
    }
    m->label = label;
    m->origins = s->origins;
    status = check_names(s, m, err);
    if (status == BASE_OK)
        status = vit_model_weights_take(m, err);
    if (status == BASE_OK)
        status = read_weights(m, s, err);
    if (status == BASE_OK)
        *out = m;
    else
        vit_model_destroy(m);
    return status;
}

/* What wrappers put in front of every name: DistributedDataParallel, Lightning, training
 * scripts. */
static void strip_prefix(vit_tensor_file *file)
{
    static const char *const fronts[] = {"module.", "model.", "state_dict."};
    size_t bytes = 0;
    bool more = !vit_tensors_metadata(file, "config") && vit_tensors_count(file) > 0;

    while (more) {
        more = false;
        for (size_t f = 0; f < sizeof fronts / sizeof fronts[0] && !more; f++) {
            const size_t length = strlen(fronts[f]);
            bool all = true;

            for (size_t i = 0; i < vit_tensors_count(file) && all; i++)
                all = strncmp(vit_tensors_at(file, i)->name, fronts[f], length) == 0;
            if (all) {
                vit_tensors_strip(file, length);
                bytes += length;
                more = bytes < 64;
            }
        }
    }
}

/* A model at its own input size by whoever reads such a file; *sight: what then says how
 * its pixels are made ready for another size, NULL: the model itself. */
static base_status load_any(vit_model **out, source *s, const vit_load_options *options,
                            base_error *err)
{
    vit_tensor_file *file = NULL;

    if (vit_jax_named(s->path)) {
        base_status status = vit_jax_load(out, s->path, options, err);

        s->origins = status == BASE_OK ? (*out)->origins : s->origins;
        if (status == BASE_OK)
            status = override(&(*out)->config, s, options, err);
        if (status == BASE_OK)
            (*out)->origins = s->origins;
        return status;
    }
    if (options->member > 0)
        return base_fail(err, BASE_USAGE, "'%s' is no ensemble, --member means nothing",
                         s->path);
    base_status status = vit_tensors_open(&file, s->path, err);
    if (status != BASE_OK)
        return status;
    s->file = file;
    strip_prefix(file);
    status = load(out, s, options, err);
    vit_tensors_close(file);
    return status;
}

base_status vit_model_load(vit_model **out, const char *path,
                           const vit_load_options *options, base_error *err)
{
    static const vit_load_options none = {0};
    const vit_load_options *wanted = options ? options : &none;
    source s = {.path = path};
    vit_model *m = NULL;
    base_status status = load_any(&m, &s, wanted, err);
    const int image = wanted->image > 0 ? wanted->image : s.hub.image;

    if (status == BASE_OK && image > 0 && image != m->config.image) {
        vit_model *resized = NULL;
        status = vit_model_resize(&resized, m, image, err);
        if (status != BASE_OK)
            base_error_prepend(err, "'%s' ", path);
        vit_model_destroy(m);
        m = resized;
    }
    if (status == BASE_OK && s.foreign)
        vit_timm_sight(&m->config, &s.hub);
    if (status == BASE_OK && vit_jax_named(path))
        vit_jax_sight(&m->config);
    vit_hub_free(&s.hub);
    if (status == BASE_OK)
        *out = m;
    else
        vit_model_destroy(m);
    return status;
}

/* ---- saving -------------------------------------------------------------------------- */

static bool is_zero(const vit_model *model, const vit_parameter *p)
{
    size_t i = 0;

    while (i < p->count && model->weights[p->offset + i] == 0)
        i++;
    return i == p->count;
}

base_status vit_model_save(const vit_model *model, const char *path,
                           vit_precision precision, base_error *err)
{
    const bool narrow = precision == VIT_PRECISION_BF16;
    base_status status = BASE_OK;
    char *config = vit_model_config_json(model);
    const size_t tokens = vit_config_tokens(&model->config);
    const size_t width = (size_t)model->config.width;
    /* timm computes no positions: a dense network takes them along. */
    const bool fixed = model->config.position == VIT_POSITION_SINCOS &&
                       !vit_config_is_sparse(&model->config);
    size_t count = 0;
    vit_tensor *tensor = base_alloc(model->count + 1, sizeof *tensor);
    uint16_t *bf16 = narrow ? base_alloc(model->floats, sizeof *bf16) : NULL;
    float *position = fixed ? base_alloc(tokens, width * sizeof *position) : NULL;

    if (!config || !tensor || (narrow && !bf16) || (fixed && !position)) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
        goto done;
    }
    if (narrow)
        vit_kernels_get()->to_bf16(bf16, model->weights, model->floats);
    for (size_t i = 0; i < model->count; i++) {
        const vit_parameter *p = &model->parameter[i];
        /* timm has no bias there with a norm behind it */
        if (model->config.pre_norm && is_left_out(p->name) && is_zero(model, p))
            continue;
        tensor[count] = (vit_tensor){
            .name = p->name,
            .type = narrow && !p->state ? "BF16" : "F32",
            .rank = p->rank,
            .data = narrow && !p->state ? (const void *)(bf16 + p->offset)
                                        : (const void *)(model->weights + p->offset)};
        memcpy(tensor[count++].shape, p->shape, sizeof p->shape);
    }
    if (fixed) {
        vit_position_sincos(position, &model->config);
        tensor[count++] = (vit_tensor){.name = "pos_embed",
                                       .type = "F32",
                                       .rank = 3,
                                       .shape = {1, tokens, width},
                                       .data = position};
    }
    const vit_pair metadata[] = {
        {"format", "vmoe"}, {"version", BASE_VERSION}, {"config", config}};
    status = vit_tensors_write(path, tensor, count, metadata,
                               sizeof metadata / sizeof metadata[0], err);
done:
    base_free(position);
    base_free(bf16);
    base_free(tensor);
    base_free(config);
    return status;
}
