/* vit.h - the network: dense and sparse Vision Transformers, their routers, losses,
 * optimisers and checkpoint files. Everything outside vit/ sees the network through this
 * header only.
 *
 *     base_error err = {0};
 *     vit_model *model = NULL;
 *     vit_run *run = NULL;
 *     if (vit_model_load(&model, "model.safetensors", NULL, &err) != BASE_OK ||
 *         vit_run_create(&run, model, 32, VIT_MODE_INFER, VIT_PRECISION_FP32, &err) != BASE_OK)
 *         return app_fail(&err);
 *     vit_run_forward(run, logits, images, 32, &(vit_step){0}, &err);
 *     vit_run_destroy(run);
 *     vit_model_destroy(model);
 *
 * Tensors are float32, row-major. Letters: B images, N tokens of an image (class token
 * included), T = B * N, D width, H heads, M hidden size of the MLP, E experts, k experts
 * per token, K classes. Objects are used by one thread at a time; a model may be shared by
 * several runs that only read it. Signals: oneDNN's generated kernels use the stack pointer
 * freely, so a handler that runs on the stack of a computing thread corrupts memory (seen
 * with 2.6). Block signals in threads that call run functions, or install handlers with
 * SA_ONSTACK and an alternate stack in every thread. Kernels use OpenMP threads
 * (omp_set_num_threads). Results for a fixed number of threads are reproducible to the
 * bit. */
#ifndef VIT_VIT_H
#define VIT_VIT_H

#include "base/base.h"

/* ---- configuration ------------------------------------------------------------------- */

enum { VIT_DEPTH_MAX = 64, VIT_EXPERTS_MAX = 256, VIT_ROUTER_BYTES = 192 };

/* What the head sees: the class token, the mean over the patches of a network without one,
 * or the mean over the patches although a class token stands in front of them. */
typedef enum vit_pool { VIT_POOL_TOKEN, VIT_POOL_GAP, VIT_POOL_PATCHES } vit_pool;
/* How a picture gets to `resize`: its shorter side, or both sides whatever its aspect
 * ratio. */
typedef enum vit_crop_mode { VIT_CROP_CENTER, VIT_CROP_SQUASH } vit_crop_mode;
typedef enum vit_gelu { VIT_GELU_ERF, VIT_GELU_TANH } vit_gelu;
typedef enum vit_position { VIT_POSITION_LEARNED, VIT_POSITION_SINCOS } vit_position;
typedef enum vit_init { VIT_INIT_TIMM, VIT_INIT_VMOE } vit_init;
typedef enum vit_precision { VIT_PRECISION_FP32, VIT_PRECISION_BF16 } vit_precision;

/* A router by name and the values of its options (routing.md): a struct of its own, whose
 * members are the fields of vit_router_options; fill through vit_router_select/_set. */
typedef struct vit_router_config {
    char name[32];
    _Alignas(double) unsigned char settings[VIT_ROUTER_BYTES];
} vit_router_config;

typedef struct vit_moe_config {
    bool layer[VIT_DEPTH_MAX]; /* block i has experts in place of its MLP */
    int experts;               /* E, 1..VIT_EXPERTS_MAX */
    int k;                     /* experts per token, 1..E */
    double capacity;           /* capacity factor in training, 0: dropless */
    double eval_capacity;      /* the same in evaluation, 0: dropless */
    int capacity_multiple; /* C is rounded up to a multiple of this (4; 1: not at all) */
    bool bpr;              /* training: batch-prioritised routing (with capacity) */
    bool eval_bpr;         /* the same in evaluation */
    int group_images;      /* images routed together, 0: the whole local batch */
    double dropout;        /* inside experts, after GELU and after fc2, 0..<1 */
    int shared; /* experts that every token passes too, with gate 1 (DeepSeekMoE); 0: none */
    vit_router_config router;
} vit_moe_config;

/* Everything that is needed to rebuild the network and to feed it. */
typedef struct vit_config {
    char name[48]; /* of the size it came from, "" if none */
    int image;     /* pixels a side, divisible by patch */
    int channels;  /* 1 or 3 */
    int patch;     /* P, pixels a side */
    int width;     /* D, divisible by heads */
    int depth;     /* L, 1..VIT_DEPTH_MAX */
    int heads;     /* H */
    int mlp;       /* M */
    int classes;   /* K, >= 1 (at least 2 to train) */
    vit_pool pool;
    vit_gelu gelu;
    vit_position position;
    vit_init init;
    double dropout;   /* after embedding, attention projection, GELU and fc2, 0..<1 */
    double drop_path; /* stochastic depth of the last block, linear from 0, 0..<1 */
    double eps;       /* LayerNorm's, 1e-6; CLIP's 1e-5 */
    int registers; /* learned tokens between the class token and the patches (Darcet et al. 2024) */
    int prelogits; /* width of a layer with tanh between pooling and head, 0: none */
    bool fc_norm;  /* the last norm comes after the mean, not before (timm's fc_norm) */
    bool pre_norm; /* a norm before the first block (CLIP's) */
    bool qk_norm;  /* a norm over each head's queries and keys (Dehghani et al. 2023) */
    vit_moe_config moe;
    /* How pixels become inputs; the network itself only stores these. */
    float mean[3], std[3];  /* of pixels in [0, 1] */
    char interpolation[16]; /* bilinear, bicubic, area or bilinear-plain (data.h) */
    int resize;             /* shorter side before the crop; 0: image taken as it is */
    int crop;               /* centre crop, = image */
    vit_crop_mode crop_mode;
} vit_config;

