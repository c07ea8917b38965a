/* hub_write.c - a network as a folder of the Hugging Face Hub: model.safetensors,
 * config.json, README.md. config.json has timm's form where timm's VisionTransformer is the
 * same function (timm 1.0: models/_hub.py, save_config_for_hf, and vision_transformer.py),
 * else our own, which hub.c reads back. Free to change: which of timm's architectures is
 * named, since model_args says everything. Relied on elsewhere: keys (docs/models.md), and
 * that nobody's files are removed. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "vit/model_internal.h"

/* ---- config.json --------------------------------------------------------------------- */

/* Networks that timm has a name for, with their patches, and the one that is varied. */
static const struct {
    const char *name;
    int patch, width, depth, heads;
} architectures[] = {
    {"vit_base_patch16_224", 16, 768, 12, 12},   {"vit_base_patch32_224", 32, 768, 12, 12},
    {"vit_base_patch8_224", 8, 768, 12, 12},     {"vit_tiny_patch16_224", 16, 192, 12, 3},
    {"vit_small_patch16_224", 16, 384, 12, 6},   {"vit_small_patch32_224", 32, 384, 12, 6},
    {"vit_large_patch16_224", 16, 1024, 24, 16},
};
static const double timm_eps = 1e-6, clip_eps = 1e-5;

static bool is_zero(const vit_model *model, const char *name)
{
    const vit_parameter *p = vit_model_parameter_find(model, name);

    for (size_t i = 0; p && i < p->count; i++)
        if (model->weights[p->offset + i] != 0)
            return false;
    return true;
}

/* Whether timm's VisionTransformer computes this. */
static bool timm_has(const vit_model *model)
{
    const vit_config *c = &model->config;

    return !vit_config_is_sparse(c) && c->prelogits == 0 &&
           (fabs(c->eps - timm_eps) < 1e-12 || fabs(c->eps - clip_eps) < 1e-12) &&
           (!c->pre_norm || is_zero(model, "patch_embed.proj.bias"));
}

static const char *architecture_of(const vit_config *c)
{
    if (fabs(c->eps - clip_eps) < 1e-12)
        return "vit_base_patch16_clip_224"; /* of the usual ones the one with that epsilon */
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++)
        if (architectures[i].patch == c->patch && architectures[i].width == c->width &&
            architectures[i].depth == c->depth && architectures[i].heads == c->heads)
            return architectures[i].name;
    return architectures[0].name;
}

/* timm: hidden = int(width * ratio), which a rounded ratio may miss by one. */
static double mlp_ratio(const vit_config *c)
{
    const double ratio = (double)c->mlp / (double)c->width;

    return (int)((double)c->width * ratio) == c->mlp
               ? ratio
               : ((double)c->mlp + 0.25) / (double)c->width;
}

/* timm: the shorter side becomes floor(side / share). */
static double crop_share(const vit_config *c)
{
    const double share = (double)c->crop / (double)c->resize;

    if (c->resize == 0)
        return 1;
    return (int)((double)c->crop / share) == c->resize
               ? share
               : (double)c->crop / ((double)c->resize + 0.25);
}

static const char *pool_of(const vit_config *c)
{
    return c->pool == VIT_POOL_TOKEN ? "token" : "avg";
}

/* Every number of the architecture; switches only where they are not timm's defaults, so
 * that older versions read it too. */
static json_t *arguments_of(const vit_config *c)
{
    json_t *out = json_pack("{s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:b}", "img_size",
                            c->image, "patch_size", c->patch, "embed_dim", c->width,
                            "depth", c->depth, "num_heads", c->heads, "mlp_ratio",
                            mlp_ratio(c), "global_pool", pool_of(c), "fc_norm", c->fc_norm);

    if (c->channels != 3)
        json_object_set_new(out, "in_chans", json_integer(c->channels));
    if (c->pool == VIT_POOL_GAP)
        json_object_set_new(out, "class_token", json_false());
    if (c->registers > 0)
        json_object_set_new(out, "reg_tokens", json_integer(c->registers));
    if (c->qk_norm)
        json_object_set_new(out, "qk_norm", json_true());
    if (c->pre_norm || fabs(c->eps - clip_eps) < 1e-12)
        json_object_set_new(out, "pre_norm", json_boolean(c->pre_norm));
    if (c->gelu == VIT_GELU_TANH)
        json_object_set_new(out, "act_layer", json_string("gelu_tanh"));
    return out;
}

/* timm has Pillow's filters; for TensorFlow's the nearest of them, model.safetensors says
 * which it was. */
static const char *filter_of(const vit_config *c)
{
    return strcmp(c->interpolation, "area") == 0             ? "box"
           : strcmp(c->interpolation, "bilinear-plain") == 0 ? "bilinear"
                                                             : c->interpolation;
}

