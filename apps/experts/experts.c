/* experts.c - vmoe inspect --experts from its options to its results. One pass over the
 * data collects counts of classes by experts, the router's inputs of some tokens, pictures;
 * then what they tell: mutual information and its kin, lifts, linear probes, embeddings
 * (routing.md 11 and 12). */
#include "apps/experts/internal.h"

#include <string.h>

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

static base_status layers_create(app_study *s, const app_common *common, base_error *err)
{
    size_t blocks[VIT_DEPTH_MAX];
    const size_t layers = app_network_blocks(blocks, s->network.config);
    base_status status =
        measure_tokens_create(&s->tokens, s->network.config, s->planned,
                              (size_t)s->args->tokens, (uint64_t)common->seed, err);

    s->layer = app_take(NULL, layers, sizeof *s->layer);
    for (; s->layers < layers; s->layers++) {
        app_study_layer *layer = &s->layer[s->layers];

        layer->block = blocks[s->layers];
        for (int kind = 0; kind < APP_STUDY_KINDS && status == BASE_OK; kind++)
            if (kind != APP_STUDY_CLASS_TOKEN || s->tokens.first > 0)
                status = measure_usage_create(&layer->usage[kind], s->planned, s->classes,
                                              s->experts, err);
        layer->patch = app_take(NULL, s->experts * APP_STUDY_SHOTS, sizeof *layer->patch);
        layer->example =
            app_take(NULL, s->experts * APP_STUDY_EXAMPLES, sizeof *layer->example);
        layer->top = app_take(NULL, s->experts * APP_STUDY_TOP, sizeof *layer->top);
    }
    s->taken = app_take(NULL, s->tokens.patches, sizeof *s->taken);
    return status;
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

static base_status study_open(app_study *s, const char *model, const app_study_args *args,
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
    if (args->against)
        status = other_open(s, common, err);
    if (status == BASE_OK)
        status = app_network_data(&s->source, &s->network, args->data, err);
    if (status != BASE_OK)
        return status;
    s->planned = data_source_planned(s->source, (size_t)common->limit);
    s->experts = (size_t)c->moe.experts;
    s->classes = s->network.classes;
    s->shot_side = (rows < 3 ? rows : 3) * (size_t)c->patch;
    s->example_side = s->network.size / ((s->network.size + 95) / 96);
    return layers_create(s, common, err);
}

static void study_close(app_study *s)
{
    for (size_t l = 0; l < s->layers; l++) {
        measure_tokens_layer_destroy(&s->layer[l].tokens);
        for (int kind = 0; kind < APP_STUDY_KINDS; kind++)
            measure_usage_destroy(&s->layer[l].usage[kind]);
    }
    measure_tokens_destroy(&s->tokens);
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

/* The image's row of each table of the layer. */
static void tables_add(app_study *s, app_study_layer *layer, const vit_routing *r,
                       size_t image, int32_t label)
{
    const size_t first = image * r->tokens_per_image, patches = first + s->tokens.first;
    uint32_t counts[VIT_EXPERTS_MAX] = {0}, most[VIT_EXPERTS_MAX] = {0};
    size_t best = 0;

    tokens_count(counts, r, patches, first + r->tokens_per_image);
    measure_usage_count(&layer->usage[APP_STUDY_PATCHES], label, counts);
    for (size_t i = 1; i < s->experts; i++)
        best = counts[i] > counts[best] ? i : best;
    most[best] = counts[best] > 0;
    measure_usage_count(&layer->usage[APP_STUDY_IMAGE], label, most);
    if (s->tokens.first == 0)
        return;
    memset(counts, 0, sizeof counts);
    tokens_count(counts, r, first, patches);
    measure_usage_count(&layer->usage[APP_STUDY_CLASS_TOKEN], label, counts);
}

/* ---- the pass ------------------------------------------------------------------------ */

typedef struct pass {
    vit_run *run, *other;
    measure_trace trace; /* of run, for other */
    float *logits;       /* [batch, classes] */
    size_t *answer;      /* [batch] */
    data_image picture;
} pass;

static base_status image_add(app_study *s, pass *p, const data_batch *batch, size_t i,
                             base_error *err)
{
    const size_t floats =
        (size_t)s->network.config->channels * s->network.size * s->network.size;
    const uint32_t sample = (uint32_t)batch->samples[i];
    const int32_t label = data_source_label(s->source, sample);
    base_status status = BASE_OK;
    measure_verdict verdict;
    bool made = false;

    if (batch->bad[i]) {
        s->bad++;
        return BASE_OK;
    }
    status = train_judge(&verdict, s->network.path, s->source, sample,
                         p->logits + i * s->classes, s->classes, err);
    if (status != BASE_OK)
        return status;
    p->answer[i] = verdict.predicted;
    s->right += verdict.rank == 0;
    measure_tokens_add(&s->tokens, p->run, i, sample, label, verdict.rank == 0);
    for (size_t l = 0; l < s->layers && status == BASE_OK; l++) {
        const vit_routing r = vit_run_routing(p->run, l);

        tables_add(s, &s->layer[l], &r, i, label);
        status = app_study_pictures(s, &s->layer[l], &r, i, sample,
                                    batch->images + i * floats, &p->picture, &made, err);
    }
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
        vit_routing r = vit_run_routing(p->run, l);
        r.left_out = batch->bad;
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

    p->logits = app_take(NULL, batch, s->classes * sizeof *p->logits);
    p->answer = app_take(NULL, batch, sizeof *p->answer);
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

static base_status study_run(app_study *s, const app_common *common, base_error *err)
{
    app_progress progress = {0};
    data_loader_config config =
        app_network_loader(&s->network, common, s->args->bad_samples == 1, &progress);
    data_loader *loader = NULL;
    pass p = {0};
    data_batch batch;
    const double started = base_seconds();
    base_status status = pass_open(&p, s, common, err);

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
        app_note(common, "vmoe inspect: %zu image%s could not be used and count%s as wrong",
                 s->bad, s->bad == 1 ? "" : "s", s->bad == 1 ? "s" : "");
    return status;
}

/* ---- what was collected as numbers --------------------------------------------------- */

static base_status study_measure(app_study *s, const app_common *common, base_error *err)
{
    const size_t wanted = (size_t)s->args->points;
    app_progress progress = {0};
    base_status status = BASE_OK;

    s->points = wanted < s->tokens.count ? wanted : s->tokens.count;
    app_progress_start(&progress, common, "probes and embeddings", "layers", s->layers, 0);
    for (size_t l = 0; l < s->layers && status == BASE_OK; l++) {
        app_study_layer *layer = &s->layer[l];

        app_progress_update(&progress, l, "block %zu", layer->block);
        for (int kind = 0; kind < APP_STUDY_KINDS; kind++)
            if (layer->usage[kind].table)
                layer->of[kind] =
                    measure_usage_summary(&layer->usage[kind], (uint64_t)common->seed);
        measure_lifts(layer->top, APP_STUDY_TOP, layer->usage[APP_STUDY_PATCHES].table,
                      s->classes, s->experts);
        status = measure_tokens_layer_make(&layer->tokens, &s->tokens, l, s->points,
                                           s->experts, s->classes, err);
    }
    app_progress_end(&progress);
    return status;
}

/* ---- the command --------------------------------------------------------------------- */

static base_status tell(const app_study *s, const app_common *common, base_error *err)
{
    show_document *document = NULL;
    base_status status = app_study_document(&document, s, common, err);

    if (status == BASE_OK)
        status = app_document_write(common, document, &app_study_view, s->args->html, err);
    if (status == BASE_OK && s->args->csv)
        status = app_study_csv(s, document, s->args->csv, err);
    show_document_destroy(document);
    return status;
}

base_status app_study_command(const char *model, const app_study_args *args,
                              const app_common *common, base_error *err)
{
    app_study study = {0};
    base_status status = app_outputs_check(common, args->html, NULL, err);

    if (status == BASE_OK && args->csv)
        status = base_folder_make(args->csv, err);
    app_stop_install();
    if (status == BASE_OK)
        status = study_open(&study, model, args, common, err);
    if (status == BASE_OK)
        app_data_told(common, "inspect", study.source);
    if (status == BASE_OK)
        status = study_run(&study, common, err);
    if (status == BASE_OK)
        status = study_measure(&study, common, err);
    if (status == BASE_OK)
        status = tell(&study, common, err);
    if (status == BASE_OK && study.interrupted)
        status = base_fail(err, BASE_INTERRUPTED,
                           "stopped after %zu of %zu images, the figures are of those",
                           study.images, study.planned);
    study_close(&study);
    return status;
}
