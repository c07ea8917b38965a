/* collect.c - the pass of vmoe inspect --experts: counts of classes by experts, the
 * router's inputs of some tokens, pictures. Relied on elsewhere: which tokens are chosen
 * and which images are held out depends on the seed and the samples alone; all layers show
 * the same tokens. */
#include "apps/experts/internal.h"

#include <string.h>

/* Above this the counts of single images are not kept, and chance is not known. */
static const size_t counts_limit_bytes = (size_t)256 << 20;

base_status app_study_check(const app_study_args *args, base_error *err)
{
    const char *alone = args->data          ? "data"
                        : args->html        ? "html"
                        : args->csv         ? "csv"
                        : args->against     ? "against"
                        : args->bad_samples ? "bad-samples"
                                            : NULL;

    if (args->experts && !args->data)
        return base_fail(err, BASE_USAGE,
                         "--experts needs labelled images, expected --data");
    if (!args->experts && alone)
        return base_fail(err, BASE_USAGE, "--%s belongs to --experts, which is not given",
                         alone);
    return BASE_OK;
}

static void layer_create(app_study_layer *layer, const app_study *s)
{
    const size_t e = s->experts;
    const bool with_class = s->first_patch > 0;
    size_t bytes = 0;

    for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
        app_study_table *table = &layer->of[kind];

        if (kind == APP_STUDY_CLASS_TOKEN && !with_class)
            continue;
        table->table = app_take(NULL, s->classes * e, sizeof *table->table);
        if (base_mul_size(&bytes, s->planned, e * sizeof *table->counts) &&
            bytes <= counts_limit_bytes)
            table->counts = app_take(NULL, s->planned, e * sizeof *table->counts);
    }
    layer->x = app_take(NULL, s->token_room, s->width * sizeof *layer->x);
    layer->expert = app_take(NULL, s->token_room, sizeof *layer->expert);
    layer->patch = app_take(NULL, e * APP_STUDY_SHOTS, sizeof *layer->patch);
    layer->example = app_take(NULL, e * APP_STUDY_EXAMPLES, sizeof *layer->example);
    layer->top = app_take(NULL, e * APP_STUDY_TOP, sizeof *layer->top);
}

static void tables_create(app_study *s)
{
    size_t blocks[VIT_DEPTH_MAX];
    const size_t layers = app_network_blocks(blocks, s->network.config);

    s->layer = app_take(NULL, layers, sizeof *s->layer);
    s->labels = app_take(NULL, s->planned, sizeof *s->labels);
    s->taken = app_take(NULL, s->patches, sizeof *s->taken);
    s->token_sample = app_take(NULL, s->token_room, sizeof *s->token_sample);
    s->token_patch = app_take(NULL, s->token_room, sizeof *s->token_patch);
    s->token_label = app_take(NULL, s->token_room, sizeof *s->token_label);
    s->token_right = app_take(NULL, s->token_room, sizeof *s->token_right);
    s->token_held = app_take(NULL, s->token_room, sizeof *s->token_held);
    for (; s->layers < layers; s->layers++) {
        s->layer[s->layers].block = blocks[s->layers];
        layer_create(&s->layer[s->layers], s);
    }
}

/* The network of --against: the same shape of routing, whatever else it is. */
static base_status other_open(app_study *s, const app_common *common, base_error *err)
{
    base_status status =
        app_network_open_other(&s->other, s->args->against, s->args->view, common, err);
    size_t a[VIT_DEPTH_MAX], b[VIT_DEPTH_MAX];

    if (status != BASE_OK)
        return status;
    const vit_config *x = s->network.config, *y = s->other.config;
    const size_t layers = app_network_blocks(a, x);
    if (app_network_blocks(b, y) != layers || x->moe.experts != y->moe.experts ||
        vit_config_tokens(x) != vit_config_tokens(y) || x->channels != y->channels ||
        s->network.size != s->other.size || x->classes != y->classes)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' and '%s' differ in MoE layers, experts, tokens or classes, "
                         "expected two checkpoints of one network",
                         s->network.path, s->other.path);
    return BASE_OK;
}

