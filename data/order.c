/* order.c - which sample stands where in an epoch (data.md 3). A permutation is a function
 * of (seed, epoch) alone, so resuming computes it again and reads nothing. Free to change:
 * when permutations are made. Relied on elsewhere, for ever: which ones they are. */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The first limit numbers of a seeded permutation, ascending: the same ones at every run.
 */
static bool choose_subset(data_order *order, size_t samples)
{
    base_rng rng = base_rng_make(order->seed, BASE_PURPOSE_SUBSET, 0, 0, 0);
    uint32_t *all = base_alloc(samples, sizeof *all);

    order->subset = base_alloc(order->count, sizeof *order->subset);
    if (all && order->subset) {
        base_rng_permutation(&rng, all, samples);
        memcpy(order->subset, all, order->count * sizeof *all);
        qsort(order->subset, order->count, sizeof *order->subset, ascending);
    }
    base_free(all);
    return all && order->subset;
}

base_status data_order_create(data_order *out, size_t samples, size_t limit, uint64_t seed,
                              size_t slots, base_error *err)
{
    data_order order = {.seed = seed, .count = samples, .slots = slots};
    bool good = true;

    if (limit > 0 && limit < samples) {
        order.count = limit;
        good = choose_subset(&order, samples);
    }
    if (good && slots > 0) {
        order.epoch = base_alloc(slots, sizeof *order.epoch);
        order.permutation = base_alloc(slots, sizeof *order.permutation);
        good = order.epoch && order.permutation;
    }
    for (size_t i = 0; i < slots && good; i++) {
        order.epoch[i] = UINT64_MAX;
        order.permutation[i] = base_alloc(order.count, sizeof **order.permutation);
        good = order.permutation[i] != NULL;
    }
    if (!good) {
        data_order_destroy(&order);
        return base_fail(err, BASE_NO_MEMORY, "no memory for the order of %zu samples",
                         samples);
    }
    *out = order;
    return BASE_OK;
}

void data_order_destroy(data_order *order)
{
    for (size_t i = 0; order->permutation && i < order->slots; i++)
        base_free(order->permutation[i]);
    base_free(order->permutation);
    base_free(order->epoch);
    base_free(order->subset);
    *order = (data_order){0};
}

void data_order_prepare(data_order *order, uint64_t epoch)
{
    if (order->slots == 0)
        return;
    const size_t slot = (size_t)(epoch % order->slots);
    if (order->epoch[slot] == epoch)
        return;
    base_rng rng = base_rng_make(order->seed, BASE_PURPOSE_ORDER, epoch, 0, 0);
    base_rng_permutation(&rng, order->permutation[slot], order->count);
    order->epoch[slot] = epoch;
}

uint32_t data_order_sample(const data_order *order, uint64_t epoch, size_t position)
{
    const uint32_t at = order->slots == 0
                            ? (uint32_t)position
                            : order->permutation[epoch % order->slots][position];

    return order->subset ? order->subset[at] : at;
}

size_t data_source_planned(const data_source *source, size_t limit)
{
    const size_t all = data_source_count(source);

    return limit > 0 && limit < all ? limit : all;
}

base_status data_source_subset(uint32_t **out, size_t *count, const data_source *source,
                               size_t limit, uint64_t seed, base_error *err)
{
    data_order order = {0};
    base_status status =
        data_order_create(&order, data_source_count(source), limit, seed, 0, err);

    if (status != BASE_OK)
        return status;
    uint32_t *samples = base_alloc(order.count, sizeof *samples);
    for (size_t i = 0; samples && i < order.count; i++)
        samples[i] = data_order_sample(&order, 0, i);
    if (samples) {
        *out = samples;
        *count = order.count;
    } else {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for the order of %zu samples",
                           order.count);
    }
    data_order_destroy(&order);
    return status;
}
