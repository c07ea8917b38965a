/* recipe_keys.c - the table of all keys that a recipe may hold, but for the routers' own options, which
 * the routers declare (vit_router_options). One line here is all that a new setting needs.
 * Relied on elsewhere: names of keys (recipes, scripts), texts that read back to the same value. */
#include <stdlib.h>
#include <string.h>

#include "train/train.h"

#define AT(member) offsetof(train_recipe, member), sizeof(((train_recipe *)0)->member)
#define INT_KEY(s, n, member, low, high, help)                                             \
    {                                                                                      \
        s, n, TRAIN_KEY_INT, AT(member), low, high, NULL, false, help                      \
    }
#define LONG_KEY(s, n, member, low, high, help)                                            \
    {                                                                                      \
        s, n, TRAIN_KEY_LONG, AT(member), low, high, NULL, false, help                     \
    }
#define REAL_KEY(s, n, member, low, high, help)                                            \
    {                                                                                      \
        s, n, TRAIN_KEY_REAL, AT(member), low, high, NULL, false, help                     \
    }
#define BOOL_KEY(s, n, member, help)                                                       \
    {                                                                                      \
        s, n, TRAIN_KEY_BOOL, AT(member), 0, 1, NULL, false, help                          \
    }
#define CHOICE_KEY(s, n, member, choices, help)                                            \
    {                                                                                      \
        s, n, TRAIN_KEY_CHOICE, AT(member), 0, 0, choices, false, help                     \
    }
#define TEXT_KEY(s, n, member, help)                                                       \
    {                                                                                      \
        s, n, TRAIN_KEY_TEXT, AT(member), 0, 0, NULL, false, help                          \
    }
#define FREE_CHOICE_KEY(s, n, member, choices, help)                                       \
    {                                                                                      \
        s, n, TRAIN_KEY_CHOICE, AT(member), 0, 0, choices, true, help                      \
    }
#define FREE_KEY(s, n, kind, member, low, high, help)                                      \
    {                                                                                      \
        s, n, kind, AT(member), low, high, NULL, true, help                                \
    }

/* 2^53: the largest range in which a double, and so JSON, holds every whole number. */
#define WHOLE_MAX 9007199254740992.0