base_status app_study_open(app_study *s, const char *model, const app_study_args *args,
                           const app_common *common, base_error *err)
{
    base_status status = app_network_open(&s->network, model, args->view, common, err);

    if (status != BASE_OK)
        return status;
    const vit_config *c = s->network.config;
    const size_t rows = (size_t)(c->image / c->patch);
    if (!vit_config_is_sparse(c))
        return base_fail(err, BASE_USAGE, "'%s' has no experts, --experts means nothing",
                         s->network.path);
    if (!vit_router_uses_k(c->moe.router.name))
        return base_fail(err, BASE_USAGE,
                         "'%s' sends no token to an expert (router %s), --experts means "
                         "nothing",
                         s->network.path, c->moe.router.name);
    s->args = args;
    s->data = args->data;
    s->network.data.quiet = common->quiet;
    if (args->against)
        status = other_open(s, common, err);
    if (status == BASE_OK)
        status = app_network_data(&s->source, &s->network, args->data, err);
    if (status != BASE_OK)
        return status;
    if (data_source_classes(s->source) == 0)
        return base_fail(err, BASE_MISMATCH, "'%s' has no labels, expected labelled images",
                         args->data);
    const size_t all = data_source_count(s->source), limit = (size_t)common->limit;
    s->planned = limit > 0 && limit < all ? limit : all;
    s->experts = (size_t)c->moe.experts;
    s->classes = s->network.classes;
    s->width = (size_t)c->width;
    s->patches = rows * rows;
    s->first_patch = vit_config_tokens(c) - s->patches;
    s->shot_side = (rows < 3 ? rows : 3) * (size_t)c->patch;
    s->example_side = s->network.size / ((s->network.size + 95) / 96);
    s->token_room = (size_t)args->tokens;
    if (s->token_room / s->patches > s->planned)
        s->token_room = s->planned * s->patches;
    tables_create(s);
    return BASE_OK;
}

void app_study_close(app_study *s)
{
    data_source_close(s->source);
    app_network_close(&s->other);
    app_network_close(&s->network);
    *s = (app_study){0};
}

/* ---- one image ----------------------------------------------------------------------- */

/* Kept assignments of tokens first .. end - 1 by expert are added to counts [experts]. */
static void tokens_count(uint32_t *counts, const vit_routing *r, size_t first, size_t end)
{
    for (uint32_t a = r->start[first]; a < r->start[end]; a++)
        if (r->kept[a])
            counts[r->expert[a]]++;
}

static void table_add(app_study_table *table, const uint32_t *counts, size_t experts,
                      size_t image, int32_t label)
{
    uint64_t *row = table->table + (size_t)label * experts;

    for (size_t e = 0; e < experts; e++)
        row[e] += counts[e];
    if (table->counts)
        memcpy(table->counts + image * experts, counts, experts * sizeof *counts);
}

/* The image's row of each table of the layer. */
static void tables_add(app_study *s, app_study_layer *layer, const vit_routing *r,
                       size_t image, int32_t label)
{
    const size_t first = image * r->tokens_per_image, e = s->experts;
    uint32_t counts[VIT_EXPERTS_MAX] = {0}, most[VIT_EXPERTS_MAX] = {0};
    size_t best = 0;

    tokens_count(counts, r, first + s->first_patch, first + r->tokens_per_image);
    table_add(&layer->of[APP_STUDY_PATCHES], counts, e, s->images, label);
    for (size_t i = 1; i < e; i++)
        best = counts[i] > counts[best] ? i : best;
    most[best] = counts[best] > 0;
    table_add(&layer->of[APP_STUDY_IMAGE], most, e, s->images, label);
    if (s->first_patch == 0)
        return;
    memset(counts, 0, sizeof counts);
    tokens_count(counts, r, first, first + s->first_patch);
    table_add(&layer->of[APP_STUDY_CLASS_TOKEN], counts, e, s->images, label);
}

