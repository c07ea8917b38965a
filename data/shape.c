/* shape.c - from a picture or a file to the network's input, by what data_shape_of decided:
 * rows go from the decoder through the resize to their place, and what is outside of the
 * part that is seen is not computed (data.md 4 and 9). Free to change: how. Relied on
 * elsewhere: at full scale the bytes equal those of decoding all and resizing then. */
#include "data/shape_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Keeps 375 * (235 / 375) below 236. */
static const double epsilon = 1e-6;

/* out for the result, zeros where it needs them, and the plan without its source. */
static base_status prepare(data_image *out, resize_plan *plan, const shape *s, size_t size,
                           size_t channels, data_filter filter, base_error *err)
{
    const base_status status = data_image_reserve(out, size, size, channels, err);

    if (status != BASE_OK)
        return status;
    if (s->part.width < size || s->part.height < size)
        memset(out->pixels, 0, size * size * channels);
    *plan = data_resize_plan_box(out, &s->box, s->width, s->height, filter);
    plan->part = s->part;
    plan->flip = s->flip;
    plan->left = s->left;
    plan->top = s->top;
    return BASE_OK;
}

static void blank(data_image *out)
{
    memset(out->pixels, 0, out->width * out->height * out->channels);
}

base_status data_shape_image(data_image *out, const data_image *in, const shape_rule *rule,
                             base_rng *rng, data_scratch *scratch, base_error *err)
{
    const shape s = data_shape_of(in->width, in->height, rule, rng);
    resize_plan plan;
    data_box need;
    base_status status =
        prepare(out, &plan, &s, rule->size, in->channels, rule->filter, err);

    if (status == BASE_OK)
        status = data_resize_begin(scratch, &plan, &need, err);
    if (status != BASE_OK)
        return status;
    data_resize_push_frame(scratch, in, s.box.left, s.box.top);
    if (s.empty)
        blank(out);
    return BASE_OK;
}

/* One side of the box in the picture at eighths / 8: the pixels it touches, and where it
 * lies in them. */
static void scale_side(size_t *first, size_t *count, double *low, double *high, size_t side,
                       size_t at, size_t length, unsigned eighths)
{
    const size_t scaled = data_decode_scaled(side, eighths);
    const double factor = (double)scaled / (double)side;
    const double from = (double)at * factor, to = (double)(at + length) * factor;
    size_t last = (size_t)ceil(to - epsilon);

    last = last > scaled ? scaled : last;
    *first = (size_t)from;
    *count = last - *first;
    *low = from - (double)*first;
    *high = to - (double)*first < (double)*count ? to - (double)*first : (double)*count;
}

/* Decodes the opened file. */
static base_status shape_opened(data_image *out, decode_note *note, data_decoder *decoder,
                                size_t width, size_t height, const shape_rule *rule,
                                base_rng *rng, data_scratch *scratch, base_error *err)
{
    const shape s = data_shape_of(width, height, rule, rng);
    decode_want want = {
        .eighths = 8,
        .whole = !rule->augment || rule->to_end,
        .take = data_resize_push,
        .rewind = data_resize_rewind,
        .user = scratch,
    };
    size_t left = s.box.left, top = s.box.top;
    resize_plan plan;
    data_box need;
    base_status status =
        prepare(out, &plan, &s, rule->size, rule->channels, rule->filter, err);

    if (status != BASE_OK)
        return status;
    plan.grey = rule->channels == 1;
    if (rule->augment && !rule->exact && data_decode_can_scale(decoder))
        want.eighths = data_shape_scale(&s);
    if (want.eighths < 8) {
        scale_side(&left, &plan.in_width, &plan.x0, &plan.x1, width, s.box.left,
                   s.box.width, want.eighths);
        scale_side(&top, &plan.in_height, &plan.y0, &plan.y1, height, s.box.top,
                   s.box.height, want.eighths);
    }
    status = data_resize_begin(scratch, &plan, &need, err);
    if (status != BASE_OK)
        return status;
    want.left = left + need.left;
    want.top = top + need.top;
    want.width = need.width;
    want.height = need.height;
    status = data_decode_rows(&want, note, decoder, err);
    if (status == BASE_OK && s.empty)
        blank(out);
    return status;
}

base_status data_shape_file(data_image *out, data_health *health, data_decoder *decoder,
                            const unsigned char *bytes, size_t size, const shape_rule *rule,
                            base_rng *rng, data_scratch *scratch, char *note,
                            size_t note_bytes, base_error *err)
{
    decode_note found = {.health = DATA_HEALTH_OK};
    size_t width, height;
    base_status status = data_decode_open(&width, &height, decoder, bytes, size, err);

    if (status == BASE_OK)
        status = shape_opened(out, &found, decoder, width, height, rule, rng, scratch, err);
    data_decode_close(decoder);
    *health = status == BASE_OK ? found.health : DATA_HEALTH_BAD;
    if (note_bytes > 0)
        snprintf(note, note_bytes, "%s", status == BASE_OK ? found.text : "");
    return status;
}
