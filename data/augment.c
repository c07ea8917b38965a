/* augment.c - what training does to a picture: crop, flip, erasing; and to a batch: mixup,
 * cutmix. Follows data.md 7 and 8 (torchvision's random resized crop, timm's mixing and
 * erasing). Free to change: the loops. Relied on elsewhere: the order of draws, which is
 * part of every result. */
#include "data/data_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { TRIES = 10 }; /* of a random crop or rectangle, then the fallback */

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

/* The largest centred box whose ratio is allowed. */
static data_box fallback_box(size_t width, size_t height, const data_augment *augment)
{
    const double ratio = (double)width / (double)height;
    data_box box = {0, 0, width, height};

    if (ratio < augment->ratio_low)
        box.height = (size_t)nearbyint((double)width / augment->ratio_low);
    else if (ratio > augment->ratio_high)
        box.width = (size_t)nearbyint((double)height * augment->ratio_high);
    box.width = box.width < 1 ? 1 : box.width > width ? width : box.width;
    box.height = box.height < 1 ? 1 : box.height > height ? height : box.height;
    box.left = (width - box.width) / 2;
    box.top = (height - box.height) / 2;
    return box;
}

/* torchvision's RandomResizedCrop.get_params: nearbyint rounds halves to even, as Python
 * does. */
static data_box random_box(size_t width, size_t height, const data_augment *augment,
                           base_rng *rng)
{
    const double area = (double)width * (double)height;

    for (int i = 0; i < TRIES; i++) {
        const double part = area * uniform_in(rng, augment->area_low, augment->area_high);
        const double ratio = log_uniform_in(rng, augment->ratio_low, augment->ratio_high);
        const double w = nearbyint(sqrt(part * ratio));
        const double h = nearbyint(sqrt(part / ratio));
        if (!(w > 0.0 && w <= (double)width && h > 0.0 && h <= (double)height))
            continue;
        data_box box = {.width = (size_t)w, .height = (size_t)h};
        box.top = (size_t)base_rng_below(rng, height - box.height + 1);
        box.left = (size_t)base_rng_below(rng, width - box.width + 1);
        return box;
    }
    return fallback_box(width, height, augment);
}

/* out [size, size] is the window of in [size, size] that starts `padding` pixels of zeros
 * before the picture, plus (left, top), each 0..2 * padding. */
static base_status padded_crop(data_image *out, const data_image *in, size_t padding,
                               size_t left, size_t top, base_error *err)
{
    const size_t size = in->width, channels = in->channels;
    const size_t lost =
        left > padding ? left - padding : 0; /* columns beyond the left edge */
    const size_t gap = left < padding ? padding - left : 0; /* columns of zeros before */
    const base_status status = data_image_reserve(out, size, size, channels, err);

    if (status != BASE_OK)
        return status;
    memset(out->pixels, 0, size * size * channels);
    for (size_t y = 0; y < size; y++) {
        const size_t row = y + top; /* of the padded picture */
        if (row < padding || row - padding >= size || lost + gap >= size)
            continue;
        memcpy(out->pixels + (y * size + gap) * channels,
               in->pixels + ((row - padding) * size + lost) * channels,
               (size - lost - gap) * channels);
    }
    return BASE_OK;
}

static void flip(data_image *image)
{
    const size_t width = image->width, channels = image->channels;

    for (size_t y = 0; y < image->height; y++) {
        unsigned char *left = image->pixels + y * width * channels;
        unsigned char *right = left + (width - 1) * channels;
        for (; left < right; left += channels, right -= channels) {
            for (size_t c = 0; c < channels; c++) {
                const unsigned char kept = left[c];
                left[c] = right[c];
                right[c] = kept;
            }
        }
    }
}

base_status data_train_transform(data_image *out, const data_image *in,
                                 const data_augment *augment, size_t resize, size_t size,
                                 data_filter filter, base_rng *rng, data_scratch *scratch,
                                 base_error *err)
{
    base_status status = BASE_OK;

    switch (augment->crop) {
    case DATA_CROP_RANDOM: {
        const data_box box = random_box(in->width, in->height, augment, rng);
        status = data_resize(out, in, &box, size, size, NULL, filter, scratch, err);
        break;
    }
    case DATA_CROP_PADDED: {
        assert(augment->padding >= 0);
        const size_t padding = (size_t)augment->padding;
        if (in->width != size || in->height != size) {
            /* Never smaller than size, so this uses image[0] of scratch at most. */
            status = data_eval_transform(&scratch->image[1], in, size, size, filter,
                                         scratch, err);
            in = &scratch->image[1];
        }
        const size_t top = (size_t)base_rng_below(rng, 2 * padding + 1);
        const size_t left = (size_t)base_rng_below(rng, 2 * padding + 1);
        if (status == BASE_OK)
            status = padded_crop(out, in, padding, left, top, err);
        break;
    }
    case DATA_CROP_EVAL:
        status = data_eval_transform(out, in, resize, size, filter, scratch, err);
        break;
    }
    if (status == BASE_OK && augment->flip > 0.0 && base_rng_uniform(rng) < augment->flip)
        flip(out);
    return status;
}

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

void data_mix_batch(float *images, int32_t *labels_b, float *weight_a,
                    const int32_t *labels, size_t count, size_t channels, size_t size,
                    const data_augment *augment, base_rng *rng)
{
    const size_t step = channels * size * size;
    const bool cut_wanted = augment->cutmix > 0.0, mix_wanted = augment->mixup > 0.0;
    const bool mixed =
        (cut_wanted || mix_wanted) && (augment->mix_probability >= 1.0 ||
                                       base_rng_uniform(rng) < augment->mix_probability);
    double weight = 1.0;

    if (mixed) {
        const bool cut = cut_wanted && (!mix_wanted || base_rng_uniform(rng) < 0.5);
        weight = base_rng_beta(rng, cut ? augment->cutmix : augment->mixup);
        const data_box box = cut ? cutmix_box(&weight, size, rng) : (data_box){0};
        for (size_t i = 0; i < count / 2; i++) { /* the middle of an odd batch stays */
            float *a = images + i * step, *b = images + (count - 1 - i) * step;
            if (cut)
                cutmix_pair(a, b, channels, size, &box);
            else
                mixup_pair(a, b, step, weight);
        }
    }
    for (size_t i = 0; i < count; i++) {
        labels_b[i] = mixed ? labels[count - 1 - i] : labels[i];
        weight_a[i] = (float)weight;
    }
}
