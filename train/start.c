/* start.c - model.init_from: the weights of a checkpoint for a run that begins. What
 * decides what the weights compute must be the same in both, but that a dense file's MLPs
 * may become experts; what may differ is said, and so is all that was interpolated, left
 * out or drawn anew. Free to change: the words. Relied on
 * elsewhere: nothing is taken in silence. */
#include <string.h>

#include "train/train_internal.h"

/* Settings with which the same tensors are another network. */
static base_status check_same(const vit_config *file, const vit_config *here,
                              const char *path, base_error *err)
{
    static const char *const gelus[] = {"erf", "tanh"},
                             *const positions[] = {"learned", "sincos"},
                             *const pools[] = {"token", "gap", "patches"};
    const struct {
        const char *key;
        int file, here;
        const char *const *names;
    } fixed[] = {
        {"model.patch", file->patch, here->patch, NULL},
        {"model.width", file->width, here->width, NULL},
        {"model.depth", file->depth, here->depth, NULL},
        {"model.heads", file->heads, here->heads, NULL},
        {"model.mlp", file->mlp, here->mlp, NULL},
        {"data.channels", file->channels, here->channels, NULL},
        {"model.registers", file->registers, here->registers, NULL},
        {"model.fc_norm", file->fc_norm, here->fc_norm, NULL},
        {"model.pre_norm", file->pre_norm, here->pre_norm, NULL},
        {"model.qk_norm", file->qk_norm, here->qk_norm, NULL},
        {"model.pool", (int)file->pool, (int)here->pool, pools},
        {"model.gelu", (int)file->gelu, (int)here->gelu, gelus},
        {"model.position", (int)file->position, (int)here->position, positions},
        {"router.experts", vit_config_is_sparse(file) ? file->moe.experts : 0,
         vit_config_is_sparse(here) ? here->moe.experts : 0, NULL},
        {"router.shared", vit_config_is_sparse(file) ? file->moe.shared : 0,
         vit_config_is_sparse(here) ? here->moe.shared : 0, NULL},
    };

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        char a[16], b[16];

        if (fixed[i].file == fixed[i].here)
            continue;
        snprintf(a, sizeof a, "%d", fixed[i].file);
        snprintf(b, sizeof b, "%d", fixed[i].here);
        return base_fail(err, BASE_MISMATCH,
                         "'%s' is %s in '%s' and %s in the recipe: they are different "
                         "networks",
                         fixed[i].key, fixed[i].names ? fixed[i].names[fixed[i].file] : a,
                         path, fixed[i].names ? fixed[i].names[fixed[i].here] : b);
    }
    for (int i = 0; i < file->depth; i++)
        if (file->moe.layer[i] != here->moe.layer[i])
            return base_fail(err, BASE_MISMATCH,
                             "block %d has %s in '%s' and %s in the recipe (router.layers)",
                             i, file->moe.layer[i] ? "experts" : "an MLP", path,
                             here->moe.layer[i] ? "experts" : "an MLP");
    return BASE_OK;
}

