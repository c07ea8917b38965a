/* robust.c - accuracy under corruption, on the fly: each image is decoded once, and every
 * corruption of a batch is made in parallel, goes through the network and is forgotten, so
 * that memory does not grow with the number of corruptions. Relied on elsewhere: the pixels
 * are those that `vmoe corrupt` writes. */
#include "apps/eval/internal.h"

#include <assert.h>
#include <string.h>

enum { SPECIMEN_SIDE = 160, USUAL_SEVERITY = 3 };

/* ---- making -------------------------------------------------------------------------- */

/* The parts of the tree that are asked for; all that are known when no names are given. */
static base_status tree_select(app_selection *out, const data_imagenet_c *tree,
                               const app_robust_args *args, base_error *err)
{
    const bool named = args->corruption.names.count > 0;

    for (size_t i = 0; i < out->count; i++)
        if (app_robust_part(tree, out->pair[i]) == SIZE_MAX)
            return base_fail(err, BASE_IO, "'%s' holds no '%s/%d'", args->tree,
                             corrupt_kind_name(out->pair[i].kind), out->pair[i].severity);
    for (size_t k = 0; k < CORRUPT_KIND_COUNT && !named; k++)
        for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++) {
            const corrupt_pair pair = {(corrupt_kind)k, s};

            if (out->severity[s] && app_robust_part(tree, pair) != SIZE_MAX)
                out->pair[out->count++] = pair;
        }
    if (out->count == 0 && !named)
        return base_fail(err, BASE_FORMAT, "'%s' holds no corruption at these severities",
                         args->tree);
    return BASE_OK;
}

static base_status cells_create(app_robust *r, base_error *err)
{
    base_status status = BASE_OK;

    r->cell = app_take(&r->pool, r->selection.count, sizeof *r->cell);
    for (size_t i = 0; i < r->selection.count && status == BASE_OK; i++)
        status = measure_cell_create(&r->cell[i], r->selection.pair[i], r->network->classes,
                                     r->moe_count, err);
    return status;
}

static base_status buffers_create(app_robust *r, base_error *err)
{
    const vit_config *config = r->network->config;

    r->floats = (size_t)config->channels * r->network->size * r->network->size;
    r->logits = app_take(&r->pool, r->batch, r->network->classes * sizeof *r->logits);
    r->predicted = app_take(&r->pool, r->batch, sizeof *r->predicted);
    r->specimen = app_take(&r->pool, 1 + CORRUPT_KIND_COUNT, sizeof *r->specimen);
    if (!r->args->tree) {
        r->inputs = app_take(&r->pool, r->batch, r->floats * sizeof *r->inputs);
        r->key = app_take(&r->pool, r->batch, sizeof *r->key);
        r->picture = app_take(&r->pool, r->crew.count, sizeof *r->picture);
    }
    data_normalise_table(r->table, config->mean, config->std, (size_t)config->channels);
    if (r->moe_count == 0 || r->args->tree)
        return BASE_OK;
    return measure_trace_create(&r->trace, r->moe_count,
                                r->batch * vit_config_tokens(config),
                                (size_t)config->moe.experts, err);
}

/* Options that would be passed over in silence. */
static base_status args_check(const app_robust_args *args, base_error *err)
{
    const app_corruption *c = &args->corruption;
    const char *stray = args->jpeg > 0   ? "jpeg"
                        : c->frost       ? "frost-dir"
                        : c->preset != 0 ? "preset"
                                         : NULL;

    if (args->tree && stray)
        return base_fail(err, BASE_USAGE,
                         "--%s means nothing with --imagenet-c, whose files are made",
                         stray);
    if (c->severities.count > 0 && !stray)
        stray = "severity";
    if (!args->tree && c->names.count == 0 && stray)
        return base_fail(err, BASE_USAGE, "--%s needs --corrupt NAME%s", stray,
                         strcmp(stray, "severity") == 0 ? " or --imagenet-c DIR" : "");
    return BASE_OK;
}

