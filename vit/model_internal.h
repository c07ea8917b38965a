/* model_internal.h - what the files around vit_model share: its fields, the plan of its
 * parameters, the JSON of its configuration. Private to model.c, init.c, config*.c,
 * checkpoint.c, timm.c, resize.c, upcycle.c, optimizer.c and their tests; the passes
 * need only vit_internal.h. */
#ifndef VIT_MODEL_INTERNAL_H
#define VIT_MODEL_INTERNAL_H

#include "vit/vit_internal.h"

struct vit_model {
    vit_config config;
    vit_parameter *parameter; /* [count], in the order of the block */
    size_t *place; /* [count]: byte offset of the tensor's pointer in vit_parameters */
    size_t count;
    size_t floats;
    float *weights;            /* [floats]; NULL in a model that is only planned */
    uint64_t version;          /* counts changes of the weights */
    struct vit_reduce *coming; /* brings weights of other ranks; NULL: all are here */
    char **label;              /* [classes], NULL if unknown */
    vit_origins origins;
};

/* A model without weights: names, shapes and offsets of its parameters. The caller
 * destroys it. */
base_status vit_model_plan(vit_model **out, const vit_config *config, base_error *err);
/* Takes the zeroed weights of a planned model. */
base_status vit_model_weights_take(vit_model *model, base_error *err);
/* Draws parameter i as vit_model_init does. Cannot fail. */
void vit_model_init_parameter(vit_model *model, size_t i, uint64_t seed);
/* Shape as "[10, 192]" into out. Returns out. */
const char *vit_shape_text(char *out, size_t out_bytes, const size_t *shape, int rank);
/* Whether the name of a parameter ends so. */
bool vit_name_ends(const char *name, const char *end);
/* index of the block in a name like blocks.3.mlp.fc1.weight, -1 if there is none. */
int vit_block_index(const char *name);

struct json_t; /* jansson's */
/* JSON with as few digits as give every number back; flags are jansson's (base_free). NULL:
 * no memory. */
char *vit_json_text(const struct json_t *value, size_t flags);
/* The shortest decimal that is this float, "0.485", into out. Returns out. */
const char *vit_float_text(char *out, size_t out_bytes, float value);
/* What the JSON `config` of a checkpoint holds besides the configuration: labels, NULL
 * if none. The caller frees them with vit_labels_free. */
void vit_labels_free(char **label, size_t count);
/* Reads JSON text strictly: a key that is unknown, missing or of a wrong type is refused
 * with BASE_FORMAT. The result has passed vit_config_check (its refusal is BASE_FORMAT
 * here). */
base_status vit_config_from_json(vit_config *config, char ***label, const char *text,
                                 base_error *err);

/* Longest header of a safetensors file that is read, as the reference implementation. */
#define VIT_HEADER_MOST 100000000u
/* BASE_FORMAT when the file, of `bytes` bytes that begin with at [have], is of a known kind
 * that is no safetensors file, or too short for one (kind.c). */
base_status vit_file_kind(const unsigned char *at, size_t have, size_t bytes,
                          const char *path, base_error *err);

/* Takes so many bytes away from the front of every tensor's name. */
void vit_tensors_strip(vit_tensor_file *file, size_t bytes);

/* A mean or deviation above is none of pixels from 0 to 1, but nearly any of 0 to 255. */
enum { VIT_PIXEL_MOST = 4 };

/* What a config.json of the Hub says of a network (hub.c). */
typedef struct vit_hub {
    char *path; /* of the file, NULL: there is none, and all else is zero */
    bool mean, std, interpolation, resize, pool_mean, pool_token; /* it says so */
    float mean_of[3], std_of[3];
    char filter[16];
    int image;       /* side of the input, 0: not said */
    double crop_pct; /* with resize */
    vit_crop_mode crop_mode;
    int classes, heads, channels; /* 0: not said */
    int gelu;                     /* 1 + vit_gelu, 0: not said */
    char **label;                 /* [labels] */
    size_t labels;
    const char *label_key; /* that held them */
    char architecture[80];
    char *config; /* of our own form: the configuration as JSON; NULL: timm's form */
} vit_hub;
/* The config.json in the folder of the file at path. None there is no failure. The caller
 * calls vit_hub_free. BASE_FORMAT names the file and the key. */
base_status vit_hub_read(vit_hub *out, const char *path, base_error *err);
void vit_hub_free(vit_hub *hub);
/* The network of a file with timm's names: sizes off its shapes, the rest from hub or
 * assumed (timm.c). */
base_status vit_timm_config(vit_config *config, vit_origins *origins,
                            const vit_tensor_file *file, const char *path,
                            const vit_hub *hub, const vit_load_options *options,
                            base_error *err);
/* Resize and crop for config->image: by hub's share, else timm's. */
void vit_timm_sight(vit_config *config, const vit_hub *hub);

/* PREFIX.index or X.npz (jax.c): by its name. */
bool vit_jax_named(const char *path);
/* At the side of its positions. The caller destroys *out. */
base_status vit_jax_load(vit_model **out, const char *path, const vit_load_options *options,
                         base_error *err);
/* Resize and crop of the published evaluation for config->image. */
void vit_jax_sight(vit_config *config);
/* count values of safetensors' type F32, BF16, F16 or F64, unaligned too; false: another
 * type. */
bool vit_tensor_convert(float *out, const void *from, const char *type, size_t count);

/* The grid [new_side, new_side, width] from [old_side, old_side, width] (resize.c). */
base_status vit_position_resample(float *out, size_t new_side, const float *in,
                                  size_t old_side, size_t width, base_error *err);

#endif
