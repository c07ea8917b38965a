/* keys.c - the table of all keys that a recipe may hold, but for the routers' own
 * options, which the routers declare (vit_router_options). One line here is all that a new
 * setting needs. Relied on elsewhere: names of keys (recipes, scripts), texts that read
 * back to the same value. */
#include "train/train.h"

/* 2^53: the largest range in which a double, and so JSON, holds every whole number. */
#define WHOLE_MAX 9007199254740992.0

_Static_assert(sizeof(vit_pool) == sizeof(int32_t), "a choice is stored as an int");

#define BASE_STRUCT train_recipe
const base_field train_recipe_keys[] = {
    BASE_TEXT("model.size", config.name, "named size; the keys below override its numbers"),
    BASE_INT("model.patch", config.patch, 1, 1024, "pixels a side of a patch"),
    BASE_INT("model.width", config.width, 1, 16384, "width of a token"),
    BASE_INT("model.depth", config.depth, 1, VIT_DEPTH_MAX, "blocks"),
    BASE_INT("model.heads", config.heads, 1, 1024, "attention heads, must divide width"),
    BASE_INT("model.mlp", config.mlp, 1, 65536, "hidden size of the MLPs and experts"),
    BASE_INT("model.classes", config.classes, 0, 1048576,
             "outputs, 0: as many as the data has"),
    BASE_CHOICE("model.pool", config.pool, "token|gap|patches",
                "class token, mean over the patches, or that beside a class token"),
    BASE_CHOICE("model.gelu", config.gelu, "erf|tanh", "form of GELU"),
    BASE_CHOICE("model.position", config.position, "learned|sincos", "position embedding"),
    BASE_CHOICE("model.init", config.init, "timm|vmoe", "how weights are drawn"),
    BASE_REAL("model.eps", config.eps, 1e-12, 0.0999, "of every LayerNorm"),
    BASE_INT("model.registers", config.registers, 0, 1024,
             "learned tokens beside the patches (Darcet et al. 2024)"),
    BASE_INT("model.prelogits", config.prelogits, 0, 65536,
             "width of a layer with tanh before the head, 0: none"),
    BASE_BOOL("model.fc_norm", config.fc_norm, "the last norm comes after the mean"),
    BASE_BOOL("model.pre_norm", config.pre_norm, "a norm before the blocks (CLIP)"),
    BASE_BOOL("model.qk_norm", config.qk_norm, "a norm of queries and keys"),
    BASE_TEXT(
        "model.init_from", init_from,
        "checkpoint to start from (--from takes its settings too): the same network, "
        "whatever its image side and classes, or a dense one whose MLPs become experts"),
    BASE_REAL("model.dropout", config.dropout, 0, 0.99, "outside the experts"),
    BASE_REAL("model.drop_path", config.drop_path, 0, 0.99,
              "stochastic depth of the last block"),

    BASE_TEXT("router.name", config.moe.router.name, "how tokens find experts"),
    BASE_INT("router.experts", config.moe.experts, 1, VIT_EXPERTS_MAX,
             "experts of a layer"),
    BASE_INT("router.k", config.moe.k, 1, VIT_EXPERTS_MAX, "experts per token"),
    BASE_TEXT("router.layers", layers,
              "blocks with experts: none, every:2, last:2 or a list as 1,3,5"),
    BASE_REAL("router.capacity", config.moe.capacity, 0, 1024,
              "capacity factor in training, 0: nothing is dropped"),
    BASE_REAL("router.eval_capacity", config.moe.eval_capacity, 0, 1024,
              "the same in evaluation"),
    BASE_INT("router.capacity_multiple", config.moe.capacity_multiple, 1, 1024,
             "capacities are rounded up to a multiple"),
    BASE_BOOL("router.bpr", config.moe.bpr, "batch-prioritised routing in training"),
    BASE_BOOL("router.eval_bpr", config.moe.eval_bpr, "the same in evaluation"),
    BASE_INT("router.group_images", config.moe.group_images, 0, 65536,
             "images routed together, 0: the whole batch"),
    BASE_REAL("router.dropout", config.moe.dropout, 0, 0.99, "inside experts"),
    BASE_INT("router.shared", config.moe.shared, 0, VIT_EXPERTS_MAX - 1,
             "experts that every token passes too, with gate 1 (moe.shared; DeepSeekMoE)"),

    BASE_TEXT("data.train", data.train, "training images (--data)", .free = true),
    BASE_TEXT("data.val", data.val, "validation images (--val)", .free = true),
    BASE_TEXT("data.val_labels", data.val_labels,
              "labels of images in no class folders (default: what lies beside them)",
              .free = true),
    BASE_TEXT("data.class_map", data.class_map,
              "label of each class folder, TSV or JSON (default: by name)", .free = true),
    BASE_TEXT("data.label_key", data.label_key,
              "of shards: the part, or the key of the .json, that is the label",
              .free = true),
    BASE_TEXT("data.index_cache", data.index_cache,
              "folder where indices are kept, or none (default: the user's cache folder)",
              .free = true),
    BASE_INT("data.image", config.image, 1, 8192, "pixels a side of the network's input"),
    BASE_INT("data.channels", data.channels, 0, 3, "1: grey, 3: colour, 0: the data's"),
    BASE_TEXT("data.mean", data.mean,
              "imagenet, half, cifar10, fashion-mnist, or a number per channel"),
    BASE_TEXT("data.std", data.std, "the same names, or numbers"),
    BASE_CHOICE("data.interpolation", data.interpolation, DATA_FILTERS, "of resizing"),
    BASE_INT(
        "data.resize", data.resize, -1, 65536,
        "evaluation: shorter side before the crop, 0: none, -1: image / 0.875 from 128 on"),
    BASE_CHOICE("data.crop_mode", config.crop_mode, "center|squash",
                "evaluation: shorter side to data.resize and centre crop, or both sides"),
    BASE_INT("data.limit", data.limit, 0, 4294967295.0,
             "train on the first N of the seeded order, 0: all"),
    BASE_INT("data.val_limit", data.val_limit, 0, 4294967295.0,
             "validate on the first N of the seeded order, 0: all"),
    BASE_INT("data.workers", data.workers, -1, 256,
             "loader threads, -1: one in eight of the threads, at least 1, 0: none",
             .free = true),
    BASE_INT("data.queue", data.queue, 2, 64, "batches held ready", .free = true),
    BASE_REAL(
        "data.max_bad", data.max_bad, 0, 1,
        "share of unreadable training images that stops the run (50 are always borne)",
        .free = true),
    BASE_BOOL("data.strict", data.strict,
              "one damaged or unreadable image stops the run (--strict)", .free = true),
    BASE_BOOL("data.exact", data.exact,
              "decode at full scale even where a crop is much larger than the input"),
    BASE_INT("data.repeats", data.repeats, 1, 64,
             "times that an epoch shows a sample, each differently augmented"),

    BASE_CHOICE(
        "augment.crop", crop, "auto|eval|random|padded",
        "random: resized crop; padded: padding and crop; auto: padded below 96 pixels"),
    BASE_REAL("augment.area_low", augment.area_low, 0.01, 1,
              "smallest area of a random crop"),
    BASE_REAL("augment.area_high", augment.area_high, 0.01, 1,
              "largest area of a random crop"),
    BASE_INT("augment.padding", augment.padding, 0, 1024,
             "pixels a side of the padded crop"),
    BASE_REAL("augment.flip", augment.flip, 0, 1, "probability of mirroring"),
    BASE_CHOICE(
        "augment.policy", augment.policy, "none|randaugment|vmoe|three",
        "randaugment: torchvision's; vmoe: V-MoE's and big_vision's; three: DeiT III's"),
    BASE_INT("augment.policy_operations", augment.policy_operations, 0, 16,
             "of RandAugment, a picture"),
    BASE_REAL("augment.policy_magnitude", augment.policy_magnitude, 0, 30,
              "of RandAugment: torchvision's bins 0 to 30, V-MoE's 10 is full"),
    BASE_REAL("augment.brightness", augment.jitter_brightness, 0, 10,
              "colour jitter: factor from 1 - this to 1 + this"),
    BASE_REAL("augment.contrast", augment.jitter_contrast, 0, 10, "the same"),
    BASE_REAL("augment.saturation", augment.jitter_saturation, 0, 10, "the same"),
    BASE_REAL("augment.hue", augment.jitter_hue, 0, 0.5,
              "colour jitter: turns of the hue, either way"),
    BASE_REAL("augment.mixup", augment.mixup, 0, 100, "Beta parameter of mixup, 0: off"),
    BASE_REAL("augment.cutmix", augment.cutmix, 0, 100, "Beta parameter of cutmix, 0: off"),
    BASE_CHOICE(
        "augment.mixup_style", augment.mix_style, "timm|torchvision|vmoe",
        "who is mixed with whom: mirrored batch; the one before; the next one, with "
        "the smaller weight"),
    BASE_REAL("augment.mix_probability", augment.mix_probability, 0, 1,
              "of a batch being mixed"),
    BASE_REAL("augment.erase", augment.erase, 0, 1, "probability of random erasing"),
    BASE_BOOL("augment.erase_noise", augment.erase_noise, "erase with noise in place of 0"),
    BASE_TEXT(
        "augment.corrupt", corrupt.names,
        "ImageNet-C's corruptions, one of them a picture: names, groups, bench, extra, "
        "clean (as it is); empty: off"),
    BASE_TEXT("augment.corrupt_severity", corrupt.severity,
              "of these, drawn evenly: 3, 1-3, 1,5"),
    BASE_REAL("augment.corrupt_probability", corrupt.probability, 0, 1,
              "of a picture being corrupted at all"),

    BASE_CHOICE("optimizer.name", optimizer.kind, "adamw|sgd", "rule of the update"),
    BASE_REAL("optimizer.lr", lr, 0, 1000, "learning rate after warm-up"),
    BASE_REAL("optimizer.beta1", optimizer.beta1, 0, 0.999999, "AdamW"),
    BASE_REAL("optimizer.beta2", optimizer.beta2, 0, 0.99999999, "AdamW"),
    BASE_REAL("optimizer.eps", optimizer.eps, 0, 1, "AdamW"),
    BASE_REAL("optimizer.momentum", optimizer.momentum, 0, 0.999999, "SGD"),
    BASE_BOOL("optimizer.nesterov", optimizer.nesterov, "SGD"),
    BASE_REAL("optimizer.weight_decay", optimizer.weight_decay, 0, 100, "on matrices only"),
    BASE_REAL(
        "optimizer.layer_decay", optimizer.layer_decay, 0, 1,
        "learning rate of a block as part of the next one's, the head's being lr (BEiT, "
        "timm); 0 or 1: the same for all"),
    BASE_TEXT(
        "optimizer.freeze", freeze,
        "what stays as it is: none, embedding, that and the first N blocks, or trunk: "
        "all but the head (a linear probe)"),
    BASE_REAL("optimizer.clip", optimizer.clip, 0, 1e9,
              "global norm of the gradient, 0: off"),
    BASE_REAL("optimizer.ema", optimizer.ema, 0, 0.9999999,
              "decay of averaged weights, which evaluation and best/ then use; 0: off"),
    BASE_BOOL("optimizer.ema_copies_state", optimizer.ema_copies_state,
              "what no gradient moves (biases of routers) is taken as it is, not averaged"),

    BASE_CHOICE("schedule.name", schedule.kind, "constant|cosine|linear|rsqrt",
                "learning rate after warm-up"),
    BASE_INT("schedule.warmup", schedule.warmup, 0, WHOLE_MAX,
             "steps of linear warm-up; 0: by warmup_epochs"),
    BASE_REAL("schedule.warmup_epochs", schedule.warmup_epochs, 0, 100000,
              "epochs of linear warm-up"),
    BASE_REAL("schedule.final", schedule.final, 0, 1000,
              "learning rate at the end (cosine, linear)"),
    BASE_INT("schedule.timescale", schedule.timescale, 1, WHOLE_MAX, "rsqrt, in steps"),

    BASE_INT("train.epochs", train.epochs, 1, 1000000, "passes over the data"),
    BASE_INT("train.max_steps", train.max_steps, 0, WHOLE_MAX,
             "end after so many steps, 0: by epochs"),
    BASE_INT("train.batch", train.batch, 1, 65536, "images of a step"),
    BASE_INT("train.accumulate", train.accumulate, 0, 65536,
             "parts a step is computed in; must divide batch; 0: one for every rank"),
    BASE_INT(
        "train.lanes", train.lanes, 0, 65536,
        "pieces of a step whose sums have fixed places, so that as many ranks or fewer "
        "end with the same bits; must divide accumulate; 0: as many as ranks begin"),
    BASE_INT("train.eval_batch", train.eval_batch, 0, 65536,
             "images of an evaluation pass, 0: batch / accumulate"),
    BASE_INT("train.seed", train.seed, 0, WHOLE_MAX, "of every random number"),
    BASE_CHOICE("train.precision", train.precision, "fp32|bf16|auto",
                "of matrix products; auto: the faster by a measurement, then kept"),
    BASE_CHOICE("train.recompute", train.recompute, "none|attention|block",
                "what backward computes again in place of keeping it: less memory, the "
                "same numbers",
                .free = true),
    BASE_CHOICE("train.loss", train.loss, "softmax|sigmoid", "cross-entropy"),
    BASE_REAL("train.label_smoothing", train.label_smoothing, 0, 0.99, "0: off"),
    BASE_CHOICE("train.adversarial", adversary.kind, "none|pgd|fgsm-rs|trades",
                "train on images made worse on purpose, Linf"),
    BASE_REAL("train.adversarial_eps", adversary.eps, 0, 1,
              "their budget, pixels being 0 to 1: 8/255"),
    BASE_INT("train.adversarial_steps", adversary.steps, 1, 1000, "of pgd and trades"),
    BASE_REAL("train.adversarial_alpha", adversary.alpha, 0, 1,
              "a step; 0: 2.5 eps / steps, fgsm-rs 1.25 eps"),
    BASE_REAL("train.adversarial_beta", adversary.beta, 0, 1000,
              "trades: weight of the divergence"),
    BASE_INT("train.checkpoint_every", train.checkpoint_every, 0, WHOLE_MAX,
             "steps, 0: every epoch"),
    BASE_REAL(
        "train.eval_every", train.eval_every, 0, 1000000,
        "epochs, or parts of one (0.25); 0: only at the end; 200steps sets eval_steps"),
    BASE_INT("train.eval_steps", train.eval_steps, 0, WHOLE_MAX,
             "evaluate after so many steps in place of epochs, 0: by eval_every"),
    BASE_INT("train.log_every", train.log_every, 1, WHOLE_MAX,
             "steps from one line of metrics.jsonl to the next", .free = true),
    {0},
};
#undef BASE_STRUCT

base_status train_key_set(void *settings, const base_field *keys, const char *name,
                          const char *text, base_error *err)
{
    const base_field *key = base_field_find(keys, name);
    char shown[160], expected[256];

    return base_field_set(settings, key, text)
               ? BASE_OK
               : base_fail(err, BASE_USAGE, "'%s' is '%s', expected %s", name,
                           base_quote(shown, sizeof shown, text),
                           base_field_expected(expected, sizeof expected, key));
}
