/* augment.c - what training does to a shaped picture: erasing; and to a batch: mixup,
 * cutmix. Follows data.md 8 (timm's mixing and erasing); crop and flip: transform.c. Free
 * to change: the loops. Relied on elsewhere: the order of draws, which is part of every
 * result. */
#include "data/data_internal.h"

#include <math.h>
#include <string.h>

enum { TRIES = 10 }; /* of a random rectangle */

/* Zhong et al. 2017, with timm's larger area. */
static const double erase_area_low = 0.02, erase_area_high = 0.33;
static const double erase_ratio_low = 0.3, erase_ratio_high = 3.3;

static double uniform_in(base_rng *rng, double low, double high)
{
    return low + (high - low) * base_rng_uniform(rng);
}

static double log_uniform_in(base_rng *rng, double low, double high)
{
    return exp(uniform_in(rng, log(low), log(high)));
}

/* ---- one picture --------------------------------------------------------------------- */

void data_erase(float *planes, size_t channels, size_t size, const data_augment *augment,
                base_rng *rng)
{
    const double area = (double)size * (double)size;

    if (!(augment->erase > 0.0) || !(base_rng_uniform(rng) < augment->erase))
        return;
    for (int i = 0; i < TRIES; i++) {
        const double part = area * uniform_in(rng, erase_area_low, erase_area_high);
        const double ratio = log_uniform_in(rng, erase_ratio_low, erase_ratio_high);
        const double h = nearbyint(sqrt(part * ratio));
        const double w = nearbyint(sqrt(part / ratio));
        if (!(h < (double)size && w < (double)size))
            continue;
        const size_t height = (size_t)h, width = (size_t)w;
        const size_t top = (size_t)base_rng_below(rng, size - height + 1);
        const size_t left = (size_t)base_rng_below(rng, size - width + 1);
        for (size_t c = 0; c < channels; c++) {
            for (size_t y = top; y < top + height; y++) {
                float *row = planes + (c * size + y) * size + left;
                for (size_t x = 0; x < width; x++)
                    row[x] = augment->erase_noise ? (float)base_rng_normal(rng) : 0.0f;
            }
        }
        return;
    }
}

/* ---- one batch ----------------------------------------------------------------------- */

/* a, b become weight * own + (1 - weight) * other. */
static void mixup_pair(float *a, float *b, size_t count, double weight)
{
    const float own = (float)weight, other = (float)(1.0 - weight);

    for (size_t i = 0; i < count; i++) {
        const float va = a[i], vb = b[i];
        a[i] = va * own + vb * other;
        b[i] = vb * own + va * other;
    }
}

/* The box of a and b changes places. */
static void cutmix_pair(float *a, float *b, size_t channels, size_t size,
                        const data_box *box)
{
    for (size_t c = 0; c < channels; c++) {
        for (size_t y = 0; y < box->height; y++) {
            const size_t at = (c * size + box->top + y) * size + box->left;
            for (size_t x = at; x < at + box->width; x++) {
                const float kept = a[x];
                a[x] = b[x];
                b[x] = kept;
            }
        }
    }
}

/* count values at `at` of each sample, step apart: those of the partner, by weight; all
 * samples are a ring, so that only the values of one must be remembered. */
static void ring_mix(float *images, size_t at, size_t values, size_t count, size_t step,
                     bool next, double weight)
{
    enum { AT_ONCE = 1024 };
    const float own = (float)weight, other = (float)(1.0 - weight);
    float first[AT_ONCE];

    for (size_t done = 0; done < values; done += AT_ONCE) {
        const size_t n = values - done < AT_ONCE ? values - done : AT_ONCE;
        /* Samples in an order in which each partner is still as it was, but for the
         * last. */
        float *x = images + at + done + (next ? 0 : (count - 1) * step);
        memcpy(first, x, n * sizeof *first);
        for (size_t i = 0; i < count; i++) {
            const float *partner = i + 1 == count ? first : next ? x + step : x - step;
            for (size_t k = 0; k < n; k++)
                x[k] = x[k] * own + partner[k] * other;
            if (i + 1 < count)
                x = next ? x + step : x - step;
        }
    }
}

