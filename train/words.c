/* words.c - other programs' names of our settings: where a recipe or an option has one of
 * them, the answer names ours. Free to change: the list. */
#include <string.h>

#include "train/train.h"

static const struct {
    const char *theirs, *ours;
} words[] = {
    {"learning_rate", "optimizer.lr"},
    {"base_lr", "optimizer.lr"},
    {"optimizer", "optimizer.name"},
    {"opt", "optimizer.name"},
    {"wd", "optimizer.weight_decay"},
    {"clip_grad", "optimizer.clip"},
    {"grad_clip", "optimizer.clip"},
    {"model_ema_decay", "optimizer.ema"},
    {"ema_decay", "optimizer.ema"},
    {"lr_scheduler", "schedule.name"},
    {"scheduler", "schedule.name"},
    {"sched", "schedule.name"},
    {"warmup_steps", "schedule.warmup"},
    {"min_lr", "schedule.final"},
    {"batch_size", "train.batch"},
    {"num_epochs", "train.epochs"},
    {"steps", "train.max_steps"},
    {"accum_steps", "train.accumulate"},
    {"smoothing", "train.label_smoothing"},
    {"log_interval", "train.log_every"},
    {"checkpoint", "train.checkpoint_every"},
    {"eval_interval", "train.eval_every"},
    {"model", "model.size"},
    {"arch", "model.size"},
    {"num_classes", "model.classes"},
    {"patch_size", "model.patch"},
    {"embed_dim", "model.width"},
    {"num_heads", "model.heads"},
    {"pretrained", "model.init_from"},
    {"image_size", "data.image"},
    {"img_size", "data.image"},
    {"num_workers", "data.workers"},
    {"router", "router.name"},
    {"num_experts", "router.experts"},
    {"top_k", "router.k"},
    {"num_selected_experts", "router.k"},
    {"capacity_factor", "router.capacity"},
    {"random_erasing", "augment.erase"},
};

const char *train_synonym(const char *name)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].theirs, name) == 0)
            return words[i].ours;
    return NULL;
}

bool train_hint(char *out, size_t out_bytes, const char *name)
{
    static const char *const sections[] = {"train",  "optimizer", "schedule", "model",
                                           "router", "data",      "augment"};
    char word[64], full[96];
    const size_t length = strlen(name);

    if (length >= sizeof word)
        return false;
    for (size_t i = 0; i <= length; i++)
        word[i] = name[i];
    for (char *at = word; *at; at++)
        *at = *at == '-' ? '_' : *at;
    const char *ours = train_synonym(word);
    if (ours)
        snprintf(out, out_bytes, "%s", ours);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0] && !ours; i++) {
        const bool whole = strncmp(word, sections[i], strlen(sections[i])) == 0 &&
                           word[strlen(sections[i])] == '.';

        snprintf(full, sizeof full, "%s%s%s", whole ? "" : sections[i], whole ? "" : ".",
                 word);
        if (!base_field_find(train_recipe_keys, full))
            continue;
        snprintf(out, out_bytes, "%s", full);
        ours = out;
    }
    return ours != NULL;
}