const train_key train_keys[] = {
    TEXT_KEY("model", "size", config.name,
             "named size; the keys below override its numbers"),
    INT_KEY("model", "patch", config.patch, 1, 1024, "pixels a side of a patch"),
    INT_KEY("model", "width", config.width, 1, 16384, "width of a token"),
    INT_KEY("model", "depth", config.depth, 1, VIT_DEPTH_MAX, "blocks"),
    INT_KEY("model", "heads", config.heads, 1, 1024, "attention heads, must divide width"),
    INT_KEY("model", "mlp", config.mlp, 1, 65536, "hidden size of the MLPs and experts"),
    INT_KEY("model", "classes", config.classes, 0, 1048576,
            "outputs, 0: as many as the data has"),
    CHOICE_KEY("model", "pool", config.pool, "token|gap|patches",
               "class token, mean over the patches, or that beside a class token"),
    CHOICE_KEY("model", "gelu", config.gelu, "erf|tanh", "form of GELU"),
    CHOICE_KEY("model", "position", config.position, "learned|sincos",
               "position embedding"),
    CHOICE_KEY("model", "init", config.init, "timm|vmoe", "how weights are drawn"),
    TEXT_KEY(
        "model", "init_from", init_from,
        "checkpoint to start from: the same network, whatever its image side and classes"),
    REAL_KEY("model", "dropout", config.dropout, 0, 0.99, "outside the experts"),
    REAL_KEY("model", "drop_path", config.drop_path, 0, 0.99,
             "stochastic depth of the last block"),

    TEXT_KEY("router", "name", config.moe.router.name, "how tokens find experts"),
    INT_KEY("router", "experts", config.moe.experts, 1, VIT_EXPERTS_MAX,
            "experts of a layer"),
    INT_KEY("router", "k", config.moe.k, 1, VIT_EXPERTS_MAX, "experts per token"),
    TEXT_KEY("router", "layers", layers,
             "blocks with experts: none, every:2, last:2 or a list as 1,3,5"),
    REAL_KEY("router", "capacity", config.moe.capacity, 0, 1024,
             "capacity factor in training, 0: nothing is dropped"),
    REAL_KEY("router", "eval_capacity", config.moe.eval_capacity, 0, 1024,
             "the same in evaluation"),
    INT_KEY("router", "capacity_multiple", config.moe.capacity_multiple, 1, 1024,
            "capacities are rounded up to a multiple"),
    BOOL_KEY("router", "bpr", config.moe.bpr, "batch-prioritised routing in training"),
    BOOL_KEY("router", "eval_bpr", config.moe.eval_bpr, "the same in evaluation"),
    INT_KEY("router", "group_images", config.moe.group_images, 0, 65536,
            "images routed together, 0: the whole batch"),
    REAL_KEY("router", "dropout", config.moe.dropout, 0, 0.99, "inside experts"),

    FREE_KEY("data", "train", TRAIN_KEY_TEXT, data.train, 0, 0, "training images (--data)"),
    FREE_KEY("data", "val", TRAIN_KEY_TEXT, data.val, 0, 0, "validation images (--val)"),
    FREE_KEY("data", "val_labels", TRAIN_KEY_TEXT, data.val_labels, 0, 0,
             "labels of ILSVRC2012's validation images (default: what lies beside them)"),
    FREE_KEY("data", "class_map", TRAIN_KEY_TEXT, data.class_map, 0, 0,
             "label of each class folder, TSV or JSON (default: by name)"),
    FREE_KEY("data", "index_cache", TRAIN_KEY_TEXT, data.index_cache, 0, 0,
             "folder where indices are kept, or none (default: the user's cache folder)"),
    INT_KEY("data", "image", config.image, 1, 8192, "pixels a side of the network's input"),
    INT_KEY("data", "channels", data.channels, 0, 3, "1: grey, 3: colour, 0: the data's"),
    TEXT_KEY("data", "mean", data.mean,
             "imagenet, half, cifar10, fashion-mnist, or a number per channel"),
    TEXT_KEY("data", "std", data.std, "the same names, or numbers"),
    CHOICE_KEY("data", "interpolation", data.interpolation, "bilinear|bicubic",
               "of resizing"),
    INT_KEY(
        "data", "resize", data.resize, -1, 65536,
        "evaluation: shorter side before the crop, 0: none, -1: image / 0.875 from 128 on"),
    LONG_KEY("data", "limit", data.limit, 0, 4294967295.0,
             "train on the first N of the seeded order, 0: all"),
    LONG_KEY("data", "val_limit", data.val_limit, 0, 4294967295.0,
             "validate on the first N of the seeded order, 0: all"),
    FREE_KEY("data", "workers", TRAIN_KEY_INT, data.workers, -1, 256,
             "loader threads, -1: one in eight of the threads, at least 1, 0: none"),
    FREE_KEY("data", "queue", TRAIN_KEY_INT, data.queue, 2, 64, "batches held ready"),
    FREE_KEY(
        "data", "max_bad", TRAIN_KEY_REAL, data.max_bad, 0, 1,
        "share of unreadable training images that stops the run (50 are always borne)"),
    FREE_KEY("data", "strict", TRAIN_KEY_BOOL, data.strict, 0, 1,
             "one damaged or unreadable image stops the run (--strict)"),
    BOOL_KEY("data", "exact", data.exact,
             "decode at full scale even where a crop is much larger than the input"),
    INT_KEY("data", "repeats", data.repeats, 1, 64,
            "times that an epoch shows a sample, each differently augmented"),

    CHOICE_KEY(
        "augment", "crop", crop, "auto|eval|random|padded",
        "random: resized crop; padded: padding and crop; auto: padded below 96 pixels"),
    REAL_KEY("augment", "area_low", augment.area_low, 0.01, 1,
             "smallest area of a random crop"),
    REAL_KEY("augment", "area_high", augment.area_high, 0.01, 1,
             "largest area of a random crop"),
    INT_KEY("augment", "padding", augment.padding, 0, 1024,
            "pixels a side of the padded crop"),
    REAL_KEY("augment", "flip", augment.flip, 0, 1, "probability of mirroring"),
    CHOICE_KEY(
        "augment", "policy", augment.policy, "none|randaugment|vmoe|three",
        "randaugment: torchvision's; vmoe: V-MoE's and big_vision's; three: DeiT III's"),
    INT_KEY("augment", "policy_operations", augment.policy_operations, 0, 16,
            "of RandAugment, a picture"),
    REAL_KEY("augment", "policy_magnitude", augment.policy_magnitude, 0, 30,
             "of RandAugment: torchvision's bins 0 to 30, V-MoE's 10 is full"),
    REAL_KEY("augment", "brightness", augment.jitter_brightness, 0, 10,
             "colour jitter: factor from 1 - this to 1 + this"),
    REAL_KEY("augment", "contrast", augment.jitter_contrast, 0, 10, "the same"),
    REAL_KEY("augment", "saturation", augment.jitter_saturation, 0, 10, "the same"),
    REAL_KEY("augment", "hue", augment.jitter_hue, 0, 0.5,
             "colour jitter: turns of the hue, either way"),
    REAL_KEY("augment", "mixup", augment.mixup, 0, 100, "Beta parameter of mixup, 0: off"),
    REAL_KEY("augment", "cutmix", augment.cutmix, 0, 100,
             "Beta parameter of cutmix, 0: off"),
    CHOICE_KEY("augment", "mixup_style", augment.mix_style, "timm|torchvision|vmoe",
               "who is mixed with whom: mirrored batch; the one before; the next one, with "
               "the smaller weight"),
    REAL_KEY("augment", "mix_probability", augment.mix_probability, 0, 1,
             "of a batch being mixed"),
    REAL_KEY("augment", "erase", augment.erase, 0, 1, "probability of random erasing"),
    BOOL_KEY("augment", "erase_noise", augment.erase_noise,
             "erase with noise in place of 0"),
    TEXT_KEY(
        "augment", "corrupt", corrupt.names,
        "ImageNet-C's corruptions, one of them a picture: names, groups, bench, extra, "
        "clean (as it is); empty: off"),
    TEXT_KEY("augment", "corrupt_severity", corrupt.severity,
             "of these, drawn evenly: 3, 1-3, 1,5"),
    REAL_KEY("augment", "corrupt_probability", corrupt.probability, 0, 1,
             "of a picture being corrupted at all"),

    CHOICE_KEY("optimizer", "name", optimizer.kind, "adamw|sgd", "rule of the update"),
    REAL_KEY("optimizer", "lr", lr, 0, 1000, "learning rate after warm-up"),
    REAL_KEY("optimizer", "beta1", optimizer.beta1, 0, 0.999999, "AdamW"),
    REAL_KEY("optimizer", "beta2", optimizer.beta2, 0, 0.99999999, "AdamW"),
    REAL_KEY("optimizer", "eps", optimizer.eps, 0, 1, "AdamW"),
    REAL_KEY("optimizer", "momentum", optimizer.momentum, 0, 0.999999, "SGD"),
    BOOL_KEY("optimizer", "nesterov", optimizer.nesterov, "SGD"),
    REAL_KEY("optimizer", "weight_decay", optimizer.weight_decay, 0, 100,
             "on matrices only"),
    REAL_KEY("optimizer", "clip", optimizer.clip, 0, 1e9,
             "global norm of the gradient, 0: off"),
    REAL_KEY("optimizer", "ema", optimizer.ema, 0, 0.9999999,
             "decay of averaged weights, which evaluation and best/ then use; 0: off"),

    CHOICE_KEY("schedule", "name", schedule.kind, "constant|cosine|linear|rsqrt",
               "learning rate after warm-up"),
    LONG_KEY("schedule", "warmup", schedule.warmup, 0, WHOLE_MAX,
             "steps of linear warm-up; 0: by warmup_epochs"),
    REAL_KEY("schedule", "warmup_epochs", schedule.warmup_epochs, 0, 100000,
             "epochs of linear warm-up"),
    REAL_KEY("schedule", "final", schedule.final, 0, 1000,
             "learning rate at the end (cosine, linear)"),
    LONG_KEY("schedule", "timescale", schedule.timescale, 1, WHOLE_MAX, "rsqrt, in steps"),

    INT_KEY("train", "epochs", train.epochs, 1, 1000000, "passes over the data"),
    LONG_KEY("train", "max_steps", train.max_steps, 0, WHOLE_MAX,
             "end after so many steps, 0: by epochs"),
    INT_KEY("train", "batch", train.batch, 1, 65536, "images of a step"),
    INT_KEY("train", "accumulate", train.accumulate, 1, 65536,
            "parts a step is computed in; must divide batch"),
    INT_KEY("train", "eval_batch", train.eval_batch, 0, 65536,
            "images of an evaluation pass, 0: batch / accumulate"),
    LONG_KEY("train", "seed", train.seed, 0, WHOLE_MAX, "of every random number"),
    CHOICE_KEY("train", "precision", train.precision, "fp32|bf16", "of matrix products"),
    FREE_CHOICE_KEY("train", "recompute", train.recompute, "none|attention|block",
                    "what backward computes again in place of keeping it: less memory, the "
                    "same numbers"),
    CHOICE_KEY("train", "loss", train.loss, "softmax|sigmoid", "cross-entropy"),
    REAL_KEY("train", "label_smoothing", train.label_smoothing, 0, 0.99, "0: off"),
    CHOICE_KEY("train", "adversarial", adversary.kind, "none|pgd|fgsm-rs|trades",
               "train on images made worse on purpose, Linf"),
    REAL_KEY("train", "adversarial_eps", adversary.eps, 0, 1,
             "their budget, pixels being 0 to 1: 8/255"),
    INT_KEY("train", "adversarial_steps", adversary.steps, 1, 1000, "of pgd and trades"),
    REAL_KEY("train", "adversarial_alpha", adversary.alpha, 0, 1,
             "a step; 0: 2.5 eps / steps, fgsm-rs 1.25 eps"),
    REAL_KEY("train", "adversarial_beta", adversary.beta, 0, 1000,
             "trades: weight of the divergence"),
    LONG_KEY("train", "checkpoint_every", train.checkpoint_every, 0, WHOLE_MAX,
             "steps, 0: every epoch"),
    INT_KEY("train", "eval_every", train.eval_every, 0, 1000000,
            "epochs, 0: only at the end"),
    FREE_KEY("train", "log_every", TRAIN_KEY_LONG, train.log_every, 1, WHOLE_MAX,
             "steps from one line of metrics.jsonl to the next"),
};
const size_t train_key_count = sizeof train_keys / sizeof train_keys[0];

