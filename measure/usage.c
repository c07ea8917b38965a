/* usage.c - which experts serve which classes: fills the table of classes by experts that
 * contingency.c measures (routing.md 12). A finite sample shows some information where
 * there is none; its size is the mean over shuffled labels, and the shuffles are whole
 * images, since the tokens of one image share their label. */
#include "measure/measure.h"

#include <math.h>
#include <string.h>

/* Above this the counts of single images are not kept. */
static const size_t counts_limit_bytes = (size_t)256 << 20;

base_status measure_usage_create(measure_usage *usage, size_t images, size_t classes,
                                 size_t experts, base_error *err)
{
    measure_usage made = {.classes = classes, .experts = experts, .room = images};
    size_t bytes = 0;

    made.table = base_alloc(classes * experts, sizeof *made.table);
    if (!made.table)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu classes by %zu experts",
                         classes, experts);
    if (base_mul_size(&bytes, images, experts * sizeof *made.counts) &&
        bytes <= counts_limit_bytes) {
        made.counts = base_alloc(images, experts * sizeof *made.counts);
        made.labels = base_alloc(images, sizeof *made.labels);
    }
    *usage = made;
    return BASE_OK;
}

void measure_usage_destroy(measure_usage *usage)
{
    base_free(usage->table);
    base_free(usage->counts);
    base_free(usage->labels);
    *usage = (measure_usage){0};
}

void measure_usage_count(measure_usage *usage, int32_t label, const uint32_t *counts)
{
    const size_t experts = usage->experts;
    uint64_t *row = usage->table + (size_t)label * experts;

    for (size_t e = 0; e < experts; e++)
        row[e] += counts[e];
    if (usage->counts && usage->labels && usage->images < usage->room) {
        memcpy(usage->counts + usage->images * experts, counts, experts * sizeof *counts);
        usage->labels[usage->images] = label;
    }
    usage->images++;
}

void measure_usage_add(measure_usage *usage, int32_t label, const vit_routing *routing,
                       size_t image)
{
    const size_t first = routing->start[image * routing->tokens_per_image];
    const size_t last = routing->start[(image + 1) * routing->tokens_per_image];
    uint32_t counts[VIT_EXPERTS_MAX] = {0};

    for (size_t a = first; a < last; a++)
        counts[routing->expert[a]] += routing->kept[a];
    measure_usage_count(usage, label, counts);
}

measure_usage_metrics measure_usage_summary(const measure_usage *usage, uint64_t seed)
{
    const double unknown = (double)NAN;
    measure_usage_metrics out = {
        .found = measure_table_of(usage->table, usage->classes, usage->experts),
        .chance = {unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown}};

    if (usage->counts && usage->labels && usage->images <= usage->room && usage->images > 0)
        measure_table_chance(&out.chance, usage->counts, usage->labels, usage->images,
                             usage->classes, usage->experts, seed, NULL);
    return out;
}
