/* table.c - what a person sees before the first step: data, network layer by layer, plan.
 * Free to change: all of it; nothing reads it but people. */
#include <inttypes.h>
#include <math.h>

#include "apps/network_internal.h"
#include "apps/train/internal.h"

static void print_row(const char *name, const char *what, app_parameters counts)
{
    char all[32], active[32];

    fprintf(stderr, "  %-8s %-44s %11s %11s\n", name, what,
            show_thousands(all, sizeof all, counts.all),
            show_thousands(active, sizeof active, counts.active));
}

/* "3 heads, top 2 of 16 x 192 and 1 shared, ssr" */
static void layer_describe(char *out, size_t out_bytes, const vit_config *c)
{
    char shared[32] = "", top[32] = "";

    if (c->moe.shared > 0)
        snprintf(shared, sizeof shared, " and %d shared", c->moe.shared);
    if (vit_router_uses_k(c->moe.router.name))
        snprintf(top, sizeof top, "top %d of ", c->moe.k);
    snprintf(out, out_bytes, "%d heads, %s%d x %d%s, %s", c->heads, top, c->moe.experts,
             c->mlp, shared, c->moe.router.name);
}

static void print_layers(const train_trainer *t)
{
    const vit_config *c = &t->recipe.config;
    char name[16], prefix[32], what[128];
    const int side = c->image / c->patch;

    fprintf(stderr, "  %-8s %-44s %11s %11s\n", "layer", "", "parameters", "active");
    snprintf(what, sizeof what, "%d x %d patches of %d px, %d tokens of %d", side, side,
             c->patch, (int)vit_config_tokens(c), c->width);
    print_row("embed", what,
              app_network_parameters(t->model, "patch_embed.|cls_token|pos_embed"));
    for (int i = 0; i < c->depth; i++) {
        snprintf(name, sizeof name, "block %d", i);
        snprintf(prefix, sizeof prefix, "blocks.%d.", i);
        if (c->moe.layer[i])
            layer_describe(what, sizeof what, c);
        else
            snprintf(what, sizeof what, "%d heads, MLP of %d", c->heads, c->mlp);
        print_row(name, what, app_network_parameters(t->model, prefix));
    }
    snprintf(what, sizeof what, "%s, %d classes",
             c->pool == VIT_POOL_TOKEN ? "class token" : "mean over the patches",
             c->classes);
    print_row("head", what, app_network_parameters(t->model, "norm.|head."));
    print_row(
        "total", "",
        (app_parameters){vit_model_floats(t->model), vit_model_active_floats(t->model)});
}

static void print_data(const char *label, const data_source *source, size_t used)
{
    char count[32], all[32] = "", path[1024], left_out[600];

    show_thousands(count, sizeof count, used);
    if (used != data_source_count(source))
        show_thousands(all, sizeof all, data_source_count(source));
    fprintf(stderr, "%-12s%s:%s, %s%s%s images, %zu classes\n", label,
            data_source_layout(source),
            base_quote(path, sizeof path, data_source_path(source)), count,
            all[0] ? " of " : "", all, data_source_classes(source));
    if (data_source_notice(source)[0])
        fprintf(stderr, "%-12s%s\n", "", data_source_notice(source));
    if (data_source_left_out(left_out, sizeof left_out, source)[0])
        fprintf(stderr, "%-12s%s\n", "", left_out);
}

/* How often a layer balances by Sinkhorn in the whole run, and whether that can matter
 * (published runs: 46 to 6,000 steps a layer). */
static void print_sinkhorn(const train_trainer *t)
{
    const char *name = t->recipe.config.moe.router.name;
    const double steps = train_trainer_sinkhorn_steps(t);

    if (steps <= 0)
        return;
    const bool few = steps < TRAIN_SINKHORN_FEW &&
                     base_field_find(vit_router_options(name), "p") != NULL;
    fprintf(stderr, "%-12s%s: about %.0f Sinkhorn steps a layer in this run%s\n", "router",
            name, steps,
            few ? "; below 20 it is hardly more than softmax without losses, a larger "
                  "router.p or router.steps = N gives more"
                : "");
}