/* Settings that may differ and yet matter: a line for each kind of them. */
static void tell_differences(const train_trainer *t, const vit_config *file,
                             vit_origin filter)
{
    const vit_config *here = &t->recipe.config;
    const size_t bytes = (size_t)here->channels * sizeof(float);
    const vit_moe_config *a = &file->moe, *b = &here->moe;

    if (memcmp(file->mean, here->mean, bytes) != 0 ||
        memcmp(file->std, here->std, bytes) != 0)
        train_note(t, "",
                   "its pixels were made ready with mean %.4g.. and std %.4g.., here "
                   "with mean %.4g.. and std %.4g.. (data.mean, data.std)",
                   (double)file->mean[0], (double)file->std[0], (double)here->mean[0],
                   (double)here->std[0]);
    if (filter != VIT_ORIGIN_ASSUMED &&
        (strcmp(file->interpolation, here->interpolation) != 0 ||
         file->crop_mode != here->crop_mode))
        train_note(t, "", "its pixels were made ready %s%s, here %s%s", file->interpolation,
                   file->crop_mode == VIT_CROP_SQUASH ? ", squashed" : "",
                   here->interpolation,
                   here->crop_mode == VIT_CROP_SQUASH ? ", squashed" : "");
    if (file->eps < here->eps || file->eps > here->eps)
        train_note(t, "", "its norms have the epsilon %g, here %g (model.eps)", file->eps,
                   here->eps);
    if (!vit_config_is_sparse(file))
        return;
    if (strcmp(a->router.name, b->router.name) != 0 ||
        memcmp(a->router.settings, b->router.settings, sizeof a->router.settings) != 0)
        train_note(t, "", "its router is '%s', here '%s'%s", a->router.name, b->router.name,
                   strcmp(a->router.name, b->router.name) == 0 ? " with other options"
                                                               : "");
    if (a->k != b->k || a->capacity < b->capacity || a->capacity > b->capacity ||
        a->eval_capacity < b->eval_capacity || a->eval_capacity > b->eval_capacity)
        train_note(t, "",
                   "its tokens meet %d experts with capacity %g (%g in evaluation), here "
                   "%d with %g (%g)",
                   a->k, a->capacity, a->eval_capacity, b->k, b->capacity,
                   b->eval_capacity);
}

static bool is_head(const char *name)
{
    return strncmp(name, "head.", 5) == 0;
}

/* Copies what fits. Routers of another kind and heads of other classes or features keep
 * their first values. */
static base_status copy_weights(train_trainer *t, const vit_model *from, const char *path,
                                base_error *err)
{
    float *weights = vit_model_weights(t->model);
    train_start *start = &t->start;

    for (size_t i = 0; i < vit_model_parameter_count(t->model); i++) {
        const vit_parameter *p = vit_model_parameter(t->model, i);
        const vit_parameter *q = vit_model_parameter_find(from, p->name);
        const bool fits =
            q && q->rank == p->rank && memcmp(q->shape, p->shape, sizeof p->shape) == 0;

        if (is_head(p->name) && (!fits || start->classes != t->recipe.config.classes)) {
            start->head = true;
            continue;
        }
        if (!fits && strstr(p->name, ".moe.router.")) {
            start->drawn++;
            continue;
        }
        if (!fits)
            return base_fail(err, BASE_MISMATCH,
                             "'%s' %s the tensor '%s', the recipe's network is another",
                             path, q ? "has another shape of" : "lacks", p->name);
        memcpy(weights + p->offset, vit_model_weights_const(from) + q->offset,
               p->count * sizeof(float));
        start->loaded++;
    }
    for (size_t i = 0; i < vit_model_parameter_count(from); i++) {
        const char *name = vit_model_parameter(from, i)->name;
        start->left_out += !vit_model_parameter_find(t->model, name);
    }
    return BASE_OK;
}

/* A dense file's MLPs become the experts of a sparse recipe. */
static base_status become_sparse(train_trainer *t, vit_model **from, base_error *err)
{
    const vit_config *c = &t->recipe.config;
    vit_model *made = NULL;

    if (vit_config_is_sparse(vit_model_config(*from)) || !vit_config_is_sparse(c))
        return BASE_OK;
    const base_status status =
        vit_model_upcycle(&made, *from, &c->moe, (uint64_t)t->recipe.train.seed, err);
    if (status != BASE_OK)
        return status;
    for (int i = 0; i < c->depth; i++)
        t->start.experts_from_mlps += c->moe.layer[i];
    vit_model_destroy(*from);
    *from = made;
    return BASE_OK;
}

/* A head that is kept serves the classes that it was trained for. */
static void tell_labels(const train_trainer *t, const vit_model *from)
{
    char a[96], b[96];

    for (size_t i = 0; i < (size_t)t->recipe.config.classes; i++) {
        const char *theirs = vit_model_label(from, i), *ours = vit_model_label(t->model, i);

        if (!theirs || !ours || strcmp(theirs, ours) == 0)
            continue;
        train_note(t, "", "its class %zu is '%s', here '%s': the head is kept all the same",
                   i, base_quote(a, sizeof a, theirs), base_quote(b, sizeof b, ours));
        return;
    }
}

