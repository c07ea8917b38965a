/* transform.c - geometry of evaluation and training (data.md 7): evaluation as torchvision
 * does it on Pillow images, torchvision's random resized crop, the padded crop of small
 * pictures, the flip. Free to change: how little is computed. Relied on elsewhere: every
 * byte of evaluation, published accuracies hang on it; the order of draws. */
#include "data/data_internal.h"
#include "data/shape_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { TRIES = 10 /* of a random crop, then the fallback */ };

static const char *const filter_names[] = {"bilinear", "bicubic", "area", "bilinear-plain"};

const char *data_filter_name(data_filter filter)
{
    return filter_names[filter];
}

bool data_filter_parse(data_filter *out, const char *word)
{
    for (size_t i = 0; i < sizeof filter_names / sizeof filter_names[0]; i++) {
        if (strcmp(filter_names[i], word) == 0) {
            *out = (data_filter)i;
            return true;
        }
    }
    return false;
}

/* ---- evaluation ---------------------------------------------------------------------- */

/* One axis of a centre crop: how much zero padding comes first, and where the crop
 * starts. */
typedef struct span {
    size_t pad;   /* output pixels before the picture */
    size_t start; /* first pixel of the picture in the crop */
    size_t count; /* pixels of the picture in the crop */
} span;

/* torchvision pads (crop - size) / 2 rounded down on the left and top, and starts the crop
 * at (size - crop) / 2 with halves rounded to the even neighbour. */
static span span_of(size_t size, size_t crop)
{
    if (size < crop)
        return (span){.pad = (crop - size) / 2, .count = size};
    const size_t twice = size - crop;
    size_t start = twice / 2;
    if (twice % 2 == 1 && start % 2 == 1)
        start++;
    return (span){.start = start, .count = crop};
}

/* The long side of a picture whose short side becomes `resize`: torchvision's int(size * a
 * / b). */
static size_t long_side(size_t resize, size_t side, size_t short_side)
{
    return (size_t)((double)(resize * side) / (double)short_side);
}

/* A side as V-MoE's resize_small makes it (vmoe/data/pp_ops.py), halves to even. */
static size_t small_side(size_t resize, size_t side, size_t short_side)
{
    return (size_t)nearbyintf((float)side * ((float)resize / (float)short_side));
}

/* area: sizes and crop are those of V-MoE's evaluation. */
static shape eval_shape(size_t width, size_t height, size_t resize, size_t crop,
                        bool squash, bool area)
{
    shape s = {.box = {0, 0, width, height}, .width = width, .height = height};

    if (resize > 0 && squash) {
        s.width = s.height = resize;
    } else if (resize > 0 && area) {
        const size_t shorter = width < height ? width : height;
        s.width = small_side(resize, width, shorter);
        s.height = small_side(resize, height, shorter);
    } else if (resize > 0 && width <= height) {
        s.height = long_side(resize, height, width);
        s.width = resize;
    } else if (resize > 0) {
        s.width = long_side(resize, width, height);
        s.height = resize;
    }
    span x = span_of(s.width, crop), y = span_of(s.height, crop);
    if (area && s.width > crop)
        x.start = (s.width - crop) / 2;
    if (area && s.height > crop)
        y.start = (s.height - crop) / 2;
    s.part = (data_box){x.start, y.start, x.count, y.count};
    s.left = x.pad;
    s.top = y.pad;
    return s;
}

/* ---- training ------------------------------------------------------------------------ */

static double uniform_in(base_rng *rng, double low, double high)
{
    return low + (high - low) * base_rng_uniform(rng);
}

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
    const double ratio_low = log(augment->ratio_low), ratio_high = log(augment->ratio_high);

    for (int i = 0; i < TRIES; i++) {
        const double part = area * uniform_in(rng, augment->area_low, augment->area_high);
        const double ratio = exp(uniform_in(rng, ratio_low, ratio_high));
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

/* One axis of the padded crop: the window of `size` that starts at `at` of the picture with
 * `padding` zeros on both sides. */
static span padded_span(size_t size, size_t padding, size_t at)
{
    const size_t lost = at > padding ? at - padding : 0;
    const size_t gap = at < padding ? padding - at : 0;
    const size_t gone = lost + gap;

    return (span){.pad = gap, .start = lost, .count = gone < size ? size - gone : 0};
}

/* To size x size if it is not, then the padded crop of that. */
static shape padded_shape(size_t width, size_t height, size_t size, size_t padding,
                          base_rng *rng)
{
    const size_t resize = width == size && height == size ? 0 : size;
    shape s = eval_shape(width, height, resize, size, false, false);
    const span y = padded_span(size, padding, (size_t)base_rng_below(rng, 2 * padding + 1));
    const span x = padded_span(size, padding, (size_t)base_rng_below(rng, 2 * padding + 1));

    s.empty = x.count == 0 || y.count == 0;
    s.part.left += s.empty ? 0 : x.start;
    s.part.top += s.empty ? 0 : y.start;
    s.part.width = s.empty ? 1 : x.count;
    s.part.height = s.empty ? 1 : y.count;
    s.left = s.empty ? 0 : x.pad;
    s.top = s.empty ? 0 : y.pad;
    return s;
}

shape data_shape_of(size_t width, size_t height, const shape_rule *rule, base_rng *rng)
{
    const data_augment *augment = rule->augment;
    const size_t size = rule->size;
    const bool area = rule->filter == DATA_FILTER_AREA;

    assert(size > 0);
    if (!augment)
        return eval_shape(width, height, rule->resize, size, rule->squash, area);
    shape s = {0};
    switch (augment->crop) {
    case DATA_CROP_RANDOM:
        s = (shape){
            .box = random_box(width, height, augment, rng),
            .width = size,
            .height = size,
            .part = {0, 0, size, size},
        };
        break;
    case DATA_CROP_PADDED:
        assert(augment->padding >= 0);
        s = padded_shape(width, height, size, (size_t)augment->padding, rng);
        break;
    case DATA_CROP_EVAL:
        s = eval_shape(width, height, rule->resize, size, rule->squash, area);
        break;
    }
    if (augment->flip > 0.0 && base_rng_uniform(rng) < augment->flip) {
        s.flip = true;
        s.left = size - s.left - s.part.width;
    }
    return s;
}

unsigned data_shape_scale(const shape *s)
{
    unsigned eighths = 8;

    while (eighths > 1 && s->box.width * eighths / 2 >= s->width * 8 &&
           s->box.height * eighths / 2 >= s->height * 8)
        eighths /= 2;
    return eighths;
}

/* ---- pictures in memory -------------------------------------------------------------- */

base_status data_train_transform(data_image *out, const data_image *in,
                                 const data_augment *augment, size_t resize, size_t size,
                                 data_filter filter, base_rng *rng, data_scratch *scratch,
                                 base_error *err)
{
    const shape_rule rule = {augment, resize, size, in->channels,
                             filter,  true,   true, false};

    return data_shape_image(out, in, &rule, rng, scratch, err);
}

base_status data_eval_transform(data_image *out, const data_image *in, size_t resize,
                                size_t crop, data_filter filter, data_scratch *scratch,
                                base_error *err)
{
    const shape_rule rule = {NULL, resize, crop, in->channels, filter, true, true, false};

    return data_shape_image(out, in, &rule, NULL, scratch, err);
}

base_status data_eval_squash(data_image *out, const data_image *in, size_t resize,
                             size_t crop, data_filter filter, data_scratch *scratch,
                             base_error *err)
{
    const shape_rule rule = {NULL, resize, crop, in->channels, filter, true, true, true};

    return data_shape_image(out, in, &rule, NULL, scratch, err);
}