/* A dense ViT-Ti/16 for 1000 classes with no MoE layer, ImageNet mean and std; router ssr
 * selected. */
vit_config vit_config_defaults(void);
/* The named sizes of model.md ("vmoe-nano", "vit-s16", ...). classes and pixels' mean stay
 * as they are in *config. BASE_USAGE names the nearest known name. */
base_status vit_config_select(vit_config *config, const char *name, base_error *err);
/* i-th named size, NULL past the end (for --help). */
const char *vit_config_name(size_t i);
/* "none", "every:2", "last:2" or "1,3,5" into moe.layer for config->depth blocks. */
base_status vit_config_layers_set(vit_config *config, const char *text, base_error *err);
/* Refuses impossible combinations with one line that names the key, the value and what was
 * expected: width not divisible by heads, image by patch, k > experts, k = 1 with
 * renormalised gates, ... */
base_status vit_config_check(const vit_config *config, base_error *err);
/* Any MoE layer at all. */
bool vit_config_is_sparse(const vit_config *config);
/* Whether in evaluation an image's logits depend on the images beside it: they share a
 * capacity, or the router lets their tokens compete. */
bool vit_config_mixes_images(const vit_config *config);
/* N: tokens of one image, class token included. */
size_t vit_config_tokens(const vit_config *config);
/* How many of them stand before the patches. */
size_t vit_config_prefix(const vit_config *config);
/* Experts of a token outside training: moe.k, unless the router wants fewer there. */
int vit_config_eval_k(const vit_config *config);

/* ---- routers ------------------------------------------------------------------------- */

/* i-th router's name, NULL past the end; its one-line summary with its source. */
const char *vit_router_name(size_t i);
const char *vit_router_summary(const char *name);
/* Options that this router understands: fields of vit_router_config.settings, keys after
 * "router."; NULL for an unknown router. */
const base_field *vit_router_options(const char *name);
/* Whether it gives every token k experts and can be held to sets of them
 * (vit_run_routing_fix); false for a router that is not known. */
bool vit_router_replays(const vit_router_config *config);
/* Sinkhorn steps of a layer to be expected in a training run of so many steps, 0 without
 * any. */
double vit_router_sinkhorn_steps(const vit_router_config *config, uint64_t run_steps);
/* One sentence that a report of attacks needs of its gradients and choices; NULL: none. */
const char *vit_router_caution(const vit_router_config *config);
/* Whether router.k means anything to it. */
bool vit_router_uses_k(const char *name);
/* Sets name and fills all options with their defaults. */
base_status vit_router_select(vit_router_config *config, const char *name, base_error *err);
/* One option from text; BASE_USAGE names the router, the value, the range or the nearest
 * option. */
base_status vit_router_set(vit_router_config *config, const char *key, const char *text,
                           base_error *err);
/* The same from a value of any kind. */
base_status vit_router_put(vit_router_config *config, const char *key, base_value value,
                           base_error *err);
/* The value of an option as text (choices by word) into out, "" when there is no such
 * option. */
const char *vit_router_get(const vit_router_config *config, const char *key, char *out,
                           size_t out_bytes);

/* Of a router that mixes tokens into slots and chooses nothing (Soft MoE): D is the weights
 * of an image's tokens in a slot, C those of the slots in a token's output. */
typedef struct vit_soft_report {
    bool is_soft;
    double combine_max, dispatch_max; /* largest entry of C, of D */
    double combine_entropy;           /* of a token's row of C, nats; mean over tokens */
} vit_soft_report;

/* Where the tokens of one MoE layer went in the last forward pass. Borrowed until the next
 * one. An assignment a sends token token[a] to expert expert[a] with weight gate[a];
 * assignments are in token order, those of token t are a = start[t] .. start[t + 1] - 1,
 * best first. */
typedef struct vit_routing {
    size_t tokens;           /* T */
    size_t tokens_per_image; /* N */
    size_t experts;          /* E */
    size_t count;            /* assignments made, before dropping */
    const uint32_t *start;   /* [T + 1] */
    const uint32_t *token;   /* [count] */
    const uint16_t *expert;  /* [count] */
    const float *gate;       /* [count] */
    const bool *kept;        /* [count]: false when dropped for capacity */
    const double *probs;     /* [T, E] router probabilities (softmax of the clean logits) */
    const double *logits;    /* [T, E] behind probs, without noise; NULL: has none */
    double aux_loss;         /* weighted auxiliary loss of this layer, mean over groups */
    bool used_sinkhorn;      /* this pass */
    int sinkhorn_iterations;
    double sinkhorn_residual;
    bool sinkhorn_converged;
    double seconds;       /* spent in routing, forward */
    const bool *left_out; /* [T / N] images that a load does not count, set by who adds it;
                             NULL: all count */
    vit_soft_report
        soft; /* is_soft: there are no assignments, count is 0; probs are sums of C by expert */
} vit_routing;

