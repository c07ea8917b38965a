/* resize_internal.h - resizing row by row: source rows are pushed top to bottom as they are
 * decoded, and result rows appear as soon as all they need is there. No frame is kept. */
#ifndef DATA_RESIZE_INTERNAL_H
#define DATA_RESIZE_INTERNAL_H

#include "data/data.h"
#include "data/kernels_internal.h"

/* What becomes of a picture. The interval [x0, x1) x [y0, y1) of in_width x in_height
 * source pixels is resized to width x height, the part of it becomes rows of out, from
 * (left, top) of out on. */
typedef struct resize_plan {
    size_t in_width, in_height;
    double x0, x1, y0, y1; /* pixels; whole numbers unless the source was scaled */
    size_t width, height;
    data_box part;
    data_filter filter;
    bool flip; /* left and right of the part change places */
    bool grey; /* source rows become luma first; out has one channel */
    data_image *out;
    size_t left, top;
} resize_plan;

/* The plan that resizes the box of a picture, its filter seeing nothing outside. */
resize_plan data_resize_plan_box(data_image *out, const data_box *box, size_t width,
                                 size_t height, data_filter filter);

/* Starts; out has its size already (or is NULL until resize_output). need: the source
 * pixels that must be pushed. */
base_status data_resize_begin(data_scratch *scratch, const resize_plan *plan,
                              data_box *need, base_error *err);
/* The next row of need: need.width pixels RGBX, KERNEL_SLACK readable bytes behind them.
 * Cannot fail. */
void data_resize_push(void *scratch, const unsigned char *rgbx);
/* Back to the first row. */
void data_resize_rewind(void *scratch);
/* Pushes all of need from a frame of RGB or grey pixels. */
void data_resize_push_frame(data_scratch *scratch, const data_image *frame, size_t left,
                            size_t top);
/* Other kernels than the best, for tests; before the first resize. */
base_status data_resize_use_kernels(data_scratch *scratch, const data_kernels *kernels,
                                    base_error *err);

#endif