base_status app_robust_open(app_robust **out, const app_robust_args *args,
                            const app_network *network, const data_source *source,
                            const app_common *common, bool specimens, base_error *err)
{
    base_status status = args_check(args, err);

    *out = NULL;
    if (status != BASE_OK || (args->corruption.names.count == 0 && !args->tree))
        return status;
    app_pool pool = {0};
    app_robust *r = app_take(&pool, 1, sizeof *r);
    r->pool = pool;
    r->args = args;
    r->network = network;
    r->source = source;
    r->batch = (size_t)common->batch;
    r->wants_specimens = specimens && !args->tree;
    r->moe_count = app_network_blocks(r->blocks, network->config);
    status = app_selection_parse(&r->selection, &args->corruption, err);
    if (status == BASE_OK && args->tree)
        status = data_imagenet_c_open(&r->tree, args->tree, err);
    if (status == BASE_OK && args->tree)
        status = tree_select(&r->selection, r->tree, args, err);
    else if (status == BASE_OK)
        status = app_crew_open(&r->crew, &args->corruption, network->size,
                               (uint64_t)common->seed, (size_t)common->threads, err);
    if (status == BASE_OK && !args->tree)
        status = corrupt_crew_check(&r->crew, r->selection.pair, r->selection.count,
                                    network->size, err);
    if (status == BASE_OK)
        status = cells_create(r, err);
    if (status == BASE_OK)
        status = buffers_create(r, err);
    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
        if (r->selection.severity[s] && (r->specimen_severity == 0 || s <= USUAL_SEVERITY))
            r->specimen_severity = s;
    if (status == BASE_OK)
        *out = r;
    else
        app_robust_close(r);
    return status;
}

void app_robust_close(app_robust *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->cell && i < r->selection.count; i++)
        measure_cell_destroy(&r->cell[i]);
    for (size_t t = 0; r->picture && t < r->crew.count; t++)
        data_image_destroy(&r->picture[t]);
    for (size_t i = 0; r->specimen && i < r->specimen_count; i++)
        data_image_destroy(&r->specimen[i].picture);
    measure_trace_destroy(&r->trace);
    data_imagenet_c_close(r->tree);
    corrupt_crew_close(&r->crew);
    app_pool pool = r->pool; /* r is of it */
    app_pool_end(&pool);
}

/* ---- pictures ------------------------------------------------------------------------ */

typedef struct making {
    app_robust *robust;
    const data_batch *batch;
    const corrupt_pair *pair; /* NULL: the images as they are */
} making;

/* Image i of the batch into inputs. */
static base_status input_make(void *user, size_t i, size_t thread, base_error *err)
{
    const making *m = user;
    app_robust *r = m->robust;
    const data_batch *batch = m->batch;
    const corrupt_pair *pair = m->pair;
    const size_t size = r->network->size;
    const unsigned char *clean = batch->bytes + i * size * size * 3;
    float *input = r->inputs + i * r->floats;
    data_image *picture = &r->picture[thread];
    corrupt_worker *worker = r->crew.worker[thread];

    if (batch->bad[i]) { /* counted as wrong; the network gets something finite */
        memset(input, 0, r->floats * sizeof *input);
        return BASE_OK;
    }
    base_status status = data_image_reserve(picture, size, size, 3, err);
    if (status != BASE_OK)
        return status;
    if (pair)
        status = corrupt_apply(worker, picture->pixels, clean, size, size, pair->kind,
                               pair->severity, r->key[i], err);
    else
        memcpy(picture->pixels, clean, size * size * 3);
    if (status == BASE_OK && pair && r->args->jpeg > 0)
        status = corrupt_jpeg_roundtrip(worker, picture->pixels, picture->pixels, size,
                                        size, (int)r->args->jpeg, err);
    if (status == BASE_OK)
        status = data_image_convert(picture, (size_t)r->network->config->channels, err);
    if (status == BASE_OK)
        data_normalise(input, picture, r->table);
    return status;
}

/* All images of the batch; each is made by one thread. */
static base_status inputs_make(app_robust *r, const data_batch *batch,
                               const corrupt_pair *pair, base_error *err)
{
    return app_each(batch->count, r->crew.count, input_make, &(making){r, batch, pair},
                    err);
}

const float *app_robust_feed(app_robust *r, const data_batch *batch)
{
    char name[4200];
    base_error err = {0};

    assert(batch->count <= r->batch && batch->bytes);
    for (size_t i = 0; i < batch->count; i++)
        r->key[i] = corrupt_name_key(
            data_source_relative_name(r->source, batch->samples[i], name, sizeof name));
    /* Fails only for want of memory for one picture a thread, which the check at the start
     * had. */
    const base_status status = inputs_make(r, batch, NULL, &err);
    return status == BASE_OK ? r->inputs : NULL;
}

/* ---- counting ------------------------------------------------------------------------ */