enum { VIT_USAGE_LEVELS = 4 };
/* Load metrics of one MoE layer (routing.md 12), sums over any number of passes. */
typedef struct vit_usage {
    size_t experts;
    double tokens, assignments, dropped, orphans; /* orphans: tokens with no kept expert */
    double load[VIT_EXPERTS_MAX];        /* assignments per expert, before dropping */
    double importance[VIT_EXPERTS_MAX];  /* sum of probabilities per expert */
    double gate_max, entropy, gate_lost; /* sums over tokens: largest gate, row entropy */
    double passes, sinkhorn_passes, sinkhorn_iterations, sinkhorn_residual, sinkhorn_failed;
    /* of routers that choose nothing: passes, extremes, sum over tokens */
    double soft_passes, combine_max, dispatch_max, combine_entropy;
    double seconds;
    double fewest, most;               /* kept experts of a token, over all tokens */
    double at_least[VIT_USAGE_LEVELS]; /* tokens with 1, 2, 4, 8 or more of them */
} vit_usage;

typedef struct vit_usage_metrics {
    double entropy;       /* normalised load entropy, 0..1 */
    double max_violation; /* max load / mean load - 1 */
    double min_ratio;     /* min load / mean load */
    double cv;            /* population std / mean of the loads */
    double importance_cv;
    double dead;           /* experts below 1 % of the mean load */
    double dropped;        /* fraction of assignments */
    double orphans;        /* fraction of tokens without a kept expert */
    double gate_lost;      /* mean gate mass lost per token */
    double gate_max;       /* mean of the largest gate */
    double prob_entropy;   /* mean row entropy of the probabilities, nats */
    double sinkhorn_share; /* fraction of passes */
    double sinkhorn_iterations, sinkhorn_residual; /* means over those passes */
    double sinkhorn_failed;                        /* how many of them */
    double seconds;                                /* in routing, all passes */
    double fewest, most, kept;         /* kept experts of a token: least, most, mean */
    double at_least[VIT_USAGE_LEVELS]; /* fraction of tokens with 1, 2, 4, 8 or more */
    vit_soft_report
        soft; /* is_soft: nothing is assigned, what speaks of loads says nothing */
} vit_usage_metrics;

void vit_usage_add(vit_usage *load, const vit_routing *routing);
/* Adds what another load of the same layer has counted, of other passes: in any order and
 * grouping the same bits. */
void vit_usage_merge(vit_usage *load, const vit_usage *other);
vit_usage_metrics vit_usage_summary(const vit_usage *load);

/* ---- model --------------------------------------------------------------------------- */

typedef struct vit_model vit_model;

/* One parameter tensor. All parameters lie in one block of floats. */
typedef struct vit_parameter {
    char name[80]; /* timm's, model.md */
    size_t shape[4];
    int rank;
    size_t offset; /* first float in the block */
    size_t count;  /* floats */
    int layer;     /* 0: embedding; i + 1: block i, the last norm being in the last block;
                    * depth + 1: head, with what is between pooling and it (as timm's
                    * group_matcher) */
    bool decay;    /* a matrix: weight decay applies */
    /* No gradient moves it: what a router keeps its loads even with, or a weight that stays
     * as drawn. It has no part in the gradient's norm and stays fp32 in files
     * (vit_optimizer_state_step). */
    bool state;
} vit_parameter;

/* A model with all weights zero; config is checked and copied. The caller destroys it. */
base_status vit_model_create(vit_model **out, const vit_config *config, base_error *err);
void vit_model_destroy(vit_model *model);
/* Draws the weights (model.md "Initialisation", routing.md 0.4 for init = vmoe). Cannot
 * fail. */
void vit_model_init(vit_model *model, uint64_t seed);
const vit_config *vit_model_config(const vit_model *model);
size_t vit_model_parameter_count(const vit_model *model); /* tensors */
const vit_parameter *vit_model_parameter(const vit_model *model, size_t i);
const vit_parameter *vit_model_parameter_find(const vit_model *model, const char *name);
/* [vit_model_floats], to be written: runs of the model pack them anew at their next pass.
 * Who keeps the pointer and writes again after a pass calls this again. */
float *vit_model_weights(vit_model *model);
const float *vit_model_weights_const(const vit_model *model);
size_t vit_model_floats(const vit_model *model);
/* Parameters that one token meets: with k of E experts counted. */
size_t vit_model_active_floats(const vit_model *model);
/* Floating-point operations of one forward pass of one image (multiply and add count as
 * two). */
double vit_model_flops(const vit_model *model);
/* The same when its tokens have so many kept assignments, all MoE layers together: a
 * dropped one costs nothing. k N MoE layers of them give vit_model_flops. */
double vit_model_flops_spent(const vit_model *model, double assignments);
/* Class names in logit order, NULL if unknown. set copies count names; count must be
 * classes. */
const char *vit_model_label(const vit_model *model, size_t i);
base_status vit_model_labels_set(vit_model *model, const char *const *labels, size_t count,
                                 base_error *err);
/* Changes settings that do not touch the weights (capacity, routing in evaluation, router
 * options). BASE_MISMATCH when a shape would change. Runs of the model must be made anew
 * afterwards. */