/* The same for the box alone, which becomes the partner's. */
static void ring_cut(float *images, size_t count, size_t channels, size_t size, bool next,
                     const data_box *box)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t y = 0; y < box->height; y++)
            ring_mix(images, (c * size + box->top + y) * size + box->left, box->width,
                     count, channels * size * size, next, 0.0);
}

/* centre - half .. centre + half, cut at 0 and size. */
static void clipped(size_t *start, size_t *count, size_t centre, size_t half, size_t size)
{
    const size_t end = centre + half < size ? centre + half : size;

    *start = centre > half ? centre - half : 0;
    *count = end - *start;
}

/* timm's rand_bbox: the centre is uniform, row first. The weight becomes what is really
 * left. */
static data_box cutmix_box(double *weight, size_t size, base_rng *rng)
{
    const size_t side = (size_t)((double)size * sqrt(1.0 - *weight));
    const size_t row = (size_t)base_rng_below(rng, size);
    const size_t column = (size_t)base_rng_below(rng, size);
    data_box box;

    clipped(&box.top, &box.height, row, side / 2, size);
    clipped(&box.left, &box.width, column, side / 2, size);
    *weight = 1.0 - (double)(box.width * box.height) / (double)(size * size);
    return box;
}

static size_t partner_of(size_t i, size_t count, data_mix_style style)
{
    switch (style) {
    case DATA_MIX_TORCHVISION: return i > 0 ? i - 1 : count - 1;
    case DATA_MIX_VMOE: return i + 1 < count ? i + 1 : 0;
    case DATA_MIX_TIMM: break;
    }
    return count - 1 - i;
}

/* timm's pairs change places. */
static void mirror_mix(float *images, size_t count, size_t channels, size_t size,
                       const data_box *cut, double weight)
{
    const size_t step = channels * size * size;

    for (size_t i = 0; i < count / 2; i++) { /* the middle of an odd batch stays */
        float *a = images + i * step, *b = images + (count - 1 - i) * step;
        if (cut)
            cutmix_pair(a, b, channels, size, cut);
        else
            mixup_pair(a, b, step, weight);
    }
}

void data_mix_batch(float *images, int32_t *labels_b, float *weight_a,
                    const int32_t *labels, size_t count, size_t channels, size_t size,
                    const data_augment *augment, base_rng *rng)
{
    const data_mix_style style = augment->mix_style;
    const bool cut_wanted = augment->cutmix > 0.0, mix_wanted = augment->mixup > 0.0;
    const bool mixed = count > 0 && (cut_wanted || mix_wanted) &&
                       (augment->mix_probability >= 1.0 ||
                        base_rng_uniform(rng) < augment->mix_probability);
    double weight = 1.0;

    if (mixed) {
        const bool cut = cut_wanted && (!mix_wanted || base_rng_uniform(rng) < 0.5);
        weight = base_rng_beta(rng, cut ? augment->cutmix : augment->mixup);
        /* V-MoE: Dirichlet(p, p), whose parts are Beta(p, p), sorted. */
        if (!cut && style == DATA_MIX_VMOE && weight < 0.5)
            weight = 1.0 - weight;
        const data_box box = cut ? cutmix_box(&weight, size, rng) : (data_box){0};
        if (style == DATA_MIX_TIMM)
            mirror_mix(images, count, channels, size, cut ? &box : NULL, weight);
        else if (cut)
            ring_cut(images, count, channels, size, style == DATA_MIX_VMOE, &box);
        else
            ring_mix(images, 0, channels * size * size, count, channels * size * size,
                     style == DATA_MIX_VMOE, weight);
    }
    for (size_t i = 0; i < count; i++) {
        labels_b[i] = mixed ? labels[partner_of(i, count, style)] : labels[i];
        weight_a[i] = (float)weight;
    }
}
