/* resize.c - Pillow's antialiased resize in fixed point, to the bit (data.md 6). Follows
 * Pillow's Resample.c: the filter is stretched by the reduction factor, horizontal pass
 * first, then vertical, each rounded to 8 bits (Pillow 13 takes the cheaper pass first and
 * then differs by a level or two; published figures are older). Rows are resized as they
 * come; a ring keeps what the vertical pass still needs. Integer sums, so their order is
 * free to change, as are cache and ring. Relied on elsewhere: every byte. The weights are
 * made in resize_axis.c. TensorFlow's filters (resize_plain.c) share the ring. */
#include "data/resize_axis_internal.h"
#include "data/resize_internal.h"
#include "data/resize_plain_internal.h"

#include <assert.h>
#include <string.h>

enum { PIXEL = 4, RGB = 3, GUARD = 64 /* bytes before and behind a row */ };

/* Memory that only grows, to powers of two: sizes that always change soon fit. */
typedef struct room {
    unsigned char *at;
    size_t bytes;
} room;

typedef struct resizer {
    axis_cache axes;
    const data_kernels *kernels;
    /* the resize in work */
    resize_plan plan;
    data_box need;
    const axis *across, *down; /* NULL: that side keeps its size */
    plain_axis plain[2];       /* across, down, of TensorFlow's filters */
    bool is_plain;             /* they are used, and the ring's rows are floats */
    size_t row_pixels;         /* of the rows in the ring */
    size_t ring_rows, ring_step;
    size_t over;   /* pixels behind a row that are read, their weights 0 */
    size_t pushed; /* rows so far */
    size_t made;   /* rows of the part so far */
    room ring, row, line;
    room rows; /* pointers for the vertical pass */
} resizer;

void data_scratch_destroy(data_scratch *scratch)
{
    if (!scratch)
        return;
    resizer *r = scratch->at;
    if (r) {
        data_axis_cache_destroy(&r->axes);
        data_plain_axis_destroy(&r->plain[0]);
        data_plain_axis_destroy(&r->plain[1]);
        base_free(r->ring.at);
        base_free(r->row.at);
        base_free(r->line.at);
        base_free(r->rows.at);
    }
    base_free(r);
    data_image_destroy(&scratch->image);
    *scratch = (data_scratch){0};
}

static bool room_for(room *memory, size_t bytes)
{
    size_t more = 4096;

    if (bytes <= memory->bytes)
        return true;
    while (more < bytes && more <= SIZE_MAX / 2)
        more *= 2;
    unsigned char *at = base_alloc(more < bytes ? bytes : more, 1);
    if (!at)
        return false;
    base_free(memory->at);
    *memory = (room){at, more < bytes ? bytes : more};
    return true;
}

/* Made at the first call. NULL: no memory. */
static resizer *resizer_of(data_scratch *scratch)
{
    if (!scratch->at) {
        scratch->at = base_alloc(1, sizeof(resizer));
        scratch->bytes = scratch->at ? sizeof(resizer) : 0;
        if (scratch->at)
            ((resizer *)scratch->at)->kernels = data_kernels_get();
    }
    return scratch->at;
}

base_status data_resize_use_kernels(data_scratch *scratch, const data_kernels *kernels,
                                    base_error *err)
{
    resizer *r = resizer_of(scratch);

    if (!r)
        return base_fail(err, BASE_NO_MEMORY, "no memory to resize an image");
    r->kernels = kernels;
    return BASE_OK;
}

resize_plan data_resize_plan_box(data_image *out, const data_box *box, size_t width,
                                 size_t height, data_filter filter)
{
    return (resize_plan){
        .in_width = box->width,
        .in_height = box->height,
        .x1 = (double)box->width,
        .y1 = (double)box->height,
        .width = width,
        .height = height,
        .part = {0, 0, width, height},
        .filter = filter,
        .out = out,
    };
}

/* An axis that keeps its size copies pixels. */
static bool keeps(size_t in, double low, double high, size_t out)
{
    return out == in && !(low > 0.0) && !(high < (double)in);
}

/* The inputs of an axis of TensorFlow's filters. */
static void plain_span(const plain_axis *a, size_t *first, size_t *count)
{
    *first = a->low[0];
    *count = a->low[a->count - 1] + a->taps[a->count - 1] - a->low[0];
}