uint64_t app_train_trained(const train_trainer *trainer)
{
    const int frozen = trainer->recipe.optimizer.frozen;
    uint64_t count = 0;

    for (size_t i = 0; i < vit_model_parameter_count(trainer->model); i++) {
        const vit_parameter *p = vit_model_parameter(trainer->model, i);
        count += p->layer >= frozen && !p->state ? p->count : 0;
    }
    return count;
}

static void print_trained(const train_trainer *t)
{
    const train_recipe *r = &t->recipe;
    char all[32], some[32];

    if (r->optimizer.frozen > 0)
        fprintf(stderr, "%-12s%s of %s parameters, the rest stays (optimizer.freeze %s)\n",
                "trained", show_thousands(some, sizeof some, app_train_trained(t)),
                show_thousands(all, sizeof all, vit_model_floats(t->model)), r->freeze);
    if (r->optimizer.layer_decay > 0 && r->optimizer.layer_decay < 1)
        fprintf(stderr, "%-12sa block's %g times the next one's, from %.1e to %.1e\n",
                "rates", r->optimizer.layer_decay,
                r->lr * pow(r->optimizer.layer_decay, r->config.depth + 1), r->lr);
}

void app_train_print(const train_trainer *trainer, const app_common *common)
{
    static const char *const schedules[] = {"constant", "cosine", "linear", "rsqrt"};
    static const char *const crops[] = {"auto", "evaluation crop", "random resized crop",
                                        "padded crop"};
    const train_trainer *t = trainer;
    const train_recipe *r = &t->recipe;
    char steps[32], waiting[96], onednn[96], out[1024], name[160];

    if (common->quiet)
        return;
    vit_onednn_version(onednn, sizeof onednn);
    fprintf(stderr, "vmoe %s     train into '%s' by recipe '%s'\n", BASE_VERSION,
            base_quote(out, sizeof out, t->options.folder),
            base_quote(name, sizeof name, r->name));
    print_data("data", t->train, data_loader_samples(t->train_loader));
    print_data("validation", t->val, data_loader_samples(t->val_loader));
    if (data_source_same(t->train, t->val))
        fprintf(stderr,
                "%-12sthe same files as the training data: accuracy says nothing about "
                "other images\n",
                "warning");
    fprintf(stderr, "%-12s%d x %d, %s, %s%s%s%s%s\n", "pictures", r->config.image,
            r->config.image, r->config.channels == 1 ? "grey" : "colour", crops[r->crop],
            r->augment.flip > 0 ? ", flip" : "", r->augment.mixup > 0 ? ", mixup" : "",
            r->augment.cutmix > 0 ? ", cutmix" : "",
            r->augment.erase > 0 ? ", erasing" : "");
    if (t->augment)
        fprintf(stderr, "%-12s%s\n", "corrupted",
                app_crew_text(out, sizeof out, train_augment_crew(t->augment)));
    fprintf(stderr, "%-12s%s, %.1f MFLOP an image\n", "network",
            vit_model_config(t->model)->name[0] ? r->config.name : "of its own size",
            vit_model_flops(t->model) / 1e6);
    print_layers(t);
    print_sinkhorn(t);
    fprintf(stderr,
            "%-12s%s steps of %d images, %" PRIu64
            " an epoch; %s, lr %g %s, warm-up %" PRIu64 " step%s%s\n",
            "plan", show_thousands(steps, sizeof steps, t->total), r->train.batch,
            t->parts_in_epoch / (uint64_t)r->train.accumulate,
            r->optimizer.kind == VIT_OPTIMIZER_ADAMW ? "AdamW" : "SGD", r->lr,
            schedules[r->schedule.kind], t->schedule.warmup,
            t->schedule.warmup == 1 ? "" : "s",
            r->optimizer.ema > 0 ? ", averaged weights" : "");
    print_trained(t);
    app_waiting_text(waiting, sizeof waiting);
    fprintf(stderr, "%-12s%d thread%s%s%s", "machine", (int)common->threads,
            common->threads == 1 ? "" : "s", app_is_bound() ? ", pinned" : "", waiting);
    if (waiting[0])
        fprintf(stderr, "\n%-12s", "");
    fprintf(stderr, "%s%s, %s, seed %lld\n", waiting[0] ? "" : ", ",
            t->precision == VIT_PRECISION_BF16 ? "bf16" : "fp32", onednn,
            (long long)r->train.seed);
}
