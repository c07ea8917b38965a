/* contingency.c - tables of classes by experts: mutual information, entropies, purity, and
 * what chance alone would show (routing.md 12, class usage; Cover and Thomas 2006, chapter
 * 2). */
#include "measure/measure.h"

#include <math.h>
#include <string.h>

static double entropy_term(double p)
{
    return p > 0 ? -p * log(p) : 0;
}

measure_table measure_table_of(const uint64_t *table, size_t classes, size_t experts)
{
    measure_table out = {0};
    double joint = 0, best = 0;

    for (size_t i = 0; i < classes * experts; i++)
        out.total += (double)table[i];
    if (!(out.total > 0))
        return out;
    for (size_t c = 0; c < classes; c++) {
        double sum = 0;

        for (size_t e = 0; e < experts; e++) {
            sum += (double)table[c * experts + e];
            joint += entropy_term((double)table[c * experts + e] / out.total);
        }
        out.class_entropy += entropy_term(sum / out.total);
    }
    for (size_t e = 0; e < experts; e++) {
        uint64_t sum = 0, largest = 0;

        for (size_t c = 0; c < classes; c++) {
            const uint64_t n = table[c * experts + e];

            sum += n;
            largest = n > largest ? n : largest;
        }
        out.expert_entropy += entropy_term((double)sum / out.total);
        best += (double)largest;
    }
    /* Rounding may leave the difference a hair below 0. */
    out.mutual = fmax(out.class_entropy + out.expert_entropy - joint, 0);
    out.normalised = out.class_entropy > 0 && out.expert_entropy > 0
                         ? out.mutual / sqrt(out.class_entropy * out.expert_entropy)
                         : 0;
    out.expert_given_class = fmax(out.expert_entropy - out.mutual, 0);
    out.class_given_expert = fmax(out.class_entropy - out.mutual, 0);
    out.purity = best / out.total;
    return out;
}

/* The table when item i has the label of item order[i]. */
static void table_fill(uint64_t *table, const uint32_t *counts, const int32_t *labels,
                       const uint32_t *order, size_t items, size_t classes, size_t experts)
{
    memset(table, 0, classes * experts * sizeof *table);
    for (size_t i = 0; i < items; i++) {
        uint64_t *row = table + (size_t)labels[order[i]] * experts;

        for (size_t e = 0; e < experts; e++)
            row[e] += counts[i * experts + e];
    }
}

base_status measure_table_chance(measure_table *mean, const uint32_t *counts,
                                 const int32_t *labels, size_t items, size_t classes,
                                 size_t experts, uint64_t seed, base_error *err)
{
    const double n = MEASURE_SHUFFLES;
    uint64_t *table = base_alloc(classes * experts, sizeof *table);
    uint32_t *order = base_alloc(items, sizeof *order);
    measure_table sum = {0};

    if (!table || !order) {
        base_free(table);
        base_free(order);
        return base_fail(err, BASE_NO_MEMORY, "no memory to shuffle %zu labels", items);
    }
    for (uint64_t shuffle = 0; shuffle < MEASURE_SHUFFLES; shuffle++) {
        base_rng rng = base_rng_make(seed, BASE_PURPOSE_SUBSET, shuffle, experts, 12);

        base_rng_permutation(&rng, order, items);
        table_fill(table, counts, labels, order, items, classes, experts);
        const measure_table s = measure_table_of(table, classes, experts);
        sum.total += s.total / n;
        sum.mutual += s.mutual / n;
        sum.normalised += s.normalised / n;
        sum.class_entropy += s.class_entropy / n;
        sum.expert_entropy += s.expert_entropy / n;
        sum.expert_given_class += s.expert_given_class / n;
        sum.class_given_expert += s.class_given_expert / n;
        sum.purity += s.purity / n;
    }
    base_free(table);
    base_free(order);
    *mean = sum;
    return BASE_OK;
}

/* Below this share of the mean load an expert is dead (routing.md 12) and its lifts mean
 * nothing. */
static const double dead_share = 0.01;

void measure_lifts(measure_lift *out, size_t most, const uint64_t *table, size_t classes,
                   size_t experts)
{
    double of_expert[VIT_EXPERTS_MAX] = {0}, all = 0;

    for (size_t i = 0; i < experts * most; i++)
        out[i] = (measure_lift){0};
    for (size_t i = 0; i < classes * experts; i++) {
        of_expert[i % experts] += (double)table[i];
        all += (double)table[i];
    }
    for (size_t c = 0; c < classes; c++) {
        double of_class = 0;

        for (size_t e = 0; e < experts; e++)
            of_class += (double)table[c * experts + e];
        for (size_t e = 0; e < experts && of_class > 0; e++) {
            measure_lift *top = out + e * most;
            const double share = (double)table[c * experts + e] / of_class;
            const bool dead = of_expert[e] * (double)experts < dead_share * all;
            const double lift = dead ? 0 : share / (of_expert[e] / all);
            size_t at = most;

            while (at > 0 && lift > top[at - 1].lift)
                at--;
            if (at == most)
                continue;
            memmove(top + at + 1, top + at, (most - 1 - at) * sizeof *top);
            top[at] = (measure_lift){c, lift, share};
        }
    }
}
