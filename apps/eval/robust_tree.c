/* robust_tree.c - accuracy on the files of an ImageNet-C tree: the published ones, or those
 * of `vmoe corrupt`. The pictures are of the network's size already and are taken as they
 * are; others are resized to it (corruptions.md 8). Relied on elsewhere: a missing part is
 * named, never left out. */
#include "apps/eval/internal.h"

/* The resize that a part's pictures need: none when the first one has the network's
 * size. */
static base_status resize_of(size_t *out, const data_source *source, size_t size,
                             base_error *err)
{
    data_reader reader = {0};
    const base_status status = data_reader_named(&reader, source, 0, err);

    if (status == BASE_OK)
        *out = reader.image.width == size && reader.image.height == size ? 0 : size;
    data_reader_close(&reader);
    return status;
}

static base_status part_run(app_robust *r, measure_cell *cell, vit_run *run,
                            const data_source *source, const app_common *common,
                            bool skip_bad, app_progress *progress, uint64_t *done,
                            base_error *err)
{
    data_loader_config config = app_network_loader(r->network, common, skip_bad, progress);
    data_loader *loader = NULL;
    data_batch batch;
    base_status status = resize_of(&config.resize, source, r->network->size, err);

    if (status == BASE_OK)
        status = data_loader_create(&loader, source, &config, err);
    while (status == BASE_OK && !(r->interrupted = app_stop_asked())) {
        status = data_loader_next(loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        const double started = base_seconds();
        status =
            vit_run_forward(run, r->logits, batch.images, batch.count, &(vit_step){0}, err);
        r->network_seconds += base_seconds() - started;
        if (status == BASE_OK)
            status = app_robust_add(r, cell, run, r->logits, &batch, source, false, err);
        *done += batch.count;
        app_progress_update(progress, *done, "%s %d: top-1 %.1f %%",
                            corrupt_kind_name(cell->pair.kind), cell->pair.severity,
                            100 * measure_score_top1(&cell->score));
    }
    if (loader)
        r->tree_bad += data_loader_counts(loader).bad;
    data_loader_destroy(loader);
    return status;
}

size_t app_robust_part(const data_imagenet_c *tree, corrupt_pair pair)
{
    corrupt_kind kind;

    for (size_t p = 0; p < data_imagenet_c_count(tree); p++)
        if (corrupt_kind_find(&kind, data_imagenet_c_corruption(tree, p)) &&
            kind == pair.kind && data_imagenet_c_severity(tree, p) == pair.severity)
            return p;
    return SIZE_MAX;
}

base_status app_robust_tree(app_robust *r, vit_run *run, const app_common *common,
                            bool skip_bad, base_error *err)
{
    data_source_options options = app_network_options(r->network);
    const data_imagenet_c *tree = r->tree;
    app_progress progress = {0};
    size_t expected = 0;
    uint64_t done = 0;
    base_status status = BASE_OK;

    options.split = options.val_labels = options.label_key = NULL; /* of --data */
    for (size_t c = 0; c < r->selection.count && status == BASE_OK && !r->interrupted;
         c++) {
        const size_t part = app_robust_part(tree, r->cell[c].pair);
        data_source *source = NULL;

        status = data_imagenet_c_source(&source, tree, part, &options, err);
        if (status == BASE_OK && data_source_classes(source) > r->network->classes)
            status = base_fail(
                err, BASE_MISMATCH, "'%s' has %zu classes, expected the %zu of '%s'",
                data_imagenet_c_path(tree, part), data_source_classes(source),
                r->network->classes, r->network->path);
        if (status == BASE_OK && expected == 0) {
            expected = data_source_count(source);
            app_data_told(common, "eval --imagenet-c", source);
            app_progress_start(
                &progress, common, "eval", "images",
                r->selection.count * data_source_planned(source, (size_t)common->limit), 0);
        }
        if (status == BASE_OK && data_source_count(source) != expected)
            status = base_fail(err, BASE_MISMATCH,
                               "'%s' has %zu images, the parts before it %zu: the tree is "
                               "not complete",
                               data_imagenet_c_path(tree, part), data_source_count(source),
                               expected);
        if (status == BASE_OK)
            status = part_run(r, &r->cell[c], run, source, common, skip_bad, &progress,
                              &done, err);
        data_source_close(source);
    }
    app_progress_end(&progress);
    return status;
}