static json_t *timm_form(const vit_model *model, json_t *config)
{
    const vit_config *c = &model->config;
    json_t *cfg =
        json_pack("{s:[i, i, i], s:b, s:s, s:f, s:s, s:O, s:O, s:i, s:n, s:s, s:s}",
                  "input_size", c->channels, c->image, c->image, "fixed_input_size", 1,
                  "interpolation", filter_of(c), "crop_pct", crop_share(c), "crop_mode",
                  c->crop_mode == VIT_CROP_SQUASH ? "squash" : "center", "mean",
                  json_object_get(config, "mean"), "std", json_object_get(config, "std"),
                  "num_classes", c->classes, "pool_size", "first_conv", "patch_embed.proj",
                  "classifier", "head");
    json_t *out =
        json_pack("{s:s, s:i, s:i, s:s, s:o, s:o}", "architecture", architecture_of(c),
                  "num_classes", c->classes, "num_features", c->width, "global_pool",
                  pool_of(c), "model_args", arguments_of(c), "pretrained_cfg", cfg);

    if (model->label)
        json_object_set(out, "label_names", json_object_get(config, "labels"));
    return out;
}

char *vit_model_hub_json(const vit_model *model, bool *timm)
{
    char *text = vit_model_config_json(model), *out = NULL;
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    const bool theirs = timm_has(model);
    json_t *json = !config  ? NULL
                   : theirs ? timm_form(model, config)
                            : json_pack("{s:s, s:s, s:i, s:O}", "model_type", "vmoe",
                                        "vmoe_version", BASE_VERSION, "num_classes",
                                        model->config.classes, "config", config);

    if (json)
        out = vit_json_text(json, JSON_INDENT(2));
    json_decref(json);
    json_decref(config);
    base_free(text);
    if (timm)
        *timm = theirs;
    return out;
}

/* ---- the folder ---------------------------------------------------------------------- */

static const char *const names[] = {"model.safetensors", "config.json", "README.md"};
enum { WEIGHTS, CONFIG, README, NAMES };

/* One of the three, or what a killed try left of it (base_writer). */
static bool is_own(const char *name)
{
    for (size_t i = 0; i < NAMES; i++) {
        const size_t length = strlen(names[i]);

        if (strncmp(name, names[i], length) == 0 &&
            (name[length] == '\0' || (name[length] == '.' && vit_name_ends(name, ".part"))))
            return true;
    }
    return false;
}

/* Refuses a folder that holds anything else, and what is no folder. */
static base_status folder_look(const char *folder, base_error *err)
{
    DIR *open = opendir(folder);
    base_status status = BASE_OK;

    if (!open && errno == ENOENT)
        return BASE_OK;
    if (!open)
        return base_fail_errno(err, "cannot write the folder '%s'", folder);
    for (const struct dirent *entry; status == BASE_OK && (entry = readdir(open));) {
        char quoted[64];

        if (!is_own(entry->d_name) && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0)
            status = base_fail(err, BASE_IO,
                               "the folder '%s' holds '%s', expected a new one, an empty "
                               "one, or one with config.json, model.safetensors and "
                               "README.md alone",
                               folder, base_quote(quoted, sizeof quoted, entry->d_name));
    }
    closedir(open);
    return status;
}

static base_status text_write(const char *folder, const char *name, const char *text,
                              base_error *err)
{
    char *path = base_text("%s/%s", folder, name);
    base_writer writer = {0};

    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", folder);
    base_status status = base_writer_open(&writer, path, err);
    if (status == BASE_OK) {
        fputs(text, writer.file); /* committing tells of what was not written */
        status = base_writer_commit(&writer, err);
    }
    base_free(path);
    return status;
}

/* The three files into a folder that is there. */
static base_status fill(const vit_model *model, const char *folder, const char *readme,
                        vit_precision precision, base_error *err)
{
    char *path = base_text("%s/%s", folder, names[WEIGHTS]);
    char *config = vit_model_hub_json(model, NULL);
    base_status status = BASE_OK;

    if (!path || !config)
        status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", folder);
    if (status == BASE_OK)
        status = vit_model_save(model, path, precision, err);
    if (status == BASE_OK)
        status = text_write(folder, names[CONFIG], config, err);
    if (status == BASE_OK)
        status = text_write(folder, names[README], readme, err);
    base_free(config);
    base_free(path);
    return status;
}

base_status vit_model_save_hub(const vit_model *model, const char *folder,
                               const char *readme, vit_precision precision, base_error *err)
{
    size_t length = strlen(folder);

    while (length > 1 && folder[length - 1] == '/')
        length--;
    char *live = base_text("%.*s", (int)length, folder);
    char *fresh = base_text("%.*s.part", (int)length, folder);
    base_status status =
        live && fresh ? folder_look(live, err)
                      : base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", folder);

    if (status == BASE_OK)
        status = folder_look(fresh, err); /* of a try that was killed, or somebody's */
    if (status == BASE_OK)
        status = base_folder_remove(fresh, err);
    if (status == BASE_OK && mkdir(fresh, 0777) != 0) /* its parents must be there */
        status = base_fail_errno(err, "cannot make the folder '%s'", live);
    if (status == BASE_OK) {
        status = fill(model, fresh, readme, precision, err);
        if (status == BASE_OK)
            status = base_folder_replace(live, fresh, err);
        if (status != BASE_OK)
            base_folder_remove(fresh, NULL); /* err already says what went wrong */
    }
    base_free(fresh);
    base_free(live);
    return status;
}
