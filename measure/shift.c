/* shift.c - by how much the routing of changed images differs from that of the clean ones.
 * Follows Puigcerver et al. 2022, "On the adversarial robustness of mixture of experts"
 * (arXiv 2210.10253), appendix, for the change of routing as 1 - IoU; differs: tokens with
 * no expert on either side are left out of the mean and counted. Relied on elsewhere: sums
 * run in the order of images, layers and tokens. */
#include "measure/measure.h"

#include <math.h>
#include <string.h>

enum { WORDS = MEASURE_MASK_WORDS };

double measure_divergence(const double *p, const double *q, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        const double m = (p[i] + q[i]) / 2;

        if (p[i] > 0)
            sum += p[i] / 2 * log(p[i] / m);
        if (q[i] > 0)
            sum += q[i] / 2 * log(q[i] / m);
    }
    return fmax(sum, 0);
}

static double entropy(const double *p, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        if (p[i] > 0)
            sum -= p[i] * log(p[i]);
    return sum;
}

static bool has(const uint64_t *mask, size_t e)
{
    return mask[e / 64] >> (e % 64) & 1;
}

/* One token, row `at` of both traces; its IoU, NaN when there is no expert on either
 * side. */
static double token_add(measure_shift *shift, const measure_trace *clean,
                        const measure_trace *other, size_t at)
{
    const size_t experts = clean->experts;
    const double *p = clean->probs + at * experts, *q = other->probs + at * experts;
    const uint64_t *a = clean->mask + at * WORDS, *b = other->mask + at * WORDS;
    int shared = 0, all = 0;
    double moved = 0;

    for (size_t w = 0; w < WORDS; w++) {
        shared += __builtin_popcountll(a[w] & b[w]);
        all += __builtin_popcountll(a[w] | b[w]);
    }
    for (size_t e = 0; e < experts; e++)
        moved += fabs(p[e] - q[e]);
    shift->tokens += 1;
    shift->gate_l1 += moved;
    shift->js += measure_divergence(p, q, experts);
    shift->entropy[0] += entropy(p, experts);
    shift->entropy[1] += entropy(q, experts);
    shift->changed += memcmp(a, b, WORDS * sizeof *a) != 0;
    shift->top1_changed += clean->first[at] != other->first[at];
    for (size_t e = 0; e < experts && all > 0; e++) {
        shift->usage[0][e] += has(a, e);
        shift->usage[1][e] += has(b, e);
        shift->left[e] += has(a, e) && !has(b, e);
    }
    if (all == 0) {
        shift->empty += 1;
        return (double)NAN;
    }
    shift->iou += (double)shared / all;
    return (double)shared / all;
}

double measure_shift_add(measure_shift *shift, measure_shift *part,
                         const measure_trace *clean, const measure_trace *other,
                         size_t image)
{
    const size_t n = clean->tokens_per_image;
    double sum = 0, count = 0;

    for (size_t l = 0; l < clean->layers; l++) {
        for (size_t t = image * n; t < (image + 1) * n; t++) {
            const size_t at = l * clean->tokens + t;
            const double iou = token_add(&shift[l], clean, other, at);

            if (part)
                token_add(&part[l], clean, other, at);
            if (!isnan(iou)) {
                sum += iou;
                count += 1;
            }
        }
    }
    return count > 0 ? 1 - sum / count : (double)NAN;
}

void measure_shift_assigned(measure_shift *shift, int which, const vit_run *run,
                            size_t image)
{
    for (size_t l = 0; l < vit_run_moe_count(run); l++) {
        const vit_routing r = vit_run_routing(run, l);
        const size_t n = r.tokens_per_image;

        for (size_t a = r.start[image * n]; a < r.start[(image + 1) * n]; a++) {
            shift[l].assigned[which] += 1;
            shift[l].dropped[which] += !r.kept[a];
        }
    }
}
