/* subset.c - accuracy among the classes that the data has, and telling apart what has none
 * of them. Follows Hendrycks, Zhao, Basart, Steinhardt, Song 2021, "Natural Adversarial
 * Examples", and the evaluation its authors published: logits are cut to the classes whose
 * folders the set has, the softmax is over these alone, and the anomaly score of an image
 * is the negative of its largest probability; ImageNet-O is set against the validation
 * images of its 200 classes, its images being the positives. */
#include "apps/eval/internal.h"

#include <math.h>
#include <string.h>

/* ---- the set ------------------------------------------------------------------------ */

/* Classes with a sample; how many. */
static size_t mark_present(bool *present, const data_source *source, size_t classes)
{
    size_t count = 0;

    for (size_t i = 0; i < data_source_count(source); i++) {
        const int32_t label = data_source_label(source, i);
        if (label < 0 || (size_t)label >= classes || present[label])
            continue;
        present[label] = true;
        count++;
    }
    return count;
}

static base_status open_ood(app_subset *subset, const app_network *network,
                            const data_source *source, base_error *err)
{
    app_network with = *network; /* the same network, but labels are not needed */

    with.data.unlabelled = true;
    with.data.split = with.data.val_labels = NULL; /* of --data */
    with.data.lenient = true;
    base_status status = app_network_data(&subset->ood, &with, subset->data, err);
    if (status != BASE_OK)
        return status;
    subset->mask_count = mark_present(subset->mask, subset->ood, subset->classes);
    if (subset->mask_count == 0) {
        memset(subset->mask, true, subset->classes * sizeof *subset->mask);
        subset->mask_count = subset->classes;
    }
    for (size_t i = 0; i < data_source_count(source); i++) {
        const int32_t label = data_source_label(source, i);
        subset->inside_room += label >= 0 && subset->mask[label];
    }
    if (subset->inside_room == 0)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' has no image of the classes of '%s' to tell its images from",
                         data_source_path(source), subset->data);
    subset->inside = app_take(&subset->pool, subset->inside_room, sizeof *subset->inside);
    subset->outside =
        app_take(&subset->pool, data_source_count(subset->ood), sizeof *subset->outside);
    return BASE_OK;
}

base_status app_subset_open(app_subset *subset, const app_network *network,
                            const data_source *source, const char *ood, base_error *err)
{
    *subset = (app_subset){.classes = network->classes, .data = ood};
    subset->present = app_take(&subset->pool, network->classes, sizeof *subset->present);
    subset->mask = app_take(&subset->pool, network->classes, sizeof *subset->mask);
    subset->count = mark_present(subset->present, source, network->classes);
    return ood ? open_ood(subset, network, source, err) : BASE_OK;
}

void app_subset_close(app_subset *subset)
{
    data_source_close(subset->ood);
    app_pool_end(&subset->pool);
    *subset = (app_subset){0};
}

void app_subset_add(app_subset *subset, int32_t label, const float *logits)
{
    const size_t target = (size_t)label;
    const size_t rank =
        measure_rank_among(logits, subset->present, subset->classes, target);

    subset->top1 += rank == 0;
    subset->top5 += rank < MEASURE_SCORE_TOP;
    if (subset->ood && subset->mask[target] && subset->inside_count < subset->inside_room)
        subset->inside[subset->inside_count++] =
            -measure_confidence_among(logits, subset->mask, subset->classes);
}

static base_status batch_add(app_subset *subset, const data_batch *batch,
                             const float *logits, base_error *err)
{
    char name[1024];

    for (size_t i = 0; i < batch->count; i++) {
        const float *row = logits + i * subset->classes;
        if (batch->bad[i]) {
            subset->bad++;
            continue;
        }
        for (size_t c = 0; c < subset->classes; c++)
            if (!isfinite(row[c]))
                return base_fail(
                    err, BASE_NUMERIC, "logits are not finite for '%s'",
                    data_source_name(subset->ood, batch->samples[i], name, sizeof name));
        subset->outside[subset->outside_count++] =
            -measure_confidence_among(row, subset->mask, subset->classes);
    }
    return BASE_OK;
}

base_status app_subset_ood(app_subset *subset, const app_network *network, vit_run *run,
                           const app_common *common, bool skip_bad, bool *interrupted,
                           base_error *err)
{
    app_progress progress = {0};
    data_loader_config config = app_network_loader(network, common, skip_bad, &progress);
    data_loader *loader = NULL;
    data_batch batch;
    float *logits =
        app_take(&subset->pool, config.batch, network->classes * sizeof *logits);
    uint64_t done = 0;
    base_status status = data_loader_create(&loader, subset->ood, &config, err);

    if (status == BASE_OK)
        app_progress_start(&progress, common, "ood", "images", data_loader_samples(loader),
                           0);
    while (status == BASE_OK && !(*interrupted = app_stop_asked())) {
        status = data_loader_next(loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        status =
            vit_run_forward(run, logits, batch.images, batch.count, &(vit_step){0}, err);
        if (status == BASE_OK)
            status = batch_add(subset, &batch, logits, err);
        done += batch.count;
        app_progress_update(&progress, done, "%s", "");
    }
    app_progress_end(&progress);
    data_loader_destroy(loader);
    if (status == BASE_OK && !*interrupted &&
        (subset->inside_count == 0 || subset->outside_count == 0))
        status = base_fail(err, BASE_FORMAT, "'%s': no image could be used", subset->data);
    if (status == BASE_OK && !*interrupted)
        subset->detection = measure_detection_of(subset->outside, subset->outside_count,
                                                 subset->inside, subset->inside_count);
    return status;
}
