/* usage.c - which experts serve which classes: fills the table of classes by experts that
 * contingency.c measures (routing.md 12). A finite sample shows some information where
 * there is none; its size is the mean over shuffled labels, and the shuffles are whole
 * images, since the tokens of one image share their label. */
#include "measure/measure.h"

#include <math.h>

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

void measure_usage_add(measure_usage *usage, int32_t label, const vit_routing *routing,
                       size_t image)
{
    const size_t first = image * routing->tokens_per_image;
    const size_t last = first + routing->tokens_per_image;
    uint64_t *row = usage->table + (size_t)label * usage->experts;
    const bool kept = usage->counts && usage->labels && usage->images < usage->room;
    uint32_t *count = kept ? usage->counts + usage->images * usage->experts : NULL;

    for (uint32_t a = routing->start[first]; a < routing->start[last]; a++) {
        if (!routing->kept[a])
            continue;
        row[routing->expert[a]]++;
        if (count)
            count[routing->expert[a]]++;
    }
    if (kept)
        usage->labels[usage->images] = label;
    usage->images++;
}

measure_usage_metrics measure_usage_table(const uint64_t *table, size_t classes,
                                          size_t experts)
{
    const measure_table s = measure_table_of(table, classes, experts);

    return (measure_usage_metrics){.mutual = s.mutual,
                                   .mutual_extra = NAN,
                                   .normalised = s.normalised,
                                   .purity = s.purity};
}

measure_usage_metrics measure_usage_summary(const measure_usage *usage, uint64_t seed)
{
    measure_usage_metrics out =
        measure_usage_table(usage->table, usage->classes, usage->experts);
    measure_table chance;

    if (usage->counts && usage->labels && usage->images <= usage->room &&
        usage->images > 0 &&
        measure_table_chance(&chance, usage->counts, usage->labels, usage->images,
                             usage->classes, usage->experts, seed, NULL) == BASE_OK)
        out.mutual_extra = out.mutual - chance.mutual;
    return out;
}
