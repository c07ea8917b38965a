/* agreement.c - routing of a changed picture against that of the clean one. Follows
 * routing.md 12; 1 - overlap is the routing change of Puigcerver et al. 2022, "On the
 * Adversarial Robustness of Mixture of Experts". Relied on elsewhere: sums run in the order
 * of layers and tokens. */
#include "measure/measure.h"

#include <math.h>
#include <string.h>

enum { WORDS = MEASURE_MASK_WORDS };

measure_agreement_means measure_agreement_of(const measure_agreement *a, int which)
{
    const double n = a->tokens[which]; /* 0: nothing was added, all are NaN */

    return (measure_agreement_means){a->overlap[which] / n, a->first[which] / n,
                                     a->moved[which] / n};
}

measure_agreement_means measure_agreement_all(const measure_agreement *a)
{
    const measure_agreement both = {.tokens[0] = a->tokens[0] + a->tokens[1],
                                    .overlap[0] = a->overlap[0] + a->overlap[1],
                                    .first[0] = a->first[0] + a->first[1],
                                    .moved[0] = a->moved[0] + a->moved[1]};

    return measure_agreement_of(&both, 0);
}

void measure_agreement_join(measure_agreement *a, const measure_agreement *b)
{
    for (int i = 0; i < 2; i++) {
        a->tokens[i] += b->tokens[i];
        a->overlap[i] += b->overlap[i];
        a->first[i] += b->first[i];
        a->moved[i] += b->moved[i];
    }
}

base_status measure_trace_create(measure_trace *trace, size_t layers, size_t tokens,
                                 size_t experts, base_error *err)
{
    const size_t rows = layers * tokens;
    measure_trace made = {.layers = layers, .tokens = tokens, .experts = experts};

    made.mask = base_alloc(rows, WORDS * sizeof *made.mask);
    made.first = base_alloc(rows, sizeof *made.first);
    made.probs = base_alloc(rows, experts * sizeof *made.probs);
    *trace = made;
    if (made.mask && made.first && made.probs)
        return BASE_OK;
    measure_trace_destroy(trace);
    return base_fail(err, BASE_NO_MEMORY, "no memory for the routing of %zu tokens",
                     tokens);
}

void measure_trace_destroy(measure_trace *trace)
{
    base_free(trace->mask);
    base_free(trace->first);
    base_free(trace->probs);
    *trace = (measure_trace){0};
}

/* The kept experts of token t as bits, and the first of them. */
static int16_t choice_of(uint64_t mask[WORDS], const vit_routing *r, size_t t)
{
    int16_t first = -1;

    memset(mask, 0, WORDS * sizeof *mask);
    for (size_t a = r->start[t]; a < r->start[t + 1]; a++) {
        const unsigned expert = r->expert[a];

        if (!r->kept[a])
            continue;
        if (first < 0)
            first = (int16_t)expert;
        mask[expert / 64] |= (uint64_t)1 << expert % 64;
    }
    return first;
}

void measure_trace_take(measure_trace *trace, const vit_run *run)
{
    for (size_t l = 0; l < trace->layers; l++) {
        const vit_routing r = vit_run_routing(run, l);
        const size_t row = l * trace->tokens;

        trace->tokens_per_image = r.tokens_per_image;
        memcpy(trace->probs + row * trace->experts, r.probs,
               r.tokens * trace->experts * sizeof *trace->probs);
        for (size_t t = 0; t < r.tokens; t++)
            trace->first[row + t] = choice_of(trace->mask + (row + t) * WORDS, &r, t);
    }
}

bool measure_trace_same(const measure_trace *a, const measure_trace *b, size_t layer,
                        size_t token)
{
    const size_t row = layer * a->tokens + token;

    return memcmp(a->mask + row * WORDS, b->mask + row * WORDS, WORDS * sizeof *a->mask) ==
           0;
}

/* |S and S'| / |S or S'|. */
static double overlap_of(const uint64_t *a, const uint64_t *b)
{
    int both = 0, any = 0;

    for (size_t w = 0; w < WORDS; w++) {
        both += __builtin_popcountll(a[w] & b[w]);
        any += __builtin_popcountll(a[w] | b[w]);
    }
    return any > 0 ? (double)both / any : 0;
}

void measure_trace_compare(measure_agreement *agreement, const measure_trace *trace,
                           const vit_run *run, size_t image, bool flipped)
{
    uint64_t mask[WORDS];

    for (size_t l = 0; l < trace->layers; l++) {
        const vit_routing r = vit_run_routing(run, l);
        const size_t n = r.tokens_per_image, row = l * trace->tokens;
        measure_agreement *a = &agreement[l];

        if (r.soft.is_soft)
            continue; /* assigns nothing: there is nothing to agree on */

        for (size_t t = image * n; t < (image + 1) * n; t++) {
            const double *p = trace->probs + (row + t) * trace->experts;
            const double *q = r.probs + t * trace->experts;
            const int16_t first = choice_of(mask, &r, t);
            double moved = 0;

            for (size_t e = 0; e < trace->experts; e++)
                moved += fabs(p[e] - q[e]);
            a->tokens[flipped] += 1;
            a->overlap[flipped] += overlap_of(mask, trace->mask + (row + t) * WORDS);
            a->first[flipped] += first == trace->first[row + t];
            a->moved[flipped] += moved / 2;
        }
    }
}