base_status vit_model_config_set(vit_model *model, const vit_config *config,
                                 base_error *err);

/* ---- files --------------------------------------------------------------------------- */

/* Reads a checkpoint of ours, or one with timm's names and no metadata: sizes from the
 * shapes, the rest from a config.json beside it, from what is known of its width, or
 * assumed (vit_model_origins). PREFIX.index is a checkpoint of V-MoE with its shards beside
 * it, X.npz one of vision_transformer or big_vision, X.safetensors.index.json a list of
 * shards. Every name, shape, type, offset and value is checked before use; NaN or infinity
 * is refused. options may be NULL. The caller destroys *out. */
typedef struct vit_load_options {
    int heads;   /* > 0: whatever the file says or leaves open */
    int pool;    /* 0: as the file says; 1: class token, 2: mean over the patches */
    int image;   /* > 0: resample the position embedding to this input size (bicubic) */
    int classes; /* > 0 and different: a fresh zero head of this size */
    int member;  /* of an ensemble of V-MoE's, from 0 */
} vit_load_options;
base_status vit_model_load(vit_model **out, const char *path,
                           const vit_load_options *options, base_error *err);
/* Where a setting of a network that was read comes from. */
typedef enum vit_origin {
    VIT_ORIGIN_FILE,   /* the checkpoint: its config or its shapes */
    VIT_ORIGIN_CONFIG, /* config.json beside it, timm's on the Hub */
    VIT_ORIGIN_KNOWN,  /* the published networks of this width */
    VIT_ORIGIN_ASSUMED,
    VIT_ORIGIN_OPTION /* the caller */
} vit_origin;
typedef struct vit_origins {
    vit_origin mean, std, interpolation, resize, heads, pool, labels, routing;
    int image,
        classes; /* of the file before it was changed; 0: it does not say, has no head */
    int members; /* of the ensemble that the network is one of, else 0 */
} vit_origins;
/* "checkpoint", "config.json", "known width", "assumed", "option". */
const char *vit_origin_name(vit_origin origin);
const vit_origins *vit_model_origins(const vit_model *model);
/* model.safetensors, whole or not at all. precision bf16 rounds to nearest even. */
base_status vit_model_save(const vit_model *model, const char *path,
                           vit_precision precision, base_error *err);
/* The network as an ONNX file (opset 20), whole or not at all: input "images" [batch, C, S,
 * S] as it is fed, output "logits" [batch, K], weights in fp32, how pixels are made ready
 * in metadata_props (docs/models.md). BASE_UNSUPPORTED names what it cannot hold: a
 * capacity, images that decide about one another, more than 2 GiB. */
base_status vit_model_save_onnx(const vit_model *model, const char *path, base_error *err);
/* A folder as the Hugging Face Hub has them: model.safetensors, config.json and README.md,
 * the text readme. Written beside, as FOLDER.part, and renamed; what stands there is
 * replaced when it is empty or such a folder, else refused. */
base_status vit_model_save_hub(const vit_model *model, const char *folder,
                               const char *readme, vit_precision precision,
                               base_error *err);
/* Its config.json (base_free): timm's form (*timm true) for a network that timm's
 * VisionTransformer can be made to compute: no experts, no prelogits, eps 1e-6 or 1e-5,
 * with pre_norm no patch bias; else {"model_type": "vmoe", "config": ...}, which
 * vit_model_load reads back. timm may be NULL. NULL: no memory. */
char *vit_model_hub_json(const vit_model *model, bool *timm);
/* The config as JSON text (keys of model.md, labels included); base_free. NULL: no
 * memory. */
char *vit_model_config_json(const vit_model *model);
/* Resamples pos_embed for another input size: bicubic as timm's (a = -0.5, half-pixel
 * centres, antialiased), class token kept. The caller destroys *out. */
base_status vit_model_resize(vit_model **out, const vit_model *model, int image,
                             base_error *err);
/* A dense model to a sparse one (Komatsuzaki et al. 2023, "Sparse upcycling"): MLPs of the
 * chosen blocks copied into every expert; routers drawn from seed. moe: layers, experts, k,
 * router. */
base_status vit_model_upcycle(vit_model **out, const vit_model *dense,
                              const vit_moe_config *moe, uint64_t seed, base_error *err);

/* Any set of named tensors in a safetensors file: what state.safetensors is made of. */
typedef struct vit_tensor {
    const char *name;
    const char *type; /* "F32", "F64", "I64", "U8", "BF16" */
    int rank;
    size_t shape[4];
    const void *data; /* little-endian, row-major; valid while the file is open when read */
} vit_tensor;
typedef struct vit_pair {
    const char *key, *value;
} vit_pair;
base_status vit_tensors_write(const char *path, const vit_tensor *tensors, size_t count,
                              const vit_pair *metadata, size_t pairs, base_error *err);
/* The same file from tensors of which some have no data: fill is asked for theirs, by name,
 * in windows of at most VIT_WINDOW_BYTES from byte `first` on, in the order of the file. */
enum { VIT_WINDOW_BYTES = 16 << 20 };
typedef base_status vit_fill(void *user, const char *name, void *out, size_t first,
                             size_t bytes, base_error *err);