/* Chosen tokens before image i of n: spread evenly over the set. */
static size_t quota_before(const app_study *s, size_t i)
{
    return (size_t)((double)s->token_room * (double)i / (double)s->planned);
}

/* Chooses tokens of the image, the same for all layers; how many. */
static size_t tokens_choose(app_study *s, uint32_t sample, int32_t label, bool right,
                            uint64_t seed, uint32_t *order)
{
    const size_t wanted = quota_before(s, s->images + 1) - quota_before(s, s->images);
    const size_t count = wanted < s->patches ? wanted : s->patches;
    base_rng rng = base_rng_make(seed, BASE_PURPOSE_SUBSET, sample, 0, 14);
    const bool held = base_key((uint64_t[]){sample, 15}, 2) % APP_STUDY_HELD_OUT == 0;

    if (count > 0)
        base_rng_permutation(&rng, order, s->patches);
    for (size_t i = 0; i < count; i++) {
        const size_t at = s->tokens + i;

        s->token_sample[at] = sample;
        s->token_patch[at] = order[i];
        s->token_label[at] = label;
        s->token_right[at] = right;
        s->token_held[at] = held;
    }
    return count;
}

static void inputs_take(const app_study *s, app_study_layer *layer, const vit_routing *r,
                        const float *x, size_t image, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t at = s->tokens + i;
        const size_t t = image * r->tokens_per_image + s->first_patch + s->token_patch[at];

        memcpy(layer->x + at * s->width, x + t * s->width, s->width * sizeof *x);
        layer->expert[at] =
            r->start[t + 1] > r->start[t] ? (int32_t)r->expert[r->start[t]] : -1;
    }
}

/* ---- the pass ------------------------------------------------------------------------ */

typedef struct pass {
    vit_run *run, *other;
    measure_trace trace; /* of run, for other */
    float *logits;       /* [batch, classes] */
    size_t *answer;      /* [batch] */
    uint32_t *order;     /* [patches] */
    data_image picture;
    uint64_t seed;
} pass;

static base_status image_add(app_study *s, pass *p, const data_batch *batch, size_t i,
                             base_error *err)
{
    const size_t floats =
        (size_t)s->network.config->channels * s->network.size * s->network.size;
    const uint32_t sample = (uint32_t)batch->samples[i];
    const int32_t label = data_source_label(s->source, sample);
    base_status status = BASE_OK;
    bool made = false;
    char name[1024];

    if (batch->bad[i]) {
        s->bad++;
        return BASE_OK;
    }
    if (label < 0)
        return base_fail(err, BASE_FORMAT, "'%s' has no label",
                         data_source_name(s->source, sample, name, sizeof name));
    const measure_verdict verdict =
        measure_verdict_make(p->logits + i * s->classes, s->classes, label);
    p->answer[i] = verdict.predicted;
    if (!verdict.finite)
        return base_fail(err, BASE_NUMERIC,
                         "'%s' gives logits that are not finite for '%s'", s->network.path,
                         data_source_name(s->source, sample, name, sizeof name));
    s->right += verdict.rank == 0;
    s->labels[s->images] = label;
    const size_t count =
        tokens_choose(s, sample, label, verdict.rank == 0, p->seed, p->order);
    for (size_t l = 0; l < s->layers && status == BASE_OK; l++) {
        const vit_routing r = vit_run_routing(p->run, l);

        tables_add(s, &s->layer[l], &r, i, label);
        inputs_take(s, &s->layer[l], &r, vit_run_router_input(p->run, l), i, count);
        status = app_study_pictures(s, &s->layer[l], &r, i, sample,
                                    batch->images + i * floats, &p->picture, &made, err);
    }
    s->tokens += count;
    s->images++;
    return status;
}