base_status app_robust_add(app_robust *r, measure_cell *cell, const vit_run *run,
                           const float *logits, const data_batch *batch,
                           const data_source *source, bool clean, base_error *err)
{
    const size_t classes = r->network->classes;

    measure_cell_pass(cell, run, batch->bad);
    for (size_t i = 0; i < batch->count; i++) {
        const int32_t label = data_source_label(source, batch->samples[i]);
        measure_verdict verdict;

        if (batch->bad[i]) {
            measure_score_add(&cell->score, label, NULL);
            app_samples_add(r->samples, source, batch->samples[i], NULL, &cell->pair);
            continue;
        }
        const base_status status =
            train_judge(&verdict, r->network->path, source, batch->samples[i],
                        logits + i * classes, classes, err);
        if (status != BASE_OK) {
            base_error_prepend(err, "%s %d: ", corrupt_kind_name(cell->pair.kind),
                               cell->pair.severity);
            return status;
        }
        measure_score_add(&cell->score, label, &verdict);
        app_samples_add(r->samples, source, batch->samples[i], &verdict, &cell->pair);
        if (clean)
            measure_cell_compare(cell, verdict.predicted != r->predicted[i], &r->trace, run,
                                 i);
    }
    return BASE_OK;
}

/* ---- specimens ----------------------------------------------------------------------- */

/* Keeps image i of the batch as it was seen in the last pass. */
static base_status specimen_keep(app_robust *r, const corrupt_pair *pair,
                                 const float *logits, const data_batch *batch, size_t i,
                                 base_error *err)
{
    const size_t side = r->network->size < SPECIMEN_SIDE ? r->network->size : SPECIMEN_SIDE;
    app_example *s = &r->specimen[r->specimen_count++];
    data_scratch scratch = {0};
    base_status status = app_example_fill(
        s, r->network, r->inputs + i * r->floats, logits + i * r->network->classes,
        batch->samples[i], data_source_label(r->source, batch->samples[i]), err);

    s->pair = pair ? *pair : (corrupt_pair){CORRUPT_KIND_COUNT, 0};
    data_image whole = s->picture;
    s->picture = (data_image){0};
    if (status == BASE_OK)
        status = data_resize(&s->picture, &whole, NULL, side, side, NULL,
                             DATA_FILTER_BICUBIC, &scratch, err);
    data_image_destroy(&whole);
    data_scratch_destroy(&scratch);
    return status;
}

/* The first image that is answered rightly, of the first batch; without one, the first. */
static base_status specimen_choose(app_robust *r, const float *logits,
                                   const data_batch *batch, size_t *at, base_error *err)
{
    size_t chosen = SIZE_MAX;

    for (size_t i = 0; i < batch->count; i++) {
        const int32_t label = data_source_label(r->source, batch->samples[i]);
        const bool right = (size_t)label == r->predicted[i];

        if (batch->bad[i] || (chosen != SIZE_MAX && !right))
            continue;
        chosen = i;
        if (right)
            break;
    }
    *at = chosen;
    if (chosen == SIZE_MAX)
        return BASE_OK;
    return specimen_keep(r, NULL, logits, batch, chosen, err);
}

/* ---- a batch ------------------------------------------------------------------------- */

base_status app_robust_batch(app_robust *r, vit_run *run, const float *logits,
                             const data_batch *batch, app_progress *progress,
                             uint64_t *done, base_error *err)
{
    size_t specimen = SIZE_MAX;
    base_status status = BASE_OK;

    for (size_t i = 0; i < batch->count; i++)
        r->predicted[i] =
            measure_arg_max(logits + i * r->network->classes, r->network->classes);
    if (r->moe_count > 0)
        measure_trace_take(&r->trace, run);
    if (r->wants_specimens && r->specimen_count == 0)
        status = specimen_choose(r, logits, batch, &specimen, err);
    for (size_t c = 0; c < r->selection.count && status == BASE_OK; c++) {
        measure_cell *cell = &r->cell[c];

        if (app_stop_asked()) {
            r->interrupted = true;
            break;
        }
        const double started = base_seconds();
        status = inputs_make(r, batch, &cell->pair, err);
        const double made = base_seconds();
        if (status == BASE_OK)
            status = vit_run_forward(run, r->logits, r->inputs, batch->count,
                                     &(vit_step){0}, err);
        r->corrupt_seconds += made - started;
        r->network_seconds += base_seconds() - made;
        if (status == BASE_OK)
            status = app_robust_add(r, cell, run, r->logits, batch, r->source, true, err);
        if (status == BASE_OK && specimen != SIZE_MAX &&
            cell->pair.severity == r->specimen_severity)
            status = specimen_keep(r, &cell->pair, r->logits, batch, specimen, err);
        *done += batch->count;
        app_progress_update(progress, *done, "%s %d: top-1 %.1f %%",
                            corrupt_kind_name(cell->pair.kind), cell->pair.severity,
                            100 * measure_score_top1(&cell->score));
    }
    return status;
}