base_status vit_tensors_stream(const char *path, const vit_tensor *tensors, size_t count,
                               const vit_pair *metadata, size_t pairs, vit_fill *fill,
                               void *user, base_error *err);
typedef struct vit_tensor_file vit_tensor_file;
base_status vit_tensors_open(vit_tensor_file **out, const char *path, base_error *err);
void vit_tensors_close(vit_tensor_file *file);
size_t vit_tensors_count(const vit_tensor_file *file);
const vit_tensor *vit_tensors_at(const vit_tensor_file *file, size_t i);
const vit_tensor *vit_tensors_find(const vit_tensor_file *file, const char *name);
/* NULL: none */
const char *vit_tensors_metadata(const vit_tensor_file *file, const char *key);

/* ---- running it ---------------------------------------------------------------------- */

typedef enum vit_mode {
    VIT_MODE_INFER,          /* logits only */
    VIT_MODE_INPUT_GRADIENT, /* deterministic forward; backward to the pixels, no weight gradients */
    VIT_MODE_TRAIN           /* dropout, noise, all gradients */
} vit_mode;

/* What keys the random draws of a training pass; zero it otherwise. */
typedef struct vit_step {
    uint64_t seed;
    uint64_t step;         /* optimiser step, from 0 */
    uint64_t steps;        /* of the whole run, 0: unknown */
    uint64_t first_sample; /* place of the first image in the step's global batch */
    /* Weight of this pass's auxiliary losses, e.g. its share of the batch; 0 counts as
     * 1. */
    double loss_scale;
} vit_step;

typedef struct vit_run vit_run;

/* Plans and takes all memory for up to batch images; nothing is allocated by forward and
 * backward. The model must outlive the run. Weights are packed for the products at the
 * first pass and after every vit_model_weights, vit_model_init and optimiser step on the
 * model; other passes find them packed. */
base_status vit_run_create(vit_run **out, const vit_model *model, size_t batch,
                           vit_mode mode, vit_precision precision, base_error *err);
void vit_run_destroy(vit_run *run);
/* What a backward pass computes again instead of finding it kept: less memory for more
 * time. Draws are keyed, so the numbers are the same to the bit. */
typedef enum vit_recompute {
    VIT_RECOMPUTE_NONE,
    VIT_RECOMPUTE_ATTENTION, /* the attention's probabilities */
    VIT_RECOMPUTE_BLOCK /* whole blocks from their inputs (Chen et al. 2016, "Training deep
                              * nets with sublinear memory cost") */
} vit_recompute;

typedef struct vit_run_options {
    vit_mode mode;
    vit_precision precision;
    vit_recompute recompute; /* no effect on VIT_MODE_INFER */
    /* TRAIN: so many layers (vit_parameter.layer) compute what they do in evaluation, have
     * no backward pass and gradients of 0. 0: none, depth + 1: all but the head. */
    int frozen;
} vit_run_options;

/* vit_run_create with every choice. */
base_status vit_run_create_options(vit_run **out, const vit_model *model, size_t batch,
                                   const vit_run_options *options, base_error *err);
/* Bytes that create would take for activations and gradients: in fp32, or with every
 * choice. Packed copies of the weights come on top, at most 4 bytes a weight. */
size_t vit_run_bytes(const vit_model *model, size_t batch, vit_mode mode);
size_t vit_run_bytes_options(const vit_model *model, size_t batch,
                             const vit_run_options *options);
/* logits [B, K] from normalised images [B, C, S, S]; 1 <= batch <= the planned one. */
base_status vit_run_forward(vit_run *run, float *logits, const float *images, size_t batch,
                            const vit_step *step, base_error *err);
/* After forward of the same batch. TRAIN: adds into the gradients, auxiliary losses of the
 * routers included. d_images [B, C, S, S] is overwritten unless NULL (TRAIN) and required
 * (INPUT_GRADIENT). */
base_status vit_run_backward(vit_run *run, float *d_images, const float *d_logits,
                             base_error *err);
/* The same for a loss that looks at the routers too: d_routing [MoE layers, B * N, E] is
 * its gradient in vit_routing.logits (NULL: it does not look). INPUT_GRADIENT runs with
 * experts only, BASE_USAGE else; BASE_UNSUPPORTED for a router that shows no logits.
 * d_logits may then be NULL: a loss of the routers alone, without the work behind the last
 * of them. The choice of experts is constant. */
base_status vit_run_backward_routing(vit_run *run, float *d_images, const float *d_logits,
                                     const float *d_routing, base_error *err);
/* Gradients of all parameters, same order as the weights; NULL unless TRAIN. After zeroing,
 * ask again before reading: most zeros are left to the next backward pass, which writes in
 * place of adding. */
float *vit_run_gradients(vit_run *run);
void vit_run_gradients_zero(vit_run *run);
/* Sum over MoE layers of the routers' weighted auxiliary losses in the last forward
 * pass. */
double vit_run_aux_loss(const vit_run *run);
/* Number of MoE layers; routing of the i-th (in block order) in the last forward pass. */
size_t vit_run_moe_count(const vit_run *run);
vit_routing vit_run_routing(const vit_run *run, size_t i);
/* What the router of the i-th MoE layer saw in the last forward pass: [T, D], after the
 * block's second norm. Borrowed until the next pass. NULL in a run whose blocks share their
 * memory: in inference, and when something is computed again. */