static void tell(const train_trainer *t, const char *path)
{
    const vit_config *c = &t->recipe.config;
    const train_start *s = &t->start;
    const char *bias = c->init == VIT_INIT_VMOE ? ", its bias at -ln of their number" : "";

    train_note(t, "start", "'%s': %zu tensors loaded", path, s->loaded);
    if (s->positions)
        train_note(t, "", "positions interpolated from %d to %d pixels", s->image,
                   c->image);
    if (s->head && s->classes == 0)
        train_note(t, "", "head of %d classes begins at zero%s (the file has none)",
                   c->classes, bias);
    else if (s->head)
        train_note(t, "", "head of %d classes begins at zero%s (in place of the file's %d)",
                   c->classes, bias, s->classes);
    if (s->experts_from_mlps > 0)
        train_note(
            t, "",
            "experts of %d block%s are copies of its MLP%s, their routers drawn anew%s",
            s->experts_from_mlps, s->experts_from_mlps == 1 ? "" : "s",
            s->experts_from_mlps == 1 ? "" : "s",
            c->moe.shared > 0 ? ", shared experts add nothing at first" : "");
    if (s->drawn > 0)
        train_note(t, "", "%zu tensors of routers drawn anew", s->drawn);
    if (s->left_out > 0)
        train_note(t, "", "%zu tensors of the file have no place here and are left out",
                   s->left_out);
}

/* Whether a setting is the file's own, and not guessed when it was read. */
static bool said(vit_origin origin)
{
    return origin == VIT_ORIGIN_FILE || origin == VIT_ORIGIN_CONFIG;
}

/* The file's network; where it does not say heads or pooling, the recipe does. */
static base_status open_start(vit_model **out, const train_recipe *r, const char *path,
                              base_error *err)
{
    const vit_config *c = &r->config;
    vit_load_options options = {.image = c->image, .classes = c->classes};
    base_status status = vit_model_load(out, path, &options, err);

    if (status != BASE_OK)
        return status;
    const vit_origins from = *vit_model_origins(*out);
    const vit_config *file = vit_model_config(*out);
    if (!said(from.heads) && file->heads != c->heads)
        options.heads = c->heads;
    if (!said(from.pool) && file->pool != c->pool)
        options.pool = c->pool == VIT_POOL_TOKEN ? 1 : 2;
    if (options.heads == 0 && options.pool == 0)
        return BASE_OK;
    vit_model_destroy(*out);
    *out = NULL;
    return vit_model_load(out, path, &options, err);
}

base_status train_start_from(train_trainer *trainer, base_error *err)
{
    train_trainer *t = trainer;
    const vit_config *c = &t->recipe.config;
    vit_model *from = NULL;
    vit_config file = {0};
    vit_origin filter = VIT_ORIGIN_FILE; /* whence the file's */
    char *path = NULL;
    base_status status = train_model_path(&path, t->recipe.init_from, err);

    if (status == BASE_OK)
        status = open_start(&from, &t->recipe, path, err);
    if (status == BASE_OK) {
        file = *vit_model_config(from);
        filter = vit_model_origins(from)->interpolation;
        t->start.image = vit_model_origins(from)->image;
        t->start.classes = vit_model_origins(from)->classes;
        t->start.positions =
            t->start.image != c->image && c->position == VIT_POSITION_LEARNED;
        status = become_sparse(t, &from, err);
    }
    if (status == BASE_OK)
        status = check_same(vit_model_config(from), c, path, err);
    if (status == BASE_OK)
        status = copy_weights(t, from, path, err);
    if (status == BASE_OK) {
        t->start.done = true;
        tell(t, path);
        if (!t->start.head)
            tell_labels(t, from);
        tell_differences(t, &file, filter);
    }
    vit_model_destroy(from);
    base_free(path);
    return status;
}