_Static_assert(sizeof(vit_pool) == sizeof(int), "choices are stored as int");

const train_key *train_key_find(const char *section, const char *name)
{
    for (size_t i = 0; i < train_key_count; i++)
        if (strcmp(train_keys[i].section, section) == 0 &&
            strcmp(train_keys[i].name, name) == 0)
            return &train_keys[i];
    return NULL;
}

/* Index of word in "a|b|c", -1 when it is not there. */
static int choice_index(const char *choices, const char *word)
{
    const size_t length = strlen(word);
    int i = 0;

    for (const char *at = choices; at; i++) {
        const size_t here = strcspn(at, "|");
        if (here == length && strncmp(at, word, length) == 0)
            return i;
        at = at[here] == '|' ? at + here + 1 : NULL;
    }
    return -1;
}

static int bool_index(const char *word)
{
    static const char *const words[] = {"false", "true", "no", "yes",
                                        "off",   "on",   "0",  "1"};

    for (int i = 0; i < 8; i++)
        if (strcmp(words[i], word) == 0)
            return i % 2;
    return -1;
}

static base_status refuse(const train_key *key, const char *text, const char *expected,
                          base_error *err)
{
    char shown[160];

    return base_fail(err, BASE_USAGE, "'%s.%s' is '%s', expected %s", key->section,
                     key->name, base_quote(shown, sizeof shown, text), expected);
}