/* Where the other network sends the same tokens. */
static base_status other_compare(app_study *s, pass *p, const data_batch *batch,
                                 base_error *err)
{
    measure_agreement one[VIT_DEPTH_MAX] = {0};

    measure_trace_take(&p->trace, p->run);
    const base_status status = vit_run_forward(p->other, p->logits, batch->images,
                                               batch->count, &(vit_step){0}, err);
    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < batch->count; i++)
        if (!batch->bad[i])
            measure_trace_compare(one, &p->trace, p->other, i,
                                  measure_arg_max(p->logits + i * s->classes, s->classes) !=
                                      p->answer[i]);
    for (size_t l = 0; l < s->layers; l++)
        measure_agreement_join(&s->layer[l].agreement, &one[l]);
    return BASE_OK;
}

static base_status batch_add(app_study *s, pass *p, const data_batch *batch,
                             base_error *err)
{
    base_status status = vit_run_forward(p->run, p->logits, batch->images, batch->count,
                                         &(vit_step){0}, err);

    for (size_t l = 0; l < s->layers && status == BASE_OK; l++) {
        const vit_routing r = vit_run_routing(p->run, l);
        vit_usage_add(&s->layer[l].load, &r);
    }
    for (size_t i = 0; i < batch->count && status == BASE_OK; i++)
        status = image_add(s, p, batch, i, err);
    if (status == BASE_OK && p->other)
        status = other_compare(s, p, batch, err);
    return status;
}

static base_status pass_open(pass *p, const app_study *s, const app_common *common,
                             base_error *err)
{
    const size_t batch = (size_t)common->batch;
    const vit_precision precision = (vit_precision)common->precision;
    base_status status = BASE_OK;

    p->seed = (uint64_t)common->seed;
    p->logits = app_take(NULL, batch, s->classes * sizeof *p->logits);
    p->answer = app_take(NULL, batch, sizeof *p->answer);
    p->order = app_take(NULL, s->patches, sizeof *p->order);
    /* This mode keeps what each router saw. */
    status = vit_run_create(&p->run, s->network.model, batch, VIT_MODE_INPUT_GRADIENT,
                            precision, err);
    if (status == BASE_OK && s->args->against)
        status = vit_run_create(&p->other, s->other.model, batch, VIT_MODE_INFER, precision,
                                err);
    if (status == BASE_OK && s->args->against)
        status = measure_trace_create(&p->trace, s->layers,
                                      batch * vit_config_tokens(s->network.config),
                                      s->experts, err);
    return status;
}

static void pass_close(pass *p)
{
    vit_run_destroy(p->run);
    vit_run_destroy(p->other);
    measure_trace_destroy(&p->trace);
    data_image_destroy(&p->picture);
}

base_status app_study_run(app_study *s, const app_common *common, base_error *err)
{
    data_loader_config config = app_network_loader(&s->network, common);
    data_loader *loader = NULL;
    app_progress progress = {0};
    pass p = {0};
    data_batch batch;
    const double started = base_seconds();
    base_status status = pass_open(&p, s, common, err);

    config.skip_bad = s->args->bad_samples == 1;
    config.log = app_progress_log;
    config.log_user = &progress;
    if (status == BASE_OK)
        status = data_loader_create(&loader, s->source, &config, err);
    if (status == BASE_OK)
        app_progress_start(&progress, common, "inspect", "images", s->planned, 0);
    while (status == BASE_OK && !(s->interrupted = app_stop_asked())) {
        status = data_loader_next(loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        status = batch_add(s, &p, &batch, err);
        app_progress_update(&progress, s->images, "top-1 %.2f %%",
                            100 * (double)s->right / (double)(s->images ? s->images : 1));
    }
    app_progress_end(&progress);
    data_loader_destroy(loader);
    pass_close(&p);
    s->seconds = base_seconds() - started;
    if (status == BASE_OK && s->images == 0 && s->bad > 0)
        status = base_fail(err, BASE_FORMAT, "none of the %zu images can be used", s->bad);
    else if (status == BASE_OK && s->images == 0)
        status = base_fail(err, BASE_INTERRUPTED, "stopped before the first image");
    if (status == BASE_OK && s->bad > 0)
        app_note(common, "vmoe inspect: %zu images could not be used and count as wrong",
                 s->bad);
    return status;
}
