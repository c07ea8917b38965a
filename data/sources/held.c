/* held.c - a part of a data set held out of it: DATA as "held-N:DATA", N samples drawn once
 * and for all, or "rest-N:DATA", all the others. The draw depends on the number of samples
 * and on N alone, so that what is tuned on the one part was never trained on in the other,
 * whatever the run's seed. Free to change: the words. Relied on elsewhere, for ever: which
 * samples they are. */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

bool data_held_parse(data_held *out, const char **rest, const char *spec)
{
    static const char *const words[] = {"held-", "rest-"};

    *out = (data_held){0};
    *rest = spec;
    for (size_t i = 0; i < 2; i++) {
        const size_t length = strlen(words[i]);
        const size_t digits =
            strncmp(spec, words[i], length) ? 0 : strspn(spec + length, "0123456789");
        char number[24];
        int64_t count = 0;

        if (digits == 0 || digits >= sizeof number || spec[length + digits] != ':')
            continue;
        snprintf(number, sizeof number, "%.*s", (int)digits, spec + length);
        if (!base_parse_int(&count, number))
            continue;
        *out = (data_held){.count = (size_t)count, .rest = i == 1, .given = true};
        *rest = spec + length + digits + 1;
        return true;
    }
    return false;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

base_status data_held_apply(data_source *source, const data_held *held, base_error *err)
{
    const size_t all = source->index.count;
    base_rng rng = base_rng_make(0, BASE_PURPOSE_SUBSET, 1, 0, 0);

    if (held->count == 0 || held->count >= all)
        return base_fail(err, BASE_USAGE,
                         "'%s' has %zu samples, cannot hold out %zu of them, expected 1 to "
                         "%zu",
                         source->path, all, held->count, all > 0 ? all - 1 : 0);
    uint32_t *order = base_alloc(all, sizeof *order);
    if (!order)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the order of %zu samples",
                         all);
    base_rng_permutation(&rng, order, all);
    source->part_count = held->rest ? all - held->count : held->count;
    if (held->rest)
        memmove(order, order + held->count, source->part_count * sizeof *order);
    qsort(order, source->part_count, sizeof *order, ascending);
    source->part = order;
    source->fingerprint = base_key(
        (uint64_t[]){source->fingerprint, (uint64_t)held->rest, (uint64_t)held->count}, 3);
    data_source_note(source, "%zu of %zu samples, %s", source->part_count, all,
                     held->rest ? "those not held out" : "those held out");
    return BASE_OK;
}