const float *vit_run_router_input(const vit_run *run, size_t i);
/* From now on passes go by this capacity in place of the model's moe.eval_capacity and
 * moe.eval_bpr; 0: dropless. BASE_USAGE for a training run or what vit_config_check
 * refuses; nothing changes then. */
base_status vit_run_capacity_set(vit_run *run, double factor, bool bpr, base_error *err);
/* Replay: what a network answers when tokens go to experts that were chosen before, e.g.
 * those of the clean image when it sees the adversarial one. Sets of an image are
 * vit_run_set_count numbers [MoE layers, N, k] of experts; 0 for a dense model. */
size_t vit_run_set_count(const vit_run *run);
/* sets [B, vit_run_set_count] of the last forward pass, best expert first, dropped ones
 * too. Only of routers that vit_run_routing_fix takes. */
void vit_run_routing_sets(const vit_run *run, uint16_t *sets);
/* From now on image i of a pass goes by sets[i] in place of the router's choice; gates are
 * computed anew from its own router logits on those experts, and backward passes are those
 * of that network. The sets of an image itself change no bit. sets [images, set count] are
 * borrowed until the next call; NULL: routing is free again. Passes then take at most
 * `images` images. BASE_USAGE for a training run or an expert that is not there,
 * BASE_UNSUPPORTED for a router that cannot do it; nothing changes then. */
base_status vit_run_routing_fix(vit_run *run, const uint16_t *sets, size_t images,
                                base_error *err);

/* Where the time of passes goes. */
typedef enum vit_part {
    VIT_PART_PATCH,      /* pixels to tokens: patches, position, class token */
    VIT_PART_NORM,       /* LayerNorm of the blocks */
    VIT_PART_PROJECTION, /* qkv and output projection, with bias and residual */
    VIT_PART_ATTENTION,  /* products of scores and values */
    VIT_PART_SOFTMAX,    /* of the scores */
    VIT_PART_MLP,        /* dense blocks: products, bias, GELU, residual */
    VIT_PART_ROUTER,
    VIT_PART_DISPATCH, /* assignments to rows; gathering rows, and their gradients' way home */
    VIT_PART_EXPERTS,
    VIT_PART_COMBINE, /* rows times gates to tokens; residual and what a router joins itself */
    VIT_PART_HEAD,    /* last norm, pooling, classifier */
    VIT_PART_OTHER, /* what no part claims: threads that wait, weights that are converted */
    VIT_PART_COUNT
} vit_part;

/* "patch", "norm", ...; NULL past the end. */
const char *vit_part_name(vit_part part);
/* From now on passes are measured (on) or not, from zero. Off, as a run is made, it costs
 * nothing that can be measured; on, a clock reading a part and block of rows. Results stay
 * the same to the bit. */
void vit_run_profile(vit_run *run, bool on);
/* Wall-clock seconds of each part in the forward and backward passes since then: what
 * threads spent in it, divided by the threads of the region, plus what ran outside regions.
 * The sum is the wall time of the passes. */
void vit_run_profile_read(const vit_run *run, double seconds[VIT_PART_COUNT]);

/* ---- losses -------------------------------------------------------------------------- */

typedef enum vit_loss { VIT_LOSS_SOFTMAX, VIT_LOSS_SIGMOID } vit_loss;

/* Mean over the batch of the cross-entropy with soft targets [B, K]; per_sample [B] may be
 * NULL. d_logits [B, K] (may be NULL) is overwritten by scale times the gradient of that
 * mean. sigmoid: sum over classes of binary cross-entropies (Beyer et al. 2020). Finite
 * logits give a finite loss. Cannot fail. */
double vit_loss_compute(vit_loss kind, float *d_logits, float *per_sample,
                        const float *logits, const float *targets, size_t batch,
                        size_t classes, double scale);
/* targets [B, K] from label a, label b, weight of a (mixup, cutmix) and label smoothing e:
 * each label becomes e / K everywhere plus 1 - e on the class, then a and b are mixed. */
void vit_targets_fill(float *targets, const int32_t *a, const int32_t *b,
                      const float *weight_a, size_t batch, size_t classes,
                      double smoothing);

/* ---- ranks ------------------------------------------------------------------------------
 * Several ranks train one network: each computes other parts of the same step. What they
 * need of one another is this table, which is filled by whoever joins them (processes of a
 * job, threads in tests). All ranks make the same calls in the same order, one thread of
 * each. */

enum { VIT_TICKETS = 32 }; /* transfers begun at a time, at most */

typedef struct vit_peers {
    void *user;
    size_t rank, ranks;   /* 0 .. ranks - 1; at least 1 */
    size_t bucket_floats; /* that travel at a time, at least; 0: as usual, 8 MiB */
    /* Begins under ticket 0 .. VIT_TICKETS - 1: send + send_at[i], send_bytes[i] goes to
     * rank i, receive + receive_at[i] gets receive_bytes[i] from it. Tables [ranks] are
     * read at once; the memory stays untouched until wait has returned. */
    void (*exchange)(void *user, size_t ticket, const void *send, const size_t *send_at,
                     const size_t *send_bytes, void *receive, const size_t *receive_at,
                     const size_t *receive_bytes);
    /* The same: all + at[i], bytes[i] of rank i comes to every rank, in place. */
    void (*gather)(void *user, size_t ticket, void *all, const size_t *at,
                   const size_t *bytes);
    bool (*arrived)(void *user, size_t ticket); /* never waits; true when it failed, too */
    base_status (*wait)(void *user, size_t ticket, base_error *err); /* once a ticket */
    /* each [ranks] of so many bytes: every rank's own piece comes to all. At once. */
    base_status (*all)(void *user, void *each, size_t bytes, base_error *err);
} vit_peers;