/* Weights of TensorFlow's filters; a side that keeps its size is the identity to them. */
static base_status plain_begin(resizer *r, base_error *err)
{
    const resize_plan *p = &r->plan;
    const data_box part = p->part;
    const plain_key across = {p->in_width, p->width, part.left, part.width, p->x0, p->x1},
                    down = {p->in_height, p->height, part.top, part.height, p->y0, p->y1};

    base_status status = data_plain_axis_make(&r->plain[0], &across, p->filter, err);
    if (status == BASE_OK)
        status = data_plain_axis_make(&r->plain[1], &down, p->filter, err);
    if (status != BASE_OK)
        return status;
    plain_span(&r->plain[0], &r->need.left, &r->need.width);
    plain_span(&r->plain[1], &r->need.top, &r->need.height);
    return BASE_OK;
}

/* Weights of Pillow's filters. */
static base_status pillow_begin(resizer *r, bool across, bool down, base_error *err)
{
    const resize_plan *plan = &r->plan;
    const data_box part = plan->part;
    base_status status = BASE_OK;

    if (across) {
        const axis_key key = {plan->in_width, plan->width, part.left,    part.width,
                              plan->x0,       plan->x1,    plan->filter, true};
        status = data_axis_get(&r->across, &r->axes, &key, r->kernels, err);
        if (status == BASE_OK)
            data_axis_span(r->across, &r->need.left, &r->need.width);
    }
    if (status == BASE_OK && down) {
        const axis_key key = {plan->in_height, plan->height, part.top,     part.height,
                              plan->y0,        plan->y1,     plan->filter, false};
        status = data_axis_get(&r->down, &r->axes, &key, r->kernels, err);
        if (status == BASE_OK)
            data_axis_span(r->down, &r->need.top, &r->need.height);
    }
    return status;
}

base_status data_resize_begin(data_scratch *scratch, const resize_plan *plan,
                              data_box *need, base_error *err)
{
    const data_box part = plan->part;
    const bool across = !keeps(plan->in_width, plan->x0, plan->x1, plan->width),
               down = !keeps(plan->in_height, plan->y0, plan->y1, plan->height);
    resizer *r = resizer_of(scratch);

    assert(part.width > 0 && part.left + part.width <= plan->width);
    assert(part.height > 0 && part.top + part.height <= plan->height);
    if (!r)
        return base_fail(err, BASE_NO_MEMORY, "no memory to resize an image");
    r->plan = *plan;
    r->across = r->down = NULL;
    r->need = part;
    r->is_plain = data_filter_is_plain(plan->filter) && (across || down);
    const base_status status =
        r->is_plain ? plain_begin(r, err) : pillow_begin(r, across, down, err);
    if (status != BASE_OK)
        return status;
    r->over = r->across ? r->across->over : 0;
    const size_t taps = r->is_plain ? r->plain[1].most
                        : r->down   ? r->down->groups * KERNEL_TAPS
                                    : 1;
    const size_t value = r->is_plain ? sizeof(float) : 1; /* bytes in the ring */
    r->ring_rows = taps;
    r->ring_step = (part.width * PIXEL * value + 2 * GUARD + 63) / 64 * 64;
    size_t bytes;
    if (!base_mul_size(&bytes, r->ring_step, r->ring_rows) || !room_for(&r->ring, bytes) ||
        !room_for(&r->line, r->ring_step) ||
        !room_for(&r->row, (r->need.width + r->over) * PIXEL + 2 * GUARD) ||
        !room_for(&r->rows, taps * sizeof(void *)))
        return base_fail(err, BASE_NO_MEMORY, "no memory to resize %zu x %zu pixels",
                         plan->in_width, plan->in_height);
    r->pushed = r->made = 0;
    *need = r->need;
    return BASE_OK;
}

void data_resize_rewind(void *scratch)
{
    resizer *r = ((data_scratch *)scratch)->at;

    r->pushed = r->made = 0;
}

/* A finished row of the part into out. */
static void emit(resizer *r, const unsigned char *rgbx)
{
    const resize_plan *p = &r->plan;
    data_image *out = p->out;
    const size_t width = p->part.width;
    unsigned char *to =
        out->pixels + ((p->top + r->made) * out->width + p->left) * out->channels;

    r->made++;
    if (out->channels == RGB) {
        r->kernels->pack_rgb(to, rgbx, width, p->flip);
        return;
    }
    for (size_t x = 0; x < width; x++)
        to[x] = rgbx[PIXEL * (p->flip ? width - 1 - x : x)];
}

/* Rows of the part whose last source row is there. */
static void make_rows(resizer *r)
{
    const axis *down = r->down;
    const unsigned char **rows = (void *)r->rows.at;
    const size_t taps = down->groups * KERNEL_TAPS;

    for (; r->made < r->plan.part.height;) {
        const size_t first = down->low[r->made] - r->need.top;
        const size_t last = first + down->taps[r->made] - 1;
        if (last >= r->pushed)
            return;
        for (size_t k = 0; k < taps; k++) { /* those behind the last have weight 0 */
            const size_t row = first + k < last ? first + k : last;
            rows[k] = r->ring.at + row % r->ring_rows * r->ring_step;
        }
        r->kernels->down(r->line.at, rows, down->weight + r->made * taps, taps,
                         r->plan.part.width * PIXEL);
        emit(r, r->line.at);
    }
}