/* "0.031" or "8/255". */
static bool parse_share(double *out, const char *text)
{
    char top[32];
    double numerator, denominator;
    const char *slash = strchr(text, '/');

    if (!slash || slash - text >= (ptrdiff_t)sizeof top)
        return base_parse_real(out, text);
    snprintf(top, sizeof top, "%.*s", (int)(slash - text), text);
    if (!base_parse_real(&numerator, top) || !base_parse_real(&denominator, slash + 1) ||
        !(denominator > 0))
        return false;
    *out = numerator / denominator;
    return true;
}

static base_status set_number(void *value, const train_key *key, const char *text,
                              base_error *err)
{
    char expected[96];
    int64_t whole = 0;
    double real = 0;
    bool good;

    if (key->kind == TRAIN_KEY_REAL) {
        good = parse_share(&real, text);
    } else {
        good = base_parse_int(&whole, text);
        real = (double)whole;
    }
    if (!good || real < key->low || real > key->high) {
        const int digits = key->kind == TRAIN_KEY_REAL ? 15 : 16; /* 2^53 in full */
        snprintf(expected, sizeof expected, "%s from %.*g to %.*g",
                 key->kind == TRAIN_KEY_REAL ? "a number" : "a whole number", digits,
                 key->low, digits, key->high);
        return refuse(key, text, expected, err);
    }
    if (key->kind == TRAIN_KEY_REAL)
        memcpy(value, &real, sizeof real);
    else if (key->kind == TRAIN_KEY_LONG)
        memcpy(value, &whole, sizeof whole);
    else
        memcpy(value, &(int){(int)whole}, sizeof(int));
    return BASE_OK;
}