/* data [bytes] of rank 0 comes to all. peers NULL: alone, nothing happens. */
base_status vit_peers_broadcast(const vit_peers *peers, void *data, size_t bytes,
                                base_error *err);

/* ---- optimisers ---------------------------------------------------------------------- */

typedef enum vit_optimizer_kind {
    VIT_OPTIMIZER_ADAMW,
    VIT_OPTIMIZER_SGD
} vit_optimizer_kind;

typedef struct vit_optimizer_config {
    vit_optimizer_kind kind;
    double beta1, beta2, eps; /* AdamW (Loshchilov and Hutter 2019, as PyTorch's AdamW) */
    double momentum;          /* SGD */
    bool nesterov;
    double weight_decay; /* matrices only; decoupled for AdamW, in the gradient for SGD */
    double clip;         /* global norm, 0: off */
    /* Layer-wise learning rates (Clark et al. 2020, "ELECTRA"; BEiT, timm): that of a layer
     * is lr times this to the power of depth + 1 - layer (vit_parameter.layer). 0: off. */
    double layer_decay;
    int frozen; /* so many layers, weights and averages, stay as they are to the bit */
    double ema; /* decay of the averaged weights, 0: off */
    bool ema_copies_state; /* the averages hold state as it is now, not its mean */
} vit_optimizer_config;

typedef struct vit_optimizer vit_optimizer;

base_status vit_optimizer_create(vit_optimizer **out, const vit_model *model,
                                 const vit_optimizer_config *config, base_error *err);
void vit_optimizer_destroy(vit_optimizer *optimizer);
typedef struct vit_optimizer_result {
    double grad_norm; /* before clipping */
    bool skipped;     /* the gradient was not finite: nothing was changed */
} vit_optimizer_result;
/* One update of weights and EMA with gradients [floats]. Deterministic. */
vit_optimizer_result vit_optimizer_step(vit_optimizer *optimizer, vit_model *model,
                                        const float *gradients, double lr);

/* The optimiser of one network that several ranks train. Gradients of a step are those of
 * lanes (a rank's pieces of it, one after the other), which are added in one balanced tree
 * over all lanes of all ranks. Each rank keeps and updates its own share of moments and
 * averages; the weights come to all. With as many lanes in all, and these and the ranks
 * powers of two, every number has the same bits on any number of ranks. peers is borrowed,
 * NULL: alone; lanes: of this rank, at least 1; n of them keep log2 n blocks of gradients
 * more. */
base_status vit_optimizer_create_among(vit_optimizer **out, const vit_model *model,
                                       const vit_optimizer_config *config,
                                       const vit_peers *peers, size_t lanes,
                                       base_error *err);
/* Bytes that this rank has taken for its share of the state, lanes and exchanges. */
size_t vit_optimizer_taken(const vit_optimizer *optimizer);
/* The next backward pass of run is the last of this rank's in the step: gradients travel
 * while it works. Not needed for the result. */
void vit_run_hand_over(vit_run *run, vit_optimizer *optimizer);
/* The passes since vit_run_gradients_zero were a lane; after each, the last one too. */
void vit_optimizer_lane_end(vit_optimizer *optimizer, vit_run *run);
/* The update, after the last lane: on all ranks together. finite false on any of them:
 * skipped on all. Where several ranks have shares, each has new weights of its own only. */
base_status vit_optimizer_step_among(vit_optimizer_result *out, vit_optimizer *optimizer,
                                     vit_model *model, vit_run *run, double lr, bool finite,
                                     base_error *err);
/* After it, when it was not skipped, and after all else that is said in the step: the new
 * weights begin to travel, on all ranks together. Passes of any run on the model wait for
 * those that they read next; whatever else reads weights calls vit_optimizer_shared first.
 * Alone: nothing happens. */
void vit_optimizer_share(vit_optimizer *optimizer, vit_model *model);
/* All of them have come. */
base_status vit_optimizer_shared(vit_optimizer *optimizer, base_error *err);
/* The averaged weights into out [floats], on all ranks together. */
base_status vit_optimizer_ema_gather(float *out, vit_optimizer *optimizer, base_error *err);
/* What no gradient moves (vit_parameter.state), after each vit_optimizer_step that was not
 * skipped: by what the backward passes of run since vit_run_gradients_zero met. step is the
 * one just done. The averages follow. Nothing happens when there is no state. */
void vit_optimizer_state_step(vit_optimizer *optimizer, vit_model *model,
                              const vit_run *run, const vit_step *step);
