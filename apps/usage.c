/* usage.c - which experts serve which classes: the table of classes by experts, mutual
 * information and purity (routing.md 12). A finite sample shows some information where
 * there is none; its size is the mean over shuffled labels, and the shuffles are whole
 * images, since the tokens of one image share their label. */
#include "apps/usage_internal.h"

#include <math.h>
#include <string.h>

/* Above this the counts of single images are not kept. */
static const size_t counts_limit_bytes = (size_t)256 << 20;

base_status app_usage_create(app_usage *usage, size_t images, size_t classes,
                             size_t experts, base_error *err)
{
    app_usage made = {.classes = classes, .experts = experts, .room = images};
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

void app_usage_destroy(app_usage *usage)
{
    base_free(usage->table);
    base_free(usage->counts);
    base_free(usage->labels);
    *usage = (app_usage){0};
}

void app_usage_add(app_usage *usage, int32_t label, const vit_routing *routing,
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

static double entropy_term(double p)
{
    return p > 0 ? -p * log(p) : 0;
}

app_usage_metrics app_usage_table(const uint64_t *table, size_t classes, size_t experts)
{
    app_usage_metrics out = {.mutual_extra = NAN};
    double all = 0, of_class = 0, of_expert = 0, joint = 0, best = 0;

    for (size_t i = 0; i < classes * experts; i++)
        all += (double)table[i];
    if (!(all > 0))
        return out;
    for (size_t c = 0; c < classes; c++) {
        double sum = 0;

        for (size_t e = 0; e < experts; e++) {
            sum += (double)table[c * experts + e];
            joint += entropy_term((double)table[c * experts + e] / all);
        }
        of_class += entropy_term(sum / all);
    }
    for (size_t e = 0; e < experts; e++) {
        uint64_t sum = 0, largest = 0;

        for (size_t c = 0; c < classes; c++) {
            const uint64_t n = table[c * experts + e];

            sum += n;
            largest = n > largest ? n : largest;
        }
        of_expert += entropy_term((double)sum / all);
        best += (double)largest;
    }
    /* MI = H(class) + H(expert) - H(class, expert); rounding may leave it a hair below
     * 0. */
    out.mutual = fmax(of_class + of_expert - joint, 0);
    out.normalised =
        of_class > 0 && of_expert > 0 ? out.mutual / sqrt(of_class * of_expert) : 0;
    out.purity = best / all;
    return out;
}

/* The mean MI when the labels are dealt out to the images anew; NaN without memory. */
static double mutual_of_shuffled(const app_usage *usage, uint64_t seed)
{
    const size_t cells = usage->classes * usage->experts;
    uint64_t *table = base_alloc(cells, sizeof *table);
    uint32_t *order = base_alloc(usage->images, sizeof *order);
    double sum = 0;

    for (uint64_t shuffle = 0; table && order && shuffle < APP_USAGE_SHUFFLES; shuffle++) {
        base_rng rng =
            base_rng_make(seed, BASE_PURPOSE_SUBSET, shuffle, usage->experts, 12);

        base_rng_permutation(&rng, order, usage->images);
        memset(table, 0, cells * sizeof *table);
        for (size_t i = 0; i < usage->images; i++) {
            uint64_t *row = table + (size_t)usage->labels[order[i]] * usage->experts;

            for (size_t e = 0; e < usage->experts; e++)
                row[e] += usage->counts[i * usage->experts + e];
        }
        sum += app_usage_table(table, usage->classes, usage->experts).mutual;
    }
    const bool good = table && order;
    base_free(table);
    base_free(order);
    return good ? sum / APP_USAGE_SHUFFLES : (double)NAN;
}

app_usage_metrics app_usage_summary(const app_usage *usage, uint64_t seed)
{
    app_usage_metrics out = app_usage_table(usage->table, usage->classes, usage->experts);

    if (usage->counts && usage->labels && usage->images <= usage->room && usage->images > 0)
        out.mutual_extra = out.mutual - mutual_of_shuffled(usage, seed);
    return out;
}
