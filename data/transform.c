/* transform.c - evaluation preprocessing, as torchvision does it on Pillow images (data.md
 * 7). Free to change: how little is computed. Relied on elsewhere: every byte, published
 * accuracies hang on it. */
#include "data/data_internal.h"

#include <assert.h>
#include <string.h>

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

base_status data_eval_transform(data_image *out, const data_image *in, size_t resize,
                                size_t crop, data_filter filter, data_scratch *scratch,
                                base_error *err)
{
    size_t width = in->width, height = in->height;

    assert(crop > 0);
    if (resize > 0 && width <= height) {
        height = long_side(resize, height, width);
        width = resize;
    } else if (resize > 0) {
        width = long_side(resize, width, height);
        height = resize;
    }
    const span x = span_of(width, crop), y = span_of(height, crop);
    const data_box part = {x.start, y.start, x.count, y.count};
    if (x.count == crop && y.count == crop)
        return data_resize(out, in, NULL, width, height, &part, filter, scratch, err);

    data_image *inner = &scratch->image[1];
    base_status status =
        data_resize(inner, in, NULL, width, height, &part, filter, scratch, err);
    if (status == BASE_OK)
        status = data_image_reserve(out, crop, crop, in->channels, err);
    if (status != BASE_OK)
        return status;
    const size_t channels = in->channels;
    memset(out->pixels, 0, crop * crop * channels);
    for (size_t row = 0; row < y.count; row++)
        memcpy(out->pixels + ((y.pad + row) * crop + x.pad) * channels,
               inner->pixels + row * x.count * channels, x.count * channels);
    return BASE_OK;
}