/* The sums that this goes by, [*count] doubles: ranks add theirs. NULL: there are none. */
double *vit_run_tally(vit_run *run, size_t *count);
/* Averaged weights [floats], NULL when ema is 0 or other ranks have a share of them. */
const float *vit_optimizer_ema(const vit_optimizer *optimizer);
/* The state as tensors for vit_tensors_write, and back. *count in: room, out: how many.
 * Where several ranks have shares, data of these is NULL: rank 0 writes the file with
 * vit_optimizer_fill (vit_tensors_stream) while the others follow. restore: on all ranks
 * together, of which rank 0 has the file. */
base_status vit_optimizer_state(const vit_optimizer *optimizer, vit_tensor *out,
                                size_t *count, base_error *err);
/* For vit_tensors_stream on rank 0: bytes of the tensor of this name, from byte `first`. */
base_status vit_optimizer_fill(void *optimizer, const char *name, void *out, size_t first,
                               size_t bytes, base_error *err);
/* The part of the others, and rank 0's after a failure: gives what is still asked for.
 * Returns when the last of it is given. */
base_status vit_optimizer_follow(vit_optimizer *optimizer, base_error *err);
base_status vit_optimizer_restore(vit_optimizer *optimizer, const vit_tensor_file *file,
                                  base_error *err);

typedef enum vit_schedule_kind {
    VIT_SCHEDULE_CONSTANT,
    VIT_SCHEDULE_COSINE,
    VIT_SCHEDULE_LINEAR,
    VIT_SCHEDULE_RSQRT
} vit_schedule_kind;
typedef struct vit_schedule {
    vit_schedule_kind kind;
    double peak;        /* learning rate after warm-up */
    double final;       /* at the end (cosine, linear) */
    uint64_t warmup;    /* steps, linear from 0: step s has peak * (s + 1) / warmup */
    uint64_t total;     /* steps */
    uint64_t timescale; /* rsqrt: peak * sqrt(timescale / (timescale + s - warmup)) */
} vit_schedule;
double vit_schedule_lr(const vit_schedule *schedule, uint64_t step);

/* ---- the ceiling: the products of a pass, and oneDNN alone at them ------------------- */

typedef enum vit_product_kind {
    VIT_PRODUCT_FORWARD,
    VIT_PRODUCT_INPUT, /* gradient of an activation */
    VIT_PRODUCT_WEIGHT /* gradient of a parameter */
} vit_product_kind;

/* C [m, n] = op(A) op(B): op(A) is [m, k], op(B) is [k, n]. */
typedef struct vit_product {
    const char *name; /* "qkv" */
    vit_part part;
    vit_product_kind kind;
    bool single;    /* in fp32 whatever the precision */
    bool ta, tb;    /* stored transposed */
    bool weight;    /* B is a parameter: may lie in any layout */
    size_t batch;   /* independent products of one call: attention's heads; else 1 */
    size_t m, n, k; /* of each of them */
    size_t count;   /* such calls in a pass */
} vit_product;

enum { VIT_PRODUCTS_MAX = 48 };
/* All matrix products of a pass over batch images: TRAIN and INPUT_GRADIENT with their
 * backward. Experts get equal shares of the tokens. Fills at most room of out, returns how
 * many there are. */
size_t vit_model_products(vit_product *out, size_t room, const vit_model *model,
                          size_t batch, vit_mode mode);
/* Floating-point operations of one call. */
double vit_product_flops(const vit_product *product);
/* Of all products of a pass: INFER gives batch * vit_model_flops, less what a router does
 * beside its logits; TRAIN three times that without the gradient of the images, which
 * nobody computes. Recomputed activations do not count. */
double vit_model_pass_flops(const vit_model *model, size_t batch, vit_mode mode);

/* Times each of these products with oneDNN alone: one wide call over all rows and threads,
 * weights in the layout that oneDNN likes best, nothing else done; of several ways the
 * fastest. Takes some tenths of a second a product and as much memory as the largest
 * operands. The caller destroys it. */
typedef struct vit_ceiling vit_ceiling;
base_status vit_ceiling_create(vit_ceiling **out, const vit_model *model, size_t batch,
                               vit_mode mode, vit_precision precision, base_error *err);
void vit_ceiling_destroy(vit_ceiling *ceiling);
/* Times every product anew; the seconds that a pass would take if it were products
 * alone. */
double vit_ceiling_round(vit_ceiling *ceiling);
size_t vit_ceiling_count(const vit_ceiling *ceiling);
const vit_product *vit_ceiling_product(const vit_ceiling *ceiling, size_t i);
/* Of one call of product i in the last round; and how it was made: "matmul". */
double vit_ceiling_seconds(const vit_ceiling *ceiling, size_t i);
const char *vit_ceiling_form(const vit_ceiling *ceiling, size_t i);

/* ---- about --------------------------------------------------------------------------- */

/* "oneDNN 2.6.3 (avx512_core_bf16)" and the like into out. */
void vit_onednn_version(char *out, size_t out_bytes);
/* Whether bf16 products run on instructions of this processor. */
bool vit_bf16_available(void);
/* How many times as fast as in fp32 a layer of 384 is in bf16, forward and backward on the
 * calling thread: a measurement of some ten milliseconds. 0: this processor has no
 * instructions for bf16. */
double vit_bf16_gain(void);

#endif