/* The same for TensorFlow's filters. */
static void plain_rows(resizer *r)
{
    const plain_axis *down = &r->plain[1];
    const float **rows = (void *)r->rows.at;

    for (; r->made < r->plan.part.height;) {
        const size_t first = down->low[r->made] - r->need.top;
        if (first + down->taps[r->made] > r->pushed)
            return;
        for (size_t k = 0; k < down->taps[r->made]; k++)
            rows[k] = (void *)(r->ring.at + (first + k) % r->ring_rows * r->ring_step);
        data_plain_down(r->line.at, rows, down, r->made, r->plain[0].scale,
                        r->plan.part.width * PIXEL, r->plan.filter);
        emit(r, r->line.at);
    }
}

/* Pillow's convert('L'), in all channels. */
static void to_luma(unsigned char *out, const unsigned char *rgbx, size_t count)
{
    for (size_t i = 0; i < PIXEL * count; i += PIXEL) {
        const unsigned l =
            (19595u * rgbx[i] + 38470u * rgbx[i + 1] + 7471u * rgbx[i + 2] + 32768u) >> 16;
        out[i] = out[i + 1] = out[i + 2] = out[i + 3] = (unsigned char)l;
    }
}

void data_resize_push(void *scratch, const unsigned char *rgbx)
{
    resizer *r = ((data_scratch *)scratch)->at;

    if (r->pushed >= r->need.height)
        return;
    if (r->plan.grey) {
        to_luma(r->row.at, rgbx, r->need.width);
        rgbx = r->row.at;
    } else if (r->over * PIXEL > KERNEL_SLACK && rgbx != r->row.at) {
        memcpy(r->row.at, rgbx, r->need.width * PIXEL);
        rgbx = r->row.at;
    }
    if (r->is_plain) {
        data_plain_across((void *)(r->ring.at + r->pushed % r->ring_rows * r->ring_step),
                          rgbx, &r->plain[0], r->need.left, r->plan.filter);
        r->pushed++;
        plain_rows(r);
        return;
    }
    if (!r->across && !r->down) {
        r->pushed++;
        emit(r, rgbx);
        return;
    }
    unsigned char *to = r->ring.at + r->pushed % r->ring_rows * r->ring_step;
    if (r->across)
        r->kernels->across(to, rgbx, r->across->from, r->across->packed, r->across->weight,
                           r->plan.part.width, r->across->groups);
    else
        memcpy(to, rgbx, r->plan.part.width * PIXEL);
    r->pushed++;
    if (r->down)
        make_rows(r);
    else
        emit(r, to);
}

void data_resize_push_frame(data_scratch *scratch, const data_image *frame, size_t left,
                            size_t top)
{
    resizer *r = scratch->at;
    const size_t step = frame->width * frame->channels;
    const unsigned char *in = frame->pixels + (top + r->need.top) * step +
                              (left + r->need.left) * frame->channels;
    unsigned char *row = r->row.at;

    for (size_t y = 0; y < r->need.height; y++, in += step) {
        if (frame->channels == RGB) {
            r->kernels->unpack_rgb(row, in, r->need.width);
        } else {
            for (size_t x = 0; x < r->need.width; x++)
                memset(row + PIXEL * x, in[x], PIXEL);
        }
        data_resize_push(scratch, row);
    }
}

base_status data_resize(data_image *out, const data_image *in, const data_box *from,
                        size_t width, size_t height, const data_box *to, data_filter filter,
                        data_scratch *scratch, base_error *err)
{
    const data_box whole = {0, 0, in->width, in->height};
    const data_box *box = from ? from : &whole;
    data_box need;

    assert(in->channels == 1 || in->channels == 3);
    assert(box->width > 0 && box->left + box->width <= in->width);
    assert(box->height > 0 && box->top + box->height <= in->height);
    resize_plan plan = data_resize_plan_box(out, box, width, height, filter);
    if (to)
        plan.part = *to;
    base_status status = data_resize_begin(scratch, &plan, &need, err);
    if (status == BASE_OK)
        status =
            data_image_reserve(out, plan.part.width, plan.part.height, in->channels, err);
    if (status == BASE_OK)
        data_resize_push_frame(scratch, in, box->left, box->top);
    return status;
}