base_status train_key_set(void *settings, const train_key *key, const char *text,
                          base_error *err)
{
    void *value = (char *)settings + key->at;
    char expected[192];
    int index;

    switch (key->kind) {
    case TRAIN_KEY_BOOL:
        index = bool_index(text);
        if (index < 0)
            return refuse(key, text, "true or false", err);
        memcpy(value, &(bool){index == 1}, sizeof(bool));
        return BASE_OK;
    case TRAIN_KEY_CHOICE:
        index = choice_index(key->choices, text);
        if (index < 0) {
            snprintf(expected, sizeof expected, "one of %s", key->choices);
            return refuse(key, text, expected, err);
        }
        memcpy(value, &index, sizeof index);
        return BASE_OK;
    case TRAIN_KEY_TEXT:
        if (strlen(text) >= key->bytes) {
            snprintf(expected, sizeof expected, "at most %zu characters", key->bytes - 1);
            return refuse(key, text, expected, err);
        }
        memcpy(value, text, strlen(text) + 1);
        return BASE_OK;
    case TRAIN_KEY_INT:
    case TRAIN_KEY_LONG:
    case TRAIN_KEY_REAL: break;
    }
    return set_number(value, key, text, err);
}

const char *train_key_get(char *out, size_t out_bytes, const void *settings,
                          const train_key *key)
{
    const void *value = (const char *)settings + key->at;
    int number = 0;
    int64_t whole = 0;
    double real = 0;

    switch (key->kind) {
    case TRAIN_KEY_TEXT: snprintf(out, out_bytes, "%s", (const char *)value); break;
    case TRAIN_KEY_BOOL:
        snprintf(out, out_bytes, "%s", *(const bool *)value ? "true" : "false");
        break;
    case TRAIN_KEY_INT:
        memcpy(&number, value, sizeof number);
        snprintf(out, out_bytes, "%d", number);
        break;
    case TRAIN_KEY_LONG:
        memcpy(&whole, value, sizeof whole);
        snprintf(out, out_bytes, "%lld", (long long)whole);
        break;
    case TRAIN_KEY_CHOICE: {
        memcpy(&number, value, sizeof number);
        const char *at = key->choices;
        for (; number > 0; number--)
            at += strcspn(at, "|") + 1;
        snprintf(out, out_bytes, "%.*s", (int)strcspn(at, "|"), at);
        break;
    }
    case TRAIN_KEY_REAL:
        memcpy(&real, value, sizeof real);
        base_real_text(out, out_bytes, real);
        break;
    }
    return out;
}
