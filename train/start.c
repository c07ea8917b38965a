/* start.c - model.init_from: the weights of a checkpoint for a run that begins. What
 * decides what the weights compute must be the same in both; what may differ is said, and
 * so is all that was interpolated or drawn anew. Free to change: the words. Relied on
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
        {"model.pool", (int)file->pool, (int)here->pool, pools},
        {"model.gelu", (int)file->gelu, (int)here->gelu, gelus},
        {"model.position", (int)file->position, (int)here->position, positions},
        {"router.experts", vit_config_is_sparse(file) ? file->moe.experts : 0,
         vit_config_is_sparse(here) ? here->moe.experts : 0, NULL},
    };

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        char a[16], b[16];

        if (fixed[i].file == fixed[i].here)
            continue;
        snprintf(a, sizeof a, "%d", fixed[i].file);
        snprintf(b, sizeof b, "%d", fixed[i].here);
        return base_fail(err, BASE_MISMATCH, "'%s' is %s in '%s' and %s in the recipe%s",
                         fixed[i].key, fixed[i].names ? fixed[i].names[fixed[i].file] : a,
                         path, fixed[i].names ? fixed[i].names[fixed[i].here] : b,
                         strcmp(fixed[i].key, "router.experts") == 0
                             ? ": vmoe convert --upcycle makes experts"
                             : ": they are different networks");
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
static void tell_differences(const train_trainer *t, const vit_config *file)
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
    if (strcmp(file->interpolation, here->interpolation) != 0 ||
        file->crop_mode != here->crop_mode)
        train_note(t, "", "its pixels were made ready %s, here %s", file->interpolation,
                   here->interpolation);
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

/* Copies what fits. Routers of another kind and heads of other classes keep their first
 * values. */
static base_status copy_weights(train_trainer *t, const vit_model *start, const char *path,
                                bool fresh_head, size_t *loaded, size_t *drawn,
                                base_error *err)
{
    float *weights = vit_model_weights(t->model);

    for (size_t i = 0; i < vit_model_parameter_count(t->model); i++) {
        const vit_parameter *p = vit_model_parameter(t->model, i);
        const vit_parameter *q = vit_model_parameter_find(start, p->name);
        const bool head = strncmp(p->name, "head.", 5) == 0;
        const bool fits =
            q && q->rank == p->rank && memcmp(q->shape, p->shape, sizeof p->shape) == 0;

        if ((head && fresh_head) || (!fits && strstr(p->name, ".moe.router."))) {
            *drawn += head ? 0 : 1;
            continue;
        }
        if (!fits)
            return base_fail(err, BASE_MISMATCH,
                             "'%s' %s the tensor '%s', the recipe's network is another",
                             path, q ? "has another shape of" : "lacks", p->name);
        memcpy(weights + p->offset, vit_model_weights_const(start) + q->offset,
               p->count * sizeof(float));
        (*loaded)++;
    }
    return BASE_OK;
}

static void tell(const train_trainer *t, const vit_origins *from, const char *path,
                 size_t loaded, size_t drawn)
{
    const vit_config *c = &t->recipe.config;
    char positions[96] = "", head[96] = "", routers[64] = "";

    if (from->image != c->image && c->position == VIT_POSITION_LEARNED)
        snprintf(positions, sizeof positions,
                 ", positions interpolated from %d to %d pixels", from->image, c->image);
    if (from->classes == 0)
        snprintf(head, sizeof head, ", head drawn anew (the file has none)");
    else if (from->classes != c->classes)
        snprintf(head, sizeof head, ", head drawn anew for %d classes in place of %d",
                 c->classes, from->classes);
    if (drawn > 0)
        snprintf(routers, sizeof routers, ", %zu tensors of routers drawn anew", drawn);
    train_note(t, "start", "'%s': %zu tensors loaded%s%s%s", path, loaded, positions, head,
               routers);
}

base_status train_start_from(train_trainer *trainer, base_error *err)
{
    train_trainer *t = trainer;
    const vit_config *c = &t->recipe.config;
    vit_load_options options = {.image = c->image, .classes = c->classes};
    vit_origins from;
    vit_model *start = NULL;
    char *path = NULL;
    size_t loaded = 0, drawn = 0;
    base_status status = train_model_path(&path, t->recipe.init_from, err);

    if (status == BASE_OK)
        status = vit_model_load(&start, path, &options, err);
    if (status == BASE_OK)
        from = *vit_model_origins(start);
    if (status == BASE_OK && from.heads != VIT_ORIGIN_FILE &&
        from.heads != VIT_ORIGIN_CONFIG && vit_model_config(start)->heads != c->heads) {
        /* the file does not say: the recipe does */
        options.heads = c->heads;
        vit_model_destroy(start);
        start = NULL;
        status = vit_model_load(&start, path, &options, err);
    }
    if (status == BASE_OK)
        status = check_same(vit_model_config(start), c, path, err);
    if (status == BASE_OK)
        status =
            copy_weights(t, start, path, from.classes != c->classes, &loaded, &drawn, err);
    if (status == BASE_OK) {
        tell(t, &from, path, loaded, drawn);
        tell_differences(t, vit_model_config(start));
    }
    vit_model_destroy(start);
    base_free(path);
    return status;
}
